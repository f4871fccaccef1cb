"""The walkthrough: actions run in other threads, show at once, and always end."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import keyring
import keyring.backend
import keyring.errors
import pytest

from runbook_lib.config.credentials import EnvFileStore
from runbook_lib.config.settings import read_env_file
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import INSTALL_CONNECTOR
from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.procedure import (
    Binding,
    Finding,
    Input,
    NoteKind,
    Outcome,
    Step,
    Word,
    WordKind,
)
from runbook_lib.engine.process import Finished
from runbook_lib.engine.run import Run
from runbook_lib.errors import (
    JournalError,
    SealingError,
    SettingsError,
    StateMismatchError,
    UnreachableError,
)
from runbook_lib.walkthrough import consent as consenting
from runbook_lib.walkthrough import controller as module
from runbook_lib.walkthrough.controller import Walkthrough
from tests.support.words import attested, submitted
from tests.unit.bodies import APP_ID, APP_SECRET, BAD_CODE, USER_TOKEN
from tests.unit.fake_remote import FakeRemote, breaks, fields, open_session, says
from tests.unit.walkthrough.stage import (
    DEADLINE,
    HAND_STEP,
    PERMISSIONS,
    Screen,
    after_consent_step,
    app_step,
    consent_step,
    eventually,
    make_run,
    make_step,
    settled,
    stopped,
    verified,
    waiting_step,
    waits,
)

OTHER_SECRET = APP_SECRET[::-1]
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
TOKEN_PATH = "/v26.0/oauth/access_token"
DONE, LEFT_OUT = WordKind.ATTESTED, WordKind.SKIPPED
KNOWN = {"app_id": APP_ID, "service_domain": "acme-h.cyclr.com"}


def undecided(context: CheckContext) -> Finding:
    """Return an inconclusive finding."""
    return Finding(outcome=Outcome.INCONCLUSIVE, reason="Hidden.")


class Scene:
    """A walkthrough with a screen for each step."""

    def __init__(self, run: Run, **options: Any) -> None:
        self.run = run
        self.walkthrough = Walkthrough(run, **options)
        self.header, self.finish = Screen(), Screen()
        self.screens = {step.id: Screen() for step in run.procedure.steps}
        for step_id, screen in self.screens.items():
            self.walkthrough.add_panel(step_id, screen)
        self.walkthrough.add_header(self.header)
        self.walkthrough.add_finish(self.finish)

    def step(self, step_id: str) -> Step:
        """Return the step."""
        return self.run.step(step_id)

    @property
    def types(self) -> list[str]:
        """Return the types of the journal's entries."""
        return [entry.type for entry in self.run.journal.entries()]

    @property
    def written(self) -> str:
        """Return the journal's text."""
        path = self.run.journal.path
        return path.read_text(encoding="utf-8") if path.exists() else ""


Make = Callable[..., Scene]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a factory of walkthroughs; their threads are joined at the end."""
    monkeypatch.setattr(module, "_FOLLOW_SECONDS", 0.01)
    with ExitStack() as stack:

        def make(*steps: Step, watch_seconds: float = 60.0, **more: Any) -> Scene:
            made = Scene(make_run(tmp_path, *steps, **more), watch_seconds=watch_seconds)
            stack.enter_context(stopped(made.walkthrough))
            return made

        yield make


def test_a_step_is_checked_in_another_thread(scene: Make) -> None:
    """A check does not block the kernel: the panel is busy meanwhile, then shows the result."""

    released, threads = threading.Event(), []

    def slow(context: CheckContext) -> Finding:
        threads.append(threading.current_thread())
        released.wait(DEADLINE)
        return verified(context)

    play = scene(app_step(slow))
    screen = play.screens["app"]
    play.walkthrough.perform(play.step("app"), {})

    assert screen.view["busy_since"] > 0
    assert (screen.view["finished"], screen.view["outcome"]) == (0, "not_run")
    released.set()
    view = settled(screen)
    assert (view["finished"], view["outcome"]) == (1, "verified")
    assert (view["message"], view["is_error"]) == ("Checked: verified.", False)
    assert threads[0] is not threading.current_thread()
    eventually(lambda: play.header.view["settled"] == 1)
    eventually(lambda: play.finish.view["done"] == 1)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.VERIFIED, "Checked: verified."),
        (Outcome.FAILED, "Checked: failed. Fix the problem described above, then check again."),
        (Outcome.NOT_RUN, "Checked: to do. Do it, then check it or confirm that it is done."),
        (
            Outcome.INCONCLUSIVE,
            (
                "Checked: could not be checked. Do what the reason says, then check again; "
                "confirm it if you have seen it yourself."
            ),
        ),
    ],
)
def test_a_result_says_what_to_do_about_it(scene: Make, outcome: Outcome, said: str) -> None:
    """The message of each outcome says what to do next."""

    play = scene(make_step("a", lambda _: Finding(outcome=outcome, reason="So.")))
    play.walkthrough.perform(play.step("a"), {})

    assert settled(play.screens["a"])["message"] == said


def test_finished_actions_are_counted(scene: Make) -> None:
    """Each finished action is counted, so that two equal results can be told apart."""

    play = scene(app_step())
    for number in (1, 2):
        play.walkthrough.perform(play.step("app"), {})
        view = settled(play.screens["app"], number)
        assert (view["finished"], view["message"]) == (number, "Checked: verified.")


def test_steps_do_not_wait_for_one_another(scene: Make) -> None:
    """A slow step does not block another, and each panel shows its own message."""

    released = threading.Event()

    def slow(context: CheckContext) -> Finding:
        released.wait(DEADLINE)
        return verified(context)

    play = scene(app_step(slow), waiting_step())
    play.walkthrough.perform(play.step("app"), {})
    play.walkthrough.perform(play.step("wait"), {})

    assert settled(play.screens["wait"])["message"].startswith("Checked: waiting.")
    assert play.screens["app"].view["busy_since"] > 0
    assert play.screens["app"].view["message"] == ""
    released.set()
    settled(play.screens["app"])


def test_an_error_becomes_message_and_advice(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expected error is shown with its message and next step, and the panel is idle again."""

    play = scene(app_step())

    def full(_: str) -> None:
        raise JournalError("The disk is full.", next_step="Free space.")

    monkeypatch.setattr(play.run, "perform", full)
    play.walkthrough.perform(play.step("app"), {})

    view = settled(play.screens["app"])
    assert (view["message"], view["advice"]) == ("The disk is full.", "Free space.")
    assert view["is_error"]


def test_a_defect_is_shown_without_its_details(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is shown by its type alone, and the panel is idle again."""

    play = scene(app_step())

    def defective(_: str) -> None:
        raise KeyError(APP_SECRET)

    monkeypatch.setattr(play.run, "perform", defective)
    play.walkthrough.perform(play.step("app"), {})

    view = settled(play.screens["app"])
    assert view["message"] == "The runbook itself broke (KeyError)."
    assert view["advice"] == "Report it as a defect."
    assert view["is_error"]
    assert APP_SECRET not in json.dumps(play.screens["app"].views)


def test_a_full_disk_is_shown_as_such(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is shown as such, not as a defect."""

    play = scene(app_step())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "store_attachment", refuse)
    play.walkthrough.say(play.step("app"), DONE, {"by": "Somebody"}, [{"name": "a.png"}])

    view = settled(play.screens["app"])
    assert view["message"] == "Cannot write to disk: No space left on device."
    assert view["advice"].startswith("Free disk space")
    assert view["is_error"]


def test_an_error_is_gone_with_the_next_try(scene: Make) -> None:
    """The next attempt removes the earlier error from the panel at once."""

    play = scene(app_step())
    step, screen = play.step("app"), play.screens["app"]
    play.walkthrough.perform(step, {"app_id": "x"})
    assert settled(screen)["is_error"]
    before = len(screen.views)

    play.walkthrough.perform(step, {})

    view = settled(screen, 2)
    assert (view["is_error"], view["advice"]) == (False, "")
    assert (screen.views[before]["message"], screen.views[before]["is_error"]) == ("", False)


