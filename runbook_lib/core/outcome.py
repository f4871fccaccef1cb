"""
The table of outcomes: label, meaning and advice of each, the same everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from runbook_lib.core.model import Mode, Outcome, RunOutcome

# The longest wait for a review that people reported; a longer one is overdue.
LONGEST_WAIT_DAYS = 22


class Colour(NamedTuple):
    """A colour on each background."""

    terminal: str
    """Rich's style on a terminal."""

    cell: str
    """CSS of text; contrast of at least 4.5:1 on white and on JupyterLab's dark grey."""

    mark: str
    """CSS of a background with white text."""

    edge: str
    """CSS of a line or an icon on a light page."""

    dark: str
    """CSS of a line or an icon on a dark page."""


_GREEN = Colour("green", cell="#1a7f37", mark="#1a7f37", edge="#1a7f37", dark="#3fb950")
_BLUE = Colour("blue", cell="#0969da", mark="#0969da", edge="#0969da", dark="#58a6ff")
_AMBER = Colour("yellow", cell="#9a6700", mark="#8a5a00", edge="#b07b12", dark="#d29922")
_RED = Colour("bold red", cell="#cf222e", mark="#cf222e", edge="#cf222e", dark="#f85149")
_GREY = Colour("dim", cell="#656d76", mark="#57606a", edge="#8c959f", dark="#8c959f")


class OutcomeRow(NamedTuple):
    """The texts and weights of an outcome."""

    icon: str
    """One character before the label."""

    label: str
    """The outcome's name for people; the record has the outcome itself."""

    colour: Colour
    """Its colour on each background."""

    rank: int
    """Order of open steps, the highest first; 0 leaves nothing to do."""

    decides: int
    """Weight among a step's findings: the highest decides; 0 if no check returns the outcome."""

    meaning: str
    """A clause that explains it to a reader."""

    advice: str = ""
    """The next action; empty without one."""

    verdict: str = ""
    """Words in a report's verdict; empty for the label."""


OUTCOMES: Mapping[Outcome, OutcomeRow] = {
    Outcome.VERIFIED: OutcomeRow(
        icon="✔",
        label="verified",
        colour=_GREEN,
        rank=0,
        decides=1,
        meaning="a machine checked it against the remote system; the exchange is in the record",
        verdict="verified by a machine",
    ),
    Outcome.ATTESTED: OutcomeRow(
        icon="✍",
        label="attested",
        colour=_BLUE,
        rank=0,
        decides=0,
        meaning="a named person confirmed it, at a recorded time; no API can see it",
        verdict="attested by a named person",
    ),
    Outcome.WAITING: OutcomeRow(
        icon="◔",
        label="waiting",
        colour=_AMBER,
        rank=1,
        decides=3,
        meaning=f"waiting for an outside party, such as a reviewer (1 to {LONGEST_WAIT_DAYS} days)",
        advice="Nothing to do but wait.",
    ),
    Outcome.INCONCLUSIVE: OutcomeRow(
        icon="?",
        label="could not be checked",
        colour=_AMBER,
        rank=2,
        decides=2,
        meaning="a check ran, but cannot tell; it says why",
        advice="Do what the reason says, then check again; confirm it if you have seen it "
        "yourself.",
    ),
    Outcome.FAILED: OutcomeRow(
        icon="✘",
        label="failed",
        colour=_RED,
        rank=4,
        decides=5,
        meaning="a check contradicts the step, even if a person confirmed it; or it is declined",
        advice="Fix the problem, then check again.",
    ),
    Outcome.SKIPPED: OutcomeRow(
        icon="⤼",
        label="skipped",
        colour=_GREY,
        rank=0,
        decides=0,
        meaning="a named person gave a reason, or an earlier failure blocks it",
        verdict="skipped for a reason that a person gave",
    ),
    Outcome.NOT_RUN: OutcomeRow(
        icon="○",
        label="to do",
        colour=_GREY,
        rank=3,
        decides=4,
        meaning="nothing happened yet",
        advice="Do it, then check it or confirm that it is done.",
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

# Outcomes that leave nothing to do; a person's skip settles a step, too.
SETTLED = (Outcome.VERIFIED, Outcome.ATTESTED)
# Outcomes of a code that makes some checks fail, and others inconclusive.
OF_ONE_CAUSE = frozenset({Outcome.FAILED, Outcome.INCONCLUSIVE})
# Outcomes that leave something to do or to wait for; failures first.
OPEN = (
    Outcome.FAILED,
    *(outcome for outcome in Outcome if outcome not in (*SETTLED, Outcome.SKIPPED, Outcome.FAILED)),
)

MODES: Mapping[str, str] = {
    Mode.INTERACTIVE: "by people in the walkthrough (interactive)",
    Mode.HEADLESS: "unattended (headless)",
    Mode.WALKTHROUGH: "sealed by a person in the walkthrough, with its cells executed unattended",
}

# Label of a verified step that a person must confirm in part (`Conclusion.needs_person`).
IN_PART = "verified in part"
IN_PART_MEANING = (
    "a machine verified what it can see; what it cannot see may break a customer's sign-in or "
    "data, and nobody has confirmed it yet: the step is open"
)


# Label of a step that rests on a check in an earlier run (`Conclusion.verified_on`).
CARRIED = "verified on"
CARRIED_MEANING = (
    "a machine verified it in an earlier run, and this run did not check it again, since that "
    "would use something up; it counts for a limited time, and only for the same values"
)
# Label of a step whose earlier check no longer counts (`Conclusion.due_on`).
DUE = "due"


class HasOutcome(Protocol):
    """An object with an outcome: a conclusion, or a step of a record."""

    @property
    def outcome(self) -> Outcome:
        """One of the seven outcomes."""

    @property
    def needs_person(self) -> bool:
        """Whether a person must confirm the rest of a verified step."""

    @property
    def verified_on(self) -> str:
        """The day of the earlier check that it rests on; empty if it rests on this run's."""

    @property
    def due_on(self) -> str:
        """The day since when it must be checked again; empty if it need not."""


def label_of(concluded: HasOutcome) -> str:
    """Return the label of a step's outcome."""
    if concluded.needs_person:
        return IN_PART
    if concluded.verified_on:
        return f"{CARRIED} {concluded.verified_on}"
    is_due = concluded.outcome is Outcome.NOT_RUN and concluded.due_on
    return DUE if is_due else LABELS[concluded.outcome]


def tally(steps: Iterable[HasOutcome]) -> list[tuple[Outcome, str, int]]:
    """Return the number of steps with each outcome and label; different labels count separately."""
    counts = Counter((step.outcome, label_of(step)) for step in steps)
    labels = sorted({label for _, label in counts}, key=_place_of)
    return [
        (outcome, label, counts[outcome, label])
        for outcome in Outcome
        for label in labels
        if counts[outcome, label]
    ]


def _place_of(label: str) -> tuple[int, str]:
    """Return the sort key of a label within one outcome: verified, on a day, in part, due."""
    places = (label in LABELS.values(), label.startswith(CARRIED), label == IN_PART)
    return (places.index(True) if True in places else len(places)), label
