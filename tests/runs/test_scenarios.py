"""For each scenario of the sandbox: exactly the expected outcome of every step."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.evidence.record import validate_record
from tests.runs.conftest import outcomes, step_of
from tests.support.practice_runs import PractiseOnce

A, V, W, I, F, S, N = (  # noqa: E741  (one letter a step keeps the tables readable)
    "attested",
    "verified",
    "waiting",
    "inconclusive",
    "failed",
    "skipped",
    "not_run",
)

#             fb-01 … fb-13                          cy-01 … 03  test-01 … 05
EXPECTED = {
    "approved": (0, [A, A, A, V, V, A, A, V, A, V, V, V, V, V, V, A, V, V, V, V, V]),
    "fresh": (3, [N, N, N, N, N, N, N, I, N, N, N, N, N, V, N, N, N, N, N, N, N]),
    "wrong-secret": (1, [A, A, A, A, I, A, A, I, A, A, A, W, F, V, S, S, V, S, S, S, S]),
    "unknown-app": (1, [A, A, A, A, I, A, A, I, A, A, A, W, I, V, F, A, V, S, S, I, V]),
    "redirect-missing": (1, [A, A, A, V, V, A, A, F, A, V, V, V, V, V, V, A, V, V, V, V, V]),
    "review-pending": (3, [A, A, A, V, V, A, A, V, A, A, A, W, V, V, I, N, N, N, N, V, V]),
    "review-declined": (3, [A, A, A, V, V, A, A, V, A, V, A, W, V, V, I, N, N, N, N, V, V]),
    "permission-missing": (1, [A, A, A, V, V, A, A, V, A, V, A, W, V, V, V, A, V, V, F, F, S]),
    "cyclr-mismatch": (1, [A, A, A, V, V, A, A, V, A, V, V, V, V, V, F, A, V, S, S, V, V]),
    "cyclr-ip-blocked": (3, [A, A, A, V, V, A, A, V, A, V, V, V, V, V, V, A, V, V, I, V, V]),
    "token-expired": (1, [A, A, A, V, V, A, A, V, A, V, V, V, V, V, V, A, V, V, V, F, S]),
    "rate-limited": (3, [A, A, A, A, I, A, A, I, A, A, A, W, I, V, V, A, V, V, I, I, I]),
    "version-expired": (0, [A, A, A, V, V, A, A, V, A, V, V, V, V, V, V, A, V, V, V, V, V]),
}

# What the operator reads at the step that matters, in each scenario.
SAID = {
    "fresh": ("fb-13-app-id-and-secret", "App ID, App Secret not given"),
    "wrong-secret": ("fb-13-app-id-and-secret", "refuses this App Secret"),
    "unknown-app": ("fb-13-app-id-and-secret", "one answer to this App Secret and to a made-up"),
    "redirect-missing": ("fb-08-redirect-uri", "Enter it under Valid OAuth Redirect URIs"),
    "review-pending": ("fb-12-submit-review", "does not list public_profile, leads_retrieval"),
    "review-declined": ("fb-12-submit-review", "Live: public_profile. App Review > Requests"),
    "permission-missing": ("test-04-user-token", "lacks leads_retrieval"),
    "cyclr-mismatch": ("cy-02-client-id", "Correct it in Connector Library > Setup"),
    "cyclr-ip-blocked": ("test-03-permissions", "cannot be tested from here"),
    "token-expired": ("test-04-user-token", "Session has expired"),
    "rate-limited": ("fb-05-confirm-creation", "wait about 60 min"),
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_each_scenario_has_its_outcomes(scenario: str, practice_run: PractiseOnce) -> None:
    """A run says of every step exactly what the world of the scenario makes true."""

    result = practice_run(scenario)
    assert result.stdout, result.stderr
    record = result.record
    exit_code, expected = EXPECTED[scenario]
    ids = [step.id for step in PROCEDURE.steps]
    assert outcomes(record) == dict(zip(ids, expected, strict=True))
    assert result.returncode == exit_code
    assert record["outcome"] == {0: "complete", 1: "failed", 3: "incomplete"}[exit_code]
    assert record["sandbox"] is True
    validate_record(record)
    if scenario in SAID:
        step, words = SAID[scenario]
        assert words in step_of(record, step)["reason"]


def test_a_declined_review_says_that_it_cannot_be_told_from_a_pending_one(
    practice_run: PractiseOnce,
) -> None:
    """What no API shows is named as not proven, not guessed."""

    record = practice_run("review-declined").record
    check = step_of(record, "fb-12-submit-review")["checks"][0]
    assert any("waits or was declined" in limit for limit in check["limits"])


def test_a_replaced_graph_version_is_a_warning(practice_run: PractiseOnce) -> None:
    """Facebook serves another version in silence; the run says so where the app is checked."""

    record = practice_run("version-expired").record
    checks = step_of(record, "fb-13-app-id-and-secret")["checks"]
    warnings = [warning for check in checks for warning in check["warnings"]]
    assert any("instead of v26.0: that version has ended" in warning for warning in warnings)


def test_the_redirect_check_says_that_only_the_domain_is_proven(practice_run: PractiseOnce) -> None:
    """A passed redirect probe names the exact path as not proven."""

    record = practice_run("approved").record
    checks = step_of(record, "fb-08-redirect-uri")["checks"]
    limits = [limit for check in checks for limit in check["limits"]]
    assert any("Strict Mode" in limit for limit in limits)
