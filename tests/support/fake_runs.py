"""
Runs that do what their request says: a fork server, or a program, has this loaded.

`request.given["program"]` are lines of Python that can use `request` and `listener`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runbook_lib.engine import elsewhere
from runbook_lib.engine.headless import RunListener, RunRequest
from runbook_lib.errors import SettingsError


def _run(request: RunRequest, listener: RunListener | None) -> Any:
    # NOTE: compiled, since Python ends by SIGINT where text that it executes was interrupted.
    program = compile(str(request.given.get("program", "")), "the program", "exec")
    exec(program, {"request": request, "listener": listener or RunListener()})
    folder = Path("/somewhere/evidence/acme/20261124-0badcafe")
    error = SettingsError("No.", next_step="Do that.") if request.tenant == "broken" else None
    return SimpleNamespace(
        state=SimpleNamespace(outcome="incomplete"),
        sealed=SimpleNamespace(folder=folder),
        archive_error=error,
        broken="the kernel died" if error else "",
    )


elsewhere.run_tenant = _run
