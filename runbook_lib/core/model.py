"""
The model: what a check sees, what people say, and every line of the journal, described once.

Each field says by its type what it may contain, what it means to a reader, and by
a mark how the redactor treats it (`masking`). A line is an `Entry` whose `data` has
the type that `EventType` names for its kind.
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

# The version of this description, which each run names when it starts; no other is read.
FORMAT_VERSION = 11

Value = str | int | bool | tuple[str, ...]

# How the redactor treats a field; see `masking`. A text without a mark is masked whole.
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
# Free text: what people typed.
Text = Annotated[str, _TEXT]
Given = Annotated[Value, _TEXT]
By = Annotated[
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
# What was sent to a remote system.
Sent = Annotated[str, _REMOTE]
# What a remote system said, and what checks say of that.
Said = Annotated[str, _REMOTE]


class Outcome(StrEnum):
    """The outcome of a step."""

    VERIFIED = "verified"
    ATTESTED = "attested"
    WAITING = "waiting"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


class RunOutcome(StrEnum):
    """The outcome of a run."""

    COMPLETE = "complete"
    FAILED = "failed"
    INCOMPLETE = "incomplete"

    @property
    def exit_code(self) -> ExitCode:
        """Return the exit code of a process whose run has this outcome."""
        return ExitCode[self.name]


class Mode(StrEnum):
    """
    Whether a person is at the notebook, or nobody.

    `walkthrough` is what a person seals there: its cells are executed unattended for it.
    """

    INTERACTIVE = "interactive"
    HEADLESS = "headless"
    WALKTHROUGH = "walkthrough"


class AttestationKind(StrEnum):
    """What a person can say of a step; the last part of the journal's event name."""

    ATTESTED = "attested"
    SUBMITTED = "submitted"
    DECLINED = "declined"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"


class WaitsFor(StrEnum):
    """Whom a step waits for."""

    PERSON = "person"
    SECOND_PERSON = "second_person"
    ANYBODY = "anybody"
    OUTSIDE_PARTY = "outside_party"


class NoteKind(StrEnum):
    """What a person can add to a step without a say in its outcome; part of the event's name."""

    COMMENTED = "commented"
    ASSIGNED = "assigned"


class _Strict(StructMeta):
    """Makes structs that are frozen, built by names, and read without unknown fields."""

    # NOTE: mypy knows StructMeta's own defaults only, so `kw_only` is named where it matters.
    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        """Return the new class."""
        strict = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True}
        return super().__new__(cls, name, bases, namespace, **{**strict, **options})


class Part(Struct, metaclass=_Strict):
    """A part of the model."""


def host_in(url: str) -> str:
    """Return the host that an exchange's `url` names, or nothing."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _require_moment(text: str) -> None:
    """Raise `ValueError` if `text` has the form of a time, but names none."""
    datetime.fromisoformat(text)


class ResponseShape(Part):
    """The shape of a provider's response, for field reports: it holds no value."""

    body: Annotated[Name, Meta(description="JSON: keys with types and length classes; see shapes")]
    error: Annotated[Name, Meta(description="code and subcode of an error object, or empty")] = ""
    header_names: Annotated[
        tuple[Name, ...], Meta(description="headers that not every response has")
    ] = ()


class Exchange(Part):
    """
    One HTTP exchange, already redacted.

    `elapsed` in seconds; `status` is `None` and `error` says why when no
    answer came back; bodies are JSON documents or text, cut when long. Pages that a check opens
    have no `shape`.
    """

    method: Name
    url: Sent
    sent_on: Time
    elapsed: Annotated[float, Meta(ge=0, description="seconds")]
    status: int | None = None
    request: Annotated[Any, _REMOTE] = None
    headers: Mapping[Name, Said] = field(default_factory=dict)
    response: Annotated[Any, _REMOTE] = None
    error: Said = ""
    shape: ResponseShape | None = None

    def __post_init__(self) -> None:
        _require_moment(self.sent_on)


