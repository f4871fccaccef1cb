"""
The state of tenants, as each list, page, mail, test report and exit code shows it. Pure.

`engine.tenant_state` computes it, once, from the journal, the watch's confirmed polls and the
customers' rows. Here are its words, its order and its grouping: one row for each cause.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.evidence.reports.phrases import bounded, day, listed, with_times
from runbook_lib.text import identify, list_some, pluralize

SIGNED_OUT = "customers signed out"
NOT_SIGNED_IN = "customers not signed in"
CALLS_FAIL = "customers' calls fail"
# The title for one customer, and for many.
CUSTOMER_CAUSES = {
    SIGNED_OUT: ("{} is signed out", "{:,} customers are signed out"),
    NOT_SIGNED_IN: ("{} is not signed in", "{:,} customers are not signed in"),
    CALLS_FAIL: ("Calls of {} fail", "Calls of {:,} customers fail"),
}
YOU = "you"
_NO_DAY = "9999-12-31"
# A customer's name is cut there.
_MAX_NAME_CHARS = 120
# The number of tenants that one command names.
_MAX_OPTIONS = 12
# A day is reported when it is so near.
_REPORTED_DAYS = (1, 7, 30)
# The number of tenants, customers or steps that a row names, and of places for programs.
_MAX_NAMES = 12
_MAX_STEPS = 3
_MAX_WHOSE = 2
_MAX_PLACES = 100
_MAX_REASON_CHARS = 600
ID_LETTERS = 8


class Standing(StrEnum):
    """The state of a tenant, the worst first."""

    NEEDS_YOU = "needs_you"
    """Something fails or is due, and you must act."""

    UNCHECKED = "cannot_be_checked"
    """Nothing is due, but a check has had no response for a day, or nobody checked for two."""

    WAITING = "waiting"
    """Others must act."""

    IN_ORDER = "in_order"
    """Nothing is due."""


STANDING_LABELS: dict[Standing, str] = {
    Standing.NEEDS_YOU: "needs you",
    Standing.UNCHECKED: "cannot be checked",
    Standing.WAITING: "waiting",
    Standing.IN_ORDER: "in order",
}


# A state has the colour and the icon of the outcome that is most like it.
LOOKS_LIKE: dict[Standing, Outcome] = {
    Standing.NEEDS_YOU: Outcome.WAITING,
    Standing.UNCHECKED: Outcome.INCONCLUSIVE,
    Standing.WAITING: Outcome.WAITING,
    Standing.IN_ORDER: Outcome.VERIFIED,
}


class ItemGroup(StrEnum):
    """The group of an open item in a list."""

    DUE_NOW = "due_now"
    """You can act today."""

    DUE_LATER = "due_later"
    """You must act on a later day."""

    UNCHECKED = "cannot_be_checked"
    """Nobody knows: a check has had no response for a day, or nobody has checked for two."""

    WAITING = "waiting"
    """Others act: the party that decides, or a colleague."""


_LOOKS = {
    ItemGroup.DUE_NOW: Outcome.NOT_RUN,
    ItemGroup.DUE_LATER: Outcome.NOT_RUN,
    ItemGroup.UNCHECKED: Outcome.INCONCLUSIVE,
    ItemGroup.WAITING: Outcome.WAITING,
}

GROUP_LABELS: dict[ItemGroup, str] = {
    ItemGroup.DUE_NOW: "Due now",
    ItemGroup.DUE_LATER: "Due later",
    ItemGroup.UNCHECKED: "Cannot be checked",
    ItemGroup.WAITING: "Waiting for others",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlace:
    """The place of an open item: a step, or a customer."""

    id: str
    """The step's id, or the customer's account."""

    name: str
    """The title of the step, or the customer's name."""

    outcome: Outcome | None = None
    """The step's outcome; `None` for a customer."""

    reason: str = ""
    """The message of the check, or of the remote system."""

    def document(self) -> dict[str, Any]:
        """Return the place for programs."""
        return {"id": self.id, "name": self.name, "outcome": self.outcome, "reason": self.reason}


