"""Strict JSON: what another reader would not take is neither read nor written."""

from __future__ import annotations

import pytest

from runbook_lib.core.json_text import parse_json, write_json


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_is_not_written(number: float) -> None:
    """RFC 8259 §6: no file that the runbook writes contains NaN or Infinity."""

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"elapsed": [number]})


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_comes_back_as_it_was_written(indent: int | None) -> None:
    """Compact in a journal's line, indented in a file for people; letters stay letters."""

    document = {"name": "Zürich", "numbers": [1, 2.5, None, True]}
    text = write_json(document, indent=indent)

    assert parse_json(text) == document
    assert "Zürich" in text
    assert ("\n" in text) == (indent is not None)
    assert (": " in text) == (indent is not None)
