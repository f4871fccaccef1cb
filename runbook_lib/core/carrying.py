"""
Carrying: whether an earlier result of a check with a side effect still counts.

Pure: a journal and the present values in, an earlier result or the reason against it out.
A result counts for the same check (its id and its module), for the same values, for
`Step.recheck_days`, and until a later result contradicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from runbook_lib.core.attestation_rules import days_after
from runbook_lib.core.faults import decides_nothing
from runbook_lib.core.index import CheckIndex, Index
from runbook_lib.core.journal import Ref
from runbook_lib.core.model import (
    CarriedResult,
    CheckBasis,
    Checked,
    Entry,
    Exchange,
    Finding,
    Outcome,
    Value,
)
from runbook_lib.core.procedure import Check, Procedure, Step
from runbook_lib.text import pluralize

# Clocks of machines that write into one journal may differ by so much.
_TOLERANCE = timedelta(minutes=5)


class JournalView(Protocol):
    """A journal at one moment."""

    @property
    def index(self) -> Index:
        """Where the lines are that matter."""

    @property
    def read(self) -> Callable[[Ref], Entry]:
        """Returns the line at a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """An earlier result that counts, with the journal lines that it rests on."""

    result: CarriedResult
    """Where it is, and until when it counts."""

    finding: Finding
    """What the check found then."""

    exchanges: Mapping[int, Exchange] = field(default_factory=dict)
    """The exchanges that the finding rests on, by number."""

    lines: tuple[Ref, ...] = ()
    """The lines of the result and of its exchanges."""

    basis: CheckBasis | None = None
    """What it is about."""

    bundle: str = ""
    """The bundle that copied the line; empty if none has yet."""

    @property
    def sentence(self) -> str:
        """Return when and where it was verified, as a sentence."""
        result = self.result
        run = f" in run {result.run_id}" if result.run_id else ""
        return (
            f"Verified on {result.checked_on[:10]}{run}, and not checked again in this run; it "
            f"counts until {result.until}."
        )


@dataclass(frozen=True, slots=True)
class Due:
    """Why an earlier result no longer counts, and since which day."""

    reason: str
    since: str


def basis_of(
    check: Check, step: Step, procedure: Procedure, values: Mapping[str, Value], code_digest: str
) -> CheckBasis:
    """
    Return what a result of `check` is about: all that it needs, and the step's subject.

    `values` have the fingerprints of secrets. A switch that only permits the check is no part.
    """
    switches = {item.name for item in procedure.inputs if item.default is False}
    names = dict.fromkeys((*check.needs, *step.subject))
    permits = switches.intersection(check.allowed_by)
    about = {name: values.get(name) or None for name in names if name not in permits}
    return CheckBasis(check=check.id, code_digest=code_digest, values=about)


def find_earlier(
    history: JournalView, procedure: Procedure, step: Step, basis: CheckBasis, now: datetime
) -> EarlierResult | Due | None:
    """
    Return the newest verified result about `basis` that counts at `now`, or why none does.

    `None` if there was never one about these values.
    """
    for known in reversed(history.index.based.get(step.id, ())):
        entry = history.read(known.ref)
        found = _result_in(entry, basis.check)
        if found is None or not is_same(found[1].values, basis.values):
            continue
        finding, earlier = found
        if finding.outcome is not Outcome.VERIFIED:
            continue
        began, until = entry.at[:10], days_after(entry.at, step.recheck_days)
        today = now.date().isoformat()
        if earlier.code_digest != basis.code_digest:
            return Due(f"Verified on {began}; the runbook's check has changed since.", today)
        if datetime.fromisoformat(entry.at) > now + _TOLERANCE:
            return Due(f"Verified on {began}, which is later than now: a clock was wrong.", today)
        if today > until:
            lasted = pluralize(step.recheck_days, "day")
            return Due(f"Verified on {began}, which counted for {lasted}, until {until}.", until)
        why = contradiction(history, procedure, step, earlier, after=known.ref.seq)
        if why:
            return Due(f"Verified on {began}, but {why}.", today)
        result = CarriedResult(
            check=basis.check,
            code_digest=basis.code_digest,
            run_id=entry.run_id,
            line=known.ref.seq,
            sha256=known.ref.digest,
            checked_on=entry.at,
            recheck_days=step.recheck_days,
            until=until,
        )
        return _earlier(history, known, result, found=found, today=today)
    return None


