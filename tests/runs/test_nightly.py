"""cron and CI run the fleet each night as docs/fleet.md prints it, and spend nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from facebook_cyclr_sandbox.cyclr import cyclr_api
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import practice_attestations
from runbook_lib.core.clock import utc_now
from runbook_lib.evidence.signing.keys import create_key
from runbook_lib.run.journal import Journal
from tests.runs.conftest import ROOT, records, step_of
from tests.support.wording import wording

PATIENCE = 400
PRINTED = "/srv/runbook"
TENANTS = ("acme", "bloom")
SIGN_IN = "cy-02-client-id"
FENCE = re.compile(r"^```(text|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The interpreter reads this before anything else: every process then lives so many days later.
CLOCK = """
import os
from datetime import timedelta
days = int(os.environ.get("DAYS_AHEAD", "0"))
if days:
    from runbook_lib.core import clock
    now = clock.utc_now
    clock.utc_now = lambda: now() + timedelta(days=days)
"""


@dataclass
class Installation:
    """A folder with `tenants.toml`, `.env` and `.venv/bin/runbook`, in the printed one's place."""

    folder: Path
    secrets: Mapping[str, str]
    links: list[str] = field(default_factory=list)
    """The accounts for which the sandbox made a sign-in link."""

    @property
    def evidence(self) -> Path:
        """The evidence folder."""
        return self.folder / "evidence"

    def printed(self, language: str) -> str:
        """Return the block of docs/fleet.md about the schedule in that language."""
        text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
        text = text.partition("## On a schedule")[2].partition("## The result")[0]
        (block,) = [block for name, block in FENCE.findall(text) if name == language]
        return str(block).replace(PRINTED, str(self.folder))

    def run(
        self, line: str, *, days: int, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a line as `sh` does, so many days ahead, with no environment but the named one."""
        path = f"{self.folder / '.venv' / 'bin'}:/usr/bin:/bin"
        home = {name: os.environ[name] for name in ("XDG_DATA_HOME",) if name in os.environ}
        environ = {"PATH": path, "HOME": str(self.folder / "home"), **home, **(env or {})}
        return subprocess.run(
            ["/bin/sh", "-c", line], cwd=self.folder, env={**environ, "DAYS_AHEAD": str(days)},
            capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def crontab(self, *, days: int, more: str = "") -> subprocess.CompletedProcess[str]:
        """Run the printed line of the crontab, `more` added to it."""
        line = self.printed("text").partition(" * * * ")[2].strip()
        return self.run(f"{line}{more}", days=days, env=self.secrets)

    def requests(self, *tenants: str) -> dict[str, int]:
        """Return the number of exchanges that each tenant's newest bundle has of its own run."""
        counts = {}
        for tenant in tenants:
            newest = sorted((self.evidence / tenant / PROCEDURE.id).glob("2*"))[-1]
            run_id = json.loads((newest / "record.json").read_text())["run"]
            entries = Journal(newest / "journal.jsonl").read_all()
            own = [line for line in entries if line.head.run == run_id]
            counts[tenant] = sum(line.head.type == "exchange.recorded" for line in own)
        return counts


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    folder = tmp_path / "srv"
    program = folder / ".venv" / "bin" / "runbook"
    program.parent.mkdir(parents=True)
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
    paths = f"{folder / 'clock'}:{ROOT}"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={paths} exec "{sys.executable}" -m runbook_lib "$@"\n'
    )
    program.chmod(0o755)
    links: list[str] = []
    issue = cyclr_api.issue_sign_in_token

    def issue_noted(world: Any, account: Any, username: str) -> Any:
        links.append(account.id)
        return issue(world, account, username)

    monkeypatch.setattr(cyclr_api, "issue_sign_in_token", issue_noted)
    with Sandbox("approved", seed=2) as sandbox:
        known = {
            item: sandbox.settings(item.provider).get(item.name) for item in inputs_of(PROCEDURE)
        }
        own = {"app_secret": "ACME_APP_SECRET", "cyclr_client_secret": "CYCLR_SECRET"}
        secrets = {own[item.name]: str(text) for item, text in known.items() if item.name in own}
        lines = [
            f'{item.variable}="{text}"\n'
            for item, text in known.items()
            if text and item.name not in own
        ]
        (folder / ".env").write_text("".join(lines))
        references = ", ".join(f'{name} = "env:{variable}"' for name, variable in own.items())
        tables = [f'[[tenant]]\ntenant = "{name}"\n' for name in TENANTS]
        (folder / "tenants.toml").write_text(
            f"[defaults]\nsecrets = {{{references}}}\n\n" + "\n".join(tables)
        )
        words = practice_attestations(PROCEDURE.id, "approved", utc_now().date())
        (folder / "attestations.toml").write_text(words, encoding="utf-8")
        yield Installation(folder, secrets, links)


