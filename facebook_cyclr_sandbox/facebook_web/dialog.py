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

from facebook_cyclr_sandbox.http.pages import log_in, log_in_page, log_out, logged_in, page
from facebook_cyclr_sandbox.http.web import Headers, Reply, WebRequest, append_query, redirect
from facebook_cyclr_sandbox.origins import handles
from facebook_cyclr_sandbox.state.facebook_world import App, Person
from facebook_cyclr_sandbox.state.permissions import ALWAYS_GRANTED, KNOWN_PERMISSIONS
from facebook_cyclr_sandbox.state.world import SHORT_LIFETIME, World

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
    "edit",
)
_RESPONSE_TYPES = frozenset({"code", "token", "granted_scopes"})


def is_dialog(path: str) -> bool:
    """Return whether `path` is the path of the dialog, with or without a version."""
    return _PATH.match(path) is not None


@dataclass(frozen=True)
class _Wish:
    """What an app wants, as its request says: nobody is logged in yet."""

    app: App
    permissions: tuple[str, ...]
    is_all_or_nothing: bool


@dataclass(frozen=True)
class _Ask:
    """What an app asks a person for."""

    app: App
    person: Person
    redirect_uri: str
    state: str
    response_type: frozenset[str]
    permissions: tuple[str, ...]
    declined_before: tuple[str, ...]
    is_all_or_nothing: bool
    is_returning: bool


@handles("GET POST /dialog/oauth")
def answer_dialog(world: World, request: WebRequest, browse: Callable[[str], str]) -> Reply:
    """
    Answer a GET or POST of the dialog (graph §5).

    `browse` returns the loopback address of a URL of the service domain, or an
    empty string for any other URL.
    """
    fields = {name: request.params[name] for name in _ASKED if name in request.params}
    wish = _understand(world, fields)
    if isinstance(wish, _Problem):
        return _show(wish)
    person_id, headers = _identify(world, request)
    if not person_id:
        return _ask_to_log_in(world, request, fields, wish)
    ask = _ask(world, wish, fields, world.facebook.people[person_id])
    if isinstance(ask, _Problem):
        return _show(ask, headers)
    decision = request.form.get("decision", "") if request.method == "POST" else ""
    if not decision:
        return _consent_page(request, ask, fields, headers)
    location = _decide(world, ask, request, decision)
    loopback = browse(location)
    # NOTE: a program gets the exact 302. A browser (`Accept: text/html`) cannot resolve the service
    # domain, so it gets a page that names the address and links to the same one on loopback.
    if loopback and request.accepts_html:
        return page("leave.html", headers=headers, location=location, loopback=loopback)
    reply = redirect(location)
    return replace(reply, headers=(*reply.headers, *headers))


def _identify(world: World, request: WebRequest) -> tuple[str, Headers]:
    """Return the person's ID, and the headers of a log-in or log-out that happens now."""
    if request.method == "POST" and "switch" in request.form:
        return "", log_out(world, request)
    if request.method == "POST" and "email" in request.form:
        return log_in(world, request.form["email"], request.form.get("password", ""))
    return logged_in(world, request), ()


def _ask_to_log_in(world: World, request: WebRequest, fields: dict[str, str], wish: _Wish) -> Reply:
    if not set(wish.permissions) <= set(KNOWN_PERMISSIONS):
        return _show(_SORRY, status=500)
    if request.method == "GET" and request.accepts_html:
        back = append_query(request.path, **fields)
        return redirect(append_query("/login.php", next=back))
    is_wrong = request.method == "POST" and "email" in request.form
    reply = log_in_page(world, request.path, fields, is_wrong=is_wrong)
    gone = log_out(world, request) if "switch" in request.form else ()
    return replace(reply, headers=(*reply.headers, *gone))


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
_NOT_SET_UP = _Problem(
    "App Not Setup",
    "This app is still in development mode, and you don't have access to it.",
)
_NOT_ACTIVE = _Problem(
    "App not active",
    "This app is not accessible right now and the app developer is aware of the issue. You will "
    "be able to log in when the app is reactivated.",
)
_UNKNOWN_APP = _Problem(
    "Invalid App ID",
    "The provided app ID does not look like a valid app ID.",
)
_UNAVAILABLE = _Problem(
    "Feature unavailable",
    "Facebook Login is currently unavailable for this app, since we are updating additional "
    "details for this app. Please try again later.",
)
_SORRY = _Problem("Sorry, something went wrong", "We're working on getting this fixed.")
_NOTHING_SUPPORTED = _Problem(
    "It looks like this app isn't available.",
    "This app needs at least one supported permission.",
)


def _show(problem: _Problem, headers: Headers = (), *, status: int = 400) -> Reply:
    return page(
        "dialog_problem.html",
        status,
        headers,
        title=problem.title,
        message=problem.message,
    )


