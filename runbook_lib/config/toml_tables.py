"""
The reader of TOML files that people write: the file of tenants and the attestations file.

It knows their common form, a list of tables. Its callers read the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli

from runbook_lib.errors import RunbookError


def parse_tables(text: str, path: Path, kind: type[RunbookError], what: str) -> dict[str, Any]:
    """
    Return the TOML document `text`, which was read from `path`.

    Raises an error of type `kind`; its message begins with `what`, such as "The file of tenants".
    """
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise kind(f"{what} {path} is not TOML: {reason}.") from None


def tables_of(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the tables called `name`; raises `ValueError` if they are no list of tables."""
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"write [[{name}]] with two brackets")
    return tables
