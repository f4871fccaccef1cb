"""Messages by mail (SMTP, RFC 5321)."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from runbook_lib.config.formats import is_this_machine
from runbook_lib.core.people import person_key
from runbook_lib.engine.tenant_run import Run
from runbook_lib.operations.watch.channels.base import Channel, NotSentError
from runbook_lib.operations.watch.watch_state import Digest
from runbook_lib.text import one_line

_TLS_PORT = 465
# For an answer of the server.
_SECONDS = 30.0
# All answers of a server to one message; a long list of its extensions has a few KiB.
_MOST_BYTES = 256 * 1024
# Refusals: for now, and for good.
_PASSING = range(400, 500)
_FINAL = range(500, 600)


class MailChannel(Channel):
    """Mail to the person who has the step, else to the tenant's own address (SMTP)."""

    name = "mail"
    settings = ("mail_server", "mail_from", "mail_to")

    def address(self, run: Run, person: str) -> tuple[str, ...]:
        """Return the server, its user, the sender and the address."""
        names = ("mail_server", "mail_user", "mail_from")
        return *(str(run.values.get(name, "")) for name in names), _receiver(run, person)

    def send(self, run: Run, digest: Digest) -> None:
        """Send it; a server that was given the whole mail may have taken it."""
        mail = mail_of(run, digest)
        server = None
        try:
            server = _connected(str(run.values["mail_server"]), str(run.values.get("ca_file", "")))
            if run.values.get("mail_user"):
                password = run.settings.secrets.get("mail_password")
                server.login(str(run.values["mail_user"]), password.reveal() if password else "")
            server.send_message(mail)
            # NOTE: it is accepted by now, whatever the answer to this is.
            with suppress(OSError):
                server.putcmd("QUIT")
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(*next(iter(error.recipients.values()))) from None
        except smtplib.SMTPResponseException as error:
            is_login = isinstance(error, smtplib.SMTPAuthenticationError)
            raise _refused(error.smtp_code, error.smtp_error, is_login=is_login) from None
        # NOTE: a host's name that DNS cannot have, and a challenge that is no base64, are
        # `ValueError`; every `SMTPException` is an `OSError`.
        except (OSError, ValueError) as error:
            is_answer = isinstance(error, smtplib.SMTPException | ssl.SSLError | ValueError)
            is_silent = isinstance(error, smtplib.SMTPServerDisconnected) or not is_answer
            raise NotSentError(
                str(error) or type(error).__name__,
                is_silent=is_silent,
                may_be_there=is_silent and server is not None and server.has_mail,
            ) from None
        finally:
            if server:
                server.close()


def mail_of(run: Run, digest: Digest) -> EmailMessage:
    """Return a digest as a mail; names given by strangers take one line in each header."""
    sender = str(run.values["mail_from"])
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = _receiver(run, digest.person)
    mail["Subject"] = one_line(digest.subject)
    mail["Date"] = format_datetime(run.clock())
    mail["Message-ID"] = f"<{digest.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{digest.text}\n")
    return mail


def _receiver(run: Run, person: str) -> str:
    people: Any = run.values.get("mail_people", ())
    pairs = [pair.rpartition("=") for pair in people]
    known = {person_key(name): address for name, _, address in pairs if person}
    return str(known.get(person_key(person), run.values.get("mail_to", "")))


class _BoundedFile:
    """The answers of a server; it reads a bounded part of them."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def readline(self, most: int = -1) -> bytes:
        """Return the next line; raises `OSError` beyond the limit."""
        line: bytes = self._file.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(f"its answer has more than {_MOST_BYTES:,} bytes")
        return line

    def close(self) -> None:
        """Close it."""
        self._file.close()


class _BoundedSMTP(smtplib.SMTP):
    """A connection that reads no answers without end; `has_mail` once the server has a mail."""

    has_mail = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Send a mail."""
        self.has_mail = True
        return super().data(msg)

    def getreply(self) -> tuple[int, bytes]:
        """Return the next answer."""
        if self.file is None and self.sock is not None:
            self.file = _BoundedFile(self.sock.makefile("rb"))
        return super().getreply()


class _BoundedTLS(_BoundedSMTP, smtplib.SMTP_SSL):
    """The same with TLS from the start."""


def _connected(address: str, ca_file: str) -> _BoundedSMTP:
    """Return a connection to the mail server, with TLS unless it is on this machine."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    if int(port) == _TLS_PORT:
        return _BoundedTLS(host, _TLS_PORT, timeout=_SECONDS, context=context)
    server = _BoundedSMTP(host, int(port), timeout=_SECONDS)
    try:
        if not is_this_machine(host):
            # NOTE: without STARTTLS it raises, and nothing is sent.
            server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _refused(code: int, text: bytes | str, *, is_login: bool = False) -> NotSentError:
    # NOTE: as `b'…'` it may hold a secret in a form that the redactor does not know.
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    is_strange = code not in _PASSING and code not in _FINAL
    is_final = code in _FINAL and not is_login
    return NotSentError(f"({code}) {words}", is_final=is_final, may_be_there=is_strange)
