"""Unit tests do not flush to disk; the tests of flushing name the flushed file, and the time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from runbook_lib.evidence.reports import phrases
from tests.conftest import NOON
from tests.support.odd_files import Shelf, remove


@pytest.fixture(autouse=True, scope="session")
def _flush_nothing() -> Iterator[None]:
    """
    Replace `fsync`, which takes most of the time of sealing and has no effect on tests.

    An invalid file descriptor still raises.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _only_check)
        yield


@pytest.fixture(autouse=True, scope="session")
def _in_one_year() -> Iterator[None]:
    """Let readers be in the year of the tests' times, whatever year it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "utc_now", lambda: NOON)
        yield


def _only_check(descriptor: int) -> None:
    os.fstat(descriptor)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Return the odd folders that are slow to make, for the whole session."""
    path = tmp_path_factory.mktemp("shelf")
    yield Shelf(path)
    remove(path)
