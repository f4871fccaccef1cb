"""
Runs the checks of a step, or of all steps, side by side within time limits; none breaks the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome, Value
from runbook_lib.core.procedure import Check, Step
from runbook_lib.errors import (
    JournalError,
    RunbookError,
    StaleResponseError,
    ThrottledError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.remote.limits import Deadline
from runbook_lib.remote.recording import RecordedExchange
from runbook_lib.remote.threads import run_in_thread
from runbook_lib.run.earlier import EndedResult
from runbook_lib.run.fold import decide

# A check that timed out sends nothing more; it may still return its finding for this long.
_GRACE_SECONDS = 5.0
_BLOCKED = "Not checked: an earlier step failed."
# Errors that end a check without a response of the remote system.
_NO_ANSWER = (UnreachableError, ThrottledError, UnexpectedResponseError, StaleResponseError)


class CheckResult(NamedTuple):
    """
    A check's finding, and the exchanges that support it.

    With `is_unanswered` it broke off: the finding says nothing about the remote system.
    """

    finding: Finding
    seen: tuple[RecordedExchange, ...] = ()
    is_unanswered: bool = False


# The results of a step's checks, in their order, or the reason why no check ran.
Performed = tuple[tuple[CheckResult, ...], str]


class PreparedChecks(NamedTuple):
    """A step's checks, ready to be performed, and the values that they are about."""

    values: Mapping[str, Value]
    """The values that the checks are about."""

    perform: Callable[[], Performed]
    """Returns the results of the checks."""

    due: EndedResult | None = None
    """The reason why an earlier result does not count; `None` if no result was refused."""


