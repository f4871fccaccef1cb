"""
The lines of each room, without blank ones, so that growth is a decision: `make rooms`.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
_COUNTED = (".py", ".js", ".mjs", ".css", ".html", ".j2", ".json", ".toml")
_LOCKS = ("package-lock.json",)


def main() -> None:
    """Print the lines of each folder of the product and of the tests, by kind of file."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    rooms: dict[str, Counter[str]] = {}
    for name in listed.stdout.splitlines():
        path = Path(name)
        if path.suffix in _COUNTED and path.name not in _LOCKS and (ROOT / path).is_file():
            room = "/".join(path.parts[: min(2, len(path.parts) - 1)]) or "."
            lines = sum(bool(line.strip()) for line in (ROOT / path).read_bytes().splitlines())
            kind = "Python" if path.suffix == ".py" else "others"
            rooms.setdefault(room, Counter())[kind] += lines
    rooms |= {
        f"{whole}, all": sum((c for n, c in rooms.items() if n.split("/")[0] == whole), Counter())
        for whole in ("runbook_lib", "tests")
    }
    table = Table("room", "Python", "others", box=None)
    for room, counts in sorted(rooms.items()):
        table.add_row(room, f"{counts['Python']:,}", f"{counts['others']:,}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
