"""A bundle has its own journal lines and the older ones on which its outcomes rely, no more."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.core.attachments import store_attachment
from runbook_lib.core.journal import Journal, JournalLine, Ref, read_lines
from runbook_lib.core.model import Binding, Checked, Exchange, Finding, Outcome, Statement
from runbook_lib.core.state import open_history
from runbook_lib.errors import ChainError, ContentError, EvidenceError, FormError
from runbook_lib.evidence.bundle import write_record
from runbook_lib.evidence.parts import check_lines, copy_lines, report_entries
from runbook_lib.evidence.record import read_record
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Trust, verify_bundle
from tests.support.journals import announced, chained, copied, entry, lines_of
from tests.support.words import assigned, attested, commented, withdrawn
from tests.unit.evidence.conftest import AT, ended_run, seal_run
from tests.unit.evidence.reports.sample_runs import check, record, step, words
from tests.unit.evidence.verify.test_verify import STATEMENT, payload, resign_everything

Document = dict[str, Any]


@pytest.fixture
def tenant(tmp_path: Path, carrying_runs: Path) -> Path:
    """Return a folder with three bundles; the later ones rely on statements in the first."""
    return Path(shutil.copytree(carrying_runs, tmp_path / "evidence")) / "acme" / "p"


def bundle(tenant: Path, number: int) -> Path:
    (found,) = tenant.glob(f"2*-0000000{number}")
    return found


def resign(folder: Path, key: SigningKey, change: Callable[[Document], Any] = bool) -> None:
    """Change the record, and sign the whole bundle again, as only the holder of the key can."""
    record = json.loads((folder / "record.json").read_text())
    change(record)
    (folder / "record.json").write_text(json.dumps(record))
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["journal"] = record["journal"]
    resign_everything(folder, key, statement)


def refusal(folder: Path, trust: Trust) -> EvidenceError:
    with pytest.raises(EvidenceError) as caught:
        verify_bundle(folder, trust)
    return caught.value


def test_each_bundle_begins_where_the_one_before_ended(tenant: Path) -> None:
    """
    The parts of the bundles together are the journal, and each announcement has the next start.
    """
    journal = tenant / "journal.jsonl"
    bundles = [bundle(tenant, number) for number in (1, 2, 3)]
    records = [to_builtins(read_record(folder).journal) for folder in bundles]

    whole = copied(*bundles)
    assert journal.read_bytes().startswith(whole)
    assert (records[0]["first"], records[0]["previous"]) == (1, "0" * 64)
    for before, after in pairwise(records):
        assert (after["first"], after["previous"]) == (before["lines"] + 1, before["head"])
    last = announced(journal)[-1].last
    assert (last.seq, last.digest) == (records[-1]["lines"], records[-1]["head"])
    assert last.end == len(whole)


def test_earlier_statements_are_carried(tenant: Path, trust: Trust) -> None:
    """
    Earlier statements are copied byte for byte with number and digest; a first bundle has none.
    """
    assert not (bundle(tenant, 1) / "carried.jsonl").exists()
    lines = (tenant / "journal.jsonl").read_bytes().splitlines(keepends=True)

    for number in (2, 3):
        carried = (bundle(tenant, number) / "carried.jsonl").read_bytes().splitlines(keepends=True)
        listed = read_record(bundle(tenant, number)).carried
        assert [json.loads(line)["type"] for line in carried] == ["step.attested", "step.skipped"]
        digests = [hashlib.sha256(line).hexdigest() for line in carried]
        assert [line.sha256 for line in listed] == digests
        assert carried == [lines[line.seq - 1] for line in listed]
        assert verify_bundle(bundle(tenant, number), trust).carried == listed


def test_one_bundle_alone_can_be_verified(tenant: Path, tmp_path: Path, trust: Trust) -> None:
    """One bundle is verified and reported without the others and without the journal."""
    alone = shutil.copytree(bundle(tenant, 3), tmp_path / "alone")
    shutil.rmtree(tenant)

    (verdict,) = verify_tree(alone, trust)
    assert verdict.error is None
    entries = report_entries(alone, read_record(alone))
    said = [entry.data.note for entry in entries if isinstance(entry.data, Statement)]
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
    monkeypatch.setattr("runbook_lib.core.state.read_lines", note)
    monkeypatch.setattr(Journal, "entries", lambda _: pytest.fail("the whole journal was read"))
    before = announced(run.journal.path)[-1].last.end
    begins.clear()

    seal_run(run, key)

    assert begins
    assert min(begins) >= before


def test_a_journal_that_is_cut_meanwhile_is_named(tmp_path: Path) -> None:
    """If the file ends before the lines that are copied, the error has its path and the reason."""
    source = tmp_path / "journal.jsonl"
    source.write_bytes(b"12345")

    with pytest.raises(OSError, match="it became shorter while it was read") as caught:
        copy_lines(source, 1, 9, tmp_path / "copy")

    assert caught.value.filename == str(source)


def test_the_size_of_bundles_does_not_grow(tmp_path: Path, key: SigningKey) -> None:
    """The tenth bundle is as large as the second."""
    seal_run(ended_run(tmp_path, "0000000f"), key)
    sizes = []
    for number in range(9):
        folder = seal_run(ended_run(tmp_path, f"0000000{number}", has_statements=False), key).folder
        sizes.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))

    assert max(sizes) - min(sizes) < 600


@pytest.mark.parametrize("name", ["first", "lines", "previous", "head"])
def test_a_record_that_names_another_part_is_refused(
    name: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """Each field of the record's part is compared with the lines."""
    folder = bundle(tenant, 2)

    def change(record: Document) -> None:
        value = record["journal"][name]
        record["journal"][name] = value - 1 if isinstance(value, int) else "0" * 64

    resign(folder, key, change)

    assert refusal(folder, trust).file == "journal.jsonl"


