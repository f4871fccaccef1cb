"""
The fold derives the state of a run from the lines of a journal. It alone concludes, and is pure.

A run's first line has the procedure's steps and the values that were known. So whoever has the
lines can compute the state again, which is how `verify` proves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import NamedTuple

from msgspec import structs

from runbook_lib.config.runner_settings import ATTESTATION_DAYS
from runbook_lib.core.clock import days_between
from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Exchange,
    Finding,
    Note,
    Outcome,
    RunOutcome,
    Value,
    WaitsFor,
    host_in,
)
from runbook_lib.core.outcome import OUTCOMES, SETTLED
from runbook_lib.errors import ChainError
from runbook_lib.run.attestations import (
    Selection,
    Subject,
    last_day,
    mismatch,
    select_current,
)
from runbook_lib.run.earlier import contradiction
from runbook_lib.run.events import (
    FORMAT,
    LASTING,
    EarlierResult,
    KnownErrorText,
    RunFinished,
    RunStarted,
    StepChecked,
    StepDefinition,
    ValuesGiven,
    ValuesJudged,
)
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState, StepState

# The parameter that names the steps whose attestation a second person must confirm.
FOUR_EYES = "four_eyes"
EVERY_STEP = "all"
# Kinds of attestations that say that something was done.
_CLAIMS = (AttestationKind.ATTESTED, AttestationKind.SUBMITTED)
# Outcomes that a known error may explain.
_UNCLEAR = (Outcome.FAILED, Outcome.INCONCLUSIVE)
_WITHHELD = "The remote system's response is withheld, because it contains a secret. Check again."


@dataclass
class _History:
    """The content of a journal's lines, before anything is concluded."""

    run: str
    """Id of the run of the state; empty for all runs together."""

    steps: Sequence[StepDefinition] = ()
    """The steps, as the run defined them or as the reader has them."""

    started: RunStarted | None = None
    """The beginning of the run; of all runs together, the newest one."""

    began_in: tuple[str, str] = ("", "")
    """The id of that run, and the time of its beginning."""

    finished: Line | None = None
    """The line that ended it."""

    values: dict[str, Value] = field(default_factory=dict)
    """The newest value of each name; a secret's fingerprint."""

    refused: dict[tuple[str, Value], Value] = field(default_factory=dict)
    """Name and value that the remote system refuses → the value before it."""

    links: dict[str, str] = field(default_factory=dict)
    """Digest of each used link for a second person → id of its step."""

    attestations: dict[str, list[Attestation]] = field(default_factory=dict)
    """The attestations of each step, oldest first."""

    notes: dict[str, list[Note]] = field(default_factory=dict)
    """The comments and assignments of each step, oldest first."""

    checked: dict[str, Line] = field(default_factory=dict)
    """The newest check of each step in a run."""

    polled: dict[str, list[Line]] = field(default_factory=dict)
    """The results of single checks that a watch has confirmed since, by step."""

    earlier: Mapping[str, EarlierResult] = field(default_factory=dict)
    """Id of a check → the earlier result that the run counts again."""

    results: dict[int, Line] = field(default_factory=dict)
    """Every check and every verdict on values by the number of its line, of all runs."""

    exchanges: dict[int, Line] = field(default_factory=dict)
    """The line of every exchange by its number."""

    worked_on: set[str] = field(default_factory=set)
    """Ids of the steps that somebody attested or had checked."""

    waiting: dict[str, str] = field(default_factory=dict)
    """Id of a step → since when its checks say that it waits."""

    def add_line(self, line: Line) -> None:
        """Add the content of a line."""
        head = line.head
        is_own = not self.run or head.run == self.run
        if line.kind is Exchange:
            self.exchanges[head.seq] = line
            return
        event = line.event
        match event:
            case RunStarted() if is_own:
                self.started = event
                self.began_in = (head.run, head.at)
                # NOTE: of all runs together, a result counts on that a run before has counted.
                self.earlier = event.earlier if self.run else {**self.earlier, **event.earlier}
                self.values |= {**event.values, **event.fingerprints}
                self.waiting |= event.waiting
            case RunFinished() if is_own:
                self.finished = line
            case ValuesGiven():
                self.values |= {**event.values, **event.fingerprints}
            case ValuesJudged():
                self.results[head.seq] = line
                self._apply_verdicts(event)
            case Attestation():
                self.attestations.setdefault(head.step, []).append(event)
                self.worked_on.add(head.step)
                if event.link:
                    self.links.setdefault(event.link, head.step)
            case Note():
                self.notes.setdefault(head.step, []).append(event)
            case _ if head.type == "step.checked":
                self.results[head.seq] = line
                if is_own:
                    self._add_check(line)

    def _apply_verdicts(self, event: ValuesJudged) -> None:
        """
        Note accepted and refused values.

        Attestations that lacked a value are about the first accepted one.
        """
        for name, value in event.refused.items():
            if name in event.before:
                self.refused[name, value] = event.before[name]
        for judged in event.accepted.items():
            self.refused.pop(judged, None)
        for attestations in self.attestations.values():
            attestations[:] = [_with_late_values(item, event.accepted) for item in attestations]

    def _add_check(self, line: Line) -> None:
        step = line.head.step
        if line.head.run:
            self.checked[step] = line
            self.polled.pop(step, None)
        else:
            self.polled.setdefault(step, []).append(line)
        event: StepChecked | None = line.event
        if event is None:
            return
        if not event.automatic:
            self.worked_on.add(step)
        outcome = combine(event.findings)
        if outcome is Outcome.WAITING:
            self.waiting.setdefault(step, line.head.at)
        elif outcome is not Outcome.INCONCLUSIVE:
            self.waiting.pop(step, None)


