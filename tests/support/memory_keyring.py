"""A keyring in memory, in place of the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keyring.backend
import keyring.errors


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory; a broken one raises on every call."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, *, is_broken: bool = False) -> None:
        self.stored: dict[tuple[str, str], str] = {}
        self.is_broken = is_broken

    def _refuse(self) -> None:
        if self.is_broken:
            raise keyring.errors.NoKeyringError("canary")

    def get_password(self, service: str, username: str) -> str | None:
        """Return the stored password."""
        self._refuse()
        return self.stored.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store the password."""
        self._refuse()
        self.stored[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Delete the password; raise if it is missing, as real keyrings do."""
        self._refuse()
        if self.stored.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not found")


@contextmanager
def keyring_in_memory() -> Iterator[MemoryKeyring]:
    """Yield an empty keyring, which is the machine's meanwhile."""
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)
