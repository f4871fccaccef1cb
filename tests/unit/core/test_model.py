"""
The model: the form of each kind of line, its masks, and every command's error for an invalid one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from msgspec import convert, to_builtins
from msgspec.json import schema

import runbook_lib.walkthrough.lab
from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.journal import Journal, read_lines
from runbook_lib.core.masking import masked
from runbook_lib.core.model import (
    DATA,
    FORMAT_VERSION,
    ChangeIntended,
    EventType,
    Mode,
    ModelStruct,
    StepAssigned,
    StepStarted,
)
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.errors import ChainError, ExitCode, JournalError
from runbook_lib.evidence.signing.keys import create_key, export_public_key, open_key
from tests.support.journals import chained, lines_of, redact
from tests.support.wording import field_invalid, field_missing, refused, wording

AT = "2026-11-24T12:00:00.000Z"
DIGEST = "0123456789abcdef" * 4
FINGERPRINT = f"0a1b2c3d:{DIGEST}"
BINDING = {
    "connector": "facebook-marketing",
    "sentence_digest": DIGEST,
    "checks": ["app-exists"],
    "text_digest": DIGEST,
    "subject": {"app_id": "1234567891011121", "app_secret": FINGERPRINT, "permissions": None},
}
FINDING = {
    "outcome": "verified",
    "code": "app-exists",
    "reason": "It is there.",
    "check": "app-exists",
    "accepts": ["app_id"],
    "refuses": ["app_secret"],
    "quotes": ["It is refused."],
    "limits": ["a"],
    "warnings": ["b"],
    "changes": ["c"],
    "facts": {"app_display_name": "Acme"},
    "tables": [{"caption": "d", "columns": ["e"], "rows": [["f"]]}],
    "exchanges": [1],
}
EXCHANGE = {
    "method": "DELETE",
    "url": "https://graph.example/me",
    "sent_on": AT,
    "elapsed": 0.1,
    "status": 200,
    "request": None,
    "headers": {"content-type": "application/json"},
    "response": {"id": "1"},
    "error": "",
    "shape": {"body": '{"id":"s8"}', "error": "100/33", "header_names": ["x-fb-debug"]},
}
WORD = {
    "by": "Operator",
    "at": AT,
    "note": "",
    "seen": "",
    "attachments": [{"name": "a.png", "sha256": DIGEST, "size": 3, "media_type": "image/png"}],
    "origin": "walkthrough",
    "entry": "",
    "login": "",
    "link": DIGEST,
    "sentence": "It is done.",
    "second_person_sentence": "First has done it. I have seen it.",
    "due": "2026-12-01",
    "until": "2027-11-24",
    "app_name": "Acme",
    "app_id": "1234567891011121",
    "service_domain": "acme-h.cyclr.com",
    "binding": BINDING,
}
NOTE = {"by": "Operator", "at": AT, "note": "Ask again.", "origin": "", "entry": "", "login": ""}
RUN = {
    "format_version": FORMAT_VERSION,
    "tenant": "acme",
    "procedure": {
        "id": "facebook_marketing",
        "version": "1",
        "digest": DIGEST,
        "package": {"name": "other", "version": "1.0"},
    },
    "mode": "headless",
    "sandbox": False,
    "parameters": {"permissions": ["public_profile"], "graph_version": "v26.0"},
    "credentials": ["app_secret"],
    "fingerprints": {"app_secret": FINGERPRINT},
    "resumes": "",
    "environment": {"python": "3.11.2"},
    "fleet_run": {
        "id": "7f3a90c1",
        "selected": 2,
        "selected_digest": DIGEST,
        "entry_digest": DIGEST,
    },
    "not_run": {"reason": "no secret", "next_step": "Give it."},
    "rechecks": ["cyclr_username"],
    "may_spend": True,
}
BASIS = {
    "check": "app-exists",
    "code_digest": DIGEST,
    "values": {"app_id": "1234567891011121", "app_secret": FINGERPRINT, "service_domain": None},
}
CARRIED = {
    "check": "app-exists",
    "code_digest": DIGEST,
    "run_id": "3627f3c0",
    "line": 7,
    "sha256": DIGEST,
    "checked_on": AT,
    "recheck_days": 30,
    "until": "2026-12-24",
}
# A complete line of each type.
WHOLE: dict[str, dict[str, Any]] = {
    EventType.RUN_STARTED: RUN,
    EventType.RUN_JOINED: {
        "parameters": {"app_id": "1"},
        "fingerprints": {"app_secret": FINGERPRINT},
    },
    EventType.RUN_FINISHED: {"outcome": "complete", "environment": {"engine": "fork"}},
    EventType.RUN_INTERRUPTED: {"reason": "cut off"},
    EventType.NOTEBOOK_FINISHED: {},
    EventType.STEP_STARTED: {},
    EventType.STEP_CHECKED: {
        "findings": [FINDING],
        "unchecked": "",
        "automatic": False,
        "binding": BINDING,
        "bases": [BASIS],
        "carried": [CARRIED],
        "due_on": "2026-12-24",
    },
    EventType.STEP_WITHHELD: {"sha256": DIGEST, "checks": ["app-exists"], "binding": BINDING},
    EventType.EXCHANGE_RECORDED: EXCHANGE,
    EventType.EXCHANGE_WITHHELD: {"sha256": DIGEST},
    EventType.STEP_ATTESTED: WORD,
    EventType.STEP_SUBMITTED: WORD,
    EventType.STEP_DECLINED: WORD,
    EventType.STEP_SKIPPED: WORD,
    EventType.STEP_WITHDRAWN: WORD,
    EventType.STEP_COMMENTED: NOTE,
    EventType.STEP_ASSIGNED: {**NOTE, "to": "Reviewer", "due": "2026-12-01"},
    EventType.INPUT_GIVEN: {"name": "app_id", "value": "1234567891011121"},
    EventType.CREDENTIAL_GIVEN: {"name": "app_secret", "fingerprint": FINGERPRINT},
    EventType.CREDENTIAL_SAVED: {"name": "app_secret", "reference": "keyring:a/b"},
    EventType.CHANGE_INTENDED: {"change": "It installs the connector."},
    EventType.JOURNAL_REPAIRED: {"bytes": 3, "text": '{"s'},
    EventType.BUNDLE_SEALED: {
        "bundle": "b",
        "sequence": 1,
        "statement": DIGEST,
        "journal": {"lines": 3, "head": DIGEST, "end": 900},
        "fleet_run": "7f3a90c1",
    },
}


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in `document`."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """Return a copy of `document` with the value at `path` changed."""
    copy = deepcopy(document)
    place = copy
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return copy


def removed(place: Any, key: Any) -> None:
    del place[key]


def mistyped(place: Any, key: Any) -> None:
    place[key] = {"x": 1.5} if not isinstance(place[key], dict) else "x"


def added_to(place: Any, key: Any) -> None:
    if isinstance(place[key], dict):
        place[key] = {**place[key], "added": 1}


@cache
def validator(kind: str) -> Draft202012Validator:
    """Return jsonschema's validator of this kind of line, which knows nothing of our reader."""
    return Draft202012Validator(schema(DATA[kind]))


