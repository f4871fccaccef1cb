"""When and how the notebook is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook_lib.fork_engine import saving
from runbook_lib.fork_engine.saving import SavingManager, storable
from tests.support.notebooks import notebook


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the first cell's status at each save; nothing is written."""
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
    """Changes within a second are saved together; in the end papermill writes the last."""

    made = manager()
    made.notebook_start()
    made.cell_start(made.nb.cells[0])
    made.cell_complete(made.nb.cells[0])
    made.end()

    assert saves == ["pending"]
    made.save_now()
    assert saves == ["pending", "completed"]


def test_a_delayed_change_is_saved_once(saves: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was delayed is saved after a second, and only once."""

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


def test_a_cell_that_did_not_run_is_pending(saves: list[str]) -> None:
    """If a run ends before its first cell, that cell stays pending."""

    made = manager()
    made.notebook_start()
    made.end()

    assert saves[-1] == made.nb.cells[0].metadata.papermill.status == "pending"


def test_without_a_path_nothing_is_written(saves: list[str]) -> None:
    """A notebook without an output path is not saved."""

    made = manager(None)
    made.notebook_start()
    made.end()
    made.save_now()

    assert saves == []


def test_a_save_that_fails_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed save, the old file is complete and there is no other file."""

    made = manager()
    made.notebook_start()
    before = Path("out.ipynb").read_text()

    def fail(nb: Any, path: str) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_ipynb", fail)
    with pytest.raises(OSError, match="No space"):
        made.save_now()

    assert Path("out.ipynb").read_text() == before
    assert list(folder.iterdir()) == [folder / "out.ipynb"]


def test_the_file_is_written_in_place_if_the_folder_is_read_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no file can be created in the folder, the notebook is written into the existing path."""

    write = saving.write_ipynb

    def refuse(nb: Any, path: str) -> None:
        if Path(path).name != "out.ipynb":
            raise PermissionError(13, "Permission denied")
        write(nb, path)

    monkeypatch.setattr(saving, "write_ipynb", refuse)
    manager().notebook_start()

    assert nbformat.read("out.ipynb", 4).cells[0].source == "1"


@pytest.mark.parametrize("path", ["s3://bucket/out.ipynb", "/dev/null"])
def test_other_targets_are_written_by_papermill(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object stores and devices are written directly, because no file can be replaced there."""

    written: list[str] = []
    monkeypatch.setattr(saving, "write_ipynb", lambda nb, path: written.append(path))
    manager(path).notebook_start()

    assert written == [path]


def test_surrogates_are_stored_as_escapes() -> None:
    """Whatever part of a notebook holds surrogates, it can be written, and means the same."""

    book = notebook(["print('a\udcff')", "2"])
    book.metadata.papermill = {"parameters": {"k\udcff": ["\ud800", 1, None]}}
    book.cells[1].metadata["v"] = "\udcff"

    stored = storable(book)

    assert nbformat.writes(stored).encode()
    assert stored.cells[0].source == r"print('a\udcff')"
    assert stored.metadata.papermill.parameters == {r"k\udcff": [r"\ud800", 1, None]}
    assert stored.cells[1].metadata.v == r"\udcff"


def test_a_notebook_without_surrogates_stays_the_same() -> None:
    """Nothing else is changed, and nothing copied."""

    book = notebook([r"print('\udcff ä \U0001f600')"])

    assert storable(book) is book
