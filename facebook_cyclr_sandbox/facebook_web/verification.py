"""
Verification, Data Access Renewal and Publish: what an app needs besides App Review.
"""

from datetime import UTC, datetime

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import RENEWAL_SECTIONS, AppMode, Verification
from facebook_cyclr_sandbox.state.required_actions import for_publishing

_DAYS = 5
_KINDS = {"business": "Business Verification", "access": "Access Verification"}


@dashboard_router.route("GET", "/apps/{app_id}/verification")
def show_verification(visit: Visit, app_id: str) -> Reply:
    """Show where the business's two verifications stand (graph §9)."""
    app, business = find_app(visit, app_id), visit.world.facebook.business
    return app_page(visit, app, "verification.html", business=business, days=_DAYS)


@dashboard_router.route("POST", "/apps/{app_id}/verification/{kind}")
def start_verification(visit: Visit, app_id: str, kind: str) -> Reply:
    """Start one of the verifications; Access Verification needs the other one first (graph §9)."""
    app, business = find_app(visit, app_id), visit.world.facebook.business
    here = f"/apps/{app.id}/verification/"
    if kind == "later":
        return let_verification_days_pass(visit, here)
    if kind not in _KINDS:
        raise MissingPageError("There is no such verification.")
    if kind == "access" and business.verification is not Verification.VERIFIED:
        return see_other(here, "Complete Business Verification first.")
    if kind == "business" and business.verification is Verification.NOT_STARTED:
        business.verification = Verification.PENDING
    if kind == "access" and business.access_verification is Verification.NOT_STARTED:
        business.access_verification = Verification.PENDING
    return see_other(here, f"{_KINDS[kind]} is submitted.")


def let_verification_days_pass(visit: Visit, here: str) -> Reply:
    """Advance the clock by five days, and complete what is pending (a sandbox control)."""
    business = visit.world.facebook.business
    visit.world.offset += _DAYS * 86_400
    if business.verification is Verification.PENDING:
        business.verification = Verification.VERIFIED
    if business.access_verification is Verification.PENDING:
        business.access_verification = Verification.VERIFIED
    return see_other(here, f"{_DAYS} days later.")


@dashboard_router.route("GET POST", "/apps/{app_id}/data-access-renewal")
def renew_data_access(visit: Visit, app_id: str) -> Reply:
    """Show the Data Access Renewal, or complete the sections that were confirmed (graph §9)."""
    app = find_app(visit, app_id)
    renewal = app.renewal
    if visit.request.method == "POST" and renewal is not None:
        renewal.sections |= set(visit.request.form) & set(RENEWAL_SECTIONS)
        notice = "complete" if renewal.is_done else "saved; sections are missing"
        path = f"/apps/{app.id}/data-access-renewal/"
        return see_other(path, f"The Data Access Renewal is {notice}.")
    due = f"{datetime.fromtimestamp(renewal.due_on, UTC):%d %B %Y}" if renewal else ""
    return app_page(
        visit,
        app,
        "data_access_renewal.html",
        titles=RENEWAL_SECTIONS,
        due=due,
        is_deactivated=app.is_deactivated(visit.world.now()),
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/go_live")
def go_live(visit: Visit, app_id: str) -> Reply:
    """Show what publishing needs, or publish the app (graph §9)."""
    app = find_app(visit, app_id)
    missing = for_publishing(app)
    if visit.request.method == "POST" and not missing:
        app.mode = AppMode.LIVE
        return see_other(f"/apps/{app.id}/go_live/", "Your app is published.")
    status = 400 if visit.request.method == "POST" else 200
    return app_page(visit, app, "go_live.html", status, missing=missing)
