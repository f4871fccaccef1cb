"""
Consent of a person without a role: who has one, and what that person's token reads.

That an app token reads `roles`: third-party reading, 2026. The form of the answer is published
nowhere; this one follows the Graph API's other edges. Code 100: Access Verification's page.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook.consent_without_role import (
    OTHER_STEP,
    customer_consents_without_role,
)
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Outcome
from runbook_lib.errors import UnexpectedResponseError
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, CUSTOMER_TOKEN, TOKEN_INSPECTED, graph_error, rows, statuses
from tests.unit.connectors.conftest import RunCheck
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, fields, responds

OPERATOR = "873"
CUSTOMER = "555"
CHECK = customer_consents_without_role
GRANTS = "/v26.0/me/permissions"
VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE


def roles(*people: str, after: str = "") -> dict[str, Any]:
    data = [{"user": each, "role": "administrators"} for each in people]
    paging = {"cursors": {"after": after}, "next": "https://x.example/"} if after else {}
    return {"id": APP_ID, "roles": {"data": data, "paging": paging}}


@pytest.fixture
def ask(remote: FakeRemote, run_check: RunCheck) -> RunCheck:
    """Return the check; `pages` are the pages of roles, in order."""

    def run(
        end: Any,
        *words: str,
        pages: Any = (),
        customer: Any = (),
        changed_owner: str = "",
        **changed: Responder,
    ) -> Any:
        def inspect(request: Any) -> Any:
            is_customer = fields(request)["input_token"] == CUSTOMER_TOKEN
            who = {"user_id": CUSTOMER, **dict(customer)} if is_customer else {"user_id": OPERATOR}
            return responds({"data": {**TOKEN_INSPECTED, **who}})(request)

        def me(request: Any) -> Any:
            is_customer = CUSTOMER_TOKEN in request.headers["authorization"]
            who = dict(customer).get("user_id", CUSTOMER) if is_customer else OPERATOR
            return responds({"id": changed_owner or who})(request)

        remaining = iter(pages or (roles(OPERATOR),))

        def next_page(request: Any) -> Any:
            return responds(next(remaining))(request)

        answers = {
            "/v26.0/oauth/access_token": responds(bodies.APP_TOKEN_ISSUED),
            "/v26.0/debug_token": inspect,
            f"/v26.0/{APP_ID}": next_page,
            "/v26.0/me/accounts": changed.get("data", responds(rows({"id": "77"}))),
            "/v26.0/me/businesses": responds(rows()),
            "/v26.0/me": me,
            GRANTS: changed.get("grants", responds(rows())),
        }
        return run_check(CHECK, end, *words, answers=answers)

    return run


def test_a_person_without_a_role_verifies(remote: FakeRemote, ask: RunCheck) -> None:
    """The list names the operator and not the customer, whose token then reads data."""
    ask(VERIFIED)
    assert GRANTS not in remote.paths
    assert remote.requests[-1].headers["authorization"] == f"Bearer {CUSTOMER_TOKEN}"


def test_every_page_of_roles_is_read(remote: FakeRemote, ask: RunCheck) -> None:
    """A person on the last page has a role; each page is asked for by its cursor."""
    pages = (roles("1", after="QVFI"), roles(OPERATOR, after="QVFJ"), roles(CUSTOMER))
    ask(FAILED, wording("findings.customer-has-role"), pages=pages)
    asked = [fields(each).get("fields") for each in remote.requests if APP_ID in each.url.path]
    assert [each.partition("roles")[2] for each in asked if each] == [
        ".limit(100)",
        ".limit(100).after(QVFI)",
        ".limit(100).after(QVFJ)",
    ]


@pytest.mark.parametrize(
    ("pages", "asked"),
    [
        # Fifty pages are read, no more.
        ([roles(str(page), after=f"QVFI{page}") for page in range(60)], 50),
        # A cursor that leads to itself is asked for once.
        ([roles("1", after="QVFI")] * 60, 2),
        # A cursor with characters of a field expression is not followed.
        ([roles(OPERATOR, after="x),name,after(y"), roles()], 1),
    ],
)
def test_pages_without_an_end_are_given_up(
    remote: FakeRemote, ask: RunCheck, pages: list[Any], asked: int
) -> None:
    """Pages that have no end decide nothing."""
    ask(UnexpectedResponseError, wording("findings.unexpected-response-pages-have"), pages=pages)
    assert len([each for each in remote.requests if APP_ID in each.url.path]) == asked


SAME_PERSON = "^Both tokens belong to the same person. "
ANOTHER = "Sign in here as somebody without a role."


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            roles(OPERATOR),
            wording("findings.same-person-twice", same_person=SAME_PERSON),
        ),
        (
            roles("44"),
            wording(
                "findings.same-person-twice-token-step",
                same_person=SAME_PERSON,
                other_step=OTHER_STEP,
            ),
        ),
        (roles(), f"{SAME_PERSON}{ANOTHER}"),
        # An answer that cannot be read takes nothing from what the tokens show.
        ({"id": APP_ID, "roles": 1}, f"{ANOTHER}$"),
    ],
)
def test_one_person_with_two_tokens_fails(ask: RunCheck, page: dict[str, Any], said: str) -> None:
    """Two tokens of one person: the step whose token is wrong is named, where the roles show it."""
    ask(FAILED, said, pages=[page], customer={"user_id": OPERATOR})


@pytest.mark.parametrize(
    ("changed", "end", "said"),
    [
        # A list that lacks the one who surely has a role proves nothing of anybody.
        (
            {"pages": [roles("1", "2")]},
            INCONCLUSIVE,
            wording("findings.roles-list-incomplete", number=2),
        ),
        # A customer whose token lacks a wanted permission fails the step, with its name.
        (
            {
                "customer": {"scopes": ["public_profile"]},
                "grants": responds(statuses(public_profile="granted")),
            },
            FAILED,
            "lacks leads_retrieval",
        ),
        # Two sources that disagree, or one with a gap, prove nothing.
        (
            {
                "customer": {"scopes": ["public_profile"]},
                "grants": responds(statuses(public_profile="granted", leads_retrieval="granted")),
            },
            INCONCLUSIVE,
            f"^{wording('findings.sources-disagree-permissions', names='leads_retrieval')}",
        ),
        (
            {"customer": {"scopes": []}},
            INCONCLUSIVE,
            wording("findings.list-incomplete-field-scopes"),
        ),
        # Two responses must show that both tokens belong to one person.
        (
            {"customer": {"user_id": OPERATOR}, "changed_owner": "555"},
            INCONCLUSIVE,
            wording("findings.sources-disagree-person", person=873, me=555),
        ),
        # A customer's token that reads no data any more fails, and asks for a new consent.
        ({"customer": {"data_access_expires_at": 1_578_986_473}}, FAILED, "consent again"),
        # A token that is not valid any more fails, if Facebook's error says so.
        ({"customer": bodies.TOKEN_INVALID}, FAILED, "changed their password"),
        (
            {"customer": {"is_valid": False}},
            INCONCLUSIVE,
            wording("findings.token-error-not-named"),
        ),
        # Code 100 with subcode 33 on a customer's data fails, and names the verification.
        ({"data": responds(bodies.NO_SUCH_OBJECT, 400)}, FAILED, "Access Verification"),
        # Code 100 without the subcode is about the request.
        ({"data": responds(graph_error("Unsupported get request.", 100), 400)}, GraphAPIError, ""),
    ],
)
def test_only_a_complete_token_that_reads_data_verifies(
    ask: RunCheck, changed: dict[str, Any], end: Any, said: str
) -> None:
    """The customer's token must be valid, complete and read data."""
    ask(end, said, **changed)


