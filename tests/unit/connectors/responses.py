"""
Every change of a check's responses that the safety tests make: the one list of them.

A remote system, or something on the way to it, may give such a response in place of the right one.
None of them says that a set-up is wrong, but for those in the table of outcomes.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from tests.unit.bodies import APP_ID, graph_error
from tests.unit.connectors.conftest import VALUES
from tests.unit.connectors.scripted_exchanges import ScriptedCheck, ScriptedExchange

Place = tuple[str | int, ...]
Change = Callable[[ScriptedExchange], ScriptedExchange]

# In place of an exchange's number: a change of all responses at once.
ALL_AT_ONCE = -1
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
    *({}, [], None, True, 7, "", "text", "yes", [[]], [{}], ["a"], [None]),
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
_LEFT_OUT = object()
# Values of other types, and other values of the same type.
_OTHER_VALUES: Mapping[str, Any] = {
    "left out": _LEFT_OUT,
    "null": None,
    "number": 7,
    "text": "x",
    "digits": "7",
    "list": ["x"],
    "object": {"x": 1},
    "fraction": 1.5,
    "true": True,
    "no list": [],
    "no object": {},
}


def _with_inner_error(error: Mapping[str, Any], exchange: ScriptedExchange) -> ScriptedExchange:
    """Put the error where `debug_token` has it; leave any other response as it is."""
    match exchange.body:
        case {"data": {"is_valid": _} as data}:
            refused = {"data": {**data, "error": error, "is_valid": False}}
            return replace(exchange, body={**exchange.body, **refused})
    return exchange


def _elsewhere(exchange: ScriptedExchange) -> ScriptedExchange:
    headers = {**exchange.headers, "location": "https://login.proxy.example/portal"}
    return replace(exchange, status=302, body="", headers=headers)


def _cached(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, headers={**exchange.headers, "age": "301"})


def _first_page(exchange: ScriptedExchange, **rows: Any) -> ScriptedExchange:
    """Say that there is another page, which is the same one again."""
    if not isinstance(exchange.body, dict):
        return exchange
    paging = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/next"}
    return replace(exchange, body={**exchange.body, "paging": paging, **rows})


def _first_page_without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    match exchange.body:
        case {"data": list()}:
            return _first_page(exchange, data=[])
    return exchange


def _emptied(content: Any) -> Any:
    """Return a document with an empty list in place of each list."""
    if isinstance(content, dict):
        return {name: _emptied(value) for name, value in content.items()}
    return [] if isinstance(content, list) else content


def _without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=_emptied(exchange.body))


def _of_another(names: Mapping[str, str], exchange: ScriptedExchange) -> ScriptedExchange:
    """Return the same response about another app, person, connector …"""
    text = json.dumps([exchange.body, dict(exchange.headers)])
    for name, other in names.items():
        text = text.replace(name, other)
    body, headers = json.loads(text)
    return replace(exchange, body=body, headers=headers)


# Changes that are also made to every response of a check at once.
_EVERYWHERE: Mapping[str, Change] = {
    **{f"body {text}": partial(replace, body=text) for text in ("", "{}", "null", "[]")},
    "no rows": _without_rows,
    "of another": partial(_of_another, OTHER_NAMES),
    "cached": _cached,
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
    **{
        f"error {code}/{subcode or '-'} {message[:24]} {status}": partial(
            replace,
            body=graph_error(message, code, **({"error_subcode": subcode} if subcode else {})),
            status=status,
        )
        for code, subcode, message in ERRORS
        for status in (200, 400, 403, 500)
    },
    **{
        f"inner {code}/{subcode or '-'} {message[:24]}": partial(
            _with_inner_error,
            {"code": code, "message": message, **({"subcode": subcode} if subcode else {})},
        )
        for code, subcode, message in ERRORS
    },
    **_EVERYWHERE,
    **{
        f"of another {name}": partial(_of_another, {name: other})
        for name, other in OTHER_NAMES.items()
    },
    "redirect": _elsewhere,
    "first page": _first_page,
    "first page without rows": _first_page_without_rows,
}


def places(content: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the path of every field and every item in a document."""
    inside: Any = ()
    if isinstance(content, dict):
        inside = content.items()
    elif isinstance(content, list):
        inside = enumerate(content)
    for name, value in inside:
        yield (*above, name)
        yield from places(value, (*above, name))


