"""The rows of tenants: how each stands, the worst first, what waits for whom, what to do now."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Outcome
from runbook_lib.evidence.fleet_result import Status, TenantResult
from runbook_lib.evidence.reports.tenant_rows import (
    StepRow,
    TenantRow,
    fleet_rows,
    gates,
    sealed_on,
    what_now,
)
from tests.unit.evidence.reports.sample_fleets import (
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
    """Return the rows of a fleet with these results, which are in their order, the worst first."""
    made = fleet_rows(fleet(*results), {(PROCEDURE.id, REVIEW): 22})
    assert [row.tenant for row in made] == [result.tenant for result in results]
    return sorted(made, key=lambda row: row.badness)


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
        ({"status": Status.NOT_RUN, "outcome": None, "exit_code": 3}, "not run"),
        ({"status": Status.PENDING, "outcome": None, "exit_code": None}, "not started"),
    ],
)
def test_how_a_tenant_stands_is_one_word(given: dict[str, Any], word: str) -> None:
    """What was not sealed, refused, not archived or not run is never called by its outcome."""
    assert row(**given).word == word


def test_the_worst_is_first() -> None:
    """Failed, then not sealed, overdue, what waits, what did not run, complete."""
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

    assert [each.tenant for each in found] == [
        *("two-failed", "one-failed", "refused", "unsealed", "most-overdue", "overdue"),
        *("waits-long", "waits-short", "pending", "complete", "complete-also"),
    ]


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ({"waits_for": "outside_party"}, "an outside party since 31 Oct (24 days)"),
        ({"waits_for": "second_person"}, "a second person since 31 Oct (24 days)"),
        ({"waits_for": "anybody", "since": None}, "anybody"),
        (
            {
                "waits_for": "person",
                "assigned_to": "A colleague",
                "since": None,
                "due": "2026-12-01",
            },
            "A colleague, due 1 Dec",
        ),
        ({"overdue_days": 2}, "an outside party since 31 Oct (24 days), 2 days overdue"),
    ],
)
def test_a_wait_is_in_words(wait: dict[str, Any], words: str) -> None:
    """A wait says for whom, since when, until when, and by how much it is overdue."""
    (found,) = row(step("fb-14-other", "waiting", **wait)).open

    assert found.text == f"Waits for {words}."


def test_a_wait_without_a_sensible_time_has_no_days() -> None:
    """A time that is missing, mistyped or out of this century counts no days."""
    for since in (None, "soon", "1970-01-01T00:00:00Z"):
        assert row(step(REVIEW, "waiting", since=since)).open[0].days is None
    assert row(step(REVIEW, "waiting", since="2027-01-01T00:00:00Z")).open[0].days == 0


def test_what_is_open_comes_first() -> None:
    """A row says first what failed, then what is overdue and what waits, then what is to do."""
    found = row(
        step(LOGIN, "not_run", "Nothing happened yet."),
        step("fb-02-developer-account", "waiting", waits_for="anybody"),
        step("fb-03-my-apps", "waiting", overdue_days=3),
        step("fb-04-create-app", "skipped", "Blocked."),
        step(REDIRECT, "failed", "Wrong."),
        step(REVIEW, "verified", "Approved."),
    )

    assert [name.split()[0] for _, name in found.lines] == ["8", "3", "2", "1", "4"]
    assert found.summary == "8 Set the Valid OAuth Redirect URI: Wrong."
    assert found.whom == "an outside party and anybody"
    assert (found.waits_since[:10], found.overdue_days) == ("2026-10-31", 3)


def test_steps_with_one_reason_are_one_line() -> None:
    """Steps about which a row says the same share a line: no sentence stands twice."""
    found = row(
        step(LOGIN, "not_run", "Nothing yet."),
        step("fb-02-developer-account", "not_run", "Nothing yet."),
        step("fb-03-my-apps", "not_run", "Nothing yet.", waits_for="anybody", since=None),
        step("fb-04-create-app", "not_run", "Nothing yet.", waits_for="anybody", since=None),
    )

    assert [(name, line.text) for line, name in found.lines] == [
        ("Steps 3 and 4", "Nothing yet. Waits for anybody."),
        ("Steps 1 and 2", "Nothing yet."),
    ]


def test_without_evidence_the_summary_is_the_reason() -> None:
    """A tenant without evidence says why; a complete one says nothing."""
    (found,) = rows(unsealed("acme", reason="No secret."))

    assert found.summary == "No secret."
    assert row(step(LOGIN)).summary == ""


def test_what_is_verified_in_part_is_open() -> None:
    """A step that a person must look at is open once it waits, with its reason."""
    in_part = {**step(REDIRECT, "verified", "Seen.", waits_for="anybody", since=None)}
    found = row(step(LOGIN), {**in_part, "needs_person": True})

    assert found.summary.endswith("verified in part: Seen. Waits for anybody.")


def test_a_step_that_the_connector_lacks_keeps_its_id() -> None:
    """A step of another version of the connector is last, by its id, and not lost."""
    found = row(step("fb-99-gone", "failed", "Wrong."), step(LOGIN))

    assert [step.id for step in found.steps] == [LOGIN, "fb-99-gone"]
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


@pytest.mark.parametrize(
    ("bundle", "time"),
    [
        ("acme/x/20261124T115900Z-0a1b2c3d", "2026-11-24T11:59:00Z"),
        ("20261124T115900Z-0a1b2c3d", "2026-11-24T11:59:00Z"),
        ("acme/x/latest", ""),
        ("", ""),
    ],
)
def test_the_last_seal_is_in_the_name(bundle: str, time: str) -> None:
    """A bundle's folder says when its run began; another name says nothing."""
    assert sealed_on(bundle) == time


