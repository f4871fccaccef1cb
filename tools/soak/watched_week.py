"""
A week of `runbook watch --once`, killed at random moments, and the messages that arrived.

    python -m tools.soak.watched_week [--kills 50] [--seed 4711]

The clocks of the sandbox and of the watch are moved. Each look is a process of its own, with all
that it starts; mails and webhooks arrive at real servers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.faults import fault_of
from runbook_lib.core.journal import Journal
from runbook_lib.engine.watch.answers import Change, read_watched
from runbook_lib.engine.watch.outbox import MESSAGES_NAME, opened
from tests.support.loaded import LoadedCommand
from tests.support.post import Post, receiving
from tests.unit.engine.watch.desk import HOUR, MINUTE
from tests.unit.engine.watch.test_changes import CASES, NotifiedDesk, Repair

OUTAGE = "outage"
CHANGES = (
    "secret refused",
    "app renamed",
    "certificate ended",
    OUTAGE,
    "redirect no longer accepted",
)
# Two looks that nobody kills: a changed answer counts when it is seen again.
_UNDISTURBED = 2
_PATIENCE = 120.0
_WATCH = ("watch", "--once", "--json", "--tenant", "acme", "--env-file", "watch.env")


@dataclass
class Week:
    """What became of a week: the changes, how many kills hit, what was sent more than once."""

    changes: list[Change]
    printed: set[str]
    kills: int
    repeats: int
    hours: float
    sealed: int
    wrong: list[str] = field(default_factory=list)


def watched_week(
    folder: Path, post: Post, sandbox: Sandbox, *, names: Sequence[str], kills: int, seed: int
) -> Week:
    """Let each change come and go while looks are killed; the working folder is `folder`."""
    chance, desk = random.Random(seed), NotifiedDesk(folder, sandbox, post)
    desk.run.close()
    # So that some kills fall between the acceptance of a message and our line about it.
    post.slow = 0.3
    began, hits = desk.offset, 0
    printed = _look(desk)
    halves = [(name, is_over) for name in names for is_over in (False, True)]
    repairs: dict[str, Repair] = {}
    for number, (name, is_over) in enumerate(halves):
        if is_over:
            repairs[name]()
        else:
            repairs[name] = _begin(desk, name)
            # What is finished is looked at once a day, and an outage is a message after one more.
            desk.wait(24 * HOUR)
            if name == OUTAGE:
                printed |= _look(desk)
                desk.wait(24 * HOUR)
        for _ in range(kills * (number + 1) // len(halves) - kills * number // len(halves)):
            desk.wait(20 * MINUTE)
            shown, is_hit = _killed(desk, chance)
            printed, hits = printed | shown, hits + is_hit
        for _ in range(_UNDISTURBED):
            desk.wait(20 * MINUTE)
            printed |= _look(desk)
    watched = read_watched(desk.path)
    # NOTE: of what lasts for a day there is a reminder each day; how many is left to chance.
    reminders = {hook["data"]["id"] for hook in post.hooks if hook["type"] == "watch.reminder"}
    received = [name for name in post.received if not any(part in name for part in reminders)]
    # A kill between two marks repeats a message in each way: in a row in its own way.
    hooks = [name for name in received if name.startswith("msg_")]
    mails = [name for name in received if name not in hooks]
    messages = [name for way in (mails, hooks) for name, _ in groupby(way)]
    return Week(
        changes=watched.changes,
        printed=printed,
        kills=hits,
        repeats=len(received) - len(messages),
        hours=(desk.offset - began) / HOUR,
        sealed=len(list(desk.path.parent.glob("2*/statement.dsse.json"))),
        wrong=_wrong(desk, watched.changes, printed, messages),
    )


def _begin(desk: NotifiedDesk, name: str) -> Repair:
    if name != OUTAGE:
        return next(case.change(desk) for case in CASES if case.name == name)
    faults = desk.world.faults
    faults.active = [fault_of({"kind": "server-error", "share": 1.0})]
    return faults.active.clear


def _start(desk: NotifiedDesk) -> LoadedCommand:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RUNBOOK_")}
    return LoadedCommand(_WATCH, desk.folder, kept, ahead=desk.offset)


def _look(desk: NotifiedDesk) -> set[str]:
    """Look to the end; return the ids of what was printed."""
    code, output, errors = _start(desk).communicate(_PATIENCE)
    assert code in (0, 1, 3), errors
    return {json.loads(line)["id"] for line in output.splitlines()}


def _killed(desk: NotifiedDesk, chance: random.Random) -> tuple[set[str], bool]:
    """Kill a look; what it leaves is whole. Return what it had printed, and whether it ran."""
    command = _start(desk)
    # Most moments are early: that is where it asks, saves and sends; a sealed run takes seconds.
    is_hit = command.kill(chance.choice((0.3, 1.0, 5.0)) * chance.random())
    _, output, _ = command.communicate(_PATIENCE)
    read_watched(desk.path)
    Journal(desk.path.with_name("journal.jsonl")).entries()
    lines = [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {json.loads(line)["id"] for line in lines}, is_hit


def _wrong(
    desk: NotifiedDesk, changes: Sequence[Change], printed: set[str], messages: Sequence[str]
) -> list[str]:
    """Return what was lost, and what came again though something else came in between."""
    with opened(desk.folder / "evidence" / MESSAGES_NAME) as outbox:
        unsent = [letter for letter in outbox.letters if letter.changes and not letter.accepted_on]
    expected = [f"<{change.id}@acme.example>" for change in changes]
    expected += [f"msg_{change.id}" for change in changes]
    return [
        *(f"lost: {name}" for name in expected if name not in messages),
        *(f"unknown: {name}" for name in messages if name not in expected),
        *(f"late again: {name}" for name in set(messages) if messages.count(name) > 1),
        *(f"not shown: {change.id}" for change in changes if change.id not in printed),
        *(f"still to be sent: {letter.changes}" for letter in unsent),
        *(f"forged: {signature}" for signature in desk.post.forged),
        *(["not sealed: a changed outcome"] if read_watched(desk.path).unsealed_since else []),
    ]


def kinds_of(names: Sequence[str]) -> list[str]:
    """Return the kinds of the messages that these changes are, in their order."""
    failed, outage = ["failed", "recovered"], ["outage", "outage_over"]
    return [kind for name in names for kind in (outage if name == OUTAGE else failed)]


def main() -> None:
    """Print what became of the week; the exit code is 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.watched_week")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4711)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, receiving() as post:
        folder = Path(name)
        os.chdir(folder)
        os.environ["XDG_DATA_HOME"] = str(folder / "home")
        with Sandbox("approved", seed=2) as sandbox:
            week = watched_week(
                folder, post, sandbox, names=CHANGES, kills=options.kills, seed=options.seed
            )
        os.chdir("/")
    is_right = [change.kind for change in week.changes] == kinds_of(CHANGES)
    print(f"{week.hours:.0f} hours, {options.kills} kills, {week.kills} of a look that ran")  # noqa: T201
    print(f"{len(week.changes)} messages in two ways, {week.repeats} repeated")  # noqa: T201
    print(*[f"{change.kind} {change.title}" for change in week.changes], sep="\n")  # noqa: T201
    print(f"{week.sealed} sealed runs; wrong: {week.wrong or 'nothing'}")  # noqa: T201
    raise SystemExit(0 if is_right and not week.wrong and week.repeats <= week.kills else 1)


if __name__ == "__main__":
    main()
