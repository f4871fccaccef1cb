"""The notebook is built from the procedure: reproducible, thin, and never edited by hand."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbconvert import HTMLExporter

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.engine.notebooks import (
    build_notebook,
    is_outdated,
    is_stale,
    notebook_name,
    notebook_text,
)
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.converted_page import ConvertedPage

COMMITTED = Path(__file__).parents[3] / "notebooks"
NAME = notebook_name(PROCEDURE)
NOTEBOOK: Any = nbformat.reads(notebook_text(PROCEDURE), as_version=4)
CODE_CELLS = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
STEP_CELLS = [cell for cell in NOTEBOOK.cells if "step" in cell.metadata.get("tags", ())]

Document = dict[str, Any]


def test_the_notebook_is_valid() -> None:
    """The notebook is valid nbformat 4.5, names the kernel python3 and has no outputs."""
    nbformat.validate(NOTEBOOK)
    assert (NOTEBOOK.nbformat, NOTEBOOK.nbformat_minor) == (4, 5)
    assert NOTEBOOK.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] and cell.execution_count is None for cell in CODE_CELLS)


def test_the_same_procedure_builds_the_same_bytes() -> None:
    """The same procedure gives the same bytes, which are also what nbformat writes."""
    text = notebook_text(PROCEDURE)

    assert text == notebook_text(PROCEDURE)
    assert nbformat.writes(NOTEBOOK) + "\n" == text
    assert text.endswith("}\n")


@pytest.mark.parametrize("connector", connector_names())
def test_the_committed_notebook_is_what_is_built(connector: str) -> None:
    """The committed notebook equals the one built from the procedure."""
    procedure = find_procedure(connector)

    committed = (COMMITTED / notebook_name(procedure)).read_text(encoding="utf-8")
    assert committed == notebook_text(procedure)


def test_build_writes_one_notebook(tmp_path: Path) -> None:
    """`build` creates the folder and one notebook, which is neither stale nor outdated."""
    path = build_notebook(PROCEDURE, tmp_path / "new")

    assert list((tmp_path / "new").iterdir()) == [path]
    assert path.name == "facebook_marketing.ipynb"
    assert not is_stale(PROCEDURE, path)
    assert not is_outdated(PROCEDURE, path)


def edited(path: Path, edit: Callable[[Document], object]) -> Path:
    """Apply `edit` and save the notebook in another layout."""
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document, indent=3), encoding="utf-8")
    return path


def run_and_saved(document: Document) -> None:
    for number, cell in enumerate(document["cells"], 1):
        cell["source"] = "".join(cell["source"])
        cell["metadata"]["collapsed"] = True
        if cell["cell_type"] == "code":
            cell |= {"execution_count": number, "outputs": [{"output_type": "stream"}]}
    document["metadata"]["language_info"] = {"name": "python", "version": "3.11.7"}
    document["nbformat_minor"] = 6


def broken(position: int, byte: bytes) -> Callable[[Path], object]:
    """Return a function that puts a byte outside of UTF-8 or JSON into a file."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position : position + 1] = byte
        path.write_bytes(bytes(content))

    return spoil


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        # Outputs, execution counts, Jupyter's metadata and the file layout do not make it stale.
        (run_and_saved, "fresh"),
        # A changed cell does, but it has the same procedure.
        (lambda document: document["cells"].pop(), "stale"),
        (lambda document: document["cells"].reverse(), "stale"),
        (lambda document: document["cells"].append({"cell_type": "raw", "source": "x"}), "stale"),
        (lambda document: document["cells"][1].update(source='tenant = "acme"'), "stale"),
        (lambda document: document["cells"][-2].update(id="other"), "stale"),
        (lambda document: document["cells"][0].update(cell_type="raw"), "stale"),
        (lambda document: document["cells"][4].pop("source"), "stale"),
        # A notebook without the procedure's digest is outdated.
        (lambda document: document["metadata"]["runbook"].update(digest="0" * 64), "outdated"),
        (lambda document: document["metadata"]["runbook"].pop("digest"), "outdated"),
        (lambda document: document["metadata"].pop("runbook"), "outdated"),
        (lambda document: document["metadata"].update(runbook="x"), "outdated"),
        (lambda document: document.update(cells=7), "outdated"),
        (lambda document: document.update(cells=["x"]), "outdated"),
        (lambda document: document.clear(), "outdated"),
    ],
)
def test_an_edit_makes_a_notebook_stale_or_outdated(
    tmp_path: Path, edit: Callable[[Document], object], found: str
) -> None:
    """It is stale if its cells differ, and outdated too if it is another procedure's."""
    path = edited(build_notebook(PROCEDURE, tmp_path), edit)

    assert path.read_text(encoding="utf-8") != notebook_text(PROCEDURE)
    assert is_stale(PROCEDURE, path) is (found != "fresh")
    assert is_outdated(PROCEDURE, path) is (found == "outdated")


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        broken(0, b"\xff"),
        broken(0, b"#"),
        broken(-3, b"\xff"),
        broken(-3, b"#"),
    ],
)
def test_a_broken_file_is_stale_and_outdated(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """A file that is missing, or not UTF-8 or JSON, is stale and outdated, and raises nothing."""
    path = build_notebook(PROCEDURE, tmp_path)
    spoil(path)

    assert is_stale(PROCEDURE, path)
    assert is_outdated(PROCEDURE, path)


def test_changed_prose_makes_the_notebook_stale(tmp_path: Path) -> None:
    """A changed step text makes the notebook stale and outdated."""
    path = build_notebook(PROCEDURE, tmp_path)
    section = PROCEDURE.sections[0]
    step = replace(section.steps[0], prose="Other words.")
    altered = replace(section, steps=(step, *section.steps[1:]))
    changed = replace(PROCEDURE, sections=(altered, *PROCEDURE.sections[1:]))

    assert is_stale(changed, path)
    assert is_outdated(changed, path)


def test_every_step_has_its_cell_in_order() -> None:
    """Each step has a cell with its id, in order, which does nothing but show that step."""
    cells = [(cell.id, cell.source) for cell in STEP_CELLS]
    assert cells == [(step.id, f'run.step("{step.id}")') for step in PROCEDURE.steps]


def test_each_step_is_preceded_by_its_text() -> None:
    """The cell before a step has number, title and what to do now; no id and no kind."""
    cells = {cell.id: cell for cell in NOTEBOOK.cells}
    ids = list(cells)
    for step in PROCEDURE.steps:
        text = cells[f"{step.id}-text"]
        assert ids[ids.index(step.id) - 1] == text.id
        assert text.cell_type == "markdown"
        acts = step.instructions.split("\n\n")
        numbered = "\n".join(f"{place}. {act}" for place, act in enumerate(acts, start=1))
        heading = f"### {PROCEDURE.numbers[step.id]} · {step.title}\n\n"
        heading += numbered if len(acts) > 1 else step.instructions
        assert text.source.startswith(heading)
        assert step.id not in text.source
        assert "<sub>" not in text.source


def test_the_documented_text_is_folded_away() -> None:
    """Documented text and source are in `details`, between blank lines; without any, none is."""
    summaries = {}
    for step in PROCEDURE.steps:
        (text,) = (cell.source for cell in NOTEBOOK.cells if cell.id == f"{step.id}-text")
        before, _, folded = text.partition("\n\n<details><summary>")
        summaries[step.id], _, inside = folded.partition("</summary>\n\n")
        assert bool(folded) == bool(step.prose or step.source.off_page)
        assert inside == "" or inside.endswith("\n\n</details>")
        assert step.prose in inside
        assert step.source.off_page in inside
        assert not step.prose or step.prose not in before

    assert summaries["fb-01-log-in"] == ""
    assert summaries["fb-08-redirect-uri"] == "Documented step 8"
    assert summaries["fb-12a-publish"] == "Why Cyclr's guide lacks it"
    assert summaries["cy-01-connector-setup"] == "Documented text"


@pytest.mark.parametrize("template", ["classic", "lab"])
def test_a_fold_is_html(template: str) -> None:
    """As HTML the fold is `details`, and the Markdown in it is read as such."""
    page, _ = HTMLExporter(template_name=template).from_notebook_node(NOTEBOOK)

    assert page.count("<details><summary>Why Cyclr's guide lacks it</summary>") == sum(
        bool(step.source.off_page) for step in PROCEDURE.steps
    )
    assert "until you complete it, <strong>submit for review</strong> is grey" in " ".join(
        page.casefold().split()
    )


@pytest.mark.parametrize("template", ["classic", "lab"])
@pytest.mark.parametrize("connector", connector_names())
def test_as_html_no_link_and_no_button_is_dead(connector: str, template: str) -> None:
    """Every link of a converted notebook leads somewhere, and no *Start* is dead."""
    text = notebook_text(find_procedure(connector))
    page = ConvertedPage(nbformat.reads(text, as_version=4), template)

    procedure = find_procedure(connector)
    fewest = 30 if connector in FACEBOOK_CONNECTORS else len(procedure.steps)
    assert len(page.links) > fewest
    assert page.dead_links() == []
    assert page.buttons == []


@pytest.mark.parametrize("connector", connector_names())
def test_it_says_first_what_to_have_at_hand(connector: str) -> None:
    """
    Before the first section stands how long it takes and what to have ready; the rest is folded.

    A connector for which nobody waits long has no such plan, and no such cell.
    """
    procedure = find_procedure(connector)
    notebook: Any = nbformat.reads(notebook_text(procedure), as_version=4)
    ids = [cell.id for cell in notebook.cells]
    if procedure.plan is None:
        assert "begin" not in ids
        return
    text = notebook.cells[ids.index("begin")].source
    gates = [f"{step.title}: {step.usual_time}" for step in procedure.steps if step.usual_days]

    assert ids[ids.index("begin") - 1 : ids.index("begin") + 2 : 2] == [
        "open",
        procedure.sections[0].id,
    ]
    assert text.startswith(f"## Before you begin\n\nPlan for **{procedure.plan.duration}**")
    assert [part for part in (*procedure.plan.have_ready, *gates) if part not in text] == []
    shown = text.partition("<details>")[0]
    assert sum(any(map(str.isalnum, word)) for word in shown.split()) <= 70
    assert '"id": "begin"' not in notebook_text(replace(procedure, plan=None))


def test_sections_are_headings_over_their_steps() -> None:
    """Title, sections and steps have one heading each in JupyterLab's table of contents."""
    texts = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
    lines = [line for text in texts for line in text.splitlines() if re.match("#+ ", line)]
    steps = {
        section.id: [f"### {PROCEDURE.numbers[step.id]} · {step.title}" for step in section.steps]
        for section in PROCEDURE.sections
    }

    assert lines == [
        f"# {PROCEDURE.title}",
        "## Before you begin",
        *(
            heading
            for section in PROCEDURE.sections
            for heading in (f"## {section.title}", *steps[section.id])
        ),
    ]
    ids = [cell.id for cell in NOTEBOOK.cells]
    for section in PROCEDURE.sections:
        place = ids.index(section.id)
        assert section.intro in NOTEBOOK.cells[place].source
        assert ids[place + 2 : place + 2 + 2 * len(section.steps) : 2] == [
            step.id for step in section.steps
        ]


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


def test_the_notebook_is_thin() -> None:
    """The notebook has no logic: literals, one import, and calls."""
    source = "\n".join(cell.source for cell in CODE_CELLS)
    nodes = list(ast.walk(ast.parse(source)))

    assert not [node for node in nodes if isinstance(node, FORBIDDEN)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["from runbook_lib import open_run"]


def test_the_parameters_are_typed_and_no_secret(tmp_path: Path) -> None:
    """The first cell alone has them, without values; papermill shows type and help of each."""
    tagged = [cell for cell in CODE_CELLS if "parameters" in cell.metadata.get("tags", ())]
    assert tagged == CODE_CELLS[:1]

    path = build_notebook(PROCEDURE, tmp_path)
    shown = papermill.inspect_notebook(str(path))
    named = {item.name: item for item in PROCEDURE.settings if item.name in shown}
    assert [*shown] == ["tenant", *PROCEDURE.notebook_parameters]
    assert not any(item.secret for item in named.values())
    assert len(shown) == 9
    assert {parameter["default"] for parameter in shown.values()} == {"None"}
    assert all(parameter["help"] for parameter in shown.values())
    kinds = {name: parameter["inferred_type_name"] for name, parameter in shown.items()}
    assert set(kinds.values()) == {"str", "bool"}
    assert {name for name, kind in kinds.items() if kind == "bool"} == {
        name for name, item in named.items() if isinstance(item.default, bool)
    }
    assert shown["make_test_calls"]["help"] == (
        "Permission to make test calls; False if not set elsewhere"
    )


def test_the_notebook_opens_its_connector_and_ends() -> None:
    """The first call opens the run with the parameters, the last ones end it and show its steps."""
    assert f'open_run("{PROCEDURE.id}", globals())' in CODE_CELLS[1].source
    ends = [(cell.id, cell.source) for cell in CODE_CELLS[-2:]]
    assert ends == [("finish", "run.finish()"), ("steps", "run.steps")]


def test_the_notebook_names_the_text_it_was_built_from() -> None:
    """The metadata has the procedure's id and digest, for comparison with a record."""
    expected = {"procedure": PROCEDURE.id, "digest": PROCEDURE.digest}
    assert NOTEBOOK.metadata["runbook"] == expected


def test_cell_ids_are_unique() -> None:
    """Cell ids are unique."""
    ids = [cell.id for cell in NOTEBOOK.cells]

    assert len(ids) == len(set(ids))
