"""The results of a check: a function for the `Finding` of each outcome that a check may reach."""

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

# The headings of a table that compares expected and actual values.
COMPARED = ("Compared", "Expected", "Found")


def failed(proof: Proof, *, code: str, reason: str, **details: Any) -> Finding:
    """
    Return the failed finding for this `reason`, if `proof` shows that the step is not done.

    Else the finding is inconclusive and gives the doubt, with the same `details`. No other function
    makes a failed finding.
    """
    if proof.doubt:
        return inconclusive(code=proof.doubt_code, reason=proof.doubt, **details)
    return Finding(outcome=Outcome.FAILED, code=code, reason=reason, **details)


def compared(*rows: tuple[str, str, str]) -> tuple[Table, ...]:
    """Return a finding's `tables`; each row has a name, the expected value and the actual value."""
    shown = tuple((name, expected, shorten(actual)) for name, expected, actual in rows)
    return (Table(caption="Expected and found", columns=COMPARED, rows=shown),)
