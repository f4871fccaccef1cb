"""The shape of a response: keys, types and length classes, never a value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runbook_lib.core.shapes import (
    MAX_SHAPE_CHARACTERS,
    NO_CODE,
    TOO_LONG,
    error_numbers,
    key_name,
    shape_of,
    shape_text,
)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({"b": True, "a": None}, {"a": "n", "b": "b"}),
        ([1, 2.5, 3], ["i", "f"]),
        (["", "a", "a" * 9, "a" * 5_000], ["s0", "s8", "s32", "s+"]),
        ({"data": [{"id": "1"}, {"id": "2"}, {"id": 3}]}, {"data": [{"id": "s8"}, {"id": "i"}]}),
        ({"1234567": {"name": "A"}, "7654321": {"name": "B"}}, {"{id}": {"name": "s8"}}),
        ({"act_17": 1}, {"{id}": "i"}),
    ],
    ids=str,
)
def test_the_shape_holds_types_and_lengths(value: Any, shape: Any) -> None:
    """A list has each shape of its rows once; an object its keys in order."""
    assert shape_of(value) == shape


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("account_status", "account_status"),
        ("TransactionErrorWebhookEnabled", "TransactionErrorWebhookEnabled"),
        ("x-fb-debug", "x-fb-debug"),
        ("8556100264726940", "{id}"),
        ("act_673137586233762", "{id}"),
        ("connect.partner.test", "{key}"),
        ("operator@partner.test", "{key}"),
        ("Ask for an offer", "{key}"),
        ("EAAB1234567890abcdef", "{key}"),
        ("6a805f42-6648-4bc2-a248-7846900624ab", "{key}"),
        ("", "{key}"),
        ("a" * 70, "{key}"),
    ],
)
def test_a_key_that_is_no_name_is_not_shown(key: str, shown: str) -> None:
    """Ids, addresses, tokens and texts may be keys."""
    assert key_name(key) == shown


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ({"error": {"code": 190, "error_subcode": 463}}, "190/463"),
        ({"error": {"code": 100}}, "100"),
        ({"data": {"error": {"code": 190, "subcode": 460}}}, "190/460"),
        ({"error": {"message": "No."}}, NO_CODE),
        ({"error": {"code": 8556100264726940}}, "{id}"),
        ({"error": {"code": "Partner"}}, NO_CODE),
        ({"error": "invalid_client"}, ""),
        ({"data": []}, ""),
        ([], ""),
        ("", ""),
    ],
    ids=str,
)
def test_an_error_has_its_numbers(value: Any, numbers: str) -> None:
    """Code and subcode, and nothing that may be an id."""
    assert error_numbers(value) == numbers


def test_a_long_or_deep_shape_is_left_out() -> None:
    """The record stays small, whatever a remote system answers."""
    wide = {f"key_{'abcdefghij'[n % 10] * (n // 10 + 1)}": n for n in range(300)}
    deep: Any = "end"
    for _ in range(190):
        deep = {"in": deep}

    assert shape_text(wide) == json.dumps(TOO_LONG)
    assert len(shape_text(deep)) < MAX_SHAPE_CHARACTERS
    assert TOO_LONG in shape_text(deep).encode().decode("unicode_escape")
