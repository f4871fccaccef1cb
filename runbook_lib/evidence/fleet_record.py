"""
The record of a fleet: `fleet.json`, with the result of each tenant, step by step.

It is written when the run begins and when it ends. Meanwhile each result is a line that
is appended to `results.jsonl`, so a result costs the same among ten tenants and ten
thousand. Until a statement signs it, nothing in it counts but names. `fleet_chain` puts the
records of one file in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, ValidationError, convert, structs, to_builtins

from runbook_lib.core.files import open_plain, read_plain, remove, write_parts
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import (
    FORM,
    HostCalls,
    Outcome,
    Part,
    RunOutcome,
    Sha256,
    Time,
    WaitsFor,
    json_schema,
)
from runbook_lib.errors import ExitCode, FormError, SettingsError

FLEET_NAME = "fleet.json"
_LOG_NAME = "results.jsonl"
_SCHEMA = "facebook-marketing-runbook/fleet/v"
_LARGEST = 256 * 1024 * 1024
_TENANTS = ',"tenants":['
# The exit code of a fleet is the worst of its tenants'.
_WORST = (ExitCode.FAILED, ExitCode.REFUSED, ExitCode.INCOMPLETE)


class Status(StrEnum):
    """How far a tenant is: only what is sealed has evidence of this fleet's run."""

    PENDING = "pending"
    INTERRUPTED = "interrupted"
    UNSEALED = "unsealed"
    SEALED = "sealed"


_SomeText = Annotated[str, Meta(min_length=1)]
_Id = Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]

# For whom a step waits, and since when.
WaitResult = TypedDict(
    "WaitResult",
    {
        "for": WaitsFor,
        "since": str | None,
        "assigned_to": str | None,
        "due": str | None,
        "overdue_days": Annotated[int, Meta(ge=0)],
    },
)


