"""
Attestations: decide whether a person's attestation, or a check, still counts.

Pure. An attestation counts only for the connector, the sentence and the subject that it is about
(`Binding`), and until its last day (`last_day`). `conclusion.conclude` derives the outcome.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from runbook_lib.core.model import Attestation, AttestationKind, Binding, ModelStruct, Value
from runbook_lib.core.procedure import Input, Procedure, Step, sentence_digest
from runbook_lib.text import as_text, pluralize

# The parameter that limits the days for which attestations count.
ATTESTATION_DAYS = "attestation_days"

# Kinds of attestations that settle a step; each counts for the days that the step, or its answer,
# has.
_SETTLING = (AttestationKind.ATTESTED, AttestationKind.SKIPPED)
# Words of the first person, and their forms in the third person.
_FIRST_PERSON = re.compile(r"\b(?:I am|I have|I|my)\b")
_THIRD_PERSON = {"I am": "{} is", "I have": "{} has", "I": "{}", "my": "their"}
# The verb phrase of each kind of attestation, for the sentence that it no longer counts.
_ACTS = {
    AttestationKind.ATTESTED: "confirmed this",
    AttestationKind.SUBMITTED: "said that this was submitted",
    AttestationKind.DECLINED: "said that this was declined",
    AttestationKind.SKIPPED: "skipped this",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """
    The currently known values, to compare with those that an attestation is about.

    A secret is given as its fingerprint. `before` maps the name of each value that the remote
    system refused to the value before it. `today` is the day in UTC for which attestations are
    selected; without one no attestation expires.
    """

    procedure: Procedure
    values: Mapping[str, Value]
    before: Mapping[str, Value] = field(default_factory=dict)
    today: str = ""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The procedure's inputs by name."""
        return self.procedure.inputs_by_name

    @property
    def most_days(self) -> int:
        """The most days for which an expiring attestation counts; 0 if no setting limits them."""
        days = self.values.get(ATTESTATION_DAYS, 0)
        return days if isinstance(days, int) else 0

    def for_attestations(self, step: Step) -> Subject:
        """
        Return the subject that attestations about `step` are compared with.

        A refused value voids only attestations of the step that takes it.
        """
        if not self.before:
            return self
        names = {item.name for item in step.inputs}
        earlier = {name: value for name, value in self.before.items() if name not in names}
        return replace(self, values={**self.values, **earlier})

    def refusal(self, step: Step) -> str:
        """Return a reason if a value that `step` takes was refused; then no attestation counts."""
        for item in step.inputs:
            if item.name in self.before:
                return f"but {item.label} {self.values[item.name]} was refused"
        return ""


class VoidAttestation(ModelStruct):
    """An attestation that is shown but void, with the reason (`for App ID 111, not 222`)."""

    attestation: Attestation
    why: Annotated[str, Meta(min_length=1)]
    ended: Annotated[
        str, Meta(description="the last day on which it counted; empty if it has not expired")
    ] = ""

    @property
    def sentence(self) -> str:
        """The attestation, the reason and the advice in a sentence; empty for a withdrawal."""
        if self.attestation.kind is AttestationKind.WITHDRAWN:
            return ""
        statement = f"{self.attestation.by} {_ACTS[self.attestation.kind]} on {self.attestation.at}"
        if self.ended:
            statement += ","
        again = "confirm it" if self.attestation.kind is AttestationKind.ATTESTED else "say it"
        return f"{statement} {self.why}, so it no longer counts: {again} again."


@dataclass(frozen=True, slots=True)
class Selection:
    """The attestations of a step, as `select_current` sorts them."""

    current: Attestation | None = None
    """The attestation that counts; `None` without one."""

    confirmed_by: tuple[Attestation, ...] = ()
    """Other people's attestations of the same, the oldest first."""

    void: tuple[VoidAttestation, ...] = ()
    """Attestations that no longer count, with reasons; empty while one counts."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An attestation, its place in the journal, and a reason if it does not match its step."""

    place: int
    attestation: Attestation
    why: str

    def is_withdrawn_by(self, other: _Candidate) -> bool:
        """Return whether the withdrawal `other` has the same subject, and is later than this."""
        is_about_same = (
            not (self.why or other.why)
            or self.attestation.binding.subject == other.attestation.binding.subject
        )
        return is_about_same and self._position < other._position

    @property
    def _position(self) -> tuple[datetime, int]:
        # A time without a zone is in UTC (RFC 3339).
        moment = datetime.fromisoformat(self.attestation.at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC), self.place


def bind(
    step: Step,
    subject: Subject,
    given: Mapping[str, Value | None] | None = None,
    sentence: str = "",
) -> Binding:
    """
    Return the binding of an attestation about `step`, to the values known now.

    `given` is the subject in a file's entry; it overrides known values, and adds names that the
    step does not bind. `sentence` is the sentence of another answer; empty for the step's own.
    """
    given = given or {}
    values: dict[str, Value | None] = {**subject.values, **given}
    return Binding(
        connector=subject.procedure.id,
        sentence_digest=sentence_digest(sentence or step.sentence),
        checks=step.check_ids,
        text_digest=step.text_digest,
        subject={name: values.get(name) or None for name in (*step.subject, *given)},
    )


def mismatch(binding: Binding, step: Step, subject: Subject) -> str:
    """Return the reason why `binding` does not match `step` and `subject`; empty if it does."""
    if binding.connector != subject.procedure.id:
        return f"for the connector {binding.connector or 'of another form'}"
    if binding.sentence_digest not in step.sentences or binding.checks != step.check_ids:
        return "before its sentence or its checks were changed"
    if any(name not in binding.subject for name in step.subject):
        return "before all values that it is about were recorded"
    reasons = [
        _describe_difference(subject.inputs.get(name), value, subject.values.get(name))
        for name, value in binding.subject.items()
    ]
    return " and ".join(reason for reason in reasons if reason)


