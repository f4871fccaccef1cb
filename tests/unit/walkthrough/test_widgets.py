"""Panels: each message calls the walkthrough once, and no state contains a secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.engine.tenant_names import TenantQuestion
from runbook_lib.walkthrough import widgets as panels
from runbook_lib.walkthrough.controller import Walkthrough
from runbook_lib.walkthrough.views import ATTESTATION_ACTIONS, NOTE_ACTIONS
from runbook_lib.walkthrough.widgets import (
    PANEL_MIME,
    FinishPanel,
    HeaderPanel,
    StepPanel,
    TenantPanel,
)
from tests.support.fake_walkthrough import ANSWERS, FakeWalkthrough, receive
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.sample_run import HAND_STEP, app_step, eventually, make_run, stopped

STEP = app_step()


def step_panel(walkthrough: Any) -> StepPanel:
    return StepPanel(walkthrough, STEP)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the messages that panels send to the browser."""
    messages: list[Any] = []
    monkeypatch.setattr(StepPanel, "send", lambda _, content: messages.append(content))
    return messages


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ({"action": "check", "inputs": {"app_id": "1"}}, ("perform", STEP, {"app_id": "1"}, ())),
        ({"action": "check"}, ("perform", STEP, {}, ())),
        (
            {"action": "save", "inputs": {"app_id": "1"}, "sure": ["app_id"]},
            ("save", STEP, {"app_id": "1"}, ["app_id"]),
        ),
        ({"action": "continue"}, ("go_past", STEP)),
        ({"action": "open"}, ("open_card", STEP)),
        ({"action": "opened"}, ("note_opened", STEP)),
        ({"action": "refresh"}, ("refresh", STEP)),
        *(
            (
                {"action": action, "by": "Operator", "note": "n"},
                ("say", STEP, kind, {"action": action, "by": "Operator", "note": "n"}, []),
            )
            for action, kind in ATTESTATION_ACTIONS.items()
        ),
        (
            {
                "action": "save_credential",
                "name": "app_secret",
                "store": ".env",
                "inputs": {"app_id": "1"},
            },
            ("save_credential", STEP, "app_secret", ".env", {"app_id": "1"}),
        ),
        (
            {"action": "forget_credential", "name": "app_secret"},
            ("forget_credential", STEP, "app_secret"),
        ),
        ({"action": "consent"}, ("prepare_consent", STEP)),
        (
            {"action": "redirect", "url": "https://x/?code=1"},
            ("redeem_redirect", STEP, "https://x/?code=1"),
        ),
        (
            {"action": "validate", "name": "app_id", "value": "1"},
            ("problem", "app_id", "1", STEP.inputs),
        ),
        ({"action": "copy_secret"}, ("secret_to_copy", STEP)),
        ({"action": "link"}, ("confirm_link", STEP)),
        *(
            (
                {"action": action, "by": "Operator"},
                ("add_note", STEP, kind, {"action": action, "by": "Operator"}),
            )
            for action, kind in NOTE_ACTIONS.items()
        ),
    ],
    ids=lambda value: value.get("action") if isinstance(value, dict) else "",
)
def test_each_message_is_one_call(message: Any, asked: Any, sent: list[Any]) -> None:
    """A panel only passes on what the browser asks for: each message is one call."""
    walkthrough = FakeWalkthrough()
    receive(step_panel(walkthrough), message)

    assert walkthrough.asked == [asked]


def test_every_action_is_tested() -> None:
    """The test above covers every action of a panel."""
    mark = test_each_message_is_one_call.pytestmark[0]  # type: ignore[attr-defined]
    assert {message["action"] for message, _ in mark.args[1]} == set(StepPanel._actions)
    assert set(ATTESTATION_ACTIONS) <= set(StepPanel._actions)


def test_files_travel_as_buffers() -> None:
    """The bytes of each file come in a buffer, in the order of the names."""
    walkthrough = FakeWalkthrough()
    files = [{"name": "a.png", "type": "image/png"}, {"name": "b.pdf", "type": "application/pdf"}]
    receive(
        step_panel(walkthrough),
        {"action": "attest", "by": "Operator", "files": files},
        memoryview(b"picture"),
        memoryview(b"letter"),
    )

    assert walkthrough.asked[0][4] == [
        {"name": "a.png", "media_type": "image/png", "content": b"picture"},
        {"name": "b.pdf", "media_type": "application/pdf", "content": b"letter"},
    ]


def test_a_problem_is_answered_to_the_field(sent: list[Any]) -> None:
    """The answer about a field names the input and does not repeat the text."""
    message = {"action": "validate", "name": "app_secret", "value": APP_SECRET}
    receive(step_panel(FakeWalkthrough()), message)

    assert sent == [{"kind": "problem", "name": "app_secret", **ANSWERS["problem"]}]


