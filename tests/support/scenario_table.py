"""
The table of scenarios: `tests/runs/scenario_outcomes.toml`.

It has the exit code of each scenario, and for each step its outcome and the codes of its findings,
such as `failed: redirect-uri-refused`. Other scenarios list only the steps that differ from those
of `approved`. `pytest tests/runs/test_scenarios.py --update-scenarios` rewrites it; read the diff.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

UPDATE = "--update-scenarios"
_TABLE = Path(__file__).parents[1] / "runs" / "scenario_outcomes.toml"
_BASE = "approved"
_HEAD = """\
# Exit code of each scenario, and each step's outcome with the codes of its findings.
# `pytest tests/runs/test_scenarios.py --update-scenarios` rewrites it; read the diff.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-scenarios`."""
    parser.addoption(UPDATE, action="store_true", help="rewrite the table of scenarios")


def scenarios(connector: str) -> tuple[str, ...]:
    """Return the names of a connector's scenarios."""
    return tuple(_read_table()[connector])


def expected(connector: str, scenario: str) -> tuple[int, dict[str, str]]:
    """Return the exit code of a scenario, and the outcome and codes of every step."""
    rows = _read_table()[connector]
    row = rows[scenario]
    return int(row["exit_code"]), {**rows[_BASE]["steps"], **row.get("steps", {})}


def seen(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the outcome and the codes of every step of a record, as the table has them."""
    found = {}
    for step in record["steps"]:
        codes = ", ".join(check["code"] for check in step["findings"])
        found[step["id"]] = f"{step['outcome']}: {codes}" if codes else step["outcome"]
    return found


def has_fixed_codes(connector: str, scenario: str) -> bool:
    """Return whether the codes do not depend on the order in which checks run."""
    return not _read_table()[connector][scenario].get("codes_vary", False)


def update(connector: str, scenario: str, exit_code: int, steps: Mapping[str, str]) -> None:
    """Write the row of a scenario."""
    table = _read_table()
    rows = table[connector]
    base = {} if scenario == _BASE else rows[_BASE].get("steps", {})
    different = {name: text for name, text in steps.items() if base.get(name) != text}
    rows[scenario] = {**rows[scenario], "exit_code": exit_code, "steps": different}
    sections = (
        _section(f"{connector}.{name}", row)
        for connector in table
        for name, row in table[connector].items()
    )
    _TABLE.write_text("\n".join((_HEAD, *sections)), encoding="utf-8")


def _section(name: str, row: Mapping[str, Any]) -> str:
    """Return a row as a table of TOML; its strings are those of JSON."""
    facts = {key: value for key, value in row.items() if key != "steps"}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]
    if row.get("steps"):
        lines += [
            f"[{name}.steps]",
            *(f"{key} = {json.dumps(text)}" for key, text in row["steps"].items()),
        ]
    return "\n".join((*lines, ""))


def _read_table() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))
