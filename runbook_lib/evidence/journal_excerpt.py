"""
The journal excerpt of a bundle: its own lines, and the older ones that its outcomes rest on.

`journal.jsonl` contains the lines since the previous bundle, `carried.jsonl`
each older line of a person's attestation that counts here. They are read line by line
and compared with the record.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NoReturn

from msgspec import structs

from runbook_lib.core.attestation_rules import days_after
from runbook_lib.core.files import JOURNAL_NAME, open_plain
from runbook_lib.core.journal import (
    LONGEST_LINE,
    JournalLine,
    LineRef,
    line_digest,
    parse_line,
    read_lines,
)
from runbook_lib.core.model import (
    Attestation,
    AttestationDetails,
    AttestationKind,
    CarriedResult,
    CheckBasis,
    EventType,
    Exchange,
    Finding,
    JournalEntry,
    Outcome,
    StepChecked,
    StepCommented,
)
from runbook_lib.core.procedure import sentence_digest
from runbook_lib.core.run_state import HistoryReader
from runbook_lib.core.step_record import CarriedCheck, NumberedExchange, StepRecord
from runbook_lib.errors import ContentError, reported_as
from runbook_lib.evidence.record import RECORD_NAME, CarriedRecord, JournalExcerpt, Record

CARRIED_NAME = "carried.jsonl"

_BLOCK = 1024 * 1024


def check_numbers(record: Record) -> None:
    """Raise `ContentError` unless the lines of `record` and its carried ones are in order."""
    excerpt = record.journal
    numbers = [line.seq for line in record.carried]
    if excerpt.first > excerpt.lines:
        raise ContentError("It does not name its part of the journal.", file=RECORD_NAME)
    if numbers != sorted(set(numbers)) or any(number >= excerpt.first for number in numbers):
        raise ContentError(
            "It does not list the carried lines by number, each once and before its part.",
            file=RECORD_NAME,
        )


def excerpt_lines(bundle: Path, excerpt: JournalExcerpt) -> Iterator[JournalLine]:
    """
    Yield each line that the bundle copied; `ref` is its position in this file.

    Raises what `read_lines` does, and `ContentError` if they do not end as `excerpt` says.
    """
    last = LineRef(excerpt.first - 1, excerpt.previous, 0, 0)
    for line in read_lines(bundle / JOURNAL_NAME, after=last):
        last = line.ref
        yield line
    if (last.seq, last.digest) != (excerpt.lines, excerpt.head):
        raise ContentError("It does not end where the record says.", file=JOURNAL_NAME)


def carried_lines(bundle: Path, carried: Sequence[CarriedRecord]) -> Iterator[JournalLine]:
    """Yield each older line; raises `ContentError` unless they are the listed ones."""
    if not carried:
        return
    start = 0
    path = bundle / CARRIED_NAME
    with reported_as(ContentError, "It cannot be read", file=path.name), open_plain(path) as file:
        for listed in carried:
            text = file.readline(LONGEST_LINE + 1)
            entry = parse_line(text)
            digest = line_digest(text)
            if entry is None or (entry.seq, digest) != (listed.seq, listed.sha256):
                raise ContentError(
                    f"Line {listed.seq} of the journal differs from the record's list.",
                    file=CARRIED_NAME,
                )
            yield JournalLine(entry, LineRef(listed.seq, digest, start, start + len(text)))
            start += len(text)
        if file.read(1):
            raise ContentError(
                "It contains lines that the record does not list.", file=CARRIED_NAME
            )


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


def copy_excerpt(
    reader: HistoryReader, excerpt: JournalExcerpt, start: int, end: int, folder: Path
) -> None:
    """Write the journal from byte `start` to `end` into `folder`, without withheld lines."""
    copy_lines(reader.journal.path, start, end, folder / JOURNAL_NAME)
    with (folder / JOURNAL_NAME).open("r+b") as file:
        for ref in reader.withheld:
            if excerpt.first <= ref.seq <= excerpt.lines:
                file.seek(ref.start - start)
                file.write(reader.line(ref))


def copy_carried(
    reader: HistoryReader, refs: Iterable[LineRef], folder: Path
) -> tuple[CarriedRecord, ...]:
    """Write the lines at `refs`, byte for byte, into `folder`; no file without lines."""
    carried: list[CarriedRecord] = []
    for ref in refs:
        with (folder / CARRIED_NAME).open("ab") as file:
            file.write(reader.line(ref))
        carried.append(CarriedRecord(seq=ref.seq, sha256=ref.digest))
    return tuple(carried)


def check_lines(record: Record, lines: Iterable[JournalLine]) -> None:
    """
    Raise `ContentError` if the record does not follow from `lines`.

    It raises for an attestation, a note or an exchange that is not in `lines`; for an attestation
    whose sentence differs from its digest; for a check in `lines` without one of its exchanges; and
    for an earlier result that is not in its line or no longer counted. An attestation in the record
    may contain a value that was unknown when it was recorded: the first value that the remote
    system confirmed.
    """
    attestations: dict[tuple[str, str, str], list[AttestationDetails | StepCommented]] = {}
    for event, step_id, attestation in _words(record):
        attestations.setdefault((event, step_id, attestation.by), []).append(attestation)
    carried = {(step.id, check.check): check for step in record.steps for check in step.carried}
    exchanges: dict[int, NumberedExchange] = {}
    for exchange in (
        *(exchange for step in record.steps for exchange in step.exchanges),
        *(exchange for check in carried.values() for exchange in check.exchanges),
    ):
        shown = exchanges.setdefault(exchange.number, exchange)
        # NOTE: a record has the shape of an exchange once, in the first step that shares it.
        if exchange not in (shown, structs.replace(shown, shape=None)):
            _refuse_other(exchange.number)
    numbers: set[int] = set()
    claimed: dict[str, tuple[CarriedResult, ...]] = {}
    missing = set(carried)
    for line in lines:
        entry = line.entry
        data = line.entry.data
        if isinstance(data, Exchange):
            numbers.add(entry.seq)
            recorded = NumberedExchange(**structs.asdict(data), number=entry.seq)
            if exchanges.pop(entry.seq, recorded) != recorded:
                _refuse_other(entry.seq)
        elif isinstance(data, StepChecked):
            # NOTE: a look may begin before a bundle is sealed and end after; a check that is not
            # the newest one may rest on an exchange in an earlier bundle then.
            first = record.journal.first
            _check_rests(entry.step, data.findings, numbers, JOURNAL_NAME, first)
            if entry.run_id == record.run_id:
                claimed[entry.step] = data.carried
            for basis in data.bases:
                key = (entry.step, basis.check)
                if key in missing and carried[key].line == line.ref.seq:
                    _check_earlier(carried[key], line, basis)
                    missing.remove(key)
        elif isinstance(data, AttestationDetails | StepCommented):
            if isinstance(data, AttestationDetails):
                _check_sentence(entry.step, data)
            left = attestations.get((entry.type, entry.step, data.by), [])
            left[:] = [attestation for attestation in left if not _agrees(data, attestation)]
    for (_, step_id, by), left in attestations.items():
        for attestation in left:
            raise ContentError(
                f"No line here records what {by} said about {step_id} on {attestation.at}.",
                file=RECORD_NAME,
            )
    if exchanges:
        raise ContentError(f"No line here records its exchange {min(exchanges)}.", file=RECORD_NAME)
    for step_id, name in sorted(missing):
        number = carried[step_id, name].line
        raise ContentError(
            f"Line {number}, on which the check {name} of {step_id} rests, is not here.",
            file=RECORD_NAME,
        )
    for step in record.steps:
        numbers = {exchange.number for exchange in step.exchanges}
        _check_rests(step.id, step.checks, numbers, RECORD_NAME)
        _check_carried(record, step, claimed.get(step.id, ()))
        for lapsed in step.void_attestations:
            _check_sentence(step.id, lapsed.attestation)
        if step.attestation is not None and step.attestation.sentence not in (
            step.sentence,
            *step.answers,
        ):
            raise ContentError(
                f"{step.attestation.by} confirmed a sentence that {step.id} does not have.",
                file=RECORD_NAME,
            )


def _check_carried(record: Record, step: StepRecord, claimed: tuple[CarriedResult, ...]) -> None:
    """Raise if a step rests on earlier results that the run did not carry, or not for so long."""
    for check in step.carried:
        names = {field: getattr(check, field) for field in CarriedResult.__struct_fields__}
        day = (record.finished_on or record.started_on)[:10]
        is_own = check.line >= record.journal.first
        if CarriedResult(**names) not in claimed:
            why = "no line of this run carries it"
        elif is_own == bool(check.bundle):
            why = f"line {check.line} is not of the bundle that it names"
        elif check.until != days_after(check.checked_on, check.recheck_days) or day > check.until:
            why = f"it counted until {check.until} only"
        elif check.checked_on[:10] > day:
            why = "it is later than the run"
        else:
            known = {exchange.number for exchange in check.exchanges}
            _check_rests(step.id, [check.finding], known, RECORD_NAME)
            continue
        raise ContentError(
            f"The earlier result of {check.check} at {step.id} does not count: {why}.",
            file=RECORD_NAME,
        )


def _check_earlier(check: CarriedCheck, line: JournalLine, basis: CheckBasis) -> None:
    """Raise unless an earlier result is what its journal line has."""
    entry = line.entry
    findings = [finding for finding in entry.data.findings if finding.check == check.check]
    here = (line.ref.digest, entry.run_id, entry.at, basis.code_digest)
    there = (check.sha256, check.run_id, check.checked_on, check.code_digest)
    is_equal = here == there and findings == [check.finding] and basis.values == check.values
    if not is_equal or check.finding.outcome is not Outcome.VERIFIED:
        raise ContentError(
            f"The earlier result of {check.check} differs from line {check.line}.", file=RECORD_NAME
        )


def _refuse_other(number: int) -> NoReturn:
    raise ContentError(
        f"Its exchange {number} differs from the line of that number.", file=RECORD_NAME
    )


def _check_rests(
    step_id: str, findings: Iterable[Finding], known: Container[int], file: str, first: int = 0
) -> None:
    """Raise if a finding rests on an exchange from the line `first` on that is not `known`."""
    for finding in findings:
        for number in finding.exchanges:
            if number >= first and number not in known:
                raise ContentError(
                    f"The check {finding.check} of {step_id} refers to the exchange {number}, "
                    "which is missing.",
                    file=file,
                )


def _check_sentence(step_id: str, attestation: AttestationDetails) -> None:
    """Raise if an attestation's sentence, App ID or Service Domain is not what it is bound to."""
    subject = attestation.binding.subject
    named = {"app_id": attestation.app_id, "service_domain": attestation.service_domain}
    is_bound = all(not value or subject.get(name) in (None, value) for name, value in named.items())
    if not is_bound or sentence_digest(attestation.sentence) != attestation.binding.sentence_digest:
        raise ContentError(
            f"The statement of {attestation.by} about {step_id} on {attestation.at} is bound to "
            "other words than those that it is recorded with."
        )


