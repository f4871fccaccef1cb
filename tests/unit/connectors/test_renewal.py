"""Data Access Renewal in both connectors: where it stands, what can be said of it, its errors."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.procedure import Procedure, Step, StepKind
from tests.support.connectors import FACEBOOK_CONNECTORS

GREY = "Complete data access renewal requirements to submit for App Review"
DEACTIVATED = "API access deactivated. To reactivate, go to the app dashboard."
connectors = pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)


def renewal(procedure: Procedure) -> Step:
    (step,) = (step for step in procedure.steps if step.id.endswith("-data-access-renewal"))
    return step


@connectors
def test_it_stands_between_public_pages_and_submission(name: str) -> None:
    """The renewal comes after the public pages and before the submission, in either connector."""
    procedure = find_procedure(name)
    ids = [step.id for step in procedure.steps]
    place = ids.index(renewal(procedure).id)

    assert ids[place - 1].endswith("-public-pages")
    assert procedure.steps[place + 1].review_kit == name
    assert (
        ids[place : place + 3]
        == {
            "facebook_marketing": [
                "fb-11b-data-access-renewal",
                "fb-12-submit-review",
                "fb-12a-publish",
            ],
            "facebook_messenger": [
                "fb-10c-data-access-renewal",
                "fb-10d-app-review",
                "fb-10e-publish",
            ],
        }[name]
    )


@connectors
def test_it_is_attested_with_an_end(name: str) -> None:
    """No check sees it; done counts for a year, not asked for 90 days, asked has 60 to be done."""
    step = renewal(find_procedure(name))

    assert (step.kind, step.checks, step.usual_days) == (StepKind.WAIT, (), 21)
    assert step.valid_days == 365
    assert [(answer.name, answer.valid_days, answer.due_days) for answer in step.answers] == [
        ("not-asked", 90, 0),
        ("asked", 0, 60),
    ]
    assert "resp-plat-initiatives/data-access-renewal" in step.source.off_page


@connectors
@pytest.mark.parametrize(
    ("text", "ending"), [(GREY, "review"), (GREY, "publish"), (DEACTIVATED, "")]
)
def test_its_errors_lead_to_it(name: str, text: str, ending: str) -> None:
    """The text at the grey button is known at review, publishing and here; it names this step."""
    procedure = find_procedure(name)
    step = renewal(procedure)
    at = [step for step in procedure.steps if ending and step.id.endswith(ending)]

    for place in (step, *at):
        (known,) = (error for error in place.known_errors if text in error.shown)
        assert f"step {procedure.numbers[step.id]} ({step.title})" in known.advice


@connectors
def test_older_names_are_named_as_such(name: str) -> None:
    """The renewal and the submission say which older names it has replaced."""
    procedure = find_procedure(name)
    (submission,) = (step for step in procedure.steps if step.review_kit)

    for step in (renewal(procedure), submission):
        text = f"{step.instructions} {step.prose}".replace("**", "")
        for older in ("Data Use Checkup", "Data Protection Assessment", "data handling questions"):
            assert older in text
    assert "formerly **Data Use Checkup**" in renewal(procedure).instructions
    assert "formerly Data Use Checkup" in submission.prose
