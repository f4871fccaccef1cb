"""
The command line: words in, exit code out.

Nothing is decided here; every command calls lower floors and shows what
they returned.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runbook_lib.cli.evidence import EVIDENCE_COMMANDS
from runbook_lib.cli.options import ENV_FILE, EVIDENCE, EVIDENCE_IF_READABLE, JSON, TENANT
from runbook_lib.errors import EvidenceError, ExitCode, RunbookError, SettingsError
from runbook_lib.plain_text import escaped_json, one_line

if TYPE_CHECKING:
    from runbook_lib.core.fingerprints import FingerprintKey
    from runbook_lib.core.procedure import Word
    from runbook_lib.engine.headless import HeadlessResult
    from runbook_lib.engine.run import Run
    from runbook_lib.evidence.signing.keys import SigningKey

__all__ = ["main"]


_SET = click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A parameter.")
_SANDBOX = click.option(
    "--sandbox",
    "scenario",
    is_flag=False,
    flag_value="approved",
    default="",
    metavar="[SCENARIO]",
    help="Practise against the embedded sandbox.",
)
# Ports that are taken, or not to be had.
_NETWORK = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_ANOTHER_PORT = "Name another port, or leave it out."
_HIGHEST_PORT = 65_530
_EXIT_CODES = {
    "complete": ExitCode.COMPLETE,
    "failed": ExitCode.FAILED,
    "incomplete": ExitCode.INCOMPLETE,
}


@dataclass(frozen=True, slots=True)
class _RunOptions:
    """What `runbook run` was told."""

    given: Mapping[str, str]
    tenant: str
    env_file: str
    evidence: str
    attestations: str
    as_json: bool
    key: FingerprintKey | None = None


class _OtherAppError(Exception):
    """The sandbox under way has another app than the one that the tenant practises with."""


class _Commands(click.Group):
    """Commands whose errors become one message, what to do next, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; never let a traceback out for what an operator can mend."""
        try:
            return super().invoke(ctx)
        except RunbookError as error:
            _fail(str(error), error.diagnostics(), error.exit_code)
        except KeyboardInterrupt:
            advice = "The journal is intact: run again to go on from there."
            _fail("Interrupted.", advice, ExitCode.INTERRUPTED)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            reason = f"{error.strerror or type(error).__name__}{where}"
            if error.errno in _NETWORK:
                _fail(f"The network does not permit it: {reason}.", _ANOTHER_PORT, ExitCode.USAGE)
            message = f"Cannot write to disk: {reason}."
            advice = "Free space or permit writing, then run again: the journal is intact."
            _fail(message, advice, ExitCode.INCOMPLETE)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001  (nobody is left to handle it)
            # NOTE: its text may hold what was given, a credential even.
            message = f"The runbook itself broke ({type(error).__name__}, {_place(error)})."
            _fail(message, "Report this as a defect, with this line.", ExitCode.INCOMPLETE)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facebook-marketing-runbook", prog_name="runbook")
def main() -> None:
    """Register a Facebook app for Cyclr's Facebook Marketing API connector, and prove it."""
    signal.signal(signal.SIGTERM, _on_terminate)


for each in EVIDENCE_COMMANDS:
    main.add_command(each)


@main.command()
@_SANDBOX
@click.option("--attestations", default="", help="TOML file in which people say what they did.")
@click.option("--tsa", default="", metavar="URL", help="Have the evidence time-stamped (RFC 3161).")
@click.option("--archive", default="", metavar="URL", help="Copy the sealed evidence there.")
@TENANT
@ENV_FILE
@_SET
@EVIDENCE
@JSON
def run(
    *,
    scenario: str,
    attestations: str,
    tsa: str,
    archive: str,
    tenant: str,
    env_file: str,
    given: tuple[str, ...],
    evidence: str,
    as_json: bool,
) -> None:
    """Run the procedure headless and seal the evidence."""
    named = {"tsa": tsa, "archive": archive}
    assigned = {**_assignments(given), **{name: url for name, url in named.items() if url}}
    options = _RunOptions(assigned, tenant, env_file, evidence, attestations, as_json)
    if not scenario:
        sys.exit(_run(options))
    if env_file:
        msg = "--sandbox brings its own settings: leave --env-file out."
        raise SettingsError(msg)
    sys.exit(_practise(scenario, replace(options, tenant=tenant or f"sandbox-{scenario}")))


