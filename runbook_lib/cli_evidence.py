"""
The commands about evidence: words in, exit code out.

Nothing is decided here; every command calls lower floors and shows what
they returned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from runbook_lib.cli_options import ENV_FILE, EVIDENCE, JSON
from runbook_lib.errors import ExitCode, SettingsError

__all__ = ["EVIDENCE_COMMANDS"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--key", "keys", multiple=True, metavar="FILE", help="A public key to trust.")
@click.option("--trusted-keys", default="", metavar="DIR", help="A folder of keys to trust.")
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
    """Verify evidence offline: a bundle, a tenant, or a whole tree of them."""
    from runbook_lib.evidence.keys import read_public_keys  # noqa: PLC0415
    from runbook_lib.evidence.timestamps import read_certificates  # noqa: PLC0415
    from runbook_lib.evidence.verify import Trust  # noqa: PLC0415
    from runbook_lib.evidence.verify_chain import verify_tree  # noqa: PLC0415
    from runbook_lib.terminal import show_verdict  # noqa: PLC0415

    named = [Path(text) for text in (*keys, trusted_keys) if text]
    if not named:
        msg = "Nothing is trusted by itself: name the public key with --key, or --trusted-keys."
        raise SettingsError(msg)
    authorities = read_certificates(Path(tsa_certificate)) if tsa_certificate else []
    trust = Trust(read_public_keys(named), authorities)
    is_refused = False
    for path in paths:
        for verdict in verify_tree(Path(path), trust):
            is_refused = is_refused or verdict.error is not None
            if as_json:
                click.echo(json.dumps(verdict.document(), ensure_ascii=False))
            else:
                show_verdict(verdict)
    sys.exit(ExitCode.REFUSED if is_refused else ExitCode.COMPLETE)


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
        succession.hand_over(present, keys.read_public_key(Path(successor)), folder)
        said = "It has named its successor: now set RUNBOOK_SIGNING_KEY to that one."
    public = keys.export_public_key(present, folder)
    if as_json:
        click.echo(json.dumps({"key_id": present.key_id, "public_key": str(public)}))
    else:
        click.echo(f"Key {present.key_id}\n{said}")
        click.echo(f"Public half, for whoever verifies: {public}")


EVIDENCE_COMMANDS = (verify, key)
