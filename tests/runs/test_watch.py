"""`runbook watch --once` as a process: killed again and again, it loses nothing."""

from __future__ import annotations

from pathlib import Path

from facebook_cyclr_sandbox.server import Sandbox
from tests.support.post import receiving
from tools.soak.watched_week import kinds_of, watched_week


def test_no_problem_is_lost_by_kills(folder: Path) -> None:
    """
    In days in which watches are killed, each problem and its end is reported in each channel.

    A message that is sent twice has one id and one text; journal and state are whole after each.
    `make soak` does so with 50 kills in a week.
    """
    names = ("secret refused", "app renamed")
    with Sandbox("approved", seed=2) as sandbox, receiving() as post:
        week = watched_week(folder, post, sandbox, names=names, kills=10, seed=4711)

    assert week.wrong == []
    assert {str(problem.kind) for problem in week.problems} - {"changed"} == kinds_of(names)
    assert week.repeats <= 2 * week.kills
