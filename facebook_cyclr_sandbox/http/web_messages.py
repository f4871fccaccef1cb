"""
The HTTP request that handlers get, and the response that they return.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import HTTPConnection
from starlette.types import Scope

Headers = tuple[tuple[str, str], ...]
PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)


class WebRequest(HTTPConnection):
    """
    One HTTP request, read to its end.

    `form` holds the fields of a urlencoded, multipart or JSON body. `params` adds those of the
    query; the form wins. `is_oversized`: the body was too long and is left out.
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
        self.body = body
        self.is_oversized = is_oversized
        self.form = ImmutableMultiDict(list(form))
        self.params = ImmutableMultiDict(
            [*self.query_params.multi_items(), *self.form.multi_items()]
        )

    @property
    def accepts_html(self) -> bool:
        """Whether the client is a browser: `text/html` is in `Accept`."""
        return "text/html" in self.headers.get("accept", "")


@dataclass(frozen=True)
class WebResponse:
    """One HTTP response."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")


def html_response(text: str, status: int = 200, headers: Headers = ()) -> WebResponse:
    """Return a page that no other site may frame or script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
    return WebResponse(
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


def redirect_response(location: str, status: int = 302, headers: Headers = ()) -> WebResponse:
    """Return a redirect to `location`."""
    safe = re.sub(r"[^\x21-\x7e]", "", location)
    return WebResponse(status, b"", (("Location", safe), ("Cache-Control", "no-store"), *headers))


def append_query(url: str, **values: str) -> str:
    """Return `url` with `values` added to its query, in their order."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(values))))
    return parts._replace(query=query).geturl()


def parse_web_url(text: str) -> SplitResult | None:
    """Return the parts of an absolute http or https address, or None for anything else."""
    try:
        parts = urlsplit(text)
        return parts if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def parse_form_fields(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a query string or urlencoded form, blanks included."""
    return parse_qsl(text, keep_blank_values=True, errors="replace")
