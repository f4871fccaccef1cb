"""
Poll a tenant: run the checks that are due, without a side effect, and save the changes.

A confirmed change of a result becomes a line of the journal, which the next run seals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from msgspec import structs

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.connectors.findings import COMPARED
from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Procedure, Step
from runbook_lib.engine.check_runner import CheckResult
from runbook_lib.engine.tenant_names import unknown_tenant
from runbook_lib.engine.tenant_run import Run, open_run, require_within_reach
from runbook_lib.errors import ExitCode, UnknownTenantError
from runbook_lib.evidence.bundle import lock_sealing
from runbook_lib.evidence.reports.tenant_status import YOU, ItemGroup, ItemPlace, OpenItem
from runbook_lib.operations.watch.channels import addresses
from runbook_lib.operations.watch.results import (
    CheckPoll,
    confirm_result,
    describe,
    explained_by,
    is_alike,
    is_better,
    is_broken,
    is_cause,
    is_failing,
    moved_values,
)
from runbook_lib.operations.watch.watch_state import (
    CHANGED,
    PolledCheck,
    SavedItem,
    WatchedStep,
    WatchState,
    has_passed,
    polled_alone,
)
from runbook_lib.run.events import StepChecked
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import identify

# Intervals between two polls of steps that wait or fail, and of finished steps.
_WAITING = timedelta(minutes=15)
_FINISHED = timedelta(days=1)
# Beyond this share of the app's calls of an hour, in percent, the watch leaves the rest to people.
_MOST_USED_PERCENT = 50
_FIRST_RUN = "To begin it, run `runbook run` once (with --sandbox to practise), then watch again."

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of a poll of a tenant: the number of checked steps, and the exit code."""

    polled: int
    code: ExitCode
    held: str = ""
    """The reason why no step was checked; empty if the poll checked."""
    people: tuple[str, ...] = ()
    """The people who have a step."""


def key_of(run: Run) -> str:
    """Return the watch's key of a tenant's connector."""
    return f"{run.procedure.id}/{run.tenant}"


def open_watched(
    procedure: Procedure,
    given: Mapping[str, object],
    *,
    clock: Callable[[], datetime] = utc_now,
    **options: Any,
) -> Run:
    """
    Return a run of a tenant with a journal, to watch it; `options` are those of `open_run`.

    Raises `SettingsError` for a tenant without one, and like `open_run`.
    """
    # NOTE: a watch changes nothing, and makes no call that may count against the app.
    permits = {name for step in procedure.steps for c in step.checks for name in c.allowed_by}
    items = [item for item in procedure.inputs if item.default is False and item.name in permits]
    all_given = {**given, **{item.name: False for item in items}}
    run = open_run(procedure, all_given, mode=Mode.HEADLESS, **options)
    # NOTE: a result that a watch confirms belongs to no run.
    run = replace(run, run_id="")
    run.journal.clock = clock
    require_within_reach(procedure, run.values)
    if not run.journal.path.exists():
        raise UnknownTenantError(
            unknown_tenant(run.tenant, str(run.evidence), begin=_FIRST_RUN), next_step=""
        )
    run.require_startable()
    addresses(run)  # raises for a channel with a missing setting
    return run


def poll_tenant(run: Run, state: WatchState) -> PollResult:
    """
    Run the checks that are due at the tenant of `run`; save results and problems.

    Raises `BusyError` while another process polls the tenant, `WatchStateError` if saving fails.
    """
    with polled_alone(run.journal.path.parent):
        return _Poll(run, state).run_due()


@dataclass(frozen=True, slots=True)
class _Change:
    """A result that changed without a failure."""

    moved: Set[tuple[str, str]]
    row: SavedItem
    is_other_outcome: bool = True


