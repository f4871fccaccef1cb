"""What happened when: words, checks and waits, in the order of their times."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.core.journal import Entry
from runbook_lib.core.procedure import Outcome, WordKind
from runbook_lib.evidence.reports.reading import whole_record
from runbook_lib.evidence.reports.timeline import (
    Event,
    Wait,
    Word,
    events,
    said,
    waits_across_runs,
    waits_of_run,
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
    return whole_record(record(*steps, **more))


def waiting(by: str = "Operator", at: str = SAID, **more: Any) -> Entry:
    return attested(REVIEW, by=by, at=at, kind="submitted", **more)


def seen(outcome: str, day: int) -> Entry:
    return checked(REVIEW, outcome, at=DAY.format(day))


def test_words_are_kept_in_the_order_in_which_they_were_written() -> None:
    """Who, when, what, and when it came into the journal; the last one counts."""

    lines = [
        attested("fb-01-log-in", note="Done.", seen="new", origin="words.toml", written_on=STARTED),
        skipped("fb-01-log-in", note="No.", written_on=CHECKED),
        entry("step.started", step="fb-01-log-in"),
    ]

    assert said(lines, of())["fb-01-log-in"] == [
        Word(
            "fb-01-log-in",
            "Operator",
            SAID,
            WordKind.ATTESTED,
            "Done.",
            "new",
            "words.toml",
            STARTED,
        ),
        Word("fb-01-log-in", "Operator", SAID, WordKind.SKIPPED, "No.", written_on=CHECKED),
    ]


def test_what_was_given_again_in_another_file_is_told_once() -> None:
    """As it was written first; the word of another person, time or note is another one."""

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

    found = said(lines, run)
    assert [(w.origin, w.written_on) for w in found["fb-01-log-in"]] == [("one.toml", STARTED)]
    assert [(w.by, w.text) for w in found[REVIEW]] == [
        ("Boss", ""),
        ("Operator", "Done."),
        ("Operator", ""),
    ]
    assert (found[REVIEW][-1].origin, found[REVIEW][-1].written_on) == ("one.toml", STARTED)
    assert len(events(lines, run)) == 4


def test_without_a_journal_the_records_own_words_stand() -> None:
    """A record alone is enough."""

    run = of(
        step("fb-01-log-in", "attested", word={"step": "x", "by": "A", "at": SAID}),
        step("fb-02-app", "skipped", word=skip("fb-02-app", note="Why.")),
        step(REVIEW, "waiting", word=words(REVIEW, kind="submitted")),
        step("fb-04-seen"),
    )

    found = said([], run)
    assert [(w.by, w.outcome, w.text) for w in found["fb-01-log-in"]] == [
        ("A", Outcome.ATTESTED, "")
    ]
    assert [(w.outcome, w.text) for w in found["fb-02-app"]] == [(Outcome.SKIPPED, "Why.")]
    assert [w.outcome for w in found[REVIEW]] == [Outcome.WAITING]
    assert found["fb-04-seen"] == []


def test_events_stand_in_the_order_of_their_times() -> None:
    """A word that was written down today shows on the day that the person names."""

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
        Event(SAID, "Done.", "Operator", "fb-01-log-in", Outcome.ATTESTED),
        Event(STARTED, "This run started."),
        Event(CHECKED, "", step="fb-04-seen", outcome=Outcome.VERIFIED),
        Event(CHECKED, "About to change: install it", step="fb-04-seen"),
        Event(CHECKED, "This run ended: complete."),
    ]


def test_of_other_runs_a_report_tells_only_that_they_were() -> None:
    """Beginning, cutting-off and end of earlier runs, what was mended; not their checks."""

    lines = [
        entry("run.started", run="ffffffff"),
        checked("fb-01-log-in", "failed", run="ffffffff"),
        entry("change.intended", {"change": "x"}, run="ffffffff", step="fb-01-log-in"),
        entry("run.interrupted", {"reason": "Killed."}, run="ffffffff"),
        entry("run.finished", {"outcome": "failed"}, run="ffffffff"),
        entry("journal.mended", {"bytes": 7, "text": "torn"}),
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
    """As its record does."""

    lines = [checked("fb-01-log-in", "failed", run="ffffffff")]

    assert events(lines, of()) == []
    assert len(events(lines, of(mode="interactive"))) == 1


def test_the_same_answer_again_and_again_is_one_event() -> None:
    """A review that is watched for days does not drown everything else."""

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


def test_what_is_of_no_step_of_the_record_is_left_out() -> None:
    """A procedure of another version may have had other steps."""

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
def test_a_wait_is_told_with_its_ends(story: str) -> None:
    """Since when and by whose word, until when and what came then."""

    lines, waits = SPANS[story]

    assert waits_of_run(lines, of(step(REVIEW))) == waits


def test_a_step_that_waits_is_never_left_out() -> None:
    """Where no line opens the wait (a second person must confirm), the record does."""

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


def told_on(day: int, outcome: str, **more: Any) -> dict[str, Any]:
    at = DAY.format(day)
    return of(step(REVIEW, outcome, checked_on=at, **more), started_on=at)


SUBMITTED = words(REVIEW, kind="submitted")
RUNS = {
    "one wait over three runs": (
        [
            told_on(21, "waiting", word=SUBMITTED),
            told_on(22, "waiting", word=SUBMITTED),
            told_on(23, "verified", word=SUBMITTED),
        ],
        [Wait(REVIEW, SAID, "Operator", DAY.format(23), Outcome.VERIFIED)],
    ),
    "a run that could not tell lies between": (
        [
            told_on(21, "waiting"),
            told_on(22, "inconclusive"),
            told_on(23, "not_run"),
            told_on(24, "waiting"),
        ],
        [Wait(REVIEW, DAY.format(21))],
    ),
    "it waits anew under an old word": (
        [
            told_on(21, "waiting", word=SUBMITTED),
            told_on(22, "verified", word=SUBMITTED),
            told_on(23, "waiting", word=SUBMITTED),
        ],
        [
            Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.VERIFIED),
            Wait(REVIEW, DAY.format(23)),
        ],
    ),
    "attested at last": (
        [
            told_on(21, "waiting", word=SUBMITTED),
            told_on(22, "attested", word=words(REVIEW)),
        ],
        [Wait(REVIEW, SAID, "Operator", DAY.format(22), Outcome.ATTESTED)],
    ),
    "attested after a machine saw it waiting": (
        [told_on(21, "waiting"), told_on(22, "attested", word=words(REVIEW))],
        [Wait(REVIEW, DAY.format(21), "", DAY.format(22), Outcome.ATTESTED)],
    ),
    "no check at all": (
        [of(step(REVIEW, "waiting", checked_on=None), started_on=DAY.format(21))],
        [Wait(REVIEW, DAY.format(21))],
    ),
}


@pytest.mark.parametrize("story", RUNS)
def test_a_wait_is_told_across_runs(story: str) -> None:
    """From records alone, as a tenant's history has them."""

    runs, waits = RUNS[story]

    assert waits_across_runs(runs) == waits
