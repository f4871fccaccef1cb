"""Each way to take a fleet's evidence away is noticed by `verify`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from runbook_lib.core.model import FleetRun
from runbook_lib.engine import workers
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.fleet_result import FleetResult
from runbook_lib.evidence.signing.keys import create_key, open_key, read_public_keys
from runbook_lib.evidence.verify.fleet_count import FleetCount, FleetVerdict
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.operations.fleet import Fleet, FleetRequest
from tests.support.commands import runbook
from tests.support.fleets import ENVIRON, Processes, table
from tests.support.wording import wording
from tests.unit.operations.sealed_fleets import TenantRequest, sealed

CONNECTOR = "facebook_marketing"
EVIDENCE = Path("evidence")
OTHER = Path("other")
B = Path("b", CONNECTOR)


def run_fleet(evidence: Path = EVIDENCE, **more: Any) -> FleetResult:
    """Run the fleet of the file."""
    request = FleetRequest(
        file=Path("tenants.toml"), evidence=str(evidence), workers=1, environ=ENVIRON, **more
    )
    return Fleet(request).run(lambda _: None)


def alone(evidence: Path) -> Path:
    """Seal a run of the tenant `b` outside of any fleet, and return its bundle."""
    given = {"service_domain": "b.cyclr.com", "app_id": "10000098"}
    request = TenantRequest(
        connector=CONNECTOR,
        tenant="b",
        evidence=str(evidence.absolute()),
        given=given,
        fleet_run=None,
    )
    return Path(sealed(request).bundle)


@dataclass(frozen=True)
class TwoRuns:
    """A folder with two runs of a fleet of two tenants, and evidence that is not its own."""

    folder: Path
    older: FleetResult
    newest: FleetResult


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> TwoRuns:
    """Return two runs in `evidence`; another fleet's run and a run alone in `other`; made once."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        patch.setattr(workers, "run_elsewhere", Processes())
        Path("tenants.toml").write_text(table("a") + table("b"))
        older = run_fleet()
        newest = run_fleet()
        run_fleet(OTHER / "fleet")
        alone(OTHER / "alone")
        shutil.copytree("evidence/keys", "trusted")
    return TwoRuns(folder, older, newest)


@pytest.fixture
def two(made: TwoRuns, folder: Path) -> TwoRuns:
    """Return the two runs, in a copy that a test may spoil."""
    shutil.copytree(made.folder, ".", dirs_exist_ok=True)
    return made


def verify(*words: str) -> Result:
    """Verify the evidence with the keys that are trusted."""
    return runbook("verify", "evidence", "--trusted-keys", "trusted", *words)


def bundle(fleet: FleetResult, tenant: str = "b") -> Path:
    """Return the bundle of a tenant."""
    return EVIDENCE / str(fleet.results[tenant, CONNECTOR].bundle)


def only_bundle(home: Path) -> Path:
    """Return the one bundle in a folder."""
    (found,) = home.glob("2*")
    return found


def clear(home: Path = EVIDENCE / B) -> None:
    """Remove every bundle of a tenant."""
    for folder in home.glob("2*"):
        shutil.rmtree(folder)


def swap(one: Path, other: Path) -> None:
    """Exchange two folders."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def instead(source: Path, *, is_alone: bool = False) -> Callable[[TwoRuns, FleetResult], None]:
    """Return a function that puts another bundle of `b` in the place of one, or of all."""

    def act(_: TwoRuns, fleet: FleetResult) -> None:
        if is_alone:
            clear()
        else:
            shutil.rmtree(bundle(fleet))
        other = only_bundle(source / B)
        shutil.copytree(other, EVIDENCE / B / other.name)

    return act


def by_another_key(_: TwoRuns, fleet: FleetResult) -> None:
    """Seal the tenant's run for the fleet with a key that nobody trusts, in its place."""
    shutil.rmtree(bundle(fleet))
    create_key(Path("other.pem"))
    key = open_key("other.pem", is_sandbox=False)
    fleet_run = fleet_run_of(fleet)
    given = {"service_domain": "b.cyclr.com", "app_id": "10000098"}
    request = TenantRequest(
        connector=CONNECTOR,
        tenant="b",
        evidence=str(Path("forged").absolute()),
        given=given,
        fleet_run=fleet_run,
    )
    forged = Path(sealed(request, key=key).bundle)
    shutil.copytree(forged, EVIDENCE / B / forged.name)


