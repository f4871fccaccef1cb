"""
The model: findings, attestations, and every line of the journal, described once.

A field's type limits its content and describes it to a reader. A mark tells the redactor how to
treat the field (`masking`). A line is a `JournalEntry` whose `data` has the type that
`EventType` names for its kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from msgspec import Meta, Struct, StructMeta, ValidationError, field
from msgspec.json import Decoder, schema_components

from runbook_lib.errors import ExitCode

# The version of this model; each run names it at its start, and readers refuse any other.
FORMAT_VERSION = 14

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
    """The kind of a person's attestation of a step; the last part of the journal's event name."""

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
    """The kind of a note: no outcome rests on it; the last part of the event's name."""

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


class HostCalls(ModelStruct):
    """
    The number of a host's responses, and the app's share of its rate limit.

    `share` is the newest share that a response named: the used part of an hour's calls, in percent.
    """

    host: str
    calls: Annotated[int, Meta(ge=1)]
    share: Annotated[
        float | None,
        Meta(description="used part of the app's hourly calls in percent; null if not named"),
    ]


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


class Binding(ModelStruct):
    """The values and texts that an attestation or a check is about; it counts for no others."""

    connector: Name = ""
    """The procedure's id."""

    sentence_digest: Annotated[Sha256, Meta(description="SHA-256 of the sentence, in UTF-8")] = ""
    """SHA-256 of the step's sentence, in UTF-8."""

    checks: Annotated[tuple[Name, ...], Meta(description="ids of the step's checks, sorted")] = ()
    """Ids of the step's checks, sorted."""

    text_digest: Annotated[
        Name, Meta(description="SHA-256 of the step's whole text at that time")
    ] = ""
    """SHA-256 of the step's whole text; readers see a change of it, and it voids nothing."""

    subject: Annotated[
        Mapping[Name, Annotated[Value, Meta(extra={"mask": "subject"})] | None],
        Meta(
            description="the value of each name (for a secret, its keyed fingerprint); "
            "null if still unknown"
        ),
    ] = field(default_factory=dict)
    """Value of each name in `Step.subject`: a secret's fingerprint, `None` if still unknown."""


class CheckBasis(ModelStruct):
    """The basis of a result of a check with a side effect: it counts later only for the same."""

    check: Name
    """The id of the check."""

    code_digest: Annotated[Sha256, Meta(description="SHA-256 of the module that defines the check")]
    """A result of other code does not count later."""

    values: Annotated[
        Mapping[Name, Annotated[Value, Meta(extra={"mask": "subject"})] | None],
        Meta(
            description="all that the check needs and the step is about (for a secret, its keyed "
            "fingerprint); null if unknown"
        ),
    ]
    """The check's needed values and its step's subject, by name; a secret as its fingerprint."""


class CarriedResult(ModelStruct):
    """An earlier result of a check with a side effect, which a later run counts again."""

    check: Name
    """The id of the check."""

    code_digest: Sha256
    """As in its `CheckBasis`, then and now."""

    run_id: Annotated[Name, Meta(description="the run that made this check")]
    """The run of the line; empty if it belongs to none."""

    line: Annotated[Number, Meta(description="number of the journal line with the result")]
    """The number of its journal line."""

    sha256: Annotated[Sha256, Meta(description="SHA-256 of that line")]
    """The digest of its journal line."""

    checked_on: Annotated[Time, Meta(description="when it was checked")]
    """The time of its journal line."""

    recheck_days: Annotated[int, Meta(ge=1, description="days for which such a result counts")]
    """`Step.recheck_days` at the time when the result was carried."""

    until: Annotated[
        str,
        Meta(
            pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            description="the last day on which it counts, in UTC",
        ),
        _STRUCTURE,
    ]
    """The last day on which it counts."""


