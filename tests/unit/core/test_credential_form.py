"""Credentials that are common words: refused as input, and harmless in the journal."""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs, to_builtins

import runbook_lib
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.runner_settings import SIGNING_PASSPHRASE, inputs_of
from runbook_lib.config.settings import Settings, resolve, secret_of
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR_CLIENT_ID, CYCLR_CLIENT_SECRET
from runbook_lib.connectors.facebook.facebook_formats import is_token
from runbook_lib.connectors.facebook.inputs import APP_ID, USER_ACCESS_TOKEN
from runbook_lib.connectors.facebook.user_token import lead_data_is_readable
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.credential_form import is_issued_token, why_implausible
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.masking import masked
from runbook_lib.core.model import AttestationKind, Exchange, Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.engine.check_runner import perform_checks
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SettingsError, UnexpectedResponseError
from runbook_lib.evidence.record import parse_record, record_bytes, record_schema
from runbook_lib.notebook.rendering import step_bundle
from runbook_lib.remote.cyclr import Cyclr, request_api_token
from runbook_lib.remote.oauth import AuthorizationServer, request_token_by_client_credentials
from runbook_lib.run.events import EVENTS
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import GENESIS, Journal
from runbook_lib.walkthrough.input_fields import find_problem
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import STRUCTURE, step_view
from tests.conftest import NOON
from tests.support.attestations import attested
from tests.support.wording import refused, refused_naming, wording
from tests.unit import bodies
from tests.unit.fake_remote import FakeRemote, open_session, owned, responds
from tests.unit.walkthrough.sample_run import make_context

OPAQUE = (CYCLR_CLIENT_SECRET, USER_ACCESS_TOKEN, SIGNING_PASSPHRASE)
KEY = FingerprintKey(b"k" * 32)


def field_names(document: Any) -> Iterator[str]:
    """Yield the names of the fields that a JSON Schema describes."""
    if isinstance(document, dict):
        yield from document.get("properties", {})
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from field_names(each)


# The words of journal, record, notebook and settings, collected from their definitions.
WORDS = sorted(
    {
        *(outcome.value for outcome in Outcome),
        *(kind.value for kind in AttestationKind),
        *EVENTS,
        *field_names(record_schema()),
        *(step.id for step in PROCEDURE.steps),
        *(check.id for step in PROCEDURE.steps for check in step.checks),
        *(item.name for item in inputs_of(PROCEDURE)),
        *(item.variable for item in inputs_of(PROCEDURE)),
        *(str(item.default) for item in inputs_of(PROCEDURE) if isinstance(item.default, str)),
        *(each.id for each in PROCEDURE.sections),
        "sandbox",
        "headless",
        "interactive",
        "facebook_marketing",
        "graph.facebook.com",
        "2026-11-24",
        "2026-11-24T12:00:00.000Z",
        "https://acme-h.cyclr.com/x",
        "developers.facebook.com",
        "access_token",
        "execution_count",
        "nbformat_minor",
        "RUNBOOK_SIGNING_PASSPHRASE",
        "journal.jsonl",
        "record.json",
        "walkthrough",
    }
)
SHORT = ["", "a", "abcdefg", "1234567", "x y z"]
MONOTONE = ["aaaaaaaaaaaaaaaa", "abababababab", "12341234", "--------", "f" * 32, "b" * 31 + "2"]


# Some ids look like random text or like four words: a bundle with one of them is refused.
NAMES = [name for name in WORDS if "-" not in name or name[0].isdigit()]


def test_no_word_of_the_runbook_is_a_credential() -> None:
    """Each word of journal, record, notebook and settings is refused."""
    assert [text for text in NAMES if not why_implausible(text)] == []


@pytest.mark.parametrize("text", ["facebook_marketing", *SHORT, *MONOTONE])
def test_a_credential_like_an_ordinary_word_is_refused(text: str) -> None:
    """A short, repetitive or common word is refused in any case, without being quoted."""
    for each in (text, text.upper(), text.title()):
        reason = why_implausible(each)
        assert reason.startswith(wording("setting-invalid.ordinary-word"))
        assert len(each) < 5 or each not in reason


