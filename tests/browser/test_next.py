"""
Who follows *Next* alone, in a real window: while Facebook decides, what waits is not offered.

`SCREENSHOTS=folder` saves what is shown, at 400 and 1280 pixels.
"""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import Page, expect

from facebook_cyclr_sandbox.default_state import get_app
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.permissions import PERMISSIONS
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from tests.browser.jupyter import TENANT, Serve, Walk, keep_picture
from tests.support.attestations import attested
from tests.support.wording import wording

_PATIENCE = 20_000
_BUSINESS = "fb-05a-business-verification"
_PROVIDER = "fb-05b-access-verification"
_LOGIN = "fb-06-facebook-login"
_RENEWAL = "fb-11b-data-access-renewal"
_REVIEW = "fb-12-submit-review"
_PUBLISH = "fb-12a-publish"
_WEBHOOK = "cy-03a-error-webhook"
_CUSTOMER = "test-06-customer-consent"
_OPEN = (_BUSINESS, _PROVIDER, _LOGIN, _RENEWAL, _REVIEW, _PUBLISH, _WEBHOOK, _CUSTOMER)


def _pictures(page: Page, name: str) -> None:
    if os.environ.get("SCREENSHOTS"):
        size = page.viewport_size or {"width": 1280, "height": 900}
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(500)
            keep_picture(page, f"next-{name}-{width}")
        page.set_viewport_size(size)


def _leads_to(walk: Walk, step: str) -> None:
    """Wait until the header's Next leads to this step; it is open, and none that comes later."""
    link = walk.page.locator(".rb-header a[data-next]")
    expect(link).to_have_attribute("data-next", step, timeout=_PATIENCE)
    link.click()
    expect(walk.panel(step)).to_have_attribute("data-open", "true")
    expect(walk.panel(step).locator(".rb-fold")).not_to_contain_text("later")


@pytest.mark.costly("a walk through all steps, whose browser ends with it")
def test_following_next_meets_each_step_in_time(page: Page, serve: Serve) -> None:
    """
    With Business Verification waiting, Next goes on to what can be done, and comes back.

    The review that is not submitted stays next and grey, whatever the page sees by itself. Once
    it is approved, header, blue button and the chosen answer say so.
    """
    with Sandbox("test-calls-missing") as sandbox:
        lab = serve(sandbox)
        lab.show_only(*_OPEN)
        lab.leave_out("RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN", "RUNBOOK_CYCLR_CLIENT_SECRET")
        run = open_run(
            PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant=TENANT,
            evidence=str(lab.evidence), env_file=str(lab.env_file),
        )  # fmt: skip
        run.start()
        run.say(
            [
                attested(step.id, at=timestamp(run.clock()))
                for step in PROCEDURE.steps
                if step.id not in _OPEN
            ]
        )
        run.close()
        walk = Walk(page, lab)
        walk.open()

        _leads_to(walk, _BUSINESS)
        assert walk.say(_BUSINESS, "submit") == "waiting"
        for step in (_LOGIN, _WEBHOOK):
            _leads_to(walk, step)
            assert walk.attest(step) == "attested"
        _leads_to(walk, _BUSINESS)
        later = walk.page.locator(f"#runbook-{_PROVIDER} .rb-fold")
        expect(later).to_contain_text(wording("walkthrough.later-after", number="5a"))
        _pictures(page, "waiting")
        assert walk.say(_BUSINESS, "attest") == "attested"
        for step, answer in ((_PROVIDER, "attest"), (_RENEWAL, "attest-not-asked")):
            _leads_to(walk, step)
            assert walk.say(step, answer) == "attested"

        _leads_to(walk, _REVIEW)
        panel = walk.panel(_REVIEW)
        expect(panel).to_contain_text(
            wording("findings.does-not-list-these", permissions=""), timeout=_PATIENCE
        )
        expect(panel).to_have_attribute("data-outcome", "not_run")
        expect(panel.locator(".rb-badge").first).to_have_text("to do")
        _leads_to(walk, _REVIEW)
        _pictures(page, "not-submitted")
        walk.form(_REVIEW, "decline")
        boxes = panel.locator("[data-choice]")
        assert not any(box.is_checked() for box in boxes.all())
        assert {"leads_retrieval", "ads_management"} <= {
            box.get_attribute("value") for box in boxes.all()
        }
        assert walk.say(_REVIEW, "submit") == "waiting"

        get_app(sandbox.state).has_been_reviewed = True
        get_app(sandbox.state).permissions = dict.fromkeys(("public_profile", *PERMISSIONS), "live")
        walk.press(_REVIEW, "check")
        expect(panel).to_have_attribute("data-in-part", "true", timeout=_PATIENCE)
        expect(panel.locator('[data-option="attest"]')).to_be_checked()
        confirm = panel.locator('[data-action="confirm-answer"]')
        expect(confirm).to_have_class(re.compile("rb-main"))
        expect(panel.locator(".rb-main:visible")).to_have_count(1)
        _pictures(page, "approved")
        with walk.work(_REVIEW):
            confirm.click()
        _leads_to(walk, _PUBLISH)
