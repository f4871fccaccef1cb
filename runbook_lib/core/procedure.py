"""
The parts of a procedure.

Frozen and pure: how a step is concluded, shown, performed or recorded is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from string import Formatter
from typing import Any

from runbook_lib.core.model import Finding, Value
from runbook_lib.core.redaction import Credential
from runbook_lib.errors import UnknownStepError
from runbook_lib.text import pluralize

# A verified result of a check with a side effect counts for so long, if its step names no days.
RECHECK_DAYS = 30


class StepKind(StrEnum):
    """Who acts: a person (`manual`, `ask`), this program (`call`) or an outside party (`wait`)."""

    MANUAL = "manual"
    ASK = "ask"
    CALL = "call"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Check:
    """
    A function that asks the remote system, and the inputs that it requires.

    `id` is the check's name in the record. `run` takes a `connectors.context.CheckContext`
    and returns a `Finding`, or `None` if the check does not apply; a `RunbookError`
    that it raises becomes an inconclusive finding. `side_effect` says what it uses up or changes at
    the remote system, `allowed_by` names the inputs that let it; most checks only read. One that
    `mutates` what others read runs while no other does. `needs_confirmation` is the sentence that a
    person must confirm as well where the finding names limits: what lies beyond them can break a
    customer's sign-in or data. `needs_human_only` says that a finding of it that names limits and
    cannot tell is no trouble: no API shows the rest, only a person does.
    """

    id: str
    run: Callable[[Any], Finding | None]
    needs: tuple[str, ...] = ()
    side_effect: str = ""
    allowed_by: tuple[str, ...] = ()
    mutates: bool = False
    needs_confirmation: str = ""
    needs_human_only: bool = False

    @property
    def always_has_side_effect(self) -> bool:
        """Whether it cannot run without its side effect: what permits that is what it needs."""
        return bool(self.side_effect) and any(name in self.needs for name in self.allowed_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """
    A value from the operator: a parameter, an environment variable, a widget.

    `parse` returns the typed value of a text, or raises `ValueError` with a
    message for the operator that never quotes a secret. `doubt` returns why a typed value is
    likely to be refused, or nothing: a warning, since what it knows grows old. `choices` are the
    names that a list may have, each with those that it depends on; `locked` are always in it.
    `provider`
    names the company whose setting it is; the runner's own have none.
    """

    name: str
    label: str
    help: str
    parse: Callable[[str], Value] = str.strip
    doubt: Callable[[Any], str] = lambda _value: ""
    default: Value | None = None
    example: str = ""
    secret: bool = False
    required: bool = False
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    locked: tuple[str, ...] = ()
    asked_fact: str = ""
    """Name of the fact that lists which of the choices the connector asks people for."""
    provider: str = ""

    @property
    def variable(self) -> str:
        """Return the name of the environment variable, with that of the provider in it once."""
        prefix = f"{self.provider}_" if self.provider else ""
        return f"RUNBOOK_{prefix.upper()}{self.name.removeprefix(prefix).upper()}"

    @property
    def credential(self) -> Credential:
        """The credential of this input, which only its provider may get."""
        return Credential(f"{self.label} ({self.name})", frozenset({self.provider} - {""}))

    def with_needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return `names` of a list, and all that these depend on."""
        needs, found = dict(self.choices), list(names)
        for name in found:
            found += [other for other in needs.get(name, ()) if other not in found]
        return tuple(found)

    def variable_for(self, connector: str) -> str:
        """Return the name of the variable for `connector` alone; without one, that for all."""
        if not connector:
            return self.variable
        return f"RUNBOOK_{connector.upper()}_{self.name.upper()}"


class ProviderBehaviour:
    """
    The judgements that only a provider's own package can make; the defaults know nothing.

    A provider's package overrides the methods that it can answer.
    """

    def usage_pause(self, _headers: Mapping[str, str], /) -> tuple[float, str]:
        """Return the seconds that response headers ask to wait, and the limit that is reached."""
        return 0.0, ""

    def usage_share(self, _headers: Mapping[str, str], /) -> float | None:
        """Return how much of an hour's calls the app has used, in percent; `None` if unknown."""
        return None

    def is_fault(self, _response: object, /) -> bool:
        """Return whether a recorded body reports a fault of the system itself, not of a step."""
        return False

    def impact_of(self, _check: str, /) -> str:
        """Return what stops working for customers when the check fails; empty if nothing."""
        return ""

    def renewal_of(self, _name: str, /) -> str:
        """Return how to renew what ends on the fact `…_ends_on` of that name; empty if unknown."""
        return ""


