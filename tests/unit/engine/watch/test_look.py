"""One look: what counts as a change, once, and what never does."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from runbook_lib.connectors.findings import compared
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.journal import timestamp
from runbook_lib.core.model import Exchange, Finding, Outcome
from runbook_lib.engine.process import Finished, ProcessRequest
from runbook_lib.engine.watch import look as look_module
from runbook_lib.engine.watch.answers import (
    DamagedError,
    Kind,
    Observation,
    Topic,
    Watched,
    read_watched,
)
from runbook_lib.engine.watch.look import open_watched
from runbook_lib.errors import BusyError, SealingError, SettingsError
from tests.support.words import attested
from tests.unit.engine.watch.desk import (
    DAY,
    HOUR,
    MINUTE,
    PROCEDURE,
    REFUSED,
    SECRET_CHECK,
    SECRET_STEP,
    Desk,
    finding,
)

YEARS = 3_650 * DAY
NAME_CHECK, REDIRECT_CHECK = "app-name-matches", "redirect-uri-is-accepted"


def test_100_unchanged_looks_say_nothing(desk: Desk) -> None:
    """What stands as it was is no change, however often it is seen; the journal gets no line."""
    chance = random.Random(4711)
    desk.begin()
    journal = desk.path().with_name("journal.jsonl")
    before = journal.read_bytes()
    assert desk.changes(*[chance.uniform(5 * MINUTE, 13 * HOUR) for _ in range(100)]) == []
    assert journal.read_bytes() == before
    assert desk.kept().looked_on


def test_what_waits_is_looked_at_more_often_than_what_is_finished(desk: Desk) -> None:
    """A step that waits is asked every 15 minutes at most, a finished one once a day."""
    desk.begin("acme", attested(SECRET_STEP))
    everything = desk.look().asked
    assert desk.look(14 * MINUTE).asked == 0
    assert 0 < desk.look(2 * MINUTE).asked < everything
    assert desk.kept().looked[SECRET_STEP] < desk.kept().looked["fb-11-permissions"]
    assert desk.look(DAY).asked == everything


def test_a_refused_secret_is_one_failure_at_once_and_one_recovery(desk: Desk) -> None:
    """It counts without a second look; that it is accepted again counts after two."""
    desk.look()
    desk.refuse_secret()
    (failed,) = desk.changes(DAY)
    assert desk.changes(16 * MINUTE, 16 * MINUTE) == []
    desk.answers.clear()
    assert desk.changes(16 * MINUTE, MINUTE) == []
    (recovered,) = desk.changes(16 * MINUTE, HOUR)

    assert (failed.kind, failed.step) == (Kind.FAILED, SECRET_STEP)
    assert (failed.was, failed.now, failed.reason) == ("verified", "failed", REFUSED)
    assert "No customer can sign in" in failed.breaks
    assert "Copy App ID and App Secret again" in failed.do
    assert (recovered.kind, recovered.ends) == (Kind.RECOVERED, failed.id)
    assert recovered.title == failed.title


@pytest.mark.parametrize(
    ("seen", "later"),
    [
        (REDIRECT_CHECK, [SECRET_CHECK, NAME_CHECK, "public-profile-is-live"]),
        (SECRET_CHECK, [REDIRECT_CHECK, "public-profile-is-live"]),
    ],
)
def test_what_shares_a_cause_is_looked_at_in_the_same_look(
    desk: Desk, seen: str, later: list[str]
) -> None:
    """A refusal that a waiting step sees first is one message, with the finished steps in it."""
    steps = [step for step in PROCEDURE.steps if step.checks]
    waits = next(step for step in steps if seen in {check.id for check in step.checks})
    desk.begin("acme", *(attested(step.id) for step in steps if step is not waits))
    desk.look()
    refused = finding(Outcome.INCONCLUSIVE, REFUSED, refuses=("app_id",))
    desk.answers = dict.fromkeys((("", check) for check in (seen, *later)), refused)
    desk.refuse_secret()
    desk.asked.clear()
    (change,) = desk.changes(16 * MINUTE)

    assert (change.step, change.also) == (SECRET_STEP, [])
    assert set(desk.asked) >= {seen, *later}
    assert "connector-is-in-library" not in desk.asked
    assert desk.changes(2 * HOUR, DAY, HOUR) == []


@pytest.mark.parametrize("waits", ["test-02-authenticate", "test-03-permissions"])
def test_what_rests_on_a_step_is_looked_at_with_it(desk: Desk, waits: str) -> None:
    """A candidate for the worse has the steps that rest on it, or it rests on, seen as well."""
    steps = [step for step in PROCEDURE.steps if step.checks]
    names = ("CLIENT_ID", "CLIENT_SECRET", "ACCOUNT_API_ID")
    desk.set(**{f"RUNBOOK_CYCLR_{name}": f"a1b2c3d4{name.lower()}Zq81" for name in names})
    desk.begin("acme", *(attested(s.id) for s in steps if s.id != waits))
    desk.look()
    lost = finding(Outcome.INCONCLUSIVE, "Nothing is known.")
    desk.answers["", "connector-is-authenticated"] = finding(Outcome.FAILED, "It is signed out.")
    desk.answers["", "permissions-are-seen-through-cyclr"] = lost
    desk.asked.clear()
    assert desk.changes(16 * MINUTE) == []
    assert {"connector-is-authenticated", "permissions-are-seen-through-cyclr"} <= {*desk.asked}
    (change,) = desk.changes(6 * MINUTE)

    assert (change.step, change.also) == ("test-02-authenticate", [])
    assert desk.changes(DAY, HOUR) == []


def test_another_answer_counts_when_it_is_seen_again(desk: Desk) -> None:
    """Five minutes later, whatever the interval; what passes by never does."""

    def named(name: str, outcome: Outcome) -> Finding:
        return finding(outcome, tables=compared(("App Display Name", "Partner", name)))

    same, other = named("Partner", Outcome.VERIFIED), named("Another", Outcome.FAILED)
    desk.answers["", NAME_CHECK] = same
    desk.look()
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == []
    desk.answers["", NAME_CHECK] = same
    assert desk.changes(6 * MINUTE, DAY) == []
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == desk.changes(4 * MINUTE) == []
    (renamed,) = desk.changes(2 * MINUTE)

    assert renamed.was == "verified (App Display Name: Partner)"
    assert renamed.now == "failed (App Display Name: Another)"
    assert renamed.since < renamed.on


def test_a_failure_is_over_when_the_check_that_failed_succeeds(desk: Desk) -> None:
    """A check that cannot tell was no part of the failure, so it does not keep it open."""
    cannot_tell = finding(Outcome.INCONCLUSIVE, REFUSED, refuses=("app_id",))
    desk.look()
    desk.refuse_secret()
    desk.answers["", NAME_CHECK] = cannot_tell
    (failed,) = desk.changes(DAY)
    del desk.answers["", SECRET_CHECK]
    between = desk.changes(16 * MINUTE, 16 * MINUTE)
    desk.answers.clear()
    after = desk.changes(16 * MINUTE, 16 * MINUTE)

    assert [(change.kind, change.ends) for change in between] == [(Kind.RECOVERED, failed.id)]
    assert after == []


def test_two_causes_in_one_look_are_two_changes(desk: Desk) -> None:
    """What fails for another reason has a message, and an end, of its own."""
    desk.look()
    desk.refuse_secret()
    desk.answers["", "public-profile-is-live"] = finding(Outcome.FAILED, "It is not there.")
    changes = desk.changes(DAY, 6 * MINUTE)
    del desk.answers["", "public-profile-is-live"]
    (over,) = desk.changes(16 * MINUTE, 16 * MINUTE)

    assert {change.step for change in changes} == {SECRET_STEP, "fb-10-public-profile"}
    assert over.ends == changes[1].id


@pytest.mark.parametrize("before", [Outcome.VERIFIED, Outcome.FAILED])
def test_an_undecided_check_is_never_a_change(desk: Desk, before: Outcome) -> None:
    """A check that cannot tell any more takes nothing back; after a day it is one message."""
    desk.look()
    desk.answers["", NAME_CHECK] = finding(before, "It said so.", refuses=("app_id",))
    first = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", NAME_CHECK] = finding(Outcome.INCONCLUSIVE, "Nobody can tell.")
    assert desk.changes(DAY, 6 * MINUTE, HOUR, 20 * HOUR) == []
    (late,) = desk.changes(3 * HOUR, DAY)
    desk.answers["", NAME_CHECK] = finding(before, "It said so.", refuses=("app_id",))
    (over,) = desk.changes(HOUR, DAY)

    assert len(first) == (before is Outcome.FAILED)
    assert (late.kind, late.reason) == (Kind.OUTAGE, "Nobody can tell.")
    assert (over.kind, over.ends) == (Kind.OUTAGE_OVER, late.id)


def test_a_permission_that_goes_live_is_a_change_of_what_only_people_see(desk: Desk) -> None:
    """A status that a check reads is news, even if only a person can see the rest."""

    def listed(status: str) -> Finding:
        return finding(
            Outcome.INCONCLUSIVE,
            "Not all are live.",
            limits=("The rest.",),
            tables=compared(("leads_retrieval", "live", status)),
        )

    desk.answers["", "review-is-approved"] = listed("not listed")
    desk.look()
    desk.answers["", "review-is-approved"] = listed("live")
    (change,) = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", "review-is-approved"] = finding(Outcome.INCONCLUSIVE, "The list is cut off.")
    assert desk.changes(DAY, 6 * MINUTE) == []

    assert change.now == "could not be checked (leads_retrieval: live)"


def test_an_outage_is_no_change_and_one_finding_after_a_day(desk: Desk) -> None:
    """What does not answer is named once, after a day, and once when it answers again."""
    desk.look()
    desk.answers = {("", check.id): None for step in PROCEDURE.steps for check in step.checks}
    assert desk.changes(DAY, 20 * HOUR) == []
    assert desk.look().code == 3
    later = desk.changes(4 * HOUR, DAY)
    desk.answers.clear()
    over = desk.changes(HOUR, DAY)

    assert [change.kind for change in later] == [Kind.OUTAGE]
    assert [(change.kind, change.ends) for change in over] == [(Kind.OUTAGE_OVER, later[0].id)]


def test_a_fault_of_the_remote_systems_own_is_told_from_a_refusal(desk: Desk) -> None:
    """Graph's codes 1 and 2 decide nothing, unless they refuse the secret or a desktop app."""
    desk.begin()
    inconclusive = Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="It said so.")

    def is_fault(
        status: int | None, code: int, message: str = "An unknown error", method: str = "GET"
    ) -> bool:
        response = {"error": {"code": code, "message": message}}
        exchange = Exchange(
            method=method, url="https://x.example", sent_on=timestamp(desk.now()), elapsed=0.0,
            status=status, response=response,
        )  # fmt: skip
        with desk.opened() as watch:
            return shows_fault(inconclusive, [exchange], watch.run.procedure.providers)

    assert [is_fault(400, code) for code in (1, 2, 4, 100)] == [True, True, True, False]
    assert not is_fault(400, 1, "Error validating client secret.")
    assert not is_fault(400, 1, "the app is configured as a desktop app")
    assert is_fault(429, 100)
    assert is_fault(None, 100)
    assert not is_fault(None, 100, method="DNS")


