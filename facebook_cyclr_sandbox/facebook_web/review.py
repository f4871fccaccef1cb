"""
App Review: permissions and their access levels, the submission, its decision (graph §9).
"""

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import App, ReviewState
from facebook_cyclr_sandbox.state.required_actions import for_submission
from facebook_cyclr_sandbox.state.review import (
    DEPENDENCIES,
    REVIEW_DAYS,
    SECTIONS,
    SUBMISSION_IN_REVIEW,
    TEST_CALL_DAYS,
    decide,
    is_called_lately,
    plan,
    request_access,
)

_DAY = 86_400


@dashboard_router.route("GET", "/apps/{app_id}/app-review/permissions")
def list_permissions(visit: Visit, app_id: str) -> Reply:
    """Show Permissions and Features, with a search (graph §9)."""
    app = find_app(visit, app_id)
    wanted = visit.query("q").strip().lower()
    now = visit.world.now()
    names = sorted(name for name in app.available_permissions if wanted in name)
    lacking = {name for name in names if not is_called_lately(app, name, now)}
    labels = {name: _label(app, name) for name in names}
    return app_page(
        visit,
        app,
        "permissions.html",
        names=names,
        labels=labels,
        lacking=lacking,
        wanted=wanted,
        days=TEST_CALL_DAYS,
    )


def _label(app: App, permission: str) -> str:
    """Return the name of the button that asks for Advanced Access."""
    if permission in app.declined:
        return "Request again"
    if app.is_classic:
        return "Get Advanced Access"
    return "Increase access" if permission == "public_profile" else "Request advanced access"


@dashboard_router.route("GET POST", "/apps/{app_id}/app-review/access/{permission}")
def get_advanced_access(visit: Visit, app_id: str, permission: str) -> Reply:
    """Show or accept the request for Advanced Access, or say why it is grey (graph §9)."""
    app = find_app(visit, app_id)
    if permission not in app.available_permissions:
        raise MissingPageError("The app has no such permission: see Use cases > Customize.")
    needed = [*DEPENDENCIES.get(permission, ()), permission]
    needed = [name for name in needed if app.permissions.get(name) != "live"]
    lacking = [name for name in needed if not is_called_lately(app, name, visit.world.now())]
    is_reviewed_now = app.review.state is ReviewState.PENDING and permission != "public_profile"
    is_refused = bool(lacking) or is_reviewed_now
    is_asked = visit.request.method == "POST" and "confirmed" in visit.request.form
    if is_asked and not is_refused:
        request_access(app, permission)
        granted = app.permissions[permission] == "live"
        notice = "is granted" if granted else "is requested: go on with Edit App Review Request"
        path = f"/apps/{app.id}/app-review/permissions/"
        return see_other(path, f"Advanced Access to {permission} {notice}.")
    return app_page(
        visit,
        app,
        "advanced_access.html",
        400 if is_asked else 200,
        permission=permission,
        label=_label(app, permission),
        dependencies=DEPENDENCIES.get(permission, ()),
        lacking=lacking,
        problem=SUBMISSION_IN_REVIEW if is_reviewed_now else "",
        days=TEST_CALL_DAYS,
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/app-review/request")
def edit_review_request(visit: Visit, app_id: str) -> Reply:
    """Show or submit Edit App Review Request, with its checklist (graph §9)."""
    app = find_app(visit, app_id)
    checklist = for_submission(app, visit.world.facebook.business)
    missing: list[str] = []
    is_asked = visit.request.method == "POST"
    if is_asked and app.review.state is not ReviewState.PENDING:
        sections = {name: visit.text(name) for name in SECTIONS}
        missing = _submit(visit, app, sections, checklist)
        if not missing:
            path = f"/apps/{app.id}/app-review/requests/"
            return see_other(path, "Your request is submitted for review.")
    return app_page(
        visit,
        app,
        "review_request.html",
        400 if is_asked else 200,
        sections=SECTIONS,
        missing=missing,
        checklist=checklist,
        problem=SUBMISSION_IN_REVIEW if app.review.state is ReviewState.PENDING else "",
    )


def _submit(visit: Visit, app: App, sections: dict[str, str], checklist: list[str]) -> list[str]:
    """Submit the request; return what prevents it, or nothing."""
    if app.review.state is not ReviewState.DRAFT:
        return ["Request a permission first: Permissions and Features."]
    app.review.sections = sections
    missing = [title for name, title in SECTIONS.items() if not sections[name]]
    if missing or checklist:
        return [*missing, *checklist]
    app.review.state, app.review.submitted_on = ReviewState.PENDING, visit.world.now()
    plan(app.review, visit.world.dice)
    return []


@dashboard_router.route("GET", "/apps/{app_id}/app-review/requests")
@dashboard_router.route("GET", "/apps/{app_id}/app-review/submissions")
def show_review(visit: Visit, app_id: str) -> Reply:
    """Show the state of the review, and the control that advances the clock (graph §9)."""
    app = find_app(visit, app_id)
    return app_page(visit, app, "review_state.html", days=REVIEW_DAYS)


@dashboard_router.route("POST", "/apps/{app_id}/app-review/later")
def let_days_pass(visit: Visit, app_id: str) -> Reply:
    """Advance the clock to the decision of the review (graph §9; a sandbox control)."""
    app, world = find_app(visit, app_id), visit.world
    path, review = f"/apps/{app.id}/app-review/requests/", app.review
    if review.state is not ReviewState.PENDING:
        return see_other(path, "There is no request under review.")
    left = max((review.decides_on or 0) - world.now(), 0)
    world.offset += left + 1
    outcome = visit.text("outcome")
    declined = visit.request.lists.get("declined", ())
    outcomes = {
        permission: "declined" for permission in review.permissions if permission in declined
    }
    if outcome == "declined":
        outcomes = dict.fromkeys(review.permissions, "declined")
    decide(app, review.drawn if outcome == "drawn" else outcomes, visit.text("reason"))
    days = round(left / _DAY)
    return see_other(path, f"{days} days later: the review is {review.state.value}.")
