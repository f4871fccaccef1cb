"""For each scenario of the sandbox: exactly the expected outcome of every step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import convert, to_builtins
from msgspec.structs import replace

from runbook_lib.cli.main import main
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.attestation_rules import Subject
from runbook_lib.core.index import Index
from runbook_lib.core.journal import JournalLine, Ref, utc_now
from runbook_lib.core.model import AttestationDetails, Checked, Entry, EventType, Outcome
from runbook_lib.core.procedure import Step
from runbook_lib.core.run_state import History, RunState, fold
from runbook_lib.core.step_record import step_record
from runbook_lib.engine.tenant_run import Run
from runbook_lib.engine.watch.poll import key_of, open_watched, poll_tenant
from runbook_lib.engine.watch.watch_state import open_state
from runbook_lib.evidence.record import Record
from tests.runs.conftest import outcomes, step_of
from tests.support.journals import chained, lines_of
from tests.support.practice_runs import PractiseOnce

APPROVED = {
    "fb-01-log-in": "attested",
    "fb-02-developer-account": "attested",
    "fb-03-my-apps": "attested",
    "fb-04-create-app": "verified",
    "fb-04a-use-case": "attested",
    "fb-05-confirm-creation": "verified",
    "fb-05a-business-verification": "verified",
    "fb-05b-access-verification": "attested",
    "fb-06-facebook-login": "attested",
    "fb-07-login-settings": "attested",
    "fb-08-redirect-uri": "verified",
    "fb-09-permissions-and-features": "attested",
    "fb-09a-test-calls": "attested",
    "fb-10-public-profile": "verified",
    "fb-11-permissions": "verified",
    "fb-11a-public-pages": "verified",
    "fb-11b-data-access-renewal": "attested",
    "fb-12-submit-review": "verified",
    "fb-12a-publish": "attested",
    "fb-13-app-id-and-secret": "verified",
    "cy-01-connector-setup": "verified",
    "cy-02-client-id": "verified",
    "cy-03-client-secret": "attested",
    "cy-03a-error-webhook": "verified",
    "test-01-install": "verified",
    "test-02-authenticate": "verified",
    "test-03-permissions": "verified",
    "test-04-user-token": "verified",
    "test-05-marketing-data": "verified",
    "test-06-customer-consent": "verified",
    "test-07-ask-old-requests": "attested",
    "test-08-ask-login-product": "attested",
    "test-09-ask-token-kind": "attested",
    "test-10-ask-graph-version": "attested",
}

# The exit code of each scenario, and the steps that differ from those of `approved`.
DIFFERENT: dict[str, tuple[int, dict[str, str]]] = {
    "approved": (0, {}),
    "fresh": (
        3,
        {
            "fb-01-log-in": "not_run",
            "fb-02-developer-account": "not_run",
            "fb-03-my-apps": "not_run",
            "fb-04-create-app": "not_run",
            "fb-04a-use-case": "not_run",
            "fb-05-confirm-creation": "not_run",
            "fb-05a-business-verification": "not_run",
            "fb-05b-access-verification": "not_run",
            "fb-06-facebook-login": "not_run",
            "fb-07-login-settings": "not_run",
            "fb-08-redirect-uri": "inconclusive",
            "fb-09-permissions-and-features": "not_run",
            "fb-09a-test-calls": "not_run",
            "fb-10-public-profile": "not_run",
            "fb-11-permissions": "not_run",
            "fb-11a-public-pages": "not_run",
            "fb-11b-data-access-renewal": "not_run",
            "fb-12-submit-review": "not_run",
            "fb-12a-publish": "not_run",
            "fb-13-app-id-and-secret": "not_run",
            "cy-02-client-id": "not_run",
            "cy-03-client-secret": "not_run",
            "cy-03a-error-webhook": "inconclusive",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-04-user-token": "not_run",
            "test-05-marketing-data": "not_run",
            "test-06-customer-consent": "not_run",
            "test-07-ask-old-requests": "not_run",
            "test-08-ask-login-product": "not_run",
            "test-09-ask-token-kind": "not_run",
            "test-10-ask-graph-version": "not_run",
        },
    ),
    "wrong-secret": (
        1,
        {
            "fb-04-create-app": "attested",
            "fb-05-confirm-creation": "failed",
            "fb-05a-business-verification": "inconclusive",
            "fb-08-redirect-uri": "inconclusive",
            "fb-10-public-profile": "attested",
            "fb-11-permissions": "attested",
            "fb-11a-public-pages": "inconclusive",
            "fb-12-submit-review": "waiting",
            "fb-13-app-id-and-secret": "failed",
            "cy-02-client-id": "skipped",
            "cy-03-client-secret": "skipped",
            "test-02-authenticate": "skipped",
            "test-03-permissions": "skipped",
            "test-04-user-token": "skipped",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "skipped",
        },
    ),
    "unknown-app": (
        1,
        {
            "fb-04-create-app": "attested",
            "fb-05-confirm-creation": "inconclusive",
            "fb-05a-business-verification": "inconclusive",
            "fb-08-redirect-uri": "inconclusive",
            "fb-10-public-profile": "attested",
            "fb-11-permissions": "attested",
            "fb-11a-public-pages": "inconclusive",
            "fb-12-submit-review": "waiting",
            "fb-13-app-id-and-secret": "inconclusive",
            "cy-02-client-id": "failed",
            "test-02-authenticate": "skipped",
            "test-03-permissions": "skipped",
            "test-04-user-token": "inconclusive",
            # Nothing shows whose token it is that reads.
            "test-05-marketing-data": "inconclusive",
            "test-06-customer-consent": "inconclusive",
        },
    ),
    "redirect-missing": (
        1,
        {
            "fb-08-redirect-uri": "failed",
        },
    ),
    "app-domains-only": (
        3,
        {
            "fb-08-redirect-uri": "inconclusive",
        },
    ),
    "review-pending": (
        3,
        {
            "fb-10-public-profile": "attested",
            "fb-11-permissions": "attested",
            "fb-12-submit-review": "waiting",
            "fb-12a-publish": "not_run",
            "cy-02-client-id": "inconclusive",
            "cy-03-client-secret": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-06-customer-consent": "not_run",
        },
    ),
    "review-declined": (
        3,
        {
            "fb-11-permissions": "attested",
            "fb-12-submit-review": "waiting",
            "fb-12a-publish": "not_run",
            "cy-02-client-id": "inconclusive",
            "cy-03-client-secret": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-06-customer-consent": "not_run",
        },
    ),
    "permission-missing": (
        1,
        {
            "fb-11-permissions": "attested",
            "fb-12-submit-review": "waiting",
            "test-03-permissions": "failed",
            "test-04-user-token": "failed",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "failed",
        },
    ),
    "cyclr-mismatch": (
        1,
        {
            "cy-02-client-id": "failed",
            "test-02-authenticate": "skipped",
            "test-03-permissions": "skipped",
        },
    ),
    "cyclr-ip-blocked": (
        3,
        {
            "test-03-permissions": "inconclusive",
        },
    ),
    "token-expired": (
        1,
        {
            "fb-05a-business-verification": "inconclusive",
            "test-04-user-token": "failed",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "inconclusive",
        },
    ),
    "rate-limited": (
        3,
        {
            "fb-04-create-app": "attested",
            "fb-05-confirm-creation": "inconclusive",
            "fb-05a-business-verification": "inconclusive",
            "fb-08-redirect-uri": "inconclusive",
            "fb-10-public-profile": "attested",
            "fb-11-permissions": "attested",
            "fb-11a-public-pages": "inconclusive",
            "fb-12-submit-review": "waiting",
            "fb-13-app-id-and-secret": "inconclusive",
            "test-03-permissions": "inconclusive",
            "test-04-user-token": "inconclusive",
            "test-05-marketing-data": "inconclusive",
            "test-06-customer-consent": "inconclusive",
        },
    ),
    "portfolio-pages": (0, {}),
    "portfolio-page-without-token": (0, {}),
    "portfolio-refuses": (0, {}),
    # The list of roles names people only, so a customer cannot be compared with a system user.
    "system-user": (3, {"test-06-customer-consent": "inconclusive"}),
    # The token endpoint does not heed the wanted language, so only texts could tell.
    "answers-in-portuguese": (
        3,
        {"fb-08-redirect-uri": "attested", "fb-13-app-id-and-secret": "inconclusive"},
    ),
    "renewal-due": (
        1,
        {
            "fb-04-create-app": "attested",
            "fb-05-confirm-creation": "inconclusive",
            "fb-05a-business-verification": "inconclusive",
            "fb-08-redirect-uri": "attested",
            "fb-10-public-profile": "attested",
            "fb-11-permissions": "attested",
            "fb-11a-public-pages": "inconclusive",
            "fb-11b-data-access-renewal": "waiting",
            "fb-12-submit-review": "inconclusive",
            "fb-12a-publish": "not_run",
            "fb-13-app-id-and-secret": "failed",
            "cy-02-client-id": "skipped",
            "cy-03-client-secret": "skipped",
            "test-01-install": "not_run",
            "test-02-authenticate": "skipped",
            "test-03-permissions": "skipped",
            "test-04-user-token": "skipped",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "skipped",
        },
    ),
    "customer-disconnected": (0, {}),
    "renewal-expired": (3, {"fb-11b-data-access-renewal": "not_run"}),
    "version-expired": (0, {}),
    "use-case-missing": (
        1,
        {
            "fb-04a-use-case": "not_run",
            "fb-09a-test-calls": "inconclusive",
            "fb-10-public-profile": "inconclusive",
            "fb-11-permissions": "inconclusive",
            "fb-12-submit-review": "inconclusive",
            "fb-12a-publish": "not_run",
            "cy-02-client-id": "inconclusive",
            "cy-03-client-secret": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-04-user-token": "failed",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "not_run",
        },
    ),
    "test-calls-missing": (
        1,
        {
            "fb-05a-business-verification": "inconclusive",
            "fb-09a-test-calls": "inconclusive",
            "fb-10-public-profile": "inconclusive",
            "fb-11-permissions": "inconclusive",
            "fb-12-submit-review": "inconclusive",
            "fb-12a-publish": "not_run",
            "cy-02-client-id": "inconclusive",
            "cy-03-client-secret": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-04-user-token": "failed",
            "test-05-marketing-data": "skipped",
            "test-06-customer-consent": "not_run",
        },
    ),
    "not-published": (
        3,
        {
            "fb-12a-publish": "not_run",
            "test-06-customer-consent": "not_run",
        },
    ),
    "tech-provider-pending": (
        1,
        {
            "fb-05b-access-verification": "waiting",
            "test-06-customer-consent": "failed",
        },
    ),
    "partly-declined": (
        1,
        {
            "fb-11-permissions": "attested",
            "fb-12-submit-review": "waiting",
            "cy-02-client-id": "inconclusive",
            "cy-03-client-secret": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "not_run",
            "test-03-permissions": "not_run",
            "test-06-customer-consent": "failed",
        },
    ),
}

# Part of the reason of the relevant step, in each scenario.
SAID = {
    "fresh": ("fb-13-app-id-and-secret", "App ID, App Secret not given"),
    "wrong-secret": ("fb-13-app-id-and-secret", "does not accept this App ID with this App"),
    "unknown-app": (
        "fb-13-app-id-and-secret",
        "does not accept this App ID with this App Secret",
    ),
    "portfolio-page-without-token": ("test-05-marketing-data", "found by a business portfolio (/"),
    "portfolio-refuses": (
        "test-05-marketing-data",
        "/owned_pages: (#10) Application does not have",
    ),
    "system-user": ("test-06-customer-consent", "is a system user's"),
    "answers-in-portuguese": ("fb-13-app-id-and-secret", "the text may be in another language"),
    "redirect-missing": ("fb-08-redirect-uri", "Enter it under Valid OAuth Redirect URIs"),
    "app-domains-only": ("fb-08-redirect-uri", "Facebook accepts any host under partner.test"),
    "review-pending": ("fb-12-submit-review", "does not list public_profile, leads_retrieval"),
    "review-declined": (
        "fb-12-submit-review",
        "Live: public_profile. App Review > Requests shows",
    ),
    "permission-missing": ("test-04-user-token", "lacks leads_retrieval"),
    "cyclr-mismatch": ("cy-02-client-id", "Correct it in Connector Library > Setup"),
    "cyclr-ip-blocked": ("test-03-permissions", "cannot test this from here"),
    "token-expired": ("test-04-user-token", "Session has expired"),
    "rate-limited": ("fb-05-confirm-creation", "wait about 60 min"),
    "renewal-due": ("fb-11b-data-access-renewal", "(overdue)"),
    "use-case-missing": ("fb-09a-test-calls", "none shows that it used leads_retrieval"),
    "test-calls-missing": ("fb-09a-test-calls", "2 calls made, but none shows"),
    "not-published": ("test-06-customer-consent", "Customer's access token not given"),
    "tech-provider-pending": ("test-06-customer-consent", "Facebook refuses the data"),
    "partly-declined": ("fb-12-submit-review", "does not list leads_retrieval, pages_manage_ads"),
}


@pytest.mark.parametrize("scenario", DIFFERENT)
def test_each_scenario_has_its_outcomes(scenario: str, practice_run: PractiseOnce) -> None:
    """
    Each scenario gives exactly the expected outcome of every step, and the expected exit code.
    """
    result = practice_run(scenario)
    assert result.stdout, result.stderr
    record = result.record
    exit_code, different = DIFFERENT[scenario]
    assert outcomes(record) == {**APPROVED, **different}
    assert result.returncode == exit_code
    assert record["outcome"] == {0: "complete", 1: "failed", 3: "incomplete"}[exit_code]
    assert record["sandbox"] is True
    convert(record, Record)
    if scenario in SAID:
        step, words = SAID[scenario]
        assert words in step_of(record, step)["reason"]


@pytest.mark.parametrize("scenario", DIFFERENT)
def test_the_person_who_asked_for_a_check_changes_no_outcome(
    scenario: str, practice_run: PractiseOnce
) -> None:
    """Outcome, exit code and record are the same if only the walkthrough looked by itself."""
    run = practice_run(scenario)
    automatic = [
        replace(entry, data=replace(entry.data, automatic=True))
        if isinstance(entry.data, Checked)
        else entry
        for entry in run.entries
    ]
    asked, by_itself = (folded(entries) for entries in (run.entries, automatic))

    assert by_itself.outcome is asked.outcome
    assert [*map(step_record, by_itself.steps.values())] == [
        *map(step_record, asked.steps.values())
    ]
    reported = {entry.step for entry in run.entries if isinstance(entry.data, AttestationDetails)}
    assert {name for name, step in by_itself.steps.items() if step.is_worked_on} == reported
    assert all(step.is_worked_on for step in asked.steps.values())


@pytest.mark.parametrize("scenario", DIFFERENT)
def test_the_person_who_asked_for_a_check_changes_no_status_and_no_watch(
    scenario: str, practice_run: PractiseOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    `status --json` (but for the next step) and a poll of `watch` are the same, with their codes.

    Nothing is asked: the test compares a poll's requests with the journal's results.
    """
    now = utc_now()
    asked = list[Step]()
    settings = {item.name for item in inputs_of(PROCEDURE)} - {"ca_file"}
    monkeypatch.setattr(Run, "peek", lambda _run, steps: asked.extend(steps) or {})

    def read(*, by_itself: bool) -> tuple[object, ...]:
        evidence = practice_run(scenario).copy_evidence(tmp_path / f"automatic-{by_itself}")
        (journal,) = evidence.glob("*/*/journal.jsonl")
        lines = lines_of(journal)
        for line in lines:
            if line["type"] == EventType.STEP_CHECKED:
                line["data"]["automatic"] = by_itself
        journal.write_bytes(chained(lines))
        where = {"tenant": journal.parent.parent.name, "evidence": str(evidence)}
        words = [word for name, value in where.items() for word in (f"--{name}", value)]
        status = CliRunner().invoke(main, ["status", "--json", *words])
        reported = json.loads(status.stdout)
        # The next step, and its openness to somebody, depend on the person who asked.
        del reported["next"], reported["states"]
        (given,) = (e["data"]["parameters"] for e in lines if e["type"] == EventType.RUN_STARTED)
        known = {name: value for name, value in given.items() if name in settings}
        run = open_watched(PROCEDURE, known, **where, clock=lambda: now)
        with open_state(evidence, now) as state:
            code = poll_tenant(run, state).code
            key = key_of(run)
            kept = (state.tenants, state.steps, state.problems)
            seen = to_builtins([table.read(tenant=key) for table in kept])
        run.close()
        steps = [step.id for step in asked]
        asked.clear()
        return status.exit_code, reported, code, steps, seen

    by_itself = read(by_itself=True)
    assert by_itself == read(by_itself=False)
    # Nobody has said anything yet; the app's calls are used up.
    is_silent = scenario in ("fresh", "rate-limited")
    assert is_silent or by_itself[3]


