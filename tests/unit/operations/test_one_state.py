"""One state of a tenant: a table of each tenant's expected lines, and every reader against it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.fleet_result import TenantResult, TenantRunStatus
from runbook_lib.evidence.junit import tenant_suite
from runbook_lib.evidence.reports.index_page import INDEX_PAGE
from runbook_lib.evidence.reports.tenant_status import TenantStatus, cause_rows
from runbook_lib.operations.index_builder import build_index
from runbook_lib.operations.tenant_list import LIST_NAME, list_tenants, read_list
from runbook_lib.operations.tenant_reader import TenantsOverview, read_tenants
from runbook_lib.operations.watch.digest import Phase, ReceiverList, compose_digest, reported_rows
from runbook_lib.operations.watch.saved_items import acknowledge, settle
from runbook_lib.operations.watch.watch_state import WatchReceiver, open_state
from tests.support.attestations import assigned, attested, submitted
from tests.support.commands import runbook
from tests.support.wording import wording
from tests.unit.engine import world as made_up
from tests.unit.engine.world import DAY, EVIDENCE, HOUR, NOW, WorldTenant, finding

APP_OFF = wording("findings.app-deactivated")
REFUSED = wording("findings.secret-refused")
TOKEN_ENDED = wording("findings.token-refused", code=190)
UNUSABLE = wording("status.settings-unusable")
CUT_OFF = wording("findings.all-cut-off")
SECRET_STOPS = wording("findings.secret-stops")
NO_DATA = wording("findings.no-data-until-sign-in")
NO_CHECK = wording("findings.nothing-is-checked")
NO_TEST = wording("findings.cannot-test-connection")
NO_RESPONSE = "Some checks have had no response for a day"
UNCONFIRMED = "Nobody has checked it for two days"
LOG_IN = PROCEDURE.step("fb-01-log-in").title
SUBMIT = PROCEDURE.step("fb-12-submit-review").title
PUBLISH = PROCEDURE.step("fb-12a-publish").title


@dataclass(frozen=True)
class ExpectedTenant:
    """The expected lines about a tenant."""

    tenant: str
    """The tenant's name."""
    label: str
    """The tenant's label with its state."""
    title: str = ""
    """The first item's title; empty without one."""
    stops: str = ""
    """The effects of the first item; empty for none."""
    whom: str = ""
    """The person or system that the first item waits for; empty for none."""
    others: tuple[str, ...] = ()
    """The titles of its other items."""

    @property
    def titles(self) -> list[str]:
        return [*([self.title] if self.title else []), *self.others]