class Wait(Part):
    """For whom an open step waits at the end of a run."""

    waits_for: WaitsFor
    """Who must act."""

    since: str | None
    """When the wait began, as a time in UTC, where that is known."""

    assigned_to: str | None
    """Who does the step."""

    due: str | None
    """The last day on which it is in time."""

    overdue_days: int
    """How many days late it is; 0 while there is time."""


class HostCalls(Part):
    """
    How often a host answered, and what it said of the app's share.

    `share` is the newest one that an answer named: how much of an hour's calls the app has
    used, in percent.
    """

    host: str
    calls: Annotated[int, Meta(ge=1)]
    share: Annotated[
        float | None,
        Meta(description="used part of the app's hourly calls in percent; null if not named"),
    ]


class Table(Part):
    """Rows that a check read, for display; each row has one text per heading in `columns`."""

    caption: Annotated[str, Meta(min_length=1), _REMOTE]
    columns: Annotated[tuple[Said, ...], Meta(min_length=1)]
    rows: tuple[tuple[Said, ...], ...]


class Finding(Part):
    """
    The result of one check.

    `exchanges` are the numbers of the journal lines on which it rests.
    `limits` name what the check does not prove, `warnings` future problems,
    `changes` what the check altered in the remote system, `facts` what later
    steps may use, `tables` what was read (neither contains a secret). A fact whose name ends with
    `_ends_on` is the day on which something ends; `runbook inbox --ics` writes it.
    `accepts` are the inputs whose value the remote system named as its own,
    `refuses` those whose value it does not take, `quotes` are its own words. A finding that
    nothing was done (`not_run`) contradicts a person's attestation unless it has `limits`.
    """

    outcome: Outcome
    code: Annotated[Code, Meta(description="stable name of the result; docs/outcomes.md lists all")]
    reason: Annotated[str, Meta(min_length=1), _REMOTE]
    check: Name = ""
    accepts: Annotated[
        tuple[Name, ...],
        Meta(description="names of the parameters whose value the remote system named as its own"),
    ] = ()
    refuses: Annotated[
        tuple[Name, ...],
        Meta(description="names of the parameters whose value it does not accept"),
    ] = ()
    quotes: Annotated[
        tuple[Said, ...], Meta(description="what the remote system says, in its own words")
    ] = ()
    limits: Annotated[tuple[Said, ...], Meta(description="what this check does not prove")] = ()
    warnings: tuple[Said, ...] = ()
    changes: Annotated[
        tuple[Said, ...], Meta(description="what this check altered in the remote system")
    ] = ()
    facts: Mapping[Name, Annotated[Value, _REMOTE]] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    exchanges: Annotated[
        tuple[Number, ...], Meta(description="numbers of the exchanges that it is based on")
    ] = ()

    def __post_init__(self) -> None:
        if self.outcome in (Outcome.ATTESTED, Outcome.SKIPPED):
            raise ValueError("a check cannot attest or skip")


class Attachment(Part):
    """A file that a person attached as evidence, named by its SHA-256; `size` in bytes."""

    name: Text
    sha256: Sha256
    size: Annotated[int, Meta(ge=1, description="bytes")]
    media_type: Name


class Binding(Part):
    """
    What an attestation or a check is about; it counts for nothing else.

    `connector` is the procedure's id, `confirms` the SHA-256 of the step's
    sentence in UTF-8, `checks` the ids of its checks, `subject` the value of
    each name in `Step.subject` (of a secret, its fingerprint), `None` if still
    unknown. `text` is the SHA-256 of the step's whole text: a change of it is
    shown, and voids nothing.
    """

    connector: Name = ""
    confirms: Annotated[Sha256, Meta(description="SHA-256 of the sentence, in UTF-8")] = ""
    checks: Annotated[tuple[Name, ...], Meta(description="ids of the step's checks, sorted")] = ()
    text: Annotated[Name, Meta(description="SHA-256 of the step's whole text at that time")] = ""
    subject: Annotated[
        Mapping[Name, Annotated[Value, Meta(extra={"mask": "subject"})] | None],
        Meta(
            description="the value of each name (for a secret, its keyed fingerprint); "
            "null if still unknown"
        ),
    ] = field(default_factory=dict)


