"""A bundle is complete or absent, signed, and has no secret in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.core.journal import Journal, read_lines
from runbook_lib.core.model import EventType, Outcome, RunOutcome, StepStarted
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ContentError, ExitCode, LeakError, SigningError, TimestampError
from runbook_lib.evidence import bundle
from runbook_lib.evidence.bundle import bundle_name, draft_bundle, verify_instructions, write_record
from runbook_lib.evidence.record import Record, parse_record
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import ChainLink, provenance_predicate, result_predicate
from tests.support.journals import head_of
from tests.support.wording import refused, refused_naming, wording
from tests.unit.evidence import conftest
from tests.unit.evidence.conftest import CANARY, MATERIALS, attach, ended_run, seal_run


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def claims(envelope: Path) -> dict[str, Any]:
    document = json.loads(envelope.read_text())
    statement: dict[str, Any] = json.loads(base64.b64decode(document["payload"]))
    return statement


def test_a_bundle_has_every_file_and_its_final_name(run: Run, key: SigningKey) -> None:
    """A sealed bundle has all its files under its final name, and no draft is left."""
    sealed = seal_run(run, key)

    assert sealed.folder == run.journal.path.parent / "20261124T120000Z-0a1b2c3d"
    assert set(contents(sealed.folder)) == {
        "01.ipynb",
        "SHA256SUMS",
        "VERIFY.md",
        "journal.jsonl",
        "provenance.dsse.json",
        "record.json",
        "record.schema.json",
        "report.html",
        "statement.dsse.json",
        "statement.sigstore.json",
    }
    assert not list(sealed.folder.parent.glob(".*"))
    assert (sealed.sequence, sealed.unstamped) == (1, "")


def test_the_journal_announces_the_bundle(run: Run, key: SigningKey) -> None:
    """The journal records name, number, statement digest and last line of the bundle."""
    sealed = seal_run(run, key)

    last = run.journal.entries()[-1]
    statement = hashlib.sha256((sealed.folder / "statement.dsse.json").read_bytes()).hexdigest()
    assert (last.type, last.run_id) == (EventType.BUNDLE_SEALED, run.run_id)
    copied = list(read_lines(sealed.folder / "journal.jsonl"))[-1].ref
    assert to_builtins(last.data) == {
        "bundle": sealed.folder.name,
        "sequence": 1,
        "statement": statement,
        "journal": {"lines": copied.seq, "head": copied.digest, "end": copied.end},
        "fleet_run": "",
    }


def test_the_public_key_is_exported_beside_the_tenants(run: Run, key: SigningKey) -> None:
    """Only the public key is exported, under the key's id."""
    seal_run(run, key)

    (path,) = (run.journal.path.parents[2] / "keys").iterdir()
    assert path.name == f"{key.key_id}.pub.pem"
    assert path.read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_the_statements_say_what_was_found_and_how(run: Run, key: SigningKey) -> None:
    """The statements use in-toto's test-result and SLSA's provenance; attested is not passed."""
    folder = seal_run(run, key, timestamp_authority="http://tsa.example").folder

    found = claims(folder / "statement.dsse.json")
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = found["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["passedTests"] == ["fb-01-verified"]
    assert predicate["warnedTests"] == ["fb-02-attested"]
    assert predicate["failedTests"] == ["fb-05-failed"]
    assert predicate["runbook_run"]["outcomes"]["skipped"] == ["fb-06-impossible", "fb-07-skipped"]
    assert predicate["runbook_chain"] == {
        "sequence": 1,
        "previous": None,
        "timestamp_authority": "http://tsa.example",
    }
    names = {each["name"] for each in found["subject"]}
    assert names == set(contents(folder)) - {"statement.dsse.json", "statement.sigstore.json"}

    made = claims(folder / "provenance.dsse.json")
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = made["predicate"]["buildDefinition"]
    assert [each["name"] for each in definition["resolvedDependencies"]] == [
        "notebooks/01.ipynb",
        "requirements.lock",
    ]
    assert definition["externalParameters"]["tenant"] == "acme"
    assert definition["internalParameters"] == {
        "mode": run.mode,
        "credentials": ["app_secret"],
        "procedure": predicate["runbook_run"]["procedure"],
    }
    assert predicate["runbook_run"]["fleet_run"] is None
    details = made["predicate"]["runDetails"]
    ran = predicate["runbook_run"]
    assert set(details["builder"]) == {"id", "version"}
    assert details["metadata"] == {
        "invocationId": run.run_id,
        "startedOn": ran["started_on"],
        "finishedOn": ran["finished_on"],
    }


@pytest.mark.parametrize(
    ("outcome", "steps", "result"),
    [
        ("complete", ("verified", "verified"), "PASSED"),
        ("complete", ("verified", "attested"), "WARNED"),
        ("incomplete", ("verified", "waiting"), "WARNED"),
        ("incomplete", ("verified", "in_part"), "WARNED"),
        ("failed", ("verified", "failed"), "FAILED"),
    ],
)
def test_the_result_is_one_of_in_totos_three(
    outcome: str, steps: tuple[str, ...], result: str, run: Run, tmp_path: Path
) -> None:
    """PASSED only if a machine verified every step whole; FAILED if the run failed."""
    record = write_record(tmp_path, run.state, run.history_reader)
    is_in_part = {"in_part": ("verified", True)}
    verified = record.steps[0]
    attested_step = record.steps[1]
    given = [
        structs.replace(
            attested_step if seen == "attested" else verified,
            id=name,
            outcome=Outcome(seen),
            needs_person=needs_person,
        )
        for name in steps
        for seen, needs_person in [is_in_part.get(name, (name, False))]
    ]
    record = structs.replace(record, outcome=RunOutcome(outcome), steps=tuple(given))

    found = result_predicate(record, link=ChainLink(1), configuration=(), timestamp_authority="")

    assert found["result"] == result
    assert "in_part" not in found["passedTests"]
    assert ("in_part" in found["warnedTests"]) is ("in_part" in steps)


def test_the_statements_mark_sandbox_and_production(
    run: Run, key: SigningKey, tmp_path: Path
) -> None:
    """The statements and VERIFY.md mark practice."""
    record = write_record(tmp_path, run.state, run.history_reader)
    for is_sandbox, place in ((True, "sandbox"), (False, "production")):
        marked = structs.replace(record, sandbox=is_sandbox)
        made = provenance_predicate(marked, materials=())
        found = result_predicate(
            marked, link=ChainLink(1), configuration=(), timestamp_authority=""
        )
        assert made["runDetails"]["builder"]["id"].endswith(f":{place}")
        assert found["runbook_run"]["sandbox"] is is_sandbox
        text = verify_instructions(marked, key_id="ab", link=ChainLink(1), timestamp_authority="")
        assert ("SANDBOX" in text) is is_sandbox


def test_each_statement_names_the_one_before_it(tmp_path: Path, key: SigningKey) -> None:
    """Each statement has its predecessor's folder and digest."""
    first = seal_run(ended_run(tmp_path, "00000001"), key)
    second = seal_run(ended_run(tmp_path, "00000002"), key)

    statement = hashlib.sha256((first.folder / "statement.dsse.json").read_bytes()).hexdigest()
    chain = claims(second.folder / "statement.dsse.json")["predicate"]["runbook_chain"]
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
    """A secret in a file or a statement's base64 payload, or an attachment, is found and named."""
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "run_report", lambda *_args, **_options: f"<p>{CANARY}</p>")
        leak(run, key, "report.html")

    with monkeypatch.context() as patch:
        poisoned = replace(MATERIALS[0], name=f"notebooks/{CANARY}")
        patch.setattr(conftest, "MATERIALS", (poisoned,))
        leak(run, key, ".json")

    attach(run, CANARY.encode())
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

    def note(self: Journal, event: str, *args: Any, **options: Any) -> Any:
        if event == EventType.BUNDLE_SEALED:
            announced.append(set(flushed))
        return append(self, event, *args, **options)

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


