"""`python -m tools.way_back` shows a customer's way back: what is lost, letters, return, count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runbook_lib.connectors.registry import find_procedure, letters_of
from tests.support.wording import wording

ROOT = Path(__file__).parents[2]


def test_the_story_is_shown_from_the_first_proof_to_the_count() -> None:
    """Five customers, four letters to those who must sign in or act, and a count at the end."""
    shown = subprocess.run(
        [sys.executable, "-m", "tools.way_back"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = " ".join(shown.split())
    english = letters_of(find_procedure("facebook_marketing")).languages["en"].sentences

    assert wording("connections.uses-tried", tried=5, answered=5, refused=0) in shown
    assert shown.count("_facebook_marketing.txt:") == 4
    assert shown.count(english["link"]) == 3
    assert shown.count(wording("connections.leads-are-missing")) == 5
    assert wording("connections.paused-cycle", cycle="Leads to CRM") in shown
    assert wording("connections.method-takes-dates", method="List Leads By Form") in shown
    assert shown.endswith(wording("connections.no-row-was-kept"))
