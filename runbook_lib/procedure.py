"""
What a procedure is made of, and what can be said of a step: frozen, pure.

Entities know structure only. How a step is shown (notebook), performed (run)
or remembered (journal) lives on higher floors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = [
    "Attachment",
    "Attestation",
    "Check",
    "Conclusion",
    "Exchange",
    "Finding",
    "Input",
    "Link",
    "Outcome",
    "Paste",
    "Procedure",
    "Section",
    "Skip",
    "Source",
    "Step",
    "StepKind",
    "Table",
    "Value",
    "combine",
    "conclude",
]

Value = str | int | bool | tuple[str, ...]


class Outcome(StrEnum):
    """What can be said of a step (design: the heart of the product)."""

    VERIFIED = "verified"
    ATTESTED = "attested"
    WAITING = "waiting"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


class StepKind(StrEnum):
    """Who acts: a person (`manual`, `ask`), this program (`call`) or the world (`wait`)."""

    MANUAL = "manual"
    ASK = "ask"
    CALL = "call"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """
    One HTTP exchange, already redacted.

    `elapsed` in seconds; `status` is `None` and `error` says why when no
    answer came back; bodies are JSON documents or text, cut when long.
    """

    method: str
    url: str
    sent_on: str
    elapsed: float
    status: int | None = None
    request: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    response: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows that a check read, for people: `columns` are headings, a row has a text for each."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    What one check saw.

    `limits` name what the check does not prove, `warnings` what will hurt
    later, `changes` what the check altered in the remote system, `facts`
    what later steps may use, `tables` what was read (neither holds a secret).
    """

    outcome: Outcome
    reason: str
    check: str = ""
    limits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that a person gave as evidence, named by its SHA-256; `size` in bytes."""

    name: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """
    A named person's word that a step is done.

    `waiting` says only that the person's part is done and that the world
    must act now (a review was submitted). `seen` names the variant of the
    screens that the person met, `at` is RFC 3339, `origin` where it was said.
    """

    step: str
    by: str
    at: str
    note: str = ""
    waiting: bool = False
    seen: str = ""
    attachments: tuple[Attachment, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A named person's reason for leaving a step out."""

    step: str
    by: str
    at: str
    reason: str
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """
    What is said of a step once findings and people's words are weighed.

    `needs_another`: a second person must confirm what one has said.
    """

    outcome: Outcome
    reason: str
    by_person: bool = False
    needs_another: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """
    A function that asks the remote system, and the inputs that it cannot do without.

    `run` takes a context and returns a `Finding`, or `None` where it does not
    apply; it may raise a `RunbookError`, which is then an inconclusive finding.
    """

    run: Callable[[Any], Finding | None]
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name under which the record speaks of this check."""
        return self.run.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """
    A value that the operator gives: a parameter, an environment variable, a widget.

    `parse` takes text and returns the typed value, or raises `ValueError`
    in the operator's words. A secret's text is never quoted.
    """

    name: str
    label: str
    help: str
    parse: Callable[[str], Value] = str.strip
    default: Value | None = None
    example: str = ""
    secret: bool = False
    required: bool = False

    @property
    def variable(self) -> str:
        """Return the name of the environment variable."""
        return f"RUNBOOK_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Link:
    """A page to open: `template` takes known values; `fallback` serves until all are known."""

    label: str
    template: str
    fallback: str = ""

    def url(self, values: Mapping[str, object]) -> str:
        """Return the address with `values` filled in, or the fallback."""
        try:
            return self.template.format_map(values)
        except KeyError:
            return self.fallback.format_map(values)


@dataclass(frozen=True, slots=True)
class Paste:
    """A value to paste into a page's field called `label`."""

    label: str
    template: str

    def value(self, values: Mapping[str, object]) -> str:
        """Return the text to paste, or nothing while a value is unknown."""
        try:
            return self.template.format_map(values)
        except KeyError:
            return ""


