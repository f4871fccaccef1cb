"""The documents, the example settings and the changelog agree with the product."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from facebook_cyclr_sandbox.scenarios import SCENARIOS
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.cli.main import main
from runbook_lib.config.attestations import read_attestations
from runbook_lib.config.env_file import write_env_file
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.model import Attestation, AttestationKind, NoteKind, Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.errors import ExitCode
from tests.conftest import NOON
from tests.runs.conftest import settings_of
from tests.support.declared_dependencies import declared
from tests.support.layers import LAYERS, SANDBOX
from tests.support.wording import wording
from tools.fidelity import with_fidelity

ROOT = Path(__file__).parents[1]
PROCEDURE = find_procedure("facebook_marketing")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/*.md", f"{SANDBOX}/*.md")
    for path in sorted(ROOT.glob(pattern))
}
README = DOCUMENTS["README.md"]
HEADLESS = DOCUMENTS["docs/headless.md"]
ARCHITECTURE = DOCUMENTS["ARCHITECTURE.md"]
CONTRIBUTING = DOCUMENTS["CONTRIBUTING.md"]

RUN_ENDS = (ExitCode.COMPLETE, ExitCode.FAILED, ExitCode.INCOMPLETE)
# The exit codes of commands that do not end with 0 here.
ENDINGS: Mapping[str, tuple[int, ...]] = {
    "runbook run --sandbox review-declined": (ExitCode.INCOMPLETE,),
    "runbook run --attestations": RUN_ENDS,
    "runbook run --json": RUN_ENDS,
    # Nobody has filled in the blanks here.
    "runbook kit --attach": (ExitCode.USAGE,),
    # The secrets that the example refers to do not exist here.
    "runbook fleet": (ExitCode.INCOMPLETE,),
    "runbook status": RUN_ENDS,
    "runbook watch": RUN_ENDS,
    "runbook connections --sandbox customer-disconnected": (ExitCode.INCOMPLETE,),
    "runbook doctor": (ExitCode.COMPLETE, ExitCode.INCOMPLETE),
    # The Service Domain of the example is not the sandbox's: fb-08 fails.
    "papermill": (ExitCode.FAILED,),
}
# Commands that are not run here, with the reason; with a blank at the end, only their beginning.
NOT_RUN = {
    "make ": "the Makefile's targets start these tests, or take an hour",
    "python3 -m venv ": "these tests run in such an environment",
    ".venv/bin/pip install ": "needs a package index",
    ".venv/bin/runbook lab ": "serves until interrupted: tests/browser opens it in a browser",
    ".venv/bin/jupyter lab ": "serves until interrupted; the notebook is run by papermill",
    ".venv/bin/runbook sandbox ": "serves until interrupted: tests/runs/test_commands.py starts it",
    ".venv/bin/runbook archive evidence/acme --to s3://bucket/evidence": (
        "needs a bucket: tests/contract/test_archive_s3.py has one"
    ),
    "aws s3api ": "needs a bucket of Amazon's",
    "pip install distributed ": "the environment of tests has it",
    "dask scheduler ": "serves until interrupted",
    "dask worker ": "serves until interrupted",
    ".venv/bin/runbook fleet tenants.toml --scheduler ": (
        "needs a cluster: tests/runs/test_fleet_cluster.py has one"
    ),
    ".venv/bin/runbook fleet tenants.toml --resume ": (
        "needs the id of a run: tests/runs/test_fleet.py resumes one"
    ),
    ".venv/bin/runbook verify --key ~/trusted/KEY.pub.pem --tenants ": (
        "needs a fleet's run: tests/unit/evidence/verify/test_fleet_count.py has two"
    ),
    ".venv/bin/runbook run --sandbox approved": "tests/support/practice_runs.py runs it once",
    ".venv/bin/runbook run": "the short form of a command that is run, with other options",
}


@dataclass(frozen=True)
class Command:
    """A line of a document that a person types."""

    document: str
    line: str

    @property
    def is_run(self) -> bool:
        """Whether a test here runs it."""
        beginnings = tuple(each for each in NOT_RUN if each.endswith(" "))
        return self.line not in NOT_RUN and not f"{self.line} ".startswith(beginnings)

    @property
    def endings(self) -> tuple[int, ...]:
        """The exit codes that it may have here."""
        line = self.line.removeprefix(".venv/bin/")
        return next((codes for start, codes in ENDINGS.items() if line.startswith(start)), (0,))


def commands() -> Iterator[Command]:
    """Yield each line of each `sh` block, without its comment."""
    for name, text in DOCUMENTS.items():
        for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if typed := re.sub(r"(^|\s+)#.*", "", line).strip():
                    yield Command(name, typed)


COMMANDS = tuple(commands())


def test_the_table_of_what_a_person_confirms_is_complete() -> None:
    """The page has a row for each check that asks for a person, with its sentence at Facebook."""
    rows = dict(
        re.findall(r"^\| `([a-z-]+)` \| (.+\.) \|$", DOCUMENTS["docs/evidence.md"], re.MULTILINE)
    )

    assert rows == {
        check.id: check.needs_confirmation.replace(
            vendor_of(find_procedure(name)).title, "Facebook"
        )
        for name in connector_names()
        for step in find_procedure(name).steps
        for check in step.checks
        if check.needs_confirmation
    }


# --- commands --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Workplace:
    """A person's working folder, and the person's settings."""

    folder: Path
    settings: Mapping[str, str]

    def type(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell, unchanged; practice has no settings."""
        kept = {name: value for name, value in os.environ.items() if "RUNBOOK" not in name}
        mine = {} if "--sandbox" in line else self.settings
        if " fleet " in line:
            # A fleet asks before a check spends something.
            mine = {name: text for name, text in mine.items() if name != "RUNBOOK_CYCLR_USERNAME"}
        home = self.folder / "home"
        environ = {**kept, **mine, "XDG_DATA_HOME": str(home / ".local/share"), "HOME": str(home)}
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """Return a folder with a tenant that ran once, against a sandbox with everything approved."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "attestations.toml").write_text(attestations(), encoding="utf-8")
    (folder / "tenants.toml").write_text(fleet_file(), encoding="utf-8")
    with Sandbox("approved") as sandbox:
        settings = read_env_file(settings_of(sandbox, folder / "settings"))
        mine = Workplace(folder, {**settings, "RUNBOOK_TENANT": "acme"})
        first = mine.type(".venv/bin/runbook run")
        assert first.returncode in RUN_ENDS, first.stderr
        (key,) = (folder / "evidence" / "keys").glob("*.pub.pem")
        (folder / "home" / "trusted").mkdir()
        shutil.copy(key, folder / "home" / "trusted" / "KEY.pub.pem")
        # The commands of `make run`, which begins the README.
        assert mine.type(".venv/bin/runbook run --sandbox approved").returncode == 0
        yield mine


def attestations() -> str:
    """Return the attestations file of the documents, with the further entry that they show."""
    return "\n".join(re.findall(r"```toml\n(.*?)```", HEADLESS, flags=re.DOTALL))


def fleet_file() -> str:
    """Return the file of tenants of the documents."""
    (block,) = re.findall(r"```toml\n(.*?)```", DOCUMENTS["docs/fleet.md"], flags=re.DOTALL)
    return str(block)


@pytest.mark.costly("runs every command that a page shows, one after the other")
@pytest.mark.parametrize("document", sorted({each.document for each in COMMANDS if each.is_run}))
def test_the_commands_of_a_document_work(document: str, workplace: Workplace) -> None:
    """The commands of a document work, in order, with the documented exit codes."""
    (workplace.folder / ".env").unlink(missing_ok=True)
    for command in COMMANDS:
        if command.document == document and command.is_run:
            result = workplace.type(command.line)
            said = f"{command.line}\n{result.stdout}{result.stderr}"
            assert result.returncode in command.endings, said
            assert "Inside the evidence" not in result.stdout, said


def test_every_command_that_is_not_run_is_in_a_document() -> None:
    """Every exception in `NOT_RUN` is still in a document."""
    left_out = [f"{command.line} " for command in COMMANDS if not command.is_run]
    assert all(any(line.startswith(start) for line in left_out) for start in NOT_RUN)


# --- trusted keys ----------------------------------------------------------------------------
# A key in the evidence folder, as a path or as our code names it.
TRUSTS_EVIDENCE = re.compile(
    r"--(?:trusted-keys|key)\b[=,'\"`]*[ \n]*\S*(?:evidence/|keys_beside|KEYS_FOLDER)"
)
EXAMPLES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in (
        "*.md",
        "docs/*.md",
        "Makefile",
        ".ci/*",
        "notebooks/*",
        "runbook_lib/**/*",
        f"{SANDBOX}/**/*",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.suffix in (".md", ".py", ".html", ".ipynb", ".js", ".toml", "") and path.is_file()
}


def test_every_example_keeps_trusted_keys_apart() -> None:
    """No command that we print or write trusts keys inside the evidence."""
    assert [name for name, text in EXAMPLES.items() if TRUSTS_EVIDENCE.search(text)] == []
    for advice in (
        "--trusted-keys evidence/keys",
        '"--trusted-keys", str(keys_beside(home))',
        "--key evidence/keys/a.pub.pem",
    ):
        assert TRUSTS_EVIDENCE.search(advice)


# --- content ---------------------------------------------------------------------------------
WITHDRAWN = (
    "--retention-days",
    "RETENTION_DAYS",
    "retained_until",
    "archive_notes",
    "What changed",
    "squares, each with the icon",
    "hard link to a key of",
    "with its line, with exit",
    "/api/connectors",
    "deauthenticate",
    "{result=",
    "Each answer is marked",
)


@pytest.mark.parametrize("name", WITHDRAWN)
def test_no_document_offers_what_was_withdrawn(name: str) -> None:
    """Only the changelog names an option, a field or a page that is gone."""
    paths = [ROOT / ".env.example", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    assert [at for at, text in texts.items() if name in text and at != "CHANGELOG.md"] == []


def test_the_documents_name_every_command_and_no_other() -> None:
    """The list of commands in the documents is the list of the program."""
    named = set(re.findall(r"^runbook ([a-z]+)  ", HEADLESS, flags=re.MULTILINE))
    assert named == set(main.commands)


def test_the_documents_name_every_exit_code() -> None:
    """The documents list every exit code, and no other."""
    rows = set(re.findall(r"^\| (\d+) \|", HEADLESS, flags=re.MULTILINE))
    assert rows == {str(int(code)) for code in ExitCode}


def test_the_readme_explains_every_outcome() -> None:
    """The README has each outcome, and no other, with its icon, label and meaning."""
    rows = re.findall(r"^\| (.) \| `(\w+)` \| (.+) \| (.+) \|$", README, flags=re.MULTILINE)

    assert rows == [(row.icon, name, row.label, row.meaning) for name, row in OUTCOMES.items()]
    assert list(OUTCOMES) == list(Outcome)


def test_the_documents_name_every_scenario() -> None:
    """docs/sandbox.md lists every scenario."""
    assert all(f"| `{scenario}` |" in DOCUMENTS["docs/sandbox.md"] for scenario in SCENARIOS)


def test_inferred_and_unknown_responses_of_the_sandbox_are_listed() -> None:
    """docs/sandbox.md has the list of today; `make fidelity` writes it."""
    page = DOCUMENTS["docs/sandbox.md"]
    assert with_fidelity(page) == page
    assert "granular_scopes" in page


@pytest.mark.parametrize("connector", connector_names())
def test_the_readme_names_every_connector(connector: str) -> None:
    """The README lists each connector, and its notebook exists."""
    assert f"| `{connector}`" in README, "add a row for the connector to the README"
    assert f"notebooks/{connector}.ipynb" in README, "link its notebook in that row"
    assert (ROOT / "notebooks" / f"{connector}.ipynb").is_file()


def test_the_readme_is_short() -> None:
    """The README has at most 91 lines beside its rows of outcomes and connectors."""
    rows = [name for name in connector_names() if f"| `{name}`" in README]

    assert len(README.splitlines()) <= 91 + len(Outcome) + len(rows)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_has_a_target(name: str) -> None:
    """Every linked file exists, and so does the heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[name]):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        text = file.read_text(encoding="utf-8") if heading else ""
        headings = [
            re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-")
            for each in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        ]
        assert not heading or heading in headings, target


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/performance.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    """Every file named in these documents exists."""
    for path in re.findall(
        r"`((?:runbook_lib|facebook_cyclr_sandbox|tests|tools|docs|\.ci)/[\w./]*)`", DOCUMENTS[name]
    ):
        assert (ROOT / path).exists(), path


