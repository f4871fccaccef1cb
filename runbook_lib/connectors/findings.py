"""What a check can find: a `Finding` of each outcome that a check may come to."""

from __future__ import annotations

from functools import partial
from typing import Any

from runbook_lib.connectors.proof import Proof
from runbook_lib.core.model import Finding, Outcome, Table
from runbook_lib.remote.quoting import shorten

verified = partial(Finding, outcome=Outcome.VERIFIED)
inconclusive = partial(Finding, outcome=Outcome.INCONCLUSIVE)
waiting = partial(Finding, outcome=Outcome.WAITING)
not_done = partial(Finding, outcome=Outcome.NOT_RUN)

# The headings of a table of what was expected and what is there.
COMPARED = ("Compared", "Expected", "Found")


def failed(proof: Proof, *, code: str, reason: str, **details: Any) -> Finding:
    """
    Return that the step is not done, for this `reason`, if `proof` shows it.

    Else the finding is inconclusive and gives the doubt, with the same `details`. No other function
    makes a failed finding.
    """
    if proof.doubt:
        return inconclusive(code=proof.doubt_code, reason=proof.doubt, **details)
    return Finding(outcome=Outcome.FAILED, code=code, reason=reason, **details)


def compared(*rows: tuple[str, str, str]) -> tuple[Table, ...]:
    """Return a finding's `tables`: of each row what it is, what was expected, and what is there."""
    shown = tuple((what, expected, shorten(actual)) for what, expected, actual in rows)
    return (Table(caption="Expected and found", columns=COMPARED, rows=shown),)
