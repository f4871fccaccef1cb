"""
The panels in JupyterLab: the views that the browser draws, and the messages that it sends.

A panel connects one browser view to the walkthrough and decides nothing.
What a person types travels in messages, never in widget state: state may be
saved with the notebook, a message is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from runbook_lib.core.procedure import Step
from runbook_lib.engine.tenant_names import TenantQuestion
from runbook_lib.errors import SettingsError, describe_error
from runbook_lib.evidence.reports.pictures import picture_style
from runbook_lib.run.state import StepState
from runbook_lib.walkthrough.controller import Walkthrough
from runbook_lib.walkthrough.views import ATTESTATION_ACTIONS, NOTE_ACTIONS

STATIC = Path(__file__).parent / "static"


WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
# Identifies the panel of an output when the notebook is saved (`lab_extension`).
PANEL_MIME = "application/vnd.runbook.panel+json"
# A saved notebook shows this in place of a panel, until its cells run again.
_TEXT = "Press Start at the top of the notebook to see this {}."


def _script(*names: str) -> str:
    """Return a panel's script, after the shared one."""
    return "\n".join((STATIC / part).read_text(encoding="utf-8") for part in ("dom.js", *names))


# The panel of every step has this script. The header brings it, so that a page loads it once; what
# a step's own model carries is a few lines that wait for it.
_STEP_SCRIPT = _script("forms.js", "panel.js")
_STEP_DIGEST = hashlib.sha256(_STEP_SCRIPT.encode()).hexdigest()[:16]


def _header_script() -> str:
    """Return the header's script, with that of the steps as data."""
    brought = json.dumps({"digest": _STEP_DIGEST, "text": _STEP_SCRIPT})
    return _filled(_script("header.js"), 'STEP_SCRIPT = { digest: "", text: "" }', brought)


def _waiting_script() -> str:
    """Return the script of one step's panel, which waits for that of all."""
    own = (STATIC / "step.js").read_text(encoding="utf-8")
    return _filled(own, 'DIGEST = ""', json.dumps(_STEP_DIGEST))


def _filled(script: str, place: str, value: str) -> str:
    """Return a script in which a constant, written as `place`, has this value (JSON)."""
    name = place.partition(" ")[0]
    before, after = script.split(f"const {place};")
    return f"{before}const {name} = {value};{after}"


def _style() -> str:
    """Return the panels' style, with that of pictures."""
    own = (STATIC / "walkthrough.css").read_text(encoding="utf-8")
    return "\n".join((picture_style(), own))


class _Panel(anywidget.AnyWidget):
    """A browser view; `part` is a step's id, "header" or "finish"."""

    _css = _style()
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, *, tenant: str, connector: str, part: str) -> None:
        super().__init__()
        self._identity = {"tenant": tenant, "connector": connector, "part": part}

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the view, with the data that identifies the panel."""
        bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**bundle, PANEL_MIME: self._identity}, metadata

    def show(self, view: dict[str, Any]) -> None:
        """Draw `view`."""
        self.view = view


class TenantPanel(_Panel):
    """
    The question whose app this is, in the header's place until it is answered.

    `open_tenant` opens the walkthrough of the tenant that was named.
    """

    _esm = _script("tenant.js")

    def __init__(
        self, question: TenantQuestion, connector: str, open_tenant: Callable[[str], None]
    ) -> None:
        super().__init__(tenant="", connector=connector, part="header")
        self._question = question
        self._open_tenant = open_tenant
        self.on_msg(self._on_message)
        self.show(
            {
                "question": question.text,
                "field": question.field,
                "help": f"For example {question.example}. {question.known}".strip(),
            }
        )

    def __repr__(self) -> str:
        return _TEXT.format("header")

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        if message.get("action") == "answer":
            is_sure = message.get("is_sure") is True
            self.send(self._answer(str(message["text"]), is_sure=is_sure))

    def _answer(self, text: str, *, is_sure: bool) -> dict[str, str]:
        """Open the tenant's walkthrough, or return why not; `is_sure` begins a new tenant."""
        try:
            name = self._question.read(text)
        except SettingsError as error:  # its advice is about a setting
            return {"kind": "problem", "text": str(error)}
        doubt = self._question.doubt(name)
        if doubt and not is_sure:
            advice = f"Correct the name, or begin a new tenant in {self._question.world}."
            return {"kind": "doubt", "text": f"{doubt} {advice}"}
        try:
            self._open_tenant(name)
        except Exception as error:  # noqa: BLE001  (the form must show the error)
            return {"kind": "problem", "text": " ".join(describe_error(error))}
        return {"kind": "opened", "text": ""}


class _WalkthroughPanel(_Panel):
    """A browser view of an open walkthrough."""

    def __init__(self, walkthrough: Walkthrough, part: str) -> None:
        run = walkthrough.run
        super().__init__(tenant=run.tenant, connector=run.procedure.id, part=part)
        self._walkthrough = walkthrough


