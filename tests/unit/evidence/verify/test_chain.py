"""Together a tenant's bundles show that none is missing, swapped, re-ordered or foreign."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core import journal
from runbook_lib.core.journal import Journal
from runbook_lib.errors import ChainError, ContentError, SettingsError, SignatureError
from runbook_lib.evidence.signing.keys import SigningKey, export_public_key
from runbook_lib.evidence.signing.succession import hand_over
from runbook_lib.evidence.verify import verify
from runbook_lib.evidence.verify.chain import Verdict, verify_tree
from runbook_lib.evidence.verify.verify import Trust
from tests.unit.evidence.conftest import ended_run, seal_run
from tests.unit.evidence.verify.test_verify import STATEMENT, payload, sign_again

IDS = ("00000001", "00000002", "00000003")
LAST = {"lines": 1, "head": "0" * 64, "end": 1}


@pytest.fixture
def tenant(tmp_path: Path, told_runs: Path) -> Path:
    """Return a tenant's folder with three sealed runs."""
    return Path(shutil.copytree(told_runs, tmp_path / "evidence")) / "acme" / "p"


def bundles(tenant: Path) -> list[Path]:
    return sorted(path for path in tenant.iterdir() if path.is_dir())


def chain_of(path: Path, trust: Trust) -> Verdict:
    """Return the verdict on the chain, the last of a tenant's."""
    return list(verify_tree(path, trust))[-1]


def reason(path: Path, trust: Trust) -> str:
    """Return why the chain is refused."""
    verdict = chain_of(path, trust)
    assert isinstance(verdict.error, ChainError)
    return str(verdict.error)


def test_a_chain_in_order_is_accepted(tenant: Path, trust: Trust) -> None:
    """Each bundle gets its verdict, and the chain one of its own."""

    verdicts = list(verify_tree(tenant, trust))

    assert [verdict.error for verdict in verdicts] == [None] * 4
    assert [v.verified.link.sequence for v in verdicts[:3] if v.verified] == [1, 2, 3]
    assert (verdicts[3].path, verdicts[3].length) == (tenant, 3)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_deleted_run_shows(number: int, tenant: Path, trust: Trust) -> None:
    """The first, one in the middle, and the last."""

    gone = bundles(tenant)[number]
    shutil.rmtree(gone)

    said = reason(tenant, trust)
    assert f"Number {number + 1} of the chain is missing" in said
    assert gone.name in said


@pytest.mark.parametrize("number", [0, 1])
def test_a_deleted_run_shows_without_the_journal(number: int, tenant: Path, trust: Trust) -> None:
    """The bundles alone tell of it, but for the last."""

    shutil.rmtree(bundles(tenant)[number])
    (tenant / "journal.jsonl").unlink()

    assert "is missing" in reason(tenant, trust)


def test_swapped_names_show(tenant: Path, trust: Trust) -> None:
    """A run under the name of another is refused, and so is the other."""

    first, second, _ = bundles(tenant)
    first.rename(tenant / "spare")
    second.rename(first)
    (tenant / "spare").rename(second)

    errors = [verdict.error for verdict in verify_tree(tenant, trust)]
    assert [type(error) for error in errors[:3]] == [ContentError, ContentError, type(None)]
    assert "under another name" in str(errors[0])


