"""The review kit as a file: a person's changes are not lost, and the submitted version is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.kit import KIT_NAME, KitRequest, WrittenKit, write_kit
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.run.events import ValuesGiven
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import refused
from tests.unit.bodies import APP_SECRET, USER_TOKEN
from tests.unit.evidence.conftest import new_key, seal_run

MARKETING = find_procedure("facebook_marketing")
GIVEN = {
    "service_domain": "acme-h.cyclr.com",
    "app_display_name": "Acme Lead Sync",
    "app_id": "294452187761034",
}
REVIEW = "fb-12-submit-review"
pytestmark = pytest.mark.usefixtures("folder")


def write(folder: Path, procedure: Procedure = MARKETING, **more: Any) -> WrittenKit:
    given = {**GIVEN, **more.pop("given", {})}
    request = KitRequest(procedure=procedure, given=given, output=folder, evidence="evidence")
    return write_kit(replace(request, **more))


def filled(text: str) -> str:
    """Return the Markdown as a person adapts it."""
    return re.sub("‹[^›]+›", "Acme Hub", text)


def adapt(folder: Path) -> bytes:
    """Write the kit, and fill in its blanks; return the Markdown."""
    write(folder)
    path = folder / KIT_NAME
    path.write_text(filled(path.read_text()))
    return path.read_bytes()


def journal(folder: Path) -> list[dict[str, Any]]:
    paths = list((folder / "evidence").glob("*/*/journal.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def state(folder: Path, **given: str) -> Any:
    run = open_run(
        MARKETING, {**GIVEN, **given}, mode=Mode.HEADLESS, evidence=str(folder / "evidence")
    )
    return run.whole_state.step(REVIEW)


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
def test_the_kit_is_one_file_and_nothing_else(tmp_path: Path, connector: str) -> None:
    """It is written for the values of the settings; no journal and no key is made."""
    written = write(tmp_path / "new" / "folder", find_procedure(connector))

    folder = tmp_path / "new" / "folder"
    file = written.file
    assert [*folder.iterdir()] == [file.path]
    assert file.path.name == KIT_NAME
    assert file.path.read_bytes() == file.content
    assert b"Acme Lead Sync" in file.content
    assert b"acme-h.cyclr.com" in file.content
    assert written.step == ""


def test_a_file_that_nobody_changed_is_written_again(tmp_path: Path) -> None:
    """Another name or other permissions give a new file for these."""
    write(tmp_path)
    written = write(tmp_path, given={"app_display_name": "Other", "permissions": "ads_read"})

    assert "Review kit: Other" in (tmp_path / KIT_NAME).read_text()
    assert [part.name for part in written.kit.permissions] == ["public_profile", "ads_read"]


@pytest.mark.parametrize("change", [b"mine\n", None])
def test_a_changed_file_is_not_overwritten(tmp_path: Path, change: bytes | None) -> None:
    """A file that a person changed, or another file of that name, stays."""
    write(tmp_path)
    path = tmp_path / KIT_NAME
    mine = change or path.read_bytes().replace(b"Acme", b"ACME")
    path.write_bytes(mine)

    with refused(SettingsError, "kit-was-changed", kit_name=KIT_NAME) as caught:
        write(tmp_path, given={"app_display_name": "Other"})

    assert "--force" in caught.value.diagnostics()
    assert path.read_bytes() == mine
    write(tmp_path, overwrites=True)
    assert path.read_bytes() != mine


@pytest.mark.parametrize("make", ["folder", "link to nothing", "file above"])
def test_a_place_that_is_no_file_is_refused(tmp_path: Path, make: str) -> None:
    """A folder of that name, or a file where a folder is needed, is a usage error."""
    target = tmp_path / "out"
    if make == "folder":
        (target / KIT_NAME).mkdir(parents=True)
    elif make == "file above":
        target.write_text("")
    else:
        target.mkdir()
        (target / KIT_NAME).symlink_to(target)

    with refused(SettingsError, "file-unreadable"):
        write(target)


WITHOUT_REVIEW = replace(
    MARKETING,
    sections=tuple(
        replace(section, steps=tuple(replace(step, review_kit="") for step in section.steps))
        for section in MARKETING.sections
    ),
)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        # No step of this connector has a kit.
        ({"procedure": WITHOUT_REVIEW}, "no-step-for-a-review"),
        # A kit that was never written was not submitted.
        ({"by": "Operator"}, "places-to-fill-in"),
        # A name is too long, or has invisible characters.
        *(({"by": name}, "unusable-name") for name in ("x" * 201, "a\u202eb", "a\nb")),
    ],
)
def test_a_kit_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, given: dict[str, Any], name: str
) -> None:
    """The error says why, and nothing is written or recorded."""
    with refused(SettingsError, name):
        write(tmp_path / "out", **given)

    assert list(tmp_path.iterdir()) == []


# --- the submitted version ---------------------------------------------------------------------
def test_the_submitted_kit_is_kept_with_the_step(tmp_path: Path) -> None:
    """The Markdown is attached as it was adapted; the step waits, for these permissions only."""
    adapted = adapt(tmp_path)
    written = write(tmp_path, by="Operator", note="Second try.")
    review = state(tmp_path)

    assert written.step == REVIEW
    assert (tmp_path / KIT_NAME).read_bytes() == adapted
    assert written.file.is_changed
    assert review.outcome is Outcome.WAITING
    assert (review.attestation.by, review.attestation.note) == ("Operator", "Second try.")
    assert review.attestation.binding.subject["app_id"] == GIVEN["app_id"]
    (kept,) = review.attestation.attachments
    assert (kept.name, kept.media_type) == (KIT_NAME, "text/markdown")
    folder = tmp_path / "evidence" / "acme-h.cyclr.com" / "facebook_marketing" / "attachments"
    assert [path.read_bytes() for path in folder.iterdir()] == [adapted]
    assert state(tmp_path, permissions="ads_read").outcome is Outcome.NOT_RUN


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text + "\n", "‹our product› (line "),
        (lambda text: filled(text) + "‹a last\none›\n", "1 place to fill in: ‹a last one›"),
        (lambda text: filled(text) + f"‹{'a' * 999}›\n", "1 place to fill in: ‹aaa"),
    ],
)
def test_a_kit_with_places_to_fill_in_was_not_submitted(
    tmp_path: Path, change: Callable[[str], str], named: str
) -> None:
    """Each place in angle quotes is named with its line, and nothing is written or recorded."""
    write(tmp_path)
    path = tmp_path / KIT_NAME
    path.write_text(change(path.read_text()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(SettingsError) as caught:
        write(tmp_path, by="Operator")

    assert named in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("secret", [APP_SECRET, USER_TOKEN])
def test_a_credential_in_the_texts_is_refused(tmp_path: Path, secret: str) -> None:
    """A token or App Secret in an adapted text is refused before anything is recorded."""
    adapt(tmp_path)
    with (tmp_path / KIT_NAME).open("a") as file:
        file.write(f"The secret is {secret} here.\n")

    with refused(SettingsError, "looks-like-a-token") as caught:
        write(tmp_path, by="Operator")

    assert secret not in str(caught.value)
    assert journal(tmp_path) == []


def test_no_credential_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of the environment, and references to them, are neither read nor recorded."""
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_SECRET", APP_SECRET)
    monkeypatch.setenv("RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN", "file:/nowhere/at/all")

    adapt(tmp_path)
    write(tmp_path, by="Operator")

    started = journal(tmp_path)[0]["data"]
    assert (started["credentials"], started["fingerprints"]) == ([], {})
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or APP_SECRET.encode() not in path.read_bytes()


