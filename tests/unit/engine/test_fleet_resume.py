"""What `--resume` signs is what bundles prove; an unsigned record gives it names and no more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.engine import pools
from runbook_lib.engine.fleet import FleetRequest, prepare
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.fleet_record import FleetRecord, Status, TenantResult
from runbook_lib.evidence.signing.keys import create_key, open_key
from tests.support.words import attested
from tests.unit.engine.sealed_fleets import change, every, fleet_folders, refused, sealed
from tests.unit.engine.test_fleet import ENVIRON, Processes, table

Document = dict[str, Any]
ABC = (table("a"), table("b"), table("c"))


class KilledError(BaseException):
    """Stands for a process that is gone."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Return what stands for workers: each tenant is sealed, `c` with every step to do."""
    fake = Processes()
    monkeypatch.setattr(pools, "_Tenant", fake)
    fake.acts = dict.fromkeys("abdefz", sealed)
    fake.acts["c"] = lambda request: sealed(request, is_complete=False)
    return fake


@pytest.fixture
def processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    return stand_in(monkeypatch)


@pytest.fixture(scope="module")
def killed_fleet(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return the folder of a fleet that was killed after three of its four tenants; made once."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        stand_in(patch)
        killed(patch, *ABC, table("d"), after="c")
    return folder


def run(*tables: str, **more: Any) -> FleetRecord:
    """Run a fleet of these tables; without any, of the file as it is."""
    path = Path("tenants.toml")
    if tables:
        path.write_text("".join(tables))
    request = {"file": path, "workers": 1, "environ": ENVIRON, **more}
    return prepare(FleetRequest(**request)).run(lambda _: None)


def killed(monkeypatch: pytest.MonkeyPatch, *tables: str, after: str = "b") -> Path:
    """Kill a fleet after the result of a tenant, and return its folder."""

    def run_until(pool: pools.LocalPool, groups: pools.Groups) -> Iterator[pools.Done]:
        for request in (each for group in groups for each in group):
            yield pools._Tenant([request], pool).done()
            if request.tenant == after:
                raise KilledError

    def gone(_: pools.LocalPool) -> Iterator[pools.Done]:
        raise KilledError

    Path("tenants.toml").write_text("".join(tables or ABC))
    with monkeypatch.context() as patch:
        patch.setattr(pools.LocalPool, "run", run_until)
        patch.setattr(pools.LocalPool, "stop", gone)
        prepared = prepare(FleetRequest(file=Path("tenants.toml"), workers=1, environ=ENVIRON))
        with pytest.raises(KilledError):
            prepared.run(lambda _: None)
    return prepared.record.folder


def results(record: FleetRecord) -> dict[str, TenantResult]:
    """Return the results by tenant."""
    return {tenant: result for (tenant, _), result in record.results.items()}


def document(folder: Path) -> Document:
    """Return a fleet's record as it is on disk."""
    found: Document = json.loads((folder / "fleet.json").read_bytes())
    return found


def logged(folder: Path, act: Callable[[Document], object]) -> None:
    """Change each line of the log of a fleet that was killed."""
    path = folder / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        act(line)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def embellish(result: Document) -> None:
    """Say the best of a result."""
    for step in result["steps"]:
        step.update(outcome="verified", reason="Seen.", needs_person=False)
        step.pop("wait", None)
    if result["status"] == "sealed":
        result.update(outcome="complete", exit_code=0, sandbox=True)


def forge(result: Document) -> None:
    """Say that a tenant is done that never ran."""
    if result["status"] == "pending":
        bundle = f"{result['tenant']}/facebook_marketing/20261124T000000Z-0badcafe"
        result.update(status="sealed", outcome="complete", exit_code=0)
        result.update(run_id="0badcafe", bundle=bundle)


def take_out(name: str) -> Callable[[Document], None]:
    """Return what takes a tenant out of a record."""

    def act(record: Document) -> None:
        kept = [each for each in record["tenants"] if each["tenant"] != name]
        record["tenants"] = kept

    return act


def leave_out(name: str) -> Callable[[Document], None]:
    """Return what says of a tenant that nobody asked for it."""

    def act(record: Document) -> None:
        take_out(name)(record)
        record["left_out"].append([name, "facebook_marketing"])

    return act


def swap(record: Document) -> None:
    """Give each tenant the bundle of another one."""
    first, second = record["tenants"][:2]
    for name in ("bundle", "run_id", "key"):
        first[name], second[name] = second[name], first[name]


ALTERED: dict[str, Callable[[Document], object]] = {
    "all is well": every(embellish),
    "what never ran is done": every(forge),
    "exit codes": every(lambda each: each.update(exit_code=0)),
    "no practice": every(lambda each: each.update(sandbox=not each["sandbox"])),
    "a tenant taken out": take_out("a"),
    "one that is pending taken out": take_out("d"),
    "one that is pending left out": leave_out("d"),
    "bundles swapped": swap,
    "another beginning": lambda each: each.update(started_on="2020-01-01T00:00:00.000Z"),
    "another file": lambda each: each.update(file_sha256="0" * 64),
    "bundles replaced": lambda each: each.update(replaced=["a/facebook_marketing/x"]),
    "finished": lambda each: each.update(finished_on="2026-11-24T00:00:00.000Z"),
    "an end of a chain": lambda each: each.update(
        previous=[{"fleet_id": "0badcafe", "statement": "0" * 64}]
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_an_unsigned_record_says_is_not_signed(
    name: str, killed_fleet: Path, processes: Processes
) -> None:
    """However a killed fleet's record is altered, the resumed one is as if it were not."""

    shutil.copytree(killed_fleet, ".", dirs_exist_ok=True)
    (folder,) = fleet_folders()
    honest = document(folder)
    change(folder / "fleet.json", ALTERED[name])
    if name in ("all is well", "exit codes", "no practice"):
        logged(folder, embellish)
    processes.requests.clear()

    record = run(resumes=True)

    assert processes.tenants == ["d"]
    assert record.fleet_id == honest["fleet_id"]
    found = results(record)
    assert [(each, found[each].exit_code) for each in "abcd"] == [
        ("a", 0),
        ("b", 0),
        ("c", 3),
        ("d", 0),
    ]
    assert not any(each.sandbox for each in found.values())
    steps = [step["outcome"] for step in found["c"].steps]
    assert set(steps) == {"not_run"}
    assert any("wait" in step for step in found["c"].steps)
    assert (record.replaced, record.left_out, record.previous) == ((), (), ())
    assert record.started_on > "2021"
    assert refused() == []


def test_an_unsigned_record_is_unfinished_whatever_it_says(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verify` refuses a record without a statement: killed, or signed once."""

    folder = killed(monkeypatch)
    said = "fleet.json: Its run has not ended: nothing is signed, so nothing in it counts."
    assert refused() == [said]
    change(folder / "fleet.json", lambda each: each.update(finished_on="2026-11-24T00:00:00.000Z"))
    assert refused() == [said]
    run(resumes=True)
    assert refused() == []
    (folder / "statement.dsse.json").unlink()
    assert refused() == [said]


def test_an_unsigned_record_with_altered_results_is_resumed_from_its_bundles(
    processes: Processes,
) -> None:
    """A signature that was taken away gives nobody's alterations a new one."""

    record = run(*ABC)
    before = results(record)
    (record.folder / "statement.dsse.json").unlink()
    change(record.path, every(embellish))
    processes.requests.clear()

    after = results(run(resumes=True))

    assert processes.tenants == []
    assert {name: replace(each, seconds=None) for name, each in before.items()} == after
    assert refused() == []


def test_what_the_file_names_and_no_result_has_runs(processes: Processes) -> None:
    """A tenant that was added is pending and runs; one that is gone is named, and left out."""

    run(*ABC)
    processes.requests.clear()
    text = "".join((table("a"), table("c"), table("z")))
    Path("tenants.toml").write_text(text)
    prepared = prepare(
        FleetRequest(file=Path("tenants.toml"), workers=1, environ=ENVIRON, resumes=True)
    )

    record = prepared.run(lambda _: None)

    assert prepared.gone == ["b (facebook_marketing)"]
    assert processes.tenants == ["z"]
    assert list(results(record)) == ["a", "c", "z"]
    assert len(record.replaced) == 1
    assert record.replaced[0].startswith("b/facebook_marketing/")
    assert refused() == []


def test_a_run_of_some_is_resumed_for_all(processes: Processes) -> None:
    """Who was left out is named as such, and runs when the whole is resumed."""

    record = run(*ABC, only=["a"])
    assert record.left_out == (("b", "facebook_marketing"), ("c", "facebook_marketing"))
    assert refused() == []
    processes.requests.clear()

    record = run(resumes=True, only=["b"])
    assert processes.tenants == ["b"]
    assert [each.status for each in record.results.values()] == ["sealed", "sealed", "pending"]
    assert record.exit_code == 3
    assert refused() == []
    assert run(resumes=True).left_out == ()


def test_a_changed_entry_runs_again_and_its_old_bundle_is_named(processes: Processes) -> None:
    """A result is that of the request that the file makes now; no bundle of the run is hidden."""

    first = run(*ABC)
    processes.requests.clear()
    tables = (table("a"), table("b", 'graph_version = "v25.0"'), table("c"))

    record = run(*tables, resumes=True)

    assert processes.tenants == ["b"]
    assert record.replaced == (results(first)["b"].bundle,)
    assert refused() == []
    change(record.path, lambda each: each.update(replaced=[]))
    (said,) = refused()
    assert "altered since the fleet was signed" in said


def test_a_bundle_of_another_key_proves_nothing(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only bundles that the own key signed are taken; the others' tenants run again."""

    create_key(tmp_path / "other.pem")
    key = open_key(str(tmp_path / "other.pem"), is_sandbox=False)
    processes.acts["b"] = lambda request: sealed(request, key=key)
    killed(monkeypatch)
    processes.acts["b"] = sealed
    processes.requests.clear()

    record = run(resumes=True)

    assert processes.tenants == ["b", "c"]
    assert len(record.replaced) == 1
    assert refused() == []


def test_a_bundle_that_was_altered_proves_nothing(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `verify` refuses is not taken either."""

    killed(monkeypatch)
    (record,) = Path("evidence/a").glob("*/2*/record.json")
    record.write_text(record.read_text().replace("skipped", "verified"))
    processes.requests.clear()

    run(resumes=True)

    assert processes.tenants == ["a", "c"]
    assert any(said.startswith("record.json: It ") for said in refused())


def test_a_bundle_of_another_run_proves_nothing(processes: Processes) -> None:
    """What an earlier fleet's run sealed, or a run alone, is no result of this one."""

    first = run(*ABC)
    processes.acts["b"] = lambda _: {"event": "refused", "said": "No.", "next_step": "Again."}
    second = run()
    assert second.previous[0].fleet_id == first.fleet_id
    sealed(ProcessRequest(connector="facebook_marketing", tenant="b", evidence="evidence"))
    processes.acts["b"] = sealed
    processes.requests.clear()

    record = run(resumes=True)

    assert processes.tenants == ["b"]
    assert record.fleet_id == second.fleet_id
    assert refused() == []


def test_what_a_lost_process_has_sealed_counts(processes: Processes) -> None:
    """A process that is lost after it has sealed has left its result in the bundle."""

    def lost(request: ProcessRequest) -> Mapping[str, Any]:
        sealed(request)
        return {"event": "refused", "said": "Lost.", "next_step": "Again.", "code": 3}

    processes.acts["b"] = lost
    record = run(*ABC)

    found = results(record)["b"]
    assert (found.status, found.outcome, found.exit_code) == (Status.SEALED, "complete", 0)
    assert refused() == []


def test_nothing_left_is_said(processes: Processes) -> None:
    """`--resume` with nothing left says so, and keeps the exit code of the whole."""

    run(*ABC)
    Path("tenants.toml").write_text("".join(ABC[1:]))
    result = CliRunner().invoke(main, ("fleet", "tenants.toml", "--resume"))

    assert result.exit_code == 3
    assert result.stdout.startswith("No tenant is left to run.\n1 complete · 1 incomplete\n")
    said = "Left out, since tenants.toml does not name them any more: a (facebook_marketing)."
    assert said in result.stderr


def test_waits_are_those_of_the_bundle(processes: Processes) -> None:
    """For whom a step waits is in the provenance: a resumed record says the same."""

    before = results(run(*ABC))["c"]
    after = results(run(resumes=True))["c"]

    assert any("wait" in step for step in before.steps)
    assert before.steps == after.steps


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


def test_the_newest_record_is_the_end_of_the_chain(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that ran ahead, or a file's time, does not make an older run the last one."""

    run(*ABC)
    with monkeypatch.context() as patch:
        later = datetime(2999, 1, 1, tzinfo=UTC)
        patch.setattr("runbook_lib.engine.fleet.utc_now", lambda: later)
        ahead = run()
    assert ahead.folder.name.startswith("2999")
    left = killed(monkeypatch)
    ahead.path.touch()
    processes.requests.clear()

    record = run(resumes=True)

    assert record.folder == left
    assert processes.tenants == ["c"]
    assert [each.fleet_id for each in record.previous] == [ahead.fleet_id]
    assert refused() == []


def test_what_failed_last_is_found_by_the_chain(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--failed` too the last run counts, not that of a clock that ran ahead."""

    processes.acts["b"] = lambda _: {"event": "refused", "said": "No.", "next_step": "Again."}
    with monkeypatch.context() as patch:
        later = datetime(2999, 1, 1, tzinfo=UTC)
        patch.setattr("runbook_lib.engine.fleet.utc_now", lambda: later)
        run(*ABC)
    processes.acts["b"] = sealed
    run()
    processes.requests.clear()

    run(is_failed=True)

    assert processes.tenants == []


def test_two_ends_are_refused_by_name(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where two records follow one, nothing is chosen, and `verify` refuses both by name."""

    run(*ABC)
    shutil.copytree("evidence", tmp_path / "before")
    one = run()
    shutil.move("evidence", tmp_path / "one")
    shutil.move(tmp_path / "before", "evidence")
    two = run()
    shutil.copytree(tmp_path / "one" / "fleet" / one.folder.name, one.folder)

    said = "have 2 ends"
    for more in ({}, {"resumes": True}, {"is_failed": True}):
        with pytest.raises(SettingsError, match=said) as caught:
            run(**more)
        assert one.folder.name in str(caught.value)
        assert two.folder.name in str(caught.value)
    assert any(said in each and one.folder.name in each for each in refused())


def test_a_copy_of_a_record_is_refused_by_name(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two records of one run, or one in another's folder, are not taken for a run."""

    folder = killed(monkeypatch)
    copy = folder.with_name("20991231T000000Z-0badcafe")
    shutil.copytree(folder, copy)
    with pytest.raises(SettingsError, match="Two records are of the same run"):
        run(resumes=True)
    shutil.rmtree(folder)
    with pytest.raises(SettingsError, match="under another name"):
        run(resumes=True)


def test_a_run_that_was_never_ended_may_be_removed(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that signs nothing may go; `verify` says so, and the one before it stays named."""

    first = run(*ABC)
    gone = killed(monkeypatch)
    last = run()

    assert [each.fleet_id for each in last.previous] == [gone.name[-8:], first.fleet_id]
    assert [each.statement is None for each in last.previous] == [True, False]
    assert len(refused()) == 1
    shutil.rmtree(gone)
    assert refused() == []
    shutil.rmtree(first.folder)
    (said,) = refused()
    assert f"The record of the run {first.fleet_id}" in said


def test_people_wait_as_the_bundle_says(processes: Processes) -> None:
    """What a person said in the run reaches the fleet's record, from event and bundle alike."""

    step = "fb-01-log-in"
    processes.acts["a"] = lambda request: sealed(
        request, is_complete=False, before=lambda each: each.say([attested(step)])
    )
    first = results(run(table("a")))["a"]
    again = results(run(resumes=True))["a"]

    assert {each["id"]: each["outcome"] for each in first.steps}[step] == "attested"
    assert first.steps == again.steps
