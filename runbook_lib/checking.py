"""
Performing a step's checks: side by side, each with a record of its own, none of them fatal.

What a check looks at is the checks' business, what follows from what they
found the procedure's, and what is written down the run's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from runbook_lib.checks.context import CheckContext
from runbook_lib.errors import JournalError, RunbookError
from runbook_lib.procedure import Check, Finding, Outcome

__all__ = ["perform_checks"]


def perform_checks(
    checks: Sequence[Check],
    open_context: Callable[[], CheckContext],
    *,
    lacking: Callable[[Check], Sequence[str]],
) -> tuple[tuple[Finding, ...], str]:
    """
    Return what `checks` found, in their order, or why nothing was checked.

    `open_context` gives each its own context; `lacking` tells the labels of
    what a check needs and was not given. A check that breaks off is an
    inconclusive finding; only `JournalError` is raised.
    """
    if not checks:
        return (), ""
    absent = [lacking(check) for check in checks]
    if all(absent):
        return (), f"Not checked: {_listed(absent)} not given."
    contexts = [None if labels else open_context() for labels in absent]
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        found = list(pool.map(_perform, checks, contexts, absent))
    findings = tuple(finding for finding in found if finding is not None)
    return findings, "" if findings else "Nothing of this applies to the chosen permissions."


def _perform(check: Check, context: CheckContext | None, absent: Sequence[str]) -> Finding | None:
    if context is None:
        reason = f"Not checked further: {_listed([absent])} not given."
        return Finding(outcome=Outcome.INCONCLUSIVE, reason=reason, check=check.id)
    try:
        finding = check.run(context)
    except JournalError:
        raise
    except RunbookError as error:
        finding = Finding(outcome=Outcome.INCONCLUSIVE, reason=str(error))
    except Exception as error:  # noqa: BLE001  (a defect must not pass for a result)
        finding = Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"The check itself broke ({type(error).__name__}): a defect of the runbook.",
        )
    if finding is None:
        return None
    return replace(finding, check=check.id, exchanges=context.session.exchanges())


def _listed(absent: Iterable[Sequence[str]]) -> str:
    return ", ".join(dict.fromkeys(label for labels in absent for label in labels))
