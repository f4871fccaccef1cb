"""Next: what only the page looked at is to do, and who follows Next meets every step in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.advice import next_step, waits_for
from runbook_lib.core.model import AttestationKind, Finding, Mode, Outcome
from runbook_lib.core.step_record import step_record
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import header_view
from tests.support.run_states import MARKETING, state_of
from tests.unit.walkthrough.conftest import DONE, Make, saying, undecided
from tests.unit.walkthrough.conftest import PanelContext as Play
from tests.unit.walkthrough.stage import (
    eventually,
    make_context,
    make_run,
    make_step,
    settled,
    verified,
)


def refused(context: CheckContext) -> Finding:
    """Return a failed finding."""
    return Finding(outcome=Outcome.FAILED, code="a-code", reason="Hidden.")


GREY = ("not_run", "○", "to do")
LOOKS = {
    undecided: ("inconclusive", "?", "could not be checked"),
    refused: ("failed", "✘", "failed"),
}


def looked_at(scene: Make, check: Callable[..., Finding]) -> Play:
    """Return a walkthrough that has looked at its first step by itself."""
    play = scene(make_step("a", check), make_step("b", after=("a",)))
    play.walkthrough.look(play.step("a"))
    settled(play.screens["a"])
    return play


def shown(play: Play) -> tuple[str, str, str]:
    """Return how the first step is shown, where panel, header and end agree."""
    lines = [play.screens["a"].view, play.header.view["steps"][0], play.finish.view["open"][0]]
    outcomes = {(line["outcome"], line["icon"], line["label"]) for line in lines}
    return outcomes.pop() if len(outcomes) == 1 else ("", "", "they differ")


@pytest.mark.parametrize("check", LOOKS)
def test_what_only_the_page_saw_is_to_do(scene: Make, check: Callable[..., Finding]) -> None:
    """It is grey, to do and next, with what was seen; the outcome is what it was."""
    play = looked_at(scene, check)
    view = play.screens["a"].view

    assert shown(play) == GREY
    assert play.header.view["counts"] == [
        {**dict(zip(("outcome", "icon", "label"), GREY, strict=True)), "count": 2}
    ]
    assert (view["reason"], view["message"], view["is_next"]) == ("Hidden.", "", True)
    assert play.header.view["next"] == {"id": "a", "number": "1", "title": "Do a", "advice": ""}
    assert play.screens["b"].view["since"] == "later: after 1"
    assert play.header.view["steps"][1]["who"] == "later: after 1"
    assert play.run.state.steps["a"].conclusion.outcome == LOOKS[check][0]
    (line,) = [entry for entry in play.run.journal.entries() if entry.type == "step.checked"]
    assert line.data.automatic


def test_later_is_advice(scene: Make) -> None:
    """A step that comes later can be opened, checked and confirmed all the same."""
    play = looked_at(scene, undecided)
    play.open_cards("b")
    assert play.screens["b"].view["actions"]["primary"] == "attest"
    assert play.say("b", DONE, {"by": "Ann"})["outcome"] == "attested"
    assert play.screens["b"].view["since"].startswith("Ann")


def by_button(play: Play) -> None:
    play.walkthrough.perform(play.step("a"), {})


def by_a_field(play: Play) -> None:
    play.walkthrough.perform(play.step("a"), {"app_id": "1234567891011121"})


def by_check_everything(play: Play) -> None:
    play.walkthrough.check_all()


def by_a_word(play: Play) -> None:
    play.say("a", AttestationKind.DECLINED, {"by": "Ann"}, finished=2)
    play.walkthrough.say(
        play.step("a"), AttestationKind.WITHDRAWN, {"by": "Ann", "note": "No."}, []
    )


def by_a_headless_run(play: Play) -> None:
    step = play.run.procedure.steps
    folder = play.run.env_file.parent
    make_run(folder, *step, mode=Mode.HEADLESS, run_id="headless").perform("a")
    play.walkthrough.displays.draw()


@pytest.mark.parametrize("check", LOOKS)
@pytest.mark.parametrize(
    "work", [by_button, by_a_field, by_check_everything, by_a_word, by_a_headless_run]
)
def test_who_works_on_a_step_sees_its_outcome(
    scene: Make, check: Callable[..., Finding], work: Callable[[Play], None]
) -> None:
    """A button, a saved field, a word, a headless run or Check everything now begins a step."""
    play = looked_at(scene, check)
    work(play)

    eventually(lambda: shown(play) == LOOKS[check])
    assert play.run.state.steps["b"].is_untouched


def left(context: CheckContext) -> Finding:
    """Return what a check has seen that cannot tell, with what it does not prove."""
    return Finding(
        outcome=Outcome.INCONCLUSIVE, code="a-code", reason="2 calls made.", limits=("The log.",)
    )


@pytest.mark.parametrize("work", [by_button, by_check_everything, by_a_headless_run])
@pytest.mark.parametrize(
    ("check", "is_left", "look"),
    [
        (left, True, GREY),
        (left, False, LOOKS[undecided]),
        # What could not look to the end is no information, but trouble.
        (undecided, True, LOOKS[undecided]),
        (refused, True, LOOKS[refused]),
    ],
)
def test_what_only_a_person_can_say_is_asked_for(
    scene: Make,
    check: Callable[..., Finding],
    work: Callable[[Play], None],
    look: tuple[str, str, str],
    *,
    is_left: bool,
) -> None:
    """Where a check has seen what there is, the step asks for a word; all else is as it was."""
    step = make_step("a", check)
    leaving = replace(step, checks=(replace(step.checks[0], needs_human_only=is_left),))
    play = scene(leaving, make_step("b", after=("a",)))
    work(play)

    # NOTE: a step that was not checked yet is grey as well.
    reason = check(None).reason  # type: ignore[arg-type]
    eventually(lambda: play.screens["a"].view["reason"] == reason and shown(play) == look)
    state, view = play.run.state.steps["a"], play.screens["a"].view
    assert state.conclusion.outcome == check(None).outcome  # type: ignore[arg-type]
    assert step_record(state).outcome == state.conclusion.outcome
    if look == GREY:
        assert (view["actions"]["primary"], view["actions"]["other"]) == ("attest", "check")
        assert waits_for(play.run.state, play.run.state.steps["b"]) == (state,)
        assert view["is_next"]
        counts = {part["outcome"] for part in play.header.view["counts"]}
        assert not {"failed", "inconclusive"} & counts


def test_a_check_that_leaves_the_rest_says_so(scene: Make) -> None:
    """The button's answer names no trouble, and once a person confirms it, the step is done."""
    step = make_step("a", left)
    play = scene(replace(step, checks=(replace(step.checks[0], needs_human_only=True),)))
    by_button(play)
    assert settled(play.screens["a"])["to_do"] == "Only you can confirm the rest."
    assert play.say("a", DONE, {"by": "Ann"}, finished=2)["outcome"] == "attested"