@pytest.mark.parametrize("part", [None, {}, {"first": 1}, {"lines": 3}, "x", []])
def test_a_record_that_names_no_part_is_refused(
    part: Any, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A record without a valid part is refused."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record.update(journal=part))

    assert "is not a valid record: journal" in str(refusal(folder, trust))


@pytest.mark.parametrize("name", ["seq", "sha256"])
def test_a_carried_line_is_the_one_that_is_listed(
    name: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """Number and digest of a carried line must be those in the record."""
    folder = bundle(tenant, 2)
    other: Document = {"seq": 1, "sha256": "0" * 64}
    resign(folder, key, lambda record: record["carried"][0].update({name: other[name]}))

    error = refusal(folder, trust)
    assert (error.file, "differs from the record's list" in str(error)) == ("carried.jsonl", True)


def test_a_carried_line_that_was_altered_is_refused(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """An altered carried line is refused, even if the statement is signed again."""
    path = bundle(tenant, 2) / "carried.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Done.", b"Gone."))
    resign(path.parent, key)

    assert refusal(path.parent, trust).file == "carried.jsonl"


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda text: text + text.splitlines(keepends=True)[0], "does not list"),
        (lambda text: text.splitlines(keepends=True)[0], "differs from the record's list"),
        (lambda _: b"[]\n", "differs from the record's list"),
    ],
    ids=["more", "fewer", "no-line"],
)
def test_carried_lines_are_all_that_are_listed(
    alter: Callable[[bytes], bytes], said: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """Additional or missing carried lines are refused."""
    path = bundle(tenant, 2) / "carried.jsonl"
    path.write_bytes(alter(path.read_bytes()))
    resign(path.parent, key)

    error = refusal(path.parent, trust)
    assert (error.file, said in str(error)) == ("carried.jsonl", True)


_ORDER = "It does not list the carried lines by number, each once and before its part."


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (None, "It is not a valid record: carried is not valid."),
        ([{"seq": 2}], "It is not a valid record: carried[0].sha256 is missing."),
        ([{"seq": 2, "sha256": 1}], "It is not a valid record: carried[0].sha256 is not valid."),
        (
            [{"seq": 0, "sha256": "0" * 64}],
            "It is not a valid record: carried[0].seq is not valid.",
        ),
        ([{"seq": 10**6, "sha256": "0" * 64}], _ORDER),
        ([{"seq": 3, "sha256": "0" * 64}, {"seq": 2, "sha256": "0" * 64}], _ORDER),
    ],
)
def test_an_invalid_list_of_carried_lines_is_refused(
    listed: Any, said: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A carried line must be older than the bundle's own lines, and listed once."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record.update(carried=listed))

    assert str(refusal(folder, trust)) == f"record.json: {said}"


def test_carried_lines_that_the_record_does_not_list_are_refused(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """Carried lines without a list in the record were added, even if they are signed."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record.update(carried=[]))

    said = "carried.jsonl: It was added: the record lists no older lines."
    assert str(refusal(folder, trust)) == said


def words_of(record: Document) -> list[Document]:
    return [step["word"] for step in record["steps"] if step["word"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "submitted"),
        ("by", "Somebody Else"),
        ("at", "2026-01-01T00:00:00Z"),
        ("note", "Never said."),
        ("seen", "another screen"),
        ("origin", "a file"),
        ("entry", "ab" * 32),
        (
            "attachments",
            [{"name": "x", "sha256": "ab" * 32, "size": 1, "media_type": "a/b"}],
        ),
        ("binding", {"connector": "q", "confirms": "0" * 64, "text": "", "subject": {}}),
    ],
)
@pytest.mark.parametrize("number", [1, 2], ids=["own-line", "carried-line"])
def test_a_statement_without_its_line_is_refused(
    name: str, value: Any, number: int, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A statement in the record must equal a journal line in every field."""
    folder = bundle(tenant, number)

    def change(record: Document) -> None:
        words_of(record)[0][name] = value
        for attested_step in record["steps"]:
            if attested_step["attested_by"]:
                attested_step["attested_by"] = words_of(record)[0]["by"]

    resign(folder, key, change)

    assert refusal(folder, trust).file == "record.json"


def test_each_statement_needs_a_line_of_its_own_step(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A statement about one step proves nothing about another."""
    folder = bundle(tenant, 2)

    def change(record: Document) -> None:
        word = record["steps"][1]["word"]
        record["steps"][7] |= {"word": word, "attested_by": word["by"]}

    resign(folder, key, change)

    assert "said about fb-08-not-run" in str(refusal(folder, trust))


@pytest.mark.parametrize("number", [1, 2], ids=["own-line", "carried-line"])
def test_an_attested_step_needs_a_statement(
    number: int, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """An attested step without an attestation is refused."""
    folder = bundle(tenant, number)
    resign(folder, key, lambda record: record["steps"][1].update(word=None, attested_by=None))

    assert "It is not a valid record" in str(refusal(folder, trust))


@pytest.mark.parametrize("number", [2, 4], ids=["waiting", "failed"])
def test_an_outcome_without_a_check_needs_a_statement(
    number: int, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A waiting or failed step needs a check or a statement."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record["steps"][number].update(checks=[]))

    assert "does not name the person on whose word" in str(refusal(folder, trust))


def test_a_skipped_step_needs_a_statement() -> None:
    """A skipped step needs a skip by a person, or an earlier failed step."""
    skipped, failed = (
        step("fb-02-b", "skipped"),
        step("fb-01-a", "failed", checks=[check("failed")]),
    )
    with pytest.raises(ContentError, match="on whose word fb-02-b is skipped"):
        check_lines(record(skipped), ())
    check_lines(record(failed, skipped), ())


def _other_sentence(word: Document) -> None:
    word["sentence"] = "I did something else."


def _other_digest(word: Document) -> None:
    word["binding"]["confirms"] = "0" * 64


def _other_app(word: Document) -> None:
    word["app_id"] = "4712"


@pytest.mark.parametrize("change", [_other_sentence, _other_digest, _other_app])
def test_a_word_says_what_it_is_bound_to(change: Callable[[Document], None]) -> None:
    """Digest and sentence, App ID and subject of a word agree, in a line as in the record."""
    word = words(STEP)
    word["binding"]["subject"] = {"app_id": "4711"}
    lines = [_line(word)]
    check_lines(record(step(STEP, "attested", word=word)), lines)

    changed = deepcopy(word)
    change(changed)
    with pytest.raises(ContentError, match="is bound to something else"):
        check_lines(record(step(STEP, "attested", word=word)), [*lines, _line(changed)])
    lapsed = [{"word": changed, "why": "x"}]
    with pytest.raises(ContentError, match="is bound to something else"):
        check_lines(record(step(STEP, "attested", word=word, lapsed=lapsed)), lines)


def test_a_word_that_counts_has_the_sentence_of_its_step() -> None:
    """A record whose step has another sentence than the word that counts is refused."""
    word = words(STEP)
    given = record(step(STEP, "attested", word=word, sentence="I did something else."))

    with pytest.raises(ContentError, match=f"said something else of {STEP} than its sentence"):
        check_lines(given, [_line(word)])


def test_a_word_that_counts_may_have_another_answer_of_its_step() -> None:
    """A record whose step has the word's sentence among its other answers is accepted."""
    word = words(STEP)
    more = {"word": word, "sentence": "I did something else.", "answers": [word["sentence"]]}

    check_lines(record(step(STEP, "attested", **more)), [_line(word)])


@pytest.mark.parametrize("name", ["sentence", "app_name", "app_id", "service_domain", "link"])
def test_the_record_repeats_what_the_line_says(
    name: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """What a word says in the record is what its line says, in the bundle's part or carried."""
    other = "ab" * 32 if name == "link" else "x"
    for number in (1, 2):
        folder = bundle(tenant, number)
        resign(folder, key, lambda record: record["steps"][1]["word"].update({name: other}))

        assert "No line here records" in str(refusal(folder, trust))


def _line(word: Document) -> JournalLine:
    data = {name: value for name, value in word.items() if name not in ("kind", "step")}
    read = entry(1, f"step.{word['kind']}", data, run_id="0a1b2c3d", step=word["step"])
    return JournalLine(read, Ref(1, "0" * 64, 0, 1))


STEP = "fb-01-log-in"


@pytest.mark.parametrize("where", ["record", "journal"])
def test_a_check_rests_on_exchanges_that_are_there(
    where: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A check is refused whose exchange is missing, in the record or among the lines."""
    folder = bundle(tenant, 1)

    def change(record: Document) -> None:
        step = record["steps"][0]
        (number,) = step["checks"][0]["exchanges"]
        if where == "record":
            step["checks"][0]["exchanges"] = [number, 4]
        else:
            step["exchanges"][0]["number"] = step["checks"][0]["exchanges"][0] = 4

    resign(folder, key, change)

    error = refusal(folder, trust)
    said = {
        "record": "rests on the exchange 4, which is missing",
        "journal": "No line here records its exchange 4",
    }
    assert error.file == "record.json"
    assert said[where] in str(error)


def test_a_line_rests_on_exchanges_that_are_there(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A check in the journal that names a line here which is not an exchange is refused."""
    folder = bundle(tenant, 1)
    path = folder / "journal.jsonl"
    lines = lines_of(path)
    for line in lines:
        if line["type"] == "step.checked" and line["data"]["findings"]:
            line["data"]["findings"][0]["exchanges"] = [1]
    path.write_bytes(chained(lines))
    *_, last = read_lines(path)
    resign(folder, key, lambda record: record["journal"].update(head=last.ref.digest))

    error = refusal(folder, trust)
    assert error.file == "journal.jsonl"
    assert "rests on the exchange 1, which is missing" in str(error)


def test_a_look_may_begin_before_a_bundle_is_sealed(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A check that counts no more may rest on an exchange in an earlier bundle."""
    run = ended_run(tmp_path, "00000001")
    asked = Exchange(method="GET", url="u", sent_on=AT, elapsed=0.0)
    number = run.journal.append_lines([("exchange.recorded", asked)], run_id="ffffffff")
    seal_run(run, key)
    finding = Finding(outcome=Outcome.WAITING, reason="r", check="c", exchanges=(number,))
    late = Checked(findings=(finding,), binding=Binding(connector="p", confirms="0" * 64))
    run.journal.append("step.checked", late, run_id="ffffffff", step="fb-08-not-run")

    seal_run(ended_run(tmp_path, "00000002", has_statements=False), key)

    assert [verdict.error for verdict in verify_tree(run.journal.path.parent, trust)] == [None] * 3


def test_the_record_repeats_what_a_remote_answered(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """An exchange in the record is what its line says."""
    folder = bundle(tenant, 1)
    resign(folder, key, lambda record: record["steps"][0]["exchanges"][0].update(status=201))

    assert "differs from the line of that number" in str(refusal(folder, trust))


@pytest.mark.parametrize("is_first", [True, False])
def test_each_copy_of_an_exchange_is_what_its_line_says(
    is_first: bool, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """Where two steps of the record repeat one exchange, neither may say something else."""
    folder = bundle(tenant, 1)

    def share(record: Document) -> None:
        (exchange, *_), last = record["steps"][0]["exchanges"], record["steps"][-1]
        last["exchanges"] = [exchange if is_first else {**exchange, "status": 201}]
        record["steps"][0]["exchanges"][0] = {**exchange, **({"status": 201} if is_first else {})}

    resign(folder, key, share)

    assert "differs from the line of that number" in str(refusal(folder, trust))


def test_notes_are_in_the_record_and_its_lines(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A later bundle has the notes of an earlier run, with their lines; it verifies alone."""
    first = ended_run(tmp_path, "00000001")
    first.say([commented("fb-02-attested", at=AT), assigned("fb-07-skipped", "Second", at=AT)])
    first.say([assigned("fb-03-waiting", "Second", due="2026-12-01", at=AT)])
    seal_run(first, key)
    folder = seal_run(ended_run(tmp_path, "00000002", has_statements=False), key).folder

    steps = {step.id: step for step in read_record(folder).steps}
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
    name: str, change: Callable[[Any], None], tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """A comment or an assignment in the record that differs from its line is an error."""
    run = ended_run(tmp_path, "00000001")
    run.say([commented("fb-03-waiting", at=AT), assigned("fb-03-waiting", "Second", at=AT)])
    folder = seal_run(run, key).folder

    def spoil(record: dict[str, Any]) -> None:
        (step,) = [step for step in record["steps"] if step["id"] == "fb-03-waiting"]
        change(step[name])

    resign(folder, key, spoil)

    assert "No line here records what Operator said about fb-03-waiting" in str(
        refusal(folder, trust)
    )


def test_attested_by_must_be_the_author(tenant: Path, key: SigningKey, trust: Trust) -> None:
    """`attested_by` must be the author of the attestation."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record["steps"][1].update(attested_by="Somebody Else"))

    assert "does not name the person on whose word" in str(refusal(folder, trust))


def test_a_statement_whose_line_is_not_carried_is_refused(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A statement without its carried line is refused, even if the list is shortened too."""
    folder = bundle(tenant, 2)
    path = folder / "carried.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[1])
    resign(folder, key, lambda record: record["carried"].pop(0))

    assert "said about fb-02-attested" in str(refusal(folder, trust))


@pytest.mark.parametrize("word", [3, [], {"kind": "attested"}, {"kind": []}])
def test_an_invalid_statement_is_refused(
    word: Any, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """An invalid statement in a record raises `EvidenceError`."""
    folder = bundle(tenant, 2)
    resign(folder, key, lambda record: record["steps"][6].update(word=word))

    assert refusal(folder, trust).file == "record.json"


def test_the_statements_of_both_persons_are_checked(
    tmp_path: Path, key: SigningKey, trust: Trust
) -> None:
    """With four_eyes, the lines of both persons are carried and checked."""
    run = ended_run(tmp_path, "00000001", four_eyes=("all",))
    kept = run.journal.path.parent / "attachments"
    given = store_attachment(
        kept, name="a.png", media_type="image/png", content=b"\x89PNG\r\n\x1a\nx"
    )
    run.say([attested("fb-08-not-run", by=name, at=AT) for name in ("First", "Second")])
    run.say([attested("fb-08-not-run", by="Second", at=AT, attachments=(given,))])
    seal_run(run, key)
    folder = seal_run(
        ended_run(tmp_path, "00000002", four_eyes=("all",), has_statements=False), key
    ).folder
    assert len(read_record(folder).carried) == 4
    verify_bundle(folder, trust)

    resign(folder, key, lambda record: record["steps"][7]["confirms"][0].update(by="Nobody"))

    assert "what Nobody said" in str(refusal(folder, trust))


def test_a_value_filled_in_later_is_accepted(tenant: Path, key: SigningKey, trust: Trust) -> None:
    """
    A record may have a value that was unknown when the statement was made, but no other change.
    """
    folder = bundle(tenant, 2)
    path = folder / "carried.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"subject":{}', b'"subject":{"app_id":null,"domain":"a"}')
    path.write_bytes(b"".join(lines))

    def say(subject: Document) -> None:
        def change(record: Document) -> None:
            record["carried"][0]["sha256"] = hashlib.sha256(lines[0]).hexdigest()
            words_of(record)[0]["binding"]["subject"] = subject

        resign(folder, key, change)

    say({"app_id": "111", "domain": "a"})
    verify_bundle(folder, trust)
    for other in ({"app_id": "111", "domain": "b"}, {"app_id": "111"}):
        say(other)
        assert "said about fb-02-attested" in str(refusal(folder, trust))


def chain_error(tenant: Path, trust: Trust) -> str:
    *others, last = verify_tree(tenant, trust)
    assert [verdict.error for verdict in others] == [None] * len(others)
    assert isinstance(last.error, ChainError)
    return str(last.error)


def replace_part(folder: Path, key: SigningKey, alter: Callable[[bytes], bytes]) -> None:
    """Replace a bundle's lines by others that are valid by themselves, and sign it again."""
    path = folder / "journal.jsonl"
    record = json.loads((folder / "record.json").read_text())
    lines, previous = [], record["journal"]["previous"]
    for line in path.read_bytes().splitlines():
        document = json.loads(alter(line))
        lines.append(json.dumps({**document, "prev": previous}, separators=(",", ":")).encode())
        previous = hashlib.sha256(lines[-1] + b"\n").hexdigest()
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    resign(folder, key, lambda changed: changed["journal"].update(head=previous))


@pytest.mark.parametrize("has_journal", [True, False])
def test_parts_that_do_not_join_are_refused(
    has_journal: bool, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A part that does not continue the previous one is refused."""
    folder = bundle(tenant, 3)
    record = json.loads((folder / "record.json").read_text())
    record["journal"]["previous"] = "ab" * 32
    (folder / "record.json").write_text(json.dumps(record))
    replace_part(folder, key, lambda line: line)
    if not has_journal:
        (tenant / "journal.jsonl").unlink()

    *_, last = verify_tree(tenant, trust)
    assert "do not start where the previous ones ended" in str(last.error)


def test_the_first_part_begins_at_line_1(tmp_path: Path, key: SigningKey, trust: Trust) -> None:
    """The first part must begin with line 1, also without a journal."""
    folder = seal_run(ended_run(tmp_path, "00000001"), key).folder
    (folder.parent / "journal.jsonl").unlink()
    record = json.loads((folder / "record.json").read_text())
    record["journal"]["previous"] = "ab" * 32
    (folder / "record.json").write_text(json.dumps(record))
    replace_part(folder, key, lambda line: line)

    assert "do not start where the previous ones ended" in chain_error(folder.parent, trust)


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_carried_line_that_is_not_the_journals_is_refused(
    has_journal: bool, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A carried line must be the journal's, or that of an earlier part."""
    folder = bundle(tenant, 3)
    path = folder / "carried.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"Done.", b"Fine.")
    path.write_bytes(b"".join(lines))

    def change(record: Document) -> None:
        record["carried"][0]["sha256"] = hashlib.sha256(lines[0]).hexdigest()
        words_of(record)[0]["note"] = "Fine."

    resign(folder, key, change)
    verify_bundle(folder, trust)
    journal = tenant / "journal.jsonl"
    if has_journal:
        announce_again(journal, folder)
    else:
        journal.unlink()

    assert "carries a line 2 that is not the journal's" in chain_error(tenant, trust)


def announce_again(path: Path, folder: Path) -> None:
    """Let the journal announce the current statement in `folder`."""
    lines = path.read_bytes().splitlines(keepends=True)
    document = json.loads(lines[-1])
    statement = hashlib.sha256((folder / STATEMENT).read_bytes()).hexdigest()
    document["data"]["statement"] = statement
    lines[-1] = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(("name", "value"), [("lines", 3), ("head", "ab" * 32), ("end", 7)])
def test_an_announcement_of_other_lines_is_refused(
    name: str, value: Any, tenant: Path, trust: Trust
) -> None:
    """An announcement with another last line than the bundle's is refused."""
    path = tenant / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    document = json.loads(lines[-1])
    document["data"]["journal"][name] = value
    lines[-1] = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join(lines))

    assert "says that Number 3 (00000003) copied other lines" in chain_error(tenant, trust)


def test_files_beside_the_journal_are_not_evidence(tenant: Path, trust: Trust) -> None:
    """Index, key and locks are in no bundle and do not affect verification."""
    for name in ("state.json", "fingerprint.key", "fingerprint.lock", "sealing.lock"):
        (tenant / name).touch()

    assert [verdict.error for verdict in verify_tree(tenant, trust)] == [None] * 4
    names = {path.name for path in tenant.glob("2*/**/*")}
    assert not {name for name in names if name.startswith(("state.json", "fingerprint"))}
    assert not {name for name in names if name.endswith((".key", ".lock"))}


def test_a_long_part_needs_little_memory(tmp_path: Path, key: SigningKey, trust: Trust) -> None:
    """Sealing and verifying need memory for one line only, however long the part is."""
    run = ended_run(tmp_path, "00000001")
    asked = Exchange(method="GET", url="u", sent_on=AT, elapsed=0.0, response="x" * 2**20)
    seen = Finding(outcome=Outcome.WAITING, reason="r", check="c")
    bound = Binding(connector="p", confirms="0" * 64)

    for _ in range(24):
        first = run.journal.append_lines([("exchange.recorded", asked)], run_id="ffffffff")
        finding = structs.replace(seen, exchanges=(first,))
        checked = Checked(findings=(finding,), binding=bound)
        run.journal.append("step.checked", checked, run_id="ffffffff", step="fb-08-not-run")
    state, folder = run.state, seal_run(run, key).folder
    tracemalloc.start()

    write_record(tmp_path, state, run.history_reader)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    verify_bundle(folder, trust)
    verifying = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 14 * 2**20
    assert verifying < 14 * 2**20


@pytest.mark.parametrize("form", [1, 2, 5, 7, None, "6"])
def test_a_journal_of_another_form_is_refused_by_name(
    form: Any, tenant: Path, trust: Trust
) -> None:
    """A journal of another form raises `FormError`, in `verify` and in every reader."""
    path = tenant / "journal.jsonl"
    lines = lines_of(path)
    data = {name: value for name, value in lines[0]["data"].items() if name != "form"}
    lines.append({**lines[0], "data": data if form is None else {**data, "form": form}})
    path.write_bytes(chained(lines))

    said = "names no form" if form is None else f"is of form {form}; this runbook reads form 6"
    *_, last = verify_tree(tenant, trust)
    assert isinstance(last.error, FormError)
    assert said in str(last.error)
    with pytest.raises(FormError, match="this runbook reads form 6") as caught:
        open_history(tenant).read()
    assert caught.value.exit_code == 2


def test_a_record_of_another_form_is_refused_by_name(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A record of another form raises `FormError`."""
    folder = bundle(tenant, 2)
    schema = "facebook-marketing-runbook/record/v7"
    resign(folder, key, lambda record: record.update(schema=schema))

    said = "record.json: It is of form 7; this runbook reads form 6."
    assert str(refusal(folder, trust)) == said
    with pytest.raises(FormError, match="of form 7"):
        read_record(folder)


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (lambda record: record.pop("outcome"), "outcome is missing."),
        (lambda record: record.pop("run_id"), "run_id is missing."),
        (
            lambda record: [step["word"].pop("by") for step in record["steps"] if step["word"]],
            "steps[1].word.by is missing.",
        ),
    ],
    ids=["outcome", "run", "word"],
)
def test_a_signed_record_with_a_missing_field_is_refused(
    lose: Callable[[Document], Any], said: str, tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A record that lacks a field is refused even if it is signed; the error names the field."""
    folder = bundle(tenant, 2)
    resign(folder, key, lose)

    assert str(refusal(folder, trust)) == f"record.json: It is not a valid record: {said}"


def test_a_statement_of_another_form_is_refused_by_name(
    tenant: Path, key: SigningKey, trust: Trust
) -> None:
    """A statement of another form raises `FormError`."""
    folder = bundle(tenant, 2)
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["form"] = 7
    resign_everything(folder, key, statement)

    said = f"{STATEMENT}: It is of form 7; this runbook reads form 6."
    assert str(refusal(folder, trust)) == said


def test_a_provenance_of_another_form_is_refused_by_name(
    tenant: Path, key: SigningKey, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provenance of another form raises `FormError`."""
    made = payload(bundle(tenant, 2) / "provenance.dsse.json")["predicate"]
    assert made["buildDefinition"]["buildType"].endswith(":headless-run:v6")
    folder = bundle(tenant, 2)
    monkeypatch.setattr("runbook_lib.evidence.signing.statement.FORM", 7)
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["form"] = 7
    resign_everything(folder, key, statement)

    said = "provenance.dsse.json: It is of form 6; this runbook reads form 7."
    assert str(refusal(folder, trust)) == said


def test_a_bundle_of_another_form_stops_the_sealing(
    tenant: Path, tmp_path: Path, key: SigningKey
) -> None:
    """A bundle of another form stops the sealing."""
    folder = bundle(tenant, 2)
    statement = payload(folder / STATEMENT)
    statement["predicate"]["runbook_run"]["form"] = 7
    resign_everything(folder, key, statement)
    journal = tenant / "journal.jsonl"
    journal.write_bytes(copied(bundle(tenant, 1), bundle(tenant, 2)))

    with pytest.raises(FormError, match=r"00000002/statement\.dsse\.json: It is of form 7"):
        seal_run(ended_run(tmp_path / "evidence", "00000004"), key)
