"""
Consent of a person without a role: who has one, and what that person's token reads.

That an app token reads `roles`: third-party reading, 2026. The form of the answer is published
nowhere; this one follows the Graph API's other edges. Code 100: Access Verification's page.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook.errors import GraphAPIError
from runbook_lib.connectors.facebook.people import OTHER_STEP, customer_consents_without_role
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import UnexpectedAnswerError
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit import bodies
from tests.unit.bodies import (
    APP_ID,
    CUSTOMER_TOKEN,
    TOKEN_INSPECTED,
    graph_error,
    rows,
    statuses,
)
from tests.unit.connectors.conftest import MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, breaks, fields, says

OPERATOR, CUSTOMER = "873", "555"
CHECK = customer_consents_without_role


def roles(*people: str, after: str = "") -> dict[str, Any]:
    data = [{"user": each, "role": "administrators"} for each in people]
    paging = {"cursors": {"after": after}, "next": "https://x.example/"} if after else {}
    return {"id": APP_ID, "roles": {"data": data, "paging": paging}}


@pytest.fixture
def ask(remote: FakeRemote, make_context: MakeContext) -> Any:
    """Return the check; `pages` are the pages of roles, in order."""

    def run(*pages: dict[str, Any], customer: Any = (), **answers: Any) -> Finding:
        def inspect(request: Any) -> Any:
            is_customer = fields(request)["input_token"] == CUSTOMER_TOKEN
            who = {"user_id": CUSTOMER, **dict(customer)} if is_customer else {"user_id": OPERATOR}
            return says({"data": {**TOKEN_INSPECTED, **who}})(request)

        remaining = iter(pages or (roles(OPERATOR),))

        def next_page(request: Any) -> Any:
            return says(next(remaining))(request)

        remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        remote.on("/v26.0/debug_token", inspect)
        remote.on(f"/v26.0/{APP_ID}", next_page)
        remote.on("/v26.0/me/accounts", answers.get("data", says(rows({"id": "77"}))))
        remote.on("/v26.0/me/businesses", says(rows()))
        remote.on("/v26.0/me/permissions", answers.get("grants", says(rows())))
        context = make_context()
        finding = CHECK(context)
        assert shows_no_secret(finding, context)
        return finding

    return run


def test_a_person_without_a_role_verifies(remote: FakeRemote, ask: Any) -> None:
    """The list names the operator and not the customer, whose token then reads data."""
    finding = ask()

    assert finding.outcome is Outcome.VERIFIED
    assert "/v26.0/me/permissions" not in remote.paths
    last = remote.requests[-1]
    assert last.headers["authorization"] == f"Bearer {CUSTOMER_TOKEN}"


def test_every_page_of_roles_is_read(remote: FakeRemote, ask: Any) -> None:
    """A person on the last page has a role; each page is asked for by its cursor."""
    finding = ask(roles("1", after="QVFI"), roles(OPERATOR, after="QVFJ"), roles(CUSTOMER))

    assert finding.outcome is Outcome.FAILED
    assert "has a role on the app (administrators)" in finding.reason
    asked = [fields(each).get("fields") for each in remote.requests if APP_ID in each.url.path]
    assert [each.partition("roles")[2] for each in asked if each] == [
        ".limit(100)",
        ".limit(100).after(QVFI)",
        ".limit(100).after(QVFJ)",
    ]


def test_a_list_without_the_tester_proves_nothing(ask: Any) -> None:
    """A list that lacks the one who surely has a role proves nothing of anybody."""
    finding = ask(roles("1", "2"))

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "2 roles does not name the person whose token made the test calls" in finding.reason


def test_pages_without_an_end_are_given_up(remote: FakeRemote, ask: Any) -> None:
    """Fifty pages are read, no more."""
    with pytest.raises(UnexpectedAnswerError, match="pages have no end"):
        ask(*(roles(str(page), after=f"QVFI{page}") for page in range(60)))
    assert len([each for each in remote.requests if APP_ID in each.url.path]) == 50


def test_a_next_page_that_repeats_is_given_up(remote: FakeRemote, ask: Any) -> None:
    """A cursor that leads to itself is asked for once."""
    with pytest.raises(UnexpectedAnswerError, match="pages have no end"):
        ask(*(roles("1", after="QVFI") for _ in range(60)))
    assert len([each for each in remote.requests if APP_ID in each.url.path]) == 2


def test_a_cursor_that_is_no_cursor_is_not_sent(ask: Any) -> None:
    """A cursor with characters of a field expression is not followed."""
    with pytest.raises(UnexpectedAnswerError, match="pages have no end"):
        ask(roles(OPERATOR, after="x),name,after(y"), roles())


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ((OPERATOR,), "The token of this step is the wrong one: this person has a role"),
        (("44",), f"The token of the step “{OTHER_STEP}” is the wrong one"),
        ((), "Sign in here as somebody without a role."),
    ],
)
def test_one_person_with_two_tokens_fails(ask: Any, listed: tuple[str, ...], said: str) -> None:
    """Two tokens of one person: the step whose token is wrong is named, where the roles show it."""
    finding = ask(roles(*listed), customer={"user_id": OPERATOR})

    assert finding.outcome is Outcome.FAILED
    assert finding.reason.startswith(f"Both tokens are of one person. {said}")


def test_one_person_with_two_tokens_fails_where_roles_cannot_be_read(ask: Any) -> None:
    """An answer that cannot be read takes nothing from what the tokens show."""
    finding = ask({"id": APP_ID, "roles": 1}, customer={"user_id": OPERATOR})

    assert finding.outcome is Outcome.FAILED
    assert finding.reason.endswith("Sign in here as somebody without a role.")


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_the_step_that_is_named_exists(connector: str) -> None:
    """The step that takes the other token has the title that the reason quotes."""
    assert OTHER_STEP in [step.title for step in find_procedure(connector).steps]


def test_a_permission_that_the_customer_lacks_fails(ask: Any) -> None:
    """A customer whose token lacks a wanted permission fails the step, with its name."""
    finding = ask(customer={"scopes": ["public_profile"]})

    assert finding.outcome is Outcome.FAILED
    assert "lacks leads_retrieval" in finding.reason


GRANTED = {"public_profile": "granted", "leads_retrieval": "granted"}


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        (GRANTED, "Not granted: pages_show_list (not listed)."),
        ({**GRANTED, "pages_show_list": "declined"}, "Not granted: pages_show_list (declined)."),
        (
            {"email": "expired", "pages_show_list": "declined"},
            "Not granted: email (expired), pages_show_list (declined).",
        ),
        ({**GRANTED, "pages_show_list": "granted"}, "The person declined nothing."),
    ],
)
def test_without_a_page_nothing_is_proven(
    remote: FakeRemote, ask: Any, grants: dict[str, str], said: str
) -> None:
    """
    An empty list of pages is inconclusive; that person's grants, read once, show what was declined,
    and the reason says what to look at.
    """
    finding = ask(data=says(rows()), grants=says(statuses(**grants)))

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert said in finding.reason
    assert "has a page, granted pages_show_list and chose the page" in finding.reason
    assert "Access Verification" in finding.reason
    assert remote.paths.count("/v26.0/me/permissions") == 1
    assert remote.requests[-1].headers["authorization"] == f"Bearer {CUSTOMER_TOKEN}"


@pytest.mark.parametrize(
    "grants",
    [
        breaks(),
        says("<html>"),
        says({}),
        says(graph_error("(#100) Unsupported get request.", 100), 400),
        says(rows({"permission": "email"})),
    ],
)
def test_grants_that_cannot_be_read_hide_nothing(ask: Any, grants: Any) -> None:
    """Without them too, an empty list is inconclusive and the reason says what to look at."""
    finding = ask(data=says(rows()), grants=grants)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "What the person declined could not be read (" in finding.reason
    assert "granted pages_show_list" in finding.reason


def test_data_access_that_has_ended_fails(ask: Any) -> None:
    """A customer's token that reads no data any more fails, and asks for a new consent."""
    finding = ask(customer={"data_access_expires_at": 1_578_986_473})

    assert finding.outcome is Outcome.FAILED
    assert "consent again" in finding.reason


def test_refused_data_point_to_access_verification(ask: Any) -> None:
    """Code 100 on a customer's data fails, and names the verification."""
    refusal = graph_error("Unsupported get request.", 100)
    finding = ask(data=says(refusal, 400))

    assert finding.outcome is Outcome.FAILED
    assert "Access Verification" in finding.reason


def test_another_refusal_of_data_decides_nothing(ask: Any) -> None:
    """Another code is raised as it is, and so becomes inconclusive."""
    with pytest.raises(GraphAPIError):
        ask(data=says(graph_error("(#10) Not permitted", 10), 403))


def test_an_invalid_customers_token_fails(ask: Any) -> None:
    """A token that is not valid any more fails."""
    assert ask(customer={"is_valid": False}).outcome is Outcome.FAILED


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_a_customer_consents_in_a_window_of_their_own(name: str) -> None:
    """The step says where to open the consent page: the operator is logged in in this window."""
    (step,) = (
        step
        for step in find_procedure(name).steps
        if any(check.run is CHECK for check in step.checks)
    )

    assert step.consent_gives is not None
    assert "**Copy the link**. Use a private window" in step.today