class StepResult(TypedDict):
    """The result of a step, and for whom it waits, if it does."""

    id: str
    outcome: Outcome
    reason: str
    needs_person: Annotated[
        bool,
        Meta(description="true: verified in part, and open until a person has confirmed the rest"),
    ]
    wait: NotRequired[WaitResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantResult:
    """
    The result of one tenant's run; `key` is the digest of what it was asked to do.

    `reason` says why nothing was sealed, or not archived, and `next_step` what to do;
    `bundle` is the folder below the evidence folder. `steps` are id, outcome, reason and whether
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


@dataclass(frozen=True, slots=True)
class Previous:
    """A run before another one; `statement` is its SHA-256, `None` while there was none."""

    fleet_id: _Id
    statement: Sha256 | None


class StepName(TypedDict):
    """A step of a connector, with its number on screen."""

    id: str
    number: str
    title: str


class ConnectorName(TypedDict):
    """A connector: its title and its steps."""

    title: str
    steps: tuple[StepName, ...]


class FleetDocument(Part):
    """The result of a run over many tenants."""

    schema: Literal["facebook-marketing-runbook/fleet/v6"]
    fleet_id: _Id
    file: _SomeText
    file_sha256: Sha256
    previous: Annotated[
        tuple[Previous, ...],
        Meta(
            description="the runs of this file before, the newest first, back to one with a "
            "statement"
        ),
    ]
    left_out: Annotated[
        tuple[tuple[_SomeText, _SomeText], ...],
        Meta(description="tenant and connector of each entry of the file that was not asked for"),
    ]
    replaced: Annotated[
        tuple[_SomeText, ...], Meta(description="bundles of this run on which no result rests")
    ]
    started_on: Time
    finished_on: Time | None
    connectors: Mapping[str, ConnectorName]
    tenants: tuple[TenantResult, ...]


@dataclass
class FleetRecord:
    """
    What is known of a fleet's run, in the folder `folder`.

    `file` is the name of the file of tenants, `file_sha256` its digest. `connectors`
    describe those of its tenants, by id: the title, and the steps. `previous` are the runs
    of the same file before this one, the newest first, back to one that has a statement.
    `left_out` are tenants of the file that were not asked for; `replaced` are bundles of
    this run on which no result rests, such as one of an entry that was changed.
    """

    folder: Path
    fleet_id: str
    file: str
    connectors: dict[str, ConnectorName]
    started_on: str
    finished_on: str | None = None
    results: dict[tuple[str, str], TenantResult] = field(default_factory=dict)
    file_sha256: str = ""
    previous: tuple[Previous, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    replaced: tuple[str, ...] = ()
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

    def put(self, result: TenantResult) -> None:
        """Note the result of a tenant."""
        # NOTE: most tenants have most steps in common; a thousand copies would be 15 MiB.
        steps = tuple(self._steps.setdefault(repr(step), step) for step in result.steps)
        self.results[result.name] = replace(result, steps=steps)

    def append(self, result: TenantResult) -> None:
        """Note the result of a tenant, and append it to the log; raises `OSError`."""
        self.put(result)
        with (self.folder / _LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(f"{write_json(to_builtins(result))}\n")

    def write(self) -> None:
        """Write the record, atomically and durably; raises `OSError` where it cannot."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_parts(self.path, (line.encode() for line in self._lines()))
        remove(self.folder / _LOG_NAME)

    def text(self) -> str:
        """Return the record as JSON, a line for each tenant."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        head = {
            "schema": f"{_SCHEMA}{FORM}",
            "fleet_id": self.fleet_id,
            "file": self.file,
            "file_sha256": self.file_sha256,
            "previous": [asdict(run) for run in self.previous],
            "left_out": self.left_out,
            "replaced": self.replaced,
            "started_on": self.started_on,
            "finished_on": self.finished_on,
            "connectors": self.connectors,
        }
        yield f"{write_json(head)[:-1]}{_TENANTS}\n"
        last = next(reversed(self.results), None)
        for name, result in self.results.items():
            yield f"{write_json(to_builtins(result))}{',' * (name != last)}\n"
        yield "]}\n"


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the record."""
    return json_schema(FleetDocument, f"urn:facebook-marketing-runbook:fleet:v{FORM}")


def read_head(path: Path) -> FleetRecord:
    """
    Return the record at `path` without its results, which are most of it.

    Raises `FormError` for another form of the record, `SettingsError` for one that
    cannot be read.
    """
    return _head(path.parent, _checked(path, lambda: _first_line(path)))


def read_record(path: Path) -> FleetRecord:
    """Return the record at `path`, with the results logged beside it; raises like `read_head`."""
    document = _checked(path, lambda: parse_own(read_plain(path, _LARGEST)))
    record = _head(path.parent, document)
    for result in document.tenants:
        record.put(result)
    return record


def _first_line(path: Path) -> Any:
    """Return the record at `path` as if there were no tenants in it."""
    with open_plain(path) as file:
        line = file.readline(_LARGEST)
    ending = f"{_TENANTS}\n".encode()
    # NOTE: in another layout it is not as it was written; then all of it is read.
    is_head = line.endswith(ending)
    return parse_own(line + b"]}" if is_head else read_plain(path, _LARGEST))


def _head(folder: Path, document: FleetDocument) -> FleetRecord:
    return FleetRecord(
        folder,
        document.fleet_id,
        document.file,
        dict(document.connectors),
        document.started_on,
        document.finished_on,
        file_sha256=document.file_sha256,
        previous=document.previous,
        left_out=document.left_out,
        replaced=document.replaced,
    )


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the results in the log of a run that was killed, without a line that was cut short."""
    try:
        lines = read_plain(path, _LARGEST).splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError):
            yield parse_own(line)


def _checked(path: Path, read: Callable[[], Any]) -> FleetDocument:
    """Return what `read` finds in the file at `path`, and in the log beside it, validated."""
    advice = "Move its folder away, and start again; what is in it is then not looked at."
    try:
        fields = read()
    except OSError as error:
        msg = f"The record {path} cannot be read: {error.strerror}."
        raise SettingsError(msg, next_step=advice) from None
    except ValueError:
        fields = None
    schema = fields.get("schema") if isinstance(fields, dict) else None
    if isinstance(schema, str) and schema != f"{_SCHEMA}{FORM}":
        raise FormError("It", schema.removeprefix(_SCHEMA), FORM, file=str(path))
    try:
        document = convert(fields, FleetDocument)
        datetime.fromisoformat(document.started_on)
        logged = tuple(convert(row, TenantResult) for row in _logged(path.parent / _LOG_NAME))
    except (ValidationError, ValueError):
        document = None
    # NOTE: a result is not a struct, so a field that it does not have is ignored.
    if document is None or _as_json(document) != fields:
        msg = f"The record {path} is not a fleet's."
        raise SettingsError(msg, next_step=advice)
    return structs.replace(document, tenants=(*document.tenants, *logged))


def _as_json(document: FleetDocument) -> Any:
    return parse_own(write_json(to_builtins(document)).encode("utf-8", "backslashreplace"))
