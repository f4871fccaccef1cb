"""
The pages of a token: those of `/me/accounts`, and those behind a business portfolio.

That the list is empty, while the token names the page and its node can be read:
https://github.com/trypostit/trypost/pull/301. The forms of the answers follow the Graph reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.consent_without_role import customer_consents_without_role
from runbook_lib.connectors.facebook.permission_test_calls import each_permission_is_used
from runbook_lib.connectors.facebook.user_token import (
    lead_data_is_readable,
    marketing_data_is_readable,
)
from runbook_lib.connectors.facebook_messenger.checks import page_is_subscribed
from runbook_lib.core.model import Finding, Outcome
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, CUSTOMER_TOKEN, PAGE_TOKEN, TOKEN_INSPECTED, graph_error, rows
from tests.unit.connectors.conftest import MADE_UP_APP, MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, fields, responds

READ = Outcome.VERIFIED
NOT_READ = Outcome.INCONCLUSIVE
PAGE = {"id": "77", "name": "Bakery", "access_token": PAGE_TOKEN}
FIELDS = "id,name,access_token,leadgen_tos_accepted,tasks"
CARRIED = ("public_profile", "leads_retrieval", "pages_show_list", "pages_manage_ads")
REFUSED = responds(graph_error("(#10) This endpoint requires the 'pages_read_engagement'", 10), 400)
NO_BUSINESS = responds(
    graph_error("(#200) Requires business_management permission to manage the object", 200), 403
)


ACCESS = {**bodies.LEAD_ACCESS, "page_id": "77"}


def refused_to_people(request: Any) -> Any:
    """Refuse the page's node to a user's token; the page's own reads it."""
    is_own = PAGE_TOKEN in request.headers["authorization"]
    return (responds({"id": "77", "has_lead_access": ACCESS}) if is_own else REFUSED)(request)


