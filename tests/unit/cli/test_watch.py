"""`watch`: what a person, and a program, reads of what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.errors import ExitCode, SealingError
from runbook_lib.evidence.reports.phrases import when
from runbook_lib.operations.watch import cycle as cycle_module
from runbook_lib.operations.watch import poll as poll_module
from tests.support.commands import runbook
from tests.support.post import Post, receiving
from tests.support.wording import wording
from tests.unit.operations.watch.desk import DAY, HOUR, MINUTE, Desk

ONCE = ("watch", "--once", "--tenant", "acme", "--env-file", "watch.env")
FILE = ("watch", "tenants.toml", "--once", "--env-file", "watch.env")
# The fields of a line of `watch --json`: programs rely on them.
FIELDS = {
    "advice", "cause", "command", "customers", "due", "failing", "group", "id", "known_to", "link",
    "more_places", "overdue_days", "phase", "places", "sandbox", "since", "stops", "tenants",
    "title", "usual_days", "waits_for",
}  # fmt: skip
PLACE_FIELDS = {"connector", "id", "name", "outcome", "reason", "tenant"}
REFUSED = wording("findings.secret-refused")
NOT_CHECKED = wording("screens.not-checked")


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(folder, monkeypatch)
    defaults = poll_module.open_watched.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "clock", desk.now)
    monkeypatch.setattr(cycle_module, "utc_now", desk.now)
    monkeypatch.setattr("runbook_lib.core.clock.utc_now", desk.now)
    desk.begin()
    return desk


@pytest.fixture
def post(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """Give real servers, which the channels use."""
    monkeypatch.undo()
    monkeypatch.chdir(desk.folder)
    with receiving() as post:
        desk.set(**dict(line.split("=", 1) for line in post.settings.splitlines()))
        yield post


def test_a_change_is_printed_once(desk: Desk) -> None:
    """An unchanged state prints nothing; a failure once, with what to do; the code stays 1."""
    first = runbook(*ONCE)
    desk.refuse_secret()
    desk.offset += DAY
    failed = runbook(*ONCE)
    again = runbook(*ONCE)

    assert (first.exit_code, first.output) == (ExitCode.COMPLETE, "")
    assert failed.exit_code == again.exit_code == ExitCode.FAILED
    head, *lines = failed.stdout.splitlines()
    assert head == f"✘ SANDBOX acme: {REFUSED} (new)"
    listed = runbook("inbox", "--verbose").stdout
    assert f"{head.removesuffix(' (new)')}\n" in listed
    assert all(line in listed for line in lines if "--ack" not in line)
    assert failed.stderr == ""
    assert again.stdout == ""


def test_a_page_that_cannot_be_built_silences_no_watch(desk: Desk) -> None:
    """The list of tenants cannot be written: what is open is told all the same."""
    runbook(*ONCE)
    Path("evidence/tenants.json").unlink()
    Path("evidence/tenants.json").mkdir()
    desk.refuse_secret()
    desk.offset += DAY
    result = runbook(*ONCE)

    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.startswith(f"✘ SANDBOX acme: {REFUSED} (new)")
    assert "index.html" in result.stderr


def test_a_program_gets_a_line_for_each_row(desk: Desk) -> None:
    """`--json` has these fields, with each tenant of the cause; a person reads the cause once."""
    desk.begin("beta")
    Path("tenants.toml").write_text('[[tenant]]\ntenant = "acme"\n[[tenant]]\ntenant = "beta"\n')
    runbook(*FILE)
    desk.refuse_secret()
    desk.offset += DAY
    (row,) = [json.loads(line) for line in runbook(*FILE, "--json").stdout.splitlines()]
    desk.answers.clear()
    desk.offset += 16 * MINUTE
    runbook(*FILE)
    desk.offset += 6 * MINUTE
    over = runbook(*FILE)

    assert row.keys() == FIELDS
    assert (row["phase"], row["failing"], row["sandbox"]) == ("new", True, True)
    assert row["tenants"] == ["acme", "beta"]
    assert all(place.keys() == PLACE_FIELDS for place in row["places"])
    assert {place["tenant"] for place in row["places"]} == {"acme", "beta"}
    assert over.stdout.startswith(f"✔ SANDBOX acme, beta: {REFUSED} (over)")


def test_an_unprinted_change_is_printed_by_the_next_cycle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while it prints loses nothing; once printed it is not printed again."""
    runbook(*ONCE)
    desk.refuse_secret()
    desk.offset += DAY

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("runbook_lib.cli.watch.show_row", killed)
        assert runbook(*ONCE).exit_code == ExitCode.INTERRUPTED
    shown = json.loads(runbook(*ONCE, "--json").stdout)
    assert shown["title"] == REFUSED
    assert runbook(*ONCE).stdout == ""


