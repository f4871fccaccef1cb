"""Messages: to whom, once, by a real SMTP server and a receiver that verifies signatures."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from runbook_lib.config import formats
from runbook_lib.engine import notify, watch
from runbook_lib.engine.notify import NotSentError
from runbook_lib.engine.watched import Kind, read_watched
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.sandbox.server import Sandbox
from tests.support.ports import free_ports
from tests.support.words import assigned
from tests.unit.cli.test_people import runbook
from tests.unit.engine.test_watch import DAY, HOUR, MINUTE, PROCEDURE, Desk

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PASSWORD = "of-the-mail-Account-4711"
STEP = "fb-13-app-id-and-secret"
# Apprise imports it where there still is one.
_APPRISE_WARNS = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Post:
    """An SMTP server and a webhook's receiver; `refuses` lets both refuse."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.hooks: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.recipients: list[str] = []
        self.pings: list[str] = []
        self.refuses = False

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        """Take a mail."""
        if self.refuses:
            return f"451 later {PASSWORD}"
        self.recipients += envelope.rcpt_tos
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


# What took the messages, and the ports of the mail server and of the webhook.
Posts = tuple[Post, int, int]


@pytest.fixture
def post() -> Iterator[Posts]:
    post = Post()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            post.hooks.append(Webhook(SECRET).verify(body, dict(self.headers)))
            post.ids.append(self.headers["webhook-id"])
            self.send_response(503 if post.refuses else 204)
            self.end_headers()

        def do_GET(self) -> None:
            post.pings.append(self.path)
            self.send_response(503 if post.refuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    mails = Controller(post, hostname="127.0.0.1", port=free_ports(1))
    hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=hooks.serve_forever, daemon=True)
    thread.start()
    mails.start()
    try:
        yield post, mails.port, hooks.server_address[1]
    finally:
        mails.stop()
        hooks.shutdown()
        hooks.server_close()
        thread.join()


