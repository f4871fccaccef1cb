"""A bundle describes its run, and contains no secret."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import Note, Outcome
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ContentError, ExitCode, LeakError, SigningError, TimestampError
from runbook_lib.evidence import sealing
from runbook_lib.evidence.bundle import bundle_name, draft_bundle
from runbook_lib.evidence.claims import claims_of
from runbook_lib.evidence.record import JournalExcerpt, parse_record
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import ChainLink
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import verdict_on
from runbook_lib.run.events import BundleSealed
from runbook_lib.run.journal import Journal, parse_line
from runbook_lib.run.state import RunState
from tests.support.procedures import plain_step
from tests.support.resigned_statements import payload, resign
from tests.support.run_states import run_state, step_state
from tests.support.wording import refused, refused_naming, wording
from tests.unit.evidence import conftest
from tests.unit.evidence.conftest import AT, CANARY, MATERIALS, attach, ended_run, seal_run

EXCERPT = JournalExcerpt(first=1, lines=1, previous="0" * 64, head="0" * 64)


def claims(record: RunState) -> dict[str, Any]:
    """Return what a statement claims about a run."""
    link = ChainLink(1)
    return claims_of(record, excerpt=EXCERPT, link=link, configuration=(), timestamp_authority="")


def test_the_public_key_is_exported_beside_the_tenants(run: Run, key: SigningKey) -> None:
    """Only the public key is exported, under the key's id."""
    seal_run(run, key)

    (path,) = (run.journal.path.parents[2] / "keys").iterdir()
    assert path.name == f"{key.key_id}.pub.pem"
    assert path.read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_the_statement_says_what_was_found(run: Run, key: SigningKey) -> None:
    """It is in-toto's test-result about every file; attested is not passed."""
    folder = seal_run(run, key, timestamp_authority="http://tsa.example").folder

    found = payload(folder)
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = found["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["passedTests"] == ["fb-01-verified"]
    assert predicate["warnedTests"] == ["fb-02-attested"]
    assert predicate["failedTests"] == ["fb-05-failed"]
    assert [each["name"] for each in predicate["configuration"]] == [
        "notebooks/01.ipynb",
        "requirements.lock",
    ]
    assert predicate["runbook_run"]["outcomes"]["skipped"] == ["fb-06-impossible", "fb-07-skipped"]
    assert predicate["runbook_run"]["fleet_run"] is None
    assert predicate["runbook_chain"] == {
        "sequence": 1,
        "previous": None,
        "timestamp_authority": "http://tsa.example",
    }
    names = {path.name for path in folder.iterdir()}
    assert {each["name"] for each in found["subject"]} == names - {"statement.dsse.json"}


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        (("verified", "verified"), "PASSED"),
        (("verified", "attested"), "WARNED"),
        (("verified", "waiting"), "WARNED"),
        (("verified", "in_part"), "WARNED"),
        (("verified", "earlier"), "WARNED"),
        (("verified", "failed"), "FAILED"),
    ],
)
def test_the_result_is_one_of_in_totos_three(outcomes: tuple[str, ...], result: str) -> None:
    """PASSED only if a machine verified every step whole in this run; FAILED if the run failed."""
    more: dict[str, dict[str, Any]] = {
        "in_part": {"needs_person": True},
        "earlier": {"verified_on": "2026-12-01"},
    }
    steps = [
        step_state(
            plain_step(name),
            Outcome.VERIFIED if name in more else Outcome(name),
            **more.get(name, {}),
        )
        for name in outcomes
    ]
    found = claims(run_state(*steps))

    assert found["result"] == result
    for name in more:
        assert name not in found["passedTests"]
        assert (name in found["warnedTests"]) is (name in outcomes)


@pytest.mark.parametrize("is_sandbox", [True, False])
def test_the_statement_and_the_instructions_mark_practice(
    run: Run, key: SigningKey, monkeypatch: pytest.MonkeyPatch, *, is_sandbox: bool
) -> None:
    """Whoever verifies by hand reads it, too."""
    fold = sealing.fold

    def folded(*given: Any) -> RunState:
        return structs.replace(fold(*given), sandbox=is_sandbox)

    monkeypatch.setattr(sealing, "fold", folded)
    folder = seal_run(run, key).folder

    assert payload(folder)["predicate"]["runbook_run"]["sandbox"] is is_sandbox
    assert ("SANDBOX" in (folder / "VERIFY.md").read_text()) is is_sandbox


def test_each_statement_names_the_one_before_it(tmp_path: Path, key: SigningKey) -> None:
    """Each statement has its predecessor's folder and digest."""
    first = seal_run(ended_run(tmp_path, "00000001"), key)
    second = seal_run(ended_run(tmp_path, "00000002"), key)

    statement = hashlib.sha256((first.folder / "statement.dsse.json").read_bytes()).hexdigest()
    chain = payload(second.folder)["predicate"]["runbook_chain"]
    assert (second.sequence, chain["sequence"]) == (2, 2)
    assert chain["previous"] == {"name": first.folder.name, "digest": {"sha256": statement}}
    said = (second.folder / "VERIFY.md").read_text()
    assert wording("verify.previous-bundle", name=first.folder.name) in said
    assert said.count(statement) == 2
    assert wording("verify.first-of-chain") in (first.folder / "VERIFY.md").read_text()


def leak(run: Run, key: SigningKey, where: str) -> LeakError:
    """Return why `run` is not sealed; no bundle and no journal line is written."""
    before = run.journal.path.read_bytes()
    home = run.journal.path.parent
    with refused_naming(LeakError, where) as caught:
        seal_run(run, key)
    assert run.journal.path.read_bytes() == before
    assert [path.name for path in home.iterdir() if path.is_dir()] in ([], ["attachments"])
    return caught.value


def test_a_secret_leaves_no_bundle(
    run: Run, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in a file or a statement's base64 payload is found, and its file is named."""
    with monkeypatch.context() as patch:
        patch.setattr(conftest, "run_report", lambda *_args, **_options: f"<p>{CANARY}</p>")
        leak(run, key, "report.html")

    with monkeypatch.context() as patch:
        poisoned = replace(MATERIALS[0], name=f"notebooks/{CANARY}")
        patch.setattr(conftest, "MATERIALS", (poisoned,))
        leak(run, key, ".json")


def test_a_secret_in_an_attachment_leaves_no_bundle(tmp_path: Path, key: SigningKey) -> None:
    """The message has the name that a person gave the file."""
    run = ended_run(tmp_path / "evidence", is_finished=False)
    attach(run, CANARY.encode())
    run.finish()

    where = wording("secret-in-evidence.in-attachment", name="shot.png", step="fb-08-not-run")
    leak(run, key, where)


def test_a_credential_that_is_a_name_of_the_runbook_is_found(run: Run, key: SigningKey) -> None:
    """A credential that equals a step's id leaves no bundle, and the message says what to do."""
    run.redactor.learn(Secret("fb-08-not-run"))

    error = leak(run, key, "fb-07-skipped")
    assert wording("advice.rename-secret") in error.diagnostics()


def test_every_file_is_on_disk_before_the_announcement(
    run: Run, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of a bundle is flushed before the journal announces it."""
    flushed: set[int] = set()
    announced: list[set[int]] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    append = Journal.append

    def note(self: Journal, *events: Any, **options: Any) -> Any:
        if any(isinstance(event, BundleSealed) for event in events):
            announced.append(set(flushed))
        return append(self, *events, **options)

    monkeypatch.setattr(Journal, "append", note)
    folder = seal_run(run, key).folder

    inodes = {path.stat().st_ino for path in (folder, *folder.rglob("*"))}
    assert announced[0] >= inodes


def test_a_time_stamp_error_does_not_stop_the_sealing(run: Run, key: SigningKey) -> None:
    """If the time-stamp fails, the bundle is sealed and the result has the reason."""
    reason = "not today"

    def refuse(_authority: str, _content: bytes) -> bytes:
        raise TimestampError(reason)

    sealed = seal_run(run, key, timestamp_authority="http://tsa.example", stamp=refuse)

    assert sealed.unstamped == reason
    assert not (sealed.folder / "statement.tsr").exists()


def test_a_signing_error_leaves_no_bundle(run: Run, key: SigningKey) -> None:
    """If signing fails, the exit code is 3, no bundle is left, and the error is not quoted."""

    class Broken:
        def sign(self, _content: bytes) -> None:
            raise RuntimeError("PIN 1234 refused")

    with pytest.raises(SigningError) as caught:
        seal_run(run, SigningKey(key.public, Broken()))  # type: ignore[arg-type]

    assert "1234" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert not [path for path in run.journal.path.parent.iterdir() if path.is_dir()]


def test_a_draft_is_empty_and_hidden_and_removed(tmp_path: Path) -> None:
    """A draft begins empty, also after a killed run, and is removed if it is not sealed."""
    old = tmp_path / ".draft-0a1b2c3d"
    old.mkdir()
    (old / "left.txt").write_text("x")

    with draft_bundle(tmp_path, "0a1b2c3d") as path:
        assert path == old
        assert list(path.iterdir()) == []
        (path / "new.txt").write_text("x")

    assert not old.exists()


def test_a_draft_is_removed_when_something_breaks(tmp_path: Path) -> None:
    """A draft is removed after an exception."""

    def break_off() -> None:
        with draft_bundle(tmp_path / "new" / "tenant", "0a1b2c3d") as path:
            (path / "half.txt").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()

    assert list((tmp_path / "new" / "tenant").iterdir()) == []


def test_a_bundles_name_sorts_by_time(run: Run) -> None:
    """A bundle's name is the run's start in UTC and its id."""
    assert bundle_name(run.state.started_on, run.run_id) == "20261124T120000Z-0a1b2c3d"


def test_attachments_are_in_the_bundle(tmp_path: Path, key: SigningKey) -> None:
    """With four_eyes, attachments and attestations of both are there, named by their digests."""
    run = ended_run(tmp_path / "evidence", four_eyes=("all",), is_finished=False)
    given = [attach(run, b"one", by="First"), attach(run, b"two", by="Second", name="a.png")]
    run.finish()

    folder = seal_run(run, key).folder
    step = parse_record((folder / "record.json").read_bytes()).step("fb-08-not-run")

    assert (step.attested_by, [word.by for word in step.confirmed_by]) == ("Second", ["First"])
    assert {attachment.name for attachment in step.attachments} == {"shot.png", "a.png"}
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in given)
    assert sorted(attachment.sha256 for attachment in step.attachments) == digests
    copied = {path.name: path.read_bytes() for path in (folder / "attachments").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in given}


def test_the_key_forges_no_attachment(tmp_path: Path, key: SigningKey, trust: TrustAnchors) -> None:
    """A bundle has each attached file under its digest, as the person's line says."""
    run = ended_run(tmp_path / "evidence", is_finished=False)
    name = attach(run, b"pixels").name
    run.finish()
    folder = seal_run(run, key).folder
    assert verdict_on(folder, trust).error is None

    (folder / "attachments" / name).write_bytes(b"\x89PNG\r\n\x1a\nothers")
    resign(folder, key)
    replaced = verdict_on(folder, trust).error
    shutil.rmtree(folder / "attachments")
    resign(folder, key)
    removed = verdict_on(folder, trust).error

    assert [error and error.file for error in (replaced, removed)] == [f"attachments/{name}"] * 2


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\nothers", None], ids=["replaced", "gone"])
def test_a_file_that_is_not_what_was_attached_is_refused(
    content: bytes | None, tmp_path: Path, key: SigningKey
) -> None:
    """A changed or missing attachment leaves no bundle."""
    run = ended_run(tmp_path / "evidence", is_finished=False)
    path = attach(run, b"pixels")
    run.finish()
    path.unlink() if content is None else path.write_bytes(content)

    with refused(ContentError, "attachment-changed", name="shot.png"):
        seal_run(run, key)


def test_lines_that_another_process_adds_meanwhile_are_not_copied(
    run: Run, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that another process appends during the sealing are the next bundle's."""
    before = run.journal.path.read_bytes()
    record_bytes = sealing.record_bytes

    def append_meanwhile(record: RunState) -> bytes:
        Journal(run.journal.path).append(Note(by="Ben", at=AT, note="x"), step="fb-01-verified")
        return record_bytes(record)

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "record_bytes", append_meanwhile)
        first = seal_run(run, key).folder
    assert (first / "journal.jsonl").read_bytes() == before

    second = seal_run(ended_run(run.evidence, "ffffffff"), key).folder
    line, *_ = (second / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert parse_line(line, "A line").event.note == "x"
