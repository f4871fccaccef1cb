"""
Verify a tenant's bundles together: none is missing, swapped or reordered.

Verifies each, and follows their chain and the tenant's journal. Each gets a verdict; a
rejected one does not stop the others.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from runbook_lib.core.files import JOURNAL_NAME, is_there
from runbook_lib.core.index import IndexedBundle
from runbook_lib.core.journal import GENESIS, LineRef, read_lines
from runbook_lib.core.model import BundleSealed
from runbook_lib.errors import ChainError, ContentError, EvidenceError, JournalError
from runbook_lib.evidence.bundle import bundle_name
from runbook_lib.evidence.chain import last_copied
from runbook_lib.evidence.journal_excerpt import excerpt_lines
from runbook_lib.evidence.verify.discovery import bundles_in, has_bundle_name, unfinished_in
from runbook_lib.evidence.verify.verdict import (
    NOT_UNDERSTOOD,
    Verdict,
    refused_verdict,
    verdict_or_refusal,
)
from runbook_lib.evidence.verify.verify import (
    StatementClaims,
    TrustAnchors,
    VerifiedBundle,
    verify_bundle,
)

_LARGEST_JOURNAL = 256 * 1024 * 1024
NO_JOURNAL = "The tenant's journal is not here: only it shows whether later runs were removed."
_UNSEALED = "Nothing is sealed yet."
# Clocks of machines that write into one folder may differ by so much.
_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _TenantJournal:
    """
    A tenant's journal: the announced bundles by number, and the lines that bundles name.

    `withheld` are its lines that it does not show, as one does that was rebuilt from bundles.
    """

    announced: Mapping[int, IndexedBundle]
    lines: Mapping[int, LineRef]
    withheld: frozenset[int]


def verify_home(home: Path, trust: TrustAnchors) -> Iterator[Verdict]:
    """Yield a verdict for each bundle beside a journal, then one for their chain."""
    # NOTE: the journal's end is read before the folders, so a bundle that is sealed meanwhile does
    # not look missing.
    try:
        end = (home / JOURNAL_NAME).lstat().st_size
    except OSError:
        end = 0
    try:
        folders = bundles_in(home)
    except (EvidenceError, OSError) as error:
        yield refused_verdict(home, error)
        return
    bundles: dict[str, VerifiedBundle | None] = {}
    for folder in folders:
        verdict = verdict_on(folder, trust, folder.name)
        bundles[folder.name] = verdict.verified
        yield verdict
    try:
        journal = _journal(home, end, bundles)
        unfinished = unfinished_in(home, journal.announced.values()) if journal else {}
        for folder, name in unfinished.items():
            verdict = verdict_on(folder, trust, name)
            bundles[name] = verdict.verified
            yield verdict
        yield _chain(home, bundles, _journal(home, end, bundles) if unfinished else journal)
    except (EvidenceError, JournalError, OSError) as error:
        yield refused_verdict(home, error)
    except NOT_UNDERSTOOD as error:
        problem = f"Its bundles together cannot be understood ({type(error).__name__})."
        yield Verdict(home, error=ContentError(problem))


def verdict_on(folder: Path, trust: TrustAnchors, name: str) -> Verdict:
    """Return the verdict on the bundle in `folder`, whose final name is `name`."""

    def verify() -> Verdict:
        verified = verify_bundle(folder, trust)
        own = bundle_name(verified.run["started_on"], verified.run["run_id"])
        if has_bundle_name(Path(name)) and name != own:
            raise ContentError(f"It is the bundle {own}, under another name.")
        return Verdict(folder, verified=verified)

    return verdict_or_refusal(folder, verify)


def _journal(
    home: Path, end: int, bundles: Mapping[str, VerifiedBundle | None]
) -> _TenantJournal | None:
    """
    Read the tenant's journal up to the byte `end`, if there is one, in one pass.

    It keeps only the lines that the bundles in `bundles` name.
    """
    path = home / JOURNAL_NAME
    if not is_there(path):
        return None
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ContentError("It is not a regular file.", file=JOURNAL_NAME)
    if end > _LARGEST_JOURNAL:
        raise ChainError(f"It has more than {_LARGEST_JOURNAL // 2**20} MiB.", file=JOURNAL_NAME)
    verified = [bundle for bundle in bundles.values() if bundle]
    wanted = {bundle.excerpt.lines for bundle in verified} | _carried(verified).keys()
    announced = dict[int, IndexedBundle]()
    refs = dict[int, LineRef]()
    withheld = set[int]()
    for line in read_lines(path, end=end):
        if isinstance(line.entry.data, BundleSealed):
            data = line.entry.data
            run_id = line.entry.run_id
            sealed = IndexedBundle(seq=line.ref.seq, run_id=run_id, sealed=data)
            announced[data.sequence] = sealed
        if line.entry.seq in wanted:
            refs[line.entry.seq] = line.ref
        if line.entry.withheld:
            withheld.add(line.entry.seq)
    return _TenantJournal(announced, refs, frozenset(withheld))


def _chain(
    home: Path, bundles: Mapping[str, VerifiedBundle | None], journal: _TenantJournal | None
) -> Verdict:
    """Return the verdict on a tenant's whole chain; raise if it is rejected."""
    verified = {name: bundle for name, bundle in bundles.items() if bundle is not None}
    refused = set(bundles) - set(verified)
    chain = sorted(verified.values(), key=lambda bundle: bundle.link.sequence)
    _check_chain(home, chain, refused, journal)
    if journal:
        lines = {seq: ref.digest for seq, ref in journal.lines.items()}
    else:
        lines = _copied({home / name: bundle for name, bundle in verified.items()})
    for verified_bundle in chain:
        for line in verified_bundle.carried:
            if lines.get(line.seq, line.sha256) != line.sha256:
                called = _called(verified_bundle)
                raise ChainError(f"{called} carries a line {line.seq} that is not the journal's.")
    for verified_bundle in chain:
        check_earlier(home, verified_bundle, verified, refused)
    if refused:
        numbers = [bundle.link.sequence for bundle in chain]
        proven = sum(here == number for number, here in enumerate(numbers, 1))
        raise ChainError(
            f"{proven} in a chain from the first. Nothing proves that it is complete, because "
            f"{len(refused)} of {len(bundles)} {'is' if len(refused) == 1 else 'are'} refused."
        )
    notes = [*([] if journal else [NO_JOURNAL]), *([] if bundles else [_UNSEALED])]
    return Verdict(home, length=len(bundles), notes=tuple(notes), anomalies=find_anomalies(chain))


