"""
Write docs/dependencies.md: each package that the locks pin, with its version and licence.

pip-licenses reads the licence from the metadata of the installed packages. A package that only
another system or Python needs is not installed here, so the table says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tools.newest import locked_versions

_ROOT = Path(__file__).resolve().parent.parent
PAGE = _ROOT / "docs" / "dependencies.md"
_HEAD = """\
# Dependencies

`make dependencies` writes this page from `requirements.lock`, `tests/requirements.lock` and the
metadata of the installed packages. `make lock` compiles the locks anew from the ranges in
`pyproject.toml`. `make newest` tests with the newest release of everything.

`make run`, `make test` and CI install from the locks: wheels alone, each checked by its SHA-256
hash. `pip install -r requirements.txt` installs the same versions without that check.

"""
# Some metadata name the file instead of the licence.
_FILES = {"LICENSE.txt": "see its LICENSE.txt", "UNKNOWN": "see its licence file"}
_ELSEWHERE = "not installed here: for another system or Python"


def licences() -> dict[str, str]:
    """Return the licence of each package that this environment has, by its normalised name."""
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed"]
    done = subprocess.run([*command, "--with-system"], check=True, capture_output=True, text=True)
    packages = json.loads(done.stdout)
    return {
        package["Name"].lower().replace("_", "-").replace(".", "-"): _FILES.get(
            package["License"], package["License"]
        )
        for package in packages
    }


def table(title: str, pinned: dict[str, str], known: dict[str, str]) -> str:
    """Return a section with a row for each package in `pinned`."""
    rows = [
        f"| {name} | {version} | {known.get(name.replace('.', '-'), _ELSEWHERE)} |"
        for name, version in sorted(pinned.items())
    ]
    return "\n".join([f"## {title}", "", "| package | version | licence |", "|---|---|---|", *rows])


def page() -> str:
    """Return the whole page."""
    product = locked_versions((_ROOT / "requirements.lock").read_text(encoding="utf-8"))
    tests = locked_versions((_ROOT / "tests/requirements.lock").read_text(encoding="utf-8"))
    only_tests = {name: version for name, version in tests.items() if name not in product}
    known = licences()
    sections = [
        table("The product and its build", product, known),
        table("Tests and tools only", only_tests, known),
    ]
    return _HEAD + "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
