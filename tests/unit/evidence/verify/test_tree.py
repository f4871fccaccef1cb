"""Everything at or under a path has a verdict, and nothing there hides anything else."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.cli.terminal import show_verdict
from runbook_lib.errors import ChainError, ContentError, SettingsError, SignatureError
from runbook_lib.evidence.bundle import SEALED_PREFIX, SealedBundle
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify import verify
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Verdict
from runbook_lib.run import journal
from runbook_lib.run.events import BundleSealed, ChangeIntended
from runbook_lib.run.journal import LONGEST_LINE, Journal
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import errors_of, memory_below
from tests.unit.evidence.sealed_runs import RUNS, START, perform, seal


@pytest.fixture
def tenant(home: Path) -> Path:
    """Return a tenant's folder with three sealed runs."""
    return home


def bundles(tenant: Path) -> list[Path]:
    return sorted(path for path in tenant.iterdir() if path.name[0].isdigit())


NOT_COMPLETE = wording("journal-chain-broken.not-complete", refused=1, count=3)


def missing(number: int, name: str) -> str:
    """Return that a bundle is missing, with the name that the journal announced."""
    return wording("journal-chain-broken.bundle-missing", number=number, name=name)


def chain_of(path: Path, trust: TrustAnchors) -> Verdict:
    """Return the verdict on the chain, which is the last one."""
    return list(verify_tree(path, trust))[-1]


def seal_next(evidence: Path, key: SigningKey, run: str, at: datetime = START) -> SealedBundle:
    """Perform a run of the tenant at this time, and seal it."""
    journal = Journal(evidence / "acme" / "p" / "journal.jsonl", clock=lambda: at)
    perform(journal, run)
    return seal(journal, run, key)


def cut_off(tenant: Path, key: SigningKey) -> Path:
    """Seal one more run, but as if killed before its bundle had its name; return what is left."""
    made = seal_next(tenant.parents[1], key, "00000004").folder
    return made.rename(made.with_name(f"{SEALED_PREFIX}00000004"))


def reason(path: Path, trust: TrustAnchors) -> str:
    """Return why the chain is rejected."""
    error = chain_of(path, trust).error
    assert isinstance(error, ChainError)
    return str(error)


