"""The journal of format 15: one chain, whatever is killed, altered or withheld."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Exchange, Note
from runbook_lib.errors import ChainError, FormatError, JournalError
from runbook_lib.run.events import FORMAT, JournalRepaired, RunFinished
from runbook_lib.run.journal import LONGEST_LINE, Journal, Line
from tests.support.run_events import AT, exchange, started
from tests.support.wording import refused, refused_naming

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return a journal with three lines."""
    journal = Journal(tmp_path / "acme" / "journal.jsonl", clock=lambda: NOW)
    journal.append(started(), run="0a1b2c3d")
    journal.append(exchange(), run="0a1b2c3d")
    journal.append(Note(by="Ann", at=AT, note="Hm"), run="0a1b2c3d", step="fb-01-log-in")
    return journal


def again(journal: Journal) -> Journal:
    """Return the journal of another process."""
    return Journal(journal.path, clock=lambda: NOW)


def test_lines_are_read_as_they_were_written(journal: Journal) -> None:
    """Another reader gets the same events in the same order, and only new lines later."""
    reader = again(journal)
    lines = reader.read_all()
    journal.append(RunFinished(), run="0a1b2c3d")

    assert [line.head.seq for line in reader.read_all()] == [1, 2, 3, 4]
    own_lines = journal.read_all()[:3]
    assert [line.event for line in lines] == [line.event for line in own_lines]
    assert lines[2].event.note == "Hm"
    assert (lines[2].head.run, lines[2].head.step) == ("0a1b2c3d", "fb-01-log-in")


def test_a_missing_journal_has_no_lines(tmp_path: Path) -> None:
    """Nothing is written to read it."""
    assert list(Journal(tmp_path / "acme" / "journal.jsonl").read_all()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_half_line_is_removed_and_recorded(journal: Journal) -> None:
    """Wherever a process was killed in its last line, the whole ones before it stay."""
    content = journal.path.read_bytes()
    start = content.rindex(b"\n", 0, -1) + 1
    for end in range(start + 1, len(content)):
        journal.path.write_bytes(content[:end])
        killed = again(journal)

        assert len(killed.read_all()) == 2
        assert killed.append(RunFinished()) == 4
        repaired = again(journal).read_all()[2].event
        assert isinstance(repaired, JournalRepaired)
        assert repaired.bytes == end - start
        assert repaired.text.encode() == content[start:end]


def test_an_altered_byte_is_refused(journal: Journal) -> None:
    """No byte of a line that another one follows can be another one, nor any of the data."""
    content = journal.path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    data = range(content.index(b'"data":', last) + 7, len(content) - 2)
    for place in (*range(last), *data):
        altered = bytearray(content)
        altered[place] ^= 1
        journal.path.write_bytes(altered)
        with pytest.raises((ChainError, FormatError)):
            again(journal).read_all()


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (1, 0, 2), (0, 1, 1, 2), (0, 2, 1)])
def test_a_removed_or_moved_line_is_refused(journal: Journal, order: tuple[int, ...]) -> None:
    """The lines are those that were written, in their order."""
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[number] for number in order))

    with pytest.raises(ChainError):
        again(journal).read_all()


def test_a_withheld_line_keeps_the_chain(journal: Journal) -> None:
    """Its data is gone, and the lines after it still follow it."""
    first, second, third = journal.read_all()
    journal.path.write_bytes(first.encoded + second.withheld.encoded + third.encoded)
    lines = again(journal).read_all()

    assert lines[1].event is None
    assert lines[2].event == third.event
    assert b"graph.facebook.com" not in journal.path.read_bytes()


def test_a_withheld_line_cannot_get_other_data(journal: Journal) -> None:
    """The head of a line names its data."""
    first, second, third = journal.read_all()
    other = Line(second.head, b"{}")
    journal.path.write_bytes(first.encoded + other.encoded + third.encoded)

    with pytest.raises(ChainError):
        again(journal).read_all()


def test_an_older_journal_is_refused(journal: Journal) -> None:
    """A process that has read more than the file has now writes nothing to it."""
    content = journal.path.read_bytes()
    shorter = content[: content.rindex(b"\n", 0, -1) + 1]
    journal.path.write_bytes(shorter)

    with pytest.raises(ChainError):
        journal.append(RunFinished())
    assert journal.path.read_bytes() == shorter


def test_another_format_is_refused(tmp_path: Path) -> None:
    """The error names both formats."""
    other = Journal(tmp_path / "journal.jsonl", clock=lambda: NOW)
    other.append(structs.replace(started(), format=FORMAT + 1))

    with pytest.raises(FormatError, match=str(FORMAT + 1)):
        again(other).read_all()


def test_a_line_that_is_too_long_is_neither_written_nor_read(journal: Journal) -> None:
    """No line takes more than 4 MiB of memory."""
    content = journal.path.read_bytes()
    with pytest.raises(JournalError):
        journal.append(Note(by="Ann", at=AT, note="x" * LONGEST_LINE))
    assert journal.path.read_bytes() == content

    too_long = b"x" * (LONGEST_LINE + 2)
    journal.path.write_bytes(content + too_long + b"\n")
    with pytest.raises(ChainError):
        again(journal).read_all()


def test_an_event_that_could_not_be_read_is_not_written(journal: Journal) -> None:
    """A field of another type is refused before anything is on disk."""
    content = journal.path.read_bytes()
    with pytest.raises(JournalError):
        journal.append(RunFinished(broken=7))  # type: ignore[arg-type]
    assert journal.path.read_bytes() == content