def test_typed_values_are_recorded(scene: Make) -> None:
    """Typed values are recorded with their type; empty and unknown fields are ignored."""

    play = scene(app_step())
    given = {"app_id": f" {APP_ID} ", "permissions": "ads_read", "install_connector": False}
    play.walkthrough.perform(play.step("app"), {**given, "app_secret": "", "unknown": "x"})
    settled(play.screens["app"])

    assert play.run.history.index.given == {
        "app_id": APP_ID,
        "permissions": ("public_profile", "ads_read"),
        "install_connector": False,
    }
    shown = {each["name"]: each["value"] for each in play.screens["app"].view["inputs"]}
    assert shown["app_id"] == APP_ID


def test_a_secret_that_was_typed_stays_in_memory(scene: Make, tmp_path: Path) -> None:
    """A typed secret can be used by a check, but no file and no view contains it."""

    def quotes(context: CheckContext) -> Finding:
        said = context.secrets["app_secret"].reveal()
        return Finding(outcome=Outcome.FAILED, reason=f"It refused {said}.")

    play = scene(app_step(quotes))
    play.walkthrough.perform(play.step("app"), {"app_secret": f" {APP_SECRET}\n"})
    view = settled(play.screens["app"])

    assert view["reason"].startswith("It refused *")
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    secret = next(each for each in view["inputs"] if each["name"] == "app_secret")
    assert (secret["value"], secret["rests"]) == ("", "this session")
    assert APP_SECRET not in json.dumps(play.screens["app"].views)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if APP_SECRET.encode() in path.read_bytes()]


def test_a_malformed_secret_is_refused_unquoted(scene: Make) -> None:
    """An invalid secret is refused without being quoted, and no check runs."""

    play = scene(app_step())
    play.walkthrough.perform(play.step("app"), {"app_secret": "halfasecret"})
    view = settled(play.screens["app"])

    assert view["message"].startswith("App Secret: an App Secret has 32 characters")
    assert (view["advice"], view["is_error"]) == ("Correct it, then press the button again.", True)
    (refused,) = view["refused"]
    assert refused["problem"].startswith("An App Secret has 32 characters")
    assert "halfasecret" not in json.dumps(play.screens["app"].views)
    assert "app_secret" not in play.run.settings.secrets
    assert play.types == []


def test_valid_fields_are_kept_if_another_is_invalid(scene: Make) -> None:
    """If a field is invalid, its problem is shown, no check runs, and the valid fields are kept."""

    play = scene(app_step())
    play.walkthrough.perform(play.step("app"), {"app_id": "x", "app_secret": APP_SECRET})
    view = settled(play.screens["app"])

    assert view["message"].startswith("App ID: an App ID is a number of 15 or 16 digits")
    assert view["taken"] == 1
    (refused,) = view["refused"]
    assert refused["input"] == "app_id"
    assert refused["problem"].startswith("An App ID is a number of 15 or 16 digits")
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert play.types == []

    play.walkthrough.perform(play.step("app"), {"app_id": APP_ID})
    view = settled(play.screens["app"], 2)
    assert (view["taken"], view["refused"], view["outcome"]) == (2, [], "verified")


def test_an_invalid_value_is_named_by_its_label(scene: Make) -> None:
    """The message about an invalid value names the field by its label."""

    play = scene(app_step())
    play.walkthrough.perform(play.step("app"), {"install_connector": "perhaps"})

    message = settled(play.screens["app"])["message"]
    assert message.startswith(f"{INSTALL_CONNECTOR.label}: takes true or false")


def test_written_words_are_counted(scene: Make) -> None:
    """`written` counts only what was recorded, so that a refused form keeps its text."""

    play = scene(make_step("a"))
    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": ""}, [])
    assert settled(play.screens["a"])["written"] == 0
    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": "No leads."}, [])
    assert settled(play.screens["a"], 2)["written"] == 1
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [])
    assert settled(play.screens["a"], 3)["written"] == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("app_id", "x", "An App ID is a number of 15 or 16 digits"),
        ("app_secret", "halfasecret", "An App Secret has 32 characters"),
        ("permissions", "Leads", "'Leads' is not a permission; one looks like leads_retrieval"),
        ("app_id", APP_ID, ""),
        ("app_id", "  ", ""),
    ],
)
def test_a_field_is_validated_while_it_is_typed(
    scene: Make, name: str, text: str, said: str
) -> None:
    """A field's problem is returned without storing the text; an empty field has no problem."""

    play = scene(app_step())
    problem, effect = play.walkthrough.problem(name, text)

    assert effect == ""
    assert problem.startswith(said)
    assert bool(problem) is bool(said)
    assert "halfasecret" not in problem
    assert play.types == []


def test_a_problem_comes_with_an_example(scene: Make) -> None:
    """The problem has the field's example, unless it has one already or there is none."""

    play = scene(app_step())

    assert play.walkthrough.problem("app_id", "x")[0].endswith("; for example 123456789012345")
    assert "for example" not in play.walkthrough.problem("app_secret", "halfasecret")[0]
    assert play.walkthrough.problem("service_domain", "acme")[0].count("acme-h.cyclr.com") == 1


def test_a_persons_statement_is_recorded(scene: Make) -> None:
    """Author, note and what they saw are recorded, and the header keeps the author's name."""

    play = scene(make_step("a"))
    words = {"by": " Operator ", "note": " Seen. ", "seen": " new screen "}
    play.walkthrough.say(play.step("a"), WordKind.SUBMITTED, words, [])
    view = settled(play.screens["a"])

    assert (view["message"], view["outcome"]) == ("Recorded.", "waiting")
    ((word, _),) = play.run.history.words("a")
    assert replace(word, binding=Binding()) == Word(
        kind=WordKind.SUBMITTED,
        step="a",
        by="Operator",
        at="2026-11-24T12:00:00.000Z",
        note="Seen.",
        seen="new screen",
        origin="walkthrough",
        sentence=play.step("a").sentence,
    )
    eventually(lambda: play.header.view["operator"] == "Operator")


def test_a_screenshot_is_stored_by_its_digest(scene: Make) -> None:
    """A screenshot is stored beside the journal under its digest, and the journal names it."""

    play = scene(make_step("a"))
    file = {"name": "screen.png", "media_type": "image/png", "content": PNG}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])
    settled(play.screens["a"])

    digest = hashlib.sha256(PNG).hexdigest()
    kept = play.run.journal.path.parent / "attachments" / f"{digest}.png"
    assert kept.read_bytes() == PNG
    ((word, _),) = play.run.history.words("a")
    (attachment,) = word.attachments
    assert (attachment.name, attachment.sha256) == ("screen.png", digest)
    assert "[screen.png]" in play.screens["a"].view["history"][0]["what"]


def test_an_invalid_screenshot_is_refused(scene: Make) -> None:
    """A file whose content does not match its type is refused, and nothing is recorded."""

    play = scene(make_step("a"))
    file = {"name": "x.png", "media_type": "image/png", "content": b"<script>"}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])

    assert "x.png is neither a picture" in settled(play.screens["a"])["message"]
    assert play.types == []


@pytest.mark.parametrize("words", [{}, {"by": "  "}, {"note": "x"}])
@pytest.mark.parametrize("said", WordKind)
def test_a_name_is_required(scene: Make, words: Any, said: WordKind) -> None:
    """Without a name nothing is recorded."""

    play = scene(make_step("a"))
    play.walkthrough.say(play.step("a"), said, words, [])
    view = settled(play.screens["a"])

    assert view["message"].startswith("Enter your name")
    assert view["is_error"]
    assert play.types == []


def test_skipping_a_step_needs_a_reason(scene: Make) -> None:
    """A step is skipped only with a reason; without one nothing is recorded."""

    play = scene(make_step("a"))
    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": " "}, [])
    assert settled(play.screens["a"])["message"] == "Give a reason."
    assert play.types == []

    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": "No leads."}, [])
    view = settled(play.screens["a"], 2)
    assert (view["outcome"], view["reason"]) == ("skipped", "Operator: No leads.")
    assert play.run.history.words("a")[0][0].origin == "walkthrough"


def test_an_attestation_is_withdrawn_with_a_reason(scene: Make) -> None:
    """After a withdrawal the attestation no longer counts, and the history shows both."""

    play = scene(make_step("a"))
    step, screen = play.step("a"), play.screens["a"]
    play.walkthrough.say(step, DONE, {"by": "Operator"}, [])
    settled(screen)
    play.walkthrough.say(step, WordKind.WITHDRAWN, {"by": "Operator", "note": ""}, [])
    assert settled(screen, 2)["outcome"] == "attested"
    play.walkthrough.say(step, WordKind.WITHDRAWN, {"by": "Operator", "note": "A mistake."}, [])
    view = settled(screen, 3)

    assert (view["outcome"], view["can_withdraw"]) == ("not_run", False)
    assert [each["what"] for each in view["history"]] == [
        "withdrawn by Operator: A mistake.",
        "confirmed by Operator",
    ]


