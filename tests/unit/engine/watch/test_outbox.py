"""The outbox: who is told what, once, in which order, whatever refuses, moves or is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.journal import timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.engine.watch import answers, outbox
from runbook_lib.engine.watch.answers import Change, Kind, Topic, Watched, mark_shown
from runbook_lib.engine.watch.messages import Message
from runbook_lib.errors import ExitCode, SettingsError
from tests.support.words import assigned
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
    finding,
    refuse,
    refusing,
    take,
)

THREE = ("acme", "beta", "coda")
REAL = {"graph_url": "https://graph.facebook.com", "cyclr_api_url": "https://api.cyclr.com"}
ALL, OWN = "all@acme.example", "own@coda.example"
ALL_THREE = "+".join(THREE)
END = f"recovered {ALL_THREE}"
HOOK = {"RUNBOOK_WEBHOOK": "https://hooks.acme.example/x", "RUNBOOK_WEBHOOK_SECRET": HOOK_SECRET}


def failed(*tenants: str, to: str = ALL, kind: str = "failed") -> tuple[str, str, list[str]]:
    """Return that an address was told of these tenants."""
    return to, kind, [*tenants]


def recovered(*tenants: str, to: str = ALL) -> tuple[str, str, list[str]]:
    """Return that it was told that it is over."""
    return failed(*tenants, to=to, kind="recovered")


def recover(desk: Desk, tenants: Sequence[Any] = THREE) -> list[str]:
    """Let what failed be as it was, seen twice."""
    desk.answers.clear()
    return desk.round(16 * MINUTE, tenants) + desk.round(6 * MINUTE, tenants)


@pytest.fixture
def failing(desk: Desk) -> Desk:
    """Three tenants whose App Secret is refused from now on."""
    desk.round(0, THREE)
    desk.refuse_secret()
    return desk


# --- one cause is one message -----------------------------------------------------------------
def test_one_cause_is_one_message_with_its_tenants_and_so_is_its_end(failing: Desk) -> None:
    """Each channel gets it once, under an id that stays, and what ends it is in its thread."""
    failing.set(**HOOK)
    assert failing.round(DAY, THREE) == failing.round(HOUR, THREE) == []
    sent = {channel: message for channel, _, message in failing.post.sent}
    assert recover(failing) == failing.round(DAY, THREE) == []
    over = {channel: message for channel, _, message in failing.post.sent[2:]}

    assert sent.keys() == over.keys() == {"mail", "webhook"}
    assert {message.document["kind"] for message in over.values()} == {"recovered"}
    for channel, message in sent.items():
        assert message.document["tenants"] == over[channel].document["tenants"] == [*THREE]
        assert over[channel].thread == message.id
    assert len(failing.post.sent) == 4
    assert sent["mail"].subject.startswith("SANDBOX 3 tenants: 13 Complete Settings > Basic")
    assert "Tenants:\n  acme\n  beta\n  coda" in sent["mail"].text
    text = failing.outbox.read_text()
    assert not [word for word in (SECRET, HOOK_SECRET, "@acme") if word in text]
    assert failing.outbox.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, [failed(*THREE)]),
        ({"mail_to": OWN}, [failed("acme", "beta"), failed("coda", to=OWN)]),
        ({"mail_from": "else@coda.example"}, [failed("acme", "beta"), failed("coda")]),
        ({"mail_server": "127.0.0.1:26"}, [failed("acme", "beta"), failed("coda")]),
        ({"mail_people": "Ben=ben@acme.example"}, [failed(*THREE)]),
        (REAL, [failed("acme", "beta"), failed("coda")]),
    ],
    ids=["alike", "address", "sender", "server", "people", "real"],
)  # fmt: skip
def test_what_goes_elsewhere_is_another_message(
    desk: Desk, change: dict[str, str], told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tenants share a message with one receiver through one server; practice and real never do."""
    monkeypatch.setattr("runbook_lib.engine.run._refuse_mixing", lambda *_, **__: None)
    fleet = [desk.tenant("acme"), desk.tenant("beta"), desk.tenant("coda", **change)]
    desk.fail(fleet)

    for *_, message in desk.post.sent:
        assert ("Tenants:" in message.text) is (len(message.document["tenants"]) > 1)
    assert sorted(desk.post.told()) == sorted(told)


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
    """Tenants share a message to a webhook if both are the same, whoever gets their mails."""
    monkeypatch.setenv("OTHER_SECRET", "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=")
    desk.set(**HOOK)
    desk.fail([desk.tenant("acme"), desk.tenant("beta"), desk.tenant("coda", **change)])

    told = [(way, tuple(message.document["tenants"])) for way, _, message in desk.post.sent]
    assert sorted(told) == sorted(
        [*(("mail", names) for names in mails), *(("webhook", names) for names in hooks)]
    )


