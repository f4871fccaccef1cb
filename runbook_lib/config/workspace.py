"""
Where things lie: the project, its evidence, a tenant's journal; and what practice is.

Names and paths; no file is read or written here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runbook_lib.config.formats import is_this_machine
from runbook_lib.core.files import kind_of
from runbook_lib.core.journal import JOURNAL_NAME
from runbook_lib.core.procedure import Value
from runbook_lib.errors import SettingsError

__all__ = [
    "KEYS_FOLDER",
    "WORKING_COPIES",
    "connector_folder",
    "default_evidence",
    "evidence_folder",
    "is_sandbox",
    "journal_path",
    "keys_beside",
    "project_folder",
    "refuse_twin",
    "tenant_name",
]

# Where people's copies of the notebooks lie, in the project.
WORKING_COPIES = "walkthrough"
# Below the evidence folder: public keys, and the statements by which one succeeds another.
KEYS_FOLDER = "keys"

_CONNECTOR = re.compile(r"[a-z][a-z0-9_]{0,62}")
# What Windows takes for a device, whatever follows a dot in the name.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 255
_TENANT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def tenant_name(text: str) -> str:
    """Return `text` as a tenant's name, which is also a folder's; raises `SettingsError`."""
    if text.casefold() == KEYS_FOLDER:
        msg = f"A tenant cannot be called {text}: that folder holds the public keys."
        raise SettingsError(msg)
    if not _TENANT.fullmatch(text):
        msg = f"{text[:80]!r} is no tenant name: letters, digits, dots, hyphens, at most 63."
        raise SettingsError(msg)
    if _DEVICE.fullmatch(text):
        msg = f"A tenant cannot be called {text}: to Windows that is a device, not a folder."
        raise SettingsError(msg)
    return text


def refuse_twin(evidence: Path, tenant: str) -> None:
    """
    Raise `SettingsError` where `evidence` holds a tenant whose name differs in case only.

    To Windows and macOS both names are one folder.
    """
    if (evidence / tenant).is_dir() and tenant in _names(evidence):
        return
    for name in _names(evidence):
        if name != tenant and name.casefold() == tenant.casefold():
            msg = f"There is a tenant called {name}: the name {tenant} differs in case only."
            raise SettingsError(msg, next_step="Use the name as it is there, or another one.")


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def evidence_folder(text: str = "") -> Path:
    """
    Return the evidence folder that `text` names; that of the project where it is empty.

    Raises `SettingsError` where it is something else than a folder, or lies in
    something else.
    """
    folder = Path(text or default_evidence())
    for each in (folder, *folder.absolute().parents):
        kind = _kind(each)
        if kind == "a folder":
            return folder
        if kind:
            said = f"{each.name[:60]} is {kind}"
            msg = f"The evidence folder {str(folder)[:200]} cannot be used: {said}."
            raise SettingsError(msg, next_step="Name another folder with --evidence.")
    return folder


def _kind(path: Path) -> str:
    """Return what is at `path`, in words; empty where nothing is."""
    try:
        return kind_of(path.stat().st_mode) or "a file"
    except (FileNotFoundError, NotADirectoryError):
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            return "no name that a folder can have"
        # NOTE: a link that leads nowhere is there all the same.
        return "a link that leads nowhere" if path.is_symlink() else ""
    except (OSError, ValueError):
        return "no name that a folder can have"


def connector_folder(text: str) -> str:
    """Return `text` as the name of a connector's folder; raises `SettingsError`."""
    if not _CONNECTOR.fullmatch(text):
        msg = f"{text[:80]!r} is no connector name: small letters, digits, underscores, at most 63."
        raise SettingsError(msg)
    return text


def project_folder() -> Path:
    """Return the nearest folder upwards that holds notebooks, else the working directory."""
    here = Path.cwd()
    marks = ("notebooks", WORKING_COPIES)
    return next((f for f in (here, *here.parents) if any((f / m).is_dir() for m in marks)), here)


def default_evidence() -> str:
    """Return the evidence folder of the project that the working directory belongs to."""
    return os.path.relpath(project_folder() / "evidence")


def journal_path(evidence: Path, tenant: str, connector: str) -> Path:
    """Return where the journal of one connector of `tenant` lies; its bundles lie beside it."""
    return evidence / tenant / connector / JOURNAL_NAME


def keys_beside(folder: Path) -> Path:
    """Return where the public keys for `folder` lie, which holds a journal and its bundles."""
    return folder.parent.parent / KEYS_FOLDER


def is_sandbox(values: Mapping[str, Value]) -> bool:
    """Tell a practice run: one whose remote systems are on this machine."""
    addresses = [value for name, value in values.items() if name.endswith("_url")]
    return any(is_this_machine(urlsplit(str(address)).hostname or "") for address in addresses)
