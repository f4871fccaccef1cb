"""A run: what it writes, in which order, and the outcome of a step when something goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec import structs, to_builtins

from runbook_lib.config.runner_inputs import NOTIFY, inputs_of
from runbook_lib.config.settings import Settings
from runbook_lib.config.workspace import (
    default_evidence,
    is_sandbox,
    journal_path,
    project_folder,
    tenant_name,
)
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR
from runbook_lib.connectors.facebook.errors import RefusedAppError
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core import journal as core_journal
from runbook_lib.core.fingerprints import KEY_NAME, FingerprintKey, read_key
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import Binding, Exchange, Finding, Mode, Outcome, RunJoined, RunOutcome
from runbook_lib.core.procedure import Check, Input, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import MASK, Secret
from runbook_lib.core.state import STATE_NAME, HistoryReader, rests_on
from runbook_lib.engine.known_run import known_values
from runbook_lib.engine.run import Run, new_run_id, open_known, open_run
from runbook_lib.errors import (
    JournalError,
    RunbookError,
    SettingsError,
    UnknownStepError,
    UnreachableError,
)
from tests.conftest import NOON
from tests.support.words import assigned, attested, commented, skipped, withdrawn

CANARY = "canary-secret-1"
DOMAIN = Input(name="service_domain", label="Service Domain", help="Where.", required=True)
APP_ID = Input(name="app_id", label="App ID", help="Which.")
REGION = Input(name="region", label="Region", help="Where.", default="eu")
API = Input(name="api_url", label="API", help="Where.", default="https://api.example")
APP_SECRET = Input(name="app_secret", label="App Secret", help="Secret.", secret=True)
INPUTS = (DOMAIN, APP_ID, REGION, API, APP_SECRET)

OLD = "2026-11-20T09:00:00Z"
REAL: dict[str, str] = {}
PRACTICE = {"graph_url": "http://127.0.0.1:8000"}
NEW = "2026-11-24T09:00:00Z"


def verified(context: CheckContext) -> Finding:
    """Return a verified finding, with one exchange."""
    note = Exchange(method="GET", url="https://api.example/", sent_on=OLD, elapsed=0.0, status=200)
    context.session.note(note)
    return Finding(outcome=Outcome.VERIFIED, reason="It is there.")


def failed(context: CheckContext) -> Finding:
    """Return a failed finding."""
    return Finding(outcome=Outcome.FAILED, reason="It is not there.")


def undecided(context: CheckContext) -> Finding:
    """Return an inconclusive finding."""
    return Finding(outcome=Outcome.INCONCLUSIVE, reason="It is hidden.")


def not_applicable(context: CheckContext) -> None:
    """Return nothing: the check does not apply."""


def step(name: str, *checks: Check, requires: tuple[str, ...] = ()) -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.CALL,
        source=Source(1),
        today="",
        confirms=f"I did {name}.",
        subject=(),
        checks=checks,
        requires=requires,
    )


def procedure(*steps: Step) -> Procedure:
    section = Section(id="01", title="One", intro="", steps=steps)
    providers = (FACEBOOK, CYCLR)
    return Procedure(
        id="p", version="1", title="P", sections=(section,), inputs=INPUTS, providers=providers
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "acme" / "p" / "journal.jsonl", clock=lambda: NOON)


MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(journal: Journal) -> MakeRun:
    """Return a factory of runs with one journal; keyword arguments are values."""

    def make(*steps: Step, mode: str = Mode.HEADLESS, run_id: str = "", **values: Any) -> Run:
        settings = Settings(values, {"app_secret": Secret(CANARY)})
        return Run(
            procedure(*steps),
            settings,
            Journal(journal.path, clock=lambda: NOON),
            "acme",
            mode,
            run_id or new_run_id(),
            key=read_key(journal.path.parent) or FingerprintKey(),
            clock=lambda: NOON,
        )

    return make


def types(journal: Journal) -> list[str]:
    return [entry.type for entry in journal.entries()]


def test_a_step_is_in_the_journal_before_it_returns(make_run: MakeRun, journal: Journal) -> None:
    """The start of a step and its findings are in the journal when `perform` returns."""
    run = make_run(step("a", Check("verified", verified)), run_id="0a1b2c3d")
    run.start()

    state = run.perform("a")

    assert state.conclusion.outcome is Outcome.VERIFIED
    assert types(journal) == ["run.started", "step.started", "exchange.recorded", "step.checked"]
    entries = journal.entries()
    assert {entry.run_id for entry in entries} == {"0a1b2c3d"}
    assert [entry.step for entry in entries] == ["", "a", "", "a"]
    (finding,) = entries[3].data.findings
    assert (finding.check, finding.exchanges) == ("verified", (entries[2].seq,))
    assert entries[2].data.url == "https://api.example/"
    assert state.exchanges == {entries[2].seq: entries[2].data}
    assert state.checked_on == "2026-11-24T12:00:00.000Z"


def test_the_start_of_a_run_records_its_parameters(make_run: MakeRun, journal: Journal) -> None:
    """
    The start records procedure, mode, values and the names of credentials, never a credential.

    Whom a watch writes to is not recorded either.
    """
    told = {"mail_to": "ann@acme.example", "mail_people": ("Ann=ann@acme.example",)}
    run = make_run(step("a"), service_domain="acme-h.cyclr.com", **told)
    run.start()

    data = to_builtins(journal.entries()[0].data)
    assert data["tenant"] == "acme"
    assert data["procedure"] == {"id": "p", "version": "1", "digest": run.procedure.digest}
    assert (data["mode"], data["sandbox"], data["resumes"]) == ("headless", False, "")
    own = {"region": "eu", "api_url": "https://api.example", "service_domain": "acme-h.cyclr.com"}
    items = [item for item in inputs_of(run.procedure) if item not in NOTIFY]
    runner = {item.name for item in items if item.default is not None}
    assert {name: data["parameters"].get(name) for name in own} == own
    assert set(data["parameters"]) == {*own, *runner}
    assert data["credentials"] == ("app_secret",)
    assert set(data["environment"]) >= {"python", "platform", "papermill"}
    assert CANARY not in journal.path.read_text()


def test_a_run_that_another_process_began_is_joined(make_run: MakeRun, journal: Journal) -> None:
    """A kernel that opens the same run does not start it again."""
    make_run(step("a"), run_id="0a1b2c3d").start()
    make_run(step("a"), run_id="0a1b2c3d").start()

    assert types(journal) == ["run.started"]


def test_an_unfinished_run_is_resumed(make_run: MakeRun, journal: Journal) -> None:
    """The next run names the run before it if that one did not finish."""
    first = make_run(step("a"), run_id="00000001")
    first.start()
    second = make_run(step("a"), run_id="00000002")
    second.start()
    second.finish()
    third = make_run(step("a"), run_id="00000003")
    third.start()

    started = [entry.data for entry in journal.entries() if entry.type == "run.started"]
    assert [data.resumes for data in started] == ["", "00000001", ""]


def test_an_open_walkthrough_is_not_resumed_and_resumes_nothing(
    make_run: MakeRun, journal: Journal
) -> None:
    """A walkthrough is not resumed by a headless run, and does not resume one."""
    make_run(step("a"), run_id="00000001", mode=Mode.INTERACTIVE).start()
    make_run(step("a"), run_id="00000002").start()
    make_run(step("a"), run_id="00000003", mode=Mode.INTERACTIVE).start()
    make_run(step("a"), run_id="00000004").start()

    started = [entry.data for entry in journal.entries() if entry.type == "run.started"]
    assert [data.resumes for data in started] == ["", "", "", "00000002"]


def test_an_unknown_step_is_refused_before_anything_is_written(
    make_run: MakeRun, journal: Journal
) -> None:
    """An unknown step id raises `UnknownStepError`, and nothing is written."""
    with pytest.raises(UnknownStepError, match="no step called nonsense"):
        make_run(step("a")).perform("nonsense")

    assert journal.entries() == []


def test_the_checks_of_one_step_overlap(make_run: MakeRun) -> None:
    """The checks of a step run at the same time; each of these waits for the other."""
    gate = threading.Barrier(2, timeout=240)

    def one(context: CheckContext) -> Finding:
        gate.wait()
        return verified(context)

    def other(context: CheckContext) -> Finding:
        gate.wait()
        return verified(context)

    run = make_run(step("a", Check("one", one), Check("other", other)))

    state = run.perform("a")

    assert [finding.outcome for finding in state.findings] == [Outcome.VERIFIED] * 2
    assert [finding.check for finding in state.findings] == ["one", "other"]
    assert [len(finding.exchanges) for finding in state.findings] == [1, 1]


def test_an_earlier_failure_keeps_the_check_from_running(
    make_run: MakeRun, journal: Journal
) -> None:
    """
    A step that requires a failed step is skipped without a request; the reason names that step.
    """
    asked: list[CheckContext] = []

    def ask(context: CheckContext) -> Finding:
        asked.append(context)
        return verified(context)

    run = make_run(
        step("a", Check("failed", failed)), step("b", Check("ask", ask), requires=("a",))
    )
    run.perform("a")

    state = run.perform("b")

    assert asked == []
    assert state.conclusion.outcome is Outcome.SKIPPED
    assert "a (Do a)" in state.conclusion.reason
    assert types(journal)[-1] == "step.checked"


def test_without_its_inputs_a_check_does_not_run(make_run: MakeRun) -> None:
    """A check without its inputs does not run, and the reason names the missing inputs by label."""
    run = make_run(
        step("a", Check("verified", verified, ("app_id", "service_domain", "app_secret")))
    )

    state = run.perform("a")

    assert state.conclusion.outcome is Outcome.NOT_RUN
    assert state.conclusion.reason == "Not checked: App ID, Service Domain not given."
    assert state.findings == ()


def test_a_check_with_its_inputs_runs_beside_one_without(make_run: MakeRun) -> None:
    """A check runs although another lacks an input, but the step is not verified by it alone."""
    run = make_run(
        step(
            "a",
            Check("verified", verified, ("region",)),
            Check("undecided", undecided, ("app_id",)),
        ),
        app_id="",
    )

    state = run.perform("a")

    assert [finding.outcome for finding in state.findings] == ["verified", "inconclusive"]
    assert state.conclusion.outcome is Outcome.INCONCLUSIVE
    assert "App ID not given" in state.conclusion.reason


def test_a_check_that_does_not_apply_is_ignored(make_run: MakeRun) -> None:
    """
    A check that does not apply is ignored; if no check applies, a person must confirm the step.
    """
    run = make_run(
        step("a", Check("not_applicable", not_applicable), Check("verified", verified)),
        step("b", Check("not_applicable", not_applicable)),
    )

    assert run.perform("a").conclusion.outcome is Outcome.VERIFIED
    alone = run.perform("b")
    assert alone.conclusion.outcome is Outcome.NOT_RUN
    assert "applies" in alone.conclusion.reason


def test_a_step_without_a_check_waits_for_a_person(make_run: MakeRun) -> None:
    """A step without a check is `not_run` until a person confirms it."""
    run = make_run(step("a"))

    assert run.perform("a").conclusion.outcome is Outcome.NOT_RUN


@pytest.mark.parametrize("error", [UnreachableError("It could not be reached."), RunbookError("x")])
def test_a_check_that_raises_an_error_is_inconclusive(
    make_run: MakeRun, error: RunbookError
) -> None:
    """An expected error makes the step inconclusive, with the error's message as reason."""

    def ask(context: CheckContext) -> Finding:
        verified(context)
        raise error

    state = make_run(step("a", Check("ask", ask))).perform("a")

    assert state.conclusion.outcome is Outcome.INCONCLUSIVE
    assert state.conclusion.reason == str(error)
    assert len(state.findings[0].exchanges) == 1


