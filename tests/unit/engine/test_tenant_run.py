"""A run: its lines, their order, and the outcome of a step when something goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.config.runner_settings import NOTIFY, inputs_of
from runbook_lib.config.settings import Settings
from runbook_lib.config.workspace import (
    default_evidence,
    is_sandbox,
    journal_path,
    project_folder,
    tenant_name,
)
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph_errors import GraphTokenError, RefusedAppError
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.fingerprints import KEY_NAME, FingerprintKey, read_key
from runbook_lib.core.model import (
    Attestation,
    Binding,
    Exchange,
    Finding,
    Mode,
    Note,
    Outcome,
    Remark,
    RunOutcome,
)
from runbook_lib.core.procedure import Check, Input, Procedure, Step
from runbook_lib.core.redaction import MASK, Secret
from runbook_lib.engine.run_view import known_values
from runbook_lib.engine.tenant_run import Run, new_run_id, open_known, open_run
from runbook_lib.errors import (
    JournalError,
    RunbookError,
    SettingsError,
    UnknownStepError,
    UnreachableError,
)
from runbook_lib.run.events import RunFinished, ValuesGiven
from runbook_lib.run.history import History
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import RunState
from tests.conftest import NOON
from tests.support.attestations import assigned, attested, commented, skipped, withdrawn
from tests.support.procedures import CheckFunction, plain_procedure, step
from tests.support.wording import refused, wording

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
    return Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is there.")


def failed(context: CheckContext) -> Finding:
    """Return a failed finding."""
    return Finding(outcome=Outcome.FAILED, code="a-code", reason="It is not there.")


def undecided(context: CheckContext) -> Finding:
    """Return an inconclusive finding."""
    return Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="It is hidden.")


def not_applicable(context: CheckContext) -> None:
    """Return nothing: the check does not apply."""


def noting(contexts: list[CheckContext]) -> CheckFunction:
    """Return a check that keeps its context."""

    def ask(context: CheckContext) -> Finding:
        contexts.append(context)
        return verified(context)

    return ask


def raising(error: Exception) -> CheckFunction:
    """Return a check that raises the error after an exchange."""

    def ask(context: CheckContext) -> Finding:
        verified(context)
        raise error

    return ask


BOUND = ("app_id", "app_secret", "region")


def bound_step(name: str, *checks: Check | CheckFunction) -> Step:
    """Return a step about an app, its secret and a region."""
    return replace(step(name, *checks), subject=BOUND)


def procedure(*steps: Step) -> Procedure:
    return plain_procedure(*steps, inputs=INPUTS)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "acme" / "p" / "journal.jsonl", clock=lambda: NOON)


MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(journal: Journal) -> MakeRun:
    """
    Return a factory of runs with one journal; keyword arguments are values.

    With `said`, the run starts, and people say this.
    """

    def make(
        *steps: Step,
        mode: str = Mode.HEADLESS,
        run_id: str = "",
        secret: str = CANARY,
        said: list[Any] | None = None,
        **values: Any,
    ) -> Run:
        run = Run(
            procedure=procedure(*steps),
            settings=Settings(values, {"app_secret": Secret(secret)} if secret else {}),
            journal=Journal(journal.path, clock=lambda: NOON),
            tenant="acme",
            mode=mode,
            run_id=run_id or new_run_id(),
            key=read_key(journal.path.parent) or FingerprintKey(),
        )
        if said is not None:
            run.start()
            run.say(said)
        return run

    return make


def types(journal: Journal) -> list[str]:
    return [line.head.type for line in journal.read_all()]


def test_a_step_is_in_the_journal_before_it_returns(make_run: MakeRun, journal: Journal) -> None:
    """The exchanges of a step and its findings are in the journal when `perform` returns."""
    run = make_run(step("a", verified), run_id="0a1b2c3d", said=[])
    state = run.perform("a")

    assert state.outcome is Outcome.VERIFIED
    assert types(journal) == ["run.started", "exchange.recorded", "step.checked"]
    lines = journal.read_all()
    assert {line.head.run for line in lines} == {"0a1b2c3d"}
    assert [line.head.step for line in lines] == ["", "", "a"]
    _, sent, checked = lines
    (finding,) = checked.event.findings
    assert (finding.check, finding.exchanges) == ("verified", (sent.head.seq,))
    assert sent.event.url == "https://api.example/"
    assert run.state.exchanges == {sent.head.seq: sent.event}
    assert state.exchange_numbers == (sent.head.seq,)
    assert state.checked_on == "2026-11-24T12:00:00.000Z"


def test_the_start_of_a_run_records_its_values(make_run: MakeRun, journal: Journal) -> None:
    """It records procedure, mode, values and names of credentials; no credential or recipient."""
    told = {"mail_to": "ann@acme.example", "mail_people": ("Ann=ann@acme.example",)}
    run = make_run(step("a"), service_domain="acme-h.cyclr.com", **told)
    run.start()

    data = to_builtins(journal.read_all()[0].event)
    assert data["tenant"] == "acme"
    digest = run.procedure.digest
    assert data["procedure"] == {"id": "p", "version": "1", "digest": digest, "package": None}
    assert (data["mode"], data["sandbox"], data["resumes"]) == ("headless", False, "")
    own = {"region": "eu", "api_url": "https://api.example", "service_domain": "acme-h.cyclr.com"}
    items = [item for item in inputs_of(run.procedure) if item not in NOTIFY]
    runner = {item.name for item in items if item.default is not None}
    assert {name: data["values"].get(name) for name in own} == own
    assert set(data["values"]) == {*own, *runner}
    assert data["credentials"] == ("app_secret",)
    assert set(data["environment"]) >= {"python", "platform", "papermill"}
    assert CANARY not in journal.path.read_text()


def test_a_run_that_another_process_began_is_joined(make_run: MakeRun, journal: Journal) -> None:
    """A kernel that opens the same run does not start it again."""
    for _ in range(2):
        make_run(step("a"), run_id="0a1b2c3d").start()

    assert types(journal) == ["run.started"]


@pytest.mark.parametrize(
    ("modes", "finished", "resumes"),
    [
        pytest.param(
            ["headless", "headless", "headless"],
            1,
            ["", "00000000", ""],
            id="the next run names the run before it if that one did not finish",
        ),
        pytest.param(
            ["interactive", "headless", "interactive", "headless"],
            None,
            ["", "", "", "00000001"],
            id="a walkthrough is not resumed by a headless run, and does not resume one",
        ),
    ],
)
def test_an_unfinished_run_is_resumed(
    make_run: MakeRun, journal: Journal, modes: list[str], finished: int | None, resumes: list[str]
) -> None:
    """A headless run resumes the last headless run that has no end."""
    for number, mode in enumerate(modes):
        run = make_run(step("a"), run_id=f"{number:08}", mode=mode, said=[])
        if number == finished:
            run.finish()

    started = [line.event for line in journal.read_all() if line.head.type == "run.started"]
    assert [data.resumes for data in started] == resumes


def test_an_unknown_step_is_refused(make_run: MakeRun, journal: Journal) -> None:
    """An unknown step id raises `UnknownStepError`, and nothing is written."""
    with refused(UnknownStepError, "no-such-step", step="nonsense"):
        make_run(step("a")).perform("nonsense")

    assert not journal.read_all()


def test_the_checks_of_one_step_overlap(make_run: MakeRun) -> None:
    """The checks of a step run at the same time; each of these waits for the other."""
    gate = threading.Barrier(2, timeout=240)

    def wait(context: CheckContext) -> Finding:
        gate.wait()
        return verified(context)

    state = make_run(step("a", Check("one", wait), Check("other", wait))).perform("a")

    assert [finding.outcome for finding in state.findings] == [Outcome.VERIFIED] * 2
    assert [finding.check for finding in state.findings] == ["one", "other"]
    assert [len(finding.exchanges) for finding in state.findings] == [1, 1]


def test_an_earlier_failure_keeps_the_check_from_running(
    make_run: MakeRun, journal: Journal
) -> None:
    """A step that requires a failed step is skipped without a request; the reason names that."""
    asked: list[CheckContext] = []
    run = make_run(step("a", failed), step("b", noting(asked), requires=("a",)))
    run.perform("a")

    state = run.perform("b")

    assert asked == []
    assert state.outcome is Outcome.SKIPPED
    assert "step 1 (Do a)" in state.reason
    assert types(journal)[-1] == "step.checked"


NEEDY = Check("needy", verified, ("app_id", "service_domain", "app_secret"))
UNREACHABLE = UnreachableError("It could not be reached.")


@pytest.mark.parametrize(
    ("checks", "outcome", "reason", "findings"),
    [
        pytest.param(
            [NEEDY],
            "not_run",
            wording("walkthrough.not-checked", label="App ID, Service Domain"),
            [],
            id="a check without its inputs does not run; they are named by label",
        ),
        pytest.param(
            [verified, Check("other", undecided, ("app_id",))],
            "inconclusive",
            "*App ID not given*",
            [("verified", 1), ("inconclusive", 0)],
            id="a check runs although another lacks an input, but is not enough",
        ),
        pytest.param(
            [not_applicable, verified],
            "verified",
            "*",
            [("verified", 1)],
            id="a check that does not apply is ignored",
        ),
        pytest.param(
            [not_applicable],
            "not_run",
            "*applies*",
            [],
            id="if no check applies, a person must confirm the step",
        ),
        pytest.param([], "not_run", "*", [], id="a step without a check waits for a person"),
        # The message of an expected error is the reason.
        ([raising(UNREACHABLE)], "inconclusive", str(UNREACHABLE), [("inconclusive", 1)]),
        ([raising(RunbookError("x"))], "inconclusive", "x", [("inconclusive", 1)]),
        pytest.param(
            [raising(KeyError("private"))],
            "inconclusive",
            "*KeyError*",
            [("inconclusive", 1)],
            id="the reason has the type of an unexpected error, but not its text",
        ),
    ],
)
def test_the_conclusion_of_a_step(
    make_run: MakeRun,
    journal: Journal,
    checks: list[Any],
    outcome: str,
    reason: str,
    findings: list[tuple[str, int]],
) -> None:
    """The checks that can run decide; the reason names the missing or broken ones."""
    state = make_run(step("a", *checks), app_id="").perform("a")

    assert state.outcome == outcome
    assert fnmatchcase(state.reason, reason)
    assert [(part.outcome, len(part.exchanges)) for part in state.findings] == findings
    assert "private" not in journal.path.read_text()


def test_a_journal_error_is_not_a_result(make_run: MakeRun) -> None:
    """A `JournalError` is raised, and the step has no result."""
    with pytest.raises(JournalError):
        make_run(step("a", raising(JournalError("full")))).perform("a")


def test_a_change_is_announced_before_it_is_made(make_run: MakeRun, journal: Journal) -> None:
    """An intended change is in the journal before the check makes it."""

    def install(context: CheckContext) -> Finding:
        context.announce_change("Install it.")
        assert Journal(journal.path).read_all()[-1].event.change == "Install it."
        return structs.replace(verified(context), changes=("Installed it.",))

    state = make_run(step("a", install)).perform("a")

    assert state.findings[0].changes == ("Installed it.",)
    assert types(journal) == ["change.intended", "exchange.recorded", "step.checked"]
    assert journal.read_all()[0].head.step == "a"


def test_facts_of_a_check_are_known_to_later_runs(make_run: MakeRun, journal: Journal) -> None:
    """A fact that is an input without a given value is stored for later runs; others are not."""

    def ask(context: CheckContext) -> Finding:
        facts = {"app_id": "77", "region": "us", "other": 1}
        return structs.replace(verified(context), facts=facts)

    run = make_run(step("a", ask), region="uk", said=[])
    run.perform("a")

    assert run.values["other"] == 1
    history = History()
    history.add_lines(journal.read_all())
    assert history.given == {"app_id": "77"}
    assert make_run(step("a")).values["app_id"] == "77"
    assert "other" not in make_run(step("a")).values


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Tried in vain before, it is checked again by itself, once.
        (["late"], verified, ["late", "early", "late"]),
        # Nobody has worked on it, or its requirement is not done.
        ([], verified, ["early"]),
        (["late"], failed, ["late", "early"]),
    ],
)
def test_an_undecided_step_is_checked_again_after_its_requirement(
    make_run: MakeRun,
    journal: Journal,
    before: list[str],
    after: CheckFunction,
    expected: list[str],
) -> None:
    """A step is checked again once the step is done without which its check cannot tell."""
    late = replace(step("late", undecided), checkable_after=("early",))
    run = make_run(late, step("early", after))
    for name in (*before, "early"):
        run.perform(name)

    checked = [line for line in journal.read_all() if line.head.type == "step.checked"]
    assert [line.head.step for line in checked] == expected
    assert [line.event.automatic for line in checked[len(before) + 1 :]] == [True] * (
        len(expected) - len(before) - 1
    )


def test_a_check_is_given_values_secrets_and_the_clock(make_run: MakeRun) -> None:
    """A check gets values, secrets and the run's clock."""
    seen: list[CheckContext] = []
    make_run(step("a", noting(seen)), service_domain="acme-h.cyclr.com").perform("a")

    (context,) = seen
    assert context.text("service_domain") == "acme-h.cyclr.com"
    assert context.text("region") == "eu"
    assert context.secrets["app_secret"].reveal() == CANARY
    assert context.now == NOON