class AttestationDetails(ModelStruct):
    """A named person's attestation of a step, as its journal line has it."""

    by: PersonName
    """The name that the person gave; nothing proves that it is true."""

    at: Time
    """Time of the attestation (RFC 3339)."""

    note: Text = ""
    """The person's note; for a skip or a withdrawal, its reason."""

    seen: Text = ""
    """The variant of the screens that the person saw; empty if the person named no variant."""

    attachments: tuple[Attachment, ...] = ()
    """The files that the person attached."""

    origin: Annotated[Text, Meta(description="walkthrough, or the name of the file")] = ""
    """The place where it was given: `walkthrough`, or the name of a file."""

    entry: Annotated[Name, Meta(description="SHA-256 of the file's entry, or empty")] = ""
    """SHA-256 of the file's entry, to recognise it later; empty for the walkthrough."""

    login: Login = ""
    """The login that a server reported at the recording; empty if no server reported one."""

    link: Annotated[
        Name,
        Meta(
            pattern="^([0-9a-f]{64})?$",
            description="SHA-256 of the link that the second person used, or empty; a link counts "
            "once",
        ),
    ] = ""
    """SHA-256 of the link that the second person used, or empty."""

    sentence: Annotated[
        Name,
        Meta(
            min_length=1,
            description="the step's sentence that the attestation is about and confirms",
        ),
    ] = ""
    """The step's sentence, or the sentence of one of its other answers."""

    second_person_sentence: Annotated[
        Text,
        Meta(
            description="the first person's sentence, in the third person, as the second person "
            "confirmed it; or empty"
        ),
    ] = ""
    """The first person's sentence in the third person, as the second one confirmed it; or empty."""

    due: Annotated[
        Day,
        Meta(description="the day by which an outside party wants the open step done"),
    ] = ""
    """The day by which the step must be done (in UTC), or empty."""

    until: Annotated[
        Day,
        Meta(description="the last day on which the attestation counts; empty if it has no end"),
    ] = ""
    """The last day on which it counts (in UTC); empty if it has no end."""

    app_name: Annotated[Text, Meta(description="the app's display name, if it was known then")] = ""
    """The app's display name; empty if it was unknown then."""

    app_id: Annotated[Text, Meta(description="the app's ID, if it was known then")] = ""
    """The app's ID; empty if it was unknown then."""

    service_domain: Annotated[
        Text, Meta(description="the Service Domain, if it was known then")
    ] = ""
    """The Service Domain; empty if it was unknown then."""

    binding: Binding = Binding()
    """The connector, sentence and values that it is bound to."""

    def __post_init__(self) -> None:
        _require_moment(self.at)


class Attestation(AttestationDetails, kw_only=True):
    """An attestation with its kind and its step."""

    kind: AttestationKind
    step: Name


class StepCommented(ModelStruct):
    """A person's comment on a step; no outcome rests on it."""

    by: PersonName
    """The name that the person gave."""

    at: Time
    """Time of the comment (RFC 3339)."""

    note: Annotated[str, Meta(min_length=1), _TEXT]
    """The text."""

    origin: Text = ""
    """The place where it was given: `walkthrough`, or the name of a file."""

    entry: Name = ""
    """SHA-256 of the file's entry; empty for the walkthrough."""

    login: Login = ""
    """The login that a server reported at the recording; empty if no server reported one."""

    def __post_init__(self) -> None:
        _require_moment(self.at)


class StepAssigned(StepCommented, kw_only=True):
    """
    The assignment of a step to the colleague `to`; empty for nobody in particular.

    `due` is a day (YYYY-MM-DD, in UTC), or empty for no day.
    """

    to: Text
    due: Day = ""
    note: Text = ""


class Comment(StepCommented, kw_only=True):
    """A comment, with its step."""

    kind: ClassVar[NoteKind] = NoteKind.COMMENTED
    step: Name


class Assignment(StepAssigned, kw_only=True):
    """An assignment, with its step."""

    kind: ClassVar[NoteKind] = NoteKind.ASSIGNED
    step: Name