class HeaderPanel(_WalkthroughPanel):
    """The run's tenant, its progress, and the next step."""

    _esm = _header_script()

    def __init__(self, walkthrough: Walkthrough) -> None:
        super().__init__(walkthrough, "header")
        self.on_msg(self._on_message)
        walkthrough.panels.add_header(self)

    def __repr__(self) -> str:
        return _TEXT.format("header")

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        match message.get("action"):
            case "check_all":
                self._walkthrough.check_all()
            case "tick":
                is_ticked = message.get("is_ticked") is True
                self._walkthrough.tick(str(message.get("text")), is_ticked=is_ticked)
            case "begin":
                self._walkthrough.begin()
            case "ping":
                self.send({"kind": "pong"})


class FinishPanel(_WalkthroughPanel):
    """The end of a notebook: done steps, open steps, and the evidence."""

    _esm = _script("finish.js")

    def __init__(self, walkthrough: Walkthrough) -> None:
        super().__init__(walkthrough, "finish")
        self.on_msg(self._on_message)
        walkthrough.panels.add_finish(self)

    def __repr__(self) -> str:
        return _TEXT.format("notebook's end")

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        action = message.get("action")
        if action in ("seal", "seal_anyway"):
            self._walkthrough.seal(is_confirmed=action == "seal_anyway")
        if action == "fetch":
            name = str(message["name"])
            content = self._walkthrough.files_of_bundle(name)
            self.send({"kind": "file", "name": name}, [content])


class StepPanel(_WalkthroughPanel):
    """The panel of one step: its view, and every action on it."""

    _esm = _waiting_script()
    _css = ""

    def __init__(self, walkthrough: Walkthrough, step: Step) -> None:
        super().__init__(walkthrough, step.id)
        self._step = step
        self.on_msg(self._on_message)
        walkthrough.panels.add_panel(step.id, self)

    def __repr__(self) -> str:
        return _TEXT.format("step")

    @property
    def outcome(self) -> str:
        """Return the outcome of the step now, a word of the record."""
        return str(self._now.outcome)

    @property
    def reason(self) -> str:
        """Return why it has this outcome."""
        return self._now.reason

    @property
    def checked_on(self) -> str:
        """Return when it was checked, in UTC; empty before the first check."""
        return self._now.checked_on

    @property
    def _now(self) -> StepState:
        return self._walkthrough.run.state.step(self._step.id)

    def _on_message(self, _widget: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        if message.get("action") == "script":  # there is no header on this page
            self.send({"kind": "script", "text": _STEP_SCRIPT, "style": _style()})
            return
        action = self._actions.get(str(message.get("action")))
        if action is not None:
            action(self, message, buffers)

    def _check(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        inputs = dict(message.get("inputs", {}))
        sure = message.get("sure", ())
        self._walkthrough.perform(self._step, inputs, sure)

    def _save(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        inputs = dict(message.get("inputs", {}))
        sure = message.get("sure", ())
        self._walkthrough.save(self._step, inputs, sure)

    def _continue(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.go_past(self._step)

    def _note_opened(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.note_opened(self._step)

    def _open(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.open_card(self._step)

    def _refresh(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.refresh(self._step)

    def _say(self, message: dict[str, Any], buffers: list[Any]) -> None:
        files = [
            {"name": file["name"], "media_type": file["type"], "content": bytes(buffer)}
            for file, buffer in zip(message.get("files", ()), buffers, strict=True)
        ]
        self._walkthrough.say(self._step, ATTESTATION_ACTIONS[message["action"]], message, files)

    def _add_note(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.add_note(self._step, NOTE_ACTIONS[message["action"]], message)

    def _validate(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        name = str(message["name"])
        problem = self._walkthrough.problem(name, str(message["value"]), self._step.inputs)
        self.send({"kind": "problem", "name": name, **problem})

    def _save_credential(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        name = str(message["name"])
        store = str(message["store"])
        inputs = dict(message.get("inputs", {}))
        self._walkthrough.save_credential(self._step, name, store, inputs)

    def _forget_credential(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.forget_credential(self._step, str(message["name"]))

    def _copy_secret(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self.send({"kind": "secret", "value": self._walkthrough.secret_to_copy(self._step)})

    def _consent(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.prepare_consent(self._step)

    def _link(self, _message: dict[str, Any], _buffers: list[Any]) -> None:
        self.send({"kind": "link", "path": self._walkthrough.confirm_link(self._step)})

    def _redirect(self, message: dict[str, Any], _buffers: list[Any]) -> None:
        self._walkthrough.redeem_redirect(self._step, str(message["url"]))

    _actions: dict[str, Callable[[StepPanel, dict[str, Any], list[Any]], None]] = {  # noqa: RUF012
        "check": _check,
        "save": _save,
        "continue": _continue,
        "open": _open,
        "opened": _note_opened,
        "refresh": _refresh,
        **dict.fromkeys(ATTESTATION_ACTIONS, _say),
        **dict.fromkeys(NOTE_ACTIONS, _add_note),
        "validate": _validate,
        "save_credential": _save_credential,
        "forget_credential": _forget_credential,
        "copy_secret": _copy_secret,
        "consent": _consent,
        "link": _link,
        "redirect": _redirect,
    }
