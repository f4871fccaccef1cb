"""
An index over the journal: the positions of the lines that still matter.

Pure: it folds lines, one after the other. The journal stays the source of truth: a line that counts
is read again and compared with its SHA-256 (`Journal.read`). A saved index carries an
authentication code; an altered or different index is ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from msgspec import Struct, convert, field, to_builtins
from msgspec.structs import replace

from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.journal import BEFORE_THE_FIRST, JournalLine, LineRef
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import (
    FORMAT_VERSION,
    AttestationDetails,
    BundleSealed,
    ChangeIntended,
    CredentialGiven,
    CredentialSaved,
    Exchange,
    ExchangeWithheld,
    InputGiven,
    JournalEntry,
    ModelStruct,
    NotebookFinished,
    Outcome,
    RunFinished,
    RunJoined,
    RunStarted,
    StepChecked,
    StepCommented,
    StepStarted,
    StepWithheld,
    Value,
    host_in,
)

_MOST_RUNS = 32
# A snapshot has about forty, and a check names only those of its own snapshot.
_MOST_EXCHANGES = 1_000
_RECENT = 30
# Number of refused values that are kept for each name, the newest.
_MOST_REFUSED = 32
# Checks with a side effect are made about once a month.
_MOST_BASED = 64
_MOST_FAILURES = 16
# Kinds of lines that the history of a step shows.
_OF_STEP = (AttestationDetails, StepCommented, StepChecked, StepWithheld, ChangeIntended)


class IndexedAttestation(ModelStruct):
    """
    The place of an attestation or a note, and the digest of its file entry.

    `subject` holds the values that the attestation is bound to. A value that was unknown then
    becomes the first one that the remote system confirms. A note has none.
    """

    ref: LineRef
    entry: str
    subject: Mapping[str, Value | None] = field(default_factory=dict)


class IndexedChecks(ModelStruct):
    """
    The place of the line of a step's checks, and the places of its exchanges.

    `carried` are the earlier lines that it counts again. `is_carried`: a later run counted this
    line again, and checked nothing of the step itself.
    """

    ref: LineRef
    exchanges: tuple[LineRef, ...] = ()
    carried: tuple[IndexedChecks, ...] = ()
    is_carried: bool = False


class IndexedRefusal(ModelStruct):
    """A value that a remote system refused, and the number of the last line with that refusal."""

    value: Value
    line: int


class IndexedRun(ModelStruct):
    """The lines of one run that matter."""

    started: LineRef | None = None
    """The line that began it; `None` if the index has not seen it."""

    mode: str = ""
    """Its `Mode`."""

    begun: frozenset[str] = frozenset()
    """Ids of the steps whose checks it began."""

    exchanges: tuple[LineRef, ...] = ()
    """Its newest exchanges, which a check may still name; empty after its end."""

    calls: Mapping[str, int] = field(default_factory=dict)
    """Number of responses of each host."""

    checked: Mapping[str, IndexedChecks] = field(default_factory=dict)
    """Its newest check of each step, by the step's id."""

    finished_on: str = ""
    """Time of its end, in UTC; empty until then."""

    finished: int = 0
    """The number of the line that ends it; 0 while it goes on."""

    outcome: str = ""
    """Its `RunOutcome`; empty until its end."""

    reached_end: bool = False
    """Whether every cell of its notebook ran."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of the software at its end."""


class IndexedBundle(ModelStruct):
    """A line that announces a bundle: its number, the run in the bundle, and its data."""

    seq: int
    run_id: str
    sealed: BundleSealed


