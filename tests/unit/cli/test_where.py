"""
Which folders and settings file a command finds by itself.

`run`, `lab`, `watch` and `doctor` name them if they are not in the working directory, and refuse a
file that another user owns or can write.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode
from tests.support.commands import runbook
from tests.support.wording import wording


@pytest.fixture
def below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a project's folder of notebooks."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "facebook_marketing.ipynb").touch()
    monkeypatch.chdir(folder / "notebooks")
    return folder / "notebooks"


# Each ends before it does anything: the Service Domain is missing, or this is no tenant's name.
COMMANDS = [("run",), ("run", "--json"), ("lab", "--tenant", "../x"),
            ("lab", "--sandbox", "--tenant", "../x")]  # fmt: skip
commands = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def said(folder: Path, evidence: Path) -> str:
    return f"Project folder: {folder}. Evidence folder: {evidence}."


@commands
def test_a_command_below_its_project_says_where_that_is(
    below: Path, words: tuple[str, ...]
) -> None:
    """On stderr, first of all: what programs read stays as it is."""
    result = runbook(*words)

    project = below.parent
    assert result.stderr.splitlines()[0] == said(project, project / "evidence")
    assert "Project folder" not in result.stdout


@commands
def test_a_command_in_its_project_says_nothing_of_it(folder: Path, words: tuple[str, ...]) -> None:
    """A command names no folder if all files are below the working directory."""
    (folder / "notebooks").mkdir()

    assert "Project folder" not in runbook(*words).output
    assert "Project folder" not in runbook(*words, "--evidence", "mine").output


@commands
def test_evidence_elsewhere_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Whether an option, a variable or the settings file names it."""
    work = folder / "work"
    there = folder / "there"
    work.mkdir()
    monkeypatch.chdir(work)

    assert runbook(*words, "--evidence", "../there").stderr.startswith(said(work, there))
    monkeypatch.setenv("RUNBOOK_EVIDENCE", str(there))
    assert runbook(*words).stderr.startswith(said(work, there))
    monkeypatch.delenv("RUNBOOK_EVIDENCE")
    (work / ".env").touch(mode=0o600)
    (work / ".env").write_text(f"RUNBOOK_EVIDENCE={there}\n")
    is_practice = "--sandbox" in words  # whose settings are its own
    assert runbook(*words).stderr.startswith(said(work, there)) is not is_practice


def test_a_run_below_its_project_gives_its_record_alone(below: Path) -> None:
    """With `--json` stdout is the record, and the evidence is where stderr says it is."""
    result = runbook("run", "--sandbox", "fresh", "--json")

    assert json.loads(result.stdout)["sandbox"] is True
    project = below.parent
    assert said(project, project / "evidence") in result.stderr
    assert list((project / "evidence").glob("sandbox-fresh/*/2*/record.json"))
    assert [path.name for path in below.iterdir()] == ["facebook_marketing.ipynb"]


@pytest.mark.parametrize("is_below", [True, False])
def test_the_doctor_names_both_folders(below: Path, *, is_below: bool) -> None:
    """As a row, and as fields for programs."""
    project = below.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below if is_below else project)
        found = {
            one["subject"]: one["message"] for one in json.loads(runbook("doctor", "--json").stdout)
        }
        shown = runbook("doctor").stdout

    which = "a parent of the working directory" if is_below else "the working directory"
    assert found["Project folder"] == f"{project}, {which}"
    evidence = project / "evidence" if is_below else Path("evidence")
    assert found["Evidence folder"] == wording("doctor.can-be-written", folder=evidence)
    assert "Project folder" in shown


