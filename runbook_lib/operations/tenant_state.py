"""
The journal and the watch's rows of a tenant -> its state, as everything shows it. Pure.

A step has its newest confirmed result, from a run or a watch. Problems with one cause are one open
item: it names the cause, its effects, the people affected, and the first thing to do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from runbook_lib.connectors.code_meanings import CodeMeaning, meaning_of
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import DEFAULT
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Finding, Outcome, RunOutcome, Value, WaitsFor
from runbook_lib.core.procedure import Procedure
from runbook_lib.evidence.reports import tenant_status
from runbook_lib.evidence.reports.phrases import parse_time
from runbook_lib.evidence.reports.tenant_status import (
    NO_PLACE,
    YOU,
    ItemGroup,
    ItemPlace,
    OpenItem,
    TenantStatus,
    customers_title,
    days_until,
)
from runbook_lib.operations.customer_list import (
    CALLS_FAIL,
    NOT_SIGNED_IN,
    SIGNED_OUT,
    CustomerList,
    customer_rows,
)
from runbook_lib.operations.due_items import due_items
from runbook_lib.operations.watch.results import is_broken, is_failing
from runbook_lib.operations.watch.watch_state import (
    CUSTOMERS_STEP,
    RECORD_UNREADABLE,
    SETTINGS_UNUSABLE,
    WatchedStep,
    WatchedTenant,
    has_passed,
)
from runbook_lib.run.advice import failed_title, open_title, waits_for, what_to_do
from runbook_lib.run.state import RunState, StepState
from runbook_lib.run.waits import waits_in

# A day so near is somebody's turn now, one within the second limit is shown as due later.
_NOW_DAYS = 7
_LATER_DAYS = 30
# A customer's name is cut there.
_MAX_NAME_CHARS = 120
_NUMBERS = re.compile(r"\d+")
CUSTOMERS_TITLE = "Customers' connections"
_RIGHTS_LOST = "Cyclr shows the connector in no account any more"
_CHECK_RIGHTS = "Check the rights of the API credentials in the Cyclr console."
_UNCHECKED_AFTER = timedelta(days=1)
_UNCONFIRMED_AFTER_DAYS = 2
# The cause of a customer's state, and what it stops.
_CAUSES = {
    SIGNED_OUT: tenant_status.SIGNED_OUT,
    NOT_SIGNED_IN: tenant_status.NOT_SIGNED_IN,
    CALLS_FAIL: tenant_status.CALLS_FAIL,
}
_CUT_OFF = "No data reaches their cycles until they sign in again."
_STOPPED = {
    SIGNED_OUT: _CUT_OFF,
    NOT_SIGNED_IN: _CUT_OFF,
    CALLS_FAIL: "Their cycles fail, although Cyclr says signed in.",
}
SECOND_PERSON = "a second person"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTenant:
    """Everything that the evidence folder knows about one connector of a tenant."""

    tenant: str
    """The tenant's name."""
    procedure: Procedure
    """The procedure of its connector."""
    state: RunState
    """The journal's state."""
    next_id: str = ""
    """The id of the step that needs somebody next; empty if no step needs anybody."""
    failing_since: Mapping[str, str] = field(default_factory=dict)
    """Step id → the time since which its newest checks fail."""
    watched: WatchedTenant | None = None
    """The watch's row of the tenant; `None` if no watch polled it, or the row cannot be read."""
    is_watch_readable: bool = True
    """Whether the watch's state could be read."""
    polled: Sequence[WatchedStep] = ()
    """The results of the watch's polls."""
    answered_on: Mapping[str, str] = field(default_factory=dict)
    """Check → the time at which a run last got an answer to it."""
    known_to: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Cause and place of an item → the person who acknowledged it, and why."""
    customers: CustomerList
    """The customers' accounts."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """The values that links need."""
    run_outcome: RunOutcome | None = None
    """The outcome of the newest sealed run."""
    run_on: str = ""
    """The time at which the newest run began, sealed or not."""
    sealed_on: str = ""
    """The time of its newest bundle (ISO 8601); empty without one."""
    bundle: str = ""
    """The path of its newest bundle; empty without one."""
    unsealed: int = 0
    """The number of results that a watch has written since."""
    file: str = ""
    """The file of tenants that names it; empty if no file names it."""


