"""
The doctor: is this machine, its settings and its network ready for a run?

It changes nothing; it writes and removes a probe file in the evidence folder.
"""

from __future__ import annotations

import os
import platform
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import Settings, find_env_file, settings_file
from runbook_lib.config.workspace import (
    evidence_folder,
    folders_elsewhere,
    is_sandbox,
    project_folder,
    project_notebook,
)
from runbook_lib.connectors.connector_packages import packaged_connectors
from runbook_lib.connectors.known_errors import has_full_text_search
from runbook_lib.connectors.registry import broken_connectors, connector_names
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.redaction import Redactor
from runbook_lib.engine.notebooks import is_stale, notebook_name
from runbook_lib.engine.run_view import known_values
from runbook_lib.engine.tenant_run import load_settings, require_within_reach
from runbook_lib.errors import (
    ExitCode,
    RunbookError,
    SettingsError,
    reason_of,
)
from runbook_lib.evidence.signing.keys import (
    UNENCRYPTED,
    default_key_path,
    is_unencrypted,
    key_from_settings,
)
from runbook_lib.remote.addresses import NetworkScope
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.limits import Limits

_SECONDS = 30.0
# Fails without a keyring, and where an entry that it is given is not there.
_ASKS_KEYRING = """
import keyring, sys
asked = [keyring.get_password(*name.rsplit("/", 1)) for name in ("runbook/doctor", *sys.argv[1:])]
sys.exit(None in asked[1:])
"""
_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "sshfs",
    "davfs",
    "s3fs",
    "gcsfuse",
    "blobfuse2",
    "rclone",
)
_PACKAGE_FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class ExaminedItem:
    """An examined item, and the exit code that it calls for; a warning calls for none."""

    subject: str
    message: str
    exit_code: ExitCode = ExitCode.COMPLETE
    is_warning: bool = False

    @property
    def is_well(self) -> bool:
        return self.exit_code is ExitCode.COMPLETE


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was examined."""

    items: tuple[ExaminedItem, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 if all is well, 2 if settings are unusable, else 3."""
        codes = [item.exit_code for item in self.items if not item.is_well]
        return min(codes, default=ExitCode.COMPLETE)


def examine(
    procedure: Procedure,
    env_file: str,
    evidence: str,
    *,
    environ: Mapping[str, str] = os.environ,
) -> Examination:
    """
    Examine Python, Jupyter, the notebook, the evidence folder, settings, secrets and network.
    """
    python = ExaminedItem("Python", platform.python_version())
    items = [python, _bytecode(), _full_text_search(), _kernel(), *_connectors()]
    items += [_notebook(procedure), _project_folder(), _evidence_folder(evidence)]
    settings, item = _settings(procedure, env_file, environ)
    items.append(item)
    values = known_values(procedure, {}, settings)
    doubts = procedure.doubts(values).items()
    items += [ExaminedItem(label, doubt, is_warning=True) for label, doubt in doubts]
    items += _secrets(procedure, env_file, environ)
    items += _practice(procedure, values)
    items.append(_signing_key(settings))
    addresses = [url for provider in procedure.providers for url in provider.hosts(values)[:1]]
    reach = NetworkScope.LOOPBACK if is_sandbox(values) else NetworkScope.ANYWHERE
    items += [_reachable(url, Limits.of(values), reach) for url in addresses]
    return Examination(tuple(items))


def _bytecode() -> ExaminedItem:
    """Return whether a run's modules are compiled; else every command compiles them."""
    names = (__name__, "papermill.execute", "IPython.core.interactiveshell")
    sources = [str(spec.origin) for name in names if (spec := find_spec(name))]
    if all(Path(cache_from_source(source)).is_file() for source in sources):
        return ExaminedItem("Bytecode", "is kept")
    advice = (
        "is not kept, so every command is slower: unset PYTHONDONTWRITEBYTECODE, and run "
        f"`{sys.executable} -m compileall -q {Path(sources[-1]).parents[2]} {_PACKAGE_FOLDER}`"
    )
    return ExaminedItem("Bytecode", advice, is_warning=True)


