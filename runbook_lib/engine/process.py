"""
A tenant's run in its own process: a request goes in, events come out.

The request goes over standard input, so that no credential is on a command
line or in a file; each event is a line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.execution import early_child
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult, run_tenant
from runbook_lib.errors import JournalError, RunbookError, SealingError
from runbook_lib.fork_engine import Child

__all__ = ["Finished", "ProcessRequest", "run_in_process"]

# A headless run must not take itself for a notebook in JupyterLab.
_NOT_INHERITED = ("JPY_SESSION_NAME", "SERVER_SOFTWARE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest:
    """What to run; `secrets` are credentials by the name of their variable."""

    connector: str
    tenant: str
    evidence: str
    env_file: str = ""
    given: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


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
    environ = {name: text for name, text in os.environ.items() if name not in _NOT_INHERITED}
    with subprocess.Popen(
        [sys.executable, "-m", "runbook_lib.engine.process"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
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


def _events(lines: Iterable[str]) -> Iterator[dict[str, str]]:
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
    }


class _Reporter(RunListener):
    """Writes the run's callbacks as events."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on_wait(self, said: str) -> None:
        """Report why the run waits."""
        self.report("wait", said=said)

    def report(self, event: str, **more: str) -> None:
        """Write one event."""
        self._stream.write(json.dumps({"event": event, **more}) + "\n")
        self._stream.flush()


def _run(document: Mapping[str, Any], reporter: _Reporter, child: Child | None) -> RunResult:
    environ = {**os.environ, **document["secrets"]}
    request = RunRequest(
        procedure=find_procedure(document["connector"]),
        given=document["given"],
        tenant=document["tenant"],
        evidence=document["evidence"],
        env_file=document["env_file"],
        environ=environ,
        child=child,
    )
    return run_tenant(request, reporter)


def main() -> None:
    """Read a request from standard input, run it, and write events to standard output."""
    # NOTE: output of kernels and libraries goes to standard error; this stream has only events.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        reporter = _Reporter(stream)
        try:
            # NOTE: before the request is read, so that no credential of it is in the child.
            with early_child() as child:
                result = _run(json.load(sys.stdin), reporter, child)
        except RunbookError as error:
            reporter.report("refused", said=str(error), next_step=error.diagnostics())
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
            bundle = str(result.sealed.folder.absolute())
            reporter.report("finished", outcome=result.state.outcome, bundle=bundle)


if __name__ == "__main__":
    main()
