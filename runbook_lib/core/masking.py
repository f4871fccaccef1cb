"""
Masks secrets in parts of the model, by the mark of each field.

Structure (names, ids, digests, times) stays as it is. In what people typed known
secrets are masked by value, in what was sent to or came from a remote system also
by the names of fields. A text without a mark is masked whole, so a field that was
added without one shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Meta, structs

from runbook_lib.core.model import Part
from runbook_lib.core.redaction import MASK, Redactor

_P = TypeVar("_P", bound=Part)
_Mask = Callable[[Redactor, Any], Any]

_FINGERPRINT = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")


def masked(part: _P, masks: Redactor) -> _P:
    """Return `part` with secrets masked in its texts."""
    changed = {name: mask(masks, getattr(part, name)) for name, mask in _fields(type(part)).items()}
    return structs.replace(part, **changed)


def _structure(_: Redactor, value: Any) -> Any:
    return value


def _whole(_: Redactor, value: Any) -> Any:
    return MASK if value else value


def _subject(masks: Redactor, value: Any) -> Any:
    is_fingerprint = isinstance(value, str) and _FINGERPRINT.fullmatch(value)
    return value if is_fingerprint else masks.redact_values(value)


# By the mark in `Meta.extra`.
_MARKS: Mapping[str, _Mask] = {
    "structure": _structure,
    "text": lambda masks, value: masks.redact_values(value),
    "remote": lambda masks, value: masks.redact_document(value),
    "subject": _subject,
}


@cache
def _fields(kind: type[Part]) -> dict[str, _Mask]:
    """Return how each field of `kind` is masked."""
    return {field.name: _mask_of(field.type) for field in structs.fields(kind)}


def _marks(kind: Any) -> dict[str, Any]:
    metadata = [part.extra for part in getattr(kind, "__metadata__", ()) if isinstance(part, Meta)]
    return {name: mark for extra in metadata if extra for name, mark in extra.items()}


def _mask_of(kind: Any) -> _Mask:
    """Return how a value of this type is masked."""
    origin, inner = get_origin(kind), get_args(kind)
    mask: _Mask = _whole
    if mark := _marks(kind).get("mask"):
        mask = _marked(_MARKS[mark])
    elif origin is Annotated:
        mask = _mask_of(inner[0])
    elif origin in (Union, UnionType):
        mask = _optional(_mask_of(next(part for part in inner if part is not type(None))))
    elif origin is tuple:
        mask = _each(_mask_of(inner[0]))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        mask = _each_value(_mask_of(inner[1]))
    elif isinstance(kind, type) and issubclass(kind, Part):
        mask = _part
    elif origin is Literal or (isinstance(kind, type) and issubclass(kind, int | float | Enum)):
        mask = _structure
    return mask


def _marked(mask: _Mask) -> _Mask:
    """Return `mask`, with a tuple in place of the list that it makes of one."""

    def masked_value(masks: Redactor, value: Any) -> Any:
        document = mask(masks, value)
        return (
            tuple(document) if isinstance(document, list) and isinstance(value, tuple) else document
        )

    return masked_value


def _optional(mask: _Mask) -> _Mask:
    return lambda masks, value: None if value is None else mask(masks, value)


def _each(mask: _Mask) -> _Mask:
    return lambda masks, values: tuple(mask(masks, value) for value in values)


def _each_value(mask: _Mask) -> _Mask:
    return lambda masks, values: {name: mask(masks, value) for name, value in values.items()}


def _part(masks: Redactor, part: Part) -> Part:
    return masked(part, masks)
