"""A lost journal comes back from verified bundles; an older one that was put back is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.core.model import Note
from runbook_lib.errors import ChainError, ContentError, SettingsError
from runbook_lib.evidence.bundle import SEALED_PREFIX
from runbook_lib.evidence.rebuild import rebuild_journal, require_whole_journal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import verify_home
from runbook_lib.run.journal import Journal
from tests.support.resigned_statements import resign
from tests.support.run_events import AT
from tests.unit.evidence.sealed_runs import RUNS, open_journal, perform, seal

LINES = "journal.jsonl"


def bundles(home: Path) -> list[Path]:
    """Return the bundles of a tenant, oldest first."""
    return sorted(path for path in home.iterdir() if path.name[0].isdigit())


def is_accepted(home: Path, trust: TrustAnchors) -> bool:
    """Return whether every bundle and the chain are accepted."""
    return not any(verdict.error for verdict in verify_home(home, trust))


def test_a_lost_journal_is_rebuilt(home: Path, key: SigningKey, trust: TrustAnchors) -> None:
    """All lines of the bundles are back, the last bundle is announced again, and runs go on."""
    before = (home / LINES).read_bytes()
    (home / LINES).unlink()

    rebuilt = rebuild_journal(home, trust)
    lines = Journal(home / LINES).read_all()
    assert (rebuilt.lines, rebuilt.added, rebuilt.unused) == (len(lines) - 1, len(lines) - 1, {})
    assert rebuilt.until == lines[-2].head.at
    assert (home / LINES).read_bytes().startswith(before[: before.rindex(b"\n", 0, -1)])
    assert is_accepted(home, trust)

    journal = open_journal(home)
    perform(journal, "00000004")
    assert seal(journal, "00000004", key).sequence == 4
    assert is_accepted(home, trust)


def test_a_whole_journal_stays_as_it_is(home: Path, trust: TrustAnchors) -> None:
    """Nothing is added to a journal that has every line."""
    before = (home / LINES).read_bytes()

    assert rebuild_journal(home, trust).added == 0
    assert (home / LINES).read_bytes() == before


def test_an_older_journal_is_completed(home: Path, trust: TrustAnchors) -> None:
    """The lines that it lacks are added."""
    shutil.copy(bundles(home)[0] / LINES, home / LINES)

    assert rebuild_journal(home, trust).added > 0
    assert is_accepted(home, trust)


def test_a_gap_that_the_journal_covers_is_no_matter(home: Path, trust: TrustAnchors) -> None:
    """A bundle may be away if the journal has its lines; a half line at the end is dropped."""
    whole = (home / LINES).read_bytes()
    first, second, _ = bundles(home)
    lines = (first / LINES).read_bytes() + (second / LINES).read_bytes()
    assert whole.startswith(lines)
    (home / LINES).write_bytes(lines + b'{"seq":')
    shutil.rmtree(first)
    shutil.rmtree(second)

    assert rebuild_journal(home, trust).unused == {}
    assert Journal(home / LINES).read_all()[-1].event.sequence == 3


def test_bundles_of_each_trusted_key_are_used(
    home: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """After a rotation, the lines of both keys' bundles are back."""
    journal = Journal(home / LINES)
    perform(journal, "00000004")
    seal(journal, "00000004", other_key)
    (home / LINES).unlink()
    both = TrustAnchors({each.key_id: each.public for each in (key, other_key)})

    assert rebuild_journal(home, both).unused == {}
    assert is_accepted(home, both)


def test_another_journal_is_kept(home: Path, trust: TrustAnchors) -> None:
    """A journal that differs from the bundles is not changed."""
    (home / LINES).unlink()
    perform(open_journal(home), "00000009")
    before = (home / LINES).read_bytes()

    with pytest.raises(ChainError, match="Line 1 differs"):
        rebuild_journal(home, trust)
    assert (home / LINES).read_bytes() == before