def lines_of(lines: Iterable[Line], run: str) -> Iterator[Line]:
    """Yield the lines that the state of `run` rests on: its own, lasting and counted ones."""
    known = list(lines)
    counted: set[int] = set()
    for line in known:
        if line.head.run == run and line.kind is RunStarted:
            counted |= {earlier.line for earlier in line.event.earlier.values()}
    for line in known:
        if line.head.seq in counted and line.kind is StepChecked:
            for finding in line.event.findings:
                counted |= set(finding.exchanges)
    for line in known:
        is_own = line.head.run == run and line.head.type != "bundle.sealed"
        if is_own or line.head.type in LASTING or line.head.seq in counted:
            yield line
        if is_own and line.head.type == "run.finished":
            return


def fold(
    lines: Iterable[Line],
    run: str = "",
    *,
    today: str = "",
    steps: Sequence[StepDefinition] = (),
    values: Mapping[str, Value] | None = None,
    beginning: RunStarted | None = None,
) -> RunState:
    """
    Return the state of `run`, or of all runs together if it is empty.

    Of a run that has ended, the day of its end decides, else `today` (in UTC). `steps` are the
    present ones and `values` are known besides, for a reader whose run has not begun; `beginning`
    is what its first line would say. Raises `ChainError` if a line that the state rests on is
    missing.
    """
    history = _History(run, started=beginning)
    if beginning:
        history.values |= {**beginning.values, **beginning.fingerprints}
    for line in lines_of(lines, run) if run else lines:
        history.add_line(line)
    if history.started is None:
        raise ChainError(f"The journal has no beginning of the run {run or 'of this tenant'}.")
    started = history.started
    run_id, started_on = history.began_in
    ended = history.finished if run else None
    finished: RunFinished = ended.event if ended else RunFinished()
    finished_on = ended.head.at if ended else ""
    subject = _subject(history, started, values or {}, finished_on[:10] or today)
    states: dict[str, StepState] = {}
    history.steps = steps or started.steps
    for step in history.steps:
        states[step.id] = _step_state(step, history, subject, states)
    findings = chain.from_iterable(state.findings for state in states.values())
    numbers = set(chain.from_iterable(finding.exchanges for finding in findings))
    lacking = sorted(numbers - history.exchanges.keys())
    if lacking:
        raise ChainError(f"A finding rests on line {lacking[0]}, which is not an exchange here.")
    return RunState(
        format=FORMAT,
        tenant=started.tenant,
        run=run_id or run,
        procedure=started.procedure,
        mode=started.mode,
        sandbox=started.sandbox,
        started_on=started_on,
        finished_on=finished_on,
        resumes=started.resumes,
        fleet_run=started.fleet_run,
        not_run=started.not_run,
        outcome=RunOutcome.INCOMPLETE if started.not_run else _run_outcome(states.values()),
        broken=finished.broken,
        values={
            name: value for name, value in history.values.items() if name not in started.secrets
        },
        unverifiable=started.unverifiable,
        app_id_label=started.labels.get("app_id", "app_id"),
        credentials=started.credentials,
        environment={**started.environment, **finished.environment},
        steps=tuple(states.values()),
        exchanges={number: history.exchanges[number].event for number in sorted(numbers)},
        calls=_calls(history) if run else {},
    )