GRANTED = {"public_profile": "granted", "leads_retrieval": "granted"}


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        (
            GRANTED,
            wording("findings.customer-without-page-granted", names="pages_show_list (not listed)"),
        ),
        (
            {**GRANTED, "pages_show_list": "declined"},
            wording("findings.customer-without-page-granted", names="pages_show_list (declined)"),
        ),
        (
            {"email": "expired", "pages_show_list": "declined"},
            wording(
                "findings.customer-without-page-granted-email", names="pages_show_list (declined)"
            ),
        ),
        (
            {**GRANTED, "pages_show_list": "granted"},
            wording("findings.customer-without-page-person-declined"),
        ),
    ],
)
def test_without_a_page_nothing_is_proven(
    remote: FakeRemote, ask: RunCheck, grants: dict[str, str], said: str
) -> None:
    """An empty list of pages is inconclusive; the person's grants, read once, show why."""
    look = wording("findings.customer-without-page", names="pages_show_list")
    words = (said, look, "Access Verification")
    ask(INCONCLUSIVE, *words, data=responds(rows()), grants=responds(statuses(**grants)))
    assert remote.paths.count(GRANTS) == 1
    assert remote.requests[-1].headers["authorization"] == f"Bearer {CUSTOMER_TOKEN}"


@pytest.mark.parametrize(
    "grants",
    [
        fails_with(),
        responds("<html>"),
        responds({}),
        responds(graph_error("(#100) Unsupported get request.", 100), 400),
        responds(rows({"permission": "email"})),
    ],
)
def test_grants_that_cannot_be_read_hide_nothing(ask: RunCheck, grants: Responder) -> None:
    """Without them too, an empty list is inconclusive and the reason says what to look at."""
    words = (
        wording("findings.customer-without-page-declined-permissions"),
        "granted pages_show_list",
    )
    ask(INCONCLUSIVE, *words, data=responds(rows()), grants=grants)


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_a_customer_consents_in_a_window_of_their_own(name: str) -> None:
    """The step says where to open the consent page; the step of the other token exists."""
    steps = find_procedure(name).steps
    (step,) = (step for step in steps if any(check.run is CHECK for check in step.checks))

    assert OTHER_STEP in [other.title for other in steps]
    assert step.consent_gives is not None
    assert "**Copy the link**. Open it in a private window" in step.instructions
