"""
A journal of format 14, as lines of `runbook_lib.run`.

Until the second fold replaces the first, a test folds one journal by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from runbook_lib.core import model
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.index import JournalIndex
from runbook_lib.core.journal import JournalLine, LineRef
from runbook_lib.core.model import Finding, JournalEntry, ModelStruct, Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.run import events
from runbook_lib.run.definitions import define_steps
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import GENESIS, Line, LineHead, digest_of, encode_event


@dataclass
class LineWriter:
    """Makes lines that follow each other, without a file."""

    lines: list[Line] = field(default_factory=list)

    def write(self, event: ModelStruct, at: str, run: str = "", step: str = "") -> int:
        """Add the line of an event, and return its number."""
        data = encode_event(event)
        head = LineHead(
            seq=len(self.lines) + 1,
            at=at,
            type=events.TYPES[type(event)],
            run=run,
            step=step,
            sha256=digest_of(data),
            prev=self.lines[-1].digest if self.lines else GENESIS,
        )
        self.lines.append(Line(head, data))
        return head.seq


def converted_lines(entries: Sequence[JournalEntry], procedure: Procedure) -> list[Line]:
    """Return the lines of a journal that has the content of `entries`."""
    converter = _Converter(procedure, entries)
    for entry in entries:
        converter.convert(entry)
    return converter.writer.lines


class _Converter:
    def __init__(self, procedure: Procedure, entries: Sequence[JournalEntry]) -> None:
        self.writer = LineWriter()
        self._procedure = procedure
        self._entries = entries
        self._index = JournalIndex()
        # The number of each old line's first new one.
        self._numbers: dict[int, int] = {}
        self._exchanges: dict[int, model.Exchange] = {}

    def convert(self, entry: JournalEntry) -> None:
        """Add the lines that say the same as `entry`."""
        event = self._event(entry)
        before = self._index
        ref = LineRef(entry.seq, "", 0, 0)
        self._index = before.fold([JournalLine(entry, ref)])
        if event is not None:
            number = self.writer.write(event, entry.at, entry.run_id, entry.step)
            self._numbers[entry.seq] = number
        if isinstance(entry.data, model.StepChecked):
            verdicts = self._verdicts(entry.data.findings, entry.data.binding.subject, before)
            if verdicts.accepted or verdicts.refused:
                self.writer.write(verdicts, entry.at, entry.run_id)

    def _event(self, entry: JournalEntry) -> ModelStruct | None:
        data = entry.data
        match data:
            case model.RunStarted():
                return self._started(entry)
            case model.RunJoined():
                return events.ValuesGiven(values=data.parameters, fingerprints=data.fingerprints)
            case model.RunFinished():
                return events.RunFinished(environment=data.environment)
            case model.Exchange():
                self._exchanges[entry.seq] = data
                return data
            case model.StepChecked():
                return self._checked(data)
            case model.AttestationDetails():
                return _attestation(entry)
            case model.StepAssigned():
                return events.Note(by=data.by, at=data.at, note=data.note, to=data.to, due=data.due)
            case model.StepCommented():
                return events.Note(by=data.by, at=data.at, note=data.note)
            case model.InputGiven():
                return events.ValuesGiven(values={data.name: data.value})
            case model.CredentialGiven():
                return events.ValuesGiven(fingerprints={data.name: data.fingerprint})
            case model.CredentialSaved():
                return events.ValuesGiven(saved={data.name: data.reference})
            case model.ChangeIntended():
                return events.ChangeIntended(change=data.change)
        return None

    def _started(self, entry: JournalEntry) -> events.RunStarted:
        data: model.RunStarted = entry.data
        inputs = self._procedure.settings
        secrets = tuple(item.name for item in inputs if item.secret)
        recorded = self._index.recorded
        waiting = {}
        if any(line.head.type == "run.started" for line in self.writer.lines):
            known = fold(self.writer.lines, today=entry.at[:10])
            waiting = {
                step.id: step.waiting_since
                for step in known.steps
                if step.waiting_since and not step.by_person
            }
        earlier = {}
        for later in self._entries:
            if later.run_id == entry.run_id and isinstance(later.data, model.StepChecked):
                for result in later.data.carried:
                    line = self._numbers[result.line]
                    earlier[result.check] = events.EarlierResult(line=line, until=result.until)
        return events.RunStarted(
            format=events.FORMAT,
            tenant=data.tenant,
            procedure=data.procedure,
            steps=define_steps(self._procedure),
            labels={item.name: item.label for item in inputs},
            secrets=secrets,
            mode=data.mode,
            sandbox=data.sandbox,
            values={
                **{name: value for name, value in recorded.items() if name not in secrets},
                **data.parameters,
            },
            fingerprints={
                **{name: str(value) for name, value in recorded.items() if name in secrets},
                **data.fingerprints,
            },
            credentials=data.credentials,
            environment=data.environment,
            resumes=data.resumes,
            earlier=earlier,
            waiting=waiting,
            fleet_run=data.fleet_run,
            not_run=data.not_run,
        )

    def _checked(self, data: model.StepChecked) -> events.StepChecked:
        providers = self._procedure.providers
        findings = tuple(
            structs.replace(
                finding, exchanges=tuple(self._numbers[number] for number in finding.exchanges)
            )
            for finding in data.findings
        )
        return events.StepChecked(
            findings=findings,
            binding=_binding(data.binding),
            unchecked=data.unchecked,
            automatic=data.automatic,
            code_digests={basis.check: basis.code_digest for basis in data.bases},
            faults=tuple(
                finding.check
                for finding in data.findings
                if shows_fault(finding, map(self._exchanges.get, finding.exchanges), providers)
            ),
        )

    @staticmethod
    def _verdicts(
        findings: Iterable[Finding], subject: dict[str, Value | None], known: JournalIndex
    ) -> events.ValuesJudged:
        """Return the values that the findings newly accept or refuse."""
        accepted: dict[str, Value] = {}
        refused: dict[str, Value] = {}
        for finding in findings:
            for name in finding.refuses:
                if value := subject.get(name):
                    refused[name] = value
        for finding in findings:
            for name in finding.accepts:
                if value := subject.get(name):
                    accepted[name] = value
        before: dict[str, Value] = {}
        for name, value in refused.items():
            sources = (known.confirmed, known.recorded, known.replaced)
            earlier = [source[name] for source in sources if name in source]
            usable = [
                other
                for other in earlier
                if other != value and other not in known.refused.get(name, ())
            ]
            if usable:
                before[name] = usable[0]
        return events.ValuesJudged(accepted=accepted, refused=refused, before=before)


def _binding(binding: model.Binding) -> events.Binding:
    return events.Binding(
        connector=binding.connector, checks=binding.checks, subject=binding.subject
    )


def _attestation(entry: JournalEntry) -> events.Attestation:
    data: model.AttestationDetails = entry.data
    return events.Attestation(
        kind=model.AttestationKind(entry.type.removeprefix("step.")),
        by=data.by,
        at=data.at,
        sentence=data.sentence,
        binding=_binding(data.binding),
        note=data.note,
        seen=data.seen,
        due=data.due,
        until=data.until,
        second_person_sentence=data.second_person_sentence,
        attachments=data.attachments,
        origin=data.origin,
        entry=data.entry,
        login=data.login,
        link=data.link,
    )
