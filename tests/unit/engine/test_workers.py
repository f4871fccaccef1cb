"""The workers of this machine: how many run at a time, and how they go on and end."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runbook_lib.engine import workers as module
from runbook_lib.engine.elsewhere import RunEnd, sendable
from runbook_lib.engine.headless import RunRequest
from runbook_lib.engine.workers import (
    LocalWorkers,
    available_memory,
    default_workers,
    environment_without,
    run_all,
)
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


def ends(
    *groups: Collection[RunRequest], limit: int = 1, variables: Collection[str] = ()
) -> Iterator[tuple[str, RunEnd]]:
    """Run groups of requests; yield each tenant with the end of its run."""
    workers = LocalWorkers(limit, os.environ, variables, 600)
    asked = [[(sendable(request), [*variables]) for request in group] for group in groups]
    try:
        with environment_without(variables):
            for document, end in run_all(asked, workers):
                yield document["tenant"], end
    finally:
        workers.stop()


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

    monkeypatch.setattr("runbook_lib.engine.workers.Path.read_text", read_text)
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
    done = {tenant: set(end.message) for tenant, end in ends(*groups, limit=2)}

    assert done.keys() == set("abcdef")
    assert max(map(len, done.values())) == 2
    assert not [seen for seen in done.values() if len(seen & set("abc")) > 1]
    assert not [seen for seen in done.values() if seen >= set("ef")]


@pytest.mark.usefixtures("own_server")
def test_variables_reach_their_tenant_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has its own variable; the server, and so every process, was started without it."""
    monkeypatch.setenv("RUNBOOK_A", "of-a-tenant")
    asking = telling(
        "[request.environ['RUNBOOK_A'], 'of-a-tenant' in started]",
        "started = Path('/proc/self/environ').read_text()",
    )
    ((_, end),) = ends([asking], variables=["RUNBOOK_A"])

    assert json.loads(end.message) == ["of-a-tenant", False]
    assert os.environ["RUNBOOK_A"] == "of-a-tenant"


# --- one of them breaks, or all are stopped ----------------------------------------------


@pytest.mark.matrix(2)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (performing("os.kill(os.getpid(), signal.SIGKILL)"), "(signal 9)."),
        (performing("raise ZeroDivisionError"), "broke (ZeroDivisionError)."),
        (
            OSError(11, "Out of it"),
            wording("sealing-failed.process-not-started", reason="Out of it"),
        ),
        (TypeError("a secret"), wording("screens.runbook-broke", error="TypeError")),
    ],
    ids=["killed", "broken", "no room", "defect"],
)
def test_the_others_of_a_fleet_go_on(
    bad: RunRequest | Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request's end is its result, also before it starts; the rest finish."""
    start = module.forked
    errors = [bad] if isinstance(bad, Exception) else []

    def starting(*words: object) -> object:
        if errors:
            raise errors.pop()
        return start(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "forked", starting)
    first = replace(bad if isinstance(bad, RunRequest) else REQUEST, tenant="bad")
    done = list(ends([first, REQUEST], [REQUEST]))

    assert [bool(end.bundle) for tenant, end in done if tenant != "bad"] == [True] * 2
    (end,) = (end for tenant, end in done if tenant == "bad")
    assert message in end.message
    assert end.next_step


@pytest.mark.parametrize("lines", [SLEEPING, DEAF], ids=["hears", "deaf"])
def test_workers_that_are_stopped_end_what_runs(
    lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopping interrupts what runs, kills it if it does not hear, and begins nothing else."""
    monkeypatch.setattr(module, "_STOP_SECONDS", 1 if lines is DEAF else PATIENCE_SECONDS)
    # Both runs are other processes, so this one polls.
    waiting = performing("while not Path('begun').exists(): time.sleep(0.02)", tenant="first")
    later = performing("Path('later').touch()")
    with closing(ends([performing(*lines), later], [waiting], limit=2)) as done:  # type: ignore[type-var]
        assert next(done)[0] == "first"

    pid = int(soon(Path("begun")).split()[0])
    eventually(lambda: is_gone(pid))
    assert Path("interrupted").exists() is (lines is SLEEPING)
    assert not Path("later").exists()
