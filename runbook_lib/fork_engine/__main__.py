"""The child as a new interpreter, for a parent that has threads: `python -m` with descriptors."""

from __future__ import annotations

import socket
import sys

from runbook_lib.fork_engine.worker import live

if __name__ == "__main__":
    del sys.path[0]  # the working directory, which `-m` puts there
    end, stdout, stderr, lifeline = map(int, sys.argv[1:5])
    live(socket.socket(fileno=end), stdout, stderr, lifeline, b"\0" + sys.argv[5].encode() + b"\0")
