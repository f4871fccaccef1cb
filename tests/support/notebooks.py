"""Notebooks for tests: made from sources and tags, or copied from the project and changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import notebook_name

ROOT = Path(__file__).parents[2]


def notebook(cells: Iterable[str | tuple[str, list[str]]]) -> Any:
    """Return a notebook for the default kernel with a code cell for each source."""
    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for cell in cells:
        source, tags = (cell, []) if isinstance(cell, str) else cell
        code_cell = nbformat.v4.new_code_cell(source)
        code_cell.metadata["tags"] = tags
        book.cells.append(code_cell)
    return book


def project_with(folder: Path, cell_id: str, source: str) -> Path:
    """Copy the notebook into a new project and put `source` into one cell."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    path = folder / "notebooks" / notebook_name(PROCEDURE)
    document = json.loads(path.read_text(encoding="utf-8"))
    cell = next(cell for cell in document["cells"] if cell["id"] == cell_id)
    cell["source"] = source
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder
