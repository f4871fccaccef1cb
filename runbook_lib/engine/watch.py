"""
A watch: one look at what waits and what stands, in this process, and what has changed since.

An answer that differs counts when a second look says the same, a definite refusal at once, and an
outage never. Nothing is written to the journal: only a changed outcome is worth a sealed run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial

from runbook_lib.core.advice import what_to_do
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.core.procedure import Procedure, Step, combine
from runbook_lib.core.state import RunState, StepState
from runbook_lib.engine.duties import duties
from runbook_lib.engine.notify import deliver, escalate, send, trial, ways
from runbook_lib.engine.process import ProcessRequest, run_in_process
from runbook_lib.engine.run import Run, new_run_id, open_run
from runbook_lib.engine.tenants import TenantState, unknown_tenant
from runbook_lib.engine.watched import (
    WATCH_NAME,
    Answer,
    Change,
    Kind,
    Topic,
    Watched,
    read_watched,
    watched_alone,
)
from runbook_lib.errors import SettingsError
from runbook_lib.plain_text import counted

# What waits is looked at so often, and what is finished or spends something.
_WAITING = timedelta(minutes=15)
_FINISHED = timedelta(days=1)
# A changed answer counts when another look, so much later, says the same.
_CONFIRMED_AFTER = timedelta(minutes=5)
_OUTAGE = timedelta(days=1)
# Beyond this share of the app's calls of an hour, in percent, the watch leaves the rest to people.
_MOST_USED = 50
# So many days before something is due it is said.
_REMINDED = (30, 7, 1)
_SERVER_ERROR, _TOO_MANY = 500, 429
_WORDS = "words"


@dataclass(frozen=True, slots=True)
class Look:
    """One look: how many steps were asked, what nobody was shown yet, why nothing was asked."""

    asked: int
    changes: tuple[Change, ...]
    is_failing: bool
    is_unanswered: bool
    held: str = ""


@dataclass(slots=True)
class _Confirmed:
    """A changed answer that counts; `finding` is there where a check gave it."""

    key: str
    step: StepState
    topic: Topic
    was: Answer
    now: Answer
    finding: Finding | None = None

    @property
    def refuses(self) -> tuple[str, ...]:
        """Return the inputs whose value the remote system does not take."""
        return self.finding.refuses if self.finding else ()

    @property
    def moved(self) -> set[tuple[str, str]]:
        """Return what was and what is of each value that is another now."""
        return self.now.moved(self.topic.before or self.was)

    @property
    def is_unclear(self) -> bool:
        """Return whether a check for the worse cannot tell any more."""
        is_known = self.now.outcome is Outcome.FAILED or self.finding is None
        return self.now.is_worse(self.was) and not is_known


@dataclass(slots=True)
class _Cause:
    """Changed answers with one cause, the first of which names it."""

    first: _Confirmed
    others: list[_Confirmed] = field(default_factory=list)


def open_watch(
    procedure: Procedure,
    given: Mapping[str, object],
    *,
    tenant: str = "",
    evidence: str = "",
    env_file: str = "",
    clock: Callable[[], datetime] = utc_now,
) -> Watch:
    """
    Return a watch over a tenant that has a journal; arguments as `open_run` takes them.

    Raises `SettingsError` for a tenant without one, and like `open_run`.
    """
    # NOTE: a watch alters nothing, and makes no call that may count against the app.
    permits = {name for step in procedure.steps for c in step.checks for name in c.permitted_by}
    items = [item for item in procedure.inputs if item.default is False and item.name in permits]
    run = open_run(
        procedure,
        {**given, **{item.name: False for item in items}},
        mode=Mode.HEADLESS,
        tenant=tenant,
        evidence=evidence,
        env_file=env_file,
    )
    run.clock = clock
    if not run.journal.path.exists():
        raise SettingsError(unknown_tenant(run.tenant, str(run.evidence)))
    run.require_startable()
    return Watch(run)


class Watch:
    """The watch over the tenant of `run`, which is never started."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.path = run.journal.path.with_name(WATCH_NAME)
        self._ways = ways(run)
        self._requires = {step.id: step.requires for step in run.procedure.steps}

    def look(self) -> Look:
        """
        Look at what is due, and keep what was seen; changes stay unshown until `show`.

        Raises `BusyError` while another process looks, and `SettingsError` for a damaged file.
        """
        with watched_alone(self.path):
            watched, state, now = read_watched(self.path), self.run.whole_state, self.run.clock()
            steps, held = self._due(watched, state, now), ""
            used = self.run.used_calls if steps else 0.0
            if used > _MOST_USED:
                held = f"Not looked: {used:.0f} % of the app's calls of this hour are used."
                steps = []
            confirmed = [
                *self._look_at(steps, watched, state, timestamp(now)),
                *_words_of(state, watched, timestamp(now)),
            ]
            watched.is_unsealed |= any(
                change.finding and change.was.outcome is not change.now.outcome
                for change in confirmed
            )
            changes = [
                *self._changes(confirmed, watched, now),
                *_outage(watched, now),
                *self._reminders(state, watched, now),
            ]
            for change in changes:
                change.sending = dict.fromkeys(self._ways, "")
            if steps or changes:
                watched.changes += changes
                watched.looked_on = timestamp(now) if steps else watched.looked_on
                watched.save(self.path)
        topics = watched.topics.values()
        return Look(
            asked=len(steps),
            changes=tuple(watched.unshown),
            is_failing=any(t.known and t.known.outcome is Outcome.FAILED for t in topics),
            is_unanswered=any(topic.unanswered_since for topic in topics),
            held=held,
        )

    def show(self, changes: Iterable[Change]) -> None:
        """Keep that these changes were shown."""
        ids = {change.id for change in changes}
        with watched_alone(self.path):
            watched = read_watched(self.path)
            for change in watched.changes:
                if change.id in ids:
                    change.shown_on = timestamp(self.run.clock())
            watched.save(self.path)

    def notify(self) -> list[str]:
        """Send the messages that are due; return what was not accepted, and is sent again."""
        with watched_alone(self.path):
            watched = read_watched(self.path)
            escalate(watched, self.run, self.run.clock())
            return deliver(watched, self.run, partial(watched.save, self.path))

    def try_ways(self) -> list[str]:
        """Send a test message in each way; return the ways. Raises `NotSentError`."""
        if not self._ways:
            msg = "No way is set for messages."
            raise SettingsError(
                msg, next_step="Set mail_server, mail_from and mail_to, or webhook."
            )
        change = trial(self.run.clock(), f"test{new_run_id()}")
        for way in self._ways:
            send(self.run, change, way)
        return list(self._ways)

    def seal(self, every_days: int = 0) -> str:
        """
        Run and seal the tenant where an outcome changed, or `every_days` have passed since.

        Returns the folder of the bundle, empty where nothing was due. Raises `SealingError`.
        """
        watched, now = read_watched(self.path), self.run.clock()
        last = watched.sealed_on
        is_old = not last or now - datetime.fromisoformat(last) >= timedelta(days=every_days)
        if not (watched.is_unsealed or (every_days and is_old)):
            return ""
        run = self.run
        request = ProcessRequest(
            connector=run.procedure.id,
            tenant=run.tenant,
            evidence=str(run.evidence.absolute()),
            env_file=str(run.env_file) if run.env_file.is_file() else "",
            given=run.settings.values,
            secrets={
                item.variable_for(run.procedure.id): run.settings.secrets[item.name]
                for item in run.inputs
                if item.name in run.settings.secrets
            },
        )
        bundle = run_in_process(request).bundle
        with watched_alone(self.path):
            watched = read_watched(self.path)
            watched.is_unsealed, watched.sealed_on = False, timestamp(now)
            watched.save(self.path)
        return str(bundle)

    def _due(self, watched: Watched, state: RunState, now: datetime) -> list[Step]:
        """Return the steps to look at now."""
        due, values = [], self.run.values
        for step in self.run.procedure.steps:
            if not step.checks:
                continue
            topics = [watched.topics.get(_key(step, check.id), Topic()) for check in step.checks]
            is_open = any(topic.unanswered_since or topic.change for topic in topics)
            spends = any(values.get(name) for part in step.checks for name in part.permitted_by)
            is_quiet = spends or (state.steps[step.id].is_settled and not is_open)
            last, interval = watched.looked.get(step.id), _FINISHED if is_quiet else _WAITING
            is_due = last is None or now - datetime.fromisoformat(last) >= interval
            if is_due or any(topic.candidate for topic in topics):
                due.append(step)
        return due

    def _reminders(self, state: RunState, watched: Watched, now: datetime) -> Iterator[Change]:
        """Yield what is due in 30, 7 and 1 days, each once; a look knows the newest days."""
        today, run = now.date(), self.run
        watched.reminded = {
            name: day for name, day in watched.reminded.items() if day >= today.isoformat()
        }
        for duty in duties([TenantState(run.tenant, run.procedure.id, state)]):
            seen = [
                topic.known.details.get(f"{duty.what}_ends_on")
                for key, topic in watched.topics.items()
                if topic.known and key.partition("/")[0] == duty.step
            ]
            day = next(filter(None, seen), duty.day)
            left = (date.fromisoformat(day) - today).days
            reached = [days for days in _REMINDED if 0 <= left <= days]
            key = f"{duty.uid} {day} {min(reached, default=0)}"
            name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            if reached and name not in watched.reminded:
                watched.reminded[name] = day
                step = state.steps[duty.step]
                yield Change(
                    id=name,
                    kind=Kind.DUE,
                    on=timestamp(now),
                    since=duty.since,
                    step=duty.step,
                    title=f"{step.number} {step.step.title}",
                    reason=f"{duty.summary}: on {day}, in {counted(left, 'day')}.",
                    do=duty.description,
                    person=duty.person or step.assigned_to,
                )

    def _look_at(
        self, steps: list[Step], watched: Watched, state: RunState, on: str
    ) -> Iterator[_Confirmed]:
        """Ask, keep the answers, and yield those that changed and count."""
        for name, results in self.run.peek(steps).items():
            step = self.run.step(name)
            watched.looked[name] = on
            lacking = {check.id for check in step.checks if self.run.lacking(check)}
            for result in results:
                if result.finding.check in lacking:
                    continue
                key = _key(step, result.finding.check)
                topic = watched.topics.setdefault(key, Topic())
                self.run.redactor.allow(result.finding.facts.values())
                finding = masked(result.finding, self.run.redactor)
                seen = (exchange.recorded() for exchange in result.seen)
                if result.is_unanswered or self._is_fault(finding, seen):
                    topic.unanswered_since = topic.unanswered_since or on
                    topic.unanswered = finding.reason
                    continue
                topic.unanswered_since = topic.unanswered = ""
                if topic.known is None:
                    topic.known = self._baseline(state.steps[name], finding.check)
                was = _take(topic, Answer.of(finding, on), is_definite=bool(finding.refuses))
                if was and topic.known:
                    yield _Confirmed(key, state.steps[name], topic, was, topic.known, finding)

    def _is_fault(self, finding: Finding, seen: Iterable[Exchange]) -> bool:
        """Return whether a check could not tell, and a remote system had a fault meanwhile."""
        if finding.outcome is not Outcome.INCONCLUSIVE:
            return False
        return any(
            exchange.status is None
            or exchange.status >= _SERVER_ERROR
            or exchange.status == _TOO_MANY
            or any(
                provider.is_fault(exchange.response) for provider in self.run.procedure.providers
            )
            for exchange in seen
        )

    def _baseline(self, step: StepState, check: str) -> Answer | None:
        """Return what the journal says of a check that was not looked at before."""
        for finding in step.findings:
            seen = [step.exchanges[n] for n in finding.exchanges if n in step.exchanges]
            if finding.check == check and not self._is_fault(finding, seen):
                return Answer.of(finding, step.checked_on)
        return None

    def _changes(
        self, confirmed: list[_Confirmed], watched: Watched, now: datetime
    ) -> Iterator[Change]:
        """Yield a change for each cause, and one for each that is over."""
        on = timestamp(now)
        worse = [part for part in confirmed if part.now.is_worse(part.was)]
        over, rest = _over(confirmed)
        causes: list[_Cause] = []
        # What failed names a cause before what only could not be checked because of it.
        for part in sorted(rest, key=lambda part: part.now.outcome is not Outcome.FAILED):
            if cause := self._cause_of(part, [*causes, *over.values()]):
                cause.others.append(part)
            elif part in worse and (known := self._open_cause(part, watched)):
                part.topic.change, part.topic.before = known, part.topic.before or part.was
            else:
                causes.append(_Cause(part))
        for cause in causes:
            change = self._change(cause, on)
            for part in (cause.first, *cause.others):
                if part in worse:
                    part.topic.before = part.topic.before or part.was
                    part.topic.change = change.id
            yield change
        open_ones = {topic.change for topic in watched.topics.values()}
        for name, cause in over.items():
            if name not in open_ones:
                yield self._recovered(cause, name, watched, on)

    def _recovered(self, cause: _Cause, name: str, watched: Watched, on: str) -> Change:
        """Return the change with which that of the id `name` is over, under the same title."""
        began = next((change for change in watched.changes if change.id == name), None)
        parts = [cause.first, *cause.others]
        if began:
            key = f"{began.step}/{began.check}"
            parts.sort(key=lambda part: part.key != key)
        change = self._change(_Cause(parts[0], parts[1:]), on)
        change.kind, change.ends = Kind.RECOVERED, name
        if began:
            change.step, change.check, change.title = began.step, began.check, began.title
        return change

    def _cause_of(self, part: _Confirmed, causes: Iterable[_Cause]) -> _Cause | None:
        """Return the cause that a changed answer shares, if one was seen in this look."""
        for cause in causes:
            first = cause.first
            if part.moved & first.moved or (
                part.is_unclear and self._rests_on(part, first.key, first.now)
            ):
                return cause
            if part.is_unclear and set(part.refuses) & set(first.refuses):
                return cause
        return None

    def _open_cause(self, part: _Confirmed, watched: Watched) -> str:
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

    def _rests_on(self, part: _Confirmed, key: str, other: Answer) -> bool:
        """Return whether an answer follows from the `other`, of `key`."""
        is_required = key.partition("/")[0] in self._required_by(part.step.step.id)
        is_bad = other.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.NOT_RUN)
        return is_bad and (is_required or part.now.reason == other.reason)

    def _required_by(self, step: str) -> set[str]:
        """Return every step on which this one rests."""
        named = set(self._requires.get(step, ()))
        return named.union(*(self._required_by(name) for name in named))

    def _change(self, cause: _Cause, on: str) -> Change:
        first, run = cause.first, self.run
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
        resting = f"Steps that rest on it: {', '.join(rests)}." if rests else ""
        name = "\0".join((run.tenant, run.procedure.id, first.key, first.now.outcome, first.now.on))
        return Change(
            id=hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32],
            kind=Kind.FAILED if is_worse else Kind.CHANGED,
            on=on,
            since=first.now.on,
            person=step.assigned_to,
            step=step.step.id,
            check=check,
            title=f"{step.number} {step.step.title}",
            was=first.was.beside(first.now),
            now=first.now.beside(first.was),
            reason=first.now.reason,
            breaks=" ".join(filter(None, (*broken, resting))) if is_worse else "",
            do=what_to_do(seen),
            also=list(
                dict.fromkeys(
                    f"{part.step.number} {part.step.step.title}"
                    for part in cause.others
                    if part.step.step.id != step.step.id
                )
            ),
        )


