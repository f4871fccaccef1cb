"""The journal loses no acknowledged line, and detects tampering."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from runbook_lib.core import journal as journal_module
from runbook_lib.core.clock import timestamp
from runbook_lib.core.journal import GENESIS, Journal, parse_line, read_lines
from runbook_lib.core.model import (
    FORMAT_VERSION,
    Binding,
    ChangeIntended,
    EventType,
    Exchange,
    Finding,
    JournalEntry,
    NotebookFinished,
    Outcome,
    StepChecked,
    StepStarted,
)
from runbook_lib.errors import ChainError, FormatError, JournalError
from tests.conftest import NOON
from tests.support.wording import refused, refused_naming, wording

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tenant" / "journal.jsonl"


def change(text: str) -> tuple[str, ChangeIntended]:
    """Return kind and data of a line with this text."""
    return EventType.CHANGE_INTENDED, ChangeIntended(change=text)


STARTED = (EventType.STEP_STARTED, StepStarted())


def written(path: Path, count: int = 5) -> list[bytes]:
    """Write `count` lines and return them as bytes of the file."""
    journal = Journal(path, clock=lambda: NOON)
    for number in range(count):
        journal.append(*change(str(number)), run_id="0a1b2c3d", step=f"fb-0{number}-x")
    return path.read_bytes().splitlines(keepends=True)


# The second is half a surrogate pair, as from a cut emoji.
@pytest.mark.parametrize("text", ["ä\n1", json.loads('"\\ud83d"')])
def test_a_line_is_read_as_it_was_appended(path: Path, text: str) -> None:
    """A line is read by another process as it was appended, whatever its text."""
    Journal(path, clock=lambda: NOON).append(*change(text), run_id="0a1b2c3d", step="fb-01-log-in")

    assert Journal(path).entries() == [
        JournalEntry(
            seq=1,
            at="2026-11-24T12:00:00.000Z",
            type="change.intended",
            run_id="0a1b2c3d",
            step="fb-01-log-in",
            data=ChangeIntended(change=text),
            prev=GENESIS,
        )
    ]
    assert path.read_bytes().count(b"\n") == 1


def test_each_line_carries_the_digest_of_the_line_before(path: Path) -> None:
    """Each line has the SHA-256 of the line before it."""
    lines = written(path)

    expected = [GENESIS, *(hashlib.sha256(line).hexdigest() for line in lines)]
    assert [json.loads(line)["prev"] for line in lines] == expected[:-1]
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line.ref.digest for line in read_lines(path)] == expected[1:]


def test_an_absent_journal_is_empty(path: Path) -> None:
    """Reading a missing journal returns nothing and creates nothing."""
    journal = Journal(path)

    assert journal.entries() == []
    assert not path.parent.exists()


def tamperings(lines: list[bytes]) -> dict[str, list[bytes]]:
    """Return these lines after each kind of tampering."""
    one, two, three, *rest = lines
    last = json.loads(lines[-1])
    forged = {**json.loads(two), "seq": 3, "prev": hashlib.sha256(two).hexdigest()}
    lacking = {name: value for name, value in last.items() if name != "at"}
    return {
        "altered byte": [one, two.replace(b'"change":"1"', b'"change":"7"'), three, *rest],
        "removed line": [one, two, *rest],
        "removed first line": [two, three, *rest],
        "swapped lines": [one, three, two, *rest],
        "repeated line": [one, two, two, three, *rest],
        "inserted line": [one, two, json.dumps(forged).encode() + b"\n", three, *rest],
        "appended line": [*lines, json.dumps({**last, "seq": 6}).encode() + b"\n"],
        "carriage return": [one, two[:-1] + b"\r\n", three, *rest],
        "carriage return between": [one, two.replace(b"{", b"{\r", 1), three, *rest],
        "blank line": [one, two, b"\n", three, *rest],
        "no JSON": [one, two, b"\xff\xfe{}\n", three, *rest],
        "wrong number": [*lines[:-1], json.dumps({**last, "seq": 9}).encode() + b"\n"],
        "no object": [*lines, b"[]\n"],
        "lacking field": [*lines[:-1], json.dumps(lacking).encode() + b"\n"],
        "nested too deep": [*lines, b"[" * 200_000 + b"\n"],
    }


@pytest.mark.parametrize("how", tamperings([b"{}"] * 5))
def test_tampering_raises(path: Path, how: str) -> None:
    """A line that was altered, removed, moved or inserted raises `ChainError`."""
    path.write_bytes(b"".join(tamperings(written(path))[how]))

    with pytest.raises(ChainError) as caught:
        Journal(path).entries()

    assert str(path) in str(caught.value)
    assert "Line " in str(caught.value)


@given(data=st.data())
def test_any_flipped_bit_before_the_last_line_raises(path: Path, data: st.DataObject) -> None:
    """A flipped bit in any line but the last raises `ChainError`."""
    path.unlink(missing_ok=True)
    lines = written(path, 3)
    content = bytearray(b"".join(lines))
    position = data.draw(st.integers(0, len(content) - len(lines[-1]) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))

    with pytest.raises(ChainError):
        Journal(path).entries()


EXCHANGE = Exchange(
    method="GET", url="https://api.example", sent_on="2026-11-24T09:00:00Z", elapsed=0.1
)
CHECKED = (
    EventType.STEP_CHECKED,
    StepChecked(
        findings=(
            Finding(outcome=Outcome.FAILED, code="a-code", reason="No.", check="a", exchanges=(1,)),
        ),
        binding=Binding(connector="p", sentence_digest="0" * 64),
    ),
)


def asked(**fields: Any) -> tuple[str, Exchange]:
    """Return kind and data of an exchange with these fields."""
    return EventType.EXCHANGE_RECORDED, structs.replace(EXCHANGE, **fields)


@settings(max_examples=40)
@given(answers=st.lists(JSON, min_size=1, max_size=4))
def test_any_json_comes_back_as_it_was_written(path: Path, answers: list[Any]) -> None:
    """Any JSON of a remote system is read back unchanged, from one line each."""
    path.unlink(missing_ok=True)
    lines = [asked(response=answer) for answer in answers]
    Journal(path).append_lines([*lines, STARTED])

    *exchanges, _ = Journal(path).entries()
    assert [entry.data.response for entry in exchanges] == answers
    assert path.read_bytes().count(b"\n") == len(answers) + 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["response", "elapsed", "request"])
def test_nan_and_infinity_are_never_written(path: Path, number: float, field: str) -> None:
    """NaN and Infinity (RFC 8259 §6) are not written, and the journal stays as it was."""
    before = b"".join(written(path))
    spoilt = asked(**{field: {"data": [number]} if field == "response" else number})

    with refused(JournalError, "line-not-written") as caught:
        Journal(path).append_lines([spoilt, STARTED])

    assert caught.value.diagnostics() == wording("advice.report-defect")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        # NaN and Infinity are no JSON.
        (b'"data":{}', b'"data":{"x":NaN}'),
        (b'"data":{}', b'"data":{"x":Infinity}'),
        (b'"data":{}', b'"data":{"x":-Infinity}'),
        (b'"data":{}', b'"data":{"x":1e999}'),
        # A line with two fields of one name means something else to each reader.
        (b'"seq":1', b'"seq":1,"seq":1'),
        (b'"data":{}', b'"data":{},"data":{}'),
        (b'"run_id":""', b'"run_id":"x","run_id":""'),
        # No object at all.
        (b"{", b"hello"),
    ],
)
def test_an_invalid_line_is_neither_read_nor_continued(
    path: Path, part: bytes, instead: bytes
) -> None:
    """It raises `ChainError` for every reader, and nothing is appended after it."""
    Journal(path).append(*STARTED)
    line = path.read_bytes()
    assert part in line
    path.write_bytes(line.replace(part, instead, 1))

    assert parse_line(path.read_bytes()) is None
    with refused(ChainError, "not-a-journal-line"):
        Journal(path).entries()
    with refused(ChainError, "not-a-journal-line"):
        Journal(path).append(*STARTED)
    assert path.read_bytes() == line.replace(part, instead, 1)


@pytest.mark.parametrize(
    ("form", "said"),
    [(FORMAT_VERSION + 1, "run-of-another-format"), (None, "run-without-format")],
)
def test_a_run_of_another_form_is_named_by_its_line(path: Path, form: Any, said: str) -> None:
    """A run that started under another form raises `FormatError` with its line and the file."""
    written(path, 1)
    last = hashlib.sha256(path.read_bytes()).hexdigest()
    line = {**json.loads(path.read_bytes()), "seq": 2, "type": "run.started", "prev": last}
    line["data"] = {"format_version": form}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

    with refused(FormatError, said, path=path, format=form, known=FORMAT_VERSION):
        Journal(path).entries()


def test_exchanges_are_numbered_from_the_first(path: Path) -> None:
    """Appending exchanges returns the number of the first, for the check that names them."""
    written(path, 2)

    assert Journal(path).append_lines([asked(), asked()]) == 3

    Journal(path).append(*CHECKED)
    assert [entry.type for entry in Journal(path).entries()][2:] == [
        "exchange.recorded",
        "exchange.recorded",
        "step.checked",
    ]


@pytest.mark.parametrize("lines", [0, 1, 2])
@pytest.mark.parametrize("cut", [0, 40])
def test_exchanges_that_a_killed_process_left_are_read(path: Path, lines: int, cut: int) -> None:
    """
    Exchanges on which no check rests are valid lines; half a line is none.

    The next append removes it, and records that.
    """
    before = b"".join(written(path, 2))
    reader = Journal(path)
    reader.append_lines([asked(), asked(), asked()])
    group = path.read_bytes()[len(before) :].splitlines(keepends=True)
    whole = before + b"".join(group[:lines])
    path.write_bytes(whole + group[lines][:cut])

    assert len(reader.entries()) == len(list(read_lines(path))) == 2 + lines
    reader.append(*STARTED)

    assert path.read_bytes().startswith(whole)
    *repaired, started = reader.entries()[2 + lines :]
    repairs = [(line.type, line.data.bytes) for line in repaired]
    assert repairs == ([("journal.repaired", cut)] if cut else [])
    assert (started.type, started.seq) == ("step.started", 3 + lines + bool(cut))


@pytest.mark.parametrize(
    "lines",
    [
        [change("x" * 4 * 2**20)],
        # If one line cannot be written, none of those beside it is.
        [asked(), asked(response="x" * 5 * 2**20), asked()],
    ],
    ids=["one", "several"],
)
def test_a_line_above_the_limit_is_not_written(path: Path, lines: list[Any]) -> None:
    """The journal stays as it was; several lines up to the limit are written."""
    before = b"".join(written(path))

    with refused(JournalError, "line-too-long"):
        Journal(path).append_lines(lines)

    assert path.read_bytes() == before
    assert len(Journal(path).entries()) == 5
    Journal(path).append_lines([asked(response="x" * 3 * 2**20)] * 2)
    assert len(Journal(path).entries()) == 7


@pytest.mark.parametrize(
    ("count", "torn"),
    [
        (5, b'{"seq":6,"at"'),
        (5, b"\xff\xfe"),
        (5, b"{}"),
        # Only the beginning of a long one is recorded.
        (5, b"x" * 70_000),
        (5, b"\0" * 2**20),
        (0, b'{"seq":1'),
    ],
    ids=["half", "no text", "no line feed", "long", "huge", "first"],
)
def test_a_torn_tail_is_removed_and_recorded(path: Path, count: int, torn: bytes) -> None:
    """
    An incomplete last line is not returned; the next append removes it and records that.

    No acknowledged line is lost. The record belongs to no run and to no step.
    """
    path.parent.mkdir()
    path.touch()
    before = b"".join(written(path, count))
    reader = Journal(path)
    assert len(reader.entries()) == count
    path.write_bytes(before + torn)
    assert len(reader.entries()) == count

    Journal(path).append(*change("a"))

    assert path.read_bytes().startswith(before)
    for journal in (reader, Journal(path)):
        repaired, appended = journal.entries()[count:]
        assert repaired.type == EventType.JOURNAL_REPAIRED
        assert (repaired.run_id, repaired.step) == ("", "")
        assert repaired.data.bytes == len(torn)
        assert len(repaired.data.text) == min(len(torn), 65_536)
        assert appended.data == ChangeIntended(change="a")


def test_a_long_line_is_found_again(path: Path) -> None:
    """Long lines are chained to their successors."""
    journal = Journal(path)
    journal.append(*change("x" * 200_000))
    journal.append(*change("y" * 65_536))
    journal.append(*STARTED)

    assert len(Journal(path).entries()) == 3


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_above_the_limit_is_refused_unparsed(path: Path, end: bytes) -> None:
    """A line above the size limit is refused without reading it into memory."""
    lines = written(path)
    path.write_bytes(b"".join(lines) + b"[" * 32 * 2**20 + end)
    tracemalloc.start()

    with refused(ChainError, "line-too-long", limit=4):
        Journal(path).entries()

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 * 2**20


def test_lines_are_read_one_at_a_time(path: Path) -> None:
    """Reading needs memory for one line only, however long the journal is."""
    journal = Journal(path)
    for _ in range(64):
        journal.append(*change("x" * 250_000))
    digests = [hashlib.sha256(line).hexdigest() for line in path.read_bytes().splitlines(True)]
    tracemalloc.start()

    lines = ((line.entry.seq, line.ref.digest) for line in read_lines(path))
    assert all(seen == known for seen, known in zip(lines, enumerate(digests, 1), strict=True))

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 2**20


def test_reading_stops_at_the_given_end(path: Path) -> None:
    """Reading stops at `end`, also within a line."""
    lines = written(path)
    end = sum(map(len, lines[:3]))

    assert [line.entry.seq for line in read_lines(path, end=end)] == [1, 2, 3]
    assert [line.entry.seq for line in read_lines(path, end=end + 7)] == [1, 2, 3]
    assert not list(read_lines(path, end=0))


def test_lines_written_during_reading_are_not_returned(path: Path) -> None:
    """Lines that are written during reading are left for the next reading."""
    lines = written(path)
    path.write_bytes(b"".join(lines) + b'{"seq":6')
    reading = read_lines(path)
    next(reading)

    Journal(path).append(*STARTED)

    assert len(list(reading)) == 4
    assert len(Journal(path).entries()) == 7


class RefusingFile(FileIO):
    """A file on a disk with a limited number of free bytes."""

    refusal = errno.ENOSPC
    room = 0

    def write(self, data: Any) -> int:
        """Write the bytes that fit, then raise."""
        cls = type(self)
        if cls.room <= 0:
            raise OSError(cls.refusal, os.strerror(cls.refusal))
        taken = super().write(bytes(data)[: cls.room])
        cls.room -= taken
        return taken


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_the_journal_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int, room: int
) -> None:
    """A line that does not fit is removed again, and the error has the reason."""
    before = b"".join(written(path))
    monkeypatch.setattr(RefusingFile, "refusal", refusal)
    monkeypatch.setattr(RefusingFile, "room", room)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode, **_: RefusingFile(self, mode))
        with pytest.raises(JournalError) as caught:
            Journal(path).append(*change("x" * 500))

    assert os.strerror(refusal) in str(caught.value)
    assert path.read_bytes() == before
    Journal(path).append(*STARTED)
    assert len(Journal(path).entries()) == 6


def test_a_line_that_is_not_on_disk_is_not_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`append` flushes each line to disk, and removes it again if that fails."""
    before = b"".join(written(path))

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "fsync", refuse)
        with pytest.raises(JournalError):
            Journal(path).append(*STARTED)

    assert path.read_bytes() == before


