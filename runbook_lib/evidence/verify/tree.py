"""
Verify all evidence at or under a path: bundles, and each tenant's chain of them.

Each gets a verdict; a rejected one does not stop the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.files import is_there
from runbook_lib.errors import ContentError, SettingsError
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, exported_keys
from runbook_lib.evidence.verify.discovery import (
    UnreadablePath,
    find_unreadable_keys,
    homes_below,
    is_bundle,
)
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import Verdict, verdict_on, verify_home


def verify_tree(
    path: Path, trust: TrustAnchors | None = None, connector: str = ""
) -> Iterator[Verdict]:
    """
    Yield a verdict for each bundle at or under `path`, and for each tenant's chain.

    Without `trust`, the keys beside a tenant count: they prove that nothing was altered, not by
    whom it was signed. With `connector`, only for the bundles and chains of that one. Raises
    `SettingsError` if there is no evidence at all.
    """
    path = Path(os.path.realpath(path))
    verdicts: Iterable[Verdict] = ()
    if is_bundle(path):
        verdict = verdict_on(path, trust or _keys_beside(path.parent))
        owner = verdict.verified.claims.procedure.id if verdict.verified else connector
        if verdict.verified and verdict.verified.older:
            number = len(verdict.verified.older)
            older = f"{number} older lines: only the bundles that they are from prove them."
            verdict = replace(verdict, notes=(*verdict.notes, older))
        if connector and owner != connector:
            error = ContentError(f"It belongs to the connector {owner}.")
            verdict = Verdict(verdict.path, error=error)
        verdicts = [verdict]
    elif is_there(path) and not path.is_file():
        verdicts = _below(path, trust, connector)
    is_sealed = False
    for verdict in verdicts:
        is_sealed = is_sealed or not verdict.is_unsealed
        yield verdict
    if not is_sealed:
        of = f" of {connector}" if connector else ""
        raise SettingsError(
            f"There is no evidence{of} in {path}: nothing is sealed there.",
            next_step="Name a bundle, a tenant's folder, or the evidence folder.",
        )


def _keys_beside(home: Path) -> TrustAnchors:
    return TrustAnchors(exported_keys(keys_beside(home)))


def _below(path: Path, trust: TrustAnchors | None, connector: str) -> Iterator[Verdict]:
    """Yield the verdicts on the tenants under `path`."""
    seen: set[Path] = set()
    for home in homes_below(path):
        if isinstance(home, UnreadablePath):
            yield Verdict(home.path, error=ContentError(home.why, file=home.name))
            continue
        if connector and home.name != connector:
            continue
        keys = keys_beside(home)
        if keys not in seen:
            seen.add(keys)
            for unreadable in find_unreadable_keys(keys, PUBLIC_SUFFIX):
                yield Verdict(
                    unreadable.path, error=ContentError(unreadable.why, file=unreadable.name)
                )
        yield from verify_home(home, trust or _keys_beside(home))
