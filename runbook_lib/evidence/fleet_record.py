"""
The record of a fleet: `fleet.json`, with the result of each tenant, step by step.

It is begun before any tenant runs, with the digest of the tenants file, all names, and the
digest of each request. Results are added when the run ends, and `fleet_seal` signs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta, convert, to_builtins

from runbook_lib.core.files import open_plain, read_plain, write_parts
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import HostCalls, Outcome, RunOutcome, Sha256, Time, Wait
from runbook_lib.errors import ExitCode, FormError, SettingsError, reason_of
from runbook_lib.evidence.signing.statement import ChainLink

FLEET_NAME = "fleet.json"
_FORM = 7
_SCHEMA = "facebook-marketing-runbook/fleet/v"
SCHEMA = f"{_SCHEMA}{_FORM}"
_LARGEST = 256 * 1024 * 1024
_TENANTS = ',"tenants":['
_NOT_IN_HEAD = ("folder", "results", "_steps")
# The exit code of a fleet is the worst of its tenants'.
_WORST = (ExitCode.FAILED, ExitCode.REFUSED, ExitCode.INCOMPLETE)


class Status(StrEnum):
    """How far a tenant is: only what is sealed has evidence of this fleet's run."""

    PENDING = "pending"
    UNSEALED = "unsealed"
    SEALED = "sealed"


_SomeText = Annotated[str, Meta(min_length=1)]
_Id = Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]


class StepResult(TypedDict):
    """The result of a step, and for whom it waits, if it does."""

    id: str
    outcome: Outcome
    reason: str
    needs_person: bool
    wait: NotRequired[Wait]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantResult:
    """
    The result of one tenant's run; `key` is the digest of what it was asked to do.

    `reason` says why nothing was sealed, or not archived, and `next_step` what to do;
    `bundle` is the folder below the evidence folder, `statement` the SHA-256 of its
    statement. `steps` are id, outcome, reason and whether
    a person must confirm the rest; where a step waits for somebody, its `wait` says for whom
    and since when. `calls` are the answers of each host.
    """

    tenant: _SomeText
    connector: _SomeText
    key: Sha256
    sandbox: bool
    status: Status = Status.PENDING
    outcome: RunOutcome | None = None
    exit_code: int | None = None
    reason: str = ""
    next_step: str = ""
    run_id: str | None = None
    bundle: str | None = None
    statement: Sha256 | None = None
    seconds: float | None = None
    steps: tuple[StepResult, ...] = ()
    calls: tuple[HostCalls, ...] = ()

    @property
    def name(self) -> tuple[str, str]:
        """Return what a fleet has once: tenant and connector."""
        return self.tenant, self.connector

    @property
    def is_failed(self) -> bool:
        """Return whether a step failed, or nothing was sealed."""
        return self.status is Status.UNSEALED or self.exit_code == ExitCode.FAILED


class StepName(TypedDict):
    """A step of a connector, with its number on screen."""

    id: str
    number: str
    title: str


class ConnectorName(TypedDict):
    """A connector: its title and its steps."""

    title: str
    steps: tuple[StepName, ...]


@dataclass
class FleetRecord:
    """
    What is known of a fleet's run, in the folder `folder`; `file` is the name of its tenants file.

    `number` counts the runs of that file in the order in which they began, `link` is the place
    among those that are signed. `left_out` are tenants of the file that were not asked for;
    `replaced` are bundles of this run on which no result rests, with their statements' SHA-256.
    """

    folder: Path
    fleet_id: _Id
    file: _SomeText
    connectors: dict[str, ConnectorName]
    started_on: Time
    finished_on: Time | None = None
    results: dict[tuple[str, str], TenantResult] = field(default_factory=dict)
    file_sha256: Sha256 | Literal[""] = ""
    number: Annotated[int, Meta(ge=1)] = 1
    link: ChainLink | None = None
    left_out: tuple[tuple[_SomeText, _SomeText], ...] = ()
    replaced: Mapping[str, Sha256] = field(default_factory=dict)
    _steps: dict[str, StepResult] = field(default_factory=dict, init=False, repr=False)

    @property
    def path(self) -> Path:
        """Return the path of `fleet.json`."""
        return self.folder / FLEET_NAME

    @property
    def exit_code(self) -> ExitCode:
        """Return the worst exit code: a failed step, then refused evidence, then what is open."""
        codes = {
            ExitCode.INCOMPLETE if result.exit_code is None else result.exit_code
            for result in self.results.values()
        }
        return next((code for code in _WORST if code in codes), ExitCode.COMPLETE)

    @property
    def bundles(self) -> dict[str, str]:
        """Return the bundles on which results rest, with the SHA-256 of their statements."""
        results = self.results.values()
        return {each.bundle: str(each.statement) for each in results if each.bundle is not None}

    def put(self, result: TenantResult) -> None:
        """Note the result of a tenant."""
        # NOTE: most tenants have most steps in common; a thousand copies would be 15 MiB.
        steps = tuple(self._steps.setdefault(repr(step), step) for step in result.steps)
        self.results[result.name] = replace(result, steps=steps)

    def write(self) -> None:
        """Write the record, atomically and durably; raises `OSError` where it cannot."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_parts(self.path, (line.encode() for line in self._lines()))

    def text(self) -> str:
        """Return the record as JSON, a line for each tenant."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        head = to_builtins({name: getattr(self, name) for name in _HEAD})
        yield f"{write_json({'schema': SCHEMA, **head})[:-1]}{_TENANTS}\n"
        last = next(reversed(self.results), None)
        for name, result in self.results.items():
            yield f"{write_json(to_builtins(result))}{',' * (name != last)}\n"
        yield "]}\n"


# What the record has before its results.
_HEAD = [each.name for each in fields(FleetRecord) if each.name not in _NOT_IN_HEAD]


def read_record(path: Path, *, is_head: bool = False) -> FleetRecord:
    """
    Return the record at `path`; with `is_head` without its results, which are most of it.

    Raises `FormError` for another form of the record, `SettingsError` for one that
    cannot be read.
    """
    try:
        return parse_record(_first_line(path) if is_head else read_plain(path, _LARGEST), path)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {reason_of(error)}") from None


def parse_record(content: bytes, path: Path) -> FleetRecord:
    """Return the record in `content`, which was read from `path`; see `read_record`."""
    schema = None
    try:
        document = parse_own(content)
        schema = str(document["schema"])
        head = {"folder": path.parent, **{name: document[name] for name in _HEAD}}
        record = convert(head, FleetRecord)
        results = convert(document["tenants"], tuple[TenantResult, ...])
    except (ValueError, LookupError, TypeError):
        record, results = None, ()
    if schema not in (None, SCHEMA):
        raise FormError("It", schema.removeprefix(_SCHEMA), _FORM, file=str(path))
    if record is None:
        raise _unusable(path, "is not a fleet record")
    if not path.parent.name.endswith(f"-{record.fleet_id}"):
        raise _unusable(path, f"belongs to the run {record.fleet_id}, under another name")
    for result in results:
        record.put(result)
    return record


def _first_line(path: Path) -> bytes:
    """Return the record at `path` as if there were no tenants in it."""
    with open_plain(path) as file:
        line = file.readline(_LARGEST)
    # NOTE: in another layout it is not as it was written; then all of it is read.
    is_head = line.endswith(f"{_TENANTS}\n".encode())
    return line + b"]}" if is_head else read_plain(path, _LARGEST)


def _unusable(path: Path, why: str) -> SettingsError:
    advice = "Move its folder away, and start again. The runbook then ignores its content."
    return SettingsError(f"The record {path} {why}.", next_step=advice)
