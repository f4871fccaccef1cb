"""
The vendors of this sandbox, by name.

`default_state` makes Facebook's state. Another vendor's is in `SandboxState.vendors`, by its name.
An installed package brings a vendor by an entry point in the group `runbook_sandbox_vendors`.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points

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


def find_vendor(name: str) -> SandboxVendor | None:
    """
    Return the vendor called `name`; `None` if the sandbox does not imitate it.

    The vendor of an installed package is loaded here, once. Raises what its code raises, and
    TypeError if it is no vendor of that name.
    """
    if name in VENDORS:
        return VENDORS[name]
    for entry in entry_points(group="runbook_sandbox_vendors", name=name):
        vendor = entry.load()
        if not isinstance(vendor, SandboxVendor) or vendor.name != name:
            raise TypeError(f"{entry.value} is no SandboxVendor called {name!r}")
        VENDORS[name] = vendor
        return vendor
    return None