def test_what_was_submitted_may_be_declined_and_submitted_again(scene: Make) -> None:
    """A decline fails the step; the latest statement counts."""

    play = scene(waiting_step(undecided))
    step, screen = play.step("wait"), play.screens["wait"]
    found = []
    for number, kind in enumerate(
        (WordKind.SUBMITTED, WordKind.DECLINED, WordKind.SUBMITTED), start=1
    ):
        play.walkthrough.say(step, kind, {"by": "Operator", "note": "n"}, [])
        found.append(settled(screen, number)["outcome"])

    assert found == ["waiting", "failed", "waiting"]


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """Return the stored password."""
        return self.stored.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store the password."""
        self.stored[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Delete the password; raise if there is none, as real keyrings do."""
        if self.stored.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not found")


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def rests(view: dict[str, Any]) -> str:
    return next(str(each["rests"]) for each in view["inputs"] if each["name"] == "app_secret")


@pytest.mark.parametrize("word", ["outcome", "verified", "app_id", "refused", "message"])
def test_a_credential_that_is_a_common_word_does_not_damage_a_view(scene: Make, word: str) -> None:
    """
    Masking leaves the view's names, the step's id and its outcome unchanged, whatever the secret
    is.
    """

    plain = set(scene(app_step(), secrets={"app_secret": APP_SECRET}).screens["app"].view)
    play = scene(app_step(), secrets={"app_secret": word})
    play.walkthrough.perform(play.step("app"), {"app_id": APP_ID})
    view = settled(play.screens["app"])

    assert set(view) == plain
    assert (view["id"], view["outcome"]) == ("app", "verified")
    assert view["inputs"][0]["name"] == "app_id"


def test_a_credential_is_saved_to_env(scene: Make, memory: MemoryKeyring) -> None:
    """
    `.env` gets mode 0600, and the panel says where the credential is; neither journal nor view has
    it.
    """

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    play.walkthrough.keep(play.step("app"), "app_secret", ".env", {})
    view = settled(play.screens["app"])

    assert view["message"] == "App Secret saved to .env."
    assert rests(view) == ".env"
    path = play.run.env_file
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_env_file(path) == {"RUNBOOK_P_APP_SECRET": APP_SECRET}
    assert APP_SECRET not in play.written + json.dumps(play.screens["app"].views)
    assert memory.stored == {}


def test_a_credential_is_saved_to_the_keyring(scene: Make, memory: MemoryKeyring) -> None:
    """The journal has a reference to the credential, and no file contains it."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    play.walkthrough.keep(play.step("app"), "app_secret", "keyring", {})
    view = settled(play.screens["app"])

    assert rests(view) == "keyring"
    assert list(memory.stored.values()) == [APP_SECRET]
    assert not play.run.env_file.exists()
    assert play.run.history.index.credentials["app_secret"].startswith("keyring:")
    assert APP_SECRET not in play.written


def test_the_newest_credential_is_saved(scene: Make, memory: MemoryKeyring) -> None:
    """A typed credential replaces the known one and is the one that is saved."""

    play = scene(app_step(), secrets={"app_secret": OTHER_SECRET})
    play.walkthrough.keep(play.step("app"), "app_secret", "keyring", {"app_secret": APP_SECRET})

    assert settled(play.screens["app"])["message"] == "App Secret saved to the keyring."
    assert list(memory.stored.values()) == [APP_SECRET]
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET


def test_an_invalid_credential_is_not_saved(scene: Make, memory: MemoryKeyring) -> None:
    """If the typed credential is invalid, neither it nor the known one is saved."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    play.walkthrough.keep(play.step("app"), "app_secret", "keyring", {"app_secret": "half"})

    view = settled(play.screens["app"])
    assert view["message"].startswith("App Secret: an App Secret has 32 characters")
    assert memory.stored == {}


@pytest.mark.parametrize("where", ["keyring", ".env"])
def test_a_credential_saved_by_another_kernel_is_known(
    scene: Make, memory: MemoryKeyring, tmp_path: Path, where: str
) -> None:
    """Another kernel's saved, replaced and removed credential is followed; one typed here stays."""

    play = scene(app_step(), HAND_STEP)
    play.run.set_secret(inputs.USER_ACCESS_TOKEN, USER_TOKEN)
    play.walkthrough.start()
    assert "Not known yet: give it" in play.screens["hand"].view["hand_over"]["unknown"]
    other = Scene(make_run(tmp_path, app_step(), HAND_STEP))
    known = play.run.settings
    with stopped(other.walkthrough):
        for number, secret in enumerate((OTHER_SECRET, APP_SECRET), 1):
            given = {"app_secret": secret}
            other.walkthrough.keep(other.step("app"), "app_secret", where, given)
            settled(other.screens["app"], number)
            eventually(lambda secret=secret: play.walkthrough.hand_over(HAND_STEP) == secret)
        eventually(lambda: play.screens["hand"].view["hand_over"]["unknown"] == "")
        other.walkthrough.keep(other.step("app"), "app_secret", "forget", {})
        settled(other.screens["app"], 3)
        eventually(lambda: play.walkthrough.hand_over(HAND_STEP) == "")

    assert play.run.settings.secrets == known.secrets
    assert APP_SECRET not in json.dumps([screen.views for screen in play.screens.values()])


def test_a_temporarily_invalid_settings_file_removes_nothing(scene: Make) -> None:
    """An invalid `.env` leaves the known credentials; once it is valid again it is read."""

    play = scene(app_step())

    def save(text: str) -> None:
        saved = play.run.env_file.with_name("saved")
        saved.write_text(text, encoding="utf-8")
        saved.replace(play.run.env_file)

    def known() -> str:
        assert play.walkthrough._credentials.follow()
        return play.run.settings.secrets["app_secret"].reveal()

    save(f"RUNBOOK_FACEBOOK_APP_SECRET={APP_SECRET}\n")
    assert known() == APP_SECRET
    save("what is this\n")
    assert known() == APP_SECRET
    save(f"RUNBOOK_FACEBOOK_APP_SECRET={OTHER_SECRET}\n")
    assert known() == OTHER_SECRET


def test_a_credential_is_removed_everywhere(scene: Make, memory: MemoryKeyring) -> None:
    """`forget` removes a credential from the session, the keyring and `.env`."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    for number, where in enumerate(("keyring", ".env", "forget"), 1):
        play.walkthrough.keep(play.step("app"), "app_secret", where, {})
        view = settled(play.screens["app"], number)

    assert view["message"] == "App Secret removed."
    assert rests(view) == ""
    assert memory.stored == {}
    assert APP_SECRET not in play.run.env_file.read_text(encoding="utf-8")
    assert play.run.history.index.credentials == {}
    assert "app_secret" not in play.run.settings.secrets


@pytest.mark.parametrize("name", ["app_id", "user_access_token", "nonsense"])
def test_only_a_credential_of_the_step_is_saved(scene: Make, name: str) -> None:
    """A value or another step's credential is not saved as credential."""

    play = scene(app_step(), secrets={"user_access_token": USER_TOKEN}, **KNOWN)

    with pytest.raises(SettingsError, match="no credential called"):
        play.walkthrough.keep(play.step("app"), name, ".env", {})

    assert not play.run.env_file.exists()