def fleet_run_of(fleet: FleetResult) -> FleetRun:
    """Return the run's entry in the record of the tenant `a`."""
    content = json.loads((bundle(fleet, "a") / "record.json").read_bytes())["fleet_run"]
    return FleetRun(**content)


def alter(_: TwoRuns, fleet: FleetResult) -> None:
    """Alter one file of a bundle."""
    (bundle(fleet) / "report.html").write_text("x")


def older_under_newer_name(runs: TwoRuns, fleet: FleetResult) -> None:
    """Put the tenant's other bundle under the name of this one."""
    other = bundle(runs.older if fleet is runs.newest else runs.newest)
    shutil.rmtree(bundle(fleet))
    shutil.copytree(other, bundle(fleet))


def swap_bundles(_: TwoRuns, fleet: FleetResult) -> None:
    """Exchange the bundles of the two tenants."""
    one = bundle(fleet, "a")
    other = bundle(fleet)
    one_place = one.parent / other.name
    other_place = other.parent / one.name
    aside = Path("aside").absolute()
    one.rename(aside)
    other.rename(one_place)
    aside.rename(other_place)


Way = Callable[[TwoRuns, FleetResult], object]
WAYS: dict[str, Way] = {
    "a bundle removed": lambda _, fleet: shutil.rmtree(bundle(fleet)),
    "all bundles of a tenant removed": lambda _, __: clear(),
    "the tenant's folder removed": lambda _, __: shutil.rmtree(EVIDENCE / "b"),
    "tenants' folders swapped": lambda _, __: swap(EVIDENCE / "a", EVIDENCE / "b"),
    "bundles swapped": swap_bundles,
    "a bundle of another fleet's run": instead(OTHER / "fleet"),
    "only a bundle of another fleet's run": instead(OTHER / "fleet", is_alone=True),
    "a bundle of a run alone": instead(OTHER / "alone"),
    "only a bundle of a run alone": instead(OTHER / "alone", is_alone=True),
    "another key": by_another_key,
    "one file altered": alter,
    "an older bundle under the newer name": older_under_newer_name,
}


@pytest.mark.matrix(16)
@pytest.mark.parametrize("is_dropped", [False, True], ids=["", "dropped from the file"])
@pytest.mark.parametrize("has_journal", [True, False], ids=["", "no journal"])
@pytest.mark.parametrize("which", ["newest", "older"])
@pytest.mark.parametrize("way", WAYS)
def test_missing_evidence_of_a_tenant_is_noticed(
    way: str, which: str, two: TwoRuns, *, has_journal: bool, is_dropped: bool
) -> None:
    """
    `verify --tenants` ends with 4, whichever evidence of a run of two tenants was taken away.

    Also where the journals went with it, and the file of tenants no longer names the tenant.
    """
    fleet: FleetResult = getattr(two, which)
    assert verify("--tenants", "tenants.toml").exit_code == ExitCode.COMPLETE
    WAYS[way](two, fleet)
    if not has_journal:
        for path in EVIDENCE.glob("*/*/journal.jsonl"):
            path.unlink()
    if is_dropped:
        Path("tenants.toml").write_text(table("a"))

    result = verify("--tenants", "tenants.toml", "--fleet-run", fleet.fleet_id)

    assert result.exit_code == ExitCode.REFUSED, result.stdout
    if which == "newest":
        assert verify("--tenants", "tenants.toml").exit_code == ExitCode.REFUSED
    # NOTE: missing bundles are at least counted, for readers without a file of tenants.
    stdout = verify().stdout
    assert "✘" in stdout or "1 of 2 tenants" in stdout


