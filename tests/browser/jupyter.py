"""JupyterLab with the walkthrough, as a user has it: served, opened, clicked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from playwright.sync_api import Locator, Page, Response, expect
from playwright.sync_api import TimeoutError as PatienceError

from runbook_lib.config.workspace import WORKING_COPIES
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import is_stale, notebook_name
from tests.runs.conftest import command, environment
from tests.support.ports import free_ports

_PATIENCE_SECONDS = 240
_PATIENCE = _PATIENCE_SECONDS * 1000
_TRIES = 3
KERNEL_IS_IDLE = re.compile(r"\| Idle$")
NOTEBOOK = notebook_name(PROCEDURE)
OPERATOR = "Sandbox operator"
TENANT = "acme"
# The token of the servers here.
TOKEN = "a-token-that-only-the-tests-know"
TOKEN_STEP = "test-04-user-token"
CUSTOMER_STEP = "test-06-customer-consent"
_AXE = """async () => (await axe.run(
    {include: [['.rb']]},
    {runOnly: ['wcag2a', 'wcag2aa'], resultTypes: ['violations']})).violations"""
# Titles and texts of steps in the notebook that are seen beside their cards, which show both.
TEXTS_BESIDE_CARDS = """() => [...document.querySelectorAll("[data-step]")].map((panel) => {
  const cell = (panel.closest("[cell-index]") ?? panel.closest(".jp-Cell")).previousElementSibling;
  const text = cell.querySelector(".jp-RenderedMarkdown");
  return text.checkVisibility({ visibilityProperty: true }) ? panel.dataset.step : "";
}).filter(Boolean)"""
IS_BELOW_HEADER = """heading => heading.getBoundingClientRect().top
    >= document.querySelector('.rb-header').getBoundingClientRect().bottom"""
# What a person sees of the page: the words, not those of a closed fold nor those for a screen
# reader alone, and whatever can be pressed or filled in.
COUNTS = """() => {
  const places = "#rendered_cells, .jp-NotebookPanel-notebook";
  const heard = '.rb-heard, .rb-panel[data-open="false"] > [role="status"]';
  const roots = [...document.querySelectorAll(places)];
  const isShown = (node) => node.checkVisibility({ visibilityProperty: true })
    && !node.closest(`${heard}, .jp-CodeCell .jp-InputArea`);
  // What scrolls away is cut by its area, and covered by the line on top.
  const area = document.querySelector(".jp-WindowedPanel-outer");
  const end = area ? area.getBoundingClientRect().bottom : innerHeight;
  const line = document.querySelector(".rb-header").getBoundingClientRect();
  const isInView = (node) => {
    const { top, bottom, left, right } = node.getBoundingClientRect();
    const begin = node.closest(".rb-header") ? 0 : line.bottom;
    return bottom > begin && top < end && right > 0 && left < innerWidth;
  };
  const words = (root, isWanted = () => true) => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    let count = 0;
    while (texts.nextNode()) {
      const { parentElement: parent, textContent } = texts.currentNode;
      if (parent.closest("script, style, template")) continue;
      if (!isShown(parent) || !isWanted(parent)) continue;
      count += (textContent.match(/\\S+/g) ?? []).length;
    }
    return count;
  };
  const sum = (isWanted) => roots.reduce((total, root) => total + words(root, isWanted), 0);
  const kinds = "button, a[href], input, textarea, summary";
  const controls = roots.flatMap((root) => [...root.querySelectorAll(kinds)]).filter(isShown);
  const open = [...document.querySelectorAll('.rb-panel[data-open="true"][data-step]')];
  return {
    words: sum(), first_words: sum(isInView), controls: controls.length,
    first_controls: controls.filter(isInView).length,
    open: Object.fromEntries(open.map((panel) => [panel.dataset.step, words(panel)])),
  };
}"""
# The cells that every notebook needs.
_FRAME = ("title", "parameters", "open", "finish", "steps")
# Loading the trusted certificates takes a client longer than a request on loopback.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# `SCREENSHOTS=folder` saves the README's screenshots.
_PICTURES = os.environ.get("SCREENSHOTS")
# A picture shows where evidence is in a project, not where that is on this machine.
_WITHOUT_FOLDER = """document.querySelectorAll("code").forEach(code => {
    if (code.textContent.startsWith("/") && code.textContent.includes("/evidence/"))
        code.textContent = code.textContent.replace(/^.*\\/evidence\\//, "evidence/");
})"""


def keep_picture(page: Page, name: str) -> None:
    """Save a screenshot if `SCREENSHOTS` is set."""
    if _PICTURES:
        page.evaluate(_WITHOUT_FOLDER)
        page.screenshot(path=Path(_PICTURES) / f"{name}.png")


def show_all_steps(page: Page) -> None:
    """Show the lines of the steps that are not open, as a person does by a button."""
    # NOTE: while no card is open, all lines are shown, and there is no button.
    more = page.locator('[data-action="steps"][aria-expanded="false"]').filter(visible=True)
    if more.count():
        more.click()


def serious_violations(page: Page, axe: str) -> list[tuple[Any, ...]]:
    """Return the violations in the panels that axe calls serious or critical."""
    page.evaluate(axe)
    return [
        (one["id"], one["nodes"][0]["html"], one["nodes"][0]["any"])
        for one in page.evaluate(_AXE)
        if one["impact"] in ("serious", "critical")
    ]


def _is_saving(response: Response) -> bool:
    return response.request.method == "PUT" and "/api/contents/" in response.url


@dataclass
class Lab:
    """A JupyterLab of one project folder; it can be started again. A `with` block starts it."""

    project: Path
    """The folder with notebooks, settings and evidence."""
    env_file: Path
    """The settings file."""
    arguments: tuple[str, ...] = ()
    """Further arguments for `runbook lab`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the server."""
    base: str = ""
    """The base URL of the server, as behind a proxy; empty for none."""
    token: str = ""
    """The token that the server asks for; without one it needs none, unlike a user's."""
    port: int = field(default_factory=lambda: free_ports(1))
    """The port on loopback."""
    process: subprocess.Popen[bytes] | None = None
    """The running server; `None` while it is stopped."""

    @property
    def evidence(self) -> Path:
        """Return the folder of journals and evidence."""
        return self.project / "evidence"

    @property
    def notebook(self) -> Path:
        """Return the notebook that a person works in; `runbook lab` creates it."""
        return self.project / WORKING_COPIES / NOTEBOOK

    def show_only(self, *steps: str) -> None:
        """Delete the other steps' cells from the notebook, so that it opens faster."""
        document = json.loads(self.notebook.read_text(encoding="utf-8"))
        _keep_cells(document, steps)
        self.notebook.write_text(json.dumps(document), encoding="utf-8")

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def log(self) -> Path:
        """Return the server's log file."""
        return self.project / "lab.log"

    @property
    def program(self) -> list[str]:
        """Return the command that serves it, without options of the server's own."""
        named = ("--tenant", TENANT, "--env-file", str(self.env_file))
        return command("lab", *named, "--evidence", str(self.evidence))

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        is_app = "--app" in self.arguments
        token = TOKEN if is_app else self.token
        own: tuple[str, ...] = ("--no-browser", "--allow-root", f"--ServerApp.port={self.port}")
        if not (is_app or self.token):
            own += ("--IdentityProvider.token=",)
        if self.base:
            own += (f"--ServerApp.base_url={self.base}/",)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, *self.arguments, *own],
                cwd=self.project,
                # JupyterLab's settings are the test's own, not the user's.
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
        """Remove variables from the settings file."""
        leave_out(self.env_file, variables)

    def end_kernels(self, beginning: str) -> None:
        """End the kernels of the notebooks whose names have this beginning."""
        asked: dict[str, Any] = {
            "headers": {"authorization": f"token {self.token}"},
            "trust_env": False,
            "verify": NO_CERTIFICATES,
            "timeout": _PATIENCE_SECONDS,
        }
        for session in httpx.get(f"{self.url}/api/sessions", **asked).json():
            if Path(session["path"]).name.startswith(beginning):
                httpx.delete(f"{self.url}/api/sessions/{session['id']}", **asked)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

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
                # Another process, which does not say when it listens.
                time.sleep(0.1)
        raise AssertionError(
            f"JupyterLab does not answer: {self.log.read_text(encoding='utf-8')[-2000:]}"
        )


