"""
Every evidence command with every kind of odd file: it ends, names the file, and does the rest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.fingerprints import FingerprintKey, keep_key, read_key
from runbook_lib.errors import ExitCode, RunbookError
from runbook_lib.evidence.signing.keys import open_key
from runbook_lib.run.events import RunFinished
from runbook_lib.run.journal import Journal
from tests.support.commands import runbook
from tests.support.odd_files import (
    FILES,
    FOLDERS,
    FORGED_NAME,
    Shelf,
    once_each,
    put,
    remove,
    time_limit,
)
from tests.support.resigned_statements import resign
from tests.support.wording import wording
from tests.unit.evidence.conftest import new_key, sealed_evidence

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("folder")]

FIRST = "20261124T120000Z-00000001"
SECOND = "20261124T120000Z-00000002"
HOME = Path("evidence", "acme", "p")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once per module."""
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), new_key(keys_home / "evidence.pem"))


@pytest.fixture
def evidence(sealed: Path, folder: Path, shelf: Shelf) -> Iterator[Path]:
    """Return a copy of it below the working directory, and remove everything at the end."""
    shutil.copytree(sealed, folder / "trusted", ignore=shutil.ignore_patterns("acme"))
    yield Path(shutil.copytree(sealed, folder / "evidence"))
    shelf.take_back()
    remove(folder / "evidence")


COMMANDS: dict[str, tuple[str, ...]] = {
    "verify": ("verify", "evidence", "--trusted-keys", "trusted/keys"),
    "verify --json": ("verify", "evidence", "--trusted-keys", "trusted/keys", "--json"),
    "archive": ("archive", "evidence", "--to", "archive"),
    "archive --json": ("archive", "evidence", "--to", "archive", "--json"),
    "report": ("report", str(HOME / FIRST), "--output", "report.html"),
    "journal": (
        "journal",
        "--tenant",
        "acme",
        "--connector",
        "p",
        "--evidence",
        "evidence",
        "--trusted-keys",
        "trusted/keys",
    ),
    "key": ("key", "--evidence", "evidence"),
}
FILE_PLACES = (
    HOME / "journal.jsonl",
    HOME / "journal.lock",
    HOME / "sealing.lock",
    HOME / "fingerprint.key",
    HOME / FIRST / "record.json",
    HOME / FIRST / "statement.dsse.json",
    HOME / FIRST / "journal.jsonl",
    HOME / FIRST / "VERIFY.md",
    HOME / FIRST / "added.txt",
    Path("evidence", "keys", "added.pub.pem"),
)
FOLDER_PLACES = (
    HOME / FIRST / "attachments",
    HOME / FIRST / "added",
    HOME / "20261124T120000Z-0000000f",
    HOME / "attachments",
    HOME / "other",
    Path("evidence", "globex"),
    Path("evidence", "acme", "q"),
)


def ran(name: str, words: tuple[str, ...]) -> Any:
    """Return the result of a command; assert that it ends with an exit code and no traceback."""
    with time_limit():
        result = runbook(*words)
    error = result.exception
    assert error is None or isinstance(error, SystemExit), (name, repr(error))
    assert result.exit_code in (0, 2, 3, 4), name
    assert "Traceback" not in result.output
    lines = result.stdout.replace("\n", "")
    assert lines.isprintable()
    return result


@pytest.mark.matrix(6)
@pytest.mark.parametrize(("kind", "place"), once_each(FILES, FILE_PLACES), ids=str)
def test_every_command_ends_when_a_file_is_odd(kind: str, place: Path, evidence: Path) -> None:
    """Every command ends with an exit code of its contract and processes the bundles in order."""
    put(FILES[kind], place)

    results = {name: ran(name, words) for name, words in COMMANDS.items()}

    assert SECOND in results["verify"].stdout
    assert f"✔ acme/p/{SECOND}" in results["verify"].stdout
    assert (Path("archive") / HOME.relative_to("evidence") / SECOND / "record.json").is_file()
    if place.parent.name == FIRST:
        if place.name in ("record.json", "statement.dsse.json", "journal.jsonl"):
            assert results["report"].exit_code != ExitCode.COMPLETE
            assert "json" in results["report"].stderr
        for name in ("verify", "archive"):
            assert results[name].exit_code == ExitCode.REFUSED
            named = results[name].stdout.splitlines()[0]
            assert FIRST in named
            assert named.startswith("✘")
            assert place.name in named or "statement.dsse.json" in named
    if place == HOME / "journal.jsonl" and kind not in ("empty", "link to nowhere"):
        assert results["verify"].exit_code == ExitCode.REFUSED
        assert "journal.jsonl" in results["verify"].stdout.splitlines()[-1]


