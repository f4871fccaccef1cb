"""
A watch: one look at what waits and what stands, in this process, and what has changed since.

An answer that differs counts when a second look says the same, a definite refusal at once, and an
outage never. Nothing is written to the journal: only a changed outcome is worth a sealed run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from runbook_lib.connectors.registry import known_variables
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Procedure, Step
from runbook_lib.core.state import RunState, StepState
from runbook_lib.engine.customer_connections import CONSOLE, Customers
from runbook_lib.engine.duties import duties
from runbook_lib.engine.process import ProcessRequest, run_in_process
from runbook_lib.engine.run import Run, open_run, require_within_reach
from runbook_lib.engine.tenants import TenantState, unknown_tenant
from runbook_lib.engine.watch.answers import (
    WATCH_NAME,
    Change,
    Kind,
    Observation,
    Topic,
    Watched,
    digest,
    read_watched,
    watched_alone,
)
from runbook_lib.engine.watch.changes import Causes, Confirmed
from runbook_lib.engine.watch.channels import addresses
from runbook_lib.engine.watch.customers import CUSTOMERS, customer_changes, unconfirmed
from runbook_lib.errors import BusyError, ExitCode, RemoteError, SettingsError
from runbook_lib.plain_text import counted

# What waits is looked at so often, and what is finished or spends something.
_WAITING = timedelta(minutes=15)
_FINISHED = timedelta(days=1)
_OUTAGE = timedelta(days=1)
# A run takes dozens of the app's calls: one that is not sealed is not repeated at each look.
_SEALED_AGAIN = timedelta(hours=1)
# Beyond this share of the app's calls of an hour, in percent, the watch leaves the rest to people.
_MOST_USED = 50
# So many days before something is due it is said.
_REMINDED = (30, 7, 1)
_WORDS = "words"
_FIRST_RUN = "To begin it, run `runbook run` once (with --sandbox to practise), then watch again."


class _OutOfTimeError(Exception):
    """The time for asking the customers is over."""


@dataclass(frozen=True, slots=True)
class WatchResult:
    """One look: how many were asked, what is known now, and what is to be said of it."""

    asked: int
    watched: Watched
    held: str = ""

    @property
    def code(self) -> ExitCode:
        """Return the exit code: 1 if something fails now, 3 if something was not answered."""
        topics = self.watched.topics.values()
        if any(topic.known and topic.known.outcome is Outcome.FAILED for topic in topics):
            return ExitCode.FAILED
        is_unanswered = any(topic.unanswered_since for topic in topics)
        return ExitCode.INCOMPLETE if self.held or is_unanswered else ExitCode.COMPLETE


def open_watched(
    procedure: Procedure,
    given: Mapping[str, object],
    *,
    clock: Callable[[], datetime] = utc_now,
    **options: Any,
) -> Run:
    """
    Return a run of a tenant that has a journal, to watch it; `options` are those of `open_run`.

    Raises `SettingsError` for a tenant without one, and like `open_run`.
    """
    # NOTE: a watch alters nothing, and makes no call that may count against the app.
    permits = {name for step in procedure.steps for c in step.checks for name in c.permitted_by}
    items = [item for item in procedure.inputs if item.default is False and item.name in permits]
    all_given = {**given, **{item.name: False for item in items}}
    run = open_run(procedure, all_given, mode=Mode.HEADLESS, **options)
    run.clock = clock
    require_within_reach(procedure, run.values)
    if not run.journal.path.exists():
        msg = unknown_tenant(run.tenant, str(run.evidence), begin=_FIRST_RUN)
        raise SettingsError(msg, next_step="")
    run.require_startable()
    addresses(run)  # raises for a channel with a missing setting
    return run


class Watch:
    """The watch over the tenant of `run`, which is never started."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.path = run.journal.path.with_name(WATCH_NAME)

    def look(self) -> WatchResult:
        """
        Look at what is due, and keep what was seen; changes stay unshown until `mark_shown`.

        Raises `BusyError` while another process looks, and `SettingsError` for a damaged file.
        """
        with watched_alone(self.path):
            state = self.run.whole_state
            now = self.run.clock()
            watched = read_watched(self.path)
            steps, held, on = self._due(watched, state, now), "", timestamp(now)
            used = self.run.used_calls if steps else 0.0
            if used > _MOST_USED:
                held = f"Not checked: {used:.0f} % of the app's calls of this hour are used."
                steps = []
            undecided: dict[str, Finding] = {}
            confirmed = [*self._look_at(steps, watched, state, on, undecided)]
            # When a cause shows, steps that may share it are checked too, so that it is one change.
            causes = Causes(self.run)
            checked = {step.id for step in steps}
            related = causes.related(confirmed, watched, checked, on, undecided)
            confirmed += self._look_at(related, watched, state, on, undecided)
            confirmed += _words_of(state, watched, on)
            if any(part.finding and part.was.outcome is not part.now.outcome for part in confirmed):
                watched.unsealed_since = on
            changes = [
                *causes.changes(confirmed, watched, on),
                *_outage(self.run, watched, now, causes.explained(watched)),
                *self._reminders(state, watched, now),
            ]
            if steps or changes:
                watched.looked_on = on if steps else watched.looked_on
                watched.changes += changes
                watched.save(self.path)
        return WatchResult(len(steps) + len(related), watched, held)

    def due_customers(self, watched: Watched) -> list[str] | None:
        """Return the customers to ask now: none of them for all, `None` for nobody."""
        run, topic = self.run, watched.topics.get(CUSTOMERS, Topic())
        known = {**run.values, **run.settings.secrets}
        last = watched.looked.get(CUSTOMERS, "")
        interval = _WAITING if topic.unanswered_since else _FINISHED
        if not all(map(known.get, CONSOLE)):
            return None
        if _has_passed(interval, last, run.clock()):
            return []
        return unconfirmed(watched) or None

    def look_at_customers(self, seconds: float = float("inf")) -> WatchResult:
        """
        Look at the customers' connections, once a day where Cyclr's credentials are known.

        Thousands of accounts take minutes, during which `look` may go on elsewhere; who is not
        asked after `seconds` is asked the next time. Raises `SettingsError` for a damaged file, of
        either look.
        """
        run, until = self.run, time.monotonic() + seconds

        def end_in_time(_done: int, _total: int) -> None:
            if time.monotonic() > until:
                raise _OutOfTimeError

        watched = read_watched(self.path)
        again = self.due_customers(watched)
        if again is None:
            return WatchResult(0, watched)
        unanswered = ""
        try:
            asked = Customers(run, clock=run.clock, on_progress=end_in_time)
            seen = asked.look(only=again)
        except (BusyError, _OutOfTimeError):  # the next look goes on, or compares what others saw
            return WatchResult(0, watched)
        except RemoteError as error:
            seen, unanswered = None, run.redactor.redact(str(error))
        with watched_alone(self.path):
            watched, on = read_watched(self.path), timestamp(run.clock())
            changes = list(customer_changes(watched, seen, on, run.tenant)) if seen else []
            for change in changes:
                change.reason = run.redactor.redact_remote(change.reason)
            if not again:
                watched.looked[CUSTOMERS] = on
                topic = watched.topics.setdefault(CUSTOMERS, Topic())
                topic.unanswered = unanswered or " ".join(seen.notes if seen else ())
                topic.unanswered_since = topic.silent_since(on) if topic.unanswered else ""
            explained = Causes(run).explained(watched)
            watched.changes += [*changes, *_outage(run, watched, run.clock(), explained)]
            watched.save(self.path)
        return WatchResult(len(seen.accounts) if seen else 0, watched)

    def is_to_seal(self, watched: Watched, every_days: int) -> bool:
        """Return whether an outcome changed, or `every_days` have passed since the last seal."""
        now = self.run.clock()
        is_old = _has_passed(timedelta(days=every_days), watched.sealed_on, now)
        is_wanted = bool(watched.unsealed_since) or (every_days > 0 and is_old)
        return is_wanted and _has_passed(_SEALED_AGAIN, watched.seal_failed_on, now)

    def seal(self, every_days: int = 0) -> str:
        """
        Run and seal the tenant where an outcome changed, or `every_days` have passed since.

        Where that fails it is tried again an hour later. Returns the folder of the bundle, empty
        where nothing was due. Raises `SealingError`.
        """
        before = read_watched(self.path)
        if not self.is_to_seal(before, every_days):
            return ""
        run, now = self.run, self.run.clock()
        failed_on = timestamp(now)
        try:
            # NOTE: a practice server must not get settings of real runs.
            withheld = known_variables() if run.is_sandbox else ()
            bundle = str(run_in_process(ProcessRequest.of(run), withheld=withheld).bundle)
            failed_on = ""
        finally:
            with watched_alone(self.path):
                watched = read_watched(self.path)
                watched.seal_failed_on = failed_on
                if not failed_on:
                    watched.sealed_on = timestamp(now)
                    # NOTE: another look may have seen a change meanwhile, which this run did not.
                    if watched.unsealed_since == before.unsealed_since:
                        watched.unsealed_since = ""
                watched.save(self.path)
        return bundle

    def _due(self, watched: Watched, state: RunState, now: datetime) -> list[Step]:
        """Return the steps to look at now."""
        due, values = [], self.run.values
        for step in self.run.procedure.steps:
            if not step.checks:
                continue
            keys = [f"{step.id}/{check.id}" for check in step.checks]
            topics = [watched.topics.get(key, Topic()) for key in keys]
            is_open = any(topic.unanswered_since or topic.change for topic in topics)
            spends = any(values.get(name) for part in step.checks for name in part.permitted_by)
            is_quiet = spends or (state.steps[step.id].is_settled and not is_open)
            interval = _FINISHED if is_quiet else _WAITING
            is_due = _has_passed(interval, watched.looked.get(step.id, ""), now)
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
            name = digest(duty.uid, day, str(min(reached, default=0)))
            if reached and name not in watched.reminded:
                watched.reminded[name] = day
                step = state.steps[duty.step]
                renewals = [provider.renews(duty.what) for provider in run.procedure.providers]
                yield Change(
                    id=name,
                    kind=Kind.DUE,
                    on=timestamp(now),
                    since=duty.since,
                    step=duty.step,
                    title=f"{step.number} {step.step.title}",
                    reason=f"{duty.text}: on {day}, in {counted(left, 'day')}.",
                    do=next(filter(None, renewals), duty.description),
                    person=duty.person or step.assigned_to,
                )

    def _look_at(
        self,
        steps: list[Step],
        watched: Watched,
        state: RunState,
        on: str,
        undecided: dict[str, Finding],
    ) -> Iterator[Confirmed]:
        """
        Check the steps, keep the findings, and yield those that changed and count.

        `undecided` gets the findings of checks that could tell before and cannot any more, by key.
        """
        values = self.run.values
        for name, results in self.run.peek(steps).items():
            step = self.run.step(name)
            watched.looked[name] = on
            lacking = {check.id for check in step.checks if self.run.lacking(check, values)}
            only_people_see = {check.id for check in step.checks if check.leaves_to_person}
            for result in results:
                if result.finding.check in lacking:
                    continue
                key = f"{name}/{result.finding.check}"
                topic = watched.topics.setdefault(key, Topic())
                self.run.redactor.allow(result.finding.facts.values())
                finding = masked(result.finding, self.run.redactor)
                seen = (exchange.recorded() for exchange in result.seen)
                if topic.known is None:
                    topic.known = self._baseline(state.steps[name], finding.check)
                is_silent = result.is_unanswered or shows_fault(
                    finding, seen, self.run.procedure.providers
                )
                is_taken_back = _is_taken_back(topic.known, finding)
                if is_taken_back and not is_silent:
                    undecided[key] = finding
                if is_silent or is_taken_back:
                    topic.unanswered_since = topic.silent_since(on)
                    topic.unanswered = finding.reason
                    continue
                topic.unanswered_since = topic.unanswered = ""
                is_whole = finding.check in only_people_see and bool(finding.limits)
                if topic.known and finding.outcome is Outcome.INCONCLUSIVE and not is_whole:
                    continue
                was = topic.take(Observation.of(finding, on), is_definite=_is_definite(finding))
                if was and topic.known:
                    yield Confirmed(key, state.steps[name], topic, was, topic.known, finding)

    def _baseline(self, step: StepState, check: str) -> Observation | None:
        """Return what the journal says of a check not looked at before, also of another subject."""
        earlier = step.superseded
        for finding in earlier.data.findings if earlier else step.findings:
            seen = [step.exchanges[n] for n in finding.exchanges if n in step.exchanges]
            if finding.check == check and not shows_fault(
                finding, seen, self.run.procedure.providers
            ):
                return Observation.of(finding, earlier.at if earlier else step.checked_on)
        return None


