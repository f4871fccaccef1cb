"""
The attestations file: people's attestations, comments and assignments, in TOML.

    [[attestation]]
    step = "fb-01-log-in"
    by = "the person's name"
    at = 2026-11-24T09:30:00Z
    note = "optional"
    subject = {app_id = "123456789012345"}   # optional: the values that it is about
    answer = "not-asked"       # if a step has other answers than its sentence
    due = 2027-01-20           # if that answer has one: the day by which it must be done
    until = 2027-11-24         # if the attestation has an end: its last day, if that is earlier

    [[submitted]]     # sent to the provider's review; `note` is optional
    [[declined]]      # the provider declined it; `note` is the reviewer's reason
    [[skip]]          # the step is skipped for this `reason`
    [[withdrawal]]    # earlier entries about the step no longer count, for this `reason`
    [[comment]]       # no outcome rests on it; `note` is the comment
    [[assignment]]    # `to` does the step, until the day `due`; without `to`, anybody does

An entry without a subject is bound to the values that are known when a
tenant's journal first records it. `run.attestations` decides which entries count.
A list of subjects, `[{app_id = "1…"}, {app_id = "2…"}]`, makes one entry of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from runbook_lib.config.settings import convert_value, suggestion, visible_text
from runbook_lib.config.toml_tables import parse_tables, tables_of
from runbook_lib.core.clock import days_after
from runbook_lib.core.files import read_text
from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Binding,
    Note,
    NoteKind,
    Remark,
    Value,
)
from runbook_lib.core.procedure import Input, Procedure, Step, StepKind
from runbook_lib.errors import AttestationError, SettingsError

_LARGEST_FILE = 1024 * 1024
_WHAT = "The attestations file"
_LONGEST_NAME = 200

_KINDS: Mapping[str, AttestationKind | NoteKind] = {
    "attestation": AttestationKind.ATTESTED,
    "submitted": AttestationKind.SUBMITTED,
    "declined": AttestationKind.DECLINED,
    "skip": AttestationKind.SKIPPED,
    "withdrawal": AttestationKind.WITHDRAWN,
    "comment": NoteKind.COMMENTED,
    "assignment": NoteKind.ASSIGNED,
}
# Kinds that need a reason; the others may have a note.
_WITH_REASON = (AttestationKind.SKIPPED, AttestationKind.WITHDRAWN)
# Inputs that a subject may name for every step, also for steps before there is an app.
_ALWAYS = ("app_id", "service_domain")
# Keys of an attestation: a step's answer, and its days.
_ANSWERED = ("answer", "due", "until")
# Only a step that waits for an outside party can be submitted or declined.
_OF_A_WAIT = (AttestationKind.SUBMITTED, AttestationKind.DECLINED)


def read_attestations(
    path: Path,
    procedure: Procedure,
    *,
    now: datetime,
    values: Mapping[str, Value] | None = None,
    others: Collection[str] | None = (),
) -> list[Remark]:
    """
    Return the attestations and notes in the file at `path`, ordered by their times.

    An attestation's `binding` contains only the subject that its entry names. An entry with several
    subjects makes an attestation for each, or only for those that match a tenant's `values`.
    Entries of steps of other connectors, by id in `others`, are left out; with `None`, of any
    unknown step. Raises `AttestationError` for an unreadable file, an unknown step, key or subject,
    a missing name, or a time in the future.
    """
    text = read_text(path, _LARGEST_FILE, AttestationError, _WHAT)
    document = parse_tables(text, path, AttestationError, _WHAT)
    _refuse_other_keys(document, tuple(_KINDS), f"{path}")
    steps = {step.id: step for step in procedure.steps}
    inputs = {item.name: item for item in procedure.inputs}
    reader = _AttestationReader(path, steps, inputs, now, values)
    remarks: list[Remark] = []
    for name, kind in _KINDS.items():
        try:
            tables = tables_of(document, name)
        except ValueError as error:
            raise AttestationError(f"{path}: {error}.") from None
        for table in tables:
            step = str(table.get("step"))
            if step not in steps and (others is None or step in others):
                continue
            if isinstance(kind, AttestationKind):
                remarks += reader.attestations(kind, table)
            else:
                remarks.append(reader.note(kind, table))
    return sorted(remarks, key=lambda remark: remark.statement.at)


def check_subjects(
    path: Path, tenants: Iterable[tuple[Procedure, Mapping[str, Value]]], *, now: datetime
) -> list[str]:
    """
    Return a sentence for each subject in a fleet's file at `path` that no tenant has.

    `tenants` has each tenant's connector and known values. An entry may be about a step of any of
    these connectors. Raises `AttestationError` for an entry without a subject, which would count
    for every tenant.
    """
    by_connector: dict[str, tuple[Procedure, list[Mapping[str, Value]]]] = {}
    for procedure, values in tenants:
        by_connector.setdefault(procedure.id, (procedure, []))[1].append(values)
    steps = {step.id for procedure, _ in by_connector.values() for step in procedure.steps}
    named: dict[str, tuple[str, Mapping[str, Value | None]]] = {}
    matched: set[str] = set()
    for procedure, tenant_values in by_connector.values():
        # NOTE: a set for each choice of names: attestations times tenants may be a hundred million.
        known: dict[tuple[str, ...], set[tuple[Value | None, ...]]] = {}
        for step, statement in read_attestations(path, procedure, now=now, others=steps):
            if not (isinstance(statement, Attestation) and statement.binding.subject):
                raise AttestationError(
                    f"{path}, step {step}: in a fleet each entry needs a subject, "
                    'such as {app_id = "123456789012345"}, or it would count for every tenant.'
                )
            subject = statement.binding.subject
            named[statement.entry] = (step, subject)
            names = tuple(sorted(subject))
            if names not in known:
                known[names] = {tuple(map(values.get, names)) for values in tenant_values}
            if tuple(subject[name] for name in names) in known[names]:
                matched.add(statement.entry)
    unmatched = []
    for entry, (step, subject) in named.items():
        if entry not in matched:
            pairs = [f"{name} {value}" for name, value in subject.items()]
            reason = f"no tenant has {' and '.join(pairs)}, so this entry counts for none."
            unmatched.append(f"{path}, step {step}: {reason}")
    return unmatched


@dataclass(frozen=True, slots=True)
class _AttestationReader:
    """Checks each table against the procedure and the clock."""

    path: Path
    """The attestations file, for messages."""

    steps: Mapping[str, Step]
    """The procedure's steps, by id."""

    inputs: Mapping[str, Input]
    """The procedure's inputs, by name."""

    now: datetime
    """The current time; later times are refused."""

    values: Mapping[str, Value] | None
    """A tenant's values that a list of subjects must match; `None`: all subjects count."""

    def attestations(self, kind: AttestationKind, table: Mapping[str, Any]) -> list[Remark]:
        """Return the attestation in `table`, once for each subject."""
        more = _ANSWERED if kind is AttestationKind.ATTESTED else ()
        step, place, fields = self._read_entry(kind, table, ("subject", *more))
        given = {name: str(table[name]) for name in more if name in table}
        _read_text(table, "answer", place, is_needed=False, longest=_LONGEST_NAME)
        answer = read_answer(step, given, place, at=fields["at"]) if more else {}
        return [
            Remark(
                step.id,
                Attestation(
                    kind=kind,
                    **fields,
                    **answer,
                    origin=self.path.name,
                    # NOTE: without the sentence: after a change of it, this is the same entry.
                    entry=_digest_of([kind, step.id, fields, given, subject]),
                    binding=Binding(subject=subject),
                ),
            )
            for subject in self._read_subjects(step, table.get("subject", {}), place)
        ]

    def note(self, kind: NoteKind, table: Mapping[str, Any]) -> Remark:
        """Return the comment or assignment in `table`."""
        more = () if kind is NoteKind.COMMENTED else ("to", "due")
        step, place, fields = self._read_entry(kind, table, more)
        if kind is NoteKind.ASSIGNED:
            fields["to"] = _read_text(table, "to", place, is_needed=False, longest=_LONGEST_NAME)
            fields["due"] = due_day(table.get("due", ""), place, since=fields["at"])
            if fields["due"] and not fields["to"]:
                raise AttestationError(
                    f"{place}: due needs `to`, the person who has this deadline."
                )
        entry = _digest_of([kind, step.id, fields])
        return Remark(step.id, Note(**fields, origin=self.path.name, entry=entry))

    def _read_entry(
        self, kind: AttestationKind | NoteKind, table: Mapping[str, Any], more: tuple[str, ...]
    ) -> tuple[Step, str, dict[str, Any]]:
        """Return an entry's step, its place for messages, and its author, time and note."""
        name = _read_text(table, "step", f"{self.path}", is_needed=True)
        place = f"{self.path}, step {name[:60]}"
        note = "reason" if kind in _WITH_REASON else "note"
        _refuse_other_keys(table, ("step", "by", "at", note, *more), place)
        if name not in self.steps:
            near = suggestion(name, self.steps)
            raise AttestationError(
                f"{place}: there is no such step.{near} `runbook status` lists them."
            )
        step = self.steps[name]
        if kind in _OF_A_WAIT and step.kind is not StepKind.WAIT:
            raise AttestationError(
                f"{place}: nothing is submitted in this step, so it cannot be {kind}."
            )
        is_needed = kind in (*_WITH_REASON, NoteKind.COMMENTED)
        fields = {
            "by": _read_text(table, "by", place, is_needed=True, longest=_LONGEST_NAME),
            "at": self._read_moment(table.get("at"), place),
            "note": _read_text(table, note, place, is_needed=is_needed),
        }
        return step, place, fields

    def _read_subjects(
        self, step: Step, value: object, place: str
    ) -> Iterable[Mapping[str, Value]]:
        """Return the subject, or the distinct subjects of a list that match this tenant."""
        if not isinstance(value, list):
            return [self._read_subject(step, value, place)]
        subjects = [self._read_subject(step, item, place) for item in value]
        if not all(subjects) or not subjects:
            raise AttestationError(
                f'{place}: each subject in a list needs a value, such as {{app_id = "1…"}}.'
            )
        once = {_digest_of(subject): subject for subject in subjects}.values()
        return [
            subject for subject in once if self.values is None or is_about(subject, self.values)
        ]

    def _read_subject(self, step: Step, table: object, place: str) -> dict[str, Value]:
        """Return the values that an entry names as its subject, typed like inputs."""
        if not isinstance(table, dict):
            raise AttestationError(
                f'{place}: subject takes {{app_id = "123456789012345"}}, or a list of these.'
            )
        named = dict.fromkeys((*step.subject, *_ALWAYS))
        inputs = {name: item for name, item in self.inputs.items() if not item.secret}
        allowed = tuple(name for name in named if name in inputs)
        _refuse_other_keys(table, allowed, f"{place}, subject")
        try:
            return {name: convert_value(self.inputs[name], value) for name, value in table.items()}
        except SettingsError as error:
            raise AttestationError(f"{place}, subject: {error}") from None

    def _read_moment(self, value: object, place: str) -> str:
        if not isinstance(value, datetime):
            raise AttestationError(
                f"{place}: at takes a time such as 2026-11-24T09:30:00Z, without quotes."
            )
        # A time without a zone is in UTC.
        zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
        try:
            moment = zoned.astimezone(UTC)
        except OverflowError:
            raise AttestationError(f"{place}: at is out of range: {value}.") from None
        if moment > self.now:
            raise AttestationError(f"{place}: {value} is in the future.")
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def is_about(subject: Mapping[str, Value | None], values: Mapping[str, Value]) -> bool:
    """Return whether `values` match everything that `subject` names."""
    return subject.items() <= values.items()


