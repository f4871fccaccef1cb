"""
The state of a step and of a run: one form, everywhere.

Its JSON is the record in a bundle, a program's answer, a panel's content and a cell's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import chain
from typing import Annotated, Any

from msgspec import Meta

from runbook_lib.core.clock import days_between
from runbook_lib.core.model import (
    Attachment,
    Attestation,
    AttestationKind,
    Exchange,
    Finding,
    FleetRun,
    Mode,
    ModelStruct,
    Note,
    NotRunReason,
    Outcome,
    ProcedureName,
    RunOutcome,
    Value,
    WaitsFor,
)
from runbook_lib.core.outcome import SETTLED
from runbook_lib.core.people import person_key, retell
from runbook_lib.run.events import FORMAT, AnswerOption, EarlierResult, KnownErrorText

_NOT_ON_THE_PAGE = " (not on the documented page)"
# Days before the end of an attestation when it is requested again.
_SOON_DAYS = 30
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

    off_page: bool
    """Whether the documented page lacks it."""

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

    needs_human_only: bool = False
    """Whether its checks are as good as they can be, and a person must confirm the rest."""

    verified_on: str = ""
    """The day of the earlier run that verified it; empty if it rests on this run."""

    due_on: str = ""
    """The day since when it must be checked again; empty if it need not."""

    ends_on: str = ""
    """Last day of the attestations that settle it; empty without an end."""

    findings: tuple[Finding, ...] = ()
    """The findings that count: those of this run, then earlier ones that count again."""

    earlier: Mapping[str, EarlierResult] = {}
    """Id of a check whose earlier result counts again → its journal line and last day."""

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
    def heading(self) -> str:
        """The title, marked if the documented page has no such step."""
        return f"{self.title}{_NOT_ON_THE_PAGE if self.off_page else ''}"

    @property
    def assigned_to(self) -> str:
        """The name of the assigned person; empty for anybody, or if the step is done."""
        return (self.assigned.to or "") if self.assigned else ""

    @property
    def is_asked_for(self) -> bool:
        """Whether an outside party requested it by a due day, according to an attestation."""
        return self.attestation is not None and bool(self.attestation.due)

    @property
    def asked_sentence(self) -> str:
        """The sentence to confirm: the step's, or the one for a second person."""
        first = self.attestation if self.needs_another else None
        return retell(first.sentence, first.by) if first else self.sentence

    @property
    def attested_by(self) -> str:
        """The name of the person who attested it; empty if no attestation counts."""
        first = self.attestation
        return first.by if first and first.kind is AttestationKind.ATTESTED else ""

    @property
    def has_expired(self) -> bool:
        """Whether an attestation about it has expired, and nothing has settled it since."""
        return not self.is_settled and any(void.ended for void in self.void_attestations)

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has acted on the step. Automatic checks do not count."""
        is_seen_only = not (self.is_worked_on or self.by_person)
        open_outcomes = (Outcome.INCONCLUSIVE, Outcome.FAILED, Outcome.SKIPPED)
        return self.outcome is Outcome.NOT_RUN or (is_seen_only and self.outcome in open_outcomes)

    @property
    def blocks_later_steps(self) -> bool:
        """
        Whether later steps cannot be started, because this one is not done.

        A step that is verified in part blocks none.
        """
        return self.outcome not in SETTLED and not self.is_skipped_by_person

    @property
    def redo_reason(self) -> str:
        """The reason why the step must be confirmed or checked again; empty if it need not."""
        reasons = [*(void.sentence for void in self.void_attestations), self.outdated]
        return "" if self.is_settled else " ".join(filter(None, reasons))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about people's attestations that the reason lacks."""
        sentences = (void.sentence for void in self.void_attestations)
        return tuple(text for text in sentences if text not in self.reason)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files that people attached, each once."""
        files = chain.from_iterable(said.attachments for said in self.counted_attestations)
        return tuple({file.sha256: file for file in files}.values())

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

    def second_attestation(self, by: str) -> dict[str, str]:
        """Return the fields of `by`'s attestation as the second person; empty if one is enough."""
        first = self.attestation if self.needs_another else None
        if first is None or person_key(first.by) == person_key(by):
            return {}
        return {
            "sentence": first.sentence,
            "second_person_sentence": self.asked_sentence,
            "until": first.until,
        }

    def ends_soon(self, today: date) -> bool:
        """Return whether the attestations that settle it end within 30 days."""
        return bool(self.ends_on) and days_between(today.isoformat(), self.ends_on) <= _SOON_DAYS

    @property
    def made_findings(self) -> tuple[Finding, ...]:
        """The findings of this run's own checks."""
        return tuple(part for part in self.findings if part.check not in self.earlier)

    @property
    def earlier_findings(self) -> tuple[Finding, ...]:
        """The findings of earlier runs that count again."""
        return tuple(part for part in self.findings if part.check in self.earlier)

    @property
    def exchange_numbers(self) -> tuple[int, ...]:
        """The numbers of the exchanges that this run's findings rest on, each once."""
        numbers = chain.from_iterable(part.exchanges for part in self.made_findings)
        return tuple(dict.fromkeys(numbers))

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

    unverifiable: tuple[str, ...]
    """Facts that no check and no API shows, and that a partner must know."""

    app_id_label: str
    """The vendor's label for the app's id."""

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

    @property
    def by_id(self) -> dict[str, StepState]:
        """The steps by id."""
        return {step.id: step for step in self.steps}

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
