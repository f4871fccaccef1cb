"""
The OAuth dialog: log in, consent, and the redirect back (graph §5).

A person answers it in a browser; a program GETs it and POSTs its form with
`email`, `password`, `decision` (`continue` or `cancel`) and, to decline single
permissions, `choices=1` and one `grant` for each permission that it grants.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from facebook_cyclr_sandbox.http.pages import log_in, log_in_page, log_out, logged_in, page
from facebook_cyclr_sandbox.http.web import Headers, Reply, WebRequest, append_query, redirect
from facebook_cyclr_sandbox.response_sources import handles
from facebook_cyclr_sandbox.state.facebook_state import App, Person
from facebook_cyclr_sandbox.state.permissions import ALWAYS_GRANTED, KNOWN_PERMISSIONS
from facebook_cyclr_sandbox.state.sandbox_state import SHORT_LIFETIME_SECONDS, SandboxState

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


def is_dialog(path: str) -> bool:
    """Return whether `path` is the path of the dialog, with or without a version."""
    return _PATH.match(path) is not None


@dataclass(frozen=True)
class _Ask:
    """What an app asks a person for; `fields` are those of its request."""

    app: App
    person: Person
    fields: Mapping[str, str]
    permissions: tuple[str, ...]
    declined_before: tuple[str, ...]
    is_all_or_nothing: bool
    is_returning: bool


@handles("GET POST /dialog/oauth")
def answer_dialog(state: SandboxState, request: WebRequest) -> Reply:
    """Answer a GET or POST of the dialog (graph §5)."""
    fields = {name: request.params[name] for name in _ASKED if name in request.params}
    understood = _understand(state, fields)
    if isinstance(understood, _Problem):
        return _show(understood)
    app, wanted = understood
    person_id, headers = _identify(state, request)
    if not person_id:
        return _ask_to_log_in(state, request, fields, wanted, headers)
    ask = _ask(state, app, wanted, fields, state.facebook.people[person_id])
    if isinstance(ask, _Problem):
        return _show(ask, headers)
    decision = request.form.get("decision", "") if request.method == "POST" else ""
    if not decision:
        return page("consent.html", headers=headers, action=request.path, hidden=fields, ask=ask)
    location = _decide(state, ask, request, decision)
    # NOTE: a program gets the exact 302. A browser (`Accept: text/html`) cannot resolve the service
    # domain, so it gets a page that names the address and links to the same one on loopback.
    parts = urlsplit(location)
    if parts.hostname == state.cyclr.service_domain and request.accepts_html:
        connect = urlsplit(state.addresses.connect)
        loopback = parts._replace(scheme=connect.scheme, netloc=connect.netloc).geturl()
        return page("leave.html", headers=headers, location=location, loopback=loopback)
    return redirect(location, headers=headers)


def _identify(state: SandboxState, request: WebRequest) -> tuple[str, Headers]:
    """Return the person's ID, and the headers of a log-in or log-out that happens now."""
    if request.method == "POST" and "switch" in request.form:
        return "", log_out(state, request)
    if request.method == "POST" and "email" in request.form:
        return log_in(state, request.form["email"], request.form.get("password", ""))
    return logged_in(state, request), ()


def _ask_to_log_in(
    state: SandboxState,
    request: WebRequest,
    fields: dict[str, str],
    wanted: tuple[str, ...],
    headers: Headers,
) -> Reply:
    if not set(wanted) <= set(KNOWN_PERMISSIONS):
        return _show(_SORRY, status=500)
    if request.method == "GET" and request.accepts_html:
        back = append_query(request.path, **fields)
        return redirect(append_query("/login.php", next=back))
    is_wrong = request.method == "POST" and "email" in request.form
    reply = log_in_page(state, request.path, fields, is_wrong=is_wrong)
    return replace(reply, headers=(*reply.headers, *headers))


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


def _understand(
    state: SandboxState, fields: dict[str, str]
) -> "tuple[App, tuple[str, ...]] | _Problem":
    """Return the app and the permissions that it wants: nobody is logged in yet."""
    app = state.facebook.apps.get(fields.get("client_id", ""))
    if app is None:
        return _UNKNOWN_APP
    if app.is_deactivated(state.now()):
        return _NOT_ACTIVE
    if not _is_allowed(app, fields.get("redirect_uri", "")):
        return _BLOCKED
    config = fields.get("config_id", "")
    if config and (config not in app.configurations or app.type != "Business"):
        return _UNKNOWN_APP
    return app, app.configurations[config] if config else _scopes(fields.get("scope", ""))


def _invalid_scopes(scopes: list[str]) -> _Problem:
    return _Problem(
        f"Invalid Scopes: {', '.join(scopes)}",
        "This message is only shown to developers. Users of your app will ignore these "
        "permissions if present.",
    )


