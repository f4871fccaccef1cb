"""Scratch folders: private, and removed with the process that made them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook_lib.core import scratch
from runbook_lib.core.scratch import scratch_folder

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from runbook_lib.core.scratch import scratch_folder
with scratch_folder(owns=Path(sys.argv[1])) as folder:
    (folder / "key.pem").write_text("private")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of temporary files for this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    scratch._remove_what_dead_processes_left.cache_clear()
    return folder


def age(temporary: Path) -> None:
    """Let each temporary folder be a minute old."""
    before = time.time() - 60
    for folder in temporary.iterdir():
        os.utime(folder, (before, before), follow_symlinks=False)


@contextmanager
def held(owns: Path) -> Iterator[None]:
    """
    Let another process have a scratch folder that owns this path; it is killed at the end.

    Every temporary folder is a minute old then.
    """
    command = [sys.executable, "-c", HOLDER, str(owns)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        age(Path(tempfile.gettempdir()))
        yield
        process.kill()


def test_a_folder_is_private_and_removed_at_the_end(temporary: Path) -> None:
    """A scratch folder has mode 0700 and is removed at the end."""
    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o700 for each in (folder, folder.parent))
        (folder / "key.pem").write_text("private")

    assert list(temporary.iterdir()) == []


def test_folders_of_killed_processes_are_removed(temporary: Path, tmp_path: Path) -> None:
    """
    The next scratch folder removes those of killed processes, and their drafts beside a journal.
    """
    draft = tmp_path / "acme" / ".draft-0a1b2c3d"
    draft.mkdir(parents=True)
    with held(draft):
        pass
    assert list(temporary.iterdir())

    with scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]
    assert not draft.exists()


def test_folders_of_running_processes_stay(temporary: Path, tmp_path: Path) -> None:
    """The folders of running processes stay."""
    draft = tmp_path / ".draft-0a1b2c3d"
    draft.mkdir()
    with held(draft):
        with scratch_folder():
            assert len(list(temporary.iterdir())) == 2
        assert list(temporary.glob("*/content/key.pem"))
        assert draft.exists()


def test_only_a_draft_is_removed_with_a_dead_process(temporary: Path, tmp_path: Path) -> None:
    """Only a draft among a dead process's paths is removed; links are not followed."""
    precious = tmp_path / "evidence"
    precious.mkdir()
    (tmp_path / ".draft-link").symlink_to(precious)
    for owns in (precious, tmp_path / ".draft-link"):
        with held(owns):
            pass

    with scratch_folder():
        pass

    assert precious.is_dir()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "open", "file"])
def test_similar_names_are_not_removed(temporary: Path, tmp_path: Path, kind: str) -> None:
    """
    A link, a file, or a folder that others may write to is not removed, even with a scratch name.
    """
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


def test_a_young_folder_is_not_removed(temporary: Path) -> None:
    """A young folder without a lock is not removed, since its lock may follow."""
    folder = temporary / "runbook-scratch-young"
    folder.mkdir(mode=0o700)

    with scratch_folder():
        pass

    assert folder.is_dir()