def test_the_page_alone_changes_no_record(scene: Make) -> None:
    """Record and outcome of a look that nobody asked for are those of the button."""
    play = looked_at(scene, undecided)
    before = step_record(play.run.state.steps["a"])
    play.run.perform("a")

    assert step_record(play.run.state.steps["a"]) == before
    assert play.run.state.steps["a"].is_worked_on


def test_what_follows_a_step_is_looked_at_again(scene: Make) -> None:
    """What follows what is done now is looked at again, also by way of another; nothing else is."""
    findings = [Finding(outcome=Outcome.NOT_RUN, code="a-code", reason="Not installed yet.")]
    sign_in = saying(findings, [])
    play = scene(
        make_step("install", verified),
        make_step("other", verified),
        make_step("sign-in", sign_in, after=("install",)),
        make_step("read", sign_in, after=("sign-in",)),
        make_step("elsewhere", sign_in),
    )
    for name in ("other", "sign-in", "read", "elsewhere"):
        play.run.perform(name)
    findings.append(
        Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Nobody has signed in.")
    )
    play.walkthrough.perform(play.step("install"), {})

    for name in ("sign-in", "read"):
        eventually(lambda name=name: play.screens[name].view["reason"] == "Nobody has signed in.")
    assert play.screens["elsewhere"].view["reason"] == "Not installed yet."
    assert play.types.count("step.checked") == 7


def test_a_word_leads_on_too(scene: Make) -> None:
    """What follows a step that a person confirms is looked at again."""
    findings = [Finding(outcome=Outcome.NOT_RUN, code="a-code", reason="So.")]
    play = scene(make_step("a"), make_step("b", saying(findings, []), after=("a",)))
    play.run.perform("b")
    findings.append(Finding(outcome=Outcome.WAITING, code="a-code", reason="So."))
    play.walkthrough.say(play.step("a"), DONE, {"by": "Ann"}, [])

    eventually(lambda: play.screens["b"].view["outcome"] == "waiting")


# --- who follows Next alone -------------------------------------------------------------------
# How a step is after each visit, in the order of the visits; by default it is confirmed.
VISITS = {
    "fb-05a-business-verification": ("waits", "verified"),
    "fb-08-redirect-uri": ("failed", "in part", "verified"),
    "fb-09a-test-calls": ("unclear", "attested"),
    "fb-11b-data-access-renewal": ("attested",),
    "fb-12-submit-review": ("waits", "in part", "verified"),
    "test-05-marketing-data": ("unclear", "skipped"),
}


@pytest.mark.parametrize("look", ["to do", "seen unclear", "seen failed"])
def test_who_follows_next_misses_nothing(look: str) -> None:
    """
    Whatever the page sees by itself, each step is met, and none before it can be started.

    Business Verification waits until nothing else is left, the review is submitted late, and
    the renewal is not asked for.
    """
    visits = {step.id: list(VISITS.get(step.id, ("attested",))) for step in MARKETING.steps}
    numbers, signs = MARKETING.numbers, dict.fromkeys(MARKETING.numbers, look)
    met: list[str] = []
    while True:
        told = ", ".join(f"{numbers[step_id]} {sign}" for step_id, sign in signs.items())
        state = state_of(told)
        following = next_step(state)
        view = header_view(
            state, make_context(following=following), activity=PanelStatus(), plan=None
        )["next"]
        assert (view and view["id"]) == (following and following[0].step.id)
        if following is None:
            break
        step_id = following[0].step.id
        assert waits_for(state, following[0]) == (), step_id
        assert visits[step_id], (step_id, met)
        signs[step_id] = visits[step_id].pop(0)
        met.append(numbers[step_id])

    assert not any(visits.values())
    assert met.index("12") > len(MARKETING.steps) - 8
    assert met[-1] == "21a"