def _is_taken_back(known: Observation | None, finding: Finding) -> bool:
    """Return whether a check cannot tell what it could tell before: that is never a change."""
    is_undecided = finding.outcome is Outcome.INCONCLUSIVE
    return is_undecided and known is not None and known.outcome is not Outcome.INCONCLUSIVE


def _is_definite(finding: Finding) -> bool:
    """Return whether the remote system refuses a value, so that no second poll is needed."""
    return finding.outcome is Outcome.FAILED and bool(finding.refuses)


def _has_passed(interval: timedelta, since: str, now: datetime) -> bool:
    """Return whether so much time has passed; true also where a wrong clock was ahead of now."""
    return not since or not timedelta() <= now - datetime.fromisoformat(since) < interval


def _words_of(state: RunState, watched: Watched, on: str) -> Iterator[Confirmed]:
    """Yield the words that have ended since, and those that were said again: no look is needed."""
    for step in state.steps.values():
        key = f"{step.step.id}/{_WORDS}"
        if not (step.ends_on or step.has_grown_old or key in watched.topics):
            continue
        topic = watched.topics.setdefault(key, Topic())
        outcome, reason = Outcome.ATTESTED, step.conclusion.reason
        if step.has_grown_old:
            outcome, reason = Outcome.NOT_RUN, step.again
        was = topic.take(Observation(outcome, reason, on), is_definite=True)
        if was and topic.known:
            yield Confirmed(key, step, topic, was, topic.known)


