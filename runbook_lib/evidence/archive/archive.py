"""
The archive: write-once copies of sealed bundles and public keys.

Its layout is that of the evidence folder, so `verify_tree` reads it the same way. It has no
journals: an archive takes only files that never change. So it cannot show that the last bundles of
a chain were removed, and it sees no older version of an object. The bucket's Object Lock prevents
both.

An archive contains one chain per tenant and connector. It rejects a bundle of another chain before
it writes anything. Two processes that archive two chains at once may both find the place empty.
Even then no object is overwritten, and `verify` rejects the place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.config.workspace import KEYS_FOLDER, keys_beside
from runbook_lib.core.files import is_folder, is_there, read_plain
from runbook_lib.core.run_state import open_history
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.errors import (
    ArchiveError,
    ChainError,
    ContentError,
    EvidenceError,
    JournalError,
    SettingsError,
    SignatureError,
    reason_of,
    reported_as,
)
from runbook_lib.evidence.archive.stores import LARGEST_OBJECT, Store, TransferLimits
from runbook_lib.evidence.chain import SEALED_PREFIX, STATEMENT_NAME, finish_interrupted
from runbook_lib.evidence.signing.keys import LARGEST_KEY, PUBLIC_SUFFIX, exported_keys
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, claimed_link, digest
from runbook_lib.evidence.verify.discovery import (
    UnreadablePath,
    bundles_in,
    find_unreadable_keys,
    homes_below,
    is_bundle,
    unfinished_in,
)
from runbook_lib.evidence.verify.verdict import NOT_UNDERSTOOD
from runbook_lib.evidence.verify.verify import TrustAnchors, VerifiedBundle, verify_bundle

_COMPARE = (
    "Find out who wrote there, and verify both with `runbook verify`. The sealed bundle on this "
    "machine was not changed."
)
_ANOTHER_CHAIN = (
    "Nothing was written. Archive this folder to another address, or find out which of the two "
    "chains is the tenant's: an archive with both could never be verified."
)
_LONGEST_NAME = 255
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ArchivedBundle:
    """
    A bundle in an archive, complete and read back, with its address.

    `copied` objects are new, keys included; `present` ones existed with the same content.
    """

    address: str
    copied: int
    present: int


def evidence_below(path: Path) -> tuple[list[Path], list[UnreadablePath]]:
    """
    Return the sealed bundle at `path`, or those below it, and the unreadable paths.

    It first finishes a bundle that an interrupted run left unfinished. If that fails, it returns
    the bundle for `archive_bundle` to reject. Raises `SettingsError` without any bundle.
    """
    path = Path(os.path.realpath(path))
    bundles: list[Path] = []
    unreadable: list[UnreadablePath] = []
    if is_folder(path) and is_bundle(path):
        bundles = [path]
    elif is_folder(path):
        for home in homes_below(path):
            if isinstance(home, UnreadablePath):
                unreadable.append(home)
                continue
            try:
                with suppress(OSError, JournalError):
                    finish_interrupted(home)
                bundles += bundles_in(home)
                if any(home.glob(f"{SEALED_PREFIX}*")):
                    bundles += unfinished_in(home, open_history(home).read().index.sealed)
            except OSError as error:
                reason = f"It cannot be read: {reason_of(error)}."
                unreadable.append(UnreadablePath(home, home.name, reason))
            except (JournalError, EvidenceError) as error:
                unreadable.append(UnreadablePath(home, home.name, str(error)))
    if not bundles and not unreadable:
        raise SettingsError(f"There is no sealed bundle in {path}.")
    for keys in {keys_beside(bundle.parent) for bundle in bundles}:
        unreadable += find_unreadable_keys(keys, PUBLIC_SUFFIX, LARGEST_KEY)
    return sorted(bundle for bundle in bundles if not _is_empty(bundle)), unreadable


def _is_empty(folder: Path) -> bool:
    """Return whether a folder is empty: it was never a bundle."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return False


def check_apart(url: str, home: Path) -> None:
    """
    Raise `SettingsError` if `url` is no archive, or a folder that overlaps the evidence.

    `home` contains a journal and its bundles; all evidence is two folders above. No store is
    contacted.
    """
    folder = Store(url).folder
    if folder is None:
        return
    target = Path(os.path.realpath(folder))
    evidence = Path(os.path.realpath(home)).parents[1]
    if target.is_relative_to(evidence) or evidence.is_relative_to(target):
        raise SettingsError(
            f"The archive {target} overlaps the evidence itself.",
            next_step="Name a folder outside of it, or an object store.",
        )


