"""
Verify the runs of fleets: each record against its bundles, and the chain of records.

A record counts only with a statement over it. Every result in it must be what its bundle
says itself, and no bundle of the run may be left out.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from runbook_lib.core.files import is_there, open_plain, read_plain
from runbook_lib.errors import ChainError, ContentError, EvidenceError, ExitCode, SettingsError
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.fleet_chain import check_ends, statement_digest
from runbook_lib.evidence.fleet_record import (
    FLEET_NAME,
    FleetRecord,
    Status,
    TenantResult,
    read_head,
    read_record,
)
from runbook_lib.evidence.fleet_run import result_digest
from runbook_lib.evidence.fleet_seal import claims, fleet_files, sealed_bundles
from runbook_lib.evidence.record import read_record as read_run_record
from runbook_lib.evidence.signing.statement import (
    FLEET,
    LARGEST_ENVELOPE,
    Resource,
    Signed,
    digest,
    open_envelope,
)
from runbook_lib.evidence.verify.verdict import NOT_UNDERSTOOD, Verdict, refusal
from runbook_lib.evidence.verify.verify import Trust, Verified

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


class _Proven(NamedTuple):
    """What a verified bundle proves: the digest of its result, and who signed it."""

    result: str
    key_id: str


@dataclass(frozen=True, slots=True)
class FleetBundles:
    """The verified bundles of fleets in one evidence folder: by run, by folder below it."""

    runs: dict[str, dict[str, _Proven]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, folder: Path, verified: Verified) -> None:
        """Note a verified bundle, if it is of a fleet."""
        if verified.result is None:
            return
        # NOTE: the folder of a sealing that was interrupted is hidden, until the next run.
        is_hidden = folder.name.startswith(".")
        name = str(verified.result.bundle) if is_hidden else "/".join(folder.parts[-3:])
        proven = _Proven(result_digest(verified.result), verified.key_id)
        self.runs[verified.fleet_id][name] = proven


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
    Yield a verdict for each fleet's run in `home`, then one for each chain that is refused.

    `bundles` are the verified ones of the same evidence folder. Raises `OSError` where the
    runs cannot be seen.
    """
    chains: dict[str, list[FleetRecord]] = defaultdict(list)
    for folder in runs_in(home):
        verdict = _verdict(folder, trust, bundles)
        with suppress(EvidenceError, SettingsError, OSError):
            head = read_head(folder / FLEET_NAME)
            chains[head.file].append(head)
        yield verdict
    for chain in chains.values():
        try:
            _check_chain(chain)
        except ChainError as error:
            yield Verdict(home, error=error)


def _verdict(folder: Path, trust: Trust, bundles: FleetBundles) -> Verdict:
    try:
        record, signed = check_signed(folder, trust)
        proven = bundles.runs.get(record.fleet_id, {})
        for result in record.results.values():
            _check_result(record, result, proven)
        _check_all_named(record, proven)
    except (EvidenceError, OSError) as error:
        return refusal(folder, error)
    except SettingsError as error:
        return refusal(folder, ContentError(str(error), file=FLEET_NAME))
    except NOT_UNDERSTOOD as error:
        msg = f"It is signed, but cannot be understood ({type(error).__name__})."
        return refusal(folder, ContentError(msg))
    home = folder.parent
    absent = [run.fleet_id for run in record.previous if not any(home.glob(f"*-{run.fleet_id}"))]
    notes = [
        f"The run {fleet_id} before it had not ended; its record is not here."
        for fleet_id in absent
    ]
    return Verdict(folder, fleet={**signed.predicate, "key_id": signed.key_id}, notes=tuple(notes))


