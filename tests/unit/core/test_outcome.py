"""The table of outcomes."""

from __future__ import annotations

import re

import pytest

from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.evidence.reports.renderer import environment
from runbook_lib.walkthrough.widgets import HeaderPanel
from tests.support.wording import refused


def test_each_outcome_has_a_row_and_what_is_open_has_advice() -> None:
    """Icon, label and meaning tell outcomes apart; advice and rank stand where work is left."""
    rows = OUTCOMES.values()
    left = [row for row in rows if row.rank]

    assert OUTCOMES.keys() == set(Outcome)
    for told in ("icon", "label", "meaning"):
        assert len({getattr(row, told) for row in rows}) == len(Outcome), told
    assert [row for row in rows if row.advice] == left
    assert len({row.rank for row in left}) == len(left)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_that_a_check_may_return_has_its_place_among_findings(outcome: Outcome) -> None:
    """A check returns the outcomes that can decide, each with a place of its own, and no other."""
    places = [row.decides for row in OUTCOMES.values()]

    if place := OUTCOMES[outcome].decides:
        assert Finding(outcome=outcome, code="a-code", reason="").outcome is outcome
        assert places.count(place) == 1
    else:
        with refused(ValueError, "check-cannot-attest"):
            Finding(outcome=outcome, code="a-code", reason="")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_report_has_the_colours_of_the_table(outcome: Outcome) -> None:
    """It draws each outcome in the colours of its row."""
    colour = OUTCOMES[outcome].colour
    report = environment().get_template("report.css").render()
    of_outcome = f'[data-outcome="{outcome}"] {{ --'

    assert f"{of_outcome}mark: {colour.mark}; --edge: {colour.edge}; }}" in report
    assert f"{of_outcome}edge: {colour.dark}; }}" in report.partition("color-scheme: dark")[2]


@pytest.mark.parametrize("outcome", Outcome)
def test_a_panel_has_a_colour_only_where_something_is_done_waits_or_is_wrong(
    outcome: Outcome,
) -> None:
    """Green, amber and red; what is to do, skipped or cannot be told has none of its own."""
    rules = re.findall(r"^([^{}\n]+) \{ --rb-mark: var\(--rb-(\w+)\); \}", HeaderPanel._css, re.M)
    found = {colour for places, colour in rules if f'[data-outcome="{outcome}"]' in places}
    expected = {"verified": "ok", "attested": "ok", "waiting": "wait", "failed": "bad"}

    assert rules
    assert found == ({expected[outcome]} if outcome in expected else set())
