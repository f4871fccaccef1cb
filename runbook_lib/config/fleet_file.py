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
refused, and not shown. Every mistake is found before anything starts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli

from runbook_lib.config.runner import inputs_of
from runbook_lib.config.settings import REFERENCE_FORMS, is_reference, suggestion, typed
from runbook_lib.config.workspace import tenant_name
from runbook_lib.core.credential_form import implausible
from runbook_lib.core.files import read_plain
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.errors import FleetFileError, SettingsError

_LARGEST_FILE = 16 * 1024 * 1024
_TENANT, _CONNECTOR, _SECRETS, _DEFAULTS = "tenant", "connector", "secrets", "defaults"
_OWN = (_TENANT, _CONNECTOR)
# A mistaken name is shown only if it cannot be a secret: somebody may forget the line of headings.
_NAME = re.compile(r"[A-Za-z][A-Za-z_ -]{0,39}")
# A longer one is not searched for its end, which takes quadratic time.
_LONGEST_STATEMENT = 200

# The position of a key: the table, its number if there are several, and the names down to the key.
_Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FleetTenant:
    """A tenant of the fleet; `references` say where its secrets are, by the name of the input."""

    tenant: str
    procedure: Procedure
    given: Mapping[str, Value]
    references: Mapping[str, str]
    line: int = 0


@dataclass(frozen=True, slots=True)
class FleetFile:
    """The tenants that a file names, in its order, and the SHA-256 of its content."""

    tenants: list[FleetTenant]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Table:
    """What the file says about one tenant, or about all, before it is validated."""

    place: _Place
    values: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(default_factory=dict)


def read_fleet_file(path: Path, procedures: Mapping[str, Procedure], default: str) -> FleetFile:
    """
    Return the tenants of the TOML or CSV file at `path`.

    `procedures` maps connector names to procedures; `default` is the connector of
    a tenant that names none. Raises `FleetFileError` with every mistake.
    """
    try:
        content = read_plain(path, _LARGEST_FILE)
        text = content.decode("utf-8-sig")
    except OSError as error:
        msg = f"The file of tenants {path} cannot be read: {error.strerror}."
        raise FleetFileError(msg) from None
    except ValueError:
        msg = f"The file of tenants {path} is not UTF-8 text."
        raise FleetFileError(msg) from None
    reader = _Reader(procedures, default)
    if path.suffix.lower() == ".csv":
        lines: Mapping[_Place, int] = reader.read_csv(text)
    else:
        reader.read_toml(text, path)
        lines = _lines_of_keys(text)
    mistakes = sorted({(_line(place, lines), mistake) for place, mistake in reader.mistakes})
    if mistakes:
        many = f"{len(mistakes):,} mistake{'s'[: len(mistakes) != 1]}"
        msg = f"The file of tenants {path} has {many}."
        raise FleetFileError(msg, [f"line {line}: {mistake}" for line, mistake in mistakes])
    if not reader.tenants:
        msg = f"The file of tenants {path} names no tenant."
        raise FleetFileError(msg)
    tenants = [
        replace(tenant, line=_line(place, lines))
        for tenant, place in zip(reader.tenants, reader.places, strict=True)
    ]
    return FleetFile(tenants, hashlib.sha256(content).hexdigest())


