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
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.core.run_lock import WAITING
from runbook_lib.engine.run import Run
from runbook_lib.errors import SealingError

__all__ = ["Sealed", "seal_evidence"]

_NOT_INHERITED = ("JPY_SESSION_NAME",)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a headless run came to, and its bundle."""

    outcome: str
    bundle: Path


def seal_evidence(run: Run, *, on_wait: Callable[[str], None] = lambda _: None) -> Sealed:
    """
    Run the whole procedure headless for this tenant and return what it came to.

    Calls `on_wait` with what the run says while it waits for another one. Raises
    `SealingError` with the run's own words where it left no bundle.
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
    output, errors = _outputs(
        command, environ, lambda line: on_wait(line) if line.startswith(WAITING) else None
    )
    try:
        record = json.loads(output)
        bundle = next(folder.glob(f"*-{record['run_id']}"))
    except (ValueError, StopIteration):
        raise _refusal(run.redactor.redact(errors)) from None
    return Sealed(record["outcome"], bundle.absolute())


def _outputs(
    command: Sequence[str], environ: Mapping[str, str], on_line: Callable[[str], None]
) -> tuple[str, str]:
    """Return what a program wrote to its two outputs; `on_line` hears the second as it comes."""
    said: list[str] = []
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(  # noqa: S603
            command, env=environ, stdout=output, stderr=subprocess.PIPE, encoding="utf-8"
        ) as process,
    ):
        for line in process.stderr or ():
            said.append(line)
            on_line(line.strip())
        process.wait()
        output.seek(0)
        return output.read(), "".join(said)


def _refusal(said: str) -> SealingError:
    """Return the error that a run's last words, `runbook: …` and `Next: …`, describe."""
    before, _, last = said.strip().rpartition("runbook: ")
    message, _, advice = (last or before).partition("\nNext: ")
    message = message.strip() or "The headless run ended without a word."
    return SealingError(message, next_step=advice.strip() or None)


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
