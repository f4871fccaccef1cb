"""
Stores: where an archive lies, a folder or an object store, and what each can promise.

An object is made once and never written again. What a store's refusal means
is said in `refusals`; what is copied, and in which order, in `archive`.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_lib.errors import ArchiveError, SettingsError
from runbook_lib.evidence.refusals import refusal
from runbook_lib.journal import sync_folder

__all__ = ["Folder", "Store", "archive_address", "open_store", "retention_days"]

_MOST_OBJECTS = 100_000
# NOTE: under GOVERNANCE whoever runs the account may permit himself to delete, and he is the one
# from whom evidence is to be kept; under COMPLIANCE nobody deletes before the date
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html).
_LOCK_MODE = "COMPLIANCE"
# NOTE: nobody takes a retention back; a slip of the hand costs ten years at most.
_LONGEST_RETENTION = 3653
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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


def archive_address(text: str) -> str:
    """
    Return the address of an archive: `s3://…`, `gs://…`, `az://…`, or a folder's absolute path.

    Raises `ValueError` in the operator's words; the text is not quoted, for
    people paste credentials into addresses.
    """
    typed = text.strip()
    scheme, separator, rest = typed.partition("://")
    if not typed or (separator and not rest):
        raise ValueError("an archive's address is not empty")
    if not separator or scheme == "file":
        return str(Path(rest or typed).expanduser().absolute())
    if scheme not in _KINDS:
        raise ValueError("an archive is a folder, or its address begins with s3://, gs:// or az://")
    if "@" in rest.partition("/")[0] or "?" in rest or "::" in rest:
        raise ValueError("an archive's address holds no credentials and no options")
    if any(part in ("", ".", "..") for part in rest.rstrip("/").split("/")):
        raise ValueError(f"an archive's address looks like {scheme}://bucket/evidence")
    return typed.rstrip("/")


def retention_days(text: str) -> int:
    """Return a number of days; raises `ValueError` in the operator's words."""
    typed = text.strip()
    days = int(typed) if typed.isascii() and typed.isdigit() else -1
    if not 0 <= days <= _LONGEST_RETENTION:
        raise ValueError(f"retention is a number of days, at most {_LONGEST_RETENTION}")
    return days


def open_store(url: str) -> Store:
    """
    Return the store at `url`; nothing is asked of it yet.

    Raises `SettingsError` where `url` is no address of an archive, and
    `ArchiveError` where its driver is missing or finds no credentials.
    """
    try:
        address = archive_address(url)
    except ValueError as error:
        msg = f"This is no archive: {error}."
        raise SettingsError(msg) from None
    scheme, separator, _ = address.partition("://")
    if not separator:
        return Folder(address)
    return _Bucket(address) if scheme == "s3" else _Objects(address)


