"""A fleet against the sandbox: one tenant's trouble is its own, the others run as if alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest
from runbook_lib.evidence.fleet_seal import seal_fleet

from runbook_lib.config.runner_inputs import inputs_of
from runbook_lib.config.settings import read_env_file
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.evidence.fleet_result import read_record
from runbook_lib.evidence.signing.keys import open_key, read_public_keys
from runbook_lib.evidence.signing.statement import FLEET, open_envelope, sign_statement
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verdict import Verdict
from runbook_lib.evidence.verify.verify import Trust
from tests.runs.conftest import ROOT, command, environment, runbook, settings_of
from tests.support.hostile_server import hostile_server

WRONG = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_PATIENCE_SECONDS = 240
_LIMIT_SECONDS = 20
_TENANTS, _APPS = 24, 3
# What becomes of those that are in trouble.
TROUBLE = {
    "crash": ("sealed", "incomplete"),
    "killed": ("unsealed", None),
    "full": ("unsealed", None),
    "lost": ("sealed", "incomplete"),
    "hanging": ("unsealed", None),
    "wrong": ("sealed", "failed"),
    "missing": ("unsealed", None),
}


@dataclass(frozen=True)
class FleetRun:
    """A fleet that has run, and the settings of its sandbox."""

    folder: Path
    returncode: int
    stdout: str
    stderr: str
    secrets: tuple[str, ...]
    command_lines: list[str]

    @property
    def record(self) -> dict[str, Any]:
        """Return `fleet.json`."""
        (path,) = self.folder.glob("evidence/fleet/*/fleet.json")
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Return the results by tenant."""
        return {each["tenant"]: each for each in self.record["tenants"]}


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
        text += f'\n[[tenant]]\ntenant = "{name}"\n{_values(boxes[number % len(boxes)], more)}'
    path = folder / "tenants.toml"
    path.write_text(text)
    return path


def _values(settings: Path, more: str) -> str:
    """Return the lines of a tenant's values and references; those in `more` win."""
    variables = read_env_file(settings)
    items = [item for item in inputs_of(PROCEDURE) if variables.get(item.variable)]
    lines = [
        f"{item.name} = {json.dumps(variables[item.variable])}\n"
        if not item.secret
        else f'secrets.{item.name} = "dotenv:{settings}#{item.variable}"\n'
        for item in items
        if item.name != "cyclr_username"
    ]
    own = {line.partition("=")[0].strip() for line in more.splitlines()}
    return "".join(line for line in lines if line.partition("=")[0].strip() not in own) + more


