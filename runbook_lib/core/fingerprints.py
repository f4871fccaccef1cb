"""
Fingerprints: recognise a secret without storing it.

A fingerprint is an HMAC-SHA256 (RFC 2104) under a key. The key is stored beside the tenant's
journal and never enters a bundle, archive or export, so nobody can test guesses against the
evidence alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets as randomness
import stat
from dataclasses import dataclass, field
from pathlib import Path

from runbook_lib.core.files import JOURNAL_NAME, draft_beside, hold_lock, open_plain, write_whole
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import JournalError, reported_as

KEY_NAME = "fingerprint.key"

_BYTES = 32
_LOCK_NAME = "fingerprint.lock"
_LOCK_SECONDS = 30
_TEXT = re.compile(r"[0-9a-f]{64}\n")


@dataclass(frozen=True, slots=True)
class FingerprintKey:
    """The key of one tenant's connector; `id` identifies it without revealing it."""

    _value: bytes = field(repr=False, default_factory=lambda: randomness.token_bytes(_BYTES))

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that identify this key."""
        return self._mac("id", b"").hex()[:8]

    @property
    def seed(self) -> int:
        """The seed of this tenant's sandbox, so that all its runs have the same app."""
        return int.from_bytes(self._mac("sandbox", b"")[:8])

    def of_secret(self, name: str, secret: Secret) -> str:
        """Return the fingerprint of the secret input `name`: the key's id, a colon, 64 digits."""
        return f"{self.id}:{self._mac(f'secret {name}', secret.reveal().encode()).hex()}"

    def text(self) -> str:
        """Return the content of the key's file."""
        return f"{self._value.hex()}\n"

    def _mac(self, purpose: str, content: bytes) -> bytes:
        return hmac.digest(self._value, purpose.encode() + b"\0" + content, hashlib.sha256)


def read_key(folder: Path) -> FingerprintKey | None:
    """
    Return the key in `folder`, or `None`.

    Raises `JournalError` if the file exists but cannot be read, or is not a key.
    """
    path = folder / KEY_NAME
    advice = (
        f"Restore {path} from a backup. Without one, move it away, then confirm attestations "
        "about a secret again."
    )
    message = f"The fingerprint key {path} cannot be read"
    with reported_as(JournalError, message, next_step=advice):
        try:
            with open_plain(path) as file:
                text = file.read(2 * _BYTES + 2).decode("ascii", "replace")
        except FileNotFoundError:
            return None
    if not _TEXT.fullmatch(text):
        raise JournalError(f"The fingerprint key {path} is damaged.", next_step=advice)
    return FingerprintKey(bytes.fromhex(text))


def keep_key(folder: Path, key: FingerprintKey) -> FingerprintKey:
    """
    Write `key` into `folder` unless it has one already; return the stored key.

    Its file never has more rights than the journal beside it, and none for others; see
    `private_mode`. Raises `JournalError` if it cannot be written.
    """
    path = folder / _LOCK_NAME
    busy = JournalError(f"Another process has locked {path} for over {_LOCK_SECONDS} s.")
    with reported_as(JournalError, f"The fingerprint key in {folder} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(path, seconds=_LOCK_SECONDS, busy=busy):
            mode = private_mode(_journal_mode(folder))
            stored = read_key(folder)
            if stored is None:
                write_whole(folder / KEY_NAME, key.text().encode("ascii"), mode=mode)
            else:
                _take_rights(folder / KEY_NAME, mode)
    return stored or key


def private_mode(journal_mode: int) -> int:
    """
    Return the mode of a key's file beside a journal with `journal_mode`.

    A group that shares the journal shares the key: the group may write the journal, or others may
    not read it. Others never have any right.
    """
    is_shared = bool(journal_mode & stat.S_IWGRP) or not journal_mode & stat.S_IRWXO
    return journal_mode & (0o660 if is_shared else 0o600)


def _journal_mode(folder: Path) -> int:
    """Return the mode of the journal in `folder`, or else the mode of a new file there."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE((folder / JOURNAL_NAME).stat().st_mode)
    with draft_beside(folder / KEY_NAME) as draft:
        draft.touch()
        return stat.S_IMODE(draft.stat().st_mode)


def _take_rights(path: Path, mode: int) -> None:
    """Take the rights from the file at `path` that are not in `mode`, if it is this user's."""
    stored = stat.S_IMODE(path.stat().st_mode)
    if stored & ~mode:
        with contextlib.suppress(PermissionError):
            path.chmod(stored & mode)
