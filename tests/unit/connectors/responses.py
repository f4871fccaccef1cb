"""
Responses that a remote system, or something on the way to it, may give in place of the right one.

None of them says that a set-up is wrong, but for the refusals of the table. `RESPONSES` are by
name; each makes such a response of the right one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tests.support.connector_safety import ScriptedExchange
from tests.support.connector_safety.json_paths import Place, at, places
from tests.unit.bodies import graph_error

Change = Callable[[ScriptedExchange], ScriptedExchange]

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
CHALLENGE = "<html><title>Just a moment</title><p>" + "Checking your browser. " * 30
TEXTS = {
    "empty": "",
    "html": "<html><body>Sign in to the proxy</body></html>",
    "challenge": CHALLENGE,
}
WHOLE_BODIES: Mapping[str, Any] = {
    "null": None,
    "object": {},
    "list": [],
    "text": "yes",
    "number": 7,
    "data-list": {"data": []},
    "data-null": {"data": None},
    "data-left-out": {"paging": {}},
    "data-object": {"data": {}},
}


def with_status(status: int, exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, status=status)


def with_text(text: str, status: int | None, exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=text, status=status or exchange.status)


def with_error(
    error: tuple[int, int | None, str], status: int, exchange: ScriptedExchange
) -> ScriptedExchange:
    code, subcode, message = error
    more = {} if subcode is None else {"error_subcode": subcode}
    return replace(exchange, body=graph_error(message, code, **more), status=status)


def with_inner_error(
    error: tuple[int, int | None, str], exchange: ScriptedExchange
) -> ScriptedExchange:
    """Put the error where `debug_token` has it; leave any other response as it is."""
    if not (isinstance(exchange.body, dict) and isinstance(exchange.body.get("data"), dict)):
        return exchange
    if "is_valid" not in exchange.body["data"]:
        return exchange
    code, subcode, message = error
    inner: dict[str, Any] = {"code": code, "message": message}
    if subcode is not None:
        inner["subcode"] = subcode
    data = {**exchange.body["data"], "error": inner, "is_valid": False}
    return replace(exchange, body={**exchange.body, "data": data})


def with_body(body: Any, exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=json.dumps(body) if isinstance(body, str) else body)


def truncated(share: float, exchange: ScriptedExchange) -> ScriptedExchange:
    whole = exchange.body if isinstance(exchange.body, str) else json.dumps(exchange.body)
    return replace(exchange, body=whole[: int(len(whole) * share)])


def elsewhere(exchange: ScriptedExchange) -> ScriptedExchange:
    headers = {**exchange.headers, "location": "https://login.proxy.example/portal"}
    return replace(exchange, status=302, body="", headers=headers)


def cached(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, headers={**exchange.headers, "age": "301"})


def first_page(exchange: ScriptedExchange) -> ScriptedExchange:
    """Say that there is another page, which is the same one again."""
    if not isinstance(exchange.body, dict):
        return exchange
    paging = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/next"}
    return replace(exchange, body={**exchange.body, "paging": paging})


def first_page_without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    """Say that there is another page, and give none of the rows."""
    shown = first_page(exchange)
    if shown is exchange or not isinstance(shown.body.get("data"), list):
        return exchange
    return replace(shown, body={**shown.body, "data": []})


RESPONSES: Mapping[str, Change] = {
    **{f"status {status}": partial(with_status, status) for status in STATUSES},
    **{
        f"{name} {status}": partial(with_text, text, status)
        for name, text in TEXTS.items()
        for status in (None, 200, 401, 403, 404, 500, 503)
    },
    **{
        f"error {code}/{subcode or '-'} {message[:24]} {status}": partial(
            with_error, (code, subcode, message), status
        )
        for code, subcode, message in ERRORS
        for status in (200, 400, 403, 500)
    },
    **{
        f"inner {code}/{subcode or '-'} {message[:24]}": partial(
            with_inner_error, (code, subcode, message)
        )
        for code, subcode, message in ERRORS
    },
    **{f"body {name}": partial(with_body, body) for name, body in WHOLE_BODIES.items()},
    **{f"truncated {share}": partial(truncated, share) for share in (0.2, 0.5, 0.9)},
    "redirect": elsewhere,
    "cached": cached,
    "first page": first_page,
    "first page without rows": first_page_without_rows,
}


def with_value(exchange: ScriptedExchange, place: Place, value: Any) -> ScriptedExchange:
    body = json.loads(json.dumps(exchange.body))
    at(body, place[:-1])[place[-1]] = value
    return replace(exchange, body=body)


def without(exchange: ScriptedExchange, place: Place) -> ScriptedExchange:
    body = json.loads(json.dumps(exchange.body))
    del at(body, place[:-1])[place[-1]]
    return replace(exchange, body=body)


def fields_changed(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    """Yield the response with each field left out, null, empty, or of another type."""
    for place in places(exchange.body):
        name = ".".join(map(str, place))
        yield f"left out {name}", without(exchange, place)
        value = at(exchange.body, place)
        for kind, other in (
            ("null", None),
            ("empty", type(value)()),
            ("number", 7),
            ("text", "x"),
            ("list", ["x"]),
            ("object", {"x": 1}),
        ):
            if other != value and not (kind == "empty" and value is None):
                yield f"{kind} {name}", with_value(exchange, place, other)


def variants(exchange: ScriptedExchange) -> Iterator[tuple[str, ScriptedExchange]]:
    """Yield each of these responses in place of `exchange`, by name."""
    for name, change in RESPONSES.items():
        other = change(exchange)
        if other != exchange:
            yield name, other
    yield from fields_changed(exchange)
