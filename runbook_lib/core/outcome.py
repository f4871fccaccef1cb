"""
The table of outcomes: how each is shown, what it means, and what to do; the same everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from runbook_lib.core.model import Mode, Outcome, RunOutcome

# The longest wait for a review that people reported; a longer one is overdue.
LONGEST_WAIT_DAYS = 22


class Colour(NamedTuple):
    """
    A colour on each ground: rich's style on a terminal, CSS elsewhere.

    The one of a `cell` is at least 4.5:1 on white and on JupyterLab's dark grey. White text stands
    on a `mark`. An `edge` is a line or an icon, `dark` the same on a dark page.
    """

    terminal: str
    cell: str
    mark: str
    edge: str
    dark: str


_GREEN = Colour("green", cell="#1a7f37", mark="#1a7f37", edge="#1a7f37", dark="#3fb950")
_BLUE = Colour("blue", cell="#0969da", mark="#0969da", edge="#0969da", dark="#58a6ff")
_AMBER = Colour("yellow", cell="#9a6700", mark="#8a5a00", edge="#b07b12", dark="#d29922")
_RED = Colour("bold red", cell="#cf222e", mark="#cf222e", edge="#cf222e", dark="#f85149")
_GREY = Colour("dim", cell="#656d76", mark="#57606a", edge="#8c959f", dark="#8c959f")


class OutcomeRow(NamedTuple):
    """
    How an outcome is shown, and what a person does about it.

    `label` is what a person reads; the record has the outcome itself. `rank` is how much it leaves
    open, from 0; of what is open it says who needs somebody first. The finding with the highest
    `decides` decides; no check returns an outcome with 0. `advice` is empty where nothing is to be
    done. A report's verdict says `verdict`, or else `label`.
    """

    icon: str
    label: str
    colour: Colour
    rank: int
    decides: int
    meaning: str
    advice: str = ""
    verdict: str = ""


OUTCOMES: Mapping[Outcome, OutcomeRow] = {
    Outcome.VERIFIED: OutcomeRow(
        *("✔", "verified", _GREEN, 0, 1),
        "a machine checked it against the remote system; the exchange is in the record",
        verdict="verified by a machine",
    ),
    Outcome.ATTESTED: OutcomeRow(
        *("✍", "attested", _BLUE, 0, 0),
        "a named person confirmed it, at a recorded time; no API can see it",
        verdict="attested by a named person",
    ),
    Outcome.WAITING: OutcomeRow(
        *("◔", "waiting", _AMBER, 1, 3),
        f"waiting for an outside party, such as a reviewer (1 to {LONGEST_WAIT_DAYS} days)",
        "Nothing to do but wait.",
    ),
    Outcome.INCONCLUSIVE: OutcomeRow(
        *("?", "could not be checked", _AMBER, 2, 2),
        "a check ran, but cannot tell; it says why",
        "Do what the reason says, then check again; confirm it if you have seen it yourself.",
    ),
    Outcome.FAILED: OutcomeRow(
        *("✘", "failed", _RED, 4, 5),
        "a check contradicts the step, even if a person confirmed it; or it is declined",
        "Fix the problem described above, then check again.",
    ),
    Outcome.SKIPPED: OutcomeRow(
        *("⤼", "skipped", _GREY, 0, 0),
        "a named person gave a reason, or an earlier failure blocks it",
        verdict="skipped for a reason that a person gave",
    ),
    Outcome.NOT_RUN: OutcomeRow(
        *("○", "to do", _GREY, 3, 4),
        "nothing happened yet",
        "Do it, then check it or confirm that it is done.",
    ),
}
ICONS: Mapping[Outcome, str] = {outcome: row.icon for outcome, row in OUTCOMES.items()}
LABELS: Mapping[Outcome, str] = {outcome: row.label for outcome, row in OUTCOMES.items()}
MEANINGS: Mapping[Outcome, str] = {outcome: row.meaning for outcome, row in OUTCOMES.items()}

# The outcome of a step that looks like the outcome of a run.
LOOKS_LIKE: Mapping[RunOutcome | None, Outcome] = {
    RunOutcome.FAILED: Outcome.FAILED,
    RunOutcome.INCOMPLETE: Outcome.WAITING,
    RunOutcome.COMPLETE: Outcome.VERIFIED,
}

# Nothing is left to do; a person's skip settles a step, too.
SETTLED = (Outcome.VERIFIED, Outcome.ATTESTED)
# A code with both: checks fail with it, and others cannot tell because of the same cause.
OF_ONE_CAUSE = frozenset({Outcome.FAILED, Outcome.INCONCLUSIVE})
# Something is left to do, or to wait for; failures first.
OPEN = (
    Outcome.FAILED,
    *(outcome for outcome in Outcome if outcome not in (*SETTLED, Outcome.SKIPPED, Outcome.FAILED)),
)

MODES: Mapping[str, str] = {
    Mode.INTERACTIVE: "by people in the walkthrough (interactive)",
    Mode.HEADLESS: "unattended (headless)",
    Mode.WALKTHROUGH: "sealed by a person in the walkthrough, with its cells executed unattended",
}

# Of a verified step, part of which a person must confirm (`Conclusion.needs_person`).
IN_PART = "verified in part"
IN_PART_MEANING = (
    "a machine verified what it can see; what it cannot see may break a customer's sign-in or "
    "data, and nobody has confirmed it yet: the step is open"
)


# Of a step that rests on a check in an earlier run (`Conclusion.verified_on`).
CARRIED = "verified on"
CARRIED_MEANING = (
    "a machine verified it in an earlier run, and this run did not check it again, since that "
    "would use something up; it counts for a limited time, and only for the same values"
)
# Of a step whose earlier check no longer counts (`Conclusion.due_on`).
DUE = "due"


class Concluded(Protocol):
    """What has an outcome: a conclusion, or a step of a record."""

    @property
    def outcome(self) -> Outcome:
        """Return the outcome."""

    @property
    def needs_person(self) -> bool:
        """Return whether a person must confirm the rest of what is verified."""

    @property
    def verified_on(self) -> str:
        """Return the day of the earlier check that it rests on; empty if none."""

    @property
    def due_on(self) -> str:
        """Return since when it must be checked again; empty if no earlier check has ended."""


def label_of(concluded: Concluded) -> str:
    """Return a step's outcome as a person reads it."""
    if concluded.needs_person:
        return IN_PART
    if concluded.verified_on:
        return f"{CARRIED} {concluded.verified_on}"
    is_due = concluded.outcome is Outcome.NOT_RUN and concluded.due_on
    return DUE if is_due else LABELS[concluded.outcome]


def tally(steps: Iterable[Concluded]) -> list[tuple[Outcome, str, int]]:
    """Return how many steps have each outcome, with its label; other labels count separately."""
    counts = Counter((step.outcome, label_of(step)) for step in steps)
    labels = sorted({label for _, label in counts}, key=_place_of)
    return [
        (outcome, label, counts[outcome, label])
        for outcome in Outcome
        for label in labels
        if counts[outcome, label]
    ]


def _place_of(label: str) -> tuple[int, str]:
    """Return where a label stands among those of one outcome: verified, on a day, in part, due."""
    places = (label in LABELS.values(), label.startswith(CARRIED), label == IN_PART)
    return (places.index(True) if True in places else len(places)), label
