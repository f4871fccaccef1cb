"""The fork engine and papermill's own: one notebook with many features, compared cell by cell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.notebooks import notebook

CELLS = re.findall(
    r"^# %%(?P<raises> raises)? (?P<name>.*)\n(?P<source>(?s:.*?))\n(?=\n# %%|\Z)",
    Path(__file__).with_name("every_feature.txt").read_text(encoding="utf-8"),
    re.MULTILINE,
)
NAMES = [name for _, name, _ in CELLS]

# The traceback of these shows code of the kernel, which differs.
OWN_FRAMES = {"input", "getpass", "unserializable"}


def run(engine: str | None, folder: Path) -> Any:
    """
    Execute the cells of `every_feature.txt`; return the written notebook.

    In a new process, because forked cells inherit pytest's filters of warnings.
    """
    folder.mkdir()
    book = notebook((source, ["raises-exception"] if raises else []) for raises, _, source in CELLS)
    nbformat.write(book, folder.parent / "in.ipynb")
    # NOTE: ipykernel does not capture the output of programs if this variable is set.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("PYTEST_CURRENT_TEST", None)
    options = ["--engine", engine] if engine else []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", folder, *options),
            *(folder.parent / "in.ipynb", folder / "out.ipynb"),
        ],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert b"the end" in done.stderr  # the last cell but one fails
    return nbformat.read(folder / "out.ipynb", 4)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return the notebook as executed by nbclient, and by the fork engine."""
    folder = tmp_path_factory.mktemp("engines")
    return run(None, folder / "stock"), run("fork", folder / "ours")


def normalized(text: str) -> str:
    for pattern, replacement in (
        (r"ipykernel_\d+/\d+\.py", "CELL.py"),
        (r"0x[0-9a-f]+", "0x"),
        (r"\b\d+\.py\b", "CELL.py"),
        (r"\bpid=\d+", "pid=PID"),
        (r"/stock\b", "/ours"),
        (r"(?m)^(CPU times|Wall time).*\n?", ""),
        (r"Thread-\d+", "Thread-N"),
    ):
        text = re.sub(pattern, replacement, text)
    return text


def outputs(cell: Any, *, has_own_frames: bool = False) -> list[dict[str, Any]]:
    """Return a cell's outputs with merged streams, without text that differs between runs."""
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
def test_a_cell_has_the_same_outputs_as_in_nbclient(both: tuple[Any, Any], name: str) -> None:
    """Each cell has the same outputs, execution count and status with both engines."""

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


def test_the_notebook_has_the_same_metadata_as_in_nbclient(both: tuple[Any, Any]) -> None:
    """Kernel, language and papermill's metadata are the same, except for the engine's name."""

    stock, ours = (book.metadata for book in both)

    assert ours.papermill.engine == {"name": "fork"}
    assert ours.language_info == stock.language_info
    assert ours.kernelspec == stock.kernelspec
    assert ours.papermill.keys() - {"engine"} == stock.papermill.keys()
    assert [c.cell_type for c in both[1].cells] == [c.cell_type for c in both[0].cells]


def test_every_cell_is_compared(both: tuple[Any, Any]) -> None:
    """Both engines run up to the last cell but one, which fails: all cells are compared."""

    for book in both:
        statuses = [cell.metadata.papermill.status for cell in cells_of(book)]
        assert statuses.index("failed") == len(CELLS) - 2
