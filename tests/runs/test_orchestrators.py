"""The recipes of docs/orchestrators.md, run as they stand there by what stands for each one."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from runbook_lib.config.runner import inputs_of
from runbook_lib.config.settings import read_env_file
from runbook_lib.config.shards import Shard
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.evidence.signing.keys import create_key, export_public_key, open_key
from tests.runs.conftest import ROOT, settings_of

DOCUMENT = (ROOT / "docs/orchestrators.md").read_text(encoding="utf-8")
# The secrets that the recipes name, and the inputs that they are.
SECRETS = {"ACME_APP_SECRET": "app_secret", "CYCLR_SECRET": "cyclr_client_secret"}
CONNECTIONS = {"acme_app": "ACME_APP_SECRET", "cyclr": "CYCLR_SECRET"}
# What each part ends with here: people have not said anything yet.
INCOMPLETE = 3


def blocks(heading: str, language: str) -> list[str]:
    """Return the blocks of a language below a heading of the page."""
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", DOCUMENT, flags=re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.M | re.S)


@dataclass
class Site:
    """An orchestrator's place: what it keeps is in `kept`, everything else is new each time."""

    folder: Path
    tenants: Path
    key: Path
    secrets: Mapping[str, str]
    codes: list[int] = field(default_factory=list)
    said: str = ""

    @property
    def kept(self) -> Path:
        """Return the folder of what the recipe says persists."""
        return self.folder / "kept"

    def fresh(self) -> Path:
        """Return an empty folder."""
        path = self.folder / f"fresh-{os.urandom(8).hex()}"
        path.mkdir(parents=True)
        return path

    def perform(
        self, command: Sequence[str], cwd: Path, environ: Mapping[str, str], *, path: str = ""
    ) -> int:
        """Run a command on a new machine, which has the runbook alone; note how it ends."""
        home = str(self.fresh())
        programs = f"{path}{Path(sys.executable).parent}:/usr/bin:/bin"
        base = {"PATH": programs, "HOME": home, "XDG_DATA_HOME": home, "LANG": "C.UTF-8"}
        result = subprocess.run(
            command,
            cwd=cwd,
            env={**base, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode in (0, INCOMPLETE), result.stdout + result.stderr
        self.codes.append(result.returncode)
        self.said = result.stdout
        return result.returncode


def side_by_side(perform: Callable[[Any], int], parts: Sequence[Any]) -> list[int]:
    """Run the parts at the same time."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(perform, parts))


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Return the text with what stands between double braces replaced, all of it."""
    return re.sub(r"\$?\{\{ ?([\w.]+) ?\}\}", lambda match: values[match[1]], text)


# --- GitHub Actions --------------------------------------------------------------------------
def github(site: Site, run: str) -> Path:
    """Run the workflow: jobs in fresh workspaces, a cache, and the run's artifacts."""
    (block,) = blocks("GitHub Actions", "yaml")
    workflow = yaml.safe_load(block)
    jobs, artifacts = workflow["jobs"], site.fresh()

    def perform(name: str, shard: int = 0) -> int:
        values = {
            "github.run_id": run,
            "matrix.shard": f"{shard}",
            **{f"secrets.{each}": text for each, text in site.secrets.items()},
            "secrets.SIGNING_KEY": site.key.read_text(),
        }
        workspace, code = site.fresh(), 0
        for step in jobs[name]["steps"]:
            if code and step.get("if") != "always()":
                continue
            given = {key: substituted(text, values) for key, text in step.get("with", {}).items()}
            environ = {**workflow["env"], **step.get("env", {})}
            environ = {key: substituted(text, values) for key, text in environ.items()}
            if "uses" in step:
                act(step["uses"].partition("@")[0], given, workspace)
            else:
                line = substituted(step["run"], values)
                environ["GITHUB_RUN_ID"] = run
                code = site.perform(["sh", "-e", "-c", line], workspace, environ) or code
        return code

    def act(action: str, given: Mapping[str, str], workspace: Path) -> None:
        place, cache = workspace / given.get("path", ""), site.kept / "evidence"
        if action == "actions/checkout":
            shutil.copy(site.tenants, workspace)
        elif action == "actions/cache/restore":
            assert given["key"].startswith(given["restore-keys"])
            shutil.copytree(cache, place) if cache.exists() else None
        elif action == "actions/cache/save":
            shutil.rmtree(cache, ignore_errors=True)
            shutil.copytree(place, cache)
        elif action == "actions/upload-artifact":
            shutil.copytree(place, artifacts / given["name"])
        else:
            assert action == "actions/download-artifact"
            shutil.copytree(artifacts, place)

    assert (jobs["merge"]["needs"], jobs["merge"]["if"]) == ("part", "always()")
    assert jobs["part"]["strategy"]["fail-fast"] is False
    side_by_side(lambda n: perform("part", n), jobs["part"]["strategy"]["matrix"]["shard"])
    perform("merge")
    return site.kept / "evidence"


# --- Kubernetes and Argo ---------------------------------------------------------------------
def pod(
    site: Site, container: Mapping[str, Any], volumes: Sequence[Any], more: Mapping[str, str]
) -> int:
    """Run a container: claims are kept, ConfigMaps and secrets are mounted anew."""
    places = {each["name"]: volume(site, each) for each in volumes}
    mounts = {each["mountPath"]: places[each["name"]] for each in container["volumeMounts"]}

    def mounted(text: str) -> str:
        for path, place in mounts.items():
            if text == path or text.startswith(f"{path}/"):
                return f"{place}{text.removeprefix(path)}"
        return text

    environ = {**more}
    for each in container["env"]:
        # A field of the pod is given with the orchestrator's own variables.
        environ.setdefault(each["name"], mounted(each.get("value", "")))
    if "envFrom" in container:
        environ |= site.secrets
    words = [*container["command"], *container.get("args", [])]
    return site.perform(words, Path(mounted(container["workingDir"])), environ)


def volume(site: Site, each: Mapping[str, Any]) -> Path:
    """Return the folder of a volume."""
    if claim := each.get("persistentVolumeClaim"):
        path = site.kept / claim["claimName"]
        path.mkdir(parents=True, exist_ok=True)
        return path
    path = site.fresh()
    if "configMap" in each:
        shutil.copy(site.tenants, path)
    else:
        assert each["secret"]["secretName"] == "signing"
        shutil.copy(site.key, path / "signing-key.pem")
    return path


def kubernetes(site: Site, run: str) -> Path:
    """Run the Indexed Job, each index once, then the Job that merges."""
    fleet, merge = map(yaml.safe_load, blocks("Kubernetes", "yaml"))
    spec = fleet["spec"]
    assert (spec["completionMode"], spec["backoffLimitPerIndex"]) == ("Indexed", 0)

    def perform(job: Mapping[str, Any], **more: str) -> int:
        spec = job["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        return pod(site, container, spec["volumes"], more)

    side_by_side(
        lambda index: perform(fleet, JOB_COMPLETION_INDEX=f"{index}", JOB=f"fleet-{run}"),
        range(spec["completions"]),
    )
    perform(merge)
    return site.kept / "evidence"


def argo(site: Site, run: str) -> Path:
    """Run the workflow's steps, those of a sequence side by side."""
    (block,) = blocks("Argo Workflows", "yaml")
    spec = yaml.safe_load(block)["spec"]
    templates = {each["name"]: each for each in spec["templates"]}

    def perform(step: Mapping[str, Any], item: str) -> int:
        ((parameter),) = step["arguments"]["parameters"]
        value = substituted(parameter["value"], {"item": item})
        values = {f"inputs.parameters.{parameter['name']}": value, "workflow.uid": run}
        container = dict(templates[step["template"]]["container"])
        container["args"] = [substituted(each, values) for each in container["args"]]
        return pod(site, container, spec["volumes"], {})

    for (step,) in templates[spec["entrypoint"]]["steps"]:
        ends = step.get("withSequence", {"start": "1", "end": "1"})
        items = [f"{number}" for number in range(int(ends["start"]), int(ends["end"]) + 1)]
        codes = side_by_side(lambda item, step=step: perform(step, item), items)
        assert (
            not any(codes) or step.get("continueOn") == {"failed": True} or step["name"] == "merge"
        )
    return site.kept / "evidence"


# --- Airflow ---------------------------------------------------------------------------------
class Operator:
    """Stands for an operator of Airflow: records its arguments and what comes after it."""

    tasks: list[Operator]

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.after: list[Operator] = []
        self.tasks.append(self)

    @classmethod
    def partial(cls, **given: Any) -> Any:
        """Return what `expand` makes a task for each value of."""
        kind = type("Mapped", (), {})()
        kind.expand = lambda **lists: cls(**given, expanded=lists)
        return kind

    def __rshift__(self, other: Operator) -> Operator:
        self.after.append(other)
        return other


class DAG:
    """Stands for a DAG."""

    def __init__(self, name: str, **given: Any) -> None:
        self.given = given

    def __enter__(self) -> DAG:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def tasks_of(recipe: str) -> list[Operator]:
    """Return the operators that a recipe makes, in order; it imports nothing but Airflow."""
    stub = type("Stub", (Operator,), {"tasks": []})
    names = {"BashOperator": stub, "PapermillOperator": stub, "DAG": DAG}
    tree = ast.parse(recipe)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {getattr(node, "module", "").split(".")[0] for node in imports} == {"airflow"}
    modules = {node.module: ModuleType(node.module) for node in imports}
    parents = {name.rsplit(".", n)[0] for name in modules for n in range(name.count(".") + 1)}
    with pytest.MonkeyPatch.context() as patch:
        for name in parents | modules.keys():
            module = ModuleType(name)
            vars(module).update(names)
            patch.setitem(sys.modules, name, module)
        exec(compile(tree, "recipe", "exec"), {})
    return stub.tasks


def airflow(site: Site, run: str) -> Path:
    """Run the mapped tasks, then the one after them, in the folder that the recipe names."""
    recipe, _ = blocks("Airflow", "python")
    parts, merge = tasks_of(recipe)
    assert parts.after == [merge]
    assert merge.given["trigger_rule"] == "all_done"
    folder = served(site)
    values = {f"conn.{name}.password": site.secrets[key] for name, key in CONNECTIONS.items()}

    def perform(task: Operator, command: str) -> int:
        given = task.given
        assert given["append_env"]
        environ = {
            key: substituted(text, values).replace("/srv/runbook", str(folder))
            for key, text in given.get("env", {}).items()
        }
        environ["AIRFLOW_CTX_DAG_RUN_ID"] = f"scheduled__{run}"
        cwd = Path(given["cwd"].replace("/srv/runbook", str(folder)))
        return site.perform(["bash", "-c", command], cwd, environ)

    side_by_side(lambda each: perform(parts, each), parts.given["expanded"]["bash_command"])
    perform(merge, merge.given["bash_command"])
    return keep(site, folder)


def served(site: Site) -> Path:
    """Return the folder that stands for /srv/runbook: new, but for the evidence in it."""
    folder = site.fresh()
    shutil.copy(site.tenants, folder)
    shutil.copy(site.key, folder / "signing-key.pem")
    if (site.kept / "evidence").exists():
        shutil.copytree(site.kept / "evidence", folder / "evidence")
    return folder


def keep(site: Site, folder: Path) -> Path:
    """Keep the evidence of that folder alone."""
    shutil.rmtree(site.kept, ignore_errors=True)
    return Path(shutil.copytree(folder / "evidence", site.kept / "evidence"))


# --- SLURM -----------------------------------------------------------------------------------
SBATCH = """#!/bin/sh
# Stands for sbatch: runs the tasks of an array one after the other.
job=$(date +%s%N)
for word; do command=$word; done
case "$*" in
*--array=1-2*)
  for task in 1 2; do
    SLURM_ARRAY_JOB_ID=$job SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_MIN=1 \\
      SLURM_ARRAY_TASK_COUNT=2 sh -c "$command" >&2
  done ;;
*--dependency=afterany:*) sh -c "$command" >&2; exit $? ;;
*) exit 99 ;;
esac
echo "$job"
"""


def slurm(site: Site, run: str) -> Path:
    """Submit the array and the job after it, with a stand-in for `sbatch`."""
    (block,) = blocks("SLURM", "bash")
    folder, programs = served(site), site.fresh()
    (programs / "sbatch").write_text(SBATCH)
    (programs / "sbatch").chmod(0o755)
    environ = {**site.secrets, "RUNBOOK_SIGNING_KEY": "signing-key.pem"}
    site.perform(["bash", "-c", block], folder, environ, path=f"{programs}:")
    return keep(site, folder)


# --- tests -----------------------------------------------------------------------------------
RECIPES = [github, kubernetes, argo, airflow, slurm]


@pytest.fixture(scope="module")
def sandbox_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Return the settings of one sandbox for all recipes, by the name of the input."""
    from runbook_lib.sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as sandbox:
        variables = read_env_file(settings_of(sandbox, tmp_path_factory.mktemp("settings")))
        yield {
            item.name: variables[item.variable]
            for item in inputs_of(PROCEDURE)
            if variables.get(item.variable) and item.name != "cyclr_username"
        }


@pytest.fixture
def site(tmp_path: Path, sandbox_settings: Mapping[str, str]) -> Site:
    """Return a place with a fleet of two tenants, of which each shard has one."""
    secret = {item.name for item in inputs_of(PROCEDURE) if item.secret}
    shared = "".join(
        f"{name} = {json.dumps(text)}\n"
        for name, text in sandbox_settings.items()
        if name not in {*secret, "app_id"}
    )
    app_id = sandbox_settings["app_id"]
    shards = (Shard(1, 2), Shard(2, 2))
    names = (f"bloom{number}" for number in range(99))
    # Without an App ID, since the sandbox has one app.
    other = next(each for each in names if all(s.has(each) != s.has(app_id) for s in shards))
    tenants = tmp_path / "tenants.toml"
    tenants.write_text(
        f'[defaults]\n{shared}secrets = {{cyclr_client_secret = "env:CYCLR_SECRET"}}\n'
        f'[[tenant]]\ntenant = "acme"\napp_id = "{app_id}"\n'
        f'secrets = {{app_secret = "env:ACME_APP_SECRET"}}\n[[tenant]]\ntenant = "{other}"\n'
    )
    create_key(tmp_path / "signing-key.pem")
    secrets = {name: sandbox_settings[item] for name, item in SECRETS.items()}
    return Site(tmp_path / "site", tenants, tmp_path / "signing-key.pem", secrets)


def check_evidence(site: Site, evidence: Path, *, runs: int) -> None:
    """Fail unless the evidence is a chain of so many runs, signed by the key of the setting."""
    key = export_public_key(open_key(str(site.key), is_sandbox=True), site.fresh())
    words = ["runbook", "verify", "--key", str(key), str(evidence)]
    assert site.perform(words, site.fresh(), {}) == 0
    homes = {path.parent for path in evidence.glob("*/*/journal.jsonl")}
    assert {len(list(home.glob("2*"))) for home in homes} == {runs}
    assert site.said.count(f": {runs} in a chain, none missing") == len(homes)
    assert [path.name for path in (evidence / "keys").iterdir()] == [key.name]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda each: each.__name__)
def test_a_recipe_keeps_a_chain_and_gives_the_whole_fleet(
    recipe: Callable[[Site, str], Path], site: Site
) -> None:
    """Run twice, with only what persists kept: every chain goes on, and the merge is whole."""

    for run in ("first", "second"):
        evidence = recipe(site, run)

    check_evidence(site, evidence, runs=2)
    records = [json.loads(path.read_bytes()) for path in evidence.glob("fleet/*/fleet.json")]
    merged = [each for each in records if each["parts"]]
    assert len(records) == 6
    for record in merged:
        assert record["remarks"] == []
        assert [each["shard"] for each in record["parts"]] == ["1/2", "2/2"]
        assert [each["status"] for each in record["tenants"]] == ["sealed", "sealed"]
        assert all((evidence / each["bundle"]).is_dir() for each in record["tenants"])
    assert len({record["run_name"] for record in merged} - {""}) == 2
    assert INCOMPLETE in site.codes


def test_a_notebook_alone_goes_on_in_one_journal(site: Site) -> None:
    """The notebook runs with its parameters; its lines are sealed by the next `runbook run`."""

    _, recipe = blocks("Airflow", "python")
    (task,) = tasks_of(recipe)
    given = task.given
    app_id = next(line for line in site.tenants.read_text().splitlines() if "app_id" in line)
    shared = site.tenants.read_text().partition("secrets")[0].splitlines()[1:]
    pairs = [line.split(" = ", 1) for line in (*shared, app_id)]
    items = {item.name: item.variable for item in inputs_of(PROCEDURE)}
    environ = {items[name]: str(json.loads(value)) for name, value in pairs}
    environ |= {items[SECRETS[name]]: text for name, text in site.secrets.items()}
    for _ in range(2):
        folder = served(site)
        shutil.copytree(ROOT / "notebooks", folder / "notebooks")
        here = {
            key: str(value).replace("/srv/runbook", str(folder)) for key, value in given.items()
        }
        parameters = ast.literal_eval(here["parameters"])
        words = [word for pair in parameters.items() for word in ("-p", *pair)]
        command = ["papermill", "--no-progress-bar", here["input_nb"], here["output_nb"], *words]
        assert site.perform(command, site.fresh(), environ) == 0
        assert Path(here["output_nb"]).is_file()
        evidence = keep(site, folder)

    signed = {**environ, "RUNBOOK_SIGNING_KEY": str(site.key)}
    words = ["runbook", "run", "--tenant", "acme", "--evidence", str(evidence)]
    assert site.perform(words, site.fresh(), signed) == INCOMPLETE
    check_evidence(site, evidence, runs=1)
    journal = (evidence / "acme/facebook_marketing/journal.jsonl").read_text()
    assert journal.count('"run.started"') == 3


def test_every_recipe_of_the_page_is_run() -> None:
    """No block of the page is left out of these tests."""

    languages = re.findall(r"^```(\w+)$", DOCUMENT, flags=re.M)
    headings = {"GitHub Actions": 1, "Kubernetes": 2, "Argo Workflows": 1, "Airflow": 2, "SLURM": 1}
    assert re.findall(r"^## (.+)$", DOCUMENT, flags=re.M) == list(headings)
    assert len(languages) == sum(headings.values())
