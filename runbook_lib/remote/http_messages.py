"""
Requests and responses, and the error for a response that its API does not document.
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
# NOTE: a parsed value of three characters takes up to a hundred bytes; no answer that a check
# requests has a tenth of these.
_MAX_VALUES = 100_000


def parse_body(text: str) -> Any:
    """
    Parse an answer as JSON (RFC 8259).

    Raises `ValueError` for anything else, for too many values and for too many levels.
    """
    if len(text) > _MAX_VALUES and sum(map(text.count, ",[{")) > _MAX_VALUES:
        msg = f"it has over {_MAX_VALUES:,} values"
        raise ValueError(msg)
    return parse_json(text)


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    A request, with at most one of `form` (urlencoded), `document` (JSON) and raw `content`.

    It counts towards the limits of `app` (a client ID), if known. Of the answer the record
    keeps the fields that `reads` names, at any depth. With `is_public_only` it goes to
    public addresses only.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: Any = None
    content: bytes | None = None
    app: str = ""
    recorded_fields: Collection[str] = ()
    is_public_only: bool = False

    @property
    def host(self) -> str:
        """Return the host name in the URL, empty if it is not a web address."""
        return host_of(self._parsed_url)

    @property
    def netloc(self) -> str:
        """Return the host with its port, to which a cool-down applies."""
        return self._parsed_url.netloc.decode("ascii", "replace")

    @cached_property
    def _parsed_url(self) -> httpx.URL:
        try:
            return httpx.URL(self.url)
        except (httpx.InvalidURL, ValueError):
            return httpx.URL("")


@dataclass(frozen=True)
class Response:
    """An answer: `status`, case-insensitive `headers`, `content` also decoded as `text`."""

    url: str
    status: int
    headers: httpx.Headers
    text: str
    content: bytes = b""

    def json(self) -> Any:
        """
        Return the body as a JSON document (RFC 8259, without NaN).

        Raises `UnexpectedResponseError` if it is not JSON, has too many values, or an object with
        two fields of one name.
        """
        try:
            return self._json
        except ValueError as error:
            host = host_of(httpx.URL(self.url))
            if isinstance(error, RepeatedNameError):
                name = shorten(error.name, MAX_VALUE_LENGTH)
                raise unexpected_response(host, f"an object in it has {name!r} twice") from error
            msg = f"{host} answered {self.status} with something that is not JSON."
            raise UnexpectedResponseError(msg, next_step=_ADVICE) from error

    @cached_property
    def _json(self) -> Any:
        return parse_body(self.text)


def unexpected_response(source: str, what: str) -> UnexpectedResponseError:
    """Return the error for an answer from `source` that its API does not document."""
    return UnexpectedResponseError(f"{source} gave an unexpected answer: {what}.")
