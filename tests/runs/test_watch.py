"""`runbook watch --once` as a process: killed again and again, it loses nothing."""

from __future__ import annotations

from pathlib import Path

from facebook_cyclr_sandbox.server import Sandbox
from tests.support.post import receiving
from tools.soak.watched_week import kinds_of, watched_week


def test_of_looks_that_are_killed_no_message_is_lost(folder: Path) -> None:
    """
    In days in which looks are killed, each change is one message in each way, and its end another.

    What is sent twice has one id, and came twice in a row because of a kill in between; journal
    and watch.json are whole after each, and a changed outcome is sealed in the end. `make soak`
    does so with 50 kills in a week.
    """
    names = ("secret refused", "app renamed")
    with Sandbox("approved", seed=2) as sandbox, receiving() as post:
        week = watched_week(folder, post, sandbox, names=names, kills=10, seed=4711)

    assert week.wrong == []
    assert [change.kind for change in week.changes] == kinds_of(names)
    assert week.repeats <= week.kills
    assert week.sealed
