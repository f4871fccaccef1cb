"""
Words: decide whether a person's word, or a check, still counts.

Pure. A word counts only for the connector, the sentence and the subject that
it is about (`Binding`). `procedure.conclude` decides what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook_lib.core.procedure import Binding, Input, Procedure, Step, Value, Word, WordKind

__all__ = ["Lapsed", "Subject", "bind", "misfit", "weigh"]

# What a word of each kind says, for the sentence that it no longer counts.
_ACTS = {
    WordKind.ATTESTED: "confirmed this",
    WordKind.SUBMITTED: "said that this was submitted",
    WordKind.DECLINED: "said that this was declined",
    WordKind.CONTRADICTED: "brought an answer that contradicts this",
    WordKind.SKIPPED: "skipped this",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """
    The currently known values, to compare with those that a word is about.

    A secret is given as its fingerprint.
    """

    procedure: Procedure
    values: Mapping[str, Value]

    @property
    def inputs(self) -> dict[str, Input]:
        """Return the procedure's inputs by name."""
        return {item.name: item for item in self.procedure.inputs}


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A word that is shown but does not count, and why (`for App ID 111, not 222`)."""

    word: Word
    why: str

    @property
    def sentence(self) -> str:
        """Return who said what, when, and what to do again."""
        said = f"{self.word.by} {_ACTS[self.word.kind]} on {self.word.at}"
        again = "confirm it" if self.word.kind is WordKind.ATTESTED else "say it"
        return f"{said} {self.why}, so it no longer counts: {again} again."


def bind(step: Step, subject: Subject, given: Mapping[str, Value | None] | None = None) -> Binding:
    """
    Return what a word about `step` is about now.

    `given` is the subject that a file's entry names; it overrides known values.
    """
    known: dict[str, Value | None] = {**subject.values, **(given or {})}
    return Binding(
        connector=subject.procedure.id,
        confirms=step.confirms_digest,
        text=step.text_digest,
        subject={name: known.get(name) or None for name in step.subject},
    )


def misfit(binding: Binding, step: Step, subject: Subject) -> str:
    """Return why `binding` does not match `step` and `subject`; empty if it does."""
    if binding.connector != subject.procedure.id:
        return f"for the connector {binding.connector or 'of another form'}"
    if binding.confirms != step.confirms_digest:
        return "before its sentence or its checks were changed"
    if any(name not in binding.subject for name in step.subject):
        return "before all values that it is about were recorded"
    reasons = [
        _difference(subject.inputs.get(name), binding.subject[name], subject.values.get(name))
        for name in step.subject
    ]
    return " and ".join(reason for reason in reasons if reason)


def weigh(
    words: Sequence[Word], step: Step, subject: Subject
) -> tuple[Word | None, tuple[Word, ...], tuple[Lapsed, ...]]:
    """
    Return the word that counts for `step`, the others that it confirms, and the lapsed ones.

    `words` are all words about the step, oldest first. The newest that matches
    counts; a withdrawal cancels those before it, and a skip, a decline and an
    attestation each replace the other kinds. Each person's newest lapsed word
    is shown unless another word counts.
    """
    counting: list[Word] = []
    lapsed: dict[str, Lapsed] = {}
    for word in words:
        why = misfit(word.binding, step, subject)
        if why:
            lapsed = {by: each for by, each in lapsed.items() if not _replaces(word, each.word)}
            if word.kind is not WordKind.WITHDRAWN:
                lapsed[word.by.casefold()] = Lapsed(word, why)
        elif word.kind is WordKind.WITHDRAWN:
            counting = []
        else:
            same = [each for each in counting if each.kind is word.kind]
            counting = [each for each in same if each.by.casefold() != word.by.casefold()]
            counting.append(word)
    if not counting:
        return None, (), tuple(lapsed.values())
    *others, newest = counting
    return newest, tuple(others), ()


def _replaces(word: Word, before: Word) -> bool:
    is_same_subject = word.binding.subject == before.binding.subject
    return word.kind is WordKind.WITHDRAWN and is_same_subject


def _difference(item: Input | None, then: Value | None, now: Value | None) -> str:
    """Return how a value differs from the one that a word is about; empty if it does not."""
    if not then or _same(then, now):
        return ""
    label = item.label if item else "a value"
    if item is not None and item.secret:
        return _secret_difference(label, str(then), str(now or ""))
    if not now:
        return f"for {label} {_text(then)}, which is not known now"
    return f"for {label} {_text(then)}, not {_text(now)}"


def _secret_difference(label: str, then: str, now: str) -> str:
    is_other_key = then.partition(":")[0] != now.partition(":")[0]
    if now and is_other_key:
        return f"for an earlier {label} that the new fingerprint.key cannot recognise"
    return f"for another {label}"


def _same(then: Value, now: Value | None) -> bool:
    if isinstance(then, tuple) and isinstance(now, tuple):
        return set(then) == set(now)
    return then == now


def _text(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