def status_of(known: KnownTenant, now: datetime) -> TenantStatus:
    """Return the state of a tenant."""
    state = known.state
    today = now.date()
    items = [_with_acknowledgement(known, item) for item in _merged(_items(known, today, now))]
    polled_on = known.watched.last_polled_on if known.watched else ""
    checked_on = max((step.checked_on for step in state.steps), default="")
    return TenantStatus(
        tenant=known.tenant,
        connector=known.procedure.id,
        connector_title=known.procedure.title,
        is_practice=state.sandbox,
        items=tuple(sorted(items, key=lambda item: item.urgency)),
        polled_on=max(polled_on, checked_on) if known.is_watch_readable else None,
        sealed_on=known.sealed_on,
        outcome=known.run_outcome,
        bundle=known.bundle,
        unsealed=known.unsealed,
        dashboard=_dashboard(known),
        done=sum(step.is_settled for step in state.steps),
        total=len(state.steps),
    )


def unusable_status(
    tenant: str,
    procedure: Procedure | None,
    connector: str,
    *,
    title: str,
    reason: str = "",
    advice: str = "",
    command: str = "",
    watched: WatchedTenant | None = None,
) -> TenantStatus:
    """
    Return the state of a tenant without a run, or whose record cannot be read.

    The state of a `watched` one says why it could not be polled.
    """
    item = _refused_item(watched) if watched and watched.unusable else None
    if item is None:
        places = (ItemPlace(id="", name="", reason=reason),) if reason else ()
        item = OpenItem(
            group=ItemGroup.DUE_NOW,
            cause=f"unusable {title}",
            title=title,
            advice=advice,
            stops_checks=True,
            places=places,
        )
    item = replace(item, command=command, tenant_option=_only(tenant) if command else "")
    return TenantStatus(
        tenant=tenant,
        connector=connector,
        connector_title=procedure.title if procedure else connector,
        items=(item,),
        total=len(procedure.steps) if procedure else 0,
    )


def run_command(known: KnownTenant) -> str:
    """
    Return the command that runs a tenant once more; empty for practice, whose command is not known.
    """
    tenant = shlex.quote(known.tenant)
    if known.file:
        return fleet_command(known.tenant, known.file)
    if known.state.sandbox:
        return ""
    return f"runbook run --tenant {tenant}{_connector_option(known.procedure.id)}"


def fleet_command(tenant: str, file: str) -> str:
    """Return the command that runs a tenant of a FILE."""
    return f"runbook fleet {shlex.quote(file)} {_only(tenant)}"


def _only(tenant: str) -> str:
    """Return the option that names a tenant of a FILE; several can be given."""
    return f"--only {shlex.quote(tenant)}"


def _connector_option(connector: str) -> str:
    return f" --connector {connector}" if connector != DEFAULT else ""


def cause_of(finding: Finding) -> CodeMeaning | None:
    """
    Return the meaning of a finding that names a cause: it failed, or others fail with its code.

    `None` for a finding that fails nothing.
    """
    meaning = meaning_of(finding.code)
    if meaning is None:
        return None
    if finding.outcome is Outcome.FAILED:
        return meaning
    is_shared = finding.outcome is Outcome.INCONCLUSIVE and meaning.is_cause
    return meaning if is_shared else None


def _stopped_by(procedure: Procedure, finding: Finding, meaning: CodeMeaning) -> str:
    """Return the effects of a cause; empty for a check that only cannot tell because of it."""
    if meaning.stops or finding.outcome is not Outcome.FAILED:
        return meaning.stops
    return broken_without(procedure, finding.check)


def broken_without(procedure: Procedure, check: str) -> str:
    """Return the effects of a failed check; empty if they are not known."""
    broken = (provider.behaviour.impact_of(check) for provider in procedure.providers)
    return " ".join(dict.fromkeys(filter(None, broken)))


def _unusable(known: KnownTenant) -> OpenItem | None:
    """Return why nothing can be asked, unless a run began later."""
    watched = known.watched
    if not watched or not watched.unusable or watched.unusable_on < known.run_on:
        return None
    return _refused_item(watched)


