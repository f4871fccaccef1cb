"""Credentials that a person saves, removes or hands over, in `.env` or the keyring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.settings import read_env_file
from runbook_lib.connectors.facebook import inputs
from runbook_lib.errors import SettingsError
from tests.support.memory_keyring import MemoryKeyring, keyring_in_memory
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_ID, APP_SECRET, USER_TOKEN
from tests.unit.walkthrough.conftest import KNOWN, OTHER_SECRET, MakeHarness, WalkthroughHarness
from tests.unit.walkthrough.sample_run import (
    HAND_STEP,
    app_step,
    eventually,
    make_run,
    settled,
    stopped,
)


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    with keyring_in_memory() as backend:
        yield backend


def saved_in(view: dict[str, Any]) -> str:
    return next(str(each["saved_in"]) for each in view["inputs"] if each["name"] == "app_secret")


def move_credential(
    harness: WalkthroughHarness,
    store: str,
    typed: dict[str, str] | None = None,
    finished: int = 1,
) -> dict[str, Any]:
    """Save the App Secret to `store`, or forget it, as its panel does; return the panel's view."""
    walkthrough = harness.walkthrough
    step = harness.step("app")
    if store == "forget":
        walkthrough.forget_credential(step, "app_secret")
    else:
        walkthrough.save_credential(step, "app_secret", store, typed or {})
    return settled(harness.panels["app"], finished)


@pytest.mark.parametrize("word", ["outcome", "verified", "app_id", "refused", "message"])
def test_a_credential_that_is_a_common_word_does_not_damage_a_view(
    make_harness: MakeHarness, word: str
) -> None:
    """Whatever the secret is, masking leaves a view's names, its step's id and its outcome."""
    plain = set(make_harness(app_step(), secrets={"app_secret": APP_SECRET}).panels["app"].view)
    harness = make_harness(app_step(), secrets={"app_secret": word})
    view = harness.perform("app", {"app_id": APP_ID})

    assert set(view) == plain
    assert (view["id"], view["outcome"]) == ("app", "verified")
    assert view["inputs"][0]["name"] == "app_id"


def test_a_credential_is_saved_to_env(make_harness: MakeHarness, memory: MemoryKeyring) -> None:
    """`.env` gets mode 0600, and the panel names it; journal and views lack the credential."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})
    view = move_credential(harness, ".env")

    assert view["message"] == wording(
        "walkthrough.credential-saved", label="App Secret", place=".env"
    )
    assert saved_in(view) == ".env"
    path = harness.run.env_file
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_env_file(path) == {"RUNBOOK_P_APP_SECRET": APP_SECRET}
    assert APP_SECRET not in harness.written + json.dumps(harness.panels["app"].views)
    assert memory.stored == {}


def test_a_credential_is_saved_to_the_keyring(
    make_harness: MakeHarness, memory: MemoryKeyring
) -> None:
    """The journal has a reference to the credential, and no file contains it."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})
    assert saved_in(move_credential(harness, "keyring")) == "keyring"
    assert list(memory.stored.values()) == [APP_SECRET]
    assert not harness.run.env_file.exists()
    assert harness.run.history.credentials["app_secret"].startswith("keyring:")
    assert APP_SECRET not in harness.written


def test_the_newest_credential_is_saved(make_harness: MakeHarness, memory: MemoryKeyring) -> None:
    """A typed credential replaces the known one and is the one that is saved."""
    harness = make_harness(app_step(), secrets={"app_secret": OTHER_SECRET})
    view = move_credential(harness, "keyring", {"app_secret": APP_SECRET})

    assert view["message"] == wording(
        "walkthrough.credential-saved", place="the keyring", label="App Secret"
    )
    assert list(memory.stored.values()) == [APP_SECRET]
    assert harness.run.settings.secrets["app_secret"].reveal() == APP_SECRET


