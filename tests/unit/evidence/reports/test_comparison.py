"""What changed from one run to the next, and nothing that did not."""

from __future__ import annotations

from typing import Any

from runbook_lib.evidence.reports.comparison import Changed, StepChange, WordChange, compare
from runbook_lib.evidence.reports.reading import whole_record
from tests.unit.evidence.reports.sample_runs import SAID, record, skip, step, words

ONE, TWO = "fb-01-log-in", "fb-02-app"


def of(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return whole_record(record(*steps, **more))


def test_the_same_again_is_no_change() -> None:
    """Neither the run's id nor its times nor the length of its journal are a change."""

    later = of(run_id="ffffffff", started_on="2026-12-01T00:00:00Z", journal={"lines": 2})
    later["steps"][0]["checked_on"] = "2026-12-01T00:00:00Z"

    assert not compare(of(), later)


def test_a_step_that_came_to_something_else_is_told_with_both_reasons() -> None:
    """Outcome and reason before and after."""

    found = compare(of(step(ONE)), of(step(ONE, "failed")))

    assert found.steps == (
        StepChange(ONE, f"Do {ONE}", "verified", "failed", "Seen.", "It is failed."),
    )
    assert found.steps[0].is_outcome
    assert found


def test_another_reason_for_the_same_is_told_apart() -> None:
    """So that a report can put it aside."""

    (change,) = compare(of(step(ONE)), of(step(ONE, reason="Seen again."))).steps

    assert (change.is_outcome, change.was, change.reason) == (False, "Seen.", "Seen again.")


def test_steps_that_came_and_went_are_told() -> None:
    """A procedure of another version has other steps; the new ones stand first."""

    found = compare(of(step(ONE)), of(step(TWO)))

    assert [(change.id, change.before, change.after) for change in found.steps] == [
        (TWO, "", "verified"),
        (ONE, "verified", ""),
    ]


def test_words_are_given_given_anew_and_withdrawn() -> None:
    """Attestations and skips, with whose they are."""

    nothing = step(ONE, "not_run")
    said = step(ONE, "not_run", word=words(ONE, note="Done."))
    again = step(ONE, "not_run", word=words(ONE, by="Other"))
    out = step(ONE, "not_run", word=skip(ONE, note="Why."))

    def changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[WordChange, ...]:
        return compare(of(before), of(after)).words

    title = f"Do {ONE}"
    given = WordChange(ONE, title, "attested", "given", "Operator", SAID, "Done.")
    withdrawn = WordChange(ONE, title, "attested", "withdrawn", "Operator", SAID, "Done.")
    assert changed(nothing, said) == (given,)
    assert changed(said, nothing) == (withdrawn,)
    assert changed(said, again) == (
        WordChange(ONE, title, "attested", "given again", "Other", SAID, ""),
    )
    assert changed(said, out) == (
        WordChange(ONE, title, "skipped", "given again", "Operator", SAID, "Why."),
    )
    lapsed = step(ONE, "not_run", lapsed=[{"word": words(ONE), "why": "for App ID 1, not 2"}])
    assert changed(said, lapsed) == (
        WordChange(ONE, title, "attested", "no longer counts", "Operator", SAID, "Done."),
    )


def test_the_same_words_from_another_file_are_no_change() -> None:
    """Where they were read from is not what was said."""

    before = of(step(ONE, word=words(ONE, origin="a.toml")))

    assert not compare(before, of(step(ONE, word=words(ONE, origin="b.toml"))))


def test_parameters_and_circumstances_are_told() -> None:
    """What was given, what came and went, and what the run was made with."""

    before = of(parameters={"a": "1", "gone": True, "same": [1]}, sandbox=True)
    after = of(
        parameters={"a": "2", "new": ["x", "y"], "same": [1]},
        procedure={"id": "facebook_marketing", "version": "2", "digest": "cd" * 32},
        credentials=["app_secret", "user_access_token"],
        environment={"python": "3.12.1"},
        mode="interactive",
    )

    found = compare(before, after)
    assert found.parameters == (
        Changed("a", "1", "2"),
        Changed("new", "", "x, y"),
        Changed("gone", "yes", ""),
    )
    assert [(change.name, change.before, change.after) for change in found.circumstances] == [
        ("procedure version", "1", "2"),
        ("procedure digest", "ab" * 32, "cd" * 32),
        ("mode", "headless", "interactive"),
        ("sandbox", "yes", "no"),
        ("credentials given", "app_secret", "app_secret, user_access_token"),
        ("python", "3.11.7", "3.12.1"),
    ]
