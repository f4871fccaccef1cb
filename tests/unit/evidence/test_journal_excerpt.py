"""A bundle has its own journal lines and the older ones on which its outcomes rely, no more."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.core.journal import Journal, JournalLine, LineRef, read_lines
from runbook_lib.core.model import (
    FORMAT_VERSION,
    AttestationDetails,
    Binding,
    Exchange,
    Finding,
    Outcome,
    StepChecked,
)
from runbook_lib.core.run_state import open_history
from runbook_lib.errors import ChainError, ContentError, EvidenceError, FormatError
from runbook_lib.evidence.bundle import write_record
from runbook_lib.evidence.chain import last_copied
from runbook_lib.evidence.journal_excerpt import check_lines, copy_lines, report_entries
from runbook_lib.evidence.record import parse_record, record_text
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.verify import TrustAnchors, verify_bundle
from tests.support.attestations import assigned, attested, commented, withdrawn
from tests.support.journals import announced, chained, copied, entry, lines_of
from tests.support.resigned_statements import STATEMENT, payload, resign_everything
from tests.support.wording import field_invalid, field_missing, refused, refused_naming, wording
from tests.unit.evidence.conftest import (
    AT,
    Change,
    attach,
    ended_run,
    errors_of,
    lost,
    memory_below,
    new,
    seal_run,
)
from tests.unit.evidence.reports.sample_runs import attestation_json, check, record, step

Document = dict[str, Any]
Refused = Callable[..., str]
STEP = "fb-01-log-in"
ZEROS = "0" * 64
SHA = "ab" * 32


@pytest.fixture
def tenant(tmp_path: Path, carrying_runs: Path) -> Path:
    """Return a folder with three bundles; the later ones rely on statements in the first."""
    return Path(shutil.copytree(carrying_runs, tmp_path / "evidence")) / "acme" / "p"


def bundle(tenant: Path, number: int) -> Path:
    (found,) = tenant.glob(f"2*-0000000{number}")
    return found


def resign(folder: Path, key: SigningKey, change: Change = bool) -> None:
    """Change the record, and sign the whole bundle again, as only the holder of the key can."""
    record = json.loads((folder / "record.json").read_text())
    change(record)
    (folder / "record.json").write_text(json.dumps(record))
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["journal"] = record["journal"]
    resign_everything(folder, key, statement)


def refusal(folder: Path, trust: TrustAnchors) -> str:
    with pytest.raises(EvidenceError) as caught:
        verify_bundle(folder, trust)
    assert str(caught.value).startswith(f"{caught.value.file}: ")
    return str(caught.value)


@pytest.fixture
def refusal_after(tenant: Path, key: SigningKey, trust: TrustAnchors) -> Refused:
    """Return a function: why is a bundle refused after this change of its signed record?"""

    def why(number: int, change: Change = bool) -> str:
        resign(bundle(tenant, number), key, change)
        return refusal(bundle(tenant, number), trust)

    return why


def test_each_bundle_begins_where_the_one_before_ended(tenant: Path) -> None:
    """The bundles' parts together are the journal; each announcement has the next one's start."""
    journal = tenant / "journal.jsonl"
    bundles = [bundle(tenant, number) for number in (1, 2, 3)]
    records = [to_builtins(parse_record(record_text(folder)).journal) for folder in bundles]

    whole = copied(*bundles)
    assert journal.read_bytes().startswith(whole)
    assert (records[0]["first"], records[0]["previous"]) == (1, "0" * 64)
    for before, after in pairwise(records):
        assert (after["first"], after["previous"]) == (before["lines"] + 1, before["head"])
    last = last_copied(announced(journal)[-1])
    assert (last.seq, last.digest) == (records[-1]["lines"], records[-1]["head"])
    assert last.end == len(whole)


def test_earlier_statements_are_carried(tenant: Path, trust: TrustAnchors) -> None:
    """
    Earlier statements are copied byte for byte with number and digest; a first bundle has none.
    """
    assert not (bundle(tenant, 1) / "carried.jsonl").exists()
    lines = (tenant / "journal.jsonl").read_bytes().splitlines(keepends=True)

    for number in (2, 3):
        carried = (bundle(tenant, number) / "carried.jsonl").read_bytes().splitlines(keepends=True)
        listed = parse_record(record_text(bundle(tenant, number))).carried
        assert [json.loads(line)["type"] for line in carried] == ["step.attested", "step.skipped"]
        digests = [hashlib.sha256(line).hexdigest() for line in carried]
        assert [line.sha256 for line in listed] == digests
        assert carried == [lines[line.seq - 1] for line in listed]
        assert verify_bundle(bundle(tenant, number), trust).carried == listed


def test_one_bundle_alone_can_be_verified(
    tenant: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """One bundle is verified and reported without the others and without the journal."""
    alone = shutil.copytree(bundle(tenant, 3), tmp_path / "alone")
    shutil.rmtree(tenant)

    assert errors_of(alone, trust) == [None]
    entries = report_entries(alone, parse_record(record_text(alone)))
    said = [entry.data.note for entry in entries if isinstance(entry.data, AttestationDetails)]
    assert said == ["Done.", "Not needed."]
    assert "Done." in (alone / "report.html").read_text(encoding="utf-8")


def test_a_withdrawn_statement_is_not_carried(tmp_path: Path, key: SigningKey) -> None:
    """Only statements that count are carried."""
    seal_run(ended_run(tmp_path, "00000001"), key)
    run = ended_run(tmp_path, "00000002", has_statements=False)
    run.say([withdrawn("fb-02-attested", at=AT)])

    folder = seal_run(run, key).folder

    carried = (folder / "carried.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in carried] == ["step.skipped"]


def test_a_run_reads_the_journal_from_the_last_bundle_on(
    tenant: Path, tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing reads only the journal lines after the last bundle."""
    run = ended_run(tmp_path / "evidence", "00000004", has_statements=False)
    run.history_reader.read()
    begins: list[int] = []

    def note(path: Path, **options: Any) -> Any:
        if path == run.journal.path:
            begins.append(options["after"].end)
        return read_lines(path, **options)

    monkeypatch.setattr("runbook_lib.evidence.bundle.read_lines", note)
    monkeypatch.setattr("runbook_lib.core.run_state.read_lines", note)
    monkeypatch.setattr(Journal, "entries", lambda _: pytest.fail("the whole journal was read"))
    before = announced(run.journal.path)[-1].journal.end
    begins.clear()

    seal_run(run, key)

    assert begins
    assert min(begins) >= before


