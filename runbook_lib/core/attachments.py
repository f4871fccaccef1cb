"""
Files that people attach as evidence, named by their digest, beside the journal.

The journal names each file's step.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.model import Attachment
from runbook_lib.errors import ContentError, SettingsError

# A document that the runbook itself writes; nobody can upload one.
_MARKDOWN = "text/markdown"
# Screenshots and letters: files that a browser does not run.
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    "application/json": ".json",
    _MARKDOWN: ".md",
}
_STARTS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "application/pdf": re.compile(rb"%PDF-"),
    "application/json": re.compile(rb"\s*[\[{]"),
}
# NOTE: all files of an attestation come in one message, and Jupyter's server cuts the connection
# over one of 10 MiB (tornado, websocket_max_message_size); the rest is for its headers.
LARGEST = 9 * 1024 * 1024
_ADVICE = "Nothing was recorded. Attach another file, or confirm without one."


def store_attachment(folder: Path, *, name: str, media_type: str, content: bytes) -> Attachment:
    """
    Write `content` into `folder` under its SHA-256 and return its description.

    Raises `SettingsError` unless it is a picture, a PDF or JSON of at most 9 MiB.
    """
    start = _STARTS.get(media_type)
    if start is None or not start.match(content):
        raise SettingsError(
            f"{name} is neither a picture nor a PDF nor JSON; attach a screenshot.",
            next_step=_ADVICE,
        )
    return store_document(folder, name=name, content=content, media_type=media_type)


def store_document(
    folder: Path, *, name: str, content: bytes, media_type: str = _MARKDOWN
) -> Attachment:
    """
    Write a document that the runbook made into `folder`, as `store_attachment` does.

    Raises `SettingsError` if it is too large.
    """
    if len(content) > LARGEST:
        raise SettingsError(
            f"{name} has {len(content) / 2**20:.1f} MiB; the limit is {LARGEST // 2**20} MiB.",
            next_step=_ADVICE,
        )
    attachment = Attachment(
        name=Path(name).name[:120],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        media_type=media_type,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = attachment_path(folder, attachment)
    # NOTE: an earlier file with this digest must survive a full disk and a killed process.
    write_whole(path, content)
    return attachment


def copy_attachment(source_folder: Path, target: Path, attachment: Attachment) -> None:
    """
    Copy an attachment from `source_folder` into `target`.

    Raises `ContentError` if the file is missing or was changed.
    """
    source = attachment_path(source_folder, attachment)
    try:
        content = read_plain(source, LARGEST)
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != attachment.sha256:
        raise ContentError(
            f"The attachment {attachment.name} is missing or was changed.",
            next_step=f"Restore it as {source} (a sealed bundle may have a copy), or confirm the "
            "step again without it; then run again.",
        )
    target.mkdir(parents=True, exist_ok=True)
    attachment_path(target, attachment).write_bytes(content)


def attachment_path(folder: Path, attachment: Attachment) -> Path:
    """Return the path of an attachment in `folder`."""
    return folder / f"{attachment.sha256}{SUFFIXES[attachment.media_type]}"
