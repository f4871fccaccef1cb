"""
An index over the journal: the positions of the lines that still matter.

Pure: lines are folded in, one after the other. The journal stays the source of truth: a
line that counts is read again and compared with its SHA-256 (`Journal.read`).
A saved index carries an authentication code; one that was altered or has
another form is ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from msgspec import Struct, convert, field, to_builtins
from msgspec.structs import replace

from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.journal import BEFORE_THE_FIRST, JournalLine, Ref
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import (
    FORMAT_VERSION,
    AttestationDetails,
    BundleSealed,
    ChangeIntended,
    Checked,
    CheckWithheld,
    Commented,
    CredentialGiven,
    CredentialRemembered,
    Entry,
    Exchange,
    ExchangeWithheld,
    InputGiven,
    NotebookFinished,
    Outcome,
    Part,
    RunFinished,
    RunJoined,
    RunStarted,
    StepStarted,
    Value,
    host_in,
)

_MOST_RUNS = 32
# A snapshot makes some forty, and a check names those of its own snapshot only.
_MOST_EXCHANGES = 1_000
_RECENT = 30
# Of the values that were refused, the newest.
_MOST_REFUSED = 32
# Checks with a side effect are made about once a month.
_MOST_BASED = 64
_MOST_FAILURES = 16
# What the history of one step shows.
_OF_STEP = (AttestationDetails, Commented, Checked, CheckWithheld, ChangeIntended)


class AttestationIndex(Part):
    """
    Where an attestation or a note is, and the file entry that it was read from.

    `subject` is what the attestation is about; a value that was unknown then is the
    first one that the remote system confirms. A note has none.
    """

    ref: Ref
    entry: str
    subject: Mapping[str, Value | None] = field(default_factory=dict)


class CheckIndex(Part):
    """
    Where the line of a step's checks is, and those of the exchanges that it names.

    `carried` are the earlier lines that it counts again. With `is_carried` a later run has
    counted this line again, and checked nothing of the step itself.
    """

    ref: Ref
    exchanges: tuple[Ref, ...] = ()
    carried: tuple[CheckIndex, ...] = ()
    is_carried: bool = False


class RefusalIndex(Part):
    """A value that a remote system refused, and the number of the last line that says so."""

    value: Value
    line: int


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
    finished: int = 0
    """The number of the line that ends it; 0 while it goes on."""

    outcome: str = ""
    reached_end: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class BundleIndex(Part):
    """A line that announces a bundle: its number, the run that is in the bundle, and its data."""

    seq: int
    run_id: str
    sealed: BundleSealed


class Index(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Everything up to the line `last`; `runs` are the newest runs, oldest first.

    `recorded` maps each name to its newest recorded value (of a secret, its
    fingerprint), `given` only those that a person gave. `confirmed` is the newest
    value that the remote system named as its own, `refused` are those that it does
    not take, `replaced` is the last value before the recorded one that was not
    refused. `links` maps each link for a second person to the step it was used for.
    `sealed` are the lines that announce bundles, `withheld` those that stand for others.
    `worked_on` are the steps that somebody said something about, or had checked. Of each step,
    `based` are the newest lines with a check that has a side effect, `failures` those with a check
    that failed. `refusals` are the values that remote systems refused, by name.

    Treat it as frozen: only `fold` alters one, a copy that nobody else has.
    """

    last: Ref = BEFORE_THE_FIRST
    attestations: dict[str, tuple[AttestationIndex, ...]] = field(default_factory=dict)
    notes: dict[str, tuple[AttestationIndex, ...]] = field(default_factory=dict)
    given: dict[str, Value] = field(default_factory=dict)
    recorded: dict[str, Value] = field(default_factory=dict)
    replaced: dict[str, Value] = field(default_factory=dict)
    confirmed: dict[str, Value] = field(default_factory=dict)
    refused: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    remembered: int = 0
    runs: dict[str, RunIndex] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()
    checked: dict[str, CheckIndex] = field(default_factory=dict)
    worked_on: frozenset[str] = frozenset()
    recent: dict[str, tuple[Ref, ...]] = field(default_factory=dict)
    based: dict[str, tuple[CheckIndex, ...]] = field(default_factory=dict)
    failures: dict[str, tuple[Ref, ...]] = field(default_factory=dict)
    refusals: dict[str, tuple[RefusalIndex, ...]] = field(default_factory=dict)
    sealed: tuple[BundleIndex, ...] = ()
    withheld: tuple[Ref, ...] = ()
    practice: frozenset[bool] = frozenset()

    def fold(self, lines: Iterable[JournalLine]) -> Index:
        """Return the index with more lines; without any, this one."""
        index = self
        for line in lines:
            if index is self:
                index = self._own_copy()
            index._take(line)  # noqa: SLF001  (its own)
        return index

    def _own_copy(self) -> Index:
        index = copy(self)
        for name in self.__struct_fields__:
            if isinstance(value := getattr(self, name), dict):
                setattr(index, name, dict(value))
        return index

    def _take(self, line: JournalLine) -> None:
        entry, ref = line
        data, step = entry.data, entry.step
        self.last = ref
        if entry.withheld:
            self.withheld += (ref,)
        if step and isinstance(data, _OF_STEP):
            self.recent[step] = (*self.recent.get(step, ()), ref)[-_RECENT:]
        run = self.runs.get(entry.run_id, RunIndex())
        match data:
            case RunStarted():
                self._record({**data.parameters, **data.fingerprints})
                self.practice |= {data.sandbox}
                self._set_run(entry, started=ref, mode=data.mode)
            case RunJoined():
                self._record({**data.parameters, **data.fingerprints})
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
            case Checked() | CheckWithheld():
                named = {number for finding in data.findings for number in finding.exchanges}
                exchanges = tuple(sent for sent in run.exchanges if sent.seq in named)
                check = self._with_carried(CheckIndex(ref=ref, exchanges=exchanges), entry)
                self._judge(data)
                self._note_results(check, entry)
                self.checked[step] = self._newest(check, entry)
                if not (isinstance(data, Checked) and data.automatic):
                    self.worked_on |= {step}
                self._set_run(entry, checked={**run.checked, step: check})
            case AttestationDetails():
                attestation = AttestationIndex(
                    ref=ref, entry=data.entry, subject=data.binding.subject
                )
                self.attestations[step] = (*self.attestations.get(step, ()), attestation)
                self.worked_on |= {step}
                if data.link:
                    self.links.setdefault(data.link, step)
            case Commented():
                note = AttestationIndex(ref=ref, entry=data.entry)
                self.notes[step] = (*self.notes.get(step, ()), note)
            case InputGiven():
                self.given[data.name] = data.value
                self._record({data.name: data.value})
            case CredentialGiven():
                self._record({data.name: data.fingerprint})
            case CredentialRemembered():
                self.remembered += 1
                self.credentials[data.name] = data.reference
                if not data.reference:
                    del self.credentials[data.name]
            case BundleSealed():
                self.sealed += (BundleIndex(seq=entry.seq, run_id=entry.run_id, sealed=data),)

    def _set_run(self, entry: Entry, **changed: Any) -> None:
        """Change what is known of a line's run; forget the oldest run if there are too many."""
        run = self.runs.get(entry.run_id, RunIndex())
        self.runs[entry.run_id] = replace(run, **changed)
        if len(self.runs) > _MOST_RUNS:
            del self.runs[next(iter(self.runs))]

    def _record(self, values: Mapping[str, Value]) -> None:
        """Record newer values, and which ones they replace."""
        for name, value in values.items():
            earlier, refused = self.recorded.get(name), self.refused.get(name, ())
            if value and earlier is not None and earlier not in (value, *refused):
                self.replaced[name] = earlier
            if value:
                self.recorded[name] = value

    def _with_carried(self, check: CheckIndex, entry: Entry) -> CheckIndex:
        """Return `check` with the earlier lines that its own counts again, as far as known."""
        earlier = {known.ref.seq: known for known in self.based.get(entry.step, ())}
        carried = entry.data.carried if isinstance(entry.data, Checked) else ()
        found = dict.fromkeys(result.line for result in carried if result.line in earlier)
        return replace(check, carried=tuple(earlier[line] for line in found)) if found else check

    def _newest(self, check: CheckIndex, entry: Entry) -> CheckIndex:
        """Return where the newest result of a step is: a line that only carries it has none."""
        known = self.checked.get(entry.step)
        is_same = known is not None and [each.ref for each in check.carried] == [known.ref]
        return (
            replace(known, is_carried=True)
            if known and is_same and not entry.data.findings
            else check
        )

    def _note_results(self, check: CheckIndex, entry: Entry) -> None:
        """Note what later runs may carry, and what ends that."""
        data, step = entry.data, entry.step
        # NOTE: what is withheld may be another result of such a check.
        is_unknown = isinstance(data, CheckWithheld) and step in self.based
        if is_unknown or (isinstance(data, Checked) and data.bases):
            self.based[step] = (*self.based.get(step, ()), check)[-_MOST_BASED:]
        if any(finding.outcome is Outcome.FAILED for finding in data.findings):
            self.failures[step] = (*self.failures.get(step, ()), check.ref)[-_MOST_FAILURES:]
        bases = {basis.check: basis.values for basis in getattr(data, "bases", ())}
        for finding in data.findings:
            known = {**self.recorded, **bases.get(finding.check, {}), **data.binding.subject}
            for name in finding.refuses:
                if value := known.get(name):
                    refusal = RefusalIndex(value=value, line=entry.seq)
                    others = [each for each in self.refusals.get(name, ()) if each.value != value]
                    self.refusals[name] = (*others, refusal)[-_MOST_REFUSED:]

    def _judge(self, data: Checked | CheckWithheld) -> None:
        """
        Record the values that a check's findings confirm or refuse.

        Confirmed values are also filled into the attestations that lacked them.
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
                self.refused[name] = tuple(each for each in self.refused[name] if each != value)
        for step, attestations in self.attestations.items() if confirmed else ():
            self.attestations[step] = tuple(
                _filled(attestation, confirmed) for attestation in attestations
            )

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
        entries = (*self.attestations.values(), *self.notes.values())
        return frozenset(
            attestation.entry for attestations in entries for attestation in attestations
        )


# What an index is made of. One that an earlier or a later version has saved is not used.
_PARTS = {
    part.__name__: {name: str(kind) for name, kind in part.__annotations__.items()}
    for part in (
        Index,
        AttestationIndex,
        CheckIndex,
        RefusalIndex,
        RunIndex,
        BundleIndex,
        BundleSealed,
        Ref,
    )
}


def dump_index(index: Index, key: FingerprintKey) -> bytes:
    """Return `index` as saved: its authentication code, then JSON."""
    document = {"format_version": FORMAT_VERSION, "parts": _PARTS, "index": to_builtins(index)}
    saved = write_json(document).encode("utf-8", "backslashreplace")
    return f"{key.of_bytes(saved)}\n".encode() + saved


def load_index(content: bytes, key: FingerprintKey) -> Index | None:
    """Return the index that `dump_index` saved with this key, or `None` for anything else."""
    code, _, saved = content.partition(b"\n")
    if code.decode("ascii", "replace") != key.of_bytes(saved):
        return None
    document = parse_own(saved)
    is_ours = (document["format_version"], document.get("parts")) == (FORMAT_VERSION, _PARTS)
    return convert(document["index"], Index) if is_ours else None


def _filled(attestation: AttestationIndex, values: Mapping[str, Value]) -> AttestationIndex:
    """Return an attestation with the values that were unknown when it was said."""
    late = {
        name: value
        for name, value in values.items()
        if name in attestation.subject and attestation.subject[name] is None
    }
    return replace(attestation, subject={**attestation.subject, **late}) if late else attestation