FAILING = wording("status.needs-you-failing")
DUE = wording("status.needs-you-due")
DATA_ENDS = wording("status.data-access-ends").capitalize()
# In the order in which everything shows them.
TABLE = (
    ExpectedTenant("elm", DUE, UNUSABLE, NO_CHECK, "you"),
    ExpectedTenant("gingko", DUE, UNUSABLE, NO_CHECK, "you"),
    ExpectedTenant("yew", DUE, wording("status.record-unreadable"), "", "you"),
    ExpectedTenant("fir", DUE, wording("status.never-run"), "", "you"),
    ExpectedTenant("alder", FAILING, APP_OFF, CUT_OFF, "you"),
    ExpectedTenant("cedar", FAILING, REFUSED, SECRET_STOPS, "you"),
    ExpectedTenant("birch", FAILING, APP_OFF, CUT_OFF, "you"),
    ExpectedTenant("dogwood", FAILING, REFUSED, SECRET_STOPS, "you"),
    ExpectedTenant(
        "maple", FAILING, wording("status.customers-signed-out", customers=2), NO_DATA, "you"
    ),
    ExpectedTenant("hazel", FAILING, TOKEN_ENDED, NO_TEST, "you"),
    ExpectedTenant(
        tenant="nutmeg",
        label=FAILING,
        title=wording("status.customer-signed-out", customer="Twelfth Customer"),
        stops=NO_DATA,
        whom="you",
        others=(wording("status.calls-fail", customer="Seventh Customer"),),
    ),
    ExpectedTenant(
        "juniper", DUE, wording("inbox.overdue", title=SUBMIT), "", "you", (UNCONFIRMED,)
    ),
    ExpectedTenant("kite", DUE, PUBLISH, "", "you"),
    ExpectedTenant("larch", DUE, PUBLISH, "", "you"),
    ExpectedTenant("spruce", DUE, "Token ends", "", "you"),
    ExpectedTenant("pine", "not checked since 23 Nov", NO_RESPONSE, "", "you"),
    ExpectedTenant(
        "iris",
        wording("status.waiting-for", whom="Facebook"),
        SUBMIT,
        "",
        "Facebook",
    ),
    ExpectedTenant("oak", "in order"),
    ExpectedTenant("quince", "in order"),
    ExpectedTenant("zelkova", "in order"),
    ExpectedTenant("tamarack", "in order", "Token ends", "", "you"),
    ExpectedTenant("willow", FAILING, APP_OFF, CUT_OFF, "you"),
)
NEED_YOU = wording("inbox.tenants-need-you", tenants=15, tenant=f"elm: {UNUSABLE}.")
NOW_SENTENCE = f"{NEED_YOU} 1 tenant cannot be checked. 1 tenant can only wait."
# One row for each cause, as everything shows them: group, tenants, title.
ROWS = (
    ("Due now", "elm, gingko", UNUSABLE),
    ("Due now", "yew", wording("status.record-unreadable")),
    ("Due now", "fir", wording("status.never-run")),
    ("Due now", "alder, birch", APP_OFF),
    ("Due now", "cedar, dogwood", REFUSED),
    ("Due now", "maple, nutmeg", wording("status.customers-signed-out", customers=3)),
    ("Due now", "hazel", TOKEN_ENDED),
    ("Due now", "nutmeg", wording("status.calls-fail", customer="Seventh Customer")),
    ("Due now", "juniper", wording("inbox.overdue", title=SUBMIT)),
    ("Due now", "kite, larch", PUBLISH),
    ("Due now", "spruce", "Token ends"),
    ("Due now", "SANDBOX willow", APP_OFF),
    ("Due later", "tamarack", "Token ends"),
    ("Cannot be checked", "juniper", UNCONFIRMED),
    ("Cannot be checked", "pine", NO_RESPONSE),
    ("Waiting for others", "iris", SUBMIT),
)
every_tenant = pytest.mark.parametrize(
    "expected_tenant", TABLE, ids=[expected_tenant.tenant for expected_tenant in TABLE]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenantsOverview]:
    """Give the tenants as read from the world's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("world"))
        made_up.build(made_up.World(patch))
        yield read_tenants("evidence", NOW)


@pytest.fixture
def world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> made_up.World:
    """Return an empty world."""
    return made_up.World(monkeypatch)


def output(*words: str) -> str:
    """Return the output of a command that only reads; it always ends with 0."""
    result = runbook(*words)
    assert (result.exit_code, result.stderr) == (ExitCode.COMPLETE, "")
    return result.stdout


def state_of(name: str = "acme", now: datetime = NOW) -> TenantStatus:
    """Return the state of a tenant."""
    (status,) = read_tenants("evidence", now, only=[name]).statuses
    return status


def titles(status: TenantStatus) -> list[str]:
    """Return the open items of a tenant."""
    return [item.title for item in status.items]


# --- Every reader against the table


def test_the_order_is_that_of_the_table(whole: TenantsOverview) -> None:
    """Every tenant is listed once, also one that nobody ran; one that its FILE dropped is not."""
    assert [status.tenant for status in whole.statuses] == [
        expected_tenant.tenant for expected_tenant in TABLE
    ]
    assert (whole.notices, len({status.tenant for status in whole.statuses})) == ([], 22)


@every_tenant
def test_the_state_is_as_the_table_says(
    whole: TenantsOverview, expected_tenant: ExpectedTenant
) -> None:
    """Its label, its open items, their effects and the people who must act."""
    status = next(status for status in whole.statuses if status.tenant == expected_tenant.tenant)
    first = status.items[0] if status.items else None

    assert (status.label, titles(status)) == (expected_tenant.label, expected_tenant.titles)
    assert (
        (first.stops, first.whom) == (expected_tenant.stops, expected_tenant.whom)
        if first
        else not expected_tenant.title
    )
    assert status.is_failing is (expected_tenant.label == FAILING)


def shown_rows(text: str) -> list[tuple[str, str, str]]:
    """Return the rows that `inbox` prints: group, tenants, title."""
    rows = []
    group = ""
    for line in text.splitlines():
        if line.isupper():
            group = line.capitalize()
        elif match := re.fullmatch(r"\S ([\w, -]+?)(?: \([\w, ]+\))?: (.*)", line):
            rows.append((group, match[1], match[2]))
        elif line.startswith("    Tenants: "):
            rows[-1] = (group, line.partition(": ")[2], rows[-1][2])
    return rows


def test_inbox_says_the_same(whole: TenantsOverview) -> None:
    """One row for each cause, with its tenants; the next action comes first."""
    text = output("inbox")

    assert text.splitlines()[0] == NOW_SENTENCE
    assert shown_rows(text) == [*ROWS]
    for expected_tenant in TABLE:
        assert expected_tenant.stops in " ".join(text.split())


def documents(*words: str) -> list[dict[str, Any]]:
    """Return the output of a command for programs."""
    json_row: list[dict[str, Any]] = json.loads(output(*words))
    return json_row


def test_documents_say_the_same(whole: TenantsOverview) -> None:
    """`status --json` has all tenants, `inbox --json` those with something open; in one order."""
    every = documents("status", "--json")
    states = {"in order": "in_order", "waiting": "waiting", "not checked": "cannot_be_checked"}

    assert [json_row["tenant"] for json_row in every] == [
        expected_tenant.tenant for expected_tenant in TABLE
    ]
    for json_row, expected_tenant in zip(every, TABLE, strict=True):
        state = next(
            (v for k, v in states.items() if expected_tenant.label.startswith(k)), "needs_you"
        )
        assert (json_row["state"], json_row["failing"]) == (state, expected_tenant.label == FAILING)
        assert [item["title"] for item in json_row["open"]] == expected_tenant.titles
        first = json_row["open"][0] if json_row["open"] else {"stops": None, "waits_for": None}
        assert (first["stops"] or "", first["waits_for"] or "") == (
            expected_tenant.stops,
            expected_tenant.whom,
        )
    assert documents("inbox", "--json") == [json_row for json_row in every if json_row["open"]]


def status_lines(text: str) -> list[tuple[str, str, str]]:
    """Return the line of `status` for each tenant: name, label, first title."""
    rows = re.findall(r"^\S (?:SANDBOX )?(\S+) \(\w+\): (.*?), \d.*\n(?:    (.*)\n)?", text, re.M)
    return [(name, label, title) for name, label, title in rows]


def test_status_says_the_same(whole: TenantsOverview) -> None:
    """A line for each tenant, in the same order, after the same first sentence."""
    text = output("status")

    assert text.splitlines()[0] == NOW_SENTENCE
    assert status_lines(text) == [
        (expected_tenant.tenant, expected_tenant.label, expected_tenant.title)
        for expected_tenant in TABLE
    ]


@pytest.mark.parametrize("command", ["status", "inbox"])
def test_a_file_shows_its_own_tenants(whole: TenantsOverview, command: str) -> None:
    """
    The text is the same for all of them; for two it has only those, with their own first sentence.
    """
    assert output(command, "tenants.toml") == output(command)
    Path("two.toml").write_text('[[tenant]]\ntenant = "kite"\n[[tenant]]\ntenant = "hazel"\n')
    two = output(command, "two.toml")

    hazel = f"hazel: {TOKEN_ENDED}."
    assert two.startswith(wording("inbox.tenants-need-you", tenants=2, tenant=hazel))
    assert "elm" not in two


class PageTables(HTMLParser):
    """The first line of each cell of the page's tables, without marks, and the headings."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self._hidden = 0
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a table, a row, a cell or a heading; marks and folds are hidden."""
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td", "h3"):
            self._text = ""
        elif tag in ("details", "strong"):
            self._hidden += 1
        if ("class", "more") in attrs:
            self._text += "\n"

    def handle_endtag(self, tag: str) -> None:
        """End what began."""
        text = " ".join(self._text.split("\n")[0].split())
        if tag in ("details", "strong"):
            self._hidden -= 1
        elif tag in ("th", "td") and self.tables:
            self.tables[-1][-1].append(text)
        elif tag == "h3":
            self.headings.append(text.rpartition(" ")[0])

    def handle_data(self, data: str) -> None:
        """Take text that is not hidden."""
        if not self._hidden:
            self._text += data


def page_tables() -> PageTables:
    """Return the page's tables, built from disk."""
    assert build_index("evidence", NOW)[1] == ""
    parsed = PageTables()
    parsed.feed((EVIDENCE / INDEX_PAGE).read_text())
    return parsed