class Store(ABC):
    """Objects by name (`/` between its parts) below `address`, which ends without a slash."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Return each object in the folder `below` by its name in the store: its size in bytes."""

    @abstractmethod
    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
        """Make an object and return True; leave one that is there as it is, and return False."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return an object's content."""

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Copy objects by name into files, whose folders are there."""
        for name, path in files.items():
            path.write_bytes(self.read(name))

    def check_retention(self) -> None:
        """Raise `ArchiveError` where objects cannot be kept from being deleted until a date."""
        said = f"The archive {self.address} cannot retain objects: only S3 with Object Lock can."
        advice = "Archive without retention, and protect the store by a policy of its own."
        raise ArchiveError(said, next_step=advice)

    def keep(self, name: str, until: datetime) -> None:  # noqa: ARG002  (nothing to keep here)
        """See that nobody can delete an object before `until`, where that can be done."""
        self.check_retention()


class Folder(Store):
    """A folder: on this machine, on a drive, on a network."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.path = Path(address)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the files' sizes by name; see `Store`."""
        with self._using(below):
            files = [path for path in (self.path / below).rglob("*") if path.is_file()]
            return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in files}

    def make(
        self,
        name: str,
        content: bytes,
        *,
        until: datetime | None = None,  # noqa: ARG002  (a folder retains nothing)
    ) -> bool:
        """Write outside any bundle, flush, and only then give the name; see `Store`."""
        path = self.path / name
        drafted = self.path / f".archiving-{secrets.token_hex(8)}"
        with self._using(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with drafted.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                is_new = _named(drafted, path)
            finally:
                drafted.unlink(missing_ok=True)
            for folder in path.parents[: len(Path(name).parts)]:
                sync_folder(folder)
        return is_new

    def read(self, name: str) -> bytes:
        """Return a file's content; see `Store`."""
        with self._using(name):
            return (self.path / name).read_bytes()

    @contextmanager
    def _using(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            said = f"The archive {self.address} cannot be used: {reason}."
            advice = "Free space or permit writing there, then try again."
            raise ArchiveError(said, next_step=advice, file=name) from None


def _named(drafted: Path, path: Path) -> bool:
    """Give `drafted` the name `path` too, unless that is taken; tell whether it was free."""
    try:
        path.hardlink_to(drafted)
    except FileExistsError:
        return False
    except OSError:
        # NOTE: FAT and some network drives have no hard links. A rename is whole there too, but
        # another process may take the name between looking and renaming.
        if path.exists():
            return False
        drafted.rename(path)
    return True


class _Objects(Store):
    """An object store, by its driver for fsspec."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        import fsspec  # noqa: PLC0415  (slow to import)

        self._kind = _KINDS[address.partition("://")[0]]
        # NOTE: what is listed must be what is there now, whoever else writes.
        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        with self._answering():
            try:
                self._fs, self._root = fsspec.url_to_fs(address, **fresh)
            except ValueError:
                said = f"The driver for {address} lacks what it needs to begin."
                advice = f"Give it in the store's own environment: {self._kind.credentials}."
                raise ArchiveError(said, next_step=advice) from None

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name; see `Store`."""
        with self._answering(below):
            found = self._fs.find(self._path(below), detail=True)
        start = len(self._root) + 1
        return self._listed((path[start:], int(each["size"])) for path, each in found.items())

    def make(self, name: str, content: bytes, *, until: datetime | None = None) -> bool:
        """Create on the condition that the name is free; see `Store`."""
        path = self._path(name)
        with self._answering(name):
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

    def read(self, name: str) -> bytes:
        """Return an object's content; see `Store`."""
        with self._answering(name):
            content: bytes = self._fs.cat_file(self._path(name))
        return content

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Copy many objects at once; see `Store`."""
        paths = [self._path(name) for name in files]
        with self._answering():
            self._fs.get(paths, [str(file) for file in files.values()])

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
                said = f"{self.address} holds more than {_MOST_OBJECTS:,} objects."
                raise ArchiveError(said, next_step="Name a part of it: one tenant, or one bundle.")
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


class _Bucket(_Objects):
    """Amazon S3, or what speaks its language."""

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects' sizes by name, as far as `Store` permits; page by page."""
        return self._listed(self._objects(below))

    def check_retention(self) -> None:
        """Pass: S3 has Object Lock; whether this bucket has it, the first object tells."""

    def keep(self, name: str, until: datetime) -> None:
        """Retain what is there without, or for a shorter time; see `Store`."""
        mode, date = self._retention(name)
        if mode == _LOCK_MODE and date >= until:
            return
        bucket, key, _ = self._fs.split_path(self._path(name))
        retention = {"Mode": _LOCK_MODE, "RetainUntilDate": max(date, until)}
        with self._answering(name):
            where = {"Bucket": bucket, "Key": key}
            self._fs.call_s3("put_object_retention", **where, Retention=retention)
        mode, date = self._retention(name)
        if mode != _LOCK_MODE or date < until:
            said = f"The archive {self.address} does not show that it is retained."
            advice = "Permit s3:PutObjectRetention and s3:GetObjectRetention, then try again."
            raise ArchiveError(said, next_step=advice, file=name)

    def _retention(self, name: str) -> tuple[str, datetime]:
        """Return under which mode an object is retained, and until when; long ago if it is not."""
        bucket, key, _ = self._fs.split_path(self._path(name))
        with self._answering(name):
            head = self._fs.call_s3("head_object", Bucket=bucket, Key=key)
        return head.get("ObjectLockMode", ""), head.get("ObjectLockRetainUntilDate", _LONG_AGO)

    def _objects(self, below: str) -> Iterator[tuple[str, int]]:
        bucket, root, _ = self._fs.split_path(self._root)
        start = f"{root}/" if root else ""
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": start + (f"{below}/" if below else "")}
        while True:
            with self._answering(below):
                page = self._fs.call_s3("list_objects_v2", **asked)
            for each in page.get("Contents", ()):
                yield str(each["Key"]).removeprefix(start), int(each["Size"])
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]


def _lock(until: datetime | None) -> dict[str, Any]:
    """Return what the S3 driver passes on so that a new object is retained from the start."""
    if until is None:
        return {}
    return {"ObjectLockMode": _LOCK_MODE, "ObjectLockRetainUntilDate": until}