def test_a_credential_is_copied_secret_in_a_message(sent: list[Any]) -> None:
    """A credential for the clipboard is sent as a message and is in no state."""
    panel = step_panel(FakeWalkthrough())
    receive(panel, {"action": "copy_secret"})

    assert sent == [{"kind": "secret", "value": APP_SECRET}]
    assert APP_SECRET not in json.dumps(panel.get_state(), default=str)


@pytest.mark.parametrize(
    ("message", "buffers"),
    [
        ({}, ()),
        ({"action": "nonsense"}, ()),
        ({"action": None}, ()),
        ({"action": ["check"]}, ()),
        ({"action": "show", "view": {}}, ()),
        ({"action": "__init__"}, ()),
        ([], ()),
        ("check", ()),
        (None, ()),
        ({"action": "check", "inputs": ["x"]}, ()),
        ({"action": "check", "inputs": None}, ()),
        ({"action": "validate"}, ()),
        ({"action": "save_credential", "name": "app_secret"}, ()),
        ({"action": "forget_credential"}, ()),
        ({"action": "redirect"}, ()),
        ({"action": "attest", "files": [{"name": "a.png"}]}, (b"x",)),
        ({"action": "attest", "files": [{"name": "a.png", "type": "image/png"}]}, ()),
        ({"action": "attest"}, (b"x",)),
        ({"action": "attest", "files": 7}, ()),
    ],
    ids=str,
)
def test_a_malformed_message_has_no_effect(message: Any, buffers: Any, sent: list[Any]) -> None:
    """An unknown or malformed message has no effect, and the panel still works."""
    walkthrough = FakeWalkthrough()
    panel = step_panel(walkthrough)
    before = panel.get_state()
    receive(panel, message, *buffers)

    assert (walkthrough.asked, sent) == ([], [])
    assert panel.get_state() == before
    receive(panel, {"action": "consent"})
    assert walkthrough.asked == [("prepare_consent", STEP)]


@pytest.mark.parametrize(
    "message",
    [
        {"action": "validate", "name": "nonsense", "value": "x"},
        {"action": "save_credential", "name": "nonsense", "store": ".env"},
        {"action": "save_credential", "name": "app_id", "store": "keyring"},
        {"action": "forget_credential", "name": "nonsense"},
        {"action": "copy_secret"},
        {"action": "redirect", "url": "nonsense"},
        {"action": "check", "inputs": {"app_id": {"a": [1]}, "install_connector": [0]}},
        {"action": "check", "inputs": {"nonsense": "x"}},
        {"action": "attest", "by": ["x"], "note": {"a": 1}},
    ],
    ids=str,
)
def test_an_invalid_request_has_no_effect(message: Any, tmp_path: Path) -> None:
    """An invalid request moves no credential, and the panel ends idle and still works."""
    run = make_run(tmp_path, STEP, secrets={"app_secret": APP_SECRET})
    with stopped(Walkthrough(run)) as walkthrough:
        panel = StepPanel(walkthrough, STEP)
        receive(panel, message)
        eventually(lambda: not panel.view["busy_since"])
        done = panel.view["finished"]
        receive(panel, {"action": "check"})
        eventually(lambda: panel.view["finished"] == done + 1)

    assert panel.view["result"] == "Checked."
    assert not run.env_file.exists()
    assert run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert APP_SECRET not in json.dumps(panel.get_state(), default=str)


def test_typed_text_never_becomes_widget_state(tmp_path: Path) -> None:
    """A secret is never in the state that may be saved with the notebook, even if mistyped."""
    steps = (STEP, HAND_STEP)
    run = make_run(tmp_path, *steps)
    mistyped = APP_SECRET[:-1]
    with stopped(Walkthrough(run)) as walkthrough:
        panel = StepPanel(walkthrough, STEP)
        hand = StepPanel(walkthrough, HAND_STEP)
        receive(hand, {"action": "open"})
        for number, typed in enumerate((mistyped, APP_SECRET), 1):
            receive(panel, {"action": "validate", "name": "app_secret", "value": typed})
            receive(panel, {"action": "check", "inputs": {"app_secret": typed}})
            eventually(lambda number=number: panel.view["finished"] == number)
        receive(hand, {"action": "copy_secret"})
        eventually(lambda: hand.view.get("copied_secret"))
        states = [each.get_state() for each in (panel, hand, HeaderPanel(walkthrough))]

    assert run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert mistyped not in json.dumps(states, default=str)


