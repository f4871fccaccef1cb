"""The runs of a tenant, their order, and which of them are not as they were sealed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.state import open_history
from runbook_lib.errors import ChainError, ContentError
from runbook_lib.evidence.reports.run_history import RecordFault, sealed_record, sealed_runs
from runbook_lib.evidence.signing.keys import SigningKey
from tests.support.journals import copied
from tests.unit.evidence.conftest import ended_run, seal_run
from tests.unit.evidence.verify.test_verify import payload, resign_everything, sign_again

# Not in alphabetical order: the folder names differ only in the ids.
IDS = ("00000003", "00000001", "00000002")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with three sealed runs of one tenant, made once per module."""
    evidence = tmp_path_factory.mktemp("sealed")
    for run_id in IDS:
        seal_run(ended_run(evidence, run_id), key)
    return evidence


@pytest.fixture
def tenant(tmp_path: Path, sealed: Path) -> Path:
    """Return a copy of that tenant's folder."""
    return Path(shutil.copytree(sealed, tmp_path, dirs_exist_ok=True)) / "acme" / "p"


def listed(tenant: Path) -> list[tuple[int, str, RecordFault | None]]:
    runs = sealed_runs(open_history(tenant))
    return [(run.number, run.run_id, run.fault) for run in runs]


def bundle(tenant: Path, run_id: str) -> Path:
    (found,) = tenant.glob(f"2*-{run_id}")
    return found


def test_runs_are_in_the_order_of_sealing(tenant: Path) -> None:
    """Runs are in the order of the journal, not of their folder names."""
    assert listed(tenant) == [(number, run_id, None) for number, run_id in enumerate(IDS, start=1)]


def test_a_run_whose_folder_is_gone_is_missing(tenant: Path) -> None:
    """A run without its folder is missing, also the last one; the journal says when it started."""
    shutil.rmtree(bundle(tenant, IDS[2]))

    run = sealed_runs(open_history(tenant))[2]
    assert (run.number, run.bundle, run.fault) == (
        3,
        f"20261124T120000Z-{IDS[2]}",
        RecordFault.MISSING,
    )
    assert (run.run_id, run.started_on) == (IDS[2], "2026-11-24T12:00:00.000Z")
    assert (run.mode, run.sandbox, run.record) == ("headless", False, None)


def edit_record(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "outcome": "complete"}))


@pytest.mark.parametrize(
    "spoil",
    [
        edit_record,
        lambda folder: (folder / "record.json").unlink(),
        lambda folder: (folder / "statement.dsse.json").unlink(),
        lambda folder: (folder / "statement.dsse.json").write_text("{}"),
        lambda folder: (folder / "statement.dsse.json").write_text('{"payload": "W10="}'),
    ],
)
def test_a_run_whose_record_is_not_the_sealed_one_is_altered(
    spoil: Callable[[Path], Any], tenant: Path
) -> None:
    """A run with a changed record or statement is altered, and its record is not used."""
    spoil(bundle(tenant, IDS[1]))

    assert listed(tenant)[1] == (2, IDS[1], RecordFault.ALTERED)
    assert sealed_runs(open_history(tenant))[1].record is None


def test_no_report_is_built_of_a_record_that_was_altered(tenant: Path) -> None:
    """An altered record raises `ContentError`."""
    folder = bundle(tenant, IDS[0])
    assert sealed_record(folder).run_id == IDS[0]
    path = folder / "record.json"
    path.write_text(path.read_text().replace('"outcome": "failed"', '"outcome": "complete"'))

    with pytest.raises(ContentError, match=r"record\.json: It is not the sealed one"):
        sealed_record(folder)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"run_id": 7}, "run_id is not valid"),
        ({"procedure": {}}, "procedure.id is missing"),
        ({"journal": None}, "journal is not valid"),
        ({"more": 1}, "it has a field that the runbook does not write"),
    ],
)
def test_a_signed_record_of_another_form_is_named_by_its_place(
    change: dict[str, Any], where: str, tenant: Path, key: SigningKey
) -> None:
    """A record that does not match its schema is an error with the place, even if it is signed."""
    folder = bundle(tenant, IDS[0])
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, **change}))
    resign_everything(folder, key, payload(folder / "statement.dsse.json"))

    with pytest.raises(ContentError) as caught:
        sealed_record(folder)

    assert str(caught.value) == f"record.json: It is not a valid record: {where}."


def test_a_re_signed_statement_is_not_the_announced_one(tenant: Path, key: SigningKey) -> None:
    """A statement that was signed again is altered: the journal has the first one's digest."""
    folder = bundle(tenant, IDS[1])
    statement = payload(folder / "statement.dsse.json")
    sign_again(folder, key, {**statement, "predicate": {**statement["predicate"], "x": 1}})

    assert listed(tenant)[1] == (2, IDS[1], RecordFault.ALTERED)


def test_unannounced_runs_are_last(tenant: Path) -> None:
    """Runs that an older journal does not announce are last; their names say when they started."""
    journal = tenant / "journal.jsonl"
    journal.write_bytes(copied(bundle(tenant, IDS[0]), bundle(tenant, IDS[1])))
    edit_record(bundle(tenant, IDS[2]))
    (tenant / "2026-no-bundle").mkdir()

    assert listed(tenant) == [
        (1, IDS[0], None),
        (0, IDS[1], None),
        (0, IDS[2], RecordFault.ALTERED),
    ]
    assert sealed_runs(open_history(journal.parent))[2].started_on == "20261124T120000Z"


def test_a_tenant_without_a_sealed_run_has_none(tmp_path: Path) -> None:
    """A run that was not sealed is not listed."""
    assert sealed_runs(ended_run(tmp_path).history_reader) == []


def test_an_altered_journal_raises(tenant: Path) -> None:
    """An altered journal raises `ChainError`."""
    journal = tenant / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"Done.", b"Gone.", 1))

    with pytest.raises(ChainError):
        listed(tenant)
