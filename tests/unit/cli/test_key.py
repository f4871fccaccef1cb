"""`runbook key` shows the signing key, or makes a new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode
from tests.support.commands import runbook
from tests.support.wording import wording


@pytest.fixture(autouse=True)
def _own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without any key, and leave the other tests' key alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))


def test_a_key_is_shown_and_stays_the_same(folder: Path) -> None:
    """`key` shows the key's id and public key file, and shows the same ones the next time."""
    first, second = (runbook("key", "--evidence", "evidence") for _ in range(2))

    assert first.exit_code == ExitCode.COMPLETE
    assert first.output == second.output
    (public,) = (folder / "evidence" / "keys").iterdir()
    assert public.name.removesuffix(".pub.pem") in first.output
    assert public.name in first.output.replace("\n", "")


def test_a_rotation_is_reported_as_json(folder: Path) -> None:
    """With `--json`, `--rotate` prints the id of the new key."""
    before = json.loads(runbook("key", "--json", "--evidence", "evidence").output)
    after = json.loads(runbook("key", "--rotate", "--json", "--evidence", "evidence").output)

    assert [*before] == [*after] == ["key_id", "public_key"]
    assert before["key_id"] != after["key_id"]


def test_a_rotation_names_both_keys(folder: Path) -> None:
    """`--rotate` keeps both public keys for verifiers, and says that they need both."""
    before = json.loads(runbook("key", "--json", "--evidence", "evidence").output)

    result = runbook("key", "--rotate", "--evidence", "evidence")

    assert wording("key.give-both-keys", key_id=before["key_id"]) in result.output
    assert len(list((folder / "evidence" / "keys").glob("*.pub.pem"))) == 2


def test_an_unused_passphrase_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase for an unencrypted key gives a warning until a rotation encrypts it."""
    unused = wording("key.not-encrypted", variable="RUNBOOK_SIGNING_PASSPHRASE")
    assert unused not in runbook("key", "--evidence", "evidence").output
    monkeypatch.setenv("RUNBOOK_SIGNING_PASSPHRASE", "correct horse battery staple")

    said = runbook("key", "--evidence", "evidence")
    document = runbook("key", "--evidence", "evidence", "--json")

    assert said.exit_code == ExitCode.COMPLETE
    assert unused in said.stderr
    assert unused in document.stderr
    assert json.loads(document.stdout)["key_id"] in said.stdout
    for more in ("--rotate", "--json"):
        result = runbook("key", more, "--evidence", "evidence")
        assert result.exit_code == ExitCode.COMPLETE
        assert unused not in result.output
