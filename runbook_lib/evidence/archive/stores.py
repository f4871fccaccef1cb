"""
Stores of an archive: a folder or an object store.

An object is created once and never written again. `errors` explains a store's errors. `archive`
decides the files to copy and their order.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from runbook_lib.config import formats
from runbook_lib.core.files import read_plain, sync_folder, write_once
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError, reason_of
from runbook_lib.evidence.archive.errors import store_error
from runbook_lib.remote.threads import run_in_thread

# The time limit of a store in seconds, and the slowest transfer in bytes per second.
DEFAULT_SECONDS = 60
_SLOWEST = 50 * 1024
_AT_ONCE = 8
LARGEST_OBJECT = 256 * 1024 * 1024
_RESUMES = (
    "Make sure that the store is available, then archive again: it resumes where it stopped. "
    "RUNBOOK_ARCHIVE_SECONDS sets how long it may take."
)
_Answer = TypeVar("_Answer")


# The object stores: the extra with the driver, and the source of the credentials.
_KINDS = {
    "s3": ("s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    "gs": ("gcs", "GOOGLE_APPLICATION_CREDENTIALS, or the login of gcloud"),
    "az": ("azure", "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
}


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """
    The time limit of one transfer: `seconds`, and more for a large file.

    If the store does not respond, it is tried `retries` more times; `say` reports each. A list
    of more than `max_objects` is refused.
    """

    seconds: float = DEFAULT_SECONDS
    retries: int = 2
    say: Callable[[str], None] = lambda _: None
    max_objects: int = 100_000

    def deadline(self, size: int) -> float:
        """Return the time limit of a transfer of `size` bytes, in seconds."""
        return self.seconds + size / _SLOWEST


def open_store(url: str, limits: TransferLimits | None = None) -> Store:
    """
    Return the store at `url`, without contacting it.

    Raises `SettingsError` if `url` is not the address of an archive, and
    `ArchiveError` if its driver is missing or finds no credentials.
    """
    try:
        address = formats.archive_address(url)
    except ValueError as error:
        raise SettingsError(f"This is not an archive: {error}.") from None
    if "://" not in address:
        return FolderStore(address, limits)
    return ObjectStore(address, limits)


class Store(ABC):
    """
    Objects by name (`/` between its parts) under `address`, which has no trailing slash.

    A transfer that exceeds `limits` ends with a `StoreUnavailableError`.
    """

    def __init__(self, address: str, limits: TransferLimits | None = None) -> None:
        self.address = address
        self.limits = limits or TransferLimits()

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size in bytes of each object in the folder `below`, by name in the store."""

        def listed() -> dict[str, int]:
            sizes = dict(islice(self._listed(below), self.limits.max_objects + 1))
            if len(sizes) > self.limits.max_objects:
                raise self._too_many()
            return sizes

        return self._ask(below, 0, listed)

    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in the folder `below`."""
        return self._ask(below, 0, lambda: sorted(self._folders(below)))

    def make(self, name: str, content: bytes) -> bool:
        """Create an object and return True; if it exists, leave it and return False."""
        return self._ask(name, len(content), lambda: self._make(name, content))

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content of about `size` bytes."""
        return self._ask(name, size, lambda: self._read(name))

    def fetch(self, files: Mapping[str, Path], sizes: Mapping[str, int] | None = None) -> None:
        """Copy objects by name into files in existing folders, several at once."""

        def copy(name: str) -> None:
            files[name].write_bytes(self.read(name, (sizes or {}).get(name, LARGEST_OBJECT)))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            done = [pool.submit(copy, name) for name in files]
            try:
                for transfer in done:
                    transfer.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _ask(self, name: str, size: int, call: Callable[[], _Answer]) -> _Answer:
        """
        Return the result of `call` within the limits, with retries if the store is silent.

        NOTE: drivers may wait forever, and a hung network drive cannot be
        interrupted. The abandoned thread is a daemon, so it blocks no exit.
        """
        seconds = self.limits.deadline(size)
        for left in range(self.limits.retries, -1, -1):
            transfer = run_in_thread(call, "archive-transfer")
            try:
                return transfer.result(seconds)
            except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
                if transfer.done():
                    problem = self._explained(error, name)
                else:
                    problem = StoreUnavailableError(
                        f"The archive {self.address} did not answer within {seconds:.0f} s.",
                        file=name,
                        next_step=_RESUMES,
                        is_silent=True,
                    )
            if not (isinstance(problem, StoreUnavailableError) and problem.is_silent and left):
                raise problem
            where = f"{name}: " if name and not problem.file else ""
            self.limits.say(f"{where}{problem} Trying again ({left} left).")
        raise AssertionError("unreachable")  # pragma: no cover

    def _too_many(self) -> ArchiveError:
        return ArchiveError(
            f"{self.address} has more than {self.limits.max_objects:,} objects.",
            next_step="Name a part of it: one tenant, or one bundle.",
        )

    @abstractmethod
    def _listed(self, below: str) -> Iterator[tuple[str, int]]: ...

    @abstractmethod
    def _folders(self, below: str) -> list[str]: ...

    @abstractmethod
    def _make(self, name: str, content: bytes) -> bool: ...

    @abstractmethod
    def _read(self, name: str) -> bytes: ...

    @abstractmethod
    def _explained(self, error: Exception, name: str) -> ArchiveError:
        """Return the explained error of a transfer; raise an error that is not the store's."""


