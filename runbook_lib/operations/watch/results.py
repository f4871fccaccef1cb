"""
Two polls of a check -> the result that counts. Pure: nothing is asked or saved here.

A different result counts once a second poll sees it too; a definite refusal counts at once; an
outage never counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.outcome import LABELS, OUTCOMES
from runbook_lib.operations.watch.watch_state import PolledCheck, WatchedStep, has_passed

# A different result counts when another poll, so much later, sees it too.
_CONFIRMED_AFTER = timedelta(minutes=5)
# The end of the name of a fact that is a day: that it moves is no change.
_ENDS_ON = "_ends_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPoll:
    """A check's result in one poll, and how far it counts."""

    seen: PolledCheck
    """The result."""
    is_silent: bool = False
    """The remote system did not answer, or had a fault: the result says nothing."""
    is_definite: bool = False
    """It counts without a second poll."""
    is_expected: bool = False
    """It cannot tell, and is meant so: only a person can see the rest."""


def is_alike(first: PolledCheck, other: PolledCheck) -> bool:
    """Return whether two results say the same; the words of a reason do not count."""
    is_same = (first.outcome, first.code, _names(first)) == (
        other.outcome,
        other.code,
        _names(other),
    )
    return is_same and not differing_values(first, other)


def differing_values(first: PolledCheck, other: PolledCheck) -> dict[str, str]:
    """Return the values of `one` that `other` has otherwise, unless both are as expected."""
    names = _names(first) & _names(other) - set(first.expected).intersection(other.expected)
    return {
        name: value
        for name, value in first.facts.items()
        if name in names and other.facts[name] != value
    }


def confirm_result(watched: WatchedStep, poll: CheckPoll, now: datetime) -> PolledCheck | None:
    """
    Take the result of a poll into `watched`; return the one that it replaces, if it counts.

    What got worse without failing lasts until it is as it was.
    """
    before = watched.before
    known = watched.current
    seen = poll.seen
    on = timestamp(now)
    is_undecided = seen.outcome is Outcome.INCONCLUSIVE and not is_failing(seen)
    could_tell = known is not None and known.outcome is not Outcome.INCONCLUSIVE
    is_taken_back = is_undecided and could_tell and before is not Outcome.INCONCLUSIVE
    if poll.is_silent or is_taken_back:
        watched.unanswered_since = not_later(watched.unanswered_since, on)
        watched.unanswered = seen.reason
        return None
    watched.unanswered_since = ""
    watched.unanswered = ""
    is_other = known is not None and not is_alike(known, seen)
    since = watched.since
    if is_other:
        if is_undecided and not (poll.is_expected or before is Outcome.INCONCLUSIVE):
            return None
        other = watched.unconfirmed
        is_again = other is not None and is_alike(other, seen)
        if not is_again or watched.unconfirmed_since > on:
            watched.unconfirmed_since = on
        watched.unconfirmed = seen
        since = watched.unconfirmed_since
        is_old = is_again and has_passed(_CONFIRMED_AFTER, since, now)
        if not (poll.is_definite or is_old):
            return None
    watched.current = seen
    watched.since = not_later(since, on)
    watched.seen_on = on
    watched.unconfirmed = None
    watched.unconfirmed_since = ""
    if known is None or not is_other:
        return None
    if before is None and not is_failing(known):
        before = known.outcome
    is_good = not is_failing(seen) and (before is None or _rank(seen) <= OUTCOMES[before].rank)
    watched.before = None if is_good else before
    return known


def explained_by(
    failing: Collection[tuple[str, str]],
    needs: Mapping[tuple[str, str], Collection[str]],
    required: Mapping[str, Collection[str]],
) -> set[tuple[str, str]]:
    """
    Return the checks that cannot tell anything because of one of the `failing` ones.

    They need all that the failing check `needs`, or their step `required` its step.
    """
    return {
        key
        for key, own in needs.items()
        for other in failing
        if key != other
        and (other[0] in required[key[0]] or (needs.get(other) and {*needs[other]} <= {*own}))
    }


def is_failing(result: PolledCheck | Finding) -> bool:
    """Return whether a check failed, or was refused for a known cause."""
    return result.outcome is Outcome.FAILED or is_cause(result)


def is_cause(result: PolledCheck | Finding) -> bool:
    """Return whether a check failed, or cannot tell, because of a cause that others share."""
    meaning = meaning_of(result.code)
    is_bad = result.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
    return is_bad and meaning is not None and meaning.is_cause


def is_broken(row: WatchedStep) -> bool:
    """Return whether a check fails, or its result is worse than it was."""
    return row.before is not None or (row.current is not None and is_failing(row.current))


def describe(check: PolledCheck, other: PolledCheck | None) -> str:
    """Return the outcome in words, with the values that `other` has otherwise."""
    values = differing_values(check, other) if other else {}
    named = ", ".join(f"{name}: {value}" for name, value in values.items())
    return f"{LABELS[check.outcome]} ({named})" if named else LABELS[check.outcome]


def moved_values(current: PolledCheck, replaced: PolledCheck) -> frozenset[tuple[str, str]]:
    """Return the old and the new text of each value that differs."""
    changed = differing_values(current, replaced)
    return frozenset((replaced.facts[name], value) for name, value in changed.items())


def is_better(current: PolledCheck, replaced: PolledCheck) -> bool:
    """Return whether a result is nearer to what is wanted than the one that it replaced."""
    is_nearer = len(current.expected) > len(replaced.expected)
    return is_nearer or _rank(current) < _rank(replaced)


def _rank(check: PolledCheck) -> int:
    return OUTCOMES[check.outcome].rank


def _names(check: PolledCheck) -> set[str]:
    return {name for name in check.facts if not name.endswith(_ENDS_ON)}
