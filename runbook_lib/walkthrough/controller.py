"""
The walkthrough: one for each kernel, between the run and the panels that show it.

It performs the panels' actions off the kernel's main thread, follows the
journal to show others' progress, and checks waiting steps again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from runbook_lib.core.model import Attestation, AttestationKind, Note, NoteKind, Outcome, Remark
from runbook_lib.core.procedure import Input, Step
from runbook_lib.engine.check_runner import RunningChecks
from runbook_lib.engine.confirm_links import make_link
from runbook_lib.engine.confirmation import require_confirmable
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import (
    AuthorizationError,
    RefusedConsentError,
    SettingsError,
    describe_error,
)
from runbook_lib.operations.index_builder import build_index
from runbook_lib.run.fold import decide
from runbook_lib.walkthrough.check_all import (
    CheckPlan,
    check_everything,
    find_missing_inputs,
    plan_checks,
    summarize_checks,
)
from runbook_lib.walkthrough.checklist import ChecklistFile
from runbook_lib.walkthrough.consent import AWAITED_SECONDS, Accept, Consent
from runbook_lib.walkthrough.credentials import SavedCredentials
from runbook_lib.walkthrough.input_fields import (
    accept_values,
    as_sentence,
    describe_effect,
    find_credential,
    find_doubt,
    find_home,
    find_problem,
)
from runbook_lib.walkthrough.panel_registry import PanelRegistry
from runbook_lib.walkthrough.panel_status import PanelStatus, PanelStatuses
from runbook_lib.walkthrough.sealing import find_doubts, pack_bundle, seal_evidence, sealing_message
from runbook_lib.walkthrough.typed_remarks import TypedRemarks
from runbook_lib.walkthrough.views import is_watched

_FOLLOW_SECONDS = 0.5
# A review takes days, and a vendor may allow an app few calls an hour.
_WATCH_SECONDS = 900.0
# Of the calls that a vendor allows an app in an hour, in percent: above it nothing is watched.
_MOST_BY_WATCHING = 50
# Above this share of calls, only a person's own actions send requests.
_MOST_UNASKED = 80


class Walkthrough:
    """
    What the panels of one kernel can ask for.

    `watch_seconds` is how often the waiting steps are checked again.
    """

    def __init__(self, run: Run, *, watch_seconds: float = _WATCH_SECONDS) -> None:
        self.run = run
        self._remarks = TypedRemarks(run)
        self._watch_interval = timedelta(seconds=watch_seconds)
        self._credentials = SavedCredentials(run)
        self._statuses = PanelStatuses(run.clock() + self._watch_interval)
        plan = run.procedure.plan
        self._checklist = ChecklistFile(run.journal.path.parent, plan.have_ready if plan else ())
        self.panels = PanelRegistry(run, self._statuses, self._credentials, self._checklist)
        self._consent = Consent(run, self._redeem, self._report_no_redirect)
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="runbook")
        self._stopped = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="runbook-follow", daemon=True)

    def start(self) -> None:
        """Start following the journal; refresh the steps that were checked before."""
        self._follower.start()
        if any(step.checked_on for step in self.run.state.steps):
            self._workers.submit(self._refresh_checked_steps)

    def _refresh_checked_steps(self) -> None:
        """Check earlier checked steps again, unless too few calls are left."""
        try:
            used = self.run.used_calls
            if used > _MOST_UNASKED:
                message = (
                    f"The page shows earlier checks, because {used:.0f} % of the app's calls of "
                    "this hour are used. Check everything now still asks."
                )
                self._statuses.all_steps = PanelStatus(message=message)
            else:
                steps = plan_checks(self.run).steps
                states = self.run.state.by_id
                self._check_changed([step for step in steps if states[step.id].checked_on])
        except Exception as error:  # noqa: BLE001  (what was known before stays on screen)
            message, advice = describe_error(error)
            self._statuses.all_steps = PanelStatus(message=message, advice=advice, is_error=True)
        self.panels.draw()

    def refresh(self, step: Step) -> None:
        """Check an open step again at most every 30 seconds; record only changes."""
        if not step.side_effect and self._statuses.may_refresh(step.id, self.run.clock()):
            self._workers.submit(self._refresh_steps, step)

    def open_card(self, step: Step) -> None:
        """Show the card of a step that a person has opened; until then its panel is a line."""
        self.panels.open_card(step.id)

    def _refresh_steps(self, *steps: Step, is_outdated: bool = False) -> None:
        try:
            if self.run.used_calls <= _MOST_UNASKED:
                self._check_changed(steps, is_outdated=is_outdated)
        except Exception:  # noqa: BLE001  (nobody asked: the panel keeps what it shows)
            self.panels.draw(*(step.id for step in steps))

    def _refresh_following(self, step: Step) -> None:
        """Check the unfinished steps after `step` again, now that it is done."""
        states = self.run.state.by_id
        following = {step.id}
        for other in self.run.procedure.steps:
            if following.intersection(other.after):
                following.add(other.id)
        again = [
            self.run.step(name)
            for name in following - {step.id}
            if states[name].findings
            and not states[name].is_settled
            and not self.run.step(name).side_effect
        ]
        if states[step.id].is_settled and again and not self._stopped.is_set():
            self._workers.submit(self._refresh_steps, *again, is_outdated=True)

    def _check_changed(self, steps: Sequence[Step], *, is_outdated: bool = False) -> None:
        """
        Preview `steps` without recording; check the changed ones again, which records them.

        With `is_outdated`, an earlier *not run* is out of date.
        """
        free = [step for step in steps if not self._statuses.of(step.id).busy]
        for step_id, now in self.run.preview(free).items():
            before = decide(self.run.state.step(step_id).findings, None)
            is_new = now is not None and (
                before is None or (now.outcome, now.reason) != (before.outcome, before.reason)
            )
            # An inconclusive check does not replace an earlier clear result.
            is_unclear = now is not None and now.outcome is Outcome.INCONCLUSIVE
            vague = (Outcome.INCONCLUSIVE, *([Outcome.NOT_RUN] if is_outdated else []))
            was_clear = before is not None and before.outcome not in vague
            # NOTE: a returning person and the watch may find the same change at the same time.
            is_busy = self._statuses.of(step_id).busy
            if is_new and not is_busy and not (is_unclear and was_clear):
                self.perform(self.run.step(step_id), {}, is_asked=False)

    def adopt_credentials(self, earlier: Walkthrough) -> None:
        """Use the credentials that were typed on an earlier page of this kernel, and not saved."""
        for item, secret in earlier._credentials.unsaved():
            self.run.set_secret(item, secret.reveal())

    def stop(self) -> None:
        """Stop following; running actions finish first."""
        self._stopped.set()
        self._workers.shutdown()
        self._consent.close()
        self.run.close()

    def perform(
        self,
        step: Step,
        inputs: dict[str, Any],
        sure: Collection[str] = (),
        *,
        is_asked: bool = True,
    ) -> None:
        """
        Accept the inputs, doubtful ones if they are among the `sure`, and check the step.

        That happens off this thread; the journal notes whether a person asked.
        """
        self._start_action(step, lambda: self._check(step, inputs, sure, is_asked=is_asked))

    def note_opened(self, step: Step) -> None:
        """Note that a person has opened the step's page: what comes after it is next."""
        self._statuses.opened |= {step.id}
        self.panels.draw(step.id)

    def go_past(self, step: Step) -> None:
        """Go on without the step, whose remote system has a fault; it stays open."""
        self._statuses.go_past(step.id)
        self.panels.draw()

    def save(self, step: Step, inputs: dict[str, Any], sure: Collection[str] = ()) -> None:
        """Accept the inputs as `perform` does, without checking the step."""

        def take() -> str:
            self._accept_inputs(step, inputs, sure)
            return "Saved."

        self._start_action(step, take)

    def say(
        self, step: Step, kind: AttestationKind, words: dict[str, Any], files: list[dict[str, Any]]
    ) -> None:
        """
        Record what a named person confirms about the step, with attachments.

        Values that were typed beside it are accepted first, since the word is about them. What a
        check contradicts is checked again, and refused if it still does.
        """

        def record() -> str:
            self._accept_inputs(step, dict(words.get("inputs", {})), words.get("sure", ()))
            self._require_likely_days(step, words)
            if kind is AttestationKind.ATTESTED and not words.get("answer"):
                require_confirmable(self.run, step, lambda other: self.run.perform(other.id))
            return self._record(step, self._remarks.attestation(step, kind, words, files))

        self._start_action(step, record)

    def add_note(self, step: Step, kind: NoteKind, words: dict[str, Any]) -> None:
        """Record a comment on the step, or its assignee; neither changes an outcome."""
        self._start_action(step, lambda: self._record(step, self._remarks.note(kind, words)))

    def _require_likely_days(self, step: Step, words: dict[str, Any]) -> None:
        """Raise `SettingsError` if a typed day is probably a slip; its field says why."""
        doubts = self._remarks.doubts(words)
        refused = [{"input": name, "doubt": why} for name, why in doubts.items()]
        self._statuses.update(step.id, refused=refused)
        if doubts:
            raise SettingsError(
                "Not recorded yet: a day is probably wrong.",
                next_step="Read the warning: correct the day, or press Use it anyway.",
            )

    def _record(self, step: Step, statement: Attestation | Note) -> str:
        was_settled = self.run.state.step(step.id).is_settled
        self.run.say([Remark(step.id, statement)])
        self._statuses.count(step.id, "written")
        if not was_settled:
            self._refresh_following(step)
        return "Recorded."

    def tick(self, text: str, *, is_ticked: bool) -> None:
        """Save whether a person has this item of *Before you begin*."""
        self._keep_checklist(lambda: self._checklist.tick(text, is_ticked=is_ticked))

    def begin(self) -> None:
        """Save that a person went on from *Before you begin* to the steps."""
        self._keep_checklist(self._checklist.begin)

    def _keep_checklist(self, keep: Callable[[], None]) -> None:
        try:
            keep()
        except OSError as error:
            message, advice = describe_error(error)
            self._statuses.all_steps = PanelStatus(message=message, advice=advice, is_error=True)
        self.panels.draw()

    def check_all(self) -> None:
        """Check every step whose checks only read; ignored while that runs."""
        if self._statuses.all_steps.busy_since:
            return
        self._statuses.all_steps = PanelStatus(busy_since=time.time())
        self.panels.draw()
        self._workers.submit(self._check_all)

    def _check_all(self) -> None:
        try:
            self._statuses.all_steps = PanelStatus(
                message=summarize_checks(self.run, self._check_all_steps())
            )
        except Exception as error:  # noqa: BLE001  (the button must not stay busy for ever)
            message, advice = describe_error(error)
            self._statuses.all_steps = PanelStatus(message=message, advice=advice, is_error=True)
        self.panels.draw()

    def _check_all_steps(self) -> CheckPlan:
        planned = plan_checks(self.run)

        def check(number: int, step: Step, snapshot: RunningChecks) -> None:
            def perform() -> str:
                self.run.perform(step.id, snapshot)
                return ""  # the header says once what all steps share

            message = f"Checking {number} of {len(planned.steps)}: {step.title}"
            self._statuses.all_steps = replace(self._statuses.all_steps, message=message)
            self._statuses.begin(step.id)
            self.panels.draw()
            self._run_action(step, perform)

        return check_everything(self.run, planned, check)

    def seal(self, *, is_confirmed: bool = False) -> None:
        """
        Seal the evidence in a headless run; ignored while that runs.

        First every step is checked again; if a step that was done is not any more, it
        asks once, and continues when `is_confirmed`.
        """
        statuses = self._statuses
        if statuses.sealing.busy_since:
            return
        statuses.sealing = PanelStatus(busy_since=time.time())
        statuses.doubts = ()
        self.panels.draw()
        self._workers.submit(self._seal, is_confirmed)

    def _seal(self, is_confirmed: bool) -> None:  # noqa: FBT001  (the pool passes it on)
        statuses = self._statuses
        try:
            before = self.run.state
            if not is_confirmed:
                statuses.doubts = find_doubts(self.run, self._check_all_steps())
            if statuses.doubts:
                statuses.sealing = PanelStatus()
            else:
                sealed = seal_evidence(self.run, on_wait=self._wait_to_seal)
                name = (self.run.tenant, self.run.procedure.id)
                build_index(str(self.run.evidence), self.run.clock(), alone=[name])
                statuses.sealing = PanelStatus(
                    message=sealing_message(sealed, before, self.run.state)
                )
        except Exception as error:  # noqa: BLE001  (the button must not stay busy for ever)
            message, advice = describe_error(error)
            statuses.sealing = PanelStatus(message=message, advice=advice, is_error=True)
        statuses.all_steps = PanelStatus()
        self.panels.draw()

    def files_of_bundle(self, name: str) -> bytes:
        """Return the sealed bundle as a zip file, or its report; empty if nothing is sealed."""
        sealed = self.run.last_sealed
        return pack_bundle(sealed.folder, name) if sealed else b""

    def _wait_to_seal(self, message: str) -> None:
        self._statuses.sealing = replace(self._statuses.sealing, message=message)
        self.panels.draw()

    def problem(self, name: str, text: str, fields: Sequence[Input] = ()) -> dict[str, str]:
        """
        Return an input's problem, the doubt about it, and the steps that saving it undoes.

        `home` is the one of the card's `fields` that the text belongs into, if it is another.
        """
        item = {item.name: item for item in self.run.procedure.inputs}[name]
        undone = describe_effect(self.run, item, text)
        misplaced, home = find_home(self.run, fields, item, text)
        return {
            "problem": misplaced or find_problem(item, text),
            "home": home,
            "doubt": find_doubt(item, text),
            "effect": undone,
        }

    def save_credential(self, step: Step, name: str, store: str, inputs: dict[str, Any]) -> None:
        """
        Save a credential to `keyring` or `.env`.

        A typed value is accepted first, so that the newest is saved.
        """
        item = find_credential(step, name)

        def save() -> str:
            self._accept_inputs(step, inputs)
            return self._credentials.save(item, store)

        self._start_action(step, save)

    def forget_credential(self, step: Step, name: str) -> None:
        """Remove a credential everywhere."""
        item = find_credential(step, name)
        self._start_action(step, lambda: self._credentials.forget(item))

    def secret_to_copy(self, step: Step) -> str:
        """Return the credential that this step carries to another console, for the clipboard."""
        if step.copies_secret is None or step.copies_secret.name not in self.run.settings.secrets:
            return ""
        return self.run.settings.secrets[step.copies_secret.name].reveal()

    def confirm_link(self, step: Step) -> str:
        """Return the address, below the server's, by which a second person confirms this step."""
        return f"runbook/confirm/{make_link(self.run, step.id)}"

    def prepare_consent(self, step: Step) -> None:
        """Prepare the consent page and listen for its redirect."""

        def prepare() -> str:
            try:
                url, paste_url, untrusted = self._consent.ask(step)
            finally:
                self._hide_consent(step)
            self._update(step, consent_url=url, consent_paste_url=paste_url)
            if untrusted:
                return f"{untrusted} Paste the address instead."
            return "Open the consent page. The form below says where the browser ends."

        self._start_action(step, prepare)

    def redeem_redirect(self, step: Step, url: str) -> None:
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
            self._check(step, {})
            return self._check_next_steps(step)

        self._start_action(step, redeem)

    def _hide_consent(self, step: Step) -> None:
        """Hide the consent links once no redirect is awaited."""
        if not self._consent.is_awaited:
            self._update(step, consent_url="", consent_paste_url="")

    def _check_next_steps(self, step: Step) -> str:
        """Check the steps that a valid token makes possible."""
        if not self.run.state.step(step.id).is_settled:
            return ""
        following = [
            other
            for other in self.run.procedure.steps
            if step.id in other.requires and not other.side_effect
        ]
        for other in following:
            self.perform(other, {}, is_asked=False)
        return " ".join(
            f"Next, checked automatically: {other.title}."
            for other in following
            if not find_missing_inputs(self.run, other)
        )

    def _report_no_redirect(self, step: Step) -> None:
        def say_so() -> str:
            self._hide_consent(step)
            minutes = f"{AWAITED_SECONDS / 60:.0f} minutes"
            raise AuthorizationError(
                f"No answer came within {minutes}; the runbook no longer waits for one.",
                next_step=RefusedConsentError.next_step,
            )

        self._start_action(step, say_so)

    def _check(
        self,
        step: Step,
        inputs: dict[str, Any],
        sure: Collection[str] = (),
        *,
        is_asked: bool = True,
    ) -> str:
        self._accept_inputs(step, inputs, sure)
        was_settled = self.run.state.step(step.id).is_settled
        state = self.run.perform(step.id, is_asked=is_asked)
        if not was_settled:
            self._refresh_following(step)
        if state.is_untouched and not is_asked:
            return ""  # what was seen stands there as information
        is_checked = state.made_findings or not find_missing_inputs(self.run, step)
        self._statuses.update(step.id, result="Checked." if is_checked else "Not checked.")
        return ""

    def _accept_inputs(
        self, step: Step, inputs: dict[str, Any], sure: Collection[str] = ()
    ) -> None:
        """
        Accept the typed values; raises `SettingsError` if one is refused, or doubtful.

        Steps that lacked one of them are checked again, unless a check has a side effect. `step`
        itself is checked only if its own check does not follow.
        """
        if not inputs:
            return
        tried = [self.run.step(state.id) for state in self.run.state.steps if state.checked_on]
        before = {other: find_missing_inputs(self.run, other) for other in tried}
        refused, doubtful = accept_values(self.run, inputs, sure)
        problems = [
            *({"input": name, "problem": as_sentence(why)} for name, why in refused.items()),
            *({"input": name, "doubt": why} for name, why in doubtful.items()),
        ]
        self._statuses.count(step.id, "taken", refused=problems)
        for other in (
            other for other in tried if find_missing_inputs(self.run, other) != before[other]
        ):
            if other.side_effect and not all(self.run.lacking(check) for check in other.checks):
                continue
            if other != step:
                self.perform(other, {}, is_asked=False)
            elif problems:
                self.run.perform(step.id)
        labels = {item.name: item.label for item in self.run.procedure.inputs}
        if refused:
            raise SettingsError(
                " ".join(f"{labels[name]}: {reason}." for name, reason in refused.items()),
                next_step="Correct it, then press the button again.",
            )
        if doubtful:
            msg = f"Not saved yet: {', '.join(labels[name] for name in doubtful)}."
            advice = "Read the warning at the field: correct the value, or press Use it anyway."
            raise SettingsError(msg, next_step=advice)

    def _start_action(self, step: Step, action: Callable[[], str]) -> None:
        """Run `action` off this thread; show that it runs, and its result."""
        self._statuses.begin(step.id)
        if not self._statuses.all_steps.busy_since:
            self._statuses.all_steps = PanelStatus()  # the person has gone on
        self.panels.draw(step.id)
        self._workers.submit(self._run_action, step, action)

    def _run_action(self, step: Step, action: Callable[[], str]) -> None:
        try:
            message = action()
            advice = ""
            is_error = False
        except Exception as error:  # noqa: BLE001  (a panel must never stay busy for ever)
            message, advice = describe_error(error)
            is_error = True
        self._statuses.end(step.id, message, advice, is_error=is_error)
        self.panels.draw()

    def _update(self, step: Step, **changes: Any) -> None:
        self._statuses.update(step.id, **changes)
        self.panels.draw(step.id)

    def _follow(self) -> None:
        drawn_lines = -1
        while not self._stopped.wait(_FOLLOW_SECONDS):
            try:
                lines = len(self.run.journal.read_all())
                if self._credentials.follow() or lines != drawn_lines:
                    self.panels.draw()
                    drawn_lines = lines
                self._watch()
            except Exception:  # noqa: BLE001  (drawing says what is wrong; following goes on)
                self.panels.draw()

    def _watch(self) -> None:
        """Check waiting steps again when it is time; record only changes."""
        now = self.run.clock()
        if now < self._statuses.next_refresh:
            return
        self._statuses.next_refresh = now + self._watch_interval
        used = self.run.used_calls
        self._statuses.held_back = (
            f" (held back: {used:.0f} % of the app's calls of this hour are used)"
            if used > _MOST_BY_WATCHING
            else ""
        )
        watched = [
            step
            for step in self.run.procedure.steps
            if is_watched(self.run.state.step(step.id), step, find_missing_inputs(self.run, step))
            and self.panels.has_panel(step.id)
        ]
        if watched:
            self.panels.draw(*(step.id for step in watched))
        if not self._statuses.held_back:
            self._check_changed(watched)