def test_steps_that_only_a_person_can_confirm_are_left_to_one(practice_run: PractiseOnce) -> None:
    """Test calls and reviews that no API shows are no trouble of the step; a refusal is."""
    state = folded(practice_run("test-calls-missing").entries)
    unclear = {
        name: step.needs_human_only
        for name, step in state.steps.items()
        if step.conclusion.outcome is Outcome.INCONCLUSIVE
    }
    assert unclear == {
        "fb-05a-business-verification": False,
        "fb-09a-test-calls": True,
        "fb-10-public-profile": True,
        "fb-11-permissions": True,
        "fb-12-submit-review": True,
        "cy-02-client-id": False,
    }


def folded(entries: list[Entry]) -> RunState:
    """Return the state that follows from these journal lines."""
    index = Index().fold(JournalLine(entry, Ref(entry.seq, "", 0, 0)) for entry in entries)
    lines = {entry.seq: entry for entry in entries}
    history = History(index, lambda ref: lines[ref.seq])
    return fold(history, Subject(PROCEDURE, index.recorded), history.last_run)


def test_a_declined_review_says_that_it_cannot_be_told_from_a_pending_one(
    practice_run: PractiseOnce,
) -> None:
    """A declined review cannot be told from a pending one, and the limits say so."""
    record = practice_run("review-declined").record
    check = step_of(record, "fb-12-submit-review")["checks"][0]
    assert any("is waiting or was declined" in limit for limit in check["limits"])