def begun(home: Path) -> psutil.Process:
    """Return the process of a tenant as soon as its first step has begun."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        journal = home / "journal.jsonl"
        if journal.exists() and b"step.started" in journal.read_bytes():
            return psutil.Process(json.loads((home / "run.holder").read_bytes())["process"])
        time.sleep(0.01)
    msg = f"the tenant {home.parent.name} did not begin"
    raise AssertionError(msg)


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
    for each in (process, *process.children()):
        # NOTE: one byte more is refused, as on a full disk: but of this tenant alone.
        size = (homes["full"] / "journal.jsonl").stat().st_size + 1
        each.rlimit(psutil.RLIMIT_FSIZE, (size, size))
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
        boxes = [settings_of(each, folder / f"box{n}") for n, each in enumerate(sandboxes)]
        fleet_file(folder, boxes, silent)
        words = ("fleet", "tenants.toml", "--evidence", "evidence", "--junit", "out.xml")
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
        yield FleetRun(folder, process.returncode, output, errors, (*secrets, WRONG), lines)
        assert not [each for each in ended if psutil.pid_exists(each)]


def test_each_tenant_has_its_own_end(fleet_run: FleetRun) -> None:
    """
    Of two dozen tenants those in trouble are named with the cause; the others are as if alone.

    A wrong secret, a missing one, a silent system, a crash of the process and one in a cell,
    a full disk, a worker that is killed: what ran in that one goes on.
    """
    results = fleet_run.results
    others = {name: each for name, each in results.items() if name not in TROUBLE}

    assert fleet_run.returncode == 1, fleet_run.stderr
    assert len(results) == _TENANTS
    assert {
        name: (results[name]["status"], results[name]["outcome"]) for name in TROUBLE
    } == TROUBLE
    assert "The notebook stopped early" in results["crash"]["reason"]
    assert "signal 9" in results["killed"]["reason"]
    assert "File too large" in results["full"]["reason"]
    assert f"longer than {_LIMIT_SECONDS} seconds" in results["hanging"]["reason"]
    assert "nothing is stored under env:NOT_THERE" in results["missing"]["reason"]
    failed = [each["id"] for each in results["wrong"]["steps"] if each["outcome"] == "failed"]
    assert failed == ["fb-05-confirm-creation", "fb-13-app-id-and-secret"]
    assert {(each["status"], each["outcome"]) for each in others.values()} == {
        ("sealed", "incomplete")
    }
    outcomes = {tuple(step["outcome"] for step in each["steps"]) for each in others.values()}
    assert len(outcomes) == 1
    assert fleet_run.stdout.count("(facebook_marketing): ") == len(results)
    assert fleet_run.stdout.count("SANDBOX ") == len(results)
    assert all(each["sandbox"] for each in results.values())


def test_the_page_names_each_cause(fleet_run: FleetRun) -> None:
    """Who reads the page sees of each tenant in trouble why, and what to do."""
    (path,) = fleet_run.folder.glob("evidence/fleet/*/fleet.html")
    page = unescape(re.sub("</?code>", "`", path.read_text(encoding="utf-8"))).replace("`", "")
    for name in TROUBLE:
        result = fleet_run.results[name]
        failed = [each["reason"] for each in result["steps"] if each["outcome"] == "failed"]
        for text in filter(None, (result["reason"], result["next_step"], *failed)):
            assert text.replace("`", "") in page, name


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
    line = result.stdout.splitlines()[-1]
    assert line.startswith("✔ fleet/")
    assert "SANDBOX · 24 tenants · 1 failed · 19 incomplete · 4 unsealed · key " in line
    for name in ("acme", "wrong", "bloom"):
        bundle = fleet_run.folder / "evidence" / fleet_run.results[name]["bundle"]
        record = json.loads((bundle / "record.json").read_bytes())
        assert record["run_id"] == fleet_run.results[name]["run_id"]
        steps = [(step["id"], step["outcome"]) for step in record["steps"]]
        assert steps == [(each["id"], each["outcome"]) for each in fleet_run.results[name]["steps"]]
        assert (bundle / "facebook_marketing.ipynb").is_file()


def fleet_verdict(folder: Path, trust: Trust) -> Verdict:
    """Return the verdict on a fleet's run."""
    return next(each for each in verify_tree(folder, trust) if each.path == folder)


def changed(path: Path, old: str, new: str) -> None:
    """Replace a text in a file, once."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def other_bundle(evidence: Path, fleet: Path, bundle: Path) -> None:
    """Put the statement of another tenant's bundle in the place of this one's."""
    (other,) = evidence.glob("wrong/*/2*/statement.dsse.json")
    shutil.copy(other, bundle / "statement.dsse.json")


Tamper = Callable[[Path, Path, Path], object]
TAMPERED: dict[str, tuple[Tamper, str]] = {
    "outcome": (
        lambda _, fleet, __: changed(fleet / "fleet.json", '"incomplete"', '"complete"'),
        "fleet.json: It has",
    ),
    "tenant left out": (
        lambda _, fleet, __: changed(fleet / "fleet.json", '"bloom"', '"blume"'),
        "fleet.json: It was altered",
    ),
    "bundle missing": (
        lambda _, __, bundle: (bundle / "statement.dsse.json").unlink(),
        "fleet.json: It names acme/",
    ),
    "bundle of another": (other_bundle, "fleet.json: It names acme/"),
    "file added": (lambda _, fleet, __: (fleet / "x.html").touch(), "x.html: It was added"),
    "statement missing": (
        lambda _, fleet, __: (fleet / "statement.dsse.json").unlink(),
        "Its run has not ended",
    ),
    "statement of a bundle": (
        lambda _, fleet, bundle: shutil.copy(bundle / "statement.dsse.json", fleet),
        "It is not an in-toto statement v1 of the type",
    ),
    "signature": (
        lambda _, fleet, __: changed(fleet / "statement.dsse.json", '"payload":"e', '"payload":"f'),
        "it was altered, or moved here",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_altered_is_refused(fleet_run: FleetRun, tmp_path: Path, name: str) -> None:
    """The statement over the fleet's run covers its record, and every bundle by its statement."""
    evidence = tmp_path / "evidence"
    shutil.copytree(fleet_run.folder / "evidence", evidence)
    (folder,) = evidence.glob("fleet/*")
    trust = Trust(read_public_keys([evidence / "keys"]))
    assert fleet_verdict(folder, trust).error is None
    tamper, said = TAMPERED[name]
    tamper(evidence, folder, evidence / fleet_run.results["acme"]["bundle"])

    assert said in str(fleet_verdict(folder, trust).error)