@pytest.mark.parametrize(
    ("words", "codes"), [((), []), (("--seal-changes",), [DAY]), (("--seal-every", "3"), [0, 3])]
)
def test_sealing_is_an_option(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], codes: list[int]
) -> None:
    """Without one nothing is sealed; else after a change, or every so many days."""
    sealed: list[float] = []

    def seal(*_: object, **__: object) -> RunEnd:
        sealed.append(desk.offset)
        return RunEnd(bundle="evidence/bundle")

    monkeypatch.setattr(cycle_module, "seal_elsewhere", seal)
    runbook(*ONCE, *words)
    desk.refuse_secret()
    for _ in range(4):
        desk.offset += DAY
        result = runbook(*ONCE, *words)
    assert sealed == ([0, 3 * DAY] if "--seal-every" in words else codes)
    assert result.exit_code == ExitCode.FAILED


def test_a_known_problem_is_not_reminded_of_and_who_knows_is_shown(desk: Desk) -> None:
    """The message names the id; the list and the page show who knows, and why."""
    runbook(*ONCE)
    desk.refuse_secret()
    desk.offset += DAY
    shown = runbook(*ONCE).stdout
    ident = shown.partition("--ack ")[2].split()[0]
    noted = runbook("watch", "--ack", ident, "--by", "Ann", "--note", "on it")
    other = runbook("watch", "--ack", ident, "--by", "Ben")
    desk.post.take_reports()
    desk.offset += DAY + HOUR
    runbook(*ONCE)
    quiet = desk.post.take_reports()

    assert len(ident) == 8
    assert noted.stdout == (
        "Noted for acme: Ann knows about it. Reminders stop until it changes.\n"
    )
    assert other.exit_code == ExitCode.USAGE
    assert wording("setting-invalid.already-acknowledged", name="Ann") in other.stderr
    assert quiet == []
    assert "    Known to Ann: on it\n" in runbook("inbox").stdout
    assert "Known to Ann: on it" in Path("evidence/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ("--ack", "0" * 32, "--by", "Ann"),
        ("--ack", "0" * 32),
        ("--by", "Ann"),
        ("--ack", "0" * 32, "--by", "Ann", "--until", "2030-12-24"),
        ("tenants.toml", "--set", "app_id=1"),
        ("tenants.toml", "--notify-test"),
        ("tenants.toml", "--sandbox"),
        ("--sandbox", "--env-file", "watch.env"),
        ("--once", "--tenant", "nobody", "--env-file", "watch.env"),
    ],
)
def test_words_that_do_not_fit_are_a_mistake(desk: Desk, words: tuple[str, ...]) -> None:
    """Nothing is looked at or written then."""
    before = sorted(Path("evidence").rglob("*"))
    assert runbook("watch", *words).exit_code == ExitCode.USAGE
    assert not desk.asked
    assert sorted(Path("evidence").rglob("*")) == before


def test_a_password_that_mail_cannot_carry_is_a_mistake(desk: Desk) -> None:
    """A mail password with accents, which SMTP cannot send, is named before any look, unquoted."""
    desk.set(RUNBOOK_MAIL_USER="me", RUNBOOK_MAIL_PASSWORD="Schlüssel-4711")
    result = runbook(*ONCE)

    assert result.exit_code == ExitCode.USAGE
    assert "without accents" in result.stderr
    assert "Schl" not in result.stderr
    assert not desk.asked


