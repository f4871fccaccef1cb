"""Simulated runs in real processes: the work of a request's program, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.headless import RunRequest
from tests.unit.bodies import APP_SECRET, USER_TOKEN

PATIENCE_SECONDS = 30
SECRETS = {
    "RUNBOOK_FACEBOOK_APP_SECRET": APP_SECRET,
    "RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN": USER_TOKEN,
}
REQUEST = RunRequest(
    procedure=PROCEDURE,
    tenant="acme",
    evidence="/somewhere/evidence",
    env_file="/somewhere/.env",
    given={"app_id": "77", "permissions": ("public_profile", "ads_read"), "four_eyes": ()},
)
_IMPORTS = """
import json, os, re, resource, signal, subprocess, sys, time
from pathlib import Path
from runbook_lib.engine import elsewhere
from runbook_lib.errors import LeakError, SettingsError
"""
# The lines of a run that can be interrupted, or that is deaf to that; its sleep outlasts the test.
SLEEPING = (
    "try: Path('begun').write_text(f'{os.getpid()} {os.getppid()}'); time.sleep(60)",
    "except KeyboardInterrupt: Path('interrupted').touch(); raise",
)
DEAF = ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", *SLEEPING)


def performing(*lines: str, **more: object) -> RunRequest:
    """Return a request whose run (that of `fake_runs`) does this with `request` and `listener`."""
    program = _IMPORTS + "\n".join(lines)
    return replace(REQUEST, given={**REQUEST.given, "program": program}, **more)  # type: ignore[arg-type]


def telling(value: str, *lines: str, **more: object) -> RunRequest:
    """Return a request whose run says `value`, as JSON, when it has done this."""
    return performing(*lines, f"raise SettingsError(json.dumps({value}))", **more)


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it is not in time."""
    end = time.monotonic() + 8 * PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end
        # Another process does it.
        time.sleep(0.02)


def soon(path: Path) -> str:
    """Return a file's content, once it has some."""
    eventually(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def is_gone(number: int) -> bool:
    """Return whether a process has ended, whether or not its new parent knows yet."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