def place_of(error: ValidationError) -> str:
    """Return the field of a validator's error, without the names of a map."""
    keys = list(error.absolute_path)
    place = "data"
    for word in error.absolute_schema_path:
        if word == "properties":
            place += f".{keys.pop(0)}"
        elif word == "items":
            place += f"[{keys.pop(0)}]"
        elif word == "additionalProperties" and keys:
            keys.pop(0)
            place += "[...]"
    return place


def expected_error(kind: str, data: Any) -> str:
    """Return the sentence about the field that jsonschema refuses; empty if it refuses none."""
    error = best_match(validator(kind).iter_errors(data))
    if error is None:
        return ""
    place = place_of(error)
    if error.validator == "required":
        (lacking,) = set(error.validator_value) - set(error.instance)
        return field_missing(f"{place}.{lacking}")
    if error.validator == "additionalProperties":
        return wording("journal-chain-broken.unknown-field", field=place)
    return field_invalid(place)


class Changed(NamedTuple):
    """A sample with one changed value."""

    kind: str
    """The kind of the line."""

    field: Any
    """The name of the changed field, or the number of the changed part of a list."""

    change: Callable[[Any, Any], None]
    """The change: `removed`, `mistyped` or `added_to`."""

    data: Any
    """The line's data after the change."""

    why: str
    """The sentence about it that must appear; empty if it is valid."""