def test_a_journal_that_is_cut_meanwhile_is_named(tmp_path: Path) -> None:
    """If the file ends before the lines that are copied, the error has its path and the reason."""
    source = tmp_path / "journal.jsonl"
    source.write_bytes(b"12345")

    with refused(OSError, "became-shorter") as caught:
        copy_lines(source, 1, 9, tmp_path / "copy")

    assert caught.value.filename == str(source)


@pytest.mark.matrix(0)
def test_the_size_of_bundles_does_not_grow(tmp_path: Path, key: SigningKey) -> None:
    """The tenth bundle is as large as the second."""
    seal_run(ended_run(tmp_path, "0000000f"), key)
    sizes = []
    for number in range(9):
        folder = seal_run(ended_run(tmp_path, f"0000000{number}", has_statements=False), key).folder
        sizes.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))

    assert max(sizes) - min(sizes) < 600


@pytest.mark.parametrize("name", ["first", "lines", "previous", "head"])
def test_a_record_that_names_another_part_is_refused(name: str, refusal_after: Refused) -> None:
    """Each field of the record's part is compared with the lines."""

    def change(record: Document) -> None:
        value = record["journal"][name]
        record["journal"][name] = value - 1 if isinstance(value, int) else ZEROS

    assert refusal_after(2, change).startswith("journal.jsonl: ")