def test_an_invalid_credential_is_not_saved(
    make_harness: MakeHarness, memory: MemoryKeyring
) -> None:
    """If the typed credential is invalid, neither it nor the known one is saved."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})
    view = move_credential(harness, "keyring", {"app_secret": "half"})

    too_short = wording("setting-invalid.app-secret-length", length=32)
    assert view["message"].startswith(f"App Secret: {too_short}")
    assert memory.stored == {}


@pytest.mark.parametrize("where", ["keyring", ".env"])
def test_a_credential_saved_by_another_kernel_is_known(
    make_harness: MakeHarness, memory: MemoryKeyring, tmp_path: Path, where: str
) -> None:
    """Another kernel's saved, replaced and removed credential is followed; one typed here stays."""
    harness = make_harness(app_step(), HAND_STEP)
    harness.open_cards("hand")
    harness.run.set_secret(inputs.USER_ACCESS_TOKEN, USER_TOKEN)
    harness.walkthrough.start()
    assert (
        wording("walkthrough.enter-it-there")
        in harness.panels["hand"].view["copied_secret"]["unknown"]
    )
    other = WalkthroughHarness(make_run(tmp_path, app_step(), HAND_STEP))
    known = harness.run.settings
    with stopped(other.walkthrough):
        for number, secret in enumerate((OTHER_SECRET, APP_SECRET), 1):
            move_credential(other, where, {"app_secret": secret}, number)
            eventually(
                lambda secret=secret: harness.walkthrough.secret_to_copy(HAND_STEP) == secret
            )
        eventually(lambda: harness.panels["hand"].view["copied_secret"]["unknown"] == "")
        move_credential(other, "forget", finished=3)
        eventually(lambda: harness.walkthrough.secret_to_copy(HAND_STEP) == "")

    assert harness.run.settings.secrets == known.secrets
    assert APP_SECRET not in json.dumps([screen.views for screen in harness.panels.values()])


def test_a_temporarily_invalid_settings_file_removes_nothing(make_harness: MakeHarness) -> None:
    """An invalid `.env` leaves the known credentials; once it is valid again it is read."""
    harness = make_harness(app_step())

    def save(text: str) -> None:
        saved = harness.run.env_file.with_name("saved")
        saved.write_text(text, encoding="utf-8")
        saved.replace(harness.run.env_file)

    def known() -> str:
        assert harness.walkthrough._credentials.follow()
        return harness.run.settings.secrets["app_secret"].reveal()

    save(f"RUNBOOK_FACEBOOK_APP_SECRET={APP_SECRET}\n")
    assert known() == APP_SECRET
    save("what is this\n")
    assert known() == APP_SECRET
    save(f"RUNBOOK_FACEBOOK_APP_SECRET={OTHER_SECRET}\n")
    assert known() == OTHER_SECRET


def test_a_credential_is_removed_everywhere(
    make_harness: MakeHarness, memory: MemoryKeyring
) -> None:
    """`forget` removes a credential from the session, the keyring and `.env`."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})
    for number, where in enumerate(("keyring", ".env", "forget"), 1):
        view = move_credential(harness, where, finished=number)

    assert view["message"] == wording("walkthrough.credential-removed", label="App Secret")
    assert saved_in(view) == ""
    assert memory.stored == {}
    assert APP_SECRET not in harness.run.env_file.read_text(encoding="utf-8")
    assert harness.run.history.credentials == {}
    assert "app_secret" not in harness.run.settings.secrets


@pytest.mark.parametrize("name", ["app_id", "user_access_token", "nonsense"])
def test_only_a_credential_of_the_step_is_saved(make_harness: MakeHarness, name: str) -> None:
    """A value or another step's credential is not saved as credential."""
    harness = make_harness(app_step(), secrets={"user_access_token": USER_TOKEN}, **KNOWN)

    with refused(SettingsError, "no-such-credential", name=name):
        harness.walkthrough.save_credential(harness.step("app"), name, ".env", {})

    assert not harness.run.env_file.exists()


def test_an_unknown_place_saves_nothing(make_harness: MakeHarness) -> None:
    """A credential is saved to the keyring or to `.env`, and nowhere else."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET})

    assert move_credential(harness, "/tmp/elsewhere")["is_error"]
    assert harness.types == []


def test_a_credential_is_copied_secret_by_its_step_alone(make_harness: MakeHarness) -> None:
    """Only the step that hands over a known credential returns it, and no view contains it."""
    harness = make_harness(HAND_STEP, app_step(), secrets={"app_secret": APP_SECRET})

    assert harness.walkthrough.secret_to_copy(HAND_STEP) == APP_SECRET
    assert harness.walkthrough.secret_to_copy(harness.step("app")) == ""
    assert APP_SECRET not in json.dumps([screen.views for screen in harness.panels.values()])
    assert make_harness(HAND_STEP).walkthrough.secret_to_copy(HAND_STEP) == ""


def test_a_credential_that_stands_in_another_setting_is_masked(make_harness: MakeHarness) -> None:
    """An App Secret that was entered as App ID is masked."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_SECRET)

    assert APP_SECRET not in json.dumps(harness.panels["app"].view)
