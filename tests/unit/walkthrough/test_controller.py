"""The walkthrough: actions run in other threads, show at once, and always end."""

from __future__ import annotations

import errno
import json
import threading
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Screen as OtherScreen
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import JournalError
from runbook_lib.walkthrough import statements
from runbook_lib.walkthrough.panel_status import PanelStatus
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import DONE, KNOWN, LEFT_OUT, Make, damage
from tests.unit.walkthrough.stage import (
    DEADLINE,
    Screen,
    app_step,
    eventually,
    make_step,
    raising,
    settled,
    verified,
    waiting_step,
)


def held(released: threading.Event, threads: list[threading.Thread]) -> Any:
    """Return a check that notes its thread and waits for `released`."""

    def slow(context: CheckContext) -> Finding:
        threads.append(threading.current_thread())
        released.wait(DEADLINE)
        return verified(context)

    return slow


def test_a_settled_step_shows_no_picture(scene: Make) -> None:
    """The picture shows where to do a step, so it goes once the step is done."""
    place = OtherScreen(page="Settings", source="https://example.com", menu=("Basic",))
    play = scene(app_step(screen=place))
    panel = play.screens["app"]
    assert "Basic" in panel.view["screen"]["svg"]

    play.walkthrough.perform(play.step("app"), {})
    view = settled(panel)
    assert (view["outcome"], view["screen"]) == ("verified", None)


def test_a_card_is_made_once_its_step_is_opened(scene: Make) -> None:
    """Until a person opens a step, its panel gets one line; what comes next is open by itself."""
    play = scene(make_step("a", verified), make_step("b", verified), make_step("c", verified))
    made = {"forms", "inputs", "acts", "exchanges", "history", "kit", "troubles"}

    def with_card() -> list[str]:
        views = {name: screen.view for name, screen in play.screens.items()}
        assert all(made <= view.keys() for view in views.values() if view["has_card"])
        assert all(not made & view.keys() for view in views.values() if not view["has_card"])
        return [name for name, view in views.items() if view["has_card"]]

    assert with_card() == ["a"]
    play.open_cards("c")
    assert with_card() == ["a", "c"]
    play.perform("a")  # then the second step comes next
    eventually(lambda: with_card() == ["a", "b", "c"])


def test_a_closed_step_has_its_news(scene: Make) -> None:
    """A step that nobody has opened shows its outcome and its reason as others check it."""
    play = scene(make_step("a", verified), make_step("b", verified))
    play.run.perform("b")
    play.walkthrough.displays.draw()
    view = play.screens["b"].view
    assert not view["has_card"]
    assert (view["outcome"], view["reason"], view["is_settled"]) == (
        "verified",
        "It is there.",
        True,
    )


def test_a_step_is_checked_in_another_thread(scene: Make) -> None:
    """A check does not block the kernel: the panel is busy meanwhile, then shows the result."""
    released, threads = threading.Event(), list[threading.Thread]()
    play = scene(app_step(held(released, threads)))
    screen = play.screens["app"]
    play.walkthrough.perform(play.step("app"), {})

    assert screen.view["busy_since"] > 0
    assert (screen.view["finished"], screen.view["outcome"]) == (0, "not_run")
    released.set()
    view = settled(screen)
    assert (view["finished"], view["outcome"]) == (1, "verified")
    assert (view["result"], view["message"], view["is_error"]) == ("Checked.", "", False)
    assert threads[0] is not threading.current_thread()
    eventually(lambda: play.header.view["settled"] == 1)
    eventually(lambda: play.finish.view["done"] == 1)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.VERIFIED, ""),
        (Outcome.FAILED, "Fix the problem, then check again."),
        (Outcome.NOT_RUN, "Do it, then check it or confirm that it is done."),
        (
            Outcome.INCONCLUSIVE,
            ("Do what the reason says, then check again; confirm it if you have seen it yourself."),
        ),
    ],
)
def test_a_result_says_what_to_do_about_it(scene: Make, outcome: Outcome, said: str) -> None:
    """Beside what a check found stands what to do next."""
    play = scene(make_step("a", lambda _: Finding(outcome=outcome, code="a-code", reason="So.")))
    view = play.perform("a")
    assert (view["result"], view["reason"], view["to_do"]) == ("Checked.", "So.", said)
    assert view["message"] == ""


def test_finished_actions_are_counted(scene: Make) -> None:
    """Each finished action is counted, so that two equal results can be told apart."""
    play = scene(app_step())
    for number in (1, 2):
        view = play.perform("app", finished=number)
        assert (view["finished"], view["result"]) == (number, "Checked.")


