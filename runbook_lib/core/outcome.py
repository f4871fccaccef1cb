"""
The icon and the meaning of each outcome, the same wherever one is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from runbook_lib.core.model import Mode, Outcome
from runbook_lib.core.procedure import Conclusion

ICONS: Mapping[Outcome, str] = {
    Outcome.VERIFIED: "✔",
    Outcome.ATTESTED: "✍",
    Outcome.WAITING: "◔",
    Outcome.INCONCLUSIVE: "?",
    Outcome.FAILED: "✘",
    Outcome.SKIPPED: "⤼",
    Outcome.NOT_RUN: "○",
}

# Nothing is left to do; a person's skip settles a step, too.
SETTLED = (Outcome.VERIFIED, Outcome.ATTESTED)
# Something is left to do, or to wait for; failures first.
OPEN = (
    Outcome.FAILED,
    *(outcome for outcome in Outcome if outcome not in (*SETTLED, Outcome.SKIPPED, Outcome.FAILED)),
)

# What a person reads; the record has the outcome itself.
LABELS: Mapping[Outcome, str] = {
    **{outcome: outcome.value for outcome in Outcome},
    Outcome.INCONCLUSIVE: "could not be checked",
    Outcome.NOT_RUN: "to do",
}

MODES: Mapping[str, str] = {
    Mode.INTERACTIVE: "by people in the walkthrough (interactive)",
    Mode.HEADLESS: "unattended (headless)",
    Mode.WALKTHROUGH: "sealed by a person in the walkthrough, with its cells executed unattended",
}

# The longest wait for a review that people reported; a longer one is overdue.
LONGEST_WAIT_DAYS = 22

# Of a verified step, part of which a person must confirm (`Conclusion.needs_person`).
IN_PART = "verified in part"
IN_PART_MEANING = (
    "a machine verified what it can see; what it cannot see may break a customer's sign-in or "
    "data, and nobody has confirmed it yet: the step is open"
)

MEANINGS: Mapping[Outcome, str] = {
    Outcome.VERIFIED: (
        "a machine checked it against the remote system; the exchange is in the record"
    ),
    Outcome.ATTESTED: "a named person said so, at a time; no API can see it",
    Outcome.WAITING: (
        f"waiting for an outside party, such as a reviewer (1 to {LONGEST_WAIT_DAYS} days)"
    ),
    Outcome.INCONCLUSIVE: "a check ran and cannot tell; it says why",
    Outcome.FAILED: (
        "a check contradicts the step, even if a person confirmed it; or it is declined or overdue"
    ),
    Outcome.SKIPPED: "a named person gave a reason, or an earlier failure blocks it",
    Outcome.NOT_RUN: "nothing happened yet",
}


def label_of(conclusion: Conclusion) -> str:
    """Return a step's outcome as a person reads it."""
    return IN_PART if conclusion.needs_person else LABELS[conclusion.outcome]


def tally(conclusions: Iterable[Conclusion]) -> list[tuple[Outcome, str, int]]:
    """Return how many steps have each outcome, with its label; *in part* counts separately."""
    counts = Counter((conclusion.needs_person, conclusion.outcome) for conclusion in conclusions)
    return [
        (outcome, IN_PART if in_part else LABELS[outcome], number)
        for outcome in Outcome
        for in_part in (False, True)
        if (number := counts[in_part, outcome])
    ]
