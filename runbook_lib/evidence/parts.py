"""
Parts: the journal lines in a bundle, and the older ones that its outcomes rest on.

`journal.jsonl` contains the lines since the previous bundle, `carried.jsonl`
each older line of a person's word that counts here. They are read line by line
and compared with the record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runbook_lib.core.events import EventType
from runbook_lib.core.files import open_plain
from runbook_lib.core.journal import (
    JOURNAL_NAME,
    LONGEST_LINE,
    Entry,
    Line,
    Ref,
    line_digest,
    parse_line,
    read_lines,
)
from runbook_lib.core.procedure import Outcome, WordKind, sentence_digest
from runbook_lib.core.state import HistoryReader
from runbook_lib.errors import ContentError
from runbook_lib.evidence.record import RECORD_NAME

CARRIED_NAME = "carried.jsonl"

_BLOCK = 1024 * 1024
# The fields of a check that a report takes from the record.
_ONLY_IN_RECORD: Mapping[str, Any] = {"exchanges": (), "tables": (), "facts": {}}
# The fields in which a word in the record and its journal line must agree.
_WORD_FIELDS = (
    *("by", "at", "note", "seen", "attachments", "origin", "entry", "login", "link"),
    *("sentence", "app_name", "app_id", "service_domain"),
)
_WORDS = frozenset(f"step.{kind}" for kind in WordKind)
# What a word names beside its subject: where the subject has it, they are the same.
_NAMED = ("app_id", "service_domain")


class Carried(NamedTuple):
    """An older line in a bundle: its number and its SHA-256."""

    seq: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """
    The lines that a bundle copied: the numbers of the `first` and the last (`lines`).

    `previous` is the SHA-256 of the line before the first, `head` that of the last.
    """

    first: int
    lines: int
    previous: str
    head: str

    @property
    def before(self) -> Ref:
        """Return the line before the first, for `read_lines` of the bundle's own file."""
        return Ref(self.first - 1, self.previous, 0, 0)


def part_of(record: Mapping[str, Any]) -> Part:
    """Return the part that `record` names; raises `ContentError` if it names none."""
    try:
        part = Part(**record["journal"])
    except (KeyError, TypeError):
        part = Part(0, 0, "", "")
    numbers, digests = (part.first, part.lines), (part.previous, part.head)
    is_valid = all(type(number) is int for number in numbers) and all(
        type(d) is str for d in digests
    )
    if not is_valid or not 0 < part.first <= part.lines:
        raise ContentError("It does not name its part of the journal.", file=RECORD_NAME)
    return part


def carried_of(record: Mapping[str, Any]) -> tuple[Carried, ...]:
    """Return the older lines that `record` lists; raises `ContentError` for other ones."""
    first = part_of(record).first
    try:
        carried = tuple(Carried(**line) for line in record["carried"])
        numbers = [line.seq for line in carried]
        is_list = numbers == sorted(set(numbers)) and all(0 < number < first for number in numbers)
        is_list = is_list and all(type(line.sha256) is str for line in carried)
    except (KeyError, TypeError):
        is_list = False
    if not is_list:
        msg = "It does not list the carried lines by number and digest, each before its part."
        raise ContentError(msg, file=RECORD_NAME)
    return carried


def part_lines(bundle: Path, part: Part) -> Iterator[Line]:
    """
    Yield each line that the bundle copied; `ref` is its position in this file.

    Raises what `read_lines` does, and `ContentError` if they do not end as `part` says.
    """
    last = part.before
    for line in read_lines(bundle / JOURNAL_NAME, after=last):
        last = line.ref
        yield line
    if (last.seq, last.digest) != (part.lines, part.head):
        raise ContentError("It does not end where the record says.", file=JOURNAL_NAME)