Remark = Attestation | Comment | Assignment


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


class RunStarted(ModelStruct):
    """A run began."""

    format_version: int
    """The version of the model, `FORMAT_VERSION`."""

    tenant: Name
    """The tenant's name."""

    procedure: ProcedureName
    """The procedure of the run's connector."""

    mode: Mode
    """The mode of the run."""

    sandbox: bool
    """Whether the run asks the sandbox, not the real systems."""

    parameters: Mapping[Name, GivenValue]
    """The run's values, by the names of their inputs."""

    credentials: tuple[Name, ...]
    """Names of the given credentials."""

    fingerprints: Mapping[Name, Name]
    """Fingerprint of each given credential that results may be bound to."""

    resumes: Name
    """Id of the interrupted run that this one resumes, or empty."""

    environment: Mapping[Name, Name]
    """Versions of the runbook and of the software that it runs on."""

    fleet_run: FleetRun | None = None
    """The fleet's run that requested this one; `None` outside of a fleet."""

    not_run: NotRunReason | None = None
    """Reason why it ended at once, without any check; `None` if it ran."""

    rechecks: tuple[Name, ...] = ()
    """Settings that request their checks now, although an earlier result may count."""

    may_spend: bool = True
    """Whether settings may permit checks with side effects in this run."""


class RunJoined(ModelStruct):
    """Another kernel joined the run, with these values that differ from the recorded ones."""

    parameters: Mapping[Name, GivenValue]
    fingerprints: Mapping[Name, Name]


class RunFinished(ModelStruct):
    """A run ended; `environment` names the software that it ran on."""

    outcome: RunOutcome
    environment: Mapping[Name, Text] = field(default_factory=dict)


class RunInterrupted(ModelStruct):
    """A run was interrupted."""

    reason: Text


class NotebookFinished(ModelStruct):
    """Every cell of a run's notebook ran."""


class StepStarted(ModelStruct):
    """The checks of a step began."""


class StepChecked(ModelStruct):
    """The checks of a step ended."""

    findings: tuple[Finding, ...]
    """The findings, in the order of the checks."""

    unchecked: Text = ""
    """Reason why there are no findings; empty if there are."""

    automatic: bool = False
    """Whether the walkthrough checked by itself: nobody pressed a button."""

    binding: Binding = Binding()
    """The connector, sentence and values that the findings are bound to."""

    bases: tuple[CheckBasis, ...] = ()
    """The bases of the checks with a side effect."""

    carried: tuple[CarriedResult, ...] = ()
    """Earlier results that count in place of checks that were not made."""

    due_on: Day = ""
    """The day since when a check is due, which this run did not make; empty if none is."""


class StepWithheld(ModelStruct):
    """
    Checks that a bundle withholds; `sha256` is the digest of the line that this one replaces.

    Readers see them as inconclusive.
    """

    sha256: Sha256
    checks: tuple[Name, ...]
    binding: Binding = Binding()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """An inconclusive finding for each check."""
        return tuple(
            Finding(
                outcome=Outcome.INCONCLUSIVE,
                code="response-withheld",
                reason=_WITHHELD,
                check=check,
            )
            for check in self.checks
        )

    @property
    def unchecked(self) -> str:
        """Empty, since there are findings."""
        return ""


_WITHHELD = "The remote system's response is withheld, because it contains a secret. Check again."


class ExchangeWithheld(ModelStruct):
    """An exchange that a bundle withholds, by the SHA-256 of its line."""

    sha256: Sha256


class InputGiven(ModelStruct):
    """A person gave a value."""

    name: Name
    value: GivenValue


class CredentialGiven(ModelStruct):
    """A person gave a credential; only its fingerprint is recorded."""

    name: Name
    fingerprint: Name


class CredentialSaved(ModelStruct):
    """A credential was saved at `reference`, or forgotten if that is empty."""

    name: Name
    reference: Name


