"""
A tenant's run as a part of a fleet's: what its provenance says of that, and its result.

A bundle names the fleet's run that asked for it, so its result follows from the bundle
alone. No record of a fleet is read here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import to_builtins

from runbook_lib.core.files import read_plain
from runbook_lib.core.json_text import parse_json, write_json
from runbook_lib.errors import ContentError
from runbook_lib.evidence.bundle import PROVENANCE_NAME
from runbook_lib.evidence.fleet_record import Status, StepResult, TenantResult, WaitResult
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, Signed, digest

_ID, _KEY = re.compile(r"[0-9a-f]{8}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FleetRun:
    """
    The run of a fleet for which a tenant's run was made; `key` is the digest of the request.

    `waits` say by step for whom it waits, and since when, as the fleet's record has it.
    """

    fleet_id: str
    key: str
    waits: Mapping[str, WaitResult] = field(default_factory=dict)


def read_fleet_run(made: Signed) -> FleetRun | None:
    """Return what a provenance says of a fleet's run; `None` for a run outside of a fleet."""
    try:
        claimed = made.predicate["buildDefinition"]["internalParameters"]["fleet"]
        if claimed is None:
            return None
        run = FleetRun(**claimed)
        is_valid = bool(_ID.fullmatch(run.fleet_id) and _KEY.fullmatch(run.key))
        is_valid = is_valid and isinstance(run.waits, dict)
    except (KeyError, TypeError):
        is_valid = False
    if not is_valid:
        raise ContentError("It does not say for which fleet's run it was.", file=PROVENANCE_NAME)
    return run


def claimed_fleet(bundle: Path) -> str:
    """Return the id of the fleet's run that a bundle names, unproven, or nothing."""
    try:
        content = read_plain(bundle / PROVENANCE_NAME, LARGEST_ENVELOPE, follows_links=False)
        payload = parse_json(base64.b64decode(parse_json(content)["payload"]))
        parameters = payload["predicate"]["buildDefinition"]["internalParameters"]
        return str(parameters["fleet"]["fleet_id"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def result_of(record: Record, run: FleetRun, bundle: str) -> TenantResult:
    """
    Return the result of the tenant's run with this record; `bundle` is its folder's name.

    How long it took, and whether it was archived, no bundle says.
    """
    tenant, connector = record.tenant, record.procedure.id
    steps: list[StepResult] = []
    for step in record.steps:
        result = StepResult(
            id=step.id, outcome=step.outcome, reason=step.reason, needs_person=step.needs_person
        )
        if step.id in run.waits:
            result["wait"] = run.waits[step.id]
        steps.append(result)
    return TenantResult(
        tenant=tenant,
        connector=connector,
        key=run.key,
        sandbox=record.sandbox,
        status=Status.SEALED,
        outcome=record.outcome,
        exit_code=record.outcome.exit_code,
        run_id=record.run_id,
        bundle=f"{tenant}/{connector}/{bundle}",
        steps=tuple(steps),
        calls=record.calls,
    )


def result_digest(result: TenantResult) -> str:
    """Return the SHA-256 of what a bundle says of a result (see `result_of`), in hexadecimal."""
    claimed = replace(result, exit_code=None, reason="", next_step="", seconds=None)
    return digest(write_json(to_builtins(claimed)).encode("utf-8", "surrogatepass"))
