"""The commands around a run: status, notebooks, doctor, sandbox; and plain papermill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import nbformat
import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import notebook_name
from runbook_lib.notebook.rendering import STEP_MIME
from tests.runs.conftest import ROOT, command, environment, outcomes, records, runbook
from tests.support.practice_runs import PracticeRun, PractiseOnce
from tests.support.programs import needs
from tests.support.wording import wording

NOTEBOOK = notebook_name(PROCEDURE)


@pytest.fixture
def approved(practice_run: PractiseOnce) -> PracticeRun:
    """Return the complete practice run."""
    return practice_run("approved")


def test_a_practice_run_shows_every_step_and_its_bundle(
    approved: PracticeRun,
) -> None:
    """The output lists each step, the outcome and the bundle's folder, marked SANDBOX."""
    assert approved.returncode == 0
    for step in PROCEDURE.steps:
        assert step.id in approved.stdout
    assert "COMPLETE" in approved.stdout
    assert "SANDBOX" in approved.stdout
    assert approved.bundle.name in approved.stdout
    assert "sandbox-approved" in approved.bundle.relative_to(approved.evidence).parts


def test_a_failed_run_is_written_for_a_ci(tmp_path: Path) -> None:
    """`--junit` writes the outcome of each step as it is in the record, also of a failed run."""
    words = ("--sandbox", "wrong-secret", "--junit", str(tmp_path / "out.xml"))
    done = runbook("run", *words, "--evidence", str(tmp_path), env={"XDG_DATA_HOME": str(tmp_path)})
    (record,) = records(tmp_path)
    (suite,) = ET.parse(tmp_path / "out.xml").getroot()

    assert done.returncode == 1
    assert suite.get("name") == f"SANDBOX.sandbox-wrong-secret.{PROCEDURE.id}"
    passed = {case.get("name") for case in suite if not len(case)}
    failed = {case.get("name") for case in suite.findall("testcase[failure]")}
    by_outcome = outcomes(record)
    assert failed == {name for name, outcome in by_outcome.items() if outcome == "failed"} != set()
    assert passed == {
        name
        for name, step_outcome in by_outcome.items()
        if step_outcome in ("verified", "attested")
    }
    assert len(suite) == len(by_outcome)


def test_a_bundle_holds_the_notebook_the_record_and_the_journal(
    approved: PracticeRun,
) -> None:
    """A bundle has all files that an auditor needs, and no unfinished folder is beside it."""
    assert [path for path in approved.bundle.parent.iterdir() if path.is_dir()] == [approved.bundle]
    names = {path.name for path in approved.bundle.iterdir()}
    content = {
        NOTEBOOK,
        "record.json",
        "journal.jsonl",
        "report.html",
        "VERIFY.md",
    }
    assert names == content | {"SHA256SUMS", "statement.dsse.json"}


def test_each_step_cell_leaves_three_renderings(approved: PracticeRun) -> None:
    """Each step's cell in the executed notebook has HTML, text and JSON."""
    notebook = nbformat.read(approved.bundle / NOTEBOOK, as_version=4)
    record = approved.record
    cells = {cell["id"]: cell for cell in notebook.cells}
    assert "widgets" not in notebook.metadata
    for step in PROCEDURE.steps:
        (output,) = cells[step.id]["outputs"]
        assert set(output["data"]) == {"text/html", "text/plain", STEP_MIME}
        assert output["data"][STEP_MIME]["outcome"] == outcomes(record)[step.id]
        assert "SANDBOX" in output["data"]["text/html"]
        assert "SANDBOX" in output["data"]["text/plain"]


def test_status_says_what_a_person_does_next(practice_run: PractiseOnce, tmp_path: Path) -> None:
    """After a run, `status` names the next steps: none that waits for the review."""
    evidence = str(practice_run("review-pending").copy_evidence(tmp_path / "evidence"))
    result = runbook("status", "--tenant", "sandbox-review-pending", "--evidence", evidence)
    assert result.returncode == 0
    assert "Next: step 15, " in result.stdout
    assert "(cy-02-client-id)" in result.stdout
    machine = runbook(
        "status", "--tenant", "sandbox-review-pending", "--evidence", evidence, "--json"
    )
    document = json.loads(machine.stdout)
    assert document["next"]["step"] == "cy-02-client-id"
    assert document["outcome"] == "incomplete"


def test_the_committed_notebook_is_what_the_procedure_says(tmp_path: Path) -> None:
    """`notebooks --check` accepts the project's notebooks and reports an edited one as stale."""
    assert runbook("notebooks", "--check").returncode == 0
    (tmp_path / "notebooks").mkdir()
    assert runbook("notebooks", cwd=tmp_path).returncode == 0
    path = tmp_path / "notebooks" / NOTEBOOK
    path.write_text(path.read_text(encoding="utf-8").replace("Log in", "Log  in"), encoding="utf-8")
    result = runbook("notebooks", "--check", cwd=tmp_path)
    assert result.returncode == 1
    assert f"stale: {NOTEBOOK}" in result.stdout