def read_answer(step: Step, given: Mapping[str, str], place: str, *, at: str) -> dict[str, Any]:
    """
    Return the fields of an attestation with the confirmed sentence of `step`, and its days.

    `given` has the days `due` and `until` as text, and the `answer` by name; without `answer` the
    step's own sentence is confirmed. Raises `AttestationError` for an unknown answer, and for a
    missing, superfluous or wrong day.
    """
    answers = {answer.name: answer for answer in step.answers}
    name, due, until = (given.get(key, "").strip() for key in _ANSWERED)
    if name and name not in answers:
        known = f"known answers: {', '.join(answers)}" if answers else "this step has none"
        raise AttestationError(f"{place}: there is no answer called {name[:60]}; {known}.")
    answer = answers.get(name)
    valid_days = answer.valid_days if answer else step.valid_days
    due_days = answer.due_days if answer else 0
    if due_days and not due:
        raise AttestationError(
            f"{place}: due is missing: the day by which it must be done, such as 2026-12-01."
        )
    latest = days_after(at, valid_days) if valid_days else ""
    return {
        "sentence": answer.sentence if answer else "",
        "due": _day_within("due", due, place, at=at, days=due_days),
        "until": _day_within("until", until, place, at=at, days=valid_days) or latest,
    }


def _day_within(key: str, text: str, place: str, *, at: str, days: int) -> str:
    """Return a day at most `days` after `at`; raises `AttestationError` for any other day."""
    if text and not days:
        raise AttestationError(f"{place}: {key} does not apply to this entry.")
    # NOTE: an outside party's due day may be over when somebody sees it.
    day = due_day(text, place, since=at if key == "until" else "", key=key, act="said")
    if day and day > days_after(at, days):
        raise AttestationError(
            f"{place}: {key} {day} is more than {days} days after this entry, {at[:10]}."
        )
    return day


