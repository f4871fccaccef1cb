"""
Verifying: is a bundle still what was signed, by whom, and do its parts agree?

Offline, and without trusting what lies in the bundle: nothing of it is
believed before a key that the verifier named is seen to have signed it, and
no file is read beyond the size that was signed. What a tenant's bundles say
together is the business of `verify_chain`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from runbook_lib.errors import ContentError, EvidenceError
from runbook_lib.evidence.attestation import (
    LARGEST_ENVELOPE,
    PROVENANCE,
    SUCCESSION,
    TEST_RESULT,
    Link,
    Resource,
    Signed,
    digest,
    open_envelope,
    provenance_predicate,
    read_link,
    result_predicate,
    sigstore_bundle,
)
from runbook_lib.evidence.bundle import (
    INSTRUCTIONS_NAME,
    JOURNAL_NAME,
    PROVENANCE_NAME,
    SIGSTORE_NAME,
    SUMS_NAME,
    TIMESTAMP_NAME,
    UNSIGNED,
    sums,
)
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.keys import SUCCESSION_SUFFIX, parse_public_key
from runbook_lib.evidence.record import RECORD_NAME
from runbook_lib.evidence.timestamps import check_imprint, stamped_at
from runbook_lib.journal import Journal, timestamp

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from securesystemslib.signer import SSlibKey

__all__ = ["Trust", "Verified", "verify_bundle"]

_MOST_FILES, _MOST_SUCCESSIONS = 10_000, 200
# Made after the provenance, so not among its subjects.
_AFTER_PROVENANCE = (PROVENANCE_NAME, INSTRUCTIONS_NAME, SUMS_NAME)
# Claims of which the record says nothing.
_BESIDE_RECORD = ("configuration", "runbook_chain")

_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True)
class Trust:
    """
    What a verifier relies on: keys by their id, and time-stamp authorities.

    `predecessors` maps a key to the one that named it as its successor.
    """

    keys: Mapping[str, SSlibKey]
    authorities: Sequence[Certificate] = ()
    predecessors: Mapping[str, str] = field(default_factory=dict)

    def with_successors(self, folder: Path) -> Trust:
        """Return this, and the keys to which trusted ones handed over by statements in `folder`."""
        keys, predecessors = dict(self.keys), dict(self.predecessors)
        waiting = [_read(path, LARGEST_ENVELOPE) for path in _successions(folder)]
        is_growing = bool(waiting)
        while is_growing:
            found = [handed for each in waiting if (handed := _successor(each, keys))]
            is_growing = False
            for old, new in found:
                if str(new.keyid) not in predecessors:
                    predecessors[str(new.keyid)] = old
                    keys.setdefault(str(new.keyid), new)
                    is_growing = True
        return Trust(keys, self.authorities, predecessors)


@dataclass(frozen=True, slots=True)
class Verified:
    """
    What is proven of a bundle whose signature, files and claims are all in order.

    `run` are the claims of the statement's `runbook_run`, `statement` is the
    SHA-256 of its envelope; `stamped_on` the time that a named authority
    vouches for, empty where none does. `notes` say what was not checked.
    """

    run: Mapping[str, Any]
    link: Link
    statement: str
    key_id: str
    stamped_on: str = ""
    notes: tuple[str, ...] = ()


def verify_bundle(folder: Path, trust: Trust) -> Verified:
    """
    Return what the bundle in `folder` proves.

    Raises an `EvidenceError`, with the file and the reason, at the first
    thing that is not in order.
    """
    present = _present(folder)
    envelope = _unsigned(present, STATEMENT_NAME)
    signed = _opened(STATEMENT_NAME, envelope, trust.keys, TEST_RESULT)
    contents = _contents(present, signed.subjects)
    made = _opened(PROVENANCE_NAME, contents[PROVENANCE_NAME], trust.keys, PROVENANCE)
    _check_listing(present, contents, envelope, signed, made)
    record = _document(RECORD_NAME, contents[RECORD_NAME])
    _check_claims(record, signed, made)
    _check_journal(present[JOURNAL_NAME], record["journal"])
    link = _named(STATEMENT_NAME, lambda: read_link(signed))
    authority = str(signed.predicate["runbook_chain"].get("timestamp_authority", ""))
    stamped_on, note = _timestamp(present, envelope, authority, trust)
    return Verified(
        run=signed.predicate["runbook_run"],
        link=link,
        statement=digest(envelope),
        key_id=signed.key_id,
        stamped_on=stamped_on,
        notes=(note,) if note else (),
    )


def _present(folder: Path) -> dict[str, Path]:
    """Return every file below `folder` by its name; raises where one is no plain file."""
    if folder.is_symlink() or not folder.is_dir():
        raise ContentError("It is no folder.")
    found: dict[str, Path] = {}
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ContentError("It is no plain file but a link or a device.", file=name)
        found[name] = path
        if len(found) > _MOST_FILES:
            raise ContentError(f"It holds more than {_MOST_FILES:,} files.")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _read(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of a plain file, and one more if there are more."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read(most + 1)


def _unsigned(present: Mapping[str, Path], name: str) -> bytes:
    if name not in present:
        raise ContentError("It is missing.", file=name)
    return _read(present[name], LARGEST_ENVELOPE)


def _named(file: str, look: Callable[[], _Seen]) -> _Seen:
    """Return what `look` does; what it raises is said of `file`."""
    try:
        return look()
    except EvidenceError as error:
        raise type(error)(str(error), file=file) from None


def _opened(name: str, content: bytes, keys: Mapping[str, SSlibKey], kind: str) -> Signed:
    return _named(name, lambda: open_envelope(content, keys, kind))


def _contents(present: Mapping[str, Path], subjects: Sequence[Resource]) -> dict[str, bytes]:
    """Return the files that the statement names, each seen to be what was signed."""
    names = {each.name for each in subjects}
    for name in (PROVENANCE_NAME, SUMS_NAME, RECORD_NAME, JOURNAL_NAME, INSTRUCTIONS_NAME):
        if name not in names:
            raise ContentError(f"It does not name {name}.", file=STATEMENT_NAME)
    for name in present:
        if name not in names and name not in UNSIGNED:
            raise ContentError("It was added: the statement does not name it.", file=name)
    return {each.name: _content(present, each) for each in subjects}


def _content(present: Mapping[str, Path], subject: Resource) -> bytes:
    parts = PurePosixPath(subject.name).parts
    if subject.name.startswith("/") or ".." in parts or "\\" in subject.name:
        msg = f"It names {subject.name!r}, a path that leads out of the bundle."
        raise ContentError(msg, file=STATEMENT_NAME)
    if subject.name not in present:
        raise ContentError("It is missing.", file=subject.name)
    size = present[subject.name].lstat().st_size
    if size != subject.size:
        msg = f"It has {size:,} bytes; {subject.size:,} were signed."
        raise ContentError(msg, file=subject.name)
    content = _read(present[subject.name], subject.size)
    if digest(content) != subject.sha256:
        raise ContentError("It was altered: its SHA-256 is not the signed one.", file=subject.name)
    return content


def _check_listing(
    present: Mapping[str, Path],
    contents: Mapping[str, bytes],
    envelope: bytes,
    signed: Signed,
    made: Signed,
) -> None:
    """Raise where what only repeats the statement does not say the same."""
    listed = [each for each in signed.subjects if each.name != SUMS_NAME]
    if contents[SUMS_NAME] != sums(listed).encode():
        raise ContentError("It does not list what the statement does.", file=SUMS_NAME)
    if _unsigned(present, SIGSTORE_NAME) != sigstore_bundle(envelope):
        raise ContentError("It holds another envelope than the statement's.", file=SIGSTORE_NAME)
    expected = {each for each in signed.subjects if each.name not in _AFTER_PROVENANCE}
    if made.key_id != signed.key_id or set(made.subjects) != expected:
        raise ContentError("It is the provenance of other files.", file=PROVENANCE_NAME)


def _document(name: str, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ContentError("It is no JSON object.", file=name)
    return document


def _check_claims(record: Mapping[str, Any], signed: Signed, made: Signed) -> None:
    """Raise where the statements claim something else than the record."""
    try:
        found = result_predicate(record, link=Link(1), configuration=(), timestamp_authority="")
        built = provenance_predicate(record, materials=())
    except (KeyError, TypeError) as error:
        raise ContentError(f"It lacks {error}.", file=RECORD_NAME) from None
    sources = signed.predicate.get("configuration")
    built["buildDefinition"]["resolvedDependencies"] = sources
    for name, expected, claimed in (
        (STATEMENT_NAME, found, signed.predicate),
        (PROVENANCE_NAME, built, made.predicate),
    ):
        for claim, value in expected.items():
            if claim not in _BESIDE_RECORD and claimed.get(claim) != value:
                raise ContentError(f"Its {claim} is not what the record says.", file=name)


def _check_journal(path: Path, claimed: Mapping[str, Any]) -> None:
    journal = Journal(path)
    lines = len(_named(JOURNAL_NAME, journal.entries))
    if (lines, journal.head) != (claimed["lines"], claimed["head"]):
        raise ContentError("It does not end where the record says.", file=JOURNAL_NAME)


def _timestamp(
    present: Mapping[str, Path], envelope: bytes, authority: str, trust: Trust
) -> tuple[str, str]:
    """Return the time that a named authority vouches for, and what could not be checked."""
    if TIMESTAMP_NAME not in present:
        asked = f"A time-stamp was asked of {authority}; there is none." if authority else ""
        return "", asked
    if not authority:
        raise ContentError("It was added: no time-stamp was asked for.", file=TIMESTAMP_NAME)
    token = _unsigned(present, TIMESTAMP_NAME)
    if trust.authorities:
        stamped = _named(TIMESTAMP_NAME, lambda: stamped_at(token, envelope, trust.authorities))
        return timestamp(stamped), ""
    _named(TIMESTAMP_NAME, lambda: check_imprint(token, envelope))
    return "", f"The time-stamp of {authority} was not checked: no authority is named."


def _successions(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob(f"*{SUCCESSION_SUFFIX}") if path.is_file())
    if len(found) > _MOST_SUCCESSIONS:
        raise ContentError(f"It holds more than {_MOST_SUCCESSIONS} successions.", file=folder.name)
    return found


def _successor(content: bytes, keys: Mapping[str, SSlibKey]) -> tuple[str, SSlibKey] | None:
    """Return old key id and new key; what no trusted key signed says nothing, for or against."""
    try:
        signed = open_envelope(content, keys, SUCCESSION)
        return signed.key_id, parse_public_key(str(signed.predicate["public_key"]).encode())
    except (EvidenceError, ValueError, KeyError):
        return None