# The state by the most urgent group; a day that is far away needs nobody yet.
_STANDINGS = (
    (ItemGroup.DUE_NOW, Standing.NEEDS_YOU),
    (ItemGroup.UNCHECKED, Standing.UNCHECKED),
    (ItemGroup.WAITING, Standing.WAITING),
)
_GOOD = Standing.IN_ORDER
# The place of what is about the tenant itself.
NO_PLACE = ItemPlace(id="", name="")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """Something open at a tenant: one cause, with every step or customer that has it."""

    group: ItemGroup
    """The group of its list."""

    cause: str
    """Items of an equal cause are one row."""

    title: str
    """The cause, in a line, without whose it is and without a full stop."""

    is_failing: bool = False
    """Whether something does not work that did, or should."""

    stops: str = ""
    """The impact, and on whom; empty if unknown."""

    advice: str = ""
    """The first thing to do."""

    command: str = ""
    """The command that does it, as printed; empty without one."""

    tenant_option: str = ""
    """The end of the command that names the tenant, if it can name several in this way."""

    link: str = ""
    """The page where a person does it; empty without one."""

    whom: str = YOU
    """The one who must act: `you`, a person's name, or the party that decides."""

    since: str = ""
    """The start of the problem (RFC 3339, UTC); empty if unknown."""

    due: str = ""
    """The day by which it must be done; empty for no day."""

    overdue_days: int = 0
    """The number of days since `due`; 0 if it is not overdue."""

    usual_days: int = 0
    """The number of days that others usually take; 0 if unknown."""

    known_to: str = ""
    """The person who acknowledged it, and why; empty for nobody."""

    is_next: bool = False
    """Whether it comes next in the procedure."""

    is_about_customers: bool = False
    """Whether its places are customers and not steps."""

    stops_checks: bool = False
    """Whether nothing of the tenant is checked until it is done: it comes first."""

    places: tuple[ItemPlace, ...] = ()
    """The steps or customers that have it."""

    @property
    def reason(self) -> str:
        """The messages of its places, each text once."""
        return " ".join(dict.fromkeys(place.reason for place in self.places if place.reason))

    @property
    def looks_like(self) -> Outcome:
        """The outcome whose icon and colour it has."""
        return Outcome.FAILED if self.is_failing else _LOOKS[self.group]

    @property
    def needs_reason(self) -> bool:
        """Whether its advice is worth nothing without the reason: a check could not tell."""
        could_not = any(place.outcome is Outcome.INCONCLUSIVE for place in self.places)
        is_unknown = self.stops_checks or self.group is ItemGroup.UNCHECKED
        return is_unknown or (could_not and not self.is_failing)

    @property
    def is_urgent(self) -> bool:
        """Whether something fails, or a tenant cannot be read or started: reported daily."""
        # NOTE: one that nobody has run yet has no reason.
        return self.is_failing or (self.stops_checks and bool(self.reason))

    def news_on(self, today: date) -> str:
        """Return what is reported of it today; empty if it is only next, or waits."""
        if self.is_failing or self.stops_checks:
            return "failing"
        if self.group is ItemGroup.UNCHECKED:
            return "cannot be checked"
        if self.overdue_days:
            return "overdue"
        left = days_until(self.due, today) if self.due else _REPORTED_DAYS[-1] + 1
        return next((f"{days} days" for days in _REPORTED_DAYS if left <= days), "")

    @property
    def urgency(self) -> tuple[object, ...]:
        """The sort key: failing items first, then overdue ones, then those that are due first."""
        return (
            [*ItemGroup].index(self.group),
            not self.stops_checks,
            not self.is_failing,
            -self.overdue_days,
            # An item that fails at more steps has more impact.
            -len(self.places) if self.is_failing else 0,
            not self.is_next,
            self.due or _NO_DAY,
            self.since or _NO_DAY,
            self.title,
        )

    def document(self) -> dict[str, Any]:
        """Return the item for programs; unknown values are null."""
        return {
            "group": self.group.value,
            "failing": self.is_failing,
            "cause": self.cause,
            "title": self.title,
            "stops": self.stops or None,
            "advice": self.advice or None,
            "command": self.command or None,
            "link": self.link or None,
            "waits_for": self.whom,
            "since": self.since or None,
            "due": self.due or None,
            "overdue_days": self.overdue_days,
            "usual_days": self.usual_days or None,
            "known_to": self.known_to or None,
            "customers": self.is_about_customers,
            "places": [place.document() for place in self.places],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatus:
    """The state of one connector of a tenant."""

    tenant: str
    """The tenant's name."""

    connector: str
    """The id of its procedure."""

    connector_title: str
    """The title of its procedure."""

    is_practice: bool = False
    """Whether it is practice."""

    items: tuple[OpenItem, ...] = ()
    """The open items, the most urgent first."""

    polled_on: str | None = ""
    """The time of the last check; empty for never, `None` if that cannot be read."""

    sealed_on: str = ""
    """The time at which the newest sealed run began."""

    outcome: RunOutcome | None = None
    """The outcome of the newest sealed run; `None` without one."""

    bundle: str = ""
    """The newest bundle, relative to the evidence folder; empty without one."""

    unsealed: int = 0
    """The number of results that a watch has written since; the next run seals them."""

    dashboard: str = ""
    """The address of the app's page at its vendor; empty if unknown."""

    done: int = 0
    """The number of settled steps."""

    total: int = 0
    """The number of steps."""

    @property
    def key(self) -> str:
        """The connector and the tenant's name, such as `my_connector/acme`."""
        return f"{self.connector}/{self.tenant}"

    @property
    def standing(self) -> Standing:
        """The state, by the most urgent group of its items."""
        groups = {item.group for item in self.items}
        return next((standing for group, standing in _STANDINGS if group in groups), _GOOD)

    @property
    def looks_like(self) -> Outcome:
        """The outcome whose icon and colour it has."""
        if self.standing is Standing.NEEDS_YOU:
            return Outcome.FAILED if self.is_failing else Outcome.NOT_RUN
        return LOOKS_LIKE[self.standing]

    @property
    def is_failing(self) -> bool:
        return any(item.is_failing for item in self.items)

    @property
    def label(self) -> str:
        """The state in words, such as `needs you (failing)`."""
        label = STANDING_LABELS[self.standing]
        if self.standing is Standing.NEEDS_YOU:
            return f"{label} ({'failing' if self.is_failing else 'due'})"
        if self.standing is Standing.UNCHECKED:
            since = min(i.since for i in self.items if i.group is ItemGroup.UNCHECKED)
            return f"not checked since {day(since)}"
        if self.standing is Standing.WAITING:
            whom = dict.fromkeys(i.whom for i in self.items if i.group is ItemGroup.WAITING)
            return f"{label} for {listed([*whom])}"
        return label

    @property
    def not_sealed(self) -> str:
        """The results that no bundle has yet, in words; empty without any."""
        return f"{pluralize(self.unsealed, 'result')} not sealed yet" if self.unsealed else ""

    @property
    def urgency(self) -> tuple[object, ...]:
        """The key by which tenants are sorted: real before practice, then by the first item."""
        first = self.items[0].urgency if self.items else ()
        return (
            self.is_practice,
            [*Standing].index(self.standing),
            first,
            self.tenant.casefold(),
            self.connector,
        )

    def document(self) -> dict[str, Any]:
        """Return the state for programs; unknown values are null."""
        return {
            "tenant": self.tenant,
            "connector": self.connector,
            "sandbox": self.is_practice,
            "state": self.standing.value,
            "failing": self.is_failing,
            "done": self.done,
            "steps": self.total,
            "polled_on": self.polled_on or None,
            "sealed_on": self.sealed_on or None,
            "run_outcome": self.outcome,
            "bundle": self.bundle or None,
            "unsealed": self.unsealed,
            "open": [
                {"id": row_id(item.cause, is_practice=self.is_practice), **item.document()}
                for item in self.items
            ],
        }


@dataclass(frozen=True, slots=True)
class CauseRow:
    """Open items of one group with one cause: one row, with all who have it."""

    items: Sequence[tuple[TenantStatus, OpenItem]]

    @property
    def first(self) -> OpenItem:
        """The most urgent item, which names the cause."""
        return self.items[0][1]

    @property
    def id(self) -> str:
        """The id by which people acknowledge it."""
        return row_id(self.first.cause, is_practice=self.is_practice)

    @property
    def whose(self) -> str:
        """The tenants, or how many there are."""
        many = len(self.tenants) > _MAX_WHOSE
        return pluralize(len(self.tenants), "tenant") if many else ", ".join(self.tenants)

    @property
    def title(self) -> str:
        """The cause, in a line; for customers with their name or number."""
        if self.first.is_about_customers and self.first.cause in CUSTOMER_CAUSES:
            customers = self.customers
            return customers_title(self.first.cause, customers[0], number=len(customers))
        return self.first.title

    @property
    def tenants(self) -> list[str]:
        """The tenants that have it, the most urgent first."""
        return list(dict.fromkeys(status.tenant for status, _ in self.items))

    @property
    def connectors(self) -> list[str]:
        """The ids of the connectors that have it."""
        return list(dict.fromkeys(status.connector for status, _ in self.items))

    @property
    def customers(self) -> list[str]:
        """The customers that have it; tenants of one console have the same ones."""
        about = (item for _, item in self.items if item.is_about_customers)
        return [*{place.id: place.name for item in about for place in item.places}.values()]

    @property
    def steps(self) -> list[str]:
        """The title of each step that has it."""
        about = (item for _, item in self.items if not item.is_about_customers)
        return list(dict.fromkeys(p.name for item in about for p in item.places if p.name))

    @property
    def since(self) -> str:
        """The earliest start."""
        return min((item.since for _, item in self.items if item.since), default="")

    @property
    def due(self) -> str:
        """The first day by which one of them must be done."""
        return min((item.due for _, item in self.items if item.due), default="")

    @property
    def command(self) -> str:
        """The command for all tenants that have it, or else the command of the first one."""
        options = dict.fromkeys(item.tenant_option for _, item in self.items)
        stems = {item.command.removesuffix(item.tenant_option) for _, item in self.items}
        if "" in options or len(stems) > 1 or len(options) > _MAX_OPTIONS:
            return self.first.command
        return f"{stems.pop()}{' '.join(options)}"

    @property
    def overdue_days(self) -> int:
        """The largest number of overdue days."""
        return max(item.overdue_days for _, item in self.items)

    @property
    def known_to(self) -> str:
        """The person who acknowledged all of it; empty if a part is not acknowledged."""
        known = {item.known_to for _, item in self.items}
        return known.pop() if len(known) == 1 else ""

    @property
    def is_practice(self) -> bool:
        return self.items[0][0].is_practice

    def headline(self, *, names_connectors: bool) -> str:
        """Return its first line: the tenants and the cause."""
        whose = f"{self.whose} ({', '.join(self.connectors)})" if names_connectors else self.whose
        return f"{'SANDBOX ' if self.is_practice else ''}{whose}: {self.title}"

    def lines(self, *, is_verbose: bool = False) -> list[str]:
        """Return the lines below its title, the same in a terminal and a message; times are UTC."""
        first = self.first
        facts = (
            first.whom,
            f"since {day(self.since)}" if self.since else "",
            f"due {day(self.due)}" if self.due else "",
            f"{pluralize(self.overdue_days, 'day')} overdue" if self.overdue_days else "",
            f"usually up to {pluralize(first.usual_days, 'day')}" if first.usual_days else "",
        )
        then = "" if first.is_about_customers else "Then: "
        more = len(self.steps) - _MAX_STEPS
        steps = [*self.steps[:_MAX_STEPS], *([f"{more:,} more"] if more > 0 else [])]
        is_named = len(self.steps) == 1 and first.title.startswith(self.steps[0])
        lines = [
            ", ".join(filter(None, facts)),
            first.stops,
            first.advice,
            first.link,
            f"{then}{self.command}" if self.command else "",
            f"Known to {self.known_to}" if self.known_to else "",
            _names("Tenants", self.tenants) if len(self.tenants) > _MAX_WHOSE else "",
            _names("Customers", self.customers),
            f"Steps: {'; '.join(steps)}" if steps and not is_named else "",
            bounded(first.reason, _MAX_REASON_CHARS) if is_verbose or first.needs_reason else "",
        ]
        return [with_times(line) for line in lines if line]

    def document(self) -> dict[str, Any]:
        """Return the row for programs: the item that names the cause, and who has it."""
        places = [
            {"tenant": status.tenant, "connector": status.connector, **place.document()}
            for status, item in self.items
            for place in item.places
        ]
        return {
            **self.first.document(),
            "id": self.id,
            "sandbox": self.is_practice,
            "title": self.title,
            "tenants": self.tenants,
            "places": places[:_MAX_PLACES],
            "more_places": max(len(places) - _MAX_PLACES, 0),
        }


def _names(what: str, names: Sequence[str]) -> str:
    return f"{what}: {list_some(names, _MAX_NAMES)}" if len(names) > 1 else ""


def row_id(cause: str, *, is_practice: bool) -> str:
    """Return the id of the row of a cause; practice and real tenants never share a row."""
    return identify(str(is_practice), cause)[:ID_LETTERS]


def customers_title(cause: str, name: str = "", *, number: int = 1) -> str:
    """Return the title of a cause with the customer's name, or with the number of customers."""
    of_one, of_many = CUSTOMER_CAUSES[cause]
    return of_one.format(bounded(name, _MAX_NAME_CHARS)) if number == 1 else of_many.format(number)


def sorted_statuses(statuses: Iterable[TenantStatus]) -> list[TenantStatus]:
    """Return the tenants, the most urgent first; every reader shows them in this order."""
    return sorted(statuses, key=lambda status: status.urgency)


def cause_rows(statuses: Iterable[TenantStatus]) -> list[CauseRow]:
    """Return a row for each group and cause, the most urgent first; practice ends each group."""
    causes: dict[tuple[object, ...], list[tuple[TenantStatus, OpenItem]]] = defaultdict(list)
    for status in sorted_statuses(statuses):
        for item in status.items:
            causes[status.is_practice, item.group, item.cause].append((status, item))
    rows = []
    for alike in causes.values():
        alike.sort(key=lambda pair: pair[1].urgency)
        rows.append(CauseRow(alike))
    return sorted(rows, key=_row_urgency)


def _row_urgency(row: CauseRow) -> tuple[object, ...]:
    group, *rest = row.first.urgency
    return (group, row.is_practice, *rest, -len(row.items))


def what_now(statuses: Iterable[TenantStatus]) -> str:
    """
    Return the advice for now: the number of tenants that need somebody, and the first of them.

    Practice counts only if there are no other tenants.
    """
    every = sorted_statuses(statuses)
    ordered = [status for status in every if not status.is_practice] or every
    # A tenant with several connectors counts once, with the first of its states.
    worst: dict[str, Standing] = {}
    for status in ordered:
        worst.setdefault(status.tenant, status.standing)
    numbers = Counter(worst.values())
    sentences = []
    if needing := numbers[Standing.NEEDS_YOU]:
        first = ordered[0]
        verb = "needs" if needing == 1 else "need"
        sentences.append(f"{pluralize(needing, 'tenant')} {verb} you.")
        sentences.append(f"Start with {first.tenant}: {first.items[0].title}.")
    elif ordered:
        sentences.append("There is nothing to do now.")
    if unchecked := numbers[Standing.UNCHECKED]:
        sentences.append(f"{pluralize(unchecked, 'tenant')} cannot be checked.")
    if waiting := numbers[Standing.WAITING]:
        sentences.append(f"{pluralize(waiting, 'tenant')} can only wait.")
    return " ".join(sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    """A customer's account in Cyclr that needs something: in a terminal, on the page, in JSON."""

    tenant: str
    """The tenant whose Cyclr console has the account."""

    connector: str
    """The id of its procedure."""

    account: str
    """The id of the account."""

    name: str
    """The customer's name."""

    state: str
    """In words: `signed out`, `not signed in`, `calls fail`, …"""

    outcome: Outcome
    """The outcome whose colour and icon are most like the state's."""

    since: str = ""
    """The start of the state; empty if unknown."""

    used_on: str = ""
    """The time of the last proven use of the connection."""

    polled_on: str = ""
    """The time of the last poll."""

    missing_since: str = ""
    """The time since which data are missing at least; empty if none are."""

    fetch_since: str = ""
    """The day (ISO 8601) from which to fetch data again; empty for none."""

    cause: str = ""
    """The known error's id, if its text or a subcode decided."""

    facts: tuple[str, ...] = ()
    """Sentences about its failures, its sign-in, and what is missing."""

    advice: str = ""
    """The thing to do."""

    command: str = ""
    """The command that does it, or shows more; empty without one."""

    letter: str = ""
    """The letter to a customer who is cut off; empty for others."""

    stopped_cycles: tuple[Mapping[str, str], ...] = ()
    """The cycles that Cyclr has stopped: `cycle`, `name`, `is` and `at`."""

    is_practice: bool = False
    """Whether it is practice."""

    def document(self) -> dict[str, Any]:
        """Return the row for programs, without the letter."""
        return {name: value for name, value in asdict(self).items() if name != "letter"}

    @property
    def urgency(self) -> tuple[object, ...]:
        """The sort key: who is cut off first, those who are so for longest at the top."""
        return (
            self.is_practice,
            self.outcome is not Outcome.FAILED,
            self.outcome is not Outcome.INCONCLUSIVE,
            self.missing_since or _NO_DAY,
            self.since or _NO_DAY,
            self.tenant.casefold(),
            self.name.casefold(),
            self.account,
        )


def days_until(day_text: str, today: date) -> int:
    """Return the number of days until a day; negative after it."""
    return (date.fromisoformat(day_text) - today).days
