"""
State: journal lines folded to the state of a tenant and of one run.

Reading continues at the end of the index. An attestation or a finding that counts is read from its
own line. This module asks no remote system, and stores only derived data.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from runbook_lib.core.attestation_rules import (
    ATTESTATION_DAYS,
    Subject,
    VoidAttestation,
    days_between,
    last_day,
    mismatch,
    person_key,
    second_person_sentence,
    select_current,
)
from runbook_lib.core.carried_results import EarlierResult, OutdatedResult, read_carried
from runbook_lib.core.conclusion import Conclusion, combine, conclude
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.files import JOURNAL_NAME, read_plain, write_whole
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.index import (
    IndexedAttestation,
    IndexedChecks,
    IndexedRun,
    JournalIndex,
    dump_index,
    load_index,
)
from runbook_lib.core.journal import (
    Journal,
    JournalLine,
    LineRef,
    parse_line,
    read_lines,
    withheld_line,
)
from runbook_lib.core.model import (
    Attestation,
    AttestationDetails,
    AttestationKind,
    Exchange,
    Finding,
    HostCalls,
    JournalEntry,
    Outcome,
    RunOutcome,
    RunStarted,
    StepAssigned,
    StepChecked,
    StepCommented,
    StepWithheld,
    Value,
    host_in,
)
from runbook_lib.core.outcome import SETTLED
from runbook_lib.core.procedure import Provider, Step, step_name
from runbook_lib.errors import ChainError, JournalError, reported_as

# The parameter that names the steps whose attestation a second person must confirm.
FOUR_EYES = "four_eyes"
EVERY_STEP = "all"
# File with the saved index, beside the journal.
STATE_NAME = "state.json"

# Days before the end of an attestation when it is requested again.
_SOON_DAYS = 30
# Number of cached lines.
_MOST_KEPT = 256
# After folding more lines than this, the reader saves the index at once.
_MANY_LINES = 1_000
# An index needs about 100 bytes for each line that still matters.
_LARGEST_INDEX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StepState:
    """The state of a step: its findings, its attestations and the conclusion."""

    step: Step
    """The step."""

    conclusion: Conclusion
    """Its outcome, with the reason."""

    number: str = ""
    """Its number on screen."""

    findings: tuple[Finding, ...] = ()
    """The findings that count, of this run."""

    exchanges: Mapping[int, Exchange] = field(default_factory=dict)
    """The exchanges that the findings rest on, by number; empty if they were not requested."""

    attestation: Attestation | None = None
    """The attestation that counts; `None` if no attestation counts."""

    confirmed_by: tuple[Attestation, ...] = ()
    """Other people's attestations of the same, the oldest first, if two people must attest."""

    void_attestations: tuple[VoidAttestation, ...] = ()
    """The attestations that no longer count."""

    outdated: str = ""
    """Reason why the newest check does not count; empty if it does."""

    superseded: JournalEntry | None = None
    """The line of the newest check if it does not count."""

    checked_on: str = ""
    """Time of the newest check that counts, in UTC; empty if no check counts."""

    lines: tuple[LineRef, ...] = ()
    """The journal lines of the attestations and the check that count, and of the notes."""

    comments: tuple[StepCommented, ...] = ()
    """All comments, oldest first."""

    assignment: StepAssigned | None = None
    """The newest assignment; `None` without one, and for a settled step."""

    waiting_since: str = ""
    """Beginning of the wait for somebody else, or its first observation; empty without a wait."""

    ends_on: str = ""
    """Last day of the attestations that settle it; empty without such attestations or end."""

    is_worked_on: bool = True
    """Whether somebody attested or checked it; automatic checks do not count."""

    has_fault: bool = False
    """Whether its check could not tell because a remote system had a fault of its own."""

    carried: tuple[EarlierResult, ...] = ()
    """Results of earlier runs that count in this one, of checks with a side effect."""

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """The findings that count: those of this run, then those of earlier ones."""
        return (*self.findings, *(earlier.finding for earlier in self.carried))

    @property
    def assigned_to(self) -> str:
        """The name of the assigned person; empty for anybody, or if the step is done."""
        return self.assignment.to if self.assignment else ""

    @property
    def due(self) -> str:
        """The earliest due day that somebody named; empty for no day."""
        named = (part.due for part in (self.assignment, self.attestation) if part)
        return min(filter(None, named), default="")

    @property
    def is_asked_for(self) -> bool:
        """Whether an outside party requested it by a due day, according to an attestation."""
        return self.attestation is not None and bool(self.attestation.due)

    @property
    def sentence(self) -> str:
        """The sentence to confirm: the step's, or the one for a second person."""
        is_half = self.attestation is not None and self.conclusion.needs_another
        return (
            second_person_sentence(self.attestation)
            if self.attestation and is_half
            else self.step.sentence
        )

    def second_attestation(self, by: str) -> dict[str, str]:
        """Return the fields of `by`'s attestation as the second person; empty if one is enough."""
        first = self.attestation if self.conclusion.needs_another else None
        if first is None or person_key(first.by) == person_key(by):
            return {}
        return {
            "sentence": first.sentence,
            "second_person_sentence": self.sentence,
            "until": first.until,
        }

    def overdue_days(self, today: date) -> int:
        """
        Return the days since the due day, or since the end of an outside party's usual time.

        0 while there is time, and if no day is known.
        """
        if self.due:
            return max((today - date.fromisoformat(self.due)).days, 0)
        usual = self.step.usual_days
        conclusion = self.conclusion
        is_outside = conclusion.outcome is Outcome.WAITING and not conclusion.needs_another
        if not (is_outside and self.waiting_since and usual):
            return 0
        return max((today - date.fromisoformat(self.waiting_since[:10])).days - usual, 0)

    def ends_soon(self, today: date) -> bool:
        """Return whether the attestations that settle it end within 30 days."""
        return bool(self.ends_on) and days_between(today.isoformat(), self.ends_on) <= _SOON_DAYS

    @property
    def has_expired(self) -> bool:
        """Whether an attestation about it has expired, and nothing has settled it since."""
        return not self.is_settled and any(void.ended for void in self.void_attestations)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.conclusion.is_settled

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has acted on the step. Automatic checks do not count."""
        is_seen_only = not (self.is_worked_on or self.conclusion.by_person)
        open_outcomes = (Outcome.INCONCLUSIVE, Outcome.FAILED, Outcome.SKIPPED)
        outcome = self.conclusion.outcome
        return outcome is Outcome.NOT_RUN or (is_seen_only and outcome in open_outcomes)

    @property
    def needs_human_only(self) -> bool:
        """Whether its checks are as good as they can be, and a person must confirm the rest."""
        leave_it = {check.id for check in self.step.checks if check.needs_human_only}
        unclear = [part for part in self.findings if part.outcome is Outcome.INCONCLUSIVE]
        is_left = bool(unclear) and all(part.check in leave_it and part.limits for part in unclear)
        return self.conclusion.outcome is Outcome.INCONCLUSIVE and is_left

    @property
    def blocks_later_steps(self) -> bool:
        """
        Whether later steps cannot be started, because this one is not done.

        A step that is verified in part blocks none.
        """
        return self.conclusion.outcome not in SETTLED and not self.is_skipped_by_person

    @property
    def redo_reason(self) -> str:
        """The reason why the step must be confirmed or checked again; empty if it need not."""
        reasons = [
            *(void.sentence for void in self.void_attestations),
            self.outdated,
        ]
        return "" if self.is_settled else " ".join(filter(None, reasons))

    @property
    def is_skipped_by_person(self) -> bool:
        """Whether a named person skipped the step."""
        return self.conclusion.is_skipped_by_person

    @property
    def blocks_dependents(self) -> bool:
        """Whether steps that require this one cannot be done."""
        skipped = self.conclusion.outcome is Outcome.SKIPPED and not self.conclusion.by_person
        return skipped or self.conclusion.outcome is Outcome.FAILED

    @property
    def attested_by(self) -> str | None:
        """The name of the person who attested this step; `None` if no attestation counts."""
        is_attested = (
            self.attestation is not None and self.attestation.kind is AttestationKind.ATTESTED
        )
        return self.attestation.by if self.attestation and is_attested else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about people's attestations that the reason lacks."""
        sentences = tuple(void.sentence for void in self.void_attestations)
        remarks = tuple(text for text in sentences if text not in self.conclusion.reason)
        if self.attestation and self.attestation.binding.text_digest != self.step.text_digest:
            changed = f"The text of this step has changed since {self.attestation.by} confirmed it."
            return (*remarks, changed)
        return remarks


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of one run, or of all runs together."""

    run_id: str
    """Id of the run, or of the newest one."""

    steps: Mapping[str, StepState]
    """The steps by id, in the documented order."""

    started: RunStarted | None = None
    """The data of the line that began it; `None` if there is no run."""

    started_on: str = ""
    """Time of its beginning, in UTC; empty if there is no run."""

    finished_on: str = ""
    """Time of its end, in UTC; empty until then."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of the software that it ran on."""

    response_counts: Mapping[str, int] = field(default_factory=dict)
    """Number of responses of each host."""

    providers: Sequence[Provider] = field(default=(), repr=False, compare=False)
    """The providers that can read the responses."""

    unverifiable: tuple[str, ...] = ()
    """Facts that nothing shows (`Procedure.unverifiable`)."""

    app_id_label: str = "app_id"
    """The vendor's label for the app's id."""

    gates: tuple[str, ...] = ()
    """Ids of the steps at which outside parties decide."""

    today: str = ""
    """The day in UTC for which the state holds; empty if no day was named."""

    bases: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    """The values that each step's state was computed from, by its id."""

    @property
    def outcome(self) -> RunOutcome:
        """The outcome that follows from the steps."""
        states = self.steps.values()
        if any(state.conclusion.outcome is Outcome.FAILED for state in states):
            return RunOutcome.FAILED
        if all(state.is_settled for state in states):
            return RunOutcome.COMPLETE
        return RunOutcome.INCOMPLETE

    @property
    def is_practice(self) -> bool:
        """Whether the run started in a sandbox."""
        return self.started is not None and self.started.sandbox

    @property
    def calls(self) -> tuple[HostCalls, ...]:
        """The number of responses of each host, with the newest share that it named."""
        exchanges = {
            number: exchange
            for state in self.steps.values()
            for number, exchange in state.exchanges.items()
        }
        shares = {
            host_in(exchange.url): share
            for _, exchange in sorted(exchanges.items())
            for provider in self.providers
            if (share := provider.behaviour.usage_share(exchange.headers)) is not None
        }
        return tuple(
            HostCalls(host=host, calls=calls, share=shares.get(host))
            for host, calls in sorted(self.response_counts.items())
        )

    @property
    def facts(self) -> dict[str, Value]:
        """The facts from all checks of this run; later ones win."""
        findings = [
            finding
            for state in self.steps.values()
            for finding in (*(earlier.finding for earlier in state.carried), *state.findings)
        ]
        return {name: value for finding in findings for name, value in finding.facts.items()}


