"""
A limit of calls an hour.
"""

import math
from collections import deque

_SLICE_SECONDS = 60.0
_WINDOW_SECONDS = 3600.0


class HourlyRateLimit:
    """
    A rate limit: the calls of a rolling hour, against what an hour allows.

    Sixty slices of a minute are kept, however many calls there are.
    """

    def __init__(self, calls_per_hour: int) -> None:
        self.calls_per_hour = calls_per_hour
        self._slices: deque[tuple[float, int]] = deque()
        self._used = 0

    def count(self, now: float, calls: int = 1) -> None:
        """Count `calls` made at `now` (seconds since the epoch)."""
        start = now - now % _SLICE_SECONDS
        if self._slices and self._slices[-1][0] >= start:
            start, before = self._slices.pop()
            self._slices.append((start, before + calls))
        else:
            self._slices.append((start, calls))
        self._used += calls

    def count_recent_calls(self, now: float) -> int:
        """Return the calls of the hour before `now`, dropping older ones."""
        while self._slices and self._slices[0][0] <= now - _WINDOW_SECONDS:
            self._used -= self._slices.popleft()[1]
        return self._used

    def get_percent_used(self, now: float) -> int:
        """Return the used percentage of the hour's calls; Graph throttles from 100 on."""
        return self.count_recent_calls(now) * 100 // self.calls_per_hour

    def is_reached(self, now: float) -> bool:
        """Return whether a call at `now` is refused."""
        return self.count_recent_calls(now) >= self.calls_per_hour

    def get_seconds_to_regain(self, now: float) -> int:
        """Return the seconds until calls are answered again; 0 when they are."""
        left = self.count_recent_calls(now)
        for start, calls in self._slices:
            if left < self.calls_per_hour:
                break
            left -= calls
            if left < self.calls_per_hour:
                return max(1, math.ceil(start + _WINDOW_SECONDS - now))
        return 0
