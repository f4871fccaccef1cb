"""The attestations file: each entry must be understood and must not lie in the future."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.config.attestations import check_subjects, read_attestations
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Attestation, AttestationKind, Binding, Note, Remark, Value
from runbook_lib.core.procedure import (
    AnswerOption,
    Input,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)
from runbook_lib.errors import AttestationError, SettingsError
from tests.conftest import NOON
from tests.support.wording import refused, refused_naming, wording


def digits(text: str) -> str:
    if not text.isdigit():
        raise ValueError(wording("confirmation-invalid.app-id-digits"))
    return text


def step(name: str, kind: StepKind) -> Step:
    return Step(
        id=name,
        title=name,
        kind=kind,
        source=Source(1),
        instructions="",
        own_sentence="Done.",
        subject=("app_id", "app_secret"),
    )


APP_ID = Input(name="app_id", label="App ID", help="Which.", parse=digits)
APP_SECRET = Input(name="app_secret", label="App Secret", help="Secret.", secret=True)
PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    inputs=(APP_ID, APP_SECRET),
    sections=(
        Section(
            id="01",
            title="One",
            intro="",
            steps=(
                step("fb-01-log-in", StepKind.MANUAL),
                replace(
                    step("fb-12-review", StepKind.WAIT),
                    valid_days=365,
                    answers=(
                        AnswerOption(
                            name="not-asked", label="No", sentence="Not asked.", valid_days=90
                        ),
                        AnswerOption(name="asked", label="Yes", sentence="Asked.", due_days=60),
                    ),
                ),
            ),
        ),
    ),
)


def read(folder: Path, *entries: str | bytes) -> list[Remark]:
    """Return the remarks in a file with these entries."""
    path = folder / "said.toml"
    lines = [entry if isinstance(entry, bytes) else entry.encode() for entry in entries]
    path.write_bytes(b"\n".join(lines))
    return read_attestations(path, PROCEDURE, now=NOON)


def read_one(folder: Path, text: str) -> Attestation:
    """Return the only attestation in a file with this entry."""
    ((_, statement),) = read(folder, text)
    assert isinstance(statement, Attestation)
    return statement


def attestation(**fields: str) -> str:
    known = {"step": '"fb-01-log-in"', "by": '"Operator"', "at": "2026-11-24T09:30:00Z"}
    lines = [f"{name} = {value}" for name, value in {**known, **fields}.items() if value]
    return "\n".join(["[[attestation]]", *lines])


def gate(**fields: str) -> str:
    return attestation(**{"step": '"fb-12-review"', **fields})


def skip(**fields: str) -> str:
    return attestation(**{"reason": '"no forms"', **fields}).replace("attestation", "skip")


def entry(table: str, **fields: str) -> str:
    return attestation(**fields).replace("attestation", table)


def test_each_kind_of_attestation_is_read(tmp_path: Path) -> None:
    """Entries of each kind, in any order, are sorted by time; each keeps author and file name."""
    remarks = read(
        tmp_path,
        attestation(note='" Business. "', at="2026-11-24T09:34:00Z"),
        entry("submitted", step='"fb-12-review"', at="2026-11-24T09:31:00Z"),
        entry("declined", step='"fb-12-review"', at="2026-11-24T09:32:00Z", note='"why"'),
        skip(at="2026-11-24T09:33:00Z"),
        entry("withdrawal", at="2026-11-24T09:35:00Z", reason='"a mistake"'),
    )

    said = [(step, statement) for step, statement in remarks if isinstance(statement, Attestation)]
    assert [(statement.kind, step, statement.note) for step, statement in said] == [
        (AttestationKind.SUBMITTED, "fb-12-review", ""),
        (AttestationKind.DECLINED, "fb-12-review", "why"),
        (AttestationKind.SKIPPED, "fb-01-log-in", "no forms"),
        (AttestationKind.ATTESTED, "fb-01-log-in", "Business."),
        (AttestationKind.WITHDRAWN, "fb-01-log-in", "a mistake"),
    ]
    assert {(statement.by, statement.origin) for _, statement in said} == {
        ("Operator", "said.toml")
    }
    assert said[3][1].at == "2026-11-24T09:34:00Z"
    assert all(statement.binding == Binding() for _, statement in said)


def test_notes_are_read(tmp_path: Path) -> None:
    """Comments and assignments are entries too; a due date may stand in quotes or not."""
    texts = (
        entry("comment", note='"Ask again."'),
        entry("assignment", to='" Second "', due="2026-12-01", at="2026-11-24T09:31:00Z"),
        entry("assignment", to='"Second"', due='"2026-11-24"', at="2026-11-24T09:32:00Z"),
        entry("assignment", note='"nobody is here"', at="2026-11-24T09:33:00Z"),
    )
    remarks = read(tmp_path, *texts)
    notes = [note for _, note in remarks if isinstance(note, Note)]

    assert [step for step, _ in remarks] == ["fb-01-log-in"] * 4
    assert (notes[0].note, notes[0].by) == ("Ask again.", "Operator")
    assert [(note.to, note.due) for note in notes] == [
        (None, ""),
        ("Second", "2026-12-01"),
        ("Second", "2026-11-24"),
        ("", ""),
    ]
    entries = [note.entry for note in notes]
    assert len(set(entries)) == 4
    assert [statement.entry for _, statement in read(tmp_path, *texts)] == entries


def test_an_entry_names_what_it_is_about(tmp_path: Path) -> None:
    """A subject is parsed as the settings are; an entry without a subject has no binding."""
    found = read_one(tmp_path, attestation(subject='{app_id = "123"}'))

    assert found.binding == Binding(subject={"app_id": "123"})


def test_an_entry_is_recognised_by_its_content(tmp_path: Path) -> None:
    """The same entry in another file has the same digest; any change gives another digest."""
    texts = [
        attestation(),
        attestation(by='"Another"'),
        attestation(note='"x"'),
        attestation(at="2026-11-24T09:30:01Z"),
        attestation(subject='{app_id = "1"}'),
        skip(),
        # Entries that differ in step, answer or day alone are others, too.
        gate(),
        gate(until="2026-12-01"),
        gate(answer='"not-asked"'),
    ]
    entries, again = ([read_one(tmp_path, text).entry for text in texts] for _ in range(2))
    assert entries == again
    assert len(set(entries)) == len(texts)
    assert all(len(each) == 64 for each in entries)


def test_an_empty_file_is_valid(tmp_path: Path) -> None:
    """A file without entries is valid, even if it begins with a byte-order mark."""
    assert read(tmp_path, "# nothing yet\n") == []
    assert read(tmp_path, "\ufeff# nothing yet\n") == []


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
        ("2026-11-24T14:00:00+02:00", "2026-11-24T12:00:00Z"),
        ("2026-11-24T09:30:00", "2026-11-24T09:30:00Z"),
        ("2026-11-24 09:30:00.987Z", "2026-11-24T09:30:00Z"),
    ],
)
def test_times_are_kept_in_utc(tmp_path: Path, at: str, utc: str) -> None:
    """The journal shows UTC for any offset; a time without one is taken as UTC."""
    assert read_one(tmp_path, attestation(at=at)).at == utc


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step = ", wording("confirmation-invalid.not-toml")),
        (b"\xff\xfe", wording("confirmation-invalid.not-utf-8")),
        (
            "[attestation]\nstep = 1",
            wording("confirmation-invalid.two-brackets", table="attestation"),
        ),
        ("attestation = [1]", wording("confirmation-invalid.two-brackets", table="attestation")),
        ("skip = 'x'", wording("confirmation-invalid.two-brackets", table="skip")),
        (
            "[[attested]]\nstep = 'fb-01-log-in'",
            wording("confirmation-invalid.no-key", name="attested"),
        ),
        (
            attestation(step='"fb-99-none"'),
            wording("confirmation-invalid.no-step", step="fb-99-none"),
        ),
        # The step that may be meant is named, else the command that lists the steps.
        (
            attestation(step='"fb-12-reviw"'),
            wording("confirmation-invalid.step-meant", step="fb-12-review"),
        ),
        (attestation(step='"something else"'), wording("confirmation-invalid.step-list")),
        *(
            (entry_of(at=at), wording("confirmation-invalid.in-the-future"))
            for at in ("2026-11-24T12:00:01Z", "2026-11-24T12:00:00-01:00", "2027-01-01T00:00:00Z")
            for entry_of in (attestation, skip)
        ),
        (attestation(step=""), wording("confirmation-invalid.missing", name="step")),
        (attestation(by=""), wording("confirmation-invalid.missing", name="by")),
        (attestation(by='"  "'), wording("confirmation-invalid.missing", name="by")),
        (attestation(at=""), wording("confirmation-invalid.takes-a-time", name="at")),
        (
            attestation(at='"2026-11-24T09:30:00Z"'),
            wording("confirmation-invalid.takes-a-time", name="at"),
        ),
        (attestation(at="2026-11-24"), wording("confirmation-invalid.takes-a-time", name="at")),
        (attestation(at="09:30:00"), wording("confirmation-invalid.takes-a-time", name="at")),
        (
            attestation(at="0001-01-01T00:00:00+01:00"),
            wording("confirmation-invalid.out-of-range", name="at"),
        ),
        (attestation(reason='"x"'), wording("confirmation-invalid.no-key", name="reason")),
        (attestation(waiting="true"), wording("confirmation-invalid.no-key", name="waiting")),
        (entry("submitted"), wording("confirmation-invalid.nothing-submitted")),
        (entry("declined"), wording("confirmation-invalid.nothing-submitted")),
        (entry("withdrawal"), wording("confirmation-invalid.missing", name="reason")),
        (attestation(subject='"app 1"'), wording("confirmation-invalid.subject-takes")),
        (attestation(subject="[]"), wording("confirmation-invalid.subject-in-list-empty")),
        (attestation(subject="[{}]"), wording("confirmation-invalid.subject-in-list-empty")),
        (
            attestation(subject="[{app_id = '1'}, {}]"),
            wording("confirmation-invalid.subject-in-list-empty"),
        ),
        (attestation(subject="['1']"), wording("confirmation-invalid.subject-takes")),
        (attestation(subject="[[{app_id = '1'}]]"), wording("confirmation-invalid.subject-takes")),
        (
            attestation(subject="[{app_id = '1'}, {app_id = 'x'}]"),
            wording("confirmation-invalid.app-id-digits"),
        ),
        (
            attestation(subject="[{app_id = '1'}, {region = 'eu'}]"),
            wording("confirmation-invalid.no-key", name="region"),
        ),
        (
            entry("comment", note='"x"', subject="[{app_id = '1'}]"),
            wording("confirmation-invalid.no-key", name="subject"),
        ),
        (attestation(subject="{app_id = 'x'}"), wording("confirmation-invalid.app-id-digits")),
        (
            attestation(subject="{app_id = true}"),
            wording("confirmation-invalid.takes-text", type="bool"),
        ),
        (
            attestation(subject="{app_id = {}}"),
            wording("confirmation-invalid.takes-text", type="dict"),
        ),
        (
            attestation(subject="{app_secret = 'x'}"),
            wording("confirmation-invalid.no-key", name="app_secret"),
        ),
        (
            attestation(subject="{region = 'eu'}"),
            wording("confirmation-invalid.known-keys", name="region", known="app_id"),
        ),
        ("a = " + "[" * 20_000, wording("confirmation-invalid.not-toml")),
        (entry("comment"), wording("confirmation-invalid.missing", name="note")),
        (
            entry("comment", note='"x"', to='"Second"'),
            wording("confirmation-invalid.no-key", name="to"),
        ),
        (
            entry("assignment", to='"Second"', due='"soon"'),
            wording("confirmation-invalid.takes-a-day", name="due"),
        ),
        (
            entry("assignment", to='"Second"', due='"2026-W48-1"'),
            wording("confirmation-invalid.takes-a-day", name="due"),
        ),
        (
            entry("assignment", to='"Second"', due="2026-12-01T00:00:00Z"),
            wording("confirmation-invalid.takes-a-day", name="due"),
        ),
        (
            entry("assignment", to='"Second"', due="1"),
            wording("confirmation-invalid.takes-a-day", name="due"),
        ),
        (
            entry("assignment", to='"Second"', due="2026-11-23"),
            wording("confirmation-invalid.due-in-the-past"),
        ),
        (entry("assignment", due="2026-12-01"), wording("confirmation-invalid.due-without-to")),
        (entry("assignment", to='"Sec\\u200bond"'), wording("setting-invalid.invisible-character")),
        (attestation(answer='"asked"'), wording("confirmation-invalid.no-answer", name="asked")),
        (attestation(due="2026-12-01"), wording("confirmation-invalid.does-not-apply", name="due")),
        (
            attestation(until="2026-12-01"),
            wording("confirmation-invalid.does-not-apply", name="until"),
        ),
        (gate(answer="1"), wording("confirmation-invalid.answer-takes-text")),
        (gate(answer='"ask\\u200bed"'), wording("setting-invalid.invisible-character")),
        (
            gate(answer='"asekd"'),
            wording("confirmation-invalid.unknown-answer", name="asekd", known="not-asked, asked"),
        ),
        (gate(due="2026-12-01"), wording("confirmation-invalid.does-not-apply", name="due")),
        (
            gate(until="2026-11-23"),
            wording("confirmation-invalid.past", name="until", day="2026-11-23"),
        ),
        (
            gate(until="2027-11-25"),
            wording("confirmation-invalid.too-late", days=365, day="2026-11-24"),
        ),
        (gate(until='"in a year"'), wording("confirmation-invalid.takes-a-day", name="until")),
        (
            gate(answer='"not-asked"', until="2027-02-23"),
            wording("confirmation-invalid.too-late", days=90, day="2026-11-24"),
        ),
        (
            gate(answer='"not-asked"', due="2026-12-01"),
            wording("confirmation-invalid.does-not-apply", name="due"),
        ),
        (gate(answer='"asked"'), wording("confirmation-invalid.due-missing")),
        (
            gate(answer='"asked"', due="2027-01-24"),
            wording("confirmation-invalid.too-late", days=60, day="2026-11-24"),
        ),
        (
            gate(answer='"asked"', due='"20/01/2027"'),
            wording("confirmation-invalid.takes-a-day", name="due"),
        ),
        (
            gate(answer='"asked"', due="2027-01-01", until="2027-01-01"),
            wording("confirmation-invalid.does-not-apply", name="until"),
        ),
        (
            entry("submitted", step='"fb-12-review"', due="2026-12-01"),
            wording("confirmation-invalid.no-key", name="due"),
        ),
        (skip(reason=""), wording("confirmation-invalid.missing", name="reason")),
        (skip(note='"x"'), wording("confirmation-invalid.no-key", name="note")),
        (skip(waiting="true"), wording("confirmation-invalid.no-key", name="waiting")),
    ],
)
def test_an_invalid_entry_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    """One invalid entry refuses the whole file; the error names the file and the problem."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)

    assert said in str(caught.value)
    assert str(tmp_path / "said.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sentence", "due", "until"),
    [
        ({}, "", "", "2027-11-24"),
        ({"until": "2026-12-01"}, "", "", "2026-12-01"),
        ({"until": '"2027-11-24"'}, "", "", "2027-11-24"),
        ({"answer": '"not-asked"'}, "Not asked.", "", "2027-02-22"),
        ({"answer": '"not-asked"', "until": "2026-11-24"}, "Not asked.", "", "2026-11-24"),
        ({"answer": '"asked"', "due": "2026-11-24"}, "Asked.", "2026-11-24", ""),
        ({"answer": '"asked"', "due": "2026-05-01"}, "Asked.", "2026-05-01", ""),
        ({"answer": '"asked"', "due": "2027-01-23"}, "Asked.", "2027-01-23", ""),
    ],
)
def test_an_attestation_may_give_another_answer(
    tmp_path: Path, fields: dict[str, str], sentence: str, due: str, until: str
) -> None:
    """An answer is read as its sentence, with the days that it has."""
    found = read_one(tmp_path, gate(**fields))

    assert (found.sentence, found.due, found.until) == (sentence, due, until)


