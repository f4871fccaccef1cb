"""
The App Dashboard, one page of forms, together with the OAuth dialog: `FacebookSite`.

Groups, fields and buttons have the documented names and today's content (graph §9). The design is
the sandbox's own. Each documented address opens the page at its group.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from facebook_cyclr_sandbox.facebook_web.dialog import handle_dialog, is_dialog
from facebook_cyclr_sandbox.graph.dispatch import handle_graph_call
from facebook_cyclr_sandbox.http.page_visit import (
    PageNotFoundError,
    PageVisit,
    handle_page_request,
    see_other,
)
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import (
    WebRequest,
    WebResponse,
    parse_form_fields,
    parse_web_url,
)
from facebook_cyclr_sandbox.state.facebook_state import (
    MESSENGER_FIELDS,
    RENEWAL_SECTIONS,
    App,
    AppMode,
    DataAccessRenewal,
    ReviewState,
    VerificationStatus,
)
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS, PERMISSIONS
from facebook_cyclr_sandbox.state.required_actions import (
    list_publishing_requirements,
    list_required_actions,
    list_submission_requirements,
)
from facebook_cyclr_sandbox.state.review import (
    DEPENDENCIES,
    REVIEW_DAYS,
    REVIEW_SECTIONS,
    SUBMISSION_IN_REVIEW,
    TEST_CALL_DAYS,
    decide,
    has_recent_test_call,
    request_advanced_access,
    schedule_decision,
)
from facebook_cyclr_sandbox.state.sandbox_state import DAY_SECONDS
from facebook_cyclr_sandbox.state.use_cases import USE_CASES, list_optional_permissions
from facebook_cyclr_sandbox.state.version_schedule import API_VERSIONS


def find_app(visit: PageVisit, app_id: str) -> App:
    """Return an app of the person who is logged in."""
    app = visit.state.facebook.apps.get(app_id)
    if app is None or visit.person.id not in app.roles:
        raise PageNotFoundError("You have no app with this App ID.")
    return app


dashboard_router = Router(app_id=find_app)


def list_own_apps(visit: PageVisit) -> list[App]:
    """Return the apps on which the person has a role."""
    apps = visit.state.facebook.apps.values()
    return [app for app in apps if visit.person.id in app.roles]


def grant_permissions(visit: PageVisit, app: App, permissions: Iterable[str]) -> None:
    """Grant `permissions` of the person to the app."""
    key = (visit.person.id, app.id)
    granted = visit.state.facebook.grants.setdefault(key, {})
    granted |= dict.fromkeys(permissions, "granted")


# --- the page --------------------------------------------------------------------------------
_VERIFICATION_DAYS = 5
_VERIFICATIONS = {"business": "Business Verification", "access": "Access Verification"}
_PRODUCTS = {
    "facebook_login": "Facebook Login",
    "marketing_api": "Marketing API",
    "messenger": "Facebook Messenger",
    "webhooks": "Webhooks",
}
_ACCOUNT_GROUPS = {"apps": "My Apps", "create": "Create App", "explorer": "Graph API Explorer"}
_REGISTRATION = {"registration": "Developer account"}
# Address in an app's dashboard → the group at which the page opens.
_GROUPS = {
    "dashboard": "dashboard",
    "use_cases": "use-cases",
    "settings/basic": "settings-basic",
    "settings/advanced": "settings-advanced",
    "roles/roles": "roles",
    "fb-login/settings": "login",
    "business-login/settings": "login",
    "messenger/settings": "messenger",
    "app-review/permissions": "permissions",
    "app-review/access/{permission}": "permissions",
    "app-review/request": "review-request",
    "app-review/requests": "review",
    "app-review/submissions": "review",
    "data-access-renewal": "renewal",
    "verification": "verification",
    "go_live": "publish",
}


def _build_menu(app: App) -> dict[str, str]:
    """Return the groups that an app has, with their names in the menu."""
    menu = {
        "dashboard": "Dashboard",
        "use-cases": "Use cases",
        "settings-basic": "Settings > Basic",
        "settings-advanced": "Settings > Advanced",
        "roles": "App roles",
        "login": f"{_get_login_name(app)} > Settings",
        "messenger": "Facebook Messenger > Settings",
        "permissions": "Permissions and Features",
        "review-request": "App Review Request",
        "review": "App Review > Requests",
        "renewal": "Data Access Renewal",
        "verification": "Verification",
        "publish": "Publish",
    }
    if not _get_login_name(app):
        menu.pop("login")
    if "messenger" not in app.products:
        menu.pop("messenger")
    if app.is_classic:
        menu.pop("publish")
    return menu


def _render_app(
    visit: PageVisit, app: App, group: str, problem: str = "", **more: Any
) -> WebResponse:
    """Return the page of an app, open at `group`."""
    menu = _build_menu(app)
    is_refused = bool(problem or more.get("missing"))
    if group not in menu:
        problem = "The app has no such settings yet: set the product up first."
        group = "dashboard"
    facebook = visit.state.facebook
    now = visit.state.now()
    business = facebook.business
    labels = {name: _choose_access_label(app, name) for name in sorted(app.available_permissions)}
    renewal = app.renewal
    known = {
        "app": app,
        "entries": list(menu.items()),
        "current": group,
        "problem": problem,
        "actions": list_required_actions(app, business),
        "products": _PRODUCTS,
        "cases": [USE_CASES[name] for name in app.use_cases],
        "others": [name for name in USE_CASES if name not in app.use_cases],
        "secret": "",
        "urls": _URLS,
        "categories": _CATEGORIES,
        "versions": _list_offered_versions(app),
        "people": [facebook.people[person_id] for person_id in app.roles],
        "login_name": _get_login_name(app),
        "login_path": _get_login_path(app),
        "redirect_uris": "\n".join(app.redirect_uris),
        "checked": "",
        "switches": _SWITCHES,
        "locked": _LOCKED,
        "pages": facebook.pages,
        "page_token": "",
        "labels": labels,
        "lacking": {name for name in labels if not has_recent_test_call(app, name, now)},
        "days": TEST_CALL_DAYS,
        "sections": REVIEW_SECTIONS,
        "missing": [],
        "checklist": list_submission_requirements(app, business),
        "in_review": SUBMISSION_IN_REVIEW,
        "review_days": REVIEW_DAYS,
        "titles": RENEWAL_SECTIONS,
        "due": f"{datetime.fromtimestamp(renewal.due_on, UTC):%d %B %Y}" if renewal else "",
        "is_deactivated": app.is_deactivated(now),
        "business": business,
        "verifications": [
            ("business", _VERIFICATIONS["business"], business.verification.value),
            ("access", _VERIFICATIONS["access"], business.access_verification.value),
        ],
        "verification_days": _VERIFICATION_DAYS,
        "unpublished": list_publishing_requirements(app),
    }
    return visit.render("facebook.html", 400 if is_refused else 200, **{**known, **more})


def _make_group_handler(group: str) -> Callable[..., WebResponse]:
    def show(visit: PageVisit, app: App, permission: str = "") -> WebResponse:
        """Show the app's page at one of its groups (graph §9)."""
        if permission:
            _require_permission(app, permission)
        return _render_app(visit, app, group)

    return show