def _refused_item(watched: WatchedTenant) -> OpenItem:
    """Return the item of a tenant that could not be asked, or whose last run has no good end."""
    is_asked = watched.unusable_title not in (SETTINGS_UNUSABLE, RECORD_UNREADABLE)
    return OpenItem(
        group=ItemGroup.DUE_NOW,
        # NOTE: a text with numbers in it, such as a time, would be another cause each time.
        cause=f"unusable {watched.unusable_title} {_NUMBERS.sub('', watched.unusable)}",
        title=watched.unusable_title,
        stops="" if is_asked else "Nothing about this tenant is checked.",
        advice=watched.unusable_advice,
        since=watched.unusable_since,
        stops_checks=not is_asked,
        is_failing=is_asked,
        places=(ItemPlace(id="", name="", reason=watched.unusable),),
    )


def _unchecked(known: KnownTenant, now: datetime) -> Iterator[OpenItem]:
    """Yield what has had no response for a day, or that nobody has checked for two days."""
    silent = [
        (max(row.unanswered_since, known.answered_on.get(row.check, "")), row.unanswered)
        for row in known.polled
        if row.unanswered_since
    ]
    since, reason = min(silent, default=("", ""))
    if silent and has_passed(_UNCHECKED_AFTER, since, now):
        yield OpenItem(
            group=ItemGroup.UNCHECKED,
            cause="outage",
            title="Some checks have had no response for a day",
            advice="Look at the reason. The watch goes on trying.",
            since=since,
            places=(ItemPlace(id="", name="", reason=reason),),
        )
        return
    checked_on = _answered_on(known)
    checked = parse_time(checked_on)
    if checked and (now - checked).days >= _UNCONFIRMED_AFTER_DAYS:
        yield OpenItem(
            group=ItemGroup.UNCHECKED,
            cause="unconfirmed",
            title="Nobody has checked it for two days",
            advice="Run it again, or start a watch.",
            command=run_command(known),
            tenant_option=_only(known.tenant) if known.file else "",
            since=checked_on,
        )


def _answered_on(known: KnownTenant) -> str:
    """Return the time of the newest result that decides something; empty without one."""
    answered = [
        step.checked_on
        for step in known.state.steps
        if any(finding.outcome is not Outcome.INCONCLUSIVE for finding in step.findings)
    ]
    polled = [
        row.seen_on
        for row in known.polled
        if row.current and row.current.outcome is not Outcome.INCONCLUSIVE
    ]
    return max([*answered, *polled], default="")


def _items(known: KnownTenant, today: date, now: datetime) -> Iterator[OpenItem]:
    listed = set()
    for step in known.state.steps:
        for item in _failing(known, step, now):
            listed.add(step.id)
            yield item
    for step, whom, _ in waits_in(known.state, known.procedure, today):
        if step.id not in listed:
            item = _waiting(known, step, whom, today)
            if item.is_next and item.group is ItemGroup.WAITING:
                yield from _beside(known)
            yield item
    yield from _days(known, today)
    yield from _customers(known, now)
    unusable = _unusable(known)
    yield from [unusable] if unusable else _unchecked(known, now)


def _failing(known: KnownTenant, step: StepState, now: datetime) -> Iterator[OpenItem]:
    """
    Yield an item for each cause for which a step fails, or cannot be checked.

    A step that nobody has begun fails nothing, unless a watch says so. Only the walkthrough has
    checked it.
    """
    # NOTE: a wrong clock may have kept a time that is still to come.
    broken = [
        row
        for row in known.polled
        if row.step == step.id and is_broken(row) and row.seen_on <= timestamp(now)
    ]
    is_watched = bool(broken)
    if step.is_untouched and not is_watched:
        return
    findings = [(finding, cause_of(finding)) for finding in _findings(step, broken)]
    causes = [(finding, meaning) for finding, meaning in findings if meaning]
    is_worse = is_watched and not step.is_settled
    if not (causes or is_worse or step.outcome is Outcome.FAILED):
        return
    item = _item_of(known, step)
    item = replace(
        item,
        is_failing=True,
        # Not since when it waits for a decision.
        since=known.failing_since.get(step.id, ""),
        command=run_command(known),
        tenant_option=_only(known.tenant) if known.file else "",
    )
    for finding, meaning in causes:
        yield replace(
            item,
            cause=f"code {finding.code}",
            title=meaning.means.rstrip("."),
            stops=_stopped_by(known.procedure, finding, meaning),
            advice=meaning.advice or _advice(known, step),
            places=(_failing_place(item.places[0], finding),),
        )
    if not causes:
        stops = (
            broken_without(known.procedure, check.id)
            for check in known.procedure.step(step.id).checks
        )
        title = failed_title(step) if step.outcome is Outcome.FAILED else open_title(step)
        yield replace(
            item,
            cause=f"{known.procedure.id} {title}",
            title=title,
            stops=" ".join(filter(None, stops)),
            advice=_advice(known, step),
        )


