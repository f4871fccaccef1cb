"""`run --junit`: a test suite for the tenant, and an error where there is no evidence."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import Result

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.errors import ChainError, JournalError, LeakError, SettingsError
from tests.support.commands import runbook
from tests.support.headless_stand_in import DOMAIN, Headless
from tests.support.wording import wording

OLD = "the result of another run"


@pytest.fixture(autouse=True)
def _old_result(folder: Path) -> None:
    """Begin with the file of an earlier run."""
    Path("out.xml").write_text(OLD, encoding="utf-8")


def run(*words: str) -> Result:
    """Run the command for the tenant acme."""
    domain = f"service_domain={DOMAIN}"
    return runbook("run", "--tenant", "acme", "--set", domain, "--junit", "out.xml", *words)


def suite() -> ET.Element:
    """Return the only suite in the file."""
    (found,) = ET.parse("out.xml").getroot()
    return found


def test_each_step_is_a_test_case(headless: Headless) -> None:
    """A run that was sealed has a case for each step, though it is not complete."""
    result = run()

    assert result.exit_code == 3
    assert suite().get("name") == f"acme.{PROCEDURE.id}"
    assert [case.get("name") for case in suite()] == [step.id for step in PROCEDURE.steps]
    assert suite().get("skipped") == suite().get("tests")
    assert float(suite().get("time", "0")) > 0


@pytest.mark.usefixtures("headless", "practice_scenarios")
def test_practice_is_marked() -> None:
    """The suite of a practice run says SANDBOX."""
    runbook("run", "--sandbox", "approved", "--junit", "out.xml")

    assert suite().get("name") == f"SANDBOX.sandbox-approved.{PROCEDURE.id}"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (LeakError("A secret was found."), 4, "A secret was found."),
        (ChainError("A line is missing."), 4, "A line is missing."),
        (JournalError("It is locked."), 3, "It is locked."),
        (
            OSError(28, "No space left on device"),
            3,
            wording("screens.cannot-write", reason="No space left on device"),
        ),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (
            ZeroDivisionError("canary"),
            3,
            wording("screens.runbook-broke", error="ZeroDivisionError"),
        ),
    ],
)
def test_without_evidence_there_is_an_error(
    headless: Headless,
    error: BaseException,
    code: int,
    reason: str,
) -> None:
    """A run that was not sealed is an error with its reason, in place of an older result."""
    headless.error = error
    result = run()

    assert result.exit_code == code
    (case,) = suite()
    assert (suite().get("name"), case.get("name")) == (f"acme.{PROCEDURE.id}", "sealed-evidence")
    assert case[0].tag == "error"
    assert case[0].get("message", "").startswith(f"unsealed: {reason}")
    assert "canary" not in Path("out.xml").read_text(encoding="utf-8")


def test_refused_settings_write_nothing(headless: Headless) -> None:
    """With exit code 2 nothing was done, and nothing is written."""
    headless.error = SettingsError("No.")

    assert run().exit_code == 2
    assert Path("out.xml").read_text(encoding="utf-8") == OLD


@pytest.mark.parametrize(
    ("file", "said"),
    [(".", "it is a folder"), ("no/out.xml", "No such file"), ("out.xml/x", "Not a directory")],
)
def test_a_place_that_cannot_be_written_is_refused(
    headless: Headless,
    file: str,
    said: str,
) -> None:
    """A file that could not be written in the end is refused before anything runs."""
    result = run("--junit", file, "--evidence", "evidence")

    assert result.exit_code == 2
    assert f"cannot be written: {said}" in result.stderr
    assert wording("run.name-another-junit-file") in result.stderr
    assert not headless.runs
    assert not Path("evidence").exists()


def test_a_full_disk_does_not_hide_why_a_run_ended(
    headless: Headless,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the error cannot be written either, the run's own error is shown."""

    def refuse(*_: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runbook_lib.cli.junit_option.write_junit", refuse)
    headless.error = LeakError("A secret was found.")
    result = run()

    assert result.exit_code == 4
    assert "A secret was found." in result.stderr
