"""The worked example of ARCHITECTURE.md is what a practice run does."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import ROOT, runbook

STEP = "fb-05-confirm-creation"
# Each sandbox has an app of its own.
APP_ID = "2562321671137511"
# Numbers, hashes and times differ from run to run; only their types are compared.
VOLATILE = frozenset({"seq", "sha256", "prev", "checked_on", "exchanges"})


class _Text(HTMLParser):
    """Collects the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    """Return language and content of each block of the example."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    example = text.partition("## One step, from its text to the report\n")[2].partition("\n## ")[0]
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", example, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in found] == ["toml", "python", "python", "json", "json", ""]
    return found


@pytest.fixture(scope="module")
def run_blocks(blocks: list[tuple[str, str]], bundle: Path) -> list[str]:
    """Return the blocks with the App ID of the run."""
    steps = json.loads((bundle / "record.json").read_text(encoding="utf-8"))["steps"]
    (reason,) = (step["reason"] for step in steps if step["id"] == STEP)
    (app_id,) = re.findall(r"[0-9]{15,}", reason)
    return [content.replace(APP_ID, app_id) for _, content in blocks]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a practice run."""
    evidence = tmp_path_factory.mktemp("example") / "evidence"
    runbook("run", "--sandbox", "approved", "--evidence", str(evidence))
    (record,) = evidence.glob("*/*/*/record.json")
    return record.parent


def contains(whole: Any, part: Any) -> bool:
    """Return whether every value of `part` is in `whole`, at the same place."""
    if isinstance(part, dict):
        return all(
            key in whole
            and (
                type(whole[key]) is type(value) if key in VOLATILE else contains(whole[key], value)
            )
            for key, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) >= len(part) and all(map(contains, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize(("place", "file"), [(0, "facebook/steps.toml"), (1, "facebook/app.py")])
def test_text_and_check_are_in_their_files(
    blocks: list[tuple[str, str]], place: int, file: str
) -> None:
    """Each line of the text and of the check is in the file that the example names."""
    source = (ROOT / "runbook_lib/connectors" / file).read_text(encoding="utf-8")
    known = {line.strip() for line in source.splitlines()}
    lines = [line.strip() for line in blocks[place][1].splitlines()]
    assert [line for line in lines if line not in known and "…" not in line] == []


def test_a_run_writes_the_journal_line_and_the_record(run_blocks: list[str], bundle: Path) -> None:
    """Journal line and record of a run contain what the example shows."""
    journal, record = (json.loads(run_blocks[place]) for place in (3, 4))
    lines = (bundle / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert any(contains(json.loads(line), journal) for line in lines)
    steps = json.loads((bundle / "record.json").read_text(encoding="utf-8"))["steps"]
    (step,) = (step for step in steps if step["id"] == STEP)
    assert contains(step, record)
    assert all(text in run_blocks[2] for text in (step["reason"], step["code"]))


def test_the_report_shows_outcome_reason_and_limit(run_blocks: list[str], bundle: Path) -> None:
    """The report contains each line of the example."""
    page = _Text((bundle / "report.html").read_text(encoding="utf-8"))
    shown = re.sub(r"\s+", "", "".join(page.texts))
    for line in run_blocks[5].splitlines():
        assert re.sub(r"\s+", "", line) in shown