def test_it_joins_an_open_walkthrough_and_fetches_no_credential(tmp_path: Path) -> None:
    """The word is part of the open run; a reference in its journal, to a keyring say, stays one."""
    run = open_run(MARKETING, GIVEN, mode=Mode.INTERACTIVE, evidence=str(tmp_path / "evidence"))
    run.start()
    (tmp_path / "hidden").write_text(APP_SECRET)
    saved = ValuesGiven(saved={"app_secret": f"file:{tmp_path / 'hidden'}"})
    run.journal.append(saved, run=run.run_id)
    run.close()
    adapt(tmp_path)

    write(tmp_path, by="Operator")

    lines = journal(tmp_path)
    assert [line["type"] for line in lines] == ["run.started", "values.given", "step.attested"]
    assert {line["run"] for line in lines} == {run.run_id}


def test_practice_is_marked_and_apart(tmp_path: Path) -> None:
    """A kit of practice says SANDBOX, and is not recorded for a tenant with real runs."""
    practice = {"graph_url": "http://127.0.0.1:8000"}
    written = write(tmp_path / "out", given=practice)
    assert b"SANDBOX" in written.file.content

    adapt(tmp_path)
    write(tmp_path, by="Operator")
    before = (tmp_path / KIT_NAME).read_bytes()
    with refused(SettingsError, "would-be", kind="practice"):
        write(tmp_path, by="Operator", given=practice)
    assert (tmp_path / KIT_NAME).read_bytes() == before