def listed(seq: int, sha256: Any = ZEROS) -> Document:
    return {"seq": seq, "sha256": sha256}


def another_step(record: Document) -> None:
    attestation = record["steps"][1]["attestation"]
    record["steps"][7] |= {"attestation": attestation, "attested_by": attestation["by"]}


def shared(record: Document, *, is_first: bool) -> None:
    """Repeat an exchange in the last step, one of the two with another status."""
    exchange = record["steps"][0]["exchanges"][0]
    last = record["steps"][-1]
    other = {**exchange, "status": 201}
    last["exchanges"] = [exchange if is_first else other]
    record["steps"][0]["exchanges"][0] = other if is_first else exchange


def another_number(record: Document) -> None:
    step = record["steps"][0]
    step["exchanges"][0]["number"] = step["checks"][0]["exchanges"][0] = 4


UNLISTED = wording("content-altered.unlisted-lines")
OTHER_LINE = wording("content-altered.other-line", number="{}")
MISSING_4 = wording(
    "content-altered.check-exchange-missing", check="check", step="fb-01-verified", number=4
)
ORDER = wording("content-altered.carried-order")
NOT_VALID = wording("content-altered.not-a-valid-record", where=field_invalid("it"))
UNNAMED = wording("content-altered.no-author")
NO_LINE_OF_ANYBODY = wording("content-altered.no-line")
NO_LINE = f"{NO_LINE_OF_ANYBODY} Operator said about"
OTHER_EXCHANGE = wording("content-altered.other-exchange", number=5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # A record needs a valid part of the journal.
        (new(journal=None), field_invalid("journal")),
        (new(journal={}), field_missing("journal.first")),
        (new(journal={"first": 1}), field_missing("journal.lines")),
        (new(journal={"lines": 3}), field_missing("journal.first")),
        (new(journal="x"), field_invalid("journal")),
        (new(journal=[]), field_invalid("journal")),
        # A carried line must be older than the bundle's own lines, and listed once.
        (new(carried=None), field_invalid("carried")),
        (new(carried=[{"seq": 2}]), field_missing("carried[0].sha256")),
        (new(carried=[listed(2, 1)]), field_invalid("carried[0].sha256")),
        (new(carried=[listed(0)]), field_invalid("carried[0].seq")),
        # An attested step needs an attestation, and its author in `attested_by`.
        (new("steps", 1, attestation=None, attested_by=None), field_invalid("it")),
        # A statement must be valid.
        (new("steps", 6, attestation=3), field_invalid("steps[6].attestation")),
        (new("steps", 6, attestation=[]), field_invalid("steps[6].attestation")),
        (
            new("steps", 6, attestation={"kind": "attested"}),
            field_missing("steps[6].attestation.by"),
        ),
        (new("steps", 6, attestation={"kind": []}), field_invalid("steps[6].attestation.kind")),
        # A record that lacks a field is refused even if it is signed.
        (lost("outcome"), field_missing("outcome")),
        (lost("run_id"), field_missing("run_id")),
        (lost("steps", 1, "attestation", "by"), field_missing("steps[1].attestation.by")),
    ],
)
def test_a_record_that_is_not_valid_is_refused(
    change: Change, said: str, refusal_after: Refused
) -> None:
    """An error about a record that is signed, and not valid, names the field."""
    reason = wording("content-altered.not-a-valid-record", where=said)
    assert refusal_after(2, change) == f"record.json: {reason}"


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        # A carried line must be older than the bundle's own lines, and listed once.
        (2, new(carried=[listed(10**6)]), ORDER),
        (2, new(carried=[listed(3), listed(2)]), ORDER),
        # An attested step needs an attestation, and its author in `attested_by`.
        (1, new("steps", 1, attestation=None, attested_by=None), NOT_VALID),
        (2, new("steps", 1, attested_by="Somebody Else"), f"{UNNAMED} fb-02-attested attested."),
        # A waiting or failed step needs a check or a statement.
        (2, new("steps", 2, checks=[]), f"{UNNAMED} fb-03-waiting waiting."),
        (2, new("steps", 4, checks=[]), f"{UNNAMED} fb-05-failed failed."),
        # A statement about one step proves nothing about another.
        (2, another_step, f"{NO_LINE} fb-08-not-run on {AT}."),
        # A check rests on exchanges that are in the record and among the lines.
        (1, new("steps", 0, "checks", 0, exchanges=[5, 4]), MISSING_4),
        (1, another_number, wording("content-altered.no-exchange", number=4)),
        # An exchange in the record is what its line says, and so is each copy of it.
        (1, new("steps", 0, "exchanges", 0, status=201), OTHER_EXCHANGE),
        (1, partial(shared, is_first=True), OTHER_EXCHANGE),
        (1, partial(shared, is_first=False), OTHER_EXCHANGE),
    ],
)
def test_a_record_that_differs_from_its_lines_is_refused(
    number: int, change: Change, said: str, refusal_after: Refused
) -> None:
    """A signed record that is not valid, or says more than its lines, is refused with the cause."""
    assert refusal_after(number, change) == f"record.json: {said}"


