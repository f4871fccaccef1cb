"""Channels: accepted or not, whatever a mail server, a webhook or Apprise does."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from standardwebhooks import Webhook

from runbook_lib.config import formats
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError
from runbook_lib.operations.watch import channels
from runbook_lib.operations.watch.channels import (
    CHANNELS,
    addresses,
    mail,
    send,
    try_channels,
)
from runbook_lib.operations.watch.channels.base import NotSentError
from runbook_lib.operations.watch.channels.mail import mail_of
from runbook_lib.operations.watch.watch_state import Digest
from tests.support.wording import refused, wording
from tests.unit.operations.watch.desk import ENV, HOOK_SECRET, NOON, PROCEDURE

# Apprise imports it where there still is one.
_APPRISE_WARNS = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
# Replies of a mail server to each command.
WELL = {
    "": "220 hello", "EHLO": "250-here\r\n250 AUTH CRAM-MD5 PLAIN", "MAIL": "250 go on",
    "RCPT": "250 go on", "DATA": "354 go on", ".": "250 taken", "QUIT": "221 bye",
    "AUTH": "235 come in", "RSET": "250 well",
}  # fmt: skip
HANG = "(hang)"
DROP = "(drop)"
ENDLESS = "(endless)"
DRIP = "(drip)"
PASSWORD = 'It\'s "quoted" \\ and long enough to be cut'
Opened = Callable[..., Run]


@pytest.fixture
def opened(folder: Path) -> Iterator[Opened]:
    """Return a function that opens a run with more settings."""
    runs = []

    def open_it(**more: str) -> Run:
        environ = dict(line.split("=", 1) for line in ENV.strip().splitlines())
        named = {f"RUNBOOK_{name.upper()}": value for name, value in more.items()}
        runs.append(
            open_run(PROCEDURE, {}, mode=Mode.HEADLESS, tenant="acme", environ={**environ, **named})
        )
        runs[-1].journal.clock = lambda: NOON
        return runs[-1]

    yield open_it
    for run in runs:
        run.close()


@contextmanager
def mail_server(**says: str) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a mail server that says this, and the commands that it got."""
    answers = {**WELL, **says}
    commands = []
    over = threading.Event()
    serving: list[threading.Thread] = []

    def say(connection: socket.socket, text: str) -> None:
        if text == DROP:
            raise OSError
        if text in (ENDLESS, DRIP):
            while not over.is_set():
                connection.sendall(b"250-" + b"x" * 4_000 + b"\r\n" if text == ENDLESS else b"2")
                # A server that sends slowly.
                time.sleep(0.05 if text == DRIP else 0.0)
        elif text == HANG:
            over.wait()
        else:
            connection.sendall(text.encode() + b"\r\n")

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            say(connection, answers[""])
            is_mail = False
            for line in lines:
                word = line.strip().decode(errors="replace").upper().partition(" ")[0]
                if not is_mail:
                    commands.append(word)
                if not is_mail or word == ".":
                    say(connection, answers.get(word, answers["AUTH"]))
                    is_mail = word == "DATA" and answers[word].startswith("354")

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                serving.append(threading.Thread(target=serve, args=[connection], daemon=True))
                serving[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=[listener], daemon=True)
        accepting.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", commands
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        # An error in one of them belongs to the test that began it.
        for thread in serving:
            thread.join(timeout=10.0)


def made_digest(run: Run, **more: Any) -> Digest:
    """Return a test message."""
    return structs.replace(channels._trial(run), **{"id": "m1", **more})


def sent(run: Run, channel: str, **more: Any) -> NotSentError | None:
    """Send a test message; return why it was not accepted."""
    try:
        send(run, CHANNELS[channel], made_digest(run, **more))
    except NotSentError as error:
        return error
    return None


