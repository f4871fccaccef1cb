"""Tenant names, evidence folder and project folder."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbook_lib.config.workspace import (
    evidence_folder,
    folders_elsewhere,
    has_notebooks,
    project_folder,
    refuse_twin,
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


@pytest.mark.parametrize("name", ["Acme", "ACME", "aCme"])
def test_two_tenants_do_not_differ_in_case_only(tmp_path: Path, name: str) -> None:
    """A name that differs from a tenant's only in case is refused: Windows and macOS ignore it."""
    (tmp_path / "acme").mkdir()

    with refused(SettingsError, "twin", name="acme"):
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


def left(folder: Path, what: str) -> None:
    """Leave in a folder what makes one a project."""
    (folder / what).mkdir(parents=True, exist_ok=True)
    if what == "walkthrough":
        (folder / what / "facebook_marketing.ipynb").touch()


leftovers = pytest.mark.parametrize("what", ["notebooks", "walkthrough"])


@leftovers
@pytest.mark.parametrize("variable", ["HOME", "TMPDIR", "TEMP", "TMP"])
@pytest.mark.parametrize("is_link", [False, True])
def test_notebooks_in_a_home_or_temporary_folder_capture_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, variable: str, *, is_link: bool
) -> None:
    """It counts as the working directory alone; the search does not go on above it either."""
    end = tmp_path / "above" / "end"
    left(end, what)
    left(end.parent, "notebooks")
    (end / "work" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(end)
    monkeypatch.setenv(variable, str(tmp_path / "link" if is_link else end))

    for below in (end / "work", end / "work" / "deep"):
        assert project_folder_from(below) == below
    assert project_folder_from(end) == end
    left(end / "work", what)
    assert project_folder_from(end / "work" / "deep") == end / "work"


@leftovers
def test_a_home_folder_without_notebooks_ends_the_search_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Notebooks above it, such as in the folder of all homes, are nobody's project."""
    left(tmp_path, what)
    home = tmp_path / "ann"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))

    assert project_folder_from(home) == home
    assert project_folder_from(tmp_path) == tmp_path


@leftovers
def test_the_notebooks_in_a_home_folder_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A kernel works beside its notebook, and its project is the folder that `lab` was run in."""
    left(tmp_path, what)
    (tmp_path / what / "deep").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))

    assert project_folder_from(tmp_path / what) == tmp_path
    assert project_folder_from(tmp_path / what / "deep") == tmp_path / what / "deep"
    assert project_folder_from(tmp_path / "elsewhere") == tmp_path / "elsewhere"


@pytest.mark.parametrize("home", [None, "", "relative/home", "/nowhere/at/all", "/"])
def test_an_unusable_home_ends_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    """Without HOME the system's own record counts, and a name that is no folder is none."""
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("TMPDIR", "")
    left(tmp_path, "notebooks")
    (tmp_path / "work").mkdir()

    assert project_folder_from(tmp_path / "work") == tmp_path


def test_the_home_on_record_counts_whatever_home_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is run for somebody else often has another HOME; an unknown user has none."""
    left(tmp_path, "notebooks")
    (tmp_path / "work").mkdir()
    entry = SimpleNamespace(pw_dir=str(tmp_path))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: entry)
    assert project_folder_from(tmp_path / "work") == tmp_path / "work"

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert project_folder_from(tmp_path / "work") == tmp_path


@pytest.mark.parametrize("place", ["/", "/tmp", "/var/tmp", "/usr/tmp"])
def test_the_systems_own_folders_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The root and a temporary folder end the search, also if no variable names them."""
    monkeypatch.delenv("TMPDIR", raising=False)
    real = Path(os.path.realpath(place))

    def is_the_place(folder: Path) -> bool:
        return folder == real

    assert project_folder_from(tmp_path, is_the_place) == tmp_path
    if real.is_dir():
        assert project_folder_from(real, is_the_place) == real


def test_folders_elsewhere_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's if that is another one, and the evidence's if it is not below."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert folders_elsewhere(Path("evidence")) == ""
    assert folders_elsewhere(tmp_path / "work" / "mine") == ""
    said = f"Project folder: {tmp_path}/work. Evidence folder: {tmp_path}/mine."
    assert folders_elsewhere(Path("../mine")) == said

    left(tmp_path, "notebooks")
    said = f"Project folder: {tmp_path}. Evidence folder: {tmp_path}/evidence."
    assert folders_elsewhere(evidence_folder()) == said


def project_folder_from(place: Path, has_notebooks: Callable[[Path], bool] = has_notebooks) -> Path:
    """Return the project folder that a command finds when it starts in `place`."""
    before = Path.cwd()
    os.chdir(place)
    try:
        return project_folder(has_notebooks)
    finally:
        os.chdir(before)
