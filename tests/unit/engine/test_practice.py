"""Practice has its own settings and does not touch the operator's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.config.workspace import is_sandbox, journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey, keep_key
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine import practice as module
from runbook_lib.engine.headless import FingerprintKeyChangedError, RunListener, RunRequest
from runbook_lib.engine.practice import (
    Practice,
    practice,
    practice_environment,
    practise_tenant,
    sandbox_key,
    serve_until_interrupted,
)
from runbook_lib.errors import SettingsError
from tests.support.wording import refused, wording

REAL = {
    "RUNBOOK_FACEBOOK_APP_SECRET": "real-secret",
    "RUNBOOK_FACEBOOK_MARKETING_APP_SECRET": "real-secret",
    "RUNBOOK_ENV_FILE": "real.env",
}


def test_practice_has_its_own_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's settings are in a file with mode 0600 that is deleted afterwards."""
    with practice("approved", PROCEDURE, FingerprintKey()) as running:
        path = Path(running.env_file)
        assert path.stat().st_mode & 0o777 == 0o600
        settings = resolve(inputs_of(PROCEDURE), env_file=read_env_file(path), environ={})

    assert not path.exists()
    assert is_sandbox(settings.values)
    assert {"app_secret", "user_access_token"} <= set(settings.secrets)


def test_this_process_keeps_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not change this process's environment, so several runs can share the process."""
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    with (
        practice("approved", PROCEDURE, FingerprintKey()) as first,
        practice("fresh", PROCEDURE, FingerprintKey()) as second,
    ):
        assert dict(os.environ) == before
        assert first.env_file != second.env_file

    assert dict(os.environ) == before


def test_a_practice_server_gets_no_real_setting() -> None:
    """It gets no real credential and no settings file; other variables stay."""
    kept = {"PATH": "/bin", "RUNBOOK_TENANT": "acme", "RUNBOOK_FOUR_EYES": "all"}

    assert practice_environment({**REAL, **kept}) == kept


@pytest.mark.parametrize(
    ("env_file", "steps"),
    [
        ("RUNBOOK_FOUR_EYES=all\nRUNBOOK_FACEBOOK_APP_ID=7\n", "all"),
        ("RUNBOOK_FOUR_EYES=\n", None),
        ("no settings", None),
    ],
)
def test_practice_obeys_four_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env_file: str, steps: str | None
) -> None:
    """Practice takes the setting for four eyes of the operator's own `.env`, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(env_file, encoding="utf-8")

    with practice("approved", PROCEDURE, FingerprintKey()) as running:
        settings = read_env_file(Path(running.env_file))
    assert settings.get("RUNBOOK_FOUR_EYES") == steps
    assert settings["RUNBOOK_FACEBOOK_APP_ID"] != "7"


@pytest.mark.parametrize(
    ("scenario", "published"),
    [("review-pending", False), ("not-published", False), ("wrong-secret", True)],
)
def test_attestations_fit_the_scenario(scenario: str, *, published: bool) -> None:
    """Each scenario has the attestations that people would have made by then."""
    with practice(scenario, PROCEDURE, FingerprintKey()) as running:
        attestations_text = Path(running.attestations).read_text("utf-8")
        assert "fb-12-submit-review" in attestations_text
        assert ("fb-12a-publish" in attestations_text) == published


def test_nobody_has_said_anything_where_nothing_was_done() -> None:
    """In `fresh` there are no attestations."""
    with practice("fresh", PROCEDURE, FingerprintKey()) as running:
        assert running.attestations == ""


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    """An unknown scenario is refused with the list of known ones."""
    with (
        refused(SettingsError, "no-scenario", near="approved", name="aproved") as caught,
        practice("aproved", PROCEDURE, FingerprintKey()),
    ):
        pass
    assert caught.value.diagnostics().startswith(
        wording("run.known-scenarios", names="approved, fresh")
    )


class Runs:
    """Replaces `run_tenant`: records its arguments."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []
        self.keys_meanwhile: list[FingerprintKey] = []

    def __call__(self, request: RunRequest, listener: RunListener | None) -> RunListener | None:
        """Return the listener; raise `FingerprintKeyChangedError` while another key is left."""
        self.requests.append(request)
        if self.keys_meanwhile:
            journal = journal_path(Path(request.evidence), request.tenant, PROCEDURE.id)
            keep_key(journal.parent, self.keys_meanwhile.pop())
            raise FingerprintKeyChangedError
        return listener


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Runs:
    """Return the replacement of `run_tenant`; a sandbox is only a name and its key."""

    @contextmanager
    def fake(scenario: str, _procedure: Procedure, key: FingerprintKey) -> Iterator[Practice]:
        yield Practice(scenario, f"{key.seed}.env", "said.toml", "")

    fake_runs = Runs()
    monkeypatch.setattr(module, "run_tenant", fake_runs)
    monkeypatch.setattr(module, "practice", fake)
    return fake_runs


