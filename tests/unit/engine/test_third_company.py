"""A connector of another company, with one `.env`: it gets nothing of Facebook's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.config import formats
from runbook_lib.connectors import registry
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR, CYCLR_CLIENT_SECRET
from runbook_lib.connectors.facebook.inputs import APP_SECRET, FACEBOOK
from runbook_lib.connectors.findings import verified
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Input, Procedure, Provider
from runbook_lib.engine.kernel_environment import kernel_environment
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError
from runbook_lib.remote.http_messages import Request
from runbook_lib.run.state import StepState
from tests.support.procedures import plain_procedure, plain_step
from tests.support.wording import refused, wording

FACEBOOKS = "0123456789abcdef0123456789abcde5"
CYCLRS = "of-cyclr-Secret-4711"
OTHERS = "0ther-c0mpany-Secret-4711"

OTHER_SECRET = Input(
    name="app_secret",
    label="Client Secret",
    help="",
    parse=formats.opaque_secret,
    secret=True,
    provider="other",
)
OTHER_URL = Input(
    name="api_url", label="API address", help="", parse=formats.web_address, provider="other"
)
OTHER = Provider(name="other", title="Other", settings=(OTHER_URL,), addresses=("api_url",))


class Listener:
    """A company's token endpoint: keeps every byte, answers 200."""

    def __init__(self) -> None:
        self.connections = 0
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.connections += 1
                while b"client_secret=" not in self.heard:
                    self.heard += connection.recv(65536)
                answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
                connection.sendall(answer)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Return the other company's token endpoint on loopback."""
    running = Listener()
    yield running
    running.close()


def connector(*providers: Provider, inputs: tuple[Input, ...]) -> Procedure:
    """Return a connector of the other company, whose check posts the first input to it."""
    secret = inputs[0].name

    def post(context: CheckContext) -> Finding:
        form = {"client_secret": context.secrets[secret].reveal()}
        url = f"{context.text('api_url')}/oauth/token"
        context.session.send(Request(method="POST", url=url, form=form))
        return verified(code="pair-accepted", reason="It took the secret.")

    step = plain_step("01-token", checks=(Check("its-secret", post, (secret,)),))
    return plain_procedure(step, id="other_leads", inputs=inputs, providers=providers)


# Its check posts its own secret, as every connector's first check does.
ITS_OWN = connector(OTHER, CYCLR, inputs=(OTHER_SECRET,))


def performed(procedure: Procedure, listener: Listener, **more: str) -> tuple[Run, StepState]:
    """Check with one `.env` that holds the secrets of Facebook and Cyclr, and `more`."""
    variables = {
        "RUNBOOK_FACEBOOK_APP_SECRET": FACEBOOKS,
        "RUNBOOK_FACEBOOK_MARKETING_APP_SECRET": FACEBOOKS,
        "RUNBOOK_CYCLR_CLIENT_SECRET": CYCLRS,
        "RUNBOOK_OTHER_API_URL": listener.url,
        **more,
    }
    path = Path("one.env")
    path.write_text("".join(f"{name}={text}\n" for name, text in variables.items()))
    run = open_run(
        procedure, {}, mode=Mode.HEADLESS, tenant="acme", evidence="evidence", env_file=str(path)
    )
    run.start()
    state = run.perform("01-token")
    run.close()
    return run, state


def test_it_is_not_given_facebooks_secret(folder: Path, listener: Listener) -> None:
    """Without its own secret the check names the missing one, and nothing is sent."""
    run, state = performed(ITS_OWN, listener)

    assert run.settings.secrets == {}
    assert state.outcome is Outcome.NOT_RUN
    assert "Client Secret" in state.reason
    assert (listener.connections, listener.heard) == (0, b"")


@pytest.mark.parametrize("name", ["RUNBOOK_OTHER_APP_SECRET", "RUNBOOK_OTHER_LEADS_APP_SECRET"])
def test_its_own_secret_reaches_its_own_host(folder: Path, listener: Listener, name: str) -> None:
    """With its own variable, the provider's or the connector's, its secret goes to its host."""
    _, state = performed(ITS_OWN, listener, **{name: OTHERS})

    assert state.outcome is Outcome.VERIFIED
    assert OTHERS.encode() in listener.heard
    assert FACEBOOKS.encode() not in listener.heard


def test_a_name_without_its_provider_is_nobodys(folder: Path, listener: Listener) -> None:
    """It is refused before anything is written: it may be for any provider."""
    with refused(SettingsError, "unknown-variable", name="RUNBOOK_APP_SECRET"):
        performed(ITS_OWN, listener, RUNBOOK_APP_SECRET=FACEBOOKS)

    assert not Path("evidence").exists()


@pytest.mark.parametrize(
    ("item", "label"),
    [
        # Facebook's, under the name that every connector has.
        (APP_SECRET, "App Secret (app_secret)"),
        # Cyclr's, by a slip.
        (CYCLR_CLIENT_SECRET, "Cyclr API Client Secret"),
    ],
)
@pytest.mark.parametrize("providers", [(OTHER, CYCLR), (OTHER, CYCLR, FACEBOOK)])
def test_a_check_cannot_send_it_another_companys_secret(
    folder: Path,
    listener: Listener,
    item: Input,
    label: str,
    providers: tuple[Provider, ...],
) -> None:
    """A check that tries sends no byte; the finding names setting and host, not the value."""
    run, state = performed(connector(*providers, inputs=(item, OTHER_URL)), listener)

    assert state.outcome is Outcome.INCONCLUSIVE
    assert wording("outside-practice.not-contacted") in state.reason
    assert label in state.reason
    assert (listener.connections, listener.heard) == (0, b"")
    journal = run.journal.path.read_text()
    assert not any(secret in journal for secret in (FACEBOOKS, CYCLRS))


def test_its_kernel_has_nothing_of_facebooks(folder: Path) -> None:
    """The kernel of its notebook gets the variables of its provider and of Cyclr only."""
    theirs = {name for name in registry.known_variables() if "FACEBOOK" in name}
    mine = {"RUNBOOK_OTHER_APP_SECRET", "RUNBOOK_OTHER_LEADS_APP_SECRET", "RUNBOOK_CYCLR_API_URL"}
    environ = dict.fromkeys((*theirs, *mine, "RUNBOOK_SIGNING_PASSPHRASE", "PATH"), "x")

    assert "RUNBOOK_FACEBOOK_APP_SECRET" in theirs
    assert set(kernel_environment(ITS_OWN, {}, environ)) == {*mine, "PATH"}
