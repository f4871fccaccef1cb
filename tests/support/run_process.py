"""A tenant's run in a process of its own, with only the run itself replaced."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from runbook_lib.core.redaction import Secret
from runbook_lib.engine.process import ProcessRequest
from tests.unit.bodies import APP_SECRET, USER_TOKEN

SECRETS = {
    "RUNBOOK_FACEBOOK_APP_SECRET": APP_SECRET,
    "RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN": USER_TOKEN,
}
REQUEST = ProcessRequest(
    connector="facebook_marketing",
    tenant="acme",
    evidence="/somewhere/evidence",
    env_file="/somewhere/.env",
    given={"app_id": "77", "permissions": ("public_profile", "ads_read"), "four_eyes": ()},
    secrets={name: Secret(text) for name, text in SECRETS.items()},
)
# The real process, with only the run replaced.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

# These runs have no cells, for which everything would be loaded.
sys.modules["runbook_lib.engine.preloaded"] = ModuleType("preloaded")
from runbook_lib.core.model import Outcome
from runbook_lib.engine import process
from runbook_lib.errors import SettingsError

def run(request, listener):
{run}
    folder = Path("/somewhere/evidence/acme/20261124-0badcafe")
    state = SimpleNamespace(outcome="incomplete", steps={}, calls=(), is_practice=True)
    sealed = SimpleNamespace(folder=folder)
    error = SettingsError("No.", next_step="Do that.") if request.tenant == "broken" else None
    return SimpleNamespace(
        state=state,
        sealed=sealed,
        run_id="0badcafe",
        archive_error=error,
        broken="the kernel died" if error else "",
    )

process.run_tenant = run
{main}
"""
_start = subprocess.Popen


class Child:
    """
    Starts a test's program in place of the real one, and records how the real one would start.
    """

    def __init__(self, main: str) -> None:
        self._main = main
        self.program = ""
        self.command: list[str] = []
        self.options: dict[str, Any] = {}

    def performs(self, *lines: str) -> None:
        """Set the lines of the run; they can use `request` and `listener`."""
        run = "\n".join(f"    {line}" for line in lines)
        self.program = PROGRAM.replace("{run}", run).replace("{main}", self._main)

    def __call__(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start the program."""
        self.command, self.options = command, options
        return _start([sys.executable, "-c", self.program], **options)
