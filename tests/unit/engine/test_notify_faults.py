"""Messages where settings, a disk, a mail server or a file are not as they should be."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from runbook_lib.engine import notify, watched
from runbook_lib.engine.watch import open_watch
from runbook_lib.errors import ExitCode
from tests.support.ports import free_ports
from tests.support.post import Post
from tests.unit.cli.test_people import runbook
from tests.unit.engine import test_notify
from tests.unit.engine.test_notify import notified
from tests.unit.engine.test_watch import DAY, HOUR, MINUTE, PROCEDURE, Desk
from tests.unit.engine.test_watch_fleet import kept, looked, tenant

# Its fixtures.
desk, post = test_notify.desk, test_notify.post
ONCE = ("watch", "--once", "--tenant", "acme", "--env-file", "watch.env")


def set_again(desk: Desk, **lines: str) -> None:
    """Write the settings, without these or with another value."""
    path = desk.folder / "watch.env"
    kept_lines = [
        line for line in path.read_text().splitlines() if not line.startswith(tuple(lines))
    ]
    new = [f"{name}={value}" for name, value in lines.items() if value]
    path.write_text("\n".join([*kept_lines, *new, ""]))


def test_a_message_waits_while_its_way_is_not_set(desk: Desk, post: Post) -> None:
    """Where settings for messages are taken out nothing breaks; set again, all are sent."""

    notified(desk)
    desk.app.secret, post.refuses = "f" * 32, True
    notified(desk, DAY)
    post.refuses, post.hooks = False, []
    before = (desk.folder / "watch.env").read_text()
    set_again(desk, RUNBOOK_MAIL="", RUNBOOK_WEBHOOK="", RUNBOOK_ESCALATE_TO="")
    quiet = notified(desk, DAY)
    assert (quiet, post.mails, post.hooks) == ([], [], [])
    (desk.folder / "watch.env").write_text(before)
    notified(desk, DAY)

    assert (len(post.mails), len(post.hooks)) == (1, 1)


def test_a_fleet_goes_on_where_a_tenant_has_no_way_any_more(desk: Desk, post: Post) -> None:
    """A tenant whose mail was unset before its message was sent stops no other."""

    looked(desk, tenants=["acme", "beta"])
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    for name in ("acme", "beta"):
        opened = open_watch(PROCEDURE, {}, tenant=name, env_file="watch.env", clock=desk.now)
        opened.look()
        opened.run.close()
    server = f"127.0.0.1:{post.mail_port}"
    beta = tenant("beta", mail_server=server, mail_from="b@beta.example", mail_to="b@beta.example")
    set_again(desk, RUNBOOK_MAIL="", RUNBOOK_ESCALATE_TO="")
    assert looked(desk, HOUR, tenants=["acme", beta]) == []

    (mail,) = post.mails
    assert mail["Subject"].startswith("SANDBOX beta: ")
    assert kept("acme").changes[0].sending == {"mail": ""}


def test_on_a_full_disk_no_message_is_repeated(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be kept that a message was accepted none is sent, so none comes twice."""

    notified(desk)
    desk.app.secret, post.refuses = "f" * 32, True
    notified(desk, DAY)
    desk.look(6 * MINUTE)
    notified(desk)
    desk.look(9 * MINUTE)
    post.refuses, post.hooks = False, []

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "watch.json")

    with monkeypatch.context() as patched:
        patched.setattr(watched, "write_whole", full)
        desk.wait(2 * MINUTE)
        result = runbook(*ONCE)
        assert (result.exit_code, post.mails, post.hooks) == (ExitCode.INCOMPLETE, [], [])
        assert "Cannot write to disk: No space left on device" in result.stderr
    notified(desk, MINUTE)

    assert (len(post.mails), len(post.hooks)) == (1, 1)


def test_a_secret_that_a_mail_server_quotes_is_not_shown(desk: Desk, post: Post) -> None:
    """A long refusal that quotes the password, cut or with signs of its own, shows no part."""

    password = 'It\'s "quoted" \\ and long enough to be cut'
    texts = ["x" * number + password for number in (0, 270)]

    class Refuses:
        async def handle_DATA(self, *_: object) -> str:
            return f"554 {texts.pop()}"

    server = Controller(
        Refuses(),
        hostname="127.0.0.1",
        port=free_ports(1),
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )
    server.start()
    try:
        set_again(
            desk,
            RUNBOOK_MAIL_SERVER=f"127.0.0.1:{server.port}",
            RUNBOOK_MAIL_USER="me",
            RUNBOOK_MAIL_PASSWORD="'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'",
        )
        results = [runbook(*ONCE, "--notify-test") for _ in range(2)]
    finally:
        server.stop()

    for result in results:
        assert "(554) " in result.stderr
        assert "It's" not in result.stderr
        assert "quoted" not in result.stderr


def test_a_password_that_mail_cannot_carry_is_a_mistake(desk: Desk, post: Post) -> None:
    """A mail password with accents, which `smtplib` cannot send, is named before any look."""

    set_again(desk, RUNBOOK_MAIL_USER="me", RUNBOOK_MAIL_PASSWORD="Schlüssel-4711")
    result = runbook(*ONCE)

    assert result.exit_code == ExitCode.USAGE
    assert "without accents" in result.stderr
    assert "Schl" not in result.stderr


def test_a_mail_server_that_never_ends_is_given_up(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends a byte now and then, for ever, is waited for once, whoever comes next."""

    monkeypatch.setattr(notify, "_MOST_SECONDS", 0.5)
    monkeypatch.setattr(notify, "_SILENT_UNTIL", {})
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            while not over.wait(0.1):
                connection.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        set_again(desk, RUNBOOK_MAIL_SERVER=f"127.0.0.1:{listener.getsockname()[1]}")
        result, second = (runbook(*ONCE, "--notify-test") for _ in range(2))
        over.set()
        server.join()

    assert result.exit_code == second.exit_code == ExitCode.INCOMPLETE
    assert "it was not accepted within" in result.stderr
    assert "it did not answer a short while ago" in second.stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing"])
def test_an_apprise_file_that_is_no_file_is_named(desk: Desk, post: Post, kind: str) -> None:
    """A pipe would be waited for, and a device read, for ever: neither is opened."""

    path = desk.folder / "apprise.conf"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    set_again(desk, RUNBOOK_MAIL="", RUNBOOK_WEBHOOK="", RUNBOOK_APPRISE_FILE=str(path))
    result = runbook(*ONCE, "--notify-test")

    says = {"nothing": "No such file", "device": "a device"}.get(kind, f"a {kind}")
    assert result.exit_code == ExitCode.INCOMPLETE
    assert says.replace("a pipe", "a named pipe") in result.stderr


def test_a_mail_server_with_a_name_that_cannot_be_is_not_reached(desk: Desk, post: Post) -> None:
    """A name that DNS cannot have is a message that was not sent, and breaks nothing."""

    set_again(desk, RUNBOOK_MAIL_SERVER=f"{'x' * 64}.example:25")
    result = runbook(*ONCE, "--notify-test")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert "was not sent (mail)" in result.stderr