def test_a_run_that_is_whole_is_counted(two: TwoRuns) -> None:
    """All tenants of each run are counted, the oldest run first; nothing is missing."""
    lines = verify("--tenants", "tenants.toml").stdout.splitlines()

    assert lines[-2:] == [
        f"✔ fleet run {fleet.fleet_id}: 2 of 2 tenants" for fleet in (two.older, two.newest)
    ]


@pytest.mark.parametrize("place", ["bundle", "tenant"])
def test_one_tenants_evidence_names_the_number_of_tenants(place: str, two: TwoRuns) -> None:
    """A missing tenant is a note where no file of tenants is given: one may hold only some."""
    path = bundle(two.newest) if place == "bundle" else EVIDENCE / "b"
    result = runbook("verify", str(path), "--trusted-keys", "trusted")

    assert result.exit_code == ExitCode.COMPLETE
    assert result.stdout.splitlines()[-1] == f"! fleet run {two.newest.fleet_id}: 1 of 2 tenants"


def test_several_paths_are_counted_together(two: TwoRuns) -> None:
    """The tenants may be in several folders."""
    words = ("--trusted-keys", "trusted", "--tenants", "tenants.toml")
    assert runbook("verify", "evidence/a", *words).exit_code == ExitCode.REFUSED
    result = runbook("verify", "evidence/a", "evidence/b", *words)

    assert result.exit_code == ExitCode.COMPLETE
    assert f"fleet run {two.newest.fleet_id}: 2 of 2 tenants" in result.stdout


def without_b() -> None:
    """Take away all evidence of the tenant `b`."""
    shutil.rmtree(EVIDENCE / "b")


ONE_MISSING = wording("verify.one-of-two-missing")
CHANGED = wording("verify.file-changed")
NO_MORE = wording("verify.names-no-more")


@pytest.mark.parametrize(
    ("text", "said", "added"),
    [
        (table("a") + table("b"), f"{ONE_MISSING}: b (facebook_marketing).", 0),
        (table("a"), f"{CHANGED} {NO_MORE}", 0),
        (table("a") + table("b") + table("c"), f"{ONE_MISSING}: b (facebook_marketing).", 1),
    ],
    ids=["the same file", "a shorter file", "a longer file"],
)
def test_the_missing_are_named(text: str, said: str, added: int, two: TwoRuns) -> None:
    """A file of tenants names who is missing, and one that was changed later hides nobody."""
    without_b()
    Path("tenants.toml").write_text(text)

    result = verify("--tenants", "tenants.toml")
    assert result.exit_code == ExitCode.REFUSED
    assert f"✘ fleet run {two.newest.fleet_id}: {said}" in result.stdout.splitlines()
    documents = [
        json.loads(line)
        for line in verify("--tenants", "tenants.toml", "--json").stdout.splitlines()
    ]
    assert sum(document.get("not_run_yet", 0) for document in documents) == added
    document = next(run for run in documents if run.get("fleet_run") == two.newest.fleet_id)
    assert document == {
        "fleet_run": two.newest.fleet_id,
        "accepted": False,
        "selected": 2,
        "present": 1,
        "not_run": 0,
        "not_run_yet": 0,
        "notes": [],
        "reason": said,
    }


def test_a_newest_run_of_which_nothing_is_left_is_asked_for_by_its_id(two: TwoRuns) -> None:
    """If all bundles of the newest run are gone, only `--fleet-run` notices it."""
    for tenant in "ab":
        shutil.rmtree(bundle(two.newest, tenant))
        (EVIDENCE / tenant / CONNECTOR / "journal.jsonl").unlink()
    assert verify("--tenants", "tenants.toml").exit_code == ExitCode.COMPLETE

    result = verify("--fleet-run", two.newest.fleet_id)
    assert result.exit_code == ExitCode.REFUSED
    said = wording("verify.no-bundle-names-run", run=two.newest.fleet_id)
    assert result.stdout.splitlines()[-1].endswith(said)


