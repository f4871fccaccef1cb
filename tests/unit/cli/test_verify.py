"""`runbook verify` and `journal` say first that trusted keys inside the evidence prove less."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode
from runbook_lib.evidence.signing.keys import WHY_LESS, SigningKey
from tests.support.commands import runbook
from tests.support.wording import wording
from tests.unit.evidence.conftest import ended_run, key, seal_run

__all__ = ["key"]

JOURNAL = ("journal", "--tenant", "acme", "--connector", "p", "--evidence", "evidence")
# The fields of `verify --json`, of a bundle and of a chain: programs rely on them.
BUNDLE_FIELDS = {
    "accepted", "key_id", "link", "notes", "older", "path", "run", "stamped_on", "statement",
    "withheld",
}  # fmt: skip
CHAIN_FIELDS = {"accepted", "chain", "notes", "path"}
INSIDE_EVIDENCE = wording("verify.inside-the-evidence")
INSIDE = ("--trusted-keys", "evidence/keys")
ELSEWHERE = ("--trusted-keys", "../trusted")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with one bundle, made once per module."""
    evidence = tmp_path_factory.mktemp("sealed") / "evidence"
    seal_run(ended_run(evidence), key)
    return evidence


@pytest.fixture(autouse=True)
def _project(folder: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a project with a copy of the evidence; its key is also elsewhere."""
    (folder / "project").mkdir()
    monkeypatch.chdir(folder / "project")
    shutil.copytree(sealed, "evidence")
    shutil.copytree("evidence/keys", "../trusted")


def one_key(folder: str) -> tuple[str, str]:
    (path,) = Path(folder).glob("*.pub.pem")
    return ("--key", str(path))


@pytest.mark.parametrize("command", [("verify", "evidence"), ("verify",), JOURNAL], ids=str)
def test_keys_inside_the_evidence_are_named_first(command: tuple[str, ...]) -> None:
    """The first line names the keys, why they prove less, and what to do; it fails nothing."""
    for options in (INSIDE, one_key("evidence/keys"), (*one_key("../trusted"), *INSIDE)):
        result = runbook(*command, *options)
        first = result.stdout.splitlines()[0]
        assert first.startswith(f"{INSIDE_EVIDENCE}{options[-1]}. {WHY_LESS} ")
        assert wording("verify.get-the-public-key") in first
        assert result.exit_code == ExitCode.COMPLETE
    for options in (ELSEWHERE, one_key("../trusted")):
        result = runbook(*command, *options)
        assert WHY_LESS not in result.output
        assert result.exit_code == ExitCode.COMPLETE


@pytest.mark.parametrize("command", [("verify", "evidence"), JOURNAL], ids=str)
def test_each_json_object_has_the_note(command: tuple[str, ...]) -> None:
    """With --json each object has `trust_note`, and only if there is something to note."""
    inside = [json.loads(line) for line in runbook(*command, *INSIDE, "--json").stdout.splitlines()]
    others = [
        json.loads(line) for line in runbook(*command, *ELSEWHERE, "--json").stdout.splitlines()
    ]

    assert inside
    assert all(WHY_LESS in document.pop("trust_note") for document in inside)
    assert inside == others
    if "verify" in command:
        assert [document.keys() for document in inside] == [BUNDLE_FIELDS, CHAIN_FIELDS]


@pytest.mark.parametrize("path", ["evidence", "evidence/acme", "evidence/acme/p", "../link"])
def test_the_evidence_folder_is_found_around_a_path(path: str) -> None:
    """The evidence folder of a tenant or a bundle is the one around it; links are followed."""
    Path("../link").symlink_to(Path("evidence").absolute())

    assert runbook("verify", path, *INSIDE).stdout.startswith(INSIDE_EVIDENCE)
    assert INSIDE_EVIDENCE not in runbook("verify", path, *ELSEWHERE).stdout


def test_a_bundle_is_refused_by_its_own_key_as_before() -> None:
    """A key that somebody put into the bundle is named first, and the bundle is refused for it."""
    (bundle,) = Path("evidence").glob("acme/p/2*")
    own = Path(shutil.copy(next(Path("../trusted").glob("*.pub.pem")), bundle / "KEY.pub.pem"))

    result = runbook("verify", "--key", str(own), str(bundle))

    assert result.exit_code == ExitCode.REFUSED
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{INSIDE_EVIDENCE}{own}. {WHY_LESS}")
    assert f"KEY.pub.pem: {wording('content-altered.added')}" in second


def test_an_empty_certificate_option_is_an_error() -> None:
    """An unset shell variable after --tsa-certificate does not mean that none is wanted."""
    result = runbook("verify", "evidence", *ELSEWHERE, "--tsa-certificate", "")

    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert wording("verify.no-readable-certificate") in result.stderr
