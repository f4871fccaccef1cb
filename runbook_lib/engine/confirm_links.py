"""
Links by which a second person confirms one step, once, without a login.

A link is a random token in the address. A file beside the journal, named by the token's digest, has
the step and the end of the link. Removing that file uses the link up. `confirmation` decides what
is recorded.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from runbook_lib.config.workspace import (
    connector_folder,
    evidence_folder,
    journal_path,
    tenant_name,
)
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.engine.confirmation import PreparedConfirmation, prepare_confirmation
from runbook_lib.engine.tenant_run import Run, open_known
from runbook_lib.errors import SettingsError

LINK_DAYS = 7
_FOLDER = "links"
_TOKEN_BYTES = 24
_LARGEST = 4_096
_GONE = "This link was used, has expired or never existed: ask for another one."
_NOTHING = "Nothing was recorded."


@dataclass(frozen=True, slots=True)
class ConfirmLink:
    """An unused link: its step, and the file that exists until it is used."""

    tenant: str
    """The tenant's name."""

    connector: str
    """The connector's id."""

    step: str
    """The step's id."""

    path: Path
    """The link's file, named by the SHA-256 of its token."""

    evidence: str
    """The evidence folder of the walkthrough that made the link."""

    env_file: str
    """The settings file of that walkthrough."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the link's token."""
        return self.path.stem

    def open_run(self) -> Run:
        """Return the tenant's run for reading; nothing is written."""
        return open_known(
            find_procedure(self.connector),
            tenant=self.tenant,
            evidence=self.evidence,
            env_file=self.env_file,
        )


def make_link(run: Run, step_id: str) -> str:
    """Return the last part of a new link's address: tenant, connector and token."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    folder = run.journal.path.parent / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    ends = timestamp(run.clock() + timedelta(days=LINK_DAYS))
    document = {"step": run.step(step_id).id, "ends": ends}
    write_whole(folder / _link_file_name(token), json.dumps(document).encode())
    return f"{run.tenant}/{run.procedure.id}/{token}"


def open_link(
    tenant: str,
    connector: str,
    token: str,
    *,
    evidence: str,
    env_file: str,
    clock: Callable[[], datetime] = utc_now,
) -> ConfirmLink:
    """
    Return an unused link; raises `SettingsError` if it is missing or has expired.

    `evidence` and `env_file` come from the walkthrough that made the link.
    """
    folder = journal_path(
        evidence_folder(evidence), tenant_name(tenant), connector_folder(connector)
    ).parent
    path = folder / _FOLDER / _link_file_name(token)
    try:
        document = json.loads(read_plain(path, _LARGEST))
        step = str(document["step"])
        ends = str(document["ends"])
    except (OSError, ValueError, LookupError, TypeError):
        raise SettingsError(_GONE, next_step=_NOTHING) from None
    if timestamp(clock()) > ends:
        with suppress(OSError):
            path.unlink()
        raise SettingsError(_GONE, next_step=_NOTHING)
    link = ConfirmLink(
        tenant=tenant,
        connector=connector,
        step=step,
        path=path,
        evidence=evidence,
        env_file=env_file,
    )
    # NOTE: its file may have come back, with a copy of the folder.
    if link.digest in link.open_run().history.links:
        raise SettingsError(_GONE, next_step=_NOTHING)
    return link


def confirm_by_link(
    link: ConfirmLink, by: str, note: str, *, is_no: bool = False
) -> PreparedConfirmation:
    """
    Record that `by` confirms the step, or says no, and use the link up.

    Raises `SettingsError` if the link was used meanwhile; if this person cannot
    confirm the step, the link stays usable.
    """
    confirmation = prepare_confirmation(
        find_procedure(link.connector),
        link.step,
        by=by,
        note=note,
        is_no=is_no,
        tenant=link.tenant,
        evidence=link.evidence,
        env_file=link.env_file,
        origin="a link for a second person",
        link=link.digest,
    )
    try:
        link.path.unlink()
    except FileNotFoundError:
        raise SettingsError(_GONE, next_step=_NOTHING) from None
    confirmation.record()
    return confirmation


def _link_file_name(token: str) -> str:
    return f"{hashlib.sha256(token.encode()).hexdigest()}.json"
