"""
App Review: the requirements of a submission, its date of decision, and its effect (graph §9).

Facebook decides each permission by itself. Until then no API shows anything. Graph lists only
approved permissions; the dashboard's pages show the rest.
"""

from collections.abc import Mapping

from facebook_cyclr_sandbox.state.facebook_state import App, AppReview, ReviewState
from facebook_cyclr_sandbox.state.random_source import RandomSource

DAY_SECONDS = 86_400
TEST_CALL_DAYS = 30

REVIEW_DAYS = (1, 3, 6, 8, 22)
"""The days that reviews were seen to take."""

DECLINED_REASON = (
    "Screencast Not Aligned with Use Case Details (Developer Policy 1.6): show the whole Meta "
    "login, the screen that grants the permission, and how it is used from end to end, in "
    "English or with captions."
)
SUBMISSION_IN_REVIEW = "Cannot submit to App Review while a previous submission is in review"
_DECLINED_SHARE = 10 / 31

DEPENDENCIES: dict[str, tuple[str, ...]] = {
    "leads_retrieval": (
        "ads_management",
        "ads_read",
        "business_management",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    )
}
"""The permissions that are requested together with a permission."""

REVIEW_SECTIONS = {
    "verification": "App verification: how a reviewer can use the app",
    "usage": "Requested permissions: how each is used",
    "data_handling": "Data handling: who receives the data",
    "screencast": "Screencast: where it can be seen",
}
"""The sections of a review request that must be filled in."""


def has_recent_test_call(app: App, permission: str, now: float) -> bool:
    """Return whether the app called with `permission` lately: then it can be requested."""
    called_on = app.test_calls.get(permission)
    is_recent = called_on is not None and now - called_on <= TEST_CALL_DAYS * DAY_SECONDS
    return permission == "public_profile" or is_recent


def request_advanced_access(app: App, permission: str) -> None:
    """Request Advanced Access to a permission, with the permissions that it depends on."""
    if permission == "public_profile":
        app.permissions[permission] = "live"
        return
    if app.review.state is not ReviewState.DRAFT:
        app.review = AppReview(ReviewState.DRAFT, sections=dict(app.review.sections))
    available = set(app.available_permissions)
    for name in (*DEPENDENCIES.get(permission, ()), permission):
        if app.permissions.get(name) == "live" or name not in available:
            continue
        app.permissions[name] = "unapproved"
        if name not in app.review.permissions:
            app.review.permissions.append(name)


def schedule_decision(
    review: AppReview, random_source: RandomSource, *, days: tuple[int, ...] = REVIEW_DAYS
) -> None:
    """Draw the date and the outcomes of the decision; nobody sees them until then."""
    taken = days[int(random_source.fraction() * len(days))]
    review.decides_on = (review.submitted_on or 0) + taken * DAY_SECONDS
    review.planned_outcomes = {
        name: "declined" if random_source.fraction() < _DECLINED_SHARE else "approved"
        for name in review.permissions
    }


def publish_decision_if_due(app: App, now: float) -> None:
    """Publish the decision of a submission if it is due."""
    review = app.review
    is_due = review.decides_on is not None and review.decides_on <= now
    if review.state is ReviewState.PENDING and is_due:
        decide(app, review.planned_outcomes)


def decide(app: App, outcomes: Mapping[str, str], reason: str = "") -> None:
    """
    Approve or decline each permission of the submission.

    A permission that `outcomes` does not name is approved. Raises ValueError for any other
    outcome than approved and declined.
    """
    if any(outcome not in {"approved", "declined"} for outcome in outcomes.values()):
        raise ValueError("outcome must be approved or declined")
    review = app.review
    declined = [name for name in review.permissions if outcomes.get(name) == "declined"]
    app.has_been_reviewed = True
    for name in review.permissions:
        app.permissions[name] = "unapproved" if name in declined else "live"
        app.decline_reasons.pop(name, None)
    app.decline_reasons |= dict.fromkeys(declined, reason or DECLINED_REASON)
    review.reason = reason or DECLINED_REASON if declined else ""
    review.outcomes = {
        name: "declined" if name in declined else "approved" for name in review.permissions
    }
    if not declined:
        review.state = ReviewState.APPROVED
    elif len(declined) == len(review.permissions):
        review.state = ReviewState.DECLINED
    else:
        review.state = ReviewState.PARTLY_DECLINED
