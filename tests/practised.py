"""A whole practice run in this process: what the journal and the record of one really hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.attestations import read_attestations
from runbook_lib.evidence.record import build_record
from runbook_lib.journal import Entry, utc_now
from runbook_lib.practice import practice
from runbook_lib.procedures.facebook_marketing import PROCEDURE
from runbook_lib.run import Mode, open_run


@dataclass(frozen=True)
class Practised:
    """What is left of a run: its record, and the journal up to its end."""

    record: dict[str, Any]
    entries: list[Entry]


def practised(scenario: str, evidence: Path) -> Practised:
    """Check every step against the sandbox in `scenario`, without notebooks and kernels."""
    with practice(scenario) as given:
        run = open_run(
            PROCEDURE,
            {},
            mode=Mode.HEADLESS,
            tenant=f"sandbox-{scenario}",
            evidence=str(evidence),
            env_file=given.env_file,
        )
        run.start()
        words, skips = read_attestations(Path(given.attestations), PROCEDURE, now=utc_now())
        run.attest(words)
        run.skip(skips)
        for step in PROCEDURE.steps:
            run.perform(step.id)
        state = run.finish()
        run.close()
    entries = run.journal.entries()
    record = build_record(state, journal_head=run.journal.head, journal_lines=len(entries))
    return Practised(json.loads(json.dumps(record)), entries)
