"""How much of a run's outputs is kept, and what is said of the rest."""

from __future__ import annotations

import json
from multiprocessing.connection import Pipe
from typing import Any

import pytest

from runbook_lib.fork_engine import outputs as outputs_module
from runbook_lib.fork_engine import worker as worker_module
from runbook_lib.fork_engine.outputs import Bounds, Outputs
from tests.support.notebooks import notebook

CELL, RUN = 4096, 6144


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep 4 KiB of a cell, and 6 KiB of a run."""
    monkeypatch.setattr(outputs_module, "CELL_BYTES", CELL)
    monkeypatch.setattr(outputs_module, "_RUN_BYTES", RUN)


class Book:
    """A notebook of three cells, of which the first runs."""

    def __init__(self) -> None:
        self.nb = notebook(["1", "2", "3"])
        self.outputs = Outputs(self.nb, lambda _: None)
        self.outputs.begin_cell(0)

    def show(self, kind: str, text: str, **content: Any) -> None:
        """Show `text` in a message of this kind."""
        shown = content if "wait" in content else {"data": {"t": text}, "metadata": {}}
        self.outputs.show({"type": kind, "content": shown, "display_id": content.get("display_id")})

    def fail(self, text: str) -> None:
        """Show an exception."""
        content = {"ename": "E", "evalue": text, "traceback": [text] * 3}
        self.outputs.show({"type": "error", "content": content})

    def texts(self, index: int = 0) -> list[str]:
        """Return what a cell's outputs show."""
        return [
            o.get("text") or o.get("evalue") or o.data["t"] for o in self.nb.cells[index].outputs
        ]


@pytest.fixture
def book() -> Book:
    """Return a notebook whose first cell runs."""
    return Book()


