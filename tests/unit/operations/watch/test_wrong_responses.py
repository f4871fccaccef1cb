"""A day of wrong responses: the watch reports none of them."""

from __future__ import annotations

from random import Random

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.core.procedure import Check
from runbook_lib.engine.check_runner import CheckResult
from runbook_lib.engine.tenant_run import Run
from tests.unit.connectors.minimal_responses import cases_of
from tests.unit.connectors.responses import responses_in_place_of
from tests.unit.connectors.scripted_exchanges import perform_whole
from tests.unit.operations.watch.desk import HOUR, MINUTE, Desk

_DECIDING = (Outcome.FAILED, Outcome.NOT_RUN)
# Codes of definite refusals, whatever the check's outcome is (`test_definite_answers`).
_REFUSALS = (
    "app-deactivated",
    "app-id-not-recognised",
    "app-secret-refused",
    "cyclr-credentials-refused",
    "permission-not-live",
)


@pytest.mark.parametrize("seed", range(3))
def test_a_day_of_wrong_responses_sends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Responses that refuse nothing are no change, however often they come."""
    dice = Random(seed)
    is_right = True

    def find(check: Check) -> CheckResult:
        case = cases_of(check.id)[0]
        result = perform_whole(case)
        while not is_right:
            place = dice.randrange(len(case.exchanges))
            exchange = case.exchanges[place]
            name, other = dice.choice(list(responses_in_place_of(exchange)))
            result = perform_whole(case.with_exchange(place, other))
            # A response that states a refusal is no fault of the response.
            is_stated = exchange.outcome_of(name) in _DECIDING or result.finding.code in _REFUSALS
            if not is_stated:
                break
        return result

    monkeypatch.setattr(
        Run,
        "peek",
        lambda _run, steps: {step.id: tuple(map(find, step.checks)) for step in steps},
    )
    desk.cycle(0)
    first = desk.changes(HOUR)
    is_right = False
    changes = desk.changes(*[15 * MINUTE] * 4, *[HOUR] * 22)

    assert first == []
    assert changes == []
    assert desk.post.sent == []
