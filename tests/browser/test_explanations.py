"""The text that panels show for each failure, tested without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import step_view
from tests.browser.explained_errors import EXPLAINED
from tests.runs.conftest import settings_of
from tests.unit.walkthrough.sample_run import make_context


@pytest.mark.parametrize("scenario", EXPLAINED)
def test_a_failure_says_what_is_wrong_and_what_to_do_next(scenario: str, tmp_path: Path) -> None:
    """In each failing scenario, the step's view says what is wrong and what to do next."""
    explained = EXPLAINED[scenario]
    with Sandbox(scenario) as failing:
        run = open_run(
            PROCEDURE,
            {},
            mode=Mode.INTERACTIVE,
            tenant=scenario,
            evidence=str(tmp_path / "evidence"),
            env_file=str(settings_of(failing, tmp_path / "settings")),
        )
        run.start()
        states = [run.perform(step) for step in explained.steps]
        values = run.values
        exchanges = run.state.exchanges
        run.close()
    context = make_context(procedure=PROCEDURE, values=values)
    given = step_view(
        states[-1], context, recent=(), exchanges=exchanges, status=PanelStatus(), lacks=()
    )
    shown = " ".join((given["reason"], *given["warnings"], *given["limits"]))
    assert explained.wrong in shown
    assert explained.following in shown
