"""App Review: `live` proves, absence does not, and what is listed but not live waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.checks.context import CheckContext, TokenShelf
from runbook_lib.checks.review import (
    PERMISSION_DEPENDENCIES,
    permissions_are_requested,
    public_profile_is_live,
    review_is_approved,
    with_dependencies,
)
from runbook_lib.errors import GraphAPIError, OAuthError, UnexpectedAnswerError
from runbook_lib.procedure import Attestation, Finding, Outcome
from tests.unit import bodies
from tests.unit.bodies import APP_ID, statuses
from tests.unit.checks.conftest import MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, says

EDGE = f"/v26.0/{APP_ID}/permissions"
WANTED = ("public_profile", "leads_retrieval", *PERMISSION_DEPENDENCIES["leads_retrieval"])
ALL_LIVE = dict.fromkeys(WANTED, "live")
SUBMITTED = Attestation(
    step="fb-12-submit-review", by="Operator", at="2026-11-20T09:00:00Z", waiting=True
)

Check = Callable[[CheckContext], Finding]


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))


def test_leads_retrieval_brings_what_it_depends_on() -> None:
    """The dashboard hides the permission until these stand beside it."""

    assert set(with_dependencies(("public_profile", "leads_retrieval"))) == {
        "public_profile",
        "leads_retrieval",
        "ads_management",
        "ads_read",
        "business_management",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    }


def test_dependencies_come_once_and_in_order() -> None:
    """What is wanted anyway is not listed twice; what has no dependencies brings none."""

    assert with_dependencies(("ads_read", "email")) == ("ads_read", "email")
    both = with_dependencies(("ads_read", "leads_retrieval"))
    assert both[:2] == ("ads_read", "leads_retrieval")
    assert len(both) == len(set(both))


def test_a_live_public_profile_is_verified(remote: FakeRemote, context: CheckContext) -> None:
    """Listed as live is proof; the access level is not claimed."""

    remote.on(EDGE, says(statuses(public_profile="live")))

    finding = public_profile_is_live(context)

    assert finding.outcome is Outcome.VERIFIED
    assert "Standard or Advanced Access" in finding.limits[0]
    assert shows_no_secret(finding, context)


def test_an_absent_public_profile_is_inconclusive(
    remote: FakeRemote, context: CheckContext
) -> None:
    """It is granted without review, so that it is not listed proves nothing."""

    remote.on(EDGE, says(statuses(email="live")))

    finding = public_profile_is_live(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "absence proves nothing" in finding.reason


def test_a_public_profile_that_is_not_live_is_not_done(
    remote: FakeRemote, context: CheckContext
) -> None:
    """Listed and not live: somebody has to press the button."""

    remote.on(EDGE, says(statuses(public_profile="unapproved")))

    finding = public_profile_is_live(context)

    assert finding.outcome is Outcome.NOT_RUN
    assert "as unapproved" in finding.reason


@pytest.mark.parametrize("status", ["live", "unapproved"])
def test_listed_permissions_are_requested(
    remote: FakeRemote, context: CheckContext, status: str
) -> None:
    """Listed counts as requested, whatever became of it; tier and level are not claimed."""

    remote.on(EDGE, says(statuses(**dict.fromkeys(WANTED[1:], status))))

    finding = permissions_are_requested(context)

    assert finding.outcome is Outcome.VERIFIED
    assert all(name in finding.reason for name in WANTED[1:])
    assert len(finding.limits) == 2


@pytest.mark.parametrize("absent", ["leads_retrieval", "ads_read"])
def test_an_unlisted_permission_is_inconclusive(
    remote: FakeRemote, context: CheckContext, absent: str
) -> None:
    """Each that is missing is named, dependencies too."""

    listed = {name: "live" for name in WANTED if name != absent}
    remote.on(EDGE, says(statuses(**listed)))

    finding = permissions_are_requested(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"does not list {absent}." in finding.reason


def test_every_wanted_permission_live_is_approved(
    remote: FakeRemote, context: CheckContext
) -> None:
    """The review is over only when all are live, dependencies too."""

    remote.on(EDGE, says(statuses(**ALL_LIVE, email="unapproved")))

    finding = review_is_approved(context)

    assert finding.outcome is Outcome.VERIFIED
    assert f"All {len(WANTED)} permissions are live." in finding.reason
    assert "access level" in finding.limits[0]


def test_a_permission_that_is_not_live_waits(remote: FakeRemote, make_context: MakeContext) -> None:
    """Who submitted it and when is told beside it; pending or declined is not claimed."""

    remote.on(EDGE, says(statuses(**{**ALL_LIVE, "leads_retrieval": "unapproved"})))

    finding = review_is_approved(make_context(attestation=SUBMITTED))

    assert finding.outcome is Outcome.WAITING
    assert finding.reason.startswith("leads_retrieval not live yet")
    assert "submitted on 2026-11-20T09:00:00Z, says Operator" in finding.reason
    assert "pending or was declined" in finding.limits[0]


def test_a_wait_without_a_word_says_so(remote: FakeRemote, context: CheckContext) -> None:
    """Where nobody said when it was submitted, no date is made up."""

    remote.on(EDGE, says(statuses(**{**ALL_LIVE, "ads_read": "unapproved"})))

    assert "nobody has said when" in review_is_approved(context).reason


def test_an_unlisted_permission_cannot_be_told(remote: FakeRemote, context: CheckContext) -> None:
    """Absence is neither approval nor refusal."""

    listed = {name: "live" for name in WANTED if name != "leads_retrieval"}
    remote.on(EDGE, says(statuses(**listed)))

    finding = review_is_approved(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "does not list leads_retrieval" in finding.reason


def test_what_waits_goes_before_what_cannot_be_told(
    remote: FakeRemote, context: CheckContext
) -> None:
    """One known wait is news; the rest is asked again with it."""

    remote.on(EDGE, says(statuses(leads_retrieval="unapproved")))

    assert review_is_approved(context).outcome is Outcome.WAITING


def test_another_use_case_has_other_permissions(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """What is wanted is a parameter."""

    remote.on(EDGE, says(statuses(public_profile="live", ads_read="live")))
    context = make_context(permissions=("public_profile", "ads_read"))

    assert review_is_approved(context).outcome is Outcome.VERIFIED
    assert permissions_are_requested(context).outcome is Outcome.VERIFIED


every_check = pytest.mark.parametrize(
    "check", [public_profile_is_live, permissions_are_requested, review_is_approved]
)


@every_check
def test_an_error_of_graph_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check
) -> None:
    """An error object decides nothing."""

    remote.on(EDGE, says(bodies.EXPIRED_TOKEN, 400))

    with pytest.raises(GraphAPIError):
        check(context)


@every_check
def test_an_answer_of_another_shape_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check
) -> None:
    """No list of rows is not an empty list: it would read as absence."""

    remote.on(EDGE, says({"id": "1"}))

    with pytest.raises(UnexpectedAnswerError):
        check(context)


@every_check
def test_without_a_token_nothing_is_decided(
    context: CheckContext, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused pair is another step's failure."""

    def refuse(*_: object) -> None:
        raise OAuthError("no token")

    monkeypatch.setattr(TokenShelf, "get", refuse)

    with pytest.raises(OAuthError):
        check(context)
