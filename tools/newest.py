"""
The requirements of pyproject.toml without their upper bounds for major versions (`.ci/newest`).

It runs in an environment that has nothing else yet, so it imports the standard library alone.
A bound with a minor version, such as `<3.0.17`, stays: it keeps out a release that is known to
break the product, and a comment in pyproject.toml says how.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_MAJOR_BOUND = re.compile(r",\s*<\d+(?=\s*(?:;|$))")
_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def unbounded_requirements() -> list[str]:
    """
    Return the requirements of the product, its tests and its build, without bounds for major
    versions.
    """
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    requirements = [*project["project"]["dependencies"], *groups["build"], *groups["test"]]
    return [_MAJOR_BOUND.sub("", requirement) for requirement in requirements]


def locked_versions(lock: str) -> dict[str, str]:
    """Return the version of each package that `lock` pins, the text of a requirements file."""
    return dict(_PIN.findall(lock))


def newer_than_locked(installed: dict[str, str]) -> list[str]:
    """Return a line for each package whose version in `installed` is not the locked one."""
    locked: dict[str, str] = {}
    for name in ("requirements.lock", "tests/requirements.lock"):
        locked |= locked_versions((_ROOT / name).read_text(encoding="utf-8"))
    return [
        f"{name} {locked[name]} is locked, {version} is tested"
        for name, version in sorted(installed.items())
        if name in locked and locked[name] != version
    ]


if __name__ == "__main__":
    if "--compare" in sys.argv:
        names = locked_versions(sys.stdin.read().lower().replace("_", "-"))
        lines = newer_than_locked(names) or ["Nothing is newer than the lock."]
    else:
        lines = unbounded_requirements()
    sys.stdout.writelines(f"{line}\n" for line in lines)
