"""
The record of a fleet: `fleet.json`, with the result of each tenant, step by step.

It is written when the run begins and when it ends. Meanwhile each result is a line that
is appended to `results.jsonl`, so a result costs the same among ten tenants and ten
thousand. `fleet.schema.json` describes the record. Until a statement signs it, nothing in
it counts but names. `fleet_chain` puts the records of one file in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from runbook_lib.core.files import open_plain, read_plain, remove, write_parts
from runbook_lib.core.json_text import compile_schema, parse_json, write_json
from runbook_lib.errors import ExitCode, FormError, SettingsError

FLEET_NAME = "fleet.json"
_LOG_NAME = "results.jsonl"
_SCHEMA, _FORM = "facebook-marketing-runbook/fleet/v", 4
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantResult:
    """
    The result of one tenant's run; `key` is the digest of what it was asked to do.

    `reason` says why nothing was sealed, or not archived, and `next_step` what to do;
    `bundle` is the folder below the evidence folder. `steps` are id, outcome, reason and whether
    a person must confirm the rest; where a step waits for somebody, its `wait` says for whom
    and since when.
    """

    tenant: str
    connector: str
    key: str
    sandbox: bool
    status: Status = Status.PENDING
    outcome: str | None = None
    exit_code: int | None = None
    reason: str = ""
    next_step: str = ""
    run_id: str | None = None
    bundle: str | None = None
    seconds: float | None = None
    steps: tuple[Mapping[str, Any], ...] = ()

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

    fleet_id: str
    statement: str | None


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
    connectors: dict[str, Mapping[str, Any]]
    started_on: str
    finished_on: str | None = None
    results: dict[tuple[str, str], TenantResult] = field(default_factory=dict)
    file_sha256: str = ""
    previous: tuple[Previous, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    replaced: tuple[str, ...] = ()
    _steps: dict[str, Mapping[str, Any]] = field(default_factory=dict, init=False, repr=False)

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
            log.write(f"{write_json(asdict(result))}\n")

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
            "schema": f"{_SCHEMA}{_FORM}",
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
            yield f"{write_json(asdict(result))}{',' * (name != last)}\n"
        yield "]}\n"


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the record."""
    text = resources.files("runbook_lib.evidence").joinpath("fleet.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def read_head(path: Path) -> FleetRecord:
    """
    Return the record at `path` without its results, which are most of it.

    Raises `FormError` for another form of the record, `SettingsError` for one that
    cannot be read.
    """
    return _head(path.parent, _checked(path, lambda: _first_line(path)))


def read_record(path: Path) -> FleetRecord:
    """Return the record at `path`, with the results logged beside it; raises like `read_head`."""
    document = _checked(path, lambda: parse_json(read_plain(path, _LARGEST)))
    record = _head(path.parent, document)
    for row in document["tenants"]:
        result = TenantResult(**row)
        record.put(replace(result, status=Status(result.status), steps=tuple(result.steps)))
    return record


def _first_line(path: Path) -> Any:
    """Return the record at `path` as if there were no tenants in it."""
    with open_plain(path) as file:
        line = file.readline(_LARGEST)
    ending = f"{_TENANTS}\n".encode()
    # NOTE: in another layout it is not as it was written; then all of it is read.
    is_head = line.endswith(ending)
    return parse_json(line + b"]}" if is_head else read_plain(path, _LARGEST))


def _head(folder: Path, document: Mapping[str, Any]) -> FleetRecord:
    return FleetRecord(
        folder,
        document["fleet_id"],
        document["file"],
        document["connectors"],
        document["started_on"],
        document["finished_on"],
        file_sha256=document["file_sha256"],
        previous=tuple(Previous(**run) for run in document["previous"]),
        left_out=tuple((tenant, connector) for tenant, connector in document["left_out"]),
        replaced=tuple(document["replaced"]),
    )


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the results in the log of a run that was killed, without a line that was cut short."""
    try:
        lines = read_plain(path, _LARGEST).splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError):
            yield parse_json(line)


def _checked(path: Path, read: Callable[[], Any]) -> dict[str, Any]:
    """Return what `read` finds in the file at `path`, and in the log beside it, validated."""
    advice = "Move its folder away, and start again; what is in it is then not looked at."
    try:
        document = read()
    except OSError as error:
        msg = f"The record {path} cannot be read: {error.strerror}."
        raise SettingsError(msg, next_step=advice) from None
    except ValueError:
        document = None
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, str) and schema != f"{_SCHEMA}{_FORM}":
        raise FormError("It", schema.removeprefix(_SCHEMA), _FORM, file=str(path))
    try:
        _validator()(document)
        datetime.fromisoformat(document["started_on"])
        document["tenants"] += _logged(path.parent / _LOG_NAME)
        _validator()(document)
    except ValueError:
        msg = f"The record {path} is not a fleet's."
        raise SettingsError(msg, next_step=advice) from None
    checked: dict[str, Any] = document
    return checked


@cache
def _validator() -> Callable[[Any], Any]:
    return compile_schema(fleet_schema())