class _Poll:
    """One poll of a tenant."""

    def __init__(self, run: Run, state: WatchState) -> None:
        self.run = run
        self.state = state
        self.key = key_of(run)
        self.now = run.clock()
        self.on = timestamp(self.now)
        self.tenant = state.tenant(self.key)
        self.rows: dict[_Key, WatchedStep] = {
            (row.step, row.check): row for row in state.steps.read(tenant=self.key)
        }
        self.run_state: RunState = run.whole_state
        self._checked = {
            line.head.step: line.head.at
            for line in run.journal.read_all()
            if _is_check_of_a_run(line)
        }
        self.is_unsettled = False
        self._moved: set[tuple[str, str]] = set()
        self._changes: list[_Change] = []
        self._refusals: set[str] = set()
        self._of_a_cause: list[tuple[Step, CheckResult]] = []
        self._confirmed: dict[_Key, CheckResult] = {}

    def run_due(self) -> PollResult:
        """Poll the steps that are due; if one gets worse, poll every other step at once."""
        self._read_runs()
        due = [step for step in self.run.procedure.steps if self._is_due(step)]
        held = ""
        used = self.run.used_calls if due else 0.0
        if used > _MOST_USED_PERCENT:
            held = f"Not checked: {used:.0f} % of the app's calls of this hour are used."
            due = []
        self._check(due)
        if self.is_unsettled:
            # NOTE: so failures with the same cause are in the same digest.
            others = [step for step in self.run.procedure.steps if step.checks and step not in due]
            self._check(others)
            due += others
        self._judge_refused()
        self._restart_explained()
        self._record_confirmed()
        if due:
            self.tenant.last_polled_on = self.on
        self.tenant.set_unusable("", "", self.on)
        with self.state.transaction():
            self.state.tenants.write([self.tenant])
            self.state.steps.write(self.rows.values())
            self.state.items.write(self._news())
        is_answered = not (held or any(row.unanswered_since for row in self.rows.values()))
        code = ExitCode.COMPLETE if is_answered else ExitCode.INCOMPLETE
        people = {step.assigned_to for step in self.run_state.steps} - {""}
        return PollResult(len(due), code, held, tuple(sorted(people)))

    def _is_due(self, step: Step) -> bool:
        if not step.checks:
            return False
        rows = [row for row in self.rows.values() if row.step == step.id]
        is_open = any(row.unanswered_since or is_broken(row) for row in rows)
        is_settled = self.run_state.step(step.id).is_settled
        interval = _FINISHED if is_settled and not is_open else _WAITING
        is_in_doubt = any(row.unconfirmed for row in rows)
        return is_in_doubt or has_passed(interval, self.tenant.polled_on.get(step.id, ""), self.now)

    def _check(self, steps: Sequence[Step]) -> None:
        """Run the checks of these steps that have no side effect, and judge each result."""
        values = self.run.values
        peeked = {step.id: replace(step, checks=harmless_checks(step, values)) for step in steps}
        wanted = [step for step in peeked.values() if step.checks]
        for name, results in self.run.peek(wanted).items():
            lacking = {check.id for check in peeked[name].checks if self.run.lacking(check, values)}
            for result in results:
                if result.finding.check not in lacking:
                    self._judge_result(peeked[name], result)
        self.tenant.polled_on |= {step.id: self.on for step in steps}

    def _read_runs(self) -> None:
        """Judge the failures that a run has found since the last poll, and those that are over."""
        for step in self.run_state.steps:
            for finding in step.findings:
                key = (step.id, finding.check)
                row = self.rows.get(key)
                is_over = row and is_broken(row) and finding.outcome is Outcome.VERIFIED
                is_newer = row is None or row.seen_on < self._checked.get(step.id, "")
                if is_newer and (is_over or is_failing(finding)):
                    texts = self.run.step(step.id)
                    self._judge_result(texts, CheckResult(finding), is_definite=True)

    def _judge_refused(self) -> None:
        """
        Count inconclusive results at once if their cause is a refusal that this poll has seen too.
        """
        for step, result in self._of_a_cause:
            if result.finding.code in self._refusals:
                self._judge_result(step, result, is_definite=True)

    def _judge_result(self, step: Step, result: CheckResult, *, is_definite: bool = False) -> None:
        run = self.run
        name = result.finding.check
        run.redactor.allow(result.finding.facts.values())
        finding = masked(result.finding, run.redactor)
        row = self.rows.setdefault((step.id, name), WatchedStep(self.key, step.id, name))
        step_state = self.run_state.step(step.id)
        if row.current is None:
            row.current, row.since = self._baseline(step.id, name)
        exchanges = (exchange.redacted() for exchange in result.seen)
        is_expected = bool(finding.limits) and any(
            check.id == name and check.needs_human_only for check in step.checks
        )
        finding = _after_verified(finding, row.current)
        is_refusal = finding.outcome is Outcome.FAILED and bool(finding.refuses)
        if is_refusal:
            self._refusals.add(finding.code)
        elif is_cause(finding) and not is_definite:
            self._of_a_cause.append((step, result))
        poll = CheckPoll(
            seen=polled_check(finding),
            is_silent=result.is_unanswered
            or shows_fault(finding, exchanges, run.procedure.providers),
            is_definite=is_definite or is_refusal,
            is_expected=is_expected,
        )
        was_silent = bool(row.unanswered_since)
        was_in_doubt = bool(row.unconfirmed)
        was_broken = is_broken(row)
        before = row.current
        replaced = confirm_result(row, poll, self.now)
        is_other = before is not None and not is_alike(before, poll.seen)
        # NOTE: a step that nobody has checked yet is not done by a look of the watch.
        counts = is_other or is_failing(finding) or step.id in self._checked
        if row.current is poll.seen and counts and _is_news(poll.seen, step_state, name):
            self._confirmed[step.id, name] = result._replace(finding=finding)
        is_now_undecided = bool(row.unanswered_since) and not (was_silent or poll.is_silent)
        is_now_in_doubt = bool(row.unconfirmed) and not was_in_doubt
        is_now_broken = is_broken(row) and not was_broken
        self.is_unsettled |= is_now_undecided or is_now_in_doubt or is_now_broken
        if replaced:
            self.is_unsettled = True
            is_failure = was_broken or is_broken(row)
            self._note_change(step_state, finding, replaced, is_failure=is_failure)

    def _note_change(
        self, step: StepState, finding: Finding, replaced: PolledCheck, *, is_failure: bool
    ) -> None:
        """Keep a change; one that fails nothing and ends no failure is news by itself."""
        current = polled_check(finding)
        if current.outcome is not replaced.outcome:
            self.tenant.changed_on = self.on
        moved = moved_values(current, replaced)
        if is_failure:
            self._moved |= moved
        elif moved or current.outcome is not replaced.outcome:
            item = self._change_of(step, finding, current, replaced)
            row = SavedItem(
                id=identify(self.key, step.id, finding.check, self.on),
                tenant=self.key,
                cause=item.cause,
                place=step.id,
                began_on=self.on,
                item=item,
                news=CHANGED,
                ended_on=self.on,
            )
            is_other_outcome = current.outcome is not replaced.outcome
            self._changes.append(_Change(moved, row, is_other_outcome=is_other_outcome))

    def _news(self) -> list[SavedItem]:
        """
        Return the changes that are news; of those with a value in common the last step's.

        The last one concludes the others. A value that moved with a failure alone is no news.
        """
        alike: list[_Change] = []
        for change in self._changes:
            if not change.is_other_outcome and change.moved <= self._moved:
                continue
            same = next((other for other in alike if other.moved & change.moved), None)
            if same:
                alike.remove(same)
            alike.append(_Change(change.moved | (same.moved if same else set()), change.row))
        return [change.row for change in alike]

    def _change_of(
        self, step: StepState, finding: Finding, current: PolledCheck, replaced: PolledCheck
    ) -> OpenItem:
        """Return a change that fails nothing, with the next step after good news."""
        procedure = self.run.procedure
        meaning = meaning_of(finding.code) if current.code != replaced.code else None
        title = meaning.means.rstrip(".") if meaning else step.title
        if is_better(current, replaced):
            title = good_news(finding) or title
        following = next((other for other in procedure.steps if step.id in other.after), None)
        is_done = following and finding.outcome is Outcome.VERIFIED
        words = f"Before: {describe(replaced, current)}. Now: {describe(current, replaced)}."
        reason = " ".join((words, finding.reason, *finding.warnings))
        place = ItemPlace(
            id=step.id,
            name=step.title,
            outcome=finding.outcome,
            reason=reason,
        )
        return OpenItem(
            group=ItemGroup.WAITING,
            cause=f"changed {title} {words}",
            title=title,
            advice=f"Next: {following.title}." if following and is_done else "",
            whom=step.assigned_to or YOU,
            since=self.on,
            places=(place,),
        )

    def _baseline(self, step: str, check: str) -> tuple[PolledCheck | None, str]:
        """Return the last result in the journal, also of other values, and when it was."""
        for line in reversed(self.run.journal.read_all()):
            event = line.event
            if line.head.step == step and isinstance(event, StepChecked):
                for finding in event.findings:
                    if finding.check == check and check not in event.faults:
                        return polled_check(finding), line.head.at
        return None, ""

    def _record_confirmed(self) -> None:
        """Write the results that changed into the journal; the next run seals them."""
        if not self._confirmed:
            return
        values = self.run.known_subject
        with lock_sealing(self.run.home):
            self.run.require_whole_journal()
            for (step, _), result in self._confirmed.items():
                self.run.record_results(self.run.step(step), [result], values)

    def _restart_explained(self) -> None:
        """Let the time without a response begin again where a failure explains it."""
        steps = self.run.procedure.steps
        needs: dict[_Key, Sequence[str]] = {
            (step.id, check.id): check.needs for step in steps for check in step.checks
        }
        required = {step.id: required_steps(self.run.procedure, step.id) for step in steps}
        failing = [key for key, row in self.rows.items() if is_broken(row)]
        for key in explained_by(failing, needs, required):
            row = self.rows.get(key)
            if row and row.unanswered_since:
                row.unanswered_since = self.on


