"""
The texts of connectors, from the TOML files in their folders: steps, error texts, review texts.

CONTRIBUTING.md describes the files. The reader is strict: a mistake is a `TextsError` that names
the file, the table and the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from string import Formatter, Template
from types import ModuleType
from typing import Annotated, Any, TypeVar

import tomli
from msgspec import Meta, Struct, ValidationError, convert

from runbook_lib.connectors.check_registry import checks_of, registered_ids
from runbook_lib.connectors.fault_domain import WHO_ACTS, FaultDomain
from runbook_lib.connectors.known_errors import SearchWords, rank_seen
from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.procedure import (
    RECHECK_DAYS,
    AnswerOption,
    Cause,
    Check,
    CustomerData,
    Input,
    KnownError,
    Link,
    Paste,
    Plan,
    Procedure,
    Provider,
    Screen,
    ScreenField,
    Section,
    Source,
    Step,
    StepKind,
    step_name,
)
from runbook_lib.errors import TextsError

T = TypeVar("T")
Text = Annotated[str, Meta(min_length=1)]
Days = Annotated[int, Meta(ge=0)]
Names = tuple[str, ...]

# A line break within a paragraph: the next line is not empty and begins no item.
_BREAK = re.compile(r"(?<!\n)\n(?!\n|- )\s*")
_TESTED_BY = re.compile(r" \[([a-z0-9, -]+)\]\Z")
_STEP_ID = re.compile(r"[a-z]+-([0-9]+)([a-z]?)-([a-z0-9-]+)")
# msgspec's names of the kinds of values, each with the operator's.
_KINDS = {"str": "a text", "int": "a whole number", "array": "a list", "object": "a table"}
# The keys that a `Step` has too, and those of the plan that are lists.
_SAME = (
    "title",
    "kind",
    "instructions",
    "prose",
    "group",
    "developer_tools",
    "attest_label",
    "compares",
    "question",
    "least_days",
    "usual_days",
    "overdue",
    "valid_days",
)
_LISTS = ("have_ready", "meanwhile", "afterwards")


class TomlTable(Struct, frozen=True):
    """A table of a TOML file, named in the errors about it."""

    path: Path
    table: str = ""

    def error(self, key: str, problem: str) -> TextsError:
        """Return the error that the value of `key` in this table has this `problem`."""
        table = f"[{self.table}]" if self.table else ""
        place = ", ".join(filter(None, ("/".join(self.path.parts[-2:]), table, key)))
        return TextsError(f"{place}: {problem}")

    def known(
        self, key: str, kind: str, named: Mapping[str, T], names: Iterable[str]
    ) -> tuple[T, ...]:
        """Return the values of `named` for `names`; raises `error(key, …)` for an unknown one."""
        for name in names:
            if name not in named:
                from runbook_lib.config.settings import suggestion  # noqa: PLC0415  (slow to import)

                hint = suggestion(name, tuple(named))
                raise self.error(key, f"unknown {kind} {name!r}.{hint}")
        return tuple(named[name] for name in names)

    def read(self, table: object, form: type[T]) -> T:
        """Return `table` as an instance of `form`; raises an error for a missing or unknown key."""
        if not isinstance(table, Mapping):
            raise self.error("", "this is not a table.")
        fields = getattr(form, "__dataclass_fields__", table)
        fields = dict.fromkeys(getattr(form, "__struct_encode_fields__", fields))
        for key in table.keys() - fields.keys():
            self.known(key, "key", fields, (key,))
        try:
            return convert(table, form)
        except ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
        missing = problem.partition("missing required field `")[2]
        key = f"{path.strip('.`')}.{missing.strip('`')}".strip(".")
        words = re.sub("`([a-z]+)`", lambda match: _KINDS.get(match[1], match[0]), problem)
        raise self.error(key, "it is missing." if missing else f"{words}.")

    def filled(self, value: Any, values: Mapping[str, str], key: str = "") -> Any:
        """Return a part of the file with joined lines; replace each `$name` by one of `values`."""
        if isinstance(value, str):
            text = _BREAK.sub(" ", value).strip() if "\n" in value else value
            if "$" not in text:
                return text
            self.known(key, "value", values, Template(text).get_identifiers())
            return Template(text).safe_substitute(values)
        if isinstance(value, list):
            return [self.filled(item, values, key) for item in value]
        if isinstance(value, dict):
            prefix = f"{key}." if key else ""
            return {name: self.filled(item, values, prefix + name) for name, item in value.items()}
        return value

    def pairs(self, key: str, text: str) -> list[tuple[str, str]]:
        """Return each item of a list as the two texts before and after its ` | `."""
        parts = [item.partition(" | ") for item in items(text)]
        for name, bar, _ in parts:
            if not bar:
                raise self.error(key, f"there is no ` | ` in {name!r}.")
        return [(name, more) for name, _, more in parts]

    def blanks(self, key: str, text: str, named: Mapping[str, T]) -> tuple[T, ...]:
        """Return the values of `named` for the names in braces in a text."""
        if "{" not in text and "}" not in text:
            return ()
        try:
            names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
        except ValueError as error:
            raise self.error(key, f"{error}.") from None
        return self.known(key, "name for braces", named, names)


def items(text: str) -> list[str]:
    """Return the items of a list, each behind `- `, or the only text; nothing for an empty text."""
    return text.removeprefix("- ").split("\n- ") if text else []


def read_file(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file, unchanged."""
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TomlTable(path).error("", f"{error}.") from None


