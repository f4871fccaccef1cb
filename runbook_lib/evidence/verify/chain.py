"""
Verify a tenant's bundles together: none is missing, swapped or reordered.

Finds the bundles under a path, verifies each, and follows their chain and the
tenant's journal. Each gets a verdict; a rejected one does not stop the others.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.journal import GENESIS, JOURNAL_NAME, EventType, Ref, read_lines
from runbook_lib.errors import (
    ChainError,
    ContentError,
    EvidenceError,
    JournalError,
    SettingsError,
)
from runbook_lib.evidence.bundle import bundle_name
from runbook_lib.evidence.chain import SealedBundle, announcement
from runbook_lib.evidence.parts import part_lines
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, SUCCESSION_SUFFIX
from runbook_lib.evidence.verify.discovery import (
    Unseen,
    bundles_in,
    has_bundle_name,
    homes_below,
    is_bundle,
    is_there,
    odd_keys,
    unfinished_in,
)
from runbook_lib.evidence.verify.verify import Trust, Verified, verify_bundle

__all__ = ["Verdict", "verify_tree"]

_LARGEST_JOURNAL = 256 * 1024 * 1024
_NO_JOURNAL = "The tenant's journal is not here: only it shows whether later runs were removed."
_UNSEALED = "Nothing is sealed yet."
# Errors from a document with other fields or types than the runbook writes.
_NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The verdict on one bundle (`verified`), or on a tenant's whole chain (its `length`).

    `error` is set if it is rejected. `notes` say what a chain does not show.
    """

    path: Path
    verified: Verified | None = None
    error: EvidenceError | None = None
    length: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_unsealed(self) -> bool:
        """Return whether this is about a tenant without any sealed bundle."""
        return self.verified is None and self.error is None and not self.length

    def document(self) -> dict[str, Any]:
        """Return the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {"path": str(self.path), "accepted": self.error is None}
        if self.error is not None:
            kind = type(self.error).__name__.removesuffix("Error").lower()
            return {**document, "refused": kind, "file": self.error.file, "reason": str(self.error)}
        if self.verified is None:
            return {**document, "chain": self.length, "notes": self.notes}
        return {**document, **asdict(self.verified)}


@dataclass(frozen=True, slots=True)
class _Journal:
    """A tenant's journal: the announced bundles by number, and the lines that bundles name."""

    announced: Mapping[int, SealedBundle]
    lines: Mapping[int, Ref]


def verify_tree(path: Path, trust: Trust, connector: str = "") -> Iterator[Verdict]:
    """
    Yield a verdict for each bundle at or under `path`, and for each tenant's chain.

    With `connector`, only for the bundles and chains of that one. Raises
    `SettingsError` if there is no evidence at all.
    """
    path = Path(os.path.realpath(path))
    if is_bundle(path):
        trust, refusals = _trusting(trust, keys_beside(path.parent))
        yield from refusals
        yield _of_connector(_verdict(path, trust, path.name), connector)
        return
    is_sealed, trusts = False, dict[Path, Trust]()
    for home in homes_below(path) if _is_searched(path) else ():
        if isinstance(home, Unseen):
            is_sealed = True
            yield Verdict(home.path, error=ContentError(home.why, file=home.name))
            continue
        if connector and home.name != connector:
            continue
        keys = keys_beside(home)
        if keys not in trusts:
            trusts[keys], refusals = _trusting(trust, keys)
            yield from refusals
            for odd in odd_keys(keys, (PUBLIC_SUFFIX, SUCCESSION_SUFFIX)):
                yield Verdict(odd.path, error=ContentError(odd.why, file=odd.name))
        for verdict in _verify_home(home, trusts[keys]):
            is_sealed = is_sealed or not verdict.is_unsealed
            yield verdict
    if not is_sealed:
        of = f" of {connector}" if connector else ""
        msg = f"There is no evidence{of} in {path}: nothing is sealed there."
        advice = "Name a bundle, a tenant's folder, or the evidence folder."
        raise SettingsError(msg, next_step=advice)


