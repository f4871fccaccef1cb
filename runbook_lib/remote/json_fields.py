"""
Reads fields of JSON objects by type.

A field of another type raises `UnexpectedResponseError`, with a message for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from runbook_lib.errors import MissingFieldError, UnexpectedResponseError
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.quoting import MAX_VALUE_LENGTH, shorten

# Identifiers become part of a URL, so nothing else is allowed in one.
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")

_ABSENT = object()

_LARGEST_NUMBER = 2**63


class JSONObject(Mapping[str, Any]):
    """
    A JSON object in a response, with readers that check the type of a field.

    Messages name the `source` of the response, and the `path` of the object in it. The `default`
    of a reader replaces an absent field.
    """

    def __init__(self, content: object, source: str, path: str = "") -> None:
        if not isinstance(content, dict):
            raise _type_error(source, path, content, "an object")
        self._content: dict[str, Any] = content
        self._source = source
        self._path = path

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self.get(name)
        if not isinstance(value, str) or not value.strip():
            self._refuse(name, "a text")
        return value

    def display_text(self, name: str) -> str:
        """Return a text for people, shortened; empty if the field is absent."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            self._refuse(name, "a text")
        return shorten(value or "")

    def identifier(self, name: str, default: str | None = None) -> str:
        """
        Return an id, a text that is safe in a URL.

        A remote system may write an id of digits as a number.
        """
        value = self.get(name, default)
        if value == default and default is not None:
            return default
        text = _as_digits(value)
        if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
            self._refuse(name, "an id")
        return text

    def keyword(self, name: str) -> str:
        """Return a name without blanks, such as a permission or a status."""
        value = self.get(name)
        if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
            self._refuse(name, "a name")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST_NUMBER:
            self._refuse(name, "a whole number")
        return value

    def code(self, name: str) -> int | None:
        """Return an error code, `None` if the field is absent or null."""
        return self.number(name) if self.get(name) is not None else None

    def boolean(self, name: str) -> bool:
        """Return `true` or `false`; other values are not converted."""
        value = self.get(name)
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value

    def moment(self, name: str, default: int | None = None) -> datetime | None:
        """Return a time, given in seconds since 1970; `None` for 0, which means never."""
        seconds = self.number(name, default)
        try:
            return datetime.fromtimestamp(seconds, UTC) if seconds else None
        except (ValueError, OverflowError, OSError):
            self._refuse(name, "a time")

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; it may be empty, but not left out or null."""
        value = self.get(name, _ABSENT)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(name, "a list of texts")
        return tuple(value)

    def strings_or_none(self, name: str) -> tuple[str, ...] | None:
        """Return a list of texts, or `None` if the field is left out or null; see `gap`."""
        return None if self.get(name) is None else self.strings(name)

    def describe_absence(self, name: str) -> str:
        """Return *is left out*, *is null* or *is empty*; empty if the field has a value."""
        if name not in self:
            return "is left out"
        value = self[name]
        if value is None:
            return "is null"
        return "is empty" if value in ("", [], {}) else ""

    def object_at(self, name: str) -> JSONObject:
        """Return the object in the field."""
        return JSONObject(self.get(name, _ABSENT), self._source, self._field_path(name))

    def objects_at(self, name: str, default: Sequence[object] | None = None) -> list[JSONObject]:
        """Return the objects in the field's list."""
        value = self.get(name, _ABSENT if default is None else list(default))
        return json_objects(value, self._source, self._field_path(name))

    def expect(self, name: str, expected: str) -> None:
        """Raise `UnexpectedResponseError` unless the field is `expected`, as requested."""
        if _as_digits(self.get(name)) != expected:
            self._refuse(name, expected)

    def _field_path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _refuse(self, name: str, expected: str) -> NoReturn:
        value = self.get(name, _ABSENT)
        raise _type_error(self._source, self._field_path(name), value, expected)


def _type_error(source: str, path: str, value: object, expected: str) -> UnexpectedResponseError:
    """Return the error for a field that is left out, or of another type than `expected`."""
    if value is _ABSENT:
        return MissingFieldError(f"{source} left out {path}, which this check needs ({expected}).")
    return unexpected_response(
        source, f"{path or 'the response'} is {_describe_value(value)}, not {expected}"
    )


def _as_digits(value: Any) -> Any:
    """Return a whole number as digits, and any other value unchanged."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return str(value) if is_number and value <= _LARGEST_NUMBER else value


def json_objects(content: object, source: str, path: str = "") -> list[JSONObject]:
    """Return the objects of a list; raises `UnexpectedResponseError` if it is not a list."""
    if not isinstance(content, list):
        raise _type_error(source, path, content, "a list of objects")
    return [JSONObject(item, source, f"{path}[{place}]") for place, item in enumerate(content)]


def _describe_value(value: object) -> str:
    """Return a field's value for a message, shortened."""
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_VALUE_LENGTH else shorten(value, MAX_VALUE_LENGTH))
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value)
    return text if len(text) <= MAX_VALUE_LENGTH else "a long number"