def late(tenant: str, days: int) -> TenantResult:
    return waiting(tenant, days, overdue_days=max(days - 22, 0))


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ((1,), "1 tenant, 1 day, usually up to 22 days"),
        ((2, 24), "2 tenants, 2 to 24 days, usually up to 22 days, 1 overdue"),
        ((2, 4, 9), "3 tenants, 2 to 9 days, median 4 days, usually up to 22 days"),
    ],
)
def test_a_gate_says_how_long_tenants_wait(days: tuple[int, ...], text: str) -> None:
    """A gate has the number of tenants, their days, the usual ones, and how many are overdue."""
    (gate,) = gates(rows(*(late(f"t{number}", number) for number in days)))
    name, said, low, high, middle, usual = gate

    assert (name, said) == ("12 Submit for review, and wait", text)
    longest = max(*days, 22)
    assert usual == round(100 * 22 / longest, 2)
    assert 0 <= low <= middle <= high == round(100 * max(days) / longest, 2)


def test_the_gate_that_most_wait_at_is_first() -> None:
    """Each step that somebody waits at since a known time is a gate; others are none."""
    first, second = gates(
        rows(
            result("a", step("fb-12a-publish", "waiting", waits_for="anybody")),
            late("b", 1),
            late("c", 2),
            result("d", step(LOGIN, "waiting", waits_for="anybody", since=None)),
        )
    )

    (name, *_), (other, *_, usual) = first, second
    assert (name[:3], other[:3], usual) == ("12 ", "12a", 0)
    assert gates(rows(result("a", step(LOGIN)))) == []


FIRST = "api.cyclr.com and [::1]:80 could not be reached: check the network first."
SILENT = "api.cyclr.com could not be reached: timed out."


def seen(outcome: Outcome, reason: str, **more: Any) -> TenantRow:
    look = StepRow(id="a", number="1", title="Log in", outcome=outcome, reason=reason)
    return TenantRow(
        tenant="acme", connector="x", word="bad", outcome=outcome, steps=[look], **more
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "There is nothing to do now."),
        ([row(step(LOGIN))], "There is nothing to do now."),
        (rows(late("a", 2), late("b", 3)), "There is nothing to do now: 2 tenants can only wait."),
        (
            rows(late("a", 23)),
            (
                "1 tenant needs you. a (incomplete) waits for an outside party: 12 Submit for "
                "review, and wait (1 day overdue)."
            ),
        ),
        (
            [seen(Outcome.FAILED, "Wrong."), seen(Outcome.WAITING, "", problem="No `secret`.")],
            "2 tenants need you. Start with acme (bad): 1 Log in.",
        ),
        (
            [
                seen(Outcome.INCONCLUSIVE, SILENT),
                seen(Outcome.FAILED, "", problem="[::1]:80 could not be reached: refused."),
                seen(Outcome.INCONCLUSIVE, "api.cyclr.com could not be reached: reset."),
                seen(Outcome.INCONCLUSIVE, "It could not be reached."),
            ],
            f"{FIRST} 4 tenants need you. Start with acme (bad): 1 Log in.",
        ),
    ],
)
def test_one_sentence_says_what_to_do_now(given: list[TenantRow], sentence: str) -> None:
    """It names the hosts that did not answer, how many need somebody, and with whom to start."""
    assert what_now(given) == sentence
