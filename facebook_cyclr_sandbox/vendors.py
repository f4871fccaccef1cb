"""
The vendors of this sandbox, by name.

Facebook's state is the world that scenarios start from (`base_world`); another's is
in `World.vendors`, by its name.
"""

from collections.abc import Mapping

from facebook_cyclr_sandbox.facebook_web.dashboard import FacebookSite
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.site import GraphSite
from facebook_cyclr_sandbox.graph.tokens import exchange
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.state.world import World
from facebook_cyclr_sandbox.vendor import RefusedExchangeError, SandboxVendor


def _exchange_at_graph(world: World, params: Mapping[str, str]) -> Mapping[str, object]:
    try:
        return exchange(world, params)
    except GraphError as error:
        shown = translate(error, world.facebook.locale)
        raise RefusedExchangeError(error.refusal.type, shown.message) from error


FACEBOOK = SandboxVendor(
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
VENDORS: dict[str, SandboxVendor] = {FACEBOOK.name: FACEBOOK}
