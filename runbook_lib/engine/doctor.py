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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import Settings, find_env_file, settings_file
from runbook_lib.config.workspace import (
    elsewhere,
    evidence_folder,
    is_sandbox,
    project_folder,
)
from runbook_lib.connectors.known_errors import has_full_text_search
from runbook_lib.connectors.registry import broken_connectors
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.redaction import Redactor
from runbook_lib.engine.notebooks import is_stale, notebook_name
from runbook_lib.engine.run_view import known_values
from runbook_lib.engine.tenant_run import load_settings, open_known, require_within_reach
from runbook_lib.engine.watch.channels import try_channels
from runbook_lib.engine.watch.trial_messages import try_receivers
from runbook_lib.errors import ExitCode, RunbookError, SettingsError, reason_of
from runbook_lib.evidence.signing.keys import (
    UNENCRYPTED,
    default_key_path,
    is_unencrypted,
    key_from_settings,
)
from runbook_lib.remote.addresses import Reach
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
class Symptom:
    """
    One thing that was examined, and the exit code that it calls for.

    A warning calls for none.
    """

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

    symptoms: tuple[Symptom, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 if all is well, 2 if settings are unusable, else 3."""
        codes = [symptom.exit_code for symptom in self.symptoms if not symptom.is_well]
        return min(codes, default=ExitCode.COMPLETE)


def examine(
    procedure: Procedure,
    env_file: str,
    evidence: str,
    *,
    is_notify_test: bool = False,
    tenants: Sequence[FleetTenant] = (),
    environ: Mapping[str, str] = os.environ,
) -> Examination:
    """
    Examine Python, Jupyter, the notebook, the evidence folder, settings, secrets and network.

    With `is_notify_test` a test message is sent, too; if there are `tenants`, to their receivers.
    """
    python = Symptom("Python", platform.python_version())
    symptoms = [python, _bytecode(), _full_text_search(), _kernel(), *_connectors()]
    symptoms += [_notebook(procedure), _project_folder(), _evidence_folder(evidence)]
    settings, symptom = _settings(procedure, env_file, environ)
    symptoms.append(symptom)
    values = known_values(procedure, {}, settings)
    doubts = procedure.doubts(values).items()
    symptoms += [Symptom(label, doubt, is_warning=True) for label, doubt in doubts]
    symptoms += _secrets(procedure, env_file, environ)
    symptoms += _practice(procedure, values)
    symptoms.append(_signing_key(settings))
    addresses = [url for provider in procedure.providers for url in provider.hosts(values)[:1]]
    reach = Reach.LOOPBACK if is_sandbox(values) else Reach.ANYWHERE
    symptoms += [_reachable(url, Limits.of(values), reach) for url in addresses]
    if tenants:
        trials = try_receivers(tenants, env_file=env_file, evidence=evidence, environ=environ)
        symptoms += [
            Symptom(f"Test message of {trial.tenant}", trial.message, trial.exit_code)
            for trial in trials
        ]
    elif is_notify_test:
        symptoms.append(_message(procedure, env_file, evidence))
    return Examination(tuple(symptoms))


def _bytecode() -> Symptom:
    """Return whether a run's modules are compiled; else every command compiles them."""
    names = (__name__, "papermill.execute", "IPython.core.interactiveshell")
    sources = [str(spec.origin) for name in names if (spec := find_spec(name))]
    if all(Path(cache_from_source(source)).is_file() for source in sources):
        return Symptom("Bytecode", "is kept")
    advice = (
        "is not kept, so every command is slower: unset PYTHONDONTWRITEBYTECODE, and run "
        f"`{sys.executable} -m compileall -q {Path(sources[-1]).parents[2]} {_PACKAGE_FOLDER}`"
    )
    return Symptom("Bytecode", advice, is_warning=True)


def _full_text_search() -> Symptom:
    """Return whether `explain` can search by words: FTS5 is a compile option of SQLite."""
    if has_full_text_search():
        return Symptom("Search of error texts", "SQLite has FTS5")
    advice = (
        "SQLite has no FTS5, so `runbook explain` knows texts and codes, but offers nothing by "
        "words: use a Python whose SQLite has it"
    )
    return Symptom("Search of error texts", advice, is_warning=True)


def _kernel() -> Symptom:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415

    try:
        spec: Any = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Symptom("Jupyter kernel", "python3 is not installed", ExitCode.INCOMPLETE)
    return Symptom("Jupyter kernel", str(spec.display_name))


def _connectors() -> list[Symptom]:
    """Return each broken connector; it stops no other one."""
    return [
        Symptom(f"Connector {name}", f"{error} {error.diagnostics()}", is_warning=True)
        for name, error in broken_connectors().items()
    ]


def _notebook(procedure: Procedure) -> Symptom:
    path = project_folder() / "notebooks" / notebook_name(procedure)
    if not path.parent.is_dir():
        return Symptom("Notebook", "no notebooks/ here; one is built for each run")
    if is_stale(procedure, path):
        advice = f"{path.name} is stale: run `runbook notebooks`"
        return Symptom("Notebook", advice, ExitCode.INCOMPLETE)
    return Symptom("Notebook", f"{path.name} matches the procedure")


def _project_folder() -> Symptom:
    project = project_folder()
    is_here = project == Path.cwd()
    which = "the working directory" if is_here else "a parent of the working directory"
    return Symptom("Project folder", f"{project}, {which}")


def _evidence_folder(evidence: str) -> Symptom:
    try:
        folder = evidence_folder(evidence)
    except SettingsError as error:
        return Symptom("Evidence folder", str(error), error.exit_code)
    if elsewhere(folder):
        folder = Path(os.path.abspath(folder))  # noqa: PTH100  (without `..`)
    try:
        nearest = next(f for f in (folder, *folder.absolute().parents) if f.is_dir())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".runbook-doctor-"):
            pass
    except OSError as error:
        return Symptom("Evidence folder", f"{folder}: {reason_of(error)}", ExitCode.INCOMPLETE)
    if kind := _network_file_system(nearest):
        warning = f"{folder} is on a network file system ({kind}), which may not lock files"
        return Symptom("Evidence folder", f"{warning}: keep it on a local disk", is_warning=True)
    return Symptom("Evidence folder", f"{folder} can be written")


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
) -> tuple[Settings, Symptom]:
    try:
        settings = load_settings(procedure, env_file=env_file, environ=environ)
    except RunbookError as error:
        return Settings(), Symptom("Settings", str(error), error.exit_code)
    path = env_file or find_env_file()
    names = ", ".join([*settings.values, *settings.secrets]) or "none"
    source = f"{path}: " if path else "no .env; from the environment: "
    if path and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        advice = f"{path} can be read by others: run `chmod 600 {path}`"
        return settings, Symptom("Settings", advice, ExitCode.INCOMPLETE)
    return settings, Symptom("Settings", source + names)


