"""No text of a remote system stops the sealing: it is cleaned, or its line is withheld."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from msgspec import convert, structs

from runbook_lib.cli.main import main
from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.journal import Journal, line_digest, read_lines, withheld_line
from runbook_lib.core.json_text import write_json
from runbook_lib.core.masking import masked
from runbook_lib.core.model import DATA, EventType, Exchange, Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Procedure, Section
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.core.run_state import HistoryReader
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError, ExitCode, LeakError
from runbook_lib.evidence.chain import check_restored
from runbook_lib.evidence.leaks import RemoteHexStrings, refuse_leaks, remote_texts_in
from runbook_lib.evidence.rebuild import rebuild_journal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify import verify_chain
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.support.attestations import withdrawn
from tests.support.journals import chained, lines_of, redact
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN
from tests.unit.evidence.conftest import AT, CANARY, STEPS, ended_run, is_in_order, seal_run

HIDDEN_CANARY = base64.b64encode(CANARY.encode()).decode()
MD5 = "9e107d9d372bb6826bd81d3542a419d6"
HIDDEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a sentence": lambda text: f"Sent {text}, and refused.",
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after other bytes": lambda text: base64.b64encode(b"id " + text.encode()).decode(),
    "base64 of JSON": lambda text: base64.urlsafe_b64encode(f'{{"a": "{text}"}}'.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 with line ends": lambda text: base64.encodebytes(b"." * 50 + text.encode()).decode(),
    "in a URL": lambda text: f"https://x.example/?a={quote(text)}",
    "each letter for a URL": lambda text: "".join(f"%{ord(letter):02X}" for letter in text),
    "each letter for HTML": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "each letter for JSON": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "HTML": html.escape,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})),
    "coloured": lambda text: f"{text[:9]}\x1b[31m{text[9:]}\x1b[0m",
    "hex": lambda text: text.encode().hex(),
    "two halves": lambda text: f"{text[:7]} {text[7:]}",
    "two lines": lambda text: f"{text[:7]}\r\n    {text[7:]}",
}
# Places that may hold a stranger's text.
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "an answer": lambda text: {"response": {"error": {"message": text, "code": 100}}},
    "a field's name": lambda text: {"response": {text: 1}},
    "a plain answer": lambda text: {"response": text},
    "a list": lambda text: {"response": [1, [text]]},
    "a header": lambda text: {"headers": {"www-authenticate": text}},
    "an address": lambda text: {"url": f"https://x.example/{text}"},
    "an error": lambda text: {"error": text},
    "halves of an answer": lambda text: {"response": {"a": text[:9], "b": text[9:]}},
    "a header and the answer": lambda text: {"headers": {"x": text[:9]}, "response": text[9:]},
}
OF_FINDING: dict[str, Callable[[str], dict[str, Any]]] = {
    "a reason": lambda text: {"reason": f"Facebook refused: {text}"},
    "a warning": lambda text: {"warnings": [text]},
    "a fact": lambda text: {"facts": {"app_name": text, "permissions": ["a", text]}},
    "a table": lambda text: {"tables": [{"caption": "a", "columns": ["b"], "rows": [[text]]}]},
    "a reason and a warning": lambda text: {"reason": text[:9], "warnings": [text[9:]]},
}


def exchange_with(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an exchange's line."""
    plain = {"method": "GET", "url": "https://x.example/", "sent_on": AT, "elapsed": 0.1}
    answer = {"status": 400, "request": None, "headers": {}, "response": None, "error": ""}
    return {**plain, **answer, **fields}


