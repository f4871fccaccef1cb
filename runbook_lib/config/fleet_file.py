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

The reader refuses a secret itself, and does not show it. It finds every mistake before a run
starts, and names its table and key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import REFERENCE_FORMS, convert_value, is_reference, suggestion
from runbook_lib.config.toml_tables import parse_tables, tables_of
from runbook_lib.config.workspace import tenant_name
from runbook_lib.core.credential_form import why_implausible
from runbook_lib.core.files import read_text
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.errors import FleetFileError, SettingsError
from runbook_lib.text import pluralize

_LARGEST_FILE = 16 * 1024 * 1024
_WHAT = "The file of tenants"
_TENANT = "tenant"
_CONNECTOR = "connector"
_SECRETS = "secrets"
_DEFAULTS = "defaults"
_SHARED = f"[{_DEFAULTS}]"
_OWN = (_TENANT, _CONNECTOR, _SECRETS)
# A wrong name is shown only if it cannot be a secret: somebody may forget the line of headings.
_NAME = re.compile(r"[A-Za-z][A-Za-z_ -]{0,39}")
_HEADER = re.compile(r"\s*\[\[\s*tenant\s*\]\]")


@dataclass(frozen=True, slots=True)
class FleetTenant:
    """A tenant of the fleet, with one connector."""

    tenant: str
    """The tenant's name."""

    procedure: Procedure
    """The procedure of its connector."""

    given: Mapping[str, Value]
    """Its parameters, by the names of the inputs."""

    references: Mapping[str, str]
    """References to its secrets, by the names of the inputs."""

    place: str = ""
    """Its table in the file, for messages."""


@dataclass(frozen=True, slots=True)
class FleetFile:
    """The tenants that a file names, in its order."""

    tenants: list[FleetTenant] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    """A line for each tenant whose connector is broken: its place in the file, and the reason."""
    names: dict[tuple[str, str], None] = field(default_factory=dict)
    """Each tenant with its connector, also with a broken one."""


def read_fleet_file(
    path: Path,
    procedures: Mapping[str, Procedure],
    default: str,
    broken: Mapping[str, SettingsError] | None = None,
) -> FleetFile:
    """
    Return the tenants of the TOML file at `path`, in its order.

    `procedures` maps connector names to procedures, `broken` the names of broken connectors to
    their errors. `default` is the connector of a tenant that names none. Raises `FleetFileError`
    with every mistake; for a tenant with a broken connector it checks only the name.
    """
    text = read_text(path, _LARGEST_FILE, FleetFileError, _WHAT)
    reader = _TenantReader(procedures, default, broken or {})
    if path.suffix.lower() == ".csv":
        raise FleetFileError(f"{_WHAT} {path}: CSV was withdrawn; docs/fleet.md converts it.")
    reader.read_toml(text, path)
    if reader.mistakes:
        raise FleetFileError(
            f"{_WHAT} {path} has {pluralize(len(reader.mistakes), 'mistake')}.",
            list(reader.mistakes),
        )
    if not reader.file.names:
        raise FleetFileError(f"{_WHAT} {path} names no tenant.")
    return reader.file


