"""
The lines of each room, and its budget, so that growth is a decision: `make rooms`.

Counted is all tracked text of the product, the sandbox and these tools, without blank lines. A room
is a folder of the product; the sandbox is one, and so are the tools. Budgets are in `rooms.toml`
beside this file. Exit code 1 if a room is above its own.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PRODUCT = "runbook_lib"
_WHOLES = (PRODUCT, "facebook_cyclr_sandbox", "tools")
_TEXT = (".py", ".toml", ".json", ".js", ".mjs", ".css", ".html", ".j2", ".md")


def git(root: Path, *arguments: str) -> str:
    """Return what a command of git prints about the clone at `root`."""
    # NOTE: in a container, a clone may belong to another user.
    command = ("git", "-c", "safe.directory=*", *arguments)
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def lines_of_rooms(root: Path) -> Counter[str]:
    """Return the lines of each room of the clone at `root`."""
    listed = git(root, "ls-files", "-z", "--", *_WHOLES)
    rooms: Counter[str] = Counter()
    for name in listed.split("\0"):
        path = root / name
        if path.suffix in _TEXT and path.is_file():
            whole, *folders, _ = Path(name).parts
            room = f"{whole}/{folders[0]}" if whole == PRODUCT and folders else whole
            rooms[room] += sum(bool(line.strip()) for line in path.read_bytes().splitlines())
    return rooms


def main(root: Path = ROOT) -> int:
    """Print the table, and return the exit code."""
    budgets = tomllib.loads((root / "tools" / "rooms.toml").read_text(encoding="utf-8"))
    rooms = lines_of_rooms(root)
    table = Table("room", box=None)
    for title in ("lines", "budget", "over"):
        table.add_column(title, justify="right")
    is_over = False
    for room, lines in sorted(rooms.items()):
        budget = budgets.get(room, 0)
        is_over = is_over or lines > budget
        over = f"{lines - budget:,}" if lines > budget else ""
        table.add_row(room, f"{lines:,}", f"{budget:,}", over)
    Console(width=80).print(table)
    return 1 if is_over else 0


if __name__ == "__main__":
    sys.exit(main())
