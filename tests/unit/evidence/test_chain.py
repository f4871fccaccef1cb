"""Sealing can be interrupted at any time: a bundle is complete or absent, and no link is lost."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.core.journal import Journal
from runbook_lib.core.model import EventType
from runbook_lib.core.run_state import open_history
from runbook_lib.core.scratch import DRAFT_PREFIX
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError, JournalError
from runbook_lib.evidence import chain
from runbook_lib.evidence.chain import (
    chain_end,
    check_restored,
    finish_interrupted,
    remove_drafts,
)
from runbook_lib.evidence.rebuild import rebuild_journal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import TEST_RESULT, Resource, sign_statement
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.support.journals import AT, announced, chained, copied
from tests.support.resigned_statements import payload, sign_again
from tests.support.wording import refused
from tests.unit.evidence.conftest import CutOff, cut_off, ended_run, failing, is_in_order, seal_run

LAST = {"lines": 1, "head": "0" * 64, "end": 1}


def folders(tenant: Path) -> set[str]:
    return {path.name for path in tenant.iterdir() if path.is_dir()}


@pytest.mark.parametrize("copies", [(), ("20261124T120000Z-00000001",)])
def test_an_announced_bundle_is_renamed_by_the_next_sealing(
    copies: tuple[str, ...], tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A bundle whose run was killed before the rename gets its name, also if a copy has it."""
    left = cut_off(ended_run(tmp_path, "00000001"), key)
    assert folders(left.parent) == {".sealed-00000001"}
    for name in copies:
        shutil.copytree(left, left.with_name(name))

    assert seal_run(ended_run(tmp_path, "00000002"), key).sequence == 2
    assert folders(left.parent) == {f"20261124T120000Z-0000000{n}" for n in (1, 2)}
    assert is_in_order(tmp_path, trust)


