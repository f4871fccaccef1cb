"""The names that the package offers, and the example of its docstring."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import runbook_lib
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.engine.practice import practice
from runbook_lib.errors import SettingsError, UnknownTenantError
from tests.support.public_example import example

LOADED = """
import sys, runbook_lib
print(*(name for name in sys.modules if name.startswith("runbook_lib")))
"""


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` can be used, and `dir` lists no other."""
    assert {
        name for name in runbook_lib.__all__ if getattr(runbook_lib, name, None) is None
    } == set()
    assert dir(runbook_lib) == sorted(runbook_lib.__all__)
    with pytest.raises(AttributeError):
        _ = runbook_lib.engine_room  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_else() -> None:
    """A name's module is imported when the name is first used."""
    shown = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["runbook_lib"]


def test_the_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the docstring checks two steps, and its last line is the table of all."""
    code = example().replace("acme-h.cyclr.com", "connect.partner.test")
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    with practice("approved", PROCEDURE, FingerprintKey()) as sandbox:
        monkeypatch.setenv("RUNBOOK_ENV_FILE", str(sandbox.env_file))
        exec(compile(ast.Module(before, []), "example", "exec"), names)
        table = eval(compile(ast.Expression(last.value), "example", "eval"), names)

    outcomes = {line.id: line.outcome for line in table}
    assert outcomes["fb-08-redirect-uri"] == Outcome.VERIFIED
    assert outcomes["fb-13-app-id-and-secret"] == Outcome.NOT_RUN
    html = table._repr_html_()
    assert html.count("<tr>") == len(table) + 1
    assert [line.number for line in table if f"<td>{line.number}</td>" not in html] == []

    status = runbook_lib.status("acme")
    assert (status.tenant, status.outcome) == ("acme", RunOutcome.INCOMPLETE)
    assert {line.id: line.outcome for line in status.steps} == outcomes
    assert status.next_step in outcomes
    assert f"acme ({status.connector})" in status._repr_html_()


def test_a_tenant_without_journal_is_unknown(folder: Path) -> None:
    """`status` raises an error that names the tenant, and writes nothing."""
    with pytest.raises(UnknownTenantError) as caught:
        runbook_lib.status("nobody")

    assert "nobody" in str(caught.value)
    assert list(folder.iterdir()) == []


def test_an_error_text_is_explained() -> None:
    """`explain` says what a known text means; a guess says that it is one."""
    known = runbook_lib.explain("URL Blocked")
    guess = runbook_lib.explain("my customers see nothing")

    assert known.is_known
    assert known.document["errors"][0]["title"] == known.title
    assert str(known).splitlines() == [known.title, known.meaning, known.first]
    assert not guess.is_known
    with pytest.raises(SettingsError):
        runbook_lib.explain("...")