def test_steps_do_not_wait_for_one_another(scene: Make) -> None:
    """A slow step does not block another, and each panel shows its own message."""
    released = threading.Event()
    play = scene(app_step(held(released, [])), waiting_step())
    play.walkthrough.perform(play.step("app"), {})
    assert play.perform("wait")["result"] == "Checked."
    assert play.screens["app"].view["busy_since"] > 0
    assert play.screens["app"].view["result"] == ""
    released.set()
    settled(play.screens["app"])


@pytest.mark.parametrize(
    ("error", "message", "advice"),
    [
        # An expected error is shown with its message and next step.
        (
            JournalError("The disk is full.", next_step="Free space."),
            "The disk is full.",
            "Free space.",
        ),
        # An unexpected one is shown by its type alone.
        (
            KeyError(APP_SECRET),
            "The runbook itself broke (KeyError).",
            "Report it as a defect.",
        ),
    ],
)
def test_an_error_becomes_message_and_advice(
    scene: Make, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, advice: str
) -> None:
    """An error is shown without a secret, and the panel is idle again."""
    play = scene(app_step())
    monkeypatch.setattr(play.run, "perform", raising(error))
    view = play.perform("app")

    assert (view["message"], view["advice"], view["is_error"]) == (message, advice, True)
    assert APP_SECRET not in json.dumps(play.screens["app"].views)


def test_a_full_disk_is_shown_as_such(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is shown as such, not as a defect."""
    play = scene(app_step())
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(statements, "store_attachment", raising(full))
    view = play.say("app", DONE, {"by": "Somebody"}, [{"name": "a.png"}])
    assert view["message"] == "Cannot write to disk: No space left on device."
    assert view["advice"].startswith("Free disk space")
    assert view["is_error"]


def test_an_error_is_gone_with_the_next_try(scene: Make) -> None:
    """The next attempt removes the earlier error from the panel at once."""
    play = scene(app_step())
    screen = play.screens["app"]
    assert play.perform("app", {"app_id": "x"})["is_error"]
    before = len(screen.views)

    view = play.perform("app", finished=2)
    assert (view["is_error"], view["advice"]) == (False, "")
    assert (screen.views[before]["message"], screen.views[before]["is_error"]) == ("", False)


def test_a_cell_that_ran_again_replaces_its_panel(scene: Make) -> None:
    """A cell that runs again gets a new panel; the old one is not updated any more."""
    play = scene(app_step())
    again, before = Screen(), len(play.screens["app"].views)
    play.walkthrough.displays.add_panel("app", again)
    assert again.view["id"] == "app"

    play.walkthrough.perform(play.step("app"), {})
    settled(again)

    assert len(play.screens["app"].views) == before


def test_a_view_is_of_one_moment(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view never says that a check has ended without what it found."""
    play = scene(make_step("a"))
    now = Run.state.fget  # type: ignore[attr-defined]

    def state(run: Run) -> Any:
        found = now(run)
        play.walkthrough._activities.end("a", "Checked.", "", is_error=False)
        return found

    monkeypatch.setattr(Run, "state", property(state))
    play.walkthrough.displays.draw("a")
    assert play.screens["a"].view["finished"] == 0


def test_stopping_waits_for_running_actions(scene: Make) -> None:
    """`stop` waits for running actions and leaves no thread."""
    before = set(threading.enumerate())
    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    play.walkthrough.start()
    play.walkthrough.ask_consent(play.step("app"))
    play.walkthrough.perform(play.step("app"), {})

    play.walkthrough.stop()

    assert play.screens["app"].view["busy_since"] == 0
    eventually(lambda: set(threading.enumerate()) <= before)


def test_a_damaged_journal_leaves_no_panel_busy(scene: Make) -> None:
    """If the journal is damaged during an action, the error is shown and the panel is idle."""

    def damages(context: CheckContext) -> Finding:
        damage(play)
        return verified(context)

    play = scene(app_step(damages))
    assert play.perform("app")["is_error"]


def test_a_damaged_journal_is_shown_without_an_action(scene: Make) -> None:
    """A damaged journal is shown in panels without an action by the person."""
    play = scene(app_step())
    play.run.perform("app")
    play.walkthrough.start()
    eventually(lambda: play.screens["app"].view["outcome"] == "verified")
    damage(play)

    eventually(lambda: play.screens["app"].view["is_error"])


def test_a_panel_is_busy_until_its_last_action_ended(scene: Make) -> None:
    """A panel is busy while any of its actions is running."""
    released = threading.Event()
    play = scene(app_step(held(released, [])))
    play.walkthrough.perform(play.step("app"), {})
    play.walkthrough.say(play.step("app"), LEFT_OUT, {"by": "Operator", "note": "x"}, [])
    eventually(lambda: play.screens["app"].view["finished"] == 1)
    is_busy = play.screens["app"].view["busy_since"]
    released.set()

    assert is_busy


def test_a_new_panel_shows_a_damaged_journal(scene: Make) -> None:
    """Panels that are first shown while the journal is damaged show the error and its next step."""
    play = scene(app_step())
    play.run.perform("app")
    play.walkthrough.displays.draw()
    damage(play)
    fresh = (Screen(), Screen(), Screen())
    play.walkthrough.displays.add_panel("app", fresh[0])
    play.walkthrough.displays.add_header(fresh[1])
    play.walkthrough.displays.add_finish(fresh[2])

    for screen in fresh:
        assert "is not a journal line" in screen.view["message"]
        assert "`runbook journal`" in screen.view["advice"]
        assert screen.view["is_error"]
    assert fresh[1].view["settled"] == 1

    late = Screen()  # of a step without a view, only the error is shown
    play.walkthrough.displays._views.clear()
    play.walkthrough.displays.add_panel("app", late)

    assert "id" not in late.view
    assert "is not a journal line" in late.view["message"]


def test_a_text_is_masked_once_it_is_known_to_be_secret(scene: Make) -> None:
    """What a panel has shown before is masked again when the redactor learns a secret."""
    word = "Quarterly-Passphrase-77"

    def echoes(context: CheckContext) -> Finding:
        return Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason=f"It says {word}.")

    play = scene(app_step(echoes))
    play.run.perform("app")
    play.walkthrough.displays.draw()
    assert word in str(play.screens["app"].view)

    play.run.redactor.learn(Secret(word))
    play.walkthrough.displays.draw()
    assert word not in str(play.screens["app"].view)


