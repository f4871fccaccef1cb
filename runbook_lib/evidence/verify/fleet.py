"""
Which bundle counts for a fleet's run, and whether the statement over a run says just that.

A tenant's result counts only from a bundle that names this run and this request, verifies, is
signed by the fleet's key, and is the last of its chain.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import to_builtins

from runbook_lib.config.workspace import journal_path
from runbook_lib.core.files import is_there, read_plain
from runbook_lib.core.json_text import write_json
from runbook_lib.core.state import open_history
from runbook_lib.errors import ChainError, ContentError, ExitCode, SettingsError
from runbook_lib.evidence.chain import STATEMENT_NAME, finish_interrupted
from runbook_lib.evidence.fleet_record import (
    FLEET_NAME,
    FleetRecord,
    Status,
    TenantResult,
    parse_record,
)
from runbook_lib.evidence.fleet_seal import FLEET_FILES, claims
from runbook_lib.evidence.signing.statement import (
    FLEET,
    LARGEST_ENVELOPE,
    claimed_statement,
    digest,
    link_claim,
)
from runbook_lib.evidence.verify.chain import check_order, odd_in, verdict_on
from runbook_lib.evidence.verify.discovery import bundles_in
from runbook_lib.evidence.verify.verdict import Verdict, judged
from runbook_lib.evidence.verify.verify import RunClaims, Trust, Verified, place_of, read_signed

_UNFINISHED = "Its run has not ended: nothing is signed, so nothing in it counts."
_RESUME = "`runbook fleet FILE --resume` ends it; or move its folder away."
# What a result's exit code may be: an archive that refuses leaves a complete run open.
_CODES: Mapping[str, tuple[int | None, ...]] = {
    "complete": (ExitCode.COMPLETE, ExitCode.INCOMPLETE),
    "failed": (ExitCode.FAILED,),
    "incomplete": (ExitCode.INCOMPLETE,),
    Status.PENDING: (None,),
    Status.UNSEALED: (ExitCode.INCOMPLETE, ExitCode.REFUSED),
}


class Proven(NamedTuple):
    """What a verified bundle proves: its result, by its digest, its place in its chain, its key."""

    result: str
    statement: str
    sequence: int
    key_id: str


# The verified bundles of an evidence folder: by the fleet's run, by their folders in it.
FleetBundles = defaultdict[str, dict[str, Proven]]


def counted_result(
    evidence: Path, name: tuple[str, str], run: tuple[str, str], trust: Trust, *, until: str = ""
) -> TenantResult:
    """
    Return what the last bundle of a tenant's connector proves for the fleet's run `run`.

    That is its id and the digest of the tenant's entry. `trust` is in the fleet's key alone.
    `until` is the bundle that was just sealed, which others may follow by now. Raises
    `EvidenceError` with the reason if it does not count, and what reading raises.
    """
    home = journal_path(evidence, *name).parent
    finish_interrupted(home)
    announced = [line.sealed for line in open_history(home).read().index.sealed]
    last = next((each for each in reversed(announced) if until in ("", each.bundle)), None)
    verdict = verdict_on(home / last.bundle, trust, last.bundle) if last else None
    if verdict and verdict.error:
        raise verdict.error
    verified = verdict.verified if verdict else None
    result = verified.result if verified else None
    fleet_id, key = run
    of = verified.fleet_run if verified else None
    if not last or not result or not of or of.id != fleet_id:
        raise ContentError("The last bundle of this tenant does not belong to this run.")
    if result.key != key:
        raise ContentError("The last bundle of this tenant belongs to another request.")
    if (result.name, result.statement) != (name, last.statement):
        raise ContentError("The last bundle of this tenant is not the one that was sealed here.")
    return result


def bundles_of(home: Path, fleet_id: str) -> Iterator[tuple[str, str]]:
    """Yield each bundle in `home` that says it is of this run, with its statement's SHA-256."""
    for bundle in bundles_in(home):
        with suppress(OSError, ValueError, LookupError, TypeError):
            content = read_plain(bundle / STATEMENT_NAME, LARGEST_ENVELOPE, follows_links=False)
            run = claimed_statement(content)["predicate"]["runbook_run"]
            if run["fleet_run"]["id"] == fleet_id:
                yield "/".join(bundle.parts[-3:]), digest(content)


def note_bundle(bundles: FleetBundles, folder: Path, verified: Verified) -> None:
    """Note a verified bundle, if it is of a fleet, and in the place of its tenant."""
    result, sequence = verified.result, verified.link.sequence
    run = verified.fleet_run
    if result and run and folder.parts[-3:-1] == result.name:
        proven = Proven(_digest_of(result), verified.statement, sequence, verified.key_id)
        bundles[run.id][str(result.bundle)] = proven


