"""
Mutation testing: does a test go red when one line of the code is wrong?

`python -m tests.mutants` (or `make mutants`) lets mutmut change a copy of `core/`, `evidence/` and
`remote/`, draws a seeded sample of the mutants, and runs the unit tests that reach each of them.
It prints every mutant that stayed green, as a diff, unless `mutants.toml` beside this file
lists it with a reason. Exit code 1 where one is not listed; 2 where mutmut itself could not run.

Options: `--sample 400`, `--seed 11`, `--minutes 55` (what is not reached by then is counted).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

CONSOLE = Console(highlight=False, markup=False, soft_wrap=True)
ROOT = Path(__file__).parents[1]
SURVIVORS = Path(__file__).with_name("mutants.toml")
_NEEDED = ("runbook_lib", "tests", "notebooks", "pyproject.toml", "requirements.txt")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules")
# Where mutmut is sent first: it makes every mutant, and learns which tests reach which function.
_FIRST = "runbook_lib.core.scratch.*"
_RESULT = re.compile(r"^ +(\S+): (.+)$", re.MULTILINE)
_GREEN = "survived"


class Mutant(NamedTuple):
    """A changed line: the function that it is in, what the line was, and what it became."""

    name: str
    was: str
    became: str

    @property
    def function(self) -> str:
        """Return the dotted name of the function, without mutmut's number."""
        return self.name.partition("__mutmut_")[0]


def listed(text: str) -> set[tuple[str, str, str]]:
    """Return the mutants of `mutants.toml`, each by its function and its two lines."""
    rows = tomllib.loads(text).get("survivor", [])
    lacking = [row["function"] for row in rows if not row.get("reason", "").strip()]
    if lacking:
        msg = f"mutants.toml gives no reason for {', '.join(lacking)}"
        raise ValueError(msg)
    return {(row["function"], row["was"], row["became"]) for row in rows}


def read_mutant(name: str, diff: str) -> Mutant:
    """Return what `mutmut show` prints as a mutant; of several changed lines, joined."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, became = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Mutant(name, was, became)


def sample(names: Iterable[str], size: int, seed: int) -> list[str]:
    """Return the same `size` of `names` for the same seed, whatever their order."""
    every = sorted(names)
    return random.Random(seed).sample(every, min(size, len(every)))


class Mutmut:
    """mutmut at work in a copy of the project."""

    def __init__(self, project: Path) -> None:
        self._project = project
        # NOTE: bytecode is compared by size and whole seconds, and a mutant may be as long.
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(project / "mutants"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, names: Iterable[str], workers: int, seconds: float) -> None:
        """
        Test these mutants until they are done or `seconds` are over.

        Raises `RuntimeError` where mutmut ends with an error.
        """
        command = self._command("run", "--max-children", str(workers), *names)
        with (self._project / "mutmut.log").open("w+b") as log:
            process = subprocess.Popen(
                command, cwd=self._project, env=self._environ, stdout=log, stderr=log
            )
            try:
                code = process.wait(timeout=max(seconds, 1))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                process.wait()
                return
            if code != 0:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-4_000:])

    def results(self) -> dict[str, str]:
        """Return what became of each mutant, by its name."""
        return dict(_RESULT.findall(self._said("results", "--all", "true")))

    def show(self, name: str) -> Mutant:
        """Return a mutant."""
        return read_mutant(name, self._said("show", name))

    def _said(self, *words: str) -> str:
        return subprocess.run(
            self._command(*words),
            cwd=self._project,
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mutmut", *words]


def copy_project(project: Path) -> Path:
    """Copy what the tests need to `project`, and nothing that the checkout has grown."""
    for name in _NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=_LEFT_OUT)
        else:
            shutil.copy(ROOT / name, project)
    # NOTE: Python forgets a folder on its path that is not there when it starts.
    (project / "mutants").mkdir()
    return project


def main(words: list[str]) -> int:
    """Test a sample of mutants, print those that stayed green, and return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.mutants")
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(words)
    end = time.monotonic() + options.minutes * 60
    known = listed(SURVIVORS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="runbook-mutants-") as name:
        mutmut = Mutmut(copy_project(Path(name) / "project"))
        try:
            mutmut.run([_FIRST], options.workers, end - time.monotonic())
            drawn = sample(mutmut.results(), options.sample, options.seed)
            mutmut.run(drawn, options.workers, end - time.monotonic())
        except RuntimeError as error:
            CONSOLE.print(error)
            return 2
        results = mutmut.results()
        green = [mutmut.show(each) for each in drawn if results[each] == _GREEN]
    CONSOLE.print(f"{len(drawn)} mutants of {len(results)}, seed {options.seed}:")
    for result, number in sorted(Counter(results[each] for each in drawn).items()):
        CONSOLE.print(f"{number:5} {result}")
    unlisted = [each for each in green if (each.function, each.was, each.became) not in known]
    CONSOLE.print(f"{len(green) - len(unlisted):5} of the survivors are listed with a reason")
    for mutant in unlisted:
        CONSOLE.print(f"\n{mutant.name}\n- {mutant.was}\n+ {mutant.became}")
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
