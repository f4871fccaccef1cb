"""A fleet on a Dask cluster: scheduler and workers as processes on loopback, over TLS."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.runs.conftest import ROOT, command, environment, runbook, settings_of
from tests.support.hostile_server import hostile_server
from tests.support.run_process import eventually, soon
from tests.support.wording import wording

_PATIENCE_SECONDS = 240
_TENANTS = ("acme", "bloom", "crest", "dune")
_WAIT = "import sys, distributed; distributed.Client(sys.argv[1]).wait_for_workers(2)"


def tls_settings(folder: Path) -> dict[str, str]:
    """Write a certificate of a new authority, and return Dask's settings for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    tls = {"CA_FILE": "ca.pem"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        tls |= {f"{role}__CERT": "cert.pem", f"{role}__KEY": "key.pem"}
    names = {f"DASK_DISTRIBUTED__COMM__TLS__{key}": str(folder / tls[key]) for key in tls}
    return {**names, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}


@contextmanager
def dask(folder: Path, *words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a running command of Dask."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *words, "--dashboard-address", "127.0.0.1:0"],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT), **env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def cluster(
    folder: Path, keys_home: Path, **secrets: str
) -> Iterator[tuple[str, dict[str, str], subprocess.Popen[bytes]]]:
    """Give the address of a cluster of two workers, the settings to reach it, its scheduler."""
    tls = tls_settings(folder)
    scheduler_file = folder / "scheduler.json"
    own = {"XDG_DATA_HOME": str(keys_home), **secrets}
    with ExitStack() as stack:
        words = ("--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--no-show")
        words = ("scheduler", *words, "--scheduler-file", str(scheduler_file))
        scheduler = stack.enter_context(dask(folder, *words, **tls))
        address = json.loads(soon(scheduler_file))["address"]
        words = (address, "--host", "127.0.0.1", "--nthreads", "1")
        for _ in range(2):
            stack.enter_context(dask(folder, "worker", *words, **tls, **own))
        # NOTE: a fleet refuses a cluster that has no workers yet.
        subprocess.run(
            [sys.executable, "-c", _WAIT, address],
            env=environment(**tls),
            check=True,
            timeout=_PATIENCE_SECONDS,
        )
        yield address, tls, scheduler


def fleet_file(folder: Path, settings: Path, silent: str) -> dict[str, str]:
    """
    Write the file of the tenants; return the variables that their secrets are in.

    The first has a remote system that is silent, and so takes some seconds.
    """
    variables = read_env_file(settings)
    items = [item for item in inputs_of(PROCEDURE) if variables.get(item.variable)]
    secrets = {f"THERE_{item.variable}": variables[item.variable] for item in items if item.secret}
    named = ", ".join(
        f'{entry.name} = "env:THERE_{entry.variable}"' for entry in items if entry.secret
    )
    text = "[defaults]\n" + "".join(
        f"{item.name} = {json.dumps(variables[item.variable])}\n"
        for item in items
        if not item.secret and item.name not in ("cyclr_username", "app_id")
    )
    text += f"secrets = {{{named}}}\n"
    for number, name in enumerate(_TENANTS):
        # Two apps, so that two tenants run at a time; only one of them is the sandbox's.
        app = variables["RUNBOOK_FACEBOOK_APP_ID"] if number % 2 else "100000000001"
        text += f'\n[[tenant]]\ntenant = "{name}"\napp_id = "{app}"\n'
        slow = f'graph_url = "{silent}"\nexchange_seconds = 3\n'
        text += slow if name == _TENANTS[0] else ""
    (folder / "tenants.toml").write_text(text)
    return secrets


def worker_of(home: Path) -> psutil.Process:
    """Return the cluster's worker on which the run of a tenant is, as soon as it has begun."""
    journal = home / "journal.jsonl"
    eventually(lambda: journal.exists() and b"step.checked" in journal.read_bytes())
    process = psutil.Process(json.loads((home / "run.holder").read_bytes())["process"])
    return process.parents()[0]


