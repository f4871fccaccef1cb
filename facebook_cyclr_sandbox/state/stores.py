"""
What the state is made of: repeatable randomness, bounded stores, hourly limits.
"""

import base64
import math
import random
import secrets
import string
import uuid
from collections import OrderedDict, deque
from typing import Generic, TypeVar

_Value = TypeVar("_Value")

_SLICE = 60.0
_WINDOW = 3600.0
_ALPHANUMERIC = string.ascii_letters + string.digits


class Dice:
    """
    The sandbox's only source of randomness.

    Without a `seed` it is the operating system's; with one, every secret and
    every fault of a sandbox is repeatable.
    """

    def __init__(self, seed: int | str | None = None) -> None:
        self._seed = seed
        repeatable = random.Random(seed).randbytes  # noqa: S311 - only used when asked for
        self._bytes = secrets.token_bytes if seed is None else repeatable

    def of(self, name: str) -> "Dice":
        """Return dice that belong to `name` alone: what others draw does not change them."""
        return Dice(None if self._seed is None else f"{self._seed} {name}")

    def bytes(self, length: int) -> bytes:
        """Return `length` random bytes."""
        return self._bytes(length)

    def text(self, alphabet: str, length: int) -> str:
        """Return `length` characters out of `alphabet`."""
        number = int.from_bytes(self.bytes(length + 8))
        characters = []
        for _ in range(length):
            number, index = divmod(number, len(alphabet))
            characters.append(alphabet[index])
        return "".join(characters)

    def digits(self, length: int) -> str:
        """Return a decimal number of `length` digits that does not begin with 0."""
        return self.text("123456789", 1) + self.text(string.digits, length - 1)

    def hexadecimal(self, length: int) -> str:
        """Return `length` lower case hexadecimal digits."""
        return self.text("0123456789abcdef", length)

    def alphanumeric(self, length: int) -> str:
        """Return `length` letters and digits."""
        return self.text(_ALPHANUMERIC, length)

    def base64url(self, length: int) -> str:
        """Return `length` characters of the URL-safe base64 alphabet."""
        return base64.urlsafe_b64encode(self.bytes(length)).decode("ascii")[:length]

    def guid(self) -> str:
        """Return a random UUID."""
        return str(uuid.UUID(bytes=self.bytes(16), version=4))

    def fraction(self) -> float:
        """Return a number from 0 (included) to 1 (excluded)."""
        return int.from_bytes(self.bytes(6)) / 2**48


class Shelf(Generic[_Value]):
    """
    A mapping of at most `capacity` values that drops the least recently used first.

    So a token that is in use survives a load test. A value that was put with
    `keep`, such as the scenario's own tokens, is never dropped.
    """

    def __init__(self, capacity: int = 5_000) -> None:
        self._capacity = capacity
        self._kept: dict[str, _Value] = {}
        self._values: OrderedDict[str, _Value] = OrderedDict()

    def put(self, key: str, value: _Value, *, keep: bool = False) -> None:
        """Store `value` under `key`, or replace what is there."""
        if keep or key in self._kept:
            self._kept[key] = value
            return
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def get(self, key: str) -> _Value | None:
        """Return the value under `key`, or None if there is none."""
        kept = self._kept.get(key)
        if kept is not None or key not in self._values:
            return kept
        self._values.move_to_end(key)
        return self._values[key]

    def pop(self, key: str) -> _Value | None:
        """Remove the value under `key` and return it."""
        kept = self._kept.pop(key, None)
        return self._values.pop(key, None) if kept is None else kept

    def values(self) -> list[_Value]:
        """Return all values, the kept ones first."""
        return [*self._kept.values(), *self._values.values()]

    def __len__(self) -> int:
        return len(self._kept) + len(self._values)


class Meter:
    """
    A rate limit: the calls of a rolling hour, against what an hour allows.

    Sixty slices of a minute are kept, however many calls there are.
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
        """Return the calls of the hour before `now`, dropping older ones."""
        while self._slices and self._slices[0][0] <= now - _WINDOW:
            self._used -= self._slices.popleft()[1]
        return self._used

    def percent(self, now: float) -> int:
        """Return how much of the hour's allowance is used; 100 and more is throttled."""
        return self.used(now) * 100 // self.hourly

    def is_reached(self, now: float) -> bool:
        """Return whether a call at `now` is refused."""
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
