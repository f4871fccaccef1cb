"""A client meets every mode of the hostile server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from msgspec import to_builtins

from runbook_lib.errors import RunbookError
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.limits import Deadline
from tests.support.attacked_clients import CLIENTS, LIMITS, SECRET, attacked
from tests.support.hostile_server import MODES
from tests.support.wording import wording

pytestmark = pytest.mark.matrix

# Modes that end with a time limit only; a short limit tests the same.
ENDLESS = (
    "one byte at a time",
    "one chunk at a time",
    "slow headers",
    "a slow status line",
    "100 Continue without end",
    "silence",
)
BRIEF = replace(LIMITS, exchange_seconds=0.25)


@pytest.fixture(scope="module", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Load the certificate authorities only once: no server here uses TLS."""
    context = httpx.create_ssl_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPClient, "tls_context", lambda _: context)
        yield


@pytest.mark.parametrize("mode", MODES)
def test_no_remote_breaks_a_client(mode: str) -> None:
    """
    Graph's client returns a response or raises a `RunbookError`, also of a response without end.

    The message is printable and short, the record is small, and neither has the secret.
    """
    with attacked(mode, BRIEF if mode in ENDLESS else LIMITS) as (session, url):
        session.set_step_deadline(Deadline(LIMITS.step_seconds))
        try:
            CLIENTS["graph"](session, url)
            said = ""
        except RunbookError as error:
            said = f"{error} {error.diagnostics()}"
    recorded = json.dumps(to_builtins(session.exchanges()), allow_nan=False)

    assert session.exchanges()
    assert wording("remote-error.not-sent") not in said
    assert len(said) < 1_500
    assert said.isprintable()
    assert len(recorded) < 160 * 1024
    assert SECRET.reveal() not in said + recorded
