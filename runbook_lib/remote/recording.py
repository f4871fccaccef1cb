"""
Records exchanges: redacted, and shortened where they are long.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from runbook_lib.core.json_text import RepeatedNameError, rebuild
from runbook_lib.core.model import Exchange, ResponseShape
from runbook_lib.core.redaction import Redactor
from runbook_lib.core.shapes import error_numbers, key_name, shape_text
from runbook_lib.errors import UnexpectedResponseError
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.http_messages import Request, Response

_MAX_BODY_LENGTH = 8_192
# Only the start of a longer body is redacted, and the record omits the end of that start.
_MAX_REDACTED_LENGTH = 8 * _MAX_BODY_LENGTH
_MAX_HEADER_LENGTH = 1_024
_LOWEST_ERROR_STATUS = 400
# NOTE: the field Name also says whether another one contains a credential.
_IDENTIFYING = frozenset({"id", "Id", "name", "Name"})
_OMITTED = "(fields that no check reads)"
_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{1,300})</title>", re.IGNORECASE)
# A shape does not name these headers: any server sends them.
_USUAL_HEADERS = frozenset(
    (
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expires",
        "keep-alive",
        "pragma",
        "server",
        "strict-transport-security",
        "vary",
        "transfer-encoding",
        "alt-svc",
        "content-encoding",
        "access-control-allow-origin",
        "x-content-type-options",
        "x-frame-options",
        "set-cookie",
    )
)
_RECORDED_HEADERS = (
    "age",
    "content-type",
    "location",
    "retry-after",
    "www-authenticate",
)


@dataclass(slots=True, eq=False)
class UnredactedExchange:
    """An exchange before redaction: its tokens may become known only after it ended."""

    request: Request
    """The request, with its secrets."""

    sent_on: str
    """The time of sending, as the journal writes it."""

    elapsed: float = 0.0
    """Seconds from sending to the end of the response, or to the error."""

    response: Response | None = None
    """The response; `None` while it is missing."""

    error: str = ""
    """The reason for a missing response; empty if there is one."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RecordedExchange:
    """An exchange that belongs to the record of one or several checks."""

    redacted: Callable[[], Exchange]
    """Returns the exchange with all secrets masked that are known at the call."""


def redacted_exchange(
    exchange: UnredactedExchange, redactor: Redactor, header_names: Collection[str]
) -> Exchange:
    """Return the record of an exchange, with `header_names` besides the usual headers."""
    request = exchange.request
    response = exchange.response
    sent_body = request.form if request.form is not None else request.json
    redacted = Exchange(
        method=request.method,
        url=recorded_url(request.url, redactor),
        sent_on=exchange.sent_on,
        elapsed=exchange.elapsed,
        request=redactor.redact_document(sent_body),
        error=redactor.redact(exchange.error),
    )
    if response is None:
        return redacted
    headers = recorded_headers(response.headers, redactor, header_names)
    return replace(
        redacted,
        status=response.status,
        headers=headers,
        response=recorded_body(response, redactor, request.recorded_fields),
        shape=recorded_shape(response, redactor, without=headers) if request.app else None,
    )


def recorded_url(url: str, redactor: Redactor) -> str:
    """Return `url` with its secrets masked; in the query also by the names of fields."""
    try:
        parts = httpx.URL(url)
        fields = redactor.redact_document(dict(parts.params))
        bare = str(parts.copy_with(query=None))
    except (httpx.InvalidURL, ValueError):
        return redactor.redact_remote(url)
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return redactor.redact_remote(bare) + (f"?{query}" if query else "")


def recorded_headers(
    headers: httpx.Headers, redactor: Redactor, further_names: Collection[str]
) -> dict[str, str]:
    """Return the recorded headers: the usual ones, and those named in `further_names`."""
    kept = sorted({*_RECORDED_HEADERS, *further_names})
    values = {name: headers[name] for name in kept if name in headers}
    if "location" in values:
        values["location"] = recorded_url(values["location"], redactor)
    return {
        name: text if len(text) <= _MAX_HEADER_LENGTH else f"{text[:_MAX_HEADER_LENGTH]}…"
        for name, value in values.items()
        for text in [redactor.redact_remote(value)]
    }


