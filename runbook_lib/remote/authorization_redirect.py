"""
A person's consent (RFC 6749 §4.1): the URL to open, and the redirect that follows.

A listener on loopback receives the redirect, or the person pastes its URL if the browser is on
another machine. `oauth` redeems the code.
"""

from __future__ import annotations

import hmac
import re
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from runbook_lib.core.credential_form import is_authorization_code
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import AuthorizationError, RefusedConsentError, StateMismatchError
from runbook_lib.remote.oauth import AuthorizationServer
from runbook_lib.remote.quoting import shorten

_PASTE = "Paste the whole address from the address bar of the tab where the consent ended."
_ADDRESS = re.compile(r"(https?://[^/?#]+)?/")
# A redirect has fewer than ten fields.
_MAX_FIELDS = 50


@dataclass(frozen=True, slots=True)
class PendingAuthorization:
    """An authorization request without a response so far; single use, like its `state`."""

    server: AuthorizationServer
    client_id: str
    redirect_uri: str
    state: str = field(default_factory=lambda: randomness.token_urlsafe(24))

    @property
    def url(self) -> str:
        """The URL that the person opens (RFC 6749 §4.1.1)."""
        scope = self.server.scope_separator.join(self.server.scope)
        query = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "response_type": "code",
            **({"scope": scope} if scope else {}),
            **self.server.parameters,
        }
        return f"{self.server.authorization_endpoint}?{urlencode(query)}"


def read_redirect(
    pending: Mapping[str, PendingAuthorization], url: str
) -> tuple[PendingAuthorization, Secret]:
    """
    Return the request that a redirect responds to, and its authorization code (RFC 6749 §4.1.2).

    `pending` are the requests by their `state`. Raises `StateMismatchError` if the redirect
    responds to none of them, `RefusedConsentError` if the person or the provider refused, and
    `AuthorizationError` if it is no authorization response, such as the URL of another tab.
    """
    if not _ADDRESS.match(url.strip()):
        raise AuthorizationError(
            "This is not an address." if url.strip() else "No address was pasted.",
            next_step=_paste_advice(pending),
        )
    if pending and not _is_redirect(pending, url):
        raise AuthorizationError(
            "This is the address of another page.", next_step=_paste_advice(pending)
        )
    fields = _fields(url)
    if not fields:
        raise AuthorizationError(
            "This address contains no answer.", next_step=_paste_advice(pending)
        )
    request = _find_request(pending, fields)
    if request is None:
        raise StateMismatchError(
            "This does not answer the latest request (its state differs), or was already used."
        )
    fields = request.server.response_fields(fields)
    if fields.get("error") == "access_denied":
        raise RefusedConsentError("The person pressed Cancel: nothing was granted.")
    reason = fields.get("error_description") or fields.get("error")
    if reason:
        readable = "".join(letter if letter.isprintable() else " " for letter in reason)
        raise RefusedConsentError(f"{request.server.title} refused: {shorten(readable)}.")
    if not is_authorization_code(fields.get("code", "")):
        raise AuthorizationError(
            "This address contains no code: copy all of it from the browser's address bar."
        )
    return request, Secret(fields["code"])


def _paste_advice(pending: Mapping[str, PendingAuthorization]) -> str:
    """Return advice which address to paste, with its first characters."""
    # People usually paste the response to the last request.
    requests = reversed([*pending.values()])
    beginnings = dict.fromkeys(f"{request.redirect_uri}?" for request in requests)
    return f"{_PASTE} It begins with {' or '.join(beginnings)}" if beginnings else _PASTE


def _is_redirect(pending: Mapping[str, PendingAuthorization], url: str) -> bool:
    """Return whether an address is a redirect URI; without a host it may be any of them."""
    address = re.split("[?#]", url.strip(), maxsplit=1)[0].casefold()
    uris = [request.redirect_uri.casefold() for request in pending.values()]
    return address.startswith("/") or address in uris


def is_response_to(pending: Mapping[str, PendingAuthorization], url: str) -> bool:
    """Return whether a redirect responds to one of the requests, whatever it says."""
    return _find_request(pending, _fields(url)) is not None


def _find_request(
    pending: Mapping[str, PendingAuthorization], fields: Mapping[str, str]
) -> PendingAuthorization | None:
    """Return the request with the same `state`, compared in constant time."""
    state = fields.get("state", "").encode(errors="replace")
    matching = [
        pending[expected] for expected in pending if hmac.compare_digest(expected.encode(), state)
    ]
    return matching[0] if matching else None


def _fields(url: str) -> Mapping[str, str]:
    """Return the fields of an address, without repeated ones (RFC 6749 §3.1)."""
    query = url.strip().partition("?")[2].partition("#")[0]
    try:
        fields = parse_qs(query, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
