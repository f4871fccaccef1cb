"""
Masks secrets in parts of the model, by the mark of each field.

Structure (names, ids, digests, times) stays as it is. In people's texts, known secrets are masked
by value. In texts to and from a remote system, they are masked by the names of fields, too. A text
without a mark is masked whole, so a new field without one shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Meta, structs

from runbook_lib.core.model import ModelStruct
from runbook_lib.core.redaction import MASK, Redactor

_P = TypeVar("_P", bound=ModelStruct)

_FINGERPRINT = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")


def masked(part: _P, masks: Redactor) -> _P:
    """Return `part` with secrets masked in its texts."""
    kinds = _field_types(type(part))
    changed = {
        name: _masked_value(getattr(part, name), kind, masks) for name, kind in kinds.items()
    }
    return structs.replace(part, **changed)


@cache
def _field_types(kind: type[ModelStruct]) -> dict[str, Any]:
    """Return the type of each field of `kind`."""
    return {field.name: field.type for field in structs.fields(kind)}


@cache
def _mark_and_arguments(kind: Any) -> tuple[str, Any, tuple[Any, ...]]:
    """Return the mark of a type in `Meta.extra`, its origin and its arguments."""
    metadata = [part.extra for part in getattr(kind, "__metadata__", ()) if isinstance(part, Meta)]
    mark = next((extra["mask"] for extra in metadata if extra and "mask" in extra), "")
    return mark, get_origin(kind), get_args(kind)


def _masked_value(value: Any, kind: Any, masks: Redactor) -> Any:
    """Return a value of the type `kind` with the secrets in it masked."""
    mark, origin, inner = _mark_and_arguments(kind)
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
            return _masked_value(value, inner[0], masks)
        case _ if origin in (Union, UnionType):
            return _masked_value(
                value, next(member for member in inner if member is not NoneType), masks
            )
        case _ if origin is tuple:
            return tuple(_masked_value(item, inner[0], masks) for item in value)
        case _ if isinstance(origin, type) and issubclass(origin, Mapping):
            return {name: _masked_value(item, inner[1], masks) for name, item in value.items()}
        case _ if issubclass(plain, ModelStruct):
            return masked(value, masks)
        case _ if origin is Literal or issubclass(plain, int | float | Enum):
            return value
    return MASK if value else value


def _as_it_was(value: Any, document: Any) -> Any:
    """Return `document`, as a tuple if `value` is one."""
    is_list = isinstance(value, tuple) and isinstance(document, list)
    return tuple(document) if is_list else document
