"""`watch`: what a person, and a program, reads of what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.engine import watch as engine_watch
from runbook_lib.engine.process import Finished
from runbook_lib.engine.watched import read_watched
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.reports.wording import when
from tests.unit.cli.test_people import runbook
from tests.unit.engine.test_watch import DAY, Desk

ONCE = ("watch", "--once", "--tenant", "acme", "--env-file", "watch.env")


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(
        engine_watch, "run_in_process", lambda _: Finished("failed", Path("evidence/bundle"))
    )
    with Sandbox("approved", seed=2) as sandbox:
        desk = Desk(folder, sandbox)
        monkeypatch.setattr(
            engine_watch.open_watch, "__kwdefaults__",
            {**(engine_watch.open_watch.__kwdefaults__ or {}), "clock": desk.now},
        )  # fmt: skip
        yield desk
        desk.run.close()


def test_what_changed_is_printed_once(desk: Desk) -> None:
    """Nothing is printed of what stands; a failure once, with what to do; the code says it on."""

    first = runbook(*ONCE)
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    failed = runbook(*ONCE)
    again = runbook(*ONCE)

    assert (first.exit_code, first.output) == (ExitCode.COMPLETE, "")
    assert failed.exit_code == again.exit_code == ExitCode.FAILED
    assert failed.stdout.startswith("✘ SANDBOX acme: 13 Complete Settings > Basic;")
    assert "was verified, is failed" in failed.stdout
    assert "What to do: Copy the App Secret again" in failed.stdout
    assert failed.stderr == "Sealed: evidence/bundle\n"
    assert again.output == ""


def test_a_program_gets_a_line_for_each_change(desk: Desk) -> None:
    """`--json` prints each change as one line, with the tenant and its id."""

    runbook(*ONCE)
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    (line,) = runbook(*ONCE, "--json").stdout.splitlines()

    change = json.loads(line)
    (kept,) = read_watched(desk.path).changes
    assert (change["tenant"], change["sandbox"], change["kind"]) == ("acme", True, "failed")
    assert change["id"] == kept.id
    assert kept.shown_on


def test_what_cannot_be_looked_at_is_incomplete(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A used-up hour is said on the error output, with the code of what is incomplete."""

    monkeypatch.setattr("runbook_lib.engine.run.Run.used_calls", 99.0)
    held = runbook(*ONCE)

    assert (held.exit_code, held.stdout) == (ExitCode.INCOMPLETE, "")
    assert held.stderr == "Not looked: 99 % of the app's calls of this hour are used.\n"


def test_without_once_it_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop looks again every five minutes, until it is interrupted."""

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        desk.wait(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("runbook_lib.cli.watch.time.sleep", sleep)
    ended = runbook("watch", *ONCE[2:])

    assert waits == [300, 300, 300]
    assert ended.exit_code == ExitCode.INTERRUPTED


def test_it_is_seen_when_a_tenant_was_last_looked_at(desk: Desk) -> None:
    """`tenants` and `inbox` say when; nothing before the first look, and what cannot be read."""

    before = [runbook(name) for name in ("tenants", "inbox")]
    runbook(*ONCE)
    looked_on = read_watched(desk.path).looked_on
    after = [runbook(name) for name in ("tenants", "inbox")]
    (tenant,) = json.loads(runbook("tenants", "--json").stdout)
    items = json.loads(runbook("inbox", "--json").stdout)
    desk.path.write_text("{}")
    broken = [runbook(name) for name in ("tenants", "inbox")]

    assert not [shown for shown in before if "looked at" in shown.stdout]
    assert all(f"last looked at {when(looked_on)}" in shown.stdout for shown in after)
    assert {looked_on} == {tenant["looked_on"], *(item["looked_on"] for item in items)}
    assert all("last looked at cannot be read" in shown.stdout for shown in broken)


def test_a_fleet_is_looked_at_tenant_by_tenant(desk: Desk) -> None:
    """Each tenant of the file is looked at; one that nobody knows is named, and stops no other."""

    Path("tenants.toml").write_text(
        '[[tenant]]\ntenant = "nobody"\nservice_domain = "nobody-h.cyclr.com"\n'
        '[[tenant]]\ntenant = "acme"\n'
        'secrets = {app_secret = "dotenv:watch.env#RUNBOOK_FACEBOOK_APP_SECRET"}\n'
    )
    words = ("watch", "tenants.toml", "--once", "--env-file", "watch.env")
    first = runbook(*words)
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    failed = runbook(*words)

    assert (first.exit_code, first.stdout) == (ExitCode.INCOMPLETE, "")
    assert first.stderr.startswith("nobody: There is no record yet of a tenant called nobody.")
    assert failed.exit_code == ExitCode.FAILED
    assert failed.stdout.startswith("✘ SANDBOX acme: 13 Complete Settings > Basic;")
    assert not Path("evidence/nobody").exists()


def test_a_fleets_file_brings_its_own_values(desk: Desk) -> None:
    """`--set` and `--notify-test` are for one tenant: with a file they are a mistake."""

    for more in (("--set", "app_id=1"), ("--notify-test",)):
        assert runbook("watch", "tenants.toml", *more).exit_code == ExitCode.USAGE
