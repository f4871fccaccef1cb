"""Next: what only the page looked at is to do, and who follows Next meets every step in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import AttestationKind, Finding, Mode, Outcome
from runbook_lib.run.advice import next_step, waits_for
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import header_view
from tests.support.run_states import MARKETING, state_of
from tests.support.wording import wording
from tests.unit.walkthrough.conftest import DONE, MakeHarness, saying, undecided
from tests.unit.walkthrough.conftest import WalkthroughHarness as Play
from tests.unit.walkthrough.sample_run import (
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


def harness_with_check(make_harness: MakeHarness, check: Callable[..., Finding]) -> Play:
    """Return a walkthrough that has looked at its first step by itself."""
    harness = make_harness(make_step("a", check), make_step("b", after=("a",)))
    harness.walkthrough.refresh(harness.step("a"))
    settled(harness.panels["a"])
    return harness


def shown(harness: Play) -> tuple[str, str, str]:
    """Return how the first step is shown, where panel, header and end agree."""
    lines = [
        harness.panels["a"].view,
        harness.header.view["steps"][0],
        harness.finish.view["open"][0],
    ]
    outcomes = {(line["outcome"], line["icon"], line["label"]) for line in lines}
    return outcomes.pop() if len(outcomes) == 1 else ("", "", "they differ")


@pytest.mark.parametrize("check", LOOKS)
def test_a_step_that_only_the_page_checked_is_to_do(
    make_harness: MakeHarness, check: Callable[..., Finding]
) -> None:
    """It is grey, to do and next, with what was seen; the outcome is what it was."""
    harness = harness_with_check(make_harness, check)
    view = harness.panels["a"].view

    assert shown(harness) == GREY
    assert harness.header.view["counts"] == [
        {**dict(zip(("outcome", "icon", "label"), GREY, strict=True)), "count": 2}
    ]
    assert (view["reason"], view["message"], view["is_next"]) == ("Hidden.", "", True)
    assert harness.header.view["next"] == {"id": "a", "number": "1", "title": "Do a", "advice": ""}
    assert harness.panels["b"].view["since"] == "later: after 1"
    assert harness.header.view["steps"][1]["who"] == "later: after 1"
    assert harness.run.state.step("a").outcome == LOOKS[check][0]
    lines = harness.run.journal.read_all()
    (line,) = [line for line in lines if line.head.type == "step.checked"]
    assert line.event.automatic


def test_later_is_advice(make_harness: MakeHarness) -> None:
    """A step that comes later can be opened, checked and confirmed all the same."""
    harness = harness_with_check(make_harness, undecided)
    harness.open_cards("b")
    assert harness.panels["b"].view["actions"]["primary"] == "attest"
    assert harness.say("b", DONE, {"by": "Ann"})["outcome"] == "attested"
    assert harness.panels["b"].view["since"].startswith("Ann")


def by_button(harness: Play) -> None:
    harness.walkthrough.perform(harness.step("a"), {})


def by_a_field(harness: Play) -> None:
    harness.walkthrough.perform(harness.step("a"), {"app_id": "1234567891011121"})


def by_check_everything(harness: Play) -> None:
    harness.walkthrough.check_all()


def by_a_word(harness: Play) -> None:
    harness.say("a", AttestationKind.DECLINED, {"by": "Ann"}, finished=2)
    harness.walkthrough.say(
        harness.step("a"), AttestationKind.WITHDRAWN, {"by": "Ann", "note": "No."}, []
    )


def by_a_headless_run(harness: Play) -> None:
    step = harness.run.procedure.steps
    folder = harness.run.env_file.parent
    make_run(folder, *step, mode=Mode.HEADLESS, run_id="headless").perform("a")
    harness.walkthrough.panels.draw()


@pytest.mark.parametrize("check", LOOKS)
@pytest.mark.parametrize(
    "work", [by_button, by_a_field, by_check_everything, by_a_word, by_a_headless_run]
)
def test_a_person_who_works_on_a_step_sees_its_outcome(
    make_harness: MakeHarness, check: Callable[..., Finding], work: Callable[[Play], None]
) -> None:
    """A button, a saved field, a word, a headless run or Check everything now begins a step."""
    harness = harness_with_check(make_harness, check)
    work(harness)

    eventually(lambda: shown(harness) == LOOKS[check])
    assert harness.run.state.step("b").is_untouched


def left(context: CheckContext) -> Finding:
    """Return what a check has seen that cannot tell, with what it does not prove."""
    return Finding(
        outcome=Outcome.INCONCLUSIVE, code="a-code", reason="2 calls made.", limits=("The log.",)
    )


@pytest.mark.parametrize("work", [by_button, by_check_everything, by_a_headless_run])
@pytest.mark.parametrize(
    ("check", "is_left", "display"),
    [
        (left, True, GREY),
        (left, False, LOOKS[undecided]),
        # What could not look to the end is no information, but trouble.
        (undecided, True, LOOKS[undecided]),
        (refused, True, LOOKS[refused]),
    ],
)
def test_a_sentence_that_only_a_person_can_confirm_is_requested(
    make_harness: MakeHarness,
    check: Callable[..., Finding],
    work: Callable[[Play], None],
    display: tuple[str, str, str],
    *,
    is_left: bool,
) -> None:
    """Where a check has seen what there is, the step asks for a word; all else is as it was."""
    step = make_step("a", check)
    leaving = replace(step, checks=(replace(step.checks[0], needs_human_only=is_left),))
    harness = make_harness(leaving, make_step("b", after=("a",)))
    work(harness)

    # NOTE: a step that was not checked yet is grey as well.
    reason = check(None).reason  # type: ignore[arg-type]
    eventually(lambda: harness.panels["a"].view["reason"] == reason and shown(harness) == display)
    state = harness.run.state.step("a")
    view = harness.panels["a"].view
    assert state.outcome == check(None).outcome  # type: ignore[arg-type]
    if display == GREY:
        assert (view["actions"]["primary"], view["actions"]["other"]) == ("attest", "check")
        assert waits_for(harness.run.state, harness.step("b")) == (state,)
        assert view["is_next"]
        counts = {part["outcome"] for part in harness.header.view["counts"]}
        assert not {"failed", "inconclusive"} & counts


def test_a_check_that_leaves_the_rest_says_so(make_harness: MakeHarness) -> None:
    """The button's answer names no trouble, and once a person confirms it, the step is done."""
    step = make_step("a", left)
    harness = make_harness(replace(step, checks=(replace(step.checks[0], needs_human_only=True),)))
    by_button(harness)
    assert settled(harness.panels["a"])["to_do"] == wording("walkthrough.only-you-can-confirm")
    assert harness.say("a", DONE, {"by": "Ann"}, finished=2)["outcome"] == "attested"


