"""What `--resume` signs is what bundles prove; a record gives it names and no more."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.model import FleetRun
from runbook_lib.engine import pools
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.fleet_record import (
    FleetRecord,
    Status,
    TenantResult,
    read_record,
)
from runbook_lib.evidence.signing.keys import create_key, open_key
from tests.support.words import attested
from tests.unit.engine.sealed_fleets import change, every, fleet_folders, refused, sealed
from tests.unit.engine.test_fleet import ABC, Processes, fleet, table

Document = dict[str, Any]
HOME = "facebook_marketing"


class KilledError(BaseException):
    """Stands for a process that is gone."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Return what stands for workers: each tenant is sealed, `c` with steps that wait."""
    fake = Processes()
    monkeypatch.setattr(pools, "_Tenant", fake)
    fake.acts["c"] = lambda request: sealed(
        request, is_complete=False, before=lambda run: run.say([attested("fb-01-log-in")])
    )
    return fake


@pytest.fixture
def processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    return stand_in(monkeypatch)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return a folder with two runs of a fleet of three, both signed; made once."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        stand_in(patch)
        run(*ABC)
        run()
    return folder


def run(*tables: str, **more: Any) -> FleetRecord:
    """Run a fleet of these tables; without any, of the file as it is."""
    return fleet(*tables, **more).run(lambda _: None)


def killed(monkeypatch: pytest.MonkeyPatch, after: str = "b") -> Path:
    """Kill a fleet after the result of a tenant, and return its folder."""

    def run_until(pool: pools.LocalPool, groups: pools.Groups) -> Iterator[pools.Done]:
        for request in (each for group in groups for each in group):
            yield pools._Tenant([request], pool).done()
            if request.tenant == after:
                raise KilledError

    def gone(_: pools.LocalPool) -> Iterator[pools.Done]:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(pools.LocalPool, "run", run_until)
        patch.setattr(pools.LocalPool, "stop", gone)
        prepared = fleet(*ABC)
        with pytest.raises(KilledError):
            prepared.run(lambda _: None)
    return prepared.record.folder


def results(record: FleetRecord) -> dict[str, TenantResult]:
    """Return the results by tenant."""
    return {tenant: result for (tenant, _), result in record.results.items()}


def runs() -> list[FleetRecord]:
    """Return the records of the fleet, the newest last."""
    records = [read_record(folder / "fleet.json") for folder in fleet_folders()]
    return sorted(records, key=lambda record: record.number)


def edited(act: Callable[[Document], object]) -> Callable[[], None]:
    """Return what changes the last run's record as an editor would."""
    return lambda: change(runs()[-1].path, act)


def set_head(**fields: object) -> Callable[[], None]:
    """Return what says something else of the last run as a whole."""
    return edited(lambda document: document.update(fields))


def each_step(document: Document) -> None:
    """Say that a tenant's steps are all verified."""
    for step in document["steps"]:
        step.update(outcome="verified", reason="Seen.", needs_person=False)
        step.pop("wait", None)


def drop(document: Document) -> None:
    """Take the tenant `c` out."""
    document["tenants"] = [each for each in document["tenants"] if each["tenant"] != "c"]


def add(document: Document) -> None:
    """Say that a tenant is done that never ran, and that the file names by now."""
    Path("tenants.toml").write_text("".join((*ABC, table("d"))))
    document["tenants"].append({**document["tenants"][0], "tenant": "d"})


def unsigned() -> None:
    """Take the statement away."""
    (runs()[-1].folder / "statement.dsse.json").unlink()


def again(record: FleetRecord, **options: Any) -> Path:
    """Seal another bundle of `a`, which names this run and its request, and return its folder."""
    given = {"service_domain": "a.cyclr.com", "app_id": "10000097"}
    request = ProcessRequest(
        connector=HOME,
        tenant="a",
        evidence="evidence",
        given=given,
        fleet_run=FleetRun(
            id=record.fleet_id,
            selected=3,
            selected_sha256=selection_digest(record.results),
            entry_sha256=record.results["a", HOME].key,
        ),
    )
    return Path(sealed(request, **options)["bundle"])


def of_another_key() -> None:
    """Seal a better bundle of the last run, with a key that is not the fleet's."""
    create_key(Path("other.pem"))
    again(runs()[-1], key=open_key("other.pem", is_sandbox=False))


def altered() -> None:
    """Alter the record in a bundle."""
    path = Path("evidence", str(results(runs()[-1])["a"].bundle), "record.json")
    path.write_text(path.read_text().replace("skipped", "Skipped"))


def other_request() -> None:
    """Ask for something else of `a`."""
    Path("tenants.toml").write_text("".join((table("a", 'graph_version = "v25.0"'), *ABC[1:])))


def put_back() -> None:
    """Take the last bundle of the run away, so that an old one of it seems to be the last."""
    shutil.rmtree(again(runs()[-1], is_complete=False))


