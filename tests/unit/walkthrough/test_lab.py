"""Opening the walkthrough: the right program, with a person's own copy of the notebook."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from runbook_lib.config.settings import resolve
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine import practice as practising
from runbook_lib.engine.headless import RunRequest
from runbook_lib.engine.notebooks import build_notebook, is_outdated, is_stale, notebook_name
from runbook_lib.engine.practice import Practice
from runbook_lib.errors import SettingsError
from runbook_lib.walkthrough import lab
from runbook_lib.walkthrough.lab import LabRequest, open_lab, practise_in_lab
from tests.support.odd_files import FILES
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.sample_run import raising

NAME = notebook_name(PROCEDURE)
QUIET = "--Application.log_level=ERROR"
WORKSPACES = "--LabApp.workspaces_dir="


class Server:
    """Replaces JupyterLab's process; `ends` are the results of waiting for it, or one 0."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.env: dict[str, str] = {}
        self.folders: list[Path] = []
        self.ends: list[int | BaseException | type[BaseException]] = []
        self.is_terminated = False
        self.is_killed = False

    def __call__(self, command: list[str], *, env: dict[str, str]) -> Self:
        """Start."""
        self.ends = self.ends or [0]
        self.command = command
        self.env = env
        named = (word.rpartition("=")[2] for word in command if word.startswith(WORKSPACES))
        self.folders = [folder for folder in map(Path, named) if folder.is_dir()]
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.clear()

    def wait(self, timeout: float | None = None) -> int:
        """Return or raise the next of `ends`."""
        end = self.ends.pop(0)
        if isinstance(end, int):
            return end
        raise end

    def terminate(self) -> None:
        """Record the request to end."""
        self.is_terminated = True

    def kill(self) -> None:
        """Record the kill."""
        self.is_killed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Server:
    """Return the server that replaces the real one, in an empty project."""
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"):
        monkeypatch.delenv(name, raising=False)
    fake = Server()
    monkeypatch.setattr(subprocess, "Popen", fake)
    return fake


@pytest.fixture
def copies(folder: Path) -> Path:
    """Return the folder of people's copies of the notebook; it does not exist yet."""
    return folder / "walkthrough"


def request(*arguments: str, **more: Any) -> LabRequest:
    known = {"procedure": PROCEDURE, "tenant": "acme", "evidence": "", **more}
    return LabRequest(arguments=arguments, **known)


def opened(*arguments: str, heard: list[str] | None = None, **more: Any) -> int:
    return open_lab(request(*arguments, **more), say=([] if heard is None else heard).append)


@pytest.mark.parametrize(
    ("given", "is_quiet"),
    [
        ((), True),
        (("--debug",), False),
        (("--log-level=INFO",), False),
        (("--ServerApp.log_level", "10"), False),
    ],
)
@pytest.mark.parametrize("is_app", [True, False])
def test_the_servers_log_is_quiet_unless_a_level_is_given(
    server: Server, given: tuple[str, ...], is_quiet: bool, is_app: bool
) -> None:
    """The server logs errors only, unless a person asks for another level."""
    opened(*given, is_app=is_app)

    assert (QUIET in server.command) is is_quiet


def test_lab_names_the_page_and_how_to_begin_and_stop(server: Server) -> None:
    """The terminal says what opens, whose it is, how to begin and how to stop."""
    heard: list[str] = []
    opened(heard=heard)

    said = "\n".join(heard)
    assert wording("lab.press-start") in said
    assert wording("lab.tenant-and-connector", connector=PROCEDURE.title, tenant="acme") in said
    assert wording("lab.stop-with-ctrl-c") in said


def test_jupyterlab_opens_the_notebook(server: Server, folder: Path) -> None:
    """In an empty folder JupyterLab opens the copy of the notebook, and nothing else is written."""
    assert opened("--no-browser", "--port", "8899") == 0

    (workspaces,) = server.folders
    assert server.command == [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/doc/tree/walkthrough/{NAME}",
        f"{WORKSPACES}{workspaces}",
        "--KernelManager.transport_encryption=auto",
        QUIET,
        "--no-browser",
        "--port",
        "8899",
    ]
    assert [path.relative_to(folder) for path in folder.rglob("*")] == [
        Path("walkthrough"),
        Path("walkthrough", NAME),
    ]
    assert not is_stale(PROCEDURE, folder / "walkthrough" / NAME)


