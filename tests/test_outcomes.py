"""Codes of findings and errors: each is listed once, with what to do, in docs/outcomes.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runbook_lib.core.model import Outcome
from tools.outcomes import PACKAGE, PAGE, error_classes, finding_codes, named_codes, page

CODES = finding_codes()
CODE = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
# Arguments that name an outcome in a call that makes a finding.
OUTCOME_OF = {
    "verified": Outcome.VERIFIED,
    "inconclusive": Outcome.INCONCLUSIVE,
    "waiting": Outcome.WAITING,
    "not_done": Outcome.NOT_RUN,
    "failed": Outcome.FAILED,
}
# Functions that may make a finding with the outcome *failed*.
GATE = Path("connectors/findings.py")


def test_the_page_is_made_from_the_codes() -> None:
    """docs/outcomes.md is what `make outcomes` writes."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("folder", CODES)
def test_every_code_is_used_and_explained(folder: str) -> None:
    """Each code has a form, known outcomes, a meaning, and what to do unless it is verified."""
    changed = {row.get("after_verified", "") for rows in CODES.values() for row in rows.values()}
    used = {"cyclr-credentials-refused", *changed}.union(*named_codes().values())
    assert CODES[folder].keys() <= used
    for code, row in CODES[folder].items():
        assert CODE.fullmatch(code)
        assert row["outcomes"] == [str(Outcome(name)) for name in row["outcomes"]]
        assert row["means"].endswith(".")
        assert ("advice" in row) is (row["outcomes"] != ["verified"]), code


@pytest.mark.parametrize("folder", named_codes())
def test_every_code_in_the_source_is_listed(folder: str) -> None:
    """No check uses a code that its package, or the generic list, does not explain."""
    known = {**CODES["connectors"], **CODES.get(folder, {})}
    assert named_codes()[folder] <= known.keys()


def test_every_finding_has_the_outcome_of_its_code() -> None:
    """The function that makes a finding agrees with the outcomes that its code is listed with."""
    for path in PACKAGE.rglob("connectors/**/*.py"):
        listed = {**CODES["connectors"], **CODES.get(path.parent.name, {})}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            outcome = OUTCOME_OF.get(node.func.id)
            codes = [word.value for word in node.keywords if word.arg == "code"]
            if outcome and codes and isinstance(codes[0], ast.Constant):
                assert outcome in listed[codes[0].value]["outcomes"], (path.name, codes[0].value)


def test_every_class_of_errors_has_a_code_of_its_own() -> None:
    """Each class of errors has a code in kebab-case that no other error and no finding has."""
    codes = [error.code for error in error_classes()]
    assert all(CODE.fullmatch(code) for code in codes)
    assert len(codes) == len({*codes})
    assert not {*codes} & set().union(*(rows.keys() for rows in CODES.values()))
    assert all("code" in vars(error) for error in error_classes())


def test_only_the_gate_makes_a_failed_finding() -> None:
    """No check says *failed* without a proof: only `findings.failed` names that outcome."""
    naming = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("connectors/**/*.py")
        if "Outcome.FAILED" in path.read_text(encoding="utf-8")
    }
    # The pages of a review are sorted by their outcomes.
    assert naming == {GATE, Path("connectors/facebook/public_pages.py")}