def _outage(
    run: Run, watched: Watched, now: datetime, explained: Container[str]
) -> Iterator[Change]:
    """Yield that something could not be checked for a day, or that everything can be again."""
    topics = watched.topics.values()
    failures = [topic.known.reason for topic in topics if topic.change and topic.known]
    silent = []
    for key, topic in watched.topics.items():
        if not topic.unanswered_since:
            continue
        if key in explained or any(topic.unanswered in text for text in failures):
            # What a failure explains is silent by itself from its end on.
            topic.unanswered_since = timestamp(now)
        else:
            silent.append(topic)
    oldest = min(silent, key=lambda topic: topic.unanswered_since, default=None)
    made = partial(Change, on=timestamp(now), title="Remote systems")
    if oldest and not watched.outage:
        since = oldest.unanswered_since
        if now - datetime.fromisoformat(since) >= _OUTAGE:
            watched.outage = digest("outage", run.tenant, run.procedure.id, since)
            reason = oldest.unanswered
            yield made(id=watched.outage, kind=Kind.OUTAGE, since=since, reason=reason)
    elif not oldest and watched.outage:
        ends, watched.outage = watched.outage, ""
        name = digest("over", ends)
        text = "Every check can tell again."
        yield made(id=name, kind=Kind.OUTAGE_OVER, since=timestamp(now), reason=text, ends=ends)
