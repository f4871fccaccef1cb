"""The effect of messages on a notebook's outputs."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from runbook_lib.fork_engine.outputs import Outputs
from tests.support.notebooks import notebook


class Book:
    """A notebook of two cells, of which the first runs."""

    def __init__(self) -> None:
        self.nb = notebook(["1", "2"])
        self.logged: list[Any] = []
        self.outputs = Outputs(self.nb, self.logged.append)
        self.outputs.begin_cell(0)

    def show(self, kind: str, text: str = "", **content: Any) -> None:
        """Show `text` in a message of this kind."""
        data = {"data": {"text/plain": text}, "metadata": {}}
        about = {name: content.pop(name) for name in ["display_id"] if name in content}
        self.outputs.show({"type": kind, "content": content or data, **about})

    def texts(self, index: int) -> list[str]:
        """Return the texts of a cell's outputs."""
        return [o.get("text") or o.data["text/plain"] for o in self.nb.cells[index].outputs]


@pytest.fixture
def book() -> Book:
    """Return a notebook whose first cell runs."""
    return Book()


def test_text_for_one_stream_is_one_output(book: Book) -> None:
    """
    Text is appended to the output before it if that has the same stream; each piece is logged.
    """

    for name, text in (("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")):
        book.outputs.write(name, text)

    assert book.texts(0) == ["ab", "c", "d"]
    assert [output.text for output in book.logged] == ["a", "b", "c", "d"]


def test_a_display_id_updates_its_outputs_in_every_cell(book: Book) -> None:
    """An update, or another display, changes all outputs with its id, and no others."""

    book.show("display_data", "first", display_id="x")
    book.show("display_data", "other", display_id="y")
    book.outputs.begin_cell(1)
    book.show("display_data", "second", display_id="x")
    assert (book.texts(0), book.texts(1)) == (["second", "other"], ["second"])

    book.show("update_display_data", "third", display_id="x")
    book.show("update_display_data", "lost", display_id="unknown")
    assert (book.texts(0), book.texts(1)) == (["third", "other"], ["third"])


def test_cleared_outputs_are_not_updated(book: Book) -> None:
    """After `clear_output`, an update does not change outputs without its id."""

    book.show("display_data", "gone", display_id="x")
    book.show("clear_output", wait=False)
    book.show("display_data", "kept")
    book.show("update_display_data", "lost", display_id="x")

    assert book.texts(0) == ["kept"]


def test_clear_output_can_wait_for_the_next_output(book: Book) -> None:
    """With `wait`, the outputs stay until the cell's next output."""

    book.outputs.write("stdout", "old")
    book.show("clear_output", wait=True)
    assert book.texts(0) == ["old"]

    book.outputs.write("stdout", "new")
    assert book.texts(0) == ["new"]

    book.show("clear_output", wait=True)
    book.outputs.begin_cell(1)
    book.outputs.write("stdout", "other")
    assert (book.texts(0), book.texts(1)) == (["new"], ["other"])


def test_the_notebook_stays_valid(book: Book) -> None:
    """Outputs of each type are valid for nbformat."""

    book.outputs.write("stdout", "a")
    book.show("display_data", "b", display_id="x")
    content = {"data": {"text/plain": "c"}, "metadata": {}, "execution_count": 3}
    book.show("execute_result", **content)
    book.show("error", ename="E", evalue="v", traceback=["t"])

    nbformat.validate(book.nb)
    assert len(book.nb.cells[0].outputs) == 4
