"""
The panels of one kernel, drawn from the journal and the panel statuses.

`views` makes the content; the browser scripts draw it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

from runbook_lib.config.workspace import LAB_COMMAND
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import package_of
from runbook_lib.engine.tenant_names import list_some_names, tenant_names
from runbook_lib.engine.tenant_run import Run, logged_in
from runbook_lib.errors import describe_error
from runbook_lib.evidence.reports.phrases import when
from runbook_lib.run.advice import blockers_by_step, is_checkable, next_step, rejected_inputs
from runbook_lib.run.journal import Line
from runbook_lib.text import as_text
from runbook_lib.walkthrough.check_all import find_missing_inputs
from runbook_lib.walkthrough.checklist import ChecklistFile
from runbook_lib.walkthrough.credentials import SavedCredentials
from runbook_lib.walkthrough.panel_status import PanelStatuses
from runbook_lib.walkthrough.views import (
    STRUCTURE,
    PanelContext,
    finish_view,
    header_view,
    is_current,
    line_view,
    screen_view,
    seen_on,
    step_view,
)

# Kinds of lines that a step's history leaves out.
_NO_NEWS = ("exchange.recorded", "values.judged")
# Lines in the history of a step on its panel.
_MOST_EVENTS = 30


class Display(Protocol):
    """Something that draws a view."""

    def show(self, view: dict[str, Any]) -> None:
        """Draw `view`; called from any thread."""


class PanelRegistry:
    """The header, the panel of each step, and the notebook's end, with their current views."""

    def __init__(
        self,
        run: Run,
        statuses: PanelStatuses,
        credentials: SavedCredentials,
        checklist: ChecklistFile,
    ) -> None:
        self._run = run
        self._statuses = statuses
        self._credentials = credentials
        self._checklist = checklist
        # JupyterHub names the person to whom the server belongs.
        self._user = logged_in(os.environ)
        # NOTE: `runbook lab` sets this variable for its kernels; another server has no such page.
        self._has_confirm_page = os.environ.get("RUNBOOK_EVIDENCE", "") == str(
            run.evidence.absolute()
        )
        # A list, such as the permissions, is chosen in one step and shown in the others.
        self._chosen_in = {
            item.name: step
            for step in reversed(run.procedure.steps)
            for item in step.inputs
            if isinstance(item.default, tuple)
        }
        names = tenant_names(str(run.evidence))
        self._others = list_some_names([name for name in names if name != run.tenant])
        package = package_of(run.procedure.id)
        self._package = str(package) if package else ""
        self._header: Display | None = None
        self._panels: dict[str, Display] = {}
        # The steps whose card was shown: until then a panel has only its line.
        self._with_card: set[str] = set()
        self._finish: Display | None = None
        self._views: dict[str, dict[str, Any]] = {}
        self._masked: dict[str, tuple[object, dict[str, Any]]] = {}
        self._drawing = threading.Lock()

    def add_header(self, header: Display) -> None:
        """Draw the header there from now on."""
        self._header = header
        self.draw()

    def add_panel(self, step_id: str, panel: Display) -> None:
        """Draw this step there from now on; a cell that runs again replaces its panel."""
        self._panels[step_id] = panel
        self.draw(step_id)

    def add_finish(self, finish: Display) -> None:
        """Draw the notebook's end there from now on."""
        self._finish = finish
        self.draw()

    def open_card(self, step_id: str) -> None:
        """Show the step's card from now on, beside its line."""
        self._with_card.add(step_id)
        self.draw(step_id)

    def has_panel(self, step_id: str) -> bool:
        """Return whether this step is shown."""
        return step_id in self._panels

    def draw(self, *only: str) -> None:
        """
        Draw everything, or `only` these steps, from the journal.

        If the journal cannot be read, panels keep what they showed, with the error.
        """
        with self._drawing:
            try:
                self._draw(only)
            except Exception as error:  # noqa: BLE001  (a panel must show the error)
                self._draw_error(*describe_error(error))

    def _draw(self, only: tuple[str, ...]) -> None:
        # NOTE: before the state, or a view could say that a check or the sealing has ended,
        # without its result.
        statuses = {step_id: self._statuses.of(step_id) for step_id in self._panels}
        checking = self._statuses.all_steps
        sealing = self._statuses.sealing
        doubts = self._statuses.doubts
        run = self._run
        state = run.state
        sealed = run.last_sealed
        passed = self._statuses.passed
        following = next_step(state, run.procedure, passed)
        context = PanelContext(
            procedure=run.procedure,
            vendor=vendor_of(run.procedure),
            today=run.clock().date(),
            values=run.values,
            kit_values=run.values_on_record,
            link_values=run.link_values,
            credentials=self._credentials.storage_places(),
            chosen_in=self._chosen_in,
            has_confirm_page=self._has_confirm_page,
            following=following,
            user=self._user,
            later=blockers_by_step(state, run.procedure, passed),
            too_early=frozenset(
                step.id for step in run.procedure.steps if not is_checkable(state, step)
            ),
            facts={
                name: (value, seen_on(step))
                for step in state.steps
                for finding in step.findings
                for name, value in finding.facts.items()
            },
            rejected=frozenset().union(
                *(rejected_inputs(step, run.step(step.id)) for step in state.steps)
            ),
            opened=self._statuses.opened,
            checklist=self._checklist.read(),
            next_refresh=f"{self._statuses.next_refresh:%H:%M}{self._statuses.held_back}",
        )
        lines = _recent_lines(run.journal.read_all())
        for step_id in only or tuple(statuses):
            if step_id in statuses:
                step = state.step(step_id)
                status = statuses[step_id]
                lacks = find_missing_inputs(run, run.step(step_id))
                if is_current(step, context):
                    self._with_card.add(step_id)
                if step_id in self._with_card:
                    view = dict(
                        step_view(
                            step,
                            context,
                            recent=lines.get(step_id, ()),
                            exchanges=state.exchanges,
                            status=status,
                            lacks=lacks,
                        )
                    )
                else:
                    view = dict(line_view(step, context, status=status, lacks=lacks))
                self._show(step_id, self._panels[step_id], self._redacted(step_id, view))
        sealed_on = ""
        if sealed:
            sealed_on = f"Sealed {when(sealed.state.finished_on)}: {sealed.state.outcome}."
        if self._header is not None and not only:
            header = header_view(
                state,
                context,
                status=checking,
                plan=run.procedure.plan,
                title=run.procedure.title,
                tenant=run.tenant,
                sandbox=run.is_sandbox,
                start=os.environ.get(LAB_COMMAND, ""),
                others=self._others,
                package=self._package,
                sealed=sealed_on,
                unsaved=bool(self._credentials.unsaved()),
            )
            self._show("header", self._header, dict(header))
        if self._finish is not None and not only:
            finish = finish_view(
                state,
                context,
                status=sealing,
                bundle=str(sealed.folder) if sealed else "",
                sealed=sealed_on,
                ended_on=sealed.state.finished_on if sealed else "",
                doubts=doubts,
                plan=run.procedure.plan,
            )
            self._show("finish", self._finish, dict(finish))

    def _redacted(self, step_id: str, view: dict[str, Any]) -> dict[str, Any]:
        """Return the view without secrets; cached, because masking is slow."""
        redactor = self._run.redactor
        basis = (view, redactor.known)
        if step_id not in self._masked or self._masked[step_id][0] != basis:
            redacted = redactor.redact_values(view, structure=STRUCTURE)
            # Drawn of masked values: a mask in a picture would break it.
            # A step that is done needs no picture of where to do it.
            has_screen = view["has_card"] and not view["is_settled"]
            screen = self._run.step(step_id).screen if has_screen else None
            values = {name: as_text(value) for name, value in self._run.values.items()}
            shown = None
            if screen:
                shown = screen_view(screen, redactor.redact_values(values))
            self._masked[step_id] = (basis, {**redacted, "screen": shown})
        return self._masked[step_id][1]

    def _show(self, name: str, display: Display, view: dict[str, Any]) -> None:
        self._views[name] = view
        display.show(view)

    def _draw_error(self, message: str, advice: str) -> None:
        for step_id, panel in self._panels.items():
            status = replace(
                self._statuses.of(step_id), message=message, advice=advice, is_error=True
            )
            panel.show({**self._views.get(step_id, {}), **status.view()})
        status = replace(self._statuses.sealing, message=message, advice=advice, is_error=True)
        for name, display in (("header", self._header), ("finish", self._finish)):
            if display is not None:
                display.show({**self._views.get(name, {}), **status.view()})


def _recent_lines(lines: Iterable[Line]) -> dict[str, deque[Line]]:
    """Return the newest lines about each step, oldest first; exchanges are no news."""
    recent: dict[str, deque[Line]] = {}
    for line in lines:
        if line.head.step and line.head.type not in _NO_NEWS:
            recent.setdefault(line.head.step, deque(maxlen=_MOST_EVENTS)).append(line)
    return recent
