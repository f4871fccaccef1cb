"""A fleet against the sandbox: one tenant's trouble is its own, the others run as if alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import utc_now
from runbook_lib.operations.tenant_reader import read_tenants
from tests.runs.conftest import (
    ROOT,
    command,
    environment,
    new_runbook,
    runbook,
    settings_of,
    values_of,
)
from tests.support.hostile_server import hostile_server
from tests.support.wording import wording

WRONG = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_PATIENCE_SECONDS = 240
_LIMIT_SECONDS = 20
_TENANTS = 24
_APPS = 3
# Results of the tenants that are in trouble.
TROUBLE = {
    "crash": ("sealed", "incomplete"),
    "killed": ("not_run", None),
    "full": ("unsealed", None),
    "lost": ("sealed", "incomplete"),
    "hanging": ("unsealed", None),
    "wrong": ("sealed", "failed"),
    "missing": ("not_run", None),
}


@dataclass(frozen=True)
class FleetRun:
    """A fleet that has run, and the settings of its sandbox."""

    folder: Path
    """The working folder of the run."""

    returncode: int
    """The exit code."""

    stdout: str
    """The standard output."""

    stderr: str
    """The standard error."""

    secrets: tuple[str, ...]
    """The secrets of all tenants."""

    command_lines: list[str]
    """The command lines of all processes during the run."""

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """The results by tenant."""
        return {entry["tenant"]: entry for entry in json.loads(self.stdout)["tenants"]}

    @property
    def fleet_id(self) -> str:
        """The id of the run."""
        return str(json.loads(self.stdout)["fleet_id"])


def fleet_file(folder: Path, boxes: Sequence[Path], silent: str) -> Path:
    """
    Write the file of the fleet: two dozen tenants, over the apps of the sandboxes in turn.

    Seven are in trouble; three of them have a remote system that is silent.
    """
    (folder / "wrong.env").write_text(f"APP_SECRET={WRONG}\n")
    stuck = f'graph_url = "{silent}"\nstep_seconds = 3600\n'
    troubles = {
        "crash": f'app_id = "100000000001"\n{stuck}exchange_seconds = 600\n',
        "killed": f'app_id = "100000000002"\n{stuck}exchange_seconds = 600\n',
        "full": f'app_id = "100000000003"\n{stuck}exchange_seconds = 3\n',
        "lost": f'app_id = "100000000004"\n{stuck}exchange_seconds = 3\n',
        "hanging": f'app_id = "100000000005"\n{stuck}exchange_seconds = 600\n',
        "wrong": f'secrets.app_secret = "dotenv:{folder}/wrong.env#APP_SECRET"\n',
        "missing": 'secrets.app_secret = "env:NOT_THERE"\n',
    }
    tables = {"acme": "", "bloom": "", **troubles}
    tables |= {f"t{number}": "" for number in range(_TENANTS - len(tables))}
    text = ""
    for number, (name, more) in enumerate(tables.items()):
        text += f'\n[[tenant]]\ntenant = "{name}"\n{values_of(boxes[number % len(boxes)], more)}'
    path = folder / "tenants.toml"
    path.write_text(text)
    return path


def begun(home: Path) -> psutil.Process:
    """Return the process of a tenant as soon as its first step has begun."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        journal = home / "journal.jsonl"
        if journal.exists() and b"step.checked" in journal.read_bytes():
            return psutil.Process(json.loads((home / "run.holder").read_bytes())["process"])
        # Another process writes both.
        time.sleep(0.01)
    raise AssertionError(f"the tenant {home.parent.name} did not begin")


def trouble(evidence: Path) -> tuple[list[int], list[str]]:
    """
    Make the trouble that no file makes.

    Return processes that must end with it, and what others see of all before the server is killed.
    """
    homes = {name: evidence / name / "facebook_marketing" for name in ("crash", "killed", "full")}
    (cells,) = begun(homes["crash"]).children()
    cells.kill()
    process = begun(homes["killed"])
    (killed_cells,) = process.children()
    process.kill()
    process = begun(homes["full"])
    for entry in (process, *process.children()):
        # NOTE: one byte more is refused, as on a full disk: but of this tenant alone.
        size = (homes["full"] / "journal.jsonl").stat().st_size + 1
        entry.rlimit(psutil.RLIMIT_FSIZE, (size, size))
    server = begun(evidence / "lost" / "facebook_marketing").parent()
    assert server is not None
    seen = seen_by_others(server.pid)
    server.kill()
    return [killed_cells.pid, server.pid], seen


