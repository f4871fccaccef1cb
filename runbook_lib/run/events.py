"""
The events of a tenant's journal: the data of its lines, each kind described once.

A field's mark tells `core.masking` how to redact it. Nothing else is stored: `fold` derives every
state, record, page and report from events alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field

from runbook_lib.core.model import (
    Attachment,
    AttestationKind,
    Day,
    Exchange,
    Finding,
    FleetRun,
    GivenValue,
    Login,
    Mode,
    ModelStruct,
    Name,
    NotRunReason,
    PersonName,
    ProcedureName,
    Sha256,
    Text,
    Time,
    Value,
)

FORMAT = 15

# A value that a result or an attestation is bound to: never masked, since a secret is given as its
# keyed fingerprint.
BoundValue = Annotated[Value, Meta(extra={"mask": "subject"})]


class AnswerOption(ModelStruct):
    """An answer that a person can confirm instead of a step's sentence."""

    label: Name
    sentence: Name
    valid_days: int
    """Days for which it counts; 0 if it does not expire."""


class CheckDefinition(ModelStruct):
    """A check, as far as outcomes depend on it."""

    id: Name

    confirm: Name
    """Sentence that a person must confirm too if the finding has limits; empty without one."""

    needs_human_only: bool
    """Whether a person must confirm what an inconclusive finding with limits leaves open."""


class StepDefinition(ModelStruct):
    """A step when a run began: all that its outcome depends on, and that a reader needs."""

    id: Name
    """Id of the step."""

    number: Name
    """Number on screen; a letter marks a step that the documented page lacks."""

    title: Name
    """Title of the step."""

    kind: Name
    """The party that acts: `manual`, `ask`, `call` or `wait`."""

    sentence: Name
    """The sentence that a person confirms."""

    answers: tuple[AnswerOption, ...]
    """Answers that a person may confirm instead of the sentence."""

    subject: tuple[Name, ...]
    """Names of the values that it is about: results and attestations count only for the same."""

    inputs: tuple[Name, ...]
    """Names of the values that it takes; a refused one voids its attestations."""

    checks: tuple[CheckDefinition, ...]
    """The checks that ask a remote system about it."""

    requires: tuple[Name, ...]
    """Ids of the steps whose failure blocks it."""

    valid_days: int
    """Days for which an attestation counts; 0 if it does not expire."""

    usual_days: int
    """Days that an outside party usually takes at most; 0 if unknown."""


class Binding(ModelStruct):
    """The values and checks that a result or an attestation is about; it counts for no others."""

    connector: Name

    checks: tuple[Name, ...]
    """Ids of the step's checks, sorted."""

    subject: Mapping[Name, BoundValue | None]
    """Value by name: a secret's fingerprint, `None` if it was unknown."""


class EarlierResult(ModelStruct):
    """An earlier result of a check with a side effect, which a run counts again."""

    line: int
    """The number of its journal line."""

    until: Day
    """The last day on which it counts."""


class RunStarted(ModelStruct):
    """A run began: with this procedure, these values, and this much known from before."""

    format: int
    """The version of the format, `FORMAT`."""

    tenant: Name
    """The tenant's name."""

    procedure: ProcedureName
    """The procedure of the run's connector."""

    steps: tuple[StepDefinition, ...]
    """The steps at that time, in the documented order."""

    labels: Mapping[Name, Name]
    """Name of a value → its label for people."""

    secrets: tuple[Name, ...]
    """Names of the values that are secrets."""

    mode: Mode
    """The mode of the run."""

    sandbox: bool
    """Whether it is practice, which proves nothing."""

    values: Mapping[Name, GivenValue]
    """The values known from before and given now, by name."""

    fingerprints: Mapping[Name, Name]
    """Fingerprint of each secret that a result may be bound to, by name."""

    credentials: tuple[Name, ...]
    """Names of the given credentials."""

    environment: Mapping[Name, Name]
    """Versions of the runbook and of the software that it runs on."""

    resumes: Name = ""
    """Id of the interrupted run that this one resumes; empty without one."""

    earlier: Mapping[Name, EarlierResult] = field(default_factory=dict)
    """Id of a check → the earlier result that counts again."""

    waiting: Mapping[Name, Time] = field(default_factory=dict)
    """Id of a step → since when earlier runs saw it waiting."""

    fleet_run: FleetRun | None = None
    """The fleet's run that requested this one; `None` outside of a fleet."""

    not_run: NotRunReason | None = None
    """Why it ended at once, without any check; `None` if it ran."""