def test_the_page_says_the_same(whole: TenantsOverview) -> None:
    """The same rows, groups, tenants, labels and titles, in the same order."""
    page = page_tables()
    causes = page.tables[: len(page.headings)]
    rows = [
        (heading, row[1], row[0].removeprefix("failing "))
        for heading, table in zip(page.headings, causes, strict=True)
        for row in table[1:]
    ]
    tenants = [(row[0], row[1], row[2].split(" (")[0]) for row in page.tables[4][1:]]

    assert rows == [(group, names.removeprefix("SANDBOX "), title) for group, names, title in ROWS]
    assert tenants == [
        (expected_tenant.tenant, expected_tenant.label, expected_tenant.title.split(" (")[0])
        for expected_tenant in TABLE
    ]
    assert NOW_SENTENCE in (EVIDENCE / INDEX_PAGE).read_text()


CUSTOMER_STATES = {
    "signed out": "First Second Twelfth",
    "calls fail": "Seventh",
    "could not be read": "Sixth",
    "signed out, seen once": "Fifth Fifteenth",
    "not signed in yet": "Ninth Seventeenth",
}


def test_the_page_lists_the_customers_who_need_something(whole: TenantsOverview) -> None:
    """Nine of 18: one that a single look saw signed out is not signed out yet; nine are counted."""
    listed = {row[0].split()[0]: row[2] for row in page_tables().tables[5][1:]}
    expected = {name: state for state, names in CUSTOMER_STATES.items() for name in names.split()}

    assert listed == expected
    assert "9 customers need nothing." in (EVIDENCE / INDEX_PAGE).read_text()


@every_tenant
def test_a_test_report_says_the_same(
    whole: TenantsOverview, expected_tenant: ExpectedTenant
) -> None:
    """A failing step is a failure, a due or waiting one is skipped, and in order passes once."""
    status = next(status for status in whole.statuses if status.tenant == expected_tenant.tenant)
    result = TenantResult(
        tenant=expected_tenant.tenant, connector=status.connector, entry_digest="0" * 64,
        sandbox=status.is_practice, status=TenantRunStatus.SEALED,
    )  # fmt: skip
    cases = [(case.name, case.tag) for case in tenant_suite(status, result).cases]

    if expected_tenant.label == FAILING:
        assert cases == [(title, "failure") for title in expected_tenant.titles]
    elif expected_tenant.label == "in order":
        assert cases == [("in-order", "")]
    else:
        assert cases == [(title, "skipped") for title in expected_tenant.titles]


RECEIVER = WatchReceiver("ops", "mail", "mx.example", first_on=timestamp(NOW))


def settled() -> ReceiverList:
    """Let the watch save what is open; return the list of a receiver of all tenants."""
    statuses = {status.key: status for status in read_tenants("evidence", NOW).statuses}
    with open_state(EVIDENCE, NOW) as state, state.transaction():
        for status in statuses.values():
            settle(state, status, NOW)
        return ReceiverList(statuses, state.items.read())


def test_a_digest_says_the_same(whole: TenantsOverview) -> None:
    """It has the list's rows with the list's lines, after what changed; ten at most."""
    own = settled()
    changed, *listed = reported_rows(RECEIVER, own, {}, NOW)
    digest = compose_digest(RECEIVER, own, {}, NOW, page="file:///index.html")
    inbox = " ".join(output("inbox", "--verbose").split())

    assert (changed.phase, changed.row.tenants) == (Phase.CHANGED, ["larch"])
    assert {told.phase for told in listed} == {Phase.OPEN}
    assert [(told.row.title, told.row.tenants) for told in listed] == [
        (title, names.removeprefix("SANDBOX ").split(", ")) for _, names, title in ROWS
    ]
    assert all(" ".join(line.split()) in inbox for told in listed for line in told.row.lines())
    assert digest
    assert all(line in digest.text for told in listed[:9] for line in told.row.lines())
    assert digest.document["rows"] == [told.document() for told in (changed, *listed[:9])]
    assert digest.document["more"] == len(listed) - 9


@pytest.mark.parametrize(
    ("seen", "attestations", "expected", "news"),
    [
        ({made_up.TOKEN: made_up.ends_on(6)}, (), "Token ends", "7 days"),
        (
            {made_up.TOKEN: made_up.ends_on(6, "marketing_api_version")},
            (),
            "Marketing API version ends",
            "7 days",
        ),
        (
            {"fb-04-create-app": finding(Outcome.FAILED, "Another name.")},
            (),
            "Create App: Business type, name and purpose: contradicted by a check",
            "failing",
        ),
        ({}, (assigned("fb-01-log-in", "Ann", due="2026-11-30"),), LOG_IN, "7 days"),
        (
            {},
            (attested("fb-01-log-in", until="2026-11-25"),),
            wording("status.confirmation-ends", title=LOG_IN),
            "1 days",
        ),
        (
            {},
            (attested("fb-01-log-in", until="2026-11-23"),),
            wording("status.confirm-again", title=LOG_IN),
            "overdue",
        ),
    ],
    ids=["token", "version", "failed", "handed over", "ends", "ended"],
)
def test_a_digest_has_the_title_and_the_day_of_the_list(
    world: made_up.World, seen: Any, attestations: Any, expected: str, news: str
) -> None:
    """Failures without a known cause, ends, and steps that somebody must do by a day."""
    world.begin(replace(ACME, seen=seen, said=attestations, polled={}))
    (told,) = reported_rows(RECEIVER, settled(), {}, NOW)
    (item,) = state_of().items

    assert told.row.title == item.title == expected
    assert told.row.due == item.due
    assert [*told.reported.values()] == [news]


# --- The newer of journal and poll


SECRET = "app-credentials-are-accepted"
STEP = "fb-13-app-id-and-secret"
WELL: dict[str, Finding | None] = {}
BAD: dict[str, Finding | None] = {SECRET: made_up.REFUSED}
ACME = WorldTenant(name="acme")
IN_ORDER = "in order"


@pytest.mark.parametrize(
    ("ran", "run_before", "polled", "polls", "label"),
    [
        (WELL, 3 * DAY, BAD, (2 * HOUR, HOUR), FAILING),
        (BAD, 3 * DAY, WELL, (2 * HOUR, HOUR), IN_ORDER),
        (BAD, 3 * DAY, BAD, (2 * HOUR, HOUR), FAILING),
        # A poll that only one look saw changes nothing.
        (BAD, 3 * DAY, WELL, (HOUR,), FAILING),
    ],
)
def test_a_newer_poll_replaces_a_check(
    world: made_up.World, ran: Any, run_before: timedelta, polled: Any, polls: Any, label: str
) -> None:
    """A confirmed poll counts for its check, if it is newer; the list, page and mail agree."""
    world.begin(replace(ACME, seen=ran, run_before=run_before))
    world.poll(ACME, polled, *polls)
    status = state_of()

    assert (status.label, titles(status)) == (label, [REFUSED] if label == FAILING else [])
    assert status.polled_on == timestamp(NOW - polls[-1])


