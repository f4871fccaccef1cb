"""The parts of a sharded run as one: every tenant of the file, and nothing that was not seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.journal import timestamp
from runbook_lib.engine import pools
from runbook_lib.engine.fleet_merge import MergeRequest, merge
from runbook_lib.errors import ExitCode, FleetFileError, FormError, SettingsError
from runbook_lib.evidence.fleet_chain import records_of
from runbook_lib.evidence.fleet_record import FleetRecord, Status, fleet_schema
from tests.unit.engine.test_fleet import ABCD, Processes, crash, finished, run, table

# Of two shards the first has c and d, the second a and b.
FILE = Path("tenants.toml")


@pytest.fixture
def processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Return what stands for the processes of tenants."""
    fake = Processes()
    monkeypatch.setattr(pools, "Worker", fake)
    return fake


@pytest.fixture
def parts(processes: Processes) -> Processes:
    """Run both shards of the fleet."""
    run(*ABCD, shard="1/2", run_name="nightly")
    run(shard="2/2", run_name="nightly")
    return processes


def merged(**more: Any) -> FleetRecord:
    """Return the merged record, read again from the disk."""
    record = merge(MergeRequest(**{"file": FILE, "environ": {}, **more}))
    newest = next(iter(records_of(Path("evidence"), "tenants.toml")))
    assert newest.text() == record.text()
    return newest


def statuses(record: FleetRecord) -> dict[str, str]:
    return {tenant: result.status for (tenant, _), result in record.results.items()}


def part(shard: str) -> FleetRecord:
    """Return the newest record of a shard."""
    records = records_of(Path("evidence"), "tenants.toml")
    return next(record for record in records if record.shard == shard)


def moved(shard: str, *, run_name: str = "", **more: float) -> None:
    """Let the newest record of a shard have begun earlier, also by its folder's name."""
    record = part(shard)
    record.run_name = run_name or record.run_name
    record.started_on = timestamp(record.began - timedelta(**more))
    record.write()
    stamp = f"{record.began:%Y%m%dT%H%M%SZ}-{record.fleet_id}"
    record.folder.rename(record.folder.with_name(stamp))


def test_the_parts_are_one(parts: Processes) -> None:
    """The merged record has every tenant in the file's order, as the shards have it."""

    import jsonschema  # noqa: PLC0415

    record = merged(run_name="nightly")

    one, two = part("1/2"), part("2/2")
    assert list(statuses(record)) == ["a", "b", "c", "d"]
    assert record.results == {**two.results, **one.results}
    assert (record.shard, record.run_name, record.remarks) == (None, "nightly", ())
    assert [(each.shard, each.fleet_id) for each in record.parts] == [
        ("1/2", one.fleet_id),
        ("2/2", two.fleet_id),
    ]
    assert (record.started_on, record.finished_on) == (one.started_on, two.finished_on)
    assert record.exit_code == ExitCode.COMPLETE
    assert record.connectors == {**two.connectors, **one.connectors}
    jsonschema.validate(json.loads(record.path.read_bytes()), fleet_schema())


def test_the_exit_code_is_the_worst(parts: Processes) -> None:
    """A failed step in one shard is the whole's exit code, also where something is missing."""

    parts.acts = {"a": lambda each: finished(each, "failed")}
    run(shard="2/2", run_name="nightly")
    assert merged().exit_code == ExitCode.FAILED
    shutil.rmtree(part("1/2").folder)
    assert merged().exit_code == ExitCode.FAILED


def test_a_missing_part_is_said(processes: Processes) -> None:
    """Tenants that no record has are pending, the missing shard is named, the exit code is 3."""

    run(*ABCD, shard="1/2")
    record = merged()

    assert statuses(record) == {"a": "pending", "b": "pending", "c": "sealed", "d": "sealed"}
    assert record.results["a", PROCEDURE.id].reason == "In no shard."
    assert record.remarks == ("Of 2 shards there is no record of 2/2.",)
    assert (record.exit_code, record.finished_on) == (ExitCode.INCOMPLETE, None)


def test_an_empty_part_that_is_missing_is_said(processes: Processes) -> None:
    """Though every tenant has a result, a shard without a record makes the exit code 3."""

    run(table("a"), shard="2/2")
    record = merged()

    assert statuses(record) == {"a": "sealed"}
    assert record.exit_code == ExitCode.INCOMPLETE
    run(shard="1/2")
    assert merged().exit_code == ExitCode.COMPLETE


def test_of_many_missing_parts_the_first_are_named(processes: Processes) -> None:
    """A remark stays short, however many shards there are."""

    run(*ABCD, shard="1/100000")
    (remark,) = merged().remarks

    assert remark.startswith("Of 100,000 shards there is no record of 2/100000, 3/100000, ")
    assert remark.endswith("/100000 and 99,989 more.")


