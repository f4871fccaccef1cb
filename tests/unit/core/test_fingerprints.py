"""Fingerprints: a secret can be recognised, but not learned from the evidence."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from runbook_lib.core.fingerprints import KEY_NAME, FingerprintKey, keep_key, read_key
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import JournalError

SECRET = "0123456789abcdef0123456789abcdef"


def test_the_same_secret_has_the_same_fingerprint() -> None:
    """The same key, name and secret give the same fingerprint; any other one gives another."""
    key = FingerprintKey()
    mine = key.of_secret("app_secret", Secret(SECRET))

    assert mine == key.of_secret("app_secret", Secret(SECRET))
    others = {
        key.of_secret("app_secret", Secret(SECRET[::-1])),
        key.of_secret("other", Secret(SECRET)),
        FingerprintKey().of_secret("app_secret", Secret(SECRET)),
    }
    assert mine not in others
    assert len(others) == 3


def test_a_fingerprint_names_its_key_and_not_the_secret() -> None:
    """A fingerprint has the key's id, but neither the key nor the secret."""
    key = FingerprintKey()
    fingerprint = key.of_secret("app_secret", Secret(SECRET))

    assert fingerprint.partition(":")[0] == key.id
    assert len(fingerprint) == 8 + 1 + 64
    assert SECRET not in fingerprint
    assert key.text().strip() not in fingerprint
    assert key.text().strip() not in repr(key)


def test_a_key_is_kept_and_read(tmp_path: Path) -> None:
    """The first key is stored beside the journal, and later calls return it."""
    folder = tmp_path / "acme"
    assert read_key(folder) is None
    first = keep_key(folder, FingerprintKey())
    second = keep_key(folder, FingerprintKey())

    assert first == second == read_key(folder)
    assert not list(folder.glob(".*"))


def test_a_key_has_the_permissions_of_the_journal(tmp_path: Path) -> None:
    """The key file has the permissions of the process's umask, as the journal has."""
    before = os.umask(0o027)
    try:
        keep_key(tmp_path, FingerprintKey())
    finally:
        os.umask(before)

    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o640


def test_several_at_once_keep_one_key(tmp_path: Path) -> None:
    """Several threads that store a key at once get the same one."""
    kept: list[FingerprintKey] = []
    threads = [
        threading.Thread(target=lambda: kept.append(keep_key(tmp_path, FingerprintKey())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({key.id for key in kept}) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"0" * 64, b"G" * 64 + b"\n", b"\xff" * 65])
def test_a_damaged_key_is_named(tmp_path: Path, content: bytes) -> None:
    """A damaged key raises `JournalError` with the file and both ways to continue."""
    (tmp_path / KEY_NAME).write_bytes(content)

    with pytest.raises(JournalError, match="is damaged") as caught:
        read_key(tmp_path)

    assert str(tmp_path / KEY_NAME) in str(caught.value)
    assert caught.value.diagnostics() == (
        f"Restore {tmp_path / KEY_NAME} from a backup. Without one, move it away, then confirm "
        "attestations about a secret again."
    )


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder in the key's place raises `JournalError`."""
    (tmp_path / KEY_NAME).mkdir()

    with pytest.raises(JournalError, match="cannot be read"):
        read_key(tmp_path)


def test_a_key_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A key that cannot be written raises `JournalError`."""
    (tmp_path / "acme").write_text("")

    with pytest.raises(JournalError, match="cannot be written"):
        keep_key(tmp_path / "acme", FingerprintKey())


def test_the_seed_belongs_to_the_key() -> None:
    """The seed of a tenant's sandbox is derived from the key."""
    key = FingerprintKey()

    assert key.seed == key.seed
    assert key.seed != FingerprintKey().seed
