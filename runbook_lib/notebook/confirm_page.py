"""
The page behind a link for a second person: one step, its sentence, a name. No kernel, no login.

Both servers of `runbook lab` serve it. The token in the address is the right to
confirm this step once, and nothing else.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join

from runbook_lib.engine.confirm_links import ConfirmLink, confirm_by_link, open_link
from runbook_lib.engine.confirmation import subject_of
from runbook_lib.errors import RunbookError, SettingsError
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.notebook.rendering import confirm_page

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
)


def _load_jupyter_server_extension(server: Any) -> None:
    add_confirm_page(server.web_app)


def add_confirm_page(web_app: Any) -> None:
    """Serve the page below the server's base URL."""
    place = url_path_join(web_app.settings["base_url"], r"/runbook/confirm/([^/]+)/([^/]+)/([^/]+)")
    web_app.add_handlers(".*$", [(place, ConfirmHandler)])


class ConfirmHandler(JupyterHandler):
    """Shows the step of a link, and records that a person confirms it, or says no."""

    def set_default_headers(self) -> None:
        """Set headers that isolate the page, and keep it out of caches."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")
        # NOTE: with `no-referrer`, the form's Origin would be null (Fetch §3.2), and be refused.
        self.set_header("Referrer-Policy", "same-origin")

    @allow_unauthenticated
    def get(self, *place: str) -> None:
        """Show the step."""
        self._answer(place)

    @allow_unauthenticated
    def post(self, *place: str) -> None:
        """Record the confirmation."""
        by, note, answer = (self.get_body_argument(name, "") for name in ("by", "note", "answer"))
        self._answer(place, by=by, note=note, answer=answer)

    def _answer(self, place: tuple[str, ...], **answers: str) -> None:
        """Show the step, or record `answers`, or say why that is not possible."""
        try:
            link = open_link(
                *place,
                evidence=os.environ.get("RUNBOOK_EVIDENCE", ""),
                env_file=os.environ.get("RUNBOOK_ENV_FILE", ""),
            )
            page = self._recorded(link, **answers) if answers else self._step_page(link)
        except RunbookError as error:
            self.set_status(HTTPStatus.GONE)
            page = confirm_page(heading="Nothing to confirm here", problem=str(error))
        self.finish(page)

    def _recorded(self, link: ConfirmLink, *, by: str, note: str, answer: str) -> str:
        try:
            confirm_by_link(link, by, note, is_no=answer == "no")
        except SettingsError as error:
            self.set_status(HTTPStatus.BAD_REQUEST)
            problem = f"{error} {error.diagnostics()}"
            return self._step_page(link, problem=problem, by=by, note=note)
        return confirm_page(heading="Recorded", message="You can close this page.")

    def _step_page(self, link: ConfirmLink, **more: str) -> str:
        run = link.open_run()
        step = run.step(link.step)
        state = run.whole_state.step(step.id)
        return confirm_page(
            heading="Confirm a step",
            tenant=link.tenant,
            number=state.number,
            step=step,
            sentence=state.asked_sentence,
            reason=with_times(state.reason),
            about=subject_of(run, step),
            is_sandbox=True in run.history.practice,
            xsrf=self.xsrf_form_html(),
            **more,
        )
