"""
The tenants of a fleet's run, counted in verified bundles.

Each bundle of a fleet names the run, the number of tenants that it selected, and the digest of
their list. So a bundle alone shows how many there must be, and a list of names who is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from runbook_lib.core.files import JOURNAL_NAME
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.model import FleetRun
from runbook_lib.errors import ChainError, ContentError, EvidenceError, JournalError
from runbook_lib.evidence.sealing import announced_bundles
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import NOT_UNDERSTOOD, VerifiedBundle, verify_bundle
from runbook_lib.run.events import BundleSealed
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import RunState
from runbook_lib.text import list_some, pluralize

_MOST_NAMED = 20
# So many selections are tried to tell which tenants of a file a run without all bundles selected.
_MOST_TRIED = 1_000

Name = tuple[str, str]


def sealed_for(
    journal: Journal, fleet_id: str, trust: TrustAnchors
) -> Iterator[tuple[VerifiedBundle, RunState]]:
    """
    Yield the verified bundles beside `journal` that belong to a fleet's run, the newest first.

    Bundles that do not verify are passed over. Raises `JournalError` and `OSError`.
    """
    home = journal.path.parent
    for sealed in reversed(announced_bundles(journal)):
        if sealed.fleet_run == fleet_id:
            with suppress(EvidenceError, OSError, JournalError, *NOT_UNDERSTOOD):
                yield verified_for(home, sealed, fleet_id, trust)


def newest_sealed(
    home: Path, trust: TrustAnchors, bundle: str = ""
) -> tuple[VerifiedBundle, RunState] | None:
    """
    Verify the newest bundle in `home`, or the one called `bundle`; `None` without any.

    Raises like `verified_for`.
    """
    announced = announced_bundles(Journal(home / JOURNAL_NAME))
    last = next((sealed for sealed in reversed(announced) if bundle in ("", sealed.bundle)), None)
    return verified_for(home, last, "", trust) if last else None


def verified_for(
    home: Path, sealed: BundleSealed, fleet_id: str, trust: TrustAnchors
) -> tuple[VerifiedBundle, RunState]:
    """
    Verify the bundle that a journal announces as `sealed`, for a fleet's run if named.

    Raises `EvidenceError` with the reason if it does not verify or is another bundle, and the
    errors of reading.
    """
    verified = verify_bundle(home / sealed.bundle, trust)
    record = verified.record
    if record is None:
        raise ContentError("The bundle is of a later version of the runbook.")
    if fleet_id and (record.fleet_run is None or record.fleet_run.id != fleet_id):
        raise ContentError("The bundle does not belong to this run of the fleet.")
    owner = (record.tenant, record.procedure.id)
    if owner != home.parts[-2:] or verified.statement != sealed.statement:
        raise ContentError("The bundle is not the one that was sealed here.")
    return verified, record


def is_done(record: RunState, fleet_run: FleetRun) -> bool:
    """Return whether a verified record belongs to this run and to the tenant's current entry."""
    own = record.fleet_run
    return record.not_run is None and own is not None and own == fleet_run


