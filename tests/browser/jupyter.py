"""JupyterLab with the walkthrough, as a person has it: served, opened, clicked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Response, expect
from playwright.sync_api import TimeoutError as PatienceError

from runbook_lib.config.workspace import WORKING_COPIES
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import is_stale, notebook_name
from tests.runs.conftest import command, environment

_PATIENCE_SECONDS = 60
_PATIENCE = _PATIENCE_SECONDS * 1000
_TRIES = 3
_KERNEL_IS_IDLE = re.compile(r"\| Idle$")
NOTEBOOK = notebook_name(PROCEDURE)
OPERATOR = "Sandbox operator"
TENANT = "acme"
# What the servers here ask of whoever opens them.
TOKEN = "a-token-that-only-the-tests-know"
TOKEN_STEP = "test-04-user-token"
_AXE = """async () => (await axe.run(
    {include: [['.rb']]}, {runOnly: ['wcag2a', 'wcag2aa']})).violations"""
# What every notebook needs, whichever steps it shows.
_FRAME = ("title", "parameters", "open", "finish")
# Reading the certificates that it trusts takes a client longer than a request on loopback.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# `SCREENSHOTS=folder` keeps the pictures that the README shows.
_PICTURES = os.environ.get("SCREENSHOTS")


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture of what the person sees, where that is asked for."""
    if _PICTURES:
        page.screenshot(path=Path(_PICTURES) / f"{name}.png")


def serious_violations(page: Page, axe: str) -> list[tuple[Any, ...]]:
    """Return the violations in the panels that axe calls serious, or worse."""
    page.evaluate(axe)
    return [
        (one["id"], one["nodes"][0]["html"], one["nodes"][0]["any"])
        for one in page.evaluate(_AXE)
        if one["impact"] in ("serious", "critical")
    ]


