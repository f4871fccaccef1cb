"""
The signature over a fleet's run: its record, its page, and the statement of each bundle.

An in-toto Statement v1 in a DSSE envelope, as for a single run. Names are relative to the
evidence folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.core.files import remove, write_parts, write_whole
from runbook_lib.evidence.bundle import resource
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.fleet_chain import refresh
from runbook_lib.evidence.fleet_record import FLEET_NAME, FleetRecord
from runbook_lib.evidence.reports.fleet_page import PAGE_NAME, fleet_page
from runbook_lib.evidence.signing.keys import SigningKey, export_public_key
from runbook_lib.evidence.signing.statement import FLEET, sign_statement


def seal_fleet(record: FleetRecord, key: SigningKey) -> None:
    """
    Write the record and the page of a fleet that has ended, and sign them.

    Raises `OSError` or `SigningError`; then there is no statement.
    """
    evidence = record.folder.parent.parent
    record.previous = refresh(record.previous, record.folder.parent)
    record.write()
    write_parts(record.folder / PAGE_NAME, (part.encode() for part in fleet_page(record)))
    paths = (*fleet_files(record.folder), *sealed_bundles(record, evidence))
    subjects = [resource(path, path.relative_to(evidence).as_posix()) for path in paths]
    envelope = sign_statement(key, subjects, FLEET, claims(record))
    export_public_key(key, evidence / KEYS_FOLDER)
    write_whole(record.folder / STATEMENT_NAME, envelope)


def unseal_fleet(record: FleetRecord) -> None:
    """Remove statement and page of a fleet that goes on: what they say changes."""
    remove(record.folder / STATEMENT_NAME)
    remove(record.folder / PAGE_NAME)


def claims(record: FleetRecord) -> dict[str, Any]:
    """Return what the statement says beside the digests: whose run, of whom, what came of it."""
    results = record.results.values()
    outcomes = Counter(result.outcome or result.status.value for result in results)
    return {
        "fleet_id": record.fleet_id,
        "file": {"name": record.file, "digest": {"sha256": record.file_sha256}},
        "previous": [asdict(run) for run in record.previous],
        "started_on": record.started_on,
        "finished_on": record.finished_on,
        "tenants": len(results),
        "sandbox": sum(result.sandbox for result in results),
        "outcomes": dict(sorted(outcomes.items())),
        "names": [list(name) for name in record.results],
        "left_out": [list(name) for name in record.left_out],
    }


def fleet_files(folder: Path) -> tuple[Path, ...]:
    """Return what is signed of a fleet's own folder."""
    return folder / FLEET_NAME, folder / PAGE_NAME


def sealed_bundles(record: FleetRecord, evidence: Path) -> Iterator[Path]:
    """Yield the statement of each bundle in a record."""
    counted = [result.bundle for result in record.results.values() if result.bundle is not None]
    for bundle in (*counted, *record.replaced):
        yield evidence / bundle / STATEMENT_NAME
