"""Where fleets' runs are found; tests/runs/test_fleet.py verifies real ones, and altered ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import SettingsError
from runbook_lib.evidence.verify.fleet import fleets_below
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Trust


def place(evidence: Path, name: str) -> Path:
    """Write a record that is none, and return its folder."""
    folder = evidence / "fleet" / name
    folder.mkdir(parents=True)
    (folder / "fleet.json").write_text("{}")
    return folder


def test_runs_are_found_at_or_under_a_path(tmp_path: Path) -> None:
    """The evidence folder, its folder of fleets, and a run itself name the same runs."""

    first, second = place(tmp_path, "2026-a"), place(tmp_path, "2026-b")
    (tmp_path / "fleet" / "empty").mkdir()

    assert list(fleets_below(tmp_path)) == [first, second]
    assert list(fleets_below(tmp_path / "fleet")) == [first, second]
    assert list(fleets_below(second)) == [second]
    assert list(fleets_below(tmp_path / "nowhere")) == []


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    """What stands where a fleet's record should is named, and nothing else is lost."""

    place(tmp_path, "2026-a")
    (verdict,) = verify_tree(tmp_path, Trust({}))

    assert "is not a fleet's" in str(verdict.error)


def test_a_link_to_fleets_is_refused(tmp_path: Path) -> None:
    """A link in place of the folder is not followed, and is not passed over."""

    place(tmp_path / "other", "2026-a")
    (tmp_path / "fleet").symlink_to(tmp_path / "other" / "fleet")
    (verdict,) = [each for each in verify_tree(tmp_path, Trust({})) if each.path.name == "fleet"]

    assert "links are not followed" in str(verdict.error)


def test_without_fleets_there_is_no_evidence(tmp_path: Path) -> None:
    """An empty folder of fleets is no evidence."""

    (tmp_path / "fleet").mkdir()
    with pytest.raises(SettingsError, match="nothing is sealed there"):
        list(verify_tree(tmp_path, Trust({})))
