"""
The model: findings, exchanges and people's statements, each described once.

A field's type limits its content and describes it to a reader. A mark tells the redactor how to
treat the field (`masking`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta, Struct, StructMeta, ValidationError, field
from msgspec.json import schema_components

from runbook_lib.errors import ExitCode

Value = str | int | bool | tuple[str, ...]

# Marks that tell the redactor how to treat a field; see `masking`. It masks unmarked texts whole.
_STRUCTURE = Meta(extra={"mask": "structure"})
_TEXT = Meta(extra={"mask": "text"})
_REMOTE = Meta(extra={"mask": "remote"})

# Structure: names, ids, digests and times are never masked.
Name = Annotated[str, _STRUCTURE]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$"), _STRUCTURE]
# The stable name of a result or an error, in kebab-case.
Code = Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$"), _STRUCTURE]
# RFC 3339, in UTC.
Time = Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z$"), _STRUCTURE]
Day = Annotated[str, Meta(pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"), _STRUCTURE]
Number = Annotated[int, Meta(ge=1)]
# Free text that people typed.
Text = Annotated[str, _TEXT]
GivenValue = Annotated[Value, _TEXT]
PersonName = Annotated[
    str,
    Meta(
        min_length=1, description="the name that this person gave; nothing proves that it is true"
    ),
    _TEXT,
]
Login = Annotated[
    str,
    Meta(description="the login that a server reported where this was recorded, or empty"),
    _TEXT,
]
# Text that was sent to a remote system.
SentText = Annotated[str, _REMOTE]
# Text of a remote system, or a check's text about it.
RemoteText = Annotated[str, _REMOTE]


class Outcome(StrEnum):
    """The outcome of a step."""

    VERIFIED = "verified"
    """A check proved it."""

    ATTESTED = "attested"
    """A person confirmed it."""

    WAITING = "waiting"
    """An outside party must act, or a second person."""

    INCONCLUSIVE = "inconclusive"
    """A check ran and cannot tell."""

    FAILED = "failed"
    """A check contradicts it, or a reviewer declined it."""

    SKIPPED = "skipped"
    """A person skipped it, or an earlier failure blocks it."""

    NOT_RUN = "not_run"
    """Nothing happened yet."""


class RunOutcome(StrEnum):
    """The outcome of a run."""

    COMPLETE = "complete"
    """Every step is settled."""

    FAILED = "failed"
    """At least one step failed."""

    INCOMPLETE = "incomplete"
    """No step failed, and at least one is open."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a process whose run has this outcome."""
        return ExitCode[self.name]


class Mode(StrEnum):
    """The mode of a run: with a person at the notebook, or without."""

    INTERACTIVE = "interactive"
    """A person works in the walkthrough."""

    HEADLESS = "headless"
    """Nobody is there."""

    WALKTHROUGH = "walkthrough"
    """A person sealed the walkthrough; its cells ran unattended for that."""


class AttestationKind(StrEnum):
    """The kind of a person's attestation of a step."""

    ATTESTED = "attested"
    SUBMITTED = "submitted"
    """Somebody submitted it to an outside party."""

    DECLINED = "declined"
    """The outside party declined it."""

    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    """Cancels earlier attestations about the same subject."""


class WaitsFor(StrEnum):
    """The party that a step waits for."""

    PERSON = "person"
    """The person to whom it is assigned."""

    SECOND_PERSON = "second_person"
    """A second person, who must confirm the first one's attestation."""

    ANYBODY = "anybody"
    OUTSIDE_PARTY = "outside_party"
    """A company that decides, such as a reviewer."""


class NoteKind(StrEnum):
    """The kind of a note: no outcome rests on it."""

    COMMENTED = "commented"
    ASSIGNED = "assigned"


class _StrictMeta(StructMeta):
    """Makes structs that are frozen, built by names, and read without unknown fields."""

    # NOTE: mypy knows StructMeta's own defaults only, so `kw_only` is named where it matters.
    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        """Return the new class."""
        strict = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True}
        return super().__new__(cls, name, bases, namespace, **{**strict, **options})


class ModelStruct(Struct, metaclass=_StrictMeta):
    """The base of all structs of the model."""


def host_in(url: str) -> str:
    """Return the host in an exchange's `url`, or an empty text."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _require_moment(text: str) -> None:
    """Raise `ValueError` if `text` has the form of a time, but names none."""
    datetime.fromisoformat(text)


class ResponseShape(ModelStruct):
    """The shape of a provider's response, for field reports: it holds no value."""

    body: Annotated[Name, Meta(description="JSON: keys with types and length classes; see shapes")]
    error: Annotated[Name, Meta(description="code and subcode of an error object, or empty")] = ""
    header_names: Annotated[
        tuple[Name, ...], Meta(description="headers that not every response has")
    ] = ()