@cache
def read_sources(folder: Path) -> Mapping[str, str]:
    """Return the values in the `sources.toml` of a folder; nothing if there is no such file."""
    place = TomlTable(folder / "sources.toml")
    document = place.filled(read_file(place.path), {}) if place.path.exists() else {}
    return place.read(document, dict[str, str])


def _expand_sets(names: Names, sets: Mapping[str, Names], place: TomlTable, key: str) -> Names:
    """Return `names` with each `@set` replaced by the members of that set."""
    members: list[str] = []
    for name in names:
        if name.startswith("@"):
            (inner,) = place.known(key, "set", sets, (name[1:],))
            others = {other: sets[other] for other in sets if other != name[1:]}
            members += _expand_sets(inner, others, place, key)
        else:
            members.append(name)
    return tuple(members)


# --- known errors -----------------------------------------------------------------------------
class _KnownErrorTable(Struct):
    """A table of `known_errors.toml`; `KnownError` explains the keys that it has too."""

    shown: Text
    """List of the exact texts, with `…` for each part that varies."""

    meaning: Text
    """The event in one or two sentences."""

    causes: Text
    """List of causes: a text, ids of checks in brackets, ` | ` and advice if there is any."""

    advice: Text
    """The next action, the first one first."""

    source: Text
    """The page or thread that shows the text."""

    codes: tuple[int | Annotated[str, Meta(pattern="^[0-9]+-[0-9]+$")], ...] = ()
    """Codes of this error alone: numbers, and ranges such as `201-299`."""

    shared_codes: tuple[int, ...] = ()
    """Codes that other errors have too."""

    subcodes: tuple[int, ...] = ()
    """Subcodes of this error alone."""

    search_words: str = ""
    """People's own words for it, separated by spaces; they only rank guesses."""

    reports: Annotated[int, Meta(ge=0)] = 0
    """Number of collected public threads with this cause."""

    is_after_set_up: bool = False
    """Whether it occurs in the months after the set-up."""

    is_generic: bool = False
    """Whether the text leaves several causes open."""

    more_steps: Names = ()
    """Names of the steps where people see it, beyond those that show its group."""

    fault_domain: FaultDomain | None = None
    """Place of the cause if a customer's call fails with it; `None` if unknown."""

    who_acts: str = ""
    """The party that must act; empty for the default of the fault domain."""

    for_customer: str = ""
    """A sentence for the customer; empty if there is nothing to tell."""

    needs_no_sign_in: bool = False
    """Whether the customer must do something else than sign in again."""