def _failing_place(place: ItemPlace, finding: Finding) -> ItemPlace:
    """Return the place of a failure, which a watch may have seen for newer values than the run."""
    is_failed = finding.outcome is Outcome.FAILED
    outcome = Outcome.FAILED if is_failed else place.outcome
    return replace(place, outcome=outcome, reason=finding.reason)


def _findings(step: StepState, broken: Iterable[WatchedStep]) -> list[Finding]:
    """Return a step's findings, and newer failures of a watch, whose values no run has seen yet."""
    known = {finding.check for finding in step.findings if is_failing(finding)}
    later = [
        Finding(outcome=current.outcome, code=current.code, reason=current.reason, check=row.check)
        for row in broken
        if (current := row.current)
        and is_failing(current)
        and row.check not in known
        and row.seen_on > step.checked_on
    ]
    return [*step.findings, *later]


def _waiting(known: KnownTenant, step: StepState, whom: WaitsFor, today: date) -> OpenItem:
    """Return the item of a step that waits for somebody, or is the next one to do."""
    item = _item_of(known, step)
    expired = [void.ended for void in step.void_attestations if void.ended and step.has_expired]
    due = step.due or step.ends_on or max(expired, default="")
    overdue = step.overdue_days or (-days_until(due, today) if expired else 0)
    title = open_title(step)
    item = replace(
        item,
        title=title,
        advice=_advice(known, step),
        due=due,
        overdue_days=overdue,
    )
    if whom is WaitsFor.OUTSIDE_PARTY:
        meaning = meaning_of(step.code)
        title = meaning.means.rstrip(".") if meaning else title
        item = replace(item, title=title, usual_days=known.procedure.step(step.id).usual_days)
        if overdue:
            item = replace(item, title=f"{title}: it takes longer than usual")
        else:
            party = vendor_of(known.procedure).title
            item = replace(item, group=ItemGroup.WAITING, whom=party, advice="", link="")
    elif whom is WaitsFor.SECOND_PERSON:
        item = replace(item, group=ItemGroup.WAITING, whom=SECOND_PERSON)
    elif whom is WaitsFor.PERSON and not overdue:
        item = replace(item, group=ItemGroup.WAITING)
    elif due and not item.is_next and days_until(due, today) > _NOW_DAYS:
        item = replace(item, group=ItemGroup.DUE_LATER)
    return replace(item, cause=f"{item.cause} {item.title} {item.whom} {due}")


def _beside(known: KnownTenant) -> Iterator[OpenItem]:
    """Yield the first step that somebody here can do while a colleague has the next one."""
    for step in known.state.steps:
        is_open = step.outcome in (Outcome.NOT_RUN, Outcome.INCONCLUSIVE)
        is_free = not (step.is_settled or step.assigned_to)
        texts = known.procedure.step(step.id)
        if is_open and is_free and not waits_for(known.state, texts):
            yield replace(_item_of(known, step), advice=_advice(known, step))
            return


def _advice(known: KnownTenant, step: StepState) -> str:
    if step.ends_on:
        return f"The confirmation ends on {step.ends_on}: look again, then confirm it."
    return what_to_do(step, known.procedure.step(step.id))


def _item_of(known: KnownTenant, step: StepState) -> OpenItem:
    """Return the fields that every item of a step has: place, time, person and page."""
    step_id = step.id
    links = (link.url(known.values) for link in known.procedure.step(step.id).links)
    place = ItemPlace(id=step_id, name=step.title, outcome=step.outcome, reason=step.reason)
    return OpenItem(
        group=ItemGroup.DUE_NOW,
        cause=f"{known.procedure.id} {step_id}",
        title=step.title,
        link=next(filter(None, links), ""),
        whom=step.assigned_to or YOU,
        since=step.waiting_since or known.failing_since.get(step_id, ""),
        is_next=known.next_id == step_id,
        places=(place,),
    )


