"""Times, spans and other people's text in plain words, the same everywhere."""

from __future__ import annotations

import pytest

from runbook_lib.evidence.reports import wording


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T09:40:00Z", "5 Jan 2026, 09:40 UTC"),
        ("2026-11-25T02:28:11.571Z", "25 Nov 2026, 02:28 UTC"),
        ("2026-01-05T00:30:00+01:00", "4 Jan 2026, 23:30 UTC"),
        ("2026-01-05T09:40:00", "5 Jan 2026, 09:40 UTC"),
        ("yesterday", "yesterday"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("", ""),
    ],
)
def test_a_time_is_shown_in_utc(text: str, expected: str) -> None:
    """Day and minute; what is no time stands as it is."""

    assert wording.when(text) == expected


def test_a_time_can_be_told_by_day_and_by_second() -> None:
    """The timeline needs both apart."""

    assert wording.day("2026-12-31T23:59:59.999Z") == "31 Dec 2026"
    assert wording.clock("2026-12-31T23:59:59.999Z") == "23:59:59"
    assert (wording.day("soon"), wording.clock("soon")) == ("soon", "soon")


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2026-01-01T00:00:00.300Z", "0.3 seconds"),
        ("2026-01-01T00:00:59Z", "59 seconds"),
        ("2026-01-01T00:01:00Z", "1 minute"),
        ("2026-01-01T01:00:05Z", "1 hour 5 seconds"),
        ("2026-01-06T02:03:04Z", "5 days 2 hours"),
        ("2025-12-31T23:59:59Z", "an unknown time"),
        ("", "an unknown time"),
    ],
)
def test_a_span_is_shown_in_its_two_largest_units(until: str, expected: str) -> None:
    """Nobody needs the seconds of five days; an end before the beginning is no span."""

    assert wording.lasting("2026-01-01T00:00:00Z", until) == expected


def test_numbers_agree_with_their_nouns() -> None:
    """One step, two steps, many steps."""

    counts = [wording.counted(number, "step") for number in (0, 1, 2, 1_234)]
    assert counts == ["0 steps", "1 step", "2 steps", "1,234 steps"]
    assert [wording.size(number) for number in (1, 1023, 1024, 10_485_760)] == [
        "1 byte",
        "1,023 bytes",
        "1 KiB",
        "10,240 KiB",
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_a_list_is_written_as_a_sentence_has_it(parts: list[str], expected: str) -> None:
    """Commas, and an `and` before the last."""

    assert wording.listed(parts) == expected


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
def test_what_cannot_be_seen_is_made_visible(text: str, expected: str) -> None:
    """Nothing turns the direction of what follows; every script can still be written."""

    assert wording.readable(text) == expected
    assert wording.readable(expected) == expected


def test_no_text_is_endless() -> None:
    """What is cut off is counted, so that a reader knows where the rest is wanted."""

    assert wording.bounded("abcdef", 6) == "abcdef"
    assert wording.bounded("abcdef", 5) == "abcde… (1 more character)"
    assert wording.readable("x" * 10_000).endswith("… (6,000 more characters)")


def test_answers_are_told_short() -> None:
    """JSON as it is, a web page by its length, a depth that nobody reads not at all."""

    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert wording.as_json({"ü": [1, None]}, 99) == '{"ü": [1, null]}'
    assert wording.as_json("  <!DOCTYPE html><p>", 99) == "(a web page, 20 characters)"
    assert wording.as_json("<html>", 99) == "(a web page, 6 characters)"
    assert wording.as_json("plain", 3) == "pla… (2 more characters)"
    assert wording.as_json({"a": "bcdef"}, 4) == '{"a"… (10 more characters)'
    assert wording.as_json(deep, 99) == "(too deeply nested to be shown)"


@pytest.mark.parametrize(
    "text",
    ["https://example.com", "https://example.com/a?b=c#d", "HTTPS://EXAMPLE.COM/"],
)
def test_a_secure_address_may_be_followed(text: str) -> None:
    """Only `https`, and only whole."""

    assert wording.is_web_link(text)


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
    """No script, no plain http, no hidden direction, no credentials, no second attribute."""

    assert not wording.is_web_link(text)
