"""
The names of all tenants, and the FILE that names each: `tenants.json` in the evidence folder.

So a run or a watch of some tenants drops nobody from the page. A tenant leaves once its FILE no
longer names it. The list holds no values, and is no evidence. Without it, each tenant with a
journal is listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert, structs, to_builtins

from runbook_lib.config.fleet_file import FleetFile, FleetTenant, read_fleet_file
from runbook_lib.connectors.registry import (
    DEFAULT,
    broken_connectors,
    packaged_names,
    working_procedures,
)
from runbook_lib.core.files import hold_lock, read_plain, write_whole
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.errors import (
    BrokenConnectorError,
    FleetFileError,
    RunbookError,
    SettingsError,
    reason_of,
)

LIST_NAME = "tenants.json"
FORMAT_VERSION = 1
_MAX_BYTES = 64 * 1024 * 1024
_LOCK_TIMEOUT_SECONDS = 30.0

Name = tuple[str, str]
"""Tenant and connector."""


class ListedTenant(Struct, frozen=True):
    """A connector of a tenant, as `tenants.json` names it."""

    tenant: str
    connector: str
    file: Annotated[str, Meta(pattern="^[^\\x00]*$")] = ""
    """The FILE that named it, relative to the evidence folder; empty if it was run alone."""
    has_left: bool = False
    """Whether that FILE no longer names it."""


class _Document(Struct, frozen=True):
    format_version: int
    tenants: tuple[ListedTenant, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantList:
    """The tenants that are listed."""

    files: Mapping[Name, str] = field(default_factory=dict)
    """The FILE of each tenant that one names, as a path from the working directory."""
    left: frozenset[Name] = frozenset()
    """The tenants whose FILE no longer names them; nothing shows them."""
    notices: tuple[str, ...] = ()
    """The reason why a FILE, or the list itself, cannot be read; then the earlier names stay."""


def read_tenants_file(file: Path) -> FleetFile:
    """
    Return the tenants of a FILE; raises `FleetFileError`.

    A connector that a package brings is loaded only if the FILE names it.
    """
    named = _packaged_names_in(file)
    return read_fleet_file(file, working_procedures(named), DEFAULT, broken_connectors(named))


def names_in_file(file: Path) -> list[Name]:
    """
    Return the names of the tenants of a FILE; loads no connector of a package.

    Raises `FleetFileError`.
    """
    not_loaded = {name: BrokenConnectorError("It is not loaded.") for name in packaged_names()}
    broken = {**not_loaded, **broken_connectors()}
    return list(read_fleet_file(file, working_procedures(), DEFAULT, broken).names)


def _packaged_names_in(file: Path) -> list[str]:
    """Return the connectors of packages whose names occur in a FILE."""
    try:
        text = read_plain(file, _MAX_BYTES).decode(errors="replace")
    except OSError:
        return []  # the caller reads it again, and says why it cannot
    return [name for name in packaged_names() if name in text]


def whole_tenants_file(file: Path) -> list[FleetTenant]:
    """Return the tenants of a FILE; raises `FleetFileError` also for a broken connector."""
    fleet_file = read_tenants_file(file)
    if fleet_file.unusable:
        raise FleetFileError(
            f"The file of tenants {file} names a connector that is broken.", fleet_file.unusable
        )
    return fleet_file.tenants


def read_list(evidence: Path, file: Path | None = None) -> TenantList:
    """Return the listed tenants, as each FILE names them now; `file` is a FILE not known yet."""
    rows, notices = _read_rows(evidence)
    named, mistakes = _as_named(evidence, rows, [file] if file else [])
    files = {
        (row.tenant, row.connector): os.path.relpath(evidence / row.file)
        for row in named.values()
        if row.file and not row.has_left
    }
    left = frozenset(name for name, row in named.items() if row.has_left)
    return TenantList(files, left, (*notices, *mistakes))


def list_tenants(evidence: Path, *, file: Path | None = None, alone: Iterable[Name] = ()) -> None:
    """
    Write the list of tenants, with those of `file`, and those that were run `alone`.

    Raises `RunbookError` or `OSError` if it cannot be written.
    """
    with _locked(evidence):
        rows, _ = _read_rows(evidence)
        named, _ = _as_named(evidence, rows, [file] if file else [])
        for tenant, connector in alone:
            row = named.get((tenant, connector))
            if row is None or row.has_left:
                named[tenant, connector] = ListedTenant(tenant, connector)
        document = _Document(FORMAT_VERSION, tuple(named[name] for name in sorted(named)))
        if document.tenants != tuple(rows):
            text = write_json(to_builtins(document), indent=1)
            write_whole(evidence / LIST_NAME, f"{text}\n".encode(), is_durable=False)


@contextmanager
def _locked(evidence: Path) -> Iterator[None]:
    with hold_lock(evidence / "tenants.lock", seconds=_LOCK_TIMEOUT_SECONDS):
        yield


def _as_named(
    evidence: Path, rows: Iterable[ListedTenant], files: Iterable[Path]
) -> tuple[dict[Name, ListedTenant], list[str]]:
    """Return the tenants as their FILEs name them now, and why one cannot be read."""
    named = {(row.tenant, row.connector): row for row in rows}
    known = dict.fromkeys(row.file for row in named.values() if row.file and not row.has_left)
    known |= dict.fromkeys(os.path.relpath(file.absolute(), evidence) for file in files)
    mistakes = []
    for file in known:
        try:
            fleet_file = read_tenants_file(Path(os.path.relpath(evidence / file)))
        except RunbookError as error:
            mistakes.append(f"{error} Its tenants are shown as it last named them.")
            continue
        names = {(tenant.tenant, tenant.procedure.id) for tenant in fleet_file.tenants}
        broken = broken_connectors(row.connector for row in named.values())
        for name, row in named.items():
            # NOTE: the tenants of a FILE with a broken connector are not known.
            if row.file == file and name not in names and row.connector not in broken:
                named[name] = structs.replace(row, has_left=True)
        named |= {name: ListedTenant(*name, file) for name in names}
    return named, mistakes


def _read_rows(evidence: Path) -> tuple[list[ListedTenant], list[str]]:
    path = evidence / LIST_NAME
    try:
        document = convert(parse_own(read_plain(path, _MAX_BYTES)), _Document)
        if document.format_version == FORMAT_VERSION:
            return [*document.tenants], []
        why = f"has format {document.format_version}, not {FORMAT_VERSION}"
    except FileNotFoundError:
        return [], []
    except OSError as error:
        why = f"cannot be read: {reason_of(error)}"
    except (ValueError, ValidationError, RecursionError, SettingsError):
        why = "is not what the runbook writes"
    return [], [f"{path} {why}. It is rewritten; tenants without a run are missing."]
