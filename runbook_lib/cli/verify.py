"""The command `verify`: verify bundles, chains and the tenants of a fleet's run."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from runbook_lib.cli.evidence_options import (
    ARCHIVE_SECONDS,
    KEYS,
    TRUSTED_KEYS,
    open_store,
    read_trusted,
)
from runbook_lib.cli.options import JSON
from runbook_lib.cli.plain_output import say, show_json
from runbook_lib.errors import (
    ExitCode,
    SettingsError,
)
from runbook_lib.text import pluralize


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@KEYS
@TRUSTED_KEYS
@click.option("--tsa-certificate", metavar="FILE", help="Time-stamp authorities to trust.")
@ARCHIVE_SECONDS
@click.option("--connector", default="", help="Only this connector's evidence.")
@click.option(
    "--tenants",
    "tenants_file",
    default="",
    metavar="FILE",
    help="File of tenants: exit code 4 if one is missing from its newest run, 3 if one has not run "
    "yet.",
)
@click.option(
    "--fleet-run", "fleet_id", default="", metavar="ID", help="Exit code 4 if this run lacks any."
)
@click.option(
    "--schema", "shows_schema", is_flag=True, help="Only print the JSON Schema of a record."
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
    shows_schema: bool,
    as_json: bool,
    seconds: int | None,
) -> None:
    """
    Verify evidence offline: a bundle, a tenant, a whole tree, or an archive's address.

    Without PATH it verifies the project's evidence folder.
    """
    from runbook_lib.cli.terminal import show_fleet_verdict, show_verdict
    from runbook_lib.config.workspace import default_evidence
    from runbook_lib.evidence.archive.archive import fetch_evidence
    from runbook_lib.evidence.record import record_schema
    from runbook_lib.evidence.signing.timestamps import read_certificates
    from runbook_lib.evidence.verify.fleet_count import FleetCount
    from runbook_lib.evidence.verify.signed_files import TrustAnchors
    from runbook_lib.evidence.verify.tree import verify_tree

    if shows_schema:
        show_json(record_schema())
        return
    if connector and (tenants_file or fleet_id):
        raise SettingsError(
            "A fleet's run is counted over all connectors.", next_step="Leave --connector out."
        )
    count = FleetCount(_tenants_in(tenants_file) if tenants_file else None, fleet_id)
    paths = paths or (default_evidence(),)
    authorities = read_certificates(Path(tsa_certificate)) if tsa_certificate is not None else []
    local_paths = [Path(path) for path in paths if "://" not in path]
    trusted, note = read_trusted(keys, trusted_keys, local_paths)
    trust = TrustAnchors(trusted, authorities)
    if note and not as_json:
        say(f"! {note}")
    withheld = 0
    is_refused = False
    is_incomplete = False
    for path in paths:
        is_archive = "://" in path
        place = fetch_evidence(open_store(path, seconds)) if is_archive else nullcontext(Path(path))
        with place as folder:
            for verdict in verify_tree(folder, trust, connector):
                is_refused = is_refused or verdict.error is not None
                if verdict.verified:
                    count.note(verdict.verified)
                    withheld += len(verdict.verified.withheld)
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
    if withheld and not as_json:
        lines = pluralize(withheld, "journal line")
        say(f"! {lines} withheld, because a remote system's response contains a secret.")
    for on_fleet in count.verdicts():
        is_refused = is_refused or on_fleet.error is not None
        is_incomplete = is_incomplete or bool(on_fleet.not_run_yet)
        if as_json:
            document = on_fleet.document() | ({"trust_note": note} if note else {})
            click.echo(json.dumps(document))
        else:
            show_fleet_verdict(on_fleet)
    open_code = ExitCode.INCOMPLETE if is_incomplete else ExitCode.COMPLETE
    sys.exit(ExitCode.REFUSED if is_refused else open_code)


def _tenants_in(file: str) -> list[tuple[str, str]]:
    """Return the tenants in a file of tenants, each with its connector; raises `FleetFileError`."""
    from runbook_lib.operations.tenant_list import names_in_file

    return names_in_file(Path(file))
