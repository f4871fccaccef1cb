"""
Whole report pages, compared with approved ones in `pages/`.

After an intended change, rewrite them with `UPDATE_PAGES=1` and review the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.evidence.reports.report import run_report
from tests.unit.evidence.reports.sample_runs import (
    EVERY_OUTCOME,
    attachment,
    attestation_json,
    attested,
    check,
    checked,
    lines_of,
    record,
    skip,
    skipped,
    step,
)

PAGES = Path(__file__).parent / "pages"
_REVIEW = "fb-12-submit-review"
_TEST = "test-01-install"


def complete() -> str:
    """Return the report of a production run in which everything is settled."""
    said = attestation_json("fb-01-log-in", note="As the owner.")
    steps = (
        step("fb-01-log-in", "attested", attestation=said, attachments=[attachment()]),
        step("fb-04-create-app"),
        step(
            _TEST,
            "skipped",
            attestation=skip(_TEST, "Cyclr does it."),
            reason="Operator: Cyclr does it.",
        ),
    )
    lines = [
        attested("fb-01-log-in", note="As the owner."),
        checked("fb-04-create-app", "verified"),
        skipped(_TEST, note="Cyclr does it."),
    ]
    return run_report(record(*steps), lines)


def failed() -> str:
    """Return the report of a practice run with every outcome, warnings, limits and tables."""
    table = {"caption": "Pages", "columns": ["ID", "Name"], "rows": [["1", "Bakery"]]}
    seen = check("failed", "Wrong.", warnings=["Soon."], limits=["Not shown."], tables=[table])
    steps = (*EVERY_OUTCOME, step(_REVIEW, "failed", reason="Wrong.", checks=[seen]))
    run = record(*steps, outcome="failed", sandbox=True)
    return run_report(run, lines_of(run))


MAKERS: dict[str, Callable[[], str]] = {"complete": complete, "failed": failed}


def plain(page: str) -> str:
    """Return a page without its styles, what outcomes mean in general, and blank lines."""
    page = re.sub(r"(?s)<style>.*?</style>|(?<=facts legend\">).*?(?=</dl>)", "", page)
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


@pytest.mark.parametrize("name", MAKERS)
def test_a_page_is_as_approved(name: str) -> None:
    """The rendered page equals the approved one."""
    approved = PAGES / f"{name}.html"
    page = plain(MAKERS[name]())
    if os.environ.get("UPDATE_PAGES"):
        approved.write_text(page, encoding="utf-8")

    assert page == approved.read_text(encoding="utf-8")
