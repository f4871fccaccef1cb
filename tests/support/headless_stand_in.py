"""Stands for headless runs of the command line."""

from __future__ import annotations

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import NotRunReason
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult
from runbook_lib.engine.tenant_run import Run
from runbook_lib.evidence.bundle import SealedBundle
from runbook_lib.evidence.signing.keys import SigningKey

DOMAIN = "acme-h.cyclr.com"


FIRST = PROCEDURE.steps[0]


WORDS = """
[[attestation]]
step = "{step}"
by = "Operator"
at = 2026-11-20T09:00:00Z
"""


class Headless:
    """Replaces papermill: records what it is given, and ends the run."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.requests: list[RunRequest] = []
        self.broken = ""
        self.error: BaseException | None = None
        self.unstamped = ""

    def __call__(
        self,
        run: Run,
        key: SigningKey,
        request: RunRequest,
        listener: RunListener,
        not_run: NotRunReason | None,
    ) -> RunResult:
        """Run no notebook, and write a bundle."""
        assert not_run is None
        self.runs.append(run)
        self.requests.append(request)
        if self.error:
            raise self.error
        bundle = run.journal.path.parent / f"20261124-{run.run_id}"
        bundle.mkdir()
        (bundle / "record.json").write_text('{"run": "x"}\n', encoding="utf-8")
        listener.on_progress(run)
        run.finish(broken=self.broken)
        return RunResult(
            tenant=run.tenant,
            run_id=run.run_id,
            sealed=SealedBundle(bundle, 1, run.state, self.unstamped),
            key_id=key.key_id,
        )