def test_no_secret_reaches_the_journal(make_run: MakeRun, journal: Journal) -> None:
    """Known secrets are masked in everything that is written to the journal."""

    def ask(context: CheckContext) -> Finding:
        context.announce_change(f"Send {CANARY}.")
        return Finding(
            outcome=Outcome.FAILED,
            code="a-code",
            reason=f"It refused {CANARY}.",
            facts={"x": CANARY},
        )

    run = make_run(step("a", ask), region=f"x{CANARY}", said=[])
    run.perform("a")
    run.say([attested("a", note=f"typed {CANARY}")])
    run.say([commented("a", note=f"It is {CANARY}"), assigned("a", CANARY, note=CANARY)])
    run.give("app_id", CANARY)
    run.finish(broken=f"at {CANARY}")

    text = journal.path.read_text()
    assert CANARY not in text
    assert text.count(MASK) >= 9


def test_attestations_are_written_once(make_run: MakeRun, journal: Journal) -> None:
    """An attestation that is read again, also from a copy of the file, is not written again."""
    steps = step("a"), step("b")
    read = attested("a", note="n", entry="1" * 64), skipped("b", entry="2" * 64)
    for origin in ("said.toml", "said.toml", "a-copy.toml"):
        run = make_run(*steps)
        run.say(Remark(name, structs.replace(said, origin=origin)) for name, said in read)

    assert types(journal) == ["step.attested"] * 2
    for name, said in read:
        found = run.state.step(name).attestation
        assert found is not None
        kept = structs.replace(said, origin="said.toml", sentence=run.step(name).sentence)
        assert structs.replace(found, binding=said.binding) == kept


