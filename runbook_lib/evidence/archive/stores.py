"""
Stores of an archive: a folder or an object store, and what each can promise.

An object is created once and never written again. `refusals` explains a
store's errors; `archive` decides what is copied, and in which order.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from runbook_lib.config import formats
from runbook_lib.core.files import read_plain, sync_folder, write_once
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.evidence.verify.refusals import refusal
from runbook_lib.remote.look import begin

_MOST_OBJECTS = 100_000
# NOTE: under GOVERNANCE the owner of the account can still delete, and evidence must be safe from
# the owner too; under COMPLIANCE nobody can delete before the date
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html).
_LOCK_MODE = "COMPLIANCE"
# How many seconds a store may take, and how slow a transfer may be in bytes per second.
DEFAULT_SECONDS = 60
_SLOWEST = 50 * 1024
_AT_ONCE = 8
LARGEST_OBJECT = 256 * 1024 * 1024
_RESUMES = (
    "Make sure that the store is available, then archive again: it resumes where it stopped. "
    "RUNBOOK_ARCHIVE_SECONDS sets how long it may take."
)
_NO_VERSIONS = "Hidden or covered objects are not detected: only S3 lists versions."
_UNLISTED = (
    "Hidden or covered objects are not detected: versions cannot be listed there "
    "(s3:ListBucketVersions)."
)
# The fields of a listing's page that the next request repeats.
_TOKENS = {"ContinuationToken": "NextContinuationToken"}
_KEY_MARKERS = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of object store: the extra with its driver, and the source of its credentials."""

    extra: str
    credentials: str