def test_the_records_files_are_written_and_belong_together(run: Run, tmp_path: Path) -> None:
    """Record, schema and journal are written, and the record names the journal's last line."""
    write_record(tmp_path, run.state, run.history_reader)

    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    parse_record((tmp_path / "record.json").read_bytes())
    assert json.loads((tmp_path / "record.schema.json").read_text())["$id"].startswith("urn:")
    copied = Journal(tmp_path / "journal.jsonl")
    assert len(copied.entries()) == record["journal"]["lines"]
    assert head_of(copied) == record["journal"]["head"]
    assert (tmp_path / "journal.jsonl").read_bytes() == run.journal.path.read_bytes()


def test_attachments_are_in_the_bundle(tmp_path: Path) -> None:
    """With four_eyes, attachments and attestations of both are there, named by their digests."""
    run = ended_run(tmp_path / "evidence", four_eyes=("all",))
    given = [attach(run, b"one", by="First"), attach(run, b"two", by="Second", name="a.png")]

    step = write_record(tmp_path, run.state, run.history_reader).steps[7]

    assert (step.attested_by, [word.by for word in step.confirmed_by]) == ("Second", ["First"])
    assert {attachment.name for attachment in step.attachments} == {"shot.png", "a.png"}
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in given)
    assert sorted(attachment.sha256 for attachment in step.attachments) == digests
    copied = {path.name: path.read_bytes() for path in (tmp_path / "attachments").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in given}


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\nothers", None], ids=["replaced", "gone"])
def test_a_file_that_is_not_what_was_attached_is_refused(
    content: bytes | None, run: Run, tmp_path: Path
) -> None:
    """A changed or missing attachment raises `ContentError`."""
    path = attach(run, b"pixels")
    path.unlink() if content is None else path.write_bytes(content)

    with refused(ContentError, "attachment-changed", name="shot.png"):
        write_record(tmp_path, run.state, run.history_reader)


def test_lines_that_another_process_adds_meanwhile_are_not_copied(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that another process appends during the sealing are not copied."""
    before = run.journal.path.read_bytes()
    parse = bundle.parse_record

    def append_meanwhile(content: bytes) -> Record:
        Journal(run.journal.path).append("step.started", StepStarted(), run_id="ffffffff")
        return parse(content)

    monkeypatch.setattr(bundle, "parse_record", append_meanwhile)
    write_record(tmp_path, run.state, run.history_reader)

    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert run.journal.path.read_bytes() != before