def _full_text_search() -> ExaminedItem:
    """Return whether `explain` can search by words: FTS5 is a compile option of SQLite."""
    if has_full_text_search():
        return ExaminedItem("Search of error texts", "SQLite has FTS5")
    advice = (
        "SQLite has no FTS5, so `runbook explain` knows texts and codes, but offers nothing by "
        "words: use a Python whose SQLite has it"
    )
    return ExaminedItem("Search of error texts", advice, is_warning=True)


def _kernel() -> ExaminedItem:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415

    try:
        spec: Any = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return ExaminedItem("Jupyter kernel", "python3 is not installed", ExitCode.INCOMPLETE)
    return ExaminedItem("Jupyter kernel", str(spec.display_name))


def _connectors() -> list[ExaminedItem]:
    """
    Return each broken connector, and each that a package brings; no code of a package is loaded.
    """
    items = [
        ExaminedItem(f"Connector {name}", f"{error} {error.diagnostics()}", is_warning=True)
        for name, error in broken_connectors().items()
    ]
    for name, connector in packaged_connectors().items():
        subject = f"Connector {name}"
        if name in connector_names():
            ignored = f"{connector.package()} is ignored: the runbook has a connector of that name"
            items.append(ExaminedItem(subject, ignored, is_warning=True))
            continue
        is_broken = bool(connector.problem)
        message = f"{connector.problem}: correct it" if is_broken else str(connector.package())
        items.append(ExaminedItem(subject, message, is_warning=is_broken))
    return items


def _notebook(procedure: Procedure) -> ExaminedItem:
    try:
        path = project_notebook(notebook_name(procedure))
    except SettingsError as error:
        return ExaminedItem("Notebook", f"{error} {error.diagnostics()}", error.exit_code)
    if not path.parent.is_dir():
        return ExaminedItem("Notebook", "no notebooks/ here; one is built for each run")
    if is_stale(procedure, path):
        advice = f"{path.name} is stale: run `runbook notebooks`"
        return ExaminedItem("Notebook", advice, ExitCode.INCOMPLETE)
    return ExaminedItem("Notebook", f"{path.name} matches the procedure")


def _project_folder() -> ExaminedItem:
    project = project_folder()
    is_here = project == Path.cwd()
    which = "the working directory" if is_here else "a parent of the working directory"
    return ExaminedItem("Project folder", f"{project}, {which}")


def _evidence_folder(evidence: str) -> ExaminedItem:
    try:
        folder = evidence_folder(evidence)
    except SettingsError as error:
        return ExaminedItem("Evidence folder", str(error), error.exit_code)
    if folders_elsewhere(folder):
        folder = Path(os.path.abspath(folder))  # noqa: PTH100  (without `..`)
    try:
        nearest = next(f for f in (folder, *folder.absolute().parents) if f.is_dir())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".runbook-doctor-"):
            pass
    except OSError as error:
        return ExaminedItem("Evidence folder", f"{folder}: {reason_of(error)}", ExitCode.INCOMPLETE)
    if kind := _network_file_system(nearest):
        warning = f"{folder} is on a network file system ({kind}), which may not lock files"
        return ExaminedItem(
            "Evidence folder", f"{warning}: keep it on a local disk", is_warning=True
        )
    return ExaminedItem("Evidence folder", f"{folder} can be written")


def _network_file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of a network file system that `folder` is on, where that is known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place = str(folder.resolve())
    kinds = {}
    for line in lines:  # proc(5): the place is the fifth field, the type comes after a hyphen
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        if place == point or place.startswith(f"{point.rstrip('/')}/"):
            kinds[len(point)] = line.partition(" - ")[2].split()[0]
    kind = kinds[max(kinds)] if kinds else ""
    return kind if kind.removeprefix("fuse.") in _NETWORK else ""


