"""
A bounded mapping that drops the least recently used values.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class LRUStore(Generic[_Value]):
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
        """Return the value under `key`, or None without one."""
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
