"""
Privacy policy, terms and data deletion: whether each opens for everybody, without a script.

That they must: third-party readings, 2026.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook.public_pages import public_pages_open
from runbook_lib.core.model import Finding, Outcome
from tests.unit import bodies
from tests.unit.bodies import APP_ID
from tests.unit.connectors.conftest import MADE_UP, MakeContext
from tests.unit.fake_remote import FakeRemote, breaks, says

TEXT = "<title>Privacy</title><p>" + "We delete it. " * 30 + "</p>"
SHELL = '<title>App</title><div id="root"></div><script>' + "render(); " * 100 + "</script>"
CONTROL = f"/{MADE_UP * 8}"
SITE = "https://www.acme.example"


@pytest.fixture
def look(remote: FakeRemote, make_context: MakeContext) -> Any:
    """Return the check; `privacy` is that page's answer, `control` that of a made-up page."""

    def run(
        privacy: Any = None,
        control: Any = None,
        *,
        url: str = f"{SITE}/privacy",
        **more: Any,
    ) -> Finding:
        node = {
            "id": APP_ID,
            "privacy_policy_url": url,
            "terms_of_service_url": f"{SITE}/terms",
        }
        remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        remote.on(f"/v26.0/{APP_ID}", says(node))
        remote.on("/privacy", privacy or says(TEXT))
        remote.on("/terms", says(TEXT))
        remote.on("/data-deletion", says(TEXT))
        remote.on(CONTROL, control or says("not here", 404))
        return public_pages_open(make_context(**more))

    return run


def test_three_pages_with_text_verify(look: Any) -> None:
    """Each page's title is in the reason; what they say is named as not proven."""
    finding = look()

    assert finding.outcome is Outcome.VERIFIED
    assert finding.reason.count("“Privacy” opens without a script") == 3
    assert "does not judge their text" in finding.limits[0]
    assert [row[2] for row in finding.tables[0].rows] == ["verified"] * 3


@pytest.mark.parametrize(
    ("page", "outcome", "said"),
    [
        (says(SHELL), Outcome.FAILED, "shows 0 characters without a script"),
        (says("gone", 404), Outcome.FAILED, "answers 404"),
        (
            says("", 302, {"location": "https://www.elsewhere.example/privacy"}),
            Outcome.INCONCLUSIVE,
            "redirects to www.elsewhere.example, which is another owner's domain",
        ),
        (
            says("", 302, {"location": "http://www.acme.example/privacy"}),
            Outcome.INCONCLUSIVE,
            "which is not https",
        ),
        (
            says("", 302, {"location": "/privacy"}),
            Outcome.INCONCLUSIVE,
            "redirects more than 5 times",
        ),
    ],
)
def test_a_page_that_does_not_open_is_named(
    page: Any, outcome: Outcome, said: str, look: Any
) -> None:
    """A page that needs a script, is gone or leads away verifies nothing, and says why."""
    finding = look(page)

    assert finding.outcome is outcome
    assert said in finding.reason


def test_a_redirect_within_the_owners_domain_is_followed(look: Any) -> None:
    """A page may stand on another host of the same registrable domain."""
    finding = look(says("", 301, {"location": "https://legal.acme.example/terms"}))

    assert finding.outcome is Outcome.VERIFIED


def test_a_host_that_answers_everything_alike_proves_nothing(look: Any) -> None:
    """Where a made-up page answers as the real one does, nothing shows that it is there."""
    finding = look(control=says(TEXT))

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "answers a made-up page as it answers" in finding.reason


def test_a_host_that_leads_everything_to_one_page_proves_nothing(look: Any) -> None:
    """A redirect of every address to the policy is such an answer too."""
    finding = look(control=says("", 302, {"location": "/privacy"}))

    assert finding.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (breaks(), "could not be reached"),
        (says("busy", 503), "answers a made-up page with 503"),
        (says("no", 405), "answers a made-up page with 405"),
        (says("early", 425), "answers a made-up page with 425"),
        (says("slow down", 429), "limits the number of calls"),
        (says("not here", 404, {"age": "301"}), "answered from a cache"),
    ],
)
def test_without_a_control_nothing_is_proven(control: Any, said: str, look: Any) -> None:
    """A host that gives no answer of its own to a made-up page shows no policy either."""
    finding = look(control=control)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert said in finding.reason


@pytest.mark.parametrize("control", [401, 403])
@pytest.mark.parametrize(("again", "outcome"), [(200, "verified"), (403, "inconclusive")])
def test_a_control_that_may_refuse_everybody_is_checked(
    control: int, again: int, outcome: str, look: Any, remote: FakeRemote
) -> None:
    """After a 401 or 403 the page must still open."""
    remote.on("/privacy", says(TEXT), says("no", again) if again != 200 else says(TEXT))

    finding = look(control=says("no", control))

    assert finding.outcome == outcome


def test_a_made_up_page_that_leads_elsewhere_is_a_control(look: Any) -> None:
    """A host that sends a made-up page to another owner's domain answers it otherwise."""
    elsewhere = says("", 302, {"location": "https://www.elsewhere.example/"})

    assert look(control=elsewhere).outcome is Outcome.VERIFIED


@pytest.mark.parametrize(
    ("url", "outcome", "said"),
    [
        ("http://www.acme.example/privacy", Outcome.FAILED, "is not https"),
        ("", Outcome.INCONCLUSIVE, "Privacy Policy URL: none is known"),
        ("https://", Outcome.INCONCLUSIVE, "Privacy Policy URL:"),
    ],
)
def test_an_address_that_is_none_is_not_opened(
    url: str, outcome: Outcome, said: str, look: Any
) -> None:
    """An address without https, or none at all, is judged without a request."""
    finding = look(url=url)

    assert finding.outcome is outcome
    assert said in finding.reason


def test_the_data_deletion_address_must_be_given(look: Any) -> None:
    """No API shows it, so without the input nothing is known of it."""
    finding = look(data_deletion_url="")

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.reason == "Data deletion address: none is known."
