"""A bundle is whole or absent, and leaves with no secret in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.attachments import attachment_path, store_attachment
from runbook_lib.errors import ChainError, ExitCode, LeakError
from runbook_lib.evidence import bundle
from runbook_lib.evidence.bundle import bundle_name, draft, seal, write_record
from runbook_lib.evidence.record import validate_record
from runbook_lib.journal import Journal
from runbook_lib.procedure import Attestation
from runbook_lib.redaction import Redactor, Secret
from runbook_lib.run import Run
from tests.unit.bodies import USER_TOKEN
from tests.unit.evidence.conftest import AT, CANARY


@pytest.fixture
def redactor() -> Redactor:
    return Redactor([Secret(CANARY)])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return a folder with a file of each kind, none of which holds a secret."""
    path = tmp_path / ".draft"
    (path / "attachments").mkdir(parents=True)
    for name in ("01.ipynb", "record.json", "journal.jsonl", "report.html", "VERIFY.md"):
        (path / name).write_text("{}\n", encoding="utf-8")
    (path / "attachments" / "shot.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\x00")
    return path


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_clean_folder_is_sealed_whole(filled: Path, tmp_path: Path, redactor: Redactor) -> None:
    """Every file arrives under the final name, byte for byte; the draft is gone."""

    before = contents(filled)

    seal(filled, tmp_path / "final", redactor)

    assert contents(tmp_path / "final") == before
    assert not filled.exists()


FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": lambda value: value.replace("/", "%2F").replace("+", "%2B"),
    "json": lambda value: value.replace("/", "\\/"),
    "base64": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name",
    [
        "01.ipynb",
        "record.json",
        "journal.jsonl",
        "report.html",
        "VERIFY.md",
        "attachments/shot.png",
        "attachments/deep/note.txt",
    ],
)
def test_a_secret_in_any_file_refuses_the_bundle(
    filled: Path, tmp_path: Path, redactor: Redactor, name: str, form: str
) -> None:
    """Whatever the file and the encoding: nothing is renamed, and the value is not quoted."""

    leak = FORMS[form](CANARY)
    (filled / name).parent.mkdir(exist_ok=True)
    with (filled / name).open("ab") as file:
        file.write(f"some text {leak} more text\n".encode())

    with pytest.raises(LeakError) as caught:
        seal(filled, tmp_path / "final", redactor)

    assert Path(name).name in str(caught.value)
    assert leak not in str(caught.value)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert not (tmp_path / "final").exists()
    assert filled.is_dir()


def test_a_token_that_nobody_knows_refuses_the_bundle_too(filled: Path, tmp_path: Path) -> None:
    """What is shaped like a Facebook token does not leave."""

    (filled / "record.json").write_text(f'{{"x": "{USER_TOKEN}"}}')

    with pytest.raises(LeakError, match=r"record\.json"):
        seal(filled, tmp_path / "final", Redactor())


def test_the_step_of_a_leak_is_named(filled: Path, tmp_path: Path, redactor: Redactor) -> None:
    """Whoever reports the defect can say where it is."""

    lines = [
        json.dumps({"step": "fb-01-log-in", "data": "harmless"}),
        json.dumps({"step": "fb-13-app-id-and-secret", "data": CANARY}),
    ]
    (filled / "journal.jsonl").write_text("\n".join(lines) + "\n")

    with pytest.raises(LeakError, match=r"in journal\.jsonl, fb-13-app-id-and-secret\."):
        seal(filled, tmp_path / "final", redactor)


def test_every_file_is_on_disk_before_the_rename(
    filled: Path, tmp_path: Path, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that has its name has its contents, after a power cut too."""

    files = {path.stat().st_ino for path in filled.rglob("*") if path.is_file()}
    flushed: set[int] = set()

    def note(descriptor: int) -> None:
        if filled.exists():
            flushed.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(bundle.os, "fsync", note)
    seal(filled, tmp_path / "final", redactor)

    assert flushed >= files


def test_a_bundles_name_is_on_disk_too(
    filled: Path, tmp_path: Path, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the rename the folder that holds the name is flushed (fsync(2), NOTES)."""

    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))

    seal(filled, tmp_path / "final", redactor)

    assert flushed[-1] == tmp_path.stat().st_ino


