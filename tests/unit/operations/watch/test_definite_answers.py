"""A definite answer of a remote system fails at the second poll; it is no outage."""

from __future__ import annotations

import json

import httpx
import pytest

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.connectors.findings import compared
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ExitCode
from tests.support.commands import runbook
from tests.unit.fake_console import SECRET as CONSOLE_SECRET
from tests.unit.fake_console import Console, console_session
from tests.unit.operations.watch.desk import DAY, MINUTE, SECRET_CHECK, Desk, finding

LIMITS = ("The access level.",)
LIVE = finding(code="permissions-live", limits=LIMITS, tables=compared(("a", "live", "live")))
NOT_LIVE = finding(
    Outcome.INCONCLUSIVE,
    "Facebook does not list a.",
    code="permission-not-live",
    limits=LIMITS,
    tables=compared(("a", "live", "not listed")),
)
UNKNOWN_ID = finding(Outcome.INCONCLUSIVE, "Refused.", code="app-id-not-recognised")
NO_TOKEN = finding(Outcome.INCONCLUSIVE, "Refused.", code="cyclr-credentials-refused")


def failing() -> list[tuple[str, str]]:
    """Return title and advice of each row that `inbox` lists as failing."""
    tenants = json.loads(runbook("inbox", "--json").stdout)
    items = [item for tenant in tenants for item in tenant["open"] if item["failing"]]
    return [(item["title"], item["advice"]) for item in items]


@pytest.mark.parametrize(
    ("check", "well", "refused", "code"),
    [
        ("review-is-approved", LIVE, NOT_LIVE, "permission-no-longer-live"),
        ("permissions-are-requested", LIVE, NOT_LIVE, "permission-no-longer-live"),
        (SECRET_CHECK, finding(), UNKNOWN_ID, "app-id-not-recognised"),
        ("connector-is-installed", finding(), NO_TOKEN, "cyclr-credentials-refused"),
    ],
    ids=["review", "request", "app", "cyclr"],
)
def test_a_definite_answer_fails_at_the_second_poll(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    well: Finding,
    refused: Finding,
    code: str,
) -> None:
    """List and message have the same title and the advice of its cause; the end is told, too."""
    desk.set(RUNBOOK_CYCLR_CLIENT_ID="partner", RUNBOOK_CYCLR_CLIENT_SECRET=CONSOLE_SECRET)
    monkeypatch.setattr(Run, "open_session", lambda _: console_session(Console({"a": True})))
    meaning = meaning_of(code)
    assert meaning
    title = meaning.means.rstrip(".")
    desk.answers["", check] = well
    desk.cycle(0)
    desk.post.sent.clear()
    desk.answers["", check] = refused
    desk.cycle(DAY)
    assert (desk.post.sent, failing()) == ([], [])
    desk.cycle(6 * MINUTE)
    ((_, _, digest),) = desk.post.sent
    assert digest.subject == f"SANDBOX acme: {title}"
    assert meaning.advice in digest.text
    assert failing() == [(title, meaning.advice)]
    assert desk.code is ExitCode.FAILED
    desk.cycle(2 * DAY)
    desk.cycle(2 * DAY)
    assert failing() == [(title, meaning.advice)]

    desk.post.sent.clear()
    desk.answers["", check] = well
    desk.cycle(16 * MINUTE)
    desk.cycle(6 * MINUTE)
    assert desk.post.take_news() == ["all over acme"]
    assert (failing(), desk.code) == ([], ExitCode.COMPLETE)


def test_a_permission_that_was_never_live_fails_nothing(desk: Desk) -> None:
    """The list shows approved permissions only, so its absence is no refusal."""
    desk.answers["", "review-is-approved"] = NOT_LIVE
    for wait in (0, DAY, 6 * MINUTE):
        desk.cycle(wait)
    assert failing() == []
    assert desk.post.take_reports() == []


@pytest.mark.parametrize("status", [400, 401])
def test_refused_credentials_of_cyclr_fail_without_a_step(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The poll of customers finds it too; it is told once, as no outage, and so is its end."""
    console = Console({"a": True})
    desk.set(RUNBOOK_CYCLR_CLIENT_ID="partner", RUNBOOK_CYCLR_CLIENT_SECRET=CONSOLE_SECRET)
    monkeypatch.setattr(Run, "open_session", lambda _: console_session(console))
    desk.cycle(0)
    desk.post.sent.clear()
    refusal = {"error": "invalid_client"}
    console.faults["/oauth/token"] = lambda _: httpx.Response(status, json=refusal)
    desk.cycle(DAY)
    assert desk.post.sent == []
    for wait in (16 * MINUTE, 16 * MINUTE, DAY, DAY):
        desk.cycle(wait)
    meaning = meaning_of("cyclr-credentials-refused")
    assert meaning
    title = meaning.means.rstrip(".")
    assert desk.post.sent[0][2].subject == f"SANDBOX acme: {title}"
    assert failing() == [(title, meaning.advice)]
    assert [line for line in desk.post.take_reports() if "new" in line] == ["all new acme"]
    console.faults.clear()
    desk.cycle(16 * MINUTE)
    assert (failing(), desk.post.take_news()) == ([], ["all over acme"])
