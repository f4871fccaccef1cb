"""
Count the lines of each package: `make line-counts`.

Counted is all tracked text of the product, the sandbox and these tools, without blank lines.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[1]
_COUNTED = ("runbook_lib", "facebook_cyclr_sandbox", "tools")
_TEXT = (".py", ".toml", ".json", ".js", ".mjs", ".css", ".html", ".j2", ".md")


def main() -> None:
    """Print the lines of each package, and their sum."""
    # NOTE: in a container, a clone may belong to another user.
    command = ("git", "-c", "safe.directory=*", "ls-files", "-z", "--", *_COUNTED)
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines_of: Counter[str] = Counter()
    for name in tracked.split("\0"):
        path = ROOT / name
        if path.suffix in _TEXT and path.is_file():
            package = "/".join(Path(name).parent.parts[:2])
            lines = path.read_bytes().splitlines()
            lines_of[package] += sum(1 for line in lines if line.strip())
    console = Console(highlight=False)
    for package, count in sorted(lines_of.items()):
        console.print(f"{count:7,}  {package}")
    console.print(f"{lines_of.total():7,}  all")


if __name__ == "__main__":
    main()