def _calls(history: _History) -> dict[str, int]:
    """Return the number of responses of each host in the run."""
    made = [line.event for line in history.exchanges.values() if line.head.run == history.run]
    hosts = [host_in(sent.url) for sent in made if sent.status is not None]
    return dict(sorted(Counter(filter(None, hosts)).items()))


def _subject(
    history: _History, started: RunStarted, values: Mapping[str, Value], today: str
) -> Subject:
    """Return the values that attestations and checks are compared with."""
    current = {**history.values, **values}
    before = {
        name: value
        for (name, refused), value in history.refused.items()
        if current.get(name) == refused
    }
    days = current.get(ATTESTATION_DAYS, 0)
    return Subject(
        connector=started.procedure.id,
        values=current,
        before=before,
        labels=started.labels,
        secrets=started.secrets,
        today=today,
        most_days=days if isinstance(days, int) else 0,
        links=history.links,
    )


def _run_outcome(states: Iterable[StepState]) -> RunOutcome:
    known = tuple(states)
    if any(state.outcome is Outcome.FAILED for state in known):
        return RunOutcome.FAILED
    is_complete = all(state.is_settled for state in known)
    return RunOutcome.COMPLETE if is_complete else RunOutcome.INCOMPLETE


def _with_late_values(attestation: Attestation, accepted: Mapping[str, Value]) -> Attestation:
    """Return an attestation with `accepted` values in place of those that were unknown."""
    known = attestation.binding.subject
    late = {name: accepted[name] for name in known if known[name] is None and name in accepted}
    if not late:
        return attestation
    binding = structs.replace(attestation.binding, subject={**known, **late})
    return structs.replace(attestation, binding=binding)


def combine(findings: Iterable[Finding]) -> Outcome | None:
    """Return the outcome of several findings; `None` without any."""
    outcomes = (finding.outcome for finding in findings)
    return max(outcomes, key=lambda outcome: OUTCOMES[outcome].decides, default=None)


class _Checks(NamedTuple):
    """The findings of a step that count, with what is to say about its checks."""

    findings: tuple[Finding, ...] = ()
    """The findings that count."""

    checked_on: str = ""
    """Time of the newest check that counts."""

    verified_on: str = ""
    """The day of the oldest earlier result among the findings."""

    earlier: Mapping[str, EarlierResult] = {}
    """Id of a check → its earlier result that counts again."""

    earlier_sentences: tuple[str, ...] = ()
    """The day, the run and the last day of each earlier result, for people."""

    unchecked: str = ""
    """Reason why there are no findings."""

    due_on: str = ""
    """The day since when a check with a side effect must be made again."""

    known_errors: tuple[KnownErrorText, ...] = ()
    """The known error texts in the findings."""

    faults: tuple[str, ...] = ()
    """Ids of the checks that could not tell because a remote system had a fault of its own."""

    outdated: str = ""
    """Reason why those of the newest check do not count."""


def _step_state(
    step: StepDefinition,
    history: _History,
    subject: Subject,
    before: Mapping[str, StepState],
) -> StepState:
    """Return the state of `step`, given those of the steps `before` it."""
    blocking = next(
        (before[name] for name in step.requires if before[name].blocks_dependents), None
    )
    obstacle = (
        f"Blocked: complete step {blocking.number} ({blocking.title}) first." if blocking else ""
    )
    checks = _with_polled(_checks_of(step, history, subject), step, history, subject)
    if not (obstacle or checks.outdated):
        checks = _with_earlier(checks, step, history, subject)
    selection = select_current(history.attestations.get(step.id, ()), step, subject)
    demanded = history.values.get(FOUR_EYES, ())
    needs_two = isinstance(demanded, tuple) and not {EVERY_STEP, step.id}.isdisjoint(demanded)
    state = _concluded(step, checks, selection, subject, obstacle=obstacle, needs_two=needs_two)
    notes = history.notes.get(step.id, ())
    assignment = next((note for note in reversed(notes) if note.to is not None), None)
    is_assigned = assignment is not None and assignment.to and not state.is_settled
    if state.outcome is Outcome.VERIFIED and checks.verified_on:
        # NOTE: for all runs together it does not matter which one checked it.
        sentences = checks.earlier_sentences if history.run else ()
        reason = " ".join((*sentences, state.reason))
        state = structs.replace(state, verified_on=checks.verified_on, reason=reason)
    state = structs.replace(
        state,
        checked_on=checks.checked_on,
        findings=checks.findings,
        earlier=checks.earlier,
        known_errors=checks.known_errors if state.outcome in _UNCLEAR else (),
        due_on=checks.due_on if state.outcome is Outcome.NOT_RUN else "",
        needs_human_only=_is_left_to_people(step, state, checks.findings),
        has_fault=bool(checks.faults),
        void_attestations=selection.void,
        outdated="" if state.is_settled else checks.outdated,
        comments=tuple(note for note in notes if note.to is None),
        assigned=assignment if is_assigned else None,
        is_worked_on=step.id in history.worked_on,
    )
    return _with_wait(state, step, subject.today, history.waiting.get(step.id, ""))


