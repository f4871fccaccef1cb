"""Prints the counts of the matrix: for each check how many responses lead to which outcome."""

from __future__ import annotations

from collections import Counter

import click

from runbook_lib.core.model import Outcome
from tests.unit.connectors.facebook_case import MINIMAL_EXCHANGES
from tests.unit.connectors.perform import CHECKS, perform
from tests.unit.connectors.responses import variants

_SHOWN = (Outcome.VERIFIED, Outcome.FAILED, Outcome.NOT_RUN, Outcome.INCONCLUSIVE)


def main() -> None:
    """Print a row for each check, and the sum."""
    total: Counter[str] = Counter()
    click.echo(f"{'check':36}" + "".join(f"{outcome:>14}" for outcome in _SHOWN))
    for check in sorted(CHECKS, key=lambda check: check.id):
        counts: Counter[str] = Counter()
        for minimal in MINIMAL_EXCHANGES[check.id]:
            for place, exchange in enumerate(minimal.exchanges):
                for _, other in variants(exchange):
                    finding = perform(check, minimal.with_exchange(place, other))
                    counts[finding.outcome if finding else Outcome.INCONCLUSIVE] += 1
        total += counts
        click.echo(f"{check.id:36}" + "".join(f"{counts[outcome]:14,}" for outcome in _SHOWN))
    click.echo(f"{'all':36}" + "".join(f"{total[outcome]:14,}" for outcome in _SHOWN))


if __name__ == "__main__":
    main()
