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
from runbook_lib.run.events import ValuesGiven
from runbook_lib.walkthrough import typed_remarks
from runbook_lib.walkthrough.panel_status import PanelStatus
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import DONE, KNOWN, LEFT_OUT, MakeHarness, damage
from tests.unit.walkthrough.sample_run import (
    DEADLINE,
    FakePanel,
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


def test_a_settled_step_shows_no_picture(make_harness: MakeHarness) -> None:
    """The picture shows where to do a step, so it goes once the step is done."""
    place = OtherScreen(page="Settings", source="https://example.com", menu=("Basic",))
    harness = make_harness(app_step(screen=place))
    panel = harness.panels["app"]
    assert "Basic" in panel.view["screen"]["svg"]

    harness.walkthrough.perform(harness.step("app"), {})
    view = settled(panel)
    assert (view["outcome"], view["screen"]) == ("verified", None)


def test_a_card_is_made_once_its_step_is_opened(make_harness: MakeHarness) -> None:
    """Until a person opens a step, its panel gets one line; what comes next is open by itself."""
    harness = make_harness(
        make_step("a", verified), make_step("b", verified), make_step("c", verified)
    )
    made = {"forms", "inputs", "acts", "exchanges", "history", "kit", "known_errors"}

    def with_card() -> list[str]:
        views = {name: screen.view for name, screen in harness.panels.items()}
        assert all(made <= view.keys() for view in views.values() if view["has_card"])
        assert all(not made & view.keys() for view in views.values() if not view["has_card"])
        return [name for name, view in views.items() if view["has_card"]]

    assert with_card() == ["a"]
    harness.open_cards("c")
    assert with_card() == ["a", "c"]
    harness.perform("a")  # then the second step comes next
    eventually(lambda: with_card() == ["a", "b", "c"])


def test_a_closed_step_has_its_news(make_harness: MakeHarness) -> None:
    """A step that nobody has opened shows its outcome and its reason as others check it."""
    harness = make_harness(make_step("a", verified), make_step("b", verified))
    harness.run.perform("b")
    harness.walkthrough.panels.draw()
    view = harness.panels["b"].view
    assert not view["has_card"]
    assert (view["outcome"], view["reason"], view["is_settled"]) == (
        "verified",
        "It is there.",
        True,
    )


def test_a_step_is_checked_in_another_thread(make_harness: MakeHarness) -> None:
    """A check does not block the kernel: the panel is busy meanwhile, then shows the result."""
    released = threading.Event()
    threads = list[threading.Thread]()
    harness = make_harness(app_step(held(released, threads)))
    screen = harness.panels["app"]
    harness.walkthrough.perform(harness.step("app"), {})

    assert screen.view["busy_since"] > 0
    assert (screen.view["finished"], screen.view["outcome"]) == (0, "not_run")
    released.set()
    view = settled(screen)
    assert (view["finished"], view["outcome"]) == (1, "verified")
    assert (view["result"], view["message"], view["is_error"]) == ("Checked.", "", False)
    assert threads[0] is not threading.current_thread()
    eventually(lambda: harness.header.view["settled"] == 1)
    eventually(lambda: harness.finish.view["done"] == 1)


@pytest.mark.parametrize(
    ("outcome", "advice"),
    [
        (Outcome.VERIFIED, ""),
        (Outcome.FAILED, wording("advice.fix-problem")),
        (Outcome.NOT_RUN, wording("status.do-the-step")),
        (Outcome.INCONCLUSIVE, wording("advice.do-as-the-reason-says")),
    ],
)
def test_a_result_says_what_to_do_about_it(
    make_harness: MakeHarness, outcome: Outcome, advice: str
) -> None:
    """Beside what a check found stands what to do next."""
    harness = make_harness(
        make_step("a", lambda _: Finding(outcome=outcome, code="a-code", reason="So."))
    )
    view = harness.perform("a")
    assert (view["result"], view["reason"], view["to_do"]) == ("Checked.", "So.", advice)
    assert view["message"] == ""


def test_finished_actions_are_counted(make_harness: MakeHarness) -> None:
    """Each finished action is counted, so that two equal results can be told apart."""
    harness = make_harness(app_step())
    for number in (1, 2):
        view = harness.perform("app", finished=number)
        assert (view["finished"], view["result"]) == (number, "Checked.")


def test_steps_do_not_wait_for_one_another(make_harness: MakeHarness) -> None:
    """A slow step does not block another, and each panel shows its own message."""
    released = threading.Event()
    harness = make_harness(app_step(held(released, [])), waiting_step())
    harness.walkthrough.perform(harness.step("app"), {})
    assert harness.perform("wait")["result"] == "Checked."
    assert harness.panels["app"].view["busy_since"] > 0
    assert harness.panels["app"].view["result"] == ""
    released.set()
    settled(harness.panels["app"])


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
            wording("screens.runbook-broke", error="KeyError"),
            wording("screens.report-a-defect"),
        ),
    ],
)
def test_an_error_becomes_message_and_advice(
    make_harness: MakeHarness,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
    advice: str,
) -> None:
    """An error is shown without a secret, and the panel is idle again."""
    harness = make_harness(app_step())
    monkeypatch.setattr(harness.run, "perform", raising(error))
    view = harness.perform("app")

    assert (view["message"], view["advice"], view["is_error"]) == (message, advice, True)
    assert APP_SECRET not in json.dumps(harness.panels["app"].views)


