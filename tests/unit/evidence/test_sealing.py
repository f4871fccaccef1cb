"""A bundle is complete or absent, and has no secret in it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import Attestation, Finding, Note, Outcome
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.core.scratch import DRAFT_PREFIX
from runbook_lib.errors import JournalError, LeakError, SigningError
from runbook_lib.evidence import sealing
from runbook_lib.evidence.bundle import SEALED_PREFIX, lock_sealing, remove_drafts
from runbook_lib.evidence.sealing import announced_bundles
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import verify_home
from runbook_lib.run.events import BundleSealed, RunFinished, StepChecked
from runbook_lib.run.journal import Journal, parse_line
from tests.support.run_events import BINDING, STEP, exchange, started
from tests.support.wording import refused
from tests.unit.evidence.sealed_runs import RUNS, open_journal, perform, seal

CANARY = "canary/secret+1"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return the journal of a tenant whose first run has ended."""
    journal = open_journal(tmp_path / "acme" / "p")
    perform(journal, RUNS[0], said="Done.")
    return journal


def bundles(journal: Journal) -> list[Path]:
    """Return the bundles beside a journal, oldest first."""
    return sorted(path for path in journal.path.parent.iterdir() if path.name[0].isdigit())


def announced(journal: Journal) -> list[BundleSealed]:
    """Return the bundles that the journal announces."""
    events = [line.event for line in journal.read_all()]
    return [event for event in events if isinstance(event, BundleSealed)]


def is_accepted(journal: Journal, trust: TrustAnchors) -> bool:
    """Return whether every bundle and the chain are accepted."""
    return not any(verdict.error for verdict in verify_home(journal.path.parent, trust))


def test_a_bundle_has_its_files_and_its_name(journal: Journal, key: SigningKey) -> None:
    """A sealed bundle has its final name, and no draft is left; the first has no older lines."""
    first = seal(journal, RUNS[0], key)
    perform(journal, RUNS[1])
    second = seal(journal, RUNS[1], key)

    files = {"SHA256SUMS", "VERIFY.md", "journal.jsonl", "record.json", "report.html", "run.ipynb"}
    assert {path.name for path in first.folder.iterdir()} == {*files, "statement.dsse.json"}
    assert {path.name for path in second.folder.iterdir()} - files == {
        "older.jsonl",
        "statement.dsse.json",
    }
    assert not list(journal.path.parent.glob(".*"))
    assert [event.bundle for event in announced(journal)] == [
        first.folder.name,
        second.folder.name,
    ]
    assert [event.sequence for event in announced(journal)] == [1, 2]


def test_later_bundles_have_all_that_people_said(
    journal: Journal, key: SigningKey, trust: TrustAnchors
) -> None:
    """Words between two seals are in each later bundle, whichever run they were in."""
    for run in (*RUNS[1:], "00000004"):
        perform(journal, run, said=f"In {run}.")
    for run in ("00000004", *RUNS):
        seal(journal, run, key)

    oldest = next(path for path in bundles(journal) if path.name.endswith(RUNS[0]))
    lines = (oldest / "older.jsonl").read_bytes().splitlines(keepends=True)
    events = [parse_line(line, "A line").event for line in lines]
    said = [event.note for event in events if isinstance(event, Attestation)]
    assert said == ["Done.", *(f"In {run}." for run in (*RUNS[1:], "00000004"))]
    assert sum(isinstance(event, Note) for event in events) == len(said)
    assert is_accepted(journal, trust)


def test_a_run_is_sealed_once(journal: Journal, key: SigningKey) -> None:
    """Whoever seals it again gets its bundle."""
    first = seal(journal, RUNS[0], key)

    assert seal(journal, RUNS[0], key).folder == first.folder
    assert len(bundles(journal)) == len(announced(journal)) == 1


def test_a_secret_leaves_no_bundle(journal: Journal, key: SigningKey) -> None:
    """A secret in the words of a person: nothing is sealed, and nothing is written."""
    redactor = Redactor()
    redactor.learn(Secret("Looked."))
    before = journal.path.read_bytes()

    with pytest.raises(LeakError, match=r"journal\.jsonl"):
        seal(journal, RUNS[0], key, redactor)
    assert journal.path.read_bytes() == before
    assert [path.name for path in journal.path.parent.iterdir() if path.is_dir()] == []