for _path, _group in _GROUPS.items():
    dashboard_router.route("GET", f"/apps/{{app_id}}/{_path}")(_make_group_handler(_group))


def _render_start(visit: PageVisit, group: str, problem: str = "", **more: Any) -> WebResponse:
    """Return the page without an app, open at `group`, or at the registration."""
    is_developer = visit.person.is_developer
    known = {
        "app": None,
        "entries": list((_ACCOUNT_GROUPS if is_developer else _REGISTRATION).items()),
        "current": group if is_developer else "registration",
        "problem": problem,
        "is_customer": visit.person is visit.state.facebook.customer,
        "apps": list_own_apps(visit),
        "answers": dict.fromkeys(_ANSWERS, ""),
        "use_cases": USE_CASE_CHOICES,
        "types": TYPES,
        "purposes": PURPOSES,
        "token": "",
        "path": "me",
        "answer": "",
        "permissions": PERMISSIONS,
    }
    return visit.render("facebook.html", 400 if problem else 200, **{**known, **more})


# --- apps, and how one is created ------------------------------------------------------------
_MAX_APPS = 15
_MAX_NAME_CHARACTERS = 100
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")
_ANSWERS = ("use_case", "type", "name", "contact_email", "purpose")

OTHER = "Other"
USE_CASE_CHOICES = (*USE_CASES, OTHER)
TYPES = ("Business", "Consumer")
PURPOSES = ("Yourself or your own business", "Clients")


