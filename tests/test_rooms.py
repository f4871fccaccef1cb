"""Rooms have budgets: one line above its own is a decision that somebody must make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import needs
from tools.rooms import ROOT, lines_of_rooms, main

pytestmark = needs("git")

CODE = "x = 1\n\n  \ny = 2\n"  # two lines that count


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone in which every room has two lines, and a budget of two."""
    rooms = ("runbook_lib", "runbook_lib/core", "facebook_cyclr_sandbox", "tools")
    for room in rooms:
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text(CODE)
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    budgets = "".join(f'"{room}" = 2\n' for room in rooms)
    (tmp_path / "tools" / "rooms.toml").write_text(budgets)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("runbook_lib/core/deep/b.py", "z = 3\n", 1),
        ("runbook_lib/b.toml", "z = 3\n", 1),
        ("facebook_cyclr_sandbox/http/b.html", "<p>\n", 1),
        ("tools/b/c.py", "z = 3\n", 1),
        ("runbook_lib/other/b.py", "z = 3\n", 1),
        ("runbook_lib/core/b.py", " \n\n", 0),
        ("runbook_lib/core/b.png", "z\n", 0),
        ("tests/b.py", "z = 3\n", 0),
        ("notebooks/b.ipynb", "{}\n", 0),
        ("package-lock.json", "{}\n", 0),
    ],
)
def test_one_line_above_a_budget_is_refused(clone: Path, name: str, text: str, code: int) -> None:
    """Exit code 1 for a line more than a room may have, or in a room without a budget."""
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text(text)
    assert main(clone) == 0  # what is not tracked does not count

    subprocess.run(["git", "add", name], cwd=clone, check=True)

    assert main(clone) == code


def test_the_table_says_by_how_much(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has lines, budget and what is over, room by room."""
    (clone / "runbook_lib/core/a.py").write_text(CODE * 4)

    main(clone)

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["runbook_lib/core", "8", "2", "6"] in rows
    assert ["runbook_lib", "2", "2"] in rows


def test_make_check_counts() -> None:
    """`make check` runs the count, of a tree in which each room has lines."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert " tests " in makefile.partition("\ncheck:")[2].splitlines()[0]
    assert " rooms " in makefile.partition("\ntests:")[2].partition("\n\n")[0]
    assert "-m tools.rooms\n" in makefile
    assert min(lines_of_rooms(ROOT).values()) > 100