def test_a_check_that_breaks_is_inconclusive_and_says_so(
    make_run: MakeRun, journal: Journal
) -> None:
    """An unexpected error is inconclusive; the reason has its type but not its text."""

    def ask(context: CheckContext) -> Finding:
        raise KeyError("something-private")

    state = make_run(step("a", Check("ask", ask))).perform("a")

    assert state.conclusion.outcome is Outcome.INCONCLUSIVE
    assert "KeyError" in state.conclusion.reason
    assert "something-private" not in journal.path.read_text()


def test_a_journal_error_is_not_a_result(make_run: MakeRun) -> None:
    """A `JournalError` is raised, and the step has no result."""

    def ask(context: CheckContext) -> Finding:
        raise JournalError("full")

    with pytest.raises(JournalError):
        make_run(step("a", Check("ask", ask))).perform("a")


def test_a_change_is_announced_before_it_is_made(make_run: MakeRun, journal: Journal) -> None:
    """An intended change is in the journal before the check makes it."""

    def install(context: CheckContext) -> Finding:
        context.announce_change("Install it.")
        assert Journal(journal.path).entries()[-1].data.change == "Install it."
        return structs.replace(verified(context), changes=("Installed it.",))

    state = make_run(step("a", Check("install", install))).perform("a")

    assert state.findings[0].changes == ("Installed it.",)
    assert types(journal) == [
        "step.started",
        "change.intended",
        "exchange.recorded",
        "step.checked",
    ]
    assert journal.entries()[1].step == "a"