def archive_bundle(
    bundle: Path,
    url: str,
    *,
    limits: TransferLimits | None = None,
) -> ArchivedBundle:
    """
    Copy the sealed `bundle` to `url`/<tenant>/<connector>/<name>/, the public keys to `url`/keys/.

    It skips files that exist with the same content, so an interrupted copy resumes. It overwrites
    nothing, and reads everything back. The statement comes last, so half a copy does not count.

    Raises `SettingsError` for an unusable argument. Raises `ArchiveError` if the store fails or
    contains something else, or if the bundle is not finished; `StoreUnavailableError` if the store
    would reject any bundle. Before anything is copied, it raises `ContentError` and similar if the
    bundle differs from its signed content, and `ChainError` if the archive has another chain.
    """
    store = Store(url, limits)
    # NOTE: a link to a bundle is not a bundle.
    folder = Path(os.path.realpath(bundle.parent)) / bundle.name
    place = "/".join(folder.parts[-3:])
    verified = _check_sealed(folder, place)
    check_apart(url, folder.parent)
    _check_same_chain(store, folder, verified)
    files = {**_keys(keys_beside(folder.parent)), **_files(folder, place)}
    present = {**store.sizes(KEYS_FOLDER), **store.sizes(place)}
    copied = sum(_copy(store, name, path, present.get(name)) for name, path in files.items())
    return ArchivedBundle(f"{store.address}/{place}", copied, len(files) - copied)


def _copy(store: Store, name: str, path: Path, present: int | None) -> bool:
    """Copy a file unless it is `present` with a size, compare it, and return whether it is new."""
    with reported_as(ContentError, "It cannot be archived", file=name):
        content = read_plain(path, LARGEST_OBJECT, follows_links=False)
    is_new = present is None and store.make(name, content)
    is_same = present in (None, len(content))
    if not is_same or digest(store.read(name, len(content))) != digest(content):
        problem = "has other content under this name; nothing was overwritten"
        problem = "returned content that differs from what was written" if is_new else problem
        raise ArchiveError(f"The archive {problem}.", next_step=_COMPARE, file=name)
    return is_new


@contextmanager
def fetch_evidence(url: str, *, limits: TransferLimits | None = None) -> Iterator[Path]:
    """
    Yield the evidence at `url` (a bundle, a tenant, a whole tree) as a folder for `verify_tree`.

    Evidence in an object store is copied to a temporary folder, with the keys beside the tenants; a
    folder is used directly. Raises `ArchiveError` if the store fails or contains too much,
    `ContentError` for an object that is not evidence, `SettingsError` if there is nothing.
    """
    store = Store(url, limits)
    if store.folder is not None:
        yield store.folder
        return
    sizes = store.sizes()
    if not sizes:
        raise SettingsError(f"There is nothing at {store.address}.")
    with scratch_folder() as temporary:
        parts = store.address.partition("://")[2].split("/")
        place = temporary.resolve().joinpath(*parts[-4:])
        _fetch_files(store, sizes, place)
        depths = [name.count("/") for name in sizes if name.rpartition("/")[2] == STATEMENT_NAME]
        # The keys are 3 folders up for a bundle, 2 for a connector, 1 for a tenant,
        # 0 for the whole tree.
        above = max(0, 3 - min(depths, default=3))
        if 0 < above < len(parts):
            beside = Store(store.address.rsplit("/", above)[0], store.limits)
            _fetch_files(beside, beside.sizes(KEYS_FOLDER), place.parents[above - 1])
        yield place


def _fetch_files(store: Store, sizes: Mapping[str, int], folder: Path) -> None:
    """Copy objects into `folder`; raise if one is too large or has an unsafe file name."""
    for name, size in sizes.items():
        for part in name.split("/"):
            is_plain = part not in ("", ".", "..") and not set(part) & set("\\:\0")
            if not is_plain or len(part.encode(errors="replace")) > _LONGEST_NAME:
                raise ContentError("An object of this name is not evidence.", file=repr(name))
        if size > LARGEST_OBJECT:
            raise ContentError(
                f"It has {size:,} bytes; the limit is {LARGEST_OBJECT:,}.", file=name
            )

    def fetch(name: str) -> None:
        content = store.read(name, sizes[name])
        if len(content) != sizes[name]:
            raise ArchiveError(
                f"It does not have its listed size ({sizes[name]:,} bytes).",
                next_step="Try again when nobody writes there.",
                file=name,
            )
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for _ in pool.map(fetch, sizes):
                pass
        finally:
            pool.shutdown(cancel_futures=True)