def test_what_is_within_the_bounds_is_unchanged(book: Book) -> None:
    """A cell may print exactly as much as it may keep, in any pieces; nothing is said then."""

    for _ in range(8):
        book.outputs.write("stdout", "x" * (CELL // 8))

    assert book.texts() == ["x" * CELL]


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_text_is_cut_and_one_line_says_how_much(book: Book, character: str) -> None:
    """Text is kept up to a whole character; however much follows, one line counts all of it."""

    size = len(character.encode())
    book.outputs.write("stdout", "y" + character * (2 * CELL // size))
    for _ in range(3):
        book.outputs.write("stdout", "z" * CELL)
        book.outputs.write("stderr", "z" * CELL)

    text, line = book.texts()
    assert text == "y" + character * ((CELL - 1) // size)
    assert line == "… 28 KiB of output left out: a cell keeps 0 MiB.\n"


@pytest.mark.parametrize(
    ("text", "most"), [("\n", CELL // 16), ("y\n", CELL // 8), ("\0", CELL // 6)]
)
def test_what_costs_more_than_its_bytes_is_counted_so(book: Book, text: str, most: int) -> None:
    """Short lines and control characters count as what they take in memory and in the file."""

    book.outputs.write("stdout", text * CELL)

    assert most - 2 <= len(book.texts()[0]) <= most + 1


def test_a_run_keeps_less_than_all_of_its_cells_may(book: Book) -> None:
    """A cell gets what its run has left; then each cell has its own line."""

    for index in range(3):
        book.outputs.begin_cell(index)
        book.outputs.write("stdout", "x" * 4000)

    assert [len(book.texts(index)[0]) for index in range(2)] == [4000, RUN - 4000]
    assert book.texts(1)[1:] == ["… 2 KiB of output left out: a run keeps 0 MiB.\n"]
    assert book.texts(2) == ["… 4 KiB of output left out: a run keeps 0 MiB.\n"]


def test_the_line_is_never_continued(book: Book) -> None:
    """What still fits after something larger was left out is an output of its own."""

    book.show("display_data", "x" * CELL)
    book.outputs.write("stderr", "fits")

    assert [len(text) < 60 for text in book.texts()] == [True, True]
    assert book.texts()[1] == "fits"


def test_displays_are_kept_whole_or_left_out(book: Book) -> None:
    """A display that does not fit is left out; each counts something, however small it is."""

    for _ in range(100):
        book.show("display_data", "1")

    assert book.texts()[:-1] == ["1"] * (CELL // 512)
    assert book.texts()[-1].startswith("… ")


def test_updates_count_what_they_leave(book: Book) -> None:
    """A display may be updated for ever; an update that is too large leaves it as it was."""

    book.show("display_data", "x" * 3000, display_id="a")
    for letter in "abc" * 10:
        book.show("update_display_data", letter * 3000, display_id="a")
    assert book.texts() == ["c" * 3000]

    book.outputs.begin_cell(1)
    book.show("update_display_data", "x" * CELL, display_id="a")
    assert book.texts() == ["c" * 3000]
    assert book.texts(1) == ["… 4 KiB of output left out: a cell keeps 0 MiB.\n"]


def test_what_is_cleared_counts_no_longer(book: Book) -> None:
    """A cell that clears its outputs may go on for ever; the line is cleared with them."""

    for _ in range(5):
        book.outputs.write("stdout", "x" * 2 * CELL)
        book.show("clear_output", "", wait=True)
    book.outputs.write("stdout", "end")

    assert book.texts() == ["end"]


def test_cleared_displays_are_forgotten(book: Book) -> None:
    """Displays that were cleared take no memory, whatever their ids were."""

    for number in range(10):
        book.show("display_data", "x", display_id=str(number))
        book.show("clear_output", "", wait=False)

    assert book.outputs._places == {}


def test_a_cell_s_exception_always_stays(book: Book) -> None:
    """There is room for one exception, by which papermill knows that the cell failed."""

    book.outputs.write("stdout", "x" * CELL)
    book.fail("why")
    book.fail("again")

    assert book.texts()[0] == "x" * CELL
    assert "why" in book.texts()
    assert "again" not in book.texts()


def test_a_large_exception_is_cut(book: Book) -> None:
    """The texts of an exception that does not fit are cut, and the line counts the rest."""

    book.fail("v" * 100_000)

    error, line = book.nb.cells[0].outputs
    assert error.evalue == "v" * 4096
    assert [len(part) for part in error.traceback] == [4096] * 3
    assert line.text == "… 375 KiB of output left out: a cell keeps 0 MiB.\n"


def test_the_child_sends_nothing_larger_than_a_cell_may_keep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of what is larger the engine gets the size, and of an exception the ends of its texts."""

    monkeypatch.setattr(worker_module, "CELL_BYTES", CELL)
    ours, theirs = Pipe()
    with ours, theirs:
        publisher = worker_module._Publisher(theirs)
        publisher.ask("display_data", {"data": {"t": "x" * CELL}, "metadata": {}})
        display = json.loads(ours.recv_bytes())
        ours.send(None)
        answer = publisher.ask("error", {"ename": "E", "evalue": "v" * 9000, "traceback": []})
        error = json.loads(ours.recv_bytes())
        ours.send("answer")
        assert answer.result() == "answer"

    assert (display["type"], display["content"]) == ("left_out", {})
    assert display["left_out"] > CELL
    assert error["type"] == "error"
    assert error["content"] == {"ename": "E", "evalue": "v" * 4096, "traceback": []}


def test_what_the_child_left_out_is_counted(book: Book) -> None:
    """What was too large for a message is in the line, too."""

    book.outputs.show({"type": "left_out", "content": {}, "left_out": 3 << 30})

    assert book.texts() == ["… 3,072 MiB of output left out: a cell keeps 0 MiB.\n"]


def test_a_large_output_is_counted_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cell is full, its text is not looked at any more."""

    bounds = Bounds()
    bounds.take_text("x" * 2 * CELL, is_new=True)
    monkeypatch.setattr(outputs_module, "_text_cost", None)

    assert bounds.take_text("x" * CELL, is_new=False) == ""