STRANGER = 4711
GiveAway = Callable[[Path], None]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> GiveAway:
    """Return a function that lets a file belong to another user; for all but root, it seems so."""
    given_away: set[str] = set()
    stat = Path.stat

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        given_away.add(str(path))

    def stat_of_a_stranger(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        status = stat(path, follow_symlinks=follow_symlinks)
        if (os.path.realpath(path) if follow_symlinks else str(path)) not in given_away:
            return status
        return os.stat_result([*status[:4], STRANGER, STRANGER, *status[6:10]])

    if os.geteuid() != 0:
        monkeypatch.setattr(Path, "stat", stat_of_a_stranger)
    return give


def write_settings(path: Path, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("RUNBOOK_CYCLR_SERVICE_DOMAIN=nowhere.invalid\n")
    path.chmod(mode)
    return path


# Each reads the settings first, and then ends: this is no tenant's name, nothing answers.
READERS = [
    ("run",),
    ("lab", "--tenant", "../x"),
    ("watch", "--once"),
    ("doctor", "--json"),
    ("key",),
    ("connections",),
]
readers = pytest.mark.parametrize("words", READERS, ids=" ".join)


@readers
def test_a_strangers_settings_above_are_not_read(
    give_away: GiveAway, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Nothing above the working directory is looked for, so no `.env` of a stranger counts."""
    give_away(write_settings(folder / ".env"))
    (folder / "notebooks").mkdir()
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")

    assert str(folder / ".env") not in runbook(*words).output
    assert "nowhere.invalid" not in runbook(*words).output


@readers
@pytest.mark.parametrize("is_below", [True, False])
def test_a_strangers_settings_here_are_refused(
    give_away: GiveAway,
    below: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    *,
    is_below: bool,
) -> None:
    """Also in a sticky temporary folder; the command that sets it right is printed."""
    path = write_settings(below.parent / ".env")
    give_away(path)
    below.parent.chmod(0o1777)
    monkeypatch.chdir(below if is_below else below.parent)

    result = runbook(*words)
    assert result.exit_code == ExitCode.USAGE
    assert f"chown {pwd.getpwuid(os.geteuid()).pw_name} {path}" in result.output
    named = runbook(*words, "--env-file", str(path))
    assert "chown" not in named.output


@pytest.mark.parametrize(
    ("mode", "command"),
    [
        (0o600, ""),
        (0o644, ""),
        (0o664, ""),
        (0o666, "chmod go-w"),
        (0o602, "chmod go-w"),
    ],
)
def test_settings_that_others_can_write_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int, command: str
) -> None:
    """A group that is the user's alone, as with umask 002, is accepted."""
    path = write_settings(folder / ".env", mode)
    user = pwd.getpwuid(os.geteuid())
    os.chown(path, -1, user.pw_gid)
    own_group = grp.struct_group((user.pw_name, "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: own_group)

    output = runbook("run").output
    assert (f"{command} {path}" in output) == bool(command), output
    assert ("chmod" in output) == bool(command)


@pytest.mark.parametrize("is_named_like_the_user", [True, False])
def test_a_group_of_several_users_may_not_write_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_named_like_the_user: bool
) -> None:
    """The primary group counts as the user's own if it has the user's name."""
    path = write_settings(folder / ".env", 0o660)
    user = pwd.getpwuid(os.geteuid())
    os.chown(path, -1, user.pw_gid)
    name = user.pw_name if is_named_like_the_user else "users"
    entry = grp.struct_group((name, "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: entry)

    assert (f"chmod go-w {path}" in runbook("run").output) is not is_named_like_the_user


def test_root_accepts_the_files_of_the_working_folders_owner(
    give_away: GiveAway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's root works in a mounted folder whose files belong to its owner."""
    give_away(write_settings(folder / ".env"))
    give_away(folder)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert "chown" not in runbook("run").output


@pytest.mark.parametrize("is_target", [True, False])
def test_a_link_counts_with_its_target(
    give_away: GiveAway, folder: Path, *, is_target: bool
) -> None:
    """The settings are refused if another user owns the link, or the file that it leads to."""
    target = write_settings(folder / "there" / "settings", 0o644)
    link = folder / ".env"
    link.symlink_to(target)
    assert "chown" not in runbook("run").output

    give_away(target if is_target else link)
    user = pwd.getpwuid(os.geteuid()).pw_name
    expected = f"chown {user} {target}" if is_target else f"chown -h {user} {link}"
    assert expected in runbook("run").output


@pytest.mark.parametrize("name", ["", "facebook_marketing.ipynb"])
@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("run", "--sandbox", "fresh"), "notebooks"),
        (("lab",), "walkthrough"),
        (("doctor", "--json"), "notebooks"),
    ],
)
def test_a_strangers_notebook_is_not_executed(
    give_away: GiveAway, folder: Path, words: tuple[str, ...], where: str, name: str
) -> None:
    """A notebook is code, so it is refused if another user can write it or its folder."""
    write_settings(folder / ".env")
    path = folder / where / name
    (folder / where).mkdir()
    (folder / where / "facebook_marketing.ipynb").touch()
    give_away(path)

    result = runbook(*words)
    assert result.exit_code == ExitCode.USAGE
    assert f"chown {pwd.getpwuid(os.geteuid()).pw_name} {path}" in result.output


@pytest.mark.parametrize(
    "words",
    [("run",), ("lab", "--tenant", "../x"), ("watch", "--once"), ("doctor", "--json")],
    ids=" ".join,
)
@pytest.mark.parametrize("is_named", [True, False])
def test_the_settings_file_is_named_if_it_is_elsewhere(
    below: Path, words: tuple[str, ...], *, is_named: bool
) -> None:
    """Found in the folder above, or named by `--env-file`; in the working folder it goes unsaid."""
    path = write_settings(below.parent / (".env" if not is_named else "other.env"))
    more = ("--env-file", str(path)) if is_named else ()

    assert str(path) in runbook(*words, *more).output
    if "doctor" not in words:
        (below / ".env").touch(mode=0o600)
        assert "Settings file" not in runbook(*words).output
