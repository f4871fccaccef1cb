"""
Opening the walkthrough: JupyterLab, or voila for people who do not know Jupyter.

Builds the notebooks that are absent or of another procedure, and hands everything
else to the program that serves them. What is shown is `notebook`'s business.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from runbook_lib.config.workspace import project_folder
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.journal import utc_now
from runbook_lib.engine.notebooks import build, outdated
from runbook_lib.errors import ExitCode, SettingsError

__all__ = ["check_arguments", "open_lab", "words_for_practice"]

# JupyterLab's own settings stay the person's; these are only other defaults, and voila's page
# without what it would load from elsewhere. JupyterLab does not show voila's pages beside its own:
# they would give the project's pictures to anybody, and a GET of a page starts a kernel.
_CONFIG = Path(__file__).parent / "jupyter"
_ENDING_SECONDS = 20
_FIRST = f"{PROCEDURE.sections[0].id}.ipynb"

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


def open_lab(variables: Mapping[str, str], *, is_app: bool, arguments: tuple[str, ...]) -> int:
    """
    Serve the walkthrough until it is stopped, and return the exit code.

    `variables` are added to the environment that kernels inherit;
    `arguments` go to the server as they are (`--no-browser`, `--port`,
    `--ServerApp.base_url`), so that it runs in places like JupyterHub too.

    Raises `SettingsError` where the server could not be started with them.
    """
    folder = project_folder() / "notebooks"
    given = check_arguments(arguments, is_app=is_app)
    _build(folder)
    environ = {**os.environ, **variables}
    for name, ours in (("JUPYTER_CONFIG_PATH", _CONFIG), ("JUPYTER_PATH", _CONFIG / "share")):
        environ[name] = os.pathsep.join(filter(None, (str(ours), environ.get(name, ""))))
    program = _app(folder) if is_app else _lab(folder)
    with subprocess.Popen([*program, *given], env=environ) as server:  # noqa: S603
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


def _exit_code(ended: int) -> int:
    """Return what the end of the server means; it has said itself why it could not start."""
    if ended == 0:
        return ExitCode.COMPLETE
    return ExitCode.USAGE if ended > 0 else ExitCode.INCOMPLETE


def words_for_practice(scenario: str, login: str, *, is_app: bool, tenant: str) -> list[str]:
    """Return what a person reads before the server's own lines; `tenant` if it was used before."""
    opens = (
        "The walkthrough opens in your browser, without code."
        if is_app
        else "JupyterLab opens at the first notebook: choose Run > Run All Cells there."
    )
    before = (
        f"What was done before as {tenant} still counts, and its sandbox has the same app; "
        "to begin with nothing: --tenant NAME."
    )
    return [
        f"SANDBOX {scenario}: Facebook and Cyclr on this machine, for practice; nothing is real.",
        opens,
        f"Where a page of theirs asks, log in as {login}.",
        *([before] if tenant else []),
        "Ctrl+C in this window stops it; what you did is kept.",
        "",
    ]


def _build(folder: Path) -> None:
    """
    Build what is absent or of another procedure; what a person had in its place is kept.

    Raises `SettingsError` where that cannot be written.
    """
    paths = outdated(PROCEDURE, folder)
    try:
        for path in paths:
            if os.path.lexists(path):
                _keep(path)
        if paths:
            build(PROCEDURE, folder, only=paths)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"The notebooks cannot be written: {reason} ({error.filename or folder})."
        advice = f"Permit writing in {folder}, or start `runbook lab` in another folder."
        raise SettingsError(msg, next_step=advice) from error


def _keep(path: Path) -> None:
    kept = path.with_name(f"{path.stem}.{utc_now():%Y%m%dT%H%M%SZ}.bak.ipynb")
    path.replace(kept)
    click.echo(
        f"{path.name} belonged to another procedure and was rebuilt; yours is kept as {kept.name}.",
        err=True,
    )


def _lab(folder: Path) -> list[str]:
    root = folder.parent
    return [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"),
        f"--LabApp.default_url=/lab/tree/{folder.name}/{_FIRST}",
    ]


def _app(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "runbook_lib.walkthrough.app_server", str(folder)),
        f"--ServerApp.default_url=/voila/render/{_FIRST}",
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