def test_the_sandbox_describes_itself_and_ends_on_sigterm(tmp_path: Path) -> None:
    """
    `sandbox --json` prints its addresses in one line; SIGTERM ends it.

    With `--write-env`, a script of one's own practises with that file, which only its owner reads.
    """
    env_file = tmp_path / "practice.env"
    process = subprocess.Popen(
        command("sandbox", "--scenario", "fresh", "--json", "--write-env", str(env_file)),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    description = json.loads(process.stdout.readline())
    assert description["scenario"] == "fresh"
    assert httpx.get(f"{description['graph_url']}/v26.0/me").status_code == 400
    assert env_file.read_text(encoding="utf-8").startswith("# SANDBOX")
    assert env_file.stat().st_mode & 0o777 == 0o600
    again = subprocess.run(
        command("sandbox", "--write-env", str(env_file)),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    done = subprocess.run(
        command("run", "--env-file", str(env_file), "--tenant", "mine"),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.stdout.startswith("SANDBOX")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert process.returncode in (0, 130)


@needs("unshare")
def test_doctor_finds_what_is_missing(folder: Path) -> None:
    """`doctor` reports an invalid .env and an unreachable host, with a run's exit code."""
    (folder / ".env").write_text("RUNBOOK_FACEBOOK_APP_ID=abc\n", encoding="utf-8")
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", *command("doctor", "--json")],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    reported = {item["subject"]: item for item in json.loads(result.stdout)}
    assert "15 or 16 digits" in reported["Settings"]["message"]
    not_reached = wording("host-unreachable.not-reached", host="graph.facebook.com")
    assert not_reached in reported["https://graph.facebook.com"]["message"]
    assert result.returncode == 2


@pytest.mark.costly("papermill's own engine with a kernel, three times")
def test_plain_papermill_works_and_says_when_a_step_failed(
    sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """
    Plain papermill executes the notebook too, and its exit code shows a failed step.

    It takes settings of the runner, and an empty text as nothing; the notebook ends with how to
    seal.
    """

    def papermill(*parameters: str) -> subprocess.CompletedProcess[str]:
        variables = dict(
            line.split("=", 1) for line in env_file.read_text(encoding="utf-8").splitlines()
        )
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "papermill",
                "--no-progress-bar",
                f"notebooks/{NOTEBOOK}",
                str(tmp_path / "out.ipynb"),
                "-p",
                "service_domain",
                sandbox.description["service_domain"],
                "-p",
                "evidence",
                str(tmp_path / "evidence"),
                *parameters,
            ],
            cwd=ROOT,
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    more = ("-p", "exchange_seconds", "29", "-p", "graph_version", "")
    assert papermill("-p", "tenant", "acme", *more).returncode == 0
    not_sealed = wording("notebook.not-sealed", command="runbook run")
    assert not_sealed in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert (tmp_path / "evidence" / "acme" / PROCEDURE.id / "journal.jsonl").is_file()
    failed = papermill("-p", "app_display_name", "Another name")
    assert failed.returncode == 1
    assert "fb-04-create-app" in failed.stderr
    unknown = papermill("-p", "service_domian", "acme-h.cyclr.com")
    assert unknown.returncode == 1
    assert wording("setting-invalid.did-you-mean", name="service_domain") in unknown.stderr


@pytest.mark.costly("a kernel")
def test_nbclient_executes_the_notebook(sandbox: Any, env_file: Path, tmp_path: Path) -> None:
    """The notebook runs in any Jupyter: settings come from the environment, and no cell fails."""
    settings = env_file.read_text(encoding="utf-8").splitlines()
    given = {
        **dict(line.split("=", 1) for line in settings),
        "RUNBOOK_CYCLR_SERVICE_DOMAIN": sandbox.description["service_domain"],
        "RUNBOOK_EVIDENCE": str(tmp_path / "evidence"),
    }
    executed = subprocess.run(
        [
            sys.executable,
            "-m",
            "jupyter",
            "execute",
            f"notebooks/{NOTEBOOK}",
            f"--output={tmp_path / 'out.ipynb'}",
        ],
        cwd=ROOT,
        env={**environment(), **given},
        capture_output=True,
        text=True,
        check=False,
    )

    assert executed.returncode == 0, executed.stderr
    assert any((tmp_path / "evidence").rglob("journal.jsonl"))
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    assert wording("notebook.not-sealed", command="runbook run") in str(cells)


def test_a_run_of_an_installed_package_needs_no_project(folder: Path) -> None:
    """Without a notebooks/ folder, a run builds its own notebook."""
    result = runbook("run", "--sandbox", "fresh", cwd=folder)
    assert result.returncode == 3
    (built,) = (folder / "evidence").glob("sandbox-fresh/*/2*/*.ipynb")
    assert built.name == NOTEBOOK
    assert [path.name for path in folder.iterdir()] == ["evidence"]


def test_practice_never_uses_the_operators_own_settings(folder: Path) -> None:
    """Settings in the environment are not used for practice."""
    mine = {
        "RUNBOOK_FACEBOOK_APP_SECRET": "f" * 32,
        "RUNBOOK_CYCLR_SERVICE_DOMAIN": "acme-h.cyclr.com",
    }
    result = runbook("run", "--sandbox", "approved", "--json", cwd=folder, env=mine)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert [record] == records(folder / "evidence")
    assert record["values"]["service_domain"] == "connect.partner.test"
    assert os.environ.get("RUNBOOK_FACEBOOK_APP_SECRET") is None


def test_installing_the_connector_needs_permission_and_is_recorded(
    practice_run: PractiseOnce, folder: Path
) -> None:
    """Cyclr is changed only if a parameter allows it, and the record lists the change."""
    without = practice_run("review-pending")
    evidence = str(without.copy_evidence(folder / "evidence"))
    result = runbook(
        "run",
        "--sandbox",
        "review-pending",
        "--json",
        "--evidence",
        evidence,
        "--set",
        "install_connector=yes",
        cwd=folder,
        env=without.environment,
    )
    given = json.loads(result.stdout)
    assert outcomes(without.record)["test-01-install"] == "not_run"
    assert outcomes(given)["test-01-install"] == "verified"
    step = next(step for step in given["steps"] if step["id"] == "test-01-install")
    installed = wording("findings.connector-installed", connector="Facebook Marketing API")
    assert step["findings"][0]["changes"][0].startswith(installed)


def test_a_look_in_practice_says_what_it_did(practice_run: PractiseOnce, tmp_path: Path) -> None:
    """A look for cron prints only changes; somebody who practises reads that there were none."""
    run = practice_run("approved")
    evidence = str(run.copy_evidence(tmp_path / "evidence"))
    words = ("watch", "--sandbox", "approved", "--once", "--evidence", evidence)

    reported = runbook(*words, env=run.environment)
    for_programs = runbook(*words, "--json", env=run.environment)

    nothing = wording("watch.nothing-changed", tenant="sandbox-approved")
    assert reported.stdout == f"{nothing}\n", reported.stderr
    assert for_programs.stdout == ""


def test_a_second_practice_run_uses_the_same_app(
    practice_run: PractiseOnce, tmp_path: Path
) -> None:
    """A second practice run has the same app, so that attestations still count."""
    first = practice_run("approved")
    evidence = first.copy_evidence(tmp_path / "evidence")
    again = runbook(
        "run",
        "--sandbox",
        "approved",
        "--evidence",
        str(evidence),
        "--json",
        env=first.environment,
    )

    assert again.returncode == 0, again.stderr
    status_json = json.loads(again.stdout)
    assert status_json["values"]["app_id"] == first.record["values"]["app_id"]
    assert outcomes(status_json) == outcomes(first.record)
    words = [step["attestation"] for step in status_json["steps"] if step["attestation"]]
    assert words
    assert {word["at"] < first.record["finished_on"] for word in words} == {True}


def test_attestations_of_another_app_do_not_count(
    practice_run: PractiseOnce, tmp_path: Path
) -> None:
    """
    Without its key the sandbox has another app: earlier attestations are listed but do not count.
    """
    first = practice_run("approved")
    evidence = first.copy_evidence(tmp_path / "evidence")
    for key in evidence.rglob("fingerprint.key"):
        key.unlink()
    again = runbook(
        "run",
        "--sandbox",
        "approved",
        "--evidence",
        str(evidence),
        "--json",
        env=first.environment,
    )

    assert again.returncode == 3, again.stderr
    status_json = json.loads(again.stdout)
    attested = [name for name, outcome in outcomes(first.record).items() if outcome == "attested"]
    left = {name: outcomes(status_json)[name] for name in attested}
    # The test calls are made again, and cannot show all that was attested.
    assert left.pop("fb-09a-test-calls") == "inconclusive"
    # A step before there is an app is about none.
    for name in ("fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"):
        assert left.pop(name) == "attested"
    assert set(left.values()) == {"not_run"}
    lapsed = next(step for step in status_json["steps"] if step["id"] == "cy-03-client-secret")[
        "void_attestations"
    ]
    assert "App ID" in lapsed[0]["why"]
