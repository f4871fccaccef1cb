"""`python -m tools.way_back` shows a customer's way back: what is lost, letters, return, count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runbook_lib.connectors.registry import find_procedure, letters_of

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

    assert "5 customers tried: 5 answered, 0 not." in shown
    assert shown.count("— The letter ") == 4
    assert shown.count(english["link"]) == 3
    assert shown.count("Leads are missing at least since") == 5
    assert "Cyclr paused the cycle Leads to CRM" in shown
    assert "List Leads By Form, which takes dates" in shown
    assert "in form" in shown.rsplit("$ runbook connections --count", 1)[-1]