def set_up(here: Installation) -> None:
    """Verify each tenant once, with all that spends something, as its operator does."""
    secrets = {
        "RUNBOOK_FACEBOOK_APP_SECRET": here.secrets["ACME_APP_SECRET"],
        "RUNBOOK_CYCLR_CLIENT_SECRET": here.secrets["CYCLR_SECRET"],
    }
    for tenant in TENANTS:
        options = "--attestations attestations.toml --set make_test_calls=true"
        done = here.run(f"runbook run --tenant {tenant} {options}", days=0, env=secrets)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(here.links) == len(TENANTS)


def verified_on(here: Installation) -> list[str]:
    """Return on which earlier day the step was verified, by the newest record of each tenant."""
    last = {record["tenant"]: record for record in records(here.evidence)}
    return [step_of(last[name], SIGN_IN)["verified_on"] for name in TENANTS]


@pytest.mark.costly("seven runs of a fleet's tenants, each in a process")
def test_the_printed_crontab_is_complete_each_night_and_spends_nothing(
    installation: Installation,
) -> None:
    """Two nights in turn end with 0, without --yes or a sign-in link; after 30 days it is due."""
    set_up(installation)
    day = utc_now().date().isoformat()
    spent = len(installation.links)

    for night in (1, 2):
        done = installation.crontab(days=night)
        assert done.returncode == 0, done.stdout + done.stderr
        assert verified_on(installation) == [day] * len(TENANTS)
    assert len(installation.links) == spent

    due = installation.crontab(days=31)
    assert due.returncode == 3, due.stdout + due.stderr
    assert wording("setting-invalid.set-for-tenants", name="cyclr_username", count=2) in due.stderr
    assert wording("setting-invalid.due-tenants", tenants="acme, bloom") in due.stderr
    assert len(installation.links) == spent
    last = {record["tenant"]: record for record in records(installation.evidence)}
    assert all(step_of(last[name], SIGN_IN)["due_on"] for name in TENANTS)
    inbox = installation.run("runbook inbox --json", days=31)
    due_now = {
        status["tenant"]: [
            place["id"]
            for item in status["open"]
            for place in item["places"]
            if item["group"] == "due_now"
        ]
        for status in json.loads(inbox.stdout)
    }
    assert due_now == {name: [SIGN_IN] for name in TENANTS}

    checked = installation.crontab(days=31, more=" --yes")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(installation.links) == spent + len(TENANTS)
    assert verified_on(installation) == ["", ""]
    verified = installation.run("runbook verify --key evidence/keys/*.pub.pem evidence", days=31)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.costly("six runs of a fleet's tenants, each in a process")
def test_the_printed_workflow_is_complete_each_night_and_spends_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    """
    Its `run:` lines, in turn, with the environment that they name, end with 0 on two nights.

    Without the setting that permits the check, too; then it is due, not refused.
    """
    set_up(installation)
    spent = len(installation.links)
    settings = installation.folder / ".env"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if "CYCLR_USERNAME" not in line))
    create_key(tmp_path / "signing.pem")
    given = {**installation.secrets, "SIGNING_KEY": (tmp_path / "signing.pem").read_text().strip()}
    steps = yaml.safe_load(installation.printed("yaml"))["jobs"]["fleet"]["steps"]
    commands = [step for step in steps if "run" in step]
    assert [shlex.split(step["run"])[0] for step in commands] == ["umask", "runbook"]

    for night, code in ((1, 0), (2, 0), (31, 3)):
        for step in commands:
            env = {
                name: given[text.split(".")[1].strip(" }")] if "secrets." in text else text
                for name, text in step.get("env", {}).items()
            }
            done = installation.run(step["run"], days=night, env=env)
            is_last = step is commands[-1]
            assert done.returncode == (code if is_last else 0), done.stdout + done.stderr
    assert len(installation.links) == spent
    last = {record["tenant"]: record for record in records(installation.evidence)}
    due = [step_of(last[name], SIGN_IN) for name in TENANTS]
    assert {(step["outcome"], bool(step["due_on"])) for step in due} == {("not_run", True)}
    assert wording("reasons.carried-until", days=30) in due[0]["reason"]
