"""The handle of a child, without a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psutil
import pytest

from runbook_lib.fork_engine import child as child_module
from runbook_lib.fork_engine.child import Text, start_child


def test_a_child_that_cannot_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a child cannot be started, the error is raised and every file descriptor is closed."""

    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(child_module, "_fork", refuse)
    monkeypatch.setattr(child_module, "_is_single", lambda: True)
    before = psutil.Process().num_fds()

    with pytest.raises(OSError, match="temporarily unavailable"):
        start_child()

    assert psutil.Process().num_fds() == before


def test_only_the_thread_of_progress_bars_permits_a_fork() -> None:
    """The process may fork beside the thread that monitors progress bars, and beside no other."""

    class TMonitor(threading.Thread):
        pass

    end = threading.Event()
    others = len(threading.enumerate()) - 1
    monitor = TMonitor(target=end.wait)
    monitor.start()
    assert child_module._is_single() == (others == 0)
    thread = threading.Thread(target=end.wait, daemon=True)
    thread.start()
    assert not child_module._is_single()
    with pytest.raises(OSError, match="this process has other threads"):
        start_child()

    end.set()
    monitor.join()
    thread.join()


@pytest.fixture
def pipe() -> Iterator[tuple[int, Text]]:
    """Yield a pipe's writing end, and the reader of the other."""
    reading, writing = os.pipe()
    yield writing, Text("stdout", reading)
    os.close(reading)
    os.close(writing)


def test_invalid_bytes_are_replaced(pipe: tuple[int, Text]) -> None:
    """Invalid bytes become the replacement character; a split character is decoded."""

    writing, text = pipe
    for data in (b"\xff\xc3", b"\xa4"):
        os.write(writing, data)
        text.read()

    assert (text.waiting, text.take(), text.waiting) == (2, "\ufffdä", 0)
    assert text.read()
    assert text.take() == ""