@dashboard_router.route("GET", "/")
@dashboard_router.route("GET", "/apps")
@dashboard_router.route("GET", "/async/registration")
def list_apps(visit: PageVisit) -> WebResponse:
    """Show My Apps, or the registration to a person who is not a developer yet (graph §9)."""
    return _render_start(visit, "apps")


@dashboard_router.route("POST", "/async/registration")
def register_developer(visit: PageVisit) -> WebResponse:
    """Make the person a Facebook developer; the customer stays one (graph §9)."""
    if visit.person is visit.state.facebook.customer:
        return _render_start(visit, "registration")
    visit.person.is_developer = True
    return see_other("/apps/", "You are registered as a developer.")


@dashboard_router.route("GET POST", "/apps/creation")
def create_app(visit: PageVisit) -> WebResponse:
    """Show Create App, or create an app with the person's password (graph §9)."""
    if visit.request.method == "GET" or not visit.person.is_developer:
        return _render_start(visit, "create")
    answers = {name: visit.get_form_text(name) for name in _ANSWERS}
    case = USE_CASES.get(answers["use_case"])
    problem = _find_form_problem(visit, answers)
    if problem:
        return _render_start(visit, "create", problem, answers=answers)
    app = visit.state.register_app(answers["name"])
    app.contact_email = answers["contact_email"]
    if case is None:
        app.type = answers["type"]
        app.purpose = answers["purpose"]
        app.mode = AppMode.LIVE if app.type == "Business" else AppMode.DEVELOPMENT
    else:
        app.use_cases = [case.name]
        app.products = set(case.products)
        app.mode = AppMode.DEVELOPMENT
    app.renewal = DataAccessRenewal(visit.state.now())
    return see_other(f"/apps/{app.id}/dashboard/", "Your app is created.")


def _find_form_problem(visit: PageVisit, answers: dict[str, str]) -> str:
    """Return the first problem of the form, or an empty string."""
    is_classic = answers["use_case"] not in USE_CASES
    checks = (
        (answers["use_case"] in USE_CASE_CHOICES, "Select a use case."),
        (
            0 < len(answers["name"]) <= _MAX_NAME_CHARACTERS,
            "Enter an App Display Name of 100 letters.",
        ),
        (_EMAIL.match(answers["contact_email"]), "Enter an App Contact Email."),
        (not is_classic or answers["type"] in TYPES, "Select an app type."),
        (not is_classic or answers["purpose"] in PURPOSES, "Select an App Purpose."),
        (visit.has_right_password, "That is not the invented person's password."),
        (len(visit.state.facebook.apps) < _MAX_APPS, "You have 15 apps already."),
    )
    return next((problem for is_right, problem in checks if not is_right), "")


@dashboard_router.route("GET", "/apps/{app_id}")
def open_app(_visit: PageVisit, app: App) -> WebResponse:
    """Redirect to the app's first group (graph §9)."""
    return see_other(f"/apps/{app.id}/dashboard/")


@dashboard_router.route("POST", "/apps/{app_id}/products/{product}")
def set_up_product(_visit: PageVisit, app: App, product: str) -> WebResponse:
    """Set a product up (graph §9)."""
    if product not in _PRODUCTS:
        raise PageNotFoundError("There is no such product.")
    app.products.add(product)
    return see_other(f"/apps/{app.id}/dashboard/", f"{_PRODUCTS[product]} is added to your app.")


