"""
Send a test message to a tenant's receivers, or to each receiver of a FILE's tenants, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.doctor import ExaminedItem
from runbook_lib.engine.tenant_run import open_known
from runbook_lib.errors import ExitCode, RunbookError, describe_error
from runbook_lib.operations.watch.channels import try_channels
from runbook_lib.operations.watch.channels.base import NotSentError
from runbook_lib.operations.watch.poll import open_watched


@dataclass(frozen=True, slots=True)
class TrialMessages:
    """The test messages of one tenant: the channels that accepted them, or a failure."""

    tenant: str
    message: str
    exit_code: ExitCode = ExitCode.COMPLETE


def try_receivers(tenants: Iterable[FleetTenant], **options: Any) -> Iterator[TrialMessages]:
    """
    Yield for each tenant which channels accepted a test message, or why one was not sent.

    A receiver that several tenants share gets one message. `options` are those of `open_watched`.
    """
    tried: dict[tuple[str, ...], str] = {}
    for tenant in tenants:
        given = {**tenant.given, **tenant.references}
        try:
            run = open_watched(tenant.procedure, given, tenant=tenant.tenant, **options)
            with closing(run):
                accepted = try_channels(run, tried)
        except NotSentError as error:
            yield TrialMessages(tenant.tenant, str(error), ExitCode.INCOMPLETE)
        except RunbookError as error:
            yield TrialMessages(tenant.tenant, " ".join(describe_error(error)), error.exit_code)
        else:
            yield TrialMessages(tenant.tenant, f"Accepted: {', '.join(accepted)}.")


def examine_messages(
    procedure: Procedure,
    tenants: Iterable[FleetTenant],
    env_file: str,
    evidence: str,
    **options: Any,
) -> list[ExaminedItem]:
    """
    Return what became of a test message to each receiver of `tenants`, or else of the settings.

    `options` are those of `open_watched`.
    """
    trials = try_receivers(tenants, env_file=env_file, evidence=evidence, **options)
    items = [
        ExaminedItem(f"Test message of {trial.tenant}", trial.message, trial.exit_code)
        for trial in trials
    ]
    if items:
        return items
    try:
        with closing(open_known(procedure, tenant="", evidence=evidence, env_file=env_file)) as run:
            message = f"accepted: {', '.join(try_channels(run))}"
            return [ExaminedItem("Test message", message)]
    except RunbookError as error:
        text = f"{error} {error.diagnostics()}"
        return [ExaminedItem("Test message", text, ExitCode.INCOMPLETE)]