_KINDS = {
    "s3": _Kind("s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    "gs": _Kind("gcs", "GOOGLE_APPLICATION_CREDENTIALS, or the login of gcloud"),
    "az": _Kind("azure", "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
}


@dataclass(frozen=True, slots=True)
class Limits:
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


def open_store(url: str, limits: Limits | None = None) -> Store:
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
    scheme, separator, _ = address.partition("://")
    if not separator:
        return Folder(address, limits)
    return _Bucket(address, limits) if scheme == "s3" else _Objects(address, limits)


class Store(ABC):
    """
    Objects by name (`/` between its parts) under `address`, which has no trailing slash.

    A transfer that exceeds `limits` ends with a `StoreUnavailableError`.
    `notes` name hidden objects, and what could not be checked.
    """

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        self.address = address
        self.limits = limits or Limits()
        self.notes: dict[str, None] = {}

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size in bytes of each object in the folder `below`, by name in the store."""

    @abstractmethod
    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in the folder `below`."""

    @abstractmethod
    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
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

    def check_retention(self) -> None:
        """Raise `ArchiveError` if the store cannot retain objects until a date."""
        msg = f"The archive {self.address} cannot retain objects: only S3 with Object Lock can."
        advice = "Archive without retention, and protect the store by its own policy."
        raise ArchiveError(msg, next_step=advice)

    def keep(self, name: str, until: datetime) -> datetime:  # noqa: ARG002
        """Retain an object, and return until when: one that is retained already keeps its date."""
        self.check_retention()
        return until

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

    def __init__(self, address: str, limits: Limits | None = None) -> None:
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

    def make(
        self,
        name: str,
        content: bytes,
        *,
        until: datetime | None = None,  # noqa: ARG002  (a folder retains nothing)
    ) -> bool:
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

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        super().__init__(address, limits)
        import fsspec  # noqa: PLC0415  (slow to import)

        self._kind = _KINDS[address.partition("://")[0]]
        # NOTE: a listing must be current, since others may write too.
        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        with self._translate_errors():
            try:
                self._fs, self._root = fsspec.url_to_fs(address, **fresh, **self._options())
            except ValueError:
                msg = f"The driver for {address} has no credentials."
                advice = f"Set them in the store's own environment: {self._kind.credentials}."
                raise ArchiveError(msg, next_step=advice) from None

    def _options(self) -> dict[str, Any]:
        """Return the driver's options."""
        return {}

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name; see `Store`."""
        self.notes[_NO_VERSIONS] = None
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

    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
        """Create the object only if the name is free; see `Store`."""
        return self._ask(name, len(content), lambda: self._make(name, content, until))

    def _make(self, name: str, content: bytes, until: datetime | None) -> bool:
        path = self._path(name)
        # S3's options, which retain a new object from the start.
        lock = {"ObjectLockMode": _LOCK_MODE, "ObjectLockRetainUntilDate": until} if until else {}
        try:
            self._fs.pipe_file(path, content, mode="create", **lock)
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
            advice = f"In the runbook's folder: pip install -e '.[{self._kind.extra}]'."
            raise ArchiveError(msg, next_step=advice) from None
        except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
            hint = self._kind.credentials
            raise refusal(error, self.address, credentials=hint, file=name) from None


class _Bucket(_Objects):
    """
    Amazon S3, or a compatible store.

    An object is created once, so its oldest version is the archived one, which
    Object Lock retains; a newer version or delete marker is noted, not read.
    """

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        super().__init__(address, limits)
        # NOTE: the driver would retry five times, and botocore again, without a message.
        self._fs.retries = 1
        self._versions: dict[str, str] = {}

    def _options(self) -> dict[str, Any]:
        waiting = {"connect_timeout": self.limits.seconds, "read_timeout": self.limits.seconds}
        return {"config_kwargs": {**waiting, "retries": {"max_attempts": 0}}}

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name, page by page; see `Store`."""
        try:
            return self._listed(self._retained(below))
        except StoreUnavailableError:
            raise
        except ArchiveError:
            # NOTE: listing versions needs its own permission, and not all stores can do it.
            start = self._start()
            pages = self._pages("list_objects_v2", f"{below}/" if below else "", _TOKENS)
            sizes = self._listed(
                (str(item["Key"]).removeprefix(start), int(item["Size"]))
                for page in pages
                for item in page.get("Contents", ())
            )
            self.notes[_UNLISTED] = None
            return sizes

    def folders(self, below: str) -> list[str]:
        """Return the names of folders, also of those with hidden objects only; see `Store`."""
        names: set[str] = set()
        for call, pages in (("list_object_versions", _KEY_MARKERS), ("list_objects_v2", _TOKENS)):
            try:
                for page in self._pages(call, f"{below}/", pages, Delimiter="/"):
                    prefixes = (str(prefix["Prefix"]) for prefix in page.get("CommonPrefixes", ()))
                    names |= {prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes}
            except StoreUnavailableError:
                raise
            except ArchiveError:
                # NOTE: listing versions needs its own permission. The plain listing is always
                # requested: some stores skip folders when they list versions.
                if call == "list_objects_v2":
                    raise
        return sorted(names)

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return the content of the archived version; see `Store`."""
        path, version = self._path(name), self._where(name).get("VersionId")
        # NOTE: one request; for several the driver requests the newest version's size.
        options = {"version_id": version, "max_concurrency": 1}
        return self._ask(name, size, lambda: bytes(self._fs.cat_file(path, **options)))

    def check_retention(self) -> None:
        """Pass: S3 has Object Lock; the first object shows whether this bucket has it."""

    def keep(self, name: str, until: datetime) -> datetime:
        """Retain an object that is not retained yet; see `Store`."""
        mode, date = self._retention(name)
        wanted = until if date == _LONG_AGO else date
        if mode == _LOCK_MODE and date >= wanted:
            return date
        retention = {"Mode": _LOCK_MODE, "RetainUntilDate": wanted}
        where = self._where(name)
        self._call(name, "put_object_retention", **where, Retention=retention)
        mode, date = self._retention(name)
        if mode != _LOCK_MODE or date < wanted:
            msg = f"The archive {self.address} does not show that it is retained."
            advice = "Permit s3:PutObjectRetention and s3:GetObjectRetention, then try again."
            raise ArchiveError(msg, next_step=advice, file=name)
        return date

    def _call(self, name: str, call: str, **parameters: Any) -> Mapping[str, Any]:
        return cast(
            "Mapping[str, Any]", self._ask(name, 0, lambda: self._fs.call_s3(call, **parameters))
        )

    def _where(self, name: str) -> dict[str, str]:
        bucket, key, _ = self._fs.split_path(self._path(name))
        version = self._versions.get(name)
        return {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}

    def _retention(self, name: str) -> tuple[str, datetime]:
        """Return an object's retention mode and date; long ago if it is not retained."""
        head = self._call(name, "head_object", **self._where(name))
        return head.get("ObjectLockMode", ""), head.get("ObjectLockRetainUntilDate", _LONG_AGO)

    def _retained(self, below: str) -> Iterator[tuple[str, int]]:
        """Yield each object's oldest version, and note if it is hidden or covered."""
        oldest: dict[str, tuple[str, int]] = {}
        versions: Counter[str] = Counter()
        hidden: set[str] = set()
        start = self._start()
        prefix = f"{below}/" if below else ""
        for page in self._pages("list_object_versions", prefix, _KEY_MARKERS):
            for version in page.get("Versions", ()):
                name = str(version["Key"]).removeprefix(start)
                # NOTE: S3 lists the versions of an object newest first.
                oldest[name] = str(version["VersionId"]), int(version["Size"])
                versions[name] += 1
            for marker in page.get("DeleteMarkers", ()):
                if marker.get("IsLatest"):
                    hidden.add(str(marker["Key"]).removeprefix(start))
            if len(oldest.keys() | hidden) > _MOST_OBJECTS:
                raise self._too_many()
        for name, (version_id, size) in oldest.items():
            covers = versions[name] - 1
            # NOTE: S3 calls the only version "null" if it keeps none.
            if version_id != "null" or covers or name in hidden:
                self._versions[name] = version_id
            if name in hidden:
                self.notes[f"{name}: a delete marker hides it; the retained version counts."] = None
            elif covers:
                note = f"{name}: newer versions ({covers}) cover it; the oldest one counts."
                self.notes[note] = None
            yield name, size

    def _start(self) -> str:
        _, root, _ = self._fs.split_path(self._root)
        return f"{root}/" if root else ""

    def _pages(
        self, call: str, below: str, following: Mapping[str, str], **parameters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of a listing; `following` maps the next request's fields to a page's."""
        bucket, _, _ = self._fs.split_path(self._root)
        parameters |= {"Bucket": bucket, "Prefix": self._start() + below}
        while True:
            page = self._call(below.rstrip("/"), call, **parameters)
            yield page
            following_on = {
                name: page[taken] for name, taken in following.items() if page.get(taken)
            }
            # NOTE: stop if a store returns the same page again, or the listing never ends.
            if not page.get("IsTruncated") or not following_on.items() - parameters.items():
                return
            parameters |= following_on
