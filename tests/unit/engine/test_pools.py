"""A pool of this machine: how many run at a time, and how it begins, goes on and ends."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.core.redaction import Secret
from runbook_lib.engine import pools as module
from runbook_lib.engine.pools import (
    PRELOADED,
    CompletedRequest,
    LocalPool,
    available_memory,
    default_workers,
)
from runbook_lib.engine.process import ProcessRequest
from tests.support.run_process import (
    DEAF,
    PATIENCE_SECONDS,
    REQUEST,
    SLEEPING,
    eventually,
    is_gone,
    performing,
    soon,
    telling,
)
from tests.support.wording import wording

pytestmark = pytest.mark.usefixtures("fake_runs", "folder")


def pool_of(workers: int = 1, withheld: Collection[str] = ()) -> LocalPool:
    """Return a pool that takes the environment of this moment."""
    return LocalPool(workers, os.environ, withheld, 600)


def value_of(request: ProcessRequest, pool: LocalPool | None = None) -> Any:
    """Return the value that a run says."""
    (done,) = (pool or pool_of()).run([[request]])
    return json.loads(done.event["message"])


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


def test_available_memory_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a part of the machine's memory, in MiB; where the system does not say, no limit."""
    total = psutil.virtual_memory().total / 2**20
    assert total / 100 < available_memory() < total

    def read_text(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("runbook_lib.engine.pools.Path.read_text", read_text)
    assert available_memory() == math.inf


def test_groups_share_the_workers() -> None:
    """As many groups run at a time as there are workers; a group's runs follow each other."""
    noting = (
        "mine = Path(request.tenant); mine.touch()",
        # The first two meet; in the rest of the time a third one is seen, if it began.
        "Path(f'met-{request.tenant}').touch()",
        "first = {'a': 'd', 'd': 'a'}.get(request.tenant, request.tenant)",
        "end = time.monotonic() + 20",
        "while not Path(f'met-{first}').exists() and time.monotonic() < end: time.sleep(0.02)",
        "time.sleep(0.3)",
        "together = sorted(path.name for path in Path().iterdir() if path.name < 'l')",
        "mine.unlink(); raise SettingsError(''.join(together))",
    )
    groups = [[performing(*noting, tenant=name) for name in group] for group in ("abc", "d", "ef")]
    done = {
        result.request.tenant: set(result.event["message"]) for result in pool_of(2).run(groups)
    }

    assert done.keys() == set("abcdef")
    assert max(map(len, done.values())) == 2
    assert not [seen for seen in done.values() if len(seen & set("abc")) > 1]
    assert not [seen for seen in done.values() if seen >= set("ef")]


# --- the server --------------------------------------------------------------------------


@pytest.mark.usefixtures("own_server")
def test_a_tenants_variables_are_there_while_others_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool takes them before any process is started, for which they leave the environment."""
    monkeypatch.setenv("RUNBOOK_A", "1")
    pool = pool_of(withheld=["RUNBOOK_A"])

    with module._environment_without(["RUNBOOK_A"]):
        assert "RUNBOOK_A" not in os.environ
        asking = telling("os.environ['RUNBOOK_A']", variables=["RUNBOOK_A"])
        assert value_of(asking, pool) == "1"


def test_preloaded_modules_are_there_in_each_process() -> None:
    """Each name of the list is loaded in each process, and the schema of notebooks is compiled."""
    from runbook_lib.engine.preloaded import NAMES  # noqa: PLC0415  (loads papermill)

    validating = (
        "import fastjsonschema, nbformat",
        "fastjsonschema.compile = None",
        "nbformat.validate(nbformat.v4.new_notebook())",
    )
    missing = f"[name for name in {[*PRELOADED, *NAMES]!r} if name not in sys.modules]"

    assert value_of(telling(missing, *validating)) == []


@pytest.mark.usefixtures("own_server")
def test_the_server_holds_no_credential() -> None:
    """No request is in the server's memory, nor in its environment or a later run's."""
    # NOTE: libraries have tables of digits in their order.
    secret = "9f3c1e77b2a64d05" * 2
    searching = telling(
        "[len(maps) > 20, len(found)]",
        "maps = Path(f'/proc/{os.getppid()}/maps').read_text().splitlines()",
        "memory = open(f'/proc/{os.getppid()}/mem', 'rb')",
        "found = []",
        "for line in maps:",
        "    start, end = (int(each, 16) for each in line.split()[0].split('-'))",
        "    if ' rw' in line and '[v' not in line:",
        "        memory.seek(start)",
        f"        found += re.findall({secret[:20]!r}.encode() + b'[0-9a-f]', "
        "memory.read(end - start))",
        secrets={"RUNBOOK_FACEBOOK_APP_SECRET": Secret(secret)},
    )

    assert [value_of(searching), value_of(searching)] == [[True, 0], [True, 0]]


@pytest.mark.usefixtures("own_server")
def test_a_killed_server_stops_no_run() -> None:
    """A run goes on when the server is killed, and the next run has another server."""
    # Both runs are other processes, so they poll.
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

    assert [result.event["event"] for result in done] == ["finished"] * 3


def test_the_time_of_a_run_begins_when_its_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes long to start takes nothing of the time of a run."""
    clock = time.monotonic
    start = module.start_process
    ahead = [0]

    def slowly(*arguments: Any) -> Any:
        ahead[0] += 1000
        return start(*arguments)

    monkeypatch.setattr(module, "start_process", slowly)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead[0])

    (done,) = pool_of().run([[REQUEST]])
    assert done.event["event"] == "finished"
    assert done.seconds < 1000


