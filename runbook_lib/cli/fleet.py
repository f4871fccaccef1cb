"""The command `fleet`: run the tenants of a file, and show each result as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.index_renewal import renew_index
from runbook_lib.cli.junit_option import JUNIT, require_place, write_junit
from runbook_lib.cli.options import ENV_FILE, EVIDENCE, JSON
from runbook_lib.cli.plain_output import say, say_package
from runbook_lib.errors import ExitCode, InsecureSchedulerError, SettingsError
from runbook_lib.text import escaped_json, one_line, pluralize

if TYPE_CHECKING:
    from rich.progress import Progress

    from runbook_lib.evidence.fleet_result import FleetResult, TenantResult
    from runbook_lib.evidence.junit import JUnitSuite
    from runbook_lib.evidence.reports.tenant_status import TenantStatus
    from runbook_lib.operations.fleet import Fleet, FleetRequest


_LONGEST_RUN = 86_400
_MOST_SHOWN = 20
_MOST_NAMED = 5


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="How many tenants run at a time. Default: 4 for each core, if memory allows, at most 16.",
)
@click.option(
    "--scheduler",
    default="",
    metavar="ADDRESS",
    help="Run on the Dask cluster of this scheduler, such as tls://10.0.0.1:8786.",
)
@click.option(
    "--insecure-scheduler",
    "is_insecure",
    is_flag=True,
    help="Allow a scheduler without TLS: anyone who reaches its port can read every secret.",
)
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(1, _LONGEST_RUN),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for each tenant.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this tenant; * is a wildcard.")
@click.option("--resume", default="", metavar="ID", help="Finish an earlier run, by its id.")
@click.option(
    "--failed", "is_failed", is_flag=True, help="Run only tenants whose last run is not complete."
)
@click.option("--attestations", default="", help="TOML file of attestations.")
@JUNIT
@click.option(
    "--yes",
    "is_sure",
    is_flag=True,
    help="Permit checks that change or use up something at a remote system.",
)
@ENV_FILE
@EVIDENCE
@JSON
def fleet(*, junit: str, is_sure: bool, as_json: bool, **options: Any) -> None:
    """Run the tenants of FILE (TOML), each in its own process."""
    from runbook_lib.engine.scheduler_address import TLS_LINES
    from runbook_lib.operations.fleet import Fleet, FleetRequest

    request = FleetRequest(**options, may_spend=is_sure)
    if request.workers and request.scheduler:
        raise SettingsError("--workers is for this machine: a Dask cluster has its own workers.")
    if request.resume and request.is_failed:
        raise SettingsError("Give either --resume or --failed: they choose different tenants.")
    try:
        prepared = Fleet(request)
    except InsecureSchedulerError:
        for line in TLS_LINES:
            click.echo(line, err=True)
        raise
    _show_spending(prepared, is_sure=is_sure)
    if junit:
        require_place(junit)
    _show_unmatched(prepared)
    result = _run(prepared, request.file, as_json=as_json)
    read = renew_index(request.evidence, file=request.file)
    statuses = read.statuses if read else ()
    if junit:
        write_junit(junit, _suites(statuses, result), name=result.file)
    if as_json:
        click.echo(escaped_json(result.text()), nl=False)
    else:
        _show_sum(statuses, result, request)
    sys.exit(result.exit_code)


def _run(prepared: Fleet, file: Path, *, as_json: bool) -> FleetResult:
    """Run the fleet; an interruption prints the command that resumes it."""
    fleet_id = prepared.result.fleet_id
    for connector in sorted({connector for _, connector in (job.name for job in prepared.jobs)}):
        say_package(connector)
    if not as_json:
        many = pluralize(len(prepared.jobs), "tenant") if prepared.jobs else "no tenant is left"
        say(f"Fleet run {fleet_id}: {many} to run.")
    try:
        with _FleetProgress(len(prepared.jobs), is_quiet=as_json) as display:
            return prepared.run(display.show)
    except KeyboardInterrupt:
        say("runbook: Interrupted.", is_error=True)
        again = f"`runbook fleet {file} --resume {fleet_id}` runs the rest."
        say(f"Next: {again} The journals are intact.", is_error=True)
        sys.exit(ExitCode.INTERRUPTED)


def _show_unmatched(prepared: Fleet) -> None:
    """Show the attestations that match no tenant."""
    unmatched = prepared.unmatched
    for sentence in unmatched[:_MOST_SHOWN]:
        say(sentence, is_error=True)
    more = len(unmatched) - _MOST_SHOWN
    if more > 0:
        say(f"And {pluralize(more, 'more entry', 'more entries')} about no tenant.", is_error=True)


def _show_spending(prepared: Fleet, *, is_sure: bool) -> None:
    """List the checks with side effects that are due, and say that nobody permits them."""
    spending = prepared.spending
    for check in spending:
        many = pluralize(check.tenants, "tenant")
        more = check.tenants - _MOST_NAMED
        names = ", ".join(check.names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        say(f"{check.setting} is set for {many}. {check.side_effect} Due: {names}.", is_error=True)
    if spending and not is_sure:
        say("These checks are not made: their steps are due. --yes permits them.", is_error=True)


def _suites(statuses: Sequence[TenantStatus], result: FleetResult) -> Iterator[JUnitSuite]:
    """Yield the test suite of each tenant that was selected, in the order of the file."""
    from runbook_lib.evidence.junit import tenant_suite

    known = {(status.tenant, status.connector): status for status in statuses}
    for name, found in result.results.items():
        if name in known:
            yield tenant_suite(known[name], found)


def _show_sum(statuses: Sequence[TenantStatus], result: FleetResult, request: FleetRequest) -> None:
    """Show the number of tenants by outcome, the advice, and the address of the page."""
    from collections import Counter

    from runbook_lib.config.workspace import evidence_folder
    from runbook_lib.evidence.reports.index_page import INDEX_PAGE
    from runbook_lib.evidence.reports.tenant_status import what_now

    results = result.results.values()
    counts = Counter(str(result.outcome or result.status.value) for result in results)
    say(" · ".join(f"{many} {word}" for word, many in sorted(counts.items())))
    say(what_now(statuses))
    page = evidence_folder(request.evidence) / INDEX_PAGE
    say(f"Read {page}; `runbook verify --tenants {request.file}` checks the evidence.")


def _line(result: TenantResult) -> str:
    """Return the result of a tenant as one line: the failed steps, or why there is no bundle."""
    from runbook_lib.core.model import Outcome
    from runbook_lib.core.outcome import ICONS, LOOKS_LIKE
    from runbook_lib.evidence.fleet_result import TenantRunStatus

    failed = [step["id"] for step in result.steps if step["outcome"] == Outcome.FAILED]
    why = ", ".join(failed) or result.reason
    icon = ICONS[LOOKS_LIKE.get(result.outcome, Outcome.FAILED)]
    mark = "SANDBOX " if result.sandbox else ""
    name = f"{mark}{result.tenant} ({result.connector})"
    word = result.outcome or (
        "not run" if result.status is TenantRunStatus.NOT_RUN else "not sealed"
    )
    return one_line(f"{icon} {name}: {word}{f': {why}' if why else ''}")


class _FleetProgress(ExitStack):
    """A bar on a terminal, with what failed above it; elsewhere a line for each tenant."""

    def __init__(self, total: int, *, is_quiet: bool) -> None:
        super().__init__()
        self._total = total
        self._is_quiet = is_quiet
        self._done = 0
        self._began = time.monotonic()
        self._bar: Progress | None = None
        if total and not is_quiet and sys.stdout.isatty():
            from runbook_lib.cli.terminal import progress_bar

            self._bar = self.enter_context(progress_bar())
            self._task = self._bar.add_task("", total=total)

    def show(self, result: TenantResult) -> None:
        """Show the result of one tenant."""
        self._done += 1
        if self._is_quiet:
            return
        rate = self._done / max(time.monotonic() - self._began, 0.001)
        pace = f"{rate:.1f}/s, {(self._total - self._done) / rate:.0f} s left"
        if self._bar is None:
            click.echo(f"[{self._done}/{self._total}, {pace}] {_line(result)}")
            return
        if result.is_failed:
            from rich.text import Text

            self._bar.console.print(Text(_line(result)), no_wrap=True, overflow="ellipsis")
        self._bar.update(self._task, completed=self._done, description=pace)
