"""A fleet: the order of tenants, the remains, the effects of one tenant's trouble on the others."""

from __future__ import annotations

import errno
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.engine import workers as workers_module
from runbook_lib.engine.check_runner import CheckResult, Performed, PreparedChecks, RunningChecks
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.engine.workers import LocalWorkers, run_all
from runbook_lib.errors import (
    AttestationError,
    ExitCode,
    FleetFileError,
    LeakError,
    SettingsError,
)
from runbook_lib.evidence.fleet_result import (
    FleetResult,
    TenantResult,
    TenantRunStatus,
    write_notes,
)
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.operations.fleet import group_by_app
from runbook_lib.remote.recording import RecordedExchange
from tests.support.fleets import ABC, Act, Processes, fleet, table
from tests.support.wording import refused, wording
from tests.unit.operations.sealed_fleets import TenantRequest, fail, sealed


def refused_end(code: int) -> RunEnd:
    """Return the end of a run that was not sealed."""
    return RunEnd(message="No.", next_step="Do it.", code=code)


@pytest.fixture
def processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    fake = Processes()
    monkeypatch.setattr(workers_module, "run_elsewhere", fake)
    return fake


def run(*tables: str, **more: Any) -> dict[str, TenantResult]:
    """Run a fleet and return the results by tenant."""
    done = fleet(*tables, **more).run(lambda _: None)
    return {tenant: result for (tenant, _), result in done.results.items()}


def written() -> dict[str, Any]:
    """Return the notes of the newest fleet on disk."""
    paths = Path("evidence/fleet").glob("*/unsealed.json")
    newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
    document: dict[str, Any] = json.loads(newest.read_bytes())
    return document


def test_the_process_gets_what_the_file_says(processes: Processes) -> None:
    """Connector, values, references, folders and limit reach the tenant's process."""
    Path("shared.env").write_text("RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Shared\n")
    run(
        table("a", 'secrets.app_secret = "file:a"', 'connector = "facebook_messenger"'),
        env_file="shared.env",
        seconds=7,
    )

    (request,) = processes.requests
    assert (request.connector, request.tenant) == ("facebook_messenger", "a")
    assert request.given == {"service_domain": "a.cyclr.com", "app_id": "10000097"}
    assert request.references == {"app_secret": "file:a"}
    assert request.evidence == str(Path("evidence").absolute())
    assert request.env_file == str(Path("shared.env").absolute())
    assert request.variables == {}
    assert processes.limits == {7}


def test_the_variable_of_one_tenant_is_not_in_the_process_of_another(
    processes: Processes,
) -> None:
    """A process has only its own of the variables that tenants refer to, and all shared ones."""
    environ = {"RUNBOOK_A": "1", "B": "2", "ALL": "3", "RUNBOOK_CYCLR_CLIENT_SECRET": "env:ALL"}
    run(
        table("a", 'secrets.app_secret = "env:RUNBOOK_A"'),
        table("b", 'secrets = {app_secret = "env:B", cyclr_client_secret = "env:ALL"}'),
        environ=environ,
    )

    seen = {item.tenant: list(item.variables) for item in processes.requests}
    assert seen == {"a": ["RUNBOOK_A"], "b": ["B"]}
    assert processes.withheld == {"RUNBOOK_A", "B"}


APP = 'app_id = "123456789012"'


def test_one_app_is_one_group(processes: Processes) -> None:
    """Tenants with one App ID are a group, the largest first; one without is alone."""
    without = '[[tenant]]\ntenant = "{}"\nservice_domain = "x.cyclr.com"\n'
    jobs = fleet(
        without.format("x"), without.format("y"), table("a"), table("b", APP), table("c", APP)
    ).jobs

    names = [[job.tenant.tenant for job in group] for group in group_by_app(jobs)]
    assert names == [["b", "c"], ["x"], ["y"], ["a"]]


