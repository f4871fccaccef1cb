"""Strict JSON is read and written: what other readers reject is an error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.core.json_text import (
    NonFiniteConstantError,
    RepeatedNameError,
    parse_json,
    parse_own,
    write_json,
)
from tests.support.wording import refused, refused_naming

TEXTS = st.text(st.characters(codec=None))
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_not_written(number: float) -> None:
    """Writing NaN or an infinity raises `ValueError` (RFC 8259 §6)."""
    with refused_naming(ValueError, "not JSON compliant"):
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


@given(document=DOCUMENTS, indent=st.sampled_from([None, 2]))
def test_the_fast_reader_reads_what_the_strict_one_reads(document: Any, indent: int | None) -> None:
    """The fast reader reads what the strict one reads, also lone surrogates (RFC 8259 §8.2)."""
    text = write_json(document, indent=indent).encode("utf-8", "backslashreplace")

    assert parse_own(text) == parse_json(text) == document


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'[{"b":{"a":1,"c":2,"a":3}}]',
        b'{ "a": 1, "a": 2 }',
        b'{"a":1,"\\u0061":2}',
    ],
)
def test_two_fields_of_one_name_are_an_error(text: bytes) -> None:
    """JSON that two readers may understand differently is refused in every spelling."""
    for parse in (parse_own, parse_json):
        with refused_naming(RepeatedNameError, "'a'"):
            parse(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_json_lacks_is_named(constant: str) -> None:
    """NaN and the infinities raise an error with the constant, in both readers."""
    for parse in (parse_own, parse_json):
        with pytest.raises(NonFiniteConstantError) as caught:
            parse(f"[{constant}]".encode())
        assert caught.value.constant == constant


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[NaN]", b"[1e999]", b"\xff", b"[" * 100_000, b'{"a":1}x']
)
def test_anything_but_strict_json_is_an_error(text: bytes) -> None:
    """Anything that is not strict JSON raises `ValueError`, and nothing else."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_own(text)
    assert str(caught.value)


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 201 + "1" + "}" * 201, "[" * 201 + '"]'])
@pytest.mark.parametrize("parse", [parse_json, parse_own])
def test_a_document_is_refused_before_the_stack_ends(
    parse: Callable[[bytes], Any], deep: str
) -> None:
    """
    A document of over 200 levels is refused without a walk to the end of Python's stack.

    A garbage collection there would run finalizers that have no room to run.
    """
    deepest_frames = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with refused(ValueError, "too-deep"):
            parse(deep.encode())
    finally:
        sys.setrecursionlimit(deepest_frames)


@pytest.mark.parametrize("parse", [parse_json, parse_own])
@pytest.mark.parametrize(
    "document",
    [[[]] * 10_000, ["[" * 10_000], ['"', "[" * 300, '\\"' + "{" * 300], {"[" * 300: 1}],
    ids=["many", "text", "quotes", "name"],
)
def test_many_brackets_are_not_many_levels(parse: Callable[[bytes], Any], document: Any) -> None:
    """Lists beside each other, and brackets in texts, are no levels."""
    assert parse(write_json(document).encode()) == document


@given(document=DOCUMENTS)
def test_levels_are_counted_as_the_parser_counts_them(document: Any) -> None:
    """200 levels are read, one more is not, whatever lies in the innermost."""
    levels = depth(document)
    for more, passes in ((200 - levels, True), (201 - levels, False)):
        text = "[" * more + write_json(document) + "]" * more
        with nullcontext() if passes else refused(ValueError, "too-deep"):
            parse_json(text)


def depth(document: Any) -> int:
    inner = document.values() if isinstance(document, dict) else document
    return 1 + max(map(depth, inner), default=0) if isinstance(document, dict | list) else 0
