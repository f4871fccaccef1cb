"""
A step as the record, the report, the notebook and the panels have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, structs

from runbook_lib.core.attestation_rules import VoidAttestation
from runbook_lib.core.carrying import EarlierResult
from runbook_lib.core.model import (
    Assigned,
    Attachment,
    Attestation,
    CarriedResult,
    Commented,
    Day,
    Exchange,
    Finding,
    Number,
    Outcome,
    Part,
    Time,
    Value,
)
from runbook_lib.core.procedure import StepKind, step_name
from runbook_lib.core.run_state import StepState

# Where troubles belong into the record: what they explain is open.
_OPEN = (Outcome.FAILED, Outcome.INCONCLUSIVE)
# What follows from an outcome, for readers of the schema; see `StepRecord.require_evidence`.
RULES = {
    "allOf": [
        {
            "if": {"properties": {"outcome": {"const": "verified"}}},
            "then": {
                "anyOf": [
                    {
                        "properties": {
                            "checks": {"minItems": 1},
                            "exchanges": {"minItems": 1},
                            "checked_on": {"type": "string"},
                        }
                    },
                    {"properties": {"carried": {"minItems": 1}}},
                ]
            },
        },
        {
            "if": {"properties": {"carried": {"minItems": 1}, "outcome": {"const": "verified"}}},
            "then": {"properties": {"verified_on": {"minLength": 10}}},
        },
        {
            "if": {"properties": {"outcome": {"const": "attested"}}},
            "then": {
                "properties": {"attested_by": {"type": "string"}, "attestation": {"type": "object"}}
            },
        },
        {
            "if": {"properties": {"needs_person": {"const": True}}},
            "then": {"properties": {"outcome": {"const": "verified"}}},
        },
    ]
}


class NumberedExchange(Exchange, kw_only=True):
    """One HTTP exchange, redacted; `number` is that of its journal line."""

    number: Number


class CarriedCheck(CarriedResult, kw_only=True):
    """An earlier result that counts in this run, and the journal line on which it rests."""

    bundle: Annotated[
        str,
        Meta(
            description="the bundle whose journal.jsonl has that line; empty if it is this bundle"
        ),
    ]
    """The name of the bundle that copied the line."""

    values: Annotated[
        Mapping[str, Value | None],
        Meta(description="what it is about; of a secret, its keyed fingerprint"),
    ]
    """As in the line's `CheckBasis`."""

    finding: Finding
    """What the check found then."""

    exchanges: Annotated[tuple[NumberedExchange, ...], Meta(min_length=1)]
    """The exchanges on which it rests, as they were then."""


class CauseRecord(Part):
    """One thing that leads to an error text."""

    text: str
    tested_by: Annotated[
        tuple[str, ...], Meta(description="ids of the checks that test for this cause")
    ]


class TroubleRecord(Part):
    """A known error text, what it means, and what to do about it."""

    shown: Annotated[
        tuple[str, ...], Meta(min_length=1, description="the exact texts; … stands for any text")
    ]
    means: str
    causes: tuple[CauseRecord, ...]
    advice: str
    source: str
    seen: Annotated[
        Literal["reason", "answer", ""], Meta(description="where this text was seen in this run")
    ]


class StepRecord(Part):
    """Everything about a step at the end of a run."""

    id: Annotated[str, Meta(pattern="^[a-z]+-[0-9]{2}[a-z]?-[a-z0-9-]+$")]
    number: Annotated[
        str,
        Meta(description="as on screen; a letter marks a step that is not on the documented page"),
    ]
    title: str
    kind: StepKind
    outcome: Outcome
    code: Annotated[
        str, Meta(description="code of the finding that decided the outcome; empty if none did")
    ]
    reason: Annotated[str, Meta(min_length=1)]
    needs_person: Annotated[
        bool,
        Meta(
            description="true: verified in part, and open until a person has confirmed the sentence"
        ),
    ]
    verified_on: Annotated[
        Day,
        Meta(
            description="verified in an earlier run, on this day, and not checked again; or empty"
        ),
    ]
    due_on: Annotated[
        Day,
        Meta(description="since when it must be checked again, because that ended; or empty"),
    ]
    sentence: Annotated[str, Meta(min_length=1, description="the sentence that a person confirms")]
    answers: Annotated[
        tuple[str, ...], Meta(description="sentences that a person may confirm instead")
    ]
    checked_on: Time | None
    attested_by: str | None
    attestation: Annotated[
        Attestation | None, Meta(description="the person's word about this step that counts")
    ]
    confirms: Annotated[
        tuple[Attestation, ...],
        Meta(description="the attestations that this one confirms, if two people must attest"),
    ]
    void_attestations: Annotated[
        tuple[VoidAttestation, ...],
        Meta(
            description="words about this step that no longer count, because they were about "
            "something else"
        ),
    ]
    remarks: Annotated[
        tuple[str, ...],
        Meta(description="what else a reader must know about people's words"),
    ]
    comments: Annotated[
        tuple[Commented, ...], Meta(description="oldest first; no outcome depends on them")
    ]
    assigned: Annotated[
        Assigned | None, Meta(description="who must do this step, and by which day")
    ]
    checks: tuple[Finding, ...]
    exchanges: tuple[NumberedExchange, ...]
    carried: Annotated[
        tuple[CarriedCheck, ...],
        Meta(
            description="results of earlier runs that count in this one; checks and exchanges "
            "have those of this run alone"
        ),
    ]
    attachments: tuple[Attachment, ...]
    troubles: Annotated[
        tuple[TroubleRecord, ...],
        Meta(
            description="known error texts of a step that failed or could not be checked, "
            "those that were seen first"
        ),
    ]

    def require_evidence(self) -> None:
        """Raise `ValueError` if the outcome claims more than is here, as `RULES` say."""
        is_seen = (self.checks and self.exchanges and self.checked_on) or self.carried
        days = [carried.checked_on[:10] for carried in self.carried]
        is_carried = self.outcome is Outcome.VERIFIED and days
        if self.verified_on != (min(days) if is_carried else ""):
            raise ValueError("a step that rests on an earlier run says when that was")
        if self.outcome is Outcome.VERIFIED and not is_seen:
            raise ValueError("a verified step has a check, and an exchange that it is based on")
        if self.outcome is Outcome.ATTESTED and not (self.attested_by and self.attestation):
            raise ValueError("an attested step has a word")
        if self.needs_person and self.outcome is not Outcome.VERIFIED:
            raise ValueError("only a verified step is verified in part")