@dataclass
class _Found:
    """The verified bundles of one fleet's run."""

    run: FleetRun
    """The run, according to its first bundle."""

    began: str
    """The start of the earliest run of a tenant."""

    tenants: dict[Name, tuple[str, bool]] = field(default_factory=dict)
    """Each tenant with a bundle: when its newest run began, and whether it did not start."""

    keys: set[tuple[bool, str]] = field(default_factory=set)
    """The keys that signed, each with whether it signed practice."""

    selections: set[tuple[int, str]] = field(default_factory=set)
    """The selections that bundles name, which must be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetVerdict:
    """The number of tenants of a fleet's run with a verified bundle."""

    fleet_id: str = ""
    """The id of the run; empty if no bundle names one."""

    selected: int = 0
    """The tenants that it selected."""

    present: int = 0
    """The tenants with a verified bundle."""

    not_run: int = 0
    """The tenants whose bundle records that they could not start."""

    not_run_yet: int = 0
    """The tenants of the file that no run selected; they have a verdict of their own."""

    notes: tuple[str, ...] = ()
    """Oddities, and tenants that were not selected."""

    error: EvidenceError | None = None
    """The reason why the run is refused; `None` if it is accepted."""

    def document(self) -> dict[str, Any]:
        """Return the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {
            "fleet_run": self.fleet_id,
            "accepted": self.error is None,
            "selected": self.selected,
            "present": self.present,
            "not_run": self.not_run,
            "not_run_yet": self.not_run_yet,
            "notes": self.notes,
        }
        return document if self.error is None else {**document, "reason": str(self.error)}


class FleetCount:
    """
    Counts the tenants of each fleet's run.

    With `tenants`, the names in a file of tenants, none may be missing from the newest run, nor
    from the newest run that selected a tenant of the file; if the newest run selected only some of
    them, neither from the newest of the largest runs. A tenant that no run selected has not run
    yet. With `fleet_id`, none of that run may be missing.
    """

    def __init__(self, tenants: Collection[Name] | None = None, fleet_id: str = "") -> None:
        self._names = None if tenants is None else set(tenants)
        self._wanted = fleet_id
        self._found: dict[str, _Found] = {}

    def note(self, verified: VerifiedBundle) -> None:
        """Count a verified bundle, if a fleet started its run."""
        claims = verified.claims
        fleet_run = claims.fleet_run
        if fleet_run is None:
            return
        began = claims.started_on
        found = self._found.setdefault(fleet_run.id, _Found(fleet_run, began))
        found.began = min(found.began, began)
        found.selections.add((fleet_run.selected, fleet_run.selected_digest))
        found.keys.add((claims.sandbox, verified.key_id))
        name = (claims.tenant, claims.procedure.id)
        here = (began, bool(claims.not_run))
        found.tenants[name] = max(here, found.tenants.get(name, here))

    def verdicts(self) -> Iterator[FleetVerdict]:
        """Yield a verdict on each fleet's run, the oldest first, and on one that is missing."""
        runs = sorted(self._found.values(), key=lambda found: (found.began, found.run.id))
        must_be_whole, unselected = self._to_be_whole(runs)
        for found in runs:
            yield self._verdict(found, is_whole=found.run.id in must_be_whole)
        if self._wanted and self._wanted not in self._found:
            error = ChainError(f"No verified bundle names the fleet's run {self._wanted}.")
            yield FleetVerdict(fleet_id=self._wanted, error=error)
        elif unselected and unselected == self._names:
            names = _listed(unselected)
            error = ChainError(f"No verified bundle names a fleet's run that selected {names}.")
            yield FleetVerdict(error=error)
        elif unselected:
            note = f"Not run yet: {_listed(unselected)}."
            number = len(unselected)
            yield FleetVerdict(selected=number, not_run_yet=number, notes=(note,))

    def _to_be_whole(self, runs: Sequence[_Found]) -> tuple[set[str], set[Name]]:
        """Return the ids of the runs that must be complete, and the tenants that none selected."""
        if self._wanted or self._names is None:
            return {self._wanted}, set()
        must_be_whole = {found.run.id for found in runs[-1:]}
        if runs and runs[-1].run.selected < len(self._names):
            largest = max(reversed(runs), key=lambda found: found.run.selected)
            must_be_whole.add(largest.run.id)
        # The tenants whose newest run is not found yet.
        left = set(self._names)
        for found in reversed(runs):
            selected = self._selected_of(found)
            if left & selected:
                must_be_whole.add(found.run.id)
            left -= selected
        return must_be_whole, left

    def _selected_of(self, found: _Found) -> set[Name]:
        """Return the tenants of the file that a run selected; all, if it may be any of them."""
        names = self._names or set()
        present = names & set(found.tenants)
        lacking = max(found.run.selected - len(found.tenants), 0)
        absent = names - present
        for missing in islice(combinations(absent, lacking), _MOST_TRIED):
            if selection_digest({*found.tenants, *missing}) == found.run.selected_digest:
                return {*present, *missing}
        # NOTE: a single missing tenant is now known to be none of the file.
        is_known = lacking <= 1 and len(absent) <= _MOST_TRIED
        return present if is_known or not present else names

    def _verdict(self, found: _Found, *, is_whole: bool) -> FleetVerdict:
        """Return the verdict on a run; with `is_whole`, missing tenants are an error."""
        notes = []
        for is_sandbox in (False, True):
            keys = sorted(key[:16] for practice, key in found.keys if practice == is_sandbox)
            if len(keys) > 1:
                notes.append(f"Its bundles are signed by {len(keys)} keys: {', '.join(keys)}.")
        fault = _contradiction(found)
        if not fault and is_whole:
            fault = self._missing(found)
            others = (self._names or set()) - set(found.tenants)
            if others and not fault:
                notes.append(f"It did not select {_listed(others)}.")
        return FleetVerdict(
            fleet_id=found.run.id,
            selected=found.run.selected,
            present=len(found.tenants),
            not_run=sum(is_not_run for _, is_not_run in found.tenants.values()),
            notes=tuple(notes),
            error=ChainError(fault) if fault else None,
        )

    def _missing(self, found: _Found) -> str:
        """Return the tenants that the run selected without a bundle; empty if all have one."""
        present = set(found.tenants)
        selected = found.run.selected
        lacking = selected - len(present)
        if not lacking:
            return ""
        many = f"{pluralize(lacking, 'tenant')} of {selected} {'is' if lacking == 1 else 'are'}"
        if self._names is None:
            return f"{many} missing. A file of tenants (--tenants) names them."
        absent = self._selected_of(found) - present
        if selection_digest({*present, *absent}) == found.run.selected_digest:
            return f"{many} missing: {_listed(absent)}."
        text = f"{many} missing. The file of tenants is not as it was when this run began."
        if absent:
            text += f" Of those that it names now, these have no bundle: {_listed(absent)}."
        if len(absent) < lacking:
            unnamed = pluralize(lacking - len(absent), "missing tenant")
            text += f" At least {unnamed} it names no more."
        return text


def _contradiction(found: _Found) -> str:
    """Return the contradictions between the bundles of one run; empty without any."""
    if len(found.selections) > 1:
        return "Its bundles name different selections of tenants."
    present = set(found.tenants)
    run = found.run
    is_other = len(present) == run.selected and selection_digest(present) != run.selected_digest
    if is_other or len(present) > run.selected:
        return f"Its bundles are of other tenants than the {run.selected:,} that it selected."
    return ""


def _listed(names: Iterable[Name]) -> str:
    """Return tenants with their connectors as text; of many the first."""
    texts = [f"{tenant} ({connector})" for tenant, connector in sorted(names)]
    return list_some(texts, _MOST_NAMED)
