"""
A fleet's run as a signed statement: begun before any tenant runs, sealed when all have.

An in-toto Statement v1 in a DSSE envelope, as for a single run, over the record and its page.
It claims the digest of every bundle, and its place among the runs of the same tenants file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import FLEET_FOLDER, KEYS_FOLDER
from runbook_lib.core.files import is_there, read_plain, remove, write_parts, write_whole
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.bundle import resource
from runbook_lib.evidence.chain import STATEMENT_NAME, sealing
from runbook_lib.evidence.fleet_record import FLEET_NAME, FleetRecord, read_record
from runbook_lib.evidence.reports.tenants_page import FLEET_PAGE, fleet_page
from runbook_lib.evidence.signing.keys import SigningKey, export_public_key
from runbook_lib.evidence.signing.statement import (
    FLEET,
    LARGEST_ENVELOPE,
    ChainLink,
    digest,
    link_claim,
    sign_statement,
)

FLEET_FILES = (FLEET_NAME, FLEET_PAGE)


def runs_of(evidence: Path, file: str) -> list[FleetRecord]:
    """
    Return the record of each run of the tenants file, without results, in their order.

    Neither names of folders nor times count. Raises `SettingsError` where two records have one
    number, and what `read_record` does.
    """
    paths = evidence.glob(f"{FLEET_FOLDER}/*/{FLEET_NAME}")
    heads = (read_record(path, is_head=True) for path in paths)
    runs = sorted((head for head in heads if head.file == file), key=lambda head: head.number)
    for before, run in pairwise(runs):
        if before.number == run.number:
            names = " and ".join(sorted((before.folder.name, run.folder.name)))
            msg = f"Two records of {file} are number {run.number}: {names}."
            advice = "Find out which of them ran here, and move the folder of the other away."
            raise SettingsError(msg, next_step=advice)
    return runs


def begin(record: FleetRecord) -> None:
    """
    Write the record of a run that begins, or that goes on: as the last of its file.

    Raises like `runs_of`, and `JournalError` after two minutes of waiting for another fleet.
    """
    record.folder.mkdir(parents=True, exist_ok=True)
    with sealing(record.folder.parents[1]):
        record.number = 1 + max((run.number for run in _others(record)), default=0)
        remove(record.folder / STATEMENT_NAME)
        remove(record.folder / FLEET_PAGE)
        record.write()


def seal_fleet(
    record: FleetRecord, key: SigningKey, usual: Mapping[tuple[str, str], int] | None = None
) -> None:
    """
    Write the record and the page of a fleet that has ended, and sign them.

    The page shows `usual`, the usual days of the gates by connector and step.

    Raises `OSError` or `SigningError`; then there is no statement.
    """
    folder, keys = record.folder, record.folder.parents[1] / KEYS_FOLDER
    with sealing(folder.parents[1]):
        record.link = _link_after(_others(record))
        record.write()
        write_parts(folder / FLEET_PAGE, (part.encode() for part in fleet_page(record, usual)))
        files = [resource(folder / name, name) for name in FLEET_FILES]
        envelope = sign_statement(key, files, FLEET, claims(record))
        export_public_key(key, keys)
        write_whole(folder / STATEMENT_NAME, envelope)


def claims(record: FleetRecord) -> dict[str, Any]:
    """Return the statement: the run, its tenants, their bundles, and the statement before it."""
    results = record.results.values()
    outcomes = Counter(result.outcome or result.status.value for result in results)
    run = {
        "fleet_id": record.fleet_id,
        "file": {"name": record.file, "digest": {"sha256": record.file_sha256}},
        "started_on": record.started_on,
        "finished_on": record.finished_on,
        "tenants": len(results),
        "sandbox": sum(result.sandbox for result in results),
        "outcomes": dict(sorted(outcomes.items())),
        "names": [list(name) for name in record.results],
        "left_out": [list(name) for name in record.left_out],
        "without_evidence": [
            [*result.name, result.reason] for result in results if result.bundle is None
        ],
        "bundles": record.bundles,
        "replaced": dict(record.replaced),
    }
    return {"runbook_run": run, "runbook_chain": link_claim(record.link or ChainLink(1))}


def _others(record: FleetRecord) -> list[FleetRecord]:
    """Return the other runs of the same file."""
    runs = runs_of(record.folder.parents[1], record.file)
    return [run for run in runs if run.fleet_id != record.fleet_id]


def _link_after(runs: list[FleetRecord]) -> ChainLink:
    """Return the place after the last of the runs that are signed."""
    signed = [(run.link, run) for run in runs if run.link and is_there(run.folder / STATEMENT_NAME)]
    if not signed:
        return ChainLink(1)
    link, last = max(signed, key=lambda pair: pair[0].sequence)
    statement = digest(read_plain(last.folder / STATEMENT_NAME, LARGEST_ENVELOPE))
    return ChainLink(link.sequence + 1, last.folder.name, statement)
