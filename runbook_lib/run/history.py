"""The content of a journal beside the states of steps: runs, values, credentials, bundles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from runbook_lib.core.model import Attestation, Exchange, Mode, Note, Value
from runbook_lib.run.events import (
    BundleSealed,
    RunFinished,
    RunStarted,
    StepChecked,
    ValuesGiven,
    ValuesJudged,
)
from runbook_lib.run.journal import Line


@dataclass
class KnownRun:
    """A run in the journal."""

    started: RunStarted
    """The data of its first line."""

    started_on: str
    """Time of its beginning, in UTC."""

    finished_on: str = ""
    """Time of its end; empty until then."""


@dataclass
class History:
    """The content of a journal's lines; people's statements and checks are the fold's."""

    given: dict[str, Value] = field(default_factory=dict)
    """The newest value of each name that later runs use, too."""

    recorded: dict[str, Value] = field(default_factory=dict)
    """The newest recorded value of each name; a secret's fingerprint."""

    replaced: dict[str, Value] = field(default_factory=dict)
    """The last value before the recorded one that was not refused, by name."""

    accepted: dict[str, Value] = field(default_factory=dict)
    """The newest value that the remote system named as its own, by name."""

    refused: set[tuple[str, Value]] = field(default_factory=set)
    """Name and value that the remote system refuses."""

    unknown: set[str] = field(default_factory=set)
    """Names whose value an attestation lacked since the remote system last named it."""

    fingerprints: set[str] = field(default_factory=set)
    """Every fingerprint of a secret."""

    credentials: dict[str, str] = field(default_factory=dict)
    """Name of each saved credential → its reference."""

    remembered: int = 0
    """Number of lines that save or forget a credential."""

    entries: set[str] = field(default_factory=set)
    """SHA-256 of each entry of an attestations file that was read so far."""

    links: set[str] = field(default_factory=set)
    """Digest of each used link for a second person."""

    runs: dict[str, KnownRun] = field(default_factory=dict)
    """The runs by id, oldest first."""

    sealed: dict[str, BundleSealed] = field(default_factory=dict)
    """The announced bundle of each run, oldest first."""

    def add_lines(self, lines: Iterable[Line]) -> None:
        """Add the content of further lines."""
        for line in lines:
            self._add_line(line)

    def _add_line(self, line: Line) -> None:
        if line.kind in (Exchange, StepChecked):
            return
        event = line.event
        match event:
            case RunStarted():
                self.runs.setdefault(line.head.run, KnownRun(event, line.head.at))
                self._record(event)
            case ValuesGiven():
                self._record(event)
                if event.is_kept:
                    self.given |= event.values
                self.remembered += len(event.saved)
                for name, reference in event.saved.items():
                    self.credentials[name] = reference
                    if not reference:
                        del self.credentials[name]
            case RunFinished() if run := self.runs.get(line.head.run):
                run.finished_on = run.finished_on or line.head.at
            case ValuesJudged():
                self.accepted |= event.accepted
                self.unknown -= event.accepted.keys()
                self.refused |= set(event.refused.items())
                self.refused -= set(event.accepted.items())
            case Attestation():
                self.entries |= {event.entry} - {""}
                self.links |= {event.link} - {""}
                subject = event.binding.subject
                self.unknown |= {name for name in subject if subject[name] is None}
            case Note():
                self.entries |= {event.entry} - {""}
            case BundleSealed():
                self.sealed[line.head.run] = event

    def _record(self, event: RunStarted | ValuesGiven) -> None:
        values = {name: value for name, value in event.values.items() if value}
        for name, value in {**values, **event.fingerprints}.items():
            earlier = self.recorded.get(name)
            if earlier not in (None, value) and (name, earlier) not in self.refused:
                self.replaced[name] = earlier
            self.recorded[name] = value
        self.fingerprints.update(event.fingerprints.values())

    def earlier_values(self, name: str) -> list[Value]:
        """Return the values of a name that nobody refuses, the best known first."""
        sources = (self.accepted, self.recorded, self.replaced)
        known = [source[name] for source in sources if name in source]
        return [value for value in known if (name, value) not in self.refused]

    def is_news(self, name: str, value: Value) -> bool:
        """Return whether an accepted value says something new."""
        is_known = self.accepted.get(name) == value and name not in self.unknown
        return not is_known or (name, value) in self.refused

    @property
    def practice(self) -> set[bool]:
        """Whether runs asked the sandbox: one value, or both."""
        return {run.started.sandbox for run in self.runs.values()}

    @property
    def last_run(self) -> str:
        """The id of the newest run; empty without one."""
        return next(reversed(self.runs), "")

    @property
    def unfinished_run(self) -> str:
        """The id of the newest run if it never finished; else empty."""
        last = self.last_run
        return last if last and not self.runs[last].finished_on else ""

    @property
    def cut_off_run(self) -> str:
        """
        The id of the newest run without people if it never finished; else empty.

        For a caller that holds the lock of headless runs, that run was killed.
        """
        for name, run in reversed(self.runs.items()):
            if run.started.mode is not Mode.INTERACTIVE:
                return "" if run.finished_on else name
        return ""
