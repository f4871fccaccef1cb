"""
Writes exchanges to a run's journal as they come, each once, and knows their numbers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from runbook_lib.remote.recording import RecordedExchange


class ExchangeWriter:
    """
    The exchanges of one run in its journal; several threads may write at once.

    `append` writes events, and returns the number of the first.
    """

    def __init__(self, append: Callable[..., int]) -> None:
        self._append = append
        self._writing = threading.Lock()
        self._arrived: deque[RecordedExchange] = deque()
        self._numbers: WeakKeyDictionary[RecordedExchange, int] = WeakKeyDictionary()

    def write(self, seen: Iterable[RecordedExchange]) -> tuple[int, ...]:
        """
        Return the numbers of these exchanges; those that are new are on disk by then.

        Those that arrived meanwhile are in the same append. Raises `JournalError`.
        """
        known = tuple(seen)
        if any(exchange not in self._numbers for exchange in known):
            self._write_arrived(known)
        return tuple(self._numbers[exchange] for exchange in known)

    def _write_arrived(self, known: tuple[RecordedExchange, ...]) -> None:
        self._arrived.extend(known)
        with self._writing:
            arrived = [self._arrived.popleft() for _ in range(len(self._arrived))]
            # NOTE: a failed append may have taken these exchanges from the queue.
            together = dict.fromkeys((*arrived, *known))
            new = [exchange for exchange in together if exchange not in self._numbers]
            if new:
                first = self._append(*(exchange.redacted() for exchange in new))
                self._numbers.update(zip(new, range(first, first + len(new)), strict=True))
