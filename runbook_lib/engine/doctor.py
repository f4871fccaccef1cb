"""
The doctor: is this machine, its settings and its network ready for a run?

It changes nothing; it writes and removes a probe file in the evidence folder.
"""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

import psutil

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
from runbook_lib.errors import ExitCode, RunbookError, reason_of
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


@dataclass(frozen=True, slots=True)
class _Machine:
    """One machine with its settings, as a check sees it."""

    procedure: Procedure
    """The connector's procedure."""

    env_file: str
    """The settings file that the person named; empty for the one that is found."""

    evidence: str
    """The evidence folder that the person named, or an empty string."""

    environ: Mapping[str, str]
    """The variables of this session."""

    file_values: Mapping[str, str]
    """The variables of the settings file."""

    settings: Settings
    """The settings of a run; none if they are unusable."""

    problem: RunbookError | None
    """Why they are unusable."""

    @property
    def values(self) -> dict[str, Value]:
        return known_values(self.procedure, {}, self.settings)

    def secret_texts(self) -> dict[str, str]:
        """Return, by variable, the text that stands for each secret."""
        names = [
            name
            for item in inputs_of(self.procedure)
            if item.secret
            for name in (item.variable_for(self.procedure.id), item.variable)
        ]
        return {name: self.environ.get(name) or self.file_values.get(name, "") for name in names}


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
    file_values: Mapping[str, str] = {}
    settings = Settings()
    problem = None
    try:
        file_values = settings_file(env_file)
        settings = load_settings(procedure, env_file=env_file, environ=environ)
    except RunbookError as error:
        problem = error
    machine = _Machine(procedure, env_file, evidence, environ, file_values, settings, problem)
    items = [_check(subject, partial(check, machine)) for subject, check in _CHECKS]
    return Examination((*items, *_examine_connectors(), *_examine_values(machine)))


def _check(subject: str, check: Callable[[], str]) -> ExaminedItem:
    """
    Return what `check` found: its message if all is well, a `UserWarning`, or another error.
    """
    try:
        return ExaminedItem(subject, check())
    except UserWarning as doubt:
        return ExaminedItem(subject, str(doubt), is_warning=True)
    except RunbookError as error:
        message = f"{error} {error.diagnostics()}".strip()
        return ExaminedItem(subject, message, error.exit_code)


def _check_bytecode(_machine: _Machine) -> str:
    """Check whether a run's modules are compiled; else every command compiles them."""
    names = (__name__, "papermill.execute", "IPython.core.interactiveshell")
    sources = [str(spec.origin) for name in names if (spec := find_spec(name))]
    if all(Path(cache_from_source(source)).is_file() for source in sources):
        return "is kept"
    raise UserWarning(
        "is not kept, so every command is slower: unset PYTHONDONTWRITEBYTECODE, and run "
        f"`{sys.executable} -m compileall -q {Path(sources[-1]).parents[2]} {_PACKAGE_FOLDER}`"
    )


def _check_full_text_search(_machine: _Machine) -> str:
    """Check whether `explain` can search by words: FTS5 is a compile option of SQLite."""
    if has_full_text_search():
        return "SQLite has FTS5"
    raise UserWarning(
        "SQLite has no FTS5, so `runbook explain` knows texts and codes, but offers nothing by "
        "words: use a Python whose SQLite has it"
    )


def _check_kernel(_machine: _Machine) -> str:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415

    try:
        spec: Any = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        raise RunbookError("python3 is not installed", next_step="") from None
    return str(spec.display_name)


def _check_notebook(machine: _Machine) -> str:
    path = project_notebook(notebook_name(machine.procedure))
    if not path.parent.is_dir():
        return "no notebooks/ here; one is built for each run"
    if is_stale(machine.procedure, path):
        raise RunbookError(f"{path.name} is stale: run `runbook notebooks`", next_step="")
    return f"{path.name} matches the procedure"


def _check_project_folder(_machine: _Machine) -> str:
    project = project_folder()
    which = "the working" if project == Path.cwd() else "a parent of the working"
    return f"{project}, {which} directory"


def _check_evidence_folder(machine: _Machine) -> str:
    folder = evidence_folder(machine.evidence)
    if folders_elsewhere(folder):
        folder = Path(os.path.abspath(folder))  # noqa: PTH100  (without `..`)
    try:
        nearest = next(f for f in (folder, *folder.absolute().parents) if f.is_dir())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".runbook-doctor-"):
            pass
    except OSError as error:
        raise RunbookError(f"{folder}: {reason_of(error)}", next_step="") from error
    if kind := _find_network_file_system(nearest):
        raise UserWarning(
            f"{folder} is on a network file system ({kind}), which may not lock files: keep it "
            "on a local disk"
        )
    return f"{folder} can be written"


