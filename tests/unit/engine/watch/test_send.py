"""Receivers and their digests, whatever refuses, moves, ends or is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.findings import compared
from runbook_lib.core.model import Outcome
from runbook_lib.engine.watch import send as send_module
from runbook_lib.engine.watch import watch_state as state_module
from runbook_lib.engine.watch.cycle import acknowledge
from runbook_lib.engine.watch.watch_state import Digest, WatchState, WatchStateError
from runbook_lib.errors import ExitCode, SettingsError
from tests.support.attestations import assigned
from tests.support.commands import runbook
from tests.support.wording import refused, wording
from tests.unit.engine.watch.desk import (
    DAY,
    HOOK_SECRET,
    HOUR,
    MINUTE,
    PROCEDURE,
    SECRET,
    SECRET_CHECK,
    SECRET_STEP,
    Desk,
    be_silent,
    deactivated,
    finding,
    refuse,
    refusing,
    take,
)

THREE = ("acme", "beta", "coda")
REAL = {"graph_url": "https://graph.facebook.com", "cyclr_api_url": "https://api.cyclr.com"}
OWN = "own@coda.example"
HOOK = {"RUNBOOK_WEBHOOK": "https://hooks.acme.example/x", "RUNBOOK_WEBHOOK_SECRET": HOOK_SECRET}
YEARS = 3_650 * DAY
REFUSED = wording("findings.secret-refused")


@pytest.fixture
def failing(desk: Desk) -> Desk:
    """Three tenants, whose receiver was introduced, and whose App Secret is refused from now on."""
    desk.cycle(0, THREE)
    desk.post.take_reports()
    desk.refuse_secret()
    return desk


def recover(desk: Desk, tenants: Sequence[Any] = THREE) -> list[str]:
    """Let what failed be as it was, seen twice."""
    desk.answers.clear()
    return desk.cycle(16 * MINUTE, tenants) + desk.cycle(6 * MINUTE, tenants)


# --- the content ------------------------------------------------------------------------------
def test_the_first_digest_says_what_is_watched_and_what_fails_already(desk: Desk) -> None:
    """It is sent also if nothing fails; what failed before is reported, and reminded of."""
    desk.refuse_secret("beta")
    desk.cycle(0, THREE)
    ((_, _, first),) = desk.post.sent
    told = desk.post.take_reports()
    desk.cycle(DAY, THREE)

    assert told == ["all watched acme+beta+coda", "all new beta"]
    assert first.text.startswith(wording("watch.first-digest", tenants=3, names="acme, beta, coda"))
    assert first.subject == f"SANDBOX beta: {REFUSED}"
    assert desk.post.take_reports() == ["all still failing beta"]


def test_nothing_that_fails_is_said_once(desk: Desk) -> None:
    """A receiver whose tenants are in order gets one digest, which says so."""
    for _ in range(3):
        desk.cycle(DAY, THREE)
    ((_, _, first),) = desk.post.sent
    assert first.subject == wording("watch.nothing-fails", tenants=3)
    assert first.document["problems"] == []


def test_one_cause_is_one_entry_and_so_is_its_end(failing: Desk) -> None:
    """Each channel gets it once; the end is in its thread."""
    failing.answers.clear()
    failing.set(**HOOK)
    failing.cycle(HOUR, THREE)
    failing.post.sent.clear()
    failing.refuse_secret()
    assert failing.cycle(DAY, THREE) == failing.cycle(HOUR, THREE) == []
    sent = {channel: digest for channel, _, digest in failing.post.sent}
    assert recover(failing) == []
    over = {channel: digest for channel, _, digest in failing.post.sent[2:]}

    assert sent.keys() == over.keys() == {"mail", "webhook"}
    for channel, digest in sent.items():
        assert over[channel].thread == [digest.id]
        assert len({problem["phase"] for problem in over[channel].document["problems"]}) == 1
    assert sent["mail"].subject == f"SANDBOX 3 tenants: {REFUSED}"
    assert over["mail"].subject == f"SANDBOX 3 tenants: over: {REFUSED}"
    assert "Tenants: acme, beta, coda" in sent["mail"].text
    assert wording("screens.what-to-do") in sent["mail"].text
    assert failing.cycle(DAY, THREE) == []
    assert len(failing.post.sent) == 4


def test_the_state_has_no_address_and_no_secret(failing: Desk) -> None:
    """Digests stand for addresses."""
    failing.set(**HOOK)
    failing.cycle(DAY, THREE)
    content = failing.path.read_bytes()
    assert not [word for word in (SECRET, HOOK_SECRET, "@acme") if word.encode() in content]
    assert failing.path.stat().st_mode & 0o777 == 0o600


def test_a_deactivated_app_is_one_entry_of_one_digest(desk: Desk) -> None:
    """Its cause is the subject, its steps are named, and no display name or advice to run again."""
    desk.cycle(0)
    desk.post.take_reports()
    refused = finding(Outcome.INCONCLUSIVE, "API access deactivated.", code="app-deactivated")
    desk.answers = {
        ("", "app-name-matches"): refused,
        ("", "app-is-registered"): refused,
        ("", SECRET_CHECK): structs.replace(refused, outcome=Outcome.FAILED),
    }
    desk.cycle(DAY)
    desk.cycle(6 * MINUTE)
    ((_, _, digest),) = desk.post.sent

    assert digest.subject == f"SANDBOX acme: {wording('findings.app-deactivated')}"
    assert desk.post.take_reports() == ["all new acme+acme+acme"]
    assert "Steps: 4 Create App" in digest.text
    assert ", 13 Complete Settings > Basic" in digest.text


def test_an_approval_says_whose_and_what_comes_next(desk: Desk) -> None:
    """The subject has the news and the next step; it is told once."""
    desk.answers["", "review-is-approved"] = finding(Outcome.WAITING, "In review.")
    desk.cycle(0)
    desk.post.take_reports()
    desk.answers["", "review-is-approved"] = finding(
        Outcome.VERIFIED,
        "All 8 are live.",
        code="permissions-live",
        tables=compared(*((f"permission {number}", "live", "live") for number in range(8))),
    )
    for wait in (DAY, 6 * MINUTE, DAY, DAY):
        desk.cycle(wait)
    ((_, _, digest),) = desk.post.sent
    news = wording("findings.review-approved", permissions=8)
    following = wording("watch.next-step", title=f"12a {PROCEDURE.step('fb-12a-publish').title}")
    assert digest.subject == f"SANDBOX acme: {news}. {following}"


def test_simultaneous_problems_are_one_digest(failing: Desk) -> None:
    """New problems, ends and reminders of a receiver are one message."""
    failing.cycle(DAY, THREE)
    failing.post.take_reports()
    failing.answers.clear()
    failing.refuse_secret("acme")
    failing.cycle(DAY - 10 * MINUTE, THREE)
    failing.answers["coda", "public-profile-is-live"] = finding(Outcome.FAILED, "Not live.")
    failing.cycle(16 * MINUTE, THREE)
    told = failing.post.take_reports()
    failing.cycle(6 * MINUTE, THREE)
    assert sorted(told + failing.post.take_reports()) == [
        "all ended beta+coda", "all new coda", "all still failing acme",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ["all new acme+beta+coda"]),
        ({"mail_to": OWN}, ["all new acme+beta", "own new coda", "own watched coda"]),
        ({"mail_from": "else@coda.example"}, ["all new acme+beta", "all new coda"]),
        ({"mail_server": "127.0.0.1:26"}, ["all new acme+beta", "all new coda"]),
        ({"mail_people": "Ben=ben@acme.example"}, ["all new acme+beta+coda"]),
        (REAL, ["all new acme+beta", "all new coda"]),
    ],
    ids=["alike", "address", "sender", "server", "people", "real"],
)  # fmt: skip
def test_another_receiver_gets_another_digest(
    desk: Desk, change: dict[str, str], told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One receiver never sees another receiver's tenants; practice and real never share."""
    monkeypatch.setattr("runbook_lib.engine.tenant_run.refuse_mixing", lambda *_, **__: None)
    fleet = [desk.tenant("acme"), desk.tenant("beta"), desk.tenant("coda", **change)]
    desk.refuse_secret()
    desk.cycle(0, fleet)
    lines = [line for line in desk.post.take_reports() if not line.startswith("all watched")]
    assert sorted(lines) == sorted(told)


