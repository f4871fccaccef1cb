"""Messages to a webhook, signed as Standard Webhooks has it (https://www.standardwebhooks.com)."""

from __future__ import annotations

from runbook_lib.core.json_text import write_json
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import RemoteError, UnexpectedResponseError, UnreachableError
from runbook_lib.operations.watch.channels.base import Channel, NotSentError
from runbook_lib.operations.watch.watch_state import Digest
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.http_messages import Request
from runbook_lib.text import escaped_json

# After these refusals another attempt may succeed soon.
_PASSING = (408, 425, 429)


class WebhookChannel(Channel):
    """One address that gets each message as JSON."""

    name = "webhook"
    settings = ("webhook", "webhook_secret")

    def address(self, run: Run, person: str) -> tuple[str, ...]:
        """Return the address, its signing secret, and the person whom the JSON names."""
        secret = run.settings.secrets["webhook_secret"].reveal()
        return str(run.values["webhook"]), secret, person

    def send(self, run: Run, digest: Digest) -> None:
        """Post it."""
        from standardwebhooks import Webhook  # noqa: PLC0415  (few have one)

        now = run.clock()
        name = f"msg_{digest.id}"
        data = {
            **digest.document,
            "id": digest.id,
            "subject": digest.subject,
            "on": digest.created_on,
        }
        body = {"type": f"watch.{data['kind']}", "timestamp": digest.created_on, "data": data}
        content = escaped_json(write_json(body)).encode("utf-8", "backslashreplace")
        key = Webhook(run.settings.secrets["webhook_secret"].reveal())
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": key.sign(name, now, content.decode()),
        }
        url = str(run.values["webhook"])
        request = Request(method="POST", url=url, headers=headers, content=content)
        try:
            status = run.open_operators_session().send(request).status
        except RemoteError as error:
            raise _unanswered(error) from None
        if not 200 <= status < 300:
            is_final = 400 <= status < 500 and status not in _PASSING
            raise NotSentError(f"{request.host} answered {status}", is_final=is_final)


def _unanswered(error: RemoteError) -> NotSentError:
    """Return the same; a server that could not be connected to has not taken the message."""
    is_unconnected = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
    is_silent = isinstance(error, UnreachableError)
    may_be_there = (is_silent and not is_unconnected) or isinstance(error, UnexpectedResponseError)
    return NotSentError(str(error), is_silent=is_silent, may_be_there=may_be_there)