def test_an_announced_bundle_is_renamed_without_a_sealing_too(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """`finish_interrupted` renames an announced bundle; without one, it takes no lock."""
    run = ended_run(tmp_path, "00000001")
    home = run.journal.path.parent
    finish_interrupted(home)
    assert not (home / "sealing.lock").exists()
    cut_off(run, key)

    finish_interrupted(home)

    assert folders(home) == {"20261124T120000Z-00000001"}
    assert is_in_order(tmp_path, trust)


def test_an_older_journal_keeps_an_unnamed_bundle(tmp_path: Path, key: SigningKey) -> None:
    """If an older journal lacks its announcement, an unnamed bundle is kept."""
    first = seal_run(ended_run(tmp_path, "00000001"), key).folder
    seal_run(ended_run(tmp_path, "00000002"), key)
    left = cut_off(ended_run(tmp_path, "00000003"), key)
    restore(left.with_name("journal.jsonl"), first)

    finish_interrupted(left.parent)
    with refused(ChainError, "not-announced-by-journal", name="20261124T120000Z-00000001"):
        ended_run(tmp_path, "00000004")

    assert (left / "statement.dsse.json").is_file()


def test_the_only_complete_bundle_is_never_removed(tmp_path: Path, key: SigningKey) -> None:
    """If something else has the final name, both are kept and the next sealing works."""
    left = cut_off(ended_run(tmp_path, "00000001"), key)
    final = left.with_name("20261124T120000Z-00000001")
    final.mkdir()
    (final / "notes.txt").write_text("mine")

    assert seal_run(ended_run(tmp_path, "00000002"), key).sequence == 2
    assert (left / "statement.dsse.json").is_file()
    assert (final / "notes.txt").is_file()


def test_an_unannounced_bundle_is_removed(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A bundle whose run was killed before its announcement is removed; the chain goes on."""
    with pytest.MonkeyPatch.context() as patched:

        def killed(self: Journal, event: str, *_args: object, **_options: object) -> None:
            raise CutOff

        run = ended_run(tmp_path, "00000001")
        patched.setattr(Journal, "append", killed)
        patched.setattr(chain, "remove", lambda _path: None)
        with pytest.raises(CutOff):
            seal_run(run, key)
    assert ".sealed-00000001" in folders(tmp_path / "acme" / "p")

    sealed = seal_run(ended_run(tmp_path, "00000002"), key)

    assert sealed.sequence == 1
    assert folders(tmp_path / "acme" / "p") == {sealed.folder.name}
    assert is_in_order(tmp_path, trust)


def test_a_journal_that_cannot_be_written_leaves_no_bundle(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the announcement cannot be written, the error is raised and no bundle is left."""
    run = ended_run(tmp_path, "00000001")
    full = JournalError("disk full")
    monkeypatch.setattr(Journal, "append", failing(full))
    with pytest.raises(JournalError) as caught:
        seal_run(run, key)
    assert caught.value is full

    assert folders(tmp_path / "acme" / "p") == set()


@pytest.mark.matrix(6)
@pytest.mark.parametrize("number", range(1, 20))
def test_a_disk_that_fills_up_at_any_moment_leaves_a_whole_bundle_or_none(
    number: int, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Whichever flush fails, the bundle is complete or absent, and the next sealing works."""
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
            named = [name for name in folders(tmp_path / "acme" / "p") if not name.startswith(".")]
            known = [each.bundle for each in announced(run.journal.path)]
            assert set(named) <= set(known)
        else:
            assert next(count) <= number  # there are not that many flushes

    assert run.journal.path.read_bytes().startswith(before)
    seal_run(ended_run(tmp_path, "00000002"), key)
    assert not [name for name in folders(tmp_path / "acme" / "p") if name.startswith(".")]
    assert is_in_order(tmp_path, trust)


def test_the_drafts_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """The drafts of killed runs, which no leak gate has checked, are removed."""
    folder = tmp_path / f"{DRAFT_PREFIX}aaaaaaaa"
    folder.mkdir()
    (folder / "half.ipynb").write_text("{}")

    remove_drafts(tmp_path)

    assert not folder.exists()


@pytest.mark.parametrize("older", [0, 1, 2, None])
def test_no_run_begins_with_an_older_journal(
    older: int | None, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """With an older or a missing journal no run begins; the command in the error restores it."""
    sealed = [seal_run(ended_run(tmp_path, f"0000000{number}"), key) for number in (1, 2, 3)]
    journal = tmp_path / "acme" / "p" / "journal.jsonl"
    restore(journal, sealed[older].folder if older is not None else None)
    before = journal.read_bytes() if journal.exists() else b""

    with refused(ChainError, "older-journal") as caught:
        ended_run(tmp_path, "00000004")

    assert caught.value.file == "journal.jsonl"
    command = "runbook journal --tenant acme --connector p"
    assert command in caught.value.diagnostics()
    assert (journal.read_bytes() if journal.exists() else b"") == before
    rebuild_journal(journal.parent, trust)
    assert seal_run(ended_run(tmp_path, "00000005"), key).sequence == 4
    assert is_in_order(tmp_path, trust)


def restore(journal: Path, bundle: Path | None) -> None:
    before = sorted(bundle.parent.glob("2*")) if bundle is not None else []
    journal.unlink()
    if bundle is not None:
        journal.write_bytes(copied(*(each for each in before if each.name <= bundle.name)))


def test_other_folders_stop_no_run(tmp_path: Path, key: SigningKey) -> None:
    """A copied, linked, foreign or invalid bundle beside the journal stops no run."""
    first = seal_run(ended_run(tmp_path, "00000001"), key).folder
    shutil.copytree(first, first.with_name(f"{first.name} copy"))
    folder = seal_run(ended_run(tmp_path / "elsewhere", "0000000a"), key).folder
    first.with_name("20260101-link").symlink_to(folder)
    odd = first.with_name("20260101-odd")
    odd.mkdir()
    (odd / "statement.dsse.json").write_bytes(
        sign_statement(key, [Resource("a", "00" * 32, 1)], TEST_RESULT, {})
    )
    foreign = first.with_name("20260101-foreign")
    shutil.copytree(folder, foreign)
    statement = payload(foreign / "statement.dsse.json")
    statement["predicate"]["runbook_run"]["tenant"] = "globex"
    sign_again(foreign, key, statement)

    assert seal_run(ended_run(tmp_path, "00000002"), key).sequence == 2


def test_no_statement_is_read_if_every_bundle_is_announced(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every bundle is announced, no statement and no key is read."""
    journal = ended_run(tmp_path, "00000001").journal
    seal_run(ended_run(tmp_path, "00000002"), key)
    monkeypatch.setattr(chain, "open_envelope", lambda *_: pytest.fail("a statement was opened"))
    monkeypatch.setattr(chain, "exported_keys", lambda *_: pytest.fail("keys were read"))

    check_restored(open_history(journal.path.parent))


def test_a_bundle_of_another_key_is_ignored(
    tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """A bundle signed by an unrelated key does not become part of the chain."""
    planted = seal_run(ended_run(tmp_path / "elsewhere", "00000001"), other_key).folder
    run = ended_run(tmp_path, "00000002")
    planted.rename(tmp_path / "acme" / "p" / planted.name)
    (tmp_path / "acme" / "p" / "20261101T000000Z-ffffffff").mkdir()
    (tmp_path / "acme" / "p" / "20261101T000000Z-ffffffff" / "statement.dsse.json").write_text("{}")

    assert seal_run(run, key).sequence == 1


def test_parallel_sealings_form_one_chain(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Runs that are sealed at the same time form one chain."""
    runs = [ended_run(tmp_path, f"0000000{number}") for number in range(6)]
    gate = threading.Barrier(6, timeout=60)

    def seal(run: Run) -> None:
        gate.wait()
        seal_run(run, key)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(seal, runs))

    assert [each.sequence for each in announced(runs[0].journal.path)] == [1, 2, 3, 4, 5, 6]
    assert is_in_order(tmp_path, trust)


def test_waiting_for_another_sealing_has_a_limit(tmp_path: Path) -> None:
    """Waiting for another sealing ends after the time limit with an error."""
    journal = ended_run(tmp_path, "00000001").journal

    with (
        chain_end(open_history(journal.path.parent)),
        refused(JournalError, "sealing-elsewhere", folder=journal.path.parent, seconds=0),
        chain_end(open_history(journal.path.parent), lock_seconds=0),
    ):
        pass


def test_only_announcements_count_as_sealed(tmp_path: Path) -> None:
    """Other lines of the journal do not announce bundles."""
    journal = ended_run(tmp_path, "00000001").journal

    assert any(entry.type == EventType.RUN_FINISHED for entry in journal.entries())
    assert announced(journal.path) == []


@pytest.mark.parametrize(
    "data",
    [
        {"bundle": "b", "sequence": 0, "statement": "0" * 64, "journal": LAST},
        {"bundle": "b", "sequence": 1, "statement": "0" * 64, "journal": LAST, "more": 1},
        {"bundle": "b", "sequence": 1, "statement": "0" * 64, "journal": {**LAST, "end": 0}},
        {"bundle": "b", "sequence": 1, "statement": "0" * 64, "journal": {**LAST, "more": 1}},
    ],
)
def test_an_invalid_announcement_is_an_error(data: dict[str, object], tmp_path: Path) -> None:
    """An invalid announcement raises `ChainError` with its line number."""
    journal = Journal(tmp_path / "acme" / "p" / "journal.jsonl")
    journal.path.parent.mkdir(parents=True)
    line = {"at": AT, "type": EventType.BUNDLE_SEALED, "run_id": "00000001", "step": ""}
    journal.path.write_bytes(chained([{**line, "data": data}]))

    with refused(ChainError, "line-invalid", field="data") as caught:
        announced(journal.path)
    assert f"Line 1 of {journal.path} " in str(caught.value)
