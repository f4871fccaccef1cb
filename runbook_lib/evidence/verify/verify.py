"""
Verify evidence: is it what was signed, and does its state follow from its lines?

Offline, and without trusting the bundle: nothing in it counts before the signature of a trusted key
is checked. Then the lines are folded again. Facts must be equal; sentences too if this version of
the runbook wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import structs, to_builtins

from runbook_lib.core.attachments import attachment_path
from runbook_lib.core.files import JOURNAL_NAME, is_there, kind_of
from runbook_lib.errors import ChainError, ContentError, EvidenceError, JournalError, reason_of
from runbook_lib.evidence.bundle import (
    INSTRUCTIONS_NAME,
    OLDER_NAME,
    STATEMENT_NAME,
    SUMS_NAME,
    bundle_name,
    checksum_text,
)
from runbook_lib.evidence.claims import (
    PACKAGE,
    RunClaims,
    check_format,
    claims_of,
    read_claims,
    runbook_version,
)
from runbook_lib.evidence.record import RECORD_NAME, JournalExcerpt, parse_record, record_bytes
from runbook_lib.evidence.sealing import require_order, unnamed_bundles
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    ChainLink,
    SignedStatement,
    digest,
    read_link,
)
from runbook_lib.evidence.verify.discovery import bundles_in, has_bundle_name
from runbook_lib.evidence.verify.signed_files import (
    TrustAnchors,
    check_timestamp,
    in_file,
    read_signed,
)
from runbook_lib.run.events import FORMAT, LASTING, BundleSealed
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import GENESIS, Journal, Line, parse_line
from runbook_lib.run.state import RunState, StepState

_NEEDED = (JOURNAL_NAME, RECORD_NAME, SUMS_NAME, INSTRUCTIONS_NAME)
_LOOKED_INTO = (JOURNAL_NAME, RECORD_NAME, SUMS_NAME, OLDER_NAME)
NO_JOURNAL = "The tenant's journal is not here: only it shows whether later runs were removed."
_UNSEALED = "Nothing is sealed yet."
# Clocks of machines that write into one folder may differ by so much.
_TOLERANCE = timedelta(minutes=5)
# Errors from a document with other fields or types than the runbook writes.
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
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
    def withheld(self) -> list[int]:
        """The numbers of the lines that it withholds."""
        return [seq for seq, line in self.lines.items() if not line.data]

    @property
    def older(self) -> list[Line]:
        """The lines of earlier bundles."""
        return [line for seq, line in self.lines.items() if seq < self.claims.journal.first]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one bundle, or on a tenant's whole chain."""

    path: Path
    """The bundle, or the tenant's folder."""

    verified: VerifiedBundle | None = None
    """The proven bundle; `None` for a chain or a refusal."""

    error: EvidenceError | None = None
    """The reason for a refusal; `None` if it is accepted."""

    length: int = 0
    """The number of bundles in the chain; 0 for a bundle."""

    notes: tuple[str, ...] = ()
    """Limits of the verification."""

    anomalies: tuple[str, ...] = ()
    """Oddities in an accepted chain."""

    @property
    def is_unsealed(self) -> bool:
        """Whether this is about a tenant without any sealed bundle."""
        return self.verified is None and self.error is None and not self.length

    def document(self) -> dict[str, Any]:
        """Return the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {"path": str(self.path), "accepted": self.error is None}
        if self.error is not None:
            kind = type(self.error).__name__.removesuffix("Error").lower()
            return {**document, "refused": kind, "file": self.error.file, "reason": str(self.error)}
        if self.verified is None:
            return {**document, "chain": self.length, "notes": self.notes + self.anomalies}
        bundle = self.verified
        return {
            **document,
            "run": to_builtins(bundle.claims),
            "link": to_builtins(bundle.link),
            "statement": bundle.statement,
            "key_id": bundle.key_id,
            "stamped_on": bundle.stamped_on,
            "notes": self.notes,
            "older": [line.head.seq for line in bundle.older],
            "withheld": bundle.withheld,
        }


def verify_bundle(folder: Path, trust: TrustAnchors) -> VerifiedBundle:
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
        _check_attachments(record, signed)
    return VerifiedBundle(
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
    own = _parsed(contents[JOURNAL_NAME], JOURNAL_NAME)
    is_linked = all(after.head.prev == before.digest for before, after in pairwise(own))
    if not is_linked or [line.head.seq for line in own] != [
        *range(excerpt.first, excerpt.lines + 1)
    ]:
        raise ChainError("Its lines do not follow one another.", file=JOURNAL_NAME)
    if (own[0].head.prev, own[-1].digest) != (excerpt.previous, excerpt.head):
        raise ChainError("It does not begin and end where the statement says.", file=JOURNAL_NAME)
    return {line.head.seq: line for line in (*older, *own)}


def _parsed(content: bytes, name: str) -> list[Line]:
    with in_file(name):
        return [
            parse_line(text, f"Its line {number}")
            for number, text in enumerate(content.splitlines(keepends=True), 1)
        ]


def _proven_record(content: bytes, lines: Iterable[Line], run: str) -> RunState:
    """Return the record in `content`; raise unless it follows from `lines`."""
    with in_file(JOURNAL_NAME):
        folded = fold(lines, run)
    with in_file(RECORD_NAME):
        record = parse_record(content)
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


def _check_attachments(record: RunState, signed: SignedStatement) -> None:
    """Raise if a file that somebody attached is missing, or another one has its name."""
    digests = {file.name: file.sha256 for file in signed.subjects}
    attachments = (attachment for step in record.steps for attachment in step.attachments)
    for attachment in attachments:
        name = attachment_path(Path("attachments"), attachment).as_posix()
        if digests.get(name) != attachment.sha256:
            raise ContentError("It is not the file that was attached.", file=name)


def verdict_on(folder: Path, trust: TrustAnchors, name: str = "") -> Verdict:
    """Return the verdict on the bundle in `folder`, whose final name is `name`."""
    try:
        bundle = verify_bundle(folder, trust)
        own = bundle_name(bundle.claims.started_on, bundle.claims.run_id)
        called = Path(name or folder.name)
        if has_bundle_name(called) and called.name != own:
            raise ContentError(f"It is the bundle {own}, under another name.")
    except (EvidenceError, JournalError, OSError, *NOT_UNDERSTOOD) as error:
        return refused_verdict(folder, error)
    if bundle.record is None:
        problem = (
            "It is authentic, but its outcome was not computed again: use version "
            f"{bundle.claims.runbook} of the runbook."
        )
        return Verdict(folder, bundle, error=EvidenceError(problem))
    return Verdict(folder, bundle, notes=bundle.notes)


def refused_verdict(path: Path, error: Exception) -> Verdict:
    """Return the verdict for an error, also for one of reading."""
    match error:
        case EvidenceError():
            return Verdict(path, error=error)
        case JournalError():
            return Verdict(path, error=ContentError(str(error), file=JOURNAL_NAME))
        case OSError():
            reason = f"It cannot be read: {reason_of(error)}."
            return Verdict(path, error=ContentError(reason, file=Path(error.filename or "").name))
    # NOTE: a trusted key may sign something that no runbook writes.
    problem = f"It is signed, but cannot be understood ({type(error).__name__})."
    return Verdict(path, error=ContentError(problem))


def verify_home(home: Path, trust: TrustAnchors) -> Iterator[Verdict]:
    """Yield a verdict on each of a tenant's bundles, then one on their chain."""
    try:
        journal = Journal(home / JOURNAL_NAME)
        # NOTE: a bundle that is sealed meanwhile is neither missing nor unannounced: the journal
        # is read before the folders and after.
        before, damage = _read_journal(journal)
        folders = {path: path.name for path in bundles_in(home)}
        unnamed = unnamed_bundles(home, before).items()
        folders |= {path: name for path, name in unnamed if name and not (home / name).exists()}
        verdicts = [verdict_on(path, trust, name) for path, name in folders.items()]
        yield from verdicts
        if damage:
            raise damage
        after, _ = _read_journal(journal)
        yield _verdict_on_chain(
            home, dict(zip(folders.values(), verdicts, strict=True)), before, after
        )
    except (EvidenceError, JournalError, OSError) as error:
        yield refused_verdict(home, error)
    except NOT_UNDERSTOOD as error:
        problem = f"Its bundles together cannot be understood ({type(error).__name__})."
        yield Verdict(home, error=ContentError(problem))


