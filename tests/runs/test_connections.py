"""`runbook connections` as a process: killed in the middle, and gone on with."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from facebook_cyclr_sandbox.customer_accounts import add_customers
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.operations.customer_rows import KnownAccount
from runbook_lib.operations.watch.watch_state import read_state
from tests.runs.conftest import command, environment

COUNT = 260
PATIENCE = 240


def looked(path: Path) -> set[str]:
    """Return the accounts that the survey in the state at `path` has asked so far."""
    return {name for name, account in accounts(path).items() if account.polled_in}


def accounts(path: Path) -> dict[str, KnownAccount]:
    """Return the rows of accounts by id."""
    with read_state(path) as state:
        rows = state.customers.read() if state else []
    return {row.account: row.body for row in rows}


def test_a_killed_look_goes_on(tmp_path: Path) -> None:
    """Each of many accounts is in the result once, and kept ones are not asked again."""
    path = tmp_path / "evidence"
    with Sandbox("approved", seed=2) as sandbox:
        add_customers(sandbox.state, COUNT - 1)
        described = sandbox.description
        names = ("API_URL", "CONSOLE_URL", "CLIENT_ID", "CLIENT_SECRET")
        mine = environment(
            RUNBOOK_TENANT="acme",
            RUNBOOK_CYCLR_REQUESTS_A_SECOND="50",
            **{f"RUNBOOK_CYCLR_{name}": str(described[f"cyclr_{name.lower()}"]) for name in names},
        )
        words = [*command("connections"), "--json"]
        first = subprocess.Popen(words, cwd=tmp_path, env=mine, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while len(looked(path)) < 20 and time.monotonic() < end:
            # Another process writes it.
            time.sleep(0.02)
        first.kill()
        first.wait(PATIENCE)
        kept = looked(path)
        before = accounts(path)
        done = subprocess.run(
            words, cwd=tmp_path, env=mine, capture_output=True, text=True, check=False
        )

    shown = json.loads(done.stdout)
    assert 20 <= len(kept) < COUNT
    assert done.returncode == 0, done.stderr
    assert shown["complete"]
    assert shown["counts"] == {"signed_in": COUNT}
    after = accounts(path)
    assert len(after) == COUNT
    assert {name: before[name].polled_on for name in kept} == {
        name: after[name].polled_on for name in kept
    }