def changes() -> Iterator[Changed]:
    """Yield each sample with one value removed, mistyped or extended."""
    for kind, sample in WHOLE.items():
        for path in places({"data": sample}):
            for change in (removed, mistyped, added_to):
                data = changed({"data": sample}, path, change).get("data", sample)
                # NOTE: a run of another form is refused by its form, which another test covers.
                is_of_form = kind != EventType.RUN_STARTED or (
                    isinstance(data, dict) and data.get("format_version") == FORMAT_VERSION
                )
                if data != sample and is_of_form:
                    yield Changed(kind, path[-1], change, data, expected_error(kind, data))


CHANGED = list(changes())
# Changes that jsonschema refuses, and invalid values that a schema cannot describe.
SPOILT = [
    *((row.kind, row.data, row.why) for row in CHANGED if row.why),
    (EventType.STEP_CHECKED, "x", field_invalid("data")),
    (EventType.STEP_CHECKED, [], field_invalid("data")),
    *(
        (
            EventType.STEP_CHECKED,
            {**WHOLE[EventType.STEP_CHECKED], "findings": [{**FINDING, "outcome": outcome}]},
            "data.findings[0]",
        )
        for outcome in (MASK, "", "done", "attested", "skipped")
    ),
    (EventType.RUN_FINISHED, {"outcome": MASK}, field_invalid("data.outcome")),
    (EventType.RUN_STARTED, {**RUN, "mode": MASK}, field_invalid("data.mode")),
    *(
        (EventType.STEP_ATTESTED, {**WORD, "at": moment}, "data")
        for moment in (MASK, "2026-13-45T12:00:00Z", "2026-11-24T25:00:00Z", "2026-11-24")
    ),
    (EventType.STEP_COMMENTED, {"by": "Operator", "at": AT}, field_missing("data.note")),
    *(
        (EventType.STEP_ASSIGNED, {**NOTE, "to": "", "due": due}, field_invalid("data.due"))
        for due in (MASK, "soon", "2026-12-01T00:00:00Z")
    ),
    (MASK, {}, wording("journal-chain-broken.unknown-type")),
    ("step.undone", {}, wording("journal-chain-broken.unknown-type")),
]


def line(kind: Any, data: Any, **more: Any) -> dict[str, Any]:
    return {"at": AT, "type": kind, "run_id": "0a1b2c3d", "step": "", "data": data, **more}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(chained(list(lines)))
    return path


def test_each_kind_of_line_has_a_form_and_a_sample() -> None:
    """Each type of line has the type of its data, and a sample here with every field."""
    assert set(DATA) == set(WHOLE) == set(EventType)
    for kind, data in WHOLE.items():
        assert to_builtins(convert(data, DATA[kind])).keys() == data.keys(), kind


@pytest.mark.parametrize("more", [{"also": 2}, {"added_later": {}}])
def test_a_line_has_no_other_fields(more: dict[str, Any], tmp_path: Path) -> None:
    """A field beside those of the model is refused, and its name is not repeated."""
    path = write(tmp_path / "j.jsonl", line("step.started", {}, **more))

    with refused(ChainError, "unknown-field", field="it"):
        list(read_lines(path))


@pytest.mark.parametrize(("kind", "data", "why"), SPOILT)
def test_an_invalid_line_is_an_error(kind: str, data: Any, why: str, tmp_path: Path) -> None:
    """The error has the line's number, the field and a next step, and quotes no value."""
    path = write(tmp_path / "j.jsonl", line("step.started", {}), line(kind, data))

    with refused(ChainError, "line-of-file-invalid", line=2, path=path) as caught:
        list(read_lines(path))
    assert why in str(caught.value)
    assert MASK not in str(caught.value)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "`runbook journal`" in caught.value.diagnostics()


