"""
The calls of a notebook's cells: open the run, show a step, finish.

Headless, a step is performed when its cell runs. In JupyterLab a cell shows
the step's panel. The kernel's environment decides which of the two. Where nothing
names the tenant, the header asks for it, and the panels follow the answer.
"""

from __future__ import annotations

import atexit
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import uuid4

from IPython.core.getipython import get_ipython
from IPython.display import display, update_display

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import own_setting
from runbook_lib.connectors.registry import DEFAULT, find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.run_lock import run_lock
from runbook_lib.engine.check_runner import RunningChecks
from runbook_lib.engine.kernel_environment import WITHHELD
from runbook_lib.engine.tenant_names import TenantQuestion, configured_tenant
from runbook_lib.engine.tenant_run import RESERVED, Run, load_settings
from runbook_lib.engine.tenant_run import open_run as open_plain_run
from runbook_lib.errors import SettingsError, StepFailedError
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.evidence.reports.step_table import StepTable, step_line, step_table
from runbook_lib.notebook import rendering
from runbook_lib.notebook.shown_step import MimeBundle, ShownStep

if TYPE_CHECKING:
    from runbook_lib.walkthrough.controller import Walkthrough
    from runbook_lib.walkthrough.widgets import FinishPanel, HeaderPanel, StepPanel

    # The result of a cell's call, which JupyterLab and papermill display.
    StepOutput: TypeAlias = "StepPanel | PendingPanel | ShownStep"
    CellOutput: TypeAlias = "HeaderPanel | FinishPanel | PendingPanel | MimeBundle"

_Panel = TypeVar("_Panel")

_FROM_ENVIRONMENT = ("tenant", "evidence", "env_file")

# JupyterLab puts it into the environment of the kernels that it starts (jupyter_server).
_SESSION_VARIABLE = "JPY_SESSION_NAME"
# voila puts it there, as a CGI server would (RFC 3875 §4.1.17).
_SERVER_VARIABLE = "SERVER_SOFTWARE"
_NOT_PARAMETERS = ("In", "Out")
_ANSWER_FIRST = "Answer the question at the top of the notebook first."
_NOT_SEALED = "Not sealed. To check again and seal the evidence: runbook run --tenant {tenant}"

# The locks of this kernel, by the folder of the journal, and its newest walkthroughs.
_locks: dict[Path, ExitStack] = {}
_walkthroughs: dict[Path, Walkthrough] = {}


@atexit.register
def _release_locks() -> None:
    """Release the locks while Python still has its modules."""
    for lock in _locks.values():
        lock.close()


class NotebookRun(ABC):
    """
    A run as a notebook's cells use it: interactive, pending until a tenant is named, or headless.

    Each cell displays what its call returns; `steps` is for a notebook's own code.
    """

    @property
    @abstractmethod
    def run(self) -> Run:
        """The run itself; raises `SettingsError` while no tenant is named."""

    @property
    def steps(self) -> StepTable:
        """A line for each step, as they stand now; the table says when that was."""
        run = self.run
        practice = "SANDBOX · " if run.is_sandbox else ""
        at = with_times(timestamp(run.clock()))
        return step_table(run.state, f"{practice}tenant {run.tenant} · the steps at {at} UTC")

    @abstractmethod
    def header(self) -> CellOutput:
        """Show the tenant and the run."""

    @abstractmethod
    def step(self, step_id: str) -> StepOutput:
        """Show the step; headless, perform it first. Raises `UnknownStepError`."""

    @abstractmethod
    def finish(self) -> CellOutput:
        """Show how many steps are done, and end a headless run that began in this notebook."""


class InteractiveRun(NotebookRun):
    """A run as a notebook in JupyterLab sees it: every cell shows a panel."""

    def __init__(self, run: Run) -> None:
        from runbook_lib.walkthrough.controller import Walkthrough  # noqa: PLC0415

        self._run = run
        self.walkthrough = Walkthrough(run)
        # NOTE: a person who reloads the page, or opens another, keeps the typed credentials.
        home = run.journal.path.parent
        if home in _walkthroughs:
            self.walkthrough.adopt_credentials(_walkthroughs[home])
        _walkthroughs[home] = self.walkthrough
        self.walkthrough.start()

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def header(self) -> HeaderPanel:
        """Show the header, which stays visible."""
        from runbook_lib.walkthrough.widgets import HeaderPanel  # noqa: PLC0415

        return HeaderPanel(self.walkthrough)

    def step(self, step_id: str) -> StepPanel:
        """Show the step's panel."""
        from runbook_lib.walkthrough.widgets import StepPanel  # noqa: PLC0415

        return StepPanel(self.walkthrough, self.walkthrough.run.step(step_id))

    def finish(self) -> FinishPanel:
        """Show the done and open steps, and how to seal the evidence."""
        from runbook_lib.walkthrough.widgets import FinishPanel  # noqa: PLC0415

        return FinishPanel(self.walkthrough)


