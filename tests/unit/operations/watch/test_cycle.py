"""A cycle over tenants: whatever breaks for one stops no other; the page, and health checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest
from filelock import FileLock

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.core.clock import utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import BusyError, ExitCode
from runbook_lib.evidence.reports.tenant_status import ItemGroup
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch import cycle as cycle_module
from runbook_lib.operations.watch.cycle import open_cycle
from runbook_lib.operations.watch.poll import PollResult, poll_tenant
from runbook_lib.operations.watch.results import is_broken
from runbook_lib.operations.watch.saved_items import acknowledge, settle
from runbook_lib.operations.watch.watch_state import Digest, WatchState, open_state
from runbook_lib.remote.client import ConnectionPools
from tests.support.post import receiving
from tests.support.wording import wording
from tests.unit.fake_console import Console
from tests.unit.operations.watch.desk import DAY, HOUR, MINUTE, PROCEDURE, Desk, deactivated

FOUR = ("acme", "beta", "coda", "dodo")


@pytest.mark.parametrize("error", [OSError(5, "secret"), ValueError("secret"), RecursionError()])
def test_an_error_of_one_tenant_stops_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is named, with the code 3 or the others' 1; the others' failures are sent."""

    def poll_or_break(run: Run, state: WatchState) -> PollResult:
        if run.tenant == "dodo":
            raise error
        return poll_tenant(run, state)

    desk.introduce(FOUR)
    monkeypatch.setattr(cycle_module, "poll_tenant", poll_or_break)
    desk.refuse_secret()
    lines = desk.cycle(DAY, FOUR)

    assert [line.startswith("dodo: ") for line in lines] == [True]
    assert desk.code is ExitCode.FAILED
    assert desk.post.take_news() == ["all new acme+beta+coda"]
    desk.answers.clear()
    for wait in (16 * MINUTE, 6 * MINUTE):
        desk.cycle(wait, FOUR)
    assert desk.code is ExitCode.INCOMPLETE


def test_a_tenant_that_another_process_polls_is_named(desk: Desk) -> None:
    """It is told of in the next cycle, by itself."""
    desk.introduce(FOUR)
    desk.refuse_secret()
    with FileLock(desk.journal("acme").with_name("watch.lock")):
        (line,) = desk.cycle(DAY, FOUR)
    desk.cycle(MINUTE, FOUR)

    assert line.startswith(wording("watch.another-is-running", tenant="acme"))
    assert desk.post.take_news() == [
        "all new beta+coda+dodo",
        "all changed acme+beta+coda+dodo",
    ]


def test_one_message_that_breaks_stops_no_other(desk: Desk) -> None:
    """It is named without what its error says, and the others' are sent."""
    fleet = [desk.tenant(name, mail_to=f"{name}@x.example") for name in FOUR]
    desk.introduce(fleet)
    desk.refuse_secret()

    def broken(to: str, _: Digest) -> None:
        if to.startswith("acme"):
            raise LookupError("secret")

    desk.post.act = broken
    (line,) = desk.cycle(DAY, fleet)
    assert "secret" not in line.lower().replace("app secret", "")
    assert desk.post.take_news() == ["beta new beta", "coda new coda", "dodo new dodo"]


def test_two_fleets_do_not_meet(desk: Desk) -> None:
    """One fleet at a time is watched in a folder; a tenant alone is watched beside it."""
    desk.cycle(0, FOUR)
    with FileLock("evidence/watch.lock"):
        with pytest.raises(BusyError):
            desk.cycle(DAY, FOUR)
        assert desk.cycle(0, ("acme",), is_alone=True) == []


def test_the_page_says_what_fails_and_who_knows(desk: Desk) -> None:
    """A row for each cause, until it is over."""
    fleet = FOUR[:3]
    desk.fail(fleet)
    (failing,) = desk.shown
    acknowledge(failing.row.id, by="Ann", note="on <it>", evidence="", now=desk.now())
    desk.cycle(HOUR, fleet)
    page = desk.page()
    desk.answers.clear()
    for wait in (16 * MINUTE, 6 * MINUTE):
        desk.cycle(wait, fleet)

    assert wording("status.needs-you-failing") in page
    assert wording("findings.secret-refused") in page
    assert "Ann: on &lt;it&gt;" in page
    assert "SANDBOX" in page
    assert wording("status.needs-you-failing") not in desk.page()


def test_a_deactivated_app_is_not_in_order_on_the_page(desk: Desk) -> None:
    """A check that cannot tell because of a known cause fails there, too."""
    desk.answers["", "app-name-matches"] = deactivated()
    desk.cycle(0)
    page = desk.page()
    assert wording("status.needs-you-failing") in page
    assert wording("findings.app-deactivated") in page


