"""`run_tenant` prints nothing, notifies a listener, and returns the result of the run."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.fingerprints import FingerprintKey, keep_key
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.model import FleetRun, Mode
from runbook_lib.engine import headless
from runbook_lib.engine.cells import CellProcess
from runbook_lib.engine.headless import (
    FingerprintKeyChangedError,
    RunListener,
    RunRequest,
    RunResult,
    run_tenant,
)
from runbook_lib.engine.notebooks import build_notebook, notebook_name
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import AttestationError, EvidenceError, SettingsError
from runbook_lib.evidence.signing.keys import create_key, open_key
from runbook_lib.remote.threads import run_in_thread
from runbook_lib.run.journal import Journal
from tests.support.attestations import skipped
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN
from tests.unit.operations.sealed_fleets import verdicts

NAME = notebook_name(PROCEDURE)
REQUEST = RunRequest(
    procedure=PROCEDURE,
    given={"service_domain": "acme-h.cyclr.com"},
    tenant="acme",
    evidence="evidence",
    environ={"RUNBOOK_FACEBOOK_APP_SECRET": APP_SECRET, "OTHER": "x", "PATH": "/bin"},
)


class Kernel(RunListener):
    """Replaces papermill, acts as a kernel, runs the tenant, and listens to the run."""

    def __init__(self) -> None:
        self.source = Path()
        self.text = ""
        self.parameters: Mapping[str, Any] = {}
        self.environment: Mapping[str, str] = {}
        self.runs: list[Run] = []
        self.does: Callable[[Run], object] = lambda _: None
        self.returns = ""
        self.heard: list[str] = []
        self.results: list[RunResult] = []

    def __call__(
        self,
        source: Path,
        output: Path,
        parameters: Mapping[str, Any],
        *,
        environment: Mapping[str, str],
        on_tick: Callable[[], None],
        child: CellProcess | None,
    ) -> str:
        """Execute nothing."""
        self.source = source
        self.text = source.read_text(encoding="utf-8")
        self.parameters = parameters
        self.environment = environment
        on_tick()
        for run in self.runs[-1:]:
            self.does(run)
        on_tick()
        output.write_text(self.text, encoding="utf-8")
        return self.returns

    def run(self, **changes: Any) -> RunResult:
        """Run the tenant with more parameters, `given`."""
        changes["given"] = {**REQUEST.given, **changes.get("given", {})}
        return run_tenant(replace(REQUEST, **changes), self)

    def on_start(self, run: Run) -> None:
        """Record the event."""
        self.heard.append("start")
        self.runs.append(run)

    def on_progress(self, run: Run) -> None:
        """Record the event."""
        self.heard.append("progress")

    def on_sealed(self, result: RunResult) -> None:
        """Record the event."""
        self.heard.append("sealed")
        self.results.append(result)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr("runbook_lib.engine.execution.execute_notebook", kernel)
    return kernel


def attestation(step: str) -> str:
    return f'\n[[attestation]]\nstep = "{step}"\nby = "Operator"\nat = 2026-11-20T09:00:00Z\n'


def say(*texts: str) -> None:
    Path("said.toml").write_text("".join(texts), encoding="utf-8")


def record(result: RunResult) -> Any:
    return json.loads((result.sealed.folder / "record.json").read_text(encoding="utf-8"))


def journal() -> Journal:
    return Journal(journal_path(Path("evidence"), "acme", PROCEDURE.id))


def types() -> list[str]:
    return [line.head.type for line in journal().read_all()]


def bundles() -> list[Path]:
    """Return the folders beside the journal: bundles, complete or not."""
    home = journal().path.parent
    return [path for path in home.iterdir() if path.is_dir()] if home.is_dir() else []


def test_the_result_has_run_state_and_bundle(
    kernel: Kernel, capfd: pytest.CaptureFixture[str]
) -> None:
    """The result has the run's id, state and bundle, and nothing is printed."""
    result = kernel.run()

    assert bundles() == [result.sealed.folder]
    assert (result.tenant, result.run_id) == ("acme", record(result)["run"])
    assert (result.state.outcome, result.broken) == (record(result)["outcome"], "")
    assert (result.archived, result.archive_address, result.archive_error) == ("", "", None)
    assert Path("evidence", "keys", f"{result.key_id}.pub.pem").is_file()
    assert types() == ["run.started", "run.finished", "bundle.sealed"]
    assert capfd.readouterr() == ("", "")
    # A listener is notified in order.
    assert kernel.heard == ["start", "progress", "sealed"]
    assert kernel.results == [result]


