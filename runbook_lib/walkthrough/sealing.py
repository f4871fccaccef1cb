"""
*Seal the evidence* in the walkthrough: a headless run in a process of its own.

A person is shown what they should know first, and asked once.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from runbook_lib.core.model import Mode
from runbook_lib.core.outcome import label_of
from runbook_lib.engine.elsewhere import RunEnd, seal_elsewhere
from runbook_lib.engine.run_view import RunView
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SealingError
from runbook_lib.run.state import RunState, StepState
from runbook_lib.walkthrough.check_all import CheckPlan, describe_missing_inputs, group_reasons


def seal_evidence(run: Run, *, on_wait: Callable[[str], None] = lambda _: None) -> RunEnd:
    """
    Run the whole procedure headless for this tenant and return its outcome and bundle.

    Calls `on_wait` with a message while it waits for another run. Raises
    `SealingError` if there is no bundle.
    """
    try:
        return seal_elsewhere(run, Mode.WALKTHROUGH, on_wait=on_wait)
    except SealingError as error:
        message, advice = (run.redactor.redact(text) for text in (str(error), error.diagnostics()))
        raise SealingError(message, next_step=advice) from None


def find_doubts(run: RunView, done: CheckPlan) -> list[str]:
    """
    Return the reasons why done steps are no longer done, after every step was checked again.

    What was open before, and what is done now, is not in the way of sealing.
    """
    known = run.state.by_id
    unproven = tuple(
        (step, items)
        for step, items in done.blocked
        if (state := known[step.id]).is_settled
        and not (state.attested_by or state.is_skipped_by_person)
    )
    lost = [after for before, after in done.changed if before.is_settled and not after.is_settled]
    return [
        *(
            f"{_named(states)}: now {label}. {reason}"
            for (label, reason), states in group_reasons(lost).items()
        ),
        *(
            f"{label} is missing. Enter it in step {steps[0]}, or these are no longer verified: "
            f"{', '.join(steps)}."
            for label, steps in describe_missing_inputs(run, replace(done, blocked=unproven))
        ),
    ]


def sealing_message(sealed: RunEnd, seen: RunState, after: RunState) -> str:
    """
    Return a message with the outcome, the open steps, and the steps that differ from `seen`.

    `after` is the state with what the sealed run found.
    """
    still_open = [step.number for step in after.steps if not step.is_settled]
    before = {step.id: _label(step) for step in seen.steps}
    changed = [step for step in after.steps if _label(step) != before[step.id]]
    first = f"The run is {sealed.outcome}."
    if still_open:
        first += f" Open steps: {', '.join(still_open)}."
    lines = [first]
    for (label, reason), steps in group_reasons(changed).items():
        earlier = " or ".join(dict.fromkeys(before[step.id] for step in steps))
        lines.append(f"{_named(steps)}: {label} when sealed, {earlier} before. {reason}")
    return "\n".join(lines)


def _label(state: StepState) -> str:
    """Return the label of a step; that the sealed run counted an earlier result changes nothing."""
    return label_of(structs.replace(state, verified_on=""))


def _named(states: Sequence[StepState]) -> str:
    return ", ".join(f"{state.number} · {state.title}" for state in states)


def pack_bundle(bundle: Path, name: str) -> bytes:
    """Return the report of a bundle, or the whole of it as a zip file."""
    if name == "report.html":
        return (bundle / name).read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(bundle.rglob("*")):
            archive.write(path, Path(bundle.name) / path.relative_to(bundle))
    return buffer.getvalue()