def check_with(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a check's line."""
    names = ("accepts", "refuses", "quotes", "limits", "changes")
    lists: dict[str, Any] = {name: [] for name in names}
    rest = {"warnings": [], "facts": {}, "tables": [], "exchanges": [1]}
    finding = {"outcome": "inconclusive", "code": "a-code", "reason": "No.", "check": "app-exists"}
    return {"findings": [{**finding, **lists, **rest, **fields}], "binding": BINDING}


def written(
    redactor: Redactor,
    folder: Path,
    *,
    exchange: dict[str, Any] | None = None,
    check: dict[str, Any] | None = None,
) -> Path:
    """Write a journal with one check and its exchange, as a run does."""
    journal = Journal(folder / "journal.jsonl")
    lines = [
        ("exchange.recorded", exchange_with(exchange or {})),
        ("step.checked", check_with(check or {})),
    ]
    for kind, data in lines:
        journal.append(kind, masked(convert(data, DATA[kind]), redactor), step="fb-01-a")
    return journal.path


BINDING = {
    "connector": "p",
    "sentence_digest": "0" * 64,
    "checks": [],
    "text_digest": "",
    "subject": {},
}
CASES = [
    *({"exchange": place} for place in PLACES.values()),
    *({"check": place} for place in OF_FINDING.values()),
]


@pytest.mark.matrix(36)
@pytest.mark.parametrize("known", [False, True], ids=["strange", "known"])
@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("secret", [MD5, USER_TOKEN, CANARY], ids=["hex", "token", "other"])
def test_nothing_that_a_remote_says_stops_the_sealing(
    secret: str, hide: Callable[[str], str], known: bool, tmp_path: Path
) -> None:
    """The journal writes a stranger's text so that the leak gate accepts it, wherever it stands."""
    redactor = Redactor([Secret(secret)] if known else [])
    text = hide(secret)
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = written(redactor, folder, **{part: place(text) for part, place in case.items()})
        refuse_leaks([path], redactor, RemoteHexStrings(remote_texts_in([path])))
        assert not (known and secret in path.read_text()), number


@pytest.mark.parametrize("case", CASES)
def test_a_strangers_hexadecimal_digits_stay(
    case: dict[str, Callable[[str], dict[str, Any]]], tmp_path: Path
) -> None:
    """32 hexadecimal digits of a stranger's are shown, unless the run knows them."""
    parts = {part: place(MD5) for part, place in case.items()}
    for part, fields in parts.items():
        is_check = part == "check"
        data = check_with(fields) if is_check else exchange_with(fields)
        kind = "step.checked" if is_check else "exchange.recorded"
        marks = {"bases": [], "carried": [], "due_on": ""}
        more = {"unchecked": "", "automatic": False, **marks} if is_check else {"shape": None}
        assert redact(kind, data, Redactor()) == {**data, **more}
    assert MD5 not in written(Redactor([Secret(MD5)]), tmp_path, **parts).read_text()


@pytest.mark.parametrize(
    "answer",
    [
        {"app_secret": MD5},
        {"secret": {"value": [MD5]}},
        {"apiKey": MD5},
        {"appsecret_proof": MD5},
        {"Properties": [{"Name": "ClientSecret", "Value": MD5}]},
        {"message": f"The client_secret {MD5} is wrong."},
        {"message": f'{{"app_secret": "{MD5}"}}'},
        {"message": f"password is {MD5}"},
    ],
    ids=str,
)
def test_hexadecimal_digits_that_a_name_calls_a_secret_are_masked(answer: dict[str, Any]) -> None:
    """A value is masked unknown if its field, or the word before, says that it is a secret."""
    seen = redact("exchange.recorded", exchange_with({"response": answer}), Redactor())

    assert MD5 not in json.dumps(seen)
    assert MASK in json.dumps(seen)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("step.commented", {"by": f"by {MD5}", "at": AT, "note": f"it is {MD5}"}),
        ("step.attested", {"by": "X", "at": AT, "note": f"it is {MD5}", "sentence": "I did."}),
        ("input.given", {"name": "a", "value": f"it is {MD5}"}),
    ],
)
def test_typed_text_is_judged_as_before(kind: str, data: dict[str, Any]) -> None:
    """In a person's text 32 hexadecimal digits are masked, known or not."""
    typed = convert({**data, **({"binding": BINDING} if "sentence" in data else {})}, DATA[kind])

    assert MD5 not in str(masked(typed, Redactor()))