def traits(error: NotSentError | None) -> str:
    """Return an error's traits about trying again, in a word for each."""
    names = ("is_final", "is_silent", "may_be_there")
    return " ".join(name for name in names if getattr(error, name)) if error else "accepted"


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({}, "accepted"),
        ({"QUIT": "599 what?"}, "accepted"),
        ({"QUIT": "\x00\xff"}, "accepted"),
        ({"QUIT": DROP}, "accepted"),
        ({"QUIT": HANG}, "accepted"),
        ({"QUIT": ENDLESS}, "accepted"),
        ({"RCPT": "550 nobody"}, "is_final"),
        ({"RCPT": "451 later"}, ""),
        ({"MAIL": "552 too much"}, "is_final"),
        ({".": "554 refused"}, "is_final"),
        ({".": "451 later"}, ""),
        ({"DATA": "421 closing"}, ""),
        ({".": DROP}, "is_silent may_be_there"),
        ({".": HANG}, "is_silent may_be_there"),
        ({".": DRIP}, "is_silent may_be_there"),
        ({".": ENDLESS}, "is_silent may_be_there"),
        ({".": "what?"}, "may_be_there"),
        ({"": DROP}, "is_silent"),
        ({"": ENDLESS}, "is_silent"),
        ({"EHLO": ENDLESS}, "is_silent"),
        ({"RCPT": ENDLESS}, "is_silent"),
    ],
    ids=str,
)
def test_the_reply_of_a_mail_server_decides(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, says: dict[str, str], expected: str
) -> None:
    """A mail is accepted once the server says so; without a clear answer it may be there."""
    if {HANG, DRIP} & {*says.values()}:  # a server that answers may be slow
        monkeypatch.setattr(mail, "_SECONDS", 2.0)
        monkeypatch.setattr(channels, "MOST_SECONDS", 4.0)
    with mail_server(**says) as (address, commands):
        run = opened(mail_server=address)
        tracemalloc.start()
        error = sent(run, "mail")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert traits(error) == expected
    assert most < 8 * 1024 * 1024
    assert commands.count("DATA") <= 1


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [
        ("334 =", ""),
        ("334 abc", ""),
        ("334 \x00!", ""),
        ("334 w7w=", ""),
        ("535 wrong", ""),
        (f"535 {PASSWORD}", ""),
        (DROP, "is_silent"),
        (ENDLESS, "is_silent"),
    ],
)
def test_a_strange_login_ends_one_message(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, challenge: str, expected: str
) -> None:
    """An unusable challenge, and a wrong password, are tried again; neither shows a secret."""
    monkeypatch.setattr(mail, "_SECONDS", 0.5)
    with mail_server(AUTH=challenge) as (address, _):
        error = sent(opened(mail_server=address, mail_user="me", mail_password=PASSWORD), "mail")

    assert error
    assert traits(error) == expected
    assert "quoted" not in str(error)


@pytest.mark.parametrize("number", [0, 270])
def test_a_quoted_password_is_not_shown(opened: Opened, number: int) -> None:
    """A long refusal that quotes the password, cut or with signs of its own, shows no part."""
    with mail_server(**{".": f"554 {'x' * number}{PASSWORD}"}) as (address, _):
        error = sent(opened(mail_server=address, mail_user="me", mail_password=PASSWORD), "mail")

    assert "(554) " in str(error)
    assert "It's" not in str(error)
    assert "quoted" not in str(error)


