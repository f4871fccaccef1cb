"""
Seal a run: its lines, its state and its files become one signed folder.

A bundle is complete or absent: the journal announces a complete one, which then gets its name by
one rename. A bundle has the journal's lines since the one before it, and the older lines that the
state of its run rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.attachments import attachment_path, copy_attachment
from runbook_lib.core.files import remove, sync_folder
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Exchange
from runbook_lib.core.redaction import Redactor
from runbook_lib.evidence.bundle import (
    SUMS_NAME,
    Seal,
    SealedBundle,
    bundle_name,
    checksum_text,
    describe_files,
    files_in,
    flush_files,
    stamp_statement,
)
from runbook_lib.evidence.chain import SEALED_PREFIX, STATEMENT_NAME, lock_sealing
from runbook_lib.evidence.leaks import RemoteHexStrings, refuse_leaks
from runbook_lib.evidence.proof.claims import claims_of
from runbook_lib.evidence.record import RECORD_NAME, JournalExcerpt
from runbook_lib.evidence.signing.keys import export_public_key, keep_public_key
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    ChainLink,
    digest,
    sign_statement,
)
from runbook_lib.run.events import LASTING, BundleSealed, StepChecked
from runbook_lib.run.fold import fold, lines_of
from runbook_lib.run.journal import Journal, Line
from runbook_lib.run.state import RunState

LINES_NAME = "journal.jsonl"
OLDER_NAME = "older.jsonl"


class RunLines(NamedTuple):
    """The lines in a bundle."""

    older: list[Line]
    """All lasting ones of earlier bundles, and others that the state of the run rests on."""

    own: list[Line]
    """Those since the bundle before."""


def seal_run(
    folder: Path,
    journal: Journal,
    run: str,
    redactor: Redactor,
    seal_with: Seal,
    *,
    make_pages: Callable[[RunState, ChainLink], Mapping[str, str]],
) -> SealedBundle:
    """
    Add the record of a run to `folder`, sign the files, and make it the run's bundle.

    `make_pages` returns the texts of further files by their names. Raises `LeakError` if a file
    contains a secret, `SigningError` if the key fails, `OSError` or `JournalError` if writing
    fails; then there is no bundle. A run is sealed once: later calls return its bundle. Sealing
    goes on without a time-stamp if the authority refuses.
    """
    home = journal.path.parent
    with lock_sealing(home):
        finish_sealing(journal)
        known = [line for line in journal.read_all() if isinstance(line.event, BundleSealed)]
        for line in known:
            if line.head.run == run:
                return SealedBundle(home / line.event.bundle, line.event.sequence, "")
        link = ChainLink(1)
        if known:
            last: BundleSealed = known[-1].event
            link = ChainLink(last.sequence + 1, last.bundle, last.statement)
        lines = _lines_to_copy(journal.read_all(), run, redactor, after=_last_copied(known))
        record = fold([*lines.older, *lines.own], run)
        _write_content(folder, home, record, lines, make_pages(record, link))
        content = files_in(folder)
        remote_words = RemoteHexStrings(_remote_texts([*lines.older, *lines.own]))
        refuse_leaks(content, redactor, remote_words, _attached(record))
        export_public_key(seal_with.key, keys_beside(home))
        keep_public_key(seal_with.key)
        _write_statement(folder, record, _excerpt_of(lines.own), link, seal_with)
        unstamped = stamp_statement(folder, seal_with)
        refuse_leaks(set(files_in(folder)) - set(content), redactor, remote_words)
        flush_files(folder)
        sealed = BundleSealed(
            bundle=bundle_name(record.started_on, record.run),
            sequence=link.sequence,
            statement=digest((folder / STATEMENT_NAME).read_bytes()),
            last=lines.own[-1].head.seq,
            fleet_run=record.fleet_run.id if record.fleet_run else "",
        )
        _announce(journal, folder, run, sealed)
    return SealedBundle(home / sealed.bundle, link.sequence, unstamped)


def finish_sealing(journal: Journal) -> None:
    """Give each announced bundle its name, and remove complete ones that nobody announced."""
    home = journal.path.parent
    for folder, name in unnamed_bundles(home, journal.read_all()).items():
        if name and not (home / name).exists():
            folder.rename(home / name)
        else:
            remove(folder)
    sync_folder(home)


def unnamed_bundles(home: Path, lines: Iterable[Line]) -> dict[Path, str]:
    """Return each complete bundle without its name, with that name; empty if not announced."""
    sealed = {line.head.run: line.event for line in lines if isinstance(line.event, BundleSealed)}
    unnamed: dict[Path, str] = {}
    for folder in sorted(home.glob(f"{SEALED_PREFIX}*")):
        run = folder.name.removeprefix(SEALED_PREFIX)
        name = sealed[run].bundle if run in sealed else ""
        # NOTE: a verifier does not trust the journal yet, and a name may lead elsewhere.
        unnamed[folder] = name if name.endswith(f"-{run}") and "/" not in name else ""
    return unnamed


def record_bytes(record: RunState) -> bytes:
    """Return the content of `record.json`."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def _last_copied(sealed: Sequence[Line]) -> int:
    """Return the number of the last line that an earlier bundle copied."""
    return sealed[-1].event.last if sealed else 0