def test_a_secret_of_an_earlier_run_is_recognised(tmp_path: Path) -> None:
    """A run without the App Secret masks it, for the journal has its fingerprint."""

    def answering(context: CheckContext) -> Finding:
        response = {"message": f"{APP_SECRET} or {MD5}"}
        exchange = Exchange(method="GET", url="https://x.example/", sent_on=AT, elapsed=0.1)
        context.session.note(structs.replace(exchange, response=response))
        return Finding(
            outcome=Outcome.INCONCLUSIVE, code="a-code", reason=f"No: {APP_SECRET}, {MD5}."
        )

    step = replace(STEPS[0], checks=(Check("a", answering),), subject=("app_secret",))
    section = Section(id="01", title="One", intro="", steps=(step,))
    procedure = Procedure(
        id="p", version="1", title="P", sections=(section,), inputs=PROCEDURE.inputs
    )
    journal = Journal(tmp_path / "evidence" / "acme" / "p" / "journal.jsonl")
    key = FingerprintKey(b"k" * 32)
    first = Run(
        procedure, Settings({}, {"app_secret": Secret(APP_SECRET)}), journal, "acme", Mode.HEADLESS,
        "00000001", key=key,
    )  # fmt: skip
    first.start()
    later = Run(procedure, Settings({}, {}), journal, "acme", Mode.HEADLESS, "00000002", key=key)
    later.start()
    later.perform(step.id)

    written = journal.path.read_text()
    assert APP_SECRET not in written
    assert written.count(MD5) == 2


def test_an_attestation_is_not_excused_by_a_remotes_text(tmp_path: Path) -> None:
    """A secret in a file outside of a remote's text is refused, as before."""
    journal = written(Redactor(), tmp_path, exchange={"response": {"etag": MD5}})
    other = tmp_path / "01.ipynb"
    other.write_text(f"print({APP_SECRET!r}) {MD5}")

    with pytest.raises(LeakError):
        refuse_leaks([other], Redactor(), RemoteHexStrings(remote_texts_in([journal])))


# --- a journal that already holds such a line -----------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run whose journal has a secret in what a remote system said of its first step."""
    run = ended_run(tmp_path / "evidence")
    alter_check(run.journal.path, "fb-01-verified", HIDDEN_CANARY)
    return ended_run_again(run)


def alter_check(path: Path, step: str, text: str) -> None:
    """Write `text` into each answer on which a check of `step` rests, and follow the chain."""
    lines = lines_of(path)
    for line in lines:
        if line["type"] == "step.checked" and line["step"] == step:
            for number in (n for seen in line["data"]["findings"] for n in seen["exchanges"]):
                lines[number - 1]["data"]["response"] = {"message": text}
    path.write_bytes(chained(lines))


def ended_run_again(run: Run) -> Run:
    """Return `run`, opened again after its journal was altered, and ended."""
    opened = Run(
        run.procedure, run.settings, Journal(run.journal.path, clock=run.clock), run.tenant,
        run.mode, run.run_id, clock=run.clock,
    )  # fmt: skip
    opened.finish()
    return opened


def test_a_line_with_a_secret_of_a_remotes_is_withheld(
    run: Run, key: SigningKey, trust: TrustAnchors
) -> None:
    """The bundle is sealed without that line, keeps its place, and its step is inconclusive."""
    step = run.state.steps["fb-01-verified"]
    sealed = seal_run(run, key)

    assert step.conclusion.outcome is Outcome.INCONCLUSIVE
    assert "withheld" in step.conclusion.reason
    files = [path for path in sealed.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if HIDDEN_CANARY.encode() in path.read_bytes()]
    verdicts = list(verify_tree(run.journal.path.parent, trust))
    assert [verdict.error for verdict in verdicts] == [None, None]
    (verified,) = [verdict.verified for verdict in verdicts if verdict.verified]
    here = [line.ref.seq for line in read_lines(run.journal.path)]
    copied = [*read_lines(sealed.folder / "journal.jsonl")]
    assert [line.ref.seq for line in copied if line.entry.withheld] == [*verified.withheld]
    assert [line.ref for line in copied] == [
        line.ref for line in read_lines(run.journal.path) if line.ref.seq <= len(copied)
    ]
    assert len(here) == len(copied) + 1  # the announcement