# --- App Settings and roles ------------------------------------------------------------------
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")
_MAX_VALUES = 50
_CATEGORIES = ("Business", "Education", "Shopping", "Utility and Productivity")
_URLS = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "website_url": "Site URL",
}


@dashboard_router.route("POST", "/apps/{app_id}/settings/basic")
def set_basics(visit: PageVisit, app: App) -> WebResponse:
    """Save Settings > Basic (graph §9)."""
    domains = [
        domain
        for domain in re.split(r"[,\s]+", visit.get_form_text("app_domains").lower())
        if domain
    ]
    wrong = [domain for domain in domains if not _HOST.match(domain)]
    wrong += [
        _URLS[name]
        for name in _URLS
        if visit.get_form_text(name) and not parse_web_url(visit.get_form_text(name))
    ]
    if wrong or not visit.get_form_text("name") or len(domains) > _MAX_VALUES:
        problem = f"Not valid: {', '.join(wrong) or 'App Display Name, App Domains'}."
        return _render_app(visit, app, "settings-basic", problem)
    app.name = visit.get_form_text("name")
    app.contact_email = visit.get_form_text("contact_email")
    app.app_domains = domains
    app.category = (
        visit.get_form_text("category")
        if visit.get_form_text("category") in _CATEGORIES
        else app.category
    )
    app.profile |= {name: visit.get_form_text(name) for name in (*_URLS, "user_support_email")}
    app.dashboard_settings["data_deletion_url"] = visit.get_form_text("data_deletion_url")
    if visit.get_form_text("icon"):
        app.profile["icon_url"] = f"https://icons.partner.test/{app.id}-16.png"
        app.profile["logo_url"] = f"https://icons.partner.test/{app.id}.png"
    return see_other(f"/apps/{app.id}/settings/basic/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/settings/basic/secret")
def show_secret(visit: PageVisit, app: App) -> WebResponse:
    """Show the App Secret to a person who enters the password (graph §9)."""
    if not visit.has_right_password:
        problem = "That is not the invented person's password."
        return _render_app(visit, app, "settings-basic", problem)
    return _render_app(visit, app, "settings-basic", secret=app.secret)


def _list_offered_versions(app: App) -> list[str]:
    """Return the versions to which the app can be upgraded."""
    names = [version.name for version in API_VERSIONS]
    return [name for name in names if name >= app.version or name > "v24.0"][-4:]


@dashboard_router.route("POST", "/apps/{app_id}/settings/advanced")
def set_advanced(visit: PageVisit, app: App) -> WebResponse:
    """Save Settings > Advanced (graph §1)."""
    if visit.get_form_text("version") in _list_offered_versions(app):
        app.version = visit.get_form_text("version")
    app.requires_proof = "requires_proof" in visit.request.form
    return see_other(f"/apps/{app.id}/settings/advanced/", "Changes saved.")


# --- Facebook Login > Settings ---------------------------------------------------------------
_SWITCHES = {
    "client_oauth": "Client OAuth Login",
    "web_oauth": "Web OAuth Login",
    "enforce_https": "Enforce HTTPS",
    "strict_mode": "Use Strict Mode for Redirect URIs",
}
_LOCKED = frozenset({"enforce_https", "strict_mode"})


def _get_login_name(app: App) -> str:
    """Return the name of the app's log-in product; empty if it has none."""
    if "login_for_business" in app.products:
        return "Facebook Login for Business"
    return "Facebook Login" if "facebook_login" in app.products else ""


def _get_login_path(app: App) -> str:
    return "business-login" if "login_for_business" in app.products else "fb-login"