class ErrorFile(Struct):
    """The known errors of a file: by name with their places, and by group."""

    errors: Mapping[str, tuple[TomlTable, KnownError]] = {}
    groups: Mapping[str, tuple[KnownError, ...]] = {}


@cache
def read_known_errors(folder: Path) -> ErrorFile:
    """Return the known errors in the `known_errors.toml` of a folder, if it has one."""
    path = folder / "known_errors.toml"
    document = read_file(path) if path.exists() else {}
    place = TomlTable(path, "groups")
    sources = read_sources(folder)
    sets: Mapping[str, Names] = place.read(document.pop("groups", {}), dict[str, Names])
    errors = {
        name: _known_error(TomlTable(path, name), table, sources)
        for name, table in document.items()
    }
    groups = {
        group: place.known(group, "error", errors, _expand_sets(names, sets, place, group))
        for group, names in sets.items()
    }
    return ErrorFile(errors, {name: tuple(pair[1] for pair in groups[name]) for name in groups})


def _known_error(
    place: TomlTable, table: Any, sources: Mapping[str, str]
) -> tuple[TomlTable, KnownError]:
    read = place.read(place.filled(table, sources), _KnownErrorTable)
    error = KnownError(
        id=place.table,
        shown=tuple(items(read.shown)),
        meaning=read.meaning,
        causes=tuple(map(_read_cause, items(read.causes))),
        advice=read.advice,
        source=read.source,
        codes=tuple(number for code in read.codes for number in _number_range(str(code))),
        shared_codes=read.shared_codes,
        subcodes=read.subcodes,
        search_words=read.search_words,
        reports=read.reports,
        is_after_set_up=read.is_after_set_up,
        is_generic=read.is_generic,
        more_steps=read.more_steps,
        fault_domain=read.fault_domain or "",
        who_acts=read.who_acts or WHO_ACTS[read.fault_domain or FaultDomain.UNKNOWN],
        for_customer=read.for_customer,
        needs_no_sign_in=read.needs_no_sign_in,
    )
    return place, error


def _read_cause(item: str) -> Cause:
    """Return the cause in an item: text, checks in brackets, and the advice behind ` | `."""
    text, _, advice = item.partition(" | ")
    match = _TESTED_BY.search(text) if text.endswith("]") else None
    if match is None:
        return Cause(text=text, advice=advice)
    checks = tuple(match[1].split(", "))
    return Cause(text=text[: match.start()], tested_by=checks, advice=advice)


def _number_range(code: str) -> range:
    """Return the numbers from the first to the last of `201-299`, or a single number."""
    first, _, last = code.partition("-")
    return range(int(first), int(last or first) + 1)


class _SearchWordsFile(Struct):
    """A whole `search_words.toml`; each text is a list of words."""

    products: Text
    """Names of the vendor's systems, separated by spaces."""

    field: Text
    """Words of the field, separated by spaces."""

    change: Text
    """Words that say that something has worked before, separated by spaces."""

    other_software: Text
    """Names of other software, separated by spaces."""

    translations: Mapping[str, Text]
    """English words → beginnings of the same words in other languages, separated by commas."""


def read_search_words(folder: Path) -> SearchWords:
    """Return the vocabulary in the `search_words.toml` of a folder."""
    place = TomlTable(folder / "search_words.toml")
    read = place.read(place.filled(read_file(place.path), {}), _SearchWordsFile)
    return SearchWords(
        products=tuple(read.products.split()),
        field=tuple(read.field.split()),
        change=tuple(read.change.split()),
        other_software=tuple(read.other_software.split()),
        translations=tuple(
            (begin, english)
            for english, begins in read.translations.items()
            for begin in begins.split(", ")
        ),
    )


def require_known_checks(folder: Path) -> None:
    """Raise `TextsError` if a known error in `folder` names a check of no connector."""
    for place, error in read_known_errors(folder).errors.values():
        for cause in error.causes:
            place.known("causes", "check", registered_ids(), cause.tested_by)


