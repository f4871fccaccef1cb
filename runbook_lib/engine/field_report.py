"""
A field report: the differences in shape between a run's responses and the known ones.

The known shapes come from the sandbox's responses and from published ones. `make shapes` writes
them to `known_shapes.json` of each provider.

A report holds keys, types, statuses, error codes and names of headers; it holds no value of the
run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import runbook_lib.connectors
from runbook_lib.core.json_text import parse_own
from runbook_lib.core.model import Exchange
from runbook_lib.core.shapes import ID, NO_CODE, NOT_JSON, OTHER_KEY, TOO_LONG
from runbook_lib.evidence.record import Record

FORMAT_VERSION = 1
# The source of a known response.
SANDBOX = "sandbox"
PUBLISHED = "published"
KNOWN_SHAPES = "known_shapes.json"
_API_VERSION = re.compile(r"v[0-9]+\.[0-9]+")
_PATH_WORD = re.compile(r"[a-z_]{2,40}")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_DIGITS = re.compile(r"[0-9]+")
# In `fields`, a request for a later page names a cursor.
_CURSOR = re.compile(r"\.after\([^)]*\)")
_OK = range(200, 300)
# The types of a shape in words; of one that is left out for its length, none is known.
_TYPES = {"s": "text", "i": "number", "f": "number", "b": "true or false", "n": "null"}
_UNKNOWN_TYPE = "too long to tell"


class DifferenceKind(StrEnum):
    """The ways in which a response differs."""

    LEFT_OUT = "left out"
    """A key that every known response has is missing."""

    OTHER_TYPE = "other type"
    """A key has another type."""

    MORE_KEYS = "more keys"
    """The response has keys that no known one has."""

    UNKNOWN_CODE = "unknown code"
    """The error has a code that no known response has."""

    STATUS = "other status"
    """The HTTP status is new for this call."""

    NOT_JSON = "not JSON"
    """The response is not JSON."""

    UNKNOWN_CALL = "unknown call"
    """No response to this call is known."""


@dataclass(frozen=True, kw_only=True)
class ShapeDifference:
    """One way in which a response differs from the known ones."""

    kind: DifferenceKind
    """The way in which it differs."""

    where: str = ""
    """The key, after those above it, or empty for the whole response."""

    known: str = ""
    """The types, statuses or codes that are known."""

    seen: str = ""
    """The types, statuses or codes of this response."""

    matters: bool
    """Whether a check reads it, so that its verdict may be wrong."""


@dataclass(frozen=True, kw_only=True)
class CallComparison:
    """The responses to one call, compared with the known ones."""

    call: str
    """Method and path, ids as `{id}`, with the fields that were asked for."""

    checks: tuple[str, ...]
    """Ids of the checks that read it."""

    differences: tuple[ShapeDifference, ...] = ()
    """The differences; empty without any."""

    @property
    def matters(self) -> bool:
        """Whether a check may misread it."""
        return any(difference.matters for difference in self.differences)


@dataclass(frozen=True, kw_only=True)
class FieldReport:
    """The result of comparing a run's responses with the known ones."""

    format: int = FORMAT_VERSION
    """The format of the report as a JSON document."""

    runbook: str
    """The version of the runbook that compared."""

    connector: str
    """The id of the procedure."""

    month: str
    """The month of the run (`YYYY-MM`)."""

    sandbox: bool
    """Whether the run was practice, which teaches nothing."""

    headers: tuple[str, ...]
    """Names of headers that no known response has; no check reads them."""

    calls: tuple[CallComparison, ...]
    """The calls of the run, those that matter first."""


@dataclass
class KnownCall:
    """The known responses to a call."""

    reads: frozenset[str] = frozenset()
    """Paths of the keys that checks read."""

    responses: list[dict[str, Any]] = field(default_factory=list)
    """Status, error numbers and shape of each, and where it is known from."""


@dataclass(frozen=True)
class KnownResponses:
    """All known responses."""

    calls: Mapping[str, KnownCall]
    """The known responses, by call."""

    codes: frozenset[str]
    """The codes with subcodes that a known response has."""

    headers: frozenset[str]
    """The names of the headers that a known response has."""

    @property
    def path_words(self) -> frozenset[str]:
        """The words in the paths of known calls."""
        paths = (call.partition(" ")[2].partition("?")[0].partition(" ")[0] for call in self.calls)
        return frozenset(word for path in paths for word in path.split("/")) - {ID}

    @property
    def words(self) -> frozenset[str]:
        """The words in the known calls, and the keys of known responses."""
        words = {word for call in self.calls for word in _WORD.findall(call)}
        for known in self.calls.values():
            for response in known.responses:
                paths = _by_path(response["body"])
                words |= {word for path in paths for word in _WORD.findall(path)}
        return frozenset(words)


