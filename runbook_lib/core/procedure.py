"""
The parts of a procedure.

Frozen and pure: other modules conclude, show, perform and record steps.
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

# Days for which a verified result of a check with a side effect counts, if its step names none.
RECHECK_DAYS = 30


class StepKind(StrEnum):
    """The party that acts in a step."""

    MANUAL = "manual"
    """A person acts on another system's screen."""

    ASK = "ask"
    """A person gives a value."""

    CALL = "call"
    """The runbook calls a remote system."""

    WAIT = "wait"
    """An outside party decides."""


@dataclass(frozen=True, slots=True)
class Check:
    """A function that asks a remote system whether a step is done."""

    id: str
    """The check's name in the record."""

    run: Callable[[Any], Finding | None]
    """A `CheckContext` → the finding, or `None` if the check does not apply. A `RunbookError`
    becomes an inconclusive finding."""

    needs: tuple[str, ...] = ()
    """Inputs that must be given before it can run, by name."""

    side_effect: str = ""
    """A change or use at the remote; empty if it only reads. Such a check never runs by itself."""

    allowed_by: tuple[str, ...] = ()
    """Inputs that permit the side effect, by name."""

    mutates: bool = False
    """Whether it changes data that other checks read; then it runs alone."""

    needs_confirmation: str = ""
    """Sentence that a person must confirm, too, if the finding has limits: the unproven part can
    break a customer's sign-in or data. Empty if nothing needs confirming."""

    needs_human_only: bool = False
    """An inconclusive finding with limits is expected: only a person can confirm the rest."""

    @property
    def always_has_side_effect(self) -> bool:
        """Whether it cannot run without its side effect: it needs an input that permits it."""
        return bool(self.side_effect) and any(name in self.needs for name in self.allowed_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A value from the operator: a parameter, an environment variable, a widget."""

    name: str
    """Name of the parameter, also in the record."""

    label: str
    """Name on screen."""

    help: str
    """One or two sentences: the place where the operator finds the value."""

    parse: Callable[[str], Value] = str.strip
    """Text → typed value; raises `ValueError` with a message that never quotes a secret."""

    doubt: Callable[[Any], str] = lambda _value: ""
    """Typed value → a reason why it is likely to be refused, or empty; it only warns."""

    default: Value | None = None
    """The default value; `None` for no default."""

    example: str = ""
    """A value that has the right format."""

    secret: bool = False
    """Whether it is a credential; the record has at most its fingerprint."""

    required: bool = False
    """Whether a run needs it from the start."""

    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The names that a list may have, each with its dependencies; empty if any name may be."""

    locked: tuple[str, ...] = ()
    """Names that are always in the list."""

    asked_fact: str = ""
    """Name of the fact that lists the choices which the connector requests from people."""

    provider: str = ""
    """Name of the company whose setting it is; empty for the runner's own."""

    @property
    def variable(self) -> str:
        """The name of the environment variable, with the provider's name in it once."""
        prefix = f"{self.provider}_" if self.provider else ""
        return f"RUNBOOK_{prefix.upper()}{self.name.removeprefix(prefix).upper()}"

    @property
    def credential(self) -> Credential:
        """The credential of this input, which only its provider may get."""
        return Credential(f"{self.label} ({self.name})", frozenset({self.provider} - {""}))

    def with_needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return `names` of a list, and all their dependencies."""
        needs = dict(self.choices)
        with_needs = list(names)
        for name in with_needs:
            with_needs += [other for other in needs.get(name, ()) if other not in with_needs]
        return tuple(with_needs)

    def variable_for(self, connector: str) -> str:
        """Return the name of the variable for `connector` alone; if empty, for all connectors."""
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
        """Return the impact on customers when the check fails; empty if there is no known one."""
        return ""

    def renewal_of(self, _name: str, /) -> str:
        """Return how to renew what ends on the fact `…_ends_on` of that name; empty if unknown."""
        return ""


UNKNOWN_BEHAVIOUR = ProviderBehaviour()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A company whose systems a connector asks."""

    name: str
    """The name that its inputs have (`Input.provider`)."""

    title: str
    """The name for people."""

    settings: tuple[Input, ...] = ()
    """Inputs for the addresses of its systems; no step asks for them."""

    addresses: tuple[str, ...] = ()
    """Names of the inputs with its hosts: web addresses, or host names over https. `doctor` asks
    the first."""

    headers: tuple[str, ...] = ()
    """Names of the response headers that the record keeps."""

    calls_an_hour: int = 0
    """Calls an hour that an app without users may make; 0 if unknown."""

    behaviour: ProviderBehaviour = UNKNOWN_BEHAVIOUR
    """The judgements that only its own package can make."""

    def hosts(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the addresses of its hosts that `values` name."""
        named: list[str] = []
        for name in self.addresses:
            value = values.get(name, "")
            named += value if isinstance(value, tuple) else (str(value),)
        return tuple(text if "://" in text else f"https://{text}" for text in named if text)


@dataclass(frozen=True, slots=True)
class Link:
    """A page to open; `needs` is the label of the input in its address, if there is one."""

    label: str
    template: str
    needs: str = ""

    def url(self, values: Mapping[str, object]) -> str:
        """Return the page's address; empty while a value is unknown."""
        return _fill_in(self.template, values)

    def shown(self, values: Mapping[str, object]) -> dict[str, str]:
        """
        Return label and address; without an address, the label names the missing value.

        A system without an address belongs to a practice tenant whose sandbox is not running.
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
        """Return the text to paste; empty while a value is unknown."""
        return _fill_in(self.template, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenField:
    """A field of a screen; `template` is the text to enter, as in `Paste`."""

    label: str
    template: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A screen of another system where a step is done, as a schematic picture shows it."""

    page: str
    """The screen's title."""

    source: str
    """A public page that describes the screen, or the time of reading it."""

    menu: tuple[str, ...] = ()
    """The entries to open, in order; the last one is marked."""

    fields: tuple[ScreenField, ...] = ()
    """The fields to fill in or to read, from top to bottom."""

    highlight: str = ""
    """The button to press, after its area and ` | ` if there are several; empty without one."""

    def filled(self, values: Mapping[str, object]) -> list[tuple[str, str]]:
        """Return label and text of each field; the text is empty while a value is unknown."""
        return [(field.label, _fill_in(field.template, values)) for field in self.fields]

    def described(self, values: Mapping[str, object]) -> str:
        """Return the picture's content in words, for people who do not see it."""
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

    A step that is not on the page has `off_page` instead: a public address, or another source with
    the time of reading it.
    """

    section: int
    step: int | None = None
    off_page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOption:
    """An answer that a person can confirm instead of a step's sentence; only without checks."""

    name: str
    """Its name in a file and on the command line."""

    label: str
    """Label of its button."""

    sentence: str
    """The sentence that the person confirms."""

    valid_days: int = 0
    """Days that such an attestation counts; 0: it does not expire."""

    due_days: int = 0
    """Most days until the due day that the person names; the step waits until then. 0: done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """
    A cause of an error.

    `tested_by` are the ids of the checks that test for it; without any, only a person can look.
    `advice` is for this cause, if it differs from the error's.
    """

    text: str
    tested_by: tuple[str, ...] = ()
    advice: str = ""

    @property
    def sentence(self) -> str:
        """The cause, with the checks that test for it."""
        checks = ", ".join(self.tested_by)
        return f"{self.text} (Tested by {checks}.)" if checks else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownError:
    """An error text that people see, its meaning, causes and advice."""

    id: str
    """Its name in the file."""

    shown: tuple[str, ...]
    """
    Its exact texts, including translations, the best known first; `…` stands for a part that
    varies. If a remote system shows no text: the screen that people see instead.
    """

    meaning: str
    """The event in one or two sentences."""

    causes: tuple[Cause, ...]
    """The causes, the likeliest first."""

    advice: str
    """The next actions in order; it names steps as `{cy-03-client-secret}`, see `naming`."""

    source: str
    """A public address, or the kind of reading and its date."""

    codes: tuple[int, ...] = ()
    """Codes that mean this and nothing else."""

    shared_codes: tuple[int, ...] = ()
    """Codes that mean other things, too."""

    subcodes: tuple[int, ...] = ()
    """Subcodes: one of them decides before any text."""

    search_words: str = ""
    """People's plain words for it, separated by spaces; the search ranks by them."""

    reports: int = 0
    """Number of collected public threads with this cause."""

    is_after_set_up: bool = False
    """Whether it occurs in the months after the set-up."""

    is_generic: bool = False
    """Whether its text has many causes; it counts only if nothing else is known."""

    more_steps: tuple[str, ...] = ()
    """Ids of the steps where people see it, beyond those that show its group."""

    fault_domain: str = ""
    """The fault domain if a customer's call fails with it; empty if unknown."""

    who_acts: str = ""
    """The party that must act: you, your customer, or one of the remote systems."""

    for_customer: str = ""
    """A sentence for the customer whose account shows it; empty if there is nothing to tell."""

    needs_no_sign_in: bool = False
    """Whether the customer must do something else than sign in again."""

    def naming(self, steps: Mapping[str, str]) -> KnownError:
        """Return this error with the step ids in its advice replaced by names from `steps`."""
        causes = (replace(cause, advice=cause.advice.format_map(steps)) for cause in self.causes)
        return replace(self, advice=self.advice.format_map(steps), causes=tuple(causes))

    def advice_at(self, step: str) -> str:
        """Return the advice for the screen of the step of this name: without a link to itself."""
        advice = self.advice.removeprefix(f"Go to {step}: ").replace(step, "this step")
        return f"{advice[:1].upper()}{advice[1:]}"

    @property
    def title(self) -> str:
        """The best known text."""
        return self.shown[0]


# Pairs each known error with the place where it was seen, seen ones first: in the `reason` of a
# step, in a `response` of a remote system (a JSON document or text), or nowhere.
RankSeen = Callable[[Iterable[KnownError], str, Iterable[object]], list[Any]]


def unrecognised(
    errors: Iterable[KnownError], _reason: str, _responses: Iterable[object]
) -> list[Any]:
    """Return each known error as seen nowhere, for steps whose connector recognises no texts."""
    return [(error, "") for error in errors]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A documented step."""

    id: str
    """Id of the step, also of its notebook cell."""

    title: str
    """Title of the step."""

    kind: StepKind
    """The party that acts."""

    source: Source
    """Its place in the documented procedure."""

    instructions: str
    """Instructions for a person, at most 60 words."""

    own_sentence: str
    """The sentence in the step's texts; `sentence` adds those that its checks demand."""

    subject: tuple[str, ...]
    """Names of the inputs that the step is about: attestations and results are bound to them."""

    prose: str = ""
    """The documented text and its background; empty if `instructions` says all."""

    group: str = ""
    """Heading that consecutive steps share if people do them in one go."""

    links: tuple[Link, ...] = ()
    """Pages to open."""

    pastes: tuple[Paste, ...] = ()
    """Values to paste into another system's fields."""

    inputs: tuple[Input, ...] = ()
    """The inputs that the step asks for."""

    checks: tuple[Check, ...] = ()
    """Its checks, in order."""

    requires: tuple[str, ...] = ()
    """Ids of the steps whose failure blocks this one."""

    after: tuple[str, ...] = ()
    """Ids of the steps that must come before it can be started."""

    checkable_after: tuple[str, ...] = ()
    """Ids of the steps without which its checks cannot tell; after them it is checked by itself."""

    copies_secret: Input | None = None
    """The credential that a person copies to another console, or `None`."""

    consent_gives: Input | None = None
    """The token that comes from a person's consent, or `None`."""

    review_kit: str = ""
    """Id of the connector whose review kit belongs to the step; empty without a kit."""

    known_errors: tuple[KnownError, ...] = ()
    """The error texts that people see here."""

    rank_seen: RankSeen = unrecognised
    """Finds the known errors that were seen."""

    developer_tools: str = ""
    """The call in the provider's developer tools that shows it; empty without such a call."""

    least_days: int = 0
    """Days that an outside party takes at least; 0 if unknown."""

    usual_days: int = 0
    """Days that an outside party usually takes at most; 0 if unknown."""

    overdue: str = ""
    """Advice once an outside party takes longer than `usual_days`."""

    compares: bool = False
    """Whether the first value to paste can be compared with what the page shows."""

    attest_label: str = ""
    """Label of the button by which a person confirms it; empty for the default."""

    valid_days: int = 0
    """Days that an attestation or a skip counts; 0: it does not expire."""

    answers: tuple[AnswerOption, ...] = ()
    """Answers that a person may confirm instead of the sentence."""

    question: str = ""
    """The question that the answers belong to; empty without answers."""

    screen: Screen | None = None
    """The screen where it is done; `None` if no source shows it."""

    recheck_days: int = RECHECK_DAYS
    """Days for which a verified result of a check with a side effect counts in later runs."""

    @property
    def side_effect(self) -> str:
        """The side effects of the step's checks; empty if they only read."""
        return " ".join(check.side_effect for check in self.checks if check.side_effect)

    def doubts(self, values: Mapping[str, Value]) -> list[str]:
        """Return warnings about this step's inputs."""
        return [f"{label}: {doubt}" for label, doubt in _doubts_about(self.inputs, values).items()]

    @cached_property
    def sentence(self) -> str:
        """The sentence that a person confirms, with the sentences that its checks demand."""
        sentences = (check.needs_confirmation for check in self.checks)
        return " ".join(dict.fromkeys(filter(None, (self.own_sentence, *sentences))))

    @property
    def usual_time(self) -> str:
        """The usual time of an outside party in words; empty if unknown."""
        least = f"{self.least_days} to " if self.least_days else "up to "
        return f"{least}{pluralize(self.usual_days, 'day')}" if self.usual_days else ""

    @cached_property
    def sentences(self) -> dict[str, AnswerOption | None]:
        """SHA-256 of each sentence that may be confirmed: the step's own (`None`), its answers."""
        answers = {sentence_digest(answer.sentence): answer for answer in self.answers}
        return {sentence_digest(self.sentence): None, **answers}

    @cached_property
    def check_ids(self) -> tuple[str, ...]:
        """The ids of the checks, sorted."""
        return tuple(sorted(check.id for check in self.checks))

    def unverifiable(self, findings: tuple[Finding, ...]) -> tuple[str, ...]:
        """Return the sentences that a person must confirm, since these findings have limits."""
        limited = {finding.check for finding in findings if finding.limits}
        return tuple(
            check.needs_confirmation
            for check in self.checks
            if check.needs_confirmation and check.id in limited
        )


def step_name(number: str, title: str) -> str:
    """Return the name of a step for advice."""
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
    A step at which an outside party decides, by its id; `source` is the page that says so.

    The step has the usual time and the steps before it (`Step.usual_time`, `Step.after`).
    """

    step: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The duration of the whole procedure, and its reasons."""

    have_ready: tuple[str, ...]
    """Things to have ready, each after the role that has it: `legal: company documents`."""
    gates: tuple[Gate, ...]
    """The decisions of outside parties, in the documented order."""
    meanwhile: tuple[str, ...]
    """Work that goes on during the wait for a gate."""
    afterwards: tuple[str, ...]
    """Things to watch once everything is done."""
    duration: str
    """The duration in words: `6 to 10 weeks`."""
    price: str
    """A sentence about the price, as far as the vendor's pages name one."""
    source: str
    """The source of `duration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerData:
    """The data that a connector fetches for customers, and that its vendor keeps for a time."""

    noun: str
    """Its plural name: `leads`."""
    kept_days: int
    """The number of days for which the vendor keeps each."""
    source: str
    """The page that says so."""


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """A whole documented procedure."""

    id: str
    """Id of its connector."""

    version: str
    """Version of the procedure, for people."""

    title: str
    """Title of the procedure."""

    sections: tuple[Section, ...]
    """Its sections, in the documented order."""

    inputs: tuple[Input, ...]
    """The inputs that its steps ask for."""

    providers: tuple[Provider, ...] = ()
    """The companies whose systems it asks."""

    plan: Plan | None = None
    """Durations and gates; `None` if no outside party takes long."""

    unverifiable: tuple[str, ...] = ()
    """Facts that no check and no API shows, and a partner must know; each is a clause."""

    notebook_parameters: tuple[str, ...] = ()
    """Names of the settings that its notebook lists; empty for all but secrets."""

    customer_data: CustomerData | None = None
    """The data that its customers miss while they are cut off; `None` if nothing can be fetched."""

    known_errors: tuple[KnownError, ...] = ()
    """All known error texts of its systems, also those that no step shows."""

    @property
    def settings(self) -> tuple[Input, ...]:
        """Its inputs, then the settings of its providers that no step asks for."""
        return (*self.inputs, *(item for provider in self.providers for item in provider.settings))

    def label_of(self, name: str) -> str:
        """Return the label of the input called `name`; the name if no input has it."""
        return next((item.label for item in self.settings if item.name == name), name)

    def doubts(self, values: Mapping[str, Value]) -> dict[str, str]:
        """Return warnings about `values`, by the label of the input."""
        return _doubts_about(self.inputs, values)

    @cached_property
    def permits(self) -> frozenset[str]:
        """The names of the settings that permit side effects of checks."""
        checks = (check for step in self.steps for check in step.checks)
        return frozenset(name for check in checks for name in check.allowed_by)

    @cached_property
    def fingerprinted(self) -> frozenset[str]:
        """The names of the inputs that a result may be bound to; secrets get fingerprints."""
        steps = self.steps
        needs = (check.needs for step in steps for check in step.checks if check.side_effect)
        return frozenset().union(*(step.subject for step in steps), *needs)

    def required_by(self, step_id: str) -> frozenset[str]:
        """Return the id of every step that this one requires, directly or not."""
        own = next((step.requires for step in self.steps if step.id == step_id), ())
        return frozenset(own).union(*(self.required_by(name) for name in own))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every step in the documented order."""
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
        The number of each step on screen, by its id: 1, 2, 2a, 3, …

        Steps that the documented page lacks have letters, so the others keep the page's numbers.
        """
        numbers: dict[str, str] = {}
        last = letters = 0
        for step in self.steps:
            is_added = bool(step.source.off_page)
            last, letters = (last, letters + 1) if is_added else (last + 1, 0)
            numbers[step.id] = f"{last}{chr(ord('a') + letters - 1) if letters else ''}"
        return numbers

    @property
    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        """Each gate of the plan: its name, its usual time, the steps before it, the source."""
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
        """The SHA-256 of the procedure's whole text and checks."""
        return _digest_of(_json_document(self))


@lru_cache(maxsize=1024)
def sentence_digest(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8, such as the sentence that an attestation binds to."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _doubts_about(inputs: Iterable[Input], values: Mapping[str, Value]) -> dict[str, str]:
    given = [item for item in inputs if not item.secret and item.name in values]
    doubts = {item.label: item.doubt(values[item.name]) for item in given}
    return {label: doubt for label, doubt in doubts.items() if doubt}


def _fill_in(template: str, values: Mapping[str, object]) -> str:
    try:
        return template.format_map(values)
    except KeyError:
        return ""


def _is_code(part: object) -> bool:
    return callable(part) or isinstance(part, ProviderBehaviour)


def _json_document(value: object) -> Any:
    """Return a part of a procedure as a JSON document, without its code."""
    if is_dataclass(value):
        named = ((attribute.name, getattr(value, attribute.name)) for attribute in fields(value))
        return {name: _json_document(part) for name, part in named if not _is_code(part)}
    if isinstance(value, tuple):
        return [_json_document(part) for part in value]
    return value


def _digest_of(document: object) -> str:
    return sentence_digest(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