def test_a_run_of_its_id_is_whole_or_refused(two: TwoRuns) -> None:
    """`--fleet-run` without a file counts one run, and no other."""
    assert verify("--fleet-run", two.older.fleet_id).exit_code == ExitCode.COMPLETE
    without_b()
    result = verify("--fleet-run", two.older.fleet_id)

    assert result.exit_code == ExitCode.REFUSED
    assert wording("verify.tenants-missing", missing=1, count=2) in result.stdout
    assert f"! fleet run {two.newest.fleet_id}: 1 of 2 tenants" in result.stdout


def test_without_any_fleets_run_a_file_of_tenants_is_refused(two: TwoRuns) -> None:
    """Evidence of runs alone does not show that all tenants of a file ran."""
    words = ("--trusted-keys", "trusted", "--tenants", "tenants.toml")
    result = runbook("verify", "other/alone", *words)

    assert result.exit_code == ExitCode.REFUSED
    names = "a (facebook_marketing), b (facebook_marketing)"
    assert wording("verify.no-fleet-run", tenants=names) in result.stdout


def run_other_file(*tenants: str) -> FleetResult:
    """Run the tenants of another file into the same evidence folder."""
    Path("others.toml").write_text("".join(map(table, tenants)))
    request = FleetRequest(
        file=Path("others.toml"), evidence=str(EVIDENCE), workers=1, environ=ENVIRON
    )
    return Fleet(request).run(lambda _: None)


@pytest.mark.parametrize("is_dropped", [False, True], ids=["", "dropped from the file"])
@pytest.mark.parametrize("way", WAYS)
def test_a_newer_run_of_another_file_hides_no_missing_tenant(
    way: str, two: TwoRuns, processes: object, *, is_dropped: bool
) -> None:
    """A missing tenant is refused, also if a newer run of another file lies beside it."""
    run_other_file("c", "d", "e")
    WAYS[way](two, two.newest)
    for path in EVIDENCE.glob("*/*/journal.jsonl"):
        path.unlink()
    if is_dropped:
        Path("tenants.toml").write_text(table("a"))

    result = verify("--tenants", "tenants.toml", "--json")

    assert result.exit_code == ExitCode.REFUSED
    documents = map(json.loads, result.stdout.splitlines())
    runs = {run["fleet_run"]: run for run in documents if "selected" in run}
    # NOTE: a swapped bundle is refused by itself; another fleet's run lacks the tenant `a`.
    if "swapped" not in way and "another fleet" not in way:
        assert not runs[two.newest.fleet_id]["accepted"]
        named = CHANGED if is_dropped else f"{ONE_MISSING}: b (facebook_marketing)."
        assert runs[two.newest.fleet_id]["reason"].startswith(named)


def test_evidence_of_other_files_alone_is_refused(two: TwoRuns) -> None:
    """If no run selected a tenant of the file, all of them are missing, and named."""
    Path("tenants.toml").write_text(table("c"))
    result = verify("--tenants", "tenants.toml")

    assert result.exit_code == ExitCode.REFUSED
    assert (
        wording("verify.no-fleet-run", tenants="c (facebook_marketing)")
        == result.stdout.splitlines()[-1].split(": ", 1)[1]
    )


def test_a_tenant_added_later_has_not_run_yet(two: TwoRuns, processes: object) -> None:
    """A tenant that was added to the file after the newest run is named, with exit code 3."""
    Path("tenants.toml").write_text(table("a") + table("b") + table("c"))
    result = verify("--tenants", "tenants.toml")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.stdout.splitlines()[-1].endswith(
        f"{wording('verify.not-run-yet')}: c (facebook_marketing)."
    )
    document = json.loads(verify("--tenants", "tenants.toml", "--json").stdout.splitlines()[-1])
    assert (document["accepted"], document["not_run_yet"]) == (True, 1)
    run_fleet(only=["c"])
    assert verify("--tenants", "tenants.toml").exit_code == ExitCode.COMPLETE


