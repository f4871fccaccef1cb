"""A whole practice run in this process: what the journal and the record of one really hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.attestations import read_words
from runbook_lib.evidence.record import build_record
from runbook_lib.fingerprints import FingerprintKey
from runbook_lib.journal import Entry, utc_now
from runbook_lib.practice import practice
from runbook_lib.procedures.facebook_marketing import PROCEDURE
from runbook_lib.run import Mode, open_run
from tests.support.journals import described


@dataclass(frozen=True)
class Practised:
    """What is left of a run: its record, and the journal up to its end."""

    record: dict[str, Any]
    entries: list[Entry]


def practised(scenario: str, evidence: Path) -> Practised:
    """Check every step against the sandbox in `scenario`, without notebooks and kernels."""
    with practice(scenario, FingerprintKey()) as given:
        run = open_run(
            PROCEDURE,
            {},
            mode=Mode.HEADLESS,
            tenant=f"sandbox-{scenario}",
            evidence=str(evidence),
            env_file=given.env_file,
        )
        run.start()
        run.say(read_words(Path(given.attestations), PROCEDURE, now=utc_now()))
        for step in PROCEDURE.steps:
            run.perform(step.id)
        state = run.finish()
        run.close()
    record = build_record(state, journal=described(run.journal), carried=())
    return Practised(json.loads(json.dumps(record)), run.journal.entries())
