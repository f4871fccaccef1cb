"""
A company with which connectors register their apps: its sites, its sign-in, its state.

Which there are is in `vendors`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facebook_cyclr_sandbox.http.web import Site
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState


class RefusedExchangeError(Exception):
    """A token endpoint refused a code: `error` is its word, `description` says why."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


@dataclass(frozen=True)
class SandboxVendor:
    """
    One company, by the name that a connector of Cyclr's library has as its `vendor`.

    Each of `sites` gets a port: `SandboxState.addresses` has where. `sign_in_page` returns the
    address of its authorization endpoint, `exchange` answers its token endpoint or raises
    `RefusedExchangeError`. `settings` are the values of its inputs in the runbook, by
    their names. `build` adds to a state what it has in that scenario; its
    randomness is `SandboxState.random_source.derive` of its name, so no other one's app changes.

    It imitates `approved`, and each scenario in which `build` makes another state of it. `also`
    are those that show elsewhere, such as in Cyclr. No other one can be practised.
    """

    name: str
    sites: Mapping[str, Callable[[SandboxState], Site]]
    sign_in_page: Callable[[SandboxState], str]
    exchange: Callable[[SandboxState, Mapping[str, str]], Mapping[str, object]]
    settings: Callable[[SandboxState], Mapping[str, str]]
    build: Callable[[SandboxState], None] = lambda _state: None
    also: tuple[str, ...] = ()
