"""States of tenants and customers for the tests of their page, of any number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.evidence.reports.index_page import index_page
from runbook_lib.evidence.reports.tenant_status import CALLS_FAIL as CALLS_FAIL_CAUSE
from runbook_lib.evidence.reports.tenant_status import (
    SIGNED_OUT,
    CustomerRow,
    ItemGroup,
    ItemPlace,
    OpenItem,
    TenantStatus,
)
from runbook_lib.operations.customer_letters import letter_to
from runbook_lib.operations.customer_rows import AccountStatus, FailingCalls, KnownAccount

ON = "2026-12-01T05:10:00.000Z"
MARKETING = "facebook_marketing"
MESSENGER = "facebook_messenger"
TITLES = {MARKETING: "Facebook Marketing API", MESSENGER: "Facebook Messenger"}
_BUNDLE = "20261201T021500Z-0a1b2c3d"
_REFUSED = "API access deactivated. To reactivate, go to the app dashboard. (code 200)"


def item(title: str, **more: Any) -> OpenItem:
    """Return an open item, by default one that is due now; its cause is its title."""
    return OpenItem(**{"group": ItemGroup.DUE_NOW, "cause": title, "title": title, **more})


def place(name: str, outcome: str | None = "failed", reason: str = "") -> ItemPlace:
    """Return a step, or a customer (without an outcome)."""
    return ItemPlace(
        id=name, name=name, outcome=Outcome(outcome) if outcome else None, reason=reason
    )


def status(tenant: str, *items: OpenItem, **more: Any) -> TenantStatus:
    """Return the state of a tenant, by default of one that was polled and run this night."""
    connector = more.get("connector", MARKETING)
    default = {
        "connector": connector,
        "connector_title": TITLES.get(connector, connector),
        "polled_on": "2026-12-01T05:00:00.000Z",
        "sealed_on": "2026-12-01T02:15:00Z",
        "outcome": RunOutcome.INCOMPLETE if items else RunOutcome.COMPLETE,
        "bundle": f"{tenant}/{connector}/{_BUNDLE}",
        "dashboard": f"https://developers.facebook.com/apps/{1000 + len(tenant)}/dashboard/",
        "done": 34 - len(items),
        "total": 34,
    }
    return TenantStatus(**{**default, **more, "tenant": tenant, "items": items})


def customer(
    name: str, tenant: str = "acme", state: str = "not signed in", **more: Any
) -> CustomerRow:
    """Return a customer, by default one that nobody has seen signed in."""
    default = {
        "connector": MARKETING,
        "account": f"{tenant}/{name}",
        "outcome": Outcome.NOT_RUN,
        "used_on": "2026-12-01T04:40:00.000Z",
        "polled_on": "2026-12-01T04:40:00.000Z",
    }
    return CustomerRow(**{**default, **more, "name": name, "tenant": tenant, "state": state})


def deactivated(tenant: str) -> OpenItem:
    """Return the item of a tenant whose app is deactivated: two steps meet it."""
    return item(
        "Facebook has deactivated the app",
        cause="app-deactivated",
        is_failing=True,
        stops="All customers are cut off.",
        advice="Open the app's dashboard, and do what Facebook asks for there.",
        link=f"https://developers.facebook.com/apps/{1000 + len(tenant)}/dashboard/",
        since="2026-11-30T06:10:00.000Z",
        places=(
            place("Copy App ID and App Secret", "failed", _REFUSED),
            place("Ask for Advanced Access", "inconclusive", _REFUSED),
        ),
    )


def in_review(**more: Any) -> OpenItem:
    """Return the item of a tenant whose App Review has lasted nine days."""
    return item(
        "App Review is under way",
        group=ItemGroup.WAITING,
        stops="Customers outside your business cannot sign in yet.",
        advice="Nothing to do but wait.",
        whom="Facebook",
        **{"since": "2026-11-22T09:00:00.000Z", "usual_days": 22, **more},
        places=(place("Submit for review, and wait", "waiting", "Facebook reviews it."),),
    )


def signed_out(tenant: str, *names: str) -> OpenItem:
    """Return the item of a tenant with customers that are signed out."""
    one = len(names) == 1
    return item(
        f"{names[0]} is signed out" if one else f"{len(names)} customers are signed out",
        cause=SIGNED_OUT,
        is_failing=True,
        stops="Their data is not transferred.",
        advice="Send them a sign-in link.",
        command=f"runbook connections --tenant {tenant} --letters letters",
        since="2026-11-29T08:00:00.000Z",
        is_about_customers=True,
        places=tuple(place(name, None) for name in names),
    )


SECRET = item(
    "Facebook does not accept the App Secret",
    is_failing=True,
    stops="Nobody can sign in; if Cyclr has the same secret, all customers are cut off.",
    advice="Copy the App Secret again from App settings > Basic, then check it.",
    command="runbook run --tenant kite --env-file settings/kite.env",
    since="2026-11-28T05:00:00.000Z",
    places=(
        place(
            "Copy App ID and App Secret",
            "failed",
            "Error validating client secret. (code 1, trace AbCdEf123)",
        ),
    ),
)
UNREADABLE = item(
    "app_secret cannot be read",
    is_failing=True,
    stops_checks=True,
    stops="Nothing of it can be checked.",
    advice="Set the variable LARK_SECRET, or give the secret in another way.",
    command="runbook doctor --tenant lark --env-file settings/lark.env",
)
NEVER_RUN = item(
    "Nobody has run it yet",
    stops_checks=True,
    advice="Begin it in the walkthrough.",
    command="runbook lab --tenant mole --env-file settings/mole.env",
)
TOKEN = item(
    "The access token has ended",
    is_failing=True,
    stops="Four checks cannot be made.",
    advice="Make a new token in the Graph API Explorer, and save it.",
    command="runbook lab --tenant newt --env-file settings/newt.env",
    since="2026-11-30T23:00:00.000Z",
    places=(
        place(
            "Make the test calls",
            "failed",
            "Error validating access token: Session has expired. (code 190, subcode 463)",
        ),
    ),
)
UNPUBLISHED = item(
    "The app is not published",
    stops="Only people with a role in the app can sign in.",
    advice="Publish it in the app's dashboard.",
    link="https://developers.facebook.com/apps/4711/go_live/",
    whom="Anna",
    due="2026-11-28",
    overdue_days=3,
    known_to="Anna: ready on 5 Dec",
    places=(place("Publish the app", "not_run"),),
)
RENEWAL = item(
    "The Data Use Checkup is due",
    group=ItemGroup.DUE_LATER,
    stops="After that day Facebook may take permissions away.",
    advice="Answer its questions in the app's dashboard.",
    link="https://developers.facebook.com/apps/4711/data_use/",
    due="2026-12-08",
    places=(place("Answer the Data Use Checkup", "not_run"),),
)
CYCLR = item(
    "Cyclr has not answered the questions",
    group=ItemGroup.WAITING,
    advice="Ask again by mail.",
    whom="Cyclr",
    since="2026-11-20T09:00:00.000Z",
    places=(place("Ask Cyclr", "waiting", "Asked on 20 Nov."),),
)
SILENT = item(
    "Some checks have had no response for a day",
    group=ItemGroup.UNCHECKED,
    cause="outage",
    advice="Look at the reason. The watch goes on trying.",
    since="2026-11-29T05:00:00.000Z",
    places=(ItemPlace(id="", name="", reason="The connection to graph.facebook.com was refused."),),
)
CALLS_FAIL = item(
    "Calls of Fifth Customer fail",
    cause=CALLS_FAIL_CAUSE,
    is_failing=True,
    stops="Its campaigns are not transferred.",
    advice="Make one call with its token, and look at the answer.",
    command="runbook connections --tenant harbor --test a-5",
    since="2026-11-30T12:00:00.000Z",
    is_about_customers=True,
    places=(place("Fifth Customer", None, "(#100) The parameter level is required."),),
)


def tenants() -> list[TenantStatus]:
    """Return twenty tenants in every state, two of them practice."""
    return [
        status("fjord", deactivated("fjord")),
        status("heath", deactivated("heath"), RENEWAL, outcome=RunOutcome.FAILED),
        status("kite", SECRET, outcome=RunOutcome.FAILED),
        status("lark", UNREADABLE, polled_on=None, dashboard=""),
        status(
            "mole", NEVER_RUN, polled_on="", sealed_on="", bundle="",
            outcome=None, done=0, dashboard="",
        ),
        status("newt", TOKEN),
        status("otter", in_review()),
        status("pine", in_review(since="2026-11-03T09:00:00.000Z", overdue_days=6)),
        status("quail", UNPUBLISHED),
        status("reed", RENEWAL, CYCLR),
        status("harbor", signed_out("harbor", "First Customer"), CALLS_FAIL),
        status("island", signed_out("island", "Tenth Customer", "Eleventh Customer")),
        status("jay", SILENT),
        *(status(name) for name in ("acme", "bloom", "clover", "dune", "elm")),
        status("sandbox-approved", is_practice=True, dashboard=""),
        status("sandbox-wrong-secret", SECRET, is_practice=True, dashboard=""),
    ]  # fmt: skip


def letter(name: str, cause: str = "", *, is_signed_out: bool = True) -> str:
    """Return the letter to a customer whose calls fail or who is signed out."""
    since = "2026-11-29T08:00:00.000Z"
    account = KnownAccount(
        "a",
        name,
        standing=AccountStatus.NOT_SIGNED_IN if is_signed_out else AccountStatus.SIGNED_IN,
        not_signed_in_since=since,
        signed_in_on="2026-11-28T22:00:00.000Z",
        failing=FailingCalls(since, "", "", cause),
    )
    return letter_to(account, find_procedure(MARKETING))


def customers() -> list[CustomerRow]:
    """Return the customers who need something, in every state."""
    out = {
        "state": "signed out",
        "outcome": Outcome.FAILED,
        "since": "2026-11-29T08:00:00.000Z",
        "used_on": "2026-11-28T22:00:00.000Z",
        "advice": "Send each a letter with a new link.",
        "missing_since": "2026-11-29T08:00:00.000Z",
        "facts": ("Facebook keeps leads for 90 days: fetch those since 2026-11-28 again.",),
    }
    return [
        *(
            customer(
                name,
                tenant,
                **out,
                command=f"runbook connections --tenant {tenant} --letters letters",
                letter=letter(name, cause),
            )
            for name, tenant, cause in (
                ("First Customer", "harbor", ""),
                ("Tenth Customer", "island", "permission-declined"),
                ("Eleventh Customer", "island", "page-moved"),
            )
        ),
        customer(
            "Fifth Customer",
            "harbor",
            "calls fail",
            outcome=Outcome.FAILED,
            since="2026-11-30T12:00:00.000Z",
            facts=("(#100) The parameter level is required.",),
            advice="Make one call with its token, and look at the answer.",
            command="runbook connections --tenant harbor --test a-5",
            letter=letter("Fifth Customer", "lead-terms", is_signed_out=False),
        ),
        customer(
            "Sixth Customer",
            "harbor",
            "could not be read",
            outcome=Outcome.INCONCLUSIVE,
            facts=("Cyclr answered 502.",),
        ),
        customer("Customer 20"),
        customer("Practice 1", "sandbox-approved", is_practice=True),
    ]


UNDELIVERED = [{"tenants": ["kite"], "reason": "mail to ops@example.com: the server refused it."}]


def page(
    statuses: list[TenantStatus] | None = None,
    rows: list[CustomerRow] | None = None,
    on: str = ON,
    **more: Any,
) -> str:
    """Return the page of these, by default of nothing, as one text."""
    return "".join(index_page(statuses or [], rows or [], on, **more))


def full_page() -> str:
    """Return the page with something of everything."""
    return page(tenants(), customers(), well=11, undelivered=UNDELIVERED)


def many(number: int) -> list[TenantStatus]:
    """Return so many tenants, whose states differ as those of real ones do."""
    kinds = tenants()[:18]
    return [_one_of_many(kinds[index % 18], index) for index in range(number)]


def _one_of_many(kind: TenantStatus, index: int) -> TenantStatus:
    name = f"tenant-{index:04}"
    own = [
        replace(
            each,
            command=each.command.replace(kind.tenant, name),
            places=tuple(
                replace(spot, reason=f"{spot.reason} App {index:015}.") if spot.reason else spot
                for spot in each.places
            ),
        )
        for each in kind.items
    ]
    bundle = kind.bundle.replace(kind.tenant, name, 1)
    return replace(kind, tenant=name, items=tuple(own), bundle=bundle)


def many_customers(number: int) -> list[CustomerRow]:
    """Return so many customers, in every state."""
    kinds = customers()[:6]
    return [
        replace(
            kinds[index % 6],
            name=f"Customer {index:04}",
            account=f"a-{index}",
            tenant=f"tenant-{index // 4:04}",
        )
        for index in range(number)
    ]
