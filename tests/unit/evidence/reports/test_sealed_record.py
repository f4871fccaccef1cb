"""The sealed record of a bundle, for a report that is built again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import ContentError
from runbook_lib.evidence.reports.sealed_record import sealed_record
from runbook_lib.evidence.signing.keys import SigningKey
from tests.support.resigned_statements import resign
from tests.support.wording import field_invalid, field_missing, refused, refused_naming, wording
from tests.unit.evidence.conftest import ended_run, seal_run

RUN = "00000003"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return a sealed bundle, made once per module."""
    return seal_run(ended_run(tmp_path_factory.mktemp("sealed"), RUN), key).folder


@pytest.fixture
def bundle(tmp_path: Path, sealed: Path) -> Path:
    """Return a copy of that bundle."""
    return Path(shutil.copytree(sealed, tmp_path / sealed.name))


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
def test_a_record_that_is_not_the_sealed_one_is_refused(
    spoil: Callable[[Path], Any], bundle: Path
) -> None:
    """A changed or missing record or statement raises `ContentError`."""
    assert sealed_record(bundle).run == RUN
    spoil(bundle)

    with pytest.raises(ContentError) as caught:
        sealed_record(bundle)
    assert caught.value.file == "record.json"


def test_a_bundle_that_is_gone_is_named(bundle: Path) -> None:
    """A bundle that the journal announces and whose folder is gone raises `ContentError`."""
    shutil.rmtree(bundle)

    with refused_naming(ContentError, bundle.name):
        sealed_record(bundle)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"run": 7}, field_invalid("run")),
        ({"procedure": {}}, field_missing("procedure.id")),
        ({"steps": None}, field_invalid("steps")),
        ({"more": 1}, wording("journal-chain-broken.unknown-field", field="it")),
    ],
)
def test_a_signed_record_of_another_form_is_named_by_its_place(
    change: dict[str, Any], where: str, bundle: Path, key: SigningKey
) -> None:
    """A record that does not match its schema is an error with the place, even if it is signed."""
    record = json.loads((bundle / "record.json").read_text())
    (bundle / "record.json").write_text(json.dumps({**record, **change}))
    resign(bundle, key)

    with refused(ContentError, "not-a-valid-record", where=where) as caught:
        sealed_record(bundle)

    assert caught.value.file == "record.json"
