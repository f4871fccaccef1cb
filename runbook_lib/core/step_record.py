"""
The record of a step, for the record, the report, the notebook and the panels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, structs

from runbook_lib.core.attestation_rules import VoidAttestation
from runbook_lib.core.carried_results import EarlierResult
from runbook_lib.core.model import (
    Attachment,
    Attestation,
    CarriedResult,
    Day,
    Exchange,
    Finding,
    ModelStruct,
    Number,
    Outcome,
    StepAssigned,
    StepCommented,
    Time,
    Value,
)
from runbook_lib.core.procedure import StepKind, step_name
from runbook_lib.core.run_state import StepState

# Outcomes of steps whose known errors belong into the record.
_OPEN = (Outcome.FAILED, Outcome.INCONCLUSIVE)
# The evidence that each outcome requires, as JSON Schema; see `StepRecord.require_evidence`.
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
    """An HTTP exchange, redacted; `number` is the number of its journal line."""

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
    """The values in the line's `CheckBasis`."""

    finding: Finding
    """The finding of the check at that time."""

    exchanges: Annotated[tuple[NumberedExchange, ...], Meta(min_length=1)]
    """The exchanges on which it rests, from that time."""


class CauseRecord(ModelStruct):
    """A cause of an error text."""

    text: str
    tested_by: Annotated[
        tuple[str, ...], Meta(description="ids of the checks that test for this cause")
    ]


class KnownErrorRecord(ModelStruct):
    """A known error text, with its meaning and advice."""

    shown: Annotated[
        tuple[str, ...], Meta(min_length=1, description="the exact texts; … stands for any text")
    ]
    """The exact texts; `…` stands for any text."""

    meaning: str
    """Its meaning in one or two sentences."""

    causes: tuple[CauseRecord, ...]
    """Its causes, the likeliest first."""

    advice: str
    """The next actions."""

    source: str
    """A public address, or the kind of reading and its date."""

    seen: Annotated[
        Literal["reason", "response", ""], Meta(description="where this text was seen in this run")
    ]
    """The place where this run saw it: the step's reason, a response, or nowhere."""


class StepRecord(ModelStruct):
    """Everything about a step at the end of a run."""

    id: Annotated[str, Meta(pattern="^[a-z]+-[0-9]{2}[a-z]?-[a-z0-9-]+$")]
    """Id of the step."""

    number: Annotated[
        str,
        Meta(description="as on screen; a letter marks a step that is not on the documented page"),
    ]
    """Number on screen; a letter marks a step that the documented page lacks."""

    title: str
    """Title of the step."""

    kind: StepKind
    """The party that acts."""

    outcome: Outcome
    """Its outcome."""

    code: Annotated[
        str,
        Meta(description="code of the finding that decided the outcome; empty if no finding did"),
    ]
    """Code of the finding that decided; empty if no finding did."""

    reason: Annotated[str, Meta(min_length=1)]
    """The reason for the outcome."""

    needs_person: Annotated[
        bool,
        Meta(
            description="true: verified in part, and open until a person has confirmed the sentence"
        ),
    ]
    """Whether it is verified in part, and open until a person confirms the rest."""

    verified_on: Annotated[
        Day,
        Meta(
            description="verified in an earlier run, on this day, and not checked again; or empty"
        ),
    ]
    """The day of the earlier run that verified it; empty if it rests on this run."""

    due_on: Annotated[
        Day,
        Meta(description="since when it must be checked again; or empty"),
    ]
    """The day since when it must be checked again; empty if it need not."""

    sentence: Annotated[str, Meta(min_length=1, description="the sentence that a person confirms")]
    """The sentence that a person confirms."""

    answers: Annotated[
        tuple[str, ...], Meta(description="sentences that a person may confirm instead")
    ]
    """Sentences that a person may confirm instead."""

    checked_on: Time | None
    """Time of its newest check in this run; `None` if there was none."""

    attested_by: str | None
    """Name of the person whose attestation counts; `None` if no attestation counts."""

    attestation: Annotated[
        Attestation | None, Meta(description="the attestation of this step that counts")
    ]
    """The attestation that counts; `None` if no attestation counts."""

    confirmed_by: Annotated[
        tuple[Attestation, ...],
        Meta(description="other people's attestations of the same, if two people must attest"),
    ]
    """Other people's attestations of the same, the oldest first, if two people must attest."""

    void_attestations: Annotated[
        tuple[VoidAttestation, ...],
        Meta(
            description="attestations of this step that no longer count, because they were about "
            "something else"
        ),
    ]
    """Attestations that no longer count."""

    remarks: Annotated[
        tuple[str, ...],
        Meta(description="what else a reader must know about attestations"),
    ]
    """Further sentences about people's attestations."""

    comments: Annotated[
        tuple[StepCommented, ...], Meta(description="oldest first; no outcome depends on them")
    ]
    """All comments, oldest first."""

    assigned: Annotated[
        StepAssigned | None, Meta(description="who must do this step, and by which day")
    ]
    """The current assignment, or `None`."""

    checks: tuple[Finding, ...]
    """The findings of this run."""

    exchanges: tuple[NumberedExchange, ...]
    """The exchanges that the findings rest on."""

    carried: Annotated[
        tuple[CarriedCheck, ...],
        Meta(
            description="results of earlier runs that count in this one; checks and exchanges "
            "have those of this run alone"
        ),
    ]
    """Results of earlier runs that count in this one."""

    attachments: tuple[Attachment, ...]
    """The files that people attached, each once."""

    known_errors: Annotated[
        tuple[KnownErrorRecord, ...],
        Meta(
            description="known error texts of a step that failed or could not be checked, "
            "those that were seen first"
        ),
    ]
    """Known error texts of a failed or inconclusive step, seen ones first."""

    def require_evidence(self) -> None:
        """Raise `ValueError` if the evidence for the outcome is missing, according to `RULES`."""
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
    """Return everything about a step; `known_errors` only if it failed or could not be checked."""
    attestations = (*state.confirmed_by, *((state.attestation,) if state.attestation else ()))
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
        confirmed_by=state.confirmed_by,
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
        known_errors=known_errors_of(state) if state.conclusion.outcome in _OPEN else (),
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


