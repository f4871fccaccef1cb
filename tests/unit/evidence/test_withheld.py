"""No text of a remote system stops the sealing: it is cleaned, or its line is withheld."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Container
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
from runbook_lib.core.masking import masked
from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Exchange,
    Finding,
    Mode,
    ModelStruct,
    Note,
    Outcome,
)
from runbook_lib.core.procedure import Check, Procedure, Section
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError, ExitCode, LeakError
from runbook_lib.evidence.leaks import RemoteHexStrings, refuse_leaks, remote_texts
from runbook_lib.evidence.rebuild import rebuild_journal, require_whole_journal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.run.events import StepChecked, ValuesGiven
from runbook_lib.run.journal import Journal, Line, digest_of, encode_event, parse_line
from tests.support.attestations import withdrawn
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


def exchange_with(fields: dict[str, Any]) -> Exchange:
    """Return an exchange with these fields."""
    plain = {"method": "GET", "url": "https://x.example/", "sent_on": AT, "elapsed": 0.1}
    return convert({**plain, "status": 400, **fields}, Exchange)


def check_with(fields: dict[str, Any]) -> StepChecked:
    """Return the end of a check whose finding has these fields."""
    finding = {"outcome": "inconclusive", "code": "a-code", "reason": "No.", "check": "app-exists"}
    document = {"findings": [{**finding, "exchanges": [1], **fields}], "binding": {}}
    return convert(document, StepChecked)


def written(
    redactor: Redactor,
    folder: Path,
    *,
    exchange: dict[str, Any] | None = None,
    check: dict[str, Any] | None = None,
) -> Journal:
    """Write a journal with one check and its exchange, as a run does."""
    journal = Journal(folder / "journal.jsonl")
    for event in (exchange_with(exchange or {}), check_with(check or {})):
        journal.append(masked(event, redactor), step="fb-01-a")
    return journal


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
        journal = written(redactor, folder, **{part: place(text) for part, place in case.items()})
        remote_words = RemoteHexStrings(remote_texts(journal.read_all()))
        refuse_leaks([journal.path], redactor, remote_words)
        assert not (known and secret in journal.path.read_text()), number


@pytest.mark.parametrize("case", CASES)
def test_a_strangers_hexadecimal_digits_stay(
    case: dict[str, Callable[[str], dict[str, Any]]], tmp_path: Path
) -> None:
    """32 hexadecimal digits of a stranger's are shown, unless the run knows them."""
    parts = {part: place(MD5) for part, place in case.items()}
    for part, fields in parts.items():
        event = check_with(fields) if part == "check" else exchange_with(fields)
        assert masked(event, Redactor()) == event
    assert MD5 not in written(Redactor([Secret(MD5)]), tmp_path, **parts).path.read_text()


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
    seen = encode_event(masked(exchange_with({"response": answer}), Redactor())).decode()

    assert MD5 not in seen
    assert MASK in seen


@pytest.mark.parametrize(
    "event",
    [
        Note(by=f"by {MD5}", at=AT, note=f"it is {MD5}"),
        Attestation(kind=AttestationKind.ATTESTED, by="X", at=AT, note=f"it is {MD5}"),
        ValuesGiven(values={"a": f"it is {MD5}"}),
    ],
    ids=type,
)
def test_in_typed_text_hexadecimal_digits_are_masked(event: ModelStruct) -> None:
    """In a person's text 32 hexadecimal digits are masked, known or not."""
    assert MD5 not in str(masked(event, Redactor()))


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
        refuse_leaks([other], Redactor(), RemoteHexStrings(remote_texts(journal.read_all())))


# --- a journal that already holds such a line -----------------------------------------------


def rewritten(run: Run, change: Callable[[Line], Any]) -> Run:
    """Return `run`, opened again after these events replaced those of its journal."""
    last: Line | None = None
    lines: list[Line] = []
    for line in run.journal.read_all():
        data = encode_event(change(line))
        prev = last.digest if last else line.head.prev
        last = Line(structs.replace(line.head, sha256=digest_of(data), prev=prev), data)
        lines.append(last)
    run.journal.path.write_bytes(b"".join(line.encoded for line in lines))
    journal = Journal(run.journal.path, clock=run.clock)
    return Run(run.procedure, run.settings, journal, run.tenant, run.mode, run.run_id)


def with_secret(run: Run, numbers: Container[int]) -> Run:
    """Return `run` with a secret in the responses of these lines."""

    def change(line: Line) -> Any:
        response = {"message": HIDDEN_CANARY}
        is_meant = line.head.seq in numbers
        return structs.replace(line.event, response=response) if is_meant else line.event

    return rewritten(run, change)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run whose journal has a secret in what a remote system said of its first step."""
    run = ended_run(tmp_path / "evidence")
    return with_secret(run, run.state.step("fb-01-verified").exchange_numbers)


def own_lines(bundle: Path) -> list[Line]:
    """Return the lines in a bundle's journal."""
    with (bundle / "journal.jsonl").open("rb") as file:
        return [parse_line(text, "A line") for text in file]