def _is_left_to_people(step: StepDefinition, state: StepState, findings: Iterable[Finding]) -> bool:
    """Return whether a person must confirm what no better check could tell."""
    leave_it = {check.id for check in step.checks if check.needs_human_only}
    unclear = [part for part in findings if part.outcome is Outcome.INCONCLUSIVE]
    is_left = bool(unclear) and all(part.check in leave_it and part.limits for part in unclear)
    return state.outcome is Outcome.INCONCLUSIVE and is_left


def _checks_of(step: StepDefinition, history: _History, subject: Subject) -> _Checks:
    """Return the findings of the step's newest check, if it counts for the subject."""
    line = history.checked.get(step.id)
    if line is None:
        if history.run:
            return _Checks(unchecked="This run did not reach this step.")
        return _Checks(unchecked="Not checked yet." if step.checks else "")
    event: StepChecked | None = line.event
    if event is None:
        findings = tuple(
            Finding(
                outcome=Outcome.INCONCLUSIVE,
                code="response-withheld",
                reason=_WITHHELD,
                check=check.id,
            )
            for check in step.checks
        )
        return _Checks(findings, line.head.at)
    # NOTE: what else a check with a side effect needed only decides whether it counts again.
    about = {name: value for name, value in event.binding.subject.items() if name in step.subject}
    difference = mismatch(structs.replace(event.binding, subject=about), step, subject)
    if difference and event.findings:
        return _Checks(outdated=f"Checked on {line.head.at} {difference}: check it again.")
    return _Checks(
        event.findings,
        line.head.at,
        unchecked=event.unchecked,
        due_on=event.due_on,
        known_errors=event.known_errors,
        faults=event.faults,
    )


def _with_polled(
    checks: _Checks, step: StepDefinition, history: _History, subject: Subject
) -> _Checks:
    """Return the checks with the results that a watch has confirmed since, one for each check."""
    for line in history.polled.get(step.id, ()):
        event: StepChecked | None = line.event
        if event is None or mismatch(event.binding, step, subject):
            continue
        newer = {finding.check: finding for finding in event.findings}
        faults = tuple(check for check in checks.faults if check not in newer)
        kept = tuple(newer.pop(finding.check, finding) for finding in checks.findings)
        checks = checks._replace(
            findings=(*kept, *newer.values()),
            checked_on=line.head.at,
            unchecked="",
            outdated="",
            known_errors=(*checks.known_errors, *event.known_errors),
            faults=faults,
        )
    return checks


def _with_earlier(
    checks: _Checks, step: StepDefinition, history: _History, subject: Subject
) -> _Checks:
    """
    Return the checks with the earlier results that the run counts again.

    If one of them has ended since, none counts, and `unchecked` has the reason. Raises `ChainError`
    if the line of one is missing.
    """
    made = {finding.check for finding in checks.findings}
    counts: dict[str, EarlierResult] = {}
    counted: list[Finding] = []
    days: list[str] = []
    sentences: list[str] = []
    for check in step.checks:
        earlier = history.earlier.get(check.id)
        if earlier is None or check.id in made:
            continue
        line = history.results.get(earlier.line)
        if line is None:
            raise ChainError(f"Line {earlier.line}, on which {step.id} rests, is missing.")
        day = line.head.at[:10]
        if why := _why_ended(earlier, check.id, step, history, subject):
            reason = f"Verified on {day}, {why}."
            unchecked = f"{reason} {checks.unchecked}".strip()
            return checks._replace(unchecked=unchecked, due_on=subject.today)
        counts[check.id] = earlier
        counted += [finding for finding in line.event.findings if finding.check == check.id]
        days.append(day)
        run = f" in run {line.head.run}" if line.head.run else ""
        sentences.append(
            f"Verified on {day}{run}, and not checked again in this run; it counts until "
            f"{earlier.until}."
        )
    if not counted:
        return checks
    earlier_checks = checks._replace(
        findings=(*checks.findings, *counted),
        verified_on=min(days),
        earlier=counts,
        earlier_sentences=tuple(sentences),
    )
    # NOTE: a run that only counts earlier results has checked nothing.
    is_checked = bool(checks.findings)
    return earlier_checks if is_checked else earlier_checks._replace(checked_on="", unchecked="")


