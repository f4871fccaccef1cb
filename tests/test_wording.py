"""The table of sentences: each line is used, stands once, and each section is a known error."""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from pathlib import Path

import pytest

from runbook_lib.cli.main import main
from runbook_lib.errors import SettingsError
from tests.support.wording import refused, sentences
from tools.outcomes import error_classes

TESTS = Path(__file__).parent
# Sections that are no error's: commands, and the places where people read the sentences.
PLACES = {
    "advice",
    "findings",
    "index-page",
    "messages",
    "notebook",
    "reasons",
    "report",
    "sandbox",
    "screens",
    "terminal",
    "tests",
    "walkthrough",
}
KEYS = [f"{section}.{name}" for section, names in sentences().items() for name in names]


def test_each_section_is_known() -> None:
    """A section is an error's code, a class of Python's, a command, or where a text is read."""
    codes = {error.code for error in error_classes()}

    unknown = {
        section
        for section in sentences()
        if section not in codes | PLACES | set(main.commands) and not hasattr(builtins, section)
    }
    assert unknown == set()


def test_each_sentence_is_used() -> None:
    """Each name of the table is written in a test; a name nobody uses is deleted."""
    written = set()
    for path in TESTS.rglob("*.py"):
        written |= set(
            re.findall(r"""["'](?:[\w-]+\.)?([a-z][a-z0-9-]*)["']""", path.read_text("utf-8"))
        )

    unused = [key for key in KEYS if key.partition(".")[2] not in written]
    assert unused == []


def test_each_sentence_stands_once() -> None:
    """No sentence has two keys, so a rewording is one line."""
    counts = Counter(sentence for names in sentences().values() for sentence in names.values())

    assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_a_denied_sentence_is_asserted_elsewhere() -> None:
    """A reworded sentence would pass every `not in`; so some test asserts that it is shown."""
    asserted = set()
    denied = set()
    for path in TESTS.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        left = {
            id(node)
            for compared in ast.walk(tree)
            if isinstance(compared, ast.Compare) and isinstance(compared.ops[0], ast.NotIn)
            for node in ast.walk(compared.left)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = denied if id(node) in left else asserted
                names.add(node.value.rpartition(".")[2])

    names = {key.partition(".")[2] for key in KEYS}
    assert (denied - asserted) & names == set()


@pytest.mark.parametrize(
    "raised",
    [
        SettingsError("another sentence"),
        SettingsError("shot.png is neither a picture nor a PDF", code="another-code"),
    ],
)
def test_another_sentence_or_code_is_noticed(raised: SettingsError) -> None:
    """`refused` fails if the sentence or the code is another one."""
    with (
        pytest.raises(AssertionError),
        refused(SettingsError, "attachment-not-supported", name="shot.png"),
    ):
        raise raised
