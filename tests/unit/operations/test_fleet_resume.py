"""
`--resume` runs the tenants without a verified bundle of its run, and never changes its selection.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import FleetRun
from runbook_lib.engine import workers
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.fleet_result import FleetResult, TenantResult, TenantRunStatus
from runbook_lib.evidence.signing.keys import create_key, open_key
from tests.support.attestations import attested
from tests.support.commands import runbook
from tests.support.fleets import ABC, Processes, fleet, table
from tests.support.wording import refused, wording
from tests.unit.operations.sealed_fleets import TenantRequest, refused_bundles, sealed

HOME = "facebook_marketing"
KEYS = ("--trusted-keys", "evidence/keys")


class KilledError(BaseException):
    """Stands for a process that is gone."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Return a stand-in for workers: each tenant is sealed, `c` with steps that wait."""
    fake = Processes()
    monkeypatch.setattr(workers, "run_elsewhere", fake)
    fake.acts["c"] = lambda request: sealed(
        request, is_complete=False, before=lambda run: run.say([attested("fb-01-log-in")])
    )
    return fake


@pytest.fixture
def processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    return stand_in(monkeypatch)


@dataclass(frozen=True)
class TwoRuns:
    """A folder with two runs of a fleet of three, made once."""

    folder: Path
    first: FleetResult
    last: FleetResult


