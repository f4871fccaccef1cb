"""Exchanges as data: the requests of a check, and the smallest responses that verify a step."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.support.connector_safety.json_paths import Place, at

Asks = Callable[[httpx.Request], bool]


@dataclass(frozen=True)
class ScriptedExchange:
    """One exchange: the request, and the minimal response to it."""

    path: str
    """Path of the request."""

    body: Any
    """Body of the response: a JSON document or text."""

    status: int = 200
    """HTTP status of the response."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the response."""

    asks: Asks = lambda _: True
    """Tells whether a request to `path` is this one."""

    free: frozenset[str] = frozenset()
    """Dotted paths of the fields whose values are not predictable."""

    decides: bool = True
    """False for a control that may be answered in many ways."""

    is_page: bool = False
    """Whether the check reads only status and headers."""

    is_free: bool = False
    """Whether any response of this form will do."""


@dataclass(frozen=True)
class MinimalExchanges:
    """A check's exchanges, and the inputs that differ from the case's usual ones."""

    exchanges: tuple[ScriptedExchange, ...]
    """The exchanges, in any order."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs, by name."""

    def with_exchange(self, index: int, exchange: ScriptedExchange) -> MinimalExchanges:
        """Return the exchanges with another one at this place."""
        return replace(
            self, exchanges=(*self.exchanges[:index], exchange, *self.exchanges[index + 1 :])
        )


def changed(minimal: MinimalExchanges, index: int, **changes: Any) -> MinimalExchanges:
    """Return the exchanges with one of them changed."""
    return minimal.with_exchange(index, replace(minimal.exchanges[index], **changes))


def with_value(minimal: MinimalExchanges, index: int, place: Place, value: Any) -> MinimalExchanges:
    """Return the exchanges with another value at one path of one response."""
    body = copy.deepcopy(minimal.exchanges[index].body)
    at(body, place[:-1])[place[-1]] = value
    return changed(minimal, index, body=body)


class ScriptedRemote(httpx.BaseTransport):
    """A remote system that gives these responses, and 404 to every other request."""

    def __init__(self, exchanges: tuple[ScriptedExchange, ...]) -> None:
        self._exchanges = exchanges

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        for exchange in self._exchanges:
            if request.url.path == exchange.path and exchange.asks(request):
                is_text = isinstance(exchange.body, str)
                text = exchange.body if is_text else json.dumps(exchange.body)
                return httpx.Response(exchange.status, text=text, headers=dict(exchange.headers))
        return httpx.Response(404, text="{}")


def made_up(size: int, number: int = 0) -> str:
    """
    Return what `CheckContext.random_hex` returns in these tests: hexadecimal digits for `size`.

    `number` counts the check's earlier calls with the same size.
    """
    return f"{0xC0 + number:02x}" * size


def request_fields(request: httpx.Request) -> dict[str, str]:
    """Return the fields of a request's query and form together."""
    form = request.content.decode() if b"=" in request.content else ""
    return {**dict(request.url.params), **dict(httpx.QueryParams(form))}


def asking(**wanted: str) -> Asks:
    """Return whether a request has these fields in its query or form; for `ScriptedExchange`."""
    return lambda request: wanted.items() <= request_fields(request).items()
