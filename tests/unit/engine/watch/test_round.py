"""A round over tenants: whatever breaks for one stops no other; what is shown, and the page."""

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
from runbook_lib.config.runner_inputs import inputs_of
from runbook_lib.core.model import Mode
from runbook_lib.engine import customer_connections
from runbook_lib.engine.run import open_run
from runbook_lib.engine.watch import outbox
from runbook_lib.engine.watch import round as round_module
from runbook_lib.engine.watch.answers import Kind
from runbook_lib.engine.watch.look import Watch, WatchResult
from runbook_lib.engine.watch.messages import by_cause
from runbook_lib.engine.watch.round import watching
from runbook_lib.errors import BusyError, ExitCode
from runbook_lib.remote.transport import Wires
from tests.support.post import receiving
from tests.unit.engine.watch.desk import (
    DAY,
    HOUR,
    MINUTE,
    PROCEDURE,
    Desk,
    be_silent,
    refuse,
    take,
)
from tests.unit.fake_console import Console

FOUR = ("acme", "beta", "coda", "dodo")


def _damage(desk: Desk, _: pytest.MonkeyPatch) -> None:
    desk.path("dodo").write_bytes(b"{")


def _break(error: Exception) -> Any:
    def broken(_: Desk, patch: pytest.MonkeyPatch) -> None:
        look = Watch.look

        def look_or_break(watch: Watch) -> WatchResult:
            if watch.run.tenant == "dodo":
                raise error
            return look(watch)

        patch.setattr(Watch, "look", look_or_break)

    return broken


def _forget(_: Desk, __: pytest.MonkeyPatch) -> None:
    Path("evidence/dodo", PROCEDURE.id, "journal.jsonl").rename("journal.jsonl")


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (_damage, "watch.json is damaged. Next: Move it away"),
        (_break(ValueError("secret")), "The runbook itself broke (ValueError)."),
        (_break(OSError(28, "No space left on device")), "Cannot write to disk: No space left"),
        (_break(OSError(21, "Is a directory", "/srv/x.lock")), "to disk: Is a directory (x.lock)."),
        (_forget, "There is no record yet of a tenant called dodo."),
    ],
)
def test_what_breaks_for_one_tenant_stops_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, breaks: Any, says: str
) -> None:
    """It is named, with the code 3 or the others' 1; what the others have in common is sent."""
    desk.round(0, FOUR)
    breaks(desk, monkeypatch)
    desk.refuse_secret()
    lines = desk.round(DAY, FOUR)

    assert [line.startswith("dodo: ") for line in lines] == [True]
    assert says in lines[0]
    assert "secret" not in lines[0]
    assert desk.code is ExitCode.FAILED
    assert desk.post.told() == [("all@acme.example", "failed", ["acme", "beta", "coda"])]
    assert "not looked at" in Path("evidence/watch.html").read_text()


def test_a_tenant_that_another_process_looks_at_is_named(desk: Desk) -> None:
    """It is told of in the next round, by itself."""
    desk.round(0, FOUR)
    desk.refuse_secret()
    with FileLock(desk.path("acme").with_suffix(".lock")):
        (line,) = desk.round(DAY, FOUR)
    desk.round(MINUTE, FOUR)

    assert line.startswith("acme: Another watch is running in ")
    assert [tenants for *_, tenants in desk.post.told()] == [[*FOUR[1:]], ["acme"]]


@pytest.mark.parametrize(("seconds", "batches"), [(10.0, 1), (-1.0, 4)])
def test_one_message_that_breaks_stops_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, seconds: float, batches: int
) -> None:
    """It is named, and the others' are sent; all are marked together, or first what was sent."""
    monkeypatch.setattr(outbox, "_SENDING_SECONDS", seconds)
    fleet = [desk.tenant(name, mail_to=f"{name}@x.example") for name in FOUR]
    desk.round(0, fleet)
    desk.refuse_secret()

    def broken(to: str, _: Any) -> None:
        if to.startswith("acme"):
            raise LookupError("secret")

    desk.post.act, marked, mark = broken, [], outbox.Outbox.mark
    monkeypatch.setattr(outbox.Outbox, "mark", lambda *given: marked.append(mark(*given)))
    (line,) = desk.round(DAY, fleet)

    assert len(marked) == batches
    assert "the message could not be made (LookupError)" in line
    assert len(desk.post.told()) == 3
    assert len(desk.post.tries) == 4


