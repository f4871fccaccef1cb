"""The option `--junit` of `run` and `fleet`: the result as JUnit XML, for a CI."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook_lib.errors import ExitCode, SettingsError, describe_error, reported_as

if TYPE_CHECKING:
    from runbook_lib.engine.headless import RunRequest, RunResult
    from runbook_lib.engine.run_view import RunView
    from runbook_lib.evidence.junit import JUnitCase, JUnitSuite


JUNIT = click.option(
    "--junit", default="", metavar="FILE", help="Also write the result as JUnit XML."
)
_NAME = "runbook run"


def require_place(file: str) -> None:
    """Raise `SettingsError` if the result could not be written at the end."""
    from runbook_lib.core.files import check_place

    path = Path(file)
    advice = "Name another file with --junit."
    with reported_as(SettingsError, f"{path} cannot be written", next_step=advice):
        path.parent.stat()
        check_place(path)


def write_junit(file: str, suites: Iterable[JUnitSuite], *, name: str) -> None:
    """Write the results of the run `name`; raises `OSError`."""
    from runbook_lib.core.files import write_whole
    from runbook_lib.evidence.junit import junit_xml

    write_whole(Path(file), junit_xml(suites, name=name), is_durable=False)


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

    def failed(self, error: BaseException, run: RunView | None) -> None:
        """Write `error` as the end of the run; `run` is `None` before it has begun."""
        if not self._file or getattr(error, "exit_code", None) == ExitCode.USAGE:
            return
        from runbook_lib.evidence.fleet_result import TenantRunStatus
        from runbook_lib.evidence.junit import sealing_case

        is_interrupted = isinstance(error, KeyboardInterrupt)
        reason = "Interrupted." if is_interrupted else describe_error(error)[0]
        # NOTE: the error that ended the run matters more than an unwritable result file.
        with suppress(OSError):
            self._write(
                run.tenant if run else self._request.tenant or "unnamed",
                [sealing_case(TenantRunStatus.UNSEALED, reason)],
                is_practice=bool(run and run.is_sandbox),
            )

    def sealed(self, result: RunResult) -> None:
        """Write the result of a sealed run, whatever its outcome."""
        if not self._file:
            return
        from runbook_lib.evidence.junit import step_case

        cases = [
            step_case(
                step.id,
                step.outcome,
                step.reason,
                needs_person=step.needs_person,
                is_earlier=bool(step.verified_on),
            )
            for step in result.state.steps
        ]
        self._write(result.tenant, cases, is_practice=result.state.sandbox)

    def _write(self, tenant: str, cases: Sequence[JUnitCase], *, is_practice: bool) -> None:
        from runbook_lib.evidence.junit import JUnitSuite

        lasted = time.monotonic() - self._began
        connector = self._request.procedure.id
        suite = JUnitSuite(tenant, connector, cases, is_practice=is_practice, seconds=lasted)
        write_junit(self._file, [suite], name=_NAME)
