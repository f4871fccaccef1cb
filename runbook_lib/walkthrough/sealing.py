"""*Seal the evidence* in the walkthrough: a headless run in a process of its own."""

from __future__ import annotations

from collections.abc import Callable

from runbook_lib.engine.process import Finished, ProcessRequest, run_in_process
from runbook_lib.engine.run import Run
from runbook_lib.errors import SealingError

__all__ = ["seal_evidence"]


def seal_evidence(run: Run, *, on_wait: Callable[[str], None] = lambda _: None) -> Finished:
    """
    Run the whole procedure headless for this tenant and return what it came to.

    Calls `on_wait` with what the run says while it waits for another one. Raises
    `SealingError` where it left no bundle.
    """
    secrets = {
        item.variable_for(run.procedure.id): run.settings.secrets[item.name]
        for item in run.inputs
        if item.name in run.settings.secrets
    }
    request = ProcessRequest(
        connector=run.procedure.id,
        tenant=run.tenant,
        evidence=str(run.evidence.absolute()),
        env_file=str(run.env_file) if run.env_file.is_file() else "",
        given=run.settings.values,
        secrets=secrets,
    )
    try:
        return run_in_process(request, on_wait=on_wait)
    except SealingError as error:
        said, advice = (run.redactor.redact(text) for text in (str(error), error.diagnostics()))
        raise SealingError(said, next_step=advice) from None