@pytest.mark.parametrize("to", [ALL, OWN])
def test_an_outage_and_its_end_are_a_message_each(desk: Desk, to: str) -> None:
    """Of all tenants of a receiver together, in one thread; nobody is reminded of an outage."""
    fleet = [desk.tenant("acme"), desk.tenant("coda", mail_to=to)]
    desk.round(0, fleet)
    checks = [check.id for step in PROCEDURE.steps for check in step.checks]
    desk.answers = {("", check): None for check in checks}
    for wait in (HOUR, DAY, DAY, DAY, DAY):
        desk.round(wait, fleet)
    desk.answers.clear()
    for wait in (HOUR, DAY, DAY):
        desk.round(wait, fleet)
    sent = [message for *_, message in desk.post.sent]
    groups = [(ALL, ("acme", "coda"))] if to == ALL else [(ALL, ("acme",)), (OWN, ("coda",))]

    assert [message.thread for message in sent[len(groups) :]] == [
        message.id for message in sent[: len(groups)]
    ]
    assert desk.post.told() == [
        failed(*names, to=address, kind=kind)
        for kind in ("outage", "outage_over")
        for address, names in groups
    ]


def test_a_person_who_has_the_step_is_told(desk: Desk) -> None:
    """Messages about a step go to the person it was assigned to."""
    desk.begin("beta", assigned(SECRET_STEP, "Ann"))
    desk.fail(THREE)

    assert desk.post.told() == [failed("acme", "coda"), failed("beta", to="ann@acme.example")]


def test_what_falls_due_is_told_30_7_and_1_days_before(desk: Desk) -> None:
    """Each of the three days once, for all tenants together, to whoever has it."""
    due = (desk.now() + timedelta(days=40)).date().isoformat()
    for name in THREE:
        desk.begin(name, assigned("fb-01-log-in", "Ann", due=due))
    for _ in range(42):
        desk.round(DAY, THREE)

    texts = [message.document["reason"] for _, _, message in desk.post.sent]
    assert [text.rpartition(" in ")[2] for text in texts] == ["30 days.", "7 days.", "1 day."]
    assert desk.post.told() == [failed(*THREE, to="ann@acme.example", kind="due")] * 3


# --- who is told what, whatever is refused, moves or ends ---------------------------------------
@pytest.mark.matrix(6)
@pytest.mark.parametrize(
    ("script", "told"),
    [
        # Who fails otherwise has a message of its own; what began in two ends in two.
        ("fail else:coda 1d", "failed acme+beta, failed coda"),
        (
            "with:acme+beta fail:acme 1d fail:beta 1h back 16m 6m",
            "failed acme, failed beta, recovered acme, recovered beta",
        ),
        # Where an address changes a message is taken apart: nobody is named to the old address.
        ("fail refuse 1d take own:coda 1h 1h", "failed acme+beta, failed coda@own"),
        ("fail refuse 1d take own:acme+beta 1h 1h", "failed acme+beta@own, failed coda"),
        ("fail refuse 1d take own:acme+beta+coda 1h 1h", f"failed {ALL_THREE}@own"),
        ("fail silent 1d take own:coda 1h 1h", "failed acme+beta, failed coda@own"),
        ("fail silent 1d take own:acme+beta 1h 1h", "failed acme+beta@own, failed coda"),
        ("fail silent 1d take own:acme+beta+coda 1h 1h", f"failed {ALL_THREE}@own"),
        # Who is not looked at, so that nobody knows its settings, is told later.
        ("fail refuse 1d take with:acme+beta 1h with 1h", "failed acme+beta, failed coda"),
        # A problem that ended before it was accepted is never sent, and neither is its end.
        ("fail refuse 1d back 16m 6m take 9h 9h 9h", ""),
        ("fail refuse 1d back:coda 16m 6m take 1h 1h", "failed acme+beta"),
        # What may have been accepted is sent again, then its end, which waits for it.
        ("fail refuse 1d killed back 16m 6m take 9h 9h", f"failed {ALL_THREE}, {END}"),
        ("fail silent 1d back 16m 6m take 9h 9h 9h 9h", f"failed {ALL_THREE}, {END}"),
        ("fail silent 1d 1d 1d 1d 1d 1d back 16m take 6m", ""),
        ("fail silent 1d 1d 1d 1d 1d 1d back 16m take 6m 1d", f"failed {ALL_THREE}, {END}"),
        ("fail 1d back 16m 6m 9h 9h", f"failed {ALL_THREE}, {END}"),
        # Who has moved is reminded at the new address; of what is over nobody is.
        (
            "fail 1d own:coda refuse 1d take 1h 1h",
            f"failed {ALL_THREE}, reminder acme+beta, reminder coda@own",
        ),
        ("fail 1d refuse 1d back 16m take 1h 1d", f"failed {ALL_THREE}, {END}"),
    ],
)
def test_each_is_told_once_and_in_order(desk: Desk, script: str, told: str) -> None:
    """Each tenant is told of a change once, an end after its beginning and in its thread."""
    play(desk, script)
    sent = [message for *_, message in desk.post.sent]
    ids = [message.id for message in sent]

    assert shown(desk) == sorted(told.split(", "))
    assert len({*ids}) == len(ids)
    for number, message in enumerate(sent):
        is_end = message.document["kind"] == "recovered"
        assert (message.thread in ids[:number]) is is_end