def test_the_newest_record_of_a_shard_counts(parts: Processes) -> None:
    """Of several records of one shard the newest is taken."""

    parts.acts = {"c": crash}
    run(shard="1/2", run_name="nightly")

    record = merged()
    assert statuses(record)["c"] == "unsealed"
    assert record.remarks == ()


def test_an_older_run_is_told_by_its_name(parts: Processes) -> None:
    """With a name only parts of this run count; without one, parts of two runs are said."""

    parts.acts = {"c": crash}
    run(shard="1/2", run_name="today")

    assert statuses(merged(run_name="nightly"))["c"] == "sealed"
    today = merged(environ={"GITHUB_RUN_ID": "today"})
    assert statuses(today) == {"a": "pending", "b": "pending", "c": "unsealed", "d": "sealed"}
    assert today.remarks == ("Of 2 shards there is no record of 2/2.",)
    mixed = merged()
    assert mixed.remarks == ("The shards are of different runs: 1/2 of today, 2/2 of nightly.",)
    assert (mixed.run_name, mixed.exit_code) == ("", ExitCode.INCOMPLETE)


def test_parts_of_another_number_are_said(parts: Processes) -> None:
    """The newest record says how many shards there are; others of that time are named."""

    run(shard="1/3", run_name="nightly")
    record = merged()

    assert record.remarks == (
        "Of 3 shards there is no record of 2/3, 3/3.",
        "Left out, since this run has 3 shards: 1/2, 2/2.",
    )
    assert record.exit_code == ExitCode.INCOMPLETE


def test_an_older_division_is_no_matter(parts: Processes) -> None:
    """A run of another number of shards that is long over changes nothing, unless it is named."""

    for shard in ("1/2", "2/2"):
        moved(shard, days=2)
    for shard in ("1/3", "2/3", "3/3"):
        run(shard=shard)

    assert merged().remarks == ()
    assert merged(run_name="nightly").remarks == ()
    for shard in ("1/3", "2/3"):
        moved(shard, run_name="nightly", days=9)
    assert merged(run_name="nightly").remarks == (
        "Left out, since this run has 2 shards: 1/3, 2/3.",
    )


@pytest.mark.parametrize(("hours", "is_said"), [(1, False), (22, False), (23.9, True), (48, True)])
def test_a_part_that_is_a_day_apart_is_said(hours: float, is_said: bool, parts: Processes) -> None:
    """A part of last night is not taken for one of tonight's."""

    moved("1/2", hours=hours)
    record = merged()

    said = ("About a day or more before shard 2/2 began 1/2.",)
    assert record.remarks == (said if is_said else ())
    assert record.exit_code == (ExitCode.INCOMPLETE if is_said else ExitCode.COMPLETE)


def test_what_the_file_says_otherwise_now_is_pending(parts: Processes) -> None:
    """A result of an entry that was changed since is none; what left the file is left out."""

    FILE.write_text(
        "".join([table("a"), table("c", 'graph_version = "v25.0"'), table("d"), table("e")])
    )
    record = merged()

    assert statuses(record) == {"a": "sealed", "c": "pending", "d": "sealed", "e": "pending"}
    assert (
        record.results["c", PROCEDURE.id].reason == "The file says otherwise since shard 1/2 ran."
    )
    assert record.exit_code == ExitCode.INCOMPLETE


def test_a_tenant_in_two_parts_is_said(parts: Processes) -> None:
    """Where two shards have one tenant, the newest result counts, and it is said."""

    one, two = part("1/2"), part("2/2")
    one.put(two.results["a", PROCEDURE.id])
    one.write()
    record = merged()

    assert record.remarks == ("In several shards, of which the newest counts: a.",)
    assert record.exit_code == ExitCode.INCOMPLETE


def test_a_part_that_was_cut_off_leaves_its_tenants_pending(parts: Processes) -> None:
    """What a killed shard had not done yet is pending."""

    record = part("1/2")
    name = ("c", PROCEDURE.id)
    record.finished_on = None
    record.put(replace(record.results[name], status=Status.PENDING, exit_code=None))
    record.write()

    whole = merged()
    assert statuses(whole)["c"] == "pending"
    assert (whole.exit_code, whole.finished_on) == (ExitCode.INCOMPLETE, None)


