"""The record has the journal's content, and its schema refuses claims without evidence."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import convert, to_builtins

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ContentError, FormatError
from runbook_lib.evidence.record import (
    JournalExcerpt,
    build_record,
    parse_record,
    record_schema,
    record_text,
)
from tests.support.journals import described
from tests.support.wording import refused, refused_naming
from tests.unit.evidence.conftest import AT, STEPS, Change, lost, memory_below, new

Record = dict[str, Any]


def lines_copied(run: Run) -> JournalExcerpt:
    return convert(described(run.journal), JournalExcerpt)


def read(record: Record) -> Any:
    """Read a record as a bundle has it."""
    return parse_record(json.dumps(record).encode())


@pytest.fixture
def record(run: Run) -> Record:
    built = build_record(run.state, journal=lines_copied(run), carried=())
    document: Record = json.loads(json.dumps(to_builtins(built)))
    return document


def test_a_record_has_what_nothing_shows(run: Run, record: Record) -> None:
    """As the state has it; a record from before it had one is read all the same."""
    del record["unverifiable"]
    unverifiable = ("When tokens end.",)
    state = replace(run.state, unverifiable=unverifiable)

    built = build_record(state, journal=lines_copied(run), carried=())
    assert built.unverifiable == unverifiable
    assert read(record).unverifiable == ()


def test_a_record_with_every_outcome_is_valid(record: Record) -> None:
    """A record with each of the seven outcomes is valid."""
    read(record)
    jsonschema.validate(record, record_schema())

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
    """Run, tenant, procedure, mode, times, outcome and the last line are those of the journal."""
    assert record["schema"] == "facebook-marketing-runbook/record/v14"
    assert (record["run_id"], record["tenant"]) == ("0a1b2c3d", "acme")
    digest = run.procedure.digest
    assert record["procedure"] == {"id": "p", "version": "1", "digest": digest, "package": None}
    assert (record["mode"], record["sandbox"], record["resumes"]) == ("headless", False, None)
    assert record["started_on"] == record["finished_on"] == "2026-11-24T12:00:00.000Z"
    assert record["outcome"] == "failed"
    assert record["credentials"] == ["app_secret"]
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    assert record["journal"] == {
        "first": 1,
        "previous": "0" * 64,
        "lines": len(lines),
        "head": hashlib.sha256(lines[-1]).hexdigest(),
    }


def test_a_step_shows_what_its_outcome_rests_on(record: Record) -> None:
    """A verified step has checks with limits and exchanges; an attested one has its author."""
    step, said, *_ = record["steps"]
    assert step["checks"][0]["reason"] == step["reason"]
    assert step["checks"][0]["limits"] == ["The rest."]
    assert step["checks"][0]["exchanges"] == [step["exchanges"][0]["number"]]
    assert step["checks"][0]["tables"] == [
        {"caption": "Pages", "columns": ["ID", "Name"], "rows": [["1", "Acme"]]}
    ]
    assert step["exchanges"][0]["url"] == "https://api.example/"
    assert step["checked_on"] == "2026-11-24T12:00:00.000Z"
    assert step["attested_by"] is None

    assert said["attested_by"] == "Operator"
    assert (said["attestation"]["at"], said["attestation"]["note"]) == (AT, "Done.")
    assert (said["checks"], said["exchanges"]) == ([], [])
    assert record["steps"][6]["attestation"]["note"] == "Not needed."


def test_a_run_under_way_has_no_end(run: Run) -> None:
    """An unfinished run is recorded without an end."""
    under_way = replace(run.state, finished_on="")
    record = build_record(under_way, journal=lines_copied(run), carried=())

    assert record.finished_on is None


TABLE = ("steps", 0, "checks", 0, "tables", 0)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """Return the schema with which others may read a record."""
    return jsonschema.Draft202012Validator(record_schema())


@pytest.mark.parametrize(
    "falsify",
    [
        # An outcome needs its evidence.
        new("steps", 0, exchanges=[]),
        new("steps", 0, checks=[]),
        new("steps", 0, checked_on=None),
        new("steps", 1, attested_by=None),
        new("steps", 1, attestation=None),
        new("steps", 1, "attestation", by=""),
        new("steps", 7, outcome="completed"),
        new("steps", 7, reason=""),
        # A table has its caption, nothing more, and texts only.
        lost(*TABLE, "caption"),
        new(*TABLE, token="x"),
        new(*TABLE, rows=[[1, "Acme"]]),
        # A run has steps, an outcome and the fields of this form, and no others.
        new(steps=[]),
        new("steps", 0, score=1),
        new(signed=True),
        new(started_on="2026-11-24T12:00:00.000+01:00"),
        new(outcome="success"),
        new("journal", head="0" * 63),
        lost("sandbox"),
        new(schema="facebook-marketing-runbook/record/v0"),
    ],
)
def test_a_record_that_claims_more_than_it_shows_is_refused(
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
    for name in record:
        assert not validator.is_valid({key: value for key, value in record.items() if key != name})
    for place in (record["steps"][0], record["steps"][0]["checks"][0]):
        for name in list(place):
            value = place.pop(name)
            assert not validator.is_valid(record)
            place[name] = value


def test_the_schema_itself_is_valid() -> None:
    """The schema is valid JSON Schema 2020-12 and accepts the ids of every step."""
    schema = record_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    pattern = schema["$defs"]["StepRecord"]["properties"]["id"]
    for step in PROCEDURE.steps:
        jsonschema.validate(step.id, pattern)


def test_a_record_is_read_unverified(tmp_path: Path, record: Record) -> None:
    """`parse_record` returns the record without verifying it."""
    (tmp_path / "record.json").write_text(json.dumps(record))

    assert json.loads(json.dumps(to_builtins(parse_record(record_text(tmp_path))))) == record


@pytest.mark.parametrize("content", [b"", b"null", b"\xff", b"[" * 100_000])
def test_an_invalid_record_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not a JSON object raises `ContentError`."""
    (tmp_path / "record.json").write_bytes(content)

    with refused(ContentError, "not-a-json-object") as caught:
        parse_record(record_text(tmp_path))
    assert caught.value.file == "record.json"


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    """A record above the size limit is refused without reading it into memory."""
    with (tmp_path / "record.json").open("wb") as file:
        file.truncate(2**30)

    with (
        memory_below(160 * 2**20),
        refused_naming(ContentError, "67,108,864"),
    ):
        parse_record(record_text(tmp_path))