@pytest.mark.parametrize(("kind", "data"), [(row.kind, row.data) for row in CHANGED if not row.why])
def test_a_line_that_its_schema_accepts_is_read(kind: str, data: Any, tmp_path: Path) -> None:
    """A field with a default may be missing, a map may have other names, a list fewer parts."""
    path = write(tmp_path / "j.jsonl", line(kind, data))

    (read,) = read_lines(path)

    assert read.entry.data == convert(data, DATA[kind])


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (mistyped, {"request", "response", "id"}),
        (
            added_to,
            {"facts", "parameters", "response", "subject", "values"},
        ),
    ],
)
def test_only_named_fields_hold_values_of_any_type_or_name(
    change: Callable[[Any, Any], None], fields: set[str]
) -> None:
    """Only a remote system's document has values of any type; it and maps have any names."""
    assert {row.field for row in CHANGED if row.change is change and not row.why} == fields


@pytest.mark.parametrize(
    "fields",
    [{"at": MASK}, {"at": None}, {"type": 1}, {"run_id": None}, {"step": ["x"]}, {"step": 1}],
    ids=str,
)
def test_the_fields_beside_the_data_are_checked_too(fields: dict[str, Any], tmp_path: Path) -> None:
    """Time, type, run and step of a line must be valid."""
    path = write(tmp_path / "j.jsonl", {**line("step.started", {}), **fields})

    (field,) = fields
    with refused(ChainError, "line-of-file-invalid", line=1, path=path) as caught:
        list(read_lines(path))
    assert field_invalid(field) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (EventType.STEP_ASSIGNED, StepAssigned(by="", at=AT, to="", due="soon")),
        (EventType.BUNDLE_SEALED, StepStarted()),
        (EventType.CHANGE_INTENDED, ChangeIntended(change=1)),  # type: ignore[arg-type]
        ("step.undone", StepStarted()),
    ],
)
def test_an_invalid_line_is_never_written(kind: str, data: ModelStruct, tmp_path: Path) -> None:
    """An invalid line is not written, since it would make the journal unreadable."""
    journal = Journal(tmp_path / "acme" / "journal.jsonl")

    with refused(JournalError, "line-not-written"):
        journal.append(kind, data)
    assert not journal.path.exists() or not journal.path.read_bytes()


@pytest.mark.parametrize(("kind", "data"), WHOLE.items(), ids=str)
def test_no_secret_alters_the_structure_of_a_line(kind: str, data: dict[str, Any]) -> None:
    """Redaction keeps names, ids, outcomes, digests and times, whatever a secret is."""
    words = [DIGEST, FINGERPRINT, AT, *_strings(data), *_names(data)]
    redactor = Redactor(Secret(word) for word in words)

    redacted = redact(kind, data, redactor)

    convert(redacted, DATA[kind])
    assert _names(redacted) == _names(data)
    before = dict(_structure(data))
    assert dict(_structure(redacted)) == before


