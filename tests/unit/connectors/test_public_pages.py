"""
Privacy policy, terms and data deletion: whether each opens for everybody, without a script.

That they must: third-party readings, 2026.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook.public_pages import public_pages_open
from runbook_lib.core.model import Outcome
from tests.unit import bodies
from tests.unit.bodies import APP_ID
from tests.unit.connectors.conftest import MADE_UP, Finds
from tests.unit.fake_remote import FakeRemote, Responder, breaks, says

VERIFIED, FAILED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.FAILED, Outcome.INCONCLUSIVE
TEXT = "<title>Privacy</title><p>" + "We delete it. " * 30 + "</p>"
SHELL = '<title>App</title><div id="root"></div><script>' + "render(); " * 100 + "</script>"
CONTROL = f"/{MADE_UP * 8}"
SITE = "https://www.acme.example"


def leads_to(address: str) -> Responder:
    return says("", 302, {"location": address})


@pytest.fixture
def look(finds: Finds) -> Finds:
    """Return the check; `privacy` is that page's answer, `control` that of a made-up page."""

    def run(
        end: Outcome,
        *words: str,
        privacy: Any = None,
        control: Any = None,
        url: str = f"{SITE}/privacy",
        **more: Any,
    ) -> Any:
        urls = {"privacy_policy_url": url, "terms_of_service_url": f"{SITE}/terms"}
        answers = {
            "/v26.0/oauth/access_token": says(bodies.APP_TOKEN_ISSUED),
            f"/v26.0/{APP_ID}": says({"id": APP_ID, **urls}),
            "/privacy": privacy or says(TEXT),
            "/terms": says(TEXT),
            "/data-deletion": says(TEXT),
            CONTROL: control or says("not here", 404),
        }
        return finds(public_pages_open, end, *words, answers=answers, **more)

    return run


def test_three_pages_with_text_verify(look: Finds) -> None:
    """Each page's title is in the reason; what they say is named as not proven."""
    finding = look(VERIFIED)
    assert finding.reason.count("“Privacy” opens without JavaScript") == 3
    assert "does not judge their text" in finding.limits[0]
    assert [row[2] for row in finding.tables[0].rows] == ["verified"] * 3


@pytest.mark.parametrize(
    ("page", "end", "said"),
    [
        (says(SHELL), FAILED, "shows only 0 characters without JavaScript"),
        (says("gone", 404), FAILED, "answers 404"),
        (
            leads_to("https://www.elsewhere.example/privacy"),
            INCONCLUSIVE,
            "redirects to www.elsewhere.example, which is another owner's domain",
        ),
        (leads_to("http://www.acme.example/privacy"), INCONCLUSIVE, "which is not https"),
        (leads_to("/privacy"), INCONCLUSIVE, "redirects more than 5 times"),
        # A page may stand on another host of the same registrable domain.
        (says("", 301, {"location": "https://legal.acme.example/terms"}), VERIFIED, ""),
    ],
)
def test_a_page_that_does_not_open_is_named(
    page: Responder, end: Outcome, said: str, look: Finds
) -> None:
    """A page that needs a script, is gone or leads away verifies nothing, and says why."""
    look(end, said, privacy=page)


@pytest.mark.parametrize(
    ("control", "end", "said"),
    [
        # Where a made-up page answers as the real one does, nothing shows that it is there.
        (says(TEXT), INCONCLUSIVE, "answers a made-up page the same way as"),
        # A redirect of every address to the policy is such an answer too.
        (leads_to("/privacy"), INCONCLUSIVE, ""),
        # A host that gives no answer of its own to a made-up page shows no policy either.
        (breaks(), INCONCLUSIVE, "could not be reached"),
        (says("busy", 503), INCONCLUSIVE, "answers a made-up page with 503"),
        (says("no", 405), INCONCLUSIVE, "answers a made-up page with 405"),
        (says("early", 425), INCONCLUSIVE, "answers a made-up page with 425"),
        (says("slow down", 429), INCONCLUSIVE, "limits the number of calls"),
        (says("not here", 404, {"age": "301"}), INCONCLUSIVE, "answered from a cache"),
        # One that sends a made-up page to another owner's domain answers it otherwise.
        (leads_to("https://www.elsewhere.example/"), VERIFIED, ""),
    ],
)
def test_without_a_control_nothing_is_proven(
    control: Responder, end: Outcome, said: str, look: Finds
) -> None:
    """The host must answer a made-up page, and otherwise than the real one."""
    look(end, said, control=control)


@pytest.mark.parametrize("control", [401, 403])
@pytest.mark.parametrize(
    ("again", "end"), [(says(TEXT), VERIFIED), (says("no", 403), INCONCLUSIVE)]
)
def test_a_control_that_may_refuse_everybody_is_checked(
    control: int, again: Responder, end: Outcome, look: Finds, remote: FakeRemote
) -> None:
    """After a 401 or 403 the page must still open."""
    remote.on("/privacy", says(TEXT), again)
    look(end, control=says("no", control))


@pytest.mark.parametrize(
    ("url", "end", "said"),
    [
        ("http://www.acme.example/privacy", FAILED, "is not https"),
        ("", INCONCLUSIVE, "Privacy Policy URL: no address is known"),
        ("https://", INCONCLUSIVE, "Privacy Policy URL:"),
    ],
)
def test_an_address_that_is_none_is_not_opened(
    url: str, end: Outcome, said: str, look: Finds
) -> None:
    """An address without https, or none at all, is judged without a request."""
    look(end, said, url=url)


def test_the_data_deletion_address_must_be_given(look: Finds) -> None:
    """No API shows it, so without the input nothing is known of it."""
    look(INCONCLUSIVE, "^Data deletion address: no address is known.$", data_deletion_url="")