def runs_in(home: Path) -> list[Path]:
    """Return the folder of each run in `home`; raises `OSError` where those cannot be seen."""
    if home.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and links are not followed")
    names = (FLEET_NAME, STATEMENT_NAME)
    return sorted(
        folder for folder in home.iterdir() if any(is_there(folder / name) for name in names)
    )


def verify_fleets(home: Path, trust: Trust, bundles: FleetBundles) -> Iterator[Verdict]:
    """
    Yield a verdict for each fleet's run in `home`, then one for each chain that is refused or odd.

    `bundles` are the verified ones of the same evidence folder. Raises `OSError` where the
    runs cannot be seen.
    """
    chains: dict[str, list[RunClaims]] = defaultdict(list)
    refused: set[str] = set()

    def verdict_on_run(folder: Path) -> Verdict:
        record, place = check_signed(folder, trust)
        chains[record.file].append(place)
        for fault in _faults(record, place.key_id, bundles[record.fleet_id]):
            raise ContentError(fault, file=FLEET_NAME)
        claimed = {**place.run, **link_claim(place.link), "key_id": place.key_id}
        return Verdict(folder, fleet=claimed)

    for folder in runs_in(home):
        verdict = judged(folder, partial(verdict_on_run, folder))
        if verdict.error and is_there(folder / STATEMENT_NAME):
            refused.add(folder.name)
        yield verdict
    for file, places in chains.items():
        chain = sorted(places, key=lambda place: place.link.sequence)
        try:
            check_order(chain, {}, refused)
        except ChainError as error:
            yield Verdict(home, error=ChainError(f"The records of {file}: {error}"))
        else:
            if odd := tuple(odd_in(chain)):
                yield Verdict(home, length=len(chain), odd=odd)


def check_signed(folder: Path, trust: Trust) -> tuple[FleetRecord, RunClaims]:
    """
    Return the record in `folder`, and what the statement over it proves of its place.

    What the record says of a bundle is not compared with it. Raises `EvidenceError` or `OSError`.
    """
    if not is_there(folder / STATEMENT_NAME):
        raise ContentError(_UNFINISHED, file=FLEET_NAME, next_step=_RESUME)
    _, envelope, signed, contents = read_signed(
        folder, trust, FLEET, needed=FLEET_FILES, looked_into=[FLEET_NAME]
    )
    try:
        record = parse_record(contents[FLEET_NAME], folder / FLEET_NAME)
    except SettingsError as error:
        raise ContentError(str(error), file=FLEET_NAME) from None
    if claims(record) != signed.predicate:
        raise ContentError("It differs from its statement.", file=FLEET_NAME)
    return record, place_of(signed, envelope)


def _faults(record: FleetRecord, key_id: str, proven: Mapping[str, Proven]) -> Iterator[str]:
    """Yield what the record says and the bundles of its run do not, or the other way round."""
    named = {**record.bundles, **record.replaced}
    here = {bundle: each.statement for bundle, each in proven.items()}
    differing = {bundle for bundle, _ in named.items() ^ here.items()}
    for bundle in sorted(differing, key=lambda bundle: (bundle not in named, bundle)):
        if bundle in named:
            yield f"It names {bundle}, which is not a verified bundle of this run."
        yield f"It leaves out {bundle}, a bundle of this run."
    for tenant, _ in sorted(record.results.keys() & set(record.left_out)):
        yield f"It has a result of {tenant}, but says that {tenant} was left out."
    ordered = sorted(proven.items(), key=lambda pair: pair[1].sequence)
    last = set({bundle.rpartition("/")[0]: bundle for bundle, _ in ordered}.values())
    for result in record.results.values():
        own, tenant = proven.get(result.bundle or ""), result.tenant
        if own and _digest_of(result) != own.result:
            yield f"Its result of {tenant} contradicts the tenant's bundle."
        if not own and any((result.outcome, result.run_id, result.statement, result.steps)):
            yield f"It gives {tenant} a result, though nothing was sealed."
        kind = result.outcome or result.status
        if result.exit_code not in _CODES.get(kind, ()):
            yield f"It gives {tenant} the exit code {result.exit_code}, though it is {kind}."
        if own and own.key_id != key_id and not result.sandbox:
            yield f"The bundle of {tenant} is signed by another key than the fleet's."
        if own and result.bundle not in last:
            yield f"It names {result.bundle}, but this run sealed another bundle after it."


def _digest_of(result: TenantResult) -> str:
    """Return the SHA-256 of what a bundle says of a result, in hexadecimal."""
    claimed = replace(result, exit_code=None, reason="", next_step="", seconds=None)
    return digest(write_json(to_builtins(claimed)).encode("utf-8", "surrogatepass"))