UNKNOWN_BEHAVIOUR = ProviderBehaviour()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A company whose systems a connector asks."""

    name: str
    """Its name in the inputs that are its own (`Input.provider`)."""
    title: str
    """Its name as people read it."""
    settings: tuple[Input, ...] = ()
    """Where its systems are; no step asks for them."""
    addresses: tuple[str, ...] = ()
    """Names of the inputs that hold its web addresses or https hosts; `doctor` asks the first."""
    headers: tuple[str, ...] = ()
    """The response headers that the record keeps."""
    calls_an_hour: int = 0
    """Calls that it allows an app without users; 0 if unknown."""
    behaviour: ProviderBehaviour = UNKNOWN_BEHAVIOUR
    """What only its own package knows of it."""

    def hosts(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the addresses of its hosts, as far as `values` name them."""
        named: list[str] = []
        for name in self.addresses:
            value = values.get(name, "")
            named += value if isinstance(value, tuple) else (str(value),)
        return tuple(text if "://" in text else f"https://{text}" for text in named if text)


@dataclass(frozen=True, slots=True)
class Link:
    """A page to open; `needs` is the label of what its address takes, beside the systems' own."""

    label: str
    template: str
    needs: str = ""

    def url(self, values: Mapping[str, object]) -> str:
        """Return the page's address, or nothing while a value is unknown."""
        return _filled(self.template, values)

    def shown(self, values: Mapping[str, object]) -> dict[str, str]:
        """
        Return label and address; while there is none, the label says what it waits for.

        A system without an address is a practice tenant's, whose sandbox is not running.
        """
        url = self.url(values)
        needed = {name for _, name, _, _ in Formatter().parse(self.template) if name}
        is_served = all(name in values for name in needed if name.endswith("_url"))
        waits = f" (needs the {self.needs})" if is_served else " (while the sandbox runs)"
        return {"label": self.label if url else f"{self.label}{waits}", "url": url}


