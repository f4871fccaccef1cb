"""A lost journal is rebuilt from verified bundles; an existing one is never lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runbook_lib.core.fingerprints import read_key
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import StepStarted
from runbook_lib.core.run_state import HistoryReader
from runbook_lib.errors import ChainError, ContentError, SettingsError
from runbook_lib.evidence import rebuild
from runbook_lib.evidence.rebuild import rebuild_journal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.support.journals import announced, copied
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import cut_off, ended_run, is_in_order, seal_run


@pytest.fixture
def home(tmp_path: Path, carrying_runs: Path) -> Path:
    """Return a folder with three bundles and their journal."""
    return Path(shutil.copytree(carrying_runs, tmp_path, dirs_exist_ok=True)) / "acme" / "p"


def bundles(home: Path) -> list[Path]:
    return sorted(home.glob("2*"))


def names(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()}


def not_rebuilt(home: Path, trust: TrustAnchors, said: str, **facts: object) -> ChainError:
    """Return why the journal is not rebuilt; fail if it has changed."""
    before = (home / "journal.jsonl").read_bytes()
    with refused(ChainError, said, **facts) as caught:
        rebuild_journal(home, trust)
    assert (home / "journal.jsonl").read_bytes() == before
    return caught.value


def test_a_lost_journal_comes_back_byte_for_byte(home: Path, trust: TrustAnchors) -> None:
    """A lost journal is rebuilt byte for byte up to the last bundle, and verifies."""
    journal = home / "journal.jsonl"
    lost = journal.read_bytes()
    journal.unlink()

    rebuilt = rebuild_journal(home, trust)

    whole = copied(*bundles(home))
    assert lost.startswith(whole)
    assert journal.read_bytes().startswith(whole)
    assert rebuilt.lines == rebuilt.added == whole.count(b"\n")
    assert rebuilt.until == "2026-11-24T12:00:00.000Z"
    assert rebuilt.unused == {}
    assert [each.sequence for each in announced(journal)] == [1, 2, 3]
    assert is_in_order(home, trust)
    assert not {name for name in names(home) if name.startswith(".")}


def test_the_next_run_goes_on_with_the_chain(
    home: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """After the rebuild the chain continues, and earlier attestations count."""
    (home / "journal.jsonl").unlink()
    rebuild_journal(home, trust)

    run = ended_run(tmp_path, "00000004", has_statements=False)
    assert run.state.steps["fb-02-attested"].attested_by == "Operator"
    assert seal_run(run, key).sequence == 4
    assert is_in_order(home, trust)


def test_an_older_journal_is_completed(home: Path, trust: TrustAnchors) -> None:
    """An older journal keeps its lines and gets the missing ones; an incomplete line is dropped."""
    journal = home / "journal.jsonl"
    backup = copied(*bundles(home)[:1])
    for lines in (backup, copied(*bundles(home)[:2]), b"".join(backup.splitlines(True)[:4])):
        journal.write_bytes(lines + b'{"seq": 99')

        rebuilt = rebuild_journal(home, trust)

        assert rebuilt.added == copied(*bundles(home)).count(b"\n") - lines.count(b"\n")
        assert journal.read_bytes().startswith(copied(*bundles(home)))
        assert is_in_order(home, trust)


def test_a_longer_journal_is_not_changed(home: Path, tmp_path: Path, trust: TrustAnchors) -> None:
    """A journal with more lines than the bundles is not changed."""
    ended_run(tmp_path, "00000004")
    before = (home / "journal.jsonl").read_bytes()

    rebuilt = rebuild_journal(home, trust)

    assert (rebuilt.added, rebuilt.lines) == (0, before.count(b"\n"))
    assert (home / "journal.jsonl").read_bytes() == before


def test_a_different_journal_is_never_overwritten(
    home: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """A damaged journal, or one with other lines, is not changed; the error names the line."""
    journal = home / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"Done.", b"Gone.", 1))
    error = not_rebuilt(home, trust, "line-does-not-follow", line=3, file=journal)
    assert wording("advice.move-aside") in error.diagnostics()

    # A journal that is shorter and different.
    other = ended_run(tmp_path / "elsewhere", "0000000a").journal
    journal.write_bytes(b"".join(other.path.read_bytes().splitlines(keepends=True)[:3]))
    first = bundles(home)[0].name
    not_rebuilt(home, trust, "copied-line-differs", line=3, bundle=first)

    # A journal that is longer and different from some line on.
    journal.write_bytes(copied(*bundles(home)[:1]))
    for _ in range(30):
        Journal(journal).append("step.started", StepStarted(), run_id="00000004", step="fb-01-a")
    last = copied(*bundles(home)[:2]).count(b"\n")
    error = not_rebuilt(home, trust, "copied-line-differs", line=last, bundle=bundles(home)[1].name)
    assert wording("advice.move-out") in error.diagnostics()
    assert not {name for name in names(home) if name.startswith(".")}
    journal.rename(tmp_path / "aside")
    rebuild_journal(home, trust)
    assert is_in_order(home, trust)


def test_only_trusted_bundles_are_used(
    home: Path, other_key: SigningKey, trust: TrustAnchors
) -> None:
    """Bundles without a trusted signature, and those after a gap, are not used."""
    (bundles(home)[1] / "report.html").write_text("x")
    (home / "journal.jsonl").unlink()
    with refused(ContentError, "no-bundle-verifies"):
        rebuild_journal(home, TrustAnchors({other_key.key_id: other_key.public}))
    assert not (home / "journal.jsonl").exists()

    rebuilt = rebuild_journal(home, trust)

    assert (home / "journal.jsonl").read_bytes().startswith(copied(bundles(home)[0]))
    assert [each.sequence for each in announced(home / "journal.jsonl")] == [1]
    altered, beyond = (rebuilt.unused[folder.name] for folder in bundles(home)[1:])
    assert "report.html" in altered
    assert "are missing" in beyond


def test_a_bundle_of_another_tenant_is_not_used(
    home: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """A bundle of another tenant is not used."""
    other = shutil.copytree(home, tmp_path / "globex" / "p")
    (other / "journal.jsonl").unlink()

    with refused(ContentError, "of-another-tenant", tenant="acme", connector="p"):
        rebuild_journal(other, trust)


def test_a_gap_that_the_journal_covers_is_accepted(home: Path, trust: TrustAnchors) -> None:
    """A bundle may be missing if the existing journal has its lines."""
    whole = copied(*bundles(home))
    (home / "journal.jsonl").write_bytes(copied(*bundles(home)[:2]))
    shutil.rmtree(bundles(home)[1])

    rebuilt = rebuild_journal(home, trust)

    assert (home / "journal.jsonl").read_bytes().startswith(whole)
    assert rebuilt.unused == {}


def test_bundles_of_each_trusted_key_are_used(
    home: Path, tmp_path: Path, other_key: SigningKey, trust: TrustAnchors
) -> None:
    """After a rotation the journal is put together with both keys, as in `verify`."""
    seal_run(ended_run(tmp_path, "00000004"), other_key)
    (home / "journal.jsonl").unlink()
    both = TrustAnchors({**trust.keys, other_key.key_id: other_key.public})

    assert rebuild_journal(home, both).unused == {}
    assert len(announced(home / "journal.jsonl")) == 4


def test_an_unnamed_bundle_is_used_and_renamed(
    home: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A bundle whose run was killed before the rename is used and gets its name."""
    cut_off(ended_run(tmp_path, "00000004"), key)
    (home / "journal.jsonl").unlink()

    rebuild_journal(home, trust)

    assert (home / "20261124T120000Z-00000004").is_dir()
    assert is_in_order(home, trust)
    assert len(announced(home / "journal.jsonl")) == 4


