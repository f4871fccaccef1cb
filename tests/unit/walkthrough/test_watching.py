"""What changes outside is shown: waiting steps, other processes, the settings file."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runbook_lib.config.credential_stores import EnvFileStore
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import AttestationKind, Finding, Outcome
from runbook_lib.core.procedure import Input, Step, StepKind
from runbook_lib.engine import provider_sessions
from runbook_lib.engine.provider_sessions import ProviderSessions
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import UnreachableError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import HTTPClient
from runbook_lib.walkthrough.credentials import SavedCredentials
from tests.conftest import NOON
from tests.support.attestations import submitted
from tests.support.wording import wording
from tests.unit.bodies import (
    APP_ID,
    APP_SECRET,
    APP_TOKEN_ISSUED,
    NO_SUCH_OBJECT,
    USER_TOKEN,
    rows,
    statuses,
)
from tests.unit.connectors.conftest import MADE_UP, MADE_UP_APP, VALUES, hosts
from tests.unit.fake_remote import FakeRemote, open_session, responds
from tests.unit.walkthrough.conftest import (
    CheckCalls,
    MakeHarness,
    WalkthroughHarness,
    noting,
    saying,
    spending,
)
from tests.unit.walkthrough.sample_run import (
    DEADLINE,
    app_step,
    eventually,
    make_run,
    make_step,
    raising,
    settled,
    verified,
    waiting_step,
    waits,
)

# The steps that wait for Facebook.
GATES = (
    "fb-05a-business-verification",
    "fb-10-public-profile",
    "fb-11-permissions",
    "fb-12-submit-review",
)


UNCLEAR = Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Hidden.")
ABSENT = Finding(outcome=Outcome.FAILED, code="a-code", reason="It is not there.")
WRONG = Finding(outcome=Outcome.FAILED, code="a-code", reason="It is another.")
THERE = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is there.")
PENDING = Finding(outcome=Outcome.WAITING, code="a-code", reason="Not live yet.")


@pytest.fixture
def looked() -> CheckCalls:
    """Return a list in which checks note their calls."""
    return []


def checked(make_harness: MakeHarness, step: Step, looked: CheckCalls) -> WalkthroughHarness:
    """Return a walkthrough whose only step was checked; `looked` begins with the next check."""
    harness = make_harness(step)
    harness.run.perform(step.id)
    looked.clear()
    return harness


@pytest.fixture
def at_once(make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch) -> MakeHarness:
    """Return a factory of walkthroughs that do in this thread what others do in another."""

    def make(*steps: Step) -> WalkthroughHarness:
        harness = make_harness(*steps)
        monkeypatch.setattr(harness.walkthrough._workers, "submit", lambda act, *given: act(*given))
        return harness

    return make


def test_results_of_another_process_are_shown(make_harness: MakeHarness, tmp_path: Path) -> None:
    """Results that another process records are shown without an action here."""
    steps = (app_step(), make_step("b", verified))
    harness = make_harness(*steps)
    harness.walkthrough.start()

    with_other = make_run(tmp_path, *steps)
    with_other.perform("app")
    with_other.perform("b")
    with_other.close()

    eventually(lambda: harness.panels["app"].view["outcome"] == "verified")
    eventually(lambda: harness.header.view["settled"] == 2)
    assert harness.panels["app"].view["finished"] == 0


def test_a_waiting_step_is_watched_without_writing(
    make_harness: MakeHarness, looked: CheckCalls
) -> None:
    """A waiting step is checked again and again without a line in the journal."""
    harness = make_harness(waiting_step(noting(looked, waits)), watch_seconds=0)
    harness.run.perform("wait")
    before = harness.types
    harness.walkthrough.start()
    eventually(lambda: len(looked) >= 5)

    assert harness.types == before
    assert harness.panels["wait"].view["finished"] == 0
    assert harness.panels["wait"].view["next_refresh"] == "12:00"


def test_a_step_that_lacks_a_value_is_not_watched(make_harness: MakeHarness) -> None:
    """A step that waits and cannot be looked at does not say when, and asks for what it lacks."""
    step = make_step("gate", waits, kind=StepKind.WAIT, needs=("app_secret",))
    harness = make_harness(step)
    view = harness.say("gate", AttestationKind.SUBMITTED, {"by": "A"})
    assert (view["outcome"], view["next_refresh"]) == ("waiting", "")
    assert [shown["name"] for shown in view["inputs"]] == ["app_secret"]

    assert harness.perform("gate", {"app_secret": APP_SECRET}, finished=2)["next_refresh"]


def test_a_change_of_a_waiting_step_is_recorded(make_harness: MakeHarness) -> None:
    """Once the outside party has acted, the step is checked and the result is recorded."""
    findings = [PENDING]
    harness = make_harness(waiting_step(saying(findings, [])), watch_seconds=0)
    harness.run.perform("wait")
    harness.walkthrough.start()
    eventually(lambda: harness.panels["wait"].view["outcome"] == "waiting")
    findings.append(THERE)

    view = settled(harness.panels["wait"])
    assert view["outcome"] == "verified"
    assert harness.types == ["step.checked"] * 2


def test_an_hour_with_four_waiting_gates_takes_at_most_40_calls(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that wait for Facebook are checked every 15 minutes, and their panels say when."""
    gates = [replace(step, requires=(), after=()) for step in PROCEDURE.steps if step.id in GATES]
    secrets = {"app_secret": APP_SECRET, "user_access_token": USER_TOKEN}
    values = {**VALUES, "permissions": ("public_profile", "ads_read")}
    harness = make_harness(*gates, secrets=secrets, **values)
    remote = FakeRemote()
    business = {"id": "1001", "name": "Acme"}
    pending = rows({**business, "verification_status": "pending"})
    remote.on("/v26.0/oauth/access_token", responds(APP_TOKEN_ISSUED))
    remote.on(f"/v26.0/{APP_ID}", responds({"id": APP_ID, "owner_business": business}))
    remote.on("/v26.0/me/businesses", responds(pending))
    edge = statuses(public_profile="pending", ads_read="pending")
    remote.on(f"/v26.0/{APP_ID}/permissions", responds(edge))
    for edge in ("", "/permissions"):
        remote.on(f"/v26.0/{MADE_UP_APP}{edge}", responds(NO_SUCH_OBJECT, 400))
    client = open_session(remote, harness.run.redactor, hosts=hosts(values)).client
    monkeypatch.setattr(
        ProviderSessions,
        "open_session",
        lambda _self, _values, look=None, **keep: Session(client, look, **keep),
    )
    monkeypatch.setattr(CheckContext, "made_up", lambda *_: MADE_UP * 7)
    harness.run.say([submitted(name) for name in GATES])
    for name in GATES:
        state = harness.run.perform(name)
        assert state.outcome == "waiting", state.reason
    asked_at_first = len(remote.requests)

    for minute in range(1, 61):
        now = NOON + timedelta(minutes=minute)
        monkeypatch.setattr(harness.run.journal, "clock", lambda now=now: now)
        harness.walkthrough._watch()
        if minute == 15:
            assert {harness.panels[name].view["next_refresh"] for name in GATES} == {"12:30"}
    client.close()

    calls = len(remote.requests) - asked_at_first
    assert 4 * len(GATES) <= calls <= 40


