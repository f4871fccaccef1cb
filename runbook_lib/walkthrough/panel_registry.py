"""
The panels of one kernel, drawn from the journal and the panel statuses.

`views` makes the content; the browser scripts draw it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any, Protocol

from runbook_lib.config.workspace import LAB_COMMAND
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import package_of
from runbook_lib.core.advice import blockers_by_step, is_checkable, next_step, rejected_inputs
from runbook_lib.engine.tenant_names import list_some_names, tenant_names
from runbook_lib.engine.tenant_run import Run, logged_in
from runbook_lib.errors import describe_error
from runbook_lib.evidence.reports.phrases import when
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
    step_view,
)


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
        history = run.history
        sealed = run.last_sealed
        passed = self._statuses.passed
        following = next_step(state, passed)
        context = PanelContext(
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
            later=blockers_by_step(state, passed),
            too_early=frozenset(
                name for name, step in state.steps.items() if not is_checkable(state, step)
            ),
            facts={
                name: (value, step.checked_on)
                for step in state.steps.values()
                for finding in step.all_findings
                for name, value in finding.facts.items()
            },
            rejected=frozenset().union(*map(rejected_inputs, state.steps.values())),
            checklist=self._checklist.read(),
            next_refresh=f"{self._statuses.next_refresh:%H:%M}{self._statuses.held_back}",
        )
        for step_id in only or tuple(statuses):
            if step_id in statuses:
                step = state.steps[step_id]
                status = statuses[step_id]
                lacks = find_missing_inputs(run, step.step)
                if is_current(step, context):
                    self._with_card.add(step_id)
                if step_id in self._with_card:
                    recent = history.recent(step_id)
                    view = dict(step_view(step, context, recent=recent, status=status, lacks=lacks))
                else:
                    view = dict(line_view(step, context, status=status, lacks=lacks))
                self._show(step_id, self._panels[step_id], self._redacted(step_id, view))
        # NOTE: of an old run the journal's index has the bundle alone.
        sealed_on = ""
        if sealed and sealed[1].finished_on:
            sealed_on = f"Sealed {when(sealed[1].finished_on)}: {sealed[1].outcome}."
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
                bundle=str(sealed[0]) if sealed else "",
                sealed=sealed_on,
                ended_on=sealed[1].finished_on if sealed else "",
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
                procedure = self._run.procedure
                companies = [company.title for company in procedure.providers]
                named = [company for company in companies if company in screen.page]
                owner = named[0] if named else vendor_of(procedure).title
                shown = screen_view(screen, redactor.redact_values(values), owner=owner)
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
