"""
The vendor, as a value: the company with which a connector registers its app.

Higher layers use only this value, so that they name no vendor.
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
    """A provider with which the app is registered."""

    has_sandbox: ClassVar[bool] = False
    """Whether the sandbox imitates it. No field: it must not change a procedure's digest."""

    client_id: Input
    """The input for the app's id, under the vendor's label; Cyclr calls it Client ID."""

    client_secret: Input
    """The input for the app's secret, under the vendor's label; Cyclr calls it Client Secret."""

    oauth: Callable[[Mapping[str, Value]], AuthorizationServer]
    """A run's values → the vendor's authorization server at the addresses in them."""

    scope: str = ""
    """Name of the input with the scopes that people are asked for; empty without one."""

    scope_warnings: Callable[[CheckContext, Sequence[str]], tuple[str, ...]] = _no_warnings
    """The scopes that Cyclr asks for → sentences about wrong ones; empty if all are right."""

    known_errors: tuple[KnownError, ...] = ()
    """The errors that people meet at sign-in."""

    search_words: SearchWords = NO_WORDS
    """The vocabulary to search all known errors."""

    review_kit: Callable[[str, Mapping[str, Value]], Kit] | None = None
    """A connector's id and a run's values → the texts for the review; `None` without a review."""

    developer_tools: str = ""
    """The vendor's name for the tools that `Step.developer_tools` is about."""

    trace_field: str = ""
    """Field of an error response that holds the id of the response."""

    test_method: str = ""
    """Name of a read-only method of Cyclr's connector."""

    @property
    def subject(self) -> tuple[str, ...]:
        """The names of the inputs that a consent is about: the app, and its scopes if any."""
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
    raise SettingsError(
        f"The connector {procedure.id} does not say which company registers its app."
    )
