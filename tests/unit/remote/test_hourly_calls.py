"""The calls of an hour are counted for each app, by all processes that share the file."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.remote import hourly_calls as module
from runbook_lib.remote.hourly_calls import HourlyCalls


class Wall:
    """A clock that a test moves, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def budget(path: Path, wall: Wall) -> HourlyCalls:
    return HourlyCalls(path, wall=wall)


def test_calls_are_counted_before_a_share_is_named(
    budget: HourlyCalls, path: Path, wall: Wall
) -> None:
    """Each app has its own count, which every process sees; it is a share of its allowance."""
    for _ in range(30):
        budget.count_call("1", None)
    budget.count_call("2", None)

    assert (
        budget.used_percent("1", 200) == HourlyCalls(path, wall=wall).used_percent("1", 200) == 15
    )
    assert budget.used_percent("2", 200) == 0.5
    assert budget.used_percent("3", 200) == budget.used_percent("1", 0) == 0


def test_the_newest_share_counts(budget: HourlyCalls) -> None:
    """The usage in a response replaces our own count; that of another app does not."""
    for share in (None, 10.0, 63.5, None):
        budget.count_call("1", share)
    budget.count_call("2", 99.0)

    assert budget.used_percent("1", 200) == 63.5


def test_an_hour_later_nothing_is_used(budget: HourlyCalls, wall: Wall) -> None:
    """Calls of an hour ago count no more, and neither does what was said then."""
    budget.count_call("1", 80.0)
    wall.now += 3_599
    assert budget.used_percent("1", 200) == 80
    wall.now += 1
    assert budget.used_percent("1", 200) == 0


def test_all_threads_are_counted(path: Path, wall: Wall) -> None:
    """No call is lost, however many are counted at the same time, each with its own open file."""
    gate = threading.Barrier(8, timeout=60)

    def count(_: int) -> None:
        budget = HourlyCalls(path, wall=wall)
        gate.wait()
        budget.count_call("1", None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(400)))

    assert HourlyCalls(path, wall=wall).used_percent("1", 400) == 100


def test_the_file_does_not_grow_for_ever(path: Path, wall: Wall) -> None:
    """Above its largest size, lines of more than an hour ago go."""
    budget = HourlyCalls(path, wall=wall, max_bytes=4_000)
    for _ in range(200):
        budget.count_call("1", None)
        wall.now += 60

    assert path.stat().st_size < 8_000
    assert budget.used_percent("1", 100) == pytest.approx(20, abs=40)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"at":"x","app":"1","share":1}',
        b'{"at":1000000,"app":"1","share":"x"}',
        b'{"at":1000000,"app":"1","share":-5}',
        b'{"at":NaN,"app":"1","share":5}',
        b'{"at":9e99,"app":"1","share":5}',
        b"[" * 10_000,
    ],
)
def test_a_damaged_line_counts_nothing(budget: HourlyCalls, path: Path, line: bytes) -> None:
    """A line that the runbook did not write is left out; the others count."""
    budget.count_call("1", None)
    path.write_bytes(path.read_bytes() + line + b"\n")
    budget.count_call("1", None)

    assert budget.used_percent("1", 200) == 1


def test_a_file_that_cannot_be_used_counts_nothing(tmp_path: Path, wall: Wall) -> None:
    """A folder or a link in its place stops no call, and nothing is written through the link."""
    (tmp_path / "folder").mkdir()
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "link").symlink_to(other)
    for name in ("folder", "link"):
        budget = HourlyCalls(tmp_path / name, wall=wall)
        budget.count_call("1", None)
        assert budget.used_percent("1", 200) == 0
    assert other.read_text() == "mine"


def test_each_call_is_a_line_of_json(budget: HourlyCalls, path: Path) -> None:
    """The file has a time, an app and a share, and nothing else."""
    budget.count_call("1", 12.0)

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"at": 1_000_000.0, "app": "1", "share": 12.0}
    ]


def test_other_apps_calls_are_not_read(
    budget: HourlyCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among thousands of calls of a fleet, only those of the app are parsed, newest first."""
    for app in range(50):
        for share in (None, 12.0, None):
            budget.count_call(f"app-{app}", share)
    parsed: list[bytes] = []
    parse = module.parse_json

    def noted(text: bytes) -> object:
        parsed.append(text)
        return parse(text)

    monkeypatch.setattr(module, "parse_json", noted)

    assert budget.used_percent("app-7", 200) == 12.0
    assert len(parsed) == 2