def test_an_unknown_place_saves_nothing(scene: Make) -> None:
    """A credential is saved to the keyring or to `.env`, and nowhere else."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    play.walkthrough.keep(play.step("app"), "app_secret", "/tmp/elsewhere", {})

    assert settled(play.screens["app"])["is_error"]
    assert play.types == []


def test_a_credential_is_handed_over_by_its_step_alone(scene: Make) -> None:
    """Only the step that hands over a credential returns it, and no view contains it."""

    play = scene(HAND_STEP, app_step(), secrets={"app_secret": APP_SECRET})

    assert play.walkthrough.hand_over(HAND_STEP) == APP_SECRET
    assert play.walkthrough.hand_over(play.step("app")) == ""
    assert APP_SECRET not in json.dumps([screen.views for screen in play.screens.values()])


def test_an_unknown_credential_is_not_handed_over(scene: Make) -> None:
    """A credential that is not known yet is not handed over."""

    assert scene(HAND_STEP).walkthrough.hand_over(HAND_STEP) == ""


def test_a_cell_that_ran_again_replaces_its_panel(scene: Make) -> None:
    """A cell that runs again gets a new panel; the old one is not updated any more."""

    play = scene(app_step())
    again, before = Screen(), len(play.screens["app"].views)
    play.walkthrough.add_panel("app", again)
    assert again.view["id"] == "app"

    play.walkthrough.perform(play.step("app"), {})
    settled(again)

    assert len(play.screens["app"].views) == before


def test_results_of_another_process_are_shown(scene: Make, tmp_path: Path) -> None:
    """Results that another process records are shown without an action here."""

    steps = (app_step(), make_step("b", verified))
    play = scene(*steps)
    play.walkthrough.start()

    with_other = make_run(tmp_path, *steps)
    with_other.perform("app")
    with_other.perform("b")
    with_other.close()

    eventually(lambda: play.screens["app"].view["outcome"] == "verified")
    eventually(lambda: play.header.view["settled"] == 2)
    assert play.screens["app"].view["finished"] == 0


def test_a_waiting_step_is_watched_without_writing(scene: Make) -> None:
    """A waiting step is checked again and again without a line in the journal."""

    looks = []

    def still(context: CheckContext) -> Finding:
        looks.append(context)
        return waits(context)

    play = scene(waiting_step(still), watch_seconds=0.01)
    play.run.perform("wait")
    before = play.types
    play.walkthrough.start()
    eventually(lambda: len(looks) >= 5)

    assert play.types == before
    assert play.screens["wait"].view["finished"] == 0
    assert play.screens["wait"].view["is_watched"]


def test_a_change_of_a_waiting_step_is_recorded(scene: Make) -> None:
    """Once the outside party has acted, the step is checked and the result is recorded."""

    is_live = threading.Event()

    def review(context: CheckContext) -> Finding:
        return (verified if is_live.is_set() else waits)(context)

    play = scene(waiting_step(review), watch_seconds=0.01)
    play.run.perform("wait")
    play.walkthrough.start()
    eventually(lambda: play.screens["wait"].view["outcome"] == "waiting")
    is_live.set()

    view = settled(play.screens["wait"])
    assert view["outcome"] == "verified"
    assert play.types == ["step.started", "step.checked"] * 2


def test_only_shown_waiting_steps_are_watched(scene: Make) -> None:
    """A step that is open, not shown, or without a check is not watched."""

    looked = []

    def looks(context: CheckContext) -> Finding:
        looked.append("open")
        return verified(context)

    def hidden(context: CheckContext) -> Finding:
        looked.append("hidden")
        return waits(context)

    ticks = []

    def here(context: CheckContext) -> Finding:
        ticks.append(context)
        return waits(context)

    play = scene(
        app_step(looks),
        waiting_step(here),
        make_step("word"),
        make_step("other", hidden),
        watch_seconds=0.01,
    )
    del play.walkthrough._panels["other"]
    play.run.perform("other")
    play.run.perform("wait")
    play.run.say([submitted("word")])
    looked.clear()
    play.walkthrough.start()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def spending(step: Step) -> Step:
    """Return the step with a check that uses something up."""
    return replace(step, checks=(replace(step.checks[0], spends="It uses up a link."),))


def test_what_spends_something_is_neither_watched_nor_checked_by_itself(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that uses something up runs by its own button only."""

    looked: list[str] = []

    def looks(context: CheckContext) -> Finding:
        looked.append("unasked")
        return waits(context)

    ticks = []

    def here(context: CheckContext) -> Finding:
        ticks.append(context)
        return waits(context)

    play = scene(
        make_step("first", verified),
        spending(make_step("spends", looks, requires=("first",))),
        waiting_step(here),
        watch_seconds=0.01,
    )
    for name in ("first", "spends", "wait"):
        play.run.perform(name)
    looked.clear()
    assert play.walkthrough._go_on(play.step("first")) == ""
    play.walkthrough.start()
    eventually(lambda: len(ticks) >= 5)

    assert looked == []


def test_a_busy_step_is_not_watched(scene: Make) -> None:
    """A step that is being checked is not checked a second time."""

    begun, released, calls = threading.Event(), threading.Event(), []

    def review(context: CheckContext) -> Finding:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            begun.set()
            released.wait(DEADLINE)
        return waits(context)

    play = scene(waiting_step(review), watch_seconds=0.0)
    play.run.perform("wait")
    play.walkthrough.perform(play.step("wait"), {})
    begun.wait(DEADLINE)
    views = len(play.header.views)
    play.walkthrough._watch()

    assert len(calls) == 2
    assert len(play.header.views) == views
    released.set()
    settled(play.screens["wait"])


# Consent


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


@pytest.fixture
def consent(scene: Make, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a walkthrough that has asked for consent, with a fake token endpoint."""
    steps = (consent_step(has_token), after_consent_step(has_token), make_step("other", verified))
    play = scene(*steps, secrets={"app_secret": APP_SECRET}, **KNOWN)
    run = play.run
    hosts = {each.name: each.hosts(run.values) for each in run.procedure.providers}
    session = open_session(remote, run.redactor, hosts=hosts)
    monkeypatch.setattr(play.run, "open_session", lambda: session)
    play.walkthrough.ask_consent(play.step("consent"))
    settled(play.screens["consent"])
    yield play
    session.transport.close()


def has_token(context: CheckContext) -> Finding:
    """Return whether a user's token is known, as a finding."""
    is_known = "user_access_token" in context.secrets
    return Finding(outcome=Outcome.VERIFIED if is_known else Outcome.NOT_RUN, reason="So.")


def dialog(play: Scene, name: str = "consent_url") -> dict[str, str]:
    """Return the parameters of the consent page's address."""
    query = urlsplit(play.screens["consent"].view[name]).query
    return {key: values[0] for key, values in parse_qs(query).items()}


def answer(play: Scene, url: str, finished: int = 2) -> dict[str, Any]:
    play.walkthrough.answer_consent(play.step("consent"), url)
    return settled(play.screens["consent"], finished)


def test_consent_needs_app_id_and_secret(scene: Make) -> None:
    """Without App ID and App Secret, the panel says that they are missing and shows no link."""

    play = scene(consent_step(), **KNOWN)
    play.walkthrough.ask_consent(play.step("consent"))
    view = settled(play.screens["consent"])

    assert view["message"] == "App ID and App Secret are not known yet."
    assert view["is_error"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")


def test_two_ways_back_are_offered(consent: Scene) -> None:
    """
    One link returns to a local listener, one to the Service Domain for pasting; each has its own
    state.
    """

    here, there = dialog(consent), dialog(consent, "consent_paste_url")

    assert here["redirect_uri"].startswith("http://localhost:")
    assert there["redirect_uri"] == "https://acme-h.cyclr.com/connector/callback"
    assert here["state"] != there["state"]
    for asked in (here, there):
        assert asked["client_id"] == APP_ID
        scope = asked["scope"].split(",")
        assert scope[:2] == ["public_profile", "leads_retrieval"]
        assert "pages_show_list" in scope
    assert APP_SECRET not in json.dumps(consent.screens["consent"].views)


@pytest.mark.parametrize("name", ["consent_url", "consent_paste_url"])
def test_a_code_is_redeemed_once_and_its_token_used(
    consent: Scene, remote: FakeRemote, name: str
) -> None:
    """
    Each way back gives one token request with the same redirect URI, then a check with the token.
    """

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent, name)
    url = f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}#_=_"

    view = answer(consent, url)

    assert view["outcome"] == "verified"
    assert view["message"] == "Checked: verified. Next, checked automatically: Do after."
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    assert fields(remote.requests[0]) == {
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "redirect_uri": asked["redirect_uri"],
        "code": "AQDcode0aB1cD2eF3gH4-1",
    }
    assert consent.run.settings.secrets["user_access_token"].reveal() == USER_TOKEN
    shown = json.dumps(consent.screens["consent"].views) + consent.written
    assert USER_TOKEN not in shown
    assert "AQDcode0aB1cD2eF3gH4-1" not in shown

    again = answer(consent, url, 3)
    assert again["is_error"]
    assert len(remote.requests) == 1
    assert consent.run.settings.secrets["user_access_token"].reveal() == USER_TOKEN


