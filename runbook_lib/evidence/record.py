"""
The record: one JSON object with a run's outcome, step by step.

It is built from the journal alone, never from notebooks or papermill's status.
`record.schema.json` describes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from runbook_lib.core.files import read_plain
from runbook_lib.core.json_text import compile_schema, parse_json
from runbook_lib.core.procedure import Attachment, Outcome
from runbook_lib.core.state import RunOutcome, RunState
from runbook_lib.core.step_document import attachments_of, step_document
from runbook_lib.errors import ContentError, FormError

RECORD_NAME, SCHEMA_NAME = "record.json", "record.schema.json"
# A record of a hundred steps with all their exchanges has a few MiB.
LARGEST_RECORD = 64 * 1024 * 1024
# The form of a record; no other is read.
_FORM = 4
_SCHEMA = "facebook-marketing-runbook/record/v"


def build_record(
    state: RunState, *, journal: Mapping[str, Any], carried: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """
    Return the record of a run.

    `journal` names the journal lines beside the record, `carried` the older
    ones that its outcomes rest on, by number and SHA-256.
    """
    started = state.started
    return {
        "schema": f"{_SCHEMA}{_FORM}",
        "run_id": state.run_id,
        "tenant": started["tenant"],
        "procedure": started["procedure"],
        "mode": started["mode"],
        "sandbox": started["sandbox"],
        "started_on": state.started_on,
        "finished_on": state.finished_on or None,
        "resumes": started["resumes"] or None,
        "outcome": state.outcome,
        "steps": [step_document(step) for step in state.steps.values()],
        "parameters": started["parameters"],
        "credentials": started["credentials"],
        "environment": dict(state.environment),
        "journal": dict(journal),
        "carried": [dict(line) for line in carried],
    }


def read_record(bundle: Path) -> dict[str, Any]:
    """
    Return the record in the folder `bundle`, without verifying it.

    Raises `ContentError` if it cannot be read or is too large.
    """
    try:
        content = read_plain(bundle / RECORD_NAME, LARGEST_RECORD)
    except OSError as error:
        raise ContentError(f"It cannot be read: {error.strerror}.", file=RECORD_NAME) from None
    return parse_record(content)


def parse_record(content: bytes) -> dict[str, Any]:
    """Parse a record; raises `ContentError` for anything else."""
    try:
        record = parse_json(content)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ContentError("It is not a JSON object.", file=RECORD_NAME)
    check_form(record)
    check_outcomes(record)
    return record


def check_outcomes(record: Mapping[str, Any]) -> None:
    """Raise `ContentError`, with its value, for an outcome that the runbook does not know."""
    try:
        outcomes: list[tuple[str, Any, type[StrEnum]]] = [
            ("the run", record["outcome"], RunOutcome)
        ]
        for step in record["steps"]:
            outcomes.append((str(step["id"]), step["outcome"], Outcome))
            outcomes += [(str(step["id"]), check["outcome"], Outcome) for check in step["checks"]]
    except (KeyError, TypeError) as error:
        raise ContentError(f"It lacks an outcome ({error}).", file=RECORD_NAME) from None
    for name, word, known in outcomes:
        if not isinstance(word, str) or word not in list(known):
            msg = f"It gives {name} the outcome {str(word)[:80]!r}, which does not exist."
            raise ContentError(msg, file=RECORD_NAME)


def check_form(record: Mapping[str, Any]) -> None:
    """Raise `FormError` if `record` has another form than this one."""
    schema = record.get("schema")
    if schema != f"{_SCHEMA}{_FORM}":
        form = schema.removeprefix(_SCHEMA) if isinstance(schema, str) else None
        raise FormError("It", form, _FORM, file=RECORD_NAME)


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record."""
    text = resources.files("runbook_lib.evidence").joinpath(SCHEMA_NAME).read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def validate_record(record: dict[str, Any]) -> None:
    """Raise fastjsonschema's `JsonSchemaException` if `record` does not match its schema."""
    record_validator()(record)


@cache
def record_validator() -> Callable[[Any], Any]:
    """Return the compiled schema of a record, as `validate_record` uses it."""
    return compile_schema(record_schema())


def attachments(state: RunState) -> list[Attachment]:
    """Return every file that people attached to the steps of this run."""
    return [attachment for step in state.steps.values() for attachment in attachments_of(step)]