def test_facts_of_a_check_are_known_to_later_runs(make_run: MakeRun, journal: Journal) -> None:
    """A fact that is an input without a given value is stored for later runs; others are not."""

    def ask(context: CheckContext) -> Finding:
        facts = {"app_id": "77", "region": "us", "other": 1}
        return structs.replace(verified(context), facts=facts)

    run = make_run(step("a", Check("ask", ask)), region="uk")
    run.perform("a")

    assert run.values["other"] == 1
    assert HistoryReader(journal).read().index.given == {"app_id": "77"}
    assert make_run(step("a")).values["app_id"] == "77"
    assert "other" not in make_run(step("a")).values


def test_a_check_is_given_values_secrets_and_the_clock(make_run: MakeRun) -> None:
    """A check gets values, secrets and the run's clock."""
    seen: list[CheckContext] = []

    def ask(context: CheckContext) -> Finding:
        seen.append(context)
        return undecided(context)

    run = make_run(step("a", Check("ask", ask)), service_domain="acme-h.cyclr.com")
    run.perform("a")

    (context,) = seen
    assert context.text("service_domain") == "acme-h.cyclr.com"
    assert context.text("region") == "eu"
    assert context.secrets["app_secret"].reveal() == CANARY
    assert context.now == NOON


def test_no_secret_reaches_the_journal(make_run: MakeRun, journal: Journal) -> None:
    """Known secrets are masked in everything that is written to the journal."""

    def ask(context: CheckContext) -> Finding:
        context.announce_change(f"Send {CANARY}.")
        return Finding(outcome=Outcome.FAILED, reason=f"It refused {CANARY}.", facts={"x": CANARY})

    run = make_run(step("a", Check("ask", ask)), region=f"x{CANARY}")
    run.start()
    run.perform("a")
    run.say([attested("a", note=f"typed {CANARY}")])
    run.remember("app_id", CANARY)
    run.interrupt(f"at {CANARY}")

    text = journal.path.read_text()
    assert CANARY not in text
    assert text.count(MASK) >= 6


def test_attestations_are_written_once(make_run: MakeRun, journal: Journal) -> None:
    """An attestation that is read again, also from a copy of the file, is not written again."""
    word, skip = attested("a", note="n", entry="1" * 64), skipped("b", entry="2" * 64)
    for origin in ("said.toml", "said.toml", "a-copy.toml"):
        run = make_run(step("a"), step("b"))
        run.say([structs.replace(word, origin=origin), structs.replace(skip, origin=origin)])

    assert types(journal) == ["step.attested", "step.skipped"]
    for name, said in (("a", word), ("b", skip)):
        found = run.state.steps[name].word
        assert found is not None
        kept = structs.replace(said, origin="said.toml", sentence=run.step(name).sentence)
        assert structs.replace(found, binding=said.binding) == kept