@dashboard_router.route("POST", "/apps/{app_id}/fb-login/settings")
@dashboard_router.route("POST", "/apps/{app_id}/business-login/settings")
def set_up_login(visit: PageVisit, app: App) -> WebResponse:
    """Save the log-in's settings, with the Valid OAuth Redirect URIs (graph §9)."""
    text = visit.get_form_text("redirect_uris")
    uris = list(dict.fromkeys(text.split()))
    wrong = []
    for uri in uris:
        parts = parse_web_url(uri)
        if parts is None or parts.scheme != "https" or parts.fragment:
            wrong.append(uri)
    if wrong or len(uris) > _MAX_VALUES:
        problem = f"Not a secure URI: {', '.join(wrong)}" if wrong else "Too many URIs."
        return _render_app(visit, app, "login", problem, redirect_uris=text)
    app.redirect_uris = uris
    for name in _SWITCHES:
        app.login_settings[name] = name in _LOCKED or name in visit.request.form
    return see_other(f"/apps/{app.id}/{_get_login_path(app)}/settings/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/fb-login/validator")
@dashboard_router.route("POST", "/apps/{app_id}/business-login/validator")
def validate_redirect_uri(visit: PageVisit, app: App) -> WebResponse:
    """Show whether a redirect URI is one of the Valid OAuth Redirect URIs (graph §9)."""
    return _render_app(visit, app, "login", checked=visit.get_form_text("redirect_uri"))


# --- use cases -------------------------------------------------------------------------------
@dashboard_router.route("POST", "/apps/{app_id}/use_cases/add")
def add_use_case(visit: PageVisit, app: App) -> WebResponse:
    """Add a use case to the app, with its products (graph §9)."""
    _require_use_cases(app)
    name = visit.get_form_text("use_case")
    if name not in USE_CASES:
        raise PageNotFoundError("There is no such use case.")
    if name not in app.use_cases:
        app.use_cases.append(name)
        app.products |= set(USE_CASES[name].products)
    return see_other(f"/apps/{app.id}/use_cases/", f"{name} is added to your app.")


@dashboard_router.route("POST", "/apps/{app_id}/use_cases/permissions/{permission}")
def add_permission(_visit: PageVisit, app: App, permission: str) -> WebResponse:
    """Add an optional permission that one of the use cases offers (graph §9)."""
    _require_use_cases(app)
    if permission not in list_optional_permissions(app.use_cases):
        raise PageNotFoundError("The app's use cases do not offer this permission.")
    if permission not in app.added_permissions:
        app.added_permissions.append(permission)
    return see_other(f"/apps/{app.id}/use_cases/", f"{permission} is added: ready for testing.")


def _require_use_cases(app: App) -> None:
    if app.is_classic:
        raise PageNotFoundError("This app was made by Other: it has a type and no use cases.")


# --- access tokens and Graph API Explorer ----------------------------------------------------
@dashboard_router.route("GET POST", "/tools/explorer")
@dashboard_router.route("GET", "/tools/accesstoken")
def explore(visit: PageVisit) -> WebResponse:
    """Issue a user token for one of the apps, or make a call with one (graph §9)."""
    token = visit.get_form_text("access_token")
    answer = ""
    if visit.request.method == "POST" and "path" in visit.request.form:
        path, _, query = visit.get_form_text("path").partition("?")
        params = {**dict(parse_form_fields(query)), "access_token": token}
        response = handle_graph_call(visit.state, "GET", f"/v26.0/{path.lstrip('/')}", params)
        answer = json.dumps(json.loads(response.body), indent=1, ensure_ascii=False)
    elif visit.request.method == "POST":
        app = find_app(visit, visit.get_form_text("app_id"))
        permissions = tuple(name for name in PERMISSIONS if name in app.available_permissions)
        grant_permissions(visit, app, permissions)
        token = visit.state.issue_user_token(app, visit.person.id, permissions).value
    path = visit.get_form_text("path") or "me"
    return _render_start(visit, "explorer", token=token, path=path, answer=answer)


# --- App Review ------------------------------------------------------------------------------
def _choose_access_label(app: App, permission: str) -> str:
    """Return the name of the button that asks for Advanced Access."""
    if permission in app.decline_reasons:
        return "Request again"
    if app.is_classic:
        return "Get Advanced Access"
    return "Increase access" if permission == "public_profile" else "Request advanced access"


def _require_permission(app: App, permission: str) -> None:
    if permission not in app.available_permissions:
        raise PageNotFoundError("The app has no such permission: see Use cases > Customize.")


