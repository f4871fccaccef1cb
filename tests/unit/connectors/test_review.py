"""The checks of App Review: only the status `live` proves an approval."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.errors import GraphAPIError
from runbook_lib.connectors.facebook.permissions import PERMISSION_DEPENDENCIES, with_dependencies
from runbook_lib.connectors.facebook.review import (
    permissions_are_requested,
    public_profile_is_live,
    review_is_approved,
)
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import OAuthError, UnexpectedAnswerError
from tests.unit import bodies
from tests.unit.bodies import APP_ID, statuses
from tests.unit.connectors.conftest import MADE_UP_APP, MakeContext, session_to, shows_no_secret
from tests.unit.fake_remote import FakeRemote, Responder, says

EDGE = f"/v26.0/{APP_ID}/permissions"
WANTED = ("public_profile", "leads_retrieval", *PERMISSION_DEPENDENCIES["leads_retrieval"])
ALL_LIVE = dict.fromkeys(WANTED, "live")
Check = Callable[[CheckContext], Finding | None]


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))


def test_leads_retrieval_includes_its_dependencies() -> None:
    """leads_retrieval includes the permissions that the dashboard requires with it."""
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
    """Dependencies follow the wanted permissions, each once."""
    assert with_dependencies(("ads_read", "email")) == ("ads_read", "email")
    both = with_dependencies(("ads_read", "leads_retrieval"))
    assert both[:2] == ("ads_read", "leads_retrieval")
    assert len(both) == len(set(both))


def test_a_live_public_profile_is_verified(remote: FakeRemote, context: CheckContext) -> None:
    """A live public_profile verifies; its access level is a limit."""
    remote.on(EDGE, says(statuses(public_profile="live")))

    finding = public_profile_is_live(context)

    assert finding.outcome is Outcome.VERIFIED
    assert "has Advanced Access, not only Standard Access" in finding.limits[0]
    assert shows_no_secret(finding, context)


def test_an_absent_public_profile_is_inconclusive(
    remote: FakeRemote, context: CheckContext
) -> None:
    """A public_profile that is not listed proves nothing, because it is granted without review."""
    remote.on(EDGE, says(statuses(email="live")))

    finding = public_profile_is_live(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "does not list public_profile." in finding.reason
    assert "absence proves nothing" in finding.reason
    assert "App Review > Permissions and Features" in finding.reason


def test_live_permissions_were_requested(remote: FakeRemote, context: CheckContext) -> None:
    """Live permissions were requested; tier and access level are limits."""
    remote.on(EDGE, says(statuses(**dict.fromkeys(WANTED[1:], "live"))))

    finding = permissions_are_requested(context)

    assert finding is not None
    assert finding.outcome is Outcome.VERIFIED
    assert all(name in finding.reason for name in WANTED[1:])
    assert len(finding.limits) == 2


@pytest.mark.parametrize("absent", ["leads_retrieval", "ads_read"])
def test_an_unlisted_permission_is_inconclusive(
    remote: FakeRemote, context: CheckContext, absent: str
) -> None:
    """Each missing permission is named, dependencies included, and is inconclusive."""
    listed = {name: "live" for name in WANTED if name != absent}
    remote.on(EDGE, says(statuses(**listed)))

    finding = permissions_are_requested(context)

    assert finding is not None
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"does not list {absent}." in finding.reason
    assert "Live: " in finding.reason


def test_without_a_permission_to_request_the_check_does_not_apply(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """Without a permission to request, the check does not apply and sends no request."""
    remote.on(EDGE, says(statuses()))

    assert permissions_are_requested(make_context(permissions=("public_profile",))) is None
    assert remote.requests == []


def test_every_wanted_permission_live_is_approved(
    remote: FakeRemote, context: CheckContext
) -> None:
    """The review is approved if all permissions are live, dependencies included."""
    remote.on(EDGE, says(statuses(**ALL_LIVE, email="unapproved")))

    finding = review_is_approved(context)

    assert finding.outcome is Outcome.VERIFIED
    assert f"All {len(WANTED)} permissions are live." in finding.reason
    assert "access level" in finding.limits[0]


def test_an_unlisted_permission_leaves_the_review_open(
    remote: FakeRemote, context: CheckContext
) -> None:
    """A permission that is not listed is neither approved nor refused."""
    listed = {name: "live" for name in WANTED if name != "leads_retrieval"}
    remote.on(EDGE, says(statuses(**listed)))

    finding = review_is_approved(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "does not list leads_retrieval. Live: public_profile, " in finding.reason
    assert "App Review > Requests" in finding.reason
    assert finding.reason.endswith("A review takes 1 to 22 days; after that it is overdue.")
    assert "never requested, waits or was declined" in finding.limits[0]


def test_an_empty_list_is_inconclusive(remote: FakeRemote, context: CheckContext) -> None:
    """If the list is empty, each permission is named as missing and none as live."""
    remote.on(EDGE, says(statuses()))

    finding = review_is_approved(context)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"does not list {', '.join(WANTED)}." in finding.reason
    assert "Live:" not in finding.reason


def test_another_use_case_has_other_permissions(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """The wanted permissions are a parameter."""
    remote.on(EDGE, says(statuses(public_profile="live", ads_read="live")))
    context = make_context(permissions=("public_profile", "ads_read"))

    for check in (review_is_approved, permissions_are_requested):
        finding = check(context)
        assert finding is not None
        assert finding.outcome is Outcome.VERIFIED


every_check = pytest.mark.parametrize(
    "check", [public_profile_is_live, permissions_are_requested, review_is_approved]
)


@every_check
@pytest.mark.parametrize("status", ["unapproved", "Live", "granted", "pending"])
def test_any_other_status_is_named_and_decides_nothing(
    remote: FakeRemote, context: CheckContext, check: Check, status: str
) -> None:
    """Any status but exactly `live` is named and is inconclusive."""
    remote.on(EDGE, says(statuses(**dict.fromkeys(WANTED, status))))

    finding = check(context)

    assert finding is not None
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f" as {status}, not as live." in finding.reason


@every_check
def test_a_permission_with_two_statuses_decides_nothing(
    remote: FakeRemote, context: CheckContext, check: Check
) -> None:
    """A permission with two statuses raises `UnexpectedAnswerError`."""
    doubled = statuses(**dict.fromkeys(WANTED, "unapproved"))
    remote.on(EDGE, says({"data": [*doubled["data"], *statuses(**ALL_LIVE)["data"]]}))

    with pytest.raises(UnexpectedAnswerError, match="is listed as live and unapproved"):
        check(context)


@every_check
def test_a_graph_error_is_raised(remote: FakeRemote, context: CheckContext, check: Check) -> None:
    """A Graph error is raised and decides nothing."""
    remote.on(EDGE, says(bodies.EXPIRED_TOKEN, 400))

    with pytest.raises(GraphAPIError):
        check(context)


@every_check
def test_an_answer_of_another_shape_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check
) -> None:
    """An answer without a list of rows is raised, not read as an empty list."""
    remote.on(EDGE, says({"id": "1"}))

    with pytest.raises(UnexpectedAnswerError):
        check(context)


@every_check
def test_without_a_token_nothing_is_decided(make_context: MakeContext, check: Check) -> None:
    """Without an app token, `OAuthError` is raised."""
    remote = FakeRemote()
    remote.on("/v26.0/oauth/access_token", says(bodies.BAD_SECRET, 400))

    with pytest.raises(OAuthError):
        check(make_context(session=session_to(remote)))


@every_check
@pytest.mark.parametrize("control", [says(statuses(email="live")), says({"data": []}), says({})])
def test_a_made_up_app_must_have_no_permissions(
    make_context: MakeContext, check: Check, control: Responder
) -> None:
    """Unless Facebook refuses a made-up App ID, its list proves nothing about this app."""
    remote = FakeRemote()
    remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
    remote.on(EDGE, says(statuses(**ALL_LIVE)))
    remote.on(f"/v26.0/{MADE_UP_APP}/permissions", control)

    with pytest.raises(UnexpectedAnswerError, match="answers a made-up App ID too"):
        check(make_context(session=session_to(remote)))


def test_a_made_up_app_differs_in_its_id_alone(remote: FakeRemote, context: CheckContext) -> None:
    """The control is the request about the app, with another id in the address and nothing else."""
    remote.on(EDGE, says(statuses(**ALL_LIVE)))

    assert review_is_approved(context).outcome is Outcome.VERIFIED
    app, control = remote.requests[-2:]
    assert str(control.url) == str(app.url).replace(APP_ID, MADE_UP_APP)
    assert control.headers["authorization"] == app.headers["authorization"]
