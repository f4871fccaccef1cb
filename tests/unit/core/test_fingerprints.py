"""Fingerprints: a secret can be recognised, but not learned from the evidence."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.core.fingerprints import KEY_NAME, FingerprintKey, keep_key, read_key
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import JournalError
from tests.support.wording import refused, wording

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


@pytest.mark.parametrize(
    ("umask", "mode"),
    [
        (0o022, 0o600),
        (0o027, 0o640),
        (0o002, 0o660),
        (0o007, 0o660),
        (0o000, 0o660),
        (0o077, 0o600),
    ],
)
def test_a_key_is_private_whatever_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    """Others never read the key; a group does if it shares the journal that the umask gives."""
    before = os.umask(umask)
    try:
        keep_key(tmp_path, FingerprintKey())
    finally:
        os.umask(before)

    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("journal", "mode"), [(0o600, 0o600), (0o644, 0o600), (0o640, 0o640), (0o660, 0o660)]
)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_key_has_no_more_rights_than_the_journal(
    journal: int, mode: int, is_known: bool, tmp_path: Path
) -> None:
    """A new key has at most the rights of its journal, and an older one loses the rest."""
    (tmp_path / "journal.jsonl").touch()
    (tmp_path / "journal.jsonl").chmod(journal)
    path = tmp_path / KEY_NAME
    if is_known:
        path.write_text(FingerprintKey().text())
        path.chmod(0o666)
    before = os.umask(0)
    try:
        keep_key(tmp_path, FingerprintKey())
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == mode


def test_several_at_once_keep_one_key(tmp_path: Path) -> None:
    """Several threads that store a key at once get the same one."""
    gate = threading.Barrier(8, timeout=60)

    def keep(folder: Path) -> str:
        gate.wait()
        return keep_key(folder, FingerprintKey()).id

    for number in range(20):
        folders = [tmp_path / str(number)] * 8
        with ThreadPoolExecutor(8) as pool:
            kept = set(pool.map(keep, folders))
        assert len(kept) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"0" * 64, b"G" * 64 + b"\n", b"\xff" * 65])
def test_a_damaged_key_is_named(tmp_path: Path, content: bytes) -> None:
    """A damaged key raises `JournalError` with the file and both ways to continue."""
    (tmp_path / KEY_NAME).write_bytes(content)

    with refused(JournalError, "key-damaged") as caught:
        read_key(tmp_path)

    assert str(tmp_path / KEY_NAME) in str(caught.value)
    assert caught.value.diagnostics() == wording("advice.restore-key", path=tmp_path / KEY_NAME)


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder in the key's place raises `JournalError`."""
    (tmp_path / KEY_NAME).mkdir()

    with refused(JournalError, "key-not-readable", path=tmp_path / KEY_NAME):
        read_key(tmp_path)


def test_a_key_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A key that cannot be written raises `JournalError`."""
    (tmp_path / "acme").write_text("")

    with refused(JournalError, "key-not-writable"):
        keep_key(tmp_path / "acme", FingerprintKey())


def test_the_seed_belongs_to_the_key() -> None:
    """The seed of a tenant's sandbox is derived from the key."""
    key = FingerprintKey()

    assert key.seed == key.seed
    assert key.seed != FingerprintKey().seed
