"""
The runs of a tenant, from its journal and its folder, in the order of sealing.

Missing and altered runs are detected by digests alone. No signature is checked,
so this does not replace `verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from runbook_lib.core.files import read_plain
from runbook_lib.core.index import BundleIndex
from runbook_lib.core.journal import read_lines
from runbook_lib.core.model import RunStarted
from runbook_lib.core.state import HistoryReader
from runbook_lib.errors import ContentError
from runbook_lib.evidence.chain import STATEMENT_NAME, statements_in
from runbook_lib.evidence.record import (
    RECORD_NAME,
    Record,
    parse_record,
    read_record,
    record_text,
)
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, claimed_statement, digest


class RecordFault(StrEnum):
    """Why the outcome of a run is not shown."""

    MISSING = "missing"
    ALTERED = "altered"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class SealedRun:
    """
    A sealed run: `number` in the chain (0 if the journal does not announce it).

    With a `fault` there is no `record`, and only what the journal says about its start
    is known: `mode` may be empty, and what does not say so counts as practice.
    """

    run_id: str
    number: int
    bundle: str
    started_on: str
    mode: str = ""
    sandbox: bool = True
    record: Record | None = None
    fault: RecordFault | None = None


def sealed_runs(reader: HistoryReader) -> list[SealedRun]:
    """
    Return each run that the journal announces, in that order, then the others beside it.

    The order does not depend on clocks, which may have been set back.
    """
    folder = reader.journal.path.parent
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    names = [path.parent.name for path in statements_in(folder)]
    announced = reader.read().index.sealed
    known = {line.sealed.bundle for line in announced}
    runs = [_run(folder, line.sealed.bundle, line) for line in announced]
    runs += [_run(folder, name) for name in names if name not in known]
    if not any(run.fault for run in runs):
        return runs
    begun = {
        entry.run_id: entry
        for entry, _ in read_lines(reader.journal.path)
        if isinstance(entry.data, RunStarted)
    }
    return [
        replace(run, mode=entry.data.mode, sandbox=entry.data.sandbox, started_on=entry.at)
        if run.fault and (entry := begun.get(run.run_id))
        else run
        for run in runs
    ]


def sealed_record(bundle: Path) -> Record:
    """Return the record in `bundle`; raises `ContentError` if it is not the sealed one."""
    if not bundle.is_dir():
        raise ContentError(f"There is no bundle {bundle}.")
    content = record_text(bundle)
    if _fault(bundle, "") is not None:
        raise ContentError("It is not the sealed one.", file=RECORD_NAME)
    return parse_record(content)


def _run(folder: Path, name: str, announced: BundleIndex | None = None) -> SealedRun:
    bundle = folder / name
    fault = _fault(bundle, announced.sealed.statement if announced else "")
    run_id = announced.run_id if announced else name.rpartition("-")[2]
    number = announced.sealed.sequence if announced else 0
    try:
        record = None if fault else read_record(bundle)
    except ContentError:
        record, fault = None, RecordFault.UNREADABLE
    if record is None:
        return SealedRun(run_id, number, name, name.partition("-")[0], fault=fault)
    return SealedRun(
        record.run_id, number, name, record.started_on, record.mode, record.sandbox, record
    )


def _fault(bundle: Path, announced: str) -> RecordFault | None:
    """Return the fault of a bundle; `announced` is its statement's SHA-256, if known."""
    if not bundle.is_dir():
        return RecordFault.MISSING
    try:
        statement = read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE)
        record = record_text(bundle)
        subjects = claimed_statement(statement)["subject"]
        named = {subject["name"]: str(subject["digest"]["sha256"]) for subject in subjects}
    except (ContentError, OSError, ValueError, LookupError, TypeError):
        return RecordFault.ALTERED
    is_announced = digest(statement) == announced or not announced
    is_sealed = is_announced and named.get(RECORD_NAME) == digest(record)
    return None if is_sealed else RecordFault.ALTERED