def test_a_view_is_what_the_browser_gets() -> None:
    """The view is the panel's synchronised state."""
    walkthrough: Any = FakeWalkthrough()
    for panel, key in (
        (StepPanel(walkthrough, STEP), "id"),
        (HeaderPanel(walkthrough), "title"),
        (FinishPanel(walkthrough), "done"),
    ):
        assert key in panel.get_state()["view"]
        panel.show({"new": 1})
        assert panel.get_state()["view"] == {"new": 1}


@pytest.mark.parametrize(
    ("panel", "actions", "asked"),
    [
        (HeaderPanel, ("check_all",), [("check_all",)]),
        (FinishPanel, ("seal", "seal_anyway"), [("seal", False), ("seal", True)]),
    ],
)
def test_only_its_own_actions_do_anything(panel: Any, actions: Any, asked: Any) -> None:
    """Only `check_all` of the header checks every step, only `seal` at the end seals."""
    walkthrough: Any = FakeWalkthrough()
    shown = panel(walkthrough)
    for message in ({}, {"action": "nonsense"}, None, {"action": "check"}):
        receive(shown, message)
    assert walkthrough.asked == []

    for action in actions:
        receive(shown, {"action": action})
    assert walkthrough.asked == asked


def test_a_header_that_is_asked_answers() -> None:
    """The page learns that its kernel answers, and nothing else happens."""
    walkthrough: Any = FakeWalkthrough()
    header = HeaderPanel(walkthrough)
    sent = list[Any]()
    header.send = sent.append
    receive(header, {"action": "ping"})

    assert (sent, walkthrough.asked) == ([{"kind": "pong"}], [])


@pytest.mark.parametrize(
    "message",
    [{}, {"action": "nonsense"}, {"action": "answer"}, {"action": "answer", "is_sure": True}, None],
)
def test_a_malformed_answer_opens_nothing(message: Any, folder: Path) -> None:
    """The question passes on an answer only; without one nothing is opened."""
    opened: list[str] = []
    panel = TenantPanel(TenantQuestion(Settings(), "evidence"), "one", opened.append)
    receive(panel, message)

    assert opened == []
    receive(panel, {"action": "answer", "text": "acme", "is_sure": "yes"})
    assert opened == []
    receive(panel, {"action": "answer", "text": "acme", "is_sure": True})
    assert opened == ["acme"]


@pytest.mark.parametrize("name", sorted(path.name for path in panels.STATIC.iterdir()))
def test_static_files_load_nothing_remote(name: str) -> None:
    """The scripts and styles of the panels load nothing from a network."""
    text = (panels.STATIC / name).read_text(encoding="utf-8")

    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert "import(" not in text.replace("import(url)", "")  # what the header or the kernel brings


@pytest.mark.parametrize("panel", [HeaderPanel, StepPanel, FinishPanel, TenantPanel])
def test_panels_share_one_helper(panel: Any) -> None:
    """The helper that all panels share is in each script once; the header brings a step's."""
    script = str(panel._esm)
    if panel is HeaderPanel:
        before, _, rest = script.partition("const STEP_SCRIPT = ")
        brought, end = json.JSONDecoder().raw_decode(rest)
        assert brought == {"digest": panels._STEP_DIGEST, "text": panels._STEP_SCRIPT}
        script = before + rest[end:]
    elif panel is StepPanel:
        assert len(script) < 4_000
        script = panels._STEP_SCRIPT
    assert script.count("function element(") == 1
    assert "export default" in script


def test_a_step_without_a_header_gets_its_script_from_the_kernel() -> None:
    """Where no header brings the steps' script, the kernel sends it, with the style."""
    panel = step_panel(FakeWalkthrough())
    sent: list[Any] = []
    panel.send = lambda content, buffers=None: sent.append(content)
    panel._on_message(panel, {"action": "script"}, [])

    assert [message["kind"] for message in sent] == ["script"]
    assert sent[0]["text"] == panels._STEP_SCRIPT
    assert ".rb-panel" in sent[0]["style"]
    assert panels._STEP_DIGEST in str(StepPanel._esm)


@pytest.mark.parametrize("panel", [step_panel, HeaderPanel, FinishPanel])
def test_a_notebook_that_was_saved_says_how_to_see_its_panels(panel: Callable[[Any], Any]) -> None:
    """In a saved notebook that is not run, a panel's text says how to show it."""
    (bundle, _) = panel(FakeWalkthrough())._repr_mimebundle_()

    assert bundle["text/plain"].startswith(f"Press {wording('lab.press-start')}")
    assert bundle[PANEL_MIME]["tenant"] == "acme"