def run_without(
    part: str, folder: Path, keys_home: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """
    Run the fleet, and kill this part of its cluster while the first tenant runs.

    Return the results of the tenants, those of a resumed run if a worker was killed, and what it
    wrote to stderr.
    """
    resumed: list[dict[str, Any]] = []
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as sandbox, hostile_server("silence") as silent:
        secrets = fleet_file(folder, settings_of(sandbox, folder / "settings"), silent)
        with cluster(folder, keys_home, **secrets) as (address, tls, scheduler):
            words = ("fleet", "tenants.toml", "--evidence", "evidence", "--json")
            words += ("--scheduler", address)
            process = subprocess.Popen(
                command(*words),
                cwd=folder,
                env=environment(PYTHONPATH=str(ROOT), **tls),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            worker = worker_of(folder / "evidence/acme/facebook_marketing")
            (worker if part == "worker" else scheduler).kill()
            output, errors = process.communicate(timeout=_PATIENCE_SECONDS)
            assert process.returncode == 3, errors
            document = json.loads(output)
            if part == "worker":
                again = runbook(*words, "--resume", document["fleet_id"], cwd=folder, env=tls)
                resumed = json.loads(again.stdout)["tenants"]
    return document["tenants"], resumed, errors


def test_a_killed_worker_loses_nothing(tmp_path: Path, keys_home: Path) -> None:
    """
    Its tenant does not run again by itself; `--resume` runs it, and all verifies.

    The variables of the secrets are in the workers' environment alone, and all were found.
    """
    results, resumed, _ = run_without("worker", tmp_path, keys_home)

    assert [entry["status"] for entry in results] == ["unsealed", "sealed", "sealed", "sealed"]
    assert wording("fleet.not-run-again") in results[0]["reason"]
    assert [entry["status"] for entry in resumed] == ["sealed"] * 4
    steps = {step["id"]: step["outcome"] for step in results[1]["steps"]}
    assert steps["fb-13-app-id-and-secret"] == "verified"

    words = ("verify", "evidence", "--trusted-keys", "evidence/keys", "--tenants", "tenants.toml")
    result = runbook(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(tmp_path.glob("evidence/fleet/*/begun-*"))


# A second cluster: `make matrices` has the time.
@pytest.mark.matrix(0)
def test_a_scheduler_that_is_lost_ends_the_fleet(tmp_path: Path) -> None:
    """When the scheduler is killed, the tenants that are left are named, and can be resumed."""
    results, _, errors = run_without("scheduler", tmp_path, tmp_path / "keys")

    assert "Traceback" not in errors, errors
    assert {entry["status"] for entry in results} <= {"sealed", "unsealed"}
    lost = wording("fleet.scheduler-lost")
    assert any(lost in entry["reason"] for entry in results)


def test_a_cluster_that_does_not_answer_is_refused(tmp_path: Path, env_file: Path) -> None:
    """No scheduler, or one without workers: exit 2, what to do, and nothing written."""
    fleet_file(tmp_path, env_file, "http://127.0.0.1:9")
    words = ("fleet", "tenants.toml", "--evidence", "evidence", "--scheduler")
    silent = runbook(*words, "tcp://127.0.0.1:9", cwd=tmp_path)
    nonsense = runbook(*words, "nonsense://x", "--insecure-scheduler", cwd=tmp_path)
    place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", "s.json")
    with dask(tmp_path, "scheduler", *place):
        address = json.loads(soon(tmp_path / "s.json"))["address"]
        idle = runbook(*words, address, cwd=tmp_path)

    assert [entry.returncode for entry in (silent, nonsense, idle)] == [2, 2, 2]
    assert wording("setting-invalid.no-scheduler", url="tcp://127.0.0.1:9") in silent.stderr
    assert wording("setting-invalid.no-scheduler", url="nonsense://x") in nonsense.stderr
    assert wording("setting-invalid.no-workers") in idle.stderr
    assert [len(entry.stderr.splitlines()) for entry in (silent, nonsense, idle)] == [2, 2, 2], idle
    assert not (tmp_path / "evidence").exists()