class CheckBasis(Part):
    """What a check with a side effect was about: only for the same does its result count later."""

    check: Name
    """Its id."""

    code_digest: Annotated[Sha256, Meta(description="SHA-256 of the module that defines the check")]
    """A result of other code does not count later."""

    values: Annotated[
        Mapping[Name, Annotated[Value, Meta(extra={"mask": "subject"})] | None],
        Meta(
            description="all that the check needs and the step is about (for a secret, its keyed "
            "fingerprint); null if unknown"
        ),
    ]
    """What the check needs and what its step is about, by name; a secret as its fingerprint."""


class CarriedResult(Part):
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
    """The step's, when it was carried (`Step.recheck_days`)."""

    until: Annotated[
        str,
        Meta(
            pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            description="the last day on which it counts, in UTC",
        ),
        _STRUCTURE,
    ]
    """The last day on which it counts."""


class AttestationDetails(Part):
    """
    What a named person said of a step, as its journal line has it.

    `note` is the reason for a skip or a withdrawal. `seen` names the variant
    of the screens that the person saw, `at` is RFC 3339, `origin` says where
    it was given; `entry` is the SHA-256 of a file's entry, to recognise
    it when the file is read again.

    `by` is the name that the person gave. `login` is who was logged in where it
    was recorded, if a server knows: that a name is true, neither proves. `link`
    is the SHA-256 of the link by which a second person gave it.

    `sentence` is the step's, to which it refers (a digest binds it to
    it), or that of one of its other answers. `witness` is what a second person confirmed instead:
    the first one's sentence, as somebody else says it. It counts until the day `until`,
    `due` is the day by which the step must be done (both in UTC, or empty). `app_name`, `app_id`
    and `service_domain` are what was known of the app then, or empty.
    """

    by: By
    at: Time
    note: Text = ""
    seen: Text = ""
    attachments: tuple[Attachment, ...] = ()
    origin: Annotated[Text, Meta(description="walkthrough, or the name of the file")] = ""
    entry: Annotated[Name, Meta(description="SHA-256 of the file's entry, or empty")] = ""
    login: Login = ""
    link: Annotated[
        Name,
        Meta(
            pattern="^([0-9a-f]{64})?$",
            description="SHA-256 of the link that the second person used, or empty; a link counts "
            "once",
        ),
    ] = ""
    sentence: Annotated[
        Name,
        Meta(
            min_length=1,
            description="the step's sentence that the attestation is about and confirms",
        ),
    ] = ""
    witness: Annotated[
        Text,
        Meta(
            description="the first person's sentence, in the third person, as the second person "
            "confirmed it; or empty"
        ),
    ] = ""
    due: Annotated[
        Day,
        Meta(description="the day by which an outside party wants the open step done"),
    ] = ""
    until: Annotated[
        Day,
        Meta(description="the last day on which the attestation counts; empty if it has no end"),
    ] = ""
    app_name: Annotated[Text, Meta(description="the app's display name, if it was known then")] = ""
    app_id: Annotated[Text, Meta(description="the app's ID, if it was known then")] = ""
    service_domain: Annotated[
        Text, Meta(description="the Service Domain, if it was known then")
    ] = ""
    binding: Binding = Binding()

    def __post_init__(self) -> None:
        _require_moment(self.at)


class Attestation(AttestationDetails, kw_only=True):
    """A statement with its kind and its step: done, skipped, submitted, declined or withdrawn."""

    kind: AttestationKind
    step: Name


class Commented(Part):
    """A person's comment on a step: no outcome rests on it; fields as in a `AttestationDetails`."""

    by: By
    at: Time
    note: Annotated[str, Meta(min_length=1), _TEXT]
    origin: Text = ""
    entry: Name = ""
    login: Login = ""

    def __post_init__(self) -> None:
        _require_moment(self.at)


class Assigned(Commented, kw_only=True):
    """
    Who does a step by when: `to` is that colleague, or empty for nobody in particular.

    `due` is a day (YYYY-MM-DD, in UTC), or empty for no day.
    """

    to: Text
    due: Day = ""
    note: Text = ""


class Note(Commented, kw_only=True):
    """A comment, with its step."""

    kind: ClassVar[NoteKind] = NoteKind.COMMENTED
    step: Name


