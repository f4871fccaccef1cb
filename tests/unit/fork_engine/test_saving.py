"""When the notebook is saved, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook_lib.fork_engine import saving
from runbook_lib.fork_engine.saving import SavingManager
from tests.support.notebooks import notebook


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every save, with the status of the first cell, and write nothing."""
    noted: list[str] = []

    def note(nb: Any, path: str) -> None:
        noted.append(nb.cells[0].metadata.papermill.status)

    monkeypatch.setattr(saving, "_write", note)
    return noted


def manager(path: str | None = "out.ipynb") -> SavingManager:
    book = notebook(["1"])
    book.metadata.papermill = nbformat.NotebookNode()
    return SavingManager(book, output_path=path, progress_bar=False)


def test_quick_changes_are_saved_together(saves: list[str]) -> None:
    """Within a second there is one save, and one at the end, which is complete."""

    made = manager()
    made.notebook_start()
    made.cell_start(made.nb.cells[0])
    made.cell_complete(made.nb.cells[0])
    made.notebook_complete()

    assert saves == ["pending", "completed"]


def test_what_is_due_is_saved_once(saves: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that had to wait is saved when a second has passed, and not again."""

    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    made = manager()
    made.notebook_start()
    made.cell_start(made.nb.cells[0])
    made.save_if_due()
    now = 1.0
    made.save_if_due()
    now = 5.0
    made.save_if_due()

    assert saves == ["pending", "running"]


def test_a_cell_that_never_ran_is_not_called_completed(saves: list[str]) -> None:
    """A run that breaks off before its first cell leaves that cell pending."""

    made = manager()
    made.notebook_start()
    made.notebook_complete()

    assert saves[-1] == made.nb.cells[0].metadata.papermill.status == "pending"


def test_without_a_path_nothing_is_written(saves: list[str]) -> None:
    """A notebook that is only returned is not saved."""

    made = manager(None)
    made.notebook_start()
    made.notebook_complete()

    assert saves == []


def test_a_save_that_fails_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is whole before and after a failed save, and nothing lies beside it."""

    made = manager()
    made.notebook_start()
    before = Path("out.ipynb").read_text()

    def fail(nb: Any, path: str) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_ipynb", fail)
    with pytest.raises(OSError, match="No space"):
        made.notebook_complete()

    assert Path("out.ipynb").read_text() == before
    assert list(folder.iterdir()) == [folder / "out.ipynb"]


def test_a_folder_that_takes_no_file_is_written_to_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be put beside it, the file itself is written."""

    write = saving.write_ipynb

    def refuse(nb: Any, path: str) -> None:
        if Path(path).name != "out.ipynb":
            raise PermissionError(13, "Permission denied")
        write(nb, path)

    monkeypatch.setattr(saving, "write_ipynb", refuse)
    manager().notebook_start()

    assert nbformat.read("out.ipynb", 4).cells[0].source == "1"


@pytest.mark.parametrize("path", ["s3://bucket/out.ipynb", "/dev/null"])
def test_other_places_are_written_as_papermill_does(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object stores and devices have no file to put in another's place."""

    written: list[str] = []
    monkeypatch.setattr(saving, "write_ipynb", lambda nb, path: written.append(path))
    manager(path).notebook_start()

    assert written == [path]
