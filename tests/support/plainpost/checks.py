"""The connector's own check."""

from __future__ import annotations

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.findings import inconclusive
from runbook_lib.core.model import Finding
from runbook_lib.remote.http_messages import Request


@check("plainpost-takes-pair", needs=("app_id", "app_secret"))
def takes_pair(context: CheckContext) -> Finding:
    """Send the pair to the company's login."""
    secret = context.secrets["app_secret"].reveal()
    form = {"client_id": context.text("app_id"), "client_secret": secret}
    url = f"{context.text('login_url')}/oauth2/token"
    answer = context.session.send(Request(method="POST", url=url, form=form))
    return inconclusive(code="plainpost-answered", reason=f"It answered {answer.status}.")
