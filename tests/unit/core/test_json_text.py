"""Strict JSON is read and written: what other readers reject is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook_lib.core.json_text import is_json, parse_json, write_json


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_not_written(number: float) -> None:
    """Writing NaN or an infinity raises `ValueError` (RFC 8259 §6)."""

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"elapsed": [number]})


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_comes_back_as_it_was_written(indent: int | None) -> None:
    """
    A document survives writing and reading; without an indent it is compact.

    Letters are written as they are, without escapes.
    """

    document = {"name": "Zürich", "numbers": [1, 2.5, None, True]}
    text = write_json(document, indent=indent)

    assert parse_json(text) == document
    assert "Zürich" in text
    assert ("\n" in text) == (indent is not None)
    assert (": " in text) == (indent is not None)


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}],
    ids=["list", "tuple", "object"],
)
def test_a_value_is_json_down_to_200_levels(wrap: Callable[[Any], Any]) -> None:
    """A list in 200 others can be written, one more cannot: each level counts, of every kind."""

    value: Any = []
    for _ in range(200):
        value = wrap(value)

    assert is_json(value)
    assert not is_json(wrap(value))
