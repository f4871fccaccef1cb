"""
A request as the handlers see it, and the reply that they return.

Nothing here knows what Facebook or Cyclr answer, or sockets.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import HTTPConnection
from starlette.types import Scope

from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

Headers = tuple[tuple[str, str], ...]
PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)


class WebRequest(HTTPConnection):
    """
    One HTTP request, read to its end.

    `form` holds the fields of a urlencoded, multipart or JSON body, and `params` those of the
    query too; the form wins. `is_oversized` means that the body was too long and was left out.
    """

    def __init__(
        self,
        scope: Scope,
        body: bytes = b"",
        form: Iterable[tuple[str, str]] = (),
        *,
        is_oversized: bool = False,
    ) -> None:
        super().__init__(scope)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.body, self.is_oversized = body, is_oversized
        self.form = ImmutableMultiDict(list(form))
        self.params = ImmutableMultiDict(
            [*self.query_params.multi_items(), *self.form.multi_items()]
        )

    @property
    def accepts_html(self) -> bool:
        """Whether the client is a browser: `text/html` is in `Accept`."""
        return "text/html" in self.headers.get("accept", "")


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")


class Site(ABC):
    """One of the sandbox's hosts: a name for faults and reports, and its answers."""

    name: str

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    @abstractmethod
    def __call__(self, request: WebRequest) -> Reply:
        """Answer a request."""

    def refuse(self, code: int, request: WebRequest) -> Reply:  # noqa: ARG002
        """Return the error that was asked for as a fault, by its `code` where there are codes."""
        # inferred: what a proxy answers while its backend does not
        return Reply(503, b"Service Unavailable\n", PLAIN)


def html(text: str, status: int = 200, headers: Headers = ()) -> Reply:
    """Return a page that no other site may frame or script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
    return Reply(
        status,
        text.encode(),
        (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ),
    )


def redirect(location: str, status: int = 302, headers: Headers = ()) -> Reply:
    """Return a redirect to `location`."""
    safe = re.sub(r"[^\x21-\x7e]", "", location)
    return Reply(status, b"", (("Location", safe), ("Cache-Control", "no-store"), *headers))


def append_query(url: str, **values: str) -> str:
    """Return `url` with `values` added to its query, in their order."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(values))))
    return parts._replace(query=query).geturl()


def web_address(text: str) -> SplitResult | None:
    """Return the parts of an absolute http or https address, or None for anything else."""
    try:
        parts = urlsplit(text)
        return parts if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def fields_of(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a query string or urlencoded form, blanks included."""
    return parse_qsl(text, keep_blank_values=True, errors="replace")
