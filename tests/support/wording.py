"""
The sentences that tests expect: `tests/wording.toml`, one line for each.

Tests name a sentence by a key, so a reworded message is one changed line of that file. A test
asserts codes, outcomes and facts first, and a sentence only if the sentence is its promise.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runbook_lib.errors import RunbookError

AnyError = TypeVar("AnyError", bound=Exception)
TABLE = Path(__file__).parents[1] / "wording.toml"


def wording(key: str, /, **facts: object) -> str:
    """
    Return the sentence with the key `section.name`, with `facts` in its `{placeholders}`.

    Raises `KeyError` if the table has no such key, or a fact is missing.
    """
    section, _, name = key.partition(".")
    return sentences()[section][name].format(**facts)


def field_missing(field: str) -> str:
    """Return the sentence about a field that a journal's line or a record lacks."""
    return wording("messages.field-missing", field=field)


def field_invalid(field: str) -> str:
    """Return the sentence about a field that is not valid in a journal's line or a record."""
    return wording("messages.field-invalid", field=field)


@contextmanager
def refused(
    error: type[AnyError], name: str, /, *, code: str = "", **facts: object
) -> Iterator[pytest.ExceptionInfo[AnyError]]:
    """
    Expect `error` with its code, or with `code`, and with the sentence `name` of that code.

    The table's section is the code; for an error that is not the runbook's own, its class's name.
    `name` may also be a whole key, `code.name`, as in a table of cases with several codes.
    """
    with pytest.raises(error) as caught:
        yield caught
    own_code = getattr(error, "code", error.__name__)
    named_code, _, name = name.rpartition(".")
    section = code or named_code or own_code
    if isinstance(caught.value, RunbookError):
        assert caught.value.code == section
    message = str(caught.value)
    sentence = wording(f"{section}.{name}", **facts)
    assert sentence in message


@contextmanager
def refused_naming(
    error: type[AnyError], *facts: object, code: str = ""
) -> Iterator[pytest.ExceptionInfo[AnyError]]:
    """
    Expect `error` with its code, or with `code`, and with each of `facts` in its message.

    A fact is a name, a number, a path, a command or a remote system's own words. A sentence of
    ours is taken from the table, `wording(…)`.
    """
    with pytest.raises(error) as caught:
        yield caught
    if isinstance(caught.value, RunbookError):
        assert caught.value.code == (code or getattr(error, "code", ""))
    message = str(caught.value)
    assert [fact for fact in facts if str(fact) not in message] == [], message


@cache
def sentences() -> Mapping[str, Mapping[str, str]]:
    """Return the table: section → name → sentence."""
    table: dict[str, Any] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return table
