"""
A person's confirmation of one step outside the walkthrough, recorded as the walkthrough does.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

from runbook_lib.config.attestations import doubtful_days, read_answer
from runbook_lib.config.settings import suggestion, visible_text
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Attestation, AttestationKind, Outcome, Remark
from runbook_lib.core.people import person_key
from runbook_lib.core.procedure import Procedure, Step
from runbook_lib.engine.run_view import RunView
from runbook_lib.engine.tenant_names import unknown_tenant
from runbook_lib.engine.tenant_run import Run, open_known
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.bundle import lock_sealing
from runbook_lib.evidence.reports.phrases import when, with_times
from runbook_lib.run.fold import decide
from runbook_lib.run.state import StepState
from runbook_lib.text import as_text

_LONGEST_NAME = 200
_NOTHING = "Nothing was written."
_NO_ATTESTATION = "{} does not wait for a second person, so there is nothing to reject."


@dataclass(frozen=True, slots=True)
class PreparedConfirmation:
    """A confirmation that may be recorded as `attestation`; `state` is the step's before that."""

    run: Run
    state: StepState
    attestation: Attestation

    @property
    def about(self) -> list[str]:
        """The values that the confirmation is bound to, with labels, without secrets."""
        return subject_of(self.run, self.run.step(self.state.id))

    @property
    def doubts(self) -> dict[str, str]:
        """The reasons why a day of the confirmation is probably a slip, by its option."""
        return doubtful_days({"due": self.attestation.due}, today=self.run.clock().date())

    def record(self) -> StepState:
        """Record the confirmation in the journal, and return the step's new state."""
        self.run.say([Remark(self.state.id, self.attestation)])
        return self.run.whole_state.step(self.state.id)


def subject_of(run: RunView, step: Step) -> list[str]:
    """Return the known values that an attestation about `step` is bound to, each with its label."""
    items = {item.name: item for item in run.inputs if not item.secret}
    values = {**run.history.recorded, **run.values}
    named = [name for name in step.subject if name in items and values.get(name)]
    return [f"{items[name].label} {as_text(values[name])}" for name in named]


def require_confirmable(run: Run, step: Step, check_again: Callable[[Step], object]) -> None:
    """
    Check again what contradicts a step, or a step before it, since it may have been set right.

    `check_again` records the new results of a step; a check with a side effect is not repeated.
    Raises `SettingsError` if a check still contradicts the step's sentence, or if a value is
    missing that the sentence is about.
    """
    given = {**run.history.recorded, **run.values}
    about = [item for item in step.inputs if item.name in step.subject and not item.secret]
    if missing := [item.label for item in about if not given.get(item.name)]:
        raise SettingsError(
            f"What you confirm is about {' and '.join(missing)}, which nobody has given yet.",
            next_step="Enter it in this step, then confirm it.",
        )
    # What another step has not done yet is not there; what failed there may be no part of this.
    absent = dict.fromkeys(step.after, (Outcome.NOT_RUN,))
    contradicting = dict.fromkeys((*step.requires, step.id), (Outcome.FAILED, Outcome.NOT_RUN))
    for name, outcomes in {**absent, **contradicting}.items():
        other = run.step(name)
        if _contradiction(run, name, outcomes) and not other.side_effect:
            check_again(other)
        if reason := _contradiction(run, name, outcomes):
            number = "" if name == step.id else f" (step {run.whole_state.step(name).number})"
            raise SettingsError(
                f"A check contradicts this{number}: {reason}",
                next_step="Set it right, then confirm it; or skip the step with a reason.",
            )


def _contradiction(run: Run, step_id: str, outcomes: Container[Outcome]) -> str:
    """Return why the newest checks of a step contradict a person; empty without such an outcome."""
    state = run.whole_state.step(step_id)
    decision = decide(state.findings, None)
    if decision is None or decision.outcome not in outcomes:
        return ""
    deciding = [finding for finding in state.findings if finding.outcome is decision.outcome]
    is_limited = all(finding.limits for finding in deciding)
    return "" if decision.outcome is Outcome.NOT_RUN and is_limited else decision.reason