@pytest.mark.parametrize(("polled", "ran", "label"), [(BAD, WELL, IN_ORDER), (WELL, BAD, FAILING)])
def test_a_newer_check_replaces_a_poll(
    world: made_up.World, polled: Any, ran: Any, label: str
) -> None:
    """A poll that is older than the journal's check is ignored."""
    world.begin(replace(ACME, seen=polled))
    world.poll(ACME, polled, 6 * HOUR, 5 * HOUR)
    assert state_of().label == (FAILING if polled is BAD else IN_ORDER)
    world.run(replace(ACME, seen=ran, run_before=HOUR))

    assert state_of().label == label


def test_each_check_of_a_step_has_its_own_newest_result(world: made_up.World) -> None:
    """A poll that confirms one check leaves the journal's result of the other one of that step."""
    world.begin(replace(ACME, seen={"missing-sections-are-filled": made_up.DEACTIVATED}))
    world.poll(ACME, {"missing-sections-are-filled": finding()}, HOUR)
    status = state_of()

    assert titles(status) == [APP_OFF]
    assert status.polled_on == timestamp(NOW - HOUR)


def test_a_poll_of_a_time_to_come_hides_no_later_check(world: made_up.World) -> None:
    """A clock that was ahead hides no newer check of a run."""
    world.begin(ACME)
    world.poll(ACME, BAD, -300 * DAY, -300 * DAY - HOUR)
    assert state_of(now=NOW + 301 * DAY).is_failing

    world.run(ACME)

    assert not state_of().is_failing


def test_the_state_is_that_of_the_day_it_is_asked_for(world: made_up.World) -> None:
    """The reader's clock decides about expiry, not the machine's."""
    attestation = attested("fb-01-log-in", until="2026-11-25")
    world.begin(replace(ACME, said=(attestation,)))

    assert [item.title for item in state_of(now=NOW).items] == [
        wording("status.confirmation-ends", title=LOG_IN)
    ]
    assert state_of(now=NOW).items[0].due == "2026-11-25"
    later = state_of(now=NOW + 3 * DAY)
    assert titles(later) == [wording("status.confirm-again", title=LOG_IN), UNCONFIRMED]


# --- Outages


SILENT: dict[str, Finding | None] = dict.fromkeys(made_up.FACEBOOK_STEPS)


@pytest.mark.parametrize(
    ("polls", "label"),
    [
        ((5 * HOUR, HOUR), IN_ORDER),
        ((23 * HOUR, HOUR), IN_ORDER),
        ((26 * HOUR, HOUR), "not checked since 23 Nov"),
        ((3 * DAY - HOUR, HOUR), "not checked since 21 Nov"),
    ],
)
def test_an_outage_counts_after_a_day(world: made_up.World, polls: Any, label: str) -> None:
    """It is one item, with the reason; until then only the time of the last poll changes."""
    world.begin(replace(ACME, run_before=max(DAY, *polls)))
    world.poll(ACME, SILENT, *polls)
    status = state_of()

    assert (status.label, titles(status)) == (label, [] if label == IN_ORDER else [NO_RESPONSE])
    assert status.polled_on == timestamp(NOW - HOUR)
    assert all(item.reason == "No answer within 30 s." for item in status.items)


def test_an_outage_keeps_the_last_confirmed_result(world: made_up.World) -> None:
    """An earlier failure still counts: it comes first, and the outage is named beside it."""
    world.begin(ACME)
    world.poll(ACME, {STEP: made_up.REFUSED}, 50 * HOUR, 49 * HOUR)
    world.poll(ACME, {STEP: made_up.REFUSED, "cy-01-connector-setup": None}, 47 * HOUR, HOUR)

    assert (state_of().label, titles(state_of())) == (FAILING, [REFUSED])


def test_a_newer_check_ends_an_outage(world: made_up.World) -> None:
    """A run got answers: the watch's silence counts from there, also after its next poll."""
    world.begin(ACME)
    world.poll(ACME, SILENT, 60 * HOUR, 31 * HOUR)
    assert titles(state_of()) == [NO_RESPONSE]
    world.run(replace(ACME, run_before=30 * HOUR))
    assert state_of(now=NOW - 29 * HOUR).label == IN_ORDER
    world.poll(ACME, SILENT, 28 * HOUR)
    assert state_of(now=NOW - 28 * HOUR).label == IN_ORDER
    world.poll(ACME, SILENT, HOUR)
    assert [item.since for item in state_of().items] == [timestamp(NOW - 30 * HOUR)]


def test_a_run_without_answers_ends_no_outage(world: made_up.World) -> None:
    """It could not tell either."""
    world.begin(replace(ACME, run_before=3 * DAY))
    world.poll(ACME, SILENT, 2 * DAY, 3 * HOUR)
    world.run(replace(ACME, run_before=2 * HOUR, seen=SILENT))

    assert state_of().label == "not checked since 22 Nov"
    assert NO_RESPONSE in titles(state_of())


@pytest.mark.parametrize(("days", "since"), [(2, "22 Nov"), (3, "21 Nov"), (30, "25 Oct")])
def test_a_state_that_nobody_confirmed_is_not_in_order(
    world: made_up.World, days: int, since: str
) -> None:
    """From two days after the last answer every list and the page say since when."""
    names = ("acme", "beta")
    for name in names:
        world.begin(replace(ACME, name=name, run_before=days * DAY))
    label = f"not checked since {since}"
    build_index("evidence", NOW, alone=[(name, ACME.connector) for name in names])

    assert (state_of().label, titles(state_of())) == (label, [UNCONFIRMED])
    assert state_of(now=NOW - timedelta(days=days - 2, minutes=1)).label == IN_ORDER
    assert [shown["state"] for shown in documents("inbox", "--json")] == ["cannot_be_checked"] * 2
    sentence = f"{wording('inbox.nothing-to-do')} 2 tenants cannot be checked."
    for command in ("inbox", "status"):
        assert output(command).splitlines()[0] == sentence
    assert shown_rows(output("inbox")) == [("Cannot be checked", "acme, beta", UNCONFIRMED)]
    assert all(f"{name} ({ACME.connector}): {label}" in output("status") for name in names)
    page = (EVIDENCE / INDEX_PAGE).read_text()
    assert label in page
    assert IN_ORDER not in page


