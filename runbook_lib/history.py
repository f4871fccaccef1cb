"""
History: journal lines folded to what can be said of a tenant and of one run.

Pure: lines and a procedure in, a state out. Nothing here reads a file or
asks a remote system, and nothing is stored that can be derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from runbook_lib.journal import Entry, EventType
from runbook_lib.procedure import (
    Attachment,
    Attestation,
    Conclusion,
    Exchange,
    Finding,
    Outcome,
    Procedure,
    Skip,
    Step,
    Table,
    Value,
    conclude,
)

__all__ = [
    "EVERY_STEP",
    "FOUR_EYES",
    "History",
    "RunOutcome",
    "RunState",
    "StepState",
    "finding_from_document",
    "finding_to_document",
    "fold",
]

# The parameter that names the steps whose attestation a second person must confirm.
FOUR_EYES = "four_eyes"
EVERY_STEP = "all"

# A run is complete when every step is one of these, or skipped by a person.
_SETTLED = (Outcome.VERIFIED, Outcome.ATTESTED)


class RunOutcome(StrEnum):
    """What can be said of a run."""

    COMPLETE = "complete"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class StepState:
    """
    A step, what was seen and said of it, and what follows.

    `others` are the attestations that the newest one confirms, where one
    person's word is not enough.
    """

    step: Step
    conclusion: Conclusion
    findings: tuple[Finding, ...] = ()
    attestation: Attestation | None = None
    others: tuple[Attestation, ...] = ()
    skip: Skip | None = None
    checked_on: str = ""

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing more is to be done."""
        return self.conclusion.outcome in _SETTLED or self.is_skipped_by_person

    @property
    def is_skipped_by_person(self) -> bool:
        """Tell whether a named person left the step out."""
        return self.conclusion.outcome is Outcome.SKIPPED and self.conclusion.by_person

    @property
    def is_impossible(self) -> bool:
        """Tell whether steps that require this one cannot be done."""
        skipped = self.conclusion.outcome is Outcome.SKIPPED and not self.conclusion.by_person
        return skipped or self.conclusion.outcome is Outcome.FAILED


@dataclass(frozen=True, slots=True)
class RunState:
    """One run: its steps in the documented order; `finished_on` empty while it is under way."""

    run_id: str
    steps: Mapping[str, StepState]
    started: Mapping[str, Any] = field(default_factory=dict)
    started_on: str = ""
    finished_on: str = ""
    interrupted: str = ""

    @property
    def outcome(self) -> RunOutcome:
        """Return what the steps say together."""
        states = self.steps.values()
        if any(state.conclusion.outcome is Outcome.FAILED for state in states):
            return RunOutcome.FAILED
        if all(state.is_settled for state in states):
            return RunOutcome.COMPLETE
        return RunOutcome.INCOMPLETE

    @property
    def facts(self) -> dict[str, Value]:
        """Return what the checks of this run found out, later findings last."""
        findings = [finding for state in self.steps.values() for finding in state.findings]
        return {name: value for finding in findings for name, value in finding.facts.items()}


@dataclass(frozen=True, slots=True)
class History:
    """A tenant's journal, sorted by what it tells; people's words hold across runs."""

    entries: Sequence[Entry]

    @property
    def words(self) -> list[Attestation | Skip]:
        """Return all that people said of steps, oldest first."""
        said: list[Attestation | Skip] = []
        for entry in self.entries:
            if entry.type == EventType.STEP_ATTESTED:
                said.append(_attestation(entry))
            elif entry.type == EventType.STEP_SKIPPED:
                said.append(Skip(step=entry.step, **entry.data))
        return said

    @property
    def attestations(self) -> dict[str, Attestation]:
        """Return the attestation of each step of which nothing else was said later."""
        newest = {word.step: word for word in self.words}
        return {step: word for step, word in newest.items() if isinstance(word, Attestation)}

    @property
    def skips(self) -> dict[str, Skip]:
        """Return the skip of each step of which nothing else was said later."""
        newest = {word.step: word for word in self.words}
        return {step: word for step, word in newest.items() if isinstance(word, Skip)}

    def others(self, attestation: Attestation) -> tuple[Attestation, ...]:
        """Return the newest word of everybody else who attested the step since its last skip."""
        newest: dict[str, Attestation] = {}
        for word in self.words:
            if word.step != attestation.step:
                continue
            if isinstance(word, Skip):
                newest.clear()
            else:
                newest[word.by.casefold()] = word
        newest.pop(attestation.by.casefold(), None)
        return tuple(newest.values())

    @property
    def inputs(self) -> dict[str, Value]:
        """Return the values that people gave earlier, newest last; never a secret."""
        return {
            entry.data["name"]: _value(entry.data["value"])
            for entry in self.entries
            if entry.type == EventType.INPUT_GIVEN
        }

    @property
    def credentials(self) -> dict[str, str]:
        """Return the references of credentials that a person had remembered (`keyring:…`)."""
        references = {
            entry.data["name"]: str(entry.data["reference"])
            for entry in self.entries
            if entry.type == EventType.CREDENTIAL_REMEMBERED
        }
        return {name: reference for name, reference in references.items() if reference}

    @property
    def started(self) -> list[Entry]:
        """Return the line with which each run began, oldest first."""
        return [entry for entry in self.entries if entry.type == EventType.RUN_STARTED]

    @property
    def last_run(self) -> str:
        """Return the id of the newest run, empty where there was none."""
        return self.started[-1].run_id if self.started else ""

    @property
    def unfinished_run(self) -> str:
        """Return the id of the newest run if it never came to its end."""
        last = self.last_run
        ended = (e.run_id for e in self.entries if e.type == EventType.RUN_FINISHED)
        return "" if last in ended else last