def test_two_fleets_do_not_meet(desk: Desk) -> None:
    """One fleet at a time is watched in a folder; a tenant alone is watched beside it."""
    desk.round(0, FOUR)
    with FileLock("evidence/watch.lock"):
        with pytest.raises(BusyError):
            desk.round(DAY, FOUR)
        assert desk.round(0, ("acme",), is_alone=True) == []


def test_what_nobody_was_shown_is_not_lost(desk: Desk) -> None:
    """A round that was killed before it was shown is shown by the next one, with the same id."""
    desk.round()
    desk.refuse_secret()
    desk.offset += DAY
    alone = [desk.tenant("acme")]

    def shown(*, is_killed: bool) -> list[str]:
        with watching(alone, env_file="watch.env", clock=desk.now) as this:
            assert [*this.look()] == []
            new = [document["id"] for document in this.new]
            if not is_killed:
                this.show()
                assert this.new == []
                assert [*this.send()] == []
            return new

    first = shown(is_killed=True)
    assert len(first) == 1
    assert [shown(is_killed=False), shown(is_killed=False)] == [first, []]


def test_the_page_says_how_each_tenant_stands(desk: Desk) -> None:
    """What fails, since when, and who knows; what changed by cause; who was not looked at, why."""
    fleet = [*FOUR[:3], FleetTenant("nobody", PROCEDURE, {}, {})]
    page = Path("evidence/watch.html")
    desk.round(0, fleet)
    calm = page.read_text()
    desk.refuse_secret()
    desk.round(DAY, fleet)
    new = page.read_text()
    (change,) = desk.kept().changes
    outbox.acknowledge(change.id, by="Ann", until="", note="on <it>", evidence="")
    desk.round(HOUR, fleet)
    later = page.read_text()

    assert "Nothing in the last day." in calm
    assert "3 in order" in calm
    assert '<strong class="new">new</strong>' in new
    assert "3 failing" in later
    assert '<strong class="new">' not in later
    assert later.count('<div class="wait change"') == 1
    assert "<bdi>acme</bdi>, <bdi>beta</bdi>, <bdi>coda</bdi>" in later
    assert "There is no record yet of a tenant called nobody." in later
    assert "Ann has known since" in later
    assert "on &lt;it&gt;" in later
    assert "SANDBOX" in later
    assert "<script" not in later


def test_the_page_names_whose_systems_do_not_answer(desk: Desk) -> None:
    """A tenant in an outage is not in order, and does not fail."""
    desk.round(0, FOUR[:2])
    checks = [check.id for step in PROCEDURE.steps for check in step.checks]
    desk.answers = {("acme", check): None for check in checks}
    desk.round(DAY, FOUR[:2])
    page = Path("evidence/watch.html").read_text()

    assert "1 not answered" in page
    assert "1 in order" in page
    assert "failing" not in page


def test_the_page_names_what_is_over(desk: Desk) -> None:
    """Also what was sent, shown and forgotten by the outbox, for a day."""
    desk.fail()
    desk.answers.clear()
    for wait in (16, 6, 60):
        desk.round(wait * MINUTE)
    page = Path("evidence/watch.html").read_text()

    assert page.count('<div class="wait change"') == 2
    assert "1 in order" in page


@pytest.mark.parametrize("differs", ["reason", "do", "sandbox", "connector", "kind"])
def test_what_differs_in_words_is_not_one_cause(differs: str) -> None:
    """Tenants for which another step, reason or advice is there are told apart; times are not."""
    base: dict[str, Any] = {
        "id": "1", "tenants": ["acme"], "on": "2", "since": "2", "also": ["a"],
        "reason": "refused", "do": "x", "person": "", "ends": "", "sandbox": True,
        "connector": "x", "kind": "failed", "acknowledged": None,
    }  # fmt: skip
    other = {**base, "id": "2", "tenants": ["beta"], "since": "1", "also": ["b"]}
    (both,) = by_cause([base, other])

    assert (both["tenants"], both["since"], both["also"]) == (["acme", "beta"], "1", ["a", "b"])
    assert len(by_cause([base, {**other, differs: False}])) == 2


