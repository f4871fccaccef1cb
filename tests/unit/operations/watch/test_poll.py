"""Polls: what becomes an open item or news, and what never does."""

from __future__ import annotations

import random

import pytest
from filelock import FileLock

from runbook_lib.connectors.findings import compared
from runbook_lib.core.clock import timestamp
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.model import Exchange, Finding, Outcome
from runbook_lib.errors import BusyError, ExitCode, SettingsError
from runbook_lib.operations.watch.poll import harmless_checks, open_watched
from runbook_lib.operations.watch.watch_state import SavedItem
from tests.support.attestations import attested
from tests.support.wording import refused, wording
from tests.unit.operations.watch.desk import (
    DAY,
    HOUR,
    MINUTE,
    PROCEDURE,
    REFUSED,
    SECRET,
    SECRET_CHECK,
    SECRET_STEP,
    Desk,
    deactivated,
    finding,
)

YEARS = 3_650 * DAY
NAME_CHECK = "app-name-matches"
REDIRECT_CHECK = "redirect-uri-is-accepted"
CHECKS = [check.id for step in PROCEDURE.steps for check in step.checks]


def test_100_unchanged_polls_are_no_news(desk: Desk) -> None:
    """An unchanged result is no change, however often it is seen; the journal gets no line."""
    chance = random.Random(4711)
    desk.cycle(0)
    before = desk.journal().read_bytes()
    for _ in range(100):
        desk.poll(chance.uniform(5 * MINUTE, 13 * HOUR))
    assert desk.changes(0) == []
    assert desk.journal().read_bytes() == before
    assert desk.tenant_row().last_polled_on


def test_waiting_steps_are_polled_more_often_than_finished_ones(desk: Desk) -> None:
    """A step that waits is polled every 15 minutes at most, a finished one once a day."""
    desk.begin("acme", attested(SECRET_STEP))
    everything = desk.poll().polled
    assert desk.poll(14 * MINUTE).polled == 0
    assert 0 < desk.poll(2 * MINUTE).polled < everything
    polled_on = desk.tenant_row().polled_on
    assert polled_on[SECRET_STEP] < polled_on["fb-11-permissions"]
    assert desk.poll(DAY).polled == everything


def test_a_refused_secret_is_one_item_at_once(desk: Desk) -> None:
    """It counts without a second poll; that it is accepted again counts after two."""
    desk.cycle(0)
    desk.refuse_secret()
    (failed,) = desk.changes(DAY)
    before = desk.step(SECRET_CHECK).before
    assert desk.changes(16 * MINUTE, 16 * MINUTE) == []
    desk.answers.clear()
    assert desk.changes(16 * MINUTE, MINUTE) == []
    (ended,) = desk.changes(16 * MINUTE, HOUR)

    assert (failed.news, failed.place, before) == ("failing", SECRET_STEP, Outcome.VERIFIED)
    assert failed.item.title == wording("findings.secret-refused")
    assert failed.item.stops == wording("findings.secret-stops")
    assert wording("findings.copy-the-secret") in failed.item.advice
    assert failed.item.reason == REFUSED
    assert (ended.id, bool(ended.ended_on)) == (failed.id, True)
    assert (ended.end_reason, desk.step(SECRET_CHECK).before) == ("It is so.", None)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_failure_before_the_first_poll_is_an_item(desk: Desk, is_known: bool) -> None:
    """The journal may have the failure or not."""
    desk.refuse_secret()
    if is_known:
        desk.begin()
        desk.poll()
        desk.path.unlink()
    desk.cycle(0)
    (failed,) = [row for row in desk.items() if row.item.is_failing]

    assert failed.item.title == wording("findings.secret-refused")
    assert desk.code is ExitCode.FAILED
    desk.answers.clear()
    (ended,) = desk.changes(16 * MINUTE, 6 * MINUTE)
    assert ended.ended_on


