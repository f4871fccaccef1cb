"""The walkthrough with several people on one journal: each sees what the others have done."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, expect

from facebook_cyclr_sandbox.server import Sandbox
from tests.browser.conftest import new_lab, own_windows
from tests.browser.jupyter import OPERATOR, Walk, keep_picture
from tests.support.wording import wording

_PATIENCE = 120_000
FOUR_EYES_STEP = "fb-03-my-apps"
LINK_STEP = "fb-06-facebook-login"
DENIED_STEP = "fb-07-login-settings"
STEPS = (
    "fb-01-log-in",
    "fb-02-developer-account",
    FOUR_EYES_STEP,
    LINK_STEP,
    DENIED_STEP,
    "cy-03-client-secret",
)
# The header is slow: people must not see a step before it.
_SLOW_END = """
import time
from runbook_lib.walkthrough.widgets import FinishPanel
FinishPanel.show = lambda panel, view: (time.sleep(1), setattr(panel, "view", view))
"""


class Pair(NamedTuple):
    """Two people with one journal, each with a browser, a notebook and a kernel."""

    first: Walk
    second: Walk


@pytest.fixture(scope="module")
def pair(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, keys_home: Path
) -> Iterator[Pair]:
    """Yield both people, on a server of their own; the tests use different steps."""
    with (
        Sandbox("approved") as sandbox,
        own_windows(browser) as one,
        own_windows(browser) as another,
    ):
        lab = new_lab(tmp_path_factory.mktemp("pair"), sandbox, keys_home, token="")
        with lab.env_file.open("a", encoding="utf-8") as file:
            file.write(f"RUNBOOK_FOUR_EYES={FOUR_EYES_STEP},{LINK_STEP},{DENIED_STEP}\n")
        with lab:
            lab.show_only(*STEPS)
            colleague = shutil.copy(lab.notebook, lab.notebook.with_name("colleague.ipynb"))
            _slow_down(Path(colleague))
            first, second = (Walk(context.new_page(), lab) for context in (one, another))
            first.open()
            second.open(colleague.name)
            yield Pair(first, second)


def _slow_down(notebook: Path) -> None:
    """Let the panel at the notebook's end hear of each change a second after the steps."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    next(cell for cell in document["cells"] if cell["id"] == "parameters")["source"] += _SLOW_END
    notebook.write_text(json.dumps(document), encoding="utf-8")


def _header(walk: Walk) -> Locator:
    return walk.page.locator(".rb-header")


def _done(walk: Walk) -> int:
    """Return the header's number of steps that are done."""
    said = re.search(r"(\d+) of \d+ done", _header(walk).text_content() or "")
    assert said is not None
    return int(said[1])


