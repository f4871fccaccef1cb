"""The option `--junit` of `run` and `fleet`: the result as JUnit XML, for a CI."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.errors import ExitCode, SettingsError, describe_error, reported_as

if TYPE_CHECKING:
    from runbook_lib.engine.headless import RunRequest, RunResult
    from runbook_lib.engine.known_run import KnownRun
    from runbook_lib.evidence.reports.tenant_rows import TenantRow


JUNIT = click.option(
    "--junit", default="", metavar="FILE", help="Also write the result as JUnit XML."
)
_NAME = "runbook run"


def require_place(file: str) -> None:
    """Raise `SettingsError` where the result could not be written in the end."""
    from runbook_lib.core.files import check_place

    path = Path(file)
    advice = "Name another file with --junit."
    with reported_as(SettingsError, f"{path} cannot be written", next_step=advice):
        path.parent.stat()
        check_place(path)


def write_junit(file: str, rows: Iterable[TenantRow], *, name: str) -> None:
    """Write the results of the run `name`; raises `OSError`."""
    from runbook_lib.core.files import write_whole
    from runbook_lib.evidence.junit import junit_xml

    write_whole(Path(file), junit_xml(rows, name=name), is_durable=False)


class RunReport:
    """
    Writes the result of one run to `file`, if one is named.

    A run that ends without evidence is an error in it, so that a CI never shows the file of an
    earlier run instead. Settings that are refused write nothing.
    """

    def __init__(self, file: str, request: RunRequest) -> None:
        self._file = file
        self._request = request
        self._began = time.monotonic()

    def failed(self, error: BaseException, run: KnownRun | None) -> None:
        """Write that the run ended with `error`; `run` is there if it had begun."""
        if getattr(error, "exit_code", None) == ExitCode.USAGE:
            return
        from runbook_lib.core.model import Outcome
        from runbook_lib.evidence.fleet_result import Status

        is_interrupted = isinstance(error, KeyboardInterrupt)
        reason = "Interrupted." if is_interrupted else describe_error(error)[0]
        # NOTE: what ended the run is more than that its result cannot be written.
        with suppress(OSError):
            self._write(
                tenant=run.tenant if run else self._request.tenant or "unnamed",
                sandbox=bool(run and run.is_sandbox),
                word="not sealed",
                outcome=Outcome.FAILED,
                status=Status.UNSEALED,
                problem=reason,
            )

    def sealed(self, result: RunResult) -> None:
        """Write the result of a sealed run, whatever its outcome."""
        from runbook_lib.evidence.reports.tenant_rows import LOOKS_LIKE, StepRow

        state = result.state
        self._write(
            tenant=result.tenant,
            word=state.outcome,
            outcome=LOOKS_LIKE[state.outcome],
            sandbox=state.is_practice,
            steps=[
                StepRow(
                    id=name,
                    outcome=step.conclusion.outcome,
                    needs_person=step.conclusion.needs_person,
                    verified_on=step.conclusion.verified_on,
                    reason=step.conclusion.reason,
                )
                for name, step in state.steps.items()
            ],
        )

    def _write(self, **fields: Any) -> None:
        if not self._file:
            return
        from runbook_lib.evidence.reports.tenant_rows import TenantRow

        lasted = time.monotonic() - self._began
        row = TenantRow(connector=self._request.procedure.id, seconds=lasted, **fields)
        write_junit(self._file, [row], name=_NAME)
