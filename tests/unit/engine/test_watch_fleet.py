"""A fleet's watch: one message for one cause, none lost, shared connections, and the page."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpcore
import pytest
from filelock import FileLock

from facebook_cyclr_sandbox.customers import add_customers, end_connection
from facebook_cyclr_sandbox.state.faults import fault_of
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.core.model import Mode
from runbook_lib.core.outcome import LABELS
from runbook_lib.engine import notify, watched
from runbook_lib.engine import watch_fleet as engine_fleet
from runbook_lib.engine.run import open_run
from runbook_lib.engine.watch import open_watch
from runbook_lib.engine.watch_fleet import by_cause, watch_fleet
from runbook_lib.engine.watched import read_watched
from runbook_lib.errors import BusyError, ExitCode, SettingsError
from runbook_lib.remote.transport import Wires
from tests.support.post import SECRET, Post
from tests.support.words import assigned
from tests.unit.cli.test_people import runbook
from tests.unit.engine import test_notify
from tests.unit.engine.test_watch import DAY, HOUR, MINUTE, PROCEDURE, Desk

# Its fixtures.
desk, post = test_notify.desk, test_notify.post
THREE = ("acme", "beta", "coda")


def tenant(name: str, **given: Any) -> FleetTenant:
    """Return a tenant of the file, which has begun."""
    if not Path("evidence", name).exists():
        run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant=name, env_file="watch.env")
        run.start()
        run.close()
    return FleetTenant(name, PROCEDURE, given, {})


def looked(
    desk: Desk, after: float = 0.0, tenants: Sequence[FleetTenant | str] = THREE
) -> list[str]:
    """Look at the tenants once after so many seconds; return what was said about it."""
    desk.wait(after)
    named = [tenant(name) if isinstance(name, str) else name for name in tenants]
    with watch_fleet(named, env_file="watch.env", clock=desk.now) as fleet:
        lines = [*fleet.look()]
        fleet.show()
        lines += [*fleet.notify(), *fleet.look_at_customers()]
        fleet.show()
        return [*lines, *fleet.notify(), *fleet.write_page()]


def kept(name: str) -> Any:
    """Return what is kept of a tenant."""
    return read_watched(Path("evidence", name, PROCEDURE.id, "watch.json"))


def listed(mail: Any) -> list[str]:
    """Return the tenants that a mail lists."""
    _, _, names = mail.get_content().partition("Tenants:")
    return [line.strip() for line in names.splitlines() if line.strip()]


def test_one_cause_is_one_message_with_its_tenants(desk: Desk, post: Post) -> None:
    """A secret that is refused for three tenants is one mail and one post, and so is its end."""

    looked(desk)
    secret, desk.app.secret = desk.app.secret, "f" * 32
    assert looked(desk, DAY) == []
    assert looked(desk, HOUR) == []
    desk.app.secret = secret
    looked(desk, HOUR)
    looked(desk, HOUR)

    failed, recovered = post.mails
    assert failed["Subject"].startswith("SANDBOX 3 tenants: 13 Complete Settings > Basic")
    assert listed(failed) == listed(recovered) == [*THREE]
    assert recovered["References"] == failed["Message-ID"]
    first, over = (hook["data"] for hook in post.hooks)
    assert first["tenants"] == over["tenants"] == [*THREE]
    assert "tenant" not in first
    assert (over["kind"], over["ends"]) == ("recovered", first["id"])
    assert post.ids == [f"msg_{first['id']}", f"msg_{over['id']}"]
    assert {kept(name).changes[0].groups["webhook"] for name in THREE} == {first["id"]}


def test_one_tenants_message_is_its_own(desk: Desk, post: Post) -> None:
    """What hits one tenant is a message as a watch of that tenant alone sends it."""

    looked(desk, tenants=["acme"])
    desk.app.secret = "f" * 32
    looked(desk, DAY, tenants=["acme"])

    (mail,), (hook,) = post.mails, post.hooks
    (change,) = kept("acme").changes
    assert mail["Subject"].startswith("SANDBOX acme: 13 Complete")
    assert "Tenants:" not in mail.get_content()
    assert (hook["data"]["tenant"], hook["data"]["tenants"]) == ("acme", ["acme"])
    assert mail["Message-ID"] == f"<{change.id}@acme.example>"
    assert not read_watched(Path("evidence/watch.json")).changes


def test_each_address_gets_its_own_tenants_only(desk: Desk, post: Post) -> None:
    """Tenants with addresses of their own are not named to others, to people neither."""

    fleet = ["acme", "beta", tenant("coda", mail_to="c@coda.example"), "dodo"]
    run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="dodo", env_file="watch.env")
    looked(desk, tenants=fleet)
    run.say([assigned("fb-13-app-id-and-secret", "Ann")])
    run.close()
    desk.app.secret = "f" * 32
    looked(desk, DAY, tenants=fleet)

    to = {mail["To"]: mail for mail in post.mails}
    assert {address: listed(mail) for address, mail in to.items()} == {
        "all@acme.example": ["acme", "beta"],
        "c@coda.example": [],
        "ann@acme.example": [],
    }
    assert to["c@coda.example"]["Subject"].startswith("SANDBOX coda: ")
    assert to["ann@acme.example"]["Subject"].startswith("SANDBOX dodo: ")


def test_an_outage_and_a_day_that_comes_are_one_message(desk: Desk, post: Post) -> None:
    """What does not answer, and what falls due for all on a day, is said once for all of them."""

    due = desk.now().date().fromordinal(desk.now().date().toordinal() + 8).isoformat()
    for name in THREE:
        tenant(name)
        run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant=name, env_file="watch.env")
        run.say([assigned("fb-01-log-in", "Ann", due=due)])
        run.close()
    looked(desk)
    looked(desk, DAY)
    desk.world.faults.active = [fault_of({"kind": "server-error", "share": 1.0})]
    looked(desk, HOUR)
    looked(desk, DAY)
    looked(desk, DAY)

    about = {hook["data"]["kind"]: hook["data"] for hook in post.hooks}
    assert about["due"]["tenants"] == about["outage"]["tenants"] == [*THREE]
    assert about["due"]["reason"].startswith("due, Ann (1 ")
    kinds = Counter(hook["data"]["kind"] for hook in post.hooks)
    assert (kinds["due"], kinds["outage"]) == (1 + (len(post.hooks) > 2), 1)


@pytest.mark.matrix(1)
@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_a_kill_at_any_moment_loses_no_tenant(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch, moves: bool, is_written: bool
) -> None:
    """
    Killed before or after any write, each tenant is named, and by messages of one id each.

    Only a kill between acceptance and our line repeats a message: with its id and its tenants. So
    it is where each tenant has moved to its own address, and the message is taken apart.
    """

    write = watched.write_whole
    fleet = [tenant(name) for name in THREE]
    looked(desk, tenants=fleet)
    desk.app.secret, post.refuses = "f" * 32, moves
    desk.wait(DAY)
    if moves:
        looked(desk, tenants=fleet)
        fleet = [tenant(name, mail_to=f"{name}@{name}.example") for name in THREE]
        post.refuses = False
        desk.wait(HOUR)
    else:
        with watch_fleet(fleet, env_file="watch.env", clock=desk.now) as opened:
            assert list(opened.look()) == []
    shutil.copytree("evidence", "before")
    repeated, is_killed, number = 0, True, 0
    while is_killed:
        number, is_killed = number + 1, False
        left = number
        shutil.rmtree("evidence")
        shutil.copytree("before", "evidence")
        post.mails, post.hooks, post.ids = [], [], []

        def killed(*given: Any, **more: Any) -> None:
            nonlocal left
            left -= 1
            if left or is_written:
                write(*given, **more)
            if not left:
                raise KeyboardInterrupt

        monkeypatch.setattr(watched, "write_whole", killed)
        try:
            looked(desk, tenants=fleet)
        except KeyboardInterrupt:
            is_killed = True
        monkeypatch.setattr(watched, "write_whole", write)
        for _ in range(1 + moves):
            looked(desk, MINUTE, fleet)

        mails = {mail["Message-ID"]: mail for mail in post.mails}
        named = [listed(mail) or [mail["To"].partition("@")[0]] for mail in mails.values()]
        assert sorted(name for names in named for name in names) == [*THREE]
        assert all(listed(mail) == listed(mails[mail["Message-ID"]]) for mail in post.mails)
        assert len(set(post.ids)) == 1
        repeated += len(post.mails) + len(post.ids) - len(mails) - 1

    assert number > 8
    assert repeated == (0 if is_written else 2 - moves)


def test_a_group_is_sent_again_with_growing_waits(desk: Desk, post: Post) -> None:
    """A message about several tenants that is refused is tried later, with the same id."""

    looked(desk)
    desk.app.secret, post.refuses = "f" * 32, True
    refused = looked(desk, DAY)
    ids, post.hooks = set(post.ids), []
    soon, later = looked(desk, 4 * MINUTE), looked(desk, 2 * MINUTE)
    between = looked(desk, 6 * MINUTE)
    post.refuses, post.hooks = False, []
    looked(desk, 10 * MINUTE)
    looked(desk, DAY)

    assert [len(part) for part in (refused, soon, later, between)] == [2, 0, 2, 0]
    assert len(post.mails) == len(post.hooks) == 1
    assert listed(post.mails[0]) == post.hooks[0]["data"]["tenants"] == [*THREE]
    assert set(post.ids) == ids
    text = Path("evidence/watch.json").read_text()
    assert SECRET not in text
    assert "@" not in text


def test_a_group_that_lasts_goes_to_the_second_address(desk: Desk, post: Post) -> None:
    """What fails for several tenants is escalated once for all of them, in the same thread."""

    looked(desk)
    desk.app.secret = "f" * 32
    for _ in range(5):
        looked(desk, DAY)

    first, second = post.mails
    assert post.recipients == ["all@acme.example", "head@acme.example"]
    assert second["Subject"].endswith(": still failed")
    assert listed(second) == [*THREE]
    assert second["References"] == first["Message-ID"] != second["Message-ID"]


def test_whoever_is_sent_elsewhere_by_now_is_not_named_to_others(desk: Desk, post: Post) -> None:
    """Where a tenant's address changes before its message is accepted, the others' goes alone."""

    looked(desk)
    desk.app.secret, post.refuses = "f" * 32, True
    looked(desk, DAY)
    post.refuses = False
    fleet = [tenant(name, mail_to=f"{name}@{name}.example") for name in THREE]
    looked(desk, HOUR, fleet)
    looked(desk, HOUR, fleet)

    assert {mail["To"]: listed(mail) for mail in post.mails} == {
        f"{name}@{name}.example": [] for name in THREE
    }
    assert len(post.mails) == len(THREE)


def test_a_tenant_that_cannot_be_looked_at_stops_no_other(desk: Desk, post: Post) -> None:
    """One that another process holds and one whose file is damaged are named; the rest is sent."""

    looked(desk, tenants=[*THREE, "dodo"])
    desk.app.secret = "f" * 32
    broken = Path("evidence/dodo", PROCEDURE.id, "watch.json")
    whole = broken.read_bytes()
    broken.write_bytes(b"{")
    lock = Path("evidence/acme", PROCEDURE.id, "watch.lock")
    with FileLock(lock):
        lines = looked(desk, DAY, [*THREE, "dodo"])
    broken.write_bytes(whole)
    looked(desk, MINUTE, [*THREE, "dodo"])

    assert lines[0].startswith("acme: Another watch is under way in ")
    assert "watch.json is damaged." in lines[1]
    assert [listed(mail) for mail in post.mails] == [["beta", "coda"], ["acme", "dodo"]]


def test_two_watches_over_a_fleet_do_not_meet(desk: Desk) -> None:
    """While another process watches a fleet in the folder, and with damaged messages, none does."""

    with FileLock("evidence/watch.lock"), pytest.raises(BusyError):
        looked(desk)
    Path("evidence/watch.json").write_text("{")
    with pytest.raises(SettingsError, match="is damaged"):
        looked(desk)


def test_a_fleet_shares_its_connections(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """To one host and port ten tenants open no more connections than one of them."""

    opened: Counter[int] = Counter()
    connect = httpcore.SyncBackend.connect_tcp

    def connected(backend: Any, host: str, port: int, *given: Any, **more: Any) -> Any:
        opened[port] += 1
        return connect(backend, host, port, *given, **more)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connected)
    looked(desk, tenants=[f"t{number}" for number in range(10)])

    assert len(opened) > 1
    # As many as one look asks at the same time.
    assert max(opened.values()) <= 6


def test_over_shared_connections_no_secret_gets_elsewhere(desk: Desk) -> None:
    """Each tenant is asked with its own secret, and no record of either has any of them."""

    wrong = "0123456789abcdef" * 2
    Path("other.env").write_text(f"SECRET={wrong}\n")
    other = FleetTenant("beta", PROCEDURE, {}, {"app_secret": "dotenv:other.env#SECRET"})
    given = {"acme": {}, "beta": dict(other.references)}
    wires, step = Wires(), "fb-13-app-id-and-secret"
    runs = [
        open_run(PROCEDURE, more, mode=Mode.INTERACTIVE, tenant=name, env_file="watch.env")
        for name, more in given.items()
    ]
    outcomes = []
    for run in runs * 2:
        run.share(wires)
        run.start()
        outcomes.append(LABELS[run.perform(step).conclusion.outcome])
    for run in runs:
        run.close()
    wires.close()
    looked(desk, tenants=["acme", other])

    assert outcomes == ["verified", "failed"] * 2
    content = b"".join(path.read_bytes() for path in Path("evidence").rglob("*") if path.is_file())
    assert desk.app.id.encode() in content
    assert desk.app.secret.encode() not in content
    assert wrong.encode() not in content


def test_the_page_says_how_each_tenant_stands(desk: Desk) -> None:
    """What fails and since when, what changed by cause, and who was not looked at and why."""

    fleet = [*THREE, FleetTenant("nobody", PROCEDURE, {}, {})]
    looked(desk, tenants=fleet)
    calm = Path("evidence/watch.html").read_text()
    desk.app.secret = "f" * 32
    looked(desk, DAY, fleet)
    new = Path("evidence/watch.html").read_text()
    looked(desk, HOUR, fleet)
    page = Path("evidence/watch.html").read_text()

    assert "Nothing in the last day." in calm
    assert "3 in order" in calm
    assert '<strong class="new">new</strong>' in new
    assert "3 failing" in page
    assert '<strong class="new">' not in page
    assert page.count('<div class="wait change"') == 1
    assert "<bdi>acme</bdi>, <bdi>beta</bdi>, <bdi>coda</bdi>" in page
    assert "There is no record yet of a tenant called nobody." in page
    assert "SANDBOX" in page
    assert "<script" not in page


def test_the_terminal_names_a_cause_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cause is one block with its tenants; a program gets a line for each of them."""

    monkeypatch.setattr(
        open_watch, "__kwdefaults__", {**(open_watch.__kwdefaults__ or {}), "clock": desk.now}
    )
    monkeypatch.setattr("runbook_lib.engine.watch.Watch.seal", lambda *_: "evidence/bundle")
    for name in ("acme", "beta"):
        tenant(name)
    Path("tenants.toml").write_text('[[tenant]]\ntenant = "acme"\n[[tenant]]\ntenant = "beta"\n')
    words = ("watch", "tenants.toml", "--once", "--env-file", "watch.env")
    first = runbook(*words)
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    Path("evidence").rename("kept")
    shutil.copytree("kept", "evidence")
    failed = runbook(*words)
    shutil.rmtree("evidence")
    Path("kept").rename("evidence")
    lines = runbook(*words, "--json").stdout.splitlines()

    assert (first.exit_code, first.output) == (ExitCode.COMPLETE, "")
    assert failed.exit_code == ExitCode.FAILED
    assert failed.stdout.startswith("✘ SANDBOX 2 tenants: 13 Complete Settings > Basic;")
    assert failed.stdout.endswith("    Tenants: acme, beta\n")
    assert len(lines) == 2


