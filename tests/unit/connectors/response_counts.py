"""Prints the counts of the matrix: for each check how many responses lead to which outcome."""

from __future__ import annotations

from collections import Counter

import click

from runbook_lib.core.model import Outcome
from tests.unit.connectors.minimal_responses import CHECKS, MINIMAL
from tests.unit.connectors.responses import ALL_AT_ONCE, changed_scripts
from tests.unit.connectors.scripted_exchanges import perform

_SHOWN = (Outcome.VERIFIED, Outcome.FAILED, Outcome.NOT_RUN, Outcome.INCONCLUSIVE)


def main() -> None:
    """Print a row for each check, and the sum."""
    total: Counter[str] = Counter()
    click.echo(f"{'check':36}" + "".join(f"{outcome:>14}" for outcome in _SHOWN))
    for check in sorted(CHECKS, key=lambda check: check.id):
        counts: Counter[str] = Counter()
        for script in MINIMAL[check.id]:
            for place in (*range(len(script.exchanges)), ALL_AT_ONCE):
                for _, changed in changed_scripts(script, place):
                    counts[perform(check, changed).outcome] += 1
        total += counts
        click.echo(f"{check.id:36}" + "".join(f"{counts[outcome]:14,}" for outcome in _SHOWN))
    click.echo(f"{'all':36}" + "".join(f"{total[outcome]:14,}" for outcome in _SHOWN))


if __name__ == "__main__":
    main()