# --- procedures -------------------------------------------------------------------------------
class _ScreenTable(Struct):
    """A table `[steps.….screen]`; see `Screen`."""

    page: Text
    """Title of the page."""

    source: str = ""
    """The page that shows the screen, or the time of a reading; empty: no picture."""

    menu: str = ""
    """The way to the page, separated by ` > `."""

    fields: str = ""
    """List of labels, each with the text in the field behind ` | ` if it is not pasted."""

    highlight: str = ""
    """Label of the button."""


class _StepTable(Struct):
    """A table `[steps.…]` of `steps.toml`; `Step` explains the keys that it has too."""

    title: Text
    """Title of the step."""

    sentence: Text
    """The sentence that a person confirms."""

    instructions: Text
    """The instructions; a blank line begins the next act."""

    subject: Names
    """Names of the inputs that an attestation is bound to; `@` names a set."""

    group: Text
    """Name that is common to the steps that people do in one go."""

    kind: StepKind = StepKind.MANUAL
    """The party that acts."""

    source_off_page: str = ""
    """Source of a step that the documented page lacks; empty for the others."""

    prose: str = ""
    """Further text, folded away."""

    links: str = ""
    """List of titles and addresses, separated by ` | `."""

    pastes: str = ""
    """List of labels and values to paste, separated by ` | `."""

    compares: bool = False
    """Whether the first of these can be compared with what the page shows."""

    inputs: Names = ()
    """Names of the inputs that the step asks for."""

    checks: Names = ()
    """Ids of its checks, in order."""

    needs_confirmation: Mapping[str, Text] = {}
    """Check id → the sentence that a person must confirm although the check verifies the step."""

    requires: Names = ()
    """Names of the steps without which it cannot be done."""

    after: Names = ()
    """Names of earlier steps; `@` names a set."""

    checkable_after: Names = ()
    """Names of the steps that must be done before it can be checked."""

    copies_secret: str = ""
    """Name of the credential that the step copies to another system; empty if it copies none."""

    consent_gives: str = ""
    """Name of the token input that a sign-in here fills; empty without a sign-in."""

    review_kit: bool = False
    """Whether the step offers the review kit."""

    known_errors: Names = ()
    """Names of the groups of known errors that people see here."""

    developer_tools: str = ""
    """The action in the vendor's developer tools; empty without such an action."""

    least_days: Days = 0
    """Days that an outside party takes at least; 0 if unknown."""

    usual_days: Days = 0
    """Days that an outside party usually takes; 0 if unknown."""

    overdue: str = ""
    """Advice once the usual days are over."""

    attest_label: str = ""
    """Label of the button that confirms the step; empty for the default."""

    valid_days: Days = 0
    """Days that an attestation counts; 0: it does not expire."""

    answers: tuple[Mapping[str, Any], ...] = ()
    """Tables `[[steps.….answers]]`; see `AnswerOption`."""

    question: str = ""
    """The question that the answers belong to."""

    screen: Mapping[str, Any] | None = None
    """The table `[steps.….screen]`; see `_ScreenTable`."""

    recheck_days: Annotated[int, Meta(ge=1)] | None = None
    """Days after which a check with a side effect runs again; `None` for the default."""


class _SectionTable(Struct):
    """A table `[[sections]]`."""

    id: Text
    """Id of the section, for anchors."""

    title: Text
    """Title of the section."""

    intro: Text
    """Paragraph before its steps."""

    page: int
    """Number of the section on the documented page; other numbers than 1 have no step numbers."""

    steps: Names
    """Ids of its steps in order, each with the shared step's name behind ` | ` if it differs."""


