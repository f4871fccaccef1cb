"""The command `journal`: put a lost journal together from its bundles."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from runbook_lib.cli.evidence_options import KEYS, TRUSTED_KEYS, read_trusted
from runbook_lib.cli.options import CONNECTOR, EVIDENCE, JSON, TENANT
from runbook_lib.cli.plain_output import say
from runbook_lib.connectors.registry import require_connector
from runbook_lib.errors import (
    ExitCode,
)


@click.command()
@KEYS
@TRUSTED_KEYS
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
    from runbook_lib.evidence.verify.signed_files import TrustAnchors

    folder = evidence_folder(evidence)
    path = journal_path(folder, tenant_name(tenant), connector_folder(connector)).absolute()
    if path.parents[1].is_dir() and not path.parent.is_dir():
        require_connector(connector)  # raises for a misspelt name
    trusted, note = read_trusted(keys, trusted_keys, [folder, path.parent])
    if note and not as_json:
        say(f"! {note}")
    rebuilt = rebuild_journal(path.parent, TrustAnchors(trusted))
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
