"""Free ports on loopback."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress


def free_ports(count: int) -> int:
    """
    Return the first of `count` free ports in a row on loopback.

    They are below those that systems give to outgoing connections (from 32,768
    on), and random, since several processes look for some at once.
    """
    for first in random.sample(range(20_000, 32_000, count), 100):
        with ExitStack() as probes, suppress(OSError):
            for port in range(first, first + count):
                probes.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no free ports were found")
