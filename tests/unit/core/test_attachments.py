"""Attachments: pictures and PDFs, stored by their digest."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
import tornado.websocket

from runbook_lib.core.attachments import (
    LARGEST,
    attachment_path,
    copy_attachment,
    store_attachment,
    store_document,
)
from runbook_lib.core.model import Attachment
from runbook_lib.errors import ContentError, SettingsError
from tests.support.wording import refused, refused_naming, wording

PNG = b"\x89PNG\r\n\x1a\n"


def store(folder: Path, **changes: object) -> Attachment:
    known = {"name": "shot.png", "media_type": "image/png", "content": PNG + b"pixels"}
    return store_attachment(folder, **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("media_type", "start", "suffix"),
    [
        ("image/png", PNG, ".png"),
        ("image/jpeg", b"\xff\xd8\xff\xe0", ".jpg"),
        ("image/gif", b"GIF87a", ".gif"),
        ("image/gif", b"GIF89a", ".gif"),
        ("image/webp", b"RIFF\x10\0\0\0WEBP", ".webp"),
        ("application/pdf", b"%PDF-1.7", ".pdf"),
    ],
)
def test_a_picture_or_pdf_is_kept_under_its_digest(
    tmp_path: Path, media_type: str, start: bytes, suffix: str
) -> None:
    """An attachment is stored under its SHA-256, so that sha256sum can check it."""
    content = start + b" rest"

    attachment = store(tmp_path / "new" / "folder", media_type=media_type, content=content)

    digest = hashlib.sha256(content).hexdigest()
    assert attachment == Attachment(
        name="shot.png", sha256=digest, size=len(content), media_type=media_type
    )
    path = attachment_path(tmp_path / "new" / "folder", attachment)
    assert path.name == f"{digest}{suffix}"
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/png", b""),
        ("image/png", b"\xff\xd8\xff\xe0"),
        ("image/png", b"<svg onload=alert(1)>"),
        ("image/svg+xml", b"<svg/>"),
        ("text/html", b"<script>"),
        ("", PNG),
    ],
)
def test_other_files_are_refused(tmp_path: Path, media_type: str, content: bytes) -> None:
    """Another type of file, or content that does not match its type, is refused."""
    with refused(SettingsError, "attachment-not-supported", name="shot.png") as caught:
        store(tmp_path / "new", media_type=media_type, content=content)

    advice = wording("advice.attach-another")
    assert caught.value.diagnostics().startswith(advice)
    assert not (tmp_path / "new").exists()


def test_a_document_of_the_runbook_is_kept(tmp_path: Path) -> None:
    """The runbook's own document is kept as text; people cannot attach such a file."""
    kept = store_document(tmp_path, name="kit", content=b"a text")

    path = attachment_path(tmp_path, kept)
    assert (path.suffix, path.read_bytes()) == (".md", b"a text")
    with refused(SettingsError, "attachment-not-supported", name="shot.png"):
        store(tmp_path, media_type="text/markdown", content=b"a text")
    with refused(SettingsError, "attachment-too-large", name="kit", size="9.0"):
        store_document(tmp_path, name="kit", content=b"x" * (LARGEST + 1))


def test_the_size_limit_fits_in_one_message(tmp_path: Path) -> None:
    """The size limit fits in one message of the browser; a larger file is refused."""
    assert tornado.websocket._default_max_message_size - 2**19 >= LARGEST

    assert store(tmp_path, content=PNG + b"x" * (LARGEST - len(PNG))).size == LARGEST
    with refused(SettingsError, "attachment-too-large", name="shot.png", size="9.0"):
        store(tmp_path, content=PNG + b"x" * (LARGEST - len(PNG) + 1))


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/passwd", "passwd"), ("/a/b.png", "b.png"), ("x" * 500, "x" * 120)],
)
def test_a_name_is_no_path(tmp_path: Path, name: str, kept: str) -> None:
    """Only the last part of the browser's file name is kept."""
    attachment = store(tmp_path, name=name)

    assert attachment.name == kept
    assert len(list(tmp_path.iterdir())) == 1


def test_the_same_file_twice_is_kept_once(tmp_path: Path) -> None:
    """The same content is stored once."""
    assert store(tmp_path, name="a.png").sha256 == store(tmp_path, name="b.png").sha256
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_keeps_the_stored_attachment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If storing the same file again fails, the stored one stays intact."""
    path = attachment_path(tmp_path, store(tmp_path))
    before = path.read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with refused_naming(OSError, "No space"):
        store(tmp_path)

    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, before)]


def test_a_missing_or_changed_attachment_is_an_error(tmp_path: Path) -> None:
    """It is not copied; the error names it, its path, and what else can be done."""
    attachment = store(tmp_path / "kept")
    path = attachment_path(tmp_path / "kept", attachment)

    for spoil in (lambda: path.write_bytes(PNG + b"another"), path.unlink):
        spoil()
        with refused(ContentError, "attachment-changed", name="shot.png") as caught:
            copy_attachment(tmp_path / "kept", tmp_path / "bundle", attachment)
        assert wording("advice.restore-attachment", path=path) in caught.value.diagnostics()
        assert not (tmp_path / "bundle").exists()
