"""
Every change of a check's responses that the safety tests make: the one list of them.

A remote system, or something on the way to it, may give such a response in place of the right one.
None of them says that a set-up is wrong, but for those that stand beside an exchange.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from tests.unit.bodies import APP_ID, graph_error
from tests.unit.connectors.conftest import VALUES
from tests.unit.connectors.scripted_exchanges import (
    ALL_AT_ONCE,
    Case,
    Change,
    ScriptedExchange,
)

# The id of an app that no setting names.
OTHER_APP_ID = "999999999999999"
# Names of an app, a person, a page, a form, a business, a host or a connector, each with another.
OTHER_NAMES: Mapping[str, str] = {
    VALUES["service_domain"]: "other-h.cyclr.com",
    VALUES["cyclr_connector"]: "Another connector",
    VALUES["account_api_id"]: "acct-9",
    APP_ID: OTHER_APP_ID,
    "873": "874",
    "555": "556",
    "page-1": "page-9",
    "form-1": "form-9",
    "biz-1": "biz-9",
}

# Statuses with the right body. 429 and 503 are asked again; the client then waits.
STATUSES = (
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    408,
    409,
    410,
    413,
    418,
    421,
    422,
    425,
    429,
    451,
    500,
    501,
    502,
    503,
    504,
    520,
    521,
    525,
)
# Codes, subcodes and messages of Graph's errors.
ERRORS: tuple[tuple[int, int | None, str], ...] = (
    (1, None, "An unknown error has occurred."),
    (1, 99, "Please reduce the amount of data you're asking for, then retry your request"),
    (1, None, "Error validating client secret."),
    (2, None, "(#2) Service temporarily unavailable"),
    (3, None, "(#3) Application does not have the capability to make this API call."),
    (4, None, "(#4) Application request limit reached"),
    (10, None, "(#10) Application does not have permission for this action"),
    (17, 2446079, "User request limit reached"),
    (32, None, "(#32) Page request limit reached"),
    (100, None, "Invalid appsecret_proof provided in the API argument"),
    (100, None, "(#100) Tried accessing nonexisting field (data) on node type (User)"),
    (100, None, "Invalid verification code format."),
    (100, None, "(#100) The App_id in the input_token did not match the Viewing App"),
    (100, 33, "Unsupported get request. Object with ID 'x' does not exist"),
    (100, 36008, "Error validating verification code. Your redirect_uri is identical"),
    (101, None, "Error validating application. Cannot get application info"),
    (101, None, "Invalid Client ID"),
    (102, None, "Session key invalid or no longer valid"),
    (104, None, "An access token is required to request this resource."),
    (190, None, "Invalid OAuth access token - Cannot parse access token"),
    (190, 458, "Error validating access token: The user has not authorized application 1."),
    (190, 463, "Error validating access token: Session has expired"),
    (190, 99, "Something new about the token"),
    (191, None, "Can't Load URL: The domain of this URL isn't included in the app's domains."),
    (191, None, "redirect_uri isn't an absolute URI. Check RFC 3986."),
    (200, None, "(#200) Requires pages_show_list permission to manage the object"),
    (200, None, "API access deactivated. To reactivate, go to the app dashboard."),
    (368, None, "The action attempted has been deemed abusive"),
    (803, None, "(#803) Some of the aliases you requested do not exist: x"),
    (2500, None, "Unknown path components: /me"),
    (4711, None, "Nobody has read this one"),
)
PAGE = "<html><body>Sign in to the proxy</body></html>"
CHALLENGE = "<html><title>Just a moment</title><p>" + "Checking your browser. " * 30
_LONG = 10_000
# Bodies that say nothing, that have another type than expected, or that are about something else.
DOCUMENTS: tuple[Any, ...] = (
    {},
    [],
    None,
    True,
    7,
    "",
    "text",
    "yes",
    [[]],
    [{}],
    ["a"],
    [None],
    *({"data": value} for value in ({}, [], None, "text", ["a"], [{}], [[]], [None], 7)),
    *({"error": value} for value in (None, "text", [], {}, 7, {"code": []}, {"code": {}})),
    {"paging": {}},
    {"id": OTHER_APP_ID, "name": "Another app"},
    {"access_token": f"{OTHER_APP_ID}|tail"},
    {
        "data": {
            "app_id": OTHER_APP_ID,
            "is_valid": True,
            "type": "USER",
            "user_id": "1",
            "scopes": [],
        }
    },
    {"data": [{"permission": "email", "status": "live"}]},
    [{"Id": 1, "Name": "Slack", "Connector": {"Id": 2, "Name": "Slack"}}],
    graph_error("(#4) Application request limit reached", 4),
    graph_error("x" * 100_000, 10**9),
)
# Bodies that are not JSON (RFC 8259).
MALFORMED_TEXTS = (
    "",
    "<html>",
    '{"id":',
    "NaN",
    '{"id": Infinity}',
    "1e999",
    "[" * 100_000,
    "\ufeff{}",
)
# Values of other types, and other values of the same type.
_OTHER_VALUES: Mapping[str, Any] = {
    "null": None,
    "number": 7,
    "text": "x",
    "text digits": "7",
    "list": ["x"],
    "object": {"x": 1},
    "float": 1.5,
    "true": True,
    "no list": [],
    "no object": {},
}


def edited(body: Any, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a document with each object in it edited, and with the list or object around them."""
    return json.loads(json.dumps({"body": body}), object_hook=edit)["body"]