def test_what_a_failure_explains_is_no_outage(desk: Desk) -> None:
    """What does not answer because of something that was reported is not reported once more."""
    on, why = timestamp(desk.now()), "a.example could not be reached: its certificate has ended."
    topics = {
        "a": Topic(known=Observation(Outcome.FAILED, f"{why} Renew it.", on), change="1"),
        "b": Topic(unanswered_since=on, unanswered=why),
        "c": Topic(unanswered_since=on, unanswered="b.example could not be reached."),
    }
    watched, later = Watched(topics=topics), desk.now() + timedelta(days=2)
    desk.begin()
    with desk.opened() as watch:
        (outage,) = look_module._outage(watch.run, watched, later, ())
        del topics["c"]
        (over,) = look_module._outage(watch.run, watched, later, ())

    assert outage.reason == "b.example could not be reached."
    assert over.kind is Kind.OUTAGE_OVER


def test_a_word_that_has_grown_old_is_settled_by_a_new_one(desk: Desk) -> None:
    """It is a change without any request, and its renewal ends it."""
    step = "fb-12a-publish"
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    desk.look()
    old = [change for change in desk.changes(366 * DAY, DAY) if change.step == step]
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    again = [change for change in desk.changes(HOUR, HOUR) if change.step == step]

    assert [(c.kind, c.was, c.now) for c in old] == [(Kind.FAILED, "attested", "to do")]
    assert [(c.kind, c.ends) for c in again] == [(Kind.RECOVERED, old[0].id)]