def test_the_listener_is_optional(kernel: Kernel) -> None:
    """A run works without a listener."""
    assert run_tenant(REQUEST).sealed.folder.is_dir()


@pytest.mark.parametrize(
    ("returned", "does", "message"),
    [
        pytest.param(
            "the kernel died",
            lambda _: None,
            "the kernel died",
            id="what the execution says",
        ),
        pytest.param(
            f"a cell raised X: {APP_SECRET}",
            lambda _: None,
            "a cell raised X: **********",
            id="no credential",
        ),
    ],
)
def test_why_a_notebook_broke_off_is_in_the_result(
    kernel: Kernel, returned: str, does: Any, message: str
) -> None:
    """The reason is in the result without credentials; evidence is still sealed."""
    kernel.returns = returned
    kernel.does = does

    result = kernel.run()

    assert result.broken == message
    assert result.sealed.folder.is_dir()


def test_settings_are_read_from_the_environment_that_is_given(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings come from the given environment, not from this process's."""
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_SECRET", "f" * 32)
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_ID", "999999999999999")

    kernel.run()

    (run,) = kernel.runs
    assert run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert "app_id" not in run.settings.values
    assert kernel.environment == {"RUNBOOK_FACEBOOK_APP_SECRET": APP_SECRET, "PATH": "/bin"}


def test_the_kernel_opens_the_same_run(kernel: Kernel) -> None:
    """It gets the run's id, folder and values, but no settings for signing and archiving."""
    result = kernel.run(given={"queue_seconds": 5, "archive_seconds": 9})

    assert kernel.parameters == {
        "service_domain": "acme-h.cyclr.com",
        "queue_seconds": 5,
        "env_file": "",
        "evidence": "evidence",
        "run_id": result.run_id,
        "tenant": "acme",
        "mode": "headless",
    }


def test_a_run_sealed_by_a_person_is_recorded_as_such(kernel: Kernel) -> None:
    """A run that seals a walkthrough says so in journal, record and kernel, and goes on alike."""
    broken_off = open_run(
        PROCEDURE, REQUEST.given, mode=Mode.WALKTHROUGH, tenant="acme", evidence="evidence"
    )
    broken_off.start()
    result = kernel.run(mode=Mode.WALKTHROUGH)

    started = [line.event for line in journal().read_all() if line.head.type == "run.started"]
    assert record(result)["mode"] == kernel.parameters["mode"] == "walkthrough"
    assert [data.mode for data in started] == ["walkthrough", "walkthrough"]
    assert [data.resumes for data in started] == ["", broken_off.run_id]


def test_the_projects_notebook_is_executed(kernel: Kernel) -> None:
    """The project's notebook is executed unchanged."""
    path = build_notebook(PROCEDURE, Path.cwd() / "notebooks")
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    kernel.run()

    assert kernel.source == path
    assert kernel.text == path.read_text(encoding="utf-8")


def test_without_a_project_a_notebook_is_built_for_the_run(kernel: Kernel) -> None:
    """It is built for the run, and only evidence is left in the folder."""
    result = kernel.run()

    assert kernel.source.name == NAME
    assert not kernel.source.exists()
    assert [path.name for path in Path().iterdir()] == ["evidence"]
    assert (result.sealed.folder / NAME).is_file()


def test_a_walkthrough_copy_is_not_executed(kernel: Kernel) -> None:
    """A headless run does not execute the copy that a person edited in the walkthrough."""
    copy = build_notebook(PROCEDURE, Path.cwd() / "walkthrough")
    copy.write_text("{}", encoding="utf-8")

    kernel.run()

    assert kernel.source.parent != copy.parent
    assert copy.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("change", "error", "name", "facts"),
    [
        (
            {"given": {"service_domain": None}},
            SettingsError,
            "value-missing",
            {"name": "service_domain", "label": "Service Domain"},
        ),
        ({"given": {"nonsense": 1}}, SettingsError, "no-such-parameter", {"name": "nonsense"}),
        ({"tenant": "../x"}, SettingsError, "not-a-tenant-name", {}),
        ({"env_file": "none.env"}, SettingsError, "file-unreadable", {}),
        (
            {"attestations": "none.toml"},
            AttestationError,
            "no-attestations-file",
            {"file": "none.toml"},
        ),
        ({"given": {"archive": "ftp://x/"}}, SettingsError, "bad-archive", {}),
        ({"given": {"archive": "evidence"}}, SettingsError, "archive-overlaps", {}),
        ({"given": {"archive": "evidence/copies"}}, SettingsError, "archive-overlaps", {}),
    ],
)
def test_an_invalid_request_is_refused_before_anything_is_written(
    kernel: Kernel, change: dict[str, Any], error: Any, name: str, facts: dict[str, Any]
) -> None:
    """An invalid request raises `SettingsError`; no listener is notified and nothing is written."""
    with refused(error, name, **facts):
        kernel.run(**change)

    assert kernel.heard == []
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("needs_subject", "counted"),
    [(False, {"fb-03-my-apps", "fb-08-redirect-uri"}), (True, {"fb-08-redirect-uri"})],
)
def test_only_what_names_this_tenant_is_recorded(
    kernel: Kernel, needs_subject: bool, counted: set[str]
) -> None:
    """
    With `needs_subject` the journal gets the attestations about this tenant, and nothing else.
    """
    subject = 'subject = {service_domain = "acme-h.cyclr.com"}\n'
    say(attestation("fb-03-my-apps"), attestation("fb-08-redirect-uri"), subject)

    kernel.run(attestations="said.toml", needs_subject=needs_subject)

    attested_steps = {
        line.head.step for line in journal().read_all() if line.head.type == "step.attested"
    }
    assert attested_steps == counted

    comment = attestation("fb-01-log-in").replace("attestation", "comment") + 'note = "x"\n'
    say(attestation("fb-07-login-settings"), 'subject = {app_id = "1234567891011121"}', comment)
    before = len(types())
    kernel.run(attestations="said.toml", needs_subject=needs_subject)
    new = [item for item in types()[before:] if item in ("step.attested", "step.noted")]
    assert len(new) == (0 if needs_subject else 2)


