"""The digest of a check's code is that of its module's source, wherever that is installed."""

from __future__ import annotations

import importlib
import py_compile
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from runbook_lib.connectors.check_registry import _source_digest, code_digest
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.procedure import Check, sentence_digest

NAME = "a_module_of_checks"
SOURCE = "def look(context):\n    return None\n"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Forget the module before and after each test."""
    yield
    sys.modules.pop(NAME, None)
    _source_digest.cache_clear()
    importlib.invalidate_caches()


def loaded(place: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(place))
    _source_digest.cache_clear()
    return importlib.import_module(NAME)


def test_a_folder_and_a_zip_file_have_one_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the SHA-256 of the source, also through the function for a vendor."""
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as packed:
        packed.writestr(f"{NAME}.py", SOURCE)

    module = loaded(tmp_path / "code.zip", monkeypatch)

    expected = sentence_digest(SOURCE)
    assert code_digest(Check("look", module.look)) == expected
    assert code_digest(Check("look", partial(module.look, "vendor"))) == expected
    sys.modules.pop(NAME)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"{NAME}.py").write_text(SOURCE)
    assert code_digest(Check("look", loaded(tmp_path / "folder", monkeypatch).look)) == expected


def test_without_source_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code alone has no digest, so no later run carries its results."""
    source = tmp_path / f"{NAME}.txt"
    source.write_text(SOURCE)
    (tmp_path / "compiled").mkdir()
    py_compile.compile(str(source), cfile=str(tmp_path / "compiled" / f"{NAME}.pyc"))
    source.unlink()

    assert code_digest(Check("look", loaded(tmp_path / "compiled", monkeypatch).look)) == ""


def test_every_check_that_spends_has_one() -> None:
    """Each check with a side effect names the code of its own module."""
    checks = [check for step in PROCEDURE.steps for check in step.checks if check.side_effect]

    assert {check.id for check in checks if check.always_has_side_effect} == {
        "console-holds-app-id",
        "test-calls-are-made",
    }
    assert all(code_digest(check) for check in checks)
