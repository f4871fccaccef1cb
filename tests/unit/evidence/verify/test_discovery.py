"""Evidence that cannot be used is reported with its place and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.evidence.verify.discovery import UnreadablePath, find_unreadable_keys
from tests.support.wording import wording


def test_a_bad_key_file_is_reported(tmp_path: Path) -> None:
    """
    A broken link and a folder are reported if they are named like a key.

    Files with other names are ignored.
    """
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "a.pub.pem").symlink_to("nowhere")
    (keys / "b.pub.pem").mkdir()
    (keys / "d.pub.pem").write_bytes(b"1234")
    (keys / "e.txt").mkdir()

    assert list(find_unreadable_keys(keys, (".pub.pem",))) == [
        UnreadablePath(keys / name, f"keys/{name}", why)
        for name, why in (
            ("a.pub.pem", wording("verify.gone")),
            ("b.pub.pem", wording("verify.left-out-folder")),
        )
    ]
    assert list(find_unreadable_keys(tmp_path / "nowhere", (".pub.pem",))) == []


def test_a_key_file_that_fails_without_a_reason_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system gives no reason why a file cannot be read, the kind of the error is named."""
    (tmp_path / "a.pub.pem").touch()

    def refuse(_self: Path) -> None:
        raise InterruptedError

    monkeypatch.setattr(Path, "stat", refuse)

    (odd,) = find_unreadable_keys(tmp_path, (".pub.pem",))
    assert odd.why == wording("verify.interrupted", error="InterruptedError")
