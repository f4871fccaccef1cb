"""The evidence of a run is complete, signed, free of secrets, and can be verified independently."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.evidence.signing.keys import create_key, export_public_key, open_key
from tests.runs.conftest import Process, RunAcme, journal_of_acme, runbook
from tests.support.notebooks import project_with
from tests.support.programs import needs
from tests.support.wording import wording

Start = Callable[..., Process]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

IN_A_PICTURE = """\
from IPython.display import display, Image
display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + open(env_file, 'rb').read()))
"""


@pytest.fixture(scope="module")
def two_practice_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an evidence folder with two practice runs of one tenant."""
    home = tmp_path_factory.mktemp("home")
    evidence = tmp_path_factory.mktemp("evidence")
    for scenario in ("review-pending", "approved"):
        result = runbook(
            "run",
            "--sandbox",
            scenario,
            "--tenant",
            "acme",
            "--evidence",
            str(evidence),
            env={"XDG_DATA_HOME": str(home)},
        )
        assert result.returncode in (0, 3), result.stderr
    return evidence


@pytest.fixture
def evidence(two_practice_runs: Path, tmp_path: Path) -> Path:
    """Return a copy of the evidence, for one test to alter."""
    return shutil.copytree(two_practice_runs, tmp_path / "evidence")


def bundles(evidence: Path) -> list[Path]:
    return sorted(evidence.glob("acme/*/2*"))