class Exchange(ModelStruct):
    """An HTTP exchange, already redacted."""

    method: Name
    """The HTTP method, or the kind of look-up: `DNS` or `TLS`."""

    url: SentText
    """The requested address."""

    sent_on: Time
    """Time of the request, in UTC."""

    elapsed: Annotated[float, Meta(ge=0, description="seconds")]
    """Seconds until the response, or until the failure."""

    status: int | None = None
    """HTTP status; `None` without a response."""

    request: Annotated[Any, _REMOTE] = None
    """Body of the request: a JSON document or text, cut when long."""

    headers: Mapping[Name, RemoteText] = field(default_factory=dict)
    """Headers of the response that the provider lists (`Provider.headers`)."""

    response: Annotated[Any, _REMOTE] = None
    """Body of the response: a JSON document or text, cut when long."""

    error: RemoteText = ""
    """Reason why no response came; empty after a response."""

    shape: ResponseShape | None = None
    """Shape of the response; `None` for a page that a check opens."""

    def __post_init__(self) -> None:
        _require_moment(self.sent_on)


class Wait(ModelStruct):
    """The wait of an open step at the end of a run."""

    waits_for: WaitsFor
    """The party that must act."""

    since: str | None
    """Beginning of the wait, as a time in UTC; `None` if unknown."""

    assigned_to: str | None
    """Name of the person to whom the step is assigned; `None` for nobody."""

    due: str | None
    """The last day on which it is in time; `None` if no day is set."""

    overdue_days: int
    """Days after `due`, or after the usual time; 0 while there is time."""


class Table(ModelStruct):
    """Rows that a check read, for display; each row has one text per heading in `columns`."""

    caption: Annotated[str, Meta(min_length=1), _REMOTE]
    columns: Annotated[tuple[RemoteText, ...], Meta(min_length=1)]
    rows: tuple[tuple[RemoteText, ...], ...]


class Finding(ModelStruct):
    """
    The result of one check.

    A finding that nothing was done (`not_run`) contradicts a person's attestation unless it has
    `limits`.
    """

    outcome: Outcome
    """The outcome that the check reached; never *attested* or *skipped*."""

    code: Annotated[Code, Meta(description="stable name of the result; docs/outcomes.md lists all")]
    """The stable name of the result."""

    reason: Annotated[str, Meta(min_length=1), _REMOTE]
    """The result in sentences for people."""

    check: Name = ""
    """The id of the check."""

    accepts: Annotated[
        tuple[Name, ...],
        Meta(description="names of the parameters whose value the remote system named as its own"),
    ] = ()
    """Names of the inputs whose values the remote system named as its own."""

    refuses: Annotated[
        tuple[Name, ...],
        Meta(description="names of the parameters whose value it does not accept"),
    ] = ()
    """Names of the inputs whose values it refuses."""

    quotes: Annotated[
        tuple[RemoteText, ...], Meta(description="what the remote system says, in its own words")
    ] = ()
    """The remote system's own words."""

    limits: Annotated[
        tuple[RemoteText, ...], Meta(description="what this check does not prove")
    ] = ()
    """Clauses that the check leaves unproven; empty if it proves the whole step."""

    warnings: tuple[RemoteText, ...] = ()
    """Sentences about future problems."""

    changes: Annotated[
        tuple[RemoteText, ...], Meta(description="what this check altered in the remote system")
    ] = ()
    """Sentences about changes that the check made in the remote system."""

    facts: Mapping[Name, Annotated[Value, _REMOTE]] = field(default_factory=dict)
    """Values for later steps, without secrets; `…_ends_on` is a day for `runbook inbox`."""

    tables: tuple[Table, ...] = ()
    """Rows that the check read, without secrets."""

    exchanges: Annotated[
        tuple[Number, ...], Meta(description="numbers of the exchanges that it is based on")
    ] = ()
    """Numbers of the journal lines with the exchanges that it rests on."""

    def __post_init__(self) -> None:
        if self.outcome in (Outcome.ATTESTED, Outcome.SKIPPED):
            raise ValueError("a check cannot attest or skip")


class Attachment(ModelStruct):
    """A file that a person attached as evidence, named by its SHA-256; `size` in bytes."""

    name: Text
    sha256: Sha256
    size: Annotated[int, Meta(ge=1, description="bytes")]
    media_type: Name


# A value that a result or an attestation is bound to: never masked, since a secret is given as its
# keyed fingerprint.
BoundValue = Annotated[Value, Meta(extra={"mask": "subject"})]


class Binding(ModelStruct):
    """The values and checks that a result or an attestation is about; it counts for no others."""

    connector: Name = ""
    """The procedure's id."""

    checks: tuple[Name, ...] = ()
    """Ids of the step's checks, sorted."""

    subject: Mapping[Name, BoundValue | None] = field(default_factory=dict)
    """Value by name: a secret's fingerprint, `None` if it was unknown."""