def test_the_page_alone_changes_no_record(make_harness: MakeHarness) -> None:
    """The state after a look that nobody asked for is the button's, but nobody worked on it."""
    harness = harness_with_check(make_harness, undecided)
    before = harness.run.state.step("a")
    harness.run.perform("a")
    after = harness.run.state.step("a")

    assert (before.is_worked_on, after.is_worked_on) == (False, True)
    assert structs.replace(after, is_worked_on=False) == before


def test_steps_that_follow_a_step_are_checked_again(make_harness: MakeHarness) -> None:
    """Steps that follow the finished one, directly or not, are checked again; no others are."""
    findings = [Finding(outcome=Outcome.NOT_RUN, code="a-code", reason="Not installed yet.")]
    sign_in = saying(findings, [])
    harness = make_harness(
        make_step("install", verified),
        make_step("other", verified),
        make_step("sign-in", sign_in, after=("install",)),
        make_step("read", sign_in, after=("sign-in",)),
        make_step("elsewhere", sign_in),
    )
    for name in ("other", "sign-in", "read", "elsewhere"):
        harness.run.perform(name)
    findings.append(
        Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Nobody has signed in.")
    )
    harness.walkthrough.perform(harness.step("install"), {})

    for name in ("sign-in", "read"):
        eventually(lambda name=name: harness.panels[name].view["reason"] == "Nobody has signed in.")
    assert harness.panels["elsewhere"].view["reason"] == "Not installed yet."
    assert harness.types.count("step.checked") == 7


def test_a_word_leads_on_too(make_harness: MakeHarness) -> None:
    """Steps that follow a step which a person confirms are checked again."""
    findings = [Finding(outcome=Outcome.NOT_RUN, code="a-code", reason="So.")]
    harness = make_harness(make_step("a"), make_step("b", saying(findings, []), after=("a",)))
    harness.run.perform("b")
    findings.append(Finding(outcome=Outcome.WAITING, code="a-code", reason="So."))
    harness.walkthrough.say(harness.step("a"), DONE, {"by": "Ann"}, [])

    eventually(lambda: harness.panels["b"].view["outcome"] == "waiting")


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
def test_following_next_misses_no_step(look: str) -> None:
    """
    Whatever the page sees by itself, each step is met, and none before it can be started.

    Business Verification waits until nothing else is left, the review is submitted late, and
    the renewal is not asked for.
    """
    visits = {step.id: list(VISITS.get(step.id, ("attested",))) for step in MARKETING.steps}
    numbers = MARKETING.numbers
    signs = dict.fromkeys(MARKETING.numbers, look)
    met: list[str] = []
    while True:
        told = ", ".join(f"{numbers[step_id]} {sign}" for step_id, sign in signs.items())
        state = state_of(told)
        following = next_step(state, MARKETING)
        context = make_context(procedure=MARKETING, following=following)
        view = header_view(state, context, status=PanelStatus(), plan=None)["next"]
        assert (view and view["id"]) == (following and following.step.id)
        if following is None:
            break
        step_id = following.step.id
        assert waits_for(state, MARKETING.step(step_id)) == (), step_id
        assert visits[step_id], (step_id, met)
        signs[step_id] = visits[step_id].pop(0)
        met.append(numbers[step_id])

    assert not any(visits.values())
    assert met.index("12") > len(MARKETING.steps) - 8
    assert met[-1] == "21a"
