"""A read-only view of a run: the tenant's values, and the state that follows from the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import Settings, secret_of
from runbook_lib.config.workspace import is_sandbox, on_this_machine
from runbook_lib.core.attestation_rules import Subject
from runbook_lib.core.clock import utc_now
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.index import IndexedRun
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import Mode, Value
from runbook_lib.core.procedure import Check, Input, Procedure, Step
from runbook_lib.core.run_state import History, HistoryReader, Polls, RunState, StepState, fold


def known_values(
    procedure: Procedure, earlier: Mapping[str, Value], settings: Settings
) -> dict[str, Value]:
    """Return every known value: given now, else given `earlier`, else the default."""
    inputs = inputs_of(procedure)
    defaults = {item.name: item.default for item in inputs if item.default is not None}
    remembered = {
        name: value
        for name, value in earlier.items()
        if any(item.name == name and not item.secret for item in inputs)
    }
    return {**defaults, **remembered, **settings.values}


@dataclass
class RunView:
    """A read-only view of one tenant's run of a procedure."""

    procedure: Procedure
    """The procedure that the run performs."""
    settings: Settings
    """The values and secrets given now."""
    journal: Journal
    """The tenant's journal."""
    tenant: str
    """The tenant's name."""
    mode: Mode
    """The mode of the run."""
    run_id: str
    """The id of the run; that of a run in the journal joins it."""
    key: FingerprintKey = field(default_factory=FingerprintKey)
    """The key that makes the fingerprints of secrets."""
    reader: HistoryReader | None = None
    """The reader of the journal; `None` for a new one."""
    env_file: Path = Path(".env")
    """The settings file in use, or the one to create."""
    clock: Callable[[], datetime] = utc_now
    """Returns the present time."""
    polls: Polls = field(default_factory=dict)
    """Findings that a watch has confirmed since; they count in `whole_state`."""
    has_exchanges: bool = True
    """Whether `whole_state` has the exchanges of its steps."""

    def __post_init__(self) -> None:
        self._reader = self.reader or HistoryReader(self.journal)
        self._folded: tuple[tuple[object, ...], RunState] | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Every input: the procedure's, then the runner's."""
        return inputs_of(self.procedure)

    @property
    def history_reader(self) -> HistoryReader:
        return self._reader

    @property
    def evidence(self) -> Path:
        """The folder with the evidence of every tenant."""
        return self.journal.path.parents[2]

    @property
    def history(self) -> History:
        """The journal's present content."""
        return self._reader.read()

    @property
    def state(self) -> RunState:
        """
        The present state.

        A headless run counts only its own checks; in the walkthrough all earlier
        checks count.
        """
        return self._state(None if self.mode == Mode.INTERACTIVE else self.run_id, {})

    @property
    def whole_state(self) -> RunState:
        """The state over all runs of this tenant."""
        return self._state(None, self.polls)

    def _state(self, run_id: str | None, polls: Polls) -> RunState:
        history = self.history
        subject = self.subject(history)
        # NOTE: a step asks five times for the same state, which is a third of its cost.
        key = (history.index.last, run_id, subject.values, subject.before, subject.today, polls)
        folded = self._folded
        if folded is None or folded[0] != key:
            earlier = folded[1] if folded else None
            state = fold(history, subject, run_id, earlier, polls, has_exchanges=self.has_exchanges)
            folded = (key, state)
            self._folded = folded
        return folded[1]

    @property
    def last_sealed(self) -> tuple[Path, IndexedRun] | None:
        """The folder of the newest bundle that is there, and its run, or `None`."""
        index = self.history.index
        folder = self.journal.path.parent
        for bundle in reversed(index.sealed):
            if (folder / bundle.sealed.bundle).is_dir():
                return folder / bundle.sealed.bundle, index.runs.get(bundle.run_id, IndexedRun())
        return None

    def undone_by(self, item: Input, text: str) -> list[StepState]:
        """
        Return the steps that are done and would not be if `item` changed to `text`.

        Raises `ValueError` if the text is invalid.
        """
        history = self.history
        if item.secret:
            value: Value = self.key.of_secret(item.name, secret_of(item, text, self.values))
        else:
            value = item.parse(text)
        subject = self.subject(history)
        # The first value undoes nothing, and neither does one that no step is about.
        is_about = any(item.name in step.subject for step in self.procedure.steps)
        known = subject.values.get(item.name)
        if not is_about or not known or known == value:
            return []
        values = {**subject.values, item.name: value}
        changed = replace(subject, values=values, before=history.index.before(values))
        run_id = None if self.mode == Mode.INTERACTIVE else self.run_id
        new_states = fold(history, changed, run_id).steps
        return [
            step
            for name, step in self.state.steps.items()
            if step.is_settled and not new_states[name].is_settled
        ]

    def subject(self, history: History) -> Subject:
        """Return the values that attestations and checks are compared with."""
        recorded = history.index.recorded
        values = known_values(self.procedure, history.index.given, self.settings)
        if history.run(self.run_id) is None:
            # NOTE: a reader (`status`) may be given less than the last run was.
            values = {**values, **recorded, **self.settings.values}
        else:
            values = {**recorded, **values}
        values |= self.fingerprints()
        today = self.clock().date().isoformat()
        return Subject(self.procedure, values, history.index.before(values), today)

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each secret that a result may be bound to, by name."""
        named = self.procedure.fingerprinted
        return {
            name: self.key.of_secret(name, secret)
            for name, secret in self.settings.secrets.items()
            if name in named
        }

    @property
    def values(self) -> dict[str, Value]:
        """Every known value, with the facts that checks of this run found."""
        history = self.history
        # NOTE: a run that has no line yet, such as a look of a watch, has found no fact.
        has_facts = self.mode == Mode.INTERACTIVE or history.run(self.run_id) is not None
        return {
            **known_values(self.procedure, history.index.given, self.settings),
            **(self.state.facts if has_facts else {}),
        }

    @property
    def values_on_record(self) -> dict[str, Value]:
        """Every known value: given now, else as earlier runs recorded it, with all facts."""
        recorded = self.history.index.recorded
        return {
            **known_values(self.procedure, recorded, self.settings),
            **self.whole_state.facts,
        }

    @property
    def link_values(self) -> dict[str, Value]:
        """
        The values that links to pages are made of.

        A practice tenant never gets a link to the real systems: while its sandbox does
        not run, they have no address.
        """
        values = self.values
        if True in self.history.index.practice or is_sandbox(values):
            return on_this_machine(values)
        return values

    @property
    def is_sandbox(self) -> bool:
        """Whether this is a practice run."""
        return is_sandbox(self.values)

    def step(self, step_id: str) -> Step:
        """Return the step called `step_id`; raises `UnknownStepError`."""
        return self.procedure.step(step_id)

    def lacking(self, check: Check, values: Mapping[str, Value] | None = None) -> list[Input]:
        """Return the inputs that `check` needs and was not given; `values` are the known ones."""
        values = self.values if values is None else values
        secrets = self.settings.secrets
        items = {item.name: item for item in self.inputs}
        return [items[name] for name in check.needs if not (values.get(name) or name in secrets)]
