"""A cell's output: renderings by MIME type, and the step that one shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.evidence.reports.step_table import StepLine


@dataclass(frozen=True)
class MimeBundle:
    """Something to display: its renderings by MIME type."""

    bundle: Mapping[str, Any]

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return dict(self.bundle)


@dataclass(frozen=True, repr=False)
class ShownStep(MimeBundle):
    """The result of `run.step`: the step as its cell shows it, and its line."""

    line: StepLine

    @property
    def outcome(self) -> str:
        """The outcome, as a record has it."""
        return self.line.outcome

    @property
    def reason(self) -> str:
        """The reason for the outcome."""
        return self.line.reason

    @property
    def checked_on(self) -> str:
        """The time of the check in UTC; empty without one."""
        return self.line.checked_on

    def __repr__(self) -> str:
        return str(self.line)
