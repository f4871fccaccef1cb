"""A real SMTP server and a webhook's receiver that verifies signatures (Standard Webhooks)."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook

from runbook_lib.core.clock import utc_now
from tests.support.ports import free_ports

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PASSWORD = "of-the-mail-Account-4711"
# A receiver takes no message whose time is further from its own (Standard Webhooks).
_TOLERANCE = timedelta(minutes=5)


class Post:
    """
    The received messages; `refuses` lets both refuse, and `clock` is the receiver's.

    Both answer `slow` seconds after they took a message, and mails are taken so late. `received`
    are the ids of both kinds in their order. `forged` are signatures that do not fit; their
    messages are not taken.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.hooks: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.recipients: list[str] = []
        self.pings: list[str] = []
        self.forged: list[str] = []
        self.received: list[str] = []
        self.refuses = False
        self.slow = 0.0
        self.clock: Callable[[], datetime] = utc_now
        self.mail_port = 0
        self.hook_port = 0

    @property
    def settings(self) -> str:
        """The lines of an `.env` with which messages arrive here."""
        return (
            f"RUNBOOK_MAIL_SERVER=127.0.0.1:{self.mail_port}\n"
            "RUNBOOK_MAIL_FROM=runbook@acme.example\nRUNBOOK_MAIL_TO=all@acme.example\n"
            f"RUNBOOK_WEBHOOK=http://127.0.0.1:{self.hook_port}/hook\n"
            f"RUNBOOK_WEBHOOK_SECRET={SECRET}\n"
        )

    def mail_of(self, change: dict[str, Any]) -> EmailMessage:
        """Return the only mail about a change."""
        (mail,) = [
            mail for mail in self.mails if mail["Message-ID"].startswith(f"<{change['id']}@")
        ]
        return mail

    async def handle_MAIL(
        self, _server: object, _session: object, envelope: Any, address: str, _: object
    ) -> str:
        """Let the sender wait, as a slow server does."""
        await asyncio.sleep(self.slow)
        envelope.mail_from = address
        return "250 go on"

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        """Take a mail."""
        if self.refuses:
            return f"451 later {PASSWORD}"
        self.recipients += envelope.rcpt_tos
        mail = message_from_bytes(envelope.content, policy=default)
        self.mails.append(mail)
        self.received.append(mail["Message-ID"])
        # A slow server: the sender may no longer wait.
        await asyncio.sleep(self.slow)
        return "250 taken"

    def take(self, body: bytes, headers: Any) -> int:
        """Take the posted message, if its signature is right; return the status of the answer."""
        name = headers["webhook-id"]
        signature = headers["webhook-signature"]
        on = datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=UTC)
        # NOTE: `verify` compares with the real time, and tests move theirs.
        is_right = signature == Webhook(SECRET).sign(name, on, body.decode())
        if not is_right or abs(on - self.clock()) > _TOLERANCE:
            self.forged.append(signature)
            return 401
        self.hooks.append(json.loads(body))
        self.ids.append(name)
        self.received.append(name)
        return 503 if self.refuses else 204


class _MailServer(Controller):
    """It closes its connections when it stops; aiosmtpd alone leaves them to the collector."""

    def __init__(self, handler: Post) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=free_ports(1))
        self.connections: list[SMTP] = []

    def factory(self) -> SMTP:
        """Return the protocol of a new connection."""
        self.connections.append(super().factory())
        return self.connections[-1]

    def stop(self, *, no_assert: bool = False) -> None:
        """Close the connections, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result()
        super().stop(no_assert=no_assert)

    async def _close(self) -> None:
        # NOTE: a connection that waits to be accepted has a transport some turns later.
        for _ in range(10):
            for connection in self.connections:
                if connection.transport:
                    connection.transport.abort()
            await asyncio.sleep(0)


@contextmanager
def receiving() -> Iterator[Post]:
    """Receive mails and webhooks on loopback."""
    post = Post()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = post.take(body, self.headers)
            # A slow server, as above.
            time.sleep(post.slow)
            self.send_response(status)
            self.end_headers()

        def do_GET(self) -> None:
            post.pings.append(self.path)
            self.send_response(503 if post.refuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    mails = _MailServer(post)
    hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=hooks.serve_forever, daemon=True)
    thread.start()
    mails.start()
    post.mail_port = mails.port
    post.hook_port = hooks.server_address[1]
    try:
        yield post
    finally:
        mails.stop()
        hooks.shutdown()
        hooks.server_close()
        thread.join()
