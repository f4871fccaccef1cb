"""
The icon and the meaning of each outcome, the same wherever one is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from runbook_lib.core.model import Mode, Outcome

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


class Concluded(Protocol):
    """What has an outcome: a conclusion, or a step of a record."""

    @property
    def outcome(self) -> Outcome:
        """Return the outcome."""

    @property
    def needs_person(self) -> bool:
        """Return whether a person must confirm the rest of what is verified."""


class OutcomeView(NamedTuple):
    """How a step is shown: with its outcome, or as verified in part, which counts separately."""

    outcome: Outcome
    is_in_part: bool

    @property
    def label(self) -> str:
        """Return it as a person reads it."""
        return IN_PART if self.is_in_part else LABELS[self.outcome]


LOOKS = tuple(OutcomeView(outcome, in_part) for outcome in Outcome for in_part in (False, True))


def label_of(concluded: Concluded) -> str:
    """Return a step's outcome as a person reads it."""
    return OutcomeView(concluded.outcome, concluded.needs_person).label


def tally(steps: Iterable[Concluded]) -> list[tuple[Outcome, str, int]]:
    """Return how many steps have each outcome, with its label; *in part* counts separately."""
    counts = Counter((step.outcome, step.needs_person) for step in steps)
    return [(look.outcome, look.label, counts[look]) for look in LOOKS if counts[look]]
