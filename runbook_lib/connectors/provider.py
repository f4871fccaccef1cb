"""
The vendor, as a value: the company with which a connector registers its app.

All that layers above need of it is here, so that they name none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.known_errors import NO_WORDS, SearchWords
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, KnownError, Procedure, Provider
from runbook_lib.errors import SettingsError
from runbook_lib.remote.oauth import AuthorizationServer

if TYPE_CHECKING:
    from runbook_lib.connectors.review_kit import Kit


def _no_warnings(_context: CheckContext, _scope: Sequence[str]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor(Provider):
    """
    A provider with which the app is registered.

    `client_id` and `client_secret` are the app's credentials, as its pages call them;
    in Cyclr they are Client ID and Client Secret. `scope` names the input with what
    people are asked for, if there is one. `oauth` returns its authorization server at
    the addresses in a run's values.

    `scope_warnings` returns what is wrong with the scopes that Cyclr asks for,
    `known_errors` are the errors that people meet at sign-in, `search_words` the vocabulary to
    search all of them. `review_kit` returns the
    texts for its review of a connector, by the connector's id. `developer_tools` is what
    it calls the tools that `Step.developer_tools` is about, `trace_field` what it calls the id of
    an answer in its errors. `test_method` is a method of Cyclr's connector that only reads.
    """

    # Whether the sandbox imitates it. It is no field: a procedure's digest is of what it says.
    has_sandbox: ClassVar[bool] = False

    client_id: Input
    client_secret: Input
    oauth: Callable[[Mapping[str, Value]], AuthorizationServer]
    scope: str = ""
    scope_warnings: Callable[[CheckContext, Sequence[str]], tuple[str, ...]] = _no_warnings
    known_errors: tuple[KnownError, ...] = ()
    search_words: SearchWords = NO_WORDS
    review_kit: Callable[[str, Mapping[str, Value]], Kit] | None = None
    developer_tools: str = ""
    trace_field: str = ""
    test_method: str = ""

    @property
    def subject(self) -> tuple[str, ...]:
        """Return what a consent is about: the app, and the scopes if there are any."""
        return tuple(filter(None, (self.client_id.name, self.scope)))


class ImitatedVendor(Vendor):
    """A vendor that the sandbox imitates, so that its connectors can be practised."""

    __slots__ = ()
    has_sandbox: ClassVar[bool] = True


def vendor_of(procedure: Procedure) -> Vendor:
    """
    Return the vendor with which the connector's app is registered.

    Raises `SettingsError` for a procedure without one.
    """
    for provider in procedure.providers:
        if isinstance(provider, Vendor):
            return provider
    msg = f"The connector {procedure.id} does not say which company registers its app."
    raise SettingsError(msg)
