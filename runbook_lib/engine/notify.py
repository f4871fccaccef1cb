"""
Messages about what changed: by mail, and to one webhook; each with an id that stays the same.

What was accepted is kept in `watch.json` at once. After a kill in between it is sent again, with
the same `Message-ID` and `webhook-id`, by which a receiver knows it.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from msgspec import to_builtins

from runbook_lib.config.formats import is_this_machine
from runbook_lib.core.journal import timestamp
from runbook_lib.core.json_text import write_json
from runbook_lib.core.model import Value
from runbook_lib.core.words import person_key
from runbook_lib.engine.run import Run, new_run_id
from runbook_lib.engine.watched import Change, Kind, Watched
from runbook_lib.errors import RemoteError, RunbookError, SettingsError
from runbook_lib.plain_text import escaped_json, one_line
from runbook_lib.remote.transport import Request

MAIL, WEBHOOK, APPRISE, ESCALATED = "mail", "webhook", "apprise", "escalated"

_TLS_PORT = 465
_SECONDS = 30.0
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=5), timedelta(days=1)
_LONGEST_SUBJECT = 200
_LABELS: Mapping[Kind, str] = {
    Kind.FAILED: "failed",
    Kind.RECOVERED: "recovered",
    Kind.CHANGED: "changed",
    Kind.OUTAGE: "not answered for a day",
    Kind.OUTAGE_OVER: "answered again",
    Kind.DUE: "due",
    Kind.TEST: "a test",
}


class NotSentError(RunbookError):
    """A message was not accepted; it is sent again later."""

    next_step = "It is sent again, with growing waits; `runbook watch --notify-test` tries the way."


def ways(run: Run) -> tuple[str, ...]:
    """
    Return the ways in which this tenant's messages go; none where nothing is set.

    Raises `SettingsError` for a way of which a part is missing.
    """
    values, secrets = run.values, run.settings.secrets
    named = {name for name in ("mail_server", "mail_from", "mail_to") if values.get(name)}
    if named and len(named) < 3:
        raise SettingsError("Mail needs mail_server, mail_from and mail_to.")
    if bool(values.get("webhook")) is not ("webhook_secret" in secrets):
        raise SettingsError("A webhook needs webhook and webhook_secret.")
    known = {MAIL: "mail_server", WEBHOOK: "webhook", APPRISE: "apprise_file"}
    return tuple(way for way, name in known.items() if values.get(name))


def escalate(watched: Watched, run: Run, now: datetime) -> None:
    """Have a failure that lasts too long sent to the second address, once."""
    values = run.values
    if not (values.get("escalate_to") and values.get("mail_server")):
        return
    lasting = {topic.change for topic in watched.topics.values()}
    days = timedelta(days=int(str(values["escalate_days"])))
    for change in watched.changes:
        is_late = now - datetime.fromisoformat(change.on) >= days
        known = ESCALATED in change.sending or ESCALATED in change.sent
        if change.kind is Kind.FAILED and change.id in lasting and is_late and not known:
            change.sending[ESCALATED] = ""


def deliver(watched: Watched, run: Run, save: Callable[[], None]) -> list[str]:
    """Send what is due, saving after each message; return what was not accepted, and why."""
    refused = []
    for change in watched.changes:
        for way, due in tuple(change.sending.items()):
            now = run.clock()
            if due > timestamp(now):
                continue
            try:
                send(run, change, way)
            except NotSentError as error:
                tries = change.tries[way] = change.tries.get(way, 0) + 1
                wait = min(_FIRST_WAIT * 2 ** min(tries - 1, 16), _LONGEST_WAIT)
                change.sending[way] = timestamp(now + wait)
                refused.append(str(error))
            else:
                del change.sending[way]
                change.sent[way] = timestamp(now)
            save()
    return refused


def send(run: Run, change: Change, way: str) -> None:
    """Send one message in one way; raises `NotSentError`, without a secret in its text."""
    try:
        if way == WEBHOOK:
            _post(run, change)
        elif way == APPRISE:
            _hand_to_apprise(run, change)
        else:
            _mail(run, change, is_escalated=way == ESCALATED)
    except (OSError, smtplib.SMTPException, RemoteError) as error:
        reason = run.redactor.redact(one_line(str(error)[:300]))
        msg = f"The message about {change.title} was not sent ({way}): {reason}"
        raise NotSentError(msg) from None


def mail_of(run: Run, change: Change, *, is_escalated: bool = False) -> EmailMessage:
    """Return the mail about a change; what strangers have named is one line in each header."""
    values = run.values
    to = values["escalate_to"] if is_escalated else _address(values, change.person)
    domain = str(values["mail_from"]).rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = str(values["mail_from"]), str(to)
    mail["Subject"] = subject_of(run, change, is_escalated=is_escalated)
    mail["Date"] = format_datetime(run.clock())
    mail["Message-ID"] = f"<{change.id}{'.late' * is_escalated}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if change.ends or is_escalated:
        mail["References"] = f"<{change.ends or change.id}@{domain}>"
    mail.set_content("\n".join(_lines(run, change)) + "\n")
    return mail


def subject_of(run: Run, change: Change, *, is_escalated: bool = False) -> str:
    """Return whose change it is, and which, in one short line."""
    mark, late = "SANDBOX " * run.is_sandbox, "still " * is_escalated
    subject = f"{mark}{run.tenant}: {change.title}: {late}{_LABELS[change.kind]}"
    return one_line(subject)[:_LONGEST_SUBJECT]


def _lines(run: Run, change: Change) -> Iterator[str]:
    mark = "SANDBOX " * run.is_sandbox
    yield one_line(f"{mark}{run.tenant} · {run.procedure.title}")
    yield one_line(f"{change.title}: {_LABELS[change.kind]}")
    if change.now:
        yield one_line(f"It was: {change.was}. It is: {change.now}.")
    yield one_line(f"Since {change.since} (UTC): {change.reason}")
    named = (
        ("What it breaks", change.breaks),
        ("With the same cause", "; ".join(change.also)),
        ("What to do", change.do),
    )
    for name, text in named:
        if text:
            yield one_line(f"{name}: {text}")


def _address(values: Mapping[str, Value], person: str) -> str:
    """Return the address of the person who has the step, else the tenant's own."""
    people = values.get("mail_people", ())
    pairs = [pair.rpartition("=") for pair in people] if isinstance(people, tuple) else []
    known = {person_key(name): address for name, _, address in pairs}
    return (
        known.get(person_key(person), str(values["mail_to"])) if person else str(values["mail_to"])
    )