def test_a_run_that_was_replaced_by_another_of_the_same_key_shows(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A bundle that was sealed elsewhere does not fit between its neighbours."""

    for run_id in IDS[:1]:
        seal_run(ended_run(tmp_path / "elsewhere", run_id), key)
    other = seal_run(ended_run(tmp_path / "elsewhere", IDS[1]), key).folder
    shutil.rmtree(bundles(tenant)[1])
    shutil.copytree(other, tenant / other.name)

    assert "does not follow the statement before it" in reason(tenant, trust)


def test_a_first_run_that_names_one_before_it_shows(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A chain does not begin in the middle under the number one."""

    first = seal_run(ended_run(tmp_path, IDS[0]), key).folder
    (tmp_path / "acme" / "p" / "journal.jsonl").unlink()
    statement = payload(first / STATEMENT)
    statement["predicate"]["runbook_chain"]["previous"] = {
        "name": "20261101T000000Z-ffffffff",
        "digest": {"sha256": "0" * 64},
    }
    sign_again(first, key, statement)

    assert "does not follow the statement before it" in reason(tmp_path, trust)


def test_another_run_under_the_same_number_shows(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """Two bundles cannot both be the second."""

    seal_run(ended_run(tmp_path / "elsewhere", "0000000a"), key)
    other = seal_run(ended_run(tmp_path / "elsewhere", "0000000b"), key).folder
    shutil.copytree(other, tenant / other.name)

    assert "Two bundles claim to be number 2" in reason(tenant, trust)


def test_a_run_that_the_journal_does_not_know_shows(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """Journal and bundles must tell the same story."""

    journal = tenant / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))

    assert "did not announce Number 3" in reason(tenant, trust)


def test_a_journal_that_was_rewritten_shows(tenant: Path, tmp_path: Path, trust: Trust) -> None:
    """A journal that is whole in itself, but not the one of which the bundles have a copy."""

    other = ended_run(tmp_path / "elsewhere", "0000000c").journal
    for line in (tenant / "journal.jsonl").read_text().splitlines():
        document = json.loads(line)
        if document["type"] == "bundle.sealed":
            other.append(document["type"], document["data"], run_id=document["run_id"])
    shutil.copy(other.path, tenant / "journal.jsonl")

    assert "is not the one that Number" in reason(tenant, trust)


def test_a_journal_line_that_was_altered_shows(tenant: Path, trust: Trust) -> None:
    """The chain of lines is checked too."""

    journal = tenant / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"Done.", b"Gone.", 1))

    assert "does not follow the line before it" in reason(tenant, trust)


def test_a_huge_journal_is_not_read(tenant: Path, trust: Trust) -> None:
    """A gigabyte of nothing behind the journal is refused by its size."""

    with (tenant / "journal.jsonl").open("r+b") as file:
        file.truncate(2**30)
    tracemalloc.start()

    said = reason(tenant, trust)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 256 MiB" in said
    assert most < 32 * 2**20


def test_a_huge_journal_line_is_not_parsed(tenant: Path, trust: Trust) -> None:
    """What no runbook wrote is refused by its length, whatever it would cost to read."""

    with (tenant / "journal.jsonl").open("ab") as file:
        file.write(b"[" * 63 * 2**20 + b"\n")
    tracemalloc.start()

    said = reason(tenant, trust)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "is over 4 MiB long" in said
    assert most < 32 * 2**20


def test_a_long_journal_is_not_held(tenant: Path, trust: Trust) -> None:
    """Verifying takes the memory of one line, however many there are."""

    journal = Journal(tenant / "journal.jsonl")
    for _ in range(40):
        journal.append("step.started", {"body": "x" * 2**20})
    tracemalloc.start()

    assert chain_of(tenant, trust).error is None

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 24 * 2**20


@pytest.mark.parametrize(
    "data",
    [
        {"bundle": "x", "sequence": 0, "statement": "", "journal": LAST},
        {"bundle": "x", "sequence": 4, "statement": "", "journal": LAST, "run_id": "x"},
        {"bundle": "x", "sequence": 4, "statement": "", "journal": {**LAST, "end": 0}},
    ],
)
def test_an_announcement_of_nothing_shows(data: Any, tenant: Path, trust: Trust) -> None:
    """A line of another form is refused by its number."""

    entry = Journal(tenant / "journal.jsonl").append("bundle.sealed", data)

    assert f"Line {entry.seq} announces no bundle" in reason(tenant, trust)


def test_more_successions_than_anybody_has_are_refused(tenant: Path, trust: Trust) -> None:
    """Rubbish beside the evidence must not keep a verifier busy without end."""

    keys = tenant.parents[1] / "keys"
    for number in range(201):
        (keys / f"{number}.succession.dsse.json").write_text("{}")

    first, *others = verify_tree(tenant, trust)
    assert "more than 200 successions" in str(first.error)
    assert first.path == keys
    assert [verdict.error for verdict in others] == [None] * 4


