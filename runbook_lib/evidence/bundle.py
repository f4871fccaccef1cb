"""
The bundle: a run's folder of evidence, complete or absent.

Files are collected in a hidden folder, listed, signed, scanned for secrets and
flushed to disk; one rename then gives the final name. A bundle is never
changed again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from msgspec import to_builtins

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.attachments import attachment_path, copy_attachment
from runbook_lib.core.files import JOURNAL_NAME, remove, sync_folder
from runbook_lib.core.journal import BEFORE_THE_FIRST, LineRef, read_lines
from runbook_lib.core.json_text import write_json
from runbook_lib.core.model import BundleSealed, JournalEnd
from runbook_lib.core.redaction import Redactor
from runbook_lib.core.run_state import HistoryReader, RunState, rests_on
from runbook_lib.core.scratch import DRAFT_PREFIX, scratch_folder
from runbook_lib.errors import RemoteError, TimestampError
from runbook_lib.evidence.chain import STATEMENT_NAME, announce_bundle, chain_end
from runbook_lib.evidence.journal_excerpt import (
    CARRIED_NAME,
    copy_carried,
    copy_excerpt,
    report_entries,
)
from runbook_lib.evidence.leaks import RemoteHexStrings, refuse_leaks, remote_texts_in
from runbook_lib.evidence.record import (
    RECORD_NAME,
    SCHEMA_NAME,
    JournalExcerpt,
    Record,
    build_record,
    parse_record,
    record_schema,
)
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.evidence.reports.report import run_report
from runbook_lib.evidence.signing.keys import SigningKey, export_public_key, keep_public_key
from runbook_lib.evidence.signing.statement import (
    PAYLOAD_TYPE,
    PROVENANCE,
    TEST_RESULT,
    ChainLink,
    Resource,
    digest,
    provenance_predicate,
    result_predicate,
    sign_statement,
    sigstore_bundle,
)

REPORT_NAME = "report.html"
PROVENANCE_NAME = "provenance.dsse.json"
SUMS_NAME = "SHA256SUMS"
INSTRUCTIONS_NAME = "VERIFY.md"
SIGSTORE_NAME = "statement.sigstore.json"
TIMESTAMP_NAME = "statement.tsr"
# Made from the statement, so not among its subjects.
UNSIGNED = (STATEMENT_NAME, SIGSTORE_NAME, TIMESTAMP_NAME)


@dataclass(frozen=True, slots=True)
class Seal:
    """
    The key and the run's materials, with which evidence is sealed.

    `stamp` requests a time-stamp of some bytes from `timestamp_authority` (a web address, or
    empty).
    """

    key: SigningKey
    materials: tuple[Resource, ...]
    timestamp_authority: str = ""
    stamp: Callable[[str, bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A sealed bundle: its folder, its number in the chain, why it has no time-stamp."""

    folder: Path
    sequence: int
    unstamped: str


def bundle_name(started_on: str, run_id: str) -> str:
    """Return the folder name of a run's bundle: its start time and its id."""
    return f"{re.sub('[-:]|[.][0-9]+', '', started_on)}-{run_id}"


