"""The shell, in this process: outputs of cells, and input requests."""

from __future__ import annotations

import asyncio
import builtins
import getpass
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.fork_engine import worker
from runbook_lib.fork_engine.shell import Shell, make_shell


class Said(list[tuple[str, dict[str, Any]]]):
    """The messages that the shell published."""

    def publish(self, kind: str, content: dict[str, Any], **about: Any) -> None:
        """Store a message."""
        self.append((kind, {**content, **about}))


@pytest.fixture
def said() -> Said:
    """Return the published messages."""
    return Said()


@pytest.fixture
def shell(said: Said, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Yield a shell, and restore what it changes in this process."""
    monkeypatch.setattr(os, "environ", dict(os.environ, IPYTHONDIR=str(folder), MPLBACKEND=""))
    for owner, name in ((builtins, "input"), (getpass, "getpass"), (sys, "path")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    yield make_shell(said.publish)
    Shell.clear_instance()
    InteractiveShell.clear_instance()


def execute(shell: Shell, source: str) -> dict[str, Any]:
    """Run a cell as the child does; return its reply."""
    before = signal.getsignal(signal.SIGINT)
    try:
        return asyncio.run(worker._execute(shell, source))
    finally:
        signal.signal(signal.SIGINT, before)


def test_results_and_displays_are_published(shell: Shell, said: Said) -> None:
    """A cell's result has its execution count; a display has its id."""

    reply = execute(shell, "h = display('a', display_id='x')\nh.update('b')\n1 + 1")

    assert reply == {"status": "ok"}
    assert said == [
        ("display_data", {"data": {"text/plain": "'a'"}, "metadata": {}, "display_id": "x"}),
        ("update_display_data", {"data": {"text/plain": "'b'"}, "metadata": {}, "display_id": "x"}),
        ("execute_result", {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1}),
    ]


def test_a_result_that_cannot_be_formatted_fails_its_cell(shell: Shell, said: Said) -> None:
    """An error in formatting a result is the cell's error, and there is no result."""

    reply = execute(shell, "class A:\n    def __repr__(self): raise ValueError('no')\nA()")

    assert reply["status"] == "error"
    assert [kind for kind, _ in said] == ["error"]
    assert execute(shell, "1")["status"] == "ok"


@pytest.mark.parametrize(
    ("call", "name"), [("input()", "raw_input"), ("import getpass\ngetpass.getpass()", "getpass")]
)
def test_input_is_an_error(shell: Shell, call: str, name: str) -> None:
    """A request for input raises ipykernel's error."""

    reply = execute(shell, call)

    assert reply["ename"] == "StdinNotImplementedError"
    assert (
        reply["evalue"] == f"{name} was called, but this frontend does not support input requests."
    )


def test_cells_may_await(shell: Shell, said: Said) -> None:
    """Top-level `await` works, and the cell's events are triggered."""

    shell.user_ns["events"] = []
    execute(
        shell, "ip = get_ipython()\nip.events.register('post_execute', lambda: events.append(1))"
    )
    reply = execute(shell, "import asyncio\nawait asyncio.sleep(0, 7)")

    assert reply["status"] == "ok"
    assert said[-1][1]["data"] == {"text/plain": "7"}
    assert shell.user_ns["events"] == [1, 1]


def test_a_cell_with_invalid_syntax_fails(shell: Shell, said: Said) -> None:
    """Invalid syntax or an unknown magic is the cell's error."""

    assert execute(shell, "1 1")["ename"] == "SyntaxError"
    assert execute(shell, "%%nosuch\n1")["ename"] == "UsageError"


def test_exit_ends_the_kernel_unless_it_is_kept(shell: Shell) -> None:
    """`exit` has the kernel end, once; `exit(True)` keeps it."""

    asked: list[bool] = []
    shell.on_exit = lambda: asked.append(True)
    execute(shell, "exit(True)")
    assert asked == []

    execute(shell, "exit")
    execute(shell, "quit()")
    assert asked == [True]


def test_pagers_show_nothing(shell: Shell, said: Said) -> None:
    """A pager shows nothing."""

    execute(shell, "len?")
    assert said == []


def test_outputs_can_be_cleared(shell: Shell, said: Said) -> None:
    """`clear_output` is published."""

    execute(shell, "from IPython.display import clear_output\nclear_output(wait=True)\n%gui")

    assert said == [("clear_output", {"wait": True})]
