"""
Verify a bundle: is it what was signed, by whom, and do its parts agree?

Offline, and without trusting the bundle: nothing in it counts before the
signature of a trusted key is checked, and no file is read beyond its signed
size. `chain` verifies a tenant's bundles together.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import JOURNAL_NAME, kind_of, open_plain
from runbook_lib.core.journal import JournalLine
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import FleetRun
from runbook_lib.errors import ContentError, EvidenceError
from runbook_lib.evidence.bundle import (
    INSTRUCTIONS_NAME,
    PROVENANCE_NAME,
    SIGSTORE_NAME,
    SUMS_NAME,
    TIMESTAMP_NAME,
    UNSIGNED,
    checksum_text,
)
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.journal_excerpt import (
    CARRIED_NAME,
    carried_lines,
    check_lines,
    check_numbers,
    excerpt_lines,
)
from runbook_lib.evidence.record import (
    RECORD_NAME,
    CarriedRecord,
    JournalExcerpt,
    Record,
    parse_record,
)
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    PROVENANCE,
    TEST_RESULT,
    ChainLink,
    Resource,
    SignedStatement,
    check_build_form,
    check_run_form,
    digest,
    open_envelope,
    provenance_predicate,
    read_link,
    result_predicate,
    sigstore_bundle,
)
from runbook_lib.evidence.signing.timestamps import check_imprint, stamped_at

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from securesystemslib.signer import SSlibKey


_MOST_FILES = 10_000
# The deepest nesting of folders that is read in a bundle; its own files need one.
_DEEPEST = 16
_FOLDER = kind_of(stat.S_IFDIR)
_BLOCK = 1024 * 1024
# Only the digest of other files is checked.
_LOOKED_INTO = (PROVENANCE_NAME, SUMS_NAME, RECORD_NAME)
_NEEDED = (*_LOOKED_INTO, JOURNAL_NAME, INSTRUCTIONS_NAME)
# Made after the provenance, so not among its subjects.
_AFTER_PROVENANCE = (PROVENANCE_NAME, INSTRUCTIONS_NAME, SUMS_NAME)
# Claims that are not in the record.
_BESIDE_RECORD = ("configuration", "runbook_chain")


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """The trust anchors of a verifier."""

    keys: Mapping[str, SSlibKey]
    """Key id → the public key."""

    authorities: Sequence[Certificate] = ()
    """The trusted time-stamp authorities."""


@dataclass(frozen=True, slots=True)
class StatementClaims:
    """The claims of a statement with a valid signature about a run and its place in a chain."""

    run: Mapping[str, Any]
    """The claims in its `runbook_run`."""

    link: ChainLink
    """Its place in the chain."""

    statement: str
    """The SHA-256 of its envelope."""

    key_id: str
    """The id of the key that signed it."""


@dataclass(frozen=True, slots=True)
class EarlierLine:
    """A journal line of an earlier bundle on which a step of this one rests."""

    step: str
    """The id of the step."""

    bundle: str
    """The bundle that copied the line, according to the record."""

    line: int
    """The number of the line."""

    sha256: str
    """The SHA-256 of the line."""

    run_id: str
    """The run that made the check."""


@dataclass(frozen=True, slots=True)
class VerifiedBundle(StatementClaims):
    """A bundle whose signature, files and claims are valid."""

    excerpt: JournalExcerpt
    """The journal lines that it copied."""

    stamped_on: str = ""
    """The time-stamp of a named authority; empty without one."""

    notes: tuple[str, ...] = ()
    """Parts that were not checked."""

    carried: tuple[CarriedRecord, ...] = ()
    """The older journal lines in it."""

    withheld: tuple[int, ...] = ()
    """The numbers of the lines that it withholds."""

    fleet_run: FleetRun | None = None
    """The run of a fleet that started it; `None` without one."""

    earlier: tuple[EarlierLine, ...] = ()
    """The lines of other bundles on which steps rest; only those bundles prove them."""


def verify_bundle(folder: Path, trust: TrustAnchors) -> VerifiedBundle:
    """Verify the bundle in `folder`; raises like `verify_record`."""
    return verify_record(folder, trust)[0]


def verify_record(folder: Path, trust: TrustAnchors) -> tuple[VerifiedBundle, Record]:
    """
    Verify the bundle in `folder`, and return it with its record.

    Raises an `EvidenceError`, with the file and the reason, at the first fault.
    """
    names = {"needed": _NEEDED, "looked_into": _LOOKED_INTO}
    present, envelope, signed, contents = read_signed(
        folder, trust, TEST_RESULT, **names, check_form=check_run_form
    )
    with in_file(PROVENANCE_NAME):
        made = open_envelope(contents[PROVENANCE_NAME], trust.keys, PROVENANCE)
        check_build_form(made)
    _check_listing(present, contents, envelope, signed, made)
    record = parse_record(contents[RECORD_NAME])
    _check_claims(record, signed, made)
    withheld = _check_lines(folder, present, record)
    place = place_of(signed, envelope)
    authority = str(signed.predicate["runbook_chain"].get("timestamp_authority", ""))
    stamped_on, note = check_timestamp(present, envelope, authority, trust)
    verified = VerifiedBundle(
        run=place.run,
        link=place.link,
        statement=place.statement,
        key_id=place.key_id,
        stamped_on=stamped_on,
        notes=(note,) if note else (),
        excerpt=record.journal,
        carried=record.carried,
        withheld=withheld,
        fleet_run=record.fleet_run,
        earlier=tuple(
            EarlierLine(step.id, check.bundle, check.line, check.sha256, check.run_id)
            for step in record.steps
            for check in step.carried
            if check.bundle
        ),
    )
    return verified, record


def place_of(signed: SignedStatement, envelope: bytes) -> StatementClaims:
    """Return the claims of a statement about its run and its place in a chain."""
    with in_file(STATEMENT_NAME):
        link = read_link(signed)
    return StatementClaims(signed.predicate["runbook_run"], link, digest(envelope), signed.key_id)


def read_signed(
    folder: Path,
    trust: TrustAnchors,
    kind: str,
    *,
    needed: Collection[str],
    looked_into: Collection[str],
    check_form: Callable[[SignedStatement], None] = lambda _: None,
    unsigned: Collection[str] = UNSIGNED,
) -> tuple[Mapping[str, Path], bytes, SignedStatement, Mapping[str, bytes]]:
    """
    Verify the statement of the type `kind` over the files in `folder`.

    It returns the files, the statement's envelope, the statement, and the contents of the files in
    `looked_into`. The statement must name the files `needed`, and may leave out the files
    `unsigned`. Raises an `EvidenceError`, with the file and the reason, or `OSError`.
    """
    present = _present(folder)
    envelope = _read(present, STATEMENT_NAME)
    with in_file(STATEMENT_NAME):
        signed = open_envelope(envelope, trust.keys, kind)
        check_form(signed)
    signed_files = {name: path for name, path in present.items() if name not in unsigned}
    contents = _contents(signed_files, signed.subjects, needed, looked_into)
    return present, envelope, signed, contents


def _present(folder: Path) -> dict[str, Path]:
    """Return every file under `folder` by its name; raise if one is not a regular file."""
    if folder.is_symlink() or not folder.is_dir():
        raise ContentError("It is not a folder.")
    files: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        name = here.relative_to(folder).as_posix()
        with os.scandir(here) as entries:
            listed = sorted(islice(entries, _MOST_FILES + 1), key=lambda entry: entry.name)
        if not listed and here != folder:
            raise ContentError("It was added: a folder without a file in it.", file=name)
        if name.count("/") >= _DEEPEST:
            raise ContentError("It was added: no bundle has such deep folders.", file=name)
        if len(files) + len(waiting) + len(listed) > _MOST_FILES:
            raise ContentError(f"It contains more than {_MOST_FILES:,} files.")
        for entry in listed:
            path = Path(entry.path)
            name = path.relative_to(folder).as_posix()
            kind = kind_of(entry.stat(follow_symlinks=False).st_mode)
            if kind == _FOLDER:
                waiting.append(path)
            elif kind:
                raise ContentError(f"It is not a regular file but {kind}.", file=name)
            else:
                files[name] = path
    return dict(sorted(files.items()))


def _read(present: Mapping[str, Path], name: str, most: int = LARGEST_ENVELOPE) -> bytes:
    """Return at most `most` bytes of a regular file, and one more if there are more."""
    if name not in present:
        raise ContentError("It is missing.", file=name)
    # NOTE: without following a link or waiting for a pipe.
    with open_plain(present[name], follows_links=False) as file:
        return file.read(most + 1)


def _digest(path: Path, most: int) -> str:
    """Return the SHA-256 of what `_read` would return, block by block."""
    checksum = hashlib.sha256()
    left = most + 1
    with open_plain(path, follows_links=False) as file:
        while block := file.read(min(left, _BLOCK)):
            checksum.update(block)
            left -= len(block)
    return checksum.hexdigest()


@contextmanager
def in_file(file: str) -> Iterator[None]:
    """Name `file` in errors that name none."""
    try:
        yield
    except EvidenceError as error:
        raise error if error.file else error.of(file) from None


def _contents(
    present: Mapping[str, Path],
    subjects: Sequence[Resource],
    needed: Collection[str],
    looked_into: Collection[str],
) -> dict[str, bytes]:
    """
    Check that the files are exactly those that the statement names, each as signed.

    Return the contents of those in `looked_into`.
    """
    names = {subject.name for subject in subjects}
    for name in needed:
        if name not in names:
            raise ContentError(f"It does not name {name}.", file=STATEMENT_NAME)
    for name in present:
        if name not in names:
            raise ContentError("It was added: the statement does not name it.", file=name)
    contents: dict[str, bytes] = {}
    for subject in subjects:
        parts = PurePosixPath(subject.name).parts
        if subject.name.startswith("/") or ".." in parts or "\\" in subject.name:
            raise ContentError(
                f"It names {subject.name!r}, a path that leads out of the bundle.",
                file=STATEMENT_NAME,
            )
        if subject.name not in present:
            raise ContentError("It is missing.", file=subject.name)
        size = present[subject.name].lstat().st_size
        if size != subject.size:
            raise ContentError(
                f"It has {size:,} bytes; {subject.size:,} were signed.", file=subject.name
            )
        if subject.name in looked_into:
            contents[subject.name] = _read(present, subject.name, subject.size)
            actual = digest(contents[subject.name])
        else:
            actual = _digest(present[subject.name], subject.size)
        if actual != subject.sha256:
            raise ContentError(
                "It was altered: its SHA-256 is not the signed one.", file=subject.name
            )
    return contents


def _check_listing(
    present: Mapping[str, Path],
    contents: Mapping[str, bytes],
    envelope: bytes,
    signed: SignedStatement,
    made: SignedStatement,
) -> None:
    """Raise if a file that repeats the statement differs from it."""
    listed = [subject for subject in signed.subjects if subject.name != SUMS_NAME]
    if contents[SUMS_NAME] != checksum_text(listed).encode():
        raise ContentError("It differs from the statement's list.", file=SUMS_NAME)
    if _read(present, SIGSTORE_NAME) != sigstore_bundle(envelope):
        raise ContentError("Its envelope is not the statement's.", file=SIGSTORE_NAME)
    expected = {subject for subject in signed.subjects if subject.name not in _AFTER_PROVENANCE}
    if made.key_id != signed.key_id or set(made.subjects) != expected:
        raise ContentError("It is the provenance of other files.", file=PROVENANCE_NAME)


def _check_claims(record: Record, signed: SignedStatement, made: SignedStatement) -> None:
    """Raise if the statements claim something else than the record."""
    result, built = (
        parse_own(write_json(claims).encode("utf-8", "backslashreplace"))
        for claims in (
            result_predicate(record, link=ChainLink(1), configuration=(), timestamp_authority=""),
            provenance_predicate(record, materials=()),
        )
    )
    sources = signed.predicate.get("configuration")
    built["buildDefinition"]["resolvedDependencies"] = sources
    for name, expected, claimed in (
        (STATEMENT_NAME, result, signed.predicate),
        (PROVENANCE_NAME, built, made.predicate),
    ):
        for claim, value in expected.items():
            if claim not in _BESIDE_RECORD and claimed.get(claim) != value:
                raise ContentError(f"Its {claim} differs from the record.", file=name)


def _check_lines(folder: Path, present: Mapping[str, Path], record: Record) -> tuple[int, ...]:
    """
    Return the numbers of the journal lines that are withheld.

    Raise if the lines are not those in the record, or lack an attestation of it.
    """
    check_numbers(record)
    carried = record.carried
    if bool(carried) != (CARRIED_NAME in present):
        raise ContentError(
            "It is missing." if carried else "It was added: the record lists no older lines.",
            file=CARRIED_NAME,
        )
    withheld: list[int] = []

    def lines() -> Iterator[JournalLine]:
        for file, found in (
            (CARRIED_NAME, carried_lines(folder, carried)),
            (JOURNAL_NAME, excerpt_lines(folder, record.journal)),
        ):
            with in_file(file):
                for line in found:
                    if line.entry.withheld:
                        withheld.append(line.ref.seq)
                    yield line

    check_lines(record, lines())
    return tuple(withheld)


def check_timestamp(
    present: Mapping[str, Path], envelope: bytes, authority: str, trust: TrustAnchors
) -> tuple[str, str]:
    """
    Return the time-stamp of a named authority, and what could not be checked.

    NOTE: nothing signed says whether the authority answered, because it stamps the signed
    statement; so a bundle that names a time-stamp and lacks it is rejected where one is required.
    """
    if TIMESTAMP_NAME not in present:
        missing = f"A time-stamp was requested from {authority}, but it is missing."
        if authority and trust.authorities:
            raise ContentError(missing, file=TIMESTAMP_NAME)
        return "", missing if authority else ""
    if not authority:
        raise ContentError("It was added: no time-stamp was requested.", file=TIMESTAMP_NAME)
    token = _read(present, TIMESTAMP_NAME)
    with in_file(TIMESTAMP_NAME):
        if trust.authorities:
            return timestamp(stamped_at(token, envelope, trust.authorities)), ""
        check_imprint(token, envelope)
    return "", f"The time-stamp of {authority} was not checked: no trusted authority is named."
