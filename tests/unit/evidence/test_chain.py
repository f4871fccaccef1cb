"""Sealing survives being cut off at any moment: a bundle is whole or absent, a link never lost."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from runbook_lib.errors import JournalError
from runbook_lib.evidence import chain
from runbook_lib.evidence.chain import chain_end, draft_folder, sealed_bundles
from runbook_lib.evidence.keys import SigningKey
from runbook_lib.evidence.verify import Trust
from runbook_lib.evidence.verify_chain import verify_tree
from runbook_lib.journal import EventType, Journal
from tests.unit.evidence.conftest import ended_run, seal_run


class CutOff(BaseException):
    """Stands for a process that is killed: nothing of it runs any more."""


def folders(tenant: Path) -> set[str]:
    return {path.name for path in tenant.iterdir() if path.is_dir()}


def is_in_order(evidence: Path, trust: Trust) -> bool:
    return all(verdict.error is None for verdict in verify_tree(evidence, trust))


def test_what_was_announced_gets_its_name_by_the_next_sealing(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """Killed between announcement and name, the bundle is complete and is not lost."""

    first = ended_run(tmp_path, "00000001")
    with pytest.MonkeyPatch.context() as patched:
        rename = Path.rename

        def cut_off(self: Path, target: Path) -> Path:
            if self.name.startswith(".sealed-"):
                raise CutOff
            return rename(self, target)

        patched.setattr(Path, "rename", cut_off)
        with pytest.raises(CutOff):
            seal_run(first, key)
    assert folders(tmp_path / "acme") == {".sealed-00000001"}

    second = seal_run(ended_run(tmp_path, "00000002"), key)

    assert second.sequence == 2
    assert folders(tmp_path / "acme") == {f"20261124T120000Z-0000000{n}" for n in (1, 2)}
    assert is_in_order(tmp_path, trust)


def test_what_was_not_announced_leaves_no_trace(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """Killed before the announcement, there is no bundle, and the chain goes on without it."""

    with pytest.MonkeyPatch.context() as patched:

        def cut_off(self: Journal, event: str, *_args: object, **_options: object) -> None:
            raise CutOff

        run = ended_run(tmp_path, "00000001")
        patched.setattr(Journal, "append", cut_off)
        patched.setattr(chain.shutil, "rmtree", lambda *_args, **_options: None)
        with pytest.raises(CutOff):
            seal_run(run, key)
    assert ".sealed-00000001" in folders(tmp_path / "acme")

    sealed = seal_run(ended_run(tmp_path, "00000002"), key)

    assert sealed.sequence == 1
    assert folders(tmp_path / "acme") == {sealed.folder.name}
    assert is_in_order(tmp_path, trust)


def test_a_journal_that_cannot_be_written_leaves_no_bundle(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the announcement: the error says so, and nothing half done stays."""

    run = ended_run(tmp_path, "00000001")

    def full(self: Journal, event: str, *_args: object, **_options: object) -> None:
        raise JournalError("The journal cannot be written: No space left on device.")

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(JournalError, match="No space left"):
        seal_run(run, key)

    assert folders(tmp_path / "acme") == set()


