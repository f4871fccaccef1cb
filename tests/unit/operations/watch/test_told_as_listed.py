"""The digest names what `inbox` lists as failing, whoever found it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import ExitCode
from runbook_lib.operations.customer_rows import FailingCalls, KnownAccount
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch.saved_items import acknowledge
from runbook_lib.operations.watch.watch_state import WatchedCustomer
from runbook_lib.run.journal import Journal
from tests.support.attestations import assigned
from tests.support.commands import runbook
from tests.support.wording import wording
from tests.unit.engine.world import GivenResults, Responses
from tests.unit.fake_console import SECRET as CONSOLE_SECRET
from tests.unit.fake_console import Console, console_session
from tests.unit.operations.watch.desk import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    PROCEDURE,
    REFUSED,
    SECRET_CHECK,
    Desk,
    deactivated,
    finding,
)

FLEET = ("acme", "beta")
TOKEN_STEP = "test-04-user-token"
SECRET_REFUSED = finding(Outcome.FAILED, REFUSED, code="app-secret-refused", refuses=("app_id",))
PROFILE_CHECK = "public-profile-is-live"


def perform(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    seen: Mapping[str, Finding | None],
    tenant: str = "acme",
) -> None:
    """Let a run check every step now, with these findings, by step or check."""
    monkeypatch.setattr(Run, "start_snapshot", lambda run, _: GivenResults(run, Responses(seen)))
    opened = open_run(PROCEDURE, {}, mode=Mode.HEADLESS, tenant=tenant, env_file="watch.env")
    journal = Journal(opened.journal.path, clock=desk.now)
    run = replace(opened, journal=journal)
    run.start()
    for step in PROCEDURE.steps:
        if step.checks:
            run.perform(step.id)
    run.finish()
    run.close()


def titles_of_inbox() -> list[str]:
    """Return the titles that `inbox` lists as failing."""
    tenants = json.loads(runbook("inbox", "--json").stdout)
    return [item["title"] for tenant in tenants for item in tenant["open"] if item["failing"]]


def unusable() -> list[str]:
    """Return the titles of the tenants of which nothing is checked."""
    statuses = read_tenants("evidence", utc_now()).statuses
    return [item.title for status in statuses for item in status.items if item.stops_checks]


def subjects(desk: Desk) -> list[str]:
    """Return the subjects of the messages since the last call."""
    sent = [digest.subject.removeprefix("SANDBOX ") for *_, digest in desk.post.sent]
    desk.post.sent.clear()
    return sent


@pytest.fixture
def clocked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("runbook_lib.core.clock.utc_now", desk.now)
    return desk


@pytest.mark.parametrize(
    ("seen", "title"),
    [
        ({SECRET_CHECK: SECRET_REFUSED}, wording("findings.secret-refused")),
        (
            dict.fromkeys((SECRET_CHECK, "app-name-matches"), deactivated(Outcome.FAILED)),
            wording("findings.app-deactivated"),
        ),
        ({TOKEN_STEP: finding(Outcome.FAILED, "No.", code="x")}, None),
    ],
    ids=["refused", "deactivated", "uncoded"],
)
def test_a_failure_of_a_run_is_told_once_and_ends_once(
    clocked: Desk,
    monkeypatch: pytest.MonkeyPatch,
    seen: dict[str, Finding | None],
    title: str | None,
) -> None:
    """A poll that finds it too is no news; its end is told."""
    desk = clocked
    desk.introduce()
    for check, result in seen.items():
        desk.answers["", check] = result
    desk.offset += DAY
    perform(desk, monkeypatch, seen)
    (first, *_) = titles_of_inbox()
    assert first == title or not title
    for wait in (10, 16 * MINUTE, 16 * MINUTE, HOUR):
        assert desk.cycle(wait) == []
    assert titles_of_inbox()[0] == first
    assert subjects(desk) == [f"acme: {first}"]
    assert desk.code is ExitCode.FAILED

    desk.answers.clear()
    perform(desk, monkeypatch, {})
    for _ in range(3):
        desk.cycle(16 * MINUTE)
    assert titles_of_inbox() == []
    assert subjects(desk) == [f"acme: over: {first}"]
    assert desk.code is ExitCode.COMPLETE


def test_a_failure_between_two_polls_is_told_at_once(
    clocked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run finds what no poll has confirmed; who was told or acknowledged is not told again."""
    desk = clocked
    desk.introduce()
    failed = finding(Outcome.FAILED, "Not live.", code="not-live")
    desk.offset += HOUR
    perform(desk, monkeypatch, {PROFILE_CHECK: failed})
    desk.answers["", PROFILE_CHECK] = failed
    desk.cycle(10)
    (first,) = titles_of_inbox()
    ((_, _, digest),) = desk.post.sent
    ident = digest.text.partition("--ack ")[2].split()[0]
    acknowledge(ident, by="Ann", note="", evidence="", now=desk.now())
    (row,) = json.loads(runbook("inbox", "--json").stdout)[0]["open"][:1]
    assert (subjects(desk), row["known_to"]) == ([f"acme: {first}"], "Ann")
    for wait in (DAY, 16 * MINUTE, DAY):
        desk.cycle(wait)
    places = [row.place for row in desk.items() if row.item.is_failing and not row.ended_on]
    assert places == ["fb-10-public-profile"]
    assert subjects(desk) == []