def read_carried(
    history: JournalView,
    procedure: Procedure,
    step: Step,
    known: CheckIndex,
    result: CarriedResult,
    *,
    today: str,
    limit: int = 0,
) -> EarlierResult | Due:
    """
    Return a result that a run carried, or why it does not count any more.

    `known` is where the run found it. Lines after `limit`, if not 0, do not contradict it.
    """
    entry = history.read(known.ref)
    found = _result_in(entry, result.check)
    began = result.checked_on[:10]
    if found is None or result.sha256 != known.ref.digest or entry.step != step.id:
        return Due(f"The line of the result of {began} is withheld, or another one.", today)
    finding, basis = found
    if finding.outcome is not Outcome.VERIFIED:
        return Due(f"The result of {began} is not verified.", today)
    if today > result.until:
        return Due(f"Verified on {began}, which counted until {result.until}.", result.until)
    why = contradiction(history, procedure, step, basis, after=known.ref.seq, limit=limit)
    if why:
        return Due(f"Verified on {began}, but {why}.", today)
    return _earlier(history, known, result, found=found, today=today)


def contradiction(
    history: JournalView,
    procedure: Procedure,
    step: Step,
    basis: CheckBasis,
    *,
    after: int,
    limit: int = 0,
) -> str:
    """
    Return which later line contradicts a result about `basis`; empty if none does.

    Lines after the number `after` count, up to `limit` if that is not 0.
    """
    index = history.index

    def is_later(line: int) -> bool:
        return line > after and (not limit or line <= limit)

    for known in index.based.get(step.id, ()):
        entry = history.read(known.ref) if is_later(known.ref.seq) else None
        if entry and not isinstance(entry.data, Checked):
            return f"a result of {entry.at[:10]} is withheld"
        found = _result_in(entry, basis.check) if entry else None
        if entry is None or found is None or not is_same(found[1].values, basis.values):
            continue
        exchanges = [history.read(ref).data for ref in known.exchanges]
        if found[0].outcome is not Outcome.VERIFIED and not decides_nothing(
            found[0],
            (each for each in exchanges if isinstance(each, Exchange)),
            procedure.providers,
        ):
            return f"the check of {entry.at[:10]} found otherwise"
    labels = {item.name: item.label for item in procedure.settings}
    for name in _refused(index, basis, is_later):
        return f"{labels.get(name, name)} was refused since"
    numbers = procedure.numbers
    for required in sorted(procedure.required_by(step.id)):
        for ref in index.failures.get(required, ()):
            if is_later(ref.seq) and _agrees(history.read(ref), basis):
                return f"step {numbers[required]}, which it requires, has failed since"
    return ""


def is_same(earlier: Mapping[str, Value | None], current: Mapping[str, Value | None]) -> bool:
    """Return whether two results are about the same values; the order of a list is no matter."""
    return {name: _plain(value) for name, value in earlier.items()} == {
        name: _plain(value) for name, value in current.items()
    }


def _plain(value: Value | None) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


def _refused(index: Index, basis: CheckBasis, is_later: Callable[[int], bool]) -> Iterable[str]:
    """Yield the name of each value of `basis` that a remote system refused later."""
    for name, value in basis.values.items():
        for refusal in index.refusals.get(name, ()):
            if is_later(refusal.line) and _plain(refusal.value) == _plain(value):
                yield name


def _agrees(entry: Entry, basis: CheckBasis) -> bool:
    """Return whether the checks in `entry` were about no other values than `basis` is."""
    about = entry.data.binding.subject
    shared = {name: value for name, value in about.items() if value and basis.values.get(name)}
    return all(_plain(value) == _plain(basis.values[name]) for name, value in shared.items())


def _result_in(entry: Entry, check: str) -> tuple[Finding, CheckBasis] | None:
    """Return what a line has of a check with a side effect; nothing of one that is withheld."""
    if not isinstance(entry.data, Checked):
        return None
    findings = {finding.check: finding for finding in entry.data.findings}
    bases = {basis.check: basis for basis in entry.data.bases}
    return (findings[check], bases[check]) if check in findings and check in bases else None


def _earlier(
    history: JournalView,
    known: CheckIndex,
    result: CarriedResult,
    *,
    found: tuple[Finding, CheckBasis],
    today: str,
) -> EarlierResult | Due:
    """Return a result that counts; unless a line that it rests on is missing or withheld."""
    finding, basis = found
    named = set(finding.exchanges)
    refs = [ref for ref in known.exchanges if ref.seq in named]
    read = {ref.seq: history.read(ref).data for ref in refs}
    exchanges = {number: data for number, data in read.items() if isinstance(data, Exchange)}
    if len(exchanges) < len(named):
        return Due(f"A line of the result of {result.checked_on[:10]} is withheld.", today)
    sealed = (each.sealed for each in history.index.sealed)
    bundles = (each.bundle for each in sealed if each.journal.lines >= result.line)
    return EarlierResult(
        result=result,
        finding=finding,
        exchanges=exchanges,
        lines=(known.ref, *refs),
        basis=basis,
        bundle=next(bundles, ""),
    )
