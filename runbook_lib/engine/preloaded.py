"""
Importing this loads all that a run and its cells use, for processes that are forked from it.

Templates are compiled here, once for all of them.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.engine.notebooks import CELL_MODULE
from runbook_lib.evidence.reports.rendering import load_templates

# NOTE: see `cli.main`.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

NAMES = (
    CELL_MODULE,
    "_strptime",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "httpx",
    "papermill",
    "runbook_lib.fork_engine.run",
    "runbook_lib.fork_engine.saving",
    "runbook_lib.fork_engine.shell",
    "runbook_lib.remote.pages",
    "runbook_lib.remote.wire",
    "securesystemslib.dsse",
    "securesystemslib.signer",
    "sqlite3",
    "stringprep",
)
for _name in NAMES:
    import_module(_name)
for _connector in connector_names():
    _ = find_procedure(_connector).digest
load_templates()
gc.collect()
gc.freeze()
