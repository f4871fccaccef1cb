"""
An index over the journal: the positions of the lines that still matter.

Pure: lines are folded in one by one. The journal stays the source of truth: a
line that counts is read again and compared with its SHA-256 (`Journal.read`).
A saved index carries an authentication code; one that was altered or has
another form is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import convert, field, to_builtins
from msgspec.structs import replace

from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.journal import BEFORE_THE_FIRST, JournalLine, Ref
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import (
    FORM,
    BundleSealed,
    Checked,
    CheckWithheld,
    EventType,
    Exchange,
    Part,
    RunStarted,
    Value,
    host_in,
)

_MOST_RUNS = 32
# A look makes some forty, and a check names those of its own look only.
_MOST_EXCHANGES = 1_000
_RECENT = 30
# Of the values that were refused, the newest.
_MOST_REFUSED = 32
_WORDS = (
    EventType.STEP_ATTESTED,
    EventType.STEP_SUBMITTED,
    EventType.STEP_DECLINED,
    EventType.STEP_SKIPPED,
    EventType.STEP_WITHDRAWN,
)
_NOTES = (EventType.STEP_COMMENTED, EventType.STEP_ASSIGNED)
# What the history of one step shows.
_OF_STEP = (
    *_WORDS,
    *_NOTES,
    EventType.STEP_CHECKED,
    EventType.STEP_WITHHELD,
    EventType.CHANGE_INTENDED,
)


class WordIndex(Part):
    """
    Where an attestation or another word is, and the file entry that it was read from.

    `subject` is what the word is about; a value that was unknown then is the
    first one that the remote system confirms. A note has none.
    """

    ref: Ref
    entry: str
    subject: Mapping[str, Value | None] = field(default_factory=dict)


class CheckIndex(Part):
    """Where the line of a step's checks is, and those of the exchanges that it names."""

    ref: Ref
    exchanges: tuple[Ref, ...] = ()