def test_a_succession_is_looked_at_once_and_only_if_it_can_be_one(
    tenant: Path,
    tmp_path: Path,
    key: SigningKey,
    other_key: SigningKey,
    trust: Trust,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not what is too large, a link, or a pipe; and none that names a signer nobody trusts."""

    keys = tenant.parents[1] / "keys"
    known = hand_over(key, other_key.public, keys)
    stranger = {"signatures": [{"keyid": "0" * 64, "sig": ""}]}
    name = "{}.succession.dsse.json"
    for number in range(40):
        with (keys / name.format(f"huge-{number}")).open("wb") as file:
            file.truncate(4 * 2**20)
        (keys / name.format(f"stranger-{number}")).write_text(json.dumps(stranger))
    (keys / name.format("a-link")).symlink_to(known)
    (keys / name.format("a-link-nowhere")).symlink_to(tmp_path / "nowhere")
    os.mkfifo(keys / name.format("a-pipe"))
    opened: list[bytes] = []
    look = verify.open_envelope

    def note(content: bytes, *rest: Any) -> Any:
        opened.append(content)
        return look(content, *rest)

    monkeypatch.setattr(verify, "open_envelope", note)
    tracemalloc.start()

    trusted = trust.with_successors(keys)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trusted.predecessors == {other_key.key_id: key.key_id}
    assert opened == [known.read_bytes()]
    assert most < 4 * 2**20


def test_a_succession_that_cannot_be_read_is_a_verdict(
    tenant: Path, key: SigningKey, other_key: SigningKey, trust: Trust
) -> None:
    """It could have said that a key is no longer to be relied on; the bundles are verified."""

    path = hand_over(key, other_key.public, tenant.parents[1] / "keys")
    with pytest.MonkeyPatch.context() as patched:
        look = verify._open

        def denied(opened: Path) -> Any:
            if opened == path:
                raise PermissionError(13, "Permission denied", str(opened))
            return look(opened)

        patched.setattr(verify, "_open", denied)
        first, *others = verify_tree(tenant.parents[1], trust)

    assert isinstance(first.error, ContentError)
    assert (first.error.file, "Permission denied" in str(first.error)) == (path.name, True)
    assert [verdict.error for verdict in others] == [None] * 4


def test_a_foreign_tenants_run_shows(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A whole folder under another tenant's name proves nothing of that one."""

    tenant.parent.rename(tenant.parents[1] / "globex")

    assert "belongs to the tenant acme" in reason(tenant.parents[1] / "globex", trust)


def test_a_foreign_connectors_run_shows(tenant: Path, trust: Trust) -> None:
    """What was done for one connector proves nothing of another."""

    tenant.rename(tenant.parent / "other")

    assert "belongs to the connector p" in reason(tenant.parent / "other", trust)


def test_a_refused_bundle_does_not_stop_the_others(tenant: Path, trust: Trust) -> None:
    """Each gets its verdict; of the chain is told how far it is proven."""

    (bundles(tenant)[1] / "report.html").write_text("x")

    verdicts = list(verify_tree(tenant, trust))
    assert [v.error is None for v in verdicts] == [True, False, True, False]
    assert verdicts[1].document()["refused"] == "content"
    assert verdicts[1].document()["file"] == "report.html"
    document = verdicts[3].document()
    assert (document["accepted"], document["refused"]) == (False, "chain")
    assert document["reason"] == (
        "1 in a chain from the first; whether it is complete is not proven, because "
        "1 of 3 is refused."
    )


def test_a_refused_bundle_excuses_no_number_that_the_journal_skips(
    tenant: Path, trust: Trust
) -> None:
    """Whoever writes a huge number into the journal keeps no verifier busy counting up to it."""

    (bundles(tenant)[1] / "report.html").write_text("x")
    far = {
        "bundle": "20270101T000000Z-00000009",
        "sequence": 10**6,
        "statement": "0" * 64,
        "journal": LAST,
    }
    Journal(tenant / "journal.jsonl").append("bundle.sealed", far, run_id="00000009")

    assert reason(tenant, trust) == "Number 4 of the chain is missing."


@pytest.mark.parametrize(("number", "proven"), [(0, 0), (2, 2)])
def test_how_far_a_chain_is_proven_is_told(
    number: int, proven: int, tenant: Path, trust: Trust
) -> None:
    """Up to the first that is refused."""

    (bundles(tenant)[number] / "report.html").write_text("x")

    assert reason(tenant, trust).startswith(f"{proven} in a chain from the first")


def test_without_the_journal_a_chain_may_go_on(tenant: Path, trust: Trust) -> None:
    """That no later run was removed is not claimed where nothing shows it."""

    assert chain_of(tenant, trust).notes == ()

    shutil.rmtree(bundles(tenant)[2])
    (tenant / "journal.jsonl").unlink()

    document = chain_of(tenant, trust).document()
    assert (document["accepted"], document["chain"]) == (True, 2)
    (note,) = document["notes"]
    assert "later runs were removed" in note


def test_a_tenant_of_whom_nothing_is_sealed_is_told(tenant: Path, trust: Trust) -> None:
    """It is no chain in order, and no mistake beside tenants that have one."""

    journal = Journal(tenant.parents[1] / "globex" / "p" / "journal.jsonl")
    journal.append("step.started", {})

    last = chain_of(tenant.parents[1], trust)
    assert last.is_unsealed
    assert last.document()["notes"] == ("Nothing is sealed yet.",)

    with pytest.raises(SettingsError, match="There is no evidence"):
        list(verify_tree(journal.path.parent, trust))


def test_where_all_bundles_were_removed_the_journal_shows_it(tenant: Path, trust: Trust) -> None:
    """A tenant without a bundle is not taken for one that has none yet."""

    for bundle in bundles(tenant):
        shutil.rmtree(bundle)

    assert "Number 1 of the chain is missing" in reason(tenant, trust)


def test_a_journal_in_the_wrong_place_hides_no_tenant(tenant: Path, trust: Trust) -> None:
    """Whatever lies above them, tenants are found."""

    (tenant.parents[1] / "journal.jsonl").touch()
    shutil.rmtree(bundles(tenant)[2])

    assert "Number 3 of the chain is missing" in reason(tenant.parents[1], trust)


@pytest.mark.parametrize("leads", ["acme", "nowhere", "."])
def test_a_tenant_behind_a_link_is_refused(leads: str, tenant: Path, trust: Trust) -> None:
    """What it leads to may be somebody else's by tomorrow; it is not passed over."""

    (tenant.parents[1] / "globex").symlink_to(leads)
    (tenant.parents[1] / "zero.txt").symlink_to(tenant / "journal.jsonl")  # no folder

    *others, last = verify_tree(tenant.parents[1], trust)
    assert (last.path.name, last.document()["refused"]) == ("globex", "content")
    assert "It is a link" in str(last.error)
    assert [verdict.error for verdict in others] == [None] * 4


def test_the_keys_may_lie_behind_a_link(tenant: Path, tmp_path: Path, trust: Trust) -> None:
    """That folder is no tenant's, and nothing in it is trusted by itself."""

    (tenant.parents[1] / "keys").rename(tmp_path / "shared")
    (tenant.parents[1] / "keys").symlink_to(tmp_path / "shared")

    assert [verdict.error for verdict in verify_tree(tenant.parents[1], trust)] == [None] * 4


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_in_the_journals_place_is_refused(
    kind: str, tenant: Path, tmp_path: Path, trust: Trust
) -> None:
    """It is named, not followed and not waited for; the bundles are verified."""

    path = tenant / "journal.jsonl"
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    *others, last = verify_tree(tenant, trust)
    assert last.document()["file"] == "journal.jsonl"
    assert "not a regular file" in str(last.error)
    assert [verdict.error for verdict in others] == [None] * 3


def test_a_journal_that_cannot_be_read_is_a_verdict(
    tenant: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by name, and the bundles are verified."""

    open_it = journal.open_plain

    def denied(path: Path, **options: Any) -> Any:
        if path == tenant / "journal.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return open_it(path, **options)

    monkeypatch.setattr(journal, "open_plain", denied)

    *others, last = verify_tree(tenant, trust)
    assert last.document()["refused"] == "content"
    assert "journal.jsonl cannot be read: Permission denied" in str(last.error)
    assert [verdict.error for verdict in others] == [None] * 3


def test_a_tenants_folder_that_cannot_be_read_is_a_verdict(
    tenant: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by name, and the other tenants are verified."""

    (tenant.parents[1] / "aaa").mkdir()
    scan = os.scandir

    def denied(path: Any) -> Any:
        if str(path).endswith("aaa"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)

    first, *others = verify_tree(tenant.parents[1], trust)
    assert (first.path.name, first.document()["file"]) == ("aaa", "aaa")
    assert "cannot be read: Permission denied" in str(first.error)
    assert [verdict.error for verdict in others] == [None] * 4


def cut_off(tenant: Path, key: SigningKey, run_id: str = "00000004") -> Path:
    """Leave a bundle as a run does that is killed after its announcement."""
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name.startswith(".sealed-"):
            raise KeyboardInterrupt
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            seal_run(ended_run(tenant.parents[1], run_id), key)
    return tenant / f".sealed-{run_id}"


def test_a_run_that_is_being_sealed_is_no_bundle_yet(tenant: Path, trust: Trust) -> None:
    """Whatever its draft already holds, the tenant is in order meanwhile."""

    shutil.copytree(bundles(tenant)[0], tenant / ".sealed-00000005")  # not announced
    shutil.copytree(bundles(tenant)[1], tenant / ".draft-00000004")
    (tenant / ".draft-00000004" / "report.html").write_text("half")

    verdicts = list(verify_tree(tenant.parents[1], trust))
    assert [verdict.error for verdict in verdicts] == [None] * 4
    assert verdicts[-1].length == 3


def test_a_bundle_that_was_announced_counts_before_it_has_its_name(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A run that was killed at the very end leaves a tenant in order."""

    left = cut_off(tenant, key)

    verdicts = list(verify_tree(tenant, trust))
    assert [verdict.error for verdict in verdicts] == [None] * 5
    assert (verdicts[3].path, verdicts[4].length) == (left, 4)

    (left / "report.html").write_text("x")
    errors = [verdict.error for verdict in verify_tree(tenant, trust)]
    assert [type(each) for each in errors[3:]] == [ContentError, ChainError]

    shutil.rmtree(left)
    assert "Number 4 of the chain is missing" in reason(tenant, trust)


def test_another_bundle_in_the_place_of_an_announced_one_shows(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """It is held to the name that it would have been given."""

    left = cut_off(tenant, key)
    shutil.rmtree(left)
    shutil.copytree(tenant / "20261124T120000Z-00000001", left)

    errors = [verdict.error for verdict in verify_tree(tenant, trust)]
    assert "under another name" in str(errors[3])


def test_an_announcement_leads_nowhere_else(tenant: Path, trust: Trust) -> None:
    """Nothing outside of the tenant's folder is looked at, whatever name a journal holds."""

    bundles(tenant)[2].rename(tenant.parents[1] / "outside")
    (tenant / ".sealed-x").mkdir()
    data = {"bundle": "20261124T120000Z-ffffffff", "sequence": 4, "statement": "", "journal": LAST}
    run_id = "x/../../../outside"
    Journal(tenant / "journal.jsonl").append("bundle.sealed", data, run_id=run_id)

    assert len(list(verify_tree(tenant, trust))) == 3


def test_a_bundle_whose_statement_is_gone_is_still_seen(tenant: Path, trust: Trust) -> None:
    """A folder with a bundle's name is one, whatever is left in it."""

    shutil.rmtree(bundles(tenant)[2])
    bundles(tenant)[1].joinpath("statement.dsse.json").unlink()

    verdicts = list(verify_tree(tenant, trust))
    assert [v.error is None for v in verdicts] == [True, False, False]
    assert verdicts[1].document()["file"] == "statement.dsse.json"


def test_a_single_bundle_and_a_whole_tree_can_be_named(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """What is asked for is what is verified."""

    alone = list(verify_tree(bundles(tenant)[1], trust))
    assert [v.verified.link.sequence for v in alone if v.verified] == [2]

    shutil.copytree(tenant, tmp_path / "more" / "region" / "acme" / "p")
    everywhere = list(verify_tree(tmp_path, trust))
    assert len(everywhere) == 8
    assert all(verdict.error is None for verdict in everywhere)


def test_one_connectors_evidence_can_be_asked_for(tenant: Path, trust: Trust) -> None:
    """Chains of another one are left out, and a single bundle of another one is refused."""

    shutil.copytree(tenant, tenant.parent / "q")
    tree, bundle = tenant.parent.parent, bundles(tenant)[0]

    assert {verdict.error for verdict in verify_tree(tree, trust, "p")} == {None}
    assert any(verdict.error for verdict in verify_tree(tree, trust))
    assert [verdict.error for verdict in verify_tree(bundle, trust, "p")] == [None]
    (verdict,) = verify_tree(bundle, trust, "q")
    assert str(verdict.error) == "It belongs to the connector p."
    with pytest.raises(SettingsError, match="no evidence of elsewhere in"):
        list(verify_tree(tree, trust, "elsewhere"))


def test_a_bundle_that_was_unpacked_under_a_name_of_its_own_is_accepted(
    tenant: Path, tmp_path: Path, trust: Trust
) -> None:
    """An auditor may call the folder what he likes."""

    shutil.copytree(bundles(tenant)[0], tmp_path / "from-acme")

    (verdict,) = verify_tree(tmp_path / "from-acme", trust)
    assert verdict.error is None


@pytest.mark.parametrize("name", ["none", "empty"])
def test_nothing_to_verify_is_a_mistake(name: str, tmp_path: Path, trust: Trust) -> None:
    """No evidence is not evidence in order."""

    (tmp_path / "empty").mkdir()

    with pytest.raises(SettingsError, match="There is no evidence"):
        list(verify_tree(tmp_path / name, trust))


def test_a_folder_without_permission_is_a_verdict(
    tenant: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read is refused, and the others are verified."""

    def denied(*_args: object) -> Verdict:
        raise PermissionError(13, "Permission denied", "record.json")

    monkeypatch.setattr("runbook_lib.evidence.verify.chain.verify_bundle", denied)

    verdict = next(iter(verify_tree(tenant, trust)))
    assert "cannot be read: Permission denied" in str(verdict.error)


Sealer = Callable[[SigningKey, str], None]


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    def seal(key: SigningKey, run_id: str) -> None:
        seal_run(ended_run(tmp_path / "evidence", run_id), key)

    return seal


def test_a_successor_is_trusted_through_the_key_before_it(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey, trust: Trust
) -> None:
    """Who trusts the old key trusts the one to which it handed over, and no other."""

    sealer(key, IDS[0])
    sealer(other_key, IDS[1])
    evidence = tmp_path / "evidence"
    errors = [verdict.error for verdict in verify_tree(evidence, trust)]
    assert isinstance(errors[1], SignatureError)

    hand_over(key, other_key.public, evidence / "keys")
    assert [verdict.error for verdict in verify_tree(evidence, trust)] == [None] * 3


def test_a_key_that_was_succeeded_signs_nothing_more(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey, trust: Trust
) -> None:
    """A stolen old key does not lengthen the chain."""

    hand_over(key, other_key.public, tmp_path / "evidence" / "keys")
    for signer, run_id in zip((key, other_key, key), IDS, strict=True):
        sealer(signer, run_id)

    assert "signed by a key that was already succeeded" in reason(tmp_path / "evidence", trust)


def test_a_key_that_was_succeeded_is_refused_though_both_are_named(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Whoever trusts a whole folder of keys trusts none of them beyond its time."""

    hand_over(key, other_key.public, tmp_path / "evidence" / "keys")
    for signer, run_id in zip((key, other_key, key), IDS, strict=True):
        sealer(signer, run_id)

    both = Trust({each.key_id: each.public for each in (key, other_key)})
    assert "signed by a key that was already succeeded" in reason(tmp_path / "evidence", both)


def test_keys_that_succeed_each_other_keep_nobody_busy(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey, trust: Trust
) -> None:
    """A circle of successions ends."""

    hand_over(key, other_key.public, tmp_path / "evidence" / "keys")
    hand_over(other_key, key.public, tmp_path / "evidence" / "keys")
    sealer(key, IDS[0])

    assert len(list(verify_tree(tmp_path / "evidence", trust))) == 2


def test_a_succession_that_no_trusted_key_signed_counts_for_nothing(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey, trust: Trust
) -> None:
    """Nobody names himself the successor."""

    sealer(key, IDS[0])
    sealer(other_key, IDS[1])
    keys = tmp_path / "evidence" / "keys"
    path = hand_over(other_key, key.public, keys)
    path.rename(keys / f"{other_key.key_id}.succession.dsse.json")
    export_public_key(other_key, keys)
    (keys / "noise.succession.dsse.json").write_bytes(b"[" * 100_000)

    errors = [verdict.error for verdict in verify_tree(tmp_path / "evidence", trust)]
    assert isinstance(errors[1], SignatureError)


def test_successions_follow_each_other_in_any_order(
    sealer: Sealer, tmp_path: Path, key: SigningKey, other_key: SigningKey, keys_home: Path
) -> None:
    """Two generations on, whatever the files are called."""

    from runbook_lib.evidence.signing.keys import create_key, open_key  # noqa: PLC0415

    create_key(keys_home / "third.pem")
    third = open_key(str(keys_home / "third.pem"), is_sandbox=False)
    keys = tmp_path / "evidence" / "keys"
    hand_over(other_key, third.public, keys).rename(keys / "a.succession.dsse.json")
    hand_over(key, other_key.public, keys).rename(keys / "b.succession.dsse.json")
    for signer, run_id in zip((key, other_key, third), IDS, strict=True):
        sealer(signer, run_id)

    trust = Trust({key.key_id: key.public})
    assert [verdict.error for verdict in verify_tree(tmp_path / "evidence", trust)] == [None] * 4
