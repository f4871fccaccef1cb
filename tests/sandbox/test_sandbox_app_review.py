"""App Review as it is in 2026: test calls first, a checklist, a decision for each permission."""

from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.state.facebook_state import (
    RENEWAL_SECTIONS,
    DataAccessRenewal,
    ReviewState,
    VerificationStatus,
)
from facebook_cyclr_sandbox.state.review import DECLINED_REASON, REVIEW_DAYS
from tests.support.wording import wording

from .conftest import Browse, Browser, Open, Start, app_of, dialog, list_live_permissions

REVIEW_SECTIONS = dict.fromkeys(
    ("verification", "usage", "data_handling", "screencast"), "as asked"
)
DAY_SECONDS = 86_400


def enter(browser: Browser, path: str) -> str:
    """Open a page of the scenario's app, logging in on the way; return the app's address."""
    base = f"/apps/{browser.given['app_id']}"
    browser.enter(f"{base}/{path}")
    return base


def test_access_is_grey_until_the_permission_was_used(
    start: Start, browse: Browse, graph_of: Open
) -> None:
    """A button is disabled, and its POST refused with the reason, until a call succeeded."""
    sandbox = start("test-calls-missing")
    browser = browse(sandbox)
    graph = graph_of(sandbox)
    base = enter(browser, "app-review/permissions/?q=ads_read")
    grey = 'disabled aria-label="Request advanced access to ads_read"'
    assert grey in browser.page.text
    page = browser.submit(f"{base}/app-review/access/ads_read/", confirmed="1")
    assert browser.page.status_code == 400
    assert wording("sandbox.no-successful-call", permission="ads_read") in page
    assert "ads_read" not in app_of(sandbox).permissions
    assert graph.get("me/adaccounts").status_code == 200
    assert grey not in browser.open(f"{base}/app-review/permissions/?q=ads_read")
    browser.submit(f"{base}/app-review/access/ads_read/", confirmed="1")
    assert app_of(sandbox).permissions["ads_read"] == "unapproved"


def test_public_profile_needs_no_test_call(start: Start, browse: Browse) -> None:
    """Access to public_profile can be increased at once, and is granted."""
    browser = browse(start("test-calls-missing"))
    base = enter(browser, "app-review/permissions/?q=public_profile")
    assert wording("sandbox.increase-access", permission="public_profile") in browser.page.text
    page = browser.submit(f"{base}/app-review/access/public_profile/", confirmed="1")
    assert wording("sandbox.access-granted", permission="public_profile") in page


def test_a_test_call_counts_for_thirty_days(start: Start, browse: Browse) -> None:
    """A call that is older than thirty days does not count any more."""
    browser = browse(start("review-declined"))
    browser.sandbox.state.offset += 27 * DAY_SECONDS
    base = enter(browser, "app-review/permissions/")
    page = browser.submit(f"{base}/app-review/access/leads_retrieval/", confirmed="1")
    assert wording("sandbox.no-successful-call", permission="ads_management") in page
    assert "leads_retrieval." in page


def test_one_submission_at_a_time(start: Start, browse: Browse) -> None:
    """While a submission is in review, another one and further permissions are refused."""
    sandbox = start("review-pending")
    browser = browse(sandbox)
    base = enter(browser, "app-review/request/")
    refusal = "Cannot submit to App Review while a previous submission is in review"
    assert refusal in browser.page.text
    before = app_of(sandbox).review
    assert refusal in browser.submit(f"{base}/app-review/request/", **REVIEW_SECTIONS)
    assert browser.page.status_code == 400
    app_of(sandbox).test_calls["email"] = sandbox.state.now()
    page = browser.submit(f"{base}/app-review/access/email/", confirmed="1")
    assert browser.page.status_code == 400
    assert refusal in page
    assert "email" not in app_of(sandbox).permissions
    assert app_of(sandbox).review is before


