"""
Writes docs/outcomes.md: every code of a finding and of an error, with its advice.

The codes of findings are the tables of each `codes.toml`; the codes of errors come from their
classes.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.outcome import LABELS, OUTCOMES
from runbook_lib.errors import RunbookError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "outcomes.md"
PACKAGE = ROOT / "runbook_lib"
# The folders with a `codes.toml`, in their order on the page.
_SECTIONS = {
    "connectors": "Any check",
    "facebook": "Facebook",
    "cyclr": "Cyclr",
    "facebook_marketing": "Facebook Marketing connector",
    "facebook_messenger": "Facebook Messenger connector",
}
_HEAD = """# Outcomes and codes

A step's outcome follows from the findings of its checks and from people's attestations. Every
finding and every error has a `code`, which stays the same when its sentence is reworded. Programs
should read the code. It is in the journal, in `record.json` and in `--json`.

`make outcomes` writes this page.

## When a check may say failed

*Failed* needs a proof, as *verified* needs a control:

- **An absence** counts only from a whole list: read to its last page, not left out, null or empty.
  If a second source lists the thing, the check is inconclusive and names both.
- **A refusal** counts only if the table of refusals has it: HTTP 4xx with a known code, subcode or
  text. Server faults, limits and other codes decide nothing.
- **A page** is gone only if it answered 404 or 410 twice. For anything else, open it yourself.

A finding that nothing was done yet (*to do*) contradicts a person's attestation, unless the finding
names limits.

## Outcomes

| outcome | on screen | means |
|---|---|---|
"""
_ERRORS = """## Codes of errors

A check that ends with an error is inconclusive, with the error's code.

| code | means | what to do | exit code |
|---|---|---|---|
"""


def finding_codes() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the tables of each `codes.toml`, by the name of its folder."""
    files = {path.parent.name: path for path in PACKAGE.rglob("codes.toml")}
    return {
        name: tomllib.loads(files[name].read_text(encoding="utf-8"))
        for name in (*_SECTIONS, *(files.keys() - _SECTIONS.keys()))
    }


def named_codes() -> dict[str, set[str]]:
    """Return the codes of findings in the product's source, by the folder that names them."""
    named: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for keyword in node.keywords if isinstance(node, ast.Call) else ():
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else ""
                if keyword.arg in ("code", "doubt_code") and isinstance(value, str) and value:
                    named.setdefault(path.parent.name, set()).add(value)
    return named


def error_classes() -> list[type[RunbookError]]:
    """Return every class of errors, sorted by code; the modules that define one are imported."""
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "Error(" in source and "    code = " in source:
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))

    def with_kinds(error: type[RunbookError]) -> Iterator[type[RunbookError]]:
        yield error
        for kind in error.__subclasses__():
            yield from with_kinds(kind)

    own = (error for error in with_kinds(RunbookError) if error.__module__.startswith("runbook_"))
    return sorted(own, key=lambda error: error.code)


def page() -> str:
    """Return the text of docs/outcomes.md."""
    outcomes = [
        f"| `{outcome}` | {LABELS[outcome]} | {row.meaning} |" for outcome, row in OUTCOMES.items()
    ]
    sections = []
    for folder, codes in finding_codes().items():
        rows = [
            f"| `{code}` | {', '.join(f'`{outcome}`' for outcome in row['outcomes'])} "
            f"| {row['means']} | {row.get('advice', '')} |"
            for code, row in codes.items()
        ]
        heading = _SECTIONS.get(folder) or find_procedure(folder).title
        head = f"## {heading}\n\n| code | outcome | means | what to do |\n|---|---|---|---|"
        sections.append("\n".join((head, *rows)))
    errors = [
        f"| `{error.code}` | {_first_paragraph(error)} | {error.next_step} "
        f"| {int(error.exit_code)} |"
        for error in error_classes()
    ]
    parts = (_HEAD + "\n".join(outcomes), *sections, _ERRORS + "\n".join(errors))
    return "\n\n".join(parts) + "\n"


def _first_paragraph(error: type[RunbookError]) -> str:
    return " ".join((error.__doc__ or "").strip().partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