@pytest.mark.parametrize("text", ["marketin", "correct horse", "31415926535", "Facebook_Marketing"])
def test_a_plain_credential_is_refused(text: str) -> None:
    """A word or two, or a number, is refused, and the reason says what to choose instead."""
    assert wording("setting-invalid.mix-letters") in why_implausible(text)


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple",
        "correct-horse-battery-staple",
        "kT9-xx_q",
        "acme-2024",
        "kleine Stra\N{LATIN SMALL LETTER SHARP S}e",
        "p@ssword",
        bodies.APP_SECRET,
        "4f9a0c3305e82c33",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ],
)
def test_a_plausible_credential_is_accepted(text: str) -> None:
    """The rule is a minimum, not a measure of strength."""
    assert why_implausible(text) == ""


def test_the_credentials_of_the_sandbox_are_accepted() -> None:
    """The sandbox's credentials pass the rule."""
    with Sandbox("approved") as sandbox:
        given = sandbox.description
    for name in ("app_secret", "cyclr_client_secret", "user_access_token", "page_access_token"):
        assert why_implausible(str(given[name])) == ""
    assert is_token(str(given["page_access_token"]))


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the content of the machine's keyring, by user."""
    held: dict[str, str] = {}
    errors = SimpleNamespace(KeyringError=RuntimeError)
    module = ModuleType("keyring")
    module.get_password = lambda _, user: held.get(user)  # type: ignore[attr-defined]
    module.errors = errors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return held


@pytest.mark.parametrize("item", OPAQUE, ids=lambda item: item.name)
@pytest.mark.parametrize("text", ["verified", "short", "aaaaaaaaaa", "facebook_marketing"])
def test_a_word_is_refused_wherever_it_comes_from(
    item: Any, text: str, keyring: dict[str, str], tmp_path: Path
) -> None:
    """A common word is refused from `.env`, the environment and every reference, unquoted."""
    keyring["me"] = text
    (tmp_path / "it").write_text(f"{text}\n", encoding="utf-8")
    variable = item.variable
    ways: list[dict[str, Any]] = [
        {"env_file": {variable: text}},
        {"environ": {variable: text}},
        {"given": {item.name: "env:X"}, "environ": {"X": text}},
        {"given": {item.name: f"file:{tmp_path / 'it'}"}},
        {"environ": {variable: "keyring:service/me"}},
    ]
    for way in ways:
        with pytest.raises(SettingsError) as caught:
            resolve(inputs_of(PROCEDURE), **{"environ": {}, **way})
        said = str(caught.value)
        ordinary = wording("setting-invalid.ordinary-word")
        assert said.startswith(f"{item.name} ({item.label}): {ordinary}")
        assert text not in said.removeprefix(f"{item.name} ({item.label})")


def test_a_credential_that_is_a_shown_value_is_refused() -> None:
    """A credential that equals a visible value, such as the Client ID, is refused."""
    environ = dict.fromkeys(
        (CYCLR_CLIENT_ID.variable, CYCLR_CLIENT_SECRET.variable), "client-0815-xyz"
    )

    with refused(SettingsError, "value-of-another", name="cyclr_client_id"):
        resolve(inputs_of(PROCEDURE), environ=environ)


def test_no_word_of_the_runbook_is_a_token() -> None:
    """A remote system that issued a name or a constant would have it masked in every bundle."""
    constants = {
        node.value
        for path in (Path(runbook_lib.__file__).parent).rglob("*.py")
        if "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    words = {word for text in [*WORDS, *constants] for word in re.split(r"[\s\"'<>(),:=]+", text)}

    assert not {word for word in words if is_issued_token(word)}


def test_a_withheld_credential_is_not_read() -> None:
    """A withheld credential is not read, and its reference is not resolved."""
    environ = {SIGNING_PASSPHRASE.variable: "file:/nowhere", APP_ID.variable: bodies.APP_ID}

    found = resolve(inputs_of(PROCEDURE), environ=environ, withheld=("signing_passphrase",))

    assert (dict(found.secrets), found.values) == ({}, {"app_id": bodies.APP_ID})