@dataclass(frozen=True)
class Laundering:
    """A way to launder a record: what `verify` says of it, who runs again, what it still says."""

    act: Callable[[], object]
    said: str
    ran: str = ""
    left: str = ""


ALTERED = "fleet.json: It "
LAUNDERINGS = {
    "steps": Laundering(edited(every(each_step)), ALTERED),
    "outcome": Laundering(edited(every(lambda each: each.update(outcome="complete"))), ALTERED),
    "exit code": Laundering(edited(every(lambda each: each.update(exit_code=0))), ALTERED),
    "tenant dropped": Laundering(edited(drop), ALTERED),
    "tenant added": Laundering(edited(add), ALTERED, ran="d"),
    "results altered": Laundering(edited(every(lambda each: each.update(bundle="x"))), ALTERED),
    "sandbox flag": Laundering(edited(every(lambda each: each.update(sandbox=True))), ALTERED),
    "another file": Laundering(set_head(file_sha256="0" * 64), ALTERED),
    "another beginning": Laundering(set_head(started_on="2020-01-01T00:00:00Z"), ALTERED),
    "another end": Laundering(set_head(finished_on="2030-01-01T00:00:00Z"), ALTERED),
    "bundles replaced": Laundering(set_head(replaced={"b/x/y": "0" * 64}), ALTERED),
    "left out": Laundering(set_head(left_out=[["c", HOME]]), ALTERED),
    "another place in the chain": Laundering(set_head(number=7, link=None), ALTERED),
    "un-signed": Laundering(unsigned, "fleet.json: Its run has not ended"),
    "old bundle of the run": Laundering(
        put_back, "Number 3 of the chain is missing", ran="a", left="Number 3 of the chain"
    ),
    "old run": Laundering(lambda: again(runs()[0]), "It leaves out a/", ran="a", left="leaves out"),
    "old request": Laundering(other_request, "", ran="a"),
    "another key": Laundering(of_another_key, "It leaves out a/", ran="a"),
    "bundle altered": Laundering(altered, "record.json: It was altered", ran="a", left="record."),
}


@pytest.mark.matrix(4)
@pytest.mark.parametrize("way", LAUNDERINGS)
def test_no_record_is_laundered(way: str, two_runs: Path, processes: Processes) -> None:
    """
    `verify` refuses a record that was laundered; without its signature `--resume` makes it
    honest again, from bundles that name this run and request, verify, are signed by the fleet's
    key, and are the last of their chains. Of other tenants each runs again.
    """
    shutil.copytree(two_runs, ".", dirs_exist_ok=True)
    before, laundering = runs()[-1], LAUNDERINGS[way]
    assert refused() == []
    laundering.act()
    said = refused()
    assert any(laundering.said in each for each in said) if laundering.said else said == []
    (before.folder / "statement.dsse.json").unlink(missing_ok=True)

    after = run(resumes=True)

    assert processes.tenants == list(laundering.ran)
    assert after.fleet_id == before.fleet_id
    assert (after.link, after.left_out) == (before.link, before.left_out)
    assert after.number == before.number
    assert after.file_sha256 == sha256(Path("tenants.toml").read_bytes()).hexdigest()
    assert "2021" < after.started_on < "2030"
    assert "2021" < str(after.finished_on) < "2030"
    assert list(results(after)) == [*"abc", *("d" * (way == "tenant added"))]
    for name, result in results(before).items():
        if name not in laundering.ran:
            assert results(after)[name] == replace(result, seconds=None)
    for name in laundering.ran:
        assert results(after)[name].outcome == "complete"
        assert results(after)[name].run_id not in {each.run_id for each in before.results.values()}
    left = refused()
    assert any(laundering.left in each for each in left) if laundering.left else left == []
    assert {each.split("/")[0] for each in after.replaced} <= {"a"}


def test_what_the_file_names_and_no_result_has_runs(processes: Processes) -> None:
    """A tenant that was added runs; one that is gone is named, and its bundle does not count."""
    run(*ABC)
    processes.requests.clear()
    prepared = fleet(table("a"), table("c"), table("z"), resumes=True)

    record = prepared.run(lambda _: None)

    assert prepared.gone == ["b (facebook_marketing)"]
    assert processes.tenants == ["z"]
    assert list(results(record)) == ["a", "c", "z"]
    assert [name.partition("/")[0] for name in record.replaced] == ["b"]
    assert refused() == []


def test_a_run_of_some_is_resumed_for_all(processes: Processes) -> None:
    """Who was left out is named as such, and runs when the whole is resumed."""
    record = run(*ABC, only=["a"])
    assert record.left_out == (("b", HOME), ("c", HOME))
    assert refused() == []
    processes.requests.clear()

    record = run(resumes=True, only=["b"])
    assert processes.tenants == ["b"]
    assert [each.status for each in record.results.values()] == ["sealed", "sealed", "pending"]
    assert record.exit_code == 3
    assert refused() == []
    assert run(resumes=True).left_out == ()