def subjects_of(remarks: list[Remark]) -> list[Mapping[str, Value | None]]:
    """Return the subject of each attestation."""
    return [said.binding.subject for _, said in remarks if isinstance(said, Attestation)]


SEVERAL = "[{app_id = '1'}, {app_id = ' 2 '}, {app_id = '1'}]"


@pytest.mark.parametrize(
    "make",
    [
        attestation,
        skip,
        lambda **fields: entry("withdrawal", reason='"a mistake"', **fields),
        lambda **fields: entry("submitted", step='"fb-12-review"', **fields),
        lambda **fields: entry("declined", step='"fb-12-review"', **fields),
    ],
    ids=["attestation", "skip", "withdrawal", "submitted", "declined"],
)
def test_several_subjects_are_as_many_entries(make: Callable[..., str], tmp_path: Path) -> None:
    """An attestation about each subject, once, is as if it stood in an entry of its own."""
    remarks = read(tmp_path, make(subject=SEVERAL))

    alone = [read(tmp_path, make(subject=f"{{app_id = '{number}'}}")) for number in (1, 2)]
    assert [[each] for each in remarks] == alone
    assert subjects_of(remarks) == [{"app_id": "1"}, {"app_id": "2"}]


def test_a_tenant_gets_its_own_subject_of_a_list(tmp_path: Path) -> None:
    """Other tenants' subjects in a list are ignored; an only subject is always read."""
    path = tmp_path / "said.toml"
    third = skip(subject='{app_id = "3"}')
    path.write_text(f"{attestation(subject=SEVERAL)}\n{third}\n")

    for values, subjects in (({"app_id": "2"}, ["2", "3"]), ({}, ["3"]), (None, ["1", "2", "3"])):
        remarks = read_attestations(path, PROCEDURE, now=NOON, values=values)
        assert [subject["app_id"] for subject in subjects_of(remarks)] == subjects


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A missing file is an error."""
    path = tmp_path / "none.toml"
    with refused(AttestationError, "file-missing", path=path):
        read_attestations(path, PROCEDURE, now=NOON)


# --- a fleet's -------------------------------------------------------------------------------
MARKETING = find_procedure("facebook_marketing")
MESSENGER = find_procedure("facebook_messenger")
TENANTS = [
    (MARKETING, {"app_id": "1000000001", "service_domain": "a.cyclr.com"}),
    (MESSENGER, {"app_id": "1000000002", "service_domain": "b.cyclr.com"}),
]
# Both connectors have this step, which is about an app and a Service Domain.
STEP = "fb-08-redirect-uri"
ENTRY = '[[attestation]]\nstep = "{}"\nby = "Ann"\nat = 2026-01-20T09:00:00Z\nsubject = {}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attestations.toml"


def test_a_subject_of_no_tenant_is_reported(path: Path) -> None:
    """Each subject that no tenant has is a sentence, of a list each member alone."""
    path.write_text(
        ENTRY.format(
            STEP,
            '[{app_id = "1000000001"}, {app_id = "1000000009"}, {app_id = "1000000002"},'
            ' {app_id = "1000000001", service_domain = "b.cyclr.com"}]',
        )
        + ENTRY.format(STEP, '{service_domain = "c.cyclr.com"}')
    )

    about = [
        "app_id 1000000009",
        "app_id 1000000001 and service_domain b.cyclr.com",
        "service_domain c.cyclr.com",
    ]
    assert check_subjects(path, TENANTS, now=NOON) == [
        wording("confirmation-invalid.no-tenant-has", path=path, step=STEP, subject=each)
        for each in about
    ]


def test_a_tenant_of_either_connector_counts(path: Path) -> None:
    """An entry that is about a tenant of one connector is not missed in the other."""
    path.write_text(ENTRY.format(STEP, '{app_id = "1000000002"}'))

    assert check_subjects(path, TENANTS, now=NOON) == []
    assert len(check_subjects(path, TENANTS[:1], now=NOON)) == 1


def test_a_step_of_one_connector_of_the_file_is_no_mistake(path: Path) -> None:
    """A fleet's entry may be about a step that only one connector of its tenants has."""
    own = {step.id for step in MARKETING.steps}
    step = next(step.id for step in MESSENGER.steps if step.id not in own)
    path.write_text(
        ENTRY.format(step, '{app_id = "1000000002"}')
        + ENTRY.format(STEP, '{app_id = "1000000001"}')
    )

    assert check_subjects(path, TENANTS, now=NOON) == []
    with refused_naming(AttestationError, step):
        check_subjects(path, TENANTS[:1], now=NOON)
    path.write_text(ENTRY.format("fb-99-nothing", '{app_id = "1000000002"}'))
    with refused_naming(AttestationError, "fb-99-nothing"):
        check_subjects(path, TENANTS, now=NOON)


@pytest.mark.parametrize("subject", ["{}", "[]", "[{}]", '[{app_id = "1000000001"}, {}]'])
def test_an_entry_without_a_subject_is_refused(subject: str, path: Path) -> None:
    """An entry that names nothing, or a list of which one names nothing, is refused."""
    path.write_text(ENTRY.format(STEP, subject))

    with refused_naming(AttestationError, f"{path}, step {STEP}: ", "subject"):
        check_subjects(path, TENANTS, now=NOON)


def test_many_attestations_about_many_tenants_take_no_time(path: Path) -> None:
    """Thousands of subjects and of tenants are compared by what they have, not each with each."""
    numbers = range(1_000_000_000, 1_000_010_000)
    subjects = ", ".join(f'{{app_id = "{number}"}}' for number in numbers)
    path.write_text(ENTRY.format(STEP, f"[{subjects}]"))
    began = time.process_time()

    tenants = [(MARKETING, {"app_id": f"{number}"}) for number in numbers]
    assert check_subjects(path, tenants, now=NOON) == []
    assert time.process_time() - began < 20
