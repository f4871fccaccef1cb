"""
The App Dashboard together with the OAuth dialog: `FacebookSite`.

Screens, fields and buttons have the documented names, and the content that they have today
(graph §9); the design is the sandbox's own.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from facebook_cyclr_sandbox.facebook_web.dialog import answer_dialog, is_dialog
from facebook_cyclr_sandbox.graph.dispatch import answer_graph
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, answer_visit, see_other
from facebook_cyclr_sandbox.http.routing import Router
from facebook_cyclr_sandbox.http.web import (
    Reply,
    Site,
    WebRequest,
    fields_of,
    redirect,
    web_address,
)
from facebook_cyclr_sandbox.state.facebook_world import (
    MESSENGER_FIELDS,
    RENEWAL_SECTIONS,
    App,
    AppMode,
    Renewal,
    ReviewState,
    Verification,
)
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS, PERMISSIONS
from facebook_cyclr_sandbox.state.required_actions import (
    for_publishing,
    for_submission,
    required_actions,
)
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
from facebook_cyclr_sandbox.state.use_cases import USE_CASES, optional
from facebook_cyclr_sandbox.state.versions import CALENDAR
from facebook_cyclr_sandbox.state.world import DAY


def find_app(visit: Visit, app_id: str) -> App:
    """Return an app of the person who is logged in."""
    app = visit.world.facebook.apps.get(app_id)
    if app is None or visit.person.id not in app.roles:
        raise MissingPageError("You have no app with this App ID.")
    return app


dashboard_router = Router(app_id=find_app)


def apps_of(visit: Visit) -> list[App]:
    """Return the apps on which the person has a role."""
    apps = visit.world.facebook.apps.values()
    return [app for app in apps if visit.person.id in app.roles]


def grant(visit: Visit, app: App, permissions: Iterable[str]) -> None:
    """Grant `permissions` of the person to the app."""
    key = (visit.person.id, app.id)
    granted = visit.world.facebook.grants.setdefault(key, {})
    granted |= dict.fromkeys(permissions, "granted")


# --- apps, and how one is created ------------------------------------------------------------
_MOST_APPS = 15
_LONGEST_NAME = 100
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")

OTHER = "Other"
OFFERED = (*USE_CASES, OTHER)
TYPES = ("Business", "Consumer")
PURPOSES = ("Yourself or your own business", "Clients")


@dashboard_router.route("GET", "/")
def show_start(_visit: Visit) -> Reply:
    """Redirect to My Apps (graph §9)."""
    return see_other("/apps/")


@dashboard_router.route("GET", "/apps")
def list_apps(visit: Visit) -> Reply:
    """Show My Apps, or the registration to a person who is not a developer yet (graph §9)."""
    if not visit.person.is_developer:
        return see_other("/async/registration/")
    return visit.page("apps.html", apps=apps_of(visit))


@dashboard_router.route("GET POST", "/async/registration")
def register(visit: Visit) -> Reply:
    """Make the person a Facebook developer; the customer stays one (graph §9)."""
    is_customer = visit.person is visit.world.facebook.customer
    if visit.request.method == "POST" and not is_customer:
        visit.person.is_developer = True
        return see_other("/apps/", "You are registered as a developer.")
    return visit.page("registration.html", is_customer=is_customer)


_ANSWERS = ("use_case", "type", "name", "contact_email", "purpose")
_FOLLOWING = {"use_case": "type", "type": "details", "details": "password"}


@dashboard_router.route("GET POST", "/apps/creation")
def create_app(visit: Visit) -> Reply:
    """Show the pages of Create App one by one; the last one asks for the password (graph §9)."""
    if not visit.person.is_developer:
        return see_other("/async/registration/")
    answers = {name: visit.text(name) for name in _ANSWERS}
    step = visit.text("step") or "use_case"
    if visit.request.method == "GET":
        return _creation(visit, "use_case", answers)
    problem = _missing(step, answers)
    if problem:
        return _creation(visit, step, answers, problem)
    if step == "password":
        return _create(visit, answers)
    if step == "use_case" and answers["use_case"] != OTHER:
        return _creation(visit, "details", {**answers, "type": "", "purpose": ""})
    return _creation(visit, _FOLLOWING[step], answers)


def _missing(step: str, answers: dict[str, str]) -> str:
    """Return what is wrong with the answers up to `step`, or an empty string."""
    name, is_classic = answers["name"], answers["use_case"] not in USE_CASES
    is_typed = not is_classic or answers["type"] in TYPES
    checks = {
        "use_case": ((answers["use_case"] in OFFERED, "Select a use case."),),
        "type": ((answers["type"] in TYPES, "Select an app type."),),
        "details": (
            (is_typed, "Select an app type."),
            (0 < len(name) <= _LONGEST_NAME, "Enter an App Display Name of 100 letters at most."),
            (_EMAIL.match(answers["contact_email"]), "Enter an App Contact Email."),
            (not is_classic or answers["purpose"] in PURPOSES, "Select an App Purpose."),
        ),
    }
    wanted = checks.get("details" if step == "password" else step, ((False, "Begin again."),))
    return next((problem for is_right, problem in wanted if not is_right), "")


def _creation(visit: Visit, step: str, answers: dict[str, str], problem: str = "") -> Reply:
    known = step if step in {*_FOLLOWING, "password"} else "use_case"
    return visit.page(
        "create_app.html",
        200 if not problem else 400,
        step=known,
        answers=answers,
        problem=problem,
        use_cases=OFFERED,
        types=TYPES,
        purposes=PURPOSES,
        is_classic=answers["use_case"] not in USE_CASES,
    )


def _create(visit: Visit, answers: dict[str, str]) -> Reply:
    if not visit.has_password:
        problem = "That is not the invented person's password."
        return _creation(visit, "password", answers, problem)
    if len(visit.world.facebook.apps) >= _MOST_APPS:
        return _creation(visit, "password", answers, "You have 15 apps already.")
    app = visit.world.register_app(answers["name"])
    app.contact_email, app.purpose = answers["contact_email"], answers["purpose"]
    case = USE_CASES.get(answers["use_case"])
    if case is None:
        app.type = answers["type"]
        app.mode = AppMode.LIVE if app.type == "Business" else AppMode.DEVELOPMENT
    else:
        app.use_cases, app.products = [case.name], set(case.products)
        app.mode = AppMode.DEVELOPMENT
    app.renewal = Renewal(visit.world.now())
    return see_other(f"/apps/{app.id}/dashboard/", "Your app is created.")


# --- the first page of an app ----------------------------------------------------------------
_PRODUCTS = {
    "facebook_login": "Facebook Login",
    "marketing_api": "Marketing API",
    "messenger": "Facebook Messenger",
    "webhooks": "Webhooks",
}


@dashboard_router.route("GET", "/apps/{app_id}")
def open_app(_visit: Visit, app: App) -> Reply:
    """Redirect to the app's first page (graph §9)."""
    return see_other(f"/apps/{app.id}/dashboard/")