class PolledFinding(NamedTuple):
    """A check's result that a watch saw twice, and that no journal has."""

    finding: Finding
    since: str
    """Time of the first poll with this result."""
    seen_on: str
    """Time of the last poll with it; it counts only if that is after the step's newest check."""


Polls = Mapping[str, Sequence[PolledFinding]]
"""The polled findings of each step, by its id."""


@dataclass(frozen=True, slots=True)
class History:
    """A tenant's journal at one moment; people's attestations count across runs."""

    index: JournalIndex
    read: Callable[[LineRef], JournalEntry]

    def attestations(self, step_id: str) -> list[tuple[Attestation, LineRef]]:
        """Return all attestations about a step, oldest first, each with its line."""
        return [
            (_attestation_from(self.read(attestation.ref), attestation), attestation.ref)
            for attestation in self.index.attestations.get(step_id, ())
        ]

    def notes(self, step_id: str) -> list[tuple[StepCommented, LineRef]]:
        """Return all comments on a step and its assignments, oldest first."""
        return [(self.read(note.ref).data, note.ref) for note in self.index.notes.get(step_id, ())]

    def recent(self, step_id: str) -> list[JournalEntry]:
        """Return the newest lines about a step, oldest first."""
        return [self.read(ref) for ref in self.index.recent.get(step_id, ())]

    def run(self, run_id: str) -> IndexedRun | None:
        """Return the index of the run's lines; `None` if it never started or is too old."""
        return self.index.runs.get(run_id)

    @property
    def last_run(self) -> str:
        """The id of the newest run; empty without one."""
        started = [name for name, run in self.index.runs.items() if run.started]
        return started[-1] if started else ""

    @property
    def cut_off_run(self) -> str:
        """
        The id of the newest run without people if it never finished; else empty.

        For a caller that holds the lock of headless runs, that run was killed.
        """
        headless = [
            name
            for name, run in self.index.runs.items()
            if run.started and run.mode != "interactive"
        ]
        return headless[-1] if headless and not self.index.runs[headless[-1]].finished_on else ""

    @property
    def unfinished_run(self) -> str:
        """The id of the newest run if it never finished; else empty."""
        last = self.last_run
        return "" if not last or self.index.runs[last].finished_on else last