@pytest.mark.parametrize(("first", "second"), [(REAL, PRACTICE), (PRACTICE, REAL)])
@pytest.mark.parametrize("mode", [Mode.HEADLESS, Mode.INTERACTIVE])
def test_practice_and_real_runs_have_separate_tenants(
    make_run: MakeRun, journal: Journal, first: dict[str, str], second: dict[str, str], mode: str
) -> None:
    """A tenant has practice runs or real runs, never both."""
    make_run(step("a"), said=[], **first)
    make_run(step("a"), run_id="ffffffff", mode=mode, said=[], **first)
    before = types(journal)

    kind = "real" if first else "practice"
    for run_id in ("eeeeeeee", "ffffffff"):  # the latter in a kernel that joins the run
        with refused(SettingsError, "would-be", kind=kind) as caught:
            make_run(step("a"), run_id=run_id, mode=mode, **second).start()
        assert "--tenant" in caught.value.diagnostics()
    assert types(journal) == before


def test_a_value_is_remembered_when_it_is_new(make_run: MakeRun, journal: Journal) -> None:
    """A value is written only when it changes, and later runs know it."""
    run = make_run(step("a"))
    for value in ("1", "1", "2"):
        run.give("app_id", value)

    assert [line.event.values["app_id"] for line in journal.read_all()] == ["1", "2"]
    assert make_run(step("a")).values["app_id"] == "2"