class _Mask:
    """Replaces words of a run that are values in it; an unknown key may be a name or a token."""

    def __init__(self, record: Record, known: frozenset[str]) -> None:
        exchanges = [exchange for step in record.steps for exchange in step.exchanges]
        bodies = (body for recorded in exchanges for body in (recorded.request, recorded.response))
        recorded_values = (*record.parameters.values(), *bodies)
        self._values = {text for part in recorded_values for text in _texts(part)} - known

    def __call__(self, text: str) -> str:
        """Return `text` with such words as `{key}`."""
        return _WORD.sub(lambda word: OTHER_KEY if word[0] in self._values else word[0], text)


def compare_record(record: Record) -> FieldReport:
    """Return the differences between the responses in `record` and the known ones."""
    known = known_responses()
    mask = _Mask(record, known.words)
    path_words = known.path_words
    readers: defaultdict[int, set[str]] = defaultdict(set)
    for step in record.steps:
        for finding in step.checks:
            for number in finding.exchanges:
                readers[number].add(finding.check)
    by_call: dict[str, tuple[set[str], dict[ShapeDifference, None]]] = {}
    headers: set[str] = set()
    for exchange in (exchange for step in record.steps for exchange in step.exchanges):
        if exchange.shape is None:
            continue
        headers |= {*exchange.shape.header_names} - known.headers
        call = call_of(exchange, path_words)
        checks, differences = by_call.setdefault(mask(call), (set(), {}))
        checks |= readers[exchange.number]
        for difference in differences_of(known, call, exchange):
            differences[replace(difference, where=mask(difference.where))] = None
    calls = [
        CallComparison(call=call, checks=tuple(sorted(checks)), differences=tuple(differences))
        for call, (checks, differences) in by_call.items()
    ]
    calls.sort(key=lambda call: (not call.matters, not call.differences, call.call))
    return FieldReport(
        runbook=version("facebook-marketing-runbook"),
        connector=record.procedure.id,
        month=record.started_on[:7],
        sandbox=record.sandbox,
        headers=tuple(sorted(map(mask, headers))),
        calls=tuple(calls),
    )


def call_of(exchange: Exchange, words: Collection[str] | None = None) -> str:
    """
    Return the call of an exchange, without anything that identifies its sender.

    Only `words` stay in the path (any lower-case word if not given); all else is an id.
    """
    parts = urlsplit(exchange.url)
    path = [part for part in parts.path.split("/") if part and not _API_VERSION.fullmatch(part)]
    shown = [part if _is_word(part, words) else ID for part in path]
    call = f"{exchange.method} {'/'.join(shown)}"
    query = dict(parse_qsl(parts.query))
    if "fields" in query:
        asked = _DIGITS.sub(ID, _CURSOR.sub("", query["fields"]))
        call += f"?fields={asked}"
    sent = exchange.request if isinstance(exchange.request, Mapping) else {}
    if isinstance(sent.get("grant_type"), str):
        call += f" {sent['grant_type']}"
    return call


def _is_word(part: str, words: Collection[str] | None) -> bool:
    return bool(_PATH_WORD.fullmatch(part)) if words is None else part in words


def _texts(value: Any) -> Iterator[str]:
    """Yield each text and number in a JSON value, as text."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)


@cache
def known_responses() -> KnownResponses:
    """Return the known responses of all providers."""
    calls: dict[str, KnownCall] = {}
    codes: set[str] = set()
    headers: set[str] = set()
    folder = Path(runbook_lib.connectors.__file__).parent
    for file in sorted(folder.glob(f"*/{KNOWN_SHAPES}")):
        document = parse_own(file.read_bytes())
        codes |= {*document["codes"]}
        headers |= {*document["headers"]}
        for call, entry in document["calls"].items():
            calls[call] = KnownCall(frozenset(entry["reads"]), entry["responses"])
    return KnownResponses(calls, frozenset(codes), frozenset(headers))


def flatten_shape(shape: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each part of a shape, such as `data[].id`, with its type."""
    if isinstance(shape, dict):
        yield place, "object"
        for key, inner in shape.items():
            yield from flatten_shape(inner, f"{place}.{key}" if place else key)
    elif isinstance(shape, list):
        yield place, "list"
        for row in shape:
            yield from flatten_shape(row, f"{place}[]")
    else:
        yield place, _TYPES.get(str(shape)[:1], _UNKNOWN_TYPE)


