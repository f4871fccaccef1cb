"""
Masks secrets in parts of the model, by the mark of each field.

Structure (names, ids, digests, times) stays as it is. In what people typed known
secrets are masked by value, in what was sent to or came from a remote system also
by the names of fields. A text without a mark is masked whole, so a field that was
added without one shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Meta, structs

from runbook_lib.core.model import Part
from runbook_lib.core.redaction import MASK, Redactor

_P = TypeVar("_P", bound=Part)

_FINGERPRINT = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")


def masked(part: _P, masks: Redactor) -> _P:
    """Return `part` with secrets masked in its texts."""
    kinds = _kinds(type(part))
    changed = {name: _masked(getattr(part, name), kind, masks) for name, kind in kinds.items()}
    return structs.replace(part, **changed)


@cache
def _kinds(kind: type[Part]) -> dict[str, Any]:
    """Return the type of each field of `kind`."""
    return {field.name: field.type for field in structs.fields(kind)}


@cache
def _form(kind: Any) -> tuple[str, Any, tuple[Any, ...]]:
    """Return the mark of a type in `Meta.extra`, its origin and its arguments."""
    metadata = [part.extra for part in getattr(kind, "__metadata__", ()) if isinstance(part, Meta)]
    mark = next((extra["mask"] for extra in metadata if extra and "mask" in extra), "")
    return mark, get_origin(kind), get_args(kind)


def _masked(value: Any, kind: Any, masks: Redactor) -> Any:
    """Return a value of the type `kind` with the secrets in it masked."""
    mark, origin, inner = _form(kind)
    plain = kind if isinstance(kind, type) else NoneType
    match mark:
        case _ if value is None:
            return None
        case "structure":
            return value
        case "subject" if isinstance(value, str) and _FINGERPRINT.fullmatch(value):
            return value
        case "remote":
            return _as_it_was(value, masks.redact_document(value))
        case "text" | "subject":
            return _as_it_was(value, masks.redact_values(value))
        case _ if origin is Annotated:
            return _masked(value, inner[0], masks)
        case _ if origin in (Union, UnionType):
            return _masked(value, next(each for each in inner if each is not NoneType), masks)
        case _ if origin is tuple:
            return tuple(_masked(item, inner[0], masks) for item in value)
        case _ if isinstance(origin, type) and issubclass(origin, Mapping):
            return {name: _masked(item, inner[1], masks) for name, item in value.items()}
        case _ if issubclass(plain, Part):
            return masked(value, masks)
        case _ if origin is Literal or issubclass(plain, int | float | Enum):
            return value
    return MASK if value else value


def _as_it_was(value: Any, document: Any) -> Any:
    """Return `document`, as a tuple if it is the list that was made of one."""
    is_list = isinstance(value, tuple) and isinstance(document, list)
    return tuple(document) if is_list else document