def test_a_replaced_graph_version_is_a_warning(practice_run: PractiseOnce) -> None:
    """If Facebook uses another API version, the step that checks the app has a warning."""
    record = practice_run("version-expired").record
    checks = step_of(record, "fb-13-app-id-and-secret")["checks"]
    warnings = [warning for check in checks for warning in check["warnings"]]
    assert any("instead of v26.0: that version has ended" in warning for warning in warnings)


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
        reasons = [check["reason"] for check in step_of(record, step)["checks"]]
        assert all("found by its id" in reason for reason in reasons), reasons


def test_the_redirect_check_says_that_only_the_domain_is_proven(practice_run: PractiseOnce) -> None:
    """A verified redirect URI has its path in the list as limit."""
    record = practice_run("approved").record
    checks = step_of(record, "fb-08-redirect-uri")["checks"]
    limits = [limit for check in checks for limit in check["limits"]]
    assert any("That this address, with its path, is in the list" in limit for limit in limits)


MESSENGER = {
    "approved": (0, {}),
    "messenger-wrong-scopes": (1, {"cy-04-scopes": "failed"}),
    "messenger-wrong-verify-token": (1, {"cy-05-verify-token": "failed"}),
    "messenger-page-not-subscribed": (3, {"fb-10-page-access": "inconclusive"}),
    "portfolio-pages": (0, {}),
    "portfolio-page-without-token": (0, {}),
    "portfolio-refuses": (0, {}),
    "system-user": (3, {"test-04-customer-consent": "inconclusive"}),
    "answers-in-portuguese": (
        3,
        {"fb-08-redirect-uri": "attested", "fb-11-app-id-and-secret": "inconclusive"},
    ),
    "renewal-due": (
        1,
        {
            "fb-04-create-app": "attested",
            "fb-05-confirm-creation": "inconclusive",
            "fb-05a-business-verification": "inconclusive",
            "fb-08-redirect-uri": "attested",
            "fb-10-page-access": "inconclusive",
            "fb-10b-public-pages": "inconclusive",
            "fb-10c-data-access-renewal": "waiting",
            "fb-10d-app-review": "inconclusive",
            "fb-10e-publish": "not_run",
            "fb-11-app-id-and-secret": "failed",
            "cy-02-client-id": "skipped",
            "cy-03-client-secret": "skipped",
            "cy-04-scopes": "skipped",
            "cy-05-verify-token": "not_run",
            "test-01-install": "not_run",
            "test-02-authenticate": "skipped",
            "test-03-user-token": "skipped",
            "test-04-customer-consent": "skipped",
        },
    ),
    "not-published": (
        3,
        {"fb-10e-publish": "not_run", "test-04-customer-consent": "not_run"},
    ),
    "renewal-expired": (3, {"fb-10c-data-access-renewal": "not_run"}),
}


@pytest.mark.parametrize("scenario", MESSENGER)
def test_messenger_scenarios_have_their_outcomes(scenario: str, practice_run: PractiseOnce) -> None:
    """Each Messenger scenario changes exactly the steps that it is about."""
    approved = practice_run("approved", "facebook_messenger").record
    result = practice_run(scenario, "facebook_messenger")
    exit_code, different = MESSENGER[scenario]

    assert approved["procedure"]["id"] == "facebook_messenger"
    assert set(outcomes(approved).values()) == {"verified", "attested"}
    assert outcomes(result.record) == {**outcomes(approved), **different}
    assert result.returncode == exit_code
    convert(result.record, Record)
