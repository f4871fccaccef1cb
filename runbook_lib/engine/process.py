"""
A tenant's run in its own process: a request goes in, events come out.

The request goes over standard input, so that no credential is on a command
line or in a file; each event is a line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from runbook_lib.config.runner import inputs_of
from runbook_lib.config.settings import resolve
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.journal import utc_now
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.redaction import Secret
from runbook_lib.core.state import RunState
from runbook_lib.engine.execution import early_child
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult, run_tenant
from runbook_lib.engine.inbox import waits_in
from runbook_lib.errors import JournalError, RunbookError, SealingError
from runbook_lib.fork_engine import Child

__all__ = ["Finished", "ProcessRequest", "TenantProcess", "run_in_process"]

# A headless run must not take itself for a notebook in JupyterLab.
_NOT_INHERITED = ("JPY_SESSION_NAME", "SERVER_SOFTWARE")
# How long a run that took too long may take to write its end.
_GRACE_SECONDS = 10
_AGAIN = "Run it again; the journal is intact. If that fails too, `runbook run` shows more."
_TOO_SLOW = "Run it again, with more time (--timeout) if its remote systems are only slow."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest:
    """
    What to run; `secrets` are credentials by the name of their variable.

    `references` say where the new process finds others, by the name of the input.
    `attestations` names a file of them, of which those count that are about this
    tenant's subject. `environ` is the environment of the new process.
    """

    connector: str
    tenant: str
    evidence: str
    env_file: str = ""
    given: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    attestations: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of the run, and its bundle."""

    outcome: str
    bundle: Path


def run_in_process(
    request: ProcessRequest, *, on_wait: Callable[[str], None] = lambda _: None
) -> Finished:
    """
    Run the whole procedure headless in a new process, and return its outcome.

    Calls `on_wait` with the reason when the run waits. Raises `SealingError` if there
    is no bundle.
    """
    with _start(request) as process:
        with suppress(BrokenPipeError), cast("TextIO", process.stdin) as stream:
            json.dump(_document(request), stream)
        for event in _events(process.stdout or ()):
            if event["event"] == "wait":
                on_wait(event["said"])
            elif event["event"] == "refused":
                raise SealingError(event["said"], next_step=event["next_step"])
            else:
                return Finished(event["outcome"], Path(event["bundle"]))
    raise SealingError("The headless run ended without a result.")


