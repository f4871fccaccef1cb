"""Notebooks are built from the procedure: the same bytes, thin, and never by hand."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.procedure import Section
from runbook_lib.engine.notebooks import build, notebook_text, stale

COMMITTED = Path(__file__).parents[3] / "notebooks"

sections = pytest.mark.parametrize("section", PROCEDURE.sections, ids=lambda each: each.id)


def notebook(section: Section) -> Any:
    return nbformat.reads(notebook_text(PROCEDURE, section), as_version=4)


STEP_CELLS = [
    cell
    for section in PROCEDURE.sections
    for cell in notebook(section).cells
    if "step" in cell.metadata.get("tags", ())
]


@sections
def test_a_notebook_is_valid(section: Section) -> None:
    """The format (4.5) takes it, with the kernel that papermill needs and no output."""

    built = notebook(section)

    nbformat.validate(built)
    assert (built.nbformat, built.nbformat_minor) == (4, 5)
    assert built.metadata.kernelspec.name == "python3"
    code = [cell for cell in built.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@sections
def test_the_same_procedure_builds_the_same_bytes(section: Section, tmp_path: Path) -> None:
    """Building twice changes nothing, and what Jupyter itself writes is the same."""

    text = notebook_text(PROCEDURE, section)

    assert text == notebook_text(PROCEDURE, section)
    assert nbformat.writes(notebook(section)) + "\n" == text
    assert text.endswith("}\n")


def test_committed_notebooks_are_what_is_built() -> None:
    """A notebook was not edited by hand, nor left behind when the procedure changed."""

    assert stale(PROCEDURE, COMMITTED) == []


def test_build_writes_one_notebook_for_each_section(tmp_path: Path) -> None:
    """The folder is made where there is none, and nothing in it is stale afterwards."""

    paths = build(PROCEDURE, tmp_path / "new")

    assert [path.name for path in paths] == [
        "facebook_marketing.ipynb",
        "facebook_marketing.ipynb",
        "facebook_marketing.ipynb",
    ]
    assert stale(PROCEDURE, tmp_path / "new") == []


@pytest.mark.parametrize("position", [0, 1, 200, -3, -1])
@pytest.mark.parametrize("byte", [b"\r", b"\xff", b"#"])
def test_a_changed_byte_makes_a_notebook_stale(tmp_path: Path, position: int, byte: bytes) -> None:
    """Any byte, anywhere, text or not; the others stay fresh."""

    path = build(PROCEDURE, tmp_path)[1]
    content = bytearray(path.read_bytes())
    content[position : position + 1 or None] = byte
    path.write_bytes(bytes(content))

    assert stale(PROCEDURE, tmp_path) == [path]


def test_windows_line_ends_make_a_notebook_stale(tmp_path: Path) -> None:
    """The same bytes are the same bytes on every machine."""

    path = build(PROCEDURE, tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert stale(PROCEDURE, tmp_path) == [path]


def test_a_missing_notebook_is_stale(tmp_path: Path) -> None:
    """An empty folder holds nothing that is fresh."""

    assert len(stale(PROCEDURE, tmp_path)) == 3


def test_changed_prose_makes_its_notebook_stale(tmp_path: Path) -> None:
    """Who changes a step builds anew, and a test says so."""

    build(PROCEDURE, tmp_path)
    section = PROCEDURE.sections[0]
    step = replace(section.steps[0], prose="Other words.")
    altered = replace(section, steps=(step, *section.steps[1:]))
    changed = replace(PROCEDURE, sections=(altered, *PROCEDURE.sections[1:]))

    assert tmp_path / "facebook_marketing.ipynb" in stale(changed, tmp_path)


def test_every_step_has_its_cell_in_order() -> None:
    """No step is missing from the notebooks, and each cell bears its id."""

    assert [cell.id for cell in STEP_CELLS] == [step.id for step in PROCEDURE.steps]


@pytest.mark.parametrize("cell", STEP_CELLS, ids=lambda cell: cell.id)
def test_step_cell_is_one_call(cell: Any) -> None:
    """A step's cell does nothing but show that step."""

    assert cell.source == f'run.step("{cell.id}")'


@sections
def test_each_step_is_preceded_by_its_prose(section: Section) -> None:
    """What to do stands above where it is done, with what has changed since."""

    cells = {cell.id: cell for cell in notebook(section).cells}
    ids = list(cells)
    for step in section.steps:
        text = cells[f"{step.id}-text"]
        assert ids[ids.index(step.id) - 1] == text.id
        assert text.cell_type == "markdown"
        assert text.source.startswith(f"## {step.title}\n")
        assert step.prose in text.source
        assert step.today in text.source
        assert step.id in text.source


FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
    ast.With,
    ast.ListComp,
    ast.DictComp,
    ast.SetComp,
    ast.GeneratorExp,
)


@sections
def test_a_notebook_is_thin(section: Section) -> None:
    """No logic in a notebook: literals, one import, and calls."""

    source = "\n".join(cell.source for cell in notebook(section).cells if cell.cell_type == "code")
    nodes = list(ast.walk(ast.parse(source)))

    assert not [node for node in nodes if isinstance(node, FORBIDDEN)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["from runbook_lib.notebook import open_run"]


@sections
def test_the_parameters_are_literals_and_no_secret(section: Section) -> None:
    """Papermill finds one tagged cell, before all other code; a secret is no parameter."""

    cells = [cell for cell in notebook(section).cells if cell.cell_type == "code"]
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    assert tagged == cells[:1]

    assigned = {}
    for node in ast.parse(tagged[0].source).body:
        assert isinstance(node, ast.Assign)
        (target,) = node.targets
        assigned[ast.unparse(target)] = ast.literal_eval(node.value)

    secrets = {item.name for item in PROCEDURE.inputs if item.secret}
    known = {item.name for item in PROCEDURE.inputs} - secrets
    assert set(assigned) == known | {"tenant", "evidence", "env_file", "run_id", "mode"}
    assert set(assigned.values()) == {""}
    assert not any(f"\n{name} " in tagged[0].source for name in secrets)


@sections
def test_a_notebook_opens_its_own_section_and_ends(section: Section) -> None:
    """The first call opens the run with the notebook's parameters, the last one ends it."""

    cells = [cell for cell in notebook(section).cells if cell.cell_type == "code"]

    assert f'open_run(globals(), notebook="{section.id}")' in cells[1].source
    assert (cells[-1].id, cells[-1].source) == ("finish", "run.finish()")


@sections
def test_a_notebook_names_the_text_it_was_built_from(section: Section) -> None:
    """Procedure and digest are in the metadata, to be compared with a record."""

    metadata = json.loads(notebook_text(PROCEDURE, section))["metadata"]

    assert metadata["runbook"] == {"procedure": PROCEDURE.id, "digest": PROCEDURE.digest}


@sections
def test_cell_ids_are_unique(section: Section) -> None:
    """A cell can be pointed at."""

    ids = [cell.id for cell in notebook(section).cells]

    assert len(ids) == len(set(ids))
