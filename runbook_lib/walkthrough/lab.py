"""
Opening the walkthrough: JupyterLab, or voila for people who do not know Jupyter.

A person works in a copy of the notebook, below `walkthrough/` in the project:
what they save there is theirs, and no built notebook changes.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import (
    WORKING_COPIES,
    journal_path,
    project_folder,
    tenant_name,
)
from runbook_lib.core.fingerprints import keep_key
from runbook_lib.core.journal import utc_now
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.notebooks import build, is_outdated, notebook_name
from runbook_lib.engine.practice import (
    Practice,
    practice,
    practice_environment,
    require_scenario,
    sandbox_key,
)
from runbook_lib.engine.run import Mode, load_settings, open_run
from runbook_lib.engine.tenants import chosen_tenant
from runbook_lib.errors import ExitCode, SettingsError

__all__ = ["LabRequest", "check_arguments", "open_lab", "practise_in_lab"]

# JupyterLab's own settings stay the person's; these are only other defaults, and voila's page
# without what it would load from elsewhere. JupyterLab does not show voila's pages beside its own:
# they would give the project's pictures to anybody, and a GET of a page starts a kernel.
_CONFIG = Path(__file__).parent / "jupyter"
_ENDING_SECONDS = 20

# The options of voila's own program that mean something to the server which shows its pages here.
_VOILA_OPTIONS = {
    **{
        name: f"ServerApp.{name}"
        for name in (
            *("base_url", "browser", "cookie_secret", "custom_display_url", "ip", "open_browser"),
            *("port", "port_retries", "tornado_settings", "webbrowser_open_new"),
        )
    },
    "token": "IdentityProvider.token",
}
_VOILA_SHORT = {
    "base_url": "ServerApp.base_url",
    **{
        name: f"VoilaConfiguration.{name}"
        for name in ("template", "theme", "strip_sources", "show_tracebacks")
    },
}
# These need voila's own program, which checks less.
_VOILA_REFUSED = (
    *("autoreload", "classic_tree", "classic-tree", "pool_size", "preheat_kernel"),
    *("progressive_rendering", "server_url", "show-margins", "static"),
)
_PORT = re.compile(r"--(?:port|ServerApp\.port)(?:=(.*))?", re.DOTALL)
_RETRIES = re.compile(r"--(?:port-retries|ServerApp\.port_retries)(?:=(.*))?", re.DOTALL)
_IP = re.compile(r"--(?:ip|ServerApp\.ip)(?:=(.*))?", re.DOTALL)
_LOG_LEVEL = re.compile(r"--debug|--(?:log-level|\w+\.log_level)(?:=.*)?", re.DOTALL)
_ERRORS_ONLY = "--Application.log_level=ERROR"
_HIGHEST_PORT = 65_535


def check_arguments(arguments: Sequence[str], *, is_app: bool) -> list[str]:
    """
    Return the options for the server, once they are known to be usable.

    Raises `SettingsError` where they are not; nothing has been written then.
    """
    given = _for_server(arguments) if is_app else list(arguments)
    _check_port(given)
    _check_address(given)
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRequest:
    """
    Which walkthrough to open, for which tenant, and how.

    `arguments` go to the server as they are (`--no-browser`, `--port`,
    `--ServerApp.base_url`), so that it runs in places like JupyterHub too.
    `environ` is what the server and its kernels inherit.
    """

    procedure: Procedure
    tenant: str
    evidence: str
    env_file: str = ""
    is_app: bool = False
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def variables(self) -> dict[str, str]:
        """Return what the kernels read of this, as environment variables."""
        named = {
            "RUNBOOK_TENANT": self.tenant,
            "RUNBOOK_EVIDENCE": self.evidence,
            "RUNBOOK_ENV_FILE": self.env_file,
        }
        return {name: value for name, value in named.items() if value}


def open_lab(
    request: LabRequest, *, say: Callable[[str], None], ask: Callable[[str], str] | None = None
) -> int:
    """
    Serve the walkthrough until it is stopped, and return the exit code.

    `ask` asks for the tenant where neither the request nor the settings name one.
    Raises `SettingsError`, before anything is written, where there is none, where the
    settings or the tenant's journal cannot be used, or the server could not be started.
    """
    given = check_arguments(request.arguments, is_app=request.is_app)
    request = replace(request, tenant=_tenant(request, ask))
    open_run(
        request.procedure,
        {},
        mode=Mode.INTERACTIVE,
        tenant=request.tenant,
        evidence=request.evidence,
        env_file=request.env_file,
        environ=request.environ,
    )
    folder = project_folder() / WORKING_COPIES
    notebook = _working_copy(request.procedure, folder, say)
    for line in _opening_words(request):
        say(line)
    environ = {**request.environ, **request.variables}
    for name, ours in (("JUPYTER_CONFIG_PATH", _CONFIG), ("JUPYTER_PATH", _CONFIG / "share")):
        environ[name] = os.pathsep.join(filter(None, (str(ours), environ.get(name, ""))))
    program = _app(notebook) if request.is_app else _lab(notebook)
    return _serve([*program, *_quiet(given), *given], environ)


def _tenant(request: LabRequest, ask: Callable[[str], str] | None) -> str:
    """Return whose walkthrough it is, asking for it where nothing says so."""
    if request.tenant:
        return tenant_name(request.tenant)
    settings = load_settings(request.procedure, env_file=request.env_file, environ=request.environ)
    return chosen_tenant(settings, request.evidence, ask)


def _quiet(arguments: Sequence[str]) -> list[str]:
    """Return what limits the server's log to errors and its address, unless a level is given."""
    is_given = any(_LOG_LEVEL.fullmatch(argument) for argument in arguments)
    return [] if is_given else [_ERRORS_ONLY]


