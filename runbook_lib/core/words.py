"""
Words: decide whether a person's word, or a check, still counts.

Pure. A word counts only for the connector, the sentence and the subject that
it is about (`Binding`), and until its last day (`last_day`). `conclusion.conclude`
decides what follows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from runbook_lib.core.model import Binding, Part, Value, Word, WordKind
from runbook_lib.core.procedure import Input, Procedure, Step, sentence_digest
from runbook_lib.plain_text import as_text, counted

# The parameter that shortens for how many days words count.
WORD_DAYS = "word_days"

# Kinds of words that settle a step; each counts for the days that the step, or its answer, has.
_SETTLING = (WordKind.ATTESTED, WordKind.SKIPPED)
# A sentence of the first person, as somebody else says it.
_FIRST_PERSON = re.compile(r"\b(?:I am|I have|I|my)\b")
_TOLD = {"I am": "{} is", "I have": "{} has", "I": "{}", "my": "their"}
# What a word of each kind says, for the sentence that it no longer counts.
_ACTS = {
    WordKind.ATTESTED: "confirmed this",
    WordKind.SUBMITTED: "said that this was submitted",
    WordKind.DECLINED: "said that this was declined",
    WordKind.SKIPPED: "skipped this",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """
    The currently known values, to compare with those that a word is about.

    A secret is given as its fingerprint. `before` has, for a value that the
    remote system refused, the one that it was to replace. `today` is the day in UTC on
    which words are weighed; without one no word ends.
    """

    procedure: Procedure
    values: Mapping[str, Value]
    before: Mapping[str, Value] = field(default_factory=dict)
    today: str = ""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """Return the procedure's inputs by name."""
        return self.procedure.inputs_by_name

    @property
    def most_days(self) -> int:
        """Return for how many days words that end count at most; 0 where no setting says so."""
        days = self.values.get(WORD_DAYS, 0)
        return days if isinstance(days, int) else 0

    def of_words(self, step: Step) -> Subject:
        """
        Return the subject that words about `step` are compared with.

        A refused value voids nothing, but for the step that takes it.
        """
        if not self.before:
            return self
        names = {item.name for item in step.inputs}
        earlier = {name: value for name, value in self.before.items() if name not in names}
        return replace(self, values={**self.values, **earlier})

    def refusal(self, step: Step) -> str:
        """Return which value that `step` takes was refused; no word about the step counts then."""
        for item in step.inputs:
            if item.name in self.before:
                return f"but {item.label} {self.values[item.name]} was refused"
        return ""