def test_the_statement_is_by_a_trusted_key(fleet_run: FleetRun) -> None:
    """Another key than the trusted ones proves nothing."""
    (folder,) = fleet_run.folder.glob("evidence/fleet/*")

    assert "which is not a trusted key" in str(fleet_verdict(folder, Trust({})).error)


def test_a_record_that_contradicts_its_bundles_is_refused(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path
) -> None:
    """Even under a trusted signature, the record may not say more than a bundle says itself."""
    evidence = tmp_path / "evidence"
    shutil.copytree(fleet_run.folder / "evidence", evidence)
    (folder,) = evidence.glob("fleet/*")
    (path,) = keys_home.rglob("sandbox-key.pem")
    key = open_key(str(path), is_sandbox=True)
    trust = Trust(read_public_keys([evidence / "keys"]))
    record = read_record(folder / "fleet.json")
    name = ("acme", PROCEDURE.id)
    record.put(replace(record.results[name], outcome="complete", exit_code=0))
    seal_fleet(record, key)

    assert "Its result of acme contradicts the tenant's bundle" in str(
        fleet_verdict(folder, trust).error
    )

    honest = read_record(fleet_run.folder / folder.relative_to(tmp_path) / "fleet.json")
    seal_fleet(replace(honest, folder=folder), key)
    assert fleet_verdict(folder, trust).error is None
    signed = open_envelope((folder / "statement.dsse.json").read_bytes(), trust.keys, FLEET)
    run = {**signed.predicate["runbook_run"], "outcomes": {"complete": 24}}
    other = {**signed.predicate, "runbook_run": run}
    (folder / "statement.dsse.json").write_bytes(sign_statement(key, signed.subjects, FLEET, other))
    assert "It differs from its statement" in str(fleet_verdict(folder, trust).error)

    fewer = signed.subjects[:-1]
    envelope = sign_statement(key, fewer, FLEET, signed.predicate)
    (folder / "statement.dsse.json").write_bytes(envelope)
    assert "It does not name" in str(fleet_verdict(folder, trust).error)


def test_junit_has_each_tenant(fleet_run: FleetRun) -> None:
    """JUnit XML has a suite for each tenant, with what failed and what has no evidence."""
    root = ET.parse(fleet_run.folder / "out.xml").getroot()
    assert [suite.get("name") for suite in root] == [
        f"SANDBOX.{name}.facebook_marketing" for name in fleet_run.results
    ]
    assert (root.get("failures"), root.get("errors")) == ("2", "4")


def plain(record: Path) -> str:
    """Return a record without ids, digests, times, ports and numbers of exchanges."""
    document = json.loads(record.read_bytes())
    for step in document["steps"]:
        for part in (*step["exchanges"], *step["checks"]):
            part.pop("number", None)
            part.pop("exchanges", None)
    text = json.dumps(document, indent=1)
    text = re.sub(r'("(x-fb-trace-id|x-fb-request-id|fbtrace_id)"): "[^"]*"', r"\1: ID", text)
    text = re.sub(r'"elapsed": [0-9.e-]+', '"elapsed": 0', text)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|\+[0-9:]+)", "TIME", text)
    return re.sub(r"\b[0-9a-f]{8,64}\b|A[A-Za-z0-9_-]{20,}", "ID", text)


