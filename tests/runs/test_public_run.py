"""A whole run with the public names: its result shows itself, and its bundle verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

import runbook_lib
from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.engine.practice import practise_tenant
from runbook_lib.errors import EvidenceError


def test_a_run_shows_itself_and_its_bundle_verifies(folder: Path) -> None:
    """The result has the steps and a link to the report; a changed record does not verify."""
    request = runbook_lib.RunRequest(
        procedure=runbook_lib.find_procedure("facebook_marketing"), tenant="acme"
    )
    result = practise_tenant("approved", request)

    shown = result._repr_html_()
    assert result.report.is_file()
    assert f'href="{result.report.resolve().as_uri()}"' in shown
    assert shown.count("<tr>") == len(result.steps) + 1
    assert {line.outcome for line in result.steps} == {Outcome.VERIFIED, Outcome.ATTESTED}
    assert runbook_lib.status("acme").outcome == RunOutcome.COMPLETE

    keys = [folder / "evidence" / "keys"]
    verified = runbook_lib.verify_bundle(result.sealed.folder, keys)
    assert verified.key_id == result.key_id

    record = result.sealed.folder / "record.json"
    record.write_bytes(record.read_bytes().replace(b"acme", b"acmf", 1))
    with pytest.raises(EvidenceError):
        runbook_lib.verify_bundle(result.sealed.folder, keys)
