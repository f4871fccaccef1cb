"""Due items: what, and on which day."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome
from runbook_lib.operations.due_items import due_items
from runbook_lib.run.state import StepState, VoidAttestation
from tests.support.attestations import AT
from tests.support.waiting_steps import run_of, step


def attestation(**more: str) -> Attestation:
    return Attestation(kind=AttestationKind.ATTESTED, by="Ann", at=AT, sentence="It is.", **more)


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
    assert [(due_item.day, due_item.text) for due_item in due_items(run_of(state))] == [
        (day, f"{text} (Do a)") for day, text in ([expected] if expected else [])
    ]


def test_a_thing_is_one_item_for_each_day() -> None:
    """Several steps with one thing and day share one item with their names."""
    first, second = (
        replace(seen(token_ends_on="2027-02-25"), id=name, title=f"Do {name}")
        for name in ("a", "b")
    )
    (due_item,) = due_items(run_of(first, second))

    assert due_item.text == "token ends (Do a, Do b)"
    assert due_item.is_end