def test_a_deactivated_app_is_one_cause_and_never_in_order(desk: Desk) -> None:
    """Each check that is refused for it, twice, has the same cause as its title."""
    desk.cycle(0)
    refused = (NAME_CHECK, REDIRECT_CHECK, "public-profile-is-live")
    desk.answers = dict.fromkeys((("", check) for check in refused), deactivated())
    desk.answers["", SECRET_CHECK] = deactivated(Outcome.FAILED)
    rows = desk.changes(DAY, 6 * MINUTE)
    code = desk.code
    desk.answers.clear()
    ended = desk.changes(16 * MINUTE, 6 * MINUTE)

    assert len(rows) == 4
    assert {row.cause for row in rows} == {"code app-deactivated"}
    assert {row.item.title for row in rows} == {wording("findings.app-deactivated")}
    assert code is ExitCode.FAILED
    assert {row.id for row in ended if row.ended_on} == {row.id for row in rows}


@pytest.mark.parametrize("seen", [REDIRECT_CHECK, SECRET_CHECK])
def test_steps_that_share_a_cause_are_polled_at_once(desk: Desk, seen: str) -> None:
    """A refusal that a waiting step sees first has every other step polled in the same poll."""
    steps = [step for step in PROCEDURE.steps if step.checks]
    waits = next(step for step in steps if seen in {check.id for check in step.checks})
    desk.begin("acme", *(attested(step.id) for step in steps if step is not waits))
    desk.cycle(0)
    refused = finding(Outcome.INCONCLUSIVE, REFUSED, refuses=("app_id",))
    desk.answers = dict.fromkeys((("", check) for check in (seen, NAME_CHECK)), refused)
    desk.refuse_secret()
    (row,) = desk.changes(16 * MINUTE)

    assert row.place == SECRET_STEP
    assert desk.changes(2 * HOUR, DAY, HOUR) == []


def test_a_different_result_counts_when_it_is_seen_again(desk: Desk) -> None:
    """Five minutes later, whatever the interval; what passes by never does."""

    def named(name: str, outcome: Outcome) -> Finding:
        return finding(outcome, tables=compared(("App Display Name", "Partner", name)))

    same = named("Partner", Outcome.VERIFIED)
    other = named("Another", Outcome.FAILED)
    desk.answers["", NAME_CHECK] = same
    desk.cycle(0)
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == []
    desk.answers["", NAME_CHECK] = same
    assert desk.changes(6 * MINUTE, DAY) == []
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == desk.changes(4 * MINUTE) == []
    (renamed,) = desk.changes(2 * MINUTE)

    title = PROCEDURE.step("fb-04-create-app").title
    assert renamed.item.title == wording("status.contradicted", title=title)
    assert renamed.item.is_failing
    assert renamed.item.since < renamed.began_on


def test_a_value_that_moved_with_a_failure_is_no_news(desk: Desk) -> None:
    """Nor is it with the end of the failure; without a failure it is."""

    def name(shown: str, outcome: Outcome, code: str) -> list[SavedItem]:
        table = compared(("App Display Name", "Partner", shown))
        desk.answers["", NAME_CHECK] = finding(outcome, code=code, tables=table)
        desk.answers["", "app-is-registered"] = finding(facts={"app_name": shown})
        return desk.changes(DAY, 6 * MINUTE, 16 * MINUTE)

    name("Partner", Outcome.VERIFIED, "app-name-matches")
    (began,) = name("Another", Outcome.FAILED, "app-name-differs")
    (ended,) = name("Partner", Outcome.VERIFIED, "app-name-matches")
    other = name("Third", Outcome.VERIFIED, "app-name-matches")

    assert (began.news, began.cause) == ("failing", "code app-name-differs")
    assert (ended.id, bool(ended.ended_on)) == (began.id, True)
    assert [row.news for row in other] == ["changed", "changed"]
    assert all("Third" in row.item.reason for row in other)


@pytest.mark.parametrize("before", [Outcome.VERIFIED, Outcome.FAILED])
def test_an_undecided_check_is_no_change_and_an_outage_after_a_day(
    desk: Desk, before: Outcome
) -> None:
    """A check that cannot tell any more takes nothing back; after a day that is an item."""
    desk.cycle(0)
    desk.answers["", NAME_CHECK] = finding(before, "It said so.")
    first = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", NAME_CHECK] = finding(Outcome.INCONCLUSIVE, "Nobody can tell.")
    assert desk.changes(DAY, 6 * MINUTE, HOUR, 20 * HOUR) == []
    (late,) = desk.changes(3 * HOUR, DAY)
    desk.answers["", NAME_CHECK] = finding(before, "It said so.")
    (over,) = desk.changes(HOUR, DAY)

    assert len(first) == (before is Outcome.FAILED)
    assert (late.news, late.item.reason) == (
        wording("status.cannot-be-checked"),
        "Nobody can tell.",
    )
    assert (over.id, bool(over.ended_on)) == (late.id, True)