def step_record(state: StepState) -> StepRecord:
    """Return everything about a step; `troubles` of one that failed or could not be checked."""
    attestations = (*state.others, *((state.attestation,) if state.attestation else ()))
    # What people attached, each file once.
    attachments = [
        attachment for attestation in attestations for attachment in attestation.attachments
    ]
    return StepRecord(
        id=state.step.id,
        number=state.number,
        title=state.step.heading,
        kind=state.step.kind,
        outcome=state.conclusion.outcome,
        code=state.conclusion.code,
        reason=state.conclusion.reason,
        needs_person=state.conclusion.needs_person,
        verified_on=state.conclusion.verified_on,
        due_on=state.conclusion.due_on,
        sentence=state.step.sentence,
        answers=tuple(answer.sentence for answer in state.step.answers),
        # NOTE: a run that only carries a result has checked nothing.
        checked_on=(state.checked_on if state.findings or not state.carried else "") or None,
        attested_by=state.attested_by,
        attestation=state.attestation,
        confirms=state.others,
        void_attestations=state.void_attestations,
        remarks=state.remarks,
        comments=state.comments,
        assigned=state.assignment,
        checks=state.findings,
        exchanges=tuple(
            NumberedExchange(**structs.asdict(exchange), number=number)
            for number, exchange in state.exchanges.items()
        ),
        carried=tuple(_carried_check(earlier) for earlier in state.carried),
        attachments=tuple({file.sha256: file for file in attachments}.values()),
        troubles=troubles_of(state) if state.conclusion.outcome in _OPEN else (),
    )


def _carried_check(earlier: EarlierResult) -> CarriedCheck:
    return CarriedCheck(
        **structs.asdict(earlier.result),
        bundle=earlier.bundle,
        values=earlier.basis.values if earlier.basis else {},
        finding=earlier.finding,
        exchanges=tuple(
            NumberedExchange(**structs.asdict(exchange), number=number)
            for number, exchange in earlier.exchanges.items()
        ),
    )


def troubles_of(state: StepState) -> tuple[TroubleRecord, ...]:
    """Return the step's troubles, first those that its reason, a quote or an answer contains."""
    step = state.step
    quotes = [quote for finding in state.findings for quote in finding.quotes]
    said = " ".join([state.conclusion.reason, *quotes])
    answers = [exchange.response for exchange in state.exchanges.values()]
    here = step_name(state.number, step.title)
    return tuple(
        TroubleRecord(
            shown=error.shown,
            means=error.meaning,
            causes=tuple(
                CauseRecord(text=cause.text, tested_by=cause.tested_by) for cause in error.causes
            ),
            advice=error.advice_at(here),
            source=error.source,
            seen=seen,
        )
        for error, seen in step.rank_seen(step.known_errors, said, answers)
    )


def advice_of(step: StepRecord) -> str:
    """
    Return what to do about the error that a step's reason names; nothing where none is known.

    It goes before what is advised for any step with that outcome: to look and
    confirm the step would contradict, for example, that a client ID is mistyped.
    """
    named = [trouble.advice for trouble in step.troubles if trouble.seen == "reason"]
    return named[0] if named else ""


def gathered(step: StepRecord, name: str) -> list[Any]:
    """Return the `quotes`, `warnings`, `limits`, `changes` or `tables` of all checks of a step."""
    findings = (*step.checks, *(carried.finding for carried in step.carried))
    return [item for finding in findings for item in getattr(finding, name)]


def earlier_line(carried: CarriedCheck) -> str:
    """Return where an earlier result is, as a reader finds it."""
    where = f"bundle {carried.bundle}" if carried.bundle else "this bundle"
    run = f" (run {carried.run_id})" if carried.run_id else ""
    return f"line {carried.line} of the journal in {where}{run}, SHA-256 {carried.sha256}"


def exchange_detail(exchange: Exchange) -> str:
    """Return the request and the answer of one exchange as indented JSON."""
    shown = {"sent": exchange.request, "headers": exchange.headers, "answer": exchange.response}
    shown = {name: value for name, value in shown.items() if value}
    return json.dumps(shown, ensure_ascii=False, indent=2)