def at(content: Any, place: Place) -> Any:
    """Return the value at a path."""
    for name in place:
        content = content[name]
    return content


def _with_value(exchange: ScriptedExchange, place: Place, value: Any) -> ScriptedExchange:
    body = copy.deepcopy(exchange.body)
    parent = at(body, place[:-1])
    if value is _LEFT_OUT:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return replace(exchange, body=body)


def _other_value(value: Any) -> Any:
    """Return another value of the same type; null for an object or a list."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return "other"
    return None


def _field_changes(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    """Yield the response with each field left out, and with each other value in it."""
    for place in places(exchange.body):
        value = at(exchange.body, place)
        others = {
            **_OTHER_VALUES,
            "empty": type(value)(),
            "other": _other_value(value),
            "listed": [value],
            "wrapped": {"value": value},
            "as text": str(value),
        }
        path = ".".join(map(str, place))
        for kind, other in others.items():
            yield f"{kind} {path}", _with_value(exchange, place, other)
        for number in (math.nan, math.inf):
            yield f"{path} {number}", _with_value(exchange, place, number)
    if isinstance(exchange.body, dict):
        yield "more nan", replace(exchange, body={**exchange.body, "more": math.nan})


def _truncations(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    whole = exchange.text
    twelfths = range(0, len(whole), max(1, len(whole) // 12))
    for length in sorted({*twelfths, *(int(len(whole) * share) for share in (0.2, 0.5, 0.9))}):
        yield f"truncated {length / max(1, len(whole)):.2f}", replace(exchange, body=whole[:length])


def responses_in_place_of(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    """Yield each different response in place of the exchange's own, by name."""
    seen = {_sent(exchange)}
    changes = ((name, change(exchange)) for name, change in _CHANGES.items())
    for name, other in chain(changes, _truncations(exchange), _field_changes(exchange)):
        if _sent(other) not in seen:
            seen.add(_sent(other))
            yield name, other


def _sent(exchange: ScriptedExchange) -> tuple[Any, ...]:
    return exchange.status, exchange.text, *exchange.headers.items()


def changed_scripts(script: ScriptedCheck, place: int) -> Iterator[tuple[str, ScriptedCheck]]:
    """Yield the check's exchanges with each change of one response, or of all of them, by name."""
    if place == ALL_AT_ONCE:
        for name, change in _EVERYWHERE.items():
            exchanges = tuple(map(change, script.exchanges))
            if exchanges != script.exchanges:
                yield f"all {name}", replace(script, exchanges=exchanges)
        return
    exchange = script.exchanges[place]
    for name, other in responses_in_place_of(exchange):
        yield name, script.with_exchange(place, other)
    if [other.path for other in script.exchanges].count(exchange.path) > 1:
        to_any = replace(exchange, asks=lambda _: True)
        yield "alike", replace(script, exchanges=(to_any, *script.exchanges))


def reordered(content: Any) -> Any:
    """Return a document with its fields and rows in the opposite order."""
    if isinstance(content, dict):
        return {name: reordered(value) for name, value in reversed(content.items())}
    if isinstance(content, list):
        return [reordered(value) for value in reversed(content)]
    return content


def extended(content: Any) -> Any:
    """Return a document with additional fields in each object."""
    if isinstance(content, dict):
        known = {name: extended(value) for name, value in content.items()}
        return {"new_field": {"data": [None]}, **known, "another": 7}
    if isinstance(content, list):
        return [extended(value) for value in content]
    return content
