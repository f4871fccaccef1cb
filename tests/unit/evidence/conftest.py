"""A small run whose steps have every outcome."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.attachments import attachment_path, store_attachment
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome, Table
from runbook_lib.core.procedure import Check, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import UnreachableError
from runbook_lib.evidence import sealing
from runbook_lib.evidence.bundle import Seal, SealedBundle, draft_bundle
from runbook_lib.evidence.reports.report import run_report
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.run.journal import Journal
from tests.conftest import NOON
from tests.support.attestations import attested, skipped
from tests.unit.evidence.sealed_runs import MATERIALS, RUNS, open_journal, perform, seal

CANARY = "canary/secret+1"
AT = "2026-11-20T09:00:00Z"
Change = Callable[[Any], Any]


def _seen_as(outcome: Outcome) -> Callable[[CheckContext], Finding]:
    def check(context: CheckContext) -> Finding:
        """Find what this step is for."""
        context.session.note(
            Exchange(method="GET", url="https://api.example/", sent_on=AT, elapsed=0.1, status=200)
        )
        return Finding(
            outcome=outcome,
            code="a-code",
            reason=f"Seen as {outcome}.",
            limits=("The rest.",),
            tables=(Table(caption="Pages", columns=("ID", "Name"), rows=(("1", "Acme"),)),),
        )

    return check


def _unreachable(context: CheckContext) -> Finding:
    raise UnreachableError("api.example could not be reached: no connection within 5 s.")


def _step(name: str, *checks: Callable[[CheckContext], Finding], requires: str = "") -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.CALL if checks else StepKind.MANUAL,
        source=Source(1),
        instructions="",
        own_sentence=f"I did {name}.",
        subject=(),
        checks=tuple(Check(check.__name__, check) for check in checks),
        requires=(requires,) if requires else (),
    )


STEPS = (
    _step("fb-01-verified", _seen_as(Outcome.VERIFIED)),
    _step("fb-02-attested"),
    _step("fb-03-waiting", _seen_as(Outcome.WAITING)),
    _step("fb-04-inconclusive", _unreachable),
    _step("fb-05-failed", _seen_as(Outcome.FAILED)),
    _step("fb-06-impossible", requires="fb-05-failed"),
    _step("fb-07-skipped"),
    _step("fb-08-not-run"),
)


def new_key(path: Path) -> SigningKey:
    """Return the signing key at `path`, which is made if it is missing."""
    create_key(path)
    return open_key(str(path), is_sandbox=False)


@pytest.fixture(scope="session")
def key(keys_home: Path) -> SigningKey:
    """Return a signing key, the same for every test."""
    return new_key(keys_home / "evidence.pem")


@pytest.fixture(scope="session")
def other_key(keys_home: Path) -> SigningKey:
    """Return a key that is not trusted."""
    return new_key(keys_home / "other.pem")


@pytest.fixture
def trust(key: SigningKey) -> TrustAnchors:
    """Return the trust in `key` alone."""
    return TrustAnchors({key.key_id: key.public})


def seal_run(run: Run, key: SigningKey, **options: Any) -> SealedBundle:
    """Seal a run, with a file in place of its executed notebook."""
    with draft_bundle(run.journal.path.parent, run.run_id) as folder:
        (folder / "01.ipynb").write_text('{"cells": []}\n', encoding="utf-8")
        return sealing.seal_run(
            folder,
            run.journal,
            run.run_id,
            run.redactor,
            Seal(key, MATERIALS, **options),
            make_report=lambda state, lines, files: run_report(state, lines, attachments=files),
        )


def ended_run(
    evidence: Path,
    run_id: str = "0a1b2c3d",
    *,
    four_eyes: tuple[str, ...] = (),
    has_statements: bool = True,
    is_finished: bool = True,
    at: datetime = NOON,
) -> Run:
    """
    Return a run for the tenant acme that has ended, with one step of each outcome.

    Without `has_statements`, it relies on what people stated in earlier runs; unless `is_finished`,
    the caller ends it.
    """
    section = Section(id="01", title="One", intro="", steps=STEPS)
    run = Run(
        Procedure(id="p", version="1", title="P", sections=(section,), inputs=()),
        Settings({"four_eyes": four_eyes} if four_eyes else {}, {"app_secret": Secret(CANARY)}),
        Journal(evidence / "acme" / "p" / "journal.jsonl", clock=lambda: at),
        "acme",
        Mode.HEADLESS,
        run_id,
    )
    run.start()
    if has_statements:
        run.say([attested("fb-02-attested", at=AT, note="Done.")])
        run.say([skipped("fb-07-skipped", at=AT, note="Not needed.")])
    for step in STEPS[:-1]:
        run.perform(step.id)
    if is_finished:
        run.finish()
    return run


def new(*path: Any, **fields: Any) -> Change:
    """Return the change that gives these fields to the object at `path` of a document."""

    def change(document: Any) -> None:
        place = document
        for name in path:
            place = place[name]
        place.update(fields)

    return change


def lost(*path: Any) -> Change:
    """Return the change that takes the field at `path` from a document."""

    def change(document: Any) -> None:
        place = document
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]

    return change


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of an object store in memory."""
    from fsspec.implementations.memory import MemoryFileSystem  # noqa: PLC0415

    yield "memory://bucket"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def sealed_evidence(folder: Path, key: SigningKey, runs: int = 2) -> Path:
    """Return an evidence folder in `folder` with so many sealed runs of one tenant."""
    for number in range(1, runs + 1):
        seal_run(ended_run(folder / "evidence", f"{number:08}"), key)
    return folder / "evidence"


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return a tenant with three sealed runs of one step, which nobody changes."""
    home = tmp_path_factory.mktemp("sealed") / "acme" / "p"
    journal = open_journal(home)
    for number in RUNS:
        # A person confirmed in the first.
        perform(journal, number, said="Done." if number == RUNS[0] else "")
        seal(journal, number, key)
    return home


@pytest.fixture
def home(master: Path, tmp_path: Path) -> Path:
    """Return a copy of that tenant, to alter."""
    shutil.copytree(master.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "acme" / "p"


def attach(run: Run, content: bytes = b"", *, by: str = "Operator", name: str = "shot.png") -> Path:
    """Attach a picture to an attestation of the last step; return where the run keeps it."""
    folder = run.journal.path.parent / "attachments"
    png = b"\x89PNG\r\n\x1a\n" + content
    given = store_attachment(folder, name=name, media_type="image/png", content=png)
    run.say([attested("fb-08-not-run", by=by, at=AT, note="See there.", attachments=(given,))])
    return attachment_path(folder, given)


def failing(error: Exception) -> Callable[..., Any]:
    """Return a function that raises this error, whatever it is given."""

    def fail(*_args: object, **_options: object) -> None:
        raise error

    return fail


def errors_of(place: Path, trust: TrustAnchors, *connector: str) -> list[Exception | None]:
    """Return the error of each verdict on the evidence in `place`, `None` where it is accepted."""
    return [verdict.error for verdict in verify_tree(place, trust, *connector)]


def is_in_order(place: Path, trust: TrustAnchors) -> bool:
    """Return whether all evidence in `place` is accepted."""
    return set(errors_of(place, trust)) == {None}


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail if the block needs more memory, in bytes."""
    tracemalloc.start()
    try:
        yield
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < limit


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run that has ended, with one step of each outcome."""
    return ended_run(tmp_path / "evidence")
