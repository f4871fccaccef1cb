"""
Importing this loads all that a run and its cells use, for processes that are forked from it.

Templates are compiled here, once for all of them.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from importlib import import_module

import nbformat

from runbook_lib.connectors.registry import load_texts, working_procedures
from runbook_lib.core.redaction import without_headers
from runbook_lib.core.templates import compile_all
from runbook_lib.errors import SettingsError
from runbook_lib.remote.registrable_domains import parent_domain

NAMES = (
    "runbook_lib.notebook.session",
    "IPython.core.application",
    "IPython.core.completerlib",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "_strptime",
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "filelock",
    "httpx",
    "papermill",
    "publicsuffixlist",
    "runbook_lib.engine.workers",
    "runbook_lib.engine.execution",
    "runbook_lib.engine.shell",
    "runbook_lib.evidence.rebuild",
    "runbook_lib.evidence.reports.report",
    "runbook_lib.remote.page_reader",
    "runbook_lib.remote.http_transport",
    "runbook_lib.run.waits",
    "securesystemslib.dsse",
    "securesystemslib.signer",
    "sqlite3",
    "stringprep",
    "tomli",
)
for _name in NAMES:
    import_module(_name)
for _connector, _procedure in working_procedures().items():
    _ = _procedure.digest
    with suppress(SettingsError):  # a mistake in its texts stops its own commands only
        load_texts([_connector])
compile_all(import_module("runbook_lib.evidence.reports.renderer").environment())
parent_domain("www.example.com")  # reads the Public Suffix List
without_headers("")  # compiles its pattern
# The schema of a notebook is compiled when the first one is validated.
nbformat.validate(nbformat.v4.new_notebook())  # type: ignore[no-untyped-call]
gc.freeze()
