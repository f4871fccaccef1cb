"""
The state of a step and of a run: one form, everywhere.

Its JSON is the record in a bundle, a program's answer, a panel's content and a cell's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any

from msgspec import Meta

from runbook_lib.core.model import (
    AttestationKind,
    Exchange,
    Finding,
    FleetRun,
    Mode,
    ModelStruct,
    NotRunReason,
    Outcome,
    ProcedureName,
    RunOutcome,
    Value,
    WaitsFor,
)
from runbook_lib.run.events import FORMAT, AnswerOption, Attestation, KnownErrorText, Note

# The verb phrase of each kind of attestation, for the sentence that it no longer counts.
_ACTS = {
    AttestationKind.ATTESTED: "confirmed this",
    AttestationKind.SUBMITTED: "said that this was submitted",
    AttestationKind.DECLINED: "said that this was declined",
    AttestationKind.SKIPPED: "skipped this",
}


class VoidAttestation(ModelStruct):
    """An attestation that is shown but void, with the reason (`for App ID 111, not 222`)."""

    attestation: Attestation

    why: Annotated[str, Meta(min_length=1)]

    ended: str = ""
    """The last day on which it counted; empty if it has not expired."""

    @property
    def sentence(self) -> str:
        """The attestation, the reason and the advice in a sentence; empty for a withdrawal."""
        attestation = self.attestation
        if attestation.kind is AttestationKind.WITHDRAWN:
            return ""
        statement = f"{attestation.by} {_ACTS[attestation.kind]} on {attestation.at}"
        if self.ended:
            statement += ","
        again = "confirm it" if attestation.kind is AttestationKind.ATTESTED else "say it"
        return f"{statement} {self.why}, so it no longer counts: {again} again."


class StepState(ModelStruct):
    """Everything about a step at one moment."""

    id: str
    """Id of the step."""

    number: str
    """Number on screen; a letter marks a step that the documented page lacks."""

    title: str
    """Title of the step."""

    kind: str
    """The party that acts: `manual`, `ask`, `call` or `wait`."""

    outcome: Outcome
    """Its outcome."""

    reason: str
    """The reason for the outcome, in sentences for people."""

    sentence: str
    """The sentence that a person confirms."""

    answers: tuple[AnswerOption, ...]
    """Answers that a person may confirm instead."""

    code: str = ""
    """Code of the finding that decided; empty if no check did."""

    is_settled: bool = False
    """Whether nothing is left to do."""

    by_person: bool = False
    """Whether a person's attestation decided."""

    needs_person: bool = False
    """Verified in part: a person must confirm the facts that no check can see."""

    needs_another: bool = False
    """A second person must confirm the attestation."""

    checked_on: str = ""
    """Time of the newest check that counts; empty if none does."""

    verified_on: str = ""
    """The day of the earlier run that verified it; empty if it rests on this run."""

    ends_on: str = ""
    """Last day of the attestations that settle it; empty without an end."""

    findings: tuple[Finding, ...] = ()
    """The findings that count: those of this run, then earlier ones that count again."""

    earlier_lines: Mapping[str, int] = {}
    """Id of a check whose earlier result counts again → the number of its journal line."""

    known_errors: tuple[KnownErrorText, ...] = ()
    """The known error texts among the findings."""

    has_fault: bool = False
    """Whether a check could not tell because a remote system had a fault of its own."""

    attestation: Attestation | None = None
    """The attestation that counts; `None` if none does."""

    confirmed_by: tuple[Attestation, ...] = ()
    """Other people's attestations of the same, the oldest first, if two people must attest."""

    void_attestations: tuple[VoidAttestation, ...] = ()
    """The attestations that no longer count."""

    outdated: str = ""
    """Reason why the newest check does not count; empty if it does."""

    comments: tuple[Note, ...] = ()
    """All comments, oldest first."""

    assigned: Note | None = None
    """The newest assignment; `None` without one, and for a settled step."""

    is_worked_on: bool = False
    """Whether somebody attested or checked it; automatic checks do not count."""

    waits_for: WaitsFor | None = None
    """The party that must act; `None` for a settled step."""

    waiting_since: str = ""
    """Beginning of the wait for somebody else; empty without a wait."""

    due: str = ""
    """The earliest due day that somebody named; empty for no day."""

    overdue_days: int = 0
    """Days since `due`, or since the end of an outside party's usual time."""

    @property
    def is_skipped_by_person(self) -> bool:
        """Whether a named person skipped it."""
        return self.outcome is Outcome.SKIPPED and self.by_person

    @property
    def blocks_dependents(self) -> bool:
        """Whether steps that require this one cannot be done."""
        is_blocked = self.outcome is Outcome.SKIPPED and not self.by_person
        return is_blocked or self.outcome is Outcome.FAILED

    @property
    def counted_attestations(self) -> tuple[Attestation, ...]:
        """The attestations that count: other people's, then the one that decides."""
        return (*self.confirmed_by, *((self.attestation,) if self.attestation else ()))

    def gather(self, name: str) -> list[Any]:
        """Return the `quotes`, `warnings`, `limits`, `changes` or `tables` of its findings."""
        return list(chain.from_iterable(getattr(finding, name) for finding in self.findings))


class RunState(ModelStruct):
    """A run at one moment; at its end, the record in its bundle."""

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    """The version of the format, `FORMAT`."""

    tenant: str
    """The tenant's name."""

    run: str
    """Id of the run; of all runs together, the newest one's."""

    procedure: ProcedureName
    """The procedure of the run's connector."""

    mode: Mode
    """The mode of the run."""

    sandbox: bool
    """Whether it is practice, which proves nothing."""

    started_on: str
    """Time of its beginning, in UTC."""

    finished_on: str
    """Time of its end; empty until then."""

    resumes: str
    """Id of the interrupted run that it resumes; empty without one."""

    fleet_run: FleetRun | None
    """The fleet's run that requested it; `None` outside of a fleet."""

    not_run: NotRunReason | None
    """Why it could not start; `None` if it did."""

    outcome: RunOutcome
    """The outcome of the run."""

    broken: str
    """Why its notebook did not reach the end; empty if it did."""

    values: Mapping[str, Value]
    """The known values by name; credentials are not among them."""

    credentials: tuple[str, ...]
    """Names of the given credentials, never their values."""

    environment: Mapping[str, str]
    """Component → its version."""

    steps: tuple[StepState, ...]
    """The steps, in the documented order."""

    exchanges: Mapping[int, Exchange]
    """The exchanges that findings rest on, by the number of their line."""

    calls: Mapping[str, int]
    """Number of responses of each host."""

    def step(self, step_id: str) -> StepState:
        """Return the state of the step called `step_id`."""
        return next(step for step in self.steps if step.id == step_id)

    @property
    def facts(self) -> dict[str, Value]:
        """The facts that checks found; later ones win."""
        facts: dict[str, Value] = {}
        for finding in chain.from_iterable(step.findings for step in self.steps):
            facts |= finding.facts
        return facts
