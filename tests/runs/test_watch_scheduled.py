"""cron, a systemd timer and CI start the watch as docs/watch.md prints it."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.operations.watch.watch_state import last_polled_on
from tests.runs.conftest import ROOT

PATIENCE = 240
PRINTED = "/srv/runbook"
FENCE = re.compile(r"^```(text|ini|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATHS = {"cron": "/usr/bin:/bin", "systemd": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}


@dataclass
class Installation:
    """A folder with `.env`, a tenant and `.venv/bin/runbook`, in the place of the printed one."""

    folder: Path
    watch_file: Path
    tenant: str

    def printed(self, language: str) -> str:
        """Return the only block of docs/watch.md in that language, with this folder in it."""
        text = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
        (block,) = [block for name, block in FENCE.findall(text) if name == language]
        assert PRINTED in block
        return str(block).replace(PRINTED, str(self.folder))

    def run(self, words: list[str], folder: Path, env: Mapping[str, str]) -> int:
        """Run a command with no other environment; return its exit code."""
        done = subprocess.run(
            words, cwd=folder, env=dict(env), capture_output=True, text=True,
            timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("", "")
        return done.returncode


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("srv")
    program = folder / ".venv" / "bin" / "runbook"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec "{sys.executable}" -m runbook_lib "$@"\n'
    )
    program.chmod(0o755)
    with Sandbox("approved", seed=2) as sandbox:
        items = [(item, sandbox.settings(item.provider)) for item in inputs_of(PROCEDURE)]
        lines = [f'{i.variable}="{known[i.name]}"\n' for i, known in items if known.get(i.name)]
        (folder / ".env").write_text("".join(lines))
        run = open_run(
            PROCEDURE, {}, mode=Mode.INTERACTIVE, evidence=str(folder / "evidence"),
            env_file=str(folder / ".env"),
        )  # fmt: skip
        run.start()
        run.close()
        yield Installation(folder, folder / "evidence" / "watch.db", f"{PROCEDURE.id}/{run.tenant}")


@pytest.fixture(autouse=True)
def _first_look(installation: Installation) -> Iterator[None]:
    """Let each test's look be the first, and see that it took place."""
    installation.watch_file.unlink(missing_ok=True)
    yield
    assert last_polled_on(installation.watch_file.parent, installation.tenant)


def test_cron_looks(installation: Installation, tmp_path: Path) -> None:
    """The crontab's line runs in cron's shell, folder and environment, and prints nothing."""
    *times, command = installation.printed("text").strip().split(maxsplit=5)
    env = {"PATH": PATHS["cron"], "HOME": str(tmp_path), "SHELL": "/bin/sh", "LOGNAME": "runbook"}

    assert len(times) == 5
    # NOTE: a % ends a crontab's command (crontab(5)).
    assert "%" not in command
    assert installation.run(["/bin/sh", "-c", command], tmp_path, env) == 0


def test_a_systemd_timer_looks(installation: Installation, tmp_path: Path) -> None:
    """Both units are valid, and the service's command succeeds in an empty environment."""
    _, *parts = re.split(r"^# (\S+\.(?:service|timer))\n", installation.printed("ini"), flags=re.M)
    units = dict(zip(parts[::2], parts[1::2], strict=True))
    parsed: dict[str, Any] = {}
    for name, text in units.items():
        (tmp_path / name).write_text(text)
        parsed[name] = configparser.ConfigParser(interpolation=None)
        parsed[name].optionxform = str
        parsed[name].read_string(text)
    service = parsed["runbook-watch.service"]
    timer = parsed["runbook-watch.timer"]
    if shutil.which("systemd-analyze"):
        for words in (
            ["verify", "--man=no", *(str(tmp_path / name) for name in units)],
            ["calendar", timer["Timer"]["OnCalendar"]],
        ):
            checked = subprocess.run(
                ["systemd-analyze", *words], capture_output=True, text=True, check=False,
                timeout=PATIENCE,
            )  # fmt: skip
            assert checked.returncode == 0, checked.stderr

    started = service["Service"]
    code = installation.run(
        shlex.split(started["ExecStart"]), Path(started["WorkingDirectory"]),
        {"PATH": PATHS["systemd"]},
    )  # fmt: skip
    assert (set(parsed), code) == ({"runbook-watch.service", "runbook-watch.timer"}, 0)
    assert started["Type"] == "oneshot"
    assert set(started["SuccessExitStatus"].split()) == {"1", "3"}
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_a_workflow_looks(installation: Installation, tmp_path: Path) -> None:
    """The workflow is valid YAML, and its only step runs as GitHub's runner starts it."""
    document = yaml.safe_load(installation.printed("yaml"))
    # NOTE: in YAML 1.1 `on` is a boolean.
    (schedule,) = document[True]["schedule"]
    (step,) = document["jobs"]["watch"]["steps"]
    script = tmp_path / "step.sh"
    script.write_text(step["run"])
    env = {"PATH": PATHS["systemd"], "HOME": str(tmp_path), "CI": "true"}

    assert len(schedule["cron"].split()) == 5
    assert "self-hosted" in document["jobs"]["watch"]["runs-on"]
    assert installation.run(["bash", "-e", str(script)], tmp_path, env) == 0