def test_a_step_of_a_person_is_told_to_that_person(
    clocked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure that only a run has found goes to whom the step was handed over."""
    desk = clocked
    desk.begin("acme", assigned(TOKEN_STEP, "Ann"))
    desk.introduce()
    perform(desk, monkeypatch, {TOKEN_STEP: finding(Outcome.FAILED, "No.", code="x")})
    desk.cycle(HOUR)
    assert desk.post.take_news() == ["ann new acme"]


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_tenant_that_cannot_be_read_or_started_is_told(
    clocked: Desk, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    """The first message says so, to the tenant's address; the others go on, and its end is told."""
    desk = clocked
    perform(desk, monkeypatch, {}, "beta")
    broken = replace(desk.tenant("beta"), references={"app_secret": "env:BETA_SECRET"})
    if has_begun:
        desk.introduce(FLEET)
    desk.cycle(DAY, ["acme", broken])
    (title,) = unusable()
    assert subjects(desk) == [f"beta: {title}"]
    assert desk.code is ExitCode.INCOMPLETE
    desk.cycle(HOUR, ["acme", broken])
    assert subjects(desk) == []
    desk.cycle(HOUR, FLEET)
    desk.cycle(HOUR, FLEET)
    assert (subjects(desk), unusable()) == ([f"beta: over: {title}"], [])
    assert desk.code is ExitCode.COMPLETE

    kept = desk.journal("beta").read_text()
    desk.journal("beta").write_text(kept.replace('"format":', '"format_of_tomorrow":'))
    desk.cycle(HOUR, FLEET)
    assert subjects(desk) == [f"beta: {unusable()[0]}"]
    desk.journal("beta").write_text(kept)
    desk.cycle(HOUR, FLEET)
    assert len(subjects(desk)) == 1


SINCE = timestamp(NOON - timedelta(days=9))
FAILING = FailingCalls(SINCE, "The token has ended.", "Let them sign in again.")


@pytest.mark.parametrize(
    ("before", "title"),
    [
        ({}, "status.customer-not-signed-in"),
        ({"used_on": SINCE}, "status.customer-signed-out"),
        ({"failing": FAILING}, "status.customer-signed-out"),
    ],
    ids=["unknown", "used", "with a failure"],
)
def test_a_customer_who_was_signed_out_before_the_first_survey_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], title: str
) -> None:
    """List and digest have the customer after two polls, in the same words; a later one is new."""
    console = Console({"a": False, "b": True})
    desk.set(RUNBOOK_CYCLR_CLIENT_ID="partner", RUNBOOK_CYCLR_CLIENT_SECRET=CONSOLE_SECRET)
    monkeypatch.setattr(Run, "open_session", lambda _: console_session(console))
    desk.begin()
    if before:
        account = KnownAccount("a", "Name of a", **before)
        with desk.state() as state, state.transaction():
            row = WatchedCustomer("facebook_marketing/acme", "a", account)
            state.customers.write([row])
    desk.cycle(0)
    told = (
        titles_of_inbox(),
        desk.post.take_news(),
    )
    console.accounts["later"] = False
    for wait in (6 * MINUTE, DAY, 6 * MINUTE):
        assert desk.cycle(wait) == []
    name = wording(title, customer="Name of a")
    assert told == ([], [])
    assert titles_of_inbox() == [name]
    assert subjects(desk)[0] == f"acme: {name}"
    assert desk.code is ExitCode.FAILED
    console.accounts["a"] = True
    desk.post.sent.clear()
    for wait in (DAY, 6 * MINUTE):
        desk.cycle(wait)
    assert (titles_of_inbox(), subjects(desk)[-1]) == ([], f"acme: over: {name}")