def test_a_full_disk_is_shown_as_such(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is shown as such, not as a defect."""
    harness = make_harness(app_step())
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(typed_remarks, "store_attachment", raising(full))
    view = harness.say("app", DONE, {"by": "Somebody"}, [{"name": "a.png"}])
    assert view["message"] == wording("screens.cannot-write", reason="No space left on device")
    assert view["advice"].startswith(wording("advice.free-disk-space"))
    assert view["is_error"]


def test_an_error_is_gone_with_the_next_try(make_harness: MakeHarness) -> None:
    """The next attempt removes the earlier error from the panel at once."""
    harness = make_harness(app_step())
    screen = harness.panels["app"]
    assert harness.perform("app", {"app_id": "x"})["is_error"]
    before = len(screen.views)

    view = harness.perform("app", finished=2)
    assert (view["is_error"], view["advice"]) == (False, "")
    assert (screen.views[before]["message"], screen.views[before]["is_error"]) == ("", False)


def test_a_cell_that_ran_again_replaces_its_panel(make_harness: MakeHarness) -> None:
    """A cell that runs again gets a new panel; the old one is not updated any more."""
    harness = make_harness(app_step())
    again = FakePanel()
    before = len(harness.panels["app"].views)
    harness.walkthrough.panels.add_panel("app", again)
    assert again.view["id"] == "app"

    harness.walkthrough.perform(harness.step("app"), {})
    settled(again)

    assert len(harness.panels["app"].views) == before


def test_a_view_is_of_one_moment(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view never says that a check has ended without what it found."""
    harness = make_harness(make_step("a"))
    now = Run.state.fget  # type: ignore[attr-defined]

    def state(run: Run) -> Any:
        found = now(run)
        harness.walkthrough._statuses.end("a", "Checked.", "", is_error=False)
        return found

    monkeypatch.setattr(Run, "state", property(state))
    harness.walkthrough.panels.draw("a")
    assert harness.panels["a"].view["finished"] == 0


def test_stopping_waits_for_running_actions(make_harness: MakeHarness) -> None:
    """`stop` waits for running actions and leaves no thread."""
    before = set(threading.enumerate())
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    harness.walkthrough.start()
    harness.walkthrough.prepare_consent(harness.step("app"))
    harness.walkthrough.perform(harness.step("app"), {})

    harness.walkthrough.stop()

    assert harness.panels["app"].view["busy_since"] == 0
    eventually(lambda: set(threading.enumerate()) <= before)


def test_a_damaged_journal_leaves_no_panel_busy(make_harness: MakeHarness) -> None:
    """If the journal is damaged during an action, the error is shown and the panel is idle."""

    def damages(context: CheckContext) -> Finding:
        damage(harness)
        return verified(context)

    harness = make_harness(app_step(damages))
    harness.run.start()
    assert harness.perform("app")["is_error"]


def test_a_damaged_journal_is_shown_without_an_action(make_harness: MakeHarness) -> None:
    """A damaged journal is shown in panels without an action by the person."""
    harness = make_harness(app_step())
    harness.run.perform("app")
    harness.walkthrough.start()
    eventually(lambda: harness.panels["app"].view["outcome"] == "verified")
    damage(harness)

    eventually(lambda: harness.panels["app"].view["is_error"])


def test_a_panel_is_busy_until_its_last_action_ended(make_harness: MakeHarness) -> None:
    """A panel is busy while any of its actions is running."""
    released = threading.Event()
    harness = make_harness(app_step(held(released, [])))
    harness.walkthrough.perform(harness.step("app"), {})
    harness.walkthrough.say(harness.step("app"), LEFT_OUT, {"by": "Operator", "note": "x"}, [])
    eventually(lambda: harness.panels["app"].view["finished"] == 1)
    is_busy = harness.panels["app"].view["busy_since"]
    released.set()

    assert is_busy


def test_a_new_panel_shows_a_damaged_journal(make_harness: MakeHarness) -> None:
    """Panels that are first shown while the journal is damaged show the error and its next step."""
    harness = make_harness(app_step())
    harness.run.perform("app")
    harness.walkthrough.panels.draw()
    damage(harness)
    fresh = (FakePanel(), FakePanel(), FakePanel())
    harness.walkthrough.panels.add_panel("app", fresh[0])
    harness.walkthrough.panels.add_header(fresh[1])
    harness.walkthrough.panels.add_finish(fresh[2])

    for screen in fresh:
        assert wording("walkthrough.not-a-journal-line") in screen.view["message"]
        assert "`runbook journal`" in screen.view["advice"]
        assert screen.view["is_error"]
    assert fresh[1].view["settled"] == 1

    late = FakePanel()  # of a step without a view, only the error is shown
    harness.walkthrough.panels._views.clear()
    harness.walkthrough.panels.add_panel("app", late)

    assert "id" not in late.view
    assert wording("walkthrough.not-a-journal-line") in late.view["message"]


def test_a_text_is_masked_once_it_is_known_to_be_secret(make_harness: MakeHarness) -> None:
    """A panel's earlier view is masked again when the redactor learns a secret."""
    word = "Quarterly-Passphrase-77"

    def echoes(context: CheckContext) -> Finding:
        return Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason=f"It says {word}.")

    harness = make_harness(app_step(echoes))
    harness.run.perform("app")
    harness.walkthrough.panels.draw()
    assert word in str(harness.panels["app"].view)

    harness.run.redactor.learn(Secret(word))
    harness.walkthrough.panels.draw()
    assert word not in str(harness.panels["app"].view)


