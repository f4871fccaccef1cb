"""
The Cyclr API's installed connectors: install, authenticate, properties, methods (cyclr §3).
"""

from typing import Any

from runbook_lib.sandbox.cyclr.api import ApiCall, Handler, find_connectors, paged
from runbook_lib.sandbox.cyclr.methods import find_method, run_method
from runbook_lib.sandbox.cyclr.shapes import (
    CyclrError,
    account_connector_shape,
    json_reply,
    property_shape,
)
from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.cyclr_world import AccountConnector, LibraryConnector, Property
from runbook_lib.sandbox.state.world import World

__all__ = ["install", "installed_router"]

_MOST_INSTALLED = 2_000
_MOST_PROPERTIES = 100

installed_router: Router[Handler] = Router()


# --- installing ------------------------------------------------------------------------------
@installed_router.route("POST", "/v1.0/connectors/{which}/install")
@verbatim("cyclr §3", "install: 200 AccountConnector; Messages for drafts and properties", "docs")
@unknown("cyclr §3", "install with no or a null body: 400 (a disabled test notes 500)")
@verbatim("cyclr §3", "install: `Account connector name … is in use.` (status unseen)", "client")
def install_connector(call: ApiCall, which: str, version: str = "") -> Reply:
    """Install a connector of the library in the account."""
    account = call.in_account
    connector = _of_library(call, which, version)
    document = call.document()
    if not call.request.body.strip():
        raise CyclrError(400, "The request is invalid.")
    if connector.status == "Draft":
        raise CyclrError(400, f"Connector {connector.id} is a draft and cannot be installed.")
    properties = _properties(call.world, connector, document.get("Properties"))
    name = document.get("Name")
    name = name if isinstance(name, str) and name else connector.name
    if any(one.name == name for one in _installed_in(call.world, account.id)):
        raise CyclrError(400, f"Account connector name {name} is in use.")
    installed = install(call.world, account.id, connector, name)
    installed.description = _text(document.get("Description"))
    installed.properties = {one.id: one for one in properties}
    _set_auth_value(installed, document.get("AuthValue"))
    return _shown(call, installed)


@installed_router.route("POST", "/v1.0/connectors/{which}/{version}/install")
def install_connector_version(call: ApiCall, which: str, version: str) -> Reply:
    """Install one version of a connector."""
    return install_connector(call, which, version)


def install(
    world: World, account_id: str, connector: LibraryConnector, name: str
) -> AccountConnector:
    """Put a connector of the library into an account, not yet authenticated."""
    cyclr = world.cyclr
    if len(cyclr.account_connectors) >= _MOST_INSTALLED:
        raise CyclrError(400, "The sandbox holds as many connectors as it can.")
    installed = AccountConnector(cyclr.new_id(), account_id, connector.id, name)
    cyclr.account_connectors[installed.id] = installed
    for cycle in cyclr.cycles.values():
        if cycle.account_id == account_id and not cycle.account_connector_ids:
            cycle.account_connector_ids.append(installed.id)
    return installed


def _of_library(call: ApiCall, which: str, version: str) -> LibraryConnector:
    if which.isdecimal() and len(which) < 10:
        connector = call.world.cyclr.library.get(int(which))
    else:
        connector = next(iter(find_connectors(call.world, which, version)), None)
    if connector is None:
        raise CyclrError(404, "Connector not found.")
    return connector


@verbatim("cyclr §3", "an undeclared property at install: There is not a connector property …")
@verbatim("cyclr §3", "another parameter: 'X' is not an account connector property.")
def _properties(world: World, connector: LibraryConnector, given: Any) -> list[Property]:
    """Return the properties given at install; they must be declared as such."""
    declared = {one.target_name: one for one in connector.parameters}
    properties = []
    for one in given if isinstance(given, list) else ():
        name = str(one.get("Name")) if isinstance(one, dict) else str(one)
        if name not in declared:
            raise CyclrError(400, f"There is not a connector property that matches name '{name}'.")
        if not declared[name].is_property:
            message = f"Connector property name '{name}' is not an account connector property."
            raise CyclrError(400, message)
        value = str(one.get("Value", "")) if isinstance(one, dict) else ""
        properties.append(Property(world.cyclr.new_id(), name, value))
    return properties


