"""A step as a document, and when a verified one is proven in part only."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.core.procedure import Outcome, StepKind
from runbook_lib.core.step_document import advice_of, is_proven_in_part
from tests.unit.evidence.reports.sample_runs import check, skip, step, words

TROUBLE = {"advice": "Correct it."}
LIMITED = [check(), check(limits=["The exact path."])]


def seen(**more: Any) -> dict[str, Any]:
    return step(**{"kind": "ask", "checks": LIMITED, **more})


@pytest.mark.parametrize("kind", StepKind)
def test_a_step_that_a_person_does_is_proven_in_part(kind: StepKind) -> None:
    """A verified step with a limit is proven in part if a person does it, and no other is."""

    assert is_proven_in_part(seen(kind=kind)) == (kind in ("manual", "ask"))


def test_without_a_limit_a_verified_step_is_proven() -> None:
    """Where no check names a limit, all of the step is verified."""

    assert not is_proven_in_part(seen(checks=[check()]))


@pytest.mark.parametrize(
    ("word", "is_in_part"),
    [
        (None, True),
        (words("fb-01-log-in"), False),
        (words("fb-01-log-in", kind="submitted"), True),
        (skip("fb-01-log-in"), True),
    ],
)
def test_an_attestation_completes_it(word: Any, is_in_part: bool) -> None:
    """A person who attests the step confirms the rest; another word does not."""

    assert is_proven_in_part(seen(word=word)) == is_in_part


@pytest.mark.parametrize("outcome", [each for each in Outcome if each != Outcome.VERIFIED])
def test_only_a_verified_step_is_proven_in_part(outcome: Outcome) -> None:
    """Another outcome has its own look, whatever the limits."""

    assert not is_proven_in_part(seen(outcome=outcome))


@pytest.mark.parametrize(
    ("seen_in", "advice"), [(["", "reason"], "Correct it."), (["answer", ""], ""), ([], "")]
)
def test_advice_is_about_the_error_in_the_reason(seen_in: list[str], advice: str) -> None:
    """What to do is that of the error that the reason names, and of no other."""

    troubles = [{**TROUBLE, "seen": each} for each in seen_in]

    assert advice_of(step(outcome="inconclusive", troubles=troubles)) == advice
