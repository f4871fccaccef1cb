"""Our engine beside papermill's own: one broad notebook, compared cell by cell."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from tests.support.notebooks import notebook

CELLS = re.findall(
    r"^# %%(?P<raises> raises)? (?P<name>.*)\n(?P<source>(?s:.*?))\n(?=\n# %%|\Z)",
    Path(__file__).with_name("every_feature.txt").read_text(encoding="utf-8"),
    re.MULTILINE,
)
NAMES = [name for _, name, _ in CELLS]

# What the traceback of the kernel's own function shows is not the same code.
OWN_FRAMES = {"input", "getpass", "unserializable"}


def run(engine: str | None, folder: Path) -> Any:
    """Execute the cells of `every_feature.txt`; return the notebook as it was written."""
    folder.mkdir()
    book = notebook((source, ["raises-exception"] if raises else []) for raises, _, source in CELLS)
    # NOTE: ipykernel does not catch the output of programs where it sees this variable.
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    with pytest.raises(papermill.PapermillExecutionError):
        papermill.execute_notebook(
            book, str(folder / "out.ipynb"), engine_name=engine, progress_bar=False, cwd=folder
        )
    return nbformat.read(folder / "out.ipynb", 4)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Give the notebook as nbclient leaves it, and as our engine does."""
    folder = tmp_path_factory.mktemp("engines")
    return run(None, folder / "stock"), run("fork", folder / "ours")


def normalized(text: str) -> str:
    for pattern, replacement in (
        (r"ipykernel_\d+/\d+\.py", "CELL.py"),
        (r"0x[0-9a-f]+", "0x"),
        (r"\b\d+\.py\b", "CELL.py"),
        (r"/stock\b", "/ours"),
        (r"(?m)^(CPU times|Wall time).*\n?", ""),
        (r"Thread-\d+", "Thread-N"),
    ):
        text = re.sub(pattern, replacement, text)
    return text


def outputs(cell: Any, *, has_own_frames: bool = False) -> list[dict[str, Any]]:
    """Return what a cell shows, with streams merged, and without what differs from run to run."""
    merged: list[dict[str, Any]] = []
    for output in cell.get("outputs", ()):
        plain = dict(output)
        if merged and plain.get("name", "none") == merged[-1].get("name"):
            merged[-1]["text"] += plain["text"]
            continue
        if plain["output_type"] == "error":
            plain["evalue"] = normalized(plain["evalue"])
            plain["traceback"] = (
                [] if has_own_frames else [normalized(t) for t in plain["traceback"]]
            )
        if "data" in plain:
            plain["data"] = {
                k: normalized(v) if isinstance(v, str) else v for k, v in plain["data"].items()
            }
        merged.append(plain)
    for plain in merged:
        if "text" in plain:
            plain["text"] = normalized(plain["text"])
    return merged


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_shows_what_it_shows_in_nbclient(both: tuple[Any, Any], name: str) -> None:
    """Each cell has the same outputs, number and status with both engines."""

    stock, ours = (cells_of(book)[NAMES.index(name)] for book in both)

    assert outputs(ours, has_own_frames=name in OWN_FRAMES) == outputs(
        stock, has_own_frames=name in OWN_FRAMES
    )
    assert ours.execution_count == stock.execution_count
    assert ours.metadata.papermill.status == stock.metadata.papermill.status
    assert ours.metadata.papermill.exception == stock.metadata.papermill.exception
    assert ours.metadata.get("execution", {}).keys() == stock.metadata.get("execution", {}).keys()


def cells_of(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_the_notebook_is_described_as_by_nbclient(both: tuple[Any, Any]) -> None:
    """Kernel, language and papermill's account are the same, but for the engine's name."""

    stock, ours = (book.metadata for book in both)

    assert ours.papermill.engine == {"name": "fork"}
    assert ours.language_info == stock.language_info
    assert ours.kernelspec == stock.kernelspec
    assert ours.papermill.keys() - {"engine"} == stock.papermill.keys()
    assert [c.cell_type for c in both[1].cells] == [c.cell_type for c in both[0].cells]


def test_both_came_to_the_end(both: tuple[Any, Any]) -> None:
    """No cell before the last but one ended the run, so all of them were compared."""

    for book in both:
        statuses = [cell.metadata.papermill.status for cell in cells_of(book)]
        assert statuses.index("failed") == len(CELLS) - 2
