"""
A company with which connectors register their apps: its sites, its sign-in, its state.

`vendors` lists the companies that the sandbox imitates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState


class VendorTokenError(Exception):
    """The token endpoint refused a code (RFC 6749 §5.2: `error` and `error_description`)."""

    def __init__(self, error: str, error_description: str) -> None:
        super().__init__(error_description)
        self.error = error
        self.error_description = error_description


@dataclass(frozen=True)
class SandboxVendor:
    """
    One company that the sandbox imitates.

    People can practise `approved`, each scenario in which `add_state` makes another state, and
    `further_scenarios`.
    """

    name: str
    """The `vendor` of its connectors in Cyclr's library."""

    sites: Mapping[str, Callable[[SandboxState], Site]]
    """Site name → the function that makes it. Each gets a port: see `SandboxState.addresses`."""

    authorization_endpoint: Callable[[SandboxState], str]
    """Returns the URL of its authorization endpoint (RFC 6749 §3.1)."""

    token_endpoint: Callable[[SandboxState, Mapping[str, str]], Mapping[str, object]]
    """Responds to a token request, or raises `VendorTokenError` (RFC 6749 §3.2)."""

    settings: Callable[[SandboxState], Mapping[str, str]]
    """Returns the values of its inputs in the runbook, by input name."""

    add_state: Callable[[SandboxState], None] = lambda _state: None
    """
    Adds its state for the scenario.

    Its randomness is `random_source.derive` of its name, so that it changes no other vendor's app.
    """

    further_scenarios: tuple[str, ...] = ()
    """Scenarios that show elsewhere, such as in Cyclr, and leave its own state as it is."""
