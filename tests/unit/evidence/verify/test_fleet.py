"""Where fleets' runs are found, and what no signature makes true."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.model import FleetRun
from runbook_lib.engine import pools
from runbook_lib.engine.fleet import FleetRequest, prepare
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.bundle import resource
from runbook_lib.evidence.fleet_record import FleetRecord, Status, read_record
from runbook_lib.evidence.fleet_seal import FLEET_FILES, claims, seal_fleet
from runbook_lib.evidence.signing.keys import (
    SigningKey,
    create_key,
    open_key,
    read_public_keys,
)
from runbook_lib.evidence.signing.statement import FLEET, ChainLink, sign_statement
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Trust
from tests.unit.engine.sealed_fleets import fleet_folders, refused, sealed, verdicts
from tests.unit.engine.test_fleet import ENVIRON, Processes, table

NAME = ("a", "facebook_marketing")


def fleet() -> FleetRecord:
    """Run a fleet of two tenants, of which `b` has every step to do."""
    Path("tenants.toml").write_text(table("a") + table("b"))
    request = FleetRequest(file=Path("tenants.toml"), workers=1, environ=ENVIRON)
    return prepare(request).run(lambda _: None)


@pytest.fixture(scope="module")
def evidence_of_two(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return a folder with evidence of two runs of a fleet; made once."""
    folder = tmp_path_factory.mktemp("two")
    fake = Processes()
    fake.acts = {"a": sealed, "b": lambda request: sealed(request, is_complete=False)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        patch.setattr(pools, "_Tenant", fake)
        fleet()
        fleet()
    return folder


@pytest.fixture
def runs(evidence_of_two: Path, folder: Path) -> list[FleetRecord]:
    """Return the records of two runs in this folder's evidence, the older one first."""
    shutil.copytree(evidence_of_two, ".", dirs_exist_ok=True)
    records = [read_record(each / "fleet.json") for each in fleet_folders()]
    return sorted(records, key=lambda record: record.number)


def own_key() -> SigningKey:
    """Return the key that signed."""
    return open_key("", is_sandbox=False)


def resign(record: FleetRecord) -> None:
    """Sign the record as it is, with the trusted key."""
    seal_fleet(record, own_key())


def with_result(**more: object) -> Callable[[FleetRecord], None]:
    """Return what changes the result of the tenant `a`."""

    def act(record: FleetRecord) -> None:
        record.put(replace(record.results[NAME], **more))  # type: ignore[arg-type]

    return act


def step_verified(record: FleetRecord) -> None:
    """Say that a step of `a` was verified."""
    first, *others = record.results[NAME].steps
    with_result(steps=({**first, "outcome": "verified"}, *others))(record)


def without(record: FleetRecord) -> None:
    """Take a tenant out."""
    del record.results[NAME]


def never_sealed(record: FleetRecord) -> None:
    """Say that a tenant was not sealed that was."""
    nothing = {"outcome": None, "run_id": None, "bundle": None, "steps": (), "exit_code": 3}
    with_result(status=Status.UNSEALED, **nothing)(record)


def added(record: FleetRecord) -> None:
    """Say that a tenant is complete that never ran."""
    record.put(replace(record.results[NAME], tenant="z", bundle=None, statement=None))


def wait_gone(record: FleetRecord) -> None:
    """Take the waits out of a result."""
    result = record.results["b", "facebook_marketing"]
    steps = [{name: step[name] for name in step if name != "wait"} for step in result.steps]
    record.put(replace(result, steps=tuple(steps)))


def first_bundle(record: FleetRecord) -> None:
    """Let the result of `a` rest on the bundle of the run before."""
    records = [read_record(folder / "fleet.json") for folder in fleet_folders()]
    first = min(records, key=lambda each: each.number)
    assert record.results[NAME].bundle != first.results[NAME].bundle
    record.put(first.results[NAME])


def swapped(record: FleetRecord) -> None:
    """Seal another bundle of the run, and let the result rest on the one before it."""
    request = ProcessRequest(
        connector=NAME[1],
        tenant="a",
        evidence="evidence",
        given={"service_domain": "a.cyclr.com", "app_id": "10000097"},
        fleet_run=FleetRun(
            id=record.fleet_id,
            selected=2,
            selected_sha256=selection_digest(record.results),
            entry_sha256=record.results[NAME].key,
        ),
    )
    bundle = Path(sealed(request, is_complete=False)["bundle"])
    digest = hashlib.sha256((bundle / "statement.dsse.json").read_bytes()).hexdigest()
    record.replaced = {f"a/{NAME[1]}/{bundle.name}": digest}


def other_reason(record: FleetRecord) -> None:
    """Give each step of `a` another reason."""
    with_result(steps=tuple({**step, "reason": "x"} for step in record.results[NAME].steps))(record)


CONTRADICTS = "Its result of a contradicts the tenant's bundle"
FALSE: dict[str, tuple[Callable[[FleetRecord], object], str]] = {
    "outcome": (with_result(outcome="incomplete", exit_code=3), CONTRADICTS),
    "step": (step_verified, CONTRADICTS),
    "reason": (other_reason, CONTRADICTS),
    "fewer steps": (
        lambda record: with_result(steps=record.results[NAME].steps[1:])(record),
        CONTRADICTS,
    ),
    "waits": (wait_gone, "Its result of b contradicts the tenant's bundle"),
    "sandbox": (with_result(sandbox=True), CONTRADICTS),
    "key": (with_result(key="1" * 64), CONTRADICTS),
    "run": (with_result(run_id="0badcafe"), CONTRADICTS),
    "exit code": (with_result(exit_code=1), "It gives a the exit code 1, though it is complete"),
    "tenant dropped": (without, "It leaves out a/facebook_marketing/"),
    "never sealed": (never_sealed, "It leaves out a/facebook_marketing/"),
    "tenant added": (added, "It gives z a result, though nothing was sealed"),
    "left out": (
        lambda record: setattr(record, "left_out", (NAME,)),
        "It has a result of a, but says that a was left out",
    ),
    "bundle of another run": (first_bundle, "which is not a verified bundle of this run"),
    "bundle before the last": (swapped, "but this run sealed another bundle after it"),
    "statement of a bundle": (
        with_result(statement="0" * 64),
        "which is not a verified bundle of this run",
    ),
}


@pytest.mark.matrix(5)
@pytest.mark.parametrize("name", FALSE)
def test_no_signature_makes_a_result_true(name: str, runs: list[FleetRecord]) -> None:
    """Under the trusted key too a record says what the bundles of its run say, all of them."""
    *_, last = runs
    assert refused() == []
    act, said = FALSE[name]
    act(last)
    resign(last)

    (found,) = refused()
    assert found.startswith("fleet.json: ")
    assert said in found


def test_a_bundle_counts_under_the_key_of_its_fleet(
    runs: list[FleetRecord], tmp_path: Path
) -> None:
    """A fleet that somebody else signs, whom the verifier trusts too, takes no bundle over."""
    *_, last = runs
    create_key(tmp_path / "other.pem")
    seal_fleet(last, open_key(str(tmp_path / "other.pem"), is_sandbox=False))

    assert "The bundle of a is signed by another key than the fleet's" in refused()[0]


def test_a_bundle_that_is_refused_proves_nothing(runs: list[FleetRecord]) -> None:
    """A record that rests on a refused bundle is refused with it."""
    *_, last = runs
    path = Path("evidence", str(last.results[NAME].bundle), "report.html")
    path.write_text("x")

    said = refused()
    assert any(each.startswith("report.html: It has 1 bytes") for each in said)
    assert any("which is not a verified bundle of this run" in each for each in said)


def test_the_statement_says_what_the_record_does(runs: list[FleetRecord]) -> None:
    """It names all tenants, bundles, who was left out, replaced or lacks evidence, and the file."""
    first, last = runs
    nothing = {"outcome": None, "run_id": None, "bundle": None, "statement": None, "steps": ()}
    unsealed = {"status": Status.UNSEALED, "exit_code": 3, "reason": "No disk.", **nothing}
    result = last.results[NAME]
    last.replaced = {str(result.bundle): str(result.statement)}
    last.put(replace(result, **unsealed))  # type: ignore[arg-type]
    last.left_out = (("x", NAME[1]),)
    resign(last)
    (verdict,) = [each for each in verdicts() if each.path == last.folder.resolve()]
    claimed = verdict.fleet or {}
    statement = hashlib.sha256((first.folder / "statement.dsse.json").read_bytes()).hexdigest()

    assert verdict.error is None
    assert claimed["names"] == [list(NAME), ["b", NAME[1]]]
    assert claimed["bundles"] == last.bundles
    assert claimed["bundles"].keys() == {last.results["b", NAME[1]].bundle}
    assert claimed["replaced"] == {result.bundle: result.statement}
    assert claimed["without_evidence"] == [[*NAME, "No disk."]]
    assert claimed["left_out"] == [["x", NAME[1]]]
    assert claimed["file"] == {"name": "tenants.toml", "digest": {"sha256": last.file_sha256}}
    assert last.link == ChainLink(2, first.folder.name, statement)
    assert claimed["previous"] == {"name": first.folder.name, "digest": {"sha256": statement}}


def test_a_removed_record_is_missed(runs: list[FleetRecord]) -> None:
    """A record names the one before it: one that was taken away, or exchanged, is refused."""
    first, last = runs
    record = last.path.read_bytes()
    last.path.unlink()
    assert refused() == ["fleet.json: It is missing."]
    last.path.write_bytes(record)
    statement = (first.folder / "statement.dsse.json").read_bytes()
    files = [resource(first.folder / name, name) for name in FLEET_FILES]
    other = sign_statement(own_key(), files, FLEET, claims(first))
    assert other != statement
    (first.folder / "statement.dsse.json").write_bytes(other)
    (said,) = refused()
    assert f"Number 2 ({last.fleet_id}) does not follow the statement before it" in said

    shutil.rmtree(first.folder)
    assert refused() == ["The records of tenants.toml: Number 1 of the chain is missing."]


def test_a_return_to_an_earlier_key_is_noted(runs: list[FleetRecord], tmp_path: Path) -> None:
    """The chain of a fleet's runs has the notes that a tenant's has."""
    *_, last = runs
    create_key(tmp_path / "other.pem")
    other = open_key(str(tmp_path / "other.pem"), is_sandbox=False)
    for number, key in ((3, other), (4, own_key())):
        empty = replace(last, fleet_id=f"0000000{number}", number=number, results={})
        empty.folder = last.folder.with_name(f"20990101T000000Z-0000000{number}")
        seal_fleet(empty, key)

    (noted,) = [each for each in verdicts() if each.odd]
    assert (noted.error, noted.length) == (None, 4)
    assert "Number 4 (00000004) returns to the key" in noted.odd[0]


def test_runs_are_found_above_at_and_below_their_folder(runs: list[FleetRecord]) -> None:
    """A folder above the evidence, that of fleets, and a run itself lead to the same verdicts."""
    first, last = runs
    folders = sorted(each.folder.resolve() for each in runs)

    def fleets(path: Path) -> list[Path]:
        trust = Trust(read_public_keys([Path("evidence/keys")]))
        found = list(verify_tree(path, trust))
        assert [each.error for each in found if each.error] == []
        return sorted(each.path for each in found if each.fleet)

    assert fleets(Path()) == fleets(Path("evidence")) == fleets(Path("evidence/fleet")) == folders
    assert fleets(last.folder) == [last.folder.resolve()]
    assert fleets(Path("evidence/a")) == []
    with_result(outcome="incomplete", exit_code=3)(last)
    resign(last)
    assert len(refused(last.folder)) == len(refused(Path())) == 1
    assert refused(first.folder) == []


def test_an_archive_has_the_records(runs: list[FleetRecord], tmp_path: Path) -> None:
    """`archive` takes records, statements and pages along, and names what is not finished."""
    *_, last = runs
    archive = tmp_path / "archive"
    words = ("archive", "evidence", "--to", str(archive))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    for record in runs:
        for name in ("fleet.json", "fleet.html", "statement.dsse.json"):
            copy = archive / "fleet" / record.folder.name / name
            assert copy.read_bytes() == (record.folder / name).read_bytes()
    assert refused(archive) == []
    assert len([each for each in verdicts(archive) if each.fleet]) == 2

    copy = archive / "fleet" / last.folder.name / "fleet.json"
    copy.write_text(copy.read_text().replace("incomplete", "complete"))
    assert any("fleet.json: It has" in said for said in refused(archive))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    assert "nothing was overwritten" in result.output

    (last.folder / "statement.dsse.json").unlink()
    words = ("archive", "evidence", "--to", str(tmp_path / "other"))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    assert f"fleet/{last.folder.name}: It is not finished" in result.output
    assert not (tmp_path / "other" / "fleet" / last.folder.name).exists()
    assert refused(tmp_path / "other") == []


def test_a_record_is_not_archived_without_its_bundles(
    runs: list[FleetRecord], tmp_path: Path
) -> None:
    """What a record names must be in the archive, or the archive would be refused."""
    first, _ = runs
    bundle = Path("evidence", str(first.results[NAME].bundle))
    (bundle / "report.html").write_text("x")
    archive = tmp_path / "archive"

    result = CliRunner().invoke(main, ("archive", "evidence", "--to", str(archive)))

    assert result.exit_code == 4
    assert f"{first.results[NAME].bundle} is not in the archive" in result.output
    assert not (archive / "fleet" / first.folder.name).exists()


def place(evidence: Path, name: str) -> Path:
    """Write a record that is none, and return its folder."""
    folder = evidence / "fleet" / name
    folder.mkdir(parents=True)
    (folder / "fleet.json").write_text("{}")
    return folder


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    """What stands where a fleet's record should is named, and nothing else is lost."""
    place(tmp_path, "2026-a")
    (verdict,) = verify_tree(tmp_path, Trust({}))

    assert "Its run has not ended" in str(verdict.error)


def test_a_link_to_fleets_is_refused(tmp_path: Path) -> None:
    """A link in place of the folder is not followed, and is not passed over."""
    place(tmp_path / "other", "2026-a")
    (tmp_path / "fleet").symlink_to(tmp_path / "other" / "fleet")
    verdicts = {verdict.path: verdict.error for verdict in verify_tree(tmp_path, Trust({}))}

    assert "links are not followed" in str(verdicts[tmp_path / "fleet"])


def test_without_fleets_there_is_no_evidence(tmp_path: Path) -> None:
    """An empty folder of fleets is no evidence."""
    (tmp_path / "fleet").mkdir()
    with pytest.raises(SettingsError, match="nothing is sealed there"):
        list(verify_tree(tmp_path, Trust({})))
