"""
The functions that people call from notebooks and scripts of their own; `runbook_lib` offers them.

Here are those that only read: verify a bundle, explain an error text, read a tenant's state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.connectors.explanation import explanation_document
from runbook_lib.connectors.registry import DEFAULT, find_procedure
from runbook_lib.core.model import RunOutcome
from runbook_lib.engine.tenant_names import unknown_tenant
from runbook_lib.engine.tenant_run import open_known
from runbook_lib.errors import UnknownTenantError
from runbook_lib.evidence.reports.step_table import StepTable, step_table, table_html
from runbook_lib.evidence.signing.keys import read_public_keys
from runbook_lib.evidence.verify import verify
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.run.advice import next_step


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorExplanation:
    """The meaning of an error text, and the first thing to do."""

    is_known: bool
    """Whether a text, a subcode or a code decided it; otherwise the rest is the closest guess."""

    title: str = ""
    """The error's title; empty if nothing resembles the text."""

    meaning: str = ""
    """The meaning, in a sentence or two."""

    who_acts: str = ""
    """The party that must act."""

    first: str = ""
    """The first thing to do, as a sentence."""

    for_customer: str = ""
    """A sentence for your customer; empty if it does not concern customers."""

    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All that `runbook explain --json` prints: causes, steps, sources, further guesses."""

    def __str__(self) -> str:
        """Return title, meaning and first action, a line each."""
        return "\n".join(filter(None, (self.title, self.meaning, self.first)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSteps:
    """The state of a tenant's steps. Jupyter displays it as a table."""

    tenant: str
    """The tenant's name."""

    connector: str
    """The id of its connector."""

    outcome: RunOutcome
    """The outcome of the whole procedure."""

    steps: StepTable
    """A line for each step."""

    next_step: str = ""
    """The id of the step that is next; empty if every step is done."""

    advice: str = ""
    """The advice for that step."""

    def __repr__(self) -> str:
        """Return the outcome and all steps, as a terminal shows them."""
        return repr(self.steps)

    def _repr_html_(self) -> str:
        return table_html(self.steps)


def verify_bundle(path: str | Path, trusted_keys: Iterable[str | Path]) -> verify.VerifiedBundle:
    """
    Verify signature, files and claims of the sealed bundle in the folder `path`, offline.

    `trusted_keys` are files with public keys in PEM, or folders of such files; no key is trusted by
    default. Raises `SettingsError` for a key that cannot be read, and an `EvidenceError` that names
    the file and the reason at the first fault.
    """
    keys = read_public_keys(map(Path, trusted_keys))
    return verify.verify_bundle(Path(path), TrustAnchors(keys))


def explain(text: str, connector: str = DEFAULT) -> ErrorExplanation:
    """
    Return what an error text of the connector's systems means, and what to do first.

    `text` is a message, a response's JSON, a log line, or a question in your own words. Raises
    `SettingsError` for a text without a word or digit, and for an unknown connector.
    """
    document = explanation_document(text, find_procedure(connector))
    error = document["errors"][0] if document["errors"] else {}
    names = ("title", "meaning", "who_acts", "first", "for_customer")
    texts = {name: str(error.get(name, "")) for name in names}
    return ErrorExplanation(is_known=document["known"], document=document, **texts)


def status(
    tenant: str = "", *, connector: str = DEFAULT, evidence: str = "", env_file: str = ""
) -> TenantSteps:
    """
    Return the state of a tenant's steps over all its runs; nothing is checked and nothing written.

    `tenant` defaults to the one that the settings name, `evidence` to the project's folder, and
    `env_file` to the nearest `.env`. Raises `UnknownTenantError` if the tenant has no journal.
    """
    run = open_known(find_procedure(connector), tenant=tenant, evidence=evidence, env_file=env_file)
    if not run.journal.path.exists():
        raise UnknownTenantError(unknown_tenant(run.tenant, evidence), next_step="")
    state = run.whole_state
    following = next_step(state, run.procedure)
    practice = "SANDBOX · " if run.is_sandbox else ""
    return TenantSteps(
        tenant=run.tenant,
        connector=run.procedure.id,
        outcome=state.outcome,
        steps=step_table(state, f"{practice}{run.tenant} ({run.procedure.id}): {state.outcome}"),
        next_step=following.step.id if following else "",
        advice=following.advice if following else "",
    )