def differences_of(
    known: KnownResponses, call: str, exchange: Exchange
) -> Iterator[ShapeDifference]:
    """Yield the differences between a response to `call` and all known ones."""
    shape = exchange.shape
    body = _shape_body(exchange)
    of_call = known.calls.get(call, KnownCall())
    if call not in known.calls:
        yield ShapeDifference(kind=DifferenceKind.UNKNOWN_CALL, matters=False)
    if shape is None or body == TOO_LONG:
        return
    if isinstance(body, str) and body in NOT_JSON:
        if all(response["body"] not in NOT_JSON for response in of_call.responses):
            yield ShapeDifference(
                kind=DifferenceKind.NOT_JSON, known="JSON", seen=body, matters=True
            )
        return
    alike = [
        response
        for response in of_call.responses
        if _kind_of(response["status"], response["error"]) == _kind_of(exchange.status, shape.error)
    ]
    has_no_code = shape.error == NO_CODE and not alike
    if shape.error and (shape.error not in known.codes or has_no_code):
        yield ShapeDifference(
            kind=DifferenceKind.UNKNOWN_CODE, where="error", seen=shape.error, matters=True
        )
    yield from _status_differences(of_call, alike, exchange.status, shape.error)
    if alike:
        yield from _key_differences(of_call.reads, alike, body)


def _kind_of(status: int | None, error: str) -> tuple[bool, bool]:
    """Return whether a response is a success, and whether it has an error."""
    return status in _OK, bool(error)


def _status_differences(
    known: KnownCall, alike: Collection[Mapping[str, Any]], status: int | None, error: str
) -> Iterator[ShapeDifference]:
    """Yield whether a status is new for this call; an error with HTTP 200 is, too."""
    statuses = {
        _told_status(response["status"], response["error"]) for response in alike or known.responses
    }
    seen = _told_status(status, error)
    if known.responses and seen not in statuses:
        # NOTE: a refusal's code decides its meaning.
        is_refusal = bool(error) and status not in _OK
        yield ShapeDifference(
            kind=DifferenceKind.STATUS,
            known=_join_sorted(statuses),
            seen=seen,
            matters=not alike and not is_refusal,
        )


def _told_status(status: int | None, error: str) -> str:
    return f"{status} with an error" if error and status in _OK else str(status)


def _shape_body(exchange: Exchange) -> Any:
    """Return the shape of a response, as it is in a record that anybody may have made."""
    try:
        return parse_own(exchange.shape.body.encode()) if exchange.shape else TOO_LONG
    except ValueError:
        return TOO_LONG


def _key_differences(
    reads: Collection[str], known: Iterable[Mapping[str, Any]], seen: Any
) -> Iterator[ShapeDifference]:
    """
    Yield the keys that are left out, have another type, or are additional.

    A key is expected if every sandbox response with the object around it has it. A published
    response may have requested other fields.
    """
    types: defaultdict[str, set[str]] = defaultdict(set)
    own: list[dict[str, set[str]]] = []
    for response in known:
        flat = _by_path(response["body"])
        for path, kinds in flat.items():
            types[path] |= kinds
        if response["from"] == SANDBOX:
            own.append(flat)
    expected = {
        path
        for path in {path for flat in own for path in flat}
        if all(path in flat for flat in own if _has_keys(flat, path.rpartition(".")[0]))
    }
    mine = _by_path(seen)
    needed = {*reads, *(above for path in reads for above in _above(path))}
    for path in sorted(expected - mine.keys()):
        # Keys within a missing key, or within an empty list, are not named separately.
        if _has_keys(mine, path.rpartition(".")[0]) and not path.endswith("[]"):
            yield ShapeDifference(
                kind=DifferenceKind.LEFT_OUT,
                where=path,
                known=_join_sorted(types[path]),
                matters=path in needed,
            )
    for path in sorted(mine):
        others = mine[path] - types.get(path, set()) - {_UNKNOWN_TYPE}
        if path not in types and next(_above(path), "") in types:
            yield ShapeDifference(
                kind=DifferenceKind.MORE_KEYS,
                where=path,
                seen=_join_sorted(mine[path]),
                matters=False,
            )
        elif path in types and others:
            yield ShapeDifference(
                kind=DifferenceKind.OTHER_TYPE,
                where=path,
                known=_join_sorted(types[path]),
                seen=_join_sorted(others),
                matters=path in needed,
            )


def _has_keys(flat: Mapping[str, Collection[str]], path: str) -> bool:
    """Return whether there is an object at `path`; an empty list has no object."""
    return "object" in flat.get(path, ())


def _above(path: str) -> Iterator[str]:
    """Yield the paths of the objects and lists in which a key is."""
    while path:
        path = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]
        yield path


def _by_path(shape: Any) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for path, kind in flatten_shape(shape):
        kinds.setdefault(path, set()).add(kind)
    return kinds


def _join_sorted(names: Iterable[str]) -> str:
    return ", ".join(sorted(filter(None, names)))