@main.command(context_settings={"ignore_unknown_options": True})
@_SANDBOX
@click.option("--app", "is_app", is_flag=True, help="Show the walkthrough without code (voila).")
@TENANT
@ENV_FILE
@EVIDENCE
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(
    *,
    scenario: str,
    is_app: bool,
    tenant: str,
    env_file: str,
    evidence: str,
    arguments: tuple[str, ...],
) -> None:
    """Open the walkthrough in JupyterLab; other options go to JupyterLab as they are."""
    from runbook_lib.config.workspace import evidence_folder  # noqa: PLC0415
    from runbook_lib.walkthrough.lab import check_arguments, open_lab  # noqa: PLC0415

    check_arguments(arguments, is_app=is_app)
    folder = str(evidence_folder(evidence).absolute())
    variables = {"RUNBOOK_TENANT": tenant, "RUNBOOK_EVIDENCE": folder}
    if env_file:
        variables["RUNBOOK_ENV_FILE"] = str(Path(env_file).absolute())
    if not scenario:
        _refuse_unreadable(tenant, folder, env_file)
        sys.exit(open_lab(variables, is_app=is_app, arguments=arguments))
    from runbook_lib.config.workspace import journal_path, tenant_name  # noqa: PLC0415
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.core.fingerprints import keep_key  # noqa: PLC0415
    from runbook_lib.engine.practice import practice, require_scenario  # noqa: PLC0415
    from runbook_lib.walkthrough.lab import words_for_practice  # noqa: PLC0415

    require_scenario(scenario)
    name = tenant_name(tenant or f"sandbox-{scenario}")
    journal = journal_path(Path(folder), name, PROCEDURE.id)
    key = keep_key(journal.parent, _sandbox_key(folder, name))
    with practice(scenario, key) as sandbox:
        _refuse_unreadable(name, folder, sandbox.env_file)
        variables["RUNBOOK_TENANT"] = name
        variables["RUNBOOK_ENV_FILE"] = sandbox.env_file
        is_known = journal.exists()
        said = words_for_practice(
            scenario, sandbox.login, is_app=is_app, tenant=name if is_known else ""
        )
        click.echo("\n".join(said), err=True)
        sys.exit(open_lab(variables, is_app=is_app, arguments=arguments))


@main.command()
@TENANT
@ENV_FILE
@EVIDENCE
@JSON
def status(tenant: str, env_file: str, evidence: str, *, as_json: bool) -> None:
    """Show what is done, what waits, and the next thing a person must do."""
    from runbook_lib.cli.terminal import say, show_again, show_steps  # noqa: PLC0415
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.engine.run import Mode, open_run  # noqa: PLC0415
    from runbook_lib.evidence.reports.wording import with_times  # noqa: PLC0415
    from runbook_lib.notebook.rendering import step_document  # noqa: PLC0415
    from runbook_lib.walkthrough.views import next_step  # noqa: PLC0415

    opened = open_run(
        PROCEDURE, {}, mode=Mode.HEADLESS, tenant=tenant, evidence=evidence, env_file=env_file
    )
    state = opened.whole_state
    following = next_step(state)
    if as_json:
        document = {
            "tenant": opened.tenant,
            "outcome": state.outcome,
            "steps": [step_document(step) for step in state.steps.values()],
            "next": {"step": following[0].step.id, "do": following[1]} if following else None,
            "again": [
                {"step": step.step.id, "why": step.again}
                for step in state.steps.values()
                if step.again
            ],
        }
        click.echo(escaped_json(json.dumps(document, ensure_ascii=False)))
    else:
        mark = "SANDBOX " if state.started.get("sandbox") else ""
        show_steps(state, title=f"{mark}{opened.tenant}")
        show_again(state)
        if following:
            step, advice = following
            click.echo()
            say(f"Next: {step.step.title} ({step.step.id}). {advice}")
            say(f"      {with_times(step.conclusion.reason)}")
            for link in step.step.links:
                say(f"      {link.label}: {link.url(opened.values)}")
    sys.exit(_EXIT_CODES[state.outcome])


@main.command()
@click.option("--check", is_flag=True, help="Only tell whether they are what would be built.")
def notebooks(*, check: bool) -> None:
    """Build the notebooks from the procedure."""
    from runbook_lib.config.workspace import project_folder  # noqa: PLC0415
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.engine.notebooks import build, stale  # noqa: PLC0415

    folder = project_folder() / "notebooks"
    paths = stale(PROCEDURE, folder) if check else build(PROCEDURE, folder)
    for path in paths:
        click.echo(f"{'stale' if check else 'built'}: {path.name}")
    sys.exit(ExitCode.FAILED if check and paths else ExitCode.COMPLETE)


