"""
Select the earlier results with a side effect that count again in a run without people.

It reads the journal and the watch's later results. Nothing here asks a remote system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from runbook_lib.connectors.check_registry import code_digest
from runbook_lib.core.carried_results import EarlierResult, OutdatedResult, basis_of, find_earlier
from runbook_lib.core.model import CheckBasis, Value
from runbook_lib.core.procedure import Check, Procedure, Step
from runbook_lib.core.run_state import History
from runbook_lib.engine.watch.watch_state import Problem, ProblemKind, read_state
from runbook_lib.errors import RunbookError


@dataclass
class EarlierResults:
    """The earlier results of one tenant's checks, for the present values."""

    procedure: Procedure
    """The procedure of the tenant's connector."""

    tenant: str
    """The tenant's name."""

    evidence: Path
    """The folder with the evidence of every tenant."""

    history: History
    """The content of the tenant's journal."""

    values: Mapping[str, Value]
    """Every known value, with the fingerprints of secrets; absent values are as last recorded."""

    now: datetime
    """The time of the run."""

    def basis(self, step: Step, check: Check) -> CheckBasis | None:
        """Return the basis of a result of `check` now; `None` if its code cannot be named."""
        digest = code_digest(check)
        given = {name: value for name, value in self.values.items() if value not in ("", ())}
        known = {**self.history.index.recorded, **given}
        return basis_of(check, step, self.procedure, known, digest) if digest else None

    def find(self, step: Step, check: Check) -> EarlierResult | OutdatedResult | None:
        """Return the earlier result that counts, why none does, or `None` if there was none."""
        basis = self.basis(step, check)
        if basis is None:
            return None
        earlier = find_earlier(self.history, self.procedure, step, basis, self.now)
        if not isinstance(earlier, EarlierResult):
            return earlier
        why = self._seen_by_watch(step, check, earlier.result.checked_on)
        began = earlier.result.checked_on[:10]
        return OutdatedResult(f"Verified on {began}, but {why}.", self._today) if why else earlier

    @property
    def _today(self) -> str:
        return self.now.date().isoformat()

    def _seen_by_watch(self, step: Step, check: Check, since: str) -> str:
        """Return the watch's contradiction to a result of that time; empty without one."""
        if self._failures is None:
            return "what the watch has seen since cannot be read (watch.db)"
        required = self.procedure.required_by(step.id)
        secrets = {item.name for item in self.procedure.settings if item.secret}
        own = secrets.intersection(check.needs)
        needs = {
            (other.id, part.id): part.needs
            for other in self.procedure.steps
            for part in other.checks
        }
        for problem in self._failures:
            key = (problem.step, problem.check)
            is_related = (
                key == (step.id, check.id)
                or (problem.step in required and key in needs)
                or not own.isdisjoint(needs.get(key, ()))
            )
            if is_related and (problem.is_open or problem.on > since):
                return f"the watch saw on {problem.since[:10]}: {problem.title}"
        return ""

    @cached_property
    def _failures(self) -> Sequence[Problem] | None:
        """The watch's failure problems, open or ended; `None` if they cannot be read."""
        key = f"{self.procedure.id}/{self.tenant}"
        try:
            with read_state(self.evidence) as state:
                problems = state.problems.read(tenant=key) if state else []
        except RunbookError:
            return None
        return [problem for problem in problems if problem.kind is ProblemKind.FAILED]
