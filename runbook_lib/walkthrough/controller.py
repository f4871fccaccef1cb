"""
The walkthrough: one for each kernel, between the run and the panels that show it.

It performs the panels' actions off the kernel's main thread, follows the
journal to show others' progress, and checks waiting steps again. `views` says
what is shown, the browser scripts how.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from runbook_lib.config.attestations import due_day
from runbook_lib.config.settings import visible_text
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.advice import next_step, what_to_do
from runbook_lib.core.attachments import store_attachment
from runbook_lib.core.journal import timestamp
from runbook_lib.core.model import Assignment, Note, NoteKind, Outcome, Remark, Word, WordKind
from runbook_lib.core.outcome import label_of
from runbook_lib.core.procedure import Step
from runbook_lib.engine.confirm_links import make_link
from runbook_lib.engine.run import Run
from runbook_lib.engine.tenants import listed, tenant_names
from runbook_lib.errors import (
    AuthorizationError,
    RefusedConsentError,
    SettingsError,
    describe_error,
)
from runbook_lib.evidence.reports.wording import when
from runbook_lib.walkthrough.activity import Activities, Activity
from runbook_lib.walkthrough.consent import AWAITED_SECONDS, Accept, Consent
from runbook_lib.walkthrough.credentials import SavedCredentials
from runbook_lib.walkthrough.everything import Round, check_everything, lacking, plan, summary
from runbook_lib.walkthrough.inputs import accept, credential, effect, problem, sentence
from runbook_lib.walkthrough.sealing import doubts, packed, seal_evidence, sealed_words
from runbook_lib.walkthrough.views import STRUCTURE, Scene, finish_view, header_view, step_view

_FOLLOW_SECONDS = 0.5
# A review takes days; once a minute is often enough, and costs the provider nothing.
_WATCH_SECONDS = 60.0
_ORIGIN = "walkthrough"
_LONGEST_NAME, _LONGEST_NOTE = 200, 2_000
_FIELDS = {
    "by": "Your name",
    "note": "The note",
    "seen": "What differed",
    "to": "Who does it",
    "due": "The day",
}
# Nothing new: still waiting, or it could not be checked (no network, say).
_CANNOT_TELL = (Outcome.WAITING, Outcome.INCONCLUSIVE)


class Display(Protocol):
    """Something that draws a view."""

    def show(self, view: dict[str, Any]) -> None:
        """Draw `view`; called from any thread."""


class Walkthrough:
    """
    The state that the panels of one kernel share.

    `watch_seconds` is how often a waiting step is checked again.
    """

    def __init__(self, run: Run, *, watch_seconds: float = _WATCH_SECONDS) -> None:
        self.run = run
        self.operator = ""
        self._watch_seconds = watch_seconds
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
        self._others = listed([name for name in names if name != run.tenant])
        self._credentials = SavedCredentials(run)
        self._panels: dict[str, Display] = {}
        self._header: Display | None = None
        self._finish_panel: Display | None = None
        self._sealing = Activity()
        self._doubts: list[str] = []
        self._bundle = ""
        self._sealed = ""
        self._round = Activity()
        self._activities = Activities()
        self._consent = Consent(run, self._on_answer, self._on_no_answer)
        self._consent_step: Step | None = None
        self._views: dict[str, dict[str, Any]] = {}
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="runbook")
        self._drawing = threading.Lock()
        self._stopped = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="runbook-follow", daemon=True)

    def start(self) -> None:
        """Start following the journal and watching waiting steps."""
        self._follower.start()

    def stop(self) -> None:
        """Stop following; running actions finish first."""
        self._stopped.set()
        self._workers.shutdown()
        self._consent.close()
        self.run.close()

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
        self._finish_panel = finish
        self.draw()

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
        # NOTE: before the state, or a view could say that a check has ended, without its result.
        activities = {step_id: self._activities.of(step_id) for step_id in self._panels}
        state, history = self.run.state, self.run.history
        following, vendor = next_step(state), vendor_of(self.run.procedure)
        scene = Scene(
            vendor=vendor,
            today=self.run.clock().date(),
            values=self.run.values,
            link_values=self.run.link_values,
            credentials=self._credentials.places(),
            chosen_in=self._chosen_in,
            has_confirm_page=self._has_confirm_page,
            next_id=following[0].step.id if following else "",
        )
        for step_id in only or tuple(activities):
            if step_id in activities:
                step = state.steps[step_id]
                view = step_view(
                    step,
                    scene,
                    recent=history.recent(step_id),
                    activity=activities[step_id],
                    wanted=lacking(self.run, step.step) if step.checked_on else (),
                )
                redacted = self.run.redactor.redact_values(view, structure=STRUCTURE)
                self._show(step_id, self._panels[step_id], redacted)
        if self._header is not None and not only:
            view = header_view(
                state,
                title=self.run.procedure.title,
                tenant=self.run.tenant,
                operator=self.operator,
                is_sandbox=self.run.is_sandbox,
                provider=vendor.title,
                others=self._others,
                sealed=self._sealed,
                today=scene.today,
                activity=self._round,
            )
            self._show("header", self._header, view)
        if self._finish_panel is not None and not only:
            view = finish_view(
                state, activity=self._sealing, bundle=self._bundle, doubts=self._doubts
            )
            self._show("finish", self._finish_panel, view)

    def _show(self, name: str, display: Display, view: dict[str, Any]) -> None:
        self._views[name] = view
        display.show(view)

    def _draw_error(self, message: str, advice: str) -> None:
        for step_id, panel in self._panels.items():
            activity = replace(
                self._activities.of(step_id), message=message, advice=advice, is_error=True
            )
            panel.show({**self._views.get(step_id, {}), **asdict(activity)})
        activity = replace(self._sealing, message=message, advice=advice, is_error=True)
        for name, display in (("header", self._header), ("finish", self._finish_panel)):
            if display is not None:
                display.show({**self._views.get(name, {}), **asdict(activity)})

    def perform(self, step: Step, inputs: dict[str, Any]) -> None:
        """Accept the inputs and check the step, off this thread."""
        self._begin(step, lambda: self._check(step, inputs))

    def say(
        self, step: Step, kind: WordKind, words: dict[str, Any], files: list[dict[str, Any]]
    ) -> None:
        """Record what a named person confirms about the step, with attachments."""

        def word() -> Word:
            fields = self._said(step, words)
            if kind in (WordKind.SKIPPED, WordKind.WITHDRAWN) and not fields["note"]:
                msg = "Give a reason."
                raise SettingsError(msg, next_step="It is kept in the record.")
            folder = self.run.journal.path.parent / "attachments"
            return Word(
                kind=kind,
                seen=_typed(words, "seen"),
                attachments=tuple(store_attachment(folder, **file) for file in files),
                **fields,
            )

        self._begin(step, lambda: self._record(step, word()))

    def add_note(self, step: Step, kind: NoteKind, words: dict[str, Any]) -> None:
        """Record a comment on the step, or who does it by when; no outcome rests on either."""

        def note() -> Note | Assignment:
            fields = self._said(step, words)
            if kind is NoteKind.ASSIGNED:
                to, due = _typed(words, "to", longest=_LONGEST_NAME), _typed(words, "due")
                return Assignment(to=to, due=due_day(due, "By", since=fields["at"]), **fields)
            if not fields["note"]:
                msg = "Write the comment."
                raise SettingsError(msg, next_step="It is kept with the step's history.")
            return Note(**fields)

        self._begin(step, lambda: self._record(step, note()))

    def _said(self, step: Step, words: dict[str, Any]) -> dict[str, Any]:
        by = _typed(words, "by", longest=_LONGEST_NAME)
        if not by:
            msg = "Enter your name: the record says who confirmed this."
            raise SettingsError(msg, next_step="It stays filled in from then on.")
        self.operator = by
        return {
            "step": step.id,
            "by": by,
            "at": timestamp(self.run.clock()),
            "note": _typed(words, "note"),
            "origin": _ORIGIN,
        }

    def _record(self, step: Step, statement: Remark) -> str:
        self.run.say([statement])
        self._activities.count(step.id, "written")
        return "Recorded."

    def check_all(self) -> None:
        """Check every step whose checks only read; ignored while that runs."""
        if self._round.busy_since:
            return
        self._round = Activity(busy_since=time.time())
        self.draw()
        self._workers.submit(self._check_all)

    def _check_all(self) -> None:
        try:
            self._round = Activity(message=summary(self.run, self._go_round()))
        except Exception as error:  # noqa: BLE001  (the button must not stay busy for ever)
            message, advice = describe_error(error)
            self._round = Activity(message=message, advice=advice, is_error=True)
        self.draw()

    def _go_round(self) -> Round:
        planned = plan(self.run)

        def check(number: int, step: Step) -> None:
            message = f"Checking {number} of {len(planned.steps)}: {step.title}"
            self._round = replace(self._round, message=message)
            self._activities.begin(step.id)
            self.draw()
            self._finish(step, lambda: self._check(step, {}))

        return check_everything(self.run, planned, check)

    def seal(self, *, is_confirmed: bool = False) -> None:
        """
        Seal the evidence in a headless run; ignored while that runs.

        First every step is checked again; if something is open, missing or has
        changed, it asks once, and continues when `is_confirmed`.
        """
        if self._sealing.busy_since:
            return
        self._sealing = Activity(busy_since=time.time())
        self._doubts = []
        self.draw()
        self._workers.submit(self._seal, is_confirmed)

    def _seal(self, is_confirmed: bool) -> None:  # noqa: FBT001  (the pool passes it on)
        try:
            if not is_confirmed:
                self._doubts = doubts(self.run, self._go_round())
            if self._doubts:
                self._sealing = Activity()
            else:
                before = self.run.state
                sealed = seal_evidence(self.run, on_wait=self._wait_to_seal)
                self._bundle = str(sealed.bundle)
                self._sealed = f"Sealed {when(timestamp(self.run.clock()))}: {sealed.outcome}."
                self._sealing = Activity(message=sealed_words(sealed, before, self.run.state))
        except Exception as error:  # noqa: BLE001  (the button must not stay busy for ever)
            message, advice = describe_error(error)
            self._sealing = Activity(message=message, advice=advice, is_error=True)
        self._round = Activity()
        self.draw()

    def files_of_bundle(self, name: str) -> bytes:
        """Return the sealed bundle as a zip file, or its report; empty if nothing is sealed."""
        return packed(Path(self._bundle), name) if self._bundle else b""

    def _wait_to_seal(self, message: str) -> None:
        self._sealing = replace(self._sealing, message=message)
        self.draw()

    def problem(self, name: str, text: str) -> tuple[str, str]:
        """Return what is wrong with an input's text, and what saving it undoes, or nothing."""
        items = {item.name: item for item in self.run.procedure.inputs}
        return problem(items[name], text), effect(self.run, items[name], text)

    def keep(self, step: Step, name: str, store: str, inputs: dict[str, Any]) -> None:
        """
        Save a credential to `keyring` or `.env`, or remove it everywhere.

        A typed value is accepted first, so that the newest is saved.
        """
        item = credential(step, name)

        def move() -> str:
            self._take(step, inputs)
            return self._credentials.keep(item, store)

        self._begin(step, move)

    def hand_over(self, step: Step) -> str:
        """Return the credential that this step carries to another console, for the clipboard."""
        if step.hands_over is None or step.hands_over.name not in self.run.settings.secrets:
            return ""
        return self.run.settings.secrets[step.hands_over.name].reveal()

    def confirm_link(self, step: Step) -> str:
        """Return the address, below the server's, by which a second person confirms this step."""
        return f"runbook/confirm/{make_link(self.run, step.id)}"

    def ask_consent(self, step: Step) -> None:
        """Prepare the consent page and listen for its answer."""
        self._consent_step = step

        def prepare() -> str:
            try:
                addresses = self._consent.ask()
            finally:
                self._hide_consent(step)
            self._update(step, consent_url=addresses.url, consent_paste_url=addresses.paste_url)
            if addresses.untrusted:
                return f"{addresses.untrusted} Paste the address instead."
            return "Open the consent page. The form below says where the browser ends."

        self._begin(step, prepare)

    def answer_consent(self, step: Step, url: str) -> None:
        """Redeem the code of a pasted redirect, and check the step with the token."""
        self._redeem(step, lambda: self._consent.accept(url))

    def _redeem(self, step: Step, accept: Accept) -> None:
        gives = step.consent_gives
        if gives is None:
            return

        def redeem() -> str:
            try:
                request, code = accept()
            finally:
                self._hide_consent(step)
            token = self._consent.redeem(request, code)
            self.run.set_secret(gives, token.reveal())
            return self._check(step, {}) + self._go_on(step)

        self._begin(step, redeem)

    def _hide_consent(self, step: Step) -> None:
        """Hide links whose answer would not count."""
        if not self._consent.is_awaited:
            self._update(step, consent_url="", consent_paste_url="")

    def _go_on(self, step: Step) -> str:
        """Check the steps that a valid token makes possible."""
        if not self.run.state.steps[step.id].is_settled:
            return ""
        following = [
            other
            for other in self.run.procedure.steps
            if step.id in other.requires and not other.spends
        ]
        for other in following:
            self.perform(other, {})
        return "".join(f" Next, checked automatically: {other.title}." for other in following)

    def _on_answer(self, accept: Accept) -> None:
        if self._consent_step is not None:
            self._redeem(self._consent_step, accept)

    def _on_no_answer(self) -> None:
        step = self._consent_step
        if step is None:
            return

        def say_so() -> str:
            self._hide_consent(step)
            minutes = f"{AWAITED_SECONDS / 60:.0f} minutes"
            msg = f"No answer came within {minutes}; the runbook no longer waits for one."
            raise AuthorizationError(msg, next_step=RefusedConsentError.next_step)

        self._begin(step, say_so)

    def _check(self, step: Step, inputs: dict[str, Any]) -> str:
        self._take(step, inputs)
        state = self.run.perform(step.id)
        outcome = state.conclusion.outcome
        advice = "" if outcome is Outcome.WAITING else what_to_do(state)
        return f"Checked: {label_of(state.conclusion)}. {advice}".strip()

    def _take(self, step: Step, inputs: dict[str, Any]) -> None:
        """Accept the typed values; raises `SettingsError` if one is refused."""
        if not inputs:
            return
        before = self._could_not_check()
        refused = accept(self.run, inputs)
        problems = [{"input": name, "problem": sentence(why)} for name, why in refused.items()]
        self._activities.count(step.id, "taken", refused=problems)
        if refused:
            labels = {item.name: item.label for item in self.run.procedure.inputs}
            msg = " ".join(f"{labels[name]}: {reason}." for name, reason in refused.items())
            raise SettingsError(msg, next_step="Correct it, then press the button again.")
        for other in before - self._could_not_check() - {step}:
            self.perform(other, {})

    def _could_not_check(self) -> set[Step]:
        """Return the steps that could not be checked without a value, and only read."""
        tried = [state for state in self.run.state.steps.values() if state.checked_on]
        return {
            state.step for state in tried if not state.step.spends and lacking(self.run, state.step)
        }

    def _begin(self, step: Step, action: Callable[[], str]) -> None:
        """Run `action` off this thread; show that it runs, and its result."""
        self._activities.begin(step.id)
        if not self._round.busy_since:
            self._round = Activity()  # the person has gone on
        self.draw(step.id)
        self._workers.submit(self._finish, step, action)

    def _finish(self, step: Step, action: Callable[[], str]) -> None:
        try:
            message, advice, is_error = action(), "", False
        except Exception as error:  # noqa: BLE001  (a panel must never stay busy for ever)
            message, advice = describe_error(error)
            is_error = True
        self._activities.end(step.id, message, advice, is_error=is_error)
        self.draw()

    def _update(self, step: Step, **changes: Any) -> None:
        self._activities.update(step.id, **changes)
        self.draw(step.id)

    def _follow(self) -> None:
        drawn_lines, watched_at = -1, time.monotonic()
        while not self._stopped.wait(_FOLLOW_SECONDS):
            try:
                lines = self.run.history.index.last.seq
                if self._credentials.follow() or lines != drawn_lines:
                    self.draw()
                    drawn_lines = lines
                if time.monotonic() - watched_at >= self._watch_seconds:
                    watched_at = time.monotonic()
                    self._watch()
            except Exception:  # noqa: BLE001  (drawing says what is wrong; following goes on)
                self.draw()

    def _watch(self) -> None:
        """Check each waiting step again, unless that spends something; write only changes."""
        for step_id, state in self.run.state.steps.items():
            reads = state.step.checks and not state.step.spends
            is_waiting = state.conclusion.outcome is Outcome.WAITING and reads
            if step_id in self._panels and is_waiting and not self._activities.of(step_id).busy:
                conclusion = self.run.preview(step_id)
                if conclusion is not None and conclusion.outcome not in _CANNOT_TELL:
                    self.perform(state.step, {})


def _typed(words: dict[str, Any], name: str, *, longest: int = _LONGEST_NOTE) -> str:
    """Return typed text; raises `SettingsError` if it contains an invisible character."""
    return visible_text(
        _FIELDS[name],
        str(words.get(name, "")),
        longest=longest,
        may_have_lines=name in ("note", "seen"),
        next_step="Correct it, then press the button again.",
    )