def test_a_used_up_hour_is_left_to_people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond half of the app's calls of the hour nothing is asked, and the look says so."""
    monkeypatch.setattr("runbook_lib.engine.run.Run.used_calls", 51.0)
    held = desk.look()

    assert (held.asked, held.code) == (0, 3)
    assert held.held == "Not checked: 51 % of the app's calls of this hour are used."
    assert not desk.path().exists()


def test_nothing_is_spent_unasked(desk: Desk) -> None:
    """A watch installs nothing and makes no test calls, even where the settings permit it."""
    desk.set(RUNBOOK_FACEBOOK_MAKE_TEST_CALLS="true", RUNBOOK_CYCLR_INSTALL_CONNECTOR="true")
    desk.begin()
    with desk.opened() as watch:
        assert not watch.run.values["make_test_calls"]
        assert not watch.run.values["install_connector"]


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_changed_outcome_is_sealed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_sealed: bool
) -> None:
    """Once; where that fails again an hour later, and each period."""
    requests: list[ProcessRequest] = []

    def run_it(request: ProcessRequest, **_: object) -> Finished:
        requests.append(request)
        if not is_sealed:
            raise SealingError("no")
        return Finished("incomplete", Path("evidence/bundle"))

    def seal(after: float = 0.0, every: int = 0) -> str:
        desk.offset += after
        with desk.opened() as watch:
            try:
                return watch.seal(every)
            except SealingError:
                return "refused"

    monkeypatch.setattr(look_module, "run_in_process", run_it)
    desk.look()
    assert seal() == ""
    desk.refuse_secret()
    desk.look(DAY)
    assert seal() == ("evidence/bundle" if is_sealed else "refused")
    assert [seal(), seal(59 * MINUTE)] == ["", ""]
    assert seal(MINUTE) == ("" if is_sealed else "refused")
    if is_sealed:
        assert [seal(0, 7), seal(7 * DAY, 7)] == ["", "evidence/bundle"]
    (request, _) = requests
    assert (request.tenant, request.given["make_test_calls"]) == ("acme", False)
    assert "app_secret" not in request.given
    assert bool(desk.kept().unsealed_since) is not is_sealed