@pytest.mark.parametrize("first", [REAL, PRACTICE])
@pytest.mark.parametrize("mode", [Mode.HEADLESS, Mode.INTERACTIVE])
def test_practice_and_real_runs_have_separate_tenants(
    make_run: MakeRun, journal: Journal, first: dict[str, str], mode: str
) -> None:
    """A tenant has practice runs or real runs, never both."""
    second = PRACTICE if first is REAL else REAL
    make_run(step("a"), **first).start()
    make_run(step("a"), run_id="ffffffff", mode=mode, **first).start()
    before = types(journal)

    with pytest.raises(
        SettingsError, match=f"would be {'real' if first else 'practice'}"
    ) as caught:
        make_run(step("a"), run_id="eeeeeeee", mode=mode, **second).start()
    with pytest.raises(SettingsError):  # also in a kernel that joins the run
        make_run(step("a"), run_id="ffffffff", mode=mode, **second).start()

    assert "--tenant" in caught.value.diagnostics()
    assert types(journal) == before


def test_a_value_is_remembered_when_it_is_new(make_run: MakeRun, journal: Journal) -> None:
    """A value is written only when it changes, and later runs know it."""
    run = make_run(step("a"))
    run.remember("app_id", "1")
    run.remember("app_id", "1")
    run.remember("app_id", "2")

    assert [entry.data.value for entry in journal.entries()] == ["1", "2"]
    assert make_run(step("a")).values["app_id"] == "2"


def test_a_credential_that_was_typed_is_used_and_never_written(
    make_run: MakeRun, journal: Journal
) -> None:
    """A typed credential replaces the earlier one and its tokens, and is masked in the journal."""
    issued: list[str] = []

    def ask(context: CheckContext) -> Finding:
        issued.append(context.secrets["app_secret"].reveal())
        return Finding(outcome=Outcome.FAILED, reason=f"Refused {issued[-1]}.")

    run = make_run(step("a", Check("ask", ask)))
    run.perform("a")
    run.set_secret(APP_SECRET, " typed-secret-2\n")
    run.perform("a")

    assert issued == [CANARY, "typed-secret-2"]
    assert "typed-secret-2" not in journal.path.read_text()


class MemoryStore:
    """A store for credentials, in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def remember(self, tenant: str, item: Input, secret: Secret) -> str:
        """Store the credential."""
        self.kept[tenant, item.name] = secret.reveal()
        return f"keyring:{tenant}/{item.name}"

    def forget(self, tenant: str, item: Input) -> None:
        """Remove the credential."""
        self.kept.pop((tenant, item.name), None)


def test_a_credential_is_remembered_by_reference_and_forgotten(
    make_run: MakeRun, journal: Journal
) -> None:
    """The journal has only a reference to a stored credential; `forget_secret` removes both."""
    store, run = MemoryStore(), make_run(step("a", Check("verified", verified, ("app_secret",))))
    run.remember_secret(APP_SECRET, store)

    assert store.kept == {("acme/p", "app_secret"): CANARY}
    assert run.history.index.credentials == {"app_secret": "keyring:acme/p/app_secret"}
    assert CANARY not in journal.path.read_text()

    run.forget_secret(APP_SECRET, [store])

    assert (store.kept, run.history.index.credentials) == ({}, {})
    assert run.perform("a").conclusion.outcome is Outcome.NOT_RUN


def test_forgetting_what_was_never_remembered_leaves_no_line(
    make_run: MakeRun, journal: Journal
) -> None:
    """`forget_secret` writes nothing if the credential was never stored."""
    make_run(step("a")).forget_secret(APP_SECRET, [MemoryStore()])

    assert journal.entries() == []


def test_the_end_of_a_run_records_its_outcome(make_run: MakeRun, journal: Journal) -> None:
    """The end of the notebook and of the run are recorded, with the outcome."""
    run = make_run(step("a", Check("verified", verified)))
    run.start()
    run.perform("a")
    run.finish_notebook()

    state = run.finish({"engine": "fork"})

    assert state.outcome is RunOutcome.COMPLETE
    assert state.finished_on
    assert state.environment["engine"] == "fork"
    assert state.environment["python"]
    notebook, run_end = journal.entries()[-2:]
    assert notebook.type == "notebook.finished"
    assert run_end.type == "run.finished"
    assert to_builtins(run_end.data) == {"outcome": "complete", "environment": {"engine": "fork"}}


def test_an_interruption_is_written(make_run: MakeRun, journal: Journal) -> None:
    """An interruption is recorded with its reason, and the run is not finished."""
    run = make_run(step("a"))
    run.start()
    run.interrupt("by a signal")

    end = journal.entries()[-1]
    assert (end.type, end.data.reason) == ("run.interrupted", "by a signal")
    assert run.state.finished_on == ""


def test_a_headless_run_counts_only_what_it_saw_itself(make_run: MakeRun) -> None:
    """Findings of earlier runs count in a walkthrough, but not in a headless run."""
    make_run(step("a", Check("verified", verified)), run_id="00000001").perform("a")

    headless = make_run(step("a", Check("verified", verified)))
    assert headless.state.steps["a"].conclusion.outcome is Outcome.NOT_RUN
    walkthrough = make_run(step("a", Check("verified", verified)), mode=Mode.INTERACTIVE)
    assert walkthrough.state.steps["a"].conclusion.outcome is Outcome.VERIFIED


def test_a_required_value_that_is_missing_is_named(make_run: MakeRun) -> None:
    """A missing required value is an error that names the setting."""
    with pytest.raises(SettingsError) as caught:
        make_run(step("a")).require_startable()

    assert "service_domain (Service Domain) is missing" in str(caught.value)
    assert "RUNBOOK_SERVICE_DOMAIN" in str(caught.value)
    make_run(step("a"), service_domain="acme-h.cyclr.com").require_startable()


def test_a_value_of_an_earlier_run_is_enough(make_run: MakeRun) -> None:
    """A required value from an earlier run is sufficient."""
    make_run(step("a")).remember("service_domain", "acme-h.cyclr.com")

    make_run(step("a")).require_startable()


def test_values_given_now_go_before_earlier_ones_and_defaults(make_run: MakeRun) -> None:
    """
    A given value takes precedence over an earlier one, and that over the default.

    Secrets and unknown names are not recalled.
    """
    run = make_run(step("a"))
    for name, value in (("region", "uk"), ("app_id", "1"), ("app_secret", "x"), ("gone", "x")):
        run.remember(name, value)

    values = known_values(run.procedure, run.history.index.given, Settings({"app_id": "2"}))

    own = {name: value for name, value in values.items() if name in {i.name for i in INPUTS}}
    assert own == {"region": "uk", "app_id": "2", "api_url": "https://api.example"}
    assert "gone" not in values
    assert values["graph_url"] == "https://graph.facebook.com"


@pytest.mark.parametrize(
    ("address", "practice"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://0.0.0.0:8000", True),
        ("http://localhost.:8000", True),
        ("http://graph.localhost:8000", True),
        ("https://graph.facebook.com", False),
        ("https://localhost.example", False),
        ("https://127.0.0.1.example", False),
        ("", False),
    ],
)
def test_practice_is_recognised_by_its_addresses(address: str, practice: bool) -> None:
    """A run is practice if one remote system's address is on this machine."""
    values = {"graph_url": address, "api_url": "https://api.example", "note": "http://127.0.0.1"}

    assert is_sandbox(values) is practice