class ValuesGiven(ModelStruct):
    """A person, another kernel or a check gave values."""

    values: Mapping[Name, GivenValue] = field(default_factory=dict)

    fingerprints: Mapping[Name, Name] = field(default_factory=dict)

    saved: Mapping[Name, Name] = field(default_factory=dict)
    """Name of a credential → where it is saved; empty once it is forgotten."""


class KnownErrorText(ModelStruct):
    """A known error text that a check met, with its meaning and advice."""

    shown: Text

    meaning: Name

    advice: Name

    source: Name
    """A public address, or the kind of reading and its date."""


class StepChecked(ModelStruct):
    """The checks of a step ended."""

    findings: tuple[Finding, ...]
    """The findings, in the order of the checks."""

    binding: Binding
    """The values that the findings are about."""

    unchecked: Text = ""
    """Reason why there are no findings; empty if there are."""

    automatic: bool = False
    """Whether the walkthrough checked by itself: nobody pressed a button."""

    code_digests: Mapping[Name, Sha256] = field(default_factory=dict)
    """Id of a check with a side effect → SHA-256 of its module."""

    known_errors: tuple[KnownErrorText, ...] = ()
    """The known error texts in the findings."""

    faults: tuple[Name, ...] = ()
    """Ids of the checks that could not tell because a remote system had a fault of its own."""


class ChangeIntended(ModelStruct):
    """A check is about to change something in a remote system."""

    change: Text


class ValuesJudged(ModelStruct):
    """The remote system named values as its own for the first time, or refused them."""

    accepted: Mapping[Name, BoundValue] = field(default_factory=dict)

    refused: Mapping[Name, BoundValue] = field(default_factory=dict)

    before: Mapping[Name, BoundValue] = field(default_factory=dict)
    """Name of a refused value → the last value before it that was not refused."""


class Attestation(ModelStruct):
    """A named person's statement about a step."""

    kind: AttestationKind
    """The kind of the statement."""

    by: PersonName
    """The name that the person gave; nothing proves that it is true."""

    at: Time
    """Time of the attestation (RFC 3339)."""

    sentence: Text
    """The sentence that the person confirms."""

    binding: Binding
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


class RunFinished(ModelStruct):
    """A run ended; its outcome follows from its lines."""

    environment: Mapping[Name, Text] = field(default_factory=dict)

    broken: Text = ""
    """Why its notebook did not reach the end; empty if it did."""


class JournalRepaired(ModelStruct):
    """The half line of a killed process was removed: its size, and its beginning."""

    bytes: int

    text: Text


class BundleSealed(ModelStruct):
    """A bundle is complete."""

    bundle: Name
    """Name of its folder."""

    sequence: int
    """Its number among the bundles of this journal, from 1."""

    statement: Sha256
    """SHA-256 of the statement's envelope."""

    last: int
    """The number of the last line in it."""

    fleet_run: Name = ""
    """Id of the fleet's run that requested it; empty outside of a fleet."""


EVENTS: Mapping[str, type[ModelStruct]] = {
    "run.started": RunStarted,
    "run.finished": RunFinished,
    "values.given": ValuesGiven,
    "values.judged": ValuesJudged,
    "exchange.recorded": Exchange,
    "step.checked": StepChecked,
    "step.attested": Attestation,
    "step.noted": Note,
    "change.intended": ChangeIntended,
    "journal.repaired": JournalRepaired,
    "bundle.sealed": BundleSealed,
}
TYPES = {kind: name for name, kind in EVENTS.items()}
# People's words, and what is known of values: later bundles have these lines, too.
LASTING = frozenset(TYPES[kind] for kind in (Attestation, Note, ValuesJudged))
