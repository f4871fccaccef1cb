"""
*Seal the evidence* in the walkthrough: a headless run in a process of its own.

The run knows nothing of the walkthrough but its settings; credentials that
were only typed travel in the new process's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import SealingError
from runbook_lib.run import Run

__all__ = ["Sealed", "seal_evidence"]

_NOT_INHERITED = ("JPY_SESSION_NAME",)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a headless run came to, and its bundle."""

    outcome: str
    bundle: Path


def seal_evidence(run: Run) -> Sealed:
    """
    Run the whole procedure headless for this tenant and return what it came to.

    Raises `SealingError` with the run's own words where it left no bundle.
    """
    folder = run.journal.path.parent
    given = [f"{name}={_text(value)}" for name, value in run.settings.values.items()]
    # NOTE: a command line is seen by others; what holds a credential comes from the settings file.
    given = [text for text in given if not run.redactor.holds_secret(text)]
    command = [
        *(sys.executable, "-m", "runbook_lib", "run", "--json"),
        *("--tenant", run.tenant, "--evidence", str(run.evidence.absolute())),
        *(("--env-file", str(run.env_file)) if run.env_file.is_file() else ()),
        *(word for text in given for word in ("--set", text)),
    ]
    environ = {name: text for name, text in os.environ.items() if name not in _NOT_INHERITED}
    for item in run.procedure.inputs:
        if item.name in run.settings.secrets:
            environ[item.variable] = run.settings.secrets[item.name].reveal()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        record = json.loads(done.stdout)
        bundle = next(folder.glob(f"*-{record['run_id']}"))
    except (ValueError, StopIteration):
        raise _refusal(run.redactor.redact(done.stderr)) from None
    return Sealed(record["outcome"], bundle.absolute())


def _refusal(said: str) -> SealingError:
    """Return the error that a run's last words, `runbook: …` and `Next: …`, tell of."""
    message, _, advice = said.strip().partition("\nNext: ")
    message = message.removeprefix("runbook: ") or "The headless run ended without a word."
    return SealingError(message, next_step=advice.strip() or None)


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