class FolderStore(Store):
    """A folder on this machine, a drive or a network."""

    def __init__(self, address: str, limits: TransferLimits | None = None) -> None:
        super().__init__(address, limits)
        self.path = Path(address)

    def _listed(self, below: str) -> Iterator[tuple[str, int]]:
        waiting = [self.path / below]
        while waiting:
            here = waiting.pop()
            if not here.is_dir():
                continue
            with os.scandir(here) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    elif entry.is_file():
                        yield path.relative_to(self.path).as_posix(), entry.stat().st_size
            if len(waiting) > self.limits.max_objects:
                raise self._too_many()

    def _folders(self, below: str) -> list[str]:
        if not (self.path / below).is_dir():
            return []
        with os.scandir(self.path / below) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _make(self, name: str, content: bytes) -> bool:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # NOTE: a draft beside it, in a bundle, would be an additional file.
        is_new = write_once(path, content, drafts=self.path / "archiving")
        for folder in path.parents[1 : len(Path(name).parts)]:
            sync_folder(folder)
        return is_new

    def _read(self, name: str) -> bytes:
        return read_plain(self.path / name, LARGEST_OBJECT)

    def _explained(self, error: Exception, name: str) -> ArchiveError:
        if not isinstance(error, OSError):
            raise error
        return ArchiveError(
            f"The archive {self.address} cannot be used: {reason_of(error)}.",
            next_step="Free disk space or make the folder writable, then try again.",
            file=name,
        )


class ObjectStore(Store):
    """An object store, through its fsspec driver."""

    def __init__(self, address: str, limits: TransferLimits | None = None) -> None:
        super().__init__(address, limits)
        import fsspec  # noqa: PLC0415  (slow to import)

        self._extra, self._credentials = _KINDS[address.partition("://")[0]]
        # NOTE: a listing must be current, since others may write too.
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if address.startswith("s3:"):
            waiting = dict.fromkeys(("connect_timeout", "read_timeout"), self.limits.seconds)
            options["config_kwargs"] = {**waiting, "retries": {"max_attempts": 0}}
            options["max_concurrency"] = 1  # an object is read by one request
        try:
            self._fs, self._root = fsspec.url_to_fs(address, **options)
        except ValueError:
            raise ArchiveError(
                f"The driver for {address} has no credentials.",
                next_step=f"Set them in the store's own environment: {self._credentials}.",
            ) from None
        except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
            raise self._explained(error, "") from None
        if address.startswith("s3:"):
            # NOTE: the driver would retry five times, and botocore again, without a message.
            self._fs.retries = 1

    def _listed(self, below: str) -> Iterator[tuple[str, int]]:
        for path, entry in self._fs.find(self._path(below), detail=True).items():
            name = path[len(self._root) + 1 :]
            size = int(entry["size"])
            # NOTE: consoles create an empty object with a trailing slash for a folder.
            if name and not (size == 0 and name.endswith("/")):
                yield name, size

    def _folders(self, below: str) -> list[str]:
        try:
            entries = self._fs.ls(self._path(below), detail=True)
        except FileNotFoundError:
            return []
        return [
            str(entry["name"]).rstrip("/").rpartition("/")[2]
            for entry in entries
            if entry["type"] == "directory"
        ]

    def _make(self, name: str, content: bytes) -> bool:
        path = self._path(name)
        try:
            self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except Exception:
            # NOTE: drivers report a taken name with errors of their own, and responses get lost.
            with suppress(Exception):
                if self._fs.exists(path):
                    return False
            raise
        return True

    def _read(self, name: str) -> bytes:
        return bytes(self._fs.cat_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    def _explained(self, error: Exception, name: str) -> ArchiveError:
        if isinstance(error, ArchiveError):
            return error
        if isinstance(error, ImportError):
            return ArchiveError(
                f"The driver for {self.address} is not installed.",
                next_step=f"In the runbook's folder: pip install -e '.[{self._extra}]'.",
            )
        return store_error(error, self.address, credentials=self._credentials, file=name)
