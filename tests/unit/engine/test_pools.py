"""A pool of this machine: how many run at a time, and a process for each, which ends in time."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.core.redaction import Secret
from runbook_lib.engine import pools as module
from runbook_lib.engine.pools import (
    PRELOADED,
    Done,
    LocalPool,
    available_memory,
    default_workers,
)
from runbook_lib.engine.process import ProcessRequest
from tests.support.run_process import REQUEST

_PATIENCE_SECONDS = 30
ROOT = Path(__file__).parents[3]
IMPORTS = """
import json, os, re, signal, sys, time
from pathlib import Path
from runbook_lib.engine import process
from runbook_lib.errors import LeakError, SettingsError
"""


@pytest.fixture(autouse=True, scope="module")
def _servers_end() -> Iterator[None]:
    """Let these tests share a fork server, with which no other module's tests begin or go on."""
    end_servers()
    yield
    end_servers()


@pytest.fixture(autouse=True)
def _fake_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a server that is started do what their request says."""
    monkeypatch.setattr(module, "PRELOADED", [*PRELOADED, "tests.support.fake_runs"])
    # NOTE: the server imports from here, whatever the working directory.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def own_server() -> Iterator[None]:
    """Give this test a server of its own, which is started in the environment of the test."""
    end_servers()
    yield
    end_servers()


needs_own_server = pytest.mark.usefixtures("own_server")


def servers() -> list[psutil.Process]:
    """Return the fork servers of this process."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess):
            found += [child] if "multiprocessing.forkserver" in str(child.cmdline()) else []
    return found


def end_servers() -> None:
    """Kill them, with what they run."""
    for server in servers():
        for process in (server, *server.children(recursive=True)):
            process.kill()


def pool_of(
    workers: int = 1, withheld: Collection[str] = (), seconds: float = _PATIENCE_SECONDS
) -> LocalPool:
    """Return a pool that takes the environment of this moment."""
    return LocalPool(workers, os.environ, withheld, seconds)


def performing(*lines: str, **more: object) -> ProcessRequest:
    """Return a request whose run does this."""
    program = IMPORTS + "\n".join(lines)
    return replace(REQUEST, given={**REQUEST.given, "program": program}, **more)  # type: ignore[arg-type]


def event_of(
    request: ProcessRequest, pool: LocalPool | None = None, seconds: float = _PATIENCE_SECONDS
) -> Mapping[str, Any]:
    """Return the last event of a run."""
    (done,) = (pool or pool_of(seconds=seconds)).run([[request]])
    return done.event


def heard(request: ProcessRequest, pool: LocalPool | None = None) -> str:
    """Return what a run says of itself, where the program puts it."""
    event = event_of(request, pool)
    return str(event.get("said", event))


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it is not in time."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    assert is_so()


