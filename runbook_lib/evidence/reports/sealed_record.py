"""
The sealed record of a bundle, for a report that is built again.

An altered record is detected by its digest alone. No signature is checked, so this does not
replace `verify`.
"""

from __future__ import annotations

from pathlib import Path

from runbook_lib.core.files import read_plain
from runbook_lib.errors import ContentError
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.record import RECORD_NAME, Record, parse_record, record_text
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, claimed_statement, digest


def sealed_record(bundle: Path) -> Record:
    """Return the record in `bundle`; raises `ContentError` if it is not the sealed one."""
    if not bundle.is_dir():
        raise ContentError(f"There is no bundle {bundle}.")
    content = record_text(bundle)
    if digest(content) != _sealed_digest(bundle):
        raise ContentError("It is not the sealed one.", file=RECORD_NAME)
    return parse_record(content)


def _sealed_digest(bundle: Path) -> str:
    """Return the SHA-256 of the record in the bundle's statement; empty without one."""
    try:
        statement = read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE)
        subjects = claimed_statement(statement)["subject"]
        named = {subject["name"]: str(subject["digest"]["sha256"]) for subject in subjects}
    except (ContentError, OSError, ValueError, LookupError, TypeError):
        return ""
    return named.get(RECORD_NAME, "")