Serve = Callable[..., Lab]


@dataclass(frozen=True)
class Desk:
    """
    One person's notebook, journal and settings, on a shared server.

    The notebook is a copy whose first cell names the other two, as a person types it. It
    may have only some of the steps, so that it opens faster.
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
        """Return the server's token."""
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
        """Return another copy of the notebook, which has its own kernel."""
        return Path(
            shutil.copy(self.notebook, self.notebook.with_name(f"{self.name}-{name}.ipynb"))
        )

    def leave_out(self, *variables: str) -> None:
        """Remove variables from the settings file."""
        leave_out(self.env_file, variables)

    def write(self, steps: tuple[str, ...]) -> None:
        """Write the notebook with these steps, by default with all."""
        document = json.loads(self.lab.notebook.read_text(encoding="utf-8"))
        if steps:
            _keep_cells(document, steps)
        _parameters_cell(document)["source"] += self._typed()
        self.notebook.write_text(json.dumps(document), encoding="utf-8")

    def leave(self) -> None:
        """End the kernels of this notebook and its copies."""
        self.lab.end_kernels(self.name)

    def is_as_built(self, folder: Path) -> bool:
        """Return whether all sources are as built, except for the typed parameters."""
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
    """Remove variables from a settings file."""
    lines = env_file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition("=")[0] not in variables]
    env_file.write_text("".join(kept), encoding="utf-8")