class _StepsFile(Struct):
    """A whole `steps.toml`; its tables are read one by one, for errors that name them."""

    title: str = ""
    """Title of the connector; empty in a shared part."""

    version: str = ""
    """Version of the procedure; empty in a shared part."""

    unverifiable: str = ""
    """List of the facts that no API shows."""

    notebook_parameters: Names = ()
    """Names of the settings that the notebook lists; empty for all."""

    values: Mapping[str, str] = {}
    """Name → text for each `$name` in the file."""

    sets: Mapping[str, Names] = {}
    """Name → members of each `@name` in the file."""

    plan: Mapping[str, Any] | None = None
    """The table `[plan]`; see `Plan`."""

    customer_data: Mapping[str, Any] | None = None
    """The table `[customer_data]`; see `CustomerData`."""

    sections: tuple[Mapping[str, Any], ...] = ()
    """The tables `[[sections]]`."""

    steps: Mapping[str, Mapping[str, Any]] = {}
    """The tables `[steps.…]`, by name."""


class FolderTexts(Struct):
    """The step texts in a folder; its modules register the checks that the texts name."""

    folder: Path
    steps: _StepsFile
    modules: tuple[ModuleType, ...]

    def place(self, table: str = "") -> TomlTable:
        """Return the place of a table of its steps."""
        return TomlTable(self.folder / "steps.toml", table)


def read_part(folder: Path, *modules: ModuleType) -> FolderTexts:
    """Return the step texts in `folder`, with the `modules` that register their checks."""
    place = TomlTable(folder / "steps.toml")
    return FolderTexts(folder, place.read(read_file(place.path), _StepsFile), modules)


def read_procedure(
    folder: Path,
    *modules: ModuleType,
    providers: tuple[Vendor, Provider],
    shared: tuple[FolderTexts, ...],
    inputs: tuple[Input, ...],
) -> Procedure:
    """
    Return the procedure of the connector in `folder`, whose own checks are in `modules`.

    A section names its steps by id. If the folder has no texts of that id, the `shared` texts count
    whose name follows the number in the id, or follows ` | `.
    """
    own = read_part(folder, *modules)
    reader = _ProcedureReader((*shared, own), inputs, *providers)
    procedure = Procedure(
        id=folder.name,
        version=own.steps.version,
        title=own.steps.title,
        sections=reader.sections(),
        inputs=inputs,
        providers=providers,
        plan=reader.plan(),
        unverifiable=reader.unverifiable(),
        notebook_parameters=reader.notebook_parameters(),
        customer_data=reader.customer_data(),
        known_errors=reader.known_errors,
    )
    return reader.with_step_names(procedure)