def prepare_confirmation(
    procedure: Procedure,
    step: str,
    *,
    by: str,
    note: str,
    tenant: str,
    evidence: str,
    env_file: str,
    is_no: bool = False,
    answer: str = "",
    due: str = "",
    until: str = "",
    origin: str = "runbook confirm",
    link: str = "",
) -> PreparedConfirmation:
    """
    Return the confirmation of `step` (its id, or its number on screen); nothing is written.

    `read_answer` documents `answer`, `due` and `until`. A second person confirms the first person's
    attestation, or withdraws it (`is_no`) with `note` as the reason. `origin` is where it is given,
    `link` the SHA-256 of a second person's link.

    Raises `SettingsError` for an unknown step or tenant, and for an unusable name, note, answer or
    day. Raises it too if nothing is left to confirm, this person confirmed before, or a check
    contradicts it. A No needs a
    reason and an attestation. Raises `ChainError` for a journal that lacks a bundle.
    """
    name = step.strip()
    numbers = {number: step_id for step_id, number in procedure.numbers.items()}
    step_ids = [step.id for step in procedure.steps]
    step_id = numbers.get(name, name)
    if step_id not in step_ids:
        raise SettingsError(
            f"There is no step called {name[:60]}.{suggestion(name, step_ids)}",
            next_step=f"`runbook status --verbose` lists the steps. {_NOTHING}",
        )
    by = visible_text("The name", by, longest=_LONGEST_NAME, next_step=_NOTHING)
    note = visible_text("The note", note, next_step=_NOTHING)
    if not by:
        raise SettingsError(
            "The name of the person who confirms it is missing.", next_step=_NOTHING
        )
    run = open_known(procedure, tenant=tenant, evidence=evidence, env_file=env_file)
    if not run.journal.path.exists():
        raise SettingsError(unknown_tenant(run.tenant, evidence), next_step=_NOTHING)
    run.require_whole_journal()
    state = run.whole_state.step(step_id)
    _require_open(state, by)
    if not (is_no or answer):
        require_confirmable(run, run.step(step_id), lambda other: _check_again(run, other))
    at = timestamp(run.clock())
    named = f"Step {state.id}"
    given = {"answer": answer, "due": due, "until": until}
    confirmed: dict[str, Any] = {} if any(given.values()) else state.second_attestation(by)
    if is_no and not (confirmed and note):
        raise SettingsError(
            "Give a reason: it is kept in the record."
            if confirmed
            else _NO_ATTESTATION.format(named),
            next_step=_NOTHING,
        )
    if is_no:
        confirmed = {}
    attestation = Attestation(
        kind=AttestationKind.WITHDRAWN if is_no else AttestationKind.ATTESTED,
        by=by,
        at=at,
        note=note,
        **(
            confirmed if confirmed or is_no else read_answer(run.step(step_id), given, named, at=at)
        ),
        origin=origin,
        link=link,
    )
    return PreparedConfirmation(run, state, attestation)


def _check_again(run: Run, step: Step) -> None:
    """Record the results of a step's checks outside of any run, if they decide something."""
    # NOTE: a result outside of a run belongs to none; the next run seals it.
    alone = replace(run, run_id="")
    results = alone.peek([step])[step.id]
    if any(result.finding.outcome is not Outcome.INCONCLUSIVE for result in results):
        with lock_sealing(run.home):
            alone.record_results(step, results, run.known_subject)


def _require_open(state: StepState, by: str) -> None:
    """Raise `SettingsError` if `by` can add nothing to the step by confirming it."""
    attestation = state.attestation
    # NOTE: the answer may have changed before the attestation that counts has ended.
    if state.is_settled and not state.answers:
        reason = with_times(state.reason)
        raise SettingsError(
            f"Step {state.number} ({state.id}) is {state.outcome}: {reason}",
            next_step=f"There is nothing to confirm. {_NOTHING}",
        )
    if state.needs_another and attestation and person_key(attestation.by) == person_key(by):
        named = f"step {state.number} ({state.id})"
        raise SettingsError(
            f"{attestation.by} already confirmed {named} on {when(attestation.at)} UTC.",
            next_step=f"A second person must confirm it. {_NOTHING}",
        )