class Assignment(Assigned, kw_only=True):
    """An assignment, with its step."""

    kind: ClassVar[NoteKind] = NoteKind.ASSIGNED
    step: Name


Remark = Attestation | Note | Assignment


class ProcedureName(Part):
    """Which procedure, in which version."""

    id: Name
    version: Name
    digest: Annotated[Sha256, Meta(description="SHA-256 of the procedure's whole text and checks")]


class FleetRun(Part):
    """The run of a fleet that asked for a tenant's run. A tenant here is one with a connector."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$"), _STRUCTURE]
    selected: Annotated[Number, Meta(description="number of the tenants that it selected")]
    selected_digest: Annotated[
        Sha256, Meta(description="digest of the sorted list of these tenants with connectors")
    ]
    entry_digest: Annotated[
        Sha256, Meta(description="digest of this tenant's entry in the file of tenants")
    ]


class NotRun(Part):
    """Why a run could not start, and what to do about it."""

    reason: Text
    next_step: Text


class RunStarted(Part):
    """
    A run began under this `format_version`.

    `credentials` are the names of those that were given, `resumes` is the previous
    run, if it was interrupted. `fleet_run` is the run of a fleet that asked for this one.
    `not_run` says why it ended at once, without any check.
    """

    format_version: int
    tenant: Name
    procedure: ProcedureName
    mode: Mode
    sandbox: bool
    parameters: Mapping[Name, Given]
    credentials: tuple[Name, ...]
    fingerprints: Mapping[Name, Name]
    resumes: Name
    environment: Mapping[Name, Name]
    fleet_run: FleetRun | None = None
    not_run: NotRun | None = None
    rechecks: tuple[Name, ...] = ()
    """Settings that ask for their checks now, also where an earlier result counts."""

    may_spend: bool = True
    """Whether settings may permit checks with side effects in this run."""


class RunJoined(Part):
    """Another kernel joined the run, with these values that differ from the recorded ones."""

    parameters: Mapping[Name, Given]
    fingerprints: Mapping[Name, Name]


class RunFinished(Part):
    """A run ended; `environment` is what it ran on."""

    outcome: RunOutcome
    environment: Mapping[Name, Text] = field(default_factory=dict)


class RunInterrupted(Part):
    """A run was interrupted."""

    reason: Text


class NotebookFinished(Part):
    """Every cell of a run's notebook ran."""


class StepStarted(Part):
    """The checks of a step began."""


class Checked(Part):
    """
    The checks of a step ended; `unchecked` says why there are no findings.

    `automatic` are those that the walkthrough made by itself: nobody pressed a button for them.
    """

    findings: tuple[Finding, ...]
    unchecked: Text = ""
    automatic: bool = False
    binding: Binding = Binding()
    bases: tuple[CheckBasis, ...] = ()
    """What those of the checks were about that have a side effect."""

    carried: tuple[CarriedResult, ...] = ()
    """Earlier results that count in place of checks that were not made."""

    due_on: Day = ""
    """Since when an earlier result no longer counts, of a check that was not made."""


