"""
Procedure in, notebook out: thin, without outputs, the same bytes every time.

Notebooks are built, never edited. `notebook.rendering` and the walkthrough decide how a step looks
when it runs.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from runbook_lib.core.files import read_plain
from runbook_lib.core.procedure import Input, Plan, Procedure, Screen, Step
from runbook_lib.evidence.reports.phrases import prose_title
from runbook_lib.evidence.reports.pictures import SCHEMATIC, screen_picture
from runbook_lib.text import as_text

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# A notebook with pictures of every step has some MiB.
_LARGEST = 64 * 1024 * 1024
_WIDTH = 100
# NOTE: JupyterLab runs the command of such a button (CommandLinker). A browser draws nothing of a
# `template`, so elsewhere there is no dead button; JupyterLab's sanitizer leaves its content alone.
_START = (
    '<template><button class="jp-mod-styled jp-mod-accept" '
    'data-commandlinker-command="notebook:run-all-cells">Start</button> '
    "Press it to begin or continue. Each step below gets its panel, and the page shows the next."
    "</template>"
)
_ELSEWHERE = (
    "*Start* works in JupyterLab only. In VS Code or the classic Notebook, write "
    '`mode = "interactive"` below the parameters of the next cell, then choose *Run All*.'
)
_TENANT = "tenant: str = None  # The tenant's name; the Service Domain if not set elsewhere"
_ABOUT_PARAMETERS = (
    "# Parameters; papermill replaces them: -p service_domain acme-h.cyclr.com",
    "# More work too: `runbook run --help` and docs/settings.md. None means: from the environment,",
    "# .env, an earlier run, or the default. Credentials are never parameters: put them into .env.",
)


def notebook_name(procedure: Procedure) -> str:
    """Return the file name of a procedure's notebook."""
    return f"{procedure.id}.ipynb"


def build_notebook(procedure: Procedure, folder: Path) -> Path:
    """Write the notebook of `procedure` into `folder`, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / notebook_name(procedure)
    path.write_bytes(notebook_text(procedure).encode())
    return path


def is_stale(procedure: Procedure, path: Path) -> bool:
    """Return whether the sources of the notebook at `path` are not what `build` writes."""
    return _sources(_document(path)) != _sources(json.loads(notebook_text(procedure)))


def is_outdated(procedure: Procedure, path: Path) -> bool:
    """
    Return whether the notebook at `path` is absent, or was built from another procedure.

    One that a person ran, filled in and saved is neither.
    """
    document = _document(path)
    return not document or document["metadata"]["runbook"].get("digest") != procedure.digest


def _document(path: Path) -> dict[str, Any] | None:
    """Return the notebook of a procedure at `path`; `None` if it is anything else."""
    try:
        document = json.loads(read_plain(path, _LARGEST))
        cells = document["cells"]
        runbook = document["metadata"]["runbook"]
        is_notebook = isinstance(runbook, dict) and all(isinstance(cell, dict) for cell in cells)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return document if is_notebook else None


def _sources(document: dict[str, Any] | None) -> list[object] | None:
    """Return the parts of a notebook that running or saving it does not change."""
    if document is None:
        return None
    cells = []
    for cell in document["cells"]:
        source = cell.get("source", "")
        text = "".join(map(str, source if isinstance(source, list) else [source]))
        cells.append((cell.get("cell_type"), cell.get("id"), text))
    return [document["metadata"]["runbook"], cells]


def notebook_text(procedure: Procedure) -> str:
    """Return the notebook of `procedure` as nbformat 4.5 JSON, in Jupyter's own layout."""
    opening = (
        "from runbook_lib import open_run\n\n"
        f'run = open_run("{procedure.id}", globals())\n'
        "run.header()"
    )
    cells = [
        _markdown("title", _title(procedure)),
        _code("parameters", _parameters(procedure), tags=("parameters",)),
        _code("open", opening),
    ]
    if procedure.plan:
        cells.append(_markdown("begin", _begin(procedure, procedure.plan)))
    numbers = procedure.numbers
    for section in procedure.sections:
        intro = _folded("About this part", section.intro)
        cells.append(_markdown(section.id, f"## {section.title}\n\n{intro}"))
        for step in section.steps:
            text = _step_text(procedure, step, numbers[step.id])
            cells.append(_markdown(f"{step.id}-text", text))
            cells.append(_code(step.id, f'run.step("{step.id}")', tags=("step",)))
    cells.append(_code("finish", "run.finish()"))
    cells.append(_code("steps", "run.steps"))
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": _KERNEL,
            "language_info": {"name": "python"},
            "title": f"{procedure.title}: runbook",
            "runbook": {"procedure": procedure.id, "digest": procedure.digest},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _title(procedure: Procedure) -> str:
    """Return the title, the way to start, and the total time."""
    parts = [f"# {procedure.title}", _START]
    if procedure.plan:
        parts.append(
            f"It takes **{procedure.plan.duration}**, most of it waiting. *Before you begin* lists "
            "what to have ready."
        )
    return "\n\n".join([*parts, _ELSEWHERE])


