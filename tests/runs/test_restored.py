"""A tenant's folder after a person changed it: a restored backup, practice instead of real."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.runs.conftest import runbook
from tests.support.practice_runs import PractiseOnce
from tests.support.wording import wording

SCENARIO = "review-pending"
TENANT = f"sandbox-{SCENARIO}"


def test_a_restored_older_journal_is_refused(practice_run: PractiseOnce, tmp_path: Path) -> None:
    """
    Nothing is written to an older journal; the command in the message restores the missing lines.
    """
    first = practice_run(SCENARIO)
    evidence = first.copy_evidence(tmp_path / "evidence")
    journal = journal_path(evidence, TENANT, PROCEDURE.id)
    verify = ("verify", str(evidence), "--trusted-keys", str(evidence / "keys"))

    def run() -> subprocess.CompletedProcess[str]:
        arguments = ("--sandbox", SCENARIO, "--evidence", str(evidence))
        return runbook("run", *arguments, env=first.environment)

    backup = journal.read_bytes()
    assert run().returncode == 3
    journal.write_bytes(backup)

    refused = run()
    confirm = ("confirm", "fb-12-submit-review", "--by", "Ada", "--yes", "--tenant", TENANT)
    confirmed = runbook(*confirm, "--evidence", str(evidence), env=first.environment)
    assert [refused.returncode, confirmed.returncode] == [4, 4]
    for result in (refused, confirmed):
        assert wording("journal-chain-broken.older-journal") in result.stderr, result.stderr
    assert journal.read_bytes() == backup
    assert len(list(journal.parent.glob("2*"))) == 2

    (advised,) = re.findall(r"`runbook (journal [^`]+)`", refused.stderr)
    completed = runbook(*shlex.split(advised))
    assert completed.returncode == 0, completed.stderr
    assert runbook(*verify).returncode == 0
    assert run().returncode == 3
    verified = runbook(*verify)
    assert verified.returncode == 0, verified.stdout
    assert len(list(journal.parent.glob("2*"))) == 3

    journal.unlink()
    assert runbook(*shlex.split(advised)).returncode == 0
    assert run().returncode == 3
    verified = runbook(*verify)
    assert verified.returncode == 0, verified.stdout


def test_a_practice_tenant_takes_no_real_run(practice_run: PractiseOnce, tmp_path: Path) -> None:
    """A real run of a practice tenant is refused with a next step, and nothing is written."""
    evidence = practice_run(SCENARIO).copy_evidence(tmp_path / "evidence")
    before = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}

    real = ("run", "--set", "service_domain=acme-h.cyclr.com", "--tenant", TENANT)
    refused = runbook(*real, "--evidence", str(evidence), cwd=tmp_path)

    assert refused.returncode == 2, refused.stderr
    assert wording("setting-invalid.would-be-real") in refused.stderr
    assert "--tenant NAME" in refused.stderr
    after = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}
    assert after == before