class CheckWithheld(Part):
    """
    Checks that a bundle withholds; `sha256` is that of the line in whose place it stands.

    Readers see them as inconclusive.
    """

    sha256: Sha256
    checks: tuple[Name, ...]
    binding: Binding = Binding()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return an inconclusive finding for each check."""
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
        """Return nothing: there are findings."""
        return ""


_WITHHELD = "The remote system's answer is withheld, because it contains a secret. Check again."


class ExchangeWithheld(Part):
    """An exchange that a bundle withholds, by the SHA-256 of its line."""

    sha256: Sha256


class InputGiven(Part):
    """A person gave a value."""

    name: Name
    value: Given


class CredentialGiven(Part):
    """A person gave a credential; only its fingerprint is recorded."""

    name: Name
    fingerprint: Name


class CredentialRemembered(Part):
    """A credential was saved where `reference` says, or forgotten if that is empty."""

    name: Name
    reference: Name


class ChangeIntended(Part):
    """A check is about to change something in a remote system."""

    change: Text


class JournalRepaired(Part):
    """An incomplete end of the journal was removed: its size in bytes, and its beginning."""

    bytes: int
    text: Text


class JournalEnd(Part):
    """The last line that a bundle copied: its number, its SHA-256, and where it ends in bytes."""

    lines: Number
    head: Sha256
    end: Number


class BundleSealed(Part):
    """
    A bundle was sealed; `statement` is the SHA-256 of its envelope.

    `fleet_run` is the id of the fleet's run that asked for it, or empty.
    """

    bundle: Name
    sequence: Number
    statement: Sha256
    journal: JournalEnd
    fleet_run: Name = ""


class EventType(StrEnum):
    """The kinds of journal lines, `type` in the file, each with the type of its `data`."""

    data: type[Part]

    def __new__(cls, name: str, data: type[Part]) -> Self:
        """Return the kind of this name."""
        kind = str.__new__(cls, name)
        kind._value_, kind.data = name, data
        return kind

    RUN_STARTED = "run.started", RunStarted
    RUN_JOINED = "run.joined", RunJoined
    RUN_FINISHED = "run.finished", RunFinished
    RUN_INTERRUPTED = "run.interrupted", RunInterrupted
    NOTEBOOK_FINISHED = "notebook.finished", NotebookFinished
    STEP_STARTED = "step.started", StepStarted
    STEP_CHECKED = "step.checked", Checked
    STEP_WITHHELD = "step.withheld", CheckWithheld
    EXCHANGE_RECORDED = "exchange.recorded", Exchange
    EXCHANGE_WITHHELD = "exchange.withheld", ExchangeWithheld
    STEP_ATTESTED = "step.attested", AttestationDetails
    STEP_SUBMITTED = "step.submitted", AttestationDetails
    STEP_DECLINED = "step.declined", AttestationDetails
    STEP_SKIPPED = "step.skipped", AttestationDetails
    STEP_WITHDRAWN = "step.withdrawn", AttestationDetails
    STEP_COMMENTED = "step.commented", Commented
    STEP_ASSIGNED = "step.assigned", Assigned
    INPUT_GIVEN = "input.given", InputGiven
    CREDENTIAL_GIVEN = "credential.given", CredentialGiven
    CREDENTIAL_REMEMBERED = "credential.remembered", CredentialRemembered
    CHANGE_INTENDED = "change.intended", ChangeIntended
    JOURNAL_REPAIRED = "journal.repaired", JournalRepaired
    BUNDLE_SEALED = "bundle.sealed", BundleSealed


DATA: Mapping[str, type[Part]] = {kind.value: kind.data for kind in EventType}
# NOTE: msgspec (0.22.0) describes a type when it is used first. If two threads do so at once, the
# process may end with a segmentation fault; so each is described here.
for _kind in DATA.values():
    Decoder(_kind)


class Entry(Part):
    """One line of the journal: `seq` from 1, `at` in UTC, `run_id` empty outside of a run."""

    seq: Number
    at: Time
    type: Name
    run_id: Name
    step: Name
    data: Any
    prev: Annotated[Sha256, Meta(description="SHA-256 of the line before it")]

    def __post_init__(self) -> None:
        _require_moment(self.at)

    @property
    def withheld(self) -> str:
        """Return the SHA-256 of the line in whose place it stands, if a bundle withholds that."""
        is_withheld = isinstance(self.data, CheckWithheld | ExchangeWithheld)
        return self.data.sha256 if is_withheld else ""


def json_schema(kind: type[Part], schema_id: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document, in which every field is that is written."""
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


def invalid(error: ValidationError, place: str) -> str:
    """Return which field below `place` is invalid, and how; msgspec's message may quote a value."""
    message, _, path = str(error).partition(" - at `$")
    where = f"{place}{path.rstrip('`')}".removeprefix(".") or "it"
    if lacking := _LACKING.fullmatch(message):
        return f"{where}.{lacking[1]} is missing".removeprefix("it.")
    if message.startswith("Object contains unknown field"):
        return f"{where} has a field that the runbook does not write"
    return f"{where} is not valid"


_LACKING = re.compile("Object missing required field `([a-z_0-9]+)`")
