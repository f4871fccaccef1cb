"""
Procedure in, notebooks out: thin, without outputs, the same bytes every time.

Notebooks are built, never edited. What a step shows when it runs is
`rendering`'s and `widgets`' business.
"""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from runbook_lib.core.files import read_plain
from runbook_lib.core.procedure import Procedure, Section, Step
from runbook_lib.engine.run import RESERVED

__all__ = ["build", "notebook_text", "outdated", "stale"]

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# A notebook with pictures of every step has some MiB.
_LARGEST = 64 * 1024 * 1024
_RESERVED_HELP = {
    "tenant": "whose app this is; the Service Domain where empty",
    "evidence": "the folder that holds journals and evidence",
    "env_file": "the settings file; the nearest .env where empty",
    "run_id": "a run to join; empty begins one",
    "mode": "interactive or headless; told by the kernel where empty",
}


def build(procedure: Procedure, folder: Path, only: Container[Path] | None = None) -> list[Path]:
    """Write every notebook of `procedure`, or `only` these, into `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for section in procedure.sections:
        path = folder / f"{section.id}.ipynb"
        if only is not None and path not in only:
            continue
        path.write_bytes(notebook_text(procedure, section).encode())
        paths.append(path)
    return paths


def stale(procedure: Procedure, folder: Path) -> list[Path]:
    """Return the notebooks in `folder` that are not what `build` would write."""
    paths = {section: folder / f"{section.id}.ipynb" for section in procedure.sections}
    return [
        path
        for section, path in paths.items()
        if _content(path) != notebook_text(procedure, section).encode()
    ]


def outdated(procedure: Procedure, folder: Path) -> list[Path]:
    """
    Return the notebooks in `folder` that are absent, or were built from another procedure.

    One that a person ran, filled in and saved is neither.
    """
    paths = [folder / f"{section.id}.ipynb" for section in procedure.sections]
    return [path for path in paths if _digest(path) != procedure.digest]


def _content(path: Path) -> bytes | None:
    """Return what is in a notebook's file; `None` where that is no file that can be read."""
    try:
        return read_plain(path, _LARGEST)
    except OSError:
        return None


def _digest(path: Path) -> object:
    """Return what names the procedure that a notebook was built from; `None` where nothing does."""
    try:
        return json.loads(read_plain(path, _LARGEST))["metadata"]["runbook"]["digest"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def notebook_text(procedure: Procedure, section: Section) -> str:
    """Return the notebook of `section` as nbformat 4.5 JSON, in Jupyter's own layout."""
    cells = [
        _markdown("title", f"# {section.title}\n\n{section.intro}"),
        _code("parameters", _parameters(procedure), tags=("parameters",)),
        _code("open", _opening(section)),
    ]
    for step in section.steps:
        cells.append(_markdown(f"{step.id}-text", _prose(step)))
        cells.append(_code(step.id, f'run.step("{step.id}")', tags=("step",)))
    cells.append(_code("finish", "run.finish()"))
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": _KERNEL,
            "language_info": {"name": "python"},
            "runbook": {"procedure": procedure.id, "digest": procedure.digest},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _parameters(procedure: Procedure) -> str:
    lines = [
        "# Parameters; papermill replaces them: -p service_domain acme-h.cyclr.com",
        "# Empty means: from the environment, .env, an earlier run, or the default.",
        "# Credentials are never parameters: put them into .env (see .env.example).",
    ]
    lines += [
        f'{item.name} = ""  # {item.label}{_default(item.default)}'
        for item in procedure.inputs
        if not item.secret
    ]
    lines += [f'{name} = ""  # {_RESERVED_HELP[name]}' for name in RESERVED]
    return "\n".join(lines)


def _default(value: object) -> str:
    if value is None:
        return ""
    return f" ({', '.join(value) if isinstance(value, tuple) else value})"


def _opening(section: Section) -> str:
    return (
        "from runbook_lib.notebook import open_run\n\n"
        f'run = open_run(globals(), notebook="{section.id}")\n'
        "run.header()"
    )


def _prose(step: Step) -> str:
    place = f"documented step {step.source.step}" if step.source.step else "documented"
    parts = [f"## {step.title}", step.prose]
    if step.today:
        parts.append(f"> **Today:** {step.today}")
    parts.append(f"<sub>{step.id} · {place} · {step.kind}</sub>")
    return "\n\n".join(parts)


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