def test_a_run_against_the_sandbox_gets_the_sandboxs_settings(runs: Runs) -> None:
    """The run gets the sandbox's settings, key and attestations, and no real credential."""
    listener = RunListener()
    request = RunRequest(
        procedure=PROCEDURE, tenant="acme", evidence="evidence", environ={**REAL, "PATH": "/bin"}
    )

    assert practise_tenant("approved", request, listener) is listener

    (given,) = runs.requests
    assert given.key is not None
    assert given.env_file == f"{given.key.seed}.env"
    assert (given.attestations, given.environ) == ("said.toml", {"PATH": "/bin"})
    # A scenario shows the present state, not an earlier run's results.
    assert set(given.rechecks) == PROCEDURE.permits


def test_given_attestations_take_precedence(runs: Runs) -> None:
    """A given attestations file replaces the scenario's."""
    practise_tenant(
        "approved", RunRequest(procedure=PROCEDURE, tenant="acme", attestations="mine.toml")
    )

    assert runs.requests[0].attestations == "mine.toml"


def test_two_first_runs_at_once_use_the_same_app(runs: Runs) -> None:
    """The slower of two first runs at once restarts its sandbox with the faster one's app."""
    faster = FingerprintKey()
    runs.keys_meanwhile = [faster]

    practise_tenant("approved", RunRequest(procedure=PROCEDURE, tenant="acme", evidence="evidence"))

    first, second = runs.requests
    assert first.key != faster == second.key
    assert second.env_file == f"{faster.seed}.env"
    assert sandbox_key(PROCEDURE, "evidence", "acme") == faster


def test_the_sandbox_can_stop_in_this_process() -> None:
    """The sandbox announces the description, stops on SIGTERM, and restores the signal handlers."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Mapping[str, str | int]] = []

    def announce(given: Mapping[str, str | int]) -> None:
        seen.append(given)
        os.kill(os.getpid(), signal.SIGTERM)

    serve_until_interrupted("fresh", 0, announce)
    assert seen[0]["scenario"] == "fresh"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_ends_on_a_signal(number: signal.Signals) -> None:
    """The sandbox announces the description once, and a signal ends it with exit code 0."""
    code = (
        "import json, logging; from runbook_lib.engine.practice import serve_until_interrupted\n"
        # NOTE: in this mode asyncio also logs slow callbacks, which are common on a busy machine.
        "logging.getLogger('asyncio').setLevel(logging.ERROR)\n"
        "say = lambda given: print(json.dumps(given), flush=True)\n"
        "serve_until_interrupted('approved', 0, say)"
    )
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        given = json.loads(process.stdout.readline())
        assert httpx.get(f"{given['graph_url']}/v26.0/me").status_code == 400
        os.kill(process.pid, number)
        assert process.wait(timeout=240) == 0
        assert process.stderr.read() == ""