def test_a_permission_that_goes_live_is_news_of_what_only_people_see(desk: Desk) -> None:
    """A status that a check reads is news, even if only a person can see the rest."""

    def listed(status: str) -> Finding:
        return finding(
            Outcome.INCONCLUSIVE,
            "Not all are live.",
            limits=("The rest.",),
            tables=compared(("leads_retrieval", "live", status)),
        )

    desk.answers["", "review-is-approved"] = listed("not listed")
    desk.cycle(0)
    desk.answers["", "review-is-approved"] = listed("live")
    (news,) = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", "review-is-approved"] = finding(Outcome.INCONCLUSIVE, "The list is cut off.")
    assert desk.changes(DAY, 6 * MINUTE) == []

    assert news.news == "changed"
    seen = wording("watch.could-not-be-checked", value="leads_retrieval: live")
    assert f"Now: {seen}." in news.item.reason


APPROVED = wording("findings.review-approved", permissions=8)


@pytest.mark.parametrize(
    ("before", "live", "title"),
    [
        (0, 8, APPROVED),
        (None, 8, APPROVED),
        (7, 8, APPROVED),
        (0, 5, wording("findings.some-permissions-live", live=5, permissions=8)),
        (None, 1, wording("findings.permissions-live")),
        (5, 4, PROCEDURE.step("fb-12-submit-review").title),
        (8, 8, ""),
    ],
)
def test_good_news_names_what_and_how_many(
    desk: Desk, before: int | None, live: int, title: str
) -> None:
    """An approval, whole or in part, names the number and the step after it; a loss does not."""

    def listed(number: int, of: int = 8) -> Finding:
        status = ["live" if place < number else "not listed" for place in range(of)]
        table = compared(*((f"permission {n}", "live", begun) for n, begun in enumerate(status)))
        if number == of:
            return finding(Outcome.VERIFIED, "All.", code="permissions-live", tables=table)
        return finding(
            Outcome.INCONCLUSIVE, "Some.", code="permission-not-live", tables=table, limits=("x",)
        )

    waits = finding(Outcome.WAITING, "In review.")
    desk.answers["", "review-is-approved"] = waits if before is None else listed(before)
    desk.cycle(0)
    desk.answers["", "review-is-approved"] = listed(live, live if live == 1 else 8)
    news = desk.changes(DAY, 6 * MINUTE)

    told = [(row.news, row.item.title) for row in news]
    assert told == ([("changed", title)] if title else [])
    if title == APPROVED:
        following = PROCEDURE.step("fb-12a-publish").title
        assert news[0].item.advice == wording("watch.next-step", title=f"{following}.")


def test_a_silence_explained_by_a_failure_is_no_outage(desk: Desk) -> None:
    """A check that needs a refused value, and cannot tell, is not told once more."""
    desk.cycle(0)
    desk.refuse_secret()
    desk.answers["", NAME_CHECK] = finding(Outcome.INCONCLUSIVE, "Not now.", refuses=("app_id",))
    assert [row.news for row in desk.changes(DAY, DAY, DAY)] == ["failing"]


@pytest.mark.parametrize("status", [400, 429, 500, None])
def test_a_fault_of_the_remote_system_is_told_from_a_refusal(
    desk: Desk, status: int | None
) -> None:
    """Graph's codes 1 and 2 decide nothing, unless they refuse the secret or a desktop app."""
    desk.begin()
    inconclusive = Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="It said so.")

    def is_fault(code: int, message: str = "An unknown error", method: str = "GET") -> bool:
        response = {"error": {"code": code, "message": message}}
        exchange = Exchange(
            method=method, url="https://x.example", sent_on=timestamp(desk.now()), elapsed=0.0,
            status=status, response=response,
        )  # fmt: skip
        with desk.opened() as run:
            return shows_fault(inconclusive, [exchange], run.procedure.providers)

    always = status != 400
    assert [is_fault(code) for code in (1, 2, 4, 100)] == [True, True, True, always]
    assert is_fault(1, "Error validating client secret.") is always
    assert is_fault(1, "the app is configured as a desktop app") is always


