"""
The icon and the meaning of each outcome, the same wherever one is shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from runbook_lib.core.procedure import Outcome

__all__ = ["ICONS", "IN_PART", "IN_PART_MEANING", "LABELS", "LONGEST_WAIT_DAYS", "MEANINGS"]

ICONS: Mapping[Outcome, str] = {
    Outcome.VERIFIED: "✔",
    Outcome.ATTESTED: "✍",
    Outcome.WAITING: "◔",
    Outcome.INCONCLUSIVE: "?",
    Outcome.FAILED: "✘",
    Outcome.SKIPPED: "⤼",
    Outcome.NOT_RUN: "○",
}

# What a person reads; the record has the outcome itself.
LABELS: Mapping[Outcome, str] = {
    **{outcome: outcome.value for outcome in Outcome},
    Outcome.INCONCLUSIVE: "could not be checked",
    Outcome.NOT_RUN: "to do",
}

# The longest wait for Facebook that people reported; a longer one is overdue.
LONGEST_WAIT_DAYS = 22

# Of a verified step, part of which nobody has seen (`step_document.is_proven_in_part`).
IN_PART = "verified in part"
IN_PART_MEANING = (
    "a machine verified what it can see; the rest only a person can see, and nobody has "
    "confirmed it: it is named beside the step"
)

MEANINGS: Mapping[Outcome, str] = {
    Outcome.VERIFIED: (
        "a machine checked it against Facebook or Cyclr; the exchange is in the record"
    ),
    Outcome.ATTESTED: "a named person said so, at a time; no API can see it",
    Outcome.WAITING: (
        f"waiting for an outside party, such as App Review (1 to {LONGEST_WAIT_DAYS} days)"
    ),
    Outcome.INCONCLUSIVE: "a check ran and cannot tell; it says why",
    Outcome.FAILED: "a check contradicts the step, even if a person confirmed it",
    Outcome.SKIPPED: "a named person gave a reason, or an earlier failure blocks it",
    Outcome.NOT_RUN: "nothing happened yet",
}
