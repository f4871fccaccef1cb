"""A partner's questions to Cyclr: a text to copy, its reason, and a record of either answer."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.procedure import Step, StepKind
from tests.support.connectors import FACEBOOK_CONNECTORS

WANTED = {
    "test-07-ask-old-requests": ("?ids=", "If-None-Match", "JSONP", "asynchronous batch"),
    "test-08-ask-login-product": ("scope", "config_id"),
    "test-09-ask-token-kind": ("user access token", "system user"),
    "test-10-ask-graph-version": ("Graph API", "Marketing API"),
}
QUESTIONS = find_procedure("facebook_marketing").sections[-1].steps


@pytest.mark.parametrize("step", QUESTIONS, ids=lambda step: step.id)
def test_a_question_can_be_copied_and_either_answer_be_kept(step: Step) -> None:
    """The text has the connector's name; both answers have a sentence, advice and a source."""
    (question,) = [paste.value({"cyclr_connector": "Facebook Messenger"}) for paste in step.pastes]
    (other,) = step.answers

    assert "the Facebook Messenger connector" in question
    assert all(word in question for word in WANTED[step.id])
    assert step.kind is StepKind.MANUAL
    assert not step.checks
    assert step.sentence != other.sentence
    # The text says what to do with what each button says, and where that was read, and when.
    for label in (step.attest_label, other.label):
        subject = label.removesuffix(" of them").removeprefix("A ").removeprefix("Login ")
        assert (
            f"**{subject[0].upper()}{subject[1:]}".removesuffix("'s")
            in step.instructions + step.prose
        )
    assert "2026" in step.source.off_page


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_every_connector_asks_all_of_them(connector: str) -> None:
    """They are the last section of a procedure, and its notebook has their cells."""
    *_, section = find_procedure(connector).sections

    assert [step.title for step in section.steps] == [step.title for step in QUESTIONS]
