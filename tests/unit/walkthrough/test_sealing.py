"""Sealing from the walkthrough: the headless run gets what is known here, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook.inputs import APP_SECRET as APP_SECRET_INPUT
from runbook_lib.core.redaction import MASK
from runbook_lib.engine import elsewhere
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SealingError
from runbook_lib.walkthrough.sealing import seal_evidence
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.sample_run import CANARIES, app_step, make_run, make_step

WAITS = "Waiting for another headless run of this tenant: process 7, since 2026-11-25."


class Process:
    """Replaces the headless run in its own process."""

    def __init__(self) -> None:
        self.requests: list[Mapping[str, Any]] = []
        self.secrets: Mapping[str, str] = {}
        self.end = RunEnd(outcome="incomplete", bundle="/evidence/acme/20261124-0badcafe")

    def __call__(
        self,
        document: Mapping[str, Any],
        secrets: Mapping[str, str],
        *,
        on_wait: Callable[[str], None],
        **_: Any,
    ) -> RunEnd:
        """Record the request, then return the end."""
        self.requests.append(document)
        self.secrets = secrets
        on_wait(WAITS)
        return self.end

    @property
    def request(self) -> Mapping[str, Any]:
        """Return the only request."""
        (request,) = self.requests
        return request


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    fake = Process()
    monkeypatch.setattr(elsewhere, "run_elsewhere", fake)
    return fake


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Run]:
    """Return a factory of started runs."""

    def make(**more: Any) -> Run:
        run = make_run(tmp_path, app_step(), make_step("b"), secrets=CANARIES, **more)
        run.start()
        return run

    return make


def test_the_result_of_the_run_is_returned(process: Process, started: Callable[..., Run]) -> None:
    """`seal_evidence` returns the result that the process reports."""
    assert seal_evidence(started()) == process.end


def test_the_run_is_for_the_same_connector_tenant_folder_and_values(
    process: Process, started: Callable[..., Run], tmp_path: Path
) -> None:
    """It has the same connector, tenant and values, an absolute path, and that a person asked."""
    values = {"app_id": "77", "permissions": ("public_profile", "ads_read")}
    seal_evidence(started(**values))

    request = process.request
    assert (request["connector"], request["tenant"], request["mode"]) == (
        "p",
        "acme",
        "walkthrough",
    )
    assert Path(request["evidence"]) == tmp_path / "evidence"
    assert Path(request["evidence"]).is_absolute()
    assert request["given"] == values


def test_an_existing_settings_file_is_passed_on(
    process: Process, started: Callable[..., Run]
) -> None:
    """The settings file is passed on only if it exists."""
    run = started()
    seal_evidence(run)
    run.env_file.touch()
    seal_evidence(run)

    assert [request["env_file"] for request in process.requests] == ["", str(run.env_file)]


def test_credentials_go_by_the_name_that_counts_for_this_connector(
    process: Process, started: Callable[..., Run]
) -> None:
    """Credentials are passed under this connector's own variables, which take precedence."""
    seal_evidence(started())

    assert process.secrets == {f"RUNBOOK_P_{name.upper()}": text for name, text in CANARIES.items()}


def test_a_forgotten_credential_is_not_passed_on(
    process: Process, started: Callable[..., Run]
) -> None:
    """A credential that was removed is not passed on."""
    run = started()
    run.forget_secret(APP_SECRET_INPUT, [])
    seal_evidence(run)

    assert set(process.secrets) == {"RUNBOOK_P_USER_ACCESS_TOKEN"}


def test_the_error_of_the_run_is_raised_redacted(
    process: Process, started: Callable[..., Run]
) -> None:
    """The run's error is raised with its message and next step, both redacted."""
    process.end = RunEnd(message=f"{APP_SECRET} is refused.", next_step=f"Replace {APP_SECRET}.")

    with pytest.raises(SealingError) as caught:
        seal_evidence(started())

    assert str(caught.value) == f"{MASK} is refused."
    assert caught.value.diagnostics() == f"Replace {MASK}."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_reason_to_wait_is_passed_on(process: Process, started: Callable[..., Run]) -> None:
    """The reason why the run waits is passed on."""
    heard: list[str] = []

    seal_evidence(started(), on_wait=heard.append)

    assert heard == [WAITS]