@pytest.mark.parametrize(
    ("change", "mails", "hooks"),
    [
        ({}, [THREE], [THREE]),
        ({"mail_to": OWN}, [("acme", "beta"), ("coda",)], [THREE]),
        ({"webhook": "https://else.example/x"}, [THREE], [("acme", "beta"), ("coda",)]),
        ({"webhook_secret": "env:OTHER_SECRET"}, [THREE], [("acme", "beta"), ("coda",)]),
    ],
    ids=["alike", "mail", "address", "secret"],
)
def test_a_webhook_is_its_address_and_its_secret(
    desk: Desk,
    change: dict[str, str],
    mails: list[Any],
    hooks: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tenants share a digest to a webhook if both are the same, whoever gets their mails."""
    monkeypatch.setenv("OTHER_SECRET", "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=")
    desk.set(**HOOK)
    desk.cycle(0, [desk.tenant("acme"), desk.tenant("beta"), desk.tenant("coda", **change)])

    told = [(way, tuple(digest.document["watched"])) for way, _, digest in desk.post.sent]
    assert sorted(told) == sorted(
        [*(("mail", names) for names in mails), *(("webhook", names) for names in hooks)]
    )


def test_a_person_who_has_the_step_is_told(desk: Desk) -> None:
    """Problems of a step go to the person it was assigned to; other tenants' problems do not."""
    desk.begin("beta", assigned(SECRET_STEP, "Ann"))
    desk.cycle(0, THREE)
    desk.post.take_reports()
    desk.refuse_secret()
    desk.cycle(DAY, THREE)
    assert sorted(desk.post.take_reports()) == [
        "all new acme+coda",
        "ann new beta",
        "ann watched beta",
    ]


def test_a_day_that_comes_is_told_to_whoever_has_it(desk: Desk) -> None:
    """30, 7 and 1 days before, each once, for all tenants together."""
    due = (desk.now() + timedelta(days=40)).date().isoformat()
    for name in THREE:
        desk.begin(name, assigned("fb-01-log-in", "Ann", due=due))
    for _ in range(42):
        desk.cycle(DAY, THREE)
    told = [line for line in desk.post.take_reports() if " watched " not in line]
    assert told == ["ann new acme+beta+coda"] * 3


# --- receivers and digests, whatever is refused, moves or ends ----------------------------------
@pytest.mark.matrix(6)
@pytest.mark.parametrize(
    ("script", "told"),
    [
        # A failure for another reason has an entry of its own in the same digest.
        ("fail else:coda 1d", "new acme+beta, new coda"),
        (
            "with:acme+beta fail:acme 1d fail:beta 1h back 16m 6m",
            "new acme, new beta, ended acme+beta",
        ),
        # A digest whose tenant has left its receiver is withdrawn; the rest has a new id.
        ("fail refuse 1d take own:coda 1h", "new acme+beta, new coda@own"),
        ("fail refuse 1d take own:acme+beta 1h", "new acme+beta@own, new coda"),
        ("fail refuse 1d take own:acme+beta+coda 1h", "new acme+beta+coda@own"),
        ("fail silent 1d take own:coda 1h", "new acme+beta, new coda@own"),
        # A tenant that is not in the cycle has no known settings, and is told later.
        ("fail refuse 1d take with:acme+beta 1h with 1h", "new acme+beta, new coda"),
        # A digest that may be there is sent unchanged, and its end comes next, in its thread.
        ("fail silent 1d back 16m 6m take 1h 1h", "new acme+beta+coda, ended acme+beta+coda"),
        ("fail silent 1d back:coda 16m 6m take 1h 1h", "new acme+beta+coda, ended coda"),
        # A refused one is composed again.
        ("fail refuse 1d back:coda 16m 6m take 1h 1h", "new acme+beta"),
        ("fail 1d back 16m 6m 9h 9h", "new acme+beta+coda, ended acme+beta+coda"),
        # A change while a digest is pending goes into the next one.
        ("fail:acme silent 1d fail:beta 1h take 1h 1h", "new acme, new beta"),
        ("fail:acme refuse 1d fail:beta 1h take 1h 1h", "new acme+beta"),
        # A receiver that has moved is told of open problems, and not of ended ones.
        (
            "fail 1d own:coda refuse 23h take 1h",
            "new acme+beta+coda, still failing acme+beta, new coda@own",
        ),
    ],
)  # fmt: skip
def test_each_is_told_once_and_in_order(desk: Desk, script: str, told: str) -> None:
    """Each tenant's problem is reported once under one id, its end after it and in its thread."""
    play(desk, script)
    sent = [digest for *_, digest in desk.post.sent]
    ids = [digest.id for digest in sent]

    assert sorted(shown(desk)) == sorted(told.split(", "))
    assert len({*ids}) == len(ids)
    for number, digest in enumerate(sent):
        assert {*digest.thread} <= {*ids[:number]}
        assert bool(digest.thread) is bool(digest.ended)


def play(desk: Desk, script: str) -> None:
    """
    Let tenants fail (for another reason: `else`), be back, or have their own address.

    A server can `take`, `refuse` and be `silent`. A number is a cycle after so many minutes, hours
    or days, `with` some tenants or all.
    """
    acts: dict[str, Any] = {"take": take, "refuse": refuse, "silent": be_silent}
    seconds = {"m": MINUTE, "h": HOUR, "d": DAY}
    fleet = [*THREE]
    own = set[str]()
    desk.cycle(0, THREE)
    desk.post.sent.clear()
    for word in script.split():
        verb, _, names = word.partition(":")
        named = names.split("+") if names else [*THREE]
        match verb:
            case "fail":
                desk.refuse_secret(*named)
            case "else" | "back":
                other = finding(Outcome.FAILED, "Else.", refuses=("app_id",))
                seen = other if verb == "else" else finding()
                desk.answers |= {(name, SECRET_CHECK): seen for name in named}
            case "own":
                own |= {*named}
            case "with":
                fleet = named
            case _ if verb in acts:
                desk.post.act = acts[verb]
            case _:
                moved = {name: {"mail_to": OWN} if name in own else {} for name in fleet}
                tenants = [desk.tenant(name, **moved[name]) for name in fleet]
                desk.cycle(int(verb[:-1]) * seconds[verb[-1]], tenants)


def shown(desk: Desk) -> list[str]:
    """Return the entries that receivers were told."""
    lines = []
    for line in [x for x in desk_told(desk) if " watched " not in x]:
        who, _, rest = line.partition(" ")
        lines.append(f"{rest}@own" if who == "own" else rest)
    return lines


def desk_told(desk: Desk) -> list[str]:
    """Return the entries that were told, and keep them."""
    sent = [*desk.post.sent]
    told = desk.post.take_reports()
    desk.post.sent = sent
    return told


def test_a_tenant_without_a_channel_is_told_once_it_has_one(failing: Desk) -> None:
    """The others' digest does not name it."""
    mail = {"mail_server": "127.0.0.1:25", "mail_from": "runbook@acme.example"}
    mail["mail_to"] = "all@acme.example"
    failing.post.act = refuse
    failing.cycle(DAY, THREE)
    failing.post.act = take
    fleet = [failing.tenant("acme", **mail), failing.tenant("beta", **mail), "coda"]
    failing.set(RUNBOOK_MAIL="")
    assert failing.cycle(HOUR, fleet) == failing.cycle(HOUR, fleet) == []
    assert failing.post.take_reports() == ["all new acme+beta"]
    failing.set(**{f"RUNBOOK_{name.upper()}": to for name, to in mail.items()})
    failing.cycle(HOUR, THREE)
    assert failing.post.take_reports() == ["all new coda"]


def test_a_problem_that_ended_before_it_was_frozen_is_never_sent(failing: Desk) -> None:
    """Its tenant had no channel while it lasted."""
    mail = {"RUNBOOK_MAIL_SERVER": "127.0.0.1:25", "RUNBOOK_MAIL_FROM": "runbook@acme.example"}
    failing.set(RUNBOOK_MAIL="")
    failing.cycle(DAY, THREE)
    recover(failing)
    failing.set(**mail, RUNBOOK_MAIL_TO="all@acme.example")
    failing.cycle(DAY, THREE)
    assert failing.post.take_reports() == []


def test_news_is_not_for_a_receiver_who_came_later(desk: Desk) -> None:
    """A new address gets the open problems, and no news from before."""
    desk.answers["", "review-is-approved"] = finding(Outcome.WAITING, "In review.")
    desk.cycle(0)
    desk.answers["", "review-is-approved"] = finding(Outcome.VERIFIED, "All are live.")
    desk.refuse_secret()
    for wait in (DAY, 6 * MINUTE, 2 * DAY):
        desk.cycle(wait)
    desk.post.take_reports()
    desk.cycle(HOUR, [desk.tenant("acme", mail_to=OWN)])
    assert desk.post.take_reports() == ["own watched acme", "own new acme"]


# --- frozen -------------------------------------------------------------------------------------
def test_id_and_text_are_frozen_until_accepted(failing: Desk) -> None:
    """Nobody knows whether it was accepted; a change meanwhile goes into the next digest."""
    failing.post.act = be_silent
    failing.cycle(DAY, ("acme",))
    failing.answers["acme", "public-profile-is-live"] = finding(Outcome.FAILED, "Not live.")
    for wait in (HOUR, HOUR, DAY):
        failing.cycle(wait, ("acme",))
    failing.post.act = take
    failing.cycle(DAY, ("acme",))
    tries = {(d.id, d.subject, d.text) for _, d in failing.post.tries[1:]}
    assert len(tries) == 1
    failing.cycle(MINUTE, ("acme",))
    assert [line for line in failing.post.take_reports() if "still" not in line] == [
        "all new acme"
    ] * 2


def test_a_refused_digest_is_composed_again(failing: Desk) -> None:
    """It says what is so when it is sent, not what was so when it was refused; the waits stay."""
    failing.post.act = refuse
    failing.cycle(DAY, THREE)
    failing.answers.clear()
    failing.refuse_secret("acme")
    for wait in (16 * MINUTE, 6 * MINUTE):
        failing.cycle(wait, THREE)
    failing.post.act = take
    failing.cycle(HOUR, THREE)
    ((_, _, digest),) = failing.post.sent
    assert digest.subject == f"SANDBOX acme: {REFUSED}"
    assert failing.post.take_reports() == ["all new acme"]


def test_a_refusal_after_silence_keeps_id_and_text(failing: Desk) -> None:
    """The silent server may have taken it: it is repeated with the same id, and never altered."""
    failing.post.act = be_silent
    failing.cycle(DAY, THREE)
    failing.post.act = refuse
    failing.answers.clear()
    for wait in (16 * MINUTE, 30 * MINUTE):
        failing.cycle(wait, THREE)
    failing.post.act = take
    failing.cycle(HOUR, THREE)
    assert len({(digest.id, digest.text) for _, digest in failing.post.tries[1:]}) == 1


def test_the_subject_is_the_most_urgent_row(failing: Desk) -> None:
    """It is the first failing row of `inbox`, also beside what began with it, or is over."""
    failing.answers.clear()
    for check in ("app-name-matches", "app-is-registered", "redirect-uri-is-accepted"):
        failing.answers["beta", check] = deactivated(Outcome.FAILED)
    failing.answers["acme", "public-profile-is-live"] = finding(Outcome.FAILED, "Not live.")
    for wait in (DAY, 6 * MINUTE):
        failing.cycle(wait, THREE)
    ((_, _, digest),) = failing.post.sent
    first = next(
        item["title"]
        for tenant in json.loads(runbook("inbox", "--json").stdout)
        for item in tenant["open"]
        if item["failing"]
    )
    assert first == wording("findings.app-deactivated")
    assert digest.subject.startswith(f"SANDBOX beta: {first}")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_repeats_a_digest_with_its_id_and_text(
    failing: Desk, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A kill between acceptance and our note repeats it; one before sending loses nothing."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(send_module, "send", killed)
        else:
            patch.setattr(send_module, "accepted_deliveries", killed)
        with pytest.raises(KeyboardInterrupt):
            failing.cycle(DAY, THREE)
    failing.post.act = take
    failing.cycle(6 * MINUTE, THREE)
    failing.cycle(6 * MINUTE, THREE)
    sent = {(d.id, d.text) for _, _, d in failing.post.sent}
    assert len(sent) == 1
    assert len(failing.post.sent) == (2 if moment == "after" else 1)


@pytest.mark.matrix(2)
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_kill_at_any_save_loses_no_tenant(
    failing: Desk, monkeypatch: pytest.MonkeyPatch, is_saved: bool
) -> None:
    """Each problem is reported; what comes twice has the same id and text."""
    shutil.copytree("evidence", "before")
    offset = failing.offset
    is_killed = True
    number = 0
    while is_killed:
        number = number + 1
        failing.offset = offset + DAY
        shutil.rmtree("evidence")
        shutil.copytree("before", "evidence")
        failing.post.sent.clear()
        with monkeypatch.context() as patch:
            is_killed = _is_killed_at(failing, patch, number, is_saved=is_saved)
        for _ in range(2):
            assert failing.cycle(6 * MINUTE, THREE) == []
        told = {d.id: d for _, _, d in failing.post.sent}
        assert len({(d.id, d.text) for _, _, d in failing.post.sent}) == len(told)
        named = [p["tenant"] for d in told.values() for p in d.document["problems"]]
        assert sorted(named) == [*THREE]
    assert number > 5


def _is_killed_at(desk: Desk, patch: pytest.MonkeyPatch, number: int, *, is_saved: bool) -> bool:
    """Let a cycle be killed at this transaction, before or after it; return whether it was."""
    own = WatchState.transaction
    left = [number]

    @contextmanager
    def killed(state: WatchState) -> Iterator[None]:
        left[0] -= 1
        if not left[0] and not is_saved:
            raise KeyboardInterrupt
        with own(state):
            yield
        if not left[0]:
            raise KeyboardInterrupt

    patch.setattr(WatchState, "transaction", killed)
    try:
        desk.cycle(0, THREE)
    except KeyboardInterrupt:
        return True
    return False


FULL = "watch.db: disk full."


def test_a_digest_that_cannot_be_saved_is_not_sent(
    failing: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk nothing is sent; afterwards it is sent once."""

    def full(*_: object) -> None:
        raise WatchStateError(FULL)

    with monkeypatch.context() as patch:
        patch.setattr(WatchState, "transaction", full)
        lines = failing.cycle(DAY, THREE)
    assert failing.post.sent == []
    assert failing.code is ExitCode.INCOMPLETE
    assert FULL in " ".join(lines)
    failing.cycle(MINUTE, THREE)
    assert failing.post.take_reports() == ["all new acme+beta+coda"]


@pytest.mark.parametrize("broken", [("coda",), ("acme",), ("acme", "beta"), THREE])
def test_a_tenant_that_could_not_be_polled_withdraws_no_digest(
    failing: Desk, broken: tuple[str, ...]
) -> None:
    """Its settings cannot be read, so it leads where it did: id and text stay as they were."""
    failing.post.act = be_silent
    failing.cycle(DAY, THREE)
    ((_, tried),) = failing.post.tries[1:]
    failing.post.act = take
    unreadable = {"graph_url": "nonsense"}
    fleet = [failing.tenant(name, **(unreadable if name in broken else {})) for name in THREE]
    for _ in range(2):
        lines = failing.cycle(HOUR, fleet)
        assert [line.partition(":")[0] for line in lines if "graph_url" in line] == [*broken]
    failing.cycle(HOUR, THREE)
    ((_, _, sent),) = failing.post.sent
    assert (sent.id, sent.subject, sent.text) == (tried.id, tried.subject, tried.text)


def test_a_single_watch_withdraws_no_digest_of_a_fleet(failing: Desk) -> None:
    """It sends it as it is: the other tenants lead where they did."""
    failing.post.act = be_silent
    failing.cycle(DAY, THREE)
    failing.post.act = take
    failing.cycle(HOUR, ("beta",), is_alone=True)
    assert failing.post.take_reports() == ["all new acme+beta+coda"]
    assert len({digest.id for _, digest in failing.post.tries[1:]}) == 1


def test_each_of_two_digests_of_a_receiver_keeps_its_id(failing: Desk) -> None:
    """One was frozen while the tenant of the other could not be polled; both are sent."""
    unreadable = failing.tenant("acme", graph_url="nonsense")
    failing.post.act = be_silent
    failing.answers.clear()
    failing.refuse_secret("acme")
    failing.cycle(DAY, THREE)
    failing.refuse_secret("beta")
    failing.cycle(DAY, [unreadable, "beta", "coda"])
    frozen = {digest.id for _, digest in failing.post.tries[1:]}
    failing.post.act = take
    failing.cycle(HOUR, THREE)
    failing.cycle(MINUTE, THREE)
    assert {digest.id for _, _, digest in failing.post.sent} == frozen
    assert sorted(failing.post.take_reports()) == ["all new acme", "all new beta"]


def test_a_first_digest_that_names_a_tenant_that_left_is_withdrawn(desk: Desk) -> None:
    """It reports no problem, and lists the watched tenants: another receiver has it."""
    desk.post.act = refuse
    desk.cycle(0, THREE)
    desk.post.act = take
    desk.cycle(HOUR, ["acme", "beta", desk.tenant("coda", mail_to=OWN)])
    assert sorted(desk.post.take_reports()) == ["all watched acme+beta", "own watched coda"]


def test_a_digest_of_tenants_that_all_left_never_comes_back(failing: Desk) -> None:
    """One of them returns to its receiver while the other cannot be polled."""
    failing.post.act = refuse
    failing.cycle(DAY, ("acme", "beta"))
    failing.post.act = take
    failing.cycle(HOUR, [failing.tenant(name, mail_to=OWN) for name in ("acme", "beta")])
    failing.post.take_reports()
    failing.cycle(HOUR, ["acme", failing.tenant("beta", graph_url="nonsense")])
    assert failing.post.take_reports() == ["all new acme"]


# --- servers ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("is_final", "waits"),
    [(False, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]), (True, [1440, 1440])],
)
def test_a_refused_digest_waits_longer_each_time(
    failing: Desk, is_final: bool, waits: list[int]
) -> None:
    """5, 10, 20 … minutes, and a day if trying again soon does not help."""
    failing.post.act = refusing(is_final=is_final)
    failing.cycle(DAY, ("acme",))
    for wait in waits:
        assert failing.cycle(wait * MINUTE - 1, ("acme",)) == []
        assert len(failing.cycle(1, ("acme",))) == 1


def test_a_receiver_that_refuses_is_named_until_it_accepts(failing: Desk) -> None:
    """The exit code is 3 also while it waits, and the page names whose messages wait, and why."""
    failing.answers.clear()
    fleet = [failing.tenant("acme", mail_to=OWN), "beta"]
    failing.post.act = refuse
    assert len(failing.cycle(HOUR, fleet)) == 1
    assert (failing.cycle(MINUTE, fleet), failing.code) == ([], ExitCode.INCOMPLETE)
    page = failing.page()
    failing.post.act = take
    failing.cycle(HOUR, fleet)

    assert wording("watch.message-not-accepted") in page
    assert "(451) later" in page
    assert failing.code is ExitCode.COMPLETE
    assert wording("watch.message-not-accepted") not in failing.page()


def test_the_code_does_not_depend_on_what_was_reported_or_acknowledged(failing: Desk) -> None:
    """It is 1 while anything fails, whoever knows of it."""
    failing.cycle(DAY, ("acme",))
    (problem,) = failing.problems()
    acknowledge(problem.id, by="Ann", until="", note="", evidence="", now=failing.now())
    failing.cycle(HOUR, ("acme",))
    assert failing.code is ExitCode.FAILED
    recover(failing, ("acme",))
    assert failing.code is ExitCode.COMPLETE


@pytest.mark.parametrize(("server", "is_woken"), [("127.0.0.1:25", True), ("127.0.0.1:26", False)])
def test_one_that_is_accepted_wakes_the_others_of_its_server(
    desk: Desk, server: str, is_woken: bool
) -> None:
    """After many refusals the wait is long; a server that accepts one gets its others next."""
    fleet = [desk.tenant("acme"), desk.tenant("beta", mail_server=server, mail_to=OWN)]
    desk.cycle(0, fleet)
    desk.refuse_secret("acme")
    desk.post.act = refuse
    for _ in range(6):
        desk.cycle(DAY, fleet)
    desk.post.act = take
    desk.post.take_reports()
    desk.refuse_secret("beta")
    desk.cycle(16 * MINUTE, fleet)
    desk.cycle(MINUTE, fleet)
    assert ("all new acme" in desk.post.take_reports()) is is_woken


def test_a_silent_server_is_waited_for_once_a_cycle(failing: Desk) -> None:
    """Other servers get their digests; the silent one's come in the next cycles."""
    fleet: list[Any] = [failing.tenant(name, mail_to=f"{name}@x.example") for name in THREE]
    fleet += [failing.tenant("dune", mail_to="dune@x.example", mail_server="127.0.0.1:26")]

    def silent_at_25(to: str, digest: Digest) -> None:
        if not to.startswith("dune"):
            be_silent(to, digest)

    failing.post.act = silent_at_25
    failing.post.tries.clear()
    (printed,) = failing.cycle(DAY, fleet)
    assert wording("watch.not-accepted-within") in printed
    assert [to[:4] for to, _ in failing.post.tries] == ["acme", "dune"]
    assert [to[:4] for _, to, _ in failing.post.sent] == ["dune"]


def test_a_webhook_that_is_gone_is_said_once(failing: Desk) -> None:
    """It gets nothing more; another address gets the open problems."""
    failing.set(RUNBOOK_MAIL="", **HOOK)
    failing.post.act = refusing("it answered 410", is_final=True, is_gone=True)
    printed = [failing.cycle(DAY, THREE) for _ in range(3)]
    assert [len(lines) for lines in printed] == [1, 0, 0]
    failing.post.act = take
    failing.set(**{**HOOK, "RUNBOOK_WEBHOOK": "https://else.acme.example/"})
    failing.cycle(MINUTE, THREE)
    assert len(failing.post.take_reports()) == 2


# --- reminders ----------------------------------------------------------------------------------
def test_a_problem_is_reminded_of_daily_until_it_is_acknowledged(failing: Desk) -> None:
    """One digest a day lists what still fails; after the day of the acknowledgement again."""
    failing.cycle(DAY, ("acme",))
    failing.post.take_reports()
    assert [failing.cycle(DAY - HOUR, ("acme",)), failing.post.take_reports()] == [[], []]
    failing.cycle(HOUR, ("acme",))
    ((_, _, digest),) = failing.post.sent
    assert failing.post.take_reports() == ["all still failing acme"]
    assert digest.subject == f"SANDBOX acme: still failing: {REFUSED}"
    until = (failing.now() + timedelta(days=3)).date().isoformat()
    ident = digest.text.partition("--ack ")[2].split()[0]
    assert len(ident) == 8
    known = {"until": until, "note": "on it", "evidence": "", "now": failing.now()}
    assert acknowledge(ident.upper(), by="Ann", **known) == ["acme"]
    for _ in range(3):
        failing.cycle(DAY, ("acme",))
    assert failing.post.take_reports() == []
    failing.cycle(DAY, ("acme",))
    assert failing.post.take_reports() == ["all still failing acme"]


def test_an_entry_of_several_tenants_is_acknowledged_at_once(failing: Desk) -> None:
    """The id in a digest stands for all of its tenants."""
    failing.cycle(DAY, THREE)
    ((_, _, digest),) = failing.post.sent
    failing.post.take_reports()
    ident = digest.text.partition("--ack ")[2].split()[0]
    known = {"until": "", "note": "", "evidence": "", "now": failing.now()}
    assert acknowledge(ident, by="Ann", **known) == [*THREE]
    failing.cycle(2 * DAY, THREE)
    assert failing.post.take_reports() == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"by": ""}, "no-acknowledger"),
        ({"until": "tomorrow"}, "unusable-acknowledgement"),
        ({"until": "2026-11-01"}, "until-has-passed"),
        ({"note": "x\u202ey"}, "unusable-acknowledgement"),
        ({"ident": "0" * 32}, "no-such-problem"),
        ({"ident": "%" * 8}, "no-such-problem"),
        ({"evidence": "elsewhere"}, "no-watch-has-run"),
    ],
)
def test_an_impossible_acknowledgement_is_refused(
    failing: Desk, given: dict[str, str], says: str
) -> None:
    """Nothing is written then; another person's word is not replaced."""
    failing.cycle(DAY, ("acme",))
    (before,) = failing.problems()
    whole: dict[str, Any] = {"ident": before.id, "by": "Ann", "until": "", "note": ""}
    whole |= {"evidence": "evidence", "now": failing.now()}
    with refused(SettingsError, says):
        acknowledge(**{**whole, **given})
    assert failing.problems() == [before]
    assert acknowledge(**whole) == acknowledge(**whole) == ["acme"]
    with refused(SettingsError, "already-acknowledged", name="Ann"):
        acknowledge(**{**whole, "by": "Ben"})