def recorded_shape(
    response: Response, redactor: Redactor, *, without: Collection[str] = ()
) -> ResponseShape:
    """
    Return the shape of a provider's response, without its values and the headers `without`.

    NOTE: a remote system may use a secret as a key, so the shape is redacted.
    """
    names = {key_name(name.lower()) for name in response.headers}
    headers = tuple(sorted(names - _USUAL_HEADERS - {*without}))
    try:
        document = response.json()
    except UnexpectedResponseError:
        is_page = "<" in response.text[:200]
        kind = "page" if is_page else "text" if response.text.strip() else "nothing"
        return ResponseShape(body=json.dumps(kind), header_names=headers)
    body = redactor.redact(shape_text(document))
    return ResponseShape(body=body, error=error_numbers(document), header_names=headers)


def recorded_body(response: Response, redactor: Redactor, fields: Collection[str] = ()) -> Any:
    """
    Return the recorded part of a body, redacted and shortened.

    The record has all of a refusal. It has the `fields` of other JSON, at any depth, with those
    that identify an object. It has the title of a page.
    """
    body = _recorded_part(response, fields)
    truncator = _Truncator(redactor)
    if len(response.text) > _MAX_REDACTED_LENGTH:
        body = truncator.truncate(body)
    body = redactor.redact_document(body)
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    if len(text) <= _MAX_BODY_LENGTH and not truncator.is_full:
        return body
    return f"{text[:_MAX_BODY_LENGTH]}… ({len(response.text)} characters in all)"


def _recorded_part(response: Response, fields: Collection[str]) -> Any:
    try:
        document = response.json()
        is_refusal = response.status >= _LOWEST_ERROR_STATUS or (
            isinstance(document, dict) and "error" in document
        )
        if is_refusal:
            return document
        kept = _IDENTIFYING | set(fields)
        return rebuild(document, lambda part: _select_fields(part, kept))
    except UnexpectedResponseError as error:
        if isinstance(error.__cause__, RepeatedNameError):
            # NOTE: such a response does not tell whether a field holds a credential.
            return f"{error} ({len(response.text)} characters)"
        title = _TITLE.search(response.text, 0, _MAX_REDACTED_LENGTH)
        if title or "html" in response.headers.get("content-type", "").lower():
            name = html.unescape(title[1]).strip() if title else ""
            page = f"page “{name}”" if title else "page without a title"
            return f"{page} ({len(response.text)} characters)"
        return response.text


def _select_fields(value: Any, kept: Collection[str]) -> Any:
    """Return the `kept` fields of an object, and the number of the others."""
    if not isinstance(value, dict):
        return value
    fields = {name: value[name] for name in value if name in kept}
    left = len(value) - len(fields)
    return fields | {_OMITTED: left} if left else fields


class _Truncator:
    """Shortens a document to a number of characters, and keeps its structure."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = _MAX_REDACTED_LENGTH

    @property
    def is_full(self) -> bool:
        """Whether a part did not fit."""
        return self._left <= 0

    def truncate(self, value: Any) -> Any:
        """Return as much of `value` as fits."""
        if isinstance(value, str):
            return self.truncate_text(value)
        if isinstance(value, dict):
            # NOTE: the field Name says whether another one contains a credential.
            names = sorted(value, key=lambda name: name != "Name")
            return {
                self.truncate_text(name): self.truncate(value[name])
                for name in names
                if self._left > 0
            }
        if isinstance(value, list):
            return [self.truncate(item) for item in value if self._left > 0]
        self._left -= 8
        return value

    def truncate_text(self, text: str) -> str:
        """Return `text`, or its start without an end that may contain half a secret."""
        room = max(0, self._left)
        self._left -= len(text) + 4
        if len(text) <= room:
            return text
        return self._redactor.redact_remote(text[:room])[:-_MAX_BODY_LENGTH] + "…"
