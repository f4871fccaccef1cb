"""
Verify all evidence at or under a path: bundles, each tenant's chain of them, and fleets.

Each gets a verdict; a rejected one does not stop the others.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.config.workspace import FLEET_FOLDER, keys_beside
from runbook_lib.core.files import is_there
from runbook_lib.errors import ContentError, SettingsError
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX
from runbook_lib.evidence.verify.chain import verdict_on, verify_home
from runbook_lib.evidence.verify.discovery import (
    Unseen,
    fleet_homes_below,
    homes_below,
    is_bundle,
    odd_keys,
)
from runbook_lib.evidence.verify.fleet import FleetBundles, note_bundle, verify_fleets
from runbook_lib.evidence.verify.verdict import Verdict, refusal
from runbook_lib.evidence.verify.verify import Trust


def verify_tree(path: Path, trust: Trust, connector: str = "") -> Iterator[Verdict]:
    """
    Yield a verdict for each bundle at or under `path`, each tenant's chain, and each fleet's run.

    With `connector`, only for the bundles and chains of that one. Raises
    `SettingsError` if there is no evidence at all.
    """
    path = Path(os.path.realpath(path))
    if FLEET_FOLDER in (path.name, path.parent.name):
        yield from _fleets_alone(path, trust)
        return
    if is_bundle(path):
        verdict = verdict_on(path, trust, path.name)
        owner = verdict.verified.run["procedure"]["id"] if verdict.verified else connector
        if connector and owner != connector:
            error = ContentError(f"It belongs to the connector {owner}.")
            verdict = Verdict(verdict.path, error=error)
        yield verdict
        return
    is_sealed = False
    for verdict in _below(path, trust, connector) if _is_searched(path) else ():
        is_sealed = is_sealed or not verdict.is_unsealed
        yield verdict
    if not is_sealed:
        raise _no_evidence(path, connector)


def _below(path: Path, trust: Trust, connector: str) -> Iterator[Verdict]:
    """Yield the verdicts on the tenants under `path`, then, of all connectors, on the fleets."""
    seen: set[Path] = set()
    bundles = defaultdict[Path, FleetBundles](lambda: defaultdict(dict))
    for home in homes_below(path):
        if isinstance(home, Unseen):
            yield Verdict(home.path, error=ContentError(home.why, file=home.name))
            continue
        if connector and home.name != connector:
            continue
        keys = keys_beside(home)
        if keys not in seen:
            seen.add(keys)
            for odd in odd_keys(keys, PUBLIC_SUFFIX):
                yield Verdict(odd.path, error=ContentError(odd.why, file=odd.name))
        for verdict in verify_home(home, trust):
            if verdict.verified:
                note_bundle(bundles[home.parent.parent], verdict.path, verdict.verified)
            yield verdict
    for fleets in () if connector else fleet_homes_below(path):
        yield from _fleets(fleets, trust, bundles[fleets.parent])


def _no_evidence(path: Path, connector: str = "") -> SettingsError:
    of = f" of {connector}" if connector else ""
    msg = f"There is no evidence{of} in {path}: nothing is sealed there."
    advice = "Name a bundle, a tenant's folder, or the evidence folder."
    return SettingsError(msg, next_step=advice)


def _fleets_alone(path: Path, trust: Trust) -> Iterator[Verdict]:
    """Yield the verdicts on the fleets' runs at `path`, after a look at every bundle."""
    fleets = path if path.name == FLEET_FOLDER else path.parent
    bundles: FleetBundles = defaultdict(dict)
    is_seen = False
    for home in homes_below(fleets.parent):
        if isinstance(home, Path) and home.parent.parent == fleets.parent:
            for verdict in verify_home(home, trust):
                if verdict.verified:
                    note_bundle(bundles, verdict.path, verdict.verified)
    for verdict in _fleets(fleets, trust, bundles):
        # NOTE: what is wrong with a chain concerns each run of it.
        if verdict.path in (path, fleets) or path == fleets:
            is_seen = True
            yield verdict
    if not is_seen:
        raise _no_evidence(path)


def _fleets(fleets: Path, trust: Trust, bundles: FleetBundles) -> Iterator[Verdict]:
    """Yield the verdicts on the fleets' runs in a folder; what cannot be seen is refused."""
    try:
        yield from verify_fleets(fleets, trust, bundles)
    except OSError as error:
        yield refusal(fleets, error)


def _is_searched(path: Path) -> bool:
    """Return whether there is something other than a regular file at `path`."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return is_there(path)
