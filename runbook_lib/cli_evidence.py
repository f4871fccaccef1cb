"""
The commands about evidence: words in, exit code out.

Nothing is decided here; every command calls lower floors and shows what
they returned.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli_options import CONNECTOR, ENV_FILE, EVIDENCE, JSON, TENANT
from runbook_lib.errors import EvidenceError, ExitCode, SettingsError
from runbook_lib.plain_text import one_line

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

__all__ = ["EVIDENCE_COMMANDS"]


_KEY = click.option("--key", "keys", multiple=True, metavar="FILE", help="A public key to trust.")
_TRUSTED_KEYS = click.option(
    "--trusted-keys", default="", metavar="DIR", help="A folder of keys to trust."
)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@_KEY
@_TRUSTED_KEYS
@click.option(
    "--tsa-certificate", default="", metavar="FILE", help="Time-stamp authorities to trust."
)
@JSON
def verify(
    *,
    paths: tuple[str, ...],
    keys: tuple[str, ...],
    trusted_keys: str,
    tsa_certificate: str,
    as_json: bool,
) -> None:
    """Verify evidence offline: a bundle, a tenant, or a whole tree; an archive's by its address."""
    from runbook_lib.evidence.archive import fetched  # noqa: PLC0415
    from runbook_lib.evidence.timestamps import read_certificates  # noqa: PLC0415
    from runbook_lib.evidence.verify import Trust  # noqa: PLC0415
    from runbook_lib.evidence.verify_chain import verify_tree  # noqa: PLC0415
    from runbook_lib.terminal import show_verdict  # noqa: PLC0415

    authorities = read_certificates(Path(tsa_certificate)) if tsa_certificate else []
    trust = Trust(_trusted(keys, trusted_keys), authorities)
    is_refused = False
    for path in paths:
        is_archive = "://" in path
        with fetched(path) if is_archive else nullcontext(Path(path)) as folder:
            for verdict in verify_tree(folder, trust):
                is_refused = is_refused or verdict.error is not None
                if not as_json:
                    show_verdict(verdict)
                    continue
                document = verdict.document()
                if is_archive:
                    # NOTE: the keys lie beside a tenant, not below it.
                    below = os.path.relpath(verdict.path, folder.resolve())
                    document["path"] = "/".join([path.rstrip("/"), *Path(below).parts])
                # NOTE: in ASCII, for what a file is called may hold what moves a cursor.
                click.echo(json.dumps(document))
    sys.exit(ExitCode.REFUSED if is_refused else ExitCode.COMPLETE)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--to",
    "url",
    envvar="RUNBOOK_ARCHIVE",
    default="",
    metavar="URL",
    help="s3://…, gs://…, az://… or a folder; the setting if left out.",
)
@click.option(
    "--retention-days",
    "days",
    envvar="RUNBOOK_ARCHIVE_RETENTION_DAYS",
    type=int,
    metavar="N",
    help="Let nobody delete it for so long (S3 Object Lock). There is no way back.",
)
@ENV_FILE
@JSON
def archive(
    *, paths: tuple[str, ...], url: str, days: int | None, env_file: str, as_json: bool
) -> None:
    """Copy sealed evidence to an archive, or go on with that: a bundle, or all of a tenant's."""
    from runbook_lib.evidence.archive import archive_bundle, bundles_below  # noqa: PLC0415
    from runbook_lib.procedures.facebook_marketing import PROCEDURE  # noqa: PLC0415
    from runbook_lib.settings import load  # noqa: PLC0415

    values = load(PROCEDURE.inputs, given={}, env_file=env_file).values
    url = url or str(values.get("archive", ""))
    days = int(str(values.get("archive_retention_days", 0))) if days is None else days
    if not url:
        msg = "Name the archive: --to URL, or the setting RUNBOOK_ARCHIVE."
        raise SettingsError(msg)
    code, said_last, advice = ExitCode.COMPLETE, "", ""
    for bundle in [bundle for path in paths for bundle in bundles_below(Path(path))]:
        document: dict[str, Any] = {"path": str(bundle)}
        try:
            archived = archive_bundle(bundle, url, retention_days=days)
        except EvidenceError as error:
            document |= {"archived": False, "file": error.file, "reason": str(error)}
            said = f"✘ {bundle.name}: {error}"
            code, advice = max(code, error.exit_code), error.diagnostics()
        else:
            document |= {"archived": True, **asdict(archived)}
            said = f"✔ {archived.address}: {archived.copied} new, {archived.present} were there"
        click.echo(json.dumps(document) if as_json else one_line(said))
        # What is refused twice in the same words is no matter of one bundle.
        if not document["archived"] and document["reason"] == said_last:
            break
        said_last = document.get("reason", "")
    if advice:
        click.echo(one_line(f"Next: {advice}"), err=True)
    sys.exit(code)


