"""Prints the counts of the matrix: for each check how many responses lead to which outcome."""

from __future__ import annotations

from collections import Counter

import click

from runbook_lib.core.model import Outcome
from tests.unit.connectors.minimal_responses import CASES
from tests.unit.connectors.responses import changed_cases
from tests.unit.connectors.scripted_exchanges import CHECKS, perform

_SHOWN = (Outcome.VERIFIED, Outcome.FAILED, Outcome.NOT_RUN, Outcome.INCONCLUSIVE)


def main() -> None:
    """Print a row for each check, and the sum."""
    counts: Counter[tuple[str, str]] = Counter()
    for case in CASES:
        for place in case.places:
            outcomes = [perform(changed).outcome for _, changed in changed_cases(case, place)]
            counts.update((check, outcome) for outcome in outcomes for check in (case.check, "all"))
    click.echo(f"{'check':36}" + "".join(f"{outcome:>14}" for outcome in _SHOWN))
    for check in (*sorted(CHECKS), "all"):
        click.echo(f"{check:36}" + "".join(f"{counts[check, one]:14,}" for one in _SHOWN))


if __name__ == "__main__":
    main()