def without_the_first(lines: bytes) -> bytes:
    return lines.splitlines(keepends=True)[1]


@pytest.mark.parametrize(
    ("alter", "change", "said"),
    [
        # Number and digest of a carried line must be those in the record.
        (bytes, new("carried", 0, seq=1), OTHER_LINE.format(1)),
        (bytes, new("carried", 0, sha256=ZEROS), OTHER_LINE.format(2)),
        (lambda lines: lines.replace(b"Done.", b"Gone."), bool, OTHER_LINE.format(2)),
        # Additional or missing carried lines are refused.
        (lambda lines: lines + lines.splitlines(keepends=True)[0], bool, UNLISTED),
        (lambda lines: lines.splitlines(keepends=True)[0], bool, OTHER_LINE.format(3)),
        (lambda lines: b"[]\n", bool, OTHER_LINE.format(2)),
        (bytes, new(carried=[]), wording("content-altered.unasked-carried-lines")),
        # A statement without its carried line is refused, even if the list is shortened too.
        (without_the_first, lost("carried", 0), f"record.json: {NO_LINE} fb-02-attested on {AT}."),
    ],
)
def test_carried_lines_are_those_that_are_listed(
    alter: Callable[[bytes], bytes], change: Change, said: str, tenant: Path, refusal_after: Refused
) -> None:
    """Carried lines that were altered, added or removed are refused, even if signed again."""
    path = bundle(tenant, 2) / "carried.jsonl"
    path.write_bytes(alter(path.read_bytes()))

    assert refusal_after(2, change) == said


def attestations_of(record: Document) -> list[Document]:
    return [step["attestation"] for step in record["steps"] if step["attestation"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "submitted"),
        ("by", "Somebody Else"),
        ("at", "2026-01-01T00:00:00Z"),
        ("note", "Never said."),
        ("seen", "another screen"),
        ("origin", "a file"),
        ("entry", SHA),
        ("attachments", [{"name": "x", "sha256": SHA, "size": 1, "media_type": "a/b"}]),
        ("binding", {"connector": "q", "sentence_digest": ZEROS, "text_digest": "", "subject": {}}),
        ("sentence", "x"),
        ("app_name", "x"),
        ("app_id", "x"),
        ("service_domain", "x"),
        ("link", SHA),
    ],
)
@pytest.mark.parametrize("number", [1, 2], ids=["own-line", "carried-line"])
def test_a_statement_without_its_line_is_refused(
    name: str, value: Any, number: int, refusal_after: Refused
) -> None:
    """A statement in the record must equal a journal line in every field."""

    def change(record: Document) -> None:
        attestations_of(record)[0][name] = value
        for attested_step in record["steps"]:
            if attested_step["attested_by"]:
                attested_step["attested_by"] = attestations_of(record)[0]["by"]

    said = f"{UNNAMED} fb-02-attested" if name == "kind" else NO_LINE_OF_ANYBODY
    assert refusal_after(number, change).startswith(f"record.json: {said}")


