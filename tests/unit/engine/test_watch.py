"""A watch: what changed, once, when it counts, and what is never a change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.faults import fault_of
from facebook_cyclr_sandbox.state.review import decide
from runbook_lib.config.runner import inputs_of
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.engine import watch as engine_watch
from runbook_lib.engine.process import Finished, ProcessRequest
from runbook_lib.engine.run import open_run
from runbook_lib.engine.watch import Look, open_watch
from runbook_lib.engine.watched import (
    Answer,
    Change,
    Kind,
    Topic,
    Watched,
    last_look,
    read_watched,
)
from runbook_lib.errors import BusyError, SealingError, SettingsError
from tests.support.words import attested, submitted

PROCEDURE = find_procedure("facebook_marketing")
MINUTE, HOUR, DAY = 60, 3_600, 86_400


class Desk:
    """A tenant whose app is in a sandbox, at a time that moves only when somebody says so."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.world, self.sandbox = folder, sandbox.world, sandbox
        self.offset = 0.0
        self.sealed: list[ProcessRequest] = []
        settings = {item: sandbox.settings(item.provider).get(item.name) for item in self.inputs}
        text = "".join(f'{item.variable}="{value}"\n' for item, value in settings.items() if value)
        (folder / "watch.env").write_text(text)
        self.run = open_run(
            PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme", env_file="watch.env"
        )
        self.run.start()
        self.path = self.run.journal.path.with_name("watch.json")

    inputs = inputs_of(PROCEDURE)

    @property
    def app(self) -> Any:
        """Return the app in the sandbox."""
        return next(iter(self.world.facebook.apps.values()))

    def now(self) -> datetime:
        """Return the time, as it is there."""
        return utc_now() + timedelta(seconds=self.offset)

    def wait(self, seconds: float) -> None:
        """Let time pass, here and there."""
        self.offset += seconds
        self.world.offset += seconds
        (self.folder / "evidence" / "calls.jsonl").unlink(missing_ok=True)

    def look(self, after: float = 0.0, *, show: bool = True, **given: object) -> Look:
        """Look once, `after` so many seconds."""
        self.wait(after)
        watch = open_watch(PROCEDURE, given, tenant="acme", env_file="watch.env", clock=self.now)
        try:
            look = watch.look()
            if show and look.changes:
                watch.show(look.changes)
        finally:
            watch.run.close()
        return look

    def changes(self, *waits: float) -> list[Change]:
        """Return what looks after these waits have found."""
        return [change for wait in waits for change in self.look(wait).changes]

    def lines(self) -> int:
        """Return how long the journal is."""
        return len(self.run.journal.path.read_bytes().splitlines())


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with Sandbox("approved", seed=2) as sandbox:
        desk = Desk(folder, sandbox)

        def seal(request: ProcessRequest, **_: object) -> Finished:
            desk.sealed.append(request)
            return Finished("incomplete", Path("evidence/bundle"))

        monkeypatch.setattr(engine_watch, "run_in_process", seal)
        yield desk
        desk.run.close()


def test_an_unchanged_look_says_and_writes_nothing(desk: Desk) -> None:
    """Of looks at what stands as it was nothing is said, and the journal gets no line."""

    lines = desk.lines()
    assert desk.changes(0, *[HOUR] * 12, DAY, DAY) == []
    assert desk.lines() == lines
    assert last_look(desk.path.parent) == read_watched(desk.path).looked_on != ""


def test_what_waits_is_looked_at_more_often_than_what_is_finished(desk: Desk) -> None:
    """A step that waits is asked every 15 minutes at most, a finished one once a day."""

    desk.run.perform("fb-11-permissions")
    everything = desk.look().asked
    assert desk.look(14 * MINUTE).asked == 0
    assert 0 < desk.look(2 * MINUTE).asked < everything
    looked = read_watched(desk.path).looked
    assert looked["fb-11-permissions"] < looked["fb-04-create-app"]
    assert desk.look(DAY).asked == everything


def test_a_refused_secret_is_one_failure_at_once_and_one_recovery(desk: Desk) -> None:
    """
    All steps that need the secret fail with one cause, named once, without a second look.

    Once it is accepted again that counts after two looks, and is said once.
    """

    desk.look()
    secret, desk.app.secret = desk.app.secret, "f" * 32
    (failed,) = desk.look(DAY).changes
    assert desk.changes(16 * MINUTE, 16 * MINUTE) == []
    desk.app.secret = secret
    (recovered,) = desk.changes(16 * MINUTE, MINUTE, 16 * MINUTE, HOUR)

    assert (failed.kind, failed.step) == (Kind.FAILED, "fb-13-app-id-and-secret")
    assert (failed.was, failed.now) == ("verified", "failed")
    assert "refuses this App Secret" in failed.reason
    assert "No customer can sign in" in failed.breaks
    assert "Copy the App Secret again" in failed.do
    assert any(title.startswith("8 ") for title in failed.also)
    assert (recovered.kind, recovered.ends, recovered.title) == (
        Kind.RECOVERED,
        failed.id,
        failed.title,
    )