def play(desk: Desk, script: str) -> None:
    """
    Let tenants fail (for another reason: `else`), be back, or have their own address.

    A server can `take`, `refuse` and be `silent`; a round can be `killed` while it sends. A number
    is a round after so many minutes, hours or days, `with` some tenants or all.
    """
    acts: dict[str, Any] = {"take": take, "refuse": refuse, "silent": be_silent}
    seconds, fleet, own = {"m": MINUTE, "h": HOUR, "d": DAY}, [*THREE], set[str]()
    desk.round(0, THREE)
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
            case "killed":
                _rewrite(desk, due=timestamp(desk.now()), may_be_there=True)
            case _ if verb in acts:
                desk.post.act = acts[verb]
            case _:
                moved = {name: {"mail_to": OWN} if name in own else {} for name in fleet}
                tenants = [desk.tenant(name, **moved[name]) for name in fleet]
                desk.round(int(verb[:-1]) * seconds[verb[-1]], tenants)


def shown(desk: Desk) -> list[str]:
    """Return who was told what, sorted."""
    told = ((str(m.document["kind"]), m.document["tenants"], to) for _, to, m in desk.post.sent)
    lines = (f"{kind} {'+'.join(names)}{'@own' * (to == OWN)}" for kind, names, to in told)
    return sorted(lines) or [""]


def _rewrite(desk: Desk, **fields: Any) -> None:
    document = json.loads(desk.outbox.read_text())
    for letter in document["letters"]:
        letter.update(fields if letter["channel"] else {})
    desk.outbox.write_text(json.dumps(document))


@pytest.mark.parametrize("act", [refuse, be_silent])
def test_a_tenant_without_a_channel_waits_until_it_has_one(failing: Desk, act: Any) -> None:
    """The others' message does not name it; it is told once it has a channel again."""
    mail = {"mail_server": "127.0.0.1:25", "mail_from": "runbook@acme.example", "mail_to": ALL}
    failing.post.act = act
    failing.round(DAY, THREE)
    failing.post.act = take
    fleet = [failing.tenant("acme", **mail), failing.tenant("beta", **mail), "coda"]
    failing.set(RUNBOOK_MAIL="")
    assert failing.round(HOUR, fleet) == failing.round(HOUR, fleet) == []
    assert failing.post.told() == [failed("acme", "beta")]
    failing.set(**{f"RUNBOOK_{name.upper()}": to for name, to in mail.items()})
    failing.round(HOUR, THREE)
    assert failing.post.told() == [failed("coda")]


# --- servers ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("server", "told"),
    [("127.0.0.1:25", [failed("beta"), failed("acme")]), ("127.0.0.1:26", [failed("beta")])],
)
def test_what_waits_longest_is_woken_by_one_that_is_accepted(
    desk: Desk, server: str, told: list[Any]
) -> None:
    """After many refusals the wait is long; a server that accepts one gets its others at once."""
    fleet = [desk.tenant("acme"), desk.tenant("beta", mail_server=server)]
    desk.round(0, fleet)
    desk.refuse_secret("acme")
    desk.post.act = refuse
    for _ in range(6):
        desk.round(DAY, fleet)
    desk.post.act = take
    desk.refuse_secret("beta")
    desk.round(HOUR, fleet)

    assert desk.post.told() == told


