"""How the engine runs a notebook: the child's messages and their effect."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from runbook_lib.fork_engine import run as run_module
from tests.support.notebooks import notebook
from tests.unit.fork_engine.scripted_child import ScriptedChild

ERROR = {"ename": "E", "evalue": "v", "traceback": ["E: v"]}
Script = Callable[[str, ScriptedChild], dict[str, Any] | None]


def run(script: Script, *cells: Any, **options: Any) -> Any:
    """Execute cells with a scripted child, which is closed afterwards; return the notebook."""
    book = notebook(cells or ["cell"])
    child = ScriptedChild(script)
    try:
        return papermill.execute_notebook(
            book, None, engine_name="fork", progress_bar=False, child=child, **options
        )
    finally:
        assert child.is_killed


def plain(outputs: list[Any]) -> list[tuple[str, Any]]:
    return [
        (output.get("name", output.output_type), output.get("text", output.get("data")))
        for output in outputs
    ]


def test_outputs_are_in_order() -> None:
    """Text comes before outputs displayed after it; adjacent text of one stream is one output."""

    def script(_: str, child: ScriptedChild) -> dict[str, Any]:
        child.write("stdout", b"1")
        child.write("stderr", b"2")
        child.write("stdout", b"3")
        child.say("display_data", {"data": {"text/plain": "4"}, "metadata": {}})
        child.write("stdout", b"5")
        return {}

    (cell,) = run(script).cells

    assert plain(cell.outputs) == [
        ("stdout", "13"),
        ("stderr", "2"),
        ("display_data", {"text/plain": "4"}),
        ("stdout", "5"),
    ]
    assert cell.execution_count == 1


def test_a_flush_shows_one_stream() -> None:
    """A stream that is flushed comes before earlier text of the other stream."""

    def script(_: str, child: ScriptedChild) -> dict[str, Any]:
        child.write("stdout", b"1")
        child.write("stderr", b"2")
        child.say("flush", {"name": "stderr"})
        return {}

    (cell,) = run(script).cells

    assert plain(cell.outputs) == [("stderr", "2"), ("stdout", "1")]


def test_text_is_shown_while_the_cell_runs() -> None:
    """Text is shown after a short time, before the cell ends."""

    out = StringIO()

    def script(_: str, child: ScriptedChild) -> dict[str, Any]:
        child.write("stdout", b"x")
        end = time.monotonic() + 5
        while not out.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        return {"status": "error", **ERROR, "evalue": out.getvalue()}

    book = run(script, ("1", ["raises-exception"]), stdout_file=out)

    assert book.cells[0].outputs[0].text == out.getvalue() == "x"


def test_an_error_ends_the_notebook_unless_the_cell_may_fail() -> None:
    """The tag and nbclient's options decide whether an error ends the notebook."""

    def script(source: str, child: ScriptedChild) -> dict[str, Any]:
        return {"status": "error", **ERROR} if source == "fails" else {}

    tagged = ("fails", ["raises-exception"])
    assert run(script, tagged, "2").cells[1].execution_count == 2
    assert run(script, "fails", "2", allow_errors=True).cells[1].execution_count == 2
    assert run(script, "fails", "2", allow_error_names=["E"]).cells[1].execution_count == 2
    with pytest.raises(papermill.PapermillExecutionError):
        run(script, tagged, "2", force_raise_errors=True)
    with pytest.raises(papermill.PapermillExecutionError):
        run(script, "fails", "2", allow_error_names=["F"])


def test_the_options_set_a_cells_time_limit() -> None:
    """
    A cell that exceeds its time limit is interrupted, and the run ends with nbclient's error.

    With `interrupt_on_timeout`, it is an error of the cell.
    """

    def script(source: str, child: ScriptedChild) -> dict[str, Any]:
        if source == "long":
            child.is_interrupted.wait(5)
            child.say("error", ERROR)
            return {"status": "error", **ERROR}
        return {}

    for options in (
        {"execution_timeout": 1},
        {"timeout_func": lambda cell: 0.2 if cell.source == "long" else None},
    ):
        with pytest.raises(CellTimeoutError, match="long"):
            run(script, "long", **options)
    options = {"execution_timeout": 1, "interrupt_on_timeout": True, "allow_errors": True}
    with pytest.raises(papermill.PapermillExecutionError, match="E: v"):
        run(script, "long", "2", **options)


def test_a_cell_that_ignores_the_interrupt_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time-out is raised even if the cell ignores the interrupt."""

    monkeypatch.setattr(run_module, "_INTERRUPT_SECONDS", 0.1)

    def script(source: str, child: ScriptedChild) -> None:
        while not child.is_killed:
            time.sleep(0.01)

    with pytest.raises(CellTimeoutError):
        run(script, execution_timeout=1)


def test_a_child_that_ends_is_a_dead_kernel(folder: Path) -> None:
    """A child that ends without a reply raises `DeadKernelError`; its output is kept."""

    out = StringIO()

    def script(_: str, child: ScriptedChild) -> None:
        child.write("stdout", b"last words")

    with pytest.raises(DeadKernelError, match=r"^Kernel died$"):
        run(script, stdout_file=out)

    assert out.getvalue() == "last words"


def test_ticks_continue_and_their_error_is_raised() -> None:
    """`on_tick` is called while a cell runs; its error ends the run and is raised."""

    ticks: list[None] = []

    def on_tick() -> None:
        ticks.append(None)
        if len(ticks) == 5:
            msg = "enough"
            raise OSError(msg)

    def script(_: str, child: ScriptedChild) -> dict[str, Any]:
        child.is_interrupted.wait(5)
        return {}

    with pytest.raises(OSError, match="enough"):
        run(script, on_tick=on_tick)

    assert len(ticks) == 5


def test_the_child_gets_environment_and_directory(folder: Path) -> None:
    """The child gets environment and directory in a message at the start of the run."""

    child = ScriptedChild(lambda *_: {})
    papermill.execute_notebook(
        notebook(["1"]),
        None,
        engine_name="fork",
        progress_bar=False,
        child=child,
        environment={"A": "b"},
    )

    assert child.begun == ({"A": "b"}, os.fspath(folder))


def test_a_child_that_fails_to_start_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the child fails to start, nbclient runs the notebook, and the metadata has the reason."""

    asked: list[int] = []
    monkeypatch.setattr(
        "papermill.clientwrap.PapermillNotebookClient.execute",
        lambda client, **_: asked.append(client.startup_timeout),
    )

    book = papermill.execute_notebook(
        notebook(["1"]),
        None,
        engine_name="fork",
        progress_bar=False,
        child=ScriptedChild(lambda *_: {}, failure="ImportError: no IPython"),
        start_timeout=7,
    )

    reason = "the child could not start: ImportError: no IPython"
    assert book.metadata.papermill.engine == {"name": "nbclient", "reason": reason}
    assert asked == [7]
