"""
Files that people give as evidence: named by their digest, beside the journal.

Which step a file belongs to is the journal's business.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.procedure import Attachment
from runbook_lib.errors import ContentError, SettingsError

__all__ = ["LARGEST", "SUFFIXES", "attachment_path", "copy_attachment", "store_attachment"]

# What a screen or a letter comes as; nothing that a browser would run.
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
}
_STARTS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "application/pdf": re.compile(rb"%PDF-"),
}
# NOTE: all files of an attestation come in one message, and Jupyter's server cuts the connection
# over one of 10 MiB (tornado, websocket_max_message_size); the rest is for its headers.
LARGEST = 9 * 1024 * 1024
_ADVICE = "Attach another file, or confirm without it; nothing was written down."


def store_attachment(folder: Path, *, name: str, media_type: str, content: bytes) -> Attachment:
    """
    Write `content` into `folder` under its SHA-256 and return what the journal holds of it.

    Raises `SettingsError` for what is no picture or PDF, or is over 9 MiB.
    """
    start = _STARTS.get(media_type)
    if start is None or not start.match(content):
        msg = f"{name} is no picture and no PDF; attach a screenshot."
        raise SettingsError(msg, next_step=_ADVICE)
    if len(content) > LARGEST:
        msg = f"{name} has {len(content) / 2**20:.1f} MiB; {LARGEST // 2**20} MiB is the most."
        raise SettingsError(msg, next_step=_ADVICE)
    attachment = Attachment(
        name=Path(name).name[:120],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        media_type=media_type,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = attachment_path(folder, attachment)
    # NOTE: written beside its name first: what was given earlier under the same digest must
    # outlive a full disk and a killed process.
    write_whole(path, content)
    return attachment


def copy_attachment(kept: Path, target: Path, attachment: Attachment) -> None:
    """
    Copy an attachment from the folder `kept` into `target`.

    Raises `ContentError` where the file is gone or is not what was attached.
    """
    source = attachment_path(kept, attachment)
    try:
        content = read_plain(source, LARGEST)
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != attachment.sha256:
        msg = f"The attachment {attachment.name} is gone, or is not what was attached."
        advice = (
            f"Put it back as {source} (a sealed bundle may have a copy), or say again, without it, "
            "that the step is done; then run again."
        )
        raise ContentError(msg, next_step=advice)
    target.mkdir(parents=True, exist_ok=True)
    attachment_path(target, attachment).write_bytes(content)


def attachment_path(folder: Path, attachment: Attachment) -> Path:
    """Return where an attachment lies in `folder`."""
    return folder / f"{attachment.sha256}{SUFFIXES[attachment.media_type]}"
