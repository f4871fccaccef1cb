"""
The sealed record and lines of a bundle, for a report that is built again.

An altered file is detected by its digest alone. No signature is checked, so this does not
replace `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runbook_lib.core.files import JOURNAL_NAME, read_plain
from runbook_lib.errors import ChainError, ContentError, reported_as
from runbook_lib.evidence.bundle import OLDER_NAME, STATEMENT_NAME
from runbook_lib.evidence.record import LARGEST_RECORD, RECORD_NAME, parse_record
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, claimed_statement, digest
from runbook_lib.run.journal import Line, parse_line
from runbook_lib.run.state import RunState


class _SealedFile(NamedTuple):
    """SHA-256 and size of a file, as the statement names them."""

    sha256: str
    size: int


def sealed_record(bundle: Path) -> RunState:
    """Return the record in `bundle`; raises `ContentError` if it is not the sealed one."""
    if not bundle.is_dir():
        raise ContentError(f"There is no bundle {bundle}.")
    return parse_record(_content(bundle, RECORD_NAME, _sealed_files(bundle)))


def sealed_lines(bundle: Path) -> list[Line]:
    """
    Return the lines in `bundle`, in the order of their numbers.

    Raises `ContentError` if a file is not the sealed one, or has something else than lines.
    """
    sealed = _sealed_files(bundle)
    names = [*([OLDER_NAME] if OLDER_NAME in sealed else []), JOURNAL_NAME]
    return [line for name in names for line in _lines_in(_content(bundle, name, sealed), name)]


def _lines_in(content: bytes, name: str) -> Iterator[Line]:
    for number, text in enumerate(content.splitlines(keepends=True), 1):
        try:
            yield parse_line(text, f"Its line {number}")
        except ChainError as error:
            raise ContentError(str(error), file=name) from None


def _content(bundle: Path, name: str, sealed: dict[str, _SealedFile]) -> bytes:
    """Return the content of a file; raises `ContentError` if it is not the sealed one."""
    expected = sealed.get(name, _SealedFile("", 0))
    with reported_as(ContentError, "It cannot be read", file=name):
        content = read_plain(bundle / name, max(expected.size, LARGEST_RECORD))
    if digest(content) != expected.sha256:
        raise ContentError("It is not the sealed one.", file=name)
    return content


def _sealed_files(bundle: Path) -> dict[str, _SealedFile]:
    """Return the files that the bundle's statement names, by name; none without a statement."""
    try:
        statement = read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE)
        return {
            subject["name"]: _SealedFile(
                str(subject["digest"]["sha256"]), int(subject["annotations"]["size"])
            )
            for subject in claimed_statement(statement)["subject"]
        }
    except (ContentError, OSError, ValueError, LookupError, TypeError):
        return {}