def _parameters(procedure: Procedure) -> str:
    """Return the parameters that people set, with type and help; `None` means not given."""
    settings = {item.name: item for item in procedure.settings if not item.secret}
    listed = procedure.notebook_parameters or settings
    lines = [_parameter(settings[name]) for name in listed]
    return "\n".join([*_ABOUT_PARAMETERS, _TENANT, *lines])


def _parameter(item: Input) -> str:
    kind = type(item.default) if isinstance(item.default, bool | int) else str
    line = f"{item.name}: {kind.__name__} = None  # {item.label}"
    default = as_text(item.default) if item.default is not None else ""
    with_default = f"{line}; {default} if not set elsewhere"
    return with_default if default and len(with_default) <= _WIDTH else line


def _begin(procedure: Procedure, plan: Plan) -> str:
    """Return the total time and the things to have ready; waiting times are folded."""
    ready = "\n".join(f"- {text}" for text in plan.have_ready)
    lines = {step.id: f"- {step.title}: {step.usual_time}" for step in procedure.steps}
    gates = "\n".join(lines[gate.step] for gate in plan.gates)
    takes = f"Waiting times at {procedure.providers[0].title}"
    folded = _folded(takes, f"{gates}\n\nSource: {plan.source}.")
    return (
        f"## Before you begin\n\nPlan for **{plan.duration}**. Have ready:\n\n{ready}\n\n{folded}"
    )


def _folded(summary: str, text: str) -> str:
    # NOTE: CommonMark reads Markdown in an HTML block again only after a blank line.
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _step_text(procedure: Procedure, step: Step, number: str) -> str:
    """Return a step's instructions; longer documented text is folded."""
    acts = step.instructions.split("\n\n")
    numbered = [f"{place}. {act}" for place, act in enumerate(acts, start=1)]
    instructions = "\n".join(numbered) if len(acts) > 1 else step.instructions
    parts = [f"### {number} · {step.title}", instructions]
    if step.screen:
        parts.append(_picture(procedure, step.screen))
    off_page = step.source.off_page
    if step.prose or off_page:
        source = f"Source: {off_page}." if off_page else ""
        parts.append(
            _folded(prose_title(step.source), "\n\n".join(filter(None, (step.prose, source))))
        )
    return "\n\n".join(parts)


def _picture(procedure: Procedure, screen: Screen) -> str:
    """Return the picture of a screen, and the text below it; a value is named, not known."""
    values = {item.name: f"‹{item.label}›" for item in procedure.inputs}
    svg = base64.b64encode(screen_picture(screen, values, is_alone=True).encode()).decode()
    # NOTE: JupyterLab draws no attachment that is SVG (4.6: "unknown image mime type").
    # NOTE: outside JupyterLab, an address takes the asterisk behind it: a source has no emphasis.
    return (
        f"<figure>\n\n![Schematic. {screen.described(values)}](data:image/svg+xml;base64,{svg})\n\n"
        f"*{SCHEMATIC}.* Source: {screen.source}\n\n</figure>"
    )


def _markdown(cell_id: str, text: str) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": cell_id,
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }


def _code(cell_id: str, text: str, *, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        # JupyterLab folds the source away: a person reads the step, not its call.
        "metadata": {"jupyter": {"source_hidden": True}, **({"tags": list(tags)} if tags else {})},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }
