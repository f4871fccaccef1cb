"""A small run whose steps have every outcome."""

from __future__ import annotations

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
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import Exchange, Finding, Outcome, Table
from runbook_lib.core.procedure import Check, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import UnreachableError
from runbook_lib.evidence.bundle import Seal, SealedBundle, draft_bundle, seal_bundle
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.evidence.signing.statement import Resource
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.conftest import NOON
from tests.support.attestations import attested, skipped

CANARY = "canary/secret+1"
AT = "2026-11-20T09:00:00Z"
Change = Callable[[Any], Any]
MATERIALS = (
    Resource("notebooks/01.ipynb", "ab" * 32, 12),
    Resource("requirements.lock", "cd" * 32, 3),
)


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
        seal_with = Seal(key, MATERIALS, **options)
        return seal_bundle(folder, run.state, run.history_reader, run.redactor, seal_with)


def ended_run(
    evidence: Path,
    run_id: str = "0a1b2c3d",
    *,
    four_eyes: tuple[str, ...] = (),
    has_statements: bool = True,
    at: datetime = NOON,
) -> Run:
    """
    Return a run for the tenant acme that has ended, with one step of each outcome.

    Without `has_statements`, it relies on what people stated in earlier runs.
    """
    section = Section(id="01", title="One", intro="", steps=STEPS)
    run = Run(
        Procedure(id="p", version="1", title="P", sections=(section,), inputs=()),
        Settings({"four_eyes": four_eyes} if four_eyes else {}, {"app_secret": Secret(CANARY)}),
        Journal(evidence / "acme" / "p" / "journal.jsonl", clock=lambda: at),
        "acme",
        "headless",
        run_id,
        clock=lambda: at,
    )
    run.start()
    if has_statements:
        run.say([attested("fb-02-attested", at=AT, note="Done.")])
        run.say([skipped("fb-07-skipped", at=AT, note="Not needed.")])
    for step in STEPS[:-1]:
        run.perform(step.id)
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


class CutOff(BaseException):
    """Stands for the kill of a process: no code runs after it."""


def cut_off(run: Run, key: SigningKey) -> Path:
    """Seal `run`, but be killed between the announcement and the rename; return what it left."""
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name.startswith(".sealed-"):
            raise CutOff
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(CutOff):
            seal_run(run, key)
    return run.journal.path.with_name(f".sealed-{run.run_id}")


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


@pytest.fixture(scope="session")
def attested_runs(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with three sealed runs, each with statements; made once."""
    return _three_runs(tmp_path_factory.mktemp("attested") / "evidence", key, attested_in=(1, 2, 3))


@pytest.fixture(scope="session")
def carrying_runs(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return one whose second and third run carry the first one's statements; made once."""
    return _three_runs(tmp_path_factory.mktemp("carrying") / "evidence", key, attested_in=(1,))


def _three_runs(evidence: Path, key: SigningKey, *, attested_in: tuple[int, ...]) -> Path:
    for number in (1, 2, 3):
        seal_run(ended_run(evidence, f"0000000{number}", has_statements=number in attested_in), key)
    return evidence
