"""
The OAuth dialog: log in, consent, and the redirect back (graph §5).

A person uses it in a browser. A program GETs it and POSTs its form with `email`, `password` and
`decision` (`continue` or `cancel`). To decline single permissions, it adds `choices=1` and one
`grant` for each permission that it grants.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from facebook_cyclr_sandbox.http.log_in import get_logged_in_id, log_in, log_out, render_log_in_page
from facebook_cyclr_sandbox.http.page_templates import render_page
from facebook_cyclr_sandbox.http.web_messages import (
    Headers,
    WebRequest,
    WebResponse,
    append_query,
    redirect_response,
)
from facebook_cyclr_sandbox.response_sources import handles
from facebook_cyclr_sandbox.state.facebook_state import App, Person
from facebook_cyclr_sandbox.state.permissions import ALWAYS_GRANTED, KNOWN_PERMISSIONS
from facebook_cyclr_sandbox.state.sandbox_state import SHORT_LIFETIME_SECONDS, SandboxState

_PATH = re.compile(r"(?:/v\d+\.\d+)?/dialog/oauth/?\Z")
_REQUEST_FIELDS = (
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
class _ConsentRequest:
    """An app's request for a person's consent."""

    app: App
    """The app."""

    person: Person
    """The person who is logged in."""

    fields: Mapping[str, str]
    """The fields of the authorization request (RFC 6749 §4.1.1), with Facebook's own."""

    permissions: tuple[str, ...]
    """The permissions that the person can grant now."""

    declined_before: tuple[str, ...]
    """Requested permissions that the person declined earlier; the dialog does not repeat them."""

    is_all_or_nothing: bool
    """Whether the person can decline no single permission, as with a `config_id`."""

    is_returning: bool
    """Whether the person decided about this app before."""


@handles("GET POST /dialog/oauth")
def handle_dialog(state: SandboxState, request: WebRequest) -> WebResponse:
    """Respond to a GET or POST of the dialog (graph §5)."""
    fields = {name: request.params[name] for name in _REQUEST_FIELDS if name in request.params}
    parsed = _parse_request(state, fields)
    if isinstance(parsed, _DialogError):
        return _render_dialog_error(parsed)
    app, wanted = parsed
    person_id, headers = _log_in_or_out(state, request)
    if not person_id:
        return _require_log_in(state, request, fields, wanted, headers)
    consent = _build_consent_request(state, app, wanted, fields, state.facebook.people[person_id])
    if isinstance(consent, _DialogError):
        return _render_dialog_error(consent, headers)
    decision = request.form.get("decision", "") if request.method == "POST" else ""
    if not decision:
        return render_page(
            "consent.html", headers=headers, action=request.path, hidden=fields, consent=consent
        )
    location = _apply_decision(state, consent, request, decision)
    # NOTE: a program gets the exact 302. A browser (`Accept: text/html`) cannot resolve the service
    # domain, so it gets a page that names the address and links to the same one on loopback.
    parts = urlsplit(location)
    if parts.hostname == state.cyclr.service_domain and request.accepts_html:
        http_copy = urlsplit(state.addresses.service_domain_http)
        loopback = parts._replace(scheme=http_copy.scheme, netloc=http_copy.netloc).geturl()
        return render_page("leave.html", headers=headers, location=location, loopback=loopback)
    return redirect_response(location, headers=headers)


def _log_in_or_out(state: SandboxState, request: WebRequest) -> tuple[str, Headers]:
    """Log in or out if the form says so; return the person's ID and the headers to add."""
    if request.method == "POST" and "switch" in request.form:
        return "", log_out(state, request)
    if request.method == "POST" and "email" in request.form:
        return log_in(state, request.form["email"], request.form.get("password", ""))
    return get_logged_in_id(state, request), ()


def _require_log_in(
    state: SandboxState,
    request: WebRequest,
    fields: dict[str, str],
    wanted: tuple[str, ...],
    headers: Headers,
) -> WebResponse:
    if not set(wanted) <= set(KNOWN_PERMISSIONS):
        return _render_dialog_error(_SORRY, status=500)
    if request.method == "GET" and request.accepts_html:
        back = append_query(request.path, **fields)
        return redirect_response(append_query("/login.php", next=back))
    is_wrong = request.method == "POST" and "email" in request.form
    response = render_log_in_page(state, request.path, fields, is_wrong=is_wrong)
    return replace(response, headers=(*response.headers, *headers))


# --- the authorization request ---------------------------------------------------------------
@dataclass(frozen=True)
class _DialogError:
    title: str
    message: str


_BLOCKED = _DialogError(
    "URL Blocked",
    "This redirect failed because the redirect URI is not whitelisted in the app's Client OAuth "
    "Settings. Make sure Client and Web OAuth Login are on and add all your app domains as Valid "
    "OAuth Redirect URIs.",
)
_NOT_SET_UP = _DialogError(
    "App Not Setup",
    "This app is still in development mode, and you don't have access to it.",
)
_NOT_ACTIVE = _DialogError(
    "App not active",
    "This app is not accessible right now and the app developer is aware of the issue. You will "
    "be able to log in when the app is reactivated.",
)
_UNKNOWN_APP = _DialogError(
    "Invalid App ID",
    "The provided app ID does not look like a valid app ID.",
)
_UNAVAILABLE = _DialogError(
    "Feature unavailable",
    "Facebook Login is currently unavailable for this app, since we are updating additional "
    "details for this app. Please try again later.",
)
_SORRY = _DialogError("Sorry, something went wrong", "We're working on getting this fixed.")
_NOTHING_SUPPORTED = _DialogError(
    "It looks like this app isn't available.",
    "This app needs at least one supported permission.",
)