def test_the_browsers_own_redirect_is_enough(consent: Scene, remote: FakeRemote) -> None:
    """The listener receives the browser's redirect, so nothing has to be pasted."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    query = {"code": "AQDcode0aB1cD2eF3gH4-1", "state": asked["state"]}
    page = httpx.get(asked["redirect_uri"].replace("localhost", "127.0.0.1"), params=query)

    assert page.status_code == 200
    assert settled(consent.screens["consent"], 2)["outcome"] == "verified"


@pytest.mark.parametrize("state", ["the-same", "forged", ""])
def test_an_unexpected_redirect_changes_nothing(
    consent: Scene, remote: FakeRemote, state: str
) -> None:
    """A reloaded or foreign redirect does not change a verified step."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    uri = asked["redirect_uri"].replace("localhost", "127.0.0.1")
    httpx.get(uri, params={"code": "AQDcode0aB1cD2eF3gH4-1", "state": asked["state"]})
    settled(consent.screens["consent"], 2)
    again = asked["state"] if state == "the-same" else state
    page = httpx.get(uri, params={"code": "AQDcode0aB1cD2eF3gH4-1", "state": again})

    assert "Nothing was done" in page.text
    view = settled(consent.screens["consent"], 2)
    assert (view["finished"], view["is_error"], view["outcome"]) == (2, False, "verified")


def test_an_answer_to_another_request_is_refused(consent: Scene, remote: FakeRemote) -> None:
    """A code with an unknown state is not redeemed (RFC 6749 §10.12)."""

    view = answer(consent, "http://localhost:1/consent?code=AQDcode0aB1cD2eF3gH4-1&state=forged")

    assert "its state differs" in view["message"]
    assert view["advice"] == StateMismatchError.next_step
    assert remote.requests == []
    assert view["consent_url"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("error=access_denied&error_reason=user_denied", "pressed Cancel"),
        ("error=server_error&error_description=Broken", "Facebook refused: Broken."),
        ("error_code=1349187&error_message=Not+Logged+In", "Facebook refused: Not Logged In."),
        ("", "There is no code in this address"),
    ],
)
def test_a_refused_consent_is_reported(
    consent: Scene, remote: FakeRemote, query: str, said: str
) -> None:
    """A denied, failed or incomplete answer shows its reason; no request is sent."""

    asked = dialog(consent)
    view = answer(consent, f"{asked['redirect_uri']}?{query}&state={asked['state']}")

    assert said in view["message"]
    assert view["is_error"]
    assert remote.requests == []
    assert "user_access_token" not in consent.run.settings.secrets


@pytest.mark.parametrize(
    "response", [says(BAD_CODE, 400), breaks(), says("<html>"), says({"token_type": "bearer"})]
)
def test_a_code_that_is_not_redeemed_gives_no_token(
    consent: Scene, remote: FakeRemote, response: Any
) -> None:
    """If the code is not redeemed, an error is shown and the code is not sent again."""

    remote.on(TOKEN_PATH, response)
    asked = dialog(consent)
    view = answer(
        consent, f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}"
    )

    assert view["is_error"]
    assert view["message"]
    assert "AQDcode0aB1cD2eF3gH4-1" not in view["message"] + view["advice"]
    assert len(remote.requests) == 1
    assert "user_access_token" not in consent.run.settings.secrets


def test_steps_that_need_the_token_are_checked_at_once(consent: Scene, remote: FakeRemote) -> None:
    """Steps that require the consent are checked automatically; others are not."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    answer(consent, f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}")

    assert settled(consent.screens["after"])["outcome"] == "verified"
    assert consent.screens["other"].view["outcome"] == "not_run"


def test_a_refused_token_checks_no_other_step(
    scene: Make, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the check of the token fails, the steps that need it are not checked."""

    def lacks(_context: CheckContext) -> Finding:
        return Finding(outcome=Outcome.FAILED, reason="It lacks leads_retrieval.")

    steps = (consent_step(lacks), after_consent_step())
    play = scene(*steps, secrets={"app_secret": APP_SECRET}, **KNOWN)
    run = play.run
    hosts = {each.name: each.hosts(run.values) for each in run.procedure.providers}
    session = open_session(remote, run.redactor, hosts=hosts)
    monkeypatch.setattr(play.run, "open_session", lambda: session)
    play.walkthrough.ask_consent(play.step("consent"))
    settled(play.screens["consent"])
    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(play)
    view = answer(
        play, f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}"
    )
    session.transport.close()

    assert view["message"] == "Checked: failed. Fix the problem described above, then check again."
    assert [entry.step for entry in play.run.journal.entries() if entry.step] == ["consent"] * 2


def test_a_new_request_voids_the_earlier_one(consent: Scene, remote: FakeRemote) -> None:
    """A new request keeps the listener but changes the state; an earlier answer is refused."""

    old = dialog(consent)
    consent.walkthrough.ask_consent(consent.step("consent"))
    settled(consent.screens["consent"], 2)

    assert dialog(consent)["redirect_uri"] == old["redirect_uri"]
    view = answer(
        consent, f"{old['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={old['state']}", 3
    )
    assert "its state differs" in view["message"]
    assert remote.requests == []


def come_back(play: Scene, asked: Mapping[str, str], **fields: str) -> httpx.Response:
    """Return what the browser shows when it returns from the consent page."""
    uri = asked["redirect_uri"].replace("localhost", "127.0.0.1")
    return httpx.get(uri, params={"state": asked["state"], **fields})


CANCEL = {"error": "access_denied", "error_reason": "user_denied"}
GRANT = {"code": "AQDcode0aB1cD2eF3gH4-1"}


@pytest.mark.parametrize("name", ["consent_url", "consent_paste_url"])
def test_after_a_refusal_the_request_is_void(consent: Scene, remote: FakeRemote, name: str) -> None:
    """After Cancel, a code for the same request is not redeemed."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    here, other = dialog(consent), dialog(consent, name)
    come_back(consent, here, **CANCEL)
    view = settled(consent.screens["consent"], 2)
    assert "pressed Cancel" in view["message"]
    assert "Press Sign in with Facebook again" in view["advice"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")

    assert "Nothing was done" in come_back(consent, here, **GRANT).text
    view = answer(
        consent, f"{other['redirect_uri']}?state={other['state']}&code={GRANT['code']}", 3
    )

    assert "its state differs" in view["message"]
    assert remote.requests == []
    assert "user_access_token" not in consent.run.settings.secrets


@pytest.mark.parametrize("second", [GRANT, CANCEL, {"code": "AQDcode0aB1cD2eF3gH4-2"}, {}])
def test_a_second_redirect_does_not_change_a_success(
    consent: Scene, remote: FakeRemote, second: dict[str, str]
) -> None:
    """After a success, any further redirect leaves step and message unchanged."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    come_back(consent, asked, **GRANT)
    before = settled(consent.screens["consent"], 2)

    page = come_back(consent, asked, **second)

    assert "Nothing was done" in page.text
    after = settled(consent.screens["consent"], 2)
    assert (after["finished"], after["outcome"]) == (2, "verified")
    assert (after["message"], after["is_error"]) == (before["message"], False)
    assert len(remote.requests) == 1


def test_of_many_redirects_at_once_one_is_accepted(consent: Scene, remote: FakeRemote) -> None:
    """Of many redirects at once, one is redeemed, and the others do not change its result."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    with ThreadPoolExecutor(max_workers=8) as tabs:
        pages = list(tabs.map(lambda _: come_back(consent, asked, **GRANT).text, range(8)))

    assert sum("The answer has arrived" in page for page in pages) == 1
    view = settled(consent.screens["consent"], 2)
    assert (view["finished"], view["is_error"], view["outcome"]) == (2, False, "verified")
    assert len(remote.requests) == 1


def test_a_wrong_state_does_not_use_up_the_request(consent: Scene, remote: FakeRemote) -> None:
    """A redirect with a wrong state does not void the request: the real answer still counts."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN, "token_type": "bearer"}))
    asked = dialog(consent)
    for guess in ("", "forged", asked["state"][:-1], asked["state"].swapcase()):
        assert "Nothing was done" in come_back(consent, {**asked, "state": guess}, **GRANT).text
        assert "Nothing was done" in come_back(consent, {**asked, "state": guess}, **CANCEL).text
    bare = httpx.get(asked["redirect_uri"].replace("localhost", "127.0.0.1"))
    assert "Nothing was done" in bare.text
    assert consent.screens["consent"].view["finished"] == 1
    come_back(consent, asked, **GRANT)

    assert settled(consent.screens["consent"], 2)["outcome"] == "verified"