def known_errors_of(state: StepState) -> tuple[KnownErrorRecord, ...]:
    """Return the step's known errors; those in its reason, a quote or a response come first."""
    step = state.step
    quotes = [quote for finding in state.findings for quote in finding.quotes]
    own_words = " ".join([state.conclusion.reason, *quotes])
    responses = [exchange.response for exchange in state.exchanges.values()]
    here = step_name(state.number, step.title)
    return tuple(
        KnownErrorRecord(
            shown=error.shown,
            meaning=error.meaning,
            causes=tuple(
                CauseRecord(text=cause.text, tested_by=cause.tested_by) for cause in error.causes
            ),
            advice=error.advice_at(here),
            source=error.source,
            seen=seen,
        )
        for error, seen in step.rank_seen(step.known_errors, own_words, responses)
    )


def advice_of(step: StepRecord) -> str:
    """
    Return the advice about the known error in a step's reason, or an empty text.

    It replaces the general advice for the outcome. To look and confirm the step would contradict,
    for example, that a client ID is mistyped.
    """
    named = [error.advice for error in step.known_errors if error.seen == "reason"]
    return named[0] if named else ""


def gather_from_checks(step: StepRecord, name: str) -> list[Any]:
    """Return the `quotes`, `warnings`, `limits`, `changes` or `tables` of all checks of a step."""
    findings = (*step.checks, *(carried.finding for carried in step.carried))
    return [item for finding in findings for item in getattr(finding, name)]


def earlier_line(carried: CarriedCheck) -> str:
    """Return the place of an earlier result in words: line, bundle, run and digest."""
    bundle = f"bundle {carried.bundle}" if carried.bundle else "this bundle"
    run = f" (run {carried.run_id})" if carried.run_id else ""
    return f"line {carried.line} of the journal in {bundle}{run}, SHA-256 {carried.sha256}"


def exchange_detail(exchange: Exchange) -> str:
    """Return the request and the response of one exchange as indented JSON."""
    shown = {"sent": exchange.request, "headers": exchange.headers, "response": exchange.response}
    shown = {name: value for name, value in shown.items() if value}
    return json.dumps(shown, ensure_ascii=False, indent=2)
