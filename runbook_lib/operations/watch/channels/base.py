"""The protocol of a channel, and the error of a message that was not accepted."""

from __future__ import annotations

from typing import Protocol

from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import RunbookError
from runbook_lib.operations.watch.watch_state import Digest


class NotSentError(RunbookError):
    """
    A message was not accepted.

    With `is_final` trying again soon does not help. With `is_silent` the server did not answer, and
    with `may_be_there` it may have taken the message.
    """

    code = "message-not-sent"
    next_step = "The watch retries, with growing waits. Try now: `runbook watch --notify-test`."

    def __init__(
        self,
        reason: str,
        *,
        is_final: bool = False,
        is_silent: bool = False,
        may_be_there: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.is_silent = is_silent
        self.may_be_there = may_be_there


class Channel(Protocol):
    """Sends messages; used where all of its `settings` are set."""

    name: str
    settings: tuple[str, ...]

    def address(self, run: Run, person: str) -> tuple[str, ...]:
        """
        Return the server, then the other values that identify the receiver of `person`'s step.
        """

    def send(self, run: Run, digest: Digest) -> None:
        """Send a digest; raises `NotSentError` unless it is accepted."""