def granted(**targets: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """Return `granular_scopes`: each permission with its targets, or for all."""
    return [
        {"scope": name, **({} if ids is None else {"target_ids": list(ids)})}
        for name, ids in targets.items()
    ]


def business(
    *pages: Any, edge: str = "owned_pages", ident: str = "1001", others: tuple[str, ...] = ()
) -> dict[str, Responder]:
    """Return the answers of one business with these pages on `edge`; `others` are further ones."""
    return {
        "me/businesses": responds(rows(*({"id": each} for each in (*others, ident)))),
        f"{ident}/owned_pages": responds(rows()),
        f"{ident}/client_pages": responds(rows()),
        f"{ident}/{edge}": responds(rows(*pages)),
    }


def refusing_business(ident: str) -> dict[str, Responder]:
    """Return the answers of a business that refuses its pages."""
    return {f"{ident}/{edge}": REFUSED for edge in ("owned_pages", "client_pages")}


def own_node(request: Any) -> Any:
    """Give the page's token at its own node, and Lead Access Manager's view to that token."""
    return responds({**PAGE, "has_lead_access": ACCESS})(request)


def two_pages(request: Any) -> Any:
    """List nothing first, and the wanted page on the second page."""
    if fields(request).get("after") == "QVFI":
        return responds(rows(PAGE))(request)
    paging = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/x"}
    return responds({"data": [], "paging": paging})(request)


Ask = Callable[..., Finding]


@pytest.fixture
def ask(remote: FakeRemote, make_context: MakeContext) -> Ask:
    """Return a check's finding, of a token that names page 77 and lists none."""

    def run(
        check: Callable[[CheckContext], Finding | None] = lead_data_is_readable,
        *,
        scopes: Any = None,
        listed: tuple[Any, ...] = (),
        **answers: Responder,
    ) -> Finding:
        def inspected(request: Any) -> Any:
            is_customer = fields(request)["input_token"] == CUSTOMER_TOKEN
            named = granted(pages_show_list=("77",)) if scopes is None else scopes
            said = {"user_id": "555" if is_customer else "873", "granular_scopes": named}
            return responds({"data": {**TOKEN_INSPECTED, "scopes": list(CARRIED), **said}})(request)

        usual = {
            "oauth/access_token": responds(bodies.APP_TOKEN_ISSUED),
            "debug_token": inspected,
            APP_ID: responds({"id": APP_ID, "roles": rows({"user": "873"})}),
            "me": responds({"id": "873"}),
            "me/permissions": responds(bodies.statuses(pages_show_list="granted")),
            "me/adaccounts": responds(rows({"id": "act_1"})),
            "me/accounts": responds(rows(*listed)),
            "me/businesses": responds(rows()),
            "77": responds({**PAGE, "has_lead_access": ACCESS}),
            "77/leadgen_forms": responds(rows({"id": "form-1"})),
            "77/subscribed_apps": responds(rows({"id": APP_ID, "subscribed_fields": ["messages"]})),
            "form-1/leads": responds(rows({"id": "lead-1", "form_id": "form-1"})),
        }
        for path, answer in {**usual, **answers}.items():
            remote.on(f"/v26.0/{path}", answer)
        context = make_context(page_id="77", permissions=CARRIED)
        finding = check(context)
        assert finding is not None
        assert shows_no_secret(finding, context)
        return finding

    return run


def by_id(remote: FakeRemote) -> list[str]:
    """Return the ids by which a page was looked for."""
    nodes = (request for request in remote.requests if fields(request).get("fields") == FIELDS)
    paths = (request.url.path.removeprefix("/v26.0/") for request in nodes)
    return [path for path in paths if path != "me/accounts" and "_pages" not in path]


THIRTY = tuple(str(number) for number in range(130, 100, -1))
OTHER = {**PAGE, "id": "5"}
FOUND_BY_ID = wording("findings.found-by-id")
FOUND_BY_PORTFOLIO = wording("findings.found-by-portfolio")


def none_of(pages: int) -> str:
    """Return the reason where none of so many pages has a lead form."""
    shown = "1 page" if pages == 1 else f"{pages} pages"
    return wording("findings.none-has-lead-form", pages=shown)


WAYS: Mapping[str, tuple[dict[str, Any], list[str], int, Outcome, str]] = {
    "the token names it": ({}, ["77"], 0, READ, f"does not list page 77: {FOUND_BY_ID} (/77)"),
    "no target_ids": (
        {"scopes": granted(pages_show_list=None), **business(PAGE)},
        [],
        1,
        READ,
        f"page 77: {FOUND_BY_PORTFOLIO} (/1001/owned_pages)",
    ),
    "empty target_ids": (
        {"scopes": granted(pages_show_list=()), **business(PAGE)},
        [],
        1,
        READ,
        FOUND_BY_PORTFOLIO,
    ),
    "no granular_scopes": (
        {"scopes": [], **business(PAGE, edge="client_pages")},
        [],
        1,
        READ,
        FOUND_BY_PORTFOLIO,
    ),
    "one permission is for all": (
        {"scopes": granted(pages_show_list=None, leads_retrieval=("77",))},
        ["77"],
        0,
        READ,
        FOUND_BY_ID,
    ),
    "only one permission has the page": (
        {"scopes": granted(pages_show_list=("12", "77"), leads_retrieval=("77",))},
        ["77"],
        0,
        READ,
        FOUND_BY_ID,
    ),
    "ad accounts and businesses are among them": (
        {
            "scopes": granted(
                ads_management=("1",), business_management=("2",), leads_retrieval=("77",)
            )
        },
        ["77"],
        0,
        READ,
        FOUND_BY_ID,
    ),
    "only ad accounts are named": (
        {"scopes": granted(ads_management=("1",), ads_read=("1",))},
        [],
        1,
        NOT_READ,
        none_of(0),
    ),
    "30 ids": (
        {"scopes": granted(pages_show_list=THIRTY), "101": responds({"id": "101"})},
        ["101"],
        1,
        NOT_READ,
        "Other ways found no page (/101: no readable page; /me/businesses:",
    ),
    "the lowest is the shortest": (
        {"scopes": granted(pages_show_list=("100", "77", "101"))},
        ["77"],
        0,
        READ,
        FOUND_BY_ID,
    ),
    "refused by id": (
        {"77": refused_to_people, **business(PAGE)},
        ["77"],
        1,
        READ,
        f"page 77: {FOUND_BY_PORTFOLIO}",
    ),
    "no token by id": (
        {"77": responds({"id": "77"}), **business({"id": "77"})},
        ["77"],
        1,
        NOT_READ,
        "/77: no readable page; /me/businesses: no readable page",
    ),
    # Verdicts of recorded answers: a row without a token, and a portfolio that refuses.
    "no token in the portfolio, but in the page's node": (
        {
            "scopes": [],
            "77": own_node,
            **business({"id": "77", "name": "Bakery"}),
        },
        ["77"],
        1,
        READ,
        f"page 77: {FOUND_BY_PORTFOLIO} (/1001/owned_pages)",
    ),
    "one portfolio refuses": (
        {
            "scopes": [],
            **business(PAGE, edge="client_pages", others=("1000",)),
            **refusing_business("1000"),
        },
        [],
        1,
        READ,
        "Not read: /1000/owned_pages: (#10) This endpoint requires",
    ),
    "all portfolios refuse": (
        {"scopes": [], **business(ident="1001"), **refusing_business("1001")},
        [],
        1,
        NOT_READ,
        "/1001/owned_pages: (#10)",
    ),
    "the page is on the second page of the edge": (
        {"scopes": [], **business(PAGE), "1001/owned_pages": two_pages},
        [],
        1,
        READ,
        f"page 77: {FOUND_BY_PORTFOLIO} (/1001/owned_pages)",
    ),
    "both are refused": (
        {"77": REFUSED, "me/businesses": NO_BUSINESS},
        ["77"],
        1,
        NOT_READ,
        "(/77: (#10) This endpoint requires the 'pages_read_engagement'; /me/bus",
    ),
    "/me/businesses is refused": (
        {"scopes": [], "me/businesses": NO_BUSINESS},
        [],
        1,
        NOT_READ,
        "/me/businesses: (#200) Requires business_management",
    ),
    "no answer": (
        {"77": fails_with(), "me/businesses": responds("<html>")},
        ["77"] * 3,
        0,
        NOT_READ,
        none_of(0),
    ),
    "another page answers": (
        {"77": responds(OTHER)},
        ["77"],
        1,
        NOT_READ,
        "/77: Facebook (/77) gave an unexpected response",
    ),
    "a portfolio has pages that were not chosen": (
        {"77": REFUSED, **business(OTHER)},
        ["77"],
        1,
        NOT_READ,
        none_of(0),
    ),
    "an id that is none": (
        {"scopes": granted(pages_show_list=("../me",))},
        [],
        0,
        NOT_READ,
        "'../me', not an id",
    ),
    "the token cannot be inspected": (
        {"debug_token": REFUSED},
        [],
        0,
        NOT_READ,
        f"{none_of(0)} (#10) This",
    ),
    "listed without a token, and named": (
        {"listed": ({"id": "5"},), "scopes": granted(pages_show_list=("5",))},
        [],
        0,
        NOT_READ,
        none_of(1),
    ),
    "listed without a token, for all": (
        {"listed": ({"id": "5"},), "scopes": granted(pages_show_list=None)},
        [],
        0,
        NOT_READ,
        none_of(1),
    ),
    "another is listed without a token": (
        {"listed": ({"id": "5"},), "scopes": granted(pages_show_list=("5", "77"))},
        ["77"],
        0,
        READ,
        f"does not list page 77: {FOUND_BY_ID}",
    ),
    "a listed page has a token in a portfolio only": (
        {
            "listed": ({"id": "5"},),
            "scopes": granted(pages_show_list=("5", "77")),
            "77": REFUSED,
            **business(OTHER),
        },
        ["77"],
        1,
        NOT_READ,
        none_of(1),
    ),
    "another is listed with a token": (
        {"listed": (OTHER,), "5/leadgen_forms": responds(rows())},
        [],
        0,
        NOT_READ,
        none_of(1),
    ),
}


@pytest.mark.parametrize("case", WAYS)
def test_each_way_to_a_page(remote: FakeRemote, ask: Ask, case: str) -> None:
    """
    Without a listed page that has a token, the lowest missing id of the token is asked for, then
    the portfolios, each once; the finding says what found the page, or what became of each way.
    """
    answers, ids, portfolios, outcome, words = WAYS[case]

    finding = ask(**answers)

    assert (finding.outcome, by_id(remote)) == (outcome, ids)
    assert words in finding.reason
    paths = Counter(remote.paths)
    assert paths["/v26.0/me/businesses"] == portfolios
    assert paths["/v26.0/me/accounts"] == 1


LISTED = ("me/accounts",)
ADS = ("me/adaccounts",)
INSPECTED = ("oauth/access_token", "debug_token")
LEAD = ("77/leadgen_forms", *INSPECTED, "77", "form-1/leads")
CUSTOMER = ("debug_token", *INSPECTED, APP_ID)
# Each check with the requests that it sends, once each, if `/me/accounts` lists the page.
CHECKS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "9a": (
        each_permission_is_used,
        (*INSPECTED, "me", *LISTED, *LISTED, "77/leadgen_forms", "form-1/leads"),
    ),
    "21 marketing": (marketing_data_is_readable, (*ADS, *LISTED)),
    "21 leads": (lead_data_is_readable, (*LISTED, *LEAD)),
    "21a": (customer_consents_without_role, (*CUSTOMER, *LISTED)),
    "Messenger": (page_is_subscribed, (*LISTED, "77/subscribed_apps")),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_listed_page_needs_no_other_way(remote: FakeRemote, ask: Ask, name: str) -> None:
    """If `/me/accounts` lists the page, a check sends no request more, and says nothing of ways."""
    check, paths = CHECKS[name]

    finding = ask(check, listed=(PAGE,))

    assert "found by" not in finding.reason
    asked = Counter(path.removeprefix("/v26.0/") for path in remote.paths)
    del asked[MADE_UP_APP]
    assert asked == Counter(paths)


@pytest.mark.parametrize(
    ("way", "answers"),
    [
        (f"{FOUND_BY_ID} (/77)", {}),
        (FOUND_BY_PORTFOLIO, {"scopes": [], **business(PAGE)}),
    ],
)
@pytest.mark.parametrize("name", CHECKS)
def test_each_check_reads_a_page_behind_a_portfolio(
    ask: Ask, name: str, way: str, answers: dict[str, Any]
) -> None:
    """Each check that reads a page reads one that `/me/accounts` leaves out, and says how."""
    finding = ask(CHECKS[name][0], **answers)

    # A test call of `/me/accounts` that lists nothing shows no use of its permission.
    assert finding.outcome is (NOT_READ if name == "9a" else READ), finding.reason
    if name == "9a":
        used = {row[0]: row[2] for row in finding.tables[0].rows}
        assert used["leads_retrieval"] == used["pages_manage_ads"] == "made"
    # Messenger requests a page with a known id by that id.
    found = FOUND_BY_ID if name == "Messenger" else way
    assert wording("findings.page-found-by", found=found, page=77) in finding.reason


@pytest.mark.parametrize("name", CHECKS)
def test_no_page_by_any_way_decides_nothing(ask: Ask, name: str) -> None:
    """Without a page the result is what it was: inconclusive, and of marketing data a limit."""
    finding = ask(CHECKS[name][0], **{"77": REFUSED, "me/businesses": NO_BUSINESS})

    if name == "21 marketing":
        assert finding.outcome is READ
        assert finding.limits == (wording("findings.lists-no-page"),)
    else:
        assert finding.outcome is NOT_READ
    assert wording("findings.no-other-way", page=77) in finding.reason


@pytest.mark.parametrize(
    ("scopes", "asked"),
    [
        (granted(pages_messaging=("77",)), ["77"]),
        (granted(pages_messaging=("12", "77")), ["77"]),
        (granted(pages_messaging=None), ["77"]),
        (granted(pages_messaging=("12",)), []),
    ],
)
def test_messenger_looks_for_its_own_page(
    remote: FakeRemote, ask: Ask, scopes: Any, asked: list[str]
) -> None:
    """Another listed page is no help: its own is asked for by id, if the token has it."""
    finding = ask(page_is_subscribed, listed=(OTHER,), scopes=scopes)

    assert by_id(remote) == asked
    assert finding.outcome is (READ if asked else NOT_READ)


def test_a_customers_page_is_asked_for_its_id_only(remote: FakeRemote, ask: Ask) -> None:
    """Neither name nor token of a customer's page is asked for, in any way."""
    ask(customer_consents_without_role, **{"77": REFUSED})

    bearer = f"Bearer {CUSTOMER_TOKEN}"
    mine = [each for each in remote.requests if each.headers.get("authorization") == bearer]
    asked = [fields(each)["fields"] for each in mine if "fields" in fields(each)]
    assert asked == ["id", "id", "id"]


@pytest.mark.parametrize("where", ["listed", "77"])
@pytest.mark.parametrize(
    ("accepted", "warned"), [(False, True), (True, False), (None, False), ("false", False)]
)
@pytest.mark.parametrize("forms", [(), ({"id": "form-1"},)])
def test_terms_that_nobody_accepted_are_a_warning(
    ask: Ask, where: str, accepted: object, warned: bool, forms: tuple[Any, ...]
) -> None:
    """`leadgen_tos_accepted: false` warns, with the cause; an absent field says nothing."""
    page = {**PAGE, "leadgen_tos_accepted": accepted, "has_lead_access": ACCESS}
    finding = ask(
        listed=(page,) if where == "listed" else (),
        **{"77": responds(page), "77/leadgen_forms": responds(rows(*forms))},
    )

    assert bool(finding.warnings) is warned
    if warned:
        assert wording("findings.lead-terms", page=77) in finding.warnings[0]
        assert wording("findings.lead-ads-cannot-run") in finding.warnings[0]


def test_lead_access_is_the_persons(ask: Ask) -> None:
    """The lead check has as limit that lead access belongs to the person behind the token."""
    assert any(wording("findings.token-persons") in limit for limit in ask().limits)
