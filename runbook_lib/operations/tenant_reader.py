"""
Read the tenants of an evidence folder: their journals, the watch's rows, the list of tenants.

Every command and page reads tenants here, so that all show the same. No tenant's settings are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from runbook_lib.config.settings import Settings
from runbook_lib.config.workspace import (
    evidence_folder,
    journal_path,
)
from runbook_lib.connectors.registry import (
    broken_connectors,
    find_procedure,
    working_procedures,
)
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.engine.run_view import RunView
from runbook_lib.engine.tenant_names import tenants_of
from runbook_lib.engine.tenant_run import new_run_id
from runbook_lib.errors import RunbookError, describe_error
from runbook_lib.evidence.reports.phrases import sealed_on
from runbook_lib.evidence.reports.tenant_status import (
    CustomerRow,
    TenantStatus,
    sorted_statuses,
)
from runbook_lib.operations.customer_list import CustomerList, customer_rows
from runbook_lib.operations.customer_rows import KnownAccount
from runbook_lib.operations.journal_summary import JournalSummary, summarize
from runbook_lib.operations.tenant_list import read_list
from runbook_lib.operations.tenant_state import (
    KnownTenant,
    fleet_command,
    status_of,
    unusable_status,
)
from runbook_lib.operations.watch.watch_state import (
    RECORD_UNREADABLE,
    WatchedStep,
    WatchedTenant,
    WatchState,
    read_state,
)
from runbook_lib.run.advice import next_step
from runbook_lib.run.history import History
from runbook_lib.run.journal import Journal

NEVER_RUN = "Nobody has run it yet"


@dataclass(frozen=True, slots=True)
class TenantsOverview:
    """The tenants of an evidence folder; no more of each is kept, since there may be thousands."""

    statuses: Sequence[TenantStatus]
    """The state of each, the most urgent first."""
    customers: Sequence[CustomerRow] = ()
    """The customers who need something."""
    well: int = 0
    """The number of customers who need nothing."""
    notices: Sequence[str] = ()
    """Notices about unreadable files, such as a FILE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedRows:
    """The watch's rows of one connector of a tenant; empty if no watch polled it."""

    tenant: WatchedTenant | None = None
    """The watch's row of the tenant; `None` if no watch polled it."""
    steps: Sequence[WatchedStep] = ()
    """The results of its checks."""
    known_to: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Cause and place of an item → the person who acknowledged it."""
    accounts: Sequence[KnownAccount] = ()
    """The customers' accounts."""
    is_readable: bool = True
    """Whether the watch's state could be read."""


def read_tenants(
    evidence: str, now: datetime, *, file: Path | None = None, only: Iterable[str] = ()
) -> TenantsOverview:
    """
    Return the state of every listed tenant; with `only`, of the tenants with these names.

    `file` is a FILE that names tenants. Raises `SettingsError` if `evidence` is not a folder.
    """
    folder = evidence_folder(evidence)
    wanted = frozenset(only)
    listed = read_list(folder, file)
    journals = tenants_of(evidence)
    names = [
        name
        for name in dict.fromkeys((*journals, *listed.files))
        if name not in listed.left and (not wanted or name[0] in wanted)
    ]
    connectors = {connector for _, connector in names}
    working = working_procedures(connectors)
    broken = broken_connectors(connectors)
    statuses: list[TenantStatus] = []
    customers: list[CustomerRow] = []
    well = 0
    notices = [*listed.notices, *(" ".join(describe_error(error)) for error in broken.values())]
    with ExitStack() as stack:
        watch = _Watch(stack, folder)
        for tenant, connector in names:
            named_in = listed.files.get((tenant, connector), "")
            if connector in broken:
                statuses.append(_unreadable(tenant, connector, broken[connector]))
            elif connector not in working:
                statuses.append(_not_installed(tenant, connector, folder))
            elif (tenant, connector) not in journals:
                rows = watch.rows_of(tenant, connector)
                statuses.append(_never_run(tenant, connector, named_in, rows))
            else:
                try:
                    rows = watch.rows_of(tenant, connector)
                    known_tenant = read_tenant(tenant, connector, folder, now, rows, file=named_in)
                except RunbookError as error:
                    statuses.append(_unreadable(tenant, connector, error))
                else:
                    statuses.append(status_of(known_tenant, now))
                    open_rows = customer_rows(known_tenant.customers, now)
                    well += len(known_tenant.customers.accounts) - len(open_rows)
                    customers += open_rows
    ordered = sorted_statuses(statuses)
    return TenantsOverview(ordered, customers, well, [*notices, *watch.notices])


