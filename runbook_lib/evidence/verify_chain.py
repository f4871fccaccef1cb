"""
Verifying what a tenant's bundles say together: none is missing, swapped or re-ordered.

Finds bundles below a path, verifies each, and follows their chain and the
tenant's journal. A verdict is given for each; one that is refused does not
stop the others.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook_lib.errors import ChainError, ContentError, EvidenceError, SettingsError
from runbook_lib.evidence.bundle import bundle_name
from runbook_lib.evidence.chain import STATEMENT_NAME, SealedBundle, sealed_bundles
from runbook_lib.evidence.verify import Trust, Verified, verify_bundle
from runbook_lib.journal import Journal
from runbook_lib.workspace import KEYS_FOLDER

__all__ = ["Verdict", "verify_tree"]

_BUNDLE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_JOURNAL = "journal.jsonl"
_DEEPEST = 4
_LARGEST_JOURNAL = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What was found of one bundle (`verified`), or of a tenant's whole chain (its `length`).

    With an `error`, of whichever is refused.
    """

    path: Path
    verified: Verified | None = None
    error: EvidenceError | None = None
    length: int = 0

    def document(self) -> dict[str, Any]:
        """Return this as the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {"path": str(self.path), "accepted": self.error is None}
        if self.error is not None:
            kind = type(self.error).__name__.removesuffix("Error").lower()
            return {**document, "refused": kind, "file": self.error.file, "reason": str(self.error)}
        if self.verified is None:
            return {**document, "chain": self.length}
        return {**document, **asdict(self.verified)}


def verify_tree(path: Path, trust: Trust) -> Iterator[Verdict]:
    """
    Yield a verdict for each bundle at or below `path`, and for each tenant's chain.

    Raises `SettingsError` where there is no evidence at all.
    """
    path = path.resolve()
    if _is_bundle(path):
        yield _verdict(path, trust.with_successors(path.parent.parent / KEYS_FOLDER))
        return
    tenants = list(_tenants(path, _DEEPEST))
    if not tenants:
        msg = f"There is no evidence in {path}: no bundle, and no tenant's folder."
        raise SettingsError(msg)
    for tenant in tenants:
        yield from _verify_tenant(tenant, trust.with_successors(tenant.parent / KEYS_FOLDER))


def _is_bundle(path: Path) -> bool:
    return bool(_BUNDLE.fullmatch(path.name)) or (path / STATEMENT_NAME).is_file()


def _tenants(path: Path, depth: int) -> Iterator[Path]:
    """Yield the folders at or below `path` that hold bundles or a journal."""
    if not path.is_dir():
        return
    below = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink())
    if (path / _JOURNAL).is_file() or any(_is_bundle(folder) for folder in below):
        yield path
    elif depth:
        for folder in below:
            yield from _tenants(folder, depth - 1)


def _verify_tenant(tenant: Path, trust: Trust) -> Iterator[Verdict]:
    folders = sorted(path for path in tenant.iterdir() if path.is_dir() and _is_bundle(path))
    verified: dict[str, Verified] = {}
    for folder in folders:
        verdict = _verdict(folder, trust)
        if verdict.verified is not None:
            verified[folder.name] = verdict.verified
        yield verdict
    refused = {folder.name for folder in folders} - set(verified)
    try:
        _check_chain(tenant, verified, refused, trust)
    except EvidenceError as error:
        yield Verdict(tenant, error=error)
    else:
        yield Verdict(tenant, length=len(verified))


def _verdict(folder: Path, trust: Trust) -> Verdict:
    try:
        verified = verify_bundle(folder, trust)
        _check_name(folder, verified)
    except EvidenceError as error:
        return Verdict(folder, error=error)
    except OSError as error:
        reason = f"It cannot be read: {error.strerror or type(error).__name__}."
        return Verdict(folder, error=ContentError(reason, file=Path(error.filename or "").name))
    return Verdict(folder, verified=verified)


def _check_name(folder: Path, verified: Verified) -> None:
    """Raise where a bundle lies under the name of another run."""
    name = bundle_name(verified.run["started_on"], verified.run["run_id"])
    if _BUNDLE.fullmatch(folder.name) and folder.name != name:
        raise ContentError(f"It is the bundle {name}, under the name of another.")


def _check_chain(
    tenant: Path, verified: Mapping[str, Verified], refused: set[str], trust: Trust
) -> None:
    """Raise where the bundles in order do not make one whole chain, the tenant's own."""
    chain = sorted(verified.values(), key=lambda each: each.link.sequence)
    for each in chain:
        if each.run["tenant"] != tenant.name:
            owner = each.run["tenant"]
            raise ChainError(f"{_called(each)} belongs to the tenant {owner}.")
    journal = Journal(tenant / _JOURNAL)
    if journal.path.is_file() and journal.path.stat().st_size > _LARGEST_JOURNAL:
        raise ChainError(f"It has more than {_LARGEST_JOURNAL // 2**20} MiB.", file=_JOURNAL)
    announced = {each.sequence: each for each in sealed_bundles(journal)}
    _check_complete(chain, announced, refused)
    _check_links(chain)
    _check_keys(chain, trust.predecessors)
    if journal.path.is_file():
        _check_journal(chain, announced, journal.path)


def _check_complete(
    chain: Sequence[Verified], announced: Mapping[int, SealedBundle], refused: set[str]
) -> None:
    numbers = Counter(each.link.sequence for each in chain)
    for number in range(1, max([*announced, *numbers, 0]) + 1):
        if numbers[number] > 1:
            raise ChainError(f"Two bundles say that they are number {number} of the chain.")
        expected = announced.get(number)
        name = expected.bundle if expected else ""
        # NOTE: without a journal nobody knows which number a refused bundle had.
        is_refused = name in refused if expected else bool(refused)
        if not numbers[number] and not is_refused:
            raise ChainError(f"Number {number} of the chain is missing{f': {name}' * bool(name)}.")


def _check_links(chain: Sequence[Verified]) -> None:
    by_number = {each.link.sequence: each for each in chain}
    for number, each in by_number.items():
        before = by_number.get(number - 1)
        if (number == 1 and each.link.sha256) or (before and each.link.sha256 != before.statement):
            raise ChainError(f"{_called(each)} does not follow the statement before it.")


def _check_keys(chain: Sequence[Verified], predecessors: Mapping[str, str]) -> None:
    """Raise where a key signed although another had taken over from it."""
    retired: set[str] = set()
    for each in chain:
        if each.key_id in retired:
            raise ChainError(f"{_called(each)} is signed by a key that had been succeeded before.")
        key = each.key_id
        while key in predecessors and predecessors[key] not in retired:
            key = predecessors[key]
            retired.add(key)


def _check_journal(
    chain: Sequence[Verified], announced: Mapping[int, SealedBundle], journal: Path
) -> None:
    """Raise where the tenant's journal tells another story than its bundles."""
    heads = [hashlib.sha256(line).hexdigest() for line in _lines(journal)]
    for each in chain:
        known = announced.get(each.link.sequence)
        if known is None or known.statement != each.statement:
            raise ChainError(f"The tenant's journal did not announce {_called(each)}.")
        claimed = each.run["journal"]
        if claimed["head"] not in heads[claimed["lines"] - 1 : claimed["lines"]]:
            raise ChainError(f"The tenant's journal is not the one that {_called(each)} copied.")


def _lines(journal: Path) -> Iterator[bytes]:
    with journal.open("rb") as file:
        yield from file


def _called(each: Verified) -> str:
    return f"Number {each.link.sequence} ({each.run['run_id']})"
