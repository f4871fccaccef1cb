"""
The file of a fleet: its tenants, their parameters and references to their secrets.

In TOML:

    [defaults]                            # optional: for each tenant without a value of its own
    secrets = {cyclr_client_secret = "env:CYCLR_SECRET"}

    [[tenant]]
    tenant = "acme"
    connector = "…"                       # optional
    service_domain = "acme-h.cyclr.com"   # every parameter by its name
    secrets = {app_secret = "dotenv:acme.env#APP_SECRET"}

In CSV each of these names is a column, each row a tenant. A secret itself is
refused, and not shown. Every mistake is found before anything starts, and named with its
table (or row) and key.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import REFERENCE_FORMS, is_reference, suggestion, typed
from runbook_lib.config.toml_tables import parse_tables, tables_of
from runbook_lib.config.workspace import tenant_name
from runbook_lib.core.credential_form import implausible
from runbook_lib.core.files import read_text
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.errors import FleetFileError, SettingsError
from runbook_lib.text import pluralize

_LARGEST_FILE = 16 * 1024 * 1024
_WHAT = "The file of tenants"
_TENANT, _CONNECTOR, _SECRETS, _DEFAULTS = "tenant", "connector", "secrets", "defaults"
_OWN = (_TENANT, _CONNECTOR)
# A mistaken name is shown only if it cannot be a secret: somebody may forget the line of headings.
_NAME = re.compile(r"[A-Za-z][A-Za-z_ -]{0,39}")
_HEADER = re.compile(r"\s*\[\[\s*tenant\s*\]\]")


@dataclass(frozen=True, slots=True)
class FleetTenant:
    """
    A tenant of the fleet; `references` say where its secrets are, by the name of the input,
    `place` which table or row it is.
    """

    tenant: str
    procedure: Procedure
    given: Mapping[str, Value]
    references: Mapping[str, str]
    place: str = ""


@dataclass(frozen=True, slots=True)
class FleetFile:
    """The tenants that a file names, in its order."""

    tenants: list[FleetTenant]
    unusable: list[str] = field(default_factory=list)
    """A line for each tenant whose connector is broken: its place in the file, and the reason."""


@dataclass(frozen=True, slots=True)
class _Table:
    """What the file says about one tenant, or about all, before it is validated."""

    place: str
    values: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(default_factory=dict)


def read_fleet_file(
    path: Path,
    procedures: Mapping[str, Procedure],
    default: str,
    broken: Mapping[str, SettingsError] | None = None,
) -> FleetFile:
    """
    Return the tenants of the TOML or CSV file at `path`, in its order.

    `procedures` maps connector names to procedures, `broken` those of broken connectors to why;
    `default` is the connector of a tenant that names none. Raises `FleetFileError` with every
    mistake; of a tenant with a broken connector only the name can be checked.
    """
    text = read_text(path, _LARGEST_FILE, FleetFileError, _WHAT)
    reader = _TenantReader(procedures, default, broken or {})
    if path.suffix.lower() == ".csv":
        reader.read_csv(text)
    else:
        reader.read_toml(text, path)
    if reader.mistakes:
        msg = f"{_WHAT} {path} has {pluralize(len(reader.mistakes), 'mistake')}."
        raise FleetFileError(msg, list(reader.mistakes))
    if not (reader.tenants or reader.unusable):
        msg = f"{_WHAT} {path} names no tenant."
        raise FleetFileError(msg)
    return FleetFile(reader.tenants, reader.unusable)


class _TenantReader:
    """Validates one table after the other, and notes each mistake with its place, once."""

    def __init__(
        self,
        procedures: Mapping[str, Procedure],
        default: str,
        broken: Mapping[str, SettingsError],
    ) -> None:
        self.tenants: list[FleetTenant] = []
        self.unusable: list[str] = []
        self.mistakes: dict[str, None] = {}
        self._broken = broken
        self._procedures = procedures
        self._default = default
        self._inputs = {
            name: {item.name: item for item in inputs_of(procedure)}
            for name, procedure in procedures.items()
        }
        items = [item for inputs in self._inputs.values() for item in inputs.items()]
        # NOTE: with an unknown connector, a name is a secret if it is one of any connector.
        self._all = dict(sorted(items, key=lambda item: item[1].secret))
        self._names: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def read_toml(self, text: str, path: Path) -> None:
        """Read the tables of a TOML document; raises `FleetFileError` if it is not TOML."""
        document = parse_tables(text, path, FleetFileError, _WHAT)
        for name in document:
            if name not in (_TENANT, _DEFAULTS):
                self._unknown("", name, (_TENANT, _DEFAULTS))
        defaults = document.get(_DEFAULTS, {})
        if not isinstance(defaults, dict):
            self._note("", _DEFAULTS, "write [defaults] as its own table")
            defaults = {}
        tables: list[dict[str, Any]] = []
        try:
            tables = tables_of(document, _TENANT)
        except ValueError as error:
            self._note("", _TENANT, str(error))
        shared = self._table("[defaults]", defaults)
        lines = _header_lines(text)
        if len(lines) != len(tables):
            lines = [0] * len(tables)
        named = [
            self._table(f"[[tenant]] {number}{_whose(table.get(_TENANT), line)}", table)
            for number, (table, line) in enumerate(zip(tables, lines, strict=True), 1)
        ]
        self._read(named, shared)

    def read_csv(self, text: str) -> None:
        """Read the rows of a CSV document."""
        head: list[str] = []
        tables = []
        number = 0
        try:
            for cells in csv.reader(io.StringIO(text, newline=""), strict=True):
                number += 1
                if not head:
                    head = self._headings(cells)
                elif any(cell.strip() for cell in cells):
                    tables += self._row(f"row {number}", head, cells)
        except csv.Error as error:
            self._note(f"row {number + 1}", "", f"this is not CSV: {error}")
        self._read(tables, _Table("", {}))

    def _headings(self, cells: list[str]) -> list[str]:
        """Return the names of the columns, each once."""
        head = [cell.strip() for cell in cells]
        for number, name in enumerate(head):
            # NOTE: a broken connector may have a parameter of this name; a row tells.
            if name not in _OWN and name not in self._all and not self._broken:
                self._unknown(f"column {number + 1}", name, (*_OWN, *self._all))
            elif name in head[:number]:
                self._note("", name, "two columns have this name")
        return head

    def _row(self, place: str, head: list[str], cells: list[str]) -> list[_Table]:
        """Return the table of a row; nothing if the row has too many cells."""
        if _TENANT in head[: len(cells)]:
            place += _whose(cells[head.index(_TENANT)].strip(), 0)
        if len(cells) > len(head):
            self._note(place, "", f"this row has {len(cells)} cells for {len(head)} headings")
            return []
        named = {name: cell for name, cell in zip(head, cells, strict=False) if cell.strip()}
        known = {name: cell for name, cell in named.items() if name in _OWN or name in self._all}
        if known.get(_CONNECTOR, self._default).strip() in self._broken:
            return [_Table(place, known)]
        for name in named.keys() - known.keys():
            if self._broken:
                self._unknown(place, name, self._all)
        own = self._inputs.get(known.get(_CONNECTOR, self._default).strip(), self._all)
        items = {**self._all, **own}
        secrets = [name for name in known if name not in _OWN and items[name].secret]
        references = {name: known.pop(name).strip() for name in secrets}
        return [_Table(place, known, references)]

    def _table(self, place: str, table: Mapping[str, Any]) -> _Table:
        """Return a table of TOML; its secrets are a table in it."""
        secrets = table.get(_SECRETS, {})
        if not isinstance(secrets, dict):
            self._note(place, _SECRETS, "write it as a table of references")
            secrets = {}
        return _Table(
            place, {name: value for name, value in table.items() if name != _SECRETS}, secrets
        )

    def _read(self, tables: Iterable[_Table], shared: _Table) -> None:
        """Validate what all tenants share, then each tenant."""
        if _TENANT in shared.values:
            self._note(shared.place, _TENANT, "each tenant needs its own name")
        default = self._connector(shared, self._default)
        named = [(table, self._connector(table, default)) for table in tables]
        for table, name in named:
            if name in self._broken:
                tenant = self._name(table, name)
                self.unusable.append(f"{table.place}: {tenant or 'a tenant'}: {self._broken[name]}")
        has_broken = len(self.unusable) > 0
        named = [(table, name) for table, name in named if name not in self._broken]
        parts = {name: self._part(shared, self._inputs[name]) for _, name in named}
        read = {name: self._checked(part, self._inputs[name]) for name, part in parts.items()}
        # What concerns no tenant, and is a secret or unknown.
        concerned = {name for part in parts.values() for name in part.values}
        referred = {name for part in parts.values() for name in part.secrets}
        values = {
            name: value
            for name, value in shared.values.items()
            if name not in concerned and (name not in self._all or self._all[name].secret)
        }
        secrets = {name: text for name, text in shared.secrets.items() if name not in referred}
        if has_broken:
            # NOTE: what no working connector knows may concern a broken one.
            values = {name: value for name, value in values.items() if name in self._all}
            secrets = {name: text for name, text in secrets.items() if name in self._all}
        self._checked(_Table(shared.place, values, secrets), self._all)
        for table, connector in named:
            name, (values, secrets) = self._name(table, connector), read[connector]
            given, references = self._checked(table, self._inputs[connector])
            given, references = {**values, **given}, {**secrets, **references}
            procedure = self._procedures[connector]
            self.tenants.append(FleetTenant(name, procedure, given, references, table.place))

    def _part(self, shared: _Table, inputs: Mapping[str, Input]) -> _Table:
        """Return the shared values and secrets that concern the connector with these inputs."""
        secrets = {name for name, item in inputs.items() if item.secret}
        return _Table(
            shared.place,
            {name: value for name, value in shared.values.items() if name in inputs},
            {name: value for name, value in shared.secrets.items() if name in secrets},
        )

    def _name(self, table: _Table, connector: str) -> str:
        """Return a tenant's name; note that it is missing, taken, or no folder can have it."""
        name = table.values.get(_TENANT, "")
        name = name.strip() if isinstance(name, str) else ""
        if not name:
            self._note(table.place, _TENANT, "the name of the tenant is missing")
            return name
        try:
            tenant_name(name)
        except SettingsError:
            # NOTE: without the name, which may be a secret in the wrong column.
            text = "letters, digits, dots and hyphens, at most 63; not keys, fleet or a device name"
            self._note(table.place, _TENANT, f"use a name of {text}")
            return name
        twin = self._names.setdefault(name.casefold(), name)
        if twin != name:
            self._note(table.place, _TENANT, f"{twin} and {name} differ only in case")
        elif (name, connector) in self._seen:
            self._note(table.place, _TENANT, f"{name} appears twice")
        self._seen.add((name, connector))
        return name

    def _checked(
        self, table: _Table, inputs: Mapping[str, Input]
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Return the valid parameters and references of a table."""
        values: dict[str, Value] = {}
        for name, value in table.values.items():
            if name in _OWN:
                continue
            if name not in inputs:
                self._unknown(table.place, name, inputs)
            elif inputs[name].secret:
                self._note(table.place, name, f"it is a secret: put a reference into {_SECRETS}")
            elif value not in ("", None):
                try:
                    text = typed(inputs[name], value)
                except SettingsError as error:
                    mistake = str(error).removesuffix(".")
                    # NOTE: a secret in the wrong column must not be shown.
                    is_word = bool(implausible(str(value)))
                    shown = mistake if is_word else mistake.replace(str(value), "…")
                    self._note(table.place, "", shown)
                    continue
                # NOTE: tenants have most values in common, and the parser gives each its own.
                values[inputs[name].name] = sys.intern(text) if isinstance(text, str) else text
        references: dict[str, str] = {}
        for name, value in table.secrets.items():
            place = f"{table.place}, {_SECRETS}"
            if name not in inputs or not inputs[name].secret:
                known = [item.name for item in inputs.values() if item.secret]
                self._unknown(place, name, known)
            elif not is_reference(value):
                forms = f"not the secret itself: {REFERENCE_FORMS}"
                self._note(place, name, f"it takes a reference, {forms}")
            else:
                references[inputs[name].name] = sys.intern(value)
        return values, references

    def _unknown(self, place: str, name: str, known: Iterable[str]) -> None:
        is_shown = bool(_NAME.fullmatch(name))
        near = suggestion(name, known) if is_shown else ""
        mistake = f"this name is not known{f'.{near}' if near else ''}".rstrip("?.")
        self._note(place, name if is_shown else "a key", mistake, end="?" if near else ".")

    def _connector(self, table: _Table, default: str) -> str:
        """Return the connector that a table names, else the default."""
        name = table.values.get(_CONNECTOR, default)
        if isinstance(name, str) and name.strip() in {*self._procedures, *self._broken}:
            return name.strip()
        meant = suggestion(str(name), self._procedures).strip()
        mistake = f"no connector has this name{f' ({meant})' if meant else ''}"
        known = ", ".join(self._procedures)
        self._note(table.place, _CONNECTOR, f"{mistake}; known connectors: {known}")
        return default

    def _note(self, place: str, key: str, mistake: str, end: str = ".") -> None:
        self.mistakes[f"{', '.join(filter(None, (place, key)))}: {mistake}{end}"] = None


def _header_lines(text: str) -> list[int]:
    """Return the line of each `[[tenant]]`, as far as they are lines of their own."""
    lines = enumerate(text.splitlines(), 1)
    return [number for number, line in lines if _HEADER.match(line)]


def _whose(tenant: object, line: int) -> str:
    """Return whose table it is and its line, where they are known."""
    name = ""
    # NOTE: a secret in the wrong column must not be shown.
    if isinstance(tenant, str) and implausible(tenant.strip()):
        with suppress(SettingsError):
            name = tenant_name(tenant.strip())
    parts = [name, f"line {line}" if line else ""]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""