def test_a_returning_person_sees_the_current_state(
    make_harness: MakeHarness, looked: CheckCalls
) -> None:
    """At the start what was checked before is looked at in one look; only changes are written."""
    findings = [THERE]
    there = noting(looked, verified)
    harness = make_harness(
        app_step(there),
        make_step("b", saying(findings, [])),
        make_step("c", there),
        spending(make_step("side_effect", there)),
    )
    for name in ("app", "b", "side_effect"):
        harness.run.perform(name)
    before = harness.types
    known = len(looked)
    findings.append(ABSENT)

    harness.walkthrough.start()
    eventually(lambda: harness.panels["b"].view["outcome"] == "failed")

    assert harness.types == [*before, "step.checked"]
    assert len(looked) == known + 1
    assert harness.panels["c"].view["outcome"] == "not_run"


def test_a_step_that_cannot_be_checked_keeps_its_state(
    make_harness: MakeHarness, looked: CheckCalls
) -> None:
    """Without an answer the earlier result stays on screen, and nothing is written."""
    findings = [THERE]
    harness = checked(make_harness, app_step(saying(findings, looked)), looked)
    before = harness.types
    findings.append(UNCLEAR)

    harness.walkthrough.start()
    eventually(lambda: len(looked) == 1)
    harness.walkthrough.stop()

    assert harness.types == before
    assert harness.panels["app"].view["outcome"] == "verified"


@pytest.mark.parametrize(("used", "looks"), [(80.0, 1), (81.0, 0)])
def test_few_calls_left_are_a_persons(
    make_harness: MakeHarness,
    monkeypatch: pytest.MonkeyPatch,
    looked: CheckCalls,
    used: float,
    looks: int,
) -> None:
    """With few calls left in this hour nothing is asked at the start, and the page says so."""
    harness = checked(make_harness, app_step(noting(looked, verified)), looked)
    monkeypatch.setattr(Run, "used_calls", used)

    harness.walkthrough.start()
    harness.walkthrough.stop()

    assert len(looked) == looks
    text = str(harness.header.view)
    assert (wording("watch.calls-used", percent=81) in text) is not looks


