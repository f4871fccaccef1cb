"""
Opening the walkthrough: JupyterLab, or voila for people who do not know Jupyter.

A person works in a copy of the notebook, below `walkthrough/` in the project:
what they save there is theirs, and no built notebook changes.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from runbook_lib.config.workspace import (
    LAB_COMMAND,
    WORKING_COPIES,
    journal_path,
    project_notebook,
    tenant_name,
)
from runbook_lib.core.clock import utc_now
from runbook_lib.core.fingerprints import keep_key
from runbook_lib.core.model import Mode
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.headless import RunRequest
from runbook_lib.engine.notebooks import build_notebook, is_outdated, notebook_name
from runbook_lib.engine.practice import (
    practice,
    practice_environment,
    practise_in,
    require_scenario,
    sandbox_key,
)
from runbook_lib.engine.tenant_names import chosen_tenant
from runbook_lib.engine.tenant_run import load_settings, open_run, require_within_reach
from runbook_lib.errors import ExitCode, SettingsError, reason_of

# JupyterLab's own settings stay the person's; these are only other defaults, an extension for the
# runbook's notebooks, and voila's page without what it would load from elsewhere. JupyterLab does
# not show voila's pages beside its own: they would give the project's pictures to anybody, and a
# GET of a page starts a kernel.
_CONFIG = Path(__file__).parent / "jupyter"
_ENDING_SECONDS = 20

# In these a person does the whole procedure. Every other scenario is about a later state.
_FROM_THE_BEGINNING = ("approved", "fresh")

_PORT = re.compile(r"--(?:port|ServerApp\.port)(?:=(.*))?", re.DOTALL)
_NO_BROWSER = re.compile(r"--no-browser|--(?:ServerApp|LabApp)\.open_browser=False")
_LOG_LEVEL = re.compile(r"--debug|--(?:log-level|\w+\.log_level)(?:=.*)?", re.DOTALL)
_ERRORS_ONLY = "--Application.log_level=ERROR"
# NOTE: ipykernel warns of eavesdroppers whenever it starts without it.
_ENCRYPTED = "--KernelManager.transport_encryption=auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRequest:
    """A request to open the walkthrough of a tenant."""

    procedure: Procedure
    """The procedure of the connector."""
    tenant: str
    """The tenant's name; empty asks for it on the page."""
    evidence: str
    """The evidence folder; empty for the default one."""
    env_file: str = ""
    """The settings file; empty for `.env`."""
    is_app: bool = False
    """Whether to show the page without code."""
    arguments: tuple[str, ...] = ()
    """Arguments for the server as they are, such as `--port` or `--ServerApp.base_url`."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """The environment that the server and its kernels inherit."""
    scenario: str = ""
    """The sandbox's scenario in practice; empty for production."""
    program: str = "runbook"
    """The command that calls the runbook, quoted for a shell."""

    @property
    def command(self) -> str:
        """
        Return the command that starts this walkthrough again, for a shell in any folder.

        Of what goes to the server it has port and browser alone: others may hold a password.
        """
        named = {
            "--sandbox": self.scenario,
            "--connector": self.procedure.id,
            "--tenant": self.tenant,
            "--evidence": self.evidence,
            "--env-file": "" if self.scenario else self.env_file,
            "--port": _value(_PORT, self.arguments),
        }
        options = [(name, value) for name, value in named.items() if value]
        app = ["--app"] if self.is_app else []
        browser = [] if _opens_browser(self) else ["--no-browser"]
        words = shlex.join(["lab", *app, *itertools.chain(*options), *browser])
        return f"cd {shlex.quote(str(Path.cwd()))} && {self.program} {words}"

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that the kernels read."""
        named = {
            "RUNBOOK_TENANT": self.tenant,
            "RUNBOOK_EVIDENCE": self.evidence,
            "RUNBOOK_ENV_FILE": self.env_file,
            LAB_COMMAND: self.command,
        }
        return {name: value for name, value in named.items() if value}


def open_lab(
    request: LabRequest, *, say: Callable[[str], None], ask: Callable[[str], str] | None = None
) -> int:
    """
    Serve the walkthrough until it is stopped, and return the exit code.

    `ask` asks for the tenant if neither the request nor the settings name one.
    Raises `SettingsError`, before anything is written, if there is none, if the
    settings or the tenant's journal cannot be used, if practice would leave this machine, or
    the server could not be started.
    """
    if not request.tenant:
        settings = load_settings(
            request.procedure, env_file=request.env_file, environ=request.environ
        )
        request = replace(request, tenant=chosen_tenant(settings, request.evidence, ask))
    request = replace(request, tenant=tenant_name(request.tenant))
    run = open_run(
        request.procedure,
        {},
        mode=Mode.INTERACTIVE,
        tenant=request.tenant,
        evidence=request.evidence,
        env_file=request.env_file,
        environ=request.environ,
    )
    require_within_reach(request.procedure, run.values)
    notebook = _working_copy(request.procedure, say)
    folder = notebook.parent
    say(_what_opens(request))
    say(f"Tenant {request.tenant}. {request.procedure.title}.")
    if _opens_browser(request):
        say("If no browser opens, copy one of the addresses below into one.")
    say("Ctrl+C in this window stops it; your work is kept.")
    say("")
    environ = {**request.environ, **request.variables}
    data = _CONFIG / ("share" if request.is_app else "lab")
    for name, ours in (("JUPYTER_CONFIG_PATH", _CONFIG), ("JUPYTER_PATH", data)):
        environ[name] = os.pathsep.join(filter(None, (str(ours), environ.get(name, ""))))
    # JupyterLab saves its layout there, and not over the one that the person has elsewhere.
    with TemporaryDirectory(prefix="runbook-lab-") as workspaces:
        if request.is_app:
            program = [
                "runbook_lib.walkthrough.app_server",
                str(folder),
                f"--ServerApp.default_url=/voila/render/{notebook.name}",
            ]
        else:
            program = [
                "jupyterlab",
                f"--ServerApp.root_dir={folder.parent}",
                f"--LabApp.default_url=/doc/tree/{folder.name}/{notebook.name}",
                f"--LabApp.workspaces_dir={workspaces}",
            ]
        program.append(_ENCRYPTED)
        if not any(_LOG_LEVEL.fullmatch(argument) for argument in request.arguments):
            program.append(_ERRORS_ONLY)
        return serve_lab([sys.executable, "-m", *program, *request.arguments], environ)


def _what_opens(request: LabRequest) -> str:
    """Return the sentence that says what opens, and where."""
    if request.is_app:
        shown = "The walkthrough"
        begin = ", without code."
    else:
        shown = "JupyterLab"
        begin = ": press Start at the top of the notebook."
    if _opens_browser(request):
        return f"{shown} opens in your browser{begin}"
    return f"{shown} is at the address below{begin}"


def _opens_browser(request: LabRequest) -> bool:
    """Return whether the server opens a browser, as far as its options say."""
    return not any(_NO_BROWSER.fullmatch(argument) for argument in request.arguments)


def serve_lab(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """
    Run the server until it ends or is interrupted, and return the exit code.

    A server that cannot start prints the reason itself.
    """
    with subprocess.Popen(command, env=environ) as server:  # noqa: S603
        try:
            ended = server.wait()
        except KeyboardInterrupt:
            # The server ends its kernels when it is asked to; when it is killed, they find out.
            server.terminate()
            try:
                server.wait(timeout=_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
            raise
    if ended == 0:
        return ExitCode.COMPLETE
    return ExitCode.USAGE if ended > 0 else ExitCode.INCOMPLETE


def practise_in_lab(scenario: str, request: LabRequest, *, say: Callable[[str], None]) -> int:
    """
    Serve the walkthrough against a sandbox in `scenario`: see `open_lab`.

    A new tenant begins in the state that the scenario is about: a headless run comes first, with
    what the sandbox's operator has confirmed. Nothing of the operator's real settings is used,
    whatever the environment holds.
    """
    require_scenario(scenario, request.procedure)
    tenant = tenant_name(request.tenant or f"sandbox-{scenario}")
    journal = journal_path(Path(request.evidence), tenant, request.procedure.id)
    is_known = journal.exists()
    own_key = sandbox_key(request.procedure, request.evidence, tenant)
    key = keep_key(journal.parent, own_key)
    with practice(scenario, request.procedure, key) as sandbox:
        practised = replace(
            request,
            tenant=tenant,
            env_file=sandbox.env_file,
            environ=practice_environment(request.environ),
            scenario=sandbox.scenario,
        )
        practises = "the remote systems on this machine, for practice; nothing is real."
        say(f"SANDBOX {sandbox.scenario}: {practises}")
        say(f"If one of its pages asks, log in as {sandbox.login}.")
        if is_known:
            say(
                f"Your earlier work as {tenant} still counts, and the sandbox has the same app. "
                "To start again from the beginning, add --tenant NAME."
            )
        elif sandbox.scenario not in _FROM_THE_BEGINNING:
            say("A practice run brings you to this state first.")
            before = RunRequest(
                procedure=request.procedure,
                tenant=tenant,
                evidence=request.evidence,
                environ=request.environ,
            )
            steps = practise_in(sandbox, before, key).state.steps
            done = sum(step.is_settled for step in steps)
            say(f"{done} of {len(steps)} steps are done, as practice of the sandbox's operator.")
        say("The sandbox forgets changes on its own pages when it stops.")
        return open_lab(practised, say=say)


def _working_copy(procedure: Procedure, say: Callable[[str], None]) -> Path:
    """
    Return the notebook that a person works in: built once, never overwritten.

    A notebook of another procedure is kept under another name. Raises
    `SettingsError` if it cannot be written, or if another user could have written it.
    """
    path = project_notebook(notebook_name(procedure), WORKING_COPIES)
    folder = path.parent
    if not is_outdated(procedure, path):
        return path
    try:
        if os.path.lexists(path):
            backup = path.with_name(f"{path.stem}.{utc_now():%Y%m%dT%H%M%SZ}.bak.ipynb")
            path.replace(backup)
            say(f"{path.name} was built from another procedure; yours is kept as {backup.name}.")
        return build_notebook(procedure, folder)
    except OSError as error:
        reason = f"{reason_of(error)} ({error.filename or folder})"
        msg = f"The notebook cannot be written: {reason}."
        advice = f"Permit writing in {folder}, or start `runbook lab` in another folder."
        raise SettingsError(msg, next_step=advice) from error


def _value(option: re.Pattern[str], arguments: Sequence[str]) -> str | None:
    """Return an option's value, given in one word or in two; `None` without the option."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        match = option.fullmatch(argument)
        if match:
            return following if match[1] is None else str(match[1])
    return None