def test_each_look_is_told_to_the_health_check(desk: Desk) -> None:
    """One GET follows each look, whether anything was due or not; a refusal changes no code."""
    with receiving() as post:
        desk.set(RUNBOOK_HEALTHCHECK=f"http://127.0.0.1:{post.hook_port}/ping/1")
        looks = [runbook(*ONCE) for _ in range(2)]
        pings = list(post.pings)
        post.refuses = True
        refused = runbook(*ONCE)

    assert pings == ["/ping/1"] * 2
    assert len(post.pings) > 2
    assert [look.output for look in looks] == ["", ""]
    assert refused.stderr == wording("watch.health-check-answered", host="127.0.0.1", status=503)
    assert refused.exit_code == ExitCode.COMPLETE


def test_a_tenant_that_cannot_be_polled_is_incomplete(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A used-up hour is said on the error output, with the code of what is incomplete."""
    monkeypatch.setattr("runbook_lib.engine.tenant_run.Run.used_calls", 99.0)
    held = runbook(*ONCE)

    assert (held.exit_code, held.stdout) == (ExitCode.INCOMPLETE, "")
    assert held.stderr == f"acme: {NOT_CHECKED}: {wording('watch.calls-used', percent=99)}.\n"


def test_without_once_it_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks every five minutes; only before the first look does a mistake end it."""
    lines = desk.env.read_text()
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        desk.offset += DAY
        desk.env.write_text(lines.replace("runbook@", "") if len(waits) == 1 else lines)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("runbook_lib.cli.watch.time.sleep", sleep)
    ended = runbook("watch", *ONCE[2:])
    desk.set(RUNBOOK_MAIL_FROM="nobody")
    mistaken = runbook("watch", *ONCE[2:])

    assert waits == [300, 300, 300]
    assert ended.exit_code == ExitCode.INTERRUPTED
    assert wording("ValueError.not-a-mail-address") in ended.stderr
    assert mistaken.exit_code == ExitCode.USAGE


def test_it_is_seen_when_a_tenant_was_last_looked_at(desk: Desk) -> None:
    """The list of tenants says when; nothing before the first poll, and what cannot be read."""
    desk.tenant("beta")
    before = runbook("status")
    runbook(*ONCE)
    polled_on = desk.tenant_row().last_polled_on
    after = runbook("status")
    tenants = json.loads(runbook("status", "--json").stdout)
    desk.path.write_bytes(b"x" * 5000)
    broken = runbook("status")

    assert "last polled" not in before.stdout
    assert f"last polled {when(polled_on)}" in after.stdout
    assert polled_on in [tenant["polled_on"] for tenant in tenants]
    assert wording("watch.poll-time-unreadable") in broken.stdout
    assert "watch.db" in broken.stderr


def test_a_tenant_of_a_fleet_that_nobody_knows_stops_no_other(desk: Desk) -> None:
    """It is named, with how to begin it, and listed as never run; nothing of it is written."""
    Path("tenants.toml").write_text(
        '[[tenant]]\ntenant = "nobody"\nservice_domain = "nobody-h.cyclr.com"\n'
        '[[tenant]]\ntenant = "acme"\n'
        'secrets = {app_secret = "dotenv:watch.env#RUNBOOK_FACEBOOK_APP_SECRET"}\n'
    )
    first = runbook(*FILE)
    desk.refuse_secret()
    desk.offset += DAY
    failed = runbook(*FILE)

    assert first.exit_code == ExitCode.INCOMPLETE
    assert first.stdout.startswith(f"○ nobody: {wording('status.never-run')} (open)")
    assert first.stderr.startswith("nobody: ")
    assert wording("tenant-unknown.no-record", tenant="nobody") in first.stderr
    assert wording("tenant-unknown.run-once") in first.stderr
    assert "runbook lab" not in first.stderr
    assert failed.exit_code == ExitCode.FAILED
    assert failed.stdout.startswith(f"✘ SANDBOX acme: {REFUSED} (new)")
    assert not Path("evidence/nobody").exists()


NO_KEY = "There is no key."


def test_a_run_that_cannot_be_sealed_is_tried_once_an_hour(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, hides no failure in the exit code, and is not repeated at each look."""
    monkeypatch.undo()
    monkeypatch.chdir(desk.folder)
    desk = Desk(desk.folder, monkeypatch)
    tries: list[float] = []

    def refuse(*_: object, **__: object) -> None:
        tries.append(desk.offset)
        raise SealingError(NO_KEY)

    monkeypatch.setitem(poll_module.open_watched.__kwdefaults__ or {}, "clock", desk.now)
    monkeypatch.setattr(cycle_module, "utc_now", desk.now)
    monkeypatch.setattr(cycle_module, "seal_elsewhere", refuse)
    runbook(*ONCE)
    desk.refuse_secret()
    desk.offset += DAY
    results = []
    for _ in range(14):
        results.append(runbook(*ONCE, "--seal-changes"))
        desk.offset += 5 * MINUTE

    assert tries == [DAY, DAY + HOUR]
    assert {result.exit_code for result in results} == {ExitCode.FAILED}
    assert [NO_KEY in result.stderr for result in results].count(True) == 2


def test_a_test_message_goes_the_way_of_a_real_one(desk: Desk, post: Post) -> None:
    """Only `--notify-test` sends one; it says which channel accepted it, and fails where none."""
    sent = []
    refused = []
    runbook("doctor", "--env-file", "watch.env")
    assert (post.mails, post.hooks) == ([], [])
    for words in (ONCE, ("doctor", "--env-file", "watch.env")):
        post.refuses = False
        sent.append(runbook(*words, "--notify-test"))
        post.refuses = True
        refused.append(runbook(*words, "--notify-test"))

    accepted = wording("watch.accepted", channels="mail, webhook")
    assert (sent[0].exit_code, sent[0].stdout) == (
        ExitCode.COMPLETE,
        f"{accepted}\n",
    )
    assert accepted.lower().removesuffix(".") in " ".join(sent[1].output.split())
    assert all(mail["Subject"].endswith(": test message") for mail in post.mails)
    assert len(post.mails) == 2
    assert post.hooks[0]["type"] == "watch.test"
    assert refused[0].exit_code == ExitCode.INCOMPLETE
    for result in refused:
        assert wording("watch.not-sent", channel="mail", code=451) in " ".join(
            result.output.split()
        )
    assert not desk.path.exists()


def test_each_receiver_of_a_file_gets_one_test_message(desk: Desk, post: Post) -> None:
    """With FILE each tenant's receivers are tried, a shared one once; none stops others."""
    desk.tenant("beta")
    desk.tenant("coda")
    Path("tenants.toml").write_text(
        "".join(f'[[tenant]]\ntenant = "{name}"\n' for name in ("acme", "nobody", "beta"))
        + '[[tenant]]\ntenant = "coda"\nmail_to = "coda@acme.example"\n'
    )
    words = ("tenants.toml", "--env-file", "watch.env", "--notify-test")
    watch = runbook("watch", *words)
    doctor = runbook("doctor", *words)

    accepted = {
        "acme": "mail, webhook",
        "beta": "mail, as acme, webhook, as acme",
        "coda": "mail, webhook, as acme",
    }
    assert watch.stdout.splitlines() == [
        f"{tenant}: {wording('watch.accepted', channels=channels)}"
        for tenant, channels in accepted.items()
    ]
    assert wording("tenant-unknown.no-record", tenant="nobody") in watch.stderr
    assert watch.exit_code == ExitCode.USAGE
    assert wording("watch.accepted-as", channel="mail", tenant="acme") in " ".join(
        doctor.output.split()
    )
    assert [mail["To"] for mail in post.mails] == ["all@acme.example", "coda@acme.example"] * 2
    assert len(post.hooks) == 2
    assert runbook("doctor", "tenants.toml").exit_code == ExitCode.USAGE


def test_practice_has_its_own_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch --sandbox` and `doctor --sandbox` need no `.env`; the first one says how to begin."""
    Path(".env").write_text("RUNBOOK_MAIL_TO=nobody\n")
    first = runbook("watch", "--sandbox", "--once")
    examined = runbook("doctor", "--sandbox", "--json")
    items = {row["subject"]: row["message"] for row in json.loads(examined.stdout)}

    assert first.exit_code == ExitCode.USAGE
    assert wording("tenant-unknown.run-once") in first.stderr
    assert "runbook lab" not in first.stderr
    assert "sandbox-approved" in first.stderr
    assert "sandbox.env: " in items["Settings"]
    assert [said for name, said in items.items() if name.startswith("http://127.0.0.1")]
