"""Each request has time-outs and uses the proxy of the environment."""

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
    """Replaces httpcore's pool and stores the request."""

    request: httpcore.Request

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Store the request."""
        self.request = request
        return httpcore.Response(204)


def test_each_wait_has_a_time_out(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has all four of httpcore's time-outs; httpcore waits indefinitely without them."""

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
    """The proxy's scheme, host, port and credentials are those of `HTTPS_PROXY`."""

    asked: list[tuple[Any, Any]] = []

    def opened(url: httpcore.URL, *, proxy_auth: Any, **_: Any) -> Pool:
        asked.append(((url.scheme, url.host, url.port), proxy_auth))
        return Pool()

    monkeypatch.setattr(httpcore, "HTTPProxy", opened)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)

    wire.handle_request(httpx.Request("GET", "https://graph.example/me"))

    assert asked == [(place, auth)]
