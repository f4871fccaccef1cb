"""
The events of a tenant's journal: the data of its lines, each kind described once.

A field's mark tells `core.masking` how to redact it. Nothing else is stored: `fold` derives every
state, record, page and report from events alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from runbook_lib.core.model import (
    Attestation,
    Binding,
    BoundValue,
    Day,
    Exchange,
    Finding,
    FleetRun,
    GivenValue,
    Mode,
    ModelStruct,
    Name,
    Note,
    NotRunReason,
    ProcedureName,
    Sha256,
    Text,
    Time,
)

FORMAT = 15


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

    secrets: tuple[Name, ...] = ()
    """Names of the secrets that it uses."""


class StepDefinition(ModelStruct):
    """A step when a run began: all that its outcome depends on, and that a reader needs."""

    id: Name
    """Id of the step."""

    number: Name
    """Number on screen; a letter marks a step that the documented page lacks."""

    title: Name
    """Title of the step."""

    off_page: bool
    """Whether the documented page lacks it."""

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

    unverifiable: tuple[Name, ...]
    """Facts that no check and no API shows, and that a partner must know."""

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

    may_spend: bool = True
    """Whether settings may permit checks with side effects in this run."""

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

    is_kept: bool = True
    """Whether later runs use the values, too; another kernel's hold for its run."""

    saved: Mapping[Name, Name] = field(default_factory=dict)
    """Name of a credential → where it is saved; empty once it is forgotten."""


class KnownErrorText(ModelStruct):
    """A known error text that a check met, with its meaning and advice."""

    shown: Text
    """The exact text; `…` stands for any text."""

    meaning: Name
    """Its meaning in one or two sentences."""

    causes: tuple[Name, ...]
    """Its causes, the likeliest first, each with the checks that test for it."""

    advice: Name
    """The next actions."""

    source: Name
    """A public address, or the kind of reading and its date."""

    seen: Name
    """The place where it was seen: `reason`, or `response`."""


class StepChecked(ModelStruct):
    """The checks of a step ended."""

    findings: tuple[Finding, ...]
    """The findings, in the order of the checks."""

    binding: Binding
    """The values that the findings are about."""

    unchecked: Text = ""
    """Reason why there are no findings; empty if there are."""

    automatic: bool = False
    """Whether nobody asked for it: the walkthrough or a watch checked by itself."""

    code_digests: Mapping[Name, Sha256] = field(default_factory=dict)
    """Id of a check with a side effect → SHA-256 of its module."""

    known_errors: tuple[KnownErrorText, ...] = ()
    """The known error texts in the findings."""

    due_on: Day = ""
    """The day since when a check is due, which this run did not make; empty if none is."""

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