def test_a_secret_that_is_known_late_is_withheld(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A remote system's words with a secret leave no copy; the check on them is inconclusive."""
    journal = open_journal(tmp_path / "acme" / "p")
    journal.append(started(), run=RUNS[0])
    journal.append(structs.replace(exchange(), response={"id": CANARY}), run=RUNS[0])
    finding = Finding(
        outcome=Outcome.VERIFIED,
        code="a-code",
        reason="So.",
        check="log-in",
        exchanges=(2,),
    )
    journal.append(StepChecked(findings=(finding,), binding=BINDING), run=RUNS[0], step=STEP.id)
    journal.append(RunFinished(), run=RUNS[0])
    redactor = Redactor()
    redactor.learn(Secret(CANARY))

    sealed = seal(journal, RUNS[0], key, redactor)
    for path in sealed.folder.iterdir():
        assert CANARY.encode() not in path.read_bytes()
    verdicts = list(verify_home(journal.path.parent, trust))
    assert [verdict.error for verdict in verdicts] == [None, None]
    (bundle,) = [verdict.verified for verdict in verdicts if verdict.verified]
    assert bundle.record
    assert bundle.record.step(STEP.id).outcome == "inconclusive"
    assert [line.head.seq for line in bundle.own if not line.data] == [2, 3]


def test_a_key_that_fails_leaves_no_bundle(
    journal: Journal, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is announced that is not signed; the run can be sealed later."""

    def fail(*_arguments: Any) -> bytes:
        raise SigningError("The token is not there.")

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "sign_statement", fail)
        with pytest.raises(SigningError):
            seal(journal, RUNS[0], key)
    assert bundles(journal) == announced(journal) == []
    assert seal(journal, RUNS[0], key).sequence == 1


def test_a_journal_that_cannot_be_written_leaves_no_bundle(
    journal: Journal, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the announcement: no bundle, and no complete draft."""

    def fail(*_arguments: Any, **_options: Any) -> int:
        raise JournalError("No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", fail)
        with pytest.raises(JournalError):
            seal(journal, RUNS[0], key)
    assert not [path for path in journal.path.parent.iterdir() if path.is_dir()]


def test_people_s_own_lines_are_not_withheld(journal: Journal, key: SigningKey) -> None:
    """Without a secret in them, all lines are as they were written."""
    folder = seal(journal, RUNS[0], key).folder

    written = journal.path.read_bytes()
    assert written.startswith((folder / "journal.jsonl").read_bytes())


# Functions of the operating system that change files; sealing is killed at each of their calls.
CHANGES = ("mkdir", "rename", "replace", "rmdir", "unlink", "fsync", "write", "open")


def seal_and_die(home: Path, key: SigningKey, at: int) -> None:
    """Seal in this process, which is killed at its change number `at`; else it exits with 0."""
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    seal(open_journal(home), RUNS[0], key)


def test_sealing_is_killed_at_every_change(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Then the run has one bundle and one announcement, and nothing else is left."""
    context = multiprocessing.get_context("fork")
    at = 0
    exit_code: int | None = -signal.SIGKILL
    while exit_code == -signal.SIGKILL:
        at += 1
        home = tmp_path / str(at) / "acme" / "p"
        journal = open_journal(home)
        perform(journal, RUNS[0], said="Done.")
        process = context.Process(target=seal_and_die, args=(home, key, at))
        process.start()
        process.join(60)
        exit_code = process.exitcode

        assert is_accepted(journal, trust)
        seal(journal, RUNS[0], key)
        assert len(bundles(journal)) == len(announced(journal)) == 1
        assert is_accepted(journal, trust)
        assert not list(home.glob(".*"))
    assert exit_code == 0
    assert at > 30


def cut_off(journal: Journal, run: str, key: SigningKey) -> Path:
    """Seal a run, but as if killed before its bundle had its name; return what is left."""
    made = seal(journal, run, key).folder
    return made.rename(made.with_name(f"{SEALED_PREFIX}{run}"))


def test_an_announced_bundle_gets_its_name_without_a_sealing_too(
    journal: Journal, key: SigningKey, trust: TrustAnchors
) -> None:
    """Whoever asks for the announced bundles names them; without one, nobody takes a lock."""
    announced_bundles(journal)
    assert not (journal.path.parent / "sealing.lock").exists()
    cut_off(journal, RUNS[0], key)

    (sealed,) = announced_bundles(journal)
    assert [path.name for path in bundles(journal)] == [sealed.bundle]
    assert is_accepted(journal, trust)


def test_an_older_journal_keeps_an_unnamed_bundle(journal: Journal, key: SigningKey) -> None:
    """A journal that lacks the announcements of other bundles decides nothing about this one."""
    older = journal.path.read_bytes()
    seal(journal, RUNS[0], key)
    perform(journal, RUNS[1])
    left = cut_off(journal, RUNS[1], key)
    journal.path.write_bytes(older)

    announced_bundles(Journal(journal.path))
    assert (left / "statement.dsse.json").is_file()


def test_the_only_complete_bundle_is_never_removed(journal: Journal, key: SigningKey) -> None:
    """If something else has the final name, both are kept and the next sealing works."""
    left = cut_off(journal, RUNS[0], key)
    (sealed,) = announced(journal)
    final = left.with_name(sealed.bundle)
    final.mkdir()
    (final / "notes.txt").write_text("mine")

    perform(journal, RUNS[1])
    assert seal(journal, RUNS[1], key).sequence == 2
    assert (left / "statement.dsse.json").is_file()
    assert (final / "notes.txt").is_file()


@pytest.mark.matrix(3)
@pytest.mark.parametrize("number", range(1, 20))
def test_a_disk_that_fills_up_at_any_moment_leaves_a_whole_bundle_or_none(
    number: int, journal: Journal, key: SigningKey, trust: TrustAnchors
) -> None:
    """Whichever flush fails, the bundle is complete or absent, and the next sealing works."""
    before = journal.path.read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        count = iter(range(1, 10_000))

        def fsync(_descriptor: int) -> None:
            if next(count) == number:
                raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(os, "fsync", fsync)
        try:
            seal(journal, RUNS[0], key)
        except (OSError, JournalError):
            known = {event.bundle for event in announced(Journal(journal.path))}
            assert {path.name for path in bundles(journal)} <= known

    assert journal.path.read_bytes().startswith(before)
    again = open_journal(journal.path.parent)
    perform(again, RUNS[1])
    seal(again, RUNS[1], key)
    assert not list(journal.path.parent.glob(".*"))
    assert is_accepted(again, trust)


def test_the_drafts_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """No leak gate has checked them."""
    folder = tmp_path / f"{DRAFT_PREFIX}aaaaaaaa"
    folder.mkdir()
    (folder / "half.ipynb").write_text("{}")

    remove_drafts(tmp_path)

    assert not folder.exists()


def test_parallel_sealings_form_one_chain(
    journal: Journal, key: SigningKey, trust: TrustAnchors
) -> None:
    """Runs that are sealed at the same time form one chain."""
    runs = [f"0000000{number}" for number in range(2, 8)]
    for run in runs:
        perform(journal, run)
    gate = threading.Barrier(len(runs), timeout=60)

    def seal_at_once(run: str) -> None:
        gate.wait()
        seal(Journal(journal.path), run, key)

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(seal_at_once, runs))

    assert [event.sequence for event in announced(journal)] == [1, 2, 3, 4, 5, 6]
    assert is_accepted(journal, trust)


def test_waiting_for_another_sealing_has_a_limit(tmp_path: Path) -> None:
    """Waiting for another sealing ends after the time limit with an error."""
    with (
        lock_sealing(tmp_path),
        refused(JournalError, "sealing-elsewhere", folder=tmp_path, seconds=0),
        lock_sealing(tmp_path, seconds=0),
    ):
        pass