@pytest.mark.parametrize("name", ["a", "acme-h.cyclr.com", "Tenant-1", "x" * 63])
def test_a_tenants_name_is_a_folders_name(name: str) -> None:
    """A valid folder name is a valid tenant name."""
    assert tenant_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-a", "a-", "a b", "x" * 64, "ä", "a\n"]
)
def test_an_invalid_tenant_name_is_refused(name: str) -> None:
    """A path or an unsafe folder name is refused as tenant name."""
    with pytest.raises(SettingsError, match="is not a tenant name"):
        tenant_name(name)


def test_the_folder_of_the_keys_is_no_tenant() -> None:
    """`keys` is refused as tenant name, because the public keys have that folder."""
    with pytest.raises(SettingsError, match="contains the public keys"):
        tenant_name("keys")


def test_the_project_is_found_from_within(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest parent folder with notebooks/ is the project, and has the evidence folder."""
    (folder / "notebooks").mkdir()
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "er")

    assert project_folder() == folder
    assert Path(default_evidence()).resolve() == folder / "evidence"
    assert journal_path(Path("evidence"), "acme", "p") == Path("evidence/acme/p/journal.jsonl")


def test_without_a_project_the_working_directory_counts(folder: Path) -> None:
    """Without a project, evidence goes into the working directory."""
    assert project_folder() == folder
    assert default_evidence() == "evidence"


def test_opening_a_run_writes_nothing(folder: Path) -> None:
    """A run that is opened but not started writes nothing; its tenant is the Service Domain."""
    run = open_run(procedure(step("a")), {"service_domain": "acme-h.cyclr.com"}, mode="headless")

    assert run.tenant == "acme-h.cyclr.com"
    assert run.journal.path == Path("evidence/acme-h.cyclr.com/p/journal.jsonl")
    assert len(run.run_id) == 8
    assert list(folder.iterdir()) == []


def test_a_run_is_opened_with_given_arguments(folder: Path) -> None:
    """Tenant, folder and run id can be given; without a Service Domain the tenant is `default`."""
    opened = open_run(
        procedure(step("a")), {}, mode="headless", tenant="acme", evidence="e", run_id="0a1b2c3d"
    )

    assert (opened.tenant, opened.run_id) == ("acme", "0a1b2c3d")
    assert opened.journal.path == Path("e/acme/p/journal.jsonl")
    assert open_run(procedure(step("a")), {}, mode="headless").tenant == "default"


def test_invalid_settings_open_no_run(folder: Path) -> None:
    """Invalid settings raise `SettingsError`, and nothing is written."""
    with pytest.raises(SettingsError):
        open_run(procedure(step("a")), {"nonsense": "1"}, mode="headless")
    with pytest.raises(SettingsError):
        open_run(procedure(step("a")), {}, mode="headless", tenant="../x")

    assert list(folder.iterdir()) == []


def test_run_ids_differ() -> None:
    """Two runs never share an id."""
    assert len({new_run_id() for _ in range(200)}) == 200


def test_closing_a_run_closes_its_connections(make_run: MakeRun) -> None:
    """`close` closes the run's connections, and is no error if there are none."""
    sessions: list[Any] = []

    def ask(context: CheckContext) -> Finding:
        sessions.append(context.session)
        return verified(context)

    run = make_run(step("a", Check("ask", ask)))
    run.close()
    run.perform("a")
    run.close()

    assert not sessions[0].transport._release.alive


def test_an_old_attestation_does_not_replace_a_newer_one(make_run: MakeRun) -> None:
    """An old attestation that is read again does not replace a newer one."""
    old = attested("a", at=OLD, note="old", entry="1" * 64)
    run = make_run(step("a"))
    run.say([old])
    run.say([structs.replace(old, at=NEW, note="new", entry="2" * 64)])

    make_run(step("a")).say([old])

    word = run.state.steps["a"].word
    assert word is not None
    assert word.note == "new"


def test_an_old_skip_does_not_overtake_a_newer_attestation(make_run: MakeRun) -> None:
    """An old skip that is read again does not replace a newer attestation."""
    skip = skipped("a", at=OLD, entry="1" * 64)
    run = make_run(step("a"))
    run.say([skip])
    run.say([attested("a", at=NEW)])

    make_run(step("a")).say([skip])

    assert run.state.steps["a"].conclusion.outcome is Outcome.ATTESTED


def test_a_preview_writes_nothing(make_run: MakeRun, journal: Journal) -> None:
    """`preview` runs the checks of steps without a line in the journal, exchanges included."""
    steps = (step("a", Check("undecided", undecided)), step("b"), step("c", Check("c", verified)))
    run = make_run(*steps)

    seen = run.preview(run.procedure.steps)

    outcomes = {name: conclusion and conclusion.outcome for name, conclusion in seen.items()}
    assert outcomes == {"a": Outcome.INCONCLUSIVE, "b": None, "c": Outcome.VERIFIED}
    assert journal.entries() == []


BOUND = ("app_id", "app_secret", "region")


def bound_step(name: str, *checks: Check) -> Step:
    """Return a step about an app, its secret and a region."""
    return replace(step(name, *checks), subject=BOUND)


def test_an_attestation_counts_for_its_app_only(make_run: MakeRun) -> None:
    """With another App ID or region, an attestation is shown in the reason but does not count."""
    run = make_run(bound_step("a"), app_id="111")
    run.start()
    run.say([attested("a", by="Ann")])
    run.finish()
    again = make_run(bound_step("a"), app_id="111")
    again.start()
    other = make_run(bound_step("a"), app_id="222", region="us")
    other.start()

    assert again.finish().outcome is RunOutcome.COMPLETE
    state = other.finish()
    assert state.outcome is RunOutcome.INCOMPLETE
    reason = state.steps["a"].conclusion.reason
    assert "Ann confirmed this on" in reason
    assert "for App ID 111, not 222 and for Region eu, not us" in reason


def test_a_rotated_secret_voids_its_attestations(make_run: MakeRun, journal: Journal) -> None:
    """
    An attestation does not count with another secret; it counts again with the old one.

    Neither is in the journal.
    """
    run = make_run(bound_step("a"), app_id="111")
    run.start()
    run.say([attested("a")])
    assert run.state.outcome is RunOutcome.COMPLETE

    run.set_secret(APP_SECRET, "rotated-secret-1")
    assert "for another App Secret" in run.state.steps["a"].conclusion.reason
    run.set_secret(APP_SECRET, CANARY)
    assert run.state.outcome is RunOutcome.COMPLETE
    assert "rotated-secret-1" not in journal.path.read_text()
    assert CANARY not in journal.path.read_text()


def test_a_secret_that_is_absent_now_is_compared_by_its_last_fingerprint(
    make_run: MakeRun,
) -> None:
    """Without the secret, its last recorded fingerprint is compared."""
    run = make_run(bound_step("a"), app_id="111")
    run.start()
    run.say([attested("a")])

    def look() -> RunOutcome:
        looking = make_run(bound_step("a"))
        looking.settings = Settings()
        return looking.whole_state.outcome

    assert look() is RunOutcome.COMPLETE
    run.set_secret(APP_SECRET, "rotated-secret-1")
    assert look() is RunOutcome.INCOMPLETE


def test_without_its_key_a_secret_is_not_recognised(make_run: MakeRun, journal: Journal) -> None:
    """
    Without the fingerprint key, attestations about a secret do not count, and the reason says why.
    """
    run = make_run(bound_step("a"), app_id="111")
    run.start()
    run.say([attested("a")])
    (journal.path.parent / KEY_NAME).unlink()

    later = make_run(bound_step("a"), app_id="111")
    later.start()
    reason = later.state.steps["a"].conclusion.reason

    assert later.state.outcome is RunOutcome.INCOMPLETE
    assert "that the new fingerprint.key cannot recognise" in reason


def test_a_finding_counts_for_its_app_only(make_run: MakeRun) -> None:
    """A finding about another app does not count; the step must be checked again."""
    seen = bound_step("a", Check("verified", verified))
    run = make_run(seen, app_id="111")
    run.start()
    run.perform("a")

    assert make_run(seen, app_id="111").whole_state.outcome is RunOutcome.COMPLETE
    state = make_run(seen, app_id="222").whole_state.steps["a"]
    assert state.conclusion.outcome is Outcome.NOT_RUN
    assert state.conclusion.reason.endswith("for App ID 111, not 222: check it again.")
    assert (state.findings, state.checked_on) == ((), "")


def test_a_check_of_a_changed_step_is_no_longer_its_check(make_run: MakeRun) -> None:
    """If a step's checks change, an earlier finding does not count."""
    seen = bound_step("a", Check("verified", verified))
    run = make_run(seen)
    run.start()
    run.perform("a")
    changed = replace(seen, checks=(Check("verified-otherwise", verified),))

    assert make_run(seen).whole_state.outcome is RunOutcome.COMPLETE
    assert make_run(changed).whole_state.outcome is RunOutcome.INCOMPLETE


def test_a_changed_text_is_shown_and_voids_nothing(make_run: MakeRun) -> None:
    """If a step's text changes, its attestation still counts, with a remark."""
    run = make_run(bound_step("a"))
    run.start()
    run.say([attested("a", by="Ann")])
    corrected = make_run(replace(bound_step("a"), prose="Corrected."))

    state = corrected.whole_state.steps["a"]
    assert state.conclusion.outcome is Outcome.ATTESTED
    assert state.remarks == ("The text of this step has changed since Ann confirmed it.",)
    assert make_run(bound_step("a")).whole_state.steps["a"].remarks == ()


def test_a_file_binds_when_it_is_first_read_and_never_again(make_run: MakeRun) -> None:
    """An attestation from a file is bound to the app with which it is first read."""
    word = attested("a", entry="1" * 64)
    first = make_run(bound_step("a"), app_id="111")
    first.start()
    first.say([word])
    second = make_run(bound_step("a"), app_id="222")
    second.start()
    second.say([word])

    assert first.state.outcome is RunOutcome.COMPLETE
    assert second.state.outcome is RunOutcome.INCOMPLETE


def test_a_file_that_names_its_subject_counts_for_that(make_run: MakeRun) -> None:
    """An attestation that names its subject counts for that subject only."""
    word = attested("a", entry="1" * 64, binding=Binding(subject={"app_id": "111"}))
    run = make_run(bound_step("a"), app_id="222")
    run.start()
    run.say([word])

    assert run.state.outcome is RunOutcome.INCOMPLETE
    assert make_run(bound_step("a"), app_id="111").whole_state.outcome is RunOutcome.COMPLETE


def test_a_withdrawn_word_does_not_come_back_from_its_file(make_run: MakeRun) -> None:
    """A withdrawn attestation does not count again when its file is read again."""
    word = attested("a", entry="1" * 64)
    run = make_run(step("a"))
    run.start()
    run.say([word])
    run.say([withdrawn("a")])
    run.say([word])

    assert run.state.steps["a"].conclusion.outcome is Outcome.NOT_RUN
    assert [entry.data.note for entry in run.history.recent("a")] == ["", "a mistake"]


def test_the_index_of_a_run_is_saved_and_used(make_run: MakeRun, journal: Journal) -> None:
    """A saved index is used by the next reader of the journal."""
    run = make_run(step("a"))
    run.start()
    run.save_index()

    assert (journal.path.parent / STATE_NAME).is_file()
    assert HistoryReader(journal, run.key)._index == run.history.index


def test_a_kernel_that_joins_a_run_records_new_values(make_run: MakeRun, journal: Journal) -> None:
    """New values are recorded once; none of them binds what was said before."""

    def join(**values: Any) -> Run:
        run = make_run(bound_step("a"), mode=Mode.INTERACTIVE, run_id="0a1b2c3d", **values)
        run.start()
        return run

    first = join()
    first.say([attested("a")])
    join(app_id="111")
    join(app_id="111")

    assert types(journal) == ["run.started", "step.attested", "run.joined"]
    assert journal.entries()[-1].data == RunJoined(parameters={"app_id": "111"}, fingerprints={})
    assert join(app_id="111").state.outcome is RunOutcome.COMPLETE
    assert join(app_id="222").state.outcome is RunOutcome.COMPLETE


def test_a_check_is_about_what_was_known_when_it_began(make_run: MakeRun) -> None:
    """A finding is bound to the values with which the check started, not to later ones."""

    def meanwhile(context: CheckContext) -> Finding:
        make_run(step("b"), mode=Mode.INTERACTIVE).remember("app_id", "222")
        return verified(context)

    run = make_run(bound_step("a", Check("meanwhile", meanwhile)), mode=Mode.INTERACTIVE)
    run.remember("app_id", "111")

    state = run.perform("a")

    assert state.conclusion.outcome is Outcome.NOT_RUN
    assert "for App ID 111, not 222" in state.conclusion.reason


def test_a_given_secret_is_compared_not_the_recorded_one(make_run: MakeRun) -> None:
    """The secret that is given now is compared, not the one recorded last."""
    run = make_run(bound_step("a"), app_id="111")
    run.start()
    run.say([attested("a")])
    looking = make_run(bound_step("a"))
    looking.settings = Settings({}, {"app_secret": Secret("rotated-secret-1")})

    assert "for another App Secret" in looking.whole_state.steps["a"].conclusion.reason


def test_who_is_logged_in_is_recorded_beside_the_name(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On JupyterHub, what a person says is recorded with the login; elsewhere with none."""
    run = make_run(step("a"))
    run.start()
    run.say([attested("a")])
    monkeypatch.setenv("JUPYTERHUB_USER", "ann@example.com")
    run.say([attested("a", by="Second"), commented("a"), assigned("a", "Second")])

    words = [word for word, _ in run.history.words("a")]
    notes = [note for note, _ in run.history.notes("a")]
    assert [(word.by, word.login) for word in words] == [
        ("Operator", ""),
        ("Second", "ann@example.com"),
    ]
    assert {note.login for note in notes} == {"ann@example.com"}


def test_a_comment_changes_no_outcome(make_run: MakeRun) -> None:
    """A comment is kept with its step, is read once from a file, and leaves the outcome alone."""
    run = make_run(step("a"), step("b"))
    run.start()
    note = commented("a", note="Ask again.", entry="1" * 64)
    before = run.whole_state.steps["a"]
    run.say([note, commented("a", by="Second", note="Asked.")])
    make_run(step("a"), step("b")).say([note])

    state = make_run(step("a"), step("b")).whole_state.steps
    assert state["a"].conclusion == before.conclusion
    assert [(each.by, each.note) for each in state["a"].comments] == [
        ("Operator", "Ask again."),
        ("Second", "Asked."),
    ]
    assert state["b"].comments == ()


def test_a_step_is_whose_it_was_given_last(make_run: MakeRun) -> None:
    """The newest assignment counts; one to nobody ends it, and so does a settled step."""
    run = make_run(step("a"))
    run.start()
    seen = []
    for said in (
        assigned("a", "Second", due="2026-12-01"),
        assigned("a", "Third"),
        assigned("a", ""),
        assigned("a", "Second", due="2026-12-02"),
        attested("a"),
        withdrawn("a"),
    ):
        run.say([said])
        state = run.state.steps["a"]
        seen.append((state.assigned_to, state.due))

    assert seen == [
        ("Second", "2026-12-01"),
        ("Third", ""),
        ("", ""),
        ("Second", "2026-12-02"),
        ("", ""),
        ("Second", "2026-12-02"),
    ]


def test_a_run_rests_on_the_notes_that_it_shows(make_run: MakeRun) -> None:
    """Lines of comments and of the assignment that counts are carried into later evidence."""
    run = make_run(step("a"))
    run.start()
    run.say([commented("a"), assigned("a", "Second"), assigned("a", "Third")])

    lines = [run.journal.read(ref) for ref in rests_on(run.state)]
    assert [getattr(line.data, "to", line.type) for line in lines] == ["step.commented", "Third"]


def test_a_secret_in_a_note_is_masked(make_run: MakeRun) -> None:
    """Comments and assignments are redacted like all that people type."""
    run = make_run(step("a"))
    run.start()
    run.say([commented("a", note=f"It is {CANARY}"), assigned("a", CANARY, note=CANARY)])

    assert CANARY not in run.journal.path.read_text(encoding="utf-8")


@pytest.mark.parametrize("addresses", [REAL, PRACTICE])
def test_links_of_practice_lead_to_the_sandbox_or_nowhere(
    make_run: MakeRun, addresses: dict[str, str]
) -> None:
    """After practice, no address of a real system is left to be linked to."""
    make_run(step("a"), **PRACTICE).start()
    run = make_run(step("a"), **addresses)

    assert run.values["api_url"] == "https://api.example"
    named = {name for name in run.link_values if name.endswith("_url")}
    assert named == set(addresses)
    assert run.link_values["region"] == "eu"


def test_links_of_a_real_tenant_lead_to_the_real_systems(make_run: MakeRun) -> None:
    """Without practice, links are made of every known value."""
    run = make_run(step("a"))
    run.start()

    assert run.link_values == run.values


def test_settings_at_hand_are_not_a_practice_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `.env` says of a real app is left out where a practice tenant is looked at."""
    monkeypatch.chdir(tmp_path)
    connector = find_procedure("facebook_marketing")
    for tenant, address in (("real", "https://graph.example"), ("practice", "http://127.0.0.1:9")):
        given = {"graph_url": address, "app_id": "1234567891011121"}
        open_run(connector, given, mode=Mode.HEADLESS, tenant=tenant, evidence="e").start()
    Path(".env").write_text("RUNBOOK_FACEBOOK_APP_ID=999999999999999\n", encoding="utf-8")

    seen = {
        tenant: open_known(connector, tenant=tenant, evidence="e").settings.values.get("app_id")
        for tenant in ("real", "practice")
    }
    assert seen == {"real": "999999999999999", "practice": None}


def test_a_refused_app_id_voids_nothing_but_its_own_steps(make_run: MakeRun) -> None:
    """A check that raises names the refused value in its finding, and words about another stay."""

    def refused(_: CheckContext) -> Finding:
        raise RefusedAppError("No such app.")

    steps = bound_step("a"), bound_step("b", Check("refused", refused))
    run = make_run(*steps, mode=Mode.INTERACTIVE, app_id="111")
    run.start()
    run.say([attested("a")])
    run.give("app_id", "999")
    assert run.state.steps["a"].conclusion.outcome is Outcome.NOT_RUN

    state = run.perform("b")

    assert state.findings[0].refuses == ("app_id",)
    assert run.state.steps["a"].conclusion.outcome is Outcome.ATTESTED


def test_a_run_that_stays_open_is_judged_by_its_clock(make_run: MakeRun) -> None:
    """A word ends while a run is open, without a new line: the next look at the state sees it."""
    run = make_run(replace(step("a"), counts_days=90), mode=Mode.INTERACTIVE)
    run.start()
    run.say([attested("a", until="2026-12-01")])

    assert run.state.steps["a"].is_settled
    run.clock = lambda: datetime(2026, 12, 2, tzinfo=UTC)
    assert not run.state.steps["a"].is_settled


def test_an_unchanged_journal_is_not_opened_again(
    make_run: MakeRun, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader looks at the journal's length, and opens it where something was appended."""
    run = make_run(step("a"))
    run.start()
    reader = HistoryReader(journal)
    opened: list[Path] = []
    open_plain = core_journal.open_plain

    def noted(path: Path) -> BinaryIO:
        opened.append(path)
        return open_plain(path)

    monkeypatch.setattr(core_journal, "open_plain", noted)
    before = [reader.read().index.last for _ in range(3)]
    run.remember("region", "uk")
    opened.clear()
    after = reader.read().index

    assert len(set(before)) == 1
    assert after.given == {"region": "uk"}
    assert len(opened) == 1
    assert reader.read().index is after
    assert len(opened) == 1
