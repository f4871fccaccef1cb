"""
The service domain: the sign-in link, the OAuth callback and its pages, the webhook (cyclr §4).
"""

import hmac
import json
from dataclasses import replace
from urllib.parse import urlencode

from facebook_cyclr_sandbox.cyclr.cyclr_api import issue_api_token
from facebook_cyclr_sandbox.cyclr.cyclr_json import add_nosniff_header
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.tokens import handle_token_request
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.http.asgi import get_host
from facebook_cyclr_sandbox.http.page_templates import render_page
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import (
    PLAIN,
    WebRequest,
    WebResponse,
    parse_web_url,
    redirect_response,
)
from facebook_cyclr_sandbox.partner_website import handle_website_request
from facebook_cyclr_sandbox.state.cyclr_state import PendingConsent, find_by_number
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

SIGN_IN_PATH = "/connectorauth/updateaccountconnectoroauth"
_SECOND_HOP = "/connectorauth/start"
_COOKIE = "CyclrConnectorAuth"
_CONSENT_LIFETIME_SECONDS = 3_600
_router = Router()


def build_sign_in_link(base: str, number: int, token: str, target_origin: str) -> str:
    """Return the link that lets a person authenticate an installed connector."""
    query = urlencode({"id": str(number), "token": token, "targetOrigin": target_origin})
    return f"{base}{SIGN_IN_PATH}?{query}"


