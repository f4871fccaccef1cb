"""
The archive: write-once copies of sealed bundles and of the public keys that signed them.

Its layout is that of the evidence folder, so `verify_tree` reads it the same way. It has no
journals: an archive takes only files that never change. So it cannot show that the last bundles of
a chain were removed, and it sees no older version of an object. The bucket's Object Lock prevents
both.

An archive contains one chain per tenant and connector. It rejects a bundle of another chain before
it writes anything. Two processes that archive two chains at once may both find the place empty.
Even then no object is overwritten, and `verify` rejects the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.files import read_plain
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.errors import (
    ArchiveError,
    ChainError,
    ContentError,
    EvidenceError,
    SettingsError,
    reported_as,
)
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.bundle import STATEMENT_NAME, statements_in
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, claimed_link, digest
from runbook_lib.evidence.verify.verify import Verdict

LARGEST_OBJECT = 256 * 1024 * 1024
MOST_OBJECTS = 100_000
# Parts of 1 to 255 bytes that no system takes for a path.
_OBJECT_NAME = re.compile(rb"(?:(?!\.\.?(?:/|\Z))[^/\\:\0]{1,255}(?:/(?!\Z)|\Z))+")


def check_apart(store: Store, home: Path) -> None:
    """
    Raise `SettingsError` if `store` is a folder that overlaps the evidence.

    `home` contains a journal and its bundles; all evidence is two folders above.
    """
    evidence = keys_beside(home.resolve()).parent
    folder = store.folder
    if folder and (folder.is_relative_to(evidence) or evidence.is_relative_to(folder)):
        raise SettingsError(
            f"The archive {folder} overlaps the evidence itself.",
            next_step="Name a folder outside of it, or an object store.",
        )


def archive_bundle(verdict: Verdict, store: Store) -> str:
    """
    Copy a verified bundle to `store`, and return its address there.

    `verdict` is of `verify_tree`. The bundle goes to <tenant>/<connector>/<name>/, its public key
    to keys/. It skips objects that exist, so an interrupted copy resumes. It overwrites nothing,
    and reads everything back. The statement comes last, so half a copy does not count.

    Raises `SettingsError` if the store overlaps the evidence. Raises `ArchiveError` if the store
    fails or contains something else, or if the bundle is not finished; `StoreUnavailableError` if
    the store would reject any bundle. Before anything is copied, it raises the verdict's error, and
    `ChainError` if the archive has another chain.
    """
    bundle = verdict.path
    # NOTE: a hidden folder is a bundle whose run was interrupted before its last step.
    if verdict.error or verdict.verified is None or bundle.name.startswith("."):
        raise verdict.error or ArchiveError("It is not finished: the tenant's next run does that.")
    check_apart(store, bundle.parent)
    keys = keys_beside(bundle.parent)
    connector = bundle.parent.relative_to(keys.parent).as_posix()
    _check_same_chain(store, bundle, connector)
    paths = sorted(bundle.rglob("*"), key=lambda path: path == bundle / STATEMENT_NAME)
    paths.insert(0, keys / f"{verdict.verified.key_id}{PUBLIC_SUFFIX}")
    for path in paths:
        if not path.is_dir():
            _copy(store, path, path.relative_to(keys.parent).as_posix())
    return f"{store.address}/{connector}/{bundle.name}"


def _copy(store: Store, path: Path, name: str) -> None:
    """Copy a file unless the object exists, then compare both."""
    with reported_as(ContentError, "It cannot be archived", file=name):
        content = read_plain(path, LARGEST_OBJECT, follows_links=False)
    store.make(name, content)
    if digest(store.read(name, len(content))) != digest(content):
        raise ArchiveError(
            "The archive has other content under this name; nothing was overwritten.",
            next_step="Find out who wrote there, and verify both with `runbook verify`. The sealed "
            "bundle on this machine was not changed.",
            file=name,
        )


def _check_same_chain(store: Store, bundle: Path, connector: str) -> None:
    """
    Raise `ChainError` if the archive contains another chain than that of `bundle`.

    NOTE: a statement implies all earlier ones, so it compares only the newest archived one that
    it can.
    """
    ours = dict[int, str]()
    for path in (*statements_in(bundle.parent), bundle / STATEMENT_NAME):
        with suppress(OSError):
            ours |= _links(read_plain(path, LARGEST_ENVELOPE))
    for name in sorted(store.sizes(connector), reverse=True):
        if not name.endswith(f"/{STATEMENT_NAME}"):
            continue
        theirs = _links(store.read(name, LARGEST_ENVELOPE))
        shared = ours.keys() & theirs.keys()
        if any(ours[number] != theirs[number] for number in shared):
            raise ChainError(
                f"The archive contains another chain of {connector}: {name} is not in the chain "
                f"of {bundle.name}.",
                next_step="Nothing was written. Archive this folder to another address, or find "
                "out which of the two chains is the tenant's: an archive with both could never be "
                "verified.",
            )
        if shared:
            return


def _links(envelope: bytes) -> dict[int, str]:
    """Return the digests of a statement and of the one before it by number; empty if invalid."""
    with suppress(EvidenceError):
        link = claimed_link(envelope)
        return {link.sequence - 1: link.sha256, link.sequence: digest(envelope)}
    return {}


@contextmanager
def fetch_evidence(store: Store) -> Iterator[Path]:
    """
    Yield the evidence in `store` (a bundle, a tenant, a whole tree) as a folder for `verify_tree`.

    Evidence in an object store is copied to a temporary folder; a folder is used directly. Raises
    `ArchiveError` if the store fails, `ContentError` for an object that is not evidence, and
    `SettingsError` if there is nothing or too much.
    """
    if store.folder:
        yield store.folder
        return
    sizes = store.sizes()
    if not 0 < len(sizes) <= MOST_OBJECTS:
        raise SettingsError(
            f"There are {len(sizes)} objects at {store.address}: name a place with 1 to "
            f"{MOST_OBJECTS}, such as a tenant or a bundle."
        )
    for name, size in sizes.items():
        if size > LARGEST_OBJECT or not _OBJECT_NAME.fullmatch(name.encode(errors="replace")):
            problem = f"An object of this name and size ({size} bytes) is not evidence."
            raise ContentError(problem, file=repr(name))
    with scratch_folder() as temporary, ThreadPoolExecutor() as pool:
        # NOTE: `verify` compares a bundle with the names of the folders above it.
        place = temporary / store.address.replace("://", "/")

        def fetch(name: str) -> None:
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(store.read(name, sizes[name]))

        list(pool.map(fetch, sizes))
        yield place