@contextmanager
def draft_bundle(beside: Path, run_id: str) -> Iterator[Path]:
    """Yield an empty hidden folder in `beside` for a run's files; remove it if not sealed."""
    folder = beside / f"{DRAFT_PREFIX}{run_id}"
    with scratch_folder(owns=folder):
        remove(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove(folder)


def write_record(
    folder: Path, state: RunState, reader: HistoryReader, after: LineRef = BEFORE_THE_FIRST
) -> Record:
    """
    Write a run's evidence into `folder`, and return the record.

    It writes `record.json`, its schema, `report.html`, the attachments, the journal's lines `after`
    the previous bundle, and older lines that still count.
    """
    journal = reader.journal
    last = after
    for line in read_lines(journal.path, after=after):
        last = line.ref
    excerpt = JournalExcerpt(
        first=after.seq + 1, lines=last.seq, previous=after.digest, head=last.digest
    )
    copy_excerpt(reader, excerpt, after.end, last.end, folder)
    carried = copy_carried(reader, (ref for ref in rests_on(state) if ref.seq <= after.seq), folder)
    record = build_record(state, journal=excerpt, carried=carried)
    for name, document in ((RECORD_NAME, to_builtins(record)), (SCHEMA_NAME, record_schema())):
        _write(folder / name, write_json(document, indent=2) + "\n")
    parse_record((folder / RECORD_NAME).read_bytes())
    kept = journal.path.parent / "attachments"
    for attachment in chain.from_iterable(step.attachments for step in record.steps):
        copy_attachment(kept, folder / "attachments", attachment)
    entries = report_entries(folder, record)
    _write(folder / REPORT_NAME, run_report(record, entries, attachments=folder / "attachments"))
    return record


def seal_bundle(
    folder: Path, state: RunState, reader: HistoryReader, redactor: Redactor, seal_with: Seal
) -> SealedBundle:
    """
    Add the record of the run to `folder`, sign the files, and make it the run's bundle.

    All files are scanned for secrets first. Raises `LeakError` if one contains
    a secret, `SigningError` if the key fails, `OSError` or `JournalError` if
    writing fails; then there is no bundle. Sealing goes on without a time-stamp
    if the authority refuses.
    """
    keys = keys_beside(reader.journal.path.parent)
    with chain_end(reader) as (link, after):
        record = write_record(folder, state, reader, after)
        content = files_in(folder)
        remote_words = RemoteHexStrings(
            remote_texts_in(folder / name for name in (JOURNAL_NAME, CARRIED_NAME))
        )
        refuse_leaks(content, redactor, remote_words, _attached(record))
        export_public_key(seal_with.key, keys)
        keep_public_key(seal_with.key)
        _write_statement(folder, record, seal_with, link)
        unstamped = stamp_statement(folder, seal_with)
        refuse_leaks(set(files_in(folder)) - set(content), redactor, remote_words)
        flush_files(folder)
        excerpt = record.journal
        size = (folder / JOURNAL_NAME).stat().st_size
        sealed = BundleSealed(
            bundle=bundle_name(record.started_on, record.run_id),
            sequence=link.sequence,
            statement=digest((folder / STATEMENT_NAME).read_bytes()),
            journal=JournalEnd(lines=excerpt.lines, head=excerpt.head, end=after.end + size),
            fleet_run=record.fleet_run.id if record.fleet_run else "",
        )
        final = announce_bundle(reader, folder, record.run_id, sealed)
    return SealedBundle(final, link.sequence, unstamped)


def describe_file(path: Path, name: str) -> Resource:
    """Return digest and size of the file at `path`, under the name `name`."""
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return Resource(name, checksum, os.fstat(file.fileno()).st_size)


def checksum_text(resources: Iterable[Resource]) -> str:
    """Return the text of `SHA256SUMS`, as `sha256sum --check` reads it."""
    return "".join(f"{resource.sha256}  {resource.name}\n" for resource in resources)


def verify_instructions(
    record: Record, *, key_id: str, link: ChainLink, timestamp_authority: str
) -> str:
    """Return `VERIFY.md`: how to check the bundle with only `sha256sum` and `openssl`."""
    return render(
        "VERIFY.md",
        record=record,
        key_id=key_id,
        link=link,
        authority=timestamp_authority,
        kind=PAYLOAD_TYPE,
    )


def _attached(record: Record) -> dict[str, str]:
    """Return people's names for the files that they attached, by the files' names here."""
    return {
        attachment_path(Path(), attachment).name: f"{attachment.name}, attached to {step.id}"
        for step in record.steps
        for attachment in step.attachments
    }


def _write_statement(folder: Path, record: Record, seal_with: Seal, link: ChainLink) -> None:
    key = seal_with.key
    authority = seal_with.timestamp_authority
    made = provenance_predicate(record, materials=seal_with.materials)
    envelope = sign_statement(key, describe_files(folder), PROVENANCE, made)
    (folder / PROVENANCE_NAME).write_bytes(envelope)
    text = verify_instructions(record, key_id=key.key_id, link=link, timestamp_authority=authority)
    _write(folder / INSTRUCTIONS_NAME, text)
    _write(folder / SUMS_NAME, checksum_text(describe_files(folder)))
    predicate = result_predicate(
        record, link=link, configuration=seal_with.materials, timestamp_authority=authority
    )
    envelope = sign_statement(key, describe_files(folder), TEST_RESULT, predicate)
    (folder / STATEMENT_NAME).write_bytes(envelope)
    (folder / SIGSTORE_NAME).write_bytes(sigstore_bundle(envelope))


def stamp_statement(folder: Path, seal_with: Seal) -> str:
    """Request a time-stamp of the statement, if wanted; return the reason for a missing one."""
    if seal_with.stamp is None or not seal_with.timestamp_authority:
        return ""
    content = (folder / STATEMENT_NAME).read_bytes()
    try:
        token = seal_with.stamp(seal_with.timestamp_authority, content)
    except (RemoteError, TimestampError) as error:
        return str(error)
    (folder / TIMESTAMP_NAME).write_bytes(token)
    return ""


def files_in(folder: Path) -> list[Path]:
    """Return every file under `folder`, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flush_files(folder: Path) -> None:
    """Write everything under `folder` to the disk."""
    for path in files_in(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    folders = [path for path in folder.rglob("*") if path.is_dir()]
    for below in (*folders, folder):
        sync_folder(below)


def describe_files(folder: Path) -> list[Resource]:
    """Return digest and size of every file under `folder`, by name."""
    return [describe_file(path, path.relative_to(folder).as_posix()) for path in files_in(folder)]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
