"""What changed from one run to the next."""

from __future__ import annotations

from typing import Any

from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports.comparison import Changed, StepChange, WordChange, compare
from tests.unit.evidence.reports.sample_runs import SAID, record, skip, step, words

ONE, TWO = "fb-01-log-in", "fb-02-app"


def of(*steps: dict[str, Any], **more: Any) -> Record:
    return record(*steps, **more)


def test_the_same_again_is_no_change() -> None:
    """Id, times and length of the journal are not a change."""

    at = "2026-12-01T00:00:00Z"
    journal = {"first": 2, "lines": 2, "previous": "ab" * 32, "head": "cd" * 32}
    later = of(step(checked_on=at), run_id="ffffffff", started_on=at, journal=journal)

    assert not compare(of(), later)


def test_a_changed_outcome_has_both_reasons() -> None:
    """A changed outcome has outcome and reason before and after."""

    found = compare(of(step(ONE)), of(step(ONE, "failed")))

    assert found.steps == (
        StepChange(ONE, f"Do {ONE}", "verified", "failed", "Seen.", "It is failed."),
    )
    assert found.steps[0].is_outcome
    assert found


def test_another_reason_for_the_same_outcome_is_marked() -> None:
    """Another reason for the same outcome is a change that is not of the outcome."""

    (change,) = compare(of(step(ONE)), of(step(ONE, reason="Seen again."))).steps

    assert (change.is_outcome, change.was, change.reason) == (False, "Seen.", "Seen again.")


def test_added_and_removed_steps_are_listed() -> None:
    """Added and removed steps are listed, the added ones first."""

    found = compare(of(step(ONE)), of(step(TWO)))

    assert [(change.id, change.before, change.after) for change in found.steps] == [
        (TWO, "", "verified"),
        (ONE, "verified", ""),
    ]


def test_changes_of_statements_are_listed() -> None:
    """New, repeated, withdrawn and lapsed statements are listed with their authors."""

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
    """The same statement from another file is no change."""

    before = of(step(ONE, word=words(ONE, origin="a.toml")))

    assert not compare(before, of(step(ONE, word=words(ONE, origin="b.toml"))))


def test_changed_parameters_and_circumstances_are_listed() -> None:
    """Changed parameters, procedure, mode, credentials and environment are listed."""

    before = of(parameters={"a": "1", "gone": True, "same": ["1"]}, sandbox=True)
    after = of(
        parameters={"a": "2", "new": ["x", "y"], "same": ["1"]},
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
