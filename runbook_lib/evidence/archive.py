"""
The archive: sealed bundles, and the public keys, copied to where nobody writes over them.

Laid out as the evidence folder is, so `verify_tree` reads it the same way,
but without the journals: those grow, and an archive only takes what
never changes again. Of what a journal alone shows, that the last bundles of
a chain were removed, an archive says nothing; retention is what prevents it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from runbook_lib.errors import (
    ArchiveError,
    ContentError,
    JournalError,
    SettingsError,
    SignatureError,
)
from runbook_lib.evidence.attestation import digest
from runbook_lib.evidence.chain import STATEMENT_NAME, finish_interrupted, sealed_bundles
from runbook_lib.evidence.keys import PUBLIC_SUFFIX, SUCCESSION_SUFFIX, exported_keys
from runbook_lib.evidence.places import is_there, unfinished_in
from runbook_lib.evidence.stores import Folder, Store, open_store, retention_days
from runbook_lib.evidence.verify import Trust, verify_bundle
from runbook_lib.history import open_history
from runbook_lib.journal import utc_now
from runbook_lib.scratch import scratch_folder
from runbook_lib.workspace import JOURNAL_NAME, KEYS_FOLDER, keys_beside

__all__ = ["Archived", "archive_bundle", "bundles_below", "check_archive", "fetched"]

_PUBLIC = (PUBLIC_SUFFIX, SUCCESSION_SUFFIX)
_COMPARE = (
    "Find out who wrote there, and verify both with `runbook verify`: the sealed bundle on this "
    "machine is as it was."
)
_LARGEST = 256 * 1024 * 1024
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Archived:
    """
    A bundle in an archive, whole and read back: its address there.

    `copied` objects are new, keys included; `present` ones were there with
    the same content. `retained_until` (RFC 3339) is empty where nothing was
    asked for.
    """

    address: str
    copied: int
    present: int
    retained_until: str


def bundles_below(path: Path) -> list[Path]:
    """
    Return the sealed bundle at `path`, or those of the connector, tenant or evidence folder there.

    What a run that was cut off left unfinished is finished first; where that
    cannot be, it is among them, for `archive_bundle` to refuse. Raises
    `SettingsError` where there is none.
    """
    hidden = {folder for folder in _with_statement(path) if folder.name.startswith(".")}
    unfinished: set[Path] = set()
    for home in {folder.parent for folder in hidden}:
        with suppress(OSError, JournalError):
            finish_interrupted(home)
        unfinished |= set(unfinished_in(home, sealed_bundles(open_history(home).read().index)))
    bundles = sorted(set(_with_statement(path)) - hidden | unfinished)
    if not bundles:
        msg = f"There is no sealed bundle in {path}."
        raise SettingsError(msg)
    return bundles


def _with_statement(path: Path) -> list[Path]:
    patterns = ("*/" * depth + STATEMENT_NAME for depth in range(4))
    return [found.parent for pattern in patterns for found in path.resolve().glob(pattern)]


def check_archive(url: str, home: Path, *, retention_days: int = 0) -> None:
    """Raise what `archive_bundle` would of a bundle in `home`, without asking the store."""
    store = open_store(url)
    _until(store, retention_days, utc_now)
    _check_apart(store, home.resolve())


def archive_bundle(
    bundle: Path,
    url: str,
    *,
    retention_days: int = 0,
    clock: Callable[[], datetime] = utc_now,
) -> Archived:
    """
    Copy the sealed `bundle` to `url`/<tenant>/<connector>/<name>/, the public keys to `url`/keys/.

    What is there with the same content is left, so an interrupted copy goes
    on; nothing is written over. The statement comes last, so half a copy is
    none. Everything is read back. With `retention_days` nobody can delete
    it for so long from now. Raises `ArchiveError` where the store refuses or
    holds something else, or the bundle is not finished, `SettingsError` where
    an argument is unusable, and, before anything is copied, `ContentError`
    and its like where the bundle is not what its own key signed.
    """
    store = open_store(url)
    until = _until(store, retention_days, clock)
    folder = bundle.resolve()
    place = "/".join(folder.parts[-3:])
    _check_whole(folder, place)
    _check_apart(store, folder.parent)
    files = {**_keys(keys_beside(folder.parent)), **_files(folder, place)}
    present = {**store.sizes(KEYS_FOLDER), **store.sizes(place)}
    for name in present:
        if name.startswith(f"{place}/") and name not in files:
            raise ArchiveError(
                "The archive has it, the bundle has not.", next_step=_COMPARE, file=name
            )
    copied = sum(_copy(store, name, path, present, until) for name, path in files.items())
    said = until.isoformat().replace("+00:00", "Z") if until else ""
    return Archived(f"{store.address}/{place}", copied, len(files) - copied, said)


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """
    Give the evidence at `url` (a bundle, a tenant, a whole tree) as a folder for `verify_tree`.

    An object store's is a temporary copy, with the keys that lie beside the
    tenants; a folder is given as it is. Raises `ArchiveError` where the
    store refuses or holds too much, `ContentError` where an object has no
    business in evidence, `SettingsError` where there is nothing.
    """
    store = open_store(url)
    if isinstance(store, Folder):
        yield store.path
        return
    with scratch_folder() as temporary:
        yield _fetch(store, temporary.resolve())


def _check_apart(store: Store, home: Path) -> None:
    """
    Raise `SettingsError` where an archive in a folder would be the evidence itself.

    `home` holds a journal and its bundles, so all evidence lies two folders above.
    """
    if not isinstance(store, Folder):
        return
    target = store.path.resolve()
    inside = (
        each / name for each in (target, *target.parents) for name in (STATEMENT_NAME, JOURNAL_NAME)
    )
    evidence = home.parent.parent
    is_taken = target == evidence or any(is_there(each) for each in inside)
    if is_taken or (target.is_relative_to(evidence) and _is_taken(evidence, home, target)):
        msg = f"{target} is where the evidence itself lies."
        raise SettingsError(msg, next_step="Name a folder apart from it, or an object store.")


def _is_taken(evidence: Path, home: Path, target: Path) -> bool:
    """Return whether `target` lies where keys or a tenant's folders are."""
    top = evidence / target.relative_to(evidence).parts[0]
    return top in (home.parent, evidence / KEYS_FOLDER) or any(top.glob(f"*/{JOURNAL_NAME}"))


