"""Compiled templates are cached, and never used if they are stale."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

import jinja2
import pytest

from runbook_lib.core.templates import template_environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one template."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "a.html").write_text("<p>{{ text }}</p>", "utf-8")
    return tmp_path


def rendered(folder: Path, text: str = "x") -> str:
    """Return the template as a new process renders it."""
    return template_environment(folder).get_template("a.html").render(text=text)


def kept(folder: Path) -> list[Path]:
    """Return the cached files."""
    return sorted((folder / "__pycache__").glob("*"))


def test_a_template_is_compiled_once(folder: Path) -> None:
    """Another process reads the cached template."""
    assert rendered(folder) == "<p>x</p>"
    assert len(kept(folder)) == 1

    with patch.object(jinja2.Environment, "compile", side_effect=AssertionError):
        assert rendered(folder, "y") == "<p>y</p>"


def test_a_changed_template_is_compiled_again(folder: Path) -> None:
    """A changed template is compiled again, even if its time and size are the same."""
    rendered(folder)
    stat = (folder / "a.html").stat()
    (folder / "a.html").write_text("<b>{{ text }}</b>", "utf-8")
    os.utime(folder / "a.html", (stat.st_atime, stat.st_mtime))

    assert rendered(folder) == "<b>x</b>"


@pytest.mark.parametrize("content", [b"", b"j2", b"\0" * 200])
def test_a_damaged_file_is_compiled_again(content: bytes, folder: Path) -> None:
    """A damaged cache file is replaced."""
    rendered(folder)
    kept(folder)[0].write_bytes(content)

    assert rendered(folder) == "<p>x</p>"


@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "tempfile.NamedTemporaryFile"])
def test_a_folder_that_cannot_be_written_keeps_nothing(call: str, folder: Path) -> None:
    """If the cache cannot be written, the template is still rendered."""
    with patch(call, side_effect=PermissionError(13, "Permission denied")):
        assert rendered(folder) == "<p>x</p>"

    assert kept(folder) == []


def test_nothing_is_kept_where_python_keeps_no_bytecode(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PYTHONDONTWRITEBYTECODE nothing is cached."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    assert rendered(folder) == "<p>x</p>"
    assert kept(folder) == []


def test_values_are_escaped_and_an_unknown_name_is_an_error(folder: Path) -> None:
    """Values are escaped, and an unknown name raises."""
    assert rendered(folder, "<i>") == "<p>&lt;i&gt;</p>"
    with pytest.raises(jinja2.UndefinedError):
        template_environment(folder).get_template("a.html").render()