@pytest.mark.parametrize("number", range(1, 20))
def test_a_disk_that_fills_up_at_any_moment_leaves_a_whole_bundle_or_none(
    number: int, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """Whichever flush it is that fails, the next sealing finds everything in order."""

    run = ended_run(tmp_path, "00000001")
    before = run.journal.path.read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        count = iter(range(1, 10_000))

        def fsync(descriptor: int) -> None:
            if next(count) == number:
                raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(os, "fsync", fsync)
        try:
            seal_run(run, key)
        except (OSError, JournalError):
            named = [name for name in folders(tmp_path / "acme") if not name.startswith(".")]
            announced = [each.bundle for each in sealed_bundles(run.journal)]
            assert set(named) <= set(announced)
        else:
            assert next(count) <= number  # there are no more flushes than this

    assert run.journal.path.read_bytes().startswith(before)
    seal_run(ended_run(tmp_path, "00000002"), key)
    assert not [name for name in folders(tmp_path / "acme") if name.startswith(".")]
    assert is_in_order(tmp_path, trust)


def test_old_drafts_are_cleared_away_and_new_ones_are_not(tmp_path: Path, key: SigningKey) -> None:
    """What a killed run left goes after a day; a run that is under way keeps its files."""

    run = ended_run(tmp_path, "00000001")
    old, new = (draft_folder(run.journal.path.parent, name) for name in ("aaaaaaaa", "bbbbbbbb"))
    for folder in (old, new):
        folder.mkdir()
        (folder / "half.ipynb").write_text("{}")
    os.utime(old, (0, 0))

    seal_run(run, key)

    assert not old.exists()
    assert new.is_dir()


def test_a_journal_that_was_restored_from_the_newest_bundle_goes_on(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """What it has forgotten is announced again; the chain has no fork and no hole."""

    sealed = [seal_run(ended_run(tmp_path, f"0000000{number}"), key) for number in (1, 2, 3)]
    journal = tmp_path / "acme" / "journal.jsonl"
    journal.write_bytes((sealed[2].folder / "journal.jsonl").read_bytes())
    assert [each.sequence for each in sealed_bundles(Journal(journal))] == [1, 2]

    assert seal_run(ended_run(tmp_path, "00000004"), key).sequence == 4
    assert [each.sequence for each in sealed_bundles(Journal(journal))] == [1, 2, 3, 4]
    assert is_in_order(tmp_path, trust)


def test_a_journal_that_was_restored_from_an_older_bundle_makes_no_fork(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """The chain goes on after the last bundle; that lines are lost is told by verifying."""

    sealed = [seal_run(ended_run(tmp_path, f"0000000{number}"), key) for number in (1, 2, 3)]
    journal = tmp_path / "acme" / "journal.jsonl"
    journal.write_bytes((sealed[0].folder / "journal.jsonl").read_bytes())

    assert seal_run(ended_run(tmp_path, "00000004"), key).sequence == 4
    assert [each.sequence for each in sealed_bundles(Journal(journal))] == [1, 2, 3, 4]
    verdict = list(verify_tree(tmp_path, trust))[-1]
    assert "is not the one that Number 2" in str(verdict.error)


def test_a_bundle_that_another_key_signed_is_not_taken_up(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Nobody lengthens the chain by putting a folder there."""

    planted = seal_run(ended_run(tmp_path / "elsewhere", "00000001"), other_key).folder
    run = ended_run(tmp_path, "00000002")
    planted.rename(tmp_path / "acme" / planted.name)
    (tmp_path / "acme" / "20261101T000000Z-ffffffff").mkdir()
    (tmp_path / "acme" / "20261101T000000Z-ffffffff" / "statement.dsse.json").write_text("{}")

    assert seal_run(run, key).sequence == 1


def test_two_sealings_at_once_follow_each_other(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """However many runs end at the same time, the chain has no fork."""

    runs = [ended_run(tmp_path, f"0000000{number}") for number in range(6)]
    threads = [threading.Thread(target=seal_run, args=(run, key)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.sequence for each in sealed_bundles(runs[0].journal)] == [1, 2, 3, 4, 5, 6]
    assert is_in_order(tmp_path, trust)


def test_a_sealing_that_hangs_is_not_waited_for_without_end(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits is told for what."""

    journal = ended_run(tmp_path, "00000001").journal
    monkeypatch.setattr(chain, "_LOCK_SECONDS", 0)

    with (
        chain_end(journal, key),
        pytest.raises(JournalError, match="Another process has been sealing"),
        chain_end(Journal(journal.path), key),
    ):
        pass


def test_only_what_was_sealed_counts_as_sealed(tmp_path: Path) -> None:
    """Other lines of the journal are no bundles."""

    journal = ended_run(tmp_path, "00000001").journal

    assert any(entry.type == EventType.RUN_FINISHED for entry in journal.entries())
    assert sealed_bundles(journal) == []
