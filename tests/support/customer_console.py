"""The settings with which `connections` asks a sandbox that a test serves."""

from __future__ import annotations

import pytest

from facebook_cyclr_sandbox.server import Sandbox


def served(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the command needs to ask this sandbox."""
    described = {**sandbox.description, "cyclr_requests_a_second": 50}
    for name in (
        "cyclr_api_url", "cyclr_console_url", "cyclr_client_id", "cyclr_client_secret",
        "cyclr_requests_a_second", "service_domain",
    ):  # fmt: skip
        variable = f"RUNBOOK_CYCLR_{name.removeprefix('cyclr_').upper()}"
        monkeypatch.setenv(variable, str(described[name]))
    monkeypatch.setenv("RUNBOOK_TENANT", "sandboxed")