# --- one of them breaks, or all are stopped ----------------------------------------------

Arrange = Callable[[pytest.MonkeyPatch], ProcessRequest]


def request_run(request: ProcessRequest) -> Arrange:
    """Ask for this run."""
    return lambda _: request


def answered(answer: bytes) -> Arrange:
    """Have the first result be this."""

    def arrange(patch: pytest.MonkeyPatch) -> ProcessRequest:
        received = module.Connection.recv_bytes
        answers = iter([answer])
        patch.setattr(
            module.Connection, "recv_bytes", lambda end: next(answers, None) or received(end)
        )
        return REQUEST

    return arrange


def without_room(patch: pytest.MonkeyPatch) -> ProcessRequest:
    """Have no room for the first process."""
    start = module.start_process
    refusals = iter([OSError(11, "Resource temporarily unavailable")])

    def refusing(*arguments: Any) -> Any:
        for error in refusals:
            raise error
        return start(*arguments)

    patch.setattr(module, "start_process", refusing)
    return REQUEST


@pytest.mark.matrix(3)
@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (request_run(performing("os.kill(os.getpid(), signal.SIGKILL)")), "(signal 9)."),
        (
            request_run(replace(REQUEST, given={"a": object()})),
            wording("screens.runbook-broke", error="TypeError"),
        ),
        (request_run(performing("raise ZeroDivisionError")), "broke (ZeroDivisionError)."),
        (answered(b"{"), wording("screens.runbook-broke", error="JSONDecodeError")),
        (answered(b"[]"), wording("screens.runbook-broke", error="TypeError")),
        (answered(b'"text"'), wording("screens.runbook-broke", error="TypeError")),
        (answered(b"{}"), wording("screens.runbook-broke", error="KeyError")),
        (
            without_room,
            wording(
                "sealing-failed.process-not-started", reason="Resource temporarily unavailable"
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_others_of_a_pool_go_on(
    arrange: Arrange, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request's end is its result, also before it starts; the rest finish."""
    bad = replace(arrange(monkeypatch), tenant="bad")
    done = [
        (result.request.tenant, result.event)
        for result in pool_of().run([[bad, REQUEST], [REQUEST]])
    ]

    assert [event["event"] for tenant, event in done if tenant != "bad"] == ["finished"] * 2
    (event,) = (event for tenant, event in done if tenant == "bad")
    assert message in event["message"]
    assert event["next_step"]


@pytest.mark.parametrize("lines", [SLEEPING, DEAF], ids=["hears", "deaf"])
def test_a_pool_that_is_stopped_ends_what_runs(
    lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` interrupts what runs, and yields what comes of it; the rest is killed or not begun."""
    monkeypatch.setattr(module, "_STOP_SECONDS", 1 if lines is DEAF else PATIENCE_SECONDS)
    # Both runs are other processes, so this one polls.
    waiting = performing("while not Path('begun').exists(): time.sleep(0.02)", tenant="first")
    later = performing("Path('later').touch()")
    pool = pool_of(2)
    first = next(pool.run([[performing(*lines), later], [waiting], [later]]))
    left = list(pool.stop())

    assert first.request.tenant == "first"
    assert [done.event["message"] for done in left] == ([] if lines is DEAF else ["Interrupted."])
    pid = int(soon(Path("begun")).split()[0])
    eventually(lambda: is_gone(pid))
    assert not Path("later").exists()


def test_an_interrupted_wait_loses_no_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while results are read leaves each tenant with the pool, which then ends them."""

    def interrupted(_: Any) -> CompletedRequest:
        eventually(Path("begun").exists)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_STOP_SECONDS", PATIENCE_SECONDS)
    pool = pool_of(2)
    with monkeypatch.context() as patch:
        patch.setattr(module.TenantProcess, "done", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(pool.run([[REQUEST], [performing(*SLEEPING)]]))

    assert sorted(done.event["event"] for done in pool.stop()) == ["finished", "refused"]