def test_another_answer_counts_when_it_is_seen_again(desk: Desk) -> None:
    """A renamed app counts five minutes later, whatever the interval; what passes by never does."""

    desk.look()
    name, desk.app.name = desk.app.name, "Another"
    assert desk.look(DAY).changes == ()
    desk.app.name = name
    assert desk.changes(6 * MINUTE, DAY) == []

    desk.app.name = "Another"
    assert desk.look(DAY).changes == ()
    assert desk.look(4 * MINUTE).changes == ()
    (renamed,) = desk.look(2 * MINUTE).changes
    assert renamed.was == "verified (App Display Name: Partner Integrations)"
    assert renamed.now == "failed (App Display Name: Another)"
    assert renamed.since < renamed.on
    assert len(renamed.also) == 1


def test_a_lost_permission_is_named(desk: Desk) -> None:
    """A permission that the app loses is one change, with its name, at all steps about it."""

    desk.look()
    lost = desk.app.permissions.pop("ads_read")
    (change,) = desk.changes(DAY, 6 * MINUTE)
    desk.app.permissions["ads_read"] = lost
    (back,) = desk.changes(16 * MINUTE, 16 * MINUTE)

    assert change.now == "could not be checked (ads_read: not listed)"
    assert change.was == "verified (ads_read: live)"
    assert (back.kind, back.ends) == (Kind.RECOVERED, change.id)


def test_a_failure_is_over_when_all_of_it_is(desk: Desk) -> None:
    """Of steps that failed with one cause, one that still cannot tell keeps it open."""

    desk.look()
    secret, desk.app.secret = desk.app.secret, "f" * 32
    (failed,) = desk.look(DAY).changes
    desk.app.secret = secret
    lost = desk.app.permissions.pop("ads_read")
    between = desk.changes(16 * MINUTE, 16 * MINUTE)
    desk.app.permissions["ads_read"] = lost
    after = desk.changes(16 * MINUTE, 16 * MINUTE)

    assert [change.kind for change in between] == [Kind.CHANGED]
    assert [change.ends for change in after if change.kind is Kind.RECOVERED] == [failed.id]


def test_a_review_that_is_decided_is_a_change(folder: Path) -> None:
    """A step that waits, as a person said, becomes verified: said once, with what it was."""

    with Sandbox("review-pending", seed=2) as sandbox:
        desk = Desk(folder, sandbox)
        desk.run.say([submitted("fb-12-submit-review")])
        desk.look()
        decide(desk.app, dict.fromkeys(desk.app.review.permissions, "approved"), "")
        changes = desk.changes(16 * MINUTE, 6 * MINUTE)
        desk.run.close()

    titles = [title for change in changes for title in (change.title, *change.also)]
    assert any(title.startswith("12 ") for title in titles)
    assert {change.kind for change in changes} == {Kind.CHANGED}
    assert all(change.now.startswith("verified") for change in changes)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "server-error"},
        {"kind": "graph-error", "code": 1, "site": "graph"},
        {"kind": "truncated"},
    ],
    ids=lambda fault: f"{fault['kind']}{fault.get('code', '')}",
)
def test_an_outage_is_no_change_and_one_finding_after_a_day(
    desk: Desk, fault: dict[str, Any]
) -> None:
    """A system that does not answer is named once, after a day, and once when it answers again."""

    desk.look()
    desk.world.faults.active = [fault_of({**fault, "share": 1.0})]
    quiet = desk.changes(DAY, 20 * HOUR)
    later = desk.changes(4 * HOUR, DAY)
    desk.world.faults.active = []
    over = desk.changes(HOUR, DAY)

    assert quiet == []
    assert [change.kind for change in later] == [Kind.OUTAGE]
    assert [(change.kind, change.ends) for change in over] == [(Kind.OUTAGE_OVER, later[0].id)]


