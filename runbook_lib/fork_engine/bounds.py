"""
How much of what cells show a notebook keeps, and the line that says what was left out.

Bytes are counted as they are kept: what a cell clears, or an update replaces, counts no longer.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter
from typing import Any

CELL_BYTES = 32 << 20
_RUN_BYTES = 64 << 20
# What an output and a line at least take in memory, and a control character in the file.
_OUTPUT_BYTES = 512
_LINE_BYTES = 16
_CONTROL_BYTES = 6
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
# What is left of an exception's texts, and of its traceback's parts.
_ERROR_CHARACTERS = 4096
_ERROR_PARTS = 16


class Bounds:
    """Decides for each output of a run whether the notebook keeps it, cell after cell."""

    def __init__(self) -> None:
        self._kept: Counter[int] = Counter()
        self.begin_cell(0)

    def begin_cell(self, index: int) -> None:
        """Count for the cell `index`, which shows nothing now."""
        self._index = index
        self._kept[index] = 0
        self._left_out = 0
        self._limit = ""

    @property
    def line(self) -> str:
        """Return the line that says how much of the cell's output was left out, if any was."""
        if not self._left_out:
            return ""
        size, unit = float(self._left_out), "bytes"
        for larger in ("KiB", "MiB"):
            if size >= 1024:
                size, unit = size / 1024, larger
        return f"… {size:,.0f} {unit} of output left out: {self._limit}.\n"

    def take_text(self, text: str, *, is_new: bool) -> str:
        """Return as much of `text` as is kept; `is_new` if it begins an output."""
        room, count, cost = self._room(self._index), 0, 0
        if room >= (_OUTPUT_BYTES if is_new else 1):
            cost, count = max(_text_cost(text), _OUTPUT_BYTES if is_new else 0), len(text)
            if cost > room:
                count = bisect(range(1, count + 1), room, key=lambda n: _text_cost(text[:n]))
        if rest := text[count:]:
            self.leave_out(len(rest.encode()))
            cost = room  # so that no later text seems to follow on this
        self._kept[self._index] += cost
        return text[:count]

    def take(self, output: Any, *, replaced: Any = None, index: int | None = None) -> bool:
        """Return whether `output` is kept, in the place of `replaced` in the cell `index`."""
        index = self._index if index is None else index
        cost = _cost(output)
        growth = cost - (_cost(replaced) if replaced else 0)
        if growth > self._room(index):
            self.leave_out(cost, index)
            return False
        self._kept[index] += growth
        return True

    def take_error(self, output: Any) -> None:
        """Keep the exception `output`, by which papermill knows that a cell failed; or its ends."""
        if (cost := _cost(output)) <= self._room(self._index):
            self._kept[self._index] += cost
            return
        output.update(shortened(output))
        if (rest := cost - _cost(output)) > 0:
            self.leave_out(rest)

    def leave_out(self, count: int, index: int | None = None) -> None:
        """Note that so many bytes were left out, of what the cell `index` would have kept."""
        if not self._limit:
            kept = self._kept[self._index if index is None else index]
            is_cell = CELL_BYTES - kept <= _RUN_BYTES - self._kept.total()
            whole, most = ("cell", CELL_BYTES) if is_cell else ("run", _RUN_BYTES)
            self._limit = f"a {whole} keeps {most >> 20} MiB"
        self._left_out += count

    def _room(self, index: int) -> int:
        kept = self._kept
        return max(0, min(CELL_BYTES - kept[index], _RUN_BYTES - kept.total()))


def shortened(error: Any) -> dict[str, Any]:
    """Return the content of an exception's message with its texts cut."""
    return {
        "ename": error["ename"][:_ERROR_CHARACTERS],
        "evalue": error["evalue"][:_ERROR_CHARACTERS],
        "traceback": [part[:_ERROR_CHARACTERS] for part in error["traceback"][-_ERROR_PARTS:]],
    }


def _text_cost(text: str) -> int:
    data = text.encode()
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return max(len(data), _LINE_BYTES * data.count(b"\n"), _CONTROL_BYTES * controls)


def _cost(output: Any) -> int:
    data = json.dumps(output, ensure_ascii=False).encode()
    return max(len(data), _LINE_BYTES * data.count(b"\\n"), _OUTPUT_BYTES)