def test_days_and_outcomes_are_drawn(start: Start) -> None:
    """The same seed draws the same decision, on one of the days that were seen."""
    days = set()
    for seed in range(20):
        first, second = (start("review-pending", seed=seed) for _ in range(2))
        review = app_of(first).review
        assert review.planned_outcomes == app_of(second).review.planned_outcomes
        assert set(review.planned_outcomes) == set(review.permissions)
        days.add(round(((review.decides_on or 0) - (review.submitted_on or 0)) / DAY_SECONDS))
    assert len(days) > 1
    assert days <= set(REVIEW_DAYS)


def test_the_clock_decides(start: Start, graph_of: Open) -> None:
    """Nothing is visible before the day; on it, each permission is approved or declined."""
    sandbox = start("review-pending", seed=3)
    graph = graph_of(sandbox)
    review = app_of(sandbox).review
    review.planned_outcomes["leads_retrieval"] = "declined"
    review.planned_outcomes["ads_read"] = "approved"
    sandbox.state.offset = (review.decides_on or 0) - sandbox.state.clock() - 60
    assert list_live_permissions(graph) == set()
    assert app_of(sandbox).review.state is ReviewState.PENDING
    sandbox.state.offset += 61
    assert list_live_permissions(graph) == {
        "public_profile",
        *(name for name, outcome in review.planned_outcomes.items() if outcome == "approved"),
    }
    assert app_of(sandbox).decline_reasons["leads_retrieval"] == DECLINED_REASON


def test_days_pass_up_to_the_decision(start: Start, browse: Browse) -> None:
    """The button moves the clock to the decision; single permissions can be declined."""
    sandbox = start("review-pending", seed=4)
    browser = browse(sandbox)
    review = app_of(sandbox).review
    base = enter(browser, "app-review/requests/")
    page = browser.submit(
        f"{base}/app-review/later/", outcome="approved", declined=["leads_retrieval"]
    )
    assert wording("sandbox.review-is", outcome="partly declined") in page
    assert "Screencast Not Aligned with Use Case Details" in page
    assert abs(sandbox.state.now() - (review.decides_on or 0)) < 60
    app = app_of(sandbox)
    assert (app.permissions["leads_retrieval"], app.permissions["ads_read"]) == (
        "unapproved",
        "live",
    )


def test_chance_can_decide(start: Start, browse: Browse) -> None:
    """With `planned_outcomes` the decision is the one that was drawn at the submission."""
    sandbox = start("review-pending", seed=5)
    browser = browse(sandbox)
    review = app_of(sandbox).review
    base = enter(browser, "app-review/requests/")
    browser.submit(f"{base}/app-review/later/", outcome="drawn")
    assert app_of(sandbox).review.outcomes == review.planned_outcomes


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"outcome": "approved"}, set()),
        ({"outcome": "declined", "reason": "Too dark."}, {"leads_retrieval", "ads_read"}),
        ({"permissions": {"leads_retrieval": "declined"}}, {"leads_retrieval"}),
        (
            {"outcome": "declined", "permissions": {"ads_read": "approved"}},
            {"leads_retrieval"},
        ),
    ],
)
def test_tests_decide_per_permission(
    start: Start, graph_of: Open, document: dict[str, Any], expected: set[str]
) -> None:
    """`/_sandbox/review` takes an outcome for all, and others by permission."""
    graph = graph_of(start("review-pending"))
    response = graph.http.post(f"{graph.given['graph_url']}/_sandbox/review", json=document)
    assert response.json() == {"decided": [graph.given["app_id"]]}
    assert {"leads_retrieval", "ads_read"} - list_live_permissions(graph) == expected
    if "reason" in document:
        assert set(app_of(graph.sandbox).decline_reasons.values()) == {"Too dark."}


