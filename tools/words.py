"""
How many words a page has, and a sentence on it: `python -m tools.words [COMMIT]`.

Pages are the documents that people read, and the notebooks: what a step says to do, without folds.
Code, tables and headings do not count. With a commit, its figures stand beside today's.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import PurePath

from rich.console import Console
from rich.table import Table

from tools.rooms import ROOT, git

_NO_PROSE = re.compile(r"^```.*?^```|^(\||#|<|!\[).*?$", re.DOTALL | re.MULTILINE)
# What stands below a step's own text: folds and the picture.
_BELOW = re.compile(r"^<(?:details|figure).*", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n\s*\n|\n\s*(?:[-*]|\d+\.)\s")


def figures(prose: str) -> tuple[int, float]:
    """Return the words of `prose`, and how many a sentence of it has on average."""
    text = _LINK.sub(r"\1", _NO_PROSE.sub("", prose))
    sentences = [each.split() for each in _SENTENCE.split(text) if each.strip()]
    words = sum(map(len, sentences))
    return words, words / max(len(sentences), 1)


def pages(commit: str = "") -> dict[str, str]:
    """Return the prose of each page, of the working tree or of `commit`."""
    found: dict[str, str] = {}
    for name in git(ROOT, "ls-tree", "-r", "--name-only", commit or "HEAD").splitlines():
        path = PurePath(name)
        is_page = path.suffix == ".md" and path.parent.name in ("", "docs")
        if name == "CHANGELOG.md" or not (is_page or path.suffix == ".ipynb"):
            continue
        text = git(ROOT, "show", f"{commit}:{name}") if commit else (ROOT / name).read_text("utf-8")
        found[name] = text if is_page else _steps(text)
    return found


def _steps(notebook: str) -> str:
    """Return what each Markdown cell of a notebook says above its folds and its picture."""
    cells = [each for each in json.loads(notebook)["cells"] if each["cell_type"] == "markdown"]
    return "\n\n".join(_BELOW.sub("", "".join(each["source"])) for each in cells)


def main(words: list[str]) -> None:
    """Print the table."""
    commits = [*words[:1], ""]
    table = Table()
    table.add_column("page", no_wrap=True)
    for commit in commits:
        table.add_column(f"words, {commit or 'now'}", justify="right")
        table.add_column("a sentence", justify="right")
    known = [pages(commit) for commit in commits]
    for name in known[-1]:
        row = [figures(each.get(name, "")) for each in known]
        table.add_row(name, *(part for n, mean in row for part in (f"{n:,}", f"{mean:.1f}")))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