def test_bundles_that_do_not_verify_are_not_used(home: Path, trust: TrustAnchors) -> None:
    """They are named, and so are those whose lines do not follow."""
    (home / LINES).unlink()
    (bundles(home)[1] / "report.html").write_text("altered")

    rebuilt = rebuild_journal(home, trust)
    assert [*rebuilt.unused] == [path.name for path in bundles(home)[1:]]
    assert "missing" in rebuilt.unused[bundles(home)[2].name]


def test_bundles_of_others_and_of_later_formats_are_not_used(
    home: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Their lines are not this journal's, or cannot be read."""
    (home / LINES).unlink()
    strange = open_journal(tmp_path / "other" / "p")
    perform(strange, "00000008")
    made = seal(strange, "00000008", key).folder
    made.rename(home / made.name)
    resign(
        bundles(home)[-1],
        key,
        lambda claims: claims["runbook_run"].update(format_version=16),
    )

    unused = rebuild_journal(home, trust).unused
    assert {*unused} == {made.name, bundles(home)[-1].name}


def test_a_bundle_without_its_name_is_used(home: Path, trust: TrustAnchors) -> None:
    """Only the lost journal knew that it was announced; it gets its name."""
    (home / LINES).unlink()
    newest = bundles(home)[2]
    newest.rename(home / f"{SEALED_PREFIX}{RUNS[2]}")

    assert rebuild_journal(home, trust).unused == {}
    assert bundles(home)[2] == newest
    assert is_accepted(home, trust)


def test_without_a_bundle_nothing_is_rebuilt(tmp_path: Path, trust: TrustAnchors) -> None:
    """The message names what to do."""
    with pytest.raises(SettingsError):
        rebuild_journal(tmp_path / "none", trust)
    (tmp_path / "acme").mkdir()
    with pytest.raises(SettingsError):
        rebuild_journal(tmp_path / "acme", trust)


def test_without_a_trusted_key_nothing_is_rebuilt(home: Path) -> None:
    """A stranger's bundles are no journal."""
    (home / LINES).unlink()

    with pytest.raises(ContentError):
        rebuild_journal(home, TrustAnchors({}))
    assert not (home / LINES).exists()


def put_back_older(home: Path) -> None:
    shutil.copy(bundles(home)[0] / LINES, home / LINES)


def begin_anew(home: Path) -> None:
    (home / LINES).unlink()


@pytest.mark.parametrize("change", [put_back_older, begin_anew])
def test_an_older_journal_is_refused(home: Path, change: Callable[[Path], None]) -> None:
    """Nothing could be sealed after it; the message names the command that completes it."""
    require_whole_journal(Journal(home / LINES))
    change(home)

    with pytest.raises(ChainError) as caught:
        require_whole_journal(Journal(home / LINES))
    assert "runbook journal --tenant acme" in caught.value.diagnostics()


def test_a_bundle_that_is_announced_again_is_refused(home: Path) -> None:
    """The next one would take a number that is taken, and break the chain for good."""
    journal = Journal(home / LINES)
    first = next(line.event for line in journal.read_all() if line.head.type == "bundle.sealed")
    journal.append(first, run=RUNS[0])

    with pytest.raises(ChainError):
        require_whole_journal(journal)


def test_strangers_bundles_stop_nobody(
    home: Path, tmp_path: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Other tenants' bundles, those of other keys and copies are the verifier's matter."""
    journal = open_journal(home)
    journal.append(Note(by="Ben", at=AT, note="Later."), run=RUNS[2], step="fb-01-log-in")
    elsewhere = tmp_path / "elsewhere" / "acme"
    for run, folder, signer in (
        ("0000000a", tmp_path / "other", key),
        ("0000000b", elsewhere, other_key),
    ):
        strange = open_journal(folder / "p")
        perform(strange, run)
        made = seal(strange, run, signer).folder
        shutil.copytree(made, home / made.name)
    shutil.copytree(bundles(home)[0], home / "20200101T000000Z-00000000")
    (home / "20200101T000000Z-00000001").mkdir()
    (home / "20200101T000000Z-00000001" / "statement.dsse.json").write_text("none")

    require_whole_journal(journal)
