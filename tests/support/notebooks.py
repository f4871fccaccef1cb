"""Notebooks for tests: made from sources and tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nbformat


def notebook(cells: Iterable[str | tuple[str, list[str]]]) -> Any:
    """Return a notebook for the default kernel with a code cell for each source."""
    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for cell in cells:
        source, tags = (cell, []) if isinstance(cell, str) else cell
        made = nbformat.v4.new_code_cell(source)
        made.metadata["tags"] = tags
        book.cells.append(made)
    return book