def test_polls_and_runs_without_answers_confirm_nothing(world: made_up.World) -> None:
    """Only an answer confirms a state, of a run or of a poll."""
    world.begin(replace(ACME, run_before=3 * DAY))
    silent = {step.id: None for step in PROCEDURE.steps if step.checks}
    world.poll(ACME, silent, HOUR)
    assert state_of().label == "not checked since 21 Nov"
    world.poll(ACME, WELL, HOUR / 2)
    assert state_of().label == IN_ORDER


# --- Grouping


def test_twelve_tenants_with_one_cause_are_one_row(world: made_up.World) -> None:
    """The row names all of them; the sentence above counts tenants."""
    names = [f"tenant-{number:02}" for number in range(12)]
    for name in names:
        world.begin(WorldTenant(name=name, seen=BAD))
    statuses = read_tenants("evidence", NOW).statuses
    (row,) = cause_rows(statuses)

    assert (row.title, row.tenants) == (REFUSED, names)
    lines = output("inbox").splitlines()
    assert lines[0].startswith(wording("inbox.tenants-need-you", tenant="tenant-00:", tenants=12))
    assert lines[3] == f"✘ 12 tenants: {REFUSED}"
    printed = " ".join(" ".join(lines).split())
    assert f"Tenants: {', '.join(names)}" in printed


def test_one_command_is_for_all_who_have_it(world: made_up.World) -> None:
    """It names each tenant of the FILE; from another FILE it shows the first one's."""
    for name in ("acme", "beta", "coda"):
        world.begin(WorldTenant(name=name, seen=BAD))
    list_tenants(EVIDENCE, file=world.write_file(["acme", "beta"]))
    (row,) = cause_rows(read_tenants("evidence", NOW, only=["acme", "beta"]).statuses)

    assert row.command == "runbook fleet tenants.toml --only acme --only beta"
    assert f"Then: {row.command}\n" in output("inbox", "tenants.toml")
    list_tenants(EVIDENCE, file=world.write_file(["coda"], path="other.toml"))
    (row,) = cause_rows(read_tenants("evidence", NOW).statuses)
    assert row.command == "runbook fleet tenants.toml --only acme"


def test_a_cause_at_other_steps_is_one_item(world: made_up.World) -> None:
    """The step that it contradicts names the page; the others only cannot tell because of it."""
    world.begin(replace(ACME, seen=made_up.cause_at_all(made_up.REFUSED)))
    (item,) = state_of().items

    assert {place.outcome for place in item.places} == {Outcome.FAILED, Outcome.ATTESTED}
    assert [place.id for place in item.places] == [*made_up.FACEBOOK_STEPS, STEP]
    assert item.link.endswith("/settings/basic/")


def test_other_causes_are_items_of_their_own(world: made_up.World) -> None:
    """A failure for another reason has its own row; the one with more effects comes first."""
    other = finding(Outcome.FAILED, "Another.", code="app-name-differs")
    seen = {**made_up.cause_at_all(made_up.REFUSED), "fb-04-create-app": other}
    world.begin(replace(ACME, seen=seen))

    named = "The app has another name than the App Display Name"
    assert titles(state_of()) == [REFUSED, named]


# --- Due now, due later, waiting


@pytest.mark.parametrize(
    ("days", "label", "group", "overdue"),
    [
        (-3, DUE, "due_now", 3), (-1, DUE, "due_now", 1), (0, DUE, "due_now", 0),
        (7, DUE, "due_now", 0), (8, IN_ORDER, "due_later", 0), (30, IN_ORDER, "due_later", 0),
        (31, IN_ORDER, "", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("hour", [0, 23])
def test_a_day_is_due_now_or_later(
    world: made_up.World, days: int, label: str, group: str, overdue: int, hour: int
) -> None:
    """Within 7 days it is due now, within 30 it is due later; the hour of the day is the same."""
    world.begin(replace(ACME, seen={made_up.TOKEN: made_up.ends_on(days)}))
    status = state_of(now=NOW.replace(hour=hour, minute=59))
    day = (NOW + days * DAY).date().isoformat()

    assert status.label == label
    assert [(i.group.value, i.due, i.overdue_days) for i in status.items] == (
        [(group, day, overdue)] if group else []
    )


@pytest.mark.parametrize(
    ("due", "group", "overdue"),
    [("2026-11-20", "due_now", 4), ("2026-11-24", "waiting", 0), ("2027-01-24", "waiting", 0)],
)
def test_a_colleague_has_it_until_its_day(
    world: made_up.World, due: str, group: str, overdue: int
) -> None:
    """It waits for that person; once its day is over it is due, and still that person's."""
    handed = assigned(made_up.PUBLISH, "Ben", due=due)
    world.begin(replace(ACME, unsaid=(made_up.PUBLISH,), said=(handed,)))
    (item,) = state_of().items

    assert (item.group.value, item.whom, item.due, item.overdue_days) == (
        group, "Ben", due, overdue,
    )  # fmt: skip


@pytest.mark.parametrize("days", [21, 22, 23])
def test_a_review_is_overdue_by_calendar_days(world: made_up.World, days: int) -> None:
    """Facebook usually takes 22 days: from the 23rd on somebody must ask."""
    since = (NOW - days * DAY).replace(hour=23)
    submitted_review = submitted(made_up.REVIEW, at=timestamp(since))
    world.begin(replace(
        ACME,
        seen={made_up.REVIEW: made_up.NOT_LIVE},
        said=(submitted_review,),
        unsaid=(made_up.PUBLISH, made_up.CONSENT),
    ))  # fmt: skip
    status = state_of()

    assert status.label == (wording("status.waiting-for", whom="Facebook") if days <= 22 else DUE)
    assert status.items[0].overdue_days == max(days - 22, 0)


def test_a_second_person_is_waited_for(world: made_up.World) -> None:
    """Somebody else must confirm it; the other steps are done."""
    world.begin(replace(ACME, given={"four_eyes": ("fb-01-log-in",)}))

    assert state_of().label == wording("status.waiting-for", whom="a second person")


def test_one_item_for_each_app_thing_and_day(world: made_up.World) -> None:
    """Steps of a connector that know of one end are one item, with all their names and its day."""
    world.begin(
        replace(ACME, seen=dict.fromkeys(
            (made_up.TOKEN, "test-05-marketing-data"), made_up.ends_on(5, "data_access")
        )),
        replace(ACME, connector="facebook_messenger", seen={
            "test-03-user-token": made_up.ends_on(5, "data_access"),
        }),
    )  # fmt: skip
    listed = read_tenants("evidence", NOW).statuses

    assert [titles(status) for status in listed] == [[DATA_ENDS], [DATA_ENDS]]
    opened = [item for each in json.loads(output("inbox", "--json")) for item in each["open"]]
    assert [item["due"] for item in opened] == [f"{(NOW + 5 * DAY).date()}"] * 2
    assert [len(item["places"]) for item in opened] == [2, 1]


def test_a_refused_secret_names_both_places(world: made_up.World) -> None:
    """Its row says where it belongs: the setting here, and the step of Cyclr's Setup."""
    world.begin(replace(ACME, seen=BAD))
    ((row,),) = [each["open"][:1] for each in json.loads(output("inbox", "--json"))]

    place = f"Cyclr's Setup, step “{PROCEDURE.step('cy-03-client-secret').title}”"
    assert ("App Secret here" in row["advice"], place in row["advice"]) == (True, True)


# --- People


def test_for_a_person_and_for_anybody(world: made_up.World) -> None:
    """`--for` shows that person's items, and says how many wait for anybody."""
    handed = assigned(made_up.PUBLISH, "Ben")
    world.begin(
        replace(ACME, unsaid=(made_up.PUBLISH,), said=(handed,)),
        WorldTenant(name="beta", seen=BAD),
        WorldTenant(name="coda", seen={made_up.TOKEN: made_up.ends_on(9)}),
    )
    mine = output("inbox", "--for", "BEN ")

    assert mine.startswith(wording("inbox.items-for", name="BEN", items=2))
    assert PUBLISH in mine
    assert "beta" not in mine
    assert output("inbox", "--for", "Ann").startswith(
        f"{wording('inbox.nothing-for', name='Ann')}; 2 "
    )


def test_the_person_who_acknowledged_is_named_with_the_cause(world: made_up.World) -> None:
    """An acknowledged problem stays in the list, with who knows, although other steps have it."""
    world.begin(ACME)
    world.poll(ACME, made_up.cause_at_all(made_up.REFUSED), 2 * HOUR, HOUR)
    (row,) = cause_rows(settled().statuses.values())
    acknowledge(row.id, by="Ann", note="asked Ben", evidence="", now=NOW)
    (item,) = state_of().items

    assert len(item.places) > 1
    assert item.known_to == "Ann: asked Ben"
    assert "    Known to Ann: asked Ben\n" in output("inbox")


# --- Customers


@pytest.mark.parametrize(
    ("accounts", "expected_titles"),
    [
        ((made_up.signed_out("Ann"),), ["Ann is signed out"]),
        ((made_up.signed_out("Ann"), made_up.signed_out("Ben")), ["2 customers are signed out"]),
        ((made_up.signed_out("Ann", looks=1),), []),
        ((made_up.failing("Ann"),), ["Calls of Ann fail"]),
        ((made_up.failing("Ann"), made_up.failing("Ben")), ["Calls of 2 customers fail"]),
        (
            (made_up.signed_out("Ann"), made_up.failing("Ben")),
            ["Ann is signed out", "Calls of Ben fail"],
        ),
        # Nobody has seen it signed in; signed out, nobody knows of its calls.
        ((made_up.signed_out("Ann", signed_in_on="", used_on=""),), []),
        ((made_up.failing("Ann", standing=made_up.AccountStatus.VANISHED),), []),
        ((made_up.customer("Ann"),), []),
    ],
)
def test_customers_are_named_or_counted(
    world: made_up.World, accounts: Sequence[made_up.KnownAccount], expected_titles: list[str]
) -> None:
    """One by name, many by number; only what a second look saw."""
    world.begin(ACME)
    world.survey(ACME, *accounts, before=timedelta())

    assert titles(state_of()) == expected_titles
    assert state_of().is_failing is bool(expected_titles)


def test_a_customer_is_listed_until_back(world: made_up.World) -> None:
    """Who is back counts at once."""
    world.begin(ACME)
    world.survey(ACME, made_up.signed_out("Ann"), before=timedelta())
    assert titles(state_of()) == [wording("status.customer-signed-out", customer="Ann")]
    world.survey(ACME, made_up.customer("Ann", in_doubt_since=timestamp(NOW)), before=timedelta())

    assert titles(state_of()) == []


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Ann Lee", "'Ann Lee'"), ("Ann", "Ann"), ("", "the-id"), (" Ann", "the-id"),
        ("--test", "the-id"), ("A\x1b[2J", "the-id"), ("A\u202eB", "the-id"),
        ("A" * 4_000, "the-id"), ("Twin", "the-id"), ("other-id", "the-id"), ("A'B", "'A'\"'\"'B'"),
    ],
)  # fmt: skip
def test_a_command_names_one_customer(world: made_up.World, name: str, named: str) -> None:
    """By its name as printed, or by its id where the name would not be taken for that account."""
    world.begin(ACME)
    accounts = (
        structs.replace(made_up.failing("x"), id="the-id", name=name),
        structs.replace(made_up.customer("x"), id="other-id", name="twin"),
    )
    world.survey(ACME, *accounts, before=timedelta())
    (item,) = state_of().items

    assert item.command == f"runbook connections --tenant acme --test {named}"
    assert len(item.title) < 200
    printed = output("inbox")
    assert all(line.isprintable() for line in printed.splitlines())
    assert build_index("evidence", NOW)[1] == ""


# --- FILE and tenants.json


def test_a_tenant_leaves_with_its_file_and_comes_back_alone(world: made_up.World) -> None:
    """Its FILE no longer names it: nothing shows it, until somebody runs it alone."""
    world.begin(ACME, WorldTenant(name="beta"))
    file = world.write_file(["acme", "beta"])
    build_index("evidence", NOW, file=file)
    world.write_file(["beta"])
    assert [listed.tenant for listed in read_tenants("evidence", NOW).statuses] == ["beta"]
    build_index("evidence", NOW)
    assert "acme" not in (EVIDENCE / INDEX_PAGE).read_text()
    build_index("evidence", NOW, alone=[("acme", ACME.connector)])

    assert [listed.tenant for listed in read_tenants("evidence", NOW).statuses] == ["acme", "beta"]
    assert "acme" in (EVIDENCE / INDEX_PAGE).read_text()


def test_a_run_of_some_drops_nobody(world: made_up.World) -> None:
    """Each FILE keeps its tenants, also those that nobody has run, and one that was run alone."""
    world.begin(ACME)
    build_index("evidence", NOW, alone=[("acme", ACME.connector)])
    build_index("evidence", NOW, file=world.write_file(["beta", "coda"], path="one.toml"))
    build_index("evidence", NOW, file=world.write_file(["dodo"], path="two.toml"))

    assert [listed.tenant for listed in read_tenants("evidence", NOW).statuses] == [
        "beta", "coda", "dodo", "acme",
    ]  # fmt: skip
    commands = [listed.items[0].command for listed in read_tenants("evidence", NOW).statuses[:3]]
    assert commands == [
        "runbook fleet one.toml --only beta", "runbook fleet one.toml --only coda",
        "runbook fleet two.toml --only dodo",
    ]  # fmt: skip


def test_the_list_has_names_and_no_values(world: made_up.World) -> None:
    """A FILE's values of a tenant besides its name are not copied."""
    EVIDENCE.mkdir()
    Path("tenants.toml").write_text(
        '[[tenant]]\ntenant = "acme"\napp_id = "1234567890"\n'
        'secrets = {app_secret = "env:ACME_SECRET"}\n'
    )
    list_tenants(EVIDENCE, file=Path("tenants.toml"))

    assert json.loads((EVIDENCE / LIST_NAME).read_text()) == {
        "format_version": 1,
        "tenants": [
            {
                "tenant": "acme", "connector": "facebook_marketing", "file": "../tenants.toml",
                "has_left": False,
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize("content", [None, "[[tenant]\n", "", '[[tenant]]\ntenant = "a/b"\n'])
def test_a_file_that_cannot_be_read_keeps_its_tenants(
    world: made_up.World, content: str | None
) -> None:
    """Everything says so, and shows the tenants that it named last."""
    EVIDENCE.mkdir()
    file = world.write_file(["acme", "beta"])
    build_index("evidence", NOW, file=file)
    file.unlink()
    if content is not None:
        file.write_text(content)
    build_index("evidence", NOW)
    read = read_tenants("evidence", NOW)

    assert [listed.tenant for listed in read.statuses] == ["acme", "beta"]
    (notice,) = read.notices
    assert "tenants.toml" in notice
    assert notice.endswith(wording("status.shown-as-last-named"))
    result = runbook("inbox")
    assert (result.exit_code, notice.split()[-1] in result.stderr) == (ExitCode.COMPLETE, True)
    assert wording("status.shown-as-last-named") in (EVIDENCE / INDEX_PAGE).read_text()


def damage_list(kind: str) -> None:
    """Put something else in the place of the list of tenants."""
    path = EVIDENCE / LIST_NAME
    path.unlink()
    row = {"tenant": "acme", "connector": "facebook_marketing", "file": "\0", "has_left": False}
    document = {"format_version": 1, "tenants": [row]}
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "huge":
            with path.open("wb") as file:
                file.truncate(65 * 1024 * 1024)
        case "loop":
            path.symlink_to(path.name)
        case "another format":
            path.write_text(json.dumps({**document, "format_version": 2}))
        case "no path":
            path.write_text(json.dumps(document))
        case "endless path":
            row["file"] = "/dev/zero"
            path.write_text(json.dumps(document))
        case "deep":
            path.write_text("[" * 100_000)
        case _:
            path.write_bytes(b"\xff{")


@pytest.mark.parametrize(
    "kind",
    [
        "folder", "pipe", "huge", "loop", "another format", "no path", "endless path", "deep",
        "bytes",
    ],
)  # fmt: skip
def test_a_damaged_list_stops_nothing(world: made_up.World, kind: str) -> None:
    """A notice says so, and whoever has a journal is listed; the page does not break."""
    world.begin(ACME)
    build_index("evidence", NOW, alone=[("acme", ACME.connector)])
    damage_list(kind)
    read = read_tenants("evidence", NOW)

    assert [listed.label for listed in read.statuses] == [IN_ORDER]
    assert len(read.notices) == 1
    result = runbook("status")
    assert (result.exit_code, result.exception) == (ExitCode.COMPLETE, None)
    build_index("evidence", NOW, alone=[("acme", ACME.connector)])
    if kind not in ("folder", "pipe", "no path", "endless path", "loop"):
        assert read_list(EVIDENCE).notices == ()


def test_the_only_tenant_is_shown_with_its_steps(world: made_up.World) -> None:
    """Its steps have the confirmed polls, and its state equals the list's."""
    world.begin(ACME)
    world.poll(ACME, BAD, 2 * HOUR, HOUR)
    shown = json.loads(output("status", "--json"))
    outcomes = {step["id"]: step["outcome"] for step in shown["steps"]}

    assert shown["states"] == documents("inbox", "--json")
    assert (shown["outcome"], outcomes[STEP]) == ("failed", "failed")
    assert f"acme: {REFUSED}" in output("status")


# --- Records that cannot be read


@pytest.mark.parametrize("kind", ["bytes", "folder", "pipe", "another format", "loop"])
def test_a_damaged_watch_hides_no_journal(world: made_up.World, kind: str) -> None:
    """A notice says so, nobody knows when it polled last, and the rest is shown."""
    world.begin(replace(ACME, seen=BAD, polled={}))
    path = EVIDENCE / "watch.db"
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "another format":
            with world.state() as state:
                state._connection.execute("PRAGMA user_version = 999")
        case _:
            path.write_bytes(b"SQLite format 3\0" + b"x" * 4_000)
    read = read_tenants("evidence", NOW)

    assert ([listed.label for listed in read.statuses], len(read.notices)) == ([FAILING], 1)
    assert read.statuses[0].polled_on is None
    result = runbook("inbox")
    assert (result.exit_code, REFUSED in result.stdout) == (ExitCode.COMPLETE, True)
    assert build_index("evidence", NOW)[1] == ""


def test_a_damaged_row_of_the_watch_hides_no_tenant(world: made_up.World) -> None:
    """A damaged part of the watch is one notice, like a damaged whole."""
    world.begin(replace(ACME, seen=BAD, polled={}), WorldTenant(name="beta"))
    with world.state() as state:
        state._connection.execute("UPDATE watchedstep SET row = '{'")
    read = read_tenants("evidence", NOW)

    assert [(listed.tenant, listed.label) for listed in read.statuses] == [
        ("acme", FAILING), ("beta", IN_ORDER),
    ]  # fmt: skip
    assert len(read.notices) == 1
    assert build_index("evidence", NOW)[1] == ""


def damage_record(folder: Path, kind: str) -> None:
    """Put something else in the place of a tenant's journal, or of what is beside it."""
    journal = folder / "journal.jsonl"
    content = journal.read_bytes()
    first, _, rest = content.partition(b"\n")
    match kind:
        case "folder" | "pipe" | "loop":
            journal.unlink()
            made_instead = {
                "folder": Path.mkdir, "pipe": os.mkfifo,
                "loop": lambda path: path.symlink_to(path.name),
            }  # fmt: skip
            made_instead[kind](journal)
        case "bytes":
            journal.write_bytes(b"\xff\x00" * 5_000 + b"\n")
        case "changed line":
            journal.write_bytes(content.replace(b"Operator", b"Somebody", 1))
        case "lost line":
            journal.write_bytes(rest)
        case "long line":
            journal.write_bytes(b"x" * 20_000_000)
        case "deep line":
            journal.write_bytes(first + b"\n" + b"[" * 100_000 + b"\n" + rest)
        case "key is a folder":
            key = next(path for path in folder.iterdir() if "key" in path.name)
            key.unlink()
            key.mkdir()


@pytest.mark.parametrize(
    "kind",
    [
        "folder", "pipe", "loop", "bytes", "changed line", "lost line", "deep line", "long line",
        "key is a folder",
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_stops_no_other(world: made_up.World, kind: str) -> None:
    """It is in the list, first, with what to do; the others are shown as they are."""
    world.begin(ACME, WorldTenant(name="beta", seen=BAD))
    damage_record(EVIDENCE / "acme" / ACME.connector, kind)
    read = read_tenants("evidence", NOW)

    assert [(listed.tenant, titles(listed)) for listed in read.statuses] == [
        ("acme", [wording("status.record-unreadable")]), ("beta", [REFUSED]),
    ]  # fmt: skip
    assert read.statuses[0].items[0].advice
    assert output("status").startswith(wording("inbox.tenants-need-you", tenant="acme:", tenants=2))
    assert f"acme: {wording('status.record-unreadable')}" in output("inbox")
    assert build_index("evidence", NOW)[1] == ""


def test_huge_and_odd_texts_stay_in_their_place(world: made_up.World) -> None:
    """A reason of a MiB is cut in lists; no text moves the cursor or leaves its cell."""
    odd = "\x1b[2J\u202e<script>alert(1)</script>\n" * 30_000
    world.begin(ACME)
    world.unusable("acme", odd, "Do \x1b[2J it.")
    status = state_of()
    text = output("inbox", "--verbose")

    assert status.label == DUE
    assert len(text) < 3_000
    assert all(line.isprintable() for line in text.splitlines())
    assert build_index("evidence", NOW)[1] == ""
    page = (EVIDENCE / INDEX_PAGE).read_text()
    assert "<script>alert" not in page
    assert len(page) < 200_000
    assert json.loads(output("inbox", "--json"))[0]["open"][0]["places"][0]["reason"] == odd


def test_a_run_ends_what_the_watch_could_not_use(world: made_up.World) -> None:
    """Settings that a later run could use are usable."""
    world.begin(ACME)
    world.unusable("acme", made_up.UNREADABLE, made_up.UNREADABLE_ADVICE, before=DAY)
    assert titles(state_of()) == [UNUSABLE]
    world.run(replace(ACME, run_before=HOUR))

    assert state_of().label == IN_ORDER


def test_a_problem_that_stops_all_checks_comes_first(world: made_up.World) -> None:
    """Also before what fails at the same tenant, and at others."""
    world.begin(
        replace(ACME, seen=BAD), WorldTenant(name="aaa", seen=made_up.cause_at_all(BAD[SECRET]))
    )
    world.unusable("acme", made_up.UNREADABLE, made_up.UNREADABLE_ADVICE)
    statuses = read_tenants("evidence", NOW).statuses

    assert [(listed.tenant, titles(listed)) for listed in statuses] == [
        ("acme", [UNUSABLE, REFUSED]), ("aaa", [REFUSED]),
    ]  # fmt: skip
    assert [row.title for row in cause_rows(statuses)] == [UNUSABLE, REFUSED]


def test_practice_is_last_and_marked(world: made_up.World) -> None:
    """It counts only if there is nothing else."""
    world.begin(WorldTenant(name="aaa", seen=BAD, given=made_up.HERE), ACME)
    text = output("inbox")

    assert text.startswith(wording("inbox.nothing-to-do"))
    assert f"✘ SANDBOX aaa: {REFUSED}" in text
    assert output("status").splitlines()[1].startswith("✔ acme")
    assert output("status").splitlines()[2].startswith("✘ SANDBOX aaa")


# --- Exit codes of the watch


NO_CONSENT = finding(Outcome.FAILED, "Lacks one.", code="customer-token-lacks-permission")


def watch_once(world: made_up.World, polled: Any) -> int:
    """Watch the tenant `acme` of a FILE once, whose checks see this; return the exit code."""
    world.responses = made_up.Responses(polled)
    given = "".join(f'{name} = "{value}"\n' for name, value in world.values(ACME).items())
    Path("tenants.toml").write_text(f'[[tenant]]\ntenant = "acme"\n{given}')
    return runbook("watch", "tenants.toml", "--once", "--env-file", "runbook.env").exit_code


@pytest.mark.parametrize(
    ("seen", "polled", "code"),
    [
        (WELL, WELL, ExitCode.COMPLETE),
        (WELL, BAD, ExitCode.FAILED),
        (WELL, SILENT, ExitCode.INCOMPLETE),
        (BAD, BAD, ExitCode.FAILED),
        # A watch cannot poll it, and a run saw that it fails.
        ({made_up.CONSENT: NO_CONSENT}, WELL, ExitCode.FAILED),
    ],
)
def test_a_watch_ends_with_what_is_failing(
    world: made_up.World, seen: Any, polled: Any, code: ExitCode
) -> None:
    """1 while anything fails, 3 if a result is missing, else 0; those that only read end with 0."""
    world.at = datetime.now(UTC)
    world.begin(replace(ACME, seen=seen))

    assert watch_once(world, polled) == code
    assert runbook("inbox").exit_code == runbook("status").exit_code == ExitCode.COMPLETE
    assert state_of(now=datetime.now(UTC)).is_failing is (code is ExitCode.FAILED)


def test_a_watch_counts_what_a_run_has_seen_since(world: made_up.World) -> None:
    """A run saw that the failure is over, so the next cycle ends it, and nothing is failing."""
    world.at = datetime.now(UTC)
    world.begin(ACME)
    world.poll(ACME, BAD, 2 * HOUR, HOUR)
    assert state_of(now=world.at).is_failing
    world.run(replace(ACME, run_before=HOUR / 2))

    assert watch_once(world, WELL) == ExitCode.COMPLETE
    assert state_of(now=datetime.now(UTC)).label == IN_ORDER