def test_a_bundle_is_never_written_into_again(
    filled: Path, tmp_path: Path, redactor: Redactor
) -> None:
    """A name that is taken is refused, and what lies there is untouched."""

    final = tmp_path / "final"
    final.mkdir()
    (final / "record.json").write_text("first")

    with pytest.raises(OSError, match=r".+"):
        seal(filled, final, redactor)

    assert contents(final) == {"record.json": b"first"}


def test_a_draft_is_empty_and_hidden_and_removed(tmp_path: Path) -> None:
    """What an earlier, killed run left is thrown away; what is not sealed does not stay."""

    old = tmp_path / ".draft-0a1b2c3d"
    old.mkdir()
    (old / "left.txt").write_text("x")

    with draft(tmp_path, "0a1b2c3d") as path:
        assert path == old
        assert list(path.iterdir()) == []
        (path / "new.txt").write_text("x")

    assert not old.exists()


def test_a_draft_is_removed_when_something_breaks(tmp_path: Path) -> None:
    """Half a bundle never stays behind."""

    def break_off() -> None:
        with draft(tmp_path / "new" / "tenant", "0a1b2c3d") as path:
            (path / "half.txt").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()

    assert list((tmp_path / "new" / "tenant").iterdir()) == []


def test_a_draft_that_was_sealed_leaves_the_bundle_alone(
    tmp_path: Path, redactor: Redactor
) -> None:
    """Clearing up after the rename does not touch what was renamed."""

    with draft(tmp_path, "0a1b2c3d") as path:
        (path / "a.txt").write_text("x")
        seal(path, tmp_path / "final", redactor)

    assert contents(tmp_path / "final") == {"a.txt": b"x"}


def test_a_bundles_name_sorts_by_time(run: Run) -> None:
    """When the run began, in UTC, and its id; no character that a file system refuses."""

    assert bundle_name(run.state) == "20261124T120000Z-0a1b2c3d"


def test_the_records_files_are_written_and_belong_together(run: Run, tmp_path: Path) -> None:
    """Record, schema and journal lie side by side, and the record names the journal's end."""

    write_record(tmp_path, run.state, run.journal)

    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    validate_record(record)
    assert json.loads((tmp_path / "record.schema.json").read_text())["$id"].startswith("urn:")
    copied = Journal(tmp_path / "journal.jsonl")
    assert len(copied.entries()) == record["journal"]["lines"]
    assert copied.head == record["journal"]["head"]
    assert (tmp_path / "journal.jsonl").read_bytes() == run.journal.path.read_bytes()


def test_what_people_attached_is_in_the_bundle(run: Run, tmp_path: Path) -> None:
    """A screenshot lies beside the record, which names it by digest and belonging."""

    attachment = store_attachment(
        run.journal.path.parent / "attachments",
        name="shot.png",
        media_type="image/png",
        content=b"\x89PNG\r\n\x1a\npixels",
    )
    word = Attestation(
        step="fb-08-not-run", by="Operator", at=AT, note="See there.", attachments=(attachment,)
    )
    run.attest([word])

    write_record(tmp_path, run.state, run.journal)

    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    (listed,) = record["steps"][7]["attachments"]
    assert (listed["name"], listed["sha256"]) == ("shot.png", attachment.sha256)
    kept = attachment_path(tmp_path / "attachments", attachment)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == attachment.sha256


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\nothers", None], ids=["replaced", "gone"])
def test_a_file_that_is_not_what_was_attached_is_refused(
    content: bytes | None, run: Run, tmp_path: Path
) -> None:
    """The evidence never names a digest that it does not hold."""

    folder = run.journal.path.parent / "attachments"
    attachment = store_attachment(
        folder, name="shot.png", media_type="image/png", content=b"\x89PNG\r\n\x1a\npixels"
    )
    run.attest([Attestation(step="fb-08-not-run", by="Operator", at=AT, attachments=(attachment,))])
    path = attachment_path(folder, attachment)
    path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(ChainError, match="not what was attached"):
        write_record(tmp_path, run.state, run.journal)


def test_lines_that_another_process_adds_meanwhile_are_not_copied(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy ends where the record was derived from, though the journal goes on."""

    before = run.journal.path.read_bytes()
    validate = bundle.validate_record

    def append_meanwhile(record: dict[str, object]) -> None:
        validate(record)
        Journal(run.journal.path).append("run.started", {}, run_id="ffffffff")

    monkeypatch.setattr(bundle, "validate_record", append_meanwhile)
    write_record(tmp_path, run.state, run.journal)

    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert run.journal.path.read_bytes() != before
