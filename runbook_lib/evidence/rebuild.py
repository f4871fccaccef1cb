"""
Rebuild a lost journal from the lines in its bundles.

Only bundles that verify with the trusted keys are used, and each part must
follow the lines before it. An existing journal is completed, never replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbook_lib.core.files import JOURNAL_NAME, draft_beside, sync_folder
from runbook_lib.core.journal import BEFORE_THE_FIRST, Journal, JournalLine, LineRef, read_lines
from runbook_lib.core.model import BundleSealed, EventType, JournalEnd
from runbook_lib.core.run_state import open_history
from runbook_lib.errors import (
    ChainError,
    ContentError,
    EvidenceError,
    JournalError,
    SettingsError,
    reason_of,
)
from runbook_lib.evidence.bundle import bundle_name
from runbook_lib.evidence.chain import SEALED_PREFIX, lock_sealing, name_announced
from runbook_lib.evidence.journal_excerpt import copy_lines, excerpt_lines
from runbook_lib.evidence.verify.discovery import bundles_in
from runbook_lib.evidence.verify.verdict import NOT_UNDERSTOOD
from runbook_lib.evidence.verify.verify import TrustAnchors, VerifiedBundle, verify_bundle

KEPT_JOURNAL = (
    "Nothing was written. Keep that journal: move it out of this folder, then run `runbook "
    "journal` again. Lines that only that journal has will not be part of the chain."
)


@dataclass(frozen=True, slots=True)
class RebuiltJournal:
    """The rebuilt journal."""

    lines: int
    """The number of its lines."""

    until: str
    """The time of the last line."""

    added: int
    """The number of lines that were added."""

    unused: Mapping[str, str]
    """Unused bundle → the reason."""


@dataclass(slots=True)
class _GrowingJournal:
    """The growing journal."""

    wanted: set[int]
    """The numbers of the lines that bundles name."""

    last: LineRef = BEFORE_THE_FIRST
    """The last line."""

    until: str = ""
    """The time of the last line; empty without any."""

    known: dict[int, LineRef] = field(default_factory=lambda: {0: BEFORE_THE_FIRST})
    """Number of a line that bundles name → its position."""

    pieces: list[tuple[Path, int]] = field(default_factory=list)
    """The files to append, each from a byte on."""

    def follow(self, line: JournalLine, shift: int) -> None:
        """Add the next line, `shift` bytes after its position in its own file."""
        seq, digest, start, end = line.ref
        self.last = LineRef(seq, digest, start + shift, end + shift)
        self.until = line.entry.at
        if seq in self.wanted:
            self.known[seq] = self.last

    def add(self, bundle: Path, verified: VerifiedBundle) -> None:
        """Add a bundle's missing lines; raises `ChainError` if existing lines differ."""
        excerpt = verified.excerpt
        before = self.last
        start = 0
        self._compare(excerpt.first - 1, excerpt.previous, bundle)
        for line in excerpt_lines(bundle, excerpt):
            if line.ref.seq <= before.seq:
                start = line.ref.end
                self._compare(line.ref.seq, line.ref.digest, bundle)
            else:
                self.follow(line, before.end - start)
        if self.last != before:
            self.pieces.append((bundle / JOURNAL_NAME, start))

    def _compare(self, seq: int, digest: str, bundle: Path) -> None:
        here = self.last if seq == self.last.seq else self.known.get(seq)
        if here is not None and here.digest != digest:
            raise ChainError(
                f"Line {seq} differs from the one that {bundle.name} copied.",
                file=JOURNAL_NAME,
                next_step=KEPT_JOURNAL,
            )


