"""Our JupyterLab saves panels as text, and trusts a notebook as built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado.web import Application

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.notebooks import build_notebook
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.notebook import lab_extension
from runbook_lib.notebook.lab_extension import save_panels_as_text
from runbook_lib.walkthrough.widgets import PANEL_MIME, WIDGET_MIME
from tests.support.attestations import attested
from tests.support.wording import wording


def panel(part: str, tenant: str = "acme") -> dict[str, Any]:
    """Return the output of a panel, as JupyterLab sends it to be saved."""
    about = {"tenant": tenant, "connector": PROCEDURE.id, "part": part}
    return {"output_type": "display_data", "data": {WIDGET_MIME: {}, PANEL_MIME: about}}


def saved(*outputs: dict[str, Any]) -> list[dict[str, str]]:
    """Return the data of these outputs after they were saved."""
    content = {"cells": [{"cell_type": "markdown"}, {"outputs": list(outputs)}]}
    save_panels_as_text(model={"type": "notebook", "content": content})
    return [output["data"] for output in outputs]


def test_a_panel_is_saved_as_what_is_known_of_its_step(folder: Path) -> None:
    """A step's outcome and reason, and how many are done, stand in the panels' places."""
    run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme")
    run.start()
    run.say([attested("fb-01-log-in", by="A <colleague>")])

    step, header, end = saved(panel("fb-01-log-in"), panel("header"), panel("finish"))

    assert step.keys() == {"text/html", "text/plain"}
    assert "A &lt;colleague&gt;" in step["text/html"]
    assert step["text/plain"].startswith("✍ attested: A <colleague>")
    assert wording("notebook.press-start") in step["text/plain"]
    assert "Tenant acme" in header["text/html"]
    assert not re.search("[0-9]", end["text/plain"])


@pytest.mark.parametrize(
    ("tenant", "part"), [("../x", "unknown"), ("nobody", "unknown"), ("", "header")]
)
def test_without_a_journal_a_panel_is_saved_all_the_same(
    folder: Path, tenant: str, part: str
) -> None:
    """Whatever a notebook claims, or before a tenant is named, it says how to see the panel."""
    (shown,) = saved(panel(part, tenant))

    assert "Tenant" not in shown["text/html"]
    assert wording("notebook.press-start") in shown["text/plain"]


def test_a_broken_journal_does_not_stop_saving(folder: Path) -> None:
    """A journal that cannot be understood leaves the panel without an outcome."""
    journal = folder / "evidence" / "acme" / PROCEDURE.id / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("no journal\n")

    (shown,) = saved(panel("fb-01-log-in"))

    assert "text/html" in shown
    assert "attested" not in shown["text/html"]


def test_other_outputs_and_files_are_saved_as_they_are() -> None:
    """A person's own widgets and outputs are kept, and other files are not looked at."""
    own = {"output_type": "display_data", "data": {WIDGET_MIME: {"model_id": "1"}}}
    printed = {"output_type": "stream", "text": "x"}
    content = {"cells": [{"outputs": [own, printed]}]}

    save_panels_as_text(model={"type": "notebook", "content": content})
    save_panels_as_text(model={"type": "file", "content": "text"})
    save_panels_as_text(model={"type": "notebook", "content": None})

    assert own["data"] == {WIDGET_MIME: {"model_id": "1"}}


@pytest.mark.parametrize(
    ("change", "is_trusted"), [("", True), ("source", False), ("outputs", False)]
)
def test_only_a_notebook_as_it_was_built_is_trusted(
    folder: Path, change: str, is_trusted: bool
) -> None:
    """A notebook whose sources differ, or that has outputs, must be trusted by a person."""
    path = build_notebook(PROCEDURE, folder / "walkthrough")
    document = json.loads(path.read_text(encoding="utf-8"))
    if change == "source":
        document["cells"][2]["source"] = "import os"
    if change == "outputs":
        document["cells"][2]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": "<b>x</b>"}
        ]
    path.write_text(json.dumps(document), encoding="utf-8")
    hooks: list[Any] = []
    notary = NotebookNotary(store_factory=MemorySignatureStore, secret=b"s")
    web_app = Application(base_url="/user/a/")
    contents = SimpleNamespace(register_pre_save_hook=hooks.append, notary=notary)

    lab_extension._load_jupyter_server_extension(
        SimpleNamespace(contents_manager=contents, root_dir=str(folder), web_app=web_app)
    )

    assert hooks == [save_panels_as_text]
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    assert notary.check_signature(notebook) is is_trusted
