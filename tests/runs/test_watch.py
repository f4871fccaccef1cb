"""`runbook watch --once` as a process: killed again and again, it loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.runner import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.run import open_run
from runbook_lib.engine.watch.answers import Watched, read_watched
from tests.runs.conftest import command, environment
from tests.support.post import receiving
from tools.soak.watched_week import kinds_of, watched_week

PATIENCE = 240
KILLS = 10


def everything_is_due(path: Path) -> None:
    """Let the next look ask everything, as a day later."""
    watched: Watched = read_watched(path)
    watched.looked = {}
    watched.save(path)


def test_a_killed_look_loses_nothing(tmp_path: Path) -> None:
    """
    Killed at any moment, the file stays whole, and what changed is printed under one id.

    The last look is not killed: it prints what no other has, and the changed outcome is sealed.
    """

    chance = random.Random(4711)
    words = [*command("watch"), "--once", "--json", "--tenant", "acme", "--env-file", "s.env"]
    printed: list[str] = []
    with Sandbox("approved", seed=2) as sandbox:
        items = [(item, sandbox.settings(item.provider)) for item in inputs_of(PROCEDURE)]
        lines = [f'{i.variable}="{known[i.name]}"\n' for i, known in items if known.get(i.name)]
        env_file = tmp_path / "s.env"
        env_file.write_text("".join(lines))
        run = open_run(
            PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme",
            evidence=str(tmp_path / "evidence"), env_file=str(env_file),
        )  # fmt: skip
        run.start()
        run.close()
        path = run.journal.path.with_name("watch.json")
        mine = environment()

        def look(seconds: float | None) -> int:
            process = subprocess.Popen(
                words, cwd=tmp_path, env=mine, stdout=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
            try:
                output, _ = process.communicate(timeout=seconds or PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate(timeout=PATIENCE)
            printed.extend(line for line in output.splitlines(keepends=True) if line[-1] == "\n")
            return process.returncode

        assert look(None) == 0
        app = next(iter(sandbox.world.facebook.apps.values()))
        app.secret = "f" * 32
        for _ in range(KILLS):
            everything_is_due(path)
            look(chance.uniform(0.2, 3.0))
            read_watched(path)
        everything_is_due(path)
        last = look(None)

    changes = {json.loads(line)["id"] for line in printed}
    watched = read_watched(path)
    assert last == 1
    assert changes == {change.id for change in watched.changes if change.kind == "failed"}
    assert len(changes) == 1
    assert all(change.shown_on for change in watched.changes)
    assert not watched.unsealed_since


def test_of_looks_that_are_killed_no_message_is_lost(folder: Path) -> None:
    """
    In days in which looks are killed, each change is one message in each way, and its end another.

    What is sent twice has one id, and came twice in a row because of a kill in between; journal
    and watch.json are whole after each. `make soak` does so with 50 kills in a week.
    """

    names = ("secret refused", "app renamed")
    with Sandbox("approved", seed=2) as sandbox, receiving() as post:
        week = watched_week(folder, post, sandbox, names=names, kills=10, seed=4711)

    assert week.wrong == []
    assert [change.kind for change in week.changes] == kinds_of(names)
    assert week.repeats <= week.kills
