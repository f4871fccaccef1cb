"""
What a notebook's cells show, as messages change it, and how much of it a notebook keeps.

The rules are nbclient's; but text for one stream that follows on text for it
is one output, however slowly it came, and what is too much is left out.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from typing import Any

from nbformat import from_dict

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
# Its model is nowhere: a widget shows its text.
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Bounds:
    """
    Decides for each output of a run whether the notebook keeps it, cell after cell.

    Bytes are counted as they are kept: what a cell clears, or an update
    replaces, counts no longer.
    """

    def __init__(self) -> None:
        self._kept: Counter[int] = Counter()
        self.begin_cell(0)

    def begin_cell(self, index: int) -> None:
        """Count for the cell `index`, which shows nothing now."""
        self._index = index
        self._kept[index] = 0
        self._left_out = 0
        self._limit = ""
        # The output that says how much was left out.
        self.note: Any = from_dict({"output_type": "stream", "name": "stderr", "text": ""})

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

    def say_rest(self, outputs: list[Any]) -> None:
        """Say in the cell's outputs how much of them was left out, if any was."""
        if not self._left_out:
            return
        size, unit = float(self._left_out), "bytes"
        for larger in ("KiB", "MiB"):
            if size >= 1024:
                size, unit = size / 1024, larger
        if not self.note.text:
            outputs.append(self.note)
        self.note.text = f"… {size:,.0f} {unit} of output left out: {self._limit}.\n"

    def _room(self, index: int) -> int:
        kept = self._kept
        return max(0, min(CELL_BYTES - kept[index], _RUN_BYTES - kept.total()))


class Outputs:
    """Puts outputs into a notebook; `log` is called with each, as it came."""

    def __init__(self, nb: Any, log: Callable[[Any], None]) -> None:
        self._nb = nb
        self._log = log
        self._bounds = Bounds()
        # Where each display id stands: the numbers of outputs, by cell.
        self._places: dict[str, dict[int, list[int]]] = {}

    def begin_cell(self, index: int) -> None:
        """Take what comes for the outputs of cell `index`, which has none yet."""
        self._index = index
        self._outputs = self._nb.cells[index].outputs = []
        self._is_to_be_cleared = False
        self._bounds.begin_cell(index)

    def write(self, name: str, text: str) -> None:
        """Add text that was written to the stream `name`."""
        self._log(from_dict({"output_type": "stream", "name": name, "text": text}))
        self._clear_if_due()
        last: Any = self._outputs[-1] if self._outputs else {}
        is_new = last is self._bounds.note or last.get("name") != name
        if kept := self._bounds.take_text(text, is_new=is_new):
            if is_new:
                output = from_dict({"output_type": "stream", "name": name, "text": kept})
                self._outputs.append(output)
            else:
                last.text += kept
        self._bounds.say_rest(self._outputs)

    def show(self, message: dict[str, Any]) -> None:
        """Do what a message asks for; its content is that of an output."""
        kind, content = message["type"], message["content"]
        display_id = message.get("display_id")
        content.get("data", {}).pop(_WIDGET, None)
        if display_id:
            self._update(display_id, content)
        if kind == "clear_output":
            self._is_to_be_cleared = True
            if not content["wait"]:
                self._clear_if_due()
        elif kind in ("display_data", "execute_result", "error"):
            self._clear_if_due()
            output = from_dict({"output_type": kind, **content})
            # There is room for a cell's first exception.
            if kind == "error" and all(other.output_type != kind for other in self._outputs):
                self._bounds.take_error(output)
                self._outputs.append(output)
            elif self._bounds.take(output):
                if display_id:
                    places = self._places.setdefault(display_id, {})
                    places.setdefault(self._index, []).append(len(self._outputs))
                self._outputs.append(output)
            self._log(output)
        if count := message.get("left_out"):
            self._clear_if_due()
            self._bounds.leave_out(count)
        self._bounds.say_rest(self._outputs)

    def _update(self, display_id: str, content: dict[str, Any]) -> None:
        """Change every output that has this display id, in whichever cell."""
        for index, numbers in self._places.get(display_id, {}).items():
            for number in numbers:
                output = self._nb.cells[index].outputs[number]
                changed = from_dict({**output, **content})
                if self._bounds.take(changed, replaced=output, index=index):
                    output.update(changed)

    def _clear_if_due(self) -> None:
        if self._is_to_be_cleared:
            self.begin_cell(self._index)
            for display_id, places in [*self._places.items()]:
                places.pop(self._index, None)
                if not places:
                    del self._places[display_id]


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
