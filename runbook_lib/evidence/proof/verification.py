"""
Verify evidence of format 15: is it what was signed, and does its state follow from its lines?

Offline, and without trusting the bundle: nothing in it counts before the signature of a trusted key
is checked. Then the lines are folded again. Facts must be equal; sentences too if this version of
the runbook wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import structs

from runbook_lib.errors import ChainError, ContentError, EvidenceError, JournalError
from runbook_lib.evidence.bundle import (
    SUMS_NAME,
    TIMESTAMP_NAME,
    bundle_name,
    checksum_text,
)
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.proof.claims import (
    PACKAGE,
    RunClaims,
    check_format,
    claims_of,
    read_claims,
    runbook_version,
)
from runbook_lib.evidence.proof.sealing import (
    LINES_NAME,
    OLDER_NAME,
    record_bytes,
    unnamed_bundles,
)
from runbook_lib.evidence.record import RECORD_NAME, JournalExcerpt
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    ChainLink,
    SignedStatement,
    digest,
    read_link,
)
from runbook_lib.evidence.verify.discovery import bundles_in, has_bundle_name
from runbook_lib.evidence.verify.verdict import NOT_UNDERSTOOD
from runbook_lib.evidence.verify.verify import (
    TrustAnchors,
    check_timestamp,
    in_file,
    read_signed,
)
from runbook_lib.evidence.verify.verify_chain import NO_JOURNAL
from runbook_lib.run.events import FORMAT, LASTING, BundleSealed
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import GENESIS, Journal, Line, parse_line
from runbook_lib.run.state import RunState, StepState

_NEEDED = (LINES_NAME, RECORD_NAME, SUMS_NAME)
_LOOKED_INTO = (*_NEEDED, OLDER_NAME)
_UNSIGNED = (STATEMENT_NAME, TIMESTAMP_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenBundle:
    """A bundle whose signature, files, claims and state are proven."""

    claims: RunClaims
    """The claims about its run."""

    link: ChainLink
    """Its place in the chain."""

    statement: str
    """The SHA-256 of its envelope."""

    key_id: str
    """The id of the key that signed it."""

    record: RunState | None = None
    """The state of its run; `None` for a later format, whose states this version cannot compute."""

    lines: Mapping[int, Line]
    """Its lines by number: those since the bundle before, and the older ones."""

    stamped_on: str = ""
    """The time-stamp of a named authority; empty without one."""

    notes: tuple[str, ...] = ()
    """Parts that were not checked."""

    @property
    def own(self) -> list[Line]:
        """The lines since the bundle before."""
        return [line for seq, line in self.lines.items() if seq >= self.claims.journal.first]

    @property
    def older(self) -> list[Line]:
        """The lines of earlier bundles."""
        return [line for seq, line in self.lines.items() if seq < self.claims.journal.first]


@dataclass(frozen=True, slots=True)
class ProofVerdict:
    """The verdict on a bundle, or on a tenant's whole chain."""

    path: Path
    """The bundle, or the tenant's folder."""

    bundle: ProvenBundle | None = None
    """The proven bundle; `None` for a chain or a refusal."""

    error: EvidenceError | None = None
    """The reason for a refusal; `None` if it is accepted."""

    notes: tuple[str, ...] = ()
    """Limits of the verification."""


def verify_bundle(folder: Path, trust: TrustAnchors) -> ProvenBundle:
    """
    Verify the bundle in `folder`.

    Raises an `EvidenceError`, with the file and the reason, at the first fault, or `OSError`.
    """
    present, envelope, signed, contents = read_signed(
        folder,
        trust,
        TEST_RESULT,
        needed=_NEEDED,
        looked_into=_LOOKED_INTO,
        check_form=check_format,
        unsigned=_UNSIGNED,
    )
    with in_file(STATEMENT_NAME):
        claims = read_claims(signed)
        link = read_link(signed)
    listed = checksum_text(file for file in signed.subjects if file.name != SUMS_NAME)
    if contents[SUMS_NAME] != listed.encode():
        raise ContentError("It differs from the statement's list.", file=SUMS_NAME)
    authority = str(signed.predicate["runbook_chain"].get("timestamp_authority", ""))
    stamped_on, note = check_timestamp(present, envelope, authority, trust)
    lines: dict[int, Line] = {}
    record = None
    if claims.format_version == FORMAT:
        lines = _lines_in(contents, claims.journal)
        record = _proven_record(contents[RECORD_NAME], lines.values(), claims.run_id)
        _check_claims(record, signed, claims.journal, link)
    return ProvenBundle(
        claims=claims,
        link=link,
        statement=digest(envelope),
        key_id=signed.key_id,
        record=record,
        lines=lines,
        stamped_on=stamped_on,
        notes=(note,) if note else (),
    )