@pytest.mark.matrix(4)
@pytest.mark.parametrize(("kind", "place"), once_each(FOLDERS, FOLDER_PLACES), ids=str)
def test_every_command_ends_when_a_folder_is_odd(
    kind: str, place: Path, evidence: Path, shelf: Shelf
) -> None:
    """
    An odd folder is rejected by name if it is added to a bundle, and the other bundles are
    processed.
    """
    put(shelf.maker(kind), place)

    results = {name: ran(name, words) for name, words in COMMANDS.items()}

    assert f"✔ acme/p/{SECOND}" in results["verify"].stdout
    assert (Path("archive") / HOME.relative_to("evidence") / SECOND / "record.json").is_file()
    if place.parent.name == FIRST:
        for name in ("verify", "archive"):
            assert results[name].exit_code == ExitCode.REFUSED, kind
            assert results[name].stdout.startswith("✘")
    is_seen = kind in ("empty folder", "file", "odd names", "100,000 files")
    if not is_seen and place.name not in ("attachments", "added"):
        for name in ("verify", "archive"):
            assert results[name].exit_code == ExitCode.REFUSED, kind
            shown = results[name].stdout
            assert place.name in shown
            assert "✘" in shown


@pytest.mark.parametrize("kind", FILES)
def test_an_odd_path_as_argument_is_refused(kind: str, evidence: Path) -> None:
    """
    `archive` and `verify` refuse an odd path, and `archive` writes nothing; `report` ends.
    """
    FILES[kind](Path("odd"))
    for path in ("odd", "nowhere", "odd/below", "n" * 300):
        result = ran(kind, ("archive", path, "--to", "archive"))
        assert result.exit_code in (ExitCode.USAGE, ExitCode.REFUSED)
        assert not Path("archive").exists()
        result = ran(kind, ("verify", path, "--trusted-keys", "trusted/keys"))
        assert result.exit_code in (ExitCode.USAGE, ExitCode.REFUSED)
        ran(kind, ("report", path))
    result = ran(kind, ("verify", "evidence", "--key", "odd"))
    assert result.exit_code == ExitCode.USAGE
    assert "odd" in result.stderr
    result = ran(kind, ("archive", "evidence", "--to", "odd"))
    assert result.exit_code in (0, ExitCode.INCOMPLETE)


@pytest.mark.parametrize(
    ("kind", "name"),
    once_each(
        [kind for kind in FILES if kind != "link to nowhere"],
        ["journal.jsonl", "fingerprint.key", "journal.lock"],
    ),
)
def test_an_odd_file_in_a_tenants_folder_is_named(kind: str, name: str, evidence: Path) -> None:
    """The functions with which status, run and lab read a tenant's folder name the odd file."""
    home = evidence / "acme" / "p"
    keep_key(home, FingerprintKey())
    put(FILES[kind], home / name)
    with time_limit():
        message = _error_of(home)
    if message:
        assert name in message
    else:
        # NOTE: a lock may hold anything.
        assert name == "journal.lock" or kind == "empty"
        assert "link" not in kind
        assert kind not in ("named pipe", "socket", "folder")


def _error_of(home: Path) -> str:
    """Read all files in `home` and append a line; return the error message, if any."""
    try:
        read_key(home)
        journal = Journal(home / "journal.jsonl")
        journal.read_all()
        journal.append(RunFinished(), run="00000001")
    except RunbookError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", FILES)