class HistoryReader:
    """
    Reads a journal incrementally. Thread-safe.

    `key` authenticates the saved index; without a key the reader ignores it. A reader that had to
    fold many lines saves its index.
    """

    def __init__(self, journal: Journal, key: FingerprintKey | None = None) -> None:
        self.journal = journal
        self._lock = threading.Lock()
        self._cached: dict[int, JournalEntry] = {}
        self._withheld: frozenset[LineRef] = frozenset()
        self._key = key
        self._index = _load_saved_index(journal, key) if key else JournalIndex()

    def read(self) -> History:
        """Return the current history; raises the errors of `read_lines`."""
        with self._lock:
            lines = read_lines(self.journal.path, after=self._index.last)
            index = self._index.fold(self._cache_lines(lines))
            folded = index.last.seq - self._index.last.seq
            self._index = index
        if self._key and folded > _MANY_LINES:
            self.save(self._key)
        return History(index, self._read_entry)

    def save(self, key: FingerprintKey) -> None:
        """Save the index for the next reader of this journal, ignoring a full disk."""
        path = self.journal.path.with_name(STATE_NAME)
        with contextlib.suppress(OSError):
            write_whole(path, dump_index(self._index, key), is_durable=False)

    @property
    def withheld(self) -> frozenset[LineRef]:
        """The lines that no bundle may contain; the reader returns them as inconclusive checks."""
        return self._withheld

    def withhold(self, refs: Iterable[LineRef]) -> None:
        """Read the lines at `refs` as withheld from now on."""
        with self._lock:
            self._withheld |= set(refs)
            self._cached.clear()

    def line(self, ref: LineRef) -> bytes:
        """Return the bytes of the line at `ref` for a bundle; raises as `Journal.line`."""
        text = self.journal.line(ref)
        return (ref in self._withheld and withheld_line(text)) or text

    def _read_entry(self, ref: LineRef) -> JournalEntry:
        entry = self._cached.get(ref.seq)
        if entry is None:
            # NOTE: a withheld line was parsed when it was made.
            instead = parse_line(self.line(ref)) if ref in self._withheld else None
            entry = instead or self.journal.read(ref)
            with self._lock:
                self._cache_entry(ref, entry)
        return entry

    def _cache_lines(self, lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
        """Yield the lines, and cache the last ones, since `fold` reads them next."""
        for entry, ref in lines:
            if ref not in self._withheld:
                self._cache_entry(ref, entry)
            yield JournalLine(entry, ref)

    def _cache_entry(self, ref: LineRef, entry: JournalEntry) -> None:
        self._cached[ref.seq] = entry
        while len(self._cached) > _MOST_KEPT:
            del self._cached[next(iter(self._cached))]


def open_history(folder: Path) -> HistoryReader:
    """Return a reader of the journal in `folder`, starting from its saved index."""
    return HistoryReader(Journal(folder / JOURNAL_NAME), read_key(folder))


def fold(
    history: History,
    subject: Subject,
    run_id: str | None,
    earlier: RunState | None = None,
    polls: Polls | None = None,
    *,
    has_exchanges: bool = True,
) -> RunState:
    """
    Return the state of the run `run_id`, or of all runs together if it is `None`.

    Only findings of that run count, or the newest of each step for all runs. People's attestations
    count from any time. Both count only for the current `subject`. A step whose check never
    returned is `not_run`, despite the notebook's own record. Steps of an `earlier` state are reused
    if nothing about them is new. For a run that has ended, the day of its end decides. A later
    finding in `polls` replaces the finding of the same check. Without `has_exchanges`, steps have
    no exchanges, unless a check could not tell: reading them takes most of the time.
    """
    name = history.last_run if run_id is None else run_id
    run = history.run(name)
    started = history.read(run.started) if run and run.started else None
    if run_id is not None and run and run.finished_on:
        days = started.data.parameters.get(ATTESTATION_DAYS, 0) if started else 0
        values = {**subject.values, ATTESTATION_DAYS: days}
        subject = replace(subject, values=values, today=run.finished_on[:10])
    folded = _StepFold(history, subject, run_id, started, polls or {}, has_exchanges=has_exchanges)
    states: dict[str, StepState] = {}
    bases: dict[str, object] = {}
    for step in subject.procedure.steps:
        bases[step.id] = folded.basis_of(step, states)
        if earlier is not None and earlier.bases.get(step.id) == bases[step.id]:
            states[step.id] = earlier.steps[step.id]
        else:
            states[step.id] = folded.state_of(step, states)
    return RunState(
        run_id=name,
        steps=states,
        bases=bases,
        started=started.data if started else None,
        started_on=started.at if started else "",
        response_counts=run.calls if run else {},
        providers=subject.procedure.providers,
        unverifiable=subject.procedure.unverifiable,
        app_id_label=subject.procedure.label_of("app_id"),
        gates=tuple(gate.step for gate in subject.procedure.plan.gates)
        if subject.procedure.plan
        else (),
        today=subject.today,
        finished_on=run.finished_on if run else "",
        environment={
            **(started.data.environment if started else {}),
            **(run.environment if run else {}),
        },
    )


def rests_on(state: RunState) -> tuple[LineRef, ...]:
    """Return the journal lines on which `state` rests, oldest first."""
    return tuple(sorted({ref for step in state.steps.values() for ref in step.lines}))


class _StepFold:
    """Computes the states of steps for one run, or (`run_id` is `None`) for all of them."""

    def __init__(
        self,
        history: History,
        subject: Subject,
        run_id: str | None,
        started: JournalEntry | None,
        polls: Polls,
        *,
        has_exchanges: bool,
    ) -> None:
        run = history.run(run_id) if run_id is not None else None
        self._has_exchanges = has_exchanges
        self._polls = polls
        self._history = history
        self._subject = subject
        self._run_id = run_id
        # Later lines do not change a run that has ended.
        self._limit = run.finished if run else 0
        self._begun = run.begun if run else frozenset[str]()
        self._checked = run.checked if run else dict[str, IndexedChecks]()
        if run_id is None:
            self._begun = history.index.begun
            self._checked = history.index.checked
        parameters = started.data.parameters if started else {}
        self._four_eyes: Iterable[str] = parameters.get(FOUR_EYES, ())

    def basis_of(self, step: Step, states: Mapping[str, StepState]) -> tuple[object, ...]:
        """Return the values that the state of `step` is computed from."""
        index = self._history.index
        return (
            self._subject.values,
            self._subject.before,
            self._subject.today,
            self._run_id,
            step.id in self._begun,
            self._checked.get(step.id),
            index.attestations.get(step.id),
            index.notes.get(step.id),
            index.recent.get(step.id),
            index.based.get(step.id),
            [index.failures.get(name) for name in self._steps_that_void_results(step)],
            index.refusals if self._may_carry(step) else None,
            step.id in index.worked_on,
            blocking_failure(step, states),
            self._demands_second_person(step),
            self._polls.get(step.id),
        )

    def state_of(self, step: Step, states: Mapping[str, StepState]) -> StepState:
        """Return the state of `step`, given the `states` of the steps before it."""
        entry, unfit = self._newest_check(step)
        findings = () if entry is None or unfit else entry.data.findings
        lines = [*self._lines_of_check(step, findings)]
        polled = [
            poll
            for poll in self._polls.get(step.id, ())
            if poll.seen_on > (entry.at if entry else "")
        ]
        if polled:
            findings = _with_polled(findings, polled)
            unfit = ""
        exchanges = {
            ref.seq: self._history.read(ref).data
            for ref in (lines[1:] if self._needs_exchanges(findings) else ())
        }
        blocked = blocking_failure(step, states)
        carried, due = ((), None) if unfit or blocked else self._read_carried_results(step, entry)
        lines += [ref for earlier in carried for ref in earlier.lines]
        counted_findings = (*findings, *(earlier.finding for earlier in carried))
        attestations = self._history.attestations(step.id)
        links = self._history.index.links
        selection = select_current(
            [candidate for candidate, _ in attestations],
            step,
            self._subject,
            spent_links=[link for link, used_for in links.items() if used_for != step.id],
        )
        attestation = selection.current
        is_done = (
            attestation is not None
            and attestation.kind is AttestationKind.ATTESTED
            and not attestation.due
        )
        needs_two = is_done and self._demands_second_person(step)
        confirmed_by = selection.confirmed_by if needs_two else ()
        counting = [counted for counted in (*confirmed_by, attestation) if counted is not None]
        lines += [
            ref
            for candidate, ref in attestations
            if any(candidate is counted for counted in counting)
        ]
        unchecked = unfit or _why_unchecked(
            entry, step, is_begun=step.id in self._begun, run_id=self._run_id
        )
        if due:
            unchecked = f"{due.reason} {unchecked}".strip()
        ends = [last_day(counted, step, self._subject.most_days) for counted in counting]
        ends_on = min(filter(None, ends), default="")
        conclusion = conclude(
            counted_findings,
            attestation=attestation,
            obstacle=blocked,
            others=tuple(other.by for other in confirmed_by) if needs_two else None,
            unverifiable=step.unverifiable(counted_findings),
            answer=step.sentences.get(attestation.binding.sentence_digest) if attestation else None,
            today=self._subject.today,
            until=ends_on,
            unchecked=" ".join(
                filter(None, (*(void.sentence for void in selection.void), unchecked))
            ),
        )
        checked_on = max(
            (poll.seen_on for poll in polled), default=entry.at if entry and not unfit else ""
        )
        conclusion = self._mark_conclusion(
            step, conclusion, checked_on=checked_on, carried=carried, entry=entry, due=due
        )
        is_by_person = conclusion.by_person or bool(step.unverifiable(counted_findings))
        notes = self._history.notes(step.id)
        comments = {ref: note for note, ref in notes if not isinstance(note, StepAssigned)}
        assigned = [(note, ref) for note, ref in notes if isinstance(note, StepAssigned)]
        # The assignment stays until the step is settled.
        newest = {ref: note for note, ref in assigned[-1:] if note.to and not conclusion.is_settled}
        return StepState(
            step=step,
            number=self._subject.procedure.numbers[step.id],
            conclusion=conclusion,
            findings=findings,
            exchanges=exchanges,
            attestation=attestation,
            confirmed_by=confirmed_by,
            void_attestations=selection.void,
            outdated=unfit,
            superseded=entry if unfit else None,
            checked_on=checked_on,
            lines=(*lines, *comments, *newest),
            comments=tuple(comments.values()),
            assignment=next(iter(newest.values()), None),
            waiting_since=self._waiting_since(step, attestation, conclusion, checked_on, polled),
            ends_on=ends_on if conclusion.is_settled and is_by_person else "",
            is_worked_on=step.id in self._history.index.worked_on,
            has_fault=self._has_fault(findings, exchanges),
            carried=carried,
        )

    def _steps_that_void_results(self, step: Step) -> frozenset[str]:
        """Return the steps whose failure voids results that `step` may carry."""
        is_carrying = self._may_carry(step)
        return self._subject.procedure.required_by(step.id) if is_carrying else frozenset()

    @staticmethod
    def _may_carry(step: Step) -> bool:
        return any(check.side_effect for check in step.checks)

    def _read_carried_results(
        self, step: Step, entry: JournalEntry | None
    ) -> tuple[tuple[EarlierResult, ...], OutdatedResult | None]:
        """Return the earlier results that the newest check carries, or the reason against one."""
        check_index = self._checked.get(step.id)
        if check_index is None or check_index.is_carried or entry is None:
            return (), None
        if not isinstance(entry.data, StepChecked):
            return (), None
        index_by_line = {check.ref.seq: check for check in check_index.carried}
        carried = []
        for result in entry.data.carried:
            if result.line not in index_by_line:
                lost = f"The result of {result.checked_on[:10]} is not in the journal any more."
                return (), OutdatedResult(lost, self._subject.today)
            earlier = read_carried(
                self._history,
                self._subject.procedure,
                step,
                index_by_line[result.line],
                result,
                today=self._subject.today,
                limit=self._limit,
            )
            if isinstance(earlier, OutdatedResult):
                return (), earlier
            carried.append(earlier)
        return tuple(carried), None

    def _mark_conclusion(
        self,
        step: Step,
        conclusion: Conclusion,
        *,
        checked_on: str,
        carried: Sequence[EarlierResult],
        entry: JournalEntry | None,
        due: OutdatedResult | None,
    ) -> Conclusion:
        """Return the conclusion, marked if it rests on an earlier run, or if that has expired."""
        known = self._checked.get(step.id)
        if conclusion.outcome is Outcome.NOT_RUN:
            return replace(conclusion, due_on=due.since if due else _due_since(entry))
        if conclusion.outcome is not Outcome.VERIFIED:
            return conclusion
        if known and known.is_carried and checked_on:
            return replace(conclusion, verified_on=checked_on[:10])
        if not carried:
            return conclusion
        began = min(earlier.result.checked_on[:10] for earlier in carried)
        sentences = " ".join(earlier.sentence for earlier in carried)
        reason = f"{sentences} {conclusion.reason}"
        return replace(conclusion, verified_on=began, reason=reason)

    def _needs_exchanges(self, findings: Iterable[Finding]) -> bool:
        """Return whether exchanges are requested, or needed to recognise a fault."""
        is_unclear = any(finding.outcome is Outcome.INCONCLUSIVE for finding in findings)
        return self._has_exchanges or is_unclear

    def _has_fault(self, findings: Iterable[Finding], exchanges: Mapping[int, Exchange]) -> bool:
        providers = self._subject.procedure.providers
        return any(
            shows_fault(finding, (exchanges[number] for number in finding.exchanges), providers)
            for finding in findings
        )

    def _waiting_since(
        self,
        step: Step,
        attestation: Attestation | None,
        conclusion: Conclusion,
        checked_on: str,
        polled: Sequence[PolledFinding],
    ) -> str:
        """Return the beginning of the wait: by an attestation, or else by the newest checks."""
        if conclusion.outcome is not Outcome.WAITING:
            return ""
        if attestation and (
            attestation.kind is AttestationKind.SUBMITTED
            or attestation.due
            or conclusion.needs_another
        ):
            return attestation.at
        waits = [poll.since for poll in polled if poll.finding.outcome is Outcome.WAITING]
        since = min(waits, default=checked_on)
        for entry in reversed(self._history.recent(step.id)):
            is_check = isinstance(entry.data, StepChecked | StepWithheld)
            seen = combine(entry.data.findings) if is_check else None
            if seen and seen.outcome is Outcome.WAITING:
                since = entry.at
            elif seen and seen.outcome is not Outcome.INCONCLUSIVE:
                break
        return since

    def _newest_check(self, step: Step) -> tuple[JournalEntry | None, str]:
        """Return the newest check of `step`, and a reason if it does not count for the subject."""
        check = self._checked.get(step.id)
        if check is None:
            return None, ""
        entry = self._history.read(check.ref)
        difference = mismatch(entry.data.binding, step, self._subject)
        is_outdated = difference and (entry.data.findings or getattr(entry.data, "carried", ()))
        return entry, f"Checked on {entry.at} {difference}: check it again." if is_outdated else ""

    def _lines_of_check(self, step: Step, findings: Iterable[Finding]) -> Iterator[LineRef]:
        """
        Yield the line of the newest check, then the lines of its exchanges.

        Raises `ChainError` if one of them is missing.
        """
        check = self._checked.get(step.id) if findings else None
        if check is not None:
            yield check.ref
            exchanges = {ref.seq: ref for ref in check.exchanges}
            named = (number for finding in findings for number in finding.exchanges)
            for number in dict.fromkeys(named):
                if number not in exchanges:
                    raise ChainError(
                        f"Line {check.ref.seq} of the journal refers to line {number}, which is "
                        "not an exchange before it."
                    )
                yield exchanges[number]

    def _demands_second_person(self, step: Step) -> bool:
        return any(name in (step.id, EVERY_STEP) for name in self._four_eyes)


def _with_polled(
    findings: tuple[Finding, ...], polled: Sequence[PolledFinding]
) -> tuple[Finding, ...]:
    """Return the findings, with the polled one for each check that has one."""
    newer = {poll.finding.check: poll.finding for poll in polled}
    kept = tuple(newer.pop(finding.check, finding) for finding in findings)
    return (*kept, *newer.values())


def blocking_failure(step: Step, states: Mapping[str, StepState]) -> str:
    """Return a sentence about the failure that blocks `step`; empty if nothing blocks it."""
    for required in step.requires:
        state = states.get(required)
        if state is not None and state.blocks_dependents:
            return f"Blocked: complete {step_name(state.number, state.step.title)} first."
    return ""


def _load_saved_index(journal: Journal, key: FingerprintKey) -> JournalIndex:
    """
    Return the saved index if it belongs to this journal, else an empty one.

    Raises `JournalError` if its file cannot be read.
    """
    path = journal.path.with_name(STATE_NAME)
    advice = "Delete it: the runbook rebuilds it from the journal."
    with reported_as(JournalError, f"The index {path} cannot be read", next_step=advice):
        try:
            content = read_plain(path, _LARGEST_INDEX)
        except FileNotFoundError:
            return JournalIndex()
    try:
        index = load_index(content, key)
        if index is not None and index.last.seq:
            journal.read(index.last)
    except (JournalError, ChainError):
        return JournalIndex()
    return index or JournalIndex()


def _due_since(entry: JournalEntry | None) -> str:
    return entry.data.due_on if entry and isinstance(entry.data, StepChecked) else ""


def _why_unchecked(
    entry: JournalEntry | None, step: Step, *, is_begun: bool, run_id: str | None
) -> str:
    if entry is not None:
        return str(entry.data.unchecked)
    if is_begun:
        return "The check was interrupted before it had a result."
    if run_id is not None:
        return "This run did not reach this step."
    return "Not checked yet." if step.checks else ""


def _attestation_from(entry: JournalEntry, index: IndexedAttestation) -> Attestation:
    statement: AttestationDetails = entry.data
    binding = structs.replace(statement.binding, subject=index.subject)
    kind = AttestationKind(entry.type.removeprefix("step."))
    return Attestation(
        **{**structs.asdict(statement), "kind": kind, "step": entry.step, "binding": binding}
    )