class RunIndex(Part):
    """
    One run: where it started, what it checked (by step), when and how it ended, on what it ran.

    `exchanges` are its newest ones, which a check may still name until it ends; `calls` are
    the answers of each host.
    """

    started: Ref | None = None
    mode: str = ""
    begun: frozenset[str] = frozenset()
    exchanges: tuple[Ref, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    checked: Mapping[str, CheckIndex] = field(default_factory=dict)
    finished_on: str = ""
    outcome: str = ""
    reached_end: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class BundleIndex(Part):
    """A line that announces a bundle: its number, the run that is in the bundle, and its data."""

    seq: int
    run_id: str
    sealed: BundleSealed


class Index(Part):
    """
    Everything up to the line `last`; `runs` are the newest runs, oldest first.

    `recorded` maps each name to its newest recorded value (of a secret, its
    fingerprint), `given` only those that a person gave. `confirmed` is the newest
    value that the remote system named as its own, `refused` are those that it does
    not take, `replaced` is the last value before the recorded one that was not
    refused. `links` maps each link for a second person to the step it was used for.
    `sealed` are the lines that announce bundles, `withheld` those that stand for others.
    `worked_on` are the steps that somebody said something about, or had checked.
    """

    last: Ref = BEFORE_THE_FIRST
    words: Mapping[str, tuple[WordIndex, ...]] = field(default_factory=dict)
    notes: Mapping[str, tuple[WordIndex, ...]] = field(default_factory=dict)
    given: Mapping[str, Value] = field(default_factory=dict)
    recorded: Mapping[str, Value] = field(default_factory=dict)
    replaced: Mapping[str, Value] = field(default_factory=dict)
    confirmed: Mapping[str, Value] = field(default_factory=dict)
    refused: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    remembered: int = 0
    runs: Mapping[str, RunIndex] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()
    checked: Mapping[str, CheckIndex] = field(default_factory=dict)
    worked_on: frozenset[str] = frozenset()
    recent: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    sealed: tuple[BundleIndex, ...] = ()
    withheld: tuple[Ref, ...] = ()
    practice: frozenset[bool] = frozenset()

    def fold(self, line: JournalLine) -> Index:
        """Return the index with one more line."""
        entry = line.entry
        index = replace(self, last=line.ref)
        if entry.withheld:
            index = replace(index, withheld=(*index.withheld, line.ref))
        if entry.step and entry.type in _OF_STEP:
            recent = (*index.recent.get(entry.step, ()), line.ref)[-_RECENT:]
            index = replace(index, recent={**index.recent, entry.step: recent})
        change = _CHANGES.get(entry.type)
        return change(index, line) if change else index

    def before(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return, for each of `values` that was refused, the one that it was to replace."""
        replacements: dict[str, Value] = {}
        for name, refused in self.refused.items():
            if values.get(name) in refused:
                sources = (self.confirmed, self.recorded, self.replaced)
                earlier = [source[name] for source in sources if name in source]
                usable = [value for value in earlier if value not in refused]
                replacements |= {name: usable[0]} if usable else {}
        return replacements

    @property
    def entries(self) -> frozenset[str]:
        """Return the SHA-256 of each file entry that was read so far."""
        entries = (*self.words.values(), *self.notes.values())
        return frozenset(word.entry for words in entries for word in words)


# What an index is made of. One that an earlier or a later version has saved is not used.
_PARTS = {
    part.__name__: {name: str(kind) for name, kind in part.__annotations__.items()}
    for part in (Index, WordIndex, CheckIndex, RunIndex, BundleIndex, BundleSealed, Ref)
}


def dump_index(index: Index, key: FingerprintKey) -> bytes:
    """Return `index` as saved: its authentication code, then JSON."""
    document = {"form": FORM, "parts": _PARTS, "index": to_builtins(index)}
    saved = write_json(document).encode("utf-8", "backslashreplace")
    return f"{key.of_bytes(saved)}\n".encode() + saved


def load_index(content: bytes, key: FingerprintKey) -> Index | None:
    """Return the index that `dump_index` saved with this key, or `None` for anything else."""
    code, _, saved = content.partition(b"\n")
    if code.decode("ascii", "replace") != key.of_bytes(saved):
        return None
    document = parse_own(saved)
    is_ours = (document["form"], document.get("parts")) == (FORM, _PARTS)
    return convert(document["index"], Index) if is_ours else None


def _run_started(index: Index, line: JournalLine) -> Index:
    data: RunStarted = line.entry.data
    index = _recorded(index, {**data.parameters, **data.fingerprints})
    index = replace(index, practice=index.practice | {data.sandbox})
    return _with_run(index, line, lambda run: replace(run, started=line.ref, mode=data.mode))


def _run_joined(index: Index, line: JournalLine) -> Index:
    return _recorded(index, {**line.entry.data.parameters, **line.entry.data.fingerprints})


def _with_run(index: Index, line: JournalLine, change: Callable[[RunIndex], RunIndex]) -> Index:
    name = line.entry.run_id
    others = [*index.runs.items()][1 - _MOST_RUNS :] if name not in index.runs else index.runs
    run = change(index.runs.get(name, RunIndex()))
    return replace(index, runs={**dict(others), name: run})


def _step_started(index: Index, line: JournalLine) -> Index:
    step = line.entry.step
    index = replace(index, begun=index.begun | {step})
    return _with_run(index, line, lambda run: replace(run, begun=run.begun | {step}))


def _exchange_recorded(index: Index, line: JournalLine) -> Index:
    data = line.entry.data
    host = host_in(data.url) if isinstance(data, Exchange) and data.status is not None else ""

    def change(run: RunIndex) -> RunIndex:
        calls = {**run.calls, host: run.calls.get(host, 0) + 1} if host else run.calls
        exchanges = (*run.exchanges, line.ref)[-_MOST_EXCHANGES:]
        return replace(run, exchanges=exchanges, calls=calls)

    return _with_run(index, line, change)


def _step_checked(index: Index, line: JournalLine) -> Index:
    named = {number for finding in line.entry.data.findings for number in finding.exchanges}
    run = index.runs.get(line.entry.run_id, RunIndex())
    exchanges = tuple(ref for ref in run.exchanges if ref.seq in named)
    checked = {line.entry.step: CheckIndex(ref=line.ref, exchanges=exchanges)}
    index = _judged(index, line.entry.data)
    index = replace(index, checked={**index.checked, **checked})
    if not (isinstance(line.entry.data, Checked) and line.entry.data.unasked):
        index = replace(index, worked_on=index.worked_on | {line.entry.step})
    return _with_run(index, line, lambda run: replace(run, checked={**run.checked, **checked}))


def _word_said(index: Index, line: JournalLine) -> Index:
    data, step = line.entry.data, line.entry.step
    word = WordIndex(ref=line.ref, entry=data.entry, subject=data.binding.subject)
    links = {data.link: step} if data.link else {}
    return replace(
        index,
        words={**index.words, step: (*index.words.get(step, ()), word)},
        worked_on=index.worked_on | {step},
        links={**links, **index.links},
    )


def _note_written(index: Index, line: JournalLine) -> Index:
    step = line.entry.step
    note = WordIndex(ref=line.ref, entry=line.entry.data.entry)
    return replace(index, notes={**index.notes, step: (*index.notes.get(step, ()), note)})


def _input_given(index: Index, line: JournalLine) -> Index:
    value = {line.entry.data.name: line.entry.data.value}
    return _recorded(replace(index, given={**index.given, **value}), value)


def _credential_given(index: Index, line: JournalLine) -> Index:
    return _recorded(index, {line.entry.data.name: line.entry.data.fingerprint})


def _credential_remembered(index: Index, line: JournalLine) -> Index:
    references = {**index.credentials, line.entry.data.name: line.entry.data.reference}
    current = {name: reference for name, reference in references.items() if reference}
    return replace(index, credentials=current, remembered=index.remembered + 1)


def _bundle_sealed(index: Index, line: JournalLine) -> Index:
    entry = line.entry
    sealed = BundleIndex(seq=entry.seq, run_id=entry.run_id, sealed=entry.data)
    return replace(index, sealed=(*index.sealed, sealed))


def _recorded(index: Index, values: Mapping[str, Value]) -> Index:
    """Return the index with newer values."""
    newer = {name: value for name, value in values.items() if value}
    replaced = dict(index.replaced)
    for name, value in newer.items():
        earlier = index.recorded.get(name)
        if earlier is not None and earlier not in (value, *index.refused.get(name, ())):
            replaced[name] = earlier
    return replace(index, recorded={**index.recorded, **newer}, replaced=replaced)


def _judged(index: Index, data: Checked | CheckWithheld) -> Index:
    """
    Return the index with the values that a check's findings confirm or refuse.

    Confirmed values are also filled into the words that lacked them.
    """
    subject = data.binding.subject
    accepted = [name for finding in data.findings for name in finding.accepts]
    not_taken = [name for finding in data.findings for name in finding.refuses]
    confirmed, refused = (
        {name: value for name in names if (value := subject.get(name))}
        for names in (accepted, not_taken)
    )
    if refused:
        grown = {
            name: tuple(dict.fromkeys((*index.refused.get(name, ()), value)))[-_MOST_REFUSED:]
            for name, value in refused.items()
        }
        index = replace(index, refused={**index.refused, **grown})
    if not confirmed:
        return index
    still_refused = {
        name: tuple(value for value in values if value != confirmed.get(name))
        for name, values in index.refused.items()
    }
    words = index.words
    if any(_unknown(word, confirmed) for step_words in words.values() for word in step_words):
        words = {
            step: tuple(_filled(word, confirmed) for word in step_words)
            for step, step_words in words.items()
        }
    confirmed = {**index.confirmed, **confirmed}
    return replace(index, words=words, confirmed=confirmed, refused=still_refused)


def _filled(word: WordIndex, values: Mapping[str, Value]) -> WordIndex:
    late = {name: values[name] for name in _unknown(word, values)}
    return replace(word, subject={**word.subject, **late}) if late else word


def _unknown(word: WordIndex, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in word.subject and word.subject[name] is None]


_CHANGES: Mapping[str, Callable[[Index, JournalLine], Index]] = {
    **dict.fromkeys(_WORDS, _word_said),
    **dict.fromkeys(_NOTES, _note_written),
    EventType.RUN_STARTED: _run_started,
    EventType.RUN_JOINED: _run_joined,
    EventType.RUN_FINISHED: lambda index, line: _with_run(
        index,
        line,
        lambda run: replace(
            run,
            exchanges=(),
            finished_on=run.finished_on or line.entry.at,
            outcome=run.outcome or line.entry.data.outcome,
            environment=line.entry.data.environment,
        ),
    ),
    EventType.NOTEBOOK_FINISHED: lambda index, line: _with_run(
        index, line, lambda run: replace(run, reached_end=True)
    ),
    EventType.STEP_STARTED: _step_started,
    EventType.STEP_CHECKED: _step_checked,
    EventType.STEP_WITHHELD: _step_checked,
    EventType.EXCHANGE_RECORDED: _exchange_recorded,
    EventType.EXCHANGE_WITHHELD: _exchange_recorded,
    EventType.INPUT_GIVEN: _input_given,
    EventType.CREDENTIAL_GIVEN: _credential_given,
    EventType.CREDENTIAL_REMEMBERED: _credential_remembered,
    EventType.BUNDLE_SEALED: _bundle_sealed,
}