def doubtful_days(given: Mapping[str, str], *, today: date) -> dict[str, str]:
    """
    Return a doubt about each day in `given` that is probably a slip, by the field's name.

    `on` is the day of a past event, `due` the day of something to do.
    """
    doubts = {}
    as_of = f"today is {today.isoformat()} (UTC)"
    if given.get("on", "") > today.isoformat():
        doubts["on"] = f"{given['on']} is in the future: {as_of}."
    if "" < given.get("due", "") < today.isoformat():
        doubts["due"] = f"{given['due']} has passed: {as_of}."
    return doubts


def due_day(
    value: object, place: str, *, since: str, key: str = "due", act: str = "assigned"
) -> str:
    """Return a day as text; raises `AttestationError` if it is not one, or before `since`."""
    if value == "":
        return ""
    text = value.isoformat() if type(value) is date else str(value)
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise AttestationError(f"{place}: {key} takes a day such as 2026-12-01, not {text[:40]}.")
    # NOTE: it does not compare with today, since each run reads the file again.
    if text < since[:10]:
        raise AttestationError(
            f"{place}: {key} {text} is before the day on which it was {act}, {since[:10]}."
        )
    return text


def _digest_of(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _read_text(
    table: Mapping[str, Any], key: str, place: str, *, is_needed: bool, longest: int = 2_000
) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise AttestationError(f"{place}: {key} takes a text in quotes.")
    may_have_lines = key in ("note", "reason")
    text = visible_text(f"{place}: {key}", value, longest=longest, may_have_lines=may_have_lines)
    if is_needed and not text:
        raise AttestationError(f"{place}: {key} is missing.")
    return text


def _refuse_other_keys(table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in keys:
            raise AttestationError(
                f"{place}: there is no key called {key[:60]}; known keys: {', '.join(keys)}."
            )