def test_a_credential_that_was_typed_is_used_and_never_written(
    make_run: MakeRun, journal: Journal
) -> None:
    """A typed credential replaces the earlier one and its tokens, and is masked in the journal."""
    issued: list[str] = []

    def ask(context: CheckContext) -> Finding:
        issued.append(context.secrets["app_secret"].reveal())
        return Finding(outcome=Outcome.FAILED, code="a-code", reason=f"Refused {issued[-1]}.")

    run = make_run(step("a", ask))
    run.perform("a")
    run.set_secret(APP_SECRET, " typed-secret-2\n")
    run.perform("a")

    assert issued == [CANARY, "typed-secret-2"]
    assert "typed-secret-2" not in journal.path.read_text()


class MemoryStore:
    """A store for credentials, in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def save(self, tenant: str, item: Input, secret: Secret) -> str:
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
    store = MemoryStore()
    run = make_run(step("a", Check("verified", verified, ("app_secret",))))
    run.save_secret(APP_SECRET, store)

    assert store.kept == {("acme/p", "app_secret"): CANARY}
    assert run.history.credentials == {"app_secret": "keyring:acme/p/app_secret"}
    assert CANARY not in journal.path.read_text()

    run.forget_secret(APP_SECRET, [store])

    assert (store.kept, run.history.credentials) == ({}, {})
    assert run.perform("a").outcome is Outcome.NOT_RUN


def test_forgetting_what_was_never_remembered_leaves_no_line(
    make_run: MakeRun, journal: Journal
) -> None:
    """`forget_secret` writes nothing if the credential was never stored."""
    make_run(step("a")).forget_secret(APP_SECRET, [MemoryStore()])

    assert not journal.read_all()


def test_the_end_of_a_run_is_recorded(make_run: MakeRun, journal: Journal) -> None:
    """The end of the run is recorded, with its environment; the outcome follows from its lines."""
    run = make_run(step("a", verified), said=[])
    run.perform("a")

    run.finish({"engine": "fork"})

    state = run.state
    assert state.outcome is RunOutcome.COMPLETE
    assert state.finished_on
    assert state.environment["engine"] == "fork"
    assert state.environment["python"]
    assert state.broken == ""
    assert journal.read_all()[-1].event == RunFinished(environment={"engine": "fork"})


def test_a_run_that_broke_off_says_why(make_run: MakeRun) -> None:
    """The reason why its notebook did not reach the end is part of its state."""
    run = make_run(step("a"), said=[])

    run.finish(broken="by a signal")

    assert run.state.broken == "by a signal"


def test_a_headless_run_counts_only_what_it_saw_itself(make_run: MakeRun) -> None:
    """Findings of earlier runs count in a walkthrough, but not in a headless run."""
    make_run(step("a", verified), run_id="00000001").perform("a")

    for mode, outcome in ((Mode.HEADLESS, "not_run"), (Mode.INTERACTIVE, "verified")):
        run = make_run(step("a", verified), mode=mode)
        assert run.state.step("a").outcome == outcome


def test_a_required_value_that_is_missing_is_named(make_run: MakeRun) -> None:
    """A missing required value is an error that names the setting; an earlier run's is enough."""
    with pytest.raises(SettingsError) as caught:
        make_run(step("a")).require_startable()

    assert wording(
        "setting-invalid.value-missing", name="service_domain", label="Service Domain"
    ) in str(caught.value)
    assert "RUNBOOK_SERVICE_DOMAIN" in str(caught.value)
    make_run(step("a"), service_domain="acme-h.cyclr.com").require_startable()
    make_run(step("a")).give("service_domain", "acme-h.cyclr.com")
    make_run(step("a")).require_startable()