def verdict_alone(folder: Path, trust: TrustAnchors) -> Verdict:
    """
    Return the verdict on one bundle, with those beside it on whose lines its steps rest.

    A note names each that is not there.
    """
    verdict = verdict_on(folder, trust, folder.name)
    if verdict.verified is None:
        return verdict
    bundle = verdict.verified
    home = folder.parent

    def verify() -> Verdict:
        names = dict.fromkeys(earlier.bundle for earlier in bundle.earlier)
        beside = {name: home / name for name in names if is_there(home / name)}
        others = {name: _verified_beside(path, trust) for name, path in beside.items()}
        here = tuple(earlier for earlier in bundle.earlier if earlier.bundle in others)
        check_earlier(home, replace(bundle, earlier=here), others, ())
        notes = [
            f"{earlier.step} rests on line {earlier.line} of {earlier.bundle}, which is not here: "
            "this bundle has a copy, and only that one shows that the line is in it."
            for earlier in bundle.earlier
            if earlier.bundle not in others
        ]
        return Verdict(folder, verified=replace(bundle, notes=(*bundle.notes, *notes)))

    return verdict_or_refusal(folder, verify)


def _verified_beside(folder: Path, trust: TrustAnchors) -> VerifiedBundle:
    """Verify a bundle on which another one rests; an error names it."""
    try:
        return verify_bundle(folder, trust)
    except (EvidenceError, JournalError) as error:
        raise ChainError(f"It rests on {folder.name}, which is refused: {error}") from None


def check_earlier(
    home: Path,
    bundle: VerifiedBundle,
    others: Mapping[str, VerifiedBundle],
    refused: Collection[str],
) -> None:
    """Raise `ChainError` unless each line that `bundle` rests on is in the bundle it names."""
    for name in dict.fromkeys(earlier.bundle for earlier in bundle.earlier):
        named = [earlier for earlier in bundle.earlier if earlier.bundle == name]
        first = named[0]
        other = others.get(name)
        if other is None or other.link.sequence >= bundle.link.sequence:
            is_refused = "is refused" if name in refused else "is not an earlier one here"
            raise ChainError(
                f"{_called(bundle)} rests on line {first.line} of {name}, which {is_refused}."
            )
        if other.run["tenant"] != bundle.run["tenant"]:
            raise ChainError(f"{_called(bundle)} rests on {name}, which is another tenant's.")
        wanted = {earlier.line: earlier for earlier in named}
        for line in excerpt_lines(home / name, other.excerpt):
            earlier = wanted.get(line.ref.seq)
            is_shown = earlier and not line.entry.withheld and line.entry.run_id == earlier.run_id
            if earlier and is_shown and line.ref.digest == earlier.sha256:
                del wanted[line.ref.seq]
        for number in wanted:
            raise ChainError(
                f"{_called(bundle)} rests on line {number} of {name}, which does not show it."
            )


def _check_chain(
    home: Path, chain: Sequence[VerifiedBundle], refused: set[str], journal: _TenantJournal | None
) -> None:
    """Raise unless the bundles form one whole chain of this tenant."""
    for bundle in chain:
        owner = bundle.run["tenant"]
        connector = bundle.run["procedure"]["id"]
        if owner != home.parent.name:
            raise ChainError(f"{_called(bundle)} belongs to the tenant {owner}.")
        if connector != home.name:
            raise ChainError(f"{_called(bundle)} belongs to the connector {connector}.")
    check_order(chain, journal.announced if journal else {}, refused)
    _check_parts(chain)
    if journal:
        _check_journal(chain, journal)


