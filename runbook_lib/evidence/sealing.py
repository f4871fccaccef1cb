"""
Seal a run: its lines, its state and its files become one signed folder.

A bundle is complete or absent: the journal announces a complete one, which then gets its name by
one rename. A bundle has the journal's lines since the one before it, and the older lines that the
state of its run rests on. What a watch has written since is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.attachments import attachment_path, copy_attachment
from runbook_lib.core.files import (
    JOURNAL_NAME,
    is_there,
    read_plain,
    remove,
    sync_folder,
)
from runbook_lib.core.redaction import Redactor
from runbook_lib.errors import ChainError
from runbook_lib.evidence.bundle import (
    INSTRUCTIONS_NAME,
    OLDER_NAME,
    REPORT_NAME,
    SEALED_PREFIX,
    STATEMENT_NAME,
    SUMS_NAME,
    Seal,
    SealedBundle,
    bundle_name,
    checksum_text,
    describe_files,
    files_in,
    flush_files,
    lock_sealing,
    stamp_statement,
    statements_in,
)
from runbook_lib.evidence.claims import claims_of
from runbook_lib.evidence.leaks import (
    RemoteHexStrings,
    refuse_leaks,
    remote_texts,
    withhold_secrets,
)
from runbook_lib.evidence.record import RECORD_NAME, JournalExcerpt, record_bytes
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.evidence.signing.keys import export_public_key, keep_public_key
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    PAYLOAD_TYPE,
    TEST_RESULT,
    ChainLink,
    digest,
    sign_statement,
)
from runbook_lib.run.events import LASTING, BundleSealed
from runbook_lib.run.fold import fold, lines_of
from runbook_lib.run.journal import Journal, Line
from runbook_lib.run.state import RunState


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
    make_report: Callable[[RunState, Sequence[Line], Path], str],
) -> SealedBundle:
    """
    Add the record of a run to `folder`, sign the files, and make it the run's bundle.

    `make_report` returns the report of the run's state, its lines and the folder of its
    attachments. A run is sealed once: later calls return its bundle. Sealing goes on without a
    time-stamp if the authority refuses.

    Raises `LeakError` if a file contains a secret, `SigningError` if the key fails, `OSError` or
    `JournalError` if writing fails; then there is no bundle.
    """
    home = journal.path.parent
    with lock_sealing(home):
        finish_sealing(journal)
        known = [line for line in journal.read_all() if line.kind is BundleSealed]
        for line in known:
            if line.head.run == run:
                state = fold(journal.read_all(), run)
                return SealedBundle(home / line.event.bundle, line.event.sequence, state)
        link = ChainLink(1)
        if known:
            last: BundleSealed = known[-1].event
            link = ChainLink(last.sequence + 1, last.bundle, last.statement)
        lines = _lines_to_copy(journal.read_all(), run, redactor, after=_last_copied(known))
        record = fold([*lines.older, *lines.own], run)
        _copy_attachments(folder, home, record)
        every = [*lines.older, *lines.own]
        report = make_report(record, every, folder / "attachments")
        _write_content(folder, record, lines, report)
        content = files_in(folder)
        remote_words = RemoteHexStrings(remote_texts(every))
        refuse_leaks(content, redactor, remote_words, _attached(record))
        export_public_key(seal_with.key, keys_beside(home))
        keep_public_key(seal_with.key)
        _write_statement(folder, record, lines, link, seal_with)
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
    return SealedBundle(home / sealed.bundle, link.sequence, record, unstamped)


def announced_bundles(journal: Journal) -> list[BundleSealed]:
    """
    Return the announced bundles, oldest first; one whose sealing was interrupted gets its name.

    The next sealing removes unannounced ones. Raises `JournalError`.
    """
    home = journal.path.parent
    if any(home.glob(f"{SEALED_PREFIX}*")):
        with lock_sealing(home):
            finish_sealing(journal)
    events = [line.event for line in journal.read_all()]
    return [event for event in events if isinstance(event, BundleSealed)]


def require_order(announced: Iterable[BundleSealed]) -> None:
    """Raise `ChainError` unless each announcement has a higher number than those before it."""
    numbers = [event.sequence for event in announced]
    if numbers != sorted(set(numbers)):
        raise ChainError("It announces a bundle out of order, or again.", file=JOURNAL_NAME)


def finish_sealing(journal: Journal) -> None:
    """
    Give each announced bundle its name, and remove complete ones that nobody announced.

    Nothing is removed beside a journal that lacks a bundle: an older one was put back.
    """
    home = journal.path.parent
    lines = journal.read_all()
    known = {line.event.bundle: line.event for line in lines if line.kind is BundleSealed}
    is_whole = all(path.parent.name in known for path in statements_in(home))
    for folder, name in unnamed_bundles(home, lines).items():
        if name and not is_there(home / name):
            folder.rename(home / name)
        elif is_whole and (not name or _is_sealed_as(home / name, known[name])):
            remove(folder)
    sync_folder(home)


def _is_sealed_as(bundle: Path, sealed: BundleSealed) -> bool:
    """Return whether `bundle` is the announced one."""
    try:
        return digest(read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE)) == sealed.statement
    except OSError:
        return False


def unnamed_bundles(home: Path, lines: Iterable[Line]) -> dict[Path, str]:
    """Return each complete bundle without its name, with that name; empty if not announced."""
    sealed = {line.head.run: line.event for line in lines if line.kind is BundleSealed}
    unnamed: dict[Path, str] = {}
    for folder in sorted(home.glob(f"{SEALED_PREFIX}*")):
        run = folder.name.removeprefix(SEALED_PREFIX)
        name = sealed[run].bundle if run in sealed else ""
        # NOTE: a verifier does not trust the journal yet, and a name may lead elsewhere.
        unnamed[folder] = name if name.endswith(f"-{run}") and "/" not in name else ""
    return unnamed


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


def _excerpt_of(own: Sequence[Line]) -> JournalExcerpt:
    first = own[0].head
    last = own[-1]
    return JournalExcerpt(
        first=first.seq, lines=last.head.seq, previous=first.prev, head=last.digest
    )


def _copy_attachments(folder: Path, home: Path, record: RunState) -> None:
    for step in record.steps:
        for file in step.attachments:
            copy_attachment(home / "attachments", folder / "attachments", file)


def _write_content(folder: Path, record: RunState, lines: RunLines, report: str) -> None:
    (folder / JOURNAL_NAME).write_bytes(b"".join(line.encoded for line in lines.own))
    if lines.older:
        (folder / OLDER_NAME).write_bytes(b"".join(line.encoded for line in lines.older))
    (folder / RECORD_NAME).write_bytes(record_bytes(record))
    _write(folder / REPORT_NAME, report)


def _attached(record: RunState) -> dict[str, str]:
    """Return people's names for the files that they attached, by the files' names here."""
    return {
        attachment_path(Path(), file).name: f"{file.name}, attached to {step.id}"
        for step in record.steps
        for file in step.attachments
    }


def _write_statement(
    folder: Path, record: RunState, lines: RunLines, link: ChainLink, seal_with: Seal
) -> None:
    """Write how to verify, the list of digests, and the signed statement over all files."""
    excerpt = _excerpt_of(lines.own)
    authority = seal_with.timestamp_authority
    instructions = render(
        INSTRUCTIONS_NAME,
        record=record,
        excerpt=excerpt,
        has_older=bool(lines.older),
        key_id=seal_with.key.key_id,
        link=link,
        authority=authority,
        kind=PAYLOAD_TYPE,
    )
    _write(folder / INSTRUCTIONS_NAME, instructions)
    _write(folder / SUMS_NAME, checksum_text(describe_files(folder)))
    claims = claims_of(
        record,
        excerpt=excerpt,
        link=link,
        configuration=seal_with.materials,
        timestamp_authority=authority,
    )
    envelope = sign_statement(seal_with.key, describe_files(folder), TEST_RESULT, claims)
    (folder / STATEMENT_NAME).write_bytes(envelope)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


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
