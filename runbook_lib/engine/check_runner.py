"""
Runs a step's checks side by side, within a time limit; none can break the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple

from msgspec.structs import replace

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Exchange, Finding, Outcome
from runbook_lib.core.procedure import Check
from runbook_lib.errors import JournalError, RunbookError
from runbook_lib.remote.limits import Deadline

# A check whose time is over sends nothing more; it may still return its finding for so long.
_GRACE_SECONDS = 5.0


class Result(NamedTuple):
    """What one check saw, and the exchanges on which that rests."""

    finding: Finding
    exchanges: tuple[Exchange, ...] = ()


def perform_checks(
    checks: Sequence[Check],
    open_context: Callable[[], CheckContext],
    *,
    lacking: Callable[[Check], Sequence[str]],
) -> tuple[tuple[Result, ...], str]:
    """
    Return what `checks` found, in their order, or why nothing was checked.

    `open_context` returns a context for each; `lacking` returns the labels of
    what a check needs and was not given. A check that breaks off, or that takes
    longer than a step may, is an inconclusive finding; only `JournalError` is raised.
    """
    if not checks:
        return (), ""
    absent = [lacking(check) for check in checks]
    if all(absent):
        return (), f"Not checked: {_listed(absent)} not given."
    contexts = [None if labels else open_context() for labels in absent]
    opened = [context for context in contexts if context is not None]
    transport = opened[0].session.transport
    deadline = Deadline(transport.limits.step_seconds, transport.clock)
    for context in opened:
        context.session.end_by(deadline)
    running = [_start(*arguments) for arguments in zip(checks, contexts, absent, strict=True)]
    wait(running, timeout=deadline.left + _GRACE_SECONDS)
    results = [
        future.result() if future.done() else _unfinished(check, context, deadline)
        for check, context, future in zip(checks, contexts, running, strict=True)
    ]
    seen = tuple(result for result in results if result is not None)
    return seen, "" if seen else "No check applies to the chosen permissions."


def _start(
    check: Check, context: CheckContext | None, absent: Sequence[str]
) -> Future[Result | None]:
    """Return the future finding; its thread blocks no exit."""
    future: Future[Result | None] = Future()

    def perform() -> None:
        try:
            future.set_result(_perform(check, context, absent))
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            future.set_exception(error)

    threading.Thread(target=perform, name=check.id, daemon=True).start()
    return future


def _unfinished(check: Check, context: CheckContext | None, deadline: Deadline) -> Result:
    finding = Finding(
        outcome=Outcome.INCONCLUSIVE,
        reason=f"The check was stopped: it took over {deadline.seconds:g} s (step_seconds).",
        check=check.id,
    )
    return Result(finding, context.session.exchanges() if context else ())


def _perform(check: Check, context: CheckContext | None, absent: Sequence[str]) -> Result | None:
    if context is None:
        reason = f"Not checked further: {_listed([absent])} not given."
        return Result(Finding(outcome=Outcome.INCONCLUSIVE, reason=reason, check=check.id))
    try:
        finding = check.run(context)
    except JournalError:
        raise
    except RunbookError as error:
        finding = Finding(outcome=Outcome.INCONCLUSIVE, reason=str(error), refuses=error.refuses)
    except Exception as error:  # noqa: BLE001  (a defect must not pass for a result)
        finding = Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"The check itself broke ({type(error).__name__}): a defect of the runbook.",
        )
    if finding is None:
        return None
    return Result(replace(finding, check=check.id), context.session.exchanges())


def _listed(absent: Iterable[Sequence[str]]) -> str:
    return ", ".join(dict.fromkeys(label for labels in absent for label in labels))
