"""
What a check is given: typed values, credentials, a recording session.

A check sees nothing else.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from runbook_lib.core.model import Value
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.cyclr import Cyclr, request_api_token
from runbook_lib.remote.threads import run_in_thread

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """
    What one check may use.

    `now` is the run's clock reading, `answers` are the names of the answers that people confirmed
    instead of a step's sentence (`Confirmation.name`). `announce_change` writes to the journal
    before a remote system is altered. `random_hex` takes a number of bytes:
    a control must ask about something that does not exist. Each token is issued once a snapshot,
    since the session caches the response.
    """

    values: Mapping[str, Value]
    secrets: Mapping[str, Secret]
    session: Session
    now: datetime
    answers: frozenset[str] = frozenset()
    announce_change: Callable[[str], None] = lambda _: None
    random_hex: Callable[[int], str] = randomness.token_hex

    def text(self, name: str) -> str:
        """Return the value of a text input, empty where it is not known."""
        return str(self.values.get(name, ""))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the value of an input that is a list of names."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()

    def made_up(self, what: str, size: int) -> str:
        """
        Return what `random_hex` does, one text for `what` in the whole snapshot.

        A control that several checks need is one request then.
        """
        return self.session.cache.get_or_fetch(("made up", what), lambda: self.random_hex(size))

    def side_by_side(self, ask: Callable[[CheckContext, T], R], items: Sequence[T]) -> list[R]:
        """Return what `ask` returns for each of `items`, each with a context for its own thread."""
        branches = [replace(self, session=self.session.branch()) for _ in items]
        running = [
            run_in_thread(partial(ask, branch, item), "ask")
            for branch, item in zip(branches, items, strict=True)
        ]
        wait(running)
        return [future.result() for future in running]

    def cyclr(self, account: str = "", *, once_more: bool = False) -> Cyclr:
        """
        Return the Cyclr client of `account`, or else of the account that is tested in.

        `once_more=True` bypasses the cache once, with the same token. Raises `CyclrAPIError`
        if Cyclr refuses its API credentials.
        """
        token = request_api_token(
            self.session,
            self.text("cyclr_api_url"),
            client_id=self.text("cyclr_client_id"),
            client_secret=self.secrets["cyclr_client_secret"],
        )
        return Cyclr(
            self.session.branch(once_more=True) if once_more else self.session,
            base_url=self.text("cyclr_api_url"),
            token=token,
            client_id=self.text("cyclr_client_id"),
            account=account or self.text("account_api_id"),
        )
