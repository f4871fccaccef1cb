"""Text of a remote system becomes one short line in a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.remote.quoting import shorten
from runbook_lib.text import one_line
from tests.support.wording import wording


def test_a_text_is_shortened_for_a_message() -> None:
    """A text becomes one line of some 300 characters at most, with control characters escaped."""
    assert shorten(" a\n b ") == "a b"
    assert shorten("word " * 100) == ("word " * 60).strip() + "…"
    assert shorten("x" * 301) == wording("screens.one-long-word", count=301)
    assert len(shorten("a " * 5_000_000)) < 310
    assert shorten("a\x1b[31mb\u202e") == "a[U+001B][31mb[U+202E]"


@given(st.text(min_size=8, max_size=80).filter(lambda text: not any(map(str.isspace, text))))
def test_no_word_is_cut(secret: str) -> None:
    """A text is cut between words only: redaction would not find part of a credential."""
    for before in range(280, 300):
        shown = shorten("." * before + " " + secret + " and more" * 100)
        assert secret in shown or shown == "." * before + "…" or one_line(secret) in shown