@pytest.mark.parametrize(
    ("minutes", "is_final", "is_woken"), [(10, False, True), (10, True, False), (2, False, False)]
)
def test_what_is_refused_for_good_or_being_sent_is_not_woken(
    desk: Desk, minutes: int, is_final: bool, is_woken: bool
) -> None:
    """Another process sends what is claimed for three minutes at most."""
    due = timestamp(desk.now() + timedelta(minutes=minutes))
    waits = outbox.Letter("mail", "a", "server", "1", {"1": "x"}, due=due, is_final=is_final)
    sent = outbox.Letter("mail", "b", "server", "2", {"2": "x"})
    claim = outbox.Claim(sent, "x", Message("2", {}), is_tried=True)
    outbox.Outbox([waits, sent]).mark([claim], desk.now())

    assert bool(sent.accepted_on)
    assert (waits.due == "") is is_woken


@pytest.mark.parametrize(
    ("is_final", "waits"),
    [(False, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]), (True, [1440])],
)
def test_refused_messages_wait_longer_each_time(
    failing: Desk, is_final: bool, waits: list[int]
) -> None:
    """5, 10, 20 … minutes, and a day where trying again soon does not help."""
    failing.post.act = refusing(is_final=is_final)
    failing.round(DAY, ("acme",))
    for wait in waits:
        assert failing.round(wait * MINUTE - 1, ("acme",)) == []
        assert len(failing.round(1, ("acme",))) == 1


def test_a_silent_server_is_waited_for_once_a_round(failing: Desk) -> None:
    """Whoever's messages come next; what was not tried for that was not sent, and comes next."""
    fleet = [failing.tenant(name, mail_to=f"{name}@x.example") for name in THREE]
    failing.post.act = be_silent
    (said,) = failing.round(DAY, fleet)
    assert "was not accepted within" in said
    assert len(failing.post.tries) == 1
    failing.round(MINUTE, fleet)
    assert len({to for to, _ in failing.post.tries}) == len(failing.post.tries) == 2
    recover(failing, fleet)
    failing.post.act = take
    for _ in range(3):
        failing.round(9 * HOUR, fleet)
    assert {to[:4] for to, *_ in failing.post.told()} == {"acme", "beta"}


