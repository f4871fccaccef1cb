"""
What a notebook's cells call: open the run, show a step, finish.

Headless, a step is performed when its cell runs. In JupyterLab a cell shows
the step's panel. The kernel's environment decides which of the two.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.config.runner_inputs import inputs_of
from runbook_lib.config.settings import own_setting
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.run_lock import run_lock
from runbook_lib.engine.check_runner import StepsUnderWay
from runbook_lib.engine.kernel_environment import WITHHELD
from runbook_lib.engine.run import RESERVED, Run, load_settings
from runbook_lib.engine.run import open_run as open_plain_run
from runbook_lib.engine.tenants import chosen_tenant
from runbook_lib.errors import SettingsError, StepFailedError
from runbook_lib.notebook import rendering
from runbook_lib.notebook.results import MimeBundle, ShownStep, StepTable, step_line, step_table

if TYPE_CHECKING:
    from runbook_lib.walkthrough.controller import Walkthrough

_FROM_ENVIRONMENT = ("tenant", "evidence", "env_file")

# JupyterLab puts it into the environment of the kernels that it starts (jupyter_server).
_SESSION_VARIABLE = "JPY_SESSION_NAME"
# voila puts it there, as a CGI server would (RFC 3875 §4.1.17).
_SERVER_VARIABLE = "SERVER_SOFTWARE"
_NOT_PARAMETERS = ("In", "Out")
_NOT_SEALED = "Not sealed. To check again and seal the evidence: runbook run --tenant {tenant}"

# The locks of this kernel, by the folder of the journal, and its newest walkthroughs.
_locks: dict[Path, ExitStack] = {}
_walkthroughs: dict[Path, Walkthrough] = {}


@atexit.register
def _release_locks() -> None:
    """Release the locks while Python still has its modules."""
    for lock in _locks.values():
        lock.close()


class _StepsOfRun:
    """What a notebook's own code reads of a run; see `results`."""

    run: Run

    @property
    def steps(self) -> StepTable:
        """Return a line for each step."""
        return step_table(self.run.state)

    def summary(self) -> MimeBundle:
        """Show all steps."""
        return MimeBundle(rendering.summary_bundle(self.run.state, is_sandbox=self.run.is_sandbox))


class InteractiveRun(_StepsOfRun):
    """A run as a notebook in JupyterLab sees it: every cell shows a panel."""

    def __init__(self, run: Run) -> None:
        from runbook_lib.walkthrough.controller import Walkthrough  # noqa: PLC0415

        self.run, self.walkthrough = run, Walkthrough(run)
        # NOTE: who loads the page again, or opens another, has typed their credentials already.
        home = run.journal.path.parent
        if home in _walkthroughs:
            self.walkthrough.take_over(_walkthroughs[home])
        _walkthroughs[home] = self.walkthrough
        self.walkthrough.start()

    def header(self) -> Any:
        """Show the header, which stays visible."""
        from runbook_lib.walkthrough.widgets import HeaderPanel  # noqa: PLC0415

        return HeaderPanel(self.walkthrough)

    def step(self, step_id: str) -> Any:
        """Show the step's panel."""
        from runbook_lib.walkthrough.widgets import StepPanel  # noqa: PLC0415

        return StepPanel(self.walkthrough, self.walkthrough.run.step(step_id))

    def finish(self) -> Any:
        """Show what is done, what is open, and how to seal the evidence."""
        from runbook_lib.walkthrough.widgets import FinishPanel  # noqa: PLC0415

        return FinishPanel(self.walkthrough)


@dataclass(frozen=True, slots=True)
class HeadlessRun(_StepsOfRun):
    """
    A run as a notebook under papermill sees it: one look, begun with the run.

    `lock` makes other runs wait, if the run began here; a run that another
    process began has none.
    """

    run: Run
    look: StepsUnderWay
    lock: ExitStack | None = None

    def header(self) -> MimeBundle:
        """Show the tenant and the run, and whether it is practice."""
        return MimeBundle(
            rendering.header_bundle(
                self.run.procedure.title,
                tenant=self.run.tenant,
                run_id=self.run.run_id,
                mode=self.run.mode,
                is_sandbox=self.run.is_sandbox,
            )
        )

    def step(self, step_id: str) -> ShownStep:
        """Perform the step and show what follows."""
        state = self.run.perform(step_id, self.look)
        bundle = rendering.step_bundle(state, self.run.link_values, is_sandbox=self.run.is_sandbox)
        return ShownStep(bundle, step_line(state))

    def finish(self) -> MimeBundle:
        """
        Show all steps together.

        A run that began here ends here, unsealed: raises `StepFailedError` if a step
        failed, since papermill's exit code shows nothing else.
        """
        self.look.wait()
        self.run.finish_notebook()
        self.run.close()
        state, end = self.run.state, ""
        if self.lock is not None:
            end = _NOT_SEALED.format(tenant=self.run.tenant)
            self.run.finish()
            self.lock.close()
            failed = [
                step_id
                for step_id, step in state.steps.items()
                if step.conclusion.outcome is Outcome.FAILED
            ]
            if failed:
                msg = f"Failed: {', '.join(failed)}. {end}"
                raise StepFailedError(msg)
        return MimeBundle(rendering.summary_bundle(state, is_sandbox=self.run.is_sandbox, end=end))


