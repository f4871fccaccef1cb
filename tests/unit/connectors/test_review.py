"""The checks of App Review: only the status `live` proves an approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.permissions import PERMISSION_DEPENDENCIES, with_dependencies
from runbook_lib.connectors.facebook.review import (
    permissions_are_requested,
    public_profile_is_live,
    review_is_approved,
)
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import UnexpectedResponseError
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, statuses
from tests.unit.connectors.conftest import MADE_UP_APP, MakeContext, RunCheck, session_to
from tests.unit.fake_remote import FakeRemote, Responder, responds

VERIFIED = Outcome.VERIFIED
INCONCLUSIVE = Outcome.INCONCLUSIVE
EDGE = f"/v26.0/{APP_ID}/permissions"
WANTED = ("public_profile", "leads_retrieval", *PERMISSION_DEPENDENCIES["leads_retrieval"])
ALL_LIVE = dict.fromkeys(WANTED, "live")
Check = Callable[[CheckContext], Finding | None]


def lists_all_but(absent: str) -> Responder:
    """List all permissions as live but this one."""
    return responds(statuses(**{name: "live" for name in WANTED if name != absent}))


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/v26.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED))


def test_dependencies_come_once_and_in_order() -> None:
    """The permissions that the dashboard requires with the wanted ones follow them, each once."""
    assert with_dependencies(("ads_read", "email")) == ("ads_read", "email")
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
    both = with_dependencies(("ads_read", "leads_retrieval"))
    assert both[:2] == ("ads_read", "leads_retrieval")
    assert len(both) == len(set(both))


def test_a_live_public_profile_is_verified(run_check: RunCheck) -> None:
    """A live public_profile verifies; its access level is a limit."""
    answers = {EDGE: responds(statuses(public_profile="live"))}
    finding = run_check(public_profile_is_live, VERIFIED, answers=answers)
    assert wording("findings.advanced-access") in finding.limits[0]


def test_live_permissions_were_requested(run_check: RunCheck) -> None:
    """Live permissions were requested; tier and access level are limits."""
    answers = {EDGE: responds(statuses(**dict.fromkeys(WANTED[1:], "live")))}
    finding = run_check(permissions_are_requested, VERIFIED, *WANTED[1:], answers=answers)
    assert len(finding.limits) == 2


def test_without_a_permission_to_request_the_check_does_not_apply(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """Without a permission to request, the check does not apply and sends no request."""
    remote.on(EDGE, responds(statuses()))
    assert permissions_are_requested(make_context(permissions=("public_profile",))) is None
    assert remote.requests == []


def test_every_wanted_permission_live_is_approved(run_check: RunCheck) -> None:
    """The review is approved if all permissions are live, dependencies included."""
    answers = {EDGE: responds(statuses(**ALL_LIVE, email="unapproved"))}
    said = wording("findings.all-live", permissions=len(WANTED))
    finding = run_check(review_is_approved, VERIFIED, said, answers=answers)
    assert "access level" in finding.limits[0]


def test_an_unlisted_permission_leaves_the_review_open(run_check: RunCheck) -> None:
    """A permission that is not listed is neither approved nor refused."""
    words = (
        wording("findings.permission-not-live-but", names="leads_retrieval", live="public_profile"),
        "App Review > Requests",
        f"{wording('findings.permission-not-live-overdue', number=22)}$",
    )
    answers = {EDGE: lists_all_but("leads_retrieval")}
    finding = run_check(review_is_approved, INCONCLUSIVE, *words, answers=answers)
    assert wording("findings.review-unknown") in finding.limits[0]


@pytest.mark.parametrize(
    ("check", "listed", "words"),
    [
        # A public_profile that is not listed proves nothing, as it is granted without review.
        (
            public_profile_is_live,
            responds(statuses(email="live")),
            [
                wording("findings.permission-not-live", names="public_profile"),
                wording("findings.permission-not-live-absence"),
                "App Review > Permissions and Features",
            ],
        ),
        # Each missing permission is named, dependencies included.
        *(
            (
                permissions_are_requested,
                lists_all_but(absent),
                [wording("findings.permission-not-live", names=absent), "Live: "],
            )
            for absent in ("leads_retrieval", "ads_read")
        ),
    ],
)
def test_an_unlisted_permission_is_inconclusive(
    run_check: RunCheck, check: Check, listed: Responder, words: list[str]
) -> None:
    """An unlisted permission is named and proves nothing."""
    run_check(check, INCONCLUSIVE, *words, answers={EDGE: listed})


def test_an_empty_list_is_inconclusive(run_check: RunCheck) -> None:
    """If the list is empty, each permission is named as missing and none as live."""
    said = wording("findings.permission-not-live", names=", ".join(WANTED))
    finding = run_check(
        review_is_approved, INCONCLUSIVE, said, answers={EDGE: responds(statuses())}
    )
    assert "Live:" not in finding.reason


@pytest.mark.parametrize("check", [review_is_approved, permissions_are_requested])
def test_another_use_case_has_other_permissions(run_check: RunCheck, check: Check) -> None:
    """The wanted permissions are a parameter."""
    answers = {EDGE: responds(statuses(public_profile="live", ads_read="live"))}
    run_check(check, VERIFIED, answers=answers, permissions=("public_profile", "ads_read"))


every_check = pytest.mark.parametrize(
    "check", [public_profile_is_live, permissions_are_requested, review_is_approved]
)
TWICE = [*statuses(**dict.fromkeys(WANTED, "unapproved"))["data"], *statuses(**ALL_LIVE)["data"]]


@every_check
@pytest.mark.parametrize(
    ("answer", "end", "said"),
    [
        # Any status but exactly `live` is named and is inconclusive.
        *(
            (
                responds(statuses(**dict.fromkeys(WANTED, status))),
                INCONCLUSIVE,
                wording("findings.permission-not-live-as", status=status),
            )
            for status in ("unapproved", "Live", "granted", "pending")
        ),
        # A permission with two statuses decides nothing.
        (
            responds({"data": TWICE}),
            UnexpectedResponseError,
            wording("findings.unexpected-response-listed-live"),
        ),
    ],
)
def test_only_the_status_live_verifies(
    run_check: RunCheck, check: Check, answer: Responder, end: Any, said: str
) -> None:
    """Only the status `live` verifies, in each check."""
    run_check(check, end, said, answers={EDGE: answer})


@every_check
@pytest.mark.parametrize(
    "control", [responds(statuses(email="live")), responds({"data": []}), responds({})]
)
def test_a_made_up_app_must_have_no_permissions(
    run_check: RunCheck, check: Check, control: Responder
) -> None:
    """Unless Facebook refuses a made-up App ID, its list proves nothing about this app."""
    remote = FakeRemote()
    remote.on("/v26.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED))
    remote.on(EDGE, responds(statuses(**ALL_LIVE)))
    remote.on(f"/v26.0/{MADE_UP_APP}/permissions", control)
    said = wording("findings.unexpected-response-made-up-app")
    run_check(check, UnexpectedResponseError, said, session=session_to(remote))


def test_a_made_up_app_differs_in_its_id_alone(remote: FakeRemote, context: CheckContext) -> None:
    """The control is the request about the app, with another id in the address and nothing else."""
    remote.on(EDGE, responds(statuses(**ALL_LIVE)))

    assert review_is_approved(context).outcome is VERIFIED
    app, control = remote.requests[-2:]
    assert str(control.url) == str(app.url).replace(APP_ID, MADE_UP_APP)
    assert control.headers["authorization"] == app.headers["authorization"]
