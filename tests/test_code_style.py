"""The code keeps the rules of CONTRIBUTING.md that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("runbook_lib", "facebook_cyclr_sandbox", "tools", "tests")
# A class with so many fields documents each at the field.
MANY_FIELDS = 5
_LITERALS = (ast.Tuple, ast.List, ast.Set)
CLAUSES = ("test_what_", "test_who_", "test_of_", "test_where_")


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return each Python file of the project with its syntax tree."""
    return tuple(
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts
    )


def undocumented_fields(tree: ast.AST) -> Iterator[str]:
    """Yield each field without a line of its own, in classes with many fields."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        places = [
            number
            for number, part in enumerate(node.body)
            if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part.annotation)
        ]
        if len(places) < MANY_FIELDS:
            continue
        for number in places:
            field = node.body[number]
            assert isinstance(field, ast.AnnAssign)
            following = node.body[number + 1] if number + 1 < len(node.body) else None
            has_line = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            # The record's JSON Schema takes its descriptions from the annotation.
            if not has_line and "Meta(description=" not in ast.unparse(field.annotation):
                yield f"{node.name}.{ast.unparse(field.target)}"


def splats_of_literals(tree: ast.AST) -> Iterator[str]:
    """Yield each `*(a, b)` in a call or a literal."""
    for node in ast.walk(tree):
        is_splat = isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load)
        if is_splat and isinstance(node.value, _LITERALS):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def texts_times_booleans(tree: ast.AST) -> Iterator[str]:
    """Yield each text that is multiplied by a condition instead of chosen by `if`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            if any(map(_is_text, sides)) and any(map(_is_condition, sides)):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def packed_assignments(tree: ast.AST) -> Iterator[str]:
    """Yield each assignment that gives several names a value of their own."""
    for node in ast.walk(tree):
        is_packed = isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        if is_packed and any(isinstance(target, ast.Tuple) for target in node.targets):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def imports_from_tests(tree: ast.AST) -> Iterator[str]:
    """Yield each import from a module of tests."""
    for node in ast.walk(tree):
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("tests.") and module.rpartition(".")[2].startswith("test_"):
            yield f"line {node.lineno}: {module}"


def names_that_are_clauses(tree: ast.AST) -> Iterator[str]:
    """Yield each test whose name begins like a clause, as `test_what_…`, and is no statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith(CLAUSES):
            yield f"line {node.lineno}: {node.name}"


def _is_text(node: ast.AST) -> bool:
    is_constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_constant or isinstance(node, ast.JoinedStr)


def _is_condition(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare | ast.BoolOp):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.Call):
        return _is_condition(node.func) or ast.unparse(node.func) in {"bool", "isinstance"}
    name = ""
    if isinstance(node, ast.Name):
        name = node.id
    elif isinstance(node, ast.Attribute):
        name = node.attr
    return name.lstrip("_").startswith(("is_", "has_", "can_"))


RULES = {
    "a line for each field": undocumented_fields,
    "no splat of literals": splats_of_literals,
    "no text times a condition": texts_times_booleans,
    "one assignment a line": packed_assignments,
    "nothing imported from a test": imports_from_tests,
    "a test's name is a statement": names_that_are_clauses,
}
BROKEN = {
    "a line for each field": "class Many:\n a: int\n 'A.'\n b: int\n c: int\n d: int\n e: int",
    "no splat of literals": "f(*(a, b))",
    "no text times a condition": "'mark ' * is_practice",
    "one assignment a line": "FIRST_WAIT, LONGEST_DAY = 5, 24",
    "nothing imported from a test": "from tests.unit.test_errors import helper",
    "a test's name is a statement": "def test_what_is_kept(): ...",
}


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_the_rule(rule: str) -> None:
    """No file of product, sandbox, tools and tests breaks the rule."""
    found = {file: [*RULES[rule](tree)] for file, tree in sources()}
    assert {file: places for file, places in found.items() if places} == {}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_seen(rule: str) -> None:
    """Each rule sees a line that breaks it, and accepts one that breaks another."""
    for name, text in BROKEN.items():
        assert bool([*RULES[rule](ast.parse(text))]) is (name == rule)