def _installed_in(world: World, account_id: str) -> list[AccountConnector]:
    return [one for one in world.cyclr.account_connectors.values() if one.account_id == account_id]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@inferred("cyclr §4", "an AuthValue set by API authenticates at once, `{}` does not", "cyclr/docs")
def _set_auth_value(installed: AccountConnector, value: object) -> None:
    if isinstance(value, str) and value:
        installed.auth_value = value
        installed.authenticated = installed.authenticated or value != "{}"


# --- installed connectors --------------------------------------------------------------------
def _find(call: ApiCall, number: str) -> AccountConnector:
    account = call.in_account
    installed = None
    if number.isdecimal() and len(number) < 10:
        installed = call.world.cyclr.account_connectors.get(int(number))
    if installed is None or installed.account_id != account.id:
        raise CyclrError(404, "Account connector not found.")
    return installed


def _shown(call: ApiCall, installed: AccountConnector) -> Reply:
    return json_reply(_shape(call.world, installed))


def _shape(world: World, installed: AccountConnector) -> dict[str, Any]:
    return account_connector_shape(installed, world.cyclr.library[installed.connector_id])


@installed_router.route("GET", "/v1.0/account/connectors")
def list_installed(call: ApiCall) -> Reply:
    """List the connectors that are installed in the account."""
    found = _installed_in(call.world, call.in_account.id)
    return paged(call, found, lambda one: _shape(call.world, one))


@installed_router.route("GET", "/v1.0/account/connectors/{number}")
@verbatim("cyclr §3", "an unknown account connector: 404 (its Message is unknown)", "test suite")
def show_installed(call: ApiCall, number: str) -> Reply:
    """Show an installed connector."""
    return _shown(call, _find(call, number))


@installed_router.route("PUT", "/v1.0/account/connectors/{number}")
def change_installed(call: ApiCall, number: str) -> Reply:
    """Set an installed connector's AuthValue or description."""
    installed = _find(call, number)
    document = call.document()
    installed.description = _text(document.get("Description")) or installed.description
    installed.name = _text(document.get("Name")) or installed.name
    _set_auth_value(installed, document.get("AuthValue"))
    return _shown(call, installed)


@installed_router.route("PUT", "/v1.0/account/connectors/{number}/deauthenticate")
@verbatim("cyclr §3", "Connector 'X' successfully de-authenticated.", "test suite")
def deauthenticate(call: ApiCall, number: str) -> Reply:
    """Forget what the OAuth flow gave."""
    installed = _find(call, number)
    installed.authenticated = False
    installed.access_token = ""
    installed.auth_value = None
    return json_reply({"Message": f"Connector '{installed.name}' successfully de-authenticated."})


@installed_router.route("DELETE", "/v1.0/account/connectors/{number}")
def delete_installed(call: ApiCall, number: str) -> Reply:
    """Remove an installed connector."""
    installed = _find(call, number)
    del call.world.cyclr.account_connectors[installed.id]
    for cycle in call.world.cyclr.cycles.values():
        if installed.id in cycle.account_connector_ids:
            cycle.account_connector_ids.remove(installed.id)
    return json_reply(None)


# --- properties ------------------------------------------------------------------------------
@installed_router.route("GET", "/v1.0/account/connectors/{number}/properties")
def list_properties(call: ApiCall, number: str) -> Reply:
    """List the properties of an installed connector."""
    installed = _find(call, number)
    return json_reply([property_shape(one, installed.id) for one in installed.properties.values()])