def seen_by_others(parent: int) -> list[str]:
    """Return command line and environment of each process below `parent` that still runs."""
    seen = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            seen.append(f"{process.cmdline()} {process.environ()}")
    return seen


@pytest.fixture(scope="module")
def fleet_run(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[FleetRun]:
    """Run the fleet once, make trouble meanwhile, and return what came of it."""
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        silent = stack.enter_context(hostile_server("silence"))
        sandboxes = [stack.enter_context(Sandbox("approved")) for _ in range(_APPS)]
        boxes = [settings_of(entry, folder / f"box{n}") for n, entry in enumerate(sandboxes)]
        fleet_file(folder, boxes, silent)
        words = ("fleet", "tenants.toml", "--evidence", "evidence", "--junit", "out.xml", "--json")
        process = subprocess.Popen(
            command(*words, "--workers", str(_APPS + 1), "--timeout", str(_LIMIT_SECONDS)),
            cwd=folder,
            env=environment(XDG_DATA_HOME=str(keys_home), PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        ended, lines = trouble(folder / "evidence")
        output, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        secrets = {
            text
            for settings in boxes
            for name, text in read_env_file(settings).items()
            if any(item.secret and item.variable == name for item in inputs_of(PROCEDURE))
        }
        yield FleetRun(
            folder=folder,
            returncode=process.returncode,
            stdout=output,
            stderr=errors,
            secrets=(*secrets, WRONG),
            command_lines=lines,
        )
        assert not [entry for entry in ended if psutil.pid_exists(entry)]


NOTHING_STORED = wording("setting-invalid.nothing-stored", reference="env:NOT_THERE")


def test_each_tenant_has_its_own_end(fleet_run: FleetRun) -> None:
    """
    Tenants in trouble are named with the cause; the others run as if alone.

    A wrong secret, a missing one, a silent system, a crash of the process and one in a cell, a full
    disk, a worker that is killed: its other work goes on.
    """
    results = fleet_run.results
    others = {name: entry for name, entry in results.items() if name not in TROUBLE}

    assert fleet_run.returncode == 1, fleet_run.stderr
    assert len(results) == _TENANTS
    assert {
        name: (results[name]["status"], results[name]["outcome"]) for name in TROUBLE
    } == TROUBLE
    assert wording("fleet.stopped-early") in results["crash"]["reason"]
    assert "signal 9" in results["killed"]["reason"]
    assert "File too large" in results["full"]["reason"]
    assert f"longer than {_LIMIT_SECONDS} seconds" in results["hanging"]["reason"]
    assert NOTHING_STORED in results["missing"]["reason"]
    failed = [entry["id"] for entry in results["wrong"]["steps"] if entry["outcome"] == "failed"]
    assert failed == ["fb-05-confirm-creation", "fb-13-app-id-and-secret"]
    assert {(entry["status"], entry["outcome"]) for entry in others.values()} == {
        ("sealed", "incomplete")
    }
    outcomes = {tuple(step["outcome"] for step in entry["steps"]) for entry in others.values()}
    assert len(outcomes) == 1
    assert all(entry["sandbox"] for entry in results.values())


def test_the_page_names_each_cause(fleet_run: FleetRun) -> None:
    """The page shows what is open at each tenant in trouble; the list has the reason as well."""
    read = read_tenants(str(fleet_run.folder / "evidence"), utc_now())
    items = {status.tenant: status.items for status in read.statuses}
    page = unescape((fleet_run.folder / "evidence" / "index.html").read_text(encoding="utf-8"))
    for name in TROUBLE:
        result = fleet_run.results[name]
        failed = [entry["reason"] for entry in result["steps"] if entry["outcome"] == "failed"]
        reasons = " ".join(item.reason for item in items[name])
        assert items[name][0].title in page, name
        assert all(text in reasons for text in (result["reason"], *failed)), name


def test_nothing_is_left_running(fleet_run: FleetRun) -> None:
    """No process of the fleet outlives it, neither of the killed tenant nor of the hanging one."""
    left = [
        process.pid
        for process in psutil.process_iter()
        if str(fleet_run.folder) in _working_folder(process)
    ]
    assert left == []


def _working_folder(process: psutil.Process) -> str:
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


def test_no_secret_leaves_its_process(fleet_run: FleetRun) -> None:
    """No secret is in a command line, an environment, an output or a file of the evidence."""
    written = [
        path.read_bytes() for path in fleet_run.folder.glob("evidence/**/*") if path.is_file()
    ]
    written += [(fleet_run.folder / "out.xml").read_bytes()]
    seen = "".join([*fleet_run.command_lines, fleet_run.stdout, fleet_run.stderr])

    assert len(fleet_run.command_lines) > 1
    for secret in fleet_run.secrets:
        assert secret not in seen
        assert not [content for content in written if secret.encode() in content]


def test_the_bundles_verify(fleet_run: FleetRun) -> None:
    """Every bundle of the fleet verifies, and each result names its own."""
    result = runbook("verify", "evidence", "--trusted-keys", "evidence/keys", cwd=fleet_run.folder)

    assert result.returncode == 0, result.stdout + result.stderr
    # NOTE: two hung or had no disk; who was killed or could not start has a bundle that says so.
    line = f"! fleet run {fleet_run.fleet_id}: 22 of 24 tenants · 2 not run"
    assert result.stdout.splitlines()[-1] == line
    words = ("verify", "evidence", "--trusted-keys", "evidence/keys", "--tenants", "tenants.toml")
    result = runbook(*words, cwd=fleet_run.folder)
    assert result.returncode == 4
    names = ", ".join(f"{name} (facebook_marketing)" for name in ("full", "hanging"))
    missing = wording("verify.tenants-of-fleet-missing", missing=2, count=24)
    assert f"{missing}: {names}." in result.stdout
    for name in ("acme", "wrong", "bloom"):
        bundle = fleet_run.folder / "evidence" / fleet_run.results[name]["bundle"]
        record = json.loads((bundle / "record.json").read_bytes())
        assert record["run"] == fleet_run.results[name]["run_id"]
        steps = [(step["id"], step["outcome"]) for step in record["steps"]]
        assert steps == [
            (entry["id"], entry["outcome"]) for entry in fleet_run.results[name]["steps"]
        ]
        assert (bundle / "facebook_marketing.ipynb").is_file()


def test_a_tenant_that_could_not_start_says_so(fleet_run: FleetRun) -> None:
    """Its bundle is signed, names the run, and says why, as that of a tenant that was killed."""
    bundle = fleet_run.folder / "evidence" / fleet_run.results["missing"]["bundle"]
    record = json.loads((bundle / "record.json").read_bytes())

    assert NOTHING_STORED in record["not_run"]["reason"]
    assert record["fleet_run"]["id"] == fleet_run.fleet_id
    assert record["fleet_run"]["selected"] == _TENANTS
    (path,) = fleet_run.folder.glob("evidence/fleet/*/unsealed.json")
    noted = {
        entry["tenant"]: entry["reason"] for entry in json.loads(path.read_bytes())["unsealed"]
    }
    assert noted == {name: fleet_run.results[name]["reason"] for name in ("full", "hanging")}


def test_junit_has_each_tenant(fleet_run: FleetRun) -> None:
    """JUnit XML has a suite for each tenant, with its failures and missing evidence."""
    root = ET.parse(fleet_run.folder / "out.xml").getroot()
    assert [suite.get("name") for suite in root] == [
        f"SANDBOX.{name}.facebook_marketing" for name in fleet_run.results
    ]
    assert (root.get("failures"), root.get("errors")) == ("2", "4")


def plain(record: Path) -> str:
    """Return a record without its fleet, ids, digests, times, ports and numbers of exchanges."""
    document = json.loads(record.read_bytes())
    del document["fleet_run"]
    exchanges = document.pop("exchanges")
    for step in document["steps"]:
        step.pop("exchange_numbers", None)
        for part in step["findings"]:
            part["exchanges"] = [exchanges[str(number)] for number in part.get("exchanges", ())]
    text = json.dumps(document, indent=1)
    text = re.sub(r'("(x-fb-trace-id|x-fb-request-id|fbtrace_id)"): "[^"]*"', r"\1: ID", text)
    text = re.sub(r'"elapsed": [0-9.e-]+', '"elapsed": 0', text)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|\+[0-9:]+)", "TIME", text)
    return re.sub(r"\b[0-9a-f]{8,64}\b|A[A-Za-z0-9_-]{20,}", "ID", text)


def test_a_tenant_of_a_fleet_is_as_if_alone(fleet_run: FleetRun, keys_home: Path) -> None:
    """Its record equals that of `runbook run`, but for the fleet that it names, ids and times."""
    settings = fleet_run.folder / "box0" / "sandbox.env"
    lines = [line for line in settings.read_text().splitlines() if "CYCLR_USERNAME" not in line]
    alone = fleet_run.folder / "alone.env"
    alone.write_text("\n".join(lines) + "\n")
    result = runbook(
        "run",
        "--tenant",
        "acme",
        "--evidence",
        "alone",
        "--env-file",
        str(alone),
        cwd=fleet_run.folder,
        env={"XDG_DATA_HOME": str(keys_home)},
    )

    assert result.returncode == 3, result.stderr
    (record,) = (fleet_run.folder / "alone").glob("acme/*/*/record.json")
    bundle = fleet_run.folder / "evidence" / fleet_run.results["acme"]["bundle"]
    assert plain(bundle / "record.json") == plain(record)


def test_resuming_runs_only_what_is_left(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path, hears_interrupts: None
) -> None:
    """
    `--resume` runs tenants without a bundle; Ctrl-C prints the next command, and leaves no process.
    """
    folder = tmp_path / "copy"
    shutil.copytree(fleet_run.folder, folder)
    before = {entry: entry.read_bytes() for entry in folder.glob("evidence/*/*/journal.jsonl")}
    process = subprocess.Popen(
        command("fleet", "tenants.toml", "--resume", fleet_run.fleet_id, "--evidence", "evidence"),
        cwd=folder,
        env=environment(XDG_DATA_HOME=str(keys_home), PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    holder = folder / "evidence/hanging/facebook_marketing/run.holder"
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holder.exists() and time.monotonic() < end:
        # Another process writes it.
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=_PATIENCE_SECONDS)

    assert process.returncode == 130
    again = f"`runbook fleet tenants.toml --resume {fleet_run.fleet_id}` runs the rest"
    assert again in errors
    changed = {entry.parent.parent.name for entry in before if entry.read_bytes() != before[entry]}
    assert changed <= {"hanging", "killed", "full", "missing"}


def test_once_the_causes_are_gone_the_rest_is_resumed(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path
) -> None:
    """Tenants whose entry was corrected are run, and those without a bundle; no other is."""
    folder = tmp_path / "copy"
    shutil.copytree(fleet_run.folder, folder)
    left = correct(folder)
    before = {entry: entry.read_bytes() for entry in folder.glob("evidence/*/*/journal.jsonl")}

    result = resume(folder, fleet_run.fleet_id, keys_home)

    assert result.returncode == 1, result.stderr
    assert result.stdout.count("(facebook_marketing): ") == len(left)
    assert {name for name in left if f" {name} (" in result.stdout} == left
    changed = {entry.parent.parent.name for entry in before if entry.read_bytes() != before[entry]}
    assert changed == left
    words = ("verify", "evidence", "--trusted-keys", "evidence/keys", "--tenants", "tenants.toml")
    result = runbook(*words, cwd=folder)
    assert result.returncode == 0, result.stdout
    line = f"✔ fleet run {fleet_run.fleet_id}: 24 of 24 tenants"
    assert result.stdout.splitlines()[-1] == line


def correct(folder: Path) -> set[str]:
    """Correct the file of tenants where it made trouble, and return the tenants to run again."""
    path = folder / "tenants.toml"
    tables = path.read_text().split("[[tenant]]")
    good, silent = (
        re.search('graph_url = "(.*)"', tables[number])[1]  # type: ignore[index]
        for number in (1, 3)
    )
    text = "[[tenant]]".join(tables).replace(silent, good)
    path.write_text(text.replace("env:NOT_THERE", f"dotenv:{folder}/wrong.env#APP_SECRET"))
    return {"crash", "killed", "full", "lost", "hanging", "missing"}


def resume(folder: Path, fleet_id: str, keys_home: Path) -> subprocess.CompletedProcess[str]:
    """Resume the fleet's run."""
    words = ("--resume", fleet_id, "--evidence", "evidence", "--workers", "4")
    return new_runbook(
        "fleet", "tenants.toml", *words, cwd=folder, env={"XDG_DATA_HOME": str(keys_home)}
    )


def test_two_that_resume_at_once_run_each_tenant_once(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path
) -> None:
    """Both end with all results; no tenant has two bundles of the run, and all is counted."""
    folder = tmp_path / "copy"
    shutil.copytree(fleet_run.folder, folder)
    left = correct(folder)
    before = {name: bundles(folder, name) for name in left}

    with ThreadPoolExecutor(2) as executor:
        ended = list(
            executor.map(lambda _: resume(folder, fleet_run.fleet_id, keys_home), range(2))
        )

    assert [entry.returncode for entry in ended] == [1, 1], [entry.stderr for entry in ended]
    for name in left:
        assert len(bundles(folder, name) - before[name]) == 1, name
    words = ("verify", "evidence", "--trusted-keys", "evidence/keys", "--tenants", "tenants.toml")
    assert runbook(*words, cwd=folder).returncode == 0


def bundles(folder: Path, tenant: str) -> set[str]:
    """Return the names of a tenant's bundles."""
    return {entry.name for entry in folder.glob(f"evidence/{tenant}/*/2*")}