def test_a_new_journals_name_is_flushed_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a new journal is flushed, so that the file survives a power cut."""
    flushed: list[int] = []
    monkeypatch.setattr(
        journal_module.os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino)
    )
    written(path, 2)

    file = path.stat().st_ino
    folder = path.parent.stat().st_ino
    assert flushed == [file, folder, file]


def test_a_folder_that_cannot_be_made_raises(tmp_path: Path) -> None:
    """If the tenant's folder cannot be made, `JournalError` names the journal."""
    (tmp_path / "tenant").write_text("a file")

    with refused_naming(JournalError, "journal.jsonl cannot be written"):
        Journal(tmp_path / "tenant" / "journal.jsonl").append(*STARTED)


def test_a_folder_in_the_journals_place_raises(path: Path) -> None:
    """A folder in the journal's place raises `JournalError`, not `OSError`."""
    path.mkdir(parents=True)

    with pytest.raises(JournalError):
        Journal(path).entries()
    with pytest.raises(JournalError):
        Journal(path).append(*STARTED)


def test_a_lock_that_is_never_released_raises(path: Path) -> None:
    """If another process keeps the lock, `JournalError` is raised after the time limit."""
    written(path, 1)

    with (
        FileLock(path.with_suffix(".lock")),
        refused(JournalError, "journal-locked", path=path, seconds=0),
    ):
        Journal(path, lock_seconds=0).append(*STARTED)

    assert len(Journal(path).entries()) == 1