def _check_whole(bundle: Path, place: str) -> None:
    """
    Raise where `bundle` is none, is not finished, or is not what was sealed.

    The key beside it says that nothing was altered, not that anybody trusts it.
    """
    if not (bundle / STATEMENT_NAME).is_file():
        msg = f"{bundle} is no sealed bundle."
        raise SettingsError(msg)
    if bundle.name.startswith("."):
        said = "It is not finished: a run was cut off before its last step."
        advice = "The tenant's next run finishes it; then archive again."
        raise ArchiveError(said, next_step=advice, file=place)
    try:
        verify_bundle(bundle, Trust(exported_keys(keys_beside(bundle.parent))))
    except SignatureError:
        said = f"No key in the folder {KEYS_FOLDER} beside its tenant has signed it, as it is now."
        raise ContentError(said, file=STATEMENT_NAME) from None


def _until(store: Store, days: int, clock: Callable[[], datetime]) -> datetime | None:
    try:
        retention_days(str(days))
    except ValueError as error:
        msg = f"This is no retention: {error}."
        raise SettingsError(msg) from None
    if not days:
        return None
    store.check_retention()
    return clock().replace(microsecond=0) + timedelta(days=days)


def _keys(folder: Path) -> dict[str, Path]:
    """Return what a verifier needs beside the bundles; never a file of another name."""
    files = (path for suffix in _PUBLIC for path in folder.glob(f"*{suffix}"))
    return {f"{KEYS_FOLDER}/{path.name}": path for path in sorted(files)}


