"""
The result of a fleet's run: the results of its tenants, step by step.

It is read from the tenants' bundles. Only they are evidence. One small file beside the page has the
reasons why tenants have no bundle. You may delete it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta, ValidationError, convert, to_builtins

from runbook_lib.config.workspace import FLEET_FOLDER
from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import Outcome, RunOutcome, Sha256, Time, Wait
from runbook_lib.errors import ExitCode, SettingsError, reason_of
from runbook_lib.run.state import RunState, StepState

UNSEALED_NAME = "unsealed.json"
_FORMAT_VERSION = 3
SCHEMA = "facebook-marketing-runbook/fleet/v9"
_LARGEST = 64 * 1024 * 1024
# The members of the JSON before its tenants.
_HEAD = ("fleet_id", "file", "connectors", "started_on", "finished_on", "left_out")
# The exit code of a fleet is the worst of its tenants'.
_WORST = (ExitCode.FAILED, ExitCode.REFUSED, ExitCode.INCOMPLETE)


class TenantRunStatus(StrEnum):
    """The progress of a tenant in a fleet's run."""

    PENDING = "pending"
    """Its run has not ended."""

    UNSEALED = "unsealed"
    """Its run ended without a bundle."""

    NOT_RUN = "not_run"
    """A bundle says that the tenant could not start, and why."""

    SEALED = "sealed"
    """It has a bundle, which is the evidence."""


_SomeText = Annotated[str, Meta(min_length=1)]
_Id = Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]


class StepResult(TypedDict):
    """The result of a step."""

    id: str
    """The id of the step."""

    outcome: Outcome
    """Its outcome."""

    reason: str
    """The reason for the outcome."""

    needs_person: bool
    """Whether a person must confirm the rest."""

    verified_on: NotRequired[str]
    """The day of an earlier run whose check it rests on."""

    wait: NotRequired[Wait]
    """The party for whom it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantResult:
    """The result of one tenant's run."""

    tenant: _SomeText
    """The tenant's name."""

    connector: _SomeText
    """The id of its procedure."""

    entry_digest: Sha256
    """The digest of the tenant's entry in the file of tenants."""

    sandbox: bool
    """Whether it is practice."""

    status: TenantRunStatus = TenantRunStatus.PENDING
    """The progress of its run."""

    outcome: RunOutcome | None = None
    """The outcome of its run, once that is sealed."""

    exit_code: int | None = None
    """The exit code of a run of this tenant alone; `None` until it ends."""

    reason: str = ""
    """The reason why it did not run, or why nothing was sealed or archived."""

    next_step: str = ""
    """The advice about `reason`."""

    run_id: str | None = None
    """The id of its own run."""

    bundle: str | None = None
    """The bundle's folder below the evidence folder."""

    statement: Sha256 | None = None
    """The SHA-256 of the bundle's statement."""

    seconds: float | None = None
    """The time that its process took; `None` if it ran earlier."""

    steps: tuple[StepResult, ...] = ()
    """Its steps in the documented order."""

    calls: Mapping[str, int] = field(default_factory=dict)
    """Number of responses of each host."""

    @property
    def name(self) -> tuple[str, str]:
        """The tenant and the connector, which are unique in a fleet."""
        return self.tenant, self.connector

    @property
    def is_failed(self) -> bool:
        """Whether a step failed, or the tenant has no evidence of its run."""
        without = self.status in (TenantRunStatus.UNSEALED, TenantRunStatus.NOT_RUN)
        return without or self.exit_code == ExitCode.FAILED


@dataclass
class FleetResult:
    """The result of a fleet's run."""

    folder: Path
    """The folder of its page and of the file of tenants without a bundle."""

    fleet_id: _Id
    """The id of the run, which its tenants' records name."""

    file: _SomeText
    """The name of its file of tenants."""

    connectors: dict[str, Any]
    """Each connector that has a tenant here: its title, and the id, number and title of its steps.
    """

    started_on: Time
    """The time of its first start."""

    finished_on: Time | None = None
    """The time of its end; `None` until then."""

    results: dict[tuple[str, str], TenantResult] = field(default_factory=dict)
    """The result of each selected tenant with a connector."""

    left_out: tuple[tuple[_SomeText, _SomeText], ...] = ()
    """The tenants of the file that it did not select."""

    _steps: dict[str, StepResult] = field(default_factory=dict, init=False, repr=False)
    """Each different step result once, by its text."""

    @property
    def exit_code(self) -> ExitCode:
        """The worst exit code: a failed step, then refused evidence, then open steps."""
        codes = {
            ExitCode.INCOMPLETE if result.exit_code is None else result.exit_code
            for result in self.results.values()
        }
        return next((code for code in _WORST if code in codes), ExitCode.COMPLETE)

    @property
    def selected(self) -> int:
        """The number of tenants that it selected."""
        return len(self.results)

    @cached_property
    def selected_digest(self) -> str:
        """The digest of their sorted list."""
        return selection_digest(self.results)

    @property
    def unsealed(self) -> list[TenantResult]:
        """The tenants without a bundle; empty until the run ends."""
        ended = self.results.values() if self.finished_on else ()
        return [result for result in ended if result.bundle is None]

    def put(self, result: TenantResult) -> None:
        """Note the result of a tenant."""
        # NOTE: most tenants have most steps in common; a thousand copies would be 15 MiB.
        steps = tuple(self._steps.setdefault(repr(step), step) for step in result.steps)
        self.results[result.name] = replace(result, steps=steps)

    def text(self) -> str:
        """Return the result as JSON, a line for each tenant."""
        head = to_builtins({name: getattr(self, name) for name in _HEAD})
        first = write_json({"schema": SCHEMA, **head}).removesuffix("}")
        tenants = ",\n".join(write_json(to_builtins(result)) for result in self.results.values())
        return f'{first},"tenants":[\n{tenants}\n]}}\n'