def _key(step: Step, check: str) -> str:
    return f"{step.id}/{check}"


def _over(confirmed: Iterable[_Confirmed]) -> tuple[dict[str, _Cause], list[_Confirmed]]:
    """Return by the id of an open change what is as it was before it, and all other answers."""
    over: dict[str, _Cause] = {}
    rest = []
    for part in confirmed:
        topic = part.topic
        if topic.change and topic.before and not part.now.is_worse(topic.before):
            over.setdefault(topic.change, _Cause(part)).others.append(part)
            topic.change, topic.before = "", None
        else:
            rest.append(part)
    return over, rest


def _take(topic: Topic, answer: Answer, *, is_definite: bool) -> Answer | None:
    """Keep an answer; return the one that it replaces, if it counts and differs."""
    known = topic.known
    if known is None or known.is_like(answer):
        since = known.on if known else answer.on
        topic.known = Answer(answer.outcome, answer.reason, since, answer.details)
        topic.candidate = None
        return None
    first = topic.candidate
    if first is None or not first.is_like(answer):
        first = topic.candidate = answer
    age = datetime.fromisoformat(answer.on) - datetime.fromisoformat(first.on)
    if not is_definite and age < _CONFIRMED_AFTER:
        return None
    topic.known = Answer(answer.outcome, answer.reason, first.on, answer.details)
    topic.candidate = None
    return known


