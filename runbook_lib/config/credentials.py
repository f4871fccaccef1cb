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
    """A place that keeps credentials from one session to the next."""

    def remember(self, tenant: str, item: Input, secret: Secret) -> str:
        """Keep `secret` and return a reference to it, empty where none is needed."""

    def forget(self, tenant: str, item: Input) -> None:
        """Remove it; nothing happens where it is not kept."""


class KeyringStore:
    """The keyring of the person's desktop or server (PyPI: keyring)."""

    def remember(self, tenant: str, item: Input, secret: Secret) -> str:
        """Keep `secret` under the tenant's name; raises `SettingsError` where there is none."""
        import keyring  # noqa: PLC0415  (slow to import, rarely used)
        import keyring.errors  # noqa: PLC0415

        try:
            keyring.set_password(_service(tenant), item.name, secret.reveal())
        except keyring.errors.KeyringError:
            msg = "This machine has no keyring that can be written."
            raise SettingsError(msg, next_step="Remember it in .env instead.") from None
        return f"keyring:{_service(tenant)}/{item.name}"

    def forget(self, tenant: str, item: Input) -> None:
        """Remove it from the keyring."""
        import keyring  # noqa: PLC0415
        import keyring.errors  # noqa: PLC0415

        with contextlib.suppress(keyring.errors.KeyringError):
            keyring.delete_password(_service(tenant), item.name)


class EnvFileStore:
    """The settings file at `path`, made with mode 0600 where it is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = (-1, -1)
        self._given: frozenset[str] = frozenset()

    def remember(self, tenant: str, item: Input, secret: Secret) -> str:  # noqa: ARG002
        """Write the variable; the file is found again by itself, so no reference is needed."""
        with self._writing("Permit writing it, or remember the credential in the keyring."):
            self.path.touch(mode=0o600)
            self.path.chmod(0o600)
            dotenv.set_key(self.path, item.variable, secret.reveal(), follow_symlinks=True)
        return ""

    def forget(self, tenant: str, item: Input) -> None:  # noqa: ARG002
        """Remove the variable; raises `SettingsError` where the file cannot be written."""
        with self._writing(f"Permit writing it, or remove {item.variable} from it yourself."):
            if self.holds(item):
                dotenv.unset_key(self.path, item.variable, follow_symlinks=True)

    def holds(self, item: Input) -> bool:
        """Tell whether the file has a value for `item`; it is read again once it has changed."""
        if not self.path.is_file():
            return False
        state = self.path.stat()
        if self._seen != (state.st_mtime_ns, state.st_size):
            self._seen = (state.st_mtime_ns, state.st_size)
            values = dotenv.dotenv_values(self.path, interpolate=False)
            self._given = frozenset(name for name, value in values.items() if value)
        return item.variable in self._given

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


def _service(tenant: str) -> str:
    return f"facebook-marketing-runbook/{tenant}"