def _lines_in(contents: Mapping[str, bytes], excerpt: JournalExcerpt) -> dict[int, Line]:
    """Return the lines of a bundle by number: older ones, then one chain as `excerpt` says."""
    older = _parsed(contents.get(OLDER_NAME, b""), OLDER_NAME)
    numbers = [line.head.seq for line in older]
    if numbers != sorted(set(numbers)) or any(number >= excerpt.first for number in numbers):
        raise ChainError("Its lines are not older ones, each once.", file=OLDER_NAME)
    own = _parsed(contents[LINES_NAME], LINES_NAME)
    is_linked = all(after.head.prev == before.digest for before, after in pairwise(own))
    if not is_linked or [line.head.seq for line in own] != [
        *range(excerpt.first, excerpt.lines + 1)
    ]:
        raise ChainError("Its lines do not follow one another.", file=LINES_NAME)
    if (own[0].head.prev, own[-1].digest) != (excerpt.previous, excerpt.head):
        raise ChainError("It does not begin and end where the statement says.", file=LINES_NAME)
    return {line.head.seq: line for line in (*older, *own)}


def _parsed(content: bytes, name: str) -> list[Line]:
    with in_file(name):
        return [
            parse_line(text, f"Its line {number}")
            for number, text in enumerate(content.splitlines(keepends=True), 1)
        ]


def _proven_record(content: bytes, lines: Iterable[Line], run: str) -> RunState:
    """Return the record in `content`; raise unless it follows from `lines`."""
    with in_file(LINES_NAME):
        folded = fold(lines, run)
    with in_file(RECORD_NAME):
        try:
            record = msgspec.json.decode(content, type=RunState)
        except (msgspec.DecodeError, ValueError):
            raise ContentError("It is not a record of this format.") from None
        if record_bytes(record) != content:
            raise ContentError("It is not laid out as the runbook writes it.")
        is_own_version = runbook_version(record) in ("", version(PACKAGE))
        is_same = record == folded if is_own_version else facts_of(record) == facts_of(folded)
        if not is_same:
            raise ContentError("It does not follow from the journal's lines.")
    return record


def facts_of(record: RunState) -> RunState:
    """Return a record without the sentences that the fold made, which another version words."""
    return structs.replace(record, steps=tuple(map(_facts_of_step, record.steps)))


def _facts_of_step(step: StepState) -> StepState:
    void = tuple(structs.replace(attestation, why="-") for attestation in step.void_attestations)
    return structs.replace(step, reason="", outdated="", void_attestations=void)


def _check_claims(
    record: RunState, signed: SignedStatement, excerpt: JournalExcerpt, link: ChainLink
) -> None:
    """Raise if the statement claims something else than the record."""
    expected = claims_of(
        record, excerpt=excerpt, link=link, configuration=(), timestamp_authority=""
    )
    for name, value in expected.items():
        if name not in ("configuration", "runbook_chain") and signed.predicate.get(name) != value:
            raise ContentError(f"Its {name} differs from the record.", file=STATEMENT_NAME)


def verdict_on(folder: Path, trust: TrustAnchors, name: str = "") -> ProofVerdict:
    """Return the verdict on the bundle in `folder`, whose final name is `name`."""
    try:
        bundle = verify_bundle(folder, trust)
        own = bundle_name(bundle.claims.started_on, bundle.claims.run_id)
        called = Path(name or folder.name)
        if has_bundle_name(called) and called.name != own:
            raise ContentError(f"It is the bundle {own}, under another name.")
    except EvidenceError as error:
        return ProofVerdict(folder, error=error)
    except (JournalError, OSError) as error:
        return ProofVerdict(folder, error=ContentError(f"It cannot be read: {error}"))
    except NOT_UNDERSTOOD as error:
        # NOTE: a trusted key may sign something that no runbook writes.
        problem = f"It is signed, but cannot be understood ({type(error).__name__})."
        return ProofVerdict(folder, error=ContentError(problem))
    if bundle.record is None:
        problem = (
            "It is authentic, but its outcome was not computed again: use version "
            f"{bundle.claims.runbook} of the runbook."
        )
        return ProofVerdict(folder, bundle, error=EvidenceError(problem))
    older = f"{len(bundle.older)} older lines: only the bundles that they are from prove them."
    return ProofVerdict(folder, bundle, notes=(*bundle.notes, *([older] if bundle.older else [])))


