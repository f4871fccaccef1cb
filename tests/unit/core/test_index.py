"""The index of a journal saves reading, and never changes a result."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.config.settings import Settings
from runbook_lib.core.attestation_rules import Subject, bind
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.index import JournalIndex, dump_index, load_index
from runbook_lib.core.journal import BEFORE_THE_FIRST, Journal, read_lines
from runbook_lib.core.model import Attestation, AttestationKind, EventType, Mode, Outcome
from runbook_lib.core.procedure import Input, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.run_state import STATE_NAME, HistoryReader, RunState, fold
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError
from tests.conftest import NOON
from tests.support.attestations import (
    AT,
    assigned,
    attested,
    commented,
    declined,
    skipped,
    submitted,
    withdrawn,
)
from tests.support.journals import append
from tests.support.wording import refused, wording

APP_ID = Input(name="app_id", label="App ID", help="")


def step(name: str) -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.WAIT,
        source=Source(1),
        instructions="",
        own_sentence=f"I did {name}.",
        subject=("app_id",),
    )


PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    sections=(Section(id="01", title="", intro="", steps=(step("a"), step("b"), step("c"))),),
    inputs=(APP_ID,),
)
KEY = FingerprintKey()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme" / "journal.jsonl"


def begin(path: Path, run_id: str = "0a1b2c3d", **values: Any) -> Run:
    """Return a run that has started."""
    journal = Journal(path, clock=lambda: NOON)
    run = Run(PROCEDURE, Settings(values), journal, "acme", Mode.HEADLESS, run_id, key=KEY)
    run.start()
    return run


@pytest.fixture
def busy_path(path: Path) -> Path:
    """Return the path of a journal with a line of every type that the index uses."""
    first = begin(path, "00000001")
    first.say([attested("a", entry="1" * 64), submitted("b", note="x")])
    first.record_input("app_id", "111")
    first.perform("c")
    first.interrupt("by a signal")
    second = begin(path, "00000002", app_id="222")
    second.say([skipped("a"), declined("b"), withdrawn("a"), attested("c", by="Second")])
    second.say([commented("a", entry="2" * 64), assigned("b", "Second"), commented("a")])
    second.say([attested("b", by="Third", link="d" * 64)])
    judged(path, "222", accepts=["app_id"])
    judged(path, "333", refuses=["app_id"])
    second.perform("a")
    second.finish_notebook()
    second.finish()
    journal = Journal(path)
    for event, data in (
        (EventType.CREDENTIAL_SAVED, {"name": "x", "reference": "keyring:s/x"}),
        (EventType.CREDENTIAL_GIVEN, {"name": "x", "fingerprint": "12345678:ab"}),
    ):
        append(journal, event, data)
    append(journal, EventType.CHANGE_INTENDED, {"change": "Install it."}, step="a")
    append(
        journal,
        EventType.BUNDLE_SEALED,
        {
            "bundle": "n",
            "sequence": 1,
            "statement": "ab" * 32,
            "journal": {"lines": 1, "head": "ab" * 32, "end": 1},
        },
        run_id="00000002",
    )
    return path


def index_of(path: Path) -> JournalIndex:
    return JournalIndex().fold(read_lines(path))


def state_of(path: Path, key: FingerprintKey | None = KEY, **values: Any) -> RunState:
    """Return the state for a reader who opens this journal now."""
    history = HistoryReader(Journal(path), key).read()
    known = {**history.index.recorded, **values}
    return fold(history, Subject(PROCEDURE, known, history.index.before(known)), None)


def save(path: Path) -> Path:
    """Save an index of all lines, and return its file."""
    reader = HistoryReader(Journal(path), KEY)
    reader.read()
    reader.save(KEY)
    return path.with_name(STATE_NAME)


def test_an_index_comes_back_as_it_was(busy_path: Path) -> None:
    """A saved index is loaded unchanged."""
    index = index_of(busy_path)

    assert load_index(dump_index(index, KEY), KEY) == index
    assert load_index(dump_index(JournalIndex(), KEY), KEY) == JournalIndex()


def test_folding_goes_on_from_a_saved_index(busy_path: Path) -> None:
    """Folding the remaining lines into a saved index gives the same as folding all lines."""
    lines = list(read_lines(busy_path))
    for cut in range(len(lines) + 1):
        first = JournalIndex().fold(lines[:cut])
        loaded = load_index(dump_index(first, KEY), KEY) or JournalIndex()
        assert loaded.fold(lines[cut:]) == index_of(busy_path)
        assert (loaded, first) == (JournalIndex().fold(lines[:cut]),) * 2, (
            "a fold altered its index"
        )


def judged(path: Path, app_id: str, **named: list[str]) -> None:
    """Record a check about `app_id` whose finding accepts or refuses the values that it names."""
    finding = {"outcome": "inconclusive", "code": "a-code", "reason": "x", "check": "y", **named}
    bound = to_builtins(bind(step("c"), Subject(PROCEDURE, {"app_id": app_id})))
    data = {"findings": [finding], "binding": bound}
    append(Journal(path), EventType.STEP_CHECKED, data, step="c")


def spoken(path: Path, run_id: str = "0a1b2c3d", **values: Any) -> Run:
    """Return a run in which a person has attested the first step."""
    run = begin(path, run_id, **values)
    run.say([attested("a")])
    return run


def outcome(path: Path, **values: Any) -> Outcome:
    """Return the outcome of the step that people spoke about."""
    return state_of(path, **values).steps["a"].conclusion.outcome


def test_an_attestation_is_bound_to_the_first_value_that_is_confirmed(path: Path) -> None:
    """A word said before any App ID was typed counts for the first one that Facebook confirms."""
    spoken(path).record_input("app_id", "999")
    begin(path, "00000002", app_id="111")
    assert outcome(path) is outcome(path, app_id="333") is Outcome.ATTESTED

    judged(path, "111", accepts=["app_id"])
    assert outcome(path) is Outcome.ATTESTED
    begin(path, "00000003", app_id="222")
    judged(path, "222", accepts=["app_id"])
    lapsed = state_of(path).steps["a"]
    assert lapsed.conclusion.outcome is Outcome.NOT_RUN
    reason = wording("reasons.void-of-another-app", name="App ID", was=111, now=222)
    assert reason in lapsed.conclusion.reason


@pytest.mark.parametrize(
    ("given", "story", "bound"),
    [
        # A later confirmation by Facebook binds no attestation about another App ID.
        ("999", ["counts", "types 111", "accepts 111", "lapses"], "999"),
        # A word about another App ID does not count for one of which Facebook said nothing yet.
        ("111", ["accepts 111", "types 999", "lapses"], "111"),
        # A typing error that Facebook refused, even twice, leaves every word as it was.
        (
            "111",
            [
                "types 999",
                "refuses 999",
                "counts",
                "types 998",
                "refuses 998",
                "counts",
                "types 111",
                "counts",
            ],
            "111",
        ),
        # Words about a confirmed App ID outlast an unchecked typing error before a refused one.
        ("111", ["accepts 111", "types 998", "types 999", "refuses 999", "counts"], "111"),
        # A word said before any App ID was typed survives refused ones.
        ("", ["types 999", "refuses 999", "types 111", "accepts 111", "counts"], "111"),
        # Once Facebook confirms a value that it had refused, that is the one that counts.
        ("111", ["types 222", "refuses 222", "counts", "accepts 222", "lapses"], "111"),
    ],
)
def test_an_attestation_counts_for_the_value_that_it_is_about(
    path: Path, given: str, story: list[str], bound: str
) -> None:
    """Facebook's answers decide which of the typed App IDs counts."""
    run = spoken(path, **({"app_id": given} if given else {}))
    for event in story:
        what, _, app_id = event.partition(" ")
        if what == "types":
            run.record_input("app_id", app_id)
        elif app_id:
            judged(path, app_id, **{what: ["app_id"]})
        else:
            assert outcome(path) is (Outcome.ATTESTED if what == "counts" else Outcome.NOT_RUN)

    assert index_of(path).attestations["a"][0].subject == {"app_id": bound}


