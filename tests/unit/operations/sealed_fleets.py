"""Fleets whose tenants are sealed for real, without a process, a kernel or a remote system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from msgspec import convert

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Finding, FleetRun, Mode, NotRunReason, Outcome
from runbook_lib.engine.check_runner import CheckResult, Performed, PreparedChecks, RunningChecks
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.evidence.bundle import Seal, draft_bundle
from runbook_lib.evidence.sealing import seal_run
from runbook_lib.evidence.signing.keys import SigningKey, key_from_settings, read_public_keys
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Verdict
from tests.support.attestations import skipped

EVIDENCE = Path("evidence")


@dataclass(frozen=True, kw_only=True)
class TenantRequest:
    """A run that a fleet asks for, and the variables that its process gets."""

    connector: str
    """The connector's id."""
    tenant: str
    """The tenant's name."""
    evidence: str
    """The evidence folder."""
    given: Mapping[str, Any]
    """Parameters of the run, by name."""
    fleet_run: FleetRun | None
    """The run of a fleet that asks for it."""
    env_file: str = ""
    """The settings file."""
    attestations: str = ""
    """The file of attestations."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Places of secrets, by the name of the input."""
    may_spend: bool = False
    """Whether settings may permit checks with side effects."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of its process alone."""

    @classmethod
    def of(cls, document: Mapping[str, Any], variables: Mapping[str, str]) -> TenantRequest:
        """Return the run that a request asks for."""
        names = cls.__dataclass_fields__.keys() & document.keys()
        run = convert(document["fleet_run"], FleetRun | None)
        given = {name: document[name] for name in names}
        return cls(**{**given, "fleet_run": run, "variables": variables})


def sealed(
    request: TenantRequest,
    *,
    is_complete: bool = True,
    not_run: str = "",
    key: SigningKey | None = None,
    before: Callable[[Run], object] = lambda _: None,
) -> RunEnd:
    """
    Seal a run in which a person left out every step, or none; return its end.

    With `not_run`, it could not start for this reason.
    """
    procedure = find_procedure(request.connector)
    given = dict(request.given)
    run = open_run(
        procedure, given, mode=Mode.HEADLESS, tenant=request.tenant, evidence=request.evidence
    )
    run.start(
        request.fleet_run, NotRunReason(reason=not_run, next_step="Give it.") if not_run else None
    )
    if is_complete and not not_run:
        # NOTE: some words grow old within 90 days.
        on = timestamp(run.clock())
        run.say([skipped(step.id, at=on) for step in procedure.steps])
    before(run)
    run.finish()
    key = key or key_from_settings(run.settings, is_sandbox=run.is_sandbox)
    with draft_bundle(run.journal.path.parent, run.run_id) as folder:
        (folder / "01.ipynb").write_text('{"cells": []}\n')
        done = seal_run(
            folder,
            run.journal,
            run.run_id,
            run.redactor,
            Seal(key, ()),
            make_report=lambda *_: "<p></p>",
        )
    return RunEnd(outcome=str(done.state.outcome), bundle=str(done.folder))


def fail(run: Run) -> None:
    """Let a check of the run fail."""
    step = next(step for step in run.procedure.steps if step.checks)
    finding = Finding(outcome=Outcome.FAILED, code="a-code", reason="No.", check=step.checks[0].id)
    seen: Performed = ((CheckResult(finding),), "")
    prepared = PreparedChecks(run.known_subject, lambda: seen)
    look = cast("RunningChecks", SimpleNamespace(take=lambda _: (seen, prepared)))
    run.perform(step.id, look)


def verdicts(path: Path = EVIDENCE) -> list[Verdict]:
    """Return the verdicts of `verify`, which trusts the exported keys."""
    evidence = next(
        parent for parent in (path, *path.parents, EVIDENCE) if (parent / "keys").is_dir()
    )
    return list(verify_tree(path, TrustAnchors(read_public_keys([evidence / "keys"]))))


def refused_bundles(path: Path = EVIDENCE) -> list[str]:
    """Return the reasons for which `verify` refuses, in its words."""
    return [str(verdict.error) for verdict in verdicts(path) if verdict.error is not None]
