"""
`/_sandbox/…`, on every site: what the sandbox says about itself, and how tests drive it.

* `GET /_sandbox/description`: what `runbook sandbox --json` printed
* `GET /_sandbox/state`: the whole world as JSON, secrets included: they are all invented
* `GET`, `POST`, `DELETE /_sandbox/faults`: the faults in force; POST replaces them by
  `{"faults": [{"kind": "server-error", "share": 0.5, "remaining": 3, "site": "graph"}, …]}`
  (kinds: `faults.FaultKind`), and `{"dialog_error": ["1349220", "message"]}` makes the
  OAuth dialog fail
* `GET`, `POST /_sandbox/time`: the world's time; `{"advance": seconds}` moves it forward,
  `{"offset": seconds}` sets its distance from the real one
* `POST /_sandbox/review`: `{"outcome": "approved"}` or `{"outcome": "declined", "reason": "…"}`
  decides every pending review, or the one of `app_id`; `{"permissions": {"ads_read":
  "declined", …}}` gives single permissions another outcome
* `POST /_sandbox/customers`: `{"add": 3}` adds accounts; `{"account": …, "ends": reason,
  "noticed": false}` lets its connection fail (reasons: `customers.REASONS`), `{"account": …,
  "recovers": true}` and `{"account": …, "removed": true}` do what they say
* `GET /_sandbox/transaction-errors`: what the Transaction Error Webhook has posted, as a list
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from facebook_cyclr_sandbox.customers import add_customers, end_connection, recover, remove
from facebook_cyclr_sandbox.cyclr.shapes import json_reply
from facebook_cyclr_sandbox.http.routing import Router
from facebook_cyclr_sandbox.http.web import Reply, WebRequest
from facebook_cyclr_sandbox.state.facebook_world import ReviewState
from facebook_cyclr_sandbox.state.faults import fault_of
from facebook_cyclr_sandbox.state.review import decide
from facebook_cyclr_sandbox.state.stores import Dice, Meter, Shelf
from facebook_cyclr_sandbox.state.versions import Calendar
from facebook_cyclr_sandbox.state.world import World

_router = Router()
_MOST_YEARS = 50 * 365 * 86_400


class Control:
    """The handlers of `/_sandbox/…`."""

    def __init__(self, world: World, description: Callable[[], dict[str, str | int]]) -> None:
        self.world = world
        self.description = description

    def __call__(self, request: WebRequest) -> Reply:
        """Answer one request."""
        method = "GET" if request.method == "HEAD" else request.method
        match = _router.match(method, request.path)
        if match is None:
            return json_reply({"error": "the sandbox has no such page"}, 404)
        try:
            return match[0](self, request)
        except (ValueError, TypeError) as error:
            return json_reply({"error": str(error)}, 400)

    @_router.route("GET", "/_sandbox/description")
    def _describe(self, _request: WebRequest) -> Reply:
        return json_reply(self.description())

    @_router.route("GET", "/_sandbox/state")
    def _show_state(self, _request: WebRequest) -> Reply:
        return json_reply(export(self.world))

    @_router.route("GET", "/_sandbox/faults")
    def _list_faults(self, _request: WebRequest) -> Reply:
        faults = self.world.faults
        shown = {"faults": export(faults.active), "struck": faults.struck}
        return json_reply({**shown, "dialog_error": self.world.dialog_error})

    @_router.route("POST", "/_sandbox/faults")
    def _set_faults(self, request: WebRequest) -> Reply:
        document = _object(request, {"faults", "dialog_error"})
        if "faults" in document:
            if not isinstance(document["faults"], list):
                raise ValueError("faults must be a list")
            self.world.faults.active = [fault_of(_mapping(fault)) for fault in document["faults"]]
        if "dialog_error" in document:
            pair = document["dialog_error"]
            if pair is not None and (not isinstance(pair, list) or len(pair) != 2):
                raise ValueError("dialog_error must be a code and a message")
            self.world.dialog_error = (str(pair[0]), str(pair[1])) if pair else None
        return self._list_faults(request)

    @_router.route("DELETE", "/_sandbox/faults")
    def _clear_faults(self, request: WebRequest) -> Reply:
        self.world.faults.active = []
        self.world.dialog_error = None
        return self._list_faults(request)

    @_router.route("GET", "/_sandbox/time")
    def _show_time(self, _request: WebRequest) -> Reply:
        return json_reply({"now": self.world.now(), "offset": self.world.offset})

    @_router.route("POST", "/_sandbox/time")
    def _set_time(self, request: WebRequest) -> Reply:
        document = _object(request, {"advance", "offset"})
        offset = _number(document.get("offset", self.world.offset))
        offset += _number(document.get("advance", 0))
        if abs(offset) > _MOST_YEARS:
            raise ValueError("the world's time stays within fifty years of the real one")
        self.world.offset = offset
        return self._show_time(request)

    @_router.route("POST", "/_sandbox/review")
    def _decide_review(self, request: WebRequest) -> Reply:
        document = _object(request, {"outcome", "permissions", "reason", "app_id"})
        named = _mapping(document.get("permissions", {}))
        outcome = str(document.get("outcome", "approved" if named else None))
        outcomes = {name: str(decision) for name, decision in named.items()}
        apps = [
            app
            for app in self.world.facebook.apps.values()
            if app.review.state is ReviewState.PENDING and document.get("app_id") in (None, app.id)
        ]
        for app in apps:
            known = dict.fromkeys(app.review.permissions, outcome)
            decide(app, {**known, **outcomes}, str(document.get("reason", "")))
        return json_reply({"decided": [app.id for app in apps]})

    @_router.route("POST", "/_sandbox/customers")
    def _change_customers(self, request: WebRequest) -> Reply:
        known = {"add", "account", "ends", "noticed", "recovers", "removed"}
        document, world = _object(request, known), self.world
        added = add_customers(world, int(_number(document.get("add", 0))))
        account = str(document.get("account", ""))
        if "ends" in document:
            is_noticed = bool(document.get("noticed", False))
            end_connection(world, account, str(document["ends"]), is_noticed=is_noticed)
        if document.get("recovers") is True:
            recover(world, account)
        if document.get("removed") is True:
            remove(world, account)
        return json_reply({"added": [account.id for account in added]})

    @_router.route("GET", "/_sandbox/transaction-errors")
    def _list_transaction_errors(self, _request: WebRequest) -> Reply:
        return json_reply(self.world.cyclr.transaction_errors)


def _object(request: WebRequest, known: set[str]) -> dict[str, Any]:
    try:
        document = _mapping(json.loads(request.body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    unknown = set(document) - known
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return document


def _mapping(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise TypeError("a JSON object is expected")
    return document


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number of seconds is expected")
    return value


# --- the state as JSON -----------------------------------------------------------------------
def export(value: Any) -> Any:
    """Return `value` as what JSON can hold; a bounded store is shown as its size."""
    match value:
        case Shelf():
            return {"stored": len(value)}
        case Meter():
            return {"hourly": value.hourly}
        case Calendar():
            return {"latest": value.latest}
        case Enum():
            return value.value
        case set() | frozenset():
            return sorted(map(str, value))
        case list() | tuple():
            return [export(inner) for inner in value]
        case Mapping():
            return {
                " ".join(map(str, key)) if isinstance(key, tuple) else str(key): export(inner)
                for key, inner in value.items()
            }
        case World():
            return {"now": value.now(), **_members(value)}
    return _members(value) if is_dataclass(value) or hasattr(value, "__dict__") else value


def _members(value: Any) -> dict[str, Any]:
    names = [part.name for part in fields(value)] if is_dataclass(value) else vars(value)
    named = ((name, getattr(value, name)) for name in names)
    return {
        name: export(inner)
        for name, inner in named
        if not isinstance(inner, Dice) and not callable(inner)
    }
