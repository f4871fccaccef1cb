"""
Rate limits: Retry-After, cool-downs after a reached limit, and evenly spaced requests.

A cool-down applies to a host, or to one app there, since each app has its own limits. All
clients of a process share cool-downs, and so do all processes with the same evidence folder.
`check_session` enforces them.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.json_text import parse_json, write_json
from runbook_lib.errors import ThrottledError

# In the evidence folder, since several tenants may share an app.
COOL_DOWNS_NAME = "cool-downs.json"

# No limit lasts longer than a day.
_MAX_SECONDS = 86_400
_MAX_FILE_BYTES = 65_536
_MAX_ENTRIES = 200
_MAX_REASON_LENGTH = 300
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class CoolDown:
    """A pause in requests to a host, or from one app to it, until `until` (monotonic)."""

    until: float
    reason: str

    def seconds_left(self, now: float) -> float:
        """Return the seconds that are left at `now`."""
        return max(0.0, self.until - now)

    def error(self, now: float) -> ThrottledError:
        """Return the error for a request that is not sent."""
        seconds = self.seconds_left(now)
        return ThrottledError(f"{self.reason}: wait about {duration(seconds)}.", seconds=seconds)


class CoolDowns:
    """The current cool-downs, by host and app. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cool_downs: dict[tuple[str, str], CoolDown] = {}

    def start(self, host: str, app: str, cool_down: CoolDown) -> None:
        """Start a cool-down of `app` at `host`, of the whole host if `app` is empty."""
        with self._lock:
            current = self._cool_downs.get((host, app))
            if current is None or current.until < cool_down.until:
                self._cool_downs[host, app] = cool_down

    def find(self, host: str, app: str, now: float) -> CoolDown | None:
        """Return the longest cool-down for a request of `app` to `host`."""
        with self._lock:
            ended = [key for key, cool_down in self._cool_downs.items() if cool_down.until <= now]
            for key in ended:
                del self._cool_downs[key]
            keys = {(host, ""), (host, app)}
            cool_downs = [self._cool_downs[key] for key in keys if key in self._cool_downs]
        return max(cool_downs, key=lambda cool_down: cool_down.until, default=None)


class SharedCoolDowns(CoolDowns):
    """
    Cool-downs that are shared with other processes in the file at `path`.

    If the file cannot be read or written, the cool-downs of this process still apply. `clock` is
    the clock of the clients (monotonic), `wall` returns seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._path = path
        self._clock = clock
        self._wall = wall
        self._version_read: object = None

    def start(self, host: str, app: str, cool_down: CoolDown) -> None:
        """Start a cool-down of `app` at `host`, here and for other processes."""
        self._read()
        super().start(host, app, cool_down)
        self._write()

    def find(self, host: str, app: str, now: float) -> CoolDown | None:
        """Return the longest cool-down that applies, whichever process started it."""
        self._read()
        return super().find(host, app, now)

    def _read(self) -> None:
        """Read the file's cool-downs if it has changed."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, OverflowError):
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._version_read:
                return
            self._version_read = version
            for entry in parse_json(read_plain(self._path, _MAX_FILE_BYTES))[:_MAX_ENTRIES]:
                left = min(float(entry["ends"]) - self._wall(), _MAX_SECONDS)
                reason = str(entry["reason"])[:_MAX_REASON_LENGTH]
                cool_down = CoolDown(self._clock() + left, reason)
                if left > 0:
                    super().start(str(entry["host"]), str(entry["app"]), cool_down)

    def _write(self) -> None:
        with self._lock:
            entries = [
                {
                    "host": host,
                    "app": app,
                    "ends": round(self._wall() + cool_down.seconds_left(self._clock()), 3),
                    "reason": cool_down.reason,
                }
                for (host, app), cool_down in self._cool_downs.items()
                if cool_down.seconds_left(self._clock())
            ][-_MAX_ENTRIES:]
        with contextlib.suppress(OSError):
            write_whole(self._path, write_json(entries).encode(), is_durable=False)


class RateLimiter:
    """Limits requests to `per_second`, evenly spaced: callers wait before each."""

    def __init__(
        self,
        per_second: int,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 1 / per_second
        self._sleep = sleep
        self._clock = clock
        self._next = clock()
        self.requests = 0

    def __call__(self) -> None:
        """Wait until the next request may be sent."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._interval
        self.requests += 1


# The cool-downs of a process that does not save them.
PROCESS_COOL_DOWNS = CoolDowns()


def retry_after(value: str, now: datetime) -> float | None:
    """
    Return the seconds of a Retry-After header (RFC 9110 §10.2.3), at most a day.

    `None` if it is neither a number of seconds nor a date.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _MAX_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        # NOTE: a date without a zone is in GMT (RFC 9110 §5.6.7).
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), _MAX_SECONDS)


def duration(seconds: float) -> str:
    """Return `seconds` as a short text: `5 s`, `12 min`, `3 h`."""
    if round(seconds) < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