def _understand(world: World, fields: dict[str, str]) -> "_Wish | _Problem":
    app = world.facebook.apps.get(fields.get("client_id", ""))
    if app is None:
        return _UNKNOWN_APP
    if app.is_deactivated(world.now()):
        return _NOT_ACTIVE
    if not _is_allowed(app, fields.get("redirect_uri", "")):
        return _BLOCKED
    config = fields.get("config_id", "")
    if config and (config not in app.configurations or app.type != "Business"):
        return _UNKNOWN_APP
    wanted = app.configurations[config] if config else _scopes(fields.get("scope", ""))
    return _Wish(app, wanted, is_all_or_nothing=bool(config))


def _invalid_scopes(scopes: list[str]) -> _Problem:
    return _Problem(
        f"Invalid Scopes: {', '.join(scopes)}",
        "This message is only shown to developers. Users of your app will ignore these "
        "permissions if present.",
    )


def _scopes(text: str) -> tuple[str, ...]:
    named = [scope for scope in re.split(r"[,\s]+", text) if scope]
    return tuple(dict.fromkeys(("public_profile", *named)))


def _ask(world: World, wish: _Wish, fields: dict[str, str], person: Person) -> "_Ask | _Problem":
    """Return what the app may ask this person for, or why it cannot ask at all."""
    app = wish.app
    available = {*app.available_permissions, *ALWAYS_GRANTED}
    invalid = [scope for scope in wish.permissions if scope not in available]
    if invalid and person.id in app.roles:
        return _invalid_scopes(invalid)
    offered = _offered(app, person, wish.permissions)
    if person.id not in app.roles:
        if not app.is_published:
            return _NOT_SET_UP if app.is_classic else _UNAVAILABLE
        if "login_for_business" in app.products and not set(offered) - ALWAYS_GRANTED:
            return _NOTHING_SUPPORTED
    declined = _declined_before(world, wish, fields, person)
    kinds = frozenset(re.split(r"[,\s]+", fields.get("response_type", ""))) & _RESPONSE_TYPES
    return _Ask(
        app,
        person,
        fields["redirect_uri"],
        fields.get("state", ""),
        kinds or frozenset({"code"}),
        tuple(scope for scope in offered if scope not in declined),
        declined if not wish.is_all_or_nothing else (),
        wish.is_all_or_nothing,
        bool(world.facebook.grants.get((person.id, app.id))),
    )


def _offered(app: App, person: Person, wanted: tuple[str, ...]) -> tuple[str, ...]:
    if person.id in app.roles:
        return wanted
    return tuple(
        scope for scope in wanted if scope in ALWAYS_GRANTED or app.permissions.get(scope) == "live"
    )


def _declined_before(
    world: World, wish: _Wish, fields: dict[str, str], person: Person
) -> tuple[str, ...]:
    if "rerequest" in fields.get("auth_type", "") or fields.get("edit"):
        return ()
    grants = world.facebook.grants.get((person.id, wish.app.id), {})
    return tuple(scope for scope in wish.permissions if grants.get(scope) == "declined")


def _is_allowed(app: App, redirect_uri: str) -> bool:
    if redirect_uri in app.redirect_uris:
        return all(app.login_settings[name] for name in ("client_oauth", "web_oauth"))
    try:
        parts = urlsplit(redirect_uri)
        return app.takes_localhost(parts.scheme, parts.hostname or "")
    except ValueError:
        return False


# --- pages -----------------------------------------------------------------------------------
def _consent_page(
    request: WebRequest, ask: _Ask, fields: dict[str, str], headers: Headers
) -> Reply:
    return page(
        "consent.html",
        headers=headers,
        action=request.path,
        hidden=fields,
        ask=ask,
        person=ask.person,
    )


# --- the decision ----------------------------------------------------------------------------
def _decide(world: World, ask: _Ask, request: WebRequest, decision: str) -> str:
    granted = ask.permissions
    if "choices" in request.form and not ask.is_all_or_nothing:
        chosen = {"public_profile", *request.lists.get("grant", ())}
        granted = tuple(scope for scope in ask.permissions if scope in chosen)
    if world.dialog_error is not None:
        return _failed(ask, *world.dialog_error)
    if decision != "continue":
        return _denied(ask)
    key = (ask.person.id, ask.app.id)
    grants = dict(world.facebook.grants.get(key, {}))
    for scope in ask.permissions:
        grants[scope] = "granted" if scope in granted else "declined"
    world.facebook.grants[key] = grants
    return _granted(world, ask, granted)


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


def _failed(ask: _Ask, code: str, message: str) -> str:
    query = urlencode({"error_code": code, "error_message": message, **_state(ask)})
    return _with_query(ask.redirect_uri, query) + "#_=_"


def _granted(world: World, ask: _Ask, granted: tuple[str, ...]) -> str:
    query: dict[str, str] = {}
    fragment: dict[str, str] = {}
    if "token" in ask.response_type:
        token = world.issue_user_token(ask.app, ask.person.id, granted, lifetime=SHORT_LIFETIME)
        fragment = {"access_token": token.value, "expires_in": str(SHORT_LIFETIME), **_state(ask)}
    if "code" in ask.response_type or not fragment:
        query["code"] = world.issue_code(ask.app, ask.person.id, ask.redirect_uri, granted).value
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