APPEND_MANY = """
import sys, pathlib
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import ChangeIntended
journal = Journal(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    journal.append("change.intended", ChangeIntended(change=str(number)), step=sys.argv[2])
"""


def test_two_processes_at_once_write_one_chain(path: Path) -> None:
    """Two processes that append at once write one valid chain with all their lines."""
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND_MANY, str(path), name],
            stdin=pipe,
            stdout=pipe,
            text=True,
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    reader = Journal(path)
    while any(writer.poll() is None for writer in writers):
        reader.entries()
    for writer in writers:
        writer.communicate()

    assert [writer.returncode for writer in writers] == [0, 0]
    entries = reader.entries()
    assert entries == Journal(path).entries()
    assert [entry.seq for entry in entries] == list(range(1, 201))
    for name in "ab":
        mine = [entry.data.change for entry in entries if entry.step == name]
        assert mine == list(map(str, range(100)))


def test_reading_goes_on_where_it_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading after a known line parses only new lines."""
    written(path)
    *_, last = read_lines(path)
    Journal(path).append(*STARTED)
    parsed: list[bytes] = []
    parse = journal_module.parse_own
    monkeypatch.setattr(
        journal_module, "parse_own", lambda line: (parsed.append(line), parse(line))[1]
    )

    (line,) = read_lines(path, after=last.ref)

    assert (line.entry.seq, line.entry.type) == (6, "step.started")
    assert len(parsed) == 1


def test_a_line_is_read_again_by_its_reference(path: Path) -> None:
    """A line can be read again by its position and SHA-256."""
    written(path)
    journal = Journal(path)

    for line in read_lines(path):
        assert journal.read(line.ref) == line.entry


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"start": 1}, {"end": 20}, {"start": 9**9}]
)
def test_a_wrong_reference_is_refused(path: Path, change: dict[str, Any]) -> None:
    """A reference whose bytes do not have the SHA-256 raises `ChainError`."""
    written(path)
    *_, last = read_lines(path)

    with refused(ChainError, "line-changed"):
        Journal(path).read(last.ref._replace(**change))


def test_a_line_of_a_missing_journal_raises(path: Path) -> None:
    """If the journal is missing, `JournalError` is raised."""
    written(path)
    *_, last = read_lines(path)
    path.unlink()

    with refused(JournalError, "journal-not-readable"):
        Journal(path).read(last.ref)


def test_the_list_that_is_returned_is_the_callers_own(path: Path) -> None:
    """A caller may change the returned list without effect on the journal."""
    written(path)
    journal = Journal(path)
    journal.entries().clear()

    assert len(journal.entries()) == 5


def test_the_kinds_of_lines_have_their_documented_names() -> None:
    """The types of lines have their documented names, since journals outlive a version."""
    names = set(EventType)

    assert names >= {
        "run.finished",
        "run.interrupted",
        "notebook.finished",
        "step.started",
        "step.checked",
        "step.attested",
        "step.skipped",
        "input.given",
        "change.intended",
        "journal.repaired",
    }


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-11-24T12:00:00.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
        (NOON + timedelta(days=1), "2026-11-25T12:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(moment: datetime, text: str) -> None:
    """Every time in the journal is UTC with milliseconds and Z (RFC 3339)."""
    assert timestamp(moment) == text


def test_reading_from_several_threads_at_once_sees_one_chain(path: Path) -> None:
    """Several threads can read the journal at once."""
    written(path, 300)
    journal = Journal(path)
    gate = threading.Barrier(8)

    def read(_: int) -> int:
        gate.wait()
        return len(journal.entries())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [300] * 8


def test_a_late_line_goes_where_the_journal_was_opened(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that ends after its process has gone to another folder writes nothing there."""
    journal = Journal(Path("evidence/acme/journal.jsonl"))
    other = tmp_path_factory.mktemp("other")
    monkeypatch.chdir(other)
    journal.append("notebook.finished", NotebookFinished())

    assert (folder / "evidence/acme/journal.jsonl").is_file()
    assert list(other.iterdir()) == []
