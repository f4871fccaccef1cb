"""Checks run in parallel within the step's time limit, and none can hold the others back."""

from __future__ import annotations

import threading
import time

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Check
from runbook_lib.engine import check_runner as checking
from runbook_lib.engine.check_runner import perform_checks
from runbook_lib.errors import JournalError
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.limits import Limits
from tests.conftest import NOON
from tests.support.wording import wording
from tests.unit.fake_remote import FakeRemote, open_session, responds

URL = "https://api.example/x"


def context(remote: FakeRemote, seconds: int) -> CheckContext:
    session = open_session(remote, limits=Limits(step_seconds=seconds))
    return CheckContext(values={}, secrets={}, session=session, now=NOON)


def find_nothing_wrong(context: CheckContext) -> Finding:
    """Return a verified finding."""
    return Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is there.")


def test_a_check_that_does_not_end_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is inconclusive, the others count, and its later requests are not sent."""
    monkeypatch.setattr(checking, "_GRACE_SECONDS", 0.2)
    release = threading.Event()
    released = list[bool]()
    over = threading.Event()
    errors = list[Exception]()
    remote = FakeRemote()
    remote.on("/x", responds({}))

    def stuck(context: CheckContext) -> Finding:
        context.session.send(Request(method="GET", url=URL))
        released.append(release.wait(60))
        try:
            context.session.send(Request(method="GET", url=URL))
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        over.set()
        return find_nothing_wrong(context)

    results, _ = perform_checks(
        [Check("stuck", stuck), Check("found", find_nothing_wrong)],
        lambda: context(remote, 1),
        lacking=lambda _: (),
    )
    release.set()
    assert over.wait(60)
    assert released == [True], "the other check waited for the one that is stuck"
    assert [result.finding.outcome for result in results] == [
        Outcome.INCONCLUSIVE,
        Outcome.VERIFIED,
    ]
    assert wording("findings.took-too-long", seconds=1) in results[0].finding.reason
    assert (results[0].finding.check, len(results[0].seen)) == ("stuck", 1)
    assert wording("outside-practice.not-contacted") in str(errors[0])
    assert len(remote.requests) == 1


def test_the_time_limit_of_a_step_covers_all_its_checks() -> None:
    """The step's time limit starts once for all its checks; no check sends a request after it."""
    remote = FakeRemote()
    remote.on("/x", responds({}))

    def slow(context: CheckContext) -> Finding:
        while True:
            context.session.send(Request(method="GET", url=URL))
            # A check that is slow between its requests.
            time.sleep(0.05)

    results, _ = perform_checks(
        [Check("a", slow), Check("b", slow)], lambda: context(remote, 1), lacking=lambda _: ()
    )

    assert {result.finding.outcome for result in results} == {Outcome.INCONCLUSIVE}
    assert all("took over 1 s" in result.finding.reason for result in results)


def test_a_journal_that_cannot_be_written_is_raised() -> None:
    """A `JournalError` in a check is raised, not turned into a finding."""

    def broken(context: CheckContext) -> Finding:
        raise JournalError("The disk is full.")

    with pytest.raises(JournalError):
        perform_checks(
            [Check("broken", broken)], lambda: context(FakeRemote(), 5), lacking=lambda _: ()
        )
