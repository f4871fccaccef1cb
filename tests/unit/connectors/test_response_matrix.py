"""
The matrix: every check × every exchange × every response in `responses`.

`tests.support.expected_outcomes` lists the cells where *failed*, *verified* or *not_run* may stand;
every other cell is inconclusive, and a check without a row is red. `make responses` prints the
counts.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.connector_safety import MinimalExchanges
from tests.support.expected_outcomes import CELLS, expected
from tests.unit.connectors.facebook_case import MINIMAL_EXCHANGES
from tests.unit.connectors.perform import CHECKS, perform
from tests.unit.connectors.responses import variants

ROWS = [
    pytest.param(check, number, minimal, exchange, id=f"{check.id}-{number}-{exchange}")
    for check in CHECKS
    for number, minimal in enumerate(MINIMAL_EXCHANGES[check.id])
    for exchange in range(len(minimal.exchanges))
]


def test_every_check_has_a_row() -> None:
    """A check that the matrix does not know is red."""
    assert {check.id for check in CHECKS} == CELLS.keys()


@pytest.mark.matrix(30)
@pytest.mark.parametrize(("check", "number", "minimal", "exchange"), ROWS)
def test_each_cell_has_its_outcome(
    check: Any, number: int, minimal: MinimalExchanges, exchange: int
) -> None:
    """Only the cells in the table say failed, verified or not_run; none is a defect."""
    wrong = []
    for response, other in variants(minimal.exchanges[exchange]):
        finding = perform(check, minimal.with_exchange(exchange, other))
        assert finding is not None
        assert finding.code != "check-broken", (response, finding.reason)
        outcome = expected(check.id, number, exchange, response)
        if finding.outcome is not outcome:
            wrong.append((response, finding.outcome.value, outcome.value, finding.reason))
    assert wrong == []
