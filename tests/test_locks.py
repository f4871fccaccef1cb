"""Installed packages are locked, and checked by their hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.wording import wording
from tools import newest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "tests/requirements.lock")
# A requirement of a lock: a name and a version, perhaps a marker, then its hashes.
HASHED = re.compile(
    r"[a-z0-9.-]+(?:\[[a-z0-9,-]+\])?==[^ \\]+(?: ; [^\\]+)?"
    r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+"
)


def text(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads(text("pyproject.toml"))


def recipe(target: str) -> str:
    """Return the commands of a target of the Makefile, with the variable that installs."""
    makefile = text("Makefile")
    install = re.search(r"^INSTALL = (.*)$", makefile, re.MULTILINE)
    lines = re.search(rf"^\$\(VENV\)/{re.escape(target)}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert install
    assert lines
    return lines[1].replace("$(INSTALL)", install[1])


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    """Each package has the hash of each of its files, so another file is refused."""
    assert HASHED.sub("", text(name)).split() == []


@pytest.mark.parametrize(
    ("lock", "plain"), [(LOCKS[0], "requirements.txt"), (LOCKS[1], "tests/requirements.txt")]
)
def test_both_lists_of_one_lock_have_the_same_versions(lock: str, plain: str) -> None:
    """One command without hashes installs what the lock installs; only the lock has a backend."""
    locked = newest.locked_versions(text(lock))
    listed = newest.locked_versions(text(plain))

    assert listed.items() <= locked.items()
    assert ("hatchling" in locked.keys() - listed.keys()) == (lock == LOCKS[0])


def test_tests_share_the_versions_of_the_product() -> None:
    """The tests' lock never replaces a package of the product by another version."""
    product, tests = (newest.locked_versions(text(name)) for name in LOCKS)

    assert {name: product[name] for name in product.keys() & tests} == {
        name: tests[name] for name in product.keys() & tests
    }


def test_the_build_backend_is_locked() -> None:
    """The lock has all that pip fetches to build the package, so it builds without a network."""
    needed = set(project()["build-system"]["requires"])

    assert needed <= set(project()["dependency-groups"]["build"])
    assert {"hatchling", "editables"} <= newest.locked_versions(text(LOCKS[0])).keys()


@pytest.mark.parametrize(
    ("target", "lock"), [(".installed", LOCKS[0]), (".installed-tests", LOCKS[1])]
)
def test_make_installs_by_hash_alone(target: str, lock: str) -> None:
    """`make` installs wheels whose hashes match, and the package itself without fetching more."""
    commands = [line for line in recipe(target).splitlines() if "pip install" in line]

    assert f"--require-hashes --only-binary :all: -r {lock}" in commands[0].replace("--quiet ", "")
    assert all("--no-deps --no-build-isolation -e ." in command for command in commands[1:])


@pytest.mark.parametrize(
    ("name", "locked"), [("anywidget", 1), ("httpcore", 2), ("httpx", 1), ("ipython", 10),
                         ("jupyterlab", 5), ("msgspec", 1), ("papermill", 3), ("voila", 1)],
)  # fmt: skip
def test_a_major_version_that_breaks_us_is_bounded(name: str, locked: int) -> None:
    """A package that reaches deep into the product never moves to a new major version unasked."""
    ranges = [
        each for each in project()["project"]["dependencies"] if re.match(rf"{name}[>=]", each)
    ]

    assert [each.partition(",<")[2] for each in ranges] == [str(locked)]


def test_the_newest_is_tested_without_bounds_for_major_versions() -> None:
    """A bound that keeps a broken or slow release out stays; one for a major version does not."""
    requirements = newest.unbounded_requirements()

    assert [each for each in requirements if "<" in each] == [
        "jsonschema>=4.23,<4.25",
        "jupyterlab-widgets>=3.0.15,<3.0.17",
    ]
    assert {"httpx>=0.28", "hatchling>=1.27", "pytest>=8.3"} <= set(requirements)


def test_a_release_newer_than_the_lock_is_named() -> None:
    """A failure shows which package moved."""
    version = newest.locked_versions(text(LOCKS[0]))["httpx"]

    assert newest.newer_than_locked({"httpx": "99.1", "not-locked": "1"}) == [
        wording("tests.newer-than-locked", name="httpx", locked=version, tested="99.1")
    ]
    assert newest.newer_than_locked({"httpx": version}) == []
