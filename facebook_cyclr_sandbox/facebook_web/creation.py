"""
Before there is an app: My Apps, the developer registration, Create App.

Creation asks for a use case first. *Other* leads to the older choice of an app type.
"""

import re

from facebook_cyclr_sandbox.facebook_web.common import apps_of, dashboard_router
from facebook_cyclr_sandbox.http.pages import Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import AppMode, Renewal
from facebook_cyclr_sandbox.state.use_cases import USE_CASES as CASES
from facebook_cyclr_sandbox.state.world import World

_MOST_APPS = 15
_LONGEST_NAME = 100
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")

OTHER = "Other"
USE_CASES = (*CASES, OTHER)
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
    name, is_classic = answers["name"], answers["use_case"] not in CASES
    is_typed = not is_classic or answers["type"] in TYPES
    checks = {
        "use_case": ((answers["use_case"] in USE_CASES, "Select a use case."),),
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
        use_cases=USE_CASES,
        types=TYPES,
        purposes=PURPOSES,
        is_classic=answers["use_case"] not in CASES,
    )


def _create(visit: Visit, answers: dict[str, str]) -> Reply:
    if not visit.has_password:
        problem = "That is not the invented person's password."
        return _creation(visit, "password", answers, problem)
    if len(visit.world.facebook.apps) >= _MOST_APPS:
        return _creation(visit, "password", answers, "You have 15 apps already.")
    app_id = _register(visit.world, answers)
    return see_other(f"/apps/{app_id}/dashboard/", "Your app is created.")


def _register(world: World, answers: dict[str, str]) -> str:
    app = world.register_app(answers["name"])
    app.contact_email, app.purpose = answers["contact_email"], answers["purpose"]
    case = CASES.get(answers["use_case"])
    if case is None:
        app.type = answers["type"]
        app.mode = AppMode.LIVE if app.type == "Business" else AppMode.DEVELOPMENT
    else:
        app.use_cases, app.products = [case.name], set(case.products)
        app.mode = AppMode.DEVELOPMENT
    app.renewal = Renewal(world.now())
    return app.id
