"""For each scenario of the sandbox: exactly the expected outcome of every step."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runbook_lib.core.model import Attestation, Outcome
from runbook_lib.evidence.record import parse_record
from runbook_lib.run.events import StepChecked
from runbook_lib.run.fold import fold
from tests.runs.conftest import outcomes, step_of
from tests.support.line_writer import LineWriter
from tests.support.practice_runs import PracticeRun, PractiseOnce
from tests.support.scenario_table import UPDATE, expected, has_fixed_codes, scenarios, seen, update
from tests.support.wording import wording

MARKETING = "facebook_marketing"
MESSENGER = "facebook_messenger"


@pytest.mark.parametrize("scenario", scenarios(MARKETING))
def test_each_scenario_has_its_outcomes(
    scenario: str, practice_run: PractiseOnce, pytestconfig: pytest.Config
) -> None:
    """Each scenario gives exactly the expected outcome and codes of every step, and exit code."""
    result = practice_run(scenario)
    assert result.stdout, result.stderr
    is_as_expected(MARKETING, scenario, result, pytestconfig)
    assert result.record["sandbox"] is True


@pytest.mark.parametrize("scenario", scenarios(MARKETING))
def test_the_person_who_asked_for_a_check_changes_no_outcome(
    scenario: str, practice_run: PractiseOnce
) -> None:
    """The state is the same if only the walkthrough looked by itself, but for who worked on it."""
    run = practice_run(scenario)
    asked = fold(run.lines, run.record["run"])
    automatic = LineWriter()
    for line in run.lines:
        event = line.event
        if isinstance(event, StepChecked):
            event = replace(event, automatic=True)
        automatic.write(event, line.head.at, line.head.run, line.head.step)
    by_itself = fold(automatic.lines, run.record["run"])

    assert all(step.is_worked_on for step in asked.steps)
    reported = {line.head.step for line in run.lines if isinstance(line.event, Attestation)}
    assert {step.id for step in by_itself.steps if step.is_worked_on} == reported
    assert [replace(step, is_worked_on=True) for step in by_itself.steps] == list(asked.steps)


def test_steps_that_only_a_person_can_confirm_are_left_to_one(practice_run: PractiseOnce) -> None:
    """Test calls and reviews that no API shows are no trouble of the step; a refusal is."""
    steps = practice_run("test-calls-missing").record["steps"]
    unclear = {
        step["id"]: step["needs_human_only"]
        for step in steps
        if step["outcome"] == Outcome.INCONCLUSIVE
    }
    assert unclear == {
        "fb-05a-business-verification": False,
        "fb-09a-test-calls": True,
        "fb-10-public-profile": True,
        "fb-11-permissions": True,
        "fb-12-submit-review": True,
        "cy-02-client-id": False,
    }


def test_a_declined_review_says_that_it_cannot_be_told_from_a_pending_one(
    practice_run: PractiseOnce,
) -> None:
    """A declined review cannot be told from a pending one, and the limits say so."""
    record = practice_run("review-declined").record
    check = step_of(record, "fb-12-submit-review")["findings"][0]
    assert any(wording("findings.waiting-or-declined") in limit for limit in check["limits"])


def test_a_replaced_graph_version_is_a_warning(practice_run: PractiseOnce) -> None:
    """If Facebook uses another API version, the step that checks the app has a warning."""
    record = practice_run("version-expired").record
    checks = step_of(record, "fb-13-app-id-and-secret")["findings"]
    warnings = [warning for check in checks for warning in check["warnings"]]
    assert any(
        wording("findings.version-ended", version="v26.0") in warning for warning in warnings
    )


@pytest.mark.parametrize(
    ("connector", "steps"),
    [
        ("facebook_marketing", ("test-05-marketing-data", "test-06-customer-consent")),
        ("facebook_messenger", ("fb-10-page-access", "test-04-customer-consent")),
    ],
)
def test_a_page_behind_a_portfolio_is_found_by_its_id(
    practice_run: PractiseOnce, connector: str, steps: tuple[str, ...]
) -> None:
    """Each check that reads a page says which way found it."""
    record = practice_run("portfolio-pages", connector).record
    for step in steps:
        reasons = [check["reason"] for check in step_of(record, step)["findings"]]
        assert all(wording("findings.found-by-id") in reason for reason in reasons), reasons


def test_the_redirect_check_says_that_only_the_domain_is_proven(practice_run: PractiseOnce) -> None:
    """A verified redirect URI has its path in the list as limit."""
    record = practice_run("approved").record
    checks = step_of(record, "fb-08-redirect-uri")["findings"]
    limits = [limit for check in checks for limit in check["limits"]]
    assert any(wording("findings.path-not-proven") in limit for limit in limits)


@pytest.mark.parametrize("scenario", scenarios(MESSENGER))
def test_messenger_scenarios_have_their_outcomes(
    scenario: str, practice_run: PractiseOnce, pytestconfig: pytest.Config
) -> None:
    """Each Messenger scenario changes exactly the steps that it is about."""
    result = practice_run(scenario, MESSENGER)
    assert result.record["procedure"]["id"] == MESSENGER
    is_as_expected(MESSENGER, scenario, result, pytestconfig)


def test_a_messenger_app_that_is_approved_has_no_open_step(practice_run: PractiseOnce) -> None:
    """In the scenario `approved` every step is verified or attested."""
    approved = practice_run("approved", MESSENGER).record
    assert set(outcomes(approved).values()) == {"verified", "attested"}


def only_outcomes(steps: dict[str, str]) -> dict[str, str]:
    """Return the steps without the codes of their findings."""
    return {name: text.partition(":")[0] for name, text in steps.items()}


def is_as_expected(
    connector: str, scenario: str, result: PracticeRun, config: pytest.Config
) -> None:
    """Compare a run with its row of the table, or rewrite the row."""
    record = result.record
    if config.getoption(UPDATE):
        update(connector, scenario, result.returncode, seen(record))
    exit_code, steps = expected(connector, scenario)
    found = seen(record)
    if not has_fixed_codes(connector, scenario):
        found, steps = map(only_outcomes, (found, steps))
    assert found == steps
    assert result.returncode == exit_code
    assert record["outcome"] == {0: "complete", 1: "failed", 3: "incomplete"}[exit_code]
    parse_record((result.bundle / "record.json").read_bytes())