def test_each_check_that_rests_on_a_withheld_exchange_is_withheld(
    key: SigningKey, trust: TrustAnchors, tmp_path: Path
) -> None:
    """An exchange on which two steps rest takes both of their checks with it."""
    run = ended_run(tmp_path / "evidence")
    lines = lines_of(run.journal.path)
    checks = [line for line in lines if line["type"] == "step.checked" and line["data"]["findings"]]
    named = checks[0]["data"]["findings"][0]["exchanges"]
    checks[1]["data"]["findings"][0]["exchanges"] = named
    lines[named[0] - 1]["data"]["response"] = {"m": HIDDEN_CANARY}
    run.journal.path.write_bytes(chained(lines))

    again = ended_run_again(run)
    seal_run(again, key)

    assert {again.state.steps[check["step"]].conclusion.reason for check in checks[:2]} == {
        again.state.steps["fb-01-verified"].conclusion.reason
    }
    assert is_in_order(run.journal.path.parent, trust)


@pytest.mark.parametrize("is_read_before", [True, False])
def test_a_reader_gives_no_line_that_is_withheld(run: Run, *, is_read_before: bool) -> None:
    """Neither if it has read the line before, nor if it reads it now."""
    checks = run.history.index.checked.values()
    reader = HistoryReader(run.journal)
    if is_read_before:
        history = reader.read()
        assert {history.read(check.ref).type for check in checks} == {EventType.STEP_CHECKED}
    reader.withhold(check.ref for check in checks)

    history = reader.read()
    kinds = {history.read(check.ref).type for check in checks}
    assert kinds == {EventType.STEP_WITHHELD}


def test_an_exchange_on_which_nothing_rests_is_withheld_too(
    key: SigningKey, trust: TrustAnchors, tmp_path: Path
) -> None:
    """The requests of a check that never ended are copied without a secret."""
    run = ended_run(tmp_path / "evidence")
    asked = convert(exchange_with({"response": {"m": HIDDEN_CANARY}}), Exchange)
    run.journal.append("exchange.recorded", asked, run_id=run.run_id)

    sealed = seal_run(ended_run_again(run), key)

    assert HIDDEN_CANARY.encode() not in (sealed.folder / "journal.jsonl").read_bytes()
    assert is_in_order(run.journal.path.parent, trust)


def test_verify_counts_what_is_withheld_on_its_first_line(run: Run, key: SigningKey) -> None:
    """The first line of `verify` says how many lines are withheld; JSON names them."""
    seal_run(run, key)
    words = ["verify", "--trusted-keys", str(run.evidence / "keys"), str(run.evidence)]

    shown = CliRunner().invoke(main, words)
    as_json = CliRunner().invoke(main, [*words, "--json"])

    assert shown.exit_code == ExitCode.COMPLETE, shown.output
    assert shown.output.splitlines()[0].startswith(wording("verify.lines-withheld", count=2))
    assert "2 lines withheld" in shown.output
    assert len(json.loads(as_json.output.splitlines()[0])["withheld"]) == 2


def test_the_next_run_verifies_too(run: Run, key: SigningKey, trust: TrustAnchors) -> None:
    """A withheld line stops no later run, also after the journal was lost and rebuilt."""
    seal_run(run, key)
    seal_run(ended_run(run.evidence, "00000002", has_statements=False), key)
    assert is_in_order(run.journal.path.parent, trust)

    size = run.journal.path.stat().st_size
    run.journal.path.unlink()
    (run.journal.path.parent / "state.json").unlink(missing_ok=True)
    rebuild_journal(run.journal.path.parent, trust)
    assert run.journal.path.stat().st_size == size
    seal_run(ended_run(run.evidence, "00000003", has_statements=False), key)
    assert is_in_order(run.journal.path.parent, trust)


