"""Times, durations and remote text in plain words."""

from __future__ import annotations

import time

import pytest

from runbook_lib.evidence.reports import phrases
from runbook_lib.text import pluralize, split_first_sentence
from tests.support.wording import wording


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T09:40:00Z", "5 Jan, 09:40"),
        ("2026-11-25T02:28:11.571Z", "25 Nov, 02:28"),
        ("2026-01-05T00:30:00+01:00", "4 Jan, 23:30"),
        ("2026-01-05T09:40:00", "5 Jan, 09:40"),
        ("2025-11-25T02:28:11.571Z", "25 Nov 2025, 02:28"),
        ("yesterday", "yesterday"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("", ""),
    ],
)
def test_a_time_is_shown_in_utc(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time has day and minute in UTC, and with another year than this that; other text stays."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        shown = phrases.when(text)
    time.tzset()

    assert shown == expected


def test_a_time_has_a_day_and_a_clock() -> None:
    """Day and time are shown together or apart; `date` always has the year."""
    assert phrases.day("2026-12-31T23:59:59.999Z") == "31 Dec"
    assert phrases.date("2026-12-31T23:59:59.999Z") == "31 Dec 2026"
    assert phrases.clock("2026-12-31T23:59:59.999Z") == "23:59"
    assert {phrases.day("soon"), phrases.date("soon"), phrases.clock("soon")} == {"soon"}


def test_a_page_leaves_out_its_own_year() -> None:
    """Within a page the year of its end is left out, every other one is shown; then as before."""
    times = "2025-12-31T23:00:00Z to 2026-01-01T01:00:00Z"
    with phrases.read_in("2025-12-31T23:30:00Z"):
        inside = phrases.with_times(times)

    assert inside.split(" to ") == ["31 Dec, 23:00", "1 Jan 2026, 01:00"]
    assert phrases.with_times(times).split(" to ") == ["31 Dec 2025, 23:00", "1 Jan, 01:00"]
    with phrases.read_in("never"):
        assert phrases.day("2026-01-01T01:00:00Z") == "1 Jan"


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2026-01-01T00:00:00.300Z", "0.3 seconds"),
        ("2026-01-01T00:00:09.940Z", "9.9 seconds"),
        ("2026-01-01T00:00:10.700Z", "10 seconds"),
        ("2026-01-01T00:00:59Z", "59 seconds"),
        ("2026-01-01T00:01:00Z", "1 minute"),
        ("2026-01-01T01:00:05Z", "1 hour 5 seconds"),
        ("2026-01-06T02:03:04Z", "5 days 2 hours"),
        ("2025-12-31T23:59:59Z", wording("report.unknown-time")),
        ("", wording("report.unknown-time")),
    ],
)
def test_a_duration_has_its_two_largest_units(until: str, expected: str) -> None:
    """A duration has two units at most; below 10 s a tenth; an end before the start is unknown."""
    assert phrases.lasting("2026-01-01T00:00:00Z", until) == expected


def test_numbers_agree_with_their_nouns() -> None:
    """Nouns are singular or plural as their number needs."""
    counts = [pluralize(number, "step") for number in (0, 1, 2, 1_234)]
    assert counts == ["0 steps", "1 step", "2 steps", "1,234 steps"]
    assert [phrases.size(number) for number in (1, 1023, 1024, 10_485_760)] == [
        "1 byte",
        "1,023 bytes",
        "1 KiB",
        "10,240 KiB",
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_a_list_is_written_as_text(parts: list[str], expected: str) -> None:
    """A list is written with commas and a final `and`."""
    assert phrases.listed(parts) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("\u202edeifirev", "[U+202E]deifirev"),
        ("a\u2066b\u2069", "a[U+2066]b[U+2069]"),
        ("a\x00b\x1b[31m", "a[U+0000]b[U+001B][31m"),
        ("\ud83d alone", "[U+D83D] alone"),
        ("\u2028", "[U+2028]"),
        ("שלום, 日本, 👍🏽, e\u0301", "שלום, 日本, 👍🏽, e\u0301"),
    ],
)
def test_invisible_characters_are_made_visible(text: str, expected: str) -> None:
    """Control and direction characters are made visible; every script stays readable."""
    assert phrases.readable(text) == expected
    assert phrases.readable(expected) == expected


def test_long_text_is_cut() -> None:
    """Long text is cut, with the number of the remaining characters."""
    one_cut = wording("report.one-character-cut")
    many_cut = wording("report.characters-cut", count="6,000")
    assert phrases.bounded("abcdef", 6) == "abcdef"
    assert phrases.bounded("abcdef", 5) == f"abcde… {one_cut}"
    assert phrases.readable("x" * 10_000).endswith(f"… {many_cut}")


def test_answers_are_shown_short() -> None:
    """JSON is shown cut, a web page by its length, and very deep JSON not at all."""
    two_cut, ten_cut = (wording("report.characters-cut", count=count) for count in (2, 10))
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert phrases.as_json({"ü": [1, None]}, 99) == '{"ü": [1, null]}'
    assert phrases.as_json("  <!DOCTYPE html><p>", 99) == wording("report.as-page", size=20)
    assert phrases.as_json("<html>", 99) == wording("report.as-page", size=6)
    assert phrases.as_json("plain", 3) == f"pla… {two_cut}"
    assert phrases.as_json({"a": "bcdef"}, 4) == f'{{"a"… {ten_cut}'
    assert phrases.as_json(deep, 99) == wording("report.too-deep")


@pytest.mark.parametrize(
    "text",
    ["https://example.com", "https://example.com/a?b=c#d", "HTTPS://EXAMPLE.COM/"],
)
def test_a_secure_address_is_a_link(text: str) -> None:
    """A complete https address is a link."""
    assert phrases.is_web_link(text)


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "http://example.com",
        "//example.com",
        "/local",
        "https:example.com",
        "https://",
        "https://user:password@example.com/",
        "https://example.com\u202e/moc",
        "https://example.com/ and more",
        'https://example.com/"onclick="x',
        "https://[broken/",
        "",
        None,
        7,
        ["https://example.com"],
    ],
)
def test_nothing_else_becomes_a_link(text: object) -> None:
    """Scripts, plain http, credentials and hidden characters are not links."""
    assert not phrases.is_web_link(text)


@pytest.mark.parametrize(
    ("text", "first", "rest"),
    [
        ("", "", ""),
        ("Compare both.", "Compare both.", ""),
        ("Compare both. Then check. Or not?", "Compare both.", "Then check. Or not?"),
        ("Open *Settings*! *Basic* is there.", "Open *Settings*!", "*Basic* is there."),
        ("Enter app.example.com. or 1.5 of it", "Enter app.example.com. or 1.5 of it", ""),
    ],
)
def test_a_text_is_split_after_its_first_sentence(text: str, first: str, rest: str) -> None:
    """A sentence ends before a blank and a capital letter."""
    assert split_first_sentence(text) == (first, rest)
