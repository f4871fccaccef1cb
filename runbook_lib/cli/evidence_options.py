"""The options of commands that read evidence, and the keys that they trust."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook_lib.cli.plain_output import say
from runbook_lib.errors import (
    SettingsError,
)

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from runbook_lib.evidence.archive.stores import Store


_ANOTHER_WAY = (
    "Get the public key from its owner (`runbook key` shows it), not together with the evidence. "
    "Keep it elsewhere, and name that copy with --key."
)


KEYS = click.option("--key", "keys", multiple=True, metavar="FILE", help="A public key to trust.")


TRUSTED_KEYS = click.option(
    "--trusted-keys", default="", metavar="DIR", help="A folder of keys to trust."
)


ARCHIVE_SECONDS = click.option(
    "--archive-seconds",
    "seconds",
    envvar="RUNBOOK_ARCHIVE_SECONDS",
    type=click.IntRange(1, 3600),
    metavar="N",
    help="Seconds that an archive may be silent during a transfer.",
)


def open_store(url: str, seconds: int | None) -> Store:
    """Return the store of the archive `url`; each retry is shown on the error output."""
    from runbook_lib.evidence.archive.stores import DEFAULT_SECONDS, Store

    return Store(url, seconds or DEFAULT_SECONDS, partial(say, is_error=True))


def read_trusted(
    keys: tuple[str, ...], trusted_keys: str, evidence: Sequence[Path]
) -> tuple[dict[str, SSlibKey], str]:
    """
    Return the public keys that were named, and a note about those inside the `evidence`.

    Raises `SettingsError` without a named key, with the command that trusts one's own.
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