def person_key(name: str) -> str:
    """
    Return a key that is equal for two spellings of one person's name.

    It ignores differences of compatible characters (NFKC), case, blanks and invisible characters.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    shown = (char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join("".join(shown).split())


def second_person_sentence(first: Attestation) -> str:
    """Return the first person's sentence in the third person, for a second person to confirm."""
    retold = _FIRST_PERSON.sub(
        lambda match: _THIRD_PERSON[match[0]].format(first.by), first.sentence
    )
    return f"{retold} I have seen it."


def last_day(attestation: Attestation, step: Step, most_days: int = 0) -> str:
    """
    Return the last day on which `attestation` counts for `step`; empty if it has no end.

    `most_days`, if not 0, can only shorten the time of an expiring attestation.
    """
    answer = step.sentences.get(attestation.binding.sentence_digest)
    days = answer.valid_days if answer else step.valid_days
    if attestation.kind not in _SETTLING:
        return ""
    ends = days_after(attestation.at, min(days, most_days or days)) if days else ""
    return min(filter(None, (attestation.until, ends)), default="")


def days_after(moment: str, days: int) -> str:
    """Return the day that is `days` after `moment`."""
    day = datetime.fromisoformat(moment).date()
    return (day + min(timedelta(days), date.max - day)).isoformat()


def days_between(moment: str, day: str) -> int:
    """Return the number of days from `moment` to `day`."""
    return (date.fromisoformat(day) - datetime.fromisoformat(moment).date()).days


def select_current(
    attestations: Sequence[Attestation],
    step: Step,
    subject: Subject,
    *,
    spent_links: Collection[str] = (),
) -> Selection:
    """
    Return the attestation that counts for `step`, those that confirm it, and the void ones.

    `attestations` are all attestations about the step, in the order of the journal. The newest that
    matches counts. A skip, a decline and an attestation each replace the other kinds. A withdrawal
    cancels attestations before its own time. A link counts once: `spent_links` were used for other
    steps. An expired attestation still supersedes earlier ones. Each person's newest void
    attestation is shown unless another attestation counts. So is an attestation that somebody else
    withdrew, with that withdrawal.
    """
    matching = subject.for_attestations(step)
    refusal = subject.refusal(step)
    candidates = [
        _Candidate(place, attestation, mismatch(attestation.binding, step, matching) or refusal)
        for place, attestation in enumerate(attestations)
    ]
    withdrawals = [
        candidate
        for candidate in candidates
        if candidate.attestation.kind is AttestationKind.WITHDRAWN
    ]
    used = set(spent_links)
    counting: list[Attestation] = []
    void: dict[str, VoidAttestation] = {}
    for candidate in candidates:
        attestation = candidate.attestation
        why = candidate.why
        is_used = attestation.link in used
        person = person_key(attestation.by)
        used |= {attestation.link} - {""}
        is_withdrawal = attestation.kind is AttestationKind.WITHDRAWN
        undone = [other.attestation for other in withdrawals if candidate.is_withdrawn_by(other)]
        for other in () if is_withdrawal or why else undone:
            if person_key(other.by) != person:
                why = f"but {other.by} withdrew it on {other.at} ({other.note.rstrip('.')})"
                void[person] = VoidAttestation(attestation=attestation, why=why)
                # NOTE: beside that person's own void attestation.
                void[f"{other.by}\n"] = VoidAttestation(
                    attestation=other, why=f"of what {attestation.by} confirmed"
                )
        if is_withdrawal or undone:
            continue
        if why or is_used:
            void[person] = VoidAttestation(
                attestation=attestation, why=why or "by a link that had been used before"
            )
            continue
        same = [other for other in counting if _says_the_same(other, attestation)]
        counting = [other for other in same if person_key(other.by) != person]
        ends = last_day(attestation, step, subject.most_days)
        if ends and subject.today > ends:
            age = f"{pluralize(days_between(attestation.at, subject.today), 'day')} ago"
            void[person] = VoidAttestation(
                attestation=attestation, why=f"{age}, until {ends}", ended=ends
            )
        else:
            counting.append(attestation)
    if not counting:
        return Selection(void=tuple(void.values()))
    *others, newest = counting
    return Selection(current=newest, confirmed_by=tuple(others))


def _says_the_same(attestation: Attestation, other: Attestation) -> bool:
    is_same_kind = attestation.kind == other.kind
    return is_same_kind and attestation.binding.sentence_digest == other.binding.sentence_digest


def _describe_difference(item: Input | None, earlier: Value | None, current: Value | None) -> str:
    """Return the difference between a value and the attested one; empty without one."""
    if isinstance(earlier, tuple) and isinstance(current, tuple):
        is_same = set(earlier) == set(current)
    else:
        is_same = earlier == current
    if not earlier or is_same:
        return ""
    label = item.label if item else "a value"
    if item is not None and item.secret:
        is_other_key = str(earlier).partition(":")[0] != str(current or "").partition(":")[0]
        if current and is_other_key:
            return f"for an earlier {label} that the new fingerprint.key cannot recognise"
        return f"for another {label}"
    if not current:
        return f"for {label} {as_text(earlier)}, which is not known now"
    return f"for {label} {as_text(earlier)}, not {as_text(current)}"
