"""
The JSON of each panel, which the browser scripts read as `view`.

`views` makes it. A saved notebook may hold it, so it contains no credential.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runbook_lib.core.model import Outcome
from runbook_lib.core.procedure import ShownLink
from runbook_lib.evidence.reports.pictures import ForecastChip


class RefusedValue(TypedDict):
    """A typed value that was not accepted: its input, and the problem or the doubt."""

    input: str
    problem: NotRequired[str]
    doubt: NotRequired[str]


class StatusView(TypedDict):
    """The actions of one panel, as in `PanelStatus`."""

    busy: int
    """The number of running actions."""
    busy_since: float
    """The time at which the first of them began, in epoch seconds; 0 if no action is running."""
    finished: int
    """The number of actions that have ended."""
    taken: int
    """The number of times that typed values were accepted."""
    refused: list[RefusedValue]
    """The typed values that were refused last."""
    written: int
    """The number of recorded remarks of a person."""
    result: str
    """Set if the last action was a check."""
    message: str
    """The last action's message; empty if it has none."""
    advice: str
    """The next step after `message`."""
    is_error: bool
    """Whether the last action failed."""
    consent_url: str
    """The address of the provider's consent page; empty if no redirect is awaited."""
    consent_paste_url: str
    """The same, if the redirect is to be pasted."""


class OutcomeView(TypedDict):
    """The outcome of a step, as the page shows it."""

    outcome: Outcome
    icon: str
    label: str
    in_part: bool
    """Whether the checks verified it, and a person must confirm the rest."""


class StepEntry(OutcomeView):
    """A step in a list."""

    id: str
    """The step's id."""
    number: str
    """Its number in the procedure, such as `5a`."""
    title: str
    """Its title."""


class NextStepView(TypedDict):
    """The step that comes next."""

    id: str
    number: str
    title: str
    advice: str
    """Its advice; empty if nobody has begun the step."""


class LineView(StatusView, OutcomeView):
    """The panel of a step until it is opened: one line, and its news."""

    id: str
    """The step's id."""
    number: str
    """Its number in the procedure, such as `5a`."""
    title: str
    """Its title."""
    part: str
    """The group of steps that it belongs to."""
    checked_on: str | None
    """The time of its last check, RFC 3339; none if it was not checked."""
    reason: str
    """The finding's sentence."""
    to_do: str
    """The first sentence of the advice after it."""
    more_to_do: str
    """The rest of that advice, for the details of the check."""
    warnings: list[str]
    """Warnings about its values, and of its checks."""
    limits: list[str]
    """Facts that its checks did not prove."""
    is_next: bool
    """Whether a person should do it next."""
    is_current: bool
    """Whether its card is open by itself."""
    is_settled: bool
    """Whether nothing is left to do."""
    next: NextStepView | None
    """The step that comes next on the page."""
    since: str
    """The person who did it, the party it waits for, or the steps before it."""
    line: str
    """The text beside its title while it is closed."""
    can_refresh: bool
    """Whether it can be checked again without a side effect, and may have changed."""
    next_refresh: str
    """The time of its next automatic check; empty if it does not wait."""
    has_card: bool
    """Whether the view has the fields of `StepView` too."""


class TableView(TypedDict):
    """A table of a check."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


class PasteView(TypedDict):
    """A value to paste into another system's field."""

    label: str
    value: str


class ChoiceView(TypedDict):
    """A name that a list may have, with its dependencies; a locked one is always in the list."""

    name: str
    needs: list[str]
    is_locked: bool


class InputView(TypedDict):
    """A field for a value of the step."""

    name: str
    """Name of the input."""
    label: str
    """Its name on screen."""
    help: str
    """The place where a person finds the value."""
    example: str
    """A value that has the right format."""
    kind: str
    """`text`, `password` or `checkbox`."""
    value: str | bool
    """The current value; empty for a credential."""
    saved_in: str
    """The place of a known credential: `this session`, `keyring`, `.env`; empty if unknown."""
    choices: list[ChoiceView]
    """The names that a list may have; empty if it is no such list."""
    is_needed: bool
    """Whether a check lacks it."""


class ChosenView(TypedDict):
    """A list that is chosen in another step, whose `id` and `title` are here."""

    label: str
    value: str | bool
    id: str
    title: str


class ActionNames(TypedDict):
    """Names of a step's actions; empty for none."""

    primary: str
    other: str
    again: str
    menu: list[str]


class FieldView(TypedDict):
    """A field of an option."""

    name: str
    """Name in the message that the page sends."""
    label: str
    """Its name on screen."""
    type: str
    """`date`, `text` or `choices`."""
    help: str
    """A sentence below it."""
    choices: list[str]
    """The boxes of a field of type `choices`."""
    ticked: NotRequired[bool]
    """Whether the boxes are ticked at first."""


