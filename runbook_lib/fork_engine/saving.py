"""
Save the notebook while it runs: at most once a second, and never half.

Papermill saves at the beginning and the end of every cell, which for long
notebooks costs more than running them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import nbformat
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb

_SECONDS_BETWEEN = 1.0


class SavingManager(NotebookExecutionManager):  # type: ignore[misc]
    """Papermill's account of a run, saved seldom: `save_if_due` catches up."""

    nb: Any

    def __init__(self, nb: Any, **keywords: Any) -> None:
        super().__init__(nb, **keywords)
        self._is_saved = False
        self._next_save = 0.0

    def save(self, **keywords: Any) -> None:
        """Save the notebook, or leave it for later if it was saved less than a second ago."""
        self.nb = keywords.get("nb") or self.nb
        self._is_saved = False
        self.save_if_due()

    def save_if_due(self) -> None:
        """Save the notebook if it has changed and a second has passed."""
        if not self._is_saved and time.monotonic() >= self._next_save:
            self.save_now()

    def end(self) -> None:
        """Finish the account, without saving it; a cell that never ran stays pending."""
        self.cleanup_pbar()
        self._next_save = float("inf")
        pending = [
            cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING
        ]
        self.notebook_complete()
        # NOTE: papermill calls them completed, where no cell has failed.
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING

    def save_now(self) -> None:
        """Save the notebook."""
        if self.output_path:
            _write(self.nb, self.output_path)
        self.last_save_time = self.now()
        self._is_saved = True
        self._next_save = time.monotonic() + _SECONDS_BETWEEN


def storable(nb: Any) -> Any:
    """
    Return a notebook, or a part of one, with surrogates as Python's escapes.

    No file can hold them, and no kernel compiles them; in a string the escape means the same.
    """
    try:
        json.dumps(nb, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return nbformat.from_dict(_escaped(nb))
    return nb


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _write(nb: Any, path: str) -> None:
    """Replace the notebook at `path` in one step, if it is a local file; else as papermill does."""
    handler = papermill_io.get_handler(path)
    if not isinstance(handler, LocalHandler):
        write_ipynb(nb, path)
        return
    # Papermill writes relative to where it was called, and runs the notebook elsewhere.
    handler.cwd(folder := handler.cwd(None))
    place = Path(os.path.realpath(Path(folder or "", path)))
    if place.exists() and not place.is_file():
        write_ipynb(nb, path)
        return
    beside = place.with_name(f".{place.stem}-{os.urandom(4).hex()}{place.suffix}")
    try:
        write_ipynb(nb, str(beside))
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
    except PermissionError:  # the folder takes no new file, but the old one may be writable
        write_ipynb(nb, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
