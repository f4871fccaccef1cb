"""
The claims that a statement makes about a run: its results, and its place.

in-toto test-result v0.1 (https://github.com/in-toto/attestation). Every later format keeps the
fields of `RunClaims`, so that `verify` can follow a chain whose states it cannot compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins

from runbook_lib.core.model import (
    FleetRun,
    Name,
    NotRunReason,
    Number,
    Outcome,
    ProcedureName,
    RunOutcome,
    Time,
    describe_invalid_field,
)
from runbook_lib.errors import EnvelopeError, FormatError
from runbook_lib.evidence.record import JournalExcerpt
from runbook_lib.evidence.signing.statement import (
    ChainLink,
    Resource,
    SignedStatement,
    link_claim,
)
from runbook_lib.run.events import FORMAT
from runbook_lib.run.state import RunState

PACKAGE = "facebook-marketing-runbook"


class RunClaims(Struct, frozen=True, kw_only=True):
    """The claims of a statement about its run, in this format and in every later one."""

    format_version: Number
    """The version of the format."""

    runbook: str
    """The version of the runbook that sealed it; empty if the run did not name it."""

    run_id: Name
    """Id of the run."""

    tenant: Name
    """The tenant's name."""

    procedure: ProcedureName
    """The procedure of the run's connector."""

    sandbox: bool
    """Whether it is practice, which proves nothing."""

    outcome: RunOutcome
    """The outcome of the run."""

    started_on: Time
    """Time of its beginning, in UTC."""

    finished_on: str
    """Time of its end; empty if it was interrupted."""

    fleet_run: FleetRun | None
    """The fleet's run that requested it; `None` outside of a fleet."""

    not_run: NotRunReason | None
    """Why it could not start; `None` if it did."""

    journal: JournalExcerpt
    """The lines that the bundle copied."""


def runbook_version(record: RunState) -> str:
    """Return the version of the runbook that made a record; empty if its run did not name it."""
    return record.environment.get(PACKAGE, "")


def claims_of(
    record: RunState,
    *,
    excerpt: JournalExcerpt,
    link: ChainLink,
    configuration: Iterable[Resource],
    timestamp_authority: str,
) -> dict[str, Any]:
    """
    Return the predicate of a statement.

    A step that a machine verified in this run is passed. A step that it verified in an earlier run,
    or that a person attested or has yet to confirm, is warned. A step that a check contradicts is
    failed.
    """
    outcomes: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for step in record.steps:
        outcomes[step.outcome].append(step.id)
    earlier = {step.id: step.verified_on for step in record.steps if step.verified_on}
    in_part = [step.id for step in record.steps if step.needs_person or step.verified_on]
    passed = [name for name in outcomes[Outcome.VERIFIED] if name not in in_part]
    unfailed = "PASSED" if len(passed) == len(record.steps) else "WARNED"
    claims = RunClaims(
        format_version=record.format,
        runbook=runbook_version(record),
        run_id=record.run,
        tenant=record.tenant,
        procedure=record.procedure,
        sandbox=record.sandbox,
        outcome=record.outcome,
        started_on=record.started_on,
        finished_on=record.finished_on,
        fleet_run=record.fleet_run,
        not_run=record.not_run,
        journal=excerpt,
    )
    return {
        "result": "FAILED" if record.outcome is RunOutcome.FAILED else unfailed,
        "configuration": [source.descriptor() for source in configuration],
        "passedTests": passed,
        "warnedTests": [*outcomes[Outcome.ATTESTED], *in_part],
        "failedTests": outcomes[Outcome.FAILED],
        "runbook_run": {
            **to_builtins(claims),
            "mode": record.mode,
            "outcomes": to_builtins(outcomes),
            "verified_on": earlier,
        },
        "runbook_chain": {**link_claim(link), "timestamp_authority": timestamp_authority},
    }


def check_format(signed: SignedStatement) -> None:
    """Raise `FormatError` for a format before this one, or for none."""
    run = signed.predicate.get("runbook_run")
    version = run.get("format_version") if isinstance(run, Mapping) else None
    if not isinstance(version, int) or version < FORMAT:
        raise FormatError("It", version, FORMAT)


def read_claims(signed: SignedStatement) -> RunClaims:
    """Return the claims of a statement about its run; raises `EnvelopeError` if one is invalid."""
    try:
        return convert(signed.predicate.get("runbook_run"), RunClaims)
    except ValidationError as error:
        reason = describe_invalid_field(error, "")
        raise EnvelopeError(f"Its claims about the run are invalid: {reason}.") from None
