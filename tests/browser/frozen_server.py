"""A server that is stopped for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.browser.jupyter import Lab

NOTICED = 30_000


@contextmanager
def frozen(served: Lab, program: str) -> Iterator[None]:
    """Stop the processes of the server that run `program`, without ending them."""
    assert served.process is not None
    started = psutil.Process(served.process.pid).children(recursive=True)
    frozen = [process for process in started if program in " ".join(process.cmdline())]
    assert frozen
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        for process in frozen:
            process.resume()