class OptionView(TypedDict):
    """A sentence that a person can confirm in a form."""

    name: str
    """Its name, unique in the form."""
    action: str
    """The action that the page sends."""
    answer: str
    """The name of the step's answer that it confirms; empty for the step's own sentence."""
    label: str
    """Its name on screen."""
    sentence: str
    """The sentence to confirm."""
    note_label: str
    """Label of the note; empty for the form's."""
    fields: list[FieldView]
    """Its fields."""


class FormView(TypedDict):
    """A form by which a person confirms a step, skips it, comments on it, and so on."""

    name: str
    """Its name, unique in the step."""
    label: str
    """Its name on screen."""
    options: list[OptionView]
    """The sentences to choose from, if there are several."""
    verb: str
    """The verb phrase on its button, behind the person's name."""
    act: str
    """Label of the button without a known name."""
    note_label: str
    """Label of the note."""
    note_help: str
    """A sentence below the note."""
    note_missing: str
    """The sentence if a needed note is missing."""
    needs_note: bool
    """Whether the note must be given."""
    has_files: bool
    """Whether a person can attach files."""
    files_help: str
    """A sentence below the files."""
    chosen: str
    """Name of the option that is chosen at first; empty for none."""


class CopiedSecretView(TypedDict):
    """The credential that a step copies to another console; `unknown` says that it is missing."""

    name: str
    label: str
    unknown: str


class ExchangeView(TypedDict):
    """A request of the last check, and its response."""

    line: str
    """Method and address."""
    status: str
    """The HTTP status, or the reason why no response came."""
    sent_on: str
    """Time of the request, RFC 3339."""
    milliseconds: int
    """Time until the response."""
    trace: str
    """The trace id that the provider's support asks for; empty if it returned none."""
    detail: str
    """Headers and bodies, redacted and cut."""


class ProseView(TypedDict):
    """The documented text of a step, folded away."""

    title: str
    paragraphs: list[str]
    source: str


class EventView(TypedDict):
    """A journal line about the step: its time and its event, in words."""

    at: str
    event: str


class KitPermissionView(TypedDict):
    """The texts for one permission in the review kit."""

    label: str
    usage: str
    calls: list[str]
    reasons: list[str]


class KitView(TypedDict):
    """The texts for the provider's review."""

    review: str
    """Name of the review."""
    warnings: list[str]
    """Sentences to heed first."""
    about: list[str]
    """Paragraphs about the app."""
    parts: list[KitPermissionView]
    """The texts of each permission."""
    rules: list[str]
    """Rules for the recording."""
    scenes: list[str]
    """The scenes of the recording."""
    reviewer: list[str]
    """Instructions for the reviewer."""
    prepare_for: str
    """Heading of `prepare`."""
    prepare: list[str]
    """Further demands of the provider."""


class KnownErrorView(TypedDict):
    """A known error of the step."""

    title: str
    """Its best known text."""
    seen: bool
    """Whether this run saw it."""
    meaning: str
    """Its meaning."""
    causes: list[str]
    """Its causes, the likeliest first."""
    advice: str
    """The next actions."""
    source: str
    """A public address, or the kind of reading and its date."""


class StepView(LineView):
    """The panel of an opened step: its line, and its card."""

    acts: list[str]
    """The procedure's text, a paragraph for each act."""
    attested_by: str | None
    """The person who confirmed it."""
    overdue: str
    """The delay of a colleague or an outside party, in words; empty without one."""
    overdue_act: str
    """The advice if it is overdue."""
    assigned: str
    """Its assignee and due day."""
    remarks: list[str]
    """Notes of its checks."""
    quotes: list[str]
    """Texts that the remote system returned."""
    changes: list[str]
    """Changes that its checks made at the remote system."""
    tables: list[TableView]
    """Tables of its checks."""
    links: list[ShownLink]
    """Links to the pages where it is done."""
    pastes: list[PasteView]
    """Values to paste there."""
    inputs: list[InputView]
    """Its fields; a credential has no value."""
    chosen: list[ChosenView]
    """Lists that are chosen in another step."""
    side_effect: str
    """The side effect of its checks at the remote; empty if they only read."""
    actions: ActionNames
    """The action that a person needs next, one beside it, and the others."""
    user: str
    """The person who is logged in to the server."""
    can_check: bool
    """Whether it has a check that can run now."""
    forms: list[FormView]
    """The forms by which a person can confirm it, skip it, and so on."""
    provider: str
    """The name of the vendor."""
    needs_consent: bool
    """Whether its token comes from a person's consent."""
    largest: int
    """The largest size of an attachment, in bytes."""
    needs_another: bool
    """Whether a second person must confirm it."""
    has_confirm_page: bool
    """Whether this server has the page for that person."""
    copied_secret: CopiedSecretView | None
    """The credential that it copies to another console."""
    exchanges: list[ExchangeView]
    """The requests of its last check, and their responses."""
    identity: str
    """Its id and kind, for reference."""
    prose: ProseView | None
    """The documented text, if the card does not show all of it."""
    history: list[EventView]
    """The newest journal lines about it, newest first."""
    kit: KitView | None
    """The texts for the provider's review."""
    known_errors: list[KnownErrorView]
    """Known errors of this step."""