def _files(folder: Path, place: str) -> dict[str, Path]:
    """Return the files of a bundle by their names in the archive, its statement last."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    paths.sort(key=lambda path: path == folder / STATEMENT_NAME)
    return {f"{place}/{path.relative_to(folder).as_posix()}": path for path in paths}


def _copy(
    store: Store, name: str, path: Path, present: Mapping[str, int], until: datetime | None
) -> bool:
    """Copy one file, read it back, and tell whether it is new in the archive."""
    content = _content(name, path)
    size = present.get(name, -1)
    is_new = size < 0 and store.make(name, content, until=until)
    is_same = size in (-1, len(content)) and digest(store.read(name)) == digest(content)
    if not is_same and is_new:
        said = "The archive gives back something else than it was given."
        raise ArchiveError(said, next_step=_COMPARE, file=name)
    if not is_same:
        said = "The archive has it with another content; nothing was written over."
        raise ArchiveError(said, next_step=_COMPARE, file=name)
    if until is not None:
        store.keep(name, until)
    return is_new


def _content(name: str, path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ContentError("It is no plain file but a link or a device.", file=name)
    if path.stat().st_size > _LARGEST:
        raise ContentError(f"It is larger than an archive takes ({_LARGEST:,} bytes).", file=name)
    return path.read_bytes()


def _fetch(store: Store, folder: Path) -> Path:
    """Copy all of `store` below `folder`, laid out as evidence is; return where it lies."""
    parts = store.address.partition("://")[2].split("/")
    sizes = store.sizes()
    if not sizes:
        msg = f"There is nothing at {store.address}."
        raise SettingsError(msg)
    place = folder.joinpath(*parts[-4:])
    _fetch_files(store, sizes, place)
    above = _folders_above(sizes)
    if 0 < above < len(parts):
        beside = open_store(store.address.rsplit("/", above)[0])
        _fetch_files(beside, beside.sizes(KEYS_FOLDER), place.parents[above - 1])
    return place


def _folders_above(sizes: Mapping[str, int]) -> int:
    """
    Return how many folders above its own the keys lie.

    That is 3 for a bundle, 2 for a connector, 1 for a tenant, and 0 for the whole tree.
    """
    depths = [name.count("/") for name in sizes if name.rpartition("/")[2] == STATEMENT_NAME]
    return max(0, 3 - min(depths, default=3))


def _fetch_files(store: Store, sizes: Mapping[str, int], folder: Path) -> None:
    files = {name: folder / _checked(name, size) for name, size in sizes.items()}
    for path in {path.parent for path in files.values()}:
        path.mkdir(parents=True, exist_ok=True)
    if sum(sizes.values()) > shutil.disk_usage(folder).free:
        said = f"{store.address} holds {sum(sizes.values()):,} bytes, more than is free here."
        raise ArchiveError(
            said, next_step="Free space, or name a part of it: one tenant, one bundle."
        )
    store.fetch(files)
    for name, path in files.items():
        if not path.is_file() or path.stat().st_size != sizes[name]:
            said = f"It did not arrive as it was listed ({sizes[name]:,} bytes)."
            raise ArchiveError(said, next_step="Try again, when nobody writes there.", file=name)


def _checked(name: str, size: int) -> str:
    """Return an object's name, if it can be a file's below a folder, and is not too large."""
    for part in name.split("/"):
        is_plain = part not in ("", ".", "..") and not set(part) & set("\\:\0")
        if not is_plain or len(part.encode(errors="replace")) > _LONGEST_NAME:
            raise ContentError("An object of this name is no file of evidence.", file=repr(name))
    if size > _LARGEST:
        raise ContentError(f"It has {size:,} bytes; evidence has {_LARGEST:,} at most.", file=name)
    return name
