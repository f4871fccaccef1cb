"""`fleet` ends with an exit code of its contract, whatever its files are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.evidence.fleet_result import TenantResult, TenantRunStatus
from runbook_lib.operations.fleet import Fleet, Job
from tests.support.odd_files import FILES, ends_well, once_each, put, remove, time_limit

pytestmark = pytest.mark.matrix(80)

NOTES = Path("evidence/fleet/20261124T000000Z-0badcafe/unsealed.json")
JOURNAL = "acme/facebook_marketing/journal.jsonl"
WORDS = (
    ("tenants.toml", ("fleet", "tenants.toml")),
    (".env", ("fleet", "tenants.toml")),
    ("attestations.toml", ("fleet", "tenants.toml", "--attestations", "attestations.toml")),
    ("out.xml", ("fleet", "tenants.toml", "--junit", "out.xml")),
    ("evidence", ("fleet", "tenants.toml")),
    ("evidence/fleet", ("fleet", "tenants.toml")),
    (f"evidence/{JOURNAL}", ("fleet", "tenants.toml")),
    (f"{NOTES}", ("fleet", "tenants.toml", "--resume", "0badcafe")),
    (f"{NOTES}", ("fleet", "tenants.toml", "--failed")),
)


@pytest.fixture
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with a fleet that has run once; no process is started."""

    def run(groups: Any, _: object) -> Iterator[tuple[object, RunEnd]]:
        return ((request, RunEnd()) for group in groups for request, _ in group)

    def result(_: Fleet, job: Job, _end: RunEnd) -> TenantResult:
        return replace(job.pending, status=TenantRunStatus.SEALED, outcome="complete", exit_code=0)

    monkeypatch.setattr("runbook_lib.operations.fleet.run_all", run)
    monkeypatch.setattr(Fleet, "tenant_result", result)
    text = '[[tenant]]\ntenant = "acme"\nservice_domain = "acme.cyclr.com"\n'
    Path("tenants.toml").write_text(text)
    with time_limit():
        assert CliRunner().invoke(main, ("fleet", "tenants.toml")).exit_code == 0
    (noted,) = Path("evidence/fleet").iterdir()
    shutil.move(noted, NOTES.parent)
    yield folder
    remove(*folder.iterdir())


@pytest.mark.parametrize(("kind", "place_and_words"), once_each(FILES, WORDS))
def test_a_fleet_ends_when_a_file_is_odd(
    kind: str, place_and_words: tuple[str, tuple[str, ...]], project: Path
) -> None:
    """A pipe, a device, something huge or malformed in place of a file ends with a known code."""
    place, words = place_and_words
    put(FILES[kind], Path(place))

    ends_well(*words)