class ScreenView(TypedDict):
    """The map of the page where a step is done."""

    svg: str
    caption: str
    source: str


class DrawnStep(StepView):
    """A step's view as the browser gets it: redacted, with its map."""

    screen: ScreenView | None
    """The map; none for a settled step."""


class HeaderFacts(TypedDict):
    """Facts that the header shows as they are."""

    title: str
    """The procedure's title."""
    tenant: str
    """The tenant's name."""
    sandbox: bool
    """Whether this is practice."""
    start: str
    """The command that starts the page again."""
    others: str
    """The other tenants of the evidence folder, as a list for people."""
    package: str
    """The package that brings the connector; empty for one of the runbook's own."""
    sealed: str
    """The time at which the evidence was sealed last, as a sentence; empty if never."""
    unsaved: bool
    """Whether this kernel knows a credential that is saved nowhere."""


class OutcomeCount(TypedDict):
    """The number of steps with one outcome."""

    outcome: Outcome
    icon: str
    label: str
    count: int


class HeaderStep(StepEntry):
    """A step in the list of all: who did it or must act, and why it must be done again."""

    who: str
    again: str


class GroupStep(StepEntry):
    """A step of a group."""

    is_settled: bool


class StepLink(TypedDict):
    """A step to go to."""

    id: str
    title: str


class GroupView(TypedDict):
    """A group of steps, for the sidebar."""

    title: str
    """Title of the group."""
    ids: list[str]
    """Ids of its steps."""
    outcome: Outcome
    """Its most urgent outcome."""
    label: str
    """The text beside it; empty if nobody has begun it."""
    step: StepLink
    """The step in it to go to."""
    steps: list[GroupStep]
    """Its steps."""


class ReadyItem(TypedDict):
    """An item of *Before you begin*."""

    text: str
    is_ticked: bool


class BeginView(TypedDict):
    """The card *Before you begin*: the duration in words, and the items to have ready."""

    plan: str
    ready: list[ReadyItem]
    has_begun: bool


class GateView(StepEntry):
    """A decision of others: since when it is awaited, its usual time, the steps before it."""

    since: str
    usual: str
    after: str


class ForecastView(TypedDict):
    """The forecast in one line, and its decisions as chips."""

    title: str
    chips: list[ForecastChip]


class HeaderView(StatusView, HeaderFacts):
    """The line on top and the progress behind it, with the status of *Check everything now*."""

    user: str
    """The person who is logged in to the server."""
    provider: str
    """The name of the vendor."""
    total: int
    """The number of all steps."""
    settled: int
    """The number of steps that are done."""
    counts: list[OutcomeCount]
    """The number of steps for each outcome."""
    next: NextStepView | None
    """The step that comes next."""
    steps: list[HeaderStep]
    """Every step, with the party that it waits for."""
    groups: list[GroupView]
    """The groups of steps, for the sidebar."""
    begin: BeginView | None
    """The items of *Before you begin*, with their ticks."""
    gates: list[GateView]
    """The decisions of others, and since when each is awaited."""
    forecast: ForecastView | None
    """The forecast; `None` if others decide nothing."""


class EndView(TypedDict):
    """The verdict at the notebook's end."""

    verdict: str
    """The verdict in one sentence."""
    warnings: list[str]
    """Warnings that are left, with their steps."""
    sealed: str
    """The time at which the evidence was sealed, as a sentence."""
    took: str
    """The duration, as a sentence; empty if it is unknown."""
    watch: list[str]
    """Things to watch from now on."""


class FinishView(StatusView):
    """The notebook's end, with the status of the sealing."""

    end: EndView | None
    """The verdict, once all is done and sealed."""
    total: int
    """The number of all steps."""
    done: int
    """The number of steps that are done."""
    open: list[StepEntry]
    """The others."""
    next: NextStepView | None
    """The step that comes next."""
    doubts: list[str]
    """Warnings before sealing."""
    bundle: str
    """The folder of the newest bundle; empty if nothing is sealed."""
    bundle_name: str
    """The last part of `bundle`."""
