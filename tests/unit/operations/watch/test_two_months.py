"""Two months of twenty tenants: inbox, page and message have the same rows in the same words."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.evidence.reports.tenant_status import CauseRow, cause_rows
from runbook_lib.operations.customer_rows import AccountStatus, KnownAccount
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch.watch_state import Digest, WatchedCustomer
from runbook_lib.run.journal import Journal
from tests.support.commands import runbook
from tests.unit.engine.world import GivenResults, Responses
from tests.unit.operations.watch.desk import DAY, MINUTE, Desk, deactivated, finding, refuse, take

MESSENGER = find_procedure("facebook_messenger")
MARKETING = find_procedure("facebook_marketing")
PROCEDURES = {f"ads-{n}": MARKETING for n in range(12)} | {f"chat-{n}": MESSENGER for n in range(8)}
AGAIN = 16 * MINUTE


def failed(code: str, reason: str = "No.", **more: object) -> Finding:
    return finding(Outcome.FAILED, reason, code=code, **more)


# Tenant and check → what polls find from the tenth day on.
FAULTS: Mapping[tuple[str, str], Finding] = {
    ("ads-1", "permissions-are-requested"): failed("permission-no-longer-live"),
    ("ads-2", "connector-is-in-library"): finding(
        Outcome.INCONCLUSIVE, "Refused.", code="cyclr-credentials-refused"
    ),
    ("ads-3", "business-is-verified"): finding(
        Outcome.NOT_RUN, "Not verified.", code="business-verification-not-started"
    ),
    ("ads-4", "app-credentials-are-accepted"): failed("app-secret-refused", refuses=("app_id",)),
    ("ads-5", "user-token-is-valid"): failed("token-invalid"),
    ("chat-1", "user-token-is-valid"): failed("token-invalid"),
    ("ads-6", "app-credentials-are-accepted"): deactivated(Outcome.FAILED),
    ("ads-6", "app-name-matches"): deactivated(),
}
# What a run of ads-0 finds: no poll makes a sign-in link to see it.
CLIENT_ID_DIFFERS = {"console-holds-app-id": failed("client-id-differs")}
TOKEN_ENDS = {"user-token-is-valid": finding(facts={"token_ends_on": "2027-01-20"})}


class Months(Desk):
    """Twenty tenants of two connectors, each with one sealed run."""

    def fleet(self) -> list[FleetTenant]:
        """Return the tenants; of one the secret is missing from the tenth day on."""
        references = {"ads-7": {"app_secret": "env:NOT_SET"}} if self.offset else {}
        return [
            FleetTenant(name, procedure, {}, references.get(name, {}))
            for name, procedure in PROCEDURES.items()
        ]

    def run(
        self, monkeypatch: pytest.MonkeyPatch, name: str, found: Mapping[str, Finding] | None = None
    ) -> None:
        """Run a tenant; what is not `found` is verified."""
        seen = Responses(found)
        monkeypatch.setattr(Run, "start_snapshot", lambda run, _: GivenResults(run, seen))
        procedure = PROCEDURES[name]
        run = open_run(procedure, {}, mode=Mode.HEADLESS, tenant=name, env_file="watch.env")
        run = replace(run, journal=Journal(run.journal.path, clock=self.now))
        run.start()
        for step in procedure.steps:
            if step.checks:
                run.perform(step.id)
        run.finish()
        run.close()

    def reported(self, *waits: float) -> Digest | None:
        """Return the newest message after cycles with these waits; `None` without one."""
        self.post.sent.clear()
        for wait in waits:
            self.cycle(wait, self.fleet())
        return self.post.sent[-1][-1] if self.post.sent else None

    def cut_off(self, name: str, account: str, **seen: str) -> None:
        """Let a survey have found a customer signed out, twice."""
        known = KnownAccount(
            id=account,
            name=account.title(),
            standing=AccountStatus.NOT_SIGNED_IN,
            not_signed_in_since=timestamp(self.now()),
            polled_on=timestamp(self.now()),
            **seen,
        )
        with self.state() as state, state.transaction():
            key = f"{PROCEDURES[name].id}/{name}"
            state.customers.write([WatchedCustomer(key, account, known)])


@pytest.fixture
def months(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Months:
    desk = Months(folder, monkeypatch)
    desk.set(
        RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN="EAAuser0token0of0the0test0account",
        RUNBOOK_CYCLR_CLIENT_ID="client-id-of-the-console",
        RUNBOOK_CYCLR_CLIENT_SECRET="6f1d2c3b4a5968778695a4b3c2d1e0f9",
        RUNBOOK_CYCLR_ACCOUNT_API_ID="account-of-the-test",
        RUNBOOK_CYCLR_USERNAME="owner@acme.example",
    )
    monkeypatch.setattr("runbook_lib.operations.watch.cycle.is_due", lambda *_: False)
    monkeypatch.setattr("runbook_lib.core.clock.utc_now", desk.now)
    desk.answers["chat-2", "user-token-is-valid"] = TOKEN_ENDS["user-token-is-valid"]
    for name in PROCEDURES:
        desk.run(monkeypatch, name)
    return desk


def flat(text: str) -> str:
    return " ".join(text.split())


def rows_now(months: Months) -> list[CauseRow]:
    """Return the rows of the list, in its order."""
    return cause_rows(read_tenants("evidence", months.now()).statuses)


def assert_same_everywhere(months: Months, digest: Digest) -> None:
    """Print and compare the rows: in `inbox`, on the page and in a message."""
    rows = rows_now(months)
    inbox = flat(runbook("inbox").stdout)
    page = html.unescape(re.sub("<[^>]*>", " ", months.page()))
    page = flat(page[page.index("What to do first") :])
    told = [(row["phase"], row["title"]) for row in digest.document["rows"]]
    print(f"\n{months.now():%d %B}: {digest.subject}")  # noqa: T201
    at_inbox = 0
    at_page = 0
    for row in rows:
        head = row.headline(names_connectors=True)
        print(f"  {row.first.group.value:18} {head}")  # noqa: T201
        is_told = ("open", row.title) in told or ("new", row.title) in told
        for line in (head, *row.lines()):
            assert flat(line) in inbox
            assert flat(line) in flat(digest.text) or not is_told
        at_inbox = inbox.index(flat(head), at_inbox)
        at_page = page.index(flat(row.title), at_page)
        assert flat(row.first.advice).replace("`", "") in page
    for phase in ("new", "open"):
        titles = [title for name, title in told if name == phase]
        assert titles == [row.title for row in rows if row.title in titles]


def test_inbox_page_and_message_have_the_same_rows(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each fault the row is the same, and it ends everywhere."""
    months.cut_off("chat-3", "early", was_out_at_first=True)
    first = months.reported(0, AGAIN)
    assert {row["phase"] for row in first.document["rows"]} == {"open"}
    assert_same_everywhere(months, first)

    assert months.reported(10 * DAY)
    months.answers |= FAULTS
    months.answers["ads-8", "app-is-registered"] = None
    months.run(monkeypatch, "ads-0", CLIENT_ID_DIFFERS)
    months.cut_off("ads-6", "late", signed_in_on=timestamp(months.now()))
    journal = months.journal("ads-9")
    journal.write_bytes(journal.read_bytes().replace(b"verified", b"verifled", 1))
    months.post.act = refuse
    assert months.reported(DAY, AGAIN, 3 * DAY) is None
    assert "A message was not accepted" in months.page()
    months.post.act = take
    digest = months.reported(DAY)
    assert_same_everywhere(months, digest)
    titles = [row.title for row in rows_now(months)]
    assert len(titles) == 14
    assert [row["phase"] for row in digest.document["rows"]] == ["new"] * 10

    for key in FAULTS.keys() | {("ads-8", "app-is-registered")}:
        del months.answers[key]
    months.run(monkeypatch, "ads-0")
    over = months.reported(DAY, AGAIN)
    left = {row.title for row in rows_now(months)}
    assert len(set(titles) - left) == 8
    assert {row["title"] for row in over.document["rows"] if row["phase"] == "over"} <= {*titles}

    token = months.reported(12 * DAY)
    assert "Token ends" in token.text
    assert_same_everywhere(months, token)
