"""A read-only view of a run: the tenant's values, and the state that follows from the journal."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from runbook_lib.config.runner_settings import NOTIFY, inputs_of
from runbook_lib.config.settings import Settings, secret_of
from runbook_lib.config.workspace import is_sandbox, on_this_machine
from runbook_lib.connectors.check_registry import code_digest
from runbook_lib.connectors.registry import package_of
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Binding, Mode, ProcedureName, Value
from runbook_lib.core.procedure import Check, Input, Procedure, Step
from runbook_lib.run.definitions import define_steps
from runbook_lib.run.earlier import EndedResult, PresentCheck, find_earlier
from runbook_lib.run.events import FORMAT, LASTING, EarlierResult, RunStarted
from runbook_lib.run.fold import fold, lines_of
from runbook_lib.run.history import History
from runbook_lib.run.journal import Journal, Line
from runbook_lib.run.state import RunState, StepState

# NOTE: people's addresses are no part of the evidence.
_NOT_RECORDED = frozenset(item.name for item in NOTIFY)
_PACKAGES = ("facebook-marketing-runbook", "papermill", "ipykernel", "httpx")


def known_values(
    procedure: Procedure, earlier: Mapping[str, Value], settings: Settings
) -> dict[str, Value]:
    """Return every known value: given now, else given `earlier`, else the default."""
    inputs = inputs_of(procedure)
    defaults = {item.name: item.default for item in inputs if item.default is not None}
    names = {item.name for item in inputs if not item.secret}
    remembered = {name: value for name, value in earlier.items() if name in names}
    return {**defaults, **remembered, **settings.values}


class SealedRun(NamedTuple):
    """A sealed bundle that is there, and the state of its run."""

    folder: Path
    state: RunState


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
    env_file: Path = Path(".env")
    """The settings file in use, or the one to create."""

    def __post_init__(self) -> None:
        self._history = History()
        self._read = 0
        self._folded: dict[str, tuple[tuple[object, ...], RunState]] = {}
        self._of_run: tuple[str, bool, int, list[Line]] = ("", False, 0, [])

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Every input: the procedure's, then the runner's."""
        return inputs_of(self.procedure)

    @property
    def home(self) -> Path:
        """The folder of the tenant's journal and bundles."""
        return self.journal.path.parent

    @property
    def evidence(self) -> Path:
        """The folder with the evidence of every tenant."""
        return self.home.parents[1]

    @property
    def clock(self) -> Callable[[], datetime]:
        """Returns the present time."""
        return self.journal.clock

    @property
    def history(self) -> History:
        """The journal's present content."""
        lines = self.journal.read_all()
        self._history.add_lines(lines[self._read :])
        self._read = len(lines)
        return self._history

    @property
    def state(self) -> RunState:
        """
        The present state.

        A headless run counts only its own checks; in the walkthrough all earlier
        checks count.
        """
        return self._fold("" if self.mode == Mode.INTERACTIVE else self.run_id)

    @property
    def whole_state(self) -> RunState:
        """The state over all runs of this tenant."""
        return self._fold("")

    def _fold(self, run: str) -> RunState:
        has_begun = run in self.history.runs if run else bool(self.history.runs)
        # NOTE: another process may add lines meanwhile: the state is one of these lines.
        known = self.journal.read_all()
        lines = self._lines_of(run, known, has_begun=has_begun) if run else known
        values = {} if run and has_begun else self.known_subject
        key = (len(known), self._today, values)
        # NOTE: a step asks several times for the same state.
        if run not in self._folded or self._folded[run][0] != key:
            self._folded[run] = key, self._folded_with(values, run, lines, has_begun=has_begun)
        return self._folded[run][1]

    def _lines_of(self, run: str, lines: Sequence[Line], *, has_begun: bool) -> Sequence[Line]:
        """Return those of `lines` that the state of `run` rests on; each is looked at once."""
        name, had_begun, end, kept = self._of_run
        if (name, had_begun) != (run, has_begun):
            kept = [*lines_of(lines, run)]
            end = len(lines)
        else:
            new = lines[end:]
            own = [line for line in new if line.head.run == run or line.head.type in LASTING]
            kept = [*kept, *own]
            end = max(end, len(lines))
        self._of_run = (run, has_begun, end, kept)
        return kept

    def _folded_with(
        self, values: Mapping[str, Value], run: str, lines: Sequence[Line], *, has_begun: bool
    ) -> RunState:
        return fold(
            lines,
            run,
            today=self._today,
            steps=() if run else define_steps(self.procedure),
            values=values,
            beginning=None if has_begun else self.beginning(),
        )

    @property
    def _today(self) -> str:
        """The present day, in UTC."""
        return self.clock().date().isoformat()

    def beginning(self) -> RunStarted:
        """Return the data of this run's first line, with the values that are known now."""
        history = self.history
        secrets = tuple(item.name for item in self.inputs if item.secret)
        values = known_values(self.procedure, history.given, self.settings)
        recorded = {**history.recorded, **values}
        return RunStarted(
            format=FORMAT,
            tenant=self.tenant,
            procedure=ProcedureName(
                id=self.procedure.id,
                version=self.procedure.version,
                digest=self.procedure.digest,
                package=package_of(self.procedure.id),
            ),
            steps=define_steps(self.procedure),
            labels={item.name: item.label for item in self.procedure.settings},
            secrets=secrets,
            unverifiable=self.procedure.unverifiable,
            mode=self.mode,
            sandbox=is_sandbox(values),
            values={
                name: value
                for name, value in recorded.items()
                if name not in secrets and name not in _NOT_RECORDED
            },
            fingerprints={
                **{name: str(recorded[name]) for name in secrets if name in recorded},
                **self.fingerprints(),
            },
            credentials=tuple(sorted(self.settings.secrets)),
            environment=_environment(),
        )

    @property
    def last_sealed(self) -> SealedRun | None:
        """The newest bundle that is there, or `None`."""
        for run, sealed in reversed(self.history.sealed.items()):
            if (self.home / sealed.bundle).is_dir():
                # NOTE: a run that has ended does not change any more.
                if run not in self._folded:
                    self._folded[run] = (), fold(self.journal.read_all(), run)
                return SealedRun(self.home / sealed.bundle, self._folded[run][1])
        return None

    def undone_by(self, item: Input, text: str) -> list[StepState]:
        """
        Return the steps that are done and would not be if `item` changed to `text`.

        Raises `ValueError` if the text is invalid.
        """
        if item.secret:
            value: Value = self.key.of_secret(item.name, secret_of(item, text, self.values))
        else:
            value = item.parse(text)
        # The first value undoes nothing, and neither does one that no step is about.
        is_about = any(item.name in step.subject for step in self.procedure.steps)
        values = self.known_subject
        known = values.get(item.name)
        if not is_about or not known or known == value:
            return []
        run = "" if self.mode == Mode.INTERACTIVE else self.run_id
        after = self._folded_with(
            {**values, item.name: value},
            run,
            self.journal.read_all(),
            has_begun=bool(self.history.runs),
        ).by_id
        return [
            step for step in self.state.steps if step.is_settled and not after[step.id].is_settled
        ]

    @property
    def known_subject(self) -> dict[str, Value]:
        """The values that attestations and checks are compared with; secrets as fingerprints."""
        history = self.history
        values = known_values(self.procedure, history.given, self.settings)
        # NOTE: a reader (`status`) may be given less than the last run was.
        known = values if self.run_id in history.runs else self.settings.values
        return {**values, **history.recorded, **known, **self.fingerprints()}

    def bind(
        self,
        step: Step,
        known: Mapping[str, Value] | None = None,
        *,
        given: Mapping[str, Value | None] | None = None,
        facts: Mapping[str, Value] | None = None,
        needs: Iterable[str] = (),
    ) -> Binding:
        """
        Return the binding of a result or an attestation about `step` to the values known now.

        `known` are the values at an earlier moment. `given` overrides values, and adds names that
        the step does not bind. `needs` are names that performed checks with a side effect need;
        `facts` are what they found.
        """
        values = {
            **(self.known_subject if known is None else known),
            **(facts or {}),
            **(given or {}),
        }
        names = dict.fromkeys((*step.subject, *needs, *(given or {})))
        return Binding(
            connector=self.procedure.id,
            checks=step.check_ids,
            subject={name: values.get(name) or None for name in names},
        )

    def find_earlier(self, step: Step, check: Check) -> EarlierResult | EndedResult | None:
        """Return the earlier result of `check`, or why it does not count; `None` without one."""
        known = self.history.runs.get(self.run_id)
        digest = code_digest(check)
        if not digest:
            return None
        # NOTE: a value that was emptied is as last recorded, like one that is not given.
        given = {name: value for name, value in self.known_subject.items() if value not in ("", ())}
        values = {**self.history.recorded, **given}
        present = PresentCheck(
            id=check.id,
            step=step.id,
            values=self.bind(step, values, needs=needs_of(self.procedure, [check])).subject,
            code_digest=digest,
            days=step.recheck_days,
        )
        beginning = known.started if known else self.beginning()
        return find_earlier(
            self.journal.read_all(), present, beginning.steps, beginning.labels, self.clock()
        )

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
        has_facts = self.mode == Mode.INTERACTIVE or self.run_id in history.runs
        return {
            **known_values(self.procedure, history.given, self.settings),
            **(self.state.facts if has_facts else {}),
        }

    @property
    def values_on_record(self) -> dict[str, Value]:
        """Every known value: given now, else as earlier runs recorded it, with all facts."""
        return {
            **known_values(self.procedure, self.history.recorded, self.settings),
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
        if True in self.history.practice or is_sandbox(values):
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


def needs_of(procedure: Procedure, checks: Iterable[Check]) -> tuple[str, ...]:
    """
    Return the names of the values that results of `checks` with a side effect are about.

    A switch that only permits a check is left out.
    """
    switches = {item.name for item in procedure.inputs if item.default is False}
    return tuple(
        name
        for check in checks
        for name in check.needs
        if name not in switches.intersection(check.allowed_by)
    )


@cache
def _environment() -> Mapping[str, str]:
    from importlib.metadata import version  # noqa: PLC0415  (slow to import)

    packages = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "platform": platform.system(), **packages}
