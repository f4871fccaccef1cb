"""Several wrong responses in one run of a check: no wrong *verified*, no wrong *failed*."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from runbook_lib.core.model import Outcome
from tests.support.connector_safety import MinimalExchanges
from tests.support.expected_outcomes import expected
from tests.unit.connectors.facebook_case import MINIMAL_EXCHANGES
from tests.unit.connectors.perform import CHECKS, perform
from tests.unit.connectors.responses import variants

# Runs of each check; over 3,000 of all checks.
RUNS = 140
MOST_WRONG = 3
# Controls that count only beside another response: two alike, or one that differs from the true
# one. What they lead to alone says nothing about several wrong ones.
CONTROLS: Mapping[str, tuple[int, ...]] = {
    "service-domain-answers": (1,),
    "connector-is-authenticated": (2, 3),
    "connector-is-installed": (2, 3, 4, 5),
}


def mutated(check: str, seed: int) -> tuple[MinimalExchanges, list[tuple[str, Outcome]]]:
    """Return exchanges of the check with up to three wrong responses, and what each may lead to."""
    dice = Random(f"{check} {seed}")
    number = dice.randrange(len(MINIMAL_EXCHANGES[check]))
    minimal = MINIMAL_EXCHANGES[check][number]
    named = []
    places = range(len(minimal.exchanges))
    for place in dice.sample(places, k=min(dice.randint(1, MOST_WRONG), len(places))):
        name, other = dice.choice(list(variants(minimal.exchanges[place])))
        minimal = minimal.with_exchange(place, other)
        named.append((f"{place}: {name}", expected(check, number, place, name)))
        if place in CONTROLS.get(check, ()):
            named[-1] = (f"{place}: {name}", Outcome.VERIFIED)
    return minimal, named


def test_there_are_3000_runs() -> None:
    """Over 3,000 runs are made."""
    assert len(CHECKS) * RUNS > 3_000


@pytest.mark.matrix(30)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_wrong_responses_together_decide_nothing(check: Any, part: int) -> None:
    """
    A check fails, or is not done, only if one of the responses says so by itself.

    It is verified only if none of them takes the verdict away.
    """
    for seed in range(part, RUNS, 4):
        minimal, named = mutated(check.id, seed)
        finding = perform(check, minimal)
        assert finding is not None
        alone = {outcome for _, outcome in named}
        assert finding.code != "check-broken", (named, finding.reason)
        if finding.outcome is Outcome.VERIFIED:
            assert alone == {Outcome.VERIFIED}, (named, finding.reason)
        elif finding.outcome is not Outcome.INCONCLUSIVE:
            assert finding.outcome in alone, (named, finding.reason)