class PendingPanel:
    """
    The output of a cell until the run is open; then the run's panel takes its place.

    A new output under the same display id replaces all of the old one, also what identifies the
    panel when the notebook is saved.
    """

    def __init__(self, content: object, panel_of: Callable[[InteractiveRun], object]) -> None:
        self._content = content
        self._panel_of = panel_of
        self._display_id = uuid4().hex

    def _ipython_display_(self) -> None:
        display(self._content, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def show_panel(self, run: InteractiveRun) -> None:
        """Show the run's panel where this is shown."""
        panel = self._panel_of(run)
        update_display(panel, display_id=self._display_id)  # type: ignore[no-untyped-call]


class PendingRun(NotebookRun):
    """
    A run in JupyterLab whose tenant nothing names: the header asks for it.

    NOTE: a kernel receives what a person does in a panel only between two cells, so no cell waits
    for the answer. Each shows something else until then.
    """

    def __init__(
        self,
        procedure: Procedure,
        question: TenantQuestion,
        open_tenant: Callable[[str], InteractiveRun],
    ) -> None:
        self._procedure = procedure
        self._question = question
        self._open_tenant = open_tenant
        self._opened: InteractiveRun | None = None
        self._pending: dict[str, PendingPanel] = {}

    @property
    def run(self) -> Run:
        """The run, once it is open; before, this raises `SettingsError`."""
        return self._require_opened().run

    @property
    def steps(self) -> StepTable:
        """A line for each step; none until the run is open."""
        return self._opened.steps if self._opened else StepTable()

    def header(self) -> CellOutput:
        """Show the question, then the header."""
        from runbook_lib.walkthrough.widgets import TenantPanel  # noqa: PLC0415

        question = TenantPanel(self._question, self._procedure.id, self._open)
        return self._show("header", question, InteractiveRun.header)

    def step(self, step_id: str) -> StepOutput:
        """Show the step's panel once the run is open; raises `UnknownStepError`."""
        self._procedure.step(step_id)
        return self._show(step_id, _answer_first(), lambda run: run.step(step_id))

    def finish(self) -> CellOutput:
        """Show the notebook's end once the run is open."""
        return self._show("finish", _answer_first(), InteractiveRun.finish)

    def _show(
        self, part: str, content: object, panel_of: Callable[[InteractiveRun], _Panel]
    ) -> _Panel | PendingPanel:
        if self._opened is not None:
            return panel_of(self._opened)
        # A cell that runs again replaces what it showed.
        self._pending[part] = PendingPanel(content, panel_of)
        return self._pending[part]

    def _open(self, tenant: str) -> None:
        """Open the tenant's run, and show its panels; raises what opening a run raises."""
        if self._opened is not None:
            return
        self._opened = self._open_tenant(tenant)
        for pending in self._pending.values():
            pending.show_panel(self._opened)

    def _require_opened(self) -> InteractiveRun:
        if self._opened is None:
            raise SettingsError("No tenant is named yet.", next_step=_ANSWER_FIRST)
        return self._opened


def _answer_first() -> MimeBundle:
    return MimeBundle({"text/markdown": _ANSWER_FIRST, "text/plain": _ANSWER_FIRST})


@dataclass(frozen=True, slots=True)
class HeadlessRun(NotebookRun):
    """
    A run as a notebook under papermill sees it: one snapshot, begun with the run.

    `lock` makes other runs wait, if the run began here; a run that another
    process began has none.
    """

    run: Run = field()  # the property of `NotebookRun` is no default
    under_way: RunningChecks
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
        state = self.run.perform(step_id, self.under_way)
        bundle = rendering.step_bundle(
            self.run.state,
            self.run.step(step_id),
            self.run.link_values,
            is_sandbox=self.run.is_sandbox,
        )
        return ShownStep(bundle, step_line(state))

    def finish(self) -> MimeBundle:
        """
        Show the number of steps by outcome, and what to do next.

        A run that began here ends here, unsealed: shows the table of steps and raises
        `StepFailedError` if a step failed, since papermill's exit code shows nothing else.
        """
        self.under_way.wait()
        self.run.close()
        state = self.run.state
        end = ""
        if self.lock is not None:
            end = _NOT_SEALED.format(tenant=self.run.tenant)
            self.run.finish()
            self.lock.close()
            failed = [step.id for step in state.steps if step.outcome is Outcome.FAILED]
            if failed:
                # The cells below this one are not executed.
                display(self.steps)  # type: ignore[no-untyped-call]
                raise StepFailedError(f"Failed: {', '.join(failed)}. {end}")
        return MimeBundle(rendering.end_bundle(state, is_sandbox=self.run.is_sandbox, end=end))


def open_run(
    connector: str = DEFAULT, parameters: Mapping[str, Any] | None = None, **values: Any
) -> NotebookRun:
    """
    Open a run of the procedure of `connector`, to check its steps one by one.

    `parameters` are settings by name, such as a notebook's `globals()`, and `values` are further
    ones, such as `tenant="acme"`; other settings come from the environment and `.env`. In
    JupyterLab each step shows a panel, and a run without a tenant is pending until a person names
    one. Raises `SettingsError` for an unknown, missing or wrongly typed parameter.
    """
    namespace = {**(parameters or {}), **values}
    procedure = find_procedure(connector)
    own = {name: _own(namespace, name) for name in RESERVED}
    for name in ("tenant", "evidence"):
        own[name] = own[name] or own_setting(name, own["env_file"])
    try:
        mode = Mode(own["mode"] or detected_mode())
    except ValueError:
        raise SettingsError(
            f"mode takes {Mode.INTERACTIVE} or {Mode.HEADLESS}, not {own['mode']!r}."
        ) from None
    given = _given(namespace, procedure, refuse_unknown=mode != Mode.INTERACTIVE)

    def open_tenant(tenant: str) -> Run:
        return open_plain_run(
            procedure,
            given,
            mode=mode,
            tenant=tenant,
            evidence=own["evidence"],
            env_file=own["env_file"],
            run_id=own["run_id"],
            withheld=WITHHELD,
        )

    def open_interactive(tenant: str) -> InteractiveRun:
        run = open_tenant(tenant)
        run.start()
        return InteractiveRun(run)

    if mode == Mode.INTERACTIVE:
        if own["tenant"]:
            return open_interactive(own["tenant"])
        settings = load_settings(
            procedure, given=given, env_file=own["env_file"], withheld=WITHHELD
        )
        named = configured_tenant(settings)
        if named:
            return open_interactive(named)
        question = TenantQuestion(settings, own["evidence"])
        if not _takes_answers():
            raise question.refusal()
        return PendingRun(procedure, question, open_interactive)
    run = open_tenant(own["tenant"])
    run.require_startable()
    lock = None
    if not own["run_id"]:
        # Wait for another headless run of this tenant to end, and make others wait.
        home = run.journal.path.parent
        seconds = int(str(run.values["queue_seconds"]))
        # NOTE: when a person executes the cell again, this kernel must not wait for itself.
        _locks.pop(home, ExitStack()).close()
        lock = _locks[home] = ExitStack()
        lock.enter_context(run_lock(home, seconds=seconds, on_wait=print))
    run.start(rechecks=given)
    return HeadlessRun(run, run.start_snapshot(procedure.steps), lock)


def detected_mode() -> Mode:
    """Return interactive if a person uses the kernel (JupyterLab, voila), else headless."""
    is_voila = os.environ.get(_SERVER_VARIABLE, "").startswith("voila")
    return Mode.INTERACTIVE if is_voila or os.environ.get(_SESSION_VARIABLE) else Mode.HEADLESS


def _takes_answers() -> bool:
    """
    Return whether a person can answer the program that executes this cell.

    NOTE: it says so by `allow_stdin` (https://jupyter-client.readthedocs.io/en/stable/messaging.html).
    papermill and voila, which show no output that comes later, do not.
    """
    # Without a kernel nobody asked for the cell.
    get_request = getattr(get_ipython(), "get_parent", None)
    if get_request is None:
        return False
    return bool(get_request().get("content", {}).get("allow_stdin"))


def _own(namespace: Mapping[str, Any], name: str) -> str:
    """Return a parameter of the run itself, from the notebook, else from the environment."""
    variable = os.environ.get(f"RUNBOOK_{name.upper()}", "") if name in _FROM_ENVIRONMENT else ""
    value = namespace.get(name) or variable
    if not isinstance(value, str):
        raise SettingsError(f"{name} takes a text, not {type(value).__name__}.")
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
