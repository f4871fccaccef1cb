"""
The lines of each room, without blank ones, so that growth is a decision: `make rooms`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
_COUNTED = (".py", ".js", ".mjs", ".css", ".html", ".j2", ".json", ".toml")
_NOT_OURS = ("node_modules", "__pycache__", ".sdists", "package-lock.json")


def main() -> None:
    """Print the lines of each folder of the product and of the tests, by kind of file."""
    rooms: dict[str, Counter[str]] = {}
    for whole in ("runbook_lib", "facebook_cyclr_sandbox", "tests"):
        for path in (ROOT / whole).rglob("*"):
            parts = path.relative_to(ROOT).parts
            if path.suffix not in _COUNTED or set(_NOT_OURS) & set(parts) or not path.is_file():
                continue
            lines = sum(bool(line.strip()) for line in path.read_bytes().splitlines())
            kind = "Python" if path.suffix == ".py" else "others"
            for room in ("/".join(parts[:2]) if parts[2:] else whole, f"{whole}, all"):
                rooms.setdefault(room, Counter())[kind] += lines
    table = Table("room", "Python", "others", box=None)
    for room, counts in sorted(rooms.items()):
        table.add_row(room, f"{counts['Python']:,}", f"{counts['others']:,}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
