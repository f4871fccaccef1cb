"""Receivers and their digests, whatever refuses, moves, ends or is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.code_meanings import read_meanings
from runbook_lib.connectors.findings import compared
from runbook_lib.core.model import Outcome
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch import send as send_module
from runbook_lib.operations.watch.saved_items import acknowledge
from runbook_lib.operations.watch.watch_state import Digest, WatchState, WatchStateError
from tests.support.attestations import assigned
from tests.support.commands import runbook
from tests.support.wording import refused, wording
from tests.unit.operations.watch.desk import (
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
CHECKS = [check.id for step in PROCEDURE.steps for check in step.checks]
REFUSED = wording("findings.secret-refused")


@pytest.fixture
def failing(desk: Desk) -> Desk:
    """Three tenants, who are watched, and whose App Secret is refused from now on."""
    desk.introduce(THREE)
    desk.refuse_secret()
    return desk


def recover(desk: Desk, tenants: Sequence[Any] = THREE) -> list[str]:
    """Let what failed be as it was, seen twice."""
    desk.answers.clear()
    return desk.cycle(16 * MINUTE, tenants) + desk.cycle(6 * MINUTE, tenants)


# --- the content ------------------------------------------------------------------------------
def test_the_first_digest_lists_all_that_is_open(desk: Desk) -> None:
    """Nobody knows whether it is new; what fails is reminded of."""
    desk.refuse_secret("beta")
    desk.cycle(0, THREE)
    ((_, _, first),) = desk.post.sent
    told = desk.post.take_reports()
    desk.cycle(DAY, THREE)

    assert told == ["all open beta", "all open acme+beta+coda"]
    assert first.subject == f"SANDBOX beta: {REFUSED}"
    assert desk.post.take_reports() == told


def test_the_next_step_alone_is_told_once_a_week(desk: Desk) -> None:
    """It is no news by itself."""
    for _ in range(16):
        desk.cycle(DAY, THREE)
    assert desk.post.take_reports() == ["all open acme+beta+coda"] * 2


def test_a_digest_has_ten_rows_and_says_how_many_more(desk: Desk) -> None:
    """The last lines say where all of them are."""
    codes = [code for code, meaning in read_meanings().items() if "failed" in meaning.outcomes]
    for check, code in zip(CHECKS, codes, strict=False):
        desk.answers["", check] = finding(Outcome.FAILED, f"No {check}.", code=code)
    desk.cycle(0)
    ((_, _, digest),) = desk.post.sent
    listed = read_tenants("evidence", desk.now()).statuses[0].items
    rows = digest.document["rows"]

    assert [row["title"] for row in rows] == [item.title for item in listed[:10]]
    assert digest.document["more"] == len(listed) - 10 > 0
    *_, more, _, how, page = digest.text.splitlines()
    assert str(len(listed) - 10) in more
    assert how.endswith("runbook inbox")
    assert page == Path("evidence/index.html").absolute().as_uri()


def test_one_cause_is_one_row_and_so_is_its_end(desk: Desk) -> None:
    """Each channel gets it once."""
    desk.set(**HOOK)
    desk.introduce(THREE)
    desk.refuse_secret()
    assert desk.cycle(DAY, THREE) == desk.cycle(HOUR, THREE) == []
    sent = {channel: digest for channel, _, digest in desk.post.sent}
    news = desk.post.take_news()
    assert recover(desk) == []
    over = {channel: digest for channel, _, digest in desk.post.sent}

    assert sent.keys() == over.keys() == {"mail", "webhook"}
    assert sent["mail"].subject == f"SANDBOX 3 tenants: {REFUSED}"
    assert over["mail"].subject == f"SANDBOX 3 tenants: over: {REFUSED}"
    assert "Tenants: acme, beta, coda" in sent["mail"].text
    assert {line.partition(" ")[2] for line in news} == {"new acme+beta+coda"}
    over_lines = {line.partition(" ")[2] for line in desk.post.take_news()}
    assert over_lines == {"over acme+beta+coda"}
    assert (desk.cycle(DAY, THREE), desk.post.sent) == ([], [])


def test_the_state_has_no_address_and_no_secret(failing: Desk) -> None:
    """Digests stand for addresses."""
    failing.set(**HOOK)
    failing.cycle(DAY, THREE)
    content = failing.path.read_bytes()
    assert not [word for word in (SECRET, HOOK_SECRET, "@acme") if word.encode() in content]
    assert failing.path.stat().st_mode & 0o777 == 0o600


def test_a_deactivated_app_is_one_row_of_one_digest(desk: Desk) -> None:
    """Its cause is the subject, and its steps are named."""
    desk.introduce()
    desk.answers = {
        ("", "app-name-matches"): deactivated(),
        ("", "app-is-registered"): deactivated(),
        ("", SECRET_CHECK): deactivated(Outcome.FAILED),
    }
    desk.cycle(DAY)
    desk.cycle(6 * MINUTE)
    ((_, _, digest),) = desk.post.sent
    (steps,) = [line for line in digest.text.splitlines() if "Steps: " in line]

    title = wording("findings.app-deactivated")
    assert digest.subject == f"SANDBOX acme: {title}"
    assert desk.post.take_news() == ["all new acme"]
    assert "Create App" in steps
    assert PROCEDURE.step(SECRET_STEP).title in steps


def test_an_approval_says_whose_and_what_comes_next(desk: Desk) -> None:
    """The subject has the news, the text the next step; it is told once."""
    desk.answers["", "review-is-approved"] = finding(Outcome.WAITING, "In review.")
    desk.introduce()
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
    following = wording("watch.next-step", title=PROCEDURE.step("fb-12a-publish").title)
    assert digest.subject == f"SANDBOX acme: changed: {news}"
    assert following in digest.text


def test_causes_of_one_cycle_are_one_digest(failing: Desk) -> None:
    """What is new, over and still open for a receiver is one message, in this order."""
    failing.cycle(DAY, THREE)
    failing.answers.clear()
    failing.refuse_secret("acme")
    failing.answers["coda", "public-profile-is-live"] = finding(Outcome.FAILED, "Not live.")
    failing.cycle(16 * MINUTE, THREE)
    failing.post.take_news()
    failing.cycle(6 * MINUTE, THREE)
    assert len(failing.post.sent) == 1
    assert failing.post.take_news() == ["all new coda", "all over beta+coda", "all open acme"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ["all open acme+beta+coda"]),
        ({"mail_to": OWN}, ["all open acme+beta", "own open coda"]),
        ({"mail_from": "else@coda.example"}, ["all open acme+beta", "all open coda"]),
        ({"mail_server": "127.0.0.1:26"}, ["all open acme+beta", "all open coda"]),
        ({"mail_people": "Ben=ben@acme.example"}, ["all open acme+beta+coda"]),
        (REAL, ["all open acme+beta", "all open coda"]),
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
    assert sorted(desk.post.take_news()) == sorted(told)


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
    desk.refuse_secret()
    desk.cycle(0, [desk.tenant("acme"), desk.tenant("beta"), desk.tenant("coda", **change)])

    told = [
        (way, tuple(digest.document["rows"][0]["tenants"])) for way, _, digest in desk.post.sent
    ]
    assert sorted(told) == sorted(
        [*(("mail", names) for names in mails), *(("webhook", names) for names in hooks)]
    )


@pytest.mark.parametrize("is_late", [False, True])
def test_a_person_who_has_the_step_is_told(desk: Desk, is_late: bool) -> None:
    """Failures of a step go to whom it was handed over, also if it failed before."""
    if not is_late:
        desk.begin("beta", assigned(SECRET_STEP, "Ann"))
    desk.introduce(THREE)
    desk.refuse_secret()
    desk.cycle(DAY, THREE)
    if is_late:
        assert desk.post.take_news() == ["all new acme+beta+coda"]
        desk.begin("beta", assigned(SECRET_STEP, "Ann"))
        desk.cycle(DAY, THREE)
    phase = "open" if is_late else "new"
    # The first digest that she gets.
    told = "ann open beta" if is_late else "ann new beta"
    assert sorted(desk.post.take_news()) == [f"all {phase} acme+coda", told]


def test_a_day_that_comes_is_told_to_whoever_has_it(desk: Desk) -> None:
    """30, 7 and 1 days before, and once it is overdue, for all tenants together."""
    due = (desk.now() + timedelta(days=40)).date().isoformat()
    for name in THREE:
        desk.begin(name, assigned("fb-01-log-in", "Ann", due=due))
    days = []
    for day in range(44):
        desk.cycle(DAY, THREE)
        days += [40 - day - 1 for line in desk.post.take_news() if line.startswith("ann changed")]
    assert days == [30, 7, 1, -1]


# --- receivers and digests, whatever is refused, moves or ends ----------------------------------
@pytest.mark.matrix(6)
@pytest.mark.parametrize(
    ("script", "told"),
    [
        # A failure for another reason has a row of its own in the same digest.
        ("fail else:coda 1d", "new coda, new acme+beta"),
        (
            "with:acme+beta fail:acme 1d fail:beta 1h back 16m 6m",
            "new acme, changed acme+beta, over acme+beta",
        ),
        # A digest whose tenant has left its receiver is withdrawn; the rest has a new id.
        ("fail refuse 1d take own:coda 1h", "new acme+beta, open coda@own"),
        ("fail refuse 1d take own:acme+beta+coda 1h", "open acme+beta+coda@own"),
        ("fail silent 1d take own:coda 1h", "new acme+beta, open coda@own"),
        # A tenant that is not in the cycle has no known settings, and is told later.
        (
            "fail refuse 1d take with:acme+beta 1h with 1h",
            "new acme+beta, changed acme+beta+coda",
        ),
        # A digest that may be there is sent unchanged, and its end comes next.
        ("fail silent 1d back 16m 6m take 1h 1h", "new acme+beta+coda, over acme+beta+coda"),
        (
            "fail silent 1d back:coda 16m 6m take 1h 1h",
            "new acme+beta+coda, over coda, open acme+beta",
        ),
        # A refused one is composed again.
        ("fail refuse 1d back:coda 16m 6m take 1h 1h", "new acme+beta"),
        ("fail 1d back 16m 6m 9h 9h", "new acme+beta+coda, over acme+beta+coda"),
        # A change while a digest is pending goes into the next one.
        ("fail:acme silent 1d fail:beta 1h take 1h 1h", "new acme, changed acme+beta"),
        ("fail:acme refuse 1d fail:beta 1h take 1h 1h", "new acme+beta"),
        # A receiver that has moved is told of what is open, and not of what is over.
        (
            "fail 1d own:coda refuse 23h take 1h",
            "new acme+beta+coda, open acme+beta, open coda@own",
        ),
    ],
)  # fmt: skip
def test_each_is_told_once_and_in_order(desk: Desk, script: str, told: str) -> None:
    """What is new is told once under one id, and its end after it."""
    play(desk, script)
    ids = [digest.id for *_, digest in desk.post.sent]
    lines = []
    for line in desk.post.take_news():
        who, _, rest = line.partition(" ")
        lines.append(f"{rest}@own" if who == "own" else rest)

    assert lines == told.split(", ")
    assert len({*ids}) == len(ids)


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
    desk.introduce(THREE)
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
    assert failing.post.take_news() == ["all new acme+beta"]
    failing.set(**{f"RUNBOOK_{name.upper()}": to for name, to in mail.items()})
    failing.cycle(HOUR, THREE)
    assert failing.post.take_news() == ["all changed acme+beta+coda"]


def test_an_end_before_any_digest_is_never_sent(failing: Desk) -> None:
    """Its tenant had no channel while it lasted."""
    mail = {"RUNBOOK_MAIL_SERVER": "127.0.0.1:25", "RUNBOOK_MAIL_FROM": "runbook@acme.example"}
    failing.set(RUNBOOK_MAIL="")
    failing.cycle(DAY, THREE)
    recover(failing)
    failing.set(**mail, RUNBOOK_MAIL_TO="all@acme.example")
    failing.cycle(DAY, THREE)
    assert failing.post.take_news() == []


def test_news_is_not_for_a_receiver_who_came_later(desk: Desk) -> None:
    """A new address gets what is open, and no news from before."""
    desk.answers["", "review-is-approved"] = finding(Outcome.WAITING, "In review.")
    desk.introduce()
    desk.answers["", "review-is-approved"] = finding(Outcome.VERIFIED, "All are live.")
    desk.refuse_secret()
    for wait in (DAY, 6 * MINUTE, 2 * DAY):
        desk.cycle(wait)
    assert "all changed acme" in desk.post.take_news()
    desk.cycle(HOUR, [desk.tenant("acme", mail_to=OWN)])
    assert desk.post.take_news() == ["own open acme"]


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
    tries = {(d.id, d.subject, d.text) for _, d in failing.post.tries}
    assert len(tries) == 1
    failing.cycle(MINUTE, ("acme",))
    assert failing.post.take_news() == ["all new acme", "all new acme", "all open acme"]


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
    assert failing.post.take_news() == ["all new acme"]


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
    assert len({(digest.id, digest.text) for _, digest in failing.post.tries}) == 1


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
            patch.setattr(send_module.Sender, "_accept", killed)
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
    """Each failure is told; what comes twice has the same id and text."""
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
        rows = [row for digest in told.values() for row in digest.document["rows"]]
        assert [row["tenants"] for row in rows if row["phase"] == "new"] == [[*THREE]]
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
    assert failing.post.take_news() == ["all new acme+beta+coda"]


@pytest.mark.parametrize("broken", [("coda",), ("acme",), ("acme", "beta"), THREE])
def test_a_tenant_that_could_not_be_polled_withdraws_no_digest(
    failing: Desk, broken: tuple[str, ...]
) -> None:
    """Its settings cannot be read, so it leads where it did: id and text stay as they were."""
    failing.post.act = be_silent
    failing.cycle(DAY, THREE)
    ((_, tried),) = failing.post.tries
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
    assert failing.post.take_news() == ["all new acme+beta+coda"]
    assert len({digest.id for _, digest in failing.post.tries}) == 1


def test_a_first_digest_that_names_a_tenant_that_left_is_withdrawn(desk: Desk) -> None:
    """Another receiver has the tenant."""
    desk.post.act = be_silent
    desk.refuse_secret()
    desk.cycle(0, THREE)
    desk.post.act = take
    desk.cycle(HOUR, ["acme", "beta", desk.tenant("coda", mail_to=OWN)])
    assert sorted(desk.post.take_news()) == ["all open acme+beta", "own open coda"]


def test_a_digest_of_tenants_that_all_left_never_comes_back(failing: Desk) -> None:
    """One of them returns to its receiver while the other cannot be polled."""
    failing.post.act = refuse
    failing.cycle(DAY, ("acme", "beta"))
    failing.post.act = take
    failing.cycle(HOUR, [failing.tenant(name, mail_to=OWN) for name in ("acme", "beta")])
    failing.post.take_reports()
    failing.cycle(HOUR, ["acme", failing.tenant("beta", graph_url="nonsense")])
    assert failing.post.take_news() == ["all new acme"]


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
    assert len(failing.cycle(8 * DAY, fleet)) == 2
    assert (failing.cycle(MINUTE, fleet), failing.code) == ([], ExitCode.INCOMPLETE)
    page = failing.page()
    failing.post.act = take
    failing.cycle(HOUR, fleet)

    assert wording("watch.message-not-accepted") in page
    assert "(451) later" in page
    assert failing.code is ExitCode.COMPLETE
    assert wording("watch.message-not-accepted") not in failing.page()


def test_the_code_does_not_depend_on_what_was_told_or_acknowledged(failing: Desk) -> None:
    """It is 1 while anything fails, whoever knows of it."""
    failing.cycle(DAY, ("acme",))
    acknowledge_first(failing)
    failing.cycle(HOUR, ("acme",))
    assert failing.code is ExitCode.FAILED
    recover(failing, ("acme",))
    assert failing.code is ExitCode.COMPLETE


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


# --- reminders ----------------------------------------------------------------------------------
def acknowledge_first(desk: Desk, by: str = "Ann", **given: str) -> list[str]:
    """Acknowledge the row that the last digest names first; return its tenants."""
    (*_, (_, _, digest)) = desk.post.sent
    ident = digest.text.partition("--ack ")[2].split()[0]
    whole = {"ident": ident, "by": by, "note": "", "evidence": "evidence", **given}
    return acknowledge(**whole, now=desk.now())


def test_a_failure_is_reminded_of_daily_until_it_is_acknowledged(failing: Desk) -> None:
    """The id in a digest stands for all tenants of its row, who then remind nobody."""
    failing.cycle(DAY, THREE)
    failing.post.take_news()
    assert (failing.cycle(DAY - HOUR, THREE), failing.post.sent) == ([], [])
    failing.cycle(HOUR, THREE)
    ((_, _, digest),) = failing.post.sent
    assert digest.subject == f"SANDBOX 3 tenants: {REFUSED}"
    ident = digest.document["rows"][0]["id"]
    assert f"--ack {ident} " in digest.text
    assert acknowledge_first(failing, ident=ident.upper(), note="on it") == [*THREE]
    assert failing.post.take_news() == ["all open acme+beta+coda"]
    for _ in range(6):
        failing.cycle(DAY, THREE)
    assert failing.post.sent == []


def test_an_acknowledgement_ends_when_the_failure_does(failing: Desk) -> None:
    """Its end is told; the next failure of the cause is new, and reminds again."""
    failing.cycle(DAY, ("acme",))
    acknowledge_first(failing)
    failing.post.take_news()
    recover(failing, ("acme",))
    failing.refuse_secret()
    failing.cycle(DAY, ("acme",))
    assert failing.post.take_news() == ["all over acme", "all new acme"]
    failing.cycle(DAY, ("acme",))
    assert failing.post.take_news() == ["all open acme"]


def test_another_tenant_of_an_acknowledged_row_is_told(failing: Desk) -> None:
    """The row has changed: nobody knows of that tenant."""
    failing.answers.clear()
    failing.refuse_secret("acme")
    failing.cycle(DAY, THREE)
    acknowledge_first(failing)
    failing.post.take_news()
    failing.refuse_secret("beta")
    failing.cycle(DAY, THREE)
    assert failing.post.take_news() == ["all changed acme+beta"]
    failing.cycle(DAY, THREE)
    assert failing.post.take_news() == ["all open acme+beta"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"by": ""}, "no-acknowledger"),
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
    before = failing.items()
    with refused(SettingsError, says):
        acknowledge_first(failing, **given)
    assert failing.items() == before
    assert acknowledge_first(failing) == acknowledge_first(failing) == ["acme"]
    with refused(SettingsError, "already-acknowledged", name="Ann"):
        acknowledge_first(failing, by="Ben")


# --- clocks and watches -------------------------------------------------------------------------
def test_a_clock_that_was_ahead_stops_no_digest_and_no_reminder(failing: Desk) -> None:
    """A digest sent, tried or told at a wrong clock's future time is due now."""
    right = failing.offset
    failing.cycle(400 * DAY, ("acme",))
    failing.post.take_news()
    failing.offset = right
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_news() == ["all open acme"]
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_news() == []
    failing.cycle(DAY, ("acme",))
    assert failing.post.take_news() == ["all open acme"]
    failing.post.act = refuse
    failing.cycle(YEARS, ("acme",))
    failing.post.act = take
    failing.offset = right + 2 * DAY + 2 * HOUR
    failing.cycle(HOUR, ("acme",))
    assert failing.post.take_news() == ["all open acme"]


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
    assert len(failing.post.tries) == 1
    failing.cycle(HOUR, ("acme",), is_alone=True)
    assert failing.post.take_news() == ["all new acme+beta+coda"]


