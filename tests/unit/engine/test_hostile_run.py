"""A run against a hostile remote system: inconclusive, within seconds, and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.run.journal import Journal
from tests.support.hostile_server import MODES, hostile_server
from tests.unit.bodies import APP_ID, APP_SECRET

STEPS = ("fb-13-app-id-and-secret", "cy-02-client-id", "test-01-install", "test-04-user-token")
USER_TOKEN = "EAA" + "Z9y8X7w6V5" * 6
WHOLE_RUN = (
    "gzip bomb",
    "100 MiB of JSON",
    "one byte at a time",
    "slow headers",
    "NaN",
    "an error message of 5 MB",
    "an error message of 200 KB",
    "control characters",
    "headers beyond ASCII",
    "half a surrogate pair",
    "a number of 4,000 digits",
    "a redirect to loopback",
    "429 for ever",
    "a reset in the middle",
    "deep JSON",
    "a token beyond ASCII",
    "other types",
)


def opened(url: str, folder: Path) -> Run:
    env_file = folder / ".env"
    env_file.write_text(
        f"RUNBOOK_FACEBOOK_APP_SECRET={APP_SECRET}\nRUNBOOK_CYCLR_CLIENT_SECRET=Cyclr-secret-of-test-1\n"
        f"RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN={USER_TOKEN}\n"
    )
    given = {
        "service_domain": "acme-h.cyclr.com",
        "service_domain_address": url.rpartition("/")[2],
        "app_id": APP_ID,
        "cyclr_client_id": "partner",
        "account_api_id": "acct-1",
        "cyclr_username": "operator@acme.example",
        "response_limit_kib": 256,
        "exchange_seconds": 1,
        "step_seconds": 4,
        **dict.fromkeys(("graph_url", "cyclr_api_url"), url),
    }
    return open_run(
        PROCEDURE, given, mode=Mode.HEADLESS, evidence=str(folder), env_file=str(env_file)
    )


@pytest.mark.parametrize("mode", WHOLE_RUN)
def test_a_run_survives_a_hostile_remote(mode: str, tmp_path: Path) -> None:
    """No step is verified, each reason is readable, and each line of the journal is JSON."""
    assert mode in MODES
    with hostile_server(mode) as url:
        run = opened(url, tmp_path)
        run.start()
        look = run.start_snapshot([run.step(name) for name in STEPS])
        states = [finding for name in STEPS for finding in run.perform(name, look).findings]
        for name in STEPS:
            run.perform(name)
        run.close()
    lines = Journal(run.journal.path).read_all()

    assert states
    assert not {state.outcome for state in states} & {Outcome.VERIFIED}
    for state in states:
        assert state.code != "check-broken"
        assert state.reason.isprintable()
        assert len(state.reason) < 1_000
    text = run.journal.path.read_text(encoding="utf-8")
    for line in text.splitlines():
        json.loads(line, parse_constant=pytest.fail)
        assert len(line) < 400_000
    assert APP_SECRET not in text
    assert [line.head.type for line in lines].count("step.checked") == 2 * len(STEPS)
