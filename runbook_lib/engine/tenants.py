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
from runbook_lib.config.workspace import (
    evidence_folder,
    is_sandbox,
    journal_path,
    refuse_twin,
    tenant_name,
)
from runbook_lib.connectors.registry import (
    broken_connectors,
    connector_names,
    find_procedure,
    working_procedures,
)
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.journal import JOURNAL_NAME, Journal
from runbook_lib.core.model import Mode
from runbook_lib.core.state import HistoryReader, RunState
from runbook_lib.engine.known_run import KnownRun
from runbook_lib.engine.run import new_run_id
from runbook_lib.engine.watch.state import last_polled_on
from runbook_lib.errors import BrokenConnectorError, SettingsError
from runbook_lib.evidence.reports.phrases import sealed_on

# A fleet has thousands.
_MOST_LISTED = 10
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


@dataclass(frozen=True, slots=True)
class UnreadableTenant:
    """A connector of a tenant whose state cannot be read, since the connector is broken."""

    tenant: str
    connector: str
    error: BrokenConnectorError


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

    Those of a connector that is broken are left out: see `unreadable_tenants`. Raises
    `SettingsError` if `evidence` is not a folder, `JournalError` for a journal that cannot be
    understood.
    """
    working = working_procedures()
    return [
        tenant_state(tenant, connector, evidence)
        for tenant, connector in tenants_of(evidence)
        if connector in working
    ]


def unreadable_tenants(evidence: str = "") -> list[UnreadableTenant]:
    """Return the tenants of each connector that is broken; raises like `tenants_of`."""
    broken = broken_connectors()
    known = tenants_of(evidence) if broken else []
    return [
        UnreadableTenant(tenant, connector, broken[connector])
        for tenant, connector in known
        if connector in broken
    ]


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


class TenantQuestion:
    """
    The question whose app a walkthrough is about, where no setting names the tenant.

    Who asks it shows `text`, takes the answer through `read`, and begins a tenant of which there
    is a `doubt` only if the person says so.
    """

    text = "Whose app is this?"
    field = "Service Domain, or a name"
    example = "acme-h.cyclr.com"

    def __init__(self, settings: Settings, evidence: str) -> None:
        self._evidence = evidence
        self.world = "SANDBOX" if is_sandbox(settings.values) else "PRODUCTION"
        names = tenant_names(evidence)
        self.known = f"There are: {listed(names)}." if names else ""

    def read(self, answer: str) -> str:
        """
        Return the tenant that a person named: its name, or a Service Domain as its step takes it.

        Raises `SettingsError` if that cannot be a tenant's name.
        """
        answer = answer.strip()
        if answer in tenant_names(self._evidence):
            return answer
        name = answer
        with suppress(ValueError):
            name = domain_name(answer)
        refuse_twin(evidence_folder(self._evidence), tenant_name(name))
        return name

    def doubt(self, name: str) -> str:
        """Return that there is no record of the tenant, or nothing."""
        names = tenant_names(self._evidence)
        if name in names:
            return ""
        return f"There is no record of {name} yet.{suggestion(name, names)}"

    def refusal(self) -> SettingsError:
        """Return the error for a place where nobody answers."""
        return SettingsError(
            f"No tenant is named. {self.known}".strip(),
            next_step="Name the tenant (--tenant, RUNBOOK_TENANT) or set "
            "RUNBOOK_CYCLR_SERVICE_DOMAIN.",
        )


def configured_tenant(settings: Settings) -> str:
    """Return the tenant that the settings name by its Service Domain, or nothing."""
    named = str(settings.values.get("service_domain", ""))
    return tenant_name(named) if named else ""


def chosen_tenant(settings: Settings, evidence: str, ask: Callable[[str], str] | None) -> str:
    """
    Return the tenant of a walkthrough: the Service Domain, else what a person answers.

    An answer that cannot be a tenant is asked again. A new tenant is begun only after a yes. `ask`
    asks, or raises `EOFError` if nobody answers: without an answer this raises `SettingsError`.
    """
    named = configured_tenant(settings)
    if named:
        return named
    question = TenantQuestion(settings, evidence)
    if ask is None:
        raise question.refusal()
    words = (question.text, question.known, f"{question.field} ({question.example})")
    prompt = " ".join(filter(None, words))
    reason = ""
    while True:
        try:
            name = question.read(ask(f"{reason}{prompt}"))
            doubt = question.doubt(name)
            begin = f"{doubt} Begin it as a new tenant, in {question.world}? (yes or no)"
            if not doubt or ask(begin).strip().casefold() in _YES:
                return name
            reason = ""
        except EOFError:
            raise question.refusal() from None
        except SettingsError as error:
            reason = f"{error} "


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
    looked_on = last_polled_on(evidence_folder(evidence), f"{connector}/{tenant}")
    sealed = run.last_sealed
    sealed_at = sealed_on(sealed[0].name) if sealed else ""
    return TenantState(tenant, connector, run.whole_state, looked_on, sealed_at)


def _is_tenant(folder: Path) -> bool:
    try:
        tenant_name(folder.parent.name)
    except SettingsError:
        return False
    return folder.name in connector_names()