def result_of(pending: TenantResult, record: RunState, bundle: str, statement: str) -> TenantResult:
    """
    Return the result of a tenant's run from its verified record, in `bundle` with this statement.

    No bundle shows how long the run took, and whether it was archived.
    """
    proven = replace(
        pending,
        sandbox=record.sandbox,
        run_id=record.run,
        bundle=f"{record.tenant}/{record.procedure.id}/{bundle}",
        statement=statement,
    )
    if record.not_run:
        return replace(
            proven,
            status=TenantRunStatus.NOT_RUN,
            exit_code=ExitCode.INCOMPLETE,
            reason=record.not_run.reason,
            next_step=record.not_run.next_step,
        )
    return replace(
        proven,
        status=TenantRunStatus.SEALED,
        outcome=record.outcome,
        exit_code=record.outcome.exit_code,
        steps=tuple(map(_step_result, record.steps)),
        calls=record.calls,
    )


def _step_result(step: StepState) -> StepResult:
    result = StepResult(
        id=step.id, outcome=step.outcome, reason=step.reason, needs_person=step.needs_person
    )
    if step.verified_on:
        result["verified_on"] = step.verified_on
    if step.waits_for:
        result["wait"] = Wait(
            waits_for=step.waits_for,
            since=step.waiting_since or None,
            assigned_to=step.assigned_to or None,
            due=step.due or None,
            overdue_days=step.overdue_days,
        )
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsealedTenant:
    """The reason why a tenant has no bundle of a fleet's run."""

    tenant: _SomeText
    """The tenant's name."""

    connector: _SomeText
    """The id of its procedure."""

    reason: str
    """The reason; empty if the run did not begin."""

    next_step: str
    """The advice about `reason`."""

    exit_code: int | None
    """As in `TenantResult`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNotes:
    """The notes of a fleet beside its page. They are no evidence: bundles override them."""

    format_version: Annotated[int, Meta(ge=_FORMAT_VERSION, le=_FORMAT_VERSION)] = _FORMAT_VERSION
    """The version of this file's format."""

    fleet_id: _Id
    """The id of the run."""

    started_on: Time
    """The time of its first start."""

    file: _SomeText
    """The name of its file of tenants."""

    selected: Annotated[int, Meta(ge=0)]
    """The number of tenants that it selected."""

    selected_digest: Sha256
    """The digest of their sorted list."""

    unsealed: tuple[UnsealedTenant, ...] = ()
    """The tenants without a bundle; empty until the run ends."""


def write_notes(result: FleetResult) -> None:
    """Write the tenants of a fleet without a bundle, with the reasons; raises `OSError`."""
    notes = convert(result, FleetNotes, from_attributes=True)
    text = write_json(to_builtins(notes), indent=1)
    result.folder.mkdir(parents=True, exist_ok=True)
    write_whole(result.folder / UNSEALED_NAME, f"{text}\n".encode())


def notes_in(evidence: Path, fleet_id: str = "*") -> Sequence[tuple[Path, FleetNotes]]:
    """
    Return the notes of a fleet's run, or of all, each with its folder.

    Raises `SettingsError` for notes that cannot be read.
    """
    paths: Iterable[Path] = evidence.glob(f"{FLEET_FOLDER}/*-{fleet_id}/{UNSEALED_NAME}")
    return [(path.parent, _read_notes(path)) for path in sorted(paths)]


def _read_notes(path: Path) -> FleetNotes:
    why = "is not what a fleet writes"
    try:
        notes = convert(parse_own(read_plain(path, _LARGEST)), FleetNotes)
        if path.parent.name.endswith(f"-{notes.fleet_id}"):
            return notes
    except OSError as error:
        why = f"cannot be read: {reason_of(error)}"
    except (ValueError, ValidationError, RecursionError):
        pass
    raise SettingsError(f"{path} {why}.", next_step="Delete it: it is no evidence.")
