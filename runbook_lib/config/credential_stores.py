"""
Stores for credentials on this machine: the keyring, or `.env` with mode 0600.

The journal records the reference of a credential, never its value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import dotenv

from runbook_lib.config.settings import Settings, resolve
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import SettingsError, reported_as


class KeyringStore:
    """The keyring of the desktop or server (PyPI: keyring)."""

    def save(self, owner: str, item: Input, secret: Secret) -> str:
        """Store `secret` under its owner's name; raises `SettingsError` without a keyring."""
        import keyring.errors  # noqa: PLC0415  (slow to import, rarely used)

        try:
            keyring.set_password(_service_name(owner), item.name, secret.reveal())
        except keyring.errors.KeyringError:
            raise SettingsError(
                "This machine has no writable keyring.", next_step="Save it to .env instead."
            ) from None
        return f"keyring:{_service_name(owner)}/{item.name}"

    def forget(self, owner: str, item: Input) -> None:
        """Remove the credential from the keyring."""
        import keyring.errors  # noqa: PLC0415

        with contextlib.suppress(keyring.errors.KeyringError):
            keyring.delete_password(_service_name(owner), item.name)


class EnvFileStore:
    """
    The settings file at `path`, created with mode 0600.

    A credential is written under the name for `connector` alone if the file has
    that name already, or if `is_shared`: another connector may use the plain name.
    """

    def __init__(self, path: Path, connector: str = "", *, is_shared: bool = False) -> None:
        self.path = path
        self._connector = connector
        self._is_shared = is_shared
        self._seen = (-1, -1)
        self._with_value: frozenset[str] = frozenset()

    def save(self, owner: str, item: Input, secret: Secret) -> str:  # noqa: ARG002
        """Write the variable; the file is always read, so no reference is needed."""
        with self._reported_writing("Make it writable, or save the credential to the keyring."):
            self.path.touch(mode=0o600)
            self.path.chmod(0o600)
            name = self._variable_of(item)
            dotenv.set_key(self.path, name, secret.reveal(), follow_symlinks=True)
        return ""

    def forget(self, owner: str, item: Input) -> None:  # noqa: ARG002
        """Remove the variable; raises `SettingsError` if the file cannot be written."""
        name = self._variable_of(item)
        with self._reported_writing(f"Make it writable, or remove {name} from it yourself."):
            if name in self._names_with_value():
                dotenv.unset_key(self.path, name, follow_symlinks=True)

    def holds(self, item: Input) -> bool:
        """Return whether the file has a value for `item`."""
        return bool(self._names_with_value() & {item.variable, item.variable_for(self._connector)})

    def _variable_of(self, item: Input) -> str:
        """Return the variable name of this connector's credential."""
        alone = item.variable_for(self._connector)
        return alone if self._is_shared or alone in self._names_with_value() else item.variable

    def _names_with_value(self) -> frozenset[str]:
        """Return the variables that have a value; read the file again only after a change."""
        if not self.path.is_file():
            return frozenset()
        state = self.path.stat()
        if self._seen != (state.st_mtime_ns, state.st_size):
            self._seen = (state.st_mtime_ns, state.st_size)
            values = dotenv.dotenv_values(self.path, interpolate=False)
            self._with_value = frozenset(name for name, value in values.items() if value)
        return self._with_value

    def _reported_writing(self, advice: str) -> contextlib.AbstractContextManager[None]:
        return reported_as(SettingsError, f"{self.path} cannot be written", next_step=advice)


# Stores an owner's (tenant's and connector's) credentials between sessions.
CredentialStore = KeyringStore | EnvFileStore


def load_stored_credentials(
    inputs: Iterable[Input], settings: Settings, references: Mapping[str, str]
) -> Settings:
    """
    Return `settings` with the stored credentials that it lacks.

    A reference to a missing credential is left out: the step that needs it then asks for it.
    """
    secrets = dict(settings.secrets)
    for item in inputs:
        if item.name in references and item.name not in secrets:
            try:
                resolved = resolve([item], given={item.name: references[item.name]}, environ={})
            except SettingsError:
                continue
            secrets.update(resolved.secrets)
    return replace(settings, secrets=secrets)


def _service_name(owner: str) -> str:
    return f"facebook-marketing-runbook/{owner}"
