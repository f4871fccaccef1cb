"""Tests whose programs are missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.programs import problems
from tests.support.wording import wording

ROOT = Path(__file__).parents[1]
LISTED = ("chromium", "git", "node", "npm", "openssl", "softhsm2-util", "unshare")
TESTS = """\
from tests.support.programs import needs
import pytest

@pytest.fixture
def browser():
    raise AssertionError("requested without a browser")

@needs("openssl")
def test_of_openssl(): raise AssertionError("ran without openssl")
@needs("openssl", "node")
def test_of_both(): raise AssertionError("ran without openssl and node")
def test_by_its_fixture(browser): pass
def test_of_nothing(): pass
"""
Try = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder with every listed program, each of which does nothing and succeeds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in LISTED:
        (folder / name).symlink_to("/bin/true")
    return folder


@pytest.fixture
def try_tests(tmp_path: Path, programs: Path) -> Try:
    """Return a function that runs `TESTS` with only `programs` on the PATH."""
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")

    def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.support.programs", *options)
        return _run(*command, folder=tmp_path, path=str(programs), variables=variables)

    return run


def _run(
    *command: str, folder: Path, path: str, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` with only this environment."""
    environ = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two"])
def test_tests_without_their_program_are_left_out(
    try_tests: Try, programs: Path, options: tuple[str, ...]
) -> None:
    """
    The other tests run; a line for each program says how many tests are left out and how to get it.
    """
    for name in ("openssl", "node", "chromium"):
        (programs / name).unlink()

    result = try_tests(*options)

    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
    said = [line for line in result.stdout.splitlines() if line.startswith("left out")]
    assert said == [
        wording("tests.left-out", count=number, name=name, packages=packages)
        for number, name, packages in (
            (1, "chromium", "chromium fonts-dejavu-core"),
            (1, "node", "nodejs"),
            (2, "openssl", "openssl"),
        )
    ]


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "another"])
def test_ci_leaves_nothing_out(try_tests: Try, programs: Path, options: tuple[str, ...]) -> None:
    """In CI a missing program is an error, whatever the result of the other tests."""
    (programs / "openssl").unlink()

    result = try_tests(*options, "-k", "openssl or nothing", CI="true")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert wording("tests.openssl-missing") in result.stdout


def test_ci_accepts_a_missing_program_that_no_test_needs(try_tests: Try, programs: Path) -> None:
    """In CI a program that no selected test needs may be missing."""
    (programs / "chromium").unlink()

    result = try_tests("--deselect", "test_it.py::test_by_its_fixture", "-k", "nothing", CI="true")

    assert (result.returncode, "left out" in result.stdout) == (0, False), result.stdout


def test_a_program_that_is_not_allowed_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, programs: Path
) -> None:
    """`unshare` counts as missing if it is not allowed, as in most containers."""
    monkeypatch.setenv("PATH", str(programs))
    assert problems() == {}

    (programs / "unshare").unlink()
    (programs / "unshare").symlink_to("/bin/false")
    assert problems() == {"unshare": wording("tests.unshare-not-allowed")}


@pytest.fixture
def set_up(tmp_path: Path, programs: Path) -> Try:
    """
    Return a function that runs `.ci/programs` in a copy, with an `apt-get` that prints its
    arguments.
    """
    for name in (".ci/programs", "tests/programs.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("bash", "grep", "dirname"):
        (programs / name).symlink_to(str(shutil.which(name)))

    def run(*, user: int = 0) -> subprocess.CompletedProcess[str]:
        for name, line in (("apt-get", 'echo "apt-get $*" >&2'), ("id", f"echo {user}")):
            (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        script = (str(programs / "bash"), str(tmp_path / ".ci" / "programs"))
        return _run(*script, folder=tmp_path, path=str(programs), variables={})

    return run


def test_the_set_up_is_silent_if_nothing_is_missing(set_up: Try) -> None:
    """If nothing is missing, the set-up prints nothing, since every `make test` runs it."""
    result = set_up()

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_set_up_names_what_it_may_not_install(set_up: Try, programs: Path) -> None:
    """
    For a user other than root, it names the missing programs and the command, and ends with 1.
    """
    (programs / "node").unlink()
    (programs / "softhsm2-util").unlink()

    result = set_up(user=1000)

    assert result.returncode == 1
    missing = wording(
        "tests.programs-missing", names="node softhsm2-util", packages="nodejs softhsm2"
    )
    assert result.stderr == f"{missing}\n"


def test_the_set_up_installs_what_is_missing_and_nothing_else(set_up: Try, programs: Path) -> None:
    """As root it installs only the packages of the missing programs, and announces them."""
    (programs / "chromium").unlink()

    result = set_up()

    assert result.returncode == 0, result.stderr
    assert "chromium fonts-dejavu-core" in result.stdout
    install = result.stderr.splitlines()[-1]
    assert install.startswith("apt-get install -y")
    assert install.endswith(" chromium fonts-dejavu-core")
