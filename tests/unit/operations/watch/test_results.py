"""Two polls -> the result that counts: a table of sequences of results."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.operations.watch.results import (
    CheckPoll,
    confirm_result,
    explained_by,
    is_alike,
    is_broken,
)
from runbook_lib.operations.watch.watch_state import PolledCheck, WatchedStep, has_passed
from tests.unit.operations.watch.desk import NOON

V = Outcome.VERIFIED
F = Outcome.FAILED
W = Outcome.WAITING
U = Outcome.INCONCLUSIVE
N = Outcome.NOT_RUN
# Results by a letter; `d` is a definite refusal, `c` a cause that is known, `e` what only people
# see, `s` silence.
POLLS = {
    "v": CheckPoll(seen=PolledCheck(V, "So.", "a")),
    "w": CheckPoll(seen=PolledCheck(W, "So.", "b")),
    "n": CheckPoll(seen=PolledCheck(N, "So.", "b")),
    "i": CheckPoll(seen=PolledCheck(U, "Unknown.", "i")),
    "f": CheckPoll(seen=PolledCheck(F, "No.", "x")),
    "g": CheckPoll(seen=PolledCheck(F, "No.", "y")),
    "d": CheckPoll(seen=PolledCheck(F, "No.", "x"), is_definite=True),
    "c": CheckPoll(seen=PolledCheck(U, "Off.", "app-deactivated"), is_definite=True),
    "e": CheckPoll(seen=PolledCheck(U, "Part.", "e", {"p": "live"}), is_expected=True),
    "E": CheckPoll(seen=PolledCheck(U, "Part.", "e", {"p": "in review"}), is_expected=True),
    "s": CheckPoll(seen=PolledCheck(U, "Down.", "s"), is_silent=True),
    "A": CheckPoll(seen=PolledCheck(V, "So.", "a", {"name": "One"})),
    "B": CheckPoll(seen=PolledCheck(V, "So.", "a", {"name": "Two"})),
    "1": CheckPoll(seen=PolledCheck(V, "So.", "a", {"token_ends_on": "2027-01-01"})),
    "2": CheckPoll(seen=PolledCheck(V, "So.", "a", {"token_ends_on": "2027-02-01"})),
}


class Seen:
    """A check whose polls are six minutes apart."""

    def __init__(self) -> None:
        self.row = WatchedStep("t", "s", "k")
        self.now = NOON

    def poll(self, letter: str, minutes: float = 6) -> str:
        """Poll once; return whether it broke (`+`), is well (`-`), or changed otherwise (`*`)."""
        self.now += timedelta(minutes=minutes)
        was_broken = is_broken(self.row)
        replaced = confirm_result(self.row, POLLS[letter], self.now)
        if is_broken(self.row) is not was_broken:
            return "-" if was_broken else "+"
        return "*" if replaced else "."


@pytest.mark.parametrize(
    ("polls", "marks"),
    [
        # Unchanged, or only once, is nothing; twice counts.
        ("vvvv", ". . . ."),
        ("vfv", ". . ."),
        ("vffff", ". . + . ."),
        ("vffvv", ". . + . -"),
        ("vffvfv", ". . + . . ."),
        # Another result in between begins the doubt again.
        ("vfgf", ". . . ."),
        # A definite refusal counts at once; its end does not.
        ("vdvv", ". + . -"),
        # A failure at the first poll counts, and once.
        ("fff", "+ . ."),
        ("dvv", "+ . -"),
        ("cvv", "+ . -"),
        # It fails for another reason.
        ("vffggvv", ". . + . * . -"),
        # A refusal with a known cause fails though the check cannot tell.
        ("vcvv", ". + . -"),
        ("vciii", ". + . . ."),
        # No answer, and a check that cannot tell any more, change nothing.
        ("vsss", ". . . ."),
        ("viii", ". . . ."),
        ("vffsvv", ". . + . . -"),
        ("vffiii", ". . + . . ."),
        ("sv", ". ."),
        ("sf", ". +"),
        # Worse than before lasts until it is back, and better is news.
        ("vww", ". . +"),
        ("vnnvv", ". . + . -"),
        ("vffwwvv", ". . + . * . -"),
        ("wvv", ". . *"),
        ("iivv", ". . . *"),
        ("iffvv", ". . + . -"),
        ("iffii", ". . + . -"),
        # A value that differs is news; that a day moves is not.
        ("ABB", ". . *"),
        ("ABA", ". . ."),
        ("122", ". . ."),
        ("EEee", ". . . *"),
        ("Eeii", ". . . ."),
        ("Effee", ". . + . -"),
    ],
)
def test_each_sequence_of_polls_counts_as_the_table_says(polls: str, marks: str) -> None:
    """A check breaks (+), is well again (-), or changed otherwise (*) with each poll."""
    seen = Seen()
    assert " ".join(seen.poll(letter) for letter in polls) == marks


@pytest.mark.parametrize(
    ("polls", "reason"),
    [
        ("vs", "Down."), ("vi", "Unknown."), ("ffi", "Unknown."), ("vsi", "Unknown."),
        ("s", "Down."),
        ("i", ""), ("vsv", ""), ("viv", ""), ("vif", ""), ("Ee", ""), ("iffi", ""),
    ],
)  # fmt: skip
def test_a_check_without_a_result_says_since_when_and_why(polls: str, reason: str) -> None:
    """Silence, or a check that could tell before; the first poll of them counts."""
    seen = Seen()
    for letter in polls:
        seen.poll(letter)
    assert seen.row.unanswered == reason
    assert bool(seen.row.unanswered_since) is bool(reason)
    since = seen.row.unanswered_since
    if reason:
        seen.poll(polls[-1])
        assert seen.row.unanswered_since == since


@pytest.mark.parametrize(("minutes", "counts"), [(4.9, False), (5, True), (-60, False)])
def test_a_second_poll_is_five_minutes_later(minutes: float, counts: bool) -> None:
    """Sooner, or before a first one that a wrong clock has dated, it does not count."""
    seen = Seen()
    seen.poll("v")
    seen.poll("f")
    assert seen.poll("f", minutes) == ("+" if counts else ".")
    assert seen.poll("f") == ("." if counts else "+")


def test_the_outcome_before_a_failure_is_kept_until_it_is_over() -> None:
    """Also if it fails for another reason, or is only partly as it was."""
    seen = Seen()
    known = []
    for letter in "vffggwwvv":
        seen.poll(letter)
        known.append(seen.row.before)
    assert known == [None, None, *[V] * 6, None]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (PolledCheck(F, "1 of 2 is missing", "x"), PolledCheck(F, "2 of 2 are missing", "x"), True),
        (PolledCheck(F, "So.", "x"), PolledCheck(F, "So.", "y"), False),
        (PolledCheck(F, "So.", "x"), PolledCheck(V, "So.", "x"), False),
        (PolledCheck(V, "So.", "x", {"a": "1"}), PolledCheck(V, "So.", "x", {"b": "1"}), False),
        (
            PolledCheck(V, "So.", "x", {"a": "1"}, ["a"]),
            PolledCheck(V, "So.", "x", {"a": "2"}, ["a"]),
            True,
        ),
    ],
)
def test_outcome_code_and_facts_decide_what_is_alike(
    one: PolledCheck, other: PolledCheck, alike: bool
) -> None:
    """Words, and values that are as expected both times, do not count."""
    assert is_alike(one, other) is is_alike(other, one) is alike


def test_a_failure_explains_what_needs_or_requires_the_same() -> None:
    """A check with all its inputs, or of a step that requires its step; never itself."""
    needs = {
        ("a", "x"): ["id", "secret"], ("b", "y"): ["secret", "id", "token"], ("c", "z"): ["id"],
        ("d", "w"): [],
    }  # fmt: skip
    required = {"a": [], "b": [], "c": [], "d": ["a"]}
    assert explained_by([("a", "x")], needs, required) == {("b", "y"), ("d", "w")}
    assert explained_by([], needs, required) == set()


@pytest.mark.parametrize(
    ("since", "passed"),
    [(0, False), (59, False), (60, True), (61, True), (-1, True), (-576_000, True), (None, True)],
)
def test_a_kept_time_is_never_later_than_now(since: int | None, passed: bool) -> None:
    """A time that a clock ahead has kept counts as passed, and is replaced by now."""
    kept = "" if since is None else timestamp(NOON - timedelta(minutes=since))
    assert has_passed(timedelta(hours=1), kept, NOON) is passed
    assert not_later(kept, timestamp(NOON)) <= timestamp(NOON)