def _check_sealed(bundle: Path, place: str) -> VerifiedBundle:
    """
    Verify `bundle` with the key beside it; raise unless it is finished and unaltered.

    That key proves that nothing was altered, not that it is trusted.
    """
    if bundle.name.startswith(".") and is_there(bundle / STATEMENT_NAME):
        raise ArchiveError(
            "It is not finished: a run was interrupted before its last step.",
            next_step="The tenant's next run finishes it; then archive again.",
            file=place,
        )
    if not is_bundle(bundle):
        raise SettingsError(f"{bundle} is not a sealed bundle.")
    try:
        return verify_bundle(bundle, TrustAnchors(exported_keys(keys_beside(bundle.parent))))
    except SignatureError:
        raise ContentError(
            f"No key in the folder {KEYS_FOLDER} beside its tenant has signed its content.",
            file=STATEMENT_NAME,
        ) from None
    except NOT_UNDERSTOOD as error:
        # NOTE: its key may have signed something that no runbook writes.
        raise ContentError(
            f"It is signed, but cannot be understood ({type(error).__name__}).", file=place
        ) from None


def _check_same_chain(store: Store, bundle: Path, verified: VerifiedBundle) -> None:
    """
    Raise `ChainError` if the archive contains another chain than that of `bundle`.

    NOTE: a statement implies all earlier ones, so it compares only the newest archived one that
    it can. The bundle's own statement is compared with the other files.
    """
    connector = "/".join(bundle.parts[-3:-1])
    own = f"{connector}/{bundle.name}/{STATEMENT_NAME}"
    statements = [name for name in store.sizes(connector) if name.endswith(f"/{STATEMENT_NAME}")]
    ours = _own_chain(bundle, verified)
    for statement in sorted({*statements} - {own}, reverse=True):
        content = store.read(statement, LARGEST_ENVELOPE)
        try:
            link = claimed_link(content)
        except EvidenceError as error:
            raise ContentError(
                f"It is not the statement of a bundle, so its chain is unknown ({error}).",
                file=statement,
            ) from None
        before = ours.get(link.sequence - 1)
        same = ours.get(link.sequence)
        if before not in (None, link.sha256) or same not in (None, digest(content)):
            raise ChainError(
                f"The archive contains another chain of {connector}: its number {link.sequence} "
                f"is {statement.split('/')[2]}, which does not belong to the chain of "
                f"{bundle.name}.",
                next_step=_ANOTHER_CHAIN,
            )
        if before or same:
            return


def _own_chain(bundle: Path, verified: VerifiedBundle) -> dict[int, str | None]:
    """Return digests of statements by number, as far as the bundles here tell."""
    chain: dict[int, str | None] = {}
    for folder in bundles_in(bundle.parent):
        with suppress(OSError, EvidenceError):
            content = read_plain(folder / STATEMENT_NAME, LARGEST_ENVELOPE)
            link = claimed_link(content)
            chain |= {link.sequence - 1: link.sha256, link.sequence: digest(content)}
    own = verified.link
    return chain | {own.sequence - 1: own.sha256, own.sequence: verified.statement}


def _keys(folder: Path) -> dict[str, Path]:
    """Return the key files that a verifier needs beside the bundles, and no others."""
    unreadable = {key.path for key in find_unreadable_keys(folder, PUBLIC_SUFFIX, LARGEST_KEY)}
    plain = (
        path for path in {*folder.glob(f"*{PUBLIC_SUFFIX}")} - unreadable if not path.is_symlink()
    )
    return {f"{KEYS_FOLDER}/{path.name}": path for path in sorted(plain)}


def _files(folder: Path, place: str) -> dict[str, Path]:
    """Return a bundle's files by their names in the archive, its statement last."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    paths.sort(key=lambda path: path == folder / STATEMENT_NAME)
    return {f"{place}/{path.relative_to(folder).as_posix()}": path for path in paths}
