"""
OAuth 2.0 by the RFC's names: a provider's authorization server, and grants at its token endpoint.

`consent` makes the authorization request and reads the response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runbook_lib.core.credential_form import is_issued_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import TokenRequestError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_messages import Request, Response
from runbook_lib.remote.json_fields import JSONObject

_SOURCE = "The token endpoint"


def read_refusal(response: Response) -> TokenRequestError:
    """Return the refusal of a token request (RFC 6749 §5.2)."""
    content = response.json()
    document = JSONObject(content if isinstance(content, dict) else {}, _SOURCE)
    word = document.display_text("error")
    message = document.display_text("error_description") or word
    message = message or f"The token endpoint answered {response.status}."
    return TokenRequestError(message, status=response.status, error=word)


def _unchanged(fields: Mapping[str, str]) -> Mapping[str, str]:
    return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """
    A provider's authorization server (RFC 6749 §3).

    The optional fields describe how a provider differs from the RFC.
    """

    title: str
    """The name of the provider in messages."""

    authorization_endpoint: str
    """The URL of the consent dialog (§3.1)."""

    token_endpoint: str
    """The URL that issues tokens (§3.2)."""

    scope: tuple[str, ...] = ()
    """The scope that the consent dialog requests (§3.3)."""

    scope_separator: str = " "
    """The text between two values of the scope (§3.3: a space)."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of the authorization request."""

    token_parameters: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of a token request."""

    stable_path: Callable[[str], str] = str
    """Path of the authorization endpoint → the path without variable parts, such as a version."""

    response_fields: Callable[[Mapping[str, str]], Mapping[str, str]] = _unchanged
    """Fields of a redirect → the same fields under the names of the RFC (§4.1.2)."""

    is_token: Callable[[str], bool] = is_issued_token
    """Whether a text has the form of the provider's tokens."""

    is_transient: Callable[[Response], bool] = lambda _: False
    """Whether a response is a temporary fault, after which a safe request is sent again."""

    read_refusal: Callable[[Response], TokenRequestError] = read_refusal
    """Refusal of a token request → the error to raise (§5.2)."""


def request_token_by_client_credentials(
    session: Session, server: AuthorizationServer, *, client_id: str, client_secret: Secret
) -> Secret:
    """
    Request an access token for the client itself (RFC 6749 §4.4).

    Sent as a form, so that no URL contains the secret. Safe to repeat. Raises
    `TokenRequestError` if the server refuses.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
    }
    request = _token_request(server, form)
    return _take_token(session, server, session.get(request, is_transient=server.is_transient))


def request_token_by_code(
    session: Session,
    server: AuthorizationServer,
    *,
    client_id: str,
    client_secret: Secret,
    redirect_uri: str,
    code: str,
) -> Secret:
    """
    Redeem an authorization code (RFC 6749 §4.1.3).

    Never repeated: a code is single use. Raises `TokenRequestError` if the
    server refuses.
    """
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
        "redirect_uri": redirect_uri,
        "code": code,
    }
    return _take_token(session, server, session.send(_token_request(server, form)))


def _token_request(server: AuthorizationServer, form: dict[str, str]) -> Request:
    return Request(
        method="POST",
        url=server.token_endpoint,
        form={**form, **server.token_parameters},
        app=form["client_id"],
        recorded_fields=("access_token",),
    )


def _take_token(session: Session, server: AuthorizationServer, response: Response) -> Secret:
    document = response.json()
    if response.status != 200 or (isinstance(document, dict) and "error" in document):
        raise server.read_refusal(response)
    issued = JSONObject(document, _SOURCE).get("access_token")
    return session.take_token(issued, endpoint=server.token_endpoint, is_token=server.is_token)
