"""The finish panel: sealing asks once, shows its bundle, and says why it did not seal."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.model import Finding, Mode, Outcome, RunOutcome
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SealingError
from runbook_lib.run.events import BundleSealed, RunFinished, StepChecked
from runbook_lib.walkthrough import controller as module
from tests.support.attestations import attested, skipped
from tests.support.run_events import BINDING, STEP
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import MakeHarness, WalkthroughHarness, unreachable
from tests.unit.walkthrough.sample_run import (
    DEADLINE,
    eventually,
    make_step,
    raising,
    verified,
    waits,
)

# The sealed run, whose procedure has at most one step: that alone makes its outcome.
SEALED = "0badcafe"
FAILED = StepChecked(
    findings=(Finding(outcome=Outcome.FAILED, code="a-code", reason="No.", check="log-in"),),
    binding=BINDING,
)


def changed(step: str, sealed: str, before: str) -> str:
    """Return the line about a step that the sealed run found otherwise."""
    return wording("walkthrough.when-sealed", step=step, sealed=sealed, before=before)


def sealed_with(outcome: str, numbers: str) -> str:
    """Return the line about a sealed run with open steps."""
    open_steps = wording("walkthrough.open-steps", numbers=numbers)
    return f"{wording('walkthrough.sealed', outcome=outcome)} {open_steps}"


def sealed_as(outcome: RunOutcome) -> Any:
    """Return a stand-in for sealing: it announces a bundle of another run, as that run does."""

    def seal(run: Run, **_: Any) -> RunEnd:
        folder = run.journal.path.parent / "20261124-0a1b2c3d"
        (folder / "attachments").mkdir(parents=True, exist_ok=True)
        (folder / "report.html").write_text("<p>")
        (folder / "attachments" / "a.png").write_bytes(b"p")
        steps = () if outcome is RunOutcome.COMPLETE else (STEP,)
        started = structs.replace(run.beginning(), mode=Mode.WALKTHROUGH, steps=steps)
        run.journal.append(started, run=SEALED)
        if outcome is RunOutcome.FAILED:
            run.journal.append(FAILED, run=SEALED, step=STEP.id)
        run.journal.append(RunFinished(), run=SEALED)
        sealed = BundleSealed(bundle=folder.name, sequence=1, statement="0" * 64, last=1)
        run.journal.append(sealed, run=SEALED)
        return RunEnd(outcome=outcome, bundle=str(folder))

    return seal


def held(released: threading.Event, begun: list[str], wait: str = "") -> Any:
    """Return a stand-in for sealing that notes its run and waits for `released`."""

    def sealing(run: Run, *, on_wait: Any) -> Any:
        begun.append(run.run_id)
        if wait:
            on_wait(wait)
        released.wait(DEADLINE)
        return sealed_as(RunOutcome.COMPLETE)(run)

    return sealing


def shown(harness: WalkthroughHarness, name: str) -> dict[str, Any]:
    """Return what the panel shows once it has this."""
    view: dict[str, Any] = eventually(
        lambda: harness.finish.view if harness.finish.view[name] else None
    )
    return view


def idle(harness: WalkthroughHarness) -> dict[str, Any]:
    """Return what the panel shows once it is not busy."""
    view: dict[str, Any] = eventually(
        lambda: None if harness.finish.view["busy_since"] else harness.finish.view
    )
    return view


@pytest.fixture
def seal(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], WalkthroughHarness]:
    """Return what seals a run of one step, with a stand-in for sealing."""

    def begin(stand_in: Any) -> WalkthroughHarness:
        monkeypatch.setattr(module, "seal_evidence", stand_in)
        harness = make_harness(make_step("a"))
        harness.walkthrough.seal(is_confirmed=True)
        return harness

    return begin


def test_sealing_asks_once_where_a_step_is_not_done_any_more(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A step that was done and is not, or whose check lacks a value now, is said before sealing.

    What was open before is no obstacle, nor what somebody has confirmed. Asked to, it seals all
    the same, and says which steps the sealed run found otherwise.
    """
    answers = iter((Outcome.VERIFIED, Outcome.FAILED))

    def is_there(_: CheckContext) -> Finding:
        return Finding(outcome=next(answers), code="a-code", reason="Looked.")

    sealed: list[Run] = []

    def sealing(run: Run, **_: Any) -> RunEnd:
        sealed.append(run)
        run.say([attested("hand")])
        finished: RunEnd = sealed_as(RunOutcome.FAILED)(run)
        return finished

    monkeypatch.setattr(module, "seal_evidence", sealing)
    needs = ("app_secret",)
    harness = make_harness(
        make_step("app", is_there),
        make_step("hand"),
        *(make_step(name, verified, needs=needs) for name in ("seen", "untried", "word", "left")),
        secrets={"app_secret": APP_SECRET},
    )
    for name in ("app", "seen", "word"):
        harness.perform(name)
    harness.run.say([attested("word"), skipped("left")])
    harness.run.forget_secret(inputs.APP_SECRET, [])
    harness.walkthrough.seal()
    view = shown(harness, "doubts")
    assert view["doubts"] == [
        "1 · Do app: now failed. Looked.",
        wording("walkthrough.missing-at-sealing", label="App Secret", number=3),
    ]
    assert sealed == []

    harness.walkthrough.seal(is_confirmed=True)
    view = shown(harness, "bundle")
    first, second = view["message"].splitlines()
    assert first == sealed_with("failed", "1, 4")
    assert second.startswith(changed("2 · Do hand", "attested", "to do"))
    assert view["doubts"] == []
    assert harness.header.view["sealed"].endswith("failed.")