def check_signed(folder: Path, trust: Trust) -> tuple[FleetRecord, Signed]:
    """
    Return the record in `folder` and its statement, whose signature and files are checked.

    What the record says of a bundle is not compared with it. Raises `EvidenceError`,
    `SettingsError` or `OSError`.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ContentError("It is not a folder.")
    record = read_record(folder / FLEET_NAME)
    if not is_there(folder / STATEMENT_NAME):
        raise ContentError(_UNFINISHED, file=FLEET_NAME, next_step=_RESUME)
    evidence = folder.parent.parent
    for path in sorted(folder.iterdir()):
        if path not in (*fleet_files(folder), folder / STATEMENT_NAME):
            raise ContentError("It was added: the statement does not name it.", file=path.name)
    content = read_plain(folder / STATEMENT_NAME, LARGEST_ENVELOPE, follows_links=False)
    signed = open_envelope(content, trust.keys, FLEET)
    for subject in signed.subjects:
        _check(evidence, subject)
    _check_names(record, {subject.name for subject in signed.subjects})
    if not folder.name.endswith(f"-{record.fleet_id}"):
        raise ContentError(f"It is the run {record.fleet_id}, under another name.")
    if claims(record) != signed.predicate:
        raise ContentError("The statement says something else.", file=FLEET_NAME)
    return record, signed


def _check(evidence: Path, subject: Resource) -> None:
    """Raise unless a file is the one that was signed."""
    parts = PurePosixPath(subject.name).parts
    if subject.name.startswith("/") or ".." in parts or "\\" in subject.name:
        msg = f"It names {subject.name!r}, a path that leads out of the evidence."
        raise ContentError(msg, file=STATEMENT_NAME)
    try:
        with open_plain(evidence / subject.name, follows_links=False) as file:
            content = file.read(subject.size + 1)
    except FileNotFoundError:
        raise ContentError("It is missing.", file=subject.name) from None
    if len(content) != subject.size or digest(content) != subject.sha256:
        raise ContentError("It was altered since the fleet was signed.", file=subject.name)


def _check_names(record: FleetRecord, named: set[str]) -> None:
    """Raise unless exactly the fleet's files and the record's bundles are signed."""
    evidence = record.folder.parent.parent
    paths = (*fleet_files(record.folder), *sealed_bundles(record, evidence))
    expected = {path.relative_to(evidence).as_posix() for path in paths}
    if missing := sorted(expected - named):
        raise ContentError(f"It does not name {missing[0]}.", file=STATEMENT_NAME)
    if others := sorted(named - expected):
        raise ContentError(f"The record does not name {others[0]}.", file=FLEET_NAME)
    if both := sorted(record.results.keys() & set(record.left_out)):
        msg = f"It has a result of {both[0][0]}, and says that it was left out."
        raise ContentError(msg, file=FLEET_NAME)


def _check_result(record: FleetRecord, result: TenantResult, proven: Mapping[str, _Proven]) -> None:
    """Raise unless a result is what its bundle says, and empty if nothing was sealed."""
    if result.exit_code not in _CODES.get(result.outcome or result.status, ()):
        kind = result.outcome or result.status
        msg = f"It gives {result.tenant} the exit code {result.exit_code}, though it is {kind}."
        raise ContentError(msg, file=FLEET_NAME)
    if result.status is not Status.SEALED:
        if result.outcome or result.run_id or result.bundle or result.steps:
            msg = f"It gives {result.tenant} a result, though nothing was sealed."
            raise ContentError(msg, file=FLEET_NAME)
        return
    bundle = str(result.bundle)
    if bundle not in proven:
        msg = f"It rests on {bundle}, which is not a verified bundle of this run."
        raise ContentError(msg, file=FLEET_NAME)
    if result_digest(result) != proven[bundle].result:
        differs = _difference(record.folder.parent.parent / bundle, result)
        msg = f"It says {differs} of {result.tenant}, which its bundle contradicts."
        raise ContentError(msg, file=FLEET_NAME)


def _difference(bundle: Path, result: TenantResult) -> str:
    """Return in words how a result differs from its bundle, which was verified."""
    record = read_run_record(bundle)
    if record.outcome != result.outcome:
        return str(result.outcome)
    if record.sandbox != result.sandbox:
        return "SANDBOX" if result.sandbox else "that it is not SANDBOX"
    own = {step.id: step for step in record.steps}
    for step in result.steps:
        same = own.get(step["id"])
        if any(
            getattr(same, name, None) != value for name, value in step.items() if name != "wait"
        ):
            return f"{step['outcome']} at {step['id']}"
    return "something else"


def _check_all_named(record: FleetRecord, proven: Mapping[str, _Proven]) -> None:
    """Raise if a bundle of the run is left out, or a bundle of another run is named."""
    counted = {str(result.bundle) for result in record.results.values() if result.bundle}
    if foreign := sorted(set(record.replaced) - proven.keys()):
        msg = f"It names {foreign[0]}, which is not a verified bundle of this run."
        raise ContentError(msg, file=FLEET_NAME)
    if left := sorted(proven.keys() - counted - set(record.replaced)):
        raise ContentError(f"It leaves out {left[0]}, a bundle of this run.", file=FLEET_NAME)


def _check_chain(chain: Sequence[FleetRecord]) -> None:
    """Raise `ChainError` unless the records of one file follow each other, and none is missing."""
    check_ends(chain)
    by_id = {head.fleet_id: head for head in chain}
    for head in chain:
        for previous in head.previous:
            before = by_id.get(previous.fleet_id)
            if before is None and previous.statement:
                missing = f"The record of the run {previous.fleet_id}, before {head.folder.name},"
                raise ChainError(f"{missing} is missing.")
            if before and previous.statement not in (None, statement_digest(before.folder)):
                msg = f"{head.folder.name} does not follow the statement in {before.folder.name}."
                raise ChainError(msg)
