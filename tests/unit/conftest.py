"""What unit tests do without: the disk. What is flushed, and when, is tested by name."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.odd_files import Shelf, remove


@pytest.fixture(autouse=True, scope="session")
def _flush_nothing() -> Iterator[None]:
    """
    Leave out `fsync`, which takes most of a sealing's time and changes nothing that a test sees.

    A descriptor that is none is refused as before.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _only_check)
        yield


def _only_check(descriptor: int) -> None:
    os.fstat(descriptor)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Give the odd folders that take long to make, until the last test has ended."""
    path = tmp_path_factory.mktemp("shelf")
    yield Shelf(path)
    remove(path)
