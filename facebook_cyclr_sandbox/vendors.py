"""
The vendors of this sandbox, by name.

`default_state` makes Facebook's state. Another vendor's is in `SandboxState.vendors`, by its name.
"""

from collections.abc import Mapping

from facebook_cyclr_sandbox.facebook_web.dashboard import FacebookSite
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.graph_site import GraphSite
from facebook_cyclr_sandbox.graph.tokens import handle_token_request
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.vendor import SandboxVendor, VendorTokenError


def _exchange_at_graph(state: SandboxState, params: Mapping[str, str]) -> Mapping[str, object]:
    try:
        return handle_token_request(state, params)
    except GraphError as error:
        shown = translate(error, state.facebook.locale)
        raise VendorTokenError(error.definition.type, shown.message) from error


FACEBOOK = SandboxVendor(
    name="facebook",
    sites={"graph": GraphSite, "facebook": FacebookSite},
    authorization_endpoint=lambda state: state.addresses.dialog,
    token_endpoint=_exchange_at_graph,
    settings=lambda state: {
        "graph_url": state.addresses.graph,
        "dialog_url": state.addresses.dialog,
        "dashboard_url": state.addresses.facebook,
    },
)
# Facebook first: the others are added to the state that it begins.
VENDORS: dict[str, SandboxVendor] = {FACEBOOK.name: FACEBOOK}