@dashboard_router.route("POST", "/apps/{app_id}/app-review/access/{permission}")
def get_advanced_access(visit: PageVisit, app: App, permission: str) -> WebResponse:
    """Request Advanced Access, or show why that is not possible (graph §9)."""
    _require_permission(app, permission)
    needed = [*DEPENDENCIES.get(permission, ()), permission]
    needed = [name for name in needed if app.permissions.get(name) != "live"]
    lacking = [name for name in needed if not has_recent_test_call(app, name, visit.state.now())]
    if app.review.state is ReviewState.PENDING and permission != "public_profile":
        return _render_app(visit, app, "permissions", f"{SUBMISSION_IN_REVIEW}.")
    if lacking:
        problem = (
            f"Not possible yet: in the last {TEST_CALL_DAYS} days the app made no successful call "
            f"with {', '.join(lacking)}. Make one, for instance in Graph API Explorer."
        )
        return _render_app(visit, app, "permissions", problem)
    request_advanced_access(app, permission)
    granted = app.permissions[permission] == "live"
    notice = "is granted" if granted else "is requested: go on with Edit App Review Request"
    path = f"/apps/{app.id}/app-review/permissions/"
    return see_other(path, f"Advanced Access to {permission} {notice}.")


@dashboard_router.route("POST", "/apps/{app_id}/app-review/request")
def edit_review_request(visit: PageVisit, app: App) -> WebResponse:
    """Submit Edit App Review Request, with its checklist (graph §9)."""
    if app.review.state is ReviewState.PENDING:
        return _render_app(visit, app, "review-request", f"{SUBMISSION_IN_REVIEW}.")
    checklist = list_submission_requirements(app, visit.state.facebook.business)
    sections = {name: visit.get_form_text(name) for name in REVIEW_SECTIONS}
    missing = _submit_review_request(visit, app, sections, checklist)
    if missing:
        return _render_app(visit, app, "review-request", missing=missing)
    path = f"/apps/{app.id}/app-review/requests/"
    return see_other(path, "Your request is submitted for review.")


def _submit_review_request(
    visit: PageVisit, app: App, sections: dict[str, str], checklist: list[str]
) -> list[str]:
    """Submit the request; return the obstacles, if any."""
    if app.review.state is not ReviewState.DRAFT:
        return ["Request a permission first: Permissions and Features."]
    app.review.sections = sections
    missing = [title for name, title in REVIEW_SECTIONS.items() if not sections[name]]
    if missing or checklist:
        return [*missing, *checklist]
    app.review.state = ReviewState.PENDING
    app.review.submitted_on = visit.state.now()
    schedule_decision(app.review, visit.state.random_source)
    return []


@dashboard_router.route("POST", "/apps/{app_id}/app-review/later")
def advance_to_decision(visit: PageVisit, app: App) -> WebResponse:
    """Advance the clock to the decision of the review (graph §9; a sandbox control)."""
    state = visit.state
    review = app.review
    path = f"/apps/{app.id}/app-review/requests/"
    if review.state is not ReviewState.PENDING:
        return see_other(path, "There is no request under review.")
    left = max((review.decides_on or 0) - state.now(), 0)
    state.offset += left + 1
    outcome = visit.get_form_text("outcome")
    declined = visit.request.params.getlist("declined")
    outcomes = {
        permission: "declined" for permission in review.permissions if permission in declined
    }
    if outcome == "declined":
        outcomes = dict.fromkeys(review.permissions, "declined")
    decide(
        app,
        review.planned_outcomes if outcome == "drawn" else outcomes,
        visit.get_form_text("reason"),
    )
    days = round(left / DAY_SECONDS)
    return see_other(path, f"{days} days later: the review is {review.state.value}.")