def test_values_given_now_go_before_earlier_ones_and_defaults(make_run: MakeRun) -> None:
    """A given value wins over an earlier one, and that over the default; no secret is recalled."""
    run = make_run(step("a"))
    for name, value in (("region", "uk"), ("app_id", "1"), ("app_secret", "x"), ("gone", "x")):
        run.give(name, value)

    values = known_values(run.procedure, run.history.given, Settings({"app_id": "2"}))

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
    with refused(SettingsError, "not-a-tenant-name"):
        tenant_name(name)


def test_the_folder_of_the_keys_is_no_tenant() -> None:
    """`keys` is refused as tenant name, because the public keys have that folder."""
    with refused(SettingsError, "contains-the-public-keys"):
        tenant_name("keys")


def test_the_project_is_found_from_within(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `notebooks/` the project is the folder above, which has the evidence folder."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "facebook_marketing.ipynb").touch()
    monkeypatch.chdir(folder / "notebooks")

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
    where = {"tenant": "acme", "evidence": "e", "run_id": "0a1b2c3d"}
    opened = open_run(procedure(step("a")), {}, mode="headless", **where)

    assert (opened.tenant, opened.run_id) == ("acme", "0a1b2c3d")
    assert opened.journal.path == Path("e/acme/p/journal.jsonl")
    assert open_run(procedure(step("a")), {}, mode="headless").tenant == "default"


@pytest.mark.parametrize(("given", "tenant"), [({"nonsense": "1"}, ""), ({}, "../x")])
def test_invalid_settings_open_no_run(folder: Path, given: dict[str, str], tenant: str) -> None:
    """Invalid settings raise `SettingsError`, and nothing is written."""
    with pytest.raises(SettingsError):
        open_run(procedure(step("a")), given, mode="headless", tenant=tenant)

    assert list(folder.iterdir()) == []


def test_run_ids_differ() -> None:
    """Two runs never share an id."""
    assert len({new_run_id() for _ in range(200)}) == 200


def test_closing_a_run_closes_its_connections(make_run: MakeRun) -> None:
    """`close` closes the run's connections, and is no error without any."""
    seen: list[CheckContext] = []
    run = make_run(step("a", noting(seen)))
    run.close()
    run.perform("a")
    run.close()

    assert not seen[0].session.client._remove_log_filter.alive


FROM_FILE = attested("a", at=OLD, note="old", entry="1" * 64)
SKIP = skipped("a", at=OLD, entry="1" * 64)


@pytest.mark.parametrize(
    ("first", "then", "outcome"),
    [
        pytest.param(
            FROM_FILE,
            attested("a", at=NEW, note="new", entry="2" * 64),
            Outcome.ATTESTED,
            id="an old attestation does not replace a newer one",
        ),
        pytest.param(
            SKIP,
            attested("a", at=NEW),
            Outcome.ATTESTED,
            id="an old skip does not replace a newer attestation",
        ),
        pytest.param(
            FROM_FILE,
            withdrawn("a"),
            Outcome.NOT_RUN,
            id="a withdrawn attestation does not count again",
        ),
    ],
)
def test_a_file_that_is_read_again_does_not_win(
    make_run: MakeRun, first: Remark, then: Remark, outcome: Outcome
) -> None:
    """A person's later attestation still counts when a file is read again."""
    run = make_run(step("a"), said=[first])
    run.say([then])

    make_run(step("a")).say([first])

    assert run.state.step("a").outcome is outcome
    said = [line.event.note for line in run.journal.read_all() if line.head.step == "a"]
    assert said == [first.statement.note, then.statement.note]


def test_a_preview_writes_nothing(make_run: MakeRun, journal: Journal) -> None:
    """`preview` runs the checks of steps without a line in the journal, exchanges included."""
    run = make_run(step("a", undecided), step("b"), step("c", verified))

    seen = run.preview(run.procedure.steps)

    outcomes = {name: decision and decision.outcome for name, decision in seen.items()}
    assert outcomes == {"a": Outcome.INCONCLUSIVE, "b": None, "c": Outcome.VERIFIED}
    assert not journal.read_all()


def test_an_attestation_counts_for_its_app_only(make_run: MakeRun) -> None:
    """With another App ID or region, an attestation is shown in the reason but does not count."""
    make_run(bound_step("a"), app_id="111", said=[attested("a", by="Ann")]).finish()
    again = make_run(bound_step("a"), app_id="111", said=[])
    other = make_run(bound_step("a"), app_id="222", region="us", said=[])

    assert again.state.outcome is RunOutcome.COMPLETE
    assert other.state.outcome is RunOutcome.INCOMPLETE
    reason = other.state.step("a").reason
    assert wording("findings.confirmed-this", name="Ann") in reason
    assert "App ID 111, not 222" in reason
    assert "Region eu, not us" in reason


def test_a_rotated_secret_voids_its_attestations(make_run: MakeRun, journal: Journal) -> None:
    """It does not count with another secret, given or recorded last; neither is in the journal."""
    run = make_run(bound_step("a"), app_id="111", said=[attested("a")])

    def look(secret: str = "") -> RunState:
        return make_run(bound_step("a"), secret=secret).whole_state

    assert run.state.outcome is look().outcome is RunOutcome.COMPLETE
    rotated = look("rotated-secret-1").step("a").reason
    assert wording("findings.for-another-secret", label="App Secret") in rotated

    run.set_secret(APP_SECRET, "rotated-secret-1")
    assert wording("findings.for-another-secret", label="App Secret") in run.state.step("a").reason
    assert look().outcome is RunOutcome.INCOMPLETE

    run.set_secret(APP_SECRET, CANARY)
    assert run.state.outcome is RunOutcome.COMPLETE
    assert "rotated-secret-1" not in journal.path.read_text()
    assert CANARY not in journal.path.read_text()


def test_without_its_key_a_secret_is_not_recognised(make_run: MakeRun, journal: Journal) -> None:
    """Without the fingerprint key, words about a secret do not count, and the reason says why."""
    make_run(bound_step("a"), app_id="111", said=[attested("a")])
    (journal.path.parent / KEY_NAME).unlink()

    state = make_run(bound_step("a"), app_id="111", said=[]).state

    assert state.outcome is RunOutcome.INCOMPLETE
    assert wording("findings.key-cannot-recognise") in state.step("a").reason


def test_a_finding_counts_for_its_app_only(make_run: MakeRun) -> None:
    """A finding about another app does not count; the step must be checked again."""
    seen = bound_step("a", verified)
    make_run(seen, app_id="111", said=[]).perform("a")

    assert make_run(seen, app_id="111").whole_state.outcome is RunOutcome.COMPLETE
    state = make_run(seen, app_id="222").whole_state.step("a")
    assert state.outcome is Outcome.NOT_RUN
    assert state.reason.endswith(f"App ID 111, not 222{wording('findings.check-it-again')}")
    assert (state.findings, state.checked_on) == ((), "")


def test_a_check_of_a_changed_step_is_no_longer_its_check(make_run: MakeRun) -> None:
    """If a step's checks change, an earlier finding does not count."""
    seen = bound_step("a", verified)
    make_run(seen, said=[]).perform("a")
    changed = replace(seen, checks=(Check("verified-otherwise", verified),))

    assert make_run(seen).whole_state.outcome is RunOutcome.COMPLETE
    assert make_run(changed).whole_state.outcome is RunOutcome.INCOMPLETE


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param(
            [("111", {}), ("222", {})], id="it is bound to the app with which it is first read"
        ),
        pytest.param(
            [("222", {"app_id": "111"})], id="if it names its subject, it counts for that alone"
        ),
    ],
)
def test_a_file_binds_when_it_is_first_read_and_never_again(
    make_run: MakeRun, reads: list[tuple[str, dict[str, str]]]
) -> None:
    """A file's attestation counts for one app, whoever reads it later."""
    for app, subject in reads:
        word = attested("a", entry="1" * 64, binding=Binding(subject=subject))
        make_run(bound_step("a"), app_id=app, said=[word])

    for app, outcome in (("111", RunOutcome.COMPLETE), ("222", RunOutcome.INCOMPLETE)):
        assert make_run(bound_step("a"), app_id=app).whole_state.outcome is outcome