def _is_saving(response: Response) -> bool:
    return response.request.method == "PUT" and "/api/contents/" in response.url


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Lab:
    """A JupyterLab of one project, which may be an empty folder; it can be started again."""

    project: Path
    env_file: Path
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    # Without one JupyterLab asks for nothing, which is less than people have.
    token: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def evidence(self) -> Path:
        """Return the folder of journals and evidence."""
        return self.project / "evidence"

    @property
    def notebook(self) -> Path:
        """Return the notebook that a person works in; `runbook lab` makes it."""
        return self.project / WORKING_COPIES / NOTEBOOK

    def show_only(self, *steps: str) -> None:
        """Delete the other steps' cells from the notebook, as a person may: it opens faster."""
        document = json.loads(self.notebook.read_text(encoding="utf-8"))
        _keep_cells(document, steps)
        self.notebook.write_text(json.dumps(document), encoding="utf-8")

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def log(self) -> Path:
        """Return what the server wrote."""
        return self.project / "lab.log"

    def start(self) -> None:
        """Serve, and wait until the server answers."""
        is_app = "--app" in self.arguments
        token = TOKEN if is_app else self.token
        own = (
            ("--no-browser", "--allow-root", f"--Voila.port={self.port}")
            if is_app
            else (
                *("--no-browser", "--allow-root", f"--ServerApp.port={self.port}"),
                *(() if self.token else ("--IdentityProvider.token=",)),
            )
        )
        if self.base:
            own += (f"--ServerApp.base_url={self.base}/",)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *command("lab", "--tenant", TENANT, "--env-file", str(self.env_file)),
                    *("--evidence", str(self.evidence), *self.arguments, *own),
                ],
                cwd=self.project,
                # The settings of JupyterLab are the test's own, not those of whoever runs it.
                env=environment(
                    **{
                        "JUPYTER_CONFIG_DIR": str(self.project.parent / "jupyter"),
                        **({"JUPYTER_TOKEN": token} if token else {}),
                        **self.variables,
                    }
                ),
                stdout=log,
                stderr=log,
            )
        self._wait(f"{self.url}/api")

    def leave_out(self, *variables: str) -> None:
        """Take variables out of the settings file."""
        leave_out(self.env_file, variables)

    def end_kernels(self, beginning: str) -> None:
        """End the kernels of the notebooks whose names begin so, as closing them would."""
        asked: dict[str, Any] = {
            "headers": {"authorization": f"token {self.token}"},
            "trust_env": False,
            "verify": NO_CERTIFICATES,
            "timeout": _PATIENCE_SECONDS,
        }
        for session in httpx.get(f"{self.url}/api/sessions", **asked).json():
            if Path(session["path"]).name.startswith(beginning):
                httpx.delete(f"{self.url}/api/sessions/{session['id']}", **asked)

    def stop(self) -> None:
        """Stop the server and its kernels."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=_PATIENCE_SECONDS)

    def _wait(self, url: str) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                answer = httpx.get(url, timeout=5, trust_env=False, verify=NO_CERTIFICATES)
                if answer.status_code < 500:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        msg = f"JupyterLab never answered: {self.log.read_text(encoding='utf-8')[-2000:]}"
        raise AssertionError(msg)


Serve = Callable[..., Lab]


@dataclass(frozen=True)
class Desk:
    """
    One person's notebook, journal and settings, on a server that others use as well.

    The notebook is a copy whose first cell names the other two, as a person would type it. It
    may show some of the steps only: then opening it takes less.
    """

    lab: Lab
    name: str
    env_file: Path
    parameters: Mapping[str, str]

    @property
    def url(self) -> str:
        """Return the server's address."""
        return self.lab.url

    @property
    def token(self) -> str:
        """Return what the server asks for."""
        return self.lab.token

    @property
    def evidence(self) -> Path:
        """Return the folder of journals and evidence."""
        return self.lab.project / f"{self.name}-evidence"

    @property
    def notebook(self) -> Path:
        """Return this person's copy of the notebook."""
        return self.lab.notebook.with_name(f"{self.name}.ipynb")

    def copy_notebook(self, name: str) -> Path:
        """Return another copy of it, which gets a kernel of its own."""
        return Path(
            shutil.copy(self.notebook, self.notebook.with_name(f"{self.name}-{name}.ipynb"))
        )

    def leave_out(self, *variables: str) -> None:
        """Take variables out of the settings file."""
        leave_out(self.env_file, variables)

    def write(self, steps: tuple[str, ...]) -> None:
        """Write the notebook, with these steps or, where none is named, with all."""
        document = json.loads(self.lab.notebook.read_text(encoding="utf-8"))
        if steps:
            _keep_cells(document, steps)
        _parameters_cell(document)["source"] += self._typed()
        self.notebook.write_text(json.dumps(document), encoding="utf-8")

    def leave(self) -> None:
        """End the kernels of this notebook and its copies."""
        self.lab.end_kernels(self.name)

    def is_as_built(self, folder: Path) -> bool:
        """Return whether all sources, but for what was typed, are those that were built."""
        document = json.loads(self.notebook.read_text(encoding="utf-8"))
        cell = _parameters_cell(document)
        cell["source"] = "".join(cell["source"]).removesuffix("".join(self._typed()))
        path = folder / self.notebook.name
        path.write_text(json.dumps(document), encoding="utf-8")
        return not is_stale(PROCEDURE, path)

    def _typed(self) -> list[str]:
        given = {"evidence": str(self.evidence), "env_file": str(self.env_file), **self.parameters}
        return [f"\n{name} = {value!r}" for name, value in given.items()]


Desks = Callable[..., Desk]


def _keep_cells(document: Any, steps: tuple[str, ...]) -> None:
    kept = {*_FRAME, *steps, *(f"{step}-text" for step in steps)}
    document["cells"] = [cell for cell in document["cells"] if cell["id"] in kept]


def _parameters_cell(document: Any) -> Any:
    return next(cell for cell in document["cells"] if cell["id"] == "parameters")


