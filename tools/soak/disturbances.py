"""
Disturb runs, and count their remains: kills, parallel runs, hostile remotes, silent archives.

    python -m tools.soak.disturbances [--tree FOLDER] [--kills 300] [--only kills …] [--json FILE]

`--tree` measures another checkout, with the Python in its own `.venv`; to compare
two checkouts, measure one after the other. Servers are on loopback, and each command
has a time limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.hostile_server import MODES, hostile_server
from tests.support.silent_store import silent_store

ROOT = Path(__file__).parents[2]
_SEED = 20261125
# A practice run takes four or five seconds; it may be killed at any moment.
_LATEST_KILL = 4.5
_PATIENCE = {"run": 120.0, "hostile": 60.0, "archive": 90.0}
_HOSTILE = (
    "--set",
    "service_domain=acme-h.cyclr.com",
    "--set",
    "app_id=1234567890123456",
    "--set",
    "graph_version=v26.0",
    "--tenant",
    "acme",
    "--evidence",
    "evidence",
    "--json",
)
_SECRETS = {"RUNBOOK_FACEBOOK_APP_SECRET": "0123456789abcdef0123456789abcdee"}
_BOUNDS = {"RUNBOOK_EXCHANGE_SECONDS": "3", "RUNBOOK_STEP_SECONDS": "10"}
_STORE = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: the disturbance, and the results by name."""

    what: str
    results: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A checkout, and a separate folder in which its commands work."""

    tree: Path
    folder: Path

    @property
    def evidence(self) -> Path:
        """The evidence folder."""
        return self.folder / "evidence"

    @property
    def temporary(self) -> Path:
        """The folder of temporary files."""
        return self.folder / "temporary"

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start `runbook` with these arguments, in a clean environment."""
        environ = {name: value for name, value in os.environ.items() if "RUNBOOK_" not in name}
        own = {
            "PYTHONPATH": str(self.tree),
            "TMPDIR": str(self.temporary),
            "XDG_DATA_HOME": str(self.folder / "home"),
        }
        return subprocess.Popen(
            [str(self.tree / ".venv" / "bin" / "python"), "-m", "runbook_lib", *arguments],
            cwd=self.folder,
            env={**environ, **own, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, patience: float, *arguments: str, **more: str) -> tuple[int | None, float, str]:
        """Return exit code (`None` if it was stopped), seconds, and output."""
        began = time.monotonic()
        with self.start(*arguments, **more) as process:
            try:
                output = "".join(process.communicate(timeout=patience))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return None, time.monotonic() - began, ""
        return process.returncode, time.monotonic() - began, output

    def verify(self) -> int | None:
        """Return the exit code of `runbook verify` for all sealed evidence."""
        keys = ("--trusted-keys", "evidence/keys")
        return self.run(_PATIENCE["run"], "verify", "evidence", *keys)[0]


@contextmanager
def _place(tree: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Place(tree, Path(folder))
        place.temporary.mkdir()
        yield place


def _left(place: Place) -> dict[str, int]:
    """Count the leftovers: temporary files, private keys, and drafts."""
    loose = [path for path in place.temporary.rglob("*") if not path.is_dir()]
    keys = [path for path in loose if path.suffix == ".pem" and b"PRIVATE" in path.read_bytes()]
    hidden = [path for path in place.evidence.rglob(".*") if place.evidence.is_dir()]
    return {"temporary": len(loose), "private keys": len(keys), "drafts": len(hidden)}


def kills(tree: Path, count: int) -> list[Row]:
    """Kill so many practice runs at random moments; then let one finish."""
    chance = random.Random(_SEED)
    practice = ("run", "--sandbox", "approved", "--evidence", "evidence", "--json")
    with _place(tree) as place:
        most: dict[str, int] = {}
        for _ in range(count):
            process = place.start(*practice)
            try:
                process.communicate(timeout=chance.uniform(0.1, _LATEST_KILL))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            most = {name: max(number, most.get(name, 0)) for name, number in _left(place).items()}
        killed = _left(place)
        time.sleep(6)
        code, _, _ = place.run(_PATIENCE["run"], *practice)
        after = _left(place)
        results = {"exit of the next run": code, "verify": place.verify()}
    rows = [("at most, between kills", most), ("after the last kill", killed)]
    return [
        *(Row(f"{count} kills: left {when}", numbers) for when, numbers in rows),
        Row(f"{count} kills: left after one more run", {**after, **results}),
    ]


def neighbours(tree: Path) -> list[Row]:
    """Start groups of runs at the same moment, in one folder."""
    groups = {
        "three pairs, two tenants each": [["a", "b"]] * 3,
        "eight tenants": [[f"tenant-{number}" for number in range(8)]],
        "eight of one tenant": [["acme"] * 8],
    }
    return [_neighbours(tree, what, rounds) for what, rounds in groups.items()]


def _neighbours(tree: Path, what: str, rounds: Sequence[Sequence[str]]) -> Row:
    with _place(tree) as place:
        codes: list[int | None] = []
        for tenants in rounds:
            practice = ("run", "--sandbox", "approved", "--evidence", "evidence", "--json")
            started = [place.start(*practice, "--tenant", tenant) for tenant in tenants]
            codes += [_ended(process) for process in started]
        sealed = len(list(place.evidence.glob("*/*/2*/statement.dsse.json")))
        results = {"runs": len(codes), "exit 0": codes.count(0), "stopped": codes.count(None)}
        return Row(what, {**results, "bundles": sealed, "verify": place.verify()})


def _ended(process: subprocess.Popen[str]) -> int | None:
    try:
        process.communicate(timeout=_PATIENCE["run"])
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return process.returncode


def hostile(tree: Path) -> list[Row]:
    """Run against a hostile Facebook, mode by mode."""
    return [_hostile(tree, mode) for mode in MODES]


def _hostile(tree: Path, mode: str) -> Row:
    with _place(tree) as place, hostile_server(mode) as url:
        environ = {**_SECRETS, **(_BOUNDS if tree == ROOT else {})}
        graph = ("--set", f"graph_url={url}")
        code, seconds, output = place.run(_PATIENCE["hostile"], "run", *_HOSTILE, *graph, **environ)
        step = _step(output, "fb-13-app-id-and-secret")
        size = len(output) // 1024
        return Row(mode, {"exit": code, "s": round(seconds, 1), "fb-13": step, "KiB said": size})


def _step(output: str, step_id: str) -> str:
    try:
        steps = json.loads(output[output.index("{") : output.rindex("}") + 1])["steps"]
        return next(str(step["outcome"]) for step in steps if step["id"] == step_id)
    except (ValueError, KeyError, StopIteration):
        return "-"


def archive(tree: Path) -> list[Row]:
    """Archive to a failing store, then again when it works."""
    cases = [(mode, kind) for mode in ("silent", "drip", "cut") for kind in ("PUT", "GET", "LIST")]
    return [_archive(tree, mode, kind) for mode, kind in cases]


def _archive(tree: Path, mode: str, kind: str) -> Row:
    with _place(tree) as place, silent_store() as store:
        practice = ("run", "--sandbox", "approved", "--evidence", "evidence")
        place.run(_PATIENCE["run"], *practice)
        environ = {**_STORE, "AWS_ENDPOINT_URL": store.address}
        if tree == ROOT:
            environ["RUNBOOK_ARCHIVE_SECONDS"] = "3"
        words = ("archive", "evidence", "--to", "s3://bucket/evidence")
        store.misbehave(mode, kind, after=3)
        code, seconds, _ = place.run(_PATIENCE["archive"], *words, **environ)
        store.misbehave("", "")
        again, _, _ = place.run(_PATIENCE["archive"], *words, **environ)
        return Row(f"{mode} {kind}", {"exit": code, "s": round(seconds, 1), "then": again})


PARTS: Mapping[str, Callable[[Path], list[Row]]] = {
    "neighbours": neighbours,
    "hostile": hostile,
    "archive": archive,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.disturbances")
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--only", nargs="*", choices=("kills", *PARTS), default=("kills", *PARTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    parts = {"kills": lambda tree: kills(tree, options.kills), **PARTS}
    rows_by_part: dict[str, list[Row]] = {}
    for name in options.only:
        rows_by_part[name] = parts[name](options.tree)
        _print(name, rows_by_part[name])
    if options.json:
        document = {name: [asdict(row) for row in rows] for name, rows in rows_by_part.items()}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _print(name: str, rows: Sequence[Row]) -> None:
    print(f"\n{name}")  # noqa: T201
    for row in rows:
        results = "  ".join(f"{key} {value}" for key, value in row.results.items())
        print(f"  {row.what:44}{results}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
