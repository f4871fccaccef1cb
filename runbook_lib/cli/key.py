"""The command `key`: show or replace the signing key."""

from __future__ import annotations

import json

import click

from runbook_lib.cli.options import CONNECTOR, ENV_FILE, EVIDENCE, JSON
from runbook_lib.cli.plain_output import say
from runbook_lib.text import one_line


@click.command()
@click.option("--rotate", "is_rotated", is_flag=True, help="Make a new key, and keep the old one.")
@CONNECTOR
@ENV_FILE
@EVIDENCE
@JSON
def key(*, is_rotated: bool, connector: str, env_file: str, evidence: str, as_json: bool) -> None:
    """Show the key that signs evidence; --rotate makes a new one."""
    from runbook_lib.config.workspace import KEYS_FOLDER, evidence_folder
    from runbook_lib.engine.tenant_run import load_runner_settings
    from runbook_lib.evidence.signing import keys

    settings = load_runner_settings(connector, env_file)
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
