"""
The App Dashboard before there is an app: My Apps, registration, Create App, access tokens.

Screens, fields and buttons carry the documented names, with what a person
finds there today (graph §9), in a look of the sandbox's own.
"""

import re

from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import PERMISSIONS, App, AppMode
from runbook_lib.sandbox.visits import MissingPageError, Page, Visit, see_other

__all__ = ["PURPOSES", "TYPES", "dashboard_router", "find_app"]

verbatim("graph §9", "at most 15 unverified apps per person", "create-an-app")
_MOST_APPS = 15
_LONGEST_NAME = 100
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")

verbatim("graph §9", "creation: name and contact email, use case, Business behind Other", "docs")
unknown("graph §9", "App Purpose: Clients is in no current page; it is asked as documented")
USE_CASES = (
    "Create & manage ads with Marketing API",
    "Authenticate and request data from users with Facebook Login",
    "Other",
)
TYPES = ("Business", "Consumer")
PURPOSES = ("Yourself or your own business", "Clients")

dashboard_router: Router[Page] = Router()


def find_app(visit: Visit, app_id: str) -> App:
    """Return an app of the person who is logged in."""
    app = visit.world.facebook.apps.get(app_id)
    if app is None or visit.world.facebook.person.id not in app.roles:
        raise MissingPageError("You have no app with this App ID.")
    return app


@dashboard_router.route("GET", "/")
def show_start(_visit: Visit) -> Reply:
    """Lead to My Apps."""
    return see_other("/apps/")


@dashboard_router.route("GET", "/apps")
def list_apps(visit: Visit) -> Reply:
    """Show My Apps, or the registration to someone who is no developer yet."""
    if not visit.world.facebook.person.is_developer:
        return see_other("/async/registration/")
    return visit.page("apps.html", apps=list(visit.world.facebook.apps.values()))


@dashboard_router.route("GET POST", "/async/registration")
@unknown("graph §9", "the path and the wording of the developer registration")
def register(visit: Visit) -> Reply:
    """Make the person a Facebook developer."""
    if visit.request.method == "POST":
        visit.world.facebook.person.is_developer = True
        return see_other("/apps/", "You are registered as a developer.")
    return visit.page("registration.html")


@dashboard_router.route("GET POST", "/apps/creation")
@inferred("graph §9", "the order of the creation's pages: details, use case, type, password")
def create_app(visit: Visit) -> Reply:
    """Lead through Create App, one page after the other; the password is asked for last."""
    answers = {
        name: visit.text(name) for name in ("use_case", "type", "name", "contact_email", "purpose")
    }
    step = visit.text("step") or "use_case"
    if visit.request.method == "GET":
        return _creation(visit, "use_case", answers)
    problem = _missing(step, answers)
    if problem:
        return _creation(visit, step, answers, problem)
    if step == "password":
        return _create(visit, answers)
    following = {"use_case": "type", "type": "details", "details": "password"}
    if step == "use_case" and answers["use_case"] != "Other":
        answers["type"] = "Business"
        return _creation(visit, "details", answers)
    return _creation(visit, following[step], answers)


def _missing(step: str, answers: dict[str, str]) -> str:
    """Return what is wrong with the answers up to `step`, or an empty text."""
    name = answers["name"]
    checks = {
        "use_case": ((answers["use_case"] in USE_CASES, "Select a use case."),),
        "type": ((answers["type"] in TYPES, "Select an app type."),),
        "details": (
            (answers["type"] in TYPES, "Select an app type."),
            (0 < len(name) <= _LONGEST_NAME, "Enter an App Display Name of 100 letters at most."),
            (_EMAIL.match(answers["contact_email"]), "Enter an App Contact Email."),
            (answers["purpose"] in PURPOSES, "Select an App Purpose."),
        ),
    }
    wanted = checks.get("details" if step == "password" else step, ((False, "Begin again."),))
    return next((problem for is_right, problem in wanted if not is_right), "")


def _creation(visit: Visit, step: str, answers: dict[str, str], problem: str = "") -> Reply:
    known = step if step in {"use_case", "type", "details", "password"} else "use_case"
    return visit.page(
        "create_app.html",
        200 if not problem else 400,
        step=known,
        answers=answers,
        problem=problem,
        use_cases=USE_CASES,
        types=TYPES,
        purposes=PURPOSES,
    )


def _create(visit: Visit, answers: dict[str, str]) -> Reply:
    if not visit.has_password:
        problem = "That is not the invented person's password."
        return _creation(visit, "password", answers, problem)
    if len(visit.world.facebook.apps) >= _MOST_APPS:
        return _creation(visit, "password", answers, "You have 15 apps already.")
    app = visit.world.register_app(answers["name"])
    app.contact_email, app.purpose = answers["contact_email"], answers["purpose"]
    app.type = answers["type"]
    # verbatim graph §9: business apps have no app mode and rely on access levels
    app.mode = AppMode.LIVE if app.type == "Business" else AppMode.DEVELOPMENT
    return see_other(f"/apps/{app.id}/dashboard/", "Your app is created.")


@dashboard_router.route("GET POST", "/tools/explorer")
@dashboard_router.route("GET", "/tools/accesstoken")
@inferred("graph §9", "people with a role get a token with any permission (Standard Access)")
def explore(visit: Visit) -> Reply:
    """Give the person a user token of one of the apps: what Graph API Explorer is for."""
    token = ""
    if visit.request.method == "POST":
        app = find_app(visit, visit.text("app_id"))
        key = (visit.world.facebook.person.id, app.id)
        granted = dict.fromkeys(PERMISSIONS, "granted")
        visit.world.facebook.grants[key] = {
            **visit.world.facebook.grants.get(key, {}),
            **granted,
        }
        token = visit.world.issue_user_token(app, key[0], PERMISSIONS).value
    apps = list(visit.world.facebook.apps.values())
    return visit.page("explorer.html", apps=apps, token=token, permissions=PERMISSIONS)
