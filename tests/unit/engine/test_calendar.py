"""Due items as a calendar file: what, on which day, and byte for byte the same again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest
from icalendar import Calendar

from runbook_lib.core.attestation_rules import VoidAttestation
from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.engine.calendar import DueItem, due_items_at_steps, icalendar_file, merge_due_items
from tests.support.attestations import AT
from tests.support.waiting_steps import run_of, step
from tests.support.wording import wording


def tenant(name: str, *steps: StepState, sandbox: bool = False) -> tuple[str, str, RunState]:
    return name, "facebook_marketing", run_of(*steps, sandbox=sandbox)


def due_items(of: Iterable[tuple[str, str, RunState]], *, person: str = "") -> list[DueItem]:
    at_steps = (
        due_item for tenant_arguments in of for due_item in due_items_at_steps(*tenant_arguments)
    )
    return merge_due_items(at_steps, person=person)


def attestation(**more: str) -> Attestation:
    return Attestation(
        kind=AttestationKind.ATTESTED, step="a", by="Ann", at=AT, sentence="It is.", **more
    )


def seen(**facts: str) -> StepState:
    finding = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="Seen.", facts=facts)
    return replace(step("a", Outcome.VERIFIED), findings=(finding,), checked_on=AT)


LAPSED = VoidAttestation(
    attestation=attestation(), why="400 days ago, until 2026-10-20", ended="2026-10-20"
)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (step("a", Outcome.NOT_RUN, to="Ben", due="2026-12-01"), ("2026-12-01", "due, Ben")),
        (step("a", Outcome.NOT_RUN, to="Ben"), None),
        (
            replace(step("a", Outcome.WAITING), attestation=attestation(due="2026-12-24")),
            ("2026-12-24", "due"),
        ),
        (
            replace(step("a", Outcome.ATTESTED), attestation=attestation(), ends_on="2027-11-24"),
            ("2027-11-24", "confirm it again"),
        ),
        (replace(step("a", Outcome.ATTESTED), attestation=attestation()), None),
        (
            replace(step("a", Outcome.NOT_RUN), void_attestations=(LAPSED,)),
            ("2026-10-20", "confirm it again"),
        ),
        (seen(certificate_ends_on="2027-02-25"), ("2027-02-25", "certificate ends")),
        (seen(data_access_ends_on="2027-02-25"), ("2027-02-25", "data access ends")),
        (seen(app_name="2027-02-25"), None),
        (seen(token_ends_on="never"), None),
    ],
)
def test_each_kind_of_duty(state: StepState, expected: tuple[str, str] | None) -> None:
    """A step handed over, asked for, a word that ends or has ended, and what checks see to end."""
    known = due_items([tenant("acme", state)])

    assert [(due_item.day, due_item.summary) for due_item in known] == [
        (day, f"acme: {text} (1 Do a)") for day, text in ([expected] if expected else [])
    ]


def tenants(day: str = "2026-12-01") -> list[tuple[str, str, RunState]]:
    return [
        tenant("umbrella", seen(certificate_ends_on="2027-02-25")),
        tenant("acme", step("a", Outcome.NOT_RUN, to="Ben", due=day), sandbox=True),
    ]


def test_equal_states_give_equal_bytes() -> None:
    """The order of tenants and the day on which it is written change nothing."""
    assert icalendar_file(due_items(tenants())) == icalendar_file(due_items(reversed(tenants())))


def test_an_entry_keeps_its_uid_when_its_day_moves() -> None:
    """An item that moves keeps its UID in a published calendar; other items have others."""
    (first, other) = due_items(tenants())
    (moved, _) = due_items(tenants("2026-12-24"))

    assert (first.day, moved.day) == ("2026-12-01", "2026-12-24")
    assert first.uid == moved.uid != other.uid


def test_the_entries_last_all_day() -> None:
    """Another program reads them: a date without a time, marked SANDBOX where it is practice."""
    read = Calendar.from_ical(icalendar_file(due_items(tenants())))
    first, second = read.walk("VEVENT")

    assert (first["dtstart"].dt, second["dtstart"].dt) == (date(2026, 12, 1), date(2027, 2, 25))
    assert first["summary"] == "SANDBOX acme: due, Ben (1 Do a)"
    assert (first["transp"], "dtend" in first) == ("TRANSPARENT", False)
    assert first["description"] == wording("inbox.handed-over", by="Operator", to="Ben")


def test_a_person_has_what_was_handed_over() -> None:
    """With a name, only that person's; two spellings are one."""
    assert [due_item.person for due_item in due_items(tenants(), person="BEN ")] == ["Ben"]
    assert due_items(tenants(), person="Ann") == []


@pytest.mark.parametrize(
    "text", ["a\r\nBEGIN:VALARM", "a;b,c\\n", "\ud800", "\u202e\x1b[2J", "x" * 300]
)
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    """People's words are one text: no line, no property, no control character of its own."""
    due_item = DueItem(
        day="2026-12-01",
        tenant=text,
        connector="c",
        step="s",
        kind="what",
        title=text,
        headline=text,
        places=(text,),
        description=text,
        since=AT,
    )
    content = icalendar_file([due_item])
    (event,) = Calendar.from_ical(content).walk("VEVENT")

    assert len(Calendar.from_ical(content).subcomponents) == 1
    assert str(event["summary"]).isprintable()
    assert b"\nBEGIN:VALARM" not in content


def test_a_thing_is_one_entry_for_each_day() -> None:
    """Several steps with one thing and day share one entry with their names."""
    first, second = (
        replace(seen(token_ends_on="2027-02-25"), step=step(name, "verified").step)
        for name in ("a", "b")
    )
    (due_item,) = due_items([tenant("acme", first, second)])

    assert due_item.summary == "acme: token ends (1 Do a, 1 Do b)"
    assert due_item.is_end