def test_a_mail_server_elsewhere_must_speak_tls(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another machine nothing is sent without TLS, also not where the server offers none."""
    monkeypatch.setattr(mail, "is_this_machine", lambda _: False)
    with mail_server() as (address, commands):
        error = sent(opened(mail_server=address), "mail")

    assert "STARTTLS" in str(error)
    assert "MAIL" not in commands


@pytest.mark.parametrize(
    ("address", "says"),
    [(f"{'x' * 64}.example:25", "too long"), ("127.0.0.1:1", "refused")],
)
def test_a_mail_server_that_is_not_there_took_nothing(
    opened: Opened, address: str, says: str
) -> None:
    """A name that DNS cannot have, and a closed port, break nothing."""
    error = sent(opened(mail_server=address), "mail")

    assert error
    assert says in str(error)
    assert not error.may_be_there


def test_a_name_given_by_a_stranger_is_one_line_in_a_header(opened: Opened) -> None:
    """CR and LF in a name neither begin a header nor stay in one."""
    title = "x\r\nBcc: all@evil.example\r\n\r\nbody \u202e"
    run = opened()
    mail_message = mail_of(run, made_digest(run, subject=title))

    assert isinstance(mail_message, EmailMessage)
    assert "Bcc" not in mail_message
    assert mail_message["Subject"].splitlines() == [mail_message["Subject"]]
    assert mail_message["Message-ID"] == "<m1@acme.example>"
    head = bytes(mail_message).split(b"\r\n\r\n")[0]
    assert not [line for line in head.split(b"\r\n") if line.lower().startswith(b"bcc")]


NO_MAIL = "not-a-mail-address"


@pytest.mark.parametrize(
    ("parse", "good", "bad", "name"),
    [
        (formats.mail_address, "a.b+c@acme.example", "Ann <ann@acme.example>", NO_MAIL),
        (formats.mail_address, "a@b", "a@b\nBcc: c@d", NO_MAIL),
        (formats.mail_address, "a=b@x.example", "=?utf-8?q?=0D=0Ax?=@x.example", NO_MAIL),
        (formats.people, "Ann B=a@x.example", "Ann==?utf-8?b?DQo=?=@x.example", NO_MAIL),
        (formats.people, "Ann B=a@x.example, C=c@x.example", "a@x.example", "no-list-of-people"),
        (formats.webhook_secret, HOOK_SECRET, "whsec_c2hvcnQ=", "no-webhook-secret"),
    ],
)
def test_settings_are_checked(
    parse: Callable[[str], object], good: str, bad: str, name: str
) -> None:
    """An address is one address without an encoded word, and a secret is long enough."""
    assert parse(good)
    with refused(ValueError, name):
        parse(bad)


@pytest.mark.parametrize("missing", ["mail_to", "mail_from", "webhook_secret"])
def test_a_channel_with_a_missing_setting_is_named(opened: Opened, missing: str) -> None:
    """Before anything is asked."""
    whole = {"webhook": "https://h.example/", "webhook_secret": HOOK_SECRET}
    with pytest.raises(SettingsError, match=missing):
        addresses(opened(**{**whole, missing: ""}))
    nothing = dict.fromkeys(("mail_server", "mail_from", "mail_to"), "")
    with refused(SettingsError, "no-channel-is-set"):
        try_channels(opened(**nothing))


# --- webhook ----------------------------------------------------------------------------------
@contextmanager
def receiver(
    status: int, body: bytes = b"", seconds: float = 0.0
) -> Iterator[tuple[str, list[Any]]]:
    """Give the address of a web server with this answer, and the posted messages."""
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), content.decode()))
            # A server that responds slowly.
            time.sleep(seconds)
            with suppress(OSError):
                self.send_response(status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "accepted"),
        (204, "accepted"),
        (301, ""),
        (304, ""),
        (307, ""),
        (400, "is_final"),
        (401, "is_final"),
        (408, ""),
        (410, "is_final"),
        (429, ""),
        (500, ""),
        (503, ""),
    ],
)
def test_the_response_of_a_webhook_decides(opened: Opened, status: int, expected: str) -> None:
    """2xx is accepted, a redirect is not; most 4xx are tried once a day."""
    with receiver(status) as (url, got):
        error = sent(opened(webhook=url, webhook_secret=HOOK_SECRET), "webhook")

    ((headers, content),) = got
    assert traits(error) == expected
    assert headers["webhook-id"] == "msg_m1"
    signed = Webhook(HOOK_SECRET).sign("msg_m1", NOON, content)
    assert headers["webhook-signature"] == signed
    assert json.loads(content)["data"]["id"] == "m1"
    assert HOOK_SECRET not in str(error)


def test_a_webhook_that_does_not_answer_may_have_taken_it(opened: Opened) -> None:
    """One that cannot be connected to has not."""
    with receiver(204, seconds=2.0) as (url, _):
        run = opened(webhook=url, webhook_secret=HOOK_SECRET, exchange_seconds="1")
        assert traits(sent(run, "webhook")) == "is_silent may_be_there"
    run = opened(webhook="http://127.0.0.1:1/", webhook_secret=HOOK_SECRET)
    assert traits(sent(run, "webhook")) == "is_silent"


def test_an_error_in_a_library_ends_one_message(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words, which may quote a secret, are not shown."""

    def broken(*_: object) -> None:
        raise LookupError("0f1e2d3c")

    monkeypatch.setattr(type(CHANNELS["mail"]), "send", broken)
    error = sent(opened(), "mail")

    assert traits(error) == "is_final"
    assert str(error).endswith(
        wording("watch.could-not-be-made", error="LookupError", channel="mail")
    )


# --- Apprise ----------------------------------------------------------------------------------
@_APPRISE_WARNS
def test_other_services_get_it_by_apprise(
    opened: Opened, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A message that Apprise cannot deliver is due again, and no address is shown."""
    errors = []
    for status in (200, 500):
        with receiver(status) as (url, got):
            place = url.removeprefix("http://").removesuffix("/hook")
            Path("apprise.conf").write_text(f"json://person:pass-Word-4711@{place}/t0ken-Qz81\n")
            errors.append(sent(opened(apprise_file="apprise.conf"), "apprise"))
    document = json.loads(got[0][1])

    assert errors[0] is None
    assert document["title"] == f"SANDBOX {wording('watch.test-message', tenant='acme')}"
    assert "Nothing changed" in document["message"]
    assert wording("watch.service-did-not-accept") in str(errors[1])
    printed = capfd.readouterr()
    shown = (str(errors[1]), caplog.text, printed.out, printed.err)
    assert not [text for text in shown if "4711" in text or "t0ken" in text]


@_APPRISE_WARNS
def test_without_the_extra_apprise_says_how_to_install_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, and without an address that it knows, the message is due again."""
    Path("apprise.conf").write_text("no-such-service://t0ken-Qz81\n")
    run = opened(apprise_file="apprise.conf")
    unknown = sent(run, "apprise")
    monkeypatch.setitem(sys.modules, "apprise", None)

    assert wording("watch.finds-no-address") in str(unknown)
    assert "t0ken" not in str(unknown)
    assert "pip install 'facebook-marketing-runbook[apprise]'" in str(sent(run, "apprise"))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("pipe", "a named pipe"),
        ("device", "a device"),
        ("folder", "a folder"),
        ("nothing", "No such file"),
    ],
)
def test_an_apprise_file_that_is_no_file_is_named(opened: Opened, kind: str, says: str) -> None:
    """A pipe would be waited for, and a device read, for ever: neither is opened."""
    path = Path("apprise.conf")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()

    assert says in str(sent(opened(apprise_file="apprise.conf"), "apprise"))
