"""
Succession: one signing key hands over to the next, in a statement that the old one signs.

A verifier who trusts the old key then trusts the new one too, and refuses
what the old one signs afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.errors import SettingsError
from runbook_lib.evidence.attestation import SUCCESSION, Resource, digest, sign_statement
from runbook_lib.evidence.keys import (
    PUBLIC_SUFFIX,
    SUCCESSION_SUFFIX,
    SigningKey,
    create_key,
    default_key_path,
    export_public_key,
    is_uri,
    open_key,
)
from runbook_lib.journal import timestamp, utc_now
from runbook_lib.settings import Settings

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

__all__ = ["hand_over", "rotate"]


def hand_over(old: SigningKey, new: SSlibKey, folder: Path) -> Path:
    """
    Write into `folder` that `new` signs after `old`, signed by `old`; return the file.

    Raises `SettingsError` where both are one, `SigningError` where `old` refuses.
    """
    if str(new.keyid) == old.key_id:
        msg = "A key does not succeed itself: name another public key."
        raise SettingsError(msg)
    public = str(new.keyval["public"])
    content = public.encode("ascii")
    subject = Resource(f"{new.keyid}{PUBLIC_SUFFIX}", digest(content), len(content))
    claim = {"from": old.key_id, "to": str(new.keyid), "at": timestamp(utc_now())}
    envelope = sign_statement(old, [subject], SUCCESSION, {**claim, "public_key": public})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{new.keyid}{SUCCESSION_SUFFIX}"
    path.write_bytes(envelope)
    return path


def rotate(settings: Settings, old: SigningKey, folder: Path) -> SigningKey:
    """
    Make a new key in the place of the file that holds `old`, and hand over to it.

    The old file stays beside it, under its key id. Raises `SettingsError`
    where the key is no file: its service makes the new one.
    """
    reference = str(settings.values.get("signing_key", ""))
    if is_uri(reference):
        msg = "This key is kept by a service: make the new one there, then use --successor."
        raise SettingsError(msg)
    path = Path(reference).expanduser() if reference else default_key_path(is_sandbox=False)
    passphrase = settings.secrets.get("signing_passphrase")
    drafted = path.with_name(f"{path.name}.new")
    drafted.unlink(missing_ok=True)
    create_key(drafted, passphrase=passphrase)
    new = open_key(str(drafted), passphrase=passphrase, is_sandbox=False)
    export_public_key(old, folder)
    export_public_key(new, folder)
    hand_over(old, new.public, folder)
    # NOTE: killed between these two, the old key goes on signing, which nothing forbids yet.
    kept = path.with_name(f"{path.stem}-{old.key_id[:16]}.pem")
    kept.unlink(missing_ok=True)
    kept.hardlink_to(path)
    drafted.replace(path)
    return new