def _find_network_file_system(folder: Path) -> str:
    """Return the type of a network file system that `folder` is on, where that is known."""
    try:
        disks = psutil.disk_partitions(all=True)
    except OSError:  # where /proc is not mounted
        return ""
    kinds = {Path(disk.mountpoint): disk.fstype for disk in disks}
    place = folder.resolve()
    kind = str(next((kinds[f] for f in (place, *place.parents) if f in kinds), ""))
    return kind if kind.removeprefix("fuse.") in _NETWORK else ""


def _check_settings(machine: _Machine) -> str:
    """Check that a run can use the settings, and that nobody else can read their file."""
    if machine.problem:
        raise machine.problem
    require_within_reach(machine.procedure, machine.values)
    path = machine.env_file or find_env_file()
    if path and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        raise RunbookError(f"{path} can be read by others: run `chmod 600 {path}`", next_step="")
    names = ", ".join([*machine.settings.values, *machine.settings.secrets]) or "none"
    return f"{path}: {names}" if path else f"no .env; from the environment: {names}"


def _check_keyring(machine: _Machine) -> str:
    """Ask a process that has nothing of this session, as cron starts one."""
    references = [
        text.removeprefix("keyring:")
        for text in machine.secret_texts().values()
        if text.startswith("keyring:")
    ]
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    try:
        subprocess.run(  # noqa: S603  (the arguments are names of entries)
            [sys.executable, "-c", _ASKS_KEYRING, *references], env=kept, timeout=_SECONDS,
            check=True, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        if references:
            raise UserWarning("cannot be read: keep secrets in .env or in files") from None
        return "cannot be read, and no setting needs it"
    return "can be read"


def _check_environment(machine: _Machine) -> str:
    """Check whether only this session has a secret, which cron or a timer would lack."""
    names = [
        name
        for name, text in machine.secret_texts().items()
        if machine.environ.get(name) or text.startswith("env:")
    ]
    if names:
        raise UserWarning(
            f"set {', '.join(names)} for cron or the service, too: only this session has it"
        )
    return "no secret is only in this session's environment"


def _check_signing_key(machine: _Machine) -> str:
    path = default_key_path(is_sandbox=False)
    if not machine.settings.values.get("signing_key") and not path.exists():
        return f"the first run makes it: {path}"
    key = key_from_settings(machine.settings, is_sandbox=False)
    if is_unencrypted(machine.settings):
        raise RunbookError(
            f"{UNENCRYPTED}: `runbook key --rotate` makes an encrypted one", next_step=""
        )
    return f"{key.key_id[:16]} can be used"


def _check_address(url: str, limits: Limits, reach: NetworkScope) -> str:
    client = HTTPClient(Redactor(), ClientOptions(limits=limits, reach=reach))
    with closing(client):
        answer = Session(client).send(Request(method="GET", url=url), is_repeatable=False)
    return f"answers ({answer.status})"


_CHECKS: tuple[tuple[str, Callable[[_Machine], str]], ...] = (
    ("Python", lambda _: platform.python_version()),
    ("Bytecode", _check_bytecode),
    ("Search of error texts", _check_full_text_search),
    ("Jupyter kernel", _check_kernel),
    ("Notebook", _check_notebook),
    ("Project folder", _check_project_folder),
    ("Evidence folder", _check_evidence_folder),
    ("Settings", _check_settings),
    ("Keyring without a session", _check_keyring),
    ("Environment without a session", _check_environment),
    ("Signing key", _check_signing_key),
)
"""The checks of every machine, in the order of the table."""


def _examine_connectors() -> Iterator[ExaminedItem]:
    """
    Yield each broken connector, and each that a package brings; no code of a package is loaded.
    """
    for name, error in broken_connectors().items():
        message = f"{error} {error.diagnostics()}"
        yield ExaminedItem(f"Connector {name}", message, is_warning=True)
    for name, connector in packaged_connectors().items():
        package = str(connector.package())
        problem = f"{connector.problem}: correct it" if connector.problem else ""
        if name in connector_names():
            problem = f"{package} is ignored: the runbook has a connector of that name"
        yield ExaminedItem(f"Connector {name}", problem or package, is_warning=bool(problem))


def _examine_values(machine: _Machine) -> Iterator[ExaminedItem]:
    """Yield each value that is doubtful, and the first address of each remote system."""
    values = machine.values
    for label, doubt in machine.procedure.doubts(values).items():
        yield ExaminedItem(label, doubt, is_warning=True)
    reach = NetworkScope.LOOPBACK if is_sandbox(values) else NetworkScope.ANYWHERE
    for provider in machine.procedure.providers:
        for url in provider.hosts(values)[:1]:
            yield _check(url, partial(_check_address, url, Limits.of(values), reach))
