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
from tests.unit.bodies import APP_ID, APP_SECRET, USER_TOKEN
from tests.unit.walkthrough.conftest import KNOWN, OTHER_SECRET, Make, PanelContext
from tests.unit.walkthrough.stage import HAND_STEP, app_step, eventually, make_run, settled, stopped


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    with keyring_in_memory() as backend:
        yield backend


def rests(view: dict[str, Any]) -> str:
    return next(str(each["rests"]) for each in view["inputs"] if each["name"] == "app_secret")


def keep(
    play: PanelContext, where: str, typed: dict[str, str] | None = None, finished: int = 1
) -> dict[str, Any]:
    """Keep the App Secret there, as its panel does; return what that shows then."""
    play.walkthrough.keep(play.step("app"), "app_secret", where, typed or {})
    return settled(play.screens["app"], finished)


@pytest.mark.parametrize("word", ["outcome", "verified", "app_id", "refused", "message"])
def test_a_credential_that_is_a_common_word_does_not_damage_a_view(scene: Make, word: str) -> None:
    """Whatever the secret is, masking leaves a view's names, its step's id and its outcome."""
    plain = set(scene(app_step(), secrets={"app_secret": APP_SECRET}).screens["app"].view)
    play = scene(app_step(), secrets={"app_secret": word})
    view = play.perform("app", {"app_id": APP_ID})

    assert set(view) == plain
    assert (view["id"], view["outcome"]) == ("app", "verified")
    assert view["inputs"][0]["name"] == "app_id"


def test_a_credential_is_saved_to_env(scene: Make, memory: MemoryKeyring) -> None:
    """`.env` gets mode 0600, and the panel names it; journal and views lack the credential."""
    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    view = keep(play, ".env")

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
    assert rests(keep(play, "keyring")) == "keyring"
    assert list(memory.stored.values()) == [APP_SECRET]
    assert not play.run.env_file.exists()
    assert play.run.history.index.credentials["app_secret"].startswith("keyring:")
    assert APP_SECRET not in play.written


def test_the_newest_credential_is_saved(scene: Make, memory: MemoryKeyring) -> None:
    """A typed credential replaces the known one and is the one that is saved."""
    play = scene(app_step(), secrets={"app_secret": OTHER_SECRET})
    view = keep(play, "keyring", {"app_secret": APP_SECRET})

    assert view["message"] == "App Secret saved to the keyring."
    assert list(memory.stored.values()) == [APP_SECRET]
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET


def test_an_invalid_credential_is_not_saved(scene: Make, memory: MemoryKeyring) -> None:
    """If the typed credential is invalid, neither it nor the known one is saved."""
    play = scene(app_step(), secrets={"app_secret": APP_SECRET})
    view = keep(play, "keyring", {"app_secret": "half"})

    assert view["message"].startswith("App Secret: an App Secret has 32 characters")
    assert memory.stored == {}


@pytest.mark.parametrize("where", ["keyring", ".env"])
def test_a_credential_saved_by_another_kernel_is_known(
    scene: Make, memory: MemoryKeyring, tmp_path: Path, where: str
) -> None:
    """Another kernel's saved, replaced and removed credential is followed; one typed here stays."""
    play = scene(app_step(), HAND_STEP)
    play.open_cards("hand")
    play.run.set_secret(inputs.USER_ACCESS_TOKEN, USER_TOKEN)
    play.walkthrough.start()
    assert "Not known yet. Enter it" in play.screens["hand"].view["hand_over"]["unknown"]
    other = PanelContext(make_run(tmp_path, app_step(), HAND_STEP))
    known = play.run.settings
    with stopped(other.walkthrough):
        for number, secret in enumerate((OTHER_SECRET, APP_SECRET), 1):
            keep(other, where, {"app_secret": secret}, number)
            eventually(lambda secret=secret: play.walkthrough.hand_over(HAND_STEP) == secret)
        eventually(lambda: play.screens["hand"].view["hand_over"]["unknown"] == "")
        keep(other, "forget", finished=3)
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
        view = keep(play, where, finished=number)

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

    assert keep(play, "/tmp/elsewhere")["is_error"]
    assert play.types == []


def test_a_credential_is_handed_over_by_its_step_alone(scene: Make) -> None:
    """Only the step that hands over a known credential returns it, and no view contains it."""
    play = scene(HAND_STEP, app_step(), secrets={"app_secret": APP_SECRET})

    assert play.walkthrough.hand_over(HAND_STEP) == APP_SECRET
    assert play.walkthrough.hand_over(play.step("app")) == ""
    assert APP_SECRET not in json.dumps([screen.views for screen in play.screens.values()])
    assert scene(HAND_STEP).walkthrough.hand_over(HAND_STEP) == ""


def test_a_credential_that_stands_in_another_setting_is_masked(scene: Make) -> None:
    """An App Secret that was entered as App ID is masked."""
    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_SECRET)

    assert APP_SECRET not in json.dumps(play.screens["app"].view)
