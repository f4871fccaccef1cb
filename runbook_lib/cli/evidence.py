"""
The commands about evidence: arguments in, exit code out.

Each command calls lower layers and shows their result.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import CONNECTOR, ENV_FILE, EVIDENCE, JSON, TENANT, tenant_options
from runbook_lib.cli.paragraphs import say
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import (
    ArchiveError,
    ContentError,
    EvidenceError,
    ExitCode,
    SettingsError,
    StoreUnavailableError,
    reason_of,
)
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from securesystemslib.signer import SSlibKey

    from runbook_lib.evidence.archive.archive import Archived
    from runbook_lib.evidence.archive.archive import Progress as FileProgress
    from runbook_lib.evidence.archive.stores import TransferLimits


_ANOTHER_WAY = (
    "Get the public key from its owner (`runbook key` shows it), not together with the evidence. "
    "Keep it elsewhere, and name that copy with --key."
)

_KEY = click.option("--key", "keys", multiple=True, metavar="FILE", help="A public key to trust.")
_TRUSTED_KEYS = click.option(
    "--trusted-keys", default="", metavar="DIR", help="A folder of keys to trust."
)
_SECONDS = click.option(
    "--archive-seconds",
    "seconds",
    envvar="RUNBOOK_ARCHIVE_SECONDS",
    type=click.IntRange(1, 3600),
    metavar="N",
    help="Seconds that an archive may be silent during a transfer.",
)


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@_KEY
@_TRUSTED_KEYS
@click.option("--tsa-certificate", metavar="FILE", help="Time-stamp authorities to trust.")
@_SECONDS
@click.option("--connector", default="", help="Only this connector's evidence.")
@click.option(
    "--tenants",
    "tenants_file",
    default="",
    metavar="FILE",
    help="File of tenants: exit code 4 if one is missing from the fleet's newest run.",
)
@click.option(
    "--fleet-run", "fleet_id", default="", metavar="ID", help="Exit code 4 if this run lacks any."
)
@JSON
def verify(
    *,
    paths: tuple[str, ...],
    connector: str,
    keys: tuple[str, ...],
    trusted_keys: str,
    tsa_certificate: str | None,
    tenants_file: str,
    fleet_id: str,
    as_json: bool,
    seconds: int | None,
) -> None:
    """
    Verify evidence offline: a bundle, a tenant, a whole tree, or an archive's address.

    Without PATH it verifies the project's evidence folder.
    """
    from runbook_lib.cli.terminal import show_fleet_verdict, show_verdict
    from runbook_lib.config.workspace import default_evidence
    from runbook_lib.evidence.archive.archive import fetched
    from runbook_lib.evidence.signing.timestamps import read_certificates
    from runbook_lib.evidence.verify.fleet_count import FleetCount
    from runbook_lib.evidence.verify.tree import verify_tree
    from runbook_lib.evidence.verify.verify import Trust

    if connector and (tenants_file or fleet_id):
        raise SettingsError(
            "A fleet's run is counted over all connectors.", next_step="Leave --connector out."
        )
    count = FleetCount(_tenants_in(tenants_file) if tenants_file else None, fleet_id)
    connector = connector and find_procedure(connector).id
    paths = paths or (default_evidence(),)
    authorities = read_certificates(Path(tsa_certificate)) if tsa_certificate is not None else []
    local_paths = [Path(path) for path in paths if "://" not in path]
    trusted, note = _trusted(keys, trusted_keys, local_paths)
    trust = Trust(trusted, authorities)
    first = " ".join(filter(None, (_withheld_below(*local_paths), note)))
    if first and not as_json:
        say(f"! {first}")
    is_refused = False
    for path in paths:
        is_archive = "://" in path
        place = fetched(path, limits=_limits(seconds)) if is_archive else nullcontext(Path(path))
        with place as folder:
            withheld = _withheld_below(folder) if is_archive else ""
            if withheld and not as_json:
                say(f"! {withheld}")
            for verdict in verify_tree(folder, trust, connector):
                is_refused = is_refused or verdict.error is not None
                if verdict.verified:
                    count.note(verdict.verified)
                if not as_json:
                    show_verdict(verdict)
                    continue
                document = verdict.document() | ({"trust_note": note} if note else {})
                if is_archive:
                    # NOTE: the keys are beside a tenant, not below it.
                    below = os.path.relpath(verdict.path, folder.resolve())
                    document["path"] = "/".join([path.rstrip("/"), *Path(below).parts])
                # NOTE: in ASCII: a file's name may contain characters that move the cursor.
                click.echo(json.dumps(document))
    for on_fleet in count.verdicts():
        is_refused = is_refused or on_fleet.error is not None
        if as_json:
            document = on_fleet.document() | ({"trust_note": note} if note else {})
            click.echo(json.dumps(document))
        else:
            show_fleet_verdict(on_fleet)
    sys.exit(ExitCode.REFUSED if is_refused else ExitCode.COMPLETE)


def _tenants_in(file: str) -> list[tuple[str, str]]:
    """Return the tenants in a file of tenants, each with its connector; raises `FleetFileError`."""
    from runbook_lib.engine.tenant_list import whole_tenants_file

    return [(entry.tenant, entry.procedure.id) for entry in whole_tenants_file(Path(file))]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--to",
    "url",
    envvar="RUNBOOK_ARCHIVE",
    default="",
    metavar="URL",
    help="s3://…, gs://…, az://… or a folder; the archive in your settings if left out.",
)
@_SECONDS
@CONNECTOR
@ENV_FILE
@JSON
def archive(
    *,
    paths: tuple[str, ...],
    url: str,
    seconds: int | None,
    connector: str,
    env_file: str,
    as_json: bool,
) -> None:
    """
    Copy sealed evidence to an archive: a bundle, or all bundles of a folder.

    Run it again to resume an interrupted copy.
    """
    from runbook_lib.cli.terminal import progress_bar
    from runbook_lib.engine.tenant_run import load_settings
    from runbook_lib.evidence.archive.archive import (
        archive_bundle,
        check_apart,
        check_archive,
        evidence_below,
    )

    values = load_settings(find_procedure(connector), env_file=env_file).values
    url = url or str(values.get("archive", ""))
    seconds = int(str(values.get("archive_seconds", 0))) if seconds is None else seconds
    if not url:
        raise SettingsError("Name the archive with --to URL, or set RUNBOOK_ARCHIVE.")
    check_apart(url, map(Path, paths))
    contents = [evidence_below(Path(path)) for path in paths]
    bundles = [bundle for below, _ in contents for bundle in below]
    for home in {bundle.parent for bundle in bundles}:
        with suppress(ArchiveError):  # said of each bundle below
            check_archive(url, home)
    outcomes = _Outcomes(as_json=as_json)
    for unreadable in (place for _, places in contents for place in places):
        outcomes.refuse(unreadable.path, ContentError(unreadable.why, file=unreadable.name))
    limits = _limits(seconds)
    with progress_bar(is_error=True) as bar:
        task = bar.add_task("", total=None)
        for number, bundle in enumerate(bundles, 1):
            place = f"{number} of {len(bundles)}: {bundle.name}"
            show = partial(_show_progress, bar, task, place)
            copy = partial(archive_bundle, bundle, url, limits=limits, on_progress=show)
            outcomes.perform(bundle, copy)
    outcomes.advise()
    sys.exit(outcomes.code)


@dataclass
class _Outcomes:
    """The outcome of each bundle, shown at once; the worst of them is the exit code."""

    as_json: bool
    code: ExitCode = ExitCode.COMPLETE
    is_over: bool = False
    advice: dict[str, None] = field(default_factory=dict)

    def perform(self, folder: Path, copy: Callable[[], Archived]) -> None:
        """Copy a bundle, and show the outcome."""
        if self.is_over:
            reason = "It was not tried, because the archive cannot be used."
            document = {"archived": False, "outcome": "not_tried", "reason": reason}
            self._show(folder, document, f"- {folder.name}: not tried")
            return
        try:
            done = copy()
        except EvidenceError as error:
            self.refuse(folder, error)
        except SettingsError as error:
            self.refuse(folder, ContentError(str(error), next_step=error.diagnostics()))
        except OSError as error:
            reason = f"It cannot be read: {reason_of(error)}."
            self.refuse(folder, ContentError(reason))
        else:
            document = {"archived": True, "outcome": "archived" if done.copied else "present"}
            line = f"✔ {done.address}: {done.copied} new, {done.present} already there"
            self._show(folder, {**document, **asdict(done)}, line)

    def refuse(self, bundle: Path, error: EvidenceError) -> None:
        """Show the reason why `bundle` was refused."""
        document = {"archived": False, "outcome": "refused", "file": error.file}
        self._show(bundle, {**document, "reason": str(error)}, f"✘ {bundle.name}: {error}")
        self.code = max(self.code, error.exit_code)
        self.advice[error.diagnostics()] = None
        self.is_over = isinstance(error, StoreUnavailableError)

    def advise(self) -> None:
        """Show the advice about refused bundles."""
        for advice in self.advice:
            say(f"Next: {advice}", is_error=True)

    def _show(self, bundle: Path, document: dict[str, Any], text: str) -> None:
        line = json.dumps({"path": str(bundle), **document})
        click.echo(line if self.as_json else one_line(text))


def _show_progress(bar: Progress, task: TaskID, place: str, progress: FileProgress) -> None:
    """Show the file that is copied from the bundle at this place; on a terminal only."""
    name = progress.name.rpartition("/")[2]
    text = one_line(f"{place}/{name}, {progress.size:,} bytes")
    bar.update(task, total=progress.of, completed=progress.number - 1, description=text)


def _limits(seconds: int | None) -> TransferLimits:
    """Return the time limits of an archive; each retry is shown on the error output."""
    from runbook_lib.evidence.archive.stores import DEFAULT_SECONDS, TransferLimits

    return TransferLimits(seconds or DEFAULT_SECONDS, say=partial(say, is_error=True))


def _withheld_below(*paths: Path) -> str:
    """Return the number of journal lines that the bundles withhold, as text; empty for none."""
    from runbook_lib.evidence.verify.discovery import withheld_below
    from runbook_lib.text import pluralize

    count = sum(map(withheld_below, paths))
    reason = "withheld, because a remote system's answer contains a secret."
    return f"{pluralize(count, 'journal line')} {reason}" if count else ""


@click.command()
@click.option("--rotate", "is_rotated", is_flag=True, help="Make a new key, and keep the old one.")
@CONNECTOR
@ENV_FILE
@EVIDENCE
@JSON
def key(*, is_rotated: bool, connector: str, env_file: str, evidence: str, as_json: bool) -> None:
    """Show the key that signs evidence; --rotate makes a new one."""
    from runbook_lib.config.workspace import KEYS_FOLDER, evidence_folder
    from runbook_lib.engine.tenant_run import load_settings
    from runbook_lib.evidence.signing import keys

    settings = load_settings(find_procedure(connector), env_file=env_file)
    folder = evidence_folder(evidence) / KEYS_FOLDER
    present = keys.key_from_settings(settings, is_sandbox=False)
    message = "It signs the evidence of this machine's runs."
    if is_rotated:
        old = present
        present = keys.rotate(settings, present, folder)
        message = f"It signs from now on. Give verifiers both keys; the old one is {old.key_id}."
    exported = keys.export_public_key(present, folder)
    keys.keep_public_key(present)
    own = keys.own_public_keys() / exported.name
    public = own if own.exists() else exported
    if keys.is_unencrypted(settings):
        click.echo(f"{keys.UNENCRYPTED}: --rotate makes an encrypted one.", err=True)
    if as_json:
        click.echo(json.dumps({"key_id": present.key_id, "public_key": str(public)}))
    else:
        click.echo(f"Key {present.key_id}\n{one_line(message)}")
        say(f"Public key, for verifiers: {public}")


@click.command()
@click.argument("bundle", default="", metavar="[BUNDLE]")
@click.option("--output", default="", metavar="FILE", help="The file to write.")
@tenant_options
@EVIDENCE
def report(*, bundle: str, output: str, connector: str, **options: Any) -> None:
    """Build the report of BUNDLE again, or of the tenant's newest sealed run."""
    from runbook_lib.core.files import is_folder
    from runbook_lib.core.model import Mode
    from runbook_lib.engine.tenant_run import open_run
    from runbook_lib.engine.tenants import unknown_tenant
    from runbook_lib.evidence.chain import finish_interrupted
    from runbook_lib.evidence.journal_excerpt import report_entries
    from runbook_lib.evidence.reports.report import run_report
    from runbook_lib.evidence.reports.sealed_record import sealed_record

    if bundle:
        folder = Path(bundle)
        if not is_folder(folder):
            raise SettingsError(
                f"There is no bundle {bundle}.",
                next_step="Name the folder of a sealed run, or no folder for the tenant's newest "
                "one.",
            )
    else:
        opened = open_run(find_procedure(connector), {}, mode=Mode.HEADLESS, **options)
        if not opened.journal.path.exists():
            raise SettingsError(unknown_tenant(opened.tenant, str(opened.evidence)), next_step="")
        home = opened.journal.path.parent
        finish_interrupted(home)
        sealed = opened.history_reader.read().index.sealed
        if not sealed:
            raise SettingsError(
                f"There is no sealed run of {opened.tenant} in {home}.",
                next_step=f"Run: runbook run --tenant {opened.tenant}",
            )
        folder = home / sealed[-1].sealed.bundle
    record = sealed_record(folder)
    entries = report_entries(folder, record)
    page = run_report(record, entries, attachments=folder / "attachments")
    path = Path(output or f"{folder.resolve().name}.html")
    # NOTE: a named pipe that nobody reads would be waited for; a device or a pipe may be meant.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8") as file:
        os.set_blocking(file.fileno(), True)
        file.write(page)
    say(f"Read {path}")