def test_a_run_of_some_hides_no_run_of_all(two: TwoRuns, processes: object) -> None:
    """Tenants that the newest run did not select are named, and the newest of all is checked."""
    run_fleet(only=["a"])
    result = verify("--tenants", "tenants.toml")

    assert result.exit_code == ExitCode.COMPLETE
    *_, last, note = result.stdout.splitlines()
    assert last.endswith(": 1 of 1 tenant")
    assert note == wording("verify.not-selected", tenant="b (facebook_marketing)")
    clear()
    (EVIDENCE / B / "journal.jsonl").unlink()
    result = verify("--tenants", "tenants.toml")
    assert result.exit_code == ExitCode.REFUSED
    assert (
        wording("verify.tenant-missing", run=two.newest.fleet_id, missing=1, count=2)
        in result.stdout
    )


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Return the stand-in for the tenants' processes."""
    fake = Processes()
    monkeypatch.setattr(workers, "run_elsewhere", fake)
    return fake


def pluralize(*bundles: Path, trusted: Path = Path("trusted")) -> list[FleetVerdict]:
    """Return the verdicts on the fleets' runs of which these are bundles."""
    count = FleetCount()
    trust = TrustAnchors(read_public_keys([trusted]))
    for path in bundles:
        for verdict in verify_tree(path, trust):
            assert verdict.verified, verdict.error
            count.note(verdict.verified)
    return list(count.verdicts())


def seal_for(tenant: str, fleet_run: FleetRun, **more: Any) -> Path:
    """Seal a run of a tenant for a fleet's run, in a folder of its own."""
    given = {"service_domain": f"{tenant}.cyclr.com", "app_id": "10000098"}
    request = TenantRequest(
        connector=CONNECTOR,
        tenant=tenant,
        evidence=str(Path("more").absolute()),
        given=given,
        fleet_run=fleet_run,
    )
    return Path(sealed(request, **more).bundle)


def test_contradicting_records_are_refused(two: TwoRuns) -> None:
    """Bundles of one run that name different selections, or are of other tenants, are refused."""
    own = fleet_run_of(two.newest)
    present = bundle(two.newest, "a")
    other = seal_for("c", own)
    (strangers,) = pluralize(present, other)
    assert str(strangers.error) == wording("verify.other-tenants", count=2)
    assert pluralize(present, bundle(two.newest), other)[0].error

    three = FleetRun(
        id=own.id,
        selected=3,
        selected_digest=own.selected_digest,
        entry_digest=own.entry_digest,
    )
    (differing,) = pluralize(present, seal_for("d", three))
    assert str(differing.error) == wording("verify.other-selections")


def test_a_tenant_that_ran_later_has_run(two: TwoRuns) -> None:
    """Whatever the order of bundles, a tenant's newest one says whether it ran."""
    earlier = bundle(two.newest)
    newest = seal_for("b", fleet_run_of(two.newest), not_run="No secret.")
    for order in ((earlier, newest), (newest, earlier)):
        (verdict,) = pluralize(*order)
        assert (verdict.present, verdict.not_run) == (1, 1)


def test_a_second_key_of_a_run_is_noted(two: TwoRuns) -> None:
    """A verifier who trusts several keys learns that a run was signed by more than one."""
    create_key(Path("other.pem"))
    key = open_key("other.pem", is_sandbox=False)
    forged = seal_for("b", fleet_run_of(two.newest), key=key)
    shutil.copytree("more/keys", "trusted", dirs_exist_ok=True)
    (verdict,) = pluralize(bundle(two.newest, "a"), forged)

    assert verdict.error is None
    assert verdict.notes[0].startswith(wording("verify.signers", count=2))
    assert replace(verdict, notes=()).present == 2


def test_one_connector_cannot_be_counted(two: TwoRuns) -> None:
    """A fleet's run has all connectors: `--connector` with its options is refused."""
    for words in (("--tenants", "tenants.toml"), ("--fleet-run", two.newest.fleet_id)):
        assert verify("--connector", CONNECTOR, *words).exit_code == ExitCode.USAGE


def test_a_file_with_mistakes_names_each(two: TwoRuns) -> None:
    """A file of tenants that is wrong is refused with its mistakes; nothing is verified."""
    Path("tenants.toml").write_text('[[tenant]]\ntenant = "keys"\nx = 1\n')
    result = verify("--tenants", "tenants.toml")

    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.count("[[tenant]] 1 (line 1), ") == 2
    assert result.stdout == ""