def _days(known: KnownTenant, today: date) -> Iterator[OpenItem]:
    """Yield an item for each thing that ends within 30 days, such as a token or a version."""
    for due_item in due_items(known.state):
        left = days_until(due_item.day, today)
        if not due_item.is_end or left > _LATER_DAYS:
            continue
        steps = known.state.steps
        items = (_item_of(known, step) for step in steps)
        places = [place for item in items for place in item.places if place.name in due_item.places]
        renewals = (
            provider.behaviour.renewal_of(due_item.kind) for provider in known.procedure.providers
        )
        yield replace(
            _item_of(known, known.state.step(due_item.step)),
            group=ItemGroup.DUE_NOW if left <= _NOW_DAYS else ItemGroup.DUE_LATER,
            cause=f"ends {due_item.kind} {due_item.day}",
            title=due_item.headline,
            advice=next(filter(None, renewals), due_item.description),
            since="",
            due=due_item.day,
            overdue_days=max(-left, 0),
            places=tuple(places),
        )


def _customers(known: KnownTenant, now: datetime) -> Iterator[OpenItem]:
    """Yield the customers who are cut off, and what the watch found about all of them."""
    for row in customer_rows(known.customers, now):
        if cause := _CAUSES.get(row.state):
            place = ItemPlace(id=row.account, name=row.name, reason=" ".join(row.facts))
            yield OpenItem(
                group=ItemGroup.DUE_NOW,
                cause=cause,
                title=customers_title(cause, row.name),
                is_failing=True,
                stops=_STOPPED[row.state],
                advice=row.advice,
                command=row.command,
                since=row.since,
                is_about_customers=True,
                places=(place,),
            )
    for polled in known.polled:
        if polled.step == CUSTOMERS_STEP and polled.current and is_broken(polled):
            meaning = meaning_of(polled.current.code)
            yield OpenItem(
                group=ItemGroup.DUE_NOW,
                cause=f"{CUSTOMERS_STEP} {polled.check} {polled.current.code}",
                title=meaning.means.rstrip(".") if meaning else _RIGHTS_LOST,
                is_failing=True,
                stops=meaning.stops if meaning else "",
                advice=meaning.advice if meaning else _CHECK_RIGHTS,
                since=polled.since,
                places=(
                    ItemPlace(id=polled.check, name=CUSTOMERS_TITLE, reason=polled.current.reason),
                ),
            )


def _merged(items: Iterable[OpenItem]) -> Iterator[OpenItem]:
    """Yield one item for each group and cause, with every place that has it."""
    merged: dict[tuple[ItemGroup, str], OpenItem] = {}
    for item in items:
        key = (item.group, item.cause)
        before = merged.get(key)
        if before is None:
            merged[key] = item
            continue
        # The step that has failed names the cause, its page and its command.
        first = item if _contradicts(item) and not _contradicts(before) else before
        joined = replace(
            first,
            stops=first.stops or before.stops or item.stops,
            since=min(filter(None, (before.since, item.since)), default=""),
            is_next=before.is_next or item.is_next,
            places=(*before.places, *(p for p in item.places if p not in before.places)),
        )
        if joined.is_about_customers:
            title = customers_title(joined.cause, joined.places[0].name, number=len(joined.places))
            joined = replace(joined, title=title)
        merged[key] = joined
    yield from merged.values()


def _with_acknowledgement(known: KnownTenant, item: OpenItem) -> OpenItem:
    """Return an item with the person who acknowledged it, at each of its places."""
    places = item.places or (NO_PLACE,)
    names = {known.known_to.get((item.cause, place.id), "") for place in places}
    return replace(item, known_to=names.pop()) if len(names) == 1 else item


def _contradicts(item: OpenItem) -> bool:
    """Return whether a step of the item has failed; others only cannot tell for its cause."""
    return any(place.outcome is Outcome.FAILED for place in item.places)


def _dashboard(known: KnownTenant) -> str:
    """Return the page of the app at its vendor: the first one that the procedure links to."""
    app_id = str(known.values.get(vendor_of(known.procedure).client_id.name, ""))
    links = (link.url(known.values) for step in known.procedure.steps for link in step.links)
    return next((url for url in links if app_id and app_id in url), "")
