"""
Messages about what changed: by mail, and to one webhook; each with an id that stays the same.

What was accepted is kept in `watch.json` at once. After a kill in between it is sent again, with
the same `Message-ID` and `webhook-id`, by which a receiver knows it.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from pathlib import Path

from msgspec import to_builtins

from runbook_lib.config.formats import is_this_machine
from runbook_lib.config.runner import NOTIFY
from runbook_lib.core.files import open_plain
from runbook_lib.core.journal import timestamp
from runbook_lib.core.json_text import write_json
from runbook_lib.core.model import Value
from runbook_lib.core.words import person_key
from runbook_lib.engine.run import Run, new_run_id
from runbook_lib.engine.watched import Change, Kind, Watched
from runbook_lib.errors import RemoteError, RunbookError, SettingsError
from runbook_lib.evidence.reports.wording import with_times
from runbook_lib.plain_text import counted, escaped_json, one_line
from runbook_lib.remote.transport import Request

MAIL, WEBHOOK, APPRISE, ESCALATED = "mail", "webhook", "apprise", "escalated"

_TLS_PORT = 465
# For an answer of the mail server, and for a whole message.
_SECONDS, _MOST_SECONDS = 30.0, 120.0
# Until when a server that did not answer in time is not asked again (monotonic).
_SILENT_UNTIL: dict[str, float] = {}
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=5), timedelta(days=1)
_LONGEST_SUBJECT, _LONGEST_REASON = 200, 300
# What each way needs; without it a message waits, unsent, until it is set again.
_NEEDS = {
    MAIL: ("mail_server",),
    WEBHOOK: ("webhook",),
    APPRISE: ("apprise_file",),
    ESCALATED: ("mail_server", "escalate_to"),
}
# What of a change no program gets: how it is sent.
_INNER = ("shown_on", "sending", "sent", "tries", "groups", "follows", "connector", "receiver")


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
    return tuple(way for way in (MAIL, WEBHOOK, APPRISE) if is_due(run, way, ""))


def is_due(run: Run, way: str, due: str) -> bool:
    """Return whether a way is set, and what is `due` in it is sent now."""
    now = run.clock()
    # NOTE: no wait is longer; a clock that was wrong has been ahead of now.
    is_time = not timestamp(now) < due <= timestamp(now + _LONGEST_WAIT)
    return is_time and all(map(run.values.get, _NEEDS.get(way, (way,))))


def escalate(watched: Watched, run: Run, now: datetime) -> bool:
    """Have a failure that lasts too long sent to the second address, once; return if one does."""
    values, late = run.values, []
    if not (values.get("escalate_to") and values.get("mail_server")):
        return False
    lasting = {topic.change for topic in watched.topics.values()}
    days = timedelta(days=int(str(values["escalate_days"])))
    for change in watched.changes:
        is_late = now - datetime.fromisoformat(change.on) >= days
        known = ESCALATED in {**change.sending, **change.sent, **change.groups}
        if change.kind is Kind.FAILED and change.id in lasting and is_late and not known:
            change.sending[ESCALATED] = ""
            late.append(change)
    return bool(late)


def receiver(run: Run, change: Change, way: str) -> tuple[list[str], list[str]]:
    """Return who gets a change in this way and through what, and the secrets that it takes."""
    is_mail, values = way in (MAIL, ESCALATED), run.values
    prefix = MAIL if is_mail else way
    items = [item for item in NOTIFY if item.name.startswith(prefix)]
    names = [item.name for item in items if item.name not in ("mail_to", "mail_people")]
    to = _address(values, change.person, way) if is_mail else change.person
    public = [way, to, *(str(values.get(name, "")) for name in names)]
    secrets = run.settings.secrets
    return public, [secrets[name].reveal() if name in secrets else "" for name in names]


def deliver(changes: Iterable[Change], run: Run, save: Callable[[], None]) -> list[str]:
    """Send what is due, saving after each message; return what was not accepted, and why."""
    refused = []
    for change in changes:
        for way, due in tuple(change.sending.items()):
            if not is_due(run, way, due):
                continue
            # NOTE: on a full disk nothing is sent: what was accepted could not be kept.
            save()
            now = run.clock()
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
            _in_time(partial(_hand_to_apprise, run, change), str(run.values["apprise_file"]))
        else:
            mail = partial(_mail, run, change, is_escalated=way == ESCALATED)
            _in_time(mail, str(run.values["mail_server"]))
    # NOTE: a host's name that DNS cannot have is a `UnicodeError`.
    except (OSError, UnicodeError, smtplib.SMTPException, RemoteError) as error:
        reason = one_line(run.redactor.redact(_reason_of(error)))[:_LONGEST_REASON]
        msg = f"The message about {change.title} was not sent ({way}): {reason}"
        raise NotSentError(msg) from None


def _reason_of(error: Exception) -> str:
    """Return why a message was not accepted, in the words of the mail server if it refused it."""
    text: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return str(error)
    # NOTE: as `b'…'` it may hold a secret in a form that nobody knows.
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"({code}) {words}"


def _in_time(act: Callable[[], None], place: str) -> None:
    """
    Do what may hang, such as a name's look-up or a server that sends a byte now and then.

    Raises `TimeoutError` after a time that no server needs; the thread, which cannot be stopped,
    is abandoned. Then `place` is left alone for a while, whoever's message comes next.
    """
    if time.monotonic() < _SILENT_UNTIL.get(place, 0.0):
        raise TimeoutError("it did not answer a short while ago")
    done: Future[None] = Future()

    def do() -> None:
        try:
            act()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001  (raised in the waiting thread)
            done.set_exception(error)

    thread = threading.Thread(target=do, name="message", daemon=True)
    thread.start()
    thread.join(_MOST_SECONDS)
    try:
        if thread.is_alive():
            msg = f"it was not accepted within {_MOST_SECONDS:.0f} s"
            raise TimeoutError(msg)
        done.result()
    except TimeoutError:
        _SILENT_UNTIL[place] = time.monotonic() + _SECONDS
        raise


def mail_of(run: Run, change: Change, *, is_escalated: bool = False) -> EmailMessage:
    """Return the mail about a change; what strangers have named is one line in each header."""
    values = run.values
    to = _address(values, change.person, ESCALATED if is_escalated else MAIL)
    domain = str(values["mail_from"]).rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = str(values["mail_from"]), to
    mail["Subject"] = subject_of(run, change, is_escalated=is_escalated)
    mail["Date"] = format_datetime(run.clock())
    mail["Message-ID"] = f"<{change.id}{'.late' * is_escalated}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    earlier = change.follows.get(MAIL, change.ends)
    if is_escalated:
        earlier = change.groups.get(MAIL, change.id)
    if earlier:
        mail["References"] = f"<{earlier}@{domain}>"
    mail.set_content("\n".join(_lines(run, change)) + "\n")
    return mail


def subject_of(run: Run, change: Change, *, is_escalated: bool = False) -> str:
    """Return whose change it is, and which, in one short line."""
    late = "still " * is_escalated
    subject = f"{_whose(run, change)}: {change.title}: {late}{change.kind.label}"
    return one_line(subject)[:_LONGEST_SUBJECT]


def _lines(run: Run, change: Change) -> Iterator[str]:
    yield one_line(f"{_whose(run, change)} · {run.procedure.title}")
    yield one_line(f"{change.title}: {change.kind.label}")
    if change.now:
        yield one_line(f"It was: {change.was}. It is: {change.now}.")
    yield one_line(with_times(f"Since {change.since} UTC: {change.reason}"))
    named = (
        ("What it breaks", change.breaks),
        ("With the same cause", "; ".join(change.also)),
        ("What to do", change.do),
    )
    for name, text in named:
        if text:
            yield one_line(f"{name}: {text}")
    if len(change.tenants) > 1:
        yield from ("Tenants:", *(f"  {tenant}" for tenant in change.tenants))


def _whose(run: Run, change: Change) -> str:
    """Return the tenant, or how many there are."""
    names = [*change.tenants] or [run.tenant]
    whose = names[0] if len(names) == 1 else counted(len(names), "tenant")
    return f"{'SANDBOX ' * run.is_sandbox}{whose}"


def _address(values: Mapping[str, Value], person: str, way: str) -> str:
    """Return the second address, or that of the person who has the step, or the tenant's own."""
    if way == ESCALATED:
        return str(values.get("escalate_to", ""))
    people = values.get("mail_people", ())
    pairs = [pair.rpartition("=") for pair in people] if isinstance(people, tuple) else []
    known = {person_key(name): address for name, _, address in pairs}
    own = str(values.get("mail_to", ""))
    return known.get(person_key(person), own) if person else own


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
    document = {**document_of(run, change), "ends": change.follows.get(WEBHOOK, change.ends)}
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
    open_plain(Path(path)).close()
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
    """Return a change for programs, with whose it is: `tenant` where it is one tenant's alone."""
    names = [*change.tenants] or [run.tenant]
    shown = {name: part for name, part in to_builtins(change).items() if name not in _INNER}
    tenant = {"tenant": names[0]} if len(names) == 1 else {}
    whose = {"connector": run.procedure.id, "sandbox": run.is_sandbox, "tenants": names}
    return {**tenant, **shown, **whose}


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