class TenantProcess:
    """
    One run in a new process, which has a time limit and which another thread may end.

    What its kernel and libraries print is dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False

    def run(self, request: ProcessRequest, *, seconds: float) -> Mapping[str, Any]:
        """
        Run to the end, and return the last event: `finished` or `refused`.

        Raises `SealingError` for a process that ends without one, or too late:
        then it was ended, with its kernel.
        """
        with self._lock:
            if self._is_stopped:
                raise SealingError("Interrupted.")
            # NOTE: a group of its own, so that Ctrl-C reaches the parent alone, which ends it.
            options = {"stderr": subprocess.DEVNULL, "start_new_session": True}
            process = self._process = _start(request, **options)
        with process:
            try:
                output, _ = process.communicate(json.dumps(_document(request)), timeout=seconds)
            except subprocess.TimeoutExpired:
                self._end(process)
                msg = f"The run took longer than {seconds:g} seconds, and was ended."
                raise SealingError(msg, next_step=_TOO_SLOW) from None
        events = [each for each in _events(output.splitlines()) if each["event"] != "wait"]
        if events:
            return events[-1]
        code = process.returncode
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise SealingError(f"The run's process ended without a result ({why}).", next_step=_AGAIN)

    def stop(self) -> None:
        """Ask the process to end, as Ctrl-C does, without waiting for it; none is started now."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def _end(self, process: subprocess.Popen[str]) -> None:
        """End the process and its kernel: first asked to, so that the journal says so."""
        process.terminate()
        try:
            process.communicate(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _start(request: ProcessRequest, **options: Any) -> subprocess.Popen[str]:
    environ = {name: text for name, text in request.environ.items() if name not in _NOT_INHERITED}
    return subprocess.Popen(
        [sys.executable, "-m", "runbook_lib.engine.process"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Return each event; the line that a killed process left half written is none."""
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def _document(request: ProcessRequest) -> dict[str, Any]:
    """Return the request as JSON, credentials and all: for the new process only."""
    return {
        "connector": request.connector,
        "tenant": request.tenant,
        "evidence": request.evidence,
        "env_file": request.env_file,
        "given": dict(request.given),
        "secrets": {name: secret.reveal() for name, secret in request.secrets.items()},
        "references": dict(request.references),
        "attestations": request.attestations,
    }


class _Reporter(RunListener):
    """Writes the run's callbacks as events."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on_wait(self, said: str) -> None:
        """Report why the run waits."""
        self.report("wait", said=said)

    def report(self, event: str, **more: object) -> None:
        """Write one event."""
        self._stream.write(json.dumps({"event": event, **more}) + "\n")
        self._stream.flush()


def _run(document: Mapping[str, Any], reporter: _Reporter, child: Child | None) -> RunResult:
    procedure = find_procedure(document["connector"])
    environ = {**os.environ, **document["secrets"]}
    request = RunRequest(
        procedure=procedure,
        given=document["given"],
        tenant=document["tenant"],
        evidence=document["evidence"],
        env_file=document["env_file"],
        attestations=document["attestations"],
        needs_subject=True,
        environ=_with_secrets(environ, procedure, document["references"]),
        child=child,
    )
    return run_tenant(request, reporter)


def _with_secrets(
    environ: Mapping[str, str], procedure: Procedure, references: Mapping[str, str]
) -> Mapping[str, str]:
    """
    Return `environ` with the secrets that `references` lead to, for this connector alone.

    The variables that they name are left out. Raises `SettingsError` for a
    reference to nothing.
    """
    if not references:
        return environ
    items = [item for item in inputs_of(procedure) if item.name in references]
    names = {text.removeprefix("env:") for text in references.values() if text.startswith("env:")}
    named = {name: text for name, text in environ.items() if name in names}
    secrets = resolve(items, given=references, environ=named).secrets
    return {
        **{name: text for name, text in environ.items() if name not in names},
        **{item.variable_for(procedure.id): secrets[item.name].reveal() for item in items},
    }


def _finished(result: RunResult) -> dict[str, Any]:
    """Return what the last event says of a sealed run."""
    error = result.archive_error
    said = [
        *([f"The notebook broke off: {result.broken}."] if result.broken else []),
        *([f"Not archived: {error}"] if error else []),
    ]
    return {
        "outcome": result.state.outcome,
        "bundle": str(result.sealed.folder.absolute()),
        "run_id": result.run_id,
        "is_archived": error is None,
        "said": " ".join(said),
        "next_step": error.diagnostics() if error else "",
        "steps": _steps(result.state),
    }


def _steps(state: RunState) -> list[dict[str, Any]]:
    """Return the steps as a fleet's record has them."""
    waits = {
        step.step.id: {
            "for": waits_for,
            "since": step.waiting_since or None,
            "assigned_to": step.assigned_to or None,
            "due": step.due or None,
            "overdue_days": step.overdue_days(utc_now().date()),
        }
        for step, waits_for in waits_in(state)
    }
    return [
        {
            "id": name,
            "outcome": step.conclusion.outcome,
            "reason": step.conclusion.reason,
            **({"wait": waits[name]} if name in waits else {}),
        }
        for name, step in state.steps.items()
    ]


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Read a request from standard input, run it, and write events to standard output."""
    signal.signal(signal.SIGTERM, _interrupt)
    # NOTE: output of kernels and libraries goes to standard error; this stream has only events.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        reporter = _Reporter(stream)
        try:
            # NOTE: before the request is read, so that no credential of it is in the child.
            with early_child() as child:
                result = _run(json.load(sys.stdin), reporter, child)
        except RunbookError as error:
            said, code = str(error), int(error.exit_code)
            reporter.report("refused", said=said, next_step=error.diagnostics(), code=code)
        except KeyboardInterrupt:
            advice = "The journal is intact: seal again to go on from there."
            reporter.report("refused", said="Interrupted.", next_step=advice)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            said = f"Cannot write to disk: {reason}."
            reporter.report("refused", said=said, next_step=JournalError.next_step)
        except Exception as error:  # noqa: BLE001  (its text may hold what was given)
            said = f"The runbook itself broke ({type(error).__name__})."
            reporter.report("refused", said=said, next_step="Report it as a defect.")
        else:
            reporter.report("finished", **_finished(result))


if __name__ == "__main__":
    main()
