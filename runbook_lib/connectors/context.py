"""
The input of a check: typed values, credentials, a recording session.

A check gets nothing else.
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
    The values and clients that one check may use.

    The session caches responses, so each token is issued once a snapshot.
    """

    values: Mapping[str, Value]
    """The run's values, by the names of their inputs."""

    secrets: Mapping[str, Secret]
    """The run's credentials, by the names of their inputs."""

    session: Session
    """The session that sends and records the check's requests."""

    now: datetime
    """The run's clock reading, in UTC."""

    answers: frozenset[str] = frozenset()
    """Names of the answers (`AnswerOption.name`) that people gave instead of a step's sentence."""

    announce_change: Callable[[str], None] = lambda _: None
    """Writes a sentence to the journal; call it before the check changes a remote system."""

    random_hex: Callable[[int], str] = randomness.token_hex
    """A number of bytes → random hexadecimal digits, for the made-up part of a control."""

    def text(self, name: str) -> str:
        """Return the value of a text input; empty if it is unknown."""
        return str(self.values.get(name, ""))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the value of an input that is a list of names."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()

    def made_up(self, what: str, size: int) -> str:
        """
        Return random hexadecimal digits, the same for `what` in the whole snapshot.

        So several checks share one control's request. `size` is a number of bytes.
        """
        return self.session.cache.get_or_fetch(("made up", what), lambda: self.random_hex(size))

    def side_by_side(self, ask: Callable[[CheckContext, T], R], items: Sequence[T]) -> list[R]:
        """Call `ask` for each of `items` in its own thread; return the results in their order."""
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
