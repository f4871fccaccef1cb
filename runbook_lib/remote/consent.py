"""
A person's consent (RFC 6749 §4.1): the address to open, and what comes back.

The redirect arrives at a listener on loopback, or is pasted where the
browser is on another machine. Redeeming the code is `oauth`'s business.
"""

from __future__ import annotations

import http.server
import re
import secrets as randomness
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from runbook_lib.credential_form import is_issued_token
from runbook_lib.errors import AuthorizationError, StateMismatchError
from runbook_lib.redaction import Secret

__all__ = ["PendingAuthorization", "RedirectListener", "answers", "read_redirect"]

_PATH = "/consent"
_PAGE = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>Facebook Marketing runbook"
    "</title><body style='font:16px system-ui;margin:4em'><h1>Back to the runbook</h1>"
    "<p>{said} You may close this tab.</p></body></html>"
)
_TAKEN = "The answer has arrived there."
_NOT_AWAITED = "Nothing was done: it has this answer already, or did not ask for it."
_PASTE = "Paste the whole address from the address bar of the tab in which the consent ended."
_ADDRESS = re.compile(r"(https?://[^/?#]+)?/")


@dataclass(frozen=True, slots=True)
class PendingAuthorization:
    """An authorization request that awaits its answer; single use, since it holds the `state`."""

    dialog_url: str
    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str = field(default_factory=lambda: randomness.token_urlsafe(24))

    @property
    def url(self) -> str:
        """Return the address that the person opens (RFC 6749 §4.1.1; Facebook Login: manual)."""
        query = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "response_type": "code",
            "scope": ",".join(self.scope),
            # NOTE: without it Facebook does not ask again for what was declined before.
            "auth_type": "rerequest",
        }
        return f"{self.dialog_url}?{urlencode(query)}"


def read_redirect(
    pending: Mapping[str, PendingAuthorization], url: str
) -> tuple[PendingAuthorization, Secret]:
    """
    Return which request a redirect answers, and its authorization code (RFC 6749 §4.1.2).

    `pending` are the requests by their `state`. Raises `StateMismatchError`
    where the redirect answers none of them, `AuthorizationError` where it is
    no answer at all, or the person or Facebook refused.
    """
    if not _ADDRESS.match(url.strip()):
        msg = "This is no address." if url.strip() else "No address was pasted."
        raise AuthorizationError(msg, next_step=_PASTE)
    fields = _fields(url)
    if not fields:
        msg = "There is no answer in this address."
        raise AuthorizationError(msg, next_step=_PASTE)
    request = pending.get(fields.get("state", ""))
    if request is None:
        msg = (
            "This is not the answer to the request that was made last (its state differs), "
            "or it was taken already."
        )
        raise StateMismatchError(msg)
    if fields.get("error_reason") == "user_denied" or fields.get("error") == "access_denied":
        msg = "The person pressed Cancel: nothing was granted."
        raise AuthorizationError(msg)
    # NOTE: some errors of Facebook's dialog come as error_code and error_message, without error.
    said = fields.get("error_description") or fields.get("error_message") or fields.get("error")
    if said:
        msg = f"Facebook refused: {said}."
        raise AuthorizationError(msg)
    if not is_issued_token(fields.get("code", "")):
        msg = "There is no code in this address; copy it whole, from the browser's address bar."
        raise AuthorizationError(msg)
    return request, Secret(fields["code"])


def answers(pending: Mapping[str, PendingAuthorization], url: str) -> bool:
    """Tell whether a redirect answers one of the requests, whatever the answer is."""
    return _fields(url).get("state", "") in pending


def _fields(url: str) -> dict[str, str]:
    query = url.strip().partition("?")[2].partition("#")[0]
    return {name: values[0] for name, values in parse_qs(query).items()}


class RedirectListener:
    """
    A listener on loopback that hands each redirect's address to `on_redirect`.

    That tells whether the redirect was awaited: a tab that is loaded again,
    or a stranger's request, is not, and changes nothing.

    Facebook lets an app in development mode redirect to `http://localhost`
    without registration; others register it like any redirect URI.
    """

    def __init__(self, on_redirect: Callable[[str], bool]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers the browser, whatever it brings, with one page."""

            def do_GET(self) -> None:
                if urlsplit(self.path).path != _PATH:
                    self.send_error(404)
                    return
                said = _TAKEN if on_redirect(self.path) else _NOT_AWAITED
                content = _PAGE.format(said=said).encode()
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(content)))
                self.send_header("referrer-policy", "no-referrer")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing: the path holds the code."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def redirect_uri(self) -> str:
        """Return the address that the dialog sends the browser back to."""
        return f"http://localhost:{self._server.server_address[1]}{_PATH}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