def _secrets(procedure: Procedure, env_file: str, environ: Mapping[str, str]) -> list[Symptom]:
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
        Symptom("Keyring without a session", keyring, is_warning=bool(references and not can_read)),
        Symptom("Files without a session", ".env, file: and dotenv: can be read"),
        Symptom(
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


def _message(procedure: Procedure, env_file: str, evidence: str) -> Symptom:
    """Send a test message in each channel that is set."""
    try:
        run = open_known(procedure, tenant="", evidence=evidence, env_file=env_file)
        try:
            return Symptom("Test message", f"accepted: {', '.join(try_channels(run))}")
        finally:
            run.close()
    except RunbookError as error:
        return Symptom("Test message", f"{error} {error.diagnostics()}", ExitCode.INCOMPLETE)


def _signing_key(settings: Settings) -> Symptom:
    path = default_key_path(is_sandbox=False)
    if not settings.values.get("signing_key") and not path.exists():
        return Symptom("Signing key", f"the first run makes it: {path}")
    try:
        key = key_from_settings(settings, is_sandbox=False)
    except RunbookError as error:
        return Symptom("Signing key", str(error), error.exit_code)
    if is_unencrypted(settings):
        advice = f"{UNENCRYPTED}: `runbook key --rotate` makes an encrypted one"
        return Symptom("Signing key", advice, ExitCode.INCOMPLETE)
    return Symptom("Signing key", f"{key.key_id[:16]} can be used")


def _practice(procedure: Procedure, values: Mapping[str, Value]) -> list[Symptom]:
    """Return why a run with these values would be practice that is refused, if it would."""
    try:
        require_within_reach(procedure, values)
    except SettingsError as error:
        return [Symptom("Practice", f"{error} {error.diagnostics()}", error.exit_code)]
    return []


def _reachable(url: str, limits: Limits, reach: Reach) -> Symptom:
    client = HTTPClient(Redactor(), ClientOptions(limits=limits, reach=reach))
    try:
        answer = Session(client).send(Request(method="GET", url=url), is_repeatable=False)
    except RunbookError as error:
        return Symptom(url, str(error), ExitCode.INCOMPLETE)
    finally:
        client.close()
    return Symptom(url, f"answers ({answer.status})")
