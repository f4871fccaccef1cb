"""
A tenant's run in an interpreter of its own: a request goes in, events come out.

*Seal*, a watch, and each task on a Dask cluster use it. The request goes over standard input, so
that no credential is on a command line or in a file. Each event is a line of JSON on standard
output. The processes of a fleet answer their requests in the same way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread, Timer
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from msgspec import convert, to_builtins

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import FleetRun, Mode
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.cells import CellProcess
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult, run_tenant
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import RunbookError, SealingError, describe_error

# Seconds for an interrupted run to write its end.
GRACE_SECONDS = 10
_AGAIN = "Run it again; the journal is intact. If that fails too, `runbook run` shows more."
_TOO_SLOW = "Run it again. If its remote systems are only slow, give more time (--timeout)."
# With these a headless run would seem to be a notebook in JupyterLab.
_NOT_INHERITED = ("JPY_SESSION_NAME", "SERVER_SOFTWARE")


# The fields that a run gets unchanged from a request.
_AS_GIVEN = ("tenant", "evidence", "env_file", "attestations", "given")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest:
    """The request for one run in another process."""

    connector: str
    """The connector's id."""
    tenant: str
    """The tenant's name."""
    evidence: str
    """The evidence folder."""
    env_file: str = ""
    """The settings file; empty for the default."""
    given: Mapping[str, object] = field(default_factory=dict)
    """Parameters of the run, by name."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Credentials, by the name of their variable."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Places of other credentials for the new process, by the name of the input."""
    attestations: str = ""
    """The file of attestations; only those about this tenant's subject count."""
    variables: Collection[str] = ()
    """Environment variables that no other tenant's process gets."""
    is_once: bool = False
    """Whether a run that was lost must not be repeated automatically."""
    fleet_run: FleetRun | None = None
    """The run of a fleet that asks for this one."""
    mode: Mode = Mode.HEADLESS
    """The mode of the record."""
    may_spend: bool = True
    """Whether settings may permit checks with side effects."""

    @classmethod
    def of(cls, run: Run, mode: Mode = Mode.HEADLESS) -> ProcessRequest:
        """Return the request to run the tenant of `run` with its settings."""
        return cls(
            connector=run.procedure.id,
            tenant=run.tenant,
            evidence=str(run.evidence.absolute()),
            env_file=str(run.env_file) if run.env_file.is_file() else "",
            given=run.settings.values,
            secrets={
                item.variable_for(run.procedure.id): run.settings.secrets[item.name]
                for item in run.inputs
                if item.name in run.settings.secrets
            },
            mode=mode,
        )


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """The outcome of the run, and its bundle."""

    outcome: str
    bundle: Path


def run_in_process(
    request: ProcessRequest,
    *,
    withheld: Collection[str] = (),
    on_wait: Callable[[str], None] = lambda _: None,
) -> ProcessResult:
    """
    Run the whole procedure headless in a new process, and return its outcome.

    It does not get the variables `withheld`. Calls `on_wait` with the reason when the run waits.
    Raises `SealingError` if there is no bundle.
    """
    event = run_apart(request, withheld=withheld, on_wait=on_wait)
    if event["event"] == "refused":
        raise SealingError(event["message"], next_step=event["next_step"])
    return ProcessResult(event["outcome"], Path(event["bundle"]))


def run_apart(
    request: ProcessRequest,
    *,
    seconds: float | None = None,
    withheld: Collection[str] = (),
    running: set[subprocess.Popen[str]] | None = None,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Mapping[str, Any]:
    """
    Run in a new interpreter, which ends with this process; return its last event.

    The event is `finished` or `refused`, also if the interpreter ends without one or takes longer
    than `seconds`. It does not get the variables `withheld`. While it runs it is in `running`,
    where another thread may terminate it.
    """
    running = set() if running is None else running
    began = time.monotonic()
    event = None
    with subprocess.Popen(
        [sys.executable, "-m", "runbook_lib.engine.process"],
        env=inherited_environment(os.environ, withheld),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        encoding="utf-8",
    ) as process:
        running.add(process)
        limit = Timer(seconds or 0, _end, [process])
        if seconds:
            limit.start()
        try:
            stdin = cast("TextIO", process.stdin)
            with suppress(BrokenPipeError):
                stdin.write(json.dumps(request_document(request, os.environ)) + "\n")
                stdin.flush()
            for line in process.stdout or ():
                if not line.endswith("\n"):  # the process was killed
                    break
                message = json.loads(line)
                if message["event"] == "wait":
                    on_wait(message["message"])
                else:
                    event = message
        except BaseException:
            # NOTE: a signal may have reached this process only; the other must not go on unseen.
            _end(process)
            raise
        finally:
            limit.cancel()
            running.discard(process)
    is_late = seconds is not None and time.monotonic() - began >= seconds
    return last_event(event, process.returncode, seconds if is_late else None)


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a run, and kill it if it goes on."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def last_event(
    event: dict[str, Any] | None, code: int, late_seconds: float | None
) -> dict[str, Any]:
    """
    Return the last event of a run whose process ended with `code`, or one that stands for it.

    `late_seconds` is its limit if it took longer.
    """
    is_refused = event is not None and event["event"] == "refused"
    if event is not None and not (late_seconds and is_refused):
        return event
    if late_seconds:
        msg = f"The run took longer than {late_seconds:g} seconds, and was stopped."
        return refused_event(msg, _TOO_SLOW)
    why = f"signal {-code}" if code < 0 else f"exit code {code}"
    return refused_event(f"The run's process ended without a result ({why}).", _AGAIN)


