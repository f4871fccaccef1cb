"""
A field report: where the shapes of a run's responses differ from the sandbox's.

`python -m tools.field_report RECORD [SCENARIO]` runs the scenario (`approved` if left out) in the
sandbox and compares a bundle's `record.json` with it. It prints keys, types, statuses and error
codes, and no value of the run. It sends nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Shapes = dict[str, set[str]]
_API_VERSION = re.compile(r"v[0-9]+\.[0-9]+")
_ID = re.compile(r"\S*[0-9]\S*")
# In `fields`: an id. A limit has fewer digits.
_NUMBER = re.compile(r"[0-9]{5,}")


def calls_of(record: dict[str, Any]) -> Shapes:
    """Return the shapes of the responses to each call: statuses with codes, and keys with types."""
    calls: Shapes = {}
    for step in record["steps"]:
        for exchange in step["exchanges"]:
            if shape := exchange["shape"]:
                shapes = calls.setdefault(_call(exchange), set())
                shapes.add(f"status {exchange['status']} {shape['error']}".strip())
                shapes |= set(_keys(json.loads(shape["body"])))
    return calls


def _call(exchange: dict[str, Any]) -> str:
    """Return method, path and fields of a request; a part with a digit is an id."""
    parts = urlsplit(exchange["url"])
    words = [word for word in parts.path.split("/") if not _API_VERSION.fullmatch(word)]
    path = "/".join("{id}" if _ID.fullmatch(word) else word for word in words)
    fields = _NUMBER.sub("{id}", parse_qs(parts.query).get("fields", [""])[0])
    grant = (exchange["request"] or {}).get("grant_type", "")
    return f"{exchange['method']} {path} {fields}{grant}".strip()


def _keys(shape: Any, path: str = "body") -> Iterator[str]:
    """Yield each key of a shape with its type; lengths of texts do not count."""
    if isinstance(shape, dict):
        yield f"{path} object"
        for key, inner in shape.items():
            yield from _keys(inner, f"{path}.{key}")
    elif isinstance(shape, list):
        yield f"{path} list"
        for row in shape:
            yield from _keys(row, f"{path}[]")
    else:
        yield f"{path} {shape[:1]}"


def differences(run: Shapes, sandbox: Shapes) -> Iterator[str]:
    """Yield a line for each difference; a call that only the sandbox has is none."""
    for call in sorted(run):
        if call not in sandbox:
            # NOTE: only the words of a call that the sandbox knows are surely no values of the run.
            yield f"{call.split()[0]}: a call that the scenario does not make"
            continue
        known = sandbox[call]
        for shape in sorted(run[call] ^ known):
            yield f"{call}: {'only here' if shape in run[call] else 'only in the sandbox'}: {shape}"


def practise(scenario: str, connector: str, folder: Path) -> dict[str, Any]:
    """Run a scenario in the sandbox, and return its record."""
    words = ("run", "--sandbox", scenario, "--connector", connector, "--evidence", str(folder))
    subprocess.run([sys.executable, "-m", "runbook_lib", *words], cwd=folder, check=False)
    (path,) = folder.glob("*/*/2*/record.json")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def main(words: list[str]) -> None:
    """Print the differences."""
    record = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    scenario = words[1] if len(words) > 1 else "approved"
    with tempfile.TemporaryDirectory() as folder:
        sandbox = practise(scenario, record["procedure"]["id"], Path(folder))
    for line in differences(calls_of(record), calls_of(sandbox)):
        print(line)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