class ChangeIntended(ModelStruct):
    """A check is about to change something in a remote system."""

    change: Text


class JournalRepaired(ModelStruct):
    """An incomplete end of the journal was removed: its size in bytes, and its beginning."""

    bytes: int
    text: Text


class JournalEnd(ModelStruct):
    """The last line that a bundle copied: its number, its SHA-256, and where it ends in bytes."""

    lines: Number
    head: Sha256
    end: Number


class BundleSealed(ModelStruct):
    """A bundle was sealed."""

    bundle: Name
    """Name of the bundle's folder."""

    sequence: Number
    """Number of the bundle among those of this journal, from 1."""

    statement: Sha256
    """SHA-256 of the statement's envelope."""

    journal: JournalEnd
    """The last line that the bundle copied."""

    fleet_run: Name = ""
    """Id of the fleet's run that requested it, or empty."""


class EventType(StrEnum):
    """The kinds of journal lines, `type` in the file, each with the type of its `data`."""

    data: type[ModelStruct]

    def __new__(cls, name: str, data: type[ModelStruct]) -> Self:
        """Return the kind with this name."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.data = data
        return kind

    RUN_STARTED = "run.started", RunStarted
    RUN_JOINED = "run.joined", RunJoined
    RUN_FINISHED = "run.finished", RunFinished
    RUN_INTERRUPTED = "run.interrupted", RunInterrupted
    NOTEBOOK_FINISHED = "notebook.finished", NotebookFinished
    STEP_STARTED = "step.started", StepStarted
    STEP_CHECKED = "step.checked", StepChecked
    STEP_WITHHELD = "step.withheld", StepWithheld
    EXCHANGE_RECORDED = "exchange.recorded", Exchange
    EXCHANGE_WITHHELD = "exchange.withheld", ExchangeWithheld
    STEP_ATTESTED = "step.attested", AttestationDetails
    STEP_SUBMITTED = "step.submitted", AttestationDetails
    STEP_DECLINED = "step.declined", AttestationDetails
    STEP_SKIPPED = "step.skipped", AttestationDetails
    STEP_WITHDRAWN = "step.withdrawn", AttestationDetails
    STEP_COMMENTED = "step.commented", StepCommented
    STEP_ASSIGNED = "step.assigned", StepAssigned
    INPUT_GIVEN = "input.given", InputGiven
    CREDENTIAL_GIVEN = "credential.given", CredentialGiven
    CREDENTIAL_SAVED = "credential.saved", CredentialSaved
    CHANGE_INTENDED = "change.intended", ChangeIntended
    JOURNAL_REPAIRED = "journal.repaired", JournalRepaired
    BUNDLE_SEALED = "bundle.sealed", BundleSealed


DATA: Mapping[str, type[ModelStruct]] = {kind.value: kind.data for kind in EventType}
# NOTE: msgspec (0.22.0) prepares a type at its first use. If two threads do so at once, the process
# may end with a segmentation fault; so every type is prepared here.
for _kind in DATA.values():
    Decoder(_kind)


class JournalEntry(ModelStruct):
    """One line of the journal."""

    seq: Number
    """Number of the line, from 1."""

    at: Time
    """Time of writing, in UTC."""

    type: Name
    """Kind of the line, a value of `EventType`."""

    run_id: Name
    """Id of the run; empty outside of a run."""

    step: Name
    """Id of the step; empty for lines about no step."""

    data: Any
    """The content, of the type that `EventType` names for `type`."""

    prev: Annotated[Sha256, Meta(description="SHA-256 of the line before it")]
    """SHA-256 of the line before it."""

    def __post_init__(self) -> None:
        _require_moment(self.at)

    @property
    def withheld(self) -> str:
        """SHA-256 of the line that this one replaces in a bundle; empty for other lines."""
        is_withheld = isinstance(self.data, StepWithheld | ExchangeWithheld)
        return self.data.sha256 if is_withheld else ""


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
