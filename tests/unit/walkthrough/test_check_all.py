"""*Check everything now*: what it checks, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.errors import JournalError
from runbook_lib.walkthrough import controller as module
from tests.support.wording import wording
from tests.unit.bodies import APP_ID, APP_SECRET
from tests.unit.walkthrough.conftest import (
    MakeHarness,
    WalkthroughHarness,
    spending,
    undecided,
    unreachable,
)
from tests.unit.walkthrough.sample_run import (
    app_step,
    eventually,
    make_step,
    settled,
    verified,
    waiting_step,
)

NEEDS = ("app_id", "app_secret")


def round_done(harness: WalkthroughHarness) -> dict[str, Any]:
    """Return the header's view once *Check everything now* is over."""
    return eventually(
        lambda: harness.header.view if "Checked" in harness.header.view["message"] else None
    )


def test_everything_is_checked_but_what_spends_or_lacks_a_value(make_harness: MakeHarness) -> None:
    """Each check that only reads runs once, in order; what is left out is named, and why."""
    harness = make_harness(
        make_step("a", verified),
        make_step("b"),
        waiting_step(),
        spending(make_step("side_effect", verified)),
        make_step("c", verified, needs=("app_secret",)),
    )
    not_checked = wording("screens.not-checked")
    harness.walkthrough.check_all()
    view = round_done(harness)

    assert view["message"].splitlines() == [
        wording("walkthrough.checked-steps", steps=2),
        wording("walkthrough.now", outcome="verified", numbers=1),
        wording("walkthrough.now", outcome="waiting", numbers=3),
        f"{not_checked}: 4. It uses up a link. {wording('walkthrough.press-check-there')}",
        f"{not_checked}: 5; {wording('walkthrough.not-given', label='App Secret')}",
    ]
    assert [
        line.head.step
        for line in harness.run.journal.read_all()
        if line.head.type == "step.checked"
    ] == [
        "a",
        "wait",
    ]
    assert any(
        wording("walkthrough.checking", number=2, steps=2, step="Do wait") in each["message"]
        for each in harness.header.views
    )
    assert harness.finish.view["bundle"] == ""

    harness.walkthrough.check_all()
    eventually(lambda: wording("walkthrough.nothing-has-changed") in harness.header.view["message"])


def test_a_host_that_does_not_answer_is_one_message(make_harness: MakeHarness) -> None:
    """Why several steps could not be checked is said once, in the header, and not in panels."""
    harness = make_harness(
        make_step("a", unreachable),
        make_step("b", undecided, unreachable),
        make_step("c", undecided),
        make_step("d", verified),
        make_step("e", unreachable),
    )
    reason = f"{wording('host-unreachable.not-reached', host='x.example')}: no connection."
    said = f"1, 2, 5: {reason}"
    harness.walkthrough.check_all()
    assert round_done(harness)["message"].splitlines() == [
        wording("walkthrough.checked-steps", steps=5),
        wording("walkthrough.now", outcome="could not be checked", numbers="1, 2, 3, 5"),
        wording("walkthrough.now", outcome="verified", numbers=4),
        said,
        "2, 3: Hidden.",
    ]
    assert harness.panels["a"].view["reason"] == reason
    assert {screen.view["message"] for screen in harness.panels.values()} == {""}

    harness.walkthrough.check_all()
    view = eventually(
        lambda: (
            harness.header.view
            if wording("walkthrough.nothing-has-changed") in harness.header.view["message"]
            else None
        )
    )
    assert view["message"].splitlines()[1] == said


def test_a_round_that_breaks_off_leaves_the_button_usable(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal cannot be written, the header says so, and the button works again."""
    harness = make_harness(make_step("a", verified))
    broken = "No journal."

    def refuse(*_: Any) -> None:
        raise JournalError(broken)

    monkeypatch.setattr(module, "check_everything", refuse)
    harness.walkthrough.check_all()
    view = eventually(lambda: harness.header.view if harness.header.view["is_error"] else None)
    assert broken in view["message"]
    assert view["busy_since"] == 0


def test_a_step_that_lacked_a_value_is_checked_when_the_value_arrives(
    make_harness: MakeHarness,
) -> None:
    """A check that was tried in vain shows what it lacks, and runs alone once that is given."""
    later = make_step("later", verified, needs=("app_id",))
    side_effect = spending(replace(later, id="side_effect"))
    untried = replace(later, id="untried")
    harness = make_harness(app_step(), later, side_effect, untried)
    harness.open_cards("later", "untried")
    for name in ("later", "side_effect"):
        harness.perform(name)
    shown = [each["name"] for each in harness.panels["later"].view["inputs"]]
    assert shown == ["app_id"]
    assert harness.panels["untried"].view["inputs"] == []

    harness.walkthrough.perform(harness.step("app"), {"app_id": "123456789012345"})
    eventually(lambda: harness.panels["later"].view["outcome"] == "verified")
    settled(harness.panels["app"])
    assert harness.panels["later"].view["inputs"] == []
    assert harness.panels["side_effect"].view["outcome"] == "not_run"
    assert harness.panels["untried"].view["outcome"] == "not_run"


def test_a_reason_names_only_what_is_missing(make_harness: MakeHarness) -> None:
    """If one of two missing values is given, the reason of each step names the other alone."""
    asks = make_step("asks", verified, needs=NEEDS)
    harness = make_harness(
        asks, replace(asks, id="other"), spending(replace(asks, id="side_effect"))
    )
    harness.open_cards("other", "side_effect")
    for name in ("asks", "other", "side_effect"):
        view = harness.perform(name)
        assert view["result"] == "Not checked."
        assert view["to_do"] == wording("walkthrough.enter-then-check", labels="App ID, App Secret")
    typed = {"app_id": APP_ID, "app_secret": "half"}
    view = harness.perform("asks", typed, finished=2)

    too_short = wording("setting-invalid.app-secret-length", length=32)
    assert view["message"].startswith(f"App Secret: {too_short}")
    assert [refused["input"] for refused in view["refused"]] == ["app_secret"]
    for name in ("asks", "other", "side_effect"):
        view = settled(harness.panels[name], 2)
        assert view["reason"] == wording("walkthrough.not-checked", label="App Secret")
        assert [shown["name"] for shown in view["inputs"]] == ["app_secret"]

    assert harness.perform("asks", {"app_secret": APP_SECRET}, finished=3)["outcome"] == "verified"
    assert settled(harness.panels["other"], 3)["outcome"] == "verified"
    assert harness.panels["side_effect"].view["outcome"] == "not_run"


def test_a_check_that_could_go_on_says_what_it_lacks(make_harness: MakeHarness) -> None:
    """Where a part could be checked, the message names what the rest lacks, also after a value."""
    both = make_step("both", subject=("app_id",))
    checks = (make_step("a", undecided).checks[0], make_step("b", verified, needs=NEEDS).checks[0])
    harness = make_harness(replace(both, checks=checks))
    view = harness.perform("both")
    assert view["result"] == "Checked."
    assert view["to_do"] == wording("walkthrough.enter-then-check", labels="App ID, App Secret")

    view = harness.perform("both", {"app_id": APP_ID, "app_secret": "half"}, finished=2)
    further = wording("walkthrough.not-checked-further", label="App Secret")
    assert view["reason"] == f"Hidden. {further}"
    assert [shown["name"] for shown in view["inputs"]] == ["app_secret"]