def _why_ended(
    earlier: EarlierResult, check: str, step: StepDefinition, history: _History, subject: Subject
) -> str:
    """Return why an earlier result of `check` no longer counts; empty if it does."""
    line = history.results[earlier.line]
    event: StepChecked | None = line.event
    findings = event.findings if event else ()
    outcomes = {finding.outcome for finding in findings if finding.check == check}
    if event is None or outcomes != {Outcome.VERIFIED}:
        return "but its line is withheld, or has no such result"
    if subject.today > earlier.until:
        return f"which counted until {earlier.until}"
    # NOTE: a value that was emptied is as last recorded, like one that is not given.
    about = {
        name: None if subject.values.get(name) in ("", ()) else value
        for name, value in event.binding.subject.items()
    }
    if difference := mismatch(structs.replace(event.binding, subject=about), step, subject):
        return f"but {difference}"
    known = history.results.values()
    later = contradiction(line, check, known, history.steps, subject.labels)
    return f"but {later}" if later else ""


class Decision(NamedTuple):
    """The outcome of a step, and who decided it."""

    outcome: Outcome
    reason: str
    code: str = ""
    by_person: bool = False


def _concluded(
    step: StepDefinition,
    checks: _Checks,
    selection: Selection,
    subject: Subject,
    *,
    obstacle: str,
    needs_two: bool,
) -> StepState:
    """Return the state that follows from the checks' findings and from people's attestations."""
    attestation = selection.current
    is_done = attestation and attestation.kind is AttestationKind.ATTESTED and not attestation.due
    confirmed_by = selection.confirmed_by if needs_two and is_done else ()
    lacks_second = bool(needs_two and is_done and not confirmed_by)
    counting = [item for item in (*confirmed_by, attestation) if item]
    ends = (last_day(item, step, subject.most_days) for item in counting)
    ends_on = min(filter(None, ends), default="")
    limited = {finding.check for finding in checks.findings if finding.limits}
    in_part = any(check.confirm and check.id in limited for check in step.checks)
    void = (item.sentence for item in selection.void)
    unchecked = " ".join(filter(None, (*void, checks.outdated, checks.unchecked)))
    seen = decide(checks.findings, attestation)
    needs_person = False
    if seen and seen.outcome in (Outcome.VERIFIED, Outcome.FAILED):
        decision = seen
        is_attested = attestation and attestation.kind is AttestationKind.ATTESTED
        is_confirmed = is_attested and not lacks_second
        needs_person = seen.outcome is Outcome.VERIFIED and in_part and not is_confirmed
    elif attestation and attestation.kind not in _CLAIMS:
        decision = _decision_against(attestation, ends_on)
    elif obstacle:
        decision = Decision(Outcome.SKIPPED, obstacle)
    elif seen and (seen.outcome is Outcome.WAITING or attestation is None):
        decision = seen
    elif attestation is None:
        reason = unchecked or "Only you can confirm this: no API shows it."
        decision = Decision(Outcome.NOT_RUN, reason)
    else:
        doubt = f"a check ran and could not tell: {seen.reason}" if seen else unchecked
        others = ", ".join(item.by for item in confirmed_by)
        label = _label_of(attestation, step)
        reason = _reason_of(
            attestation, label, subject.today, until=ends_on, others=others, doubt=doubt
        )
        if lacks_second:
            reason += "; another person must confirm it."
        is_open = not is_done or lacks_second
        outcome = Outcome.WAITING if is_open else Outcome.ATTESTED
        decision = Decision(outcome, reason, by_person=True)
    is_skipped = decision.outcome is Outcome.SKIPPED and decision.by_person
    is_settled = is_skipped or (decision.outcome in SETTLED and not needs_person)
    is_attested_half = decision.outcome is Outcome.WAITING and decision.by_person
    is_by_people = decision.by_person or in_part
    return StepState(
        id=step.id,
        number=step.number,
        title=step.title,
        off_page=step.off_page,
        kind=step.kind,
        outcome=decision.outcome,
        reason=decision.reason,
        code=decision.code,
        by_person=decision.by_person,
        is_settled=is_settled,
        needs_person=needs_person,
        needs_another=lacks_second and (needs_person or is_attested_half),
        sentence=step.sentence,
        answers=step.answers,
        ends_on=ends_on if is_settled and is_by_people else "",
        attestation=attestation,
        confirmed_by=confirmed_by,
    )


