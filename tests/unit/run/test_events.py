"""
The events: the form of each kind of line, its masks, and every command's error for an invalid one.
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
from msgspec import convert
from msgspec.json import encode, schema

import runbook_lib.walkthrough.lab
from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Mode, ModelStruct
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.errors import ChainError, ExitCode
from runbook_lib.evidence.signing.keys import create_key, export_public_key, open_key
from runbook_lib.run.events import EVENTS, FORMAT
from runbook_lib.run.journal import GENESIS, Journal, Line, digest_of
from tests.support.wording import field_invalid, field_missing, wording

AT = "2026-11-24T12:00:00.000Z"
DIGEST = "0123456789abcdef" * 4
FINGERPRINT = f"0a1b2c3d:{DIGEST}"
BINDING = {
    "connector": "facebook-marketing",
    "checks": ["app-exists"],
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
    "kind": "attested",
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
NOTE = {
    "by": "Operator",
    "at": AT,
    "note": "Ask again.",
    "to": "Reviewer",
    "due": "2026-12-01",
    "origin": "",
    "entry": "",
    "login": "",
}
EARLIER = {"line": 7, "until": "2026-12-24"}
STEP = {
    "id": "fb-01-log-in",
    "number": "1",
    "title": "Log in",
    "off_page": False,
    "kind": "manual",
    "sentence": "I am logged in.",
    "answers": [{"label": "Not asked", "sentence": "It is not.", "valid_days": 90}],
    "subject": ["app_id"],
    "inputs": ["app_id"],
    "checks": [
        {
            "id": "app-exists",
            "confirm": "",
            "needs_human_only": False,
            "secrets": ["app_secret"],
        }
    ],
    "requires": ["fb-02-app"],
    "valid_days": 365,
    "usual_days": 5,
}
RUN = {
    "format": FORMAT,
    "tenant": "acme",
    "procedure": {
        "id": "facebook_marketing",
        "version": "1",
        "digest": DIGEST,
        "package": {"name": "other", "version": "1.0"},
    },
    "steps": [STEP],
    "labels": {"app_id": "App ID"},
    "secrets": ["app_secret"],
    "unverifiable": ["When tokens end."],
    "mode": "headless",
    "sandbox": False,
    "values": {"permissions": ["public_profile"], "graph_version": "v26.0"},
    "fingerprints": {"app_secret": FINGERPRINT},
    "credentials": ["app_secret"],
    "environment": {"python": "3.11.2"},
    "resumes": "0a1b2c3d",
    "may_spend": True,
    "earlier": {"app-exists": EARLIER},
    "waiting": {"fb-12-submit-review": AT},
    "fleet_run": {
        "id": "7f3a90c1",
        "selected": 2,
        "selected_digest": DIGEST,
        "entry_digest": DIGEST,
    },
    "not_run": {"reason": "no secret", "next_step": "Give it."},
}
KNOWN_ERROR = {
    "shown": "URL Blocked",
    "meaning": "It does not lead back.",
    "causes": ["The secret was reset."],
    "advice": "List it.",
    "source": "https://example.com",
    "seen": "reason",
}
# A complete line of each type.
WHOLE: dict[str, dict[str, Any]] = {
    "run.started": RUN,
    "run.finished": {"environment": {"engine": "fork"}, "broken": "cut off"},
    "values.given": {
        "values": {"app_id": "1"},
        "fingerprints": {"app_secret": FINGERPRINT},
        "is_kept": True,
        "saved": {"app_secret": "keyring:a/b"},
    },
    "values.judged": {
        "accepted": {"app_id": "1"},
        "refused": {"app_id": "2"},
        "before": {"app_id": "1"},
    },
    "exchange.recorded": EXCHANGE,
    "step.checked": {
        "findings": [FINDING],
        "binding": BINDING,
        "unchecked": "",
        "automatic": False,
        "code_digests": {"app-exists": DIGEST},
        "known_errors": [KNOWN_ERROR],
        "due_on": "2026-12-24",
        "faults": ["app-exists"],
    },
    "step.attested": WORD,
    "step.noted": NOTE,
    "change.intended": {"change": "It installs the connector."},
    "journal.repaired": {"bytes": 3, "text": '{"s'},
    "bundle.sealed": {
        "bundle": "b",
        "sequence": 1,
        "statement": DIGEST,
        "last": 3,
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
    return Draft202012Validator(schema(EVENTS[kind]))


def place_of(error: ValidationError) -> str:
    """Return the field of a validator's error, without the names of a map."""
    keys = list(error.absolute_path)
    place = ""
    for word in error.absolute_schema_path:
        if word == "properties":
            place += f".{keys.pop(0)}"
        elif word == "items":
            place += f"[{keys.pop(0)}]"
        elif word == "additionalProperties" and keys:
            keys.pop(0)
            place += "[...]"
    return place.removeprefix(".") or "it"


