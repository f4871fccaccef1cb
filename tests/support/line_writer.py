"""Makes journal lines that follow each other, without a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from runbook_lib.core.model import ModelStruct
from runbook_lib.run.events import TYPES
from runbook_lib.run.journal import GENESIS, Line, LineHead, digest_of, encode_event


@dataclass
class LineWriter:
    """Makes lines that follow each other, without a file."""

    lines: list[Line] = field(default_factory=list)

    def write(self, event: ModelStruct, at: str, run: str = "", step: str = "") -> int:
        """Add the line of an event, and return its number."""
        data = encode_event(event)
        head = LineHead(
            seq=len(self.lines) + 1,
            at=at,
            type=TYPES[type(event)],
            run=run,
            step=step,
            sha256=digest_of(data),
            prev=self.lines[-1].digest if self.lines else GENESIS,
        )
        self.lines.append(Line(head, data))
        return head.seq