def test_the_architecture_names_every_layer_in_order() -> None:
    """ARCHITECTURE.md lists the layers in the order of the import test, and the sandbox apart."""
    (table,) = re.findall(r"^\| layer \|.*?\n\n", ARCHITECTURE, flags=re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, flags=re.MULTILINE)
    assert tuple(rows) == LAYERS
    assert f"`{SANDBOX}/` stands apart" in ARCHITECTURE


def test_the_architecture_gives_a_reason_for_every_dependency() -> None:
    """ARCHITECTURE.md gives a reason for each dependency."""
    _, _, table = ARCHITECTURE.partition("## Direct dependencies")
    rows = re.findall(r"^\| ([\w-]+) \| \S+", table, flags=re.MULTILINE)
    assert rows[0] == "package"
    assert set(rows[1:]) == declared()


def test_ci_runs_each_python_that_is_promised() -> None:
    """CI, metadata and documents name the same Python versions, and CI runs `.ci/run`."""
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = [
        each.rpartition(" ")[2]
        for each in project["classifiers"]
        if each.startswith("Programming Language :: Python :: 3.")
    ]
    assert "- run: .ci/run\n" in workflow
    assert f"python: {promised}".replace("'", '"') in workflow
    assert f"Python {promised[0]} to {promised[-1]}" in README
    assert wording("tests.systems-not-tested") in README


