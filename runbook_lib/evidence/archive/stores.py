"""
The store of an archive, through fsspec: a folder, or objects at `s3://`, `gs://`, `az://`, ….

An object is created once and never written again. `archive` decides the files and their order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from runbook_lib.config import formats
from runbook_lib.core.files import write_once
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.remote.threads import run_in_thread

# The time limit of a store in seconds, and the slowest transfer in bytes per second.
DEFAULT_SECONDS = 60
_SLOWEST = 50 * 1024
_TRIES_LEFT = (2, 1, 0)
# Variables whose values are no part of a message.
_CREDENTIAL = re.compile("KEY|SECRET|TOKEN|PASS|CREDENTIAL|CONNECTION", re.IGNORECASE)
_LONGEST_REASON = 300
# A missing name or right: it says nothing about other bundles.
_REFUSALS = (FileNotFoundError, PermissionError)
_Result = TypeVar("_Result")


class Store:
    """
    Objects by name (`/` between its parts) under `address`, which has no trailing slash.

    It may be silent for `seconds`, or longer for a large object; `say` reports each retry.
    Raises `SettingsError` if `url` is not the address of an archive or its driver is missing;
    contacts no store. The methods raise `ArchiveError` if the store refuses or lacks an object, and
    `StoreUnavailableError` if it fails or is silent.
    """

    def __init__(
        self,
        url: str,
        seconds: float = DEFAULT_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        from fsspec import get_filesystem_class  # noqa: PLC0415  (slow to import)
        from fsspec.utils import get_protocol  # noqa: PLC0415

        try:
            self.address = formats.archive_address(url)
            get_filesystem_class(get_protocol(self.address))
        except (ValueError, ImportError) as error:
            raise SettingsError(f"This archive cannot be used: {error}.") from None
        self.folder = None if "://" in self.address else Path(os.path.realpath(self.address))
        self._seconds = seconds
        self._say = say

    @cached_property
    def _objects(self) -> Any:
        """The folder's or bucket's file system; to connect to it may take long."""
        from fsspec import url_to_fs  # noqa: PLC0415
        from fsspec.implementations.dirfs import DirFileSystem  # noqa: PLC0415

        # NOTE: a listing must be current, since others may write too.
        driver, root = url_to_fs(self.address, use_listings_cache=False, skip_instance_cache=True)
        return DirFileSystem(root, driver)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size in bytes of each object in the folder `below`, by name in the store."""
        found = self._ask(below, 0, lambda: self._objects.find(below, detail=True))
        # NOTE: consoles create an empty object with a trailing slash for a folder.
        return {
            name: entry["size"]
            for name, entry in found.items()
            if entry["size"] or name.rpartition("/")[2]
        }

    def make(self, name: str, content: bytes) -> None:
        """Create an object; if it exists, leave it as it is."""

        def create() -> None:
            # NOTE: after a lost race or response, the next attempt finds the object here.
            if self._objects.exists(name):
                return
            if self.address.startswith(("/", "sftp:")):
                self._objects.makedirs(name.rpartition("/")[0], exist_ok=True)
            if self.folder:
                # NOTE: a draft beside it, in a bundle, would be an additional file.
                write_once(self.folder / name, content, drafts=self.folder / "archiving")
            else:
                self._objects.pipe_file(name, content, mode="create")

        self._ask(name, len(content), create)

    def read(self, name: str, size: int) -> bytes:
        """Return an object's content of about `size` bytes."""
        return self._ask(name, size, lambda: bytes(self._objects.cat_file(name)))

    def _ask(self, name: str, size: int, call: Callable[[], _Result]) -> _Result:
        """
        Return the result of `call`; try twice more if the store fails or is silent.

        NOTE: drivers may wait forever, and a hung network drive cannot be interrupted. The
        abandoned thread is a daemon, so it blocks no exit.
        """
        seconds = self._seconds + size / _SLOWEST
        for left in _TRIES_LEFT:
            try:
                return run_in_thread(call, "archive-transfer").result(seconds)
            except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
                reason = _masked(str(error) or f"no answer within {seconds:.0f} s")
                text = f"The archive {self.address} failed: {reason} ({type(error).__name__})."
                kind = ArchiveError if isinstance(error, _REFUSALS) else StoreUnavailableError
                problem = kind(text, file=name)
                if left:
                    self._say(f"{problem} Trying again ({left} left).")
        raise problem


def _masked(text: str) -> str:
    """Return the beginning of a store's own error, with the environment's credentials masked."""
    known = [Secret(value) for name, value in os.environ.items() if _CREDENTIAL.search(name)]
    return Redactor(known).redact_remote(text)[:_LONGEST_REASON]