def fold(history: History, procedure: Procedure, run_id: str | None) -> RunState:
    """
    Return the state of the run `run_id`; of all runs together where it is `None`.

    Only findings of that run count (of all runs, the newest of each step);
    what people said counts whenever they said it. A step whose check never
    returned is `not_run`, whatever the notebook's own record claims.
    """
    mine = [entry for entry in history.entries if run_id in (None, entry.run_id)]
    checked = {entry.step: entry for entry in mine if entry.type == EventType.STEP_CHECKED}
    begun = {entry.step for entry in mine if entry.type == EventType.STEP_STARTED}
    attestations, skips = history.attestations, history.skips
    started = [entry for entry in mine if entry.type == EventType.RUN_STARTED]
    demanding = started[-1].data.get("parameters", {}).get(FOUR_EYES, ()) if started else ()
    states: dict[str, StepState] = {}
    for step in procedure.steps:
        entry = checked.get(step.id)
        findings = _findings(entry)
        attestation, skip = attestations.get(step.id), skips.get(step.id)
        is_shared = attestation is not None and _demands(demanding, step)
        others = history.others(attestation) if attestation and is_shared else ()
        states[step.id] = StepState(
            step=step,
            conclusion=conclude(
                findings,
                attestation=attestation,
                skip=skip,
                obstacle=obstacle(step, states),
                others=tuple(each.by for each in others) if is_shared else None,
                unchecked=_why_unchecked(entry, step, is_begun=step.id in begun, run_id=run_id),
            ),
            findings=findings,
            attestation=attestation,
            others=others,
            skip=skip,
            checked_on=entry.at if entry else "",
        )
    first = started[-1] if started else None
    return RunState(
        run_id=run_id or history.last_run,
        steps=states,
        started=first.data if first else {},
        started_on=first.at if first else "",
        finished_on=_when(mine, EventType.RUN_FINISHED),
        interrupted=_reason(mine, EventType.RUN_INTERRUPTED),
    )


def _demands(demanding: Iterable[str], step: Step) -> bool:
    return any(name in (step.id, EVERY_STEP) for name in demanding)


def obstacle(step: Step, states: Mapping[str, StepState]) -> str:
    """Return why an earlier failure makes `step` impossible, or nothing."""
    for required in step.requires:
        state = states.get(required)
        if state is not None and state.is_impossible:
            return f"Impossible until {required} ({state.step.title}) is mended."
    return ""


def finding_to_document(finding: Finding) -> dict[str, Any]:
    """Return `finding` as the JSON document that journal and record hold."""
    return asdict(finding)


def finding_from_document(document: Mapping[str, Any]) -> Finding:
    """Return the finding that `finding_to_document` wrote."""
    fields = dict(document)
    fields["outcome"] = Outcome(fields["outcome"])
    for name in ("limits", "warnings", "changes"):
        fields[name] = tuple(fields[name])
    fields["facts"] = {name: _value(value) for name, value in fields["facts"].items()}
    fields["tables"] = tuple(_table(table) for table in fields.get("tables", ()))
    fields["exchanges"] = tuple(Exchange(**exchange) for exchange in fields["exchanges"])
    return Finding(**fields)


def _findings(entry: Entry | None) -> tuple[Finding, ...]:
    if entry is None:
        return ()
    return tuple(finding_from_document(document) for document in entry.data["findings"])


def _why_unchecked(entry: Entry | None, step: Step, *, is_begun: bool, run_id: str | None) -> str:
    if entry is not None:
        return str(entry.data.get("unchecked", ""))
    if is_begun:
        return "The check was cut off before it could tell."
    if run_id is not None:
        return "This run did not get here."
    return "Not checked yet." if step.checks else ""


def _attestation(entry: Entry) -> Attestation:
    fields = dict(entry.data)
    attachments = tuple(Attachment(**each) for each in fields.pop("attachments", ()))
    return Attestation(step=entry.step, attachments=attachments, **fields)


def _when(entries: Iterable[Entry], event: str) -> str:
    return next((entry.at for entry in entries if entry.type == event), "")


def _reason(entries: Iterable[Entry], event: str) -> str:
    return next((str(entry.data["reason"]) for entry in entries if entry.type == event), "")


def _table(document: Mapping[str, Any]) -> Table:
    return Table(
        caption=document["caption"],
        columns=tuple(document["columns"]),
        rows=tuple(tuple(row) for row in document["rows"]),
    )


def _value(value: Any) -> Value:
    return tuple(value) if isinstance(value, list) else value
