"""A tenant's history: its runs and each step over time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.evidence.reports import report
from runbook_lib.evidence.reports.report import history_report
from runbook_lib.evidence.reports.run_history import RecordFault
from tests.unit.evidence.reports.report_page import ReportPage, history
from tests.unit.evidence.reports.sample_runs import on, sealed, spoilt, step, words

REVIEW = "fb-12-submit-review"


def test_a_history_lists_runs_in_the_order_of_sealing() -> None:
    """Runs are in the order of sealing, whatever their times; the newest outcome is at the top."""
    page = history(
        on(3, step(outcome="failed"), outcome="failed"),
        on(4, step(outcome="waiting"), outcome="incomplete", finished_on=None),
        on(2, step(), outcome="complete"),
    )

    assert page.title == "History of acme"
    assert page.one("h1").text == "acme COMPLETE"
    assert "3 runs" in page.text
    assert "The newest run, of 2 Dec 2026, 08:00: All 1 step are settled" in page.text
    table = page.all("table")[0]
    assert page.within(table, "caption")[0].text == (
        "Every sealed run, in the order of the journal."
    )
    rows = [row.text for row in page.within(table, "tr")[1:]]
    assert rows == [
        "3 Dec, 08:00 number 1 · 00000003 headless, 0.0 seconds failed 1 failed",
        "4 Dec, 08:00 number 2 · 00000004 headless, not ended incomplete 1 waiting",
        "2 Dec, 08:00 number 3 · 00000002 headless, 0.0 seconds complete 1 verified",
    ]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (RecordFault.MISSING, "missing. The journal announces it, but its folder is not there."),
        (RecordFault.ALTERED, "altered since it was sealed. Its record.json is not the sealed one"),
        (RecordFault.UNREADABLE, "sealed with an invalid record. Its record.json is not a valid"),
    ],
)
def test_a_faulty_run_is_named_at_the_top(fault: RecordFault, said: str) -> None:
    """A missing, altered or invalid run is named at the top, and nothing else of it is shown."""
    first, second, third = sealed(on(1), on(2, step("fb-66-forged", "waiting")), on(3))
    page = ReportPage(history_report("acme", [first, spoilt(second, fault), third]))

    assert page.one("h1").text == "acme COMPLETE"
    bad, good = page.all("div", class_="verdict")
    assert bad.text.startswith("1 of 3 runs is not intact. Number 2, 20261201T080000Z-00000002")
    assert said in bad.text
    assert good.text.startswith("The newest run, of 3 Dec")
    row = page.within(page.all("table")[0], "tr")[2].text
    assert row.startswith("2 Dec, 08:00 number 2 · 00000002 headless")
    assert f"{fault} " in row
    assert "complete" not in row
    assert "waiting" not in row
    assert "fb-66-forged" not in page.text
    assert "2 Dec" not in page.one("table", class_="grid").text
    assert "in each run that is intact" in page.section("steps")
    for part in ("steps", "waiting"):
        assert "Runs that are missing, unreadable, or altered" in page.section(part)


@pytest.mark.parametrize("fault", RecordFault)
def test_a_faulty_newest_run_has_no_outcome(fault: RecordFault) -> None:
    """If the newest run is faulty, the history claims no outcome."""
    first, second = sealed(on(1), on(2))
    page = ReportPage(history_report("acme", [first, spoilt(second, fault)]))

    assert page.one("h1").text == f"acme {fault.upper()}"
    verdict = page.one("div", class_="verdict").text
    is_so = {
        RecordFault.MISSING: "is missing",
        RecordFault.ALTERED: "was altered since it was sealed",
        RecordFault.UNREADABLE: "was sealed with an invalid record",
    }[fault]
    assert verdict.startswith(f"The newest run, of 2 Dec 2026, 08:00, {is_so}: its outcome")
    assert "without checking signatures" in verdict
    assert "settled" not in page.text
    only = ReportPage(history_report("acme", [spoilt(first, fault)]))
    assert [each.attributes["id"] for each in only.all("h2")] == ["runs"]
    assert {each.attributes["href"] for each in only.all("a")} == {"#runs"}


def test_of_many_faulty_runs_the_newest_are_named() -> None:
    """Of many faulty runs, the newest are named and the others counted."""
    gone = [spoilt(each, RecordFault.MISSING) for each in sealed(*(on(1) for _ in range(25)))]
    top = ReportPage(history_report("acme", gone)).one("div", class_="verdict").text

    assert "5 earlier ones are in the same state." in top
    assert top.count("The journal announces it") == 20


def test_an_unannounced_run_is_last() -> None:
    """
    A run that the journal does not announce is last, without a number, and the caption says why.
    """
    loose = replace(sealed(on(1))[0], number=0)
    page = ReportPage(history_report("acme", [*sealed(on(2)), loose]))

    table = page.all("table")[0]
    assert page.within(table, "caption")[0].text.endswith(
        "those that it does not announce are last."
    )
    assert page.within(table, "tr")[2].text == (
        "1 Dec, 08:00 not announced · 00000001 headless, 0.0 seconds complete 1 verified"
    )


def test_a_history_shows_each_step_over_time() -> None:
    """A grid has a row for each step and a column for each run, with icon and label."""
    page = history(on(1, step("fb-01-a", "failed")), on(2, step("fb-01-a"), step("fb-02-b")))

    grid = page.one("table", class_="grid")
    assert [row.text for row in page.within(grid, "tr")] == [
        "Step1 Dec 08:002 Dec 08:00",
        "1 Do fb-01-a ✘failed ✔verified",
        "2 Do fb-02-b no such step ✔verified",
    ]


def test_a_history_draws_verified_in_part_apart() -> None:
    """What is verified in part has its word and a dashed mark, and is not counted as verified."""
    page = history(on(1, step("fb-01-a", needs_person=True), step("fb-02-b")))

    grid = page.one("table", class_="grid")
    assert "1 Do fb-01-a ✔verified in part" in grid.text
    (mark,) = (each for each in page.within(grid, "span") if "in-part" in str(each.attributes))
    assert mark.attributes["title"] == "verified in part"
    assert page.all("table")[0].text.endswith("1 verified · 1 verified in part")
    whole, piece = page.within(page.one("div", class_="bar"), "span")
    assert ("class" in whole.attributes, piece.attributes["class"]) == (False, "in-part")


def test_a_history_shows_waits() -> None:
    """Waits are shown with start, end and duration across runs, or that there was none."""
    said = words(REVIEW, kind="submitted", at="2026-11-30T08:00:00Z")
    waiting = step(REVIEW, "waiting", word=said, checked_on=None)
    page = history(
        on(1, waiting), on(2, waiting), on(5, step(REVIEW, checked_on="2026-12-05T08:00:00.000Z"))
    )

    assert "Waited since 30 Nov, 08:00 (reported by Operator), until 5 Dec, 08:00: 5 days." in (
        page.section("waiting")
    )
    still = history(on(1, waiting), on(2, waiting)).section("waiting")
    assert "2 days by 2 Dec, 08:00" in still
    assert "No step waited." in history(on(1)).section("waiting")


def test_a_long_history_keeps_its_newest_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long history shows its newest runs and counts the others."""
    monkeypatch.setattr(report, "_MOST_RUNS", 4)
    monkeypatch.setattr(report, "_MOST_COLUMNS", 2)
    page = history(*(on(day) for day in range(1, 8)))

    assert "7 runs" in page.text
    assert "The newest 4; 3 older ones are not shown." in page.section("runs")
    assert "The newest 4 of 7 sealed runs, in the order" in page.section("runs")
    assert "the newest 2 runs, in the same order" in page.section("steps")
    assert "3 Dec" not in page.section("runs")
    assert "4 Dec" in page.section("runs")
    assert len(page.within(page.one("table", class_="grid"), "th")) == 1 + 2 + 1


def test_a_history_says_what_it_is() -> None:
    """A history names its connector, and says that it is no verification, or has no run."""
    page = history(on(1))
    assert "procedure facebook_marketing" in page.one("p", class_="eyebrow").text
    assert "This is not a verification: no signature was checked." in page.one("footer").text
    assert "There is no run of this tenant yet." in history().text


@pytest.mark.parametrize(
    ("practice", "said"),
    [
        ((True, True), "SANDBOX: practice against a simulation."),
        ((True, False), "SANDBOX: 1 of these 2 runs were practice"),
        (
            (False, False),
            "PRODUCTION: graph.facebook.com answered in these runs",
        ),
        ((), "PRODUCTION"),
    ],
)
def test_a_history_says_which_runs_were_practice(practice: tuple[bool, ...], said: str) -> None:
    """Practice is marked in title and banner if any run was practice, and beside each such run."""
    page = history(*(on(day, sandbox=each) for day, each in enumerate(practice, start=1)))

    assert page.one("aside").text.startswith(said)
    assert page.title.startswith("SANDBOX · ") == any(practice)
    if practice:
        rows = page.within(page.all("table")[0], "tr")[1:]
        assert ["SANDBOX" in row.text for row in rows] == list(practice)