def check_order(
    chain: Sequence[StatementClaims], announced: Mapping[int, IndexedBundle], refused: set[str]
) -> None:
    """Raise `ChainError` if a number is missing or taken twice, or one does not follow another."""
    numbers = Counter(bundle.link.sequence for bundle in chain)
    for number in range(1, max([*announced, *numbers, 0]) + 1):
        if numbers[number] > 1:
            raise ChainError(f"Two bundles claim to be number {number} of the chain.")
        expected = announced.get(number)
        name = expected.sealed.bundle if expected else ""
        # NOTE: without a journal the number of a rejected bundle is unknown.
        is_refused = name in refused if announced else bool(refused)
        if not numbers[number] and not is_refused:
            suffix = f": {name}" if name else ""
            raise ChainError(f"Number {number} of the chain is missing{suffix}.")
    by_number = {bundle.link.sequence: bundle for bundle in chain}
    for number, bundle in by_number.items():
        before = by_number.get(number - 1)
        if (number == 1 and bundle.link.sha256) or (
            before and bundle.link.sha256 != before.statement
        ):
            raise ChainError(f"{_called(bundle)} does not follow the statement before it.")


def find_anomalies(chain: Sequence[StatementClaims]) -> tuple[str, ...]:
    """Return the anomalies of a chain that is in order."""
    return (*_early(chain), *_returning(chain))


def _early(chain: Sequence[StatementClaims]) -> Iterator[str]:
    """
    Yield a sentence for each bundle that was sealed before the one that it follows.

    NOTE: a statement contains the digest of the one before it, so one of the two clocks was wrong.
    """
    for before, bundle in pairwise(chain):
        ends = [claims.run["finished_on"] for claims in (before, bundle)]
        # NOTE: a run ends when it is sealed. A trusted key may have signed no time, or an odd one.
        with suppress(TypeError, ValueError):
            earlier, later = map(datetime.fromisoformat, ends)
            if earlier - later > _TOLERANCE:
                yield (
                    f"{_called(bundle)} says that it was sealed at {ends[1]}, before its "
                    f"predecessor at {ends[0]}: a clock was wrong, and these times decide which "
                    "confirmations count."
                )


def _check_parts(chain: Sequence[VerifiedBundle]) -> None:
    """Raise if the journal lines of a bundle do not start where the previous ones ended."""
    by_number = {bundle.link.sequence: bundle for bundle in chain}
    for number, bundle in by_number.items():
        before = by_number.get(number - 1)
        begins = (bundle.excerpt.first - 1, bundle.excerpt.previous)
        ended = (before.excerpt.lines, before.excerpt.head) if before else (0, GENESIS)
        if (before or number == 1) and begins != ended:
            raise ChainError(
                f"The journal lines of {_called(bundle)} do not start where the previous ones "
                "ended."
            )


def _carried(chain: Iterable[VerifiedBundle]) -> dict[int, str]:
    """Return the carried lines' digests by number; the last one wins."""
    return {line.seq: line.sha256 for bundle in chain for line in bundle.carried}


def _copied(bundles: Mapping[Path, VerifiedBundle]) -> dict[int, str]:
    """Return the digest of each line that one bundle carries and another one copied."""
    wanted = _carried(bundles.values()).keys()
    return {
        line.ref.seq: line.ref.digest
        for folder, bundle in bundles.items()
        if any(bundle.excerpt.first <= seq <= bundle.excerpt.lines for seq in wanted)
        for line in excerpt_lines(folder, bundle.excerpt)
        if line.ref.seq in wanted
    }


def _returning(chain: Iterable[StatementClaims]) -> Iterator[str]:
    """Yield a sentence for each bundle whose key had signed before another one did."""
    before = set[str]()
    last = ""
    for bundle in chain:
        if bundle.key_id != last and bundle.key_id in before:
            key = bundle.key_id[:16]
            other = last[:16]
            yield f"{_called(bundle)} returns to the key {key}, after {other} had taken its place."
        before.add(last := bundle.key_id)


def _check_journal(chain: Sequence[VerifiedBundle], journal: _TenantJournal) -> None:
    """Raise if the tenant's journal contradicts its bundles."""
    hidden = set(journal.withheld)
    for bundle in chain:
        # NOTE: not by an older line that it carries: the bundle which copied that may show it.
        hidden -= {number for number in bundle.withheld if number >= bundle.excerpt.first}
    if hidden:
        raise ChainError(f"The tenant's journal withholds line {min(hidden)}; no bundle does.")
    for bundle in chain:
        known = journal.announced.get(bundle.link.sequence)
        if known is None or known.sealed.statement != bundle.statement:
            raise ChainError(f"The tenant's journal did not announce {_called(bundle)}.")
        here = journal.lines.get(bundle.excerpt.lines)
        if here is None or here.digest != bundle.excerpt.head:
            raise ChainError(f"The tenant's journal is not the one that {_called(bundle)} copied.")
        if last_copied(known.sealed) != here._replace(start=0):
            raise ChainError(
                f"The tenant's journal says that {_called(bundle)} copied other lines."
            )


def _called(bundle: StatementClaims) -> str:
    return f"Number {bundle.link.sequence} ({bundle.run['run_id']})"
