"""
Asking a person's consent in the walkthrough, and turning the answer into a token.

How the request and its answer look is `remote.consent`'s business, what the
token is good for the checks'.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from runbook_lib.checks.review import with_dependencies
from runbook_lib.checks.service_domain import redirect_uri
from runbook_lib.errors import AuthorizationError, SettingsError, TokenRequestError
from runbook_lib.redaction import Secret
from runbook_lib.remote.consent import (
    PendingAuthorization,
    RedirectListener,
    answers,
    read_redirect,
)
from runbook_lib.remote.graph import Graph
from runbook_lib.remote.oauth import request_token_by_code
from runbook_lib.run import Run

__all__ = ["Consent"]


class Consent:
    """
    The consent that one walkthrough asks for; the newest request counts.

    `on_redirect` is called with the address of each redirect that is awaited.
    """

    def __init__(self, run: Run, on_redirect: Callable[[str], None]) -> None:
        self._run = run
        self._on_redirect = on_redirect
        self._lock = threading.Lock()
        self._pending: dict[str, PendingAuthorization] = {}
        self._listener: RedirectListener | None = None

    def ask(self) -> tuple[str, str]:
        """
        Return the consent page's address, and the one whose answer is pasted.

        The second redirects to the Service Domain, which every app has
        registered; it is empty while that is not known. Raises
        `SettingsError` where the app is not known yet.
        """
        values = self._run.values
        if not values.get("app_id") or "app_secret" not in self._run.settings.secrets:
            msg = "App ID and App Secret are not known yet."
            advice = (
                "Give them in step 13 of the first notebook, and remember the App Secret there."
            )
            raise SettingsError(msg, next_step=advice)
        if self._listener is None:
            self._listener = RedirectListener(self._hear)
        asked = [self._request(self._listener.redirect_uri)]
        if values.get("service_domain"):
            asked.append(self._request(redirect_uri(str(values["service_domain"]))))
        with self._lock:
            self._pending = {request.state: request for request in asked}
        return asked[0].url, asked[1].url if len(asked) > 1 else ""

    def accept(self, url: str) -> tuple[PendingAuthorization, Secret]:
        """Return the request that a redirect answers and its code; nobody gets it a second time."""
        with self._lock:
            request, code = read_redirect(self._pending, url)
            self._pending = {}
        self._run.redactor.learn(code)
        return request, code

    def _hear(self, url: str) -> bool:
        """Pass a redirect on that is awaited, and tell whether it is."""
        with self._lock:
            is_awaited = answers(self._pending, url)
        if is_awaited:
            self._on_redirect(url)
        return is_awaited

    def redeem(self, request: PendingAuthorization, code: Secret) -> Secret:
        """Return the token for the code; raises `AuthorizationError` where Facebook refuses it."""
        values, session = self._run.values, self._run.open_session()
        graph = Graph(
            session, base_url=str(values["graph_url"]), version=str(values["graph_version"])
        )
        try:
            return request_token_by_code(
                session,
                graph.token_endpoint,
                client_id=request.client_id,
                client_secret=self._run.settings.secrets["app_secret"],
                redirect_uri=request.redirect_uri,
                code=code.reveal(),
            ).value
        except TokenRequestError as error:
            msg = f"Facebook did not take the answer ({error})."
            advice = "Sign in with Facebook again: an answer counts once, and for a few minutes."
            raise AuthorizationError(msg, next_step=advice) from error

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()

    def _request(self, uri: str) -> PendingAuthorization:
        values = self._run.values
        permissions = values["permissions"]
        return PendingAuthorization(
            dialog_url=str(values["dialog_url"]),
            client_id=str(values["app_id"]),
            redirect_uri=uri,
            scope=with_dependencies(permissions) if isinstance(permissions, tuple) else (),
        )
