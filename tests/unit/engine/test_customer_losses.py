"""A customer who was cut off: since when data are missing, until when, what to fetch again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.journal import timestamp
from runbook_lib.engine.customer_losses import (
    first_gone_on,
    missing_document,
    missing_sentences,
    returned_document,
    returned_sentences,
)
from runbook_lib.engine.customer_rows import AccountStatus, FailingCalls, KnownAccount, Outage

DATA = find_procedure("facebook_marketing").customer_data
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
OUT = AccountStatus.NOT_SIGNED_IN
IN = AccountStatus.SIGNED_IN
FAIL = AccountStatus.CALLS_FAIL


def days_ago(number: float) -> str:
    return timestamp(NOW - timedelta(days=number))


def account(standing: AccountStatus, **known: Any) -> KnownAccount:
    """Return an account that was seen signed in 12 days ago."""
    return KnownAccount(
        "a", "Acme", **{"standing": standing, "signed_in_on": days_ago(12), **known}
    )


def failing(number: float) -> FailingCalls:
    return FailingCalls(days_ago(number), "The token has ended.", "Ask for a new sign-in.")


@pytest.mark.parametrize(
    ("known", "standing", "since", "perhaps"),
    [
        (account(OUT, not_signed_in_since=days_ago(10)), OUT, 10, None),
        (account(OUT, not_signed_in_since=days_ago(10), used_on=days_ago(30)), OUT, 10, 30),
        # A call failed before the first poll that saw the sign-out.
        (account(OUT, not_signed_in_since=days_ago(10), failing=failing(11)), OUT, 11, None),
        (account(IN, failing=failing(5), used_on=days_ago(9)), FAIL, 5, 9),
        # A use after the beginning cannot prove that nothing was lost before.
        (account(IN, failing=failing(5), used_on=days_ago(1)), FAIL, 5, None),
        (account(OUT, not_signed_in_since=days_ago(10), signed_in_on=""), OUT, None, None),
        (account(IN), IN, None, None),
        (account(AccountStatus.NOT_INSTALLED), AccountStatus.NOT_INSTALLED, None, None),
        (account(IN, failing=failing(5)), AccountStatus.NOT_ASKED, None, None),
    ],
)
def test_data_are_missing_at_least_since_and_perhaps_since(
    known: KnownAccount, standing: AccountStatus, since: float | None, perhaps: float | None
) -> None:
    """At least since the first poll or failed call, perhaps since the last proven use, plus 90."""
    missing = missing_document(known, standing, DATA)
    if since is None:
        assert missing is None
        return
    assert missing is not None
    assert missing["since"] == days_ago(since)
    assert missing["gone_on"] == days_ago(since - 90)[:10]
    assert missing["perhaps_since"] == ("" if perhaps is None else days_ago(perhaps))
    assert missing["perhaps_gone_on"] == ("" if perhaps is None else days_ago(perhaps - 90)[:10])
    first = since if perhaps is None else perhaps
    assert first_gone_on(missing) == days_ago(first - 90)[:10]
    (sentence, *_) = missing_sentences(missing, DATA)
    assert days_ago(since) in sentence
    assert ("perhaps" in sentence) is (perhaps is not None)


@pytest.mark.parametrize(("ago", "is_shown"), [(0, True), (89, True), (90, False), (-1, False)])
def test_a_return_is_shown_while_its_data_can_be_fetched(ago: float, is_shown: bool) -> None:
    """For 90 days after it, with the days to fetch; one of the future counts for nothing."""
    back = account(IN, outage=Outage(days_ago(ago + 4), days_ago(ago + 9), days_ago(ago)))
    returned = returned_document(back, IN, DATA, NOW)
    assert (returned is not None) is is_shown
    assert returned_document(back, OUT, DATA, NOW) is None
    if returned and DATA:
        text = " ".join(returned_sentences(returned, DATA))
        assert f"{days_ago(ago + 9)[:10]} to {days_ago(ago)[:10]}" in text
        assert DATA.fetch_method in text
        assert days_ago(ago + 9 - 90)[:10] in text


def test_without_stored_data_no_day_and_no_method_is_named() -> None:
    """A connector whose vendor keeps nothing says since when data may be missing, and no more."""
    missing = missing_document(account(OUT, not_signed_in_since=days_ago(3)), OUT, None)
    assert missing
    assert (missing["gone_on"], first_gone_on(missing)) == ("", "~")
    back = account(IN, outage=Outage(days_ago(4), "", days_ago(1)))
    returned = returned_document(back, IN, None, NOW)
    assert returned
    assert "fetch" not in " ".join(returned_sentences(returned, None)).lower()


@pytest.mark.parametrize("time", ["", "soon", "9999-12-31T23:00:00.000Z", "2026-13-01"])
def test_a_time_that_cannot_be_used_names_no_day(time: str) -> None:
    """A damaged row of the state, or a time at the end of the calendar, raises nothing."""
    damaged = account(OUT, not_signed_in_since=time or "x", used_on=time)
    missing = missing_document(damaged, OUT, DATA)
    assert missing
    assert missing["gone_on"] == ""
    outage = Outage(time, time, time)
    assert returned_document(account(IN, outage=outage), IN, DATA, NOW) is None


def test_a_success_ends_the_outage_and_a_new_sign_in_proves_no_use() -> None:
    """The outage keeps since when; only an answered call is a proven use."""
    out = account(OUT, not_signed_in_since=days_ago(4), used_on=days_ago(9))
    signed_in = out.with_success(days_ago(0))
    used = out.with_use(days_ago(0))
    assert signed_in.outage == Outage(days_ago(4), days_ago(9), days_ago(0))
    assert (signed_in.used_on, used.used_on) == (days_ago(9), days_ago(0))
    well = account(IN)
    assert well.with_success(days_ago(0)).outage is None