def test_a_fleets_attestations_about_other_connectors_steps_are_left_out(kernel: Kernel) -> None:
    """In a fleet's file an entry may be about a step that this tenant's connector does not have."""
    subject = 'subject = {service_domain = "acme-h.cyclr.com"}\n'
    own = {step.id for step in PROCEDURE.steps}
    steps = (step.id for step in find_procedure("facebook_messenger").steps)
    other = next(step for step in steps if step not in own)
    say(attestation(other), subject, attestation("fb-08-redirect-uri"), subject)

    kernel.run(attestations="said.toml", needs_subject=True)

    attested_steps = {
        line.head.step for line in journal().read_all() if line.head.type == "step.attested"
    }
    assert attested_steps == {"fb-08-redirect-uri"}


@pytest.mark.parametrize("needs_subject", [False, True])
def test_the_journal_gets_attestations_about_its_own_subject_only(
    kernel: Kernel, needs_subject: bool
) -> None:
    """An entry about many tenants is a line of each tenant's, bound to that tenant alone."""
    subjects = ", ".join(f'{{service_domain = "{name}.cyclr.com"}}' for name in ("x", "acme-h"))
    say(attestation("fb-08-redirect-uri"), f"subject = [{subjects}]\n")

    for _ in range(2):
        kernel.run(attestations="said.toml", needs_subject=needs_subject)

    (recorded,) = [line.event for line in journal().read_all() if line.head.type == "step.attested"]
    assert recorded.binding.subject["service_domain"] == "acme-h.cyclr.com"
    assert "x.cyclr.com" not in journal().path.read_text()


def test_attestations_count_in_the_run(kernel: Kernel) -> None:
    """Attestations are read before the run and count in it."""
    say(attestation("fb-01-log-in"))

    result = kernel.run(attestations="said.toml")

    assert result.state.step("fb-01-log-in").outcome == "attested"
    assert types()[:2] == ["run.started", "step.attested"]


def test_an_interruption_leaves_no_half_bundle(kernel: Kernel) -> None:
    """The journal says so, no bundle is left, and the next run starts at once."""

    def interrupt(_: Run) -> None:
        raise KeyboardInterrupt

    kernel.does = interrupt
    with pytest.raises(KeyboardInterrupt):
        kernel.run()

    assert types() == ["run.started"]
    assert bundles() == []
    kernel.does = lambda _: None
    assert kernel.run(given={"queue_seconds": 0}).sealed.folder.is_dir()