def read_tenant(
    tenant: str,
    connector: str,
    folder: Path,
    now: datetime,
    rows: WatchedRows,
    *,
    file: str = "",
) -> KnownTenant:
    """
    Return everything known of one connector of a tenant; `rows` are the watch's rows.

    Raises `JournalError` for a journal that cannot be understood.
    """
    # NOTE: the current settings belong to one tenant, and would void attestations about others.
    journal = Journal(journal_path(folder, tenant, connector), clock=lambda: now)
    run = RunView(
        procedure=find_procedure(connector),
        settings=Settings({}, {}),
        journal=journal,
        tenant=tenant,
        mode=Mode.HEADLESS,
        run_id=new_run_id(),
        key=read_key(journal.path.parent) or FingerprintKey(),
    )
    summary = summarize(run)
    state = summary.state
    following = next_step(state, run.procedure)
    bundle = journal.path.parent / summary.bundle if summary.bundle else None
    return KnownTenant(
        tenant=tenant,
        procedure=run.procedure,
        state=state,
        next_id=following.step.id if following else "",
        failing_since=_failing_since(summary, rows.steps),
        watched=rows.tenant,
        is_watch_readable=rows.is_readable,
        polled=rows.steps,
        answered_on=summary.answered_on,
        known_to=rows.known_to,
        customers=CustomerList(
            tenant=tenant,
            procedure=run.procedure,
            accounts=rows.accounts,
            values=summary.values,
            file=file,
            is_practice=state.sandbox,
        ),
        values=summary.values,
        run_outcome=summary.outcome,
        run_on=state.started_on,
        sealed_on=sealed_on(bundle.name) if bundle else "",
        bundle=bundle.relative_to(folder).as_posix() if bundle else "",
        unsealed=summary.unsealed,
        file=file,
    )


def _failing_since(summary: JournalSummary, rows: Iterable[WatchedStep]) -> dict[str, str]:
    """Return since when the newest checks of each step fail, in runs or for the watch."""
    since = dict(summary.failing_since)
    for row in rows:
        if row.current and row.current.outcome is Outcome.FAILED and row.seen_on:
            since[row.step] = min(filter(None, (since.get(row.step, ""), row.since)))
    return since


class _Watch:
    """The watch's state; `notices` name the parts that cannot be read, and hide nothing else."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._state: WatchState | None = None
        self._is_readable = True
        self.notices: dict[str, None] = {}
        try:
            self._state = stack.enter_context(read_state(folder))
        except RunbookError as error:
            self._is_readable = False
            self._note(error)

    def rows_of(self, tenant: str, connector: str) -> WatchedRows:
        """Return the rows of one connector of a tenant."""
        state = self._state
        key = f"{connector}/{tenant}"
        if state is None:
            return WatchedRows(is_readable=self._is_readable)
        try:
            return WatchedRows(
                tenant=state.tenant(key),
                steps=state.steps.read(tenant=key),
                known_to={
                    (row.cause, row.place): row.known_to
                    for row in state.items.read(tenant=key)
                    if row.acknowledged_by and not row.ended_on
                },
                accounts=[row.body for row in state.customers.read(tenant=key)],
            )
        except RunbookError as error:
            self._note(error)
        return WatchedRows(is_readable=False)

    def _note(self, error: RunbookError) -> None:
        self.notices[" ".join(describe_error(error))] = None


def _not_installed(tenant: str, connector: str, folder: Path) -> TenantStatus:
    """Return the state of a tenant whose connector is of a package that is not installed."""
    package = None
    is_practice = False
    with suppress(RunbookError, OSError):
        history = History()
        history.add_lines(Journal(journal_path(folder, tenant, connector)).read_all())
        is_practice = True in history.practice
        last = history.runs.get(history.last_run)
        package = last.started.procedure.package if last else None
    name = f"{package.name} {package.version}, from its source" if package else "that brings it"
    status = unusable_status(
        tenant,
        None,
        connector,
        title=f"The connector {connector} is not installed",
        advice=f"Install the package {name}. Until then its evidence can only be verified.",
    )
    return replace(status, is_practice=is_practice)


def _unreadable(tenant: str, connector: str, error: RunbookError) -> TenantStatus:
    return unusable_status(
        tenant,
        working_procedures([connector]).get(connector),
        connector,
        title=RECORD_UNREADABLE,
        reason=str(error),
        advice=error.diagnostics(),
    )


def _never_run(tenant: str, connector: str, file: str, rows: WatchedRows) -> TenantStatus:
    """Return the state of a tenant without a journal: why it could not start, if that is known."""
    return unusable_status(
        tenant,
        working_procedures([connector]).get(connector),
        connector,
        title=NEVER_RUN,
        advice="Run it once.",
        command=fleet_command(tenant, file),
        watched=rows.tenant,
    )