@pytest.fixture
def console(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Let all tenants have their customers in one console."""
    desk.set(
        RUNBOOK_CYCLR_CLIENT_ID="partner-client",
        RUNBOOK_CYCLR_CLIENT_SECRET="cyclr-api-secret-Zq81",
        RUNBOOK_CYCLR_REQUESTS_A_SECOND="50",
    )
    console = Console({"a": True, "b": True})
    monkeypatch.setattr(Wires, "of", lambda *_: (console, console))
    return console


def test_customers_of_one_console_are_one_message_of_all_tenants(
    desk: Desk, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked last; without time left they are asked the next time."""
    desk.round(0, FOUR)
    console.accounts["a"] = False
    console.asked.clear()
    with monkeypatch.context() as patch:
        patch.setattr(round_module, "_CUSTOMER_SECONDS", -1.0)
        desk.round(DAY, FOUR)
    assert not console.asked
    desk.round(MINUTE, FOUR)
    desk.round(6 * MINUTE, FOUR)
    desk.round(HOUR, FOUR)

    assert desk.post.told() == [("all@acme.example", "failed", [*FOUR])]
    page = Path("evidence/watch.html").read_text(encoding="utf-8")
    # The sentence on top, the row of each tenant, and the change.
    assert page.count("Customers&#39; connections") == 1 + len(FOUR) + 1


def test_a_part_of_the_customers_who_are_back_is_told_after_the_rest(
    desk: Desk, console: Console
) -> None:
    """While nobody was told that they are out, neither those who are back nor the end is sent."""
    desk.round()
    console.accounts |= {"a": False, "b": False}
    desk.post.act = refuse
    for name in ("", "a", "b"):
        console.accounts |= {name: True} if name else {}
        desk.round(DAY)
        desk.round(6 * MINUTE)
    kinds = [change.kind for change in desk.kept().changes]
    desk.post.act = take
    desk.round(DAY)
    desk.round(DAY)

    assert kinds == [Kind.FAILED, Kind.RECOVERED, Kind.RECOVERED]
    assert desk.post.told() == []


@pytest.mark.parametrize(
    ("act", "sent", "tries"),
    [(take, ["fb-13-app-id-and-secret", ""], 2), (be_silent, [], 1)],
    ids=["it answers", "it is silent"],
)
def test_what_a_step_says_does_not_wait_for_customers(
    desk: Desk, console: Console, act: Any, sent: list[str], tries: int
) -> None:
    """It is sent before they are asked; a server that was silent is not waited for again then."""
    desk.round()
    console.accounts["a"] = False
    desk.round(DAY)
    desk.refuse_secret()
    desk.post.tries.clear()
    console.asked.clear()
    asked: list[int] = []

    def took(*given: Any) -> None:
        asked.append(len(console.asked))
        act(*given)

    desk.post.act = took
    desk.round(DAY)

    assert [message.document["step"] for *_, message in desk.post.sent] == sent
    assert len(desk.post.tries) == tries
    assert asked[0] == 0
    assert console.asked
    assert [change.kind for change in desk.kept().changes] == [Kind.FAILED, Kind.FAILED]


def test_customers_that_cannot_be_read_stop_nothing_else(desk: Desk, console: Console) -> None:
    """Where the file of the customers is damaged the steps are watched and told of."""
    desk.round()
    desk.path().with_name(customer_connections.CONNECTIONS_NAME).write_text("{")
    desk.refuse_secret()
    (line,) = desk.round(DAY)

    assert "connections.json cannot be read" in line
    assert desk.code is ExitCode.FAILED
    assert desk.post.told() == [("all@acme.example", "failed", ["acme"])]
    assert console.requests


@pytest.mark.parametrize("status", [200, 503])
def test_each_round_is_told_to_the_health_check_once(desk: Desk, status: int) -> None:
    """One GET for each address follows each round; a refusal is said, and changes no code."""
    with receiving() as post:
        post.refuses = status > 200
        desk.set(RUNBOOK_HEALTHCHECK=f"http://127.0.0.1:{post.hook_port}/ping")
        lines = desk.round(0, FOUR)

    assert post.pings[0] == "/ping"
    said = ["The health check answered 503 (127.0.0.1)."]
    assert lines == (said if status > 200 else [])
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
    with watching(fleet, env_file="watch.env") as this:
        assert [*this.look()] == []

    assert len(opened) > 1
    # As many as one look asks at the same time.
    assert max(opened.values()) <= 6
    outcomes = {row.tenant: row.word for row in this._rows.values()}
    assert outcomes.pop("other") == "failing"
    assert set(outcomes.values()) == {"in order"}
    content = b"".join(path.read_bytes() for path in Path("evidence").rglob("*") if path.is_file())
    secret = next(iter(sandbox.world.facebook.apps.values())).secret
    assert secret.encode() not in content
    assert wrong.encode() not in content