@dashboard_router.route("GET", "/apps/{app_id}/dashboard")
def show_products(visit: Visit, app: App) -> Reply:
    """Show Add Products to Your App, or the use cases of an app that has them (graph §9)."""
    actions = required_actions(app, visit.world.facebook.business)
    template = "products.html" if app.is_classic else "app_dashboard.html"
    return visit.page(template, products=_PRODUCTS, actions=actions)


@dashboard_router.route("POST", "/apps/{app_id}/products/{product}")
def set_up_product(_visit: Visit, app: App, product: str) -> Reply:
    """Set a product up (graph §9)."""
    if product not in _PRODUCTS:
        raise MissingPageError("There is no such product.")
    app.products.add(product)
    return see_other(f"/apps/{app.id}/dashboard/", f"{_PRODUCTS[product]} is added to your app.")


# --- App Settings and roles ------------------------------------------------------------------
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")
_MOST_VALUES = 50
_CATEGORIES = ("Business", "Education", "Shopping", "Utility and Productivity")
_URLS = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "website_url": "Site URL",
}


@dashboard_router.route("GET POST", "/apps/{app_id}/settings/basic")
def set_basics(visit: Visit, app: App) -> Reply:
    """Show or save Settings > Basic (graph §9)."""
    if visit.request.method == "GET":
        return _basics(visit)
    domains = [
        domain for domain in re.split(r"[,\s]+", visit.text("app_domains").lower()) if domain
    ]
    wrong = [domain for domain in domains if not _HOST.match(domain)]
    wrong += [
        _URLS[name] for name in _URLS if visit.text(name) and not web_address(visit.text(name))
    ]
    if wrong or not visit.text("name") or len(domains) > _MOST_VALUES:
        problem = f"Not valid: {', '.join(wrong) or 'App Display Name, App Domains'}."
        return _basics(visit, problem)
    app.name, app.contact_email = visit.text("name"), visit.text("contact_email")
    app.app_domains = domains
    app.category = visit.text("category") if visit.text("category") in _CATEGORIES else app.category
    app.profile |= {name: visit.text(name) for name in (*_URLS, "user_support_email")}
    app.unexposed["data_deletion_url"] = visit.text("data_deletion_url")
    if visit.text("icon"):
        app.profile["icon_url"] = f"https://icons.partner.test/{app.id}-16.png"
        app.profile["logo_url"] = f"https://icons.partner.test/{app.id}.png"
    return see_other(f"/apps/{app.id}/settings/basic/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/settings/basic/secret")