def test_a_step_that_is_done_now_is_said_once_it_is_sealed(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing asks nothing where steps are open or got better, and says both afterwards."""
    monkeypatch.setattr(module, "seal_evidence", sealed_as(RunOutcome.INCOMPLETE))

    def also(_: CheckContext) -> Finding:
        return Finding(outcome=Outcome.VERIFIED, code="a-code", reason="So is that.")

    harness = make_harness(make_step("a", verified, also), make_step("b", waits), make_step("hand"))
    harness.walkthrough.seal()

    view = shown(harness, "bundle")
    assert view["message"].splitlines() == [
        sealed_with("incomplete", "2, 3"),
        f"{changed('1 · Do a', 'verified', 'to do')} It is there. So is that.",
        f"{changed('2 · Do b', 'waiting', 'to do')} Not live yet.",
    ]


def test_a_reason_of_many_steps_is_shown_once(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that does not answer is one reason, before sealing and after it."""
    is_up = True

    def asks(context: CheckContext) -> Finding:
        return verified(context) if is_up else unreachable(context)

    monkeypatch.setattr(module, "seal_evidence", sealed_as(RunOutcome.COMPLETE))
    harness = make_harness(make_step("a", asks), make_step("b", asks))
    for name in ("a", "b"):
        harness.perform(name)
    is_up = False
    both = "1 · Do a, 2 · Do b"
    undecided = "could not be checked"
    harness.walkthrough.seal()
    view = shown(harness, "doubts")
    said = f"{wording('host-unreachable.not-reached', host='x.example')}: no connection."
    assert view["doubts"] == [f"{both}: now {undecided}. {said}"]

    is_up = True
    harness.walkthrough.seal()
    view = shown(harness, "bundle")
    assert view["message"].splitlines() == [
        wording("walkthrough.sealed", outcome="complete"),
        f"{changed(both, 'verified', undecided)} It is there.",
    ]


def test_a_sealed_bundle_is_handed_to_the_browser(make_harness: MakeHarness) -> None:
    """The report, or all files of the bundle as a zip file; nothing where nothing is sealed."""
    harness = make_harness(make_step("a"))
    assert harness.walkthrough.files_of_bundle("b.zip") == b""

    sealed_as(RunOutcome.COMPLETE)(harness.run)
    assert harness.walkthrough.files_of_bundle("report.html") == b"<p>"
    with zipfile.ZipFile(io.BytesIO(harness.walkthrough.files_of_bundle("b.zip"))) as packed:
        assert packed.read("20261124-0a1b2c3d/report.html") == b"<p>"
        assert packed.read("20261124-0a1b2c3d/attachments/a.png") == b"p"


def test_a_returning_person_finds_the_sealed_bundle(make_harness: MakeHarness) -> None:
    """Another kernel shows what was sealed last, and the report, unless the folder is gone."""
    harness = make_harness(make_step("a"))
    bundle = Path(sealed_as(RunOutcome.COMPLETE)(harness.run).bundle)
    harness.walkthrough.panels.draw()

    assert harness.header.view["sealed"].startswith("Sealed ")
    assert harness.header.view["sealed"].endswith(": complete.")
    assert harness.finish.view["bundle"] == str(bundle)

    bundle.rename(bundle.with_name("moved"))
    harness.walkthrough.panels.draw()

    assert (harness.header.view["sealed"], harness.finish.view["bundle"]) == ("", "")
    assert harness.walkthrough.files_of_bundle("report.html") == b""


def test_sealing_shows_its_bundle(seal: Callable[[Any], WalkthroughHarness]) -> None:
    """During the headless run the panel says what that waits for, then outcome and bundle."""
    released = threading.Event()
    wait = "Waiting for process 7."
    harness = seal(held(released, [], wait))
    assert harness.finish.view["busy_since"] > 0
    eventually(lambda: harness.finish.view["message"] == wait)
    assert harness.finish.view["busy_since"] > 0
    released.set()

    view = idle(harness)
    assert view["message"].startswith(wording("walkthrough.sealed", outcome="complete"))
    assert not view["is_error"]
    eventually(lambda: "complete" in harness.header.view["sealed"])
    assert view["bundle"].startswith(str(harness.run.evidence))
    assert view["bundle_name"] == "20261124-0a1b2c3d"


BROKE = wording("screens.runbook-broke", error="ValueError")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SealingError("A key is missing.", next_step="Find it."), "A key is missing. Find it."),
        (ValueError(APP_SECRET), f"{BROKE} {wording('screens.report-a-defect')}"),
    ],
)
def test_a_run_that_was_not_sealed_says_why(
    seal: Callable[[Any], WalkthroughHarness], error: Exception, said: str
) -> None:
    """If sealing fails, message and next step are shown, and the button works again."""
    view = idle(seal(raising(error)))
    assert (f"{view['message']} {view['advice']}", view["is_error"]) == (said, True)
    assert view["bundle"] == ""


def test_a_double_click_seals_once(seal: Callable[[Any], WalkthroughHarness]) -> None:
    """A second click during sealing has no effect; afterwards the button works again."""
    released = threading.Event()
    begun = list[str]()
    harness = seal(held(released, begun))
    for _ in range(2):
        harness.walkthrough.seal(is_confirmed=True)
    released.set()
    eventually(lambda: not harness.finish.view["busy_since"])
    assert len(begun) == 1

    harness.walkthrough.seal(is_confirmed=True)
    eventually(lambda: len(begun) == 2)