def test_a_key_created_meanwhile_stops_the_run(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process has given the tenant another key, the run stops before it writes."""
    mine = FingerprintKey()
    kept = FingerprintKey()
    opened = headless.open_request

    def opened_meanwhile(request: RunRequest) -> Any:
        run, attestations = opened(request)
        keep_key(run.journal.path.parent, kept)
        return run, attestations

    monkeypatch.setattr(headless, "open_request", opened_meanwhile)
    with pytest.raises(FingerprintKeyChangedError):
        kernel.run(key=mine)

    assert kernel.heard == []
    assert not journal().path.exists()
    assert kernel.run(key=kept).sealed.folder.is_dir()


def test_a_bundle_is_copied_to_the_archive(kernel: Kernel) -> None:
    """The bundle is copied to the archive, and the result names its address."""
    result = kernel.run(given={"archive": f"file://{Path('archive').absolute()}"})

    assert result.sealed.folder.name in result.archived
    assert list(Path("archive").rglob("record.json"))
    assert (result.archive_error, kernel.results[0].archived) == (None, "")


def test_an_archive_error_is_part_of_the_result(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If archiving fails, the bundle stays sealed and the error is in the result."""
    refusal = EvidenceError("Access denied.", next_step="Give the role the right to write.")

    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr("runbook_lib.evidence.archive.archive.archive_bundle", refuse)
    address = str(Path("archive").absolute())
    result = kernel.run(given={"archive": address})

    assert (result.archive_error, result.archive_address) == (refusal, address)
    assert result.archived == ""
    assert bundles() == [result.sealed.folder]
    assert kernel.heard[-1] == "sealed"


@pytest.mark.parametrize("is_given", [True, False])
def test_practice_is_archived_only_on_request(kernel: Kernel, *, is_given: bool) -> None:
    """It ignores the environment's archive; only one that is given for this run is used."""
    address = f"file://{Path('archive').absolute()}"
    given = {"graph_url": "http://127.0.0.1:9"}
    environ = {**REQUEST.environ, "RUNBOOK_ARCHIVE": address}
    if is_given:
        given["archive"] = address

    result = kernel.run(given=given, environ=environ)

    assert bool(result.archived) is is_given


def test_references_are_resolved_here(kernel: Kernel, tmp_path: Path) -> None:
    """A secret is found where the run is, and reaches its cells under the name that wins."""
    (tmp_path / "secret").write_text(APP_SECRET)
    references = {"app_secret": f"file:{tmp_path}/secret", "user_access_token": "env:RUNBOOK_ACME"}
    environ = {"RUNBOOK_ACME": USER_TOKEN, "PATH": "/bin"}
    kernel.run(environ=environ, references=references)

    prefix = "RUNBOOK_FACEBOOK_MARKETING_"
    assert kernel.environment[f"{prefix}APP_SECRET"] == APP_SECRET
    assert kernel.environment[f"{prefix}USER_ACCESS_TOKEN"] == USER_TOKEN
    assert "RUNBOOK_ACME" not in kernel.environment
    assert record(kernel.results[0])["credentials"] == ["app_secret", "user_access_token"]


# --- of a fleet --------------------------------------------------------------------------

FLEET = FleetRun(
    id="7f3a90c1",
    selected=2,
    selected_digest=selection_digest([("acme", PROCEDURE.id), ("bloom", PROCEDURE.id)]),
    entry_digest="1" * 64,
)


def test_the_record_names_the_fleets_run(kernel: Kernel) -> None:
    """Record, statement and journal name run, selection and entry."""
    result = kernel.run(fleet_run=FLEET)

    expected = to_builtins(FLEET)
    assert record(result)["fleet_run"] == expected
    assert journal().read_all()[0].event.fleet_run == FLEET
    assert journal().read_all()[-1].event.fleet_run == FLEET.id
    (verdict,) = [item for item in verdicts() if item.verified]
    assert verdict.verified
    assert verdict.verified.claims.fleet_run == FLEET
    assert record(kernel.run())["fleet_run"] is None


def test_a_tenant_is_run_once_for_a_run_of_a_fleet(kernel: Kernel) -> None:
    """
    A bundle that the run has sealed is returned, not run again; another entry or run of it is run.
    """
    first = kernel.run(fleet_run=FLEET)
    heard = len(kernel.heard)
    again = kernel.run(fleet_run=FLEET)

    assert (again.sealed.folder, again.run_id) == (first.sealed.folder, first.run_id)
    assert (again.state.outcome, again.sealed.sequence) == (first.state.outcome, 1)
    assert kernel.heard[heard:] == ["sealed"]
    changed = structs.replace(FLEET, entry_digest="2" * 64)
    assert kernel.run(fleet_run=changed).sealed.sequence == 2
    assert kernel.run(fleet_run=structs.replace(FLEET, id="7f3a90c2")).sealed.sequence == 3
    # NOTE: not only the last bundle of the chain counts.
    assert kernel.run(fleet_run=FLEET).sealed.sequence == 1
    assert kernel.run().sealed.sequence == 4


def test_two_that_resume_run_a_tenant_once(kernel: Kernel) -> None:
    """A run that waited for the tenant's lock finds the bundle of the run that had it."""
    begun = threading.Event()
    go_on = threading.Event()

    def wait(_: Run) -> None:
        begun.set()
        assert go_on.wait(20)

    kernel.does = wait
    first = run_in_thread(lambda: kernel.run(fleet_run=FLEET), "first")
    assert begun.wait(20)
    waits = threading.Event()
    listener = RunListener()
    listener.on_wait = lambda _: waits.set()  # type: ignore[method-assign]
    second = run_in_thread(
        lambda: run_tenant(replace(REQUEST, fleet_run=FLEET), listener), "second"
    )
    assert waits.wait(20)
    go_on.set()

    assert first.result(20).sealed.folder == second.result(20).sealed.folder
    assert types().count("run.started") == 1


@pytest.mark.parametrize("trust", ["altered", "another key"])
def test_a_tenant_whose_bundle_does_not_verify_runs_again(
    kernel: Kernel, trust: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that was altered, or is signed by another key than this run's, does not count."""
    first = kernel.run(fleet_run=FLEET)
    if trust == "altered":
        (first.sealed.folder / "report.html").write_text("x")
    else:
        create_key(Path("other.pem"))
        monkeypatch.setattr(
            headless, "key_from_settings", lambda *_, **__: open_key("other.pem", is_sandbox=False)
        )

    assert kernel.run(fleet_run=FLEET).sealed.sequence == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"references": {"app_secret": "env:NOT_THERE"}},
            wording("setting-invalid.nothing-stored", reference="env:NOT_THERE"),
        ),
        ({"environ": {"RUNBOOK_FACEBOOK_APP_SECRET": "x"}}, "app_secret"),
        ({"given": {"archive": "evidence"}}, "overlaps"),
        ({"attestations": "none.toml"}, wording("setting-invalid.file-unreadable")),
    ],
    ids=["no secret", "a refused secret", "a refused archive", "no attestations"],
)
def test_a_tenant_that_cannot_start_leaves_a_signed_reason(
    kernel: Kernel, changes: dict[str, Any], reason: str
) -> None:
    """In a fleet the bundle says why; no step was checked, and no secret is in it."""
    result = kernel.run(fleet_run=FLEET, **changes)

    sealed_record = record(result)
    assert reason in sealed_record["not_run"]["reason"]
    assert (sealed_record["outcome"], sealed_record["fleet_run"]["id"]) == ("incomplete", FLEET.id)
    assert {step["outcome"] for step in sealed_record["steps"]} == {"not_run"}
    assert sealed_record["credentials"] == []
    assert (
        html.escape(sealed_record["not_run"]["reason"])
        in (result.sealed.folder / "report.html").read_text()
    )
    assert kernel.text == ""
    assert [str(item.error) for item in verdicts() if item.error] == []
    assert not list(result.sealed.folder.glob("*.ipynb"))
    assert kernel.run(fleet_run=FLEET).sealed.sequence == 2


