"""
The command `fleet`: run the tenants of a file, and show each result as it comes.

`fleet merge` puts the parts of a sharded run together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runbook_lib.cli.junit import JUNIT, require_place, write_junit
from runbook_lib.cli.options import ENV_FILE, EVIDENCE, JSON
from runbook_lib.errors import ExitCode, FleetFileError, InsecureSchedulerError, SettingsError
from runbook_lib.plain_text import counted, escaped_json, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from runbook_lib.engine.fleet import Fleet
    from runbook_lib.evidence.fleet_record import FleetRecord, TenantResult

__all__ = ["FLEET_COMMANDS"]

_LONGEST_RUN = 86_400
_MOST_SHOWN = 20

_RUN_NAME = click.option(
    "--run-name",
    default="",
    metavar="NAME",
    help="What the parts of one run have in common; the orchestrator's own if left out.",
)


_FILE = click.argument("file", type=click.Path(path_type=Path))


class _Fleet(click.Group):
    """A group whose first word is a file, unless it is the name of a command."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of the command that is meant: `main` invokes that."""
        if args[:1] and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return _run_fleet.make_context(info_name, args, parent, **extra)


@click.group(cls=_Fleet)
def fleet() -> None:
    """Run the tenants of FILE (TOML or CSV), each in a process of its own."""


@click.command()
@_FILE
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="How many run at a time; two for each core if left out, at most 16.",
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
    help="Let it be without TLS: whoever reaches its port reads every secret.",
)
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(1, _LONGEST_RUN),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="How long one tenant may take.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this tenant; * stands for any.")
@click.option("--resume", "resumes", is_flag=True, help="Run what the last run has left.")
@click.option("--failed", "is_failed", is_flag=True, help="Run those whose last run failed.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Only the I-th of N parts; N alone takes I from Kubernetes or SLURM.",
)
@_RUN_NAME
@click.option("--attestations", default="", help="TOML file in which people say what they did.")
@JUNIT
@click.option("--yes", "is_sure", is_flag=True, help="Let checks spend what is listed.")
@ENV_FILE
@EVIDENCE
@JSON
def _run_fleet(
    *,
    file: Path,
    workers: int | None,
    scheduler: str,
    is_insecure: bool,
    seconds: int,
    only: tuple[str, ...],
    resumes: bool,
    is_failed: bool,
    shard: str | None,
    run_name: str,
    attestations: str,
    junit: str,
    is_sure: bool,
    env_file: str,
    evidence: str,
    as_json: bool,
) -> None:
    """
    Run the tenants of FILE (TOML or CSV), each in a process of its own.

    `runbook fleet merge FILE` puts the parts of a run with --shard together as one.
    """
    from runbook_lib.engine.fleet import FleetRequest, prepare

    if workers and scheduler:
        msg = "--workers is for this machine: a Dask cluster has workers of its own."
        raise SettingsError(msg)
    if resumes and is_failed:
        msg = "--resume and --failed choose different tenants: give one of them."
        raise SettingsError(msg)
    request = FleetRequest(
        file=file,
        evidence=evidence,
        env_file=env_file,
        attestations=attestations,
        workers=workers or 0,
        scheduler=scheduler,
        is_insecure=is_insecure,
        seconds=seconds,
        only=only,
        resumes=resumes,
        is_failed=is_failed,
        shard=shard,
        run_name=run_name,
    )
    with _mistakes_shown():
        prepared = prepare(request)
    _refuse_spending(prepared, is_sure=is_sure)
    if junit:
        require_place(junit)
    _show_unmatched(prepared.unmatched)
    _show_gone(prepared.gone, file)
    record = _run(prepared, file, as_json=as_json)
    _end(record, junit, as_json=as_json)


@fleet.command()
@_FILE
@click.option(
    "--from",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A part's evidence folder, to be copied into this one first; may be repeated.",
)
@_RUN_NAME
@JUNIT
@ENV_FILE
@EVIDENCE
@JSON
def merge(
    *,
    file: Path,
    folders: tuple[Path, ...],
    run_name: str,
    junit: str,
    env_file: str,
    evidence: str,
    as_json: bool,
) -> None:
    """
    Put the shards of FILE's newest run together as one record.

    Tenants that no shard has are pending. Ends with 3 where a shard is missing, or may be
    of another run.
    """
    from runbook_lib.cli.terminal import say
    from runbook_lib.engine.fleet_merge import MergeRequest
    from runbook_lib.engine.fleet_merge import merge as merge_shards

    if junit:
        require_place(junit)
    request = MergeRequest(
        file=file, evidence=evidence, env_file=env_file, run_name=run_name, folders=folders
    )
    with _mistakes_shown():
        record = merge_shards(request)
    for remark in record.remarks:
        say(remark, is_error=True)
    for result in record.results.values():
        if not as_json and (result.is_failed or result.exit_code is None):
            click.echo(_line(result))
    _end(record, junit, as_json=as_json)


FLEET_COMMANDS = (fleet,)