def _settings(
    procedure: Procedure, env_file: str, environ: Mapping[str, str]
) -> tuple[Settings, ExaminedItem]:
    try:
        settings = load_settings(procedure, env_file=env_file, environ=environ)
    except RunbookError as error:
        message = f"{error} {error.diagnostics()}"
        return Settings(), ExaminedItem("Settings", message, error.exit_code)
    path = env_file or find_env_file()
    names = ", ".join([*settings.values, *settings.secrets]) or "none"
    source = f"{path}: " if path else "no .env; from the environment: "
    if path and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        advice = f"{path} can be read by others: run `chmod 600 {path}`"
        return settings, ExaminedItem("Settings", advice, ExitCode.INCOMPLETE)
    return settings, ExaminedItem("Settings", source + names)


def _secrets(procedure: Procedure, env_file: str, environ: Mapping[str, str]) -> list[ExaminedItem]:
    """Return for each store whether a run without a session, by cron or a timer, can read it."""
    try:
        file_values = settings_file(env_file)
    except RunbookError:
        file_values = {}
    references: list[str] = []
    lacking: list[str] = []
    variables = [
        name
        for item in inputs_of(procedure)
        if item.secret
        for name in (item.variable_for(procedure.id), item.variable)
    ]
    for name in variables:
        text = environ.get(name) or file_values.get(name, "")
        if environ.get(name) or text.startswith("env:"):
            lacking.append(name)
        elif text.startswith("keyring:"):
            references.append(text.removeprefix("keyring:"))
    can_read = _reads_keyring_without_session(references)
    keyring = "can be read" if can_read else "cannot be read: keep secrets in .env or in files"
    here = ", ".join(lacking)
    return [
        ExaminedItem(
            "Keyring without a session", keyring, is_warning=bool(references and not can_read)
        ),
        ExaminedItem("Files without a session", ".env, file: and dotenv: can be read"),
        ExaminedItem(
            "Environment without a session",
            f"set {here} for cron or the service, too: only this session has it"
            if here
            else "no secret is only in this session's environment",
            is_warning=bool(here),
        ),
    ]


def _reads_keyring_without_session(references: list[str]) -> bool:
    """Ask a process that has nothing of this session, as cron starts one."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    try:
        asked = subprocess.run(  # noqa: S603  (the arguments are names of entries)
            [sys.executable, "-c", _ASKS_KEYRING, *references], env=kept, timeout=_SECONDS,
            check=False, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _signing_key(settings: Settings) -> ExaminedItem:
    path = default_key_path(is_sandbox=False)
    if not settings.values.get("signing_key") and not path.exists():
        return ExaminedItem("Signing key", f"the first run makes it: {path}")
    try:
        key = key_from_settings(settings, is_sandbox=False)
    except RunbookError as error:
        return ExaminedItem("Signing key", str(error), error.exit_code)
    if is_unencrypted(settings):
        advice = f"{UNENCRYPTED}: `runbook key --rotate` makes an encrypted one"
        return ExaminedItem("Signing key", advice, ExitCode.INCOMPLETE)
    return ExaminedItem("Signing key", f"{key.key_id[:16]} can be used")


def _practice(procedure: Procedure, values: Mapping[str, Value]) -> list[ExaminedItem]:
    """Return why a run with these values would be practice that is refused, if it would."""
    try:
        require_within_reach(procedure, values)
    except SettingsError as error:
        return [ExaminedItem("Practice", f"{error} {error.diagnostics()}", error.exit_code)]
    return []


def _reachable(url: str, limits: Limits, reach: NetworkScope) -> ExaminedItem:
    client = HTTPClient(Redactor(), ClientOptions(limits=limits, reach=reach))
    try:
        answer = Session(client).send(Request(method="GET", url=url), is_repeatable=False)
    except RunbookError as error:
        return ExaminedItem(url, str(error), ExitCode.INCOMPLETE)
    finally:
        client.close()
    return ExaminedItem(url, f"answers ({answer.status})")
