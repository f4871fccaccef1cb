"""
The names of the tenants in an evidence folder, and the question for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from runbook_lib.config.formats import domain_name
from runbook_lib.config.settings import Settings, suggestion
from runbook_lib.config.workspace import (
    evidence_folder,
    is_sandbox,
    tenant_name,
)
from runbook_lib.connectors.registry import connector_names
from runbook_lib.core.files import JOURNAL_NAME
from runbook_lib.core.json_text import parse_own
from runbook_lib.errors import SettingsError
from runbook_lib.text import list_some

# A fleet has thousands.
_MOST_LISTED = 10
_YES = ("y", "yes")
_MAX_LINE_BYTES = 1024 * 1024


def tenants_of(evidence: str = "") -> list[tuple[str, str]]:
    """
    Return tenant and connector of each journal in the evidence folder, sorted.

    Raises `SettingsError` if that is not a folder.
    """
    folder = evidence_folder(evidence)
    # NOTE: a journal that is a link to nowhere is one that cannot be read, not none.
    folders = [path for path in folder.glob("*/*") if os.path.lexists(path / JOURNAL_NAME)]
    return sorted((path.parent.name, path.name) for path in folders if _is_tenant(path))


def tenant_names(evidence: str = "") -> list[str]:
    """Return the name of each tenant in the evidence folder; raises like `tenants_of`."""
    return list(dict.fromkeys(name for name, _ in tenants_of(evidence)))


def list_some_names(names: Sequence[str]) -> str:
    """Return the names as text; of many only the first."""
    shown = list_some(names, _MOST_LISTED)
    return f"{shown} (`runbook status`)" if len(names) > _MOST_LISTED else shown


def unknown_tenant(tenant: str, evidence: str = "", *, begin: str = "") -> str:
    """Return a message that a tenant is not known, with the known ones and how to begin it."""
    known = tenants_of(evidence)
    if connectors := [connector for name, connector in known if name == tenant]:
        return (
            f"The tenant {tenant} has only {list_some_names(connectors)}: name it with --connector."
        )
    names = tenant_names(evidence)
    near = suggestion(tenant, names)
    others = f" There are {list_some_names(names)}: name one with --tenant." if names else ""
    begin = begin or f"To begin it, run: runbook lab --tenant {tenant}"
    return f"There is no record yet of a tenant called {tenant}.{near}{others} {begin}"


class TenantQuestion:
    """
    The question for the tenant of a walkthrough, where no setting names it.

    The caller shows `text` and takes the answer through `read`. It begins a tenant with a `doubt`
    only if the person says so.
    """

    text = "Whose app is this?"
    field = "Service Domain, or a name"
    example = "acme-h.cyclr.com"

    def __init__(self, settings: Settings, evidence: str) -> None:
        self._evidence = evidence
        self.world = "SANDBOX" if is_sandbox(settings.values) else "LIVE"
        names = tenant_names(evidence)
        known = f" There are: {list_some_names(names)}." if names else ""
        self.known = f"A tenant is the company whose app this is, by any name that you give.{known}"

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
        return tenant_name(name)

    def doubt(self, name: str) -> str:
        """Return a sentence if there is no record of the tenant; empty if there is one."""
        names = tenant_names(self._evidence)
        if name in names:
            return ""
        return f"There is no record of {name} yet.{suggestion(name, names)}"

    def refusal(self) -> SettingsError:
        """Return the error for a session without a person who answers."""
        return SettingsError(
            f"No tenant is named. {self.known}".strip(),
            next_step="Name the tenant (--tenant, RUNBOOK_TENANT) or set "
            "RUNBOOK_CYCLR_SERVICE_DOMAIN.",
        )


def configured_tenant(settings: Settings) -> str:
    """Return the tenant that the settings name by its Service Domain; empty without one."""
    named = str(settings.values.get("service_domain", ""))
    return tenant_name(named) if named else ""


def chosen_tenant(settings: Settings, evidence: str, ask: Callable[[str], str] | None) -> str:
    """
    Return the tenant of a walkthrough: the Service Domain, else a person's answer.

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


def _is_tenant(folder: Path) -> bool:
    try:
        tenant_name(folder.parent.name)
    except SettingsError:
        return False
    return folder.name in connector_names() or _has_entry(folder / JOURNAL_NAME)


def _has_entry(journal: Path) -> bool:
    """
    Return whether a journal has a first line.

    NOTE: it may be of a connector whose package is not installed, so its name tells nothing.
    """
    try:
        with journal.open("rb") as lines:
            entry = parse_own(lines.readline(_MAX_LINE_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and {"seq", "type", "data"} <= entry.keys()