@contextmanager
def _mistakes_shown() -> Iterator[None]:
    """Show each mistake of the file of tenants on a line, or those for TLS; raise the error."""
    from runbook_lib.engine.scheduler_address import TLS_LINES

    try:
        yield
    except InsecureSchedulerError:
        for line in TLS_LINES:
            click.echo(line, err=True)
        raise
    except FleetFileError as error:
        for mistake in error.mistakes:
            click.echo(one_line(mistake), err=True)
        raise


def _end(record: FleetRecord, junit: str, *, as_json: bool) -> NoReturn:
    """Write and show the result, and end with its exit code."""
    if junit:
        write_junit(junit, record.results.values(), name=record.file)
    if as_json:
        click.echo(escaped_json(record.text()), nl=False)
    else:
        _show_sum(record)
    sys.exit(record.exit_code)


def _run(prepared: Fleet, file: Path, *, as_json: bool) -> FleetRecord:
    """Run the fleet; an interruption says how to go on."""
    from runbook_lib.cli.terminal import say

    shard = prepared.record.shard
    if not (prepared.jobs or as_json):
        say(f"Shard {shard} has no tenant to run." if shard else "No tenant is left to run.")
    try:
        with _Display(len(prepared.jobs), is_quiet=as_json) as display:
            return prepared.run(display.show)
    except KeyboardInterrupt:
        say("runbook: Interrupted.", is_error=True)
        part = f" --shard {shard}" if shard else ""
        again = f"`runbook fleet {file}{part} --resume` runs what is left."
        say(f"Next: {again} The journals are intact.", is_error=True)
        sys.exit(ExitCode.INTERRUPTED)


def _show_unmatched(unmatched: Sequence[str]) -> None:
    """Show which attestations are about no tenant: a slip must not pass in silence."""
    from runbook_lib.cli.terminal import say

    for sentence in unmatched[:_MOST_SHOWN]:
        say(sentence, is_error=True)
    more = len(unmatched) - _MOST_SHOWN
    if more > 0:
        say(f"And {counted(more, 'more entry', 'more entries')} about no tenant.", is_error=True)


def _show_gone(gone: Sequence[str], file: Path) -> None:
    """Show which tenants of the run that is resumed the file does not name any more."""
    from runbook_lib.cli.terminal import say

    if gone:
        more = f" and {len(gone) - _MOST_SHOWN:,} more" if gone[_MOST_SHOWN:] else ""
        names = ", ".join(gone[:_MOST_SHOWN])
        say(f"Left out, since {file} does not name them any more: {names}{more}.", is_error=True)


def _refuse_spending(prepared: Fleet, *, is_sure: bool) -> None:
    """List what checks may spend, and raise `SettingsError` unless somebody is sure."""
    from runbook_lib.cli.terminal import say

    spending = prepared.spending
    for each in spending:
        many = counted(each.tenants, "tenant")
        say(f"{each.setting} is set for {many}. {each.spends}", is_error=True)
    if spending and not is_sure:
        msg = "These settings let checks spend something at Facebook or Cyclr."
        raise SettingsError(msg, next_step="Give --yes to permit it; nothing was done.")


def _show_sum(record: FleetRecord) -> None:
    """Show how many tenants came to what, and where that is written."""
    from collections import Counter

    from runbook_lib.cli.terminal import say
    from runbook_lib.evidence.reports.fleet_page import PAGE_NAME

    counts = Counter(each.outcome or each.status.value for each in record.results.values())
    say(" · ".join(f"{many} {word}" for word, many in sorted(counts.items())))
    say(f"Read {record.folder / PAGE_NAME}; `runbook verify` checks what it rests on.")


def _line(result: TenantResult) -> str:
    """Return the result of a tenant as one line: what failed, or why nothing was sealed."""
    from runbook_lib.core.outcome import ICONS
    from runbook_lib.core.procedure import Outcome

    failed = [step["id"] for step in result.steps if step["outcome"] == Outcome.FAILED]
    names = {"complete": Outcome.VERIFIED, "incomplete": Outcome.WAITING}
    icon = ICONS[names.get(result.outcome or "", Outcome.FAILED)]
    why = ", ".join(failed) or result.reason
    name = f"{'SANDBOX ' * result.sandbox}{result.tenant} ({result.connector})"
    return one_line(f"{icon} {name}: {result.outcome or 'not sealed'}{f': {why}' if why else ''}")


class _Display:
    """A bar on a terminal, with what failed above it; elsewhere a line for each tenant."""

    def __init__(self, total: int, *, is_quiet: bool) -> None:
        self._total = total
        self._is_quiet = is_quiet
        self._done = 0
        self._began = time.monotonic()
        self._bar: Progress | None = None
        self._stack = ExitStack()

    def __enter__(self) -> _Display:
        if self._total and not self._is_quiet and sys.stdout.isatty():
            self._bar = self._stack.enter_context(_bar())
            self._task = self._bar.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        transient=True,
    )