def step(name: str, *checks: Check) -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.CALL,
        source=Source(section=1),
        instructions="",
        own_sentence=f"I did {name}.",
        subject=("app_id", "app_secret"),
        inputs=(APP_ID, USER_ACCESS_TOKEN),
        checks=checks,
    )


def chatty(secret: str) -> Check:
    """Return a check whose exchange and finding repeat the secret everywhere."""

    def run(context: CheckContext) -> Finding:
        context.session.note(
            Exchange(
                method="GET",
                url=f"https://graph.example/?x={secret}",
                sent_on="2026-11-24T12:00:00.000Z",
                elapsed=0.0,
                status=200,
                headers={"location": secret},
                response={"said": secret, secret: 1},
                error=secret,
            )
        )
        return Finding(
            outcome=Outcome.VERIFIED,
            code="a-code",
            reason=f"It says {secret}.",
            limits=(secret,),
            warnings=(f"{secret}!",),
            facts={"app_display_name": f"Acme {secret}"},
        )

    return Check("chatty-check", run)


def written(folder: Path, secret: str, redactor: Redactor | None = None) -> Run:
    """Return a run in which people and remote systems repeated the secret everywhere."""
    steps = (step("fb-01-log-in", chatty(secret)), step("fb-02-other"))
    section = Section(id="01", title="One", intro="", steps=steps)
    run = Run(
        Procedure(
            id="verified", version="1", title="P", sections=(section,), inputs=PROCEDURE.inputs
        ),
        Settings({"app_id": bodies.APP_ID}, {"app_secret": Secret(secret)}),
        Journal(folder / "acme" / "journal.jsonl", clock=lambda: NOON),
        "acme",
        Mode.INTERACTIVE,
        "0a1b2c3d",
        key=KEY,
    )
    run.redactor = redactor or run.redactor
    run.start()
    run.perform("fb-01-log-in")
    run.say([attested("fb-02-other", note=f"With {secret}.", seen=secret)])
    run.finish(broken=f"Cut off: {secret}")
    return run


def strings_of(run: Run) -> set[str]:
    """Return every text in the data of a run's journal."""

    def strings(document: Any) -> Iterator[str]:
        if isinstance(document, str):
            yield document
        elif isinstance(document, dict | list):
            for each in document.values() if isinstance(document, dict) else document:
                yield from strings(each)

    return {text for line in run.journal.read_all() for text in strings(to_builtins(line.event))}


class FreeTextCollector:
    """Replaces a redactor: collects the free text, and leaves it empty."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def redact_values(self, document: Any) -> str:
        """Collect a document of the runbook's own."""
        self.texts.append(json.dumps(document, ensure_ascii=False, default=str))
        self.texts += [document] if isinstance(document, str) else []
        return ""

    redact_document = redact_values


def structure_of(run: Run) -> tuple[list[Any], list[str]]:
    """Return the structure of a run's journal, and its free text."""
    apart = FreeTextCollector()
    lines = [
        (structs.replace(line.head, sha256=GENESIS, prev=GENESIS), masked(line.event, apart))
        for line in run.journal.read_all()
    ]
    return lines, apart.texts


with tempfile.TemporaryDirectory() as _folder:
    # The texts that are there whatever the secret is.
    HARMLESS = strings_of(written(Path(_folder), "Harmless-canary-1"))


