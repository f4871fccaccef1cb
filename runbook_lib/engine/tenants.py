"""
The tenants of an evidence folder, each with the state of its connectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.config.formats import domain_name
from runbook_lib.config.settings import Settings, suggestion
from runbook_lib.config.workspace import evidence_folder, journal_path, refuse_twin, tenant_name
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.journal import JOURNAL_NAME, Journal
from runbook_lib.core.model import Mode
from runbook_lib.core.state import HistoryReader, RunState
from runbook_lib.engine.known_run import KnownRun
from runbook_lib.engine.run import new_run_id
from runbook_lib.engine.watch.answers import WATCH_NAME, read_watched
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.reports.phrases import sealed_on

# A fleet has thousands.
_MOST_LISTED = 10
_IS_NEW = "There is no record of {name} yet. Begin it as a new tenant, in PRODUCTION? (yes or no)"
_YES = ("y", "yes")


@dataclass(frozen=True, slots=True)
class TenantState:
    """
    What is known of one connector of a tenant, from its journal alone.

    `looked_on` is when a watch last looked at it: empty for never, `None` if that cannot be read.
    """

    tenant: str
    connector: str
    state: RunState
    looked_on: str | None = ""
    sealed_on: str = ""

    @property
    def done(self) -> int:
        """Return how many steps are settled."""
        return sum(step.is_settled for step in self.state.steps.values())


def tenants_of(evidence: str = "") -> list[tuple[str, str]]:
    """
    Return tenant and connector of each journal in the evidence folder, sorted.

    Raises `SettingsError` if that is not a folder.
    """
    folder = evidence_folder(evidence)
    folders = [path.parent for path in folder.glob(f"*/*/{JOURNAL_NAME}")]
    return sorted((path.parent.name, path.name) for path in folders if _is_tenant(path))


def tenant_states(evidence: str = "") -> list[TenantState]:
    """
    Return the state of each connector of each tenant, without any tenant's settings.

    Raises `SettingsError` if `evidence` is not a folder, `JournalError` for a
    journal that cannot be understood.
    """
    return [tenant_state(tenant, connector, evidence) for tenant, connector in tenants_of(evidence)]


def tenant_names(evidence: str = "") -> list[str]:
    """Return the name of each tenant in the evidence folder; raises like `tenants_of`."""
    return list(dict.fromkeys(name for name, _ in tenants_of(evidence)))


def listed(names: Sequence[str]) -> str:
    """Return the names as text; of many only the first."""
    more = len(names) - _MOST_LISTED
    shown = ", ".join(names[:_MOST_LISTED])
    return f"{shown} and {more:,} more (`runbook tenants`)" if more > 0 else shown


def unknown_tenant(tenant: str, evidence: str = "", *, begin: str = "") -> str:
    """Return a message that a tenant is not known, with the known ones and how to begin it."""
    known = tenants_of(evidence)
    if connectors := [connector for name, connector in known if name == tenant]:
        return f"The tenant {tenant} has only {listed(connectors)}: name it with --connector."
    names = tenant_names(evidence)
    near = suggestion(tenant, names)
    others = f" There are {listed(names)}: name one with --tenant." if names else ""
    begin = begin or f"To begin it, run: runbook lab --tenant {tenant}"
    return f"There is no record yet of a tenant called {tenant}.{near}{others} {begin}"


def chosen_tenant(settings: Settings, evidence: str, ask: Callable[[str], str] | None) -> str:
    """
    Return the tenant of a walkthrough: the Service Domain, else what a person answers.

    A Service Domain may be answered as its input takes it, as an address, say; what is neither that
    nor a name is asked again. A new tenant is begun only after a yes. `ask` asks, or raises
    `EOFError` if nobody answers: without an answer this raises `SettingsError`.
    """
    named = str(settings.values.get("service_domain", ""))
    if named:
        return tenant_name(named)
    names = tenant_names(evidence)
    there_are = f" There are: {listed(names)}." if names else ""
    question = f"Whose app is this?{there_are} Service Domain (acme-h.cyclr.com), or a name"
    reason = ""
    while True:
        try:
            if ask is None:
                raise EOFError
            name = _answered_tenant(ask(f"{reason}{question}").strip(), names, evidence)
            if name in names or ask(_IS_NEW.format(name=name)).strip().casefold() in _YES:
                return name
            reason = ""
        except EOFError:
            msg = f"No tenant is named.{there_are}"
            advice = (
                "Name the tenant (--tenant, RUNBOOK_TENANT) or set RUNBOOK_CYCLR_SERVICE_DOMAIN."
            )
            raise SettingsError(msg, next_step=advice) from None
        except SettingsError as error:
            reason = f"{error} "


def _answered_tenant(answer: str, names: Sequence[str], evidence: str) -> str:
    """Return the tenant that a person named; raises `SettingsError` if that is not a name."""
    if answer in names:
        return answer
    name = answer
    with suppress(ValueError):
        name = domain_name(answer)
    refuse_twin(evidence_folder(evidence), tenant_name(name))
    return name


def tenant_state(tenant: str, connector: str, evidence: str = "") -> TenantState:
    """
    Return the state of one connector of a tenant, from its journal alone.

    Raises `SettingsError` and `JournalError` like `tenant_states`.
    """
    # NOTE: the current settings belong to one tenant, and would void attestations about others.
    journal = Journal(journal_path(evidence_folder(evidence), tenant, connector))
    key = read_key(journal.path.parent)
    run = KnownRun(
        find_procedure(connector),
        Settings({}, {}),
        journal,
        tenant,
        Mode.HEADLESS,
        new_run_id(),
        key=key or FingerprintKey(),
        reader=HistoryReader(journal, key),
    )
    # NOTE: what only a watch knows must not hide what the journal says.
    looked_on = None
    with suppress(SettingsError):
        looked_on = read_watched(journal.path.with_name(WATCH_NAME)).looked_on
    sealed = run.last_sealed
    sealed_at = sealed_on(sealed[0].name) if sealed else ""
    return TenantState(tenant, connector, run.whole_state, looked_on, sealed_at)


def _is_tenant(folder: Path) -> bool:
    try:
        tenant_name(folder.parent.name)
    except SettingsError:
        return False
    return folder.name in connector_names()
