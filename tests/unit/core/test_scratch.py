"""Scratch folders: private, and gone with the process that made them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runbook_lib.core import scratch
from runbook_lib.core.scratch import scratch_folder

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from runbook_lib.core.scratch import scratch_folder
with scratch_folder(owns=Path(sys.argv[1])) as folder:
    (folder / "key.pem").write_text("private")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of temporary files, which is this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(scratch, "_YOUNG_SECONDS", 0)
    scratch._remove_what_dead_processes_left.cache_clear()
    return folder


def hold(owns: Path) -> subprocess.Popen[str]:
    """Start a process that keeps a scratch folder; return it once the folder is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(owns)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def test_a_folder_is_private_and_goes_at_the_end(temporary: Path) -> None:
    """Nobody else looks in, and nothing of it is left."""

    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o700 for each in (folder, folder.parent))
        (folder / "key.pem").write_text("private")

    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_folder(
    temporary: Path, tmp_path: Path
) -> None:
    """Its keys and sockets, and the draft beside the journal that no leak gate has seen."""

    draft = tmp_path / "acme" / ".draft-0a1b2c3d"
    draft.mkdir(parents=True)
    process = hold(draft)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(temporary.iterdir())

    with scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]
    assert not draft.exists()


def test_what_a_living_process_uses_stays(temporary: Path, tmp_path: Path) -> None:
    """Neighbours do not take each other's folders away."""

    draft = tmp_path / ".draft-0a1b2c3d"
    draft.mkdir()
    process = hold(draft)
    try:
        with scratch_folder():
            assert len(list(temporary.iterdir())) == 2
        assert list(temporary.glob("*/content/key.pem"))
        assert draft.exists()
    finally:
        process.kill()
        process.communicate()


def test_only_a_draft_goes_with_a_dead_process(temporary: Path, tmp_path: Path) -> None:
    """Whatever a folder names, nothing else is removed, and no link is followed."""

    precious = tmp_path / "evidence"
    precious.mkdir()
    (tmp_path / ".draft-link").symlink_to(precious)
    for owns in (precious, tmp_path / ".draft-link"):
        process = hold(owns)
        process.kill()
        process.communicate()

    with scratch_folder():
        pass

    assert precious.is_dir()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "open", "file"])
def test_what_others_called_the_same_is_left_alone(
    temporary: Path, tmp_path: Path, kind: str
) -> None:
    """In a folder that everybody writes to, a name proves nothing."""

    path = temporary / "runbook-scratch-other"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "open":
        path.mkdir()
        path.chmod(0o777)
    else:
        path.write_text("")

    with scratch_folder():
        pass

    assert os.path.lexists(path)
    assert elsewhere.is_dir()


def test_a_young_folder_may_be_about_to_take_its_lock(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a folder and locking it, nobody takes it for a dead one."""

    monkeypatch.setattr(scratch, "_YOUNG_SECONDS", 60)
    folder = temporary / "runbook-scratch-young"
    folder.mkdir(mode=0o700)

    with scratch_folder():
        pass

    assert folder.is_dir()
