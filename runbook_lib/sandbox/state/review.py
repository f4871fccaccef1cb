"""
App Review: what a request needs, and what a decision changes (graph §4, §9).

Graph lists only what was approved; the dashboard's pages show the rest.
"""

from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import App, Review, ReviewState

__all__ = ["DEPENDENCIES", "REVIEW_DAYS", "SECTIONS", "decide", "request_access", "submit"]

REVIEW_DAYS = 5

verbatim("graph §7", "what leads_retrieval depends on", "permission reference, quoted")
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

SECTIONS = {
    "verification": "App verification: how a reviewer can use the app",
    "usage": "Requested permissions: how each is used",
    "data_handling": "Data handling: who receives the data",
    "screencast": "Screencast: where it can be seen",
}
"""The sections of a review request that must be filled in."""


@verbatim("graph §9", "public_profile is granted automatically, others by App Review", "procedure")
@inferred("graph §7", "asking for leads_retrieval asks for what it depends on too")
@unknown("graph §9", "what the dashboard calls a requested permission until then: unapproved")
def request_access(app: App, permission: str) -> None:
    """Ask for Advanced Access to a permission."""
    if permission == "public_profile":
        app.permissions[permission] = "live"
        return
    for name in (*DEPENDENCIES.get(permission, ()), permission):
        if app.permissions.get(name) == "live":
            continue
        app.permissions[name] = "unapproved"
        if name not in app.review.permissions:
            app.review.permissions.append(name)
    if app.review.state is not ReviewState.PENDING:
        app.review.state = ReviewState.DRAFT


@unknown("graph §9", "the sections of a review request: four are asked for here")
def submit(app: App, sections: dict[str, str], now: float) -> list[str]:
    """Submit the request for review, unless sections are missing; return those."""
    app.review.sections = sections
    missing = [name for name in SECTIONS if not sections.get(name, "").strip()]
    if not missing:
        app.review.state = ReviewState.PENDING
        app.review.submitted_on = now
        app.review.reason = ""
    return missing


def decide(app: App, outcome: ReviewState, reason: str = "") -> None:
    """Approve or decline what was submitted; raise ValueError for any other outcome."""
    if outcome not in {ReviewState.APPROVED, ReviewState.DECLINED}:
        raise ValueError("outcome must be approved or declined")
    status = "live" if outcome is ReviewState.APPROVED else "unapproved"
    app.permissions |= dict.fromkeys(app.review.permissions, status)
    app.was_reviewed = True
    app.review = Review(
        outcome,
        reason if outcome is ReviewState.DECLINED else "",
        app.review.submitted_on,
        list(app.review.permissions),
        dict(app.review.sections),
    )
