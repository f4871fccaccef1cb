"""Tenant names, evidence folder and project folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook_lib.config.workspace import (
    evidence_folder,
    project_folder,
    refuse_twin,
    tenant_name,
)
from runbook_lib.errors import SettingsError
from runbook_lib.plain_text import first_unseen


@pytest.mark.parametrize("name", ["acme", "acme-h.cyclr.com", "a"])
def test_an_ordinary_tenant_name_is_accepted(name: str) -> None:
    """Letters, digits, dots and hyphens make a name."""
    assert tenant_name(name) == name


@pytest.mark.parametrize("name", ["keys", "Keys", "fleet", "FLEET"])
def test_a_folder_of_the_evidence_is_no_tenant(name: str) -> None:
    """No tenant has the name of the folder of keys or of fleets, in whatever case."""
    with pytest.raises(SettingsError, match=f"A tenant cannot be called {name}: that folder"):
        tenant_name(name)


@pytest.mark.parametrize("name", ["Acme", "ACME", "aCme"])
def test_two_tenants_do_not_differ_in_case_only(tmp_path: Path, name: str) -> None:
    """A name that differs from a tenant's only in case is refused: Windows and macOS ignore it."""
    (tmp_path / "acme").mkdir()

    with pytest.raises(SettingsError, match="There is a tenant called acme"):
        refuse_twin(tmp_path, name)
    refuse_twin(tmp_path, "acme")
    refuse_twin(tmp_path, "bloom")
    refuse_twin(tmp_path / "nowhere", name)


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


def test_a_project_folder_has_notebooks(folder: Path) -> None:
    """A folder called walkthrough is the project's only if it has the notebooks."""
    below = folder / "work"
    below.mkdir()
    (folder / "walkthrough").mkdir()
    assert project_folder_from(below) == below

    (folder / "walkthrough" / "facebook_marketing.ipynb").touch()
    assert project_folder_from(below) == folder


def project_folder_from(place: Path) -> Path:
    """Return the project folder that a command finds when it starts in `place`."""
    before = Path.cwd()
    os.chdir(place)
    try:
        return project_folder()
    finally:
        os.chdir(before)