def test_pre_commit_runs_the_quick_part_of_make_check() -> None:
    """The pre-commit hooks are the parts of `make check`, without tests."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (parts,) = re.findall(r"^check: ([a-z ]+?) +##", makefile, re.M)
    (beside,) = re.findall(r"others \$\(PARTS\) ([a-z ]+?) SELECTED", makefile)
    others = {"tests", "wheel"}
    hooked = re.findall(r"entry: make (\w+)", hooks)
    assert {*hooked, *others} == {*parts.split(), *beside.split()}


# --- examples --------------------------------------------------------------------------------
def test_the_example_settings_are_valid(tmp_path: Path) -> None:
    """`.env.example` is what `init` writes, can be used unchanged, and names every credential."""
    written = write_env_file(tmp_path / ".env", PROCEDURE).read_text(encoding="utf-8")
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == written
    variables = read_env_file(ROOT / ".env.example")
    inputs = inputs_of(PROCEDURE)
    settings = resolve(inputs, env_file=variables, environ={})
    assert settings.secrets == {}
    assert {item.variable for item in inputs if item.secret} <= set(variables)


def test_the_example_attestations_are_valid(tmp_path: Path) -> None:
    """The attestations file in the documents is valid and has every kind of entry."""
    path = tmp_path / "attestations.toml"
    path.write_text(attestations(), encoding="utf-8")
    kinds: set[str] = set()
    for _step, said in read_attestations(path, PROCEDURE, now=NOON):
        if isinstance(said, Attestation):
            kinds.add(said.kind)
        else:
            kinds.add(NoteKind.COMMENTED if said.to is None else NoteKind.ASSIGNED)
    assert kinds == {*AttestationKind, *NoteKind}


def test_no_document_promises_an_hour() -> None:
    """The procedure waits for decisions of others, so no document speaks of an hour's work."""
    assert not [name for name, text in DOCUMENTS.items() if "hour's work" in text]


def test_the_version_is_in_the_changelog() -> None:
    """The package's version is a heading of the changelog, or not released yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = DOCUMENTS["CHANGELOG.md"]
    assert f"[{project['version']}]" in changelog or "[Unreleased]" in changelog


def test_every_tracked_picture_is_shown() -> None:
    """All pictures in documents exist and are small, and all of the walkthrough's are shown."""
    shown = {
        ((ROOT / name).parent / path).resolve()
        for name, text in DOCUMENTS.items()
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    }
    assert set((ROOT / "tests/browser/screenshots").glob("walkthrough-*.png")) <= shown
    assert max(path.stat().st_size for path in shown) < 200_000
