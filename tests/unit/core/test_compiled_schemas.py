"""Compiled schemas are kept between processes, and never used if they are stale."""

from __future__ import annotations

import marshal
import sys
from pathlib import Path
from unittest.mock import patch

import fastjsonschema
import pytest
from fastjsonschema import JsonSchemaException

from runbook_lib.core.compiled_schemas import compiled_schema

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:example:form",
    "type": "object",
    "properties": {"kind": {"$ref": "#/$defs/kind"}},
    "$defs": {"kind": {"enum": ["cat", "dog"]}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that does not exist yet, where bytecode may be written."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "__pycache__"


def is_valid(kind: str, folder: Path, schema: dict[str, object] | None = None) -> bool:
    """Return what a new process says of a document."""
    try:
        compiled_schema(schema or SCHEMA, folder=folder)({"kind": kind})
    except JsonSchemaException:
        return False
    return True


def test_a_schema_is_compiled_once(folder: Path) -> None:
    """Another process uses what was kept."""
    assert is_valid("cat", folder)
    assert not is_valid("cow", folder)

    with patch.object(fastjsonschema, "compile_to_code", side_effect=AssertionError):
        assert is_valid("dog", folder)
        assert not is_valid("cow", folder)
    assert len(list(folder.iterdir())) == 1


def test_a_changed_schema_is_compiled_again(folder: Path) -> None:
    """What was compiled of another schema is not used."""
    is_valid("cat", folder)
    changed = {**SCHEMA, "$defs": {"kind": {"enum": ["cow"]}}}

    assert is_valid("cow", folder, changed)
    assert not is_valid("cat", folder, changed)


def test_another_release_of_the_compiler_compiles_again(folder: Path) -> None:
    """Code of an earlier fastjsonschema is not used."""
    is_valid("cat", folder)

    with patch.object(fastjsonschema, "VERSION", "99.0"):
        is_valid("cat", folder)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"\xe3", b"\0" * 200, marshal.dumps("text")])
def test_a_damaged_file_is_compiled_again(content: bytes, folder: Path) -> None:
    """A damaged file is replaced."""
    is_valid("cat", folder)
    (path,) = folder.iterdir()
    path.write_bytes(content)

    assert not is_valid("cow", folder)
    assert len(path.read_bytes()) > 200


def test_nothing_is_written_where_bytecode_may_not_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `PYTHONDONTWRITEBYTECODE` the schema is compiled each time."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    assert not is_valid("cow", folder)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_changes_no_verdict(tmp_path: Path) -> None:
    """Where the package is installed read-only, documents are validated all the same."""
    (tmp_path / "taken").write_text("a file", "utf-8")

    assert is_valid("cat", tmp_path / "taken")
    assert not is_valid("cow", tmp_path / "taken")
