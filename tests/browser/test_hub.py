"""The walkthrough as the server of a JupyterHub's user, with the command of docs/set-up.md."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page

from runbook_lib.run.journal import Journal
from tests.browser.jupyter import NO_CERTIFICATES, NOTEBOOK, OPERATOR, Lab, Walk
from tests.runs.conftest import ROOT, environment, settings_of
from tests.support.npm import installed
from tests.support.ports import free_ports
from tests.support.programs import needs

pytestmark = needs("node", "npm")

_PATIENCE_SECONDS = 240
_PATIENCE = _PATIENCE_SECONDS * 1000
STEP = "fb-01-log-in"
USER = "ann"
_DOCUMENTED = re.compile(r"^## On JupyterHub\n.*?^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_PROGRAM = "/srv/runbook/.venv/bin/runbook"
# What the machine of a test needs beside the documented lines; all addresses are on loopback.
_CONFIG = """
c.Spawner.args.append("--allow-root")
c.Spawner.start_timeout = c.Spawner.http_timeout = {patience}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = "{password}"
c.Authenticator.allowed_users = {{"{user}"}}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{homes}/{{username}}"
"""


def documented() -> str:
    """Return the documented lines of a hub's settings, with the program that is tested."""
    found = _DOCUMENTED.search((ROOT / "docs/set-up.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1].replace(_PROGRAM, str(Path(sys.executable).with_name("runbook")))


@dataclass
class Hub:
    """A JupyterHub with one user, whose home has the settings of a sandbox."""

    folder: Path
    lab: Lab  # the user's server, which the hub starts
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the hub's address."""
        return f"http://127.0.0.1:{self.lab.port}"

    @property
    def log(self) -> Path:
        """Return the log file of the hub, its proxy and the user's server."""
        return self.folder / "hub.log"

    def start(self) -> None:
        """Start the hub and its proxy, and wait until they answer."""
        config = self.folder / "jupyterhub_config.py"
        config.write_text(documented() + self._config(), encoding="utf-8")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", str(config)],
                cwd=self.folder,
                env=environment(),
                stdout=log,
                stderr=log,
            )
        self._wait()

    def stop(self) -> list[psutil.Process]:
        """Stop the hub; end and return what then still runs of all that it has started."""
        if self.process is None or self.process.poll() is not None:
            return []
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        self.process.wait(timeout=_PATIENCE_SECONDS)
        _, left = psutil.wait_procs(started, timeout=10)
        for one in left:
            one.kill()
        return left

    def _config(self) -> str:
        return _CONFIG.format(
            patience=_PATIENCE_SECONDS,
            port=self.lab.port,
            hub_port=self.lab.port + 1,
            proxy_port=self.lab.port + 2,
            proxy=installed() / ".bin" / "configurable-http-proxy",
            password=self.password,
            user=USER,
            homes=self.folder,
        )

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            # NOTE: the proxy answers before the hub does, with an error.
            with contextlib.suppress(httpx.TransportError):
                if self.get("/hub/login").status_code == 200:
                    return
            # Other processes, which do not say when they listen.
            time.sleep(0.1)
        raise AssertionError(
            f"JupyterHub does not answer: {self.log.read_text(encoding='utf-8')[-2000:]}"
        )

    def get(self, path: str) -> httpx.Response:
        """Return what somebody who is not logged in gets."""
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False, verify=NO_CERTIFICATES)


@pytest.fixture
def hub(sandbox: Any, tmp_path: Path) -> Iterator[Hub]:
    """Yield a JupyterHub; nothing that it has started outlives it."""
    home = tmp_path / USER
    settings = settings_of(sandbox, home).rename(home / ".env")
    hub = Hub(tmp_path, Lab(home, settings, base=f"/user/{USER}", port=free_ports(3)))
    try:
        hub.start()
        yield hub
    finally:
        left = hub.stop()
        print(hub.log.read_text(encoding="utf-8"))  # noqa: T201  (pytest shows it)
    assert left == []


def _log_in(page: Page, hub: Hub) -> None:
    page.goto(hub.url)
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(hub.password)
    page.get_by_role("button", name="Sign in").click()


# A hub starts three servers: `make matrices` has the time.
@pytest.mark.matrix(0)
def test_the_user_of_a_hub_lands_in_the_walkthrough(hub: Hub, page: Page) -> None:
    """
    Who logs in at the hub lands in the notebook, presses *Start* and confirms a step.

    The journal has the hub's user beside the name, and nobody else enters the server.
    """
    _log_in(page, hub)
    page.wait_for_url(f"{hub.lab.url}/doc/tree/walkthrough/{NOTEBOOK}", timeout=_PATIENCE)
    walk = Walk(page, hub.lab)
    walk.press_start()
    assert walk.attest(STEP) == "attested"

    (path,) = hub.lab.evidence.glob("*/facebook_marketing/journal.jsonl")
    (word,) = (one for one in Journal(path).read_all() if one.head.type == "step.attested")
    assert (word.head.step, word.event.by, word.event.login) == (STEP, OPERATOR, USER)
    assert hub.get(f"/user/{USER}/api/contents").status_code == 403
    assert hub.get(f"/user/{USER}/lab").headers["location"].startswith("/hub/api/oauth2/authorize")
