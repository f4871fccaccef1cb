"""Two polls -> problems: a table of each pair of results and its meaning."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.engine.watch.problems import (
    CheckPoll,
    PollVerdict,
    ProblemText,
    explained_by,
    is_alike,
    join_causes,
    judge_outage,
    judge_poll,
)
from runbook_lib.engine.watch.watch_state import (
    PolledCheck,
    Problem,
    ProblemKind,
    WatchedStep,
    has_passed,
    not_later,
)
from tests.unit.engine.watch.desk import NOON

V = Outcome.VERIFIED
F = Outcome.FAILED
W = Outcome.WAITING
U = Outcome.INCONCLUSIVE
N = Outcome.NOT_RUN
TEXT = ProblemText(
    title="4 Create App: contradicted by a check",
    place="4 Create App",
    reason="It said so.",
    advice="Do it.",
    next="Next: 5.",
)
# Results by a letter; `d` is a definite refusal, `c` a cause that is known, `e` what only people
# see, `s` silence.
POLLS = {
    "v": CheckPoll(seen=PolledCheck(V, "So.", "a")),
    "w": CheckPoll(seen=PolledCheck(W, "So.", "b")),
    "n": CheckPoll(seen=PolledCheck(N, "So.", "b")),
    "i": CheckPoll(seen=PolledCheck(U, "Unknown.", "i")),
    "f": CheckPoll(seen=PolledCheck(F, "No.", "x"), is_failing=True),
    "g": CheckPoll(seen=PolledCheck(F, "No.", "y"), is_failing=True),
    "d": CheckPoll(seen=PolledCheck(F, "No.", "x"), is_failing=True, is_definite=True),
    "c": CheckPoll(seen=PolledCheck(U, "Off.", "z"), is_failing=True, is_definite=True),
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
        self.problems: dict[str, Problem] = {}

    def poll(self, letter: str, minutes: float = 6) -> str:
        """Poll once; return what began (`+`), ended (`-`), was replaced (`~`) or is news (`*`)."""
        self.now += timedelta(minutes=minutes)
        known = next((p for p in self.problems.values() if p.is_open), None)
        verdict = judge_poll(self.row, POLLS[letter], known, TEXT, self.now)
        marks = ""
        for problem in (verdict.ended, verdict.began):
            if problem:
                self.problems[problem.id] = problem
        if verdict.ended:
            marks += "~" if verdict.ended.is_superseded else "-"
        if verdict.began:
            marks += "+" if verdict.began.kind.lasts else "*"
        return marks


@pytest.mark.parametrize(
    ("polls", "marks"),
    [
        # Unchanged, or only once, is nothing; twice counts.
        ("vvvv", ". . . ."),
        ("vfv", ". . ."),
        ("vff", ". . +"),
        ("vffff", ". . + . ."),
        ("vffvv", ". . + . -"),
        ("vffvfv", ". . + . . ."),
        # Another result in between begins the doubt again.
        ("vfgf", ". . . ."),
        # A definite refusal counts at once; its end does not.
        ("vd", ". +"),
        ("vdvv", ". + . -"),
        # A failure at the first poll is a problem, and once.
        ("f", "+"),
        ("d", "+"),
        ("c", "+"),
        ("fff", "+ . ."),
        ("fvv", "+ . -"),
        # Failing for another reason replaces the problem.
        ("vffgg", ". . + . ~+"),
        ("vffggvv", ". . + . ~+ . -"),
        ("ffgg", "+ . . ~+"),
        # A refusal with a known cause is a problem though the check cannot tell.
        ("vc", ". +"),
        ("vcvv", ". + . -"),
        ("vciii", ". + . . ."),
        ("cvv", "+ . -"),
        # No answer, and a check that cannot tell any more, change nothing.
        ("vsss", ". . . ."),
        ("viii", ". . . ."),
        ("vffsvv", ". . + . . -"),
        ("vffiii", ". . + . . ."),
        ("sv", ". ."),
        ("sf", ". +"),
        # Worse than before is a problem until it is back, and better is news.
        ("vww", ". . +"),
        ("vnn", ". . +"),
        ("vnnvv", ". . + . -"),
        ("vffww", ". . + . ~+"),
        ("vffwwvv", ". . + . ~+ . -"),
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
def test_each_sequence_of_polls_has_its_problems(polls: str, marks: str) -> None:
    """The problems that begin (+), end (-), are replaced (~) or are news (*) with each poll."""
    seen = Seen()
    assert " ".join(seen.poll(letter) or "." for letter in polls) == marks


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


def test_ids_are_stable_and_differ() -> None:
    """A problem keeps its id until it ends; the next one of the same check has another."""
    seen = Seen()
    for letter in "vffsffvvff":
        seen.poll(letter)
    first, second = seen.problems.values()
    assert first.id != second.id
    assert (bool(first.ended_on), second.is_open) == (True, True)
    assert first.since < first.on


@pytest.mark.parametrize(("minutes", "counts"), [(4.9, False), (5, True), (-60, False)])
def test_a_second_poll_is_five_minutes_later(minutes: float, counts: bool) -> None:
    """Sooner, or before a first one that a wrong clock has dated, it does not count."""
    seen = Seen()
    seen.poll("v")
    seen.poll("f")
    assert seen.poll("f", minutes) == ("+" if counts else "")
    assert seen.poll("f") == ("" if counts else "+")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (PolledCheck(F, "1 of 2 is missing", "x"), PolledCheck(F, "2 of 2 are missing", "x"), True),
        (PolledCheck(F, "So.", "x"), PolledCheck(F, "So.", "y"), False),
        (PolledCheck(F, "So.", "x"), PolledCheck(V, "So.", "x"), False),
        (PolledCheck(V, "So.", "x", {"a": "1"}), PolledCheck(V, "So.", "x", {"a": "2"}), False),
        (PolledCheck(V, "So.", "x", {"a": "1"}), PolledCheck(V, "So.", "x", {"b": "1"}), False),
        (
            PolledCheck(V, "So.", "x", {"a": "1"}, ["a"]),
            PolledCheck(V, "So.", "x", {"a": "2"}, ["a"]),
            True,
        ),
        (
            PolledCheck(V, "So.", "x", {"t_ends_on": "2026-12-01"}),
            PolledCheck(V, "So.", "x", {"t_ends_on": "2027-12-01"}),
            True,
        ),
    ],
)
def test_outcome_code_and_facts_decide_what_is_alike(
    one: PolledCheck, other: PolledCheck, alike: bool
) -> None:
    """Words, days that move, and values that are as expected both times do not count."""
    assert is_alike(one, other) is is_alike(other, one) is alike


def began(cause: str, moved: Any, kind: ProblemKind = ProblemKind.FAILED) -> PollVerdict:
    """Return a verdict with a problem."""
    problem = Problem(
        id=cause,
        tenant="t",
        kind=kind,
        step="s",
        check=cause,
        title="x",
        since="",
        on="",
        cause=cause,
    )
    return PollVerdict(began=problem, moved=frozenset(moved))


def test_values_that_moved_alike_have_one_cause() -> None:
    """A value that two checks read is one cause, named by what lasts; others keep their own."""
    move = ("Partner", "Another")
    other = ("live", "gone")
    news = began("news", [move], ProblemKind.CHANGED)
    failed = began("failed", [move])
    alone = began("x", [other])  # fmt: skip
    join_causes([news, failed, alone], [], NOON)
    assert [v.began.cause for v in (news, failed, alone) if v.began] == ["failed", "failed", "x"]


def test_an_outage_is_one_problem_after_a_day_and_ends_once() -> None:
    """
    The oldest silence counts; one that a failure explains does not, and begins again after it.
    """
    on = timestamp(NOON)
    rows = [
        WatchedStep("t", "a", "a", unanswered_since=on, unanswered="Down."),
        WatchedStep("t", "b", "b", unanswered_since=on, unanswered="Refused."),
    ]
    later = NOON + timedelta(days=1)
    assert judge_outage("t", rows, None, (), later - timedelta(seconds=1)) is None
    outage_problem = judge_outage("t", rows, None, {("b", "b")}, later)
    assert outage_problem
    assert (outage_problem.reason, rows[1].unanswered_since) == ("Down.", timestamp(later))
    assert judge_outage("t", rows, outage_problem, (), later) is None
    ended = judge_outage("t", [], outage_problem, (), later)
    assert ended
    assert (ended.id, ended.ended_on) == (outage_problem.id, timestamp(later))
    assert judge_outage("t", [], None, (), later) is None


def test_a_failure_explains_what_needs_or_requires_the_same() -> None:
    """A check with all its inputs, or of a step that requires its step; never itself."""
    failing = Problem(
        id="1", tenant="t", kind=ProblemKind.FAILED, step="a", check="x", title="T", since="", on=""
    )
    needs = {
        ("a", "x"): ["id", "secret"], ("b", "y"): ["secret", "id", "token"], ("c", "z"): ["id"],
        ("d", "w"): [],
    }  # fmt: skip
    required = {"a": [], "b": [], "c": [], "d": ["a"]}
    assert explained_by([failing], needs, required) == {("b", "y"), ("d", "w")}
    failing.ended_on = "x"
    assert explained_by([failing], needs, required) == set()


@pytest.mark.parametrize(
    ("since", "passed"),
    [(0, False), (59, False), (60, True), (61, True), (-1, True), (-576_000, True), (None, True)],
)
def test_a_kept_time_is_never_later_than_now(since: int | None, passed: bool) -> None:
    """A time that a clock ahead has kept counts as passed, and is replaced by now."""
    kept = "" if since is None else timestamp(NOON - timedelta(minutes=since))
    assert has_passed(timedelta(hours=1), kept, NOON) is passed
    assert not_later(kept, timestamp(NOON)) <= timestamp(NOON)