def test_a_tenant_in_an_outage_of_a_day_cannot_be_checked(desk: Desk) -> None:
    """It is told then, and does not fail; the code is 3. So is its end."""
    desk.introduce(FOUR[:2])
    checks = [check.id for step in PROCEDURE.steps for check in step.checks]
    desk.answers = {("acme", check): None for check in checks}
    desk.cycle(HOUR, FOUR[:2])
    desk.cycle(DAY - MINUTE, FOUR[:2])
    assert desk.post.take_news() == []
    desk.cycle(16 * MINUTE, FOUR[:2])
    unchecked = {
        status.tenant: [item.title for item in status.items if item.group is ItemGroup.UNCHECKED]
        for status in read_tenants("evidence", desk.now()).statuses
    }
    ((_, _, digest),) = desk.post.sent
    (title,) = unchecked["acme"]

    assert (unchecked["beta"], desk.code) == ([], ExitCode.INCOMPLETE)
    assert digest.subject == f"SANDBOX acme: {title}"
    assert desk.post.take_news() == ["all new acme"]
    assert wording("status.needs-you-failing") not in desk.page()
    desk.answers.clear()
    desk.cycle(16 * MINUTE, FOUR[:2])
    assert (desk.post.take_news(), desk.code) == (["all over acme"], ExitCode.COMPLETE)


@pytest.fixture
def console(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Let all tenants have their customers in one console."""
    desk.set(
        RUNBOOK_CYCLR_CLIENT_ID="partner-client",
        RUNBOOK_CYCLR_CLIENT_SECRET="cyclr-api-secret-Zq81",
        RUNBOOK_CYCLR_REQUESTS_A_SECOND="50",
    )
    console = Console({"a": True, "b": True})
    monkeypatch.setattr(ConnectionPools, "transports", lambda *_: (console, console))
    return console


def test_customers_of_one_console_are_one_row_of_all_tenants(
    desk: Desk, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are polled last; without time left they are polled by the next cycle."""
    desk.introduce(FOUR)
    console.accounts["a"] = False
    console.asked.clear()
    with monkeypatch.context() as patch:
        patch.setattr(cycle_module, "_CUSTOMER_SECONDS", -1.0)
        desk.cycle(DAY, FOUR)
    assert not console.asked
    desk.cycle(MINUTE, FOUR)
    desk.cycle(6 * MINUTE, FOUR)
    desk.cycle(HOUR, FOUR)

    ((_, _, digest),) = desk.post.sent
    signed_out = wording("status.customer-signed-out", customer="Name of a")
    assert digest.subject == f"SANDBOX 4 tenants: {signed_out}"
    assert desk.post.take_news() == ["all new acme+beta+coda+dodo"]


@pytest.mark.parametrize("status", [200, 503])
def test_each_cycle_is_told_to_the_health_check_once(desk: Desk, status: int) -> None:
    """One GET for each address follows each cycle; a refusal is a line, and changes no code."""
    with receiving() as post:
        post.refuses = status > 200
        desk.set(RUNBOOK_HEALTHCHECK=f"http://127.0.0.1:{post.hook_port}/ping")
        lines = desk.cycle(0, FOUR)

    assert post.pings[0] == "/ping"
    expected_lines = ["The health check answered 503 (127.0.0.1)."]
    assert lines == (expected_lines if status > 200 else [])
    assert desk.code is ExitCode.COMPLETE


# --- real connections -------------------------------------------------------------------------
@pytest.fixture
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Serve a sandbox whose settings are in `watch.env`."""
    with Sandbox("approved", seed=2) as running:
        items = [(item, running.settings(item.provider)) for item in inputs_of(PROCEDURE)]
        lines = [f'{i.variable}="{known[i.name]}"\n' for i, known in items if known.get(i.name)]
        (folder / "watch.env").write_text("".join(lines))
        yield running


def _begun(name: str, **references: str) -> FleetTenant:
    run = open_run(PROCEDURE, references, mode=Mode.INTERACTIVE, tenant=name, env_file="watch.env")
    run.start()
    run.close()
    return FleetTenant(name, PROCEDURE, {}, references)


def test_a_fleet_shares_its_connections_and_no_secret_gets_elsewhere(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To one host ten tenants open no more connections than one; each has its own secret."""
    opened: Counter[int] = Counter()
    connect = httpcore.SyncBackend.connect_tcp

    def connected(backend: Any, host: str, port: int, *given: Any, **more: Any) -> Any:
        opened[port] += 1
        return connect(backend, host, port, *given, **more)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connected)
    wrong = "0123456789abcdef" * 2
    Path("other.env").write_text(f"SECRET={wrong}\n")
    fleet = [_begun(f"t{number}") for number in range(5)]
    fleet += [_begun("other", app_secret="dotenv:other.env#SECRET")]
    with open_cycle(fleet, env_file="watch.env") as cycle:
        assert [*cycle.poll()] == []

    assert len(opened) > 1
    # As many as one poll asks at the same time.
    assert max(opened.values()) <= 6
    with open_state(Path("evidence"), utc_now()) as state:
        failing = {row.tenant for row in state.steps.read() if is_broken(row)}
    assert failing == {f"{PROCEDURE.id}/other"}
    content = b"".join(path.read_bytes() for path in Path("evidence").rglob("*") if path.is_file())
    secret = next(iter(sandbox.state.facebook.apps.values())).secret
    assert secret.encode() not in content
    assert wrong.encode() not in content


def test_a_slow_watch_ends_nothing_that_another_has_found(desk: Desk) -> None:
    """It read the tenant before the other one polled it: only the newer poll decides."""
    desk.cycle(0)
    before = read_tenants("evidence", desk.now()).statuses
    desk.refuse_secret()
    desk.cycle(DAY)
    with desk.state() as state, state.transaction():
        for status in before:
            settle(state, status, desk.now())

    failing = [row for row in desk.items() if row.news == "failing"]
    assert [row.ended_on for row in failing] == [""]