def test_what_changes_while_a_run_is_sealed_is_sealed_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that another look sees meanwhile is not covered by the run that is under way."""

    def change_meanwhile(_request: ProcessRequest, **_: object) -> Finished:
        watched = desk.kept()
        watched.unsealed_since = timestamp(desk.now() + timedelta(seconds=1))
        watched.save(desk.path())
        return Finished("incomplete", Path("evidence/bundle"))

    monkeypatch.setattr(look_module, "run_in_process", change_meanwhile)
    desk.look()
    desk.refuse_secret()
    desk.look(DAY)
    with desk.opened() as watch:
        assert watch.seal()

    assert desk.kept().unsealed_since


def test_no_secret_is_kept(desk: Desk) -> None:
    """Neither a credential nor a token is in the file, whatever a remote system says."""
    secret = desk.env.read_text().partition("APP_SECRET=")[2].partition("\n")[0]
    desk.answers["", NAME_CHECK] = finding(Outcome.FAILED, f"It is called {secret}.")
    desk.look()

    assert "It is called" in desk.path().read_text()
    assert secret not in desk.path().read_text()


# --- what is kept -----------------------------------------------------------------------------
ON = "2026-11-24T12:00:00.000Z"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "is damaged"),
        (b"[" * 200_000, "is damaged"),
        (b'{"form":2,"looked":' + b'{"a":' * 99_999, "is damaged"),
        (b'{"form":2,"else":1}', "is damaged"),
        *(
            (json.dumps({"form": 2, **document}).encode(), "is damaged")
            for moment in ("2026-11-24T12:00:00", "20261124", "soon")
            for document in (
                {"looked_on": moment},
                {"sealed_on": moment},
                {"seal_failed_on": moment},
                {"looked": {"a": moment}},
                {"topics": {"a": {"known": {"outcome": "failed", "reason": "x", "on": moment}}}},
                {"changes": [{"id": "1", "kind": "failed", "on": moment, "since": ON}]},
            )
        ),
        (b'{"form":3}', "has format 3; this version of the runbook reads 2"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """A damaged file, or one of another form, is named with what to do."""
    path = tmp_path / "watch.json"
    path.write_bytes(content)

    with pytest.raises(DamagedError, match=says) as error:
        read_watched(path)
    assert "Move it away" in error.value.diagnostics()


def test_what_a_watch_writes_it_can_read(tmp_path: Path) -> None:
    """Where an app is closed, tens of thousands of customers are signed out at once."""
    topic = Topic(
        known=Observation(Outcome.FAILED, "Cyclr says not signed in", ON),
        before=Observation(Outcome.VERIFIED, "Cyclr says signed in", ON),
        change="f" * 32,
    )
    path = tmp_path / "watch.json"
    Watched(topics={f"customers/{number:036}": topic for number in range(20_000)}).save(path)

    assert len(read_watched(path).topics) == 20_000


def test_two_watches_do_not_meet(desk: Desk) -> None:
    """While another process looks at a tenant, a watch does not."""
    desk.begin()
    with FileLock(desk.path().with_suffix(".lock")), pytest.raises(BusyError):
        desk.look()


def test_a_tenant_without_a_journal_is_not_watched(folder: Path) -> None:
    """A watch begins nothing: it says how to begin, and nothing is written."""
    with pytest.raises(SettingsError, match="no record yet") as error:
        open_watched(PROCEDURE, {}, tenant="nobody")

    assert str(error.value).endswith("(with --sandbox to practise), then watch again.")
    assert list(folder.iterdir()) == []


def test_a_clock_that_was_years_ahead_stops_no_watch(desk: Desk) -> None:
    """What was looked at in a future that a wrong clock had is due now, and counts when seen."""
    desk.offset = YEARS
    desk.look()
    desk.answers["", NAME_CHECK] = finding(Outcome.FAILED, "Another.")
    desk.look(DAY)
    desk.offset = 0.0

    assert [change.now for change in desk.changes(HOUR, 6 * MINUTE)] == ["failed"]
    with desk.opened() as watch:
        assert watch.is_to_seal(Watched(sealed_on="2099-01-01T00:00:00.000Z"), 7)


def _answer(reason: str, outcome: Outcome = Outcome.FAILED, **details: str) -> Observation:
    return Observation(outcome, reason, ON, details)


_ENDED = "It ended on Wednesday, 27-Jan-27 02:29:17 PST. The time is {}. Sign in."


@pytest.mark.parametrize(
    ("one", "other", "is_like"),
    [
        (_answer("3 days left"), _answer("2 days left"), True),
        (
            _answer(_ENDED.format("Monday, 01-Mar-27 11:47:33 PST")),
            _answer(_ENDED.format("Tuesday, 04-May-27 11:47:33 PM PDT")),
            True,
        ),
        (_answer("pages_a is missing"), _answer("pages_b is missing"), False),
        (
            _answer("x", Outcome.VERIFIED, token_ends_on="2026-12-01"),
            _answer("y", Outcome.VERIFIED, token_ends_on="2027-12-01"),
            True,
        ),
        (_answer("x", app_name="A"), _answer("x", app_name="B"), False),
        (_answer("x"), _answer("x", Outcome.VERIFIED), False),
    ],
)
def test_numbers_and_days_in_an_answer_do_not_count(
    one: Observation, other: Observation, is_like: bool
) -> None:
    """Days that move on, and the day on which something ends, are no change; names are."""
    assert one.is_like(other) is other.is_like(one) is is_like


def test_what_the_journal_has_seen_is_where_a_watch_begins(desk: Desk, monkeypatch: Any) -> None:
    """What changed between the last recorded check and the first look is a change."""
    baseline = Observation(Outcome.VERIFIED, "x", ON, {"app_name": "Before"})
    own = look_module.Watch._baseline
    monkeypatch.setattr(
        look_module.Watch,
        "_baseline",
        lambda *given: baseline if given[2] == "app-is-registered" else own(*given),
    )
    desk.answers["", "app-is-registered"] = finding(facts={"app_name": "Another"})

    assert [c.now for c in desk.changes(0, 6 * MINUTE)] == ["verified (app_name: Another)"]
