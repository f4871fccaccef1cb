"""
The files of a bundle, as a signed statement names them.

Nothing in a bundle counts before the signature of a trusted key is checked, and no file is read
beyond its signed size.
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
from typing import TYPE_CHECKING

from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import kind_of, open_plain
from runbook_lib.errors import ContentError, EvidenceError
from runbook_lib.evidence.bundle import STATEMENT_NAME, TIMESTAMP_NAME, UNSIGNED
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    Resource,
    SignedStatement,
    digest,
    open_envelope,
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


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """The trust anchors of a verifier."""

    keys: Mapping[str, SSlibKey]
    """Key id → the public key."""

    authorities: Sequence[Certificate] = ()
    """The trusted time-stamp authorities."""


def read_signed(
    folder: Path,
    trust: TrustAnchors,
    kind: str,
    *,
    needed: Collection[str],
    looked_into: Collection[str],
    check_form: Callable[[SignedStatement], None] = lambda _: None,
) -> tuple[Mapping[str, Path], bytes, SignedStatement, Mapping[str, bytes]]:
    """
    Verify the statement of the type `kind` over the files in `folder`.

    It returns the files, the statement's envelope, the statement, and the contents of the files in
    `looked_into`. The statement must name the files `needed`. Raises an `EvidenceError`, with the
    file and the reason, or `OSError`.
    """
    present = _present(folder)
    envelope = _read(present, STATEMENT_NAME)
    with in_file(STATEMENT_NAME):
        signed = open_envelope(envelope, trust.keys, kind)
        check_form(signed)
    signed_files = {name: path for name, path in present.items() if name not in UNSIGNED}
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