def show_secret(visit: Visit, app: App) -> Reply:
    """Show the App Secret to a person who enters the password (graph §9)."""
    if not visit.has_password:
        return _basics(visit, "That is not the invented person's password.")
    return _basics(visit, secret=app.secret)


def _basics(visit: Visit, problem: str = "", secret: str = "") -> Reply:
    return visit.page(
        "settings_basic.html",
        400 if problem else 200,
        problem=problem,
        secret=secret,
        urls=_URLS,
        categories=_CATEGORIES,
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/settings/advanced")
def set_advanced(visit: Visit, app: App) -> Reply:
    """Show or save Settings > Advanced (graph §1)."""
    versions = [
        version.name
        for version in CALENDAR
        if version.name >= app.version or version.name > "v24.0"
    ][-4:]
    if visit.request.method == "POST":
        if visit.text("version") in versions:
            app.version = visit.text("version")
        app.requires_proof = "requires_proof" in visit.request.form
        return see_other(f"/apps/{app.id}/settings/advanced/", "Changes saved.")
    return visit.page("settings_advanced.html", versions=versions)


@dashboard_router.route("GET", "/apps/{app_id}/roles/roles")
def show_roles(visit: Visit, app: App) -> Reply:
    """Show who has a role on the app (graph §9)."""
    people = visit.world.facebook.people
    return visit.page("roles.html", people=[people[person_id] for person_id in app.roles])


# --- Facebook Login > Settings ---------------------------------------------------------------
_SWITCHES = {
    "client_oauth": "Client OAuth Login",
    "web_oauth": "Web OAuth Login",
    "enforce_https": "Enforce HTTPS",
    "strict_mode": "Use Strict Mode for Redirect URIs",
}
_LOCKED = frozenset({"enforce_https", "strict_mode"})
_NAMES = {"fb-login": "Facebook Login", "business-login": "Facebook Login for Business"}


@dashboard_router.route("GET POST", "/apps/{app_id}/fb-login/settings")
def set_up_login(visit: Visit, app: App) -> Reply:
    """Show or save Facebook Login's settings, with the Valid OAuth Redirect URIs (graph §9)."""
    if "login_for_business" in app.products:
        there = f"/apps/{app.id}/business-login/settings/"
        return redirect(there, 307 if visit.request.method == "POST" else 303)
    if "facebook_login" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Login first.")
    return _settings(visit, app)


@dashboard_router.route("GET POST", "/apps/{app_id}/business-login/settings")
def set_up_business_login(visit: Visit, app: App) -> Reply:
    """Show or save those of Facebook Login for Business: the same list of URIs (graph §9)."""
    if "login_for_business" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "This app has another kind of log-in.")
    return _settings(visit, app)