def _serve(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the server until it ends or is interrupted, and return the exit code."""
    with subprocess.Popen(command, env=environ) as server:  # noqa: S603
        try:
            return _exit_code(server.wait())
        except KeyboardInterrupt:
            # The server ends its kernels when it is asked to; when it is killed, they find out.
            server.terminate()
            try:
                server.wait(timeout=_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
            raise


def practise_in_lab(scenario: str, request: LabRequest, *, say: Callable[[str], None]) -> int:
    """
    Serve the walkthrough against a sandbox in `scenario`: see `open_lab`.

    Nothing of the operator's real settings is used, whatever the environment holds.
    """
    require_scenario(scenario)
    check_arguments(request.arguments, is_app=request.is_app)
    tenant = tenant_name(request.tenant or f"sandbox-{scenario}")
    journal = journal_path(Path(request.evidence), tenant, request.procedure.id)
    is_known = journal.exists()
    known = sandbox_key(request.procedure, request.evidence, tenant)
    key = keep_key(journal.parent, known)
    with practice(scenario, request.procedure, key) as sandbox:
        practised = replace(
            request,
            tenant=tenant,
            env_file=sandbox.env_file,
            environ=practice_environment(request.environ),
        )
        for line in _words_for_practice(practised, sandbox, is_known=is_known):
            say(line)
        return open_lab(practised, say=say)


def _exit_code(ended: int) -> int:
    """Return what the end of the server means; it has said itself why it could not start."""
    if ended == 0:
        return ExitCode.COMPLETE
    return ExitCode.USAGE if ended > 0 else ExitCode.INCOMPLETE


def _words_for_practice(request: LabRequest, sandbox: Practice, *, is_known: bool) -> list[str]:
    """Return what a person reads of the sandbox first."""
    practises = "Facebook and Cyclr on this machine, for practice; nothing is real."
    log_in = f"Where one of its pages asks, log in as {sandbox.login}."
    before = (
        f"Your earlier work as {request.tenant} still counts, and the sandbox has the same app; "
        "to start from nothing: --tenant NAME."
    )
    return [
        f"SANDBOX {sandbox.scenario}: {practises}",
        log_in,
        *([before] if is_known else []),
        "What is done on the sandbox's own pages is forgotten when it stops.",
    ]


def _opening_words(request: LabRequest) -> list[str]:
    """Return what opens, how to begin, and how to stop."""
    opens = (
        "The walkthrough opens in your browser, without code."
        if request.is_app
        else "JupyterLab opens in your browser: press Start at the top of the notebook."
    )
    return [
        opens,
        f"Tenant {request.tenant}. {request.procedure.title}.",
        "If no browser opens, copy one of the addresses below into one.",
        "Ctrl+C in this window stops it; your work is kept.",
        "",
    ]


def _working_copy(procedure: Procedure, folder: Path, say: Callable[[str], None]) -> Path:
    """
    Return the notebook that a person works in: built once, and theirs from then on.

    One of another procedure is kept under another name. Raises `SettingsError`
    where it cannot be written.
    """
    path = folder / notebook_name(procedure)
    if not is_outdated(procedure, path):
        return path
    try:
        if os.path.lexists(path):
            kept = path.with_name(f"{path.stem}.{utc_now():%Y%m%dT%H%M%SZ}.bak.ipynb")
            path.replace(kept)
            say(f"{path.name} was built from another procedure; yours is kept as {kept.name}.")
        return build(procedure, folder)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"The notebook cannot be written: {reason} ({error.filename or folder})."
        advice = f"Permit writing in {folder}, or start `runbook lab` in another folder."
        raise SettingsError(msg, next_step=advice) from error


def _lab(notebook: Path) -> list[str]:
    folder = notebook.parent
    return [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.parent}"),
        f"--LabApp.default_url=/lab/tree/{folder.name}/{notebook.name}",
    ]


def _app(notebook: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "runbook_lib.walkthrough.app_server", str(notebook.parent)),
        f"--ServerApp.default_url=/voila/render/{notebook.name}",
    ]


def _for_server(arguments: Sequence[str]) -> list[str]:
    """Return the options for the server that shows the pages; it is not voila's own program."""
    return [
        _option(argument)
        for argument in arguments
        if argument != "--token"  # it always has one
    ]


def _option(argument: str) -> str:
    """Return what an option of voila's is here; raises `SettingsError` where it is nothing."""
    dashes, name, value = re.fullmatch(r"(-*)([^=]*)(.*)", argument, re.DOTALL).groups()  # type: ignore[union-attr]
    owner, _, setting = name.rpartition(".")
    known = _VOILA_OPTIONS.get(setting) if owner == "Voila" else _VOILA_SHORT.get(name)
    if name == "token":
        known = _VOILA_OPTIONS[name]
    if dashes != "--" or (known is None and owner != "Voila" and name not in _VOILA_REFUSED):
        return argument
    if known is None:
        msg = f"--{name} is not known to `runbook lab --app`."
        advice = (
            "Leave it out. Options of Jupyter Server (--port, --ServerApp.base_url) and "
            "--VoilaConfiguration.template and the like can be given."
        )
        raise SettingsError(msg, next_step=advice)
    return f"--{known}{value}"


def _check_port(arguments: Sequence[str]) -> None:
    """Raise `SettingsError` where the port that is asked for is none, or is taken for good."""
    text = _value(_PORT, arguments)
    if text is None:
        return
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _HIGHEST_PORT:
        msg = f"--port takes a number from 0 to {_HIGHEST_PORT}, not {text[:40]!r}."
        raise SettingsError(msg, next_step="Name another port with --port, or leave it out.")
    retries = _value(_RETRIES, arguments) or os.environ.get("JUPYTER_PORT_RETRIES", "")
    if retries == "0" and int(text) and _is_taken(int(text)):
        msg = f"Port {text} is taken by another program."
        raise SettingsError(msg, next_step="Name another port with --port, or leave it out.")


def _check_address(arguments: Sequence[str]) -> None:
    """Raise `SettingsError` where the server cannot listen at the address that is asked for."""
    text = _value(_IP, arguments)
    if text not in (None, "", "*") and not _is_here(text):
        msg = f"{text[:80]!r} is no address of this machine."
        raise SettingsError(msg, next_step="Name another one with --ip, or leave it out.")


def _is_here(name: str) -> bool:
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return False
    return any(_can_bind(family, address) for family, *_, address in found)


def _can_bind(family: int, address: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
        return True


def _is_taken(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return False
    except OSError as error:
        return error.errno == errno.EADDRINUSE


def _value(option: re.Pattern[str], arguments: Sequence[str]) -> str | None:
    """Return what an option is given, in one word or in two; `None` where it is not there."""
    for place, argument in enumerate(arguments):
        found = option.fullmatch(argument)
        if found:
            following = arguments[place + 1] if len(arguments) > place + 1 else ""
            return following if found[1] is None else str(found[1])
    return None