@dataclass(frozen=True, slots=True)
class Source:
    """The place in the documented procedure: section from 1, step number where it has one."""

    section: int
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One documented step.

    `id` is also the notebook cell's id. `prose` says what the procedure
    says; `today` what a person finds where the screens have moved since.
    `requires` names steps whose failure makes this one impossible,
    `hands_over` the credential that a person carries to another console,
    `needs_consent` a step whose token comes from a person's consent.
    """

    id: str
    title: str
    kind: StepKind
    source: Source
    prose: str
    today: str = ""
    links: tuple[Link, ...] = ()
    pastes: tuple[Paste, ...] = ()
    inputs: tuple[Input, ...] = ()
    checks: tuple[Check, ...] = ()
    requires: tuple[str, ...] = ()
    hands_over: Input | None = None
    needs_consent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the procedure; one notebook each."""

    id: str
    title: str
    intro: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """A documented procedure, whole."""

    id: str
    version: str
    title: str
    sections: tuple[Section, ...]
    inputs: tuple[Input, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return every step in the documented order."""
        return tuple(step for section in self.sections for step in section.steps)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all that an operator reads and that is checked."""
        text = json.dumps(list(_outline(self)), ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


# Of a step's several findings the worst speaks for the step.
_WORST_FIRST = (
    Outcome.FAILED,
    Outcome.NOT_RUN,
    Outcome.WAITING,
    Outcome.INCONCLUSIVE,
    Outcome.VERIFIED,
)


def combine(findings: tuple[Finding, ...]) -> Conclusion | None:
    """Return what several findings say together, or `None` where nothing was checked."""
    if not findings:
        return None
    worst = min(findings, key=lambda finding: _WORST_FIRST.index(finding.outcome)).outcome
    reasons = dict.fromkeys(finding.reason for finding in findings if finding.outcome is worst)
    return Conclusion(outcome=worst, reason=" ".join(reasons))


def conclude(
    findings: tuple[Finding, ...],
    *,
    attestation: Attestation | None = None,
    skip: Skip | None = None,
    obstacle: str = "",
    unchecked: str = "",
    others: tuple[str, ...] | None = None,
) -> Conclusion:
    """
    Weigh what a machine saw against what people said.

    A check that contradicts beats everybody; a check that proves needs
    nobody; where none can tell, a named person's word counts. `obstacle`
    names an earlier failure that makes the step impossible, `unchecked`
    says why a check that the step has did not run, `others` who else attested
    it where one person's word is not enough.
    """
    seen = combine(findings)
    if seen is not None and attestation is not None and seen.outcome is Outcome.NOT_RUN:
        contradiction = f"{attestation.by} attested this on {attestation.at}, but: {seen.reason}"
        seen = replace(seen, outcome=Outcome.FAILED, reason=contradiction)
    if seen is not None and seen.outcome in (Outcome.FAILED, Outcome.VERIFIED):
        return seen
    if skip is not None:
        return Conclusion(
            outcome=Outcome.SKIPPED, reason=f"{skip.by}: {skip.reason}", by_person=True
        )
    if obstacle:
        return Conclusion(outcome=Outcome.SKIPPED, reason=obstacle)
    if seen is not None and (seen.outcome is Outcome.WAITING or attestation is None):
        return seen
    if attestation is not None:
        said = _attested(attestation, seen, unchecked, others or ())
        return _half_said(said) if others == () else said
    reason = unchecked or "No API shows this: a person must do it and say so."
    return Conclusion(outcome=Outcome.NOT_RUN, reason=reason)


def _half_said(said: Conclusion) -> Conclusion:
    reason = f"{said.reason}; another person must confirm it."
    return replace(said, outcome=Outcome.WAITING, reason=reason, needs_another=True)


def _attested(
    attestation: Attestation, seen: Conclusion | None, unchecked: str, others: tuple[str, ...]
) -> Conclusion:
    reason = f"{attestation.by} on {attestation.at}"
    if others:
        reason += f", confirming {', '.join(others)}"
    if attestation.note:
        reason += f": {attestation.note}"
    if seen is not None:
        reason += f" (a check ran and could not tell: {seen.reason})"
    elif unchecked:
        reason += f" ({unchecked})"
    outcome = Outcome.WAITING if attestation.waiting else Outcome.ATTESTED
    return Conclusion(outcome=outcome, reason=reason, by_person=True)


def _outline(procedure: Procedure) -> Iterator[object]:
    yield [procedure.id, procedure.version, procedure.title]
    for section in procedure.sections:
        yield [section.id, section.title, section.intro]
        for step in section.steps:
            yield [step.id, step.title, step.kind, step.prose, step.today]
            yield [[link.label, link.template] for link in step.links]
            yield [[paste.label, paste.template] for paste in step.pastes]
            yield [item.name for item in step.inputs]
            yield [[check.name, *check.needs] for check in step.checks]
            yield list(step.requires)
