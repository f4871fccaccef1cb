"""
The durations of tests, and their processor time.

`--costs 40` lists the 40 slowest tests at the end. Each line has the time on the clock, and the
processor time of its process and of the children that have ended by then. A test that needs more
than 20 s of processor says why: `@pytest.mark.costly("reason")`.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

_OPTION = "--costs"
_MARK = "costly"
_MOST_SECONDS = 20
_SINCE = pytest.StashKey[float]()
_COSTS = pytest.StashKey["dict[str, Cost]"]()


@dataclass(slots=True)
class Cost:
    """The durations of all phases of a test, in seconds; `reason` says why it may take long."""

    clock: float = 0.0
    processor: float = 0.0
    reason: str = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--costs`."""
    parser.addoption(_OPTION, type=int, default=0, help="list so many of the slowest tests")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, and begin to count."""
    config.addinivalue_line(
        "markers", f"{_MARK}(reason): needs over {_MOST_SECONDS} s of processor"
    )
    config.stash[_COSTS] = defaultdict(Cost)


def _processor() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Read the clock before the first phase."""
    item.stash[_SINCE] = _processor()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Write the phase's duration into the report; it is sent from worker to controller."""
    report: Any = yield
    now = _processor()
    report.processor = now - item.stash.get(_SINCE, now)
    item.stash[_SINCE] = now
    mark = item.get_closest_marker(_MARK)
    report.costly = str(mark.args[0]) if mark else ""
    return report


class _Listener:
    def __init__(self, config: pytest.Config) -> None:
        self._costs = config.stash[_COSTS]

    def pytest_runtest_logreport(self, report: Any) -> None:
        cost = self._costs[report.nodeid]
        cost.clock += report.duration
        cost.processor += getattr(report, "processor", 0.0)
        cost.reason = getattr(report, "costly", "")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen where the reports of all workers arrive."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Listener(session.config))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """List the slowest tests, and those that cost much and do not say why."""
    costs = config.stash[_COSTS]
    slowest = sorted(costs, key=lambda name: costs[name].clock, reverse=True)
    write = terminalreporter.write_line
    if slowest[: config.getoption(_OPTION)]:
        write("   clock  processor  of the slowest tests, in seconds")
    for name in slowest[: config.getoption(_OPTION)]:
        write(f"{costs[name].clock:8.1f}  {costs[name].processor:9.1f}  {name}")
    for name, cost in costs.items():
        if cost.processor > _MOST_SECONDS and not cost.reason:
            why = f"needs {cost.processor:.0f} s of processor: say why (pytest.mark.{_MARK})"
            write(f"{name} {why}", yellow=True)
