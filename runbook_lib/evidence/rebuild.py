"""
A journal that was lost, or replaced by an older one.

Verified bundles have its lines. A journal that does not announce a bundle beside it is refused
before anything is written: the chain could not be verified any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.files import JOURNAL_NAME, open_plain, read_plain, write_whole
from runbook_lib.errors import (
    ChainError,
    ContentError,
    EvidenceError,
    FormatError,
    SettingsError,
)
from runbook_lib.evidence.bundle import (
    SEALED_PREFIX,
    bundle_name,
    lock_sealing,
    statements_in,
)
from runbook_lib.evidence.claims import check_format, read_claims
from runbook_lib.evidence.sealing import finish_sealing, require_order
from runbook_lib.evidence.signing.keys import exported_keys, own_public_keys
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    TEST_RESULT,
    digest,
    open_envelope,
)
from runbook_lib.evidence.verify.discovery import bundles_in
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import VerifiedBundle, verdict_on
from runbook_lib.run.events import BundleSealed
from runbook_lib.run.journal import GENESIS, Journal, Line

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


def rebuild_journal(home: Path, trust: TrustAnchors) -> RebuiltJournal:
    """
    Rebuild or complete the journal in `home` from the bundles beside it.

    It announces again the bundles that the journal does not announce. Before it writes anything, it
    raises `ChainError` if the existing journal is another one or is damaged, `ContentError` if no
    bundle verifies, and `SettingsError` without any bundle.
    """
    if not home.is_dir():
        raise SettingsError(f"There is no folder {home}.", next_step="Name another --tenant.")
    unused: dict[str, str] = {}
    with lock_sealing(home):
        bundles = _proven_bundles(home, trust, unused)
        journal = Journal(home / JOURNAL_NAME)
        with journal.locked():
            before = journal.read_all()
            lines = list(before)
            for folder, bundle in bundles:
                first = bundle.claims.journal.first
                if first > len(lines) + 1:
                    gap = f"{len(lines) + 1} to {first - 1}"
                    unused[folder.name] = f"The lines before its own ({gap}) are missing."
                else:
                    _add_lines(lines, bundle, folder)
            if len(lines) > len(before):
                write_whole(journal.path, b"".join(line.encoded for line in lines))
        journal = Journal(journal.path)
        _announce(journal, (bundle for folder, bundle in bundles if folder.name not in unused))
        finish_sealing(journal)
    until = lines[-1].head.at
    return RebuiltJournal(len(lines), until, len(lines) - len(before), unused)


def _proven_bundles(
    home: Path, trust: TrustAnchors, unused: dict[str, str]
) -> list[tuple[Path, VerifiedBundle]]:
    """Return the bundles that verify, ordered by their lines; add why others do not to `unused`."""
    bundles: list[tuple[Path, VerifiedBundle]] = []
    # NOTE: only the lost journal knew whether a bundle without its name was announced; it is
    # complete, so its lines count.
    for folder in (*bundles_in(home), *sorted(home.glob(f"{SEALED_PREFIX}*"))):
        verdict = verdict_on(folder, trust)
        bundle = verdict.verified
        if bundle is None or verdict.error:
            unused[folder.name] = str(verdict.error)
        elif (bundle.claims.tenant, bundle.claims.procedure.id) != home.parts[-2:]:
            unused[folder.name] = f"It belongs to the tenant {bundle.claims.tenant}."
        else:
            bundles.append((folder, bundle))
    if not bundles and not unused:
        raise SettingsError(
            f"There is no bundle in {home}.",
            next_step="Fetch the bundles from an archive or a backup.",
        )
    if not bundles:
        name = min(unused)
        message = f"No bundle here verifies with these keys: {unused[name]}"
        raise ContentError(message, file=name)
    return sorted(bundles, key=lambda item: item[1].link.sequence)


def _add_lines(lines: list[Line], bundle: VerifiedBundle, folder: Path) -> None:
    """Add the bundle's own lines to `lines`; raises `ChainError` if those there differ."""
    for line in bundle.own:
        number = line.head.seq
        before = lines[number - 2].digest if number > 1 else GENESIS
        is_same = number > len(lines) or lines[number - 1].digest == line.digest
        if not is_same or line.head.prev != before:
            raise ChainError(
                f"Line {number} differs from the one that {folder.name} copied.",
                file=JOURNAL_NAME,
                next_step=KEPT_JOURNAL,
            )
        if number > len(lines):
            lines.append(line)


def _announce(journal: Journal, bundles: Iterable[VerifiedBundle]) -> None:
    """Announce the bundles that the journal does not announce."""
    lines = journal.read_all()
    known = {line.event.statement for line in lines if line.kind is BundleSealed}
    for bundle in bundles:
        claims = bundle.claims
        sealed = BundleSealed(
            bundle=bundle_name(claims.started_on, claims.run_id),
            sequence=bundle.link.sequence,
            statement=bundle.statement,
            last=claims.journal.lines,
            fleet_run=claims.fleet_run.id if claims.fleet_run else "",
        )
        if bundle.statement not in known:
            journal.append(sealed, run=claims.run_id)


def require_whole_journal(journal: Journal) -> None:
    """
    Raise `ChainError` if the journal does not announce a bundle of this tenant beside it.

    It raises that, too, if the journal announces bundles out of order. A journal that lacks one is
    an older one that was put back. Whether the bundle's key is to be trusted is
    the verifier's decision; here it only shows that nobody made up a statement to stop the runs.
    """
    home = journal.path.parent
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    statements = statements_in(home)
    lines = journal.read_all()
    _require_known_gaps(lines, statements)
    sealed = [line.event for line in lines if line.kind is BundleSealed]
    require_order(sealed)
    announced = {event.statement for event in sealed}
    names = {event.bundle for event in sealed}
    keys = exported_keys(keys_beside(home))
    tenant, connector = home.parts[-2:]
    for path in statements:
        if path.parent.name in names or path.parent.is_symlink():
            continue
        try:
            content = read_plain(path, LARGEST_ENVELOPE)
            signed = open_envelope(content, keys, TEST_RESULT)
            check_format(signed)
            claims = read_claims(signed)
        except FormatError as error:
            raise error.of(f"{path.parent.name}/{path.name}") from None
        except (EvidenceError, OSError):
            continue
        is_own = (claims.tenant, claims.procedure.id) == (tenant, connector)
        if is_own and digest(content) not in announced:
            raise ChainError(
                f"It does not announce {path.parent.name}: an older journal replaced it.",
                file=JOURNAL_NAME,
                next_step=f"Stop. Complete it from the bundles: `runbook journal --tenant {tenant} "
                f"--connector {connector} --evidence {quote(str(home.parents[1]))} "
                f"--trusted-keys {quote(str(own_public_keys()))}`; then run again. A bundle that "
                "is not used there belongs elsewhere: move its folder away, and keep it.",
            )


def _require_known_gaps(lines: Iterable[Line], statements: Iterable[Path]) -> None:
    """Raise `ChainError` if a line lacks its data, and no bundle beside the journal does."""
    left = {line.encoded: line.head.seq for line in lines if not line.data}
    for statement in statements if left else ():
        with suppress(OSError), open_plain(statement.with_name(JOURNAL_NAME)) as copied:
            for text in copied:
                left.pop(text, None)
    if left:
        raise ChainError(
            f"It withholds line {min(left.values())}; no bundle here does.",
            file=JOURNAL_NAME,
            next_step="Stop. Keep the file, and restore the journal from a backup or the bundles.",
        )
