"""How requests reach the network: the time-outs of each, and the proxy in the environment."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore
import httpx
import pytest

from runbook_lib.remote.wire import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire(ssl.create_default_context())


class Pool:
    """Takes the place of httpcore's pool, and keeps the request."""

    request: httpcore.Request

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Keep it."""
        self.request = request
        return httpcore.Response(204)


def test_each_wait_has_a_time_out(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """By httpcore's own names: it waits without end for what it has no time-out of."""

    pool = Pool()
    monkeypatch.setattr(wire, "_pool", lambda _proxy: pool)

    wire.handle_request(httpx.Request("GET", "https://graph.example/me"))

    assert pool.request.extensions["timeout"] == {
        "connect": 5.0,
        "read": 15.0,
        "write": 15.0,
        "pool": 15.0,
    }


@pytest.mark.parametrize(
    ("proxy", "place", "auth"),
    [
        ("http://proxy.example:3128", (b"http", b"proxy.example", 3128), None),
        ("https://me:p%40ss@proxy.example", (b"https", b"proxy.example", None), ("me", "p@ss")),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    proxy: str,
    place: tuple[bytes, bytes, int | None],
    auth: tuple[str, str] | None,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its scheme, host and port, with the user that the address names."""

    asked: list[tuple[Any, Any]] = []

    def opened(url: httpcore.URL, *, proxy_auth: Any, **_: Any) -> Pool:
        asked.append(((url.scheme, url.host, url.port), proxy_auth))
        return Pool()

    monkeypatch.setattr(httpcore, "HTTPProxy", opened)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)

    wire.handle_request(httpx.Request("GET", "https://graph.example/me"))

    assert asked == [(place, auth)]
