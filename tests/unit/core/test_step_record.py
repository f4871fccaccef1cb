"""A step as a document: what to do about the error that its reason names."""

from __future__ import annotations

import pytest

from runbook_lib.core.step_record import advice_of
from tests.unit.evidence.reports.sample_runs import record, step

KNOWN_ERROR = {
    "shown": ["No."],
    "meaning": "No.",
    "causes": [],
    "advice": "Correct it.",
    "source": "read",
}


@pytest.mark.parametrize(
    ("seen_in", "advice"), [(["", "reason"], "Correct it."), (["response", ""], ""), ([], "")]
)
def test_advice_is_about_the_error_in_the_reason(seen_in: list[str], advice: str) -> None:
    """The advice belongs to the error that the reason names, and to no other."""
    known_errors = [{**KNOWN_ERROR, "seen": place} for place in seen_in]
    read = record(step(outcome="inconclusive", known_errors=known_errors), outcome="incomplete")

    assert advice_of(read.steps[0]) == advice
