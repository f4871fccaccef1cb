"""
What a notebook's cells show, as the child's messages change it.

The rules are nbclient's; but text for one stream that follows on text for it
is one output, however slowly it came, and what is too much is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbformat import from_dict

from runbook_lib.fork_engine.bounds import Bounds
from runbook_lib.fork_engine.child import Message

# Its model is nowhere: a widget shows its text.
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Outputs:
    """Puts outputs into a notebook; `log` is called with each, as it came."""

    def __init__(self, nb: Any, log: Callable[[Any], None]) -> None:
        self._nb = nb
        self._log = log
        self._bounds = Bounds()
        # The output that says what was left out.
        self._note: Any = None
        self._index = 0
        self._is_to_be_cleared = False
        # Where each display id stands: the numbers of outputs, by cell.
        self._places: dict[str, dict[int, list[int]]] = {}

    def begin_cell(self, index: int) -> None:
        """Take what comes for the outputs of cell `index`, which has none yet."""
        self._index = index
        self._is_to_be_cleared = False
        self._begin_outputs()

    def write(self, name: str, text: str) -> None:
        """Add text that was written to the stream `name`."""
        self._log(from_dict({"output_type": "stream", "name": name, "text": text}))
        self._clear_if_due()
        outputs = self._cell.outputs
        last: Any = outputs[-1] if outputs and outputs[-1] is not self._note else {}
        is_new = last.get("name") != name
        if kept := self._bounds.take_text(text, is_new=is_new):
            if is_new:
                outputs.append(from_dict({"output_type": "stream", "name": name, "text": kept}))
            else:
                last.text += kept
        self._note_rest()

    def show(self, message: Message) -> None:
        """Do what a message asks for; its content is that of an output."""
        kind, content = message["type"], message["content"]
        display_id = message.get("display_id")
        if "execution_count" in message:
            self._cell.execution_count = message["execution_count"]
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
            if self._keeps(output):
                if display_id:
                    places = self._places.setdefault(display_id, {})
                    places.setdefault(self._index, []).append(len(self._cell.outputs))
                self._cell.outputs.append(output)
            self._log(output)
        if count := message.get("left_out"):
            self._clear_if_due()
            self._bounds.leave_out(count)
        self._note_rest()

    @property
    def _cell(self) -> Any:
        return self._nb.cells[self._index]

    def _keeps(self, output: Any) -> bool:
        """Return whether there is room for `output`, as there is for a cell's first exception."""
        if output.output_type != "error" or any(
            other.output_type == "error" for other in self._cell.outputs
        ):
            return self._bounds.take(output)
        self._bounds.take_error(output)
        return True

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
            self._is_to_be_cleared = False
            self._begin_outputs()
            for display_id, places in [*self._places.items()]:
                places.pop(self._index, None)
                if not places:
                    del self._places[display_id]

    def _begin_outputs(self) -> None:
        self._cell.outputs = []
        self._bounds.begin_cell(self._index)
        self._note = None

    def _note_rest(self) -> None:
        """Say in the cell's outputs how much of them was left out."""
        if line := self._bounds.line:
            if self._note is None:
                self._note = from_dict({"output_type": "stream", "name": "stderr", "text": line})
                self._cell.outputs.append(self._note)
            self._note.text = line