def _is_searched(path: Path) -> bool:
    """Return whether there is something other than a regular file at `path`."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return is_there(path)


def _trusting(trust: Trust, keys: Path) -> tuple[Trust, list[Verdict]]:
    """Return the trust with the successors in `keys`, or a verdict that rejects those."""
    try:
        return trust.with_successors(keys), []
    except (EvidenceError, OSError) as error:
        return trust, [_refusal(keys, error)]


def _verify_home(home: Path, trust: Trust) -> Iterator[Verdict]:
    # NOTE: the journal's end is read before the folders, so a bundle that is sealed meanwhile does
    # not look missing.
    end = _journal_end(home)
    try:
        folders = bundles_in(home)
    except (EvidenceError, OSError) as error:
        yield _refusal(home, error)
        return
    found: dict[str, Verified | None] = {}
    for folder in folders:
        verdict = _verdict(folder, trust, folder.name)
        found[folder.name] = verdict.verified
        yield verdict
    try:
        journal = _journal(home, end, found)
        unfinished = unfinished_in(home, journal.announced.values()) if journal else {}
        for folder, announced in unfinished.items():
            verdict = _verdict(folder, trust, announced.bundle)
            found[announced.bundle] = verdict.verified
            yield verdict
        yield _chain(home, found, _journal(home, end, found) if unfinished else journal, trust)
    except (EvidenceError, JournalError, OSError) as error:
        yield _refusal(home, error)
    except _NOT_UNDERSTOOD as error:
        said = f"Its bundles together cannot be understood ({type(error).__name__})."
        yield Verdict(home, error=ContentError(said))


def _verdict(folder: Path, trust: Trust, name: str) -> Verdict:
    """Return the verdict on the bundle in `folder`, whose final name is `name`."""
    try:
        verified = verify_bundle(folder, trust)
        _check_name(name, verified)
    except (EvidenceError, JournalError, OSError) as error:
        return _refusal(folder, error)
    except _NOT_UNDERSTOOD as error:
        # NOTE: a trusted key may sign something that no runbook writes.
        said = f"It is signed, but cannot be understood ({type(error).__name__})."
        return Verdict(folder, error=ContentError(said))
    return Verdict(folder, verified=verified)


def _of_connector(verdict: Verdict, connector: str) -> Verdict:
    """Return the verdict, or a refusal where the bundle is of another connector."""
    of = verdict.verified.run["procedure"]["id"] if verdict.verified else connector
    if not connector or of == connector:
        return verdict
    return Verdict(verdict.path, error=ContentError(f"It belongs to the connector {of}."))


def _refusal(path: Path, error: EvidenceError | JournalError | OSError) -> Verdict:
    """Return the verdict for an error, also for one of reading."""
    if isinstance(error, EvidenceError):
        return Verdict(path, error=error)
    if isinstance(error, JournalError):
        return Verdict(path, error=ContentError(str(error), file=JOURNAL_NAME))
    reason = f"It cannot be read: {error.strerror or type(error).__name__}."
    return Verdict(path, error=ContentError(reason, file=Path(error.filename or "").name))


def _check_name(name: str, verified: Verified) -> None:
    """Raise if a bundle has the name of another run."""
    own = bundle_name(verified.run["started_on"], verified.run["run_id"])
    if has_bundle_name(Path(name)) and name != own:
        raise ContentError(f"It is the bundle {own}, under another name.")


def _journal_end(home: Path) -> int:
    """Return the current size of a tenant's journal in bytes."""
    try:
        return (home / JOURNAL_NAME).lstat().st_size
    except OSError:
        return 0


def _journal(home: Path, end: int, found: Mapping[str, Verified | None]) -> _Journal | None:
    """
    Read the tenant's journal up to the byte `end`, if there is one, in one pass.

    It keeps only the lines that the bundles in `found` name.
    """
    path = home / JOURNAL_NAME
    if not is_there(path):
        return None
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ContentError("It is not a regular file.", file=JOURNAL_NAME)
    if end > _LARGEST_JOURNAL:
        raise ChainError(f"It has more than {_LARGEST_JOURNAL // 2**20} MiB.", file=JOURNAL_NAME)
    verified = [each for each in found.values() if each]
    wanted = {each.part.lines for each in verified} | _carried(verified).keys()
    bundles, refs = dict[int, SealedBundle](), dict[int, Ref]()
    for line in read_lines(path, end=end):
        if line.entry.type == EventType.BUNDLE_SEALED:
            sealed = announcement(line.entry)
            bundles[sealed.sequence] = sealed
        if line.entry.seq in wanted:
            refs[line.entry.seq] = line.ref
    return _Journal(bundles, refs)


def _chain(
    home: Path, found: Mapping[str, Verified | None], journal: _Journal | None, trust: Trust
) -> Verdict:
    """Return the verdict on a tenant's whole chain; raise if it is rejected."""
    verified = {name: each for name, each in found.items() if each is not None}
    refused = set(found) - set(verified)
    chain = sorted(verified.values(), key=lambda each: each.link.sequence)
    _check_chain(home, chain, refused, journal, trust)
    if journal:
        lines = {seq: ref.digest for seq, ref in journal.lines.items()}
    else:
        lines = _copied({home / name: each for name, each in verified.items()})
    _check_carried(chain, lines)
    if refused:
        numbers = [each.link.sequence for each in chain]
        proven = sum(here == number for number, here in enumerate(numbers, 1))
        raise ChainError(
            f"{proven} in a chain from the first; whether it is complete is not proven, because "
            f"{len(refused)} of {len(found)} {'is' if len(refused) == 1 else 'are'} refused."
        )
    notes = [*([] if journal else [_NO_JOURNAL]), *([] if found else [_UNSEALED])]
    return Verdict(home, length=len(found), notes=tuple(notes))