def test_attestations_alone_do_not_complete_what_did_not_run(kernel: Kernel) -> None:
    """A bundle of a tenant that could not start is incomplete, whatever people said before."""
    run = open_run(PROCEDURE, REQUEST.given, mode=Mode.HEADLESS, tenant="acme", evidence="evidence")
    run.start()
    run.say([skipped(step.id, at=timestamp(run.clock())) for step in PROCEDURE.steps])
    run.finish()
    result = kernel.run(fleet_run=FLEET, references={"app_secret": "env:NOT_THERE"})

    assert {step["outcome"] for step in record(result)["steps"]} == {"skipped"}
    assert record(result)["outcome"] == "incomplete"
    assert [str(item.error) for item in verdicts() if item.error] == []


def test_outside_of_a_fleet_refused_settings_write_nothing(kernel: Kernel) -> None:
    """Only a fleet seals that a tenant did not run; a single run is refused as before."""
    with refused(SettingsError, "nothing-stored", reference="env:NOT_THERE"):
        kernel.run(references={"app_secret": "env:NOT_THERE"})

    assert not Path("evidence").exists()


def test_practice_is_never_mixed_by_a_reason(kernel: Kernel) -> None:
    """A tenant that was practised with gets no real bundle, not even one that says why."""
    kernel.run(given={"graph_url": "http://127.0.0.1:9"})
    with refused(SettingsError, "would-be", kind="real"):
        kernel.run(fleet_run=FLEET)

    assert types().count("run.started") == 1
