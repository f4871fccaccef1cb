"""A connector in a package of its own: pip installs it, and nothing else of it is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import ROOT, command, environment, records

PACKAGE = ROOT / "tests/packages/plainmail"
NAME = "plainmail"
DISTRIBUTION = "runbook-plainmail"
# Where the package's code begins; it notes that it was loaded.
_TRAP = "import os, pathlib\npathlib.Path(os.environ['LOADED_MARK']).touch()\n"


@dataclass(frozen=True)
class Installed:
    """A folder of installed packages, and a run with the package in it."""

    packages: Path
    folder: Path
    output: subprocess.CompletedProcess[str]

    @property
    def mark(self) -> Path:
        """The file that the package's code makes where it is loaded."""
        return self.folder / "loaded"

    @property
    def record(self) -> dict[str, Any]:
        """The record of the run."""
        (record,) = records(self.folder / "evidence")
        return record

    def runbook(
        self, *arguments: str, without: bool = False, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in a new process that has the package, or runs `without` it."""
        self.mark.unlink(missing_ok=True)
        more = {"XDG_DATA_HOME": str(self.folder / "data"), "LOADED_MARK": str(self.mark)}
        if not without:
            more["PYTHONPATH"] = str(self.packages)
        return subprocess.run(
            command(*arguments),
            cwd=cwd or self.folder,
            env=environment(**more),
            capture_output=True,
            text=True,
            check=False,
        )


def pip_install(source: Path, target: Path) -> None:
    """Build and install the package as a user does, without a network."""
    words = ("install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile")
    place = ("--no-build-isolation", "--target", str(target), str(source))
    subprocess.run([sys.executable, "-m", "pip", *words, *place], check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return the installed package, after one run without secrets, which asks nobody anything."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(
        PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "tests")
    )
    begin = folder / "source" / NAME / "__init__.py"
    begin.write_text(f"{_TRAP}{begin.read_text()}")
    pip_install(folder / "source", folder / "packages")
    (folder / "work").mkdir()
    made = Installed(folder / "packages", folder / "work", None)  # type: ignore[arg-type]
    values = ("--set", "service_domain=acme-h.cyclr.com", "--set", "app_id=4711")
    output = made.runbook("run", "--connector", NAME, "--tenant", "acme", *values)
    return Installed(made.packages, made.folder, output)


def test_its_run_is_sealed(installed: Installed) -> None:
    """`run` finds the procedure by the entry point."""
    assert installed.output.returncode == 3, installed.output.stderr
    assert installed.record["procedure"]["id"] == NAME
    assert installed.record["calls"] == {}


def test_its_report_has_its_vendors_words(installed: Installed) -> None:
    """The app's id has the label that its vendor gives it."""
    (bundle,) = (installed.folder / "evidence").glob(f"*/{NAME}/2*")
    report = (bundle / "report.html").read_text()

    assert "<dt>Client ID</dt>" in report
    assert "App ID" not in report
    assert f"<dd>{DISTRIBUTION}, version 1.0" in report


def test_its_package_is_named_before_the_run_and_in_the_record(installed: Installed) -> None:
    """Its name and version are on screen and in the record."""
    assert installed.record["procedure"]["package"] == {"name": DISTRIBUTION, "version": "1.0"}
    assert f"package {DISTRIBUTION} 1.0" in installed.output.stderr.splitlines()[0]


def keys(installed: Installed) -> str:
    """Return the folder of the keys that signed the run."""
    return str(installed.folder / "data/facebook-marketing-runbook/public-keys")


@pytest.mark.parametrize(
    ("more", "without"),
    [
        ((), False),
        ((), True),
        (("--connector", NAME), False),
        (("--connector", NAME), True),
        (("--tenants", "tenants.toml"), False),
    ],
)
def test_its_evidence_is_valid_without_its_code(
    installed: Installed, more: tuple[str, ...], *, without: bool
) -> None:
    """`verify` loads nothing of the package, and does not even need it."""
    file = installed.folder / "tenants.toml"
    file.write_text(f'[[tenant]]\ntenant = "acme"\nconnector = "{NAME}"\n')

    done = installed.runbook(
        "verify", "evidence", "--trusted-keys", keys(installed), *more, without=without
    )

    # Exit code 4: the run belongs to no fleet, which is told after the valid evidence.
    assert done.returncode == (4 if more[:1] == ("--tenants",) else 0), done.stdout + done.stderr
    assert "✔" in done.stdout
    assert not installed.mark.exists()


def test_no_command_beside_the_signing_key_loads_its_code(installed: Installed) -> None:
    """`key`, `archive`, `doctor` and a run of another connector read its metadata only."""
    bundle = next((installed.folder / "evidence").glob(f"*/{NAME}/2*"))
    archive = ("archive", str(bundle), "--to", str(installed.folder / "archive"))
    own = ("--connector", NAME)
    other = ("--evidence", str(installed.folder / "other"))
    for words in (
        ("key", *own),
        (*archive, *own),
        ("doctor",),
        ("notebooks", "--check"),
        ("run", "--sandbox", "wrong-secret", *other),
        ("watch", "--once", "--sandbox", *other),
        ("explain", "invalid_client"),
    ):
        done = installed.runbook(*words)
        assert not installed.mark.exists(), words
        assert "Traceback" not in done.stderr, done.stderr
    assert (installed.folder / "archive").exists()

    installed.runbook("init", *own, "--output", str(installed.folder / "written.env"))
    assert installed.mark.exists()  # so the mark tells


def test_doctor_lists_it(installed: Installed) -> None:
    """The row has name, package and version."""
    rows = json.loads(installed.runbook("doctor", "--json").stdout)

    (row,) = [row for row in rows if row["subject"] == f"Connector {NAME}"]
    assert f"package {DISTRIBUTION} 1.0" in row["message"]
    assert not row["is_warning"]


def test_inbox_names_the_missing_package(installed: Installed) -> None:
    """Without the package its tenant is one row that names it; with it, the row is gone."""
    (missing,) = json.loads(installed.runbook("inbox", "--json", without=True).stdout)
    (present,) = json.loads(installed.runbook("inbox", "--json").stdout)
    done = installed.runbook("inbox", without=True)

    assert (missing["tenant"], missing["connector"]) == ("acme", NAME)
    assert f"acme: The connector {NAME} is not installed" in done.stdout
    assert f"{DISTRIBUTION} 1.0" in done.stdout
    assert DISTRIBUTION not in json.dumps(present)


def test_a_fleet_runs_it_and_names_its_package(installed: Installed) -> None:
    """Each tenant's process finds the connector; its package is named once, before the runs."""
    folder = installed.folder / "fleet"
    folder.mkdir()
    tables = [f'[[tenant]]\ntenant = "{name}"\nconnector = "{NAME}"' for name in ("beta", "gamma")]
    values = ('service_domain = "acme-h.cyclr.com"', 'app_id = "4711"')
    (folder / "tenants.toml").write_text("\n".join(["[defaults]", *values, *tables]))

    done = installed.runbook("fleet", "tenants.toml", "--json", cwd=folder)

    named = [line for line in done.stderr.splitlines() if DISTRIBUTION in line]
    outcomes = {run["tenant"]: run["outcome"] for run in json.loads(done.stdout)["tenants"]}
    assert outcomes == {"beta": "incomplete", "gamma": "incomplete"}
    assert len(named) == 1
    # Without secrets no check asks anything.
    assert [record["calls"] for record in records(folder / "evidence")] == [{}, {}]


def test_a_setting_of_it_is_accepted_beside_another_connectors(installed: Installed) -> None:
    """One `.env` may hold its variables, though only its own run knows them."""
    folder = installed.folder / "settings"
    folder.mkdir()
    (folder / ".env").write_text("RUNBOOK_PLAINMAIL_APP_ID=4711\n")

    assert installed.runbook("key", cwd=folder).returncode == 0
    assert installed.runbook("key", cwd=folder, without=True).returncode == 2
    assert not installed.mark.exists()


def test_an_unknown_connector_says_that_a_package_may_be_missing(installed: Installed) -> None:
    """Without the package its commands are refused in a sentence, not with a traceback."""
    done = installed.runbook("run", "--connector", NAME, without=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert "install its package" in done.stderr
