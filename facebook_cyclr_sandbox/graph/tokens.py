"""
Access tokens: validating, issuing and exchanging them, debug_token, appsecret_proof.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.graph_call import GraphCall, get_effective_scopes
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.response_sources import handles
from facebook_cyclr_sandbox.state.facebook_state import App, AuthorizationCode, Token, TokenKind
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

_CODE_LIFETIME_SECONDS = 600
_PACIFIC = ZoneInfo("America/Los_Angeles")
_FOR_PAGES = ("pages_", "leads_retrieval")
_CLIENT_ID = re.compile(r"\d{1,20}\Z")
_TOKEN = re.compile(r"EAA[A-Za-z0-9]{20,}\Z")
_APP_TOKEN = re.compile(r"(\d{1,20})\|(\S+)\Z")
_CODE = re.compile(r"AQ[\w-]{40,}\Z", re.ASCII)


def authenticate_token(state: SandboxState, value: str) -> Token:
    """Return the token with this `value`; raise GraphError 190 unless it is a valid token."""
    match = _APP_TOKEN.match(value)
    if match:
        return _authenticate_app_token(state, *match.groups())
    token = state.facebook.tokens.get(value)
    if token is None:
        is_token = _TOKEN.match(value) is not None
        raise GraphError(
            graph_errors.UNDECRYPTABLE_TOKEN if is_token else graph_errors.UNPARSABLE_TOKEN
        )
    now = state.now()
    if token.app_id not in state.facebook.apps:
        raise GraphError(graph_errors.UNDECRYPTABLE_TOKEN)
    if token.expires_at and token.expires_at <= now:
        raise GraphError(
            graph_errors.EXPIRED_TOKEN,
            expired=format_pacific_time(token.expires_at),
            now=format_pacific_time(now),
        )
    _require_active_app(state, state.facebook.apps[token.app_id])
    if (token.user_id, token.app_id) not in state.facebook.grants:
        raise GraphError(graph_errors.NOT_INSTALLED_TOKEN, app_id=token.app_id)
    return token


def _authenticate_app_token(state: SandboxState, app_id: str, tail: str) -> Token:
    app = state.facebook.apps.get(app_id)
    if app is None:
        raise GraphError(graph_errors.BAD_SIGNATURE)
    tails = (app.token_tail, app.secret)
    if not any(hmac.compare_digest(tail.encode(), known.encode()) for known in tails):
        raise GraphError(graph_errors.BAD_SIGNATURE)
    _require_active_app(state, app)
    return state.app_token(app)


def _require_active_app(state: SandboxState, app: App) -> None:
    if app.is_deactivated(state.now()):
        raise GraphError(graph_errors.DEACTIVATED_APP)


def check_appsecret_proof(app: App, access_token: str, proof: str | None) -> None:
    """Raise 100 for a wrong proof, and for a missing one if the app requires it."""
    if proof is None:
        if app.requires_proof:
            raise GraphError(graph_errors.MISSING_PROOF)
        return
    expected = hmac.new(app.secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), proof.encode()):
        raise GraphError(graph_errors.INVALID_PROOF)


@handles("GET POST /oauth/access_token")
def handle_token_request(state: SandboxState, params: Mapping[str, str]) -> dict[str, object]:
    """Respond to a token request of any grant type (graph §2, §5)."""
    app = _authenticate_client(state, params)
    grant = params.get("grant_type", "")
    if grant == "client_credentials":
        return {"access_token": state.app_token(app).value, "token_type": "bearer"}
    if grant == "fb_exchange_token":
        return _exchange_for_long_lived(state, app, params)
    redirect_uri = params.get("redirect_uri", "")
    if not redirect_uri:
        raise GraphError(graph_errors.MISSING_REDIRECT_URI)
    _check_redirect_uri(app, redirect_uri)
    code = _find_usable_code(state, app, params.get("code", ""), redirect_uri)
    code.is_used = True
    return _build_token_response(state, state.issue_user_token(app, code.user_id, code.scopes))


def _authenticate_client(state: SandboxState, params: Mapping[str, str]) -> App:
    client_id = params.get("client_id", "")
    if not client_id:
        raise GraphError(graph_errors.MISSING_CLIENT_ID)
    if not _CLIENT_ID.match(client_id):
        raise GraphError(graph_errors.MALFORMED_CLIENT_ID)
    app = state.facebook.apps.get(client_id)
    if app is None:
        raise GraphError(graph_errors.UNKNOWN_APP)
    secret = params.get("client_secret", "")
    if not hmac.compare_digest(app.secret.encode(), secret.encode()):
        raise GraphError(graph_errors.WRONG_SECRET)
    _require_active_app(state, app)
    return app


def _exchange_for_long_lived(
    state: SandboxState, app: App, params: Mapping[str, str]
) -> dict[str, object]:
    value = params.get("fb_exchange_token", "")
    if not value:
        raise GraphError(graph_errors.MISSING_EXCHANGE_TOKEN)
    token = authenticate_token(state, value)
    if token.app_id != app.id or token.kind is not TokenKind.USER:
        raise GraphError(graph_errors.UNDECRYPTABLE_TOKEN)
    return _build_token_response(state, state.issue_user_token(app, token.user_id, token.scopes))


def _check_redirect_uri(app: App, redirect_uri: str) -> None:
    try:
        parts = urlsplit(redirect_uri)
        host = parts.hostname or ""
    except ValueError:
        raise GraphError(graph_errors.RELATIVE_REDIRECT_URI) from None
    if not parts.scheme or not host:
        raise GraphError(graph_errors.RELATIVE_REDIRECT_URI)
    if app.allows_localhost(parts.scheme, host):
        return
    known = {*app.app_domains, *(urlsplit(uri).hostname or "" for uri in app.redirect_uris)}
    if not any(domain and (host == domain or host.endswith(f".{domain}")) for domain in known):
        raise GraphError(graph_errors.FOREIGN_REDIRECT_URI)


def _find_usable_code(
    state: SandboxState, app: App, value: str, redirect_uri: str
) -> AuthorizationCode:
    if not value:
        raise GraphError(graph_errors.MISSING_CODE)
    code = state.facebook.codes.get(value) if _CODE.match(value) else None
    if code is None or code.app_id != app.id:
        raise GraphError(graph_errors.INVALID_CODE)
    if code.is_used:
        raise GraphError(graph_errors.USED_CODE)
    if state.now() - code.issued_at > _CODE_LIFETIME_SECONDS:
        raise GraphError(graph_errors.EXPIRED_CODE)
    if code.redirect_uri != redirect_uri:
        raise GraphError(graph_errors.OTHER_REDIRECT_URI)
    return code


def _build_token_response(state: SandboxState, token: Token) -> dict[str, object]:
    response: dict[str, object] = {"access_token": token.value, "token_type": "bearer"}
    if token.expires_at:
        response["expires_in"] = int(token.expires_at - state.now())
    return response


@handles("GET /debug_token")
def debug_token(call: GraphCall) -> dict[str, object]:
    """Respond to `/debug_token`: 200 also for a token that is not valid (graph §6)."""
    value = call.params.get("input_token", "")
    caller = call.caller
    is_developer = (
        caller.kind is TokenKind.USER
        and caller.user_id in call.state.facebook.apps[caller.app_id].roles
    )
    if caller.kind is not TokenKind.APP and not is_developer:
        raise GraphError(graph_errors.DEBUG_CALLER)
    if not value:
        raise GraphError(graph_errors.MISSING_PARAMETER, name="input_token")
    try:
        token = authenticate_token(call.state, value)
    except GraphError as problem:
        known = call.state.facebook.tokens.get(value)
        _check_same_app(caller, known)
        return {"data": _describe_invalid_token(call, known, problem)}
    _check_same_app(caller, token)
    return {"data": _describe_token(call.state, token)}


def _check_same_app(caller: Token, token: Token | None) -> None:
    if token is not None and token.app_id != caller.app_id:
        raise GraphError(graph_errors.DEBUG_OTHER_APP)


def _describe_invalid_token(
    call: GraphCall, token: Token | None, problem: GraphError
) -> dict[str, object]:
    """Describe an invalid token: an expired one completely, any other by its app only."""
    message = translate(problem, call.locale).message
    error: dict[str, object] = {"code": problem.definition.code, "message": message}
    if problem.definition.subcode is not None:
        error["subcode"] = problem.definition.subcode
    if token is not None and problem.definition is graph_errors.EXPIRED_TOKEN:
        return _describe_token(call.state, token, error)
    data: dict[str, object] = {"app_id": token.app_id} if token else {}
    return {**data, "error": error, "is_valid": False, "scopes": []}


def _describe_token(
    state: SandboxState, token: Token, error: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Describe a token; with an `error` it is not valid."""
    app = state.facebook.apps[token.app_id]
    data: dict[str, object] = {
        "app_id": token.app_id,
        "type": token.kind.value,
        "application": app.name,
    }
    if token.kind is TokenKind.APP:
        return {**data, "is_valid": True, "scopes": []}
    data["data_access_expires_at"] = token.data_access_expires_at
    if error is not None:
        data["error"] = error
    data["expires_at"] = token.expires_at
    data["is_valid"] = error is None
    data["issued_at"] = token.issued_at
    if token.profile_id:
        data["profile_id"] = token.profile_id
    scopes = sorted(get_effective_scopes(state, token))
    data["scopes"] = scopes
    facebook = state.facebook
    chosen = [page.id for page in facebook.pages.values() if page.portfolio_id]
    is_operator = token.user_id == facebook.operator.id
    names_all = facebook.has_operator_chosen_all_pages and is_operator
    data["granular_scopes"] = [
        {"scope": scope, "target_ids": [] if names_all else chosen}
        if (chosen or names_all) and scope.startswith(_FOR_PAGES)
        else {"scope": scope}
        for scope in scopes
        if scope not in {"public_profile", "email"}
    ]
    data["user_id"] = token.user_id
    return data


def format_pacific_time(moment: float) -> str:
    """Write a time as Graph does in token errors, in United States Pacific time."""
    return datetime.fromtimestamp(moment, _PACIFIC).strftime("%A, %d-%b-%y %H:%M:%S %Z")
