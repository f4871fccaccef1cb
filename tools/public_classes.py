"""
Print every public class with the first line of its docstring: `make classes`.

Read the list aloud: a name or a line that a newcomer would not understand is a defect.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("runbook_lib", "facebook_cyclr_sandbox")


def public_classes(root: Path = _ROOT) -> Iterator[tuple[str, str, str]]:
    """Yield file, name and first docstring line of each public class; the line may be empty."""
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    text = (ast.get_docstring(node) or "").partition("\n")[0]
                    yield path.relative_to(root).as_posix(), node.name, text


def main() -> None:
    """Print the list."""
    file = ""
    for path, name, text in public_classes():
        if path != file:
            file = path
            print(f"\n{file}")  # noqa: T201
        print(f"  {name:30} {text}")  # noqa: T201


if __name__ == "__main__":
    main()
