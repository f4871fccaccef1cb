"""
The JSON of each panel, which the browser scripts read as `view`.

`views` makes it. A saved notebook may hold it, so it contains no credential.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from runbook_lib.core.model import Outcome


class RefusedValue(TypedDict):
    """A typed value that was not accepted: its input, and the problem or the doubt."""

    input: str
    problem: NotRequired[str]
    doubt: NotRequired[str]


class StatusView(TypedDict):
    """The actions of one panel, as in `PanelStatus`."""

    busy: int
    """How many actions are running."""
    busy_since: float
    """The time at which the first of them began, in epoch seconds; 0 if no action is running."""
    finished: int
    """How many actions have ended."""
    taken: int
    """How often typed values were accepted."""
    refused: list[RefusedValue]
    """The typed values that were refused last."""
    written: int
    """How many remarks of a person were recorded."""
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


class StepView(LineView):
    """The panel of an opened step: its line, and its card."""

    acts: list[str]
    """The procedure's text, a paragraph for each act."""
    attested_by: str | None
    """The person who confirmed it."""
    overdue: str
    """By how much a colleague or an outside party is late."""
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
    tables: list[dict[str, Any]]
    """Tables of its checks, each with `caption`, `columns`, `rows`."""
    links: list[dict[str, Any]]
    """Links to the pages where it is done."""
    pastes: list[dict[str, str]]
    """Values to paste there, each with `label`, `value`."""
    inputs: list[dict[str, Any]]
    """Its fields; a credential has no value."""
    chosen: list[dict[str, str]]
    """Lists that are chosen in another step."""
    side_effect: str
    """The side effect of its checks at the remote; empty if they only read."""
    actions: dict[str, Any]
    """Names of actions: `primary`, `other`, `again`, `menu`."""
    user: str
    """The person who is logged in to the server."""
    can_check: bool
    """Whether it has a check that can run now."""
    forms: list[dict[str, Any]]
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
    copied_secret: dict[str, str] | None
    """The credential that it copies to another console: `name`, `label`, `unknown`."""
    exchanges: list[dict[str, Any]]
    """The requests of its last check, and their responses."""
    identity: str
    """Its id and kind, for reference."""
    prose: dict[str, Any] | None
    """The documented text, if the card does not show all of it."""
    history: list[dict[str, str]]
    """The newest journal lines about it, newest first, each with `at`, `what`."""
    kit: dict[str, Any] | None
    """The texts for the provider's review."""
    known_errors: list[dict[str, Any]]
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
    sealed: str
    """The time at which the evidence was sealed last, as a sentence; empty if never."""
    unsaved: bool
    """Whether this kernel knows a credential that is saved nowhere."""


class HeaderView(StatusView, HeaderFacts):
    """The line on top and the progress behind it, with the status of *Check everything now*."""

    user: str
    """The person who is logged in to the server."""
    provider: str
    """The name of the vendor."""
    total: int
    """How many steps there are."""
    settled: int
    """How many of them are done."""
    counts: list[dict[str, Any]]
    """The number of steps for each outcome."""
    next: NextStepView | None
    """The step that comes next."""
    steps: list[dict[str, Any]]
    """Every step, with the party that it waits for."""
    groups: list[dict[str, Any]]
    """The groups of steps, for the sidebar."""
    begin: dict[str, Any] | None
    """The items of *Before you begin*, with their ticks."""
    gates: list[dict[str, Any]]
    """The decisions of others, and since when each is awaited."""
    forecast: dict[str, Any] | None
    """The forecast: `title`, `chips`."""


class FinishView(StatusView):
    """The notebook's end, with the status of the sealing."""

    end: dict[str, Any] | None
    """The verdict, once all is done and sealed."""
    total: int
    """How many steps there are."""
    done: int
    """How many of them are done."""
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