def test_tenants_of_one_app_never_run_at_once(processes: Processes) -> None:
    """With several workers, others run beside a tenant; tenants of its App ID run after it."""
    others = threading.Event()
    running: list[str] = []
    seen: list[list[str]] = []

    def act(request: TenantRequest) -> RunEnd:
        running.append(request.tenant)
        is_met = others.wait(20)
        seen.append([*running])
        running.remove(request.tenant)
        return sealed(request) if is_met else refused_end(3)

    def other(request: TenantRequest) -> RunEnd:
        others.set()
        return sealed(request)

    processes.acts = {"a": act, "b": act, "c": other}
    results = run(table("a", APP), table("b", APP), table("c"), workers=4)

    assert {item.status for item in results.values()} == {TenantRunStatus.SEALED}
    assert seen == [["a"], ["b"]]


@pytest.mark.parametrize(("given", "workers"), [(None, 5), (3, 3)])
def test_workers_follow_from_the_machine_unless_they_are_given(
    given: int | None, workers: int, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--workers` processors and memory say how many tenants run at a time."""
    monkeypatch.setattr("runbook_lib.operations.fleet.os.cpu_count", lambda: 8)
    monkeypatch.setattr("runbook_lib.operations.fleet.available_memory", lambda: 500)
    limits = []

    def noted(groups: Any, started: LocalWorkers) -> Any:
        limits.append(started.limit)
        return run_all(groups, started)

    monkeypatch.setattr("runbook_lib.operations.fleet.run_all", noted)
    run(*ABC, workers=given)

    assert limits == [workers]


def other_key() -> SigningKey:
    """Return a key that is not the fleet's."""
    create_key(Path("other.pem"))
    return open_key("other.pem", is_sandbox=False)


def altered(request: TenantRequest) -> RunEnd:
    """Seal a run, and alter its record before the fleet sees it."""
    end = sealed(request)
    path = Path(end.bundle, "record.json")
    path.write_text(path.read_text().replace("skipped", "Skipped"))
    return end


def crash(_: TenantRequest) -> RunEnd:
    return RunEnd(message="Its process ended (signal 9).", next_step="Again.", is_lost=True)


@pytest.mark.matrix(4)
@pytest.mark.parametrize(
    ("act", "reason", "code"),
    [
        (crash, wording("sealing-failed.ended-with", end="signal 9"), 3),
        (lambda _: RunEnd(bundle="x"), wording("content-altered.another-run"), 4),
        (
            lambda item: sealed(replace(item, fleet_run=None)),
            wording("content-altered.another-run"),
            4,
        ),
        (
            lambda item: sealed(item, key=other_key()),
            f"{wording('no-trusted-signature.not-trusted')}.",
            4,
        ),
        (altered, f"record.json: {wording('content-altered.other-digest')}", 4),
        (lambda _: refused_end(ExitCode.USAGE), "No.", 3),
        (lambda _: refused_end(LeakError.exit_code), "No.", 4),
    ],
)
def test_the_others_go_on(processes: Processes, act: Act, reason: str, code: int) -> None:
    """Each tenant's end is its result, with the cause; the others are sealed."""
    processes.acts = {"b": act}
    results = run(*ABC)

    assert processes.tenants == ["a", "b", "c"]
    assert results["b"].reason.endswith(reason.removeprefix("record.json: "))
    assert (results["b"].status, results["b"].exit_code) == (TenantRunStatus.UNSEALED, code)
    assert results["b"].bundle is None
    assert results["b"].next_step
    assert {results[name].status for name in "ac"} == {TenantRunStatus.SEALED}
    assert str(results["a"].bundle).startswith("a/facebook_marketing/2")
    assert {step["outcome"] for step in results["a"].steps} == {"skipped"}


def test_a_run_that_follows_at_once_takes_no_result_away(processes: Processes) -> None:
    """A bundle that a tenant's process has sealed counts, whoever seals after it meanwhile."""

    def followed(request: TenantRequest) -> RunEnd:
        end = sealed(request)
        sealed(replace(request, fleet_run=None), is_complete=False)
        return end

    processes.acts = {"a": followed}

    assert run(table("a"))["a"].outcome == "complete"


def test_an_archive_that_refuses_leaves_the_tenant_open(processes: Processes) -> None:
    """A complete run that was not archived counts as incomplete, with the reason."""
    kept: dict[str, Any] = {"is_archived": False, "message": "Not archived: no."}
    processes.acts = {
        "a": lambda item: structs.replace(sealed(item), **kept),
        "b": lambda item: structs.replace(sealed(item, before=fail), **kept),
    }
    results = run(table("a"), table("b"))

    assert [item.exit_code for item in results.values()] == [3, 1]
    assert results["a"].reason == kept["message"]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([0, 0], 0),
        ([0, 3], 3),
        ([3, 4, 0], 4),
        ([4, 1, 3], 1),
        ([0, None], 3),
    ],
)
def test_the_exit_code_is_the_worst(codes: list[int | None], worst: int) -> None:
    """A failed step comes before refused evidence, and both before an open or missing run."""
    record = FleetResult(Path(), "0badcafe", "tenants.toml", {}, "now")
    for number, code in enumerate(codes):
        given = {
            "tenant": f"{number}",
            "connector": "x",
            "entry_digest": "0" * 64,
            "sandbox": False,
        }
        record.put(TenantResult(**given, exit_code=code))

    assert record.exit_code == worst


def test_each_tenant_is_told_the_run_and_its_selection(processes: Processes) -> None:
    """Every request names run, number and list of the selected tenants, and the own entry."""
    noted: list[dict[str, Any]] = []

    def act(request: TenantRequest) -> RunEnd:
        noted.append(written())
        return sealed(request)

    processes.acts = {"a": act}
    results = run(*ABC, only=["a", "b"])

    (first,) = noted
    asked = {item.tenant: item.fleet_run for item in processes.requests if item.fleet_run}
    names = [("a", PROCEDURE.id), ("b", PROCEDURE.id)]
    for name, fleet_run in asked.items():
        assert fleet_run.id == first["fleet_id"]
        assert fleet_run.selected == first["selected"] == 2
        assert fleet_run.selected_digest == first["selected_digest"] == selection_digest(names)
        assert fleet_run.entry_digest == results[name].entry_digest
    assert asked["a"].entry_digest != asked["b"].entry_digest
    assert written() == first


def test_a_full_disk_stops_nobody(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """If its notes cannot be written in the end, every tenant has run; resuming writes them."""

    def full_in_the_end(result: FleetResult, *more: Any) -> None:
        if result.finished_on:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_notes(result, *more)

    with monkeypatch.context() as patch:
        patch.setattr("runbook_lib.operations.fleet.write_notes", full_in_the_end)
        with pytest.raises(OSError, match="No space left"):
            run(*ABC)
    assert processes.tenants == ["a", "b", "c"]

    resumed = run(resume=written()["fleet_id"])
    assert {item.status for item in resumed.values()} == {TenantRunStatus.SEALED}
    assert processes.tenants == ["a", "b", "c"]
    assert list(Path("evidence/fleet").glob("*/unsealed.json"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenPipeError()], ids=["Ctrl-C", "pipe"])
def test_an_interruption_can_be_resumed(processes: Processes, error: BaseException) -> None:
    """Ctrl-C, or a closed output, ends the runs; `resumes` runs the tenants that are not sealed."""
    begun = threading.Event()

    def wait(_: TenantRequest) -> RunEnd:
        begun.set()
        assert processes.stopped.wait(20)
        return refused_end(3)

    def interrupt(_: TenantResult) -> None:
        assert begun.wait(20)
        raise error

    processes.acts = {"b": wait, "c": wait}
    with pytest.raises(type(error)):
        fleet(*ABC, workers=2).run(interrupt)

    fleet_id = written()["fleet_id"]
    processes.acts = {}
    processes.requests.clear()
    results = run(resume=fleet_id)

    assert processes.tenants == ["b", "c"]
    assert {item.status for item in results.values()} == {TenantRunStatus.SEALED}
    assert written()["fleet_id"] == fleet_id
    processes.requests.clear()
    run(resume=fleet_id)
    assert processes.tenants == []


def test_incomplete_tenants_are_found_over_several_runs(processes: Processes) -> None:
    """
    `--failed` runs the tenants whose newest run is not complete, whichever fleet's run that was.

    It also runs tenants whose later run left no bundle, and tenants that never ran.
    """
    run(table("b"))
    processes.acts = {
        "a": lambda item: sealed(item, before=fail),
        "b": crash,
        "c": lambda item: sealed(item, is_complete=False),
    }
    run(*ABC, table("d"), only=["a", "b", "c"])
    processes.acts = {}
    run(only=["a"])
    processes.requests.clear()

    results = run(is_failed=True)

    assert processes.tenants == ["b", "c", "d"]
    assert list(results) == ["b", "c", "d"]
    processes.acts = {"c": lambda item: sealed(item, before=fail)}
    run(only=["c"])
    processes.requests.clear()
    run(is_failed=True)
    assert processes.tenants == ["c"]


def test_nothing_to_repeat_is_a_fleet_too(processes: Processes) -> None:
    """If every tenant is complete `--failed` runs none, as often as it is called."""
    run(table("a"))
    processes.requests.clear()

    for _ in range(2):
        done = fleet(is_failed=True).run(lambda _: None)
        assert (done.results, done.exit_code) == ({}, ExitCode.COMPLETE)
    assert processes.requests == []


def test_a_run_that_was_cut_off_is_not_complete(processes: Processes) -> None:
    """`--failed` runs a tenant again whose later run was killed after a complete one."""
    run(table("a"), table("b"))
    killed = open_run(PROCEDURE, {}, mode=Mode.HEADLESS, tenant="b")
    killed.start()

    assert [job.name[0] for job in fleet(is_failed=True).jobs] == ["b"]


def test_only_what_matches_runs(processes: Processes) -> None:
    """A pattern with `*` chooses several tenants; several patterns add up."""
    run(*ABC, table("ab"), only=["a*", "c"])

    assert processes.tenants == ["a", "c", "ab"]


@pytest.mark.parametrize(
    ("more", "name", "facts"),
    [
        ({"only": ["acm"]}, "no-tenant-matches", {"pattern": "acm", "near": "acme"}),
        ({"resume": "0badcafe"}, "no-such-fleet-run", {"run": "0badcafe"}),
        ({"resume": "*"}, "not-a-fleet-run", {}),
        ({"is_failed": True}, "no-tenant-has-run", {"file": "tenants.toml"}),
    ],
)
def test_a_choice_of_nothing_is_refused(
    processes: Processes, more: dict[str, Any], name: str, facts: dict[str, str]
) -> None:
    """A pattern without a tenant, and a run that there was not, are refused; nothing is written."""
    with refused(SettingsError, name, **facts):
        fleet(table("acme"), **more)

    assert [path.name for path in Path().iterdir()] == ["tenants.toml"]


def test_a_missing_value_is_named_with_its_line(processes: Processes) -> None:
    """A tenant without a required value is refused by its table."""
    with pytest.raises(FleetFileError) as caught:
        fleet(table("a"), '[[tenant]]\ntenant = "b"\n')

    assert caught.value.mistakes == [
        "[[tenant]] 2 (b, line 6): "
        + wording("tenants-file-invalid.value-missing", name="service_domain", tenant="b")
    ]


def test_spending_is_counted_over_the_tenants(processes: Processes) -> None:
    """Each permitting setting is counted: from file, settings file, and earlier runs."""
    Path("shared.env").write_text("RUNBOOK_FACEBOOK_MAKE_TEST_CALLS=true\n")
    earlier = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="c")
    earlier.start()
    earlier.give("cyclr_username", "someone@partner.test")
    tables = (
        table("a", "install_connector = true", "make_test_calls = false"),
        table("b", 'cyclr_username = "someone@partner.test"'),
        table("c"),
    )
    found = fleet(*tables, env_file="shared.env").spending

    counts = {item.setting: item.tenants for item in found}
    assert counts == {"install_connector": 1, "make_test_calls": 2, "cyclr_username": 2}
    assert all(item.side_effect for item in found)
    assert fleet(*ABC, only=["a"]).spending == []


def test_only_what_is_due_would_be_spent(processes: Processes) -> None:
    """A tenant whose earlier result counts is not listed; without permission no process spends."""
    tables = [
        table(name, 'cyclr_username = "u"', 'cyclr_client_id = "1"', 'account_api_id = "2"')
        for name in ("a", "b")
    ]
    run(*tables)
    for name, values in (("a", {"cyclr_username": "u"}), ("b", {"cyclr_username": "another"})):
        number = sum(name.encode()) + 10_000_000
        given = {
            "service_domain": f"{name}.cyclr.com", "app_id": str(number), "cyclr_client_id": "1",
            "account_api_id": "2", **values,
        }  # fmt: skip
        earlier = open_run(PROCEDURE, given, mode=Mode.HEADLESS, tenant=name)
        earlier.start()
        verify_link(earlier)

    (due,) = fleet(*tables).spending
    assert (due.setting, due.tenants, due.names) == ("cyclr_username", 1, ["b"])
    run(*tables)
    assert {item.may_spend for item in processes.requests} == {False}
    run(*tables, may_spend=True)
    assert processes.requests[-1].may_spend


def verify_link(run: Run) -> None:
    """Let the check that uses up a sign-in link be verified."""
    step = run.step("cy-02-client-id")
    (check,) = step.checks
    exchange = Exchange(
        method="GET", url="https://a.cyclr.com/", sent_on="2026-11-24T09:00:00Z", elapsed=0.1,
        status=200,
    )  # fmt: skip
    finding = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="Yes.", check=check.id)
    seen: Performed = ((CheckResult(finding, (RecordedExchange(lambda: exchange),)),), "")
    prepared = PreparedChecks(run.known_subject, lambda: seen)
    look = SimpleNamespace(take=lambda _: (seen, prepared))
    run.perform(step.id, cast("RunningChecks", look))


def say(kind: str, step: str, subject: str = "") -> Path:
    """Write an entry about this step to the attestations file, and return its path."""
    message = f'step = "{step}"\nby = "Ann"\nat = 2026-11-20T09:00:00Z\nnote = "x"\n'
    path = Path("attestations.toml").absolute()
    path.write_text(f"[[{kind}]]\n{message}{subject}\n")
    return path


@pytest.mark.parametrize("kind", ["attestation", "comment"])
def test_an_entry_for_whatever_tenant_is_refused(processes: Processes, kind: str) -> None:
    """Entries of a fleet's attestations file name their subject."""
    say(kind, "fb-01-log-in")

    with refused(AttestationError, "entry-without-subject", step="fb-01-log-in"):
        fleet(*ABC, attestations="attestations.toml")


def test_an_entry_with_its_subject_is_accepted(processes: Processes) -> None:
    """An entry that names its subject reaches the processes; one about no tenant is reported."""
    step = next(step.id for step in PROCEDURE.steps if "app_id" in step.subject)
    path = say("attestation", step, 'subject = {app_id = "10000097"}')
    run(*ABC, attestations="attestations.toml")
    assert {item.attestations for item in processes.requests} == {str(path)}

    say("attestation", step, 'subject = [{app_id = "10000098"}, {app_id = "99999999"}]')
    chosen = fleet(*ABC, attestations="attestations.toml", only=["a"])
    assert [item.partition(": ")[2] for item in chosen.unmatched] == [
        wording("fleet.no-tenant-has", value="99999999", name="app_id")
    ]
    assert fleet(*ABC).unmatched == []


def test_notes_that_are_none_are_named(processes: Processes) -> None:
    """A file in the place of the notes is named, to be deleted; they are no evidence."""
    run(*ABC)
    fleet_id = written()["fleet_id"]
    (path,) = Path("evidence/fleet").glob("*/unsealed.json")
    text = path.read_text()

    for broken in (
        "",
        "[]",
        text.replace('"format_version": 3', '"format_version": 1'),
        text.replace(fleet_id, "0"),
    ):
        path.write_text(broken)
        with refused(SettingsError, "not-a-fleets-notes", file="unsealed.json") as it:
            run(is_failed=True)
        assert "Delete it" in it.value.diagnostics()
    path.unlink()
    path.mkdir()
    with refused(SettingsError, "notes-are-a-folder"):
        run(resume=fleet_id)
    path.rmdir()
    processes.requests.clear()
    assert len(run(resume=fleet_id)) == 3
    assert processes.requests == []