def recorded_kit(folder: Path, *, earlier: Mapping[str, str], **given: str) -> WrittenKit:
    """Record a headless run that was given `earlier`; write its tenant's kit with `given`."""
    run = open_run(MARKETING, earlier, mode=Mode.HEADLESS, tenant="acme", evidence="evidence")
    run.start()
    run.finish()
    run.close()
    request = KitRequest(
        procedure=MARKETING,
        given=given,
        output=folder / "out",
        tenant="acme",
        evidence="evidence",
    )
    return write_kit(request)


def test_recorded_values_are_in_the_kit(tmp_path: Path) -> None:
    """A value of an earlier run needs no setting now; a parameter replaces it."""
    earlier = {**GIVEN, "permissions": "ads_read"}
    kit = recorded_kit(tmp_path, earlier=earlier).kit

    assert (kit.app_name, kit.service_domain) == (GIVEN["app_display_name"], "acme-h.cyclr.com")
    assert [part.name for part in kit.permissions] == ["public_profile", "ads_read"]
    assert kit.unknown == ()

    kit = recorded_kit(tmp_path, earlier=earlier, app_display_name="Other").kit
    assert kit.app_name == "Other"


def test_a_practice_tenants_kit_has_no_real_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kit of a practice tenant says SANDBOX, and has its values in place of real settings."""
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_DISPLAY_NAME", "Real")
    monkeypatch.setenv("RUNBOOK_FACEBOOK_GRAPH_URL", "https://graph.facebook.com")
    earlier = {**GIVEN, "graph_url": "http://127.0.0.1:8000"}
    kit = recorded_kit(tmp_path, earlier=earlier).kit

    assert kit.app_name == GIVEN["app_display_name"]
    assert kit.is_sandbox


def test_it_is_in_the_evidence(tmp_path: Path, keys_home: Path) -> None:
    """A bundle has the file under its digest, and the report links it."""
    adapted = adapt(tmp_path)
    write(tmp_path, by="Operator")
    run = open_run(MARKETING, GIVEN, mode=Mode.HEADLESS, evidence="evidence")
    run.start()
    run.finish()

    sealed = seal_run(run, new_key(keys_home / "evidence.pem"))

    (kept,) = (sealed.folder / "attachments").iterdir()
    assert kept.read_bytes() == adapted
    (step,) = [step for step in sealed.state.steps if step.attachments]
    assert (step.id, step.outcome) == (REVIEW, "waiting")
    report = (sealed.folder / "report.html").read_text()
    assert f'href="attachments/{kept.name}"' in report