def _structure(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield the structural values by field name; independent of the product's table on purpose."""
    names = {
        "outcome", "check", "method", "sent_on", "connector", "sentence_digest", "text_digest",
        "sha256", "media_type", "entry", "at", "link", "sentence", "checks", "accepts", "refuses",
        "tenant", "id", "version", "digest", "mode", "resumes",
        "selected_digest", "entry_digest", "fleet_run",
        "name", "fingerprint", "reference", "bundle", "statement", "app_secret",
        "python",
    }  # fmt: skip
    for place in places(document):
        value = document
        for key in place:
            value = value[key]
        is_file_name = place[-1] == "name" and "attachments" in place
        if place[-1] in names and not is_file_name:
            yield place, value


def _strings(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    inner = document.values() if isinstance(document, dict) else document
    return [text for each in inner for text in _strings(each)] if _is_tree(document) else []


def _names(document: Any) -> list[str]:
    if not _is_tree(document):
        return []
    own = list(document) if isinstance(document, dict) else []
    inner = document.values() if isinstance(document, dict) else document
    return own + [name for each in inner for name in _names(each)]


def _is_tree(document: Any) -> bool:
    return isinstance(document, dict | list)


def test_free_text_is_masked_in_every_field_that_people_or_checks_fill() -> None:
    """A credential in a field filled in by people or checks is masked."""
    secret = "hush-hush-42"
    word = {**WORD, "note": f"it is {secret}", "by": secret}
    finding = {**FINDING, "reason": f"x {secret}", "facts": {secret: secret}}
    checked = {**WHOLE[EventType.STEP_CHECKED], "findings": [finding]}

    said = redact("step.attested", word, Redactor([Secret(secret)]))
    seen = redact("step.checked", checked, Redactor([Secret(secret)]))

    assert (said["note"], said["by"]) == (f"it is {MASK}", MASK)
    assert said["binding"] == BINDING
    assert seen["findings"][0]["reason"] == f"x {MASK}"
    assert seen["findings"][0]["facts"] == {secret: MASK}


def test_a_remotes_document_is_masked_by_its_names_too() -> None:
    """
    In a remote system's document, a field called access_token is masked even if its value is
    unknown.
    """
    exchange = {**EXCHANGE, "response": {"access_token": "outcome"}}

    seen = redact("exchange.recorded", exchange, Redactor())

    assert seen["response"] == {"access_token": MASK}
    assert seen["method"] == "DELETE"


class Unmarked(ModelStruct):
    """A part with fields that nobody marked."""

    text: str
    """A text."""

    anything: Any
    """A value of any type."""

    texts: tuple[str, ...]
    """A list of texts."""

    by_name: dict[str, str]
    """Texts by name."""

    number: int
    """A number; it shows nothing."""

    some: str | None
    """A text, or none."""


def test_a_text_without_a_mark_is_masked() -> None:
    """A field that was added without a mark shows nothing, whatever is in it."""
    part = Unmarked(
        text="a", anything={"b": ["c"]}, texts=("d",), by_name={"e": "f"}, number=3, some="g"
    )

    assert masked(part, Redactor()) == Unmarked(
        text=MASK, anything=MASK, texts=(MASK,), by_name={"e": MASK}, number=3, some=MASK
    )


# Each of these commands must name the line.

STATE = ("--tenant", "acme", "--evidence", "evidence")
COMMANDS = {
    "status": ("status", *STATE),
    "status of a machine": ("status", *STATE, "--json"),
    "run": ("run", *STATE),
    "report": ("report", *STATE),
    "verify": ("verify", "evidence", "--key", "key.pub.pem"),
    "archive": ("archive", "evidence/acme/facebook_marketing", "--to", "archive"),
    "lab": ("lab", *STATE),
}
ONE_OF_EACH = list({kind: (kind, data) for kind, data, _ in SPOILT}.values())


@pytest.fixture
def tenant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the journal of a tenant with a run and an unfinished bundle."""
    monkeypatch.setenv("RUNBOOK_CYCLR_SERVICE_DOMAIN", "acme-h.cyclr.com")
    monkeypatch.setattr(runbook_lib.walkthrough.lab, "serve_lab", lambda *_, **__: 0)
    run = open_run(PROCEDURE, {}, mode=Mode.HEADLESS, tenant="acme", evidence="evidence")
    run.start()
    run.finish()
    create_key(folder / "key.pem")
    key = open_key(str(folder / "key.pem"), is_sandbox=False)
    export_public_key(key, folder / "keys").rename(folder / "key.pub.pem")
    waiting = folder / "evidence" / "acme" / "facebook_marketing" / ".sealed-00000001"
    waiting.mkdir()
    (waiting / "statement.dsse.json").write_text("{}")
    return run.journal.path


def runbook(*words: str) -> Result:
    result = CliRunner().invoke(main, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.matrix(80)
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("kind", "data"), ONE_OF_EACH, ids=[kind for kind, _ in ONE_OF_EACH])
def test_every_command_names_an_invalid_line(
    words: tuple[str, ...], kind: str, data: Any, tenant: Path
) -> None:
    """
    An invalid line gives exit code 4, its number and no traceback; the journal is not changed.
    """
    lines = [*lines_of(tenant), line(kind, data, step=PROCEDURE.steps[0].id)]
    write(tenant, *lines)
    before = tenant.read_bytes()

    result = runbook(*words)

    assert result.exit_code == ExitCode.REFUSED, result.output
    assert f"Line {len(lines)} of" in result.output
    assert wording("journal-chain-broken.is-invalid") in result.output
    assert tenant.read_bytes() == before


def test_the_commands_accept_a_valid_journal(tenant: Path) -> None:
    """The same commands accept a valid journal."""
    for words in (COMMANDS["status"], COMMANDS["report"], COMMANDS["lab"]):
        assert wording("journal-chain-broken.is-invalid") not in runbook(*words).output
    assert json.loads(runbook(*COMMANDS["status of a machine"]).output)["tenant"] == "acme"