def _mail(run: Run, change: Change, *, is_escalated: bool) -> None:
    values = run.values
    host, _, port = str(values["mail_server"]).rpartition(":")
    context = ssl.create_default_context()
    if values.get("ca_file"):
        context.load_verify_locations(str(values["ca_file"]))
    with _connected(host.strip("[]"), int(port), context) as server:
        if values.get("mail_user"):
            password = run.settings.secrets.get("mail_password")
            server.login(str(values["mail_user"]), password.reveal() if password else "")
        server.send_message(mail_of(run, change, is_escalated=is_escalated))


def _connected(host: str, port: int, context: ssl.SSLContext) -> smtplib.SMTP:
    """Return a connection to the mail server, with TLS unless it is on this machine."""
    if port == _TLS_PORT:
        return smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=context)
    server = smtplib.SMTP(host, port, timeout=_SECONDS)
    try:
        if not is_this_machine(host):
            # NOTE: without STARTTLS it raises, and nothing is sent.
            server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _post(run: Run, change: Change) -> None:
    """Post a change with the headers of Standard Webhooks."""
    from standardwebhooks import Webhook  # noqa: PLC0415  (few have one)

    now, name = run.clock(), f"msg_{change.id}"
    document = document_of(run, change)
    body = write_json({"type": f"watch.{change.kind}", "timestamp": change.on, "data": document})
    content = escaped_json(body).encode("utf-8", "backslashreplace")
    key = Webhook(run.settings.secrets["webhook_secret"].reveal())
    headers = {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": key.sign(name, now, content.decode()),
    }
    url = str(run.values["webhook"])
    request = Request(method="POST", url=url, headers=headers, content=content)
    answer = run.open_session().send(request)
    if not 200 <= answer.status < 300:
        msg = f"{request.host} answered {answer.status}"
        raise RemoteError(msg)


def _hand_to_apprise(run: Run, change: Change) -> None:
    """Let Apprise send it (https://github.com/caronc/apprise), past the transport."""
    try:
        from apprise import Apprise, AppriseConfig  # noqa: PLC0415  (an extra)
    except ImportError:
        msg = "Apprise is not installed: pip install 'facebook-marketing-runbook[apprise]'"
        raise RemoteError(msg) from None
    # NOTE: what it logs of a failure quotes addresses, which are secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    config, sender = AppriseConfig(), Apprise()
    path = str(Path(str(run.values["apprise_file"])).absolute())
    if not (config.add(path) and sender.add(config) and len(sender)):
        msg = f"Apprise finds no address in {path}"
        raise RemoteError(msg)
    title, text = subject_of(run, change), "\n".join(_lines(run, change))
    if not sender.notify(title=title, body=text, body_format="text"):
        raise RemoteError("a service did not take it")


def ping(run: Run) -> str:
    """Ask the health check's address, if one is set; return why it did not take it, or nothing."""
    url = str(run.values.get("healthcheck", ""))
    if not url:
        return ""
    request = Request(method="GET", url=url)
    try:
        status = run.open_session().send(request).status
    except RemoteError as error:
        return f"The health check was not reached: {run.redactor.redact(str(error))}"
    is_taken = 200 <= status < 300
    return "" if is_taken else f"The health check answered {status} ({request.host})."


def document_of(run: Run, change: Change) -> dict[str, object]:
    """Return a change for programs, with whose it is."""
    whose = {"tenant": run.tenant, "connector": run.procedure.id, "sandbox": run.is_sandbox}
    document = to_builtins(change)
    kept = ("shown_on", "sending", "sent", "tries")
    return {**whose, **{name: value for name, value in document.items() if name not in kept}}


def try_ways(run: Run) -> list[str]:
    """
    Send a test message in each way, as a real one goes; return the ways.

    Raises `NotSentError`, and `SettingsError` where no way is set.
    """
    known = ways(run)
    if not known:
        msg = "No way is set for messages."
        raise SettingsError(msg, next_step="Set mail_server, mail_from and mail_to, or webhook.")
    change = trial(run.clock(), f"test{new_run_id()}")
    for way in known:
        send(run, change, way)
    return list(known)


def trial(now: datetime, ident: str) -> Change:
    """Return what a test message is about."""
    on = timestamp(now)
    text = "This message only shows that messages arrive. Nothing changed."
    return Change(id=ident, kind=Kind.TEST, on=on, since=on, title="Test message", reason=text)