class JournalIndex(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    The journal lines that states are made from, up to the line `last`.

    Treat it as frozen: only `fold` changes one, a copy that nobody else has.
    """

    last: LineRef = BEFORE_THE_FIRST
    """The last line that was folded."""

    attestations: dict[str, tuple[IndexedAttestation, ...]] = field(default_factory=dict)
    """The attestations of each step, oldest first."""

    notes: dict[str, tuple[IndexedAttestation, ...]] = field(default_factory=dict)
    """The comments and assignments of each step, oldest first."""

    given: dict[str, Value] = field(default_factory=dict)
    """The newest value of each name that a person gave."""

    recorded: dict[str, Value] = field(default_factory=dict)
    """The newest recorded value of each name; a secret's fingerprint."""

    replaced: dict[str, Value] = field(default_factory=dict)
    """The last value before the recorded one that was not refused, by name."""

    confirmed: dict[str, Value] = field(default_factory=dict)
    """The newest value that the remote system named as its own, by name."""

    refused: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    """The values that the remote system refuses, by name."""

    links: dict[str, str] = field(default_factory=dict)
    """Digest of each used link for a second person → id of its step."""

    credentials: dict[str, str] = field(default_factory=dict)
    """Name of each saved credential → its reference."""

    remembered: int = 0
    """Number of lines that save or forget a credential."""

    runs: dict[str, IndexedRun] = field(default_factory=dict)
    """The newest runs by id, oldest first."""

    begun: frozenset[str] = frozenset()
    """Ids of the steps whose checks any run began."""

    checked: dict[str, IndexedChecks] = field(default_factory=dict)
    """The newest check of each step, of all runs."""

    worked_on: frozenset[str] = frozenset()
    """Ids of the steps that somebody attested or had checked."""

    recent: dict[str, tuple[LineRef, ...]] = field(default_factory=dict)
    """The newest lines about each step, oldest first."""

    based: dict[str, tuple[IndexedChecks, ...]] = field(default_factory=dict)
    """The newest checks of each step that include a check with a side effect."""

    failures: dict[str, tuple[LineRef, ...]] = field(default_factory=dict)
    """The newest lines of each step with a failed check."""

    refusals: dict[str, tuple[IndexedRefusal, ...]] = field(default_factory=dict)
    """The values that remote systems refused, by name, with the lines."""

    sealed: tuple[IndexedBundle, ...] = ()
    """The lines that announce bundles."""

    withheld: tuple[LineRef, ...] = ()
    """The lines that stand for others in a bundle."""

    practice: frozenset[bool] = frozenset()
    """Whether runs asked the sandbox: one value, or both."""

    def fold(self, lines: Iterable[JournalLine]) -> JournalIndex:
        """Return the index with more lines; this one without any."""
        index = self
        for line in lines:
            if index is self:
                index = self._own_copy()
            index._fold_line(line)  # noqa: SLF001  (its own)
        return index

    def _own_copy(self) -> JournalIndex:
        index = copy(self)
        for name in self.__struct_fields__:
            if isinstance(value := getattr(self, name), dict):
                setattr(index, name, dict(value))
        return index

    def _fold_line(self, line: JournalLine) -> None:
        entry, ref = line
        data = entry.data
        step = entry.step
        self.last = ref
        if entry.withheld:
            self.withheld += (ref,)
        if step and isinstance(data, _OF_STEP):
            self.recent[step] = (*self.recent.get(step, ()), ref)[-_RECENT:]
        run = self.runs.get(entry.run_id, IndexedRun())
        match data:
            case RunStarted():
                self._record_values({**data.parameters, **data.fingerprints})
                self.practice |= {data.sandbox}
                self._set_run(entry, started=ref, mode=data.mode)
            case RunJoined():
                self._record_values({**data.parameters, **data.fingerprints})
            case RunFinished():
                self._set_run(
                    entry,
                    exchanges=(),
                    finished_on=run.finished_on or entry.at,
                    finished=run.finished or entry.seq,
                    outcome=run.outcome or data.outcome,
                    environment=data.environment,
                )
            case NotebookFinished():
                self._set_run(entry, reached_end=True)
            case StepStarted():
                self.begun |= {step}
                self._set_run(entry, begun=run.begun | {step})
            case Exchange() | ExchangeWithheld():
                calls = Counter(run.calls)
                if isinstance(data, Exchange) and data.status is not None and host_in(data.url):
                    calls[host_in(data.url)] += 1
                exchanges = (*run.exchanges, ref)[-_MOST_EXCHANGES:]
                self._set_run(entry, exchanges=exchanges, calls=dict(calls))
            case StepChecked() | StepWithheld():
                named = {number for finding in data.findings for number in finding.exchanges}
                exchanges = tuple(sent for sent in run.exchanges if sent.seq in named)
                check = self._with_carried(IndexedChecks(ref=ref, exchanges=exchanges), entry)
                self._note_confirmed_and_refused(data)
                self._note_results(check, entry)
                self.checked[step] = self._newest_result(check, entry)
                if not (isinstance(data, StepChecked) and data.automatic):
                    self.worked_on |= {step}
                self._set_run(entry, checked={**run.checked, step: check})
            case AttestationDetails():
                attestation = IndexedAttestation(
                    ref=ref, entry=data.entry, subject=data.binding.subject
                )
                self.attestations[step] = (*self.attestations.get(step, ()), attestation)
                self.worked_on |= {step}
                if data.link:
                    self.links.setdefault(data.link, step)
            case StepCommented():
                note = IndexedAttestation(ref=ref, entry=data.entry)
                self.notes[step] = (*self.notes.get(step, ()), note)
            case InputGiven():
                self.given[data.name] = data.value
                self._record_values({data.name: data.value})
            case CredentialGiven():
                self._record_values({data.name: data.fingerprint})
            case CredentialSaved():
                self.remembered += 1
                self.credentials[data.name] = data.reference
                if not data.reference:
                    del self.credentials[data.name]
            case BundleSealed():
                self.sealed += (IndexedBundle(seq=entry.seq, run_id=entry.run_id, sealed=data),)

    def _set_run(self, entry: JournalEntry, **changed: Any) -> None:
        """Change the index of a line's run; forget the oldest run if there are too many."""
        run = self.runs.get(entry.run_id, IndexedRun())
        self.runs[entry.run_id] = replace(run, **changed)
        if len(self.runs) > _MOST_RUNS:
            del self.runs[next(iter(self.runs))]

    def _record_values(self, values: Mapping[str, Value]) -> None:
        """Record newer values, and the values that they replace."""
        for name, value in values.items():
            earlier = self.recorded.get(name)
            refused = self.refused.get(name, ())
            if value and earlier is not None and earlier not in (value, *refused):
                self.replaced[name] = earlier
            if value:
                self.recorded[name] = value

    def _with_carried(self, check: IndexedChecks, entry: JournalEntry) -> IndexedChecks:
        """Return `check` with the known earlier lines that it counts again."""
        earlier = {known.ref.seq: known for known in self.based.get(entry.step, ())}
        carried = entry.data.carried if isinstance(entry.data, StepChecked) else ()
        lines = dict.fromkeys(result.line for result in carried if result.line in earlier)
        return replace(check, carried=tuple(earlier[line] for line in lines)) if lines else check

    def _newest_result(self, check: IndexedChecks, entry: JournalEntry) -> IndexedChecks:
        """Return the index of the newest result of a step; a line that only carries it has none."""
        known = self.checked.get(entry.step)
        is_same = known is not None and [carried.ref for carried in check.carried] == [known.ref]
        return (
            replace(known, is_carried=True)
            if known and is_same and not entry.data.findings
            else check
        )

    def _note_results(self, check: IndexedChecks, entry: JournalEntry) -> None:
        """Note results that later runs may carry, and refusals that void them."""
        data = entry.data
        step = entry.step
        # NOTE: a withheld line may be another result of such a check.
        is_unknown = isinstance(data, StepWithheld) and step in self.based
        if is_unknown or (isinstance(data, StepChecked) and data.bases):
            self.based[step] = (*self.based.get(step, ()), check)[-_MOST_BASED:]
        if any(finding.outcome is Outcome.FAILED for finding in data.findings):
            self.failures[step] = (*self.failures.get(step, ()), check.ref)[-_MOST_FAILURES:]
        bases = {basis.check: basis.values for basis in getattr(data, "bases", ())}
        for finding in data.findings:
            known = {**self.recorded, **bases.get(finding.check, {}), **data.binding.subject}
            for name in finding.refuses:
                if value := known.get(name):
                    refusal = IndexedRefusal(value=value, line=entry.seq)
                    others = [
                        other for other in self.refusals.get(name, ()) if other.value != value
                    ]
                    self.refusals[name] = (*others, refusal)[-_MOST_REFUSED:]

    def _note_confirmed_and_refused(self, data: StepChecked | StepWithheld) -> None:
        """
        Record the values that a check's findings confirm or refuse.

        Also fills confirmed values into the attestations that lacked them.
        """
        subject = data.binding.subject
        for name in (name for finding in data.findings for name in finding.refuses):
            if value := subject.get(name):
                known = dict.fromkeys((*self.refused.get(name, ()), value))
                self.refused[name] = tuple(known)[-_MOST_REFUSED:]
        accepted = [name for finding in data.findings for name in finding.accepts]
        confirmed = {name: value for name in accepted if (value := subject.get(name))}
        for name, value in confirmed.items():
            self.confirmed[name] = value
            if name in self.refused:
                self.refused[name] = tuple(
                    refused for refused in self.refused[name] if refused != value
                )
        for step, attestations in self.attestations.items() if confirmed else ():
            self.attestations[step] = tuple(
                _with_late_values(attestation, confirmed) for attestation in attestations
            )

    def before(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return, for each refused one of `values`, the value before it."""
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
        """SHA-256 of each file entry that was read so far."""
        entries = (*self.attestations.values(), *self.notes.values())
        return frozenset(
            attestation.entry for attestations in entries for attestation in attestations
        )


# The fields of an index and its parts; `load_index` ignores an index with others.
_PARTS = {
    part.__name__: {name: str(kind) for name, kind in part.__annotations__.items()}
    for part in (
        JournalIndex,
        IndexedAttestation,
        IndexedChecks,
        IndexedRefusal,
        IndexedRun,
        IndexedBundle,
        BundleSealed,
        LineRef,
    )
}


def dump_index(index: JournalIndex, key: FingerprintKey) -> bytes:
    """Return `index` as saved: its authentication code, then JSON."""
    document = {"format_version": FORMAT_VERSION, "parts": _PARTS, "index": to_builtins(index)}
    saved = write_json(document).encode("utf-8", "backslashreplace")
    return f"{key.of_bytes(saved)}\n".encode() + saved


def load_index(content: bytes, key: FingerprintKey) -> JournalIndex | None:
    """Return the index that `dump_index` saved with this key, or `None` for anything else."""
    code, _, saved = content.partition(b"\n")
    if code.decode("ascii", "replace") != key.of_bytes(saved):
        return None
    document = parse_own(saved)
    is_ours = (document["format_version"], document.get("parts")) == (FORMAT_VERSION, _PARTS)
    return convert(document["index"], JournalIndex) if is_ours else None


def _with_late_values(
    attestation: IndexedAttestation, values: Mapping[str, Value]
) -> IndexedAttestation:
    """Return an attestation with `values` in place of those that were unknown at its time."""
    late = {
        name: value
        for name, value in values.items()
        if name in attestation.subject and attestation.subject[name] is None
    }
    return replace(attestation, subject={**attestation.subject, **late}) if late else attestation