def test_a_kernel_that_joins_a_run_records_new_values(make_run: MakeRun, journal: Journal) -> None:
    """New values are recorded once; none of them binds an earlier attestation."""
    walk = {"mode": Mode.INTERACTIVE, "run_id": "0a1b2c3d"}

    make_run(bound_step("a"), said=[attested("a")], **walk)
    for _ in range(2):
        make_run(bound_step("a"), said=[], app_id="111", **walk)

    assert types(journal) == ["run.started", "step.attested", "values.given"]
    assert journal.read_all()[-1].event == ValuesGiven(values={"app_id": "111"}, is_kept=False)
    for app in ("111", "222"):
        run = make_run(bound_step("a"), said=[], app_id=app, **walk)
        assert run.state.outcome is RunOutcome.COMPLETE


def test_a_check_is_about_what_was_known_when_it_began(make_run: MakeRun) -> None:
    """A finding is bound to the values with which the check started, not to later ones."""

    def meanwhile(context: CheckContext) -> Finding:
        make_run(step("b"), mode=Mode.INTERACTIVE)._give({"app_id": "222"})
        return verified(context)

    run = make_run(bound_step("a", meanwhile), mode=Mode.INTERACTIVE)
    run._give({"app_id": "111"})

    state = run.perform("a")

    assert state.outcome is Outcome.NOT_RUN
    assert "App ID 111, not 222" in state.reason


