"""
Rate limits that count and recover: a rolling hour, in slices of one minute.
"""

import math
from collections import deque

__all__ = ["Meter"]

_SLICE = 60.0
_WINDOW = 3600.0


class Meter:
    """
    Calls in the last hour against what an hour allows.

    Sixty slices are kept however many calls there are.
    """

    def __init__(self, hourly: int) -> None:
        self.hourly = hourly
        self._slices: deque[tuple[float, int]] = deque()
        self._used = 0

    def count(self, now: float, calls: int = 1) -> None:
        """Count `calls` made at `now` (seconds since the epoch)."""
        start = now - now % _SLICE
        if self._slices and self._slices[-1][0] >= start:
            start, before = self._slices.pop()
            self._slices.append((start, before + calls))
        else:
            self._slices.append((start, calls))
        self._used += calls

    def used(self, now: float) -> int:
        """Return the calls of the hour before `now`, forgetting older ones."""
        while self._slices and self._slices[0][0] <= now - _WINDOW:
            self._used -= self._slices.popleft()[1]
        return self._used

    def percent(self, now: float) -> int:
        """Return how much of the hour's allowance is used; 100 and more is throttled."""
        return self.used(now) * 100 // self.hourly

    def is_reached(self, now: float) -> bool:
        """Tell whether a call at `now` is refused."""
        return self.used(now) >= self.hourly

    def seconds_to_regain(self, now: float) -> int:
        """Return the seconds until calls are answered again; 0 when they are."""
        left = self.used(now)
        for start, calls in self._slices:
            if left < self.hourly:
                break
            left -= calls
            if left < self.hourly:
                return max(1, math.ceil(start + _WINDOW - now))
        return 0