def expected_error(kind: str, data: Any) -> str:
    """Return the sentence about the field that jsonschema refuses; empty if it refuses none."""
    error = best_match(validator(kind).iter_errors(data))
    if error is None:
        return ""
    place = place_of(error)
    if error.validator == "required":
        (lacking,) = set(error.validator_value) - set(error.instance)
        return field_missing(f"{place}.{lacking}".removeprefix("it."))
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
        for path in places(sample):
            for change in (removed, mistyped, added_to):
                data = changed(sample, path, change)
                # NOTE: a run of another form is refused by its form, which another test covers.
                is_of_form = kind != "run.started" or (
                    isinstance(data, dict) and data.get("format") == FORMAT
                )
                if data != sample and is_of_form:
                    yield Changed(kind, path[-1], change, data, expected_error(kind, data))


CHANGED = list(changes())
# Changes that jsonschema refuses, and invalid values that a schema cannot describe.
SPOILT = [
    *((row.kind, row.data, row.why) for row in CHANGED if row.why),
    ("step.checked", "x", field_invalid("it")),
    ("step.checked", [], field_invalid("it")),
    *(
        (
            "step.checked",
            {**WHOLE["step.checked"], "findings": [{**FINDING, "outcome": outcome}]},
            "findings[0]",
        )
        for outcome in (MASK, "", "done", "attested", "skipped")
    ),
    ("run.started", {**RUN, "mode": MASK}, field_invalid("mode")),
    *(
        ("step.attested", {**WORD, "at": moment}, "")
        for moment in (MASK, "2026-13-45T12:00:00Z", "2026-11-24T25:00:00Z", "2026-11-24")
    ),
    *(
        ("step.noted", {**NOTE, "due": due}, field_invalid("due"))
        for due in (MASK, "soon", "2026-12-01T00:00:00Z")
    ),
]


def line(kind: str, data: Any, after: Line | None = None, **more: Any) -> bytes:
    """Return a line with any data, which follows the line `after`."""
    content = encode(data)
    head = {
        "seq": after.head.seq + 1 if after else 1,
        "at": AT,
        "type": kind,
        "run": "0a1b2c3d",
        "step": "",
        "sha256": digest_of(content),
        "prev": after.digest if after else GENESIS,
        **more,
    }
    return encode(head)[:-1] + b',"data":' + content + b"}\n"


def written(path: Path, *lines: bytes) -> Journal:
    """Return the journal of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return Journal(path)


def test_each_kind_of_line_has_a_sample() -> None:
    """Each type of line has a sample here with every field."""
    assert WHOLE.keys() == EVENTS.keys()
    for kind, data in WHOLE.items():
        assert json.loads(encode(convert(data, EVENTS[kind]))) == data, kind


@pytest.mark.parametrize(("kind", "data", "why"), SPOILT)
def test_an_invalid_line_is_an_error(kind: str, data: Any, why: str, tmp_path: Path) -> None:
    """The error has the line's number, the field and a next step, and quotes no value."""
    journal = written(tmp_path / "j.jsonl", line(kind, data))

    with pytest.raises(ChainError) as caught:
        assert [line.event for line in journal.read_all()]
    assert f"Line 1 of {journal.path}" in str(caught.value)
    assert why in str(caught.value)
    assert MASK not in str(caught.value)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "`runbook journal`" in caught.value.diagnostics()