def test_a_skipped_step_needs_a_statement() -> None:
    """A skipped step needs a skip by a person, or an earlier failed step."""
    skipped = step("fb-02-b", "skipped")
    failed = step("fb-01-a", "failed", checks=[check("failed")])
    with refused_naming(ContentError, f"{UNNAMED} fb-02-b skipped"):
        check_lines(record(skipped), ())
    check_lines(record(failed, skipped), ())


@pytest.mark.parametrize(
    "changed",
    [
        attestation_json(STEP, sentence="I did something else."),
        attestation_json(STEP, app_id="4712"),
        attestation_json(
            STEP, binding={**attestation_json(STEP)["binding"], "sentence_digest": ZEROS}
        ),
    ],
    ids=["sentence", "app", "digest"],
)
def test_an_attestation_says_what_it_is_bound_to(changed: Document) -> None:
    """Digest and sentence, App ID and subject of a word agree, in a line as in the record."""
    attestation = attestation_json(STEP)
    for bound in (attestation, changed):
        bound["binding"]["subject"] = {"app_id": "4711"}
    lines = [_line(attestation)]
    attested_step = step(STEP, "attested", attestation=attestation)
    check_lines(record(attested_step), lines)

    with refused(ContentError, "bound-to-other-words"):
        check_lines(record(attested_step), [*lines, _line(changed)])
    attested_step["void_attestations"] = [{"attestation": changed, "why": "x"}]
    with refused(ContentError, "bound-to-other-words"):
        check_lines(record(attested_step), lines)


def test_an_attestation_that_counts_has_a_sentence_of_its_step() -> None:
    """A record whose step lacks the sentence of the word that counts, also as another answer."""
    attestation = attestation_json(STEP)
    other = {"attestation": attestation, "sentence": "I did something else."}

    with refused(ContentError, "not-its-sentence", step=STEP):
        check_lines(record(step(STEP, "attested", **other)), [_line(attestation)])
    answered = step(STEP, "attested", **other, answers=[attestation["sentence"]])
    check_lines(record(answered), [_line(attestation)])


def _line(attestation: Document) -> JournalLine:
    data = {name: value for name, value in attestation.items() if name not in ("kind", "step")}
    read = entry(
        1, f"step.{attestation['kind']}", data, run_id="0a1b2c3d", step=attestation["step"]
    )
    return JournalLine(read, LineRef(1, "0" * 64, 0, 1))


def test_a_line_rests_on_exchanges_that_are_there(tenant: Path, refusal_after: Refused) -> None:
    """A check in the journal that names a line here which is not an exchange is refused."""
    path = bundle(tenant, 1) / "journal.jsonl"
    lines = lines_of(path)
    for line in lines:
        if line["type"] == "step.checked" and line["data"]["findings"]:
            line["data"]["findings"][0]["exchanges"] = [1]
    path.write_bytes(chained(lines))
    *_, last = read_lines(path)

    error = refusal_after(1, new("journal", head=last.ref.digest))
    assert error.startswith("journal.jsonl: ")
    assert wording("content-altered.exchange-missing", number=1) in error


