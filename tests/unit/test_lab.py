"""Opening the walkthrough: the right program, over fresh notebooks, in the person's Jupyter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from runbook_lib import lab
from runbook_lib.lab import open_lab
from runbook_lib.notebook.builder import build, stale
from runbook_lib.procedures.facebook_marketing import PROCEDURE


class Server:
    """Takes the place of JupyterLab's process; `ends` is what waiting for it comes to."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.env: dict[str, str] = {}
        self.ends: list[int | BaseException | type[BaseException]] = [0]
        self.is_told_to_end = False
        self.is_killed = False

    def __call__(self, command: list[str], *, env: dict[str, str]) -> Self:
        """Start."""
        self.command, self.env = command, env
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.clear()

    def wait(self, timeout: float | None = None) -> int:
        """End as told."""
        end = self.ends.pop(0)
        if isinstance(end, int):
            return end
        raise end

    def terminate(self) -> None:
        """Be told to end."""
        self.is_told_to_end = True

    def kill(self) -> None:
        """Be ended."""
        self.is_killed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Server:
    """Return the server that is started in place of the real one, in an empty project."""
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"):
        monkeypatch.delenv(name, raising=False)
    fake = Server()
    monkeypatch.setattr(subprocess, "Popen", fake)
    return fake


def opened(*arguments: str, is_app: bool = False, **variables: str) -> int:
    return open_lab(variables, is_app=is_app, arguments=arguments)


def test_jupyterlab_opens_the_first_notebook(server: Server, folder: Path) -> None:
    """With the project as its root, so that evidence can be opened beside the notebooks."""

    assert opened("--no-browser", "--port", "8899") == 0

    first = f"{PROCEDURE.sections[0].id}.ipynb"
    assert server.command == [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"),
        f"--LabApp.default_url=/lab/tree/notebooks/{first}",
        *("--no-browser", "--port", "8899"),
    ]
    assert (folder / "notebooks" / first).is_file()


def test_people_who_do_not_know_jupyter_get_voila(server: Server, folder: Path) -> None:
    """The same notebooks, without their code; options go to voila."""

    opened("--no-browser", is_app=True)

    assert server.command == [
        *(sys.executable, "-m", "voila", str(folder / "notebooks"), "--template=runbook"),
        "--no-browser",
    ]


def test_the_servers_exit_code_is_returned(server: Server) -> None:
    """A port that is taken does not look like success."""

    server.ends = [1]

    assert opened() == 1


def test_kernels_inherit_what_was_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenant and evidence reach them beside the person's own environment, which stays theirs."""

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNBOOK_TENANT", "old")
    opened(RUNBOOK_TENANT="acme")

    assert server.env["RUNBOOK_TENANT"] == "acme"
    assert server.env["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert os.environ["RUNBOOK_TENANT"] == "old"


@pytest.mark.parametrize(
    ("name", "ours"), [("JUPYTER_CONFIG_PATH", "labconfig"), ("JUPYTER_PATH", "voila")]
)
def test_the_persons_own_jupyter_paths_are_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, ours: str
) -> None:
    """Ours come beside them; where there are none, ours stand alone without an empty entry."""

    opened()
    (alone,) = server.env[name].split(os.pathsep)
    assert (Path(alone) / ours).is_dir()

    monkeypatch.setenv(name, os.pathsep.join(["/theirs", "/also/theirs"]))
    server.ends = [0]
    opened()
    assert server.env[name].split(os.pathsep) == [alone, "/theirs", "/also/theirs"]


@pytest.mark.parametrize("left", ["{}", "half a note", None])
def test_a_notebook_of_another_procedure_is_built_anew_and_kept(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str], left: str | None
) -> None:
    """Nobody walks through a procedure that has changed since, nor loses what was noted there."""

    first, path, _ = build(PROCEDURE, folder / "notebooks")
    mine = first.read_text(encoding="utf-8") + "\n"
    first.write_text(mine, encoding="utf-8")
    text = left or path.read_text(encoding="utf-8").replace(PROCEDURE.digest, "0" * 64)
    path.write_text(text, encoding="utf-8")
    opened()

    (kept,) = (folder / "notebooks").glob("*.bak.ipynb")
    assert kept.name.startswith(f"{path.stem}.")
    assert kept.read_text(encoding="utf-8") == text
    assert stale(PROCEDURE, folder / "notebooks") == [first]
    assert first.read_text(encoding="utf-8") == mine
    said = capsys.readouterr().err
    assert said.startswith(f"{path.name} was of another procedure")
    assert kept.name in said
    assert said.count("\n") == 1


def test_a_notebook_that_a_person_saved_is_left_alone(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With outputs, parameters and notes of theirs it is of this procedure still."""

    path = build(PROCEDURE, folder / "notebooks")[0]
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "My notes."})
    saved = json.dumps(document, indent=2)
    path.write_text(saved, encoding="utf-8")
    opened()

    assert path.read_text(encoding="utf-8") == saved
    assert capsys.readouterr().err == ""


def test_fresh_notebooks_are_left_alone(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What need not be written is not written: the folder may be read-only."""

    build(PROCEDURE, folder / "notebooks")

    def refuse(*_: Any) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(lab, "build", refuse)

    assert opened() == 0


def test_an_interrupted_server_is_told_to_end(server: Server) -> None:
    """It is asked, and waited for, so that it ends its kernels; then the interruption goes on."""

    server.ends = [KeyboardInterrupt, 0]

    with pytest.raises(KeyboardInterrupt):
        opened()

    assert server.is_told_to_end
    assert server.ends == []
    assert not server.is_killed


def test_a_server_that_does_not_end_is_killed(server: Server) -> None:
    """Nobody has to press Ctrl+C twice, or to look for a process that is left."""

    server.ends = [KeyboardInterrupt, subprocess.TimeoutExpired("jupyterlab", 20)]

    with pytest.raises(KeyboardInterrupt):
        opened()

    assert server.is_told_to_end
    assert server.is_killed


def test_a_server_that_ends_by_itself_is_not_told(server: Server) -> None:
    """Only an interruption ends what a person has opened."""

    opened()

    assert not server.is_told_to_end
