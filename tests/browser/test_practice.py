"""A person in the sandbox's pages; `test_walkthrough` has the whole procedure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.practising_person import Person, png


@pytest.fixture
def fresh() -> Iterator[Sandbox]:
    """Yield a sandbox in which nothing is done yet."""
    with Sandbox("fresh") as sandbox:
        yield sandbox


def test_a_declined_review_says_why_and_can_be_repeated(
    page: Page, fresh: Sandbox, tmp_path: Path
) -> None:
    """
    A declined review has its reason, and each permission can be requested again and approved.

    The app is a classic one, as documented: Business behind Other, Facebook Login, no use case.
    """
    given: dict[str, Any] = fresh.description
    person = Person(page, given["dashboard_url"], given["cyclr_console_url"])
    person.log_in()
    person.create_classic_app()
    app_page = page.url
    person.set_up_classic_login(given["redirect_uri"])
    person.verify_business()
    person.complete_settings(png(tmp_path / "icon.png"))
    person.make_test_calls()
    page.goto(app_page)
    person.request("public_profile", "Get Advanced Access")
    person.request("leads_retrieval", "Get Advanced Access")
    person.submit_for_review()
    person.fill(**{"Reason,_when_declined": "The screencast shows another app."})
    person.await_decision("Declined")
    person.reads("The screencast shows another app.")
    person.request("leads_retrieval", "Request again")
    person.press("Submit for Review")
    person.await_decision()
    page.goto(app_page)
    expect(page.get_by_role("link", name="Publish", exact=True)).to_have_count(0)


def test_every_link_of_the_walkthrough_leads_to_its_page(page: Page) -> None:
    """Each link of each step leads to an existing page of the sandbox."""
    with Sandbox("approved") as sandbox:
        given: dict[str, Any] = sandbox.description
        page.goto(f"{given['dashboard_url']}/login")
        page.get_by_label("Email address").fill(given["login_email"])
        page.get_by_label("Password").fill(given["login_password"])
        page.get_by_role("button", name="Log in").click()
        links = {
            link.url(given)
            for section in PROCEDURE.sections
            for step in section.steps
            for link in step.links
        }
        lost = {link: page.goto(link).status for link in links}  # type: ignore[union-attr]
    assert {link: status for link, status in lost.items() if status != 200} == {}
