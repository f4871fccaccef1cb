"""The picture of time: waits as bars, checks and words as marks, whatever the times are."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from runbook_lib.core.model import Outcome, WordKind
from runbook_lib.evidence.reports.chart import Chart, chart
from runbook_lib.evidence.reports.timeline import (
    Event,
    Mark,
    Wait,
    Word,
    marks_across_runs,
    marks_of_run,
)
from tests.unit.evidence.reports.report_page import history, report_of
from tests.unit.evidence.reports.sample_runs import (
    CHECKED,
    SAID,
    attested,
    check,
    checked,
    on,
    record,
    step,
    words,
)

LOGIN, REVIEW = "fb-01-log-in", "fb-12-submit-review"
START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(**after: float) -> str:
    return (START + timedelta(**after)).isoformat()


def drawn(*marks: Mark, waits: tuple[Wait, ...] = (), until: str = "") -> Chart:
    made = chart([LOGIN, REVIEW], waits, marks, until=until)
    assert made is not None
    return made


def verified(when: str, step_id: str = LOGIN) -> Mark:
    return Mark(step_id, when, Outcome.VERIFIED)


def test_without_an_event_there_is_no_picture() -> None:
    """Where nothing was checked, said or waited for, there is no picture."""

    assert chart([LOGIN], [], [], until=at()) is None
    assert "chart" not in {
        each.attributes.get("class")
        for each in report_of(step(LOGIN, "not_run", checked_on=None)).elements
    }


def test_only_steps_with_an_event_have_a_row() -> None:
    """Rows are in the order of the steps; a step without an event has none."""

    made = chart(
        ["a", "b", "c"], [Wait("c", at())], [verified(at(), "a"), verified(at(), "x")], until=at()
    )

    assert made is not None
    assert [row.step for row in made.rows] == ["a", "c"]


def test_places_follow_the_times() -> None:
    """A mark stands where its time is between the first and the last one."""

    (row,) = drawn(*(verified(at(seconds=n)) for n in (0, 1, 2))).rows

    first, middle, last = (mark.x for mark in row.marks)
    assert middle == 50
    assert 0 < first < 15
    assert first + last == pytest.approx(100)


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (timedelta(0), ["12:00:00.0"]),
        (timedelta(seconds=2), ["12:00:00", "12:00:01", "12:00:02"]),
        (timedelta(minutes=12), ["12:00", "12:05", "12:10"]),
        (timedelta(hours=30), ["12:00", "25 Nov", "12:00"]),
        (timedelta(days=3), ["25 Nov", "26 Nov", "27 Nov"]),
        (timedelta(days=40), ["3 Dec", "17 Dec", "31 Dec"]),
        (timedelta(days=200), ["Jan 2027", "Mar 2027", "May 2027"]),
        (timedelta(days=9_000), ["Jan 2030", "Jan 2040", "Jan 2050"]),
    ],
)
def test_the_axis_has_few_round_times(length: timedelta, labels: list[str]) -> None:
    """The axis has at most five times, round ones, in the unit that the length needs."""

    made = drawn(verified(at()), verified((START + length).isoformat()))

    assert [tick.text for tick in made.ticks] == labels
    assert [tick.x for tick in made.ticks] == sorted(tick.x for tick in made.ticks)


@pytest.mark.parametrize("exponent", range(-2, 10))
def test_every_length_has_a_time_on_its_axis(exponent: int) -> None:
    """From a hundredth of a second to decades there are one to five times on the axis."""

    for factor in (1, 2, 3, 5, 7):
        length = min(factor * 10.0**exponent, 70 * 365 * 86_400)
        made = drawn(verified(at()), verified(at(seconds=length)))

        assert 1 <= len(made.ticks) <= 5, length


def test_the_span_of_a_short_run_is_one_time() -> None:
    """The text above names the first and the last time, once where they are the same minute."""

    assert drawn(verified(at()), verified(at(seconds=2))).span == "24 Nov, 12:00"
    assert drawn(verified(at()), verified(at(days=2))).span == ("24 Nov, 12:00 to 26 Nov, 12:00")


def test_an_ended_wait_is_a_bar() -> None:
    """A wait that ended is a bar from its start to its end."""

    wait = Wait(REVIEW, at(), "Operator", at(days=5), Outcome.VERIFIED)
    (row,) = drawn(waits=(wait,), until=at(days=10)).rows
    (bar,) = row.bars

    assert not bar.is_open
    assert bar.width == pytest.approx(48, abs=1)
    assert row.text == "waiting from 24 Nov, 12:00 to 29 Nov, 12:00"


def test_an_open_wait_reaches_the_edge() -> None:
    """A wait that lasts reaches the right edge and is marked as open."""

    (row,) = drawn(waits=(Wait(REVIEW, at(days=4)),), until=at(days=10)).rows
    (bar,) = row.bars

    assert bar.is_open
    assert bar.x + bar.width == 100
    assert row.text.endswith("and still waiting")
    page = report_of(step(REVIEW, "waiting", word=words(REVIEW, kind="submitted")))
    assert page.all("svg", class_="on")


def test_a_persons_word_has_another_shape_than_a_check() -> None:
    """A check is a circle and a word a square, each with the icon of its outcome and its author."""

    page = report_of(
        step(LOGIN),
        step("fb-02-x", "attested"),
        lines=[checked(LOGIN, "failed"), attested("fb-02-x", by="Operator")],
    )

    by_check, by_person = (
        each for each in page.all("svg", class_="mark") if "data-outcome" in each.attributes
    )
    assert by_check.attributes["data-outcome"] == "failed"
    assert by_check.text == "check: failed, 24 Nov, 12:00✘"
    assert page.within(by_check, "circle")
    assert by_person.text == "Operator: attested, 20 Nov, 09:00✍"
    assert page.within(by_person, "rect")


def test_each_row_is_described_in_words() -> None:
    """Each row is an image whose text counts the checks and words by outcome."""

    page = report_of(
        step(LOGIN),
        lines=[
            *(checked(LOGIN, "verified", at=at(seconds=n)) for n in range(3)),
            checked(LOGIN, "failed", at=at(seconds=3)),
            attested(LOGIN),
        ],
    )

    (row,) = page.all("svg", role="img")
    assert row.attributes["aria-label"] == (
        "4 checks (3 verified and 1 failed), the last on 24 Nov, 12:00; "
        "1 word (1 attested), the last on 20 Nov, 09:00"
    )


def test_the_legend_names_what_is_drawn() -> None:
    """The legend names each outcome that is drawn, and bars only where there are some."""

    page = report_of(step(LOGIN), lines=[checked(LOGIN, "failed")])
    legend = page.one("ul", class_="key").text

    assert legend == "a check by the runbook a person’s word ✘ failed"


def test_marks_of_one_place_are_one_for_each_outcome() -> None:
    """Of marks in one place the newest of each outcome is drawn, older ones beside it."""

    marks = [
        Mark(LOGIN, at(seconds=n), outcome)
        for n, outcome in enumerate((Outcome.FAILED, Outcome.VERIFIED, Outcome.VERIFIED))
    ]
    first, *_ = drawn(*marks, verified(at(days=1), REVIEW)).rows

    assert [(mark.outcome, mark.number, mark.beside) for mark in first.marks] == [
        (Outcome.FAILED, 1, 1),
        (Outcome.VERIFIED, 2, 0),
    ]
    assert first.marks[1].text == ("check: verified, 24 Nov, 12:00 (2 times, this is the last)")


def test_thousands_of_checks_are_few_marks() -> None:
    """However many checks there are, a row has as many marks as fit beside each other."""

    kinds = (Outcome.VERIFIED, Outcome.FAILED)
    marks = [Mark(LOGIN, at(hours=n), kinds[n % 2]) for n in range(5_000)]
    (row,) = drawn(*marks).rows

    assert len(row.marks) <= 2 * 34
    assert sum(mark.number for mark in row.marks) == 5_000


@pytest.mark.parametrize(
    "odd", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1999-12-31T23:59:59Z", "soon", ""]
)
def test_an_absurd_time_is_left_out(odd: str) -> None:
    """A time that nobody can mean distorts nothing; how many were left out is said."""

    made = drawn(
        verified(at()), verified(odd), verified(at(days=1)), waits=(Wait(REVIEW, odd),), until=odd
    )

    assert made.left_out == 1
    assert made.span == "24 Nov, 12:00 to 25 Nov, 12:00"
    login, review = made.rows
    assert len(login.marks) == 2
    assert (review.bars[0].x, review.bars[0].width) == (0, 100)
    if odd.endswith("Z"):  # the journal has no others
        page = report_of(step(LOGIN), lines=[checked(LOGIN, "verified"), attested(LOGIN, at=odd)])
        assert "Left out: 1 time before 2000 or after 2099." in page.section("timeline")


def test_an_end_before_the_start_is_drawn() -> None:
    """A wait that ends before it starts, or a run before its events, has places in the picture."""

    waits = (Wait(REVIEW, at(days=2), until=at(days=1)),)
    made = drawn(verified(at(days=3)), waits=waits, until=at())

    bars = [bar for row in made.rows for bar in row.bars]
    marks = [mark for row in made.rows for mark in row.marks]
    numbers = [*(mark.x for mark in marks), *(part for bar in bars for part in (bar.x, bar.width))]
    assert len(numbers) == 3
    assert all(math.isfinite(number) and 0 <= number <= 100 for number in numbers)


def test_checks_without_their_lines_are_taken_from_the_record() -> None:
    """A check is drawn from its journal line, or from the record if that is elsewhere."""

    run = record(
        step(LOGIN),
        step(REVIEW, "waiting", checks=[check("inconclusive"), check()]),
        step("fb-13-odd", "attested"),
    )
    said = {LOGIN: [Word(LOGIN, "Operator", SAID, WordKind.SUBMITTED)]}
    happened = [
        Event(at(), "", step=LOGIN, outcome=Outcome.FAILED, times=4, last=at(days=1)),
        Event(at(), "This run started."),
    ]

    assert marks_of_run(said, happened, run) == [
        Mark(LOGIN, SAID, Outcome.WAITING, "Operator"),
        Mark(LOGIN, at(), Outcome.FAILED),
        Mark(LOGIN, at(days=1), Outcome.FAILED, times=3),
        Mark(REVIEW, CHECKED, Outcome.INCONCLUSIVE),
    ]


def test_a_history_draws_each_word_once() -> None:
    """In a history a word that several records carry is one mark; each run's check is one."""

    said = step(LOGIN, "attested", word=words(LOGIN))
    runs = [
        on(day, said, step(REVIEW, checked_on=f"2026-11-{24 + day}T12:00:00Z")) for day in (1, 2)
    ]

    assert marks_across_runs(runs) == [
        Mark(LOGIN, SAID, Outcome.ATTESTED, "Operator"),
        Mark(REVIEW, "2026-11-25T12:00:00Z", Outcome.VERIFIED),
        Mark(REVIEW, "2026-11-26T12:00:00Z", Outcome.VERIFIED),
    ]
    page = history(*runs)
    assert page.one("h2", id="times").text == "Checks, words and waits"
    assert len(page.all("svg", role="img")) == 2
