"""`python -m tools.field_report` compares a record's responses with the sandbox's, in shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.runs.conftest import ROOT
from tests.support.practice_runs import PractiseOnce


def report_on(record: dict[str, Any], folder: Path) -> list[str]:
    """Return the lines of the report about a record."""
    path = folder / "record.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    words = [sys.executable, "-m", "tools.field_report", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_field_report_shows_what_differs_and_no_value(
    practice_run: PractiseOnce, tmp_path: Path
) -> None:
    """A record of the sandbox differs in nothing; a new key, type, status or call is one line."""
    record = json.loads((practice_run("approved").bundle / "record.json").read_text("utf-8"))
    assert report_on(record, tmp_path) == []

    exchanges = {
        exchange["url"].partition("?")[0].rpartition("/")[2]: exchange
        for exchange in record["exchanges"].values()
        if exchange["shape"]
    }
    shape = exchanges["debug_token"]["shape"]
    body = json.loads(shape["body"])
    body["data"] |= {"app_id": "i", "brand_new": "s8"}
    shape["body"] = json.dumps(body)
    exchanges["businesses"]["status"] = 418
    exchanges["connectors"]["url"] = "https://api.cyclr.com/v1.0/acme-secret-name"

    lines = report_on(record, tmp_path)
    assert "GET /*/debug_token: only here: body.data.app_id i" in lines
    assert "GET /*/debug_token: only here: body.data.brand_new s" in lines
    assert any("only here: status 418" in line for line in lines)
    assert any(line.startswith("a call that the scenario does not make") for line in lines)
    assert "acme-secret-name" not in "\n".join(lines)