# --- verification ----------------------------------------------------------------------------
@dashboard_router.route("POST", "/apps/{app_id}/verification/{kind}")
def start_verification(visit: PageVisit, app: App, kind: str) -> WebResponse:
    """Start one of the verifications; Access Verification needs the other one first (graph §9)."""
    business = visit.state.facebook.business
    here = f"/apps/{app.id}/verification/"
    if kind == "later":
        # A control of the sandbox: advance the clock by five days, and complete pending ones.
        visit.state.offset += _VERIFICATION_DAYS * DAY_SECONDS
        if business.verification is VerificationStatus.PENDING:
            business.verification = VerificationStatus.VERIFIED
        if business.access_verification is VerificationStatus.PENDING:
            business.access_verification = VerificationStatus.VERIFIED
        return see_other(here, f"{_VERIFICATION_DAYS} days later.")
    if kind not in _VERIFICATIONS:
        raise PageNotFoundError("There is no such verification.")
    if kind == "access" and business.verification is not VerificationStatus.VERIFIED:
        return see_other(here, "Complete Business Verification first.")
    if kind == "business" and business.verification is VerificationStatus.NOT_STARTED:
        business.verification = VerificationStatus.PENDING
    if kind == "access" and business.access_verification is VerificationStatus.NOT_STARTED:
        business.access_verification = VerificationStatus.PENDING
    return see_other(here, f"{_VERIFICATIONS[kind]} is submitted.")


@dashboard_router.route("POST", "/apps/{app_id}/data-access-renewal")
def renew_data_access(visit: PageVisit, app: App) -> WebResponse:
    """Complete the sections of the Data Access Renewal that were confirmed (graph §9)."""
    renewal = app.renewal
    if renewal is None:
        return _render_app(visit, app, "renewal")
    renewal.sections |= set(visit.request.form) & set(RENEWAL_SECTIONS)
    notice = "complete" if renewal.is_done else "saved; sections are missing"
    path = f"/apps/{app.id}/data-access-renewal/"
    return see_other(path, f"The Data Access Renewal is {notice}.")


@dashboard_router.route("POST", "/apps/{app_id}/go_live")
def go_live(visit: PageVisit, app: App) -> WebResponse:
    """Publish the app, or show its required actions (graph §9)."""
    missing = list_publishing_requirements(app)
    if missing:
        return _render_app(visit, app, "publish", f"Not published: {' '.join(missing)}")
    app.mode = AppMode.LIVE
    return see_other(f"/apps/{app.id}/go_live/", "Your app is published.")


# --- Facebook Messenger > Settings -----------------------------------------------------------
@dashboard_router.route("POST", "/apps/{app_id}/messenger/settings")
def choose_pages(visit: PageVisit, app: App) -> WebResponse:
    """Save the pages that the app is used for (graph §9)."""
    if "messenger" not in app.products:
        return _render_app(visit, app, "messenger")
    chosen = visit.request.params.getlist("page")
    for page in visit.state.facebook.pages.values():
        if page.id in chosen:
            page.webhook_subscriptions.setdefault(app.id, MESSENGER_FIELDS)
        else:
            page.webhook_subscriptions.pop(app.id, None)
    if chosen:
        grant_permissions(visit, app, MESSENGER_PERMISSIONS)
    return see_other(f"/apps/{app.id}/messenger/settings/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/messenger/tokens/{page_id}")
def show_page_token(visit: PageVisit, app: App, page_id: str) -> WebResponse:
    """Show a page access token of a page that was added (messenger)."""
    facebook = visit.state.facebook
    page = facebook.pages.get(page_id)
    if page is None or app.id not in page.webhook_subscriptions:
        raise PageNotFoundError("This page was not added.")
    user = visit.state.issue_user_token(app, facebook.operator.id, MESSENGER_PERMISSIONS)
    token = visit.state.issue_page_token(user, page.id).value
    return _render_app(visit, app, "messenger", page_token=token)


# --- the site --------------------------------------------------------------------------------
class FacebookSite(Site):
    """www.facebook.com and developers.facebook.com in one."""

    name = "facebook"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to one request."""
        is_whole = not request.is_oversized and request.method in {"GET", "HEAD", "POST"}
        if is_dialog(request.path) and is_whole:
            return handle_dialog(self._state, request)
        return handle_page_request(
            self._state, request, dashboard_router, "Facebook for Developers"
        )
