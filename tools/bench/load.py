"""Requests as bytes over kept-alive connections: a client that uses little processor time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Ask:
    """One request, ready to be sent to a port on loopback."""

    port: int
    content: bytes


@dataclass
class Seen:
    """The answers: how many of each status, and the duration of each, in seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Responses per second."""
        return sum(self.statuses.values()) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return the wait in milliseconds that `percent` of the answers do not exceed."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1_000


def ask(
    url: str,
    method: str = "GET",
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    **query: str,
) -> Ask:
    """Return the request for a URL with its query, and its form if one is given."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{urlencode(query)}" if query else "")
    body = urlencode(form or {}).encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if form is not None:
        lines += [
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        ]
    return Ask(parts.port or 80, "\r\n".join([*lines, "", ""]).encode() + body)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    start = lower.find(b"content-length: ")
    if start > 0:
        await reader.readexactly(int(lower[start + 16 : lower.find(b"\r", start)]))
    return status


async def _work(asks: Iterator[Ask], seen: Seen) -> None:
    """Send requests in sequence, over one connection to each port."""
    open_to: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
    for request in asks:
        if request.port not in open_to:
            open_to[request.port] = await asyncio.open_connection("127.0.0.1", request.port)
        reader, writer = open_to[request.port]
        begun = time.perf_counter()
        writer.write(request.content)
        seen.statuses[await _answer(reader)] += 1
        seen.waits.append(time.perf_counter() - begun)
    for _, writer in open_to.values():
        writer.close()
        await writer.wait_closed()


async def _send(asks: Iterator[Ask], connections: int) -> Seen:
    seen = Seen()
    begun = time.perf_counter()
    await asyncio.gather(*(_work(asks, seen) for _ in range(connections)))
    seen.seconds = time.perf_counter() - begun
    return seen


def send(asks: Iterator[Ask], *, connections: int = 8) -> Seen:
    """Send all `asks` over so many connections at once, and return the answers."""
    return asyncio.run(_send(asks, connections))