def test_people_see_each_others_changes(pair: Pair) -> None:
    """
    A change by one kernel is shown in another's header and panels, without a reload.

    What is settled there is folded here too, although this page was just opened at it.
    """
    here, there = pair
    before = _done(here)
    here.attest("fb-01-log-in")
    expect(_header(there)).to_contain_text(f"{before + 1} of ", timeout=_PATIENCE)
    # What leads a page that was just opened to what is next hears of it last, and late here.
    end = there.page.locator("#runbook-finish")
    expect(end).to_contain_text(f"{before + 1} of ", timeout=_PATIENCE)
    folded = there.page.locator("#runbook-fb-01-log-in")
    expect(folded).to_have_attribute("data-open", "false")
    expect(there.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
    there.attest("cy-03-client-secret")
    expect(_header(here)).to_contain_text(f"{before + 2} of ", timeout=_PATIENCE)
    here.skip("fb-02-developer-account", "there is one already")
    expect(_header(there)).to_contain_text(f"{before + 3} of ", timeout=_PATIENCE)


def test_a_second_person_confirms(pair: Pair) -> None:
    """If a step needs two people, the first one's confirmation waits for the second one's."""
    first = pair.first
    second = pair.second
    step = FOUR_EYES_STEP
    assert first.attest(step, by="First operator") == "waiting"
    first.reads(step, wording("confirm.another-person-must"))
    assert first.attest(step, by="first Operator ") == "waiting"
    confirming = second.panel(step)
    expect(confirming).to_have_attribute("data-outcome", "waiting", timeout=_PATIENCE)
    # The second person has a sentence of their own, and nobody's name is offered to them.
    sentence = "My Apps opens, and lists the apps in which first Operator has a role."
    expect(second.form(step, "attest")).to_contain_text(
        f"{sentence} {wording('reasons.have-seen-it')}"
    )
    expect(second.form(step, "attest").get_by_label("Your name")).to_have_value("")
    assert second.attest(step, by="Second operator") == "attested"

    for walk in (second, first):
        panel = walk.panel(step)
        expect(panel).to_have_attribute("data-outcome", "attested", timeout=_PATIENCE)
        expect(panel).to_contain_text("Second operator on")
        expect(panel).to_contain_text(wording("reasons.confirming", name="first Operator"))
        panel.get_by_text("More", exact=True).click()
        panel.get_by_text("History").click()
        expect(
            panel.get_by_text(wording("walkthrough.confirmed-by", name="Second operator"))
        ).to_be_visible()
        expect(
            panel.get_by_text(wording("walkthrough.confirmed-by", name="First operator")).last
        ).to_be_visible()


def test_a_second_person_says_no(pair: Pair) -> None:
    """A No needs a reason, withdraws the first word, and the step says who said what."""
    first = pair.first
    second = pair.second
    step = DENIED_STEP
    assert first.attest(step, by="First operator") == "waiting"
    confirming = second.panel(step)
    expect(confirming).to_have_attribute("data-outcome", "waiting", timeout=_PATIENCE)
    confirming.get_by_role("button", name="No", exact=True).click()
    form = second.form(step, "no")
    expect(form).to_contain_text(
        wording("walkthrough.withdraws-confirmation-of", name="First operator")
    )
    keep_picture(second.page, "second-person-no")
    assert second.say(step, "no", "It does not open.", by="Second operator") == "not_run"
    for walk in (second, first):
        panel = walk.panel(step)
        expect(panel).to_contain_text(
            wording("findings.confirmed-this", name="First operator"), timeout=_PATIENCE
        )
        expect(panel).to_contain_text(wording("confirm.withdrawn", name="Second operator").strip())
        expect(panel).to_contain_text("(It does not open)")


@pytest.mark.costly("two browsers, and JupyterLab of this file ends with it")
def test_a_second_person_confirms_by_a_link(pair: Pair, browser: Browser, axe: str) -> None:
    """
    The link opens that one step without a login, and works once.

    The first person cannot use it for themselves, and the walkthrough shows what came of it.
    """
    first = pair.first
    step = LINK_STEP
    assert first.attest(step, by="First operator") == "waiting"
    panel = first.panel(step)
    panel.get_by_role("button", name="Ask a second person").click()
    address = panel.locator("code[data-link]").inner_text()
    with own_windows(browser) as stranger:
        theirs = stranger.new_page()
        theirs.goto(address)
        expect(theirs.get_by_role("heading", level=1)).to_have_text("Confirm a step")
        expect(theirs.get_by_text("Tenant acme, step 6")).to_be_visible()
        keep_picture(theirs, "second-person")
        theirs.evaluate(axe)
        assert theirs.evaluate("async () => (await axe.run()).violations") == []
        theirs.get_by_label("Your name").fill("first operator")
        theirs.get_by_role("button", name="I confirm it").click()
        expect(theirs.get_by_role("alert")).to_contain_text(wording("confirm.second-person-must"))
        theirs.get_by_label("Your name").fill("Third operator")
        theirs.get_by_role("button", name="I confirm it").click()
        expect(theirs.get_by_role("heading", level=1)).to_have_text("Recorded")
        theirs.goto(address)
        expect(theirs.get_by_role("alert")).to_contain_text(wording("walkthrough.link-is-gone"))
    expect(panel).to_have_attribute("data-outcome", "attested", timeout=_PATIENCE)
    expect(panel).to_contain_text("Third operator on")


@pytest.mark.costly("JupyterLab is loaded again, and ends with this file")
def test_a_name_stays_in_its_tab_over_a_reload(pair: Pair) -> None:
    """Whoever loads the page again is not asked for their name."""
    first = pair.first
    step = "fb-01-log-in"
    first.skip(step, "There is one already.")
    button = first.form(step, "comment").locator('[data-action="confirm-comment"]')
    expect(button).to_have_text(f"{OPERATOR} comments")
    first.save()  # or the browser asks before it leaves

    first.page.reload()
    first.press_start()

    form = first.form(step, "comment")
    expect(form.locator('[data-action="confirm-comment"]')).to_have_text(f"{OPERATOR} comments")
    expect(form.get_by_label("Your name")).to_be_hidden()
