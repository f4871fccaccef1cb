"""The tenants of a fleet: how each stands, the worst first, and what waits for whom."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.evidence.fleet_record import Status, TenantResult
from runbook_lib.evidence.reports.fleet_tenants import TenantRow, named_steps, tenant_rows
from tests.unit.evidence.reports.sample_fleets import (
    ENDED,
    LOGIN,
    REDIRECT,
    REVIEW,
    fleet,
    result,
    step,
    unsealed,
    waiting,
)


def rows(*results: TenantResult) -> list[TenantRow]:
    """Return the rows of a fleet with these results."""
    record = fleet(*results)
    return tenant_rows(record, named_steps(record), until=ENDED)


def row(*steps: dict[str, Any], **more: Any) -> TenantRow:
    """Return the row of a tenant with these steps."""
    (found,) = rows(result("acme", *steps, **more))
    return found


def failed(tenant: str, *, steps: int = 1) -> TenantResult:
    names = (REDIRECT, LOGIN)[:steps]
    return result(tenant, *(step(name, "failed") for name in names), outcome="failed", exit_code=1)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "complete"),
        ({"outcome": "incomplete", "exit_code": 3}, "incomplete"),
        ({"outcome": "failed", "exit_code": 1}, "failed"),
        ({"exit_code": 3}, "not archived"),
        ({"status": Status.UNSEALED, "outcome": None, "exit_code": 3}, "not sealed"),
        ({"status": Status.UNSEALED, "outcome": None, "exit_code": 4}, "refused"),
        ({"status": Status.PENDING, "outcome": None, "exit_code": None}, "not started"),
    ],
)
def test_how_a_tenant_stands_is_one_word(given: dict[str, Any], word: str) -> None:
    """What was not sealed, refused, not archived or not run is never called by its outcome."""

    assert row(**given).standing == word


def test_the_worst_is_first() -> None:
    """Failed or not sealed, then refused, overdue, what waits, what did not run, complete."""

    found = rows(
        result("complete"),
        unsealed("pending", status=Status.PENDING, exit_code=None),
        waiting("waits-short", 2),
        waiting("waits-long", 60, overdue_days=0),
        waiting("overdue", 40, overdue_days=1),
        waiting("most-overdue", 24, overdue_days=9),
        unsealed("refused", exit_code=4),
        unsealed("unsealed"),
        failed("one-failed"),
        failed("two-failed", steps=2),
        result("complete-also"),
    )

    assert [each.result.tenant for each in found] == [
        *("two-failed", "one-failed", "unsealed", "refused", "most-overdue", "overdue"),
        *("waits-long", "waits-short", "pending", "complete", "complete-also"),
    ]


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ({"for_": "outside_party"}, "an outside party since 31 Oct (24 days)"),
        ({"for_": "second_person"}, "a second person since 31 Oct (24 days)"),
        ({"for_": "anybody", "since": None}, "anybody"),
        (
            {"for_": "person", "assigned_to": "A colleague", "since": None, "due": "2026-12-01"},
            "A colleague, due 1 Dec",
        ),
        ({"overdue_days": 2}, "an outside party since 31 Oct (24 days), 2 days overdue"),
    ],
)
def test_a_wait_is_in_words(wait: dict[str, Any], words: str) -> None:
    """A wait says for whom, since when, until when, and by how much it is overdue."""

    (found,) = row(step(REVIEW, "waiting", **wait)).waits

    assert found.text == f"Waits for {words}"


def test_a_wait_without_a_sensible_time_has_no_days() -> None:
    """A time that is missing, mistyped or out of this century counts no days."""

    for since in (None, "soon", "1970-01-01T00:00:00Z"):
        found = row(step(REVIEW, "waiting", since=since))
        assert found.longest_wait is None
    assert row(step(REVIEW, "waiting", since="2027-01-01T00:00:00Z")).longest_wait == 0


def test_what_is_open_comes_first() -> None:
    """A row says first what failed, then what is overdue and what waits, then what is to do."""

    found = row(
        step(LOGIN, "not_run", "Nothing happened yet."),
        step("fb-02-developer-account", "waiting", for_="anybody"),
        step("fb-03-my-apps", "waiting", overdue_days=3),
        step("fb-04-create-app", "skipped", "Blocked."),
        step(REDIRECT, "failed", "Wrong."),
        step(REVIEW, "verified", "Approved."),
    )

    names = [line.name.split()[0] for line in found.lines]
    assert names == ["8", "3", "2", "1", "4", "12"]
    assert found.summary == "8 Set the Valid OAuth Redirect URI: Wrong."
    assert found.open_steps == [10, 2, 1, 0, 3]
    assert found.counts == "1 verified, 2 waiting, 1 failed, 1 skipped and 1 to do"


def test_steps_with_one_reason_are_one_line() -> None:
    """Steps that are open for one reason share a line; one that waits has its own."""

    found = row(
        step(LOGIN, "not_run", "Nothing yet."),
        step("fb-02-developer-account", "not_run", "Nothing yet."),
        step("fb-03-my-apps", "not_run", "Nothing yet.", for_="anybody", since=None),
    )

    assert [(line.name, line.text) for line in found.lines] == [
        ("3 Open My Apps", "Nothing yet. Waits for anybody."),
        ("Steps 1 and 2", "Nothing yet."),
    ]


def test_without_evidence_the_summary_is_the_reason() -> None:
    """A tenant without evidence says why; a complete one says nothing."""

    (found,) = rows(unsealed("acme", reason="No secret."))

    assert found.summary == "No secret."
    assert row(step(LOGIN)).summary == ""


def test_successive_steps_with_one_outcome_are_one_segment() -> None:
    """The strip has the steps in the connector's order, whatever order the result has."""

    found = row(step(REVIEW, "waiting"), step(REDIRECT), step(LOGIN))

    assert [(*look, number) for look, number in found.segments] == [
        ("verified", False, 2),
        ("waiting", False, 1),
    ]


def test_what_is_verified_in_part_counts_apart() -> None:
    """A step that is verified in part is a segment of its own, and is not among the verified."""

    in_part = {**step(REDIRECT), "needs_person": True}
    found = row(step(LOGIN), in_part, step(REVIEW))

    assert [(*look, number) for look, number in found.segments] == [
        ("verified", False, 1),
        ("verified", True, 1),
        ("verified", False, 1),
    ]
    assert found.counts == "2 verified and 1 verified in part"


def test_a_step_that_the_connector_lacks_keeps_its_id() -> None:
    """A step of another version of the connector is last, by its id, and not lost."""

    found = row(step("fb-99-gone", "failed", "Wrong."), step(LOGIN))

    assert [look.outcome for look in found.looks] == ["verified", "failed"]
    assert found.summary == "fb-99-gone: Wrong."


@pytest.mark.parametrize(
    ("bundle", "link"),
    [
        ("acme/x/2026Z-1", "../../acme/x/2026Z-1/report.html"),
        ("a b/x?/#1%", "../../a%20b/x%3F/%231%25/report.html"),
        ("javascript:alert(1)", "../../javascript%3Aalert%281%29/report.html"),
        ("\ud83d", "../../%3F/report.html"),
        ("", ""),
        (None, ""),
        ("/etc/passwd", ""),
        ("//elsewhere.example/x", ""),
        ("acme/../../x", ""),
    ],
)
def test_a_link_stays_in_the_evidence_folder(bundle: str | None, link: str) -> None:
    """The link to a report is relative to the page, encoded, and leaves the folder nowhere."""

    assert row(bundle=bundle).link == link
