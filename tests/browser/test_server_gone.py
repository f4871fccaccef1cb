"""The page when its server stops, is started again, or cannot be reached: app and JupyterLab."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.frozen_server import NOTICED, frozen
from tests.browser.jupyter import NOTEBOOK, TENANT, TOKEN, Lab, Serve, Walk, keep_picture
from tests.support.wording import wording

_STEP = "fb-01-log-in"
_PATIENCE = 60_000
_HELD = "buttons => buttons.map((button) => button.getAttribute('aria-disabled'))"
_CHECK_ALL = '.rb-header [data-action="check-all"]'


def _open(served: Lab, page: Page, *, is_app: bool) -> Walk:
    walk = Walk(page, served)
    if is_app:
        page.goto(f"{served.url}/voila/render/{NOTEBOOK}?token={TOKEN}", timeout=_PATIENCE)
        walk.ready()
    else:
        walk.open()
    return walk


@pytest.mark.costly("a server, kernels and a browser for each case")
@pytest.mark.parametrize("is_app", [True, False], ids=["app", "lab"])
def test_a_server_that_is_gone_is_seen(
    sandbox: Any, serve: Serve, page: Page, *, is_app: bool
) -> None:
    """
    A cut line connects again by itself; a stopped server is said with how to start it, and a
    frozen kernel or server is noticed within 30 seconds.

    Meanwhile no button does anything. One that was started again asks to load the page.
    """
    served = serve(sandbox, *(["--app"] if is_app else []))
    served.token = TOKEN if is_app else ""
    if not is_app:
        served.show_only(_STEP)
    walk = _open(served, page, is_app=is_app)
    band = page.locator(".rb-band")
    check_all = page.locator(_CHECK_ALL)
    expect(band).to_be_hidden()
    # JupyterLab asks its server now and then, and says in a dialog of its own that it is gone.
    page.add_locator_handler(
        page.locator(".jp-Dialog").filter(has_text="Server Connection Error"),
        lambda dialog: dialog.get_by_role("button", name="Close").click(),
    )

    page.context.set_offline(True)
    expect(band).to_contain_text(wording("walkthrough.stopped"))
    page.context.set_offline(False)
    expect(band).to_be_hidden()
    expect(check_all).to_have_attribute("aria-disabled", "false")
    assert walk.attest(_STEP) == "attested"

    with frozen(served, "ipykernel_launcher"):
        expect(band).to_contain_text(wording("walkthrough.silent"), timeout=NOTICED)
    expect(band).to_be_hidden(timeout=_PATIENCE)
    with frozen(served, "app_server" if is_app else "jupyterlab"):
        expect(band).to_contain_text(wording("walkthrough.stopped"), timeout=NOTICED)
    expect(band).to_be_hidden(timeout=_PATIENCE)

    served.stop()
    expect(band).to_be_in_viewport()
    command = ["lab", *["--app"] * is_app, "--connector", PROCEDURE.id]
    given = {"tenant": TENANT, "evidence": served.evidence, "env-file": served.env_file}
    command += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    expect(band).to_contain_text(shlex.join([*command, "--port", str(served.port)]))
    expect(band).to_contain_text(wording("walkthrough.input-not-lost"))
    buttons = page.locator(".rb:not(.rb-band) button:not(.rb-fold)")
    assert set(buttons.evaluate_all(_HELD)) == {"true"}
    page.set_viewport_size({"width": 400, "height": 900})
    keep_picture(page, f"server-gone-{'app' if is_app else 'lab'}-400")
    page.set_viewport_size({"width": 1280, "height": 900})
    keep_picture(page, f"server-gone-{'app' if is_app else 'lab'}-1280")

    served.start()
    again = band.get_by_role("button", name="Load this page again")
    again.wait_for(timeout=_PATIENCE)
    keep_picture(page, f"server-again-{'app' if is_app else 'lab'}-1280")
    again.click()
    expect(band.filter(visible=True)).to_have_count(0, timeout=_PATIENCE)
    if is_app:
        walk.ready()
        panel = page.locator(f"#runbook-{_STEP}")
        expect(panel).to_have_attribute("data-outcome", "attested", timeout=_PATIENCE)
