"""
What a kernel that nobody sits at gets of the environment: what its steps need, nothing else.

What signs and archives the evidence, and whatever strangers put into the
environment, stays in the process that started the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from runbook_lib.config.runner import EVIDENCE, inputs_of
from runbook_lib.config.settings import find_env_file, read_env_file, referred_variables
from runbook_lib.core.procedure import Input, Procedure

# Credentials that no step asks for: a kernel does not even read them.
WITHHELD = tuple(item.name for item in EVIDENCE if item.secret)

# Where programs, homes, languages, temporary files and certificates are; how the network and the
# keyring are reached.
# fmt: off
_NAMES = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP",
        "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DBUS_SESSION_BUS_ADDRESS", "CURL_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "JUPYTER_PATH",
        "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
        "JUPYTER_PLATFORM_DIRS", "JUPYTER_PREFER_ENV_PATH", "JUPYTER_NO_CONFIG", "IPYTHONDIR",
    }
)
# fmt: on
_PREFIXES = ("LC_", "XDG_", "PYTHON", "SSL_CERT_", "REQUESTS_CA", "COVERAGE_")
# The run's own parameters, beside the procedure's inputs.
_OWN = ("RUNBOOK_CONNECTOR", "RUNBOOK_TENANT", "RUNBOOK_EVIDENCE", "RUNBOOK_ENV_FILE")


def kernel_environment(
    procedure: Procedure,
    parameters: Mapping[str, object],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """
    Return the part of `environ` that a kernel needs for the steps of `procedure`.

    `parameters` are the notebook's. A variable that one of the inputs refers to
    (`env:NAME`), there, in the environment or in the settings file, is in it.
    Raises `SettingsError` where that file cannot be read.
    """
    items = [item for item in inputs_of(procedure) if item not in EVIDENCE]
    variables = {item.name: (item.variable_for(procedure.id), item.variable) for item in items}
    referred = _referred(items, variables, parameters, environ)
    wanted = {*_OWN, *(name for names in variables.values() for name in names), *referred}
    return {
        name: value
        for name, value in environ.items()
        if name in wanted or name.upper() in _NAMES or name.startswith(_PREFIXES)
    }


def _referred(
    items: list[Input],
    variables: Mapping[str, tuple[str, str]],
    parameters: Mapping[str, object],
    environ: Mapping[str, str],
) -> Iterator[str]:
    path = str(parameters.get("env_file") or "") or find_env_file()
    file_values = read_env_file(Path(path)) if path else {}
    for item in items:
        if not item.secret:
            continue
        names = variables[item.name]
        sources = (
            parameters.get(item.name),
            *(values.get(name) for values in (environ, file_values) for name in names),
        )
        yield from referred_variables(sources)