@pytest.mark.parametrize(("used", "looks"), [(50.0, 1), (50.4, 0), (100.0, 0)])
def test_watching_leaves_half_of_the_calls(
    make_harness: MakeHarness,
    monkeypatch: pytest.MonkeyPatch,
    looked: CheckCalls,
    used: float,
    looks: int,
) -> None:
    """Above half of what the app may call in this hour nothing is watched, and the page says so."""
    harness = checked(make_harness, waiting_step(noting(looked, waits)), looked)
    monkeypatch.setattr(Run, "used_calls", used)
    monkeypatch.setattr(harness.run.journal, "clock", lambda: NOON + timedelta(minutes=15))

    harness.walkthrough._watch()

    assert len(looked) == looks
    shown = harness.panels["wait"].view["next_refresh"]
    assert shown.startswith("12:30")
    assert (wording("walkthrough.held-back", used=used) in shown) is not looks


def test_calls_count_until_the_next_hour(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's calls count for the app, in every process with this evidence folder."""
    values = {**VALUES, "graph_url": "https://graph.example"}
    remote = FakeRemote()
    remote.on("/v26.0/oauth/access_token", responds(APP_TOKEN_ISSUED))
    monkeypatch.setattr(
        provider_sessions,
        "HTTPClient",
        lambda *given, **more: HTTPClient(*given, **more, transport=remote),
    )
    gate = next(step for step in PROCEDURE.steps if step.id == "fb-10-public-profile")
    harness = make_harness(replace(gate, requires=()), secrets={"app_secret": APP_SECRET}, **values)
    remote.on(f"/v26.0/{APP_ID}/permissions", responds(statuses(public_profile="pending")))
    monkeypatch.setattr(CheckContext, "made_up", lambda *_: MADE_UP * 7)
    remote.on(f"/v26.0/{MADE_UP_APP}/permissions", responds(NO_SUCH_OBJECT, 400))

    harness.run.start()
    harness.run.perform("fb-10-public-profile")

    assert len(remote.requests) == 3
    assert harness.run.used_calls == 1.5


def test_only_shown_waiting_steps_are_watched(
    make_harness: MakeHarness, looked: CheckCalls
) -> None:
    """A step that is open, not shown, or without a check is not watched."""
    ticks: CheckCalls = []
    harness = make_harness(
        app_step(noting(looked, verified)),
        waiting_step(noting(ticks, waits)),
        make_step("word"),
        make_step("other", noting(looked, waits)),
        watch_seconds=0,
    )
    del harness.walkthrough.panels._panels["other"]
    harness.run.perform("other")
    harness.run.perform("wait")
    harness.run.say([submitted("word")])
    looked.clear()
    harness.walkthrough.start()
    eventually(lambda: bool(looked))  # what was checked before is looked at once
    looked.clear()
    ticks.clear()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def test_a_check_with_a_side_effect_never_runs_by_itself(
    make_harness: MakeHarness, looked: CheckCalls
) -> None:
    """A check that uses something up runs by its own button only."""
    ticks: CheckCalls = []
    harness = make_harness(
        make_step("first", verified),
        spending(make_step("side_effect", noting(looked, waits), requires=("first",))),
        waiting_step(noting(ticks, waits)),
        watch_seconds=0,
    )
    for name in ("first", "side_effect", "wait"):
        harness.run.perform(name)
    looked.clear()
    assert harness.walkthrough._check_next_steps(harness.step("first")) == ""
    harness.walkthrough.start()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def test_a_busy_step_is_not_watched(make_harness: MakeHarness) -> None:
    """A step that is being checked is not checked a second time."""
    begun = threading.Event()
    released = threading.Event()
    calls = []

    def review(context: CheckContext) -> Finding:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            begun.set()
            released.wait(DEADLINE)
        return waits(context)

    harness = make_harness(waiting_step(review), watch_seconds=0)
    harness.run.perform("wait")
    harness.walkthrough.perform(harness.step("wait"), {})
    begun.wait(DEADLINE)
    views = len(harness.header.views)
    harness.walkthrough._watch()

    assert len(calls) == 2
    assert len(harness.header.views) == views
    released.set()
    settled(harness.panels["wait"])


def test_an_outage_does_not_end_the_watching(make_harness: MakeHarness) -> None:
    """A failed look, as without a network, is not recorded and does not stop the watching."""
    mode = ["waits"]
    looks = []

    def review(context: CheckContext) -> Finding:
        looks.append(mode[0])
        if mode[0] == "offline":
            raise UnreachableError("no route")
        return (verified if mode[0] == "live" else waits)(context)

    harness = make_harness(waiting_step(review), watch_seconds=0)
    harness.run.perform("wait")
    harness.walkthrough.start()
    mode[0] = "offline"
    eventually(lambda: looks.count("offline") >= 2)
    assert harness.types.count("step.checked") == 1
    mode[0] = "live"

    eventually(lambda: harness.panels["wait"].view["outcome"] == "verified")


def test_the_follower_survives_an_unreadable_settings_file(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file that is unreadable for a moment does not stop the following."""
    broken = [True]

    def holds(_store: EnvFileStore, _item: Input) -> bool:
        if broken[0] and threading.current_thread().name == "runbook-follow":
            broken[0] = False
            raise PermissionError(13, "Permission denied")
        return False

    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})
    monkeypatch.setattr(EnvFileStore, "holds", holds)
    monkeypatch.setattr(SavedCredentials, "unsaved", lambda _credentials: [])
    harness.walkthrough.start()
    eventually(lambda: not broken[0])
    harness.run.perform("app")

    eventually(lambda: harness.panels["app"].view["outcome"] == "verified")


def test_an_open_step_is_looked_at_at_most_every_30_seconds(
    at_once: MakeHarness, monkeypatch: pytest.MonkeyPatch, looked: CheckCalls
) -> None:
    """However often its window comes back, a step is looked at once in 30 s, each by itself."""
    check = saying([ABSENT], looked)
    harness = at_once(make_step("a", check), make_step("b", check))
    harness.run.perform("a")
    harness.run.perform("b")
    looked.clear()
    asked = []
    for step_id, seconds in (("a", 0), ("a", 1), ("b", 2), ("a", 29.9), ("a", 30), ("a", 59)):
        now = NOON + timedelta(seconds=seconds)
        monkeypatch.setattr(harness.run.journal, "clock", lambda now=now: now)
        harness.walkthrough.refresh(harness.step(step_id))
        asked.append(len(looked))

    assert asked == [1, 1, 2, 2, 3, 3]


def test_a_look_never_spends(at_once: MakeHarness, looked: CheckCalls) -> None:
    """A check that uses something up runs only by a person's button."""
    harness = at_once(spending(make_step("a", saying([THERE], looked))))
    harness.walkthrough.refresh(harness.step("a"))

    assert (looked, harness.types) == ([], [])


@pytest.mark.parametrize(("used", "looks"), [(80.0, 1), (80.4, 0), (100.0, 0)])
def test_a_look_leaves_the_last_calls_of_an_hour_to_a_person(
    at_once: MakeHarness,
    monkeypatch: pytest.MonkeyPatch,
    looked: CheckCalls,
    used: float,
    looks: int,
) -> None:
    """Above 80 % of what the app may call in this hour an open step is not looked at."""
    harness = checked(at_once, make_step("a", saying([ABSENT], looked)), looked)
    monkeypatch.setattr(Run, "used_calls", used)
    harness.walkthrough.refresh(harness.step("a"))

    assert len(looked) == looks


@pytest.mark.parametrize(
    ("before", "after", "is_written"),
    [
        pytest.param(None, THERE, True, id="never checked"),
        pytest.param(None, UNCLEAR, True, id="never checked, and unclear"),
        pytest.param(ABSENT, ABSENT, False, id="as before"),
        pytest.param(ABSENT, WRONG, True, id="another reason"),
        pytest.param(ABSENT, THERE, True, id="another outcome"),
        pytest.param(ABSENT, UNCLEAR, False, id="not clear any more"),
        pytest.param(THERE, UNCLEAR, False, id="verified, not clear any more"),
        pytest.param(UNCLEAR, THERE, True, id="clear now"),
        pytest.param(UNCLEAR, UNCLEAR, False, id="still unclear"),
    ],
)
def test_a_look_writes_only_a_clear_change(
    at_once: MakeHarness, before: Finding | None, after: Finding, is_written: bool
) -> None:
    """A new outcome or reason is recorded; what is as before, or is not clear any more, is not."""
    findings = [before or after]
    harness = at_once(make_step("a", saying(findings, [])))
    if before:
        harness.run.perform("a")
    findings.append(after)
    known = harness.types
    harness.walkthrough.refresh(harness.step("a"))

    assert (harness.types != known) is is_written
    kept = after if is_written or before is None else before
    assert harness.run.state.step("a").findings[0].reason == kept.reason


def test_a_look_that_cannot_be_done_changes_nothing(
    at_once: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for it: an error in a look is no message, and the result stays."""
    harness = at_once(make_step("a", saying([ABSENT], [])))
    before = harness.perform("a")

    monkeypatch.setattr(harness.run, "preview", raising(RuntimeError("broken")))
    harness.walkthrough.refresh(harness.step("a"))

    after = harness.panels["a"].view
    assert (after["message"], after["is_error"]) == (before["message"], False)
    assert after["outcome"] == "failed"
