"""
Stores: where an archive lies, a folder or an object store, and what each can promise.

An object is made once and never written again. What a store's refusal means
is said in `refusals`; what is copied, and in which order, in `archive`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

from runbook_lib.config import formats
from runbook_lib.core.files import read_plain, sync_folder, write_once
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.evidence.verify.refusals import refusal

__all__ = [
    "DEFAULT_SECONDS",
    "LARGEST_OBJECT",
    "Folder",
    "Limits",
    "Store",
    "open_store",
]

_MOST_OBJECTS = 100_000
# NOTE: under GOVERNANCE whoever runs the account may permit himself to delete, and he is the one
# from whom evidence is to be kept; under COMPLIANCE nobody deletes before the date
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html).
_LOCK_MODE = "COMPLIANCE"
# How many seconds a store may take, and what is added for each byte: 50 KiB a second is slow.
DEFAULT_SECONDS = 60
_SLOWEST = 50 * 1024
_AT_ONCE = 8
LARGEST_OBJECT = 256 * 1024 * 1024
_GOES_ON = (
    "See that the store answers, then archive again: it goes on where it stopped. "
    "RUNBOOK_ARCHIVE_SECONDS sets how long it may take."
)
_NO_VERSIONS = (
    "Whether objects were hidden or covered is not shown: only of S3 are versions listed."
)
_UNLISTED = (
    "Whether objects were hidden or covered is not shown: versions cannot be listed there "
    "(s3:ListBucketVersions)."
)
# What of a page of a listing the next request takes.
_TOKENS = {"ContinuationToken": "NextContinuationToken"}
_KEY_MARKERS = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of object store: the extra that installs its driver, where credentials come from."""

    extra: str
    credentials: str


