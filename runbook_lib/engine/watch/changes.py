"""
Changed answers with one cause are one change, and so is its end. Nothing is asked here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from runbook_lib.core.advice import what_to_do
from runbook_lib.core.conclusion import combine
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Step
from runbook_lib.core.state import StepState
from runbook_lib.engine.run import Run
from runbook_lib.engine.watch.answers import Change, Kind, Observation, Topic, Watched, digest


@dataclass(slots=True)
class Confirmed:
    """A changed answer that counts; `finding` is there where a check gave it."""

    key: str
    step: StepState
    topic: Topic
    was: Observation
    now: Observation
    finding: Finding | None = None

    @property
    def refuses(self) -> tuple[str, ...]:
        """Return the inputs whose value the remote system does not take."""
        return self.finding.refuses if self.finding else ()

    @property
    def code(self) -> str:
        """Return the code of the finding; empty where no check gave it."""
        return self.finding.code if self.finding else ""

    @property
    def moved(self) -> list[tuple[str, ...]]:
        """Return what was and what is of each value that is another now."""
        return self.now.moved(self.topic.before or self.was)

    @property
    def is_unclear(self) -> bool:
        """Return whether a check for the worse cannot tell any more."""
        is_known = self.now.outcome is Outcome.FAILED or self.finding is None
        return self.now.is_worse(self.was) and not is_known


# Changed answers with one cause; the first one names it.
_Cause = list[Confirmed]


class Causes:
    """Finds what the changed answers of one look at `run` have in common."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._requires = {step.id: step.requires for step in run.procedure.steps}
        self._needs = {
            f"{step.id}/{check.id}": set(check.needs)
            for step in run.procedure.steps
            for check in step.checks
        }

    def related(
        self,
        confirmed: Iterable[Confirmed],
        watched: Watched,
        looked: set[str],
        on: str,
        undecided: Mapping[str, Finding],
    ) -> list[Step]:
        """
        Return unchecked steps that may share the cause of a new problem.

        `undecided` are the findings that cannot tell any more, by key: a step that can may fail.
        """
        worse = {part.key for part in confirmed if part.now.is_worse(part.was)}
        worse.update(undecided)
        for key, topic in watched.topics.items():
            first = topic.candidate
            if topic.known and first and first.on == on and first.is_worse(topic.known):
                worse.add(key)
        steps = {key.partition("/")[0] for key in worse}
        refused = {name for part in confirmed for name in part.refuses}
        refused.update(name for finding in undecided.values() for name in finding.refuses)
        values = self.run.values
        related = []
        for step in self.run.procedure.steps:
            required = self.required_by(step.id)
            needs = {name for check in step.checks for name in check.needs}
            is_near = required & steps or any(step.id in self.required_by(name) for name in steps)
            spends = any(values.get(name) for check in step.checks for name in check.permitted_by)
            is_unseen = step.checks and step.id not in looked and not spends
            if is_unseen and (is_near or needs & refused):
                related.append(step)
        return related

    def changes(self, confirmed: list[Confirmed], watched: Watched, on: str) -> Iterator[Change]:
        """Yield a change for each cause, and one for each that is over."""
        worse = [part for part in confirmed if part.now.is_worse(part.was)]
        over, rest = _over(confirmed)
        causes: list[_Cause] = []
        # What failed names a cause before what only could not be checked because of it, and what
        # saw most of it, such as every permission of a review, before what saw less.
        rest.sort(key=lambda part: (part.now.outcome is not Outcome.FAILED, -len(part.moved)))
        for part in rest:
            if cause := self._cause_of(part, [*causes, *over.values()]):
                # Of several steps whose value is refused alike, the last says where it is copied.
                is_refused_alike = bool(part.refuses) and part.code == cause[0].code
                cause.insert(0 if is_refused_alike else len(cause), part)
            elif part in worse and (known := self._open_cause(part, watched)):
                part.topic.change, part.topic.before = known, part.topic.before or part.was
            else:
                causes.append([part])
        for cause in causes:
            change = self._change(cause, on)
            for part in cause:
                # What shares the cause, and fails nothing, is looked at with it until it is over.
                if part in worse or cause[0] in worse:
                    part.topic.before = part.topic.before or part.was
                    part.topic.change = change.id
            yield change
        open_ones = {topic.change for topic in watched.topics.values() if topic.is_worse}
        for name, cause in over.items():
            if name not in open_ones:
                yield self._recovered(cause, name, watched, on)

    def _recovered(self, cause: _Cause, name: str, watched: Watched, on: str) -> Change:
        """Return the change that ended change `name`, with the same title."""
        for topic in watched.topics.values():
            if topic.change == name:
                topic.change, topic.before = "", None
        began = next((change for change in watched.changes if change.id == name), None)
        if began:
            key = f"{began.step}/{began.check}"
            cause.sort(key=lambda part: part.key != key)
        change = self._change(cause, on)
        change.kind, change.ends, change.reason = Kind.RECOVERED, name, cause[0].now.reason
        if began:
            change.step, change.check, change.title = began.step, began.check, began.title
        return change

    def _cause_of(self, part: Confirmed, causes: Iterable[_Cause]) -> _Cause | None:
        """Return the cause that a changed answer shares, if one was seen in this look."""
        for cause in causes:
            first = cause[0]
            if set(part.moved).intersection(first.moved) or (
                part.is_unclear and self._rests_on(part, first.key, first.now)
            ):
                return cause
            is_refused_alike = bool(set(part.refuses) & set(first.refuses))
            if is_refused_alike and (part.is_unclear or part.code == first.code):
                return cause
        return None

    def _open_cause(self, part: Confirmed, watched: Watched) -> str:
        """Return the open change on which this one rests, if it cannot tell any more."""
        topics = watched.topics.items()
        causes = [(key, topic.known, topic.change) for key, topic in topics if topic.change]
        return next(
            (
                change
                for key, known, change in causes
                if known and part.is_unclear and self._rests_on(part, key, known)
            ),
            "",
        )

    def _rests_on(self, part: Confirmed, key: str, other: Observation) -> bool:
        """Return whether an answer follows from the `other`, of `key`."""
        is_required = key.partition("/")[0] in self.required_by(part.step.step.id)
        is_bad = other.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.NOT_RUN)
        # A value that is refused to one check is refused to the other, and one quotes the refusal.
        needs, reasons = self._needs.get(key, set()), (part.now.plain_reason, other.plain_reason)
        is_quoted = (
            bool(needs)
            and needs <= self._needs.get(part.key, set())
            and min(reasons, key=len) in max(reasons, key=len)
        )
        return is_bad and (is_required or is_quoted or part.now.reason == other.reason)

    def required_by(self, step: str) -> set[str]:
        """Return every step on which `step` rests."""
        named = set(self._requires.get(step, ()))
        return named.union(*(self.required_by(name) for name in named))

    def explained(self, watched: Watched) -> set[str]:
        """
        Return the keys of the topics that an open failure explains.

        A check cannot tell anything where a value that it needs too is refused, or where a step
        fails that its own requires.
        """
        failing = {
            key
            for key, topic in watched.topics.items()
            if topic.change and topic.known and topic.known.outcome is Outcome.FAILED
        }
        return {
            key
            for key in watched.topics
            for other in failing
            if key != other and self._is_explained(key, other)
        }

    def _is_explained(self, key: str, other: str) -> bool:
        needs = self._needs.get(other, set())
        is_required = other.partition("/")[0] in self.required_by(key.partition("/")[0])
        return is_required or (bool(needs) and needs <= self._needs.get(key, set()))

    def _change(self, cause: _Cause, on: str) -> Change:
        first, run = cause[0], self.run
        is_worse = first.now.is_worse(first.was)
        step, check = first.step, first.key.partition("/")[2]
        findings = (first.finding,) if first.finding else ()
        conclusion = combine(findings)
        seen = replace(step, findings=findings, conclusion=conclusion) if conclusion else step
        broken = [provider.breaks(check) for provider in run.procedure.providers]
        rests = [
            run.procedure.numbers[name]
            for name, required in self._requires.items()
            if step.step.id in required
        ]
        resting = f"Steps that depend on it: {', '.join(rests)}." if rests else ""
        warnings = first.finding.warnings if first.finding and not is_worse else ()
        return Change(
            id=digest(run.tenant, run.procedure.id, first.key, first.now.outcome, first.now.on),
            kind=Kind.FAILED if is_worse else Kind.CHANGED,
            on=on,
            since=first.now.on,
            person=step.assigned_to,
            step=step.step.id,
            check=check,
            title=f"{step.number} {step.step.title}",
            was=first.was.beside(first.now),
            now=first.now.beside(first.was),
            reason=" ".join((first.now.reason, *warnings)),
            breaks=" ".join(filter(None, (*broken, resting))) if is_worse else "",
            do=what_to_do(seen),
            also=list(
                dict.fromkeys(
                    f"{part.step.number} {part.step.step.title}"
                    for part in cause
                    if part.step.step.id != step.step.id
                )
            ),
        )


def _over(confirmed: Iterable[Confirmed]) -> tuple[dict[str, _Cause], list[Confirmed]]:
    """Return by the id of an open change what is as it was before it, and all other answers."""
    over: dict[str, _Cause] = defaultdict(list)
    rest = []
    for part in confirmed:
        topic, before = part.topic, part.topic.before
        is_back = before and (
            part.now.is_like(before)
            or (part.was.is_worse(before) and not part.now.is_worse(before))
        )
        if topic.change and is_back:
            over[topic.change].append(part)
            topic.change, topic.before = "", None
        else:
            rest.append(part)
    return over, rest
