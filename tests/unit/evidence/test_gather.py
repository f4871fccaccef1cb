"""Evidence that lies apart: of each tenant the copy that goes furthest, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.core.run_lock import run_lock
from runbook_lib.errors import BusyError, SettingsError
from runbook_lib.evidence.fleet_record import FleetRecord, Status, TenantResult, read_record
from runbook_lib.evidence.gather import compare
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Trust
from tests.support.odd_files import FILES
from tests.unit.evidence.conftest import ended_run, seal_run

HOME = Path("acme/p")
RECORD = Path("fleet/20261124T000000Z-0badcafe")
RESULT = TenantResult(tenant="acme", connector="p", key="0" * 64, sandbox=False)


def record(folder: Path, *, finished_on: str | None = None, **more: object) -> FleetRecord:
    """Write a fleet's record into an evidence folder."""
    began = "2026-11-24T00:00:00.000Z"
    found = FleetRecord(folder / RECORD, "0badcafe", "tenants.toml", {}, began, finished_on)
    found.file_sha256 = "0" * 64
    found.put(replace(RESULT, **more))
    found.write()
    return found


@pytest.fixture
def here(folder: Path) -> Path:
    """Return the path of an evidence folder that does not exist yet."""
    return folder / "evidence"


@pytest.fixture
def part(folder: Path, carrying_runs: Path) -> Path:
    """Return a part's evidence folder: a tenant with three bundles, and a record."""
    found = Path(shutil.copytree(carrying_runs, folder / "part"))
    record(found)
    return found


def gather(sources: Sequence[Path], evidence: Path) -> None:
    """Copy what the evidence folder lacks of the parts'."""
    compare(sources, evidence).copy()


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, without locks and the index."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != "state.json"
    }


def is_in_order(evidence: Path, trust: Trust) -> bool:
    # NOTE: the record of a fleet in these folders is unsigned, which `verify` refuses.
    fleets = evidence.resolve() / "fleet"
    verdicts = [each for each in verify_tree(evidence, trust) if fleets not in each.path.parents]
    return bool(verdicts) and all(each.error is None for each in verdicts)