def open_run(namespace: Mapping[str, Any], connector: str) -> InteractiveRun | HeadlessRun:
    """
    Open the run that a notebook's parameters describe; the notebook calls it with `globals()`.

    Raises `SettingsError` for an unknown, missing or wrongly typed parameter.
    """
    procedure = find_procedure(connector)
    own = {name: _own(namespace, name) for name in RESERVED}
    for name in ("tenant", "evidence"):
        own[name] = own[name] or own_setting(name, own["env_file"])
    try:
        mode = Mode(own["mode"] or detected_mode())
    except ValueError:
        msg = f"mode takes {Mode.INTERACTIVE} or {Mode.HEADLESS}, not {own['mode']!r}."
        raise SettingsError(msg) from None
    given = _given(namespace, procedure, refuse_unknown=mode != Mode.INTERACTIVE)
    if mode == Mode.INTERACTIVE and not own["tenant"]:
        settings = load_settings(
            procedure, given=given, env_file=own["env_file"], withheld=WITHHELD
        )
        own["tenant"] = chosen_tenant(settings, own["evidence"], _ask)
    run = open_plain_run(
        procedure,
        given,
        mode=mode,
        tenant=own["tenant"],
        evidence=own["evidence"],
        env_file=own["env_file"],
        run_id=own["run_id"],
        withheld=WITHHELD,
    )
    if mode == Mode.INTERACTIVE:
        run.start()
        return InteractiveRun(run)
    run.require_startable()
    lock = None
    if not own["run_id"]:
        # Wait for another headless run of this tenant to end, and make others wait.
        home, seconds = run.journal.path.parent, int(str(run.values["queue_seconds"]))
        # NOTE: when a person executes the cell again, this kernel must not wait for itself.
        _locks.pop(home, ExitStack()).close()
        lock = _locks[home] = ExitStack()
        lock.enter_context(run_lock(home, seconds=seconds, on_wait=print))
    run.start()
    return HeadlessRun(run, run.begin_look(procedure.steps), lock)


def _ask(question: str) -> str:
    """Return a person's answer below the cell; raises `EOFError` if nobody can answer."""
    try:
        return input(f"{question}: ")
    except (NotImplementedError, OSError):  # voila, say, shows no field
        raise EOFError from None


def detected_mode() -> Mode:
    """Return interactive if a person uses the kernel (JupyterLab, voila), else headless."""
    is_voila = os.environ.get(_SERVER_VARIABLE, "").startswith("voila")
    return Mode.INTERACTIVE if is_voila or os.environ.get(_SESSION_VARIABLE) else Mode.HEADLESS


def _own(namespace: Mapping[str, Any], name: str) -> str:
    """Return a parameter of the run itself, from the notebook, else from the environment."""
    variable = os.environ.get(f"RUNBOOK_{name.upper()}", "") if name in _FROM_ENVIRONMENT else ""
    value = namespace.get(name) or variable
    if not isinstance(value, str):
        msg = f"{name} takes a text, not {type(value).__name__}."
        raise SettingsError(msg)
    return value


def _given(
    namespace: Mapping[str, Any], procedure: Procedure, *, refuse_unknown: bool
) -> dict[str, Any]:
    """Return the parameters among the notebook's variables; papermill only warns of others."""
    inputs = {item.name for item in inputs_of(procedure)}
    names = [
        name
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in (*RESERVED, *_NOT_PARAMETERS)
        and isinstance(value, str | int | float | list | tuple | dict)
    ]
    if not refuse_unknown:
        names = [name for name in names if name in inputs]
    return {name: namespace[name] for name in names}