@pytest.mark.parametrize(("kind", "data"), [(row.kind, row.data) for row in CHANGED if not row.why])
def test_a_line_that_its_schema_accepts_is_read(kind: str, data: Any, tmp_path: Path) -> None:
    """A field with a default may be missing, a map may have other names, a list fewer parts."""
    (read,) = written(tmp_path / "j.jsonl", line(kind, data)).read_all()

    assert read.event == convert(data, EVENTS[kind])


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (mistyped, {"request", "response", "id"}),
        (
            added_to,
            {"accepted", "before", "facts", "refused", "response", "subject", "values"},
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
    [
        {"at": MASK},
        {"at": None},
        {"type": 1},
        {"type": "step.undone"},
        {"run": None},
        {"step": ["x"]},
        {"step": 1},
        {"also": 2},
    ],
    ids=str,
)
def test_the_fields_beside_the_data_are_checked_too(fields: dict[str, Any], tmp_path: Path) -> None:
    """Time, type, run and step of a line must be valid, and there are no others."""
    journal = written(tmp_path / "j.jsonl", line("change.intended", {"change": "x"}, **fields))

    with pytest.raises(ChainError, match="Line 1 of"):
        journal.read_all()


@pytest.mark.parametrize(("kind", "data"), WHOLE.items(), ids=WHOLE)
def test_no_secret_alters_the_structure_of_a_line(kind: str, data: dict[str, Any]) -> None:
    """Redaction keeps names, ids, outcomes, digests and times, whatever a secret is."""
    words = [DIGEST, FINGERPRINT, AT, *_strings(data), *_names(data)]
    redactor = Redactor(Secret(word) for word in words)

    redacted = redact(kind, data, redactor)

    convert(redacted, EVENTS[kind])
    assert sorted(_names(redacted)) == sorted(_names(data))
    before = dict(_structure(data))
    assert dict(_structure(redacted)) == before


def _structure(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield the structural values by field name; independent of the product's table on purpose."""
    names = {
        "outcome", "check", "method", "sent_on", "connector", "kind", "due", "until",
        "sha256", "media_type", "entry", "at", "link", "checks", "accepts", "refuses",
        "requires", "inputs", "secrets", "faults", "code_digests", "due_on", "waiting", "earlier",
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


def redact(kind: str, data: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return the data of a line as JSON, as it is written, with secrets masked."""
    document: dict[str, Any] = json.loads(encode(masked(convert(data, EVENTS[kind]), redactor)))
    return document


def test_free_text_is_masked_in_every_field_that_people_or_checks_fill() -> None:
    """A credential in a field filled in by people or checks is masked."""
    secret = "hush-hush-42"
    word = {**WORD, "note": f"it is {secret}", "by": secret}
    finding = {**FINDING, "reason": f"x {secret}", "facts": {secret: secret}}
    checked = {**WHOLE["step.checked"], "findings": [finding]}

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
# A command that shows a state does not read an exchange on which no step rests.
READ = [
    (command, kind, data)
    for command in COMMANDS
    for kind, data in ONE_OF_EACH
    if kind != "exchange.recorded" or command in ("verify", "archive")
]


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
@pytest.mark.parametrize(("command", "kind", "data"), READ, ids=[" ".join(row[:2]) for row in READ])
def test_every_command_names_an_invalid_line(
    command: str, kind: str, data: Any, tenant: Path
) -> None:
    """
    An invalid line gives exit code 4, its number and no traceback; the journal is not changed.
    """
    *_, last = Journal(tenant).read_all()
    invalid = line(kind, data, last, step=PROCEDURE.steps[0].id)
    before = tenant.read_bytes() + invalid
    tenant.write_bytes(before)

    result = runbook(*COMMANDS[command])

    assert result.exit_code == ExitCode.REFUSED, result.output
    assert f"Line {last.head.seq + 1} of" in result.output
    assert wording("journal-chain-broken.is-invalid") in result.output
    assert tenant.read_bytes() == before


def test_the_commands_accept_a_valid_journal(tenant: Path) -> None:
    """The same commands accept a valid journal."""
    for words in (COMMANDS["status"], COMMANDS["report"], COMMANDS["lab"]):
        assert wording("journal-chain-broken.is-invalid") not in runbook(*words).output
    assert json.loads(runbook(*COMMANDS["status of a machine"]).output)["tenant"] == "acme"