@click.command()
@click.argument("evidence", metavar="EVIDENCE")
@click.option("--write", "output", default="", metavar="FILE", help="Write the field report.")
@click.option("--issue", "is_issue", is_flag=True, help="Print a text for an issue; sends nothing.")
@JSON
def compare(*, evidence: str, output: str, is_issue: bool, as_json: bool) -> None:
    """
    Compare the responses of a run with those that the sandbox knows, in shape only.

    EVIDENCE is a bundle or a folder; in a folder the newest bundle counts. Nothing is sent, and no
    value of the run is shown.
    """
    import msgspec

    from runbook_lib.cli.field_report import issue_text, show_field_report
    from runbook_lib.engine.field_report import compare_record
    from runbook_lib.evidence.reports.sealed_record import sealed_record
    from runbook_lib.evidence.verify.discovery import newest_bundle

    folder = newest_bundle(Path(evidence))
    if folder is None:
        raise SettingsError(
            f"There is no bundle in {evidence}.",
            next_step="Name a bundle, or the evidence folder of a tenant.",
        )
    field_report = compare_record(sealed_record(folder))
    document = msgspec.to_builtins(field_report)
    if output:
        Path(output).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        click.echo(json.dumps(document))
    elif is_issue:
        click.echo(issue_text(field_report))
    else:
        show_field_report(field_report, folder)
        if output:
            say(f"Read {output} before you send it to anybody.")


