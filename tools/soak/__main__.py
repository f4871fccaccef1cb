"""
The cost of a long history: time and memory of run, status, verify and report.

    python -m tools.soak [--tree FOLDER] [--lines 1000 10000 …] [--runs 200] [--json FILE]

`--tree` measures another checkout, with the Python in its own `.venv`; to compare
two checkouts, measure one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.soak.histories import lengthen

ROOT = Path(__file__).parents[2]
TENANT = "sandbox-approved"
# No command may run longer than this.
_PATIENCE_SECONDS = 400


@dataclass(frozen=True)
class Cost:
    """The cost of one command."""

    command: str
    """The command."""

    lines: int
    """The number of lines in the journal."""

    seconds: float
    """Seconds by the clock."""

    mebibytes: float
    """The largest resident memory, in MiB."""

    exit_code: int
    """The exit code."""


class Tree:
    """A checkout of the runbook, and the evidence for its commands."""

    def __init__(self, folder: Path, evidence: Path) -> None:
        self._folder = folder
        self._python = folder / ".venv" / "bin" / "python"
        self.evidence = evidence

    def cost(self, lines: int, *arguments: str) -> Cost:
        """Run `runbook` with these arguments; return its cost."""
        began = time.perf_counter()
        environ = {**os.environ, "PYTHONPATH": str(self._folder)}
        with subprocess.Popen(
            [str(self._python), "-m", "runbook_lib", *arguments],
            cwd=self.evidence,
            env={**environ, "XDG_DATA_HOME": str(self.evidence / "home")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            status, most = self._wait(process, began)
        seconds = time.perf_counter() - began
        return Cost(arguments[0], lines, round(seconds, 2), round(most / 1024, 1), status)

    @staticmethod
    def _wait(process: subprocess.Popen[bytes], began: float) -> tuple[int, int]:
        while time.perf_counter() - began < _PATIENCE_SECONDS:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, used.ru_maxrss
            time.sleep(0.01)
        process.kill()
        return -9, os.wait4(process.pid, 0)[2].ru_maxrss

    @property
    def journal(self) -> Path:
        """The tenant's journal, whose place depends on the checkout."""
        return next(self.evidence.glob(f"{TENANT}/**/journal.jsonl"))

    def run(self, lines: int) -> Cost:
        """Run the whole procedure against the sandbox."""
        return self.cost(lines, "run", "--sandbox", "approved", "--evidence", str(self.evidence))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak")
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--lines", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = [cost for lines in options.lines for cost in _costs(options.tree, lines)]
    sizes = _sizes(options.tree, options.runs) if options.runs else []
    _print_costs(costs)
    _print_sizes(sizes)
    if options.json:
        document = {"costs": [asdict(cost) for cost in costs], "bundle_bytes": sizes}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _costs(folder: Path, lines: int) -> list[Cost]:
    """Return the cost of each command with a journal of so many lines."""
    with tempfile.TemporaryDirectory(prefix="soak-") as evidence:
        tree = Tree(folder, Path(evidence))
        tree.run(0)
        # NOTE: the history repeats the second run; attestations are recorded only in the first.
        tree.run(0)
        journal_length = lengthen(_whole_journal(tree), lines)
        for saved in tree.evidence.rglob("state.json"):
            saved.unlink()
        state = ("--tenant", TENANT, "--evidence", str(tree.evidence))
        return [
            _named(tree.cost(journal_length, "status", *state), "status, no index yet"),
            tree.cost(journal_length, "status", *state),
            tree.run(journal_length),
            tree.cost(journal_length, "report", *state),
            tree.cost(
                journal_length,
                "verify",
                str(tree.evidence),
                "--trusted-keys",
                str(tree.evidence / "keys"),
            ),
        ]


def _whole_journal(tree: Tree) -> Path:
    return min(tree.evidence.glob(f"{TENANT}/**/journal.jsonl"), key=lambda path: len(path.parts))


def _named(cost: Cost, command: str) -> Cost:
    return Cost(command, cost.lines, cost.seconds, cost.mebibytes, cost.exit_code)


def _sizes(folder: Path, runs: int) -> list[int]:
    """Return the size in bytes of each bundle of so many runs in sequence."""
    with tempfile.TemporaryDirectory(prefix="soak-") as evidence:
        tree = Tree(folder, Path(evidence))
        for _ in range(runs):
            tree.run(0)
        bundles = sorted(path.parent for path in tree.evidence.rglob("statement.dsse.json"))
        return [_size(bundle) for bundle in bundles]


def _size(bundle: Path) -> int:
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _print_costs(costs: list[Cost]) -> None:
    print(f"{'command':24}{'lines':>9}{'seconds':>10}{'MiB':>9}{'exit':>6}")  # noqa: T201
    for cost in costs:
        row = f"{cost.command:24}{cost.lines:>9}{cost.seconds:>10}{cost.mebibytes:>9}"
        print(f"{row}{cost.exit_code:>6}")  # noqa: T201


def _print_sizes(sizes: list[int]) -> None:
    if sizes:
        first, last, total = (
            f"{size / 1024:,.0f} KiB" for size in (sizes[0], sizes[-1], sum(sizes))
        )
        print(f"{len(sizes)} bundles: the first {first}, the last {last}, all {total}")  # noqa: T201


if __name__ == "__main__":
    main()
