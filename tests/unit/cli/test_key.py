"""`runbook key` shows the signing key, rotates it, or names its successor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode
from runbook_lib.evidence.signing.keys import create_key, export_public_key, open_key
from tests.unit.cli.test_main import _own_folder, runbook  # noqa: F401  (a fixture that acts by itself)


@pytest.fixture(autouse=True)
def _own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without any key, and leave the other tests' key without a successor."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))


def test_a_key_is_shown_and_stays_the_same(folder: Path) -> None:
    """`key` shows the key's id and public key file, and shows the same ones the next time."""

    first, second = (runbook("key", "--evidence", "evidence") for _ in range(2))

    assert first.exit_code == ExitCode.COMPLETE
    assert first.output == second.output
    (public,) = (folder / "evidence" / "keys").iterdir()
    assert public.name.removesuffix(".pub.pem") in first.output
    assert public.name in first.output.replace("\n", "")


def test_a_key_names_its_successor(folder: Path) -> None:
    """
    `--successor` signs a succession statement for another key and saves it beside the evidence.
    """

    create_key(folder / "other.pem")
    other = export_public_key(open_key(str(folder / "other.pem"), is_sandbox=False), folder)

    result = runbook("key", "--successor", str(other), "--evidence", "evidence")

    assert result.exit_code == ExitCode.COMPLETE
    assert "now set RUNBOOK_SIGNING_KEY" in result.output
    name = other.name.replace(".pub.pem", ".succession.dsse.json")
    assert (folder / "evidence" / "keys" / name).is_file()


def test_a_rotation_is_reported_as_json(folder: Path) -> None:
    """With `--json`, `--rotate` prints the id of the new key."""

    before = json.loads(runbook("key", "--json", "--evidence", "evidence").output)
    after = json.loads(runbook("key", "--rotate", "--json", "--evidence", "evidence").output)

    assert before["key_id"] != after["key_id"]


def test_a_missing_successor_is_a_usage_error(folder: Path) -> None:
    """A successor file that cannot be read gives exit code 2, and no statement is written."""

    result = runbook("key", "--successor", "none.pem", "--evidence", "evidence")

    assert result.exit_code == ExitCode.USAGE
    assert "none.pem" in result.output
    assert not list(folder.glob("evidence/keys/*.succession.*"))


def test_a_rotation_reaches_other_evidence_folders(folder: Path) -> None:
    """`key` writes the succession statements of earlier rotations to every evidence folder."""

    runbook("key", "--rotate", "--evidence", "one")

    runbook("key", "--evidence", "two")

    one, two = (
        {path.name for path in (folder / each / "keys").iterdir()} for each in ("one", "two")
    )
    assert len(one) == 3
    assert one == two


def test_a_successor_reaches_other_evidence_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The succession to a key named by RUNBOOK_SIGNING_KEY is written to every evidence folder."""

    create_key(folder / "other.pem")
    other = export_public_key(open_key(str(folder / "other.pem"), is_sandbox=False), folder)
    runbook("key", "--successor", str(other), "--evidence", "one")
    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "other.pem"))

    assert runbook("key", "--evidence", "two").exit_code == ExitCode.COMPLETE
    assert len(list((folder / "two" / "keys").glob("*.succession.dsse.json"))) == 1
    assert len(list((folder / "two" / "keys").glob("*.pub.pem"))) == 2


def test_an_unused_passphrase_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A passphrase set for an unencrypted key gives a warning on stderr until a rotation encrypts it.
    """

    assert "not encrypted" not in runbook("key", "--evidence", "evidence").output
    monkeypatch.setenv("RUNBOOK_SIGNING_PASSPHRASE", "correct horse battery staple")

    said = runbook("key", "--evidence", "evidence")
    document = runbook("key", "--evidence", "evidence", "--json")

    assert said.exit_code == ExitCode.COMPLETE
    assert "is not encrypted, though RUNBOOK_SIGNING_PASSPHRASE is set" in said.stderr
    assert "is not encrypted" in document.stderr
    assert json.loads(document.stdout)["key_id"] in said.stdout
    for more in ("--rotate", "--json"):
        result = runbook("key", more, "--evidence", "evidence")
        assert result.exit_code == ExitCode.COMPLETE
        assert "not encrypted" not in result.output
