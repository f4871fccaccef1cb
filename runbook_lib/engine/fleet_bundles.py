"""
The bundles of one fleet's run, and the results that they prove.

A bundle names its fleet's run and request itself. The record is not read here.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from runbook_lib.config.workspace import connector_folder, tenant_name
from runbook_lib.errors import EvidenceError, JournalError, SettingsError
from runbook_lib.evidence.chain import finish_interrupted
from runbook_lib.evidence.fleet_record import TenantResult
from runbook_lib.evidence.fleet_run import claimed_fleet
from runbook_lib.evidence.verify.chain import verdict_on
from runbook_lib.evidence.verify.discovery import bundles_in
from runbook_lib.evidence.verify.verify import Trust


class RunBundles:
    """The bundles of the run `fleet_id` in `evidence` that were found so far."""

    def __init__(self, evidence: Path, fleet_id: str) -> None:
        self._evidence = evidence
        self._fleet_id = fleet_id
        self._found: dict[tuple[str, str], set[str]] = defaultdict(set)

    @property
    def names(self) -> set[str]:
        """Return the folder of each bundle, relative to the evidence folder."""
        return {name for names in self._found.values() for name in names}

    def add(self, result: TenantResult) -> None:
        """Note the bundle of a result, if it has one."""
        if result.bundle is not None:
            self._found[result.name].add(result.bundle)

    def finish(self, tenant: str, connector: str) -> None:
        """Rename a bundle whose sealing was interrupted before it had its name."""
        with suppress(OSError, JournalError, EvidenceError):
            finish_interrupted(self._evidence / tenant / connector)

    def find(self, tenant: str, connector: str) -> None:
        """Look for bundles of a tenant that say that they are of this run."""
        try:
            home = self._evidence / tenant_name(tenant) / connector_folder(connector)
            bundles = bundles_in(home)
        except (SettingsError, OSError):
            return
        self._found[tenant, connector] |= {
            f"{tenant}/{connector}/{bundle.name}"
            for bundle in bundles
            if claimed_fleet(bundle) == self._fleet_id
        }

    def result(self, name: tuple[str, str], key: str, trust: Trust) -> TenantResult | None:
        """
        Return the result of a tenant that its bundle proves, if one does.

        The bundle is verified as `verify` does, is of this run, this tenant and connector,
        and of the request with the digest `key`; of several the last in their chain counts.
        """
        fitting = []
        for bundle in self._found[name]:
            folder = self._evidence / bundle
            verified = verdict_on(folder, trust, folder.name).verified
            if verified is None or verified.fleet_id != self._fleet_id:
                continue
            result = verified.result
            if result and (result.bundle, result.name, result.key) == (bundle, name, key):
                fitting.append(verified)
        last = max(fitting, key=lambda verified: verified.link.sequence, default=None)
        return last.result if last else None
