"""
The extension of `runbook lab`'s JupyterLab: trusts the notebook, saves panels as text.

A panel needs its kernel. Saved as it is, it would be an error message the next
day; saved as text, it shows the last known state of its step. Jupyter Server loads
this by the name that `jupyter/jupyter_server_config.d` gives.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat

from runbook_lib.config.workspace import WORKING_COPIES, evidence_folder, tenant_name
from runbook_lib.connectors.registry import working_procedures
from runbook_lib.core.clock import utc_now
from runbook_lib.engine.notebooks import is_stale, notebook_name
from runbook_lib.errors import RunbookError
from runbook_lib.notebook.confirm_page import add_confirm_page
from runbook_lib.notebook.rendering import saved_bundle
from runbook_lib.operations.tenant_reader import WatchedRows, read_tenant
from runbook_lib.run.state import RunState
from runbook_lib.walkthrough.widgets import PANEL_MIME, WIDGET_MIME


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(save_panels_as_text)
    add_confirm_page(server.web_app)
    folder = Path(server.root_dir) / WORKING_COPIES
    for procedure in working_procedures(path.stem for path in folder.glob("*.ipynb")).values():
        path = folder / notebook_name(procedure)
        if path.is_file() and not is_stale(procedure, path):
            notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            # Unchanged, so its *Start* need not ask; outputs come from a person.
            if not any(cell.get("outputs") for cell in notebook.cells):
                server.contents_manager.notary.sign(notebook)


def save_panels_as_text(*, model: dict[str, Any], **_: Any) -> None:
    """Replace each panel in a notebook that is being saved by what is known of its step."""
    if model["type"] != "notebook" or model["content"] is None:
        return
    states: dict[tuple[str, str], RunState | None] = {}
    for cell in model["content"]["cells"]:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if WIDGET_MIME in data and PANEL_MIME in data:
                panel = data[PANEL_MIME]
                owner = (panel["tenant"], panel["connector"])
                if owner not in states:
                    states[owner] = _state(*owner)
                output["data"] = saved_bundle(
                    states[owner], tenant=panel["tenant"], part=panel["part"]
                )


def _state(tenant: str, connector: str) -> RunState | None:
    """Return the tenant's state; `None` if it cannot be read, which must not stop saving."""
    try:
        folder = evidence_folder(os.environ.get("RUNBOOK_EVIDENCE", ""))
        return read_tenant(tenant_name(tenant), connector, folder, utc_now(), WatchedRows()).state
    except RunbookError:
        return None