def soon(path: Path) -> str:
    """Return what a file holds, once it holds something."""
    eventually(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def is_gone(number: int) -> bool:
    """Return whether a process has ended, whether or not its new parent knows yet."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- how many ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "mebibytes", "workers"),
    [
        (1, 4_000, 4),
        (2, 4_000, 8),
        (2, 799, 7),
        (2, 0, 1),
        (64, 100_000, 16),
        (2, math.inf, 8),
    ],
)
def test_processors_memory_and_hosts_limit_the_workers(
    cores: int, mebibytes: float, workers: int
) -> None:
    """Four for each core, one for each 100 MiB that are available, at most 16, at least one."""
    assert default_workers(cores, mebibytes) == workers


def test_available_memory_is_the_systems() -> None:
    """It is a part of the machine's memory, in MiB."""
    total = psutil.virtual_memory().total / 2**20

    assert total / 100 < available_memory() < total


def test_memory_that_nobody_knows_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say what is available, it limits nothing."""

    def read_text(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("runbook_lib.engine.pools.Path.read_text", read_text)

    assert available_memory() == math.inf


# --- a process for each ------------------------------------------------------------------


def test_the_last_event_is_returned_whatever_was_printed() -> None:
    """What a run prints is no event, nor is a wait; its result comes back."""

    noisy = performing("print('noise', flush=True)", "listener.on_wait('Waiting.')")
    finished = event_of(noisy)

    assert (finished["event"], finished["outcome"]) == ("finished", "incomplete")
    assert (finished["is_archived"], finished["said"]) == (True, "")


def test_an_error_keeps_its_exit_code() -> None:
    """A refused run has its message, and what it comes to as exit code."""

    error = event_of(performing("raise LeakError('A leak.')"))

    assert (error["event"], error["said"], error["code"]) == ("refused", "A leak.", 4)


def test_what_a_sealed_run_lacks_is_named() -> None:
    """The last event says that the notebook broke off, and that the archive refused."""

    event = event_of(replace(REQUEST, tenant="broken"))

    assert event["said"] == "The notebook broke off: the kernel died. Not archived: No."
    assert (event["is_archived"], event["next_step"]) == (False, "Do that.")


@needs_own_server
def test_each_run_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have one parent, and what one leaves in memory or environment the next does not find."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    monkeypatch.setenv("RUNBOOK_B", "2")
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    pool = pool_of(withheld=["RUNBOOK_A", "RUNBOOK_B"])
    lines = (
        "names = {'RUNBOOK_A', 'RUNBOOK_B', 'LEFT', 'JPY_SESSION_NAME'}",
        "known = sorted(names & set(os.environ))",
        "seen = [os.getpid(), os.getppid(), known, getattr(process, 'left', None), os.getsid(0)]",
        "os.environ['LEFT'] = process.left = 'x'",
        "raise SettingsError(json.dumps(seen))",
    )

    asking = ["RUNBOOK_A"], ["RUNBOOK_B", "RUNBOOK_NONE"]
    requests = [performing(*lines, variables=names) for names in asking]
    first, second = (json.loads(done.event["said"]) for done in pool.run([requests]))

    assert first[0] != second[0]
    assert first[1] == second[1] == servers()[0].pid
    assert (first[2:4], second[2:4]) == ([["RUNBOOK_A"], None], [["RUNBOOK_B"], None])
    assert (first[4], second[4]) == (first[0], second[0])
    assert {"RUNBOOK_A", "RUNBOOK_B", "JPY_SESSION_NAME"} < set(os.environ)


@needs_own_server
def test_a_tenants_variables_are_there_while_others_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool takes them before any process is started, for which they leave the environment."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    pool = pool_of(withheld=["RUNBOOK_A"])
    asking = performing("raise SettingsError(os.environ['RUNBOOK_A'])", variables=["RUNBOOK_A"])

    with module._environment_without(["RUNBOOK_A"]):
        assert "RUNBOOK_A" not in os.environ
        assert heard(asking, pool) == "1"


def test_what_is_preloaded_is_there_in_each_process() -> None:
    """A name in the list that cannot be imported would be ignored: each is loaded."""

    missing = "raise SettingsError(json.dumps([n for n in NAMES if n not in sys.modules]))"
    from runbook_lib.engine.preloaded import NAMES  # noqa: PLC0415  (loads papermill)

    names = [*PRELOADED, *NAMES]

    assert heard(performing(f"NAMES = {names!r}", missing)) == "[]"


def test_no_process_compiles_the_schema_of_notebooks() -> None:
    """The server has compiled it, which takes longer than to validate the notebooks of a run."""

    validating = performing(
        "import fastjsonschema, nbformat",
        "fastjsonschema.compile = None",
        "nbformat.validate(nbformat.v4.new_notebook())",
        "raise SettingsError('valid')",
    )

    assert heard(validating) == "valid"


@needs_own_server
def test_the_server_holds_no_credential() -> None:
    """No request is in the memory of the server, nor in its environment or that of a later run."""

    # NOTE: libraries have tables of digits in their order.
    secret = "9f3c1e77b2a64d05" * 2
    searching = performing(
        "maps = Path(f'/proc/{os.getppid()}/maps').read_text().splitlines()",
        "memory = open(f'/proc/{os.getppid()}/mem', 'rb')",
        "found = []",
        "for line in maps:",
        "    start, end = (int(each, 16) for each in line.split()[0].split('-'))",
        "    if ' rw' in line and '[v' not in line:",
        "        memory.seek(start)",
        f"        found += re.findall({secret[:20]!r}.encode() + b'[0-9a-f]', "
        "memory.read(end - start))",
        "raise SettingsError(f'{len(maps) > 20} {len(found)}')",
        secrets={"RUNBOOK_FACEBOOK_APP_SECRET": Secret(secret)},
    )

    assert heard(searching) == "True 0"
    assert heard(searching) == "True 0"


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("os._exit(7)", "exit code 7"),
        ("os._exit(0)", "exit code 0"),
    ],
)
def test_a_crash_is_named_and_others_go_on(last: str, why: str) -> None:
    """A run that ends without a result is named with its signal or exit code; others go on."""

    event = event_of(performing(last))

    assert event["said"] == f"The run's process ended without a result ({why})."
    assert event["next_step"]
    assert event_of(REQUEST)["event"] == "finished"


@needs_own_server
def test_a_killed_server_stops_no_run(folder: Path) -> None:
    """A run goes on when the server is killed, and the next run has another server."""

    going_on = performing(
        "Path('begun').write_text(str(os.getppid()))",
        "while not Path('killed').exists(): time.sleep(0.02)",
    )
    killing = performing(
        "while not Path('begun').exists() or not Path('begun').read_text(): time.sleep(0.02)",
        "os.kill(int(Path('begun').read_text()), signal.SIGKILL)",
        "Path('killed').touch()",
    )
    done = pool_of(2).run([[going_on, REQUEST], [killing]])

    assert [each.event["event"] for each in done] == ["finished"] * 3


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_run_that_takes_too_long_is_ended(
    is_deaf: bool, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """After its time a run may write its end, and is killed if it does not."""

    grace = 1 if is_deaf else _PATIENCE_SECONDS
    monkeypatch.setattr(module, "GRACE_SECONDS", grace)
    slow = performing(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN) if {is_deaf} else None",
        "try: Path('begun').write_text(str(os.getpid())); time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    # The server has loaded everything then, so that the run begins within its time.
    assert event_of(REQUEST)["event"] == "finished"

    event = event_of(slow, seconds=5)

    assert event["said"] == "The run took longer than 5 seconds, and was ended."
    assert "--timeout" in event["next_step"]
    assert (folder / "interrupted").exists() is not is_deaf
    pid = int((folder / "begun").read_text())
    eventually(lambda: is_gone(pid))


def test_groups_share_the_workers(folder: Path) -> None:
    """As many groups run at a time as there are workers; those of a group one after the other."""

    noting = (
        "mine = Path(request.tenant); mine.touch(); time.sleep(0.3)",
        "together = sorted(path.name for path in Path().iterdir() if path.name < 'l')",
        "mine.unlink(); raise SettingsError(''.join(together))",
    )
    groups = [[performing(*noting, tenant=name) for name in group] for group in ("abc", "d", "ef")]
    done = {each.request.tenant: set(each.event["said"]) for each in pool_of(2).run(groups)}

    assert done.keys() == set("abcdef")
    assert max(map(len, done.values())) == 2
    assert not [seen for seen in done.values() if len(seen & set("abc")) > 1]
    assert not [seen for seen in done.values() if seen >= set("ef")]


@pytest.mark.parametrize(
    ("request_of_it", "said"),
    [
        (performing("os.kill(os.getpid(), signal.SIGKILL)"), "signal 9"),
        (replace(REQUEST, given={"a": object()}), "The runbook itself broke (TypeError)."),
        (performing("raise ZeroDivisionError"), "The runbook itself broke (ZeroDivisionError)."),
    ],
    ids=["killed", "no document", "defect"],
)
def test_the_others_of_a_pool_go_on(request_of_it: ProcessRequest, said: str) -> None:
    """Whatever becomes of one request, also before it starts, is its result; the rest finish."""

    bad = replace(request_of_it, tenant="bad")
    groups = [[REQUEST], [bad, REQUEST], [REQUEST]]
    done = [(each.request.tenant, each.event) for each in pool_of(2).run(groups)]

    assert [event["event"] for tenant, event in done if tenant != "bad"] == ["finished"] * 3
    (event,) = (event for tenant, event in done if tenant == "bad")
    assert said in event["said"]
    assert event["next_step"]


@pytest.mark.parametrize("answer", [b"{", b"[]", b'"text"', b"{}"])
def test_a_result_that_is_none_is_the_tenants_own(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that cannot be read is a defect of that run, and the next one is performed."""

    received = module.Connection.recv_bytes
    answers = iter([answer])
    monkeypatch.setattr(
        module.Connection, "recv_bytes", lambda end: next(answers, None) or received(end)
    )
    done = [each.event for each in pool_of().run([[REQUEST, REQUEST]])]

    assert done[0]["event"] == "refused"
    assert "The runbook itself broke" in done[0]["said"]
    assert done[1]["event"] == "finished"


def test_a_process_that_cannot_start_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a process the reason is the result, and the next request is tried."""

    start, refusals = module._start, iter([OSError(11, "Resource temporarily unavailable")])

    def refusing(*arguments: Any) -> Any:
        for error in refusals:
            raise error
        return start(*arguments)

    monkeypatch.setattr(module, "_start", refusing)
    first, second = pool_of().run([[REQUEST, REQUEST]])

    assert first.event["said"] == (
        "A process could not be started: Resource temporarily unavailable."
    )
    assert second.event["event"] == "finished"


def test_the_time_of_a_run_begins_when_its_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes long to start takes nothing of the time of a run."""

    clock, start, ahead = time.monotonic, module._start, [0]

    def slowly(*arguments: Any) -> Any:
        ahead[0] += 1000
        return start(*arguments)

    monkeypatch.setattr(module, "_start", slowly)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead[0])

    (done,) = pool_of().run([[REQUEST]])
    assert done.event["event"] == "finished"
    assert done.seconds < 1000


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_pool_that_is_stopped_ends_what_runs(
    is_deaf: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` interrupts what runs, and yields what comes of it; the rest is killed or not begun."""

    monkeypatch.setattr(module, "_STOP_SECONDS", 1 if is_deaf else _PATIENCE_SECONDS)
    sleeping = performing(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN) if {is_deaf} else None",
        "Path('begun').write_text(str(os.getpid())); time.sleep(60)",
    )
    waiting = performing("while not Path('begun').exists(): time.sleep(0.02)", tenant="first")
    later = performing("Path('later').touch()")
    pool = pool_of(2)
    results = pool.run([[sleeping, later], [waiting], [later]])
    first = next(results)
    left = list(pool.stop())

    assert first.request.tenant == "first"
    assert [done.event["said"] for done in left] == ([] if is_deaf else ["Interrupted."])
    pid = int(soon(folder / "begun"))
    eventually(lambda: is_gone(pid))
    assert not (folder / "later").exists()


def test_an_interrupted_wait_loses_no_tenant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while results are read leaves each tenant with the pool, which then ends them."""

    def interrupted(_: Any) -> Done:
        eventually((folder / "begun").exists)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_STOP_SECONDS", _PATIENCE_SECONDS)
    pool = pool_of(2)
    with monkeypatch.context() as patch:
        patch.setattr(module._Tenant, "done", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(pool.run([[REQUEST], [performing("Path('begun').touch(); time.sleep(60)")]]))

    assert sorted(done.event["event"] for done in pool.stop()) == ["finished", "refused"]


PARENT = """
import os, sys
from runbook_lib.engine import pools
from tests.unit.engine.test_pools import performing
if __name__ == "__main__":
    pools.PRELOADED[:] = ["tests.support.fake_runs"]
    begin = "Path('begun').write_text(f'{os.getpid()} {os.getppid()}')"
    request = performing(
        f"try: {begin}; time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    list(pools.LocalPool(1, os.environ, (), 60).run([[request]]))
"""


def test_a_run_does_not_outlive_whoever_asked_for_it(folder: Path) -> None:
    """When the parent is killed the run is interrupted, so its journal says so, and all end."""

    (folder / "parent.py").write_text(PARENT)
    parent = psutil.Popen([sys.executable, "parent.py"])
    processes = [psutil.Process(int(number)) for number in soon(folder / "begun").split()]
    parent.kill()

    assert psutil.wait_procs([parent, *processes], timeout=_PATIENCE_SECONDS)[1] == []
    assert (folder / "interrupted").exists()


def test_credentials_go_over_a_pipe_alone() -> None:
    """Others can read command line and environment: no credential is in them."""

    looking = performing(
        "own = Path('/proc/self')",
        "seen = own.joinpath('cmdline').read_bytes() + own.joinpath('environ').read_bytes()",
        f"names = {sorted(REQUEST.secrets)!r}",
        "values = [request.environ[name] for name in names]",
        "found = [value for value in values if value.encode() in seen]",
        "import resource",
        "core = resource.getrlimit(resource.RLIMIT_CORE)",
        "raise SettingsError(json.dumps([len(values), found, core]))",
    )

    assert json.loads(heard(looking)) == [2, [], [0, 0]]
