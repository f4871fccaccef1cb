"""
A company with which connectors register their apps: its sites, its sign-in, its state.

Which there are is in `vendors`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facebook_cyclr_sandbox.http.web import Site
from facebook_cyclr_sandbox.state.world import World


class RefusedExchangeError(Exception):
    """A token endpoint refused a code: `error` is its word, `description` says why."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


@dataclass(frozen=True)
class SandboxVendor:
    """
    One company, by the name that a connector of Cyclr's library has as its `vendor`.

    Each of `sites` gets a port: `World.addresses` has where. `sign_in_page` returns the
    address of its authorization endpoint, `exchange` answers its token endpoint or raises
    `RefusedExchangeError`. `settings` are the values of its inputs in the runbook, by
    their names. `build` adds to a world what it has in that world's scenario; its
    randomness is `World.dice.of` its name, so no other one's app changes.

    It imitates `approved`, and each scenario in which `build` makes another state of it. `also`
    are those that show elsewhere, such as in Cyclr. No other one can be practised.
    """

    name: str
    sites: Mapping[str, Callable[[World], Site]]
    sign_in_page: Callable[[World], str]
    exchange: Callable[[World, Mapping[str, str]], Mapping[str, object]]
    settings: Callable[[World], Mapping[str, str]]
    build: Callable[[World], None] = lambda _world: None
    also: tuple[str, ...] = ()
