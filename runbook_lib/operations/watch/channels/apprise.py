"""Messages to other services by Apprise (https://github.com/caronc/apprise)."""

from __future__ import annotations

import logging
from pathlib import Path

from runbook_lib.core.files import open_plain
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import reason_of
from runbook_lib.operations.watch.channels.base import Channel, NotSentError
from runbook_lib.operations.watch.watch_state import Digest


class AppriseChannel(Channel):
    """The addresses in Apprise's own configuration, which the runbook does not read."""

    name = "apprise"
    settings = ("apprise_file",)

    def address(self, run: Run, person: str) -> tuple[str, ...]:
        """Return the configuration file, and the person whom the message names."""
        return str(run.values["apprise_file"]), person

    def send(self, run: Run, digest: Digest) -> None:
        """Let Apprise send it, past the transport."""
        try:
            import apprise  # noqa: PLC0415  (an extra)
        except ImportError:
            advice = "pip install 'facebook-marketing-runbook[apprise]'"
            raise NotSentError(f"Apprise is not installed: {advice}") from None
        # NOTE: its log of a failure quotes addresses, which are secrets.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        config = apprise.AppriseConfig()
        sender = apprise.Apprise()
        path = Path(str(run.values["apprise_file"])).absolute()
        try:
            open_plain(path).close()
        except OSError as error:
            raise NotSentError(f"{path}: {reason_of(error)}") from None
        if not (config.add(str(path)) and sender.add(config) and len(sender)):
            raise NotSentError(f"Apprise finds no address in {path}")
        if not sender.notify(title=digest.subject, body=digest.text, body_format="text"):
            raise NotSentError("a service did not accept it")