def _settings(visit: Visit, app: App) -> Reply:
    if visit.request.method == "GET":
        return _login_settings(visit, app, "\n".join(app.redirect_uris))
    text = visit.text("redirect_uris")
    uris = list(dict.fromkeys(text.split()))
    wrong = []
    for uri in uris:
        parts = web_address(uri)
        if parts is None or parts.scheme != "https" or parts.fragment:
            wrong.append(uri)
    if wrong or len(uris) > _MOST_VALUES:
        problem = f"Not a secure URI: {', '.join(wrong)}" if wrong else "Too many URIs."
        return _login_settings(visit, app, text, problem)
    app.redirect_uris = uris
    for name in _SWITCHES:
        app.login_settings[name] = name in _LOCKED or name in visit.request.form
    return see_other(f"/apps/{app.id}/{_kind(app)}/settings/", "Changes saved.")


def _kind(app: App) -> str:
    return "business-login" if "login_for_business" in app.products else "fb-login"


@dashboard_router.route("POST", "/apps/{app_id}/fb-login/validator")
@dashboard_router.route("POST", "/apps/{app_id}/business-login/validator")
def validate_redirect_uri(visit: Visit, app: App) -> Reply:
    """Show whether a redirect URI is one of the Valid OAuth Redirect URIs (graph §9)."""
    uri = visit.text("redirect_uri")
    verdict = "valid" if uri in app.redirect_uris else "invalid"
    return _login_settings(visit, app, "\n".join(app.redirect_uris), verdict=verdict, checked=uri)


def _login_settings(visit: Visit, app: App, text: str, problem: str = "", **values: str) -> Reply:
    return visit.page(
        "login_settings.html",
        400 if problem else 200,
        text=text,
        problem=problem,
        switches=_SWITCHES,
        locked=_LOCKED,
        kind=_kind(app),
        name=_NAMES[_kind(app)],
        **{"verdict": "", "checked": "", **values},
    )


# --- use cases -------------------------------------------------------------------------------
@dashboard_router.route("GET", "/apps/{app_id}/use_cases")
def customize(visit: Visit, app: App) -> Reply:
    """Show the app's use cases, their permissions, and those that can be added (graph §9)."""
    return visit.page(
        "use_cases.html",
        cases=[USE_CASES[name] for name in app.use_cases],
        others=[name for name in USE_CASES if name not in app.use_cases],
    )


@dashboard_router.route("POST", "/apps/{app_id}/use_cases/add")
def add_use_case(visit: Visit, app: App) -> Reply:
    """Add a use case to the app, with its products (graph §9)."""
    _require_use_cases(app)
    name = visit.text("use_case")
    if name not in USE_CASES:
        raise MissingPageError("There is no such use case.")
    if name not in app.use_cases:
        app.use_cases.append(name)
        app.products |= set(USE_CASES[name].products)
    return see_other(f"/apps/{app.id}/use_cases/", f"{name} is added to your app.")


@dashboard_router.route("POST", "/apps/{app_id}/use_cases/permissions/{permission}")
def add_permission(_visit: Visit, app: App, permission: str) -> Reply:
    """Add an optional permission that one of the use cases offers (graph §9)."""
    _require_use_cases(app)
    if permission not in optional(app.use_cases):
        raise MissingPageError("The app's use cases do not offer this permission.")
    if permission not in app.added:
        app.added.append(permission)
    return see_other(f"/apps/{app.id}/use_cases/", f"{permission} is added: ready for testing.")


def _require_use_cases(app: App) -> None:
    if app.is_classic:
        raise MissingPageError("This app was made by Other: it has a type and no use cases.")