def _scopes(text: str) -> tuple[str, ...]:
    named = [scope for scope in re.split(r"[,\s]+", text) if scope]
    return tuple(dict.fromkeys(("public_profile", *named)))


def _ask(
    state: SandboxState, app: App, wanted: tuple[str, ...], fields: dict[str, str], person: Person
) -> _Ask | _Problem:
    """Return what the app may ask this person for, or why it cannot ask at all."""
    available = {*app.available_permissions, *ALWAYS_GRANTED}
    invalid = [scope for scope in wanted if scope not in available]
    if person.id in app.roles:
        if invalid:
            return _invalid_scopes(invalid)
        offered = wanted
    else:
        live = {name for name, status in app.permissions.items() if status == "live"}
        offered = tuple(scope for scope in wanted if scope in live | ALWAYS_GRANTED)
        if not app.is_published:
            return _NOT_SET_UP if app.is_classic else _UNAVAILABLE
        if "login_for_business" in app.products and not set(offered) - ALWAYS_GRANTED:
            return _NOTHING_SUPPORTED
    grants = state.facebook.grants.get((person.id, app.id), {})
    declined = tuple(scope for scope in wanted if grants.get(scope) == "declined")
    if "rerequest" in fields.get("auth_type", "") or fields.get("edit"):
        declined = ()
    is_all_or_nothing = bool(fields.get("config_id"))
    return _Ask(
        app,
        person,
        fields,
        permissions=tuple(scope for scope in offered if scope not in declined),
        declined_before=() if is_all_or_nothing else declined,
        is_all_or_nothing=is_all_or_nothing,
        is_returning=bool(grants),
    )


def _is_allowed(app: App, redirect_uri: str) -> bool:
    if redirect_uri in app.redirect_uris:
        return all(app.login_settings[name] for name in ("client_oauth", "web_oauth"))
    try:
        parts = urlsplit(redirect_uri)
        return app.allows_localhost(parts.scheme, parts.hostname or "")
    except ValueError:
        return False


# --- the decision ----------------------------------------------------------------------------
def _decide(state: SandboxState, ask: _Ask, request: WebRequest, decision: str) -> str:
    granted = ask.permissions
    if "choices" in request.form and not ask.is_all_or_nothing:
        chosen = {"public_profile", *request.params.getlist("grant")}
        granted = tuple(scope for scope in ask.permissions if scope in chosen)
    if state.dialog_error is not None:
        code, message = state.dialog_error
        return f"{_back(ask, error_code=code, error_message=message)}#_=_"
    if decision != "continue":
        denied = _back(
            ask,
            error="access_denied",
            error_code="200",
            error_description="Permissions error",
            error_reason="user_denied",
        )
        return f"{denied}#_=_"
    key = (_holder(state, ask), ask.app.id)
    grants = dict(state.facebook.grants.get(key, {}))
    for scope in ask.permissions:
        grants[scope] = "granted" if scope in granted else "declined"
    state.facebook.grants[key] = grants
    return _granted(state, ask, granted)


def _holder(state: SandboxState, ask: _Ask) -> str:
    """Return whose the token is: the person's, or with such a configuration the system user's."""
    system_user = state.facebook.system_user
    is_for_it = ask.fields.get("config_id") in ask.app.system_user_configurations
    return system_user.id if system_user is not None and is_for_it else ask.person.id


def _granted(state: SandboxState, ask: _Ask, granted: tuple[str, ...]) -> str:
    asked = set(re.split(r"[,\s]+", ask.fields.get("response_type", "")))
    query: dict[str, str] = {}
    fragment = "_=_"
    holder = _holder(state, ask)
    if "token" in asked:
        token = state.issue_user_token(ask.app, holder, granted, lifetime=SHORT_LIFETIME_SECONDS)
        shown = {
            "access_token": token.value,
            "expires_in": str(SHORT_LIFETIME_SECONDS),
            **_state_parameter(ask),
        }
        fragment = urlencode(shown)
    if "code" in asked or "token" not in asked:
        redirect_uri = ask.fields["redirect_uri"]
        query["code"] = state.issue_code(ask.app, holder, redirect_uri, granted).value
    if "granted_scopes" in asked:
        denied = (*ask.declined_before, *(s for s in ask.permissions if s not in granted))
        query |= {"granted_scopes": ",".join(granted), "denied_scopes": ",".join(denied)}
    return f"{_back(ask, **query) if query else ask.fields['redirect_uri']}#{fragment}"


def _state_parameter(ask: _Ask) -> dict[str, str]:
    return {"state": ask.fields["state"]} if ask.fields.get("state") else {}


def _back(ask: _Ask, **query: str) -> str:
    """Return the app's redirect URI with `query` and the state."""
    return append_query(
        ask.fields["redirect_uri"].partition("#")[0], **query, **_state_parameter(ask)
    )
