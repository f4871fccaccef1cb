"""For each scenario of the sandbox: exactly the expected outcome of every step."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import convert, to_builtins
from msgspec.structs import replace

from runbook_lib.cli.main import main
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.attestation_rules import Subject
from runbook_lib.core.clock import utc_now
from runbook_lib.core.index import JournalIndex
from runbook_lib.core.journal import JournalLine, LineRef
from runbook_lib.core.model import AttestationDetails, EventType, JournalEntry, Outcome, StepChecked
from runbook_lib.core.procedure import Step
from runbook_lib.core.redaction import Redactor
from runbook_lib.core.run_state import History, RunState, fold
from runbook_lib.core.step_record import step_record
from runbook_lib.engine.tenant_run import Run
from runbook_lib.engine.watch.poll import key_of, open_watched, poll_tenant
from runbook_lib.engine.watch.watch_state import open_state
from runbook_lib.evidence.bundle import Seal, draft_bundle
from runbook_lib.evidence.proof.sealing import LINES_NAME, seal_run
from runbook_lib.evidence.proof.verification import verify_home
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.signing.keys import create_key, open_key
from runbook_lib.evidence.verify.verify import TrustAnchors
from runbook_lib.run import fold as next_format
from runbook_lib.run.journal import Journal as NextJournal
from runbook_lib.run.state import StepState
from tests.runs.conftest import outcomes, step_of
from tests.support.converted_lines import converted_lines
from tests.support.journals import chained, lines_of
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
    """Outcome, exit code and record are the same if only the walkthrough looked by itself."""
    run = practice_run(scenario)
    automatic = [
        replace(entry, data=replace(entry.data, automatic=True))
        if isinstance(entry.data, StepChecked)
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


@pytest.mark.parametrize("scenario", scenarios(MARKETING))
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


@pytest.mark.parametrize("connector", [MARKETING, MESSENGER])
def test_the_next_format_says_the_same_and_proves_it(
    connector: str, practice_run: PractiseOnce, tmp_path: Path
) -> None:
    """
    Every step of every scenario has its outcome, its reason and its days in both folds.

    The lines of the run are sealed, verified and folded to the same state.
    """
    procedure = find_procedure(connector)
    key_file = tmp_path / "key.pem"
    create_key(key_file)
    key = open_key(str(key_file), is_sandbox=True)
    trust = TrustAnchors({key.key_id: key.public})
    for scenario in scenarios(connector):
        run = practice_run(scenario, connector)
        record = run.record
        lines = converted_lines(run.entries, procedure)
        state = next_format.fold(lines, record["run_id"])

        assert state.outcome == record["outcome"]
        assert [told(step) for step in state.steps] == [*map(itemgetter(*TOLD), record["steps"])]

        home = tmp_path / scenario / record["tenant"] / connector
        home.mkdir(parents=True)
        (home / LINES_NAME).write_bytes(b"".join(line.encoded for line in lines))
        with draft_bundle(home, record["run_id"]) as folder:
            seal_run(
                folder,
                NextJournal(home / LINES_NAME),
                record["run_id"],
                Redactor(),
                Seal(key, ()),
                make_pages=lambda record, link: {},
            )
        verdicts = list(verify_home(home, trust))
        assert [verdict.error for verdict in verdicts] == [None, None]
        (bundle,) = [verdict.bundle for verdict in verdicts if verdict.bundle]
        assert bundle.record == state
        assert not [line for line in bundle.own if not line.data]


# Fields of a step that both folds have, by the names of the record.
TOLD = ("id", "number", "title", "outcome", "reason", "code", "needs_person", "verified_on")


def told(step: StepState) -> tuple[object, ...]:
    """Return the same about a step of the next format's state."""
    return tuple(getattr(step, name) for name in TOLD)


def folded(entries: list[JournalEntry]) -> RunState:
    """Return the state that follows from these journal lines."""
    index = JournalIndex().fold(
        JournalLine(entry, LineRef(entry.seq, "", 0, 0)) for entry in entries
    )
    lines = {entry.seq: entry for entry in entries}
    history = History(index, lambda ref: lines[ref.seq])
    return fold(history, Subject(PROCEDURE, index.recorded), history.last_run)


def test_a_declined_review_says_that_it_cannot_be_told_from_a_pending_one(
    practice_run: PractiseOnce,
) -> None:
    """A declined review cannot be told from a pending one, and the limits say so."""
    record = practice_run("review-declined").record
    check = step_of(record, "fb-12-submit-review")["checks"][0]
    assert any(wording("findings.waiting-or-declined") in limit for limit in check["limits"])


def test_a_replaced_graph_version_is_a_warning(practice_run: PractiseOnce) -> None:
    """If Facebook uses another API version, the step that checks the app has a warning."""
    record = practice_run("version-expired").record
    checks = step_of(record, "fb-13-app-id-and-secret")["checks"]
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
        reasons = [check["reason"] for check in step_of(record, step)["checks"]]
        assert all(wording("findings.found-by-id") in reason for reason in reasons), reasons


def test_the_redirect_check_says_that_only_the_domain_is_proven(practice_run: PractiseOnce) -> None:
    """A verified redirect URI has its path in the list as limit."""
    record = practice_run("approved").record
    checks = step_of(record, "fb-08-redirect-uri")["checks"]
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
    convert(record, Record)
