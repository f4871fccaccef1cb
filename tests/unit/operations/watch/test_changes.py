"""
Each change that a watch can see: one right message, and one when it is over.

A real SMTP server and a webhook's receiver that verifies signatures take the messages. The
sandbox's clock and the watch's are moved together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import read_fault
from facebook_cyclr_sandbox.state.review import decide
from runbook_lib.connectors.facebook.graph import GRAPH_CALENDAR, MARKETING_CALENDAR
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import timestamp
from tests.support.attestations import attested, submitted
from tests.support.post import Post, receiving
from tests.support.watched_changes import (
    CASES,
    Case,
    NotifiedDesk,
    connector_of,
    set_to,
    take_permission,
)
from tests.support.wording import wording
from tests.unit.operations.watch.desk import DAY, HOUR, MINUTE, SECRET_STEP

# Two looks a day later, since a changed answer counts when it is seen again; then two more.
LOOKS = (DAY, 6 * MINUTE, DAY, 6 * MINUTE)
# The first two of these see only what waits or fails.
EARLY_LOOKS = (16 * MINUTE, 6 * MINUTE, DAY, 6 * MINUTE, DAY)


@pytest.fixture
def post() -> Iterator[Post]:
    with receiving() as post:
        yield post


@pytest.fixture
def desk(folder: Path, post: Post) -> Iterator[NotifiedDesk]:
    with Sandbox("approved", seed=2) as sandbox:
        desk = NotifiedDesk(folder, sandbox, post)
        yield desk
        desk.run.close()


def at(step: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the only row at that step."""
    (row,) = [row for row in rows if step in {place["id"] for place in row["places"]}]
    return row


@pytest.mark.matrix(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_is_one_row_of_one_digest_and_so_is_its_end(
    desk: NotifiedDesk, case: Case
) -> None:
    """It is told once however often it is polled, with its reason, effects and advice."""
    desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()))])
    desk.perform()
    desk.pass_by(0)
    repair = case.change(desk)
    # Other steps may show the same cause.
    told = desk.pass_by(*LOOKS)
    change = at(case.step, told)
    repair()
    after = desk.pass_by(*EARLY_LOOKS)
    over = at(case.step, after)
    (place,) = [place for place in change["places"] if place["id"] == case.step]

    assert len({row["digest"] for row in told}) == len({row["digest"] for row in after}) == 1
    assert change["phase"] == ("changed" if case.is_news else "new")
    assert over["phase"] == ("changed" if case.is_news else "over")
    assert place["outcome"] == case.outcome
    assert case.reason in place["reason"]
    assert case.stops in (change["stops"] or "")
    assert case.advice in (change["advice"] or "")
    assert (over["id"] == change["id"]) is not case.is_news
    mail = desk.mail_of(change)
    assert change["title"] in mail["Subject"]
    for part in (case.reason, case.stops, case.advice):
        assert part in mail.get_content()


def test_a_permission_that_is_no_longer_listed_fails(desk: NotifiedDesk) -> None:
    """It was listed as live, so its absence is an answer: it fails at the second poll, and ends."""
    desk.perform()
    desk.pass_by(0)
    repair = take_permission(desk)
    (told,) = desk.pass_by(*LOOKS)
    repair()
    (over,) = desk.pass_by(*EARLY_LOOKS)

    assert (told["phase"], told["failing"]) == ("new", True)
    assert told["cause"] == "code permission-no-longer-live"
    names = wording("findings.does-not-list", permission="ads_read")
    assert {place["reason"].startswith(names) for place in told["places"]} == {True}
    assert (over["phase"], over["id"]) == ("over", told["id"])


@pytest.mark.parametrize("user", ["", "operator"])
def test_no_sign_in_link_is_used_up(desk: NotifiedDesk, user: str) -> None:
    """No setting permits it, so another Client ID in Cyclr's console is not noticed."""
    desk.set(f"RUNBOOK_CYCLR_USERNAME={user}")
    desk.pass_by(0)
    set_to(connector_of, "client_id", "1234567890123456")(desk)

    assert desk.pass_by(*LOOKS) == []


