"""
Prove each step of embedding a Cyclr connector, and keep signed evidence.

In a notebook or a script of your own:

    from runbook_lib import open_run

    run = open_run("facebook_marketing", tenant="acme", service_domain="acme-h.cyclr.com")
    run.step("fb-06-facebook-login")
    run.step("fb-08-redirect-uri")
    run.steps

`open_run` takes the same settings as `runbook run --set`; the others come from the environment and
`.env`. `run.step(...)` asks the remote systems, and returns the step's outcome and reason.
`run.steps` is the table of all steps. `run_tenant` does the whole procedure, and seals evidence.
`docs/api.md` explains each name; everything else in this package is private.
"""

from __future__ import annotations

from importlib import import_module

# NOTE: importing `typing` would take longer than all the rest; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runbook_lib.api import ErrorExplanation, TenantSteps, explain, status, verify_bundle
    from runbook_lib.connectors.registry import find_procedure
    from runbook_lib.engine.headless import RunRequest, RunResult, run_tenant
    from runbook_lib.errors import RunbookError
    from runbook_lib.evidence.reports.step_table import StepLine, StepTable
    from runbook_lib.evidence.verify.verify import VerifiedBundle
    from runbook_lib.notebook.session import NotebookRun, open_run

    __version__: str

__all__ = [
    "ErrorExplanation",
    "NotebookRun",
    "RunRequest",
    "RunResult",
    "RunbookError",
    "StepLine",
    "StepTable",
    "TenantSteps",
    "VerifiedBundle",
    "__version__",
    "explain",
    "find_procedure",
    "open_run",
    "run_tenant",
    "status",
    "verify_bundle",
]

# Name → its module, which is imported when the name is first used.
_MODULES = {
    "ErrorExplanation": "runbook_lib.api",
    "NotebookRun": "runbook_lib.notebook.session",
    "RunRequest": "runbook_lib.engine.headless",
    "RunResult": "runbook_lib.engine.headless",
    "RunbookError": "runbook_lib.errors",
    "StepLine": "runbook_lib.evidence.reports.step_table",
    "StepTable": "runbook_lib.evidence.reports.step_table",
    "TenantSteps": "runbook_lib.api",
    "VerifiedBundle": "runbook_lib.evidence.verify.verify",
    "explain": "runbook_lib.api",
    "find_procedure": "runbook_lib.connectors.registry",
    "open_run": "runbook_lib.notebook.session",
    "run_tenant": "runbook_lib.engine.headless",
    "status": "runbook_lib.api",
    "verify_bundle": "runbook_lib.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        return import_module("importlib.metadata").version("facebook-marketing-runbook")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__]
