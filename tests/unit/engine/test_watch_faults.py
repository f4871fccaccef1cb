"""A watch whose clock was wrong, whose file is damaged, or that cannot seal."""

from __future__ import annotations

import json

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.engine import watch as engine_watch
from runbook_lib.engine.watch import open_watch
from runbook_lib.engine.watched import Answer, Topic, Watched, read_watched
from runbook_lib.errors import ExitCode, SealingError, SettingsError
from tests.support.post import Post
from tests.unit.cli.test_people import runbook
from tests.unit.engine import test_notify, test_watched_customers
from tests.unit.engine.test_notify import notified
from tests.unit.engine.test_notify_faults import ONCE, set_again
from tests.unit.engine.test_watch import DAY, HOUR, MINUTE, PROCEDURE, Desk
from tests.unit.engine.test_watched_customers import Office

# Its fixtures.
desk, post = test_notify.desk, test_notify.post
office = test_watched_customers.office
YEARS = 3_650 * DAY


def test_a_clock_that_was_years_ahead_stops_no_watch(desk: Desk, post: Post) -> None:
    """What was looked at, sent or sealed in a future that a wrong clock had is due at once."""

    right = desk.offset
    desk.offset += YEARS
    notified(desk)
    desk.offset = right
    desk.app.secret, post.refuses = "f" * 32, True
    notified(desk)
    desk.offset += YEARS
    notified(desk)
    desk.offset = right
    post.refuses = False
    notified(desk, HOUR)
    kept_now = read_watched(desk.path)

    assert post.recipients.count("all@acme.example") == 1
    kept_now.sealed_on = "2099-01-01T00:00:00.000Z"
    opened = open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    assert opened.is_to_seal(kept_now, 7)
    opened.run.close()


def test_an_answer_that_a_wrong_clock_saw_first_counts_all_the_same(desk: Desk) -> None:
    """A candidate from the future begins with the next look, and counts at the one after it."""

    desk.look()
    desk.app.name, right = "Another", desk.offset
    desk.offset += YEARS
    desk.look()
    desk.offset = right

    assert [change.now for change in desk.changes(HOUR, 6 * MINUTE)] == [
        "failed (App Display Name: Another)"
    ]


@pytest.mark.parametrize("moment", ["2026-11-24T12:00:00", "20261124", "soon"])
@pytest.mark.parametrize("place", ["looked", "sealed_on", "seal_failed_on", "known", "change"])
def test_a_time_that_cannot_be_compared_is_damage(
    desk: Desk, post: Post, moment: str, place: str
) -> None:
    """A time without a zone, wherever it is, is named as damage; nothing breaks."""

    desk.look()
    desk.app.secret = "f" * 32
    desk.look(DAY)
    document = json.loads(desk.path.read_text())
    if place == "looked":
        document["looked"] = dict.fromkeys(document["looked"], moment)
    elif place == "known":
        next(iter(document["topics"].values()))["known"]["on"] = moment
    elif place == "change":
        document["changes"][0]["on"] = moment
    else:
        document[place] = moment
    desk.path.write_text(json.dumps(document))

    with pytest.raises(SettingsError, match="is damaged"):
        read_watched(desk.path)


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"form": 1, "looked": ' + b'{"a":' * 99_999])
def test_a_deep_file_is_damage(desk: Desk, content: bytes) -> None:
    """A file that nests too deeply to be read is named as any other damage."""

    desk.path.write_bytes(content)

    with pytest.raises(SettingsError, match="is damaged"):
        desk.look()


def test_a_run_that_cannot_be_sealed_is_tried_once_an_hour(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, hides no failure in the exit code, and is not repeated at each look."""

    tries: list[float] = []

    def refuse(*_: object, **__: object) -> None:
        tries.append(desk.offset)
        raise SealingError("There is no key.")

    monkeypatch.setattr(engine_watch, "run_in_process", refuse)
    notified(desk)
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    results = []
    for _ in range(15):
        results.append(runbook(*ONCE))
        desk.wait(5 * MINUTE)

    assert len(tries) == 2
    assert tries[1] - tries[0] == HOUR
    assert {result.exit_code for result in results} == {ExitCode.FAILED}
    assert ["There is no key." in result.stderr for result in results].count(True) == 2


def test_a_watch_that_has_begun_goes_on(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has looked, what cannot be read or written is said, and the next look goes on."""

    lines = (desk.folder / "watch.env").read_text()
    turns = 0

    def turn(_: float) -> None:
        nonlocal turns
        turns += 1
        desk.wait(DAY)
        if turns == 1:
            set_again(desk, RUNBOOK_MAIL_FROM="nobody")
        if turns == 2:
            (desk.folder / "watch.env").write_text(lines)
        if turns == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("runbook_lib.cli.watch.time.sleep", turn)
    began = runbook("watch", *ONCE[2:])
    first = read_watched(desk.path).looked_on
    set_again(desk, RUNBOOK_MAIL_FROM="nobody")
    mistaken = runbook("watch", *ONCE[2:])

    assert (began.exit_code, turns, bool(first)) == (ExitCode.INTERRUPTED, 3, True)
    assert "not a mail address" in began.stderr
    assert mistaken.exit_code == ExitCode.USAGE


def test_what_a_watch_writes_it_can_read(desk: Desk) -> None:
    """Where an app is closed, tens of thousands of customers are signed out at once."""

    on = "2026-11-24T12:00:00.000Z"
    topic = Topic(
        known=Answer(Outcome.FAILED, "Cyclr says not signed in", on),
        before=Answer(Outcome.VERIFIED, "Cyclr says signed in", on),
        change="f" * 32,
    )
    everyone = Watched(topics={f"customers/{number:036}": topic for number in range(60_000)})
    everyone.save(desk.path)

    assert len(read_watched(desk.path).topics) == 60_000


def test_customers_that_cannot_be_read_stop_nothing_else(desk: Desk, post: Post) -> None:
    """Where the file of the customers is damaged the steps are watched, sealed and pinged for."""

    set_again(desk, RUNBOOK_HEALTHCHECK=f"http://127.0.0.1:{post.hook_port}/ping")
    desk.path.with_name("connections.json").write_text("{")
    desk.look()
    desk.app.secret = "f" * 32
    desk.wait(DAY)
    result = runbook(*ONCE)

    assert result.exit_code == ExitCode.FAILED
    assert "connections.json cannot be read" in result.stderr
    assert "Sealed: " in result.stderr
    assert (len(post.mails), post.pings) == (1, ["/ping"])


@pytest.mark.parametrize("moment", ["2026-11-24T12:00:00", "soon"])
@pytest.mark.parametrize("place", ["began", "looked_on", "signed_in_on"])
def test_a_time_of_a_customer_that_cannot_be_compared_is_damage(
    office: Office, moment: str, place: str
) -> None:
    """A time without a zone in what is kept of the customers is named, and breaks nothing."""

    office.look()
    path = office.watch.path.with_name("connections.json")
    document = json.loads(path.read_text())
    (document if place == "began" else document["accounts"]["a"])[place] = moment
    path.write_text(json.dumps(document))

    with pytest.raises(SettingsError, match="cannot be read"):
        office.look(DAY)
