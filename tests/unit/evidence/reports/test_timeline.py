"""The timeline: statements, checks and waits in the order of their times."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.core.model import Entry, Outcome, WordKind
from runbook_lib.evidence.reports.timeline import (
    Event,
    Wait,
    events,
    waits_across_runs,
    waits_of_run,
    words_by_step,
)
from tests.unit.evidence.reports.sample_runs import (
    CHECKED,
    SAID,
    STARTED,
    attested,
    checked,
    entry,
    record,
    skip,
    skipped,
    step,
    words,
)

REVIEW = "fb-12-submit-review"
DAY = "2026-11-{:02}T10:00:00Z"


def of(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return record(*steps, **more)


def waiting(by: str = "Operator", at: str = SAID, **more: Any) -> Entry:
    return attested(REVIEW, by=by, at=at, kind="submitted", **more)


def seen(outcome: str, day: int) -> Entry:
    return checked(REVIEW, outcome, at=DAY.format(day))


def test_statements_are_in_the_order_of_writing() -> None:
    """Statements are in the order in which they were written, with author, times, note and file."""
    lines = [
        attested("fb-01-log-in", note="Done.", seen="new", origin="words.toml", written_on=STARTED),
        skipped("fb-01-log-in", note="No.", written_on=CHECKED),
        entry("step.started", step="fb-01-log-in"),
    ]

    done, left = words_by_step(lines, of())["fb-01-log-in"]
    assert (done.by, done.at, done.kind, done.note) == ("Operator", SAID, "attested", "Done.")
    assert (done.seen, done.origin, done.written_on) == ("new", "words.toml", STARTED)
    assert (left.kind, left.note, left.written_on) == (WordKind.SKIPPED, "No.", CHECKED)
    for word in (done, left):
        assert word.sentence == "I did fb-01-log-in."
        assert word.about == "App Acme Lead Sync, App ID 4711, Service Domain acme-h.cyclr.com"


def test_the_same_statement_from_another_file_is_listed_once() -> None:
    """
    The same statement from another file is listed once; another author or note is another
    statement.
    """
    first = attested(REVIEW, origin="one.toml", written_on=STARTED)
    lines = [
        first,
        skipped("fb-01-log-in", origin="one.toml", written_on=STARTED),
        attested(REVIEW, by="Boss", origin="one.toml", written_on=STARTED),
        attested(REVIEW, note="Done.", origin="one.toml", written_on=STARTED),
        skipped("fb-01-log-in", origin="two.toml", written_on=CHECKED),
        attested(REVIEW, origin="two.toml", written_on=CHECKED),
    ]
    run = of(step("fb-01-log-in", "skipped"), step(REVIEW, "attested"))

    found = words_by_step(lines, run)
    assert [(w.origin, w.written_on) for w in found["fb-01-log-in"]] == [("one.toml", STARTED)]
    assert [(w.by, w.note) for w in found[REVIEW]] == [
        ("Boss", ""),
        ("Operator", "Done."),
        ("Operator", ""),
    ]
    assert (found[REVIEW][-1].origin, found[REVIEW][-1].written_on) == ("one.toml", STARTED)
    assert len(events(lines, run)) == 4


def test_without_a_journal_the_records_statements_are_used() -> None:
    """Without journal lines, the statements of the record are used."""
    run = of(
        step("fb-01-log-in", "attested", word=words("x", by="A")),
        step("fb-02-app", "skipped", word=skip("fb-02-app", note="Why.")),
        step(REVIEW, "waiting", word=words(REVIEW, kind="submitted")),
        step("fb-04-seen"),
    )

    found = words_by_step([], run)
    assert [(w.by, w.outcome, w.note) for w in found["fb-01-log-in"]] == [
        ("A", Outcome.ATTESTED, "")
    ]
    assert [(w.outcome, w.note) for w in found["fb-02-app"]] == [(Outcome.SKIPPED, "Why.")]
    assert [w.outcome for w in found[REVIEW]] == [Outcome.WAITING]
    assert found["fb-04-seen"] == []


def test_events_are_in_the_order_of_their_times() -> None:
    """Events are sorted by time; a statement has the time that its author names."""
    run = of(step("fb-01-log-in", "attested"), step("fb-04-seen"))
    lines = [
        entry("run.started"),
        attested("fb-01-log-in", note="Done."),
        checked("fb-01-log-in", ""),
        checked("fb-04-seen", "verified"),
        entry("change.intended", {"change": "install it"}, at=CHECKED, step="fb-04-seen"),
        entry("run.finished", {"outcome": "complete"}, at=CHECKED),
    ]

    assert events(lines, run) == [
        Event(SAID, "", "Operator", "fb-01-log-in", Outcome.ATTESTED),
        Event(STARTED, "This run started."),
        Event(CHECKED, "", step="fb-04-seen", outcome=Outcome.VERIFIED),
        Event(CHECKED, "About to change: install it", step="fb-04-seen"),
        Event(CHECKED, "This run ended: complete."),
    ]


def test_of_other_runs_only_start_and_end_are_listed() -> None:
    """Of other runs, start, interruption and end are listed, but no checks."""
    lines = [
        entry("run.started", run="ffffffff"),
        checked("fb-01-log-in", "failed", run="ffffffff"),
        entry("change.intended", {"change": "x"}, run="ffffffff", step="fb-01-log-in"),
        entry("run.interrupted", {"reason": "Killed."}, run="ffffffff"),
        entry("run.finished", {"outcome": "failed"}, run="ffffffff"),
        entry("journal.repaired", {"bytes": 7, "text": "torn"}),
        entry("run.interrupted", {"reason": "Stopped."}),
        entry("bundle.sealed", {"bundle": "b"}, run="ffffffff"),
    ]

    assert [event.text for event in events(lines, of())] == [
        "Run ffffffff started.",
        "Run ffffffff was interrupted: Killed.",
        "Run ffffffff ended: failed.",
        "An incomplete last journal line was removed (7 bytes).",
        "This run was interrupted: Stopped.",
    ]


def test_a_walkthrough_counts_the_checks_of_every_run() -> None:
    """In a walkthrough, the checks of every run are listed."""
    lines = [checked("fb-01-log-in", "failed", run="ffffffff")]

    assert events(lines, of()) == []
    assert len(events(lines, of(mode="interactive"))) == 1


def test_repeated_results_are_one_event() -> None:
    """Repeated equal results of a step are one event with a count."""
    lines = [
        *(seen("waiting", day) for day in range(1, 6)),
        checked("fb-01-log-in", "verified", at=DAY.format(5)),
        seen("verified", 6),
        seen("waiting", 7),
    ]

    assert events(lines, of(step(), step(REVIEW))) == [
        Event(DAY.format(1), "", "", REVIEW, Outcome.WAITING, 5, DAY.format(5)),
        Event(DAY.format(5), "", "", "fb-01-log-in", Outcome.VERIFIED),
        Event(DAY.format(6), "", "", REVIEW, Outcome.VERIFIED),
        Event(DAY.format(7), "", "", REVIEW, Outcome.WAITING),
    ]


def test_steps_that_are_not_in_the_record_are_left_out() -> None:
    """Lines about steps that are not in the record are left out."""
    lines = [checked("zz-99-gone", "verified"), attested("zz-99-gone"), waiting()]

    assert events(lines, of()) == []
    assert waits_of_run(lines, of()) == []


SPANS = {
    "a person says since when, a check says until when": (
        [waiting(), seen("verified", 25)],
        [Wait(REVIEW, SAID, "Operator", DAY.format(25), Outcome.VERIFIED)],
    ),
    "it goes on": ([waiting(), seen("waiting", 25)], [Wait(REVIEW, SAID, "Operator")]),
    "a machine sees it first, the person tells of an earlier day": (
        [seen("waiting", 21), waiting()],
        [Wait(REVIEW, SAID, "Operator")],
    ),
    "a person tells of a later day": (
        [seen("waiting", 18), waiting()],
        [Wait(REVIEW, DAY.format(18))],
    ),
    "a machine alone": (
        [seen("waiting", 18), seen("failed", 19)],
        [Wait(REVIEW, DAY.format(18), "", DAY.format(19), Outcome.FAILED)],
    ),
    "a check that cannot tell ends nothing": (
        [waiting(), seen("inconclusive", 21), seen("not_run", 22)],
        [Wait(REVIEW, SAID, "Operator")],
    ),
    "a person says that it is over, and no check contradicts": (
        [waiting(), seen("inconclusive", 21), attested(REVIEW, at=DAY.format(22))],
        [Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.ATTESTED)],
    ),
    "a person says that it is over, but the check still waits": (
        [waiting(), seen("waiting", 21), attested(REVIEW, at=DAY.format(22))],
        [Wait(REVIEW, SAID, "Operator")],
    ),
    "a person leaves it out": (
        [waiting(), skipped(REVIEW, at=DAY.format(22))],
        [Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.SKIPPED)],
    ),
    "what was said is withdrawn": (
        [waiting(), attested(REVIEW, kind="withdrawn", at=DAY.format(22))],
        [Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.NOT_RUN)],
    ),
    "it is declined, and submitted again": (
        [
            waiting(),
            attested(REVIEW, kind="declined", at=DAY.format(22)),
            waiting("Other", DAY.format(23)),
        ],
        [
            Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.FAILED),
            Wait(REVIEW, DAY.format(23), "Other"),
        ],
    ),
    "what is over is repeated from a file": (
        [waiting(), seen("verified", 25), waiting(written_on=DAY.format(26))],
        [Wait(REVIEW, SAID, "Operator", DAY.format(25), Outcome.VERIFIED)],
    ),
    "a second submission": (
        [waiting(), seen("failed", 22), waiting("Other", DAY.format(23)), seen("verified", 26)],
        [
            Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.FAILED),
            Wait(REVIEW, DAY.format(23), "Other", DAY.format(26), Outcome.VERIFIED),
        ],
    ),
    "a check without a finding says nothing": (
        [waiting(), seen("", 21)],
        [Wait(REVIEW, SAID, "Operator")],
    ),
    "nothing waits": ([seen("verified", 21)], []),
}


@pytest.mark.parametrize("story", SPANS)
def test_a_wait_has_start_and_end(story: str) -> None:
    """A wait has its start, author, end and the outcome that ended it."""
    lines, waits = SPANS[story]

    assert waits_of_run(lines, of(step(REVIEW))) == waits


def test_a_waiting_step_is_always_listed() -> None:
    """A waiting step without a line that opens its wait is listed from the record."""
    half = step("fb-02-app", "waiting", word=words("fb-02-app", by="First"))
    alone = step("fb-03-other", "waiting")
    unchecked = step("fb-04-third", "waiting", checked_on=None)
    run = of(half, alone, unchecked, step(REVIEW, "waiting"))

    assert waits_of_run([attested("fb-02-app", by="First"), waiting()], run) == [
        Wait("fb-02-app", SAID, "First"),
        Wait(REVIEW, SAID, "Operator"),
        Wait("fb-04-third", STARTED),
        Wait("fb-03-other", CHECKED),
    ]


def observed_on(day: int, outcome: str, **more: Any) -> dict[str, Any]:
    at = DAY.format(day)
    return of(step(REVIEW, outcome, checked_on=at, **more), started_on=at)


SUBMITTED = words(REVIEW, kind="submitted")
RUNS = {
    "one wait over three runs": (
        [
            observed_on(21, "waiting", word=SUBMITTED),
            observed_on(22, "waiting", word=SUBMITTED),
            observed_on(23, "verified", word=SUBMITTED),
        ],
        [Wait(REVIEW, SAID, "Operator", DAY.format(23), Outcome.VERIFIED)],
    ),
    "a run that could not tell lies between": (
        [
            observed_on(21, "waiting"),
            observed_on(22, "inconclusive"),
            observed_on(23, "not_run"),
            observed_on(24, "waiting"),
        ],
        [Wait(REVIEW, DAY.format(21))],
    ),
    "it waits anew under an old word": (
        [
            observed_on(21, "waiting", word=SUBMITTED),
            observed_on(22, "verified", word=SUBMITTED),
            observed_on(23, "waiting", word=SUBMITTED),
        ],
        [
            Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.VERIFIED),
            Wait(REVIEW, DAY.format(23)),
        ],
    ),
    "attested at last": (
        [
            observed_on(21, "waiting", word=SUBMITTED),
            observed_on(22, "attested", word=words(REVIEW)),
        ],
        [Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.ATTESTED)],
    ),
    "attested after a machine saw it waiting": (
        [observed_on(21, "waiting"), observed_on(22, "attested", word=words(REVIEW))],
        [Wait(REVIEW, DAY.format(21), "", DAY.format(22), Outcome.ATTESTED)],
    ),
    "no check at all": (
        [of(step(REVIEW, "waiting", checked_on=None), started_on=DAY.format(21))],
        [Wait(REVIEW, DAY.format(21))],
    ),
}


@pytest.mark.parametrize("story", RUNS)
def test_a_wait_spans_several_runs(story: str) -> None:
    """Waits across runs are derived from the records alone."""
    runs, waits = RUNS[story]

    assert waits_across_runs(runs) == waits