def _after_verified(finding: Finding, before: PolledCheck | None) -> Finding:
    """Return a finding, as failed if it takes back what an earlier poll has verified."""
    meaning = meaning_of(finding.code)
    taken_back = meaning.after_verified if meaning else ""
    is_back = before and (before.outcome is Outcome.VERIFIED or before.code == taken_back)
    if not (taken_back and is_back):
        return finding
    return structs.replace(finding, outcome=Outcome.FAILED, code=taken_back)


def _is_check_of_a_run(line: Line) -> bool:
    """Return whether a run has made the check of a line, and no watch."""
    return bool(line.head.run) and line.kind is StepChecked


def _is_news(current: PolledCheck, step: StepState, check: str) -> bool:
    """Return whether the journal does not have this result of a check yet."""
    known = next((polled_check(part) for part in step.findings if part.check == check), None)
    return known is None or (known.outcome, known.code, known.facts) != (
        current.outcome,
        current.code,
        current.facts,
    )


def harmless_checks(step: Step, values: Mapping[str, Any]) -> tuple[Check, ...]:
    """Return the checks of a step without those that the settings let change or use something."""
    return tuple(
        check
        for check in step.checks
        if not check.side_effect
        or (check.allowed_by and not any(values.get(name) for name in check.allowed_by))
    )


