"""The lock of headless runs: one run at a time; a waiting run knows which process it waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook_lib.core.run_lock import run_lock
from runbook_lib.errors import BusyError, ExitCode, JournalError
from tests.support.wording import refused, refused_naming, wording

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from runbook_lib.core.run_lock import run_lock
with run_lock(Path(sys.argv[1]), seconds=10, on_wait=print):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(home: Path) -> Iterator[int]:
    """Let another process hold the lock, and yield its id; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_the_time_limit_names_the_holder(tmp_path: Path) -> None:
    """After the time limit, the error has exit code 3 and names the process that holds the lock."""
    said: list[str] = []
    with (
        held(tmp_path) as process_id,
        pytest.raises(BusyError) as caught,
        run_lock(tmp_path, seconds=0.3, on_wait=said.append),
    ):
        pass

    assert f"process {process_id}, since 20" in str(caught.value)
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert "RUNBOOK_QUEUE_SECONDS" in caught.value.diagnostics()
    holder = str(caught.value).partition(": ")[2]
    assert said == [wording("screens.waiting-for-run", holder=holder)]


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    """The lock of a killed process is free, whatever its holder file says."""
    with held(tmp_path):
        pass

    with run_lock(tmp_path, seconds=0, on_wait=pytest.fail):
        holder = json.loads((tmp_path / "run.holder").read_text())
    assert holder["process"] == os.getpid()
    assert not (tmp_path / "run.holder").exists()


def test_runs_take_the_lock_one_after_the_other(tmp_path: Path) -> None:
    """A waiting run starts as soon as the other one has ended."""
    order: list[str] = []
    held = threading.Event()
    release = threading.Event()

    def first() -> None:
        with run_lock(tmp_path, seconds=10, on_wait=lambda _: None):
            held.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    with run_lock(tmp_path, seconds=30, on_wait=lambda _: release.set()):
        order.append("second")
    thread.join()

    assert order == ["first", "second"]


def test_another_tenants_run_is_not_waited_for(tmp_path: Path) -> None:
    """A run of another tenant does not wait."""
    with held(tmp_path / "acme"), run_lock(tmp_path / "bloom", seconds=0, on_wait=pytest.fail):
        pass


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", "[]", '{"process": "\\u001b[2J", "since": "x"}', '{"process": 7}', "[" * 1000],
)
def test_a_damaged_holder_file_is_not_shown(tmp_path: Path, content: str) -> None:
    """If the holder file is damaged, the message says "another process"."""
    with held(tmp_path):
        (tmp_path / "run.holder").write_text(content)
        with (
            refused(BusyError, "run-in-progress"),
            run_lock(tmp_path, seconds=0.1, on_wait=pytest.fail),
        ):
            pass


def test_a_lock_that_cannot_be_taken_is_named(tmp_path: Path) -> None:
    """A folder in the lock's place raises `JournalError`."""
    (tmp_path / "run.lock").mkdir()

    with (
        refused_naming(JournalError, "run.lock cannot be taken"),
        run_lock(tmp_path, seconds=0, on_wait=pytest.fail),
    ):
        pass
