"""
Running a connector's method: Cyclr calls Facebook with the token that it holds.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from runbook_lib.sandbox.cyclr.shapes import CyclrError
from runbook_lib.sandbox.graph.front import answer_graph
from runbook_lib.sandbox.http.web import Reply
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.cyclr_world import AccountConnector, LibraryConnector, Method
from runbook_lib.sandbox.state.world import World

__all__ = ["find_method", "run_method"]


@verbatim("cyclr §3", "a malformed method GUID: 400; an unknown one: 404", "test suite")
def find_method(connector: LibraryConnector, unique_id: str) -> Method:
    """Return the method with this MethodUniqueIdentifier."""
    try:
        wanted = str(uuid.UUID(unique_id))
    except ValueError:
        raise CyclrError(400, "The method unique identifier is not valid.") from None
    for method in connector.methods:
        if method.unique_id == wanted:
            return method
    raise CyclrError(404, "Method not found.")


@verbatim("cyclr §3", "/methods gives 200 with the provider's body", "cyclr/docs")
@unknown("cyclr §3", "a method of a connector that is not authenticated: 400, this Message")
@unknown("cyclr §3", "a provider's error: 400, its message as Message")
@unknown("cyclr §3", "/test gives the same answer as /methods")
def run_method(
    world: World, installed: AccountConnector, method: Method, document: object
) -> Reply:
    """Call Facebook for an installed connector and return what it answers."""
    if not installed.authenticated or not installed.access_token:
        raise CyclrError(400, "Failed to authenticate the connector")
    values = _parameters(method, document)
    path = method.path
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    token = installed.access_token
    if "{page_id}" in method.path:
        token = _page_token(world, token, values["page_id"])
    reply = answer_graph(world, "GET", f"/v26.0/{path}", {"access_token": token})
    if reply.status != 200:
        raise CyclrError(400, json.loads(reply.body)["error"]["message"])
    return Reply(200, reply.body, (("Content-Type", "application/json; charset=utf-8"),))


@inferred("cyclr §3", "a page's method uses the page token behind the user token")
def _page_token(world: World, token: str, page_id: str) -> str:
    params = {"access_token": token, "fields": "access_token"}
    reply = answer_graph(world, "GET", f"/v26.0/{page_id}", params)
    found = json.loads(reply.body).get("access_token")
    return found if isinstance(found, str) else token


@verbatim("cyclr §3", "a wrong parameter: 400 (its Message is unknown)", "test suite")
def _parameters(method: Method, document: object) -> dict[str, str]:
    given: Mapping[str, Any] = {}
    if isinstance(document, dict) and isinstance(document.get("Parameters"), dict):
        given = document["Parameters"]
    known = {str(number): name for number, name in method.parameters}
    for key in given:
        if key not in known:
            raise CyclrError(400, f"Parameter {key} is not a parameter of this method.")
    values = {known[key]: str(value) for key, value in given.items()}
    for name in known.values():
        value = values.get(name, "")
        if not value.isascii() or not value.isalnum():
            raise CyclrError(400, f"Parameter {name} is required.")
    return values