def _render_dialog_error(
    problem: _DialogError, headers: Headers = (), *, status: int = 400
) -> WebResponse:
    return render_page(
        "dialog_problem.html",
        status,
        headers,
        title=problem.title,
        message=problem.message,
    )


def _parse_request(
    state: SandboxState, fields: dict[str, str]
) -> "tuple[App, tuple[str, ...]] | _DialogError":
    """Return the app and the permissions that it requests, before anybody is logged in."""
    app = state.facebook.apps.get(fields.get("client_id", ""))
    if app is None:
        return _UNKNOWN_APP
    if app.is_deactivated(state.now()):
        return _NOT_ACTIVE
    if not _is_redirect_uri_allowed(app, fields.get("redirect_uri", "")):
        return _BLOCKED
    config = fields.get("config_id", "")
    if config and (config not in app.configurations or app.type != "Business"):
        return _UNKNOWN_APP
    return app, app.configurations[config] if config else _parse_scopes(fields.get("scope", ""))


def _invalid_scopes(scopes: list[str]) -> _DialogError:
    return _DialogError(
        f"Invalid Scopes: {', '.join(scopes)}",
        "This message is only shown to developers. Users of your app will ignore these "
        "permissions if present.",
    )


def _parse_scopes(text: str) -> tuple[str, ...]:
    named = [scope for scope in re.split(r"[,\s]+", text) if scope]
    return tuple(dict.fromkeys(("public_profile", *named)))


def _build_consent_request(
    state: SandboxState, app: App, wanted: tuple[str, ...], fields: dict[str, str], person: Person
) -> _ConsentRequest | _DialogError:
    """Return the app's request to this person, or the error that the dialog shows instead."""
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
    return _ConsentRequest(
        app,
        person,
        fields,
        permissions=tuple(scope for scope in offered if scope not in declined),
        declined_before=() if is_all_or_nothing else declined,
        is_all_or_nothing=is_all_or_nothing,
        is_returning=bool(grants),
    )


def _is_redirect_uri_allowed(app: App, redirect_uri: str) -> bool:
    if redirect_uri in app.redirect_uris:
        return all(app.login_settings[name] for name in ("client_oauth", "web_oauth"))
    try:
        parts = urlsplit(redirect_uri)
        return app.allows_localhost(parts.scheme, parts.hostname or "")
    except ValueError:
        return False


# --- the decision ----------------------------------------------------------------------------
def _apply_decision(
    state: SandboxState, consent: _ConsentRequest, request: WebRequest, decision: str
) -> str:
    granted = consent.permissions
    if "choices" in request.form and not consent.is_all_or_nothing:
        chosen = {"public_profile", *request.params.getlist("grant")}
        granted = tuple(scope for scope in consent.permissions if scope in chosen)
    if state.dialog_error is not None:
        code, message = state.dialog_error
        return f"{_build_redirect_url(consent, error_code=code, error_message=message)}#_=_"
    if decision != "continue":
        denied = _build_redirect_url(
            consent,
            error="access_denied",
            error_code="200",
            error_description="Permissions error",
            error_reason="user_denied",
        )
        return f"{denied}#_=_"
    key = (_find_token_holder(state, consent), consent.app.id)
    grants = dict(state.facebook.grants.get(key, {}))
    for scope in consent.permissions:
        grants[scope] = "granted" if scope in granted else "declined"
    state.facebook.grants[key] = grants
    return _build_success_url(state, consent, granted)


def _find_token_holder(state: SandboxState, consent: _ConsentRequest) -> str:
    """Return the id of the token's user: the person, or the configuration's system user."""
    system_user = state.facebook.system_user
    has_system_user = consent.fields.get("config_id") in consent.app.system_user_configurations
    return system_user.id if system_user is not None and has_system_user else consent.person.id


def _build_success_url(
    state: SandboxState, consent: _ConsentRequest, granted: tuple[str, ...]
) -> str:
    asked = set(re.split(r"[,\s]+", consent.fields.get("response_type", "")))
    query: dict[str, str] = {}
    fragment = "_=_"
    holder = _find_token_holder(state, consent)
    if "token" in asked:
        token = state.issue_user_token(
            consent.app, holder, granted, lifetime=SHORT_LIFETIME_SECONDS
        )
        shown = {
            "access_token": token.value,
            "expires_in": str(SHORT_LIFETIME_SECONDS),
            **_state_parameter(consent),
        }
        fragment = urlencode(shown)
    if "code" in asked or "token" not in asked:
        redirect_uri = consent.fields["redirect_uri"]
        query["code"] = state.issue_code(consent.app, holder, redirect_uri, granted).value
    if "granted_scopes" in asked:
        declined_now = [scope for scope in consent.permissions if scope not in granted]
        denied = [*consent.declined_before, *declined_now]
        query |= {"granted_scopes": ",".join(granted), "denied_scopes": ",".join(denied)}
    url = _build_redirect_url(consent, **query) if query else consent.fields["redirect_uri"]
    return f"{url}#{fragment}"


def _state_parameter(consent: _ConsentRequest) -> dict[str, str]:
    return {"state": consent.fields["state"]} if consent.fields.get("state") else {}


def _build_redirect_url(consent: _ConsentRequest, **query: str) -> str:
    """Return the app's redirect URI with `query` and the state."""
    return append_query(
        consent.fields["redirect_uri"].partition("#")[0], **query, **_state_parameter(consent)
    )
