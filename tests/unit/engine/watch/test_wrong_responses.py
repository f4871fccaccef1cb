"""A day of wrong responses: the watch reports none of them."""

from __future__ import annotations

from random import Random

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.engine.check_runner import CheckResult
from runbook_lib.engine.tenant_run import Run
from tests.support.expected_outcomes import expected
from tests.unit.connectors.minimal_responses import MINIMAL
from tests.unit.connectors.responses import responses_in_place_of
from tests.unit.connectors.scripted_exchanges import perform_whole
from tests.unit.engine.watch.desk import HOUR, MINUTE, Desk

_DECIDING = (Outcome.FAILED, Outcome.NOT_RUN)


@pytest.mark.parametrize("seed", range(3))
def test_a_day_of_wrong_responses_sends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Responses that refuse nothing are no change, however often they come."""
    dice = Random(seed)
    is_right = True

    def find(check: object) -> CheckResult:
        name = check.id  # type: ignore[attr-defined]
        minimal = MINIMAL[name][0]
        place = dice.randrange(len(minimal.exchanges))
        # Those that state a refusal are no fault of the response.
        wrong = [
            other
            for response, other in responses_in_place_of(minimal.exchanges[place])
            if expected(name, 0, place, response) not in _DECIDING
            and "deactivated" not in repr(other)
        ]
        if not is_right:
            minimal = minimal.with_exchange(place, dice.choice(wrong))
        return perform_whole(check, minimal)  # type: ignore[arg-type]

    monkeypatch.setattr(
        Run,
        "peek",
        lambda _run, steps: {step.id: tuple(map(find, step.checks)) for step in steps},
    )
    desk.begin()
    desk.poll()
    first = desk.changes(HOUR)
    is_right = False
    changes = desk.changes(*[15 * MINUTE] * 4, *[HOUR] * 22)

    assert first == []
    assert changes == []
    assert desk.post.sent == []