def test_a_tenant_of_a_fleet_is_as_if_alone(fleet_run: FleetRun, keys_home: Path) -> None:
    """Its record equals that of `runbook run` for the same tenant, but for ids and times."""
    settings = fleet_run.folder / "box0" / "sandbox.env"
    lines = [line for line in settings.read_text().splitlines() if "CYCLR_USERNAME" not in line]
    alone = fleet_run.folder / "alone.env"
    alone.write_text("\n".join(lines) + "\n")
    result = runbook(
        *("run", "--tenant", "acme", "--evidence", "alone", "--env-file", str(alone)),
        cwd=fleet_run.folder,
        env={"XDG_DATA_HOME": str(keys_home)},
    )

    assert result.returncode == 3, result.stderr
    (record,) = (fleet_run.folder / "alone").glob("acme/*/*/record.json")
    bundle = fleet_run.folder / "evidence" / fleet_run.results["acme"]["bundle"]
    assert plain(bundle / "record.json") == plain(record)


def _proven(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a bundle proves of a result: not how long it took, or how its notebook ended."""
    return {name: value for name, value in result.items() if name not in ("seconds", "reason")}


def test_resuming_runs_only_what_is_left(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path, hears_interrupts: None
) -> None:
    """`--resume` runs what is not sealed; Ctrl-C in it leaves a record to go on from."""
    shutil.copytree(fleet_run.folder, tmp_path / "copy")
    fleet_run = replace(fleet_run, folder=tmp_path / "copy")
    process = subprocess.Popen(
        command("fleet", "tenants.toml", "--resume", "--only", "hanging", "--evidence", "evidence"),
        cwd=fleet_run.folder,
        env=environment(XDG_DATA_HOME=str(keys_home), PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before = {name: each for name, each in fleet_run.results.items() if name != "hanging"}
    holder = fleet_run.folder / "evidence/hanging/facebook_marketing/run.holder"
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=_PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "`runbook fleet tenants.toml --resume` runs the rest" in errors
    results = fleet_run.results
    assert results.pop("hanging")["status"] == "pending"
    assert results.keys() == before.keys()
    for name, result in before.items():
        if result["status"] == "sealed":
            assert _proven(results[name]) == _proven(result)
        else:
            assert results[name]["status"] == "pending"
    assert not holder.exists()


def test_once_the_causes_are_gone_the_rest_is_resumed(
    fleet_run: FleetRun, keys_home: Path, tmp_path: Path
) -> None:
    """Tenants whose entry was corrected are run, and those that were not sealed; no other is."""
    folder = tmp_path / "copy"
    shutil.copytree(fleet_run.folder, folder)
    path = folder / "tenants.toml"
    tables = path.read_text().split("[[tenant]]")
    good, silent = (
        re.search('graph_url = "(.*)"', tables[number])[1]  # type: ignore[index]
        for number in (1, 3)
    )
    left = {"crash", "killed", "full", "lost", "hanging", "missing"}
    text = "[[tenant]]".join(tables).replace(silent, good)
    path.write_text(text.replace("env:NOT_THERE", f"dotenv:{folder}/wrong.env#APP_SECRET"))
    before = {each: each.read_bytes() for each in folder.glob("evidence/*/*/journal.jsonl")}

    result = runbook(
        *("fleet", "tenants.toml", "--resume", "--evidence", "evidence", "--workers", "4"),
        cwd=folder,
        env={"XDG_DATA_HOME": str(keys_home)},
    )

    assert result.returncode == 1, result.stderr
    assert result.stdout.count("(facebook_marketing): ") == len(left)
    assert {name for name in left if f" {name} (" in result.stdout} == left
    changed = {each.parent.parent.name for each in before if each.read_bytes() != before[each]}
    assert changed == left - {"missing"}
    results = replace(fleet_run, folder=folder).results
    assert {each["status"] for each in results.values()} == {"sealed"}
