"""Cells as a kernel runs them: what they display, and what replaces it later."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class _Shell(InteractiveShell):
    """A shell that knows the request of its cell, as a kernel's does."""

    request: dict[str, Any]

    def get_parent(self) -> dict[str, Any]:
        """Return the message that asked for the cell."""
        return {"content": self.request}


class Cell:
    """Displays results in a shell, and tells what is on the page."""

    def __init__(self, shell: _Shell) -> None:
        self._shell = shell
        self.allow_answers(is_allowed=True)
        self._published = shell.display_pub = CapturingDisplayPublisher()

    @classmethod
    @contextmanager
    def in_new_shell(cls) -> Iterator[Self]:
        """Yield cells of a shell that is this process's until the end."""
        main = sys.modules["__main__"]
        config = Config()
        config.HistoryManager.enabled = False
        shell = _Shell.instance(config=config)
        yield cls(shell)
        _Shell.clear_instance()
        sys.modules["__main__"] = main

    def allow_answers(self, *, is_allowed: bool) -> None:
        """Say whether a person can answer who executes the cells."""
        self._shell.request = {"allow_stdin": is_allowed}

    def show(self, result: Any) -> Any:
        """Display the result of a cell, and return what the page shows of it."""
        self._shell.display_formatter.format(result)
        return result._content

    @property
    def bundles(self) -> list[dict[str, Any]]:
        """The data of each output, in the order of the cells."""
        shown: dict[str, dict[str, Any]] = {}
        for output in self._published.outputs:
            name = output["transient"]["display_id"]
            assert (name in shown) == output.get("update", False)
            shown[name] = output["data"]
        return list(shown.values())
