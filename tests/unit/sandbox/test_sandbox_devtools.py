"""The answers of Meta's developer tools follow the state of the world, traps included."""

from collections.abc import Callable
from typing import Any

import pytest

from runbook_lib.sandbox.server import Sandbox

from .conftest import Browser

Start = Callable[..., Sandbox]
Browse = Callable[[Sandbox], Browser]


@pytest.fixture
def read(start: Start, browse: Browse) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that reads a view of a tool in a scenario."""
    opened: dict[str, Browser] = {}

    def view(scenario: str, path: str) -> dict[str, Any]:
        if scenario not in opened:
            opened[scenario] = browse(start(scenario, seed=1))
            opened[scenario].open(f"{opened[scenario].given['dashboard_url']}/login")
            opened[scenario].log_in()
        browser = opened[scenario]
        at = f"{browser.given['dashboard_url']}/apps/{browser.given['app_id']}/devtools/{path}"
        browser.open(at)
        assert browser.page.headers["content-type"] == "application/json", browser.page.text
        answer: dict[str, Any] = browser.page.json()
        assert answer["app_id"] == browser.given["app_id"]
        return answer

    return view


Read = Callable[[str, str], dict[str, Any]]


def privilege(read: Read, scenario: str, permission: str) -> dict[str, Any]:
    """Return the row of one permission."""
    rows = read(scenario, "devtools_app_review/privileges.json")["privileges"]
    return next(row for row in rows if row["permission"] == permission)


def test_the_app_settings(read: Read) -> None:
    """Redirect URIs, status and addresses are the app's."""
    advanced = read("approved", "devtools_app/advanced_settings.json")
    assert advanced["oauth_redirect_uris"] == ["https://connect.partner.test/connector/callback"]
    basic = read("approved", "devtools_app/basic_settings.json")
    assert (basic["app_status"], basic["is_live"]) == ("live_mode", True)
    assert basic["data_deletion_url"] == "https://www.partner.test/data-deletion"
    assert read("approved", "devtools_app/security.json")["require_app_secret"] is False
    missing = read("redirect-missing", "devtools_app/advanced_settings.json")
    assert missing["oauth_redirect_uris"] is None
    assert read("not-published", "devtools_app/basic_settings.json")["app_status"] == "dev_mode"


def test_approved_and_declined_privileges(read: Read) -> None:
    """A live permission is approved and advanced; a declined one is rejected with its reason."""
    assert privilege(read, "partly-declined", "ads_read") == {
        "permission": "ads_read",
        "access_level": "advanced",
        "grant_status": "DEVOPS_APPROVED",
        "is_live": True,
        "rejection_reasons": [],
    }
    declined = privilege(read, "partly-declined", "leads_retrieval")
    assert declined["grant_status"] == "REJECTED"
    assert declined["rejection_reasons"][0].startswith("Screencast Not Aligned")


@pytest.mark.parametrize("scenario", ["test-calls-missing", "review-pending"])
def test_never_granted_reads_as_rejected(read: Read, scenario: str) -> None:
    """A permission that was never granted is REJECTED, without access, reasons or a review."""
    assert privilege(read, scenario, "leads_retrieval") == {
        "permission": "leads_retrieval",
        "access_level": "none",
        "grant_status": "REJECTED",
        "is_live": False,
        "rejection_reasons": [],
    }
    assert not read(scenario, "devtools_app_review/status.json")["has_been_previously_reviewed"]


@pytest.mark.parametrize(
    ("scenario", "status", "in_review", "past"),
    [
        ("test-calls-missing", "NO_SUBMISSION", 0, 0),
        ("review-pending", "PENDING", 1, 0),
        ("review-declined", "ACTIONED", 0, 1),
        ("approved", "ACTIONED", 0, 1),
    ],
)
def test_submissions(read: Read, scenario: str, status: str, in_review: int, past: int) -> None:
    """Status shows what is in review, history what was decided."""
    now = read(scenario, "devtools_app_review/status.json")
    history = read(scenario, "devtools_app_review/history.json")
    assert (now["submission_status"], len(now["submissions"])) == (status, in_review)
    assert len(history["submissions"]) == past
    assert history["has_been_previously_reviewed"] is now["has_been_previously_reviewed"]
    assert now["is_approved"] is (scenario == "approved")


def test_requirements(read: Read, start: Start) -> None:
    """They tell whether a submission is possible, and which test calls were made."""
    done = read("review-declined", "devtools_app_review/requirements.json")
    assert (done["can_submit"], done["has_privacy_policy"]) == (True, True)
    assert done["business_verification_passes"] is True
    rows = {row["permission"]: row for row in done["permissions"]}
    assert rows["leads_retrieval"]["api_precheck"] == {"is_completed": True}
    missing = read("test-calls-missing", "devtools_app_review/requirements.json")
    rows = {row["permission"]: row for row in missing["permissions"]}
    assert rows["leads_retrieval"]["api_precheck"] == {"is_completed": False}
    pending = read("review-pending", "devtools_app_review/requirements.json")
    assert pending["can_submit"] is False
    assert pending["cannot_submit_reason"].endswith("a previous submission is in review")


def test_can_submit_is_out_of_date_after_a_decision(start: Start, browse: Browse) -> None:
    """For a day after a decision, `can_submit` is false though nothing is in review."""
    sandbox = start("review-pending")
    browser = browse(sandbox)
    at = f"{browser.given['dashboard_url']}/apps/{browser.given['app_id']}"
    browser.open(f"{browser.given['dashboard_url']}/login")
    browser.log_in()
    browser.submit(f"/apps/{browser.given['app_id']}/app-review/later/", outcome="declined")
    tools = f"{at}/devtools/devtools_app_review"
    browser.open(f"{tools}/requirements.json")
    assert browser.page.json()["can_submit"] is False
    browser.open(f"{tools}/status.json")
    assert browser.page.json()["submissions"] == []
    sandbox.world.offset += 2 * 86_400
    browser.open(f"{tools}/requirements.json")
    assert browser.page.json()["can_submit"] is True


def test_compliance_and_usage(read: Read) -> None:
    """What is required and how many calls were made."""
    assert read("approved", "devtools_compliance/status.json") == {
        "app_id": read("approved", "devtools_app/security.json")["app_id"],
        "overall_status": "COMPLIANT",
        "required_actions": [],
    }
    actions = read("tech-provider-pending", "devtools_compliance/status.json")["required_actions"]
    assert [one["title"].partition(" (")[0] for one in actions] == ["Complete Access Verification"]
    usage = read("approved", "devtools_api_usage/usage.json")
    assert usage["call_volume"]["total_calls"] == 0


def test_the_page_shows_every_answer(approved: Sandbox, browse: Browse) -> None:
    """Each answer stands on the page, to copy; an unknown view is 404."""
    browser = browse(approved)
    at = f"{browser.given['dashboard_url']}/apps/{browser.given['app_id']}/devtools"
    browser.open(f"{browser.given['dashboard_url']}/login")
    browser.log_in()
    page = browser.open(f"{at}/")
    assert page.count("<textarea") == 9
    assert "a guess" in page
    browser.open(f"{at}/devtools_app/nothing.json")
    assert browser.page.status_code == 404
    browser.open(f"{at}/devtools_app/security")
    assert browser.page.status_code == 404
