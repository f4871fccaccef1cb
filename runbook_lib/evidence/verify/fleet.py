"""Verify the statement over a fleet's run: its record, and every bundle that it names."""

from __future__ import annotations

import base64
import errno
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from runbook_lib.config.workspace import FLEET_FOLDER
from runbook_lib.core.files import open_plain, read_plain
from runbook_lib.core.json_text import parse_json
from runbook_lib.errors import ContentError, EvidenceError, SettingsError
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.fleet_record import FLEET_NAME, FleetRecord, read_record
from runbook_lib.evidence.fleet_seal import claims, fleet_files, sealed_bundles
from runbook_lib.evidence.signing.statement import (
    FLEET,
    LARGEST_ENVELOPE,
    Resource,
    digest,
    open_envelope,
)
from runbook_lib.evidence.verify.discovery import is_there
from runbook_lib.evidence.verify.verdict import NOT_UNDERSTOOD, Verdict, refusal
from runbook_lib.evidence.verify.verify import Trust

__all__ = ["fleets_below", "verify_fleet"]

_UNSIGNED = "Its run has not ended, so nothing is signed."


def fleets_below(path: Path) -> Iterator[Path]:
    """
    Yield the folder of each fleet's run at or under `path`, oldest first.

    Raises `OSError` where those cannot be seen.
    """
    home = path if path.name == FLEET_FOLDER else path / FLEET_FOLDER
    for folder in (path, *_folders(home)):
        if folder.parent.name == FLEET_FOLDER and is_there(folder / FLEET_NAME):
            yield folder


def _folders(home: Path) -> list[Path]:
    try:
        if home.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and links are not followed")
        return sorted(home.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def verify_fleet(folder: Path, trust: Trust) -> Verdict:
    """Return the verdict on the run of a fleet in `folder`, whose bundles lie two above it."""
    try:
        return _verified(folder, trust)
    except (EvidenceError, OSError) as error:
        return refusal(folder, error)
    except SettingsError as error:
        return refusal(folder, ContentError(str(error), file=FLEET_NAME))
    except NOT_UNDERSTOOD as error:
        said = f"It is signed, but cannot be understood ({type(error).__name__})."
        return refusal(folder, ContentError(said))


def _verified(folder: Path, trust: Trust) -> Verdict:
    record = read_record(folder / FLEET_NAME)
    if record.finished_on is None and not is_there(folder / STATEMENT_NAME):
        return Verdict(folder, fleet=claims(record), notes=(_UNSIGNED,))
    evidence = folder.parent.parent
    for path in sorted(folder.iterdir()):
        if path not in (*fleet_files(folder), folder / STATEMENT_NAME):
            raise ContentError("It was added: the statement does not name it.", file=path.name)
    content = _read(folder / STATEMENT_NAME)
    signed = open_envelope(content, trust.keys, FLEET)
    for subject in signed.subjects:
        _check(evidence, subject)
    _check_names(record, {each.name for each in signed.subjects})
    for result in record.results.values():
        if result.bundle is not None:
            _check_outcome(evidence / result.bundle, result.run_id, result.outcome)
    found = claims(record)
    if found != signed.predicate:
        raise ContentError("The statement says something else.", file=FLEET_NAME)
    return Verdict(folder, fleet={**found, "key_id": signed.key_id})


def _read(path: Path) -> bytes:
    """Return the content of a statement; raise where it is missing, or too large."""
    try:
        return read_plain(path, LARGEST_ENVELOPE, follows_links=False)
    except FileNotFoundError:
        raise ContentError("It is missing.", file=path.name) from None


def _check(evidence: Path, subject: Resource) -> None:
    """Raise unless a file is the one that was signed."""
    parts = PurePosixPath(subject.name).parts
    if subject.name.startswith("/") or ".." in parts or "\\" in subject.name:
        msg = f"It names {subject.name!r}, a path that leads out of the evidence."
        raise ContentError(msg, file=STATEMENT_NAME)
    try:
        with open_plain(evidence / subject.name, follows_links=False) as file:
            found = file.read(subject.size + 1)
    except FileNotFoundError:
        raise ContentError("It is missing.", file=subject.name) from None
    if len(found) != subject.size or digest(found) != subject.sha256:
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


def _check_outcome(bundle: Path, run_id: str | None, outcome: str | None) -> None:
    """Raise where the record of the fleet says something else of a bundle than it says itself."""
    envelope: dict[str, Any] = parse_json(_read(bundle / STATEMENT_NAME))
    run = parse_json(base64.b64decode(envelope["payload"]))["predicate"]["runbook_run"]
    if (run["run_id"], run["outcome"]) != (run_id, outcome):
        msg = f"It says {outcome} of {bundle.parent.parent.name}, whose bundle says otherwise."
        raise ContentError(msg, file=FLEET_NAME)
