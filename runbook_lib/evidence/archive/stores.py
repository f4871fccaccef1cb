"""
Stores of an archive: a folder or an object store, and what each can promise.

An object is created once and never written again. `refusals` explains a
store's errors; `archive` decides what is copied, and in which order.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from runbook_lib.config import formats
from runbook_lib.core.files import read_plain, sync_folder, write_once
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.evidence.verify.refusals import refusal
from runbook_lib.remote.look import begin

_MOST_OBJECTS = 100_000
# How many seconds a store may take, and how slow a transfer may be in bytes per second.
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
    How long a store may take for one transfer: `seconds`, and more for a large file.

    If it does not answer it is tried `retries` more times; `say` is called for
    each.
    """

    seconds: float = DEFAULT_SECONDS
    retries: int = 2
    say: Callable[[str], None] = lambda _: None

    def deadline(self, size: int) -> float:
        """Return how many seconds a transfer of `size` bytes may take."""
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
        msg = f"This is not an archive: {error}."
        raise SettingsError(msg) from None
    if "://" not in address:
        return Folder(address, limits)
    return _Objects(address, limits)


class Store(ABC):
    """
    Objects by name (`/` between its parts) under `address`, which has no trailing slash.

    A transfer that exceeds `limits` ends with a `StoreUnavailableError`.
    """

    def __init__(self, address: str, limits: TransferLimits | None = None) -> None:
        self.address = address
        self.limits = limits or TransferLimits()

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size in bytes of each object in the folder `below`, by name in the store."""

    @abstractmethod
    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in the folder `below`."""

    @abstractmethod
    def make(self, name: str, content: bytes) -> bool:
        """Create an object and return True; if it exists, leave it and return False."""

    @abstractmethod
    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content of about `size` bytes."""

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
        """Return the result of `call` within the limits, with retries if the store is silent."""
        for left in range(self.limits.retries, -1, -1):
            try:
                return self._within(name, self.limits.deadline(size), call)
            except StoreUnavailableError as error:
                if not error.is_silent or not left:
                    raise
                where = f"{name}: " if name and not error.file else ""
                self.limits.say(f"{where}{error} Trying again ({left} left).")
        raise AssertionError("unreachable")  # pragma: no cover

    def _within(self, name: str, seconds: float, call: Callable[[], _Answer]) -> _Answer:
        """
        Return the result of `call`, or raise its error; abandon it after `seconds`.

        NOTE: drivers may wait forever, and a hung network drive cannot be
        interrupted. The abandoned thread is a daemon, so it blocks no exit.
        """

        def run() -> _Answer:
            with self._translate_errors(name):
                return call()

        transfer = begin(run, "archive-transfer")
        try:
            return transfer.result(seconds)
        except TimeoutError:
            if transfer.done():
                raise
            msg = f"The archive {self.address} did not answer within {seconds:.0f} s."
            raise StoreUnavailableError(
                msg, file=name, next_step=_RESUMES, is_silent=True
            ) from None

    def _too_many(self) -> ArchiveError:
        msg = f"{self.address} has more than {_MOST_OBJECTS:,} objects."
        return ArchiveError(msg, next_step="Name a part of it: one tenant, or one bundle.")

    @abstractmethod
    def _translate_errors(self, name: str = "") -> AbstractContextManager[None]:
        """Turn a transfer's errors into an `ArchiveError`."""