def test_what_a_lost_process_has_sealed_counts(processes: Processes) -> None:
    """A process that is lost after it has sealed has left its result in the bundle."""

    def lost(request: ProcessRequest) -> Mapping[str, Any]:
        sealed(request)
        return {"event": "refused", "said": "Lost.", "next_step": "Again.", "code": 3}

    processes.acts["b"] = lost
    found = results(run(*ABC))["b"]

    assert (found.status, found.outcome, found.exit_code) == (Status.SEALED, "complete", 0)
    assert refused() == []


def test_nothing_left_is_said(processes: Processes) -> None:
    """`--resume` with nothing left says so, and keeps the exit code of the whole."""
    run(*ABC)
    Path("tenants.toml").write_text("".join(ABC[1:]))
    result = CliRunner().invoke(main, ("fleet", "tenants.toml", "--resume"))

    assert result.exit_code == 3
    assert result.stdout.startswith("No tenant is left to run.\n1 complete · 1 incomplete\n")
    said = "Not run, because tenants.toml no longer names them: a (facebook_marketing)."
    assert said in result.stderr


def test_what_is_taken_is_archived_again(processes: Processes, tmp_path: Path) -> None:
    """No bundle says whether it was archived, so what is taken is archived, or is open."""
    archive = tmp_path / "archive"
    tables = (table("a", f'archive = "{archive}"'), table("b"))
    run(*tables)
    assert not archive.exists()
    assert results(run(resumes=True))["a"].exit_code == 0
    assert list(archive.glob("a/facebook_marketing/2*/statement.dsse.json"))
    shutil.rmtree(archive)
    archive.write_text("a file")

    found = results(run(resumes=True))["a"]

    assert (found.outcome, found.exit_code) == ("complete", 3)
    assert found.reason.startswith("Not archived: ")
    assert refused() == []


def test_a_clock_does_not_say_which_run_is_the_last(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--resume` and `--failed` take the run that began last, signed or not."""
    processes.acts["b"] = lambda _: {"event": "refused", "said": "No.", "next_step": "Again."}
    with monkeypatch.context() as patch:
        later = datetime(2999, 1, 1, tzinfo=UTC)
        patch.setattr("runbook_lib.engine.fleet.utc_now", lambda: later)
        ahead = run(*ABC)
    assert ahead.folder.name.startswith("2999")
    del processes.acts["b"]
    killed(monkeypatch)
    last = killed(monkeypatch, after="a")
    ahead.path.touch()
    processes.requests.clear()
    assert failed() == ["b", "c"]

    record = run(resumes=True)

    assert (record.folder, record.number) == (last, 3)
    assert processes.tenants == ["b", "c"]
    assert record.link is not None
    assert (record.link.sequence, record.link.bundle) == (2, ahead.folder.name)
    assert failed() == []


def failed() -> list[str]:
    """Return the tenants that `--failed` would run."""
    return [job.name[0] for job in fleet(is_failed=True).jobs]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("two ends", "Two records of tenants.toml are number 2: {} and {}."),
        ("copy", "under another name"),
        ("renamed", "under another name"),
    ],
)
def test_a_twin_of_a_record_is_refused_by_name(
    kind: str, said: str, two_runs: Path, processes: Processes, tmp_path: Path
) -> None:
    """Where two records follow one, no run goes on either, and `verify` refuses both."""
    shutil.copytree(two_runs, ".", dirs_exist_ok=True)
    one = runs()[-1].folder
    twin = one.with_name("20991231T000000Z-0badcafe")
    if kind == "two ends":
        shutil.move(one, tmp_path / "one")
        twin = run().folder
        shutil.move(tmp_path / "one", one)
    elif kind == "copy":
        shutil.copytree(one, twin)
    else:
        one.rename(twin)

    for more in ({}, {"resumes": True}, {"is_failed": True}):
        with pytest.raises(SettingsError, match=said.format(*sorted((one.name, twin.name)))):
            run(**more)
    expected = "Two records claim to be number 2 of the chain." if kind == "two ends" else said
    assert any(expected in each for each in refused())


def test_a_run_that_was_never_ended_may_be_removed(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that signs nothing may go; the signed one before it stays named."""
    first = run(*ABC)
    gone = killed(monkeypatch)
    assert refused() == [
        "fleet.json: Its run has not ended: nothing is signed, so nothing in it counts."
    ]
    last = run()
    assert (last.number, last.link and last.link.bundle) == (3, first.folder.name)
    assert len(refused()) == 1
    shutil.rmtree(gone)
    assert refused() == []
    shutil.rmtree(first.folder)
    assert refused() == ["The records of tenants.toml: Number 1 of the chain is missing."]
