"""
The page behind a link for a second person: one step, its sentence, a name. No kernel, no login.

Both servers of `runbook lab` serve it. The token in the address is the right to
confirm this step once, and to nothing else.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.engine.confirm_links import ConfirmLink, confirm_by_link, open_link
from runbook_lib.engine.confirmation import Confirmation
from runbook_lib.engine.run import Mode, open_run
from runbook_lib.errors import RunbookError, SettingsError
from runbook_lib.evidence.reports.wording import with_times
from runbook_lib.notebook.rendering import confirm_page

__all__ = ["ConfirmHandler", "add_confirm_page"]

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
    """Shows the step of a link, and records that a person confirms it."""

    def set_default_headers(self) -> None:
        """Set headers that keep the page to itself."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")
        # NOTE: with `no-referrer`, the form's Origin would be null (Fetch §3.2), and be refused.
        self.set_header("Referrer-Policy", "same-origin")

    @allow_unauthenticated
    def get(self, tenant: str, connector: str, token: str) -> None:
        """Show the step."""
        try:
            self._show(self._link(tenant, connector, token))
        except RunbookError as error:
            self._refuse(error)

    @allow_unauthenticated
    def post(self, tenant: str, connector: str, token: str) -> None:
        """Record the confirmation."""
        by, note = (self.get_body_argument(name, "") for name in ("by", "note"))
        try:
            link = self._link(tenant, connector, token)
        except RunbookError as error:
            self._refuse(error)
            return
        try:
            confirm_by_link(link, by, note)
        except RunbookError as error:
            self.set_status(HTTPStatus.BAD_REQUEST)
            self._show(link, problem=f"{error} {error.diagnostics()}", by=by, note=note)
            return
        self.finish(confirm_page(heading="Recorded", said="You can close this page."))

    def _link(self, tenant: str, connector: str, token: str) -> ConfirmLink:
        return open_link(tenant, connector, token, evidence=os.environ.get("RUNBOOK_EVIDENCE", ""))

    def _show(self, link: ConfirmLink, **more: str) -> None:
        run = open_run(
            find_procedure(link.connector),
            {},
            mode=Mode.INTERACTIVE,
            tenant=link.tenant,
            evidence=link.evidence,
            env_file=os.environ.get("RUNBOOK_ENV_FILE", ""),
        )
        state = run.whole_state.steps[link.step]
        self.finish(
            confirm_page(
                heading="Confirm a step",
                tenant=link.tenant,
                number=state.number,
                step=state.step,
                reason=with_times(state.conclusion.reason),
                about=Confirmation(run, state, by="", note="").about,
                is_sandbox=run.is_sandbox,
                xsrf=self.xsrf_form_html(),
                **more,
            )
        )

    def _refuse(self, error: RunbookError) -> None:
        self.set_status(HTTPStatus.GONE if isinstance(error, SettingsError) else 500)
        self.finish(confirm_page(heading="Nothing to confirm here", problem=str(error)))