@click.command()
@click.option("--rotate", "is_rotated", is_flag=True, help="Make a new key and hand over to it.")
@click.option("--successor", default="", metavar="FILE", help="Hand over to this public key.")
@ENV_FILE
@EVIDENCE
@JSON
def key(*, is_rotated: bool, successor: str, env_file: str, evidence: str, as_json: bool) -> None:
    """Show the key that signs evidence; --rotate hands over to a new one."""
    from runbook_lib.evidence import keys, succession  # noqa: PLC0415
    from runbook_lib.procedures.facebook_marketing import PROCEDURE  # noqa: PLC0415
    from runbook_lib.settings import load  # noqa: PLC0415
    from runbook_lib.workspace import KEYS_FOLDER, default_evidence  # noqa: PLC0415

    settings = load(PROCEDURE.inputs, given={}, env_file=env_file)
    folder = Path(evidence or default_evidence()) / KEYS_FOLDER
    present = keys.key_from_settings(settings, is_sandbox=False)
    said = "It signs the evidence of this machine's runs."
    if is_rotated:
        present = succession.rotate(settings, present, folder)
        said = "It signs from now on; the key before it says so."
    elif successor:
        other = keys.read_public_key(Path(successor))
        succession.hand_over(present, other, folder, kept=keys.successions_folder())
        said = "It has named its successor: now set RUNBOOK_SIGNING_KEY to that one."
    public = keys.export_public_key(present, folder)
    succession.export_successions(present, folder)
    if keys.is_unencrypted(settings):
        click.echo(f"{keys.UNENCRYPTED}: --rotate makes one that is.", err=True)
    if as_json:
        click.echo(json.dumps({"key_id": present.key_id, "public_key": str(public)}))
    else:
        click.echo(f"Key {present.key_id}\n{one_line(said)}")
        click.echo(one_line(f"Public half, for whoever verifies: {public}"))


@click.command()
@click.argument("bundle", default="", metavar="[BUNDLE]")
@click.option("--output", default="", metavar="FILE", help="Where to write it.")
@TENANT
@ENV_FILE
@EVIDENCE
def report(*, bundle: str, output: str, tenant: str, env_file: str, evidence: str) -> None:
    """Build the history of a tenant as HTML; of BUNDLE, the report of that run anew."""
    from runbook_lib.evidence.chain import finish_interrupted  # noqa: PLC0415
    from runbook_lib.evidence.parts import report_entries  # noqa: PLC0415
    from runbook_lib.evidence.reports.report import history_report, run_report  # noqa: PLC0415
    from runbook_lib.evidence.reports.runs import sealed_record, sealed_runs  # noqa: PLC0415
    from runbook_lib.procedures.facebook_marketing import PROCEDURE  # noqa: PLC0415
    from runbook_lib.run import Mode, open_run  # noqa: PLC0415

    if bundle:
        folder = Path(bundle)
        record = sealed_record(folder)
        entries = report_entries(folder, record)
        page = run_report(record, entries, attachments=folder / "attachments")
        path = Path(output or f"{folder.resolve().name}.html")
    else:
        opened = open_run(
            PROCEDURE, {}, mode=Mode.HEADLESS, tenant=tenant, evidence=evidence, env_file=env_file
        )
        folder = opened.journal.path.parent
        finish_interrupted(folder)
        runs = sealed_runs(opened.history_reader)
        if not runs:
            msg = f"There is no sealed run of {opened.tenant} in {folder}."
            raise SettingsError(msg)
        page = history_report(opened.tenant, runs)
        path = Path(output) if output else folder / "history.html"
    path.write_text(page, encoding="utf-8")
    click.echo(one_line(f"Read {path}"))


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
    """Put a lost journal together from the sealed bundles, or complete one that is behind."""
    from runbook_lib.evidence.rebuild import rebuild_journal  # noqa: PLC0415
    from runbook_lib.evidence.verify import Trust  # noqa: PLC0415
    from runbook_lib.workspace import (  # noqa: PLC0415
        connector_name,
        default_evidence,
        journal_path,
        tenant_name,
    )

    trust = Trust(_trusted(keys, trusted_keys))
    folder = Path(evidence or default_evidence())
    path = journal_path(folder, tenant_name(tenant), connector_name(connector)).absolute()
    rebuilt = rebuild_journal(path.parent, trust)
    if as_json:
        click.echo(json.dumps({"path": str(path), **asdict(rebuilt)}))
    elif rebuilt.added:
        click.echo(one_line(f"{path}: {rebuilt.added:,} lines put back, {rebuilt.lines:,} in all."))
        click.echo(
            one_line(f"It holds what was done until {rebuilt.until}; what came after that is lost,")
        )
        click.echo("because no bundle that verifies has copied it. Now run again.")
    else:
        click.echo(one_line(f"{path} has every line that the bundles copied; none was added."))
    for name, why in rebuilt.unused.items():
        click.echo(one_line(f"✘ {name}: {why}"), err=True)
    sys.exit(ExitCode.REFUSED if rebuilt.unused else ExitCode.COMPLETE)


def _trusted(keys: tuple[str, ...], trusted_keys: str) -> dict[str, SSlibKey]:
    """Return the public keys that were named; raises `SettingsError` where none was."""
    from runbook_lib.evidence.keys import read_public_keys  # noqa: PLC0415

    named = [Path(text) for text in (*keys, trusted_keys) if text]
    if not named:
        msg = "Nothing is trusted by itself: name the public key with --key, or --trusted-keys."
        raise SettingsError(msg)
    return read_public_keys(named)


EVIDENCE_COMMANDS = (verify, report, archive, key, journal)
