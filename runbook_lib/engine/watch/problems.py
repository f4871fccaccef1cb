"""
Two polls of a tenant -> problems, and their ends. Pure: nothing is asked or saved here.

A different result counts once a second poll sees it too; a definite refusal counts at once; an
outage never counts. A failed check has an open problem, also if it failed before the first poll.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import LABELS, OUTCOMES
from runbook_lib.engine.watch.watch_state import (
    PolledCheck,
    Problem,
    ProblemKind,
    WatchedStep,
    WatchedTenant,
    has_passed,
    identify,
)

# A different result counts when another poll, so much later, sees it too.
_CONFIRMED_AFTER = timedelta(minutes=5)
# Without a result for so long, it is one problem.
_OUTAGE_AFTER = timedelta(days=1)
# A check that could not be read when another one's problem ended may see the same so much later.
_SAME_CHANGE_WITHIN = timedelta(days=1)
# The end of the name of a fact that is a day: that it moves is no change.
_ENDS_ON = "_ends_on"
OUTAGE_CHECK = "outage"
UNUSABLE_CHECK = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPoll:
    """A check's result in one poll, and how far it counts."""

    seen: PolledCheck
    """The result."""
    is_silent: bool = False
    """The remote system did not answer, or had a fault: the result says nothing."""
    is_definite: bool = False
    """It counts without a second poll."""
    is_failing: bool = False
    """It needs people by itself, whatever was before."""
    is_expected: bool = False
    """It cannot tell, and is meant so: only a person can see the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemText:
    """The texts of a problem of a step."""

    title: str
    """The problem in one line, if no known cause names it."""
    place: str
    """Number and title of the step."""
    reason: str
    """The reason of the finding."""
    impact: str = ""
    """The effects for customers; empty if they are unknown."""
    advice: str = ""
    """The advice for a person."""
    news: str = ""
    """The headline of good news: its subject, and how many; empty for the meaning of its code."""
    next: str = ""
    """The next step after good news."""
    person: str = ""
    """The person who has the step; empty for the tenant's own address."""


@dataclass(slots=True)
class PollVerdict:
    """The changes by a poll of one check."""

    began: Problem | None = None
    """A new problem, or news."""
    ended: Problem | None = None
    """The problem that is over, or that the new one replaces."""
    moved: frozenset[tuple[str, str]] = frozenset()
    """The old and the new text of each value that differs."""
    are_values_alone: bool = False
    """Whether it is news of other values, with the outcome that was."""

    @property
    def is_worse(self) -> bool:
        """Whether a lasting problem began."""
        return bool(self.began and self.began.kind.lasts)


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


def confirm_result(
    watched: WatchedStep, poll: CheckPoll, before: Outcome | None, now: datetime
) -> PolledCheck | None:
    """
    Take the result of a poll into `watched`; return the one that it replaces, if it counts.

    `before` is the outcome at which an open problem is over.
    """
    known = watched.current
    seen = poll.seen
    on = timestamp(now)
    is_undecided = seen.outcome is Outcome.INCONCLUSIVE and not poll.is_failing
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
    return known if is_other else None


def judge_poll(
    watched: WatchedStep,
    poll: CheckPoll,
    known: Problem | None,
    text: ProblemText,
    now: datetime,
) -> PollVerdict:
    """
    Take a poll into `watched`; return the problem that begins or ends with it.

    `known` is the open problem of the check.
    """
    replaced = confirm_result(watched, poll, known.before if known else None, now)
    current = watched.current
    if current is None:
        return PollVerdict()
    if replaced is None:
        is_unknown = not known and poll.is_failing and current is poll.seen
        return PollVerdict(_begin(watched, current, text, now)) if is_unknown else PollVerdict()
    verdict = PollVerdict(moved=_moved(current, replaced))
    if known and _is_over(known, current, poll):
        verdict.ended = replace(
            known,
            ended_on=timestamp(now),
            end_reason=current.reason,
            moved=sorted(verdict.moved),
        )
        return verdict
    if known or poll.is_failing or _rank(current) > _rank(replaced):
        before = known.before if known else replaced.outcome
        verdict.began = _begin(watched, current, text, now, replaced=replaced, before=before)
        if known:
            verdict.ended = replace(known, ended_on=timestamp(now), is_superseded=True)
    elif current.outcome is not replaced.outcome or verdict.moved:
        verdict.began = _begin(
            watched, current, text, now, replaced=replaced, kind=ProblemKind.CHANGED
        )
        verdict.are_values_alone = current.outcome is replaced.outcome
    return verdict


def join_causes(
    verdicts: Collection[PollVerdict], problems: Iterable[Problem], now: datetime
) -> None:
    """
    Give the problems of one poll that share a changed value the cause of the first one.

    Each check that reads an app's name sees that the app was renamed. Changed values alone are no
    news if they also changed with an open or just ended problem of `problems`.
    """
    ended = [verdict.ended for verdict in verdicts if verdict.ended]
    known_moves = [
        {*problem.moved}
        for problem in (*problems, *ended)
        if problem.is_open or not has_passed(_SAME_CHANGE_WITHIN, problem.ended_on, now)
    ]
    for verdict in verdicts:
        if verdict.are_values_alone and any(verdict.moved <= moved for moved in known_moves):
            verdict.began = None
    began = [(verdict, verdict.began) for verdict in verdicts if verdict.began]
    began.sort(key=lambda pair: (not pair[1].kind.lasts, -len(pair[0].moved)))
    known: list[tuple[frozenset[tuple[str, str]], str]] = []
    for verdict, problem in began:
        cause = next((cause for moved, cause in known if moved & verdict.moved), "")
        problem.cause = cause or problem.cause
        known.append((verdict.moved, problem.cause))


