"""The summary beside a journal: lists of tenants are the same with it, without it, or if odd."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError
from runbook_lib.operations.journal_summary import SUMMARY_NAME
from runbook_lib.operations.tenant_reader import TenantsOverview, read_tenants
from runbook_lib.run.events import BundleSealed
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import Journal
from tests.support.attestations import attested
from tests.unit.operations.watch.desk import DAY, NOON, Desk

STEP = "fb-01-log-in"


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a tenant that a run began."""
    desk = Desk(folder, monkeypatch)
    desk.begin()
    return desk


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that has an entry for each journal that was read as a whole."""
    folds: list[None] = []

    def counted(*args: object, **more: object) -> object:
        folds.append(None)
        return fold(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("runbook_lib.engine.run_view.fold", counted)
    return folds


def overview(days: int = 0) -> TenantsOverview:
    """Return the state of all tenants, so many days later."""
    return read_tenants("evidence", NOON + timedelta(days=days))


def test_an_unchanged_journal_is_read_once(desk: Desk, folds: list[None]) -> None:
    """The second list takes the summary; after a new line the journal counts."""
    first = overview()
    folds.clear()
    assert overview() == first
    assert folds == []

    desk.begin("acme", attested(STEP))
    assert overview() != first
    assert folds


def test_another_day_is_another_summary(desk: Desk) -> None:
    """A confirmation that ends is due the day after, though no line was written."""
    desk.begin("acme", attested(STEP, until="2026-11-25"))
    before = overview()

    assert overview(2) != before
    assert overview() == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b"\xff", None], ids=repr)
def test_an_odd_summary_is_made_again(desk: Desk, content: bytes | None) -> None:
    """It is no source of truth: one that cannot be read is replaced, or does not count."""
    first = overview()
    path = desk.journal().with_name(SUMMARY_NAME)
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    assert overview() == first
    assert content is None or path.read_bytes() != content


def test_a_result_of_the_watch_is_not_sealed_yet(desk: Desk) -> None:
    """`status` says so for one tenant and in the list, until a run has sealed it."""
    desk.poll()
    assert not overview().statuses[0].unsealed
    desk.refuse_secret()
    desk.poll(DAY)

    for words in (["status"], ["status", "--tenant", "acme"]):
        shown = CliRunner().invoke(main, [*words, "--env-file", "watch.env"]).output
        assert "1 result not sealed yet" in shown
    assert overview().statuses[0].document()["unsealed"] == 1

    journal = Journal(desk.journal())
    journal.append(
        BundleSealed(bundle="b", sequence=1, statement="0" * 64, last=len(journal.read_all()))
    )
    assert not overview().statuses[0].unsealed


def test_the_watch_writes_nothing_into_an_older_journal(desk: Desk) -> None:
    """A journal that was put back is refused, as a run refuses it: it lacks a bundle beside it."""
    desk.poll()
    older = desk.journal().read_bytes()
    desk.refuse_secret()

    put_back = patch.object(Run, "require_whole_journal", side_effect=ChainError("older"))
    with put_back, pytest.raises(ChainError):
        desk.poll(DAY)
    assert desk.journal().read_bytes() == older