_KINDS = {
    "s3": _Kind("s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    "gs": _Kind("gcs", "GOOGLE_APPLICATION_CREDENTIALS, or the login of gcloud"),
    "az": _Kind("azure", "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
}


def _ignore(_said: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How long a store may take for one transfer: `seconds`, and more for what is large.

    It is asked again `retries` times where it did not answer, each time with
    a word to `say`.
    """

    seconds: float = DEFAULT_SECONDS
    retries: int = 2
    say: Callable[[str], None] = _ignore

    def deadline(self, size: int) -> float:
        """Return how many seconds a transfer of `size` bytes may take."""
        return self.seconds + size / _SLOWEST


def open_store(url: str, limits: Limits | None = None) -> Store:
    """
    Return the store at `url`; nothing is asked of it yet.

    Raises `SettingsError` where `url` is no address of an archive, and
    `ArchiveError` where its driver is missing or finds no credentials.
    """
    try:
        address = formats.archive_address(url)
    except ValueError as error:
        msg = f"This is no archive: {error}."
        raise SettingsError(msg) from None
    scheme, separator, _ = address.partition("://")
    if not separator:
        return Folder(address, limits)
    return _Bucket(address, limits) if scheme == "s3" else _Objects(address, limits)


class Store(ABC):
    """
    Objects by name (`/` between its parts) below `address`, which ends without a slash.

    Whatever it is, a transfer ends: when `limits` say so, with a
    `StoreUnavailableError`. `notes` say what of it was not seen, or was hidden.
    """

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        self.address = address
        self.limits = limits or Limits()
        self.notes: dict[str, None] = {}

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Return each object in the folder `below` by its name in the store: its size in bytes."""

    @abstractmethod
    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in the folder `below`."""

    @abstractmethod
    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
        """Make an object and return True; leave one that is there as it is, and return False."""

    @abstractmethod
    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content, which has some `size` bytes."""

    def fetch(self, files: Mapping[str, Path], sizes: Mapping[str, int] | None = None) -> None:
        """Copy objects by name into files, whose folders are there; several at once."""

        def copy(name: str) -> None:
            files[name].write_bytes(self.read(name, (sizes or {}).get(name, LARGEST_OBJECT)))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            done = [pool.submit(copy, name) for name in files]
            try:
                for each in done:
                    each.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def check_retention(self) -> None:
        """Raise `ArchiveError` where objects cannot be kept from being deleted until a date."""
        said = f"The archive {self.address} cannot retain objects: only S3 with Object Lock can."
        advice = "Archive without retention, and protect the store by a policy of its own."
        raise ArchiveError(said, next_step=advice)

    def keep(self, name: str, until: datetime, *, extends: bool = False) -> datetime:  # noqa: ARG002
        """
        See that nobody can delete an object, and return until when, where that can be done.

        An object that is retained already keeps its date, unless one `extends` it.
        """
        self.check_retention()
        return until

    def _ask(self, name: str, size: int, call: Callable[[], _Answer]) -> _Answer:
        """Return what `call` does within the limits; where it is in vain, it is made again."""
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
        Return what `call` does, or raise what it raises; after so many seconds it is left alone.

        NOTE: drivers wait for ever in ways of their own, and a hung network drive cannot be
        interrupted. A thread that is left behind is a daemon: it holds up no exit.
        """
        done: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                with self._answering(name):
                    done.put((call(), None))
            except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
                done.put((None, error))

        Thread(target=run, name="archive-transfer", daemon=True).start()
        try:
            answer, error = done.get(timeout=seconds)
        except Empty:
            said = f"The archive {self.address} did not answer within {seconds:.0f} s."
            raise StoreUnavailableError(
                said, file=name, next_step=_GOES_ON, is_silent=True
            ) from None
        if error is not None:
            raise error
        return cast("_Answer", answer)

    def _too_many(self) -> ArchiveError:
        said = f"{self.address} holds more than {_MOST_OBJECTS:,} objects."
        return ArchiveError(said, next_step="Name a part of it: one tenant, or one bundle.")

    @abstractmethod
    def _answering(self, name: str = "") -> AbstractContextManager[None]:
        """Turn what a transfer raises into an `ArchiveError`."""


class Folder(Store):
    """A folder: on this machine, on a drive, on a network."""

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
                return sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))

        return self._ask(below, 0, names)

    def make(
        self,
        name: str,
        content: bytes,
        *,
        until: datetime | None = None,  # noqa: ARG002  (a folder retains nothing)
    ) -> bool:
        """Write outside any bundle, flush, and only then give the name; see `Store`."""
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
    def _answering(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            said = f"The archive {self.address} cannot be used: {reason}."
            advice = "Free space or permit writing there, then try again."
            raise ArchiveError(said, next_step=advice, file=name) from None


class _Objects(Store):
    """An object store, by its driver for fsspec."""

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        super().__init__(address, limits)
        import fsspec  # noqa: PLC0415  (slow to import)

        self._kind = _KINDS[address.partition("://")[0]]
        # NOTE: what is listed must be what is there now, whoever else writes.
        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        with self._answering():
            try:
                self._fs, self._root = fsspec.url_to_fs(address, **fresh, **self._options())
            except ValueError:
                said = f"The driver for {address} lacks what it needs to begin."
                advice = f"Give it in the store's own environment: {self._kind.credentials}."
                raise ArchiveError(said, next_step=advice) from None

    def _options(self) -> dict[str, Any]:
        """Return what the driver takes beside the address."""
        return {}

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name; see `Store`."""
        self.notes[_NO_VERSIONS] = None
        found = self._ask(below, 0, lambda: self._fs.find(self._path(below), detail=True))
        start = len(self._root) + 1
        return self._listed((path[start:], int(each["size"])) for path, each in found.items())

    def folders(self, below: str) -> list[str]:
        """Return the names of folders; see `Store`."""

        def names() -> list[str]:
            try:
                found = self._fs.ls(self._path(below), detail=True)
            except FileNotFoundError:
                return []
            return sorted(
                str(each["name"]).rstrip("/").rpartition("/")[2]
                for each in found
                if each["type"] == "directory"
            )

        return self._ask(below, 0, names)

    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
        """Create on the condition that the name is free; see `Store`."""
        return self._ask(name, len(content), lambda: self._make(name, content, until))

    def _make(self, name: str, content: bytes, until: datetime | None) -> bool:
        path = self._path(name)
        try:
            self._fs.pipe_file(path, content, mode="create", **_lock(until))
        except FileExistsError:
            return False
        except Exception:
            # NOTE: drivers say in their own ways that a name is taken, and answers get lost.
            if not self._exists(path):
                raise
            return False
        return True

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return an object's content; see `Store`."""
        return self._ask(name, size, lambda: bytes(self._fs.cat_file(self._path(name))))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    def _exists(self, path: str) -> bool:
        try:
            return bool(self._fs.exists(path))
        except Exception:  # noqa: BLE001  (the failure before this one is the one to tell)
            return False

    def _listed(self, found: Iterator[tuple[str, int]]) -> dict[str, int]:
        """Return names and sizes; raises `ArchiveError` where there are too many."""
        sizes: dict[str, int] = {}
        for name, size in found:
            # NOTE: an empty object whose name ends with a slash is how consoles draw a folder.
            if name and not (size == 0 and name.endswith("/")):
                sizes[name] = size
            if len(sizes) > _MOST_OBJECTS:
                raise self._too_many()
        return sizes

    @contextmanager
    def _answering(self, name: str = "") -> Iterator[None]:
        """Turn what the driver raises into an `ArchiveError`."""
        try:
            yield
        except ArchiveError:
            raise
        except ImportError:
            said = f"The driver for {self.address} is not installed."
            advice = f"In the runbook's folder: pip install -e '.[{self._kind.extra}]'."
            raise ArchiveError(said, next_step=advice) from None
        except Exception as error:  # noqa: BLE001  (each driver raises errors of its own)
            hint = self._kind.credentials
            raise refusal(error, self.address, credentials=hint, file=name) from None


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object: the one that was first made, and is retained."""

    id: str
    size: int


class _Bucket(_Objects):
    """
    Amazon S3, or what speaks its language.

    An object is made once, so its oldest version is the one that was archived, and the one that
    Object Lock retains: what hides it, or covers it, is named and not read.
    """

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        super().__init__(address, limits)
        # NOTE: the driver would try again five times, and botocore below it, without a word.
        self._fs.retries = 1
        self._versions: dict[str, str] = {}

    def _options(self) -> dict[str, Any]:
        waiting = {"connect_timeout": self.limits.seconds, "read_timeout": self.limits.seconds}
        return {"config_kwargs": {**waiting, "retries": {"max_attempts": 0}}}

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name, as far as `Store` permits; page by page."""
        try:
            return self._listed(self._retained(below))
        except StoreUnavailableError:
            raise
        except ArchiveError:
            # NOTE: to list versions is a permission of its own, and not all stores can.
            sizes = self._listed(self._objects(below))
            self.notes[_UNLISTED] = None
            return sizes

    def folders(self, below: str) -> list[str]:
        """Return the names of folders, of those too whose objects are hidden; see `Store`."""
        found: set[str] = set()
        for call, pages in (("list_object_versions", _KEY_MARKERS), ("list_objects_v2", _TOKENS)):
            try:
                for page in self._pages(call, f"{below}/", pages, Delimiter="/"):
                    prefixes = (str(each["Prefix"]) for each in page.get("CommonPrefixes", ()))
                    found |= {prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes}
            except StoreUnavailableError:
                raise
            except ArchiveError:
                # NOTE: to list versions is a permission of its own. The plain listing is asked for
                # in any case: some stores page through the folders of versions with gaps.
                if call == "list_objects_v2":
                    raise
        return sorted(found)

    def read(self, name: str, size: int = LARGEST_OBJECT) -> bytes:
        """Return the content of the version that was archived; see `Store`."""
        path, version = self._path(name), self._where(name).get("VersionId")
        # NOTE: in one request; for several the driver asks how large the newest version is.
        options = {"version_id": version, "max_concurrency": 1}
        return self._ask(name, size, lambda: bytes(self._fs.cat_file(path, **options)))

    def check_retention(self) -> None:
        """Pass: S3 has Object Lock; whether this bucket has it, the first object tells."""

    def keep(self, name: str, until: datetime, *, extends: bool = False) -> datetime:
        """Retain what is there without a date, or for longer where that is asked; see `Store`."""
        mode, date = self._retention(name)
        wanted = max(date, until) if extends or date == _LONG_AGO else date
        if mode == _LOCK_MODE and date >= wanted:
            return date
        retention = {"Mode": _LOCK_MODE, "RetainUntilDate": wanted}
        where = self._where(name)
        self._call(name, "put_object_retention", **where, Retention=retention)
        mode, date = self._retention(name)
        if mode != _LOCK_MODE or date < wanted:
            said = f"The archive {self.address} does not show that it is retained."
            advice = "Permit s3:PutObjectRetention and s3:GetObjectRetention, then try again."
            raise ArchiveError(said, next_step=advice, file=name)
        return date

    def _call(self, name: str, call: str, **asked: Any) -> Mapping[str, Any]:
        return cast(
            "Mapping[str, Any]", self._ask(name, 0, lambda: self._fs.call_s3(call, **asked))
        )

    def _where(self, name: str) -> dict[str, str]:
        bucket, key, _ = self._fs.split_path(self._path(name))
        version = self._versions.get(name)
        return {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}

    def _retention(self, name: str) -> tuple[str, datetime]:
        """Return under which mode an object is retained, and until when; long ago if it is not."""
        head = self._call(name, "head_object", **self._where(name))
        return head.get("ObjectLockMode", ""), head.get("ObjectLockRetainUntilDate", _LONG_AGO)

    def _retained(self, below: str) -> Iterator[tuple[str, int]]:
        """Yield each object by its oldest version, and note what hides or covers it."""
        for name, each in self._histories(below):
            oldest, covers, is_hidden = each
            if oldest is None:
                continue
            # NOTE: "null" is what S3 calls the only version where none are kept.
            if oldest.id != "null" or covers or is_hidden:
                self._versions[name] = oldest.id
            if is_hidden:
                self.notes[f"{name}: a delete marker hides it; the retained version counts."] = None
            elif covers:
                said = f"{name}: newer versions ({covers}) cover it; the oldest one counts."
                self.notes[said] = None
            yield name, oldest.size

    def _histories(self, below: str) -> Iterator[tuple[str, tuple[_Version | None, int, bool]]]:
        """Yield, by name, the oldest version, how many cover it, and whether it is hidden."""
        found: dict[str, tuple[_Version | None, int, bool]] = {}
        start = self._start()
        prefix = f"{below}/" if below else ""
        for page in self._pages("list_object_versions", prefix, _KEY_MARKERS):
            for each in page.get("Versions", ()):
                name = str(each["Key"]).removeprefix(start)
                version = _Version(str(each["VersionId"]), int(each["Size"]))
                oldest, covers, is_hidden = found.get(name, (None, -1, False))
                # NOTE: the versions of an object are listed with the newest one first.
                found[name] = (version, covers + 1, is_hidden)
            for each in page.get("DeleteMarkers", ()):
                name = str(each["Key"]).removeprefix(start)
                oldest, covers, is_hidden = found.get(name, (None, -1, False))
                found[name] = (oldest, covers, is_hidden or bool(each.get("IsLatest")))
            if len(found) > _MOST_OBJECTS:
                raise self._too_many()
        yield from found.items()

    def _objects(self, below: str) -> Iterator[tuple[str, int]]:
        start = self._start()
        for page in self._pages("list_objects_v2", f"{below}/" if below else "", _TOKENS):
            for each in page.get("Contents", ()):
                yield str(each["Key"]).removeprefix(start), int(each["Size"])

    def _start(self) -> str:
        _, root, _ = self._fs.split_path(self._root)
        return f"{root}/" if root else ""

    def _pages(
        self, call: str, below: str, following: Mapping[str, str], **asked: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of a listing; `following` names what of a page the next request takes."""
        bucket, _, _ = self._fs.split_path(self._root)
        asked |= {"Bucket": bucket, "Prefix": self._start() + below}
        while True:
            page = self._call(below.rstrip("/"), call, **asked)
            yield page
            following_on = {
                name: page[taken] for name, taken in following.items() if page.get(taken)
            }
            # NOTE: a store that says the same page again and again would be listed for ever.
            if not page.get("IsTruncated") or not following_on.items() - asked.items():
                return
            asked |= following_on


def _lock(until: datetime | None) -> dict[str, Any]:
    """Return what the S3 driver passes on so that a new object is retained from the start."""
    if until is None:
        return {}
    return {"ObjectLockMode": _LOCK_MODE, "ObjectLockRetainUntilDate": until}