def test_the_login_is_recorded_beside_the_name(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On JupyterHub, an attestation is recorded with the login; elsewhere without one."""
    run = make_run(step("a"), said=[attested("a")])
    monkeypatch.setenv("JUPYTERHUB_USER", "ann@example.com")
    run.say([attested("a", by="Second"), commented("a"), assigned("a", "Second")])

    said = [line.event for line in run.journal.read_all() if line.head.step == "a"]
    assert [(word.by, word.login) for word in said if isinstance(word, Attestation)] == [
        ("Operator", ""),
        ("Second", "ann@example.com"),
    ]
    assert {word.login for word in said if isinstance(word, Note)} == {"ann@example.com"}


def test_a_comment_changes_no_outcome(make_run: MakeRun) -> None:
    """A comment is kept with its step, is read once from a file, and leaves the outcome alone."""
    steps = step("a"), step("b")
    run = make_run(*steps, said=[])
    note = commented("a", note="Ask again.", entry="1" * 64)
    before = run.whole_state.step("a")

    run.say([note, commented("a", by="Second", note="Asked.")])
    make_run(*steps).say([note])

    state = make_run(*steps).whole_state
    after = state.step("a")
    assert structs.replace(after, comments=()) == before
    assert [(comment.by, comment.note) for comment in after.comments] == [
        ("Operator", "Ask again."),
        ("Second", "Asked."),
    ]
    assert state.step("b").comments == ()


def test_a_step_is_whose_it_was_given_last(make_run: MakeRun) -> None:
    """The newest assignment counts; one to nobody ends it, and so does a settled step."""
    run = make_run(step("a"), said=[])
    for said, expected in (
        (assigned("a", "Second", due="2026-12-01"), ("Second", "2026-12-01")),
        (assigned("a", "Third"), ("Third", "")),
        (assigned("a", ""), ("", "")),
        (assigned("a", "Second", due="2026-12-02"), ("Second", "2026-12-02")),
        (attested("a"), ("", "")),
        (withdrawn("a"), ("Second", "2026-12-02")),
    ):
        run.say([said])
        state = run.state.step("a")
        assert (state.assigned_to, state.due) == expected


@pytest.mark.parametrize("addresses", [REAL, PRACTICE])
def test_links_of_practice_lead_to_the_sandbox_or_nowhere(
    make_run: MakeRun, addresses: dict[str, str]
) -> None:
    """After practice, no address of a real system is left to be linked to."""
    make_run(step("a"), said=[], **PRACTICE)
    run = make_run(step("a"), **addresses)

    assert run.values["api_url"] == "https://api.example"
    named = {name for name in run.link_values if name.endswith("_url")}
    assert named == set(addresses)
    assert run.link_values["region"] == "eu"


def test_links_of_a_real_tenant_lead_to_the_real_systems(make_run: MakeRun) -> None:
    """Without practice, links are made of every known value."""
    run = make_run(step("a"), said=[])

    assert run.link_values == run.values


def test_settings_at_hand_are_not_a_practice_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of a real app in `.env` are left out where a practice tenant is read."""
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
    refusal = GraphTokenError("No such app.", status=400, error_code=101)
    steps = bound_step("a"), bound_step("b", raising(RefusedAppError(refusal)))
    run = make_run(*steps, mode=Mode.INTERACTIVE, app_id="111", said=[attested("a")])
    run.give("app_id", "999")
    assert run.state.step("a").outcome is Outcome.NOT_RUN

    state = run.perform("b")

    assert state.findings[0].refuses == ("app_id",)
    assert run.state.step("a").outcome is Outcome.ATTESTED


def test_a_run_that_stays_open_is_judged_by_its_clock(make_run: MakeRun) -> None:
    """A word ends while a run is open, without a new line: the next look at the state sees it."""
    word = attested("a", until="2026-12-01")
    run = make_run(replace(step("a"), valid_days=90), mode=Mode.INTERACTIVE, said=[word])

    assert run.state.step("a").is_settled
    run.journal.clock = lambda: datetime(2026, 12, 2, tzinfo=UTC)
    assert not run.state.step("a").is_settled