def _read_journal(journal: Journal) -> tuple[Sequence[Line], Exception | None]:
    """Return the journal's lines, or none and the error: the bundles have verdicts all the same."""
    try:
        if is_there(journal.path) and kind_of(journal.path.lstat().st_mode):
            raise ContentError("It is not a regular file.", file=JOURNAL_NAME)
        return journal.read_all(), None
    except (EvidenceError, JournalError, *NOT_UNDERSTOOD) as error:
        return (), error


def _verdict_on_chain(
    home: Path, verdicts: Mapping[str, Verdict], before: Sequence[Line], after: Sequence[Line]
) -> Verdict:
    """Return the verdict on a tenant's chain; `before` and `after` are its journal's lines."""
    chain = [verdict.verified for verdict in verdicts.values() if verdict.verified]
    chain.sort(key=lambda bundle: bundle.link.sequence)
    refused = {name for name, verdict in verdicts.items() if not verdict.verified}
    _check_order(chain, _announced(before), refused)
    _check_chain(home, chain)
    # NOTE: an empty file is not a missing one: the journal of these bundles had lines.
    has_journal = bool(after) or is_there(home / JOURNAL_NAME)
    if has_journal:
        _check_journal(chain, after)
    if failing := sum(verdict.error is not None for verdict in verdicts.values()):
        numbers = [bundle.link.sequence for bundle in chain if bundle.record]
        proven = sum(here == number for number, here in enumerate(numbers, 1))
        raise ChainError(
            f"{proven} in a chain from the first. Nothing proves that it is complete, because "
            f"{failing} of {len(verdicts)} {'is' if failing == 1 else 'are'} refused."
        )
    notes = [*([] if has_journal else [NO_JOURNAL]), *([] if verdicts else [_UNSEALED])]
    anomalies = (*_early(chain), *_returning(chain))
    return Verdict(home, length=len(verdicts), notes=tuple(notes), anomalies=anomalies)