def test_only_the_newest_refused_values_are_kept(path: Path) -> None:
    """The index stays small after many mistyped App IDs."""
    begin(path, app_id="111")
    for number in range(50):
        judged(path, str(number + 1), refuses=["app_id"])

    kept = index_of(path).refused["app_id"]
    assert len(kept) == 32
    assert kept[-1] == "50"


def test_a_link_counts_once_across_steps(path: Path) -> None:
    """A word by a link that was used for another step does not count."""
    run = begin(path, app_id="111")
    run.say([attested("a", link="d" * 64), attested("b", link="d" * 64)])

    steps = state_of(path).steps
    assert steps["a"].conclusion.outcome is Outcome.ATTESTED
    assert steps["b"].conclusion.outcome is Outcome.NOT_RUN


def test_a_reader_parses_only_what_is_new(busy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader parses only the lines after the saved index."""
    save(busy_path)
    append(Journal(busy_path), "run.interrupted", {"reason": "x"}, run_id="00000002")
    afters: list[int] = []

    def counted(path: Path, *, after: Any) -> Any:
        afters.append(after.seq)
        return read_lines(busy_path, after=after)

    monkeypatch.setattr("runbook_lib.core.run_state.read_lines", counted)
    reader = HistoryReader(Journal(busy_path), KEY)
    total = len(Journal(busy_path).entries())
    for _ in range(3):
        reader.read()

    assert afters == [total - 1, total, total]


Alter = Callable[[bytes], bytes]


def flipped(content: bytes) -> bytes:
    place = random.Random(7).randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def without_attestations(content: bytes) -> bytes:
    signature, _, saved = content.partition(b"\n")
    return signature + b"\n" + json.dumps({**json.loads(saved), "attestations": {}}).encode()


def signed(saved: bytes, key: FingerprintKey = KEY) -> bytes:
    return key.of_bytes(saved).encode() + b"\n" + saved


def of_other_parts(change: Callable[[dict[str, Any]], object]) -> Alter:
    """Return the index as an earlier or a later version would save it."""

    def alter(content: bytes) -> bytes:
        document = json.loads(content.partition(b"\n")[2])
        change(document)
        return signed(json.dumps(document).encode())

    return alter


ALTERED: dict[str, Alter] = {
    "before it knew who worked on a step": of_other_parts(
        lambda document: (document.pop("parts"), document["index"].pop("worked_on"))
    ),
    "with a part of a later version": of_other_parts(
        lambda document: (
            document["parts"]["JournalIndex"].update(added="int"),
            document["index"].update(added=1),
        )
    ),
    "with another type": of_other_parts(
        lambda document: (
            document["parts"]["JournalIndex"].update(worked_on="int"),
            document["index"].update(worked_on=1),
        )
    ),
    "a flipped bit": flipped,
    "attestations left out": without_attestations,
    "signed by another key": lambda content: signed(content.partition(b"\n")[2], FingerprintKey()),
    "of another form": of_other_parts(lambda document: document.update(format_version=99)),
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "no JSON": lambda _: b"x\ny",
    "not even text": lambda _: b"\xff\xfe\n\xff",
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_index_changes_no_outcome(busy_path: Path, how: str) -> None:
    """An altered index is not used, and the result is the journal's."""
    saved = save(busy_path)
    before = state_of(busy_path, None)
    saved.write_bytes(ALTERED[how](saved.read_bytes()))

    assert state_of(busy_path) == before
    assert load_index(saved.read_bytes(), KEY) is None


def test_an_index_of_another_journal_is_not_used(busy_path: Path, tmp_path: Path) -> None:
    """The index of another or a longer journal is not used."""
    saved = save(busy_path)
    other = tmp_path / "other" / "journal.jsonl"
    begin(other)
    (other.parent / STATE_NAME).write_bytes(saved.read_bytes())
    older = tmp_path / "older" / "journal.jsonl"
    older.parent.mkdir()
    older.write_bytes(b"".join(busy_path.read_bytes().splitlines(keepends=True)[:4]))
    (older.parent / STATE_NAME).write_bytes(saved.read_bytes())

    for each in (other, older):
        assert state_of(each) == state_of(each, None)


def test_an_index_with_a_wrong_reference_is_detected(busy_path: Path) -> None:
    """A line read through the index must have the recorded SHA-256."""
    index = index_of(busy_path)
    (word,) = index.attestations["c"]
    lines = list(read_lines(busy_path))
    wrong = structs.replace(
        word, ref=word.ref._replace(start=lines[0].ref.start, end=lines[0].ref.end)
    )
    busy_path.with_name(STATE_NAME).write_bytes(
        dump_index(structs.replace(index, attestations={**index.attestations, "c": (wrong,)}), KEY)
    )

    with refused(ChainError, "line-changed"):
        state_of(busy_path)


def test_a_full_disk_is_no_reason_to_fail(busy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that cannot be saved is no error, and no part of it is left."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    save(busy_path)

    assert [each.name for each in busy_path.parent.iterdir() if STATE_NAME in each.name] == []


def test_old_runs_are_dropped_except_what_counts(path: Path) -> None:
    """The index keeps 32 runs, and all attestations and latest checks."""
    spoken(path, "00000000", app_id="1").perform("b")
    for number in range(1, 41):
        run = begin(path, f"{number:08x}", app_id="1")
        run.finish()

    index = index_of(path)
    assert len(index.runs) == 32
    assert "00000000" not in index.runs
    assert set(index.checked) == {"b"}
    assert state_of(path).steps["a"].conclusion.outcome is Outcome.ATTESTED


def test_a_random_history_is_the_same_from_the_index(path: Path) -> None:
    """With random lines, the state is the same with and without a saved index."""
    dice = random.Random(9)
    run = begin(path)
    for number in range(200):
        kind = dice.choice(list(AttestationKind))
        word = Attestation(
            kind=kind, step=dice.choice("abc"), by=dice.choice("AB"), at=AT, note="n"
        )
        act = dice.randrange(4)
        if act == 0:
            run.record_input("app_id", str(dice.randrange(3)))
        elif act == 1:
            run = begin(path, f"{number:08x}", **dice.choice([{}, {"app_id": "1"}]))
        elif act == 2:
            run.perform(dice.choice("abc"))
        else:
            run.say([word])
        if number % 10 == 0:
            save(path)
            assert state_of(path) == state_of(path, None)
    assert index_of(path).last != BEFORE_THE_FIRST


def test_an_empty_value_is_ignored(path: Path) -> None:
    """An empty value does not replace a recorded one, and no typed one binds an attestation."""
    run = spoken(path)
    run.record_input("app_id", "")
    assert index_of(path).attestations["a"][0].subject == {"app_id": None}

    run.record_input("app_id", "111")
    run.record_input("app_id", "")
    index = index_of(path)
    assert index.attestations["a"][0].subject == {"app_id": None}
    assert index.recorded["app_id"] == "111"