def test_a_merged_record_is_resumed_in_a_new_one(parts: Processes) -> None:
    """`--resume` without a shard takes nothing from a merged record, which stays as it is."""

    shutil.rmtree(part("2/2").folder)
    before = merged().path.read_bytes()
    parts.requests.clear()

    results = run(resumes=True)

    assert parts.tenants == ["a", "b", "c", "d"]
    assert {each.status for each in results.values()} == {Status.SEALED}
    newest, earlier = list(records_of(Path("evidence"), "tenants.toml"))[:2]
    assert (newest.parts, newest.shard, newest.exit_code) == ((), None, ExitCode.COMPLETE)
    assert earlier.path.read_bytes() == before


def test_a_merged_record_hides_no_newer_result(parts: Processes) -> None:
    """`--failed` asks the shards' own records: a merged one may be older than its date."""

    parts.acts = {"a": crash}
    run(shard="2/2")
    earlier = merged()
    earlier.folder.rename(earlier.folder.with_name(f"29991231T000000Z-{earlier.fleet_id}"))
    parts.acts = {}
    run(shard="2/2", resumes=True)
    parts.requests.clear()

    run(is_failed=True)
    assert parts.tenants == []


def test_a_merged_record_is_no_part(parts: Processes) -> None:
    """Merging again gives the same, and a whole run is no shard."""

    first = merged()
    run(only=["a"])
    again = merged()

    assert again.parts == first.parts
    assert again.results == first.results


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"run_name": "other"}, "There is no shard's record of tenants.toml called other in"),
        ({"file": Path("others.toml")}, "There is no shard's record of others.toml in"),
        ({"evidence": "elsewhere"}, "There is no shard's record of tenants.toml in"),
        ({"file": Path("none.toml")}, "cannot be read"),
        ({"run_name": "a\x1b"}, "the name of the run"),
        ({"folders": [Path("none")]}, "none has no record of a fleet"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    more: Mapping[str, Any], said: str, parts: Processes
) -> None:
    """Without a part, or with a mistaken name or file, nothing is written."""

    shutil.copy(FILE, "others.toml")
    before = sorted(Path("evidence/fleet").iterdir())

    with pytest.raises(SettingsError, match=said):
        merged(**more)

    assert sorted(Path("evidence/fleet").iterdir()) == before
    assert not Path("elsewhere").exists()


def test_a_mistake_of_the_file_is_named(parts: Processes) -> None:
    """The file is validated as a whole, with lines."""

    FILE.write_text(f"{table('a')}{table('a')}")

    with pytest.raises(FleetFileError) as caught:
        merged()

    assert caught.value.mistakes == ["line 7: the tenant a is there twice."]


def test_a_record_that_is_none_is_refused(parts: Processes) -> None:
    """A record that is damaged, foreign or of another version is refused by name."""

    path = part("1/2").path
    text = path.read_text()
    for broken in (
        "[]",
        text.replace('"1/2"', '"0/2"'),
        text.replace('"1/2"', '"1"'),
        text.replace('"remarks":[]', '"remarks":[1]'),
        text.replace('"parts":[]', '"parts":[{}]'),
        text.replace('"started_on":"2', '"started_on":"x'),
        text.replace(text.partition('"started_on":"')[2][:10], "2026-99-99"),
    ):
        assert broken != text
        path.write_text(broken)
        with pytest.raises(SettingsError, match="is not a fleet's"):
            merged()
    path.write_text(text.replace("fleet/v3", "fleet/v7"))
    with pytest.raises(FormError, match="is of form 7"):
        merged()


def test_folders_that_lie_apart_are_merged(parts: Processes) -> None:
    """The evidence of each part may lie in a folder of its own."""

    for name in ("one", "two"):
        shutil.copytree("evidence", name)
    shutil.rmtree(Path("one") / part("2/2").folder.relative_to("evidence"))
    shutil.rmtree(Path("two") / part("1/2").folder.relative_to("evidence"))
    shutil.rmtree("evidence")

    record = merged(folders=[Path("one"), Path("two")])

    assert set(statuses(record).values()) == {"sealed"}
    assert record.exit_code == ExitCode.COMPLETE


def test_a_part_without_its_bundles_proves_nothing(parts: Processes) -> None:
    """Where a part's record came without its evidence, its tenants are pending."""

    for bundle in Path("evidence").glob("[cd]/*/*/statement.dsse.json"):
        bundle.unlink()

    record = merged()

    assert statuses(record) == {"a": "sealed", "b": "sealed", "c": "pending", "d": "pending"}
    assert "not in this evidence folder" in record.results["c", PROCEDURE.id].reason
    assert record.exit_code == ExitCode.INCOMPLETE


def test_the_whole_is_signed(parts: Processes) -> None:
    """A merged record is signed as one that was run whole, with a page to read."""

    folder = merged().folder

    assert sorted(each.name for each in folder.iterdir()) == [
        "fleet.html",
        "fleet.json",
        "statement.dsse.json",
    ]
