"""
Decide whether an earlier result of a check with a side effect still counts. Pure.

Such a check uses something up, so its result counts for some days: for the same check, for the same
values, and until a later line contradicts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from runbook_lib.core.clock import days_after
from runbook_lib.core.faults import decides_nothing
from runbook_lib.core.model import Finding, Outcome, Value
from runbook_lib.run.attestations import is_same_value
from runbook_lib.run.events import (
    TYPES,
    EarlierResult,
    StepChecked,
    StepDefinition,
    ValuesJudged,
)
from runbook_lib.run.journal import Line
from runbook_lib.text import pluralize

# Allowed difference between the clocks of machines that write into one journal.
_TOLERANCE = timedelta(minutes=5)


class PresentCheck(NamedTuple):
    """A check with a side effect, as a run would make it now."""

    id: str
    """Id of the check."""

    step: str
    """Id of its step."""

    values: Mapping[str, Value | None]
    """The values that its result would be bound to."""

    code_digest: str
    """SHA-256 of its module."""

    days: int
    """Days for which a result counts."""


class EndedResult(NamedTuple):
    """Why an earlier result no longer counts, and the first day of that."""

    reason: str
    since: str


def find_earlier(
    lines: Sequence[Line],
    check: PresentCheck,
    steps: Sequence[StepDefinition],
    labels: Mapping[str, str],
    now: datetime,
) -> EarlierResult | EndedResult | None:
    """
    Return the newest verified result of `check` if it counts at `now`, or the reason against it.

    Return `None` if there was never a result for these values.
    """
    today = now.date().isoformat()
    for line in reversed(lines):
        event = line.event
        is_about = isinstance(event, StepChecked) and line.head.step == check.step
        if not is_about or not _has_same_values(event.binding.subject, check.values):
            continue
        found = [finding for finding in event.findings if finding.check == check.id]
        if not any(finding.outcome is Outcome.VERIFIED for finding in found):
            continue
        began = f"Verified on {line.head.at[:10]}"
        until = days_after(line.head.at, check.days)
        if event.code_digests.get(check.id) != check.code_digest:
            return EndedResult(f"{began}; the runbook's check has changed since.", today)
        if datetime.fromisoformat(line.head.at) > now + _TOLERANCE:
            return EndedResult(f"{began}, which is later than now: a clock was wrong.", today)
        if today > until:
            lasted = pluralize(check.days, "day")
            return EndedResult(f"{began}, which counted for {lasted}, until {until}.", until)
        if why := contradiction(line, check.id, lines, steps, labels):
            return EndedResult(f"{began}, but {why}.", today)
        return EarlierResult(line=line.head.seq, until=until)
    return None


def contradiction(
    result: Line,
    check: str,
    lines: Iterable[Line],
    steps: Sequence[StepDefinition],
    labels: Mapping[str, str],
) -> str:
    """
    Return a clause about a later one of `lines` that contradicts a result of `check`; empty without
    one.
    """
    values = result.event.binding.subject
    required = required_by(result.head.step, steps)
    numbers = {step.id: step.number for step in steps}
    secrets = {check.id: check.secrets for step in steps for check in step.checks}
    for line in lines:
        event = line.event
        if line.head.seq <= result.head.seq:
            continue
        is_own = line.head.step == result.head.step
        if event is None and is_own and line.head.type == TYPES[StepChecked]:
            return f"a result of {line.head.at[:10]} is withheld"
        if isinstance(event, ValuesJudged):
            for name, refused in event.refused.items():
                if is_same_value(values.get(name), refused):
                    return f"{labels.get(name, name)} was refused since"
        if isinstance(event, StepChecked):
            about = event.binding.subject
            is_same = _has_same_values(about, values)
            if is_own and is_same and any(_differs(part, check, event) for part in event.findings):
                return f"the check of {line.head.at[:10]} found otherwise"
            failed = [part for part in event.findings if part.outcome is Outcome.FAILED]
            used = {name for part in failed for name in secrets.get(part.check, ())}
            if not line.head.run and used & values.keys():
                return f"the watch saw step {numbers[line.head.step]} fail with the same secret"
            if failed and line.head.step in required and _shares_values(about, values):
                return f"step {numbers[line.head.step]}, which it requires, has failed since"
    return ""


def required_by(step_id: str, steps: Sequence[StepDefinition]) -> set[str]:
    """Return the ids of all steps that a step requires, directly or not."""
    requires = {step.id: step.requires for step in steps}
    required: set[str] = set()
    left = [*requires.get(step_id, ())]
    while left:
        name = left.pop()
        if name not in required:
            required.add(name)
            left += requires.get(name, ())
    return required


def _differs(finding: Finding, check: str, event: StepChecked) -> bool:
    """Return whether a finding says something else than verified about `check`."""
    if finding.check != check or finding.outcome is Outcome.VERIFIED:
        return False
    return check not in event.faults and not decides_nothing(finding, (), ())


def _has_same_values(
    earlier: Mapping[str, Value | None], present: Mapping[str, Value | None]
) -> bool:
    names = earlier.keys() | present.keys()
    return all(is_same_value(earlier.get(name), present.get(name)) for name in names)


def _shares_values(about: Mapping[str, Value | None], values: Mapping[str, Value | None]) -> bool:
    """Return whether the values that both have are equal."""
    shared = [name for name, value in about.items() if value and values.get(name)]
    return all(is_same_value(about[name], values[name]) for name in shared)
