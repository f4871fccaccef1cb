"""
Carrying: decide whether an earlier result of a check with a side effect still counts.

Pure: a journal and the present values in, an earlier result or the reason against it out. A result
counts for the same check (its id and its module), for the same values, for `Step.recheck_days`, and
until a later result contradicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from runbook_lib.core.attestation_rules import days_after
from runbook_lib.core.faults import decides_nothing
from runbook_lib.core.index import IndexedChecks, JournalIndex
from runbook_lib.core.journal import LineRef
from runbook_lib.core.model import (
    CarriedResult,
    CheckBasis,
    Exchange,
    Finding,
    JournalEntry,
    Outcome,
    StepChecked,
    Value,
)
from runbook_lib.core.procedure import Check, Procedure, Step
from runbook_lib.text import pluralize

# Allowed difference between the clocks of machines that write into one journal.
_TOLERANCE = timedelta(minutes=5)


class JournalView(Protocol):
    """A journal at one moment."""

    @property
    def index(self) -> JournalIndex:
        """The index of the lines that matter."""

    @property
    def read(self) -> Callable[[LineRef], JournalEntry]:
        """The function that returns the line at a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """An earlier result that counts, with the journal lines that it rests on."""

    result: CarriedResult
    """Its place in the journal, and its last day."""

    finding: Finding
    """The finding of the check at that time."""

    exchanges: Mapping[int, Exchange] = field(default_factory=dict)
    """The exchanges that the finding rests on, by number."""

    lines: tuple[LineRef, ...] = ()
    """The lines of the result and of its exchanges."""

    basis: CheckBasis | None = None
    """The values that it is about."""

    bundle: str = ""
    """The bundle that copied the line; empty if no bundle has copied it yet."""

    @property
    def sentence(self) -> str:
        """A sentence with the day and the run in which it was verified."""
        result = self.result
        run = f" in run {result.run_id}" if result.run_id else ""
        return (
            f"Verified on {result.checked_on[:10]}{run}, and not checked again in this run; it "
            f"counts until {result.until}."
        )


@dataclass(frozen=True, slots=True)
class OutdatedResult:
    """The reason why an earlier result no longer counts, and the first day of that."""

    reason: str
    since: str


def basis_of(
    check: Check, step: Step, procedure: Procedure, values: Mapping[str, Value], code_digest: str
) -> CheckBasis:
    """
    Return the basis of a result of `check`: the values of its `needs`, and the step's subject.

    `values` have fingerprints instead of secrets. A switch that only permits the check is left out.
    """
    switches = {item.name for item in procedure.inputs if item.default is False}
    names = dict.fromkeys((*check.needs, *step.subject))
    permits = switches.intersection(check.allowed_by)
    about = {name: values.get(name) or None for name in names if name not in permits}
    return CheckBasis(check=check.id, code_digest=code_digest, values=about)


def find_earlier(
    history: JournalView, procedure: Procedure, step: Step, basis: CheckBasis, now: datetime
) -> EarlierResult | OutdatedResult | None:
    """
    Return the newest verified result about `basis` that counts at `now`, or the reason against it.

    Return `None` if there was never a result about these values.
    """
    for check_index in reversed(history.index.based.get(step.id, ())):
        entry = history.read(check_index.ref)
        earlier_result = _result_in(entry, basis.check)
        if earlier_result is None or not is_same(earlier_result[1].values, basis.values):
            continue
        finding, earlier = earlier_result
        if finding.outcome is not Outcome.VERIFIED:
            continue
        began = entry.at[:10]
        until = days_after(entry.at, step.recheck_days)
        today = now.date().isoformat()
        if earlier.code_digest != basis.code_digest:
            return OutdatedResult(
                f"Verified on {began}; the runbook's check has changed since.", today
            )
        if datetime.fromisoformat(entry.at) > now + _TOLERANCE:
            return OutdatedResult(
                f"Verified on {began}, which is later than now: a clock was wrong.", today
            )
        if today > until:
            lasted = pluralize(step.recheck_days, "day")
            return OutdatedResult(
                f"Verified on {began}, which counted for {lasted}, until {until}.", until
            )
        objection = contradiction(history, procedure, step, earlier, after=check_index.ref.seq)
        if objection:
            return OutdatedResult(f"Verified on {began}, but {objection}.", today)
        result = CarriedResult(
            check=basis.check,
            code_digest=basis.code_digest,
            run_id=entry.run_id,
            line=check_index.ref.seq,
            sha256=check_index.ref.digest,
            checked_on=entry.at,
            recheck_days=step.recheck_days,
            until=until,
        )
        return _make_earlier_result(
            history, check_index, result, finding=finding, basis=earlier, today=today
        )
    return None