@pytest.mark.parametrize("end", [0, KeyboardInterrupt])
def test_the_layout_is_kept_as_long_as_the_server_runs(server: Server, end: Any) -> None:
    """JupyterLab keeps its layout in a folder of this server, which goes with it."""
    server.ends = [end, 0]

    with suppress(KeyboardInterrupt):
        opened()

    (workspaces,) = server.folders
    assert not workspaces.exists()


def test_the_built_notebook_is_never_opened_or_written(
    server: Server, folder: Path, copies: Path
) -> None:
    """A person works in a copy; the notebook in `notebooks/` is neither opened nor written."""
    built = build_notebook(PROCEDURE, folder / "notebooks")
    old = built.read_text(encoding="utf-8").replace(PROCEDURE.digest, "0" * 64)
    built.write_text(old, encoding="utf-8")

    for is_app in (False, True):
        assert opened(is_app=is_app) == 0
        assert not [word for word in server.command if "notebooks" in word]

    assert built.read_text(encoding="utf-8") == old
    assert [path.name for path in built.parent.iterdir()] == [NAME]
    assert not is_stale(PROCEDURE, copies / NAME)


def test_the_copy_is_found_from_its_folder(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder of the copy, the same copy is opened."""
    opened()
    monkeypatch.chdir(folder / "walkthrough")
    opened()

    assert f"--ServerApp.root_dir={folder}" in server.command
    assert [path.parent for path in folder.rglob("*.ipynb")] == [folder / "walkthrough"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tenant": "../x"}, "not-a-tenant-name"),
        ({"env_file": "none.env"}, "file-unreadable"),
        ({"environ": {"RUNBOOK_FACEBOOK_APP_ID": "x"}}, "app-id-digits"),
    ],
)
def test_invalid_settings_are_refused_before_anything_is_written(
    server: Server, folder: Path, given: dict[str, Any], said: str
) -> None:
    """Invalid settings are refused here, before a server starts or a file is written."""
    with refused(SettingsError, said):
        opened(**given)

    assert server.command == []
    assert list(folder.iterdir()) == []


def test_the_app_opens_pages_without_code(server: Server, folder: Path) -> None:
    """With `--app`, the same notebook is served as pages without code."""
    opened("--no-browser", is_app=True)

    assert server.command == [
        sys.executable,
        "-m",
        "runbook_lib.walkthrough.app_server",
        str(folder / "walkthrough"),
        f"--ServerApp.default_url=/voila/render/{NAME}",
        "--KernelManager.transport_encryption=auto",
        QUIET,
        "--no-browser",
    ]


@pytest.mark.parametrize(("ended", "code"), [(0, 0), (1, 2), (2, 2), (3, 2), (-9, 3), (-15, 3)])
def test_a_server_that_cannot_start_has_its_own_exit_code(
    server: Server, ended: int, code: int
) -> None:
    """A server that cannot start gives exit code 2, one that was killed 3."""
    server.ends = [ended]

    assert opened() == code


NO_PORT = "no-port"
NOT_HERE = "no-address-of-this-machine"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "*"])
def test_an_address_of_this_machine_is_passed_on(server: Server, address: str) -> None:
    """An address of this machine is passed on to Jupyter unchanged."""
    assert opened(f"--ip={address}") == 0
    assert server.command[-1] == f"--ip={address}"


def put_3_gigabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 2**30)


ODD: dict[str, Callable[[Path], object]] = {
    **FILES,
    "folder with another": lambda path: (path / "in").mkdir(parents=True),
    "3 GB": put_3_gigabytes,
    "deeper JSON": lambda path: path.write_text("[" * 200_000, encoding="utf-8"),
}


@pytest.mark.parametrize("put", ODD.values(), ids=ODD)
def test_an_odd_file_is_renamed_and_the_notebook_built(
    server: Server, copies: Path, put: Callable[[Path], object]
) -> None:
    """A file in the notebook's place that is no notebook is renamed; a new notebook is built."""
    path = copies / NAME
    heard = list[str]()
    copies.mkdir()
    put(path)
    assert is_outdated(PROCEDURE, path)

    assert opened(heard=heard) == 0

    assert not is_stale(PROCEDURE, path)
    assert not path.is_symlink()
    (kept,) = copies.glob("*.bak.ipynb")
    assert kept.name in heard[0]
    assert not (copies / "nowhere").exists()


@pytest.mark.parametrize(("place", "fails"), [(lab, "build_notebook"), (Path, "replace")])
def test_a_notebook_that_cannot_be_written_is_an_error(
    server: Server, copies: Path, monkeypatch: pytest.MonkeyPatch, place: object, fails: str
) -> None:
    """A read-only project folder raises `SettingsError`, and no server starts."""
    copies.mkdir()
    (copies / NAME).write_text("{}", encoding="utf-8")
    denied = PermissionError(errno.EACCES, "Permission denied", str(copies))
    monkeypatch.setattr(place, fails, raising(denied))

    with refused(SettingsError, "notebook-not-written", reason="Permission denied") as caught:
        opened()
    assert str(copies) in caught.value.diagnostics()
    assert server.command == []


def test_kernels_inherit_what_was_given(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given arguments are set in the server's environment, not in that of this process."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNBOOK_TENANT", "old")
    monkeypatch.setenv("RUNBOOK_EVIDENCE", "kept")
    (folder / "my.env").write_text("RUNBOOK_FACEBOOK_APP_ID=1234567891011121\n", encoding="utf-8")
    opened(tenant="acme", env_file="my.env")

    assert server.env["RUNBOOK_TENANT"] == "acme"
    assert server.env["RUNBOOK_EVIDENCE"] == "kept"
    assert server.env["RUNBOOK_ENV_FILE"] == "my.env"
    assert server.env["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert os.environ["RUNBOOK_TENANT"] == "old"


@pytest.mark.parametrize(
    ("arguments", "more", "command"),
    [
        ((), {"evidence": ""}, "--tenant acme"),
        (
            ("--port=8899", "--ServerApp.token=hidden", "--ip", "0.0.0.0"),
            {"is_app": True, "env_file": "my settings", "evidence": "/srv/O'Neil"},
            "--tenant acme --evidence '/srv/O'\"'\"'Neil' --env-file 'my settings' --port 8899",
        ),
    ],
)
def test_the_kernels_know_how_to_start_it_again(
    server: Server, arguments: tuple[str, ...], more: dict[str, Any], command: str
) -> None:
    """The page can name the whole command, for a shell; other options may hold a password."""
    Path("my settings").write_text("RUNBOOK_FACEBOOK_GRAPH_VERSION=v26.0\n", encoding="utf-8")
    said = request(*arguments, program=".venv/bin/runbook", **more).command
    there = f"cd {shlex.quote(str(Path.cwd()))} &&"
    app = "--app " if more.get("is_app") else ""
    assert said == f"{there} .venv/bin/runbook lab {app}--connector facebook_marketing {command}"
    opened(*arguments, **{**more, "evidence": ""})
    assert server.env["RUNBOOK_LAB_COMMAND"].startswith(f"{there} runbook lab {app}--connector")
    assert "hidden" not in server.env["RUNBOOK_LAB_COMMAND"]
    ours = {name: text for name, text in server.env.items() if name.startswith("RUNBOOK_")}
    assert resolve((), environ=ours).values == {}


@pytest.mark.parametrize(
    "option", ["--no-browser", "--ServerApp.open_browser=False", "--LabApp.open_browser=False"]
)
@pytest.mark.parametrize("is_app", [True, False])
def test_without_a_browser_none_is_said_to_open(
    server: Server, option: str, *, is_app: bool
) -> None:
    """Whoever asks for no browser reads where the page is, not that it opens."""
    heard: list[str] = []
    opened(option, heard=heard, is_app=is_app)
    said = "\n".join(heard)
    assert "opens" not in said
    assert wording("lab.is-at-the-address") in said
    assert server.command[-1] == option


@pytest.mark.parametrize(
    ("name", "ours", "is_app"),
    [
        ("JUPYTER_CONFIG_PATH", "labconfig", False),
        ("JUPYTER_CONFIG_PATH", "labconfig", True),
        ("JUPYTER_PATH", "labextensions", False),
        ("JUPYTER_PATH", "voila", True),
    ],
)
def test_the_persons_own_jupyter_paths_are_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, ours: str, *, is_app: bool
) -> None:
    """The runbook's folder is put before the person's Jupyter paths, without an empty entry."""
    opened(is_app=is_app)
    (alone,) = server.env[name].split(os.pathsep)
    assert (Path(alone) / ours).is_dir()

    monkeypatch.setenv(name, os.pathsep.join(["/theirs", "/also/theirs"]))
    opened(is_app=is_app)
    assert server.env[name].split(os.pathsep) == [alone, "/theirs", "/also/theirs"]


@pytest.mark.parametrize("left", ["{}", "half a note", None])
def test_an_outdated_notebook_is_renamed_and_built_again(
    server: Server, copies: Path, left: str | None
) -> None:
    """An outdated copy is renamed with its content, and a new one is built."""
    path = build_notebook(PROCEDURE, copies)
    heard = list[str]()
    text = left or path.read_text(encoding="utf-8").replace(PROCEDURE.digest, "0" * 64)
    path.write_text(text, encoding="utf-8")
    opened(heard=heard)

    (kept,) = copies.glob("*.bak.ipynb")
    assert kept.name.startswith(f"{path.stem}.")
    assert kept.read_text(encoding="utf-8") == text
    assert not is_stale(PROCEDURE, path)
    assert heard[0].startswith(wording("lab.notebook-of-another-procedure", file=path.name))
    assert kept.name in heard[0]


def test_a_saved_notebook_is_not_changed(server: Server, copies: Path) -> None:
    """A copy with a person's outputs, parameters and notes is not changed."""
    path = build_notebook(PROCEDURE, copies)
    heard = list[str]()
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"][1]["source"] = 'service_domain = "acme-h.cyclr.com"'
    document["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "My notes."})
    saved = json.dumps(document, indent=2)
    path.write_text(saved, encoding="utf-8")
    opened(heard=heard)

    assert path.read_text(encoding="utf-8") == saved
    assert heard[0].startswith("JupyterLab opens")
    assert list(copies.iterdir()) == [path]


def test_a_fresh_copy_is_not_written(
    server: Server, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh copy is not written again, so the folder may be read-only."""
    build_notebook(PROCEDURE, copies)
    monkeypatch.setattr(lab, "build_notebook", raising(AssertionError("built")))

    assert opened() == 0


@pytest.fixture
def sandboxes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[FingerprintKey]:
    """Return the keys with which sandboxes were started; no real one starts."""
    keys: list[FingerprintKey] = []

    @contextmanager
    def fake(scenario: str, _procedure: Procedure, key: FingerprintKey) -> Iterator[Practice]:
        keys.append(key)
        env_file = folder / "sandbox.env"
        env_file.write_text("RUNBOOK_FACEBOOK_GRAPH_URL=http://127.0.0.1:9\n", encoding="utf-8")
        yield Practice(
            scenario, str(env_file), "attestations.toml", "operator@example.com / a password"
        )

    monkeypatch.setattr(lab, "practice", fake)
    return keys


def practise(
    heard: list[str] | None = None, scenario: str = "approved", *, tenant: str = "", **more: Any
) -> int:
    asked = request(evidence="evidence", tenant=tenant, **more)
    return practise_in_lab(scenario, asked, say=([] if heard is None else heard).append)


def test_practice_leaves_the_real_settings_out(
    server: Server, sandboxes: list[FingerprintKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels get the sandbox's settings file, and no credential from the environment."""
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_SECRET", APP_SECRET)
    monkeypatch.setenv("RUNBOOK_ENV_FILE", "real.env")
    before = dict(os.environ)

    assert practise() == 0

    assert "RUNBOOK_FACEBOOK_APP_SECRET" not in server.env
    assert server.env["RUNBOOK_ENV_FILE"].endswith("sandbox.env")
    assert server.env["RUNBOOK_TENANT"] == "sandbox-approved"
    assert server.env["RUNBOOK_LAB_COMMAND"] == (
        f"cd {Path.cwd()} && runbook lab --sandbox approved --connector facebook_marketing "
        "--tenant sandbox-approved --evidence evidence"
    )
    assert dict(os.environ) == before


def test_practising_again_uses_the_same_app(
    server: Server, sandboxes: list[FingerprintKey]
) -> None:
    """Practice of a tenant uses the same app, and says that earlier work counts."""
    heard: list[list[str]] = [[], [], []]
    for number, tenant in enumerate(("mine", "mine", "other")):
        practise(heard[number], tenant=tenant)
        journal_path(Path("evidence"), tenant, PROCEDURE.id).touch()

    first, again, other = sandboxes
    assert first == again != other
    said = ["\n".join(lines) for lines in heard]
    is_known = [wording("lab.earlier-work-counts", tenant="mine") in text for text in said]
    assert is_known == [False, True, False]
    assert all(
        wording("lab.sandbox-log-in", name="operator@example.com", password="a password") in text
        for text in said
    )


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """Return the requests of headless runs; none is performed, and each has settled one step."""
    requests: list[RunRequest] = []

    def fake(request: RunRequest, _listener: Any) -> Any:
        requests.append(request)
        steps = [SimpleNamespace(is_settled=not number) for number in range(3)]
        return SimpleNamespace(state=SimpleNamespace(steps=steps))

    monkeypatch.setattr(practising, "run_tenant", fake)
    return requests


def test_practice_begins_in_the_state_of_its_scenario(
    server: Server, sandboxes: list[FingerprintKey], headless: list[RunRequest]
) -> None:
    """For a new tenant a headless run does the steps before, in this sandbox; later none does."""
    heard = list[str]()
    practise(heard, "review-pending")
    (before,) = headless

    assert (before.tenant, before.evidence) == ("sandbox-review-pending", "evidence")
    assert before.env_file == server.env["RUNBOOK_ENV_FILE"]
    assert (before.attestations, before.key) == ("attestations.toml", sandboxes[0])
    assert wording("lab.steps-done", done=1, steps=3) in heard
    journal_path(Path("evidence"), "sandbox-review-pending", PROCEDURE.id).touch()
    practise(scenario="review-pending")
    assert headless == [before]


@pytest.mark.parametrize("scenario", ["approved", "fresh"])
def test_practice_of_the_whole_procedure_begins_with_its_first_step(
    server: Server, sandboxes: list[FingerprintKey], headless: list[RunRequest], scenario: str
) -> None:
    """These scenarios are for somebody who does every step."""
    assert practise(scenario=scenario) == 0
    assert headless == []


LATE = subprocess.TimeoutExpired("jupyterlab", 20)


@pytest.mark.parametrize(
    ("ends", "is_terminated", "is_killed"),
    [
        # On an interruption the server is terminated and waited for.
        ([KeyboardInterrupt, 0], True, False),
        # One that does not end in time is killed.
        ([KeyboardInterrupt, LATE], True, True),
        # One that ends by itself is not terminated.
        ([0], False, False),
    ],
)
def test_no_server_is_left(
    server: Server, ends: list[Any], is_terminated: bool, is_killed: bool
) -> None:
    """A server ends with its terminal, and the interruption is raised."""
    server.ends = list(ends)

    with pytest.raises(KeyboardInterrupt) if is_terminated else nullcontext():
        opened()

    assert (server.is_terminated, server.is_killed) == (is_terminated, is_killed)
    assert server.ends == []
