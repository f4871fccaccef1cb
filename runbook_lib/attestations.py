"""
The file in which people say what they did: attestations and skips, in TOML.

    [[attestation]]
    step = "fb-01-log-in"
    by = "the person's name"
    at = 2026-11-24T09:30:00Z
    note = "optional"
    waiting = true   # only where the world must act now: submitted, not yet approved

    [[skip]]
    step = "test-04-user-token"
    by = "the person's name"
    at = 2026-11-24T09:30:00Z
    reason = "why"

Whose word counts for what is decided in `procedure.conclude`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_lib.errors import SettingsError
from runbook_lib.procedure import Attestation, Procedure, Skip, StepKind

__all__ = ["read_attestations"]

_ATTESTATION = ("step", "by", "at", "note", "waiting")
_SKIP = ("step", "by", "at", "reason")


def read_attestations(
    path: Path, procedure: Procedure, *, now: datetime
) -> tuple[list[Attestation], list[Skip]]:
    """
    Return what people say in the file at `path`.

    Raises `SettingsError` for a file that cannot be read, an unknown step or
    key, a nameless person, or a time that has not come yet.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"The attestations file {path} cannot be read: {error.strerror}."
        raise SettingsError(msg) from None
    except ValueError as error:
        msg = f"The attestations file {path} is not TOML: {error}."
        raise SettingsError(msg) from None
    _refuse_other_keys(document, ("attestation", "skip"), f"{path}")
    reader = _Reader(path, {step.id: step.kind for step in procedure.steps}, now)
    attestations = [reader.attestation(table) for table in _tables(document, "attestation", path)]
    skips = [
        Skip(**reader.entry(table, _SKIP), origin=path.name)
        for table in _tables(document, "skip", path)
    ]
    return attestations, skips


class _Reader:
    """Checks one table after another against the procedure and the clock."""

    def __init__(self, path: Path, kinds: Mapping[str, StepKind], now: datetime) -> None:
        self._path = path
        self._kinds = kinds
        self._now = now

    def attestation(self, table: Mapping[str, Any]) -> Attestation:
        """Return the attestation that the table holds."""
        entry = self.entry(table, _ATTESTATION)
        return Attestation(
            step=entry["step"],
            by=entry["by"],
            at=entry["at"],
            note=entry.get("note", ""),
            waiting=self.is_waiting(table),
            origin=self._path.name,
        )

    def entry(self, table: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
        """Return the table's fields as text; `at` in UTC."""
        step = str(table.get("step", ""))
        where = f"{self._path}, step {step or '(none)'}"
        _refuse_other_keys(table, keys, where)
        if step not in self._kinds:
            msg = f"{where}: there is no such step. `runbook status` lists them."
            raise SettingsError(msg)
        for key in keys:
            if key in ("by", "reason") and not str(table.get(key, "")).strip():
                msg = f"{where}: {key} is missing."
                raise SettingsError(msg)
        entry = {key: str(table[key]).strip() for key in keys if key in table and key != "waiting"}
        entry["at"] = self._moment(table.get("at"), where)
        return entry

    def is_waiting(self, table: Mapping[str, Any]) -> bool:
        """Tell whether the person says that the step waits for the world now."""
        value = table.get("waiting", False)
        if value is True and self._kinds[str(table["step"])] is not StepKind.WAIT:
            msg = f"{self._path}, step {table['step']}: this step does not wait for anybody."
            raise SettingsError(msg)
        if not isinstance(value, bool):
            msg = f"{self._path}, step {table['step']}: waiting takes true or false."
            raise SettingsError(msg)
        return value

    def _moment(self, value: object, where: str) -> str:
        if not isinstance(value, datetime):
            msg = f"{where}: at takes a time such as 2026-11-24T09:30:00Z, without quotes."
            raise SettingsError(msg)
        try:
            moment = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:
            msg = f"{where}: at takes a time of this age, not {value}."
            raise SettingsError(msg) from None
        if moment > self._now:
            msg = f"{where}: {value} has not come yet."
            raise SettingsError(msg)
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _tables(document: Mapping[str, Any], name: str, path: Path) -> list[Mapping[str, Any]]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        msg = f"{path}: write [[{name}]] with two brackets."
        raise SettingsError(msg)
    return tables


def _refuse_other_keys(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in keys:
            msg = f"{where}: there is no key called {key}; known are {', '.join(keys)}."
            raise SettingsError(msg)
