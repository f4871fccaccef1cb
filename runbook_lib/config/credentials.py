"""
Where a credential may rest on this machine: the keyring, or `.env` with mode 0600.

Nowhere else. The journal holds where a credential lies, never what it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import dotenv

from runbook_lib.config.settings import Settings, resolve
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import SettingsError

__all__ = ["CredentialStore", "EnvFileStore", "KeyringStore", "recall"]


class CredentialStore(Protocol):
    """A place that keeps credentials of an owner (tenant and connector) between sessions."""

    def remember(self, owner: str, item: Input, secret: Secret) -> str:
        """Keep `secret` and return a reference to it, empty where none is needed."""

    def forget(self, owner: str, item: Input) -> None:
        """Remove it; nothing happens where it is not kept."""


class KeyringStore:
    """The keyring of the person's desktop or server (PyPI: keyring)."""

    def remember(self, owner: str, item: Input, secret: Secret) -> str:
        """Keep `secret` under its owner's name; raises `SettingsError` where there is none."""
        import keyring  # noqa: PLC0415  (slow to import, rarely used)
        import keyring.errors  # noqa: PLC0415

        try:
            keyring.set_password(_service(owner), item.name, secret.reveal())
        except keyring.errors.KeyringError:
            msg = "This machine has no keyring that can be written."
            raise SettingsError(msg, next_step="Remember it in .env instead.") from None
        return f"keyring:{_service(owner)}/{item.name}"

    def forget(self, owner: str, item: Input) -> None:
        """Remove it from the keyring."""
        import keyring  # noqa: PLC0415
        import keyring.errors  # noqa: PLC0415

        with contextlib.suppress(keyring.errors.KeyringError):
            keyring.delete_password(_service(owner), item.name)


class EnvFileStore:
    """
    The settings file at `path`, made with mode 0600 where it is new.

    A credential is written under the name that counts for `connector` alone where
    it stands under that already, or where `is_shared`: the plain name may then be
    another connector's.
    """

    def __init__(self, path: Path, connector: str = "", *, is_shared: bool = False) -> None:
        self.path = path
        self._connector = connector
        self._is_shared = is_shared
        self._seen = (-1, -1)
        self._given: frozenset[str] = frozenset()

    def remember(self, owner: str, item: Input, secret: Secret) -> str:  # noqa: ARG002
        """Write the variable; the file is found again by itself, so no reference is needed."""
        with self._writing("Permit writing it, or remember the credential in the keyring."):
            self.path.touch(mode=0o600)
            self.path.chmod(0o600)
            name = self._variable(item)
            dotenv.set_key(self.path, name, secret.reveal(), follow_symlinks=True)
        return ""

    def forget(self, owner: str, item: Input) -> None:  # noqa: ARG002
        """Remove the variable; raises `SettingsError` where the file cannot be written."""
        name = self._variable(item)
        with self._writing(f"Permit writing it, or remove {name} from it yourself."):
            if name in self._names():
                dotenv.unset_key(self.path, name, follow_symlinks=True)

    def holds(self, item: Input) -> bool:
        """Return whether the file has a value for `item`."""
        return bool(self._names() & {item.variable, item.variable_for(self._connector)})

    def _variable(self, item: Input) -> str:
        """Return the name under which this connector's credential stands, or would."""
        alone = item.variable_for(self._connector)
        return alone if self._is_shared or alone in self._names() else item.variable

    def _names(self) -> frozenset[str]:
        """Return the variables that have a value; the file is read again once it has changed."""
        if not self.path.is_file():
            return frozenset()
        state = self.path.stat()
        if self._seen != (state.st_mtime_ns, state.st_size):
            self._seen = (state.st_mtime_ns, state.st_size)
            values = dotenv.dotenv_values(self.path, interpolate=False)
            self._given = frozenset(name for name, value in values.items() if value)
        return self._given

    @contextlib.contextmanager
    def _writing(self, advice: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"{self.path} cannot be written: {error.strerror}."
            raise SettingsError(msg, next_step=advice) from None


def recall(inputs: Iterable[Input], settings: Settings, references: Mapping[str, str]) -> Settings:
    """
    Return `settings` with the remembered credentials that nothing else gave.

    A reference that leads nowhere any more is left out: the step that needs
    the credential then asks for it.
    """
    secrets = dict(settings.secrets)
    for item in inputs:
        if item.name in references and item.name not in secrets:
            try:
                found = resolve([item], given={item.name: references[item.name]}, environ={})
            except SettingsError:
                continue
            secrets.update(found.secrets)
    return replace(settings, secrets=secrets)


def _service(owner: str) -> str:
    return f"facebook-marketing-runbook/{owner}"
