"""`runbook journal`: its arguments, output and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from runbook_lib.cli.main import main
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.run.events import FORMAT
from runbook_lib.run.journal import Journal
from tests.support.wording import wording
from tests.unit.evidence.conftest import key, sealed_evidence

__all__ = ["key"]

OTHER_FORM = f"has format {FORMAT + 1}; this runbook reads format {FORMAT}"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with two bundles, made once per module."""
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), key)


@pytest.fixture
def evidence(tmp_path: Path, sealed: Path) -> Path:
    """Return a copy of the sealed evidence folder."""
    return Path(shutil.copytree(sealed, tmp_path / "evidence"))


def journal(evidence: Path, *more: str) -> Result:
    arguments = ("--tenant", "acme", "--connector", "p", "--evidence", str(evidence))
    return CliRunner().invoke(main, ["journal", *arguments, *more])


def test_it_reports_restored_and_lost_lines(evidence: Path) -> None:
    """It reports restored and lost lines, as text and JSON; a second run adds none."""
    path = evidence / "acme" / "p" / "journal.jsonl"
    lines = path.read_bytes().count(b"\n") - 1
    path.unlink()

    result = journal(evidence, "--trusted-keys", str(evidence / "keys"))

    assert result.exit_code == ExitCode.COMPLETE
    assert wording("journal.lines-put-back", lines=lines) in result.stdout
    assert wording("journal.later-lines-lost", until="2026-11-24T12:00:00.000Z") in result.stdout
    again = journal(evidence, "--trusted-keys", str(evidence / "keys"), "--json")
    assert json.loads(again.stdout) == {
        "path": str(path),
        "lines": lines + 1,
        "until": json.loads(again.stdout)["until"],
        "added": 0,
        "unused": {},
        "trust_note": json.loads(again.stdout)["trust_note"],
    }
    assert (
        wording("journal.none-added")
        in journal(evidence, "--trusted-keys", str(evidence / "keys")).stdout
    )


def test_a_bundle_that_is_refused_is_named(evidence: Path) -> None:
    """A rejected bundle is named with its file and reason, and the exit code is 4."""
    first, second = sorted((evidence / "acme" / "p").glob("2*"))
    (second / "report.html").write_text("x")
    (evidence / "acme" / "p" / "journal.jsonl").unlink()

    result = journal(evidence, "--trusted-keys", str(evidence / "keys"))

    assert result.exit_code == ExitCode.REFUSED
    assert f"✘ {second.name}: report.html" in result.stderr
    assert first.name not in result.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), wording("setting-invalid.no-key-trusted")),
        (
            ("--trusted-keys", "{keys}", "--tenant", "../x"),
            wording("setting-invalid.not-a-tenant-name"),
        ),
        (
            ("--trusted-keys", "{keys}", "--tenant", ""),
            wording("setting-invalid.not-a-tenant-name"),
        ),
        (("--trusted-keys", "{keys}", "--connector", "../x"), "is not a connector name"),
        (("--trusted-keys", "{keys}", "--tenant", "globex"), wording("setting-invalid.no-folder")),
        (
            ("--trusted-keys", "{keys}", "--connector", "facebook_mesenger"),
            "Did you mean facebook_messenger?",
        ),
    ],
)
def test_invalid_arguments_are_a_usage_error(
    more: tuple[str, ...], said: str, evidence: Path
) -> None:
    """Invalid or missing arguments give exit code 2, and nothing is written."""
    result = journal(evidence, *(text.format(keys=evidence / "keys") for text in more))

    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert not (evidence / "globex").exists()


def test_an_unknown_journal_form_is_refused_by_every_command(evidence: Path) -> None:
    """Every command names an unknown journal form and refuses it; no evidence is changed."""
    journal_file = Journal(evidence / "acme" / "p" / "journal.jsonl")
    started = journal_file.read_all()[0].event
    journal_file.append(structs.replace(started, format=FORMAT + 1), run="0badcafe")
    known = ("--trusted-keys", str(evidence / "keys"))
    before = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}

    verified = CliRunner().invoke(main, ["verify", str(evidence), *known])
    completed = journal(evidence, *known)

    assert verified.exit_code == ExitCode.REFUSED
    assert OTHER_FORM in verified.stdout
    assert completed.exit_code == ExitCode.USAGE
    assert OTHER_FORM in completed.stderr
    shutil.move(evidence / "acme" / "p", evidence / "acme" / "facebook_marketing")
    arguments = ("--tenant", "acme", "--evidence", str(evidence))
    for command in ("status", "run", "report"):
        result = CliRunner().invoke(main, [command, *arguments])
        assert result.exit_code == ExitCode.USAGE, command
        assert OTHER_FORM in result.stderr
    shutil.move(evidence / "acme" / "facebook_marketing", evidence / "acme" / "p")
    after = {path: path.read_bytes() for path in evidence.rglob("*") if path.is_file()}
    assert {path.name for path in after if before.get(path) != after[path]} <= {"journal.lock"}
