"""Small runs of one step, sealed without an engine, and bundles that are signed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from msgspec import structs

from runbook_lib.core.model import Attestation, AttestationKind, Finding, ModelStruct, Note, Outcome
from runbook_lib.core.redaction import Redactor
from runbook_lib.evidence.bundle import (
    Seal,
    SealedBundle,
    draft_bundle,
)
from runbook_lib.evidence.sealing import seal_run
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import (
    Resource,
)
from runbook_lib.run.events import RunFinished, StepChecked
from runbook_lib.run.journal import Journal, Line
from runbook_lib.run.state import RunState
from tests.support.run_events import BINDING, STEP, exchange, started

RUNS = ("00000001", "00000002", "00000003")
START = datetime(2026, 12, 2, 12, tzinfo=UTC)
MATERIALS = (
    Resource("notebooks/01.ipynb", "ab" * 32, 12),
    Resource("requirements.lock", "cd" * 32, 3),
)


def ticking() -> Iterator[datetime]:
    """Yield a time a second, each later than the one before."""
    return (START + timedelta(seconds=seconds) for seconds in count())


def open_journal(home: Path) -> Journal:
    """Return the journal of the tenant in `home`, with a clock that ticks."""
    times = ticking()
    return Journal(home / "journal.jsonl", clock=lambda: next(times))


def perform(journal: Journal, run: str, *, outcome: str = "failed", said: str = "") -> None:
    """Write the lines of a run with one step, which a person confirms with the note `said`."""

    def write(event: ModelStruct, step: str = "") -> int:
        return journal.append(event, run=run, step=step)

    environment = {"facebook-marketing-runbook": "0.1.0"}
    tenant = journal.path.parents[1].name
    write(structs.replace(started(), tenant=tenant, environment=environment))
    number = write(exchange())
    finding = Finding(
        outcome=Outcome(outcome),
        code="a-code",
        reason="So.",
        check="log-in",
        exchanges=(number,),
    )
    write(StepChecked(findings=(finding,), binding=BINDING), STEP.id)
    if said:
        attestation = Attestation(
            kind=AttestationKind.ATTESTED,
            by="Ann",
            at="2026-12-02T12:00:00.000Z",
            sentence=STEP.sentence,
            binding=BINDING,
            note=said,
        )
        write(attestation, STEP.id)
        write(Note(by="Ben", at="2026-12-02T12:00:00.000Z", note="Looked."), STEP.id)
    write(RunFinished())


def report(record: RunState, lines: Sequence[Line], _attachments: Path) -> str:
    """Return the report of a run."""
    return f"<p>Run {record.run}, {len(lines)} lines: {record.outcome}</p>"


def seal(
    journal: Journal, run: str, key: SigningKey, redactor: Redactor | None = None
) -> SealedBundle:
    """Seal a run, with a file in place of its executed notebook."""
    with draft_bundle(journal.path.parent, run) as folder:
        (folder / "run.ipynb").write_text(f'{{"run": "{run}"}}\n', encoding="utf-8")
        return seal_run(
            folder,
            journal,
            run,
            redactor or Redactor(),
            Seal(key, MATERIALS),
            make_report=report,
        )