def rebuild_journal(home: Path, trust: TrustAnchors) -> RebuiltJournal:
    """
    Rebuild or complete the journal in `home` from the bundles beside it.

    It announces again the bundles that the journal does not announce. Before it writes anything, it
    raises `ChainError` if the existing journal is another one or is damaged, `ContentError` if no
    bundle verifies, and `SettingsError` without any bundle.
    """
    if not home.is_dir():
        raise SettingsError(f"There is no folder {home}.", next_step="Name another --tenant.")
    with lock_sealing(home):
        bundles, unused = _verified(home, trust)
        parts = [verified.excerpt for verified in bundles.values()]
        wanted = {excerpt.first - 1 for excerpt in parts} | {excerpt.lines for excerpt in parts}
        rebuilt = _GrowingJournal(wanted)
        journal = Journal(home / JOURNAL_NAME)
        with journal.locked():
            for line in read_lines(journal.path):
                rebuilt.follow(line, 0)
            before = rebuilt.last
            for folder, verified in bundles.items():
                if verified.excerpt.first > rebuilt.last.seq + 1:
                    gap = f"{rebuilt.last.seq + 1} to {verified.excerpt.first - 1}"
                    unused[folder.name] = f"The lines before its own ({gap}) are missing."
                else:
                    rebuilt.add(folder, verified)
            if rebuilt.pieces:
                _place(journal.path, before, rebuilt)
        used = [verified for folder, verified in bundles.items() if folder.name not in unused]
        _announce(home, used, rebuilt)
    return RebuiltJournal(rebuilt.last.seq, rebuilt.until, rebuilt.last.seq - before.seq, unused)


def _verified(home: Path, trust: TrustAnchors) -> tuple[dict[Path, VerifiedBundle], dict[str, str]]:
    """Return the bundles that verify, ordered by their first lines, and why others do not."""
    bundles: dict[Path, VerifiedBundle] = {}
    unused: dict[str, str] = {}
    # NOTE: only the lost journal knew whether a bundle without its final name was announced; it is
    # complete, so its lines count.
    for folder in (*bundles_in(home), *sorted(home.glob(f"{SEALED_PREFIX}*"))):
        try:
            verified = verify_bundle(folder, trust)
            owner = (verified.run["tenant"], verified.run["procedure"]["id"])
            if owner != home.parts[-2:]:
                raise ContentError(
                    f"It belongs to the tenant {owner[0]} and the connector {owner[1]}."
                )
            bundles[folder] = verified
        except (EvidenceError, JournalError) as error:
            unused[folder.name] = str(error)
        except OSError as error:
            unused[folder.name] = f"It cannot be read: {reason_of(error)}."
        except NOT_UNDERSTOOD:
            unused[folder.name] = "It is signed, but cannot be understood."
    if not bundles:
        if not unused:
            raise SettingsError(
                f"There is no bundle in {home}.",
                next_step="Fetch the bundles from an archive or a backup.",
            )
        name, why = next(iter(unused.items()))
        raise ContentError(f"No bundle here verifies with these keys: {why}", file=name)
    in_order = sorted(
        bundles.items(), key=lambda bundle: (bundle[1].excerpt.first, bundle[1].link.sequence)
    )
    return dict(in_order), unused


def _place(path: Path, before: LineRef, rebuilt: _GrowingJournal) -> None:
    """Replace the journal atomically by its own lines and the pieces that follow."""
    with draft_beside(path) as draft:
        draft.touch()
        if before.seq:
            copy_lines(path, 0, before.end, draft)
            shutil.copymode(path, draft)
        for piece, start in rebuilt.pieces:
            copy_lines(piece, start, piece.stat().st_size, draft)
        last = BEFORE_THE_FIRST
        for line in read_lines(draft):
            last = line.ref
        if last != rebuilt.last:
            raise ChainError("A bundle was changed while it was read.", file=JOURNAL_NAME)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)


def _announce(home: Path, bundles: Iterable[VerifiedBundle], rebuilt: _GrowingJournal) -> None:
    """Announce missing bundles again; then give each bundle its name."""
    reader = open_history(home)
    known = {line.sealed.statement for line in reader.read().index.sealed}
    for bundle in bundles:
        if bundle.statement in known:
            continue
        run_id = str(bundle.run["run_id"])
        name = bundle_name(str(bundle.run["started_on"]), run_id)
        last = rebuilt.known[bundle.excerpt.lines]
        sealed = BundleSealed(
            bundle=name,
            sequence=bundle.link.sequence,
            statement=bundle.statement,
            journal=JournalEnd(lines=last.seq, head=last.digest, end=last.end),
            fleet_run=bundle.fleet_run.id if bundle.fleet_run else "",
        )
        reader.journal.append(EventType.BUNDLE_SEALED, sealed, run_id=run_id)
    name_announced(home, reader.read().index.sealed)
