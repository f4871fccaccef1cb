"""What a channel is, and the one error that says why a message was not accepted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from runbook_lib.engine.run import Run
from runbook_lib.engine.watch.messages import Message
from runbook_lib.errors import RunbookError

# For a whole message.
MOST_SECONDS = 120.0


class NotSentError(RunbookError):
    """
    A message was not accepted.

    With `is_final` trying again soon does not help, and with `is_gone` never at this address. With
    `is_silent` the server did not answer, and with `may_be_there` it may have taken the message.
    """

    next_step = "It is sent again, with growing waits; `runbook watch --notify-test` tries it now."

    def __init__(
        self,
        reason: str,
        *,
        is_final: bool = False,
        is_silent: bool = False,
        may_be_there: bool = False,
        is_gone: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_final, self.is_silent = is_final, is_silent
        self.may_be_there, self.is_gone = may_be_there, is_gone


class Address(NamedTuple):
    """Through which `server` messages go, and to whom: their receivers are the same if both are."""

    server: str
    receiver: tuple[str, ...]


class Channel(Protocol):
    """A way to send messages, used where all of its `settings` are set."""

    name: str
    settings: tuple[str, ...]

    def address(self, run: Run, person: str) -> Address:
        """Return who gets a message about a step that `person` has, and through which server."""

    def send(self, run: Run, message: Message) -> None:
        """Send a message; raises `NotSentError` unless it is accepted."""


def in_time(act: Callable[[], None]) -> None:
    """
    Do what may hang, such as a name's look-up or a server that sends a byte now and then.

    Raises `NotSentError` after a time that no server needs; the thread, which cannot be stopped,
    is abandoned.
    """
    done: Future[None] = Future()

    def do() -> None:
        try:
            act()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001  (raised in the waiting thread)
            done.set_exception(error)

    thread = threading.Thread(target=do, name="message", daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    if thread.is_alive():
        msg = f"it was not accepted within {MOST_SECONDS:.0f} s"
        raise NotSentError(msg, is_silent=True, may_be_there=True)
    done.result()
