"""Commands load what they need and nothing else: imports are most of what a short command costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs a command, then prints the modules that are loaded; not those that are only deferred.
_PROBE = """
import json, sys
from importlib.util import _LazyModule
from runbook_lib.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps([n for n, m in sys.modules.items() if m and type(m) is not _LazyModule]))
"""
_OURS = "runbook_lib"
# What starts every Python, where a distribution or an installer adds it.
_START = {"__main__", "_distutils_hack", "sitecustomize", "usercustomize"}
_HELP = {"click"}
_STATUS = _HELP | {"dotenv", "filelock"}
_SANDBOX = {"anyio", "h11", "python_multipart", "starlette", "trustme", "uvicorn"}
_PAPERMILL = (
    *("attr", "attrs", "dateutil", "fastjsonschema", "jsonschema"),
    *("jsonschema_specifications", "jupyter_core", "nbformat"),
    *("papermill", "platformdirs", "referencing", "rpds", "six", "tenacity"),
    *("traitlets", "typing_extensions", "yaml"),
)
_SEALING = {"cryptography", "jinja2", "markupsafe", "securesystemslib"}
# Parts of compiled packages that stand at the top.
_COMPILED = {"_cffi_backend", "_openssl", "cython_runtime", "__mp_main__"}
# securesystemslib loads every signer whose package is installed; a user needs none of them.
_SIGNERS = (
    *("asn1crypto", "backports", "boto3", "botocore", "certifi", "charset_normalizer"),
    *("jmespath", "pkcs11", "requests", "s3transfer", "urllib3"),
)
MAY_LOAD = {
    "--help": _HELP,
    "status": _STATUS,
    "run": _STATUS | {"httpx", "idna"} | _SANDBOX | _SEALING | _COMPILED | {*_PAPERMILL, *_SIGNERS},
}
COMMANDS = {
    "--help": ("--help",),
    "status": ("status", "--tenant", "acme"),
    "run": ("run", "--sandbox"),
}


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


def test_what_papermill_is_loaded_without_is_there_for_others() -> None:
    """Packages that papermill was loaded without can be imported afterwards."""

    script = (
        "import sys\n"
        "from runbook_lib.engine.lean_imports import load_papermill\n"
        "assert load_papermill() is load_papermill()\n"
        "assert 'jupyter_client' not in sys.modules\n"
        "import requests, webcolors, fqdn, isoduration\n"
        "assert requests.get and webcolors.name_to_hex\n"
        "from papermill.clientwrap import PapermillNotebookClient\n"
        "assert PapermillNotebookClient.__mro__[1].__name__ == 'NotebookClient'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
