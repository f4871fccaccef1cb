"""
Journals of many thousand lines: one practice run repeated with new ids.

The lines are generic: the longer journal has the same form as the runbook under test writes, and a
valid chain.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GENESIS = "0" * 64


def lengthen(journal: Path, lines: int) -> int:
    """Append the last run of `journal` until it has `lines` lines; return how many it has."""
    pattern = [json.loads(line) for line in journal.read_bytes().splitlines()]
    # NOTE: only the first run records attestations, so the last run is the one to repeat.
    begins = [number for number, line in enumerate(pattern) if line["type"] == "run.started"]
    repeated = pattern[begins[-1] :]
    content = journal.read_bytes()
    prev = hashlib.sha256(content.splitlines(keepends=True)[-1]).hexdigest()
    number = len(pattern)
    end = len(content)
    with journal.open("ab") as file:
        for fields in _repeat(repeated, lines - number):
            number += 1
            data = _moved(fields, number, prev, end)
            line = {**fields, "seq": number, "prev": prev, "data": data}
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            file.write(text)
            prev = hashlib.sha256(text).hexdigest()
            end = end + len(text)
    return number


def _repeat(lines: list[dict[str, Any]], most: int) -> Iterator[dict[str, Any]]:
    sequence = 2
    written = 0
    while written + len(lines) <= most:
        run_id = uuid.uuid4().hex[:8]
        sequence = sequence + 1
        for line in lines:
            written += 1
            data = line["data"]
            if line["type"] == "bundle.sealed":
                name = f"{data['bundle'].rpartition('-')[0]}-{run_id}"
                data = {**data, "bundle": name, "sequence": sequence}
            yield {**line, "run_id": run_id if line["run_id"] else "", "data": data}


def _moved(fields: Mapping[str, Any], number: int, prev: str, end: int) -> Any:
    """Return a line's data; if it names other lines, or the end of a bundle's part, this copy's."""
    data = fields["data"]
    if fields["type"] == "step.checked":
        shift = number - fields["seq"]
        findings = [
            {**finding, "exchanges": [exchange + shift for exchange in finding["exchanges"]]}
            for finding in data["findings"]
        ]
        return {**data, "findings": findings}
    if fields["type"] != "bundle.sealed" or "journal" not in data:
        return data
    return {**data, "journal": {"lines": number - 1, "head": prev, "end": end}}