@pytest.fixture
def desk(folder: Path, post: Posts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    _, mail_port, hook_port = post
    with Sandbox("approved", seed=2) as sandbox:
        desk = Desk(folder, sandbox)
        with (folder / "watch.env").open("a") as file:
            file.write(
                f"RUNBOOK_MAIL_SERVER=127.0.0.1:{mail_port}\n"
                "RUNBOOK_MAIL_FROM=runbook@acme.example\nRUNBOOK_MAIL_TO=all@acme.example\n"
                "RUNBOOK_MAIL_PEOPLE=Ann=ann@acme.example\n"
                "RUNBOOK_ESCALATE_TO=head@acme.example\n"
                f"RUNBOOK_WEBHOOK=http://127.0.0.1:{hook_port}/hook\n"
                f"RUNBOOK_WEBHOOK_SECRET={SECRET}\n"
            )
        monkeypatch.setattr(
            watch.open_watch, "__kwdefaults__",
            {**(watch.open_watch.__kwdefaults__ or {}), "clock": desk.now},
        )  # fmt: skip
        yield desk
        desk.run.close()


def notified(desk: Desk, after: float = 0.0) -> list[str]:
    """Look once after so many seconds, send what is due, and return what was not accepted."""
    desk.wait(after)
    opened = watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    try:
        opened.look()
        return opened.notify()
    finally:
        opened.run.close()


@pytest.fixture(autouse=True)
def _any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the receiver take the time that a test has moved to."""

    def taken(_self: Webhook, text: str) -> datetime:
        return datetime.fromtimestamp(int(text), tz=UTC)

    monkeypatch.setattr(Webhook, "_Webhook__verify_timestamp", taken)


def test_a_failure_and_its_recovery_are_one_message_each(desk: Desk, post: Posts) -> None:
    """Both ways get each once, the mails in one thread, the person who has the step hers."""

    box = post[0]
    desk.run.say([assigned(STEP, "Ann")])
    notified(desk)
    secret, desk.app.secret = desk.app.secret, "f" * 32
    assert notified(desk, DAY) == []
    assert notified(desk, HOUR) == []
    desk.app.secret = secret
    notified(desk, HOUR)
    notified(desk, HOUR)

    failed, recovered = box.mails
    assert [hook["type"] for hook in box.hooks] == ["watch.failed", "watch.recovered"]
    assert box.recipients == ["ann@acme.example"] * 2
    assert failed["Subject"].startswith("SANDBOX acme: 13 Complete Settings > Basic")
    assert failed["Subject"].endswith(": failed")
    assert recovered["References"] == failed["Message-ID"]
    assert failed["Message-ID"] == f"<{box.hooks[0]['data']['id']}@acme.example>"
    assert box.ids[0] == f"msg_{box.hooks[0]['data']['id']}"
    text = failed.get_content()
    assert "It was: verified. It is: failed." in text
    assert "What to do: Copy the App Secret again" in text


def test_what_is_not_accepted_is_sent_later(desk: Desk, post: Posts) -> None:
    """A refused message is tried again with growing waits, and is in the file without secrets."""

    box = post[0]
    notified(desk)
    desk.app.secret, box.refuses = "f" * 32, True
    refused = notified(desk, DAY)
    soon, later = notified(desk, 4 * MINUTE), notified(desk, 2 * MINUTE)
    between = notified(desk, 6 * MINUTE)
    box.refuses, box.hooks = False, []
    notified(desk, 10 * MINUTE)
    notified(desk, DAY)

    assert [len(part) for part in (refused, soon, later, between)] == [2, 0, 2, 0]
    assert len(box.mails) == len(box.hooks) == 1
    (change,) = read_watched(desk.path).changes
    assert set(change.sent) == {"mail", "webhook"}
    assert not change.sending
    assert SECRET not in desk.path.read_text()


def test_a_kill_repeats_a_message_with_the_same_id(
    desk: Desk, post: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between acceptance and our line, a message comes twice, and is known as the same."""

    box = post[0]
    notified(desk)
    desk.app.secret = "f" * 32
    send = notify.send

    def killed(*arguments: Any) -> None:
        send(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(notify, "send", killed)
    with pytest.raises(KeyboardInterrupt):
        notified(desk, DAY)
    monkeypatch.setattr(notify, "send", send)
    notified(desk, MINUTE)

    first, again = box.mails
    assert first["Message-ID"] == again["Message-ID"]
    assert len(box.ids) == 1


def test_a_failure_that_lasts_goes_to_a_second_address(desk: Desk, post: Posts) -> None:
    """After `escalate_days` the second address gets it, once; not what is over by then."""

    box = post[0]
    notified(desk)
    desk.app.secret = "f" * 32
    for _ in range(5):
        notified(desk, DAY)

    assert box.recipients == ["all@acme.example", "head@acme.example"]
    assert box.mails[1]["Subject"].endswith(": still failed")
    assert box.mails[1]["References"] == box.mails[0]["Message-ID"]


def test_what_falls_due_is_said_30_7_and_1_days_before(desk: Desk, post: Posts) -> None:
    """A day on which something is due is named three times, to the person who has it."""

    box = post[0]
    due = desk.now().date().toordinal() + 40
    day = desk.now().date().fromordinal(due).isoformat()
    desk.run.say([assigned("fb-01-log-in", "Ann", due=day)])
    for _ in range(42):
        notified(desk, DAY)

    about = [hook["data"] for hook in box.hooks if hook["data"]["step"] == "fb-01-log-in"]
    assert [change["kind"] for change in about] == [Kind.DUE] * 3
    assert [change["reason"].rpartition("in ")[2] for change in about] == [
        "30 days.",
        "7 days.",
        "1 day.",
    ]
    assert box.recipients.count("ann@acme.example") == 3


def test_what_a_stranger_named_is_one_line_in_a_header(desk: Desk) -> None:
    """CR and LF in a name neither begin a header nor stay in one."""

    opened = watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    change = notify.trial(desk.now(), "1")
    change.title = "x\r\nBcc: all@evil.example\r\n\r\nbody \u202e"
    mail = notify.mail_of(opened.run, change)
    opened.run.close()

    assert "Bcc" not in mail
    assert mail["Subject"].splitlines() == [mail["Subject"]]
    head = bytes(mail).split(b"\r\n\r\n")[0]
    assert not [line for line in head.split(b"\r\n") if line.lower().startswith(b"bcc")]


def test_a_test_message_goes_the_way_of_a_real_one(desk: Desk, post: Posts) -> None:
    """`--notify-test` sends in every way, says which accepted it, and fails where one does not."""

    box = post[0]
    words = ("watch", "--notify-test", "--tenant", "acme", "--env-file", "watch.env")
    sent = runbook(*words)
    box.refuses = True
    refused = runbook(*words)

    assert (sent.exit_code, sent.stdout) == (ExitCode.COMPLETE, "Accepted: mail, webhook.\n")
    assert box.mails[0]["Subject"] == "SANDBOX acme: Test message: a test"
    assert box.hooks[0]["type"] == "watch.test"
    assert refused.exit_code == ExitCode.INCOMPLETE
    assert "was not sent (mail): (451" in refused.stderr
    assert not desk.path.exists()


def test_a_way_with_a_part_missing_is_named(desk: Desk) -> None:
    """Half of the settings of a way are a mistake, before anything is asked."""

    env = (desk.folder / "watch.env").read_text()
    for part, says in (("MAIL_TO", "Mail needs"), ("WEBHOOK_SECRET", "A webhook needs")):
        lines = [line for line in env.splitlines() if not line.startswith(f"RUNBOOK_{part}=")]
        (desk.folder / "watch.env").write_text("\n".join(lines))
        with pytest.raises(SettingsError, match=says):
            watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")


def test_nobody_is_told_without_a_way(folder: Path) -> None:
    """Without a setting nothing is sent, and a test says that there is no way."""

    with Sandbox("approved", seed=2) as sandbox:
        desk = Desk(folder, sandbox)
        opened = watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
        with pytest.raises(SettingsError, match="No way is set"):
            notify.try_ways(opened.run)
        opened.run.close()
        desk.run.close()


def test_a_mail_server_elsewhere_must_speak_tls(
    desk: Desk, post: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another machine nothing is sent without TLS, also not where the server offers none."""

    monkeypatch.setattr(notify, "is_this_machine", lambda _: False)
    opened = watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    with pytest.raises(NotSentError, match="STARTTLS"):
        notify.send(opened.run, notify.trial(desk.now(), "1"), notify.MAIL)
    opened.run.close()
    assert not post[0].mails


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (formats.mail_address, "a.b+c@acme.example", "Ann <ann@acme.example>"),
        (formats.mail_address, "a@b", "a@b\nBcc: c@d"),
        (formats.webhook_secret, SECRET, "whsec_c2hvcnQ="),
    ],
)
def test_settings_are_checked(parse: Any, good: str, bad: str) -> None:
    """An address is one address, and a signing secret has the length that the standard names."""

    assert parse(good) == good
    with pytest.raises(ValueError, match="not"):
        parse(bad)


def test_people_have_one_address_each() -> None:
    """Names may have spaces; what is no pair is refused."""

    assert formats.people("Ann B=a@x.example, C=c@x.example") == (
        "Ann B=a@x.example",
        "C=c@x.example",
    )
    with pytest.raises(ValueError, match="name=address"):
        formats.people("a@x.example")
    assert json.dumps(formats.people("")) == "[]"


def test_each_look_is_told_to_the_health_check(desk: Desk, post: Posts) -> None:
    """One GET follows each look, whether anything was due or not; a refusal is said, no more."""

    box = post[0]
    with (desk.folder / "watch.env").open("a") as file:
        file.write(f"RUNBOOK_HEALTHCHECK=http://127.0.0.1:{post[2]}/ping/1\n")
    words = ("watch", "--once", "--tenant", "acme", "--env-file", "watch.env")
    shown = [runbook(*words) for _ in range(2)]
    box.refuses = True
    refused = runbook(*words)

    assert set(box.pings) == {"/ping/1"}
    assert [part.output for part in shown] == ["", ""]
    assert refused.stderr == "The health check answered 503 (127.0.0.1).\n"
    assert refused.exit_code == ExitCode.COMPLETE


def test_the_doctor_sends_a_test_message_on_request(desk: Desk, post: Posts) -> None:
    """It goes as a real one does, and only when it is asked for; a refusal is named."""

    words = ["doctor", "--env-file", "watch.env"]
    runbook(*words)
    assert not post[0].mails
    sent = runbook(*words, "--notify-test")
    post[0].refuses = True
    refused = runbook(*words, "--notify-test")

    assert len(post[0].mails) == 1
    assert post[0].mails[0]["Subject"].endswith("Test message: a test")
    assert "accepted: mail, webhook" in " ".join(sent.output.split())
    assert "was not sent (mail): (451" in " ".join(refused.output.split())


def _with_apprise(desk: Desk, address: str) -> Any:
    (desk.folder / "apprise.conf").write_text(f"# who gets it\n{address}\n")
    with (desk.folder / "watch.env").open("a") as file:
        file.write("RUNBOOK_APPRISE_FILE=apprise.conf\n")
    return watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")


@_APPRISE_WARNS
def test_other_services_get_it_by_apprise(
    desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A message that Apprise cannot deliver is due again, and no address is shown."""

    bodies: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if len(bodies) > 1 else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"json://person:pass-Word-4711@127.0.0.1:{server.server_address[1]}/t0ken-Qz81"
        opened = _with_apprise(desk, address)
        change = notify.trial(desk.now(), "1")
        notify.send(opened.run, change, notify.APPRISE)
        with pytest.raises(NotSentError) as refused:
            notify.send(opened.run, change, notify.APPRISE)
        opened.run.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert bodies[0]["title"] == "SANDBOX acme: Test message: a test"
    assert "Nothing changed" in bodies[0]["message"]
    assert "a service did not take it" in str(refused.value)
    printed = capfd.readouterr()
    shown = (str(refused.value), caplog.text, printed.out, printed.err)
    assert not [text for text in shown if "4711" in text or "t0ken" in text]


@_APPRISE_WARNS
def test_without_the_extra_apprise_says_how_to_install_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, and without an address that it knows, the message is due again."""

    opened = _with_apprise(desk, "no-such-service://t0ken-Qz81")
    change = notify.trial(desk.now(), "1")
    with pytest.raises(NotSentError, match="finds no address in") as unknown:
        notify.send(opened.run, change, notify.APPRISE)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotSentError, match=r"pip install .*\[apprise\]"):
        notify.send(opened.run, change, notify.APPRISE)
    opened.run.close()
    assert "t0ken" not in str(unknown.value)