def test_an_unknown_outcome_decides_nothing(start: Start, graph_of: Open) -> None:
    """A wrong outcome of one permission is refused, and the submission stays in review."""
    graph = graph_of(start("review-pending"))
    url = f"{graph.given['graph_url']}/_sandbox/review"
    for document in ({"permissions": {"ads_read": "perhaps"}}, {"permissions": ["ads_read"]}, {}):
        assert graph.http.post(url, json=document).status_code == 400
    assert app_of(graph.sandbox).review.state is ReviewState.PENDING


# --- Data Access Renewal ------------------------------------------------------------------------
OPEN = "Complete data access renewal requirements to submit for App Review."
DEACTIVATED = "API access deactivated. To reactivate, go to the app dashboard."


def test_an_open_renewal_prevents_submission_and_publishing(start: Start, browse: Browse) -> None:
    """While it is open, nothing is submitted or published; other open items are named beside it."""
    sandbox = start("review-declined")
    app = app_of(sandbox)
    browser = browse(sandbox)
    app.renewal = DataAccessRenewal(sandbox.state.now())
    base = enter(browser, "app-review/permissions/")
    browser.submit(f"{base}/app-review/access/leads_retrieval/", confirmed="1")
    page = browser.open(f"{base}/app-review/request/")
    assert '<button type="submit" disabled>Submit for Review</button>' in page
    assert OPEN in page
    assert OPEN in browser.submit(f"{base}/app-review/request/", **REVIEW_SECTIONS)
    assert app.review.state is ReviewState.DRAFT
    assert wording("sandbox.complete-the-renewal") in browser.submit(f"{base}/go_live/")
    assert not app.is_published
    assert app.renewal.due_on == app.renewal.requested_on + 60 * DAY_SECONDS

    app.profile["privacy_policy_url"] = ""
    sandbox.state.facebook.business.verification = VerificationStatus.PENDING
    page = browser.submit(f"{base}/app-review/request/", **REVIEW_SECTIONS)
    assert browser.page.status_code == 400
    for text in (OPEN, "Privacy Policy URL", "Business Verification"):
        assert text in page
    assert app.review.state is ReviewState.DRAFT


def test_an_overdue_renewal_deactivates_its_app(
    start: Start, browse: Browse, graph_of: Open, http: httpx.Client
) -> None:
    """After 60 days the app is deactivated: no token, no sign-in, until all sections are done."""
    sandbox = start("approved")
    app = app_of(sandbox)
    graph = graph_of(sandbox)
    browser = browse(sandbox)
    app.renewal = DataAccessRenewal(sandbox.state.now() - 60 * DAY_SECONDS + 60)
    assert graph.get(app.id, "app").status_code == 200
    sandbox.state.offset += 120
    for kind in ("app", "user"):
        error = graph.get("me" if kind == "user" else app.id, kind).json()["error"]
        assert (error["message"], error["code"]) == (DEACTIVATED, 200)
    assert "App not active" in http.get(dialog(sandbox, scope="public_profile")).text

    base = enter(browser, "data-access-renewal/")
    assert wording("sandbox.deactivated-until-renewal") in browser.page.text
    page = browser.submit(f"{base}/data-access-renewal/", business_connection="1")
    assert wording("sandbox.saved-with-missing-sections") in page
    assert app.is_deactivated(sandbox.state.now())
    page = browser.submit(f"{base}/data-access-renewal/", **dict.fromkeys(RENEWAL_SECTIONS, "1"))
    assert wording("sandbox.renewal-complete") in page
    assert graph.get(app.id, "app").status_code == 200


def test_a_renewal_is_asked_of_a_new_app_only(start: Start, browse: Browse) -> None:
    """An app without a renewal has a page that says so; a deactivated app's renewal is overdue."""
    browser = browse(start("approved"))
    enter(browser, "data-access-renewal/")
    assert wording("sandbox.not-asked-of-this-app") in browser.page.text
    sandbox = start("renewal-due")
    app = app_of(sandbox)
    assert app.renewal is not None
    assert app.renewal.requested_on == app.created_on
    assert app.is_deactivated(sandbox.state.now())
