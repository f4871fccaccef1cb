"""Parallel runs, in one folder or of one tenant, do not affect each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.run.journal import Journal
from tests.runs.conftest import command, environment, records, runbook
from tests.support.wording import wording

FOUR = 4
_PATIENCE_SECONDS = 240


def start_four(folder: Path, tenants: list[str]) -> list[subprocess.Popen[str]]:
    """Start a practice run for each of `tenants` at the same time, in one folder."""
    arguments = ("run", "--sandbox", "approved", "--evidence", "evidence", "--json")
    return [
        subprocess.Popen(
            command(*arguments, "--tenant", tenant),
            cwd=folder,
            env=environment(TMPDIR=str(folder / "temporary")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for tenant in tenants
    ]


@pytest.mark.parametrize("is_one_tenant", [False, True], ids=["four tenants", "one tenant"])
def test_four_runs_at_once_all_complete(tmp_path: Path, is_one_tenant: bool) -> None:
    """
    Each run is complete with its bundle, no two runs of a tenant overlap, and no other file is
    left.
    """
    tenants = ["acme"] * FOUR if is_one_tenant else [f"tenant-{n}" for n in range(FOUR)]
    (tmp_path / "temporary").mkdir()
    processes = start_four(tmp_path, tenants)
    ended = [process.communicate(timeout=_PATIENCE_SECONDS) for process in processes]

    assert [process.returncode for process in processes] == [0] * FOUR, ended
    assert {json.loads(output)["outcome"] for output, _ in ended} == {"complete"}
    sealed = records(tmp_path / "evidence")
    assert len(sealed) == FOUR
    assert [record["resumes"] for record in sealed] == [""] * FOUR
    result = runbook(
        "verify", "evidence", "--trusted-keys", "evidence/keys", "--json", cwd=tmp_path
    )
    assert result.returncode == 0, result.stdout
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not list((tmp_path / "evidence").rglob(".*"))
    assert {path.name for path in tmp_path.iterdir()} == {"temporary", "evidence"}
    if is_one_tenant:
        waiting = wording("screens.waiting-for-run", holder="")
        assert any(waiting in errors for _, errors in ended)
        journal = Journal(journal_path(tmp_path / "evidence", "acme", PROCEDURE.id))
        bounds = [
            line.head.type
            for line in journal.read_all()
            if line.head.type in ("run.started", "bundle.sealed")
        ]
        assert bounds == ["run.started", "bundle.sealed"] * FOUR


def test_a_read_only_working_directory_is_sufficient(tmp_path: Path) -> None:
    """A run does not write to its working directory."""
    root = Path(__file__).parents[2]
    result = runbook(
        "run",
        "--sandbox",
        "approved",
        "--evidence",
        str(tmp_path / "evidence"),
        cwd=Path("/proc"),
        env={"PYTHONPATH": str(root)},
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_a_run_that_waits_too_long_ends_with_3(tmp_path: Path) -> None:
    """
    A run that waits longer than queue_seconds ends with 3, names the running process and writes
    nothing.
    """
    home = journal_path(tmp_path / "evidence", "acme", PROCEDURE.id).parent
    words = (
        "import sys; from pathlib import Path\n"
        "from runbook_lib.core.run_lock import run_lock\n"
        "with run_lock(Path(sys.argv[1]), seconds=9, on_wait=print):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", words, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        before = {path.name for path in home.iterdir()}
        result = runbook(
            "run",
            "--sandbox",
            "approved",
            "--tenant",
            "acme",
            "--evidence",
            "evidence",
            "--set",
            "queue_seconds=1",
            cwd=tmp_path,
        )
        assert result.returncode == 3, result.stderr
        assert f"process {holder.pid}, since 20" in result.stderr
        assert {path.name for path in home.iterdir()} == before
    finally:
        holder.kill()
        holder.communicate()


def test_plain_papermill_waits_too(tmp_path: Path) -> None:
    """Plain papermill waits for a headless run of the same tenant, too."""
    home = journal_path(tmp_path / "evidence", "acme", PROCEDURE.id).parent
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from runbook_lib.core.run_lock import run_lock\n"
        "with run_lock(Path(sys.argv[1]), seconds=9, on_wait=print):\n"
        "    sys.exit(subprocess.run(sys.argv[2:]).returncode)"
    )
    notebook = Path(__file__).parents[2] / "notebooks" / "facebook_marketing.ipynb"
    papermill = (
        sys.executable,
        "-m",
        "papermill",
        str(notebook),
        str(tmp_path / "out.ipynb"),
        "-p",
        "service_domain",
        "acme-h.cyclr.com",
        "-p",
        "tenant",
        "acme",
        "-p",
        "evidence",
        str(tmp_path / "evidence"),
        "-p",
        "queue_seconds",
        "1",
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(home), *papermill],
        cwd=Path(__file__).parents[2],
        env={**environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )

    assert result.returncode == 1
    assert wording("other-run-in-progress.is-running") in result.stderr