def test_half_a_surrogate_pair_can_be_written(journal: Journal) -> None:
    """A remote system may send one; U+FFFD or `?` stands for it."""
    journal.append(structs.replace(exchange(), response={"name": "\ud83d"}))

    assert again(journal).read_all()[-1].event.response == {"name": "?"}


def test_a_failed_write_changes_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the file stays as it was, and the next line follows."""
    content = journal.path.read_bytes()

    def write_half(file: int, text: bytes) -> int:
        os.pwrite(file, text[:10], len(content))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        with pytest.raises(JournalError):
            journal.append(RunFinished())
    assert journal.path.read_bytes() == content
    assert journal.append(RunFinished()) == 4


def _write_many(path: Path) -> None:
    journal = Journal(path)
    for _ in range(20):
        journal.append(Note(by="Ann", at=AT, note="Hm"))


def test_several_processes_write_one_chain(journal: Journal) -> None:
    """Each line follows the one before it, whoever wrote that."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=[journal.path]) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [line.head.seq for line in again(journal).read_all()] == [*range(1, 64)]


def test_exchanges_are_the_models(journal: Journal) -> None:
    """An exchange is written as the recorder made it."""
    assert isinstance(journal.read_all()[1].event, Exchange)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(answers=st.lists(JSON, min_size=1, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_comes_back_as_it_was_written(tmp_path: Path, answers: list[Any]) -> None:
    """Any JSON of a remote system is read back unchanged, from one line each."""
    path = tmp_path / "any.jsonl"
    path.unlink(missing_ok=True)
    Journal(path).append(*(structs.replace(exchange(), response=answer) for answer in answers))

    known = Journal(path).read_all()
    shown = [json.loads(json.dumps(answer).encode("utf-8", "replace")) for answer in answers]
    assert [line.event.response for line in known] == shown
    assert path.read_bytes().count(b"\n") == len(answers)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_never_written(journal: Journal, number: float) -> None:
    """JSON lacks them (RFC 8259 §6): null stands for them, and no number of ours is null."""
    with pytest.raises(JournalError):
        journal.append(structs.replace(exchange(), elapsed=number))
    journal.append(structs.replace(exchange(), response={"data": [number]}))

    *before, last = again(journal).read_all()
    assert (len(before), last.event.response) == (3, {"data": [None]})


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (b'"data":{', b'"data":{"x":NaN,'),
        (b'"data":{', b'"data":{"x":1e999,'),
        (b'"seq":1', b'"seq":1,"seq":1'),
        (b'"run":"', b'"run":"x","run":"'),
        (b"{", b"hello"),
        (b'"seq":1', b'"seq": 1'),
        (b'"seq":1', b'"seq":1.0'),
    ],
)
def test_a_line_has_one_form(journal: Journal, part: bytes, instead: bytes) -> None:
    """A line that means something else to another reader is refused, and nothing follows it."""
    content = journal.path.read_bytes()
    assert part in content
    altered = content.replace(part, instead, 1)
    journal.path.write_bytes(altered)

    with pytest.raises(ChainError):
        again(journal).read_all()
    with pytest.raises(ChainError):
        again(journal).append(RunFinished())
    assert journal.path.read_bytes() == altered


def test_a_line_that_is_not_on_disk_is_not_acknowledged(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`append` flushes lines to disk, and removes them again if that fails."""
    content = journal.path.read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(JournalError):
            journal.append(RunFinished())
    assert journal.path.read_bytes() == content


def test_a_new_journals_name_is_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a new journal is flushed, so that the file survives a power cut."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.fstat(file).st_ino))
    path = tmp_path / "acme" / "journal.jsonl"
    Journal(path).append(started())

    assert flushed == [path.stat().st_ino, path.parent.stat().st_ino]


def test_a_folder_that_cannot_be_made_raises(tmp_path: Path) -> None:
    """If the tenant's folder cannot be made, the error names the journal."""
    (tmp_path / "tenant").write_text("a file")

    with refused_naming(JournalError, "journal.jsonl cannot be written"):
        Journal(tmp_path / "tenant" / "journal.jsonl").append(started())


def test_a_folder_in_the_journals_place_raises(tmp_path: Path) -> None:
    """It is a `JournalError`, not an `OSError`."""
    with pytest.raises(JournalError):
        Journal(tmp_path).read_all()
    with pytest.raises(JournalError):
        Journal(tmp_path).append(started())


def test_a_lock_that_is_never_released_raises(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process keeps the lock, there is an error after the time limit."""
    monkeypatch.setattr("runbook_lib.run.journal._LOCK_SECONDS", 0)
    with (
        FileLock(journal.path.with_suffix(".lock")),
        refused(JournalError, "journal-locked", path=journal.path, seconds=0),
    ):
        journal.append(RunFinished())

    assert len(again(journal).read_all()) == 3


def test_several_threads_read_one_chain(journal: Journal) -> None:
    """Several threads can read the journal at once."""
    journal.append(*(RunFinished() for _ in range(300)))
    reader = again(journal)
    gate = threading.Barrier(8, timeout=60)

    def read(_: int) -> int:
        gate.wait()
        return len(reader.read_all())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [303] * 8


def test_a_late_line_goes_where_the_journal_was_opened(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that ends after its process has gone to another folder writes nothing there."""
    monkeypatch.chdir(tmp_path)
    journal = Journal(Path("evidence/acme/journal.jsonl"))
    other = tmp_path_factory.mktemp("other")
    monkeypatch.chdir(other)
    journal.append(RunFinished())

    assert (tmp_path / "evidence/acme/journal.jsonl").is_file()
    assert list(other.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "2026-12-02T12:00:00.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(moment: datetime, text: str) -> None:
    """Every time in the journal is UTC with milliseconds and Z (RFC 3339)."""
    assert timestamp(moment) == text
