"""
What follows from a tenant's journal alone, kept beside it until the journal or the day changes.

The lists of hundreds of tenants need it. It is no evidence, and may be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version

from msgspec import DecodeError
from msgspec.json import Decoder, encode

from runbook_lib.config.workspace import is_sandbox, on_this_machine
from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.model import ModelStruct, Outcome, RunOutcome, Value
from runbook_lib.engine.run_view import RunView
from runbook_lib.errors import JournalError, reported_as
from runbook_lib.run.events import BundleSealed, StepChecked
from runbook_lib.run.fold import combine
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState, StepState

SUMMARY_NAME = "summary.json"
_MOST_BYTES = 64 << 20


class JournalSummary(ModelStruct):
    """The content of one journal, as lists of tenants need it."""

    stamp: str
    """The journal's size and time, the day, and the versions of runbook and procedure."""

    state: RunState
    """The state over all runs."""

    values: Mapping[str, Value]
    """The values of links, as runs recorded them; practice never links to real systems."""

    failing_since: Mapping[str, str]
    """Id of a step → since when its newest checks fail."""

    answered_on: Mapping[str, str]
    """Id of a check → when a run last got an answer to it."""

    bundle: str = ""
    """Name of the newest bundle that is there; empty without one."""

    outcome: RunOutcome | None = None
    """The outcome of that bundle's run."""

    unsealed: int = 0
    """Number of results that a watch has written since the newest bundle."""


_decode = Decoder(JournalSummary).decode


def summarize(run: RunView) -> JournalSummary:
    """
    Return the summary of a run's journal; a kept one if nothing has changed since.

    Raises `JournalError` for a journal that cannot be understood.
    """
    path = run.home / SUMMARY_NAME
    stamp = _stamp(run)
    with suppress(OSError, DecodeError, RecursionError):
        known = _decode(read_plain(path, _MOST_BYTES))
        if known.stamp == stamp and (run.home / known.bundle).is_dir():
            return known
    summary = _summarize(run, stamp)
    with suppress(OSError):
        write_whole(path, encode(summary), is_durable=False, mode=0o600)
    return summary


def _stamp(run: RunView) -> str:
    path = run.journal.path
    with reported_as(JournalError, f"The journal {path} cannot be read"):
        status = path.stat()
    return " ".join(
        (
            str(status.st_size),
            str(status.st_mtime_ns),
            run.clock().date().isoformat(),
            run.procedure.digest,
            version("facebook-marketing-runbook"),
        )
    )


def _summarize(run: RunView, stamp: str) -> JournalSummary:
    state = run.whole_state
    sealed = run.last_sealed
    values = run.values_on_record
    lines = run.journal.read_all()
    last = max((line.event.last for line in lines if line.kind is BundleSealed), default=0)
    checks = _checks_by_step(lines)
    is_practice = True in run.history.practice or is_sandbox(values)
    return JournalSummary(
        stamp=stamp,
        state=state,
        values=on_this_machine(values) if is_practice else values,
        failing_since=_failing_since(checks, state.steps),
        answered_on={
            finding.check: at
            for events in checks.values()
            for at, event in events
            for finding in event.findings
            if finding.outcome is not Outcome.INCONCLUSIVE
        },
        bundle=sealed.folder.name if sealed else "",
        outcome=sealed.state.outcome if sealed else None,
        unsealed=sum(line.kind is StepChecked and not line.head.run for line in lines[last:]),
    )


_Checks = Mapping[str, Sequence[tuple[str, StepChecked]]]


def _checks_by_step(lines: Iterable[Line]) -> _Checks:
    """Return the checks of each step, oldest first, each with its time."""
    checks: dict[str, list[tuple[str, StepChecked]]] = {}
    for line in lines:
        if line.kind is StepChecked:
            checks.setdefault(line.head.step, []).append((line.head.at, line.event))
    return checks


def _failing_since(checks: _Checks, steps: Iterable[StepState]) -> dict[str, str]:
    """Return since when the newest checks of each step fail."""
    since: dict[str, str] = {}
    for step in steps:
        for at, event in () if step.is_settled else reversed(checks.get(step.id, ())):
            outcome = combine(event.findings)
            if outcome in (None, Outcome.VERIFIED, Outcome.WAITING):
                break
            if outcome is Outcome.FAILED:
                since[step.id] = at
    return since
