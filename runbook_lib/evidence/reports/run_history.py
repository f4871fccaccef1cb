"""
The runs of a tenant, from its journal and its folder, in the order of sealing.

Missing and altered runs are detected by digests alone. No signature is checked,
so this does not replace `verify`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from runbook_lib.core.files import read_plain
from runbook_lib.core.index import BundleIndex
from runbook_lib.core.journal import read_lines
from runbook_lib.core.json_text import parse_json
from runbook_lib.core.model import RunStarted
from runbook_lib.core.state import HistoryReader
from runbook_lib.errors import ContentError
from runbook_lib.evidence.chain import (
    STATEMENT_NAME,
    statements_in,
)
from runbook_lib.evidence.record import (
    LARGEST_RECORD,
    RECORD_NAME,
    Record,
    read_record,
)
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, digest


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
    try:
        read_plain(bundle / RECORD_NAME, LARGEST_RECORD)
    except OSError as error:
        raise ContentError(f"It cannot be read: {error.strerror}.", file=RECORD_NAME) from None
    if _fault(bundle, "") is not None:
        raise ContentError("It is not the sealed one.", file=RECORD_NAME)
    return read_record(bundle)


def _run(folder: Path, name: str, announced: BundleIndex | None = None) -> SealedRun:
    bundle = folder / name
    fault = _fault(bundle, announced.sealed.statement if announced else "")
    run_id = announced.run_id if announced else name.rpartition("-")[2]
    number = announced.sealed.sequence if announced else 0
    unknown = SealedRun(run_id, number, name, name.partition("-")[0], fault=fault)
    if fault is not None:
        return unknown
    try:
        record = read_record(bundle)
    except ContentError:
        return replace(unknown, fault=RecordFault.UNREADABLE)
    return replace(
        unknown,
        run_id=record.run_id,
        started_on=record.started_on,
        mode=record.mode,
        sandbox=record.sandbox,
        record=record,
    )


def _fault(bundle: Path, announced: str) -> RecordFault | None:
    """Return the fault of a bundle; `announced` is its statement's SHA-256, if known."""
    if not bundle.is_dir():
        return RecordFault.MISSING
    try:
        statement = read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE)
        record = read_plain(bundle / RECORD_NAME, LARGEST_RECORD)
    except OSError:
        return RecordFault.ALTERED
    is_announced = digest(statement) == announced or not announced
    is_sealed = is_announced and _named_digest(statement) == digest(record)
    return None if is_sealed else RecordFault.ALTERED


def _named_digest(statement: bytes) -> str:
    """Return the SHA-256 of the record in a statement, whoever signed it."""
    try:
        payload = parse_json(base64.b64decode(parse_json(statement)["payload"]))
        named = {
            subject["name"]: str(subject["digest"]["sha256"]) for subject in payload["subject"]
        }
    except (ValueError, LookupError, TypeError):
        return ""
    return named.get(RECORD_NAME, "")