class _ProcedureReader:
    """Reads the parts of one procedure; the last part is the connector's own."""

    def __init__(
        self,
        parts: tuple[FolderTexts, ...],
        inputs: tuple[Input, ...],
        vendor: Vendor,
        cyclr: Provider,
    ) -> None:
        self._parts = parts
        self._own = parts[-1]
        self._inputs = {item.name: item for item in inputs}
        # The label of the input that a link waits for; empty for a system's own address.
        self._labels = {item.name: "" for item in (*vendor.settings, *cyclr.settings)}
        self._labels |= {item.name: item.label for item in inputs}
        self._values = {
            "connector": str(self._inputs["cyclr_connector"].default),
            "vendor": vendor.title,
            "client_id": vendor.client_id.name,
            "client_id_label": vendor.client_id.label,
            "client_secret": vendor.client_secret.name,
            "client_secret_label": vendor.client_secret.label,
        }
        self._sets: dict[str, Names] = {"vendor": vendor.subject}
        self._groups = {"sign-in": vendor.known_errors}
        self._places = {error.id: self._own.place() for error in vendor.known_errors}
        self.known_errors: tuple[KnownError, ...] = ()
        self._tables: dict[str, tuple[TomlTable, Mapping[str, Any]]] = {}
        self._checks: dict[str, Check] = {}
        # The ids of steps, by each name that texts may use for them.
        self._names: dict[str, str] = {}
        for part in parts:
            sources = read_sources(part.folder)
            error_file = read_known_errors(part.folder)
            values = part.place("values").filled(part.steps.values, {**self._values, **sources})
            self._values |= {**sources, **values}
            self._sets |= part.steps.sets
            self._groups |= error_file.groups
            self._places |= {name: place for name, (place, _) in error_file.errors.items()}
            self.known_errors += tuple(error for _, error in error_file.errors.values())
            for name, table in part.steps.steps.items():
                self._tables[name] = (part.place(f"steps.{name}"), table)
            for module in part.modules:
                self._checks |= checks_of(module, vendor)

    def sections(self) -> tuple[Section, ...]:
        """Return the sections with their steps; all names are collected before a step is read."""
        tables = []
        for table in self._own.steps.sections:
            place = self._own.place(f"sections: {table.get('id', '')}")
            section = place.read(place.filled(table, self._values), _SectionTable)
            tables.append((section, [self._find_step(text, place) for text in section.steps]))
        return tuple(
            Section(
                id=section.id,
                title=section.title,
                intro=section.intro,
                steps=tuple(
                    self._read_step(match, place, table, section.page)
                    for match, place, table in steps
                ),
            )
            for section, steps in tables
        )

    def _find_step(self, text: str, section: TomlTable) -> tuple[re.Match[str], TomlTable, Any]:
        """Return the parts of a step's id, the place of its texts, and the texts."""
        step, _, other = text.partition(" | ")
        match = _STEP_ID.fullmatch(step)
        if match is None:
            raise section.error("steps", f"{step!r} is not a step id, such as fb-09a-test-calls.")
        name = step if step in self._tables else other or match[3]
        self._names |= {step: step, match[3]: step, name: step}
        ((place, table),) = section.known("steps", "step", self._tables, (name,))
        return match, place, table

    def _read_step(self, match: re.Match[str], place: TomlTable, table: Any, page: int) -> Step:
        sentence = place.filled(str(table.get("sentence", "")), self._values, "sentence")
        read = place.read(place.filled(table, {**self._values, "sentence": sentence}), _StepTable)
        if match[2] and not read.source_off_page:
            problem = "say where you read it: this step is not on the page."
            raise place.error("source_off_page", problem)
        subject = _expand_sets(read.subject, self._sets, place, "subject")
        place.known("subject", "input", self._inputs, subject)
        checks = place.known("checks", "check", self._checks, read.checks)
        confirmed = dict.fromkeys(read.checks)
        place.known("needs_confirmation", "check here", confirmed, read.needs_confirmation)
        groups = place.known("known_errors", "group", self._groups, read.known_errors)
        if read.recheck_days and not any(check.side_effect for check in checks):
            raise place.error("recheck_days", "none of its checks has a side effect.")
        place.blanks("pastes", read.pastes, self._labels)
        is_on_page = page == 1 and not read.source_off_page
        return Step(
            id=match[0],
            source=Source(
                section=page,
                step=int(match[1]) if is_on_page else None,
                off_page=read.source_off_page,
            ),
            own_sentence=read.sentence,
            subject=subject,
            links=tuple(
                Link(
                    title,
                    address,
                    next(filter(None, place.blanks("links", address, self._labels)), ""),
                )
                for title, address in place.pairs("links", read.links)
            ),
            pastes=tuple(Paste(*paste) for paste in place.pairs("pastes", read.pastes)),
            inputs=place.known("inputs", "input", self._inputs, read.inputs),
            checks=tuple(
                replace(check, needs_confirmation=read.needs_confirmation[check.id])
                if check.id in read.needs_confirmation
                else check
                for check in checks
            ),
            requires=place.known("requires", "step", self._names, read.requires),
            after=place.known(
                "after", "step", self._names, _expand_sets(read.after, self._sets, place, "after")
            ),
            checkable_after=place.known(
                "checkable_after", "step", self._names, read.checkable_after
            ),
            copies_secret=self._find_input(place, "copies_secret", read.copies_secret),
            consent_gives=self._find_input(place, "consent_gives", read.consent_gives),
            review_kit=self._own.folder.name if read.review_kit else "",
            known_errors=tuple(error for group in groups for error in group),
            rank_seen=rank_seen,
            answers=tuple(place.read(answer, AnswerOption) for answer in read.answers),
            screen=self._read_screen(place, read),
            recheck_days=read.recheck_days or RECHECK_DAYS,
            **{name: getattr(read, name) for name in _SAME},
        )

    def _read_screen(self, place: TomlTable, step: _StepTable) -> Screen | None:
        """
        Return the screen of a step, if a source shows it.

        A value to paste goes into the field with the same label.
        """
        inner = TomlTable(place.path, f"{place.table}.screen")
        read = inner.read(step.screen, _ScreenTable) if step.screen else None
        if read is None or not read.source:
            return None
        pastes = dict(place.pairs("pastes", step.pastes))
        named = [item.partition(" | ") for item in items(read.fields)]
        fields = [(label, text or pastes.get(label, "")) for label, _, text in named]
        for _, text in fields:
            inner.blanks("fields", text, self._labels)
        return Screen(
            page=read.page,
            source=read.source,
            menu=tuple(filter(None, read.menu.split(" > "))),
            fields=tuple(ScreenField(label=label, template=text) for label, text in fields),
            highlight=read.highlight,
        )

    def _find_input(self, place: TomlTable, key: str, name: str) -> Input | None:
        return place.known(key, "input", self._inputs, (name,))[0] if name else None

    def plan(self) -> Plan | None:
        """Return the plan of the last part that has one."""
        part = next((part for part in reversed(self._parts) if part.steps.plan), None)
        if part is None:
            return None
        place = part.place("plan")
        table = place.filled(part.steps.plan, self._values)
        lists = {name: items(str(table[name])) for name in _LISTS if name in table}
        plan = place.read(table | lists, Plan)
        named = partial(place.known, "gates", "step", self._names)
        gates = (replace(gate, step=named((gate.step,))[0]) for gate in plan.gates)
        return replace(plan, gates=tuple(gates))

    def unverifiable(self) -> Names:
        """Return the facts that no API shows, of all parts."""
        texts = (part.place().filled(part.steps.unverifiable, self._values) for part in self._parts)
        return tuple(text for several in texts for text in items(several))

    def notebook_parameters(self) -> Names:
        """Return the names of the settings that the connector's notebook lists."""
        listed = self._own.steps.notebook_parameters
        self._own.place().known("notebook_parameters", "setting", self._labels, listed)
        return listed

    def customer_data(self) -> CustomerData | None:
        """Return the data that the connector's customers miss while they are cut off."""
        table = self._own.steps.customer_data
        return self._own.place("customer_data").read(table, CustomerData) if table else None

    def with_step_names(self, procedure: Procedure) -> Procedure:
        """
        Return `procedure` with number and title of the steps that its error texts name.

        Each error keeps only the steps of this connector in `more_steps`.
        """
        titles = {step.id: step.title for step in procedure.steps}
        names = {
            name: step_name(procedure.numbers[step], titles[step])
            for name, step in self._names.items()
        }

        def named(error: KnownError) -> KnownError:
            for advice in (error.advice, *(cause.advice for cause in error.causes)):
                self._places[error.id].blanks("advice", advice, names)
            steps = [self._names[name] for name in error.more_steps if name in self._names]
            return replace(error.naming(names), more_steps=tuple(dict.fromkeys(steps)))

        known = {error.id: error for group in self._groups.values() for error in group}
        known |= {error.id: error for error in self.known_errors}
        read = {name: named(error) for name, error in known.items()}

        def with_names(step: Step) -> Step:
            known = tuple(read[error.id] for error in step.known_errors)
            return replace(
                step, known_errors=known, rank_seen=partial(rank_seen, others=read.values())
            )

        sections = (
            replace(section, steps=tuple(map(with_names, section.steps)))
            for section in procedure.sections
        )
        errors = tuple(read[error.id] for error in procedure.known_errors)
        return replace(procedure, sections=tuple(sections), known_errors=errors)