def test_another_secret_that_is_refused_fails_at_the_first_poll(desk: NotifiedDesk) -> None:
    """The check in the journal was made with the right one; each check that meets it is named."""
    right = desk.sandbox.settings("facebook")["app_secret"]
    desk.perform()
    desk.pass_by(0)
    desk.set(f"RUNBOOK_FACEBOOK_APP_SECRET={right[::-1]}")
    (told,) = desk.pass_by(DAY)
    desk.set(f"RUNBOOK_FACEBOOK_APP_SECRET={right}")
    (over,) = desk.pass_by(*EARLY_LOOKS)

    assert (told["phase"], told["cause"]) == ("new", "code app-secret-refused")
    failed = {place["id"] for place in told["places"] if place["outcome"] == "failed"}
    assert SECRET_STEP in failed
    assert (over["phase"], over["id"]) == ("over", told["id"])


def test_a_decided_review_is_told_once_with_the_next_step(folder: Path, post: Post) -> None:
    """Each step that waited for it is in one digest; the approval names the next step."""
    with Sandbox("review-pending", seed=2) as sandbox:
        desk = NotifiedDesk(folder, sandbox, post)
        desk.run.say([submitted("fb-12-submit-review")])
        desk.pass_by(0)
        decide(desk.app, dict.fromkeys(desk.app.review.permissions, "approved"), "")
        told = desk.pass_by(*LOOKS, *LOOKS)
        mail = desk.mail_of(told[0])
        desk.run.close()

    assert len({row["digest"] for row in told}) == 1
    assert {row["phase"] for row in told} == {"changed"}
    assert not any(row["failing"] for row in told)
    change = at("fb-12-submit-review", told)
    assert change["title"] == wording("findings.review-approved", permissions=9)
    following = PROCEDURE.step("fb-12a-publish").title
    assert change["advice"] == wording("watch.next-step", title=f"{following}.")
    assert "leads_retrieval: live" in change["places"][0]["reason"]
    assert wording("findings.all-live", permissions=9) in change["places"][0]["reason"]
    assert f"{change['title']} (changed)" in mail.get_content()


# --- what falls due --------------------------------------------------------------------------
def end_in_calendar(calendar: Any, desk: NotifiedDesk, ends: datetime) -> None:
    """Let the pinned version end on that day, as the calendar knows."""
    desk.patch.setitem(calendar.ends, "v26.0", ends.date())


def end_token_later(field: str, desk: NotifiedDesk, ends: datetime) -> None:
    """Let the test's token, or its data access, end then."""
    facebook = desk.state.facebook
    value = desk.state.operator_values["user_access_token"]
    token = facebook.tokens.get(value)
    assert token
    never: dict[str, Any] = {"expires_at": 0, "data_access_expires_at": 0}
    later: dict[str, Any] = {**never, field: int(ends.timestamp())}
    facebook.tokens.put(value, replace(token, **later))


DUE: dict[str, tuple[Callable[[NotifiedDesk, datetime], object], str, str, str]] = {
    "graph_version": (
        partial(end_in_calendar, GRAPH_CALENDAR),
        "fb-13-app-id-and-secret",
        "Graph version ends",
        "Set graph_version to a newer version, then check again.",
    ),
    "marketing_api_version": (
        partial(end_in_calendar, MARKETING_CALENDAR),
        "fb-13-app-id-and-secret",
        "Marketing API version ends",
        "Set graph_version to a newer version, then check again.",
    ),
    "certificate": (
        lambda desk, ends: desk.present(desk.state.cyclr.service_domain, ends=ends),
        "fb-08-redirect-uri",
        "Certificate ends",
        "Renew the certificate of the Service Domain before then",
    ),
    "token": (
        partial(end_token_later, "expires_at"),
        "test-04-user-token",
        "Token ends",
        "Sign in again before then",
    ),
    "data_access": (
        partial(end_token_later, "data_access_expires_at"),
        "test-04-user-token",
        "Data access ends",
        "The person must sign in and consent again",
    ),
}


