"""The canary: no secret in any file, line of output, exception or command line of a run."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.sandbox.server import Sandbox
from tests.runs.conftest import Process, environment, settings_of

SECRETS = ("app_secret", "cyclr_client_secret", "user_access_token", "page_access_token")


def _forms(secret: str) -> Iterator[str]:
    """Yield what a leak could look like; written apart from the redactor on purpose."""
    raw = secret.encode()
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield raw.hex()
    yield json.dumps(secret)[1:-1]
    yield html.escape(secret)
    yield secret[:-4]
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + raw + b"x" * (-(shift + len(raw)) % 3)).decode()
        yield whole[4:-4]


def _found(secrets: dict[str, str], text: str) -> list[str]:
    return [
        f"{name} ({form[:3]}…)"
        for name, secret in secrets.items()
        for form in _forms(secret)
        if form in text
    ]


class _CommandLines(threading.Thread):
    """Collects every command line of a process and its children while it lives."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self._process = psutil.Process(pid)

    def run(self) -> None:
        while self._process.is_running():
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    self.seen.add("\0".join(process.cmdline()))
            except psutil.Error:
                return
            time.sleep(0.02)


@pytest.mark.parametrize(
    "scenario",
    [
        "approved",
        "wrong-secret",
        "unknown-app",
        "redirect-missing",
        "permission-missing",
        "cyclr-mismatch",
        "cyclr-ip-blocked",
        "token-expired",
        "flaky",
    ],
)
def test_no_secret_is_left_anywhere(
    scenario: str, start: Callable[..., Process], tmp_path: Path
) -> None:
    """In each scenario no credential, in no encoding, is left where somebody could read it."""

    with Sandbox(scenario) as sandbox:
        settings = settings_of(sandbox, tmp_path / scenario)
        secrets = {name: str(sandbox.description[name]) for name in SECRETS}
        run = start("--env-file", str(settings))
        watcher = _CommandLines(run.popen.pid)
        watcher.start()
        _, output, errors = run.finish()
        watcher.join()
    assert len(watcher.seen) >= 2, "the kernel's command line was not seen"
    assert _found(secrets, output + errors) == []
    assert _found(secrets, "\n".join(watcher.seen)) == []
    files = [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".ipynb", ".json", ".jsonl"}
    for path in files:
        assert _found(secrets, path.read_text(encoding="utf-8", errors="replace")) == [], path.name


def test_no_token_that_was_issued_on_the_way_is_left(
    start: Callable[..., Process], sandbox: Any, tmp_path: Path
) -> None:
    """Tokens that the remote systems issued during the run are redacted as well."""

    run = start()
    assert run.finish()[0] == 0
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (tmp_path / "evidence").rglob("*")
        if path.is_file()
    )
    assert "**********" in text
    app_id = sandbox.description["app_id"]
    assert f"{app_id}|" not in text
    assert urllib.parse.quote(f"{app_id}|", safe="") not in text
    assert re.search(r"\bEAA[0-9A-Za-z]{20}", text) is None
    assert "Bearer" not in text


def test_no_kernel_is_given_what_its_steps_do_not_need(start: Callable[..., Process]) -> None:
    """While a run is under way its kernels' environment lacks what only sealing needs."""

    names = (
        *("RUNBOOK_SIGNING_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AZURE_STORAGE_CONNECTION_STRING", "GITHUB_TOKEN", "JUPYTERHUB_API_TOKEN", "OTHER"),
    )
    run = start(env=environment(**dict.fromkeys(names, "canary horse battery")))
    run.wait_for("step.started", "fb-01-log-in")

    held = run.kernel().environ()

    assert held["PATH"]
    assert [each for each in held if "canary" in held[each]] == []
    assert run.finish()[0] == 0


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """The search finds a secret in each encoding that it knows."""

    secret = "5ecret/with+odd&characters"
    for text in (secret, urllib.parse.quote(secret, safe=""), secret.encode().hex()):
        assert _found({"it": secret}, f"before {text} after")
    assert _found({"it": secret}, base64.b64encode(f"before {secret} after".encode()).decode())