def test_a_line_with_a_secret_of_a_remotes_is_withheld(
    run: Run, key: SigningKey, trust: TrustAnchors
) -> None:
    """The bundle is sealed without that line, keeps its place, and its step is inconclusive."""
    sealed = seal_run(run, key)
    step = sealed.state.step("fb-01-verified")

    assert step.outcome is Outcome.INCONCLUSIVE
    assert "withheld" in step.reason
    files = [path for path in sealed.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if HIDDEN_CANARY.encode() in path.read_bytes()]
    verdicts = list(verify_tree(run.home, trust))
    assert [verdict.error for verdict in verdicts] == [None, None]
    (verified,) = [verdict.verified for verdict in verdicts if verdict.verified]
    copied = own_lines(sealed.folder)
    assert [line.head.seq for line in copied if not line.data] == verified.withheld
    *here, _announcement = run.journal.read_all()
    assert [line.head for line in copied] == [line.head for line in here]


def test_each_check_that_rests_on_a_withheld_exchange_is_withheld(
    key: SigningKey, trust: TrustAnchors, tmp_path: Path
) -> None:
    """An exchange on which two steps rest takes both of their checks with it."""
    run = ended_run(tmp_path / "evidence")
    numbers = run.state.step("fb-01-verified").exchange_numbers

    def change(line: Line) -> Any:
        if line.head.step != "fb-03-waiting" or not isinstance(line.event, StepChecked):
            return line.event
        (finding,) = line.event.findings
        finding = structs.replace(finding, exchanges=numbers)
        return structs.replace(line.event, findings=(finding,))

    sealed = seal_run(with_secret(rewritten(run, change), numbers), key)

    reasons = {sealed.state.step(name).reason for name in ("fb-01-verified", "fb-03-waiting")}
    assert len(reasons) == 1
    assert is_in_order(run.home, trust)


def test_an_exchange_on_which_nothing_rests_is_withheld_too(
    key: SigningKey, trust: TrustAnchors, tmp_path: Path
) -> None:
    """The requests of a check that never ended are copied without a secret."""
    run = ended_run(tmp_path / "evidence", is_finished=False)
    run.journal.append(exchange_with({"response": {"m": HIDDEN_CANARY}}), run=run.run_id)
    run.finish()

    sealed = seal_run(run, key)

    assert HIDDEN_CANARY.encode() not in (sealed.folder / "journal.jsonl").read_bytes()
    assert is_in_order(run.home, trust)


def test_verify_counts_what_is_withheld(run: Run, key: SigningKey) -> None:
    """A line of `verify` says how many lines are withheld; JSON names them."""
    seal_run(run, key)
    words = ["verify", "--trusted-keys", str(run.evidence / "keys"), str(run.evidence)]

    shown = CliRunner().invoke(main, words)
    as_json = CliRunner().invoke(main, [*words, "--json"])

    assert shown.exit_code == ExitCode.COMPLETE, shown.output
    assert wording("verify.lines-withheld", count=2) in shown.output
    assert "2 lines withheld" in shown.output
    assert len(json.loads(as_json.output.splitlines()[0])["withheld"]) == 2


def test_the_next_run_verifies_too(run: Run, key: SigningKey, trust: TrustAnchors) -> None:
    """A withheld line stops no later run, also after the journal was lost and rebuilt."""
    seal_run(run, key)
    seal_run(ended_run(run.evidence, "00000002", has_statements=False), key)
    assert is_in_order(run.home, trust)

    run.journal.path.unlink()
    rebuild_journal(run.home, trust)
    seal_run(ended_run(run.evidence, "00000003", has_statements=False), key)
    assert is_in_order(run.home, trust)


def test_a_journal_withholds_nothing_that_its_bundles_show(
    tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A line that somebody withheld in the journal alone is refused."""
    run = ended_run(tmp_path / "evidence")
    seal_run(run, key)
    withhold(run.journal, StepChecked)

    errors = [verdict.error for verdict in verify_tree(run.home, trust)]

    assert [type(error) for error in errors if error] == [ChainError]
    assert "withholds line" in str(next(error for error in errors if error))


def withhold(journal: Journal, kind: type[ModelStruct]) -> int:
    """Withhold the last line of this kind in the journal's file; return its number."""
    lines = list(journal.read_all())
    number = max(line.head.seq for line in lines if isinstance(line.event, kind))
    lines[number - 1] = lines[number - 1].withheld
    journal.path.write_bytes(b"".join(line.encoded for line in lines))
    return number


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        pytest.param(Attestation, "line-altered", id="a person's withdrawal"),
        pytest.param(StepChecked, "withholds", id="a check that no bundle withholds"),
    ],
)
def test_no_run_begins_with_a_journal_that_hides_a_line(
    tmp_path: Path, key: SigningKey, kind: type[ModelStruct], refusal: str
) -> None:
    """Before anything is signed, it is refused by the line's number."""
    run = ended_run(tmp_path / "evidence", is_finished=False)
    run.say([withdrawn("fb-02-attested", at=AT)])
    run.finish()
    seal_run(run, key)
    require_whole_journal(run.journal)
    number = withhold(run.journal, kind)

    with refused(ChainError, refusal, line=number, path=run.journal.path):
        require_whole_journal(Journal(run.journal.path))


def test_only_a_check_is_withheld(tmp_path: Path, key: SigningKey) -> None:
    """A person's line with a secret is never withheld: the evidence is refused."""

    def change(line: Line) -> Any:
        if isinstance(line.event, Attestation):
            return structs.replace(line.event, note=HIDDEN_CANARY)
        return line.event

    with pytest.raises(LeakError):
        seal_run(rewritten(ended_run(tmp_path / "evidence"), change), key)
