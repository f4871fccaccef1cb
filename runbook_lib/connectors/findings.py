"""What a check can find: a `Finding` of each outcome that a check may come to."""

from __future__ import annotations

from functools import partial

from runbook_lib.core.model import Finding, Outcome

verified = partial(Finding, outcome=Outcome.VERIFIED)
inconclusive = partial(Finding, outcome=Outcome.INCONCLUSIVE)
failed = partial(Finding, outcome=Outcome.FAILED)
not_done = partial(Finding, outcome=Outcome.NOT_RUN)