def read_carried(
    history: JournalView,
    procedure: Procedure,
    step: Step,
    known: IndexedChecks,
    result: CarriedResult,
    *,
    today: str,
    limit: int = 0,
) -> EarlierResult | OutdatedResult:
    """
    Return a result that a run carried, or the reason why it no longer counts.

    `known` is its place in the index. Lines after `limit`, if not 0, do not contradict it.
    """
    entry = history.read(known.ref)
    earlier_result = _result_in(entry, result.check)
    began = result.checked_on[:10]
    if earlier_result is None or result.sha256 != known.ref.digest or entry.step != step.id:
        return OutdatedResult(
            f"The line of the result of {began} is withheld, or another one.", today
        )
    finding, basis = earlier_result
    if finding.outcome is not Outcome.VERIFIED:
        return OutdatedResult(f"The result of {began} is not verified.", today)
    if today > result.until:
        return OutdatedResult(
            f"Verified on {began}, which counted until {result.until}.", result.until
        )
    objection = contradiction(history, procedure, step, basis, after=known.ref.seq, limit=limit)
    if objection:
        return OutdatedResult(f"Verified on {began}, but {objection}.", today)
    return _make_earlier_result(history, known, result, finding=finding, basis=basis, today=today)


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
    Return a clause about a later line that contradicts a result about `basis`; empty without such
    a line.

    Lines after the number `after` count, up to `limit` if that is not 0.
    """
    index = history.index

    def is_later(line: int) -> bool:
        return line > after and (not limit or line <= limit)

    for check_index in index.based.get(step.id, ()):
        entry = history.read(check_index.ref) if is_later(check_index.ref.seq) else None
        if entry and not isinstance(entry.data, StepChecked):
            return f"a result of {entry.at[:10]} is withheld"
        later_result = _result_in(entry, basis.check) if entry else None
        if (
            entry is None
            or later_result is None
            or not is_same(later_result[1].values, basis.values)
        ):
            continue
        exchanges = [history.read(ref).data for ref in check_index.exchanges]
        if later_result[0].outcome is not Outcome.VERIFIED and not decides_nothing(
            later_result[0],
            (exchange for exchange in exchanges if isinstance(exchange, Exchange)),
            procedure.providers,
        ):
            return f"the check of {entry.at[:10]} found otherwise"
    labels = {item.name: item.label for item in procedure.settings}
    for name in _refused_later(index, basis, is_later):
        return f"{labels.get(name, name)} was refused since"
    numbers = procedure.numbers
    for required in sorted(procedure.required_by(step.id)):
        for ref in index.failures.get(required, ()):
            if is_later(ref.seq) and _has_same_values(history.read(ref), basis):
                return f"step {numbers[required]}, which it requires, has failed since"
    return ""


def is_same(earlier: Mapping[str, Value | None], current: Mapping[str, Value | None]) -> bool:
    """Return whether two results are about the same values, in any order of a list."""
    return {name: _comparable(value) for name, value in earlier.items()} == {
        name: _comparable(value) for name, value in current.items()
    }


def _comparable(value: Value | None) -> object:
    return frozenset(value) if isinstance(value, tuple) else value


def _refused_later(
    index: JournalIndex, basis: CheckBasis, is_later: Callable[[int], bool]
) -> Iterable[str]:
    """Yield the name of each value of `basis` that a remote system refused later."""
    for name, value in basis.values.items():
        for refusal in index.refusals.get(name, ()):
            if is_later(refusal.line) and _comparable(refusal.value) == _comparable(value):
                yield name


def _has_same_values(entry: JournalEntry, basis: CheckBasis) -> bool:
    """Return whether the checks in `entry` were about the values of `basis`, as far as shared."""
    about = entry.data.binding.subject
    shared = {name: value for name, value in about.items() if value and basis.values.get(name)}
    return all(
        _comparable(value) == _comparable(basis.values[name]) for name, value in shared.items()
    )


def _result_in(entry: JournalEntry, check: str) -> tuple[Finding, CheckBasis] | None:
    """Return a check's finding and basis in a line; `None` if the line has none or is withheld."""
    if not isinstance(entry.data, StepChecked):
        return None
    findings = {finding.check: finding for finding in entry.data.findings}
    bases = {basis.check: basis for basis in entry.data.bases}
    return (findings[check], bases[check]) if check in findings and check in bases else None


def _make_earlier_result(
    history: JournalView,
    known: IndexedChecks,
    result: CarriedResult,
    *,
    finding: Finding,
    basis: CheckBasis,
    today: str,
) -> EarlierResult | OutdatedResult:
    """Return a result that counts, or the reason that one of its lines is withheld."""
    named = set(finding.exchanges)
    refs = [ref for ref in known.exchanges if ref.seq in named]
    lines_by_number = {ref.seq: history.read(ref).data for ref in refs}
    exchanges = {
        number: data for number, data in lines_by_number.items() if isinstance(data, Exchange)
    }
    if len(exchanges) < len(named):
        return OutdatedResult(
            f"A line of the result of {result.checked_on[:10]} is withheld.", today
        )
    seals = (bundle.sealed for bundle in history.index.sealed)
    bundles = (sealed.bundle for sealed in seals if sealed.journal.lines >= result.line)
    return EarlierResult(
        result=result,
        finding=finding,
        exchanges=exchanges,
        lines=(known.ref, *refs),
        basis=basis,
        bundle=next(bundles, ""),
    )