def leave_out(env_file: Path, variables: tuple[str, ...]) -> None:
    """Take variables out of a settings file."""
    lines = env_file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition("=")[0] not in variables]
    env_file.write_text("".join(kept), encoding="utf-8")


@dataclass
class Walk:
    """A person in front of a notebook of the walkthrough."""

    page: Page
    lab: Lab | Desk

    def open(self, notebook: str = "") -> None:
        """Open the notebook, or another copy of it, in JupyterLab and run it all."""
        token = f"&token={self.lab.token}" if self.lab.token else ""
        name = notebook or self.lab.notebook.name
        self.page.goto(f"{self.lab.url}/lab/tree/{WORKING_COPIES}/{name}?reset{token}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=_PATIENCE)
        # NOTE: JupyterLab drops what is run before its connection to a new kernel stands, and only
        # the status bar tells when it does; on a slow machine not even that is enough.
        expect(self.page.get_by_text(_KERNEL_IS_IDLE)).to_be_visible(timeout=_PATIENCE)
        for _ in range(_TRIES):
            self.answer_dialog()
            self.menu("Run", "Run All Cells")
            with contextlib.suppress(PatienceError):
                self.page.wait_for_selector(".rb-header", state="attached", timeout=15_000)
                break
        self.ready()

    def ready(self) -> None:
        """Wait until every panel of the notebook can be used."""
        expect(self.page.locator("#runbook-finish")).to_be_attached(timeout=_PATIENCE)
        expect(self.page.locator(".rb-header")).to_be_attached(timeout=_PATIENCE)

    def answer_dialog(self) -> None:
        """Say yes to what JupyterLab asks on a slow machine, and show what it was."""
        dialog = self.page.locator(".jp-Dialog")
        if dialog.count():
            print("JupyterLab asks:", dialog.first.inner_text())  # noqa: T201  (pytest shows it)
            dialog.first.locator(".jp-mod-accept").click()

    def menu(self, *names: str) -> None:
        """Choose an entry of JupyterLab's menu."""
        self.page.bring_to_front()
        self.page.get_by_role("menuitem", name=names[0], exact=True).click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()

    def choose_theme(self, name: str) -> None:
        """Choose a theme of JupyterLab's, and wait until it is drawn."""
        self.menu("Settings", "Theme", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def restart_kernel(self) -> None:
        """Restart the kernel and run everything again."""
        self.page.evaluate("document.querySelectorAll('.rb').forEach(one => one.id += '-before')")
        self.menu("Kernel", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(self.page.locator("[id$='-before']")).to_have_count(0, timeout=_PATIENCE)
        self.ready()
        self.is_idle()

    def save(self) -> None:
        """Save the notebook, and wait until the server has it."""
        with self.page.expect_response(_is_saving):
            self.menu("File", "Save Notebook")

    def panel(self, step: str) -> Locator:
        """Return a step's panel, scrolled into view, in the tab that is looked at."""
        # NOTE: Chromium draws a tab in the background once a second, and a test waits for drawings.
        self.page.bring_to_front()
        found = self.page.locator(f"#runbook-{step}")
        found.scroll_into_view_if_needed()
        return found

    def keep_picture(self, step: str, name: str) -> None:
        """Keep a picture of a step, its prose first, where that is asked for."""
        # NOTE: JupyterLab measures what comes into view only then, and what is above moves it.
        for _ in range(_TRIES if _PICTURES else 0):
            self.panel(step).evaluate(
                "panel => panel.closest('.jp-Cell').previousElementSibling.scrollIntoView()"
            )
            self.page.wait_for_timeout(200)
        keep_picture(self.page, name)

    def fill(self, step: str, **values: str) -> None:
        """Type into a step's inputs."""
        for name, value in values.items():
            self.panel(step).locator(f'input[data-name="{name}"]').first.fill(value)

    def check(self, step: str) -> str:
        """Press *Check* (or *Save*) and return the outcome once it is shown."""
        panel = self.panel(step)
        with self.work(step):
            panel.locator('button[data-action="check"]').click()
        return str(panel.get_attribute("data-outcome"))

    def copied(self, button: Locator) -> str:
        """Press a button that copies, and return what the clipboard holds once it says so."""
        handle = button.element_handle()  # its name may change with what it says
        button.click()
        self.page.wait_for_function("button => button.textContent === 'Copied'", arg=handle)
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    @contextmanager
    def work(self, step: str) -> Iterator[None]:
        """Wait at the end until what was asked of a panel in between is done."""
        panel = self.panel(step)
        before = panel.get_attribute("data-finished") or ""
        yield
        expect(panel).not_to_have_attribute("data-finished", before, timeout=_PATIENCE)
        expect(panel).to_have_attribute("aria-busy", "false", timeout=_PATIENCE)

    def attest(self, step: str, note: str = "", files: Any = None, by: str = OPERATOR) -> str:
        """Say that a step is done."""
        return self.say(step, "attest", note, files, by)

    def skip(self, step: str, reason: str) -> str:
        """Leave a step out."""
        return self.say(step, "skip", reason)

    def say(
        self, step: str, action: str, note: str = "", files: Any = None, by: str = OPERATOR
    ) -> str:
        """Fill in one of the forms of a step's panel, and return the outcome."""
        panel = self.panel(step)
        panel.locator(f'button[data-action="{action}"]').click()
        form = panel.locator(f'.rb-form:has(button[data-action="confirm-{action}"])')
        form.get_by_label("Your name").fill(by)
        form.get_by_label(re.compile("^(Note|Reason)$")).fill(note)
        if files:
            form.get_by_label("Screenshot").set_input_files(files)
        with self.work(step):
            form.get_by_role("button", name="Confirm").click()
        self.reads(step, "Recorded.")
        return str(panel.get_attribute("data-outcome"))

    def sign_in(self, given: Mapping[str, Any], way: str = "consent") -> Page:
        """
        Open the consent page from the step of the token; log in where that is asked.

        `way` is the link: "consent", or "consent-paste" whose answer is pasted.
        """
        panel = self.panel(TOKEN_STEP)
        with self.work(TOKEN_STEP):
            panel.get_by_role("button", name="Sign in with Facebook").click()
        with self.page.context.expect_page() as opened:
            panel.locator(f"a[data-{way}]").click()
        dialog: Page = opened.value
        email = dialog.get_by_label("Email address")
        expect(dialog.get_by_role("heading", level=1)).to_be_visible()
        if email.is_visible():
            email.fill(given["login_email"])
            dialog.get_by_label("Password").fill(given["login_password"])
            dialog.get_by_role("button", name="Log in").click()
        return dialog

    def granted_address(self, dialog: Page) -> str:
        """Grant what is asked for, and return the address where the browser ends."""
        dialog.get_by_role("button", name="Continue").click()
        address = dialog.get_by_text("/connector/callback?code=").first.inner_text().strip()
        dialog.close()
        return address

    def use_address(self, address: str) -> None:
        """Paste the address where the browser ended."""
        panel = self.panel(TOKEN_STEP)
        panel.get_by_label("Address to paste").fill(address)
        with self.work(TOKEN_STEP):
            panel.get_by_role("button", name="Use this address").click()

    def reads(self, step: str, text: str) -> None:
        """Wait for a text in a step's panel."""
        expect(self.panel(step).get_by_text(text).first).to_be_visible(timeout=_PATIENCE)

    def is_idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        expect(self.page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=_PATIENCE
        )

    def seal(self) -> tuple[str, str]:
        """Seal the evidence; return what was said and the link to the bundle."""
        end = self.page.locator("#runbook-finish")
        end.scroll_into_view_if_needed()
        end.get_by_role("button", name="Seal the evidence").click()
        link = end.locator("a[data-bundle]")
        expect(link).to_be_visible(timeout=_PATIENCE * 2)
        return end.locator(".rb-message").inner_text(), str(link.get_attribute("href"))
