"""
Names and paths: the project, its evidence, a tenant's journal. No file is read or written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runbook_lib.config.formats import is_this_machine
from runbook_lib.config.ownership import require_own
from runbook_lib.core.files import JOURNAL_NAME, kind_of
from runbook_lib.core.model import Value
from runbook_lib.errors import SettingsError

# The project's folder with people's copies of the notebooks.
WORKING_COPIES = "walkthrough"
# The project's folder with the built notebooks.
_NOTEBOOKS = "notebooks"
# The variable with the command that starts `runbook lab` again, for its kernels.
LAB_COMMAND = "RUNBOOK_LAB_COMMAND"
# In the evidence folder: public keys.
KEYS_FOLDER = "keys"
# In the evidence folder: the results of runs over many tenants.
FLEET_FOLDER = "fleet"
_TAKEN = {KEYS_FOLDER: "the public keys", FLEET_FOLDER: "the results of fleets"}

_CONNECTOR = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_NAME = 255
# End of the names of settings with a remote system's address.
_ADDRESS = "_url"
_HTTPS_PORT = 443
# The settings of the archive and of signing, and the schemes of keys on this machine.
_EVIDENCE_PLACES = ("archive", "tsa", "signing_key")
_LOCAL_KEYS = ("file2", "gnupg", "hsm", "tkey")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_TENANT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def tenant_name(text: str) -> str:
    """Return `text` as a tenant's name, also used for its folder; raises `SettingsError`."""
    if content := _TAKEN.get(text.casefold()):
        raise SettingsError(f"A tenant cannot be called {text}: that folder contains {content}.")
    if not _TENANT.fullmatch(text):
        raise SettingsError(
            f"{text[:80]!r} is not a tenant name: letters, digits, dots, hyphens, at most 63."
        )
    return text


def evidence_folder(text: str = "") -> Path:
    """
    Return the evidence folder that `text` names, or the project's if it is empty.

    Raises `SettingsError` if it, or a parent of it, is not a folder.
    """
    folder = Path(text or default_evidence())
    for path in (folder, *folder.absolute().parents):
        kind = _kind_at(path)
        if kind == "a folder":
            return folder
        if kind:
            raise SettingsError(
                f"The evidence folder {str(folder)[:200]} cannot be used: "
                f"{path.name[:60]} is {kind}.",
                next_step="Name another folder with --evidence.",
            )
    return folder


def _kind_at(path: Path) -> str:
    """Return the kind of file at `path` in words; empty without one."""
    try:
        return kind_of(path.stat().st_mode) or "a file"
    except (FileNotFoundError, NotADirectoryError):
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            return "not a valid folder name"
        return "a broken link" if path.is_symlink() else ""
    except (OSError, ValueError):
        return "not a valid folder name"


def connector_folder(text: str) -> str:
    """Return `text` as the name of a connector's folder; raises `SettingsError`."""
    if not _CONNECTOR.fullmatch(text):
        raise SettingsError(
            f"{text[:80]!r} is not a connector name: a-z, digits, underscores, at most 63."
        )
    return text


def project_folder() -> Path:
    """Return the working folder, or the folder above it if it holds the project's notebooks."""
    here = Path.cwd()
    is_inside = here.name in (_NOTEBOOKS, WORKING_COPIES) and any(here.glob("*.ipynb"))
    return here.parent if is_inside else here


def project_notebook(name: str, folder: str = _NOTEBOOKS) -> Path:
    """
    Return the path of the project's notebook `name`, which may not exist.

    Raises `SettingsError` if another user could have written it.
    """
    path = project_folder() / folder / name
    require_own(path.parent, "The folder of notebooks")
    require_own(path, "The notebook")
    return path


def folders_elsewhere(evidence: Path) -> str:
    """Return the folders of project and evidence, if one is not below the working directory."""
    here = Path.cwd()
    project = project_folder()
    folder = Path(os.path.abspath(evidence))  # noqa: PTH100  (without `..`)
    if project == here and folder.is_relative_to(here):
        return ""
    return f"Project folder: {project}. Evidence folder: {folder}."


def default_evidence() -> str:
    """Return the evidence folder of the current project."""
    return os.path.relpath(project_folder() / "evidence")


def journal_path(evidence: Path, tenant: str, connector: str) -> Path:
    """Return the journal's path for one connector of `tenant`; its bundles are beside it."""
    return evidence / tenant / connector / JOURNAL_NAME


def keys_beside(folder: Path) -> Path:
    """Return the folder of public keys for `folder`, which contains a journal and its bundles."""
    return folder.parent.parent / KEYS_FOLDER


def is_sandbox(values: Mapping[str, Value]) -> bool:
    """Return whether this is a practice run: a remote system is on this machine."""
    return any(_is_here(name, value) for name, value in values.items())


def on_this_machine(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return `values` without the addresses of systems that are not on this machine."""
    return {
        name: value
        for name, value in values.items()
        if not name.endswith(_ADDRESS) or _is_here(name, value)
    }


def leads_here(url: str, values: Mapping[str, Value]) -> bool:
    """Return whether a web address leads to this machine, by its host or by `connect_to`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    others = values.get("connect_to", ())
    pairs = [pair.partition("=") for pair in others] if isinstance(others, tuple) else []
    # NOTE: `connect_to` applies only to the usual port of https.
    is_usual = parts.scheme == "https" and parts.port in (None, _HTTPS_PORT)
    to = next((to for name, _, to in pairs if is_usual and name == host), "")
    return is_this_machine(to.rpartition(":")[0].strip("[]") if to else host)


def require_evidence_here(values: Mapping[str, Value]) -> None:
    """Raise `SettingsError` if the evidence of practice would go to, or need, another machine."""
    archive, authority, key = (str(values.get(name, "")) for name in _EVIDENCE_PLACES)
    scheme, _, rest = key.partition(":")
    if "://" in archive:
        place = f"the archive {archive}"
        variable = "--archive, RUNBOOK_ARCHIVE"
    elif authority and not is_this_machine(urlsplit(authority).hostname or ""):
        place = f"the time-stamp authority {authority}"
        variable = "--tsa, RUNBOOK_TSA"
    elif rest and _SCHEME.fullmatch(scheme) and scheme not in _LOCAL_KEYS:
        place = f"the key service {scheme}:"
        variable = "RUNBOOK_SIGNING_KEY"
    else:
        return
    instead = ", or name a folder of this machine" if "://" in archive else ""
    raise SettingsError(
        f"This run is practice (SANDBOX), and {place} is not on this machine.",
        next_step=f"Leave it out in practice ({variable}){instead}. Nothing was done.",
    )


def _is_here(name: str, value: Value) -> bool:
    is_address = name.endswith(_ADDRESS)
    return is_address and is_this_machine(urlsplit(str(value)).hostname or "")