# --- clocks and watches -------------------------------------------------------------------------
def test_a_clock_that_was_ahead_stops_no_digest_and_no_reminder(failing: Desk) -> None:
    """A digest sent, tried or reported at a wrong clock's future time is due now."""
    right = failing.offset
    failing.cycle(400 * DAY, ("acme",))
    failing.post.take_reports()
    failing.offset = right
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_reports() == ["all still failing acme"]
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_reports() == []
    failing.cycle(DAY, ("acme",))
    assert failing.post.take_reports() == ["all still failing acme"]
    failing.post.act = refuse
    failing.cycle(YEARS, ("acme",))
    failing.post.act = take
    failing.offset = right + 2 * DAY + 2 * HOUR
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_reports() == ["all still failing acme"]


def test_two_watches_do_not_send_at_once(failing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one sends, the other waits and then says so; each message is sent once."""
    monkeypatch.setattr(send_module, "LOCK_TIMEOUT_SECONDS", 0.1)
    printed: list[str] = []

    def meanwhile(*_: object) -> None:
        failing.post.act = take
        printed.extend(failing.cycle(0, ("acme",), is_alone=True))

    failing.post.act = meanwhile
    failing.cycle(DAY, THREE)
    assert [wording("watch.another-is-sending") in line for line in printed] == [True]
    assert len(failing.post.tries) == 2
    failing.cycle(HOUR, ("acme",), is_alone=True)
    assert failing.post.take_reports() == ["all new acme+beta+coda"]


def test_watches_of_single_tenants_leave_each_other_alone(failing: Desk) -> None:
    """One with a pending digest does not stop, or withdraw, another one's to the same receiver."""
    failing.post.act = be_silent
    failing.cycle(DAY, ("acme",), is_alone=True)
    failing.cycle(MINUTE, ("beta",), is_alone=True)
    failing.post.act = take
    failing.cycle(HOUR, ("acme",), is_alone=True)
    failing.cycle(MINUTE, ("beta",), is_alone=True)
    assert failing.post.take_reports() == ["all new acme", "all new beta"]
    tries = [digest.id for _, digest in failing.post.tries[1:]]
    assert len({*tries}) == 2


def test_old_problems_are_forgotten(desk: Desk) -> None:
    """A problem that ended or was told 90 days ago goes; one that lasts stays."""
    desk.fail()
    desk.answers.clear()
    desk.answers["", "public-profile-is-live"] = finding(Outcome.FAILED, "It is not live.")
    for wait in (16 * MINUTE, 6 * MINUTE, 91 * DAY):
        desk.cycle(wait)
    with desk.state() as state, state.transaction():
        state.forget_old(desk.now())
    assert [problem.is_open for problem in desk.problems()] == [True]
    assert state_module.STATE_NAME == "watch.db"
    assert PROCEDURE.id in desk.problems()[0].tenant
