"""Sealing from the walkthrough: another process is given all that is known here, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook.inputs import APP_SECRET as APP_SECRET_INPUT
from runbook_lib.core.redaction import MASK
from runbook_lib.engine.process import Finished, ProcessRequest
from runbook_lib.engine.run import Run
from runbook_lib.errors import SealingError
from runbook_lib.walkthrough import sealing
from runbook_lib.walkthrough.sealing import seal_evidence
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.stage import CANARIES, app_step, make_run, make_step

WAITS = "Waiting for another headless run of this tenant: process 7, since 2026-11-25."


class Process:
    """Takes the place of the headless run in its process."""

    def __init__(self) -> None:
        self.requests: list[ProcessRequest] = []
        self.finished = Finished("incomplete", Path("/evidence/acme/20261124-0badcafe"))
        self.error: SealingError | None = None

    def __call__(self, request: ProcessRequest, *, on_wait: Callable[[str], None]) -> Finished:
        """Note what it is given; wait, then end as told."""
        self.requests.append(request)
        on_wait(WAITS)
        if self.error:
            raise self.error
        return self.finished

    @property
    def request(self) -> ProcessRequest:
        """Return the one request."""
        (request,) = self.requests
        return request


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    fake = Process()
    monkeypatch.setattr(sealing, "run_in_process", fake)
    return fake


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Run]:
    """Return a maker of runs that have begun."""

    def make(**more: Any) -> Run:
        run = make_run(tmp_path, app_step(), make_step("b"), secrets=CANARIES, **more)
        run.start()
        return run

    return make


def test_what_that_run_came_to_is_returned(process: Process, started: Callable[..., Run]) -> None:
    """Not the newest bundle, not another's: the one that the process itself has named."""

    assert seal_evidence(started()) == process.finished


def test_the_run_is_for_the_same_connector_tenant_folder_and_values(
    process: Process, started: Callable[..., Run], tmp_path: Path
) -> None:
    """Wherever the process is started, with every value that was given here, as it is."""

    values = {"app_id": "77", "permissions": ("public_profile", "ads_read")}
    seal_evidence(started(**values))

    request = process.request
    assert (request.connector, request.tenant) == ("p", "acme")
    assert Path(request.evidence) == tmp_path / "evidence"
    assert Path(request.evidence).is_absolute()
    assert request.given == values


def test_the_settings_file_is_named_where_there_is_one(
    process: Process, started: Callable[..., Run]
) -> None:
    """A file that does not exist would be an error; one that does holds what nobody typed here."""

    run = started()
    seal_evidence(run)
    run.env_file.touch()
    seal_evidence(run)

    assert [request.env_file for request in process.requests] == ["", str(run.env_file)]


def test_credentials_go_by_the_name_that_counts_for_this_connector(
    process: Process, started: Callable[..., Run]
) -> None:
    """What was typed here beats the settings file and the environment, in both spellings."""

    seal_evidence(started())

    secrets = {name: secret.reveal() for name, secret in process.request.secrets.items()}
    assert secrets == {f"RUNBOOK_P_{name.upper()}": text for name, text in CANARIES.items()}


def test_a_forgotten_credential_is_not_passed_on(
    process: Process, started: Callable[..., Run]
) -> None:
    """The process gets what is known here, and no more."""

    run = started()
    run.forget_secret(APP_SECRET_INPUT, [])
    seal_evidence(run)

    assert set(process.request.secrets) == {"RUNBOOK_P_USER_ACCESS_TOKEN"}


def test_a_run_that_leaves_nothing_says_why_in_its_own_words(
    process: Process, started: Callable[..., Run]
) -> None:
    """With what to do next; redacted, since another program's words are anything."""

    process.error = SealingError(f"{APP_SECRET} is refused.", next_step=f"Replace {APP_SECRET}.")

    with pytest.raises(SealingError) as caught:
        seal_evidence(started())

    assert str(caught.value) == f"{MASK} is refused."
    assert caught.value.diagnostics() == f"Replace {MASK}."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_whom_the_run_waits_for_is_passed_on_as_it_comes(
    process: Process, started: Callable[..., Run]
) -> None:
    """Nobody looks at a busy panel for minutes without knowing why."""

    heard: list[str] = []

    seal_evidence(started(), on_wait=heard.append)

    assert heard == [WAITS]
