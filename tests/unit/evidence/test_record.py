"""The record is the state of its run, and its schema refuses every other document."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ContentError, FormatError
from runbook_lib.evidence.record import parse_record, read_record, record_bytes, record_schema
from runbook_lib.run.events import FORMAT
from tests.support.wording import refused, refused_naming
from tests.unit.evidence.conftest import AT, STEPS, Change, lost, memory_below, new

Record = dict[str, Any]


@pytest.fixture
def record(run: Run) -> Record:
    """Return the record of a run with every outcome, as JSON."""
    document: Record = json.loads(record_bytes(run.state))
    return document


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """Return the schema with which others may read a record."""
    return jsonschema.Draft202012Validator(record_schema())


def read(record: Record) -> Any:
    """Read a record as a bundle has it."""
    return parse_record(json.dumps(record).encode())


def test_a_record_with_every_outcome_is_valid(
    record: Record, run: Run, validator: jsonschema.Draft202012Validator
) -> None:
    """A record with each of the seven outcomes is valid, and is read as the state that it is."""
    validator.validate(record)

    assert read(record) == run.state
    assert [step["outcome"] for step in record["steps"]] == [
        "verified",
        "attested",
        "waiting",
        "inconclusive",
        "failed",
        "skipped",
        "skipped",
        "not_run",
    ]
    assert [step["id"] for step in record["steps"]] == [step.id for step in STEPS]


def test_a_record_tells_whose_run_it_was_and_how_it_ended(record: Record, run: Run) -> None:
    """Run, tenant, procedure, mode, times and outcome are those of the journal."""
    assert record["format"] == FORMAT
    assert (record["run"], record["tenant"]) == ("0a1b2c3d", "acme")
    digest = run.procedure.digest
    assert record["procedure"] == {"id": "p", "version": "1", "digest": digest, "package": None}
    assert (record["mode"], record["sandbox"], record["resumes"]) == ("headless", False, "")
    assert record["started_on"] == record["finished_on"] == "2026-11-24T12:00:00.000Z"
    assert record["outcome"] == "failed"
    assert record["credentials"] == ["app_secret"]


def test_a_step_shows_what_its_outcome_rests_on(record: Record) -> None:
    """A verified step has findings with limits and exchanges; an attested one has its author."""
    step, said, *_ = record["steps"]
    (finding,) = step["findings"]
    (number,) = finding["exchanges"]
    assert finding["reason"] == step["reason"]
    assert finding["limits"] == ["The rest."]
    assert record["exchanges"][str(number)]["url"] == "https://api.example/"
    assert finding["tables"] == [
        {"caption": "Pages", "columns": ["ID", "Name"], "rows": [["1", "Acme"]]}
    ]
    assert step["checked_on"] == "2026-11-24T12:00:00.000Z"
    assert step["attestation"] is None

    attestation = said["attestation"]
    assert (attestation["by"], attestation["at"]) == ("Operator", AT)
    assert (attestation["note"], said["findings"]) == ("Done.", [])
    assert record["steps"][6]["attestation"]["note"] == "Not needed."


TABLE = ("steps", 0, "findings", 0, "tables", 0)


@pytest.mark.parametrize(
    "falsify",
    [
        new("steps", 1, "attestation", by=""),
        new("steps", 7, outcome="completed"),
        # A table has its caption, nothing more, and texts only.
        lost(*TABLE, "caption"),
        new(*TABLE, token="x"),
        new(*TABLE, rows=[[1, "Acme"]]),
        # A run has an outcome and the fields of this form, and no others.
        new("steps", 0, score=1),
        new(signed=True),
        new(outcome="success"),
        lost("sandbox"),
        new(format=FORMAT - 1),
    ],
)
def test_a_record_of_another_form_is_refused(
    record: Record, falsify: Change, validator: jsonschema.Draft202012Validator
) -> None:
    """The schema refuses it, in our reader and in jsonschema, which others may use to read it."""
    false = copy.deepcopy(record)
    falsify(false)

    with pytest.raises((ContentError, FormatError)):
        read(false)
    assert not validator.is_valid(false)


def test_every_field_of_a_record_is_required(
    record: Record, validator: jsonschema.Draft202012Validator
) -> None:
    """A record without any one field is refused."""
    for place in (record, record["steps"][0], record["steps"][0]["findings"][0]):
        for name in list(place):
            value = place.pop(name)
            assert not validator.is_valid(record), name
            place[name] = value


def test_the_schema_itself_is_valid() -> None:
    """The schema is valid JSON Schema 2020-12 and accepts the ids of every step."""
    schema = record_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    pattern = schema["$defs"]["StepState"]["properties"]["id"]
    for step in PROCEDURE.steps:
        jsonschema.validate(step.id, pattern)


@pytest.mark.parametrize("content", [b"", b"null", b"\xff", b"[" * 100_000])
def test_an_invalid_record_is_refused(content: bytes) -> None:
    """A file that is not a JSON object raises `ContentError`."""
    with refused(ContentError, "not-a-json-object") as caught:
        parse_record(content)
    assert caught.value.file == "record.json"


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    """A record above the size limit is refused without reading it into memory."""
    with (tmp_path / "record.json").open("wb") as file:
        file.truncate(2**30)

    with (
        memory_below(160 * 2**20),
        refused_naming(ContentError, "67,108,864"),
    ):
        read_record(tmp_path)