def test_what_differs_in_words_is_not_one_cause() -> None:
    """Tenants for which another step, reason or advice is there are told apart; times are not."""

    base = {
        "id": "1", "tenant": "acme", "tenants": ["acme"], "on": "2", "since": "2", "also": ["a"],
        "reason": "refused", "step": "x", "person": "", "ends": "",
    }  # fmt: skip
    other = {**base, "id": "2", "tenant": "beta", "tenants": ["beta"], "since": "1", "also": ["b"]}
    (both,) = by_cause([base, other])

    assert (both["tenants"], both["since"], both["also"]) == (["acme", "beta"], "1", ["a", "b"])
    assert len(by_cause([base, {**other, "reason": "another"}])) == 2


def test_the_messages_of_a_fleet_are_those_of_one_watch(desk: Desk) -> None:
    """A receiver is who gets it, through what: another server, sender or secret is another one."""

    def of(**given: Any) -> Any:
        run = open_run(PROCEDURE, given, mode=Mode.HEADLESS, tenant="acme", env_file="watch.env")
        change = notify.trial(desk.now(), "1")
        return [notify.receiver(run, change, way) for way in (notify.MAIL, notify.WEBHOOK)]

    mail, hook = of()
    assert of(mail_people="Ben=ben@acme.example") == [mail, hook]
    assert of(mail_from="else@acme.example")[0] != mail
    assert of(mail_to="else@acme.example")[1] == hook
    assert of(webhook="https://else.example/")[0] == mail
    assert of(webhook="https://else.example/")[1] != hook
    assert SECRET in hook[1]
    assert SECRET not in hook[0]


def test_customers_who_are_signed_out_are_one_message_of_all_tenants(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tenants with one console have one cause; without time left they are asked the next time."""

    (customer,) = add_customers(desk.world, 1)
    looked(desk)
    end_connection(desk.world, customer.id, "token-ended", is_noticed=True)
    with monkeypatch.context() as patch:
        patch.setattr(engine_fleet, "_CUSTOMER_SECONDS", -1.0)
        looked(desk, DAY)
    assert not kept("acme").topics["customers"].candidate
    assert not [key for key in kept("acme").topics if key.startswith("customers/")]
    looked(desk, MINUTE)
    looked(desk, 6 * MINUTE)
    looked(desk, HOUR)

    (hook,) = post.hooks
    assert hook["data"]["tenants"] == [*THREE]
    assert hook["data"]["title"] == "Customers' connections"
    page = Path("evidence/watch.html").read_text(encoding="utf-8")
    assert page.count("Customers&#39; connections") == 1 + len(THREE)
