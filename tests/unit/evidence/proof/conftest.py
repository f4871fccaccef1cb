"""A tenant with three sealed runs of format 15."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import AttestationKind, Finding, ModelStruct, Outcome
from runbook_lib.core.redaction import Redactor
from runbook_lib.evidence.bundle import (
    Seal,
    SealedBundle,
    checksum_text,
    describe_file,
    draft_bundle,
)
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.proof.sealing import seal_run
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    ChainLink,
    Resource,
    sign_statement,
)
from runbook_lib.evidence.verify.verify import TrustAnchors
from runbook_lib.run.events import Attestation, Note, RunFinished, StepChecked
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import RunState
from tests.support.run_events import BINDING, STEP, exchange, started
from tests.unit.evidence.conftest import MATERIALS, new_key

RUNS = ("00000001", "00000002", "00000003")
START = datetime(2026, 12, 2, 12, tzinfo=UTC)
REPORT = "report.html"


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


def pages(record: RunState, link: ChainLink) -> dict[str, str]:
    """Return the report of a run."""
    return {REPORT: f"<p>Run {record.run}, number {link.sequence}: {record.outcome}</p>"}


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
            make_pages=pages,
        )


def sealed_home(folder: Path, key: SigningKey) -> Path:
    """Return a tenant's folder with three sealed runs; a person confirmed in the first."""
    home = folder / "acme" / "p"
    journal = open_journal(home)
    for run in RUNS:
        perform(journal, run, said="Done." if run == RUNS[0] else "")
        seal(journal, run, key)
    return home


def resign(
    bundle: Path,
    key: SigningKey,
    change: Callable[[Any], Any] = lambda claims: None,
    sums: str = "",
) -> None:
    """Sign a bundle again as it is now, as whoever has the key can, with changed claims."""
    document = json.loads((bundle / STATEMENT_NAME).read_bytes())
    statement = json.loads(base64.b64decode(document["payload"]))
    change(statement["predicate"])
    names = sorted(
        path.relative_to(bundle).as_posix()
        for path in bundle.rglob("*")
        if path.is_file() and path.name not in (STATEMENT_NAME, "SHA256SUMS")
    )
    files = [describe_file(bundle / name, name) for name in names]
    (bundle / "SHA256SUMS").write_text(sums or checksum_text(files))
    listed: list[Resource] = [describe_file(bundle / "SHA256SUMS", "SHA256SUMS"), *files]
    envelope = sign_statement(key, listed, TEST_RESULT, statement["predicate"])
    (bundle / STATEMENT_NAME).write_bytes(envelope)


@pytest.fixture(scope="session")
def key(keys_home: Path) -> SigningKey:
    """Return a signing key, the same for every test."""
    return new_key(keys_home / "proof.pem")


@pytest.fixture
def trust(key: SigningKey) -> TrustAnchors:
    """Return the trust in `key` alone."""
    return TrustAnchors({key.key_id: key.public})


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return a tenant with three sealed runs, which nobody changes."""
    return sealed_home(tmp_path_factory.mktemp("proof"), key)


@pytest.fixture
def home(master: Path, tmp_path: Path) -> Path:
    """Return a copy of that tenant, to alter."""
    shutil.copytree(master.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "acme" / "p"