class RunningChecks:
    """
    The checks of several steps, which run at the same time.

    The caller takes each step's results in the documented order.

    `prepare` returns a step's checks, and `attestations` are people's attestations by step.

    Checks that mutate a remote system run alone; so do steps that depend on them. A check with a
    side effect begins once no step that it requires can fail any more.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        prepare: Callable[[Step], PreparedChecks],
        *,
        is_permitted: Callable[[Check], bool],
        attestations: Mapping[str, Attestation | None],
    ) -> None:
        self._steps = {step.id: step for step in steps}
        self._prepare = prepare
        self._is_permitted = is_permitted
        self._attestations = attestations
        self._begun: dict[str, Future[Performed]] = {}
        self._not_taken: dict[str, PreparedChecks] = {}
        late: set[str] = set()
        for step in steps:
            if self._alters(step) or late.intersection(step.requires):
                late.add(step.id)
            elif step.checks:
                prepared = prepare(step)
                self._not_taken[step.id] = prepared
                in_time = partial(self._perform_in_time, step, prepared.perform)
                self._begun[step.id] = run_in_thread(in_time, step.id)

    def take(self, step: Step) -> tuple[Performed, PreparedChecks]:
        """
        Return the results of the step's checks, with the values that they are about.

        A second call performs them again.
        """
        prepared = self._not_taken.pop(step.id, None)
        if prepared is not None:
            return self._begun[step.id].result(), prepared
        if self._alters(step):
            self.wait()
        prepared = self._prepare(step)
        return prepared.perform(), prepared

    def wait(self) -> None:
        """Wait until nothing is under way any more."""
        wait(self._begun.values())

    def _alters(self, step: Step) -> bool:
        return any(check.mutates and self._is_permitted(check) for check in step.checks)

    def _perform_in_time(self, step: Step, perform: Callable[[], Performed]) -> Performed:
        side_effect = any(check.side_effect and self._is_permitted(check) for check in step.checks)
        return ((), _BLOCKED) if side_effect and self._is_blocked(step) else perform()

    def _is_blocked(self, step: Step) -> bool:
        """Return whether a step that `step` requires fails, or is blocked itself."""
        return any(
            self._is_blocked(self._steps[name]) or self._fails(name)
            for name in step.requires
            if name in self._steps
        )

    def _fails(self, name: str) -> bool:
        results, _ = self._begun[name].result() if name in self._begun else ((), "")
        attestation = self._attestations.get(name)
        decision = decide([result.finding for result in results], attestation)
        if decision and decision.outcome in (Outcome.FAILED, Outcome.VERIFIED):
            return decision.outcome is Outcome.FAILED
        return attestation is not None and attestation.kind is AttestationKind.DECLINED


def perform_checks(
    checks: Sequence[Check],
    open_context: Callable[[], CheckContext],
    *,
    lacking: Callable[[Check], Sequence[str]],
    doubts: Sequence[str] = (),
) -> Performed:
    """
    Return the results of `checks`, in their order, or the reason why no check ran.

    `open_context` returns a context for each; `lacking` returns the labels of a check's missing
    inputs. The first finding warns of `doubts` about the step's values.

    A check that breaks off, or that exceeds the step's time limit, is an inconclusive finding. Only
    `JournalError` is raised.
    """
    if not checks:
        return (), ""
    absent = [lacking(check) for check in checks]
    if all(absent):
        return (), f"Not checked: {_join_labels(absent)} not given."
    contexts = [None if labels else open_context() for labels in absent]
    opened = [context for context in contexts if context is not None]
    client = opened[0].session.client
    deadline = Deadline(client.options.limits.step_seconds, client.clock)
    for context in opened:
        context.session.set_step_deadline(deadline)
    running = [
        run_in_thread(partial(_perform, check, context, labels), check.id)
        for check, context, labels in zip(checks, contexts, absent, strict=True)
    ]
    wait(running, timeout=deadline.seconds_left + _GRACE_SECONDS)
    results = [
        future.result() if future.done() else _unfinished(check, context, deadline)
        for check, context, future in zip(checks, contexts, running, strict=True)
    ]
    seen = tuple(result for result in results if result is not None)
    if seen and doubts:
        first = seen[0].finding
        warned = replace(first, warnings=(*doubts, *first.warnings))
        seen = (seen[0]._replace(finding=warned), *seen[1:])
    return seen, "" if seen else "No check applies to the chosen permissions."


def _unfinished(check: Check, context: CheckContext | None, deadline: Deadline) -> CheckResult:
    finding = Finding(
        outcome=Outcome.INCONCLUSIVE,
        code="check-stopped",
        reason=f"The check was stopped: it took over {deadline.seconds:g} s (step_seconds).",
        check=check.id,
    )
    return CheckResult(
        finding, context.session.recorded_exchanges() if context else (), is_unanswered=True
    )


def _perform(
    check: Check, context: CheckContext | None, absent: Sequence[str]
) -> CheckResult | None:
    if context is None:
        reason = f"Not checked further: {_join_labels([absent])} not given."
        missing = Finding(
            outcome=Outcome.INCONCLUSIVE, code="input-missing", reason=reason, check=check.id
        )
        return CheckResult(missing)
    is_unanswered = False
    finding: Finding | None
    try:
        finding = check.run(context)
    except JournalError:
        raise
    except RunbookError as error:
        is_unanswered = isinstance(error, _NO_ANSWER)
        finding = Finding(
            outcome=Outcome.INCONCLUSIVE,
            code=error.code,
            reason=str(error),
            refuses=error.refuses,
            quotes=error.quotes,
        )
    except Exception as error:  # noqa: BLE001  (a defect must not pass for a result)
        is_unanswered = True
        finding = Finding(
            outcome=Outcome.INCONCLUSIVE,
            code="check-broken",
            reason=f"The check itself broke ({type(error).__name__}): a defect of the runbook.",
        )
    if finding is None:
        return None
    context.session.flush()
    return CheckResult(
        replace(finding, check=check.id), context.session.recorded_exchanges(), is_unanswered
    )


def _join_labels(absent: Iterable[Sequence[str]]) -> str:
    return ", ".join(dict.fromkeys(label for labels in absent for label in labels))
