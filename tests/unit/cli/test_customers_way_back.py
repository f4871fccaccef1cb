"""A customer's way back: cut off, told, signed in again, and what to fetch, against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.customer_accounts import cut_off_customers, restore_customers
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.errors import ExitCode
from tests.support.commands import runbook
from tests.support.customer_console import served
from tests.support.wording import wording


@pytest.fixture(name="sandbox")
def _sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox("customers-cut-off", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        monkeypatch.setenv("RUNBOOK_CYCLR_USE_CONNECTIONS", "true")
        yield sandbox


def rows(*words: str) -> dict[str, dict[str, Any]]:
    """Survey the customers, and return their rows by id, in the order of the list."""
    shown = json.loads(runbook("connections", "--json", *words).stdout)
    return {row["id"]: row for row in shown["accounts"]}


def cut_off(sandbox: Sandbox) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Prove every connection by use, cut the customers off, and survey them with the log."""
    rows()
    runbook("connections", "--use", "9")
    cut_off_customers(sandbox.state)
    Path("log").write_text(json.dumps(sandbox.state.cyclr.transaction_errors), encoding="utf-8")
    return sandbox.state.cyclr.story, rows("--errors", "log")


def test_each_customer_says_since_when_and_until_when(sandbox: Sandbox) -> None:
    """Customers who are cut off come first; missing since, perhaps since, the day of loss, why."""
    (ended, withdrawn, paused, deleted, never), shown = cut_off(sandbox)

    assert [*shown][:3] == sorted([ended, withdrawn, deleted], key=[*shown].index)
    for account in (ended, withdrawn, deleted):
        missing = shown[account]["missing"]
        assert missing["perhaps_since"] == shown[account]["used_on"] < missing["since"]
        assert missing["perhaps_gone_on"] <= missing["gone_on"]
    assert shown[ended]["cause"] == "bad-token"
    assert shown[withdrawn]["cause"] == "lacks-permission"
    assert shown[paused]["missing"] is None
    assert [cycle["is"] for cycle in shown[paused]["stopped_cycles"]] == ["paused"]
    assert (shown[never]["standing"], shown[never]["missing"]) == ("not_signed_in", None)


def test_after_the_return_the_missed_days_are_named_and_counted(sandbox: Sandbox) -> None:
    """The next poll says who is back, since when, and which days to fetch; a count keeps no row."""
    (ended, *_, never), before = cut_off(sandbox)
    form = next(iter(sandbox.state.facebook.forms.values()))
    lead = form.leads[0]
    lead.created_on = sandbox.state.now()
    restore_customers(sandbox.state)
    shown = rows()
    counted = json.loads(
        runbook("connections", "--count", ended, "--form", form.id, "--json").stdout
    )

    returned = shown[ended]["returned"]
    assert (returned["since"], returned["perhaps_since"]) == (
        before[ended]["missing"]["since"],
        before[ended]["missing"]["perhaps_since"],
    )
    assert returned["returned_on"] == shown[ended]["signed_in_on"]
    assert shown[ended]["missing"] is None
    assert shown[never]["returned"] is None
    assert (counted["count"], counted["complete"]) == (1, True)
    assert (counted["begin"], counted["end"]) == (
        returned["perhaps_since"],
        returned["returned_on"],
    )
    assert lead.id.encode() not in Path("evidence/watch.db").read_bytes()


def test_the_longest_unproven_are_used_once_a_day(sandbox: Sandbox) -> None:
    """`--use` tries those without proof first, nobody twice a day, and keeps a refusal."""
    rows()
    sandbox.state.cyclr.list_installed(sandbox.state.cyclr.story[0])[0].access_token = "ended"
    first = json.loads(runbook("connections", "--use", "2", "--json").stdout)
    again = json.loads(runbook("connections", "--use", "2", "--json").stdout)
    rest = runbook("connections", "--use", "9", "--json")
    refused = json.loads(rest.stdout)["refused"] + first["refused"]
    shown = rows()

    assert len(first["answered"] + first["refused"]) == 2
    assert (again["answered"], again["refused"], again["left"]) == ([], [], 3)
    assert refused == [sandbox.state.cyclr.story[0]]
    assert shown[refused[0]]["standing"] == "calls_fail"
    assert shown[refused[0]]["used_on"] == ""
    used = [row for row in shown.values() if row["used_on"]]
    assert len(used) == 4
    assert {row["standing"] for row in used} == {"signed_in"}


def test_a_proof_by_use_needs_a_survey(sandbox: Sandbox) -> None:
    """Before the first survey nobody is known: the command says what to run first."""
    refusal = runbook("connections", "--use", "3")
    assert refusal.exit_code == ExitCode.USAGE
    assert wording("connections.no-survey-yet") in refusal.stderr
    assert sandbox.state.cyclr.transaction_errors == []


@pytest.mark.parametrize("words", [("--use", "3"), ("--count", "a", "--form", "1")])
def test_nothing_is_called_without_permission(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Without the setting no call is made with a customer's sign-in."""
    rows()
    monkeypatch.setenv("RUNBOOK_CYCLR_USE_CONNECTIONS", "false")
    refusal = runbook("connections", *words)
    assert refusal.exit_code == ExitCode.USAGE
    assert "use_connections" in refusal.stderr
    assert not any(row["tried_on"] for row in rows().values())


def test_half_of_the_hours_calls_are_left(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once half of this hour's calls are used, the rest waits, and a person reads why."""
    rows()
    monkeypatch.setattr("runbook_lib.engine.tenant_run.Run.used_calls", 50.0)
    stopped = json.loads(runbook("connections", "--use", "3", "--json").stdout)
    assert (stopped["answered"], stopped["left"]) == ([], 5)
    assert wording("connections.half-of-the-calls") in stopped["lines"]