def _check_chain(
    home: Path, chain: Sequence[Verified], refused: set[str], journal: _Journal | None, trust: Trust
) -> None:
    """Raise unless the bundles form one whole chain of this tenant."""
    for each in chain:
        owner, connector = each.run["tenant"], each.run["procedure"]["id"]
        if owner != home.parent.name:
            raise ChainError(f"{_called(each)} belongs to the tenant {owner}.")
        if connector != home.name:
            raise ChainError(f"{_called(each)} belongs to the connector {connector}.")
    _check_complete(chain, journal.announced if journal else {}, refused)
    _check_links(chain)
    _check_keys(chain, trust.predecessors)
    _check_parts(chain)
    if journal:
        _check_journal(chain, journal)


def _check_complete(
    chain: Sequence[Verified], announced: Mapping[int, SealedBundle], refused: set[str]
) -> None:
    numbers = Counter(each.link.sequence for each in chain)
    for number in range(1, max([*announced, *numbers, 0]) + 1):
        if numbers[number] > 1:
            raise ChainError(f"Two bundles claim to be number {number} of the chain.")
        expected = announced.get(number)
        name = expected.bundle if expected else ""
        # NOTE: without a journal the number of a rejected bundle is unknown.
        is_refused = name in refused if announced else bool(refused)
        if not numbers[number] and not is_refused:
            raise ChainError(f"Number {number} of the chain is missing{f': {name}' * bool(name)}.")


def _check_links(chain: Sequence[Verified]) -> None:
    by_number = {each.link.sequence: each for each in chain}
    for number, each in by_number.items():
        before = by_number.get(number - 1)
        if (number == 1 and each.link.sha256) or (before and each.link.sha256 != before.statement):
            raise ChainError(f"{_called(each)} does not follow the statement before it.")


def _check_parts(chain: Sequence[Verified]) -> None:
    """Raise if the journal lines of a bundle do not start where the previous ones ended."""
    by_number = {each.link.sequence: each for each in chain}
    for number, each in by_number.items():
        before = by_number.get(number - 1)
        begins = (each.part.first - 1, each.part.previous)
        ended = (before.part.lines, before.part.head) if before else (0, GENESIS)
        if (before or number == 1) and begins != ended:
            raise ChainError(
                f"The journal lines of {_called(each)} do not start where the previous ones ended."
            )


def _check_carried(chain: Sequence[Verified], lines: Mapping[int, str]) -> None:
    """Raise if a bundle carries a line that differs from the one in `lines`."""
    for each in chain:
        for seq, sha256 in each.carried:
            if lines.get(seq, sha256) != sha256:
                raise ChainError(f"{_called(each)} carries a line {seq} that is not the journal's.")


def _carried(chain: Iterable[Verified]) -> dict[int, str]:
    """Return the carried lines' digests by number; the last one wins."""
    return {seq: sha256 for each in chain for seq, sha256 in each.carried}


def _copied(bundles: Mapping[Path, Verified]) -> dict[int, str]:
    """Return the digest of each line that one bundle carries and another one copied."""
    wanted = _carried(bundles.values()).keys()
    return {
        line.ref.seq: line.ref.digest
        for folder, each in bundles.items()
        if any(each.part.first <= seq <= each.part.lines for seq in wanted)
        for line in part_lines(folder, each.part)
        if line.ref.seq in wanted
    }


def _check_keys(chain: Sequence[Verified], predecessors: Mapping[str, str]) -> None:
    """Raise if a key signed after another had succeeded it."""
    retired: set[str] = set()
    for each in chain:
        if each.key_id in retired:
            raise ChainError(f"{_called(each)} is signed by a key that was already succeeded.")
        key = each.key_id
        while key in predecessors and predecessors[key] not in retired:
            key = predecessors[key]
            retired.add(key)


def _check_journal(chain: Sequence[Verified], journal: _Journal) -> None:
    """Raise if the tenant's journal contradicts its bundles."""
    for each in chain:
        known = journal.announced.get(each.link.sequence)
        if known is None or known.statement != each.statement:
            raise ChainError(f"The tenant's journal did not announce {_called(each)}.")
        here = journal.lines.get(each.part.lines)
        if here is None or here.digest != each.part.head:
            raise ChainError(f"The tenant's journal is not the one that {_called(each)} copied.")
        if known.last != here._replace(start=0):
            raise ChainError(f"The tenant's journal says that {_called(each)} copied other lines.")


def _called(each: Verified) -> str:
    return f"Number {each.link.sequence} ({each.run['run_id']})"