def _lines_to_copy(lines: Sequence[Line], run: str, redactor: Redactor, *, after: int) -> RunLines:
    """Return the lines of a bundle; those that contain a secret by now are withheld."""
    needed = {line.head.seq for line in lines_of(lines, run)}
    copied = [
        line
        for line in lines
        if line.head.seq > after or line.head.seq in needed or line.head.type in LASTING
    ]
    shown = withhold_secrets(copied, redactor)
    return RunLines(
        older=[line for line in shown if line.head.seq <= after],
        own=[line for line in shown if line.head.seq > after],
    )


def withhold_secrets(lines: Sequence[Line], redactor: Redactor) -> list[Line]:
    """
    Return the lines, those withheld that would be written with a mask today.

    Checks that rest on a withheld exchange are withheld, too. What people or the runbook said never
    is: `refuse_leaks` refuses it.
    """
    remote = [line for line in lines if isinstance(line.event, Exchange | StepChecked)]
    hidden = {line.head.seq for line in remote if masked(line.event, redactor) != line.event}
    for line in remote if hidden else ():
        findings = line.event.findings if isinstance(line.event, StepChecked) else ()
        if any(hidden.intersection(finding.exchanges) for finding in findings):
            hidden.add(line.head.seq)
    return [line.withheld if line.head.seq in hidden else line for line in lines]


def _excerpt_of(own: Sequence[Line]) -> JournalExcerpt:
    first = own[0].head
    last = own[-1]
    return JournalExcerpt(
        first=first.seq, lines=last.head.seq, previous=first.prev, head=last.digest
    )


def _write_content(
    folder: Path, home: Path, record: RunState, lines: RunLines, pages: Mapping[str, str]
) -> None:
    contents = {
        LINES_NAME: b"".join(line.encoded for line in lines.own),
        RECORD_NAME: record_bytes(record),
        **{name: text.encode("utf-8", "backslashreplace") for name, text in pages.items()},
    }
    if lines.older:
        contents[OLDER_NAME] = b"".join(line.encoded for line in lines.older)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for step in record.steps:
        for attestation in step.counted_attestations:
            for file in attestation.attachments:
                copy_attachment(home / "attachments", folder / "attachments", file)


def _attached(record: RunState) -> dict[str, str]:
    """Return people's names for the files that they attached, by the files' names here."""
    described: dict[str, str] = {}
    for step in record.steps:
        for attestation in step.counted_attestations:
            for file in attestation.attachments:
                path = attachment_path(Path(), file)
                described[path.name] = f"{file.name}, attached to {step.id}"
    return described


def _remote_texts(lines: Iterable[Line]) -> Iterable[str]:
    """Yield the lines with a remote system's words."""
    return (line.data.decode() for line in lines if isinstance(line.event, Exchange | StepChecked))


def _write_statement(
    folder: Path, record: RunState, excerpt: JournalExcerpt, link: ChainLink, seal_with: Seal
) -> None:
    """Write the list of digests, then the signed statement over all files."""
    (folder / SUMS_NAME).write_text(checksum_text(describe_files(folder)), encoding="utf-8")
    claims = claims_of(
        record,
        excerpt=excerpt,
        link=link,
        configuration=seal_with.materials,
        timestamp_authority=seal_with.timestamp_authority,
    )
    envelope = sign_statement(seal_with.key, describe_files(folder), TEST_RESULT, claims)
    (folder / STATEMENT_NAME).write_bytes(envelope)


def _announce(journal: Journal, folder: Path, run: str, sealed: BundleSealed) -> None:
    """
    Announce the complete folder of a run, and give it its name.

    If the process is killed, there is either no bundle, or one that the next sealing names.
    """
    home = journal.path.parent
    complete = home / f"{SEALED_PREFIX}{run}"
    remove(complete)
    folder.rename(complete)
    sync_folder(home)
    try:
        journal.append(sealed, run=run)
    except BaseException:
        if sealed not in [line.event for line in journal.read_all()]:
            remove(complete)
        raise
    complete.rename(home / sealed.bundle)
    sync_folder(home)
