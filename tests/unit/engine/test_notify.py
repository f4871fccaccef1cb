"""Messages: to whom, once, by a real SMTP server and a receiver that verifies signatures."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config import formats
from runbook_lib.engine import notify, watch
from runbook_lib.engine.notify import NotSentError
from runbook_lib.engine.watched import Kind, read_watched
from runbook_lib.errors import ExitCode, SettingsError
from tests.support.post import SECRET, Post, receiving
from tests.support.words import assigned
from tests.unit.cli.test_people import runbook
from tests.unit.engine.test_watch import DAY, HOUR, MINUTE, PROCEDURE, Desk

STEP = "fb-13-app-id-and-secret"
# Apprise imports it where there still is one.
_APPRISE_WARNS = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def post() -> Iterator[Post]:
    with receiving() as post:
        yield post


@pytest.fixture
def desk(folder: Path, post: Post, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with Sandbox("approved", seed=2) as sandbox:
        desk = Desk(folder, sandbox)
        post.clock = desk.now
        with (folder / "watch.env").open("a") as file:
            file.write(
                f"{post.settings}RUNBOOK_MAIL_PEOPLE=Ann=ann@acme.example\n"
                "RUNBOOK_ESCALATE_TO=head@acme.example\n"
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


def test_a_failure_and_its_recovery_are_one_message_each(desk: Desk, post: Post) -> None:
    """Both ways get each once, the mails in one thread, the person who has the step hers."""

    desk.run.say([assigned(STEP, "Ann")])
    notified(desk)
    secret, desk.app.secret = desk.app.secret, "f" * 32
    assert notified(desk, DAY) == []
    assert notified(desk, HOUR) == []
    desk.app.secret = secret
    notified(desk, HOUR)
    notified(desk, HOUR)

    failed, recovered = post.mails
    assert [hook["type"] for hook in post.hooks] == ["watch.failed", "watch.recovered"]
    assert post.recipients == ["ann@acme.example"] * 2
    assert failed["Subject"].startswith("SANDBOX acme: 13 Complete Settings > Basic")
    assert failed["Subject"].endswith(": failed")
    assert recovered["References"] == failed["Message-ID"]
    assert failed["Message-ID"] == f"<{post.hooks[0]['data']['id']}@acme.example>"
    assert post.ids[0] == f"msg_{post.hooks[0]['data']['id']}"
    text = failed.get_content()
    assert "It was: verified. It is: failed." in text
    assert "What to do: Copy the App Secret again" in text


def test_what_is_not_accepted_is_sent_later(desk: Desk, post: Post) -> None:
    """A refused message is tried again with growing waits, and is in the file without secrets."""

    notified(desk)
    desk.app.secret, post.refuses = "f" * 32, True
    refused = notified(desk, DAY)
    soon, later = notified(desk, 4 * MINUTE), notified(desk, 2 * MINUTE)
    between = notified(desk, 6 * MINUTE)
    post.refuses, post.hooks = False, []
    notified(desk, 10 * MINUTE)
    notified(desk, DAY)

    assert [len(part) for part in (refused, soon, later, between)] == [2, 0, 2, 0]
    assert len(post.mails) == len(post.hooks) == 1
    (change,) = read_watched(desk.path).changes
    assert set(change.sent) == {"mail", "webhook"}
    assert not change.sending
    assert SECRET not in desk.path.read_text()


def test_a_kill_repeats_a_message_with_the_same_id(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between acceptance and our line, a message comes twice, and is known as the same."""

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

    first, again = post.mails
    assert first["Message-ID"] == again["Message-ID"]
    assert len(post.ids) == 1


def test_a_failure_that_lasts_goes_to_a_second_address(desk: Desk, post: Post) -> None:
    """After `escalate_days` the second address gets it, once; not what is over by then."""

    notified(desk)
    desk.app.secret = "f" * 32
    for _ in range(5):
        notified(desk, DAY)

    assert post.recipients == ["all@acme.example", "head@acme.example"]
    assert post.mails[1]["Subject"].endswith(": still failed")
    assert post.mails[1]["References"] == post.mails[0]["Message-ID"]


def test_what_falls_due_is_said_30_7_and_1_days_before(desk: Desk, post: Post) -> None:
    """A day on which something is due is named three times, to the person who has it."""

    due = desk.now().date().toordinal() + 40
    day = desk.now().date().fromordinal(due).isoformat()
    desk.run.say([assigned("fb-01-log-in", "Ann", due=day)])
    for _ in range(42):
        notified(desk, DAY)

    about = [hook["data"] for hook in post.hooks if hook["data"]["step"] == "fb-01-log-in"]
    assert [change["kind"] for change in about] == [Kind.DUE] * 3
    assert [change["reason"].rpartition("in ")[2] for change in about] == [
        "30 days.",
        "7 days.",
        "1 day.",
    ]
    assert post.recipients.count("ann@acme.example") == 3


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


def test_a_test_message_goes_the_way_of_a_real_one(desk: Desk, post: Post) -> None:
    """`--notify-test` sends in every way, says which accepted it, and fails where one does not."""

    words = ("watch", "--notify-test", "--tenant", "acme", "--env-file", "watch.env")
    sent = runbook(*words)
    post.refuses = True
    refused = runbook(*words)

    assert (sent.exit_code, sent.stdout) == (ExitCode.COMPLETE, "Accepted: mail, webhook.\n")
    assert post.mails[0]["Subject"] == "SANDBOX acme: Test message: a test"
    assert post.hooks[0]["type"] == "watch.test"
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
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another machine nothing is sent without TLS, also not where the server offers none."""

    monkeypatch.setattr(notify, "is_this_machine", lambda _: False)
    opened = watch.open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    with pytest.raises(NotSentError, match="STARTTLS"):
        notify.send(opened.run, notify.trial(desk.now(), "1"), notify.MAIL)
    opened.run.close()
    assert not post.mails


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


def test_each_look_is_told_to_the_health_check(desk: Desk, post: Post) -> None:
    """One GET follows each look, whether anything was due or not; a refusal is said, no more."""

    with (desk.folder / "watch.env").open("a") as file:
        file.write(f"RUNBOOK_HEALTHCHECK=http://127.0.0.1:{post.hook_port}/ping/1\n")
    words = ("watch", "--once", "--tenant", "acme", "--env-file", "watch.env")
    shown = [runbook(*words) for _ in range(2)]
    post.refuses = True
    refused = runbook(*words)

    assert set(post.pings) == {"/ping/1"}
    assert [part.output for part in shown] == ["", ""]
    assert refused.stderr == "The health check answered 503 (127.0.0.1).\n"
    assert refused.exit_code == ExitCode.COMPLETE


def test_the_doctor_sends_a_test_message_on_request(desk: Desk, post: Post) -> None:
    """It goes as a real one does, and only when it is asked for; a refusal is named."""

    words = ["doctor", "--env-file", "watch.env"]
    runbook(*words)
    assert not post.mails
    sent = runbook(*words, "--notify-test")
    post.refuses = True
    refused = runbook(*words, "--notify-test")

    assert len(post.mails) == 1
    assert post.mails[0]["Subject"].endswith("Test message: a test")
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
