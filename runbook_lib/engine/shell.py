"""The IPython shell of a run's cells: it keeps their outputs as a notebook has them."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any, NoReturn

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

# Limits of a cell's, and of a notebook's, outputs: bytes of JSON in the notebook's file. The leak
# gate reads a file at up to 3 s a MiB. The exception that ends a cell is shown in any case, with
# each of its texts cut, and its last lines.
_MAX_CELL_BYTES = 8 << 20
_MAX_NOTEBOOK_BYTES = 16 << 20
# Each cell has at least this room, however much earlier cells used; a step's outputs need less.
_LEAST_CELL_BYTES = 128 << 10
_ERROR_CHARACTERS = 4096
# Printed text is kept in parts of this length, the last one for which there is room.
_PART_CHARACTERS = 4096
_ERROR_LINES = 200
# An output counts as at least this many bytes, the memory that it takes.
_LEAST_OUTPUT_BYTES = 512
_LEFT_OUT = (
    f"… the rest is left out: a cell keeps {_MAX_CELL_BYTES >> 20} MiB of output, and a notebook "
    f"{_MAX_NOTEBOOK_BYTES >> 20}.\n"
)


class _OutputStream(StringIO):
    """Keeps what cells print, as far as there is room for it."""

    def __init__(self, shell: CellShell) -> None:
        super().__init__()
        self._shell = shell

    def write(self, text: str) -> int:
        """Keep the beginning of `text` for which there is room."""
        for start in range(0, len(text), _PART_CHARACTERS):
            part = text[start : start + _PART_CHARACTERS]
            self._shell.room -= _file_bytes(json.dumps(part, ensure_ascii=False))
            if self._shell.room < 0:
                break
            super().write(part)
        return len(text)

    def take(self) -> str:
        """Return the kept text, and clear it."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class _Publisher(DisplayPublisher):
    """Keeps the outputs of `display`."""

    shell: Any

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,  # noqa: ARG002  (IPython's; deprecated)
        **_: Any,
    ) -> None:
        """Keep `data`, by MIME type; an update is one more display."""
        self.shell.show("display_data", data=data, metadata=metadata or {})


class _Hook(DisplayHook):
    """Keeps the value of a cell's last expression."""

    shell: Any

    def write_output_prompt(self) -> None:
        """Show no prompt."""

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Keep the value's representations, by MIME type."""
        about = {"metadata": md_dict or {}, "execution_count": self.prompt_count}
        self.shell.show("execute_result", data=format_dict, **about)


class _NoOutputs(dict[int, list[Any]]):
    """IPython's history of outputs, which has no bound; this one keeps nothing."""

    def __missing__(self, _: int) -> list[Any]:
        return []


class CellShell(InteractiveShell):
    """A shell that keeps what its cells show."""

    displayhook_class = _Hook
    display_pub_class = _Publisher
    history_manager: Any
    """IPython's history, which writes no file here."""

    streams: dict[str, _OutputStream]
    """Standard output and standard error, by name."""

    room: int
    """Bytes of JSON that the present cell may still show."""

    notebook_room: int
    """Bytes of JSON that the whole notebook may still show."""

    _outputs: list[str]
    """Outputs of the present cell, as JSON."""

    _error: str
    """The name of the exception that ended the present cell; empty without an exception."""

    def perform(self, source: str) -> str:
        """
        Run a cell; return as JSON its number, its outputs, and the name of its error, if any.

        Text comes first among the outputs, then the rest in its order.
        """
        room = max(min(_MAX_CELL_BYTES, self.notebook_room), _LEAST_CELL_BYTES)
        self.room = room
        self._outputs = []
        self._error = ""
        result = self.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        texts = {name: stream.take() for name, stream in self.streams.items()}
        self.notebook_room -= room - max(self.room, 0)
        if self.room < 0:
            texts["stderr"] += _LEFT_OUT
        streams = [
            json.dumps({"output_type": "stream", "name": name, "text": text}, ensure_ascii=False)
            for name, text in texts.items()
            if text
        ]
        name = self._error or (type(error).__name__ if error else "")
        outputs = ",".join([*streams, *self._outputs])
        return f"[{json.dumps(result.execution_count)},[{outputs}],{json.dumps(name)}]"

    def show(self, kind: str, **content: Any) -> None:
        """Keep an output if there is room for it."""
        output = json.dumps({"output_type": kind, **content}, ensure_ascii=False, default=str)
        self.room -= max(_file_bytes(output), _LEAST_OUTPUT_BYTES)
        if self.room >= 0 or kind == "error":
            self._outputs.append(output)

    def ask_exit(self) -> NoReturn:
        """End the cell as `sys.exit` does: `exit` of IPython calls this."""
        raise SystemExit

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        """Keep an exception; IPython has subclasses do so here."""
        self._error = etype.__name__
        value, *lines = (text[:_ERROR_CHARACTERS] for text in (str(evalue), *stb[-_ERROR_LINES:]))
        self.show("error", ename=etype.__name__, evalue=value, traceback=lines)


def _file_bytes(text: str) -> int:
    """Return the number of bytes that JSON takes in the notebook's file."""
    return len(text.encode("utf-8", "surrogatepass"))


def make_shell() -> CellShell:
    """Return the one shell of this process, which prints into it and writes no history."""
    config = Config()
    config.HistoryManager.enabled = False
    shell: CellShell = CellShell.instance(config=config)
    shell.room = 0
    shell.notebook_room = _MAX_NOTEBOOK_BYTES
    shell.history_manager.outputs = _NoOutputs()
    shell.streams = {"stdout": _OutputStream(shell), "stderr": _OutputStream(shell)}
    sys.stdout, sys.stderr = shell.streams.values()
    return shell
