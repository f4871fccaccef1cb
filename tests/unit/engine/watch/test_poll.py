"""One poll: what counts as a problem, and what never does."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from filelock import FileLock

from runbook_lib.connectors.findings import compared
from runbook_lib.core.clock import timestamp
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.model import Exchange, Finding, Outcome
from runbook_lib.engine.watch.poll import harmless_checks, open_watched
from runbook_lib.engine.watch.watch_state import Problem, ProblemKind
from runbook_lib.errors import BusyError, ExitCode, SettingsError
from tests.support.attestations import assigned, attested
from tests.support.wording import refused, wording
from tests.unit.engine.watch.desk import (
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


def test_100_unchanged_polls_begin_no_problem(desk: Desk) -> None:
    """An unchanged result is no change, however often it is seen; the journal gets no line."""
    chance = random.Random(4711)
    desk.begin()
    before = desk.journal().read_bytes()
    assert desk.changes(*[chance.uniform(5 * MINUTE, 13 * HOUR) for _ in range(100)]) == []
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


def test_a_refused_secret_is_one_problem_at_once(desk: Desk) -> None:
    """It counts without a second poll; that it is accepted again counts after two."""
    desk.poll()
    desk.refuse_secret()
    (failed,) = desk.changes(DAY)
    assert desk.changes(16 * MINUTE, 16 * MINUTE) == []
    desk.answers.clear()
    assert desk.changes(16 * MINUTE, MINUTE) == []
    (ended,) = desk.changes(16 * MINUTE, HOUR)

    assert (failed.kind, failed.step) == (ProblemKind.FAILED, SECRET_STEP)
    assert (failed.was, failed.now, failed.reason) == ("verified", "failed", REFUSED)
    assert failed.title == wording("findings.secret-refused")
    assert wording("findings.no-customer-can-sign-in") in failed.impact
    assert wording("findings.copy-the-secret") in failed.advice
    assert (ended.id, bool(ended.ended_on), ended.is_open) == (failed.id, True, False)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_failure_before_the_first_poll_is_a_problem(desk: Desk, is_known: bool) -> None:
    """The journal may have the failure or not: the first poll makes it a problem."""
    desk.refuse_secret()
    if is_known:
        desk.begin()
        desk.poll()
        desk.path.unlink()
    result = desk.poll()
    (problem,) = desk.problems()

    assert (problem.title, problem.is_open) == (
        wording("findings.secret-refused"), True,
    )  # fmt: skip
    assert result.code is ExitCode.FAILED
    desk.answers.clear()
    (ended,) = desk.changes(16 * MINUTE, 6 * MINUTE)
    assert ended.ended_on


def test_a_deactivated_app_is_one_cause_and_never_in_order(desk: Desk) -> None:
    """Each check that is refused for it, twice, has the same cause as its title."""
    desk.poll()
    refused = (NAME_CHECK, "app-is-registered", REDIRECT_CHECK, "public-profile-is-live")
    desk.answers = dict.fromkeys((("", check) for check in refused), deactivated())
    desk.answers["", SECRET_CHECK] = deactivated(Outcome.FAILED)
    problems = desk.changes(DAY, 6 * MINUTE)
    code = desk.poll().code
    desk.answers.clear()
    ended = desk.changes(16 * MINUTE, 6 * MINUTE)

    assert len(problems) == 5
    assert {(p.cause, p.title) for p in problems} == {
        (
            "code app-deactivated",
            wording("findings.app-deactivated"),
        )
    }
    assert code is ExitCode.FAILED
    assert {p.id for p in ended} == {p.id for p in problems}
    assert all(p.ended_on for p in ended)


@pytest.mark.parametrize("seen", [REDIRECT_CHECK, SECRET_CHECK])
def test_steps_that_share_a_cause_are_polled_at_once(desk: Desk, seen: str) -> None:
    """A refusal that a waiting step sees first has every other step polled in the same poll."""
    steps = [step for step in PROCEDURE.steps if step.checks]
    waits = next(step for step in steps if seen in {check.id for check in step.checks})
    desk.begin("acme", *(attested(step.id) for step in steps if step is not waits))
    desk.poll()
    refused = finding(Outcome.INCONCLUSIVE, REFUSED, refuses=("app_id",))
    desk.answers = dict.fromkeys((("", check) for check in (seen, NAME_CHECK)), refused)
    desk.refuse_secret()
    (problem,) = desk.changes(16 * MINUTE)
    desk.asked.clear()

    assert problem.step == SECRET_STEP
    assert desk.changes(2 * HOUR, DAY, HOUR) == []


def test_a_different_result_counts_when_it_is_seen_again(desk: Desk) -> None:
    """Five minutes later, whatever the interval; what passes by never does."""

    def named(name: str, outcome: Outcome) -> Finding:
        return finding(outcome, tables=compared(("App Display Name", "Partner", name)))

    same = named("Partner", Outcome.VERIFIED)
    other = named("Another", Outcome.FAILED)
    desk.answers["", NAME_CHECK] = same
    desk.poll()
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == []
    desk.answers["", NAME_CHECK] = same
    assert desk.changes(6 * MINUTE, DAY) == []
    desk.answers["", NAME_CHECK] = other
    assert desk.changes(DAY) == desk.changes(4 * MINUTE) == []
    (renamed,) = desk.changes(2 * MINUTE)

    assert (renamed.was, renamed.now) == (
        f"{Outcome.VERIFIED} (App Display Name: Partner)",
        f"{Outcome.FAILED} (App Display Name: Another)",
    )
    assert renamed.since < renamed.on


def test_a_renamed_app_is_one_cause(desk: Desk) -> None:
    """A fact that another check reads too is the same cause, whatever that check says of it."""

    def named(name: str, outcome: Outcome, code: str) -> Finding:
        return finding(outcome, code=code, tables=compared(("App Display Name", "Partner", name)))

    desk.answers["", NAME_CHECK] = named("Partner", Outcome.VERIFIED, "app-name-matches")
    desk.answers["", "app-is-registered"] = finding(facts={"app_name": "Partner"})
    desk.poll()
    desk.answers["", NAME_CHECK] = named("Another", Outcome.FAILED, "app-name-differs")
    desk.answers["", "app-is-registered"] = finding(facts={"app_name": "Another"})
    problems = desk.changes(DAY, 6 * MINUTE)

    assert {problem.kind for problem in problems} == {ProblemKind.FAILED, ProblemKind.CHANGED}
    assert {problem.cause for problem in problems} == {"code app-name-differs"}


@pytest.mark.parametrize("is_late", [False, True])
def test_a_name_that_is_back_is_an_end_and_no_news(desk: Desk, is_late: bool) -> None:
    """A value that only moved with a problem is in its entry, or in none, if it is read later."""

    def name(shown: str, outcome: Outcome, code: str) -> None:
        table = compared(("App Display Name", "Partner", shown))
        desk.answers["", NAME_CHECK] = finding(outcome, code=code, tables=table)
        desk.answers["", "app-is-registered"] = finding(facts={"app_name": shown})

    def poll_twice() -> list[Problem]:
        begun = desk.changes(DAY)
        reader = desk.answers["", "app-is-registered"]
        if is_late:
            desk.answers["", "app-is-registered"] = None
        begun += desk.changes(6 * MINUTE)
        desk.answers["", "app-is-registered"] = reader
        return begun + desk.changes(16 * MINUTE, 6 * MINUTE)

    name("Partner", Outcome.VERIFIED, "app-name-matches")
    desk.poll()
    name("Another", Outcome.FAILED, "app-name-differs")
    began = poll_twice()
    name("Partner", Outcome.VERIFIED, "app-name-matches")
    ended = poll_twice()
    name("Third", Outcome.VERIFIED, "app-name-matches")
    other = poll_twice()

    assert len(began) == (1 if is_late else 2)
    assert {problem.cause for problem in began} == {"code app-name-differs"}
    assert [(problem.check, bool(problem.ended_on)) for problem in ended] == [(NAME_CHECK, True)]
    assert {problem.kind for problem in other} == {ProblemKind.CHANGED}
    assert len(other) == 2


@pytest.mark.parametrize("before", [Outcome.VERIFIED, Outcome.FAILED])
def test_an_undecided_check_is_no_change_and_an_outage_after_a_day(
    desk: Desk, before: Outcome
) -> None:
    """A check that cannot tell any more takes nothing back; after a day it is one problem."""
    desk.poll()
    desk.answers["", NAME_CHECK] = finding(before, "It said so.")
    first = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", NAME_CHECK] = finding(Outcome.INCONCLUSIVE, "Nobody can tell.")
    assert desk.changes(DAY, 6 * MINUTE, HOUR, 20 * HOUR) == []
    (late,) = desk.changes(3 * HOUR, DAY)
    desk.answers["", NAME_CHECK] = finding(before, "It said so.")
    (over,) = desk.changes(HOUR, DAY)

    assert len(first) == (before is Outcome.FAILED)
    assert (late.kind, late.reason) == (ProblemKind.OUTAGE, "Nobody can tell.")
    assert (over.id, over.end_reason) == (late.id, wording("watch.can-tell-again"))


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
    desk.poll()
    desk.answers["", "review-is-approved"] = listed("live")
    (news,) = desk.changes(DAY, 6 * MINUTE)
    desk.answers["", "review-is-approved"] = finding(Outcome.INCONCLUSIVE, "The list is cut off.")
    assert desk.changes(DAY, 6 * MINUTE) == []

    assert (news.kind, news.now) == (
        ProblemKind.CHANGED, wording("watch.could-not-be-checked", value="leads_retrieval: live"),
    )  # fmt: skip


APPROVED = wording("findings.review-approved", permissions=8)


@pytest.mark.parametrize(
    ("before", "live", "title"),
    [
        (0, 8, APPROVED),
        (None, 8, APPROVED),
        (7, 8, APPROVED),
        (0, 5, wording("findings.some-permissions-live", live=5, permissions=8)),
        (None, 1, wording("findings.permissions-live")),
        (5, 4, "12 Submit for review, and wait"),
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
    desk.poll()
    desk.answers["", "review-is-approved"] = listed(live, live if live == 1 else 8)
    news = desk.changes(DAY, 6 * MINUTE)

    assert {problem.kind for problem in news} <= {ProblemKind.CHANGED}
    assert [problem.title for problem in news] == ([title] if title else [])
    if title == APPROVED:
        assert news[0].advice == wording(
            "watch.next-step", title=f"12a {PROCEDURE.step('fb-12a-publish').title}."
        )


def test_an_outage_is_one_problem_after_a_day(desk: Desk) -> None:
    """No answer is no change; after a day it is one problem, which ends with the answers."""
    desk.poll()
    desk.answers = {("", check): None for check in CHECKS}
    assert desk.changes(DAY, 20 * HOUR) == []
    assert desk.poll().code == 3
    later = desk.changes(4 * HOUR, DAY)
    desk.answers.clear()
    over = desk.changes(HOUR, DAY)

    assert [problem.kind for problem in later] == [ProblemKind.OUTAGE]
    assert [(problem.id, bool(problem.ended_on)) for problem in over] == [(later[0].id, True)]


def test_a_silence_explained_by_a_failure_is_no_outage(desk: Desk) -> None:
    """A check that needs a refused value, and cannot tell, is not reported once more."""
    desk.poll()
    desk.refuse_secret()
    desk.answers["", NAME_CHECK] = finding(Outcome.INCONCLUSIVE, "Not now.", refuses=("app_id",))
    desk.poll(DAY)
    desk.poll(DAY)
    desk.poll(DAY)
    assert [problem.kind for problem in desk.problems()] == [ProblemKind.FAILED]


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


def test_an_expired_confirmation_is_a_problem_until_it_is_renewed(desk: Desk) -> None:
    """It counts without any request, also if it expired before the first poll."""
    step = "fb-12a-publish"
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    desk.poll()
    old = [change for change in desk.changes(366 * DAY, DAY) if change.step == step]
    desk.begin("acme", attested(step, at=timestamp(desk.now())))
    again = [change for change in desk.changes(HOUR, HOUR) if change.step == step]

    assert [(p.kind, p.was, p.now) for p in old] == [(ProblemKind.FAILED, "attested", "to do")]
    assert [(p.id, bool(p.ended_on)) for p in again] == [(old[0].id, True)]
    desk.offset += 366 * DAY
    desk.path.unlink()
    desk.poll()
    assert step in {problem.step for problem in desk.problems()}


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
    desk.poll()
    right = desk.offset
    desk.refuse_secret()
    desk.poll(YEARS)
    desk.offset = right
    desk.answers.clear()
    desk.answers["", NAME_CHECK] = finding(Outcome.FAILED, "Another name.")
    desk.poll(MINUTE)
    desk.poll(6 * MINUTE)
    desk.poll(6 * MINUTE)
    open_ones = [problem for problem in desk.problems() if problem.is_open]
    assert [problem.check for problem in open_ones] == [NAME_CHECK]
    assert desk.step(NAME_CHECK).since <= timestamp(desk.now())


def test_a_day_that_ends_something_is_reported_30_7_and_1_days_before(desk: Desk) -> None:
    """Each of the three days once; that a day moves on is no change by itself."""
    due = (desk.now() + timedelta(days=40)).date().isoformat()
    desk.begin("acme", assigned("fb-01-log-in", "Ann", due=due))
    told = [desk.changes(DAY) for _ in range(42)]
    reasons = [problem.reason.partition(":")[0] for problems in told for problem in problems]

    assert reasons == ["In 30 days", "In 7 days", "In 1 day"]
    assert {problem.due for problems in told for problem in problems} == {due}
    assert {problem.kind for problems in told for problem in problems} == {ProblemKind.DUE}