class _Reader:
    """Validates one table after the other, and notes each mistake with its place."""

    def __init__(self, procedures: Mapping[str, Procedure], default: str) -> None:
        self.tenants: list[FleetTenant] = []
        self.places: list[_Place] = []
        self.mistakes: list[tuple[_Place, str]] = []
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
        try:
            document = tomli.loads(text)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
            msg = f"The file of tenants {path} is not TOML: {reason}."
            raise FleetFileError(msg) from None
        for name in document:
            if name not in (_TENANT, _DEFAULTS):
                self._unknown((name,), name, (_TENANT, _DEFAULTS))
        defaults = document.get(_DEFAULTS, {})
        if not isinstance(defaults, dict):
            self._note((_DEFAULTS,), "write [defaults] as a table of its own")
            defaults = {}
        tables = document.get(_TENANT, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._note((_TENANT,), "write [[tenant]] with two brackets")
            tables = []
        shared = self._table((_DEFAULTS,), defaults)
        self._read([self._table((_TENANT, n), table) for n, table in enumerate(tables)], shared)

    def read_csv(self, text: str) -> dict[_Place, int]:
        """Read the rows of a CSV document; return the line in which each begins."""
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines: dict[_Place, int] = {(): 1}
        head: list[str] = []
        tables = []
        begin = 1
        try:
            for cells in rows:
                place = ("row", begin)
                lines[place] = begin
                begin = rows.line_num + 1
                if not head:
                    head = self._headings(cells)
                elif any(cell.strip() for cell in cells):
                    tables += self._row(place, head, cells)
        except csv.Error as error:
            place = ("row", begin)
            lines[place] = begin
            self._note(place, f"this is not CSV: {error}")
        self._read(tables, _Table((), {}))
        return lines

    def _headings(self, cells: list[str]) -> list[str]:
        """Return the names of the columns, each once."""
        head = [cell.strip() for cell in cells]
        for number, name in enumerate(head):
            if name not in _OWN and name not in self._all:
                self._unknown(("row", 1), name, (*_OWN, *self._all), subject=f"column {number + 1}")
            elif name in head[:number]:
                self._note(("row", 1), f"there are two columns called {name}")
        return head

    def _row(self, place: _Place, head: list[str], cells: list[str]) -> list[_Table]:
        """Return the table of a row; nothing if the row has too many cells."""
        if len(cells) > len(head):
            self._note(place, f"this row has {len(cells)} cells, the headings are {len(head)}")
            return []
        named = [(name, cell) for name, cell in zip(head, cells, strict=False) if cell.strip()]
        known = {name: cell for name, cell in named if name in _OWN or name in self._all}
        own = self._inputs.get(known.get(_CONNECTOR, self._default).strip(), self._all)
        secrets = {
            name for name in known if name not in _OWN and own.get(name, self._all[name]).secret
        }
        values = {name: cell for name, cell in known.items() if name not in secrets}
        return [_Table(place, values, {name: known[name].strip() for name in secrets})]

    def _table(self, place: _Place, table: Mapping[str, Any]) -> _Table:
        """Return a table of TOML; its secrets are a table in it."""
        secrets = table.get(_SECRETS, {})
        if not isinstance(secrets, dict):
            self._note((*place, _SECRETS), f"{_SECRETS} takes a table of references")
            secrets = {}
        return _Table(
            place, {name: value for name, value in table.items() if name != _SECRETS}, secrets
        )

    def _read(self, tables: Iterable[_Table], shared: _Table) -> None:
        """Validate what all tenants share, then each tenant."""
        if _TENANT in shared.values:
            self._note((*shared.place, _TENANT), "each tenant has a name of its own")
        default = self._connector(shared, self._default)
        tables = list(tables)
        connectors = {self._connector(table, default) for table in tables}
        parts = {name: self._part(shared, name) for name in connectors}
        read = {name: self._checked(part, self._inputs[name]) for name, part in parts.items()}
        # What concerns no tenant, and is a secret or unknown.
        values = {
            name: value
            for name, value in shared.values.items()
            if not any(name in part.values for part in parts.values())
            and (name not in self._all or self._all[name].secret)
        }
        secrets = {
            name: value
            for name, value in shared.secrets.items()
            if not any(name in part.secrets for part in parts.values())
        }
        self._checked(_Table(shared.place, values, secrets), self._all)
        for table in tables:
            self._tenant(table, default, read)

    def _part(self, shared: _Table, connector: str) -> _Table:
        """Return the shared values and secrets that concern this connector."""
        inputs = self._inputs[connector]
        values = {name: value for name, value in shared.values.items() if name in inputs}
        secrets = {
            name: value
            for name, value in shared.secrets.items()
            if name in inputs and inputs[name].secret
        }
        return _Table(shared.place, values, secrets)

    def _tenant(
        self,
        table: _Table,
        default: str,
        shared: Mapping[str, tuple[Mapping[str, Value], Mapping[str, str]]],
    ) -> None:
        name = table.values.get(_TENANT, "")
        name = name.strip() if isinstance(name, str) else ""
        connector = self._connector(table, default)
        self._check_name(table, name, connector)
        inputs = self._inputs[connector]
        given, references = self._checked(table, inputs)
        values, secrets = shared[connector]
        self.places.append(table.place)
        self.tenants.append(
            FleetTenant(
                name, self._procedures[connector], {**values, **given}, {**secrets, **references}
            )
        )

    def _check_name(self, table: _Table, name: str, connector: str) -> None:
        """Note a name that is missing, that no folder can have, or that is taken."""
        place = (*table.place, _TENANT)
        if not name:
            self._note(place, f"{_TENANT} is missing: the name of the tenant")
            return
        try:
            tenant_name(name)
        except SettingsError:
            # NOTE: without the name, which may be a secret in the wrong column.
            text = "letters, digits, dots and hyphens, at most 63; not keys, fleet or a device's"
            self._note(place, f"{_TENANT} takes a name of {text}")
            return
        twin = self._names.setdefault(name.casefold(), name)
        if twin != name:
            self._note(place, f"the tenants {twin} and {name} differ in case only")
        elif (name, connector) in self._seen:
            self._note(place, f"the tenant {name} is there twice")
        self._seen.add((name, connector))

    def _checked(
        self, table: _Table, inputs: Mapping[str, Input]
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Return the valid parameters and references of a table."""
        values: dict[str, Value] = {}
        for name, value in table.values.items():
            place = (*table.place, name)
            if name in _OWN:
                continue
            if name not in inputs:
                self._unknown(place, name, (*_OWN, _SECRETS, *inputs))
            elif inputs[name].secret:
                self._note(place, f"{name} is a secret: name its reference under {_SECRETS}")
            elif value not in ("", None):
                try:
                    text = typed(inputs[name], value)
                except SettingsError as error:
                    mistake = str(error).removesuffix(".")
                    # NOTE: a secret in the wrong column must not be shown.
                    is_word = bool(implausible(str(value)))
                    self._note(place, mistake if is_word else mistake.replace(str(value), "…"))
                    continue
                # NOTE: tenants have most values in common, and the parser gives each its own.
                values[inputs[name].name] = sys.intern(text) if isinstance(text, str) else text
        references: dict[str, str] = {}
        for name, value in table.secrets.items():
            place = (*table.place, _SECRETS, name)
            if name not in inputs or not inputs[name].secret:
                secrets = [secret for secret, item in inputs.items() if item.secret]
                self._unknown(place, name, secrets, subject="a secret")
            elif not is_reference(value):
                forms = f"not the secret itself: {REFERENCE_FORMS}"
                self._note(place, f"{name} ({inputs[name].label}) takes a reference, {forms}")
            else:
                references[inputs[name].name] = sys.intern(value)
        return values, references

    def _unknown(
        self, place: _Place, name: str, known: Iterable[str], *, subject: str = "a key"
    ) -> None:
        if _NAME.fullmatch(name):
            near = suggestion(name, known)
            self._note(place, f"{subject} called {name} is not known{'.' * bool(near)}{near}")
        else:
            self._note(place, f"{subject} has a name that is not known")

    def _connector(self, table: _Table, default: str) -> str:
        """Return the connector that a table names, else the default."""
        name = table.values.get(_CONNECTOR, default)
        if isinstance(name, str) and name.strip() in self._procedures:
            return name.strip()
        known = ", ".join(self._procedures)
        place = (*table.place, _CONNECTOR)
        self._note(place, f"there is no connector of this name; known are {known}")
        return default

    def _note(self, place: _Place, mistake: str) -> None:
        self.mistakes.append((place, mistake if mistake.endswith("?") else f"{mistake}."))


def _line(place: _Place, lines: Mapping[_Place, int]) -> int:
    """Return the line of a place, or of the nearest table or row around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _lines_of_keys(text: str) -> dict[_Place, int]:
    """Return the line of each key of a valid TOML document, which `tomli` does not name."""
    lines: dict[_Place, int] = {}
    table: _Place = ()
    tenants = -1
    for line, statement in _statements(text.replace("\r\n", "\n")):
        paths = list(_paths(tomli.loads(statement)))
        if statement.lstrip().startswith("["):
            names = [name for name in paths[-1] if isinstance(name, str)]
            tenants += names == [_TENANT]
            table = (_TENANT, tenants, *names[1:]) if names[0] == _TENANT else tuple(names)
            lines.setdefault(table, line)
            continue
        for path in paths:
            lines.setdefault((*table, *path), line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """
    Yield each statement of a valid TOML document, with the number of its first line.

    No beginning of a statement of several lines is a statement itself.
    """
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        ends = range(start + 1, min(start + _LONGEST_STATEMENT, len(lines)) + 1)
        statements = ("\n".join(lines[start:end]) for end in ends)
        statement = next((text for text in statements if _is_toml(text)), None)
        if statement is None:
            return
        yield start + 1, statement
        start += statement.count("\n") + 1


def _is_toml(text: str) -> bool:
    try:
        tomli.loads(text)
    except ValueError:
        return False
    return True


def _paths(value: object) -> Iterator[_Place]:
    """Yield the path of each key in a value, the outer ones first."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield (name,)
            yield from ((name, *path) for path in _paths(part))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from ((number, *path) for path in _paths(part))