@click.command()
@_KEY
@_TRUSTED_KEYS
@TENANT
@CONNECTOR
@EVIDENCE
@JSON
def journal(
    *,
    keys: tuple[str, ...],
    trusted_keys: str,
    tenant: str,
    connector: str,
    evidence: str,
    as_json: bool,
) -> None:
    """Rebuild a lost journal from the sealed bundles, or complete one that is behind."""
    from runbook_lib.config.workspace import (
        connector_folder,
        evidence_folder,
        journal_path,
        tenant_name,
    )
    from runbook_lib.evidence.rebuild import rebuild_journal
    from runbook_lib.evidence.verify.verify import Trust

    folder = evidence_folder(evidence)
    path = journal_path(folder, tenant_name(tenant), connector_folder(connector)).absolute()
    if path.parents[1].is_dir() and not path.parent.is_dir():
        find_procedure(connector)  # raises for a misspelt name
    trusted, note = _trusted(keys, trusted_keys, [folder, path.parent])
    if note and not as_json:
        say(f"! {note}")
    rebuilt = rebuild_journal(path.parent, Trust(trusted))
    if as_json:
        noted = {"trust_note": note} if note else {}
        click.echo(json.dumps({"path": str(path), **asdict(rebuilt), **noted}))
    elif rebuilt.added:
        say(f"{path}: {rebuilt.added:,} lines put back, {rebuilt.lines:,} in all.")
        say(f"It is complete until {rebuilt.until}; later lines are lost,")
        click.echo("because no verified bundle contains them. Now run again.")
    else:
        say(f"{path} has every line that the bundles copied; none was added.")
    for name, why in rebuilt.unused.items():
        say(f"✘ {name}: {why}", is_error=True)
    sys.exit(ExitCode.REFUSED if rebuilt.unused else ExitCode.COMPLETE)