def test_an_index_of_the_lost_journal_is_ignored(
    home: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A saved index that does not fit the rebuilt journal is not used."""
    run = ended_run(tmp_path, "00000004")
    kept = read_key(home)
    assert kept is not None
    HistoryReader(run.journal, kept).save(kept)
    reader = HistoryReader(run.journal, kept)
    reader.read()
    reader.save(kept)
    assert (home / "state.json").is_file()
    (home / "journal.jsonl").unlink()

    rebuild_journal(home, trust)
    again = ended_run(tmp_path, "00000005", has_statements=False)

    fresh = HistoryReader(Journal(home / "journal.jsonl"), kept).read().index
    assert fresh == HistoryReader(Journal(home / "journal.jsonl")).read().index
    assert seal_run(again, key).sequence == 4
    assert is_in_order(home, trust)


def test_the_rebuilt_journal_is_checked_before_use(
    home: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuilt journal is checked before it replaces the old one."""
    (home / "journal.jsonl").unlink()
    copy = rebuild.copy_lines

    def alter(source: Path, start: int, end: int, target: Path) -> None:
        copy(source, start, end, target)
        target.write_bytes(target.read_bytes().splitlines(keepends=True)[0])

    monkeypatch.setattr(rebuild, "copy_lines", alter)

    with pytest.raises(ChainError):
        rebuild_journal(home, trust)

    assert not {name for name in names(home) if name.startswith((".", "journal.jsonl"))}


def test_without_bundles_it_is_an_error(tmp_path: Path, trust: TrustAnchors) -> None:
    """Without a folder or a bundle, `SettingsError` is raised and nothing is written."""
    with refused(SettingsError, "no-folder") as caught:
        rebuild_journal(tmp_path / "acme" / "p", trust)
    assert "--tenant" in caught.value.diagnostics()
    home = ended_run(tmp_path, "00000001").journal.path.parent
    with refused(SettingsError, "no-bundle"):
        rebuild_journal(home, trust)
