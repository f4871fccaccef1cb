"""In every breakdown, no step is better than its checks, and nothing is lost."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import Fault, FaultKind
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.run.journal import Journal
from tests.runs.conftest import (
    Process,
    RunAcme,
    attestations_beside,
    environment,
    new_runbook,
    outcomes,
    records,
    runbook,
    settings_of,
    step_of,
)
from tests.support.notebooks import project_with
from tests.support.programs import needs
from tests.support.wording import wording

Start = Callable[..., Process]

KILLED_DURING = (
    "fb-04-create-app",
    "fb-05-confirm-creation",
    "fb-08-redirect-uri",
    "fb-10-public-profile",
    "fb-12-submit-review",
    "fb-13-app-id-and-secret",
    "cy-01-connector-setup",
    "cy-02-client-id",
    "test-01-install",
    "test-05-marketing-data",
)


def _slow_down(sandbox: Any, seconds: float) -> None:
    """Delay every answer, so that a step can be interrupted."""
    sandbox.state.faults.active.append(Fault(FaultKind.SLOW, seconds=seconds))


def _run_again(env_file: Path, evidence: Path) -> tuple[int, dict[str, Any]]:
    result = runbook(
        "run",
        "--tenant",
        "acme",
        "--env-file",
        str(env_file),
        "--evidence",
        str(evidence),
        "--json",
    )
    return result.returncode, json.loads(result.stdout)


# Kills the kernel while a step waits for its checks, whatever was asked for it already.
_DIES = """
import os
from runbook_lib.engine.check_runner import RunningChecks
RunningChecks.take = lambda *_: os._exit(9)
run.step("{}")
"""


@pytest.mark.matrix(2)
@pytest.mark.parametrize("step", KILLED_DURING)
def test_a_killed_kernel_leaves_its_steps_not_run(
    step: str, run_acme: RunAcme, env_file: Path, tmp_path: Path
) -> None:
    """
    If the kernel is killed during a step, neither that step nor a later one counts as checked.
    """
    done = run_acme(cwd=project_with(tmp_path / "project", step, _DIES.format(step)))
    (record,) = records(tmp_path / "evidence")
    ids = [procedure_step.id for procedure_step in PROCEDURE.steps]
    position = ids.index(step)
    outcome_by_step = outcomes(record)
    assert wording("reasons.not-reached") in step_of(record, step)["reason"]
    # An attestation still counts, but does not become more than that.
    assert outcome_by_step[step] in ("not_run", "attested", "waiting")
    assert all(step_of(record, later)["checked_on"] == "" for later in ids[position:])
    assert all(
        outcome_by_step[later] in ("not_run", "attested", "waiting") for later in ids[position:]
    )
    assert done.returncode == 3
    assert wording("fleet.kernel-died") in done.stderr
    assert _run_again(env_file, tmp_path / "evidence")[0] == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.exit(0)", wording("fleet.ended-before-last-cell")),
        ('raise ValueError("broken on purpose")', "ValueError"),
        ("import os; os._exit(0)", "kernel died"),
    ],
    ids=["sys.exit(0)", "raises", "os._exit(0)"],
)
def test_a_cell_that_ends_early_completes_nothing(
    source: str, message: str, run_acme: RunAcme, tmp_path: Path
) -> None:
    """After a cell that ends the notebook early, no later step counts as checked."""
    project = project_with(tmp_path / "project", "cy-02-client-id", source)
    done = run_acme(cwd=project)
    (record,) = records(tmp_path / "evidence")
    outcome_by_step = outcomes(record)
    assert outcome_by_step["cy-01-connector-setup"] == "verified"
    assert outcome_by_step["cy-02-client-id"] == "not_run"
    ids = [step.id for step in PROCEDURE.steps]
    for later in ids[ids.index("cy-03-client-secret") :]:
        assert step_of(record, later)["checked_on"] == ""
        assert outcome_by_step[later] in ("not_run", "attested")
    assert done.returncode == 3
    assert message in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_is_resumed(
    number: signal.Signals, start: Start, sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """
    A signal ends the run with 130, without a kernel or a bundle left; the next run resumes it.
    """
    _slow_down(sandbox, 0.15)
    run = start()
    run.wait_for("step.checked", "fb-07-login-settings")
    cells = run.cells()
    run.popen.send_signal(number)
    exit_code, _, errors = run.finish()
    assert exit_code == 130
    assert "run again" in errors
    psutil.wait_procs([cells], timeout=240)
    assert not cells.is_running()
    entries = run.journal.read_all()
    assert not any(line.head.type == "run.finished" for line in entries)
    assert [path.name for path in run.journal.path.parent.iterdir() if path.is_dir()] == []
    sandbox.state.faults.active.clear()
    again, record = _run_again(env_file, tmp_path / "evidence")
    assert again == 0
    assert record["resumes"] == entries[0].head.run


def test_a_killed_run_is_resumed(
    start: Start, sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """If the run itself is killed, its journal is intact and the next run resumes it."""
    _slow_down(sandbox, 0.15)
    run = start()
    run.wait_for("step.checked", "fb-07-login-settings")
    run.popen.kill()
    run.finish()
    first = Journal(run.journal.path).read_all()[0].head.run
    assert records(tmp_path / "evidence") == []
    sandbox.state.faults.active.clear()
    again, record = _run_again(env_file, tmp_path / "evidence")
    assert again == 0
    assert record["resumes"] == first


def test_a_sandbox_gone_half_way_leaves_the_rest_inconclusive(start: Start, tmp_path: Path) -> None:
    """
    If the remote systems become unreachable, the remaining checks are inconclusive and say so.
    """
    with Sandbox("approved") as vanishing:
        vanishing.state.faults.active.append(Fault(FaultKind.SLOW, seconds=5, site="cyclr-api"))
        settings = settings_of(vanishing, tmp_path / "vanishing")
        run = start("--env-file", str(settings))
        run.wait_for("step.checked", "fb-13-app-id-and-secret")
    exit_code, _, _ = run.finish()
    (record,) = records(tmp_path / "evidence")
    outcome_by_step = outcomes(record)
    assert outcome_by_step["fb-11-permissions"] == "verified"
    for step in ("cy-01-connector-setup", "cy-02-client-id", "test-01-install"):
        assert outcome_by_step[step] == "inconclusive"
        assert step_of(record, step)["code"] == "host-unreachable"
    assert exit_code == 3


# NOTE: the first line alone has more than 20 KiB, so with 12 the journal stays empty.
@pytest.mark.parametrize("kilobytes", [12, 40, 60, 100])
def test_a_full_disk_loses_nothing(
    kilobytes: int, start: Start, env_file: Path, tmp_path: Path
) -> None:
    """
    If no file can grow, the run stops with a message, the journal is intact, and the next run
    succeeds.
    """
    size = kilobytes * 1024

    def refuse_growth() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # Coverage writes files too, and its errors would appear in the run's output.
    plain = {name: value for name, value in environment().items() if "COVERAGE" not in name}
    exit_code, output, errors = start(preexec_fn=refuse_growth, env=plain).finish()
    assert exit_code == 3, output + errors
    assert wording("advice.free-disk-space") in errors
    assert "Traceback" not in errors
    evidence = tmp_path / "evidence"
    journal = Journal(journal_path(evidence, "acme", PROCEDURE.id))
    journal.read_all()
    content = journal.path.read_bytes()
    assert content.endswith(b"\n") if kilobytes > 12 else not content
    assert records(evidence) == []
    result = runbook(
        "run",
        "--tenant",
        "acme",
        "--env-file",
        str(env_file),
        "--evidence",
        str(evidence),
        "--attestations",
        str(attestations_beside(env_file)),
    )
    assert result.returncode == 0, result.stderr


def not_reached(host: str) -> str:
    return wording("host-unreachable.not-reached", host=host)


@needs("unshare")
def test_without_a_network_a_run_ends(tmp_path: Path) -> None:
    """Without a network, a real run ends by itself, and each step names the unreachable host."""
    env_file = tmp_path / ".env"
    env_file.write_text(
        "RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\nRUNBOOK_FACEBOOK_APP_ID=123456789012345\n"
        "RUNBOOK_FACEBOOK_APP_SECRET=0123456789abcdef0123456789abcdef\nRUNBOOK_CYCLR_CLIENT_ID=client\n"
        "RUNBOOK_CYCLR_CLIENT_SECRET=canary-of-cyclr-1\nRUNBOOK_CYCLR_ACCOUNT_API_ID=account\n"
        "RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Acme\nRUNBOOK_CYCLR_USERNAME=operator@acme.example\n",
        encoding="utf-8",
    )
    result = new_runbook(
        "run",
        "--env-file",
        str(env_file),
        "--evidence",
        str(tmp_path / "evidence"),
        "--json",
        prefix=("unshare", "--user", "--map-root-user", "--net"),
    )
    assert result.returncode == 3, result.stderr
    record = json.loads(result.stdout)
    assert record["sandbox"] is False
    reasons = {step["id"]: step["reason"] for step in record["steps"]}
    for step in ("fb-05-confirm-creation", "fb-10-public-profile", "fb-13-app-id-and-secret"):
        assert not_reached("graph.facebook.com") in reasons[step]
    unresolved = wording("host-unreachable.name-not-resolved")
    assert f"acme-h.cyclr.com {unresolved}" in reasons["fb-08-redirect-uri"]
    assert not_reached("api.cyclr.com") in reasons["cy-01-connector-setup"]
    assert set(outcomes(record).values()) <= {"not_run", "inconclusive"}
