"""A tenant's folder after a person's hands were in it: backups put back, practice in its place."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from runbook_lib.procedures.facebook_marketing import PROCEDURE
from runbook_lib.workspace import journal_path
from tests.runs.conftest import runbook

TENANT = "acme"
SANDBOX = ("run", "--sandbox", "review-pending", "--tenant", TENANT)


def test_a_journal_that_was_put_back_is_told_before_anything_is_lost(tmp_path: Path) -> None:
    """Nothing runs on top of it; what the message says to do brings the tenant in order again."""

    evidence = tmp_path / "evidence"
    journal = journal_path(evidence, TENANT, PROCEDURE.id)
    run = (*SANDBOX, "--evidence", str(evidence))
    verify = ("verify", str(evidence), "--trusted-keys", str(evidence / "keys"))
    assert runbook(*run).returncode == 3
    backup = journal.read_bytes()
    assert runbook(*run).returncode == 3
    journal.write_bytes(backup)

    refused = runbook(*run)
    assert refused.returncode == 4, refused.stderr
    assert "an older one was put in its place" in refused.stderr
    assert journal.read_bytes() == backup
    assert len(list(journal.parent.glob("2*"))) == 2

    (advised,) = re.findall(r"`runbook (journal [^`]+)`", refused.stderr)
    completed = runbook(*shlex.split(advised))
    assert completed.returncode == 0, completed.stderr
    assert runbook(*verify).returncode == 0
    assert runbook(*run).returncode == 3
    verified = runbook(*verify)
    assert verified.returncode == 0, verified.stdout
    assert len(list(journal.parent.glob("2*"))) == 3

    journal.unlink()
    assert runbook(*shlex.split(advised)).returncode == 0
    assert runbook(*run).returncode == 3
    verified = runbook(*verify)
    assert verified.returncode == 0, verified.stdout


def test_practice_never_becomes_evidence_of_the_real_thing(tmp_path: Path) -> None:
    """A tenant that was practised takes no real run, and says what to do; nothing is written."""

    evidence = tmp_path / "evidence"
    assert runbook(*SANDBOX, "--evidence", str(evidence)).returncode == 3
    before = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}

    real = ("run", "--set", "service_domain=acme-h.cyclr.com", "--tenant", TENANT)
    refused = runbook(*real, "--evidence", str(evidence), cwd=tmp_path)

    assert refused.returncode == 2, refused.stderr
    assert "this one would be real" in refused.stderr
    assert "--tenant NAME" in refused.stderr
    after = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}
    assert after == before
