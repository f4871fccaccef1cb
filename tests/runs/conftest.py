"""Starts `runbook` as a user does, watches its journal, and reads its evidence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import practice_attestations
from runbook_lib.core.clock import utc_now
from runbook_lib.run.journal import Journal, Line
from tests.support.loaded import LoadedCommand

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 240


@dataclass
class Process:
    """A running `runbook run`, and the journal that it writes."""

    popen: subprocess.Popen[str]
    journal: Journal

    def wait_for(self, event: str, step: str = "") -> Line:
        """Return the first journal line of this type, as soon as it is written."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end and self.popen.poll() is None:
            for line in self.journal.read_all():
                if (line.head.type, line.head.step) == (event, step):
                    return line
            # Another process writes it.
            time.sleep(0.02)
        output, errors = self.popen.communicate(timeout=_PATIENCE_SECONDS)
        raise AssertionError(f"no {event} {step} in the journal; output: {output} {errors}")

    def cells(self) -> psutil.Process:
        """Return the process in which this run's cells run, its only child."""
        (child,) = psutil.Process(self.popen.pid).children()
        return child

    def finish(self) -> tuple[int, str, str]:
        """Return exit code, output and error output, after the process has ended."""
        output, errors = self.popen.communicate(timeout=_PATIENCE_SECONDS * 2)
        return self.popen.returncode, output, errors


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a user without settings of the runbook."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNBOOK_")}
    return {**kept, **more}


def command(*arguments: str) -> list[str]:
    """Return the command line of `runbook` with these arguments."""
    return [sys.executable, "-m", "runbook_lib", *arguments]


def runbook(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `runbook` to its end, in a process that has loaded it."""
    loaded = LoadedCommand(arguments, cwd, environment(**(env or {})))
    return subprocess.CompletedProcess(arguments, *loaded.communicate(_PATIENCE_SECONDS * 2))


def new_runbook(
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    prefix: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `runbook` to its end in a new process, through the program `prefix` if one is given."""
    return subprocess.run(
        [*prefix, *command(*arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS * 2,
        check=False,
    )


def outcomes(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the outcome of each step of a record."""
    return {step["id"]: step["outcome"] for step in record["steps"]}


def step_of(record: Mapping[str, Any], step_id: str) -> dict[str, Any]:
    """Return one step of a record."""
    return next(step for step in record["steps"] if step["id"] == step_id)


def records(evidence: Path) -> list[dict[str, Any]]:
    """Return every sealed record below `evidence`, oldest first."""
    paths = sorted(evidence.glob("*/*/2*/record.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def settings_of(sandbox: Any, folder: Path) -> Path:
    """Write the settings for `sandbox`, and a copy of the certificate that they need."""
    folder.mkdir(exist_ok=True)
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(Path(sandbox.description["ca_file"]).read_bytes())
    description = {**sandbox.description, "ca_file": str(ca_file)}
    lines = [
        f"{item.variable}={description[item.name]}"
        for item in inputs_of(PROCEDURE)
        if description.get(item.name)
    ]
    path = folder / "sandbox.env"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def values_of(settings: Path, more: str = "") -> str:
    """Return the values of a tenant with these settings, as in a FILE; those in `more` win."""
    variables = read_env_file(settings)
    items = [item for item in inputs_of(PROCEDURE) if variables.get(item.variable)]
    lines = [
        f"{item.name} = {json.dumps(variables[item.variable])}\n"
        if not item.secret
        else f'secrets.{item.name} = "dotenv:{settings}#{item.variable}"\n'
        for item in items
        if item.name != "cyclr_username"
    ]
    own = {line.partition("=")[0].strip() for line in more.splitlines()}
    return "".join(line for line in lines if line.partition("=")[0].strip() not in own) + more


@pytest.fixture
def env_file(sandbox: Any, tmp_path: Path) -> Path:
    """Return a settings file for a running sandbox."""
    return settings_of(sandbox, tmp_path / "settings")


def attestations_beside(env_file: Path) -> Path:
    """Return a file, beside the settings, with what people say in a practice run."""
    path = env_file.with_name("attestations.toml")
    path.write_text(
        practice_attestations(PROCEDURE.id, "approved", utc_now().date()), encoding="utf-8"
    )
    return path


def _run_of_acme(env_file: Path, folder: Path) -> tuple[str, ...]:
    places = ("--env-file", str(env_file), "--evidence", str(folder / "evidence"))
    return (
        "run",
        "--tenant",
        "acme",
        *places,
        "--attestations",
        str(attestations_beside(env_file)),
    )


def journal_of_acme(folder: Path) -> Journal:
    """Return the journal of the tenant whose evidence is below `folder`."""
    return Journal(journal_path(folder / "evidence", "acme", PROCEDURE.id))


RunAcme = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_acme(env_file: Path, tmp_path: Path) -> RunAcme:
    """Return a function that runs `runbook run` to its end against the running sandbox."""
    return partial(runbook, *_run_of_acme(env_file, tmp_path))


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """Let child processes receive SIGINT, even if a shell ignores it, as with `&`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(
    env_file: Path, tmp_path: Path, hears_interrupts: None
) -> Iterator[Callable[..., Process]]:
    """Return a function that starts `runbook run` against the running sandbox."""
    started: list[subprocess.Popen[str]] = []

    def begin(*more: str, cwd: Path = ROOT, **options: Any) -> Process:
        popen = subprocess.Popen(
            command(*_run_of_acme(env_file, tmp_path), *more),
            cwd=cwd,
            env=options.pop("env", environment()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(popen)
        return Process(popen, journal_of_acme(tmp_path))

    yield begin
    for popen in started:
        if popen.poll() is None:
            popen.kill()
        popen.communicate()
