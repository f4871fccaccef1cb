"""Commands load what they need and nothing else: imports are most of what a short command costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
_OURS = "runbook_lib"
# What starts every Python, where a distribution or an installer adds it.
_START = {"__main__", "_distutils_hack", "sitecustomize", "usercustomize"}
_HELP = {"click"}
_STATUS = _HELP | {"dotenv", "filelock", "msgspec", "rich", "typing_extensions"}
MAY_LOAD = {"--help": _HELP, "status": _STATUS}
COMMANDS = {"--help": ("--help",), "status": ("status", "--tenant", "acme")}


def loaded(*words: str, folder: Path) -> set[str]:
    """Return the names of the modules that a command loads, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *words],
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
    assert {
        each for each in packages if not each.startswith(("__editable__", "_cython"))
    } <= MAY_LOAD[name]


def test_help_loads_the_command_line_alone(tmp_path: Path) -> None:
    """No room of the product but the command line and the names of connectors is loaded."""

    modules = {each for each in loaded("--help", folder=tmp_path) if each.startswith(f"{_OURS}.")}

    rooms = {".".join(module.split(".")[1:2]) for module in modules}
    assert rooms == {"cli", "connectors", "errors", "plain_text"}
