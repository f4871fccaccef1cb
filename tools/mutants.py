"""
Mutation testing: does a test go red when one line of the code is wrong?

`python -m tools.mutants` (or `make mutants`) lets mutmut change a copy of `core/`, `evidence/` and
`remote/`. It draws a seeded sample of the mutants, and runs the unit tests that cover each of them.
It prints every mutant that stayed green, as a diff, unless `mutants.toml` beside this file lists it
with a reason. Exit code 1 if one is not listed; 2 if mutmut itself could not run. Code that only
other tests reach is counted as `no tests`: S3, for one, which `tests/contract` covers.
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
_NEEDED = (
    "runbook_lib",
    "facebook_cyclr_sandbox",
    "tests",
    "notebooks",
    "pyproject.toml",
    "requirements.lock",
    "requirements.txt",
)
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules")
# A layer's mutants are tested by the tests that mirror it. Deselected tests start another Python,
# where mutmut cannot follow, or measure time for half a minute. With its dependency tracking, or
# with its process titles, CPython 3.11 was seen to crash.
# Each layer is listed with a small module that mutmut tests first: it then creates every mutant
# and records which tests cover which function.
LAYERS = {"core": "scratch", "evidence": "junit", "remote": "limits"}
_SETTINGS = """
[tool.mutmut]
source_paths = ["runbook_lib"]
only_mutate = ["runbook_lib/{layer}/*.py"]
also_copy = ["facebook_cyclr_sandbox", "notebooks", "requirements.txt"]
pytest_add_cli_args_test_selection = ["tests/unit/{layer}"]
pytest_add_cli_args = [
    "-pno:cacheprovider", "-pno:randomly",
    "-k", "not the_same_run_gives and not in_proportion and not mebibytes"
]
use_git_change_detection = false
track_dependencies = false
use_setproctitle = false
"""
# NOTE: mutmut notes in a ContextVar which function calls which, also where it does not track
# dependencies; CPython 3.11 crashes in `ContextVar.set` under the generators of `remote`.
_MUTMUT = """
from mutmut.core import MutmutCallStack
MutmutCallStack.set = MutmutCallStack.reset = lambda _: None
from mutmut.__main__ import cli
cli(prog_name="mutmut")
"""
_RESULT = re.compile(r"^ +(\S+): (.+)$", re.MULTILINE)
_GREEN = "survived"


class Mutant(NamedTuple):
    """A changed line: its function, the original line, and the changed one."""

    name: str
    was: str
    became: str

    @property
    def function(self) -> str:
        """The dotted name of the function, without mutmut's number."""
        return self.name.partition("__mutmut_")[0]


def listed(text: str) -> set[tuple[str, str, str]]:
    """Return the mutants of `mutants.toml`, each by its function and its two lines."""
    rows = tomllib.loads(text).get("survivor", [])
    lacking = [row["function"] for row in rows if not row.get("reason", "").strip()]
    if lacking:
        raise ValueError(f"mutants.toml gives no reason for {', '.join(lacking)}")
    return {(row["function"], row["was"], row["became"]) for row in rows}


def read_mutant(name: str, diff: str) -> Mutant:
    """Return the output of `mutmut show` as a mutant; several changed lines are joined."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, became = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Mutant(name, was, became)


def sample(names: Iterable[str], size: int, seed: int) -> list[str]:
    """Return the same `size` of `names` for the same seed, in any order of `names`."""
    every = sorted(names)
    return random.Random(seed).sample(every, min(size, len(every)))


class Mutmut:
    """Runs mutmut on one layer, in a copy of the project."""

    def __init__(self, layer: str, project: Path) -> None:
        copy_project(project)
        with (project / "pyproject.toml").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS.format(layer=layer))
        self._prefix = f"runbook_lib.{layer}."
        self._project = project
        # NOTE: bytecode is compared by size and whole seconds, and a mutant may differ in neither.
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(project / "mutants"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def prepare(self, workers: int) -> list[str]:
        """Make every mutant of the layer, and return their names; raises `RuntimeError`."""
        layer = self._prefix.split(".")[1]
        self._run([f"{self._prefix}{LAYERS[layer]}.*__mutmut_1"], workers, None)
        return [name for name in self.results() if name.startswith(self._prefix)]

    def test(self, names: Iterable[str], workers: int, seconds: float) -> dict[str, str]:
        """
        Test the mutants in `names` in the layer, for at most `seconds`; return the results.

        Raises `RuntimeError` if mutmut ends with an error.
        """
        mine = [name for name in names if name.startswith(self._prefix)]
        if mine:
            self._run(mine, workers, max(seconds, 1))
        results = self.results()
        return {name: results[name] for name in mine}

    def _run(self, names: Iterable[str], workers: int, seconds: float | None) -> None:
        command = self._command("run", "--max-children", str(workers), *names)
        with (self._project / "mutmut.log").open("w+b") as log:
            process = subprocess.Popen(
                command,
                cwd=self._project,
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                return
            finally:
                _end(process)
            if code != 0:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-4_000:])

    def results(self) -> dict[str, str]:
        """Return the result of each mutant, by its name."""
        return dict(_RESULT.findall(self._result_of("results", "--all", "true")))

    def show(self, name: str) -> Mutant:
        """Return a mutant."""
        return read_mutant(name, self._result_of("show", name))

    def _result_of(self, *words: str) -> str:
        return subprocess.run(
            self._command(*words),
            cwd=self._project,
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", _MUTMUT, *words]


def _end(process: subprocess.Popen[bytes]) -> None:
    """
    End `process` and its workers, if they still run.

    NOTE: not by SIGINT, which a shell lets its background jobs ignore. mutmut has written each
    result by then.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def copy_project(project: Path) -> None:
    """Copy the files that the tests need to `project`."""
    project.mkdir()
    for name in _NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=_LEFT_OUT)
        else:
            shutil.copy(ROOT / name, project)
    # NOTE: Python ignores a folder on its path that does not exist when it starts.
    (project / "mutants").mkdir()


def main(words: list[str]) -> int:
    """Test a sample of mutants, print those that stayed green, and return the exit code."""
    options = _options(words)
    end = time.monotonic() + options.minutes * 60
    known = listed(SURVIVORS.read_text(encoding="utf-8"))
    results: dict[str, str] = {}
    green: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="runbook-mutants-") as name:
        try:
            layers = [Mutmut(layer, Path(name) / layer) for layer in LAYERS]
            every = [candidate for layer in layers for candidate in layer.prepare(options.workers)]
            drawn = sample(every, options.sample, options.seed)
            for left, layer in zip(range(len(layers), 0, -1), layers, strict=True):
                tested = layer.test(drawn, options.workers, (end - time.monotonic()) / left)
                results |= tested
                green += [
                    layer.show(candidate) for candidate in tested if tested[candidate] == _GREEN
                ]
        except RuntimeError as error:
            CONSOLE.print(error)
            return 2
    CONSOLE.print(f"{len(drawn)} mutants of {len(every)}, seed {options.seed}:")
    for result, number in sorted(Counter(results.values()).items()):
        CONSOLE.print(f"{number:5} {result}")
    unlisted = [
        candidate
        for candidate in green
        if (candidate.function, candidate.was, candidate.became) not in known
    ]
    CONSOLE.print(f"{len(green) - len(unlisted):5} of the survivors are listed with a reason")
    for mutant in unlisted:
        CONSOLE.print(f"\n{mutant.name}\n- {mutant.was}\n+ {mutant.became}")
    return 1 if unlisted else 0


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.mutants")
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
