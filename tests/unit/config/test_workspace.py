"""Tenant names, evidence folder and project folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.config.workspace import (
    evidence_folder,
    folders_elsewhere,
    project_folder,
    tenant_name,
)
from runbook_lib.errors import SettingsError
from runbook_lib.text import first_unseen
from tests.support.wording import refused


@pytest.mark.parametrize("name", ["acme", "acme-h.cyclr.com", "a"])
def test_an_ordinary_tenant_name_is_accepted(name: str) -> None:
    """Letters, digits, dots and hyphens make a name."""
    assert tenant_name(name) == name


@pytest.mark.parametrize("name", ["keys", "Keys", "fleet", "FLEET"])
def test_a_folder_of_the_evidence_is_no_tenant(name: str) -> None:
    """No tenant has the name of the folder of keys or of fleets, in whatever case."""
    with refused(SettingsError, "reserved-name", name=name):
        tenant_name(name)


def test_an_evidence_folder_may_be_missing_or_a_link(tmp_path: Path) -> None:
    """An evidence folder may not exist yet, and may be a link to a folder."""
    (tmp_path / "link").symlink_to(tmp_path)

    for folder in (tmp_path / "a" / "b", tmp_path / "link", tmp_path / "link" / "a"):
        assert evidence_folder(str(folder)) == folder


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        ("Zoë & Söhne", ""),
        ("\U0001f469\u200d\U0001f467", ""),
        ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ""),
        ("\u200dacme", "U+200D"),
        ("acme\u200c", "U+200C"),
        ("a\u200d\u200db", "U+200D"),
        ("a\u202eb", "U+202E"),
        ("a\tb", "U+0009"),
    ],
    ids=ascii,
)
def test_joiners_between_characters_are_visible_text(text: str, unseen: str) -> None:
    """A joiner between two characters is accepted; elsewhere it counts as invisible."""
    assert first_unseen(text) == unseen


@pytest.mark.parametrize("name", ["notebooks", "walkthrough"])
def test_the_project_is_the_working_folder_or_above_its_notebooks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A kernel works beside its notebook; from any other folder nothing above is looked at."""
    inside = folder / name
    (inside / "deep").mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert project_folder() == inside

    (inside / "facebook_marketing.ipynb").touch()
    assert project_folder() == folder
    monkeypatch.chdir(folder)
    assert project_folder() == folder
    monkeypatch.chdir(inside / "deep")
    assert project_folder() == inside / "deep"


def test_folders_elsewhere_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's if that is another one, and the evidence's if it is not below."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert folders_elsewhere(Path("evidence")) == ""
    assert folders_elsewhere(tmp_path / "work" / "mine") == ""
    said = f"Project folder: {tmp_path}/work. Evidence folder: {tmp_path}/mine."
    assert folders_elsewhere(Path("../mine")) == said

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "facebook_marketing.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    said = f"Project folder: {tmp_path}. Evidence folder: {tmp_path}/evidence."
    assert folders_elsewhere(evidence_folder()) == said
