"""
The ticks of *Before you begin*: the items that a person has at hand before the first step.

They are no evidence, so they are not in the journal: a small file beside it keeps them,
whichever browser comes back. No run reads that file, and no bundle has it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.core.files import read_plain, write_whole

_FILE_NAME = "checklist.json"
_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Checklist:
    """The `ticked` texts, and whether a person went on from there to the steps."""

    ticked: frozenset[str] = frozenset()
    has_begun: bool = False


NOTHING_TICKED = Checklist()


class ChecklistFile:
    """The checklist of one tenant: `folder` is its journal's, `texts` are the items."""

    def __init__(self, folder: Path, texts: Collection[str]) -> None:
        self._path = folder / _FILE_NAME
        self._texts = frozenset(texts)
        self._changing = threading.Lock()

    def read(self) -> Checklist:
        """Return the ticks; none if there is no such file, or it cannot be read."""
        try:
            document = json.loads(read_plain(self._path, _MAX_BYTES))
            ticked = frozenset(map(str, document["ticked"]))
            return Checklist(ticked & self._texts, document["has_begun"] is True)
        except (OSError, ValueError, LookupError, TypeError):
            return NOTHING_TICKED

    def tick(self, text: str, *, is_ticked: bool) -> None:
        """Save or remove the tick of one text; raises `OSError`."""
        with self._changing:
            known = self.read()
            ticked = known.ticked | {text} if is_ticked else known.ticked - {text}
            self._write(Checklist(ticked & self._texts, known.has_begun))

    def begin(self) -> None:
        """Note that a person goes on to the steps; raises `OSError`."""
        with self._changing:
            self._write(Checklist(self.read().ticked, has_begun=True))

    def _write(self, checklist: Checklist) -> None:
        document = {"ticked": sorted(checklist.ticked), "has_begun": checklist.has_begun}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(document).encode(), is_durable=False)
