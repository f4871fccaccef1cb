"""
Asks for a person's consent in the walkthrough, and redeems its code for a token.

`remote.authorization_redirect` defines the request and its redirect; checks use the token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from runbook_lib.config.workspace import leads_here
from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.procedure import Step
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import (
    AuthorizationError,
    ListenerError,
    RefusedConsentError,
    SettingsError,
    StateMismatchError,
    TokenRequestError,
)
from runbook_lib.remote.authorization_redirect import (
    PendingAuthorization,
    is_response_to,
    read_redirect,
)
from runbook_lib.remote.oauth import request_token_by_code
from runbook_lib.remote.redirect_listener import RedirectListener

# A redirect comes after a login, perhaps with a second factor.
AWAITED_SECONDS = 15 * 60.0
_LINGER_SECONDS = 20.0

Accepted = tuple[PendingAuthorization, Secret]
Accept = Callable[[], Accepted]


class Consent:
    """
    The consent that one walkthrough asks for; the newest request counts.

    `on_answer` is called for the awaited redirect, with the step that asked and
    a function that returns the request and its code, or raises the refusal.
    `on_end` is called with the step if no redirect came in time.
    """

    def __init__(
        self,
        run: Run,
        on_answer: Callable[[Step, Accept], None],
        on_end: Callable[[Step], None],
        *,
        seconds: float = AWAITED_SECONDS,
    ) -> None:
        self._run = run
        self._vendor = vendor_of(run.procedure)
        self._on_answer = on_answer
        self._on_end = on_end
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._pending: dict[str, PendingAuthorization] = {}
        self._step: Step | None = None
        self._listener: RedirectListener | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a redirect is still awaited."""
        return bool(self._pending)

    def ask(self, step: Step) -> tuple[str, str, str]:
        """
        Return the consent page's address, and the one whose answer is pasted.

        The second redirects to the Service Domain, which every app has
        registered; it is empty while that is not known. The first is empty
        where another program could read the answer; the last text says so then. Raises
        `SettingsError` where the app is not known yet, or practice would open another machine's
        page, and `ListenerError` where neither is left.
        """
        values = self._run.values
        item = self._vendor.client_id
        secret = self._vendor.client_secret
        if not values.get(item.name) or secret.name not in self._run.settings.secrets:
            raise SettingsError(
                f"{item.label} and {secret.label} are not known yet.",
                next_step="Enter them in the step that asks for them.",
            )
        page = self._vendor.oauth(values).authorization_endpoint
        if self._run.is_sandbox and not leads_here(page, values):
            raise SettingsError(
                f"This run is practice (SANDBOX), and {page} is not on this machine.",
                next_step="Correct that address in the settings.",
            )
        domain = str(values.get("service_domain") or "")
        listening_uri = ""
        untrusted = ""
        try:
            with self._asking:
                listening_uri = self._listening_at()
        except ListenerError as error:
            with self._lock:
                self._pending = {}
            if not domain:
                raise
            untrusted = str(error)
        uris = [listening_uri] if listening_uri else []
        if domain:
            uris.append(redirect_uri(domain))
        requests = [self._request(uri) for uri in uris]
        with self._lock:
            self._pending = {request.state: request for request in requests}
            self._step = step
        url = requests[0].url if listening_uri else ""
        return url, requests[-1].url if domain else "", untrusted

    def accept(self, url: str) -> Accepted:
        """
        Return the request that a redirect answers and its code; each counts once.

        A refusal counts once, too: no later redirect makes it a success.
        """
        with self._lock:
            try:
                request, code = read_redirect(self._pending, url)
            except RefusedConsentError:
                self._end_awaiting()
                raise
            self._end_awaiting()
        endpoint = request.server.authorization_endpoint
        credential = self._run.open_session().client.secret_guard.issued_credential(
            endpoint, "a consent's code"
        )
        self._run.redactor.learn(code, credential)
        return request, code

    def _end_awaiting(self) -> None:
        self._pending = {}
        if self._listener is not None:
            # A browser that asks twice still gets a page.
            self._listener.keep_open(_LINGER_SECONDS)

    def _listening_at(self) -> str:
        """Return the redirect URI of a listener that no other program can replace."""
        listener = self._listener
        if listener is None or not listener.keep_open(self._seconds):
            listener = RedirectListener(self._receive, seconds=self._seconds, on_end=self._end)
            with self._lock:
                self._listener = listener
        try:
            listener.prove()
        except ListenerError:
            self.close()
            raise
        return listener.redirect_uri

    def _receive(self, url: str) -> bool:
        """Accept an awaited redirect, and return whether it is one."""
        step = self._step
        if step is None or not is_response_to(self._pending, url):
            return False
        try:
            accepted = self.accept(url)
        except StateMismatchError:
            return False  # another one was faster
        except AuthorizationError as error:
            refusal = error

            def refused() -> Accepted:
                raise refusal

            self._on_answer(step, refused)
        else:
            self._on_answer(step, lambda: accepted)
        return True

    def _end(self, ended: RedirectListener) -> None:
        with self._lock:
            step = self._step
            if self._listener is not ended or not self._pending or step is None:
                return  # it was asked again since, or is answered
            self._pending = {}
        self._on_end(step)

    def redeem(self, request: PendingAuthorization, code: Secret) -> Secret:
        """Return the token for the code; raises `AuthorizationError` if it is refused."""
        try:
            return request_token_by_code(
                self._run.open_session(),
                request.server,
                client_id=request.client_id,
                client_secret=self._run.settings.secrets[self._vendor.client_secret.name],
                redirect_uri=request.redirect_uri,
                code=code.reveal(),
            )
        except TokenRequestError as error:
            title = request.server.title
            msg = f"{title} did not accept the answer ({error})."
            advice = f"Sign in with {title} again: an answer works once, for a few minutes."
            raise AuthorizationError(msg, next_step=advice) from error

    def close(self) -> None:
        """Stop listening."""
        listener = self._listener
        self._listener = None
        if listener is not None:
            listener.close()

    def _request(self, uri: str) -> PendingAuthorization:
        values = self._run.values
        client_id = str(values[self._vendor.client_id.name])
        return PendingAuthorization(self._vendor.oauth(values), client_id, uri)