def _trusted(
    keys: tuple[str, ...], trusted_keys: str, evidence: Sequence[Path]
) -> tuple[dict[str, SSlibKey], str]:
    """
    Return the public keys that were named, and a note about those inside the `evidence`.

    Raises `SettingsError` if none was named, with the command that trusts one's own.
    """
    from runbook_lib.cli.terminal import this_program
    from runbook_lib.evidence.signing.keys import (
        WHY_LESS,
        exported_keys,
        own_public_keys,
        read_public_keys,
    )

    named = [Path(text) for text in (*keys, trusted_keys) if text]
    if not named:
        advice = _ANOTHER_WAY
        own = own_public_keys()
        if exported_keys(own):
            command = shlex.join(["verify", "--trusted-keys", str(own), *map(str, evidence)])
            advice += f" To trust your own signing key: {this_program()} {command}"
        raise SettingsError(
            "No key is trusted by default: name the public key with --key or --trusted-keys.",
            next_step=advice,
        )
    trusted = read_public_keys(named)
    folders = [_evidence_around(path) for path in evidence]
    inside = [
        str(key)
        for key in named
        if any(Path(os.path.realpath(key)).is_relative_to(folder) for folder in folders)
    ]
    if not inside:
        return trusted, ""
    return trusted, f"Inside the evidence: {', '.join(inside)}. {WHY_LESS} {_ANOTHER_WAY}"


def _evidence_around(path: Path) -> Path:
    """Return the evidence folder, which has public keys, around a bundle or a tenant in it."""
    from runbook_lib.config.workspace import KEYS_FOLDER
    from runbook_lib.core.files import is_folder

    real = Path(os.path.realpath(path))
    around = (real, *real.parents[:3])
    return next((folder for folder in around if is_folder(folder / KEYS_FOLDER)), real)


EVIDENCE_COMMANDS = (verify, report, compare, archive, key, journal)