def test_a_fault_of_the_remote_systems_own_is_told_from_a_refusal(desk: Desk) -> None:
    """Graph's codes 1 and 2 decide nothing, unless they refuse the secret or a desktop app."""

    watch = open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env")
    finding = Finding(outcome=Outcome.INCONCLUSIVE, reason="It said so.")

    def is_fault(
        status: int | None, code: int, message: str = "An unknown error", method: str = "GET"
    ) -> bool:
        response = {"error": {"code": code, "message": message}}
        exchange = Exchange(
            method=method, url="https://x.example", sent_on=timestamp(desk.now()), elapsed=0.0,
            status=status, response=response,
        )  # fmt: skip
        return watch._is_fault(finding, [exchange])

    assert [is_fault(400, code) for code in (1, 2, 4, 100)] == [True, True, True, False]
    assert not is_fault(400, 1, "Error validating client secret.")
    assert not is_fault(400, 1, "the app is configured as a desktop app")
    assert is_fault(429, 100)
    assert is_fault(None, 100)
    assert not is_fault(None, 100, method="DNS")
    watch.run.close()


def test_what_a_failure_explains_is_no_outage(desk: Desk) -> None:
    """What does not answer because of something that was reported is not reported once more."""

    on, why = timestamp(desk.now()), "a.example could not be reached: its certificate has ended."
    failed = Answer(Outcome.FAILED, f"{why} Renew it.", on)
    topics = {
        "a": Topic(known=failed, change="1"),
        "b": Topic(unanswered_since=on, unanswered=why),
        "c": Topic(unanswered_since=on, unanswered="b.example could not be reached."),
    }
    watched, later = Watched(topics=topics), desk.now() + timedelta(days=2)
    (outage,) = engine_watch._outage(watched, later)
    del topics["c"]
    (over,) = engine_watch._outage(watched, later)

    assert outage.reason == "b.example could not be reached."
    assert over.kind is Kind.OUTAGE_OVER


def test_what_ended_is_asked_for_again_and_settled_by_a_new_word(desk: Desk) -> None:
    """A word that has grown old is a change without any request, and its renewal ends it."""

    step = next(step for step in PROCEDURE.steps if step.id == "fb-12a-publish")

    def confirm() -> None:
        desk.run.say([attested(step.id, at=timestamp(desk.now()))])

    desk.run.clock = desk.now
    confirm()
    desk.look()
    old = [c for c in desk.changes(366 * DAY, DAY) if c.step == step.id]
    confirm()
    again = [c for c in desk.changes(HOUR, HOUR) if c.step == step.id]

    assert [(c.kind, c.was, c.now) for c in old] == [(Kind.FAILED, "attested", "to do")]
    assert [(c.kind, c.ends) for c in again] == [(Kind.RECOVERED, old[0].id)]


def test_a_used_up_hour_is_left_to_people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond half of the app's calls of the hour nothing is asked, and the look says so."""

    monkeypatch.setattr("runbook_lib.engine.run.Run.used_calls", 51.0)
    held = desk.look()

    assert (held.asked, held.held) == (
        0,
        "Not looked: 51 % of the app's calls of this hour are used.",
    )
    assert not desk.path.exists()


def test_nothing_is_spent_unasked(desk: Desk) -> None:
    """A watch installs nothing and makes no test calls, even where the settings permit it."""

    desk.world.cyclr.account_connectors.clear()
    with (desk.folder / "watch.env").open("a") as file:
        file.write("RUNBOOK_FACEBOOK_MAKE_TEST_CALLS=true\nRUNBOOK_CYCLR_INSTALL_CONNECTOR=true\n")
    desk.look()

    topics = read_watched(desk.path).topics
    assert not [key for key in topics if key.endswith("test-calls-are-made")]
    assert not desk.world.cyclr.account_connectors


def test_what_nobody_was_shown_is_not_lost(desk: Desk) -> None:
    """A look that was killed before it was shown is shown by the next one, with the same id."""

    desk.look()
    desk.app.secret = "f" * 32
    (first,) = desk.look(DAY, show=False).changes
    (again,) = desk.look(MINUTE).changes

    assert first.id == again.id
    assert desk.look(MINUTE).changes == ()


def test_a_changed_outcome_is_sealed_once(desk: Desk) -> None:
    """A sealed run follows a changed outcome, is tried until it succeeds, and comes each period."""

    def seal(every: int = 0) -> str:
        watch = open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env", clock=desk.now)
        try:
            return watch.seal(every)
        finally:
            watch.run.close()

    desk.look()
    assert seal() == ""
    desk.app.secret = "f" * 32
    desk.look(DAY)
    assert seal() == "evidence/bundle"
    assert seal() == ""
    assert seal(7) == ""
    desk.wait(7 * DAY)
    assert seal(7) == "evidence/bundle"
    (request, _) = desk.sealed
    assert (request.tenant, request.given["make_test_calls"]) == ("acme", False)
    assert "app_secret" not in request.given