@pytest.mark.matrix(0)
@given(secret=st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.text(min_size=8)))
@example(secret="verified")
@example(secret="check")
@example(secret="attest")
@example(secret="outcome")
@example(secret="0a1b2c3d")
@example(secret="2026-11-24")
@example(secret=KEY.of_secret("app_secret", Secret("x")))
@settings(max_examples=60)
def test_no_secret_makes_a_journal_unreadable(secret: str) -> None:
    """
    With any secret, the journal stays readable with its structure, and no free text has it.
    """
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        run = written(Path(first), secret)
        plain = written(Path(second), secret, Redactor())

        lines, texts = structure_of(run)
        assert lines == structure_of(plain)[0]
        if not why_implausible(secret):
            assert [text for text in texts if secret in text] == []
            assert [text for text in strings_of(run) - HARMLESS if secret in text] == []

        state = fold(Journal(run.journal.path).read_all(), "0a1b2c3d")
        outcomes = {step.id: step.outcome for step in state.steps}
        assert outcomes == {
            "fb-01-log-in": Outcome.VERIFIED,
            "fb-02-other": Outcome.ATTESTED,
        }
        assert parse_record(record_bytes(state)) == state
        for step in run.state.steps:
            assert step_bundle(run.state, run.step(step.id), run.values, is_sandbox=False)[
                "text/plain"
            ]
            check_view(run, step.id)


def check_view(run: Run, name: str) -> None:
    """Assert that a panel has its whole structure, whatever the secret is."""
    view = step_view(
        run.state.step(name),
        make_context(procedure=run.procedure, values=run.values),
        recent=[line for line in run.journal.read_all() if line.head.step == name],
        exchanges=run.state.exchanges,
        status=PanelStatus(refused=[{"input": "app_id", "problem": "It is."}]),
        lacks=(),
    )
    shown = run.redactor.redact_values(view, structure=STRUCTURE)
    assert set(shown) == set(view)
    assert (shown["id"], shown["outcome"]) == (name, run.state.step(name).outcome)
    assert [each["name"] for each in shown["inputs"]] == ["app_id", "user_access_token"]
    assert shown["refused"][0]["input"] == "app_id"
    assert shown["actions"] == view["actions"]
    for kept, form in zip(shown["forms"], view["forms"], strict=True):
        assert kept["name"] == form["name"]
        assert [_sent(option) for option in kept["options"]] == [
            _sent(option) for option in form["options"]
        ]


def _sent(option: dict[str, Any]) -> tuple[Any, ...]:
    """Return the browser's message for an answer, and the kind of field for each value."""
    fields = [(field["name"], field["type"]) for field in option["fields"]]
    return option["name"], option["action"], option["answer"], fields


def test_a_word_is_refused_in_the_walkthrough_as_well(tmp_path: Path) -> None:
    """
    The walkthrough refuses a common word while it is typed and when it is set; the old value stays.
    """
    run = written(tmp_path, "canary-secret-1")
    before = run.settings

    for text in ("verified", "short", "step.checked"):
        said = find_problem(USER_ACCESS_TOKEN, text)
        assert said.startswith(wording("setting-invalid.ordinary-word-at-field"))
        with refused(ValueError, "ordinary-word-refused") as caught:
            run.set_secret(USER_ACCESS_TOKEN, text)
        assert text not in str(caught.value)
    sentence = wording("setting-invalid.value-of-another", name="app_id")
    with refused_naming(ValueError, sentence):
        run.set_secret(USER_ACCESS_TOKEN, bodies.APP_ID)
    assert run.settings is before


def test_a_credential_is_stripped() -> None:
    """A credential is used without surrounding blanks."""
    assert secret_of(USER_ACCESS_TOKEN, " canary-secret-1\n", {}).reveal() == ("canary-secret-1")


# Texts that are not tokens.

NO_TOKENS = [
    "outcome",
    "verified",
    "facebook_marketing",
    "",
    "a",
    "0a1b2c3d",
    "x" * 40,
    "2026-11-24T12:00:00.000Z",
    "https://graph.facebook.com",
    "0123456789abcdef" * 4,
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    bodies.APP_ID,
    "step.checked",
    "two words 1A2B3C4D5E",
    "EAA",
    "EAAshort",
    f"{bodies.APP_ID}|",
    "RUNBOOK_SIGNING_PASSPHRASE",
    "fb-13-app-id-and-secret",
    # Words and numbers: whatever is issued mixes kinds of characters.
    "correct-horse-battery-staple",
    "CORRECT-HORSE-BATTERY-STAPLE",
    "31415926535897932384",
]


@pytest.mark.parametrize("text", NO_TOKENS)
def test_a_word_is_no_token(text: str) -> None:
    """Words, ids, digests, times, addresses and text in letters of one case are not tokens."""
    assert not is_token(text)
    assert not is_issued_token(text)


