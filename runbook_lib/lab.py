"""
Opening the walkthrough: JupyterLab, or voila for people who do not know Jupyter.

Builds the notebooks that are absent or of another procedure, and hands everything
else to the program that serves them. What is shown is `notebook`'s business.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from runbook_lib.journal import utc_now
from runbook_lib.notebook.builder import build, outdated
from runbook_lib.procedures.facebook_marketing import PROCEDURE
from runbook_lib.workspace import project_folder

__all__ = ["open_lab", "words_for_practice"]

# JupyterLab's own settings stay the person's; these are only other defaults, and voila's page
# without what it would load from elsewhere.
_CONFIG = Path(__file__).parent / "notebook" / "lab"
_ENDING_SECONDS = 20
_FIRST = f"{PROCEDURE.sections[0].id}.ipynb"


def open_lab(variables: Mapping[str, str], *, is_app: bool, arguments: tuple[str, ...]) -> int:
    """
    Serve the walkthrough until it is stopped, and return the server's exit code.

    `variables` are added to the environment that kernels inherit;
    `arguments` go to the server as they are (`--no-browser`, `--port`,
    `--ServerApp.base_url`), so that it runs in places like JupyterHub too.
    """
    folder = project_folder() / "notebooks"
    _build(folder)
    environ = {**os.environ, **variables}
    for name, ours in (("JUPYTER_CONFIG_PATH", _CONFIG), ("JUPYTER_PATH", _CONFIG / "share")):
        environ[name] = os.pathsep.join(filter(None, (str(ours), environ.get(name, ""))))
    program = _voila(folder) if is_app else _lab(folder)
    with subprocess.Popen([*program, *arguments], env=environ) as server:  # noqa: S603
        try:
            return server.wait()
        except KeyboardInterrupt:
            # The server ends its kernels when it is asked to; when it is killed, they find out.
            server.terminate()
            try:
                server.wait(timeout=_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
            raise


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
    """Build what is absent or of another procedure; what a person had in its place is kept."""
    paths = outdated(PROCEDURE, folder)
    for path in paths:
        if path.exists():
            kept = path.with_name(f"{path.stem}.{utc_now():%Y%m%dT%H%M%SZ}.bak.ipynb")
            path.replace(kept)
            click.echo(
                f"{path.name} was of another procedure and is built anew; yours is kept as "
                f"{kept.name}.",
                err=True,
            )
    if paths:
        build(PROCEDURE, folder, only=paths)


def _lab(folder: Path) -> list[str]:
    root = folder.parent
    return [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"),
        f"--LabApp.default_url=/lab/tree/{folder.name}/{_FIRST}",
    ]


def _voila(folder: Path) -> list[str]:
    return [sys.executable, "-m", "voila", str(folder), "--template=runbook"]