def test_an_interrupted_message_may_be_there(
    failing: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent before is kept; the one that was interrupted comes again, and then its end."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            failing.round(DAY, THREE)
    failing.post.act = refuse
    recover(failing)
    failing.post.act = take
    failing.round(DAY, THREE)
    failing.round(HOUR, THREE)

    assert failing.post.told() == [failed(*THREE), recovered(*THREE)]


def test_a_webhook_that_is_gone_is_said_once(failing: Desk) -> None:
    """It gets nothing more, whoever's it is; another address gets what comes after."""
    failing.set(RUNBOOK_MAIL="", **HOOK)
    failing.answers["coda", SECRET_CHECK] = finding(Outcome.FAILED, "Else.", refuses=("app_id",))
    failing.post.act = refusing("it answered 410", is_final=True, is_gone=True)
    said = [failing.round(DAY, THREE) for _ in range(3)]
    failing.post.act = take
    failing.set(**{**HOOK, "RUNBOOK_WEBHOOK": "https://else.acme.example/"})
    recover(failing)

    assert [len(lines) for lines in said] == [1, 0, 0]
    assert {kind for _, kind, _ in failing.post.told()} == {"recovered"}


# --- what is known and reminded ---------------------------------------------------------------
def test_an_acknowledged_problem_is_not_reminded_of(desk: Desk) -> None:
    """One daily reminder lists what still fails and nobody has acknowledged; an end ends it."""
    desk.fail()
    (_, _, first), _ = desk.post.sent[0], desk.post.told()
    assert [desk.round(DAY - HOUR), desk.post.told()] == [[], []]
    desk.round(HOUR)
    (_, _, reminder) = desk.post.sent[0]
    assert (reminder.subject, first.id in reminder.text) == (
        "SANDBOX acme: 1 problem: still failing",
        True,
    )
    assert desk.post.told() == [failed("acme", kind="reminder")]
    until = (desk.now() + timedelta(days=3)).date().isoformat()
    known = outbox.acknowledge(first.id, by="Ann", until=until, note="on it", evidence="")
    assert known == ["acme"]
    for _ in range(3):
        desk.round(DAY)
    assert desk.post.told() == []
    failing = finding(Outcome.FAILED, "Another name.")
    desk.answers["", "app-name-matches"] = failing
    desk.round(DAY)
    desk.round(6 * MINUTE)
    told = [kind for _, kind, _ in desk.post.told()]
    desk.round(DAY)
    ((_, _, both),) = desk.post.sent
    recover(desk, ("acme",))
    desk.post.told()
    assert desk.round(DAY) == desk.round(DAY) == []

    assert told.count("failed") == 1
    assert len(both.document["changes"]) == 2  # Ann's three days are over
    assert desk.post.told() == []


def test_a_refused_reminder_lists_what_came_since(desk: Desk) -> None:
    """What is due while it waits joins it: each receiver gets one a day."""
    bounce = refusing("(550) no", is_final=True)
    desk.fail()
    desk.post.act = bounce
    desk.round(DAY)
    desk.post.act = take
    desk.answers["", "public-profile-is-live"] = finding(Outcome.FAILED, "It is not live.")
    desk.round(HOUR)
    desk.round(6 * MINUTE)
    desk.post.act = bounce
    desk.round(DAY - HOUR)
    desk.post.act = take
    desk.post.told()
    desk.round(HOUR + MINUTE)
    assert desk.post.told() == []
    desk.round(DAY)

    ((_, _, both),) = desk.post.sent
    assert len(both.document["changes"]) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"by": ""}, "needs --by"),
        ({"until": "tomorrow"}, "cannot be used"),
        ({"note": "x\u202ey"}, "cannot be used"),
        ({"ident": "0" * 32}, "No failing change has the ID"),
        ({"evidence": "elsewhere"}, "no watch has run yet"),
    ],
)
def test_what_cannot_be_acknowledged_is_named(desk: Desk, given: dict[str, str], says: str) -> None:
    """Nothing is written then."""
    desk.set(RUNBOOK_MAIL="")
    desk.fail()
    before = desk.outbox.read_bytes()
    (change,) = desk.kept().changes
    whole = {"ident": change.id, "by": "Ann", "until": "", "note": "", "evidence": "evidence"}
    with pytest.raises(SettingsError, match=says):
        outbox.acknowledge(**{**whole, **given})
    assert desk.outbox.read_bytes() == before
    assert outbox.acknowledge(**whole) == ["acme"]
    desk.round(HOUR)
    assert json.loads(desk.outbox.read_text())["acks"][change.id]["by"] == "Ann"


# --- kills, disks and files -------------------------------------------------------------------
@pytest.mark.matrix(2)
@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_a_kill_at_any_write_loses_no_tenant(
    failing: Desk, monkeypatch: pytest.MonkeyPatch, moves: bool, is_written: bool
) -> None:
    """Each message comes once; a kill between acceptance and our line repeats it, with its id."""
    fleet: list[Any] = [*THREE]
    if moves:
        failing.post.act = refuse
        failing.round(DAY, THREE)
        failing.post.act = take
        fleet = [failing.tenant(name, mail_to=f"{name}@x.example") for name in THREE]
    shutil.copytree("evidence", "before")
    offset, repeated, is_killed, number = failing.offset, 0, True, 0
    while is_killed:
        number, is_killed, failing.offset = number + 1, False, offset + DAY * (not moves)
        shutil.rmtree("evidence")
        shutil.copytree("before", "evidence")
        failing.post.sent.clear()
        left = number

        def killed(
            *given: Any, write: Callable[..., None] = answers.write_whole, **more: Any
        ) -> None:
            nonlocal left
            left -= 1
            if left or is_written:
                write(*given, **more)
            if not left:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(answers, "write_whole", killed)
            patch.setattr(outbox, "write_whole", killed)
            try:
                failing.round(HOUR, fleet)
            except KeyboardInterrupt:
                is_killed = True
        for _ in range(2):
            assert failing.round(6 * MINUTE, fleet) == []
        unique = {message.id: message.document["tenants"] for _, _, message in failing.post.sent}
        assert sorted(name for names in unique.values() for name in names) == [*THREE]
        repeated += len(failing.post.sent) - len(unique)

    assert number > 5
    # Before our line about it; after the claim nothing was sent yet.
    assert repeated == (0 if is_written else len(unique))