class Lapsed(Part):
    """A word that is shown but does not count, and why (`for App ID 111, not 222`)."""

    word: Word
    why: Annotated[str, Meta(min_length=1)]
    ended: Annotated[
        str, Meta(description="the last day on which it counted; empty if it has not expired")
    ] = ""

    @property
    def sentence(self) -> str:
        """Return who said what, when, and what to do again; of a withdrawal nothing."""
        if self.word.kind is WordKind.WITHDRAWN:
            return ""
        statement = f"{self.word.by} {_ACTS[self.word.kind]} on {self.word.at}"
        statement += "," * bool(self.ended)
        again = "confirm it" if self.word.kind is WordKind.ATTESTED else "say it"
        return f"{statement} {self.why}, so it no longer counts: {again} again."


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A word, its place in the journal, and why it does not match its step now, or nothing."""

    place: int
    word: Word
    why: str

    def is_withdrawn_by(self, other: _Weighed) -> bool:
        """Return whether the withdrawal `other` is about the same, and was said after this."""
        is_about_same = (
            not (self.why or other.why) or self.word.binding.subject == other.word.binding.subject
        )
        return is_about_same and self._said < other._said

    @property
    def _said(self) -> tuple[datetime, int]:
        # A time without a zone is in UTC (RFC 3339).
        moment = datetime.fromisoformat(self.word.at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC), self.place


def bind(
    step: Step,
    subject: Subject,
    given: Mapping[str, Value | None] | None = None,
    sentence: str = "",
) -> Binding:
    """
    Return what a word about `step` is about now.

    `given` is the subject that a file's entry names; it overrides known values, and
    binds the word where the step itself does not. `sentence` is that of another answer.
    """
    given = given or {}
    values: dict[str, Value | None] = {**subject.values, **given}
    return Binding(
        connector=subject.procedure.id,
        confirms=sentence_digest(sentence or step.sentence),
        checks=step.check_ids,
        text=step.text_digest,
        subject={name: values.get(name) or None for name in (*step.subject, *given)},
    )


def misfit(binding: Binding, step: Step, subject: Subject) -> str:
    """Return why `binding` does not match `step` and `subject`; empty if it does."""
    if binding.connector != subject.procedure.id:
        return f"for the connector {binding.connector or 'of another form'}"
    if binding.confirms not in step.sentences or binding.checks != step.check_ids:
        return "before its sentence or its checks were changed"
    if any(name not in binding.subject for name in step.subject):
        return "before all values that it is about were recorded"
    reasons = [
        _difference(subject.inputs.get(name), value, subject.values.get(name))
        for name, value in binding.subject.items()
    ]
    return " and ".join(reason for reason in reasons if reason)


def person_key(name: str) -> str:
    """
    Return what two spellings of one person's name have in common.

    Compatible characters (NFKC), case, blanks and characters without a shape do not count.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    shown = (char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join("".join(shown).split())


def witness_sentence(first: Word) -> str:
    """Return what a second person confirms: what the first one said, as somebody else says it."""
    told = _FIRST_PERSON.sub(lambda found: _TOLD[found[0]].format(first.by), first.sentence)
    return f"{told} I have seen it."


def last_day(word: Word, step: Step, most_days: int = 0) -> str:
    """
    Return the last day on which `word` counts for `step`; empty if it has no end.

    `most_days`, if not 0, shortens the time of what has an end, and lengthens none.
    """
    answer = step.sentences.get(word.binding.confirms)
    days = answer.counts_days if answer else step.counts_days
    if word.kind not in _SETTLING:
        return ""
    ends = days_after(word.at, min(days, most_days or days)) if days else ""
    return min(filter(None, (word.until, ends)), default="")


def days_after(moment: str, days: int) -> str:
    """Return the day that is `days` after `moment`."""
    day = datetime.fromisoformat(moment).date()
    return (day + min(timedelta(days), date.max - day)).isoformat()


def days_between(moment: str, day: str) -> int:
    """Return how many days after `moment` the `day` is."""
    return (date.fromisoformat(day) - datetime.fromisoformat(moment).date()).days


def weigh(
    words: Sequence[Word], step: Step, subject: Subject, *, spent_links: Collection[str] = ()
) -> tuple[Word | None, tuple[Word, ...], tuple[Lapsed, ...]]:
    """
    Return the word that counts for `step`, the others that it confirms, and the lapsed ones.

    `words` are all words about the step, in the order of the journal. The newest
    that matches counts, and a skip, a decline and an attestation each replace the
    other kinds; a withdrawal cancels those that were said before its own time. A
    link counts once: `spent_links` were used for other steps. A word that has ended
    replaces those before it all the same. Each person's newest lapsed word is shown unless
    another word counts; so is a word that somebody else withdrew, with that withdrawal.
    """
    matching, refusal = subject.of_words(step), subject.refusal(step)
    weighed = [
        _Weighed(place, word, misfit(word.binding, step, matching) or refusal)
        for place, word in enumerate(words)
    ]
    withdrawals = [candidate for candidate in weighed if candidate.word.kind is WordKind.WITHDRAWN]
    used = set(spent_links)
    counting: list[Word] = []
    lapsed: dict[str, Lapsed] = {}
    for candidate in weighed:
        word, why = candidate.word, candidate.why
        is_used, person = word.link in used, person_key(word.by)
        used |= {word.link} - {""}
        is_withdrawal = word.kind is WordKind.WITHDRAWN
        undone = [other.word for other in withdrawals if candidate.is_withdrawn_by(other)]
        for other in () if is_withdrawal or why else undone:
            if person_key(other.by) != person:
                why = f"but {other.by} withdrew it on {other.at} ({other.note.rstrip('.')})"
                lapsed[person] = Lapsed(word=word, why=why)
                # NOTE: beside that person's own lapsed word.
                lapsed[f"{other.by}\n"] = Lapsed(word=other, why=f"of what {word.by} confirmed")
        if is_withdrawal or undone:
            continue
        if why or is_used:
            lapsed[person] = Lapsed(word=word, why=why or "by a link that had been used before")
            continue
        same = [other for other in counting if _says_the_same(other, word)]
        counting = [other for other in same if person_key(other.by) != person]
        ends = last_day(word, step, subject.most_days)
        if ends and subject.today > ends:
            age = f"{counted(days_between(word.at, subject.today), 'day')} ago"
            lapsed[person] = Lapsed(word=word, why=f"{age}, until {ends}", ended=ends)
        else:
            counting.append(word)
    if not counting:
        return None, (), tuple(lapsed.values())
    *others, newest = counting
    return newest, tuple(others), ()


def _says_the_same(word: Word, other: Word) -> bool:
    return (word.kind, word.binding.confirms) == (other.kind, other.binding.confirms)


def _difference(item: Input | None, earlier: Value | None, current: Value | None) -> str:
    """Return how a value differs from the one that a word is about; empty if it does not."""
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
