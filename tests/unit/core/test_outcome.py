"""The table of outcomes."""

from __future__ import annotations

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OUTCOMES


def test_each_outcome_has_a_row_and_what_is_open_has_advice() -> None:
    """Icon, label and meaning tell outcomes apart; advice and rank stand where work is left."""

    rows = OUTCOMES.values()
    left = [row for row in rows if row.rank]

    assert OUTCOMES.keys() == set(Outcome)
    for told in ("icon", "label", "meaning"):
        assert len({getattr(row, told) for row in rows}) == len(Outcome), told
    assert [row for row in rows if row.advice] == left
    assert len({row.rank for row in left}) == len(left)