@pytest.mark.matrix(7)
@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize(
    ("minutes", "noted"),
    [
        ((0, 0, 0), ()),
        ((0, 10, 20), ()),
        ((0, -5, -10), ()),
        ((0, -6, 0), (2,)),
        ((0, 60, -600_000), (3,)),
        ((600_000, 0, 1), (2,)),
        ((20, 10, 0), (2, 3)),
    ],
)
def test_a_bundle_that_was_sealed_before_its_predecessor_is_noted(
    minutes: tuple[int, ...],
    noted: tuple[int, ...],
    has_journal: bool,
    tmp_path: Path,
    key: SigningKey,
    trust: TrustAnchors,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Words count by these times: more than 5 minutes are noted, and nothing is refused."""
    for run_id, minute in zip(RUNS, minutes, strict=True):
        seal_next(tmp_path, key, run_id, START + timedelta(minutes=minute))
    if not has_journal:
        (tmp_path / "acme" / "p" / "journal.jsonl").unlink()
    verdicts = list(verify_tree(tmp_path, trust))
    show_verdict(verdicts[-1])
    notes = verdicts[-1].anomalies

    assert [verdict.error for verdict in verdicts] == [None] * 4
    assert len(notes) == len(noted)
    for note, number in zip(notes, noted, strict=True):
        assert note.startswith(
            wording("verify.sealed-before-predecessor", number=number, run=RUNS[number - 1])
        )
    assert verdicts[-1].document()["notes"] == (*verdicts[-1].notes, *notes)
    shown = capsys.readouterr().out
    assert (wording("verify.chain-whole", count=3) in shown) is has_journal
    assert shown.count("predecessor") == len(noted)


def test_a_huge_line_of_the_journal_is_not_parsed(tenant: Path, trust: TrustAnchors) -> None:
    """A line above the size limit is refused without reading it into memory."""
    with (tenant / "journal.jsonl").open("ab") as file:
        file.write(b"[" * 16 * LONGEST_LINE + b"\n")

    with memory_below(32 * 2**20):
        said = wording("journal-chain-broken.line-too-long", limit=4)
        assert said in reason(tenant, trust)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "globex/p",
            wording("journal-chain-broken.other-tenant", number="1 (00000001)", tenant="acme"),
        ),
        (
            "acme/other",
            wording("journal-chain-broken.other-connector", number="1 (00000001)", connector="p"),
        ),
    ],
)
def test_a_foreign_run_is_detected(name: str, said: str, tenant: Path, trust: TrustAnchors) -> None:
    """Bundles under another tenant's or connector's name are rejected."""
    place = tenant.parents[1] / name
    place.parent.mkdir(exist_ok=True)
    tenant.rename(place)

    assert reason(place, trust) == said


def test_a_refused_bundle_does_not_stop_the_others(tenant: Path, trust: TrustAnchors) -> None:
    """Each bundle has its verdict, and the chain's verdict says how far it is proven."""
    (bundles(tenant)[1] / "report.html").write_text("x")

    verdicts = list(verify_tree(tenant, trust))
    assert [v.error is None for v in verdicts] == [True, False, True, False]
    assert verdicts[1].document()["refused"] == "content"
    assert verdicts[1].document()["file"] == "report.html"
    document = verdicts[3].document()
    assert (document["accepted"], document["refused"]) == (False, "chain")
    assert document["reason"] == wording(
        "journal-chain-broken.proven-from-first", rest=NOT_COMPLETE, count=1
    )


def test_without_the_journal_a_chain_may_go_on(tenant: Path, trust: TrustAnchors) -> None:
    """Without the journal, a note says that later runs may have been removed."""
    assert chain_of(tenant, trust).notes == ()

    shutil.rmtree(bundles(tenant)[2])
    (tenant / "journal.jsonl").unlink()

    document = chain_of(tenant, trust).document()
    assert (document["accepted"], document["chain"]) == (True, 2)
    (note,) = document["notes"]
    assert wording("verify.later-runs") in note


def test_a_tenant_without_a_sealed_run_is_noted(tenant: Path, trust: TrustAnchors) -> None:
    """A tenant without a sealed run is noted beside others, and is an error alone."""
    journal = Journal(tenant.parents[1] / "globex" / "p" / "journal.jsonl")
    journal.append(ChangeIntended(change="x"))

    last = chain_of(tenant.parents[1], trust)
    assert last.is_unsealed
    assert last.document()["notes"] == (wording("verify.nothing-sealed"),)

    with refused(SettingsError, "no-evidence"):
        list(verify_tree(journal.path.parent, trust))


def test_a_journal_in_the_wrong_place_hides_no_tenant(tenant: Path, trust: TrustAnchors) -> None:
    """A journal above the tenants does not hide them."""
    (tenant.parents[1] / "journal.jsonl").touch()
    newest = bundles(tenant)[2]
    shutil.rmtree(newest)

    assert reason(tenant.parents[1], trust) == missing(3, newest.name)


@pytest.mark.parametrize("leads", ["acme", "nowhere", "."])
def test_a_tenant_behind_a_link_is_refused(leads: str, tenant: Path, trust: TrustAnchors) -> None:
    """A link in a tenant's place is rejected and not followed."""
    (tenant.parents[1] / "globex").symlink_to(leads)
    (tenant.parents[1] / "zero.txt").symlink_to(tenant / "journal.jsonl")  # not a folder

    *others, last = verify_tree(tenant.parents[1], trust)
    assert (last.path.name, last.document()["refused"]) == ("globex", "content")
    assert wording("content-altered.is-link") in str(last.error)
    assert [verdict.error for verdict in others] == [None] * 4


def test_the_folder_of_keys_may_be_a_link(
    tenant: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """The folder of keys may be a link, since nothing in it is trusted by itself."""
    (tenant.parents[1] / "keys").rename(tmp_path / "shared")
    (tenant.parents[1] / "keys").symlink_to(tmp_path / "shared")

    assert errors_of(tenant.parents[1], trust) == [None] * 4


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "unreadable"])
def test_an_odd_file_in_the_journals_place_is_refused(
    kind: str, tenant: Path, tmp_path: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that is no file or unreadable is rejected by name; the bundles are verified."""
    path = tenant / "journal.jsonl"
    said = wording("content-altered.not-a-file")
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "elsewhere").rename(path)
        said = "Permission denied"
        deny(journal, "open_plain", path, monkeypatch)

    *others, last = verify_tree(tenant, trust)
    assert last.document()["refused"] == "content"
    assert kind == "unreadable" or last.document()["file"] == "journal.jsonl"
    assert said in str(last.error)
    assert [verdict.error for verdict in others] == [None] * 3


def deny(module: Any, name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this function of a module refuse one path."""
    function = getattr(module, name)

    def denied(asked: Any, **options: Any) -> Any:
        if Path(asked) == path:
            raise PermissionError(13, "Permission denied", str(path))
        return function(asked, **options)

    monkeypatch.setattr(module, name, denied)


def test_an_unreadable_tenant_is_rejected(
    tenant: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable tenant's folder is rejected by name; the others are still verified."""
    (tenant.parents[1] / "aaa").mkdir()
    deny(os, "scandir", tenant.parents[1] / "aaa", monkeypatch)

    first, *others = verify_tree(tenant.parents[1], trust)
    assert (first.path.name, first.document()["file"]) == ("aaa", "aaa")
    assert "Permission denied" in str(first.error)
    assert [verdict.error for verdict in others] == [None] * 4


def test_a_run_that_is_being_sealed_is_no_bundle_yet(tenant: Path, trust: TrustAnchors) -> None:
    """Drafts and unannounced bundles are ignored."""
    shutil.copytree(bundles(tenant)[0], tenant / ".sealed-00000005")  # not announced
    shutil.copytree(bundles(tenant)[1], tenant / ".draft-00000004")
    (tenant / ".draft-00000004" / "report.html").write_text("half")

    verdicts = list(verify_tree(tenant.parents[1], trust))
    assert [verdict.error for verdict in verdicts] == [None] * 4
    assert verdicts[-1].length == 3


def test_a_bundle_that_was_announced_counts_before_it_has_its_name(
    tenant: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """An announced bundle without its final name counts."""
    left = cut_off(tenant, key)

    verdicts = list(verify_tree(tenant, trust))
    assert [verdict.error for verdict in verdicts] == [None] * 5
    assert (verdicts[3].path, verdicts[4].length) == (left, 4)

    (left / "report.html").write_text("x")
    errors = errors_of(tenant, trust)
    assert [type(each) for each in errors[3:]] == [ContentError, ChainError]

    shutil.rmtree(left)
    assert reason(tenant, trust) == missing(4, "20261202T120000Z-00000004")


def test_another_bundle_in_an_announced_ones_place_is_detected(
    tenant: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A bundle in the place of an announced one must have its name."""
    left = cut_off(tenant, key)
    shutil.rmtree(left)
    shutil.copytree(tenant / "20261202T120000Z-00000001", left)

    errors = errors_of(tenant, trust)
    assert wording("content-altered.under-another-name") in str(errors[3])


def test_bundles_that_cannot_be_understood_together_are_refused(
    tenant: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks while they are compared refuses the chain; each bundle has its verdict."""
    monkeypatch.setattr(verify, "_check_chain", lambda *_: [].pop())

    *others, last = errors_of(tenant, trust)

    assert others == [None] * 3
    assert str(last) == wording("content-altered.bundles-not-understood", error="IndexError")


def test_an_announcement_cannot_leave_the_folder(tenant: Path, trust: TrustAnchors) -> None:
    """A bundle that the journal announces elsewhere is missing."""
    bundles(tenant)[2].rename(tenant.parents[1] / "outside")
    (tenant / f"{SEALED_PREFIX}x").mkdir()
    sealed = BundleSealed(bundle="../../outside-x", sequence=4, statement="0" * 64, last=1)
    Journal(tenant / "journal.jsonl").append(sealed, run="x")

    verdicts = list(verify_tree(tenant, trust))
    assert [verdict.path.name for verdict in verdicts[:-1]] == [
        path.name for path in bundles(tenant)[:2]
    ]
    assert verdicts[-1].error


def test_a_bundle_without_its_statement_is_rejected(tenant: Path, trust: TrustAnchors) -> None:
    """A folder with a bundle's name is a bundle, whatever it contains."""
    shutil.rmtree(bundles(tenant)[2])
    bundles(tenant)[1].joinpath("statement.dsse.json").unlink()

    verdicts = list(verify_tree(tenant, trust))
    assert [v.error is None for v in verdicts] == [True, False, False]
    assert verdicts[1].document()["file"] == "statement.dsse.json"


def test_a_single_bundle_or_a_whole_tree_can_be_verified(
    tenant: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A single bundle or a whole tree can be verified."""
    alone = list(verify_tree(bundles(tenant)[1], trust))
    assert [v.verified.link.sequence for v in alone if v.verified] == [2]

    shutil.copytree(tenant, tmp_path / "more" / "region" / "acme" / "p")
    assert errors_of(tmp_path, trust) == [None] * 8


def test_one_connectors_evidence_can_be_asked_for(tenant: Path, trust: TrustAnchors) -> None:
    """With a connector, only its chains are verified; a bundle of another one is rejected."""
    shutil.copytree(tenant, tenant.parent / "q")
    tree = tenant.parent.parent
    bundle = bundles(tenant)[0]

    assert set(errors_of(tree, trust, "p")) == {None}
    assert any(errors_of(tree, trust))
    assert errors_of(bundle, trust, "p") == [None]
    (error,) = errors_of(bundle, trust, "q")
    assert str(error) == wording("content-altered.of-another-connector", connector="p")
    with refused(SettingsError, "no-evidence-of-connector", connector="elsewhere"):
        list(verify_tree(tree, trust, "elsewhere"))


def test_a_single_bundle_may_have_any_name(
    tenant: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """A single bundle may have any folder name."""
    shutil.copytree(bundles(tenant)[0], tmp_path / "from-acme")

    assert errors_of(tmp_path / "from-acme", trust) == [None]


@pytest.mark.parametrize("name", ["none", "empty"])
def test_nothing_to_verify_is_an_error(name: str, tmp_path: Path, trust: TrustAnchors) -> None:
    """A path without evidence raises `SettingsError`."""
    (tmp_path / "empty").mkdir()

    with refused(SettingsError, "no-evidence"):
        list(verify_tree(tmp_path / name, trust))


def test_an_unreadable_bundle_is_rejected(
    tenant: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable bundle is rejected."""

    def denied(*_args: object) -> Verdict:
        raise PermissionError(13, "Permission denied", "record.json")

    monkeypatch.setattr(verify, "verify_bundle", denied)

    verdict = next(iter(verify_tree(tenant, trust)))
    assert isinstance(verdict.error, ContentError)
    assert verdict.error.file == "record.json"
    assert "Permission denied" in str(verdict.error)


@pytest.mark.parametrize(
    ("signers", "note"),
    [
        ("aab", []),
        ("aba", [wording("verify.returns-to-key", number="3 (00000003)", key="{}", other="{}")]),
    ],
)
def test_a_chain_that_returns_to_an_earlier_key_is_noted(
    signers: str, note: list[str], tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """With both keys a chain over a rotation is accepted; a return to the older key is noted."""
    keys = {"a": key, "b": other_key}
    for name, run_id in zip(signers, RUNS, strict=True):
        seal_next(tmp_path / "evidence", keys[name], run_id)
    both = TrustAnchors({each.key_id: each.public for each in keys.values()})

    verdict = chain_of(tmp_path / "evidence", both)
    assert verdict.error is None
    ids = [each.key_id[:16] for each in keys.values()]
    assert list(verdict.anomalies) == [text.format(*ids) for text in note]
    assert verdict.document()["notes"] == verdict.anomalies

    errors = errors_of(tmp_path / "evidence", TrustAnchors({key.key_id: key.public}))
    assert any(isinstance(error, SignatureError) for error in errors)