def reordered(fields: dict[str, Any]) -> dict[str, Any]:
    """Return an object with its fields, and rows in them, in the opposite order."""
    return {
        name: value[::-1] if isinstance(value, list) else value
        for name, value in reversed(fields.items())
    }


def extended(fields: dict[str, Any]) -> dict[str, Any]:
    """Return an object with unknown fields."""
    return {"new_field": {"data": [None]}, **fields, "another": 7}


def _emptied(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: [] if isinstance(value, list) else value for name, value in fields.items()}


def _without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=edited(exchange.body, _emptied))


def _of_another(names: Mapping[str, str], exchange: ScriptedExchange) -> ScriptedExchange:
    """Return the same response about another app, person, connector …"""
    text = json.dumps([exchange.body, dict(exchange.headers)])
    for name, other in names.items():
        text = text.replace(name, other)
    body, headers = json.loads(text)
    return replace(exchange, body=body, headers=headers)


def _with_header(name: str, text: str, exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, headers={**exchange.headers, name: text})


def _with_inner_error(error: Mapping[str, Any], exchange: ScriptedExchange) -> ScriptedExchange:
    """Put the error where `debug_token` has it; leave any other response as it is."""
    match exchange.body:
        case {"data": {"is_valid": _} as data}:
            refused = {"data": {**data, "error": error, "is_valid": False}}
            return replace(exchange, body={**exchange.body, **refused})
    return exchange


def _first_page(exchange: ScriptedExchange) -> ScriptedExchange:
    """Say that there is another page, which is the same one again."""
    if not isinstance(exchange.body, dict):
        return exchange
    paging = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/next"}
    return replace(exchange, body={**exchange.body, "paging": paging})


def _error_changes() -> Iterator[tuple[str, Change]]:
    for code, subcode, message in ERRORS:
        name = f"{code}/{subcode or '-'} {message[:24]}"
        inner = {"code": code, "message": message}
        more = {}
        if subcode:
            inner["subcode"] = more["error_subcode"] = subcode
        yield f"inner {name}", partial(_with_inner_error, inner)
        for status in (200, 400, 403, 500):
            body = graph_error(message, code, **more)
            yield f"error {name} {status}", partial(replace, body=body, status=status)