def test_watches_of_single_tenants_leave_each_other_alone(failing: Desk) -> None:
    """One with a pending digest does not stop, or withdraw, another one's to the same receiver."""
    failing.post.act = be_silent
    failing.cycle(DAY, ("acme",), is_alone=True)
    failing.cycle(MINUTE, ("beta",), is_alone=True)
    failing.post.act = take
    failing.cycle(HOUR, ("acme",), is_alone=True)
    failing.cycle(MINUTE, ("beta",), is_alone=True)
    assert failing.post.take_news() == ["all new acme", "all new beta"]
    tries = [digest.id for _, digest in failing.post.tries]
    assert len({*tries}) == 2


def test_an_end_of_long_ago_is_forgotten(desk: Desk) -> None:
    """An item that ended 90 days ago goes; one that lasts stays."""
    desk.fail()
    desk.answers.clear()
    desk.answers["", "public-profile-is-live"] = finding(Outcome.FAILED, "It is not live.")
    for wait in (16 * MINUTE, 6 * MINUTE):
        desk.cycle(wait)
    assert [row.ended_on for row in desk.items() if row.ended_on]
    desk.cycle(91 * DAY)
    assert {row.place for row in desk.items() if row.item.is_failing} == {"fb-10-public-profile"}
    assert not [row for row in desk.items() if row.ended_on]
