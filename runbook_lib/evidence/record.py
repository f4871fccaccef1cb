"""
The record in a bundle: the state of its run as JSON, `record.json`.

Its JSON Schema is made from the model.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, ValidationError

from runbook_lib.core.files import read_plain
from runbook_lib.core.model import (
    ModelStruct,
    Number,
    Sha256,
    describe_invalid_field,
    json_schema,
)
from runbook_lib.errors import ContentError, FormatError, reported_as
from runbook_lib.run.events import FORMAT
from runbook_lib.run.state import RunState

RECORD_NAME = "record.json"
# A record of a hundred steps with all their exchanges has a few MiB.
LARGEST_RECORD = 64 * 1024 * 1024
_decode = msgspec.json.Decoder(RunState).decode


class JournalExcerpt(ModelStruct):
    """The journal lines in journal.jsonl: those since the previous bundle."""

    first: Annotated[Number, Meta(description="number of the first line")]
    lines: Annotated[Number, Meta(description="number of the last line")]
    previous: Annotated[
        Sha256,
        Meta(description="SHA-256 of the head of the line before the first; zeros without one"),
    ]
    head: Annotated[Sha256, Meta(description="SHA-256 of the head of the last line")]


def record_bytes(record: RunState) -> bytes:
    """Return the content of `record.json`."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def read_record(bundle: Path) -> bytes:
    """Return the content of `record.json` in `bundle`; raises `ContentError` where it cannot."""
    with reported_as(ContentError, "It cannot be read", file=RECORD_NAME):
        return read_plain(bundle / RECORD_NAME, LARGEST_RECORD)


def parse_record(content: bytes) -> RunState:
    """
    Parse a record.

    Raises `FormatError` for one of another format, and `ContentError`, with the place, for
    anything else.
    """
    try:
        return _decode(content)
    except ValidationError as error:
        reason = f"It is not a valid record: {describe_invalid_field(error, '')}."
    except (msgspec.DecodeError, ValueError, RecursionError):
        reason = ""
    # NOTE: the message of another error may quote the content.
    form: object = None
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        form = msgspec.json.decode(content)
    if not (reason and isinstance(form, dict)):
        raise ContentError("It is not a JSON object.", file=RECORD_NAME)
    if form.get("format") != FORMAT:
        raise FormatError("It", form.get("format"), FORMAT, file=RECORD_NAME)
    raise ContentError(reason, file=RECORD_NAME)


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record."""
    return json_schema(RunState, f"urn:facebook-marketing-runbook:record:v{FORMAT}")