# Changes that are also made to every response of a check at once.
_EVERYWHERE: Mapping[str, Change] = {
    **{f"body {text}": partial(replace, body=text) for text in ("", "{}", "null", "[]")},
    "no rows": _without_rows,
    "of another": partial(_of_another, OTHER_NAMES),
    "cached": partial(_with_header, "age", "301"),
}
_CHANGES: Mapping[str, Change] = {
    **{f"status {status}": partial(replace, status=status) for status in STATUSES},
    **{
        f"{'body' if len(text) < _LONG else 'long'} {text[:70]}": partial(replace, body=text)
        for text in (*MALFORMED_TEXTS, PAGE, *map(json.dumps, DOCUMENTS))
    },
    "challenge": partial(replace, body=CHALLENGE),
    **{
        f"{name} {status}": partial(replace, body=text, status=status)
        for name, text in (("empty", ""), ("html", PAGE), ("challenge", CHALLENGE))
        for status in (200, 401, 403, 404, 500, 503)
    },
    **dict(_error_changes()),
    **_EVERYWHERE,
    **{
        f"of another {name}": partial(_of_another, {name: OTHER_NAMES[name]})
        for name in OTHER_NAMES
    },
    "redirect": lambda exchange: _with_header(
        "location", "https://login.proxy.example/portal", replace(exchange, status=302, body="")
    ),
    "first page": _first_page,
    "first page without rows": lambda exchange: _first_page(_without_rows(exchange)),
}


def changed_documents(content: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a document with each field or item left out, and with each other value in it."""
    if not isinstance(content, dict | list):
        return
    if isinstance(content, dict):
        yield f"{above}more nan", {**content, "more": math.nan}
    for key, value in enumerate(content) if isinstance(content, list) else content.items():
        path = f"{above}{key}"
        left_out = content.copy()
        left_out.pop(key)
        yield f"left out {path}", left_out
        others = {
            **{f"{kind} {path}": other for kind, other in _OTHER_VALUES.items()},
            f"empty {path}": type(value)(),
            f"text other {path}": "other",
            f"opposite {path}": not value,
            f"next {path}": value + 1 if isinstance(value, int) else None,
            f"listed {path}": [value],
            f"wrapped {path}": {"value": value},
            f"as text {path}": str(value),
            f"{path} nan": math.nan,
            f"{path} infinity": math.inf,
            **dict(changed_documents(value, f"{path}.")),
        }
        for name, other in others.items():
            changed = content.copy()
            changed[key] = other
            yield name, changed


def responses_in_place_of(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    """Yield each different response in place of the exchange's own, by name."""
    whole = exchange.text
    twelfths = range(0, len(whole), max(1, len(whole) // 12))
    lengths = sorted({*twelfths, *(int(len(whole) * share) for share in (0.2, 0.5, 0.9))})
    others = chain(
        ((name, change(exchange)) for name, change in _CHANGES.items()),
        (
            (name, replace(exchange, body=body))
            for name, body in (
                *((f"truncated {size / (len(whole) or 1):.2f}", whole[:size]) for size in lengths),
                *changed_documents(exchange.body),
            )
        ),
    )
    seen = {_sent(exchange)}
    for name, other in others:
        if _sent(other) not in seen:
            seen.add(_sent(other))
            yield name, other


def _sent(exchange: ScriptedExchange) -> tuple[Any, ...]:
    return exchange.status, exchange.text, *exchange.headers.items()


def changed_cases(case: Case, place: int) -> Iterator[tuple[str, Case]]:
    """Yield the case with each change of one response, or of all of them, by the change's name."""
    if place == ALL_AT_ONCE:
        for name, change in _EVERYWHERE.items():
            changed = case.changed(change, *case.places)
            if changed != case:
                yield f"all {name}", changed
        return
    exchange = case.exchanges[place]
    for name, other in responses_in_place_of(exchange):
        yield name, case.with_exchange(place, other)
    if [other.path for other in case.exchanges].count(exchange.path) > 1:
        to_any = replace(exchange, asks=lambda _: True)
        yield "alike", replace(case, exchanges=(to_any, *case.exchanges))