def refused_event(reason: str, next_step: str = "") -> dict[str, Any]:
    """Return the last event of a run that was not sealed."""
    return {"event": "refused", "message": reason, "next_step": next_step}


def inherited_environment(environ: Mapping[str, str], withheld: Collection[str]) -> dict[str, str]:
    """Return the part of `environ` that a run's process gets, without the variables `withheld`."""
    left_out = {*_NOT_INHERITED, *withheld}
    return {name: text for name, text in environ.items() if name not in left_out}


def request_document(request: ProcessRequest, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the request as JSON, credentials and all: for the new process only.

    Its own variables are taken from `environ`.
    """
    return {
        **{name: getattr(request, name) for name in ("connector", *_AS_GIVEN)},
        "secrets": {name: secret.reveal() for name, secret in request.secrets.items()},
        "references": dict(request.references),
        "environ": {name: environ[name] for name in request.variables if name in environ},
        "mode": request.mode,
        "fleet_run": to_builtins(request.fleet_run),
        "may_spend": request.may_spend,
    }


class _Reporter(RunListener):
    """Writes the run's callbacks as events."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on_wait(self, reason: str) -> None:
        """Report why the run waits."""
        self.report({"event": "wait", "message": reason})

    def report(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()


def _finished(result: RunResult) -> dict[str, Any]:
    """Return the last event of a sealed run."""
    error = result.archive_error
    problems = [
        *([f"The notebook stopped early: {result.broken}."] if result.broken else []),
        *([f"Not archived: {error}"] if error else []),
    ]
    return {
        "event": "finished",
        "outcome": result.state.outcome,
        "bundle": str(result.sealed.folder.absolute()),
        "is_archived": error is None,
        "message": " ".join(problems),
        "next_step": error.diagnostics() if error else "",
    }


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def answer_request(
    receive: Callable[[], str | bytes],
    wait_for_end: Callable[[], object],
    listener: RunListener | None = None,
) -> dict[str, Any]:
    """
    Run the request that `receive` returns, as JSON, and return the last event.

    The run is interrupted when whoever asked for it has ended, for which `wait_for_end` waits.
    The process belongs to this run only, and has one thread until there is a request.
    """

    def end_with_parent() -> None:
        wait_for_end()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # NOTE: before the request is read, so that no credential of it is in the child.
        with closing(CellProcess()) as child:
            document = json.loads(receive())
            Thread(target=end_with_parent, daemon=True).start()
            os.environ.update(document["environ"])
            procedure = find_procedure(document["connector"])
            environ = {**os.environ, **document["secrets"]}
            request = RunRequest(
                **{name: document[name] for name in _AS_GIVEN},
                procedure=procedure,
                needs_subject=True,
                environ=environ,
                references=document["references"],
                child=child,
                mode=Mode(document["mode"]),
                may_spend=document["may_spend"],
                fleet_run=convert(document["fleet_run"], FleetRun | None),
            )
            return _finished(run_tenant(request, listener))
    except KeyboardInterrupt:
        return refused_event(
            "Interrupted.", "The journal is intact: seal again to go on from there."
        )
    except Exception as error:  # noqa: BLE001  (the last event says what broke)
        reason, advice = describe_error(error)
        code = {"code": int(error.exit_code)} if isinstance(error, RunbookError) else {}
        return {**refused_event(reason, advice), **code}


def main() -> None:
    """Run the request on standard input, and write events to standard output."""
    # NOTE: the process that asked for the run may have ended.
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)  # printed text is not an event
        reporter = _Reporter(stream)
        event = answer_request(sys.stdin.readline, sys.stdin.read, reporter)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # now nothing is left to interrupt
        reporter.report(event)


if __name__ == "__main__":
    main()
