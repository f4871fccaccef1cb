"""
Opening the walkthrough: JupyterLab, or voila for people who do not know Jupyter.

Builds the notebooks where they are stale or absent, and hands everything
else to the program that serves them. What is shown is `notebook`'s business.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runbook_lib.notebook.builder import build, stale
from runbook_lib.procedures.facebook_marketing import PROCEDURE
from runbook_lib.workspace import project_folder

__all__ = ["open_lab"]

# JupyterLab's own settings stay the person's; these are only other defaults, and voila's page
# without what it would load from elsewhere.
_CONFIG = Path(__file__).parent / "notebook" / "lab"
_FIRST = f"{PROCEDURE.sections[0].id}.ipynb"


def open_lab(variables: Mapping[str, str], *, is_app: bool, arguments: tuple[str, ...]) -> int:
    """
    Serve the walkthrough until it is stopped, and return the server's exit code.

    `variables` are added to the environment that kernels inherit;
    `arguments` go to the server as they are (`--no-browser`, `--port`,
    `--ServerApp.base_url`), so that it runs in places like JupyterHub too.
    """
    folder = project_folder() / "notebooks"
    if stale(PROCEDURE, folder):
        build(PROCEDURE, folder)
    environ = {**os.environ, **variables}
    for name, ours in (("JUPYTER_CONFIG_PATH", _CONFIG), ("JUPYTER_PATH", _CONFIG / "share")):
        environ[name] = os.pathsep.join(filter(None, (str(ours), environ.get(name, ""))))
    program = _voila(folder) if is_app else _lab(folder)
    with subprocess.Popen([*program, *arguments], env=environ) as server:  # noqa: S603
        try:
            return server.wait()
        except KeyboardInterrupt:
            # The server ends its kernels when it is asked to, and leaves them when it is killed.
            server.terminate()
            server.wait()
            raise


def _lab(folder: Path) -> list[str]:
    root = folder.parent
    return [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"),
        f"--LabApp.default_url=/lab/tree/{folder.name}/{_FIRST}",
    ]


def _voila(folder: Path) -> list[str]:
    return [sys.executable, "-m", "voila", str(folder), "--template=runbook"]
