"""
Compare two runs of a tenant: steps, words, parameters, procedure.

Pure: it takes two records from `reading`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from runbook_lib.core.model import Word, WordKind
from runbook_lib.core.step_record import StepRecord
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports.reading import plain


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed value; empty if there was or is none."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step with another outcome, or the same outcome for another reason."""

    id: str
    title: str
    before: str
    after: str
    was: str
    reason: str

    @property
    def is_outcome(self) -> bool:
        """Return whether the outcome itself changed."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class WordChange:
    """A word (its `kind`) that was given, given again, withdrawn, or lapsed (`what`)."""

    id: str
    title: str
    kind: str
    what: str
    by: str
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences between two runs."""

    steps: tuple[StepChange, ...] = ()
    words: tuple[WordChange, ...] = ()
    parameters: tuple[Changed, ...] = ()
    circumstances: tuple[Changed, ...] = ()

    def __bool__(self) -> bool:
        return any((self.steps, self.words, self.parameters, self.circumstances))


def compare(before: Record, after: Record) -> Differences:
    """Return the differences between two runs, in the documented order of steps."""
    old = {step.id: step for step in before.steps}
    new = {step.id: step for step in after.steps}
    names = [*new, *(name for name in old if name not in new)]
    pairs = [(old.get(name), new.get(name)) for name in names]
    steps = []
    for step_before, step_after in pairs:
        some, was, now = step_after or step_before, _state(step_before), _state(step_after)
        if some and was != now:
            change = StepChange(some.id, some.title, was[0], now[0], was[1], now[1])
            steps.append(change)
    return Differences(
        tuple(steps),
        tuple(change for pair in pairs for change in _word_changes(*pair)),
        _values_changed(before.parameters, after.parameters),
        _values_changed(_circumstances(before), _circumstances(after)),
    )


def _state(step: StepRecord | None) -> tuple[str, str]:
    return (step.outcome, step.reason) if step else ("", "")


def _word_changes(old: StepRecord | None, new: StepRecord | None) -> Iterator[WordChange]:
    some = new or old
    before, after = (step.word if step else None for step in (old, new))
    word = after or before
    if some is None or word is None or _without_source(before) == _without_source(after):
        return
    if after:
        what = "given again" if before else "given"
    else:
        lapsed = {lapse.word.kind for lapse in new.lapsed} if new else set()
        is_withdrawn = not lapsed or WordKind.WITHDRAWN in lapsed
        what = "withdrawn" if is_withdrawn else "no longer counts"
    details = (word.kind, what, word.by, word.at, word.note)
    yield WordChange(some.id, some.title, *details)


def _without_source(word: Word | None) -> Word | None:
    """Return what a person said, without the file that it was read from."""
    return structs.replace(word, origin="", entry="") if word else None


def _values_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Changed, ...]:
    names = [*new, *(name for name in old if name not in new)]
    return tuple(
        Changed(name, plain(old.get(name)), plain(new.get(name)))
        for name in names
        if old.get(name) != new.get(name)
    )


def _circumstances(run: Record) -> dict[str, Any]:
    """Return a run's procedure, mode, credentials and environment."""
    procedure = run.procedure
    return {
        "procedure": procedure.id,
        "procedure version": procedure.version,
        "procedure digest": procedure.digest,
        "mode": run.mode,
        "sandbox": run.sandbox,
        "credentials given": list(run.credentials),
        **run.environment,
    }