def test_a_part_is_copied_whole(here: Path, part: Path, trust: Trust) -> None:
    """Journal, bundles, keys and record arrive byte for byte, and verify; no lock, no draft."""

    (part / HOME / ".draft-0a1b2c3d").mkdir()
    (part / HOME / "run.holder").write_text("{}")
    (part / HOME / "links").mkdir()
    (part / HOME / "links" / "one").write_text("x")
    (part / HOME / "fingerprint.key").chmod(0o600)

    gather([part], here)

    (part / HOME / "run.holder").unlink()
    assert files(here) == files(part)
    assert is_in_order(here, trust)
    assert not {path.name for path in (here / HOME).glob(".*")}
    assert stat.S_IMODE((here / HOME / "fingerprint.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_copy_that_goes_furthest_wins(
    order: tuple[int, int], here: Path, part: Path, key: SigningKey, trust: Trust
) -> None:
    """Whichever folder is named first, a longer journal comes with its bundles, and verifies."""

    further = Path(shutil.copytree(part, part.with_name("further")))
    seal_run(ended_run(further, "00000004"), key)
    sources = [(part, further)[number] for number in order]

    gather(sources, here)
    assert files(here) == files(further)
    gather(sources, here)

    assert files(here) == files(further)
    assert len(list((here / HOME).glob("2*"))) == 4
    assert is_in_order(here, trust)


def test_what_is_here_already_and_goes_further_stays(
    here: Path, part: Path, key: SigningKey
) -> None:
    """A stale copy of a tenant, which each part has, changes nothing."""

    shutil.copytree(part, here)
    seal_run(ended_run(here, "00000004"), key)
    before = files(here)

    gather([part], here)

    assert files(here) == before


def test_no_file_is_replaced(here: Path, part: Path, key: SigningKey) -> None:
    """A file that is here stays as it is, even where a part's journal goes further."""

    shutil.copytree(part, here)
    seal_run(ended_run(part, "00000004"), key)
    for path in (*(here / HOME).glob("2*/record.json"), here / HOME / "fingerprint.key"):
        path.write_text("here")

    gather([part], here)

    assert len(list((here / HOME).glob("2*"))) == 4
    assert [name for name, content in files(here).items() if content == b"here"]
    assert (here / HOME / "fingerprint.key").read_text() == "here"


def test_a_journal_that_grows_meanwhile_is_kept(here: Path, part: Path, key: SigningKey) -> None:
    """What somebody writes here between the comparison and the copy is not lost."""

    shutil.copytree(part, here)
    seal_run(ended_run(part, "00000004"), key)
    lacking = compare([part], here)
    ended_run(here, "00000005")
    before = (here / HOME / "journal.jsonl").read_bytes()

    with pytest.raises(SettingsError, match="contradict each other"):
        lacking.copy()
    assert (here / HOME / "journal.jsonl").read_bytes() == before


def test_journals_that_contradict_each_other_are_refused(
    here: Path, part: Path, key: SigningKey
) -> None:
    """Two journals that went on separately are both kept, and nothing is copied."""

    other = Path(shutil.copytree(part, part.with_name("other")))
    seal_run(ended_run(part, "00000004"), key)
    seal_run(ended_run(other, "00000005"), key)

    with pytest.raises(SettingsError, match="contradict each other"):
        gather([part, other], here)
    assert not here.exists()
    shutil.copytree(other, here)
    before = files(here)
    with pytest.raises(SettingsError, match="contradict each other"):
        gather([part], here)
    assert files(here) == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_record_that_goes_furthest_wins(order: tuple[int, int], here: Path, part: Path) -> None:
    """Of two states of one record the later counts: it has ended, or has more results."""

    for more, is_later in (
        ({"status": Status.SEALED}, True),
        ({"finished_on": "2026-11-24T01:00:00.000Z"}, True),
        ({}, False),
    ):
        other = Path(shutil.copytree(part, part.with_name("other"), dirs_exist_ok=True))
        state = record(other, **more)
        sources = [(part, other)[number] for number in order]
        gather(sources, here)
        known = read_record(here / RECORD / "fleet.json").text()
        assert (known == state.text()) is is_later


def test_the_results_of_a_killed_part_are_copied(here: Path, part: Path) -> None:
    """What a killed part had only logged is in the record that is written here."""

    known = read_record(part / RECORD / "fleet.json")
    known.append(replace(RESULT, status=Status.SEALED))

    gather([part], here)

    (result,) = read_record(here / RECORD / "fleet.json").results.values()
    assert result.status is Status.SEALED


def test_keys_and_pauses_of_all_parts_are_there(here: Path, part: Path) -> None:
    """Each part's public keys and pauses survive; two keys of one name are refused."""

    other = part.with_name("other")
    record(other)
    pauses = {name: {"host": name, "app": "1", "ends": 9e9, "reason": "x"} for name in ("a", "b")}
    for folder, name in ((part, "a"), (other, "b")):
        (folder / "keys").mkdir(exist_ok=True)
        (folder / "keys" / f"{name}.pub.pem").write_text(name)
        (folder / "cool-downs.json").write_text(json.dumps([pauses[name]]))

    gather([part, other], here)

    assert {"a.pub.pem", "b.pub.pem"} <= {path.name for path in (here / "keys").iterdir()}
    kept = json.loads((here / "cool-downs.json").read_bytes())
    assert {each["host"] for each in kept} == {"a", "b"}
    (part / "keys" / "b.pub.pem").write_text("bb")
    with pytest.raises(SettingsError, match=r"b\.pub\.pem differ"):
        gather([part], here)
    assert (here / "keys" / "b.pub.pem").read_text() == "b"


@pytest.mark.parametrize("kind", [name for name in FILES if "link" in name or "pipe" in name])
@pytest.mark.parametrize("place", [HOME / "attachments", HOME / "journal.jsonl", Path("keys/k")])
def test_a_link_or_an_odd_file_is_refused(kind: str, place: Path, here: Path, part: Path) -> None:
    """Nothing outside a part's folder is ever copied, and no pipe is opened."""

    path = part / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    FILES[kind](path)

    with pytest.raises(
        SettingsError, match=r"is a (link|named pipe|socket), and evidence has none"
    ):
        gather([part], here)
    assert not here.exists()


def make_no_record(part: Path) -> None:
    shutil.rmtree(part / "fleet")


def make_bad_record(part: Path) -> None:
    (part / RECORD / "fleet.json").write_text("{}")


def make_linked_tenant(part: Path) -> None:
    (part / "bloom").symlink_to(part / "acme")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_no_record, "has no record of a fleet"),
        (make_bad_record, "is not a fleet's"),
        (make_linked_tenant, "bloom is a link, and evidence has none"),
        (shutil.rmtree, "has no record of a fleet"),
    ],
)
def test_a_folder_that_is_no_part_is_refused(
    make: Callable[[Path], None], said: str, here: Path, part: Path
) -> None:
    """A folder without a fleet's record, with a damaged one or with a link is refused whole."""

    make(part)

    with pytest.raises(SettingsError, match=said):
        gather([part], here)
    assert not here.exists()


def test_a_folder_that_cannot_be_read_is_refused(
    here: Path, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the operating system does not let read is named; it is never left out in silence."""

    scan = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path).endswith("acme"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(SettingsError, match="acme cannot be read: Permission denied"):
        gather([part], here)


def test_a_twin_is_refused(here: Path, part: Path) -> None:
    """A tenant whose name differs in case only from one that is here is refused."""

    (here / "Acme").mkdir(parents=True)

    with pytest.raises(SettingsError, match="differs in case only"):
        gather([part], here)


def test_a_tenant_that_runs_meanwhile_is_left_alone(here: Path, part: Path) -> None:
    """While a run of the tenant is under way here, nothing of it is copied."""

    with run_lock(here / HOME, seconds=0, on_wait=lambda _: None), pytest.raises(BusyError):
        gather([part], here)
    assert not (here / HOME / "journal.jsonl").exists()


def test_a_bundle_is_there_whole_or_not_at_all(
    here: Path, part: Path, monkeypatch: pytest.MonkeyPatch, trust: Trust
) -> None:
    """A copy that breaks off leaves no half bundle; the same again goes on from there."""

    copy = shutil.copytree
    done: list[Path] = []

    def break_off(source: Path, place: Path, **more: object) -> None:
        copy(source, place, **more)
        if len(done) == 1:
            (Path(place) / "record.json").unlink()
            raise OSError(28, "No space left on device")
        done.append(place)

    monkeypatch.setattr("runbook_lib.evidence.gather.shutil.copytree", break_off)
    with pytest.raises(OSError, match="No space left"):
        gather([part], here)
    assert [len(files(path)) > 5 for path in (here / HOME).glob("2*")] == [True]
    monkeypatch.undo()
    gather([part], here)

    assert files(here) == files(part)
    assert is_in_order(here, trust)
