"""When nbclient runs a notebook in place of the fork engine, and how it is called."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager
from nbformat import validate
from nbformat.v4 import output_from_msg
from papermill.clientwrap import PapermillNotebookClient

from runbook_lib.fork_engine import fallback, outputs
from runbook_lib.fork_engine.fallback import NotOursError, kernel_environment
from tests.support.notebooks import notebook


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Return a function that replaces the execution by papermill's client."""

    def put(function: Callable[..., None]) -> None:
        monkeypatch.setattr(PapermillNotebookClient, "execute", function)

    return put


def execute(on_tick: Callable[[], None] | None = None, **options: Any) -> Any:
    """Have nbclient execute a notebook of one cell; return the notebook."""
    account = SimpleNamespace(nb=notebook(["1"]))
    client = fallback.make_client(account, "python3", options)
    fallback.execute(client, {"A": "b"}, on_tick)
    return account.nb


def test_options_have_papermills_meaning(stand_in: Any) -> None:
    """The client gets the options as from papermill's own engine."""

    clients: list[Any] = []
    stand_in(lambda client, **_: clients.append(client))
    execute(input_path="in", start_timeout=7, execution_timeout=3, allow_errors=True)
    execute(timeout=4)

    assert [(c.startup_timeout, c.timeout, c.allow_errors) for c in clients] == [
        (7, 3, True),
        (60, 4, False),
    ]


def test_the_outputs_of_a_kernel_are_bounded(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are cut as they come, in their places; cleared ones do not count."""

    monkeypatch.setattr(outputs, "CELL_BYTES", 4096)
    sizes: list[int] = []

    def run(client: Any, **_: Any) -> None:
        outs = client.nb.cells[0].outputs

        def show(kind: str, **content: Any) -> None:
            message = {"msg_type": kind, "header": {"msg_type": kind}, "content": content}
            assert output_from_msg(message)
            sizes.append(len(str(client.output(outs, {**message, "parent_header": {}}, None, 0))))

        for _ in range(3):
            client.clear_before_next_output = True
            show("stream", name="stdout", text="x" * 3000)
        show("display_data", data={"text/plain": "y" * 3000}, metadata={})
        show("stream", name="stdout", text="z" * 3000)
        show("error", ename="E", evalue="v" * 5000, traceback=["t"])

    stand_in(run)
    cell = execute().cells[0]

    text, display, line, rest, error = cell.outputs
    assert (text.text, display.data, rest.text) == ("x" * 3000, {}, "z" * 1096)
    assert error.evalue == "v" * 4096
    assert line.text == "… 6 KiB of output left out: a cell keeps 0 MiB.\n"
    assert sizes[3] < 200
    validate(cell, ref="code_cell", version=4)


def test_the_kernel_gets_only_the_given_environment(stand_in: Any) -> None:
    """The kernel is started with the given environment only, and its sockets are private."""

    started: list[Any] = []
    stand_in(lambda client, **keywords: started.append((client.km, keywords)))
    execute()

    ((kernel, keywords),) = started
    assert keywords == {"env": {"A": "b"}, "cleanup_kc": True}
    assert kernel.transport == "ipc"


def test_a_tick_that_raises_kills_the_kernel(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of `on_tick` kills the kernel and is raised once nbclient has ended."""

    events: list[str] = []

    def run(client: Any, **_: Any) -> None:
        process = SimpleNamespace(kill=lambda: events.append("killed"))
        client.km.provisioner = SimpleNamespace(process=process)
        events.append("started")
        while "killed" not in events:
            time.sleep(0.01)
        client.km.provisioner = None
        events.append("ended")

    def on_tick() -> None:
        if events:
            raise KeyboardInterrupt

    class Manager(AsyncKernelManager):
        provisioner: Any = None

    stand_in(run)
    with pytest.raises(KeyboardInterrupt):
        execute(on_tick, kernel_manager_class=Manager)

    assert events == ["started", "killed", "ended"]


def test_an_error_of_nbclient_is_raised(stand_in: Any) -> None:
    """An error of nbclient reaches the caller."""

    def run(*_: Any, **__: Any) -> None:
        msg = "Kernel died"
        raise RuntimeError(msg)

    stand_in(run)
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute(lambda: None)


MODULE = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write some kernel specifications into the first folder that Jupyter searches."""
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    for name, argv in {
        "generic": ["python", *MODULE],
        "exact": [sys.executable, *MODULE],
        "elsewhere": ["/opt/elsewhere/bin/python3", *MODULE],
        "shell": ["/bin/sh", *MODULE],
        "other": [sys.executable, "-m", "bash_kernel"],
    }.items():
        place = folder / "kernels" / name / "kernel.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps({"argv": argv, "env": {"NAME": name}}))


@pytest.mark.parametrize("name", ["generic", "exact", "Exact"])
def test_ipykernel_in_this_interpreter_is_accepted(kernels: None, name: str) -> None:
    """For ipykernel in this interpreter, the environment of the specification is returned."""

    assert kernel_environment(name) == {"NAME": name.lower()}


@pytest.mark.parametrize("name", ["elsewhere", "shell", "other"])
def test_any_other_program_is_refused(kernels: None, name: str) -> None:
    """For another program, the error names it."""

    with pytest.raises(NotOursError, match=f"{name} is another program: "):
        kernel_environment(name)


def test_a_kernel_that_is_not_installed_is_refused() -> None:
    """A kernel without a specification is refused; `python3`, Jupyter's own, needs none."""

    assert kernel_environment("python3") == {}
    with pytest.raises(NotOursError, match="no kernel is called nosuch"):
        kernel_environment("nosuch")