@dataclass
class Walk:
    """A person in front of a notebook of the walkthrough."""

    page: Page
    lab: Lab | Desk

    def load(self, notebook: str = "") -> None:
        """Open the notebook, or another copy of it, in JupyterLab."""
        token = f"&token={self.lab.token}" if self.lab.token else ""
        name = notebook or self.lab.notebook.name
        self.page.bring_to_front()
        self.page.goto(f"{self.lab.url}/doc/tree/{WORKING_COPIES}/{name}?reset{token}")

    def open(self, notebook: str = "") -> None:
        """Open the notebook, or another copy of it, in JupyterLab and run it all."""
        self.load(notebook)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=_PATIENCE)
        # NOTE: JupyterLab drops cells that are run before it is connected to a new kernel, which
        # only the status bar shows; on a slow machine, even that is not enough.
        self.page.get_by_text(KERNEL_IS_IDLE).wait_for(timeout=_PATIENCE)
        for _ in range(_TRIES):
            self.answer_dialog()
            self.menu("Run", "Run All Cells")
            with contextlib.suppress(PatienceError):
                self.page.wait_for_selector(".rb-header", state="attached", timeout=30_000)
                break
        self.ready()

    def press_start(self) -> None:
        """Press *Start* in the open notebook, and wait for the panels."""
        # NOTE: JupyterLab drops cells that are run before it is connected to the kernel.
        self.page.get_by_text(KERNEL_IS_IDLE).wait_for(timeout=_PATIENCE)
        self.page.get_by_role("button", name="Start", exact=True).click()
        self.ready()

    def ready(self) -> None:
        """Wait until every panel of the notebook can be used."""
        # NOTE: each try of an `expect` that fails describes the whole page, which takes long here.
        for selector in ("#runbook-finish", ".rb-header"):
            self.page.locator(selector).wait_for(state="attached", timeout=_PATIENCE)

    def answer_dialog(self) -> None:
        """Accept a dialog that JupyterLab shows on a slow machine, and print it."""
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
        # NOTE: its style sheet is loaded and every panel drawn again, beside other tests.
        drawn = self.page.locator(f'body[data-jp-theme-name="{name}"]')
        drawn.wait_for(state="attached", timeout=_PATIENCE)

    def restart_kernel(self) -> None:
        """Restart the kernel and run everything again."""
        self.page.evaluate("document.querySelectorAll('.rb').forEach(one => one.id += '-before')")
        self.menu("Kernel", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(self.page.locator("[id$='-before']")).to_have_count(0, timeout=_PATIENCE)
        self.ready()
        self.is_idle()

    def save(self) -> None:
        """Save the notebook, and wait until the server has saved it."""
        with self.page.expect_response(_is_saving):
            self.menu("File", "Save Notebook")

    def panel(self, step: str) -> Locator:
        """Return a step's panel, open and scrolled into view, in the foreground tab."""
        # NOTE: Chromium draws a background tab only once per second, and tests wait for drawing.
        self.page.bring_to_front()
        panel = self.page.locator(f"#runbook-{step}")
        if panel.get_attribute("data-open") == "false":
            show_all_steps(self.page)
        panel.scroll_into_view_if_needed()
        if panel.get_attribute("data-open") == "false":
            panel.locator(".rb-fold").click()
            expect(panel).to_have_attribute("data-open", "true")
        return panel

    def card(self, step: str) -> Locator:
        """Return a step's panel, open, once the kernel has made what the step shows."""
        panel = self.panel(step)
        panel.locator(".rb-heading").wait_for(state="attached", timeout=_PATIENCE)
        return panel

    def action(self, step: str, name: str) -> Locator:
        """Return a button of a step's panel, with the menu opened if it is there."""
        panel = self.card(step)
        button = panel.locator(f'[data-action="{name}"]')
        if not button.is_visible():
            panel.locator(".rb-menu").evaluate("menu => { menu.open = true; }")
        return button

    def keep_picture(self, step: str, name: str) -> None:
        """Save a screenshot of a step, from its prose on, if `SCREENSHOTS` is set."""
        # NOTE: JupyterLab measures cells only when they come into view, which then move.
        for _ in range(_TRIES if _PICTURES else 0):
            self.panel(step).evaluate("panel => panel.scrollIntoView()")
            self.page.wait_for_timeout(200)
        keep_picture(self.page, name)

    def keep_pictures(self, step: str, name: str) -> None:
        """Save screenshots of a step in both themes, one of them in a narrow window."""
        if not _PICTURES:
            return
        for theme, width in (("Light", 1200), ("Dark", 800)):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.choose_theme(f"JupyterLab {theme}")
            self.keep_picture(step, f"{name}-{theme.lower()}-{width}")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.choose_theme("JupyterLab Light")

    def fill(self, step: str, **values: str) -> None:
        """Type into a step's inputs."""
        for name, value in values.items():
            self.panel(step).locator(f'input[data-name="{name}"]').first.fill(value)

    def tick(self, step: str, name: str) -> None:
        """Tick a step's checkbox."""
        self.panel(step).locator(f'input[data-name="{name}"]').check()

    def press(self, step: str, name: str) -> None:
        """Press a button of a step's panel."""
        for _ in range(_TRIES):
            # NOTE: an open step is looked at by itself, which may move the button to the menu.
            with contextlib.suppress(PatienceError):
                self.action(step, name).click(timeout=5_000)
                return
        self.action(step, name).click()

    def check(self, step: str) -> str:
        """Press *Check* (or *Save*) and return the outcome once it is shown."""
        was_open = self.panel(step).locator(".rb-heading").count()
        panel = self.card(step)
        if not was_open:
            # NOTE: a step that opens is looked at by itself, whose end is not the end of the press.
            self.page.wait_for_timeout(500)
        expect(panel).to_have_attribute("aria-busy", "false", timeout=_PATIENCE)
        with self.work(step):
            has_check = panel.locator('[data-action="check"]').count()
            before = panel.get_attribute("data-finished") or ""
            for _ in range(_TRIES):
                self.press(step, "check" if has_check else "save")
                # NOTE: a card that moves while it is drawn takes the button from under the pointer.
                with contextlib.suppress(AssertionError):
                    expect(panel).not_to_have_attribute("data-finished", before, timeout=20_000)
                    break
        return str(panel.get_attribute("data-outcome"))

    def copied(self, button: Locator) -> str:
        """Press a button that copies, and return the clipboard's text once the button says so."""
        handle = button.element_handle()  # its name may change with its text
        button.click()
        self.page.wait_for_function("button => button.textContent === 'Copied'", arg=handle)
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    @contextmanager
    def work(self, step: str) -> Iterator[None]:
        """Wait at the end until the panel's action is finished."""
        panel = self.panel(step)
        before = panel.get_attribute("data-finished") or ""
        yield
        expect(panel).not_to_have_attribute("data-finished", before, timeout=_PATIENCE)
        expect(panel).to_have_attribute("aria-busy", "false", timeout=_PATIENCE)

    def attest(self, step: str, note: str = "", files: Any = None, by: str = OPERATOR) -> str:
        """Confirm that a step is done."""
        return self.say(step, "attest", note, files, by)

    def skip(self, step: str, reason: str) -> str:
        """Skip a step."""
        return self.say(step, "skip", reason)

    def form(self, step: str, action: str) -> Locator:
        """Return the form of a step's panel in which `action` is said, opened, with it chosen."""
        panel = self.card(step)
        option = panel.locator(f'[data-option="{action}"]')
        name = "answer" if option.count() else action
        form = panel.locator(f'.rb-form:has(button[data-action="confirm-{name}"])')
        for _ in range(_TRIES):
            if form.is_visible():
                break
            # NOTE: a second press of this button closes the form that the first one opened.
            self.press(step, name)
            with contextlib.suppress(AssertionError):
                expect(form).to_be_visible(timeout=5_000)
        if option.count():
            option.check()
        return form

    def show_details(self, step: str) -> None:
        """Open the fold with what a check found beside its sentence: tables, notes, limits."""
        self.panel(step).locator(".rb-found").evaluate("fold => { fold.open = true; }")

    def notes(self, step: str, form: Locator) -> Locator:
        """Return where a form's note is written: in the form, or in the card's fold, opened."""
        if form.get_by_label("Reason", exact=True).count():
            return form
        panel = self.panel(step)
        panel.locator(".rb-menu").evaluate("menu => { menu.open = true; }")
        return panel.locator("[data-aside]:visible")

    def say(
        self, step: str, action: str, note: str = "", files: Any = None, by: str = OPERATOR
    ) -> str:
        """Fill in a form of a step's panel, and return the outcome."""
        panel = self.panel(step)
        form = self.form(step, action)
        confirm = form.locator('button[data-action^="confirm-"]')
        if not confirm.inner_text().startswith(f"{by} "):
            if form.locator('[data-action="not-you"]').is_visible():
                form.locator('[data-action="not-you"]').click()
            elif not form.get_by_label("Your name").is_visible():
                confirm.click()  # then it asks for the name
            form.get_by_label("Your name").fill(by)
        if note or files:
            notes = self.notes(step, form)
            notes.get_by_label(re.compile("^(Note|Reason|The reason given)$")).fill(note)
            if files:
                notes.get_by_label("Screenshot").set_input_files(files)
        before = panel.get_attribute("data-written") or ""
        with self.work(step):
            confirm.click()
        # NOTE: what has ended may be the look that a window makes when it comes back.
        recorded = panel.locator(f'xpath=self::*[@data-written!="{before}"]')
        refused = panel.locator('.rb-message[data-error="true"], .rb-problem').filter(visible=True)
        expect(recorded.or_(refused).first).to_be_attached(timeout=_PATIENCE)
        expect(panel).to_have_attribute("aria-busy", "false", timeout=_PATIENCE)
        return str(panel.get_attribute("data-outcome"))

    def ask_consent(self, step: str = TOKEN_STEP) -> Locator:
        """Press *Sign in with Facebook*, and return the form with the ways to consent."""
        with self.work(step):
            self.press(step, "consent")
        return self.panel(step).locator(".rb-form:has(a[data-consent-paste])")

    def sign_in(
        self, given: Mapping[str, Any], way: str = "consent-paste", step: str = TOKEN_STEP
    ) -> Page:
        """
        Open the consent page from the token's step; log in if it asks for that.

        `way` is the link: "consent-paste", whose redirect is pasted, or "consent",
        which returns the browser to this machine.
        """
        form = self.ask_consent(step)
        with self.page.context.expect_page() as opened:
            form.locator(f"a[data-{way}]").click()
        dialog: Page = opened.value
        email = dialog.get_by_label("Email address")
        expect(dialog.get_by_role("heading", level=1)).to_be_visible()
        if email.is_visible():
            email.fill(given["login_email"])
            dialog.get_by_label("Password").fill(given["login_password"])
            dialog.get_by_role("button", name="Log in").click()
        return dialog

    def granted_address(self, dialog: Page) -> str:
        """Grant the permissions, and return the address of the redirect."""
        dialog.get_by_role("button", name="Continue").click()
        address = dialog.get_by_text("/connector/callback?code=").first.inner_text().strip()
        dialog.close()
        return address

    def use_address(self, address: str, step: str = TOKEN_STEP) -> None:
        """Paste the address of the redirect."""
        panel = self.panel(step)
        panel.get_by_label("Address to paste").fill(address)
        with self.work(step):
            panel.get_by_role("button", name="Use this address").click()

    def link(self, step: str, label: str) -> Locator:
        """Return a link of a step's panel by its label."""
        return self.panel(step).get_by_role("link", name=f"{label} ↗", exact=True)

    def reads(self, step: str, text: str) -> None:
        """Wait for a text in a step's panel."""
        shown = self.panel(step).get_by_text(text).filter(visible=True)
        shown.first.wait_for(timeout=_PATIENCE)

    def is_idle(self) -> None:
        """Wait until the kernel is idle."""
        expect(self.page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=_PATIENCE
        )

    def seal(self) -> tuple[str, str]:
        """Seal the evidence, whatever is open; return the message and the link to the bundle."""
        end = self.page.locator("#runbook-finish")
        end.scroll_into_view_if_needed()
        end.locator('[data-action="seal"]').click()
        link = end.locator("a[data-bundle]")
        anyway = end.locator('[data-action="seal-anyway"]')
        # NOTE: the link may be that of an earlier bundle.
        sealed = end.get_by_text(re.compile("^The run is "))
        sealed.or_(anyway).filter(visible=True).wait_for(timeout=_PATIENCE * 2)
        if anyway.is_visible():
            anyway.click()
        sealed.wait_for(timeout=_PATIENCE * 2)
        return end.locator(".rb-message").inner_text(), str(link.get_attribute("href"))
