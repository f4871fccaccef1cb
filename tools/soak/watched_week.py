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
from pathlib import Path

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import read_fault
from runbook_lib.core.journal import Journal
from runbook_lib.engine.watch.watch_state import Problem, open_state
from tests.support.loaded import LoadedCommand
from tests.support.post import Post, receiving
from tests.support.watched_changes import CASES, NotifiedDesk, Repair
from tests.unit.engine.watch.desk import HOUR, MINUTE

OUTAGE = "outage"
CHANGES = (
    "secret refused",
    "app renamed",
    "certificate ended",
    OUTAGE,
    "redirect no longer accepted",
)
# Watches without a kill: a changed result counts when it is seen again, then it is sent.
_UNDISTURBED = 3
_PATIENCE = 120.0
_WATCH = ("watch", "--once", "--json", "--tenant", "acme", "--env-file", "watch.env")


@dataclass
class Week:
    """The result of a week of polls that are killed."""

    problems: list[Problem]
    """The problems of the week."""

    kills: int
    """The number of kills that hit a cycle."""

    repeats: int
    """The number of messages that were sent more than once."""

    hours: float
    """The length of the week, in hours."""

    wrong: list[str] = field(default_factory=list)
    """Violated promises, as sentences."""


def watched_week(
    folder: Path, post: Post, sandbox: Sandbox, *, names: Sequence[str], kills: int, seed: int
) -> Week:
    """Let each change come and go while looks are killed; the working folder is `folder`."""
    chance = random.Random(seed)
    desk = NotifiedDesk(folder, sandbox, post)
    desk.run.close()
    # So that some kills fall between the acceptance of a message and our line about it.
    post.slow = 0.3
    began = desk.offset
    hits = 0
    printed = _watch(desk)
    halves = [(name, is_over) for name in names for is_over in (False, True)]
    repairs: dict[str, Repair] = {}
    for number, (name, is_over) in enumerate(halves):
        if is_over:
            repairs[name]()
        else:
            repairs[name] = _begin(desk, name)
            # A finished step is polled once a day, and an outage is a message after one more day.
            desk.wait(24 * HOUR)
            if name == OUTAGE:
                printed |= _watch(desk)
                desk.wait(24 * HOUR)
        for _ in range(kills * (number + 1) // len(halves) - kills * number // len(halves)):
            desk.wait(20 * MINUTE)
            shown, is_hit = _killed(desk, chance)
            printed = printed | shown
            hits = hits + is_hit
        for _ in range(_UNDISTURBED):
            desk.wait(20 * MINUTE)
            printed |= _watch(desk)
    problems = _problems(desk)
    mails = list(post.mails)
    hooks = [hook["data"] for hook in post.hooks]
    sent = [(mail["Message-ID"], mail.get_content()) for mail in mails]
    sent += [(hook["id"], json.dumps(hook)) for hook in hooks]
    return Week(
        problems=problems,
        kills=hits,
        repeats=len(sent) - len(dict(sent)),
        hours=(desk.offset - began) / HOUR,
        wrong=_wrong(desk, problems, printed, sent),
    )


def _begin(desk: NotifiedDesk, name: str) -> Repair:
    if name != OUTAGE:
        return next(case.change(desk) for case in CASES if case.name == name)
    faults = desk.state.faults
    faults.active = [read_fault({"kind": "server-error", "share": 1.0})]
    return faults.active.clear


def _start(desk: NotifiedDesk) -> LoadedCommand:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RUNBOOK_")}
    return LoadedCommand(_WATCH, desk.folder, kept, ahead=desk.offset)


def _watch(desk: NotifiedDesk) -> set[str]:
    """Watch to the end; return the printed ids."""
    code, output, errors = _start(desk).communicate(_PATIENCE)
    assert code in (0, 1, 3), errors
    return {json.loads(line)["id"] for line in output.splitlines()}


def _killed(desk: NotifiedDesk, chance: random.Random) -> tuple[set[str], bool]:
    """Kill a watch, whose state stays whole. Return the printed ids, and whether it ran."""
    command = _start(desk)
    # Most moments are early: that is where it polls, saves and sends.
    is_hit = command.kill(chance.choice((0.3, 1.0, 5.0)) * chance.random())
    _, output, _ = command.communicate(_PATIENCE)
    _problems(desk)
    Journal(desk.path.with_name("journal.jsonl")).entries()
    lines = [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {json.loads(line)["id"] for line in lines}, is_hit


def _problems(desk: NotifiedDesk) -> list[Problem]:
    with open_state(desk.folder / "evidence", desk.now()) as state:
        assert state.notices.read() == [], "the state was damaged"
        return sorted(state.problems.read(), key=lambda problem: problem.on)


def _wrong(
    desk: NotifiedDesk,
    problems: Sequence[Problem],
    printed: set[str],
    sent: Sequence[tuple[str, str]],
) -> list[str]:
    """Return the messages that were lost, sent again with another text, or not printed."""
    began: dict[str, set[str]] = {"mail": set(), "webhook": set()}
    ended: dict[str, set[str]] = {"mail": set(), "webhook": set()}
    with open_state(desk.folder / "evidence", desk.now()) as state:
        channels = {row.receiver: row.channel for row in state.receivers.read()}
        for delivery in state.deliveries.read():
            if channel := channels.get(delivery.receiver):
                began[channel].add(delivery.problem)
                if delivery.is_end_reported:
                    ended[channel].add(delivery.problem)
        unsent = state.digests.read()
    reported = {problem["id"] for hook in desk.post.hooks for problem in hook["data"]["problems"]}
    texts: dict[str, set[str]] = {}
    for ident, text in sent:
        texts.setdefault(ident, set()).add(text)
    lasting = [problem for problem in problems if not problem.is_superseded]
    return [
        *(
            f"not reported by {channel}: {problem.title}"
            for channel, ids in began.items()
            for problem in problems
            if problem.id not in ids
        ),
        *(
            f"end not reported by {channel}: {problem.title}"
            for channel, ids in ended.items()
            for problem in lasting
            if problem.kind.lasts and problem.id not in ids
        ),
        *(f"never received: {p.title}" for p in problems if p.id not in reported),
        *(f"another text under one id: {name}" for name, own in texts.items() if len(own) > 1),
        *(f"not printed: {problem.title}" for problem in problems if problem.id not in printed),
        *(f"still to be sent: {digest.subject}" for digest in unsent),
        *(f"forged: {signature}" for signature in desk.post.forged),
    ]


def kinds_of(names: Sequence[str]) -> set[str]:
    """Return the kinds of the problems that these changes are."""
    return {"outage" if name == OUTAGE else "failed" for name in names}


def main() -> None:
    """Print the result of the week; the exit code is 1 where something was lost."""
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
    kinds = {str(problem.kind) for problem in week.problems} - {"changed", "due"}
    is_right = kinds == kinds_of(CHANGES)
    print(f"{week.hours:.0f} hours, {options.kills} kills, {week.kills} of a watch that ran")  # noqa: T201
    print(f"{len(week.problems)} problems, {week.repeats} digests repeated")  # noqa: T201
    print(*[f"{problem.kind} {problem.title}" for problem in week.problems], sep="\n")  # noqa: T201
    print(f"wrong: {week.wrong or 'nothing'}")  # noqa: T201
    raise SystemExit(0 if is_right and not week.wrong and week.repeats <= 2 * week.kills else 1)


if __name__ == "__main__":
    main()
