"""
What a check is given: typed values, credentials, a recording session, the run's tokens.

A check sees nothing else.
"""

from __future__ import annotations

import secrets as randomness
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runbook_lib.core.model import Value
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.cyclr import Cyclr, request_api_token
from runbook_lib.remote.transport import Session


class TokenShelf:
    """
    Tokens issued during one run, kept in memory only; each is asked for once.

    A refusal is not kept: the next check may follow a correction, or a fault of
    the provider's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, Secret] = {}

    def get(self, name: str, issue: Callable[[], Secret]) -> Secret:
        """Return the token called `name`; the first caller has it issued, or raises."""
        with self._lock:
            if name not in self._tokens:
                self._tokens[name] = issue()
            return self._tokens[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """
    What one check may use.

    `now` is the run's clock reading; `announce_change` writes to the journal
    before a remote system is altered. `random_hex` takes a number of bytes:
    a control must ask about something that does not exist.
    """

    values: Mapping[str, Value]
    secrets: Mapping[str, Secret]
    session: Session
    now: datetime
    tokens: TokenShelf = field(default_factory=TokenShelf)
    announce_change: Callable[[str], None] = lambda _: None
    random_hex: Callable[[int], str] = randomness.token_hex

    def text(self, name: str) -> str:
        """Return the value of a text input, empty where it is not known."""
        return str(self.values.get(name, ""))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the value of an input that is a list of names."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()

    def cyclr(self, account: str = "") -> Cyclr:
        """
        Return the Cyclr client of `account`, or else of the account that is tested in.

        Raises `CyclrAPIError` where Cyclr refuses its API credentials.
        """
        token = self.tokens.get(
            f"cyclr {self.text('cyclr_client_id')}",
            lambda: request_api_token(
                self.session,
                self.text("cyclr_api_url"),
                client_id=self.text("cyclr_client_id"),
                client_secret=self.secrets["cyclr_client_secret"],
            ),
        )
        return Cyclr(
            self.session,
            base_url=self.text("cyclr_api_url"),
            token=token,
            client_id=self.text("cyclr_client_id"),
            account=account or self.text("account_api_id"),
        )
