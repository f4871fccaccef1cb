"""
The environment of an unattended kernel: the variables that its steps need, nothing else.

Credentials that sign and archive the evidence, and unknown variables, stay in the process that
started the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from runbook_lib.config.runner_settings import OUTSIDE_KERNEL, inputs_of
from runbook_lib.config.settings import referred_variables, settings_file
from runbook_lib.core.procedure import Procedure

# Credentials that no step asks for: a kernel does not even read them.
WITHHELD = tuple(item.name for item in OUTSIDE_KERNEL if item.secret)

# Locations of programs, homes, languages, temporary files and certificates; access to the network
# and the keyring. fmt: off
_NAMES = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "DBUS_SESSION_BUS_ADDRESS",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "JUPYTER_PATH",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_CONFIG_PATH",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTER_PLATFORM_DIRS",
        "JUPYTER_PREFER_ENV_PATH",
        "JUPYTER_NO_CONFIG",
        "IPYTHONDIR",
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
    items = [item for item in inputs_of(procedure) if item not in OUTSIDE_KERNEL]
    variables = {item.name: (item.variable_for(procedure.id), item.variable) for item in items}
    file_values = settings_file(str(parameters.get("env_file") or ""))
    needed = {*_OWN, *(name for names in variables.values() for name in names)}
    for item in items:
        if item.secret:
            names = variables[item.name]
            texts = [values.get(name) for values in (environ, file_values) for name in names]
            needed |= referred_variables([parameters.get(item.name), *texts])
    return {
        name: value
        for name, value in environ.items()
        if name in needed or name.upper() in _NAMES or name.startswith(_PREFIXES)
    }
