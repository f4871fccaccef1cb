"""`run`, `status`, `doctor` and `lab` with every kind of odd file: they end and name it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import runbook_lib.engine.doctor
import runbook_lib.engine.headless
import runbook_lib.walkthrough.lab
from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import build_notebook
from tests.support.odd_files import (
    FILES,
    FOLDERS,
    Shelf,
    ends_well,
    once_each,
    put,
    remove,
    time_limit,
)
from tests.support.wording import wording

pytestmark = pytest.mark.matrix

HOME = Path("evidence", "acme", PROCEDURE.id)
COMMANDS = {
    "run": ("run", "--tenant", "acme"),
    "status": ("status", "--tenant", "acme"),
    "inbox": ("inbox",),
    "confirm": ("confirm", "6", "--tenant", "acme", "--by", "Operator", "--yes"),
    "doctor": ("doctor",),
    "lab": ("lab", "--tenant", "acme"),
    "kit": ("kit", "--tenant", "acme", "--attach", "--by", "Operator"),
}
JOURNAL, STATE, KEY = (HOME / name for name in ("journal.jsonl", "state.json", "fingerprint.key"))
ENV = Path(".env")
NOTEBOOK, COPY = (Path(name, f"{PROCEDURE.id}.ipynb") for name in ("notebooks", "walkthrough"))
SIGNING_KEY = Path("home", "facebook-marketing-runbook", "signing-key.pem")
# The files that each command may open.
FILE_PLACES = {
    "run": (
        JOURNAL,
        STATE,
        KEY,
        ENV,
        NOTEBOOK,
        SIGNING_KEY,
        Path("requirements.lock"),
        *(HOME / name for name in ("journal.lock", "run.lock", "run.holder", "sealing.lock")),
        HOME / ".draft-0a1b2c3d",
        HOME / ".sealed-0a1b2c3d",
        Path("evidence", "keys", "0.pub.pem"),
    ),
    "status": (JOURNAL, STATE, KEY, ENV),
    "inbox": (JOURNAL, STATE, KEY, ENV),
    "confirm": (JOURNAL, STATE, KEY, ENV, HOME / "journal.lock"),
    "doctor": (ENV, NOTEBOOK, SIGNING_KEY),
    "lab": (JOURNAL, STATE, KEY, ENV, COPY),
    "kit": (JOURNAL, STATE, KEY, ENV, HOME / "journal.lock", Path("review-kit.md")),
}
FOLDER_PLACES = (
    Path("evidence"),
    Path("evidence", "acme"),
    HOME,
    Path("evidence", "keys"),
    Path("notebooks"),
    Path("walkthrough"),
    Path("home"),
)


class Server:
    """Replaces the server that `lab` starts; it ends at once."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code."""
        return 0


def _execute_nothing(*_: object, **__: object) -> str:
    return ""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project folder in which a tenant has one sealed run, made once per module."""
    path = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch, time_limit():
        patch.chdir(path)
        patch.setenv("XDG_DATA_HOME", str(path / "home"))
        patch.setattr("runbook_lib.engine.execution.execute_notebook", _execute_nothing)
        (path / ".env").write_text("RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\n")
        (path / ".env").chmod(0o600)
        (path / "requirements.lock").write_text("httpx\n")
        build_notebook(PROCEDURE, path / "notebooks")
        build_notebook(PROCEDURE, path / "walkthrough")
        assert CliRunner().invoke(main, COMMANDS["run"]).exit_code == 3
    return path


@pytest.fixture
def project(
    begun: Path, folder: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return a copy of it to work in; no kernel, server or network is used."""
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    monkeypatch.setattr("runbook_lib.engine.execution.execute_notebook", _execute_nothing)
    monkeypatch.setattr(
        runbook_lib.walkthrough.lab,
        "subprocess",
        SimpleNamespace(Popen=Server, TimeoutExpired=subprocess.TimeoutExpired),
    )
    monkeypatch.setattr(runbook_lib.engine.doctor, "_check_address", lambda *_: "answers")
    yield folder
    shelf.take_back()
    remove(*folder.iterdir())


@pytest.mark.matrix(30)
@pytest.mark.parametrize(
    ("command", "kind", "place"),
    [
        (command, *pair)
        for command, places in FILE_PLACES.items()
        for pair in once_each(FILES, places)
    ],
    ids=str,
)
def test_commands_end_when_a_file_is_odd(
    command: str, kind: str, place: Path, project: Path
) -> None:
    """
    Each command ends with an exit code of its contract when a file is a pipe, a device, huge or
    malformed.
    """
    put(FILES[kind], place)

    ends_well(*COMMANDS[command])


@pytest.mark.matrix(12)
@pytest.mark.parametrize(
    ("kind", "place"),
    once_each([kind for kind in FOLDERS if kind != "link to the root"], FOLDER_PLACES),
    ids=str,
)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_end_when_a_folder_is_odd(
    command: str, kind: str, place: Path, project: Path, shelf: Shelf
) -> None:
    """
    Each command ends with an exit code of its contract when a folder is odd, or is not a folder.
    """
    put(shelf.maker(kind), place)

    ends_well(*COMMANDS[command])


@pytest.mark.parametrize("kind", ["named pipe", "socket", "link to /dev/zero", "folder"])
@pytest.mark.parametrize("command", ["run", "status", "lab"])
def test_an_odd_journal_is_named(command: str, kind: str, project: Path) -> None:
    """A journal that is not a regular file is named, and the command fails."""
    put(FILES[kind], HOME / "journal.jsonl")

    result = ends_well(*COMMANDS[command])

    assert result.exit_code != 0
    assert "journal.jsonl" in result.stderr
    assert wording("content-altered.not-a-file") in result.stderr
