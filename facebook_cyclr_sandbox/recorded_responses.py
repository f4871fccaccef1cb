"""
Published responses of the Graph API, as facts: keys, types, codes and example values.

The data is in `recorded/`, a file per topic. It holds no token, no secret and no person's name.
The sandbox does not serve it: a test compares the sandbox's responses with it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "recorded"
_FIELD_TYPES = "field_types"


class ResponseProvenance(StrEnum):
    """The origin of a record, which decides how far to trust it."""

    RECORDED = "recorded"
    """A response of Facebook, or a fixture whose repository shows that Facebook sent it."""

    DOCUMENTED = "documented"
    """An example of Meta's documentation, or the types of Meta's SDK generator."""

    MODELLED = "double modelled on live"
    """A test double whose author describes the live case; it may lack keys."""


@dataclass(frozen=True, kw_only=True)
class RecordSource:
    """The place of publication: a file of a repository, or a stored text."""

    repository: str = ""
    """Owner and name on GitHub; empty for a stored text."""

    path: str = ""
    """The file in the repository, or the issue."""

    commit: str = ""
    """The commit at which the file was read; empty if it is unknown."""

    stored_text_id: str = ""
    """The number of a stored public text; empty for a repository."""

    text_kind: str = ""
    """The kind of text."""


@dataclass(frozen=True, kw_only=True)
class RecordedResponse:
    """One published response of the Graph API."""

    topic: str
    """The file that holds it, such as `debug_token`; `id` is unique within it."""

    id: str
    """A short name, such as `debug_token_garbage`."""

    kind: ResponseProvenance
    """Its origin."""

    date: str
    """The date of the response, or of the file; often only the year is known."""

    source: RecordSource
    """The place of publication."""

    method: str
    """The HTTP method of the request."""

    path: str
    """The path of the request, ids as `{page-id}`; empty for any call, and for a webhook's post."""

    params: Mapping[str, str]
    """The parameters of the request, as far as they are known."""

    status: int | None
    """The HTTP status, or None if the source has only headers."""

    headers: Mapping[str, str]
    """The headers that the source mentions, in lower case."""

    body: Mapping[str, Any]
    """The JSON object of the body; empty if the source has only headers."""

    is_row: bool
    """Whether `body` is one row of the list that the call returns."""

    note: str
    """A remark for readers, or empty."""


@cache
def load_recorded_responses() -> tuple[RecordedResponse, ...]:
    """Return every record, in the order of the files and of the records in them."""
    return tuple(
        _read_record(path.stem, record)
        for path in sorted(_FOLDER.glob("*.json"))
        if path.stem != _FIELD_TYPES
        for record in _read_json(path)["records"]
    )


@cache
def load_field_types() -> Mapping[str, Mapping[str, str]]:
    """Return, by the name of a node, its fields with the types that Meta's SDK generator has."""
    nodes = _read_json(_FOLDER / f"{_FIELD_TYPES}.json")["nodes"]
    return {name: node["fields"] for name, node in nodes.items()}


def _read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _read_record(topic: str, record: Mapping[str, Any]) -> RecordedResponse:
    request = record.get("request", {})
    return RecordedResponse(
        topic=topic,
        id=record["id"],
        kind=ResponseProvenance(record["kind"]),
        date=record["date"],
        source=RecordSource(**record["source"]),
        method=request.get("method", "GET"),
        path=request.get("path", ""),
        params=request.get("params", {}),
        status=record.get("status"),
        headers=record.get("headers", {}),
        body=record.get("body", {}),
        is_row=record.get("is_row", False),
        note=record.get("note", ""),
    )