def _words_of(state: RunState, watched: Watched, on: str) -> Iterator[_Confirmed]:
    """Yield the words that have ended since, and those that were said again: no look is needed."""
    for step in state.steps.values():
        key = f"{step.step.id}/{_WORDS}"
        if not (step.ends_on or step.has_grown_old or key in watched.topics):
            continue
        topic = watched.topics.setdefault(key, Topic())
        is_old = step.has_grown_old
        answer = Answer(
            Outcome.NOT_RUN if is_old else Outcome.ATTESTED,
            step.again if is_old else step.conclusion.reason,
            on,
        )
        was = _take(topic, answer, is_definite=True)
        if was and topic.known:
            yield _Confirmed(key, step, topic, was, topic.known)


def _outage(watched: Watched, now: datetime) -> Iterator[Change]:
    """Yield that something has not been answered for a day, or that everything is again."""
    silent = [topic for topic in watched.topics.values() if topic.unanswered_since]
    oldest = min(silent, key=lambda topic: topic.unanswered_since, default=None)
    made = partial(Change, on=timestamp(now), title="Remote systems")
    if oldest and not watched.outage:
        since = oldest.unanswered_since
        if now - datetime.fromisoformat(since) >= _OUTAGE:
            watched.outage = hashlib.sha256(f"outage {since}".encode()).hexdigest()[:32]
            text = f"{counted(len(silent), 'check')} not answered. {oldest.unanswered}"
            yield made(id=watched.outage, kind=Kind.OUTAGE, since=since, reason=text)
    elif not oldest and watched.outage:
        ends, watched.outage = watched.outage, ""
        name = hashlib.sha256(f"over {ends}".encode()).hexdigest()[:32]
        text = "Every check is answered again."
        yield made(id=name, kind=Kind.OUTAGE_OVER, since=timestamp(now), reason=text, ends=ends)