@main.command()
@click.option("--scenario", default="approved", show_default=True, help="What has happened so far.")
@click.option(
    "--port",
    type=click.IntRange(0, _HIGHEST_PORT),
    default=0,
    help="The first port of six; free ones if left out.",
)
@JSON
def sandbox(scenario: str, port: int, *, as_json: bool) -> None:
    """Serve Facebook and Cyclr on loopback, for practice and tests."""
    from runbook_lib.core.scratch import scratch_folder  # noqa: PLC0415
    from runbook_lib.engine.practice import require_scenario  # noqa: PLC0415
    from runbook_lib.sandbox.server import serve  # noqa: PLC0415

    def announce(description: Mapping[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(dict(description)))
            return
        click.echo("SANDBOX: Facebook and Cyclr on this machine. Interrupt to stop.\n")
        for name, value in description.items():
            click.echo(f"  {name:24} {value}")

    require_scenario(scenario)
    with scratch_folder() as folder:
        serve(scenario, port=port, announce=announce, folder=folder)


@main.command()
@ENV_FILE
@EVIDENCE_IF_READABLE
@JSON
def doctor(env_file: str, evidence: str, *, as_json: bool) -> None:
    """Tell whether this machine, its .env and its network are ready."""
    from runbook_lib.cli.terminal import plain_cell, show_table  # noqa: PLC0415
    from runbook_lib.engine.doctor import examine  # noqa: PLC0415

    examination = examine(env_file, evidence)
    if as_json:
        click.echo(json.dumps([asdict(symptom) for symptom in examination.symptoms]))
    else:
        rows = [
            (
                "[green]✔[/]" if symptom.is_well else "[red]✘[/]",
                *map(plain_cell, (symptom.subject, symptom.said)),
            )
            for symptom in examination.symptoms
        ]
        show_table("Is this machine ready?", ("", "What", "Found"), rows)
    sys.exit(examination.exit_code)


def _practise(scenario: str, options: _RunOptions) -> int:
    """Run against a sandbox that has the tenant's app, and return the exit code."""
    from runbook_lib.engine.practice import practice  # noqa: PLC0415

    while True:
        key = _sandbox_key(options.evidence, options.tenant)
        with practice(scenario, key) as sandbox, suppress(_OtherAppError):
            practised = replace(
                options,
                key=key,
                env_file=sandbox.env_file,
                attestations=options.attestations or sandbox.attestations,
            )
            return _run(practised)


def _run(options: _RunOptions) -> int:
    from runbook_lib.core.run_lock import run_lock  # noqa: PLC0415
    from runbook_lib.evidence.signing.keys import key_from_settings  # noqa: PLC0415

    opened, words = _checked_run(options)
    key = key_from_settings(opened.settings, is_sandbox=opened.is_sandbox)
    home, seconds = opened.journal.path.parent, int(str(opened.values["queue_seconds"]))
    with run_lock(home, seconds=seconds, on_wait=lambda said: click.echo(said, err=True)):
        _start(opened, words, key, options)
        result = _perform(opened, key, options)
    _show_result(result, key, as_json=options.as_json)
    is_archived = _archive(options, opened, result.sealed.folder)
    code = _EXIT_CODES[result.state.outcome]
    return code if is_archived or code != ExitCode.COMPLETE else ExitCode.INCOMPLETE


def _perform(opened: Run, key: SigningKey, options: _RunOptions) -> HeadlessResult:
    from runbook_lib.cli.terminal import progress  # noqa: PLC0415
    from runbook_lib.engine.headless import run_headless  # noqa: PLC0415

    parameters = {
        **options.given,
        "env_file": options.env_file,
        "evidence": str(opened.evidence),
    }
    if not options.as_json:
        click.echo(_banner(opened))
    with progress(len(opened.procedure.steps), is_quiet=options.as_json) as display:
        return run_headless(opened, parameters, key, on_progress=display.update)


def _show_result(result: HeadlessResult, key: SigningKey, *, as_json: bool) -> None:
    from runbook_lib.cli.terminal import say, show_steps  # noqa: PLC0415

    sealed = result.sealed
    if as_json:
        record = (sealed.folder / "record.json").read_text(encoding="utf-8")
        click.echo(escaped_json(record), nl=False)
    else:
        click.echo()
        show_steps(result.state)
        for notebook, error in result.broken.items():
            say(f"{notebook} broke off: {error}.", is_error=True)
        click.echo()
        say(f"Sealed as number {sealed.sequence} of its chain: {sealed.folder}")
        say(f"Read {sealed.folder / 'report.html'}; signed by the key {key.key_id[:16]}.")
    if sealed.unstamped:
        say(f"No time-stamp: {sealed.unstamped}", is_error=True)


def _archive(options: _RunOptions, opened: Run, bundle: Path) -> bool:
    """Copy the bundle to the archive, if one is named; tell whether nothing is left to be done."""
    from runbook_lib.cli.terminal import say  # noqa: PLC0415
    from runbook_lib.evidence.archive.archive import archive_bundle  # noqa: PLC0415
    from runbook_lib.evidence.archive.stores import DEFAULT_SECONDS, Limits  # noqa: PLC0415

    url, days = _archive_settings(options, opened)
    if not url:
        return True
    try:
        seconds = float(str(opened.settings.values.get("archive_seconds", DEFAULT_SECONDS)))
        limits = Limits(seconds, say=lambda said: click.echo(one_line(said), err=True))
        archived = archive_bundle(bundle, url, retention_days=days, limits=limits)
    except EvidenceError as error:
        say(f"Not archived: {error}", is_error=True)
        say(f"Next: {error.diagnostics()}", is_error=True)
        say(f"      runbook archive {bundle} --to {url}", is_error=True)
        return False
    if not options.as_json:
        say(f"Archived: {archived.address}")
    return True


def _archive_settings(options: _RunOptions, opened: Run) -> tuple[str, int]:
    """Return address and days of retention; practice is archived only where this run says so."""
    # NOTE: not `opened.values`: what an earlier run was given must not lock this one's evidence.
    values = opened.settings.values
    if opened.is_sandbox and "archive" not in options.given:
        return "", 0
    return str(values.get("archive", "")), int(str(values.get("archive_retention_days", 0)))


def _checked_run(options: _RunOptions) -> tuple[Run, list[Word]]:
    """Return the run and people's words once all that was given is usable; nothing is written."""
    from runbook_lib.config.attestations import read_words  # noqa: PLC0415
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.engine.run import Mode, open_run  # noqa: PLC0415
    from runbook_lib.evidence.archive.archive import check_archive  # noqa: PLC0415

    opened = open_run(
        PROCEDURE,
        options.given,
        mode=Mode.HEADLESS,
        tenant=options.tenant,
        evidence=options.evidence,
        env_file=options.env_file,
        key=options.key,
    )
    opened.require_startable()
    url, days = _archive_settings(options, opened)
    if url:
        check_archive(url, opened.journal.path.parent, retention_days=days)
    said = Path(options.attestations) if options.attestations else None
    return opened, read_words(said, PROCEDURE, now=opened.clock()) if said else []


def _start(opened: Run, words: list[Word], key: SigningKey, options: _RunOptions) -> None:
    """
    Write the beginning of the run, and people's words.

    Raises `_OtherAppError` where the tenant's first run began meanwhile.
    """
    from runbook_lib.core.fingerprints import read_key  # noqa: PLC0415
    from runbook_lib.evidence.chain import check_restored, remove_drafts  # noqa: PLC0415

    remove_drafts(opened.journal.path.parent)
    if options.key is not None and read_key(opened.journal.path.parent) not in (None, options.key):
        raise _OtherAppError
    opened.require_startable()
    # NOTE: what could not be sealed in the end is not begun: its lines would be lost.
    check_restored(opened.history_reader, key)
    opened.start()
    opened.say(words)


def _sandbox_key(evidence: str, tenant: str) -> FingerprintKey:
    """Return the key of a practising tenant; a new one is kept once its first run begins."""
    from runbook_lib.config.workspace import default_evidence, journal_path, tenant_name  # noqa: PLC0415
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.core.fingerprints import FingerprintKey, read_key  # noqa: PLC0415

    folder = Path(evidence or default_evidence())
    journal = journal_path(folder, tenant_name(tenant), PROCEDURE.id)
    return read_key(journal.parent) or FingerprintKey()


def _refuse_unreadable(tenant: str, evidence: str, env_file: str) -> None:
    """Raise what is wrong with the settings, or the tenant's journal, before a browser opens."""
    from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE  # noqa: PLC0415
    from runbook_lib.engine.run import Mode, open_run  # noqa: PLC0415

    open_run(
        PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant=tenant, evidence=evidence, env_file=env_file
    )


def _banner(opened: Run) -> str:
    where = "SANDBOX: practice, nothing of this is real" if opened.is_sandbox else "PRODUCTION"
    return f"{where} · tenant {opened.tenant} · run {opened.run_id}"


def _assignments(texts: Iterable[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            msg = "--set takes NAME=VALUE."
            raise SettingsError(msg)
        given[name.strip()] = value
    return given


def _place(error: Exception) -> str:
    """Return the module and line in which `error` was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, advice: str, code: ExitCode) -> NoReturn:
    click.echo(one_line(f"runbook: {message}"), err=True)
    click.echo(one_line(f"Next: {advice}"), err=True)
    sys.exit(code)
