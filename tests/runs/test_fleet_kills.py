"""Fleets that are killed at random moments, and resumed; `tools.soak.kills` does it many times."""

from __future__ import annotations

import pytest

from tools.soak import kills


@pytest.mark.costly("three fleets are killed and resumed, with a sandbox for each app")
def test_a_killed_fleet_leaves_no_half_bundle_and_resumes_exactly() -> None:
    """
    Whenever a fleet is killed no process of it is left, and no half bundle.

    Resuming it seals one bundle for each tenant that had none, and no other; all verifies.
    """
    assert kills.main(("--runs", "0", "--fleets", "3")) == 0
