"""
A field report: where the shapes of a run's responses differ from the sandbox's.

`python -m tools.field_report RECORD [SCENARIO]` runs the scenario (`approved` if left out) in the
sandbox and compares a bundle's `record.json` with it. It prints keys, types, statuses and error
codes, and no value of the run. It sends nothing.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Exchange
from runbook_lib.engine.headless import RunRequest
from runbook_lib.engine.practice import practise_tenant
from runbook_lib.evidence.record import parse_record
from runbook_lib.run.state import RunState

# A part of a path, or of `fields`, that has a digit: an id, a limit or the API's version.
_NUMBERED = re.compile(r"[^/,() ]*[0-9][^/,() ]*")


def find_shapes(record: RunState) -> dict[str, set[str]]:
    """Return the shapes of the responses to each call: statuses with codes, and keys with types."""
    calls: dict[str, set[str]] = {}
    numbers = {number for step in record.steps for number in step.exchange_numbers}
    for exchange in map(record.exchanges.__getitem__, sorted(numbers)):
        if exchange.shape:
            shapes = calls.setdefault(_call(exchange), set())
            shapes.add(f"status {exchange.status}, error {exchange.shape.error!r}")
            shapes.update(_keys(json.loads(exchange.shape.body)))
    return calls


def _call(exchange: Exchange) -> str:
    """Return method, path, fields and grant of a request; `*` stands for a part with a digit."""
    url = urlsplit(exchange.url)
    fields = dict(parse_qsl(url.query)).get("fields", "")
    grant = (exchange.request or {}).get("grant_type", "")
    return _NUMBERED.sub("*", f"{exchange.method} {url.path} {fields}{grant}".strip())


def _keys(shape: Any, path: str = "body") -> Iterator[str]:
    """Yield each key with the first letter of its type; an object is `{`, and a list `[`."""
    yield f"{path} {str(shape)[0]}"
    match shape:
        case dict():
            for key, value in shape.items():
                yield from _keys(value, f"{path}.{key}")
        case list():
            for row in shape:
                yield from _keys(row, f"{path}[]")


def main(path: str, scenario: str = "approved") -> None:
    """Print a line for each difference; a call that only the sandbox has is none."""
    record = parse_record(Path(path).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(
            procedure=find_procedure(record.procedure.id), tenant="practice", evidence=folder
        )
        practice = practise_tenant(scenario, request)
        sandbox = find_shapes(practice.state)
    for call, shapes in find_shapes(record).items():
        # NOTE: only the words of a call that the sandbox knows are surely no values of the run.
        name = call if call in sandbox else "a call that the scenario does not make"
        for shape in sorted(shapes ^ sandbox.get(call, set())):
            place = "here" if shape in shapes else "in the sandbox"
            print(f"{name}: only {place}: {shape}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