def test_without_an_answer_the_panel_says_so(consent: Scene, remote: FakeRemote) -> None:
    """After 15 minutes the listener closes, the links are removed, and a late answer is refused."""

    asked, pasted = dialog(consent), dialog(consent, "consent_paste_url")
    listener = consent.walkthrough._consent._listener
    assert listener is not None
    listener.keep_open(0.05)
    view = settled(consent.screens["consent"], 2)

    assert view["message"].startswith("No answer came within 15 minutes")
    assert "Press Sign in with Facebook again" in view["advice"]
    assert (view["consent_url"], view["consent_paste_url"], view["is_error"]) == ("", "", True)
    with pytest.raises(httpx.ConnectError):
        come_back(consent, asked, **GRANT)
    late = f"{pasted['redirect_uri']}?state={pasted['state']}&code={GRANT['code']}"
    assert "its state differs" in answer(consent, late, 3)["message"]

    consent.walkthrough.ask_consent(consent.step("consent"))
    assert settled(consent.screens["consent"], 4)["consent_url"]
    assert come_back(consent, dialog(consent), **CANCEL).status_code == 200


def test_the_listener_closes_after_the_answer(
    consent: Scene, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener closes soon after the answer, without a message."""

    monkeypatch.setattr(consenting, "_LINGER_SECONDS", 0.05)
    asked = dialog(consent)
    come_back(consent, asked, **CANCEL)
    settled(consent.screens["consent"], 2)

    def is_closed() -> bool:
        try:
            come_back(consent, asked, **CANCEL)
        except httpx.TransportError:
            return True
        return False

    eventually(is_closed)
    assert settled(consent.screens["consent"], 2)["finished"] == 2


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `localhost` also resolve to an address on which another program may listen."""
    resolve = socket.getaddrinfo

    def resolved(host: str, *given: Any, **named: Any) -> Any:
        found = resolve(host, *given, **named)
        there = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
        return [*found, there] if host == "localhost" else found

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.usefixtures("elsewhere")
def test_an_unsafe_localhost_offers_only_the_paste_link(scene: Make) -> None:
    """
    If localhost resolves to another address, that is shown and only the link for pasting is
    offered.
    """

    play = scene(consent_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    play.walkthrough.ask_consent(play.step("consent"))
    view = settled(play.screens["consent"])

    assert "localhost leads to 192.0.2.1" in view["message"]
    assert "Paste the address" in view["message"]
    assert view["consent_url"] == ""
    assert dialog(play, "consent_paste_url")["redirect_uri"].startswith("https://acme-h.cyclr.com")


@pytest.mark.usefixtures("elsewhere")
def test_an_unsafe_localhost_without_a_service_domain_is_an_error(scene: Make) -> None:
    """If pasting is not possible either, it is an error and no link is offered."""

    play = scene(consent_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_ID)
    play.walkthrough.ask_consent(play.step("consent"))
    view = settled(play.screens["consent"])

    assert "localhost leads to 192.0.2.1" in view["message"]
    assert view["is_error"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")


def test_a_link_that_is_no_longer_safe_is_removed(
    scene: Make, request: pytest.FixtureRequest
) -> None:
    """If localhost has become unsafe, a new request removes the old link and refuses its answer."""

    play = scene(consent_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_ID)
    play.walkthrough.ask_consent(play.step("consent"))
    assert settled(play.screens["consent"])["consent_url"]
    asked = dialog(play)
    request.getfixturevalue("elsewhere")
    play.walkthrough.ask_consent(play.step("consent"))
    view = settled(play.screens["consent"], 2)

    assert "localhost leads to 192.0.2.1" in view["message"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    with pytest.raises(httpx.ConnectError):
        come_back(play, asked, **GRANT)
    late = f"{asked['redirect_uri']}?state={asked['state']}&code={GRANT['code']}"
    assert "its state differs" in answer(play, late, 3)["message"]


def test_a_double_click_opens_one_listener(scene: Make) -> None:
    """Several requests at once open one listener, and the answer to the latest link counts."""

    before = threading.active_count()
    play = scene(consent_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    for _ in range(4):
        play.walkthrough.ask_consent(play.step("consent"))
    eventually(lambda: play.screens["consent"].view["busy"] == 0)
    asked = dialog(play)
    assert come_back(play, asked, **CANCEL).text.count("has arrived")
    play.walkthrough.stop()

    eventually(lambda: threading.active_count() <= before)


# Sealing


def test_a_comment_and_a_colleague_are_recorded(scene: Make) -> None:
    """A comment and who does the step by when are recorded; the outcome stays."""

    play = scene(make_step("a"))
    step = play.step("a")
    play.walkthrough.add_note(step, NoteKind.COMMENTED, {"by": "A", "note": "Ask them."})
    settled(play.screens["a"])
    words = {"by": "A", "to": "A colleague", "due": "2026-12-01"}
    play.walkthrough.add_note(step, NoteKind.ASSIGNED, words)
    view = settled(play.screens["a"], 2)

    assert (view["message"], view["outcome"], view["written"]) == ("Recorded.", "not_run", 2)
    assert view["assigned"] == "for A colleague by 2026-12-01"
    said = [each["what"] for each in view["history"]]
    assert any("A colleague" in each for each in said)
    assert any("Ask them." in each for each in said)


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        (NoteKind.COMMENTED, {"by": "A", "note": "  "}, "Write the comment."),
        (NoteKind.COMMENTED, {"by": " ", "note": "n"}, "Enter your name"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "tomorrow"}, "due takes a day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "2020-01-01"}, "is before the day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B\u202e"}, "Who does it"),
    ],
)
def test_a_note_that_cannot_be_kept_says_why(
    scene: Make, kind: NoteKind, words: dict[str, str], said: str
) -> None:
    """A note without its text, a name or a possible day is refused; nothing is written."""

    play = scene(make_step("a"))
    play.walkthrough.add_note(play.step("a"), kind, words)
    view = settled(play.screens["a"])

    assert view["is_error"]
    assert said in view["message"]
    assert play.types == []


def test_a_view_is_of_one_moment(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view never says that a check has ended without what it found."""

    play = scene(make_step("a"))
    now = Run.state.fget  # type: ignore[attr-defined]

    def state(run: Run) -> Any:
        found = now(run)
        play.walkthrough._activities.end("a", "Checked.", "", is_error=False)
        return found

    monkeypatch.setattr(Run, "state", property(state))
    play.walkthrough.draw("a")
    assert play.screens["a"].view["finished"] == 0


def round_done(play: Scene) -> dict[str, Any]:
    """Return the header's view once *Check everything now* is over."""
    return eventually(
        lambda: play.header.view if "Checked" in play.header.view["message"] else None
    )


def test_everything_is_checked_but_what_spends_or_lacks_a_value(scene: Make) -> None:
    """
    Every check that only reads runs once, in order; nothing is sealed or spent.

    What was left out is named, with what it would do, or what it lacks.
    """

    play = scene(
        make_step("a", verified),
        make_step("b"),
        waiting_step(),
        spending(make_step("spends", verified)),
        make_step("c", verified, needs=("app_secret",)),
    )
    play.walkthrough.check_all()
    view = round_done(play)

    assert view["message"].splitlines() == [
        "Checked 2 steps.",
        "Now verified: 1.",
        "Now waiting: 3.",
        "Not checked: 4. It uses up a link. Press Check there.",
        "Not checked: 5; App Secret is not given.",
    ]
    assert [entry.step for entry in play.run.journal.entries() if entry.type == "step.checked"] == [
        "a",
        "wait",
    ]
    assert any("Checking 2 of 2: Do wait" in each["message"] for each in play.header.views)
    assert play.finish.view["bundle"] == ""

    play.walkthrough.check_all()
    eventually(lambda: "Nothing has changed." in play.header.view["message"])


def test_a_round_that_breaks_off_leaves_the_button_usable(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal cannot be written, the header says so, and the button works again."""

    play = scene(make_step("a", verified))

    def refuse(*_: Any) -> None:
        raise JournalError("The journal cannot be written.")

    monkeypatch.setattr(module, "check_everything", refuse)
    play.walkthrough.check_all()
    view = eventually(lambda: play.header.view if play.header.view["is_error"] else None)
    assert "The journal cannot be written." in view["message"]
    assert view["busy_since"] == 0


def test_what_lacked_a_value_is_checked_when_the_value_arrives(scene: Make) -> None:
    """
    A check that was tried in vain shows the field that it lacks, and runs once that is given.

    A step that nobody tried, and one that spends something, do not run by themselves.
    """

    later = make_step("later", verified, needs=("app_id",))
    spends = spending(replace(later, id="spends"))
    untried = replace(later, id="untried")
    play = scene(app_step(), later, spends, untried)
    for name in ("later", "spends"):
        play.walkthrough.perform(play.step(name), {})
        settled(play.screens[name])
    shown = [each["name"] for each in play.screens["later"].view["inputs"]]
    assert shown == ["app_id"]
    assert play.screens["untried"].view["inputs"] == []

    play.walkthrough.perform(play.step("app"), {"app_id": "123456789012345"})
    eventually(lambda: play.screens["later"].view["outcome"] == "verified")
    settled(play.screens["app"])
    assert play.screens["later"].view["inputs"] == []
    assert play.screens["spends"].view["outcome"] == "not_run"
    assert play.screens["untried"].view["outcome"] == "not_run"


def test_a_field_says_beforehand_what_saving_it_undoes(scene: Make) -> None:
    """
    While a value is typed, the field names the steps that must be done again once it is saved.

    The first value, the same value, an invalid one, and one that no step is about undo nothing.
    """

    about = make_step("about", subject=("app_id", "app_secret"))
    play = scene(app_step(), about, make_step("other"), secrets={"app_secret": APP_SECRET})
    assert play.walkthrough.problem("app_id", "123456789012345") == ("", "")
    play.run.give("app_id", "123456789012345")
    play.run.say([attested("about"), attested("other")])

    said = "Once this is saved, these must be done again: 2."
    assert play.walkthrough.problem("app_id", "543210987654321") == ("", said)
    assert play.walkthrough.problem("app_secret", OTHER_SECRET) == ("", said)
    assert play.walkthrough.problem("app_id", "123456789012345") == ("", "")
    assert play.walkthrough.problem("app_secret", APP_SECRET) == ("", "")
    assert play.walkthrough.problem("app_id", "x")[1] == ""
    assert play.walkthrough.problem("permissions", "ads_read") == ("", "")
    assert play.screens["about"].view["outcome"] == "not_run"  # drawn before; nothing was saved


def test_an_emptied_field_is_an_emptied_value(scene: Make) -> None:
    """An emptied field takes the value away; an empty credential changes nothing."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    play.walkthrough.perform(play.step("app"), {"app_id": "123456789012345"})
    settled(play.screens["app"])
    emptied = {"app_id": "", "app_secret": "", "permissions": ""}
    play.walkthrough.perform(play.step("app"), emptied)
    settled(play.screens["app"], 2)

    assert play.run.values["app_id"] == ""
    assert play.run.values["permissions"] == PERMISSIONS.default
    assert "app_secret" in play.run.settings.secrets


def test_sealing_asks_once_where_something_is_open(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Before it seals, what is open, missing or has changed is said; nothing is sealed yet.

    Confirmed, it seals, and says which steps the sealed run found otherwise.
    """

    sealed: list[Run] = []

    def sealing(run: Run, **_: Any) -> Finished:
        sealed.append(run)
        run.say([attested("hand")])
        return Finished("incomplete", Path("/evidence/acme/20261124-0a1b2c3d"))

    monkeypatch.setattr(module, "seal_evidence", sealing)
    play = scene(
        make_step("a", waits),
        make_step("hand"),
        make_step("secret", verified, needs=("app_secret",)),
    )
    play.walkthrough.seal()
    view = eventually(lambda: play.finish.view if play.finish.view["doubts"] else None)
    assert view["doubts"] == [
        "1 · Do a is now waiting: Not live yet.",
        "App Secret is missing. Enter it in step 3, or these stay unchecked: 3.",
        "Open steps: 1, 2, 3.",
    ]
    assert sealed == []

    play.walkthrough.seal(is_confirmed=True)
    view = eventually(lambda: play.finish.view if play.finish.view["bundle"] else None)
    first, second = view["message"].splitlines()
    assert first == "The run is incomplete. Open steps: 1, 3."
    assert second.startswith("2 · Do hand: attested when sealed, to do before.")
    assert view["doubts"] == []
    assert play.header.view["sealed"].endswith("incomplete.")


def test_a_complete_run_is_sealed_without_a_question(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every step is done and nothing changed, sealing asks nothing."""

    done = Finished("complete", Path("/evidence/acme/20261124-0a1b2c3d"))
    monkeypatch.setattr(module, "seal_evidence", lambda _run, **_: done)
    play = scene(make_step("a"))
    play.run.say([attested("a")])
    play.walkthrough.seal()

    view = eventually(lambda: play.finish.view if play.finish.view["bundle"] else None)
    assert view["message"] == "The run is complete."


def test_a_sealed_bundle_is_handed_to_the_browser(scene: Make, tmp_path: Path) -> None:
    """The report, or all files of the bundle as a zip file; nothing where nothing is sealed."""

    play = scene(make_step("a"))
    assert play.walkthrough.files_of_bundle("b.zip") == b""

    bundle = tmp_path / "20261124-0a1b2c3d"
    (bundle / "attachments").mkdir(parents=True)
    (bundle / "report.html").write_text("<p>")
    (bundle / "attachments" / "a.png").write_bytes(b"p")
    play.walkthrough._bundle = str(bundle)
    assert play.walkthrough.files_of_bundle("report.html") == b"<p>"
    with zipfile.ZipFile(io.BytesIO(play.walkthrough.files_of_bundle("b.zip"))) as packed:
        assert packed.read("20261124-0a1b2c3d/report.html") == b"<p>"
        assert packed.read("20261124-0a1b2c3d/attachments/a.png") == b"p"


def test_sealing_shows_its_bundle(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The panel is busy during the headless run, then shows its outcome and bundle."""

    released = threading.Event()

    def sealing(run: Run, **_: Any) -> Finished:
        released.wait(DEADLINE)
        return Finished("complete", Path("/evidence/acme/20261124-0a1b2c3d"))

    monkeypatch.setattr(module, "seal_evidence", sealing)
    play = scene(make_step("a"))
    play.walkthrough.seal(is_confirmed=True)
    assert play.finish.view["busy_since"] > 0
    released.set()

    view = eventually(lambda: None if play.finish.view["busy_since"] else play.finish.view)
    assert view["message"].startswith("The run is complete.")
    assert not view["is_error"]
    eventually(lambda: "complete" in play.header.view["sealed"])
    assert view["bundle"] == "/evidence/acme/20261124-0a1b2c3d"
    assert view["bundle_name"] == "20261124-0a1b2c3d"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SealingError("A key is missing.", next_step="Find it."), "A key is missing. Find it."),
        (
            ValueError(APP_SECRET),
            "The runbook itself broke (ValueError). Report it as a defect.",
        ),
    ],
)
def test_a_run_that_was_not_sealed_says_why(
    scene: Make, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """If sealing fails, message and next step are shown, and the button works again."""

    def refuse(run: Run, **_: Any) -> Finished:
        raise error

    monkeypatch.setattr(module, "seal_evidence", refuse)
    play = scene(make_step("a"))
    play.walkthrough.seal(is_confirmed=True)

    view = eventually(lambda: None if play.finish.view["busy_since"] else play.finish.view)
    assert (f"{view['message']} {view['advice']}", view["is_error"]) == (said, True)
    assert view["bundle"] == ""


def test_a_double_click_seals_once(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second click during sealing has no effect; afterwards the button works again."""

    released, begun = threading.Event(), []

    def sealing(run: Run, **_: Any) -> Finished:
        begun.append(run.run_id)
        released.wait(DEADLINE)
        return Finished("complete", Path("/evidence/acme/20261124-0a1b2c3d"))

    monkeypatch.setattr(module, "seal_evidence", sealing)
    play = scene(make_step("a"))
    for _ in range(3):
        play.walkthrough.seal(is_confirmed=True)
    released.set()
    eventually(lambda: not play.finish.view["busy_since"])
    assert len(begun) == 1

    play.walkthrough.seal(is_confirmed=True)
    eventually(lambda: len(begun) == 2)


def test_a_panel_says_what_the_sealing_run_waits_for(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the headless run waits for another one, the panel is busy and shows the reason."""

    released = threading.Event()

    def sealing(run: Run, *, on_wait: Any) -> Finished:
        on_wait("Waiting for process 7.")
        released.wait(DEADLINE)
        return Finished("complete", Path("/evidence/acme/20261124-0a1b2c3d"))

    monkeypatch.setattr(module, "seal_evidence", sealing)
    play = scene(make_step("a"))
    play.walkthrough.seal(is_confirmed=True)

    eventually(lambda: play.finish.view["message"] == "Waiting for process 7.")
    assert play.finish.view["busy_since"]
    released.set()


def test_stopping_waits_for_running_actions(scene: Make) -> None:
    """`stop` waits for running actions and leaves no thread."""

    before = set(threading.enumerate())
    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    play.walkthrough.start()
    play.walkthrough.ask_consent(play.step("app"))
    play.walkthrough.perform(play.step("app"), {})

    play.walkthrough.stop()

    assert play.screens["app"].view["busy_since"] == 0
    eventually(lambda: set(threading.enumerate()) <= before)


def damage(play: Scene) -> None:
    """Append a line that is not a journal line."""
    with play.run.journal.path.open("ab") as file:
        file.write(b"garbage\n")


def test_an_outage_does_not_end_the_watching(scene: Make) -> None:
    """A failed look, as without a network, is not recorded and does not stop the watching."""

    mode, looks = ["waits"], []

    def review(context: CheckContext) -> Finding:
        looks.append(mode[0])
        if mode[0] == "offline":
            msg = "no route"
            raise UnreachableError(msg)
        return (verified if mode[0] == "live" else waits)(context)

    play = scene(waiting_step(review), watch_seconds=0.01)
    play.run.perform("wait")
    play.walkthrough.start()
    mode[0] = "offline"
    eventually(lambda: looks.count("offline") >= 2)
    assert play.types.count("step.checked") == 1
    mode[0] = "live"

    eventually(lambda: play.screens["wait"].view["outcome"] == "verified")


def test_what_is_typed_wins_over_the_settings_file(scene: Make) -> None:
    """A typed value takes precedence over one from the settings."""

    seen: list[str] = []

    def looks(context: CheckContext) -> Finding:
        seen.append(context.text("app_id"))
        return verified(context)

    play = scene(app_step(looks), app_id="1111111111111111")
    play.walkthrough.perform(play.step("app"), {"app_id": APP_ID})
    settled(play.screens["app"])

    assert seen == [APP_ID]


def test_a_damaged_journal_leaves_no_panel_busy(scene: Make) -> None:
    """If the journal is damaged during an action, the error is shown and the panel is idle."""

    def damages(context: CheckContext) -> Finding:
        damage(play)
        return verified(context)

    play = scene(app_step(damages))
    play.walkthrough.perform(play.step("app"), {})

    assert settled(play.screens["app"])["is_error"]


def test_a_damaged_journal_is_shown_without_an_action(scene: Make) -> None:
    """A damaged journal is shown in panels without an action by the person."""

    play = scene(app_step())
    play.run.perform("app")
    play.walkthrough.start()
    eventually(lambda: play.screens["app"].view["outcome"] == "verified")
    damage(play)

    eventually(lambda: play.screens["app"].view["is_error"])


def test_the_follower_survives_an_unreadable_settings_file(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file that is unreadable for a moment does not stop the following."""

    broken = [True]

    def holds(_store: EnvFileStore, _item: Input) -> bool:
        if broken[0] and threading.current_thread().name == "runbook-follow":
            broken[0] = False
            raise PermissionError(13, "Permission denied")
        return False

    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    monkeypatch.setattr(EnvFileStore, "holds", holds)
    play.walkthrough.start()
    eventually(lambda: not broken[0])
    play.run.perform("app")

    eventually(lambda: play.screens["app"].view["outcome"] == "verified")


def test_a_link_that_is_answered_is_no_longer_shown(consent: Scene, remote: FakeRemote) -> None:
    """After a failed redemption, the links are removed, since their state is void."""

    remote.on(TOKEN_PATH, says(BAD_CODE, 400))
    asked = dialog(consent)
    answer(consent, f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}")
    view = consent.screens["consent"].view

    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    assert "Sign in with Facebook again" in view["advice"]


def test_a_code_is_redeemed_once_though_two_redirects_bring_it(
    consent: Scene, remote: FakeRemote
) -> None:
    """A redirect that arrives twice, as by a reload, redeems the code once."""

    remote.on(TOKEN_PATH, says({"access_token": USER_TOKEN}))
    asked = dialog(consent)
    url = f"{asked['redirect_uri']}?code=AQDcode0aB1cD2eF3gH4-1&state={asked['state']}"
    for _ in range(2):
        consent.walkthrough.answer_consent(consent.step("consent"), url)
    settled(consent.screens["consent"])
    eventually(lambda: consent.screens["consent"].view["busy"] == 0)

    assert len(remote.requests) == 1


def test_without_a_service_domain_there_is_no_link_to_it(scene: Make) -> None:
    """Without a Service Domain, the link for pasting is not offered."""

    play = scene(consent_step(verified), secrets={"app_secret": APP_SECRET}, app_id=APP_ID)
    play.walkthrough.ask_consent(play.step("consent"))

    assert settled(play.screens["consent"])["consent_paste_url"] == ""


def test_a_panel_is_busy_until_its_last_action_ended(scene: Make) -> None:
    """A panel is busy while any of its actions is running."""

    released = threading.Event()

    def slow(context: CheckContext) -> Finding:
        released.wait(DEADLINE)
        return verified(context)

    play = scene(app_step(slow))
    play.walkthrough.perform(play.step("app"), {})
    play.walkthrough.say(play.step("app"), LEFT_OUT, {"by": "Operator", "note": "x"}, [])
    eventually(lambda: play.screens["app"].view["finished"] == 1)
    is_busy = play.screens["app"].view["busy_since"]
    released.set()

    assert is_busy


def test_a_credential_that_stands_in_another_setting_is_masked(scene: Make) -> None:
    """An App Secret that was entered as App ID is masked."""

    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_SECRET)

    assert APP_SECRET not in json.dumps(play.screens["app"].view)


def test_a_new_panel_shows_a_damaged_journal(scene: Make) -> None:
    """Panels that are first shown while the journal is damaged show the error and its next step."""

    play = scene(app_step())
    play.run.perform("app")
    play.walkthrough.draw()
    damage(play)
    fresh = (Screen(), Screen(), Screen())
    play.walkthrough.add_panel("app", fresh[0])
    play.walkthrough.add_header(fresh[1])
    play.walkthrough.add_finish(fresh[2])

    for screen in fresh:
        assert "is not a journal line" in screen.view["message"]
        assert "`runbook journal`" in screen.view["advice"]
        assert screen.view["is_error"]
    assert fresh[1].view["settled"] == 1


def test_a_panel_without_a_view_says_why(scene: Make) -> None:
    """If a step has no view yet, its panel shows only the error and its next step."""

    play = scene(app_step())
    play.run.perform("app")
    damage(play)
    late = Screen()
    play.walkthrough._views.clear()
    play.walkthrough.add_panel("app", late)

    assert "id" not in late.view
    assert "is not a journal line" in late.view["message"]


ANSWER = b'{"app_id": "999", "is_live": false}'


def test_an_answer_of_the_developer_tools_is_kept_unread(scene: Make) -> None:
    """A step says which answer may be attached; whatever that says, the person's word counts."""

    asked = "devtools_app basic_settings"
    play = scene(replace(make_step("a"), developer_tools=asked), app_id=APP_ID)
    (form,) = [form for form in play.screens["a"].view["forms"] if form["name"] == "attest"]
    file = {"name": "answer.json", "media_type": "application/json", "content": ANSWER}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])
    view = settled(play.screens["a"])

    assert asked in form["files_help"]
    assert view["outcome"] == "attested"
    ((word, _),) = play.run.history.words("a")
    (attachment,) = word.attachments
    kept = play.run.journal.path.parent / "attachments" / f"{attachment.sha256}.json"
    assert (attachment.name, kept.read_bytes()) == ("answer.json", ANSWER)