def test_an_expired_confirmation_is_overdue_until_it_is_renewed(desk: Desk) -> None:
    """It needs no request, and fails nothing."""
    step = "fb-12a-publish"
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    desk.cycle(0)
    old = [row for row in desk.changes(366 * DAY, DAY) if row.place == step and not row.ended_on]
    code = desk.code
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    again = [row for row in desk.changes(HOUR) if row.id == old[0].id]

    assert [(row.news, row.item.is_failing) for row in old] == [("overdue", False)]
    assert code is ExitCode.COMPLETE
    assert [bool(row.ended_on) for row in again] == [True]


def test_a_used_up_hour_is_left_to_people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond half of the app's calls of the hour nothing is polled, and the result says so."""
    monkeypatch.setattr("runbook_lib.engine.tenant_run.Run.used_calls", 51.0)
    held = desk.poll()

    assert (held.polled, held.code) == (0, 3)
    assert (
        held.held == f"{wording('screens.not-checked')}: {wording('watch.calls-used', percent=51)}."
    )
    assert not desk.tenant_row().last_polled_on


def test_no_check_with_a_side_effect_is_polled(desk: Desk) -> None:
    """No setting permits a test call, an installation or a sign-in link."""
    desk.set(
        RUNBOOK_FACEBOOK_MAKE_TEST_CALLS="true",
        RUNBOOK_CYCLR_INSTALL_CONNECTOR="true",
        RUNBOOK_CYCLR_USERNAME="operator",
        RUNBOOK_CYCLR_CLIENT_ID="a1b2c3d4-client",
        RUNBOOK_CYCLR_CLIENT_SECRET="a1b2c3d4-secret-Zq81",
        RUNBOOK_CYCLR_ACCOUNT_API_ID="a1b2c3d4-account",
    )
    desk.begin()
    with desk.opened() as run:
        values = run.values
        assert not (values["make_test_calls"])
        assert not (values["install_connector"])
        assert values["cyclr_username"] == "operator"
        checks = [check for step in PROCEDURE.steps for check in step.checks]
        (calls,) = [check for check in checks if check.id == "test-calls-are-made"]
        assert run.lacking(calls, values)
    permitted = {"make_test_calls": True, "install_connector": True, "cyclr_username": "x"}
    left = [c for step in PROCEDURE.steps for c in harmless_checks(step, permitted)]
    desk.poll()

    assert not [check.id for check in left if check.side_effect]
    assert "connector-is-installed" in desk.asked
    assert "console-holds-app-id" not in desk.asked


def test_the_state_has_no_secret(desk: Desk) -> None:
    """Neither a credential nor a token is in the file, whatever a remote system says."""
    desk.poll()
    desk.answers["", NAME_CHECK] = finding(
        Outcome.FAILED, f"It says {SECRET}.", facts={"app_name": f"x{SECRET}"}
    )
    desk.poll(DAY)
    desk.poll(HOUR)
    assert SECRET.encode() not in desk.path.read_bytes()
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_two_polls_of_a_tenant_do_not_meet(desk: Desk) -> None:
    """While another process polls a tenant, a watch does not."""
    desk.begin()
    with FileLock(desk.journal().with_name("watch.lock")), pytest.raises(BusyError):
        desk.poll()


def test_a_tenant_without_a_journal_is_not_watched(desk: Desk) -> None:
    """A watch begins nothing: it says how to begin, and nothing is written."""
    with refused(SettingsError, "run-once", code="tenant-unknown"):
        open_watched(PROCEDURE, {}, tenant="nobody", env_file="watch.env")
    assert not desk.path.exists()


def test_a_clock_that_was_years_ahead_stops_no_poll(desk: Desk) -> None:
    """A poll in a future that a wrong clock had is due again now, and its result counts."""
    desk.cycle(0)
    right = desk.offset
    desk.refuse_secret()
    desk.cycle(YEARS)
    desk.offset = right
    desk.answers.clear()
    desk.answers["", NAME_CHECK] = finding(Outcome.FAILED, "Another name.")
    for wait in (MINUTE, 6 * MINUTE, 6 * MINUTE):
        desk.cycle(wait)
    failing = [row.place for row in desk.items() if row.item.is_failing and not row.ended_on]
    assert failing == ["fb-04-create-app"]
    assert desk.step(NAME_CHECK).since <= timestamp(desk.now())
