"""The call of nbclient in place of the fork engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from nbformat import validate
from nbformat.v4 import new_output
from papermill.engines import NBClientEngine

from runbook_lib.fork_engine import bounds, fallback
from tests.support.notebooks import notebook


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Return a function that replaces papermill's own engine."""

    def put(function: Callable[..., None]) -> None:
        monkeypatch.setattr(NBClientEngine, "execute_managed_notebook", function)

    return put


def test_options_are_passed_on_unchanged(stand_in: Any) -> None:
    """Without an environment and ticks, papermill's engine gets the options unchanged."""

    calls: list[Any] = []
    stand_in(lambda *args, **options: calls.append((args, options)))
    fallback.execute("manager", "python3", None, None, {"a": 1})

    ((manager, name), options) = calls[0]
    assert manager.upper() == "MANAGER"
    assert (name, options) == ("python3", {"a": 1})


class Account:
    """Papermill's account of a run, which does nothing."""

    nb = None

    def cell_start(self, cell: Any, cell_index: int) -> None:
        """Begin a cell."""

    def autosave_cell(self) -> None:
        """Save now and then."""

    def cell_complete(self, cell: Any, cell_index: int) -> None:
        """End a cell."""


def test_the_outputs_of_a_kernel_are_bounded(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are cut as they come, in their places; cleared ones do not count."""

    monkeypatch.setattr(bounds, "CELL_BYTES", 4096)
    cell = notebook(["1"]).cells[0]
    sizes: list[int] = []

    def show(manager: Any, output: Any) -> None:
        cell.outputs.append(output)
        manager.autosave_cell()
        sizes.append(len(str(output)))

    def run(manager: Any, _: str) -> None:
        manager.cell_start(cell, 0)
        for _ in range(3):
            cell.outputs[:] = []
            show(manager, new_output("stream", name="stdout", text="x" * 3000))
        show(manager, new_output("display_data", data={"text/plain": "y" * 3000}))
        show(manager, new_output("stream", name="stdout", text="z" * 3000))
        show(manager, new_output("error", ename="E", evalue="v" * 5000, traceback=["t"]))
        manager.cell_complete(cell, cell_index=0)

    stand_in(run)
    fallback.execute(Account(), "python3", None, None, {})

    text, display, rest, error, line = cell.outputs
    assert (text.text, display.data, rest.text) == ("x" * 3000, {}, "z" * 1096)
    assert error.evalue == "v" * 4096
    assert line.text == "… 6 KiB of output left out: a cell keeps 0 MiB.\n"
    assert sizes[3] < 200
    validate(cell, ref="code_cell", version=4)


def test_the_kernel_gets_only_the_given_environment(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any kernel manager starts the kernel with the given environment only."""

    class Base:
        async def start_kernel(self, **keywords: Any) -> Any:
            return keywords

    started: list[Any] = []

    def start(*_: Any, kernel_manager_class: Any) -> None:
        started.append(asyncio.run(kernel_manager_class().start_kernel(env={"SECRET": "x"}, a=1)))

    stand_in(start)
    fallback.execute("manager", "k", {"A": "b"}, None, {"kernel_manager_class": Base})

    assert started == [{"env": {"A": "b"}, "a": 1}]


def test_a_tick_that_raises_kills_the_kernel(stand_in: Any) -> None:
    """An error of `on_tick` kills the kernel and is raised once nbclient has ended."""

    events: list[str] = []

    class Process:
        def kill(self) -> None:
            events.append("killed")

    class Base:
        class provisioner:
            process = Process()

        def start_kernel(self, **_: Any) -> None:
            events.append("started")

    def run(*_: Any, kernel_manager_class: Any) -> None:
        kernel_manager_class().start_kernel()
        while "killed" not in events:
            time.sleep(0.01)
        events.append("ended")

    def on_tick() -> None:
        if events:
            raise KeyboardInterrupt

    stand_in(run)
    with pytest.raises(KeyboardInterrupt):
        fallback.execute("manager", "k", {}, on_tick, {"kernel_manager_class": Base})

    assert events == ["started", "killed", "ended"]


def test_an_error_of_nbclient_is_raised(stand_in: Any) -> None:
    """With ticks too, an error of nbclient reaches the caller."""

    def run(*_: Any) -> None:
        msg = "Kernel died"
        raise RuntimeError(msg)

    stand_in(run)
    with pytest.raises(RuntimeError, match="Kernel died"):
        fallback.execute("manager", "k", None, lambda: None, {})
