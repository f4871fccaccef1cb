"""
Succession: one signing key hands over to the next, in a statement signed by the old one.

A verifier who trusts the old key then trusts the new one too, and rejects what
the old one signs afterwards. A key belongs to a person, not to a folder of
evidence: successions are also stored beside the person's keys, and copied to
wherever the newest key seals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.config.settings import Settings
from runbook_lib.core.files import read_plain
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.errors import EvidenceError, SettingsError
from runbook_lib.evidence.signing.keys import (
    PUBLIC_SUFFIX,
    SUCCESSION_SUFFIX,
    SigningKey,
    create_key,
    default_key_path,
    export_public_key,
    exported_keys,
    holds,
    is_uri,
    open_key,
    parse_public_key,
    successions_folder,
    write_public,
)
from runbook_lib.evidence.signing.statement import (
    SUCCESSION,
    Resource,
    digest,
    open_envelope,
    sign_statement,
)

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


# A public key and two key ids, signed: some 2 KiB.
_LARGEST = 64 * 1024


def hand_over(old: SigningKey, new: SSlibKey, folder: Path, *, kept: Path | None = None) -> Path:
    """
    Write into `folder` a statement by `old` that `new` succeeds it; return the file.

    Also write it into `kept`, if given, with both public keys. Raises
    `SettingsError` if both keys are the same, `SigningError` if `old` fails.
    """
    if str(new.keyid) == old.key_id:
        msg = "A key cannot succeed itself: name another public key."
        raise SettingsError(msg)
    public = str(new.keyval["public"])
    content = public.encode("ascii")
    subject = Resource(f"{new.keyid}{PUBLIC_SUFFIX}", digest(content), len(content))
    claim = {"from": old.key_id, "to": str(new.keyid), "at": timestamp(utc_now())}
    envelope = sign_statement(old, [subject], SUCCESSION, {**claim, "public_key": public})
    succession = _Succession(old.public, new, envelope)
    if kept is not None:
        # NOTE: if a service stores this person's keys, the folder does not exist yet.
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _publish(succession, kept)
    return _write(succession, folder)


def export_successions(key: SigningKey, folder: Path) -> None:
    """
    Copy into `folder` each stored succession that leads to `key`, with its public keys.

    So a verifier who trusts an earlier key can verify there. Existing files are
    never overwritten.
    """
    for succession in _leading_to(key):
        _publish(succession, folder)


def with_predecessors(key: SigningKey) -> dict[str, SSlibKey]:
    """Return the public half of `key`, and of each key that it has succeeded, by key id."""
    old = {str(succession.old.keyid): succession.old for succession in _leading_to(key)}
    return {**old, key.key_id: key.public}


def check_not_succeeded(key: SigningKey, folder: Path) -> None:
    """Raise `SettingsError` if `key` has named a successor, also by a statement in `folder`."""
    for succession in (*_kept(successions_folder()), *_kept(folder)):
        if str(succession.old.keyid) == key.key_id:
            msg = f"The signing key {key.key_id[:16]} has named its successor, so it signs no more."
            advice = f"Set RUNBOOK_SIGNING_KEY to the key {str(succession.new.keyid)[:16]}."
            raise SettingsError(msg, next_step=f"{advice} Nothing was done.")


def _leading_to(key: SigningKey) -> Iterator[_Succession]:
    """Yield each stored succession that leads to `key`."""
    kept = _kept(successions_folder())
    leading = [key.key_id]
    for new in leading:
        for succession in kept:
            if str(succession.new.keyid) == new:
                yield succession
                old = str(succession.old.keyid)
                leading += [old] if old not in leading else []


@dataclass(frozen=True, slots=True)
class _Succession:
    """The statement `envelope` by `old` that `new` succeeds it."""

    old: SSlibKey
    new: SSlibKey
    envelope: bytes


def _kept(folder: Path) -> list[_Succession]:
    """Return the successions in `folder` that a public key there has signed."""
    keys = exported_keys(folder)
    successions: list[_Succession] = []
    for path in sorted(folder.glob(f"*{SUCCESSION_SUFFIX}")):
        with suppress(OSError, EvidenceError, KeyError, ValueError):
            content = read_plain(path, _LARGEST)
            signed = open_envelope(content, keys, SUCCESSION)
            new = parse_public_key(str(signed.predicate["public_key"]).encode())
            successions.append(_Succession(keys[signed.key_id], new, content))
    return successions


def _publish(succession: _Succession, folder: Path) -> None:
    """Write a succession and its public keys into `folder`."""
    for key in (succession.old, succession.new):
        path = folder / f"{key.keyid}{PUBLIC_SUFFIX}"
        if not path.exists():
            write_public(path, str(key.keyval["public"]).encode("ascii"))
    _write(succession, folder)


def _write(succession: _Succession, folder: Path) -> Path:
    """Write a succession into `folder` under a free name, and return its path."""
    # NOTE: two keys may have one successor, for example when two people adopt one key service.
    names = (str(succession.new.keyid), f"{succession.new.keyid}-{str(succession.old.keyid)[:16]}")
    paths = [folder / f"{name}{SUCCESSION_SUFFIX}" for name in names]
    for path in paths:
        if not path.exists():
            write_public(path, succession.envelope)
        if holds(path, succession.envelope):
            return path
    return paths[-1]


def rotate(settings: Settings, old: SigningKey, folder: Path) -> SigningKey:
    """
    Replace the file of the key `old` by a new key, and hand over to it.

    The old file stays beside it, named by its key id. Raises `SettingsError` if
    the key is not a file: its service must create the new one.
    """
    reference = str(settings.values.get("signing_key", ""))
    if is_uri(reference):
        msg = "A service stores this key: create the new one there, then use --successor."
        raise SettingsError(msg)
    path = Path(reference).expanduser() if reference else default_key_path(is_sandbox=False)
    passphrase = settings.secrets.get("signing_passphrase")
    drafted = path.with_name(f"{path.name}.new")
    drafted.unlink(missing_ok=True)
    create_key(drafted, passphrase=passphrase)
    new = open_key(str(drafted), passphrase=passphrase, is_sandbox=False)
    export_public_key(old, folder)
    export_public_key(new, folder)
    hand_over(old, new.public, folder, kept=successions_folder())
    # NOTE: if the process is killed here, the old key goes on signing, which is still valid.
    kept = path.with_name(f"{path.stem}-{old.key_id[:16]}.pem")
    kept.unlink(missing_ok=True)
    kept.hardlink_to(path)
    drafted.replace(path)
    return new