def test_on_a_full_disk_nothing_is_sent(failing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be kept that it was accepted; afterwards it is sent once, and shown once."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "write_whole", full)
        lines = failing.round(DAY, THREE)
    assert (failing.post.tries, failing.code) == ([], ExitCode.FAILED)
    assert "Cannot write to disk: No space left on device." in " ".join(lines)
    assert not any(change.shown_on for name in THREE for change in failing.kept(name).changes)
    failing.round(MINUTE, THREE)
    assert failing.post.told() == [failed(*THREE)]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{", b'{"form":2,"else":1}', b"[" * 200_000]
)
def test_a_damaged_outbox_is_moved_away_and_said_once(failing: Desk, content: bytes) -> None:
    """What still fails is sent again with the same id, what was shown and is over is not."""
    failing.round(DAY, ("acme",))
    ((_, _, first),) = failing.post.sent
    failing.post.told()
    failing.outbox.write_bytes(content)
    said = failing.round(HOUR, ("acme",))
    code, ((_, _, again),) = failing.code, failing.post.sent

    assert (len(said), code) == (1, ExitCode.FAILED)
    assert "is damaged. It is now messages.damaged-" in said[0]
    (aside,) = Path("evidence").glob("messages.damaged-*.json")
    assert aside.read_bytes() == content
    assert again.id == first.id
    assert failing.round(HOUR, ("acme",)) == []
    assert len(failing.post.tries) == 2


@pytest.mark.parametrize(
    ("kind", "says"),
    [("link", "it is a link"), ("folder", "it is a folder"), ("newer", "format 3")],
)
def test_an_outbox_that_is_not_ours_is_left_alone(failing: Desk, kind: str, says: str) -> None:
    """No link is followed; it is named each time, nothing is sent, and nothing counts as shown."""
    elsewhere = failing.folder / "elsewhere.json"
    elsewhere.write_text('{"form":2}')
    if kind == "link":
        failing.outbox.symlink_to(elsewhere)
    elif kind == "folder":
        failing.outbox.mkdir()
    else:
        failing.outbox.write_text('{"form":3}')
    for _ in range(2):
        said = failing.round(DAY, ("acme",))
        assert any(says in line for line in said)
        with pytest.raises(SettingsError):
            outbox.acknowledge("1", by="Ann", until="", note="", evidence="")
    assert (failing.post.tries, elsewhere.read_text()) == ([], '{"form":2}')
    assert not failing.kept().changes[0].shown_on
    failing.outbox.rename("away")
    failing.round(HOUR, ("acme",))
    assert failing.post.told() == [failed("acme")]


def test_a_message_that_another_process_sends_is_left_to_it(failing: Desk) -> None:
    """The file is free while a message is sent; only a claim that has grown old is taken over."""

    def meanwhile(*_: object) -> None:
        failing.post.act = take
        with outbox.opened(failing.outbox) as opened:
            assert any(letter.may_be_there for letter in opened.letters)
        assert failing.round(0, ("acme",), is_alone=True) == []

    failing.post.act = meanwhile
    failing.round(DAY, THREE)
    assert len(failing.post.tries) == 1
    assert failing.post.told() == [failed(*THREE)]


def test_a_clock_that_was_ahead_stops_no_message(failing: Desk) -> None:
    """What was claimed, or is due, in a future that a wrong clock had is sent now."""
    failing.post.act = refuse
    right = failing.offset
    failing.round(DAY + 3_650 * DAY, THREE)
    failing.post.act, failing.offset = take, right
    failing.round(DAY, THREE)

    assert failing.post.told() == [failed(*THREE)]


def test_only_so_much_is_kept(desk: Desk) -> None:
    """Of what was shown the 50 newest changes stay, what is not sent or fails stays as well."""
    on = timestamp(desk.now())
    names = [f"{number:02}" for number in range(60)]
    changes = [Change(id=name, kind=Kind.CHANGED, on=on, since=on, shown_on=on) for name in names]
    desk.begin()
    topics = {"a/b": Topic(change="01")}
    Watched(changes=changes, topics=topics).save(desk.path())
    mark_shown(desk.path(), {"02"}, on, needed={"00"})

    assert [change.id for change in desk.kept().changes] == ["00", "01", *names[10:]]