def test_an_unchanged_view_is_not_masked_again(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing everything masks the texts of what has changed, and no others."""
    masked: list[str] = []
    redact_values = Redactor.redact_values

    def noted(redactor: Redactor, document: Any, **more: Any) -> Any:
        if isinstance(document, dict) and "id" in document:
            masked.append(document["id"])
        return redact_values(redactor, document, **more)

    harness = make_harness(app_step(), make_step("b", verified))
    harness.walkthrough.panels.draw()
    monkeypatch.setattr(Redactor, "redact_values", noted)

    harness.walkthrough.panels.draw()
    harness.run.perform("b")
    harness.walkthrough.panels.draw()

    assert masked == ["b"]


@pytest.mark.parametrize(("given", "shown"), [("ann", "ann"), ("", ""), ("a\u202enn", "")])
def test_the_servers_user_is_who_acts_unless_a_name_is_typed(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    """JupyterHub's user is known to every panel, if a record could show the name as it is."""
    monkeypatch.setenv("JUPYTERHUB_USER", given)
    harness = make_harness(app_step())

    assert harness.panels["app"].view["user"] == harness.header.view["user"] == shown


def test_only_the_next_step_is_open(make_harness: MakeHarness) -> None:
    """One step is open, also where several are done in one group, and follows what is settled."""
    keys = {"group": "Keys"}
    harness = make_harness(
        make_step("a"), make_step("b", **keys), make_step("c", **keys), make_step("d")
    )

    def is_open() -> list[str]:
        return [name for name, screen in harness.panels.items() if screen.view["is_current"]]

    assert is_open() == ["a"]
    harness.say("a", DONE, {"by": "A"})
    eventually(lambda: is_open() == ["b"])
    assert harness.panels["b"].view["is_next"]
    harness.say("b", DONE, {"by": "A"})
    eventually(lambda: is_open() == ["c"])


def test_the_review_kit_has_values_of_earlier_runs(make_harness: MakeHarness) -> None:
    """The step of the review shows the texts with what an earlier run was given, say headless."""
    harness = make_harness(make_step("a", review_kit="facebook_marketing"))
    earlier = ValuesGiven(values={"app_display_name": "Acme Sync"}, is_kept=False)
    harness.run.journal.append(earlier, run="00000000")
    harness.walkthrough.panels.draw("a")

    assert "Acme Sync" in json.dumps(harness.panels["a"].view["kit"])


def test_a_view_never_has_the_end_of_the_sealing_without_the_bundle(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence that is sealed while the state is read is shown by the next drawing, whole."""
    harness = make_harness(app_step())
    statuses = harness.walkthrough._statuses
    complete = "Complete."

    def sealed_meanwhile(_: Run) -> None:
        statuses.sealing = PanelStatus(message=complete)
        statuses.doubts = ("Now open.",)

    monkeypatch.setattr(Run, "last_sealed", property(sealed_meanwhile))
    harness.walkthrough.panels.draw()
    assert (harness.finish.view["message"], harness.finish.view["doubts"]) == ("", [])
    harness.walkthrough.panels.draw()
    assert harness.finish.view["message"] == complete