def verify_home(home: Path, trust: TrustAnchors) -> Iterator[ProofVerdict]:
    """Yield a verdict on each of a tenant's bundles, then one on their chain."""
    try:
        journal = Journal(home / LINES_NAME)
        # NOTE: a bundle that is sealed meanwhile is neither missing nor unannounced: the journal
        # is read before the folders and after.
        before = journal.read_all()
        folders = {path: path.name for path in bundles_in(home)}
        unnamed = unnamed_bundles(home, before).items()
        folders |= {path: name for path, name in unnamed if name and not (home / name).exists()}
        after = journal.read_all()
        verdicts = [verdict_on(path, trust, name) for path, name in folders.items()]
        yield from verdicts
        chain = [verdict.bundle for verdict in verdicts if verdict.bundle]
        chain.sort(key=lambda bundle: bundle.link.sequence)
        refused = {
            name
            for verdict, name in zip(verdicts, folders.values(), strict=True)
            if not verdict.bundle
        }
        _check_order(chain, _announced(before), refused)
        _check_chain(home, chain)
        if after:
            _check_journal(chain, after)
        if failing := sum(verdict.error is not None for verdict in verdicts):
            raise ChainError(f"{failing} of {len(verdicts)} bundles are refused.")
        yield ProofVerdict(home, notes=() if after else (NO_JOURNAL,))
    except EvidenceError as error:
        yield ProofVerdict(home, error=error)
    except (JournalError, OSError) as error:
        yield ProofVerdict(home, error=ContentError(f"It cannot be read: {error}"))


def _announced(lines: Iterable[Line]) -> dict[int, BundleSealed]:
    """Return the announced bundles by their numbers."""
    events = [line.event for line in lines]
    return {event.sequence: event for event in events if isinstance(event, BundleSealed)}


def _check_order(
    chain: Sequence[ProvenBundle], announced: Mapping[int, BundleSealed], refused: set[str]
) -> None:
    """Raise if a number is missing or taken twice."""
    numbers = Counter(bundle.link.sequence for bundle in chain)
    for number in range(1, max([*announced, *numbers, 0]) + 1):
        if numbers[number] > 1:
            raise ChainError(f"Two bundles claim to be number {number} of the chain.")
        name = announced[number].bundle if number in announced else ""
        # NOTE: without a journal the number of a refused bundle is unknown.
        is_refused = name in refused if announced else bool(refused)
        if number not in numbers and not is_refused:
            raise ChainError(
                f"Number {number} of the chain is missing{f': {name}' if name else ''}."
            )


def _check_chain(home: Path, chain: Sequence[ProvenBundle]) -> None:
    """Raise unless the bundles are one chain of this tenant, and their lines one journal."""
    by_number = {bundle.link.sequence: bundle for bundle in chain}
    known: dict[int, str] = {}
    lasting: set[int] = set()
    for bundle in chain:
        claims = bundle.claims
        if (claims.tenant, claims.procedure.id) != (home.parent.name, home.name):
            raise ChainError(f"{_called(bundle)} belongs to {claims.tenant}.")
        before = by_number.get(bundle.link.sequence - 1)
        if before or bundle.link.sequence == 1:
            _check_follows(bundle, before)
        older = {line.head.seq: line.digest for line in bundle.older}
        altered = [seq for seq, line in older.items() if seq in known and known[seq] != line]
        lacking = lasting - older.keys() if bundle.record else set[int]()
        for number in sorted((*altered, *lacking)):
            raise ChainError(
                f"{_called(bundle)} lacks or alters the older line {number}.", file=OLDER_NAME
            )
        known |= {line.head.seq: line.digest for line in bundle.own}
        lasting |= {line.head.seq for line in bundle.own if line.head.type in LASTING}


def _check_follows(bundle: ProvenBundle, before: ProvenBundle | None) -> None:
    """Raise unless the statement and the lines of `bundle` follow those of the one `before`."""
    statement = ""
    ended = (0, GENESIS)
    if before:
        statement = before.statement
        ended = (before.claims.journal.lines, before.claims.journal.head)
    if bundle.link.sha256 != statement:
        raise ChainError(f"{_called(bundle)} does not follow the statement before it.")
    excerpt = bundle.claims.journal
    if (excerpt.first - 1, excerpt.previous) != ended:
        raise ChainError(f"The lines of {_called(bundle)} do not follow those before them.")


def _check_journal(chain: Sequence[ProvenBundle], lines: Sequence[Line]) -> None:
    """Raise if the tenant's journal contradicts its bundles."""
    announced = _announced(lines)
    here = {line.head.seq: line for line in lines}
    withheld = {line.head.seq for line in lines if not line.data}
    for bundle in chain:
        withheld -= {line.head.seq for line in bundle.own if not line.data}
    if withheld:
        raise ChainError(f"The tenant's journal withholds line {min(withheld)}; no bundle does.")
    for bundle in chain:
        sealed = announced.get(bundle.link.sequence)
        if sealed is None or sealed.statement != bundle.statement:
            raise ChainError(f"The tenant's journal did not announce {_called(bundle)}.")
        excerpt = bundle.claims.journal
        last = here.get(excerpt.lines)
        if sealed.last != excerpt.lines or last is None or last.digest != excerpt.head:
            raise ChainError(f"The tenant's journal is not the one that {_called(bundle)} copied.")


def _called(bundle: ProvenBundle) -> str:
    return f"Number {bundle.link.sequence} ({bundle.claims.run_id})"