class _TenantReader:
    """Validates one table after the other, and notes each mistake with its place, once."""

    def __init__(
        self,
        procedures: Mapping[str, Procedure],
        default: str,
        broken: Mapping[str, SettingsError],
    ) -> None:
        self.file = FleetFile()
        self.mistakes: dict[str, None] = {}
        self._broken = broken
        self._procedures = procedures
        self._default = default
        self._inputs = {
            name: {item.name: item for item in inputs_of(procedure)}
            for name, procedure in procedures.items()
        }
        items = [item for inputs in self._inputs.values() for item in inputs.items()]
        # NOTE: with an unknown connector, a name is a secret if any connector has it as a secret.
        self._all = dict(sorted(items, key=lambda item: item[1].secret))
        self._has_broken = False

    def read_toml(self, text: str, path: Path) -> None:
        """Read the tables of a TOML document; raises `FleetFileError` if it is not TOML."""
        document = parse_tables(text, path, FleetFileError, _WHAT)
        for name in document:
            if name not in (_TENANT, _DEFAULTS):
                self._note_unknown("", name, (_TENANT, _DEFAULTS))
        shared = document.get(_DEFAULTS, {})
        if not isinstance(shared, dict):
            self._note_mistake("", _DEFAULTS, "write [defaults] as its own table")
            shared = {}
        tables: list[dict[str, Any]] = []
        try:
            tables = tables_of(document, _TENANT)
        except ValueError as error:
            self._note_mistake("", _TENANT, str(error))
        lines = _header_lines(text)
        if len(lines) != len(tables):
            lines = [0] * len(tables)
        named = {
            f"[[tenant]] {number}{_describe_owner(table.get(_TENANT), line)}": table
            for number, (table, line) in enumerate(zip(tables, lines, strict=True), 1)
        }
        self._read_tenants(named, shared)

    def _read_tenants(
        self, tables: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Any]
    ) -> None:
        """Validate the shared values, then each tenant, by its place."""
        if _TENANT in shared:
            self._note_mistake(_SHARED, _TENANT, "each tenant needs its own name")
        default = self._read_connector(_SHARED, shared, self._default)
        connectors = [
            self._read_connector(place, table, default) for place, table in tables.items()
        ]
        self._has_broken = not self._broken.keys().isdisjoint(connectors)
        checked = {
            name: self._check_values(_SHARED, shared, self._inputs[name])
            for name in dict.fromkeys(connectors)
            if name in self._inputs
        }
        for (place, table), connector in zip(tables.items(), connectors, strict=True):
            tenant = self._read_name(place, table, connector)
            self.file.names[tenant, connector] = None
            if connector in self._broken:
                reason = self._broken[connector]
                self.file.unusable.append(f"{place}: {tenant or 'a tenant'}: {reason}")
                continue
            values, secrets = checked[connector]
            given, references = self._check_values(place, table, self._inputs[connector])
            self.file.tenants.append(
                FleetTenant(
                    tenant=tenant,
                    procedure=self._procedures[connector],
                    given={**values, **given},
                    references={**secrets, **references},
                    place=place,
                )
            )

    def _read_name(self, place: str, table: Mapping[str, Any], connector: str) -> str:
        """Return a tenant's name; note a missing, repeated or invalid one."""
        name = table.get(_TENANT, "")
        name = name.strip() if isinstance(name, str) else ""
        if not name:
            self._note_mistake(place, _TENANT, "the name of the tenant is missing")
            return name
        try:
            tenant_name(name)
        except SettingsError:
            # NOTE: the message omits the name, which may be a secret in the wrong column.
            text = "letters, digits, dots and hyphens, at most 63; not keys or fleet"
            self._note_mistake(place, _TENANT, f"use a name of {text}")
            return name
        if (name, connector) in self.file.names:
            self._note_mistake(place, _TENANT, f"{name} appears twice")
        return name

    def _check_values(
        self, place: str, table: Mapping[str, Any], inputs: Mapping[str, Input]
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """
        Return the valid parameters and references of a table.

        Shared ones of other connectors are passed over, unless they are misplaced secrets.
        """
        is_shared = place == _SHARED
        others = self._all if is_shared else {}
        # NOTE: an unknown name may belong to a broken connector.
        may_be_unknown = is_shared and self._has_broken
        values: dict[str, Value] = {}
        for name, value in table.items():
            if name in _OWN:
                continue
            own = inputs.get(name)
            item = own or others.get(name)
            if item is None:
                if not may_be_unknown:
                    self._note_unknown(place, name, others or inputs)
            elif item.secret:
                self._note_mistake(place, name, f"it is a secret: put a reference into {_SECRETS}")
            elif own and value not in ("", None):
                try:
                    text = convert_value(own, value)
                except SettingsError as error:
                    mistake = str(error)
                    # NOTE: a secret in the wrong column must not be shown.
                    is_word = bool(why_implausible(str(value)))
                    shown = mistake if is_word else mistake.replace(str(value), "…")
                    self._note_mistake(place, "", shown)
                    continue
                # NOTE: tenants share most values, and the parser makes a copy for each.
                values[name] = sys.intern(text) if isinstance(text, str) else text
        given = table.get(_SECRETS, {})
        if not isinstance(given, dict):
            self._note_mistake(place, _SECRETS, "write it as a table of references")
            given = {}
        place = f"{place}, {_SECRETS}"
        secrets = [item.name for item in inputs.values() if item.secret]
        known = [item.name for item in others.values() if item.secret] or secrets
        references: dict[str, str] = {}
        for name, value in given.items():
            if name not in known and name not in secrets:
                if not may_be_unknown:
                    self._note_unknown(place, name, known)
            elif not is_reference(value):
                forms = f"not the secret itself: {REFERENCE_FORMS}"
                self._note_mistake(place, name, f"it takes a reference, {forms}")
            elif name in secrets:
                references[name] = sys.intern(value)
        return values, references

    def _note_unknown(self, place: str, name: str, known: Iterable[str]) -> None:
        is_shown = bool(_NAME.fullmatch(name))
        near = suggestion(name, known) if is_shown else ""
        mistake = f"this name is not known{f'.{near}' if near else ''}".rstrip("?.")
        self._note_mistake(place, name if is_shown else "a key", mistake, end="?" if near else ".")

    def _read_connector(self, place: str, table: Mapping[str, Any], default: str) -> str:
        """Return the connector that a table names, else the default."""
        name = table.get(_CONNECTOR, default)
        if isinstance(name, str) and name.strip() in {*self._procedures, *self._broken}:
            return name.strip()
        hint = suggestion(str(name), self._procedures).strip()
        mistake = f"no connector has this name{f' ({hint})' if hint else ''}"
        known = ", ".join(self._procedures)
        self._note_mistake(place, _CONNECTOR, f"{mistake}; known connectors: {known}")
        return default

    def _note_mistake(self, place: str, key: str, mistake: str, end: str = ".") -> None:
        self.mistakes[f"{', '.join(filter(None, (place, key)))}: {mistake}{end}"] = None


def _header_lines(text: str) -> list[int]:
    """Return the line number of each `[[tenant]]` that has a line of its own."""
    lines = enumerate(text.splitlines(), 1)
    return [number for number, line in lines if _HEADER.match(line)]


def _describe_owner(tenant: object, line: int) -> str:
    """Return the tenant and the line of a table in brackets, as far as they are known."""
    name = ""
    # NOTE: a secret in the wrong column must not be shown.
    if isinstance(tenant, str) and why_implausible(tenant.strip()):
        with suppress(SettingsError):
            name = tenant_name(tenant.strip())
    parts = [name, f"line {line}" if line else ""]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""