class Folder(Store):
    """A folder on this machine, a drive or a network."""

    def __init__(self, address: str, limits: TransferLimits | None = None) -> None:
        super().__init__(address, limits)
        self.path = Path(address)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the files' sizes by name; see `Store`."""
        return self._ask(below, 0, lambda: self._sizes(self.path / below))

    def _sizes(self, folder: Path) -> dict[str, int]:
        sizes: dict[str, int] = {}
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            if not here.is_dir():
                continue
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file():
                        name = Path(entry.path).relative_to(self.path).as_posix()
                        sizes[name] = entry.stat().st_size
            if len(sizes) + len(waiting) > _MOST_OBJECTS:
                raise self._too_many()
        return sizes

    def folders(self, below: str) -> list[str]:
        """Return the names of folders; see `Store`."""

        def names() -> list[str]:
            if not (self.path / below).is_dir():
                return []
            with os.scandir(self.path / below) as entries:
                return sorted(
                    entry.name for entry in entries if entry.is_dir(follow_symlinks=False)
                )

        return self._ask(below, 0, names)

    def make(self, name: str, content: bytes) -> bool:
        """Write outside any bundle, flush, then rename; see `Store`."""
        return self._ask(name, len(content), lambda: self._make(name, content))

    def _make(self, name: str, content: bytes) -> bool:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = write_once(path, content, drafts=self.path / "archiving")
        for folder in path.parents[1 : len(Path(name).parts)]:
            sync_folder(folder)
        return is_new

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return a file's content; see `Store`."""
        return self._ask(name, size, lambda: read_plain(self.path / name, LARGEST_OBJECT))

    @contextmanager
    def _translate_errors(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            msg = f"The archive {self.address} cannot be used: {reason}."
            advice = "Free disk space or make the folder writable, then try again."
            raise ArchiveError(msg, next_step=advice, file=name) from None


class _Objects(Store):
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
        with self._translate_errors():
            try:
                self._fs, self._root = fsspec.url_to_fs(address, **options)
            except ValueError:
                msg = f"The driver for {address} has no credentials."
                advice = f"Set them in the store's own environment: {self._credentials}."
                raise ArchiveError(msg, next_step=advice) from None
        if address.startswith("s3:"):
            # NOTE: the driver would retry five times, and botocore again, without a message.
            self._fs.retries = 1

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name; see `Store`."""
        listing = self._ask(below, 0, lambda: self._fs.find(self._path(below), detail=True))
        start = len(self._root) + 1
        return self._listed((path[start:], int(entry["size"])) for path, entry in listing.items())

    def folders(self, below: str) -> list[str]:
        """Return the names of folders; see `Store`."""

        def names() -> list[str]:
            try:
                entries = self._fs.ls(self._path(below), detail=True)
            except FileNotFoundError:
                return []
            return sorted(
                str(entry["name"]).rstrip("/").rpartition("/")[2]
                for entry in entries
                if entry["type"] == "directory"
            )

        return self._ask(below, 0, names)

    def make(self, name: str, content: bytes) -> bool:
        """Create the object only if the name is free; see `Store`."""
        return self._ask(name, len(content), lambda: self._make(name, content))

    def _make(self, name: str, content: bytes) -> bool:
        path = self._path(name)
        try:
            self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except Exception:
            # NOTE: drivers report a taken name with errors of their own, and answers get lost.
            with suppress(Exception):
                if self._fs.exists(path):
                    return False
            raise
        return True

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content; see `Store`."""
        return self._ask(name, size, lambda: bytes(self._fs.cat_file(self._path(name))))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    def _listed(self, objects: Iterator[tuple[str, int]]) -> dict[str, int]:
        """Return names and sizes; raises `ArchiveError` if there are too many."""
        sizes: dict[str, int] = {}
        for name, size in objects:
            # NOTE: consoles create an empty object with a trailing slash for a folder.
            if name and not (size == 0 and name.endswith("/")):
                sizes[name] = size
            if len(sizes) > _MOST_OBJECTS:
                raise self._too_many()
        return sizes

    @contextmanager
    def _translate_errors(self, name: str = "") -> Iterator[None]:
        """Turn the driver's errors into an `ArchiveError`."""
        try:
            yield
        except ArchiveError:
            raise
        except ImportError:
            msg = f"The driver for {self.address} is not installed."
            advice = f"In the runbook's folder: pip install -e '.[{self._extra}]'."
            raise ArchiveError(msg, next_step=advice) from None
        except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
            hint = self._credentials
            raise refusal(error, self.address, credentials=hint, file=name) from None