def carried_lines(bundle: Path, carried: Sequence[Carried]) -> Iterator[Line]:
    """Yield each older line; raises `ContentError` unless they are the listed ones."""
    if not carried:
        return
    start = 0
    with _opened(bundle / CARRIED_NAME) as file:
        for listed in carried:
            text = file.readline(LONGEST_LINE + 1)
            entry = parse_line(text)
            digest = line_digest(text)
            if entry is None or (entry.seq, digest) != listed:
                msg = f"Line {listed.seq} of the journal differs from the record's list."
                raise ContentError(msg, file=CARRIED_NAME)
            yield Line(entry, Ref(listed.seq, digest, start, start + len(text)))
            start += len(text)
        if file.read(1):
            msg = "It contains lines that the record does not list."
            raise ContentError(msg, file=CARRIED_NAME)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; raises `ContentError` if it cannot be read."""
    try:
        with open_plain(path) as file:
            yield file
    except OSError as error:
        raise ContentError(f"It cannot be read: {error.strerror}.", file=path.name) from None


def copy_lines(source: Path, start: int, end: int, target: Path) -> None:
    """Append the bytes of `source` from `start` to `end` to the file `target`."""
    with open_plain(source) as journal, target.open("ab") as file:
        journal.seek(start)
        while start < end:
            block = journal.read(min(_BLOCK, end - start))
            if not block:
                raise OSError(0, "it became shorter while it was read", os.fspath(source))
            file.write(block)
            start += len(block)


def copy_part(reader: HistoryReader, part: Part, start: int, end: int, folder: Path) -> None:
    """Write the journal from byte `start` to `end` into `folder`, without what is withheld."""
    copy_lines(reader.journal.path, start, end, folder / JOURNAL_NAME)
    with (folder / JOURNAL_NAME).open("r+b") as file:
        for ref in reader.withheld:
            if part.first <= ref.seq <= part.lines:
                file.seek(ref.start - start)
                file.write(reader.line(ref))


def copy_carried(reader: HistoryReader, refs: Iterable[Ref], folder: Path) -> tuple[Carried, ...]:
    """Write the lines at `refs`, byte for byte, into `folder`; no file without lines."""
    carried: list[Carried] = []
    for ref in refs:
        with (folder / CARRIED_NAME).open("ab") as file:
            file.write(reader.line(ref))
        carried.append(Carried(ref.seq, ref.digest))
    return tuple(carried)


def check_words(record: Mapping[str, Any], lines: Iterable[Line]) -> None:
    """
    Raise `ContentError` if a step rests on a word, or has a note, that is not in `lines`.

    So does a word whose sentence is not the one that its digest names. The record
    may contain a value that was unknown when the word was recorded: the first one
    that the remote system confirmed.
    """
    words: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for event, step_id, word in _words(record):
        words.setdefault((event, step_id, str(word["by"])), []).append(word)
    for line in lines:
        entry = line.entry
        if entry.type in _WORDS:
            _check_sentence(entry.step, entry.data)
        known = words.get((str(entry.type), str(entry.step), str(_data(entry).get("by"))), [])
        for word in [candidate for candidate in known if _agrees(entry, candidate)]:
            known.remove(word)
    for (_, step_id, by), left in words.items():
        for word in left:
            msg = f"No line here records what {by} said about {step_id} on {word['at']}."
            raise ContentError(msg, file=RECORD_NAME)
    for step in record["steps"]:
        for lapsed in step.get("lapsed", ()):
            _check_sentence(str(step["id"]), lapsed["word"])
        if step["word"] is not None and step["word"]["sentence"] != step["sentence"]:
            msg = f"{step['word']['by']} said something else of {step['id']} than its sentence."
            raise ContentError(msg, file=RECORD_NAME)


def _check_sentence(step_id: str, word: Mapping[str, Any]) -> None:
    """Raise if a word's sentence, App ID or Service Domain is not what it is bound to."""
    binding = word["binding"]
    subject = binding["subject"]
    is_bound = all(not word[name] or subject.get(name) in (None, word[name]) for name in _NAMED)
    if not is_bound or sentence_digest(word["sentence"]) != binding["confirms"]:
        raise ContentError(
            f"What {word['by']} said about {step_id} on {word['at']} is bound to something else "
            "than the words that it is recorded with."
        )


def report_entries(bundle: Path, record: Mapping[str, Any]) -> list[Entry]:
    """
    Return the entries in `bundle` for its report: the carried ones, then its part.

    They lack what the record has too: a part may have many thousand lines.
    """
    entries = []
    for line in chain(
        carried_lines(bundle, carried_of(record)), part_lines(bundle, part_of(record))
    ):
        entry = line.entry
        if entry.type == EventType.STEP_CHECKED:
            findings = [{**finding, **_ONLY_IN_RECORD} for finding in entry.data["findings"]]
            entry = replace(entry, data={"findings": findings})
        entries.append(entry)
    return entries


def _words(record: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """
    Yield each word that counts, comment and assignment in `record`, with event and step.

    Raise if a step rests on a word that is missing.
    """
    outcomes = {step["outcome"] for step in record["steps"]}
    for step in record["steps"]:
        word, outcome = step["word"], step["outcome"]
        is_attested = word is not None and word["kind"] == WordKind.ATTESTED
        if outcome == Outcome.SKIPPED:
            # A skip rests on a failed check of another step.
            is_checked = Outcome.FAILED in outcomes
        else:
            checked = {check["outcome"] for check in step["checks"]}
            is_checked = outcome in checked or outcome == Outcome.NOT_RUN
        if (word is None and not is_checked) or step["attested_by"] != (
            word["by"] if is_attested else None
        ):
            msg = f"It does not name the person on whose word {step['id']} is {outcome}."
            raise ContentError(msg, file=RECORD_NAME)
        for counted in (*step["confirms"], *([word] if word is not None else [])):
            yield f"step.{counted['kind']}", str(step["id"]), counted
        for comment in step.get("comments", ()):
            yield EventType.STEP_COMMENTED, str(step["id"]), comment
        if step.get("assigned"):
            yield EventType.STEP_ASSIGNED, str(step["id"]), step["assigned"]


def _agrees(entry: Entry, word: Mapping[str, Any]) -> bool:
    """Return whether a journal line agrees with the record."""
    data = _data(entry)
    if "binding" not in word:
        return all((data.get(name) or "") == value for name, value in word.items())
    if any((data.get(name) or None) != (word.get(name) or None) for name in _WORD_FIELDS):
        return False
    then, now = data.get("binding"), word["binding"]
    if not isinstance(then, Mapping) or {**then, "subject": 0} != {**now, "subject": 0}:
        return False
    subject, known = then.get("subject"), now["subject"]
    return (
        isinstance(subject, Mapping)
        and subject.keys() == known.keys()
        and all(value in (None, known[name]) for name, value in subject.items())
    )


def _data(entry: Entry) -> Mapping[str, Any]:
    return entry.data if isinstance(entry.data, Mapping) else {}
