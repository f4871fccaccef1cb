"""The succession of a key is known in all evidence folders of a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.signing.keys import (
    SigningKey,
    default_key_path,
    open_key,
    read_public_key,
    successions_folder,
)
from runbook_lib.evidence.signing.succession import export_successions, hand_over, rotate
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Trust
from tests.unit.evidence.conftest import ended_run, seal_run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refused(evidence: Path, trusted: SigningKey) -> list[str]:
    """Return the errors in `evidence` with trust in one key."""
    verdicts = verify_tree(evidence, Trust({trusted.key_id: trusted.public}))
    return [str(verdict.error) for verdict in verdicts if verdict.error]


def test_a_rotation_reaches_every_folder_of_evidence(tmp_path: Path) -> None:
    """
    After two rotations, trust in the first key accepts later bundles in every evidence folder.
    """

    first = open_key("", is_sandbox=False)
    one, two = tmp_path / "one", tmp_path / "two"
    for evidence in (one, two):
        seal_run(ended_run(evidence, "00000001"), first)
    second = rotate(Settings(), first, one / "keys")
    third = rotate(Settings(), second, one / "keys")

    for evidence in (one, two):
        seal_run(ended_run(evidence, "00000002"), third)
        seal_run(ended_run(evidence, "00000003"), third)

    assert [refused(evidence, first) for evidence in (one, two)] == [[], []]
    assert names(two / "keys") == names(one / "keys")
    for key in (first, second, third):
        path = two / "keys" / f"{key.key_id}.pub.pem"
        assert str(read_public_key(path).keyid) == key.key_id


def test_only_successions_to_the_current_key_are_exported(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Successions of other keys and unsigned files are not exported."""

    kept = successions_folder()
    hand_over(other_key, key.public, tmp_path / "keys", kept=kept)
    (kept / "noise.succession.dsse.json").write_bytes(b"{}")

    export_successions(open_key("", is_sandbox=False), tmp_path / "another")
    export_successions(key, tmp_path / "mine")

    assert not (tmp_path / "another").exists()
    assert names(tmp_path / "mine") == {
        f"{other_key.key_id}.pub.pem",
        f"{key.key_id}.pub.pem",
        f"{key.key_id}.succession.dsse.json",
    }


def test_keys_that_succeed_each_other_are_exported_once(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """A cycle of successions is exported once."""

    for old, new in ((key, other_key), (other_key, key)):
        hand_over(old, new.public, tmp_path / "keys", kept=successions_folder())

    export_successions(key, tmp_path / "mine")

    assert len(names(tmp_path / "mine")) == 4


def test_an_export_never_overwrites_a_file(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """An existing file with other content stays; the succession gets a free name."""

    hand_over(key, other_key.public, tmp_path / "keys", kept=successions_folder())
    folder = tmp_path / "mine"
    folder.mkdir()
    taken = {f"{key.key_id}.pub.pem", f"{other_key.key_id}.succession.dsse.json"}
    for name in taken:
        (folder / name).write_text("mine")

    for _ in range(2):
        export_successions(other_key, folder)

    assert {(folder / name).read_text() for name in taken} == {"mine"}
    free = f"{other_key.key_id}-{key.key_id[:16]}.succession.dsse.json"
    assert names(folder) == {*taken, f"{other_key.key_id}.pub.pem", free}


def test_two_keys_may_name_one_successor(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Two keys may name the same successor, and both statements are kept."""

    evidence, service = tmp_path / "evidence", open_key("", is_sandbox=False)
    for old in (key, other_key, other_key):
        hand_over(old, service.public, evidence / "keys")
    seal_run(ended_run(evidence), service)

    assert [refused(evidence, old) for old in (key, other_key)] == [[], []]
    assert len(list((evidence / "keys").glob("*.succession.*"))) == 2


def test_a_statement_is_written_whole_or_not_at_all(
    tmp_path: Path, key: SigningKey, other_key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A succession statement is written completely or not at all."""

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        hand_over(key, other_key.public, tmp_path)

    assert list(tmp_path.glob("*.succession.dsse.json")) == []


def test_without_a_succession_no_folder_is_created(tmp_path: Path, key: SigningKey) -> None:
    """Without a succession, the folder of successions is not created."""

    seal_run(ended_run(tmp_path / "evidence"), key)
    with pytest.raises(SettingsError, match="cannot succeed itself"):
        hand_over(key, key.public, tmp_path / "keys", kept=successions_folder())

    assert not successions_folder().exists()
    assert names(tmp_path / "evidence" / "keys") == {f"{key.key_id}.pub.pem"}


def test_successions_are_stored_beside_the_private_keys(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Successions are also stored beside the private keys, in a folder of mode 0700."""

    hand_over(key, other_key.public, tmp_path / "keys", kept=successions_folder())

    assert successions_folder().parent.stat().st_mode & 0o777 == 0o700
    assert successions_folder().parent == default_key_path(is_sandbox=False).parent