@pytest.fixture(scope="module")
def two_runs_made_once(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> TwoRuns:
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        stand_in(patch)
        return TwoRuns(folder, run(*ABC), run())


@pytest.fixture
def two(two_runs_made_once: TwoRuns, processes: Processes) -> TwoRuns:
    """Return the two runs, in a copy that a test may spoil."""
    shutil.copytree(two_runs_made_once.folder, ".", dirs_exist_ok=True)
    return two_runs_made_once


def run(*tables: str, **more: Any) -> FleetResult:
    """Run a fleet of these tables; without any, of the file as it is."""
    return fleet(*tables, **more).run(lambda _: None)


def killed(monkeypatch: pytest.MonkeyPatch, after: str) -> str:
    """Kill a fleet after the result of a tenant, or before any, and return the run's id."""

    def run_until(groups: Any, started: workers.LocalWorkers) -> Iterator[Any]:
        if not after:
            raise KilledError
        for request, end in workers.run_all(groups, started):
            yield request, end
            if request["tenant"] == after:
                raise KilledError

    perform = workers.run_elsewhere

    def until(document: Mapping[str, Any], *words: Any, **options: Any) -> RunEnd:
        return RunEnd() if document["tenant"] > after else perform(document, *words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(workers, "run_elsewhere", until)
        patch.setattr("runbook_lib.operations.fleet.run_all", run_until)
        prepared = fleet(*ABC)
        with pytest.raises(KilledError):
            prepared.run(lambda _: None)
    return prepared.result.fleet_id


def results(fleet_result: FleetResult) -> dict[str, TenantResult]:
    """Return the results by tenant."""
    return {tenant: result for (tenant, _), result in fleet_result.results.items()}


def bundle(fleet_result: FleetResult, tenant: str = "a") -> Path:
    """Return the bundle of a tenant."""
    return Path("evidence", str(results(fleet_result)[tenant].bundle))


def fleet_run(fleet_result: FleetResult) -> FleetRun:
    """Return the record's entry about a run of the tenant `a`."""
    return FleetRun(**json.loads((bundle(fleet_result) / "record.json").read_bytes())["fleet_run"])


def again(own: FleetRun | None, **options: Any) -> Path:
    """Seal another bundle of `a` for a fleet's run, or outside of any, and return its folder."""
    given = {"service_domain": "a.cyclr.com", "app_id": "10000097"}
    request = TenantRequest(
        connector=HOME, tenant="a", evidence="evidence", given=given, fleet_run=own
    )
    return Path(sealed(request, **options).bundle)


def take_away(runs: TwoRuns) -> None:
    """Remove the bundle."""
    shutil.rmtree(bundle(runs.last))


def alter(runs: TwoRuns) -> None:
    """Alter the record in the bundle."""
    path = bundle(runs.last) / "record.json"
    path.write_text(path.read_text().replace("skipped", "Skipped"))


def older(runs: TwoRuns) -> None:
    """Put the bundle of the run before under the name of this one."""
    take_away(runs)
    shutil.copytree(bundle(runs.first), bundle(runs.last))


def another_key(runs: TwoRuns) -> None:
    """Seal for this run with a key that is not the fleet's, in place of the bundle."""
    own = fleet_run(runs.last)
    take_away(runs)
    create_key(Path("other.pem"))
    again(own, key=open_key("other.pem", is_sandbox=False))


def another_entry(runs: TwoRuns) -> None:
    """Change the tenant's entry in the file."""
    Path("tenants.toml").write_text("".join((table("a", 'graph_version = "v25.0"'), *ABC[1:])))


def another_tenants(runs: TwoRuns) -> None:
    """Put the bundle of another tenant in the place of this one's."""
    place = bundle(runs.last)
    shutil.rmtree(place)
    shutil.copytree(bundle(runs.last, "b"), place)


@dataclass(frozen=True)
class Change:
    """Events before a run is resumed, and whether the tenant `a` runs again for them."""

    act: Callable[[TwoRuns], object]
    runs_again: bool = True


CHANGES = {
    "nothing": Change(lambda _: None, runs_again=False),
    "a later run alone": Change(lambda _: again(None, is_complete=False), runs_again=False),
    "a later run of a fleet": Change(lambda runs: again(fleet_run(runs.first)), runs_again=False),
    "removed": Change(take_away),
    "altered": Change(alter),
    "an older bundle": Change(older),
    "another key": Change(another_key),
    "another entry": Change(another_entry),
    "another tenant's bundle": Change(another_tenants),
}


@pytest.mark.parametrize("name", CHANGES)
def test_only_what_has_no_verified_bundle_runs(
    name: str, two: TwoRuns, processes: Processes
) -> None:
    """
    A bundle counts if it names the run and the entry, verifies, and has the fleet's key.

    It need not be the last of its chain. The others are taken as they are.
    """
    change = CHANGES[name]
    change.act(two)
    processes.requests.clear()

    after = run(resume=two.last.fleet_id)

    assert processes.tenants == (["a"] if change.runs_again else [])
    assert (after.fleet_id, list(results(after))) == (two.last.fleet_id, ["a", "b", "c"])
    for tenant, result in results(two.last).items():
        if tenant != "a" or not change.runs_again:
            assert results(after)[tenant] == replace(result, seconds=None)
    assert results(after)["a"].outcome == "complete"
    assert after.folder.name == two.last.folder.name
    assert after.started_on[:10] == two.last.started_on[:10]


SELECTIONS: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "a tenant less": (ABC[1:], {}),
    "a tenant more": ((*ABC, table("d")), {}),
    "another tenant": ((*ABC[:2], table("d")), {}),
    "only some": (ABC, {"only": ["a", "b"]}),
}


@pytest.mark.parametrize("has_bundles", [True, False])
@pytest.mark.parametrize("name", SELECTIONS)
def test_another_selection_is_refused(
    name: str, two: TwoRuns, processes: Processes, *, has_bundles: bool
) -> None:
    """A run keeps the tenants that it selected: with others nothing runs, and nothing is lost."""
    tables, more = SELECTIONS[name]
    if not has_bundles:
        for tenant in "abc":
            shutil.rmtree(bundle(two.last, tenant))
    before = sorted(Path("evidence").rglob("*"))
    processes.requests.clear()

    with refused(SettingsError, "selected-others", file="tenants.toml") as caught:
        fleet(*tables, resume=two.last.fleet_id, **more)

    assert wording("fleet.leave-resume-out") in caught.value.diagnostics()
    assert sorted(Path("evidence").rglob("*")) == before
    assert processes.requests == []


def test_notes_never_count_for_more_than_bundles(two: TwoRuns, processes: Processes) -> None:
    """The selection that bundles name wins over the notes of a fleet, which are no evidence."""
    (path,) = Path("evidence/fleet").glob(f"*-{two.last.fleet_id}/unsealed.json")
    path.write_text(path.read_text().replace('"selected": 3', '"selected": 2'))
    processes.requests.clear()
    run(resume=two.last.fleet_id)
    assert processes.tenants == []

    shutil.rmtree("evidence/fleet")
    for _ in range(2):
        assert list(results(run(resume=two.last.fleet_id))) == ["a", "b", "c"]
    (folder,) = Path("evidence/fleet").iterdir()
    assert folder.name.endswith(f"-{two.last.fleet_id}")
    assert processes.tenants == []


def test_a_run_of_some_is_resumed_with_the_same_choice(processes: Processes) -> None:
    """The selection of `--only` is selected again; the others stay left out."""
    begun = run(*ABC, only=["a", "b"])
    shutil.rmtree(bundle(begun, "b"))
    processes.requests.clear()

    after = run(resume=begun.fleet_id, only=["a", "b"])
    assert processes.tenants == ["b"]
    assert after.left_out == (("c", HOME),)


@pytest.mark.parametrize(("after", "left"), [("", "abc"), ("a", "bc"), ("b", "c"), ("c", "")])
def test_a_killed_fleet_is_resumed(
    after: str, left: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whenever a fleet is killed, resuming runs exactly the missing tenants, and all are counted.
    """
    fleet_id = killed(monkeypatch, after)
    processes.requests.clear()

    done = run(resume=fleet_id)
    assert processes.tenants == list(left)
    assert {item.status for item in results(done).values()} == {TenantRunStatus.SEALED}
    assert refused_bundles() == []
    verified = runbook("verify", "evidence", *KEYS, "--tenants", "tenants.toml")
    assert verified.exit_code == 0
    assert f"fleet run {fleet_id}: 3 of 3 tenants" in verified.stdout


def test_a_bundle_of_a_lost_process_counts(processes: Processes) -> None:
    """A process that is lost after it has sealed has left its result in the bundle."""

    def lost(request: TenantRequest) -> RunEnd:
        sealed(request)
        return RunEnd(message="Lost.", next_step="Again.")

    processes.acts["b"] = lost
    b_result = results(run(*ABC))["b"]

    assert (b_result.status, b_result.outcome, b_result.exit_code) == (
        TenantRunStatus.SEALED,
        "complete",
        0,
    )


def test_why_a_tenant_has_no_bundle_is_noted(processes: Processes) -> None:
    """The one file beside the page says why, until the tenant has run."""
    processes.acts["b"] = lambda _: RunEnd(message="No disk.", next_step="Free.")
    begun = run(*ABC)
    path = begun.folder / "unsealed.json"

    (noted,) = json.loads(path.read_bytes())["unsealed"]
    assert noted == {
        "tenant": "b",
        "connector": HOME,
        "reason": "No disk.",
        "next_step": "Free.",
        "exit_code": 3,
    }
    del processes.acts["b"]
    run(resume=begun.fleet_id)
    assert json.loads(path.read_bytes())["unsealed"] == []


def test_tenants_that_did_not_run_run_when_resumed(processes: Processes) -> None:
    """A bundle that says why a tenant could not start is evidence, but nothing is done yet."""
    processes.acts["b"] = lambda request: sealed(request, not_run="No secret.")
    begun = run(*ABC)
    b_result = results(begun)["b"]

    assert (b_result.status, b_result.outcome, b_result.exit_code) == (
        TenantRunStatus.NOT_RUN,
        None,
        3,
    )
    assert (b_result.reason, b_result.next_step) == ("No secret.", "Give it.")
    assert b_result.bundle
    assert begun.exit_code == 3
    verified = runbook("verify", "evidence", *KEYS, "--tenants", "tenants.toml")
    assert verified.exit_code == 0
    assert verified.stdout.splitlines()[-1].endswith(": 3 of 3 tenants · 1 not run")
    del processes.acts["b"]
    processes.requests.clear()
    assert [job.name[0] for job in fleet(is_failed=True).jobs] == ["b", "c"]
    done = run(resume=begun.fleet_id)
    assert processes.tenants == ["b"]
    assert results(done)["b"].outcome == "complete"
    verified = runbook("verify", "evidence", *KEYS, "--tenants", "tenants.toml")
    assert verified.stdout.splitlines()[-1].endswith(": 3 of 3 tenants")


def test_nothing_left_is_said(two: TwoRuns, processes: Processes) -> None:
    """`--resume` with nothing left says so, and keeps the exit code of the whole."""
    result = runbook("fleet", "tenants.toml", "--resume", two.last.fleet_id)

    assert result.exit_code == 3
    first, second, *_ = result.stdout.splitlines()
    assert first == wording("fleet.none-left", run=two.last.fleet_id)
    assert second == "2 complete · 1 incomplete"


def test_a_reused_bundle_is_archived_again(processes: Processes, tmp_path: Path) -> None:
    """No bundle says whether it was archived, so a reused bundle is archived, or is open."""
    archive = tmp_path / "archive"
    begun = run(table("a", f'archive = "{archive}"'), table("b"))
    assert not archive.exists()
    assert results(run(resume=begun.fleet_id))["a"].exit_code == 0
    assert list(archive.glob("a/facebook_marketing/2*/statement.dsse.json"))
    shutil.rmtree(archive)
    archive.write_text("a file")

    b_result = results(run(resume=begun.fleet_id))["a"]

    assert (b_result.outcome, b_result.exit_code) == ("complete", 3)
    assert b_result.reason.startswith("Not archived: ")
    assert refused_bundles() == []


def test_the_entry_says_all_that_is_asked(processes: Processes) -> None:
    """The digest of an entry covers values, references and connector; not those of others."""
    run(*ABC)
    asked = {item.tenant: item.fleet_run for item in processes.requests}
    processes.requests.clear()
    run(table("a", 'secrets.app_secret = "file:x"'), table("b", 'graph_version = "v25.0"'), ABC[2])
    changed = {item.tenant: item.fleet_run for item in processes.requests}

    for tenant, before in asked.items():
        after = changed[tenant]
        assert before
        assert after
        assert (before.entry_digest == after.entry_digest) == (tenant == "c")
        assert structs.replace(after, id=before.id, entry_digest="") == structs.replace(
            before, entry_digest=""
        )