@dataclass(frozen=True, slots=True)
class Paste:
    """A value to paste into a page's field `label`."""

    label: str
    template: str

    def value(self, values: Mapping[str, object]) -> str:
        """Return the text to paste, or nothing while a value is unknown."""
        return _filled(self.template, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenField:
    """A field of a screen; `template` is the text that goes into it, like that of a `Paste`."""

    label: str
    template: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A screen of another system where a step is done, as a schematic picture shows it."""

    page: str
    """The screen's title."""

    source: str
    """Where the screen is described: a public page, or when it was read."""

    menu: tuple[str, ...] = ()
    """The entries to open, in order; the last one is marked."""

    fields: tuple[ScreenField, ...] = ()
    """The fields to fill in or to read, from top to bottom."""

    highlight: str = ""
    """The button to press; before ` | ` stands what it belongs to. Empty if there is none."""

    def filled(self, values: Mapping[str, object]) -> list[tuple[str, str]]:
        """Return label and text of each field; the text is empty while a value is unknown."""
        return [(field.label, _filled(field.template, values)) for field in self.fields]

    def described(self, values: Mapping[str, object]) -> str:
        """Return what the picture shows, for those who do not see it."""
        area, _, button = self.highlight.rpartition(" | ")
        fields = [
            f"field {label}{f', enter {text}' if text else ''}"
            for label, text in self.filled(values)
        ]
        press = f"press {button}{f' at {area}' if area else ''}" if button else ""
        way = f"open {' > '.join(self.menu)}" if self.menu else ""
        return f"{self.page}: {'; '.join(filter(None, (way, *fields, press)))}."


@dataclass(frozen=True, slots=True)
class Source:
    """
    The place in the documented procedure: section from 1, and step number, if it has one.

    A step that is not on the page has `reading` instead: a public address, or
    what was read elsewhere, and when.
    """

    section: int
    step: int | None = None
    reading: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """
    What a person can confirm of a step without checks instead of its sentence.

    A file and the command line call it `name`; its button says `label`. Such an attestation counts
    for `counts_days` (0: without end). Where it has `due_days`, the step is not done: it waits
    until the day that the person names, at most so many days later.
    """

    name: str
    label: str
    sentence: str
    counts_days: int = 0
    due_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """
    One thing that leads to an error.

    `tested_by` are the ids of the checks that test for it; without any, only a person can look.
    `advice` is what to do about this cause, where that differs from the error's.
    """

    text: str
    tested_by: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownError:
    """An error as it is shown, and what to do about it."""

    id: str
    """Its name in the file."""

    shown: tuple[str, ...]
    """
    Its exact texts, translations too, the best known first; `…` stands for what varies. Where a
    remote system shows no text: what people see instead.
    """

    meaning: str
    """What happened, in one or two sentences."""

    causes: tuple[Cause, ...]
    """What leads to it, the likeliest first."""

    advice: str
    """What to do, the first action first; steps stand as `{cy-03-client-secret}`, see `naming`."""

    source: str
    """A public address, or the kind of reading and its date."""

    codes: tuple[int, ...] = ()
    """Codes that mean this and nothing else."""

    shared_codes: tuple[int, ...] = ()
    """Codes that mean other things, too."""

    subcodes: tuple[int, ...] = ()
    """Subcodes: one of them decides before any text."""

    also: str = ""
    """Plain words that people use for it, for the search."""

    reports: int = 0
    """How many of the public threads that were collected have it as their cause."""

    is_after_set_up: bool = False
    """Whether it comes in the months after the set-up, to what has worked."""

    is_generic: bool = False
    """Whether its text comes with many causes, so it counts only where nothing else is known."""

    at: tuple[str, ...] = ()
    """Ids of steps where people meet it, beside those that show it."""

    fault_domain: str = ""
    """Where the cause lies if a customer's call fails so; empty if that is not known."""

    who_acts: str = ""
    """Who must act: you, your customer, or one of the remote systems."""

    for_customer: str = ""
    """A sentence to send to the customer whose account shows it; empty if none is concerned."""

    def naming(self, steps: Mapping[str, str]) -> KnownError:
        """Return this error with the step ids in its advice replaced by names from `steps`."""
        causes = (replace(c, advice=c.advice.format_map(steps)) for c in self.causes)
        return replace(self, advice=self.advice.format_map(steps), causes=tuple(causes))

    def advice_at(self, step: str) -> str:
        """Return the advice as the step of this name shows it: it leads to no other place."""
        advice = self.advice.removeprefix(f"Go to {step}: ").replace(step, "this step")
        return f"{advice[:1].upper()}{advice[1:]}"

    @property
    def title(self) -> str:
        """The best known text."""
        return self.shown[0]


# Pairs each error text with where it was seen, those first that were: `reason` (why a step is where
# it is), `answer` (what remote systems answered, as JSON documents or text) or nothing.
RankSeen = Callable[[Iterable[KnownError], str, Iterable[object]], list[Any]]


def unrecognised(
    errors: Iterable[KnownError], _reason: str, _answers: Iterable[object]
) -> list[Any]:
    """Return each trouble as seen nowhere: where no connector says how texts are recognised."""
    return [(error, "") for error in errors]


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    One documented step.

    `id` is also the notebook cell's id. `today` is what a person does now, in at most 60
    words, `prose` the documented text and what lies behind it, where that is more. Consecutive
    steps with the same `group`, its heading, are done in one go. `confirms` is what a person
    confirms, before what its checks ask of one (`sentence`), `subject` the names of
    the inputs that it is about.
    `requires` names steps whose failure blocks this one, `after` those that must come before it
    can be started (by their ids), `copies_secret` the
    credential that a person copies to another console, `consent_gives` the
    token that comes from a person's consent, `review_kit` the connector whose
    texts for the provider's review belong to it. `known_errors` are the error texts that people
    meet here, `rank_seen` finds those that were seen, `developer_tools` names which
    answers of the provider's tools for developers show something about it, `least_days` and
    `usual_days` how long an outside party takes at least and at most, as far as that is known
    (else 0). `attest_label` is the button by which a person confirms it; that attestation, or a
    skip, counts for `counts_days` (0: without end). `answers` are what may be true instead.
    `screen` is where it is done, if a source shows that.
    """

    id: str
    title: str
    kind: StepKind
    source: Source
    today: str
    confirms: str
    subject: tuple[str, ...]
    prose: str = ""
    group: str = ""
    links: tuple[Link, ...] = ()
    pastes: tuple[Paste, ...] = ()
    inputs: tuple[Input, ...] = ()
    checks: tuple[Check, ...] = ()
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    checkable_after: tuple[str, ...] = ()
    """Ids of the steps without which its checks cannot tell; after them it is checked by itself."""
    copies_secret: Input | None = None
    consent_gives: Input | None = None
    review_kit: str = ""
    known_errors: tuple[KnownError, ...] = ()
    rank_seen: RankSeen = unrecognised
    developer_tools: str = ""
    least_days: int = 0
    usual_days: int = 0
    overdue: str = ""
    """What to look at and whom to ask once an outside party takes longer than `usual_days`."""

    attest_label: str = ""
    counts_days: int = 0
    answers: tuple[Confirmation, ...] = ()
    question: str = ""
    screen: Screen | None = None
    recheck_days: int = RECHECK_DAYS
    """Days for which a verified result of a check with a side effect counts in later runs."""

    @property
    def side_effect(self) -> str:
        """Return what the step's checks use up or change; empty if they only read."""
        return " ".join(check.side_effect for check in self.checks if check.side_effect)

    def doubts(self, values: Mapping[str, Value]) -> list[str]:
        """Return what is doubtful about those of `values` that this step asks for."""
        return [f"{label}: {doubt}" for label, doubt in _doubts(self.inputs, values).items()]

    @property
    def heading(self) -> str:
        """Return the title, marked where the documented page has no such step."""
        return f"{self.title}{_NOT_ON_THE_PAGE if self.source.reading else ''}"

    @cached_property
    def text_digest(self) -> str:
        """
        Return the SHA-256 of the step's whole text and checks.

        Without `known_errors`, days, `overdue`, `attest_label`, `group`, `question`, `screen`,
        `after` and `checkable_after`: what else may go wrong, how long others take or an
        attestation counts, what a button or a heading says, what a picture shows and what comes
        first does not alter what was confirmed.
        """
        text = replace(self, known_errors=(), attest_label="", group="", question="", screen=None)
        text = replace(text, least_days=0, usual_days=0, counts_days=0, overdue="")
        left_out = ("after", "checkable_after", "recheck_days")
        parts = {name: part for name, part in _document(text).items() if name not in left_out}
        return _digest(parts)

    @cached_property
    def sentence(self) -> str:
        """Return all that a person confirms, with what only a person can see of its checks."""
        sentences = (check.needs_confirmation for check in self.checks)
        return " ".join(dict.fromkeys(filter(None, (self.confirms, *sentences))))

    @property
    def usual_time(self) -> str:
        """Return how long an outside party takes, where that is known."""
        least = f"{self.least_days} to " if self.least_days else "up to "
        return f"{least}{pluralize(self.usual_days, 'day')}" if self.usual_days else ""

    @cached_property
    def sentences(self) -> dict[str, Confirmation | None]:
        """Return the SHA-256 of all that may be confirmed: its sentence (`None`), its answers."""
        answers = {sentence_digest(answer.sentence): answer for answer in self.answers}
        return {sentence_digest(self.sentence): None, **answers}

    @cached_property
    def check_ids(self) -> tuple[str, ...]:
        """Return the ids of the checks, sorted."""
        return tuple(sorted(check.id for check in self.checks))

    def unseen(self, findings: tuple[Finding, ...]) -> tuple[str, ...]:
        """Return what a person must confirm, since these findings name limits."""
        limited = {finding.check for finding in findings if finding.limits}
        return tuple(
            check.needs_confirmation
            for check in self.checks
            if check.needs_confirmation and check.id in limited
        )


def step_name(number: str, title: str) -> str:
    """Return a step as an advice names it."""
    return f"step {number} ({title})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the procedure, with a heading in its notebook."""

    id: str
    title: str
    intro: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """
    A step at which an outside party decides, by its id; `source` says where that was read.

    How long it takes, and what must come before, is the step's (`Step.usual_time`, `Step.after`).
    """

    step: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long the whole procedure takes, and why."""

    have_ready: tuple[str, ...]
    """What a person needs on the first day."""
    gates: tuple[Gate, ...]
    """The decisions of outside parties, in the documented order."""
    meanwhile: tuple[str, ...]
    """Work that goes on while a gate is waited for."""
    afterwards: tuple[str, ...]
    """What to watch once everything is done."""
    duration: str
    """How long it takes, as people say it: `6 to 10 weeks`."""
    source: str
    """Where `duration` was read."""


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """
    A whole documented procedure; `providers` are the companies whose systems it asks.

    `plan` is there where outside parties take long. `unseen` is what nothing shows, no check and
    no API, and a partner must know all the same, each a clause that is understood alone.
    `known_errors` are all error texts that are known of its systems, also those that no step shows.
    """

    id: str
    version: str
    title: str
    sections: tuple[Section, ...]
    inputs: tuple[Input, ...]
    providers: tuple[Provider, ...] = ()
    plan: Plan | None = None
    unseen: tuple[str, ...] = ()
    known_errors: tuple[KnownError, ...] = ()

    @property
    def settings(self) -> tuple[Input, ...]:
        """Return its inputs, then the settings of its providers that no step asks for."""
        return (*self.inputs, *(item for provider in self.providers for item in provider.settings))

    def doubts(self, values: Mapping[str, Value]) -> dict[str, str]:
        """Return what is doubtful about `values`, by the label of the input."""
        return _doubts(self.inputs, values)

    @cached_property
    def permits(self) -> frozenset[str]:
        """The names of the settings that permit side effects of checks."""
        checks = (check for step in self.steps for check in step.checks)
        return frozenset(name for check in checks for name in check.allowed_by)

    @cached_property
    def fingerprinted(self) -> frozenset[str]:
        """The names of all that a result may be bound to; secrets among them get fingerprints."""
        steps = self.steps
        needs = (check.needs for step in steps for check in step.checks if check.side_effect)
        return frozenset().union(*(step.subject for step in steps), *needs)

    def required_by(self, step_id: str) -> frozenset[str]:
        """Return the id of every step that this one requires, directly or not."""
        own = next((step.requires for step in self.steps if step.id == step_id), ())
        return frozenset(own).union(*(self.required_by(name) for name in own))

    @cached_property
    def inputs_by_name(self) -> Mapping[str, Input]:
        """The inputs by name."""
        return {item.name: item for item in self.inputs}

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Return every step in the documented order."""
        return tuple(step for section in self.sections for step in section.steps)

    def step(self, step_id: str) -> Step:
        """Return the step called `step_id`; raises `UnknownStepError`."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise UnknownStepError(f"There is no step called {step_id}.")

    @cached_property
    def numbers(self) -> dict[str, str]:
        """
        Return the number of each step on screen, by its id: 1, 2, 2a, 3, …

        Steps that are not on the documented page have letters, so the others keep
        the numbers that the page gives them.
        """
        numbers: dict[str, str] = {}
        last = letters = 0
        for step in self.steps:
            is_added = bool(step.source.reading)
            last, letters = (last, letters + 1) if is_added else (last + 1, 0)
            numbers[step.id] = f"{last}{chr(ord('a') + letters - 1) if letters else ''}"
        return numbers

    @property
    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        """Return each gate of the plan: its name, how long it takes, what comes before, source."""
        steps = {step.id: step for step in self.steps}
        names = {name: f"{self.numbers[name]} {step.title}" for name, step in steps.items()}
        return tuple(
            (
                names[gate.step],
                steps[gate.step].usual_time,
                "; ".join(names[name] for name in steps[gate.step].after),
                gate.source,
            )
            for gate in (self.plan.gates if self.plan else ())
        )

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the procedure's whole text and checks."""
        return _digest(_document(self))


_NOT_ON_THE_PAGE = " (not on the documented page)"


@lru_cache(maxsize=1024)
def sentence_digest(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8, such as the sentence that an attestation binds to."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _doubts(inputs: Iterable[Input], values: Mapping[str, Value]) -> dict[str, str]:
    given = [item for item in inputs if not item.secret and item.name in values]
    doubts = {item.label: item.doubt(values[item.name]) for item in given}
    return {label: doubt for label, doubt in doubts.items() if doubt}


def _filled(template: str, values: Mapping[str, object]) -> str:
    try:
        return template.format_map(values)
    except KeyError:
        return ""


def _is_code(part: object) -> bool:
    return callable(part) or isinstance(part, ProviderBehaviour)


def _document(value: object) -> Any:
    """Return a part of a procedure as a JSON document, without its code."""
    if is_dataclass(value):
        named = ((attribute.name, getattr(value, attribute.name)) for attribute in fields(value))
        return {name: _document(part) for name, part in named if not _is_code(part)}
    if isinstance(value, tuple):
        return [_document(part) for part in value]
    return value


def _digest(document: object) -> str:
    return sentence_digest(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
