"""Plainmail in the sandbox: its token endpoint, an app, and its connector in Cyclr's library."""

from __future__ import annotations

from collections.abc import Mapping

from facebook_cyclr_sandbox.cyclr.cyclr_json import json_response
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse
from facebook_cyclr_sandbox.state.cyclr_state import AccountConnector, LibraryConnector
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.vendor import SandboxVendor

NAME = "plainmail"


class PlainmailSite(Site):
    """Plainmail's login: only its token endpoint is asked, its sign-in page never."""

    name = NAME

    def __call__(self, request: WebRequest) -> WebResponse:
        """Refuse the pair, or else the code (RFC 6749 §5.2)."""
        if request.path != "/oauth2/token":
            return json_response({"error": "invalid_request"}, 404)
        app = self._state.vendors[NAME]
        assert isinstance(app, dict)
        known = {"client_id": app["app_id"], "client_secret": app["secret"]}
        is_known = known.items() <= request.form.items()
        error = "invalid_grant" if is_known else "invalid_client"
        return json_response({"error": error}, 400 if is_known else 401)


def add_state(state: SandboxState) -> None:
    """Register an app, and install its connector in the account; not in `fresh`."""
    random_source = state.random_source.derive(NAME)
    app = {"app_id": random_source.digits(12), "secret": random_source.hexadecimal(50)}
    given = random_source.hexadecimal(50) if state.scenario == "wrong-secret" else app["secret"]
    state.vendors[NAME] = {**app, "given": given}
    connector = LibraryConnector(
        20_000, "Plainmail", "", "Marketing", "OAuth2", random_source.guid(), vendor=NAME
    )
    connector.client_id = app["app_id"]
    connector.client_secret = app["secret"]
    state.cyclr.library[connector.id] = connector
    if state.scenario == "fresh":
        return
    account = next(iter(state.cyclr.accounts))
    installed = AccountConnector(state.cyclr.new_id(), account, connector.id, connector.name)
    installed.is_authenticated = True
    state.cyclr.account_connectors[installed.id] = installed


def settings(state: SandboxState) -> Mapping[str, str]:
    """Return the values that an operator was given by Plainmail."""
    app = state.vendors[NAME]
    assert isinstance(app, dict)
    login_url = state.addresses.vendor_sites[NAME]
    return {"login_url": login_url, "app_id": app["app_id"], "app_secret": app["given"]}


VENDOR = SandboxVendor(
    name=NAME,
    sites={NAME: PlainmailSite},
    authorization_endpoint=lambda state: f"{state.addresses.vendor_sites[NAME]}/oauth2/authorize",
    token_endpoint=lambda _state, _params: {},
    settings=settings,
    add_state=add_state,
)