def verified(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    keys = (
        next(ancestor for ancestor in (path, *path.parents) if (ancestor / "keys").is_dir())
        / "keys"
    )
    return runbook("verify", str(path), "--trusted-keys", str(keys), *more)


def by_hand(bundle: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run every command of VERIFY.md literally, in one shell that stops at the first error."""
    script = "".join(BLOCK.findall((bundle / "VERIFY.md").read_text(encoding="utf-8")))
    assert script.count("openssl") >= 3
    (key,) = (bundle.parents[2] / "keys").glob("*.pub.pem")
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=bundle,
        env={"PATH": os.environ["PATH"], "KEY": str(key), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_practice_evidence_verifies(evidence: Path) -> None:
    """
    `verify` prints a line for each run, marked SANDBOX, and one for the chain, as text and JSON.
    """
    result = verified(evidence)
    assert result.returncode == 0, result.stdout
    first, *lines = result.stdout.splitlines()
    assert first.startswith(wording("verify.inside-the-evidence"))
    assert len(lines) == 3
    assert all(line.startswith("✔ acme") for line in lines)
    assert lines[0].count("SANDBOX · incomplete") == lines[1].count("SANDBOX · complete") == 1
    assert wording("verify.chain-whole", count=2) in lines[2]

    answers = [json.loads(line) for line in verified(evidence, "--json").stdout.splitlines()]
    assert [answer["accepted"] for answer in answers] == [True] * 3
    assert answers[1]["run"]["outcome"] == "complete"
    assert answers[2]["chain"] == 2


@needs("openssl")
def test_an_auditor_needs_nothing_but_openssl(evidence: Path) -> None:
    """The commands of VERIFY.md work for the first and the second bundle of a chain."""
    for bundle in bundles(evidence):
        result = by_hand(bundle)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Verified OK" in result.stdout


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda bundle: (bundle / "record.json").write_text("{}"), id="altered"),
        pytest.param(lambda bundle: (bundle / "report.html").unlink(), id="removed"),
        pytest.param(lambda bundle: (bundle / "more.txt").write_text("x"), id="added"),
        pytest.param(lambda bundle: (bundle / "statement.x").write_text("x"), id="added-beside"),
        pytest.param(
            lambda bundle: shutil.copy(
                bundles(bundle.parents[2])[0] / "statement.dsse.json", bundle
            ),
            id="another-statement",
        ),
        pytest.param(
            lambda bundle: (bundle / "statement.tsr").write_text("x"), id="time-stamp-added"
        ),
        pytest.param(
            lambda bundle: _linked(bundle / "report.html", bundle.parent), id="replaced-by-a-link"
        ),
        pytest.param(
            lambda bundle: _linked(bundle / "statement.dsse.json", bundle.parent),
            id="statement-replaced-by-a-link",
        ),
        pytest.param(
            lambda bundle: (bundle / "SHA256SUMS\n..SHA256SUMS").write_text("x"),
            id="a-name-of-two-lines",
        ),
    ],
)
@needs("openssl")
def test_the_auditors_commands_fail_for_an_altered_bundle(
    spoil: Callable[[Path], Any], evidence: Path
) -> None:
    """An altered bundle is rejected by the commands of VERIFY.md and by `runbook verify`."""
    bundle = bundles(evidence)[1]
    spoil(bundle)

    assert by_hand(bundle).returncode != 0
    assert verified(evidence).returncode == 4


def _linked(path: Path, elsewhere: Path) -> None:
    """Replace a file by a link to the same content."""
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)


@needs("openssl")
def test_an_auditor_accepts_a_requested_time_stamp(run_acme: RunAcme, tmp_path: Path) -> None:
    """If the run requested a time-stamp, the file with it is accepted."""
    done = run_acme("--tsa", "http://127.0.0.1:9/tsa")
    assert done.returncode == 0, done.stderr
    (bundle,) = bundles(tmp_path / "evidence")
    (bundle / "statement.tsr").write_text("what openssl ts looks at")

    assert by_hand(bundle).returncode == 0


@needs("openssl")
def test_the_auditors_own_key_counts(evidence: Path, tmp_path: Path) -> None:
    """Without a key of the auditor's nothing is verified; another key than the signer's fails."""
    create_key(tmp_path / "other.pem")
    other = export_public_key(open_key(str(tmp_path / "other.pem"), is_sandbox=False), tmp_path)
    bundle = bundles(evidence)[0]

    without = by_hand(bundle, KEY="")
    assert without.returncode != 0
    assert wording("verify.key-that-you-trust") in without.stderr
    assert by_hand(bundle, KEY=str(other)).returncode != 0
    result = runbook("verify", "--key", str(other), str(bundle))
    assert result.returncode == 4
    assert wording("no-trusted-signature.not-trusted") in result.stdout


def test_a_refusal_names_file_and_reason(evidence: Path) -> None:
    """A rejected bundle gives exit code 4 with file and reason; the other bundle is verified."""
    with (bundles(evidence)[0] / "journal.jsonl").open("ab") as file:
        file.write(b"{}\n")

    result = verified(evidence)
    assert result.returncode == 4
    assert "✘ acme/" in result.stdout
    assert " journal.jsonl: " in result.stdout
    assert result.stdout.count("✔") == 1
    assert wording("journal-chain-broken.proven-from-first", count=0, rest="") in result.stdout
    refused, accepted, chain = map(json.loads, verified(evidence, "--json").stdout.splitlines())
    assert (refused["refused"], refused["file"]) == ("content", "journal.jsonl")
    assert (accepted["accepted"], chain["refused"]) == (True, "chain")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), wording("setting-invalid.no-key-trusted")),
        (("--key", "none.pem"), "none.pem"),
        (("--trusted-keys", "."), wording("setting-invalid.no-public-key")),
        (
            ("--key", "KEY", "--tsa-certificate", "none.pem"),
            wording("verify.no-readable-certificate"),
        ),
    ],
)
def test_verifying_without_a_trusted_key_is_a_usage_error(
    arguments: tuple[str, ...], message: str, evidence: Path, tmp_path: Path
) -> None:
    """Without a usable trusted key or certificate, `verify` gives exit code 2 and no verdict."""
    (key,) = evidence.glob("keys/*.pub.pem")
    given = [str(key) if word == "KEY" else word for word in arguments]
    result = runbook("verify", *given, str(evidence), cwd=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_evidence_is_a_usage_error(evidence: Path, tmp_path: Path) -> None:
    """A folder without evidence gives exit code 2."""
    (tmp_path / "empty").mkdir()
    result = runbook(
        "verify", "--trusted-keys", str(evidence / "keys"), str(tmp_path / "empty"), cwd=tmp_path
    )

    assert result.returncode == 2
    assert wording("setting-invalid.no-evidence") in result.stderr


def test_a_key_can_be_shown_and_rotated(tmp_path: Path, run_acme: RunAcme, env_file: Path) -> None:
    """Evidence signed with a rotated key needs trust in that key, beside the first one."""
    evidence = tmp_path / "evidence"
    home = tmp_path / "home"
    options = ("--evidence", str(evidence), "--env-file", str(env_file), "--json")
    first = json.loads(runbook("key", *options, env={"XDG_DATA_HOME": str(home)}).stdout)
    second = json.loads(
        runbook("key", "--rotate", *options, env={"XDG_DATA_HOME": str(home)}).stdout
    )
    assert first["key_id"] != second["key_id"]
    key_file = home / "facebook-marketing-runbook" / "signing-key.pem"

    done = run_acme("--set", f"signing_key={key_file}", "--set", "exchange_seconds=14")

    assert done.returncode == 0, done.stderr
    assert "parameter" not in done.stderr, "papermill calls a known setting an unknown one"
    verify = ("verify", "--key", first["public_key"], str(evidence), "--json")
    assert runbook(*verify).returncode == 4
    result = runbook(*verify, "--key", second["public_key"])
    assert result.returncode == 0, result.stdout
    assert json.loads(result.stdout.splitlines()[0])["key_id"] == second["key_id"]


def test_an_unusable_key_stops_a_run_before_it_begins(run_acme: RunAcme, tmp_path: Path) -> None:
    """An unusable signing key gives exit code 2, and no journal is written."""
    done = run_acme("--set", f"signing_key={tmp_path / 'none.pem'}")

    assert done.returncode == 2
    assert "signing key" in done.stderr
    assert not journal_of_acme(tmp_path).path.exists()


def test_an_unreachable_time_stamp_authority_is_reported(run_acme: RunAcme, tmp_path: Path) -> None:
    """
    If the authority is unreachable, the bundle is sealed without a time-stamp; run and `verify` say
    so.
    """
    done = run_acme("--tsa", "http://127.0.0.1:9/tsa")

    assert done.returncode == 0
    not_reached = wording("host-unreachable.not-reached", host="127.0.0.1")
    assert wording("run.no-time-stamp", reason=not_reached) in done.stderr
    result = verified(tmp_path / "evidence")
    assert result.returncode == 0
    assert wording("verify.stamp-missing") in result.stdout


@pytest.mark.parametrize(
    "source",
    [
        "print(open(env_file).read())",
        "import base64; print(base64.b64encode(open(env_file, 'rb').read()).decode())",
        IN_A_PICTURE,
    ],
    ids=["printed", "in-base64", "in-a-picture"],
)
def test_a_leak_in_a_notebook_is_refused(source: str, run_acme: RunAcme, tmp_path: Path) -> None:
    """A secret in the notebook gives exit code 4 with file and step; no bundle is written."""
    project = project_with(tmp_path / "project", "cy-02-client-id", source)
    done = run_acme(cwd=project)

    assert done.returncode == 4
    assert "facebook_marketing.ipynb, cy-02-client-id" in done.stderr
    assert "RUNBOOK_FACEBOOK_APP_SECRET" not in done.stdout + done.stderr
    assert not list((tmp_path / "evidence").glob("acme/*/2*"))
    assert not list((tmp_path / "evidence").glob("acme/*/.*"))
    assert journal_of_acme(tmp_path).read_all()[-1].head.type == "run.finished"


def test_a_run_is_archived_and_verified_from_there(run_acme: RunAcme, tmp_path: Path) -> None:
    """With --archive, the bundle and the key to verify it are copied to the archive."""
    archive = tmp_path / "archive"
    done = run_acme("--archive", str(archive))

    assert done.returncode == 0, done.stderr
    assert "Archived: " in done.stdout
    result = runbook("verify", "--trusted-keys", str(archive / "keys"), str(archive))
    assert result.returncode == 0, result.stdout
    assert bundles(archive)[0].name in result.stdout


def test_an_archive_error_keeps_the_sealed_bundle(run_acme: RunAcme, tmp_path: Path) -> None:
    """
    If archiving fails, the exit code is 3, the command to continue is shown, and the bundle stays.
    """
    (tmp_path / "taken").write_text("a file, not a folder")
    done = run_acme("--archive", str(tmp_path / "taken"))

    assert done.returncode == 3
    assert "Not archived: " in done.stderr
    assert "runbook archive " in done.stderr
    assert verified(tmp_path / "evidence").returncode == 0


def test_a_report_can_be_rebuilt(evidence: Path, tmp_path: Path) -> None:
    """A run's report is rebuilt byte for byte; without one the newest run is meant."""
    bundle = bundles(evidence)[1]
    result = runbook("report", str(bundle), "--output", str(tmp_path / "again.html"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "again.html").read_bytes() == (bundle / "report.html").read_bytes()

    newest = tmp_path / "newest.html"
    result = runbook(
        "report", "--tenant", "acme", "--evidence", str(evidence), "--output", str(newest)
    )
    assert result.returncode == 0, result.stderr
    assert newest.read_bytes() == (bundles(evidence)[1] / "report.html").read_bytes()


def test_no_report_is_built_of_an_altered_or_missing_run(evidence: Path) -> None:
    """If the newest run is altered or missing, the exit code is 4, and it is named."""
    newest = bundles(evidence)[1]
    record = (newest / "record.json").read_text(encoding="utf-8")
    (newest / "record.json").write_text(record + " ", "utf-8")
    result = runbook("report", "--tenant", "acme", "--evidence", str(evidence))
    assert (result.returncode, result.stdout) == (4, "")
    assert wording("content-altered.not-the-sealed-one") in result.stderr

    shutil.rmtree(newest)
    result = runbook("report", "--tenant", "acme", "--evidence", str(evidence))
    assert (result.returncode, result.stdout) == (4, "")
    assert newest.name in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--tenant", "nobody"), 2, "There is no record yet of a tenant called nobody"),
        (("nowhere",), 2, "There is no bundle nowhere"),
    ],
)
def test_a_report_of_nothing_is_a_usage_error(
    arguments: tuple[str, ...], code: int, message: str, evidence: Path
) -> None:
    """A report without runs gives exit code 2 and no page."""
    result = runbook("report", *arguments, "--evidence", str(evidence))

    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr


@pytest.mark.matrix(1)
@pytest.mark.parametrize("moments", [(0, 50, 140), (20, 90, 200)], ids=["early", "late"])
def test_a_run_killed_while_it_seals_leaves_a_whole_bundle_or_none(
    moments: tuple[int, ...], start: Start, tmp_path: Path
) -> None:
    """Whenever a run is killed during sealing, each bundle verifies and the chain has no gap."""
    evidence = tmp_path / "evidence"
    for milliseconds in moments:
        run = start()
        run.wait_for("step.checked", "test-05-marketing-data")
        seen = len(run.journal.read_all())
        while not any(e.head.type == "run.finished" for e in run.journal.read_all()[seen:]):
            # Another process writes it.
            time.sleep(0.002)
        # The moment of the kill.
        time.sleep(milliseconds / 1000)
        run.popen.send_signal(signal.SIGKILL)
        run.popen.wait()
        run.journal.read_all()
        for bundle in bundles(evidence):
            assert verified(bundle).returncode == 0

    code, _, errors = start().finish()

    assert code == 0, errors
    result = verified(evidence)
    assert result.returncode == 0, result.stdout
    assert not list(evidence.glob("acme/*/.sealed-*"))


def test_attestations_from_a_file_are_in_the_evidence(evidence: Path) -> None:
    """The record names the person of each attestation."""
    record = json.loads((bundles(evidence)[1] / "record.json").read_text())
    message = {step["attestation"]["by"] for step in record["steps"] if step["attestation"]}
    assert message == {"Sandbox operator"}
