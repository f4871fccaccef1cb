"""
The OAuth dialog: log in, consent, and the redirect back (graph §5).

A person answers it in a browser; a program GETs it and POSTs its form with
`email`, `password`, `decision` (`continue` or `cancel`) and, to decline single
permissions, `choices=1` and one `grant` for each permission that it grants.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from runbook_lib.sandbox.http.pages import log_in, logged_in, page
from runbook_lib.sandbox.http.web import Headers, Reply, Request, redirect
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import KNOWN_PERMISSIONS, App, AppMode
from runbook_lib.sandbox.state.world import SHORT_LIFETIME, World

__all__ = ["answer_dialog", "is_dialog"]

_PATH = re.compile(r"(?:/v\d+\.\d+)?/dialog/oauth/?\Z")
_ASKED = (
    "client_id",
    "redirect_uri",
    "state",
    "response_type",
    "scope",
    "auth_type",
    "config_id",
    "override_default_response_type",
)
_RESPONSE_TYPES = frozenset({"code", "token", "granted_scopes"})


def is_dialog(path: str) -> bool:
    """Return whether `path` is the path of the dialog, with or without a version."""
    return _PATH.match(path) is not None


@dataclass(frozen=True)
class _Ask:
    """What an app asks the person for."""

    app: App
    redirect_uri: str
    state: str
    response_type: frozenset[str]
    permissions: tuple[str, ...]
    declined_before: tuple[str, ...]
    is_all_or_nothing: bool


def answer_dialog(world: World, request: Request, browse: Callable[[str], str]) -> Reply:
    """
    Answer a GET or POST of the dialog.

    `browse` returns the loopback address of a URL of the service domain, or an
    empty string for any other URL.
    """
    asked = {name: request.params[name] for name in _ASKED if name in request.params}
    ask = _understand(world, asked)
    if isinstance(ask, Reply):
        return ask
    headers: Headers = ()
    person_id = logged_in(world, request)
    if request.method == "POST" and "email" in request.form:
        headers = log_in(world, request.form["email"], request.form.get("password", ""))
        if not headers:
            return _login_page(world, request, asked, is_wrong=True)
        person_id = world.facebook.person.id
    if not person_id:
        return _login_page(world, request, asked)
    if ask.app.mode is AppMode.DEVELOPMENT and person_id not in ask.app.roles:
        return _problem(_NOT_SET_UP)
    decision = request.form.get("decision", "") if request.method == "POST" else ""
    if not decision:
        return _consent_page(world, request, ask, asked, headers)
    location = _decide(world, ask, person_id, request, decision)
    return _leave(request, location, browse(location), headers)


# --- understanding ---------------------------------------------------------------------------
@dataclass(frozen=True)
class _Problem:
    title: str
    message: str


_BLOCKED = _Problem(
    "URL Blocked",
    "This redirect failed because the redirect URI is not whitelisted in the app's Client OAuth "
    "Settings. Make sure Client and Web OAuth Login are on and add all your app domains as Valid "
    "OAuth Redirect URIs.",
)
verbatim("graph §5", "the dialog's URL Blocked page", "GitHub threads")
_NOT_SET_UP = _Problem(
    "App Not Setup",
    "This app is still in development mode, and you don't have access to it.",
)
verbatim(
    "graph §5", "the dialog's App Not Setup page (its second sentence is not known)", "threads"
)
_UNKNOWN_APP = _Problem(
    "Invalid App ID",
    "The provided app ID does not look like a valid app ID.",
)
verbatim("graph §5", "Facebook Login for Business needs an app of type Business", "docs")
unknown("graph §5", "the dialog's page for an unknown client_id or config_id")
unknown("graph §5", "the HTTP status of the dialog's error pages: 400 is served")
unknown("graph §5", "whether the dialog examines its parameters before the log-in: it does here")
inferred("graph §5", "state is not enforced by the dialog, though the guide calls it required")


def _problem(problem: _Problem) -> Reply:
    return page("dialog_problem.html", 400, title=problem.title, message=problem.message)


def _understand(world: World, asked: dict[str, str]) -> "_Ask | Reply":
    app = world.facebook.apps.get(asked.get("client_id", ""))
    if app is None:
        return _problem(_UNKNOWN_APP)
    redirect_uri = asked.get("redirect_uri", "")
    if not _is_allowed(app, redirect_uri):
        return _problem(_BLOCKED)
    config = asked.get("config_id", "")
    if config and (config not in app.configurations or app.type != "Business"):
        return _problem(_UNKNOWN_APP)
    wanted = app.configurations[config] if config else _scopes(asked.get("scope", ""))
    invalid = [scope for scope in wanted if scope not in KNOWN_PERMISSIONS]
    if invalid:
        return _problem(_invalid_scopes(invalid))
    return _ask(world, app, asked, wanted, is_all_or_nothing=bool(config))


@verbatim("graph §5", "Invalid Scopes: …, shown to developers only", "third-party")
@inferred("graph §5", "a scope is invalid when Facebook has no such permission")
def _invalid_scopes(scopes: list[str]) -> _Problem:
    return _Problem(
        f"Invalid Scopes: {', '.join(scopes)}",
        "This message is only shown to developers. Users of your app will ignore these "
        "permissions if present.",
    )


@verbatim("graph §5", "scope is comma or space separated; response_type defaults to code", "guide")
def _scopes(text: str) -> tuple[str, ...]:
    named = [scope for scope in re.split(r"[,\s]+", text) if scope]
    return tuple(dict.fromkeys(("public_profile", *named)))


@verbatim(
    "graph §5", "a declined permission is not asked again without auth_type=rerequest", "guide"
)
@inferred("graph §5", "people with a role are asked for any permission, others for live ones only")
def _ask(
    world: World,
    app: App,
    asked: dict[str, str],
    wanted: tuple[str, ...],
    *,
    is_all_or_nothing: bool,
) -> _Ask:
    person = world.facebook.person
    grants = world.facebook.grants.get((person.id, app.id), {})
    is_rerequest = "rerequest" in asked.get("auth_type", "")
    declined = tuple(
        scope for scope in wanted if grants.get(scope) == "declined" and not is_rerequest
    )
    offered = tuple(
        scope
        for scope in wanted
        if scope not in declined
        and (person.id in app.roles or app.permissions.get(scope) == "live")
    )
    kinds = frozenset(re.split(r"[,\s]+", asked.get("response_type", ""))) & _RESPONSE_TYPES
    return _Ask(
        app,
        asked["redirect_uri"],
        asked.get("state", ""),
        kinds or frozenset({"code"}),
        offered,
        declined if not is_all_or_nothing else (),
        is_all_or_nothing,
    )


@verbatim(
    "graph §9", "Strict Mode: the redirect URI must be one of the Valid ones, exactly", "docs"
)
@verbatim("graph §9", "http://localhost is allowed in development mode without registering", "docs")
def _is_allowed(app: App, redirect_uri: str) -> bool:
    if redirect_uri in app.redirect_uris:
        return all(app.login_settings[name] for name in ("client_oauth", "web_oauth"))
    try:
        parts = urlsplit(redirect_uri)
        return app.takes_localhost(parts.scheme, parts.hostname or "")
    except ValueError:
        return False


# --- pages -----------------------------------------------------------------------------------
def _login_page(
    world: World, request: Request, asked: dict[str, str], *, is_wrong: bool = False
) -> Reply:
    return page(
        "login.html",
        action=request.path,
        hidden=asked,
        is_wrong=is_wrong,
        email=world.facebook.person.email,
        password=world.facebook.person.password,
    )


def _consent_page(
    world: World, request: Request, ask: _Ask, asked: dict[str, str], headers: Headers
) -> Reply:
    return page(
        "consent.html",
        headers=headers,
        action=request.path,
        hidden=asked,
        ask=ask,
        person=world.facebook.person,
    )


# --- the decision ----------------------------------------------------------------------------
def _decide(world: World, ask: _Ask, person_id: str, request: Request, decision: str) -> str:
    granted = ask.permissions
    if "choices" in request.form and not ask.is_all_or_nothing:
        chosen = {"public_profile", *request.lists.get("grant", ())}
        granted = tuple(scope for scope in ask.permissions if scope in chosen)
    if world.dialog_error is not None:
        return _failed(ask, *world.dialog_error)
    if decision != "continue":
        return _denied(ask)
    _remember(world, ask, person_id, granted)
    return _granted(world, ask, person_id, granted)


def _remember(world: World, ask: _Ask, person_id: str, granted: tuple[str, ...]) -> None:
    key = (person_id, ask.app.id)
    grants = dict(world.facebook.grants.get(key, {}))
    for scope in ask.permissions:
        grants[scope] = "granted" if scope in granted else "declined"
    world.facebook.grants[key] = grants


@verbatim("graph §5", "denial: error, error_code, error_description, error_reason, state, #_=_")
def _denied(ask: _Ask) -> str:
    query = urlencode(
        {
            "error": "access_denied",
            "error_code": "200",
            "error_description": "Permissions error",
            "error_reason": "user_denied",
            **_state(ask),
        }
    )
    return _with_query(ask.redirect_uri, query) + "#_=_"


@verbatim("graph §5", "other errors: ?error_code=…&error_message=… without error", "social-core")
@unknown("graph §5", "when the dialog does that; here when the operator asks for it")
def _failed(ask: _Ask, code: str, message: str) -> str:
    query = urlencode({"error_code": code, "error_message": message, **_state(ask)})
    return _with_query(ask.redirect_uri, query) + "#_=_"


@verbatim("graph §5", "success: ?code=AQ…&state=…#_=_", "php-graph-sdk#951")
@inferred("graph §5", "response_type=token puts access_token and expires_in into the fragment")
@inferred("graph §5", "response_type=granted_scopes adds granted_scopes and denied_scopes")
def _granted(world: World, ask: _Ask, person_id: str, granted: tuple[str, ...]) -> str:
    query: dict[str, str] = {}
    fragment: dict[str, str] = {}
    if "token" in ask.response_type:
        token = world.issue_user_token(ask.app, person_id, granted, lifetime=SHORT_LIFETIME)
        fragment = {"access_token": token.value, "expires_in": str(SHORT_LIFETIME), **_state(ask)}
    if "code" in ask.response_type or not fragment:
        query["code"] = world.issue_code(ask.app, person_id, ask.redirect_uri, granted).value
    if "granted_scopes" in ask.response_type:
        denied = (*ask.declined_before, *(s for s in ask.permissions if s not in granted))
        query |= {"granted_scopes": ",".join(granted), "denied_scopes": ",".join(denied)}
    if query:
        query |= _state(ask)
    url = _with_query(ask.redirect_uri, urlencode(query)) if query else ask.redirect_uri
    return f"{url}#{urlencode(fragment) if fragment else '_=_'}"


def _state(ask: _Ask) -> dict[str, str]:
    return {"state": ask.state} if ask.state else {}


def _with_query(url: str, query: str) -> str:
    parts = urlsplit(url)
    together = "&".join(filter(None, (parts.query, query)))
    return parts._replace(query=together, fragment="").geturl()


def _leave(request: Request, location: str, loopback: str, headers: Headers) -> Reply:
    """
    Redirect the client to the app.

    A program gets the exact 302. A browser (`Accept: text/html`) cannot resolve the
    service domain, so it gets a page that names the address and links to the same
    one on loopback.
    """
    if loopback and request.accepts_html:
        return page("leave.html", headers=headers, location=location, loopback=loopback)
    reply = redirect(location)
    return replace(reply, headers=(*reply.headers, *headers))