def _announced(lines: Iterable[Line]) -> dict[int, BundleSealed]:
    """Return the announced bundles by their numbers."""
    # NOTE: a line that no bundle needs must be valid, too.
    events = [line.event for line in lines]
    announced = [event for event in events if isinstance(event, BundleSealed)]
    require_order(announced)
    return {event.sequence: event for event in announced}


def _check_order(
    chain: Sequence[VerifiedBundle], announced: Mapping[int, BundleSealed], refused: set[str]
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


def _check_chain(home: Path, chain: Sequence[VerifiedBundle]) -> None:
    """Raise unless the bundles are one chain of this tenant, and their lines one journal."""
    by_number = {bundle.link.sequence: bundle for bundle in chain}
    known: dict[int, str] = {}
    lasting: set[int] = set()
    for bundle in chain:
        claims = bundle.claims
        if claims.tenant != home.parent.name:
            raise ChainError(f"{_called(bundle)} belongs to the tenant {claims.tenant}.")
        if claims.procedure.id != home.name:
            connector = claims.procedure.id
            raise ChainError(f"{_called(bundle)} belongs to the connector {connector}.")
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


def _check_follows(bundle: VerifiedBundle, before: VerifiedBundle | None) -> None:
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


def _check_journal(chain: Sequence[VerifiedBundle], lines: Sequence[Line]) -> None:
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


def _called(bundle: VerifiedBundle) -> str:
    return f"Number {bundle.link.sequence} ({bundle.claims.run_id})"


def _early(chain: Sequence[VerifiedBundle]) -> Iterator[str]:
    """
    Yield a sentence for each bundle that was sealed before the one that it follows.

    NOTE: a statement contains the digest of the one before it, so one of the two clocks was wrong.
    """
    for before, bundle in pairwise(chain):
        ends = [here.claims.finished_on for here in (before, bundle)]
        # NOTE: a run ends when it is sealed. A trusted key may have signed no time, or an odd one.
        with suppress(ValueError):
            earlier, later = map(datetime.fromisoformat, ends)
            if earlier - later > _TOLERANCE:
                yield (
                    f"{_called(bundle)} says that it was sealed at {ends[1]}, before its "
                    f"predecessor at {ends[0]}: a clock was wrong, and these times decide which "
                    "confirmations count."
                )


def _returning(chain: Iterable[VerifiedBundle]) -> Iterator[str]:
    """Yield a sentence for each bundle whose key had signed before another one did."""
    before = set[str]()
    last = ""
    for bundle in chain:
        if bundle.key_id != last and bundle.key_id in before:
            key = bundle.key_id[:16]
            other = last[:16]
            yield f"{_called(bundle)} returns to the key {key}, after {other} had taken its place."
        before.add(last := bundle.key_id)