def test_a_look_may_begin_before_a_bundle_is_sealed(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A check that counts no more may rest on an exchange in an earlier bundle."""
    run = ended_run(tmp_path, "00000001")
    asked = Exchange(method="GET", url="u", sent_on=AT, elapsed=0.0)
    number = run.journal.append_lines([("exchange.recorded", asked)], run_id="ffffffff")
    seal_run(run, key)
    finding = Finding(
        outcome=Outcome.WAITING, code="a-code", reason="r", check="c", exchanges=(number,)
    )
    late = StepChecked(
        findings=(finding,), binding=Binding(connector="p", sentence_digest="0" * 64)
    )
    run.journal.append("step.checked", late, run_id="ffffffff", step="fb-08-not-run")

    seal_run(ended_run(tmp_path, "00000002", has_statements=False), key)

    assert errors_of(run.journal.path.parent, trust) == [None] * 3


def test_notes_are_in_the_record_and_its_lines(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A later bundle has the notes of an earlier run, with their lines; it verifies alone."""
    first = ended_run(tmp_path, "00000001")
    first.say([commented("fb-02-attested", at=AT), assigned("fb-07-skipped", "Second", at=AT)])
    first.say([assigned("fb-03-waiting", "Second", due="2026-12-01", at=AT)])
    seal_run(first, key)
    folder = seal_run(ended_run(tmp_path, "00000002", has_statements=False), key).folder

    steps = {step.id: step for step in parse_record(record_text(folder)).steps}
    (comment,) = steps["fb-02-attested"].comments
    assert (comment.by, comment.note) == ("Operator", "Ask again.")
    assert {name: step.assigned.due for name, step in steps.items() if step.assigned} == {
        "fb-03-waiting": "2026-12-01"
    }
    verify_bundle(folder, trust)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("comments", lambda notes: notes[0].update(note="Never said.")),
        ("comments", lambda notes: notes.append({**notes[0], "note": "Never said."})),
        ("assigned", lambda note: note.update(to="Third")),
        ("assigned", lambda note: note.update(due="2026-12-02")),
    ],
)
def test_a_note_that_nobody_wrote_is_refused(
    name: str, change: Callable[[Any], None], tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A comment or an assignment in the record that differs from its line is an error."""
    run = ended_run(tmp_path, "00000001")
    run.say([commented("fb-03-waiting", at=AT), assigned("fb-03-waiting", "Second", at=AT)])
    folder = seal_run(run, key).folder

    resign(folder, key, lambda record: change(record["steps"][2][name]))

    assert f"{NO_LINE} fb-03-waiting" in refusal(folder, trust)


def test_the_statements_of_both_persons_are_checked(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """With four_eyes, the lines of both persons are carried and checked."""
    run = ended_run(tmp_path, "00000001", four_eyes=("all",))
    run.say([attested("fb-08-not-run", by=name, at=AT) for name in ("First", "Second")])
    attach(run, by="Second")
    seal_run(run, key)
    later = ended_run(tmp_path, "00000002", four_eyes=("all",), has_statements=False)
    folder = seal_run(later, key).folder
    assert len(parse_record(record_text(folder)).carried) == 4
    verify_bundle(folder, trust)

    resign(folder, key, new("steps", 7, "confirmed_by", 0, by="Nobody"))

    assert f"{NO_LINE_OF_ANYBODY} Nobody" in refusal(folder, trust)


def test_a_value_filled_in_later_is_accepted(
    tenant: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A record may have a value that was unknown when a statement was made, but no other change."""
    folder = bundle(tenant, 2)
    path = folder / "carried.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"subject":{}', b'"subject":{"app_id":null,"domain":"a"}')
    path.write_bytes(b"".join(lines))

    def say(subject: Document) -> None:
        def change(record: Document) -> None:
            record["carried"][0]["sha256"] = hashlib.sha256(lines[0]).hexdigest()
            attestations_of(record)[0]["binding"]["subject"] = subject

        resign(folder, key, change)

    say({"app_id": "111", "domain": "a"})
    verify_bundle(folder, trust)
    for other in ({"app_id": "111", "domain": "b"}, {"app_id": "111"}):
        say(other)
        assert f"{NO_LINE} fb-02-attested" in refusal(folder, trust)


def chain_error(tenant: Path, trust: TrustAnchors) -> str:
    *others, last = errors_of(tenant, trust)
    assert set(others) == {None}
    assert isinstance(last, ChainError)
    return str(last)


def follow_another_line(folder: Path, key: SigningKey) -> None:
    """Let a bundle's lines, valid by themselves, follow on another line; sign it again."""
    path = folder / "journal.jsonl"
    previous = SHA
    lines = []
    for line in path.read_bytes().splitlines():
        document = {**json.loads(line), "prev": previous}
        lines.append(json.dumps(document, separators=(",", ":")).encode() + b"\n")
        previous = hashlib.sha256(lines[-1]).hexdigest()
    path.write_bytes(b"".join(lines))
    resign(folder, key, new("journal", previous=SHA, head=previous))


@pytest.mark.parametrize(("number", "has_journal"), [(3, True), (3, False), (1, False)])
def test_parts_that_do_not_join_are_refused(
    number: int, has_journal: bool, tenant: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A part that does not continue the previous one, or begin with line 1, is refused."""
    for later in range(number + 1, 4):
        shutil.rmtree(bundle(tenant, later))
    follow_another_line(bundle(tenant, number), key)
    if not has_journal:
        (tenant / "journal.jsonl").unlink()

    assert wording("journal-chain-broken.excerpts-not-joined") in chain_error(tenant, trust)


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_carried_line_that_is_not_the_journals_is_refused(
    has_journal: bool, tenant: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A carried line must be the journal's, or that of an earlier part."""
    folder = bundle(tenant, 3)
    path = folder / "carried.jsonl"
    line, rest = path.read_bytes().split(b"\n", 1)
    line = line.replace(b"Done.", b"Fine.") + b"\n"
    path.write_bytes(line + rest)

    def change(record: Document) -> None:
        record["carried"][0]["sha256"] = hashlib.sha256(line).hexdigest()
        attestations_of(record)[0]["note"] = "Fine."

    resign(folder, key, change)
    verify_bundle(folder, trust)
    journal = tenant / "journal.jsonl"
    if has_journal:
        statement = hashlib.sha256((folder / STATEMENT).read_bytes()).hexdigest()
        announce(journal, lambda data: data.update(statement=statement))
    else:
        journal.unlink()

    assert wording("journal-chain-broken.carries-other-line", number=2) in chain_error(
        tenant, trust
    )


def announce(path: Path, change: Change) -> None:
    """Change the announcement at the end of the journal."""
    *lines, last = path.read_bytes().splitlines(keepends=True)
    document = json.loads(last)
    change(document["data"])
    last = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join([*lines, last]))


@pytest.mark.parametrize(("name", "value"), [("lines", 3), ("head", SHA), ("end", 7)])
def test_an_announcement_of_other_lines_is_refused(
    name: str, value: Any, tenant: Path, trust: TrustAnchors
) -> None:
    """An announcement with another last line than the bundle's is refused."""
    announce(tenant / "journal.jsonl", new("journal", **{name: value}))

    assert wording("journal-chain-broken.copied-other-lines", number="3 (00000003)") in chain_error(
        tenant, trust
    )


def test_files_beside_the_journal_are_not_evidence(tenant: Path, trust: TrustAnchors) -> None:
    """Index, key and locks are in no bundle and do not affect verification."""
    for name in ("state.json", "fingerprint.key", "fingerprint.lock", "sealing.lock"):
        (tenant / name).touch()

    assert errors_of(tenant, trust) == [None] * 4
    names = {path.name for path in tenant.glob("2*/**/*")}
    assert not {name for name in names if name.startswith(("state.json", "fingerprint"))}
    assert not {name for name in names if name.endswith((".key", ".lock"))}


@pytest.mark.matrix(0)
def test_a_long_part_needs_little_memory(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Sealing and verifying need memory for one line only, however long the part is."""
    run = ended_run(tmp_path, "00000001")
    asked = Exchange(method="GET", url="u", sent_on=AT, elapsed=0.0, response="x" * 2**20)
    seen = Finding(outcome=Outcome.WAITING, code="a-code", reason="r", check="c")
    bound = Binding(connector="p", sentence_digest="0" * 64)

    for _ in range(24):
        first = run.journal.append_lines([("exchange.recorded", asked)], run_id="ffffffff")
        finding = structs.replace(seen, exchanges=(first,))
        checked = StepChecked(findings=(finding,), binding=bound)
        run.journal.append("step.checked", checked, run_id="ffffffff", step="fb-08-not-run")
    state = run.state
    folder = seal_run(run, key).folder

    with memory_below(14 * 2**20):
        write_record(tmp_path, state, run.history_reader)
    with memory_below(14 * 2**20):
        verify_bundle(folder, trust)


@pytest.mark.parametrize("version", [1, 2, 6, FORMAT_VERSION + 1, None, str(FORMAT_VERSION)])
def test_a_journal_of_another_form_is_refused_by_name(
    version: Any, tenant: Path, trust: TrustAnchors
) -> None:
    """A journal of another form raises `FormatError`, in `verify` and in every reader."""
    path = tenant / "journal.jsonl"
    lines = lines_of(path)
    data = {name: value for name, value in lines[0]["data"].items() if name != "format_version"}
    lines.append(
        {**lines[0], "data": data if version is None else {**data, "format_version": version}}
    )
    path.write_bytes(chained(lines))

    known = wording("format-unknown.known-format", format=FORMAT_VERSION)
    said = "names no format" if version is None else f"has format {version}; {known}"
    *_, last = errors_of(tenant, trust)
    assert isinstance(last, FormatError)
    assert said in str(last)
    with refused(FormatError, "known-format", format=FORMAT_VERSION) as caught:
        open_history(tenant).read()
    assert caught.value.exit_code == 2


OTHER_FORM = wording("format-unknown.other-format", format=FORMAT_VERSION + 1, known=FORMAT_VERSION)


def test_a_record_of_another_form_is_refused_by_name(tenant: Path, refusal_after: Refused) -> None:
    """A record of another form raises `FormatError`."""
    change = new(schema=f"facebook-marketing-runbook/record/v{FORMAT_VERSION + 1}")

    assert refusal_after(2, change) == f"record.json: {OTHER_FORM}"
    with pytest.raises(FormatError) as caught:
        parse_record(record_text(bundle(tenant, 2)))
    assert str(caught.value) == f"record.json: {OTHER_FORM}"


def test_a_statement_of_another_form_is_refused_by_name(
    tenant: Path,
    tmp_path: Path,
    key: SigningKey,
    trust: TrustAnchors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement or a provenance of another form raises `FormatError`, and stops the sealing."""
    folder = bundle(tenant, 2)
    made = payload(folder / "provenance.dsse.json")["predicate"]
    assert made["buildDefinition"]["buildType"].endswith(f":headless-run:v{FORMAT_VERSION}")
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["format_version"] = FORMAT_VERSION + 1
    resign_everything(folder, key, statement)

    assert refusal(folder, trust) == f"{STATEMENT}: {OTHER_FORM}"
    journal = tenant / "journal.jsonl"
    journal.write_bytes(copied(bundle(tenant, 1), folder))
    with pytest.raises(FormatError) as caught:
        seal_run(ended_run(tmp_path / "evidence", "00000004"), key)
    assert str(caught.value) == f"{folder.name}/{STATEMENT}: {OTHER_FORM}"

    monkeypatch.setattr("runbook_lib.evidence.signing.statement.FORMAT_VERSION", FORMAT_VERSION + 1)
    resign_everything(folder, key, statement)
    known = wording("format-unknown.other-format", format=FORMAT_VERSION, known=FORMAT_VERSION + 1)
    assert refusal(folder, trust) == f"provenance.dsse.json: {known}"
