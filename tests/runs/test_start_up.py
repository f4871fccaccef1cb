"""Commands load their own modules and nothing else: a short command's cost is mostly imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.notebooks import project_with

# Runs a command, then prints the modules that are loaded.
_PROBE = """
import json, sys
from runbook_lib.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps([name for name, module in sys.modules.items() if module]))
"""
# Loads the modules of a fleet's server, and prints them.
_SERVER = """
import json, sys
import runbook_lib.engine.preloaded
print(json.dumps([name for name, module in sys.modules.items() if module]))
"""
# Starts the process of cells, and prints the modules that were loaded before the fork.
_FORKING = """
import json, os, sys
from runbook_lib.engine.cells import CellProcess
before = []
os.register_at_fork(before=lambda: before.extend(sys.modules))
CellProcess().close()
print(json.dumps([name for name in before if sys.modules[name]]))
"""
_OURS = "runbook_lib"
# Modules that `run --sandbox` loads and a tenant of a fleet does not: after it, the page is built.
_NOT_IN_A_FLEET = (
    f"{_OURS}.cli",
    f"{_OURS}.config.fleet_file",
    f"{_OURS}.config.toml_tables",
    f"{_OURS}.connectors.code_meanings",
    f"{_OURS}.connectors.cyclr.transactions",
    f"{_OURS}.engine.practice",
    f"{_OURS}.engine.tenant_",
    f"{_OURS}.evidence.fleet_result",
    f"{_OURS}.evidence.reports.index_page",
    f"{_OURS}.evidence.reports.tenant_status",
    f"{_OURS}.operations",
)
# Modules that every Python starts with, where a distribution or an installer adds them.
_START = {"__main__", "_distutils_hack", "sitecustomize", "usercustomize"}
_HELP = {"click"}
_STATUS = _HELP | {"dotenv", "filelock", "msgspec", "rich", "tomli", "typing_extensions"}
MAY_LOAD = {"--help": _HELP, "status": _STATUS}
COMMANDS = {"--help": ("--help",), "status": ("status", "--tenant", "acme")}


def loaded(*words: str, folder: Path, program: str = _PROBE) -> set[str]:
    """Return the names of the modules that `program` loads, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_no_other_package(name: str, tmp_path: Path) -> None:
    """Each third-party package that a command loads is in the list above."""
    modules = loaded(*COMMANDS[name], folder=tmp_path)

    known = {*sys.stdlib_module_names, _OURS, *_START}
    packages = {module.partition(".")[0] for module in modules} - known
    # NOTE: what mypyc compiled (tomli) has a module beside it, whose name ends so.
    assert {
        loaded_name
        for loaded_name in packages
        if not loaded_name.startswith(("__editable__", "_cython"))
        and not loaded_name.endswith("__mypyc")
    } <= MAY_LOAD[name]


def test_help_loads_the_command_line_alone(tmp_path: Path) -> None:
    """No layer of the product but the command line and the names of connectors is loaded."""
    modules = {
        loaded_name
        for loaded_name in loaded("--help", folder=tmp_path)
        if loaded_name.startswith(f"{_OURS}.")
    }

    layers = {".".join(module.split(".")[1:2]) for module in modules}
    assert layers == {"cli", "connectors", "errors", "text"}


def test_the_server_of_a_fleet_loads_what_a_run_does(tmp_path: Path) -> None:
    """
    Each tenant's process would import modules again that the server has not loaded before it forks.

    Neither a run nor the server loads jsonschema's slow format.
    """
    arguments = ("run", "--sandbox", "approved", "--evidence", str(tmp_path))
    run = loaded(*arguments, folder=tmp_path)
    server = loaded(folder=tmp_path, program=_SERVER)

    assert f"{_OURS}.evidence.bundle" in run
    late = {loaded_name for loaded_name in run - server if loaded_name.startswith(f"{_OURS}.")}
    assert {
        loaded_name for loaded_name in late if not loaded_name.startswith(_NOT_IN_A_FLEET)
    } == set()
    assert {"jsonschema", "nbformat"} <= run & server
    assert "rfc3987_syntax" not in run | server


def test_cells_load_nothing_that_the_run_has_not_loaded(tmp_path: Path) -> None:
    """Cells' modules are imported before their process is forked, so parent and child load once."""
    noted = tmp_path / "modules.json"
    names = "[name for name, module in sys.modules.items() if module]"
    note = f"import json, sys; open({str(noted)!r}, 'w').write(json.dumps({names}))"
    project = project_with(tmp_path / "project", "test-10-ask-graph-version", note)
    loaded("run", "--sandbox", "approved", "--evidence", str(tmp_path / "e"), folder=project)

    late = set(json.loads(noted.read_text())) - loaded(folder=tmp_path, program=_FORKING)
    packages = {name.partition(".")[0] for name in late if not name.startswith(_NOT_IN_A_FLEET)}
    assert packages - sys.stdlib_module_names <= _START