# --- access tokens and Graph API Explorer ----------------------------------------------------
@dashboard_router.route("GET POST", "/tools/explorer")
@dashboard_router.route("GET", "/tools/accesstoken")
def explore(visit: Visit) -> Reply:
    """Issue a user token for one of the apps, or make a call with one (graph §9)."""
    token, answer = visit.text("access_token"), ""
    if visit.request.method == "POST" and "path" in visit.request.form:
        path, _, query = visit.text("path").partition("?")
        params = {**dict(fields_of(query)), "access_token": token}
        reply = answer_graph(visit.world, "GET", f"/v26.0/{path.lstrip('/')}", params)
        answer = json.dumps(json.loads(reply.body), indent=1, ensure_ascii=False)
    elif visit.request.method == "POST":
        app = find_app(visit, visit.text("app_id"))
        permissions = tuple(name for name in PERMISSIONS if name in app.available_permissions)
        grant(visit, app, permissions)
        token = visit.world.issue_user_token(app, visit.person.id, permissions).value
    return visit.page(
        "explorer.html",
        apps=apps_of(visit),
        token=token,
        path=visit.text("path") or "me",
        answer=answer,
        permissions=PERMISSIONS,
    )


# --- App Review ------------------------------------------------------------------------------
@dashboard_router.route("GET", "/apps/{app_id}/app-review/permissions")
def list_permissions(visit: Visit, app: App) -> Reply:
    """Show Permissions and Features, with a search (graph §9)."""
    wanted = visit.query("q").strip().lower()
    now = visit.world.now()
    names = sorted(name for name in app.available_permissions if wanted in name)
    lacking = {name for name in names if not is_called_lately(app, name, now)}
    labels = {name: _label(app, name) for name in names}
    return visit.page(
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
def get_advanced_access(visit: Visit, app: App, permission: str) -> Reply:
    """Show or accept the request for Advanced Access, or say why it is grey (graph §9)."""
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
    return visit.page(
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
def edit_review_request(visit: Visit, app: App) -> Reply:
    """Show or submit Edit App Review Request, with its checklist (graph §9)."""
    checklist = for_submission(app, visit.world.facebook.business)
    missing: list[str] = []
    is_asked = visit.request.method == "POST"
    if is_asked and app.review.state is not ReviewState.PENDING:
        sections = {name: visit.text(name) for name in SECTIONS}
        missing = _submit(visit, app, sections, checklist)
        if not missing:
            path = f"/apps/{app.id}/app-review/requests/"
            return see_other(path, "Your request is submitted for review.")
    return visit.page(
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
def show_review(visit: Visit, _app: App) -> Reply:
    """Show the state of the review, and the control that advances the clock (graph §9)."""
    return visit.page("review_state.html", days=REVIEW_DAYS)


@dashboard_router.route("POST", "/apps/{app_id}/app-review/later")
def let_days_pass(visit: Visit, app: App) -> Reply:
    """Advance the clock to the decision of the review (graph §9; a sandbox control)."""
    world, review, path = visit.world, app.review, f"/apps/{app.id}/app-review/requests/"
    if review.state is not ReviewState.PENDING:
        return see_other(path, "There is no request under review.")
    left = max((review.decides_on or 0) - world.now(), 0)
    world.offset += left + 1
    outcome = visit.text("outcome")
    declined = visit.request.params.getlist("declined")
    outcomes = {
        permission: "declined" for permission in review.permissions if permission in declined
    }
    if outcome == "declined":
        outcomes = dict.fromkeys(review.permissions, "declined")
    decide(app, review.drawn if outcome == "drawn" else outcomes, visit.text("reason"))
    days = round(left / DAY)
    return see_other(path, f"{days} days later: the review is {review.state.value}.")


# --- verification ----------------------------------------------------------------------------
_DAYS = 5
_KINDS = {"business": "Business Verification", "access": "Access Verification"}


@dashboard_router.route("GET", "/apps/{app_id}/verification")
def show_verification(visit: Visit, _app: App) -> Reply:
    """Show where the business's two verifications stand (graph §9)."""
    business = visit.world.facebook.business
    return visit.page("verification.html", business=business, days=_DAYS)


@dashboard_router.route("POST", "/apps/{app_id}/verification/{kind}")
def start_verification(visit: Visit, app: App, kind: str) -> Reply:
    """Start one of the verifications; Access Verification needs the other one first (graph §9)."""
    business = visit.world.facebook.business
    here = f"/apps/{app.id}/verification/"
    if kind == "later":
        # a sandbox control: advance the clock by five days, and complete what is pending
        visit.world.offset += _DAYS * DAY
        if business.verification is Verification.PENDING:
            business.verification = Verification.VERIFIED
        if business.access_verification is Verification.PENDING:
            business.access_verification = Verification.VERIFIED
        return see_other(here, f"{_DAYS} days later.")
    if kind not in _KINDS:
        raise MissingPageError("There is no such verification.")
    if kind == "access" and business.verification is not Verification.VERIFIED:
        return see_other(here, "Complete Business Verification first.")
    if kind == "business" and business.verification is Verification.NOT_STARTED:
        business.verification = Verification.PENDING
    if kind == "access" and business.access_verification is Verification.NOT_STARTED:
        business.access_verification = Verification.PENDING
    return see_other(here, f"{_KINDS[kind]} is submitted.")


@dashboard_router.route("GET POST", "/apps/{app_id}/data-access-renewal")
def renew_data_access(visit: Visit, app: App) -> Reply:
    """Show the Data Access Renewal, or complete the sections that were confirmed (graph §9)."""
    renewal = app.renewal
    if visit.request.method == "POST" and renewal is not None:
        renewal.sections |= set(visit.request.form) & set(RENEWAL_SECTIONS)
        notice = "complete" if renewal.is_done else "saved; sections are missing"
        path = f"/apps/{app.id}/data-access-renewal/"
        return see_other(path, f"The Data Access Renewal is {notice}.")
    due = f"{datetime.fromtimestamp(renewal.due_on, UTC):%d %B %Y}" if renewal else ""
    return visit.page(
        "data_access_renewal.html",
        titles=RENEWAL_SECTIONS,
        due=due,
        is_deactivated=app.is_deactivated(visit.world.now()),
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/go_live")
def go_live(visit: Visit, app: App) -> Reply:
    """Show what publishing needs, or publish the app (graph §9)."""
    missing = for_publishing(app)
    if visit.request.method == "POST" and not missing:
        app.mode = AppMode.LIVE
        return see_other(f"/apps/{app.id}/go_live/", "Your app is published.")
    status = 400 if visit.request.method == "POST" else 200
    return visit.page("go_live.html", status, missing=missing)


# --- Facebook Messenger > Settings -----------------------------------------------------------
@dashboard_router.route("GET POST", "/apps/{app_id}/messenger/settings")
def choose_pages(visit: Visit, app: App) -> Reply:
    """Show or save the pages that the app is used for (graph §9)."""
    facebook = visit.world.facebook
    here = f"/apps/{app.id}/messenger/settings/"
    if "messenger" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Messenger first.")
    if visit.request.method == "GET":
        return visit.page("messenger_settings.html", pages=facebook.pages, token="")
    chosen = visit.request.params.getlist("page")
    for page in facebook.pages.values():
        if page.id in chosen:
            page.subscribed.setdefault(app.id, MESSENGER_FIELDS)
        else:
            page.subscribed.pop(app.id, None)
    if chosen:
        grant(visit, app, MESSENGER_PERMISSIONS)
    return see_other(here, "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/messenger/tokens/{page_id}")
def show_page_token(visit: Visit, app: App, page_id: str) -> Reply:
    """Show a page access token of a page that was added (messenger)."""
    facebook = visit.world.facebook
    page = facebook.pages.get(page_id)
    if page is None or app.id not in page.subscribed:
        raise MissingPageError("This page was not added.")
    user = visit.world.issue_user_token(app, facebook.person.id, MESSENGER_PERMISSIONS)
    token = visit.world.issue_page_token(user, page.id).value
    return visit.page("messenger_settings.html", pages=facebook.pages, token=token)


# --- the site --------------------------------------------------------------------------------
class FacebookSite(Site):
    """www.facebook.com and developers.facebook.com in one."""

    name = "facebook"

    def __call__(self, request: WebRequest) -> Reply:
        """Answer one request."""
        is_whole = not request.is_oversized and request.method in {"GET", "HEAD", "POST"}
        if is_dialog(request.path) and is_whole:
            return answer_dialog(self._world, request)
        return answer_visit(self._world, request, dashboard_router, "Facebook for Developers")
