"""`python -m tools.bench.fleet_sandbox APPS`: sandboxes in one process, each with its own app.

Prints one JSON line with their descriptions, and serves until standard input ends.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack

from facebook_cyclr_sandbox.server import Sandbox


def main(apps: int) -> None:
    """Serve this many sandboxes."""
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox("approved")) for _ in range(apps)]
        sys.stdout.write(json.dumps([sandbox.description for sandbox in sandboxes]) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
