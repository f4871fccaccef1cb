"""
`/_sandbox/…`, on every site: the sandbox's description, and the controls for tests.

* `GET /_sandbox/description`: the output of `runbook sandbox --json`
* `GET /_sandbox/state`: the whole state as JSON, with its invented secrets
* `GET`, `POST`, `DELETE /_sandbox/faults`: the faults in force; POST replaces them by
  `{"faults": [{"kind": "server-error", "share": 0.5, "remaining": 3, "site": "graph"}, …]}`
  (kinds: `FaultKind`), and `{"dialog_error": ["1349220", "message"]}` makes the
  OAuth dialog fail
* `GET`, `POST /_sandbox/time`: the sandbox's time; `{"advance": seconds}` moves it forward,
  `{"offset": seconds}` sets its distance from the real one
* `POST /_sandbox/review`: `{"outcome": "approved"}` or `{"outcome": "declined", "reason": "…"}`
  decides every pending review, or the one of `app_id`; `{"permissions": {"ads_read":
  "declined", …}}` gives single permissions another outcome
* `POST /_sandbox/customers`: `{"add": 3}` adds accounts; `{"account": …, "fail": reason,
  "is_noticed": false}` lets the account's connection fail (reasons:
  `customer_accounts.FAILURE_REASONS`), `{"account": …, "restore": true}` lets the customer sign in
  again, and `{"account": …, "remove": true}` removes the account
* `GET /_sandbox/transaction-errors`: the posts of the Transaction Error Webhook, as a list
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from facebook_cyclr_sandbox.customer_accounts import (
    add_customers,
    fail_connection,
    remove_customer,
    restore_connection,
)
from facebook_cyclr_sandbox.cyclr.cyclr_json import json_response
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse
from facebook_cyclr_sandbox.state.facebook_state import ReviewState
from facebook_cyclr_sandbox.state.fault_injection import read_fault
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from facebook_cyclr_sandbox.state.lru_store import LRUStore
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.review import decide
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.state.version_schedule import VersionSchedule

_router = Router()
_MAX_OFFSET_SECONDS = 50 * 365 * 86_400


class ControlApi:
    """The handlers of `/_sandbox/…`."""

    def __init__(
        self, state: SandboxState, description: Callable[[], dict[str, str | int]]
    ) -> None:
        self.state = state
        self.description = description

    def __call__(self, request: WebRequest) -> WebResponse:
        """Answer one request."""
        method = "GET" if request.method == "HEAD" else request.method
        match = _router.match(method, request.path)
        if match is None:
            return json_response({"error": "the sandbox has no such page"}, 404)
        try:
            return match[0](self, request)
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)

    @_router.route("GET", "/_sandbox/description")
    def _describe(self, _request: WebRequest) -> WebResponse:
        return json_response(self.description())

    @_router.route("GET", "/_sandbox/state")
    def _show_state(self, _request: WebRequest) -> WebResponse:
        return json_response(to_json_value(self.state))

    @_router.route("GET", "/_sandbox/faults")
    def _list_faults(self, _request: WebRequest) -> WebResponse:
        faults = self.state.faults
        shown = {"faults": to_json_value(faults.active), "injected_count": faults.injected_count}
        return json_response({**shown, "dialog_error": self.state.dialog_error})

    @_router.route("POST", "/_sandbox/faults")
    def _set_faults(self, request: WebRequest) -> WebResponse:
        document = _read_object(request, {"faults", "dialog_error"})
        if "faults" in document:
            if not isinstance(document["faults"], list):
                raise ValueError("faults must be a list")
            self.state.faults.active = [
                read_fault(_require_object(fault)) for fault in document["faults"]
            ]
        if "dialog_error" in document:
            pair = document["dialog_error"]
            if pair is not None and (not isinstance(pair, list) or len(pair) != 2):
                raise ValueError("dialog_error must be a code and a message")
            self.state.dialog_error = (str(pair[0]), str(pair[1])) if pair else None
        return self._list_faults(request)

    @_router.route("DELETE", "/_sandbox/faults")
    def _clear_faults(self, request: WebRequest) -> WebResponse:
        self.state.faults.active = []
        self.state.dialog_error = None
        return self._list_faults(request)

    @_router.route("GET", "/_sandbox/time")
    def _show_time(self, _request: WebRequest) -> WebResponse:
        return json_response({"now": self.state.now(), "offset": self.state.offset})

    @_router.route("POST", "/_sandbox/time")
    def _set_time(self, request: WebRequest) -> WebResponse:
        document = _read_object(request, {"advance", "offset"})
        offset = _read_number(document.get("offset", self.state.offset))
        offset += _read_number(document.get("advance", 0))
        if abs(offset) > _MAX_OFFSET_SECONDS:
            raise ValueError("the sandbox's time stays within fifty years of the real one")
        self.state.offset = offset
        return self._show_time(request)

    @_router.route("POST", "/_sandbox/review")
    def _decide_review(self, request: WebRequest) -> WebResponse:
        document = _read_object(request, {"outcome", "permissions", "reason", "app_id"})
        named = _require_object(document.get("permissions", {}))
        outcome = str(document.get("outcome", "approved" if named else None))
        outcomes = {name: str(decision) for name, decision in named.items()}
        apps = [
            app
            for app in self.state.facebook.apps.values()
            if app.review.state is ReviewState.PENDING and document.get("app_id") in (None, app.id)
        ]
        for app in apps:
            known = dict.fromkeys(app.review.permissions, outcome)
            decide(app, {**known, **outcomes}, str(document.get("reason", "")))
        return json_response({"decided": [app.id for app in apps]})

    @_router.route("POST", "/_sandbox/customers")
    def _change_customers(self, request: WebRequest) -> WebResponse:
        known = {"add", "account", "fail", "is_noticed", "restore", "remove"}
        document = _read_object(request, known)
        state = self.state
        added = add_customers(state, int(_read_number(document.get("add", 0))))
        account = str(document.get("account", ""))
        if "fail" in document:
            is_noticed = bool(document.get("is_noticed", False))
            fail_connection(state, account, str(document["fail"]), is_noticed=is_noticed)
        if document.get("restore") is True:
            restore_connection(state, account)
        if document.get("remove") is True:
            remove_customer(state, account)
        return json_response({"added": [account.id for account in added]})

    @_router.route("GET", "/_sandbox/transaction-errors")
    def _list_transaction_errors(self, _request: WebRequest) -> WebResponse:
        return json_response(self.state.cyclr.transaction_errors)


def _read_object(request: WebRequest, known: set[str]) -> dict[str, Any]:
    try:
        document = _require_object(json.loads(request.body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    unknown = set(document) - known
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return document


def _require_object(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise TypeError("a JSON object is expected")
    return document


def _read_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number of seconds is expected")
    return value


# --- the state as JSON -----------------------------------------------------------------------
def to_json_value(value: Any) -> Any:
    """Return `value` as what JSON can hold; a bounded store is shown as its size."""
    match value:
        case LRUStore():
            return {"stored": len(value)}
        case HourlyRateLimit():
            return {"calls_per_hour": value.calls_per_hour}
        case VersionSchedule():
            return {"latest": value.latest}
        case Enum():
            return value.value
        case set() | frozenset():
            return sorted(map(str, value))
        case list() | tuple():
            return [to_json_value(inner) for inner in value]
        case Mapping():
            return {
                " ".join(map(str, key)) if isinstance(key, tuple) else str(key): to_json_value(
                    inner
                )
                for key, inner in value.items()
            }
        case SandboxState():
            return {"now": value.now(), **_export_members(value)}
    return _export_members(value) if is_dataclass(value) or hasattr(value, "__dict__") else value


def _export_members(value: Any) -> dict[str, Any]:
    names = [part.name for part in fields(value)] if is_dataclass(value) else vars(value)
    named = ((name, getattr(value, name)) for name in names)
    return {
        name: to_json_value(inner)
        for name, inner in named
        if not isinstance(inner, RandomSource) and not callable(inner)
    }
