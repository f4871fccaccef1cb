"""A tenant's history: its runs over time, and what changed from each to the next."""

from __future__ import annotations

import pytest

from runbook_lib.evidence.reports import report
from tests.unit.evidence.reports.report_page import history
from tests.unit.evidence.reports.runs_told import SHA, on, step, words

REVIEW = "fb-12-submit-review"


def test_a_history_tells_the_runs_from_the_oldest_to_the_newest() -> None:
    """In whichever order they were found; the newest one's outcome stands at the top."""

    page = history(
        on(3, step(), outcome="complete"),
        on(1, step(outcome="failed"), outcome="failed"),
        on(2, step(outcome="waiting"), outcome="incomplete", finished_on=None),
    )

    assert page.one("title").text == "History of acme"
    assert page.one("h1").text == "acme COMPLETE"
    assert "3 runs" in page.text
    assert "The newest run, of 3 Dec 2026, 08:00 UTC: All 1 step are settled" in page.text
    rows = [row.text for row in page.within(page.all("table")[0], "tr")[1:]]
    assert rows == [
        "1 Dec 2026, 08:00 UTC 00000001 headless, 0.0 seconds failed 1 failed",
        "2 Dec 2026, 08:00 UTC 00000002 headless, without an end incomplete 1 waiting",
        "3 Dec 2026, 08:00 UTC 00000003 headless, 0.0 seconds complete 1 verified",
    ]


def test_a_history_tells_each_step_over_time() -> None:
    """A row for each step, a column for each run; a word beside each mark."""

    page = history(on(1, step("fb-01-a", "failed")), on(2, step("fb-01-a"), step("fb-02-b")))

    grid = page.one("table", class_="grid")
    assert [row.text for row in page.within(grid, "tr")] == [
        "Step1 Dec 2026 08:002 Dec 2026 08:00",
        "Do fb-01-a ✘failed ✔verified",
        "Do fb-02-b no such step ✔verified",
    ]


def test_a_history_tells_what_changed_between_two_runs() -> None:
    """Outcomes, words, procedure and parameters; other reasons for the same are folded."""

    page = history(
        on(1, step("fb-01-a", "failed"), step("fb-02-b"), parameters={"app_id": "1"}),
        on(
            2,
            step("fb-01-a", attestation=words("x", by="Boss", note="Mended.")),
            step("fb-02-b", reason="Seen again."),
            parameters={"app_id": "2", "page": "https://a.example/"},
            procedure={"id": "facebook-marketing", "version": "2", "digest": SHA},
        ),
    )

    part = page.section("changes")
    for words_ in (
        "2 Dec 2026, 08:00 UTC run 00000002 compared with run 00000001 of 1 Dec 2026, 08:00 UTC",
        "Do fb-01-a: ✘ failed → ✔ verified Seen.",
        "Do fb-01-a: attestation of Boss on 20 Nov 2026, 09:00 UTC given Mended.",
        "procedure version: 1 → 2",
        "parameter app_id: 1 → 2",
        "parameter page: nothing → https://a.example/",
    ):
        assert words_ in part
    assert "It is failed." not in part
    (folded,) = page.within(page.one("main"), "details")[1:]
    assert folded.text.startswith(
        "1 step came to the same for another reason Do fb-02-b ✔ verified"
    )
    assert "Seen. Seen again." in folded.text


def test_a_history_tells_that_nothing_changed_once() -> None:
    """Runs in a row that came to the same are one line."""

    page = history(*(on(day) for day in range(1, 6)), on(6, step(outcome="failed")))

    part = page.section("changes")
    assert part.count("Nothing changed.") == 1
    assert (
        "5 Dec 2026, 08:00 UTC 4 runs, the last of them 00000005 compared with the one before, "
        "00000001" in part
    )
    assert "6 Dec 2026, 08:00 UTC run 00000006 compared with run 00000005" in part


def test_a_history_tells_the_waits() -> None:
    """Since when, until when and how long, across runs; and where there was none."""

    said = words(REVIEW, waiting=True, at="2026-11-30T08:00:00Z")
    waiting = step(REVIEW, "waiting", attestation=said, checked_on=None)
    page = history(on(1, waiting), on(2, waiting), on(5, step(REVIEW, checked_on=None)))

    assert (
        "Waited since 30 Nov 2026, 08:00 UTC (says Operator), until 5 Dec 2026, 08:00 UTC: 5 days."
        in (page.section("waiting"))
    )
    still = history(on(1, waiting), on(2, waiting)).section("waiting")
    assert "2 days by 2 Dec 2026, 08:00 UTC" in still
    assert "No step had to wait." in history(on(1)).section("waiting")


def test_a_long_history_keeps_its_newest_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out is counted."""

    monkeypatch.setattr(report, "_MOST_RUNS", 4)
    monkeypatch.setattr(report, "_MOST_COLUMNS", 2)
    page = history(*(on(day) for day in range(1, 8)))

    assert "7 runs" in page.text
    assert "The newest 4; 3 older ones are not shown." in page.section("runs")
    assert "the newest 2 runs, the oldest first" in page.section("steps")
    assert "3 Dec 2026" not in page.section("runs")
    assert "4 Dec 2026" in page.section("runs")
    assert len(page.within(page.one("table", class_="grid"), "th")) == 1 + 2 + 1


def test_a_history_without_a_run_says_so() -> None:
    """And one with a single run compares it with nothing."""

    assert "There is no run of this tenant yet." in history().text
    assert "There is one run only" in history(on(1)).section("changes")


@pytest.mark.parametrize(
    ("practice", "said"),
    [
        ((True, True), "SANDBOX: practice against a simulation."),
        ((True, False), "SANDBOX: 1 of these 2 runs were practice"),
        ((False, False), "PRODUCTION: these runs asked the real"),
        ((), "PRODUCTION"),
    ],
)
def test_a_history_says_which_runs_were_practice(practice: tuple[bool, ...], said: str) -> None:
    """In the title and the banner as soon as one of them was, and beside each that was."""

    page = history(*(on(day, sandbox=each) for day, each in enumerate(practice, start=1)))

    assert page.one("aside").text.startswith(said)
    assert page.one("title").text.startswith("SANDBOX · ") == any(practice)
    if practice:
        rows = page.within(page.all("table")[0], "tr")[1:]
        assert ["SANDBOX" in row.text for row in rows] == list(practice)