class ServiceDomainSite(Site):
    """The service domain: over HTTPS, and over plain HTTP on loopback for browsers."""

    name = "service-domain"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to one request, for the service domain or for the partner's website."""
        host = get_host(request)
        if host in self._state.cyclr.website_hosts:
            return handle_website_request(self._state.cyclr, host, request)
        return add_nosniff_header(self._respond(request))

    def _respond(self, request: WebRequest) -> WebResponse:
        if request.is_oversized:
            return _render_message("413 – Too large", "The request is too large.", 413)
        method = "GET" if request.method == "HEAD" else request.method
        match = _router.match(method, request.path)
        if match is None:
            return _render_not_found()
        handler, placeholders = match
        return handler(self, request, **placeholders)

    @_router.route("POST", "/oauth/token")
    def _issue_token(self, request: WebRequest) -> WebResponse:
        """Issue a token of the API, as the API itself does (cyclr §3)."""
        return issue_api_token(self._state, request)

    @_router.route("GET POST", SIGN_IN_PATH)
    def _start_sign_in(self, request: WebRequest) -> WebResponse:
        """Begin a sign-in by its link (cyclr §4)."""
        state = self._state
        params = request.params
        token = state.cyclr.sign_in_tokens.pop(params.get("token", ""))
        installed = find_by_number(state.cyclr.account_connectors, params.get("id", ""))
        if token is None or token.expires_at <= state.now() or installed is None:
            return _render_forbidden()
        if installed.account_id != token.account_id:
            return _render_forbidden()
        target = params.get("targetOrigin", "")
        if parse_web_url(target) is None:
            return _render_message("400 – Bad Request", "targetOrigin is required.", 400)
        pending = PendingConsent(
            state=state.random_source.base64url(43),
            account_connector_id=installed.id,
            target_origin=target,
            callback_message=params.get("callbackMessage", ""),
            redirect_uri=state.cyclr.redirect_uri,
            started_on=state.now(),
            cookie=state.random_source.base64url(32),
        )
        state.cyclr.pending_consents.put(pending.state, pending)
        secure = "; Secure" if request["scheme"] == "https" else ""
        cookie = f"{_COOKIE}={pending.cookie}; Path=/; HttpOnly; SameSite=Lax{secure}"
        hop = f"{_SECOND_HOP}?{urlencode({'state': pending.state})}"
        return redirect_response(hop, headers=(("Set-Cookie", cookie),))

    @_router.route("GET", _SECOND_HOP)
    def _redirect_to_vendor(self, request: WebRequest) -> WebResponse:
        """Redirect to the vendor's authorization endpoint (cyclr §4)."""
        pending = self._state.cyclr.pending_consents.get(request.query_params.get("state", ""))
        if pending is None or pending.cookie != request.cookies.get(_COOKIE):
            return _render_forbidden()
        installed = self._state.cyclr.account_connectors.get(pending.account_connector_id)
        if installed is None:
            return _render_forbidden()
        connector = self._state.cyclr.library[installed.connector_id]
        query = urlencode(
            {
                "client_id": connector.client_id,
                "redirect_uri": pending.redirect_uri,
                "response_type": "code",
                "scope": connector.scopes,
                "state": pending.state,
            }
        )
        return redirect_response(f"{self._state.addresses.dialog}?{query}")

    @_router.route("GET", "/connector/callback")
    def _handle_callback(self, request: WebRequest) -> WebResponse:
        """Redeem the code, or show the vendor's error (cyclr §4)."""
        query = request.query_params
        state = self._state
        pending = state.cyclr.pending_consents.pop(query.get("state", ""))
        if pending is None or state.now() - pending.started_on > _CONSENT_LIFETIME_SECONDS:
            return _render_callback_error("invalid_state", "No authentication is under way.")
        if "code" not in query:
            return _render_callback_error(
                query.get("error", query.get("error_code", "invalid_request")),
                query.get("error_description", query.get("error_message", "No code was sent.")),
            )
        return self._redeem_code(pending, query["code"])

    def _redeem_code(self, pending: PendingConsent, code: str) -> WebResponse:
        installed = self._state.cyclr.account_connectors.get(pending.account_connector_id)
        if installed is None:
            return _render_callback_error(
                "invalid_request", "The connector is no longer installed."
            )
        connector = self._state.cyclr.library[installed.connector_id]
        try:
            response = handle_token_request(
                self._state,
                {
                    "grant_type": "authorization_code",
                    "client_id": connector.client_id,
                    "client_secret": connector.client_secret,
                    "redirect_uri": pending.redirect_uri,
                    "code": code,
                },
            )
        except GraphError as error:
            shown = translate(error, self._state.facebook.locale)
            return _render_callback_error(error.definition.type, shown.message)
        installed.access_token = str(response["access_token"])
        installed.is_authenticated = True
        return _end_sign_in(self._state, pending)

    @_router.route("GET", "/webhook/facebook-messenger/{webhook_id}")
    def _verify_webhook(self, request: WebRequest, webhook_id: str) -> WebResponse:
        """Respond to the challenge of a webhook (messenger)."""
        library = self._state.cyclr.library.values()
        query = request.query_params
        connector = next(
            (candidate for candidate in library if candidate.webhook_id == webhook_id), None
        )
        if connector is None:
            return _render_not_found()
        expected = connector.verify_token
        offered = query.get("hub.verify_token", "")
        is_right = bool(expected) and hmac.compare_digest(expected.encode(), offered.encode())
        if not is_right or query.get("hub.mode") != "subscribe":
            return WebResponse(403, b"Forbidden\n", PLAIN)
        return WebResponse(200, query.get("hub.challenge", "").encode(), PLAIN)


def _end_sign_in(state: SandboxState, pending: PendingConsent) -> WebResponse:
    if not pending.callback_message:
        return redirect_response(pending.target_origin)
    nonce = state.random_source.base64url(16)
    message = json.dumps([pending.callback_message, pending.target_origin]).replace("<", "\\u003c")
    response = render_page("callback_message.html", message=message, nonce=nonce)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'"
    headers = tuple(
        (name, policy if name == "Content-Security-Policy" else value)
        for name, value in response.headers
    )
    return replace(response, headers=headers)


def _render_not_found() -> WebResponse:
    return _render_message("404 – Not Found", "There is no such page on this service domain.", 404)


def _render_forbidden() -> WebResponse:
    return _render_message(
        "403 – Forbidden: Access is denied.", "The link is used, expired or wrong.", 403
    )


def _render_message(title: str, message: str, status: int) -> WebResponse:
    return render_page("message.html", status, site="Cyclr", title=title, message=message)


def _render_callback_error(error: str, description: str) -> WebResponse:
    return render_page("callback_error.html", 400, error=error, error_description=description)
