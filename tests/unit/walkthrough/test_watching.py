"""What changes outside is shown: waiting steps, other processes, the settings file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.config.credentials import EnvFileStore
from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import Input
from runbook_lib.errors import UnreachableError
from tests.support.words import submitted
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import Make, spending
from tests.unit.walkthrough.stage import (
    DEADLINE,
    app_step,
    eventually,
    make_run,
    make_step,
    settled,
    verified,
    waiting_step,
    waits,
)


def test_results_of_another_process_are_shown(scene: Make, tmp_path: Path) -> None:
    """Results that another process records are shown without an action here."""

    steps = (app_step(), make_step("b", verified))
    play = scene(*steps)
    play.walkthrough.start()

    with_other = make_run(tmp_path, *steps)
    with_other.perform("app")
    with_other.perform("b")
    with_other.close()

    eventually(lambda: play.screens["app"].view["outcome"] == "verified")
    eventually(lambda: play.header.view["settled"] == 2)
    assert play.screens["app"].view["finished"] == 0


def test_a_waiting_step_is_watched_without_writing(scene: Make) -> None:
    """A waiting step is checked again and again without a line in the journal."""

    looks = []

    def still(context: CheckContext) -> Finding:
        looks.append(context)
        return waits(context)

    play = scene(waiting_step(still), watch_seconds=0.01)
    play.run.perform("wait")
    before = play.types
    play.walkthrough.start()
    eventually(lambda: len(looks) >= 5)

    assert play.types == before
    assert play.screens["wait"].view["finished"] == 0
    assert play.screens["wait"].view["is_watched"]


def test_a_change_of_a_waiting_step_is_recorded(scene: Make) -> None:
    """Once the outside party has acted, the step is checked and the result is recorded."""

    is_live = threading.Event()

    def review(context: CheckContext) -> Finding:
        return (verified if is_live.is_set() else waits)(context)

    play = scene(waiting_step(review), watch_seconds=0.01)
    play.run.perform("wait")
    play.walkthrough.start()
    eventually(lambda: play.screens["wait"].view["outcome"] == "waiting")
    is_live.set()

    view = settled(play.screens["wait"])
    assert view["outcome"] == "verified"
    assert play.types == ["step.started", "step.checked"] * 2


def noting(
    calls: list[CheckContext], check: Callable[[CheckContext], Finding]
) -> Callable[[CheckContext], Finding]:
    """Return `check`, which notes each call in `calls`."""

    def run(context: CheckContext) -> Finding:
        calls.append(context)
        return check(context)

    return run


def test_only_shown_waiting_steps_are_watched(scene: Make) -> None:
    """A step that is open, not shown, or without a check is not watched."""

    looked: list[CheckContext] = []
    ticks: list[CheckContext] = []
    play = scene(
        app_step(noting(looked, verified)),
        waiting_step(noting(ticks, waits)),
        make_step("word"),
        make_step("other", noting(looked, waits)),
        watch_seconds=0.01,
    )
    del play.walkthrough.displays._panels["other"]
    play.run.perform("other")
    play.run.perform("wait")
    play.run.say([submitted("word")])
    looked.clear()
    play.walkthrough.start()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def test_what_spends_something_is_neither_watched_nor_checked_by_itself(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that uses something up runs by its own button only."""

    looked: list[CheckContext] = []
    ticks: list[CheckContext] = []
    play = scene(
        make_step("first", verified),
        spending(make_step("spends", noting(looked, waits), requires=("first",))),
        waiting_step(noting(ticks, waits)),
        watch_seconds=0.01,
    )
    for name in ("first", "spends", "wait"):
        play.run.perform(name)
    looked.clear()
    assert play.walkthrough._go_on(play.step("first")) == ""
    play.walkthrough.start()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def test_a_busy_step_is_not_watched(scene: Make) -> None:
    """A step that is being checked is not checked a second time."""

    begun, released, calls = threading.Event(), threading.Event(), []

    def review(context: CheckContext) -> Finding:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            begun.set()
            released.wait(DEADLINE)
        return waits(context)

    play = scene(waiting_step(review), watch_seconds=0.0)
    play.run.perform("wait")
    play.walkthrough.perform(play.step("wait"), {})
    begun.wait(DEADLINE)
    views = len(play.header.views)
    play.walkthrough._watch()

    assert len(calls) == 2
    assert len(play.header.views) == views
    released.set()
    settled(play.screens["wait"])


def test_an_outage_does_not_end_the_watching(scene: Make) -> None:
    """A failed look, as without a network, is not recorded and does not stop the watching."""

    mode, looks = ["waits"], []

    def review(context: CheckContext) -> Finding:
        looks.append(mode[0])
        if mode[0] == "offline":
            msg = "no route"
            raise UnreachableError(msg)
        return (verified if mode[0] == "live" else waits)(context)

    play = scene(waiting_step(review), watch_seconds=0.01)
    play.run.perform("wait")
    play.walkthrough.start()
    mode[0] = "offline"
    eventually(lambda: looks.count("offline") >= 2)
    assert play.types.count("step.checked") == 1
    mode[0] = "live"

    eventually(lambda: play.screens["wait"].view["outcome"] == "verified")


def test_the_follower_survives_an_unreadable_settings_file(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file that is unreadable for a moment does not stop the following."""

    broken = [True]

    def holds(_store: EnvFileStore, _item: Input) -> bool:
        if broken[0] and threading.current_thread().name == "runbook-follow":
            broken[0] = False
            raise PermissionError(13, "Permission denied")
        return False

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    monkeypatch.setattr(EnvFileStore, "holds", holds)
    play.walkthrough.start()
    eventually(lambda: not broken[0])
    play.run.perform("app")

    eventually(lambda: play.screens["app"].view["outcome"] == "verified")
