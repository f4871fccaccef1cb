"""Links by which a second person confirms one step, once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.confirm_links import (
    LINK_DAYS,
    ConfirmLink,
    confirm_by_link,
    make_link,
    open_link,
)
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError
from tests.support.attestations import attested
from tests.support.wording import refused, wording

STEP = "fb-03-my-apps"


@pytest.fixture
def run(folder: Path) -> Run:
    """Return a run in which one person confirmed a step that needs two."""
    opened = open_run(PROCEDURE, {"four_eyes": STEP}, mode=Mode.INTERACTIVE, tenant="acme")
    opened.start()
    opened.say([attested(STEP, by="First operator")])
    return opened


def opened(*place: str, **more: Any) -> ConfirmLink:
    return open_link(*place, **{"evidence": "", "env_file": "", **more})


def outcome(run: Run) -> str:
    return run.state.step(STEP).outcome


def test_a_link_confirms_its_step_once(run: Run) -> None:
    """The link's owner confirms that step in their name, once, even if its file comes back."""
    place = make_link(run, STEP).split("/")
    link = opened(*place)
    content = link.path.read_bytes()
    assert (link.tenant, link.connector, link.step) == ("acme", PROCEDURE.id, STEP)
    second = opened(*place)

    confirm_by_link(link, "Second operator", "I looked.")
    assert outcome(run) == "attested"
    assert "Second operator" in run.state.step(STEP).reason
    for again in (lambda: opened(*place), lambda: confirm_by_link(second, "Third", "")):
        with pytest.raises(SettingsError):
            again()

    link.path.write_bytes(content)
    with refused(SettingsError, "link-gone") as caught:
        opened(*place)
    assert caught.value.diagnostics() == wording("confirm.nothing-recorded")


def test_a_link_can_say_no(run: Run) -> None:
    """With a reason, which is needed, the first word is withdrawn, and the link is used up."""
    link = opened(*make_link(run, STEP).split("/"))
    with refused(SettingsError, "give-a-reason"):
        confirm_by_link(link, "Second operator", "", is_no=True)

    confirm_by_link(link, "Second operator", "Another account.", is_no=True)
    assert outcome(run) == "not_run"
    assert "(Another account)" in run.state.step(STEP).reason
    assert not link.path.exists()


def test_the_same_person_is_refused_and_the_link_stays(run: Run) -> None:
    """If this person cannot confirm the step, nothing is written, and the link can be used."""
    place = make_link(run, STEP).split("/")
    before = run.journal.path.read_bytes()
    for by in ("", "B\u202e"):
        with pytest.raises(SettingsError):
            confirm_by_link(opened(*place), by, "")
    # Two spellings of one name are one person.
    for by in ("First Operator", "first  operator", "First\N{NO-BREAK SPACE}operator"):
        with refused(
            SettingsError, "already-confirmed", name="First operator", number=3, step=STEP
        ):
            confirm_by_link(opened(*place), by, "")
    assert run.journal.path.read_bytes() == before

    confirm_by_link(opened(*place), "Second operator", "")
    assert outcome(run) == "attested"


def test_a_link_ends_after_its_days(run: Run) -> None:
    """After its days a link is gone."""
    place = make_link(run, STEP).split("/")
    opened(*place, clock=lambda: utc_now() + timedelta(days=LINK_DAYS - 1))
    with refused(SettingsError, "link-gone"):
        opened(*place, clock=lambda: utc_now() + timedelta(days=LINK_DAYS + 1))
    with pytest.raises(SettingsError):
        opened(*place)


def test_the_token_is_nowhere_on_disk(run: Run, folder: Path) -> None:
    """A file on disk does not open anything: it has the token's digest only."""
    token = make_link(run, STEP).rpartition("/")[2]
    assert len(token) >= 32
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent.name == "links"]) == 1
    assert not any(token in path.name for path in files)
    assert not any(token.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "place",
    [
        ("acme", PROCEDURE.id, "x"),
        ("acme", PROCEDURE.id, "../journal"),
        ("acme", "facebook_messenger", "x"),
        ("acme", "../acme", "x"),
        ("..", PROCEDURE.id, "x"),
        ("nobody", PROCEDURE.id, "x"),
    ],
)
def test_anything_else_is_no_link(run: Run, place: tuple[str, str, str]) -> None:
    """An address that was never given opens nothing."""
    with pytest.raises(SettingsError):
        opened(*place)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"step": 1}', b"\xff"])
def test_a_broken_file_is_no_link(run: Run, content: bytes) -> None:
    """A file that cannot be understood opens nothing."""
    place = make_link(run, STEP).split("/")
    (file,) = (run.journal.path.parent / "links").iterdir()
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        opened(*place)
    file.write_text(json.dumps({"step": "no-step", "ends": "9999"}))
    with refused(SettingsError, "link-without-step"):
        confirm_by_link(opened(*place), "B", "")


def test_the_word_is_bound_to_the_settings_of_the_walkthrough_that_made_the_link(
    run: Run, folder: Path
) -> None:
    """A confirmation is about the app of that walkthrough, not of another settings file."""
    (folder / ".env").write_text("RUNBOOK_FACEBOOK_APP_ID=999999999999999\n")
    (folder / "acme.env").write_text("RUNBOOK_FACEBOOK_APP_ID=123456789012345\n")
    link = opened(*make_link(run, STEP).split("/"), env_file=str(folder / "acme.env"))

    assert link.open_run().values["app_id"] == "123456789012345"
    confirmation = confirm_by_link(link, "Second operator", "")
    attestation = confirmation.run.whole_state.step(STEP).attestation
    assert attestation is not None
    assert attestation.app_id == "123456789012345"
    assert attestation.link == link.path.stem
    assert attestation.origin == wording("confirm.by-link")