def decide(findings: Sequence[Finding], attestation: Attestation | None) -> Decision | None:
    """
    Return the decision of the checks alone; `None` without any.

    A finding that nothing was done contradicts a person, unless it has limits.
    """
    outcome = combine(findings)
    if outcome is None:
        return None
    deciding = [finding for finding in findings if finding.outcome is outcome]
    reason = " ".join(dict.fromkeys(finding.reason for finding in deciding))
    if outcome is Outcome.NOT_RUN and attestation and attestation.kind in _CLAIMS:
        outcome = Outcome.INCONCLUSIVE
        if not all(finding.limits for finding in deciding):
            outcome = Outcome.FAILED
            claim = f"{attestation.by} said on {attestation.at} that this was {attestation.kind}"
            reason = f"{claim}, but: {reason}"
    return Decision(outcome, reason, deciding[0].code)


def _decision_against(attestation: Attestation, until: str) -> Decision:
    """Return the decision of a skip, or of a decline."""
    if attestation.kind is AttestationKind.SKIPPED:
        end = f" (counts until {until})" if until else ""
        reason = f"{attestation.by}: {attestation.note}{end}"
        return Decision(Outcome.SKIPPED, reason, by_person=True)
    note = f": {attestation.note.rstrip('.')}" if attestation.note else ""
    reason = (
        f"{attestation.by} reported on {attestation.at} that the reviewer declined this{note}. "
        "Correct what the reviewer names, submit it again, then confirm that it was submitted."
    )
    return Decision(Outcome.FAILED, reason, by_person=True)


def _label_of(attestation: Attestation, step: StepDefinition) -> str:
    """Return the label of the attested answer; empty for the step's own sentence."""
    if attestation.kind is AttestationKind.SUBMITTED:
        return "Submitted"
    labels = {answer.sentence: answer.label for answer in step.answers}
    return labels.get(attestation.sentence, "")


def _reason_of(
    attestation: Attestation, label: str, today: str, *, until: str, others: str, doubt: str
) -> str:
    """Return the person with the time, and everything that limits the attestation."""
    reason = f"{attestation.by} on {attestation.at}"
    if label:
        reason = f"{label} ({reason})"
    if attestation.due:
        reason += f", due {attestation.due}"
        reason += " (overdue)" if today > attestation.due else ""
    if until:
        reason += f", counts until {until}"
    if others:
        reason += f", confirming {others}"
    if attestation.note:
        reason += f": {attestation.note}"
    if doubt:
        reason += f" ({doubt})"
    return reason


def _with_wait(state: StepState, step: StepDefinition, today: str, seen: str) -> StepState:
    """Return the state with the party that must act, since when, and how late it is."""
    attestation = state.attestation
    is_waiting = state.outcome is Outcome.WAITING
    is_said = attestation and (
        attestation.kind is AttestationKind.SUBMITTED or attestation.due or state.needs_another
    )
    since = ""
    if is_waiting:
        since = attestation.at if attestation and is_said else seen
    days = (part.due for part in (state.assigned, attestation) if part)
    due = min(filter(None, days), default="")
    late = 0
    if due and today:
        late = (date.fromisoformat(today) - date.fromisoformat(due)).days
    elif since and today and step.usual_days and not state.needs_another:
        late = days_between(since, today) - step.usual_days
    dated = structs.replace(state, waiting_since=since, due=due, overdue_days=max(late, 0))
    if state.is_settled:
        return dated
    waits_for = WaitsFor.OUTSIDE_PARTY if is_waiting else WaitsFor.ANYBODY
    if state.assigned:
        waits_for = WaitsFor.PERSON
    elif state.needs_another:
        waits_for = WaitsFor.SECOND_PERSON
    return structs.replace(dated, waits_for=waits_for)
