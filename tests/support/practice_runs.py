"""One `runbook run --sandbox` per scenario, shared by all tests that examine its results."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from runbook_lib.run.journal import Line, parse_line
from tests.runs.conftest import ROOT, environment
from tests.support.loaded import LoadedCommand

_PATIENCE_SECONDS = 240


@dataclass(frozen=True)
class PracticeRun:
    """
    The output and the files of a practice run, read-only: a test that changes them makes a copy.
    """

    folder: Path
    """The working folder of the run."""

    returncode: int
    """The exit code."""

    stdout: str
    """The standard output."""

    stderr: str
    """The standard error."""

    command_lines: list[str]
    """The command lines of all processes during the run."""

    @property
    def evidence(self) -> Path:
        """The folder of journals and evidence."""
        return self.folder / "evidence"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which a later run signs with the same key."""
        return {"XDG_DATA_HOME": str(self.folder / "home")}

    @cached_property
    def bundle(self) -> Path:
        """The sealed folder."""
        (record,) = self.evidence.rglob("record.json")
        return record.parent

    @property
    def record(self) -> dict[str, Any]:
        """The sealed record."""
        record: dict[str, Any] = json.loads((self.bundle / "record.json").read_bytes())
        return record

    @property
    def lines(self) -> list[Line]:
        """The sealed lines of the journal."""
        with (self.bundle / "journal.jsonl").open("rb") as file:
            return [parse_line(text, "A line") for text in file]

    def copy_evidence(self, target: Path) -> Path:
        """Copy the evidence folder to `target`, for one test to continue."""
        return shutil.copytree(self.evidence, target)


PractiseOnce = Callable[..., PracticeRun]


def practise(scenario: str, connector: str, folder: Path) -> PracticeRun:
    """Return the run of `scenario` in `folder`; the first test that needs it makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    printed = folder / "printed.json"
    with FileLock(folder / "lock"):
        if not printed.exists():
            printed.write_text(json.dumps(_run(scenario, connector, folder)), encoding="utf-8")
    return PracticeRun(folder, *json.loads(printed.read_bytes()))


def _run(scenario: str, connector: str, folder: Path) -> tuple[int, str, str, list[str]]:
    run = PracticeRun(folder, 0, "", "", [])
    arguments = ("--sandbox", scenario, "--connector", connector, "--evidence", str(run.evidence))
    command = LoadedCommand(("run", *arguments), ROOT, environment(**run.environment))
    watcher = CommandLines(command.pid)
    watcher.start()
    finished = command.communicate(_PATIENCE_SECONDS)
    watcher.join()
    return *finished, sorted(watcher.seen)


class CommandLines(threading.Thread):
    """Collects every command line of a process and its children while it lives."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.is_over = threading.Event()
        self._pid = str(pid)

    def run(self) -> None:
        """Poll twenty times a second, which is more often than kernels start and end."""
        while not self.is_over.wait(0.05):
            try:
                self._collect(self._pid)
            except OSError:  # it has ended
                return

    def _collect(self, pid: str) -> None:
        process = Path("/proc", pid)
        self.seen.add((process / "cmdline").read_text(encoding="utf-8"))
        for thread in (process / "task").iterdir():
            with suppress(OSError):  # a thread, or a child, that has ended
                for child in (thread / "children").read_text(encoding="utf-8").split():
                    self._collect(child)