def test_what_is_shown_again_is_not_masked_again(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing everything masks the texts of what has changed, and no others."""
    masked: list[str] = []
    redact_values = Redactor.redact_values

    def noted(redactor: Redactor, document: Any, **more: Any) -> Any:
        if isinstance(document, dict) and "id" in document:
            masked.append(document["id"])
        return redact_values(redactor, document, **more)

    play = scene(app_step(), make_step("b", verified))
    play.walkthrough.displays.draw()
    monkeypatch.setattr(Redactor, "redact_values", noted)

    play.walkthrough.displays.draw()
    play.run.perform("b")
    play.walkthrough.displays.draw()

    assert masked == ["b"]


@pytest.mark.parametrize(("given", "shown"), [("ann", "ann"), ("", ""), ("a\u202enn", "")])
def test_the_servers_user_is_who_acts_unless_a_name_is_typed(
    scene: Make, monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    """JupyterHub's user is known to every panel, if a record could show the name as it is."""
    monkeypatch.setenv("JUPYTERHUB_USER", given)
    play = scene(app_step())

    assert play.screens["app"].view["user"] == play.header.view["user"] == shown


def test_only_the_next_step_is_open(scene: Make) -> None:
    """One step is open, also where several are done in one group, and follows what is settled."""
    keys = {"group": "Keys"}
    play = scene(make_step("a"), make_step("b", **keys), make_step("c", **keys), make_step("d"))

    def is_open() -> list[str]:
        return [name for name, screen in play.screens.items() if screen.view["is_current"]]

    assert is_open() == ["a"]
    play.say("a", DONE, {"by": "A"})
    eventually(lambda: is_open() == ["b"])
    assert play.screens["b"].view["is_next"]
    play.say("b", DONE, {"by": "A"})
    eventually(lambda: is_open() == ["c"])


def test_the_review_kit_has_values_of_earlier_runs(scene: Make) -> None:
    """The step of the review shows the texts with what an earlier run was given, say headless."""
    play = scene(make_step("a", review_kit="facebook_marketing"))
    earlier = {"parameters": {"app_display_name": "Acme Sync"}, "fingerprints": {}}
    play.run.journal.append("run.joined", earlier, run_id="00000000")
    play.walkthrough.displays.draw("a")

    assert "Acme Sync" in json.dumps(play.screens["a"].view["kit"])


def test_a_view_never_has_the_end_of_the_sealing_without_the_bundle(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence that is sealed while the state is read is shown by the next drawing, whole."""
    play = scene(app_step())
    activities = play.walkthrough._activities

    def sealed_meanwhile(_: Run) -> None:
        activities.sealing = PanelStatus(message="The run is complete.")
        activities.doubts = ("Now open.",)

    monkeypatch.setattr(Run, "last_sealed", property(sealed_meanwhile))
    play.walkthrough.displays.draw()
    assert (play.finish.view["message"], play.finish.view["doubts"]) == ("", [])
    play.walkthrough.displays.draw()
    assert play.finish.view["message"] == "The run is complete."