def required_steps(procedure: Procedure, step: str) -> set[str]:
    """Return every step that `step` requires, directly or not."""
    own = next((other.requires for other in procedure.steps if other.id == step), ())
    return {*own}.union(*(required_steps(procedure, name) for name in own))


def polled_check(finding: Finding) -> PolledCheck:
    """Return the result in a masked finding, with the values that it compared."""
    facts = {name: str(value) for name, value in finding.facts.items()}
    rows = _compared_values(finding)
    for what, expected, actual in rows:
        # Only this shows that a value of a verified result is not the expected one.
        is_other = finding.outcome is Outcome.VERIFIED and actual != expected
        facts[what] = f"{actual}, not {expected}" if is_other else actual
    meant = [what for what, expected, actual in rows if actual == expected]
    return PolledCheck(
        outcome=finding.outcome,
        reason=finding.reason,
        code=finding.code,
        facts=facts,
        expected=meant,
        limits=list(finding.limits),
    )


def _compared_values(finding: Finding) -> list[tuple[str, ...]]:
    """Return the rows of a finding's tables of compared values: name, expected, actual."""
    tables = [table.rows for table in finding.tables if table.columns == COMPARED]
    return list(chain.from_iterable(tables))


def good_news(finding: Finding) -> str:
    """Return the headline of a finding's code, with how many of its values are as expected."""
    meaning = meaning_of(finding.code)
    rows = _compared_values(finding)
    if not (meaning and meaning.news and len(rows) > 1):
        return ""
    number = sum(actual == expected for _, expected, actual in rows)
    return meaning.news.format(number=number, total=len(rows))