def test_a_run_that_could_not_be_sealed_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sealing fails, what is to be sealed stays so."""

    desk.look()
    desk.app.secret = "f" * 32
    desk.look(DAY)

    def refuse(_request: ProcessRequest, **_: object) -> Finished:
        raise SealingError("no")

    monkeypatch.setattr(engine_watch, "run_in_process", refuse)
    watch = open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env", clock=desk.now)
    with pytest.raises(SealingError):
        watch.seal()
    watch.run.close()

    assert read_watched(desk.path).unsealed_since


def test_what_changes_while_a_run_is_sealed_is_sealed_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that another look sees meanwhile is not covered by the run that is under way."""

    desk.look()
    desk.app.secret = "f" * 32
    desk.look(DAY)

    def change_meanwhile(_request: ProcessRequest, **_: object) -> Finished:
        watched = read_watched(desk.path)
        watched.unsealed_since = timestamp(desk.now() + timedelta(seconds=1))
        watched.save(desk.path)
        return Finished("incomplete", Path("evidence/bundle"))

    monkeypatch.setattr(engine_watch, "run_in_process", change_meanwhile)
    watch = open_watch(PROCEDURE, {}, tenant="acme", env_file="watch.env", clock=desk.now)
    assert watch.seal()
    watch.run.close()

    assert read_watched(desk.path).unsealed_since


def test_what_the_journal_has_seen_is_where_a_watch_begins(desk: Desk) -> None:
    """What changed between the last recorded check and the first look is a change."""

    desk.run.perform("fb-05-confirm-creation")
    desk.app.name = "Another"
    changes = desk.changes(0, 6 * MINUTE)

    assert "verified (app_name: Another)" in [change.now for change in changes]


def test_no_secret_is_kept(desk: Desk) -> None:
    """Neither a credential nor a token is in the file."""

    secrets = [secret.reveal() for secret in desk.run.settings.secrets.values()]
    desk.app.name = f"Named {secrets[0]}"
    desk.look()
    content = desk.path.read_text()

    assert "Named" in content
    assert not [secret for secret in secrets if secret in content]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"form": 1, "looked_on": "yesterday"}', "is damaged"),
        (b'{"form": 1, "else": 1}', "is damaged"),
        (b'{"form": 2}', "has the form 2; this version of the runbook reads 1"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(desk: Desk, content: bytes, says: str) -> None:
    """A damaged file, or one of another form, ends the look with its name and what to do."""

    desk.path.write_bytes(content)

    with pytest.raises(SettingsError, match=says) as error:
        desk.look()
    assert "Move it away" in error.value.diagnostics()


def test_two_watches_do_not_meet(desk: Desk) -> None:
    """While another process looks at a tenant, a watch does not."""

    with FileLock(desk.path.with_suffix(".lock")), pytest.raises(BusyError):
        desk.look()


def test_a_tenant_without_a_journal_is_not_watched(folder: Path) -> None:
    """A watch begins nothing: a tenant that nobody knows is an error, and nothing is written."""

    with pytest.raises(SettingsError, match="no record yet"):
        open_watch(PROCEDURE, {}, tenant="nobody")
    assert list(folder.iterdir()) == []


def test_numbers_and_days_in_an_answer_do_not_count() -> None:
    """Days that move on, and the day on which something ends, are no change; names are."""

    def answer(reason: str, outcome: Outcome = Outcome.FAILED, **details: str) -> Answer:
        return Answer(outcome, reason, "2026-11-24T12:00:00.000Z", details)

    assert answer("3 days left").is_like(answer("2 days left"))
    ended = "It ended on Wednesday, 27-Jan-27 02:29:17 PST. The time is {}. Sign in."
    assert answer(ended.format("Monday, 01-Mar-27 11:47:33 PST")).is_like(
        answer(ended.format("Tuesday, 04-May-27 11:47:33 PM PDT"))
    )
    assert not answer("pages_a is missing").is_like(answer("pages_b is missing"))
    assert answer("x", Outcome.VERIFIED, token_ends_on="2026-12-01").is_like(
        answer("y", Outcome.VERIFIED, token_ends_on="2027-12-01")
    )
    assert not answer("x", app_name="A").is_like(answer("x", app_name="B"))
