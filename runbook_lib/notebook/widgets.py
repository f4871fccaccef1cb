"""
A step's panel in JupyterLab: what is known, the inputs, *Check*, *I have done this*, *Skip*.

What a step is, how it is checked and how it looks is decided elsewhere; a
panel only connects buttons to the run. A password field is emptied in the
callback that reads it: its value must never rest in widget state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from runbook_lib.errors import RunbookError
from runbook_lib.history import StepState, fold
from runbook_lib.journal import timestamp
from runbook_lib.notebook.rendering import step_bundle
from runbook_lib.procedure import Attestation, Input, Skip, Step
from runbook_lib.run import Run
from runbook_lib.settings import typed

__all__ = ["StepPanel"]

_ORIGIN = "walkthrough"
_WIDE = {"description_width": "170px"}


class StepPanel:
    """The panel of one step; `widget` is what a cell displays."""

    def __init__(self, run: Run, step: Step) -> None:
        self._run = run
        self._step = step
        self._shown = ipywidgets.HTML()
        self._message = ipywidgets.HTML()
        self._fields = {item.name: (item, self._field(item)) for item in step.inputs}
        self._by = ipywidgets.Text(description="Your name", style=_WIDE)
        self._note = ipywidgets.Text(description="Note or reason", style=_WIDE)
        self.widget = ipywidgets.VBox(
            [
                self._shown,
                *(field for _, field in self._fields.values()),
                self._buttons(),
                ipywidgets.HBox([self._by, self._note]),
                self._message,
            ]
        )
        self._show()

    def check(self) -> None:
        """Take the inputs over, perform the step, and show what follows."""
        self._take_inputs()
        self._run.perform(self._step.id)

    def attest(self) -> None:
        """Write down that the named person says it is done."""
        by, at = self._who_and_when()
        note = self._note.value.strip()
        words = Attestation(step=self._step.id, by=by, at=at, note=note, origin=_ORIGIN)
        self._run.attest([words])

    def skip(self) -> None:
        """Write down that the named person leaves the step out, and why."""
        reason = self._note.value.strip()
        if not reason:
            msg = "say why, in the field beside your name"
            raise ValueError(msg)
        by, at = self._who_and_when()
        words = Skip(step=self._step.id, by=by, at=at, reason=reason, origin=_ORIGIN)
        self._run.skip([words])

    def _who_and_when(self) -> tuple[str, str]:
        by = self._by.value.strip()
        if not by:
            msg = "write your name first: the record says who said so"
            raise ValueError(msg)
        return by, timestamp(self._run.clock())

    def _take_inputs(self) -> None:
        for item, field in self._fields.values():
            if item.secret:
                text, field.value = field.value, ""
                if text:
                    self._run.take_secret(item, text)
            elif field.value not in ("", None):
                self._run.remember(item.name, typed(item, field.value))

    def _state(self) -> StepState:
        return fold(self._run.history, self._run.procedure, None).steps[self._step.id]

    def _show(self) -> None:
        bundle = step_bundle(self._state(), self._run.values, is_sandbox=self._run.is_sandbox)
        self._shown.value = bundle["text/html"]

    def _field(self, item: Input) -> Any:
        known = self._run.values.get(item.name)
        if item.secret:
            given = item.name in self._run.settings.secrets
            hint = "known; leave empty to keep it" if given else item.help
            return ipywidgets.Password(description=item.label, placeholder=hint, style=_WIDE)
        if isinstance(item.default, bool):
            return ipywidgets.Checkbox(
                description=item.label, value=bool(known), tooltip=item.help, style=_WIDE
            )
        text = ", ".join(known) if isinstance(known, tuple) else str(known or "")
        return ipywidgets.Text(
            description=item.label,
            value=text,
            placeholder=item.example,
            tooltip=item.help,
            style=_WIDE,
        )

    def _buttons(self) -> Any:
        buttons = [("I have done this", "pencil", self.attest), ("Skip", "share", self.skip)]
        if self._step.checks:
            buttons.insert(0, ("Check", "check", self.check))
        row = []
        for label, icon, action in buttons:
            button = ipywidgets.Button(description=label, icon=icon)
            button.on_click(self._guarded(action))
            row.append(button)
        return ipywidgets.HBox(row)

    def _guarded(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """Run `action` for a click, and show an error instead of raising it into a log."""

        def on_click(_button: Any) -> None:
            self._message.value = ""
            try:
                action()
            except RunbookError as error:
                self._message.value = f"{error} {error.diagnostics()}"
            except ValueError as error:
                self._message.value = str(error)
            self._show()

        return on_click