def judge_outage(
    tenant: str,
    steps: Iterable[WatchedStep],
    known: Problem | None,
    explained: Collection[tuple[str, str]],
    now: datetime,
) -> Problem | None:
    """
    Return the problem of a check without a result for a day, or its end; else `None`.

    An outage that an open problem explains (`explained`, by step and check) does not count: its
    time begins again.
    """
    on = timestamp(now)
    silent = []
    for step in steps:
        if not step.unanswered_since:
            continue
        if (step.step, step.check) in explained:
            step.unanswered_since = on
        else:
            silent.append(step)
    oldest = min(silent, key=lambda step: step.unanswered_since, default=None)
    if oldest and not known and has_passed(_OUTAGE_AFTER, oldest.unanswered_since, now):
        return Problem(
            id=identify("outage", tenant, oldest.unanswered_since),
            tenant=tenant,
            kind=ProblemKind.OUTAGE,
            step="",
            check=OUTAGE_CHECK,
            title="Some checks have had no response for a day",
            since=oldest.unanswered_since,
            on=on,
            cause=f"outage {oldest.unanswered}",
            reason=oldest.unanswered,
            advice="Look at the reason. The watch goes on trying.",
        )
    if not oldest and known:
        return replace(known, ended_on=on, end_reason="Every check can tell again.")
    return None


def judge_unusable(row: WatchedTenant, known: Problem | None, now: datetime) -> Problem | None:
    """
    Return the problem of a tenant that cannot be polled, or whose last run has no good end.

    Return its end if that is over; else `None`.
    """
    on = timestamp(now)
    if row.unusable and not known:
        return Problem(
            id=identify(UNUSABLE_CHECK, row.tenant, row.unusable_title, row.unusable_since),
            tenant=row.tenant,
            kind=ProblemKind.FAILED,
            step="",
            check=UNUSABLE_CHECK,
            title=row.unusable_title,
            since=row.unusable_since,
            on=on,
            cause=f"unusable {row.unusable}",
            reason=row.unusable,
            advice=row.unusable_advice,
        )
    if known and not row.unusable:
        return replace(known, ended_on=on, end_reason="It can be checked again.")
    return None


def explained_by(
    problems: Iterable[Problem],
    needs: Mapping[tuple[str, str], Collection[str]],
    required: Mapping[str, Collection[str]],
) -> set[tuple[str, str]]:
    """
    Return the checks that cannot tell anything because of one of the open `problems`.

    They need all that the failing check `needs`, or their step `required` its step.
    """
    failing = [(problem.step, problem.check) for problem in problems if problem.is_open]
    return {
        key
        for key, own in needs.items()
        for other in failing
        if key != other
        and (other[0] in required[key[0]] or (needs.get(other) and {*needs[other]} <= {*own}))
    }


def open_problems(problems: Iterable[Problem]) -> dict[tuple[str, str], Problem]:
    """Return the open problems by step and check."""
    return {(problem.step, problem.check): problem for problem in problems if problem.is_open}


def _begin(
    watched: WatchedStep,
    current: PolledCheck,
    text: ProblemText,
    now: datetime,
    *,
    replaced: PolledCheck | None = None,
    before: Outcome | None = None,
    kind: ProblemKind = ProblemKind.FAILED,
) -> Problem:
    meaning = meaning_of(current.code)
    is_news = kind is ProblemKind.CHANGED
    if is_news and replaced and replaced.code == current.code:
        meaning = None  # only its values are news
    shown = describe(current, replaced)
    title = text.place if is_news else text.title
    if meaning:
        title = meaning.means.rstrip(".")
    if text.news and replaced and _is_better(current, replaced):
        title = text.news
    cause = f"code {current.code}" if meaning else f"{watched.step} {shown} {current.reason}"
    return Problem(
        id=identify(watched.tenant, watched.step, watched.check, kind, current.code, watched.since),
        tenant=watched.tenant,
        kind=kind,
        step=watched.step,
        check=watched.check,
        title=title,
        since=watched.since,
        on=timestamp(now),
        cause=f"{kind} {cause}" if is_news else cause,
        code=current.code,
        was=describe(replaced, current) if replaced else "",
        now=shown,
        reason=text.reason,
        impact="" if is_news else text.impact,
        advice=text.next or text.advice if is_news else text.advice,
        place=text.place,
        person=text.person,
        before=before,
        moved=sorted(_moved(current, replaced)) if replaced else [],
    )


def describe(check: PolledCheck, other: PolledCheck | None) -> str:
    """Return the outcome in words, with the values that `other` has otherwise."""
    values = differing_values(check, other) if other else {}
    named = ", ".join(f"{name}: {value}" for name, value in values.items())
    return f"{LABELS[check.outcome]} ({named})" if named else LABELS[check.outcome]


def _is_over(problem: Problem, current: PolledCheck, poll: CheckPoll) -> bool:
    is_back = problem.before is None or _rank(current) <= OUTCOMES[problem.before].rank
    return is_back and not poll.is_failing


def _moved(current: PolledCheck, replaced: PolledCheck) -> frozenset[tuple[str, str]]:
    changed = differing_values(current, replaced)
    return frozenset((replaced.facts[name], value) for name, value in changed.items())


def _is_better(current: PolledCheck, replaced: PolledCheck) -> bool:
    is_nearer = len(current.expected) > len(replaced.expected)
    return is_nearer or _rank(current) < _rank(replaced)


def _rank(check: PolledCheck) -> int:
    return OUTCOMES[check.outcome].rank


def _names(check: PolledCheck) -> set[str]:
    return {name for name in check.facts if not name.endswith(_ENDS_ON)}