@installed_router.route("POST", "/v1.0/account/connectors/{number}/properties")
@verbatim("cyclr §3", "POST properties accepts a name that is not declared", "test suite")
@inferred("cyclr §3", "posting a name that exists replaces its value")
def add_property(call: ApiCall, number: str) -> Reply:
    """Add a property to an installed connector."""
    installed = _find(call, number)
    name, value = _name_and_value(call)
    for one in installed.properties.values():
        if one.name == name:
            one.value = value
            return json_reply(property_shape(one, installed.id))
    if len(installed.properties) >= _MOST_PROPERTIES:
        raise CyclrError(400, "The sandbox holds as many properties as it can.")
    new = Property(call.world.cyclr.new_id(), name, value)
    installed.properties[new.id] = new
    return json_reply(property_shape(new, installed.id))


@unknown("cyclr §3", "a property without a Name: 400, this Message")
def _name_and_value(call: ApiCall) -> tuple[str, str]:
    document = call.document()
    name, value = document.get("Name"), document.get("Value")
    if not isinstance(name, str) or not name:
        raise CyclrError(400, "Name is required")
    return name, "" if value is None else str(value)


def _property(installed: AccountConnector, key: str) -> Property:
    found = None
    if key.isdecimal() and len(key) < 10:
        found = installed.properties.get(int(key))
    if found is None:
        raise CyclrError(404, "Property not found.")
    return found


@installed_router.route("GET", "/v1.0/account/connectors/{number}/properties/{key}")
def show_property(call: ApiCall, number: str, key: str) -> Reply:
    """Show one property."""
    installed = _find(call, number)
    return json_reply(property_shape(_property(installed, key), installed.id))


@installed_router.route("PUT", "/v1.0/account/connectors/{number}/properties/{key}")
def change_property(call: ApiCall, number: str, key: str) -> Reply:
    """Change one property."""
    installed = _find(call, number)
    one = _property(installed, key)
    one.name, one.value = _name_and_value(call)
    return json_reply(property_shape(one, installed.id))


@installed_router.route("DELETE", "/v1.0/account/connectors/{number}/properties/{key}")
def delete_property(call: ApiCall, number: str, key: str) -> Reply:
    """Remove one property."""
    installed = _find(call, number)
    del installed.properties[_property(installed, key).id]
    return json_reply(None)


# --- methods, cycles -------------------------------------------------------------------------
@installed_router.route("GET POST", "/v1.0/account/connectors/{number}/methods/{unique_id}")
@installed_router.route("GET POST", "/v1.0/account/connectors/{number}/test/{unique_id}")
@verbatim("cyclr §3", "403 Unknown client IP Address on /methods and /test", "IP restriction page")
def call_method(call: ApiCall, number: str, unique_id: str) -> Reply:
    """Run a method of an installed connector."""
    if call.world.cyclr.address_is_blocked:
        raise CyclrError(
            403,
            "Unknown client IP Address: contact support to request access for this IP address",
        )
    installed = _find(call, number)
    method = find_method(call.world.cyclr.library[installed.connector_id], unique_id)
    return run_method(call.world, installed, method, call.document())


@installed_router.route("GET", "/v1.0/cycles/{cycle_id}/prerequisites")
@verbatim("cyclr §3", "prerequisites: ReasonCode 20, Unauthenticated connector", "cyclr/docs")
@unknown("cyclr §3", "an unknown cycle: 404, this Message")
def list_prerequisites(call: ApiCall, cycle_id: str) -> Reply:
    """List what keeps a cycle from starting."""
    account = call.in_account
    cycle = call.world.cyclr.cycles.get(cycle_id)
    if cycle is None or cycle.account_id != account.id:
        raise CyclrError(404, "Cycle not found.")
    installed = call.world.cyclr.account_connectors
    return json_reply(
        [
            {
                "ReasonCode": 20,
                "Reason": "Unauthenticated connector",
                "ObjectType": "AccountConnector",
                "ObjectId": number,
            }
            for number in cycle.account_connector_ids
            if not installed[number].authenticated
        ]
    )