@pytest.mark.parametrize("text", [bodies.USER_TOKEN, bodies.PAGE_TOKEN, bodies.APP_TOKEN])
def test_facebooks_tokens_are_tokens(text: str) -> None:
    """User, page and app tokens as in Facebook's guide are recognised."""
    assert is_token(text)


@pytest.mark.parametrize("text", [bodies.CYCLR_TOKEN, bodies.SIGN_IN_TOKEN, "AQDx0_" * 9])
def test_tokens_that_servers_issue_are_recognised(text: str) -> None:
    """Cyclr's two kinds of tokens and Facebook's codes are recognised."""
    assert is_issued_token(text)


@pytest.mark.parametrize("value", [*NO_TOKENS, None, 7, ["x"], {"a": "b"}])
def test_an_invalid_token_is_neither_learned_nor_used(value: Any) -> None:
    """
    A value that is not a token raises an error with the endpoint, and is not masked afterwards.
    """
    remote = FakeRemote()
    redactor = Redactor()
    session = open_session(remote, redactor)
    remote.on("/oauth/access_token", responds({"access_token": value}))
    remote.on("/oauth/token", responds({"access_token": value}))
    remote.on("/v1.0/accounts/acct-1/signintoken", responds({"Token": value}))
    pair = {"client_id": "c", "client_secret": Secret("canary-secret-1")}
    base = "https://remote.example"
    server = AuthorizationServer(
        title="Remote",
        authorization_endpoint="",
        token_endpoint=f"{base}/oauth/access_token",
    )
    cyclr = Cyclr(session, base_url=base, token=Secret(bodies.CYCLR_TOKEN), account="acct-1")

    with refused_naming(UnexpectedResponseError, "/oauth/access_token"):
        request_token_by_client_credentials(session, server, **pair)
    with refused_naming(UnexpectedResponseError, "/oauth/token"):
        request_api_token(session, base, **pair)
    with refused_naming(UnexpectedResponseError, "/accounts/acct-1/signintoken"):
        cyclr.sign_in_token("acct-1", "me")
    text = f"{value} outcome verified"
    assert redactor.redact(text) == Redactor().redact(text)
    assert redactor.find_secret(text) < 0


def test_a_value_that_is_shown_is_no_token() -> None:
    """A visible value is not accepted as token, so that it is not masked everywhere."""
    remote = FakeRemote()
    redactor = Redactor()
    shown = "Acct-4fG7hJ2kL9-mN3pQ8rS5t"
    assert is_issued_token(shown)
    redactor.allow([shown])
    remote.on("/oauth/token", responds({"access_token": shown}))

    with pytest.raises(UnexpectedResponseError):
        request_api_token(
            open_session(remote, redactor),
            "https://remote.example",
            client_id="c",
            client_secret=Secret("canary-secret-1"),
        )
    assert redactor.find_secret(shown) < 0


def test_a_page_without_a_token_leaves_its_check_inconclusive() -> None:
    """Without a valid page token the check is inconclusive and sends no request for the page."""
    remote = FakeRemote()
    redactor = owned(bodies.APP_SECRET)
    rows = bodies.rows({"id": "page-1", "access_token": "outcome"})
    remote.on("/v26.0/me/accounts", responds(rows))
    context = CheckContext(
        values={
            "permissions": ("leads_retrieval",),
            "graph_url": "https://graph.example",
            "graph_version": "v26.0",
        },
        secrets={
            "app_secret": Secret(bodies.APP_SECRET),
            "user_access_token": Secret(bodies.USER_TOKEN),
        },
        session=open_session(remote, redactor, hosts={"facebook": ["https://graph.example"]}),
        now=NOON,
    )

    ((finding, *_),), _ = perform_checks(
        (Check("leads", lead_data_is_readable),), lambda: context, lacking=lambda _: ()
    )

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "me/accounts" in finding.reason
    assert remote.paths == ["/v26.0/me/accounts"]
    assert redactor.find_secret("outcome") < 0