def test_report_ends_if_its_output_path_is_odd(kind: str, evidence: Path) -> None:
    """`report` ends if a pipe or another odd file is at its output path."""
    FILES[kind](Path("out.html"))

    ran(kind, ("report", str(HOME / SECOND), "--output", "out.html"))


DEEP = Path("a", "b", "c", "d", "e", "f", "g")


def test_a_folder_too_deep_to_be_evidence_is_named(evidence: Path) -> None:
    """A tenant that was moved too far down is rejected, not silently ignored."""
    (evidence / DEEP.parent).mkdir(parents=True)
    (evidence / "acme").rename(evidence / DEEP)

    for name in ("verify", "archive"):
        result = ran(name, COMMANDS[name])
        assert result.exit_code == ExitCode.REFUSED
        assert wording("verify.not-searched") in result.stdout
        assert "a/b/c" in result.stdout or "✘ e: e: f" in result.stdout


def test_an_empty_folder_that_was_added_is_named(evidence: Path) -> None:
    """An empty folder added to a bundle is rejected, although it changes no digest."""
    (evidence / "acme" / "p" / FIRST / "attachments" / "later").mkdir(parents=True)

    result = ran("verify", COMMANDS["verify"])

    assert result.exit_code == ExitCode.REFUSED
    added = wording("content-altered.folder-added")
    assert f"attachments/later: {added}" in result.stdout


def test_a_name_is_printed_in_one_line(evidence: Path) -> None:
    """Any folder name is printed in one line by every command."""
    shutil.copytree(evidence / "acme", evidence / FORGED_NAME)
    os.mkfifo(evidence / f"pipe{FORGED_NAME}")

    for name in ("verify", "verify --json", "archive", "archive --json"):
        result = ran(name, COMMANDS[name])
        assert result.exit_code == ExitCode.REFUSED
        assert not any(line.startswith("✔ acme: 3") for line in result.stdout.splitlines())


def _unknown_outcome(text: str) -> str:
    return text.replace('"outcome": "waiting"', '"outcome": "bogus\\u001b[2K"')


def _unknown_run_outcome(text: str) -> str:
    return text.replace('"outcome": "failed"', '"outcome": "splendid"', 1)


def _not_a_number(text: str) -> str:
    return text.replace('"elapsed": 0.1', '"elapsed": NaN')


def _steps_of_another_type(text: str) -> str:
    document = json.loads(text)
    return json.dumps({**document, "steps": {"id": 1}, "started_on": 5})


SIGNED = {
    "an unknown outcome of a step": (_unknown_outcome, "steps[2].outcome is not valid"),
    "an unknown outcome of the run": (_unknown_run_outcome, "outcome is not valid"),
    "NaN": (_not_a_number, wording("content-altered.not-a-json-object")),
    "other types": (_steps_of_another_type, "record.json"),
}


@pytest.mark.parametrize(("change", "message"), SIGNED.values(), ids=SIGNED)
def test_an_invalid_record_is_rejected_though_its_signature_is_valid(
    change: Callable[[str], str], message: str, evidence: Path, keys_home: Path
) -> None:
    """
    An invalid record with a valid signature is rejected by name; the other bundle is verified.
    """
    bundle = evidence / "acme" / "p" / FIRST
    record = (bundle / "record.json").read_text()
    assert change(record) != record
    (bundle / "record.json").write_text(change(record))
    key = open_key(str(keys_home / "evidence.pem"), is_sandbox=False)
    resign(bundle, key)

    results = {name: ran(name, words) for name, words in COMMANDS.items()}

    first, second, *_ = results["verify"].stdout.splitlines()
    assert first.startswith(f"✘ acme/p/{FIRST}: record.json: ")
    assert message in first
    assert second.startswith(f"✔ acme/p/{SECOND}")
    assert results["report"].exit_code == ExitCode.REFUSED
    assert "record.json" in results["report"].stderr
    outcomes = [json.loads(line) for line in results["archive --json"].stdout.splitlines()]
    assert [outcome["outcome"] for outcome in outcomes] == ["refused", "archived", "refused"]