@pytest.mark.matrix(1)
@pytest.mark.parametrize("what", DUE)
def test_ends_are_reported_30_7_and_1_days_before(
    desk: NotifiedDesk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A calendar's end, the certificate's, the token's and its data access's: each day once."""
    let_end, step, text, do = DUE[what]
    desk.patch = monkeypatch
    ends = desk.now() + timedelta(days=33, hours=1)
    let_end(desk, ends)
    desk.run.perform(step)
    desk.pass_by(0)
    days = [3, 23, 6, 1]
    rows = desk.pass_by(*[part for day in days for part in (day * DAY - HOUR, HOUR)])

    assert [row["phase"] for row in rows] == ["new", "changed", "changed"]
    assert {row["advice"][: len(do)] for row in rows} == {do}
    assert {row["title"] for row in rows} == {text}
    assert {row["due"] for row in rows} == {ends.date().isoformat()}
    assert {place["id"] for row in rows for place in row["places"]} == {step}


# --- no changes -------------------------------------------------------------------------------
CLOSED = "http://127.0.0.1:9"
NO_NETWORK = {"graph_url": CLOSED, "cyclr_api_url": CLOSED, "service_domain_address": CLOSED[7:]}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "server-error"},
    {"kind": "graph-error", "code": 1},
    {"kind": "graph-error", "code": 2},
    {"kind": "graph-error", "code": 4},
    {"kind": "html"},
    {"kind": "truncated"},
    {"kind": "reset"},
    {"kind": "slow", "seconds": 1.5},
    {},
)


def disturb(desk: NotifiedDesk, chance: random.Random, *, is_whole: bool) -> None:
    """Let something else be wrong at the next look: with all requests, or with some of them."""
    fault = dict(chance.choice(FAULTS))
    desk.given = {} if fault else dict(NO_NETWORK)
    share = 1.0 if is_whole else chance.random()
    site = (
        ""
        if is_whole
        else chance.choice(("graph", "cyclr-api", "cyclr-console", "service-domain", ""))
    )
    named = [{**fault, "share": share, "site": site}] if fault else []
    desk.state.faults.active = [read_fault(part) for part in named]


@pytest.mark.matrix(0)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_random_outages_is_one_message(
    desk: NotifiedDesk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """
    A day in which something else is wrong at each look is no message; more than a day is one.

    It is over with one more. The faults are 5xx, Graph's codes 1, 2 and 4 (its limit), pages
    instead of JSON, cut and slow answers, and no network.
    """
    print("seed", seed)  # noqa: T201
    chance = random.Random(seed)
    monkeypatch.setattr("runbook_lib.remote.retries.RetryPolicy.pause", lambda *_: 0.0)
    desk.set("RUNBOOK_EXCHANGE_SECONDS=1")
    desk.pass_by(0)

    def day(seconds: float, *, is_whole: bool) -> list[dict[str, Any]]:
        messages = []
        while seconds > 0:
            disturb(desk, chance, is_whole=is_whole)
            wait = chance.uniform(5 * MINUTE, 90 * MINUTE)
            messages += desk.pass_by(wait)
            seconds -= wait
        desk.given = {}
        desk.state.faults.active = []
        return messages

    some = [*day(DAY, is_whole=False), *desk.pass_by(6 * MINUTE, 16 * MINUTE)]
    whole = day(2 * DAY, is_whole=True)
    over = desk.pass_by(6 * MINUTE, *LOOKS)

    assert some == []
    assert [(row["phase"], row["group"]) for row in whole] == [("new", "cannot_be_checked")]
    assert [(row["phase"], row["id"]) for row in over] == [("over", whole[0]["id"])]