class Attestation(ModelStruct):
    """A named person's statement about a step."""

    kind: AttestationKind
    """The kind of the statement."""

    by: PersonName
    """The name that the person gave; nothing proves that it is true."""

    at: Time
    """Time of the attestation (RFC 3339)."""

    sentence: Text = ""
    """The sentence that the person confirms."""

    binding: Binding = Binding()
    """The connector, checks and values that it is about."""

    note: Text = ""
    """The person's note; for a skip or a withdrawal, its reason."""

    seen: Text = ""
    """The variant of the screens that the person saw."""

    due: Day = ""
    """The day by which an outside party wants the open step done; empty for no day."""

    until: Day = ""
    """The last day on which it counts; empty if it has no end."""

    second_person_sentence: Text = ""
    """The first person's sentence in the third person, as the second one confirmed it."""

    attachments: tuple[Attachment, ...] = ()
    """The files that the person attached."""

    origin: Text = ""
    """The place where it was given: `walkthrough`, or the name of a file."""

    entry: Name = ""
    """SHA-256 of the file's entry, to recognise it later; empty for the walkthrough."""

    login: Login = ""
    """The login that a server reported; empty if none did."""

    link: Name = ""
    """SHA-256 of the link that the second person used; a link counts once."""

    app_name: Text = ""
    """The app's display name; empty if it was unknown then."""

    app_id: Text = ""
    """The app's ID; empty if it was unknown then."""

    service_domain: Text = ""
    """The Service Domain; empty if it was unknown then."""

    def __post_init__(self) -> None:
        _require_moment(self.at)


class Note(ModelStruct):
    """A comment, or the assignment of a step; no outcome rests on it."""

    by: PersonName
    """The name that the person gave."""

    at: Time
    """Time of the note (RFC 3339)."""

    note: Text = ""
    """The text; an assignment may have none."""

    to: Text | None = None
    """The colleague to whom it is assigned; empty for nobody, `None` for a comment."""

    due: Day = ""
    """The day (in UTC) by which it must be done; empty for no day."""

    origin: Text = ""
    """The place where it was given: `walkthrough`, or the name of a file."""

    entry: Name = ""
    """SHA-256 of the file's entry; empty for the walkthrough."""

    login: Login = ""
    """The login that a server reported; empty if none did."""

    def __post_init__(self) -> None:
        _require_moment(self.at)


class Remark(NamedTuple):
    """A person's statement about a step."""

    step: str
    """Id of the step."""

    statement: Attestation | Note


class ConnectorPackage(ModelStruct):
    """The installed package of a connector that is not one of the runbook's own."""

    name: Name
    version: Name

    def __str__(self) -> str:
        return f"package {self.name} {self.version}"


class ProcedureName(ModelStruct):
    """The name, version and digest of a procedure."""

    id: Name
    version: Name
    digest: Annotated[Sha256, Meta(description="SHA-256 of the procedure's whole text and checks")]
    package: Annotated[
        ConnectorPackage | None,
        Meta(description="the package that brings the connector; null for the runbook's own"),
    ] = None


class FleetRun(ModelStruct):
    """The run of a fleet that asked for a tenant's run. A tenant here is one with a connector."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$"), _STRUCTURE]
    selected: Annotated[Number, Meta(description="number of the tenants that it selected")]
    selected_digest: Annotated[
        Sha256, Meta(description="digest of the sorted list of these tenants with connectors")
    ]
    entry_digest: Annotated[
        Sha256, Meta(description="digest of this tenant's entry in the file of tenants")
    ]


class NotRunReason(ModelStruct):
    """The reason why a run could not start, with advice."""

    reason: Text
    next_step: Text


def json_schema(kind: type[ModelStruct], schema_id: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document, with every field that the runbook writes."""
    _, parts = schema_components([kind], ref_template="#/$defs/{name}")
    for part in parts.values():
        fields = part.get("properties", {})
        if fields:
            part["additionalProperties"] = False
            written = {name for name, text in fields.items() if "default" in text}
            part["required"] = [n for n in fields if n in {*part["required"], *written}]
        for text in fields.values():
            text.pop("default", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id,
        **parts.pop(kind.__name__),
        "$defs": parts,
    }


def describe_invalid_field(error: ValidationError, place: str) -> str:
    """Return the invalid field below `place` and its problem, without msgspec's quoted values."""
    message, _, path = str(error).partition(" - at `$")
    where = f"{place}{path.rstrip('`')}".removeprefix(".") or "it"
    if lacking := _LACKING.fullmatch(message):
        return f"{where}.{lacking[1]} is missing".removeprefix("it.")
    if message.startswith("Object contains unknown field"):
        return f"{where} has a field that the runbook does not write"
    return f"{where} is not valid"


_LACKING = re.compile("Object missing required field `([a-z_0-9]+)`")