def test_a_journal_withholds_nothing_that_its_bundles_show(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A line that somebody withheld in the journal alone is refused."""
    run = ended_run(tmp_path / "evidence")
    seal_run(run, key)
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    hidden = [withheld_line(line) or line for line in lines]
    assert hidden != lines
    run.journal.path.write_bytes(b"".join(hidden))

    errors = [verdict.error for verdict in verify_tree(run.journal.path.parent, trust)]

    assert [type(error) for error in errors if error] == [ChainError]
    assert "withholds line" in str(next(error for error in errors if error))


def forged(line: dict[str, Any], digest: str) -> None:
    """Say in a check's line, as a stranger to the key would, that it stands for another line."""
    line["data"]["withheld"] = line["data"]["sha256"] = digest
    line["data"]["findings"][0]["facts"] = {"type": "step.withheld"}


def test_a_line_that_only_says_that_it_is_withheld_is_not(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A forged line does not get the digest of the one that it replaces."""
    run = ended_run(tmp_path / "evidence")
    seal_run(run, key)
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"type":"step.checked"' in line)
    fields = json.loads(lines[number])
    forged(fields, line_digest(lines[number]))
    lines[number] = write_json(fields).encode() + b"\n"
    run.journal.path.write_bytes(b"".join(lines))

    with pytest.raises(ChainError):
        list(read_lines(run.journal.path))
    assert not is_in_order(run.journal.path.parent, trust)


def test_no_run_begins_with_a_journal_that_hides_a_persons_withdrawal(
    tmp_path: Path, key: SigningKey
) -> None:
    """Before anything is signed, a line that no bundle withholds is refused by its number."""
    run = ended_run(tmp_path / "evidence")
    run.say([withdrawn("fb-02-attested", at=AT)])
    seal_run(run, key)
    check_restored(HistoryReader(run.journal))
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"type":"step.withdrawn"' in line)
    fields = json.loads(lines[number])
    fields["type"] = EventType.STEP_WITHHELD
    size = len(lines[number])
    binding = fields["data"]["binding"]
    fields["data"] = {"sha256": line_digest(lines[number]), "checks": [], "binding": binding}
    lines[number] = write_json(fields).encode().ljust(size - 1) + b"\n"
    run.journal.path.write_bytes(b"".join(lines))

    with refused(ChainError, "withholds", line=number + 1):
        check_restored(HistoryReader(run.journal))


def test_a_carried_line_excuses_none_that_its_bundle_shows(
    run: Run, key: SigningKey, trust: TrustAnchors
) -> None:
    """A bundle that withholds an older line does not let the journal hide it."""
    seal_run(run, key)
    (verified,) = [v.verified for v in verify_tree(run.journal.path.parent, trust) if v.verified]
    number = max(verified.withheld)
    carrying = replace(verified, excerpt=structs.replace(verified.excerpt, first=number + 1))
    journal = verify_chain._TenantJournal({}, {}, frozenset({number}))

    with refused(ChainError, "withholds", line=number):
        verify_chain._check_journal([replace(verified, withheld=()), carrying], journal)


def test_only_a_check_is_withheld(tmp_path: Path, key: SigningKey) -> None:
    """A person's line with a secret is never withheld: the evidence is refused, as before."""
    run = ended_run(tmp_path / "evidence")
    lines = lines_of(run.journal.path)
    for line in lines:
        if line["type"] == EventType.STEP_ATTESTED:
            line["data"]["note"] = HIDDEN_CANARY
    run.journal.path.write_bytes(chained(lines))

    with pytest.raises(LeakError):
        seal_run(ended_run_again(run), key)
