"""A remote system that is scripted by the test."""

from __future__ import annotations

import pytest

from tests.unit.fake_remote import FakeRemote


@pytest.fixture
def remote() -> FakeRemote:
    """Return a remote system without responses so far."""
    return FakeRemote()
