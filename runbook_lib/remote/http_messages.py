"""
HTTP requests and responses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from runbook_lib.core.json_text import RepeatedNameError, parse_json
from runbook_lib.errors import UnexpectedResponseError
from runbook_lib.remote.addresses import host_of
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.quoting import MAX_VALUE_LENGTH, shorten

_ADVICE = "Run again; if it fails again, a proxy may be answering instead of the API."
# NOTE: a parsed value of three characters takes up to a hundred bytes; no response that a
# check requests has a tenth of these.
_MAX_VALUES = 100_000


def parse_body(text: str) -> Any:
    """
    Parse a body as JSON (RFC 8259).

    Raises `ValueError` for other text, for too many values and for too many levels.
    """
    if len(text) > _MAX_VALUES and sum(map(text.count, ",[{")) > _MAX_VALUES:
        raise ValueError(f"it has over {_MAX_VALUES:,} values")
    return parse_json(text)


@dataclass(frozen=True, kw_only=True)
class Request:
    """An HTTP request, with at most one of `form`, `json` and `content`."""

    method: str
    """The method, in capitals."""

    url: str
    """The absolute URL, with its query."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to send besides the client's own."""

    form: Mapping[str, str] | None = None
    """Fields of a form, sent as `application/x-www-form-urlencoded`."""

    json: Any = None
    """A document, sent as JSON."""

    content: bytes | None = None
    """A raw body."""

    app: str = ""
    """Client ID of the app whose rate limits the request counts towards; empty if unknown."""

    recorded_fields: Collection[str] = ()
    """Fields of the response that the record keeps, at any depth."""

    is_public_only: bool = False
    """Whether it may go to public addresses only."""

    @property
    def host(self) -> str:
        """The host name in the URL, empty if it is not a web address."""
        return host_of(self._parsed_url)

    @property
    def netloc(self) -> str:
        """The host with its port; cool-downs and slots apply to it."""
        return self._parsed_url.netloc.decode("ascii", "replace")

    @cached_property
    def _parsed_url(self) -> httpx.URL:
        try:
            return httpx.URL(self.url)
        except (httpx.InvalidURL, ValueError):
            return httpx.URL("")


@dataclass(frozen=True)
class Response:
    """An HTTP response, completely read."""

    url: str
    """The URL of the request."""

    status: int
    """The status code (RFC 9110 §15)."""

    headers: httpx.Headers
    """The headers; their names have no case."""

    text: str
    """The body decoded as UTF-8, whatever charset the headers name."""

    content: bytes = b""
    """The body, after decoding of gzip."""

    def json(self) -> Any:
        """
        Return the body parsed as JSON (RFC 8259, without NaN).

        Raises `UnexpectedResponseError` if it is not JSON, has too many values, or has an object
        with two fields of one name.
        """
        try:
            return self._json
        except ValueError as error:
            host = host_of(httpx.URL(self.url))
            if isinstance(error, RepeatedNameError):
                name = shorten(error.name, MAX_VALUE_LENGTH)
                raise unexpected_response(host, f"an object in it has {name!r} twice") from error
            raise UnexpectedResponseError(
                f"{host} answered {self.status} with something that is not JSON.", next_step=_ADVICE
            ) from error

    @cached_property
    def _json(self) -> Any:
        return parse_body(self.text)


def unexpected_response(source: str, what: str) -> UnexpectedResponseError:
    """Return the error for a response from `source` that its API does not document."""
    return UnexpectedResponseError(f"{source} gave an unexpected response: {what}.")
