"""The picture of waiting times: how many tenants have waited how long, at any number of them."""

from __future__ import annotations

import pytest

from runbook_lib.evidence.reports.fleet_tenants import NamedStep, StepWait
from runbook_lib.evidence.reports.wait_chart import WaitChart, WaitRow, wait_chart

REVIEW = NamedStep(16, "x", "12", "Submit for review, and wait")
PUBLISH = NamedStep(17, "x", "12a", "Publish the app")


def waited(days: int | None, *, late: int = 0, at: NamedStep = REVIEW) -> StepWait:
    return StepWait(at, "an outside party", "", days, "", late)


def drawn(*waits: StepWait) -> WaitChart:
    made = wait_chart(waits)
    assert made is not None
    return made


def drawn_row(*waits: StepWait) -> WaitRow:
    (row,) = drawn(*waits).rows
    return row


def test_without_a_known_time_there_is_no_picture() -> None:
    """Where nothing waits, or nobody knows since when, there is no picture."""

    assert wait_chart([]) is None
    assert wait_chart([waited(None)]) is None


def test_a_column_stands_at_its_days() -> None:
    """A column begins where its days are between none and the longest wait."""

    first, last = drawn_row(waited(0), waited(9)).columns

    assert (first.x, first.width) == (0, 10)
    assert (last.x, last.width) == (90, 10)


def test_the_height_is_the_number_of_tenants() -> None:
    """The largest number has the full height, half of it half; one of thousands is still seen."""

    many, half, one = drawn_row(*[waited(1)] * 1_000, *[waited(3)] * 500, waited(5)).columns

    assert (many.height, half.height) == (100, 50)
    assert 3 < one.height < 10


def test_the_overdue_part_is_its_share() -> None:
    """Of a column the overdue tenants are a share, which its text names."""

    (column,) = drawn_row(waited(24, late=2), *[waited(24)] * 3).columns

    assert column.overdue == column.height / 4
    assert column.text == "24 days: 4 tenants, 1 overdue"
    assert drawn(waited(24, late=2)).has_overdue
    assert not drawn(waited(24)).has_overdue


@pytest.mark.parametrize(
    ("waits", "text"),
    [
        ([waited(1)], "1 tenant, 1 day"),
        ([waited(2), waited(4, late=1)], "2 tenants, 2 to 4 days; 1 overdue"),
        ([waited(2), waited(4), waited(9)], "3 tenants, 2 to 9 days, median 4 days"),
    ],
)
def test_a_row_says_the_same_in_words(waits: list[StepWait], text: str) -> None:
    """A row's text has the number of tenants, their days, and how many are overdue."""

    assert drawn_row(*waits).text == text


def test_the_step_that_most_wait_at_is_first() -> None:
    """Each step has a row, the one with most waits first."""

    made = drawn(waited(30, at=PUBLISH), waited(1), waited(2))

    assert [row.step for row in made.rows] == [REVIEW, PUBLISH]


@pytest.mark.parametrize("longest", [0, 1, 6, 30, 49, 50, 100, 365, 5_000, 36_000])
def test_any_length_has_few_columns_and_round_times(longest: int) -> None:
    """From a day to a century the axis has few columns, a few round times, and an end."""

    made = drawn(*(waited(days) for days in range(longest + 1)))
    (row,) = made.rows

    assert 1 <= len(row.columns) <= 50
    assert row.columns[-1].x + row.columns[-1].width == pytest.approx(100)
    assert 1 <= len(made.ticks) <= 8
    assert all(0 <= tick.x <= 100 for tick in made.ticks)


def test_a_wide_column_names_its_days() -> None:
    """A column of several days says from which to which."""

    assert drawn_row(waited(61)).columns[0].text == "60 to 61 days: 1 tenant"
