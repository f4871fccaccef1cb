"""
The companies with which connectors register their apps: each brings its sites and its sign-in.

Facebook's state is the world that scenarios start from (`base_world`); another's is
in `World.vendors`, by its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbook_lib.sandbox.facebook_web.dashboard import FacebookSite
from runbook_lib.sandbox.graph.refusals import GraphError
from runbook_lib.sandbox.graph.site import GraphSite
from runbook_lib.sandbox.graph.tokens import exchange
from runbook_lib.sandbox.http.web import Site
from runbook_lib.sandbox.state.world import World


class RefusedExchangeError(Exception):
    """A token endpoint refused a code: `error` is its word, `description` says why."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


def _nothing(_world: World) -> None:
    pass


@dataclass(frozen=True)
class Vendor:
    """
    One company, by the name that a connector of Cyclr's library has as its `vendor`.

    Each of `sites` gets a port: `World.addresses` has where. `sign_in_page` returns the
    address of its authorization endpoint, `exchange` answers its token endpoint or raises
    `RefusedExchangeError`. `settings` are the values of its inputs in the runbook, by
    their names. `build` adds to a world what it has in that world's scenario; its
    randomness is `World.dice.of` its name, so no other one's app changes.
    """

    name: str
    sites: Mapping[str, Callable[[World], Site]]
    sign_in_page: Callable[[World], str]
    exchange: Callable[[World, Mapping[str, str]], Mapping[str, object]]
    settings: Callable[[World], Mapping[str, str]]
    build: Callable[[World], None] = _nothing


def _exchange_at_graph(world: World, params: Mapping[str, str]) -> Mapping[str, object]:
    try:
        return exchange(world, params)
    except GraphError as error:
        raise RefusedExchangeError(error.refusal.type, error.message) from error


FACEBOOK = Vendor(
    name="facebook",
    sites={"graph": GraphSite, "facebook": FacebookSite},
    sign_in_page=lambda world: world.addresses.dialog,
    exchange=_exchange_at_graph,
    settings=lambda world: {
        "graph_url": world.addresses.graph,
        "dialog_url": world.addresses.dialog,
        "dashboard_url": world.addresses.facebook,
    },
)
# Facebook first: the others are added to the world that it begins.
VENDORS: dict[str, Vendor] = {FACEBOOK.name: FACEBOOK}
