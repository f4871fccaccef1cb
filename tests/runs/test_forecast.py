"""The forecast says the same days wherever it is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import utc_now
from runbook_lib.engine.tenant_run import open_known
from runbook_lib.evidence.reports import phrases
from runbook_lib.evidence.reports.pictures import forecast_lines, forecast_title
from runbook_lib.run.forecast import make_forecast
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import header_view
from tests.support.practice_runs import PractiseOnce
from tests.unit.walkthrough.sample_run import make_context

_ALTERNATIVE = re.compile(r'<svg[^>]*class="picture[^>]*aria-label="([^"]+)"')


@pytest.mark.parametrize(
    ("scenario", "title"),
    [
        ("approved", "All 4 decisions are made"),
        ("review-pending", "3 of 4 decisions made; all expected by {}"),
    ],
)
def test_the_forecast_is_the_same_everywhere(
    scenario: str, title: str, practice_run: PractiseOnce, tmp_path: Path
) -> None:
    """The header, `status`, the review kit and the report have the same decisions and days."""
    run = practice_run(scenario)
    evidence = run.copy_evidence(tmp_path / "evidence")
    where = {"tenant": f"sandbox-{scenario}", "evidence": str(evidence)}
    words = [word for name, value in where.items() for word in (f"--{name}", value)]
    known = open_known(PROCEDURE, env_file="", **where)
    forecast = make_forecast(known.whole_state, PROCEDURE, utc_now().date().isoformat())
    assert forecast is not None
    lines = [f"{name}: {days}" for name, days in forecast_lines(forecast)]
    assert len(lines) == 4
    # A review takes 22 days at most, from the day on which it was submitted.
    (submitted,) = (
        step["attestation"]["at"]
        for step in run.record["steps"]
        if step["id"] == "fb-12-submit-review"
    )
    end = datetime.fromisoformat(submitted) + timedelta(days=22)
    year = f" {end.year}" if end.year != utc_now().year else ""
    title = title.format(f"{end.day} {end:%b}{year}")
    assert forecast_title(forecast) == title

    header = header_view(
        known.whole_state,
        replace(make_context(), procedure=PROCEDURE),
        status=PanelStatus(),
        plan=PROCEDURE.plan,
    )
    chips = {chip["step"]: chip["text"] for chip in header["forecast"]["chips"]}
    begun = [decision for decision in forecast.decisions if decision.stage != "ahead"]
    assert header["forecast"]["title"] == title
    assert list(chips) == [decision.step for decision in begun]
    for decision, (name, days) in zip(forecast.decisions, forecast_lines(forecast), strict=True):
        if decision in begun:
            day_of_it = phrases.day(decision.ends or decision.begins)
            assert chips[decision.step].startswith(f"{name} · ")
            assert day_of_it in chips[decision.step]
            assert day_of_it in days
    kit = CliRunner().invoke(main, ["kit", "--output", str(tmp_path), *words])
    status = CliRunner().invoke(main, ["status", *words], env={"COLUMNS": "160"})
    report = (run.bundle / "report.html").read_text(encoding="utf-8")
    assert kit.exit_code == 0
    alternative = " ".join(map(unescape, _ALTERNATIVE.findall(report)))
    assert [line for line in lines if line not in alternative] == []
    assert title in unescape(report)
    markdown = (tmp_path / "review-kit.md").read_text(encoding="utf-8")
    assert [line for line in lines if f"- {line}" not in markdown] == []
    status_text = re.sub(r" {2,}", ": ", status.output.replace("\n  ", "\n"))
    assert [line for line in lines if line not in status_text] == []
    assert f"Forecast: {title}." in status.output
