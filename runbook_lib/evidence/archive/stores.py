"""
The store of an archive, through fsspec: a folder, or objects at `s3://`, `gs://`, `az://`, ….

An object is created once and never written again. `archive` decides the files and their order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runbook_lib.config import formats
from runbook_lib.core.files import read_plain, sync_folder, write_once
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.remote.threads import run_in_thread

# The time limit of a store in seconds, and the slowest transfer in bytes per second.
DEFAULT_SECONDS = 60
_SLOWEST = 50 * 1024
_RETRIES = 2
LARGEST_OBJECT = 256 * 1024 * 1024
MOST_OBJECTS = 100_000
_NEXT_STEP = (
    "Check its address, the credentials in the store's own environment and the network, then run "
    "the command again: it resumes where it stopped."
)
_LONGER = "RUNBOOK_ARCHIVE_SECONDS sets how long it may take."
# Variables whose values are no part of a message.
_CREDENTIAL = re.compile("KEY|SECRET|TOKEN|PASS|CREDENTIAL|CONNECTION")
_SHORTEST_CREDENTIAL = 5
_LONGEST_REASON = 300
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """The time limit of a transfer: `seconds`, more for a large file; `say` reports retries."""

    seconds: float = DEFAULT_SECONDS
    say: Callable[[str], None] = lambda _: None


class Store:
    """
    Objects by name (`/` between its parts) under `address`, which has no trailing slash.

    Raises `SettingsError` if `url` is not the address of an archive, and `ArchiveError` if its
    driver is missing; contacts no store.
    """

    def __init__(self, url: str, limits: TransferLimits | None = None) -> None:
        import fsspec  # noqa: PLC0415  (slow to import)

        try:
            self.address = formats.archive_address(url)
        except ValueError as error:
            raise SettingsError(f"This is not an archive: {error}.") from None
        self.folder = None if "://" in self.address else Path(self.address)
        self.limits = limits or TransferLimits()
        # NOTE: a listing must be current, since others may write too.
        options = {"use_listings_cache": False, "skip_instance_cache": True}
        try:
            self._fs, self._root = fsspec.url_to_fs(self.address, **options)
        except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
            raise self._failure(error, "") from None

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size in bytes of each object in the folder `below`, by name in the store."""
        found = self._ask(below, 0, lambda: self._fs.find(self._path(below), detail=True))
        if len(found) > MOST_OBJECTS:
            raise ArchiveError(
                f"{self.address} has more than {MOST_OBJECTS:,} objects.",
                next_step="Name a part of it: one tenant, or one bundle.",
            )
        names = {path[len(self._root) + 1 :]: int(entry["size"]) for path, entry in found.items()}
        # NOTE: consoles create an empty object with a trailing slash for a folder.
        return {
            name: size for name, size in names.items() if name and (size or not name.endswith("/"))
        }

    def make(self, name: str, content: bytes) -> bool:
        """Create an object and return True; if it exists, leave it and return False."""
        create = self._create_file if self.folder else self._create_object
        return self._ask(name, len(content), lambda: create(name, content))

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content of about `size` bytes."""

        def read_content() -> bytes:
            if self.folder:
                return read_plain(self.folder / name, LARGEST_OBJECT)
            return bytes(self._fs.cat_file(self._path(name)))

        return self._ask(name, size, read_content)

    def _create_file(self, name: str, content: bytes) -> bool:
        """Create a file that has its name only once it is whole and on the disk."""
        folder = self.folder or Path()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # NOTE: a draft beside it, in a bundle, would be an additional file.
        is_new = write_once(path, content, drafts=folder / "archiving")
        for parent in path.parents[1 : len(Path(name).parts)]:
            sync_folder(parent)
        return is_new

    def _create_object(self, name: str, content: bytes) -> bool:
        path = self._path(name)
        if self.address.startswith("sftp:"):
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self._fs.pipe_file(path, content, mode="create")
        except Exception:
            # NOTE: drivers report a taken name with errors of their own, and responses get lost.
            with suppress(Exception):
                if self._fs.exists(path):
                    return False
            raise
        return True

    def _ask(self, name: str, size: int, call: Callable[[], _Result]) -> _Result:
        """
        Return the result of `call`; try twice more if the store fails or is silent.

        NOTE: drivers may wait forever, and a hung network drive cannot be interrupted. The
        abandoned thread is a daemon, so it blocks no exit.
        """
        seconds = self.limits.seconds + size / _SLOWEST
        for left in range(_RETRIES, -1, -1):
            transfer = run_in_thread(call, "archive-transfer")
            try:
                return transfer.result(seconds)
            except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
                problem = self._failure(error, name)
                if not transfer.done():
                    problem = StoreUnavailableError(
                        f"The archive {self.address} did not answer within {seconds:.0f} s.",
                        file=name,
                        next_step=f"{_NEXT_STEP} {_LONGER}",
                    )
                if not left or not isinstance(problem, StoreUnavailableError):
                    raise problem from None
                self.limits.say(f"{problem} Trying again ({left} left).")
        raise AssertionError("unreachable")  # pragma: no cover

    def _failure(self, error: Exception, name: str) -> ArchiveError:
        """Return the store's own error, with credentials masked."""
        known = [
            Secret(value)
            for variable, value in os.environ.items()
            if _CREDENTIAL.search(variable.upper()) and len(value) >= _SHORTEST_CREDENTIAL
        ]
        text = " ".join(Redactor(known).redact_remote(str(error)).split())[:_LONGEST_REASON]
        text = f"The archive {self.address} failed ({type(error).__name__}): {text.rstrip('.')}."
        # A folder's error stays, and so does that of a missing driver, name or right.
        is_lasting = isinstance(error, (ImportError, FileNotFoundError, PermissionError))
        if self.folder or is_lasting:
            return ArchiveError(text, file=name, next_step=_NEXT_STEP)
        return StoreUnavailableError(text, file=name, next_step=_NEXT_STEP)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)