def report_entries(bundle: Path, record: Record) -> list[JournalEntry]:
    """
    Return the entries in `bundle` for its report: the carried ones, then its part.

    They lack the exchanges, which the record has too: a part may have many thousand lines.
    """
    older = carried_lines(bundle, record.carried)
    own = excerpt_lines(bundle, record.journal)
    return [line.entry for line in chain(older, own) if not isinstance(line.entry.data, Exchange)]


def _words(record: Record) -> Iterator[tuple[str, str, AttestationDetails | StepCommented]]:
    """
    Yield each attestation that counts, comment and assignment in `record`, with event and step.

    Raise if a step rests on an attestation that is missing.
    """
    outcomes = {step.outcome for step in record.steps}
    for step in record.steps:
        attestation = step.attestation
        outcome = step.outcome
        is_attested = attestation is not None and attestation.kind is AttestationKind.ATTESTED
        if outcome is Outcome.SKIPPED:
            # A skip rests on a failed check of another step.
            is_checked = Outcome.FAILED in outcomes
        else:
            findings = (*step.checks, *(carried.finding for carried in step.carried))
            checked = {finding.outcome for finding in findings}
            is_checked = outcome in checked or outcome is Outcome.NOT_RUN
        named = attestation.by if attestation is not None and is_attested else None
        if (attestation is None and not is_checked) or step.attested_by != named:
            raise ContentError(
                f"It does not name the person whose attestation makes {step.id} {outcome}.",
                file=RECORD_NAME,
            )
        for counted in (*step.confirmed_by, *([attestation] if attestation is not None else [])):
            yield f"step.{counted.kind}", step.id, counted
        for comment in step.comments:
            yield EventType.STEP_COMMENTED, step.id, comment
        if step.assigned:
            yield EventType.STEP_ASSIGNED, step.id, step.assigned


def _agrees(
    claimed: AttestationDetails | StepCommented, recorded: AttestationDetails | StepCommented
) -> bool:
    """Return whether a journal line agrees with an attestation or a note of the record."""
    if not isinstance(recorded, Attestation):
        return claimed == recorded
    if not isinstance(claimed, AttestationDetails):
        return False
    then = claimed.binding
    now = recorded.binding
    known = structs.replace(then, subject=now.subject)
    late = Attestation(
        **{**structs.asdict(claimed), "binding": known}, kind=recorded.kind, step=recorded.step
    )
    return (
        late == recorded
        and then.subject.keys() == now.subject.keys()
        and all(value in (None, now.subject[name]) for name, value in then.subject.items())
    )
